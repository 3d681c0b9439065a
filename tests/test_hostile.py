"""Hostile sources of every kind are refused, and nothing outside of them is opened or written."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodata.errors import NeurodataError, SplitError
from neurodata.ingestion import ingest
from neurodata.pipeline import ID
from neurodata.plan import plan
from neurodata.splits.split import Split
from neurodata.store import open_store
from neurodata.store.manifest import PART
from tests.hostile import CASES, VALID, twins
from tests.hostile.case import OUTSIDE, SECRET
from tests.hostile.judge import faults, run, watched
from tests.hostile.names import IDS
from tests.hostile.notation import NO_NUMBERS, TWO_MEANINGS
from tests.synthetic_trees import synthetic_connectome

ROOT = Path(__file__).parents[1]
FAULTS = sorted({case.fault for case in CASES})
LEAST = {13: 50, 20: 70, 21: 20, 22: 12, 23: 40, 24: 20, 25: 25, 26: 80, 27: 80, 28: 30, 29: 60}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_hostile_source_is_refused_and_nothing_outside_is_touched(
    fault: int, tmp_path: Path
) -> None:
    cases = [case for case in CASES if case.fault == fault]
    assert len(cases) >= LEAST[fault]
    verdicts = run(cases, tmp_path)
    assert [text for verdict in verdicts for text in faults(verdict, is_valid=False)] == []
    assert [v.case.name for v in verdicts if v.kind == "unbuilt"] == []


TWINS = {case.name for case in twins.VALID}


def test_honest_sources_are_accepted(tmp_path: Path) -> None:
    """Of recordings that the readers' own tests make, a part is enough here."""
    rest = [case for case in VALID if case.name in TWINS]
    verdicts = run([*rest[::4], *(case for case in VALID if case.name not in TWINS)], tmp_path)
    assert [text for verdict in verdicts for text in faults(verdict, is_valid=True)] == []


def test_every_case_has_a_name_and_a_story() -> None:
    names = [case.name for case in (*CASES, *VALID)]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]+", name)] == []
    assert [case.name for case in (*CASES, *VALID) if not case.story or "\n" in case.story] == []


def test_the_watch_sees_what_is_opened_and_made(tmp_path: Path) -> None:
    outside = tmp_path / OUTSIDE / "deep"
    outside.mkdir(parents=True)
    (outside / "secret.bin").write_bytes(SECRET)
    with watched(tmp_path / OUTSIDE) as seen:
        (outside / "secret.bin").stat()
    assert seen == []
    with watched(tmp_path / OUTSIDE) as seen:
        (outside / "secret.bin").read_bytes()
    assert any(text.startswith("secret.bin") for text in seen)
    with watched(tmp_path / OUTSIDE) as seen:
        (tmp_path / OUTSIDE / "marker").touch()
    assert any(text.startswith("marker") for text in seen)


SAMPLED = (
    "hdf5-external", "hdf5-raw", "hdf5-virtual-unlimited", "hdf5-plug-in", "nwb-nwb-raw",
    "brainvision-data-absolute", "eeglab-data-upwards", "wfdb-signal-absolute",
    "ome-companion-absolute", "link-zarr-chunk", "link-nifti-pair", "graphml-xml-external",
    "ome-xml-external-doctype", "npy-objects", "zip-through-link", "tar-hardlink",
    "facts-yaml-code-0",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_no_system_call_opens_what_lies_outside_or_the_network(tmp_path: Path) -> None:
    named = {case.name: case for case in CASES}
    jobs = []
    for name in SAMPLED:
        folder = tmp_path / name
        folder.mkdir()
        source = named[name].build(folder)
        jobs.append({"name": name, "source": str(source), "folder": str(folder)})
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    log = tmp_path / "calls.log"
    calls = "trace=open,openat,openat2,creat,connect,execve"
    command = ["strace", "-f", "-qq", "-e", calls, "-o", str(log), sys.executable, "-m",
               "tests.hostile", "--built", str(tmp_path)]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {item["name"]: item["class"] for item in found if item["class"] == "accepted"} == {}
    text = log.read_text(errors="replace")
    assert "/raw/" in text  # the log has what is opened within
    lines = [line for line in text.splitlines() if "execve" not in line]
    assert [line for line in lines if f"/{OUTSIDE}/" in line] == []
    assert [line for line in lines if "connect(" in line and "AF_INET" in line] == []


@pytest.mark.slow
def test_plug_ins_that_the_environment_names_stay_out(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "hdf5-plug-in")
    source = case.build(tmp_path)
    job = {"name": case.name, "source": str(source), "folder": str(tmp_path)}
    (tmp_path / "jobs.json").write_text(json.dumps([job]))
    environment = {**os.environ, "HDF5_PLUGIN_PATH": str(tmp_path / OUTSIDE)}
    command = [sys.executable, "-m", "tests.hostile", "--built", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment,
                          check=True)  # fmt: skip
    found = json.loads(done.stdout)
    assert (found["class"], found["opened"]) == ("refused", [])
    assert "filter number 305" in found["said"][0]


# ---- ids


def outside_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if "store" not in path.relative_to(folder).parts]


@pytest.mark.parametrize("name", [told for _, _, told in IDS if told])
def test_ids_that_are_paths_are_refused_everywhere(name: str, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store", create=True)
    source = ROOT / "samples" / "eeg_fp1"
    with pytest.raises(NeurodataError):
        ingest(source, store=store, dataset=name)
    with pytest.raises(NeurodataError):
        plan(source, dataset=name)
    for one in (f"{name}/a", f"a/{name}"):
        with pytest.raises(NeurodataError):
            store[one]
        with pytest.raises(NeurodataError):
            store.folder(one)
    assert outside_of(tmp_path) == []


@given(st.text(max_size=40))
def test_no_text_makes_an_id_of_two_parts(text: str) -> None:
    if re.fullmatch(ID, text):
        assert text not in (".", "..")
        assert not set(text) & set("/\\:\0 \n")


PARTS = st.sampled_from(
    ["..", ".", "/", "\\", "a", "con", "~", "@", "\0", "\u202e", "%2e", "C:", " "]
)
PATHS = st.lists(PARTS, max_size=6).map("".join) | st.text(max_size=140)


@settings(max_examples=40)
@given(PATHS, PATHS)
def test_whatever_the_ids_nothing_is_written_outside_of_a_store(one: str, other: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder, "deep", "store"), create=True)
        store.publish(synthetic_connectome(), dataset="lab", recording="a")
        for dataset, recording in ((one, other), ("lab", other), (one, "a")):
            fit = all(PART.fullmatch(part) for part in (dataset, recording))
            try:
                store.publish(synthetic_connectome(), dataset=dataset, recording=recording)
            except NeurodataError:
                assert not fit
            else:
                assert fit
                assert store.folder(f"{dataset}/{recording}").is_relative_to(store.path)
            with contextlib.suppress(NeurodataError):
                assert store.folder(f"{dataset}/{recording}").is_relative_to(store.path)
        assert [path.name for path in Path(folder).iterdir()] == ["deep"]
        assert [path.name for path in Path(folder, "deep").iterdir()] == ["store"]


@pytest.mark.parametrize(("name", "spoil"), [(n, s) for n, _, s in (*TWO_MEANINGS, *NO_NUMBERS)])
def test_split_files_of_two_meanings_are_refused(name: str, spoil: object, tmp_path: Path) -> None:
    entry: Any = {"id": "lab/a", "version": "0" * 16, "group": "s1", "split": "train"}
    made = Split.sealed("lab", "subject", "", {"train": 1.0}, None, [entry])
    path = Path(made.write(str(tmp_path / "synthetic.json")))
    assert callable(spoil)
    path.write_text(spoil(path.read_text()))
    with pytest.raises((SplitError, NeurodataError)):
        Split.read(path)
