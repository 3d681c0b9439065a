"""Decoded parts of stored arrays in memory: whole ones that stay, or a group of blocks that go."""

from __future__ import annotations

import threading
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from neurodata.loader.carrier import is_far
from neurodata.loader.plan import Array
from neurodata.loader.recordings import Box, Key
from neurodata.store.arrays import StoredArray

ALIGN = 64
TASK_BYTES = 2**20
EMPTY, COMING, THERE = 0, 1, 2


class Whole:
    """Whole arrays, each chunk decoded when it is first asked for and kept.

    Parameters
    ----------
    array_of : function of a key
        Gives the stored array.
    keys : iterable of keys
        The arrays that are kept; others are not found.
    """

    def __init__(self, array_of: Callable[[Key], StoredArray], keys: Iterable[Key]) -> None:
        self._array_of = array_of
        self._kept: dict[Key, _Kept | None] = dict.fromkeys(keys)
        self._lock = threading.Lock()

    def find(self, key: Key, box: Box) -> Array | None:
        """Return a box of an array that is kept, decoding what is not there yet."""
        kept = self._kept.get(key)
        if kept is None:
            if key not in self._kept:
                return None
            with self._lock:
                kept = self._kept[key] = self._kept[key] or _Kept(self._array_of(key))
        return kept.view(box)

    def holds(self, key: Key, box: Box) -> bool:
        """Say whether a box is decoded already."""
        kept = self._kept.get(key)
        return kept is not None and kept.holds(box)


class _Kept:
    """One array that is decoded chunk by chunk into memory of its own."""

    def __init__(self, array: StoredArray) -> None:
        self.array = array
        self.memory = np.empty(array.shape, array.dtype)
        grid = [-(-n // chunk) for n, chunk in zip(array.shape, array.chunks, strict=True)]
        self.state = np.zeros(grid, "u1")
        self.missing = self.state.size
        self.complete = self.missing == 0
        self.condition = threading.Condition()
        _ready([(array, tuple(slice(0, n) for n in array.shape))])

    def holds(self, box: Box) -> bool:
        return bool((self.state[self._chunks(box)] == THERE).all())

    def _chunks(self, box: Box) -> Box:
        return tuple(
            [
                slice(b.start // c, -(-b.stop // c))
                for b, c in zip(box, self.array.chunks, strict=True)
            ]
        )

    def view(self, box: Box) -> Array:
        if not self.complete:
            chunks = self._chunks(box)
            while not (self.state[chunks] == THERE).all():
                self._bring(chunks)
        return self.memory[box]

    def _bring(self, chunks: Box) -> None:
        """Decode the chunks that nobody decodes yet, then wait for the others."""
        for offset in np.argwhere(self.state[chunks] == EMPTY).tolist():
            number = tuple([part.start + at for part, at in zip(chunks, offset, strict=True)])
            with self.condition:
                if self.state[number] != EMPTY:
                    continue
                self.state[number] = COMING
            done = EMPTY
            try:
                sizes = zip(number, self.array.chunks, self.array.shape, strict=True)
                box = tuple([slice(n * c, min((n + 1) * c, size)) for n, c, size in sizes])
                self.array.read(box, self.memory[box])
                done = THERE
            finally:
                with self.condition:
                    self.state[number] = done
                    self.missing -= done == THERE
                    self.complete = self.missing == 0
                    self.condition.notify_all()
        with self.condition:
            self.condition.wait_for(lambda: not (self.state[chunks] == COMING).any())


class Half:
    """Memory for one group of blocks at a time; a group that does not fit gets its own."""

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes
        self._memory: Array | None = None

    def place(self, shapes: Iterable[tuple[tuple[int, ...], np.dtype[Any]]]) -> list[Array]:
        """Return one array per shape and dtype, end to end; what was there before is lost."""
        if self._memory is None:
            self._memory = np.empty(self._nbytes, "u1")
        found, at = [], 0
        for shape, dtype in shapes:
            size = prod(shape) * dtype.itemsize
            part = (
                self._memory[at : at + size] if at + size <= self._nbytes else np.empty(size, "u1")
            )
            found.append(part.view(dtype).reshape(shape))
            at += -(-size // ALIGN) * ALIGN
        return found


class Group:
    """Decoded boxes of some arrays, to be filled by `tasks`.

    Parameters
    ----------
    boxes : mapping of key to boxes
    half : Half
        Memory of the group.
    """

    def __init__(
        self, array_of: Callable[[Key], StoredArray], boxes: Mapping[Key, list[Box]], half: Half
    ) -> None:
        items = [(key, array_of(key), box) for key, every in boxes.items() for box in every]
        shapes = [(tuple(b.stop - b.start for b in box), array.dtype) for _, array, box in items]
        self._items = [
            (array, box, memory)
            for (_, array, box), memory in zip(items, half.place(shapes), strict=True)
        ]
        self._regions: dict[Key, list[tuple[int, int]]] = {}
        for number, (key, _, box) in enumerate(items):
            insort(self._regions.setdefault(key, []), (box[0].start, number))

    def find(self, key: Key, box: Box) -> Array | None:
        """Return a box of an array if one of the group's boxes holds it."""
        own = self._regions.get(key)
        if own is None:
            return None
        for at in range(bisect_right(own, (box[0].start, len(self._items))) - 1, -1, -1):
            _, outer, memory = self._items[own[at][1]]
            if box[0].start >= outer[0].start and box[0].stop <= outer[0].stop:
                found = _inside(box, outer)
                if found is not None:
                    return memory[found]
        return None

    def needs(self) -> list[tuple[StoredArray, Box]]:
        """Return the boxes of stored arrays that the tasks will read."""
        return [(array, box) for array, box, _ in self._items]

    def tasks(self) -> list[Callable[[], Any]]:
        """Return tasks that ask the disk for the boxes, then decode them, a megabyte each."""
        found: list[Callable[[], Any]] = [partial(_ready, self.needs())]
        for array, box, memory in self._items:
            for low, high in _cuts(array, box, memory):
                part = (slice(box[0].start + low, box[0].start + high), *box[1:])
                found.append(lambda a=array, b=part, m=memory[low:high]: a.read(b, m))  # type: ignore[misc]
        return found


def _ready(needs: Iterable[tuple[StoredArray, Box]]) -> None:
    """Get local files ready for reads; what is far is brought by the carrier."""
    for array, box in needs:
        if array.nbytes and not is_far(array.files) and array.waits(box):
            array.files.fetch(array.runs(box))


def _inside(box: Box, outer: Box) -> Box | None:
    """Return a box as counted from the corner of another that holds it, or None."""
    inner = []
    for part, whole in zip(box, outer, strict=True):
        if part.start < whole.start or part.stop > whole.stop:
            return None
        inner.append(slice(part.start - whole.start, part.stop - whole.start))
    return tuple(inner)


def _cuts(array: StoredArray, box: Box, memory: Array) -> list[tuple[int, int]]:
    """Cut a box along its first axis, at edges of chunks."""
    start, stop, chunk = box[0].start, box[0].stop, array.chunks[0]
    rows = max(1, TASK_BYTES // max(1, memory.nbytes // max(1, stop - start)))
    step = max(1, round(rows / chunk)) * chunk
    edges = [start, *range((start // step + 1) * step, stop, step), stop]
    return [(a - start, b - start) for a, b in pairwise(edges) if b > a]
