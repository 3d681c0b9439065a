"""Instance masks: labels that an image's objects have, and the table of the objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import UnreadableError
from neurodata.safe import Raw


def instances(mask: Any, spatial: Mapping[str, int], raw: Raw, name: str) -> xr.Dataset:
    """Return a mask as an ``instances`` node; the table is counted plane by plane.

    Parameters
    ----------
    mask : dask array
        Integers, 0 = background: the image's (z, y, x), or (layer, z, y, x).
    spatial : mapping of str to int
        The image's spatial axes and their lengths.

    Raises
    ------
    UnreadableError
        When the mask is not of the image's shape or holds no non-negative integers.
    """
    shape = tuple(spatial.values())
    if mask.shape[-len(shape) :] != shape or mask.ndim > len(shape) + 1:
        raise UnreadableError(
            f"{name}: mask", f"shape {mask.shape}", f"{shape}, as the image", "pair it by its name"
        )
    if mask.dtype.kind not in "iub":
        raise UnreadableError(
            f"{name}: mask", f"numbers of type {mask.dtype}", "integer labels", "export labels"
        )
    layered = mask if mask.ndim > len(shape) else mask[None]
    table = [(layer, *item) for layer in range(len(layered)) for item in _counts(layered[layer])]
    if any(label < 0 for _, label, _ in table):
        raise UnreadableError(f"{name}: mask", "negative labels", "0 and above", "export labels")
    if len(table) == 1:
        raw.warn(name, "one label only", "one label for each object", "it may be a semantic mask")
    unsigned = np.dtype(mask.dtype.str.replace("i", "u").replace("b", "u"))
    largest = max((label for _, label, _ in table), default=0)
    wide = "uint64" if largest > np.iinfo("int64").max else "int64"
    return xr.Dataset(
        {
            "label": (("layer", *spatial), layered.astype(unsigned)),
            "instance_id": ("instance", np.array([label for _, label, _ in table], wide)),
            "instance_layer": ("instance", np.array([layer for layer, _, _ in table], "int64")),
            "voxel_count": ("instance", np.array([count for *_, count in table], "int64")),
        },
        attrs={"representation": "instances", "schema": "instances/1", "image_node": "image"},
    )


def _counts(layer: Any) -> list[tuple[int, int]]:
    """Return (label, voxels) of a layer's objects, one block in memory at a time."""
    total: Counter[int] = Counter()
    for block in layer.blocks.ravel():
        labels, voxels = np.unique(block.compute(scheduler="synchronous"), return_counts=True)
        total.update(dict(zip(labels.tolist(), voxels.tolist(), strict=True)))
    return sorted((int(label), count) for label, count in total.items() if label)
