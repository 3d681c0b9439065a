"""Every operation on the store fails once, or is the last of its process; nothing partial is seen.

The kills are in a process of their own that forks (`python -m tests.faults operations`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from neurodata.store.commit import STAGING
from tests.faults.disk import Disk, Fault
from tests.faults.operations import failures
from tests.faults.scenes import Trial

ROOT = Path(__file__).parents[2]
LEAST = {"publish": 60, "ingest": 80, "alias": 40, "sweep": 5, "rebuild": 10}


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("name", ["publish", "ingest"])
def test_a_failure_of_any_operation_leaves_the_store_as_it_was(
    name: str, fault: Fault, tmp_path: Path
) -> None:
    counted = failures(Trial(name, tmp_path), fault)
    assert counted >= (LEAST[name] if fault != "ENOSPC" else LEAST[name] // 3)


@pytest.mark.parametrize("name", ["sweep", "rebuild"])
def test_a_failure_of_any_operation_of_the_housekeeping_leaves_the_store_as_it_was(
    name: str, tmp_path: Path
) -> None:
    assert failures(Trial(name, tmp_path), "EIO") >= LEAST[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["publish", "ingest"])
def test_a_kill_before_any_operation_leaves_the_store_as_it_was(name: str, tmp_path: Path) -> None:
    found = driven(tmp_path, "operations", "--scene", name, "--fault", "kill")
    assert [line["scene"] for line in found] == [name]
    operations = found[0]["operations"]
    assert len(operations) >= LEAST[name]
    kinds = {operation.split()[0] for operation in operations}
    assert kinds >= {"open", "write", "mkdir", "fsync", "rename", "utime", "unlink"}
    after = operations[next(i for i, o in enumerate(operations) if o.startswith("rename")) :]
    assert "sqlite commit" in after


def driven(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """Run ``python -m tests.faults`` and return its lines."""
    argv = [sys.executable, "-m", "tests.faults", *arguments, "--folder", str(folder / "driven")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_no_file_of_the_store_is_written_but_by_counted_operations(tmp_path: Path) -> None:
    """Against what the interpreter itself says of all files that are opened to be written."""
    script = (
        "import sys, os, pathlib\n"
        "from tests.faults.disk import WRITING, Disk\n"
        "from tests.faults.scenes import ingest_traces\n"
        "root = pathlib.Path(sys.argv[1]) / 'store'\n"
        "beside = []\n"
        "def hear(event, arguments):\n"
        "    if event == 'open' and arguments[1] is not None and arguments[2] & WRITING:\n"
        "        if str(arguments[0]).startswith(str(root)): beside.append(arguments)\n"
        "sys.addaudithook(hear)\n"
        "with Disk(root) as disk: ingest_traces(root)\n"
        "assert len(disk.seen) > 50\n"
        "open(root / 'probe', 'w')\n"
        "print(len(beside), beside[0][0] if beside else '')\n"
    )
    argv = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["1", str(tmp_path / "store" / "probe")], done.stderr


def test_the_operations_of_a_publish_are_all_counted(tmp_path: Path) -> None:
    """What the counter lists, and no more, against the files that are there afterwards."""
    trial = Trial("first publish", tmp_path)
    root = trial.store()
    with Disk(root) as disk:
        trial.scene.act(root)
    (folder,) = (path for path in root.glob("synthetic/r1/*"))
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert sorted(staged("open", disk.seen)) == names
    assert staged("fsync", disk.seen) >= set(names), "every file is on the disk before"
    rename = next(n for n, o in enumerate(disk.seen) if o.startswith("rename"))
    later = disk.seen[rename:]
    assert not any(operation.startswith("write") for operation in later)
    synced = [operation for operation in later if operation.startswith("fsync")]
    assert synced == ["fsync synthetic/r1", "fsync synthetic/r1", "fsync synthetic", "fsync"]


def staged(name: str, operations: list[str]) -> set[str]:
    """The paths below a staging folder that an operation was done to."""
    start = f"{name} {STAGING}/"
    return {o.split("/", 2)[2] for o in operations if o.startswith(start) and o.count("/") > 1}
