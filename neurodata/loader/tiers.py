"""Where decoded data are while they are used: in memory for good, in groups of blocks, nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from neurodata.loader.arrange import Blocks, blocks_of, edges_of
from neurodata.loader.carrier import Carrier
from neurodata.loader.feed import Feed
from neurodata.loader.fetch import Stream
from neurodata.loader.plan import Array
from neurodata.loader.pool import Group, Half, Whole
from neurodata.loader.recordings import Box, Key, Recordings, Resident
from neurodata.loader.workers import Job, Workers


class Tier:
    """Where decoded data are: here everything stays in memory once it was decoded."""

    name = "memory"

    def __init__(self, recordings: Recordings, keys: Sequence[Key]) -> None:
        self._whole = Whole(recordings.array, keys)

    def of(self, samples: Array, group: int) -> tuple[Resident | None, Future[None] | None]:
        """Return what holds the data of a group's samples, and what to wait for before its use."""
        return self._whole, None

    def holds(self, key: Key, box: Box) -> bool:
        """Say whether a box needs no more reading."""
        return self._whole.holds(key, box)

    def ahead(self, samples: Array, group: int) -> None:
        """Begin to load a group that comes later."""

    def used(self, group: int, job: Job) -> None:
        """Note that a job reads a group's data."""

    def leave(self) -> None:
        """Stop what was begun for groups that nobody will ask for."""


class Direct(Tier):
    """Every read decodes the chunks that it needs, and nothing is kept."""

    name = "direct"

    def __init__(self) -> None:
        pass

    def of(self, samples: Array, group: int) -> tuple[Resident | None, Future[None] | None]:
        """Return nothing: all is read when it is needed."""
        return None, None

    def holds(self, key: Key, box: Box) -> bool:
        """Say no."""
        return False


class Pooled(Tier):
    """Two halves of memory: one group of blocks is used while the next one is decoded."""

    name = "pool"

    def __init__(
        self,
        recordings: Recordings,
        workers: Workers,
        carrier: Carrier,
        plan: Plan,
        halves: tuple[Half, Half],
    ) -> None:
        self._recordings, self._workers, self._plan = recordings, workers, plan
        self._carrier = carrier
        self._halves = halves
        self._groups: dict[int, tuple[Group, Job]] = {}
        self._readers: dict[int, list[Job]] = {}

    def of(self, samples: Array, group: int) -> tuple[Resident | None, Future[None] | None]:
        """Return a group, and when all of it will be decoded."""
        for old in [n for n in self._groups if n < group]:
            self._drop(old)
        self.ahead(samples, group)
        found, job = self._groups[group]
        return found, job.done

    def ahead(self, samples: Array, group: int) -> None:
        """Begin to decode a group in the half that its last but one used."""
        if group in self._groups:
            return
        self._drop(group - 2)
        made = Group(self._recordings.array, self._plan.boxes(samples), self._halves[group % 2])
        brought = self._carrier.bring(made.needs())
        self._groups[group] = made, self._workers.run(made.tasks(), urgent=False, after=brought)

    def used(self, group: int, job: Job) -> None:
        """Note that a job reads a group's data."""
        self._readers.setdefault(group, []).append(job)

    def _drop(self, group: int) -> None:
        """Forget a group once nobody reads it or writes into it any more."""
        for job in self._readers.pop(group, []):
            job.settle()
        if group in self._groups:
            self._groups.pop(group)[1].settle()

    def leave(self) -> None:
        """Stop decoding: whoever comes next uses the same memory."""
        for _, job in self._groups.values():
            job.drop()
        for group in list(self._groups):
            self._drop(group)


class Extent(NamedTuple):
    """Which items every sample of a stream needs: first and last along each axis.

    Arrays are ``(sample, axis)``; a recording whose array has fewer axes uses the first ones.
    """

    keys: Sequence[Key]
    axes: dict[int, int]
    numbers: Array
    low: Array
    high: Array


def extent_of(stream: Stream, picks: Array, recordings: Recordings) -> Extent:
    """Return what all samples of a stream need."""
    numbers = picks["recording"]
    axes = {n: len(recordings.array(stream.keys[n]).shape) for n in np.unique(numbers).tolist()}
    low, high = (np.zeros((len(picks), max(axes.values())), "i8") for _ in range(2))
    for number, count in axes.items():
        own = np.flatnonzero(numbers == number)
        low[own, :count], high[own, :count] = stream.bounds(number, picks[own])
    return Extent(stream.keys, axes, numbers.astype("i8"), low, high)


@dataclass(frozen=True)
class Plan:
    """Which samples are a block, what they need, and how many bytes that is in all."""

    blocks: Blocks
    extents: Sequence[Extent]
    nbytes: int

    def boxes(self, samples: Array) -> dict[Key, list[Box]]:
        """Return the boxes that some samples need: one per array and block."""
        found: dict[Key, list[Box]] = {}
        for extent in self.extents:
            own = extent.numbers[samples]
            label = self.blocks.of_sample[samples] * (int(own.max()) + 1) + own
            order = np.argsort(label, kind="stable")
            begins = np.flatnonzero(np.diff(label[order], prepend=-1))
            low = np.minimum.reduceat(extent.low[samples[order]], begins, axis=0).tolist()
            high = np.maximum.reduceat(extent.high[samples[order]], begins, axis=0).tolist()
            for number, lo, hi in zip(own[order[begins]].tolist(), low, high, strict=True):
                count = extent.axes[number]
                box = tuple(map(slice, lo[:count], hi[:count]))
                found.setdefault(extent.keys[number], []).append(box)
        return found


def plan_blocks(feed: Feed, recordings: Recordings, nbytes: int) -> Plan:
    """Return the blocks of a feed's samples, of about so many bytes.

    The first stream decides which samples are a block; the others count to its bytes.
    """
    extents = [extent_of(stream, picks, recordings) for stream, picks in feed.reads]
    stream, picks = feed.reads[0]
    parts, total = [], 0
    ratio = sum(_bytes(s, p, recordings) for s, p in feed.reads) / max(
        1, _bytes(stream, picks, recordings)
    )
    for number, axes in extents[0].axes.items():
        at = np.flatnonzero(extents[0].numbers == number)
        low, high = extents[0].low[at, :axes], extents[0].high[at, :axes]
        array = recordings.array(stream.keys[number])
        reach = (low.max(axis=0) - low.min(axis=0)).tolist()
        extent = (high - low).max(axis=0).tolist()
        item = array.dtype.itemsize
        edges = edges_of(
            extent, reach, array.chunks, stream.steps[number], item, int(nbytes / ratio)
        )
        parts.append((at, low, high, edges, item * ratio))
        total += int(np.prod(high.max(axis=0) - low.min(axis=0)) * item * ratio)
    return Plan(blocks_of(parts), extents, total)


def _bytes(stream: Stream, picks: Array, recordings: Recordings) -> int:
    """Return the bytes of an item of a stream's first recording, times its width."""
    number = int(picks["recording"][0])
    low, high = stream.bounds(number, picks[:1])
    return int(np.prod(high - low)) * recordings.array(stream.keys[number]).dtype.itemsize
