"""Is what a candidate hands out the source's content? Every sample is looked up in the source."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads import Case

Array = np.ndarray[Any, Any]
CHECKED = 3
PROBE = 12


def compare(case: Case, values: Any) -> str:
    """Return ``"equal"``, or what is wrong with the samples of a batch.

    Parameters
    ----------
    values : array ``(batch, *sample)``
        In the unit that loaders give (µV, counts); for a graph ``(seeds, sources, targets)``.
    """
    check = {"series": _series, "volumes": _volumes, "spikes": _spikes, "graph": _graph}
    if case.dataset.kind == "graph":
        return _graph(case, values)
    samples = np.asarray(values)
    wanted = case.workload.sample
    if samples.shape[1:] != wanted:
        return f"DIFFERS: samples of {samples.shape[1:]}, not {wanted}"
    if len(samples) > 1 and all(np.array_equal(samples[0], other) for other in samples[1:]):
        return "DIFFERS: one sample, repeated"
    chosen = samples[np.linspace(0, len(samples) - 1, min(CHECKED, len(samples))).astype(int)]
    if not all(check[case.dataset.kind](case, sample) for sample in chosen):
        return "DIFFERS: a sample that is not in the source"
    return "equal"


def _series(case: Case, sample: Array) -> bool:
    """Look for a window by a few samples of one channel, then compare all of it."""
    width = sample.shape[1]
    if case.dataset.step:
        steps = sample / case.dataset.step
        counts = np.round(steps)
        if np.abs(steps - counts).max() > 0.02:
            return False
        sample = counts
    else:
        width = int(np.flatnonzero(np.any(sample != 0, axis=0)).max()) + 1
    for file in case.raw:
        source = np.load(file, mmap_mode="r")
        if source.shape[1] != width:
            continue
        for start in _places(np.asarray(source[:, 0]), sample[:, 0]):
            if np.array_equal(source[start : start + len(sample)], sample[:, :width]):
                return True
    return False


def _places(line: Array, wanted: Array) -> Array:
    """Return where the largest values of ``wanted`` lie in a long line, as places of its start.

    The largest are asked for, as small ones may be background that is everywhere.
    """
    offsets = np.argsort(-np.abs(wanted), kind="stable")[:PROBE]
    last = len(line) - len(wanted) + 1
    found = np.flatnonzero(line[offsets[0] : offsets[0] + last] == wanted[offsets[0]])
    for offset in offsets[1:]:
        found = found[line[found + offset] == wanted[offset]]
    return found


def _volumes(case: Case, sample: Array) -> bool:
    """Look for a patch by its most varied row (others may be background), then compare it all."""
    first = sample if sample.ndim == 3 else sample[0]
    deviations = first.std(axis=2)
    at = np.unravel_index(int(deviations.argmax()), deviations.shape)
    row = first[at]
    for file in case.raw:
        source = np.load(file, mmap_mode="r")
        plane = source if source.ndim == 3 else source[0]
        for place in _places(np.asarray(plane).reshape(-1), row):
            z, y, x = np.unravel_index(place, plane.shape)
            corner = (int(z - at[0]), int(y - at[1]), int(x))
            box = tuple(slice(a, a + n) for a, n in zip(corner, first.shape, strict=True))
            if min(corner) >= 0 and np.array_equal(source[(..., *box)], sample):
                return True
    return False


def _spikes(case: Case, sample: Array) -> bool:
    """Compare the counts with those of every second that holds as many spikes in its bins."""
    bins, units = sample.shape
    width_us = 10**6 // bins
    total = int(sample.sum())
    for file in case.raw:
        spikes = np.load(file)
        edges = np.searchsorted(spikes["time_us"], np.arange(case.dataset.shape[0] + 1) * 10**6)
        for second in np.flatnonzero(np.diff(edges) == total):
            part = spikes[edges[second] : edges[second + 1]]
            bin_ = (part["time_us"] - second * 10**6) // width_us
            counts = np.bincount(bin_ * units + part["unit"], minlength=bins * units)
            if np.array_equal(counts.reshape(bins, units), sample):
                return True
    return False


def _graph(case: Case, values: Any) -> str:
    """Check that every sampled edge is one of the graph's and that no node has too many."""
    seeds, sources, targets = (np.asarray(part) for part in values)
    edges = np.load(case.raw[0])
    nodes = case.dataset.shape[0]
    keys = edges[0] * nodes + edges[1]
    wanted = sources * nodes + targets
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    if not np.array_equal(keys[place], wanted):
        return "DIFFERS: edges that are not in the graph"
    degree = np.bincount(edges[0], minlength=nodes)
    fan = case.workload.sample[0]
    direct = np.bincount(sources, minlength=nodes)[seeds]
    if not np.array_equal(direct, np.minimum(degree[seeds], fan)):
        return f"DIFFERS: seeds without min(degree, {fan}) neighbours"
    return "equal"
