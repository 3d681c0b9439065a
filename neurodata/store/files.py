"""The store's own file operations: the one door through which it writes, renames and removes.

They are calls of `os` by name, so that a test can make each one fail, or die before it.
"""

# ruff: noqa: PTH102, PTH103, PTH104, PTH105, PTH106, PTH108

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import numpy.typing as npt

from neurodata.errors import IntegrityError, StoreError

BLOCK_BYTES = 2**20
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
OVER = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
FULL = (errno.ENOSPC, errno.EDQUOT)
ANY_DISK = "a disk to write on"
Bytes = bytes | npt.NDArray[Any]


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write(path: Path, data: Bytes) -> None:
    """Write a new file; it is not yet synced."""
    write_parts(path, [data])


def write_parts(path: Path, parts: Iterable[Bytes]) -> int:
    """Write a new file part by part and return its size in bytes."""
    with _opened(path, NEW | os.O_NOFOLLOW) as descriptor:
        return sum(_write_all(descriptor, part) for part in parts)


def append(path: Path, data: Bytes) -> None:
    """Write to the end of a file, which is made if it is not there; it is not yet synced."""
    with _opened(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW) as descriptor:
        _write_all(descriptor, data)


def overwrite(path: Path, data: Bytes) -> None:
    """Write a file, also where there is one; it is not yet synced."""
    with _opened(path, OVER | os.O_NOFOLLOW) as descriptor:
        _write_all(descriptor, data)


def _write_all(descriptor: int, part: Bytes) -> int:
    data, done = memoryview(part), 0  # type: ignore[arg-type]
    while done < len(data):
        done += os.write(descriptor, data[done:])
    return done


def scratch(path: Path) -> int:
    """Open a new file to write and read, take its name away, and return its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.unlink(path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def write_at(descriptor: int, data: memoryview, start: int) -> None:
    """Write bytes at a place of an open file."""
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], start + done)


def sync(path: Path) -> None:
    """Force a file or a folder to the disk."""
    with _opened(path, os.O_RDONLY | os.O_NONBLOCK) as descriptor:  # a pipe would wait
        os.fsync(descriptor)


def sync_tree(folder: Path) -> None:
    """Force all files below a folder, then all folders, to the disk."""
    for parent, _, names in os.walk(folder, topdown=False, onerror=_stop):
        for name in names:
            sync(Path(parent, name))
        sync(Path(parent))


def _stop(error: OSError) -> NoReturn:
    raise error


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


def make_folder(path: Path) -> None:
    """Make a folder that must not exist yet."""
    os.mkdir(path)


def make_folders(path: Path) -> None:
    """Make a folder and those above it, where they do not exist yet."""
    os.makedirs(path, exist_ok=True)


def rename(source: Path, target: Path) -> None:
    """Move a folder to a name that must not exist yet, and sync the parent."""
    os.rename(source, target)
    sync(target.parent)


def replace(source: Path, target: Path) -> None:
    """Move a file to a name, in the place of what is there, and sync the parent."""
    os.replace(source, target)
    sync(target.parent)


def date(path: Path, time_ns: int) -> None:
    """Set the time at which a file was modified, in nanoseconds since 1970."""
    os.utime(path, ns=(time_ns, time_ns))


def remove(path: Path) -> None:
    """Remove a file, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def remove_tree(folder: Path) -> None:
    """Remove a folder and what is below it."""
    shutil.rmtree(folder)


def try_remove_tree(folder: Path) -> bool:
    """Remove a folder and what is below it, as far as that goes, and say whether it is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    return not os.path.lexists(folder)


def remove_empty(folder: Path) -> None:
    """Remove a folder if it is empty."""
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder with all that is below it and its times to a new one."""
    shutil.copytree(source, target)


@contextlib.contextmanager
def on_disk(root: Path, needed: Callable[[], int] | None = None) -> Iterator[None]:
    """Make what the operating system refuses a `StoreError` that says how much room is free.

    ``needed`` gives the bytes that are needed; it is asked when the disk is full.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in FULL
        wanted = room_for(needed()) if full and needed else ANY_DISK
        raise refusal(root, error, full=full, wanted=wanted) from error


def free_bytes(root: Path) -> int:
    """Return the bytes that are free on the disk of a folder, which may not be there yet."""
    return shutil.disk_usage(next(p for p in (root, *root.parents) if p.exists())).free


def room_for(needed: int) -> str:
    """Return what is expected of a disk, for a message."""
    return f"room for about {needed} bytes"


def refusal(root: Path, error: Exception, *, full: bool, wanted: str = ANY_DISK) -> StoreError:
    """Return the error for a disk that is full or fails, with the bytes that are free."""
    found = f"{error} ({free_bytes(root)} bytes free)"
    hint = "free some room" if full else "check the disk and its permissions, then do it again"
    return StoreError(str(root), found, wanted, hint)


def read(path: Path) -> bytes:
    """Return the bytes of a regular file.

    Raises
    ------
    OSError
        When it cannot be read, or is a pipe or a device, which might never end.
    """
    with _opened(path, os.O_RDONLY | os.O_NONBLOCK) as descriptor:  # a pipe would wait
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        with open(descriptor, "rb", closefd=False) as stream:
            return stream.read()


def is_regular(path: Path) -> bool:
    """Say whether there is a regular file, not a link to one, a folder, a pipe or a device."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def sha256(path: Path, spent: Callable[[int], None] | None = None) -> str:
    """Return the hex sha256 of a regular file, read in blocks; ``spent`` gets the bytes of each."""
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with open(descriptor, "rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
            if spent:
                spent(len(block))
    return digest.hexdigest()


def listing(folder: Path) -> dict[str, int]:
    """Return the size of every regular file below a folder, by its path.

    Raises
    ------
    IntegrityError
        When the folder is a link, or there is a link or a special file below it.
    """
    found = {}
    if folder.is_symlink():
        raise _link(folder)
    for parent, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(parent, name)
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise _link(path)
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = path.stat().st_size
    return found


def _link(path: Path) -> IntegrityError:
    return IntegrityError(str(path), "a link", "a regular file or folder", "ingest it again")


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
    make_folders(path.parent)
    while True:
        with _opened(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_open_at(descriptor, path):
                try:
                    yield
                finally:  # a process forked meanwhile has the lock too, and keeps it otherwise
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
                return


@contextlib.contextmanager
def if_free(path: Path) -> Iterator[bool]:
    """Say whether no living process holds the lock on a file, and hold it meanwhile."""
    with contextlib.ExitStack() as held:
        try:
            descriptor = held.enter_context(_opened(path, os.O_RDWR | os.O_NOFOLLOW))
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (FileNotFoundError, BlockingIOError):
            free = False  # it is gone, or somebody works under it
        else:
            free = True
        yield free


def _is_open_at(descriptor: int, path: Path) -> bool:
    """Say whether a path still leads to an open file, which a sweep may have removed."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
