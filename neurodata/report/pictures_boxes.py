"""Pictures of boxes: the image that they annotate, each box in the colour of its label."""

from __future__ import annotations

from collections import Counter

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from neurodata.report.canvas import (
    WIDTH_IN,
    Sketch,
    bar_length,
    counted,
    figure,
    image_axes,
    length_bar,
    node_dataset,
    nodes_of,
    shorten,
    spread,
    title_of,
    variable,
)

COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#D55E00", "#CC79A7")  # Okabe and Ito
OTHER = "#FFFFFF"
MAX_SIDE = 1024
EDGES = ("x_start", "y_start", "x_stop", "y_stop")


def boxes(tree: xr.DataTree, node: str) -> Sketch:
    """Draw boxes on the image that they annotate, or alone where it is not there."""
    data = node_dataset(tree, node)
    image_node = str(data.attrs.get("image_node", ""))
    edges = np.stack([data[name].values for name in EDGES], axis=1)  # (box, edge)
    there = image_node in nodes_of(tree, "volume")
    plane = _plane(tree, image_node) if there else None
    size = plane.shape if plane is not None else (edges[:, 3].max() + 1, edges[:, 2].max() + 1)
    pixel, units = _pixel(tree, image_node) if there else ((1.0, 1.0), "pixel")
    extent = (float(size[1]) * pixel[1], float(size[0]) * pixel[0])
    drawn = figure(0.4 + min(WIDTH_IN, 5.2 * extent[0] / extent[1]) * extent[1] / extent[0],
                   min(WIDTH_IN, 5.2 * extent[0] / extent[1]))  # fmt: skip
    ax = drawn.subplots()
    if plane is not None:
        _show(ax, plane, extent)
    else:
        ax.set_xlim(0, extent[0])
        ax.set_ylim(extent[1], 0)
    labels = [str(label) for label in data["label"].values]
    told = _draw(ax, edges * np.array([pixel[1], pixel[0]] * 2), labels)
    image_axes(ax)
    length_bar(ax, extent, bar_length([extent[0]]), units)
    caption = f"{title_of(tree, node)}: {counted(len(labels), 'box').replace('boxs', 'boxes')}"
    shown = (node, image_node) if there else (node,)
    return Sketch(drawn, "Boxes around objects", f"{caption}{told}.", shown)


def _plane(tree: xr.DataTree, node: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the image as one plane (y, x): the brightest channel of each pixel."""
    image = variable(node_dataset(tree, node), "image", node)
    flat = image.max([dim for dim in image.dims if dim not in ("y", "x")])
    return np.asarray(flat.transpose("y", "x").values, "f8")


def _pixel(tree: xr.DataTree, node: str) -> tuple[tuple[float, float], str]:
    data = node_dataset(tree, node)
    if "spacing" not in data:
        return (1.0, 1.0), "pixel"
    sizes = dict(zip(data["spatial"].values.tolist(), data["spacing"].values, strict=True))
    return (float(sizes["y"]), float(sizes["x"])), str(data["spacing"].attrs["units"])


def _show(
    ax: Axes, plane: np.ndarray[tuple[int, int], np.dtype[np.float64]], extent: tuple[float, float]
) -> None:
    step = -(-max(plane.shape) // MAX_SIDE)
    values = plane[::step, ::step]
    low, high = spread(values, 0.5, 99.8)
    box = (0.0, extent[0], extent[1], 0.0)
    ax.imshow(values, cmap="gray", vmin=low, vmax=high, extent=box, interpolation="nearest")


def _draw(
    ax: Axes, edges: np.ndarray[tuple[int, int], np.dtype[np.float64]], labels: list[str]
) -> str:
    """Draw the boxes, and say which colour is which label."""
    common = [label for label, _ in Counter(labels).most_common(len(COLOURS))]
    colours = [COLOURS[common.index(label)] if label in common else OTHER for label in labels]
    lines = [[(a, b), (c, b), (c, d), (a, d), (a, b)] for a, b, c, d in edges.tolist()]
    ax.add_collection(LineCollection(lines, colors=colours, linewidths=0.9))
    for label, colour in zip(common, COLOURS, strict=False):
        ax.plot([], [], color=colour, label=shorten(label))
    if common:
        ax.legend(loc="upper right", fontsize=7)
    names = ", ".join(shorten(label) for label in common)
    more = len(set(labels)) - len(common)
    return (f" of {names}" if names else "") + (f" and {more} more labels" if more else "")
