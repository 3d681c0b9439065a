"""Where the bytes of one version come from: a local folder here, a remote one in `remote`."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from neurodata.errors import IntegrityError

AGAIN = "restore the folder from a copy, or delete it and ingest the source again"
OPEN_FILES = 128
_own = threading.local()

Array = npt.NDArray[Any]

Range = tuple[str, int, int]
"""A part of a file: path below the version's folder, first byte, number of bytes."""


class Files(Protocol):
    """The files of one version, by their path below its folder."""

    @property
    def where(self) -> str:
        """The folder or address, for messages."""
        ...

    def read(self, path: str, start: int, length: int) -> bytes:
        """Return ``length`` bytes from ``start``, or from the end where ``start`` is negative.

        Raises
        ------
        IntegrityError
            When the file is missing or too short.
        """
        ...

    def view(self, path: str, start: int, length: int) -> Array:
        """Return bytes as uint8, in memory that this thread's next call uses again."""
        ...

    def fill(self, path: str, start: int, parts: Sequence[Array]) -> None:
        """Read a part of a file straight into contiguous uint8 arrays, end to end."""
        ...

    def size(self, path: str) -> int:
        """Return the size of a file in bytes."""
        ...

    def file(self, path: str) -> OpenFile | None:
        """Return a file to read from by position while it is held, or None where there is none."""
        ...

    def fetch(self, ranges: Sequence[Range]) -> None:
        """Get ready for these reads; what is near at hand needs nothing."""
        ...

    def waits(self, path: str, start: int) -> bool:
        """Say whether a read from there on would wait for what `fetch` brings."""
        ...

    def close(self) -> None:
        """Let go of what is kept open for further reads."""
        ...


class LocalFiles:
    """The files of a version on a local disk, read by position: threads and forks may share it.

    A read by position, unlike a memory map, of a file that was cut short under our feet is an
    error and no crash of the process. What was kept open of the same folder is let go: it may
    have been damaged and made again since.

    Parameters
    ----------
    folder : Path
    sizes : mapping of str to int
        Bytes of every file, as the manifest says.
    """

    def __init__(self, folder: Path, sizes: Mapping[str, int]) -> None:
        self.folder = folder
        self.where = str(folder)
        self.sizes = sizes
        self.close()

    def read(self, path: str, start: int, length: int) -> bytes:
        """Return a part of a file (see `Files`)."""
        return self.view(path, start, length).tobytes()

    def view(self, path: str, start: int, length: int) -> Array:
        """Return a part of a file in this thread's memory (see `Files`)."""
        memory = room("packed", length)
        self.fill(path, start, [memory])
        return memory

    def fill(self, path: str, start: int, parts: Sequence[Array]) -> None:
        """Read a part of a file straight into memory (see `Files`)."""
        handle = self.file(path)
        first = start if start >= 0 else max(0, handle.size + start)
        length = sum([part.nbytes for part in parts])
        try:
            count = os.preadv(handle.descriptor, [p.data for p in parts], first) if length else 0
        except OSError as error:
            raise IntegrityError(
                handle.path, f"no read ({error.strerror})", "a file", AGAIN
            ) from error
        if count != length:
            found = f"{count} of {length} bytes at {first}"
            raise IntegrityError(handle.path, found, "all of them", AGAIN)

    def size(self, path: str) -> int:
        """Return the size of a file in bytes."""
        return self.file(path).size

    def file(self, path: str) -> OpenFile:
        """Return an open file (see `Files`)."""
        handle = _HANDLES.get(f"{self.where}{os.sep}{path}")
        if handle.size != self.sizes.get(path):
            found, expected = f"{handle.size} bytes", f"{self.sizes.get(path)} bytes"
            raise IntegrityError(handle.path, found, expected, AGAIN)
        return handle

    def fetch(self, ranges: Sequence[Range]) -> None:
        """Let the kernel read them from the disk, many at once, where it does not have them."""
        if advise := getattr(os, "posix_fadvise", None):
            for path, start, length in ranges:
                advise(self.file(path).descriptor, start, length, os.POSIX_FADV_WILLNEED)

    def waits(self, path: str, start: int) -> bool:
        """Say whether a read would wait for the disk, as far as the kernel tells."""
        if nowait := getattr(os, "RWF_NOWAIT", 0):
            try:
                os.preadv(self.file(path).descriptor, [bytearray(1)], start, nowait)
            except OSError:
                return True
        return False

    def close(self) -> None:
        """Close what was kept open for further reads."""
        _HANDLES.drop(self.where)


def room(name: str, nbytes: int) -> Array:
    """Return memory of this thread; to touch new pages costs more than to read into them."""
    memory: Array | None = getattr(_own, name, None)
    if memory is None or memory.nbytes < nbytes:
        memory = np.empty(nbytes, "u1")
        setattr(_own, name, memory)
    return memory[:nbytes]


class OpenFile:
    """An open file and its descriptor; it is closed when nobody reads from it any more."""

    __slots__ = ("descriptor", "path", "size")

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor = -1
        try:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise IntegrityError(path, f"no file ({error.strerror})", "one", AGAIN) from error
        self.size = os.fstat(self.descriptor).st_size

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


class _Handles:
    """The files that were read last, kept open up to a number."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: OrderedDict[str, OpenFile] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str) -> OpenFile:
        with self._lock:
            handle = self._open.get(path)
            if handle is not None:
                self._open.move_to_end(path)
                return handle
        handle = OpenFile(path)
        with self._lock:
            self._open[path] = handle
            while len(self._open) > self._limit:
                self._open.popitem(last=False)
        return handle

    def drop(self, folder: str) -> None:
        with self._lock:
            for path in [p for p in self._open if p.startswith(folder + os.sep)]:
                del self._open[path]


_HANDLES = _Handles(OPEN_FILES)


def _after_fork(*_: Any) -> None:
    _HANDLES._lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
