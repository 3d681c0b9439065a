"""Refusals for want of several facts, told at once with the flags of all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from neurodata.errors import MissingFactError

Made = TypeVar("Made")


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


def all_of(makes: Iterable[Callable[[], Made]]) -> list[Made]:
    """Return what each call makes; every call is tried before any is refused.

    Raises
    ------
    MissingFactError
        When any call lacks a fact; one refusal with the flags of all.
    """
    made: list[Made] = []
    errors: list[MissingFactError] = []
    for make in makes:
        try:
            made.append(make())
        except MissingFactError as error:
            errors.append(error)
    if errors:
        raise errors[0] if len(errors) == 1 else together(errors)
    return made
