"""The store's own file operations: every write outside Zarr, every fsync and the one rename."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy.typing as npt

from neurodata.errors import IntegrityError

BLOCK_BYTES = 2**20
Bytes = bytes | npt.NDArray[Any]


def write(path: Path, data: bytes) -> None:
    """Write a new file; it is not yet synced."""
    with path.open("xb") as stream:
        stream.write(data)


def write_parts(path: Path, parts: Iterable[Bytes]) -> int:
    """Write a new file part by part and return its size in bytes."""
    size = 0
    with path.open("xb", buffering=0) as stream:
        for part in parts:
            data, done = memoryview(part), 0  # type: ignore[arg-type]
            while done < len(data):
                done += stream.write(data[done:])
            size += done
    return size


def sync(path: Path) -> None:
    """Force a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Force all files below a folder, then all folders, to the disk."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(Path(parent, name))
        sync(Path(parent))


class Syncing(contextlib.AbstractContextManager["Syncing"]):
    """Forces a folder with all that is below it to the disk, in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self._pool = ThreadPoolExecutor(1, "neurodata-sync")
        self._done = self._pool.submit(sync_tree, folder)

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def finish(self) -> None:
        """Wait for it, and raise what the disk said: it says so only once."""
        self._done.result()


def rename(source: Path, target: Path) -> None:
    """Move a folder to a name that must not exist yet, and sync the parent."""
    source.rename(target)
    sync(target.parent)


def sha256(path: Path) -> str:
    """Return the hex sha256 of a regular file, read in blocks."""
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with open(descriptor, "rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def listing(folder: Path) -> dict[str, int]:
    """Return the size of every regular file below a folder, by its path.

    Raises
    ------
    IntegrityError
        When there is a link or a special file.
    """
    found = {}
    for parent, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(parent, name)
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise IntegrityError(str(path), "a link", "a regular file", "ingest it again")
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = path.stat().st_size
    return found


class Hashing(contextlib.AbstractContextManager["Hashing"]):
    """Takes the sha256 of files below a folder in a thread of its own, in the order given."""

    def __init__(self, folder: Path, paths: Iterable[str]) -> None:
        self._pool = ThreadPoolExecutor(1, "neurodata-sha256")
        self._given = {path: self._pool.submit(sha256, folder / path) for path in paths}

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def finish(self) -> Mapping[str, str]:
        """Wait for all and return them by path."""
        return {path: given.result() for path, given in self._given.items()}


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file while the block runs; it ends with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if _is_open_at(stream.fileno(), path):
                try:
                    yield
                finally:  # a process forked meanwhile has the lock too, and keeps it otherwise
                    fcntl.flock(stream, fcntl.LOCK_UN)
                return


@contextlib.contextmanager
def if_free(path: Path) -> Iterator[bool]:
    """Say whether no living process holds the lock on a file, and hold it meanwhile."""
    with path.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def _is_open_at(descriptor: int, path: Path) -> bool:
    """Say whether a path still leads to an open file, which a sweep may have removed."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
