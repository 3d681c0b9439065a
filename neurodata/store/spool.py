"""Read an array block by block, and decode every chunk of its source once.

A microscope's page is as wide as the field of view, while the store's files are narrower: each
page is needed for several files. What does not fit in memory meanwhile waits in a scratch file.
"""

from __future__ import annotations

import mmap
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import accumulate, product
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any

import dask.base
import numpy as np
import xarray as xr

from neurodata.store import files
from neurodata.store.shards import MEMORY_BYTES, Array, Box, Rooms

BATCH_BYTES = 32 * 2**20


class Scratch(AbstractContextManager["Scratch"]):
    """A file without a name for blocks that wait; it is gone with the process.

    Parameters
    ----------
    folder : Path
        On the disk that the file may fill.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "scratch"
        self._descriptor = -1
        self._end = 0
        self._free: dict[int, list[int]] = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def put(self, values: Array) -> int:
        """Write a block and return where it lies."""
        if self._descriptor < 0:
            self._descriptor = files.scratch(self._path)
        room = -(-values.nbytes // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        free = self._free.get(room)
        start = free.pop() if free else self._end
        self._end = max(self._end, start + room)
        data: Any = np.ascontiguousarray(values).reshape(-1).view("u1").data
        files.write_at(self._descriptor, data, start)
        return start

    def get(self, start: int, nbytes: int) -> Array:
        """Return a block's bytes; they are in memory as long as the array lives."""
        pages = mmap.mmap(self._descriptor, nbytes, prot=mmap.PROT_READ, offset=start)
        return np.frombuffer(pages, "u1")

    def drop(self, start: int, nbytes: int) -> None:
        """Free a block's place for another one."""
        room = -(-nbytes // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        self._free.setdefault(room, []).append(start)


@dataclass
class _Waiting:
    """A decoded chunk of the source that later blocks need: in memory, or else in the scratch."""

    values: Array | None
    start: int
    shape: tuple[int, ...]


class Source:
    """The values of a variable, block by block in a known order.

    Parameters
    ----------
    variable : Variable
        Backed by memory or dask.
    steps : sequence of tuple of slice
        All blocks, in the order in which they are read.
    rooms : Rooms
        Memory for blocks that are put together.
    scratch : Scratch
        Where chunks wait that do not fit into half of ``MEMORY_BYTES``.
    """

    def __init__(
        self, variable: xr.Variable, steps: Sequence[Box], rooms: Rooms, scratch: Scratch
    ) -> None:
        self._variable, self._steps = variable, steps
        self._rooms, self._scratch = rooms, scratch
        self._dtype: np.dtype[Any] = variable.dtype
        self._itemsize: int = self._dtype.itemsize
        self._held = 0
        self._waiting: dict[tuple[int, ...], _Waiting] = {}
        chunks = variable.chunks
        self._edges = [[0, *accumulate(sizes)] for sizes in chunks] if chunks else None
        self._last: dict[tuple[int, ...], int] = {}
        if self._edges:
            for number, block in enumerate(steps):
                self._last.update(dict.fromkeys(self._touched(block), number))

    def __iter__(self) -> Iterator[tuple[Box, Array, Array | None]]:
        """Yield every block, its values, and the memory of `rooms` that they are in, if any."""
        for number, block in enumerate(self._steps):
            if self._edges is None:
                yield block, np.asarray(self._variable[block].values), None
            elif (alone := self._alone(number, block)) is not None:
                yield block, self._decoded([alone])[0], None
            else:
                shape = tuple(part.stop - part.start for part in block)
                values = self._rooms.take(shape, self._dtype)
                self._fill(number, block, values)
                yield block, values, values

    def _alone(self, number: int, block: Box) -> tuple[int, ...] | None:
        """Return the chunk that is a block, if there is one that no other block needs."""
        touched = list(self._touched(block))
        alone = len(touched) == 1 and self._last[touched[0]] == number
        return touched[0] if alone and self._box(touched[0]) == block else None

    def _fill(self, number: int, block: Box, out: Array) -> None:
        touched = list(self._touched(block))
        missing = [at for at in touched if at not in self._waiting]
        for at in set(touched) - set(missing):
            self._place(at, self._known(at), block, out)
            if self._last[at] == number:
                self._forget(at)
        for batch in self._batches(missing):
            for at, values in zip(batch, self._decoded(batch), strict=True):
                self._place(at, values, block, out)
                if self._last[at] > number:
                    self._keep(at, values)

    def _touched(self, block: Box) -> Iterator[tuple[int, ...]]:
        """Yield the source's chunks that have a part in a block."""
        assert self._edges is not None  # noqa: S101
        pairs = zip(block, self._edges, strict=True)
        return product(
            *(range(bisect_right(e, s.start) - 1, bisect_left(e, s.stop)) for s, e in pairs)
        )

    def _box(self, at: tuple[int, ...]) -> Box:
        assert self._edges is not None  # noqa: S101
        return tuple(slice(e[i], e[i + 1]) for i, e in zip(at, self._edges, strict=True))

    def _batches(self, missing: list[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
        """Divide chunks into groups that are decoded at once, of at least one chunk."""
        batch: list[tuple[int, ...]] = []
        held = 0
        for at in missing:
            nbytes = self._nbytes(at)
            if batch and held + nbytes > BATCH_BYTES:
                yield batch
                batch, held = [], 0
            batch.append(at)
            held += nbytes
        if batch:
            yield batch

    def _nbytes(self, at: tuple[int, ...]) -> int:
        sizes = [part.stop - part.start for part in self._box(at)]
        return int(prod(sizes)) * self._itemsize

    def _decoded(self, batch: list[tuple[int, ...]]) -> list[Array]:
        data = self._variable.data
        compute: Any = dask.base.compute
        found = compute(*(data.blocks[at] if at else data for at in batch))
        return [np.asarray(values) for values in found]

    def _place(self, at: tuple[int, ...], values: Array, block: Box, out: Array) -> None:
        """Copy what a chunk and a block have in common."""
        box = self._box(at)
        low = [max(b.start, c.start) for b, c in zip(block, box, strict=True)]
        high = [min(b.stop, c.stop) for b, c in zip(block, box, strict=True)]
        ends = list(zip(low, high, strict=True))
        pairs = zip(ends, block, strict=True)
        inside: Any = (*(slice(a - b.start, z - b.start) for (a, z), b in pairs), ...)
        pairs = zip(ends, box, strict=True)
        out[inside] = values[tuple(slice(a - c.start, z - c.start) for (a, z), c in pairs)]

    def _keep(self, at: tuple[int, ...], values: Array) -> None:
        if self._held + values.nbytes <= MEMORY_BYTES // 2:
            self._held += values.nbytes
            self._waiting[at] = _Waiting(values, 0, values.shape)
        else:
            self._waiting[at] = _Waiting(None, self._scratch.put(values), values.shape)

    def _known(self, at: tuple[int, ...]) -> Array:
        waiting = self._waiting[at]
        if waiting.values is not None:
            return waiting.values
        data = self._scratch.get(waiting.start, self._nbytes(at))
        return data.view(self._dtype).reshape(waiting.shape)

    def _forget(self, at: tuple[int, ...]) -> None:
        waiting = self._waiting.pop(at)
        if waiting.values is not None:
            self._held -= waiting.values.nbytes
        else:
            self._scratch.drop(waiting.start, self._nbytes(at))
