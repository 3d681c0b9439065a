"""Run cases, each in a child with limits, and count what came of them by fault."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import dask

from benchmarks.faults.answers import ours
from benchmarks.faults.case import CLASSES, DEFECTS, Answer, Case, judge, tally
from benchmarks.faults.rot import memory_folder
from tests.fuzz.server import MIB, Limits, Server
from tests.hostile.case import OUTSIDE, SECRET

LIMITS = Limits(seconds=60.0, memory_bytes=2048 * MIB)
BATCH = 8
Reads = Callable[[Path, Path, Mapping[str, Any]], Answer]
"""A reader: source, empty folder for its own use, and declarations."""


@dataclass
class Row:
    """What came of the cases of one fault."""

    fault: int
    cases: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    unread: list[str] = field(default_factory=list)
    """Valid files that were not read rightly, and why."""
    defects: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        return {"fault": self.fault, "cases": self.cases, "seconds": round(self.seconds, 2),
                **{kind: self.classes[kind] for kind in CLASSES}, "unread": self.unread,
                "defects": self.defects}  # fmt: skip


@dataclass
class Board:
    """A reader's rows by fault, and the class of each case."""

    reader: str
    rows: dict[int, Row] = field(default_factory=dict)
    outcomes: dict[str, tuple[str, str]] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, case: Case, kinds: Mapping[str, int], reason: str, seconds: float) -> None:
        """Count the outcome of a case, or of the many things that a case does."""
        row = self.rows.setdefault(case.fault, Row(case.fault))
        row.cases += sum(kinds.values())
        row.classes += tally(kinds)
        row.seconds += seconds
        worst = max(kinds, key=[*CLASSES].index, default="right")
        self.outcomes[case.name] = worst, reason
        if case.valid and set(kinds) != {"right"}:
            row.unread.append(f"{case.name}: {worst}: {reason}")
        elif set(kinds) & {*DEFECTS}:
            row.defects.append(f"{case.name}: {worst}: {reason}")

    def total(self, *kinds: str) -> int:
        """Return how many outcomes of some classes there were."""
        return sum(row.classes[kind] for row in self.rows.values() for kind in kinds)

    def unread(self) -> list[str]:
        """Return the valid files that were not read rightly."""
        return [text for row in self.rows.values() for text in row.unread]

    def defects(self) -> list[str]:
        """Return all that was silent, foreign, or brought the process down."""
        return [text for row in self.rows.values() for text in row.defects]


def board(
    cases: Iterable[Case],
    reads: Reads = ours,
    reader: str = "neurodata",
    children: int = 2,
    progress: Callable[[Case, str, str], None] = lambda case, kind, reason: None,
) -> Board:
    """Run cases with a reader; twins come first, for what is damaged is compared with them.

    Parameters
    ----------
    reads : callable
        Peers are given a file in place of a folder, and facts that they lack are not compared.
    """
    dask.config.set(scheduler="synchronous")
    found, started = Board(reader), time.monotonic()
    listed = list(cases)
    names = {case.twin for case in listed if case.twin}
    first = [case for case in listed if case.name in names]
    rest = [case for case in listed if case.name not in names]
    twins: dict[str, Mapping[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="neurodata-faults-", dir=memory_folder()) as folder:
        work = partial(_work, reads, reads is not ours)
        server = Server(work, Path(folder), LIMITS, children, BATCH)
        for group in (first, rest):
            if reads is not ours:
                group = [c for c in group if not c.twin or c.twin == c.name or c.twin in twins]
            for case, result, seconds in _done(server, group):
                if case.name in names and result["class"] == "accepted":
                    twins[case.name] = result
                elif case.name in names and reads is not ours:
                    continue  # what a peer cannot read undamaged, it is not asked about
                if "counts" in result:
                    kinds, reason = result["counts"], ""
                else:
                    kind, reason = judge(case, result, twins.get(case.twin))
                    kinds = {kind: 1}
                found.add(case, kinds, reason, seconds)
                progress(case, found.outcomes[case.name][0], reason)
    found.seconds = time.monotonic() - started
    return found


def _done(server: Server, cases: list[Case]) -> Iterator[tuple[Case, dict[str, Any], float]]:
    for done in server.run(cases):
        yield done.case, done.result, done.result.get("seconds", done.seconds)


def _work(reads: Reads, is_peer: bool, case: Case, folder: Path) -> dict[str, Any]:
    """Build a case and read it, in the child; the building is not on the clock."""
    if case.act is not None:
        begun = time.process_time()
        counts = dict(case.act(folder))
        return {"class": "accepted", "counts": counts, "seconds": time.process_time() - begun}
    if case.build is None:
        raise ValueError(f"{case.name} neither builds nor acts")
    source = case.build(folder)
    outside = _listing(folder / OUTSIDE)
    if is_peer and source.is_dir() and case.main:
        source = source / case.main
    begun = time.process_time()
    answer = reads(source, folder, case.declare)
    seconds = time.process_time() - begun
    touched = _listing(folder / OUTSIDE) != outside
    if is_peer and case.form == "hostile":
        return {"class": "accepted", "counts": {_unpacked(answer, touched): 1}, "seconds": seconds}
    if touched:
        answer = Answer("accepted", error="something appeared outside of the source")
    return {**answer.outcome(case, lenient=is_peer), "seconds": seconds}


def _unpacked(answer: Answer, touched: bool) -> str:
    """Return what unpacking an archive is worth: wrong is what leaves the folder."""
    inside = any(SECRET[:64] in value.tobytes() for value in answer.facts.values())
    if touched or inside:
        return "silent"
    return "right" if answer.kind == "accepted" else "refused"


def _listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
