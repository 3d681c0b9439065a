"""The arrays of a version as they are stored, read without zarr-python: checked, and fast.

A chunk is read by position, its crc32c compared and its bytes decoded straight into the
caller's memory where the place is contiguous. Shard indices are read once, checked, and must
have an entry for every chunk inside the array: a missing chunk is an error, never zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import ceil, prod
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
from numcodecs import blosc
from numcodecs.vlen import VLenUTF8

from neurodata.errors import IntegrityError
from neurodata.store.decode import Form, decode_box, form_of
from neurodata.store.files_of import AGAIN, Array, Files, Range, room
from neurodata.store.manifest import TREE

Box = tuple[slice, ...]

EMPTY = 2**64 - 1
NEAR_BYTES = 2**17


class _Piece(NamedTuple):
    """Where one chunk and a box meet along one axis."""

    chunk: int
    source: slice
    target: slice
    whole: bool


@dataclass(frozen=True, eq=False)
class StoredArray:
    """One array of a version.

    Parameters
    ----------
    key : str
        ``node/name``.
    dims : tuple of str
    shape, chunks, shards : tuple of int
        ``shards`` equals ``chunks`` where the array is not sharded.
    dtype : dtype
        ``object`` for text.
    """

    files: Files
    key: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attrs: Mapping[str, Any]
    chunks: tuple[int, ...]
    shards: tuple[int, ...]
    sharded: bool
    compressed: bool
    checked: bool
    _known: set[tuple[int, ...]] = field(default_factory=set, repr=False)

    @property
    def nbytes(self) -> int:
        """Size in bytes when decoded."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def values(self) -> Array:
        """The whole array, decoded at every use; text as an object array of strings."""
        return self.read(tuple(slice(0, n) for n in self.shape))

    def read(self, box: Box, out: Array | None = None) -> Array:
        """Return the items inside a box, decoded and checked.

        Parameters
        ----------
        box : tuple of slice
            One slice with start and stop for every axis, inside the array.
        out : array, optional
            Memory of the box's shape and the array's dtype that is filled.

        Raises
        ------
        IntegrityError
            When a chunk is missing, or its checksum differs.
        """
        if out is None:
            out = np.empty([part.stop - part.start for part in box], self.dtype)
        if decode_box(self, box, out):
            return out
        for number, source, target, whole in self._pieces(box):
            place: Any = (*target, ...)  # a view also of an array without axes
            self._decode(number, source, out[place], whole)
        return out

    def ranges(self, box: Box) -> list[Range]:
        """Return the parts of files that a read of the box needs, indices of shards apart."""
        return [self._range(number) for number, *_ in self._pieces(box)]

    def runs(self, box: Box) -> list[Range]:
        """Return the parts of files that a read needs, near ones as one: few, and fast to tell."""
        axes = [np.arange(a.start // n, -(-a.stop // n) * (a.stop > a.start)) for a, n in
                zip(box, self.chunks, strict=True)]  # fmt: skip
        grid = [np.ravel(n) for n in np.meshgrid(*axes, indexing="ij")]
        numbers = np.stack(grid or [np.zeros(1, "i8")])
        per_shard = np.array(self.chunks_of_shard or (1,))[:, None]
        inside = np.zeros(numbers.shape[1], "i8")
        for number, count in zip(numbers, per_shard[:, 0], strict=True):
            inside = inside * count + number % count
        found: list[Range] = []
        shards = numbers // per_shard
        for shard in np.unique(shards, axis=1).T:
            at = tuple(shard.tolist()) if self.chunks else ()
            path, own = self.load_index(at), (shards == shard[:, None]).all(axis=0)
            entries = self.entries[self.shard_number(at), inside[own]].astype("i8")
            first, stop = np.sort(entries[:, 0]), np.sort(entries.sum(axis=1))
            begins = np.flatnonzero(np.append(True, first[1:] > stop[:-1] + NEAR_BYTES))
            ends = stop[np.append(begins[1:], len(stop)) - 1]
            found += [(path, a, z - a) for a, z in zip(first[begins].tolist(), ends.tolist(),
                                                       strict=True)]  # fmt: skip
        return found

    def waits(self, box: Box) -> bool:
        """Say whether a read of the first or the last chunk of a box would wait."""
        first = tuple([part.start // n for part, n in zip(box, self.chunks, strict=True)])
        last = tuple([(part.stop - 1) // n for part, n in zip(box, self.chunks, strict=True)])
        return any(self.files.waits(*self._range(number)[:2]) for number in (first, last))

    def index_ranges(self, box: Box) -> list[Range]:
        """Return the shard indices that a read of the box needs and that were not read yet."""
        if not self.sharded:
            return []
        length = self._index_length
        shards = {self._shard(number) for number, *_ in self._pieces(box)}
        return [(self._path(s), -length, length) for s in sorted(shards - self._known)]

    def _pieces(self, box: Box) -> Iterator[tuple[tuple[int, ...], Box, Box, bool]]:
        axes = [_meet(part, size) for part, size in zip(box, self.chunks, strict=True)]
        for pieces in product(*axes):
            yield (
                tuple([piece.chunk for piece in pieces]),
                tuple([piece.source for piece in pieces]),
                tuple([piece.target for piece in pieces]),
                all([piece.whole for piece in pieces]),  # noqa: C419 (hot path)
            )

    def _shard(self, number: tuple[int, ...]) -> tuple[int, ...]:
        return tuple([n // count for n, count in zip(number, self.chunks_of_shard, strict=True)])

    def _path(self, shard: tuple[int, ...]) -> str:
        return "/".join([f"{TREE}/{self.key}/c", *map(str, shard)])

    def _range(self, number: tuple[int, ...]) -> Range:
        """Return path, first byte and length of a chunk."""
        shard = self._shard(number)
        path, inside = self.load_index(shard), 0
        for at, count in zip(number, self.chunks_of_shard, strict=True):
            inside = inside * count + at % count
        start, length = self.entries[self.shard_number(shard), inside].tolist()
        return path, start, length

    def load_index(self, shard: tuple[int, ...]) -> str:
        """Let a shard's part of `entries` be there, and return the shard's path.

        A chunk that is a file of its own is a shard of one chunk, without an index.
        """
        path = self._path(shard)
        if shard not in self._known:
            whole = [0, self.files.size(path)]
            index = self._index(shard).reshape(-1, 2) if self.sharded else whole
            self.entries[self.shard_number(shard)] = index
            self._known.add(shard)
        return path

    def shard_number(self, shard: tuple[int, ...]) -> int:
        """Return which of all shards, in C order, one is."""
        number = 0
        for at, count in zip(shard, self.shard_grid, strict=True):
            number = number * count + at
        return number

    @cached_property
    def entries(self) -> Array:
        """First byte and length of each chunk, ``(shard, chunk, 2)``, once its index is loaded."""
        made = np.empty((prod(self.shard_grid), prod(self.chunks_of_shard), 2), "<u8")
        shared: Array = self.__dict__.setdefault("_entries", made)  # by threads that ask at once
        return shared

    @cached_property
    def form(self) -> Form | None:
        """What a compiled loop must know to decode it, None where it cannot."""
        return form_of(self)

    @cached_property
    def shard_grid(self) -> tuple[int, ...]:
        """Shards along each axis."""
        return tuple(-(-n // size) for n, size in zip(self.shape, self.shards, strict=True))

    @cached_property
    def chunks_of_shard(self) -> tuple[int, ...]:
        """Chunks of a shard along each axis."""
        return tuple(big // small for big, small in zip(self.shards, self.chunks, strict=True))

    @property
    def _index_length(self) -> int:
        """Bytes of a shard's index: two numbers a chunk and a crc32c (sharding codec 1.0)."""
        return 16 * prod(self.chunks_of_shard) + 4

    def _index(self, shard: tuple[int, ...]) -> Array:
        path, length = self._path(shard), self._index_length
        where = f"{self.files.where}/{path}"
        data = self.files.read(path, -length, length)
        numbers = np.frombuffer(data, "u1")
        if google_crc32c.value(numbers[:-4]) != int.from_bytes(data[-4:], "little"):
            raise IntegrityError(where, "a damaged shard index", "an intact one", AGAIN)
        index = np.frombuffer(data, "<u8", count=length // 8).reshape(*self.chunks_of_shard, 2)
        used = index[
            tuple(
                slice(0, ceil(min(big, n - at * big) / small))
                for at, n, big, small in zip(
                    shard, self.shape, self.shards, self.chunks, strict=True
                )
            )
        ]
        end = self.files.size(path) - length
        if (used[..., 0] == EMPTY).any():
            raise IntegrityError(where, "a shard that lacks a chunk", "all of them", AGAIN)
        if (used[..., 0] > end).any() or (used[..., 0] + used[..., 1] > end).any():
            raise IntegrityError(where, "chunks beyond the shard's end", "none", AGAIN)
        return index

    def _decode(self, number: tuple[int, ...], source: Box, target: Array, whole: bool) -> None:
        """Decode one chunk, or a part of it, into memory."""
        path, start, length = self._range(number)
        try:
            if whole and self._plain and target.flags.c_contiguous:
                self._copy(path, start, length, target)
                return
            body = self._checked(self.files.view(path, start, length))
            if self.dtype == object:
                text = blosc.decompress(body) if self.compressed else body.tobytes()
                target[...] = VLenUTF8().decode(text).reshape(self.chunks)[source]
            elif not self.compressed:
                target[...] = body.view(self.dtype).reshape(self.chunks)[source]
            elif whole and target.flags.c_contiguous:
                self._inflate(body, target)
            else:
                chunk = room("chunk", self.chunk_bytes).view(self.dtype).reshape(self.chunks)
                self._inflate(body, chunk)
                target[...] = chunk[source]
        except (ValueError, RuntimeError) as error:
            where = f"{self.files.where}/{path}, chunk {number}"
            raise IntegrityError(where, str(error), "the bytes that were written", AGAIN) from error

    @cached_property
    def _plain(self) -> bool:
        """Whether a chunk is its numbers and their checksum, as they are in memory."""
        return self.checked and not self.compressed and self.dtype != object

    def _copy(self, path: str, start: int, length: int, target: Array) -> None:
        """Read an uncompressed chunk straight to where it belongs, then compare its checksum."""
        if length != target.nbytes + 4:
            raise ValueError(f"a chunk of {length} bytes where {target.nbytes + 4} are expected")
        numbers, stated = target.reshape(-1).view("u1"), np.empty(4, "u1")
        self.files.fill(path, start, [numbers, stated])
        if google_crc32c.value(numbers) != int.from_bytes(stated.tobytes(), "little"):
            raise ValueError("a checksum that differs")

    @cached_property
    def chunk_bytes(self) -> int:
        """Bytes of a decoded chunk."""
        return prod(self.chunks) * self.dtype.itemsize

    def _checked(self, data: Array) -> Array:
        """Return a chunk's bytes without its checksum, after comparing it."""
        if not self.checked:
            return data
        stated = int.from_bytes(data[-4:].tobytes(), "little")
        if len(data) < 4 or google_crc32c.value(data[:-4]) != stated:
            raise ValueError("a checksum that differs")
        return data[:-4]

    def _inflate(self, body: Array, target: Array) -> None:
        size = int.from_bytes(body[4:8].tobytes(), "little")  # of the blosc 1 header
        if size != target.nbytes:
            raise ValueError(f"a chunk of {size} bytes where {target.nbytes} are expected")
        blosc.decompress(body, target)


def _meet(part: slice, size: int) -> list[_Piece]:
    """Return the chunks of one axis that a slice touches."""
    start, stop = part.start, part.stop
    pieces = []
    for chunk in range(start // size, -(-stop // size) if stop > start else start // size):
        low, high = max(start, chunk * size), min(stop, (chunk + 1) * size)
        source = slice(low - chunk * size, high - chunk * size)
        pieces.append(_Piece(chunk, source, slice(low - start, high - start), high - low == size))
    return pieces
