"""Targets of windows: labels of intervals, what follows, and other nodes at the same seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.feed import Function, Request, per_pick, plain_target, reads_of
from neurodata.loader.fetch import Fetcher, Stream, columns_of, fetched
from neurodata.loader.plan import Array, samples_in, usable
from neurodata.loader.recordings import Recordings, Series, choose_node, series_of
from neurodata.loader.spans import require_one_rate, spans_of
from neurodata.loader.target import Label, NextWindow, Node, Target, covering, of_rows
from neurodata.loader.windows import WindowFetcher


@dataclass(frozen=True)
class Wanted:
    """A target of some picks.

    Parameters
    ----------
    function : function of indices into the picks
    keep : bool array (pick,)
        Which picks have a target.
    without : Counter of str
        The others, by reason.
    reads : tuple of (Stream, picks)
        What the target is cut from.
    """

    function: Function
    keep: Array
    without: Counter[str]
    reads: tuple[tuple[Stream, Array], ...] = ()


@dataclass(frozen=True)
class Grid:
    """The planned windows of a split, for which a target is wanted.

    Parameters
    ----------
    picks : structured array (window,)
    count : int
        Samples in a window, at ``rate_hz``.
    series : sequence of Series, optional
        The signal's clocks; None for spike counts.
    intervals : str, optional
        The intervals node of trials.
    """

    request: Request
    recordings: Recordings
    picks: Array
    count: int
    rate_hz: float
    series: Sequence[Series] | None
    intervals: str | None

    @property
    def length_s(self) -> float:
        """Length of a window in seconds."""
        return self.count / self.rate_hz

    def target(self, target: Target, following: Fetcher) -> Wanted:
        """Return the target; ``following`` fetches what comes after a window."""
        if isinstance(target, Label):
            return self._label(target)
        if isinstance(target, Node):
            return self._node(target)
        every = np.ones(len(self.picks), bool)
        if isinstance(target, NextWindow):
            after = self.picks.copy()
            after["first"] += self.count
            reads = reads_of(following, after)
            return Wanted(partial(_fetched, following, after), every, Counter(), reads)
        function = plain_target(
            self.request, self.recordings, target, self.picks, self.length_s, self.intervals
        )
        return Wanted(function, every, Counter())

    def _label(self, target: Label) -> Wanted:
        if self.intervals is not None and target.intervals in (None, self.intervals):
            found = of_rows(self.recordings, self.intervals, target.column, self.picks)
        else:
            node = choose_node(self.recordings, "intervals", target.intervals, "Label.intervals")
            slack_s = 0.5 / self.rate_hz
            found = covering(
                self.recordings, node, target.column, self.picks, self.length_s, slack_s
            )
        values, keep, without = found
        return Wanted(partial(per_pick, values), keep, without)

    def _node(self, target: Node) -> Wanted:
        """Cut a timeseries node at the seconds of each window, at its own rate.

        A node on the signal's own clock is cut (and resampled) sample by sample alike.
        """
        request, recordings = self.request, self.recordings
        name = choose_node(recordings, "timeseries", target.name, "target")
        series = [series_of(recordings, number, name) for number in range(len(recordings.ids))]
        picks, count, resample_hz = self.picks.copy(), self.count, request.resample_hz
        alike = self.series is not None and all(map(Series.same_clock, series, self.series))
        if not alike:
            if irregular := [item for item in series if item.times is not None]:
                raise InvalidInputError(
                    f"target {name}",
                    f"an irregular clock (median {irregular[0].rate_hz:.6g} Hz)",
                    "a regular clock, or the signal's own",
                )
            require_one_rate(recordings, series, None)
            resample_hz = None
        spans = spans_of(recordings, name, series, request.assignments, resample_hz)
        if not alike:
            count = samples_in(self.length_s, series[0].rate_hz, f"target {name}")
            start_s = np.array([span.start_s for span in spans])[picks["span"]]
            ahead = (picks["start_s"] - start_s) * series[0].rate_hz
            picks["first"] = np.ceil(ahead - 1e-6).astype("i8")
        keep, reasons = usable(spans, picks, count)
        without = Counter({f"target: {reason}": n for reason, n in reasons.items()})
        columns = columns_of([item.channels for item in series])
        fetcher = WindowFetcher(
            recordings, name, series, columns, spans, None, count, request.layout
        )
        return Wanted(partial(_fetched, fetcher, picks), keep, without, reads_of(fetcher, picks))


def _fetched(fetcher: Fetcher, picks: Array, at: Array) -> dict[str, Any]:
    """Return ``target`` and ``target_mask``, fetched as a signal is."""
    found = fetched(fetcher, picks[at])
    return {"target": found["signal"], "target_mask": found["mask"]}
