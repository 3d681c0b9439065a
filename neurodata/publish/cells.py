"""Who could be told from published facts: small cells of participants, and dates of recording."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from neurodata.errors import Problem
from neurodata.publish.faces import PERSON
from neurodata.store import Store

LEAST = 5
FACTS = ("age_years", "sex")
DATED = re.compile(r"(?<!\d)(19|20)\d\d[-_]?(0[1-9]|1[0-2])[-_]?(0[1-9]|[12]\d|3[01])(?!\d)")
ALONE = {"sex"}  # tells nobody from others as long as nothing else is told
SHOWN = 5


def small_cells(store: Store, ids: Iterable[str], least: int = LEAST) -> list[Problem]:
    """Return a warning when fewer than ``least`` participants share a published combination.

    Facts are age and sex, and the columns of tables with one row, of persons or of no stated
    species. A participant is a subject, or a recording that states none; who states no fact is
    not counted. Sex alone makes no finding.

    Returns
    -------
    list of Problem
        One at most, with k: how many participants the smallest cell has.

    References
    ----------
    L. Sweeney, k-anonymity: a model for protecting privacy, International Journal of
    Uncertainty, Fuzziness and Knowledge-Based Systems 10(5):557 (2002).
    """
    stated: dict[str, dict[str, set[str]]] = {}
    for one in sorted(ids):
        manifest = store.manifest(one)
        if is_person(manifest):
            who = str(manifest["attrs"].get("subject") or one.partition("@")[0])
            for key, value in _facts(store, one, manifest):
                stated.setdefault(who, {}).setdefault(key, set()).add(value)
    keys = sorted({key for facts in stated.values() for key in facts})
    if not set(keys) - ALONE:
        return []
    cells = Counter(
        tuple(tuple(sorted(facts.get(key, ()))) for key in keys) for facts in stated.values()
    )
    k = min(cells.values())
    few = sum(count for count in cells.values() if count < least)
    if k >= least:
        return []
    return [
        Problem(
            "warning", f"participants: {', '.join(keys)}",
            f"{few} of {len(stated)} who share these facts with fewer than {least - 1} others "
            f"(k = {k})",
            f"k of {least} or more",
            "make them coarser at the source, e.g. ages in steps of 5 years, or leave some out",
        )
    ]  # fmt: skip


def dates(store: Store, ids: Iterable[str]) -> list[Problem]:
    """Return warnings for recordings of persons that tell the day on which they were made."""
    manifests = {one: store.manifest(one) for one in sorted(ids)}
    people = {one: manifest for one, manifest in manifests.items() if is_person(manifest)}
    started = [one for one, manifest in people.items() if _has_date(manifest["attrs"])]
    named = [one for one, manifest in people.items() if _is_dated(one, manifest["attrs"])]
    return [
        *_told(started, "start times with their real dates", "shifted dates, or none",
               "ingest them again with --set dates=shift or remove"),
        *_told(named, "ids or sessions that spell a date", "names without dates",
               "rename the files, or declare another session, and ingest them again"),
    ]  # fmt: skip


def is_person(manifest: Mapping[str, Any]) -> bool:
    """Say whether a recording is of a person, or of no stated species.

    Examples
    --------
    >>> [is_person({"attrs": attrs}) for attrs in ({}, {"species": "Mus musculus"})]
    [True, False]
    """
    return bool(manifest["attrs"].get("species", PERSON) == PERSON)


def _facts(store: Store, one: str, manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is published of a recording's participant, as text."""
    attrs = manifest["attrs"]
    yield from ((key, str(attrs[key])) for key in FACTS if key in attrs)
    tables = [
        name
        for name, node in manifest["nodes"].items()
        if node["representation"] == "table" and manifest["summary"][name]["dims"] == {"row": 1}
    ]
    if tables:
        tree = store.raw(one)
        for name in tables:
            for key, variable in tree[name].to_dataset().variables.items():
                if variable.dims == ("row",):
                    yield f"{name}/{key}", str(np.asarray(variable.values)[0])


def _has_date(attrs: Mapping[str, Any]) -> bool:
    return "start_time" in attrs and attrs.get("date_shifted") != "yes"


def _is_dated(one: str, attrs: Mapping[str, Any]) -> bool:
    texts = (one.partition("@")[0], str(attrs.get("session", "")), str(attrs.get("run", "")))
    return any(DATED.search(text) for text in texts)


def _told(some: Sequence[str], found: str, expected: str, hint: str) -> list[Problem]:
    where = ", ".join(some[:SHOWN])
    many = f"{found} ({len(some)} in all)"
    return [Problem("warning", where, many, expected, hint)] if some else []
