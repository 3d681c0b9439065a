"""From the bytes of a Zarr chunk to its numbers, by a list of known codecs.

Each codec states how much it unpacks to, or is stopped there: nothing larger than the chunk that
the metadata describe is allocated.

References
----------
Zarr 2 specification; Zarr 3 core specification and its codecs; RFC 8878, section 3 (zstd frames);
c-blosc README_CHUNK_FORMAT.rst.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import blosc, lz4, zstd

from neurodata.errors import UnreadableError

CHUNK_LIMIT_BYTES = 512 * 2**20
ZSTD_BLOCK_BYTES = 128 * 2**10
_DAMAGE = (
    ValueError, RuntimeError, TypeError, OverflowError, MemoryError, IndexError, zlib.error,
    struct.error,
)  # fmt: skip


@dataclass(frozen=True)
class Chain:
    """How the chunks of an array are stored.

    Parameters
    ----------
    shape : tuple of int
        Shape of a chunk.
    dtype : numpy.dtype
        Of the stored numbers, their byte order included.
    order : tuple of int
        The axes in the order in which they are stored, slowest first.
    steps : tuple of str
        Names of the codecs over the bytes, in the order of writing.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: tuple[int, ...]
    steps: tuple[str, ...]

    @property
    def bytes_decoded(self) -> int:
        """Size of a decoded chunk."""
        return math.prod(self.shape) * self.dtype.itemsize

    def decode(self, data: bytes, where: str) -> np.ndarray[Any, Any]:
        """Return a chunk's numbers, in the machine's byte order.

        Raises
        ------
        UnreadableError
            When the bytes are damaged, or not as many as the shape asks for.
        """
        unknown = 2 * self.bytes_decoded + ZSTD_BLOCK_BYTES  # what is packed twice
        try:
            for step, size in reversed(list(zip(self.steps, self._sizes(), strict=True))):
                data = DECODERS[step](data, unknown if size is None else size)
                if size is not None and len(data) != size:
                    raise ValueError(f"{len(data)} bytes where {size} were written")
        except _DAMAGE as error:
            raise UnreadableError(
                where, f"a damaged chunk ({error})", "an intact one", "copy or download it again"
            ) from error
        if len(data) != self.bytes_decoded:
            raise UnreadableError(
                where, f"a chunk of {len(data)} bytes", f"{self.bytes_decoded} by its metadata",
                "copy or download it again",
            )  # fmt: skip
        stored = np.frombuffer(data, self.dtype).reshape([self.shape[axis] for axis in self.order])
        return stored.transpose(np.argsort(self.order)).astype(self.dtype.newbyteorder("="))

    def _sizes(self) -> list[int | None]:
        """Return how many bytes went into each step, None where it is not known."""
        sizes: list[int | None] = [self.bytes_decoded]
        for step in self.steps[:-1]:
            before = sizes[-1]
            sizes.append(before + 4 if step == "crc32c" and before is not None else None)
        return sizes[: len(self.steps)]


def _blosc(data: bytes, limit: int) -> bytes:
    if len(data) < 16:
        raise ValueError(f"{len(data)} bytes of blosc")
    unpacked, packed = struct.unpack_from("<I4xI", data, 4)
    if packed != len(data) or unpacked > limit:
        raise ValueError(f"blosc of {packed} to {unpacked} bytes in {len(data)} for {limit}")
    return bytes(blosc.decompress(data))


def _lz4(data: bytes, limit: int) -> bytes:
    (unpacked,) = struct.unpack_from("<I", data)
    if unpacked > limit:
        raise ValueError(f"lz4 of {unpacked} bytes for {limit}")
    return bytes(lz4.decompress(data))


def _zstd(data: bytes, limit: int) -> bytes:
    unpacked = zstd_size(data)
    if unpacked > 2 * limit + 2 * ZSTD_BLOCK_BYTES:  # blocks need not be full
        raise ValueError(f"zstd of {unpacked} bytes for {limit}")
    return bytes(zstd.decompress(data))


def zstd_size(data: bytes) -> int:
    """Return the most bytes that zstd frames unpack to, from the headers of frames and blocks.

    Raises
    ------
    ValueError
        When the bytes are no whole frames.

    Examples
    --------
    >>> from numcodecs import zstd
    >>> 1000 <= zstd_size(zstd.compress(bytes(1000))) <= ZSTD_BLOCK_BYTES
    True
    """
    at = total = 0
    while at < len(data):
        magic, descriptor = struct.unpack_from("<IB", data, at)
        if magic != 0xFD2FB528:
            raise ValueError(f"no zstd frame at byte {at}")
        single, checked = descriptor >> 5 & 1, descriptor >> 2 & 1
        content = (single, 2, 4, 8)[descriptor >> 6]
        field = at + 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
        stated = int.from_bytes(data[field : field + content], "little") if content else 0
        at, size = _zstd_blocks(data, field + content)
        at += 4 * checked
        total += stated + (256 if content == 2 else 0) if content else size
    if at != len(data):
        raise ValueError(f"zstd frames up to byte {at} of {len(data)}")
    return total


def _zstd_blocks(data: bytes, at: int) -> tuple[int, int]:
    """Return where the blocks of a frame end, and the most that they unpack to."""
    total, last = 0, 0
    while not last:
        if at + 3 > len(data):
            raise ValueError(f"a zstd block at byte {at} of {len(data)}")
        header = int.from_bytes(data[at : at + 3], "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        if kind == 3:
            raise ValueError(f"a zstd block of unknown kind at byte {at}")
        total += ZSTD_BLOCK_BYTES if kind == 2 else size
        at += 3 + (1 if kind == 1 else size)
    return at, total


def _deflate(bits: int) -> Callable[[bytes, int], bytes]:
    def decode(data: bytes, limit: int) -> bytes:
        parts, room = [], limit
        while data:
            stream = zlib.decompressobj(bits)
            parts.append(stream.decompress(data, room + 1))
            room -= len(parts[-1])
            if room < 0 or not stream.eof:
                raise ValueError(f"deflate that goes on after {limit - room} bytes")
            data = stream.unused_data
        return b"".join(parts)

    return decode


def _crc32c(data: bytes, limit: int) -> bytes:
    body, stated = data[:-4], data[-4:]
    if len(stated) < 4 or google_crc32c.value(body) != int.from_bytes(stated, "little"):
        raise ValueError("another crc32c")
    return body


DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "blosc": _blosc,
    "zstd": _zstd,
    "gzip": _deflate(31),
    "zlib": _deflate(15),
    "lz4": _lz4,
    "crc32c": _crc32c,
}
"""The codecs that are read; each stops at a number of bytes."""
