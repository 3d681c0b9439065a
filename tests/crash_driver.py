"""A process that ingests once, to be warm, and forks children that ingest, some of them killed.

Run as ``python -m tests.crash_driver FOLDER KILLS``; prints one JSON line per child. A child
counts its operations on the store (files opened for writing, folders made, renames, removals,
fsync, changes of time, catalogue rows) and is killed with SIGKILL right before the n-th.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import dask

from neurodata.ingestion import Result, ingest
from neurodata.store import catalog, open_store
from tests.faults.children import begin as child
from tests.faults.children import ended
from tests.invariants import assert_store_ok

SAMPLE = "mri_anatomical"
EVENTS = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.utime", "os.link")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Counter:
    """Counts operations below a folder, lists them, and kills the process before number n."""

    def __init__(self, root: Path, kill_at: int) -> None:
        self.root, self.kill_at = str(root), kill_at
        self.seen: list[str] = []
        sys.addaudithook(self.hear)
        self.watch(os, "fsync")
        self.watch(catalog, "put")

    def watch(self, module: Any, name: str) -> None:
        real = getattr(module, name)

        def counted(*arguments: Any) -> Any:
            self.step(name)
            result = real(*arguments)
            if name == "put":
                self.step("after put")
            return result

        setattr(module, name, counted)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITING):
            return
        if event in EVENTS or event == "open":
            path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else ""
            if path.startswith(self.root):
                self.step(f"{event} {path.removeprefix(self.root)}")

    def step(self, what: str) -> None:
        self.seen.append(what)
        if len(self.seen) == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def run(root: Path, kill_at: int, log: Path | None = None) -> int:
    """Ingest the sample in a child that dies before its n-th operation on the store."""

    def work() -> None:
        counter = Counter(root, kill_at)
        assert ingest(SAMPLE, store=root).ok
        if log:
            log.write_text("\n".join(counter.seen))

    return ended(child(work))


def look(root: Path) -> None:
    """What a reader sees right after the kill, before anyone tidies up."""
    store = open_store(root)
    assert [p for p in store.verify() if p.level == "error"] == []
    ids = store.ids()
    assert ids in ([], [f"{SAMPLE}/anatomical"])
    for name in ids:
        assert store[name]["anat/image"].values.any()


def mend(root: Path) -> None:
    """The next ingest finishes, and nothing of the dead one is left."""
    result: Result = ingest(SAMPLE, store=root)
    assert result.ok
    assert len(result.entries) == 1
    assert_store_ok(root)
    assert len(open_store(root).versions(f"{SAMPLE}/anatomical")) == 1


def kills(folder: Path, count: int) -> None:
    """Kill at ``count`` points spread over all operations of one ingest; check after each."""
    log = folder / "operations"
    assert run(folder / "whole", 0, log) == 0
    steps = log.read_text().splitlines()
    first = next(i for i, step in enumerate(steps) if ".staging/" in step and ".lock" not in step)
    last = len(steps) - 1 - steps[::-1].index("after put")
    points = sorted({first + round(i * (last - first) / (count - 1)) for i in range(count)})
    points.insert(-1, steps.index("put"))  # after the rename, before the catalogue knows
    for at in points:
        root = folder / f"store{at}"
        status = run(root, at + 1)
        seen, mended = ended(child(partial(look, root))), ended(child(partial(mend, root)))
        found = {"at": at, "step": steps[at], "killed": status == -signal.SIGKILL}
        print(json.dumps({**found, "look": seen, "mend": mended}), flush=True)
        shutil.rmtree(root)


def together(folder: Path, sources: list[str], name: str) -> None:
    """Ingest in as many processes at once as there are sources, into one store."""
    root = folder / name
    open_store(root, create=True)
    pids = [child(partial(_ingest, s, root)) for s in sources]
    statuses = [ended(pid) for pid in pids]
    mended = ended(child(lambda: assert_store_ok(root)))
    print(json.dumps({"name": name, "statuses": statuses, "mend": mended}), flush=True)


def _ingest(source: str, root: Path) -> None:
    assert ingest(source, store=root).ok


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    dask.config.set(scheduler="synchronous")  # threads would not survive a fork
    assert ingest(SAMPLE, store=folder / "warm").ok
    kills(folder, count)
    together(folder, [SAMPLE] * 4, "same")
    together(folder, [SAMPLE, "nuclei", "fmri_small", "mushroom_body"], "different")


if __name__ == "__main__":
    main()
