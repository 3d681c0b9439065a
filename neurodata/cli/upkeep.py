"""The verbs that take something out of a store: forget and prune."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurodata.cli.more_verbs import SPLITS, SplitsFolder
from neurodata.cli.outcome import Outcome, run, size
from neurodata.cli.verbs import STORE, DatasetId, Json, StorePath, app
from neurodata.errors import NotFoundError, Problem

if TYPE_CHECKING:
    from neurodata.store.forget import Removal

__all__ = ["app"]

Yes = Annotated[bool, typer.Option("--yes", help="Do it; else only show what would go.")]
PUSHED = Path("pushed")
ELSEWHERE = (
    "Not the store's, so not touched: raw files, reports, scores, trained models, split files,"
    " pushed folders, backups, copies elsewhere; see docs/personal_data.md"
)


@app.command()
def forget(
    subject: Annotated[str, typer.Argument(help="As recordings state it, letter by letter.")],
    store: StorePath = STORE,
    dataset: DatasetId = None,
    splits: SplitsFolder = SPLITS,
    pushed: Annotated[
        list[Path] | None,
        typer.Option("--pushed", help="A pushed folder, or a folder of them; repeatable."),
    ] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Remove all of a person from the store. Example: neurodata forget S07 --yes.

    Without --yes it only shows what would go, and how many bytes. Frozen splits and pushed
    folders that hold the person are listed; what else lies outside the store is not touched.
    """

    def verb() -> Outcome:
        from neurodata.stale import stale_pushed, stale_splits
        from neurodata.store import open_store

        def outside(ids: tuple[str, ...]) -> list[Problem]:
            found = stale_splits(splits, ids, subject)
            return found + stale_pushed(pushed or [PUSHED], ids, subject)

        try:
            removal = open_store(store).forget(subject, dataset, yes=yes)
        except NotFoundError as error:
            if left := outside(()):
                return Outcome((), [*left, _as_note(error)], "nothing of it in the store")
            raise
        problems = [*removal.problems, *outside((*removal.ids, *removal.aliases))]
        return _shown(removal, problems, ELSEWHERE)

    run(verb, as_json)


@app.command()
def prune(
    store: StorePath = STORE,
    dataset: DatasetId = None,
    keep: Annotated[int, typer.Option(help="Newest versions of each recording that stay.")] = 1,
    splits: SplitsFolder = SPLITS,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Remove old versions of recordings. Example: neurodata prune --keep 2 --yes.

    Versions that a file in --splits names stay, and those that another name points to. Without
    --yes it only shows which would go, and how many bytes.
    """

    def verb() -> Outcome:
        from neurodata.stale import pinned, split_files
        from neurodata.store import open_store

        opened = open_store(store)
        problems = []
        if not split_files(splits):
            problems.append(
                Problem("warning", str(splits), "no split file", "those that name versions",
                        "if there are some, give --splits")
            )  # fmt: skip
        removal = opened.prune(dataset, keep=keep, pinned=pinned(splits), yes=yes)
        return _shown(removal, [*problems, *removal.problems])

    run(verb, as_json)


def _as_note(error: NotFoundError) -> Problem:
    return Problem("note", error.where, error.found, error.expected, error.hint)


def _shown(removal: Removal, problems: list[Problem], more: str = "") -> Outcome:
    """Return what goes, version by version; once it is gone, numbers that name nobody."""
    end = f"\n{more}" if more else ""
    if done := removal.tombstone:
        says = f"removed {_amount(done['recordings'], done['versions'], done['size_bytes'])}"
        return Outcome([done], problems, f"{says}; removal {done['number']}{end}")
    counts = removal.counts()
    amount = _amount(*counts.values())
    if not removal.ids:
        return Outcome((), problems, "nothing to remove")
    items = [
        {"id": one.id, "version": one.version, "size_bytes": one.size_bytes} for one in removal.held
    ]
    items += [{"id": name, "version": "another name", "size_bytes": 0} for name in removal.aliases]
    return Outcome(items, problems, f"{amount} would go; --yes removes them{end}")


def _amount(recordings: int, versions: int, size_bytes: int) -> str:
    return f"{recordings} recordings, {versions} versions, {size(size_bytes)}"
