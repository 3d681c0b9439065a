"""Windows of spike counts, from counts that are made once per recording and kept sparse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import floor
from typing import Any

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.feed import Feed, Function, Request, of_kept, refuse_scale
from neurodata.loader.fetch import Stream, in_columns
from neurodata.loader.grid import Grid
from neurodata.loader.plan import BORDER, WINDOW, Array, Span, plan_windows, samples_in
from neurodata.loader.recordings import Recordings, choose_node
from neurodata.loader.ring import Blank
from neurodata.loader.samples import SpikeBins
from neurodata.loader.spike_counts import ALWAYS, SpikeCounts, edge_s
from neurodata.loader.target import NextWindow, column, resolve
from neurodata.splits import Assignment

SLACK = 1e-6
"""Share of a bin by which a window may reach beyond what was observed."""


@dataclass(frozen=True)
class SpikeFetcher:
    """Windows of ``count`` bins: ``signal`` float32, spikes per unit, and ``mask (batch, unit)``.

    Bins are half-open; ``layout`` is that of the signal (see `neurodata.load`).
    """

    counts: SpikeCounts
    count: int
    layout: str

    @property
    def streams(self) -> Sequence[Stream]:
        """Nothing is read window by window."""
        return ()

    def blank(self, picks: Array) -> Blank:
        """Return shapes and dtypes of a batch."""
        n, width = len(picks), self.counts.width
        return {"signal": ((n, self.count, width), "f4"), "mask": ((n, width), "?")}

    def fill(self, picks: Array, memory: Mapping[str, Array]) -> None:
        """Fill rows of a batch."""
        counts, width = self.counts, self.counts.width
        numbers = picks["recording"]
        memory["mask"][...] = np.arange(width) < np.array(counts.units)[numbers][:, None]
        tables = counts.of_each(np.unique(numbers).tolist())
        places = zip(
            *(picks[name].tolist() for name in ("recording", "span", "first")), strict=True
        )
        for row, (number, span, first) in zip(memory["signal"], places, strict=True):
            table = tables[number]
            own = table.where[span]
            cell = table.cell[own]
            start, size = first * width, self.count * width
            # bounds of the cells' own dtype, or all cells would be converted
            low, high = np.searchsorted(cell, np.array([start, start + size], cell.dtype)).tolist()
            # not ravel(): where it copies, counts would go into the copy
            flat = row.reshape(size, copy=False)
            flat[...] = 0.0
            flat[np.subtract(cell[low:high], start, dtype="i8")] = table.spikes[own][low:high]

    def finish(self, memory: Mapping[str, Array], picks: Array) -> dict[str, Any]:
        """Return ``signal`` in its layout and ``mask``."""
        signal = memory["signal"]
        signal = signal.transpose(0, 2, 1) if self.layout == "bct" else signal
        return {"signal": signal, "mask": memory["mask"]}


def spike_feed(
    request: Request, sample: SpikeBins, recordings: Recordings, memory_mb: float = 512
) -> Feed:
    """Return the feed of windows of spike counts, of which ``memory_mb`` are kept.

    Raises
    ------
    InvalidInputError
        When a rate or scale was asked for, or no interval has the label.
    """
    if request.resample_hz is not None:
        raise InvalidInputError("resample_hz", "a rate for spikes", "None", "choose bin_s instead")
    refuse_scale(request)
    node = choose_node(recordings, "spikes", sample.node)
    rate_hz = 1 / sample.bin_s
    count, beyond = samples_in(sample.length_s, rate_hz, "length"), 0
    target = resolve(request.target, recordings)
    if isinstance(target, NextWindow):
        beyond = samples_in(target.horizon_s, rate_hz, "horizon_s")
    observed = [observed_s(recordings, node, item) for item in request.assignments]
    intervals, limits_s = None, None
    if sample.intervals is None:
        spans = [_whole_span(sample, *one) for one in observed]
        stride = samples_in(sample.stride_s or sample.length_s, rate_hz, "stride_s")
        picks, left_out = plan_windows(spans, count, stride, beyond)
    else:
        intervals = choose_node(recordings, "intervals", sample.intervals, "SpikeBins.intervals")
        onsets, left_out = _onsets(recordings, intervals, sample, request.assignments)
        spans, limits_s, picks, crossing = plan_onsets(sample, observed, onsets, count + beyond)
        left_out += crossing
    names = [
        [str(name) for name in recordings.values(number, node, "unit_id")]
        for number in range(len(recordings.ids))
    ]
    units = [len(own) for own in names]
    counts = SpikeCounts(recordings, node, units, spans, limits_s, memory_mb)
    extra: tuple[Function, ...] = ()
    reads: tuple[tuple[Stream, Array], ...] = ()
    if target is not None:
        grid = Grid(request, recordings, picks, count, rate_hz, None, intervals)
        wanted = grid.target(target, SpikeFetcher(counts, beyond, request.layout))
        at = np.flatnonzero(wanted.keep)
        picks, left_out = picks[at], left_out + wanted.without
        extra = (partial(of_kept, wanted.function, at),)
        reads = tuple((stream, own[at]) for stream, own in wanted.reads)
    columns = [slice(0, width) for width in units]
    return Feed(
        picks=picks,
        fetcher=SpikeFetcher(counts, count, request.layout),
        left_out=left_out,
        extra=extra,
        reads=reads,
        channels=in_columns(columns, names),
        channel_units=in_columns(columns, [["count"] * width for width in units]),
        rate_hz=rate_hz,
    )


def observed_s(recordings: Recordings, node: str, item: Assignment) -> tuple[int, float, float]:
    """Return recording, first and last second of its spikes' observed span in an assignment.

    Where the source states no span, what is sure to have been observed is from the first
    spike to the last.
    """
    number = recordings.ids.index(item["id"])
    attrs = recordings.node(number, node).attrs
    first, last = 0.0, 0.0
    if not {"start_s", "stop_s"} <= set(attrs):
        times = recordings.array((number, node, "time_s")).values
        if len(times):
            first, last = float(times.min()), float(times.max())
    start_s = max(float(attrs.get("start_s", first)), item.get("start_s", -np.inf))
    stop_s = min(float(attrs.get("stop_s", last)), item.get("stop_s", np.inf))
    return number, start_s, stop_s


def _whole_span(sample: SpikeBins, number: int, start_s: float, stop_s: float) -> Span:
    count = max(0, floor((stop_s - start_s) / sample.bin_s + SLACK))
    return Span(number, start_s, 1 / sample.bin_s, count)


Onsets = tuple[Array, Array, Array]
"""Of the intervals that lie in an assignment: onset and end in seconds, and row."""


def _onsets(
    recordings: Recordings, node: str, sample: SpikeBins, assignments: Sequence[Assignment]
) -> tuple[list[Onsets], Counter[str]]:
    """Return the onsets of each assignment, and how many intervals were left out by reason."""
    found, left_out, seen = [], Counter[str](), set[str]()
    for item in assignments:
        number = recordings.ids.index(item["id"])
        labels = column(recordings, number, node, "label")
        start_s, duration_s = (
            np.asarray(recordings.values(number, node, name), "f8")
            for name in ("start_s", "duration_s")
        )
        seen.update(map(str, labels))
        wanted = np.ones(len(labels), bool) if sample.label is None else labels == sample.label
        left_out["interval without onset"] += int((wanted & ~np.isfinite(start_s)).sum())
        inside = (start_s >= item.get("start_s", -np.inf)) & (start_s < item.get("stop_s", np.inf))
        rows = np.flatnonzero(wanted & inside & np.isfinite(start_s))
        stop_s = (start_s + np.where(np.isfinite(duration_s), duration_s, np.inf))[rows]
        found.append((start_s[rows], stop_s, rows))
    if sample.label is not None and sample.label not in seen:
        expected = f"one of {', '.join(sorted(seen)[:20])}"
        raise InvalidInputError("SpikeBins", f"no interval {sample.label!r}", expected)
    return found, +left_out


def plan_onsets(
    sample: SpikeBins,
    observed: Sequence[tuple[int, float, float]],
    onsets: Sequence[Onsets],
    count: int,
) -> tuple[list[Span], list[tuple[float, float]], Array, Counter[str]]:
    """Return one span of ``count`` bins per interval, its limits, its pick, and what crosses.

    A clipped window may reach beyond what was observed, as long as its interval does not.
    """
    spans: list[Span] = []
    limits_s: list[tuple[float, float]] = []
    rows: list[int] = []
    crossing = 0
    for (number, first_s, last_s), own in zip(observed, onsets, strict=True):
        for onset_s, stop_s, row in zip(*(part.tolist() for part in own), strict=True):
            span = Span(number, onset_s + sample.tmin_s, 1 / sample.bin_s, count)
            limit = (onset_s, stop_s) if sample.clip else ALWAYS
            start_s = max(span.start_s, limit[0])
            end_s = min(edge_s(span, count), limit[1])
            if start_s < first_s - SLACK * sample.bin_s or end_s > last_s + SLACK * sample.bin_s:
                crossing += 1
                continue
            spans.append(span)
            limits_s.append(limit)
            rows.append(row)
    picks = np.zeros(len(spans), WINDOW)
    picks["recording"], picks["span"] = [span.recording for span in spans], np.arange(len(spans))
    picks["start_s"], picks["row"] = [span.start_s for span in spans], rows
    return spans, limits_s, picks, +Counter({BORDER: crossing})
