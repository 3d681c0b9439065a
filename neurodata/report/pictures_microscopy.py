"""Pictures of microscopy: projections with a scale bar and the outlines of masks."""

from __future__ import annotations

from typing import Any, NamedTuple

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

Array = np.ndarray[Any, Any]
OUTLINE = "#E69F00"
MAX_SIDE = 1024
SLAB_VALUES = 2**27
MAX_PANELS = 3


class View(NamedTuple):
    """One panel: image and labels (row, column), the size of a pixel, the name."""

    values: Array
    labels: list[Array]
    pixel: tuple[float, float]
    name: str


def microscopy(tree: xr.DataTree, node: str) -> Sketch:
    """Draw a plane, or a stack as maximum projection and slices, with masks and scale bar."""
    data = node_dataset(tree, node)
    image = variable(data, "image", node)
    masks = [m for m in nodes_of(tree, "instances") if _annotates(tree, m, node)]
    pixel, units = _spacing(data)
    image, told = _frame(image)
    labels = [node_dataset(tree, mask)["label"] for mask in masks]
    image, labels, pixel, cut = _bounded(image, labels, pixel)
    views = _views(image, labels, pixel)
    drawn = _draw(views, units)
    objects = [int(node_dataset(tree, mask).sizes.get("instance", 0)) for mask in masks]
    caption = f"{title_of(tree, node)}: {told}{cut}"
    caption += (
        f", in {image.attrs.get('units', 'no unit stated')}, grey from percentile 0.5 to 99.8"
    )
    if masks:
        caption += f"; outlines of {counted(sum(objects), 'object')} ({', '.join(masks)})"
    what = "Microscopy image" + (" with the outlines of its masks" if masks else "")
    return Sketch(drawn, what, caption + ".", (node, *masks))


def instances(tree: xr.DataTree, node: str) -> Sketch:
    """Draw masks on the image that they annotate, or alone where it is not there."""
    data = node_dataset(tree, node)
    image = str(data.attrs.get("image_node", ""))
    if image in nodes_of(tree, "volume"):
        return microscopy(tree, image)
    label = data["label"].isel(layer=0)
    white = xr.DataArray(np.zeros(label.shape), dims=label.dims)
    shown, labels, pixel, cut = _bounded(white, [data["label"]], _spacing(data)[0])
    drawn = _draw(_views(shown, labels, pixel), _spacing(data)[1])
    objects = counted(int(data.sizes.get("instance", 0)), "object")
    caption = f"{title_of(tree, node)}: outlines of {objects}"
    return Sketch(drawn, "Outlines of masks", f"{caption}{cut}.", (node,))


def _annotates(tree: xr.DataTree, mask: str, node: str) -> bool:
    return str(node_dataset(tree, mask).attrs.get("image_node", "")) == node


def _spacing(data: xr.Dataset) -> tuple[dict[str, float], str]:
    if "spacing" not in data:
        return {"z": 1.0, "y": 1.0, "x": 1.0}, "pixel"
    axes = [str(v) for v in data["spacing"].coords["spatial"].values]
    sizes = [float(v) for v in data["spacing"].values]
    return {"z": 1.0, **dict(zip(axes, sizes, strict=True))}, str(data["spacing"].attrs["units"])


def _frame(image: xr.DataArray) -> tuple[xr.DataArray, str]:
    """Take the first frame of a movie; say what kind of picture follows."""
    told = "image"
    if image.sizes.get("z", 1) > 1:
        told = "maximum projection"
    if "time" in image.dims:
        told += f" of the first of {int(image.sizes['time'])} frames"
        image = image.isel(time=0)
    if image.sizes.get("channel", 1) > MAX_PANELS:
        told += f" of {MAX_PANELS} of {int(image.sizes['channel'])} channels"
    return image, told


def _bounded(
    image: xr.DataArray, labels: list[xr.DataArray], pixel: dict[str, float]
) -> tuple[xr.DataArray, list[xr.DataArray], dict[str, float], str]:
    """Keep every k-th pixel of large images and the central slab of deep ones."""
    steps: dict[str, int] = {d: -(-int(image.sizes[d]) // MAX_SIDE) for d in ("y", "x")}
    kept: dict[str, slice[Any, Any, Any]] = {
        d: slice(None, None, k) for d, k in steps.items() if k > 1
    }
    told = f", every {max(steps.values())}th pixel" if kept else ""
    depth = int(image.sizes.get("z", 1))
    most = max(1, SLAB_VALUES // max(1, int(image.sizes["y"]) * int(image.sizes["x"])))
    if depth > most:
        first = (depth - most) // 2
        kept["z"] = slice(first, first + most)
        told += f", planes {first}–{first + most - 1} of {depth}"
    scaled = {d: s * steps.get(d, 1) for d, s in pixel.items()}
    return image.isel(kept), [label.isel(kept) for label in labels], scaled, told


def _views(image: xr.DataArray, labels: list[xr.DataArray], pixel: dict[str, float]) -> list[View]:
    """Return a panel for each channel; a stack of one channel gets two more slices, x–z and y–z."""
    flat = [_view(part, labels, pixel, ("y", "x"), name) for part, name in _channels(image)]
    if image.sizes.get("z", 1) == 1:
        return flat
    flat = [view._replace(name=f"{view.name} maximum over z".strip()) for view in flat]
    if len(flat) > 1:
        return flat
    if "channel" in image.dims:
        image = image.isel(channel=0)
    for across, along in (("y", "x"), ("x", "y")):
        middle = int(image.sizes[across]) // 2
        cut = [label.isel({across: middle}) for label in labels]
        name = f"{along}–z slice, voxel {across} = {middle}"
        flat.append(_view(image.isel({across: middle}), cut, pixel, ("z", along), name))
    return flat


def _channels(image: xr.DataArray) -> list[tuple[xr.DataArray, str]]:
    if "channel" not in image.dims:
        return [(image, "")]
    count = min(int(image.sizes["channel"]), MAX_PANELS)
    named = "channel" in image.coords
    return [
        (image.isel(channel=i), str(image["channel"].values[i]) if named else f"channel {i}")
        for i in range(count)
    ]


def _view(
    image: xr.DataArray,
    labels: list[xr.DataArray],
    pixel: dict[str, float],
    axes: tuple[str, str],
    name: str,
) -> View:
    """Project image and labels by their maximum onto two axes (row, column)."""
    flat = image.max([d for d in image.dims if d not in axes]).transpose(*axes).values
    masks = [
        layer.max([d for d in layer.dims if d not in axes]).transpose(*axes).values
        for label in labels
        for layer in (label.isel(layer=i) for i in range(int(label.sizes["layer"])))
    ]
    return View(np.asarray(flat, "float64"), masks, (pixel[axes[0]], pixel[axes[1]]), name)


def outlines(labels: Array) -> Array:
    """Return the pixel borders between different labels, as segments ``(segment, end, x and y)``.

    Examples
    --------
    >>> outlines(np.array([[0, 3]])).tolist()
    [[[1, 0], [1, 1]]]
    """
    row, column = np.nonzero(labels[:, 1:] != labels[:, :-1])
    upright = np.stack([[column + 1, column + 1], [row, row + 1]])
    row, column = np.nonzero(labels[1:] != labels[:-1])
    level = np.stack([[column, column + 1], [row + 1, row + 1]])
    return np.concatenate([upright, level], axis=2).transpose(2, 1, 0)


def _draw(views: list[View], units: str) -> Any:
    wide = [v.values.shape[1] * v.pixel[1] for v in views]
    high = [v.values.shape[0] * v.pixel[0] for v in views]
    share = max(high) / sum(wide)
    width = min(WIDTH_IN, 5.2 / share)
    drawn = figure(0.4 + width * share, width)
    axes = drawn.subplots(1, len(views), squeeze=False, width_ratios=wide)[0]
    for ax, view, extent in zip(axes, views, zip(wide, high, strict=True), strict=True):
        _draw_view(ax, view, extent)
        length_bar(ax, extent, bar_length(wide), units)
    return drawn


def _draw_view(ax: Axes, view: View, extent: tuple[float, float]) -> None:
    box = (0.0, extent[0], extent[1], 0.0)
    low, high = spread(view.values, 0.5, 99.8)
    ax.imshow(view.values, cmap="gray", vmin=low, vmax=high, extent=box, interpolation="nearest")
    for labels in view.labels:
        lines = outlines(labels) * np.array(view.pixel[::-1])
        ax.add_collection(LineCollection(list(lines), colors=OUTLINE, linewidths=0.9))
    image_axes(ax)
    ax.set_title(shorten(view.name, 40), fontsize=8)
