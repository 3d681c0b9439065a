"""Layers of precomputed volumes: the ``info`` checked, chunks decoded by their encoding.

References
----------
https://github.com/google/neuroglancer/blob/master/src/sliceview/compressed_segmentation/README.md
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from neurodata.errors import UnknownFormatError, UnreadableError, UnsafeError, need
from neurodata.readers.chunk_grid import Array, Grid, first, gone
from neurodata.readers.personal_keys import kinds_of
from neurodata.readers.zarr_chunks import COUNT_LIMIT
from neurodata.readers.zarr_codecs import CHUNK_LIMIT_BYTES, DECODERS
from neurodata.readers.zarr_files import Files, below, folder_files
from neurodata.safe import GZIP_MAGIC, Raw

RAW, JPEG, COMPRESSED = "raw", "jpeg", "compressed_segmentation"
TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32")
BITS = (0, 1, 2, 4, 8, 16, 32)
USED = ("@type", "type", "data_type", "num_channels", "scales")
PLACE = re.compile(r"(-?[0-9]{1,15})-[-0-9]+_(-?[0-9]{1,15})-[-0-9]+_(-?[0-9]{1,15})-[-0-9]+")
_UNFIT = re.compile(r"[^A-Za-z0-9_.-]+")
Zyx = tuple[int, int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredScale(Grid):
    """A scale of a precomputed volume, ``(channel, z, y, x)``.

    Parameters
    ----------
    prefix : str
        Folder of the scale's chunks.
    offset : tuple of int
        Place of the first voxel, (z, y, x); the names of chunks count from it.
    encoding : {"raw", "jpeg", "compressed_segmentation"}
    block : tuple of int
        Blocks of the compressed segmentation, (z, y, x).
    """

    prefix: str
    offset: Zyx
    encoding: str
    block: tuple[int, ...]

    def _grid(self) -> list[int]:
        return [-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True)]

    def _span(self, number: tuple[int, ...]) -> list[tuple[int, int]]:
        """Return first voxel and end of a chunk, from the volume's own corner, (z, y, x)."""
        rows = zip(number[1:], self.chunks[1:], self.shape[1:], strict=True)
        return [(at * c, min((at + 1) * c, n)) for at, c, n in rows]

    def name(self, number: tuple[int, ...]) -> str:
        """Return the name of a chunk's file."""
        spans = zip(self._span(number), self.offset, strict=True)
        parts = [f"{start + at}-{stop + at}" for (start, stop), at in spans]
        return self.prefix + "_".join(reversed(parts))

    def _file(self, number: tuple[int, ...]) -> str | None:
        name = self.name(number)
        return next((n for n in (name, f"{name}.gz") if n in self.files), None)

    def _number(self, name: str) -> tuple[int, ...] | None:
        """Return the place in the grid that a file is called by, if it is the name of a chunk."""
        stem = name.removesuffix(".gz")
        found = PLACE.fullmatch(stem[len(self.prefix) :])
        if found is None:
            return None
        starts = [int(start) for start in found.groups()[::-1]]
        rows = zip(starts, self.offset, self.chunks[1:], self.shape[1:], strict=True)
        places = ((start - at) // c if at <= start < at + n else -1 for start, at, c, n in rows)
        number = (0, *places)
        return number if min(number) >= 0 and self.name(number) == stem else None

    def absent(self) -> tuple[int, list[str]]:
        """Return how many chunks are not there, and the names of the first."""
        grid = self._grid()
        there = {number for number in map(self._number, self.files.entries) if number}
        count = math.prod(grid) - len(there)
        return count, first(map(self.name, gone(grid, there))) if count else []

    def chunk(self, number: tuple[int, ...], kept: dict[str, Array]) -> Array:
        """Return a chunk by its place in the grid.

        Raises
        ------
        UnreadableError
            When it is not there, or damaged.
        """
        name = self._file(number)
        if name is None:
            return self.filled(self.name(number))
        shape = (self.shape[0], *(stop - start for start, stop in self._span(number)))
        size = math.prod(shape) * self.dtype.itemsize
        where = f"{self.where}: {name}"
        data = self.files.read(name, CHUNK_LIMIT_BYTES)
        try:
            packed = name.endswith(".gz") or (
                data.startswith(GZIP_MAGIC) and not (self.encoding == RAW and len(data) == size)
            )
            if packed:
                data = DECODERS["gzip"](data, size if self.encoding == RAW else CHUNK_LIMIT_BYTES)
            if self.encoding == COMPRESSED:
                return segmentation(data, shape, self.block, self.dtype)
            if self.encoding == JPEG:
                return _jpeg(data, shape)
            return np.frombuffer(data, self.dtype.newbyteorder("<")).reshape(shape)
        except Exception as error:  # whatever decoders raise on damaged bytes
            raise UnreadableError(
                where, f"a damaged chunk ({error})", f"{shape} of {self.dtype}",
                "copy or download it again",
            ) from error  # fmt: skip


def _jpeg(data: bytes, shape: tuple[int, ...]) -> Array:
    from PIL import Image

    if not data.endswith(b"\xff\xd9"):
        raise ValueError("a JPEG without its end")
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        wanted = "L" if shape[0] == 1 else "RGB"
        if image.mode != wanted or math.prod(image.size) != math.prod(shape[1:]):
            raise ValueError(f"a JPEG of {image.size} {image.mode}")
        pixels = np.asarray(image)
    return pixels.reshape(*shape[1:], shape[0]).transpose(3, 0, 1, 2)


def segmentation(
    data: bytes, shape: tuple[int, ...], block: tuple[int, ...], dtype: np.dtype[Any]
) -> Array:
    """Return the ids of a compressed segmentation, exact.

    Parameters
    ----------
    data : bytes
        A chunk as stored.
    shape : tuple of int
        ``(channel, z, y, x)``.
    block : tuple of int
        Shape of its blocks, (z, y, x).
    dtype : numpy.dtype
        uint32 or uint64.

    Raises
    ------
    ValueError
        When a block points outside the data.
    """
    words = np.frombuffer(data[: len(data) // 4 * 4], "<u4")
    out = np.empty(shape, dtype)
    grid = [range(-(-n // b)) for n, b in zip(shape[1:], block, strict=True)]
    for channel in range(shape[0]):
        own = words[int(_cut(words, channel, 1)[0]) :]
        for number, at in enumerate(product(*grid)):
            inside = tuple(slice(i * b, (i + 1) * b) for i, b in zip(at, block, strict=True))
            part = out[channel][inside]
            ids = _block(own, 2 * number, math.prod(block), dtype).reshape(block)
            part[...] = ids[tuple(slice(0, n) for n in part.shape)]
    return out


def _block(words: Array, header: int, count: int, dtype: np.dtype[Any]) -> Array:
    """Return the ids of one block: its encoded values looked up in its table."""
    table, values = (int(word) for word in _cut(words, header, 2))
    table, bits = table & 0xFFFFFF, table >> 24
    if bits not in BITS:
        raise ValueError(f"a block of {bits} bits")
    places = np.zeros(count, "u4")
    if bits:
        each = 32 // bits
        packed = _cut(words, values, -(-count // each))
        shifts = np.arange(0, 32, bits, dtype="u4")
        mask = np.uint32(2**bits - 1)
        places = (packed[:, None] >> shifts & mask).ravel()[:count]
    wide = dtype.itemsize // 4
    found = _cut(words, table, wide * (int(places.max()) + 1))
    return np.ascontiguousarray(found).view(f"<u{dtype.itemsize}")[places]


def _cut(words: Array, start: int, count: int) -> Array:
    if start + count > len(words):
        raise ValueError(f"a block up to word {start + count} of {len(words)}")
    return words[start : start + count]


# ---- the info file


@dataclass(frozen=True)
class Layer:
    """A volume's kind, name, first scale and voxel size."""

    kind: str
    name: str
    stored: StoredScale
    size_um: dict[str, float]

    def same_place(self, other: Layer) -> bool:
        """Say whether two volumes have the same voxels."""
        return (self.stored.offset, self.size_um) == (other.stored.offset, other.size_um)

    def node_name(self, taken: Iterable[str]) -> str:
        """Return a name for the node that no other node has."""
        slug = "labels_" + _UNFIT.sub("-", self.name)[:100]
        known = {node.casefold() for node in taken}
        free = (slug if not n else f"{slug}_{n}" for n in range(len(known) + 1))
        return next(node for node in free if node.casefold() not in known)


def open_layer(path: Path, raw: Raw) -> Layer:
    """Return a volume as its ``info`` describes it.

    Raises
    ------
    UnreadableError
        When the file is damaged, or what it states is impossible.
    UnknownFormatError
        On shards and other encodings.
    UnsafeError
        When it names a path elsewhere, or sizes beyond the limits.
    """
    files = folder_files(path.parent, raw)
    found = files.json(path.name)
    where = f"{path.parent.name}/{path.name}"
    kind, scales = found.get("type"), found.get("scales")
    if kind not in ("image", "segmentation") or not isinstance(scales, list) or not scales:
        raise UnreadableError(where, f"a volume of type {str(kind)[:20]!r}", "one with scales")
    scale = scales[0] if isinstance(scales[0], dict) else {}
    stated = _three(scale, "resolution", where)
    size = [_positive(value, f"{where}: resolution") for value in stated]
    stored = _scale(found, scale, files, where)
    if any(stored.offset):
        raw.note(where, f"a voxel_offset of {stored.offset} (z, y, x)", "", "it is not kept")
    left = [key for key in ("mesh", "skeletons", "segment_properties") if key in found]
    if left:
        raw.note(where, ", ".join(left), "", "not read")
    if others := set(found) - {*USED, *left}:
        raw.note(where, f"removed: {kinds_of(others)}", "", "they may name a person")
    size_um = {axis: value * 1e-3 for axis, value in zip("xyz", size, strict=True)}
    return Layer(str(kind), path.parent.name, stored, size_um)


def _scale(
    found: Mapping[str, Any], scale: Mapping[str, Any], files: Files, where: str
) -> StoredScale:
    encoding, kind, channels = scale.get("encoding"), found.get("data_type"), "num_channels"
    if scale.get("sharding") is not None:
        raise UnknownFormatError(where, "a sharded scale", "unsharded", "copy it unsharded")
    if encoding not in (RAW, JPEG, COMPRESSED):
        raise UnknownFormatError(
            f"{where}: encoding", repr(encoding)[:40], f"{RAW}, {JPEG} or {COMPRESSED}"
        )
    if kind not in TYPES:
        raise UnknownFormatError(f"{where}: data_type", repr(kind)[:40], ", ".join(TYPES))
    count = found.get(channels)
    if type(count) is not int or not 0 < count <= 2**16:
        raise UnreadableError(f"{where}: {channels}", repr(count)[:40], "1 or more")
    if encoding == JPEG:
        need("PIL", extra="microscopy")
    fits = {JPEG: kind == "uint8" and count in (1, 3), COMPRESSED: kind in ("uint32", "uint64")}
    if not fits.get(str(encoding), True):
        raise UnreadableError(f"{where}: encoding", f"{encoding} of {count} x {kind}", "what fits")
    shape = tuple(_length(n, f"{where}: size") for n in _three(scale, "size", where))[::-1]
    sizes = scale.get("chunk_sizes")
    one = {"size": sizes[0] if isinstance(sizes, list) and sizes else None}
    chunk = tuple(_length(n, f"{where}: chunk_sizes") for n in _three(one, "size", where))[::-1]
    block: tuple[int, ...] = (1, 1, 1)
    key = "compressed_segmentation_block_size"
    if encoding == COMPRESSED:
        block = tuple(_length(n, f"{where}: {key}") for n in _three(scale, key, where))[::-1]
    offset = _three(scale, "voxel_offset", where) if "voxel_offset" in scale else [0, 0, 0]
    if not all(type(n) is int and abs(n) < 2**48 for n in offset):
        raise UnreadableError(f"{where}: voxel_offset", repr(offset)[:60], "whole numbers")
    _check_sizes(shape, chunk, block, count * np.dtype(kind).itemsize, where)
    return StoredScale(
        files=files, where=where, shape=(count, *shape), chunks=(count, *chunk),
        dtype=np.dtype(kind), fill_value=0, prefix=below(scale.get("key"), where) + "/",
        offset=(offset[2], offset[1], offset[0]), encoding=str(encoding), block=block,
    )  # fmt: skip


def _check_sizes(shape: Any, chunk: Any, block: Any, item: int, where: str) -> None:
    largest = max(math.prod(chunk) * item, math.prod(block) * 8)
    if largest > CHUNK_LIMIT_BYTES:
        raise UnsafeError(where, f"chunks of {largest} bytes", f"at most {CHUNK_LIMIT_BYTES}")
    count = math.prod(-(-n // c) for n, c in zip(shape, chunk, strict=True))
    if count > COUNT_LIMIT:
        raise UnsafeError(where, f"{count} chunks by its size", f"at most {COUNT_LIMIT}")


def _three(found: Mapping[str, Any], key: str, where: str) -> list[Any]:
    stated = found.get(key)
    if not isinstance(stated, list) or len(stated) != 3:
        raise UnreadableError(f"{where}: {key}", repr(stated)[:60], "three numbers (x, y, z)")
    return stated


def _length(value: Any, where: str) -> int:
    if type(value) is not int or not 0 < value < 2**48:
        raise UnreadableError(where, repr(value)[:40], "whole lengths over 0")
    return value


def _positive(value: Any, where: str) -> float:
    if type(value) not in (int, float) or not 0 < value < 1e15:
        raise UnreadableError(where, repr(value)[:40], "nanometres over 0")
    return float(value)
