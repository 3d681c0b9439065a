"""What must hold within surfaces and maps, and the quality of the maps' values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from neurodata import units
from neurodata.errors import Problem
from neurodata.slabs import slabs

LEAST_PLACES = 2


def mesh(name: str, node: xr.Dataset) -> Iterator[Problem]:
    """Yield where a `surface` node has impossible coordinates, triangles or matrices."""
    count = node.sizes["vertex"]
    bad = sum(int((~np.isfinite(slab)).sum()) for _, slab in slabs(node["position"]))
    if bad:
        found = f"{bad} non-finite coordinate(s)"
        yield Problem("error", f"{name}/position", found, "finite coordinates")
    if node.sizes["axis"] != 3 or node.sizes["corner"] != 3:
        found = f"{node.sizes['axis']} axes, {node.sizes['corner']} corners"
        yield Problem("error", name, found, "3 of each")
    outside = sum(int(((slab < 0) | (slab >= count)).sum()) for _, slab in slabs(node["face"]))
    if outside:
        found = f"{outside} corner(s) at no vertex"
        yield Problem("error", f"{name}/face", found, f"indices 0 to {count - 1}")
    if "transform" in node.variables:
        matrix = node["transform"].values
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            found = "non-finite or missing numbers"
            yield Problem("error", f"{name}/transform", found, "4 x 4 finite numbers")


def maps(name: str, node: xr.Dataset) -> Iterator[Problem]:
    """Yield where a `maps` node has no canonical unit, or a table that is not one."""
    for map_name, symbol in _pairs(node, "map", "units"):
        if symbol not in units.SYMBOLS:
            hint, found = f"declare it: --set units.{map_name}=mm", f"the unit {symbol!r}"
            yield Problem("error", f"{name}/units: {map_name}", found, "a canonical unit", hint)
    if "label_map" not in node.variables:
        return
    owners, keys = node["label_map"].values, node["label_key"].values
    if ((owners < 0) | (owners >= node.sizes["map"])).any():
        wanted = f"0 to {node.sizes['map'] - 1}"
        yield Problem("error", f"{name}/label_map", "names of a map that is not there", wanted)
    twice = len(keys) - len(set(zip(owners.tolist(), keys.tolist(), strict=True)))
    if twice:
        found = f"{twice} key(s) of a map more than once"
        yield Problem("error", f"{name}/label_key", found, "each key once")


def _pairs(node: xr.Dataset, *keys: str) -> Iterator[tuple[str, ...]]:
    if all(key in node.variables for key in keys):
        columns: list[list[Any]] = [node[key].values.tolist() for key in keys]
        yield from zip(*columns, strict=True)


def findings(name: str, node: xr.Dataset) -> Iterator[Problem]:
    """Yield maps of values that are not finite, or the same at every place."""
    if "value" not in node.variables or node.sizes["place"] < LEAST_PLACES:
        return
    for first, slab in slabs(node["value"]):
        for offset, row in enumerate(slab):
            where = f"{name}/value: {node['map'].values[first + offset]}"
            finite = np.isfinite(row)
            bad = row.size - int(finite.sum())
            if bad:
                found = f"{bad} non-finite values of {row.size}"
                yield Problem("warning", where, found, "finite values, NaN outside a mask only")
            if finite.any() and row[finite].min() == row[finite].max():
                yield Problem("warning", where, "the same value at every place", "a map")
