"""The map of ROI footprints of a calcium recording."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb

from neurodata.report.canvas import (
    COLOURS,
    Sketch,
    counted,
    figure,
    node_dataset,
    shorten,
    title_of,
)
from neurodata.report.pictures_microscopy import outlines

GREY = "#9aa1aa"
MAX_LABELS = 60


def footprints(tree: xr.DataTree, node: str) -> Sketch:
    """Draw all footprints of one node."""
    data = node_dataset(tree, node)
    names = [str(v) for v in data["unit_id"].values]
    drawn = figure(5.0, 6.0)
    draw_footprints(drawn.subplots(), tree, node, names)
    caption = (
        f"{title_of(tree, node)}: {counted(len(names), 'ROI footprint')}, opacity is the weight "
        "relative to the ROI's largest, in pixels of the source image."
    )
    return Sketch(drawn, f"Map of {counted(len(names), 'ROI footprint')}", caption, (node,))


def colours_of(names: list[str], coloured: list[str]) -> list[str]:
    """Return one colour for each name; grey for those not among ``coloured``."""
    order = {name: i for i, name in enumerate(coloured)}
    return [COLOURS[order[n] % len(COLOURS)] if n in order else GREY for n in names]


def draw_footprints(ax: Axes, tree: xr.DataTree, node: str, coloured: list[str]) -> None:
    """Draw the footprints of ``node``; only those in ``coloured`` get a colour and a label."""
    data = node_dataset(tree, node)
    names = [str(v) for v in data["unit_id"].values]
    colours = colours_of(names, coloured)
    ax.imshow(_blend(data, colours), origin="upper", interpolation="nearest")
    left, right, top, bottom = _crop(data)
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    ax.add_collection(LineCollection(_borders(data), colors=colours, linewidths=0.7))
    labelled = [i for i, name in enumerate(names) if name in coloured][:MAX_LABELS]
    spots = place([_middle(data, i) for i in labelled], max(right - left, bottom - top))
    edge = [patheffects.withStroke(linewidth=1.8, foreground="white")]
    for i, spot in zip(labelled, spots, strict=True):
        ax.annotate(
            shorten(names[i], 10), _middle(data, i), spot, color="black", fontsize=7, ha="center",
            va="center", path_effects=edge,
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": colours[i], "shrinkA": 3},
        )  # fmt: skip
    ax.set_xlabel("x (pixel)")
    ax.set_ylabel("y (pixel)")
    ax.set_title(counted(len(names), "footprint"))
    for spine in ax.spines.values():
        spine.set_visible(True)


def _crop(data: xr.Dataset) -> tuple[float, float, float, float]:
    """Return left, right, top and bottom of the part of the image that holds footprints."""
    high, wide = (int(n) for n in np.asarray(data.attrs["image_shape_yx"]))
    if not data.sizes["pixel"]:
        return -0.5, wide - 0.5, -0.5, high - 0.5
    margin = 0.05 * max(high, wide)
    x, y = data["pixel_x"].values, data["pixel_y"].values
    return (
        max(x.min() - margin, -0.5), min(x.max() + margin, wide - 0.5),
        max(y.min() - margin, -0.5), min(y.max() + margin, high - 0.5),
    )  # fmt: skip


def place(points: list[tuple[float, float]], side: float) -> list[tuple[float, float]]:
    """Return a place for each label near its point, no two closer than a label's size.

    Examples
    --------
    >>> place([(50.0, 50.0), (51.0, 50.0)], 100.0)[0]
    (50.0, 50.0)
    """
    wide, high = 0.11 * side, 0.05 * side
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    rings = [(0.0, 0.0)] + [
        (r * wide * np.cos(a), r * 1.6 * high * np.sin(a)) for r in (1, 1.6, 2.4) for a in angles
    ]
    taken: list[tuple[float, float]] = []
    for x, y in points:
        free = [
            (x + dx, y + dy) for dx, dy in rings
            if all(abs(x + dx - u) >= wide or abs(y + dy - v) >= high for u, v in taken)
        ]  # fmt: skip
        taken.append(free[0] if free else (x, y))
    return taken


def _middle(data: xr.Dataset, unit: int) -> tuple[float, float]:
    """Return the centre (x, y) of one footprint."""
    part = slice(*(int(v) for v in data["row_splits"].values[unit : unit + 2]))
    x, y = data["pixel_x"].values[part], data["pixel_y"].values[part]
    return (float(x.mean()), float(y.mean())) if x.size else (0.0, 0.0)


def _borders(data: xr.Dataset) -> list[np.ndarray[Any, Any]]:
    """Return, for each unit, the border where its weight passes half of the largest, as a path."""
    paths = []
    weight, splits = np.asarray(data["pixel_weight"].values), data["row_splits"].values
    for first, after in pairwise(splits):
        part = slice(int(first), int(after))
        y, x = data["pixel_y"].values[part], data["pixel_x"].values[part]
        if not y.size:
            paths.append(np.empty((0, 2)))
            continue
        inside = np.zeros((int(np.ptp(y)) + 3, int(np.ptp(x)) + 3), bool)
        inside[y - y.min() + 1, x - x.min() + 1] = weight[part] > weight[part].max() / 2
        segments = outlines(inside) + np.array([x.min(), y.min()]) - 1.5
        gaps = np.full((len(segments), 1, 2), np.nan)
        paths.append(np.concatenate([segments, gaps], axis=1).reshape(-1, 2))
    return paths


def _blend(data: xr.Dataset, colours: list[str]) -> np.ndarray[Any, Any]:
    """Lay the footprints over white, each pixel as opaque as its weight."""
    high, wide = (int(n) for n in np.asarray(data.attrs["image_shape_yx"]))
    image = np.ones((high, wide, 3))
    y, x = data["pixel_y"].values, data["pixel_x"].values
    weight, splits = np.asarray(data["pixel_weight"].values, "float64"), data["row_splits"].values
    for colour, first, after in zip(colours, splits[:-1], splits[1:], strict=True):
        part = slice(int(first), int(after))
        if after > first and (top := np.nanmax(weight[part])) > 0:
            share = np.clip(np.nan_to_num(weight[part]) / top, 0, 1)[:, None] * 0.7
            at = (y[part], x[part])
            image[at] = image[at] * (1 - share) + np.array(to_rgb(colour)) * share
    return image
