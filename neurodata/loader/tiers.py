"""Where decoded data are while they are used: in memory for good, in groups of blocks, nowhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurodata.loader.arrange import Blocks, blocks_of, bounding, edges_of
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

    def of(self, feed: Feed, samples: Array, group: int) -> Resident | None:
        """Return what holds the data of a group's samples, waiting for it where it must."""
        return self._whole

    def holds(self, key: Key, box: Box) -> bool:
        """Say whether a box needs no more reading."""
        return self._whole.holds(key, box)

    def ahead(self, feed: Feed, samples: Array, group: int) -> None:
        """Begin to load a group that comes later."""

    def used(self, group: int, job: Job) -> None:
        """Note that a job reads a group's data."""

    def close(self) -> None:
        """Let go of all memory."""


class Direct(Tier):
    """Every read decodes the chunks that it needs, and nothing is kept."""

    name = "direct"

    def __init__(self) -> None:
        pass

    def of(self, feed: Feed, samples: Array, group: int) -> Resident | None:
        """Return nothing: all is read when it is needed."""
        return None

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
        blocks: Blocks,
        halves: tuple[Half, Half],
    ) -> None:
        self._recordings, self._workers, self._blocks = recordings, workers, blocks
        self._carrier = carrier
        self._halves = halves
        self._groups: dict[int, tuple[Group, Job]] = {}
        self._readers: dict[int, list[Job]] = {}

    def of(self, feed: Feed, samples: Array, group: int) -> Resident | None:
        """Return a group, once all of it is decoded."""
        for old in [n for n in self._groups if n < group]:
            self._drop(old)
        self.ahead(feed, samples, group)
        found, job = self._groups[group]
        job.wait()
        return found

    def ahead(self, feed: Feed, samples: Array, group: int) -> None:
        """Begin to decode a group in the half that its last but one used."""
        if group in self._groups:
            return
        self._drop(group - 2)
        boxes = boxes_of(feed, samples, self._blocks)
        made = Group(self._recordings.array, boxes, self._halves[group % 2])
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

    def close(self) -> None:
        """Let go of all memory."""
        self._groups, self._readers = {}, {}


def boxes_of(feed: Feed, samples: Array, blocks: Blocks) -> dict[Key, list[Box]]:
    """Return the boxes that some samples need: one per array and block."""
    found: dict[Key, list[Box]] = {}
    for stream, picks in feed.reads:
        own = picks[samples]
        for number in np.unique(own["recording"]).tolist():
            mine = np.flatnonzero(own["recording"] == number)
            low, high = stream.bounds(number, own[mine])
            _, label = np.unique(blocks.of_sample[samples[mine]], return_inverse=True)
            lowest, highest = bounding(label.ravel(), low, high)
            found.setdefault(stream.keys[number], []).extend(
                tuple(slice(a, b) for a, b in zip(lo, hi, strict=True))
                for lo, hi in zip(lowest.tolist(), highest.tolist(), strict=True)
            )
    return found


def plan_blocks(feed: Feed, recordings: Recordings, nbytes: int) -> tuple[Blocks, int]:
    """Return the blocks of a feed's samples, and the bytes of all that they need.

    The first stream decides which samples are a block; the others count to its bytes.
    """
    stream, picks = feed.reads[0]
    parts, total = [], 0
    ratio = sum(_bytes(s, p, recordings) for s, p in feed.reads) / max(
        1, _bytes(stream, picks, recordings)
    )
    for number in np.unique(picks["recording"]).tolist():
        at = np.flatnonzero(picks["recording"] == number)
        low, high = stream.bounds(number, picks[at])
        array = recordings.array(stream.keys[number])
        reach = (low.max(axis=0) - low.min(axis=0)).tolist()
        extent = (high - low).max(axis=0).tolist()
        item = array.dtype.itemsize
        edges = edges_of(
            extent, reach, array.chunks, stream.steps[number], item, int(nbytes / ratio)
        )
        parts.append((at, low, high, edges, item * ratio))
        total += int(np.prod(high.max(axis=0) - low.min(axis=0)) * item * ratio)
    return blocks_of(parts), total


def _bytes(stream: Stream, picks: Array, recordings: Recordings) -> int:
    """Return the bytes of an item of a stream's first recording, times its width."""
    number = int(picks["recording"][0])
    low, high = stream.bounds(number, picks[:1])
    return int(np.prod(high - low)) * recordings.array(stream.keys[number]).dtype.itemsize
