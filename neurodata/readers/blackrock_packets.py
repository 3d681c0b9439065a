"""Headers, blocks and packets of Blackrock's files, every count compared with the file's length.

Format: Blackrock's file specification 2.2, 2.3 and 3.0; the layouts are those of neo's tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurodata import safe
from neurodata.errors import UnknownFormatError, UnreadableError, need
from neurodata.readers.channels import Clock
from neurodata.readers.neo_raw import EXTRA
from neurodata.safe import Raw

TABLES = "neo.rawio.blackrockrawio"
TICKS_HZ = 30_000  # the unit of "period"
PTP_HZ = 10**9  # time stamps in nanoseconds: one packet a sample
SPECS = ("2.2", "2.3", "3.0")
BLOCK_LIMIT = 10**6
LAST_TICK = 2**62
GAP_SAMPLES = 0.5
NEV_HEADER = np.dtype(
    [("id", "S8"), ("major", "u1"), ("minor", "u1"), ("flags", "<u2"), ("header_bytes", "<u4"),
     ("packet_bytes", "<u4"), ("ticks_hz", "<u4"), ("waveform_hz", "<u4"), ("date", "<u2", 8),
     ("application", "S32"), ("comment", "S256"), ("extensions", "<u4")]
)  # fmt: skip
EXTENSION_BYTES = 32
Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Block:
    """Samples that follow one another: first byte, count, and time of the first in ticks."""

    offset: int
    samples: int
    at: int


@dataclass(frozen=True)
class Sampled:
    """One file of samples.

    Parameters
    ----------
    channels : structured array (channel,)
        As the header has them.
    rate_hz : float
        Nominal rate.
    ticks_hz : int
        Unit of the time stamps.
    blocks : sequence of Block
        Those with samples.
    packed : bool
        Whether each sample is a packet with a time stamp of its own, then of one block.
    """

    path: Path
    channels: Values
    rate_hz: float
    ticks_hz: int
    blocks: Sequence[Block]
    packed: bool

    @property
    def n(self) -> int:
        """Number of samples."""
        return sum(block.samples for block in self.blocks)

    def read(self, first: int, last: int) -> npt.NDArray[np.int16]:
        """Return samples by number over all blocks, (time, channel)."""
        begin, parts, width = 0, [], len(self.channels)
        for block in self.blocks:
            a, b = max(first - begin, 0), min(last - begin, block.samples)
            begin += block.samples
            if a >= b:
                continue
            if self.packed:
                parts.append(np.asarray(_packets(self.path, width, block)["samples"][a:b]))
                continue
            data = safe.memmap(self.path, np.dtype("<i2"), (block.samples, width), block.offset)
            parts.append(np.asarray(data[a:b]))
        return np.concatenate(parts).astype("int16")

    def clock(self, where: str, origin: int) -> Clock:
        """Return the clock in seconds from a tick of the recorder, each gap a new stretch."""
        if self.packed:
            return self._packed_clock(where, origin)
        starts, begin = [], 0
        for block in self.blocks:
            starts.append((begin, (block.at - origin) / self.ticks_hz))
            begin += block.samples
        return Clock(self.rate_hz, self.n, starts)

    def _packed_clock(self, where: str, origin: int) -> Clock:
        at = _packets(self.path, len(self.channels), self.blocks[0])["at"].astype("int64")
        step = self.ticks_hz / self.rate_hz
        late = np.diff(at) - step
        if (late < -step).any() or (at < 0).any():
            raise UnreadableError(where, "time stamps that fall", "rising ones", "copy it again")
        firsts = np.concatenate([[0], np.flatnonzero(late > GAP_SAMPLES * step) + 1])
        starts = [(int(n), float(at[n] - origin) / self.ticks_hz) for n in firsts]
        ends = [*firsts[1:].tolist(), len(at)]
        longest = max(zip(firsts.tolist(), ends, strict=True), key=lambda item: item[1] - item[0])
        samples = longest[1] - longest[0] - 1
        ticks = int(at[longest[1] - 1] - at[longest[0]])
        rate_hz = self.rate_hz
        if samples and abs(ticks - samples * step) > step:
            rate_hz = samples * self.ticks_hz / ticks  # a clock that drifts
        return Clock(rate_hz, self.n, starts)


def sampled(raw: Raw, path: Path) -> Sampled:
    """Return where a file's samples are.

    Raises
    ------
    UnknownFormatError
        When it is of a specification that is not read.
    UnreadableError
        When header, blocks and length contradict each other.
    """
    where = path.relative_to(raw.root).as_posix()
    start = safe.head(path, 4096)
    tables = need(TABLES, extra=EXTRA)
    spec = _spec(where, start)
    basic, extended = (
        np.dtype(table[spec])
        for table in (tables.NSX_BASIC_HEADER_TYPES, tables.NSX_EXT_HEADER_TYPES)
    )
    if len(start) < basic.itemsize:
        raise _cut(where, len(start), basic.itemsize)
    header = np.frombuffer(start, basic, 1)[0]
    count, offset = int(header["channel_count"]), int(header["bytes_in_headers"])
    period, ticks_hz = int(header["period"]), int(header["timestamp_resolution"])
    wanted = basic.itemsize + count * extended.itemsize
    if not (count and offset == wanted and 0 < period <= 2**20 and ticks_hz):
        found = f"{count} channels in headers of {offset} bytes, period {period}, {ticks_hz} Hz"
        raise UnreadableError(where, found, f"headers of {wanted} bytes", "copy it again")
    size = path.stat().st_size
    if size < offset:
        raise _cut(where, size, offset)
    channels = np.array(safe.memmap(path, extended, (count,), basic.itemsize))
    if ticks_hz == PTP_HZ:
        block = Block(offset, (size - offset) // _packet(count).itemsize, 0)
        if (size - offset) % _packet(count).itemsize or not block.samples:
            expected = f"whole packets of {_packet(count).itemsize} bytes"
            raise UnreadableError(where, f"{size - offset} bytes", expected, "copy it again")
        packets = _packets(path, count, block)
        if (packets["count"] != 1).any() or int(packets["at"].max()) > LAST_TICK:
            raise UnreadableError(where, "packets of several samples", "one sample each", "")
        blocks, packed = [Block(offset, block.samples, int(packets["at"][0]))], True
    else:
        layout = np.dtype(tables.NSX_DATA_HEADER_TYPES[spec])
        blocks, packed = _blocks(where, path, layout, offset, count), False
    return Sampled(path, channels, TICKS_HZ / period, ticks_hz, tuple(blocks), packed)


def _spec(where: str, start: bytes) -> str:
    spec = f"{start[8]}.{start[9]}" if len(start) > 9 else ""
    if spec not in SPECS or start[:8] == b"NEURALSG":
        raise UnknownFormatError(
            where, f"Blackrock's specification {'2.1' if start[:8] == b'NEURALSG' else spec}",
            f"one of {', '.join(SPECS)}", "convert it with Blackrock's tools",
        )  # fmt: skip
    return spec


def _cut(where: str, size: int, wanted: int) -> UnreadableError:
    return UnreadableError(where, f"{size} bytes", f"headers of {wanted} bytes", "copy it again")


def _packet(count: int) -> np.dtype[Any]:
    return np.dtype(
        [("reserved", "u1"), ("at", "<u8"), ("count", "<u4"), ("samples", "<i2", (count,))]
    )


def _packets(path: Path, count: int, block: Block) -> Values:
    return safe.memmap(path, _packet(count), (block.samples,), block.offset)


def _blocks(where: str, path: Path, layout: np.dtype[Any], offset: int, count: int) -> list[Block]:
    """Walk from block to block; every one has to end within the file, the last one at its end."""
    size, found, seen = path.stat().st_size, list[Block](), 0
    data = safe.memmap(path, np.dtype("u1"), (size,))
    while offset < size:
        seen += 1
        if size - offset < layout.itemsize or seen > BLOCK_LIMIT:
            raise UnreadableError(where, f"{size - offset} bytes after block {seen - 1}",
                                  "whole blocks", "copy the file again")  # fmt: skip
        head = np.frombuffer(data[offset : offset + layout.itemsize].tobytes(), layout)[0]
        samples, offset = int(head["nb_data_points"]), offset + layout.itemsize
        there = (size - offset) // (2 * count)
        if int(head["header_flag"]) != 1 or samples > there or int(head["timestamp"]) > LAST_TICK:
            raise UnreadableError(
                where, f"block {seen} of {samples} samples, flag {head['header_flag']}",
                f"at most {there} samples and flag 1", "copy the file again",
            )  # fmt: skip
        if samples:
            found.append(Block(offset, samples, int(head["timestamp"])))
        offset += samples * 2 * count
    if not found:
        raise UnreadableError(where, "no samples", "at least one", "copy the file again")
    return found


@dataclass(frozen=True)
class Marks:
    """The packets of an event file: spikes, digital inputs and comments."""

    path: Path
    ticks_hz: int
    packets: Values


def marks(raw: Raw, path: Path) -> Marks:
    """Return the packets of a .nev file, its length checked.

    Raises
    ------
    UnknownFormatError
        When it is of a specification that is not read.
    UnreadableError
        When header and length contradict each other.
    """
    where = path.relative_to(raw.root).as_posix()
    start = safe.head(path, NEV_HEADER.itemsize)
    spec = _spec(where, start)
    if len(start) < NEV_HEADER.itemsize:
        raise _cut(where, len(start), NEV_HEADER.itemsize)
    header = np.frombuffer(start, NEV_HEADER)[0]
    offset, length = int(header["header_bytes"]), int(header["packet_bytes"])
    wanted = NEV_HEADER.itemsize + EXTENSION_BYTES * int(header["extensions"])
    size, ticks_hz = path.stat().st_size, int(header["ticks_hz"])
    stamp = "<u8" if spec == "3.0" else "<u4"
    least = np.dtype(stamp).itemsize + 8
    if offset != wanted or not least <= length <= 2**16 or not ticks_hz:
        found = f"headers of {offset} bytes, packets of {length}, {ticks_hz} Hz"
        raise UnreadableError(where, found, f"headers of {wanted} bytes", "copy it again")
    if size < offset or (size - offset) % length:
        raise UnreadableError(
            where, f"{size} bytes", f"{offset} and whole packets of {length}", "copy it again"
        )
    layout = np.dtype(
        [("at", stamp), ("id", "<u2"), ("kind", "u1"), ("flag", "u1"), ("input", "<u2"),
         ("rest", f"S{length - least + 2}")]
    )  # fmt: skip
    count = (size - offset) // length
    if not count:
        packets: Values = np.empty(0, layout)
    else:
        packets = safe.memmap(path, layout, (count,), offset)
        if int(packets["at"].max()) > LAST_TICK:
            raise UnreadableError(where, f"a time of {packets['at'].max()}", "ticks", "")
    return Marks(path, ticks_hz, packets)
