"""Floors for events and graphs: NumPy on arrays that are in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.workloads import Case

Array = np.ndarray[Any, Any]


def batches(case: Case) -> Iterator[Any]:
    """Yield binned spikes ``(batch, bins, units)``, or seeds, sources and targets of edges."""
    return _bins(case) if case.dataset.kind == "spikes" else _neighbours(case)


def count(batch: Any) -> int:
    """Return the samples, or seeds, in a batch."""
    return len(batch[0]) if isinstance(batch, tuple) else len(batch)


def values(case: Case, batch: Any) -> Any:
    """Return the batch: it has the source's order already."""
    return batch


def _bins(case: Case) -> Iterator[Array]:
    bins, units = case.workload.sample
    width_us = 10**6 // bins
    sources = [np.load(file) for file in case.raw]
    seconds = np.arange(case.dataset.shape[0] + 1) * 10**6
    edges = [np.searchsorted(source["time_us"], seconds) for source in sources]
    cells = [(s["time_us"] % 10**6) // width_us * units + s["unit"] for s in sources]
    rng = np.random.default_rng(case.seed)
    while True:
        out = np.empty((case.workload.batch, bins * units), "f4")
        for row in out:
            number = rng.integers(len(sources))
            second = rng.integers(case.dataset.shape[0])
            part = cells[number][edges[number][second] : edges[number][second + 1]]
            row[:] = np.bincount(part, minlength=bins * units)
        yield out.reshape(-1, bins, units)


def _neighbours(case: Case) -> Iterator[tuple[Array, Array, Array]]:
    """Sample without replacement from the rows of an index by source."""
    source, target = np.load(case.raw[0])
    nodes = case.dataset.shape[0]
    splits = np.searchsorted(source, np.arange(nodes + 1))
    rng = np.random.default_rng(case.seed)
    while True:
        order = rng.permutation(nodes)
        for start in range(0, nodes - case.workload.batch + 1, case.workload.batch):
            seeds = order[start : start + case.workload.batch]
            front, expanded, hops = seeds, np.zeros(nodes, bool), []
            for fan in case.workload.sample:
                expanded[front] = True
                hops.append(_hop(rng, splits, target, front, fan))
                front = np.unique(hops[-1][1])
                front = front[~expanded[front]]
            near, far = (np.concatenate(part) for part in zip(*hops, strict=True))
            yield seeds, near, far


def _hop(
    rng: np.random.Generator, splits: Array, target: Array, front: Array, fan: int
) -> tuple[Array, Array]:
    """Choose up to ``fan`` different edges of every node by sorting random keys of all."""
    first, degree = splits[front], splits[front + 1] - splits[front]
    row = np.repeat(np.arange(len(front)), degree)
    offset = np.arange(len(row)) - np.repeat(np.cumsum(degree) - degree, degree)
    order = np.argsort(row + rng.random(len(row)))
    chosen = order[offset < fan]  # rows stay together: the keys of row r are in [r, r + 1)
    return front[row[chosen]], target[first[row[chosen]] + offset[chosen]]
