"""Take recordings or versions out of a store for good, so that a kill on the way does no harm.

A removal is written down first, then done: rows leave the catalogue, folders leave the readers'
sight in one rename each, bytes are deleted, the catalogue is rewritten without what it had
deleted, and a line without identity stays. Every step may be done twice, so whatever was killed
is finished by doing it again.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from neurodata.errors import StoreError, UnsafeError
from neurodata.store import catalog, files
from neurodata.store.commit import LOCK, STAGING

REMOVALS = ".removals.json"
JOURNAL = ".removal"
PART = ".part"
AGAIN = "run it again: what was begun is finished"


@contextlib.contextmanager
def told(root: Path) -> Iterator[None]:
    """Turn the system's errors into refusals that name no recording.

    Raises
    ------
    StoreError
        In place of the system's error.
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        found = getattr(error, "strerror", None) or type(error).__name__
        raise StoreError(
            str(root), f"that it cannot be written ({found})", "a store to write on", AGAIN
        ) from None


def remove(
    root: Path, kind: str, paths: Sequence[str], rows: Sequence[str], counts: Mapping[str, int]
) -> dict[str, Any]:
    """Write a removal down and do it; the caller holds the lock of commits.

    Parameters
    ----------
    kind : str
        ``forget`` or ``prune``, for the line that stays.
    paths : sequence of str
        Folders below the store: ``dataset/recording`` or ``dataset/recording/version``.
    rows : sequence of str
        Of the same forms: what the catalogue shall no longer have.
    counts : mapping
        What stays of it: ``recordings``, ``versions`` and ``size_bytes``.

    Returns
    -------
    dict
        The line that stays.

    Raises
    ------
    UnsafeError
        When there is a link in place of a folder.
    """
    for path in paths:
        if (root / path).is_symlink() or (root / path).parent.is_symlink():
            raise UnsafeError(str(root), "a link in place of a folder", "a folder", "remove it")
    number = 1 + max((one["number"] for one in tombstones(root)), default=0)
    date = datetime.now(UTC).date().isoformat()
    tombstone = {"number": number, "date": date, "kind": kind, **counts}
    journal = root / STAGING / f"{uuid.uuid4().hex}{JOURNAL}"
    _write(root, journal, {"paths": [*paths], "rows": [*rows], "tombstone": tombstone})
    _do(root, journal)
    return tombstone


def begun(root: Path) -> list[Path]:
    """Return what was written down of removals that are not finished."""
    found = (root / STAGING).glob(f"*{JOURNAL}")
    return sorted(path for path in found if files.is_regular(path))


def resume(root: Path) -> list[str]:
    """Finish what was begun, under the caller's lock, and return the ids that it was about."""
    rows = [row for journal in begun(root) for row in _do(root, journal)["rows"]]
    return sorted({"/".join(row.split("/")[:2]) for row in rows})


def finish(root: Path) -> None:
    """Finish the removals that were begun and killed, if there are any."""
    parts = [path for path in (root / STAGING).glob(f"*{PART}") if files.is_regular(path)]
    if begun(root) or parts:
        with told(root), files.locked(root / STAGING / LOCK):
            resume(root)
            for left in parts:  # it died before it was written down
                files.remove(left)


def tidy(root: Path) -> None:
    """Delete what lies in the staging folder and is of no living process, under the lock."""
    for path in sorted((root / STAGING).iterdir()):
        known = path.suffix in (".lock", JOURNAL) and files.is_regular(path)
        if known or path.name == LOCK or files.is_regular(path.with_suffix(".lock")):
            continue
        if path.is_dir() and not path.is_symlink():
            files.remove_tree(path)
        else:
            files.remove(path)


def tombstones(root: Path) -> list[dict[str, Any]]:
    """Return what is kept of the removals that were done: number, date, kind and counts.

    Raises
    ------
    StoreError
        When the list is damaged.
    """
    path = root / REMOVALS
    if not path.exists():
        return []
    try:
        return [{**one, "number": int(one["number"])} for one in json.loads(files.read(path))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            str(path), "no readable list", "one", "restore it from a copy, or move it away"
        ) from error


def _do(root: Path, journal: Path) -> dict[str, Any]:
    """Do what a journal says, from wherever it stopped."""
    try:
        work: dict[str, Any] = json.loads(files.read(journal))
    except ValueError as error:
        raise StoreError(
            str(journal), "no readable removal", "one", "delete it, then forget or prune again"
        ) from error
    _unlist(root, work["rows"])
    for path in work["paths"]:
        source = root / path
        if source.is_dir():
            files.rename(source, root / STAGING / uuid.uuid4().hex)
            files.sync(source.parent)
        _drop_empty(source.parent, root)
    tidy(root)
    _compact(root)
    _remember(root, work["tombstone"])
    files.remove(journal)
    files.sync(root / STAGING)
    return work


def _unlist(root: Path, rows: Iterable[str]) -> None:
    """Delete recordings (``dataset/recording``) or versions (``…/version``) from the catalogue."""
    with catalog.connect(root) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        for row in rows:
            keys = row.split("/")
            end = " AND version = ?" if len(keys) > 2 else ""
            own, to = (f"dataset = ? AND {key} = ?{end}" for key in ("recording", "target"))
            connection.execute(f"DELETE FROM versions WHERE {own}", keys)  # noqa: S608
            connection.execute(f"DELETE FROM aliases WHERE {to}", keys)  # noqa: S608
            if not end:
                connection.execute(f"DELETE FROM aliases WHERE {own}", keys)  # noqa: S608


def _compact(root: Path) -> None:
    """Rewrite the catalogue, so that no page keeps what was deleted, now or before."""
    with contextlib.closing(
        sqlite3.connect(root / catalog.FILE, timeout=catalog.BUSY_S, isolation_level=None)
    ) as connection:
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA secure_delete = ON")
        pointers = connection.execute("SELECT DISTINCT dataset, target, version FROM aliases")
        for pointer in pointers.fetchall():
            if not root.joinpath(*pointer).is_dir():
                where = "dataset = ? AND target = ? AND version = ?"
                connection.execute(f"DELETE FROM aliases WHERE {where}", pointer)  # noqa: S608
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    files.sync(root / catalog.FILE)


def _drop_empty(folder: Path, root: Path) -> None:
    while folder != root:
        files.remove_empty(folder)
        folder = folder.parent


def _remember(root: Path, tombstone: Mapping[str, Any]) -> None:
    known = tombstones(root)
    if tombstone["number"] not in {one["number"] for one in known}:
        _write(root, root / REMOVALS, [*known, tombstone])


def _write(root: Path, path: Path, content: Any) -> None:
    """Write JSON in place of a file: all of it or nothing."""
    part = root / STAGING / f"{uuid.uuid4().hex}{PART}"
    files.write(part, json.dumps(content, indent=1).encode() + b"\n")
    files.sync(part)
    files.replace(part, path)
