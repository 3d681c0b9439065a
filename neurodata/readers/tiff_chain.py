"""The chain of pages of a TIFF file, checked against the file's size before anything is decoded.

A cut file still shows a shorter chain or strips beyond its end, and decoders give the pages that
are left; so every offset is checked here.

References
----------
TIFF 6.0, section 2; BigTIFF, https://www.awaresystems.be/imaging/tiff/bigtiff.html
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurodata.errors import UnreadableError, UnsafeError
from neurodata.safe import memmap

MAGIC = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}
PAGE_LIMIT = 2**20
PAGE_LIMIT_BYTES = 2**30
RATIO_LIMIT = 5000  # beyond deflate (1032) and LZW (about 1400) at their best
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8,
         17: 8, 18: 8}  # fmt: skip
INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
WIDTH, LENGTH, BITS, COMPRESSION, SAMPLES, PLANAR = 256, 257, 258, 259, 277, 284
STRIPS, ROWS, STRIP_BYTES = 273, 278, 279
TILE_WIDTH, TILE_LENGTH, TILES, TILE_BYTES = 322, 323, 324, 325


@dataclass(frozen=True)
class Page:
    """One image of the chain: where its directory is, its size and where its pixels end."""

    offset: int
    width: int
    length: int
    bytes_decoded: int
    first: int


def pages(path: Path) -> list[Page]:
    """Return the pages of a TIFF file after checking every offset and byte count.

    Raises
    ------
    UnreadableError
        When the file is empty or cut, a directory or a strip lies outside it, or the chain
        runs in a circle.
    UnsafeError
        When a page would decode to more than 1 GiB, or to 5000 times its stored bytes.
    """
    size = path.stat().st_size
    if size < 8:
        raise _broken(path, f"{size} bytes", "a TIFF file")
    data = memmap(path, np.dtype("u1"), (size,))
    try:
        return _Chain(path, data, size).walk()
    except (struct.error, IndexError, KeyError, OverflowError) as error:
        raise _broken(path, f"a damaged page directory ({error})", "an intact one") from error


class _Chain:
    def __init__(self, path: Path, data: Any, size: int) -> None:
        self.path, self.data, self.size = path, data, size
        magic = bytes(data[:4])
        self.order, self.big = MAGIC[magic], b"+" in magic

    def walk(self) -> list[Page]:
        """Follow the chain from the header to its end."""
        found: list[Page] = []
        seen: set[int] = set()
        offset = self._number("Q", 8) if self.big else self._number("I", 4)
        while offset:
            if offset in seen or len(seen) >= PAGE_LIMIT:
                raise _broken(self.path, f"a chain that returns to byte {offset}", "an end")
            seen.add(offset)
            tags, following = self._directory(offset)
            found.append(self._page(offset, tags, len(found)))
            offset = following
        if not found:
            raise _broken(self.path, "no page", "at least one")
        return found

    def _number(self, kind: str, at: int) -> int:
        width = struct.calcsize(kind)
        if at < 0 or at + width > self.size:
            raise _broken(
                self.path, f"an offset of {at}", f"less than {self.size}, the file's size"
            )
        value: int = struct.unpack(self.order + kind, bytes(self.data[at : at + width]))[0]
        return value

    def _directory(self, at: int) -> tuple[dict[int, tuple[int, int, int]], int]:
        """Return {tag: (type, count, offset of its values)} and the next directory's offset."""
        count = self._number("Q" if self.big else "H", at)
        start, step = at + (8 if self.big else 2), 20 if self.big else 12
        tags = {}
        if start + count * step > self.size:
            raise _broken(self.path, f"{count} tags at byte {at}", f"tags within {self.size} bytes")
        for entry in range(start, start + count * step, step):
            tag, kind = self._number("H", entry), self._number("H", entry + 2)
            values = self._number("Q" if self.big else "I", entry + 4)
            place = entry + (12 if self.big else 8)
            need = SIZES.get(kind, 1) * values
            if need > (8 if self.big else 4):
                place = self._number("Q" if self.big else "I", place)
            if place + need > self.size:
                raise _broken(
                    self.path, f"tag {tag} up to byte {place + need}", f"{self.size} bytes"
                )
            tags[tag] = (kind, values, place)
        return tags, self._number("Q" if self.big else "I", start + count * step)

    def _values(self, tags: dict[int, tuple[int, int, int]], tag: int, default: int) -> list[int]:
        if tag not in tags:
            return [default]
        kind, count, place = tags[tag]
        width = SIZES[kind]
        block = bytes(self.data[place : place + count * width])
        return list(struct.unpack(f"{self.order}{count}{INTEGERS[kind]}", block))

    def _page(self, offset: int, tags: dict[int, tuple[int, int, int]], number: int) -> Page:
        one = {tag: self._values(tags, tag, 1)[0] for tag in (WIDTH, LENGTH, SAMPLES, PLANAR)}
        width, length, samples = one[WIDTH], one[LENGTH], one[SAMPLES]
        bits = sum((self._values(tags, BITS, 1) * samples)[:samples])
        decoded = length * -(-width * bits // 8)
        tiled = TILES in tags
        starts = self._values(tags, TILES if tiled else STRIPS, 0)
        counts = self._values(tags, TILE_BYTES if tiled else STRIP_BYTES, 0)
        where = f"{self.path.name}: page {number}"
        self._check_segments(tags, starts, counts, where, samples if one[PLANAR] == 2 else 1)
        plain = self._values(tags, COMPRESSION, 1)[0] == 1
        stored = sum(counts)
        if not decoded or (plain and not tiled and stored < decoded):
            raise UnreadableError(
                where, f"{stored} bytes", f"{decoded} by its size", "copy it again"
            )
        if decoded > PAGE_LIMIT_BYTES or decoded > stored * RATIO_LIMIT:
            raise UnsafeError(
                where, f"{decoded} bytes from {stored}",
                f"at most {PAGE_LIMIT_BYTES} bytes and {RATIO_LIMIT} times", "cut it into pages",
            )  # fmt: skip
        return Page(offset, width, length, decoded, starts[0])

    def _check_segments(
        self, tags: dict[int, tuple[int, int, int]], starts: list[int], counts: list[int],
        where: str, planes: int,
    ) -> None:  # fmt: skip
        """Check that all strips or tiles are there and lie in the file."""
        width, length = (self._values(tags, tag, 1)[0] for tag in (WIDTH, LENGTH))
        across, down = 1, self._values(tags, ROWS, length)[0]
        if TILES in tags:
            across = -(-width // max(1, self._values(tags, TILE_WIDTH, 0)[0]))
            down = self._values(tags, TILE_LENGTH, 0)[0]
        wanted = planes * across * -(-length // max(1, min(down, length) or 1))
        if len(starts) != wanted or len(counts) != wanted:
            raise UnreadableError(where, f"{len(starts)} strips or tiles", f"{wanted} by its size")
        for start, count in zip(starts, counts, strict=True):
            if not start or not count or start + count > self.size:
                raise UnreadableError(
                    where, f"{count} bytes at byte {start} of a file of {self.size}",
                    "pixels within the file", "copy or download it again",
                )  # fmt: skip


def _broken(path: Path, found: str, expected: str) -> UnreadableError:
    return UnreadableError(path.name, found, expected, "copy or download it again")
