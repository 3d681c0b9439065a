"""What a case's outcome is worth: its class, and whether that is a defect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.fuzz.damage import Damage
from tests.fuzz.stated import stated

CLASSES = {
    "refused": "an error that says where and what",
    "identical": "read, equal to the undamaged recording",
    "told": "read, other content, with a warning or an error that the undamaged one does not have",
    "undetectable": "read, other values: the format has no checksum over them",
    "silent": "read, other facts (shape, clock, units, names, …), and the file agrees with itself",
    "fewer": "read without an optional file, which is gone",
    "short": "cut short and read all the same, with other content",
    "foreign": "an exception that is not neurodata's own",
    "timeout": "more processor time than allowed",
    "memory": "more memory than allowed",
    "crash": "the process died",
}
FAILURES = ("foreign", "timeout", "memory", "crash")


@dataclass(frozen=True)
class Verdict:
    """The class of an outcome, what differs, and what makes it a defect, if it is one."""

    kind: str
    changed: tuple[str, ...] = ()
    defect: str = ""


def judge(name: str, damage: Damage, sound: Mapping[str, Any], found: Mapping[str, Any]) -> Verdict:
    """Compare what a damaged recording gave with what the undamaged one gives.

    Parameters
    ----------
    name : str
        The format.
    sound, found : dict
        Outcomes as of `tests.fuzz.reading.outcome`.
    """
    if found["class"] in FAILURES:
        return Verdict(found["class"], (), str(found.get("error", "")))
    if found["class"] == "refused":
        return Verdict("refused")
    changed = differences(sound["facts"], found["facts"])
    if damage.kind == "lie":
        return Verdict("silent", changed, "an impossible header was read")
    if not changed:
        return Verdict("identical")
    if found.get("error") or set(found["warnings"]) - set(sound["warnings"]):
        return Verdict("told", changed)
    return _accepted(name, damage, changed)


def _accepted(name: str, damage: Damage, changed: tuple[str, ...]) -> Verdict:
    """Judge other content that was read without a word."""
    known, shown = stated(name), f"{list(changed[:4])}"
    if damage.kind == "missing":
        return Verdict("fewer", changed)
    if damage.kind == "truncate":
        reason = known.short_of(damage.file)
        return Verdict("short", changed, "" if reason else shown)
    categories = {item.partition(":")[0] for item in changed}
    if categories == {"values"}:
        return Verdict("undetectable", changed, "" if known.values else shown)
    if "values" in categories and not known.values:
        return Verdict("silent", changed, shown)
    return Verdict("silent", changed, "" if known.facts else shown)


def differences(
    sound: Mapping[str, Mapping[str, str]], found: Mapping[str, Mapping[str, str]]
) -> tuple[str, ...]:
    """Return ``category: name`` for all that differs, is gone or is new.

    Examples
    --------
    >>> differences({"clock": {"eeg@rate_hz": "1"}}, {"clock": {"eeg@rate_hz": "2"}})
    ('clock: eeg@rate_hz 1 -> 2',)
    """
    out = []
    for category in sorted({*sound, *found}, key=lambda c: (c == "values", c)):
        ours, theirs = sound.get(category, {}), found.get(category, {})
        for key in sorted({*ours, *theirs}):
            if ours.get(key) != theirs.get(key):
                out.append(f"{category}: {key} {ours.get(key)} -> {theirs.get(key)}")
    return tuple(out)
