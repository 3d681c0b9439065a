"""One iteration: batches are begun ahead, made by threads, and handed out in order.

The consumer's own call starts the next work and waits for the oldest batch, so that nothing
runs when nobody iterates.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, pairwise
from typing import Any

import numpy as np

from neurodata import compiled
from neurodata.loader.arrange import Order
from neurodata.loader.carrier import BATCHES_AHEAD, Carrier, is_far, needs_of
from neurodata.loader.feed import Feed
from neurodata.loader.fetch import Fetcher
from neurodata.loader.plan import Array, Place
from neurodata.loader.recordings import Recordings, Resident
from neurodata.loader.ring import Ring
from neurodata.loader.tiers import Tier
from neurodata.loader.workers import Job, Workers

AHEAD = 2
PART_BYTES = 2**23


@dataclass
class Batch:
    """A batch that is being made."""

    samples: Array
    first: int
    memory: dict[str, Array] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)


class Run:
    """One iteration over an order, from a position on.

    Parameters
    ----------
    feed : Feed
    order : Order
    cuts : sequence of (first, stop)
        Positions in the order of each batch that is wanted.
    ahead : int
        Batches that are begun before the oldest one is handed out.
    place : function of a position
        Where the batch that starts there stands, for what is drawn anew in every batch.
    """

    def __init__(
        self,
        feed: Feed,
        order: Order,
        cuts: Sequence[tuple[int, int]],
        place: Callable[[int], Place],
        recordings: Recordings,
        tier: Tier,
        workers: Workers,
        ring: Ring,
        carrier: Carrier,
        ahead: int = AHEAD,
    ) -> None:
        self._feed, self._order, self._recordings = feed, order, recordings
        self._tier, self._workers, self._ring = tier, workers, ring
        self._cuts, self._place, self._ahead = deque(cuts), place, ahead
        self._carrier, self._brought = carrier, deque[Future[None] | None]()
        self._far = any(is_far(recordings.array(s.keys[0]).files) for s, _ in feed.reads)
        self._wanted = [np.zeros(0, "i8") for _ in order.stops]
        self._coming: deque[Batch] = deque()
        self._members(cuts)

    def _members(self, cuts: Sequence[tuple[int, int]]) -> None:
        """Note which of each group's samples are in the batches that are wanted."""
        wanted = np.zeros(len(self._order.samples), bool)
        for first, stop in cuts:
            wanted[first:stop] = True
        for group, (start, stop) in enumerate(pairwise([0, *self._order.stops.tolist()])):
            self._wanted[group] = self._order.samples[start:stop][wanted[start:stop]]

    def __iter__(self) -> Iterator[tuple[Array, dict[str, Any]]]:
        """Yield the samples and entries of each batch."""
        try:
            while self._cuts or self._coming:
                while self._cuts and len(self._coming) <= self._ahead:
                    self._coming.append(self._begin(*self._cuts.popleft()))
                batch = self._coming.popleft()
                for job in batch.jobs:
                    job.wait()
                yield batch.samples, self._end(batch)
                compiled.begin()
        finally:
            for brought in self._brought:
                if brought is not None:
                    brought.cancel()
            for batch in self._coming:
                for job in batch.jobs:
                    job.settle()
            self._coming.clear()
            self._tier.leave()

    def _begin(self, first: int, stop: int) -> Batch:
        samples = self._order.samples[first:stop]
        batch = Batch(samples, first)
        brought = self._bring(first, stop)
        picks = self._feed.picks[samples]
        if self._feed.fetcher is not None:
            batch.memory = self._ring.take(self._feed.fetcher.blank(picks))
        at = first
        while at < stop:
            group = self._order.group_of(at)
            end = min(stop, int(self._order.stops[group]))
            resident, decoded = self._tier.of(self._wanted[group], group)
            part = slice(at - first, end - first)
            tasks = self._tasks(batch, resident, part)
            job = self._workers.run(tasks, urgent=True, after=decoded or brought)
            self._tier.used(group, job)
            batch.jobs.append(job)
            if group + 1 < len(self._wanted) and len(self._wanted[group + 1]):
                self._tier.ahead(self._wanted[group + 1], group + 1)
            at = end
        return batch

    def _bring(self, first: int, stop: int) -> Future[None] | None:
        """Return what a batch of remote data waits for, and let those that follow be fetched.

        A group of blocks is fetched as a whole, by its tier.
        """
        if not self._far or self._tier.name == "pool":
            return None
        coming = [(first, stop), *islice(self._cuts, BATCHES_AHEAD)]
        for start, end in coming[len(self._brought) :]:
            needs = needs_of(self._feed, self._recordings, self._order.samples[start:end])
            missing = [(array, box) for key, array, box in needs if not self._tier.holds(key, box)]
            self._brought.append(self._carrier.bring(missing))
        return self._brought.popleft()

    def _tasks(
        self, batch: Batch, resident: Resident | None, part: slice
    ) -> list[Callable[[], Any]]:
        """Return the tasks that make rows of a batch, and its other entries with the last rows."""
        count = part.stop - part.start
        fetcher = self._feed.fetcher
        tasks: list[Callable[[], Any]] = []
        if self._feed.drawn or self._feed.extra:
            tasks.append(partial(self._others, batch, resident, part))
        if fetcher is not None:
            size = sum(array.nbytes for array in batch.memory.values()) * count / len(batch.samples)
            pieces = int(min(count, max(self._workers.count, size // PART_BYTES)))
            cuts = np.linspace(part.start, part.stop, pieces + 1).astype(int).tolist()
            tasks += [
                partial(self._rows, fetcher, batch, resident, a, b) for a, b in pairwise(cuts)
            ]
        return tasks

    def _rows(
        self, fetcher: Fetcher, batch: Batch, resident: Resident | None, first: int, stop: int
    ) -> None:
        rows = {name: array[first:stop] for name, array in batch.memory.items()}
        with self._recordings.using(resident):
            fetcher.fill(self._feed.picks[batch.samples[first:stop]], rows)

    def _others(self, batch: Batch, resident: Resident | None, part: slice) -> None:
        with self._recordings.using(resident):
            found = self._feed.others(batch.samples[part])
        if self._feed.drawn is not None:
            found |= self._feed.drawn(batch.samples[part], self._place(batch.first))
        for name, value in found.items():
            batch.extra.setdefault(name, []).append((part.start, value))

    def _end(self, batch: Batch) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        if self._feed.fetcher is not None:
            entries = self._feed.fetcher.finish(batch.memory, self._feed.picks[batch.samples])
        for name, parts in batch.extra.items():
            entries[name] = joined([value for _, value in sorted(parts, key=lambda part: part[0])])
        return entries


def joined(parts: list[Any]) -> Any:
    """Return one entry of a batch from the parts of it that several groups gave."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return [item for part in parts for item in part]
