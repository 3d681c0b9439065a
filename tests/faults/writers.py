"""Many writers at once, of the same and of different recordings."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from neurodata.store import catalog, open_store
from neurodata.store.commit import LOCK, STAGING
from tests.faults import children
from tests.faults.scenes import ingested, synthetic_traces
from tests.invariants import assert_store_ok


def rounds(folder: Path, writers: int, count: int) -> dict[str, Any]:
    """Let writers ingest at the same moment, round after round, each into a new store."""
    same = synthetic_traces(folder / "same")
    different = [synthetic_traces(folder / f"raw{n}", n, f"cells{n}") for n in range(writers)]
    ingested(same, folder / "warm")
    wrong = 0
    for number in range(count):
        wrong += _round(folder / f"same{number}", [same] * writers, 1)
        wrong += _round(folder / f"different{number}", different, writers)
    return {"writers": writers, "rounds": count, "wrong": wrong}


def _round(root: Path, sources: list[Path], versions: int) -> int:
    """Return 0 if every writer ended well and the store is as it should be."""
    statuses = children.together([partial(_ingest, raw, root) for raw in sources])
    checked = children.done(partial(_check, root, versions))
    shutil.rmtree(root)
    return int(any(statuses) or bool(checked))


def rows(folder: Path, writers: int, recordings: int) -> dict[str, Any]:
    """Let writers fill one store at the same time, each with many recordings of its own."""
    raw = [folder / f"raw{number}" for number in range(writers)]
    for number, own in enumerate(raw):
        for count in range(recordings):
            synthetic_traces(own, recordings * number + count, f"cells{number}-{count}")
    root = folder / "store"
    statuses = children.together([partial(_ingest, own, root) for own in raw])
    checked = children.done(partial(_check, root, writers * recordings))
    with closing(sqlite3.connect(root / catalog.FILE)) as connection:
        (count,) = connection.execute("SELECT COUNT(*) FROM versions").fetchone()
    return {
        "writers": writers, "failed": sum(map(bool, statuses)), "wrong": int(bool(checked)),
        "lost_rows": writers * recordings - count,
    }  # fmt: skip


def _ingest(raw: Path, root: Path) -> None:
    result = ingested(raw, root)
    assert result.ok, result.findings()


def _check(root: Path, versions: int) -> None:
    assert [path.name for path in (root / STAGING).iterdir() if path.name != LOCK] == []
    assert_store_ok(root)
    store = open_store(root)
    assert len(store.ids()) == versions
    assert [len(store.versions(name)) for name in store.ids()] == [1] * versions
