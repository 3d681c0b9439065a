"""What runs a loader: it chooses where data are in memory, and keeps threads and buffers."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.arrange import Blocks, Order
from neurodata.loader.carrier import Carrier
from neurodata.loader.feed import Feed
from neurodata.loader.plan import Array, Place
from neurodata.loader.pool import Half
from neurodata.loader.recordings import Recordings
from neurodata.loader.ring import Ring, bytes_of
from neurodata.loader.run import AHEAD, Run
from neurodata.loader.tiers import Direct, Plan, Pooled, Tier, plan_blocks
from neurodata.loader.workers import Workers

BLOCK_BYTES = 2**23


@dataclass(frozen=True)
class Machine:
    """What a loader may use: memory for decoded data and batches together, and threads."""

    memory_mb: float = 512
    threads: int = 1
    pin_memory: bool = False


def pinned(shape: tuple[int, ...], dtype: str) -> Array:
    """Return new memory that a CUDA device copies from directly.

    Raises
    ------
    InvalidInputError
        When torch finds no such device.
    """
    import torch

    if not torch.cuda.is_available():
        raise InvalidInputError(
            "load(pin_memory)", "no CUDA device", "one", "give torch.cuda.is_available()"
        )
    nbytes = prod(shape) * np.dtype(dtype).itemsize
    memory: Array = torch.empty(nbytes, dtype=torch.uint8, pin_memory=True).numpy()
    return memory.view(dtype).reshape(shape)


class Engine:
    """Runs a feed: chooses where its data are in memory and keeps threads and buffers.

    Attributes
    ----------
    capacity : float
        Bytes that a group of blocks may take.
    """

    def __init__(
        self,
        feed: Feed,
        recordings: Recordings,
        machine: Machine,
        batch_size: int,
        shuffle: str | None,
    ) -> None:
        self._feed, self._recordings, self._machine = feed, recordings, machine
        budget = machine.memory_mb * 2**20
        self._ahead = AHEAD
        if feed.fetcher is not None:
            batch = bytes_of(feed.fetcher.blank(feed.picks[:batch_size]))
            self._ahead = AHEAD if (AHEAD + 2) * batch <= budget / 2 else 1
            budget = max(budget - (self._ahead + 2) * batch, batch)
        self._plan: Plan | None = None
        self.capacity, self.tier_name = 0.0, "memory"
        self._block = int(min(max(budget / 64, 2**16), BLOCK_BYTES))
        if feed.reads:
            plan = plan_blocks(feed, recordings, self._block)
            if plan.nbytes > budget and shuffle == "full":
                self.tier_name = "direct"
            elif plan.nbytes > budget:
                self.tier_name, self._plan = "pool", plan
                self.capacity = budget / 2
        self._forget()

    @property
    def blocks(self) -> Blocks | None:
        """Blocks of the samples; None where the order does not depend on them."""
        return None if self._plan is None else self._plan.blocks

    def _forget(self) -> None:
        self._process = os.getpid()
        self._workers: Workers | None = None
        self._tier: Tier | None = None
        self._ring = Ring(pinned if self._machine.pin_memory else None)
        self._carrier = Carrier()
        self._halves: tuple[Half, Half] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave threads and memory behind: another process starts its own."""
        own = ("_process", "_workers", "_tier", "_ring", "_carrier", "_halves")
        return {key: value for key, value in vars(self).items() if key not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def run(
        self, order: Order, cuts: Sequence[tuple[int, int]], place: Callable[[int], Place]
    ) -> Generator[tuple[Array, dict[str, Any]]]:
        """Yield samples and entries of the batches at some positions of an order."""
        workers = self._ready()
        if self._tier is None or self.tier_name == "pool":
            self._tier = self._new_tier(workers)
        machinery = (self._recordings, self._tier, workers, self._ring, self._carrier)
        yield from Run(self._feed, order, cuts, place, *machinery, self._ahead)

    def take(self, samples: Array, place: Place) -> dict[str, Any]:
        """Return the entries of any samples; what is not kept in memory is read for them alone."""
        workers = self._ready()
        if self._tier is None and self.tier_name != "pool":
            self._tier = self._new_tier(workers)
        tier = Direct() if self.tier_name == "pool" or self._tier is None else self._tier
        machinery = (self._recordings, tier, workers, self._ring, self._carrier)
        order, cuts = Order(samples, np.array([len(samples)])), [(0, len(samples))]
        return next(iter(Run(self._feed, order, cuts, lambda _: place, *machinery)))[1]

    def redraw(self, feed: Feed) -> None:
        """Go on with other samples of the same recordings, drawn for another epoch."""
        self._feed = feed
        if self._plan is not None:
            self._plan = plan_blocks(feed, self._recordings, self._block)

    def _ready(self) -> Workers:
        """Return this process's threads, started where they are not."""
        if self._process != os.getpid():
            self._forget()
        if self._workers is None:
            self._workers = Workers(self._machine.threads)
        return self._workers

    def _new_tier(self, workers: Workers) -> Tier:
        if self.tier_name == "direct":
            return Direct()
        if self._plan is not None:
            self._halves = self._halves or (Half(int(self.capacity)), Half(int(self.capacity)))
            return Pooled(self._recordings, workers, self._carrier, self._plan, self._halves)
        keys = [key for stream, _ in self._feed.reads for key in stream.keys]
        return Tier(self._recordings, keys)

    def close(self) -> None:
        """End the threads, and let go of memory and open files."""
        if self._workers is not None and self._process == os.getpid():
            self._workers.close()
            self._carrier.close()
        self._forget()
        self._recordings.close()
