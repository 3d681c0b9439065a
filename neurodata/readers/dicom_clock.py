"""When the volumes of a DICOM series were taken, and the slices of a volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neurodata.declare import Declared, missing
from neurodata.errors import InvalidInputError
from neurodata.readers.dicom_facts import CARDIAC, REPETITION_MS, VOLUMES
from neurodata.readers.dicom_frames import Image
from neurodata.readers.dicom_header import label
from neurodata.readers.dicom_space import Grid
from neurodata.readers.dicom_vendor import ge_slice_times_s
from neurodata.readers.nifti_space import REPETITION_S, TOLERANCE
from neurodata.safe import Raw

DAY_S = 86400.0
AGREES = 0.1  # part of the repetition time by which times of acquisition may differ from it
TIMES_AGREE_S = 0.02  # Siemens rounds slice times to 2.5 ms, and they vary by as much


def repetition_s(images: Sequence[Image]) -> float | None:
    """Return the repetition time that all files state, in seconds, or None."""
    found = {image.facts["repetition_ms"] for image in images if "repetition_ms" in image.facts}
    stated = found.pop() if len(found) == 1 else 0.0
    return stated / 1e3 if stated > 0 else None


def clock(
    raw: Raw, images: Sequence[Image], grid: Grid, declare: Declared
) -> dict[str, float | int]:
    """Return ``start_s``, ``rate_hz`` and ``n`` of the volumes.

    Raises
    ------
    MissingFactError
        When the repetition time is absent, implausible, not one, or is not what passes from
        one volume to the next, and no rate is declared.
    """
    times, stated = grid.shape[0], images[0].facts.get("volumes", 0.0)
    if stated > 1 and stated != times:
        raw.warn(label(VOLUMES), f"{times} volumes", f"{stated:g} by the header", "files may lack")
    start_s = declare.number("start_s") or 0.0
    rate_hz = declare.number("rate_hz")
    stated_s, where = repetition_s(images), f"{raw.name}: {label(REPETITION_MS)}"
    if rate_hz is None:
        measured_s = _measured_s(grid)
        _require_period(raw, images, stated_s, measured_s, where)
        rate_hz = 1.0 / (stated_s or 1.0)
    elif not rate_hz > 0:
        raise InvalidInputError("--set rate_hz", str(rate_hz), "a number over 0")
    elif stated_s is None or abs(stated_s * rate_hz - 1) > TOLERANCE:
        found = "no repetition time" if stated_s is None else f"{stated_s:g} s"
        raw.warn(label(REPETITION_MS), found, f"{1 / rate_hz:g} s as declared")
    return {"start_s": start_s, "rate_hz": rate_hz, "n": times}


def _require_period(
    raw: Raw,
    images: Sequence[Image],
    stated_s: float | None,
    measured_s: tuple[float, float] | None,
    where: str,
) -> None:
    wanted = "volumes a second, or another meaning of the axis (--set axes=channel,z,y,x)"
    if any(image.facts.get("cardiac", 0) > 1 for image in images):
        where = f"{raw.name}: {label(CARDIAC)}"
        raise missing(where, "phases of the heartbeat", wanted, "rate_hz=<Hz>")
    if stated_s is None:
        raise missing(where, "none that all files state", wanted, "rate_hz=<Hz>")
    example = f"rate_hz={1 / stated_s:.6g}"
    if not REPETITION_S[0] <= stated_s <= REPETITION_S[1]:
        low, high = REPETITION_S
        raise missing(where, f"{stated_s:g} s", f"{low:g} to {high:g} s", "rate_hz=<Hz>")
    if measured_s is not None:
        period_s, slack_s = measured_s
        if abs(period_s - stated_s) > AGREES * stated_s + slack_s:
            found = f"{stated_s:g} s, but {period_s:g} s between times of acquisition"
            raise missing(where, found, wanted, example)


def _measured_s(grid: Grid) -> tuple[float, float] | None:
    """Return the mean time between volumes by their times of day, and its rounding."""
    starts = []
    for time in range(grid.shape[0]):
        known = [f.acquired_s for f in grid.at(time) if f.acquired_s is not None]
        if len(known) != grid.shape[2]:
            return None
        starts.append(min(known))
    steps = np.diff(starts) % DAY_S
    if not steps.any():
        return None
    rounded = all(start == int(start) for start in starts)
    return float(steps.sum() / len(steps)), (1.0 if rounded else 0.0) / len(steps)


def slice_times_s(
    raw: Raw, images: Sequence[Image], grid: Grid, period_s: float
) -> np.ndarray[Any, Any] | None:
    """Return when each slice was taken within its volume, (z) in s, or None where unknown."""
    volumes = [[frame.slice_s for frame in grid.at(time)] for time in range(grid.shape[0])]
    if all(None not in volume for volume in volumes):
        return _stated_times_s(raw, np.array(volumes, "f8"), period_s)
    orders = {image.facts.get("interleaved") for image in images}
    first, (_, channels, slices) = grid.at(0), grid.shape
    numbers = [frame.order[0] for frame in first]
    if channels > 1 or None in orders or len(orders) > 1 or len(set(numbers)) != slices:
        return None
    times = np.empty(slices)
    interleaved = bool(orders.pop())
    times[np.argsort(numbers)] = ge_slice_times_s(slices, period_s, interleaved)
    how = "every second slice first" if interleaved else "one after the other"
    raw.note("slice_time", f"slices taken {how} by GE's protocol", "", "their times follow")
    return times


def _stated_times_s(
    raw: Raw, volumes: np.ndarray[Any, Any], period_s: float
) -> np.ndarray[Any, Any] | None:
    spans = volumes.max(axis=1) - volumes.min(axis=1)
    found: np.ndarray[Any, Any] = volumes[int(np.argmax(spans))]  # first volumes may fall short
    apart_s = float(np.abs(volumes - found).max())
    if apart_s > TIMES_AGREE_S or found.max() >= period_s:
        raw.warn(
            "slice_time",
            f"slice times up to {found.max():g} s that differ by {apart_s:g} s between volumes",
            f"the same in each volume, within {period_s:g} s",
            "left out",
        )
        return None
    return found
