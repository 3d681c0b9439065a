"""Refusals for want of several facts, told at once with the flags of all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from neurodata.declare import missing
from neurodata.errors import MissingFactError

Made = TypeVar("Made")
MANY = 3  # channels, that are told as one
_UNIT = re.compile(r"^declare it: --set '?units\.([^=']+)=([^ ']+)'?$")


def together(errors: Sequence[MissingFactError]) -> MissingFactError:
    """Return one refusal for want of all the facts that some refusals are about.

    Examples
    --------
    >>> from neurodata.declare import missing
    >>> facts = ("the rate", "rate_hz=30"), ("the axes", "axes=time,roi")
    >>> print(together([missing("F.npy", "numbers alone", *fact) for fact in facts]))
    F.npy: found numbers alone; expected the rate and the axes; declare it: --set rate_hz=30 \
--set axes=time,roi
    """
    places = list(dict.fromkeys(error.where for error in errors))
    found = dict.fromkeys(
        error.found if len(places) == 1 or error is errors[0] else f"{error.where}: {error.found}"
        for error in errors
    )
    wanted = dict.fromkeys(error.expected for error in errors)
    flags = dict.fromkeys(error.hint.rpartition("declare it: ")[2] for error in errors)
    hint = f"declare it: {' '.join(flags)}"
    return MissingFactError(places[0], "; ".join(found), " and ".join(wanted), hint)


def of_all(errors: Sequence[MissingFactError]) -> MissingFactError | None:
    """Return one refusal where each of many channels lacks a unit, its flag ``units.*``.

    Examples
    --------
    >>> from neurodata.declare import missing
    >>> made = [missing(f"a.set: {n}", "no unit", "one", f"units.{n}=uV") for n in (1, 2, 3)]
    >>> print(of_all(made))
    a.set: found no unit in any of 3 channels (1 to 3); expected one; \
declare it: --set 'units.*=uV'
    """
    flags = [flag for error in errors for flag in _UNIT.findall(error.hint)]
    units = {unit for _, unit in flags}
    if len(errors) < MANY or len(flags) != len(errors) or len(units) != 1:
        return None
    if {(error.found, error.expected) for error in errors} != {("no unit", errors[0].expected)}:
        return None
    place, (first, _), (last, _) = errors[0].where, flags[0], flags[-1]
    found = f"no unit in any of {len(errors)} channels ({first} to {last})"
    return missing(place.removesuffix(f": {first}"), found, errors[0].expected,
                   f"units.*={units.pop()}")  # fmt: skip


def all_of(makes: Iterable[Callable[[], Made]]) -> list[Made]:
    """Return what each call makes; every call is tried before any is refused.

    Raises
    ------
    MissingFactError
        When any call lacks a fact; one refusal with the flags of all.
    """
    made: list[Made] = []
    errors: list[MissingFactError] = []
    count = 0
    for make in makes:
        count += 1
        try:
            made.append(make())
        except MissingFactError as error:
            errors.append(error)
    if errors:
        alike = of_all(errors) if len(errors) == count else None
        raise alike or (errors[0] if len(errors) == 1 else together(errors))
    return made
