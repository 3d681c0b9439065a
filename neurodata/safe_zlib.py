"""The door for zlib streams within files: unpacked once, in bounded memory, checksum included."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neurodata.errors import UnreadableError, UnsafeError

STREAM_LIMIT_BYTES = 2**32
_BLOCK_BYTES = 2**20


def inflated_start(path: Path, start: int, size: int, count: int) -> bytes:
    """Return the first ``count`` unpacked bytes of a stream.

    Raises
    ------
    UnreadableError
        When the compression is damaged.
    """
    with path.open("rb") as stream:
        stream.seek(start)
        try:
            return zlib.decompressobj().decompress(stream.read(min(size, 4 * count)), count)
        except zlib.error as error:
            raise _damaged(path, start, error) from error


def inflated(
    path: Path, start: int, size: int, limit: int = STREAM_LIMIT_BYTES
) -> np.ndarray[Any, Any]:
    """Return an unpacked stream as bytes, mapped from an unnamed temporary file.

    Parameters
    ----------
    start, size : int
        Where the stream lies in the file.
    limit : int
        How many bytes it may unpack to.

    Raises
    ------
    UnreadableError
        When the stream is damaged, cut, followed by other bytes or empty, or there is no room.
    UnsafeError
        When it unpacks to more than ``limit`` bytes.
    """
    total = 0
    with tempfile.TemporaryFile(prefix="neurodata-") as spool:
        for block in _blocks(path, start, size):
            total += len(block)
            if total > limit:
                found = f"over {limit} bytes unpacked"
                raise UnsafeError(path.name, found, f"at most {limit}", "save it uncompressed")
            try:
                spool.write(block)
                spool.flush()
            except OSError as error:
                found = f"no room to unpack it ({error.strerror})"
                raise UnreadableError(path.name, found, "room", "set TMPDIR") from error
        if not total:
            raise _damaged(path, start, "no content")
        return np.memmap(spool, dtype="u1", mode="r", shape=(total,))


def _blocks(path: Path, start: int, size: int) -> Iterator[bytes]:
    unpacker, left = zlib.decompressobj(), size
    with path.open("rb") as stream:
        stream.seek(start)
        try:
            while left and not unpacker.eof:
                packed = stream.read(min(left, _BLOCK_BYTES))
                left -= len(packed)
                if not packed:
                    break
                while packed and not unpacker.eof:
                    yield unpacker.decompress(packed, 4 * _BLOCK_BYTES)
                    packed = unpacker.unconsumed_tail
            yield unpacker.flush()
        except zlib.error as error:
            raise _damaged(path, start, error) from error
    if not unpacker.eof or unpacker.unused_data or left:
        raise _damaged(path, start, "a stream that does not end where it should")


def _damaged(path: Path, start: int, found: object) -> UnreadableError:
    where = f"{path.name}: byte {start}"
    return UnreadableError(
        where, f"damaged compression ({found})", "an intact file", "copy it again"
    )
