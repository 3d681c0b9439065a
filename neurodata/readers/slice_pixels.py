"""Pixels of numbered slices, each checked for its size and kind, decoded on demand."""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from neurodata import safe
from neurodata.errors import (
    NeurodataError,
    UnknownFormatError,
    UnreadableError,
    UnsafeError,
)
from neurodata.readers.chunk_grid import pick, span
from neurodata.readers.slices import JPEG, PNG
from neurodata.readers.tiff_image import stored_series
from neurodata.readers.tiff_pixels import StoredPixels, stamp
from neurodata.safe import Raw

if TYPE_CHECKING:
    import dask.array as da

Array = np.ndarray[Any, Any]
SLICE_LIMIT_BYTES = 2**30
RATIO_LIMIT = 1032 * 8
BLOCK_BYTES = 8 * 2**20
ORIENTATION = 0x0112
COLOURS = {0: "grey", 2: "colour", 3: "a palette", 4: "transparency", 6: "transparency"}
REFUSED_CHUNKS = {b"tRNS": "transparency", b"acTL": "an animation", b"PLTE": "a palette"}
PERSONAL_CHUNKS = (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME")


@dataclass(frozen=True)
class Slice:
    """One image: its file, what shows a change, ``(y, x)`` or ``(y, x, 3)`` and its dtype."""

    path: Path
    stamp: tuple[int, int]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pixels: StoredPixels | None = None

    def decode(self) -> Array:
        """Return the pixels.

        Raises
        ------
        UnreadableError
            When the file is damaged or changed since it was checked.
        """
        if not self.path.exists() or stamp(self.path) != self.stamp:
            raise UnreadableError(
                self.path.name, "a file that changed while it was read", "the file as checked",
                "read it again",
            )  # fmt: skip
        if self.pixels is not None:
            return self.pixels[tuple(slice(None) for _ in self.shape)]
        data = safe.read_bytes(self.path, SLICE_LIMIT_BYTES)
        if data.startswith(PNG):
            for kind, start, length in _png_chunks(data, self.path):
                _check_crc(data, kind, start, length, self.path)
        elif not data.rstrip(b"\0").endswith(b"\xff\xd9"):
            raise _damaged(self.path, "a JPEG without its end")
        try:
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
                found = np.asarray(image)
        except Exception as error:  # whatever Pillow raises on damaged bytes
            raise _damaged(self.path, f"damaged pixels ({error})") from error
        if found.shape != self.shape or not np.can_cast(self.dtype, found.dtype):
            raise _damaged(self.path, f"pixels {found.shape} {found.dtype}")
        return found.astype(self.dtype)


@dataclass(frozen=True, eq=False)
class StoredSlices:
    """Slices that index like an array ``(slice, y, x)`` or ``(slice, y, x, channel)``."""

    slices: tuple[Slice, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of slices, then the shape of each."""
        return len(self.slices), *self.slices[0].shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""
        return self.slices[0].dtype

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return tuple((str(each.path), each.stamp) for each in self.slices)

    def __getitem__(self, key: Any) -> Array:
        keys = key if isinstance(key, tuple) else (key,)
        (start, stop), rest = span(keys[0], len(self.slices))
        shape = (stop - start, *self.shape[1:])
        planes = np.empty(shape, self.dtype)
        for at in range(start, stop):
            planes[at - start] = self.slices[at].decode()
        return pick(planes, [rest, *keys[1:]])


def stored_slices(raw: Raw) -> StoredSlices:
    """Return the slices of a recording, all alike.

    Raises
    ------
    UnreadableError
        When one is damaged, or unlike the first.
    UnknownFormatError
        On palettes, transparency and depths that would be converted.
    UnsafeError
        When one would decode to far more than it holds.
    """
    found: list[Slice] = []
    for path in raw.files:
        safe.inside(path, raw.root)
        one = _slice(path, raw)
        size = math.prod(one.shape) * one.dtype.itemsize
        if size > min(SLICE_LIMIT_BYTES, RATIO_LIMIT * one.stamp[0]):
            raise UnsafeError(path.name, f"{size} bytes from {one.stamp[0]}", "less", "cut it")
        if found and (one.shape, one.dtype) != (found[0].shape, found[0].dtype):
            raise UnreadableError(
                path.name, f"a slice of {one.shape} {one.dtype}",
                f"{found[0].shape} {found[0].dtype}, as {found[0].path.name}",
                "put other images into another folder",
            )  # fmt: skip
        found.append(one)
    return StoredSlices(tuple(found))


def _slice(path: Path, raw: Raw) -> Slice:
    start = safe.head(path)
    if start.startswith(PNG):
        return _png(path, raw)
    if start.startswith(JPEG):
        return _jpeg(path, raw)
    changed = stamp(path)
    stored, letters, _ = stored_series(path, raw)
    shape = stored.shape
    if letters not in ("YX", "YXS") or shape[2:] not in ((), (3,)):
        raise UnreadableError(path.name, f"a TIFF of shape {shape}", "one plane, grey or colour")
    return Slice(path, changed, shape, stored.dtype, stored)


def _png(path: Path, raw: Raw) -> Slice:
    changed = stamp(path)
    data = safe.memmap(path, np.dtype("u1"), (changed[0],))
    head: tuple[int, ...] = ()
    for kind, start, length in _png_chunks(data, path):
        if kind == b"IDAT":
            break
        if kind == b"IHDR" and length == 13:
            _check_crc(data, kind, start, length, path)
            head = struct.unpack(">IIBBBBB", bytes(data[start : start + 13]))
        if kind in REFUSED_CHUNKS and not (kind == b"PLTE" and head[3:4] == (2,)):
            raise _converted(path, REFUSED_CHUNKS[kind])
        if kind in PERSONAL_CHUNKS:
            raw.note("", f"removed: {kind.decode()}", "", "it may identify a person")
    if not head or not head[0] or not head[1]:
        raise _damaged(path, "a PNG without a size")
    width, height, depth, colour = head[:4]
    if colour not in (0, 2):
        raise _converted(path, COLOURS.get(colour, f"colour type {colour}"))
    if (depth, colour) not in ((8, 0), (16, 0), (8, 2)):
        raise _converted(path, f"{depth} bits of {COLOURS[colour]}")
    shape = (height, width) if colour == 0 else (height, width, 3)
    return Slice(path, changed, shape, np.dtype("u1" if depth == 8 else "u2"))


def _png_chunks(data: Any, path: Path) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, first byte and length of each chunk up to the end, which must be there."""
    at = len(PNG)
    while at + 12 <= len(data):
        length, kind = struct.unpack(">I4s", bytes(data[at : at + 8]))
        if at + 12 + length > len(data):
            break
        yield kind, at + 8, length
        if kind == b"IEND":
            return
        at += 12 + length
    raise _damaged(path, f"a PNG cut at byte {len(data)}")


def _check_crc(data: Any, kind: bytes, start: int, length: int, path: Path) -> None:
    stated = int.from_bytes(bytes(data[start + length : start + length + 4]), "big")
    if zlib.crc32(bytes(data[start - 4 : start + length])) != stated:
        raise _damaged(path, f"a chunk {kind!r} with another CRC")


def _jpeg(path: Path, raw: Raw) -> Slice:
    changed = stamp(path)
    try:
        data = safe.read_bytes(path, SLICE_LIMIT_BYTES)
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            mode, size = image.mode, image.size
            exif = dict(image.getexif())
            frames = getattr(image, "n_frames", 1)
    except NeurodataError:
        raise
    except Exception as error:  # whatever Pillow raises on damaged bytes
        raise _damaged(path, f"damaged JPEG data ({error})") from error
    if mode not in ("L", "RGB") or frames > 1:
        raise _converted(path, f"a JPEG of mode {mode}, {frames} frame(s)")
    if exif.get(ORIENTATION, 1) != 1:
        raise _converted(path, "a JPEG to be shown turned")
    if exif:
        raw.note("", "removed: EXIF", "", "it may identify a person")
    raw.note("", "JPEG slices", "intensities as recorded", "lossy compression changed them")
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
    return Slice(path, changed, shape, np.dtype("u1"))


def lazy(stored: StoredSlices) -> da.Array:
    """Return slices as a dask array in blocks of whole slices, about 8 MiB each."""
    import dask.array as da

    size = math.prod(stored.shape[1:]) * stored.dtype.itemsize
    chunks = (max(1, min(len(stored.slices), BLOCK_BYTES // size)), *stored.shape[1:])
    from_array: Any = da.from_array
    meta = np.empty((0,) * stored.ndim, stored.dtype)
    array: da.Array = from_array(stored, chunks=chunks, asarray=False, meta=meta)
    return array


def _damaged(path: Path, found: str) -> UnreadableError:
    return UnreadableError(path.name, found, "an intact image", "copy or download it again")


def _converted(path: Path, found: str) -> UnknownFormatError:
    return UnknownFormatError(
        path.name, found, "8 or 16 bits of grey, or 8 of red, green and blue",
        "convert the slices without loss",
    )  # fmt: skip
