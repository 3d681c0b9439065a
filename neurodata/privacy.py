"""Let through only what the schemas allow; everything else is dropped and listed by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import xarray as xr

from neurodata import schema
from neurodata.errors import Problem

OLDEST_YEARS = 90
"""Ages over 89 become 90 (HIPAA safe harbour, 45 CFR 164.514(b)(2)(i)(C); BIDS asks the same)."""

_OFFSET = re.compile(r".*T.*(Z|[+-]\d\d:\d\d)")


def scrub(tree: xr.DataTree) -> tuple[xr.DataTree, list[Problem]]:
    """Return a recording without any attribute that is off the allow-list, and what was dropped.

    Drops attributes of the root, of nodes and of variables by name; caps ages over 89 years at
    90; drops a start time without a UTC offset and marks its zone as unknown. The given tree
    stays as it is, and data are not read.

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
    return text


def _kept(
    where: str, attrs: dict[Any, Any], allowed: Iterable[str], notes: list[Problem]
) -> dict[Any, Any]:
    names = set(allowed)
    for key in attrs:
        if key not in names:
            notes.append(Problem("note", f"{where}: {key}", "an attribute, dropped", "none such"))
    return {key: value for key, value in attrs.items() if key in names}


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
