"""Which samples an epoch has, and in which order: pure functions, nothing is read here.

A window lies on the grid of a `Span`: what one assignment of a split leaves of one recording,
counted in samples of the clock that batches have. A patch lies in a `Box`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from math import ceil, isclose
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from neurodata.errors import InvalidInputError
from neurodata.loader.samples import Patches, Volumes

Array = npt.NDArray[Any]

WINDOW = np.dtype(
    [("recording", "i4"), ("span", "i4"), ("first", "i8"), ("start_s", "f8"), ("row", "i4")]
)
"""A window: recording and span by number, first sample in the span, its time, interval row."""

PATCH = np.dtype(
    [
        ("recording", "i4"),
        ("time", "i4"),
        ("start_s", "f8"),
        ("corner_zyx", "i4", (3,)),
        ("shape_zyx", "i4", (3,)),
    ]
)
"""A block of voxels: recording, time point, its time (NaN without clock), corner and shape."""

BORDER = "crosses the border of the recording or split"
FILTER_HALF = 10
RATIO_LIMIT = 1000
SAME_RATE = 1e-6


@dataclass(frozen=True)
class Ratio:
    """Resampling by ``up / down``, with the reach of its anti-aliasing filter.

    The filter is that of `scipy.signal.resample_poly`: ``10 * max(up, down)`` taps to each
    side at ``up`` times the source's rate.
    """

    up: int = 1
    down: int = 1

    @property
    def half(self) -> int:
        """Taps to one side, at ``up`` times the source's rate."""
        return 0 if self.up == self.down else FILTER_HALF * max(self.up, self.down)

    def source(self, first: Any, count: int) -> tuple[Any, Any]:
        """Return the source samples ``[lo, hi)`` that ``count`` outputs from ``first`` need.

        ``first`` is a number or an array of them.
        """
        lo = (first * self.down - self.half) // self.up
        hi = -(-((first + count - 1) * self.down + self.half) // self.up) + 1
        return lo, hi


@dataclass(frozen=True)
class Span:
    """A stretch of one recording that windows may lie in, on a regular grid of source samples.

    Parameters
    ----------
    recording : int
        Number of the recording.
    start_s, rate_hz, count
        Time of the first source sample, their rate and how many there are.
    offset : int
        Index in the stored array of the span's first stored sample.
    times : array, optional
        Seconds of the stored samples where an irregular clock is interpolated to the grid.
    bad : mapping of str to bool array (count,)
        Source samples that no window may need, by reason.
    ratio : Ratio
        Resampling from the source's rate to that of the batches.
    """

    recording: int
    start_s: float
    rate_hz: float
    count: int
    offset: int = 0
    times: Array | None = None
    bad: dict[str, Array] = field(default_factory=dict)
    ratio: Ratio = Ratio()

    @property
    def out_hz(self) -> float:
        """Rate of the batches' samples."""
        return self.rate_hz * self.ratio.up / self.ratio.down

    def bounds(self, count: int) -> tuple[int, int]:
        """Return the first and last output sample that a window of ``count`` may start at."""
        first = -(-self.ratio.half // self.ratio.down)
        last = ((self.count - 1) * self.ratio.up - self.ratio.half) // self.ratio.down - count + 1
        return first, last


@dataclass(frozen=True)
class Box:
    """A block of voxels that patches may lie in, at the time points ``[first, stop)``."""

    recording: int
    box_zyx: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    first: int = 0
    stop: int = 1
    times: Array | None = None


def ratio_of(rate_hz: float, wanted_hz: float, where: str) -> Ratio:
    """Return the ratio of whole numbers up to 1000 that leads from one rate to another.

    Raises
    ------
    InvalidInputError
        When there is none.

    Examples
    --------
    >>> ratio_of(2500.0, 200.0, "eeg")
    Ratio(up=2, down=25)
    """
    if isclose(wanted_hz, rate_hz, rel_tol=SAME_RATE):
        return Ratio()
    found = Fraction(wanted_hz / rate_hz).limit_denominator(RATIO_LIMIT)
    exact = found > 0 and abs(float(found) * rate_hz / wanted_hz - 1) < 1e-9
    if not exact or found.numerator > RATIO_LIMIT:
        raise InvalidInputError(
            where,
            f"resample_hz={wanted_hz} from {rate_hz} Hz",
            f"a ratio of whole numbers up to {RATIO_LIMIT}",
            "give a rate such as the recording's own divided by a whole number",
        )
    return Ratio(found.numerator, found.denominator)


def samples_in(length_s: float, rate_hz: float, what: str) -> int:
    """Return the nearest whole number of samples in a length.

    Raises
    ------
    InvalidInputError
        When that is none at all.

    Examples
    --------
    >>> samples_in(3.0, 30.03, "length_s")
    90
    """
    count = round(length_s * rate_hz)
    if count < 1:
        raise InvalidInputError(
            what, f"{length_s} s at {rate_hz} Hz", "at least one sample", "make it longer"
        )
    return count


def plan_windows(
    spans: Sequence[Span], count: int, stride: int, beyond: int = 0
) -> tuple[Array, Counter[str]]:
    """Return the grid of windows, in order, and how many were left out by reason.

    Parameters
    ----------
    spans : sequence of Span
        All of one rate.
    count, stride : int
        Length of a window and distance between starts, in samples of the batch.
    beyond : int
        Samples after each window that its target needs; they lie in the span as well.

    Examples
    --------
    >>> picks, left_out = plan_windows([Span(0, 5.0, 10.0, 37)], count=10, stride=10)
    >>> picks["first"].tolist(), picks["start_s"].tolist()
    ([0, 10, 20], [5.0, 6.0, 7.0])
    """
    parts: list[Array] = []
    for number, span in enumerate(spans):
        first, last = span.bounds(count + beyond)
        starts = np.arange(first, max(first, last + 1), stride)
        parts.append(_picks(number, span, starts, np.full(len(starts), -1)))
    picks = _join(parts, WINDOW)
    keep, left_out = usable(spans, picks, count + beyond)
    return picks[keep], left_out


def plan_trials(
    spans: Sequence[Span],
    onsets: Sequence[tuple[Array, Array]],
    tmin_s: float,
    count: int,
    beyond: int = 0,
) -> tuple[Array, Counter[str]]:
    """Return the windows around onsets, span by span, and how many were left out by reason.

    Parameters
    ----------
    onsets : sequence of (onset_s, row)
        For each span, the onsets in seconds that lie in it, and their rows.
    """
    parts: list[Array] = []
    for number, (span, (onset_s, row)) in enumerate(zip(spans, onsets, strict=True)):
        starts = np.rint((onset_s + tmin_s - span.start_s) * span.out_hz).astype("i8")
        parts.append(_picks(number, span, starts, row))
    picks = _join(parts, WINDOW)
    keep, left_out = usable(spans, picks, count + beyond)
    return picks[keep], left_out


def usable(spans: Sequence[Span], picks: Array, count: int) -> tuple[Array, Counter[str]]:
    """Say which windows lie in their span and need no bad sample; count the others by reason."""
    keep = np.ones(len(picks), bool)
    left_out: Counter[str] = Counter()
    for number, span in enumerate(spans):
        own = np.flatnonzero(picks["span"] == number)
        starts = picks["first"][own]
        first, last = span.bounds(count)
        inside = (starts >= first) & (starts <= last)
        left_out[BORDER] += int((~inside).sum())
        keep[own[~inside]] = False
        own, (lo, hi) = own[inside], span.ratio.source(starts[inside], count)
        for reason, bad in span.bad.items():
            total = np.concatenate([[0], np.cumsum(bad)])
            touched = own[total[hi] > total[lo]]
            left_out[reason] += int(keep[touched].sum())
            keep[touched] = False
    return keep, +left_out


def _picks(number: int, span: Span, starts: Array, rows: Array) -> Array:
    picks = np.zeros(len(starts), WINDOW)
    picks["recording"], picks["span"] = span.recording, number
    picks["first"], picks["row"] = starts, rows
    picks["start_s"] = span.start_s + starts / span.out_hz
    return picks


def _join(parts: Sequence[Array], dtype: np.dtype[Any]) -> Array:
    return np.concatenate([np.zeros(0, dtype), *parts])


def plan_patches(boxes: Sequence[Box], sample: Patches | Volumes) -> Array:
    """Return the grid of patches (or each whole box), time point by time point, in order.

    Examples
    --------
    >>> box = Box(0, ((0, 1), (0, 5), (2, 6)))
    >>> plan_patches([box], Patches((1, 2, 2)))["corner_zyx"].tolist()
    [[0, 0, 2], [0, 0, 4], [0, 2, 2], [0, 2, 4]]
    """
    parts = []
    for box in boxes:
        shape = tuple(b - a for a, b in box.box_zyx)
        stride: tuple[int, ...] = shape
        if isinstance(sample, Patches):
            shape, stride = sample.shape_zyx, sample.stride_zyx or sample.shape_zyx
        edges = zip(box.box_zyx, shape, stride, strict=True)
        axes = [range(a, b - size + 1, step) for (a, b), size, step in edges]
        corners = np.array(list(product(*axes)), "i4").reshape(-1, 3)
        for time in range(box.first, box.stop):
            part = np.zeros(len(corners), PATCH)
            part["recording"], part["time"] = box.recording, time
            part["start_s"] = np.nan if box.times is None else box.times[time]
            part["corner_zyx"], part["shape_zyx"] = corners, shape
            parts.append(part)
    return _join(parts, PATCH)


class Place(NamedTuple):
    """Where a batch stands; the random numbers of its drawings are a function of this alone."""

    seed: int
    epoch: int
    rank: int
    position: int

    def generator(self) -> np.random.Generator:
        """Return a stream that no other place has, nor the order of an epoch."""
        key = np.array([self.seed, self.epoch], "u8")
        counter = np.array([0, 0, self.rank, self.position + 1], "u8")
        return np.random.Generator(np.random.Philox(key=key, counter=counter))


def cut(start_s: float, rate_hz: float, n: int, from_s: float | None, to_s: float | None) -> slice:
    """Return the samples of a regular clock with ``from_s <= time < to_s``; None is open.

    Examples
    --------
    >>> cut(0.0, 10.0, 100, 1.0, 2.0)
    slice(10, 20, None)
    """
    first = 0 if from_s is None else ceil((from_s - start_s) * rate_hz - 1e-6)
    stop = n if to_s is None else ceil((to_s - start_s) * rate_hz - 1e-6)
    first = min(max(first, 0), n)
    return slice(first, min(max(stop, first), n))
