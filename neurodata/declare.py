"""Facts that a source does not state and a person declares, as with ``--set rate_hz=10``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import isfinite
from shlex import quote
from typing import Any

from neurodata.errors import InvalidInputError, MissingFactError

Value = str | float | int | bool | list[Any]

KEYS = (
    "rate_hz", "start_s",
    "stop_s", "voxel_um", "voxel_mm", "axes", "subject", "session", "run", "task",
    "species", "sex", "licence", "citation", "modality", "directed", "weight_units", "time_units",
    "masks", "missing_chunks", "reader", "defaced", "table", "annotations", "burned_in",
    "dates",
)  # fmt: skip
FAMILIES = ("units.", "columns.", "variables.")
NUMBERS = ("rate_hz", "start_s", "stop_s", "voxel_um", "voxel_mm", "directed")
"""All other facts are text, so that subject 01 stays 01."""
CHOSEN = (*NUMBERS, "axes", "modality", "weight_units", "time_units")
MODALITY = "modality=calcium|eeg|ieeg|..."
_OPEN = re.compile(r"<[^<>]+>|\|")


class Declared:
    """Declared facts of one recording, which remember whether anything used them.

    Parameters
    ----------
    facts : mapping of str to value
        Keys as on the command line: ``rate_hz``, ``units.Cz``, ``columns.source``,
        ``variables.signal``.

    Raises
    ------
    InvalidInputError
        When a key is unknown, or a value is neither text nor a whole number (for `NUMBERS`:
        text, a finite number or a list of those).

    Examples
    --------
    >>> declared = Declared({"rate_hz": 10, "units.*": "uV"})
    >>> declared.number("rate_hz"), declared.units("Cz")
    (10.0, 'uV')
    """

    def __init__(self, facts: Mapping[str, Value] | None = None) -> None:
        self.facts = dict(facts or {})
        self.used: set[str] = set()
        for key, value in self.facts.items():
            if key not in KEYS and not str(key).startswith(FAMILIES):
                raise InvalidInputError(
                    f"--set {key}",
                    "an unknown fact",
                    ", ".join((*KEYS, *(f"{family}*" for family in FAMILIES))),
                )
            if is_open(key, value):
                raise InvalidInputError(
                    f"--set {key}", f"{value!r}, which is still to be chosen", "one value"
                )
            if key in NUMBERS:
                items, wanted = value if isinstance(value, list) else [value], "finite number(s)"
                fits = all(map(_is_plain, items))
            else:
                fits, wanted = type(value) in (str, int), "text; put it in quotes"
            if not fits:
                raise InvalidInputError(f"--set {key}", repr(value), wanted)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a declared fact as it was given."""
        if key not in self.facts:
            return default
        self.used.add(key)
        return self.facts[key]

    def text(self, key: str) -> str | None:
        """Return a declared fact as text, or None."""
        value = self.get(key)
        return None if value is None else str(value)

    def number(self, key: str) -> float | None:
        """Return a declared finite number, or None.

        Raises
        ------
        InvalidInputError
            When the value is no finite number.
        """
        values = self.numbers(key, 1)
        return None if values is None else values[0]

    def numbers(self, key: str, count: int) -> list[float] | None:
        """Return ``count`` declared finite numbers, or None.

        Raises
        ------
        InvalidInputError
            When there are more or fewer, or one is no finite number.
        """
        value = self.get(key)
        if value is None:
            return None
        items = value if isinstance(value, list) else [value]
        try:
            numbers = [float(item) for item in items]
        except (TypeError, ValueError, OverflowError):
            numbers = []
        if len(numbers) != count or not all(map(isfinite, numbers)) or True in map(_is_bool, items):
            raise InvalidInputError(f"--set {key}", repr(value), f"{count} finite number(s)")
        return numbers

    def need_number(self, key: str, where: str, found: str, example: str) -> float:
        """Return a declared positive number that the source lacks.

        Raises
        ------
        MissingFactError
            When it is not declared; the hint holds the flag.
        """
        value = self.number(key)
        if value is None:
            raise missing(where, found, f"{key} declared", f"{key}={example}")
        if not value > 0:
            raise InvalidInputError(f"--set {key}", str(value), "a number over 0")
        return value

    def units(self, channel: str) -> str | None:
        """Return the declared unit of a channel (``units.NAME``, else ``units.*``)."""
        return self.text(f"units.{channel}") or self.text("units.*")

    def unused(self) -> list[str]:
        """Return the declared keys that nothing asked for."""
        return sorted(set(self.facts) - self.used)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and isfinite(value))


def is_open(key: str, value: object) -> bool:
    """Say whether a value is as refusals print it, for a person to choose or fill in.

    Examples
    --------
    >>> is_open("directed", "0|1"), is_open("rate_hz", "<Hz>"), is_open("columns.source", "a|b")
    (True, True, False)
    """
    known = key in CHOSEN or key.startswith("units.")
    return known and isinstance(value, str) and _OPEN.search(value) is not None


def missing(where: str, found: str, expected: str, fact: str) -> MissingFactError:
    """Make the refusal for want of a fact, its hint the flag that settles it.

    A value that the source suggests stands in the flag as it is; any other is left open, as
    ``<Hz>`` or ``0|1``, so that nobody takes it for known (see `is_open`).

    Examples
    --------
    >>> missing("F.npy", "no rate", "samples a second", "rate_hz=<Hz>").hint
    "declare it: --set 'rate_hz=<Hz>'"
    """
    return MissingFactError(where, found, expected, f"declare it: --set {quote(fact)}")


def parse(settings: Iterable[str]) -> dict[str, Value]:
    """Parse ``KEY=VALUE`` settings; the values of `NUMBERS` become numbers or lists of them.

    ``SCOPE:KEY=VALUE`` declares a fact of some recordings only (see `neurodata.scope`). The name
    of a channel or column may hold ``=``; the value begins after the last one.

    Raises
    ------
    InvalidInputError
        When a setting has no ``=`` or comes twice.

    Examples
    --------
    >>> parse(["rate_hz=10", "voxel_um=2,0.5,0.5", "axes=time,roi", "subject=01"])
    {'rate_hz': 10, 'voxel_um': [2, 0.5, 0.5], 'axes': 'time,roi', 'subject': '01'}
    >>> parse(["cell*:rate_hz=10"])
    {'cell*:rate_hz': 10}
    """
    facts: dict[str, Value] = {}
    for setting in settings:
        scope, plain = scope_of(setting)
        family = plain.startswith(FAMILIES)
        key, equals, text = plain.rpartition("=") if family else plain.partition("=")
        if not equals or not key or not text:
            raise InvalidInputError("--set", repr(setting), "KEY=VALUE", "e.g. --set rate_hz=10")
        whole = f"{scope}:{key}" if scope else key
        if whole in facts:
            raise InvalidInputError("--set", f"{whole} twice", "each fact once")
        facts[whole] = _value(text) if key in NUMBERS else text
    return facts


def scope_of(setting: str) -> tuple[str, str]:
    """Return which recordings a key or setting is about, nothing for all, and what is left.

    A scope ends before the first ``:`` that a known key follows.

    Examples
    --------
    >>> scope_of("cell*:rate_hz=10"), scope_of("units.A:rate_hz=uV"), scope_of("a:colour=red")
    (('cell*', 'rate_hz=10'), ('', 'units.A:rate_hz=uV'), ('', 'a:colour=red'))
    """
    parts = setting.split(":")
    for count in range(len(parts)):
        rest = ":".join(parts[count:])
        if rest.startswith(FAMILIES) or rest.partition("=")[0] in KEYS:
            return ":".join(parts[:count]), rest
    return "", setting


def _value(text: str) -> Value:
    items = [_number(item) for item in text.split(",")]
    if any(isinstance(item, str) for item in items):
        return text
    return items if len(items) > 1 else items[0]


def _number(text: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
