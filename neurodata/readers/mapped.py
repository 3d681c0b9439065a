"""Files of named arrays that say nothing of themselves: a person declares what is what.

``variables.signal`` names the traces, ``axes`` the order of their axes, ``rate_hz``,
``variables.rate_hz`` or ``variables.time`` their clock, ``units.*`` their unit, ``modality`` what
was recorded, and ``variables.channel`` the variable that names the channels. For a matrix of
connections see `mapped_graph`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import xarray as xr

from neurodata.declare import MODALITY, Declared, missing
from neurodata.errors import InvalidInputError, MissingFactError, UnreadableError
from neurodata.readers.channels import Channel, Clock, kind_of
from neurodata.readers.clocked import clock_of, clocked, rising
from neurodata.readers.delimited import Numbers
from neurodata.readers.lacking import all_of, together
from neurodata.safe import Raw
from neurodata.units import to_si

ROLES = ("signal", "time", "rate_hz", "channel")
LISTED = 40
TYPES = {"calcium": "ROI", "fmri": "ROI", "ecg": "ECG", "ieeg": "IEEG"}


@dataclass(frozen=True)
class Listed:
    """A variable of a file.

    Parameters
    ----------
    name : str
        As ``variables.<role>`` is to name it.
    kind : str
        Its type in the file's own words.
    shape : tuple of int
    numeric : bool
        Whether it holds real numbers.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    numeric: bool

    def __str__(self) -> str:
        return f"{self.name} ({' x '.join(map(str, self.shape)) or 'scalar'} {self.kind})"


class Source(Protocol):
    """A file of named arrays."""

    def listed(self) -> Sequence[Listed]:
        """Return all variables."""

    def array(self, name: str, long_axis: int) -> Any:
        """Return numbers, lazily where the file allows it, in blocks along one axis."""

    def numbers(self, name: str) -> Numbers:
        """Return numbers, loaded."""

    def texts(self, name: str) -> list[str]:
        """Return names: texts, or numbers as texts."""


def mapped(source: Source, raw: Raw, declare: Declared) -> xr.DataTree:
    """Read the declared traces as the node ``traces``, or the declared matrix as ``graph``.

    Raises
    ------
    MissingFactError
        When a fact is not declared; the message lists the variables, the hint all the flags.
    InvalidInputError
        When a declaration does not fit the file.
    UnreadableError
        When times, names or numbers contradict each other.
    """
    from neurodata.readers import mapped_graph

    if mapped_graph.WEIGHT in declare.facts:
        return mapped_graph.matrix(source, raw, declare)
    found = {item.name: item for item in source.listed()}
    if not any(key.startswith("variables.") for key in declare.facts):
        mapped_graph.require_declared(source, list(found.values()), raw)
    roles = {role: chosen(role, found, raw, declare) for role in ROLES}
    signal, modality = roles["signal"], declare.text("modality")
    if signal is not None and len(_long(signal.shape)) > 2:
        where, axes = f"{raw.name}: {signal.name}", len(_long(signal.shape))
        raise UnreadableError(where, f"{axes} axes", "(time, channel) or (channel, time)")
    listing = describe_all(list(found.values()))
    times: Numbers | None = None
    lacking: list[MissingFactError] = []
    try:
        times = _times(source, roles["time"], raw, declare)
    except MissingFactError as error:
        lacking.append(error)
    facts = _lacking(roles, modality, signal, times, declare, _likely(found.values()))
    lacking += [missing(raw.name, listing, expected, fact) for expected, fact in facts]
    if lacking or signal is None or modality is None:
        raise together(lacking)
    time_axis = _time_axis(signal, times, raw, declare)
    array = _two_axes(source.array(signal.name, time_axis), time_axis)
    names = _names(source, roles["channel"], array.shape[1], raw)
    channels = _channels(names, modality, raw, declare)
    clock = _clock(source, roles["rate_hz"], times, array.shape[0], raw, declare)
    node = clocked(array, channels, clock, raw)
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": modality}), "traces": node})


def describe_all(found: Sequence[Listed]) -> str:
    """Return the list of variables for a message.

    Examples
    --------
    >>> describe_all([Listed("F", "double", (3, 40), True)])
    'the variables F (3 x 40 double)'
    """
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    return f"the variables {', '.join(map(str, found[:LISTED])) or 'none'}{more}"


def chosen(
    role: str, found: dict[str, Listed], raw: Raw, declare: Declared, numeric: bool = True
) -> Listed | None:
    """Return the variable that is declared for a role, or None.

    Raises
    ------
    InvalidInputError
        When the file has none of that name, or it holds no numbers where numbers are needed.
    """
    name = declare.text(f"variables.{role}")
    if name is None:
        return None
    if name not in found:
        listing = describe_all(list(found.values()))
        raise InvalidInputError(
            f"{raw.name}: --set variables.{role}", repr(name), f"one of {listing}"
        )
    if numeric and role != "channel" and not (found[name].numeric and 0 not in found[name].shape):
        raise InvalidInputError(
            f"{raw.name}: --set variables.{role}", str(found[name]), "real numbers"
        )
    return found[name]


def _lacking(
    roles: dict[str, Listed | None],
    modality: str | None,
    signal: Listed | None,
    times: Numbers | None,
    declare: Declared,
    likely: str,
) -> list[tuple[str, str]]:
    """Return what is not declared, and the flags that declare it."""
    facts = []
    if signal is None:
        facts.append(("which variable is the signal", f"variables.signal={likely}"))
    ambiguous = signal is None or _ambiguous(signal, times)
    if ambiguous and "axes" not in declare.facts:
        facts.append(("the order of its axes", "axes=time,channel|channel,time"))
    if roles["time"] is None and roles["rate_hz"] is None and "rate_hz" not in declare.facts:
        facts.append(
            (
                "samples a second (or --set variables.time=NAME, variables.rate_hz=NAME)",
                "rate_hz=<Hz>",
            )
        )
    if not any(key.startswith("units.") for key in declare.facts):
        facts.append(("the unit of the signal", "units.*=<unit>"))
    if modality is None:
        facts.append(("what was recorded", MODALITY))
    return facts


def _likely(found: Iterable[Listed]) -> str:
    """Return the name of the largest variable that could be traces, as an example."""
    fitting = [item for item in found if item.numeric and len(_long(item.shape)) in (1, 2)]
    return max(fitting, key=lambda item: math.prod(item.shape)).name if fitting else "NAME"


def _long(shape: tuple[int, ...]) -> list[int]:
    return [axis for axis, length in enumerate(shape) if length != 1]


def _ambiguous(signal: Listed, times: Numbers | None) -> bool:
    """Say whether nothing but a declaration tells which axis is time."""
    axes = _long(signal.shape)
    if len(axes) < 2:
        return False
    if times is None:
        return True
    return sum(signal.shape[axis] == len(times) for axis in axes) != 1


def _time_axis(signal: Listed, times: Numbers | None, raw: Raw, declare: Declared) -> int:
    """Return which axis is time: declared, or the only one that fits."""
    axes = _long(signal.shape)
    where = f"{raw.name}: {signal.name}"
    if not signal.shape:
        raise UnreadableError(where, "a single number", "a signal")
    declared = declare.text("axes")
    order = [axis.strip() for axis in (declared or "").split(",")]
    if declared is not None and (len(order) != 2 or order.count("time") != 1):
        raise InvalidInputError(
            f"--set axes={declared}", f"{len(order)} axes", "time,channel or channel,time"
        )
    if len(axes) < 2:
        axis = axes[0] if axes else 0
    elif declared is not None:
        axis = axes[order.index("time")]
    else:
        axis = next(axis for axis in axes if times is not None and signal.shape[axis] == len(times))
    if times is not None and signal.shape[axis] != len(times):
        found = f"{signal.shape[axis]} samples at {len(times)} times"
        raise UnreadableError(where, found, "as many", "correct --set axes or variables.time")
    return axis


def _two_axes(array: Any, time_axis: int) -> Any:
    """Return an array as (time, channel)."""
    order = [time_axis, *(axis for axis in range(array.ndim) if axis != time_axis)]
    turned = array.transpose(order)
    return turned.reshape(turned.shape[0], -1)


def _times(source: Source, time: Listed | None, raw: Raw, declare: Declared) -> Numbers | None:
    """Return the declared times in seconds, or None."""
    if time is None:
        return None
    spelling, where = declare.text("time_units"), f"{raw.name}: {time.name}"
    if spelling is None:
        raise missing(where, "times without a unit", "their unit", "time_units=s|ms|us")
    unit = to_si(spelling, where, "time")
    if unit.symbol != "s":
        raise InvalidInputError("--set time_units", spelling, "a unit of time, as s or ms")
    return rising(np.ravel(source.numbers(time.name)), where) * unit.factor


def _clock(
    source: Source, rate: Listed | None, times: Numbers | None, n: int, raw: Raw, declare: Declared
) -> Clock | Numbers:
    rate_hz = declare.number("rate_hz")
    if rate_hz is None and rate is not None:
        stated = np.ravel(source.numbers(rate.name))
        if len(stated) != 1:
            raise UnreadableError(f"{raw.name}: {rate.name}", f"{len(stated)} numbers", "one rate")
        rate_hz = float(stated[0])
    where = raw.name if rate is None else f"{raw.name}: {rate.name}"
    if rate_hz is not None:
        Clock(rate_hz, n).require(where)
    if times is not None:
        found = clock_of(times, rate_hz, raw.name)
        return times if found is None else found
    return Clock(rate_hz or math.nan, n, ((0, declare.number("start_s") or 0.0),))


def _names(source: Source, channel: Listed | None, count: int, raw: Raw) -> list[str]:
    """Return the channels' names; one without a name is called by its number, from 0."""
    if channel is None:
        return [str(index) for index in range(count)]
    where = f"{raw.name}: {channel.name}"
    names = [name.strip() for name in source.texts(channel.name)]
    if len(names) != count:
        raise UnreadableError(where, f"{len(names)} names", f"{count}, one a channel", "see axes")
    if unnamed := names.count(""):
        raw.note(channel.name, f"{unnamed} channels without a name, called by their numbers")
    names = [name or str(index) for index, name in enumerate(names)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UnreadableError(where, f"{', '.join(twice[:5])} more than once", "each name once")
    return names


def _channels(names: Sequence[str], modality: str, raw: Raw, declare: Declared) -> list[Channel]:
    def described(name: str) -> Channel:
        unit = to_si(declare.units(name), raw.name, name)
        kind = TYPES.get(modality) or kind_of(name)
        return Channel(name, kind, unit.symbol, unit.factor)

    return all_of(partial(described, name) for name in names)
