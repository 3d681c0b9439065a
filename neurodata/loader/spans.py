"""What a split's assignments leave of each recording: spans of samples, boxes of voxels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, floor, isclose

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.plan import SAME_RATE, Array, Box, Ratio, Span, cut, ratio_of
from neurodata.loader.recordings import Assignment, Image, Recordings, Series

GAP_STEPS = 1.5
SLAB_ITEMS = 2**21

NOT_FINITE = "samples not finite or not observed"
GAP = "gap in the clock"


def require_one_rate(
    recordings: Recordings, series: Sequence[Series], resample_hz: float | None
) -> None:
    """Refuse mixed rates and irregular clocks unless they are to be resampled.

    Raises
    ------
    InvalidInputError
        Naming the recordings and their rates.
    """
    if resample_hz is not None:
        return
    for identity, item in zip(recordings.ids, series, strict=True):
        if item.times is not None:
            raise InvalidInputError(
                identity,
                f"an irregular clock (median {item.rate_hz:.6g} Hz)",
                "a regular clock, or a rate to interpolate to",
                f"give resample_hz, e.g. resample_hz={item.rate_hz:.3g}",
            )
    rates: dict[float, list[str]] = {}
    for identity, item in zip(recordings.ids, series, strict=True):
        same = (rate for rate in rates if isclose(rate, item.rate_hz, rel_tol=SAME_RATE))
        rates.setdefault(next(same, item.rate_hz), []).append(identity)
    if len(rates) > 1:
        found = "; ".join(f"{rate:.9g} Hz in {', '.join(ids[:3])}" for rate, ids in rates.items())
        raise InvalidInputError(
            "load", f"mixed rates: {found}", "one rate", f"give resample_hz, e.g. {min(rates):.6g}"
        )


def spans_of(
    recordings: Recordings,
    node: str,
    series: Sequence[Series],
    assignments: Sequence[Assignment],
    resample_hz: float | None,
) -> list[Span]:
    """Return one span per assignment, in order; an assignment without samples has count 0."""
    spans = []
    for item in assignments:
        number = recordings.ids.index(item["id"])
        rows = rows_of(series[number], item)
        bad = _unusable(recordings, number, node, series[number], rows)
        if series[number].times is None:
            where = recordings.where(number, node)
            spans.append(_regular(number, series[number], rows, bad, resample_hz, where))
        else:
            spans.append(_irregular(number, series[number], rows, bad, resample_hz))
    return spans


def rows_of(series: Series, item: Assignment) -> slice:
    """Return the samples whose time lies in an assignment's ``[start_s, stop_s)``."""
    start_s, stop_s = item.get("start_s"), item.get("stop_s")
    if series.times is None:
        return cut(series.start_s, series.rate_hz, series.n, start_s, stop_s)
    first = 0 if start_s is None else int(np.searchsorted(series.times, start_s))
    stop = series.n if stop_s is None else int(np.searchsorted(series.times, stop_s))
    return slice(first, max(first, stop))


def _regular(
    number: int, series: Series, rows: slice, bad: Array, resample_hz: float | None, where: str
) -> Span:
    ratio = Ratio() if resample_hz is None else ratio_of(series.rate_hz, resample_hz, where)
    return Span(
        recording=number,
        start_s=series.start_s + rows.start / series.rate_hz,
        rate_hz=series.rate_hz,
        count=rows.stop - rows.start,
        offset=rows.start,
        bad={NOT_FINITE: bad} if bad.any() else {},
        ratio=ratio,
    )


def _irregular(
    number: int, series: Series, rows: slice, bad: Array, resample_hz: float | None
) -> Span:
    """Lay a regular grid over an irregular clock, fine enough to be filtered afterwards."""
    if resample_hz is None or series.times is None:
        raise InvalidInputError("load", "an irregular clock", "resample_hz", "give resample_hz")
    fold = max(1, ceil(series.rate_hz / resample_hz - 0.05))
    rate_hz = resample_hz * fold
    times = series.times[rows]
    if len(times) < 2:
        return Span(number, series.start_s, rate_hz, 0, rows.start, ratio=Ratio(1, fold))
    grid = times[0] + np.arange(floor((times[-1] - times[0]) * rate_hz + 1e-6) + 1) / rate_hz
    left = before(times, grid)
    reasons = {
        NOT_FINITE: bad[left] | bad[left + 1],
        GAP: np.diff(times)[left] * series.rate_hz > GAP_STEPS,
    }
    return Span(
        recording=number,
        start_s=float(times[0]),
        rate_hz=rate_hz,
        count=len(grid),
        offset=rows.start,
        times=times,
        bad={reason: array for reason, array in reasons.items() if array.any()},
        ratio=Ratio(1, fold),
    )


def before(times: Array, wanted: Array) -> Array:
    """Return for each wanted time the index of the sample before it, the last but one at most."""
    return np.clip(np.searchsorted(times, wanted) - 1, 0, len(times) - 2)


def _unusable(recordings: Recordings, number: int, node: str, series: Series, rows: slice) -> Array:
    """Say for each sample whether a channel that counts as observed is not finite there."""
    bad = np.zeros(rows.stop - rows.start, bool)
    key = (number, node, series.variable)
    if recordings.known_finite(key, series.scale, series.offset) and not series.observed:
        return bad
    for part, values, valid in slabs(recordings, number, node, series, rows):
        with np.errstate(over="ignore"):
            wrong = ~np.isfinite(values.astype("f4"))
        here = slice(part.start - rows.start, part.stop - rows.start)
        bad[here] = (wrong & valid).any(axis=1) | ~valid.any(axis=1)
    return bad


def slabs(
    recordings: Recordings, number: int, node: str, series: Series, rows: slice
) -> Iterator[tuple[slice, Array, Array]]:
    """Yield rows, values ``(time, channel)`` float64 in the field's units, and what is observed."""
    step = max(1, SLAB_ITEMS // max(1, len(series.channels)))
    for first in range(rows.start, rows.stop, step):
        part = slice(first, min(first + step, rows.stop))
        block = recordings.read(number, node, series.variable, (part,))
        valid = np.ones(block.shape, bool)
        if series.observed:
            valid = recordings.read(number, node, "observed", (part,)).astype(bool)
        yield part, block * series.scale + series.offset, valid


def boxes_of(
    recordings: Recordings, images: Sequence[Image], assignments: Sequence[Assignment]
) -> list[Box]:
    """Return one box per assignment, in order, with the time points that it spans.

    Raises
    ------
    InvalidInputError
        When a box leaves the volume, or an interval cuts a volume without a clock.
    """
    boxes = []
    for item in assignments:
        number = recordings.ids.index(item["id"])
        image = images[number]
        z, y, x = item.get("box_zyx") or [(0, size) for size in image.shape_zyx]
        box = ((int(z[0]), int(z[1])), (int(y[0]), int(y[1])), (int(x[0]), int(x[1])))
        ends = zip(box, image.shape_zyx, strict=True)
        if not all(0 <= a < b <= size for (a, b), size in ends):
            raise InvalidInputError(
                f"split: {item['id']}", f"box {box}", f"a box inside {image.shape_zyx}"
            )
        first, stop = _time_points(image, item)
        boxes.append(Box(number, box, first, stop, image.times))
    return boxes


def _time_points(image: Image, item: Assignment) -> tuple[int, int]:
    start_s, stop_s = item.get("start_s"), item.get("stop_s")
    if start_s is None and stop_s is None:
        return 0, image.n
    if image.times is None:
        raise InvalidInputError(
            f"split: {item['id']}", "an interval in seconds", "a volume with a clock"
        )
    first = 0 if start_s is None else int(np.searchsorted(image.times, start_s - 1e-6))
    stop = image.n if stop_s is None else int(np.searchsorted(image.times, stop_s - 1e-6))
    return first, max(first, stop)
