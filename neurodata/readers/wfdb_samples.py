"""Sample files of WFDB: packed integers unpacked by the wfdb package, checked against the header.

Formats: https://physionet.org/physiotools/wag/signal-5.htm. A file's length is compared with its
header before it is mapped; checksums and samples marked as invalid are found in one bounded walk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurodata import safe
from neurodata.errors import UnknownFormatError, UnreadableError, UnsafeError, need
from neurodata.readers.wfdb_header import NULL, Header, Stated, refusal
from neurodata.safe import Raw

EXTRA = "ecg"
SLAB_SAMPLES = 2**21
Samples = npt.NDArray[Any]


@dataclass(frozen=True)
class Format:
    """How samples are packed: ``block_samples`` of them in ``block_bytes``.

    Parameters
    ----------
    tails : tuple of int
        Bytes that hold the first 0, 1, ... samples of a block.
    dtype : str
        Of the unpacked integers.
    stored : str
        NumPy's type where samples are whole bytes, else empty.
    bits : int
        The lowest number of this many bits marks a sample that is invalid.
    """

    block_samples: int
    tails: tuple[int, ...]
    dtype: str
    stored: str
    bits: int

    @property
    def block_bytes(self) -> int:
        """Bytes of a whole block."""
        return self.tails[-1]

    @property
    def invalid(self) -> int:
        """What stands for a sample that is missing or invalid."""
        return -(1 << (self.bits - 1))

    def bytes_of(self, count: int) -> int:
        """Return how many bytes hold ``count`` samples."""
        blocks, rest = divmod(count, self.block_samples)
        return blocks * self.block_bytes + self.tails[rest]


FORMATS = {
    "16": Format(1, (0, 2), "int16", "<i2", 16),
    "61": Format(1, (0, 2), "int16", ">i2", 16),
    "160": Format(1, (0, 2), "int16", "<u2", 16),
    "80": Format(1, (0, 1), "int8", "u1", 8),
    "32": Format(1, (0, 4), "int32", "<i4", 32),
    "24": Format(1, (0, 3), "int32", "", 24),
    "212": Format(2, (0, 2, 3), "int16", "", 12),
    "310": Format(3, (0, 2, 4, 4), "int16", "", 10),
    "311": Format(3, (0, 2, 3, 4), "int16", "", 10),
}


@dataclass(frozen=True)
class SampleFile:
    """The samples of one file, frame by frame.

    Parameters
    ----------
    path, format : Path, str
        Where they are, and the number of their format.
    width, frames, offset : int
        Samples in a frame, number of frames, and bytes before the first.
    """

    path: Path
    format: str
    width: int
    frames: int
    offset: int

    def read(self, first: int, last: int) -> Samples:
        """Return the stored integers of frames ``first`` to ``last``, (frame, sample)."""
        form = FORMATS[self.format]
        begin, end = first * self.width, last * self.width
        if begin >= end:
            return np.empty((0, self.width), form.dtype)
        block = begin // form.block_samples
        skip = begin - block * form.block_samples
        total = form.bytes_of(self.frames * self.width)
        data = safe.memmap(self.path, np.dtype("u1"), (total,), self.offset)
        data = data[block * form.block_bytes : form.bytes_of(end)]
        values = unpacked(self.format, np.asarray(data))[skip : skip + end - begin]
        return values.reshape(-1, self.width)


@dataclass(frozen=True)
class Column:
    """One signal's samples in its file, from ``start`` in each frame.

    Parameters
    ----------
    start, per_frame, skew : int
        First of its samples in a frame, their number, and frames by which they are late.
    """

    file: SampleFile
    start: int
    per_frame: int
    skew: int

    @property
    def invalid(self) -> int:
        """What stands for a sample that is missing or invalid."""
        return FORMATS[self.file.format].invalid


@dataclass(frozen=True)
class Segment:
    """Frames that are stored together.

    Parameters
    ----------
    frames, at : int
        Their number, and the frames of the record before them, stored or not.
    columns : tuple of (Stated, Column)
    """

    frames: int
    at: int
    columns: tuple[tuple[Stated, Column], ...]


def unpacked(name: str, data: npt.NDArray[np.uint8]) -> Samples:
    """Return the integers in some bytes of a format, with those of the last block's padding.

    Examples
    --------
    >>> unpacked("212", np.array([0xE3, 0x33, 0xF3], "u1")).tolist()
    [995, 1011]
    """
    form = FORMATS[name]
    if form.stored:
        plain = data.view(form.stored)
        if name in ("80", "160"):  # offset binary
            return (plain.astype("int32") + form.invalid).astype(form.dtype)
        return plain.astype(form.dtype)
    blocks = -(-data.size // form.block_bytes)
    whole = np.zeros(blocks * form.block_bytes, "u1")
    whole[: data.size] = data
    if name == "311":
        whole[3::4] &= 0x3F  # two bits are unused; wfdb would take one of them for a sample's
    unpack = need("wfdb.io._signal", extra=EXTRA)._blocks_to_samples
    values: Samples = unpack(whole, blocks * form.block_samples, name)
    return values.astype(form.dtype)


def stored_segment(raw: Raw, header: Header, frames: int | None, at: int) -> Segment:
    """Return where the samples of a header's signals are, every file's length checked.

    Parameters
    ----------
    frames : int or None
        The header's number of frames; None takes it from the files' lengths.
    at : int
        Frames of the record before this segment.

    Raises
    ------
    UnreadableError
        When a file is shorter or longer than its header says, or its signals disagree.
    UnknownFormatError
        When the samples are of a format that is not read.
    UnsafeError
        When the header names a file that is not the recording's.
    """
    files: dict[str, list[Stated]] = {}
    for signal in header.signals:
        if signal.file == NULL:
            raise refusal(header.where, "a signal without a file", "a header of stored signals")
        files.setdefault(signal.file, []).append(signal)
    columns: dict[int, Column] = {}
    for name, signals in files.items():
        file = _file(raw, header, name, signals, frames)
        frames = file.frames
        start = 0
        for signal in signals:
            columns[id(signal)] = Column(file, start, signal.per_frame, signal.skew)
            start += signal.per_frame
    return Segment(frames or 0, at, tuple((s, columns[id(s)]) for s in header.signals))


def _file(
    raw: Raw, header: Header, name: str, signals: Sequence[Stated], frames: int | None
) -> SampleFile:
    path, where = raw.sibling(name), f"{header.where}: {name}"
    if path.suffix == ".hea":
        raise UnsafeError(where, "a header named as samples", "a data file", "correct the header")
    formats = sorted({signal.format for signal in signals})
    offsets = sorted({signal.offset for signal in signals})
    if len(formats) > 1 or len(offsets) > 1:
        raise refusal(where, f"formats {formats} at bytes {offsets} in one file", "one of each")
    if formats[0] not in FORMATS:
        raise UnknownFormatError(
            where, f"samples of format {formats[0]}", f"one of {', '.join(FORMATS)}",
            "convert the record, e.g. with xform",
        )  # fmt: skip
    form, width = FORMATS[formats[0]], sum(signal.per_frame for signal in signals)
    size, stated = path.stat().st_size - offsets[0], frames is not None
    frames = _frames_in(form, width, size) if frames is None else frames
    wanted = form.bytes_of(frames * width)
    if size < wanted:
        raise UnreadableError(
            where, f"{size} bytes of samples", f"{wanted} bytes: {frames} frames of {width}",
            "copy the file again",
        )  # fmt: skip
    padding = -(-frames * width // form.block_samples) * form.block_bytes - wanted
    if size - wanted in (0, padding):
        return SampleFile(path, formats[0], width, frames, offsets[0])
    found, expected = f"{size - wanted} bytes after the last sample", f"{wanted} bytes of samples"
    if not stated or any(signal.checksum is None or signal.skew for signal in signals):
        raise UnreadableError(where, found, expected, "copy header and file again")
    raw.warn(name, found, expected)  # checksums will tell whether the samples are whole
    return SampleFile(path, formats[0], width, frames, offsets[0])


def _frames_in(form: Format, width: int, size: int) -> int:
    """Return how many frames some bytes hold, at least 1."""
    frames = (size // form.block_bytes + 1) * form.block_samples // width
    while frames > 1 and form.bytes_of(frames * width) > size:
        frames -= 1
    return max(1, frames)


def verify(raw: Raw, segments: Sequence[Segment]) -> bool:
    """Walk through all samples once; return whether any is marked as invalid.

    Raises
    ------
    UnreadableError
        When a sum of samples is not the checksum of its header.
    """
    marked = False
    unchecked: list[str] = []
    for segment in segments:
        for file in dict.fromkeys(column.file for _, column in segment.columns):
            own = [(s, c) for s, c in segment.columns if c.file == file]
            sums, firsts, invalid = _sums(file, [column for _, column in own])
            marked = marked or invalid
            for (signal, _), total, first in zip(own, sums, firsts, strict=True):
                _compare(raw, file, signal, total, first)
                if signal.checksum is None or signal.skew:
                    unchecked.append(signal.name)
    if unchecked:
        names = ", ".join(dict.fromkeys(unchecked))
        raw.note("checksum", f"none of {names}; lengths alone were compared", "a checksum of each")
    return marked


def _sums(file: SampleFile, columns: Sequence[Column]) -> tuple[list[int], list[int], bool]:
    sums, firsts, invalid = [0] * len(columns), [0] * len(columns), False
    for begin, slab in _slabs(file):
        for place, column in enumerate(columns):
            own = slab[:, column.start : column.start + column.per_frame]
            if not begin:
                firsts[place] = int(own[0, 0])
            sums[place] += int(own.sum(dtype="int64"))
            invalid = invalid or bool((own == column.invalid).any())
    return sums, firsts, invalid


def _slabs(file: SampleFile) -> Iterator[tuple[int, Samples]]:
    step = max(1, SLAB_SAMPLES // file.width)
    for first in range(0, file.frames, step):
        yield first, file.read(first, min(first + step, file.frames))


def _compare(raw: Raw, file: SampleFile, signal: Stated, total: int, first: int) -> None:
    where = f"{file.path.name}: {signal.name}"
    if signal.checksum is not None and not signal.skew and (total - signal.checksum) % 65536:
        found = (total + 32768) % 65536 - 32768
        raise UnreadableError(
            f"{raw.name}: {where}", f"samples whose checksum is {found}",
            f"{signal.checksum}, as the header says", "copy the file again",
        )  # fmt: skip
    if signal.first is not None and not signal.skew and signal.first != first:
        raw.warn(where, f"a first sample of {first}", f"{signal.first}, as the header says")


def frames_of(
    columns: Sequence[Column | None], per_frame: int, dtype: str, first: int, last: int
) -> tuple[Samples, npt.NDArray[np.bool_]]:
    """Return frames of some signals of one segment and which samples are valid, (time, channel).

    Parameters
    ----------
    columns : sequence of Column or None
        None for a signal that the segment lacks: all of its samples are 0 and not valid.
    per_frame : int
        Samples of each signal in a frame.
    """
    values = np.zeros(((last - first) * per_frame, len(columns)), dtype)
    valid = np.zeros(values.shape, bool)
    slabs: dict[tuple[SampleFile, int], Samples] = {}
    for place, column in enumerate(columns):
        if column is None:
            continue
        key = column.file, column.skew
        if key not in slabs:
            ends = [min(n + column.skew, column.file.frames) for n in (first, last)]
            slabs[key] = column.file.read(*ends)
        own = slabs[key][:, column.start : column.start + per_frame].reshape(-1)
        values[: own.size, place] = own
        valid[: own.size, place] = own != column.invalid
    return values, valid
