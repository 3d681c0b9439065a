"""A process that forks children that forget a synthetic person, and are killed on the way.

Run as ``python -m tests.forget_driver FOLDER KILLS``; prints one JSON line per kill. A child counts
its operations (renames, removals, fsync, files opened for writing, statements of SQL) and is
killed with SIGKILL right before the n-th. ``KILLS`` of 0 stands for every operation.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from neurodata.errors import NotFoundError
from neurodata.store import open_store
from neurodata.store.removal import begun, tombstones
from tests.crash_driver import Counter, child, ended
from tests.invariants import assert_store_ok
from tests.synthetic_people import (
    OTHERS,
    RECORDING,
    SUBJECT,
    leave_behind,
    marks,
    people,
    seen,
    signal_of,
)


class Watch(Counter):
    """Counts removals by names relative to a folder too, and statements of SQL."""

    def __init__(self, root: Path, kill_at: int) -> None:
        super().__init__(root, kill_at)
        real, watch = sqlite3.connect, self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *arguments: Any) -> Any:
                watch.step(f"SQL {sql[:30]}")
                return super().execute(sql, *arguments)

        sqlite3.connect = partial(real, factory=Connection)  # type: ignore[assignment]

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("os.remove", "os.rmdir"):
            self.step(f"{event} {arguments[0]!r}")
        else:
            super().hear(event, arguments)


def run(root: Path, kill_at: int, log: Path | None = None) -> int:
    def work() -> None:
        watch = Watch(root, kill_at)
        assert open_store(root).forget(SUBJECT, yes=True).tombstone
        if log:
            log.write_text("\n".join(watch.seen))

    return ended(child(work))


def look(root: Path) -> None:
    """What a reader sees right after the kill: whole recordings, all that are listed."""
    store = open_store(root)
    assert [p for p in store.verify() if p.level == "error"] == []
    ids = store.ids()
    assert set(ids) >= {f"lab/sub-{other}_eeg" for other in OTHERS}
    for name in ids:
        assert np.any(signal_of(store[name]))


def mend(root: Path, words: set[bytes], by_ingest: bool) -> None:
    """The next removal, or for one that was written down the sweep of an ingest, finishes it."""
    store = open_store(root)
    if by_ingest and begun(root):
        store.sweep()
    else:
        try:
            store.forget(SUBJECT, yes=True)
        except NotFoundError:
            assert len(tombstones(root)) == 1
    assert seen(root, words) == {}
    assert [one["number"] for one in tombstones(root)] == [1]
    assert tombstones(root)[0]["versions"] == 3
    assert_store_ok(root)


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    os.environ["NEURODATA_CACHE"] = str(folder / "cache")  # forgetting empties it
    store = people(folder / "store")
    words = marks(store)
    whole = folder / "whole"
    leave_behind(store.path, store.folder(f"lab/{RECORDING}"))
    shutil.copytree(store.path, whole)
    log = folder / "operations"
    assert run(whole, 0, log) == 0
    steps = log.read_text().splitlines()
    spread = np.linspace(0, len(steps) - 1, min(count or len(steps), len(steps)))
    for at in sorted({round(place) for place in spread}):
        root = folder / f"store{at}"
        shutil.copytree(store.path, root)
        status = run(root, at + 1)
        looked = ended(child(partial(look, root)))
        mended = ended(child(partial(mend, root, words, at % 2 == 0)))
        found = {"at": at, "step": steps[at], "killed": status == -signal.SIGKILL}
        print(json.dumps({**found, "look": looked, "mend": mended}), flush=True)
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
