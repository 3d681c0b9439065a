"""The verbs after ingest: split, audit, bench, push, report, serve, demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import neurodata.cli.doctor_verb  # noqa: F401 - adds its verb to the app
from neurodata.cli.outcome import SCORE_COLUMNS, Outcome, run, scored
from neurodata.cli.verbs import STORE, DatasetId, Json, Settings, StorePath, app, facts
from neurodata.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from neurodata.splits import Split

__all__ = ["app"]

bench = typer.Typer(
    help="Score models on tasks. Example: neurodata bench run mushroom_body", rich_markup_mode=None
)
app.add_typer(bench, name="bench")

SplitsFolder = Annotated[Path, typer.Option("--splits", help="Folder of split files.")]
ScoresFolder = Annotated[Path, typer.Option("--scores", help="Folder of score files.")]
SPLITS, SCORES = Path("splits"), Path("scores")


@app.command()
def split(
    dataset: Annotated[
        str, typer.Argument(help="Id of a data set in the store; without --by also a YAML file.")
    ],
    store: StorePath = STORE,
    by: Annotated[
        str | None,
        typer.Option(help="subject, session, another attribute, time or block."),
    ] = None,
    fractions: Annotated[str | None, typer.Option(help="E.g. train=0.7,val=0.15,test=0.15")] = None,
    gap_s: Annotated[float | None, typer.Option(help="Seconds left out between sides.")] = None,
    gap_voxels: Annotated[int | None, typer.Option(help="Voxels left out between sides.")] = None,
    node: Annotated[str | None, typer.Option(help="Node whose clock or box is cut.")] = None,
    salt: Annotated[str | None, typer.Option(help="Another salt, another order.")] = None,
    out: Annotated[Path | None, typer.Option(help="The split file; extended if it exists.")] = None,
    splits: SplitsFolder = SPLITS,
    as_json: Json = False,
) -> None:
    """Freeze a split. Example: neurodata split eeg_fp1 --by time --gap-s 10.

    Without --by, the splits that the data set's pipeline declares are made.
    """

    def verb() -> Outcome:
        from neurodata.pipeline import read_pipeline
        from neurodata.splits import Split, freeze, make_split, split_file
        from neurodata.store import open_store
        from neurodata.store.files import make_folders

        opened = open_store(store)
        if by is None and out is None:
            try:
                pipeline, _ = read_pipeline(dataset)
            except NotFoundError as error:
                hint = "or say how to divide it: --by subject"
                raise NotFoundError(error.where, error.found, error.expected, hint) from error
            written = list(freeze(opened, pipeline, splits).values())
        else:
            path = out or split_file(splits, dataset, by or "subject")
            make_folders(path.parent)
            made = make_split(
                opened, dataset, by=by, fractions=_fractions(fractions), gap_s=gap_s,
                gap_voxels=gap_voxels, node=node, salt=salt,
                existing=Split.read(path) if path.exists() else None,
            )  # fmt: skip
            made.write(path)
            written = [path]
        items = [_split_item(path, Split.read(path)) for path in written]
        return Outcome(items, (), f"{len(items)} split files")

    run(verb, as_json)


def _split_item(path: Path, split: Split) -> dict[str, object]:
    counts = {name: len(split.ids(name)) for name in split.fractions}
    sides = " ".join(f"{name}={count}" for name, count in counts.items())
    return {"file": str(path), "by": split.by, "recordings": sides, "digest": split.digest}


def _fractions(text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    try:
        pairs = [part.split("=") for part in text.split(",")]
        return {name: float(share) for name, share in pairs}
    except ValueError as error:
        raise InvalidInputError(
            "--fractions", repr(text), "names with shares", "e.g. train=0.7,test=0.3"
        ) from error


@app.command()
def audit(
    file: Annotated[Path, typer.Argument(help="A split file.")],
    store: StorePath = STORE,
    window_s: Annotated[float | None, typer.Option(help="Length of a sample.")] = None,
    horizon_s: Annotated[float | None, typer.Option(help="How far its target lies ahead.")] = None,
    as_json: Json = False,
) -> None:
    """Look for leaks between the sides of a split. Example: neurodata audit splits/a.time.json."""

    def verb() -> Outcome:
        from neurodata.splits import Split
        from neurodata.splits import audit as look
        from neurodata.store import open_store

        made = Split.read(file)
        problems = look(made, open_store(store), window_s=window_s, horizon_s=horizon_s)
        leaks = sum(p.level == "error" for p in problems)
        return Outcome(
            [_split_item(file, made)], problems, f"{leaks} leaks" if leaks else "no leak"
        )

    run(verb, as_json)


@bench.command("list")
def bench_list(
    names: Annotated[list[str] | None, typer.Argument(help="Pipelines; all shipped ones.")] = None,
    as_json: Json = False,
) -> None:
    """List the tasks that models are scored on. Example: neurodata bench list eeg_fp1."""

    def verb() -> Outcome:
        from neurodata.pipeline import names as shipped
        from neurodata.pipeline import read_pipeline

        keys = ("name", "kind", "split", "title")
        items = [
            {"dataset": pipeline.id, **{key: getattr(task, key) for key in keys}}
            for pipeline in (read_pipeline(name)[0] for name in names or shipped())
            for task in pipeline.tasks
        ]
        return Outcome(items, (), f"{len(items)} tasks")

    run(verb, as_json)


@bench.command("report")
def bench_report(
    scores: ScoresFolder = SCORES, dataset: DatasetId = None, as_json: Json = False
) -> None:
    """Show the scores of earlier runs. Example: neurodata bench report --dataset eeg_fp1."""

    def verb() -> Outcome:
        from neurodata.scoring import read_scores

        files = sorted(scores.glob("*.json"))
        if not files:
            hint = "run: neurodata bench run NAME"
            raise NotFoundError(str(scores), "no scores", "score files", hint)
        items = [
            score
            for path in files
            for score in read_scores(path)
            if dataset in (None, score["dataset"])
        ]
        return Outcome(scored(items), (), f"{len(items)} scores", columns=SCORE_COLUMNS)

    run(verb, as_json)


@bench.command("run")
def bench_run(
    names: Annotated[list[str], typer.Argument(help="Pipelines with tasks.")],
    store: StorePath = STORE,
    splits: SplitsFolder = SPLITS,
    scores: ScoresFolder = SCORES,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    as_json: Json = False,
) -> None:
    """Score baselines and models on frozen splits. Example: neurodata bench run mushroom_body."""

    def verb() -> Outcome:
        from neurodata.pipeline import read_pipeline
        from neurodata.scoring import run_benchmark, write_scores
        from neurodata.splits import Split, freeze
        from neurodata.store import open_store

        opened, items = open_store(store), []
        for name in names:
            pipeline, _ = read_pipeline(name)
            frozen = {
                key: Split.read(path) for key, path in freeze(opened, pipeline, splits).items()
            }
            found = run_benchmark(opened, pipeline, frozen, seed=seed)
            write_scores(found, scores / f"{pipeline.id}.json")
            items += found
        notes = [
            f"{s['dataset']}/{s['task']}, {s['model']}: {s['note']}" for s in items if s["note"]
        ]
        says = "\n".join([*notes, f"{len(items)} scores"])
        return Outcome(scored(items), (), says, columns=SCORE_COLUMNS)

    run(verb, as_json)


@app.command()
def push(
    dataset: Annotated[str, typer.Argument(help="Id of a data set in the store.")],
    dest: Annotated[Path, typer.Argument(help="A new folder.")],
    store: StorePath = STORE,
    splits: SplitsFolder = SPLITS,
    as_json: Json = False,
) -> None:
    """Make a folder ready for Hugging Face. Example: neurodata push eeg_fp1 pushed/eeg_fp1."""

    def verb() -> Outcome:
        from neurodata.publish import push as publish
        from neurodata.store import open_store

        items, problems = publish(open_store(store), dataset, dest, splits=splits)
        return Outcome(items, problems, f"pushed to {dest}")

    run(verb, as_json)


@app.command()
def report(
    store: StorePath = STORE,
    splits: SplitsFolder = SPLITS,
    scores: ScoresFolder = SCORES,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    dataset: DatasetId = None,
    as_json: Json = False,
) -> None:
    """Write one page about the store, with pictures. Example: neurodata report --out page.html."""

    def verb() -> Outcome:
        from neurodata.report import write_report
        from neurodata.scoring import read_scores
        from neurodata.splits import Split
        from neurodata.store import open_store

        opened = open_store(store)
        chosen = [dataset] if dataset else opened.datasets()
        frozen = [Split.read(path) for path in sorted(splits.glob("*.json"))]
        found = [score for path in sorted(scores.glob("*.json")) for score in read_scores(path)]
        path = write_report(
            opened,
            out,
            datasets=chosen,
            splits=[one for one in frozen if one.dataset in chosen],
            scores=[one for one in found if one["dataset"] in chosen],
        )
        return Outcome([{"file": str(path), "size_bytes": path.stat().st_size}], (), f"see {path}")

    run(verb, as_json)


@app.command()
def serve(
    source: Annotated[str, typer.Argument(help="A pipeline, folder or file.")],
    cron: Annotated[str | None, typer.Option(help='Five fields, UTC, e.g. "0 3 * * *".')] = None,
    every_s: Annotated[float | None, typer.Option(help="Seconds between starts.")] = None,
    store: StorePath = STORE,
    dataset: DatasetId = None,
    settings: Settings = None,
    jobs: Annotated[int, typer.Option(help="Number of processes.")] = 1,
    as_json: Json = False,
) -> None:
    """Ingest again and again on a schedule. Example: neurodata serve raw/ --cron "0 3 * * *"."""

    def verb() -> Outcome:
        from neurodata.orchestrate import serve as run_schedule

        run_schedule(
            source,
            store,
            cron,
            every_s=every_s,
            dataset=dataset,
            declare=facts(settings),
            jobs=jobs,
        )
        return Outcome()

    run(verb, as_json)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A raw folder.")],
    out: Annotated[Path | None, typer.Option(help="The file; default is FOLDER.yaml.")] = None,
    as_json: Json = False,
) -> None:
    """Write a first pipeline for a raw folder. Example: neurodata init raw/ --out lab.yaml."""

    def verb() -> Outcome:
        from neurodata.draft import draft

        made = draft(folder, out)
        wanting = sum(bool(row["to declare"]) for row in made.recordings)
        says = f"{made.path}: {len(made.recordings)} recordings, {wanting} lack facts"
        return Outcome(made.recordings, made.problems, f"{says}; fill in what says TODO")

    run(verb, as_json)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("demo"),
    direct: Annotated[bool, typer.Option("--direct", help="Without Prefect.")] = False,
    jobs: Annotated[int, typer.Option(help="Number of processes.")] = 1,
    as_json: Json = False,
) -> None:
    """Run the whole way on the shipped recordings. Example: neurodata demo --folder demo."""

    def verb() -> Outcome:
        from neurodata.cli.demo import run_demo

        return run_demo(folder, direct=direct, jobs=jobs)

    run(verb, as_json)
