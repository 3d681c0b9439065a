"""A bounded folder of chunks on the local disk, shared by processes, the least used going first.

Whoever reads an entry checks it: a damaged one is dropped and fetched again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import stat
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from neurodata.errors import InvalidInputError, StoreError

FOLDER = "chunks-1"
LEDGER = "used"
VARIABLE = "NEURODATA_CACHE"
DEFAULT_MB = 4096.0
BLOCK_BYTES = 4096
LOW_WATER = 0.9
ENTRY = re.compile(r"[0-9a-f]{64}(\.[0-9a-f]{32}\.part)?")


def cache_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the cache: as given, ``$NEURODATA_CACHE``, or the platform's.

    Examples
    --------
    >>> cache_folder("/tmp/mine").as_posix()
    '/tmp/mine'
    """
    if given := folder or os.environ.get(VARIABLE):
        return Path(given).absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "neurodata"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neurodata"


def clean_cache(folder: str | os.PathLike[str] | None = None) -> int:
    """Remove everything that the cache holds and return how many bytes that frees.

    Raises
    ------
    StoreError
        When the folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> clean_cache(tempfile.mkdtemp())
    0
    """
    return ChunkCache(cache_folder(folder), DEFAULT_MB).clear()


# A child that is forked while a thread holds the lock of the cache would hold it for ever.
_no_fork = threading.Lock()
os.register_at_fork(
    before=_no_fork.acquire, after_in_parent=_no_fork.release, after_in_child=_no_fork.release
)


class _Entry(NamedTuple):
    used_s: float
    nbytes: int
    path: str


class ChunkCache:
    """Entries by the hex sha256 of what they are; the sum of their sizes stays below a limit.

    Parameters
    ----------
    folder : Path
        Only entries in its sub-folder ``chunks-1`` are ever written or removed.
    limit_mb : float
        In units of 10^6 bytes.

    Raises
    ------
    StoreError
        When the folder cannot be written.
    """

    def __init__(self, folder: Path, limit_mb: float = DEFAULT_MB) -> None:
        if not limit_mb > 0:
            raise InvalidInputError("cache_mb", repr(limit_mb), "a number above 0")
        self.folder = folder / FOLDER
        self.limit_bytes = int(limit_mb * 1e6)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.mkdir(exist_ok=True, mode=0o700)
            with self._ledger():
                pass
        except OSError as error:
            raise StoreError(
                str(self.folder), f"no folder to write ({error.strerror})", "one",
                f"give cache=, or set ${VARIABLE}",
            ) from error  # fmt: skip

    @staticmethod
    def key(*parts: object) -> str:
        """Return the name of an entry."""
        return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()

    def path(self, key: str) -> Path:
        """Return where an entry is or would be."""
        return self.folder / key[:2] / key

    def has(self, key: str) -> bool:
        """Say whether there is an entry; whether it is intact shows when it is read."""
        return os.path.lexists(self._name(key))

    def get(self, key: str) -> bytes | None:
        """Return an entry's bytes, unchecked, or None where there is none."""
        try:
            descriptor = os.open(self._name(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode) or state.st_size > self.limit_bytes:
                return None
            with contextlib.suppress(OSError):
                os.utime(descriptor)
            return os.read(descriptor, state.st_size)
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def put(self, key: str, data: bytes) -> bool:
        """Keep some bytes, if there is room; a full disk is no error, as nothing is lost."""
        return self.put_all([(key, data)]) == 1

    def put_all(self, items: Iterable[tuple[str, bytes]]) -> int:
        """Keep the bytes of several entries, as `put` does, and return of how many."""
        kept = 0
        with contextlib.suppress(OSError), self._ledger() as ledger:
            for key, data in items:
                nbytes = _blocks(len(data))
                if nbytes <= self.limit_bytes:
                    self._make_room(ledger, nbytes)
                    _write(self._name(key), data)
                    kept += 1
        return kept

    def drop(self, key: str) -> None:
        """Remove an entry, such as a damaged one."""
        _remove(self._name(key))

    def clear(self) -> int:
        """Remove all entries and return the bytes that they took."""
        with self._ledger() as ledger:
            held = sum(entry.nbytes for entry in self._entries())
            ledger.write(self._evict(0))
        return held

    def used_bytes(self) -> int:
        """Return the bytes that all entries take on the disk, in whole blocks."""
        with self._ledger():
            return sum(entry.nbytes for entry in self._entries())

    def _name(self, key: str) -> str:
        return f"{self.folder}{os.sep}{key[:2]}{os.sep}{key}"

    def _make_room(self, ledger: _Ledger, nbytes: int) -> None:
        """Enter bytes that will be written; the ledger errs on the safe side, if at all."""
        used = ledger.read() + nbytes
        if used > self.limit_bytes:
            low = min(int(self.limit_bytes * LOW_WATER), self.limit_bytes - nbytes)
            used = self._evict(low) + nbytes
        ledger.write(used)

    def _evict(self, low_bytes: int) -> int:
        """Remove the least used entries until at most so many bytes are left; return these."""
        entries = sorted(self._entries())
        used = sum(entry.nbytes for entry in entries)
        for entry in entries:
            if used <= low_bytes:
                break
            _remove(entry.path)
            used -= entry.nbytes
        return used

    def _entries(self) -> Iterator[_Entry]:
        """Yield what is in the cache; what a dead process left half written is the oldest."""
        with contextlib.suppress(FileNotFoundError):
            for shelf in os.scandir(self.folder):
                if len(shelf.name) == 2 and shelf.is_dir(follow_symlinks=False):
                    for found in os.scandir(shelf.path):
                        if ENTRY.fullmatch(found.name):
                            yield from _entry(found)

    @contextlib.contextmanager
    def _ledger(self) -> Iterator[_Ledger]:
        """Hold the lock of the cache, with the number of bytes in it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with _no_fork:
            descriptor = os.open(self.folder / LEDGER, flags, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield _Ledger(descriptor)
            finally:
                os.close(descriptor)


class _Ledger(NamedTuple):
    """The file that says how many bytes the entries take, as long as its lock is held."""

    descriptor: int

    def read(self) -> int:
        text = os.pread(self.descriptor, 20, 0)
        return int(text) if text.strip().isdigit() else 2**62  # unknown: count again

    def write(self, used: int) -> None:
        os.pwrite(self.descriptor, b"%20d" % used, 0)


def _blocks(nbytes: int) -> int:
    return -(-nbytes // BLOCK_BYTES) * BLOCK_BYTES


def _entry(found: os.DirEntry[str]) -> Iterator[_Entry]:
    try:
        state = found.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    dead = found.name.endswith(".part")  # as whoever writes holds the lock
    yield _Entry(0.0 if dead else state.st_mtime, _blocks(state.st_size), found.path)


def _write(name: str, data: bytes) -> None:
    part = f"{name}.{uuid.uuid4().hex}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    os.makedirs(os.path.dirname(name), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120
    try:
        with open(os.open(part, flags, 0o600), "wb") as stream:
            stream.write(data)
        os.replace(part, name)  # noqa: PTH105 (hot path)
    except OSError:
        _remove(part)
        raise


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)  # noqa: PTH108 (hot path)
