"""Pictures of surfaces (shaded, from three sides) and of maps of values or labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from neurodata.report.canvas import (
    COLOURS,
    INK,
    Sketch,
    counted,
    display_units,
    figure,
    node_dataset,
    shorten,
    title_of,
)

Array = np.ndarray[Any, Any]
# What is looked along, what is to the right, what is up; signs make right-handed views.
VIEWS = (("from the left", (-1, 0, 0), 1, 2, -1), ("from above", (0, 0, 1), 0, 1, 1),
         ("from behind", (0, -1, 0), 0, 2, 1))  # fmt: skip
MM_PER_M = 1e3
MAX_MAPS = 8
MAX_POLYGONS = 4000
MOST_PIXELS = 360
# Corners, middles of edges and the centre of a triangle, as weights of its corners.
SAMPLES = (
    np.array([[6, 0, 0], [0, 6, 0], [0, 0, 6], [3, 3, 0], [3, 0, 3], [0, 3, 3], [2, 2, 2]]) / 6
)
MAX_LABELS = 12
MAX_PLACES = 400_000


def surface(tree: xr.DataTree, node: str) -> Sketch:
    """Draw a mesh from three sides, brighter where it faces the viewer."""
    data = node_dataset(tree, node)
    corners = data["position"].values.astype("f8")[data["face"].values] * MM_PER_M
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    normals /= np.where(lengths > 0, lengths, 1)[:, None]
    drawn = figure(3.0)
    for ax, view in zip(drawn.subplots(1, len(VIEWS)), VIEWS, strict=True):
        _view(ax, corners, normals, view)
    attrs = data.attrs
    known = [str(attrs[key]) for key in ("structure", "layer", "geometry") if key in attrs]
    space = str(data["position"].attrs.get("space", "unknown"))
    caption = (
        f"{title_of(tree, node)}: {', '.join(['surface', *known])}, "
        f"{int(data.sizes['vertex']):,} vertices, {int(data.sizes['triangle']):,} triangles, "
        f"in mm of the space {space}."
    )
    return Sketch(drawn, "Surface from three sides", caption, (node,))


def _view(ax: Axes, corners: Array, normals: Array, view: Any) -> None:
    title, towards, across, up, sign = view
    facing = normals @ np.array(towards, "f8")
    depth = corners.mean(axis=1) @ np.array(towards, "f8")
    order = np.argsort(depth)
    flat = corners[order][:, :, [across, up]] * (sign, 1)
    shade = 0.25 + 0.7 * np.abs(facing[order])
    if len(flat) > MAX_POLYGONS:
        _raster(ax, flat, shade)
    else:
        colours = np.repeat(shade[:, None], 3, axis=1)
        ax.add_collection(
            PolyCollection(list(flat), facecolors=colours, edgecolors="none", antialiased=False)
        )
    ax.set_title(title)
    ax.autoscale_view()
    ax.set_aspect("equal")
    ax.set_xlabel(f"{'−' if sign < 0 else ''}{'xyz'[across]} (mm)")
    ax.set_ylabel(f"{'xyz'[up]} (mm)")


def _raster(ax: Axes, flat: Array, shade: Array) -> None:
    """Draw triangles (triangle, corner, axis), the nearest last, as pixels of most of an edge."""
    edge = float(np.median(np.linalg.norm(flat[:, 1] - flat[:, 0], axis=1)))
    low, high = flat.min(axis=(0, 1)), flat.max(axis=(0, 1))
    pixel = max(float((high - low).max()) / MOST_PIXELS, 0.75 * edge, 1e-9)
    points = np.einsum("sc,tca->tsa", SAMPLES, flat)
    place = ((points - low) / pixel).astype("i4")
    width, height = (np.ceil((high - low) / pixel).astype(int) + 1).tolist()
    image = np.full((height, width), np.nan)
    image[place[..., 1], place[..., 0]] = shade[:, None]
    extent = (low[0], low[0] + width * pixel, low[1], low[1] + height * pixel)
    ax.imshow(image, cmap="gray", vmin=0, vmax=1, origin="lower", extent=extent)


def maps(tree: xr.DataTree, node: str) -> Sketch:
    """Draw a histogram of each map of values, or how many places each label has."""
    data = node_dataset(tree, node)
    names = [str(name) for name in data["map"].values]
    shown = names[:MAX_MAPS]
    across = min(4, max(1, len(shown)))
    down = max(1, -(-len(shown) // across))
    drawn = figure(0.3 + 2.2 * down)
    axes = drawn.subplots(down, across, squeeze=False).ravel()
    for number, ax in enumerate(axes):
        if number >= len(shown):
            ax.set_axis_off()
        elif "label" in data:
            _labels(ax, data, number, shown[number])
        else:
            _values(ax, data, number, shown[number])
    what = "labels" if "label" in data else "values"
    rest = f", the first {len(shown)} drawn" if len(names) > len(shown) else ""
    caption = (
        f"{title_of(tree, node)}: {counted(len(names), 'map')} of {what} over "
        f"{counted(int(data.sizes['place']), 'place')}{rest}."
    )
    return Sketch(drawn, f"Maps {', '.join(map(shorten, shown))}", caption, (node,))


def _part(data: xr.Dataset, name: str, number: int) -> Array:
    step = max(1, -(-int(data.sizes["place"]) // MAX_PLACES))
    return np.asarray(data[name].isel(map=number, place=slice(None, None, step)).values)


def _values(ax: Axes, data: xr.Dataset, number: int, name: str) -> None:
    values = _part(data, "value", number).astype("f8")
    values = values[np.isfinite(values)]
    typical = float(np.abs(values).max()) if values.size else 1.0
    factor, units = display_units(str(data["units"].values[number]), typical)
    ax.hist(values * factor, bins=40, color=COLOURS[0])
    ax.set_title(shorten(name, 26))
    ax.set_xlabel(units)
    ax.set_ylabel("places")


def _labels(ax: Axes, data: xr.Dataset, number: int, name: str) -> None:
    keys, counts = np.unique(_part(data, "label", number), return_counts=True)
    mine = data["label_map"].values == number
    pairs = zip(data["label_key"].values[mine], data["label_name"].values[mine], strict=True)
    table = {int(key): str(text) for key, text in pairs}
    most = np.argsort(-counts, kind="stable")[:MAX_LABELS]
    words = [shorten(table.get(int(keys[i]), f"{keys[i]} (no name)"), 20) for i in most]
    ax.barh(np.arange(len(most)), counts[most], color=COLOURS[0])
    ax.set_yticks(np.arange(len(most)), words, fontsize=7.5, color=INK)
    ax.invert_yaxis()
    ax.set_title(shorten(name, 26))
    ax.set_xlabel("places")
