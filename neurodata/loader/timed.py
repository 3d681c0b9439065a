"""The feed of windows, trials and spike counts: everything that is cut from a time axis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import floor
from typing import Any

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.feed import Feed, Request, refuse_scale, scaling_of, statistics_of
from neurodata.loader.fetch import columns_of, fetch_spikes, fetch_windows, in_columns
from neurodata.loader.grid import Grid
from neurodata.loader.plan import Array, Span, plan_trials, plan_windows, samples_in
from neurodata.loader.recordings import Recordings, Series, choose_node, series_of
from neurodata.loader.samples import SpikeBins, Trials, Windows
from neurodata.loader.spans import require_one_rate, spans_of
from neurodata.loader.statistics import By, series_parts
from neurodata.loader.target import NextWindow, column, resolve
from neurodata.splits import Assignment


def window_feed(request: Request, sample: Windows | Trials, recordings: Recordings) -> Feed:
    """Return the feed of windows or trials of a timeseries."""
    node = choose_node(recordings, "timeseries", sample.node)
    series = [series_of(recordings, number, node) for number in range(len(recordings.ids))]
    require_one_rate(recordings, series, request.resample_hz)
    spans = spans_of(recordings, node, series, request.assignments, request.resample_hz)
    statistics = statistics_of(request, partial(_parts, node), node)
    scaling = scaling_of(statistics, recordings, series)
    names = [item.channels for item in series]
    columns = columns_of(names)
    fetch = partial(fetch_windows, recordings, node, series, columns, spans, scaling)
    feed = _feed(request, sample, recordings, spans, fetch, series)
    units = in_columns(columns, [item.units for item in series])
    channels = in_columns(columns, names)
    return replace(feed, statistics=statistics, channels=channels, channel_units=units)


def _parts(node: str, recordings: Recordings, assignments: Sequence[Assignment], by: By) -> Any:
    series = [series_of(recordings, number, node) for number in range(len(recordings.ids))]
    return series_parts(recordings, node, series, assignments, by)


def spike_feed(request: Request, sample: SpikeBins, recordings: Recordings) -> Feed:
    """Return the feed of windows of spike counts."""
    if request.resample_hz is not None:
        raise InvalidInputError("resample_hz", "a rate for spikes", "None", "choose bin_s instead")
    refuse_scale(request)
    node = choose_node(recordings, "spikes", sample.node)
    spans = [_spike_span(recordings, node, sample, item) for item in request.assignments]
    names = [
        [str(name) for name in recordings.read(number, node, "unit_id")]
        for number in range(len(recordings.ids))
    ]
    units = [len(own) for own in names]
    fetch = partial(fetch_spikes, recordings, node, units, spans)
    feed = _feed(request, sample, recordings, spans, fetch, None)
    columns = [slice(0, width) for width in units]
    counts = in_columns(columns, [["count"] * width for width in units])
    return replace(feed, channels=in_columns(columns, names), channel_units=counts)


def _spike_span(recordings: Recordings, node: str, sample: SpikeBins, item: Assignment) -> Span:
    """Return the observed span of a recording's spikes, cut by an assignment.

    Where the source states no span, what is sure to have been observed is from the first
    spike to the last.
    """
    number = recordings.ids.index(item["id"])
    attrs = recordings.node(number, node).attrs
    times = recordings.read(number, node, "time_s")
    first, last = (float(times.min()), float(times.max())) if len(times) else (0.0, 0.0)
    start_s = max(float(attrs.get("start_s", first)), item.get("start_s", -np.inf))
    stop_s = min(float(attrs.get("stop_s", last)), item.get("stop_s", np.inf))
    count = max(0, floor((stop_s - start_s) / sample.bin_s + 1e-6))
    return Span(number, start_s, 1 / sample.bin_s, count)


def _feed(
    request: Request,
    sample: Windows | Trials | SpikeBins,
    recordings: Recordings,
    spans: Sequence[Span],
    fetch: Callable[..., dict[str, Any]],
    series: Sequence[Series] | None,
) -> Feed:
    """Plan the windows, leave out those without target, and bind the functions."""
    rate_hz = float(request.resample_hz or spans[0].out_hz)
    count = samples_in(sample.length_s, rate_hz, "length")
    target = resolve(request.target, recordings)
    beyond = 0
    if isinstance(target, NextWindow):
        beyond = samples_in(target.horizon_s, rate_hz, "horizon_s")
    intervals, onsets = None, None
    if isinstance(sample, Trials):
        intervals = choose_node(recordings, "intervals", sample.intervals, "Trials.intervals")
        onsets, left_out = _onsets(recordings, intervals, sample, request.assignments)
        picks, crossing = plan_trials(spans, onsets, sample.tmin_s, count, beyond)
        left_out += crossing
    else:
        stride = samples_in(sample.stride_s or sample.length_s, rate_hz, "stride_s")
        picks, left_out = plan_windows(spans, count, stride, beyond)
    bound = partial(fetch, count, request.layout)
    if target is None:
        return Feed(picks, bound, None, left_out, rate_hz=rate_hz)
    grid = Grid(request, recordings, picks, count, rate_hz, series, intervals)
    following = partial(fetch, beyond, request.layout)
    function, keep, without = grid.target(target, following)
    at = np.flatnonzero(keep)
    kept = partial(_kept, function, at)
    return Feed(picks[at], bound, kept, left_out + without, rate_hz=rate_hz)


def _kept(function: Callable[[Array], dict[str, Any]], kept: Array, at: Array) -> dict[str, Any]:
    """Call a target function over the whole grid with indices into what was kept of it."""
    return function(kept[at])


def _onsets(
    recordings: Recordings, node: str, sample: Trials, assignments: Sequence[Assignment]
) -> tuple[list[tuple[Array, Array]], Counter[str]]:
    """Return for each assignment the onsets that lie in it and their rows.

    Raises
    ------
    InvalidInputError
        When no interval has the label.
    """
    onsets, left_out = [], Counter[str]()
    seen: set[str] = set()
    for item in assignments:
        number = recordings.ids.index(item["id"])
        labels = column(recordings, number, node, "label")
        start_s = np.asarray(recordings.read(number, node, "start_s"), "f8")
        seen.update(map(str, labels))
        wanted = np.ones(len(labels), bool) if sample.label is None else labels == sample.label
        left_out["interval without onset"] += int((wanted & ~np.isfinite(start_s)).sum())
        inside = (start_s >= item.get("start_s", -np.inf)) & (start_s < item.get("stop_s", np.inf))
        rows = np.flatnonzero(wanted & inside & np.isfinite(start_s))
        onsets.append((start_s[rows], rows))
    if sample.label is not None and sample.label not in seen:
        raise InvalidInputError(
            "Trials", f"no interval {sample.label!r}", f"one of {', '.join(sorted(seen)[:20])}"
        )
    return onsets, +left_out
