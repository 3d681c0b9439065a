"""What an ingest would do: one job per recording, and what cannot be done and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from neurodata import safe_archive
from neurodata.declare import Value, scope_of
from neurodata.errors import (
    InvalidInputError,
    NotFoundError,
    Problem,
    UnreadableError,
    UnsafeError,
)
from neurodata.pipeline import (
    ID,
    Expect,
    Pipeline,
    Source,
    names,
    read_pipeline,
    read_yaml,
    source_folder,
)
from neurodata.recognise import UNFIT, Found, recognise, slug
from neurodata.safe import inside
from neurodata.safe_scratch import ScratchFolder
from neurodata.scope import check, resolve, without_recording
from neurodata.secret import has_secret
from neurodata.sources import Fingerprint, Scan, matching, scan
from neurodata.steps import located, mark, parse
from neurodata.store.layout import Preset

SIDE_FILE = "neurodata.yaml"
READER = "reader"


@dataclass(frozen=True)
class Job:
    """One recording to ingest; plain data, so that it travels to other processes.

    ``declare`` has the facts that are for it; ``scope`` is what a declaration for it alone must
    begin with, nothing where the plan has no other recording.
    """

    dataset: str
    recording: str
    root: Path
    files: tuple[Path, ...]
    reader: str
    declare: dict[str, Value]
    options: dict[str, Any] = field(default_factory=dict)
    expected: dict[str, Fingerprint] = field(default_factory=dict)
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    attrs: dict[str, str] = field(default_factory=dict)
    layout: Preset = "default"
    steps: tuple[dict[str, Any], ...] = ()
    problems: tuple[Problem, ...] = ()
    scope: str = ""

    @property
    def id(self) -> str:
        """The recording's id, ``dataset/recording``."""
        return f"{self.dataset}/{self.recording}"

    @property
    def name(self) -> str:
        """The main file's path below the root."""
        return self.files[0].relative_to(self.root).as_posix()

    @property
    def size_bytes(self) -> int:
        """Size of the raw files."""
        return sum(path.stat().st_size for path in self.files)


@dataclass(frozen=True)
class Plan:
    """The jobs of one data set, findings about files of no job, and what to expect at the end.

    What an archive holds lies in ``scratch`` and is there as long as the plan is.
    """

    dataset: str
    jobs: tuple[Job, ...]
    problems: tuple[Problem, ...]
    recordings: int | None = None
    scratch: ScratchFolder | None = field(default=None, repr=False, compare=False)


def plan(
    source: str | Path,
    *,
    dataset: str | None = None,
    declare: Mapping[str, Value] | None = None,
) -> Plan:
    """Plan the ingest of a pipeline (by name or YAML path), a raw folder, a raw file or an archive.

    An archive (see `neurodata.safe_archive`) that is no recording itself is unpacked into
    scratch space and planned as a folder.

    Parameters
    ----------
    dataset : str, optional
        Id of the data set; default is the pipeline's id or the folder's name.
    declare : mapping, optional
        Facts that the source does not state, those of some recordings with a scope (see
        `neurodata.scope`); they win over those of the pipeline.

    Raises
    ------
    NotFoundError
        When there is neither a pipeline nor a path of that name.

    Examples
    --------
    >>> [job.recording for job in plan("mri_anatomical").jobs]
    ['anatomical']
    """
    path = Path(source)
    check(declare or {})
    if path.suffix in (".yaml", ".yml") or (not path.exists() and str(source) in names()):
        return _of_pipeline(*read_pipeline(source), dataset, dict(declare or {}))
    if path.is_dir():
        return _of_folder(path.resolve(), None, dataset, dict(declare or {}))
    if path.is_file():
        folder = path.parent.resolve()
        if _is_archive(folder / path.name):
            return _of_archive(path, dataset, dict(declare or {}))
        return _of_folder(folder, folder / path.name, dataset, dict(declare or {}))
    raise NotFoundError(
        str(source), "neither a path nor a pipeline", "one of " + ", ".join(names()), "check it"
    )


def _of_pipeline(
    pipeline: Pipeline, folder: Path, dataset: str | None, declare: dict[str, Value]
) -> Plan:
    name = dataset or pipeline.id
    steps = located(pipeline.steps, folder)
    ending = mark(parse(steps))
    jobs: list[Job] = []
    problems: list[Problem] = []
    facts = {"modality": pipeline.modality, "licence": pipeline.licence,
             "citation": pipeline.citation}  # fmt: skip
    scans = [(source, scan(source_folder(source, folder))) for source in pipeline.sources]
    for source, scanned in scans:
        problems += _absent(source, scanned)
        wanted = _listed(source, scanned)
        stated_reader = {**pipeline.declare, **source.declare, **declare}.get(READER)
        only = pipeline.reader if stated_reader is None else str(stated_reader)
        found, others = recognise(wanted, only)
        problems += [p for p in others if not source.files or p.level == "error"]
        problems += _changed(source, wanted, {path for item in found for path in item.files})
        stated = (pipeline.declare, source.declare, declare)
        check(pipeline.declare | source.declare)
        expected = {file.name: Fingerprint(file.size, file.sha256) for file in source.files}
        jobs += [
            _job(name, wanted.root, replace(item, name=item.name + ending), stated, attrs=facts,
                 options=pipeline.options, expected=expected, nodes=pipeline.expect.nodes,
                 layout=pipeline.layout, steps=steps)
            for item in found
        ]  # fmt: skip
    problems += _unlisted(scans)
    return _checked(name, jobs, [*dict.fromkeys(problems)], pipeline.expect, declare)


def _listed(source: Source, scanned: Scan) -> Scan:
    """Keep the files that a source lists; all of them when it lists none."""
    if not source.files:
        return scanned
    listed = {file.name for file in source.files}
    kept = tuple(p for p in scanned.files if p.relative_to(scanned.root).as_posix() in listed)
    return Scan(scanned.root, kept, scanned.problems)


def _unlisted(scans: list[tuple[Source, Scan]]) -> list[Problem]:
    """Name the files in folders of sources with lists that are on none of the lists."""
    listed = {(found.root, file.name) for source, found in scans for file in source.files}
    whole = {found.root for source, found in scans if not source.files}
    there = {found.root: found.files for _, found in scans if found.root not in whole}
    names = [(root, path.relative_to(root).as_posix()) for root in there for path in there[root]]
    return [
        Problem("warning", name, "a file that the pipeline does not list", "", "list or remove it")
        for root, name in names
        if (root, name) not in listed
    ]


def _absent(source: Source, scanned: Scan) -> list[Problem]:
    there = {path.relative_to(scanned.root).as_posix() for path in scanned.files}
    return [
        Problem("error", file.name, "no such file", f"{file.size} bytes", "fetch it again")
        for file in source.files
        if file.name not in there
    ]


def _changed(source: Source, scanned: Scan, used: set[Path]) -> list[Problem]:
    """Compare listed files that no recording uses with the list; ingest compares the others."""
    stated = {file.name: Fingerprint(file.size, file.sha256) for file in source.files}
    problems = []
    for path in sorted(set(scanned.files) - used):
        name = path.relative_to(scanned.root).as_posix()
        if name in stated:
            try:
                matching(path, name, stated[name])
            except UnreadableError as error:
                problems.append(error.problem)
    return problems


def _of_folder(
    folder: Path, only: Path | None, dataset: str | None, declare: dict[str, Value]
) -> Plan:
    scanned = scan(folder)
    side = folder / SIDE_FILE
    stated = side_facts(folder) if side in scanned.files else {}
    rest = tuple(path for path in scanned.files if path != side)
    facts = {**stated, **declare}
    chosen = _chosen(folder, rest, facts)
    scoped = {key: value for key, value in facts.items() if scope_of(key)[0]}
    named = {*_chosen(folder, rest, scoped), *(path for path in chosen if path == only)}
    others = Scan(folder, rest, scanned.problems)
    found, problems = recognise(others, chosen=chosen, named=named)
    name = dataset or UNFIT.sub("-", folder.name).strip("-._") or "dataset"
    jobs = [_job(name, folder, item, (stated, declare)) for item in found]
    if only is not None:
        jobs = [job for job in jobs if only in job.files]
        problems = [p for p in problems if p.where == only.relative_to(folder).as_posix()]
    return _checked(name, jobs, problems, Expect(), declare)


def _is_archive(path: Path) -> bool:
    """Say whether a file is an archive that no reader takes for a recording."""
    try:
        form = safe_archive.form(inside(path, path.parent))
    except (UnsafeError, UnreadableError, OSError):  # the scan says why
        return False
    if form is None:
        return False
    return not recognise(Scan(path.parent, (path,), ()))[0]


def _of_archive(path: Path, dataset: str | None, declare: dict[str, Value]) -> Plan:
    """Plan what an archive holds; names are those of its members."""
    scratch = ScratchFolder()
    ends = [end for end in safe_archive.SUFFIXES if path.name.lower().endswith(end)]
    stem = path.name[: -max(map(len, ends))] if ends else path.name
    folder = scratch.path / (UNFIT.sub("-", stem).strip("-._")[:128] or "archive")
    safe_archive.unpack(path, folder)
    return replace(_of_folder(folder, None, dataset, declare), scratch=scratch)


def _chosen(folder: Path, files: Sequence[Path], declare: Mapping[str, Value]) -> dict[Path, str]:
    """Return the readers that are declared for some files."""
    facts = {key: value for key, value in declare.items() if scope_of(key)[1] == READER}
    if not facts:
        return {}
    names = {path: (slug(path, folder), path.relative_to(folder).as_posix()) for path in files}
    found = {path: resolve(facts, names[path]) for path in files}
    return {path: str(own[READER]) for path, own in found.items() if own}


def side_facts(folder: Path) -> dict[str, Value]:
    """Return the facts that a raw folder's ``neurodata.yaml`` declares, with their scopes.

    Raises
    ------
    InvalidInputError
        When it has other keys, or facts that cannot be declared.
    """
    path = folder / SIDE_FILE
    found = read_yaml(path) if path.is_file() else {}
    if set(found) - {"declare"}:
        raise InvalidInputError(str(path), f"keys {sorted(found)}", "only the key 'declare'")
    facts: dict[str, Value] = found.get("declare") or {}
    if not isinstance(facts, dict):
        raise InvalidInputError(str(path), f"declare: {facts!r}", "facts as KEY: VALUE")
    check(facts)
    return facts


def _job(
    dataset: str, root: Path, found: Found, layers: Sequence[Mapping[str, Value]], **more: Any
) -> Job:
    names = (found.name, found.files[0].relative_to(root).as_posix())
    declare: dict[str, Value] = {}
    for facts in layers:  # the later win
        declare |= resolve(facts, names)
    declare.pop(READER, None)  # has been followed
    return Job(dataset, found.name, root, found.files, found.reader, declare,
               problems=found.problems, **more)  # fmt: skip


def _checked(
    name: str,
    jobs: list[Job],
    problems: list[Problem],
    expect: Expect,
    declare: Mapping[str, Value],
) -> Plan:
    """Return the plan of the jobs whose names are unique (case aside); the others are findings."""
    if not re.fullmatch(ID, name):
        raise InvalidInputError("data set", repr(name), "letters, digits, '_', '.', '-'")
    if has_secret(name):
        raise InvalidInputError("data set", "a secret as its name", "none", "give --dataset")
    telling = [job for job in jobs if has_secret(job.recording)]
    jobs = [job for job in jobs if job not in telling]
    problems = [*problems, *(
        Problem("error", job.name, "a secret in its name", "none: names are stored and published",
                "rename the file")
        for job in telling
    )]  # fmt: skip
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.recording.casefold(), []).append(job)
    twice = [
        Problem("error", " and ".join(job.name for job in same),
                f"one id {same[0].recording!r} for {len(same)} recordings", "an id for each",
                "rename the files, or ingest the folders apart")
        for same in groups.values() if len(same) > 1
    ]  # fmt: skip
    kept = tuple(same[0] for same in groups.values() if len(same) == 1)
    if len(kept) > 1:
        kept = tuple(replace(job, scope=job.recording) for job in kept)
    lost = without_recording(declare, [(job.recording, job.name) for job in kept])
    return Plan(name, kept, (*problems, *twice, *lost), expect.recordings)
