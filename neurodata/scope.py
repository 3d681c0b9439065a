"""Facts declared for some recordings of a folder, as with ``--set 'cell*:rate_hz=10'``.

A scope is a recording's name, or a pattern of names or of main files below the folder, with
``*``, ``?`` and ``[...]`` as in a shell (``*`` also stands for ``/``). Among facts given together
one with a scope comes before one without, and the later before the earlier.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from neurodata.declare import FAMILIES, Declared, Value, scope_of
from neurodata.errors import InvalidInputError, Problem
from neurodata.secret import has_secret

_FLAG = re.compile(r"""--set ((?:'[^']*'|"[^"]*"|[^\s'"])+)""")
OTHER_WAY = "; or,"
HERE = "./"  # before a scope that would look like a key


def check(facts: Mapping[str, Value]) -> None:
    """Refuse facts of unknown keys, impossible values or secrets, whatever their scopes.

    Raises
    ------
    InvalidInputError
        At the first of them.
    """
    for key, value in facts.items():
        if has_secret(f"{key} {value}"):
            raise InvalidInputError(
                f"--set {key}", f"a secret in {value!r}", "none: facts are stored and published",
                "leave it out",
            )  # fmt: skip
        Declared({scope_of(str(key))[1]: value})


def resolve(facts: Mapping[str, Value], names: Sequence[str]) -> dict[str, Value]:
    """Return the facts of one recording, their keys without scopes.

    Parameters
    ----------
    names : sequence of str
        The recording's name and its main file's path below the folder.

    Examples
    --------
    >>> facts = {"a*:rate_hz": 10, "rate_hz": 30, "b:axes": "z,y,x"}
    >>> resolve(facts, ["a1", "a1.npy"]), resolve(facts, ["b", "b.tif"])
    ({'rate_hz': 10}, {'rate_hz': 30, 'axes': 'z,y,x'})
    """
    split = [(*scope_of(key), value) for key, value in facts.items()]
    plain = {key: value for scope, key, value in split if not scope}
    own = {key: value for scope, key, value in split if scope and fits(scope, names)}
    return {**plain, **own}


def fits(scope: str, names: Sequence[str]) -> bool:
    """Say whether a scope is one of the names, or a pattern of one."""
    pattern = scope.removeprefix(HERE)
    return any(name == pattern or fnmatchcase(name, pattern) for name in names)


def without_recording(
    facts: Mapping[str, Value], recordings: Sequence[Sequence[str]]
) -> list[Problem]:
    """Warn of each fact whose scope is the name or pattern of no recording."""
    return [
        Problem("warning", f"--set {key}", f"no recording {scope!r}",
                "a name in the list of recordings, or a pattern", "check the part before ':'")
        for key in facts
        for scope in [scope_of(key)[0]]
        if scope and not any(fits(scope, names) for names in recordings)
    ]  # fmt: skip


def flags(hint: str) -> list[str]:
    """Return the settings that a hint says to ``--set``, as a shell would hand them over.

    What stands after ``; or,`` is another way, and left out.

    Examples
    --------
    >>> flags("declare it: --set rate_hz=30 --set 'units.EEG Fp1=uV'")
    ['rate_hz=30', 'units.EEG Fp1=uV']
    """
    first = hint.partition(OTHER_WAY)[0]
    return [shlex.split(match[1])[0].rstrip(",;") for match in _FLAG.finditer(first)]


def scoped(problem: Problem, recording: str) -> Problem:
    """Return a finding whose hint declares facts of one recording only.

    Examples
    --------
    >>> hint = "declare it: --set 'units.*=uV', or see the manual"
    >>> scoped(Problem("error", "a.edf", "no unit", "one", hint), "a").hint
    "declare it: --set 'a:units.*=uV', or see the manual"
    """

    def own(match: re.Match[str]) -> str:
        word = match[1].rstrip(",;")
        return f"--set {shlex.quote(_put(recording, shlex.split(word)[0]))}{match[1][len(word) :]}"

    return replace(problem, hint=_FLAG.sub(own, problem.hint)) if recording else problem


def _put(scope: str, fact: str) -> str:
    return f"{HERE if scope.startswith(FAMILIES) else ''}{scope}:{fact}"


def together(wanted: Mapping[str, Iterable[str]], mains: Mapping[str, str]) -> list[str]:
    """Return the fewest settings that declare each recording the facts that it wants.

    A fact that all recordings want has no scope; one that some want has a pattern of their
    files' suffix where no other recording has that suffix.

    Parameters
    ----------
    wanted : mapping of str to strings
        The facts (``KEY=VALUE``) by recording.
    mains : mapping of str to str
        The main file's path of every recording.

    Examples
    --------
    >>> mains = {"a": "a.csv", "b": "b.csv", "c": "c.tif"}
    >>> together({"a": ["directed=0"], "b": ["directed=0"], "c": ["voxel_um=1,1"]}, mains)
    ['*.csv:directed=0', 'c:voxel_um=1,1']
    """
    takers: dict[str, list[str]] = {}
    for recording, facts in wanted.items():
        for fact in facts:
            takers.setdefault(fact, []).append(recording)
    settings: list[str] = []
    for fact, names in takers.items():
        if len(names) == len(mains):
            settings.append(fact)
        elif len(names) > 1 and (pattern := _pattern(names, mains)):
            settings.append(_put(pattern, fact))
        else:
            settings += [_put(name, fact) for name in names]
    places = {name: place for place, name in enumerate(mains)}
    scopes = {setting: scope_of(setting)[0].removeprefix(HERE) for setting in settings}
    return sorted(settings, key=lambda setting: places.get(scopes[setting], -1))


def _pattern(names: Sequence[str], mains: Mapping[str, str]) -> str:
    """Return the pattern that fits the main files of these recordings and of no others."""
    files = [PurePosixPath(mains[name]) for name in names]
    for patterns in ({f"*{file.suffix}" for file in files}, {f"{file.parent}/*" for file in files}):
        pattern = patterns.pop()
        if patterns or pattern in ("*", "./*"):
            continue
        fitting = [name for name, main in mains.items() if fits(pattern, [name, main])]
        if sorted(fitting) == sorted(names):
            return pattern
    return ""
