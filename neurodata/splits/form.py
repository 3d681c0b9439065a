"""The form of a split's JSON: everything that is wrong with it, as findings."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from math import fsum, isclose
from typing import Any

from neurodata.errors import Problem

FORMAT = "neurodata-split/1"
KEYS = ("format", "dataset", "by", "salt", "fractions", "gap", "assignments", "digest")
REMAKE = "make the split again; a split is never edited by hand"
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_VERSION = re.compile(r"[0-9a-f]{16}")
_WHOLE = {"id", "version", "group", "split"}
_SHAPES = (_WHOLE, _WHOLE | {"start_s", "stop_s"}, _WHOLE | {"box_zyx"})


def listed(names: Iterable[Any], limit: int = 20) -> str:
    """Join names for a message, the first ``limit`` of them.

    Examples
    --------
    >>> listed(["b", "a", "c"], limit=2)
    'a, b and 1 more'
    """
    every = sorted(map(str, names))
    rest = len(every) - limit
    return ", ".join(every[:limit]) + (f" and {rest} more" if rest > 0 else "")


def malformed(document: Any) -> Iterator[Problem]:
    """Yield everything about a split's JSON content that is not of the form.

    Examples
    --------
    >>> print(*malformed({"format": "neurodata-split/1"}))
    error: split: found the keys format; expected format, dataset, by, salt, fractions, gap, \
assignments, digest; make the split again; a split is never edited by hand
    """
    if not isinstance(document, Mapping) or set(document) != set(KEYS):
        keys = listed(document) if isinstance(document, Mapping) else "none"
        yield wrong("split", f"the keys {keys}", ", ".join(KEYS))
        return
    if document["format"] != FORMAT:
        yield wrong("format", repr(document["format"]), FORMAT)
        return
    dataset = document["dataset"]
    if not (isinstance(dataset, str) and _PART.fullmatch(dataset)):
        yield wrong("dataset", repr(dataset), f"an id of the form {_PART.pattern}")
    for key in ("by", "salt", "digest"):
        if not isinstance(document[key], str) or (key == "by" and not document[key]):
            yield wrong(key, repr(document[key]), "text")
    yield from _wrong_fractions(document["fractions"])
    yield from _wrong_gap(document["by"], document["gap"])
    yield from _wrong_assignments(document)


def wrong_fractions(fractions: Any) -> str:
    """Say what is wrong with the fractions, or return an empty text.

    Examples
    --------
    >>> wrong_fractions({"train": 0.7, "test": 0.2})
    'a sum of 0.9'
    """
    if not isinstance(fractions, Mapping) or not fractions:
        return repr(fractions)
    for name, share in fractions.items():
        if not (isinstance(name, str) and _PART.fullmatch(name)):
            return f"the name {name!r}"
        if not (_is_number(share) and 0 < share <= 1):
            return f"{name} = {share!r}"
    total = fsum(fractions.values())
    return "" if isclose(total, 1.0, abs_tol=1e-6) else f"a sum of {total:g}"


def _wrong_fractions(fractions: Any) -> Iterator[Problem]:
    if found := wrong_fractions(fractions):
        yield wrong("fractions", found, "names with shares over 0 that sum to 1")


def _wrong_gap(by: Any, gap: Any) -> Iterator[Problem]:
    if by == "time":
        good, expected = _is_number(gap) and gap > 0, "seconds over 0"
    elif by == "block":
        good, expected = type(gap) is int and gap > 0, "a whole number of voxels over 0"
    else:
        good, expected = gap is None, "null, as nothing is cut"
    if not good:
        yield wrong("gap", repr(gap), expected)


def _wrong_assignments(document: Mapping[str, Any]) -> Iterator[Problem]:
    entries = document["assignments"]
    if not isinstance(entries, list) or not entries:
        yield wrong("assignments", "none", "a list with at least one")
        return
    seen: set[str] = set()
    for i, entry in enumerate(entries):
        where = f"assignments[{i}]"
        if not isinstance(entry, Mapping) or set(entry) not in _SHAPES:
            keys = listed(entry) if isinstance(entry, Mapping) else repr(entry)
            yield wrong(where, keys, "id, version, group, split and start_s, stop_s or box_zyx")
            continue
        faults = list(_wrong_entry(where, entry, document))
        yield from faults
        part = repr([entry.get(key) for key in ("id", "split", "start_s", "stop_s", "box_zyx")])
        if part in seen and not faults:
            yield wrong(where, f"{entry['id']} a second time", "each part once")
        seen.add(part)


def _wrong_entry(
    where: str, entry: Mapping[str, Any], document: Mapping[str, Any]
) -> Iterator[Problem]:
    for key in sorted(_WHOLE):
        if not isinstance(entry[key], str) or not entry[key]:
            yield wrong(f"{where}.{key}", repr(entry[key]), "text")
            return
    dataset, _, name = entry["id"].partition("/")
    if dataset != document["dataset"] or not _PART.fullmatch(name):
        expected = f"{document['dataset']}/<recording>"
        yield wrong(f"{where}.id", repr(entry["id"]), expected)
    if not _VERSION.fullmatch(entry["version"]):
        yield wrong(f"{where}.version", repr(entry["version"]), "16 hex digits")
    if isinstance(document["fractions"], Mapping) and entry["split"] not in document["fractions"]:
        yield wrong(f"{where}.split", repr(entry["split"]), listed(document["fractions"]))
    yield from _wrong_cut(where, entry, document["by"])


def _wrong_cut(where: str, entry: Mapping[str, Any], by: Any) -> Iterator[Problem]:
    if (by == "time" and "start_s" not in entry) or (by == "block" and "box_zyx" not in entry):
        needed = "start_s and stop_s" if by == "time" else "box_zyx"
        yield wrong(where, "the whole recording", f"{needed}, as the split is by {by}")
    if "start_s" in entry:
        start, stop = entry["start_s"], entry["stop_s"]
        if not (_is_number(start) and _is_number(stop) and start < stop):
            yield wrong(where, f"start_s {start!r}, stop_s {stop!r}", "finite, start before stop")
    if "box_zyx" in entry and not _is_box(entry["box_zyx"]):
        expected = "[[z0, z1], [y0, y1], [x0, x1]], whole numbers, 0 <= low < high"
        yield wrong(f"{where}.box_zyx", repr(entry["box_zyx"]), expected)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _is_box(box: Any) -> bool:
    return (
        isinstance(box, list)
        and len(box) == 3
        and all(isinstance(pair, list) and len(pair) == 2 for pair in box)
        and all(type(edge) is int for pair in box for edge in pair)
        and all(0 <= low < high for low, high in box)
    )


def wrong(where: str, found: str, expected: str) -> Problem:
    """Return an error finding whose remedy is to make the split again."""
    return Problem("error", where, found, expected, REMAKE)
