"""Ingest: raw files in, verified versions out. A plain function; no orchestrator."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, overload

import xarray as xr

from neurodata.declare import Declared, Value, scope_of
from neurodata.errors import (
    Problem,
    ProblemsError,
    RefusedError,
    SchemaError,
)
from neurodata.personal_columns import without_personal
from neurodata.plan import Job, Plan, plan
from neurodata.privacy import KEEP, date_policy, removed, scrub
from neurodata.readers import reader, remarks
from neurodata.readers.bids import entities
from neurodata.readers.personal_keys import side_cars
from neurodata.safe import Raw
from neurodata.schema import expected, validate
from neurodata.scope import flags, scoped, together
from neurodata.secret_guard import Scrubbing, guard_process
from neurodata.sources import Fingerprint, matching
from neurodata.steps import apply, before_reading, parse
from neurodata.steps.scratch import lasting
from neurodata.store import Store, open_store

LOG = logging.getLogger("neurodata")
LOG.addFilter(Scrubbing())
Status = Literal["new", "same", "alias", "failed"]
Progress = Callable[["Entry"], None]
ROOT_FACTS = (
    "subject", "session", "run", "task", "species", "sex", "licence", "citation", "modality",
    "defaced", "burned_in",
)  # fmt: skip
ENTITIES = {"sub": "subject", "ses": "session", "task": "task", "run": "run"}


@dataclass(frozen=True)
class Entry:
    """What became of one recording.

    ``status`` is ``new``, ``same`` (these sources were ingested before, or their content did
    not change), ``alias`` (another recording of the data set has this content) or ``failed``.
    """

    id: str
    version: str
    status: Status
    problems: tuple[Problem, ...]
    content: str = ""
    seconds: float = 0.0
    size_bytes: int = 0


@dataclass(frozen=True)
class Result(Sequence[Entry]):
    """The entries of one ingest, in order, and the findings about files of no recording.

    ``settings`` are the declarations (``SCOPE:KEY=VALUE``) that the refusals ask for; what
    a file does not suggest is left open in them, as ``<Hz>`` or ``0|1``.
    """

    dataset: str
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]
    settings: tuple[str, ...] = ()

    @overload
    def __getitem__(self, at: int) -> Entry: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Entry]: ...

    def __getitem__(self, at: int | slice) -> Entry | Sequence[Entry]:
        return self.entries[at]

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def ok(self) -> bool:
        """Whether every recording is in the store and no finding is an error."""
        return not any(e.status == "failed" for e in self.entries) and not any(
            p.level == "error" for p in self.problems
        )

    def findings(self) -> list[Problem]:
        """Return all findings, those of a recording with its id in front."""
        own = [
            replace(problem, where=f"{entry.id}: {problem.where}")
            for entry in self.entries
            for problem in entry.problems
        ]
        return [*self.problems, *own]

    def tally(self, status: Status) -> int:
        """Return how many recordings have a status."""
        return sum(entry.status == status for entry in self.entries)


def ingest(
    source: str | Path,
    *,
    store: Store | str | Path,
    dataset: str | None = None,
    declare: Mapping[str, Value] | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Result:
    """Read, check and store every recording of a pipeline, a folder or a file.

    Parameters
    ----------
    source : str or Path
        A pipeline's name, the path of its YAML file, a raw folder or a raw file.
    store : Store or path
        Made when there is none.
    dataset, declare
        See `neurodata.plan.plan`.
    jobs : int
        Number of processes.
    progress : callable, optional
        Called with each `Entry` as it is done.

    Returns
    -------
    Result
        A recording that is refused is an entry of status ``failed``; the others go on.

    Examples
    --------
    >>> import tempfile
    >>> ingest("mri_anatomical", store=tempfile.mkdtemp()).tally("new")
    1
    """
    planned = plan(source, dataset=dataset, declare=declare)
    path = prepare(store)
    entries = []
    for entry in _run(planned.jobs, path, jobs):
        entries.append(entry)
        if progress:
            progress(entry)
    return finish(planned, entries)


def prepare(store: Store | str | Path) -> Path:
    """Open or make the store, sweep what killed runs left, and return its path."""
    opened = store if isinstance(store, Store) else open_store(store, create=True)
    opened.sweep()
    return opened.path


def _run(jobs: tuple[Job, ...], store: Path, processes: int) -> Iterator[Entry]:
    if processes <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield _entry(job, partial(ingest_recording, job, store=store))
        return
    spawn = get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn, initializer=guard_process) as pool:
        pending = {pool.submit(ingest_recording, job, store=store): job for job in jobs}
        for done in as_completed(pending):
            yield _entry(pending[done], done.result)


def _entry(job: Job, attempt: Callable[[], Entry]) -> Entry:
    """Return a recording's entry; an unforeseen exception fails it and lets the others go on."""
    try:
        return attempt()
    except Exception as error:
        LOG.exception("ingest of %s", job.id)
        found = f"{type(error).__name__}: {error}"
        hint = "run it again: what is done is not repeated"
        problem = Problem("error", job.id, found, "an ingest without exceptions", hint)
        return Entry(job.id, "", "failed", (*job.problems, problem))


def finish(planned: Plan, entries: list[Entry]) -> Result:
    """Put the entries in the plan's order and check the expected number of recordings."""
    order = {job.id: i for i, job in enumerate(planned.jobs)}
    entries = sorted(entries, key=lambda entry: order.get(entry.id, len(order)))
    problems = list(planned.problems)
    good = sum(entry.status != "failed" for entry in entries)
    if planned.recordings is not None and good != planned.recordings:
        problems.append(
            Problem("error", planned.dataset, f"{good} good recordings",
                    f"{planned.recordings}", "see the findings of the others")
        )  # fmt: skip
    if not entries and not any(p.level == "error" for p in problems):
        problems.append(Problem("error", planned.dataset, "no recording", "one or more", ""))
    return Result(planned.dataset, tuple(entries), tuple(problems), _settings(planned, entries))


def _settings(planned: Plan, entries: Sequence[Entry]) -> tuple[str, ...]:
    """Return the declarations that failed entries ask for, as few as there can be."""
    names = {job.id: job.recording for job in planned.jobs}
    wanted: dict[str, dict[str, None]] = {}
    for entry in entries:
        if entry.status == "failed":
            hints = [problem.hint for problem in entry.problems if problem.level == "error"]
            facts = [scope_of(flag)[1] for hint in hints for flag in flags(hint)]
            wanted[names[entry.id]] = dict.fromkeys(facts)
    return tuple(together(wanted, {job.recording: job.name for job in planned.jobs}))


def ingest_recording(job: Job, *, store: Path) -> Entry:
    """Ingest one recording; a refusal becomes an entry of status ``failed``.

    Unforeseen exceptions (a full disk's aside) propagate, so that a caller may try again.
    """
    started = time.monotonic()
    raw = Raw(job.root, job.files, list(job.problems))
    try:
        inputs = {path: _fingerprint(job, path) for path in job.files}
        with lasting():
            entry = _publish(job, raw, inputs, open_store(store))
    except ProblemsError as error:
        entry = Entry(job.id, "", "failed", (*raw.problems, *error.problems))
    except RefusedError as error:
        entry = Entry(job.id, "", "failed", (*raw.problems, error.problem))
    problems = tuple(scoped(problem, job.scope) for problem in entry.problems)
    return replace(entry, problems=problems, seconds=time.monotonic() - started)


def _fingerprint(job: Job, path: Path) -> Fingerprint:
    name = path.relative_to(job.root).as_posix()
    return matching(path, name, job.expected.get(name))


def _publish(job: Job, raw: Raw, inputs: Mapping[Path, Fingerprint], store: Store) -> Entry:
    declarations = {**job.attrs, **job.declare}
    if "dates" in declarations:  # what is done, which without a key is not what is declared
        declarations["dates"] = date_policy(str(declarations["dates"]))
    provenance = {
        "inputs": [_input(job, path, known) for path, known in inputs.items()],
        "reader": job.reader,
        "options": job.options,
        "declarations": declarations,
        "steps": [step.record() for step in parse(job.steps)],
    }
    if known := store.known(job.dataset, job.recording, provenance):
        content = store.manifest(known)["content"]
        if departures := list(expected(store.raw(known), {"nodes": job.nodes})):
            raise SchemaError(departures)
        return Entry(job.id, known.partition("@")[2], "same", tuple(raw.problems), content)
    tree, problems = normalise(job, raw)
    provenance["removed"] = removed(problems, job.files, job.root)
    names = {"dataset": job.dataset, "recording": job.recording}
    done = store.publish(tree, **names, provenance=provenance, layout=job.layout)
    if done.status == "alias":
        problems = (*problems, Problem("note", raw.name, f"the content of {done.id}", "",
                                       "kept once; this name points to it"))  # fmt: skip
    return Entry(job.id, done.version, done.status, problems, done.content, 0.0, done.size_bytes)


def _input(job: Job, path: Path, known: Fingerprint) -> dict[str, Any]:
    """Return an input's record; its name only where a pipeline publishes it."""
    name = path.relative_to(job.root).as_posix()
    named = {"name": name} if name in job.expected else {}
    return {"size": known.size, "sha256": known.sha256, **named}


def normalise(job: Job, raw: Raw) -> tuple[xr.DataTree, tuple[Problem, ...]]:
    """Read a recording, add declared facts, drop what is personal, and check the rest.

    Raises
    ------
    SchemaError
        When it does not follow its schema or an expectation; all errors are listed.
    """
    declare = Declared(job.declare)
    steps = parse(job.steps)
    files, name = before_reading(steps, raw, job.reader)
    tree = reader(name).read(files, declare)
    _add_facts(tree, job, declare, raw)
    tree = apply(tree, steps, raw.problems)
    columns: list[Problem] = []
    if declare.text(remarks.KEY) != remarks.KEEP:
        tree, columns = without_personal(tree)
    tree, dropped = scrub(tree, declare.text("dates") or KEEP)
    dropped = [*columns, *dropped]
    problems = (*raw.problems, *dropped, *validate(tree, {"nodes": job.nodes}), *_unused(declare))
    if any(problem.level == "error" for problem in problems):
        raise SchemaError(p for p in problems if p not in raw.problems)
    return tree, problems


def _add_facts(tree: xr.DataTree, job: Job, declare: Declared, raw: Raw) -> None:
    named = {ENTITIES[k]: v for k, v in entities(raw.main).items() if k in ENTITIES}
    named |= side_cars(raw)
    for key in ROOT_FACTS:
        declared = declare.text(key)
        stated = tree.attrs.get(key)
        if declared and stated and declared != stated:
            raw.warn("", f"{key} {stated!r} in the source, {declared!r} declared", "one of them",
                     "the declared one is kept")  # fmt: skip
        value = declared or stated or named.get(key) or job.attrs.get(key)
        if value:
            tree.attrs[key] = value


def _unused(declare: Declared) -> list[Problem]:
    return [
        Problem(
            "warning", f"--set {key}", "a declared fact that nothing uses", "", "check its name"
        )
        for key in declare.unused()
    ]
