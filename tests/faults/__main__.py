"""The long versions of the fault tests, as commands that print one JSON line per finding.

``python -m tests.faults operations [--scene NAME] [--fault FAULT]``: every n-th operation.
``python -m tests.faults kills --count 1000``: kills at random times and operations.
``python -m tests.faults resume --count 10``: an ingest that is killed at some points and resumed.
``python -m tests.faults writers --rounds 50``: eight writers at once.
``python -m tests.faults rows --writers 8 --count 100``: each fills one store with so many.
``python -m tests.faults verify --count 20``: a comparison of all bytes, killed and resumed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import dask

from tests.faults import kills, operations, verifying, writers
from tests.faults.disk import Fault
from tests.faults.scenes import SCENES, Trial

FAULTS: list[Fault] = ["EIO", "dead", "ENOSPC", "kill"]


def say(**found: Any) -> None:
    """Print a finding."""
    print(json.dumps(found, ensure_ascii=False), flush=True)


def all_operations(arguments: argparse.Namespace, folder: Path) -> bool:
    """Go through scenes and faults."""
    for name in arguments.scene or SCENES:
        faults: list[Fault] = arguments.fault or FAULTS
        for fault in faults:
            started = time.monotonic()
            trial = Trial(name, folder / f"{name} {fault}")
            if fault == "kill":
                found: Any = operations.kills(trial)
            else:
                found = operations.failures(trial, fault)
            seconds = round(time.monotonic() - started, 1)
            say(scene=name, fault=fault, operations=found, seconds=seconds)
    return True


def main() -> int:
    """Run a command."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("command", choices=["operations", *LONG])
    parser.add_argument("--scene", action="append", choices=sorted(SCENES))
    parser.add_argument("--fault", action="append", choices=FAULTS)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    dask.config.set(scheduler="synchronous")  # threads would not survive a fork
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="neurodata-faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.command == "operations":
        return 0 if all_operations(arguments, folder) else 1
    found, wrong = LONG[arguments.command](folder, arguments)
    say(**found)
    return 1 if any(wrong) else 0


Found = dict[str, Any]


def _kills(folder: Path, given: argparse.Namespace) -> tuple[Found, list[Any]]:
    found = kills.random_kills(folder, given.count, given.seed)
    return found, [found[key] for key in ("failed", "partial", "unmended")]


def _resume(folder: Path, given: argparse.Namespace) -> tuple[Found, list[Any]]:
    found = kills.resumed(folder, given.count)
    return found, [not found["same_manifests"], found["most_repeated"] > 1]


def _writers(folder: Path, given: argparse.Namespace) -> tuple[Found, list[Any]]:
    found = writers.rounds(folder, given.writers, given.rounds)
    return found, [found["wrong"]]


def _rows(folder: Path, given: argparse.Namespace) -> tuple[Found, list[Any]]:
    found = writers.rows(folder, given.writers, given.count)
    return found, [found[key] for key in ("failed", "wrong", "lost_rows")]


def _verify(folder: Path, given: argparse.Namespace) -> tuple[Found, list[Any]]:
    found = verifying.resumed(folder, given.count)
    return found, [found["most_repeated"] > 1, found["missed"], found["left"]]


LONG = {
    "kills": _kills, "resume": _resume, "writers": _writers, "rows": _rows, "verify": _verify,
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
