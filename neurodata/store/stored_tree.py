"""An xarray tree of a stored version, lazily, its chunks read and checked by `StoredArray`."""

from __future__ import annotations

import json
import math
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from neurodata.store.arrays import StoredArray
from neurodata.store.manifest import TREE
from neurodata.store.tree import COORDINATES, LAZY
from neurodata.store.version import METADATA, StoredVersion

SHARD_BYTES = 64 * 2**20
"""More than a shard has (see `layout.tile`)."""


def open_stored(version: StoredVersion, block_bytes: int = SHARD_BYTES) -> xr.DataTree:
    """Return a version in raw form; large arrays are dask arrays.

    Small arrays are read at once, all together. Each chunk is checked whenever it is read.

    Parameters
    ----------
    block_bytes : int
        How large the blocks of dask arrays may become, within a shard and of whole chunks.

    Raises
    ------
    IntegrityError
        Here or when a dask array is computed: where a chunk is missing or damaged.
    """
    small = [
        array
        for node in version.nodes.values()
        for array in node.arrays.values()
        if not _is_lazy(array)
    ]
    version.files.fetch([one for array in small for one in array.ranges(_all(array))])
    nodes = {path: _node(version, path, block_bytes) for path in sorted(version.nodes)}
    return xr.DataTree.from_dict(nodes)


def _node(version: StoredVersion, path: str, block_bytes: int) -> xr.Dataset:
    stored = version.nodes[path]
    variables = {
        name: _variable(version, array, block_bytes)
        for name, array in sorted(stored.arrays.items())
    }
    named = set(_coordinates(version, path))
    coords = {n: v for n, v in variables.items() if n in named or (v.dims == (n,))}
    data = {name: v for name, v in variables.items() if name not in coords}
    return xr.Dataset(data, coords, dict(stored.attrs))


def _coordinates(version: StoredVersion, path: str) -> list[str]:
    """Return the names that a group lists as its coordinates."""
    file = "/".join([TREE, *([] if path == "." else [path]), METADATA])
    text = json.loads(version.files.read(file, 0, version.files.size(file)))
    names: str = text.get("attributes", {}).get(COORDINATES, "")
    return names.split()


def _variable(version: StoredVersion, array: StoredArray, block_bytes: int) -> xr.Variable:
    data: Any = _dask(version, array, block_bytes) if _is_lazy(array) else array.values
    return xr.Variable(array.dims, data, dict(array.attrs))


def _is_lazy(array: StoredArray) -> bool:
    text = array.dtype == object
    return (
        not text
        and 0 not in array.shape
        and (array.sharded or array.key.rpartition("/")[2] in LAZY)
    )


def _dask(version: StoredVersion, array: StoredArray, block_bytes: int) -> Any:
    name = f"neurodata-{version.files.where}-{array.key}-{block_bytes}"
    from_array: Any = da.from_array
    return from_array(_Lazy(array), chunks=_block(array, block_bytes), name=name)


def _block(array: StoredArray, block_bytes: int) -> tuple[int, ...]:
    """Return whole chunks of so many bytes, grown along the last axes first, within a shard."""
    block = list(array.chunks)
    for axis in reversed(range(len(block))):
        room = max(1, block_bytes // (math.prod(block) * array.dtype.itemsize))
        block[axis] *= min(room, array.shards[axis] // block[axis])
    return tuple(block)


def _all(array: StoredArray) -> tuple[slice, ...]:
    return tuple(slice(0, n) for n in array.shape)


class _Lazy:
    """What dask needs of an array: its form, and a part of it by an index as NumPy takes it."""

    def __init__(self, array: StoredArray) -> None:
        self._array = array
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, len(array.shape)

    def __getitem__(self, where: Any) -> np.ndarray[Any, Any]:
        parts = where if isinstance(where, tuple) else (where,)
        parts = (*parts, *(slice(None) for _ in self.shape[len(parts) :]))
        inside = [_inside(*one) for one in zip(parts, self.shape, strict=True)]
        box = tuple([limits for limits, _ in inside])
        self._array.files.fetch(self._array.index_ranges(box))
        self._array.files.fetch(self._array.ranges(box))
        values: np.ndarray[Any, Any] = self._array.read(box)[tuple([part for _, part in inside])]
        return values


def _inside(part: Any, size: int) -> tuple[slice, Any]:
    """Return the limits of an index along one axis, and the index counted from the lower one."""
    if isinstance(part, slice):
        steps = range(size)[part]
        if not steps:
            return slice(0, 0), slice(None)
        low, high = min(steps[0], steps[-1]), max(steps[0], steps[-1])
        return slice(low, high + 1), slice(None, None, steps.step)
    if isinstance(part, int | np.integer):
        at = range(size)[int(part)]
        return slice(at, at + 1), 0
    items = np.asarray(part)
    items = (
        np.flatnonzero(items) if items.dtype == bool else np.where(items < 0, items + size, items)
    )
    if not items.size:
        return slice(0, 0), items
    low, high = int(items.min()), int(items.max())
    return slice(low, high + 1), items - low
