"""Tasks on voxels: foreground of annotated objects, and voxels from their surroundings."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodata.loader import Node, Patches
from neurodata.models import Array
from neurodata.scoring.sides import Sides, blocks_of_space, loaders, require_observed
from neurodata.splits import Split
from neurodata.store import Store

Shape = tuple[int, int, int]
BATCH = 4096


def segmentation(
    store: Store,
    split: Split,
    node: str | None,
    seed: int,
    *,
    mask_node: str,
    patch_zyx: Shape,
    stride_zyx: Shape,
    tile_voxels: int,
) -> Sides:
    """Say of a patch's central voxel whether it belongs to an object.

    ``x (batch, feature)`` are the centre's intensity and statistics of the patch around it.
    """

    def features(batch: dict[str, Any]) -> dict[str, Any]:
        require_observed(batch["mask"])
        inside = (batch["target"] > 0).any(axis=1)
        return {**batch, "x": _local(batch["image"][:, 0]), "y": _centre(inside)}

    sample = Patches(patch_zyx, stride_zyx, node)
    made = loaders(store, split, sample, features, seed, target=Node(mask_node), batch_size=BATCH)
    blocks = blocks_of_space(tile_voxels)
    return Sides(made["train"], made.get("val"), made["test"], "Dice", blocks, "voxels")


def _centre(patches: Array) -> Array:
    return patches[(slice(None), *(size // 2 for size in patches.shape[1:]))]


def _local(patches: Array) -> Array:
    """Return centre, means around it, and mean, spread, extremes and slopes of the patch."""
    every = patches.reshape(len(patches), -1)
    slopes = [
        np.take(patches, range(size // 2 + 1, size), axis).mean(axis=(1, 2, 3))
        - np.take(patches, range(size // 2), axis).mean(axis=(1, 2, 3))
        for axis, size in enumerate(patches.shape[1:], start=1)
        if size > 1
    ]
    near = tuple(slice(max(0, size // 2 - 1), size // 2 + 2) for size in patches.shape[1:])
    return np.column_stack(
        [
            _centre(patches),
            patches[(slice(None), *near)].mean(axis=(1, 2, 3)),
            every.mean(axis=1),
            every.std(axis=1),
            every.min(axis=1),
            np.median(every, axis=1),
            every.max(axis=1),
            np.sqrt(np.square(slopes).sum(axis=0)),
        ]
    )


def inpainting(
    store: Store,
    split: Split,
    node: str | None,
    seed: int,
    *,
    patch_voxels: int,
    tile_voxels: int,
) -> Sides:
    """Predict the central voxel of a cube from the others: no label is needed.

    ``x (batch, voxel)`` are the six face neighbours, then the rest of the surroundings.
    """
    offsets = np.indices((patch_voxels,) * 3).reshape(3, -1) - patch_voxels // 2
    distance = np.abs(offsets).sum(axis=0)
    around = np.argsort(distance, kind="stable")[1:]

    def features(batch: dict[str, Any]) -> dict[str, Any]:
        require_observed(batch["mask"])
        every = batch["image"][:, 0].reshape(len(batch["image"]), -1)
        return {**batch, "x": every[:, around], "y": _centre(batch["image"][:, 0])}

    sample = Patches((patch_voxels,) * 3, (1, 1, 1), node)
    made = loaders(store, split, sample, features, seed, batch_size=BATCH)
    blocks = blocks_of_space(tile_voxels)
    return Sides(
        made["train"],
        made.get("val"),
        made["test"],
        "skill",
        blocks,
        "voxels",
        "mean of 6 neighbours",
    )
