"""How many bytes a recording will take, before any of it is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import ceil, prod
from pathlib import Path

import numpy as np
import xarray as xr

from neurodata.errors import StoreError
from neurodata.store import files
from neurodata.store.digest import is_text, plain
from neurodata.store.layout import LEVEL, Codec, Layout, Preset, choose, compress, pick_codec, steps
from neurodata.store.shards import sample
from neurodata.store.tree import TEXT_BYTES

NODE_BYTES = 350
"""Of one node: its zarr.json and its lines in the manifest."""
METADATA_BYTES = 900
"""Of one array: the same."""
FILE_BYTES = 180
"""Of one file: its line in the manifest."""
INDEX_BYTES = 20
"""Of one chunk: its checksum and its place in the index of a shard."""
TEXT_ITEMS = 2**16
PLACES = 3


def require_room(root: Path, tree: xr.DataTree, preset: Preset) -> None:
    """Refuse a recording that the disk has no room for, before anything is written.

    Values are read only where the disk might be too small for them as they are; what is refused
    would take twice the free bytes by the estimate, so that nothing is refused that fits.

    Raises
    ------
    StoreError
        Saying how many bytes are free and about how many are needed.
    """
    free = files.free_bytes(root)
    if free > _most(tree):
        return
    needed = needed_bytes(tree, preset)
    if free < needed / 2:
        found = f"too little room ({free} bytes free)"
        raise StoreError(str(root), found, files.room_for(needed), "free some room")


def needed_bytes(tree: xr.DataTree, preset: Preset) -> int:
    """Estimate what a recording takes when stored, from a part of each array, compressed.

    Examples
    --------
    >>> noise = np.random.default_rng(0).random((1000, 64))
    >>> tree = xr.DataTree.from_dict({"a": xr.Dataset({"x": (("time", "channel"), noise)})})
    >>> 512_000 < needed_bytes(tree, "default") < 520_000
    True
    """
    total = 0.0
    for node in tree.subtree:
        dataset = node.to_dataset(False)
        total += len(json.dumps(plain(dataset.attrs))) * 2 + NODE_BYTES  # in the manifest too
        for variable in dataset.variables.values():
            total += METADATA_BYTES + len(json.dumps(plain(variable.attrs)))
            text = is_text(variable.dtype)
            total += _text(variable, preset) if text else _numbers(variable, preset)
    return ceil(total)


def _most(tree: xr.DataTree) -> float:
    """Return more than a recording can take, without a look at its values."""
    total = 2**20
    for node in tree.subtree:
        for variable in node.to_dataset(False).variables.values():
            size = variable.nbytes
            if is_text(variable.dtype):
                size = sum(len(item.encode()) + 4 for item in variable.values.ravel().tolist())
            total += 2 * size + 2**16
    return total


def _numbers(variable: xr.Variable, preset: Preset) -> float:
    dtype = variable.dtype.newbyteorder("<")
    dims = tuple(str(dim) for dim in variable.dims)
    layout = choose(dims, variable.shape, dtype.itemsize, preset)
    before = after = 0
    codec = None
    for block in _some(variable, layout, dtype.itemsize):
        chunks = sample(np.asarray(variable[block].values), layout)
        codec = codec or pick_codec(chunks, preset)
        before += sum(chunk.nbytes for chunk in chunks)
        after += sum(len(compress(chunk, codec)) for chunk in chunks)
    return variable.nbytes * after / max(1, before) + _overhead(variable, layout)


def _some(variable: xr.Variable, layout: Layout, itemsize: int) -> Iterator[tuple[slice, ...]]:
    """Yield a few blocks of an array, spread evenly over it."""
    places = [block for block, _ in steps(variable.shape, layout, itemsize)]
    last = len(places) - 1
    chosen = {round(n * last / (PLACES - 1)) for n in range(PLACES)} if places else set()
    return (places[at] for at in sorted(chosen))


def _text(variable: xr.Variable, preset: Preset) -> float:
    from numcodecs import blosc

    codec: Codec = "zstd" if preset == "small" else "lz4"  # as text is written
    dims = tuple(str(dim) for dim in variable.dims)
    layout = choose(dims, variable.shape, TEXT_BYTES, preset)
    step, items = prod(layout.chunks), variable.values.ravel()[:TEXT_ITEMS].tolist()
    taken = 0
    for first in range(0, len(items), step):
        parts = [str(item).encode() for item in items[first : first + step]]
        data = b"".join(len(part).to_bytes(4, "little") + part for part in parts)
        taken += len(blosc.compress(data, codec.encode(), LEVEL[codec], blosc.BITSHUFFLE))
    return taken * variable.size / max(1, len(items)) + _overhead(variable, layout)


def _overhead(variable: xr.Variable, layout: Layout) -> int:
    """Return the bytes of checksums, shard indexes and lines of files in the manifest."""
    counts = [
        prod(ceil(n / c) for n, c in zip(variable.shape, grid, strict=True))
        for grid in (layout.chunks, layout.files)
    ]
    return counts[0] * INDEX_BYTES + counts[1] * FILE_BYTES
