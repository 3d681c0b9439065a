"""Pipes, devices, links and folders in the place of the store's own files: nothing waits on them.

The calls are made in a process with limits: what waits on a pipe waits for ever, and a device
may have no end.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from neurodata.doctor.contents import contents
from neurodata.errors import NotFoundError, StoreError
from neurodata.store import open_store
from neurodata.store.commit import STAGING
from neurodata.store.manifest import NAME
from neurodata.store.removal import REMOVALS, tidy
from tests.faults.scenes import publish
from tests.invariants import assert_store_ok

LIMIT_S = 60
SCRIPT = """
import json, resource, sys
from pathlib import Path
from neurodata.doctor.contents import contents
from neurodata.errors import NeurodataError
from neurodata.store import open_store
from tests.faults.scenes import publish
resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
VERBS = {
    "sweep": lambda root: open_store(root).sweep(),
    "verify": lambda root: [problem.found for problem in open_store(root).verify()],
    "doctor": lambda root: [p.where for check in contents(root, True) for p in check.problems],
    "forget": lambda root: open_store(root).forget("synthetic"),
    "publish": lambda root: publish(root, 1),
}
for root in map(Path, sys.argv[1:]):
    found = {}
    for name, verb in VERBS.items():
        try:
            found[name] = verb(root)
        except NeurodataError as error:
            found[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(found))
"""


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    """One that gives zeros without end."""
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))


def bound(path: Path) -> None:
    """A socket; its path may be longer than the system lets one be bound to."""
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def link(path: Path) -> None:
    path.symlink_to("/dev/zero")


KINDS: dict[str, Callable[[Path], None]] = {
    "pipe": pipe, "device": device, "socket": bound, "link": link, "folder": Path.mkdir,
}  # fmt: skip


def store_with(root: Path, make: Callable[[Path], None]) -> list[Path]:
    """A store whose staging folder has a special file under every name that has a meaning."""
    publish(root, 0)
    staging = root / STAGING
    (staging / "dead").mkdir()
    (staging / "dead.lock").touch()
    names = ("a", "b.lock", "c.removal", "d.part", "e.zarr", f"dead/{NAME}")
    for name in names:
        make(staging / name)
    return [staging / name for name in names]


def without_manifest(root: Path, make: Callable[[Path], None]) -> list[Path]:
    """A store whose one version has a special file for its manifest, and one for its removals."""
    publish(root, 0)
    manifest = open_store(root).folder("synthetic/r1") / NAME
    manifest.unlink()
    made = [manifest, root / REMOVALS]
    for path in made:
        make(path)
    return made


@dataclass(frozen=True)
class Told:
    """A store, the special files in it, and what each verb gave."""

    root: Path
    made: list[Path]
    found: dict[str, Any]


CASES = [(store_with, kind) for kind in KINDS] + [
    (without_manifest, kind) for kind in ("pipe", "device", "socket")
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Told]:
    """What the verbs gave for every store with special files."""
    folder = tmp_path_factory.mktemp("special")
    stores = {}
    for prepare, kind in CASES:
        root = folder / f"{prepare.__name__} {kind}"
        with contextlib.suppress(PermissionError):  # not everybody may make devices
            stores[prepare.__name__, kind] = root, prepare(root, KINDS[kind])
    argv = [sys.executable, "-c", SCRIPT, *(str(root) for root, _ in stores.values())]
    home = Path(__file__).parents[2]
    done = subprocess.run(
        argv, cwd=home, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    found = map(json.loads, done.stdout.splitlines())
    return {case: Told(*stores[case], each) for case, each in zip(stores, found, strict=True)}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_waits_on_special_files_in_the_staging_folder(
    told: dict[tuple[str, str], Told], kind: str
) -> None:
    if (store_with.__name__, kind) not in told:
        pytest.skip("this process may not make devices")
    case = told[store_with.__name__, kind]
    assert case.found["sweep"] == 1, "the folder of the dead writer went"
    assert not (case.root / STAGING / "dead").exists()
    assert case.found["verify"] == []
    assert "no recording of that subject" in case.found["forget"]
    assert case.found["publish"] is None
    left = {str(path) for path in case.made if os.path.lexists(path)}
    assert left
    assert left <= set(case.found["doctor"])
    tidy(case.root)
    assert_store_ok(case.root)


@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_nothing_waits_on_a_special_file_in_the_place_of_a_manifest_or_list(
    told: dict[tuple[str, str], Told], kind: str
) -> None:
    if (without_manifest.__name__, kind) not in told:
        pytest.skip("this process may not make devices")
    case = told[without_manifest.__name__, kind]
    assert case.found["verify"][0] == "no manifest"
    assert {str(path) for path in case.made} <= set(case.found["doctor"])
    with pytest.raises(NotFoundError, match="no version"):
        open_store(case.root).manifest(f"synthetic/r1@{case.made[0].parent.name}")


def test_a_damaged_removal_is_told_with_its_place(tmp_path: Path) -> None:
    root = tmp_path / "store"
    publish(root, 0)
    journal = root / STAGING / "0123.removal"
    journal.write_text("{")
    with pytest.raises(StoreError, match="no readable removal") as caught:
        open_store(root).sweep()
    assert caught.value.where == str(journal)
    assert journal.exists()
    assert [p.where for check in contents(root) for p in check.problems] == [str(journal)]
    journal.unlink()
    assert_store_ok(root)
