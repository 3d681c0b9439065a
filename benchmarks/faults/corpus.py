"""The whole corpus: hand-written cases, those of every format, and the hostile sources."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.faults import containers, made, samples, signals, stores, tables, volumes
from benchmarks.faults.case import Case

TOLD = "^error|left out|dropped|not read|not followed|names|outside|link"
"""What a finding about a hostile part says that was not read."""
QUICK_SHARE = 6
"""Of every fault, the quick run takes about so many hand-written cases."""


def corpus(quick: bool = False, only: frozenset[int] = frozenset()) -> list[Case]:
    """Return all cases, each after its twin; only those of some faults, and their twins.

    Raises
    ------
    ValueError
        When two cases have one name.
    """
    written = [
        *signals.cases(), *samples.cases(), *volumes.cases(), *containers.cases(),
        *tables.cases(), *stores.cases(quick), *_hostile(),
    ]  # fmt: skip
    if quick:
        written = _some(written)
    every = written
    if not only or only & {0, 10, 11, 13, 14, 15, 16, 18, 19}:
        every = [*written, *made.cases(made.recordings(quick), quick)]
    if len({case.name for case in every}) < len(every):
        names = [case.name for case in every]
        raise ValueError(f"names twice: {sorted({n for n in names if names.count(n) > 1})}")
    if only:
        chosen = [case for case in every if case.fault in only]
        twins = {case.twin for case in chosen}
        every = [case for case in every if case in chosen or case.name in twins]
    return every


def _some(written: list[Case]) -> list[Case]:
    """Return about as many cases of each fault, evenly drawn, and all that cost little."""
    kept = []
    for fault in sorted({case.fault for case in written}):
        own = [case for case in written if case.fault == fault]
        step = 1 if own[0].act else max(1, len(own) // (QUICK_SHARE if fault else 4 * QUICK_SHARE))
        kept += own[::step]
    return kept


def _hostile() -> Iterator[Case]:
    """Yield the sources of `tests.hostile`, which must be refused or told of."""
    from tests.hostile import CASES, VALID

    for source in CASES:
        yield Case(f"hostile: {source.name}", source.fault, source.story,
                   partial(_build, source), form="hostile", named=TOLD,
                   declare=source.declare)  # fmt: skip
    for source in VALID:
        name = f"honest: {source.name}"
        yield Case(name, 0, source.story, partial(_build, source), declare=source.declare,
                   twin=name, valid=True)  # fmt: skip


def _build(source: Any, folder: Path) -> Path:
    path: Path = source.build(folder)
    return path
