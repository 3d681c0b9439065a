"""Neither clock nor time zone, locale or hash seed is part of a version."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, sys, time
from pathlib import Path
moved_s = float(sys.argv[2])
now, now_ns = time.time, time.time_ns
time.time = lambda: now() + moved_s
time.time_ns = lambda: now_ns() + int(moved_s * 1e9)
from neurodata.ingestion import ingest
from neurodata.store import open_store
from tests.faults.scenes import ingested, synthetic_traces
root = Path(sys.argv[1]) / "store"
assert ingest("eeg_fp1", store=root).ok
raw = synthetic_traces(Path(sys.argv[1]) / "raw", 0, "cells")
assert ingested(raw, root).ok
store = open_store(root)
found = {f"{one}@{store.version(one)}": store.manifest(one)["content"] for one in store.ids()}
print(json.dumps(found, sort_keys=True))
"""
YEAR_S = 365 * 86400.0
SURROUNDINGS = [
    {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "moved": "0"},
    {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "1", "moved": str(-20 * YEAR_S),
     "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "2",
     "moved": str(20 * YEAR_S)},
    {"TZ": "Australia/Lord_Howe", "LC_ALL": "de_DE.ISO-8859-1", "PYTHONHASHSEED": "3",
     "moved": str(0.5 * YEAR_S)},
    {"TZ": "Pacific/Apia", "LC_ALL": "ja_JP.eucJP", "PYTHONHASHSEED": "4", "moved": "86400"},
]  # fmt: skip


def versions(folder: Path, surroundings: dict[str, str]) -> dict[str, str]:
    """Ingest in a process of its own and return the content of every version by id."""
    folder.mkdir()
    more = {key: value for key, value in surroundings.items() if key != "moved"}
    argv = [sys.executable, "-c", SCRIPT, str(folder), surroundings["moved"]]
    done = subprocess.run(
        argv, cwd=ROOT, env={**os.environ, **more}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_versions_and_contents_are_the_same_wherever_and_whenever(tmp_path: Path) -> None:
    first, *others = (
        versions(tmp_path / str(number), surroundings)
        for number, surroundings in enumerate(SURROUNDINGS)
    )
    assert {name.partition("/")[0] for name in first} == {"eeg_fp1", "synthetic"}
    assert len(first) == 3
    for other in others:
        assert other == first
