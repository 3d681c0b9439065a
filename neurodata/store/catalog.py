"""The catalogue: an SQLite index that can always be made again from the manifests."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurodata.errors import StoreError
from neurodata.store.manifest import NAME, recipe

if TYPE_CHECKING:
    import pandas as pd

FILE = "catalog.sqlite"
BUSY_S = 60.0
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
        When the file is no catalogue; `neurodata rebuild` makes it again.
    """
    connection = sqlite3.connect(root / FILE, timeout=BUSY_S)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(SCHEMA)
        with connection:
            yield connection
    except sqlite3.DatabaseError as error:
        raise StoreError(
            str(root / FILE), f"no readable catalogue ({error})", "one", "run: neurodata rebuild"
        ) from error
    finally:
        connection.close()


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
