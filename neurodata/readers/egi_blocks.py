"""The signals of an EGI ``.mff`` folder: blocks of 32-bit floats, each (channel, sample).

Every block is followed from the file's first byte to its last before a sample is read.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurodata import safe
from neurodata.errors import UnreadableError

CHANNEL_LIMIT, BLOCK_LIMIT = 10_000, 10_000_000
_HEADER = struct.Struct("<3i")  # bytes of header, bytes of data, channels
FLOAT_BITS = 32


@dataclass(frozen=True)
class Blocks:
    """Where the samples of one file are.

    Parameters
    ----------
    counts, starts : tuple of int
        Samples of each block, and the byte at which its data begin.
    """

    path: Path
    channels: int
    rate_hz: float
    counts: tuple[int, ...]
    starts: tuple[int, ...]

    @property
    def n(self) -> int:
        """Samples of each channel, all blocks together."""
        return sum(self.counts)

    def samples(self, places: Sequence[int], first: int, last: int) -> npt.NDArray[Any]:
        """Return stored samples of some channels, (time, channel)."""
        out = np.empty((last - first, len(places)), "f4")
        firsts = [0, *accumulate(self.counts)]
        at = max(0, bisect_right(firsts, first) - 1)
        for block in range(at, len(self.counts)):
            low, high = max(first, firsts[block]), min(last, firsts[block + 1])
            if firsts[block] >= last:
                break
            shape = (self.channels, self.counts[block])
            data = safe.memmap(self.path, np.dtype("<f4"), shape, self.starts[block])
            part = data[list(places), low - firsts[block] : high - firsts[block]]
            out[low - first : high - first] = part.T
        return out


def blocks_of(path: Path) -> Blocks:
    """Return the blocks of a signal file, followed to its end.

    Raises
    ------
    UnreadableError
        When a block reaches over the end, or channels, rates or types of number differ.
    """
    size = path.stat().st_size
    if not size:
        raise _refusal(path, 0, "an empty file", "blocks of samples")
    data = safe.memmap(path, np.dtype("u1"), (size,))
    place, channels, rate_hz, length = 0, 0, 0.0, 0
    counts, starts = list[int](), list[int]()
    while place < size:
        if size - place < 4 or len(counts) > BLOCK_LIMIT:
            raise _refusal(path, place, f"{size - place} bytes after block {len(counts)}", "none")
        flag = int(data[place : place + 4].view("<i4")[0])
        if flag == 1:
            head, length, count, hz = _header(path, data, place)
            if channels and (count, hz) != (channels, rate_hz):
                found = f"a block of {count} channels at {hz} Hz"
                raise _refusal(path, place, found, f"{channels} at {rate_hz}, as before")
            channels, rate_hz, place = count, hz, place + head
        elif flag == 0 and channels:
            place += 4
        else:
            raise _refusal(path, place, f"a block with the mark {flag}", "1, or later 0")
        if place + length > size:
            found = f"a block up to byte {place + length} of {size}"
            raise _refusal(path, place, found, "blocks inside the file")
        counts.append(length // (4 * channels))
        starts.append(place)
        place += length
    return Blocks(path, channels, rate_hz, tuple(counts), tuple(starts))


def _header(path: Path, data: npt.NDArray[np.uint8], place: int) -> tuple[int, int, int, float]:
    """Return bytes of a header and of its data, number of channels and rate in Hz."""
    start = data[place + 4 : place + 16].tobytes()
    if len(start) < 12:
        raise _refusal(path, place, "the start of a header", "a whole one")
    head, length, count = _HEADER.unpack(start)
    sizes = 0 < count <= CHANNEL_LIMIT and head >= 16 + 8 * count and place + head <= data.size
    if not sizes or length <= 0 or length % (4 * count):
        found = f"a header of {head} bytes for {length} bytes of {count} channels"
        raise _refusal(path, place, found, "whole samples inside the file")
    first = place + 16
    offsets = data[first : first + 4 * count].view("<u4").astype("int64")
    if not np.array_equal(offsets, np.arange(count) * (length // count)):
        raise _refusal(path, first, "channels at other places", "one after the other")
    words = data[first + 4 * count : first + 8 * count].view("<u4")
    if len(set(words.tolist())) != 1 or int(words[0]) & 0xFF != FLOAT_BITS or words[0] < 256:
        raise _refusal(path, first, "channels of unlike rates or bits", "one rate, 32 bits")
    return head, length, count, float(int(words[0]) >> 8)


def _refusal(path: Path, place: int, found: str, expected: str) -> UnreadableError:
    hint = "copy the folder again or export it anew"
    return UnreadableError(f"{path.name}: byte {place}", found, expected, hint)
