"""Pictures of spike trains and of intervals."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from neurodata.report.canvas import (
    COLOURS,
    FAINT,
    INK,
    Sketch,
    counted,
    figure,
    node_dataset,
    shorten,
    title_of,
)
from neurodata.report.marks import draw_marks, label_colours, marks_of

MAX_UNITS = 60
ZOOM_S = 20.0
BINS = 200
Array = np.ndarray[Any, Any]


def spikes(tree: xr.DataTree, node: str) -> Sketch:
    """Draw rates over the whole recording, a raster of some seconds and mean firing rates."""
    data = node_dataset(tree, node)
    names = [str(v) for v in data["unit_id"].values]
    trains = read_trains(data, min(len(names), MAX_UNITS))
    begin_s, end_s = _observed_s(data, trains)
    raster_in = 0.7 + 0.14 * max(len(trains), 6)
    drawn = figure(1.7 + raster_in)
    grid = drawn.add_gridspec(2, 2, width_ratios=[5, 1], height_ratios=[1.7, raster_in])
    whole, raster, bars = (
        drawn.add_subplot(grid[0, :]), drawn.add_subplot(grid[1, 0]), drawn.add_subplot(grid[1, 1]),
    )  # fmt: skip
    _rates_over_time(whole, trains, begin_s, end_s)
    marks = draw_marks(whole, tree, begin_s, end_s)
    zoom = _busiest_s(trains, begin_s, end_s)
    _raster(raster, trains, names, zoom)
    if zoom != (begin_s, end_s):
        draw_marks(raster, tree, *zoom)
    _mean_rates(bars, raster, trains, end_s - begin_s)
    caption = (
        f"{title_of(tree, node)}: {counted(len(names), 'unit')}{_some(trains, names)}. "
        f"Top: rate in {(end_s - begin_s) / BINS:.3g} s bins over the observed span{marks.told}. "
        f"Below: raster of the {zoom[1] - zoom[0]:.3g} s with most spikes, and mean firing rates "
        "over the span."
    )
    what = f"Spike raster and firing rates of {counted(len(trains), 'unit')}"
    return Sketch(drawn, what, caption, (node, *marks.nodes))


def _some(trains: list[Array], names: list[str]) -> str:
    return "" if len(trains) == len(names) else f", the first {len(trains)} drawn"


def read_trains(data: xr.Dataset, units: int) -> list[Array]:
    """Read the spike times (s) of the first units, one array each."""
    splits = np.asarray(data["row_splits"].values, "int64")
    time_s = np.asarray(data["time_s"].isel(spike=slice(0, int(splits[units]))).values)
    return [time_s[a:b] for a, b in pairwise(splits[: units + 1])]


def _observed_s(data: xr.Dataset, trains: list[Array]) -> tuple[float, float]:
    known = [t for t in trains if t.size]
    first = min((float(t[0]) for t in known), default=0.0)
    last = max((float(t[-1]) for t in known), default=first + 1.0)
    begin_s, end_s = float(data.attrs.get("start_s", first)), float(data.attrs.get("stop_s", last))
    return begin_s, end_s if end_s > begin_s else begin_s + 1.0


def _busiest_s(trains: list[Array], begin_s: float, end_s: float) -> tuple[float, float]:
    if end_s - begin_s <= ZOOM_S:
        return begin_s, end_s
    count, edges = np.histogram(
        np.concatenate(trains), bins=np.arange(begin_s, end_s - ZOOM_S / 2, ZOOM_S)
    )
    start = float(edges[count.argmax()]) if count.size else begin_s
    return start, min(start + ZOOM_S, end_s)


def _rates_over_time(ax: Axes, trains: list[Array], begin_s: float, end_s: float) -> None:
    edges = np.linspace(begin_s, end_s, BINS + 1)
    rates = [np.histogram(t, edges)[0] / (edges[1] - edges[0]) for t in trains]
    if len(trains) <= len(COLOURS):
        for i, rate in enumerate(rates):
            ax.stairs(rate, edges, color=COLOURS[i], linewidth=0.9)
        ax.set_ylabel("Rate (spikes/s)")
    else:
        ax.stairs(np.mean(rates, axis=0), edges, color=INK, linewidth=0.9)
        ax.set_ylabel("Mean rate (spikes/s/unit)")
    ax.set_xlim(begin_s, end_s)
    ax.set_ylim(0, None)
    ax.set_xlabel("Time (s)")


def _raster(ax: Axes, trains: list[Array], names: list[str], window_s: tuple[float, float]) -> None:
    few = len(trains) <= len(COLOURS)
    for i, train in enumerate(trains):
        seen = train[np.searchsorted(train, window_s[0]) : np.searchsorted(train, window_s[1])]
        colour = COLOURS[i] if few else INK
        ax.vlines(seen, i - 0.4, i + 0.4, color=colour, linewidth=0.6)
    ax.set_xlim(*window_s)
    ax.set_ylim(len(trains) - 0.5, -0.5)
    step = max(1, len(trains) // 20)
    ax.set_yticks(
        range(0, len(trains), step), [shorten(n, 10) for n in names[: len(trains) : step]]
    )
    ax.set_ylabel("Unit")
    ax.set_xlabel("Time (s)")


def _mean_rates(ax: Axes, beside: Axes, trains: list[Array], length_s: float) -> None:
    few = len(trains) <= len(COLOURS)
    rates = [t.size / length_s for t in trains]
    ax.barh(
        range(len(trains)), rates, height=0.7, color=COLOURS[: len(trains)] if few else COLOURS[0]
    )
    ax.set_ylim(beside.get_ylim())
    ax.set_yticks([])
    ax.set_xlabel("Mean rate (spikes/s)")


def intervals(tree: xr.DataTree, node: str) -> Sketch:
    """Draw the intervals of one node on a time line, one row for each label."""
    only = xr.DataTree(children={node: xr.DataTree(node_dataset(tree, node))})
    found = marks_of(only)
    colours = label_colours(label for _, _, label in found)
    shown = list(colours)[:20]
    drawn = figure(1.0 + 0.28 * max(len(shown), 1))
    ax = drawn.subplots()
    for row, label in enumerate(shown):
        mine = [(begin, length) for begin, length, name in found if name == label]
        bars = [(begin, length) for begin, length in mine if length > 0]
        ax.broken_barh(bars, (row - 0.32, 0.64), color=colours[label], alpha=0.75, linewidth=0)
        points = [begin for begin, length in mine if not length > 0]
        ax.plot(points, [row] * len(points), "|", color=colours[label], markersize=9)
    ax.set_yticks(range(len(shown)), [shorten(label, 28) for label in shown])
    ax.set_ylim(max(len(shown), 1) - 0.5, -0.5)
    ax.set_xlabel("Time (s)")
    ax.grid(True, axis="x", color=FAINT, linewidth=0.5)
    caption = (
        f"{title_of(tree, node)}: {counted(len(found), 'interval')}; a tick "
        f"has no stated duration or none at all. Labels: {', '.join(map(shorten, shown))}."
    )
    return Sketch(drawn, f"Time line of {counted(len(found), 'interval')}", caption, (node,))
