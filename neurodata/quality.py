"""The quality of the data themselves, found in one bounded walk through each node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import xarray as xr

from neurodata import surfaces, trace_quality, units
from neurodata.errors import Problem
from neurodata.invariants import span_s
from neurodata.slabs import SLAB_BYTES, extremes, slabs
from neurodata.trace_quality import beyond_float32, listed, outside

Array = np.ndarray[Any, Any]

REFRACTORY_S = 0.001
"""Two spikes of one neuron within 1 ms are not physiological (Hill, Mehta & Kleinfeld 2011,
doi:10.1523/JNEUROSCI.0971-11.2011)."""
VIOLATIONS_SHARE = 0.01
"""Units with a larger share of such intervals are listed (same source)."""
SATURATED_SHARE = 0.01
"""A larger share of voxels at the highest value of an integer image is listed."""
_FEW_VOXELS = 10
INTERVAL_BAND = units.Band("s", 5e-4, 500.0)
"""Median time between spikes of one unit: at most some hundred a second, at least some an hour."""


def findings(name: str, node: xr.Dataset, modality: str) -> list[Problem]:
    """Return the findings about the data of one sound node, raw or physical.

    Parameters
    ----------
    name : str
        The node's name, for the messages.
    node : xarray.Dataset
    modality : str
        That of the recording; it decides what is plausible.
    """
    representation = str(node.attrs.get("representation"))
    if representation == "timeseries":
        return list(trace_quality.findings(name, node, modality))
    if representation == "volume":
        return [*_geometry(name, node, modality), *_image(name, node)]
    other = _OTHERS.get(representation)
    return list(other(name, node)) if other else []


# ---- volumes


def _geometry(name: str, node: xr.Dataset, modality: str) -> Iterator[Problem]:
    span, rates = span_s(node), units.RATE_BANDS.get(modality)
    if rates and span and span[2] > 0 and node.sizes.get("time", 0) > 1:
        yield from outside(f"{name}: rate_hz", "rate", 1 / span[2], rates)
    band = units.VOXEL_BANDS.get(modality)
    if band is None:
        return
    for key, sizes in (("affine", _affine_mm(node)), ("spacing", _spacing(node))):
        if key in node.variables and node[key].attrs.get("units") == band.symbol:
            for size in sizes[(sizes < band.low) | (sizes > band.high)][:1]:
                yield from outside(f"{name}/{key}", "a voxel of", float(size), band)


def _affine_mm(node: xr.Dataset) -> Array:
    if "affine" not in node.variables:
        return np.zeros(0)
    return np.asarray(np.linalg.norm(node["affine"].values[:3, :3], axis=0))


def _spacing(node: xr.Dataset) -> Array:
    return np.asarray(node["spacing"].values) if "spacing" in node.variables else np.zeros(0)


def _image(name: str, node: xr.Dataset) -> Iterator[Problem]:
    main = node["image" if "image" in node.variables else "image_adc"]
    where, bad, top = f"{name}/{main.name}", 0, 0
    highest, lows, highs = -np.inf, list[Array](), list[Array]()
    for slab in _slabs(main):
        size = np.abs(slab) if slab.dtype.kind == "c" else slab
        finite = np.isfinite(size)
        bad += size.size - int(finite.sum())
        low, high = extremes(size, finite, axis=(-2, -1))
        lows.append(np.ravel(low))
        highs.append(np.ravel(high))
        if highs[-1].max() > highest:
            highest, top = highs[-1].max(), 0
        top += int((size == highest).sum())
    if bad:
        found = f"{bad} non-finite voxels of {main.size}"
        yield Problem("warning", where, found, "finite values, at least inside the object")
    least, most = np.concatenate(lows), np.concatenate(highs)
    yield from beyond_float32(where, main.dtype, least, most)
    if main.ndim == 2:
        constant = np.array([least.min() >= most.max()])
    else:
        constant = (least >= most).reshape(main.shape[:-2])
    yield from _constant(where, constant, [str(dim) for dim in main.dims[:-2]] or ["z"])
    saturated = top > max(_FEW_VOXELS, SATURATED_SHARE * main.size)
    if main.dtype.kind in "iu" and saturated and not constant.all():
        found = f"{100 * top / main.size:.1f} % of the voxels at the highest value, {highest:g}"
        yield Problem("warning", where, found, "an image within the recorder's range")
    yield from _ends(where, node, main, np.array([least.min(), most.max()], "f8"))


def _ends(where: str, node: xr.Dataset, main: xr.DataArray, ends: Array) -> Iterator[Problem]:
    """Judge the lowest and highest value of an image whose unit says where these lie."""
    symbol = str(main.attrs.get("units", node.attrs.get("units")))
    if main.name == "image_adc":
        if node["scale"].size != 1 or node["offset"].size != 1:
            return
        ends = np.sort(ends * node["scale"].values.ravel() + node["offset"].values.ravel())
    bands = (units.LOWEST_BANDS.get(symbol), units.HIGHEST_BANDS.get(symbol))
    for what, value, band in zip(("a lowest", "a highest"), ends.tolist(), bands, strict=True):
        if band is not None and np.isfinite(value):
            yield from outside(where, f"{what} value of", value, band)


def _slabs(image: xr.DataArray) -> Iterator[Array]:
    """Yield the planes of an image in order, along further axes where one step is too large."""
    if image.ndim > 3 and image[:1].nbytes > SLAB_BYTES:
        for part in range(len(image)):
            yield from _slabs(image[part])
    else:
        for _, slab in slabs(image):
            yield slab


def _constant(where: str, constant: Array, dims: list[str]) -> Iterator[Problem]:
    """Judge constant planes, ``(time?, channel?, z?)`` as named in ``dims``."""
    if constant.all():
        yield Problem("error", where, "the same value in every voxel", "an image")
        return
    left = constant.copy()
    for axis, dim in enumerate(dims):
        others = tuple(other for other in range(constant.ndim) if other != axis)
        whole = np.asarray(constant.all(axis=others))
        if not whole.any():
            continue
        left &= ~np.expand_dims(whole, others)
        inner = _inner(whole)
        # Slices beyond the head are often empty or masked; one between others is damage.
        found = f"{int(whole.sum())} of {whole.size} planes along {dim} constant"
        edge = dim == "z" and not inner
        yield Problem("note" if edge else "warning", where, found, "varying planes")
    if left.any() and "time" in dims:
        found = f"{int(left.sum())} planes constant in some frames only"
        yield Problem("warning", where, found, "varying planes")


def _inner(whole: Array) -> bool:
    varying = np.flatnonzero(~whole)
    return bool(whole[varying[0] : varying[-1]].any()) if varying.size else False


# ---- spikes


def _spikes(name: str, node: xr.Dataset) -> Iterator[Problem]:
    labels = [str(value) for value in node["unit_id"].values]
    where, splits = f"{name}/time_s", node["row_splits"].values
    shares, middles = np.zeros(len(labels)), np.full(len(labels), np.nan)
    contents: dict[bytes, list[str]] = {}
    for index in np.flatnonzero(np.diff(splits) > 1):  # of a camera, few of all pixels
        times = node["time_s"][splits[index] : splits[index + 1]].to_numpy()
        contents.setdefault(times.tobytes(), []).append(labels[index])
        gaps = np.diff(times)
        shares[index], middles[index] = (gaps < REFRACTORY_S).mean(), np.median(gaps)
    empty = np.diff(splits) == 0
    if empty.any():
        yield Problem("note", where, f"no spike of {listed(labels, empty)}", "spikes of each unit")
    twins = [" = ".join(group) for group in contents.values() if len(group) > 1]
    if twins:
        found = f"identical units {listed(twins, np.ones(len(twins), bool))}"
        yield Problem("warning", where, found, "spike times of its own in each")
    if np.isfinite(middles).any():
        middle = float(np.nanmedian(middles))
        slip = list(outside(where, "a median interval between spikes of", middle, INTERVAL_BAND))
        yield from slip
        if slip:
            return
    many = shares > VIOLATIONS_SHARE
    if many.any():
        parts = [f"{label} {100 * part:.1f} %" for label, part in zip(labels, shares, strict=True)]
        found = f"spikes within 1 ms of the one before: {listed(parts, many)}"
        yield Problem("note", where, found, "at most 1 % in a unit that is one neuron")


# ---- graphs


def _graph(name: str, node: xr.Dataset) -> Iterator[Problem]:
    source, target = node["source"].values, node["target"].values
    loops = int((source == target).sum())
    if loops:
        yield Problem("note", f"{name}/source", f"{loops} self loop(s)", "none in most analyses")
    nodes, kinds = node.sizes["node"], np.zeros(source.size, dtype="int64")
    count = 1
    if "kind" in node.variables:
        found_kinds, kinds = np.unique(node["kind"].values.astype(str), return_inverse=True)
        count = max(1, found_kinds.size)
    twice = source.size - np.unique((source * nodes + target) * count + kinds).size
    if twice:
        found = f"{twice} edge(s) that repeat another"
        yield Problem("note", f"{name}/source", found, "each pair once a kind")
    isolated = nodes - np.unique(np.concatenate([source, target])).size
    if isolated:
        found = f"{isolated} of {nodes} nodes without an edge"
        yield Problem("note", f"{name}/node_id", found, "connected nodes")
    if "weight" in node.variables:
        yield from _weights(f"{name}/weight", node["weight"].values)


def _weights(where: str, weight: Array) -> Iterator[Problem]:
    bad = int((~np.isfinite(weight)).sum())
    if bad:
        yield Problem("error", where, f"{bad} non-finite weight(s) of {weight.size}", "numbers")
    negative = int((weight < 0).sum())
    if negative:
        yield Problem("note", where, f"{negative} negative weight(s)", "0 or more in most analyses")


# ---- instances


def _instances(name: str, node: xr.Dataset) -> Iterator[Problem]:
    labels = node["label"]
    drawn: dict[tuple[int, int], int] = {}
    for layer in range(labels.sizes["layer"]):
        for _, slab in slabs(labels.isel(layer=layer)):
            ids, counts = np.unique(slab, return_counts=True)
            for one, count in zip(ids.tolist(), counts.tolist(), strict=True):
                if one:
                    drawn[layer, one] = drawn.get((layer, one), 0) + count
    columns = (node[key].values.tolist() for key in ("instance_layer", "instance_id"))
    table = dict(zip(zip(*columns, strict=True), node["voxel_count"].values.tolist(), strict=True))
    unlisted, undrawn = drawn.keys() - table.keys(), table.keys() - drawn.keys()
    if unlisted:
        found = f"{len(unlisted)} object(s) without a row in the table"
        yield Problem("error", f"{name}/label", found, "an instance_id for each label")
    if undrawn:
        found = f"{len(undrawn)} object(s) that no voxel belongs to"
        yield Problem("error", f"{name}/instance_id", found, "ids that the labels hold")
    wrong = sum(drawn[key] != table[key] for key in drawn.keys() & table.keys())
    if wrong:
        found = f"{wrong} count(s) unlike the labels"
        yield Problem("error", f"{name}/voxel_count", found, "the number of voxels of each object")


_OTHERS: dict[str, Callable[[str, xr.Dataset], Iterator[Problem]]] = {
    "spikes": _spikes,
    "graph": _graph,
    "instances": _instances,
    "maps": surfaces.findings,
}
