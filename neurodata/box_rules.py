"""What must be true of boxes around objects in an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import xarray as xr

from neurodata.errors import Problem


def boxes(name: str, node: xr.Dataset) -> Iterator[Problem]:
    """Yield boxes whose edges are no numbers, without an area, or with an id that repeats."""
    ids = node["box_id"].values
    if twice := ids.size - np.unique(ids.astype("U")).size:
        yield Problem("error", f"{name}/box_id", f"{twice} repeated id(s)", "each id once")
    for axis in ("y", "x"):
        start, stop = node[f"{axis}_start"].values, node[f"{axis}_stop"].values
        wrong = ~(np.isfinite(start) & np.isfinite(stop) & (stop > start))
        if wrong.any():
            found = f"{int(wrong.sum())} box(es) without a size along {axis}"
            yield Problem("error", f"{name}/{axis}_stop", found, "stops beyond the starts")


def placed(
    name: str, node: xr.Dataset, nodes: Mapping[str, tuple[str, xr.Dataset]]
) -> Iterator[Problem]:
    """Yield boxes that lie outside the image that they annotate."""
    image = node.attrs["image_node"]
    if image not in nodes or nodes[image][0] != "volume":
        yield Problem("error", f"{name}: image_node", repr(image), "the name of a volume node")
        return
    for axis in ("y", "x"):
        size = nodes[image][1].sizes[axis]
        outside = (node[f"{axis}_start"].values >= size) | (node[f"{axis}_stop"].values <= 0)
        if outside.any():
            found = f"{int(outside.sum())} box(es) outside {image} along {axis}"
            yield Problem("error", f"{name}/{axis}_start", found, f"0 to {size}")
