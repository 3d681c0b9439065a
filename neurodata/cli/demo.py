"""The demonstration: shipped recordings from raw files to scores, report and pushed folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from neurodata.cli.outcome import SCORE_COLUMNS, Outcome, scored
from neurodata.cli.progress import ingest_all
from neurodata.errors import Problem, ProblemsError
from neurodata.ingestion import Status
from neurodata.pipeline import Pipeline, names, read_pipeline
from neurodata.publish import push
from neurodata.report import write_report
from neurodata.scoring import run_benchmark, write_scores
from neurodata.splits import Split, audit, freeze
from neurodata.store import Store, files, open_store

STATUSES: tuple[Status, ...] = ("new", "same", "alias", "failed")


def run_demo(folder: Path, *, direct: bool = False, jobs: int = 1) -> Outcome:
    """Ingest, verify, split, audit, score, report and push every shipped data set.

    Everything lies below ``folder``: ``store``, ``splits``, ``scores``, ``report.html`` and
    ``pushed``. Run again, it ingests nothing anew.

    Raises
    ------
    ProblemsError
        When the store is damaged; nothing is scored or published from it.
    """
    console = Console(stderr=True)
    pipelines = [read_pipeline(name)[0] for name in names()]
    ids = [pipeline.id for pipeline in pipelines]
    results = ingest_all(ids, folder / "store", jobs=jobs, direct=direct)
    counts = {s: sum(result.tally(s) for result in results) for s in STATUSES}
    console.print("ingested: " + ", ".join(f"{count} {s}" for s, count in counts.items()))
    store = open_store(folder / "store")
    problems = [problem for result in results for problem in result.findings()]
    if damage := store.verify():
        raise ProblemsError(damage)
    console.print(f"verified {len(store.ids())} recordings: every byte as written")
    splits = {p.id: _splits(store, p, folder / "splits") for p in pipelines}
    every = [split for found in splits.values() for split in found.values()]
    problems += [problem for split in every for problem in audit(split, store)]
    console.print(f"froze and audited {len(every)} splits")
    scores = [
        score for p in pipelines for score in _scores(store, p, splits[p.id], folder, console)
    ]
    page = write_report(store, folder / "report.html", splits=every, scores=scores)
    problems += _push(store, pipelines, folder)
    says = _summary(folder, page, counts, len(every), len(scores), problems)
    kept = [problem for problem in problems if problem.level != "note"]
    failed = any(not result.ok for result in results)
    return Outcome(scored(scores), kept, says, failed, SCORE_COLUMNS)


def _splits(store: Store, pipeline: Pipeline, folder: Path) -> dict[str, Split]:
    return {name: Split.read(path) for name, path in freeze(store, pipeline, folder).items()}


def _scores(
    store: Store, pipeline: Pipeline, splits: dict[str, Split], folder: Path, console: Console
) -> list[dict[str, Any]]:
    if not pipeline.tasks:
        return []
    scores = run_benchmark(store, pipeline, splits)
    write_scores(scores, folder / "scores" / f"{pipeline.id}.json")
    console.print(f"scored {pipeline.id}: {len(scores)} models")
    return scores


def _push(store: Store, pipelines: Sequence[Pipeline], folder: Path) -> list[Problem]:
    problems = []
    for pipeline in pipelines:
        target = folder / "pushed" / pipeline.id
        files.try_remove_tree(target)
        problems += push(store, pipeline.id, target, splits=folder / "splits")[1]
    return problems


def _summary(
    folder: Path,
    page: Path,
    counts: Mapping[Status, int],
    splits: int,
    scores: int,
    problems: Sequence[Problem],
) -> str:
    findings = ", ".join(
        f"{sum(p.level == level for p in problems)} {level}s"
        for level in ("error", "warning", "note")
    )
    ingested = ", ".join(f"{count} {status}" for status, count in counts.items())
    folder = folder.absolute()
    lines = [
        f"recordings  {ingested}",
        f"findings    {findings}",
        f"store       {folder / 'store'}",
        f"splits      {folder / 'splits'} ({splits})",
        f"scores      {folder / 'scores'} ({scores})",
        f"report      {page.absolute()}",
        f"pushed      {folder / 'pushed'}",
    ]
    return "\n".join(lines)
