"""Channels of WFDB over the segments of a record, as nodes that are read on demand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.readers import bids
from neurodata.readers.channels import Channel, Clock, lazily, timeseries
from neurodata.readers.wfdb_samples import FORMATS, Column, Samples, Segment, frames_of
from neurodata.safe import Raw


@dataclass(frozen=True)
class Trace:
    """One channel over all segments; None where a segment lacks it.

    Parameters
    ----------
    channel : Channel
        Its scale and offset are those of the first segment that has it.
    columns : tuple of Column or None
    scales : tuple of (float, float)
        Scale and offset of each segment, from stored integers to ``channel.units``.
    """

    channel: Channel
    columns: tuple[Column | None, ...]
    scales: tuple[tuple[float, float], ...]

    @property
    def first(self) -> Column:
        """The column of the first segment that has the channel."""
        return next(column for column in self.columns if column is not None)

    @property
    def uniform(self) -> bool:
        """Whether one scale and one mark of invalid samples hold for all segments."""
        present = [
            (scale, column.invalid)
            for scale, column in zip(self.scales, self.columns, strict=True)
            if column is not None
        ]
        return len(set(present)) == 1


def nodes_of(
    raw: Raw, segments: Sequence[Segment], traces: Sequence[Trace], rate_hz: float, marked: bool
) -> dict[str, xr.Dataset]:
    """Return the traces as `timeseries` nodes by type and rate.

    Parameters
    ----------
    rate_hz : float
        Frames a second.
    marked : bool
        Whether any stored sample is marked as invalid.

    Raises
    ------
    UnreadableError
        When the rate is impossible.
    """
    groups: dict[tuple[str, int], list[Trace]] = {}
    for trace in traces:
        groups.setdefault((trace.channel.node, trace.first.per_frame), []).append(trace)
    usual: dict[str, int] = {}
    for node, per_frame in sorted(groups, key=lambda key: len(groups[key])):
        usual[node] = per_frame
    xyz = bids.positions(raw, [trace.channel.name for trace in traces])
    nodes = {}
    for (node, per_frame), own in groups.items():
        clock = _clock(segments, rate_hz, per_frame)
        clock.require(raw.name)
        name = node if per_frame == usual[node] else f"{node}_{clock.rate_hz:.9g}hz"
        if name != node:
            raw.note(f"node {name}", "channels at a rate of their own")
        nodes[name] = timeseries(_signal(segments, own), [t.channel for t in own], clock, xyz)
        if marked or any(_has_holes(trace) for trace in own):
            seen = _lazily(segments, own, "bool", partial(_observed, tuple(segments), tuple(own)))
            nodes[name]["observed"] = (("time", "channel"), seen)
        if not clock.regular:
            raw.note("segments", "gaps between them, kept in the coordinate time")
    return nodes


def _clock(segments: Sequence[Segment], rate_hz: float, per_frame: int) -> Clock:
    starts, stored, end = list[tuple[int, float]](), 0, -1
    for segment in segments:
        if segment.at != end:
            starts.append((stored * per_frame, segment.at / rate_hz))
        stored, end = stored + segment.frames, segment.at + segment.frames
    return Clock(rate_hz * per_frame, stored * per_frame, starts)


def _has_holes(trace: Trace) -> bool:
    return any(column is None or column.skew for column in trace.columns)


def _signal(segments: Sequence[Segment], traces: Sequence[Trace]) -> da.Array:
    """Return stored integers where one scale holds for each channel, else values in SI units."""
    if all(trace.uniform for trace in traces):
        dtype = np.result_type(*(FORMATS[t.first.file.format].dtype for t in traces)).name
        block = partial(_integers, tuple(segments), tuple(traces), dtype)
        return _lazily(segments, traces, dtype, block)
    block = partial(_values, tuple(segments), tuple(traces))
    return _lazily(segments, traces, "float32", block)


def _lazily(
    segments: Sequence[Segment], traces: Sequence[Trace], dtype: str, block: Any
) -> da.Array:
    frames = sum(segment.frames for segment in segments)
    return lazily(frames, traces[0].first.per_frame, len(traces), dtype, block)


def _pieces(
    segments: Sequence[Segment], traces: Sequence[Trace], dtype: str, first: int, last: int
) -> Iterator[tuple[int, Samples, npt.NDArray[np.bool_]]]:
    """Yield place of the segment, integers and validity of the stored frames first to last."""
    begin, per_frame = 0, traces[0].first.per_frame
    for place, segment in enumerate(segments):
        ends = (max(first - begin, 0), min(last - begin, segment.frames))
        begin += segment.frames
        if ends[0] < ends[1]:
            columns = [trace.columns[place] for trace in traces]
            yield place, *frames_of(columns, per_frame, dtype, *ends)


def _integers(
    segments: Sequence[Segment], traces: Sequence[Trace], dtype: str, first: int, last: int
) -> Samples:
    """Return stored integers, (time, channel); each channel's own mark where none is valid."""
    marks = np.array([trace.first.invalid for trace in traces], dtype)
    parts = [np.where(v, x, marks) for _, x, v in _pieces(segments, traces, dtype, first, last)]
    return np.concatenate(parts)


def _values(segments: Sequence[Segment], traces: Sequence[Trace], first: int, last: int) -> Samples:
    """Return values in SI units, (time, channel), NaN where none is valid."""
    parts = []
    for place, stored, valid in _pieces(segments, traces, "int32", first, last):
        scales = np.array([trace.scales[place] for trace in traces])
        parts.append(np.where(valid, stored * scales[:, 0] + scales[:, 1], np.nan))
    return np.concatenate(parts).astype("float32")


def _observed(
    segments: Sequence[Segment], traces: Sequence[Trace], first: int, last: int
) -> npt.NDArray[np.bool_]:
    """Return which samples are valid, (time, channel)."""
    parts = [valid for _, _, valid in _pieces(segments, traces, "int32", first, last)]
    return np.concatenate(parts)
