"""Intervals drawn on top of a time axis: lines, shades and labels that do not collide."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from neurodata.report.canvas import INK, counted, node_dataset, nodes_of, shorten

LABEL_ROWS = 3
CHARACTER = 0.0105  # width of a label's character as a share of the axes
MAX_MARKS = 2000
# Unlike the first colours of traces, so that a mark is not taken for a signal.
MARK_COLOURS = ("#7F3C8D", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#80561B")


class Marks(NamedTuple):
    """The nodes of which every interval was marked, and the words for the caption."""

    nodes: tuple[str, ...]
    told: str


def marks_of(tree: xr.DataTree) -> list[tuple[float, float, str]]:
    """Return start (s), duration (s, NaN where the source states none) and label, by start."""
    found: list[tuple[float, float, str]] = []
    for name in nodes_of(tree, "intervals"):
        data = node_dataset(tree, name).isel(interval=slice(0, 100_000))
        found += [
            (float(start), float(length), str(label))
            for start, length, label in zip(
                data["start_s"].values, data["duration_s"].values, data["label"].values,
                strict=True,
            )
        ]  # fmt: skip
    return sorted((mark for mark in found if np.isfinite(mark[0])), key=lambda mark: mark[0])


def first_mark_s(tree: xr.DataTree, before_s: float) -> float | None:
    """Return a moment shortly before the first interval, or None without intervals."""
    found = marks_of(tree)
    return found[0][0] - before_s if found else None


def draw_marks(ax: Axes, tree: xr.DataTree, start_s: float, stop_s: float) -> Marks:
    """Draw intervals that touch the window: a line at the start, a shade, the label above."""
    found = marks_of(tree)
    inside = [m for m in found if m[0] <= stop_s and m[0] + np.nan_to_num(m[1]) >= start_s]
    if not inside or stop_s <= start_s:
        return Marks((), "")
    colours = label_colours(label for _, _, label in inside)
    free = [0.0] * LABEL_ROWS
    labelled = 0
    for begin, length, label in inside[:MAX_MARKS]:
        colour = colours[label]
        if start_s <= begin:
            ax.axvline(begin, color=colour, linewidth=0.8, alpha=0.9)
        if length > 0:
            ax.axvspan(max(begin, start_s), min(begin + length, stop_s), color=colour,
                       alpha=0.10, linewidth=0)  # fmt: skip
        share = (max(begin, start_s) - start_s) / (stop_s - start_s)
        labelled += _label(ax, free, share, shorten(label, 22), colour)
    told = f"; {counted(len(inside), 'interval')} marked"
    if labelled < len(inside):
        told += f", {labelled} of them labelled"
    shown = len(inside) == len(found)
    return Marks(tuple(nodes_of(tree, "intervals")) if shown else (), told)


def _label(ax: Axes, free: list[float], share: float, text: str, colour: str) -> int:
    """Write a label in the first row with room; return whether there was any."""
    width = CHARACTER * (len(text) + 2)
    share = min(share, max(0.0, 1.0 - width))
    for row, taken in enumerate(free):
        if taken <= share:
            free[row] = share + width
            ax.annotate(
                text, (share, 1.0), (1, 3 + 11 * row), xycoords="axes fraction",
                textcoords="offset points", fontsize=7, color=INK, va="bottom",
                bbox={"facecolor": colour, "alpha": 0.2, "edgecolor": "none", "pad": 1},
            )  # fmt: skip
            return 1
    return 0


def label_colours(labels: Any) -> dict[str, str]:
    """Return one colour for each distinct label, in order of appearance."""
    found = enumerate(dict.fromkeys(labels))
    return {label: MARK_COLOURS[i % len(MARK_COLOURS)] for i, label in found}
