"""Run cases of some formats and count what came of them."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import dask

from neurodata.readers import TABLE, reader
from neurodata.sources import Fingerprint
from tests.fuzz.damage import ALL, Damage, Valid, draw
from tests.fuzz.judge import CLASSES, judge
from tests.fuzz.reading import known, outcome
from tests.fuzz.recordings import Made, made
from tests.fuzz.server import MIB, Done, Limits, Server

SHOWN = 40
CHUNK = 250
"""Cases between two lines of a journal."""
AMPLE = Limits(seconds=120.0, memory_bytes=2**40, file_bytes=2**40)
"""For makers, which import what they need."""


@dataclass(frozen=True)
class Case:
    """One recording and what is done to it."""

    made: Made
    valid: Valid
    damage: Damage
    number: int


@dataclass
class Tally:
    """What came of the cases of one format."""

    format: str
    cases: int = 0
    seconds: float = 0.0
    peak_mib: float = 0.0
    classes: Counter[str] = field(default_factory=Counter)
    unrefused_by_hash: int = 0
    defects: list[dict[str, Any]] = field(default_factory=list)
    changed: Counter[str] = field(default_factory=Counter)

    def add(self, case: Case, done: Done, sound: dict[str, Any]) -> None:
        """Judge a case and count it."""
        verdict = judge(self.format, case.damage, sound, done.result)
        self.cases += 1
        self.seconds += done.seconds
        self.peak_mib = max(self.peak_mib, round(done.peak_bytes / MIB, 1))
        self.classes[verdict.kind] += 1
        self.unrefused_by_hash += bool(done.result.get("known"))
        if verdict.kind in ("silent", "short", "told"):
            self.changed.update(
                {f"{verdict.kind} {item.split(' ')[0]}" for item in verdict.changed}
            )
        if verdict.defect:
            self.defects.append({
                "class": verdict.kind, "recording": case.made.story, "number": case.number,
                "damage": case.damage.kind, "story": case.damage.story,
                "found": verdict.defect, "trace": done.result.get("trace", ""),
            })  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        return {
            "format": self.format, "cases": self.cases, "seconds": round(self.seconds, 1),
            "peak_mib": self.peak_mib, "unrefused_by_hash": self.unrefused_by_hash,
            **{name: self.classes[name] for name in CLASSES},
            "changed": dict(self.changed.most_common(SHOWN)), "defects": self.defects,
        }  # fmt: skip

    def include(self, part: dict[str, Any]) -> None:
        """Add the counts of some cases, as of `as_dict`; seconds are left alone."""
        self.cases += part["cases"]
        self.peak_mib = max(self.peak_mib, part["peak_mib"])
        self.classes.update({name: part[name] for name in CLASSES if part[name]})
        self.unrefused_by_hash += part["unrefused_by_hash"]
        self.changed.update(part["changed"])
        self.defects += part["defects"]


class Journal:
    """What is done, a JSON line for some cases, so that a run that was stopped can go on.

    Parameters
    ----------
    path : Path, optional
        None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        text = path.read_text() if path and path.is_file() else ""
        whole = text[: text.rfind("\n") + 1]  # a line that was not ended is not done
        if path and whole != text:
            path.write_text(whole)
        self.lines = [json.loads(line) for line in whole.splitlines()]

    def done(self, plan: list[Any]) -> list[dict[str, Any]]:
        """Return the counts of the cases that are done of a plan."""
        return [line["counts"] for line in self.lines if line["plan"] == plan]

    def add(self, plan: list[Any], counts: dict[str, Any]) -> None:
        """Keep the counts of some cases."""
        if self.path:
            with self.path.open("a") as stream:
                stream.write(json.dumps({"plan": plan, "counts": counts}) + "\n")


def fuzz(
    formats: tuple[str, ...] = tuple(TABLE),
    *,
    cases: int = 300,
    kinds: tuple[str, ...] = ALL,
    seed: int = 1,
    limits: Limits | None = None,
    children: int = 2,
    batch: int = 1,
    keep: Path | None = None,
    journal: Path | None = None,
    progress: Callable[[Tally], None] = lambda tally: None,
    advance: Callable[[Tally, str], None] = lambda tally, story: None,
) -> list[Tally]:
    """Run ``cases`` cases of each format, divided among its recordings.

    Parameters
    ----------
    keep : Path, optional
        Where the files of defects are left, a folder each.
    journal : Path, optional
        A file of what is done; cases of the same plan that it holds are not run again.
    progress, advance : callable
        Called after each format, and after some cases of a recording.
    """
    dask.config.set(scheduler="synchronous")
    for name in formats:
        reader(name)
    limits = limits or Limits()
    with tempfile.TemporaryDirectory(prefix="neurodata-fuzz-", dir=_memory_folder()) as folder:
        found = _prepare(Path(folder), made(formats))
        server = Server(_read, Path(folder), limits, children, batch)
        kept = Journal(journal)
        tallies = []
        for name in formats:
            tally = Tally(name)
            started = time.monotonic()
            for recording, valid in found[name]:
                share = -(-cases // len(found[name]))
                if valid is None:
                    tally.defects.append(
                        {"class": "unmade", "recording": recording.story, "found": "no recording"}
                    )
                    continue
                for _ in _recording(server, tally, valid, (recording, kinds, share, seed), keep,
                                    kept):  # fmt: skip
                    advance(tally, recording.story)
            tally.seconds = time.monotonic() - started
            tallies.append(tally)
            progress(tally)
    return tallies


def _memory_folder() -> str | None:
    shared = Path("/dev/shm")  # cases write and read small files: memory is fast enough
    return str(shared) if shared.is_dir() else None


def _prepare(
    folder: Path, recordings: dict[str, list[Made]]
) -> dict[str, list[tuple[Made, Valid | None]]]:
    """Make all recordings, each in a child, and read each once, so that all is imported."""
    flat = [item for group in recordings.values() for item in group]
    numbers = {id(item): number for number, item in enumerate(flat)}
    server = Server(partial(_make, folder, numbers), folder / "made", AMPLE)
    found: dict[str, list[tuple[Made, Valid | None]]] = {name: [] for name in recordings}
    facts = {id(done.case): done.result for done in server.run(flat)}
    for item in flat:
        result, root = facts[id(item)], folder / str(numbers[id(item)])
        if result["class"] != "made":
            found[item.format].append((item, None))
            continue
        valid = item.valid(root, result["main"], result["victims"])
        if outcome(root, item.format, item.declared)["class"] != "accepted":
            valid = replace(valid, only=item.format)
        found[item.format].append((item, valid))
    return found


def _make(folder: Path, numbers: dict[int, int], item: Made, slot: Path) -> dict[str, Any]:
    return {"class": "made", **item.make(folder / str(numbers[id(item)]))}


def _recording(
    server: Server,
    tally: Tally,
    valid: Valid,
    plan: tuple[Made, tuple[str, ...], int, int],
    keep: Path | None,
    journal: Journal,
) -> Iterator[None]:
    """Run the cases of a recording that are not done, and count them, some at a time."""
    recording, kinds, share, seed = plan
    whole = Case(recording, valid, Damage("none", "undamaged", valid.files), -1)
    (sound,) = (done.result for done in server.run([whole]))
    if sound["class"] != "accepted":
        tally.defects.append({"class": "unread", "recording": recording.story, "found": sound})
        return
    own = int(hashlib.sha256(recording.story.encode()).hexdigest()[:8], 16)
    damages = draw(valid, kinds, share, seed + own)
    named = [tally.format, recording.story, list(kinds), share, seed]
    before = journal.done(named)
    for counts in before:
        tally.include(counts)
    cases = islice(
        (Case(recording, valid, damage, n) for n, damage in enumerate(damages)),
        sum(counts["cases"] for counts in before), None,
    )  # fmt: skip
    while True:
        part = Tally(tally.format)
        for done in server.run(islice(cases, CHUNK)):
            _count(part, done, sound, keep)
        tally.include(part.as_dict())
        if part.cases:
            journal.add(named, part.as_dict())
            yield
        if part.cases < CHUNK:
            return


def _count(tally: Tally, done: Done, sound: dict[str, Any], keep: Path | None) -> None:
    """Judge a case, and leave its files where it shows a defect."""
    before, case = len(tally.defects), done.case
    tally.add(case, done, sound)
    if keep and len(tally.defects) > before:
        name = f"{case.made.story}-{case.number}-{tally.defects[-1]['class']}"
        _write(keep / name, case.damage.files)


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def _read(case: Case, folder: Path) -> dict[str, Any]:
    """Write the damaged files and read them, first as those of a pipeline with checksums."""
    root = folder / "raw"
    _write(root, case.damage.files)
    stated = {
        name: Fingerprint(len(data), hashlib.sha256(data).hexdigest())
        for name, data in case.valid.files.items()
    }
    same = case.damage.kind != "none" and known(root, stated)
    found = outcome(root, case.made.format, case.made.declared, case.valid.only)
    return {**found, "known": same}


def lines(tallies: list[Tally]) -> Iterator[str]:
    """Yield a table of the counts, and below it the defects."""
    names = [name for name in CLASSES if any(t.classes[name] for t in tallies)]
    yield "  ".join(["format".ljust(12), "cases", *(n.rjust(len(n)) for n in names), "defects",
                     "   MiB", "      s"])  # fmt: skip
    for t in tallies:
        counts = [str(t.classes[n]).rjust(len(n)) for n in names]
        yield "  ".join([t.format.ljust(12), str(t.cases).rjust(5), *counts,
                         str(len(t.defects)).rjust(7), f"{t.peak_mib:6.0f}",
                         f"{t.seconds:7.1f}"])  # fmt: skip
    for t in tallies:
        for defect in t.defects[:SHOWN]:
            yield f"{t.format}: {defect}"
