"""The feed of windows and trials of a timeseries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.channel_facts import ChannelFacts, channel_facts, columns_as
from neurodata.loader.draw import Random, random_windows
from neurodata.loader.feed import (
    Feed,
    Request,
    of_kept,
    reads_of,
    scaling_of,
    statistics_of,
)
from neurodata.loader.fetch import in_columns
from neurodata.loader.grid import Grid, Wanted
from neurodata.loader.joined import joined_of
from neurodata.loader.plan import Array, plan_trials, plan_windows, samples_in
from neurodata.loader.recordings import Recordings, choose_node, series_of
from neurodata.loader.samples import Trials, Windows
from neurodata.loader.spans import require_one_rate, spans_of
from neurodata.loader.statistics import By, series_parts
from neurodata.loader.target import NextWindow, Target, column, resolve
from neurodata.loader.windows import WindowFetcher
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
    columns = columns_as(names, request.channels)
    facts = channel_facts(recordings, node, columns)
    fetcher = WindowFetcher(
        recordings, node, series, columns, spans, scaling, count=1, layout=request.layout
    )
    feed = _feed(request, sample, recordings, fetcher)
    units = in_columns(columns, [item.units for item in series])
    channels = in_columns(columns, names)
    return replace(
        feed,
        statistics=statistics,
        channels=channels,
        channel_units=units,
        channel_facts=facts,
        extra=(*feed.extra, partial(_facts, facts, feed.picks)),
    )


def _facts(facts: ChannelFacts, picks: Array, at: Array) -> dict[str, Any]:
    return dict(facts(picks[at]))


def _parts(node: str, recordings: Recordings, assignments: Sequence[Assignment], by: By) -> Any:
    series = [series_of(recordings, number, node) for number in range(len(recordings.ids))]
    return series_parts(recordings, node, series, assignments, by)


@dataclass(frozen=True)
class Cut:
    """How windows are cut, before it is known which.

    Parameters
    ----------
    fetcher : WindowFetcher
        Of windows of the length that is wanted.
    rate_hz : float
    target : Target
        Resolved.
    beyond : int
        Samples after a window that its target needs.
    intervals : str, optional
        The intervals node of trials.
    """

    request: Request
    fetcher: WindowFetcher
    rate_hz: float
    target: Target
    beyond: int
    intervals: str | None = None

    @property
    def length_s(self) -> float:
        """Length of a window in seconds."""
        return self.fetcher.count / self.rate_hz

    def wanted(self, picks: Array) -> Wanted | None:
        """Return the target of some windows, if there is to be one."""
        if self.target is None:
            return None
        fetcher = self.fetcher
        grid = Grid(
            self.request,
            fetcher.recordings,
            picks,
            fetcher.count,
            self.rate_hz,
            fetcher.series,
            self.intervals,
        )
        return grid.target(self.target, replace(fetcher, count=self.beyond))

    def feed(self, picks: Array, left_out: Counter[str]) -> Feed:
        """Return the feed of those windows that have a target."""
        reads, wanted = reads_of(self.fetcher, picks), self.wanted(picks)
        if wanted is not None:
            at = np.flatnonzero(wanted.keep)
            picks, left_out = picks[at], left_out + wanted.without
            reads = tuple((stream, own[at]) for stream, own in (*reads, *wanted.reads))
        function = None if wanted is None else partial(of_kept, wanted.function, at)
        return Feed(
            picks=picks,
            fetcher=self.fetcher,
            left_out=left_out,
            extra=() if function is None else (function,),
            reads=reads,
            rate_hz=self.rate_hz,
            target=function,
            length_s=self.length_s,
            intervals=self.intervals,
        )

    def accepts(self, picks: Array) -> Array:
        """Say which windows have a target and all the nodes that are joined to them."""
        wanted = self.wanted(picks)
        keep = np.ones(len(picks), bool) if wanted is None else wanted.keep
        if self.request.joined:
            recordings, request = self.fetcher.recordings, self.request
            join = joined_of(
                recordings,
                request.assignments,
                picks,
                self.fetcher.count,
                self.rate_hz,
                request.joined,
                request.layout,
            )
            keep = keep & join.keep
        return keep


def _feed(
    request: Request, sample: Windows | Trials, recordings: Recordings, fetcher: WindowFetcher
) -> Feed:
    """Plan the windows, leave out those without target, and bind the functions."""
    spans = fetcher.spans
    rate_hz = float(request.resample_hz or spans[0].out_hz)
    count = samples_in(sample.length_s, rate_hz, "length")
    target = resolve(request.target, recordings)
    beyond = 0
    if isinstance(target, NextWindow):
        beyond = samples_in(target.horizon_s, rate_hz, "horizon_s")
    cut = Cut(request, replace(fetcher, count=count), rate_hz, target, beyond)
    if isinstance(sample, Trials):
        intervals = choose_node(recordings, "intervals", sample.intervals, "Trials.intervals")
        onsets, left_out = _onsets(recordings, intervals, sample, request.assignments)
        picks, crossing = plan_trials(spans, onsets, sample.tmin_s, count, beyond)
        return replace(cut, intervals=intervals).feed(picks, left_out + crossing)
    stride = samples_in(sample.stride_s or sample.length_s, rate_hz, "stride_s")
    picks, left_out = plan_windows(spans, count, stride, beyond)
    if isinstance(draw := request.draw, Random):
        number = draw.samples or len(picks)
        place = (number, request.seed, request.epoch, beyond)
        picks = random_windows(spans, count, *place, accept=cut.accepts)
        return cut.feed(picks, Counter())
    return replace(cut, fetcher=replace(cut.fetcher, stride=stride)).feed(picks, left_out)


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
        start_s = np.asarray(recordings.values(number, node, "start_s"), "f8")
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
