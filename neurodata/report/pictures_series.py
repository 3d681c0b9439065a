"""Pictures of time series: the EEG page, stacked calcium traces, behaviour as lines."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from neurodata.report.canvas import (
    COLOURS,
    INK,
    MUTED,
    Sketch,
    decades,
    display_units,
    figure,
    node_dataset,
    nodes_of,
    round_value,
    shorten,
    spread,
    title_of,
    variable,
)
from neurodata.report.marks import draw_marks, first_mark_s
from neurodata.report.pictures_rois import colours_of, draw_footprints, footprints

__all__ = ["footprints", "power_spectrum", "series"]

Array = np.ndarray[Any, Any]

# Channel types (BIDS, upper case) that are read as a page of stacked traces.
STACKED = {
    "EEG", "ECOG", "SEEG", "DBS", "LFP", "MEG", "MEGMAG", "MEGGRADAXIAL", "MEGGRADPLANAR",
    "MEGREFMAG", "EOG", "VEOG", "HEOG", "ECG", "EMG", "ROI", "BOLD",
}  # fmt: skip
MAX_CHANNELS = 32
MAX_VALUES = 2**23
COLUMNS = 1400
FEWEST = 16  # samples of a spectrum, at however slow a clock, and bins that are shown
HIGHEST_HZ = 150.0  # that is shown, where the bins allow it
PAGE_S, WHOLE_S, CALCIUM_S, LINES_S = 10.0, 20.0, 300.0, 600.0


class Page(NamedTuple):
    """What was read for one picture: values are (time, channel), float64."""

    time_s: Array
    values: Array
    names: list[str]
    types: list[str]
    units: list[str]
    bad: list[bool]
    told: str


def series(tree: xr.DataTree, node: str) -> Sketch:
    """Draw a time series as its field does: a page of stacked traces, or lines with units."""
    data = node_dataset(tree, node)
    signal = variable(data, "signal", node)
    types = _column(signal, "type", "")
    if "ROI" in types:
        return _calcium(tree, node, data)
    common = str(signal.attrs.get("units", ""))
    if STACKED & set(types) or (not any(types) and common in ("V", "T", "T/m")):
        return _page(tree, node, data)
    return _lines(tree, node, data)


def _column(signal: xr.DataArray, name: str, default: str) -> list[str]:
    if name in signal.coords:
        return [str(v) for v in np.atleast_1d(signal.coords[name].values)]
    return [default] * int(signal.sizes["channel"])


def read_page(data: xr.Dataset, node: str, start_s: float | None, length_s: float) -> Page:
    """Read the first channels over one window, and say how much of the whole that is."""
    signal = variable(data, "signal", node)
    count, channels = int(signal.sizes["time"]), int(signal.sizes["channel"])
    shown = min(channels, MAX_CHANNELS)
    first, after = _positions(data, start_s, length_s, MAX_VALUES // max(shown, 1))
    part = signal.isel(time=slice(first, after), channel=slice(0, shown)).transpose(
        "time", "channel"
    )
    time_s = np.asarray(data["time"].isel(time=slice(first, after)).values, "float64")
    told = [] if shown == channels else [f"the first {shown} of {channels} channels"]
    if after - first < count and time_s.size:
        told.append(f"{time_s[0]:.4g}–{time_s[-1]:.4g} s of the recording")
    units = _column(part, "units", str(signal.attrs.get("units", "")))
    bad = [status == "bad" for status in _column(part, "status", "")]
    return Page(
        time_s, np.asarray(part.values, "float64"), _column(part, "channel", ""),
        _column(part, "type", ""), units, bad, ", ".join(told) or "the whole recording",
    )  # fmt: skip


def _positions(
    data: xr.Dataset, start_s: float | None, length_s: float, most: int
) -> tuple[int, int]:
    """Return the first sample of the window and the one after its last."""
    count = int(data.sizes["time"])
    if "rate_hz" in data.attrs:
        rate_hz, zero_s = float(data.attrs["rate_hz"]), float(data.attrs.get("start_s", 0.0))
        first = 0 if start_s is None else int((start_s - zero_s) * rate_hz)
        after = first + int(np.ceil(length_s * rate_hz))
    else:
        time_s = np.asarray(data["time"].values, "float64")
        begin = float(time_s[0]) if start_s is None else start_s
        first = int(np.searchsorted(time_s, begin))
        after = int(np.searchsorted(time_s, begin + length_s, "right"))
    first = min(max(first, 0), max(count - 1, 0))
    return first, min(max(after, first + 1), first + most, count)


def span_s(data: xr.Dataset) -> float:
    """Return the seconds from the first sample to the last one's end."""
    count = int(data.sizes["time"])
    if "rate_hz" in data.attrs:
        return count / float(data.attrs["rate_hz"])
    ends = np.asarray(data["time"].isel(time=[0, -1]).values, "float64") if count else [0.0, 0.0]
    return float(ends[1] - ends[0])


# --- stacked traces ---------------------------------------------------------------------------


def _page(tree: xr.DataTree, node: str, data: xr.Dataset) -> Sketch:
    whole = span_s(data) <= WHOLE_S
    start_s = None if whole else first_mark_s(tree, before_s=1.0)
    page = read_page(data, node, start_s, WHOLE_S if whole else PAGE_S)
    drawn = figure(max(2.4, 1.5 + 0.3 * len(page.names)))
    ax, spectrum = drawn.subplots(1, 2, width_ratios=[4, 1])
    kinds = [f"{kind} {unit}" for kind, unit in zip(page.types, page.units, strict=True)]
    order = list(dict.fromkeys(kinds))
    colours = [
        "#b0b6be" if bad else COLOURS[order.index(kind) % len(COLOURS)]
        for kind, bad in zip(kinds, page.bad, strict=True)
    ]
    _stack(ax, page, kinds, colours, (1, 99), 1.4)
    marks = draw_marks(ax, tree, float(page.time_s[0]), float(page.time_s[-1]))
    _spectrum(spectrum, page, colours, kinds)
    caption = (
        f"{title_of(tree, node)}: {page.told}, {_with_units(page)}, each channel less its median "
        f"over the window{marks.told}{_bad(page)}. Right: power spectral density of the same "
        "samples (Welch, Hann, half-overlapping segments of at most 2 s)."
    )
    what = f"Stacked traces of {len(page.names)} channels over time, and their power spectrum"
    return Sketch(drawn, what, caption, (node, *marks.nodes))


def _calcium(tree: xr.DataTree, node: str, data: xr.Dataset) -> Sketch:
    page = read_page(data, node, None, CALCIUM_S)
    maps = [name for name in nodes_of(tree, "rois") if _same_units(tree, name, data)]
    drawn = figure(max(3.4, 1.0 + 0.32 * len(page.names)))
    colours = colours_of(page.names, page.names)
    if maps:
        ax, ground = drawn.subplots(1, 2, width_ratios=[2.1, 1])
        draw_footprints(ground, tree, maps[0], page.names)
    else:
        ax = drawn.subplots()
    _stack(ax, page, ["ROI"] * len(page.names), colours, (0.5, 99.9), 1.15)
    marks = draw_marks(ax, tree, float(page.time_s[0]), float(page.time_s[-1]))
    caption = (
        f"{title_of(tree, node)}: fluorescence traces, {page.told}, {_with_units(page)}, each "
        f"trace less its median over the window{marks.told}."
    )
    if maps:
        caption += (
            f" Right: footprints ({maps[0]}), opacity is the pixel weight, colour as the trace."
        )
    what = f"Stacked fluorescence traces of {len(page.names)} ROIs and the map of their footprints"
    return Sketch(drawn, what, caption, (node, *maps[:1], *marks.nodes))


def _same_units(tree: xr.DataTree, rois: str, data: xr.Dataset) -> bool:
    named = {str(v) for v in node_dataset(tree, rois)["unit_id"].values}
    return bool(named & {str(v) for v in data["channel"].values})


def _with_units(page: Page) -> str:
    return "units " + " and ".join(sorted({unit or "not stated" for unit in page.units}))


def _bad(page: Page) -> str:
    return "; channels marked bad are grey and cut to their row" if any(page.bad) else ""


def _stack(
    ax: Axes,
    page: Page,
    kinds: list[str],
    colours: list[str],
    percent: tuple[float, float],
    rows: float,
) -> None:
    """Draw each channel on its row; channels of one kind share a gain and a scale bar."""
    values = page.values - _median(page.values)
    heights = np.array([np.subtract(*spread(v, *percent)[::-1]) for v in values.T])
    for kind in dict.fromkeys(kinds):
        members = [i for i, other in enumerate(kinds) if other == kind]
        good = [i for i in members if not page.bad[i]] or members
        height = float(np.median(heights[good])) * rows or 1.0
        for i in members:
            time_s, trace = envelope(page.time_s, values[:, i] / height)
            trace = np.clip(trace, -1, 1) if page.bad[i] else trace
            ax.plot(time_s, -i + trace, color=colours[i], linewidth=0.7)
        middle = -float(np.mean(members))
        shared = {colours[i] for i in good}
        _gain_bar(
            ax, middle, height, page.units[members[0]], min(shared) if len(shared) == 1 else INK
        )
    ax.set_yticks([-i for i in range(len(kinds))], [shorten(name) for name in page.names])
    for label, bad in zip(ax.get_yticklabels(), page.bad, strict=True):
        label.set_color(MUTED if bad else INK)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_ylim(-len(kinds) + 0.2, 1.0)
    _time_limits(ax, page.time_s)
    ax.set_xlabel("Time (s)")


def _time_limits(ax: Axes, time_s: Array) -> None:
    first, last = float(time_s[0]), float(time_s[-1])
    ax.set_xlim((first, last) if last > first else (first - 0.5, first + 0.5))


def _median(values: Array) -> Array:
    known = np.where(np.isfinite(values), values, np.nan)
    known[:, np.isnan(known).all(axis=0)] = 0.0
    return np.asarray(np.nanmedian(known, axis=0))


def _gain_bar(ax: Axes, middle: float, height: float, units: str, colour: str) -> None:
    factor, name = display_units(units, height)
    value = round_value(height * factor)
    half = value / factor / height / 2
    across = ax.get_yaxis_transform()
    ax.plot([1.015, 1.015], [middle - half, middle + half], color=colour, linewidth=2.2,
            solid_capstyle="butt", transform=across, clip_on=False)  # fmt: skip
    ax.text(1.025, middle, f"{value:g} {name}", va="center", transform=across, color=INK)


def envelope(time_s: Array, values: Array, columns: int = COLUMNS) -> tuple[Array, Array]:
    """Return the least and greatest value of each column, so that no peak is lost.

    Examples
    --------
    >>> envelope(np.arange(8.0), np.array([0, 9, 0, 0, 0, 0, -9, 0.0]), columns=2)[1].tolist()
    [0.0, 9.0, -9.0, 0.0]
    """
    if time_s.size <= 2 * columns:
        return time_s, values
    starts = np.linspace(0, time_s.size, columns, endpoint=False).astype(int)
    pairs = np.stack([np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)], axis=1)
    ends = np.append(starts[1:], time_s.size) - 1
    return np.stack([time_s[starts], time_s[ends]], axis=1).ravel(), pairs.ravel()


# --- power spectrum ---------------------------------------------------------------------------


def power_spectrum(values: Array, rate_hz: float, length_s: float = 2.0) -> tuple[Array, Array]:
    """Return frequencies (Hz) and the one-sided power spectral density (units²/Hz).

    Mean periodogram of Hann-windowed, half-overlapping segments (Welch 1967,
    doi:10.1109/TAU.1967.1161901), each less its mean.

    Parameters
    ----------
    values : ndarray (time, channel)

    Examples
    --------
    >>> wave = np.sin(2 * np.pi * 10 * np.arange(400) / 100)[:, None]
    >>> frequency, power = power_spectrum(wave, 100.0)
    >>> float(frequency[power[:, 0].argmax()])
    10.0
    """
    size = min(max(int(length_s * rate_hz), FEWEST), values.shape[0])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    starts = range(0, values.shape[0] - size + 1, max(size // 2, 1))
    total = np.zeros((size // 2 + 1, values.shape[1]))
    for start in starts:
        part = values[start : start + size]
        total += np.abs(np.fft.rfft((part - part.mean(0)) * window[:, None], axis=0)) ** 2
    density = total / len(starts) / (rate_hz * float((window**2).sum()))
    density[1 : (size + 1) // 2] *= 2
    return np.fft.rfftfreq(size, 1 / rate_hz), density


def _spectrum(ax: Axes, page: Page, colours: list[str], kinds: list[str]) -> None:
    """Draw the spectra of the most numerous kind of channel."""
    kind = max(dict.fromkeys(kinds), key=kinds.count)
    whole = np.asarray(np.isfinite(page.values).all(axis=0) & (np.ptp(page.values, axis=0) > 0))
    members = [i for i, k in enumerate(kinds) if k == kind and whole[i] and not page.bad[i]]
    steps = np.diff(page.time_s)
    if not members or steps.size < 16 or np.ptp(steps) > 0.01 * steps.mean():
        ax.set_axis_off()
        ax.text(
            0.5, 0.5, "no spectrum:\nflat, gaps or an\nirregular clock", ha="center", color=MUTED
        )
        return
    factor, name = display_units(page.units[members[0]], float(np.median(np.abs(page.values))))
    rate_hz = steps.size / float(page.time_s[-1] - page.time_s[0])
    frequency, power = power_spectrum(page.values[:, members] * factor, rate_hz)
    top_hz = max(HIGHEST_HZ, float(frequency[min(FEWEST, frequency.size - 1)]))
    shown = slice(1, int(np.searchsorted(frequency, min(top_hz, rate_hz / 2), "right")))
    for column, i in enumerate(members):
        line = power[shown, column]
        ax.semilogy(frequency[shown], line, color=colours[i], linewidth=0.6, alpha=0.6)
    ax.set_xlim(0, float(frequency[shown][-1]))
    ax.set_xlabel("Frequency (Hz)")
    ax.set_title(f"Power ({name}²/Hz)")
    ax.yaxis.set_major_formatter(decades())
    ax.grid(True, which="major", color="#eceff2", linewidth=0.6)


# --- lines ------------------------------------------------------------------------------------


def _lines(tree: xr.DataTree, node: str, data: xr.Dataset) -> Sketch:
    """Draw behaviour and other channels, each on its own axes with its own unit."""
    page = read_page(data, node, None, LINES_S)
    most = 8
    told = page.told if len(page.names) <= most else f"{page.told}; the first {most} drawn"
    names = page.names[:most]
    drawn = figure(0.7 + 0.85 * len(names))
    axes = drawn.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for i, (ax, name) in enumerate(zip(axes, names, strict=True)):
        factor, unit = display_units(page.units[i], max(map(abs, spread(page.values[:, i]))))
        time_s, trace = envelope(page.time_s, page.values[:, i] * factor)
        ax.plot(time_s, trace, color=COLOURS[i % len(COLOURS)], linewidth=0.9)
        ax.set_title(f"{shorten(name, 40)} ({unit})", fontsize=8.5)
    axes[-1].set_xlabel("Time (s)")
    _time_limits(axes[-1], page.time_s)
    caption = f"{title_of(tree, node)}: {told}, {_with_units(page)}."
    return Sketch(drawn, f"Lines over time: {', '.join(map(shorten, names))}", caption, (node,))
