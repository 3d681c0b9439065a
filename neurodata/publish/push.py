"""Push a data set to a folder in the form that Hugging Face and other tools read."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from neurodata.errors import IntegrityError, InvalidInputError, NotFoundError, Problem, StoreError
from neurodata.publish.card import write_card
from neurodata.publish.cells import dates, small_cells
from neurodata.publish.citation import write_citation
from neurodata.publish.croissant import STORES, write_croissant
from neurodata.publish.faces import faces
from neurodata.publish.facts import Facts, gather
from neurodata.publish.licence import write_licences
from neurodata.publish.tables import WHOLE, Files, write_tables
from neurodata.publish.texts import texts
from neurodata.publish.verify import verify_files, verify_stores
from neurodata.splits import Split
from neurodata.store import Store, files

REST = "unassigned"


def push(
    store: Store, dataset: str, dest: Path, *, splits: Path | Sequence[Split] = ()
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Write a data set to a new folder: tables, stores, splits, card, Croissant, licences.

    The same data set gives the same bytes every time.

    Parameters
    ----------
    dest : Path
        A folder that does not exist yet; it appears whole and verified, or not at all.
    splits : Path or sequence of Split
        Frozen splits, a split file, or a folder of them; those of other data sets are left out.
        The first split by whole recordings divides the tables.

    Returns
    -------
    items, problems
        The tables that were written, and findings.

    Raises
    ------
    NotFoundError
        When the store has no such data set, or not the versions that a split names.
    InvalidInputError
        When ``dest`` exists, lies in the store, or another process pushes there.
    StoreError
        When a recording states no licence or the folder cannot be written.
    IntegrityError
        When a byte differs from what was written.
    """
    catalog = store.catalog().query("dataset == @dataset")
    if catalog.empty:
        known = ", ".join(store.datasets()) or "none"
        raise NotFoundError(str(store.path), f"no data set {dataset!r}", f"one of {known}")
    newest = [f"{row.id}@{row.version}" for row in catalog.itertuples()]
    frozen = [split for split in _frozen(splits) if split.dataset == dataset]
    named = {f"{a['id']}@{a['version']}" for split in frozen for a in split.assignments}
    wanted = sorted({*newest, *named})
    facts = gather(store, dataset, wanted)
    dest = _new(dest, store)
    try:
        with _staged(dest) as folder:
            _copy(store, wanted, folder / STORES)
            _refuse(verify_stores(folder), str(folder / STORES), str(store.path))
            sides = _sides(newest, frozen)
            tables, problems = _describe(store, facts, sides, frozen, folder)
            problems += faces(store, wanted) + texts(store, wanted)
            problems += small_cells(store, wanted) + dates(store, wanted)
            items = [_item(folder, *place) for place in _places(tables)]
    except OSError as error:
        raise StoreError(
            str(dest),
            f"that it cannot be written ({error})",
            "a disk to write on",
            "free some room",
        ) from error
    return items, problems


def _frozen(splits: Path | Sequence[Split]) -> Sequence[Split]:
    if not isinstance(splits, Path):
        return splits
    found = [splits] if splits.is_file() else sorted(splits.glob("*.json"))
    return [Split.read(path) for path in found]


def _new(dest: Path, store: Store) -> Path:
    if os.path.lexists(dest):
        raise InvalidInputError(str(dest), "an existing file or folder", "a new one", "rename one")
    dest = dest.parent.resolve() / dest.name
    if dest.is_relative_to(store.path.resolve()):
        raise InvalidInputError(str(dest), "a folder of the store", "one outside", "push elsewhere")
    return dest


@contextlib.contextmanager
def _staged(dest: Path) -> Iterator[Path]:
    """Give a hidden folder beside ``dest``, and at the end sync it and rename it to that.

    It is locked while this process lives; what a killed one left there is removed first.
    """
    folder = dest.parent / f".{dest.name}.pushing"
    files.make_folders(folder)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if not _locked(descriptor, folder):
            raise InvalidInputError(str(folder), "a push at work", "none", "wait for its end")
        try:
            for left in folder.iterdir():
                if left.is_dir() and not left.is_symlink():
                    files.remove_tree(left)
                else:
                    files.remove(left)
            yield folder
            files.sync_tree(folder)
            files.rename(folder, dest)
        finally:
            files.try_remove_tree(folder)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, folder: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _copy(store: Store, wanted: Sequence[str], folder: Path) -> None:
    for one in wanted:
        files.copy_tree(store.folder(one), folder / one.replace("@", "/"))


def _sides(newest: Sequence[str], splits: Sequence[Split]) -> dict[str, list[str]]:
    """Return the versions on each side of the first split by whole recordings."""
    for split in splits:
        if any(entry.keys() & {"start_s", "box_zyx"} for entry in split.assignments):
            continue
        sides: dict[str, list[str]] = {side: [] for side in split.fractions}
        for entry in split.assignments:
            sides[entry["split"]].append(f"{entry['id']}@{entry['version']}")
        placed = {entry["id"] for entry in split.assignments}
        if rest := [one for one in newest if one.partition("@")[0] not in placed]:
            sides[REST] = [*sides.get(REST, ()), *rest]
        return sides
    return {WHOLE: list(newest)}


def _describe(
    store: Store,
    facts: Facts,
    sides: dict[str, list[str]],
    splits: Sequence[Split],
    folder: Path,
) -> tuple[Files, list[Problem]]:
    """Write all but the stores, then read every byte back."""
    for split in splits:
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", split.by)
        files.make_folders(folder / "splits")
        split.write(folder / "splits" / f"{name}-{split.digest[:12]}.json")
    tables = write_tables(store, sides, folder / "tables")
    problems = write_licences(facts.licences, folder / "LICENSES")
    problems += write_citation(folder, facts)
    write_card(folder, facts, tables, splits)
    write_croissant(folder, facts, tables)
    _refuse(verify_files(folder))
    return tables, problems


def _refuse(problems: Sequence[Problem], copy: str = "", original: str = "") -> None:
    for problem in problems:
        where = problem.where.replace(copy, original) if copy else problem.where
        raise IntegrityError(where, problem.found, problem.expected, problem.hint)


def _places(tables: Files) -> Iterator[tuple[str, str, Path]]:
    for name, sides in tables.items():
        for side, path in sides.items():
            yield name, side, path


def _item(folder: Path, name: str, side: str, path: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    count = pq.read_metadata(path).num_rows
    place = path.relative_to(folder).as_posix()
    return {"table": name, "split": side, "rows": count, "file": place}
