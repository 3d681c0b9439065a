"""The command line: help, one JSON object, exit codes, and nothing that drives a terminal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer.main
from click.testing import Result as Done
from typer.testing import CliRunner

import neurodata.cli.more_verbs
import neurodata.cli.upkeep  # noqa: F401 - these add their verbs to the app
from neurodata.cli.outcome import Outcome, show_json
from neurodata.cli.verbs import app
from neurodata.errors import Problem
from neurodata.pipeline import names
from neurodata.scope import flags
from neurodata.store import Store
from tests.chosen import chosen
from tests.invariants import assert_store_ok

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"
ANATOMICAL = SAMPLES / "mri_anatomical" / "anatomical.nii"
PLANE = SAMPLES / "nuclei" / "img2d.tif"


def call(*argv: object, **environment: str) -> Done:
    return CliRunner().invoke(app, [str(word) for word in argv], env=environment)


def as_json(*argv: object, code: int) -> dict[str, Any]:
    """Run a verb with ``--json``: one object on standard output, and the exit code expected."""
    done = call(*argv, "--json")
    assert done.exit_code == code, (done.exit_code, done.output)
    found = json.loads(done.stdout)
    assert set(found) == {"ok", "items", "problems"}
    assert found["ok"] == (code == 0)
    assert all(set(p) == {"level", "where", "found", "expected", "hint"} for p in found["problems"])
    if code:
        assert found["items"] or found["problems"]
    return found


def verbs() -> list[list[str]]:
    def walk(command: Any, path: list[str]) -> list[list[str]]:
        below = getattr(command, "commands", {})
        return [v for name in below for v in walk(below[name], [*path, name])] or [path]

    return walk(typer.main.get_command(app), [])


def test_all_verbs_are_there() -> None:
    first = {words[0] for words in verbs()}
    assert first >= {
        "datasets", "plan", "ingest", "ls", "show", "validate", "verify", "rebuild", "split",
        "audit", "bench", "push", "report", "serve", "demo", "forget", "prune",
    }  # fmt: skip


@pytest.mark.parametrize("words", verbs(), ids=" ".join)
def test_every_verb_has_help_with_an_example_of_itself(words: list[str]) -> None:
    done = call(*words, "--help")
    assert done.exit_code == 0
    assert f"Example: neurodata {' '.join(words)}" in " ".join(done.stdout.split())
    assert "--json" in done.stdout


def test_help_of_the_whole_has_an_example() -> None:
    done = call("--help")
    assert done.exit_code == 0
    assert "Example: neurodata ingest" in done.stdout


# ---- exit codes, in a process of their own


def process(*argv: object, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "neurodata", *map(str, argv)]
    known = {**os.environ, **environment}
    return subprocess.run(
        words, cwd=ROOT, env=known, capture_output=True, text=True, timeout=120, check=False
    )


def test_progress_goes_to_standard_error_and_the_store_may_come_from_the_environment(
    tmp_path: Path,
) -> None:
    store = tmp_path / "s"
    done = process("ingest", "mri_anatomical", "--direct", "--json", NEURODATA_STORE=str(store))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [item["status"] for item in found["items"]] == ["new"]
    assert (store / "catalog.sqlite").is_file()
    assert_store_ok(store)


def test_a_refused_recording_ends_with_1_and_the_others_are_stored(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "bad.nii").write_bytes(ANATOMICAL.read_bytes()[:3000])
    shutil.copyfile(ANATOMICAL, raw / "good.nii")
    done = process("ingest", raw, "--direct", "--store", tmp_path / "s")
    assert done.returncode == 1
    assert "bad.nii" in done.stdout
    assert "1 new, 0 same, 0 alias, 1 failed" in done.stdout
    found = as_json("ls", "--store", tmp_path / "s", code=0)
    assert [item["id"] for item in found["items"]] == ["raw/good"]


def test_misuse_ends_with_2(tmp_path: Path) -> None:
    assert process("ingest").returncode == 2
    assert process("ls", "--nonsense").returncode == 2
    found = as_json("ingest", tmp_path / "none", "--direct", "--store", tmp_path / "s", code=2)
    assert "neither a path nor a pipeline" in found["problems"][0]["found"]
    plane = ("ingest", PLANE, "--direct", "--store", tmp_path / "s")
    as_json(*plane, "--set", "colour=red", code=2)
    as_json(*plane, "--set", "voxel_um", code=2)
    as_json(*plane, "--set", "a=1", "--set", "a=1", code=2)
    as_json("ls", "--store", tmp_path / "none", code=2)
    as_json("rebuild", "--store", tmp_path / "none", code=2)


@pytest.mark.parametrize("query", ["nonsense >", "colour == 'red'", "rate_hz", "__import__('os')"])
def test_a_query_that_is_no_condition_is_misuse(sample_store: Store, query: str) -> None:
    found = as_json("ls", query, "--store", sample_store.path, code=2)
    assert "rate_hz" in found["problems"][0]["expected"]


def test_a_fault_ends_with_3_and_is_shown_as_one(
    sample_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("synthetic fault \x1b[31m")

    monkeypatch.setattr(Store, "catalog", broken)
    found = as_json("ls", "--store", sample_store.path, code=3)
    assert "synthetic fault" in found["problems"][0]["found"]
    done = call("ls", "--store", sample_store.path)
    assert done.exit_code == 3
    assert "Traceback" in done.stderr
    assert "\x1b" not in done.output


def test_a_fault_outside_of_a_verb_ends_with_3() -> None:
    script = (
        "import neurodata.cli, neurodata.cli.more_verbs as v\n"
        "def broken(): raise RuntimeError('synthetic')\n"
        "v.app = broken\n"
        "neurodata.cli.main()\n"
    )
    argv = [sys.executable, "-c", script]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "RuntimeError" in done.stderr


# ---- verbs on the sample store


def test_datasets_are_the_pipelines() -> None:
    found = as_json("datasets", code=0)
    assert [item["id"] for item in found["items"]] == names()


def test_tasks_are_listed_and_scores_that_are_not_there_are_misuse(tmp_path: Path) -> None:
    found = as_json("bench", "list", "mushroom_body", code=0)["items"]
    assert {item["dataset"] for item in found} == {"mushroom_body"}
    assert all(item["split"] and item["kind"] for item in found)
    assert len(as_json("bench", "list", code=0)["items"]) > len(found)
    assert "no scores" in str(as_json("bench", "report", "--scores", tmp_path, code=2))


def test_plan_shows_what_an_ingest_would_do_and_writes_nothing(tmp_path: Path) -> None:
    found = as_json("plan", "mushroom_body", "mri_anatomical", code=0)
    assert [(item["id"], item["reader"], item["files"]) for item in found["items"]] == [
        ("mushroom_body/left_adjacency", "adjacency",
         ["left_adjacency.csv", "left_cell_labels.csv"]),
        ("mushroom_body/right_adjacency", "adjacency",
         ["right_adjacency.csv", "right_cell_labels.csv"]),
        ("mri_anatomical/anatomical", "nifti", ["anatomical.nii"]),
    ]  # fmt: skip
    (tmp_path / "a.nii").write_bytes(b"\0")
    assert as_json("plan", tmp_path, code=1)["problems"][0]["where"] == "a.nii"
    assert sorted(tmp_path.iterdir()) == [tmp_path / "a.nii"]


def test_ls_lists_and_selects(sample_store: Store) -> None:
    found = as_json("ls", "--store", sample_store.path, code=0)
    assert [item["id"] for item in found["items"]] == sample_store.ids()
    query = "modality == 'eeg' and rate_hz >= 100"
    found = as_json("ls", query, "--store", sample_store.path, code=0)
    assert [item["id"] for item in found["items"]] == sample_store.ids("eeg_fp1")
    assert {(item["units"], item["rate_hz"]) for item in found["items"]} == {("V", 128.0)}
    nothing = call("ls", "modality == 'meg'", "--store", sample_store.path)
    assert nothing.exit_code == 0
    assert "0 recordings" in nothing.stdout


def test_show_tells_nodes_facts_and_version(sample_store: Store) -> None:
    found = as_json("show", "fmri_small/functional", "--store", sample_store.path, code=0)
    (item,) = found["items"]
    assert (item["id"], item["modality"]) == ("fmri_small/functional", "fmri")
    assert item["nodes"]["bold"]["representation"] == "volume"
    assert item["nodes"]["bold"]["rate_hz"] == 0.5
    text = call("show", "fmri_small/functional", "--store", sample_store.path).stdout
    assert f"version: {sample_store.version('fmri_small/functional')}" in text
    assert "licence: MIT" in text
    version = sample_store.version("fmri_small/functional")
    as_json("show", f"fmri_small/functional@{version}", "--store", sample_store.path, code=0)
    as_json("show", "fmri_small/none", "--store", sample_store.path, code=2)
    as_json("show", "fmri_small/functional@0", "--store", sample_store.path, code=2)


def test_validate_checks_one_or_all(sample_store: Store) -> None:
    found = as_json("validate", "--store", sample_store.path, code=0)
    assert len(found["items"]) == len(sample_store.ids())
    levels = {p["level"] for p in found["problems"]}
    assert levels == {"warning", "note"}
    assert all("/" in p["where"] for p in found["problems"])
    one = as_json("validate", "mri_anatomical/anatomical", "--store", sample_store.path, code=0)
    assert one["problems"] == []
    as_json("validate", "nothing/here", "--store", sample_store.path, code=2)


def test_verify_finds_a_flipped_bit_and_rebuild_does_not_hide_it(own_store: Store) -> None:
    name = "eeg_fp1/test_utf8"
    as_json("verify", "--store", own_store.path, code=0)
    (chunk,) = own_store.folder(name).glob("data.zarr/eeg/signal_adc/c/0/0")
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    found = as_json("verify", "--store", own_store.path, code=1)
    assert [(p["level"], p["found"]) for p in found["problems"]] == [("error", "changed bytes")]
    as_json("verify", name, "--store", own_store.path, code=1)
    as_json("verify", "eeg_fp1/test_subsecond", "--store", own_store.path, code=0)
    as_json("rebuild", "--store", own_store.path, code=0)
    as_json("verify", "--store", own_store.path, code=1)


def test_validate_lists_damaged_bytes_and_goes_on(own_store: Store) -> None:
    (chunk,) = own_store.folder("eeg_fp1/test_utf8").glob("data.zarr/eeg/signal_adc/c/0/0")
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    (own_store.folder("eeg_fp1/test_subsecond") / "manifest.json").unlink()
    next(own_store.zarr("mri_anatomical/anatomical").glob("*/affine/zarr.json")).unlink()
    found = as_json("validate", "--store", own_store.path, code=1)
    assert len(found["items"]) == len(own_store.ids())
    wrong = {p["where"].partition(": ")[0]: p for p in found["problems"] if p["level"] == "error"}
    assert set(wrong) == {
        "eeg_fp1/test_utf8", "eeg_fp1/test_subsecond", "mri_anatomical/anatomical"
    }  # fmt: skip
    assert wrong["eeg_fp1/test_utf8"]["found"] == "a checksum that differs"


def test_numbers_that_json_has_no_words_for_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    show_json(Outcome([{"score": float("nan"), "range": (float("-inf"), 1.0)}]))
    assert json.loads(capsys.readouterr().out)["items"] == [{"score": None, "range": [None, 1.0]}]


def test_a_split_of_a_data_set_without_a_pipeline_asks_for_by(own_store: Store) -> None:
    found = as_json("split", "raw", "--store", own_store.path, code=2)
    assert "--by" in found["problems"][0]["hint"]


def test_rebuild_mends_a_lost_catalogue(own_store: Store) -> None:
    before = own_store.catalog()
    (own_store.path / "catalog.sqlite").unlink()
    found = as_json("ls", "--store", own_store.path, code=1)
    assert "neurodata rebuild" in found["problems"][0]["hint"]
    found = as_json("rebuild", "--store", own_store.path, code=0)
    assert [item["id"] for item in found["items"]] == before["id"].tolist()
    assert own_store.catalog().equals(before)
    assert_store_ok(own_store.path)


def test_a_second_ingest_says_that_there_is_nothing_new(own_store: Store) -> None:
    done = call("ingest", "mri_anatomical", "--direct", "--store", own_store.path)
    assert done.exit_code == 0
    assert "0 new, 1 same, 0 alias, 0 failed: nothing new to ingest" in done.stdout


def test_the_flag_that_a_refusal_prints_settles_it(tmp_path: Path) -> None:
    argv = ("ingest", PLANE, "--direct", "--store", tmp_path / "s")
    found = as_json(*argv, code=1)
    hint = next(p["hint"] for p in found["problems"] if p["level"] == "error")
    (flag,) = flags(hint)
    as_json(*argv, "--set", chosen(flag), code=0)


def test_a_flag_that_is_still_open_is_misuse_and_the_text_says_choose(tmp_path: Path) -> None:
    argv = ("ingest", PLANE, "--direct", "--store", tmp_path / "s")
    assert "choose" in call(*argv).stdout
    found = as_json(*argv, "--set", "voxel_um=<y>,<x>", code=2)
    assert "still to be chosen" in found["problems"][0]["found"]


# ---- what data may do to a terminal

NASTY = "a\x1b]0;owned\x07\x9b31m\u202eb\x7f\udce9.nii"


def drives(text: str) -> list[str]:
    return [c for c in text if not c.isprintable() and c != "\n"]


def test_control_characters_in_file_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / NASTY).write_bytes(b"GIF89a" + bytes(64))
    shutil.copyfile(ANATOMICAL, raw / ("good" + NASTY))
    for argv in (("plan", raw), ("ingest", raw, "--direct", "--store", tmp_path / "s")):
        text = process(*argv)
        assert text.returncode == 1, text.stderr
        assert drives(text.stdout + text.stderr) == []
        found = process(*argv, "--json")
        assert drives(found.stdout + found.stderr) == []
        assert NASTY in {p["where"] for p in json.loads(found.stdout)["problems"]}


@pytest.mark.parametrize("mark", ["[red]x[/red]", "[/]", "[link=file:///x]y[/link]", ":boom:"])
def test_marks_in_names_are_shown_as_they_are(tmp_path: Path, mark: str) -> None:
    raw = tmp_path / mark.replace("/", "\u2215")
    raw.mkdir()
    (raw / f"{mark.replace('/', '-')}.nii").write_bytes(b"\0")
    done = call("ingest", raw, "--direct", "--dataset", "d", "--store", tmp_path / "s")
    assert done.exit_code == 1
    assert mark.replace("/", "-") in done.stdout


def test_control_characters_in_facts_do_not_reach_the_terminal(
    sample_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = Problem("warning", "a\x1b[2J", "b\x9bc", "d\u2028e", "f\x08")
    monkeypatch.setattr("neurodata.schema.validate", lambda tree: [replace(problem)])
    for more in ((), ("--json",)):
        done = call("validate", "mri_anatomical/anatomical", "--store", sample_store.path, *more)
        assert done.exit_code == 0
        assert drives(done.output) == []
