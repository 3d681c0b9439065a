"""Scratch space of the one door: unpacked and lent copies, large arrays, gone with the block.

Nothing is written beside raw files, what a packed file may unpack to is bounded, and a library
that insists on paths sees a private folder with what it is lent, nothing else.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
import warnings
import weakref
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from neurodata.errors import NeurodataError, UnreadableError, UnsafeError
from neurodata.safe import GZIP_RATIO_LIMIT, is_gzip

BLOCK_BYTES = 2**20
MEMORY_BYTES = 64 * 2**20


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Yield a file's path, or that of an unpacked private copy when it is gzip.

    Raises
    ------
    UnreadableError
        When the stream is truncated, a checksum differs or the disk is full.
    UnsafeError
        When it unpacks to over 200 times its size.

    Examples
    --------
    >>> packed = Path(tempfile.mkdtemp()) / "a.txt.gz"
    >>> _ = packed.write_bytes(gzip.compress(b"spikes"))
    >>> with unpacked(packed) as whole:
    ...     whole.read_bytes()
    b'spikes'
    """
    if not is_gzip(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="neurodata-") as folder:
        copy = Path(folder) / path.name.removesuffix(".gz")
        _unpack(path, copy)
        yield copy


def _unpack(path: Path, copy: Path) -> None:
    bound, total = GZIP_RATIO_LIMIT * path.stat().st_size, 0
    try:
        with gzip.open(path) as stream, copy.open("xb") as out:
            while block := stream.read(BLOCK_BYTES):
                total += len(block)
                if total > bound:
                    found = f"over {bound} bytes unpacked"
                    raise UnsafeError(path.name, found, "less", "unpack it")
                out.write(block)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnreadableError(
            path.name, f"damaged gzip data ({error})", "an intact file", "copy it again"
        ) from error
    except OSError as error:
        raise UnreadableError(
            path.name, f"no room to unpack it ({error})", "space on the disk", "set TMPDIR"
        ) from error


class ScratchFolder:
    """A private folder that lasts as long as this object does, in this process.

    Examples
    --------
    >>> folder = ScratchFolder()
    >>> path = folder.path
    >>> del folder
    >>> path.exists()
    False
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="neurodata-"))
        weakref.finalize(self, _remove, self.path, os.getpid())


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child has a copy of the object
        shutil.rmtree(folder, ignore_errors=True)


def scratch(dtype: npt.DTypeLike, count: int) -> npt.NDArray[Any]:
    """Return an array of ``count`` items to be filled; a large one lies in an unnamed file.

    Examples
    --------
    >>> scratch("f8", 3).shape
    (3,)
    """
    kind = np.dtype(dtype)
    if count * kind.itemsize <= MEMORY_BYTES:
        return np.empty(count, kind)
    with tempfile.TemporaryFile(prefix="neurodata-") as spool:
        return np.memmap(spool, dtype=kind, mode="w+", shape=(count,))


@dataclass(frozen=True)
class Outline:
    """A file without its data.

    Parameters
    ----------
    size : int
        Its size in bytes.
    pieces : sequence of (int, bytes)
        Where pieces of it begin and what they are; between them is a hole, read as zeros.
    """

    size: int
    pieces: Sequence[tuple[int, bytes]]


@contextmanager
def lent(library: str, where: str, files: Mapping[str, bytes | Outline | Path]) -> Iterator[Path]:
    """Yield a private folder with some files; within the block a library may fail in any way.

    Parameters
    ----------
    library : str
        Its name, for messages.
    where : str
        The recording, for messages.
    files : mapping
        Contents by their path below the folder: bytes and outlines are copied, a path is linked.

    Yields
    ------
    Path
        Removed at the end of the block.

    Raises
    ------
    UnsafeError
        When a path leads out of the folder.
    UnreadableError
        When anything within the block fails: damaged headers make a library raise whatever its
        arithmetic raises, bare `Exception` included.

    Examples
    --------
    >>> with lent("a library", "a.con", {"a.con": Outline(8, [(0, b"KIT")])}) as folder:
    ...     (folder / "a.con").read_bytes()
    b'KIT\\x00\\x00\\x00\\x00\\x00'
    """
    with tempfile.TemporaryDirectory(prefix="neurodata-") as name:
        folder = Path(name)
        for below, content in files.items():
            _lend(where, folder, below, content)
        with failing(library, where):
            yield folder


@contextmanager
def failing(library: str, where: str) -> Iterator[None]:
    """Turn every failure of a library within the block into a refusal, its warnings silenced.

    Raises
    ------
    UnreadableError
        In place of any exception that is not our own.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (NeurodataError, ImportError):
        raise
    except Exception as error:
        found = f"a header that {library} cannot read ({type(error).__name__})"
        raise UnreadableError(where, found, "an intact header", "copy it again") from error


def _lend(where: str, folder: Path, below: str, content: bytes | Outline | Path) -> None:
    parts = PurePosixPath(below).parts
    if not parts or parts[0] == "/" or ".." in parts:
        found = f"the path {below!r} out of the folder"
        raise UnsafeError(where, found, "a name below it", "rename the file")
    path = folder / below
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        path.symlink_to(content.resolve())
        return
    outline = content if isinstance(content, Outline) else Outline(len(content), [(0, content)])
    with path.open("xb") as stream:
        for start, piece in outline.pieces:
            stream.seek(start)
            stream.write(piece)
        stream.truncate(outline.size)
