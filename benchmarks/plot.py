"""The plot: every workload's candidates as bars on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.arithmetic import Line
from benchmarks.workloads import WORKLOADS

OWN, PEER, FLOOR = "#c1440e", "#5b7c99", "#c9c9c9"
COLUMNS = 2


def draw(found: Sequence[Line], file: Path) -> None:
    """Draw medians as bars with their spread; the project's in red, bare copies in grey."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(line.workload for line in found if line.rate))
    if not names:
        return
    rows = -(-len(names) // COLUMNS)
    most = max(sum(line.workload == name for line in found) for name in names)
    figure, axes = plt.subplots(
        rows, COLUMNS, figsize=(13, rows * (0.8 + 0.24 * most)), layout="constrained", squeeze=False
    )
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names, strict=False):
        _bars(axis, [line for line in found if line.workload == name and line.rate])
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _bars(axis: Any, found: Sequence[Line]) -> None:
    from matplotlib import ticker

    ordered = sorted(found, key=lambda line: line.rate)
    labels = [f"{line.candidate.name}{' (2 workers)' if line.workers else ''}" for line in ordered]
    colours = [
        OWN if line.candidate.ours else FLOOR if line.candidate.floor else PEER for line in ordered
    ]
    rates = [line.rate for line in ordered]
    below = [line.rate - line.lowest for line in ordered]
    above = [line.highest - line.rate for line in ordered]
    axis.barh(labels, rates, color=colours, xerr=[below, above], ecolor="#333333", capsize=2)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    axis.xaxis.set_minor_formatter(ticker.NullFormatter())
    workload = WORKLOADS[ordered[0].workload]
    axis.set_title(workload.title, fontsize=10)
    axis.set_xlabel(workload.unit, fontsize=8)
    axis.tick_params(labelsize=8)
