"""What a batch's ``target`` is, and where it comes from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.plan import Array
from neurodata.loader.recordings import Recordings

NO_TARGET = "no target"
MISSING = ("", "n/a")


@dataclass(frozen=True)
class Label:
    """A column of the interval that a window belongs to.

    For `Trials` it is the trial's own interval. Any other window gets the value of the
    intervals that cover all of it (to half a sample); where none does, or several disagree,
    the window is left out.

    Parameters
    ----------
    column : str
        ``"label"`` or any further column.
    intervals : str, optional
        Name of the intervals node; needed where a recording has several.
    """

    column: str = "label"
    intervals: str | None = None


@dataclass(frozen=True)
class Attribute:
    """A fact of the recording or its subject: a root attribute, or a column of a one-row table."""

    name: str


@dataclass(frozen=True)
class Node:
    """Another node, at the same place.

    A timeseries node gives ``(batch, channel, time)`` at the window's seconds; a volume node
    ``(batch, channel, z, y, x)`` and an instances node ``(batch, layer, z, y, x)`` integer
    labels at the patch's voxels.
    """

    name: str


@dataclass(frozen=True)
class NextWindow:
    """The ``horizon_s`` seconds of the same node that follow the window."""

    horizon_s: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.horizon_s) and self.horizon_s > 0):
            raise InvalidInputError(
                "NextWindow(horizon_s)", repr(self.horizon_s), "a finite number over 0"
            )


Metadata = Mapping[str, Any]
Target = None | str | Label | Attribute | Node | NextWindow | Callable[[Metadata], Any]


def resolve(target: Target, recordings: Recordings) -> Target:
    """Return what a bare name means: ``"label"``, a recording's fact or an interval's column.

    Raises
    ------
    InvalidInputError
        When a name means nothing, or two things.
    """
    if not isinstance(target, str):
        return target
    if target == "label":
        return Label()
    numbers = range(len(recordings.ids))
    facts = {name for number in numbers for name in facts_of(recordings, number)}
    columns = {name for number in numbers for name in interval_columns(recordings, number)}
    if target in facts and target in columns:
        raise InvalidInputError(
            "target",
            f"{target!r}, both a recording's fact and an interval's column",
            "one of them",
            f"give Attribute({target!r}) or Label({target!r})",
        )
    if target in facts:
        return Attribute(target)
    if target in columns:
        return Label(target)
    raise InvalidInputError(
        "target",
        repr(target),
        f"one of {', '.join(sorted({'label', *facts, *columns}))}",
        "another node is Node('name')",
    )


def facts_of(recordings: Recordings, number: int) -> dict[str, Any]:
    """Return root attributes and the columns of one-row tables of a recording."""
    facts = {str(name): value for name, value in recordings.node(number, ".").attrs.items()}
    for path, node in recordings.nodes(number).items():
        if node.attrs.get("representation") == "table" and node.sizes.get("row") == 1:
            for name, array in node.arrays.items():
                if array.dims == ("row",):
                    facts.setdefault(name, recordings.values(number, path, name)[0])
    return facts


def interval_columns(recordings: Recordings, number: int) -> set[str]:
    """Return the names of all columns of a recording's intervals nodes."""
    return {
        name
        for node in recordings.nodes(number).values()
        if node.attrs.get("representation") == "intervals"
        for name, array in node.arrays.items()
        if array.dims == ("interval",)
    }


def attribute(recordings: Recordings, name: str) -> Array:
    """Return one value per recording.

    Raises
    ------
    InvalidInputError
        When a recording lacks it.
    """
    every = [facts_of(recordings, number) for number in range(len(recordings.ids))]
    stated = [name in facts and _is_stated(facts[name]) for facts in every]
    if lacking := [one for one, yes in zip(recordings.ids, stated, strict=True) if not yes]:
        raise InvalidInputError(
            "target",
            f"no {name!r} in {', '.join(lacking[:5])}",
            "the fact in every recording of the split",
            f"declare it when ingesting, e.g. --set {name}=VALUE",
        )
    return np.asarray([facts[name] for facts in every])


def _is_stated(value: Any) -> bool:
    return not isinstance(value, float | np.floating) or math.isfinite(value)


def column(recordings: Recordings, number: int, node: str, name: str) -> Array:
    """Return a column of an intervals node, text as strings.

    Raises
    ------
    InvalidInputError
        When the node has no such column.
    """
    arrays = recordings.node(number, node).arrays
    known = [key for key, array in arrays.items() if array.dims == ("interval",)]
    if name not in known:
        raise InvalidInputError(
            recordings.where(number, node), f"no column {name!r}", f"one of {', '.join(known)}"
        )
    values = recordings.values(number, node, name)
    return values.astype(str) if values.dtype.kind in "OUT" else values


def missing(values: Array) -> Array:
    """Say which values state nothing: no finite number, empty text, BIDS's ``n/a``."""
    if values.dtype.kind == "f":
        return ~np.isfinite(values)
    return np.isin(values, MISSING) if values.dtype.kind == "U" else np.zeros(len(values), bool)


def of_rows(
    recordings: Recordings, node: str, name: str, picks: Array
) -> tuple[Array, Array, Counter[str]]:
    """Return the column's value of each trial's own row, and which picks have one."""
    values = [column(recordings, number, node, name) for number in range(len(recordings.ids))]
    found = [values[pick["recording"]][pick["row"]] for pick in picks]
    result = np.asarray(found)
    keep = ~missing(result)
    return result, keep, +Counter({NO_TARGET: int((~keep).sum())})


def covering(
    recordings: Recordings, node: str, name: str, picks: Array, length_s: float, slack_s: float
) -> tuple[Array, Array, Counter[str]]:
    """Return the value of the intervals that cover each window, and which picks have just one."""
    found: list[Any] = [None] * len(picks)
    clash = np.zeros(len(picks), bool)
    for number in range(len(recordings.ids)):
        values = column(recordings, number, node, name)
        start_s, duration_s = (
            np.asarray(recordings.values(number, node, key), "f8")
            for key in ("start_s", "duration_s")
        )
        own = np.flatnonzero(picks["recording"] == number)
        own = own[np.argsort(picks["start_s"][own], kind="stable")]
        times = picks["start_s"][own]
        first = np.searchsorted(times, start_s - slack_s)
        last = np.searchsorted(times, start_s + duration_s - length_s + slack_s, side="right")
        for row in np.flatnonzero(~missing(values) & np.isfinite(start_s + duration_s)):
            for at in own[first[row] : last[row]]:
                clash[at] |= found[at] is not None and found[at] != values[row]
                found[at] = values[row]
    empty = np.array([value is None for value in found], bool)
    reasons = Counter({NO_TARGET: int(empty.sum()), "intervals disagree": int(clash.sum())})
    keep = ~empty & ~clash
    result = np.asarray([v if k else _blank(found) for v, k in zip(found, keep, strict=True)])
    return result, keep, +reasons


def _blank(found: Sequence[Any]) -> Any:
    """Return a value of the column's own type, for windows that are left out anyway."""
    return next((value for value in found if value is not None), "")
