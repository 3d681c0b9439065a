"""Check the heaps of an HDF5 file, where text of any length is kept, before the library does.

HDF5 2.0 and before never end reading a heap whose free space has the length 0.
"""

from __future__ import annotations

import mmap
from functools import lru_cache
from pathlib import Path

from neurodata.errors import UnreadableError, UnsafeError

MAGIC = b"GCOL\x01"
LEAST_BYTES = 4096
FIXED_BYTES = 8


def check_heaps(path: Path, length_bytes: int) -> None:
    """Walk over every heap of the file; once a process, as long as the file stays as it is.

    Parameters
    ----------
    path : Path
        An HDF5 file.
    length_bytes : int
        How many bytes its lengths have, by its superblock.

    Raises
    ------
    UnreadableError
        When a walk over one of them would not end.
    UnsafeError
        When they overlap.

    References
    ----------
    HDF5 file format specification, III.E "Disk Format: Level 1E - Global Heap".
    """
    stat = path.stat()
    if (at := _endless(path, length_bytes, stat.st_size, stat.st_mtime_ns)) is not None:
        raise UnreadableError(
            path.name, f"a heap with free space of no length at byte {at}", "an intact heap",
            "copy or download it again",
        )  # fmt: skip


@lru_cache(maxsize=64)
def _endless(path: Path, length_bytes: int, size: int, mtime_ns: int) -> int | None:
    """Return where an object of a heap has no length, or None."""
    head = -(-(FIXED_BYTES + length_bytes) // 8) * 8
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at, walked = data.find(MAGIC), 0
        while at >= 0:
            heap = data[at : at + head]
            length = int.from_bytes(heap[FIXED_BYTES : FIXED_BYTES + length_bytes], "little")
            if LEAST_BYTES <= length <= size - at:
                walked += length
                if walked > 2 * size:
                    raise UnsafeError(path.name, "heaps that overlap", "one after the other")
                place = _stuck(data, at, at + length, head, length_bytes)
                if place is not None:
                    return place
            at = data.find(MAGIC, at + len(MAGIC))
    return None


def _stuck(data: mmap.mmap, at: int, stop: int, head: int, length_bytes: int) -> int | None:
    place = at + head
    while place + head <= stop:
        number = int.from_bytes(data[place : place + 2], "little")
        start = place + FIXED_BYTES
        length = int.from_bytes(data[start : start + length_bytes], "little")
        step = head + -(-length // 8) * 8 if number else length
        if not step:
            return place
        place += step
    return None


def claimed_numbers(path: Path, offset: int, count: int, address_bytes: int) -> int:
    """Return how many numbers the rows of a dataset claim to have; the library would allocate them.

    Parameters
    ----------
    offset, count : int
        Where the first row's length and place in a heap are kept, and how many rows there are.
    address_bytes : int
        How many bytes the file's addresses have, by its superblock.

    Raises
    ------
    UnreadableError
        When the file ends before the last of them.

    References
    ----------
    HDF5 file format specification, VIII.B "Disk Format: Data types of variable length".
    """
    step = 8 + address_bytes
    with path.open("rb") as stream:
        stream.seek(offset)
        table = stream.read(count * step)
    if len(table) < count * step:
        raise UnreadableError(path.name, f"{len(table)} bytes of rows", f"{count * step} bytes")
    return sum(int.from_bytes(table[at : at + 4], "little") for at in range(0, len(table), step))
