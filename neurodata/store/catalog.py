"""The catalogue: an SQLite index that can always be made again from the manifests."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurodata.errors import IntegrityError, StoreError
from neurodata.store import files
from neurodata.store.manifest import NAME, recipe

if TYPE_CHECKING:
    import pandas as pd

FILE = "catalog.sqlite"
BUSY_S = 60.0
NEW_BYTES = 2**15
DISK = (
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY,
)  # fmt: skip
SCHEMA = """
CREATE TABLE IF NOT EXISTS versions (
  dataset TEXT NOT NULL, recording TEXT NOT NULL, version TEXT NOT NULL, content TEXT NOT NULL,
  recipe TEXT NOT NULL, committed_ns INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
  attrs TEXT NOT NULL, summary TEXT NOT NULL, PRIMARY KEY (dataset, recording, version));
CREATE TABLE IF NOT EXISTS aliases (
  dataset TEXT NOT NULL, recording TEXT NOT NULL, recipe TEXT NOT NULL,
  target TEXT NOT NULL, version TEXT NOT NULL, PRIMARY KEY (dataset, recording, recipe));
CREATE INDEX IF NOT EXISTS by_content ON versions (dataset, content);
"""
NEWEST = """
SELECT v.* FROM versions v WHERE NOT EXISTS (SELECT 1 FROM versions w WHERE w.dataset = v.dataset
  AND w.recording = v.recording
  AND (w.committed_ns > v.committed_ns
       OR (w.committed_ns = v.committed_ns AND w.version > v.version)))
ORDER BY v.dataset, v.recording
"""


@contextlib.contextmanager
def connect(root: Path) -> Iterator[sqlite3.Connection]:
    """Open the catalogue for one transaction.

    Raises
    ------
    StoreError
        When the file is no catalogue; `neurodata rebuild` makes it again. When the disk is full
        or fails, or another process holds the catalogue for too long.
    """
    try:
        with contextlib.closing(sqlite3.connect(root / FILE, timeout=BUSY_S)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(SCHEMA)
            with connection:
                yield connection
    except sqlite3.DatabaseError as error:
        raise _refusal(root, error) from error


def _refusal(root: Path, error: sqlite3.DatabaseError) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says more of the same
    if code in DISK:
        return _no_disk(root / FILE, error, full=code == sqlite3.SQLITE_FULL)
    if code == sqlite3.SQLITE_BUSY:
        found, hint = f"a catalogue that others hold ({error})", "run it again when they are done"
        return StoreError(str(root / FILE), found, "a free one", hint)
    found, hint = f"no readable catalogue ({error})", "run: neurodata rebuild"
    return IntegrityError(str(root / FILE), found, "one", hint)


def _no_disk(path: Path, error: sqlite3.DatabaseError, *, full: bool) -> StoreError:
    """Return the refusal; a transaction's journal may take as much as the catalogue itself."""
    size = path.stat().st_size if path.is_file() else 0
    wanted = files.room_for(NEW_BYTES + size) if full else files.ANY_DISK
    return files.refusal(path, error, full=full, wanted=wanted)


def row(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the catalogue row of a version; everything in it comes from its folder."""
    path = folder / NAME
    return {
        "dataset": manifest["dataset"],
        "recording": manifest["recording"],
        "version": folder.name,
        "content": manifest["content"],
        "recipe": recipe(manifest),
        "committed_ns": path.stat().st_mtime_ns,
        "size_bytes": sum(entry["size"] for entry in manifest["files"]) + path.stat().st_size,
        "attrs": json.dumps(manifest["attrs"], sort_keys=True),
        "summary": json.dumps(manifest["summary"], sort_keys=True),
    }


def put(connection: sqlite3.Connection, table: str, values: Mapping[str, Any]) -> None:
    """Insert a row, or replace the one with the same key."""
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    connection.execute(
        f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})",  # noqa: S608
        tuple(values.values()),
    )


def newest(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Return the rows of the newest version of every recording."""
    return [dict(found) for found in connection.execute(NEWEST)]


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as a table with one column per fact, those of the longest node spread out."""
    import pandas as pd

    found = pd.DataFrame([_spread(row) for row in rows], columns=_columns(rows))
    return found.astype(dict.fromkeys(NUMBERS, "float64"))


COLUMNS = ("id", "dataset", "recording", "version", "modality", "subject", "session", "task")
NUMBERS = ("rate_hz", "length_s")
FACTS = ("nodes", "node", "units", "rate_hz", "length_s", "size_bytes", "content")


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    known = [*COLUMNS, *FACTS]
    more = {key for found in rows for key in json.loads(found["attrs"])}
    return known + sorted(more - set(known))


def _spread(found: Mapping[str, Any]) -> dict[str, Any]:
    attrs, nodes = json.loads(found["attrs"]), json.loads(found["summary"])
    main = max(nodes, key=lambda name: _items(nodes[name]), default=None)
    facts = nodes.get(main, {})
    length = facts["stop_s"] - facts["start_s"] if "stop_s" in facts else None
    keep = ("dataset", "recording", "version", "size_bytes", "content")
    return {
        **attrs,
        "id": f"{found['dataset']}/{found['recording']}",
        **{key: found[key] for key in keep},
        "nodes": " ".join(nodes),
        "node": main,
        "units": facts.get("units"),
        "rate_hz": facts.get("rate_hz"),
        "length_s": length,
    }


def _items(facts: Mapping[str, Any]) -> int:
    size = 1
    for count in facts["dims"].values():
        size *= max(1, count)
    return size
