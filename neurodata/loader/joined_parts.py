"""The parts of joined nodes: timeseries, spike counts and intervals at the seconds of windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.fetch import (
    Stream,
    columns_of,
    fetched,
    in_columns,
    in_layout,
)
from neurodata.loader.interval_codes import Table, codes_at, ragged_at, tables_of
from neurodata.loader.plan import BORDER, Array, Span, samples_in, usable
from neurodata.loader.recordings import Recordings, Series, series_of
from neurodata.loader.spans import require_one_rate, spans_of
from neurodata.loader.spikes import observed_s
from neurodata.loader.windows import WindowFetcher
from neurodata.splits import Assignment

if TYPE_CHECKING:
    from neurodata.loader.joined import Joined

SLACK = 1e-6
"""Part of a sample by which times may differ and still count as equal."""


@dataclass(frozen=True)
class JoinedFacts:
    """What is known of a joined node's part of every batch.

    Parameters
    ----------
    representation : str
    rate_hz : float
    count : int
        Samples in a window, at ``rate_hz``.
    channels, channel_units : tuple of tuple of str
        As those of the loader, for timeseries and spikes.
    vocabulary : tuple
        Values by code, for intervals.
    """

    representation: str
    rate_hz: float
    count: int
    channels: tuple[tuple[str, ...], ...] = ()
    channel_units: tuple[tuple[str, ...], ...] = ()
    vocabulary: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Planned:
    """The planned windows of a split, which other nodes are joined to.

    Parameters
    ----------
    assignments : sequence of mappings
        One per span of the picks.
    picks : structured array (window,)
    length_s : float
    rate_hz : float
        Rate of the main signal's samples.
    layout : {"bct", "btc"}
    """

    recordings: Recordings
    assignments: Sequence[Assignment]
    picks: Array
    length_s: float
    rate_hz: float
    layout: str


class Part(NamedTuple):
    """One joined node.

    ``function`` of indices into the picks, and of which of these are covered, gives arrays by
    the end of their name; ``covers`` says which of some picks are covered, and counts the
    others by reason; ``reads`` are the streams that windows are cut from, with their own picks.
    """

    function: Callable[[Array, Array], dict[str, Any]]
    covers: Callable[[Array], tuple[Array, Counter[str]]]
    facts: JoinedFacts
    reads: tuple[tuple[Stream, Array], ...] = ()


class Present(NamedTuple):
    """What a joined node is, and the numbers of the recordings that have it."""

    representation: str
    numbers: tuple[int, ...]


def timeseries_part(windows: Planned, item: Joined, present: Present) -> Part:
    """Return the part of a timeseries, at its own rate or resampled."""
    recordings, name = windows.recordings, item.name
    numbers = range(len(recordings.ids))
    known = {number: series_of(recordings, number, name) for number in present.numbers}
    stand_in = known[present.numbers[0]]  # of recordings without the node; nothing is read of it
    series = [known.get(number, stand_in) for number in numbers]
    _require_rate(recordings, series, item)
    rate_hz = float(item.rate_hz or stand_in.rate_hz)
    count = samples_in(windows.length_s, rate_hz, item.where)
    spans = _spans(windows, item, series, present, rate_hz)
    names = [known[number].channels if number in known else () for number in numbers]
    units = [known[number].units if number in known else () for number in numbers]
    columns = _columns(names)
    picks = nearest(windows.picks, spans)
    fetcher = WindowFetcher(
        recordings, name, series, columns, spans, None, count, "btc", numbers=present.numbers
    )
    facts = JoinedFacts(
        present.representation,
        rate_hz,
        count,
        in_columns(columns, names),
        in_columns(columns, units),
    )
    function = partial(_cut, partial(fetched, fetcher), windows.layout, picks)
    reads = tuple((stream, picks) for stream in fetcher.streams) if item.required else ()
    return Part(function, partial(_covered, spans, picks, count), facts, reads)


def _require_rate(recordings: Recordings, series: Sequence[Series], item: Joined) -> None:
    """Refuse mixed rates and irregular clocks, in the words of a joined node."""
    try:
        require_one_rate(recordings, series, item.rate_hz)
    except InvalidInputError as error:
        raise InvalidInputError(
            item.where,
            f"{error.where}: {error.found}",
            error.expected,
            f"give Joined(..., rate_hz={min(item.rate_hz for item in series):.3g})",
        ) from error


def _spans(
    windows: Planned, item: Joined, series: Sequence[Series], present: Present, rate_hz: float
) -> list[Span]:
    """Return one span per assignment, empty where the recording lacks the node."""
    recordings = windows.recordings
    numbers = [recordings.ids.index(part["id"]) for part in windows.assignments]
    here = [number in present.numbers for number in numbers]
    own = [part for part, has in zip(windows.assignments, here, strict=True) if has]
    found = iter(spans_of(recordings, item.name, series, own, item.rate_hz))
    return [
        next(found) if has else Span(number, 0.0, rate_hz, 0)
        for number, has in zip(numbers, here, strict=True)
    ]


def _columns(names: Sequence[Sequence[str]]) -> list[slice | Array]:
    """Return the columns of each recording, none of one without channels."""
    found = iter(columns_of([own for own in names if own]))
    return [next(found) if own else slice(0, 0) for own in names]


def nearest(picks: Array, spans: Sequence[Span]) -> Array:
    """Return picks that begin at the sample of each span nearest to their ``start_s``.

    Of two equally near ones it is the later.

    Examples
    --------
    >>> from neurodata.loader.plan import WINDOW
    >>> picks = np.zeros(3, WINDOW)
    >>> picks["start_s"] = [10.0, 10.016, 10.05]
    >>> nearest(picks, [Span(0, 10.0, 30.0, 100)])["first"].tolist()
    [0, 0, 2]
    """
    own = picks.copy()
    start_s = np.array([span.start_s for span in spans])[picks["span"]]
    rate_hz = np.array([span.out_hz for span in spans])[picks["span"]]
    own["first"] = np.floor((picks["start_s"] - start_s) * rate_hz + 0.5 + SLACK)
    return own


def _covered(
    spans: Sequence[Span], picks: Array, count: int, rows: Array
) -> tuple[Array, Counter[str]]:
    return usable(spans, picks[rows], count)


def spikes_part(windows: Planned, item: Joined, present: Present) -> Part:
    """Return the part of spikes: counts in bins that begin at each window's start."""
    recordings, name = windows.recordings, item.name
    if item.rate_hz is None:
        raise InvalidInputError(item.where, "spikes", "a rate of bins", "give rate_hz, e.g. 100")
    rate_hz = item.rate_hz
    count = samples_in(windows.length_s, rate_hz, item.where)
    names: list[tuple[str, ...]] = [()] * len(recordings.ids)
    for number in present.numbers:
        names[number] = tuple(map(str, recordings.values(number, name, "unit_id")))
    ends = np.full((len(windows.assignments), 2), np.nan)
    for at, part in enumerate(windows.assignments):
        number = recordings.ids.index(part["id"])
        if number in present.numbers:
            ends[at] = observed_s(recordings, name, part)[1:]
    columns = [slice(0, len(own)) for own in names]
    counts = in_columns(columns, [("count",) * len(own) for own in names])
    facts = JoinedFacts(present.representation, rate_hz, count, in_columns(columns, names), counts)
    fetch = SpikeBinner(recordings, name, [len(own) for own in names], rate_hz, count)
    function = partial(_cut, fetch, windows.layout, windows.picks)
    return Part(function, partial(_within, ends, windows.picks, count, rate_hz), facts)


def _within(
    ends: Array, picks: Array, count: int, rate_hz: float, rows: Array
) -> tuple[Array, Counter[str]]:
    """Say of which windows all bins lie in the observed seconds of their assignment."""
    start_s, slack_s = picks["start_s"][rows], SLACK / rate_hz
    first, last = ends[picks["span"][rows]].T
    inside = (start_s >= first - slack_s) & (start_s + count / rate_hz <= last + slack_s)
    return inside, +Counter({BORDER: int((~inside).sum())})


@dataclass(frozen=True)
class SpikeBinner:
    """Counts spikes in half-open bins that begin at each window's own ``start_s``.

    Parameters
    ----------
    units : sequence of int
        Number of units of each recording.
    """

    recordings: Recordings
    node: str
    units: Sequence[int]
    rate_hz: float
    count: int
    _sorted: dict[int, tuple[Array, Array]] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the spikes behind: another process sorts its own."""
        return {**vars(self), "_sorted": {}}

    def of(self, number: int) -> tuple[Array, Array]:
        """Return the times of a recording's spikes in order, and the unit of each."""
        if number not in self._sorted:
            times, splits = (
                self.recordings.values(number, self.node, name) for name in ("time_s", "row_splits")
            )
            order = np.argsort(times, kind="stable")
            unit = np.repeat(np.arange(self.units[number], dtype="i4"), np.diff(splits))
            self._sorted[number] = np.asarray(times, "f8")[order], unit[order]
        return self._sorted[number]

    def __call__(self, picks: Array) -> dict[str, Array]:
        """Return ``signal (batch, time, unit)`` float32 and ``mask (batch, unit)``."""
        width = max(self.units)
        signal = np.zeros((len(picks), self.count, width), "f4")
        mask = np.zeros((len(picks), width), bool)
        ends = np.arange(self.count + 1) / self.rate_hz - SLACK / self.rate_hz
        for row, pick in enumerate(picks):
            number = int(pick["recording"])
            times, units = self.of(number)
            edges = pick["start_s"] + ends
            own = slice(*np.searchsorted(times, edges[[0, -1]]).tolist())
            bins = np.searchsorted(edges, times[own], side="right") - 1
            np.add.at(signal[row], (bins, units[own]), 1)
            mask[row, : self.units[number]] = True
        return {"signal": signal, "mask": mask}


def _cut(
    fetch: Callable[[Array], dict[str, Array]], layout: str, picks: Array, at: Array, here: Array
) -> dict[str, Array]:
    """Return the windows of a batch that are covered, 0 and masked for the others."""
    found = fetch(picks[at[here]])
    signal, mask = found["signal"], found["mask"]
    if not here.all():
        signal, mask = _spread(signal, here), _spread(mask, here)
    return {"": in_layout(signal, layout), "_mask": mask}


def _spread(values: Array, here: Array) -> Array:
    every = np.zeros((len(here), *values.shape[1:]), values.dtype)
    every[here] = values
    return every


def intervals_part(windows: Planned, item: Joined, present: Present) -> Part:
    """Return the part of intervals: a code per sample, or all that touch a window."""
    rate_hz = float(item.rate_hz or windows.rate_hz)
    count = samples_in(windows.length_s, rate_hz, item.where)
    slack_s = SLACK / rate_hz
    tables, vocabulary = tables_of(
        windows.recordings, item.name, present.numbers, item.column, item.vocabulary
    )
    facts = JoinedFacts(present.representation, rate_hz, count, vocabulary=vocabulary)
    fetch: Callable[[Array], dict[str, Array]]
    if item.ragged:
        fetch = partial(ragged_at, tables, windows.length_s, slack_s)
    else:
        steps = {
            number: table.steps(item.which, slack_s, windows.recordings.where(number, item.name))
            for number, table in tables.items()
        }
        fetch = partial(codes_at, steps, count, rate_hz, slack_s)
    covers = partial(_has_node, tables, windows.picks)
    return Part(partial(_coded, fetch, windows.picks), covers, facts)


def _has_node(tables: Mapping[int, Table], picks: Array, rows: Array) -> tuple[Array, Counter[str]]:
    """Say which windows are of recordings with the node: it states what is not there as well."""
    return np.isin(picks["recording"][rows], list(tables)), Counter()


def _coded(
    fetch: Callable[[Array], dict[str, Array]], picks: Array, at: Array, here: Array
) -> dict[str, Array]:
    return {**fetch(picks[at]), "_mask": here}
