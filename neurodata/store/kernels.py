"""A compiled loop that reads, checks and decodes many chunks while other threads run; needs numba.

It calls the C functions that the Python path calls too: ``pread``, the crc32c of google-crc32c,
and the LZ4 and blosc of numcodecs, by their addresses. Blosc's bit-unshuffle is done here: its
own takes seven times as long as LZ4 itself, this one twice as long (format: c-blosc 1.21,
README_CHUNK_FORMAT.rst).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import carray, njit

from neurodata.store.calls import blosc, crc32c, lz4, pointer, pread

Array = npt.NDArray[Any]

PREAD, CRC, BLOSC, LZ4 = range(4)
HEADER = 16  # bytes: version, LZ4's version, flags, itemsize, then three uint32
CHUNK_BYTES, BLOCK_BYTES, PACKED_BYTES = 4, 8, 12  # where these are
FORMAT, LZ4_FORMAT = 2, 1
SHUFFLED, COPIED, BITS, WHOLE, CODEC, LZ4_CODEC = 0x01, 0x02, 0x04, 0x10, 0xE0, 0x20
FEWEST_SPLIT = 128  # items of a block; smaller ones are one stream
TILE = 256


@njit(inline="always")
def _uint32(room: Array, at: int) -> int:
    """Return the little-endian number of four bytes."""
    low = np.int64(room[at]) | np.int64(room[at + 1]) << 8
    return low | np.int64(room[at + 2]) << 16 | np.int64(room[at + 3]) << 24


@njit(nogil=True, cache=True)
def decode_chunks(
    grid: Array,
    files: Array,
    entries: Array,
    box: Array,
    target: int,
    steps: Array,
    kind: Array,
    functions: Array,
    packed: Array,
    room: Array,
    shuffled: Array,
) -> bool:
    """Fill memory with a box of an array of up to four axes, unless a chunk of it is damaged.

    Parameters
    ----------
    grid : array (3, 4) int64
        Items of a chunk, chunks of a shard and shards of the array along each axis.
    files : array (shard,) int64
        Open files, -1 where the box has no part of a shard.
    entries : array (shard, chunk, 2) uint64
        First byte and length of every chunk in its shard.
    box : array (2, 4) int64
        First item and the one after the last, along each axis.
    target : int
        Address of the memory.
    steps : array (2, 4) int64
        Bytes to the next item along each axis: of a decoded chunk, of the memory.
    kind : array (4,) int64
        Bytes of an item, of a decoded chunk, and whether chunks are compressed and have checksums.
    functions : array (4,) uint64
        Addresses of ``pread``, ``crc32c_value``, ``blosc_decompress_ctx``, ``LZ4_decompress_safe``.
    packed, room, shuffled : array (byte,) uint8
        For one chunk as it is stored, decoded, and in between.
    """
    tile, flat = np.empty(4 * TILE, np.uint64), _is_flat(grid[0], steps[1], kind[0])
    first, stop = box[0] // grid[0], -(-box[1] // grid[0])
    begin, count = np.empty(4, np.int64), np.empty(4, np.int64)
    for i in range(first[0], stop[0]):
        for j in range(first[1], stop[1]):
            for k in range(first[2], stop[2]):
                for m in range(first[3], stop[3]):
                    shard, inside = _place((i, j, k, m), grid)
                    file, entry = files[shard], entries[shard, inside]
                    there, whole = _meet((i, j, k, m), grid, box, steps[1], begin, count)
                    place, whole = np.uint64(np.int64(target) + there), whole and flat
                    if whole and not kind[2]:
                        if not _copy(file, entry, place, kind, functions, packed):
                            return False
                        continue
                    length = _bring(file, entry, kind[3] != 0, functions, packed)
                    if not _place_chunk(
                        length, place, whole, begin, count, steps, kind, functions,
                        packed, room, shuffled, tile,
                    ):  # fmt: skip
                        return False
    return True


@njit(nogil=True, cache=True)
def _is_flat(chunk: Array, steps: Array, itemsize: int) -> bool:
    """Say whether a whole chunk is contiguous in the memory."""
    expected = itemsize
    for axis in range(3, -1, -1):
        if chunk[axis] != 1 and steps[axis] != expected:
            return False
        expected *= chunk[axis]
    return True


@njit(nogil=True, cache=True)
def _place(number: tuple[int, int, int, int], grid: Array) -> tuple[int, int]:
    """Return the number of a chunk's shard, and its own there."""
    shard = inside = 0
    for axis in range(4):
        shard = shard * grid[2, axis] + number[axis] // grid[1, axis]
        inside = inside * grid[1, axis] + number[axis] % grid[1, axis]
    return shard, inside


@njit(nogil=True, cache=True)
def _meet(
    number: tuple[int, int, int, int],
    grid: Array,
    box: Array,
    steps: Array,
    begin: Array,
    count: Array,
) -> tuple[int, bool]:
    """Note which items of a chunk are in the box; return where they go, and if they are all."""
    there, whole = 0, True
    for axis in range(4):
        corner = number[axis] * grid[0, axis]
        low, high = max(corner, box[0, axis]), min(corner + grid[0, axis], box[1, axis])
        begin[axis], count[axis] = low - corner, high - low
        there += (low - box[0, axis]) * steps[axis]
        whole &= high - low == grid[0, axis]
    return there, whole


@njit(nogil=True, cache=True)
def _place_chunk(
    length: int,
    place: int,
    whole: bool,
    begin: Array,
    count: Array,
    steps: Array,
    kind: Array,
    functions: Array,
    packed: Array,
    room: Array,
    shuffled: Array,
    tile: Array,
) -> bool:
    """Decode a chunk that was read, and copy what is wanted of it where it does not fit whole."""
    source = np.uint64(packed.ctypes.data)
    if kind[2]:
        source = place if whole else np.uint64(room.ctypes.data)
        if not _inflate(functions, packed, length, source, kind[1], shuffled, tile):
            return False
    elif length != kind[1]:
        return False
    if source != place:
        _copy_part(source, place, begin, count, steps, kind[0])
    return True


@njit(nogil=True, cache=True)
def _bring(file: int, entry: Array, checked: bool, functions: Array, packed: Array) -> int:
    """Read a chunk and compare its checksum; return its bytes without that, or -1."""
    start, length = np.int64(entry[0]), np.int64(entry[1])
    place = np.uint64(packed.ctypes.data)
    if length > packed.shape[0]:
        return -1
    if pread(functions[PREAD], file, place, length, start) != length:
        return -1
    if not checked:
        return length
    length -= 4
    if length < 0 or np.int64(crc32c(functions[CRC], place, length)) != _uint32(packed, length):
        return -1
    return length


@njit(nogil=True, cache=True)
def _copy(
    file: int, entry: Array, place: int, kind: Array, functions: Array, packed: Array
) -> bool:
    """Read an uncompressed chunk straight to where it belongs, and compare its checksum."""
    start, size, checked = np.int64(entry[0]), kind[1], kind[3]
    if np.int64(entry[1]) != size + 4 * checked:
        return False
    if pread(functions[PREAD], file, place, size, start) != size:
        return False
    if not checked:
        return True
    stated = np.uint64(packed.ctypes.data)
    if pread(functions[PREAD], file, stated, np.int64(4), start + size) != 4:
        return False
    return np.int64(crc32c(functions[CRC], place, size)) == _uint32(packed, 0)


@njit(nogil=True, cache=True)
def _inflate(
    functions: Array,
    packed: Array,
    length: int,
    target: int,
    chunk_bytes: int,
    shuffled: Array,
    tile: Array,
) -> bool:
    """Decode a blosc chunk of ``length`` bytes."""
    if length < HEADER or _uint32(packed, CHUNK_BYTES) != chunk_bytes:
        return False
    if _uint32(packed, PACKED_BYTES) != length:
        return False
    itemsize, flags, block = packed[3], packed[2], _uint32(packed, BLOCK_BYTES)
    ours = packed[0] == FORMAT and packed[1] == LZ4_FORMAT and itemsize in (1, 2, 4)
    ours = ours and flags & (SHUFFLED | COPIED | BITS | CODEC) == BITS | LZ4_CODEC
    if not ours or block == 0 or block % (8 * itemsize) or chunk_bytes % block:
        size, place = np.int64(chunk_bytes), np.uint64(packed.ctypes.data)
        return blosc(functions[BLOSC], place, target, size, 1) == chunk_bytes
    split = not flags & WHOLE and block // itemsize >= FEWEST_SPLIT
    planes = np.empty(4, np.uint64)
    for number in range(chunk_bytes // block):
        at = HEADER + 4 * number
        if at + 4 > length:
            return False
        at = _uint32(packed, at)
        if not _planes(functions, packed, length, at, block, itemsize, split, shuffled, planes):
            return False
        place = target + np.uint64(number * block)
        _unshuffle(planes, place, block // itemsize, itemsize, tile)
    return True


@njit(nogil=True, cache=True)
def _planes(
    functions: Array,
    packed: Array,
    length: int,
    at: int,
    block: int,
    itemsize: int,
    split: bool,
    shuffled: Array,
    planes: Array,
) -> bool:
    """Decode the streams of one block, and note where each byte of the items is."""
    streams = itemsize if split else 1
    part, place = block // streams, np.uint64(packed.ctypes.data)
    for stream in range(streams):
        if at + 4 > length:
            return False
        size, at = _uint32(packed, at), at + 4
        if size > length - at:
            return False
        found = place + np.uint64(at)
        if size != part:
            room = np.uint64(shuffled.ctypes.data) + np.uint64(stream * part)
            if lz4(functions[LZ4], found, room, size, part) != part:
                return False
            found = room
        for plane in range(itemsize // streams):
            planes[stream + plane] = found + np.uint64(plane * (block // itemsize))
        at += size
    return True


@njit(nogil=True, cache=True)
def _unshuffle(planes: Array, target: int, count: int, itemsize: int, tile: Array) -> None:
    """Turn byte planes, eight rows of bits each, into items, a tile at a time."""
    rows = count // 8
    for first in range(0, rows, TILE):
        some = min(TILE, rows - first)
        for plane in range(itemsize):
            base = planes[plane] + np.uint64(first)
            bits = carray(pointer(base), (7 * rows + some,), np.uint8)
            _transpose(bits, rows, tile[plane * TILE : plane * TILE + some])
        place, many = target + np.uint64(8 * first * itemsize), 8 * some
        b = tile.view(np.uint8)
        if itemsize == 1:
            items = carray(pointer(place), (many,), np.uint8)
            for item in range(many):
                items[item] = b[item]
        elif itemsize == 2:
            pairs = carray(pointer(place), (many,), np.uint16)
            low, high = b[:many], b[8 * TILE : 8 * TILE + many]
            for item in range(many):
                pairs[item] = np.uint16(low[item]) | np.uint16(high[item]) << np.uint16(8)
        else:
            fours = carray(pointer(place), (many,), np.uint32)
            low, high = b[:many], b[8 * TILE : 8 * TILE + many]
            third, last = b[16 * TILE : 16 * TILE + many], b[24 * TILE : 24 * TILE + many]
            for item in range(many):
                lower = np.uint32(low[item]) | np.uint32(high[item]) << np.uint32(8)
                upper = np.uint32(third[item]) | np.uint32(last[item]) << np.uint32(8)
                fours[item] = lower | upper << np.uint32(16)


@njit(nogil=True, cache=True)
def _transpose(bits: Array, rows: int, found: Array) -> None:
    """Turn eight rows of bits into bytes: 8 x 8 bits at a time (Warren, Hacker's Delight 7-3)."""
    some = len(found)
    a, b, c, d = bits, bits[rows:], bits[2 * rows :], bits[3 * rows :]
    e, f, g, h = bits[4 * rows :], bits[5 * rows :], bits[6 * rows :], bits[7 * rows :]
    u = np.uint64
    for at in range(some):
        low = u(a[at]) | u(b[at]) << u(8) | u(c[at]) << u(16) | u(d[at]) << u(24)
        high = u(e[at]) << u(32) | u(f[at]) << u(40) | u(g[at]) << u(48) | u(h[at]) << u(56)
        x = low | high
        swap = (x ^ (x >> u(7))) & u(0x00AA00AA00AA00AA)
        x ^= swap ^ (swap << u(7))
        swap = (x ^ (x >> u(14))) & u(0x0000CCCC0000CCCC)
        x ^= swap ^ (swap << u(14))
        swap = (x ^ (x >> u(28))) & u(0x00000000F0F0F0F0)
        found[at] = x ^ swap ^ (swap << u(28))


@njit(nogil=True, cache=True)
def _copy_part(
    source: int, target: int, begin: Array, count: Array, steps: Array, itemsize: int
) -> None:
    """Copy a box of up to four axes, row by row."""
    width = count[3] * itemsize
    for axis in range(4):
        source += np.uint64(begin[axis] * steps[0, axis])
    for first in range(count[0]):
        for second in range(count[1]):
            ahead = first * steps[0, 0] + second * steps[0, 1]
            there = first * steps[1, 0] + second * steps[1, 1]
            for _ in range(count[2]):
                row = carray(pointer(source + np.uint64(ahead)), (width,), np.uint8)
                place = carray(pointer(target + np.uint64(there)), (width,), np.uint8)
                for byte in range(width):
                    place[byte] = row[byte]
                ahead += steps[0, 2]
                there += steps[1, 2]


def nothing(name: str, kind: str) -> tuple[Any, ...]:
    """Return arguments with which a loop does nothing."""
    files, entries, room = np.zeros(0, "i8"), np.zeros((0, 0, 2), "u8"), np.zeros(0, "u1")
    grid, box, steps = np.ones((3, 4), "i8"), np.zeros((2, 4), "i8"), np.zeros((2, 4), "i8")
    rooms = room, room, room
    return (
        grid,
        files,
        entries,
        box,
        np.uint64(0),
        steps,
        np.zeros(4, "i8"),
        np.zeros(4, "u8"),
        *rooms,
    )
