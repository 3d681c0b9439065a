"""Everything a loader runs on: what was asked for, and the picks and functions it led to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.channel_facts import ChannelFacts, Channels
from neurodata.loader.draw import Balanced, Random
from neurodata.loader.fetch import Fetcher, Scaling, Stream
from neurodata.loader.plan import Array, Place
from neurodata.loader.recordings import Image, Opener, Recordings, Series
from neurodata.loader.samples import Sample
from neurodata.loader.statistics import By, Statistics, fit
from neurodata.loader.target import (
    Attribute,
    Metadata,
    Target,
    attribute,
    facts_of,
    interval_columns,
)
from neurodata.splits import Assignment, Split

if TYPE_CHECKING:
    from neurodata.loader.joined import Joined

Function = Callable[[Array], dict[str, Any]]
"""Gives entries of a batch for indices into the grid."""

SCALES: dict[str, By] = {"standard": "channel", "standard_by_type": "type"}


@dataclass(frozen=True)
class Request:
    """What `neurodata.load` was asked for."""

    store: Opener
    splits: Split
    split: str
    sample: Sample
    target: Target
    layout: str
    batch_size: int
    scale: str | Statistics | None
    resample_hz: float | None
    joined: tuple[Joined | str, ...] = ()
    channels: Channels = "auto"
    draw: Balanced | Random | None = None
    seed: int = 0
    epoch: int = 0
    memory_mb: float = 512

    @property
    def assignments(self) -> tuple[Assignment, ...]:
        """The assignments of the split that is loaded."""
        return self.splits.assignments_of(self.split)


@dataclass(frozen=True)
class Feed:
    """The samples of a split and the functions that make a batch of some of them.

    Parameters
    ----------
    picks : structured array (sample,)
        The grid, in order; see `neurodata.loader.plan`.
    fetcher : Fetcher, optional
        Makes the arrays of a batch.
    extra : tuple of functions of indices into ``picks``
        Give further entries of a batch: target, joined nodes, facts of channels; where there is
        no fetcher, all of it.
    reads : tuple of (Stream, picks)
        What samples read, the fetcher's main array first; picks as many as the grid has.
    left_out : Counter of str
        Samples of the grid that cannot be used, by reason.
    channels, channel_units : tuple of tuple of str
        Names and units (before any scaling) per recording and column of a batch; both are ""
        where the recording has no such channel.
    rate_hz : float, optional
    statistics : Statistics, optional
        Set when the batches are scaled.
    channel_facts : ChannelFacts, optional
        What ``channel`` and ``subject`` of a batch mean.
    target : function of indices into ``picks``, optional
        The one of ``extra`` that gives the target.
    length_s : float, optional
        Of windows.
    intervals : str, optional
        The intervals node of trials.
    drawn : function of indices into ``picks`` and a `Place`, optional
        Makes entries that are drawn anew in every batch.
    """

    picks: Array
    fetcher: Fetcher | None
    left_out: Counter[str]
    extra: tuple[Function, ...] = ()
    reads: tuple[tuple[Stream, Array], ...] = ()
    channels: tuple[tuple[str, ...], ...] = ()
    channel_units: tuple[tuple[str, ...], ...] = ()
    rate_hz: float | None = None
    statistics: Statistics | None = None
    channel_facts: ChannelFacts | None = None
    target: Function | None = None
    length_s: float | None = None
    intervals: str | None = None
    drawn: Callable[[Array, Place], dict[str, Any]] | None = None

    def others(self, at: Array) -> dict[str, Any]:
        """Return the entries of a batch that the fetcher does not make."""
        return {key: value for function in self.extra for key, value in function(at).items()}


def of_kept(function: Function, kept: Array, at: Array) -> dict[str, Any]:
    """Call a function of a whole grid with indices into what was kept of it."""
    return function(kept[at])


def reads_of(fetcher: Fetcher, picks: Array) -> tuple[tuple[Stream, Array], ...]:
    """Return what a fetcher reads for some picks."""
    return tuple((stream, picks) for stream in fetcher.streams)


def statistics_of(
    request: Request, parts: Callable[[Recordings, Sequence[Assignment], By], Any], node: str
) -> Statistics | None:
    """Return the statistics that a request means, fitted on the training split only.

    Parameters
    ----------
    parts : function of recordings, assignments and ``by``
        Yields the data of the assignments.

    Raises
    ------
    InvalidInputError
        When the scale has no known name.
    LeakageError
        When given statistics saw data that the split holds out.
    """
    scale = request.scale
    if scale is None:
        return None
    if isinstance(scale, Statistics):
        scale.require_no_leak(request.splits.assignments)
        return scale
    if scale not in SCALES:
        raise InvalidInputError("scale", repr(scale), f"None, {', '.join(SCALES)} or Statistics")
    training = request.splits.assignments_of("train")
    recordings = Recordings(request.store, training)
    by = SCALES[scale]
    found: Any = parts(recordings, training, by)
    return fit(node, by, found, training)


def scaling_of(
    statistics: Statistics | None, recordings: Recordings, facts: Sequence[Series | Image]
) -> Scaling | None:
    """Return mean and standard deviation of each recording's channels."""
    if statistics is None:
        return None
    return {
        number: statistics.of(item, recordings.where(number, statistics.node))
        for number, item in enumerate(facts)
    }


def refuse_scale(request: Request) -> None:
    """Refuse a scale where there is none to fit.

    Raises
    ------
    InvalidInputError
        When one was asked for.
    """
    if request.scale is not None:
        raise InvalidInputError(
            "scale",
            f"a scale for {type(request.sample).__name__}",
            "None",
            "scale in `transform`",
        )


def unknown_target(request: Request, target: Target) -> InvalidInputError:
    """Return the refusal of a target that a sample cannot have."""
    return InvalidInputError(
        "target",
        f"{target!r} for {type(request.sample).__name__}",
        "a label, a recording's fact, a node of the same kind or a function",
    )


def plain_target(
    request: Request,
    recordings: Recordings,
    target: Target,
    picks: Array,
    length_s: float | None = None,
    intervals: str | None = None,
) -> Callable[[Array], dict[str, Any]]:
    """Return the target function of a fact of the recording, or of a function of metadata.

    Raises
    ------
    InvalidInputError
        When the sample cannot have such a target.
    """
    if isinstance(target, Attribute):
        values = attribute(recordings, target.name)
        return partial(per_pick, values[picks["recording"]])
    if callable(target):
        return partial(called, target, recordings, intervals, length_s, picks)
    raise unknown_target(request, target)


def per_pick(values: Array, at: Array) -> dict[str, Any]:
    """Return ``target``: the values of some picks."""
    return {"target": values[at]}


def called(
    function: Callable[[Metadata], Any],
    recordings: Recordings,
    intervals: str | None,
    length_s: float | None,
    picks: Array,
    at: Array,
) -> dict[str, Any]:
    """Return ``target``: the function of each sample's metadata, stacked."""
    every = [metadata(recordings, intervals, length_s, pick) for pick in picks[at]]
    return {"target": np.asarray([function(item) for item in every])}


def metadata(
    recordings: Recordings, intervals: str | None, length_s: float | None, pick: Any
) -> Mapping[str, Any]:
    """Return what a target function sees of a sample.

    ``id``, ``version``, ``recording``, ``attrs`` (the recording's facts), ``start_s`` where
    there is a clock; windows have ``length_s``, trials ``interval`` (their row), patches
    ``corner_zyx`` and ``shape_zyx``.
    """
    number = int(pick["recording"])
    found: dict[str, Any] = {
        "id": recordings.ids[number],
        "version": recordings.versions[number],
        "recording": number,
        "attrs": facts_of(recordings, number),
    }
    if np.isfinite(pick["start_s"]):
        found["start_s"] = float(pick["start_s"])
    if length_s is not None:
        found["length_s"] = length_s
    for name in ("corner_zyx", "shape_zyx"):
        if name in pick.dtype.names:
            found[name] = tuple(int(n) for n in pick[name])
    if intervals is not None:
        names = interval_columns(recordings, number) & set(
            recordings.node(number, intervals).arrays
        )
        found["interval"] = {
            name: recordings.values(number, intervals, name)[pick["row"]] for name in sorted(names)
        }
    return found
