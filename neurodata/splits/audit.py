"""Audit a split against a store: exact checks for everything that lets test data into training."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime

from neurodata.errors import InvalidInputError, NotFoundError, Problem
from neurodata.splits.facts import Catalogued, Facts, facts_of, group_of
from neurodata.splits.fitted import fitted
from neurodata.splits.form import REMAKE, listed, malformed
from neurodata.splits.make import CUTS
from neurodata.splits.parts import Need, Part, part_of, too_close
from neurodata.splits.split import Split, digest_of, empty_sides
from neurodata.splits.twins import Key, twins


def audit(
    split: Split,
    store: Catalogued,
    *,
    window_s: float | None = None,
    horizon_s: float | None = None,
) -> list[Problem]:
    """Return everything that lets one side of a split see another, errors first.

    Parts on two sides of one recording may not overlap, touch or be closer than the gap; nor may
    those of recordings with the same signal. A group, subject or session on two sides is an
    error, unless every recording of it is itself cut into those sides. All comparisons are exact:
    a resampled or rescaled copy is not found.

    Parameters
    ----------
    split : Split
        Also one that was changed: what is wrong with its form is reported.
    store : Store
        Only manifests are read.
    window_s, horizon_s : float
        Length of a sample and how far its target lies ahead; parts of a recording on two sides
        have to be at least their sum apart.

    Raises
    ------
    InvalidInputError
        When ``window_s`` or ``horizon_s`` is negative or not finite.

    Examples
    --------
    >>> import tempfile, neurodata
    >>> store = neurodata.open_store(tempfile.mkdtemp(), create=True)
    >>> _ = neurodata.ingest("eeg_fp1", store=store)
    >>> split = neurodata.make_split(store, "eeg_fp1", by="time", gap_s=10.0)
    >>> [problem.level for problem in audit(split, store, window_s=3.0)]
    ['warning', 'note']
    >>> [problem.level for problem in audit(split, store, window_s=30.0)][0]
    'error'
    """
    need = _need(split, window_s, horizon_s)
    if wrong := list(malformed(split.as_dict())):
        return wrong
    facts, problems = _known(split, store)
    problems += empty_sides(split)
    problems += _changed(split)
    problems += _unnamed(split, store)
    problems += _misnamed(split, facts)
    problems += _crossing(split, facts)
    problems += _boundaries(split, need)
    problems += _beyond(split, facts)
    problems += _simultaneous(split, facts, need)
    problems += twins(split, facts, need)
    problems += fitted(split, facts)
    return sorted(problems, key=lambda found: ("error", "warning", "note").index(found.level))


def _need(split: Split, window_s: float | None, horizon_s: float | None) -> Need:
    for name, value in (("window_s", window_s), ("horizon_s", horizon_s)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise InvalidInputError(name, repr(value), "finite seconds, 0 or more")
    seen_s = (window_s or 0.0) + (horizon_s or 0.0)
    gap = split.gap if isinstance(split.gap, (int, float)) else 0
    if split.by == "block":
        return Need(seen_s, int(gap))
    return Need(max(float(gap), seen_s), 0)


def _known(split: Split, store: Catalogued) -> tuple[dict[Key, Facts], list[Problem]]:
    stored = set(store.ids(split.dataset))
    facts: dict[Key, Facts] = {}
    problems = []
    for name, version in sorted({(entry["id"], entry["version"]) for entry in split.assignments}):
        if name not in stored:
            hint = "ingest or pull it, or take it out with Split.without"
            problems.append(Problem("error", name, "no such recording", "it in the store", hint))
            continue
        newest = store.version(name)
        try:
            manifest = store.manifest(name if newest == version else f"{name}@{version}")
        except NotFoundError:
            found, hint = f"no version {version}, the newest is {newest}", f"pull it, or {REMAKE}"
            problems.append(Problem("error", name, found, "the version of the split", hint))
            continue
        facts[name, version] = facts_of(manifest)
        if newest != version:
            hint = "the split goes on using its own version"
            problems.append(Problem("note", name, f"a newer version {newest}", version, hint))
    return facts, problems


def _changed(split: Split) -> Iterator[Problem]:
    if digest_of(split.as_dict(), split.dataset) != split.digest:
        yield Problem("error", "digest", split.digest[:16], "that of the content", REMAKE)


def _unnamed(split: Split, store: Catalogued) -> Iterator[Problem]:
    named = {entry["id"] for entry in split.assignments}
    if rest := [name for name in store.ids(split.dataset) if name not in named]:
        found = f"{len(rest)} recordings that the split does not name: {listed(rest)}"
        hint = "make_split(..., existing=split) places them and moves nobody"
        yield Problem("note", split.dataset, found, "", hint)


def _misnamed(split: Split, facts: Mapping[Key, Facts]) -> Iterator[Problem]:
    for entry in split.assignments if split.by not in CUTS else ():
        known = facts.get((entry["id"], entry["version"]))
        stated = group_of(known.attrs, split.by) if known else None
        if stated not in (None, entry["group"]):
            found = f"group {entry['group']!r} in the split"
            yield Problem("warning", entry["id"], found, f"{split.by} {stated!r}", REMAKE)


def _crossing(split: Split, facts: Mapping[Key, Facts]) -> Iterator[Problem]:
    """Find groups, subjects and sessions on two sides; those cut within recordings are a note."""
    within: set[str] = set()
    for kind in ("group", "subject", "session"):
        for name, sides_of in _members(split, facts, kind).items():
            sides = set().union(*sides_of.values())
            if len(sides) < 2:
                continue
            if all(of_one == sides for of_one in sides_of.values()):
                within |= {name} if kind != "session" else set()
                continue
            allowed = kind == "subject" and split.by == "session"
            yield Problem(
                "warning" if allowed else "error",
                f"{kind} {name}",
                f"recordings on {listed(sides)}: {listed(sides_of)}",
                "one side",
                "scores will say nothing about new subjects"
                if allowed
                else "make the split again by subject, with one --set subject=… for them",
            )
    if within:
        found = f"a within-recording split: {listed(within)} on several sides"
        hint = "scores will say nothing about new subjects"
        yield Problem("note", f"split by {split.by}", found, "", hint)
    yield from _nameless(split, facts)


def _members(
    split: Split, facts: Mapping[Key, Facts], kind: str
) -> Mapping[str, Mapping[str, set[str]]]:
    """Map group, subject or session -> recording -> its sides."""
    members: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for entry in split.assignments:
        known = facts.get((entry["id"], entry["version"]))
        name = entry["group"] if kind == "group" else group_of(known.attrs, kind) if known else None
        if name is not None:
            members[name][entry["id"]].add(entry["split"])
    return members


def _nameless(split: Split, facts: Mapping[Key, Facts]) -> Iterator[Problem]:
    lacking = {name for (name, _), known in facts.items() if not group_of(known.attrs, "subject")}
    if split.by not in CUTS and lacking:
        yield Problem(
            "warning",
            split.dataset,
            f"no subject in {len(lacking)} recordings: {listed(lacking)}",
            "a subject, to see that nobody is on two sides",
            "ingest them again with --set subject=NAME",
        )


def _boundaries(split: Split, need: Need) -> Iterator[Problem]:
    """Find parts of one recording on two sides that overlap, touch or are too close."""
    parts: dict[str, list[Part]] = defaultdict(list)
    for entry in split.assignments:
        parts[entry["id"]].append(part_of(entry))
    for name in parts:
        for one, other in too_close(parts[name], need):
            hint = "make the split again with a gap of at least that"
            yield Problem("error", name, f"{one} and {other}", f"{need}", hint)


def _beyond(split: Split, facts: Mapping[Key, Facts]) -> Iterator[Problem]:
    for entry in split.assignments:
        known = facts.get((entry["id"], entry["version"]))
        clocks = known.clocks.values() if known else ()
        part = part_of(entry)
        if clocks and not any(
            part.start_s < clock.stop_s and clock.start_s < part.stop_s for clock in clocks
        ):
            spans = listed(f"{clock.start_s:g}-{clock.stop_s:g} s" for clock in clocks)
            yield Problem("error", entry["id"], f"{part}", f"a part of {spans}", REMAKE)


def _simultaneous(split: Split, facts: Mapping[Key, Facts], need: Need) -> Iterator[Problem]:
    """Compare cuts of different recordings of one session in absolute time."""
    for session, sides_of in _members(split, facts, "session").items():
        cut = [e for e in split.assignments if e["id"] in sides_of and "start_s" in e]
        if len({e["id"] for e in cut}) < 2 or len({e["split"] for e in cut}) < 2:
            continue
        starts = {e["id"]: _absolute(facts.get((e["id"], e["version"]))) for e in cut}
        known = [start for start in starts.values() if start is not None]
        if len(known) < len(starts):
            found = (
                f"cut recordings without start_time: {listed(n for n in starts if not starts[n])}"
            )
            expected = "absolute times, to see whether they were recorded together"
            hint = "if they were, split by session or subject"
            yield Problem("warning", f"session {session}", found, expected, hint)
            continue
        zero = min(known)
        shift = {n: (at - zero).total_seconds() for n, at in starts.items() if at is not None}
        parts = [part_of(e).moved(shift[e["id"]]) for e in cut]
        for one, other in too_close(parts, need):
            found = f"{one.id} {one} and {other.id} {other} after the first start"
            hint = "recorded together: split by session or subject"
            yield Problem("error", f"session {session}", found, f"{need}", hint)


def _absolute(known: Facts | None) -> datetime | None:
    try:
        start = datetime.fromisoformat(str(known.attrs["start_time"])) if known else None
    except (KeyError, ValueError):
        return None
    return start if start is not None and start.tzinfo is not None else None
