"""Splits at their edges: the last value that is let through, and the first that is not."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from neurodata.errors import InvalidInputError, Problem, SplitError
from neurodata.splits import Split, audit, freeze, make_split, split_file
from neurodata.splits.facts import Clock, clocks_of, facts_of, shapes_of
from neurodata.splits.form import listed, malformed, wrong_fractions
from neurodata.splits.make import block_parts, count_parts, time_parts
from neurodata.splits.parts import Need, Part, part_of, too_close
from neurodata.splits.split import digest_of
from neurodata.splits.whole_file import replace
from tests.synthetic_catalogue import (
    SyntheticStore,
    recording,
    sha,
    subjects,
    timeseries,
    volume,
)

HALVES = {"train": 0.5, "test": 0.5}


def sealed(store: SyntheticStore, by: str, gap: float | None, *entries: dict[str, Any]) -> Split:
    whole: list[Any] = [{"version": store.version(e["id"]), "group": e["id"], **e} for e in entries]
    names = sorted({e["split"] for e in whole})
    return Split.sealed("eeg", by, "", {n: 1 / len(names) for n in names}, gap, whole)


def cut(name: str, side: str, start_s: float, stop_s: float) -> dict[str, Any]:
    return {"id": f"eeg/{name}", "split": side, "start_s": start_s, "stop_s": stop_s}


def one(node: dict[str, Any] | None = None, **attrs: Any) -> SyntheticStore:
    store = SyntheticStore()
    store.add("eeg/a", recording("a", {"eeg": node or timeseries()}, subject="a", **attrs))
    return store


def errors(problems: list[Problem]) -> list[tuple[str, str]]:
    return [(p.where, p.found) for p in problems if p.level == "error"]


# --- the form ---------------------------------------------------------------------------------


def document(**change: Any) -> dict[str, Any]:
    entry = {"id": "eeg/a", "version": "0" * 16, "group": "g", "split": "train"}
    entry |= change.pop("entry", {})
    return {
        "format": "neurodata-split/1", "dataset": "eeg", "by": "subject", "salt": "",
        "fractions": {"train": 1.0}, "gap": None, "assignments": [entry], "digest": "", **change,
    }  # fmt: skip


def places(**change: Any) -> list[str]:
    return [problem.where for problem in malformed(document(**change))]


LARGEST = sys.float_info.max
SOUND: list[dict[str, Any]] = [
    {},
    {"by": "device"},
    {"fractions": {"train": 1 - 5e-7}},
    {"by": "time", "gap": LARGEST, "entry": {"start_s": -LARGEST, "stop_s": LARGEST}},
    {"by": "time", "gap": 1, "entry": {"start_s": 0, "stop_s": 5e-324}},
    {"by": "block", "gap": 1, "entry": {"box_zyx": [[0, 1], [0, 2], [1, 9]]}},
    {"entry": {"start_s": 0.0, "stop_s": 1.0}},
    {"entry": {"id": "eeg/" + "a" * 128}},
]
UNSOUND: list[tuple[dict[str, Any], str]] = [
    ({"by": 3, "gap": None}, "by"),
    ({"digest": 3}, "digest"),
    ({"dataset": 3}, "dataset"),
    ({"fractions": {"train": 1 - 2e-6}}, "fractions"),
    ({"fractions": {"train": True}}, "fractions"),
    ({"fractions": {"train": "1"}}, "fractions"),
    ({"fractions": {3: 1.0}, "entry": {"split": "3"}}, "fractions"),
    ({"fractions": {"train": 1.5, "test": -0.5}}, "fractions"),
    ({"by": "time", "gap": -1.0, "entry": {"start_s": 0.0, "stop_s": 1.0}}, "gap"),
    ({"by": "time", "gap": math.inf, "entry": {"start_s": 0.0, "stop_s": 1.0}}, "gap"),
    ({"by": "block", "gap": 0, "entry": {"box_zyx": [[0, 1], [0, 2], [1, 9]]}}, "gap"),
    ({"by": "block", "gap": True, "entry": {"box_zyx": [[0, 1], [0, 2], [1, 9]]}}, "gap"),
    ({"assignments": {}}, "assignments"),
    ({"assignments": ({},)}, "assignments"),
    ({"by": "time", "gap": 1.0}, "assignments[0]"),
    ({"by": "block", "gap": 1}, "assignments[0]"),
    ({"by": "block", "gap": 1, "entry": {"start_s": 0.0, "stop_s": 1.0}}, "assignments[0]"),
    ({"entry": {"start_s": 1.0, "stop_s": 1.0}}, "assignments[0]"),
    ({"entry": {"start_s": "0", "stop_s": 1.0}}, "assignments[0]"),
    ({"entry": {"start_s": 0.0, "stop_s": True}}, "assignments[0]"),
    ({"entry": {"start_s": math.nan, "stop_s": 1.0}}, "assignments[0]"),
    ({"entry": {"start_s": 0.0, "stop_s": 1.0, "box_zyx": [[0, 1]] * 3}}, "assignments[0]"),
    ({"entry": {"id": "eeg/" + "a" * 129}}, "assignments[0].id"),
    ({"entry": {"id": "eeg"}}, "assignments[0].id"),
    ({"entry": {"version": "0" * 15}}, "assignments[0].version"),
    ({"entry": {"version": "0" * 17}}, "assignments[0].version"),
]
BOXES: list[Any] = [
    "x", [[0, 1]] * 2, [[0, 1]] * 4, [[0, 1], [0, 1], 5], [[0, 1], [0, 1], [0, 1, 2]],
    [[0, 1], [0, 1], [1, 1]], [[0, 1], [0, 1], [2, 1]], [[-1, 1], [0, 1], [0, 1]],
    [[0, 1], [0, 1.0], [0, 1]], [[0, 1], [0, True], [0, 1]], ([0, 1], [0, 1], [0, 1]),
]  # fmt: skip


@pytest.mark.parametrize("change", SOUND)
def test_what_is_just_of_the_form_is_let_through(change: dict[str, Any]) -> None:
    assert places(**change) == []


@pytest.mark.parametrize(("change", "where"), UNSOUND)
def test_what_is_just_not_of_the_form_is_found(change: dict[str, Any], where: str) -> None:
    assert places(**change)[:1] == [where]


@pytest.mark.parametrize("box", BOXES, ids=repr)
def test_what_is_no_box_is_found(box: Any) -> None:
    assert places(by="block", gap=1, entry={"box_zyx": box}) == ["assignments[0].box_zyx"]


def test_a_part_twice_is_told_once_and_a_faulty_one_by_its_fault() -> None:
    entry = document()["assignments"][0]
    faulty = {**entry, "version": "x"}
    assert places(assignments=[entry, entry, entry]) == ["assignments[1]", "assignments[2]"]
    assert places(assignments=[faulty, faulty]) == [f"assignments[{n}].version" for n in (0, 1)]
    assert places(assignments=[entry, {**entry, "split": "x"}]) == ["assignments[1].split"]
    # the side cannot be known where the fractions are of no form
    assert places(fractions=None, assignments=[entry]) == ["fractions"]


def test_names_are_listed_up_to_twenty() -> None:
    names = [f"n{i:02d}" for i in range(21)]
    assert listed(names[:20]) == ", ".join(names[:20])
    assert listed(names) == ", ".join(names[:20]) + " and 1 more"


# --- the file ---------------------------------------------------------------------------------


def test_a_file_is_whole_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fsync is called on, in order: the draft with all its bytes, then the folder."""
    file, seen = tmp_path / "a.json", []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        is_folder = os.path.samestat(os.fstat(descriptor), tmp_path.stat())
        size = None if is_folder else os.fstat(descriptor).st_size
        seen.append((size, file.exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    replace(file, "µ" * 50)
    assert seen == [(100, False), (None, True)]
    if sys.platform == "linux":
        assert len(os.listdir("/proc/self/fd")) == before
    assert os.listdir(tmp_path) == ["a.json"]


def test_parts_are_sorted_by_recording_version_time_box_and_side() -> None:
    store = one(volume())
    entries: list[dict[str, Any]] = [
        {**cut("a", "test", 1.0, 2.0), "version": "f" * 16},
        cut("a", "train", 5.0, 6.0),
        cut("a", "test", 5.0, 6.0),
        cut("a", "test", -5.0, 6.0),
        {"id": "eeg/a", "split": "train", "box_zyx": [[0, 1], [0, 2], [0, 3]]},
        {"id": "eeg/a", "split": "test"},
        {**cut("a", "test", 7.0, 8.0), "version": "0" * 16},
    ]
    split = sealed(store, "subject", None, *entries)
    found = [(e.get("start_s"), "box_zyx" in e, e["split"]) for e in split.assignments]
    assert found == [
        (7.0, False, "test"), (None, False, "test"), (None, True, "train"), (-5.0, False, "test"),
        (5.0, False, "test"), (5.0, False, "train"), (1.0, False, "test"),
    ]  # fmt: skip


def test_declared_splits_are_frozen_once_and_then_extended(tmp_path: Path) -> None:
    spec = {"fractions": None, "gap_s": None, "gap_voxels": None, "salt": None, "node": None}
    pipeline: Any = SimpleNamespace(
        id="eeg",
        splits=[
            SimpleNamespace(name="people", by="subject", **spec),
            SimpleNamespace(name="time", by="time", **{**spec, "gap_s": 2.0, "fractions": HALVES}),
        ],
    )
    folder = tmp_path / "a" / "splits"
    first = freeze(subjects(5), pipeline, folder)
    assert first == {name: split_file(folder, "eeg", name) for name in ("people", "time")}
    before = {name: Split.read(path) for name, path in first.items()}
    assert before["time"].gap == 2.0
    again = freeze(subjects(6), pipeline, folder)
    for name, path in again.items():
        after = Split.read(path)
        kept = [
            e for e in after.assignments if e["id"] in {b["id"] for b in before[name].assignments}
        ]
        assert kept == list(before[name].assignments)
        assert len(after.assignments) > len(kept)


# --- what manifests say -----------------------------------------------------------------------


def test_clocks_at_their_edges() -> None:
    def clock(**summary: Any) -> Clock | None:
        return clocks_of({"summary": {"eeg": summary}}).get("eeg")

    assert clock(start_s=2.0, rate_hz=4.0, n=8) == Clock(2.0, 4.0, 4.0, 8)
    assert clock(start_s=2.0, rate_hz=4.0, dims={"time": 8}) == Clock(2.0, 4.0, 4.0, 8)
    assert clock(start_s=2.0, stop_s=2.0) == Clock(2.0, math.nextafter(2.0, 3.0))
    assert clock(start_s=2.0, stop_s=1.9) is None
    assert clock(start_s=2.0) is None
    assert clock(stop_s=2.0) is None
    assert clock(start_s=math.inf, stop_s=math.inf) is None
    assert clock(start_s=2.0, stop_s=math.inf) is None
    assert clock(start_s=2.0, rate_hz=4.0) is None
    assert clocks_of({}) == {}
    assert math.isnan(Clock(0.0, 1.0).at(3))
    assert Clock(1.0, 2.0, 4.0, 4).at(3) == 1.75


def test_a_manifest_without_facts_has_none() -> None:
    facts = facts_of({})
    assert (facts.attrs, facts.content, facts.inputs, facts.values) == ({}, "", (), 0)
    assert (facts.arrays, facts.clocks, facts.steps) == ({}, {}, ())
    assert facts_of({"inputs": None, "steps": None}).steps == ()
    assert shapes_of({"summary": {"a": {"dims": {"y": 2}}, "b": {}}}) == {}


@pytest.mark.parametrize(("n", "channels", "found"), [(8, 2, 1), (5, 3, 0)])
def test_sixteen_values_are_the_fewest_that_are_compared(n: int, channels: int, found: int) -> None:
    manifest = recording("a", {"eeg": timeseries(n=n, channels=channels)})
    assert len(facts_of(manifest).arrays) == found


# --- making -----------------------------------------------------------------------------------


def test_a_gap_of_truth_is_none() -> None:
    with pytest.raises(InvalidInputError, match="gap_s: found True"):
        make_split(subjects(2), "eeg", by="time", gap_s=True)


def test_what_is_not_stated_is_told_with_its_flags() -> None:
    store = SyntheticStore()
    store.add("eeg/a", recording("a", subject="s1", task="rest"))
    with pytest.raises(SplitError) as caught:
        make_split(store, "eeg", by="session")
    assert caught.value.found == "no session in 1 recordings: eeg/a"
    assert caught.value.expected == "every recording with its subject and session"
    assert "--set session=NAME, or choose another --by; stated are: subject, task" in (
        caught.value.hint
    )
    with pytest.raises(SplitError) as caught:
        make_split(store, "eeg", by="weather")
    assert caught.value.hint == "choose another --by; stated are: subject, task"


def test_a_recording_just_long_enough_is_cut() -> None:
    """Ten samples, gaps of four, two sides: three samples each; nine samples would not do."""
    assert time_parts(Clock(0.0, 10.0, 1.0, 10), HALVES, 4.0) == [(0.0, 3.0), (7.0, 10.0)]
    assert time_parts(Clock(0.0, 4.0, 1.0, 4), HALVES, 2.0) == [(0.0, 1.0), (3.0, 4.0)]
    assert time_parts(Clock(0.0, 4.0, 1.0, 4), HALVES, 3.0) == []
    assert time_parts(Clock(0.0, 4.0, 1.0, 4), HALVES, 4.0) == []
    assert time_parts(Clock(0.0, 4.0), HALVES, 3.5) == [(0.0, 0.25), (3.75, 4.0)]
    assert time_parts(Clock(0.0, 4.0), HALVES, 4.0) == []
    assert block_parts((1, 1, 4), HALVES, 2) == [
        [[0, 1], [0, 1], [0, 1]], [[0, 1], [0, 1], [3, 4]],
    ]  # fmt: skip
    assert block_parts((1, 1, 4), HALVES, 3) == []


# --- the audit --------------------------------------------------------------------------------


def test_findings_come_with_errors_first_and_notes_last() -> None:
    store = subjects(6, sessions=2)
    split = make_split(store, "eeg")
    entries: list[Any] = [dict(entry) for entry in split.assignments]
    entries[0]["split"] = "val" if entries[0]["split"] != "val" else "test"
    entries[1]["group"] = "other"
    store.add("eeg/later", recording("later", subject="x"))
    leaking = Split.sealed("eeg", "subject", "", split.fractions, None, entries)
    levels = [problem.level for problem in audit(leaking, store)]
    assert set(levels) == {"error", "warning", "note"}
    assert levels == sorted(levels, key=["error", "warning", "note"].index)


def test_windows_of_no_length_are_windows() -> None:
    store = one()
    split = make_split(store, "eeg", by="time", gap_s=1.0, fractions=HALVES)
    assert errors(audit(split, store, window_s=0.0, horizon_s=0.0)) == []


def test_a_digest_that_does_not_fit_is_named_by_its_first_letters() -> None:
    from dataclasses import replace as changed

    store = subjects(5)
    split = make_split(store, "eeg")
    found = errors(audit(changed(split, digest="0123456789abcdefg" + "0" * 47), store))
    assert found == [("digest", "0123456789abcdef")]


@pytest.mark.parametrize(
    ("start_s", "stop_s", "beyond"),
    [(0.0, 1.0, False), (99.0, 101.0, False), (100.0, 101.0, True), (-1.0, 0.0, True),
     (-1.0, 0.1, False)],
)  # fmt: skip
def test_a_part_has_to_share_a_moment_with_its_recording(
    start_s: float, stop_s: float, beyond: bool
) -> None:
    store = one()
    split = sealed(store, "subject", None, cut("a", "train", start_s, stop_s))
    assert (errors(audit(split, store)) != []) is beyond


@pytest.mark.parametrize(
    ("boxes", "leaks"),
    [
        (([[0, 1], [0, 9], [0, 5]], [[0, 1], [0, 9], [5, 9]]), True),
        (([[0, 1], [0, 9], [0, 5]], [[0, 1], [0, 9], [6, 9]]), False),
    ],
)
def test_boxes_that_touch_are_not_apart_even_where_no_gap_is_asked(
    boxes: tuple[list[list[int]], ...], leaks: bool
) -> None:
    store = one(volume(y=9, x=9))
    entries = [
        {"id": "eeg/a", "split": side, "box_zyx": box}
        for side, box in zip(HALVES, boxes, strict=True)
    ]
    found = errors(audit(sealed(store, "subject", None, *entries), store))
    assert [where for where, _ in found] == ["eeg/a"] * leaks


@pytest.mark.parametrize(("start_s", "leaks"), [(50.0, True), (50.5, False)])
def test_parts_that_touch_are_not_apart_even_where_no_gap_is_asked(
    start_s: float, leaks: bool
) -> None:
    store = one()
    split = sealed(
        store, "subject", None, cut("a", "train", 0.0, 50.0), cut("a", "test", start_s, 90.0)
    )
    found = errors(audit(split, store))
    assert [where for where, _ in found] == ["eeg/a"] * leaks


def test_a_block_split_asks_for_voxels_and_for_the_window_in_time() -> None:
    store = SyntheticStore()
    movie = volume(y=40, x=60)
    movie["summary"] |= {"start_s": 0.0, "rate_hz": 1.0, "n": 90}
    store.add("eeg/a", recording("a", {"bold": movie}, subject="a"))
    split = make_split(store, "eeg", by="block", gap_voxels=4, fractions=HALVES)
    assert errors(audit(split, store, window_s=5.0)) == []
    near: list[Any] = [dict(entry) for entry in split.assignments]
    near[0]["box_zyx"] = [[0, 1], [0, 40], [0, 29]]
    ((where, found),) = errors(
        audit(Split.sealed("eeg", "block", "", HALVES, 4, near), store, window_s=5.0)
    )
    assert where == "eeg/a"
    assert (
        found == "train (box [[0, 1], [0, 40], [0, 29]]) and test (box [[0, 1], [0, 40], [32, 60]])"
    )


def test_what_lies_between_is_said_in_the_units_that_count() -> None:
    assert str(Need(0.0, 0)) == "at least something between the sides"
    assert str(Need(1.5, 0)) == "at least 1.5 s between the sides"
    assert str(Need(0.0, 1)) == "at least 1 voxels between the sides"
    assert str(Need(2.0, 3)) == "at least 2 s or 3 voxels between the sides"
    entry: Any = {"id": "d/r", "version": "0" * 16, "group": "d/r", "split": "val"}
    assert str(part_of(entry)) == "val (whole)"
    boxed: Any = {**entry, "box_zyx": [[0, 1], [2, 3], [4, 5]]}
    assert str(part_of(boxed)) == ("val (box [[0, 1], [2, 3], [4, 5]])")


def session(*starts: str | None, sides: tuple[str, ...] = ("train", "test")) -> list[Problem]:
    """Findings about recordings of one session, each cut into the sides."""
    store = SyntheticStore()
    entries: list[dict[str, Any]] = []
    for number, start in enumerate(starts):
        facts: Any = {"start_time": start} if start else {}
        name = f"r{number}"
        store.add(f"eeg/{name}", recording(name, subject="s", session="1", **facts))
        width = 90.0 / len(sides)
        entries += [
            cut(name, side, i * width, i * width + width - 5) for i, side in enumerate(sides)
        ]
    found = audit(sealed(store, "time", 5.0, *entries), store)
    return [problem for problem in found if problem.where == "session s/1"]


WHEN = "2020-01-01T10:00:00+00:00"


@pytest.mark.parametrize("start", [None, "2020-01-01T10:00:00", "yesterday"])
def test_a_session_of_unknown_times_is_warned_of_where_it_matters(start: str | None) -> None:
    (found,) = session(WHEN, start)
    assert found.level == "warning"
    assert found.found == "cut recordings without start_time: eeg/r1"
    assert session(start) == []
    assert session(start, start, sides=("train",)) == []


def test_a_session_is_compared_however_many_recordings_it_has() -> None:
    assert session(WHEN, WHEN, WHEN) == []
    (found, *_) = session(WHEN, "2020-01-01T10:00:00+00:00", "2020-01-01T10:00:02+00:00")
    assert found.level == "error"
    assert found.expected == "at least 5 s between the sides"
    assert "after the first start" in found.found


def test_two_versions_of_one_recording_are_no_twins() -> None:
    store = SyntheticStore()
    same = recording("a", subject="a")
    old = store.add("eeg/a", same)
    new = store.add("eeg/a", {**same, "attrs": {**same["attrs"], "task": "rest"}})
    entries: list[Any] = [
        {
            "id": "eeg/a",
            "version": version,
            "group": "a",
            "split": side,
            "start_s": at,
            "stop_s": at + 40,
        }
        for version, side, at in ((old, "train", 0.0), (new, "test", 60.0))
    ]
    split = Split.sealed("eeg", "time", "", HALVES, 5.0, entries)
    assert {problem.level for problem in audit(split, store)} == {"note"}


@pytest.mark.parametrize(("regular", "level"), [(True, "error"), (False, "warning")])
def test_twins_are_put_on_one_clock_where_both_have_one(regular: bool, level: str) -> None:
    """The same signal twice, the second 1000 s later by its clock and cut 3 s too near."""
    store, same = SyntheticStore(), sha("one signal")
    later = timeseries(start_s=1000.0, signal_adc=same)
    if not regular:
        del later["summary"]["rate_hz"], later["summary"]["n"]
    store.add("eeg/a", recording("a", {"eeg": timeseries(signal_adc=same)}, subject="a"))
    store.add("eeg/b", recording("b", {"eeg": later}, subject="b"))
    split = sealed(
        store, "time", 5.0,
        cut("a", "train", 0.0, 45.0), cut("a", "test", 55.0, 100.0),
        cut("b", "train", 1000.0, 1053.0), cut("b", "test", 1058.0, 1100.0),
    )  # fmt: skip
    assert [p.level for p in audit(split, store) if "same values" in p.found] == [level]


def test_subjects_cut_within_their_recordings_are_all_named() -> None:
    store = subjects(3, sessions=2)
    (found,) = audit(make_split(store, "eeg", by="time", gap_s=2.0, fractions=HALVES), store)
    assert found.level == "note"
    assert found.found.startswith("a within-recording split: 00, 01, 02, eeg/sub-00_ses-0, ")
    assert "00/0" not in found.found


def test_every_session_is_looked_at_whatever_the_one_before() -> None:
    """Session 1 has one recording, session 2 unknown times; in session 3 sides overlap."""
    store = SyntheticStore()
    entries: list[dict[str, Any]] = []
    shown = {"a": ("1", WHEN), "b": ("2", ""), "c": ("2", ""), "d": ("3", WHEN), "e": ("3", "")}
    for name, (number, start) in shown.items():
        start = "2020-01-01T10:00:02+00:00" if name == "e" else start
        facts: Any = {"start_time": start} if start else {}
        store.add(f"eeg/{name}", recording(name, subject="s", session=number, **facts))
        entries += [cut(name, "train", 0.0, 40.0), cut(name, "test", 45.0, 85.0)]
    found = audit(sealed(store, "time", 5.0, *entries), store)
    levels = {p.where: p.level for p in found if p.where.startswith("session ")}
    assert levels == {"session s/2": "warning", "session s/3": "error"}


def test_every_box_is_compared_with_every_other() -> None:
    far, near, other = (part_of(entry) for entry in (
        {"id": "d/r", "version": "", "group": "", "split": side, "box_zyx": [[0, 1], [0, 1], x]}
        for side, x in (("train", [0, 5]), ("train", [20, 30]), ("test", [29, 40]))
    ))  # fmt: skip
    assert list(too_close([far, near, other], Need(0.0, 1))) == [(near, other)]


def test_a_part_is_told_once_for_each_side_it_comes_too_close_to() -> None:
    parts = [Part("r", side, *times, None) for side, times in (
        ("train", (0.0, 10.0)), ("train", (2.0, 20.0)), ("test", (5.0, 6.0)),
    )]  # fmt: skip
    assert list(too_close(parts, Need(1.0, 0))) == [(parts[1], parts[2])]


def test_shares_that_sum_to_nearly_one_reach_the_last_sample() -> None:
    shares = {"train": 0.5, "test": 0.4999995}
    assert count_parts(10**9, shares, 2)[-1][1] == 10**9
    assert time_parts(Clock(0.0, 1e9), shares, 2.0)[-1][1] == 1e9


def test_the_bytes_of_a_file_are_those_of_the_format(tmp_path: Path) -> None:
    entry: Any = {"id": "eeg/a", "version": "0" * 16, "group": "é", "split": "test"}
    split = Split.sealed("eeg", "subject", "", {"test": 1.0}, None, [entry])
    assert split.write(tmp_path / "a.json").read_text("utf-8") == (
        '{\n "format": "neurodata-split/1",\n "dataset": "eeg",\n "by": "subject",\n "salt": "",\n'
        ' "fractions": {\n  "test": 1.0\n },\n "gap": null,\n "assignments": [\n  {\n'
        '   "id": "eeg/a",\n   "version": "0000000000000000",\n   "group": "é",\n'
        f'   "split": "test"\n  }}\n ],\n "digest": "{split.digest}"\n}}\n'
    )


def test_recordings_of_unknown_content_are_no_twins() -> None:
    store = SyntheticStore()
    for name in ("a", "b"):
        made = recording(name, subject=name)
        store.add(f"eeg/{name}", {**made, "content": "", "inputs": []})
    split = sealed(store, "subject", None, *({"id": f"eeg/{n}", "split": n} for n in "ab"))
    assert [p.found for p in audit(split, store) if "same content" in p.found] == []


def test_groups_after_one_on_a_single_side_are_looked_at() -> None:
    store = subjects(6, sessions=2)
    entries: list[Any] = [dict(entry) for entry in make_split(store, "eeg").assignments]
    entries[-1]["split"] = "val" if entries[-1]["split"] != "val" else "test"
    shares = {"train": 0.7, "val": 0.15, "test": 0.15}
    found = errors(audit(Split.sealed("eeg", "subject", "", shares, None, entries), store))
    assert {where for where, _ in found} == {"group 05", "subject 05"}


def test_hints_fit_what_was_found() -> None:
    store = subjects(3, sessions=4)
    hints = {p.hint for p in audit(make_split(store, "eeg", by="session"), store)}
    assert hints == {"scores will say nothing about new subjects"}
    pair = SyntheticStore()
    same = recording("a", subject="eeg/a")
    pair.add("eeg/a", same)
    pair.add("eeg/b", {**same, "attrs": {"subject": "eeg/b"}})
    whole = [{"id": f"eeg/{name}", "split": side} for name, side in (("a", "train"), ("b", "test"))]
    (apart,) = audit(sealed(pair, "subject", None, *whole), pair)
    assert apart.expected == "different recordings on different sides"
    (beside,) = audit(sealed(pair, "subject", None, *({**e, "split": "x"} for e in whole)), pair)
    assert beside.expected == "different recordings"
    assert beside.hint == "see that they are not one recording under two names"


@pytest.mark.parametrize(("size", "levels"), [(0, []), (1, ["note"])])
def test_an_empty_file_in_common_is_nothing(size: int, levels: list[str]) -> None:
    store = SyntheticStore()
    for name in ("a", "b"):
        made = recording(name, subject=f"eeg/{name}")
        made["inputs"].append({"size": size, "sha256": sha("shared")})
        store.add(f"eeg/{name}", made)
    split = sealed(store, "subject", None, *({"id": f"eeg/{n}", "split": n} for n in "ab"))
    assert [p.level for p in audit(split, store)] == levels


def test_numbers_of_absent_axes_count_once() -> None:
    for y, found in ((3, 0), (4, 1)):
        assert len(facts_of(recording("a", {"t1w": volume(y=y, x=5)})).arrays) == found
    clock = clocks_of({"summary": {"eeg": {"start_s": 2.0, "rate_hz": 4.0, "n": 1}}})["eeg"]
    assert clock == Clock(2.0, 2.25, 4.0, 1)
    assert (Clock(0.0, 1.0).rate_hz, Clock(0.0, 1.0).n) == (None, 0)


def test_a_step_fitted_on_whole_recordings_is_told_where_these_have_two_sides() -> None:
    store = SyntheticStore()
    step = {"step": "robust_scale", "fitted_on": "each recording by itself"}
    store.add("eeg/a", {**recording("a", subject="a"), "steps": [step]})
    split = make_split(store, "eeg", by="time", gap_s=1.0, fractions=HALVES)
    (found,) = [p for p in audit(split, store) if "robust_scale" in p.found]
    assert (found.level, found.expected) == ("warning", "numbers of one side")


def test_what_is_wrong_with_fractions_is_said() -> None:
    told = {"{}": {}, "'x'": "x", "a = 1.5": {"a": 1.5, "b": -0.5}, "b = 0": {"a": 1, "b": 0}}
    for found, fractions in told.items():
        assert wrong_fractions(fractions) == found


def test_what_a_cut_lacks_is_said() -> None:
    (timed,) = malformed(document(by="time", gap=1.0))
    assert timed.expected == "start_s and stop_s, as the split is by time"
    (boxed,) = malformed(document(by="block", gap=1))
    assert boxed.expected == "box_zyx, as the split is by block"
    with pytest.raises(SplitError, match=r"more than the gaps \(98 s\) and a sample for every"):
        make_split(one(timeseries(n=980)), "eeg", by="time", gap_s=98.0, fractions=HALVES)
    with pytest.raises(SplitError, match=r"the gaps \(60 voxels\) and a voxel for every"):
        make_split(one(volume()), "eeg", by="block", gap_voxels=60, fractions=HALVES)


def test_slow_clocks_lose_no_more_than_the_gap() -> None:
    assert time_parts(Clock(0.0, 200.0, 0.5, 100), HALVES, 20.0) == [(0.0, 90.0), (110.0, 200.0)]


def test_parts_of_several_recordings_are_compared_between_them_only() -> None:
    parts = [Part("a", "train", 0.0, 5.0, None), Part("a", "test", 5.0, 9.0, None),
             Part("b", "train", 99.0, 101.0, None)]  # fmt: skip
    assert list(too_close(parts, Need(1.0, 0))) == []
    assert len(list(too_close(parts[:2], Need(1.0, 0)))) == 1


def test_what_is_not_of_the_form_is_never_written_nor_digested(tmp_path: Path) -> None:
    from dataclasses import replace as changed

    split: Any = make_split(subjects(5), "eeg")
    with pytest.raises(SplitError, match="salt"):
        changed(split, salt=3).write(tmp_path / "a.json")
    for value in (math.nan, math.inf, {1, 2}, "\ud800"):
        with pytest.raises(SplitError, match="no strict JSON"):
            digest_of({"a": value}, "here")
    assert os.listdir(tmp_path) == []


def test_the_shares_are_these_unless_others_are_asked_for() -> None:
    split = make_split(subjects(20), "eeg")
    assert dict(split.fractions) == {"train": 0.7, "val": 0.15, "test": 0.15}
    assert part_of(split.assignments[0]).moved(3.0) == part_of(split.assignments[0])
    assert Part("a", "x", 1.0, 2.0, None).moved(3.0) == Part("a", "x", 4.0, 5.0, None)


@pytest.mark.parametrize("wrong", [{}, {"id": "eeg/b", "split": "train"}, "eeg/b", None])
def test_assignments_of_another_form_are_refused_before_they_are_sorted(wrong: Any) -> None:
    right = {"id": "eeg/a", "version": "0" * 16, "group": "a", "split": "train"}
    with pytest.raises(SplitError, match="assignments"):
        Split.sealed("eeg", "subject", "", {"train": 1.0}, None, [right, wrong])
