"""Bit rot of a published store: what is flipped, removed or added, and who notices.

A flip changes one bit of one file in place; then `neurodata.store.integrity.verify`, which
``neurodata verify`` calls for every version, compares all files of that version with its manifest,
and the bit is put back. Nothing is shortened: each call hashes every byte of the version. Every
so many flips in a chunk, the array is also read by a store that was opened anew.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from neurodata import open_store
from neurodata.errors import NeurodataError
from neurodata.store import Store
from neurodata.store.commit import versions
from neurodata.store.integrity import verify
from neurodata.store.manifest import NAME
from neurodata.store.version import METADATA
from tests.make_frozen_store import RECORDINGS

Array = np.ndarray[Any, Any]
READ_EVERY = 20


@dataclass
class Rot:
    """Counts of what was done to a store, by outcome, and the first things that went unnoticed."""

    verified: Counter[str] = field(default_factory=Counter)
    read: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: Rot) -> None:
        """Add the counts of another run."""
        self.verified += other.verified
        self.read += other.read
        self.missed += other.missed


def make(folder: Path) -> Store:
    """Publish three small synthetic recordings: shards, chunks, text, volumes, graphs, spikes."""
    store = open_store(folder, create=True)
    for name, recording in RECORDINGS.items():
        dataset, _, own = name.partition("/")
        store.publish(recording(), dataset=dataset, recording=own)
    return store


def files_of(root: Path) -> list[tuple[Path, int]]:
    """Return every file of every version with its size."""
    found = [path for folder in versions(root) for path in folder.rglob("*") if path.is_file()]
    return sorted((path, path.stat().st_size) for path in found)


def is_metadata(path: Path) -> bool:
    """Say whether a file is metadata of Zarr or a manifest."""
    return path.name in (METADATA, NAME)


def version_of(root: Path, path: Path) -> Path:
    """Return the version's folder that a file is in."""
    return root.joinpath(*path.relative_to(root).parts[:3])


def drawn(root: Path, count: int, seed: int) -> Iterator[tuple[Path, int]]:
    """Yield a file and a bit of it, each bit of all versions as likely as any other."""
    listed = files_of(root)
    ends = np.cumsum([size for _, size in listed])
    random = np.random.default_rng(seed)
    for place in random.integers(8 * int(ends[-1]), size=count).tolist():
        number = int(np.searchsorted(ends, place // 8, side="right"))
        yield listed[number][0], place - 8 * int(ends[number] - listed[number][1])


def metadata_bits(root: Path, seed: int, most: int | None = None) -> list[tuple[Path, int]]:
    """Return one bit of every byte of every metadata file, or of so many of these bytes."""
    random = np.random.default_rng(seed)
    every = [
        (path, 8 * at + int(random.integers(8)))
        for path, size in files_of(root)
        if is_metadata(path)
        for at in range(size)
    ]
    if most is None or most >= len(every):
        return every
    return [every[int(n)] for n in random.choice(len(every), most, replace=False)]


def flip(path: Path, bit: int) -> None:
    """Change one bit of a file in place; a second time puts it back."""
    with path.open("r+b") as stream:
        stream.seek(bit // 8)
        (byte,) = stream.read(1)
        stream.seek(bit // 8)
        stream.write(bytes([byte ^ 1 << bit % 8]))


def noticed(action: Callable[[], bool]) -> str:
    """Return the class of an action that says whether it found everything as it was."""
    try:
        return "right" if action() else "silent"
    except NeurodataError:
        return "refused"
    except ValueError as error:  # of zarr-python, where xarray reads through it
        return "refused" if "checksum" in str(error) else "foreign"
    except Exception:
        return "foreign"


def flips(root: Path, places: list[tuple[Path, int]]) -> Rot:
    """Flip bits of a store, one after the other, and say what came of each."""
    rot, whole = Rot(), Originals(root)
    for path, _ in files_of(root):
        if not is_metadata(path):
            whole.keep(path)
    for number, (path, bit) in enumerate(places):
        flip(path, bit)
        try:
            outcome = "refused" if verify(version_of(root, path)) else "silent"
            rot.verified[outcome] += 1
            if outcome == "silent":
                rot.missed.append(f"verify: {path.relative_to(root)}, bit {bit}")
            if number % READ_EVERY == 0 and not is_metadata(path):
                read = noticed(partial(whole.same, path))
                rot.read[read] += 1
                if read in ("silent", "foreign"):
                    rot.missed.append(f"read, {read}: {path.relative_to(root)}, bit {bit}")
        finally:
            flip(path, bit)
    return rot


def reads(root: Path, places: list[tuple[Path, int]], through_xarray: bool) -> Counter[str]:
    """Flip bits in chunks, and say what reading the array makes of each."""
    whole, found = Originals(root, through_xarray), Counter[str]()
    for path, bit in places:
        whole.keep(path)
        flip(path, bit)
        found[noticed(partial(whole.same, path))] += 1
        flip(path, bit)
    return found


class Originals:
    """The arrays of a store as they were written."""

    def __init__(self, root: Path, through_xarray: bool = True) -> None:
        self.root, self.through_xarray = root, through_xarray
        self.arrays: dict[tuple[str, str], Array] = {}

    def _key(self, path: Path) -> tuple[str, str]:
        dataset, recording, _, _, *rest = path.relative_to(self.root).parts
        return f"{dataset}/{recording}", "/".join(rest[: rest.index("c")])

    def same(self, path: Path) -> bool:
        """Read the array of a chunk by a store opened anew, and compare it with what it was."""
        name, key = self._key(path)
        found = self._read(name, key)
        kept = self.arrays.get((name, key))
        return kept is not None and bool(np.array_equal(found, kept, equal_nan=_has_nan(kept)))

    def keep(self, path: Path) -> None:
        """Read the array of an undamaged chunk."""
        name, key = self._key(path)
        if (name, key) not in self.arrays:
            self.arrays[name, key] = self._read(name, key)

    def _read(self, name: str, key: str) -> Array:
        node, _, variable = key.rpartition("/")
        if not self.through_xarray:
            return np.asarray(open_store(self.root).arrays(name).nodes[node][variable].values)
        return np.asarray(open_store(self.root).raw(name)[node][variable].values)


def _has_nan(values: Array) -> bool:
    return bool(values.dtype.kind == "f")


def removals(root: Path) -> Rot:
    """Remove each file of a store, and add one to each folder."""
    rot = Rot()
    for path, _ in files_of(root):
        away = root.parent / "away"
        path.rename(away)
        rot.verified["refused" if verify(version_of(root, path)) else "silent"] += 1
        away.rename(path)
    for folder in sorted({path.parent for path, _ in files_of(root)}):
        extra = folder / "added"
        extra.write_bytes(b"synthetic")
        rot.verified["refused" if verify(version_of(root, extra)) else "silent"] += 1
        extra.unlink()
    return rot


def _share(seed: int, count: int, whole: bool, part: tuple[int, int]) -> Rot:
    """Do one process's share of the flips, on a store of its own."""
    number, of = part
    with tempfile.TemporaryDirectory(prefix="neurodata-rot-", dir=memory_folder()) as folder:
        root = make(Path(folder, "store")).path
        places = list(drawn(root, count, seed)) if count else []
        if whole:
            places += metadata_bits(root, seed)
        return flips(root, places[number::of])


def run(count: int, seed: int = 1, jobs: int = 1) -> Rot:
    """Flip so many random bits, and one bit of every byte of every metadata file.

    Parameters
    ----------
    jobs : int
        Processes, each with a store of its own.
    """
    rot = Rot()
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as pool:
        work = partial(_share, seed, count, True)
        for part in pool.map(work, [(number, jobs) for number in range(jobs)]):
            rot.add(part)
    with tempfile.TemporaryDirectory(prefix="neurodata-rot-", dir=memory_folder()) as folder:
        rot.add(removals(make(Path(folder, "store")).path))
    return rot


def memory_folder() -> str | None:
    """Return a folder in memory, where there is one: files here are small and many."""
    shared = Path("/dev/shm")  # noqa: S108
    return str(shared) if shared.is_dir() else None


def copy(source: Path, target: Path) -> Path:
    """Copy a store without its times, as a version control system does."""
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    return target
