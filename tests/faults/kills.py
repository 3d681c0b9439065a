"""Kill ingests at random times and before random operations; count what is partial afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from neurodata.store import open_store
from neurodata.store.commit import LOCK, STAGING
from tests.faults import children
from tests.faults.disk import Disk
from tests.faults.scenes import ingested, synthetic_traces
from tests.invariants import assert_store_ok

NAMES = ("first", "second", "third")
VARIANTS = 4
STORE_LIFE = 10  # kills, before a new store is begun
Contents = dict[str, str]


class Play:
    """Raw folders of some recordings, in a few variants, and what each gives undisturbed.

    Parameters
    ----------
    folder : Path
        Where all of it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.raw = [folder / f"raw{number}" for number in range(VARIANTS)]
        for number, raw in enumerate(self.raw):
            for place, name in enumerate(NAMES):
                synthetic_traces(raw, 10 * number + place, name)
        self.contents = [contents_of(folder / f"whole{n}", raw) for n, raw in enumerate(self.raw)]
        log = folder / "operations"
        started = time.monotonic()
        assert children.done(partial(_count, self.raw[0], folder / "counted", log)) == 0
        self.length_s = time.monotonic() - started
        self.operations = len(json.loads(log.read_text()))

    def kill(self, root: Path, raw: Path, random: Random) -> tuple[str, int]:
        """Ingest in a process that is killed; return how, and its exit status."""
        if random.random() < 0.5:
            number = random.randint(1, self.operations)
            return "operation", children.done(partial(_die, raw, root, number))
        pid = children.begin(partial(ingested, raw, root))
        time.sleep(random.random() * self.length_s)
        os.kill(pid, signal.SIGKILL)
        return "time", children.ended(pid)

    def look(self, root: Path) -> None:
        """Every visible recording is whole and one of those that were ingested."""
        if not (root / STAGING).is_dir():
            return
        store = open_store(root)
        assert [p for p in store.verify() if p.level == "error"] == []
        for name in store.ids():
            allowed = {contents[name] for contents in self.contents}
            for version in store.versions(name):
                assert store.manifest(f"{name}@{version}")["content"] in allowed
                for node in store.raw(f"{name}@{version}").subtree:
                    node.to_dataset().load()

    def mend(self, root: Path, variant: int, log: Path) -> None:
        """The next ingest sweeps, finishes, and leaves one row and no staging for each version."""
        started = time.monotonic()
        open_store(root, create=True).sweep()
        log.write_text(str(time.monotonic() - started))
        assert contents_of(root, self.raw[variant]) == self.contents[variant]
        assert [path.name for path in (root / STAGING).iterdir() if path.name != LOCK] == []
        assert_store_ok(root)


def contents_of(root: Path, raw: Path) -> Contents:
    """Ingest a raw folder and return the content of each recording."""
    result = ingested(raw, root)
    assert result.ok, result.findings()
    store = open_store(root)
    return {entry.id: store.manifest(entry.id)["content"] for entry in result}


def _count(raw: Path, root: Path, log: Path) -> None:
    with Disk(root) as disk:
        assert ingested(raw, root).ok
    log.write_text(json.dumps(disk.seen))


def _die(raw: Path, root: Path, number: int) -> None:
    with Disk(root, number, "kill"):
        ingested(raw, root)


def random_kills(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Kill processes until ``count`` of them died of it, and say what was found."""
    play, random = Play(folder), Random(seed)
    found: dict[str, Any] = dict.fromkeys(("operation", "time", "failed", "partial", "unmended"), 0)
    killed, log, slowest = 0, folder / "seconds", 0.0
    while killed < count:
        root = folder / f"store{killed // STORE_LIFE}"
        variant = random.randrange(VARIANTS)
        how, status = play.kill(root, play.raw[variant], random)
        if status == -signal.SIGKILL:
            killed += 1
            found[how] += 1
        found["failed"] += status not in (0, -signal.SIGKILL)
        found["partial"] += bool(children.done(partial(play.look, root)))
        if random.random() < 0.5 or killed % STORE_LIFE == 0:
            found["unmended"] += bool(children.done(partial(play.mend, root, variant, log)))
            slowest = max(slowest, float(log.read_text() if log.exists() else 0))
        if killed and killed % STORE_LIFE == 0 and status == -signal.SIGKILL:
            shutil.rmtree(root)
    return {
        "kills": killed, **found, "operations": play.operations,
        "slowest_sweep_s": round(slowest, 3),
    }  # fmt: skip


def resumed(folder: Path, points: int) -> dict[str, Any]:
    """Kill an ingest at points spread over all of its operations, and finish it each time.

    Returns how many recordings were made twice, and whether all manifests are those of an
    undisturbed ingest.
    """
    play = Play(folder)
    wanted = _versions(folder / "whole0")
    most, same = 0, True
    log = folder / "again"
    for number in range(points):
        root = folder / f"resumed{number}"
        at = 1 + round(number * (play.operations - 1) / max(1, points - 1))
        assert children.done(partial(_die, play.raw[0], root, at)) == -signal.SIGKILL
        whole = len(list(root.glob("synthetic/*/*")))
        assert children.done(partial(_finish, play.raw[0], root, log)) == 0
        most = max(most, int(log.read_text()) - (len(NAMES) - whole))
        same = same and _versions(root) == wanted
    return {"points": points, "same_manifests": same, "most_repeated": most}


def _finish(raw: Path, root: Path, log: Path) -> None:
    result = ingested(raw, root)
    assert result.ok
    log.write_text(str(result.tally("new")))
    assert_store_ok(root)


def _versions(root: Path) -> dict[str, bytes]:
    """Return the bytes of all manifests, by their place."""
    found = root.glob("*/*/*/manifest.json")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}
