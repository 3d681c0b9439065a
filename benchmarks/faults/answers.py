"""What ingest makes of a source: facts in SI units, read back from the store.

Facts have the names ``signal (time, channel)``, ``channels``, ``units``, ``rate_hz``,
``times_s``, ``image (x, y, z, time)``, ``affine_mm``, ``world_mm (voxel, 4)``, ``spacing_um``,
``edges``, ``spike_s``, ``spike_units``, ``event_s`` and ``event_labels``; the first node that has
one gives it. Peers give the same (see `benchmarks.faults.peers`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from benchmarks.faults.case import Answer
from neurodata import open_store
from neurodata.errors import NeurodataError, Problem
from neurodata.ingestion import Result, ingest

Array = np.ndarray[Any, Any]
Facts = dict[str, Array]
MAIN = ("eeg", "ieeg", "lfp", "nirs", "traces")
"""Nodes that give their facts before others."""
MARKED = 64
"""An image with at most so many voxels over zero has their places compared."""
FOREIGN = "an ingest without exceptions"  # what an entry says of an exception that is not ours


def ours(source: Path, folder: Path, declare: Mapping[str, Any]) -> Answer:
    """Ingest a source into a new store and read everything back."""
    store = folder / "store"
    try:
        result = ingest(source, store=store, declare=dict(declare))
        problems = [*result.problems, *(p for e in result.entries for p in e.problems)]
        foreign = [str(p) for p in problems if p.expected == FOREIGN]
        if foreign:
            return Answer("foreign", error=foreign[0])
        if all(entry.status == "failed" for entry in result.entries):
            return Answer("refused", error=_refusal(problems))
        return _stored(store, result, problems)
    except NeurodataError as error:
        return Answer("refused", error=f"{type(error).__name__}: {error}")
    except Exception as error:
        return Answer("foreign", error=f"{type(error).__name__}: {error}")


def _refusal(problems: list[Problem]) -> str:
    return next((str(p) for p in problems if p.level == "error"), "no recording")


def _stored(path: Path, result: Result, problems: list[Problem]) -> Answer:
    store, facts, digest = open_store(path), Facts(), hashlib.sha256()
    for entry in result.entries:
        if entry.status != "failed":
            raw, tree = store.raw(entry.id), store[entry.id]
            for key, value in facts_of(tree, raw):
                facts.setdefault(key, value)
            digest.update(repr((entry.id, entry.content, sorted(raw.attrs.items()))).encode())
    return Answer("accepted", facts, digest.hexdigest(), [str(problem) for problem in problems])


def facts_of(tree: xr.DataTree, raw: xr.DataTree) -> Iterator[tuple[str, Array]]:
    """Yield the facts of a recording, given in physical and in raw form."""
    for name in sorted(tree.children, key=lambda name: (name not in MAIN, name)):
        node = tree.children[name].to_dataset(inherit=False)
        kind = node.attrs.get("representation")
        if kind in _FACTS:
            yield from _FACTS[kind](node)
        if "rate_hz" in raw[name].attrs:
            yield "rate_hz", np.array(raw[name].attrs["rate_hz"], "f8")
        if "time" in node.coords:
            yield "times_s", np.asarray(node["time"].values, "f8")


def _timeseries(node: xr.Dataset) -> Iterator[tuple[str, Array]]:
    yield "signal", np.asarray(node["signal"].values)
    for key, name in (("channels", "channel"), ("units", "units")):
        if name in node.variables:
            yield key, np.array([str(value) for value in node[name].values])


def _volume(node: xr.Dataset) -> Iterator[tuple[str, Array]]:
    order = [dim for dim in ("x", "y", "z", "channel", "time") if dim in node["image"].dims]
    image = np.asarray(node["image"].transpose(*order).values)
    yield "image", image
    if "affine" in node:
        affine = np.asarray(node["affine"].values)
        yield "affine_mm", affine
        yield from marked(image, affine)
    if "spacing" in node:
        yield "spacing_um", np.asarray(node["spacing"].values)


def marked(image: Array, affine: Array) -> Iterator[tuple[str, Array]]:
    """Yield value and place in mm of the voxels over zero, lowest value first, if they are few."""
    if image.ndim == 3 and 0 < (image > 0).sum() <= MARKED:
        places = np.argwhere(image > 0)
        values = image[tuple(places.T)]
        world = places @ affine[:3, :3].T + affine[:3, 3]
        table = np.column_stack([values, world])
        yield "world_mm", table[np.argsort(values, kind="stable")]


def _graph(node: xr.Dataset) -> Iterator[tuple[str, Array]]:
    names = [str(value) for value in node["node_id"].values]
    ends = zip(node["source"].values.tolist(), node["target"].values.tolist(), strict=True)
    weights = node["weight"].values.tolist() if "weight" in node else [1] * node.sizes["edge"]
    edges = [f"{names[a]}>{names[b]}:{w:g}" for (a, b), w in zip(ends, weights, strict=True)]
    yield "edges", np.array(sorted(edges))


def _spikes(node: xr.Dataset) -> Iterator[tuple[str, Array]]:
    counts = np.diff(node["row_splits"].values)
    yield "spike_s", np.asarray(node["time_s"].values)
    yield "spike_units", np.repeat([str(value) for value in node["unit_id"].values], counts)


def _intervals(node: xr.Dataset) -> Iterator[tuple[str, Array]]:
    yield "event_s", np.asarray(node["start_s"].values)
    yield "event_labels", np.array([str(value) for value in node["label"].values])


_FACTS = {
    "timeseries": _timeseries, "volume": _volume, "graph": _graph, "spikes": _spikes,
    "intervals": _intervals,
}  # fmt: skip
