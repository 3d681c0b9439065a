"""Killed writers and many at once: nothing partial is ever seen, and the next run heals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from neurodata.store import open_store

ROOT = Path(__file__).parents[1]
KILLS = 40


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """The folder and the findings of `crash_driver`."""
    folder = tmp_path_factory.mktemp("crash")
    argv = [sys.executable, "-m", "tests.crash_driver", str(folder), str(KILLS)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stderr)
    return folder, [json.loads(line) for line in done.stdout.splitlines()]


def test_kills_between_first_write_and_commit_leave_nothing_partial(
    driven: tuple[Path, list[dict[str, Any]]],
) -> None:
    found = [line for line in driven[1] if "at" in line]
    assert len(found) == KILLS + 1
    assert all(line["killed"] for line in found)
    assert [line for line in found if line["look"] or line["mend"]] == []
    steps = [line["step"] for line in found]
    assert any("data.zarr" in step for step in steps)
    assert "fsync" in steps
    assert steps[-2:] == ["put", "after put"]


def test_writers_of_one_recording_at_once_make_one_version(
    driven: tuple[Path, list[dict[str, Any]]],
) -> None:
    (found,) = [line for line in driven[1] if line.get("name") == "same"]
    assert (found["statuses"], found["mend"]) == ([0] * 4, 0)
    store = open_store(driven[0] / "same")
    assert len(store.versions("mri_anatomical/anatomical")) == 1
    assert len(store.catalog()) == 1


def test_writers_of_different_recordings_at_once_do_not_mind_each_other(
    driven: tuple[Path, list[dict[str, Any]]],
) -> None:
    (found,) = [line for line in driven[1] if line.get("name") == "different"]
    assert (found["statuses"], found["mend"]) == ([0] * 4, 0)
    assert len(open_store(driven[0] / "different").ids()) == 7
