"""The node `rois/1`: the pixels of regions of interest, their weights and centroids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import UnreadableError
from neurodata.readers.delimited import Numbers, text_array
from neurodata.safe import Raw

SIDE_LIMIT = 2**20


def footprints(
    pixels: tuple[Numbers, Numbers, Numbers],
    counts: Sequence[int] | Numbers,
    names: Sequence[str],
    shape_yx: tuple[int, int] | None,
    raw: Raw,
    where: str,
    columns: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Return a `rois` node; the image is as large as stated, else as the pixels need.

    Parameters
    ----------
    pixels : tuple of arrays (pixel)
        Row y, column x and weight, those of the first region first.
    counts : sequence of int (unit)
        Number of pixels of each region.
    names : sequence of str (unit)
    shape_yx : (int, int), optional
        Height and width of the image.
    where : str
        File or variable, for the messages.
    columns : mapping, optional
        Further columns, as ``name: (dimension, values)``.

    Raises
    ------
    UnreadableError
        When a pixel lies outside the image or a weight is no finite number.
    """
    y, x, weight = (np.asarray(axis) for axis in pixels)
    counts = np.asarray(counts, "int64")
    least = (int(y.max(initial=0)) + 1, int(x.max(initial=0)) + 1)
    if shape_yx is None:
        raw.warn(where, "no image size", "height and width", f"{least} holds all pixels")
    height, width = shape_yx or least
    if max(height, width) > SIDE_LIMIT:
        raise UnreadableError(
            f"{raw.name}: {where}",
            f"an image of {height} x {width}",
            f"at most {SIDE_LIMIT} a side",
        )
    outside = min(int(y.min(initial=0)), int(x.min(initial=0))) < 0
    if outside or height < least[0] or width < least[1]:
        found = f"pixels up to row {least[0] - 1} and column {least[1] - 1}, or below 0"
        raise UnreadableError(
            f"{raw.name}: {where}", found, f"pixels within an image of {height} x {width}",
            "export the masks again",
        )  # fmt: skip
    if not np.isfinite(weight).all():
        raise UnreadableError(f"{raw.name}: {where}", "weights not finite", "finite weights")
    unit = np.repeat(np.arange(len(counts)), counts)
    total = np.bincount(unit, weight, len(counts))
    with np.errstate(invalid="ignore", divide="ignore"):
        centre_y, centre_x = (
            np.bincount(unit, weight * axis, len(counts)) / total for axis in (y, x)
        )
    return xr.Dataset(
        {
            "pixel_y": ("pixel", y.astype("int32")),
            "pixel_x": ("pixel", x.astype("int32")),
            "pixel_weight": ("pixel", weight.astype("float32")),
            "row_splits": ("split", np.concatenate([[0], np.cumsum(counts)]).astype("int64")),
            "centroid_y": ("unit", centre_y),
            "centroid_x": ("unit", centre_x),
            **(columns or {}),
        },
        coords={"unit_id": ("unit", text_array(names))},
        attrs={"representation": "rois", "schema": "rois/1", "image_shape_yx": [height, width]},
    )
