"""Let through only what the schemas allow; everything else is dropped and listed by name."""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from numbers import Real
from pathlib import Path
from typing import Any

import xarray as xr

from neurodata import schema
from neurodata.errors import InvalidInputError, Problem
from neurodata.secret import scrubbed_by_shape

OLDEST_YEARS = 90
"""Ages over 89 become 90 (HIPAA safe harbour, 45 CFR 164.514(b)(2)(i)(C); BIDS asks the same)."""

KEEP, SHIFT, REMOVE = "keep", "shift", "remove"
MOVED = (SHIFT, "yes")
DATE_KEY = "NEURODATA_DATE_KEY"
SHORTEST_KEY = 16  # characters
LEAST_DAYS = (date(2126, 1, 1) - date(1925, 1, 1)).days
SPREAD_DAYS = 36_524  # a century

_OFFSET = re.compile(r".*T.*(Z|[+-]\d\d:\d\d)")


def scrub(tree: xr.DataTree, dates: str = KEEP) -> tuple[xr.DataTree, list[Problem]]:
    """Return a recording without any attribute that is off the allow-list, and what was dropped.

    Drops attributes of the root, of nodes and of variables by name; caps ages over 89 years at
    90; drops a start time without a UTC offset and marks its zone as unknown. The given tree
    stays as it is, and data are not read.

    Parameters
    ----------
    dates : str
        What becomes of the start time: ``keep``, ``shift`` (see `shifted`) or ``remove``.

    Raises
    ------
    InvalidInputError
        When ``dates`` is none of these, or the key of shifts is too short.

    Examples
    --------
    >>> clean, notes = scrub(xr.DataTree(xr.Dataset(attrs={"modality": "eeg", "patient": "X Y"})))
    >>> clean.attrs, [note.where for note in notes]
    ({'modality': 'eeg'}, ['recording: patient'])
    """
    clean, notes = tree.copy(), list[Problem]()
    allowed = schema.load("recording")["attrs"]
    clean.attrs = _kept("recording", tree.attrs, allowed, notes)
    _cap_age(clean.attrs, notes)
    _drop_naive_start(clean.attrs, notes)
    _move_start(clean.attrs, dates, notes)
    for node in clean.subtree:
        name = node.path.strip("/")
        representation = str(node.attrs.get("representation"))
        if name:
            node.attrs = _kept(name, node.attrs, schema.allowed_attrs(representation), notes)
        data = node.to_dataset(inherit=False)
        for key, variable in data.variables.items():
            allowed = schema.allowed_attrs(representation, str(key))
            variable.attrs = _kept(f"{name}/{key}", variable.attrs, allowed, notes)
        node.dataset = data
    return clean, notes


_REMOVED = re.compile(r"\bremoved\b|\bdropped\b|, now 90$")


def removed(problems: Iterable[Problem], files: Iterable[Path], root: Path) -> list[dict[str, str]]:
    """Return what readers and `scrub` left behind as it may tell of a person: kinds, no values.

    Parameters
    ----------
    files : iterable of Path
        The recording's, below ``root``; only the suffix of their names is told.

    Examples
    --------
    >>> note = Problem("note", "jane.edf: header", "identifying fields, removed: patient")
    >>> removed([note], [Path("raw/jane.edf")], Path("raw"))
    [{'where': '*.edf: header', 'what': 'identifying fields, removed: patient'}]
    """
    named = {
        name: f"*{path.suffix}"
        for path in files
        for name in (path.relative_to(root).as_posix(), path.name)
    }
    found = [
        {"where": _without(problem.where, named), "what": _without(problem.found, named)}
        for problem in problems
        if problem.level == "note" and _REMOVED.search(problem.found)
    ]
    return [item for at, item in enumerate(found) if item not in found[:at]]


def _without(text: str, names: Mapping[str, str]) -> str:
    """Return a text without the paths and names of files."""
    for name, told in sorted(names.items(), key=lambda item: -len(item[0])):
        text = text.replace(name, told)
    return scrubbed_by_shape(text)


def _kept(
    where: str, attrs: dict[Any, Any], allowed: Iterable[str], notes: list[Problem]
) -> dict[Any, Any]:
    names = set(allowed)
    for key in attrs:
        if key not in names:
            notes.append(Problem("note", f"{where}: {key}", "an attribute, dropped", "none such"))
    kept = {key: value for key, value in attrs.items() if key in names}
    for key, value in kept.items():
        if isinstance(value, str) and (clean := scrubbed_by_shape(value)) != value:
            kept[key] = clean
            notes.append(Problem("note", f"{where}: {key}", "a secret, removed", "none"))
    return kept


def _cap_age(attrs: dict[Any, Any], notes: list[Problem]) -> None:
    age = attrs.get("age_years")
    if isinstance(age, Real) and float(age) > OLDEST_YEARS - 1:
        attrs["age_years"] = OLDEST_YEARS
        notes.append(
            Problem("note", "recording: age_years", "an age over 89, now 90", "89 or less")
        )


def _drop_naive_start(attrs: dict[Any, Any], notes: list[Problem]) -> None:
    if "start_time" in attrs and not _OFFSET.fullmatch(str(attrs["start_time"])):
        del attrs["start_time"]
        attrs["start_zone"] = "unknown"
        found = "a time without UTC offset, dropped"
        notes.append(Problem("note", "recording: start_time", found, "a time with its offset"))


# ---- dates


def date_policy(stated: str) -> str:
    """Return what is done with dates: what is declared, but ``remove`` for a shift without key.

    The key of shifts is in the environment variable ``NEURODATA_DATE_KEY`` and nowhere else.

    Raises
    ------
    InvalidInputError
        When it is neither ``keep``, ``shift`` nor ``remove``, or the key is too short.

    Examples
    --------
    >>> date_policy("keep"), date_policy("remove")
    ('keep', 'remove')
    """
    if stated not in (KEEP, SHIFT, REMOVE):
        raise InvalidInputError("--set dates", repr(stated), f"{SHIFT}, {REMOVE} or {KEEP}")
    return REMOVE if stated == SHIFT and not _key() else stated


def shifted(start_time: str, subject: str, key: str) -> str:
    """Return a time of before 1925, as BIDS asks for, whose date nobody without the key can tell.

    The shift is in whole days, one for all dates of a subject: what lies between two of them,
    the time of day and the UTC offset stay.

    Parameters
    ----------
    start_time : str
        ISO 8601, with date and time.

    Raises
    ------
    ValueError
        When it does not begin with a date, or with one after 2125 or before the year 302.

    References
    ----------
    BIDS 1.10, units: shifted dates are of 1925 or before. The shift is 73,414 days (1925 to
    2126) and the first 8 bytes of HMAC-SHA256(key, subject), big-endian, modulo 36,524.

    Examples
    --------
    >>> shifted("2024-02-29T23:59:59.5+05:45", "S1", "a key that is only an example")
    '1769-03-27T23:59:59.5+05:45'
    """
    digest = hmac.digest(key.encode(), subject.encode("utf-8", "surrogatepass"), "sha256")
    days = LEAST_DAYS + int.from_bytes(digest[:8], "big") % SPREAD_DAYS
    real = date.fromisoformat(start_time[:10])
    if not 302 <= real.year <= 2125:
        raise ValueError("a date that cannot be shifted")
    return f"{(real - timedelta(days)).isoformat()}{start_time[10:]}"


def _key() -> str:
    """Return the key of shifts, or nothing."""
    key = os.environ.get(DATE_KEY, "")
    if key and len(key) < SHORTEST_KEY:
        found, hint = f"a key of {len(key)} characters", "e.g. of: openssl rand -hex 32"
        raise InvalidInputError(f"${DATE_KEY}", found, f"{SHORTEST_KEY} or more", hint)
    return key


def _move_start(attrs: dict[Any, Any], dates: str, notes: list[Problem]) -> None:
    """Shift or remove the start time; one that cannot be shifted is removed."""
    policy = date_policy(dates)
    if policy == KEEP or "start_time" not in attrs or (policy, attrs.get("date_shifted")) == MOVED:
        return
    where, stated = "recording: start_time", str(attrs.pop("start_time"))
    attrs.pop("date_shifted", None)
    if dates == REMOVE:
        notes.append(Problem("note", where, "a date, removed", "none"))
        return
    moved, why = _moved(stated, str(attrs.get("subject", "")))
    if moved:
        attrs.update(start_time=moved, date_shifted="yes")
        notes.append(Problem("note", where, "a date, removed: a shifted one is in its place"))
        return
    notes.append(Problem("note", where, "a date, removed", "none"))
    hint = "see docs/personal_data.md"
    found = f"a date that was not shifted, as {why}"
    notes.append(Problem("warning", where, found, "a shifted one", hint))


def _moved(start_time: str, subject: str) -> tuple[str, str]:
    """Return a shifted time, or why there is none."""
    key = _key()
    if not key:
        return "", f"${DATE_KEY} is not set"
    if not subject:
        return "", "no subject is stated"
    try:
        return shifted(start_time, subject, key), ""
    except ValueError:
        return "", "it is of before the year 302 or after 2125"
