"""The verbs, with their options and help."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurodata.cli.guarded import Guarded
from neurodata.cli.outcome import Outcome, counted, run, size
from neurodata.errors import InvalidInputError

if TYPE_CHECKING:
    from neurodata.declare import Value
    from neurodata.errors import Problem
    from neurodata.ingestion import Result
    from neurodata.plan import Job
    from neurodata.store import Store

app = typer.Typer(
    cls=Guarded,
    help="Verified neuroscience data: from raw recordings to training and publication.\n\n"
    "Example: neurodata ingest raw/ --set rate_hz=30, then neurodata ls",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
StorePath = Annotated[
    Path, typer.Option("--store", envvar="NEURODATA_STORE", help="Folder of the store.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Declare a fact, e.g. rate_hz=10, or of some recordings, e.g. 'cell*:rate_hz=10'; "
        "repeatable.",
    ),
]
DatasetId = Annotated[str | None, typer.Option("--dataset", help="Id of the data set.")]
STORE = Path("store")
SHOWN_FILES = 4
SETTLE = "What the files do not state is for you to declare: choose for <...> and a|b, check all:"


@app.command()
def datasets(as_json: Json = False) -> None:
    """List the data sets that neurodata has pipelines for. Example: neurodata datasets."""

    def verb() -> Outcome:
        from neurodata.pipeline import names, read_pipeline

        pipelines = [read_pipeline(name)[0] for name in names()]
        keys = ("id", "modality", "title", "licence")
        return Outcome([{key: getattr(p, key) for key in keys} for p in pipelines])

    run(verb, as_json)


@app.command()
def plan(
    sources: Annotated[list[str], typer.Argument(help="Pipelines, folders or files.")],
    dataset: DatasetId = None,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Show what an ingest would do. Example: neurodata plan raw/ --set voxel_um=2,0.5,0.5."""

    def verb() -> Outcome:
        from neurodata.plan import plan as planned

        plans = [planned(s, dataset=dataset, declare=facts(settings)) for s in sources]
        jobs = [job for found in plans for job in found.jobs]
        items = [
            {
                "id": job.id,
                "reader": job.reader,
                "files": [p.relative_to(job.root).as_posix() for p in job.files],
                "size_bytes": job.size_bytes,
            }
            for job in jobs
        ]
        problems = [p for found in plans for p in found.problems]
        problems += [p for job in jobs for p in job.problems]
        total = size(sum(job.size_bytes for job in jobs))
        says = f"{len(jobs)} recordings, {total}; {counted(problems)}"
        table = [{**item, "files": _listed(job)} for item, job in zip(items, jobs, strict=True)]
        return Outcome(items, problems, says, table=table, columns=("id", "reader", "files"))

    run(verb, as_json)


def _listed(job: Job) -> str:
    files = [path.relative_to(job.root).as_posix() for path in job.files]
    more = len(files) - SHOWN_FILES
    return ", ".join(files[:SHOWN_FILES]) + (f" and {more} more" if more > 0 else "")


@app.command()
def ingest(
    sources: Annotated[list[str], typer.Argument(help="Pipelines, folders or files.")],
    store: StorePath = STORE,
    dataset: DatasetId = None,
    settings: Settings = None,
    jobs: Annotated[int, typer.Option(help="Number of processes.")] = 1,
    direct: Annotated[bool, typer.Option("--direct", help="Without Prefect.")] = False,
    as_json: Json = False,
) -> None:
    """Read, check and store recordings. Example: neurodata ingest raw/ --set rate_hz=30."""

    def verb() -> Outcome:
        from neurodata.cli.progress import ingest_all

        results = ingest_all(
            sources, store, dataset=dataset, declare=facts(settings), jobs=jobs, direct=direct
        )
        return ingested(results)

    run(verb, as_json)


def ingested(results: list[Result]) -> Outcome:
    """Return what an ingest did, as a verb's outcome."""
    entries = [entry for result in results for entry in result.entries]
    items = [
        {
            "id": e.id,
            "status": e.status,
            "version": e.version,
            "size_bytes": e.size_bytes,
            "seconds": round(e.seconds, 2),
            "problems": [p.as_dict() for p in e.problems],
        }
        for e in entries
    ]
    problems = [p for result in results for p in result.findings()]
    counts = {s: sum(e.status == s for e in entries) for s in ("new", "same", "alias", "failed")}
    says = ", ".join(f"{count} {status}" for status, count in counts.items())
    if entries and not counts["new"] and not counts["failed"]:
        says += ": nothing new to ingest"
    if wanted := [setting for result in results for setting in result.settings]:
        says = "\n".join([SETTLE, *_lines(wanted), says])
    failed = any(not result.ok for result in results)
    return Outcome(items, problems, says, failed, ("id", "status", "version", "seconds"))


def _lines(settings: list[str]) -> list[str]:
    """Return the options that make settings, those of one scope on a line."""
    from neurodata.declare import scope_of

    lines: dict[str, list[str]] = {}
    for setting in settings:
        lines.setdefault(scope_of(setting)[0], []).append(f"--set {quote(setting)}")
    return [f"  {' '.join(line)}" for line in lines.values()]


@app.command()
def ls(
    query: Annotated[
        str | None, typer.Argument(help="E.g. \"modality == 'eeg' and rate_hz >= 250\"")
    ] = None,
    store: StorePath = STORE,
    as_json: Json = False,
) -> None:
    """List recordings. Example: neurodata ls "modality == 'eeg'"."""

    def verb() -> Outcome:
        from neurodata.store import open_store

        opened = open_store(store)
        table = opened.catalog()
        if query:
            table = table[table["id"].isin(opened.select(query))]
        plain = table.astype(object).where(table.notna(), None)
        items = [{str(k): v for k, v in row.items()} for row in plain.to_dict("records")]
        columns = ("id", "modality", "subject", "nodes", "rate_hz", "units")
        return Outcome(items, (), f"{len(items)} recordings", columns=columns)

    run(verb, as_json)


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="dataset/recording, or with @version")],
    store: StorePath = STORE,
    picture: Annotated[Path | None, typer.Option(help="Write the picture here (PNG).")] = None,
    as_json: Json = False,
) -> None:
    """Show one recording. Example: neurodata show eeg_fp1/test_utf8 --picture eeg.png."""

    def verb() -> Outcome:
        from neurodata.store import open_store

        opened = open_store(store)
        manifest = opened.manifest(id)
        facts = {"version": opened.version(id), "content": manifest["content"]}
        nodes = {n: {**kind, **manifest["summary"][n]} for n, kind in manifest["nodes"].items()}
        if picture:
            from neurodata.report import recording_picture

            picture.write_bytes(recording_picture(opened[id]))
        lines = {**manifest["attrs"], **facts}.items()
        says = "\n".join(f"{key}: {' '.join(str(v).splitlines())}" for key, v in lines)
        columns = ("node", "representation", "dims", "units", "rate_hz", "start_s", "stop_s")
        table = [{"node": name, **node, "dims": _dims(node)} for name, node in nodes.items()]
        item = {**manifest["attrs"], **facts, "nodes": nodes}
        return Outcome([item], (), says, columns=columns, table=table)

    run(verb, as_json)


def _dims(node: dict[str, Any]) -> str:
    return " ".join(f"{dim}={count}" for dim, count in node["dims"].items())


@app.command()
def validate(
    id: Annotated[str | None, typer.Argument(help="One recording; default is all.")] = None,
    store: StorePath = STORE,
    as_json: Json = False,
) -> None:
    """Check schema and data quality. Example: neurodata validate eeg_fp1/test_utf8."""

    def verb() -> Outcome:
        from dataclasses import replace

        from neurodata.store import open_store

        opened = open_store(store)
        ids = [id] if id and opened.version(id) else opened.ids()
        problems = [
            replace(p, where=f"{name}: {p.where}") for name in ids for p in _checked(opened, name)
        ]
        return Outcome([{"id": name} for name in ids], problems, f"{len(ids)} recordings checked")

    run(verb, as_json)


def _checked(opened: Store, id: str) -> list[Problem]:
    """Return the findings about a recording; damaged bytes are findings too."""
    from neurodata.errors import IntegrityError, NotFoundError
    from neurodata.schema import validate as check

    try:
        return check(opened.raw(id))
    except (IntegrityError, NotFoundError) as error:
        return [error.problem]
    except Exception:
        if damage := opened.verify(id):
            return damage
        raise


@app.command()
def verify(
    id: Annotated[str | None, typer.Argument(help="One recording; default is all.")] = None,
    store: StorePath = STORE,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run with --resume was stopped.")
    ] = False,
    limit_mb_s: Annotated[
        float | None, typer.Option("--limit-mb-s", help="Read so many MB a second at most.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare every stored byte with the manifests. Example: neurodata verify.

    For a large store, as often as it is stopped: neurodata verify --resume --limit-mb-s 50
    """

    def verb() -> Outcome:
        from neurodata.store import open_store

        opened = open_store(store)
        ids = [id] if id else opened.ids()
        problems = opened.verify(id, resume=resume, limit_mb_s=limit_mb_s)
        wrong = sum(problem.level != "note" for problem in problems)
        says = f"{len(ids)} recordings: " + (f"{wrong} findings" if wrong else "intact")
        return Outcome([{"id": name} for name in ids], problems, says)

    run(verb, as_json)


@app.command()
def rebuild(store: StorePath = STORE, as_json: Json = False) -> None:
    """Make the catalogue again from the manifests. Example: neurodata rebuild."""

    def verb() -> Outcome:
        from neurodata.store import Store

        if not store.is_dir():
            raise InvalidInputError(str(store), "no such folder", "a store", "give --store")
        opened = Store(store.absolute())
        problems = opened.rebuild()
        ids = opened.ids()
        return Outcome([{"id": name} for name in ids], problems, f"{len(ids)} recordings")

    run(verb, as_json)


def facts(settings: list[str] | None) -> dict[str, Value]:
    """Return the facts that ``--set`` options declare."""
    from neurodata.declare import parse

    return parse(settings or ())
