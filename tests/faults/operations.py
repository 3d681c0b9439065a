"""Let every n-th operation on the store fail, or be the last, for all n."""

from __future__ import annotations

import json
import signal
from functools import partial
from pathlib import Path

from neurodata.errors import StoreError
from tests.faults import children
from tests.faults.disk import Disk, Fault
from tests.faults.scenes import Trial, staged, state


def failures(trial: Trial, fault: Fault) -> int:
    """Let each operation of a scene fail, one run each, and return how many there are."""
    number = 0
    while True:
        number += 1
        root = trial.store()
        disk = Disk(root, number, fault)
        try:
            refused = _refused(trial, root, disk)
            if not refused:
                assert state(root) == trial.after, "it said that it was done"
            if not disk.happened:
                trial.leave(root)
                return number - 1
            if fault == "ENOSPC":
                assert staged(root) <= trial.staged
            trial.look(root)
            trial.mend(root)
        except Exception as error:
            operation = disk.seen[number - 1 : number]
            error.add_note(f"{trial.name}: {fault} at operation {number}: {operation}")
            raise
        trial.leave(root)


def _refused(trial: Trial, root: Path, disk: Disk) -> bool:
    """Do what a scene does on a failing disk; say whether it was refused as it should be."""
    refusal = None
    try:
        with disk:
            trial.scene.act(root)
    except StoreError as error:
        refusal = error
    if refusal is None:
        return False
    assert type(refusal) is StoreError
    assert "bytes free" in refusal.found
    assert refusal.expected
    assert refusal.hint
    return True


def kills(trial: Trial) -> list[str]:
    """Kill a process before each operation of a scene; return the operations.

    What a reader sees and what is done afterwards is checked in processes of their own, so that
    this one stays as it is.
    """
    log = trial.store().parent / "operations"

    def count() -> None:
        with Disk(log.parent / "store") as disk:
            trial.scene.act(log.parent / "store")
        log.write_text(json.dumps(disk.seen))

    assert children.done(count) == 0
    operations: list[str] = json.loads(log.read_text())
    trial.leave(log.parent / "store")
    for number in range(1, len(operations) + 2):
        where = f"{trial.name}: killed at operation {number}: {operations[number - 1 : number]}"
        root = trial.store()
        status = children.done(partial(_act, trial, root, number))
        alive = number > len(operations)
        assert status == (0 if alive else -signal.SIGKILL), f"{where}: it ended with {status}"
        assert children.done(partial(_check, trial, root)) == 0, where
        trial.leave(root)
    return operations


def _act(trial: Trial, root: Path, number: int) -> None:
    with Disk(root, number, "kill"):
        trial.scene.act(root)


def _check(trial: Trial, root: Path) -> None:
    trial.look(root)
    trial.mend(root)
