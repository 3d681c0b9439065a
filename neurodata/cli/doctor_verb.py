"""The verb `doctor`: is the installation sound, and the store?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurodata.cli.outcome import Outcome, counted, run
from neurodata.cli.verbs import STORE, Json, app

if TYPE_CHECKING:
    from neurodata.doctor import Check


@app.command()
def doctor(
    store: Annotated[
        Path | None,
        typer.Option(
            "--store", envvar="NEURODATA_STORE", help="Folder of a store; default: ./store, if any."
        ),
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Compare every stored byte.")] = False,
    prefect: Annotated[bool, typer.Option("--prefect", help="Ask the Prefect server too.")] = False,
    as_json: Json = False,
) -> None:
    """Check installation and store, and say what mends them. Example: neurodata doctor --deep.

    Nothing is changed. Exit code 1: something does not work or is damaged.
    """

    def verb() -> Outcome:
        chosen = store if store is not None or not STORE.is_dir() else STORE
        checks = _examined(chosen, deep, prefect)
        problems = [problem for check in checks for problem in check.problems]
        items = [{"check": c.name, "level": c.level, "found": c.found} for c in checks]
        about = "installation" if chosen is None else f"installation and {chosen}"
        says = f"{len(checks)} checks of {about}: " + (counted(problems) if problems else "healthy")
        return Outcome(items, problems, says)

    run(verb, as_json)


def _examined(store: Path | None, deep: bool, prefect: bool) -> list[Check]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from neurodata.doctor import examine

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("comparing every byte" if deep else "checking", total=None)

        def step(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        return examine(store, deep=deep, prefect=prefect, progress=step)
