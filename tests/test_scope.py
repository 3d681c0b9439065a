"""Facts of some recordings of a folder: which get them, and what is printed for them."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
import tifffile

from neurodata.declare import parse, scope_of
from neurodata.errors import InvalidInputError, Problem
from neurodata.ingestion import ingest
from neurodata.plan import plan
from neurodata.scope import check, fits, flags, resolve, scoped, together
from neurodata.store import open_store


@pytest.mark.parametrize(
    ("setting", "scope", "rest"),
    [
        ("rate_hz=10", "", "rate_hz=10"),
        ("a:rate_hz=10", "a", "rate_hz=10"),
        ("EPI_PE=AP_3.nii:voxel_mm=1,1,1", "EPI_PE=AP_3.nii", "voxel_mm=1,1,1"),
        ("units.LFP:1=uV", "", "units.LFP:1=uV"),
        ("a.edf:units.LFP:1=uV", "a.edf", "units.LFP:1=uV"),
        ("a.edf:units.A=B=uV", "a.edf", "units.A=B=uV"),
        ("day:2/a.edf:subject=1", "day:2/a.edf", "subject=1"),
        ("citation=Doe: run=1", "", "citation=Doe: run=1"),
        ("./units.v2:rate_hz=3", "./units.v2", "rate_hz=3"),
        ("a:colour=red", "", "a:colour=red"),
    ],
)
def test_a_scope_ends_before_a_known_key(setting: str, scope: str, rest: str) -> None:
    assert scope_of(setting) == (scope, rest)


@pytest.mark.parametrize(
    ("scope", "hit"),
    [("cell_1", True), ("cell*", True), ("*.tif", True), ("day/*", True), ("day/cell_1.tif", True),
     ("cell", False), ("*.csv", False), ("Cell_1", False), ("./cell_1", True), ("cell_[12]", True)],
)  # fmt: skip
def test_a_scope_is_a_name_or_a_pattern(scope: str, hit: bool) -> None:
    assert fits(scope, ["cell_1", "day/cell_1.tif"]) is hit


def test_brackets_in_a_file_name_are_no_pattern_where_it_is_named_whole() -> None:
    assert fits("a[1].tif", ["a-1", "a[1].tif"])


def test_the_narrower_fact_wins_and_the_later_among_patterns() -> None:
    facts = parse(["a*:rate_hz=1", "a:rate_hz=2", "rate_hz=3", "b:task=rest"])
    assert resolve(facts, ["a", "a.npy"]) == {"rate_hz": 2}
    assert resolve(facts, ["a2", "a2.npy"]) == {"rate_hz": 1}
    assert resolve(facts, ["b", "b.npy"]) == {"rate_hz": 3, "task": "rest"}


def test_a_scoped_fact_is_checked_like_any_other() -> None:
    check(parse(["a:rate_hz=3"]))
    for setting in ("a:rate_hz=fast",):
        check(parse([setting]))  # text may be a number; the reader says when it is none
    with pytest.raises(InvalidInputError, match="colour"):
        check(parse(["a:colour=red"]))
    with pytest.raises(InvalidInputError, match="twice"):
        parse(["a:rate_hz=1", "a:rate_hz=2"])


@pytest.mark.parametrize("channel", ["Cz", "EEG (F3)", "it's", "$HOME", "a;b", "*", "a:b=c"])
def test_a_scoped_hint_reads_back_in_a_shell(channel: str) -> None:
    fact = f"units.{channel}=uV"
    hint = f"declare it: --set {shlex.quote(fact)} --set rate_hz=30, or see the manual's page"
    made = scoped(Problem("error", "a.edf", "x", "y", hint), "sub 1").hint
    assert flags(made) == [f"sub 1:{fact}", "sub 1:rate_hz=30"]
    assert [scope_of(flag) for flag in flags(made)] == [("sub 1", fact), ("sub 1", "rate_hz=30")]
    assert made.endswith(", or see the manual's page")


def test_a_name_like_a_key_gets_a_scope_that_is_none() -> None:
    made = together({"units.v2": ["rate_hz=3"], "b": []}, {"units.v2": "u.npy", "b": "b.npy"})
    assert made == ["./units.v2:rate_hz=3"]
    assert resolve(parse(made), ["units.v2", "u.npy"]) == {"rate_hz": 3}


def test_few_settings_declare_many_recordings() -> None:
    mains = {"a": "x/a.csv", "b": "x/b.csv", "c": "y/c.csv", "d": "y/d.tif"}
    unit = ["weight_units=count"]
    assert together(dict.fromkeys(mains, unit), mains) == unit
    assert together(dict.fromkeys("abc", unit), mains) == ["*.csv:weight_units=count"]
    assert together(dict.fromkeys("ab", unit), mains) == ["x/*:weight_units=count"]
    assert together(dict.fromkeys("bc", unit), mains) == [
        "b:weight_units=count", "c:weight_units=count",
    ]  # fmt: skip


@pytest.fixture
def planes(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for n, name in enumerate(("one", "two", "three")):
        data = np.arange(n, n + 12, dtype="u2").reshape(3, 4)
        tifffile.imwrite(folder / f"synthetic_{name}.tif", data)
    return folder


def test_each_recording_gets_its_own_facts(planes: Path, tmp_path: Path) -> None:
    facts = parse(["voxel_um=1,1", "*_t*:voxel_um=2,2", "synthetic_two:voxel_um=3,3"])
    result = ingest(planes, store=tmp_path / "s", declare=facts)
    assert result.ok
    store = open_store(tmp_path / "s")
    sizes = {name: store[name]["image/spacing"].values.tolist() for name in store.ids()}
    assert sizes == {
        "raw/synthetic_one": [1.0, 1.0],
        "raw/synthetic_three": [2.0, 2.0],
        "raw/synthetic_two": [3.0, 3.0],
    }
    manifest = store.manifest("raw/synthetic_two")
    assert manifest["declarations"] == {"voxel_um": [3, 3]}


def test_a_refusal_among_several_prints_its_own_scope_and_one_alone_none(planes: Path) -> None:
    several = ingest(planes, store=planes.parent / "s")
    hints = [p.hint for e in several.entries for p in e.problems if p.level == "error"]
    assert hints == [
        f"declare it: --set 'synthetic_{name}:voxel_um=<y>,<x>'" for name in ("one", "three", "two")
    ]
    assert several.settings == ("voxel_um=<y>,<x>",)
    alone = ingest(planes / "synthetic_one.tif", store=planes.parent / "s")
    (hint,) = [p.hint for e in alone.entries for p in e.problems if p.level == "error"]
    assert hint == "declare it: --set 'voxel_um=<y>,<x>'"


def test_the_side_file_may_have_scopes_and_the_command_line_wins(
    planes: Path, tmp_path: Path
) -> None:
    (planes / "neurodata.yaml").write_text(
        "declare: {voxel_um: [1, 1], '*_two.tif:voxel_um': [2, 2], 'synthetic_one:subject': m1}\n"
    )
    found = {job.recording: job.declare for job in plan(planes).jobs}
    assert found == {
        "synthetic_one": {"voxel_um": [1, 1], "subject": "m1"},
        "synthetic_three": {"voxel_um": [1, 1]},
        "synthetic_two": {"voxel_um": [2, 2]},
    }
    over = plan(planes, declare={"voxel_um": [5, 5]})
    assert {tuple(job.declare["voxel_um"]) for job in over.jobs} == {(5, 5)}  # type: ignore[arg-type]


def test_a_scope_of_no_recording_is_told(planes: Path) -> None:
    found = plan(planes, declare=parse(["synthetic_four:voxel_um=1,1"]))
    assert [(p.level, p.where, p.found) for p in found.problems] == [
        ("warning", "--set synthetic_four:voxel_um", "no recording 'synthetic_four'")
    ]
