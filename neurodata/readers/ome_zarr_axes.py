"""Axes and coordinate transformations of an OME-Zarr image: voxel size, place and frame rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from neurodata.errors import RefusedError, UnknownFormatError, UnreadableError
from neurodata.readers.image_volume import Facts
from neurodata.safe import Raw
from neurodata.units import to_si

NAMES = {("time", "t"): "time", ("channel", "c"): "channel"} | {
    ("space", axis): axis for axis in "zyx"
}
LEVEL_LIMIT = 64
LARGEST = 1e100


@dataclass
class Multiscale:
    """An image's axes, the paths of its levels, largest first, and what each level's grid is.

    Parameters
    ----------
    axes : list of str
        Names from (time, channel, z, y, x), in the arrays' order.
    paths : list of str
        As stated: not checked yet.
    scales, places : list of list of float
        Per level and axis, size of a voxel and place of the first one, in the axes' units.
    facts : Facts
        The first level's voxel size, place and frame rate, where the axes have units.
    """

    axes: list[str]
    paths: list[str]
    scales: list[list[float]]
    places: list[list[float]]
    facts: Facts = field(default_factory=Facts)

    def check(self, shape: Sequence[int], raw: Raw, where: str) -> None:
        """Refuse an array with another number of axes than the metadata have.

        Raises
        ------
        UnreadableError
            When it has.
        """
        if len(shape) != len(self.axes):
            raise UnreadableError(
                where, f"an array of shape {tuple(shape)}", f"axes {', '.join(self.axes)}"
            )

    def same_place(self, level: int, other: Multiscale) -> bool:
        """Say whether a level lies where the first level of another image does."""
        pairs = [(self.axes.index(a), other.axes.index(a)) for a in "zyx" if a in self.axes]
        mine = [(self.scales[level][i], self.places[level][i]) for i, _ in pairs]
        theirs = [(other.scales[0][j], other.places[0][j]) for _, j in pairs]
        return all(
            math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
            for one, two in zip(mine, theirs, strict=True)
            for a, b in zip(one, two, strict=True)
        )


def multiscale(ome: Mapping[str, Any], raw: Raw, where: str) -> Multiscale:
    """Return what the first image of a group's OME metadata states of its grid.

    Raises
    ------
    UnknownFormatError
        On axes and transformations that are not known.
    UnreadableError
        When they contradict each other, or a size is no finite number over 0.
    """
    image = ome["multiscales"][0]
    stated = image.get("axes")
    if not isinstance(stated, list) or not all(isinstance(axis, dict) for axis in stated):
        raise UnreadableError(f"{where}: axes", repr(stated)[:60], "a list of axes")
    axes = [_axis(axis, where) for axis in stated]
    if len(set(axes)) < len(axes) or not {"y", "x"} <= set(axes):
        raise UnknownFormatError(f"{where}: axes", ", ".join(axes), "y and x, each axis once")
    datasets = image.get("datasets")
    if not isinstance(datasets, list) or not 0 < len(datasets) <= LEVEL_LIMIT:
        raise UnreadableError(f"{where}: datasets", repr(datasets)[:60], "a list of levels")
    if not all(isinstance(level, dict) for level in datasets):
        raise UnreadableError(f"{where}: datasets", repr(datasets)[:60], "a list of levels")
    whole = _transformed(image.get("coordinateTransformations"), len(axes), where)
    found = Multiscale(axes, [str(level.get("path")) for level in datasets], [], [])
    for level in datasets:
        size, place = _transformed(level.get("coordinateTransformations"), len(axes), where)
        found.scales.append([a * b for a, b in zip(size, whole[0], strict=True)])
        shifted = zip(place, *whole, strict=True)
        found.places.append([here * scale + shift for here, scale, shift in shifted])
    if "coordinateTransformations" in datasets[0]:
        _add_facts(found, stated, raw, where)
    return found


def _axis(axis: Mapping[str, Any], where: str) -> str:
    name, kind = axis.get("name"), axis.get("type")
    known = NAMES.get((str(kind), str(name)))
    if known is None:
        raise UnknownFormatError(
            f"{where}: axes", f"an axis {str(name)[:20]!r} of type {str(kind)[:20]!r}",
            "t of time, c of channel, and z, y, x of space", "name the axes so",
        )  # fmt: skip
    return known


def _transformed(stated: Any, count: int, where: str) -> tuple[list[float], list[float]]:
    """Return the scale and the translation that a list of transformations amounts to."""
    scale, place = [1.0] * count, [0.0] * count
    if stated is None:
        return scale, place
    if not isinstance(stated, list) or not all(isinstance(step, dict) for step in stated):
        raise UnreadableError(f"{where}: coordinateTransformations", repr(stated)[:60], "a list")
    for step in stated:
        kind = step.get("type")
        if kind == "identity":
            continue
        if kind not in ("scale", "translation") or kind not in step:
            raise UnknownFormatError(
                f"{where}: coordinateTransformations", f"the type {str(kind)[:20]!r}",
                "scale and translation, as numbers",
            )  # fmt: skip
        numbers = _numbers(step[kind], count, f"{where}: {kind}")
        if kind == "scale":
            if not all(number > 0 for number in numbers):
                raise UnreadableError(f"{where}: scale", f"{numbers}", "numbers over 0")
            scale = [a * b for a, b in zip(scale, numbers, strict=True)]
            place = [a * b for a, b in zip(place, numbers, strict=True)]
        else:
            place = [a + b for a, b in zip(place, numbers, strict=True)]
    return scale, place


def _numbers(stated: Any, count: int, where: str) -> list[float]:
    fits = isinstance(stated, list) and len(stated) == count
    if not fits or not all(type(n) in (int, float) and abs(n) < LARGEST for n in stated):
        raise UnreadableError(where, repr(stated)[:60], f"{count} finite numbers")
    return [float(number) for number in stated]


def _add_facts(found: Multiscale, axes: Sequence[Mapping[str, Any]], raw: Raw, where: str) -> None:
    """Add what the first level states in known units: voxel size, place and frame rate."""
    lost, origin_um = [], {}
    for number, (axis, stated) in enumerate(zip(found.axes, axes, strict=True)):
        size, place, unit = found.scales[0][number], found.places[0][number], stated.get("unit")
        symbol = "s" if axis == "time" else "m"
        factor = None
        if axis != "channel" and unit is not None:
            factor = _factor(str(unit), symbol, raw, where)
        if place and (factor is None or axis == "time"):
            lost.append(f"{place:g} along {axis}")
        if factor is None:
            continue
        step = size * factor
        value = step * 1e6 if symbol == "m" else 1 / max(step, 1 / LARGEST)
        if not 1 / LARGEST < value < LARGEST:
            raise UnreadableError(f"{where}: scale", f"{size} along {axis}", "a plausible size")
        if axis == "time":
            found.facts.rate_hz = value
        else:
            found.facts.size_um[axis] = value
            origin_um[axis] = place * factor * 1e6
    if any(origin_um.values()):
        found.facts.origin_um = origin_um
    if lost:
        raw.note(where, f"a translation by {', '.join(lost)}", "one in space, with a unit",
                 "not kept")  # fmt: skip


def _factor(unit: str, symbol: str, raw: Raw, where: str) -> float | None:
    try:
        known = to_si(unit, where)
    except RefusedError:
        known = None
    if known is None or known.symbol != symbol:
        raw.warn("axes", f"the unit {unit[:20]!r}", f"a unit of {symbol}", "taken as not stated")
        return None
    return known.factor
