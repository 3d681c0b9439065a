"""Mean and standard deviation per channel, fitted on the training split and on nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from neurodata.errors import InvalidInputError, LeakageError
from neurodata.loader.patches import patch
from neurodata.loader.plan import Array, Box
from neurodata.loader.recordings import Assignment, Image, Recordings, Series
from neurodata.loader.spans import SLAB_ITEMS, rows_of, slabs

By = Literal["channel", "type"]
Part = tuple[tuple[str, ...], Array, Array]
"""Keys of the channels, values ``(item, channel)`` and which of them count."""

PLACE = ("id", "version", "start_s", "stop_s", "box_zyx")


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation by channel (or channel type), and what they were fitted on.

    Parameters
    ----------
    node : str
        Name of the node.
    by : {"channel", "type"}
    keys : tuple of str
        Channel name or type with its unit, e.g. ``"Cz [µV]"``.
    mean, std : tuple of float
        In that unit; over samples (population standard deviation).
    count : tuple of int
        Samples that went into each.
    fitted_on : tuple of dict
        ``id``, ``version`` and interval or box of every training assignment.
    """

    node: str
    by: By
    keys: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    count: tuple[int, ...]
    fitted_on: tuple[dict[str, Any], ...]

    @property
    def digest(self) -> str:
        """Hex sha256 of the canonical JSON of all fields."""
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def of(self, facts: Series | Image, where: str) -> tuple[Array, Array]:
        """Return mean and standard deviation ``(channel,)`` of a recording's channels.

        A channel that never changed in training has 1 in place of a standard deviation of 0.

        Raises
        ------
        InvalidInputError
            When training had no such channel.
        """
        at = {key: number for number, key in enumerate(self.keys)}
        wanted = keys_of(facts, self.by)
        if unknown := sorted(set(wanted) - set(at)):
            raise InvalidInputError(
                where,
                f"{len(unknown)} channels that training had not: {', '.join(unknown[:5])}",
                f"one of {', '.join(self.keys[:5])}",
                "give scale='standard_by_type'" if self.by == "channel" else "give scale=None",
            )
        rows = [at[key] for key in wanted]
        std = np.array(self.std)[rows]
        return np.array(self.mean)[rows], np.where(std > 0, std, 1.0)

    def require_no_leak(self, assignments: Iterable[Assignment]) -> None:
        """Refuse statistics that saw a part of what a split holds out.

        Raises
        ------
        LeakageError
            Naming the recording.
        """
        for held in assignments:
            for seen in self.fitted_on:
                if held["split"] != "train" and _overlap(held, seen):
                    raise LeakageError(
                        f"statistics: {held['id']}",
                        f"a fit on data of the split {held['split']!r}",
                        "a fit on the training split only",
                        "give scale='standard' or the training loader's statistics",
                    )


def _overlap(one: Assignment, other: Assignment) -> bool:
    if one["id"] != other["id"]:
        return False
    if one.get("start_s") is not None and other.get("start_s") is not None:
        return bool(one["start_s"] < other["stop_s"] and other["start_s"] < one["stop_s"])
    if one.get("box_zyx") and other.get("box_zyx"):
        pairs = zip(one["box_zyx"], other["box_zyx"], strict=True)
        return all(a[0] < b[1] and b[0] < a[1] for a, b in pairs)
    return True


def keys_of(facts: Series | Image, by: By) -> tuple[str, ...]:
    """Return what each channel's statistics are filed under."""
    names = facts.channels if by == "channel" else facts.kinds
    return tuple(f"{name} [{unit}]" for name, unit in zip(names, facts.units, strict=True))


def fit(
    node: str, by: By, parts: Iterable[Part], assignments: Sequence[Mapping[str, Any]]
) -> Statistics:
    """Fit statistics on parts of the data, in one pass.

    Raises
    ------
    InvalidInputError
        When there is no finite value at all.

    References
    ----------
    Chan, Golub & LeVeque 1979 (STAN-CS-79-773), for the merging of partial sums.
    """
    total: dict[str, tuple[int, float, float]] = {}
    for keys, values, counts in parts:
        for key, *partial in zip(keys, *_moments(values, counts), strict=True):
            total[key] = _merged(total.get(key, (0, 0.0, 0.0)), *partial)
    filled = {key: item for key, item in total.items() if item[0] > 0}
    if not filled:
        raise InvalidInputError(f"statistics: {node}", "no finite value", "training data")
    return Statistics(
        node=node,
        by=by,
        keys=tuple(filled),
        mean=tuple(float(mean) for _, mean, _ in filled.values()),
        std=tuple(float(np.sqrt(squares / count)) for count, _, squares in filled.values()),
        count=tuple(int(count) for count, _, _ in filled.values()),
        fitted_on=tuple({k: item[k] for k in PLACE if k in item} for item in assignments),
    )


def _moments(values: Array, counts: Array) -> tuple[Array, Array, Array]:
    """Return per channel the count, mean and sum of squared deviations of what counts."""
    use = counts & np.isfinite(values)
    count = use.sum(axis=0)
    mean = np.where(use, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    squares = (np.where(use, values - mean, 0.0) ** 2).sum(axis=0)
    return count, mean, squares


def _merged(
    old: tuple[int, float, float], count: int, mean: float, squares: float
) -> tuple[int, float, float]:
    if count == 0:
        return old
    both, step = old[0] + count, mean - old[1]
    return (
        both,
        old[1] + step * count / both,
        old[2] + squares + step**2 * old[0] * count / both,
    )


def series_parts(
    recordings: Recordings,
    node: str,
    series: Sequence[Series],
    assignments: Sequence[Assignment],
    by: By,
) -> Iterator[Part]:
    """Yield the signal of every assignment, slab by slab, at its own rate."""
    for item in assignments:
        number = recordings.ids.index(item["id"])
        keys = keys_of(series[number], by)
        rows = rows_of(series[number], item)
        for _, values, valid in slabs(recordings, number, node, series[number], rows):
            yield keys, values, valid


def image_parts(
    recordings: Recordings, node: str, images: Sequence[Image], boxes: Sequence[Box], by: By
) -> Iterator[Part]:
    """Yield the voxels of every box, some planes at a time."""
    for box in boxes:
        image = images[box.recording]
        (z0, z1), (y0, y1), (x0, x1) = box.box_zyx
        step = max(1, SLAB_ITEMS // ((y1 - y0) * (x1 - x0) * len(image.channels)))
        for time in range(box.first, box.stop):
            for z in range(z0, z1, step):
                shape = (min(step, z1 - z), y1 - y0, x1 - x0)
                pick = {"recording": box.recording, "time": time, "shape_zyx": shape}
                values = patch(recordings, node, image, {**pick, "corner_zyx": (z, y0, x0)})
                flat = values.reshape(len(image.channels), -1).T
                yield keys_of(image, by), flat, np.ones(flat.shape, bool)
