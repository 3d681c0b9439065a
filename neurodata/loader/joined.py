"""Other nodes of the same recording, cut at the seconds of each window of the main signal.

A window is ``[start_s, start_s + length_s)``. A joined node gives a fixed number of samples, the
nearest whole number in ``length_s`` at its rate. Spike bins and the clock of intervals begin at
``start_s`` itself. A timeseries begins at the sample nearest to ``start_s`` (of two equally near
ones the later), so that it is off by at most half of its own samples, and by nothing where both
clocks share a grid; where ``length_s`` is a whole number of its samples, successive windows
have each of them once. Times that differ by a millionth of a sample count as equal.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.feed import Feed, of_kept
from neurodata.loader.fetch import Stream
from neurodata.loader.joined_parts import (
    JoinedFacts,
    Part,
    Planned,
    Present,
    intervals_part,
    spikes_part,
    timeseries_part,
)
from neurodata.loader.plan import WINDOW, Array
from neurodata.loader.recordings import Recordings
from neurodata.splits import Assignment

Function = Callable[[Array], dict[str, Any]]

RESERVED = {
    "signal", "mask", "target", "target_mask", "recording", "start_s", "rate_hz", "units",
    "channel", "position_m", "subject", "image", "corner_zyx", "graph",
}  # fmt: skip
INTERVALS = "intervals"
REPRESENTATIONS = ("timeseries", "spikes", INTERVALS)
RAGGED = ("_start_s", "_duration_s", "_count")


@dataclass(frozen=True)
class Joined:
    """Another node of the same recording, cut at the seconds of each window.

    A timeseries gives ``(batch, channel, time)`` float32 in the field's units, spikes
    ``(batch, unit, time)`` counts in half-open bins, intervals ``(batch, time)`` int64: the code
    (index into the vocabulary) of the interval that covers each sample, -1 where none does.
    Each has ``<key>_mask``: ``(batch, channel)``, ``(batch, unit)`` or, of intervals, ``(batch,)``.

    Parameters
    ----------
    name : str
        Name of the timeseries, spikes or intervals node.
    rate_hz : float, optional
        Spikes need it. A timeseries is resampled to it behind an anti-aliasing filter (None is
        its own rate; an irregular clock needs one), the clock of intervals has it (None is the
        rate of the main signal).
    key : str, optional
        Name in the batch; None is the last part of ``name``, with ``joined_`` before it where a
        batch has something else of that name (``joined_units``).
    required : bool
        Whether windows that the node does not cover are left out; otherwise they are kept,
        0 (or -1) and masked, also those of recordings that lack the node.
    column : str
        Column of an intervals node that is coded.
    which : {"first", "last"}, optional
        Which of overlapping intervals counts: the one that starts first, or last. None refuses
        those that disagree.
    ragged : bool
        Whether intervals come as a list of all that touch a window, in place of a code per
        sample: ``<key>`` codes, ``<key>_start_s`` (from the window's start) and
        ``<key>_duration_s``, all ``(interval,)``, one window after another;
        ``<key>_count (batch,)`` says how many each window has.
    vocabulary : tuple, optional
        Values of the column by code, such as the training loader's; None is every value of
        these recordings, sorted.

    Raises
    ------
    InvalidInputError
        When the rate is no finite number over 0, or ``which`` is none of these.

    Examples
    --------
    >>> Joined("running").required
    True
    """

    name: str
    rate_hz: float | None = None
    key: str | None = None
    required: bool = True
    column: str = "label"
    which: Literal["first", "last"] | None = None
    ragged: bool = False
    vocabulary: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        rate_hz = self.rate_hz
        if rate_hz is not None and not (math.isfinite(rate_hz) and rate_hz > 0):
            raise InvalidInputError(
                f"{self.where}(rate_hz)", repr(rate_hz), "a finite number over 0"
            )
        if self.which not in (None, "first", "last"):
            raise InvalidInputError(f"{self.where}(which)", repr(self.which), "None, first or last")
        object.__setattr__(self, "name", self.name.strip("/"))

    @property
    def where(self) -> str:
        """What messages call it."""
        return f"Joined({self.name!r})"


class Join(NamedTuple):
    """What joined nodes add to batches.

    ``function`` of indices into the picks gives arrays; ``keep`` says which picks all required
    nodes cover, ``left_out`` counts the others by reason (each once), ``facts`` are by key and
    ``reads`` the streams that required series are cut from, with picks of their own.
    """

    function: Function
    keep: Array
    left_out: Counter[str]
    facts: dict[str, JoinedFacts]
    reads: list[tuple[Stream, Array]]

    @property
    def vocabulary(self) -> dict[str, tuple[Any, ...]]:
        """Values by code of every intervals node."""
        every = self.facts.items()
        return {key: facts.vocabulary for key, facts in every if facts.representation == INTERVALS}


def joined_of(
    recordings: Recordings,
    assignments: Sequence[Assignment],
    picks: Array,
    count: int,
    rate_hz: float,
    joined: Sequence[Joined | str],
    layout: str = "bct",
) -> Join:
    """Cut other nodes at the seconds of each pick.

    Parameters
    ----------
    assignments : sequence of mappings
        What the spans of the picks are of.
    picks : structured array (window,)
        The planned windows.
    count : int
        Samples in a window of the main signal, at ``rate_hz``.
    joined : sequence of Joined or str
    layout : {"bct", "btc"}

    Raises
    ------
    InvalidInputError
        When samples are no windows, a required node is not in every recording, rates are
        undecided, overlapping intervals disagree or two arrays have one name.
    """
    if picks.dtype != WINDOW:
        raise InvalidInputError(
            "load(joined)", "samples that are no windows", "Windows, Trials or SpikeBins"
        )
    windows = Planned(recordings, assignments, picks, count / rate_hz, rate_hz, layout)
    items = [Joined(item) if isinstance(item, str) else item for item in joined]
    keep, left_out = np.ones(len(picks), bool), Counter[str]()
    functions: list[Function] = []
    facts: dict[str, JoinedFacts] = {}
    reads: list[tuple[Stream, Array]] = []
    for key, item in zip(keys_of(items), items, strict=True):
        present = _present(recordings, item)
        part = _MAKERS[present.representation](windows, item, present)
        rows = np.flatnonzero(keep) if item.required else np.arange(len(picks))
        good, reasons = part.covers(rows)
        covered = np.zeros(len(picks), bool)
        covered[rows[good]] = True
        if item.required:
            keep &= covered
            left_out += Counter({f"{key}: {reason}": n for reason, n in reasons.items()})
        functions.append(partial(_named, key, part.function, covered))
        facts[key] = part.facts
        reads += part.reads
    return Join(partial(_all, functions), keep, left_out, facts, reads)


def with_joined(feed: Feed, join: Join) -> Feed:
    """Return a feed with what joined nodes add, without the windows that they do not cover."""
    at = np.flatnonzero(join.keep)
    return replace(
        feed,
        picks=feed.picks[at],
        extra=tuple(partial(of_kept, function, at) for function in (*feed.extra, join.function)),
        reads=tuple((stream, picks[at]) for stream, picks in (*feed.reads, *join.reads)),
        left_out=feed.left_out + join.left_out,
    )


def _all(functions: Sequence[Function], at: Array) -> dict[str, Any]:
    """Return what all joined nodes add to a batch."""
    return {name: array for function in functions for name, array in function(at).items()}


def _named(
    key: str, function: Callable[[Array, Array], dict[str, Any]], covered: Array, at: Array
) -> dict[str, Any]:
    """Return a node's arrays by their names in the batch; ``""`` is the key itself."""
    return {key + suffix: array for suffix, array in function(at, covered[at]).items()}


def keys_of(items: Sequence[Joined]) -> list[str]:
    """Return the name in the batch of each joined node.

    Raises
    ------
    InvalidInputError
        When two arrays would have one name.

    Examples
    --------
    >>> keys_of([Joined("running"), Joined("units", 100.0), Joined("units", 10.0, key="slow")])
    ['running', 'joined_units', 'slow']
    """
    keys: list[str] = []
    taken = set(RESERVED)
    for item in items:
        key = item.key or item.name.rpartition("/")[2]
        if item.key is None and key in RESERVED:
            key = f"joined_{key}"
        names = {key, f"{key}_mask", *(key + suffix for suffix in RAGGED if item.ragged)}
        if clash := sorted(names & taken):
            raise InvalidInputError(
                item.where, f"two arrays {clash[0]!r} in a batch", "one", "give it another key="
            )
        taken |= names
        keys.append(key)
    return keys


def _present(recordings: Recordings, item: Joined) -> Present:
    """Return what a joined node is, and the numbers of the recordings that have it."""
    found: dict[int, str] = {}
    for number in range(len(recordings.ids)):
        try:
            attrs = recordings.node(number, item.name).attrs
        except KeyError:
            continue
        found[number] = str(attrs.get("representation", ""))
    kinds = sorted(set(found.values()))
    lacking = [name for number, name in enumerate(recordings.ids) if number not in found]
    if not found or (item.required and lacking):
        raise InvalidInputError(
            item.where,
            f"no node {item.name!r} in {', '.join(lacking[:5])}",
            "the node in every recording of the split" if found else "the name of a node",
            "give Joined(..., required=False) to keep their windows" if found else "",
        )
    if len(kinds) > 1 or kinds[0] not in REPRESENTATIONS:
        expected = f"one of {', '.join(REPRESENTATIONS)}"
        raise InvalidInputError(item.where, f"{', '.join(kinds) or 'no node'}", expected)
    return Present(kinds[0], tuple(found))


_MAKERS: dict[str, Callable[[Planned, Joined, Present], Part]] = {
    "timeseries": timeseries_part,
    "spikes": spikes_part,
    INTERVALS: intervals_part,
}
