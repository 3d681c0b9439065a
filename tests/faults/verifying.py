"""A comparison of all bytes that is killed before each of its operations, and resumed."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

from neurodata.store import integrity, open_store
from neurodata.store.scrub import STATE
from tests.faults import children
from tests.faults.disk import Disk
from tests.faults.scenes import publish
from tests.invariants import assert_store_ok


def resumed(folder: Path, recordings: int) -> dict[str, Any]:
    """Kill at every operation until it is done undisturbed; count what was compared twice."""
    root = folder / "store"
    for number in range(recordings):
        publish(root, number, f"r{number}")
    number, most_repeated, missed, left = 0, 0, 0, 0
    while True:
        number += 1
        log = folder / f"compared{number}"
        killed = children.done(partial(_verify, root, log, number)) == -signal.SIGKILL
        if killed:
            assert children.done(partial(_verify, root, log, 0)) == 0
        compared = log.read_text().split()
        most_repeated = max(most_repeated, len(compared) - len(set(compared)))
        missed += recordings - len(set(compared))
        left += (root / STATE).exists()
        if not killed:
            assert_store_ok(root)
            return {
                "points": number - 1, "most_repeated": most_repeated, "missed": missed,
                "left": left,
            }  # fmt: skip


def _verify(root: Path, log: Path, number: int) -> None:
    """Compare all, and list each version as it is begun; die before an operation."""
    real = integrity.verify

    def listed(folder: Path, *more: Any) -> Any:
        with log.open("a") as stream:
            stream.write(f"{folder.parent.name}\n")
        return real(folder, *more)

    integrity.verify = listed
    try:
        with Disk(root, number, "kill" if number else "none"):
            found = open_store(root).verify(resume=True)
    finally:
        integrity.verify = real
    assert all(problem.level == "note" for problem in found)
    assert os.path.lexists(log)
