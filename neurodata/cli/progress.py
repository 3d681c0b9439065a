"""Ingest with progress bars: through one Prefect server for all sources, or directly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from neurodata.cli.outcome import clean

if TYPE_CHECKING:
    from neurodata.declare import Value
    from neurodata.ingestion import Entry, Result

Ingest = Callable[..., "Result"]


def ingest_all(
    sources: Sequence[str],
    store: Path,
    *,
    dataset: str | None = None,
    declare: Mapping[str, Value] | None = None,
    jobs: int = 1,
    direct: bool = False,
) -> list[Result]:
    """Ingest sources one after the other, with a bar for each on standard error.

    They go through Prefect unless ``direct`` is given or Prefect is not installed.
    """
    console = Console(stderr=True)
    facts = {"dataset": dataset, "declare": dict(declare or {}), "jobs": jobs}
    with _chosen(direct, console) as ingest:
        return [_with_bar(ingest, source, store, facts, console) for source in sources]


def _with_bar(
    ingest: Ingest, source: str, store: Path, facts: Mapping[str, object], console: Console
) -> Result:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(clean(f"ingest {source}"), total=None)

        def step(entry: Entry) -> None:
            bar.update(task, advance=1, description=clean(f"{entry.id} {entry.status}"))

        return ingest(source, store=store, progress=step, **facts)


@contextmanager
def _chosen(direct: bool, console: Console) -> Iterator[Ingest]:
    """Give the flow, on one server for the whole block, or the plain function."""
    from importlib.util import find_spec

    from neurodata.ingestion import ingest

    if not direct and find_spec("prefect") is None:
        console.print("Prefect is not installed (extra 'flows'): ingesting directly")
    if direct or find_spec("prefect") is None:
        yield ingest
        return
    from neurodata.orchestrate import api, ingest_flow

    with ExitStack() as stack:
        with console.status("starting Prefect's server"):
            stack.enter_context(api())
        yield ingest_flow
