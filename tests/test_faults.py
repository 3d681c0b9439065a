"""The scoreboard of faults: a part of what `python -m benchmarks.faults` does, and its judge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.faults import rot
from benchmarks.faults.answers import marked
from benchmarks.faults.case import DEFECTS, FAULTS, Case, differences, judge
from benchmarks.faults.files import Edf, Nifti, oblique, phantom
from benchmarks.faults.volumes import TURNS, turned
from neurodata import open_store

ROOT = Path(__file__).parents[1]
FLIPS = 300


def run(*arguments: str) -> list[dict[str, Any]]:
    """Run the scoreboard in a process of its own and return what it printed."""
    argv = [sys.executable, "-m", "benchmarks.faults", "--json", *arguments]
    env = {key: value for key, value in os.environ.items() if key != "NEURODATA_REALDATA"}
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, env=env, check=False)
    assert done.stdout, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_nothing_is_silent_and_every_valid_file_is_read() -> None:
    rows = run("--quick")
    assert {row["fault"] for row in rows} == set(FAULTS)
    assert [text for row in rows for text in row["defects"]] == []
    assert [text for row in rows for text in row["unread"]] == []
    assert sum(row[kind] for row in rows for kind in DEFECTS) == 0
    assert sum(row["cases"] for row in rows) > 500


@pytest.mark.slow
def test_every_flip_in_a_store_is_found(tmp_path: Path) -> None:
    root = rot.make(tmp_path / "store").path
    places = [*rot.drawn(root, FLIPS, 1), *rot.metadata_bits(root, 1, FLIPS // 3)]
    found = rot.flips(root, places)
    assert found.missed == []
    assert found.verified == {"refused": FLIPS + FLIPS // 3}
    assert found.read["refused"] + found.read["right"] == found.read.total() > 5
    removed = rot.removals(root)
    assert removed.verified.keys() == {"refused"}
    assert open_store(root).verify() == []


# the judge


def outcome(**facts: Any) -> dict[str, Any]:
    return {"class": "accepted", "differs": [], "content": "", "words": [], "error": "", **facts}


WARNED = "warning: a.edf: found a rate of 0.1 Hz; expected 20 to 1e+05 Hz"


@pytest.mark.parametrize(
    ("case", "found", "kind"),
    [
        ({"truth": {"a": 1}}, {}, "right"),
        ({"truth": {"a": 1}}, {"differs": ["a: 2, not 1"]}, "silent"),
        ({"truth": {"a": 1}}, {"differs": ["a: 2"], "words": [WARNED]}, "flagged"),
        ({"truth": {"a": 1}, "named": "rate"}, {"differs": ["a: 2"], "words": [WARNED]}, "flagged"),
        ({"truth": {"a": 1}, "named": "gap"}, {"differs": ["a: 2"], "words": [WARNED]}, "silent"),
        ({"truth": {"a": 1}, "told": True}, {}, "silent"),
        ({"truth": {"a": 1}, "told": True}, {"words": [WARNED]}, "flagged"),
        ({}, {}, "silent"),
        ({}, {"words": ["note: a.edf: found fields, removed"]}, "silent"),
        ({"limit": "no checksum"}, {}, "unknowable"),
        ({}, {"class": "refused"}, "refused"),
        ({}, {"class": "timeout"}, "hang"),
    ],
)
def test_verdicts(case: dict[str, Any], found: dict[str, Any], kind: str) -> None:
    assert judge(Case("synthetic", 15, "", **case), outcome(**found), None)[0] == kind


def test_what_the_undamaged_file_says_too_names_nothing() -> None:
    whole = outcome(content="1", words=[WARNED])
    case = Case("synthetic", 10, "", twin="whole")
    assert judge(case, outcome(content="1", words=[WARNED]), whole)[0] == "right"
    assert judge(case, outcome(content="2", words=[WARNED]), whole)[0] == "silent"
    assert judge(case, outcome(content="2", words=[WARNED, "warning: cut"]), whole)[0] == "flagged"


def test_differences_are_of_values_shapes_and_names() -> None:
    truth = {"signal": np.array([[1e-5, np.nan]]), "channels": ["a", "b"], "rate_hz": 250.0}
    same = {"signal": np.array([[1e-5, np.nan]], "f4"), "channels": ["a", "b"], "rate_hz": 250.0001}
    assert differences(truth, same) == []
    assert differences(truth, {**same, "rate_hz": 250.01})[0].startswith("rate_hz: 250.01")
    assert differences(truth, {**same, "signal": np.array([[1e-2, np.nan]], "f4")}) != []
    assert differences(truth, {**same, "signal": np.array([[1e-5, 0]], "f4")}) != []
    assert differences(truth, {**same, "channels": ["b", "a"]}) != []
    assert differences(truth, {"rate_hz": 250.0}) == ["signal: absent", "channels: absent"]
    assert differences(truth, {"rate_hz": 250.0}, lenient=True) == []


# the files that the cases are made of, against other readers


def test_edf_means_what_mne_reads(tmp_path: Path) -> None:
    mne = pytest.importorskip("mne")
    file = Edf()
    path = file.build(tmp_path) / "synthetic.edf"
    raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
    np.testing.assert_allclose(raw.get_data().T, file.truth()["signal"], atol=1e-12)
    assert raw.info["sfreq"] == file.truth()["rate_hz"]


def test_turned_phantoms_are_one_for_nibabel(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    image, affine = phantom(), oblique()
    right = dict(marked(image, affine))["world_mm"]
    assert len(TURNS) == 48
    seen = set()
    for number, (order, signs) in enumerate(TURNS):
        stored, matrix = turned(image, affine, order, signs)
        path = Nifti(stored, matrix).build(tmp_path / str(number)) / "synthetic.nii"
        loaded = nibabel.load(path)
        seen.add(nibabel.aff2axcodes(loaded.affine))
        found = dict(marked(np.asarray(loaded.dataobj), loaded.affine))["world_mm"]
        np.testing.assert_allclose(found, right, atol=1e-4)
    assert len(seen) == 48
