"""A recording's tree to and from one Zarr v3 group tree."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.storage import LocalStore

from neurodata.errors import IntegrityError, StoreError
from neurodata.store.digest import ArrayDigest, canonical, is_text, plain
from neurodata.store.layout import blocks, choose, codecs, tile
from neurodata.store.ngff import OME, multiscales

COORDINATES = "coordinates"
KINDS = "biufcUOT"
RESERVED = {"coordinates", "dtype", "_FillValue"}  # xarray takes them for its own
LAZY = ("signal", "signal_adc", "image", "image_adc")


def refuse_unfit(tree: xr.DataTree) -> None:
    """Refuse what would not come back as it is: odd attributes, data types or texts.

    Raises
    ------
    StoreError
        Naming the variable.
    """
    for path, node in tree.subtree_with_keys:
        canonical(node.attrs)
        for name, variable in node.variables.items():
            canonical(variable.attrs)
            if taken := RESERVED & set(variable.attrs):
                raise _unfit(path, name, f"the attribute {min(taken)!r}", "other names")
            if variable.dtype.kind not in KINDS or variable.dtype == np.longdouble:
                raise _unfit(path, name, f"dtype {variable.dtype}", "numbers or text")
            if variable.dtype.kind in "OU" and not all(map(_is_text, np.ravel(variable.values))):
                raise _unfit(path, name, "items that are no text", "Unicode text in every item")


def _is_text(item: object) -> bool:
    """Say whether an item is a string without lone surrogates, which have no UTF-8 form."""
    return isinstance(item, str) and item.encode("utf-8", "ignore").decode() == item


def _unfit(path: str, name: Hashable, found: str, expected: str) -> StoreError:
    return StoreError(_key(path, name), found, expected, "convert it before it is stored")


def write_tree(tree: xr.DataTree, folder: Path) -> dict[str, str]:
    """Write a recording in raw form and return the digest of every array, by ``node/name``.

    Memory stays bounded by one block (8 to 32 MiB) of one array.
    """
    digests = {}
    for path, node in tree.subtree_with_keys:
        group = zarr.open_group(LocalStore(folder), path="" if path == "." else path, mode="w-")
        dataset = node.to_dataset(False)
        group.attrs.update(_group_attrs(dataset))
        for name, variable in dataset.variables.items():
            digests[_key(path, name)] = _write(group, str(name), variable)
    return digests


def _key(path: str, name: Hashable) -> str:
    return str(name) if path == "." else f"{path}/{name}"


def _group_attrs(dataset: xr.Dataset) -> dict[str, Any]:
    attrs: dict[str, Any] = plain(dataset.attrs)
    if extra := sorted(str(name) for name in dataset.coords if name not in dataset.dims):
        attrs[COORDINATES] = " ".join(extra)
    if ome := multiscales(dataset):
        attrs[OME] = ome
    return attrs


def _write(group: zarr.Group, name: str, variable: xr.Variable) -> str:
    text = is_text(variable.dtype)
    dims = tuple(str(dim) for dim in variable.dims)
    layout = choose(dims, variable.shape, 16 if text else variable.dtype.itemsize)
    dtype: Any = str if text else variable.dtype.newbyteorder("<")
    array = group.create_array(
        name,
        shape=variable.shape,
        dtype=dtype,
        chunks=layout.chunks,
        shards=layout.shards,
        compressors=codecs(variable.dtype),
        dimension_names=dims,
        attributes=plain(variable.attrs),
        config={"write_empty_chunks": True},
    )
    digest = ArrayDigest(dims, variable.shape, variable.dtype)
    for block in _steps(variable.shape, variable.dtype):
        values = np.asarray(variable[block].values)
        array[block] = values.astype(object) if text else values
        digest.update(values)
    return digest.hexdigest()


def _steps(shape: tuple[int, ...], dtype: Any) -> list[tuple[slice, ...]]:
    itemsize = 16 if is_text(dtype) else dtype.itemsize
    return list(blocks(shape, tile(shape, itemsize)))


def digest_tree(folder: Path) -> dict[str, str]:
    """Decode every array of a stored tree and return its digest, by ``node/name``.

    Raises
    ------
    IntegrityError
        When a chunk does not decode or its checksum differs.
    """
    root = zarr.open_group(LocalStore(folder, read_only=True), mode="r")
    digests = {}
    for key, array in root.members(max_depth=None):
        if isinstance(array, zarr.Array):
            digests[key] = _digest(key, array)
    return digests


def _digest(key: str, array: zarr.Array[Any]) -> str:
    dtype = np.dtype(object) if is_text(array.dtype) else array.dtype
    dims: Any = getattr(array.metadata, "dimension_names", None) or ()
    digest = ArrayDigest(dims, array.shape, dtype)
    try:
        for block in _steps(array.shape, dtype):
            digest.update(np.asarray(array[block]))
    except Exception as error:
        raise IntegrityError(
            key, f"a chunk that does not decode ({error})", "the written bytes", "ingest it again"
        ) from error
    return digest.hexdigest()


def open_tree(folder: Path) -> xr.DataTree:
    """Open a stored tree lazily and read-only, in raw form; large arrays are dask arrays."""
    tree = xr.open_datatree(
        LocalStore(folder, read_only=True),  # type: ignore[arg-type]
        engine="zarr",
        consolidated=False,
        chunks=None,
        mask_and_scale=False,
        decode_times=False,
    )
    found = sorted(tree.subtree_with_keys, key=lambda item: item[0])
    return xr.DataTree.from_dict({path: _settle(node.to_dataset(False)) for path, node in found})


def _settle(node: xr.Dataset) -> xr.Dataset:
    """Load text, chunk large arrays by shard, and drop what only other tools need on disk."""
    node.attrs.pop(OME, None)
    for name, variable in node.variables.items():
        if is_text(variable.dtype):
            node[name] = (variable.dims, np.asarray(variable.values).astype(object), variable.attrs)
        elif name in LAZY or variable.encoding.get("shards"):
            sizes = variable.encoding.get("shards") or variable.shape
            node[name] = node[name].chunk(dict(zip(variable.dims, sizes, strict=True)))
    coords = {name: node.coords[name] for name in sorted(node.coords, key=str)}
    data = {name: node[name].variable for name in sorted(node.data_vars, key=str)}
    return xr.Dataset(data, coords, node.attrs)
