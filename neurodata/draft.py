"""A first pipeline for a raw folder: what was found in it, and what must still be declared."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from neurodata.declare import Declared, Value, is_open, parse, scope_of
from neurodata.errors import InvalidInputError, Level, Problem, ProblemsError, RefusedError
from neurodata.pipeline import TODO
from neurodata.plan import Job, plan, side_facts
from neurodata.readers import reader
from neurodata.safe import Raw
from neurodata.scope import fits, flags, scoped, together
from neurodata.sources import fingerprint


@dataclass(frozen=True)
class Draft:
    """A pipeline to be finished by hand, and how it was come by.

    Attributes
    ----------
    path : Path
        Of the YAML file.
    recordings : sequence of dict
        Name, reader, modality, nodes and what must be declared, per recording.
    problems : sequence of Problem
    """

    path: Path
    recordings: Sequence[Mapping[str, Any]]
    problems: Sequence[Problem]


@dataclass(frozen=True)
class _Look:
    """What a first look at a recording gave."""

    job: Job
    modality: str
    nodes: tuple[str, ...]
    flags: tuple[str, ...]
    problem: Problem | None


def draft(folder: str | Path, path: str | Path | None = None) -> Draft:
    """Write a pipeline's YAML file for a raw folder; nothing is ingested.

    Every recording's headers are read once. A fact that one of them lacks stands in the file as
    a comment under ``declare``, its value open, as ``<Hz>`` or ``0|1``, where the
    files suggest none.

    Parameters
    ----------
    path : path, optional
        Of the file that is written; default is the folder's name with ``.yaml``, beside it.

    Raises
    ------
    InvalidInputError
        When the folder is none, or the file is there already.
    """
    root = Path(folder).resolve()
    target = Path(path) if path is not None else root.with_name(root.name + ".yaml")
    if not root.is_dir():
        raise InvalidInputError(str(folder), "no folder", "the folder of the raw files")
    if target.exists():
        raise InvalidInputError(str(target), "a file already", "none", "give another --out")
    planned = plan(root)
    looks = [_look(job) for job in planned.jobs]
    text = _text(planned.dataset, root, target, looks)
    with target.open("x", encoding="utf-8") as stream:
        stream.write(text)
    rows = [
        {
            "recording": look.job.recording,
            "reader": look.job.reader,
            "modality": look.modality or "?",
            "nodes": ", ".join(look.nodes),
            "to declare": ", ".join(look.flags),
        }
        for look in looks
    ]
    own = [look.problem for look in looks if look.problem is not None]
    return Draft(target, rows, [*planned.problems, *own])


def _look(job: Job) -> _Look:
    """Read a recording's headers and note what it is, or what it lacks."""
    raw = Raw(job.root, job.files, list(job.problems))
    try:
        tree = reader(job.reader).read(raw, Declared(job.declare))
    except (RefusedError, ProblemsError) as error:
        found = error.problems if isinstance(error, ProblemsError) else [error.problem]
        wanted = [f for p in found for f in flags(p.hint) if not f.startswith("reader=")]
        level: Level = "warning" if wanted else "error"
        first = scoped(found[0], job.scope)
        problem = Problem(level, job.name, first.found, first.expected, first.hint)
        return _Look(job, "", (), tuple(dict.fromkeys(wanted)), problem)
    nodes = [
        f"{path} ({node.attrs['representation']})"
        for path, node in tree.subtree_with_keys
        if "representation" in node.attrs
    ]
    return _Look(job, str(tree.attrs.get("modality", "")), tuple(nodes), (), None)


def _text(dataset: str, root: Path, target: Path, looks: Sequence[_Look]) -> str:
    """Return the YAML text: plain where the keys are known, comments where a person decides."""
    modalities = Counter(look.modality for look in looks if look.modality)
    readers = {look.job.reader for look in looks}
    declared = side_facts(root)
    head = {
        "id": dataset,
        "version": 1,
        "title": TODO,
        "licence": TODO,
        "citation": TODO,
        "modality": modalities.most_common(1)[0][0] if modalities else TODO,
    }
    if len(readers) == 1:
        head["reader"] = readers.pop()
    used = sorted({file for look in looks for file in look.job.files})
    files = [
        {"name": file.relative_to(root).as_posix(), "size": print_.size, "sha256": print_.sha256}
        for file in used
        for print_ in [fingerprint(file)]
    ]
    below = os.path.relpath(root, target.resolve().parent)
    parts = [
        f"# {len(looks)} recordings of {len(used)} files; {TODO} is for you to fill in.\n",
        _dump(head),
        _declarations(declared, looks),
        _dump({"sources": [{"path": Path(below).as_posix(), "files": files}]}),
        _dump({"expect": {"recordings": len(looks)}}),
    ]
    return "".join(parts)


def _declarations(declared: Mapping[str, Value], looks: Sequence[_Look]) -> str:
    """Return what is declared, and as comments what must be, with the recordings that want it."""
    names = {look.job.recording: look.job.name for look in looks}
    wanted = {look.job.recording: look.flags for look in looks}
    settings = together(wanted, names)
    if not settings:
        return _dump({"declare": dict(declared)}) if declared else ""
    lines = ["declare:"]
    lines += [f"  {line}" for line in _dump(dict(declared)).splitlines()] if declared else []
    for setting in settings:
        scope, fact = scope_of(setting)
        takers = [
            name
            for recording, name in names.items()
            if fact in wanted[recording] and (not scope or fits(scope, [recording, name]))
        ]
        several = f" and {len(takers) - 1} more" if len(takers) > 1 else ""
        do = "choose" if is_open(*fact.partition("=")[::2]) else "check"
        lines.append(f"  # {_fact(setting)}  # wanted by {takers[0]}{several}; {do} the value")
    if not declared:
        lines[0] = "# declare:"
        lines[1:] = ["#" + line[1:].replace("# ", "", 1) for line in lines[1:]]
    return "\n".join(lines) + "\n"


def _fact(flag: str) -> str:
    """Return a flag's fact as YAML."""
    try:
        return _dump(parse([flag])).strip()
    except InvalidInputError:
        return flag


def _dump(value: Mapping[str, Any]) -> str:
    """Return YAML with a line a key, and short lists and mappings in one."""
    form: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 1000}
    return "".join(
        yaml.safe_dump(
            {key: item}, default_flow_style=None if isinstance(item, list | dict) else False, **form
        )
        for key, item in value.items()
    )
