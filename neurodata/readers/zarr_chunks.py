"""Chunks of a Zarr array, each a file of its own or part of a shard."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np

from neurodata.errors import UnreadableError
from neurodata.readers.chunk_grid import NAMED, NUMBER, Array, Grid, first, gone
from neurodata.readers.zarr_codecs import CHUNK_LIMIT_BYTES, Chain

COUNT_LIMIT = 10_000_000
STORED_LIMIT_BYTES = CHUNK_LIMIT_BYTES + CHUNK_LIMIT_BYTES // 64
EMPTY = 2**64 - 1


@dataclass(frozen=True)
class Shards:
    """How chunks lie together in shards: the shard's shape and where its index is."""

    shape: tuple[int, ...]
    index_first: bool
    index_checked: bool


@dataclass(frozen=True)
class Keys:
    """How the file of a chunk or shard is called: ``prefix`` and its place in the grid, joined."""

    prefix: str
    separator: str

    def name(self, number: tuple[int, ...]) -> str:
        """Return the name of a chunk by its place in the grid."""
        return self.prefix + self.separator.join(map(str, number))

    def number(self, name: str, count: int) -> tuple[int, ...] | None:
        """Return the place in a grid of ``count`` axes that a file is called by, if any."""
        parts = name[len(self.prefix) :].split(self.separator)
        if not name.startswith(self.prefix) or len(parts) != count:
            return None
        fits = all(NUMBER.fullmatch(part) for part in parts)
        return tuple(map(int, parts)) if fits else None


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredZarr(Grid):
    """A Zarr array on disk.

    Parameters
    ----------
    chain : Chain
        How a chunk is stored.
    keys : Keys
        Names of the files of chunks, or of shards.
    shards : Shards or None
    axes : tuple of str
        Names of the axes where the metadata state them, else empty.
    """

    chain: Chain
    keys: Keys
    shards: Shards | None = None
    axes: tuple[str, ...] = ()

    def chunk(self, number: tuple[int, ...], kept: dict[str, Array]) -> Array:
        """Return a chunk by its place in the grid; ``kept`` holds the indexes of shards.

        Raises
        ------
        UnreadableError
            When it is not there, or damaged.
        """
        if self.shards is None:
            name = self.keys.name(number)
            if name not in self.files:
                return self.filled(name)
            data = self.files.read(name, STORED_LIMIT_BYTES)
            return self.chain.decode(data, f"{self.where}: {name}")
        many = self._many(self.shards)
        name = self.keys.name(tuple(i // m for i, m in zip(number, many, strict=True)))
        if name not in self.files:
            return self.filled(name)
        if name not in kept:
            kept[name] = self._index(name, self.shards)
        inner = tuple(i % m for i, m in zip(number, many, strict=True))
        start, count = map(int, kept[name][inner])
        where = f"{name} chunk {inner}"
        if start == count == EMPTY:
            return self.filled(where)
        data = self.files.part(name, start, count, STORED_LIMIT_BYTES)
        return self.chain.decode(data, f"{self.where}: {where}")

    def _many(self, shards: Shards) -> list[int]:
        return [n // c for n, c in zip(shards.shape, self.chunks, strict=True)]

    def _index(self, name: str, shards: Shards) -> Array:
        """Return a shard's index, ``(..., 2)``: first byte and length of each chunk."""
        many = self._many(shards)
        length = 16 * math.prod(many)
        total = length + 4 * shards.index_checked
        start = 0 if shards.index_first else self.files.entries[name].size - total
        data = self.files.part(name, start, total, STORED_LIMIT_BYTES)
        stated = int.from_bytes(data[length:], "little")
        if shards.index_checked and google_crc32c.value(data[:length]) != stated:
            raise UnreadableError(
                f"{self.where}: {name}", "a shard's index with another crc32c", "an intact one",
                "copy or download it again",
            )  # fmt: skip
        return np.frombuffer(data[:length], "<u8").reshape(*many, 2)

    def absent(self) -> tuple[int, list[str]]:
        """Return how many chunks (or whole shards) are not there, and the names of the first."""
        sizes = self.shards.shape if self.shards else self.chunks
        grid = [-(-n // c) for n, c in zip(self.shape, sizes, strict=True)]
        numbers = (self.keys.number(name, self.ndim) for name in self.files.entries)
        there = {
            number
            for number in numbers
            if number and all(at < n for at, n in zip(number, grid, strict=True))
        }
        count = math.prod(grid) - len(there)
        names = first(map(self.keys.name, gone(grid, there))) if count else []
        for number in sorted(there) if self.shards else ():
            inside = list(self._absent_inside(number, self.shards)) if self.shards else []
            count += len(inside)
            names += inside[: NAMED - len(names)]
        return count, names

    def _absent_inside(self, number: tuple[int, ...], shards: Shards) -> Iterator[str]:
        """Yield the chunks within the array's shape that a shard lacks."""
        name = self.keys.name(number)
        lengths = zip(number, shards.shape, self.shape, self.chunks, strict=True)
        inside: Any = tuple(
            slice(0, -(-min(size, length - at * size) // chunk))
            for at, size, length, chunk in lengths
        )
        empty = (self._index(name, shards)[inside] == EMPTY).all(axis=-1)
        return (f"{name} chunk {tuple(map(int, at))}" for at in np.argwhere(empty))
