"""Scratch space of the one door: unpacked copies and large arrays, gone with the block or process.

Nothing is written beside raw files, and what a packed file may unpack to is bounded.
"""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurodata.errors import UnreadableError, UnsafeError
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
