"""Traces on the clock that a file or a person states: regular, or times as found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import UnreadableError
from neurodata.readers.channels import Channel, Clock, timeseries
from neurodata.readers.delimited import Numbers
from neurodata.safe import Raw

EXACT = 1e-6  # of a step: times that a regular clock gives but for rounding


def rising(times: Numbers, where: str) -> Numbers:
    """Return times as float64 after checking that they are finite and rise.

    Raises
    ------
    UnreadableError
        When they do not, or are no list of numbers.
    """
    if times.ndim != 1 or times.dtype.kind not in "iuf":
        raise UnreadableError(where, f"{times.dtype} of shape {times.shape}", "a list of times")
    seconds = times.astype("float64")
    bad, falls = int((~np.isfinite(seconds)).sum()), int((np.diff(seconds) <= 0).sum())
    if bad or falls or not len(seconds):
        found = f"{bad} non-finite times and {falls} not after the one before, of {len(seconds)}"
        raise UnreadableError(where, found, "times that rise", "export the recording again")
    return seconds


def clock_of(times: Numbers, rate_hz: float | None, where: str) -> Clock | None:
    """Return the regular clock that times (s) keep, or None where they keep none.

    Parameters
    ----------
    rate_hz : float, optional
        The declared rate: times may then be half a sample off.

    Raises
    ------
    UnreadableError
        When the times contradict the declared rate.

    Examples
    --------
    >>> clock_of(np.array([0.5, 0.6, 0.7]), None, "a.csv").rate_hz
    10.0
    >>> clock_of(np.array([0.0, 0.033, 0.067]), None, "a.csv") is None
    True
    >>> clock_of(np.array([0.0, 0.033, 0.067]), 30.0, "a.csv").rate_hz
    30.0
    """
    n, first = len(times), float(times[0])
    if rate_hz is not None:
        off = np.abs(times - first - np.arange(n) / rate_hz).max() * rate_hz
        if off >= 0.5:
            raise UnreadableError(
                where, f"times {off:.3g} samples off the declared rate of {rate_hz} Hz",
                "times at that rate", "correct --set rate_hz, or leave it out to keep the times",
            )  # fmt: skip
        return Clock(rate_hz, n, ((0, first),))
    if n < 2:
        return None
    step = (float(times[-1]) - first) / (n - 1)
    if np.abs(times - first - np.arange(n) * step).max() > EXACT * step:
        return None
    return Clock(float(f"{1 / step:.12g}"), n, ((0, first),))


def clocked(
    signal: Any, channels: Sequence[Channel], clock: Clock | Numbers, raw: Raw
) -> xr.Dataset:
    """Return a `timeseries` node (time, channel) on a regular clock or on times (s) as found.

    Integers are kept with the scale of their channels; floats are scaled to their units here.

    Raises
    ------
    UnreadableError
        When the rate is impossible.
    """
    if signal.dtype.kind == "b":
        signal = signal.astype("uint8")
    scale = np.array([channel.scale for channel in channels])
    if signal.dtype.kind == "f" and (scale != 1).any():
        signal = signal * scale
    if isinstance(clock, Clock):
        clock.require(raw.name)
        return timeseries(signal, channels, clock)
    node = timeseries(signal, channels, Clock(1.0, len(clock)))
    for fact in ("start_s", "rate_hz", "n"):
        del node.attrs[fact]
    raw.note("times", "no regular clock, kept as found", "", "if it was one, add --set rate_hz=...")
    return node.assign_coords(time=("time", clock, {"units": "s"}))
