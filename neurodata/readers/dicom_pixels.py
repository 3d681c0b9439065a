"""The pixels of DICOM files: where they lie, checked against the file, and their decoding."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurodata.errors import (
    MissingDependencyError,
    UnknownFormatError,
    UnreadableError,
    UnsafeError,
    need,
)
from neurodata.readers.dicom_header import (
    BIG_ENDIAN,
    EXPLICIT,
    EXTRA,
    IMPLICIT,
    PIXEL_TAGS,
    SYNTAX,
    UNDEFINED,
    Elements,
    Opened,
    content,
    damage,
    label,
)

if TYPE_CHECKING:
    import dask.array as da

NATIVE = (IMPLICIT, EXPLICIT, BIG_ENDIAN)
RLE = "1.2.840.10008.1.2.5"
LOSSLESS = (
    RLE,
    *(f"1.2.840.10008.1.2.4.{n}" for n in ("57", "70", "80", "90", "92", "201", "202")),
)
GREY = ("MONOCHROME1", "MONOCHROME2")
KNOWN = (*GREY, "RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "unnamed")
SAMPLES, PHOTOMETRIC, FRAMES, ROWS, COLUMNS = (
    0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011,
)  # fmt: skip
ALLOCATED, STORED, HIGH, SIGNED = 0x00280100, 0x00280101, 0x00280102, 0x00280103
PIXEL_HEADER = (SAMPLES, PHOTOMETRIC, FRAMES, ROWS, COLUMNS, ALLOCATED, STORED, HIGH, SIGNED)
FRAME_LIMIT_BYTES = 512 * 2**20
SLAB_BYTES = 8 * 2**20

Span = tuple[int, int]


@dataclass(frozen=True)
class Pixels:
    """The pixel data of one file.

    Parameters
    ----------
    path : Path
    where : str
        The file's name, for messages.
    stamp : tuple of int
        Its size and modification time in ns when it was checked.
    syntax : str
        The transfer syntax UID.
    spans : tuple of tuple of (int, int)
        For each frame the pieces it consists of: first byte and count of bytes.
    rows, columns : int
        Of a frame.
    allocated, stored : int
        Bits a pixel has in the file, and bits of these that hold its value.
    signed : bool
    photometric : str
        MONOCHROME1 or MONOCHROME2.
    surplus : int
        Bytes after the last frame.
    """

    path: Path
    where: str
    stamp: tuple[int, int]
    syntax: str
    spans: tuple[tuple[Span, ...], ...]
    rows: int
    columns: int
    allocated: int
    stored: int
    signed: bool
    photometric: str
    surplus: int = 0

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a decoded pixel, in the machine's byte order."""
        return np.dtype(f"{'i' if self.signed else 'u'}{self.allocated // 8}")

    def frame(self, number: int) -> np.ndarray[Any, Any]:
        """Decode one frame (row, column).

        Raises
        ------
        UnreadableError
            When the file has changed, or the frame is damaged or of another size.
        """
        if not self.path.exists() or stamp(self.path) != self.stamp:
            raise UnreadableError(
                self.where, "a file that changed while it was read", "the file as checked",
                "read it again",
            )  # fmt: skip
        view = content(self.path)
        pieces = [view[start : start + count] for start, count in self.spans[number]]
        data = b"".join(pieces)
        if self.syntax in NATIVE:
            stored = self.dtype.newbyteorder(">" if self.syntax == BIG_ENDIAN else "<")
            found = np.frombuffer(data, stored).astype(self.dtype)
            return self._used_bits(found.reshape(self.rows, self.columns))
        return self._decoded(data, number)

    def _used_bits(self, frame: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Clear the bits above the stored ones, or fill them with the sign."""
        unused = self.allocated - self.stored
        return (frame << unused) >> unused if unused else frame

    def _decoded(self, data: bytes, number: int) -> np.ndarray[Any, Any]:
        where = f"{self.where}: frame {number}"
        _compare_size(data, self, where)
        pixels, encaps = need("pydicom.pixels", EXTRA), need("pydicom.encaps", EXTRA)
        options = {
            "rows": self.rows, "columns": self.columns, "number_of_frames": 1,
            "samples_per_pixel": 1, "bits_allocated": self.allocated, "bits_stored": self.stored,
            "pixel_representation": int(self.signed), "pixel_keyword": "PixelData",
            "photometric_interpretation": self.photometric,
        }  # fmt: skip
        with damage(where):
            packed = encaps.encapsulate([data], has_bot=False)
            decoder = pixels.get_decoder(self.syntax)
            found, _ = decoder.as_array(packed, index=0, raw=True, **options)
        if found.shape != (self.rows, self.columns) or found.dtype.itemsize != self.dtype.itemsize:
            raise UnreadableError(
                where, f"{found.shape} {found.dtype}", f"{self.rows} x {self.columns} {self.dtype}"
            )
        return np.asarray(found, self.dtype)


def stamp(path: Path) -> tuple[int, int]:
    """Return size in bytes and modification time in ns."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def pixels_of(opened: Opened, view: memoryview, path: Path) -> Pixels:
    """Return where the frames of a file lie, after all checks of size.

    Raises
    ------
    UnreadableError
        When the header is impossible, or the file shorter than it says.
    UnknownFormatError
        When the pixels are colours, floats, single bits, or of an unknown transfer syntax.
    """
    elements, where = opened.elements, opened.elements.where
    if opened.pixel_tag != PIXEL_TAGS[-1]:
        raise UnknownFormatError(
            f"{where}: {label(opened.pixel_tag)}", "pixels that are floats", "integer pixels",
            "export the series as integers with a rescale slope",
        )  # fmt: skip
    rows, columns, allocated = (_needed(elements, tag) for tag in (ROWS, COLUMNS, ALLOCATED))
    frames = elements.whole(FRAMES)
    frames = 1 if frames is None else frames
    _check_grey(elements, allocated)
    stored, high = elements.whole(STORED), elements.whole(HIGH)
    stored = allocated if stored is None else stored
    if not 1 <= stored <= allocated or (high is not None and high != stored - 1):
        raise elements.wrong(
            STORED, f"{stored} bits with the highest at {high}", f"1 to {allocated}, from bit 0 on"
        )
    signed = elements.whole(SIGNED) or 0
    if signed not in (0, 1) or frames < 1:
        tag, found = (SIGNED, signed) if frames > 0 else (FRAMES, frames)
        raise elements.wrong(tag, f"{found}", "0 or 1" if frames > 0 else "at least 1")
    frame_bytes = rows * columns * allocated // 8
    if frame_bytes > FRAME_LIMIT_BYTES:
        raise UnsafeError(where, f"frames of {frame_bytes} bytes", f"at most {FRAME_LIMIT_BYTES}")
    if opened.syntax in NATIVE:
        spans, surplus = _native(opened, view, frames, frame_bytes)
    else:
        _require_decoder(opened.syntax, where)
        spans, surplus = _encapsulated(opened, view, frames), 0
    return Pixels(
        path, where, stamp(path), opened.syntax, spans, rows, columns, allocated, stored,
        bool(signed), elements.codes(PHOTOMETRIC)[0], surplus,
    )  # fmt: skip


def _needed(elements: Elements, tag: int) -> int:
    found = elements.whole(tag)
    if found is None or found < 1:
        raise elements.wrong(tag, "nothing" if found is None else f"{found}", "a number over 0")
    return found


def _check_grey(elements: Elements, allocated: int) -> None:
    samples, photometric = elements.whole(SAMPLES) or 1, elements.codes(PHOTOMETRIC)
    name = photometric[0] if photometric else "unnamed"
    if samples != 1 or name not in GREY or allocated not in (8, 16, 32):
        raise UnknownFormatError(
            f"{elements.where}: {label(PHOTOMETRIC)}",
            f"{samples} sample(s) of {allocated} bits, {name if name in KNOWN else 'another'}",
            "one grey value of 8, 16 or 32 bits",
            "leave this series out",
        )


def _native(
    opened: Opened, view: memoryview, frames: int, frame_bytes: int
) -> tuple[tuple[tuple[Span, ...], ...], int]:
    where, start, wanted = opened.elements.where, opened.start, frames * frame_bytes
    there = len(view) - start
    if opened.length == UNDEFINED or min(opened.length, there) < wanted or opened.length > there:
        stated = "" if opened.length in (there, UNDEFINED) else f" of {opened.length} stated"
        raise UnreadableError(
            f"{where}: {label(PIXEL_TAGS[-1])}",
            f"{min(there, opened.length)} bytes of pixels{stated}",
            f"{wanted} bytes by its header",
            "copy or export it again",
        )
    spans = tuple(((start + n * frame_bytes, frame_bytes),) for n in range(frames))
    return spans, max(0, opened.length - wanted - wanted % 2)


def _require_decoder(syntax: str, where: str) -> None:
    pixels = need("pydicom.pixels", EXTRA)
    try:
        decoder = pixels.get_decoder(syntax)
    except NotImplementedError:
        raise UnknownFormatError(
            f"{where}: {label(SYNTAX)}", syntax, "a transfer syntax of grey images",
            "convert it, e.g. with `dcmconv +te` or `gdcmconv --raw`",
        ) from None  # fmt: skip
    if not decoder.is_available:
        lacking = "; ".join(decoder.missing_dependencies)
        raise MissingDependencyError(
            f"{where}: {label(SYNTAX)}", f"no decoder for {syntax} ({lacking})",
            "one of these packages",
            "install it, or convert the file, e.g. with `gdcmconv --raw`",
        )  # fmt: skip


def _encapsulated(opened: Opened, view: memoryview, frames: int) -> tuple[tuple[Span, ...], ...]:
    where = f"{opened.elements.where}: {label(PIXEL_TAGS[-1])}"
    table, *pieces = _fragments(view, opened.start, where)
    if len(pieces) == frames:
        return tuple((piece,) for piece in pieces)
    if frames == 1 and pieces:
        return (tuple(pieces),)
    count = table[1] // 4
    offsets = struct.unpack_from(f"<{count}I", view, table[0]) if table[1] == 4 * count else ()
    first = pieces[0][0] if pieces else 0
    starts = [offset + first for offset in offsets]
    known = {start for start, _ in pieces}
    if count != frames or starts != sorted(set(starts)) or not set(starts) <= known:
        raise UnreadableError(
            where, f"{len(pieces)} pieces and {count} offsets", f"{frames} frames by its header",
            "copy or export it again",
        )  # fmt: skip
    ends = [*starts[1:], len(view)]
    return tuple(
        tuple(piece for piece in pieces if start <= piece[0] < end)
        for start, end in zip(starts, ends, strict=True)
    )


def _fragments(view: memoryview, start: int, where: str) -> list[Span]:
    """Return the items of encapsulated pixel data, the table of offsets first."""
    found: list[Span] = []
    at = start
    while at + 8 <= len(view):
        group, element, length = struct.unpack_from("<HHI", view, at)
        at += 8
        if (group, element) == (0xFFFE, 0xE0DD):
            if found:
                return found
            break
        if (group, element) != (0xFFFE, 0xE000) or at + length > len(view):
            break
        found.append((at, length))
        at += length
    raise UnreadableError(
        where, f"{len(found)} items and then no end", "items up to a delimiter",
        "copy or export it again",
    )  # fmt: skip


def _compare_size(data: bytes, pixels: Pixels, where: str) -> None:
    """Refuse a codestream of another size than the header's, before it is unpacked."""
    if pixels.syntax == RLE:
        return
    found = _codestream_size(data)
    if found != (pixels.rows, pixels.columns, 1):
        raise UnreadableError(
            where,
            "no codestream" if found is None else f"{found[0]} x {found[1]} x {found[2]} pixels",
            f"{pixels.rows} x {pixels.columns} x 1 by its header",
            "copy or export it again",
        )


def _codestream_size(data: bytes) -> tuple[int, int, int] | None:
    """Return rows, columns and components of JPEG, JPEG-LS or JPEG 2000 data."""
    start = data.find(b"\xff\x4f\xff\x51")
    if 0 <= start < 256 and len(data) >= start + 42:
        columns, rows, left, top = struct.unpack_from(">4I", data, start + 8)
        return rows - top, columns - left, struct.unpack_from(">H", data, start + 40)[0]
    at = 2 if data[:2] == b"\xff\xd8" else len(data)
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            rows, columns = struct.unpack_from(">2H", data, at + 5)
            return rows, columns, data[at + 9]
        at += 1 if marker == 0xFF else 2 + length
    return None


@dataclass(frozen=True)
class Part:
    """A rectangle of a frame: a whole one, or a tile of a mosaic."""

    pixels: Pixels
    number: int
    row: int
    column: int


@dataclass(frozen=True)
class StoredSeries:
    """The pixels of a series; slicing decodes the frames it needs, and it pickles.

    Parameters
    ----------
    parts : tuple of Part
        One for each plane, the last of the leading axes fastest.
    shape : tuple of int
        Leading axes, then rows and columns of a plane.
    dtype : numpy.dtype
    """

    parts: tuple[Part, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> np.ndarray[Any, Any]:
        key = key if isinstance(key, tuple) else (key,)
        leading = self.ndim - 2
        order = np.arange(len(self.parts)).reshape(self.shape[:leading])[key[:leading]]
        rows, columns = self.shape[-2:]
        last: tuple[Any, ...] = (None, 0, np.empty((0, 0)))
        planes = []
        for number in order.ravel():
            part = self.parts[int(number)]
            if part.pixels is not last[0] or part.number != last[1]:
                last = (part.pixels, part.number, part.pixels.frame(part.number))
            tile = last[2][part.row : part.row + rows, part.column : part.column + columns]
            planes.append(tile[key[leading:]])
        stacked = np.array(planes, self.dtype)
        return stacked.reshape(order.shape + stacked.shape[1:])


def lazy(stored: StoredSeries) -> da.Array:
    """Return stored planes as a dask array in slabs of 8 MiB along the slowest axes."""
    import dask.array as da

    chunks = list(stored.shape)
    for axis in range(stored.ndim - 2):
        rest = stored.dtype.itemsize * math.prod(chunks[axis + 1 :])
        chunks[axis] = max(1, min(chunks[axis], SLAB_BYTES // rest))
        if chunks[axis] > 1:
            break
    meta = np.empty((0,) * stored.ndim, stored.dtype)
    from_array: Any = da.from_array
    array: da.Array = from_array(stored, chunks=tuple(chunks), name=False, asarray=False, meta=meta)
    return array
