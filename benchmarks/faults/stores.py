"""Published stores and splits: rot, old formats, a lost catalogue, sides that overlap or drift."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults import rot
from benchmarks.faults.case import Case
from neurodata import open_store
from neurodata.errors import NeurodataError
from neurodata.splits import Split, audit, make_split
from neurodata.store import Store
from tests.make_frozen_store import FOLDER
from tests.synthetic_catalogue import SyntheticStore, recording, subjects, timeseries

Counts = Mapping[str, int]
CATALOGUE = "catalog.sqlite"
COLUMNS = "dataset, recording, version, content, recipe, size_bytes, attrs, summary"


def cases(quick: bool = False) -> Iterator[Case]:
    """Yield the cases of this module."""
    flips = 20 if quick else 1000
    yield _act("store: flips", 52, f"{flips} random bits over all files, found by verify",
               partial(_flips, flips, None))  # fmt: skip
    yield _act("store: metadata", 52, f"a bit in {flips} bytes of metadata files, found by verify",
               partial(_flips, 0, flips))  # fmt: skip
    yield _act("store: removals", 52, "each file removed, and one added to each folder",
               _removals)  # fmt: skip
    yield _act("store: chunks on reading", 52, "random bits in chunks, found by the loader's reads",
               partial(_chunks, flips // 5, False))  # fmt: skip
    yield _act("store: chunks through xarray", 52, "random bits in chunks, found on reading"
               " (through xarray the error is zarr-python's ValueError of a checksum)",
               partial(_chunks, flips // 5, True))  # fmt: skip
    yield _act("store: format 1", 54, "a store of the first format opens, verifies and reads",
               _frozen, valid=True)  # fmt: skip
    for name, damage in list(_DAMAGES.items())[: 10 if quick else None]:
        story = f"a catalogue that {name}: told, and made again with equal rows"
        yield _act(f"catalogue: {name}", 56, story, partial(_rebuilt, damage))
    yield from _overlaps()
    yield from _gaps()
    yield _act("split: subjects added", 49, "subjects are added: nobody moves", _added, valid=True)
    yield _act("split: bytes changed", 49, "each byte of a split file changed, found on reading",
               partial(_edited, 60 if quick else 1000))  # fmt: skip
    yield _act("split: versions replaced", 49, "recordings that the store replaced or lost",
               _replaced)  # fmt: skip


def _act(name: str, fault: int, story: str, act: Callable[[Path], Counts], **more: Any) -> Case:
    return Case(name, fault, story, act=act, **more)


# 52


def _flips(count: int, metadata: int | None, folder: Path) -> Counts:
    root = rot.make(folder / "store").path
    places = list(rot.drawn(root, count, 1)) if count else rot.metadata_bits(root, 1, metadata)
    return rot.flips(root, places).verified


def _removals(folder: Path) -> Counts:
    return rot.removals(rot.make(folder / "store").path).verified


def _chunks(count: int, through_xarray: bool, folder: Path) -> Counts:
    root = rot.make(folder / "store").path
    chunks = [place for place in rot.drawn(root, 9 * count, 2) if not rot.is_metadata(place[0])]
    return rot.reads(root, chunks[:count], through_xarray)


# 54, 56


def _frozen(folder: Path) -> Counts:
    """Open a copy of the store that was written once; the numbers are from its maker's text."""
    store = open_store(rot.copy(FOLDER, folder / "store"))
    signal = store["lab/synthetic_eeg"]["eeg"].to_dataset()["signal"]
    wanted = np.array([1105e-7, 674e-7, 404e-7 + 1e-6, 15e-7 - 1e-6], "f4")
    edges = store["net/synthetic_graph"]["graph"].to_dataset()
    checks = (
        store.verify() == [],
        len(store.ids()) == 3,
        np.array_equal(signal.values[0], wanted),
        edges["weight"].values.tolist() == [5, 1, 2],
    )
    return Counter("right" if check else "silent" for check in checks)


def _rows(root: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(root / CATALOGUE)) as connection:
        return sorted(connection.execute(f"SELECT {COLUMNS} FROM versions"))  # noqa: S608


def _statement(text: str, root: Path) -> None:
    with closing(sqlite3.connect(root / CATALOGUE)) as connection, connection:
        connection.execute(text)


def _flipped(number: int, root: Path) -> None:
    path = root / CATALOGUE
    rot.flip(path, int(np.random.default_rng(number).integers(8 * path.stat().st_size)))


_DAMAGES: Mapping[str, Callable[[Path], Any]] = {
    "is gone": lambda root: (root / CATALOGUE).unlink(),
    "is empty": lambda root: (root / CATALOGUE).write_bytes(b""),
    "is cut in half": lambda root: (root / CATALOGUE).write_bytes(
        (root / CATALOGUE).read_bytes()[:9000]
    ),
    "is prose": lambda root: (root / CATALOGUE).write_bytes(b"Dear reader, this is prose.\n" * 99),
    "lost a row": partial(_statement, "DELETE FROM versions WHERE dataset = 'net'"),
    "names another content": partial(_statement, "UPDATE versions SET content = 'abc'"),
    "names another version": partial(_statement, "UPDATE versions SET version = 'abc'"),
    "has other facts": partial(_statement, "UPDATE versions SET attrs = '{}'"),
    "has no table": partial(_statement, "DROP TABLE versions"),
    **{f"has a flipped bit ({n})": partial(_flipped, n) for n in range(12)},
}


def _rebuilt(damage: Callable[[Path], Any], folder: Path) -> Counts:
    """Damage a catalogue; it must be told or read as before, and be made again as it was."""
    root = rot.make(folder / "store").path
    before = _rows(root)
    damage(root)
    try:
        told = "flagged" if open_store(root).verify() else _unharmed(root, before)
    except NeurodataError:
        told = "refused"
    again = Store(root).rebuild() == [] and _rows(root) == before
    return {told: 1} if again else {"silent": 1}


def _unharmed(root: Path, before: list[tuple[Any, ...]]) -> str:
    return "right" if _rows(root) == before else "silent"


# 46


def _overlaps() -> Iterator[Case]:
    stretches = {
        "overlapping by 1 s": ((0, 50), (49, 100)),
        "overlapping by a sample": ((0, 50), (49.9, 100)),
        "touching": ((0, 50), (50, 100)), "closer than the gap": ((0, 50), (51, 100)),
        "one inside the other": ((0, 100), (40, 60)), "the same": ((0, 100), (0, 100)),
    }  # fmt: skip
    for name, (train, test) in stretches.items():
        story = f"train and test of one recording, {name}"
        yield _act(f"split: {name}", 46, story, partial(_audited, train, test, False, 2.0))
    story = "a gap of 3 s, and windows of 4 s"
    yield _act("split: windows longer than the gap", 46, story,
               partial(_audited, (0, 48), (51, 100), False, 4.0))  # fmt: skip
    story = "parts of two recordings with the same samples, overlapping"
    yield _act("split: a copy", 46, story, partial(_audited, (0, 50), (40, 100), True, 2.0))
    story = "a gap of 3 s, and windows of 2 s"
    yield _act("split: far enough apart", 46, story,
               partial(_audited, (0, 48), (51, 100), False, 2.0), valid=True)  # fmt: skip


def _audited(
    train: tuple[float, float], test: tuple[float, float], copied: bool, window_s: float,
    folder: Path,
) -> Counts:  # fmt: skip
    store = SyntheticStore()
    store.add("eeg/a", recording("a", {"eeg": timeseries()}, subject="a"))
    store.add("eeg/b", recording("a" if copied else "b", {"eeg": timeseries()}, subject="b"))
    entries: Any = [
        {"id": name, "version": store.version(name), "group": name, "split": side,
         "start_s": float(start), "stop_s": float(stop)}
        for name, side, (start, stop) in (
            ("eeg/a", "train", train), ("eeg/b" if copied else "eeg/a", "test", test),
        )
    ]  # fmt: skip
    try:
        split = Split.sealed("eeg", "time", "", {"train": 0.5, "test": 0.5}, 2.0, entries)
        found = audit(split, store, window_s=window_s)
    except NeurodataError:
        return {"refused": 1}
    return {"refused": 1} if any(p.level == "error" for p in found) else {"right": 1}


def _gaps() -> Iterator[Case]:
    yield _act("split: cuts by time", 46, "random lengths, rates and gaps: no part is closer than "
               "the gap", _cuts, valid=True)  # fmt: skip
    for gap in (0.0, -1.0, np.nan, np.inf):
        story = f"a split by time with a gap of {gap} s"
        yield _act(f"split: gap of {gap}", 46, story, partial(_impossible, gap))


def _cuts(folder: Path) -> Counts:
    random, found = np.random.default_rng(3), Counter[str]()
    for number in range(40):
        store = SyntheticStore()
        rate_hz, n = float(random.uniform(1, 1000)), int(random.integers(20_000, 200_000))
        node = {"eeg": timeseries(n=n, rate_hz=rate_hz, start_s=float(random.normal()))}
        store.add("eeg/a", recording(number, node, subject="a"))
        gap_s = float(random.uniform(0.001, 0.02) * n / rate_hz)
        parts = make_split(store, "eeg", by="time", gap_s=gap_s).assignments
        ends = sorted((part["start_s"], part["stop_s"]) for part in parts)
        apart = all(b[0] - a[1] >= gap_s * (1 - 1e-9) for a, b in pairwise(ends))
        found["right" if apart else "silent"] += 1
    return found


def _impossible(gap_s: float, folder: Path) -> Counts:
    try:
        make_split(subjects(3), "eeg", by="time", gap_s=gap_s)
    except NeurodataError:
        return {"refused": 1}
    return {"silent": 1}


# 49


def _added(folder: Path) -> Counts:
    found = Counter[str]()
    split = make_split(subjects(6), "eeg")
    for count in range(7, 60):
        sides = {entry["id"]: entry["split"] for entry in split.assignments}
        split = make_split(subjects(count), "eeg", existing=split)
        after = {entry["id"]: entry["split"] for entry in split.assignments}
        found["right" if after.items() >= sides.items() else "silent"] += 1
    return found


def _edited(count: int, folder: Path) -> Counts:
    file = make_split(subjects(8), "eeg").write(folder / "split.json")
    whole, found = file.read_bytes(), Counter[str]()
    before = json.loads(whole)
    random = np.random.default_rng(5)
    for place in random.choice(8 * len(whole), min(count, 8 * len(whole)), replace=False).tolist():
        rot.flip(file, place)
        try:
            found["right" if Split.read(file).as_dict() == before else "silent"] += 1
        except NeurodataError:
            found["refused"] += 1
        except Exception:
            found["foreign"] += 1
        rot.flip(file, place)
    return found


def _replaced(folder: Path) -> Counts:
    """Audit a split against a store that lost a recording and the version of another one."""
    store, found = subjects(6), Counter[str]()
    split = make_split(store, "eeg")
    for name in store.ids():
        for lost in (True, False):
            later = subjects(6)
            if lost:
                del later.manifests[name]
            else:
                later.manifests[name].clear()
                later.add(name, recording("another", subject=name))
            errors = [p for p in audit(split, later) if p.level == "error" and name in p.where]
            found["refused" if errors else "silent"] += 1
    return found
