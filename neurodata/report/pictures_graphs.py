"""Pictures of graphs (the adjacency matrix by class) and of tables."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize, SymLogNorm

from neurodata.report.canvas import (
    COLOURS,
    INK,
    Sketch,
    counted,
    decades,
    figure,
    node_dataset,
    shorten,
    title_of,
)

Array = np.ndarray[Any, Any]
MAX_CELLS = 1000
SLAB_EDGES = 2**22
MAX_CLASSES = 40
MAX_COLUMNS = 8
CLASS_COLUMNS = ("cell_class", "class", "type", "cell_type", "region", "block", "hemisphere")


class Classes(NamedTuple):
    """The order of nodes by class: rank of each node, class names and their sizes in order."""

    column: str
    rank: Array
    names: list[str]
    counts: list[int]


def classes_of(data: xr.Dataset) -> Classes:
    """Order the nodes by their first usable class column, largest class first."""
    count = int(data.sizes["node"])
    for column in [*CLASS_COLUMNS, *map(str, data.variables)]:
        if column not in data.variables or data[column].dims != ("node",) or column == "node_id":
            continue
        if data[column].dtype.kind not in "OUST":
            continue
        values = np.array([str(v) for v in data[column].values])
        names, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        if 2 <= names.size <= MAX_CLASSES:
            order = np.argsort(-counts, kind="stable")
            place = np.argsort(order)
            rank = np.empty(count, int)
            rank[np.argsort(place[inverse], kind="stable")] = np.arange(count)
            return Classes(column, rank, [str(n) for n in names[order]], counts[order].tolist())
    return Classes("", np.arange(count), [], [])


def adjacency(data: xr.Dataset, rank: Array) -> tuple[Array, int]:
    """Sum weights into a (source, target) matrix of at most 1000 x 1000 cells, in slabs of edges.

    Returns
    -------
    ndarray (row, column) and the number of nodes in each row.
    """
    count = rank.size
    step = max(1, -(-count // MAX_CELLS))
    side = -(-count // step)
    total = np.zeros(side * side)
    edges = int(data.sizes["edge"])
    for first in range(0, edges, SLAB_EDGES):
        part = data.drop_dims(["node", "split"]).isel(edge=slice(first, first + SLAB_EDGES))
        row, column = rank[part["source"].values] // step, rank[part["target"].values] // step
        weight = np.asarray(part["weight"].values, "float64") if "weight" in part else None
        total += np.bincount(row * side + column, weights=weight, minlength=side * side)
    return total.reshape(side, side), step


def graph(tree: xr.DataTree, node: str) -> Sketch:
    """Draw the adjacency matrix sorted by class, weights on a logarithmic colour scale."""
    data = node_dataset(tree, node)
    classes = classes_of(data)
    matrix, step = adjacency(data, classes.rank)
    if not int(data.attrs.get("directed", 1)):
        matrix = _both_halves(matrix)
    drawn = figure(6.2, 7.4)
    ax = drawn.subplots()
    shown = ax.imshow(
        np.ma.masked_equal(matrix, 0), cmap=_colour_map(matrix), norm=_norm(matrix),
        interpolation="nearest", extent=(0, classes.rank.size, classes.rank.size, 0),
    )  # fmt: skip
    units = str(data.attrs.get("weight_units", "number of edges"))
    bar = drawn.colorbar(shown, ax=ax, shrink=0.75, pad=0.02, format=decades())
    bar.set_label(f"Weight ({shorten(units, 40)}), log scale")
    _boundaries(ax, classes)
    directed = bool(int(data.attrs.get("directed", 1)))
    ax.set_ylabel("Source node" if directed else "Node")
    ax.set_xlabel("Target node" if directed else "Node")
    kind = "directed" if directed else "undirected"
    caption = (
        f"{title_of(tree, node)}: adjacency matrix, {counted(classes.rank.size, 'node')}, "
        f"{counted(int(data.sizes['edge']), f'{kind} edge')}, weight in "
        f"{units}; white is no edge"
    )
    caption += f"; sorted by {classes.column}" if classes.column else "; in stored order"
    caption += "; edges of all kinds summed" if "kind" in data else ""
    caption += f"; each cell sums {step} × {step} nodes" if step > 1 else ""
    return Sketch(drawn, "Adjacency matrix of a graph", caption + ".", (node,))


def _both_halves(matrix: Array) -> Array:
    """Mirror edges that are stored once; those stored both ways stay."""
    return np.asarray(np.where(matrix != 0, matrix, matrix.T))


def _colour_map(matrix: Array) -> str:
    return "RdBu_r" if (matrix < 0).any() else "viridis_r"


def _norm(matrix: Array) -> Normalize:
    sizes = np.abs(matrix[np.isfinite(matrix) & (matrix != 0)])
    if not sizes.size:
        return Normalize(0, 1)
    low, high = float(sizes.min()), float(sizes.max())
    if (matrix < 0).any():
        return SymLogNorm(linthresh=low, vmin=-high, vmax=high)
    return LogNorm(vmin=low, vmax=high if high > low else low * 10)


def _boundaries(ax: Axes, classes: Classes) -> None:
    """Draw lines between classes; label those that are high enough to be read."""
    if not classes.names:
        return
    edges = np.cumsum([0, *classes.counts])
    for edge in edges[1:-1]:
        ax.axhline(edge, color=INK, linewidth=0.5)
        ax.axvline(edge, color=INK, linewidth=0.5)
    least = 0.03 * classes.rank.size
    legible = [i for i, count in enumerate(classes.counts) if count >= least]
    middle = [(edges[i] + edges[i + 1]) / 2 for i in legible]
    names = [f"{shorten(classes.names[i], 22)} ({classes.counts[i]})" for i in legible]
    ax.set_yticks(middle, names, fontsize=7.5)
    short = [shorten(classes.names[i], 20) for i in legible]
    ax.set_xticks(middle, short, fontsize=7.5, rotation=90)
    ax.tick_params(length=0)


def table(tree: xr.DataTree, node: str) -> Sketch:
    """Draw the columns of a table: a histogram of numbers, bars of the commonest words."""
    data = node_dataset(tree, node)
    columns = [str(n) for n, v in data.data_vars.items() if v.dims == ("row",)][:MAX_COLUMNS]
    across = min(4, max(1, len(columns)))
    down = max(1, -(-len(columns) // across))
    drawn = figure(0.3 + 1.7 * down)
    axes = drawn.subplots(down, across, squeeze=False).ravel()
    for ax, column in zip(axes, columns, strict=False):
        _column(ax, data[column].isel(row=slice(0, 100_000)), column)
    for ax in axes[len(columns) :]:
        ax.set_axis_off()
    shape = f"{counted(len(columns), 'column')} of {counted(int(data.sizes['row']), 'row')}"
    caption = f"{title_of(tree, node)}: {shape}."
    return Sketch(drawn, f"Columns {', '.join(map(shorten, columns))}", caption, (node,))


def _column(ax: Axes, values: xr.DataArray, name: str) -> None:
    units = str(values.attrs.get("units", ""))
    ax.set_title(shorten(f"{name} ({units})" if units else name, 26))
    if values.dtype.kind in "iuf":
        known = np.asarray(values.values, "float64")
        ax.hist(known[np.isfinite(known)], bins=20, color=COLOURS[0])
        ax.set_ylabel("rows")
        return
    words, counts = np.unique([str(v) for v in values.values], return_counts=True)
    most = np.argsort(-counts, kind="stable")[:8]
    ax.barh([shorten(words[i], 14) for i in most], counts[most], color=COLOURS[0])
    ax.invert_yaxis()
    ax.set_xlabel("rows")
