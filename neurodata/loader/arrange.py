"""In which order an epoch's samples come, and which are in memory together: pure functions.

Data that do not fit in memory are shuffled in two steps. Neighbouring samples make a *block*;
blocks come in random order; as many blocks as fit in memory make a *group*, whose samples are
mixed. Every sample still comes exactly once, and every byte is decoded once. What fits in
memory is one group, so that its order is a uniform permutation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurodata.loader.plan import Array


@dataclass(frozen=True)
class Blocks:
    """Which block each sample is in, and the bytes that each block takes in memory.

    Parameters
    ----------
    of_sample : array (sample,) int64
    nbytes : array (block,) int64
    """

    of_sample: Array
    nbytes: Array


@dataclass(frozen=True)
class Order:
    """One rank's samples in an epoch, and where its groups end.

    Parameters
    ----------
    samples : array (sample,) int64
    stops : array (group,) int64
        Position after the last sample of each group.
    """

    samples: Array
    stops: Array

    def group_of(self, position: int) -> int:
        """Return the group of the sample at a position."""
        return int(np.searchsorted(self.stops, position, side="right"))


def edges_of(
    extent: Sequence[int],
    reach: Sequence[int],
    chunks: Sequence[int],
    step: Sequence[int],
    itemsize: int,
    nbytes: int,
) -> tuple[int, ...]:
    """Return the size of blocks along each axis: about ``nbytes``, whole steps and chunks.

    Parameters
    ----------
    extent : ints (axis,)
        Items of one sample.
    reach : ints (axis,)
        Range of the samples' first items. An axis along which this is less than a sample's own
        extent is never cut: blocks would hold much the same.
    chunks, step : ints (axis,)
        Stored chunk, and distance between neighbouring samples.

    Examples
    --------
    >>> edges_of((768, 64), (229_632, 0), (1536, 64), (768, 64), 2, 4_000_000)
    (24576, 64)
    >>> edges_of((3, 64, 64, 64), (0, 448, 448, 448), (1, 32, 32, 32), (3, 64, 64, 64), 2, 2**23)
    (3, 64, 128, 128)
    """
    reach = [0 if span < size else span for span, size in zip(reach, extent, strict=True)]
    units = [
        max(size, 1) if span == 0 else _common(max(s, 1), chunk, span)
        for size, span, chunk, s in zip(extent, reach, chunks, step, strict=True)
    ]
    edges = list(units)
    while True:
        free = [a for a, span in enumerate(reach) if edges[a] <= span]
        if not free:
            return tuple(edges)
        axis = max(free, key=lambda a: (units[a] / edges[a], a))
        grown = [*edges]
        grown[axis] *= 2
        taken = [
            e + max(0, x - s) if span else x
            for e, x, s, span in zip(grown, extent, step, reach, strict=True)
        ]
        if np.prod(taken, dtype="f8") * itemsize > nbytes:
            return tuple(edges)
        edges = grown


def _common(step: int, chunk: int, span: int) -> int:
    """Return a size of whole steps that is one of whole chunks too, where that is not too large."""
    both = int(np.lcm(step, chunk))
    if both <= max(8 * chunk, 2 * step) and both <= span:
        return both
    return step * max(1, chunk // step)


def blocks_of(parts: Sequence[tuple[Array, Array, Array, tuple[int, ...], float]]) -> Blocks:
    """Return the blocks of samples that lie in several arrays.

    Parameters
    ----------
    parts : sequence of (at, low, high, edges, itemsize)
        For one array each: its samples' numbers, their first and last item along every axis
        ``(sample, axis)``, the blocks' edges, and the bytes of an item.

    Examples
    --------
    >>> low = np.array([[0], [10], [20], [30]])
    >>> found = blocks_of([(np.arange(4), low, low + 10, (20,), 2)])
    >>> found.of_sample.tolist(), found.nbytes.tolist()
    ([0, 0, 1, 1], [40, 40])
    """
    count = sum(len(at) for at, *_ in parts)
    of_sample, sizes, first = np.zeros(count, "i8"), [], 0
    for at, low, high, edges, itemsize in parts:
        if not len(at):
            continue
        cell = (low - low.min(axis=0)) // np.array(edges)
        _, own = np.unique(cell, axis=0, return_inverse=True)
        own = own.ravel()
        of_sample[at] = own + first
        lowest, highest = bounding(own, low, high)
        sizes.append(np.prod(highest - lowest, axis=1) * itemsize)
        first += len(lowest)
    return Blocks(of_sample, np.concatenate(sizes) if sizes else np.zeros(0, "i8"))


def bounding(label: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Return the box around all samples of each label, ``(label, axis)`` first and last item."""
    count = int(label.max()) + 1
    lowest = np.full((count, low.shape[1]), np.iinfo("i8").max, "i8")
    highest = np.zeros((count, low.shape[1]), "i8")
    np.minimum.at(lowest, label, low)
    np.maximum.at(highest, label, high)
    return lowest, highest


def arrange(
    chosen: Array,
    blocks: Blocks | None,
    capacity: float,
    *,
    seed: int,
    epoch: int,
    shuffle: bool,
    rank: int = 0,
    world_size: int = 1,
) -> Order:
    """Return the order of one rank's samples in an epoch: each of ``chosen`` exactly once.

    Parameters
    ----------
    chosen : array (n,) int64
        Numbers of samples; one may come several times.
    blocks : Blocks, optional
        None is one group for all.
    capacity : float
        Bytes that a group may take.
    shuffle : bool
        Shuffled orders are trimmed to the same length on every rank (up to ``world_size - 1``
        samples are left out, others in each epoch); orders in sequence never lose a sample.

    Examples
    --------
    >>> arrange(np.arange(5), None, 0, seed=0, epoch=0, shuffle=False, rank=1, world_size=2).samples
    array([1, 3])
    >>> order = arrange(np.arange(5), None, 0, seed=3, epoch=1, shuffle=True)
    >>> sorted(order.samples.tolist()), order.stops.tolist()
    ([0, 1, 2, 3, 4], [5])
    """
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, epoch], "u8")))
    if not shuffle:
        mine = chosen[rank::world_size]
        return Order(mine, _stops(mine, blocks, capacity))
    drawn = chosen[generator.permutation(len(chosen))]
    if blocks is not None:
        place = generator.permutation(len(blocks.nbytes))
        drawn = drawn[np.argsort(place[blocks.of_sample[drawn]], kind="stable")]
    length = len(drawn) // world_size
    mine = drawn[rank * length : (rank + 1) * length].copy()
    stops = _stops(mine, blocks, capacity)
    for start, stop in zip([0, *stops[:-1]], stops, strict=True):
        mine[start:stop] = mine[start:stop][generator.permutation(stop - start)]
    return Order(mine, stops)


def _stops(samples: Array, blocks: Blocks | None, capacity: float) -> Array:
    """Cut a sequence of samples into groups of whole runs of one block that fit."""
    if blocks is None or not len(samples):
        return np.array([len(samples)], "i8")
    own = blocks.of_sample[samples]
    begins = np.flatnonzero(np.diff(own, prepend=-1))
    stops, taken = [], 0.0
    for begin, size in zip(begins.tolist(), blocks.nbytes[own[begins]].tolist(), strict=True):
        if taken and taken + size > capacity:
            stops.append(begin)
            taken = 0.0
        taken += size
    return np.array([*stops, len(samples)], "i8")
