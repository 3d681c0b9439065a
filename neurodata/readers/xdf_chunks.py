"""Chunks of an XDF file: every one inside the file, every sample where its length says.

Format: https://github.com/sccn/xdf/wiki/Specifications (version 1.0). Nothing is skipped: a chunk
that is damaged is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurodata import safe
from neurodata.errors import UnreadableError, UnsafeError
from neurodata.readers import xml_elements
from neurodata.readers.channels import MAX_RATE_HZ
from neurodata.readers.xml_elements import Element

MAGIC = b"XDF:"
FILE_HEADER, STREAM_HEADER, SAMPLES, OFFSET, BOUNDARY, FOOTER = range(1, 7)
UUID = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")
HEADER_LIMIT_BYTES, CHANNEL_LIMIT = 64 * 2**20, 100_000
DTYPES = {
    "int8": "i1", "int16": "<i2", "int32": "<i4", "int64": "<i8", "float32": "<f4",
    "double64": "<f8",
}  # fmt: skip
STRING, STAMP_BYTES = "string", 8
_LENGTHS = {1: "<B", 4: "<I", 8: "<Q"}


@dataclass(frozen=True)
class Piece:
    """Samples of one chunk, from byte ``start`` on; ``stamped`` has the sizes of their stamps.

    Parameters
    ----------
    stamped : bytes
        0 or 8 for each sample; a single number where all are alike after the first.
    """

    start: int
    count: int
    first: int
    rest: int
    stamped: bytes = b""


@dataclass
class Stream:
    """One stream; its arrays hold what all chunks together say."""

    number: int
    header: Element
    channels: int
    dtype: str
    rate_hz: float
    pieces: list[Piece] = field(default_factory=list)
    stamps: list[npt.NDArray[np.float64]] = field(default_factory=list)
    texts: list[list[str]] = field(default_factory=list)
    offsets: list[tuple[float, float]] = field(default_factory=list)
    footer: Element | None = None

    @property
    def width(self) -> int:
        """Bytes of a sample's values."""
        return self.channels * np.dtype(self.dtype).itemsize if self.dtype != STRING else 0

    @property
    def n(self) -> int:
        """Number of samples."""
        return sum(len(part) for part in self.stamps)


def streams_of(path: Path) -> tuple[Element, dict[int, Stream]]:
    """Return a file's header and its streams by number, all chunks followed to the file's end.

    Raises
    ------
    UnreadableError
        When a chunk reaches over the end, is not filled by what it holds or is unknown.
    UnsafeError
        When a header's XML has a document type or entities.
    """
    size = path.stat().st_size
    data = safe.memmap(path, np.dtype("u1"), (size,)) if size else np.empty(0, "u1")
    if data[:4].tobytes() != MAGIC:
        raise refusal(path, 0, "no mark", "an XDF file")
    streams: dict[int, Stream] = {}
    header, place = None, 4
    while place < size:
        start, stop, tag = _chunk(path, data, place)
        if tag == FILE_HEADER:
            header = _xml(path, data, start, stop)
        elif tag == BOUNDARY:
            if data[start:stop].tobytes() != UUID:
                raise refusal(path, place, "a boundary that is none", "its fixed bytes")
        elif tag in (STREAM_HEADER, SAMPLES, OFFSET, FOOTER):
            _of_stream(path, data, start, stop, tag, streams)
        else:
            raise refusal(path, place, f"a chunk of kind {tag}", "kinds 1 to 6")
        place = stop
    if header is None:
        raise refusal(path, 0, "no file header", "one")
    return header, streams


def _chunk(path: Path, data: npt.NDArray[np.uint8], place: int) -> tuple[int, int, int]:
    """Return where the content of a chunk begins and ends, and its kind."""
    length, start = _length(path, data, place, data.size)
    stop = start + length
    if length < 2 or stop > data.size:
        found = f"a chunk of {length} bytes, up to byte {stop} of {data.size}"
        raise refusal(path, place, found, "chunks inside the file")
    return start + 2, stop, int(data[start : start + 2].view("<u2")[0])


def _length(path: Path, data: npt.NDArray[np.uint8], place: int, end: int) -> tuple[int, int]:
    """Return a length that states its own size, and the byte after it."""
    size = int(data[place]) if place < end else 0
    if size not in _LENGTHS or place + 1 + size > end:
        raise refusal(path, place, f"a length of {size} bytes", "1, 4 or 8 inside the chunk")
    (value,) = struct.unpack(_LENGTHS[size], data[place + 1 : place + 1 + size].tobytes())
    return int(value), place + 1 + size


def _xml(path: Path, data: npt.NDArray[np.uint8], start: int, stop: int) -> Element:
    if stop - start > HEADER_LIMIT_BYTES:
        found, limit = f"a header of {stop - start} bytes", f"at most {HEADER_LIMIT_BYTES}"
        raise UnsafeError(path.name, found, limit, "record it again")
    text = data[start:stop].tobytes().rstrip(b"\0")
    return xml_elements.parse(text, f"{path.name}: byte {start}")


def _of_stream(
    path: Path, data: npt.NDArray[np.uint8], start: int, stop: int, tag: int,
    streams: dict[int, Stream],
) -> None:  # fmt: skip
    if stop - start < 4:
        raise refusal(path, start, f"a chunk of {stop - start} bytes", "the number of a stream")
    number, start = int(data[start : start + 4].view("<u4")[0]), start + 4
    if (number in streams) == (tag == STREAM_HEADER):
        found = "a second header" if number in streams else "no header"
        raise refusal(path, start, f"{found} of stream {number}", "one before its chunks")
    if tag == STREAM_HEADER:
        streams[number] = _stream(path, start, number, _xml(path, data, start, stop))
    elif tag == FOOTER:
        streams[number].footer = _xml(path, data, start, stop)
    elif tag == OFFSET:
        if stop - start != 2 * STAMP_BYTES:
            raise refusal(path, start, f"an offset of {stop - start} bytes", "16")
        at_s, offset_s = data[start:stop].view("<f8").tolist()
        if not np.isfinite([at_s, offset_s]).all():
            raise refusal(path, start, f"an offset of {offset_s} s at {at_s} s", "finite numbers")
        streams[number].offsets.append((at_s, offset_s))
    else:
        _samples(path, data, start, stop, streams[number])


def _stream(path: Path, place: int, number: int, header: Element) -> Stream:
    kind, count = header.one("channel_format"), header.one("channel_count")
    try:
        channels, rate_hz = int(count), float(header.one("nominal_srate"))
    except ValueError:
        channels, rate_hz = 0, np.nan
    known = kind == STRING or kind in DTYPES
    if not (known and 0 < channels <= CHANNEL_LIMIT and 0 <= rate_hz <= MAX_RATE_HZ):
        found = f"a stream of {count!r} channels of {kind!r} at {header.one('nominal_srate')!r} Hz"
        raise refusal(path, place, found, "channels of a known type at a rate, or 0")
    return Stream(number, header, channels, DTYPES.get(kind, STRING), rate_hz)


# ---- samples


def _samples(
    path: Path, data: npt.NDArray[np.uint8], start: int, stop: int, stream: Stream
) -> None:
    count, start = _length(path, data, start, stop)
    if not count:
        if start != stop:
            raise refusal(path, start, f"{stop - start} bytes of no sample", "none")
        return
    if count * (1 + stream.width) > stop - start:
        raise refusal(path, start, f"{count} samples in {stop - start} bytes", "room for them")
    if stream.dtype == STRING:
        stamps, end = _texts(path, data, start, stop, count, stream)
    else:
        piece, stamps, end = _numbers(path, data, start, stop, count, stream)
        stream.pieces.append(piece)
    if end != stop:
        raise refusal(path, end, f"{stop - end} bytes after {count} samples", "none")
    stream.stamps.append(_filled(path, start, stamps, stream))


def _filled(
    path: Path, place: int, stamps: npt.NDArray[np.float64], stream: Stream
) -> npt.NDArray[np.float64]:
    """Return stamps with those that are left out deduced from the one before and the rate."""
    out = np.isnan(stamps)
    if out.any():
        if not stream.rate_hz or (out[0] and not stream.stamps):
            found = f"samples of stream {stream.number} without a time"
            raise refusal(path, place, found, "a time, or a rate and a time before")
        last = stream.stamps[-1][-1] if out[0] else 0.0
        at = np.maximum.accumulate(np.where(out, -1, np.arange(len(stamps))))
        base = np.where(at < 0, last, stamps[np.maximum(at, 0)])
        stamps = base + (np.arange(len(stamps)) - at) / stream.rate_hz
    if not np.isfinite(stamps).all():
        raise refusal(path, place, f"times of stream {stream.number} that are none", "numbers")
    return stamps


def _numbers(
    path: Path, data: npt.NDArray[np.uint8], start: int, stop: int, count: int, stream: Stream
) -> tuple[Piece, npt.NDArray[np.float64], int]:
    """Return where numbers of a chunk are, their stamps (NaN if left out) and their end."""
    width, first = stream.width, int(data[start])
    second = start + 1 + first + width
    for rest in (0, STAMP_BYTES):
        end = second + (count - 1) * (1 + rest + width)
        if first not in (0, STAMP_BYTES) or end != stop:
            continue
        rows = data[second:end].reshape(count - 1, 1 + rest + width)
        if (rows[:, 0] == rest).all():
            stamps = np.full(count, np.nan)
            if first:
                stamps[0] = _stated(path, start, data[start + 1 : start + 9].view("<f8"))[0]
            if rest:
                found = np.ascontiguousarray(rows[:, 1:9]).view("<f8")[:, 0]
                stamps[1:] = _stated(path, start, found)
            return Piece(start, count, first, rest), stamps, end
    sizes, place = bytearray(), start
    stamps = np.full(count, np.nan)
    for i in range(count):
        size = int(data[place]) if place < stop else 1
        if size not in (0, STAMP_BYTES) or place + 1 + size + width > stop:
            raise refusal(path, place, f"a time of {size} bytes", "0 or 8 inside the chunk")
        if size:
            stamps[i] = _stated(path, place, data[place + 1 : place + 9].view("<f8"))[0]
        sizes.append(size)
        place += 1 + size + width
    return Piece(start, count, 0, 0, bytes(sizes)), stamps, place


def _stated(path: Path, place: int, stamps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if not np.isfinite(stamps).all():
        raise refusal(path, place, "a time that is no number", "seconds")
    return stamps


def _texts(
    path: Path, data: npt.NDArray[np.uint8], start: int, stop: int, count: int, stream: Stream
) -> tuple[npt.NDArray[np.float64], int]:
    stamps, place = np.full(count, np.nan), start
    for i in range(count):
        size = int(data[place]) if place < stop else 1
        if size not in (0, STAMP_BYTES) or place + 1 + size > stop:
            raise refusal(path, place, f"a time of {size} bytes", "0 or 8 inside the chunk")
        if size:
            stamps[i] = _stated(path, place, data[place + 1 : place + 9].view("<f8"))[0]
        place += 1 + size
        row = []
        for _ in range(stream.channels):
            length, begin = _length(path, data, place, stop)
            place = begin + length
            if place > stop:
                raise refusal(path, begin, f"a text of {length} bytes", "texts inside the chunk")
            row.append(data[begin:place].tobytes().decode("utf-8", "replace"))
        stream.texts.append(row)
    return stamps, place


def values(path: Path, pieces: tuple[Piece, ...], channels: int, dtype: str) -> Iterator[Any]:
    """Yield the stored numbers of some chunks, each (time, channel)."""
    kind = np.dtype(dtype)
    width = channels * kind.itemsize
    data = safe.memmap(path, np.dtype("u1"), (path.stat().st_size,))
    for piece in pieces:
        out = np.empty((piece.count, width), "u1")
        if piece.stamped:
            steps = np.frombuffer(piece.stamped, "u1").astype("int64") + 1
            begins = piece.start + np.cumsum(steps) + np.arange(piece.count) * width
            for i, begin in enumerate(begins.tolist()):
                out[i] = data[begin : begin + width]
        else:
            second = piece.start + 1 + piece.first + width
            out[0] = data[second - width : second]
            stride = 1 + piece.rest + width
            rows = data[second : second + (piece.count - 1) * stride].reshape(-1, stride)
            out[1:] = rows[:, 1 + piece.rest :]
        yield out.view(kind)


def refusal(path: Path, place: int, found: str, expected: str) -> UnreadableError:
    """Return the refusal of a file that contradicts itself at a byte."""
    where = f"{path.name}: byte {place}" if place else path.name
    return UnreadableError(where, found, expected, "copy the file again or record it anew")
