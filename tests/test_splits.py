from __future__ import annotations

import json
import math
import os
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from neurodata.errors import (
    IntegrityError,
    InvalidInputError,
    LeakageError,
    NotFoundError,
    SplitError,
)
from neurodata.splits import Split, make_split
from neurodata.splits.facts import Clock, clocks_of
from neurodata.splits.make import block_parts, count_parts, time_parts
from tests.synthetic_catalogue import (
    SyntheticStore,
    irregular,
    recording,
    subjects,
    timeseries,
    volume,
)

SIDES = {"train": 0.7, "val": 0.15, "test": 0.15}
shares = st.lists(st.integers(1, 20), min_size=1, max_size=4).map(
    lambda parts: {f"side{i}": part / sum(parts) for i, part in enumerate(parts)}
)


def sides_by_group(split: Split) -> dict[str, str]:
    return {entry["group"]: entry["split"] for entry in split.assignments}


def stripped(split: Split) -> list[dict[str, Any]]:
    return [dict(entry) for entry in split.assignments]


# --- the file ---------------------------------------------------------------------------------


def test_file_has_the_keys_of_the_contract_and_the_same_bytes_every_time(tmp_path: Path) -> None:
    split = make_split(subjects(5), "eeg")
    split.write(tmp_path / "a.json")
    make_split(subjects(5), "eeg").write(tmp_path / "b.json")
    content = json.loads((tmp_path / "a.json").read_bytes())
    assert list(content) == [
        "format", "dataset", "by", "salt", "fractions", "gap", "assignments", "digest",
    ]  # fmt: skip
    assert content["format"] == "neurodata-split/1"
    assert set(content["assignments"][0]) == {"id", "version", "group", "split"}
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert Split.read(tmp_path / "a.json") == split
    assert sorted(os.listdir(tmp_path)) == ["a.json", "b.json"]


def test_digest_is_sha256_of_canonical_json(tmp_path: Path) -> None:
    """The expected value was made with `printf '%s' '{"assignments":...}' | sha256sum`."""
    entry: Any = {"id": "eeg/a", "version": "0" * 16, "group": "é", "split": "test"}
    split = Split.sealed("eeg", "subject", "", {"test": 1.0}, None, [entry])
    assert split.digest == "6ea08e17f04bb2cdaec9476cbf5f17ef59bce64285ce29c0f827528f3707608b"


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["assignments"][0].update(split="val"),
        lambda c: c["assignments"][0].update(version="f" * 16),
        lambda c: c["assignments"][0].update(group="other"),
        lambda c: c["assignments"].reverse(),
        lambda c: c["assignments"].pop(),
        lambda c: c.update(salt="x"),
        lambda c: c.update(by="session"),
        lambda c: c["fractions"].update(train=0.6, val=0.25),
        lambda c: c.update(digest="0" * 64),
    ],
)
def test_changed_file_is_refused(tmp_path: Path, change: Any) -> None:
    file = make_split(subjects(12), "eeg").write(tmp_path / "split.json")
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(IntegrityError) as caught:
        Split.read(file)
    error = caught.value
    assert str(file) in error.where
    assert all((error.found, error.expected, error.hint))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda c: c.update(format="neurodata-split/2"), "format"),
        (lambda c: c.update(extra=1), "split"),
        (lambda c: c.pop("salt"), "split"),
        (lambda c: c.update(dataset="../eeg"), "dataset"),
        (lambda c: c.update(by=""), "by"),
        (lambda c: c.update(gap=1.0), "gap"),
        (lambda c: c.update(by="time", gap=0), "gap"),
        (lambda c: c.update(by="block", gap=1.5), "gap"),
        (lambda c: c.update(by="time", gap=True), "gap"),
        (lambda c: c.update(fractions={"train": 0.5}), "fractions"),
        (lambda c: c.update(fractions={"train": 2.0, "val": -1.0}), "fractions"),
        (lambda c: c.update(fractions=[]), "fractions"),
        (lambda c: c["fractions"].update(spare=1e-9), "split spare"),
        (lambda c: c.update(assignments=[]), "assignments"),
        (lambda c: c["assignments"].append(7), "assignments[12]"),
        (lambda c: c["assignments"].append(c["assignments"][3]), "assignments[12]"),
        (lambda c: c["assignments"][1].update(note="hi"), "assignments[1]"),
        (lambda c: c["assignments"][1].update(start_s=0.0), "assignments[1]"),
        (lambda c: c["assignments"][1].update(start_s=2.0, stop_s=1.0), "assignments[1]"),
        (lambda c: c["assignments"][1].update(start_s=0, stop_s=10**400), "assignments[1]"),
        (lambda c: c["assignments"][1].update(box_zyx=[[0, 1], [0, 2]]), "assignments[1].box"),
        (lambda c: c["assignments"][1].update(box_zyx=[[0, 1], [0, 2], [3, 3]]), "assignments[1]"),
        (lambda c: c["assignments"][1].update(id="eeg/../x"), "assignments[1].id"),
        (lambda c: c["assignments"][1].update(id="meg/sub-01"), "assignments[1].id"),
        (lambda c: c["assignments"][1].update(version="newest"), "assignments[1].version"),
        (lambda c: c["assignments"][1].update(split="other"), "assignments[1].split"),
        (lambda c: c["assignments"][1].update(group=None), "assignments[1].group"),
        (lambda c: c["assignments"][1].update(group=""), "assignments[1].group"),
    ],
)
def test_file_of_another_form_is_refused_with_the_place(
    tmp_path: Path, change: Any, where: str
) -> None:
    file = make_split(subjects(12), "eeg").write(tmp_path / "split.json")
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(SplitError) as caught:
        Split.read(file)
    error = caught.value
    assert error.where.startswith(f"{file}: {where}")
    assert all((error.found, error.expected, error.hint))


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", '{"a": 1, "a": 2}', '{"format": NaN}', "[" * 100_000, "\xff"]
)
def test_what_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "split.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(SplitError):
        Split.read(file)


def test_missing_file_and_duplicate_key_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="no such file"):
        Split.read(tmp_path / "absent.json")
    file = make_split(subjects(5), "eeg").write(tmp_path / "split.json")
    file.write_text(file.read_text().replace('"salt": ""', '"salt": "",\n "salt": ""'))
    with pytest.raises(SplitError, match="duplicate keys"):
        Split.read(file)


def test_infinite_time_and_lone_surrogate_in_a_file_are_refused(tmp_path: Path) -> None:
    file = make_split(long_recordings(1), "eeg", by="time", gap_s=1.0).write(tmp_path / "s.json")
    text = file.read_text()
    file.write_text(text.replace('"stop_s": 100.0', '"stop_s": 1e999'))
    with pytest.raises(SplitError, match="finite"):
        Split.read(file)
    file.write_text(text.replace('"salt": ""', '"salt": "\\ud800"'))
    with pytest.raises(SplitError):
        Split.read(file)


def test_write_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = make_split(subjects(5), "eeg").write(tmp_path / "split.json")
    before = file.read_bytes()
    other = make_split(subjects(9), "eeg")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SplitError, match="No space left"):
        other.write(file)
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["split.json"]


def test_write_refuses_a_changed_or_broken_split_and_a_missing_folder(tmp_path: Path) -> None:
    split = make_split(subjects(5), "eeg")
    with pytest.raises(IntegrityError):
        replace(split, salt="x").write(tmp_path / "split.json")
    with pytest.raises(SplitError, match="no recording"):
        replace(split, fractions={**SIDES, "extra": 1e-9}).write(tmp_path / "split.json")
    with pytest.raises(SplitError, match="cannot be written"):
        split.write(tmp_path / "absent" / "split.json")
    assert os.listdir(tmp_path) == []


@settings(deadline=None)
@given(st.data())
def test_any_change_of_content_changes_the_digest(data: st.DataObject) -> None:
    split = make_split(long_recordings(3), "eeg", by="time", gap_s=1.0)
    entries = stripped(split)
    entry = data.draw(st.sampled_from(entries))
    key = data.draw(st.sampled_from(sorted(entry)))
    if isinstance(entry[key], float):
        entry[key] = math.nextafter(entry[key], data.draw(st.sampled_from([-1e9, 1e9])))
    elif key == "version":
        entry[key] = data.draw(st.from_regex(r"[0-9a-f]{16}", fullmatch=True))
    elif key == "group":
        entry[key] = data.draw(st.text(st.characters(codec="utf-8"), min_size=1))
    elif key == "split":
        entry["start_s"] += 1e-6
    else:
        entry[key] += "x"
    changed: Any = entries
    assume(changed != stripped(split))
    again = Split.sealed("eeg", "time", "", SIDES, 1.0, changed)
    assert again.digest != split.digest


def test_order_of_assignments_does_not_matter_to_the_digest() -> None:
    split = make_split(subjects(7), "eeg")
    turned = list(reversed(split.assignments))
    assert Split.sealed("eeg", "subject", "", SIDES, None, turned) == split


def test_ids_assignments_and_sides() -> None:
    split = make_split(subjects(5, sessions=2), "eeg")
    assert {name: len(split.ids(name)) for name in SIDES} == {"train": 6, "val": 2, "test": 2}
    assert split.ids("val") == tuple(sorted(e["id"] for e in split.assignments_of("val")))
    assert split.splits_of(split.ids("val")[0]) == ("val",)
    assert split.splits_of("eeg/absent") == ()
    with pytest.raises(NotFoundError, match="train, val, test"):
        split.ids("valid")


def test_without_takes_recordings_out_and_moves_nobody_else() -> None:
    split = make_split(subjects(9), "eeg")
    gone = split.ids("train")[0]
    rest = split.without([gone])
    assert stripped(rest) == [entry for entry in stripped(split) if entry["id"] != gone]
    with pytest.raises(SplitError, match="no recording"):
        split.without(split.ids("val"))


# --- groups -----------------------------------------------------------------------------------


def test_five_subjects_fill_three_sides() -> None:
    split = make_split(subjects(5), "eeg")
    assert Counter(sides_by_group(split).values()) == {"train": 3, "val": 1, "test": 1}
    assert split.fractions == SIDES
    assert split.gap is None


def test_salt_changes_the_order_and_nothing_else_does() -> None:
    sides = {s: sides_by_group(make_split(subjects(20), "eeg", salt=s)) for s in ("", "a")}
    assert sides[""] != sides["a"]
    assert sides[""] == sides_by_group(make_split(subjects(20), "eeg"))


def test_groups_are_ordered_by_sha256_of_salt_and_group() -> None:
    """`printf 'salt00' | sha256sum` and so on, sorted, is the order 00, 04, 02, 01, 03."""
    split = make_split(subjects(5), "eeg", salt="salt", fractions={"a": 0.6, "b": 0.4})
    assert sides_by_group(split) == {
        "00": "a", "04": "a", "02": "b", "01": "a", "03": "b",
    }  # fmt: skip


def test_all_recordings_of_a_subject_stay_together() -> None:
    split = make_split(subjects(8, sessions=3), "eeg")
    for group in {entry["group"] for entry in split.assignments}:
        assert len({e["split"] for e in split.assignments if e["group"] == group}) == 1


def test_session_groups_are_sessions_of_a_subject() -> None:
    split = make_split(subjects(2, sessions=3), "eeg", by="session")
    groups = {f"0{i}/{j}" for i in range(2) for j in range(3)}
    assert set(sides_by_group(split)) == groups


def test_any_root_attribute_groups() -> None:
    store = SyntheticStore()
    for i in range(8):
        store.add(f"eeg/r{i}", recording(i, subject=str(i), device=f"amp{i % 4}", age_years=i // 2))
    split = make_split(store, "eeg", by="device")
    assert sorted(sides_by_group(split)) == ["amp0", "amp1", "amp2", "amp3"]
    assert sorted(sides_by_group(make_split(store, "eeg", by="age_years"))) == ["0", "1", "2", "3"]


def test_recordings_without_a_subject_are_listed_with_the_flag() -> None:
    store = subjects(5)
    store.add("eeg/nameless", recording("n", task="rest"))
    store.add("eeg/empty", recording("e", subject=""))
    with pytest.raises(SplitError) as caught:
        make_split(store, "eeg")
    message = str(caught.value)
    assert "eeg/empty, eeg/nameless" in message
    assert "--set subject=" in message
    assert "eeg/sub-00" not in message


def test_unknown_key_tells_which_are_stated() -> None:
    with pytest.raises(SplitError, match="stated are: session, subject"):
        make_split(subjects(5), "eeg", by="site")


def test_too_few_groups_and_empty_data_set_are_refused() -> None:
    with pytest.raises(SplitError, match="2 groups by subject"):
        make_split(subjects(2), "eeg")
    with pytest.raises(SplitError, match="no recording in the store"):
        make_split(subjects(2), "meg")


@pytest.mark.parametrize(
    "fractions",
    [{}, {"train": 0.7}, {"train": 1.0, "test": 0.0}, {"a/b": 1.0}, {"train": math.nan}],
)
def test_impossible_fractions_are_refused(fractions: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError):
        make_split(subjects(5), "eeg", fractions=fractions)


@pytest.mark.parametrize(
    "options",
    [
        {"by": "time"},
        {"by": "time", "gap_s": 0.0},
        {"by": "time", "gap_s": -1.0},
        {"by": "time", "gap_s": math.inf},
        {"by": "time", "gap_s": math.nan},
        {"by": "time", "gap_s": 1.0, "gap_voxels": 1},
        {"by": "block"},
        {"by": "block", "gap_voxels": 0},
        {"by": "block", "gap_voxels": 1.5},
        {"by": "block", "gap_s": 1.0},
        {"by": "subject", "gap_s": 1.0},
        {"by": "subject", "node": "eeg"},
    ],
)
def test_impossible_gaps_and_nodes_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        make_split(subjects(5), "eeg", **options)


@settings(deadline=None)
@given(st.integers(1, 40), shares, st.text(st.characters(codec="utf-8"), max_size=3))
def test_every_side_is_filled_and_within_one_group_of_its_quota(
    count: int, fractions: dict[str, float], salt: str
) -> None:
    assume(count >= len(fractions))
    split = make_split(subjects(count), "eeg", fractions=fractions, salt=salt)
    counts = Counter(sides_by_group(split).values())
    assert set(counts) == set(fractions)
    assert sum(counts.values()) == count
    if all(share * count >= 1 for share in fractions.values()):
        assert all(abs(counts[name] - share * count) < 1 for name, share in fractions.items())
    for name, share in fractions.items():
        assert counts[name] < share * count + 1


@settings(deadline=None)
@given(st.integers(3, 20), st.lists(st.integers(1, 6), min_size=1, max_size=4), shares)
def test_nobody_moves_when_newcomers_come(
    first: int, steps: list[int], fractions: dict[str, float]
) -> None:
    assume(first >= len(fractions))
    split = make_split(subjects(first, sessions=1), "eeg", fractions=fractions)
    count = first
    for i, step in enumerate(steps):
        count += step
        before = split
        split = make_split(subjects(count, sessions=1 + i % 2), "eeg", existing=before)
        assert [e for e in stripped(split) if e["id"] in ids_of(before)] == stripped(before)
        assert len({(e["group"], e["split"]) for e in split.assignments}) == count
    sides = Counter(sides_by_group(split).values())
    grown = Counter(sides_by_group(before).values())
    for name, share in fractions.items():
        assert sides[name] == grown[name] or sides[name] < share * count + 1


def ids_of(split: Split) -> set[str]:
    return {entry["id"] for entry in split.assignments}


def test_newcomers_fill_deficits_and_known_subjects_keep_their_side() -> None:
    before = make_split(subjects(5), "eeg", fractions={"train": 0.5, "test": 0.5})
    lacking = min(SIDES.keys() & {"train", "test"}, key=lambda name: len(before.ids(name)))
    after = make_split(subjects(6, sessions=2), "eeg", existing=before)
    assert sides_by_group(after)["05"] == lacking
    assert {g: s for g, s in sides_by_group(after).items() if g != "05"} == sides_by_group(before)


def test_recordings_that_left_the_store_or_have_a_new_version_stay_as_they_are() -> None:
    before = make_split(subjects(6), "eeg")
    store = subjects(5)
    store.add("eeg/sub-00_ses-0", recording("corrected", subject="00"))
    assert make_split(store, "eeg", existing=before) == before


def test_what_contradicts_an_existing_split_is_refused() -> None:
    before = make_split(subjects(6), "eeg", salt="a")
    assert make_split(subjects(6), "eeg", existing=before, salt="a", fractions=SIDES) == before
    for change in ({"salt": "b"}, {"by": "session"}, {"fractions": {"train": 0.5, "test": 0.5}}):
        with pytest.raises(SplitError, match="as in the existing split"):
            make_split(subjects(6), "eeg", existing=before, **change)
    with pytest.raises(SplitError, match="as in the existing split"):
        make_split(subjects(6, dataset="meg"), "meg", existing=before)


def test_existing_split_with_a_group_on_two_sides_is_refused() -> None:
    split = make_split(subjects(6, sessions=2), "eeg")
    entries = stripped(split)
    entries[0]["split"] = "test" if entries[0]["split"] != "test" else "train"
    leaking = Split.sealed("eeg", "subject", "", SIDES, None, entries)  # type: ignore[arg-type]
    with pytest.raises(LeakageError):
        make_split(subjects(7, sessions=2), "eeg", existing=leaking)


# --- time -------------------------------------------------------------------------------------


def long_recordings(count: int, **options: Any) -> SyntheticStore:
    store = SyntheticStore()
    for i in range(count):
        store.add(f"eeg/r{i}", recording(i, {"eeg": timeseries(**options)}, subject=str(i)))
    return store


def test_recordings_are_cut_in_order_with_a_gap() -> None:
    split = make_split(long_recordings(1), "eeg", by="time", gap_s=2.0)
    cuts = [(e["split"], e["start_s"], e["stop_s"]) for e in split.assignments]
    assert cuts == [("train", 0.0, 67.2), ("val", 69.2, 83.6), ("test", 85.6, 100.0)]
    assert split.gap == 2.0
    assert {e["group"] for e in split.assignments} == {"eeg/r0"}


def test_cut_follows_the_order_of_the_fractions_even_from_an_existing_split() -> None:
    late = {"test": 0.25, "train": 0.75}
    first = make_split(long_recordings(1), "eeg", by="time", gap_s=1.0, fractions=late)
    both = make_split(
        long_recordings(2), "eeg", existing=first, fractions={"train": 0.75, "test": 0.25}
    )
    starts = {(e["id"], e["split"]): e["start_s"] for e in both.assignments}
    assert starts["eeg/r0", "test"] == starts["eeg/r1", "test"] == 0.0
    assert both.gap == 1.0
    with pytest.raises(SplitError, match="existing split"):
        make_split(long_recordings(2), "eeg", existing=first, gap_s=2.0)


def test_the_longest_time_series_is_cut_unless_a_node_is_named() -> None:
    nodes = {
        "ieeg": timeseries(n=1000, rate_hz=10.0),
        "behaviour": timeseries(n=200, rate_hz=10.0),
        "units": irregular(0.0, 400.0, "spikes"),
    }
    store = SyntheticStore()
    store.add("eeg/r", recording(0, nodes, subject="1"))

    def ends(node: str | None) -> float:
        split = make_split(store, "eeg", by="time", gap_s=1.0, node=node)
        return max(entry["stop_s"] for entry in split.assignments)

    assert (ends(None), ends("behaviour")) == (100.0, 20.0)
    assert ends("units") == math.nextafter(400.0, math.inf)
    with pytest.raises(SplitError, match="behaviour, ieeg, units"):
        ends("meg")


def test_spikes_and_irregular_clocks_keep_their_last_sample() -> None:
    store = SyntheticStore()
    store.add("eeg/a", recording("a", {"units": irregular(5.0, 65.0, "spikes")}, subject="1"))
    store.add("eeg/b", recording("b", {"trace": irregular(-1.0, 30.0)}, subject="2"))
    split = make_split(store, "eeg", by="time", gap_s=1.0)
    first = {e["id"]: e["start_s"] for e in split.assignments if e["split"] == "train"}
    last = {e["id"]: e["stop_s"] for e in split.assignments if e["split"] == "test"}
    assert first == {"eeg/a": 5.0, "eeg/b": -1.0}
    assert last["eeg/a"] > 65.0
    assert last["eeg/b"] > 30.0


def test_movie_is_cut_on_its_clock() -> None:
    movie = volume(z=3, y=8, x=8)
    movie["summary"] |= {"start_s": 0.0, "rate_hz": 0.5, "n": 200}
    store = SyntheticStore()
    store.add("fmri/r", recording("m", {"bold": movie}, subject="1"))
    split = make_split(store, "fmri", by="time", gap_s=20.0)
    assert [e["stop_s"] for e in split.assignments][-1] == 400.0


def test_short_recordings_and_those_without_a_clock_are_named() -> None:
    store = long_recordings(2)
    store.add("eeg/brief", recording("b", {"eeg": timeseries(n=30)}, subject="7"))
    with pytest.raises(SplitError, match=r"eeg/brief \(3 s\)"):
        make_split(store, "eeg", by="time", gap_s=2.0)
    store = SyntheticStore()
    store.add("eeg/still", recording("s", {"t1w": volume()}, subject="7"))
    store.add("eeg/unsure", recording("u", {"units": irregular(0.0, math.nan, "spikes")}))
    for name in ("still", "unsure"):
        with pytest.raises(SplitError, match=f"eeg/{name}: found no time axis"):
            make_split(store, "eeg", by="time", gap_s=2.0)
        del store.manifests[f"eeg/{name}"]


@settings(deadline=None)
@given(
    n=st.integers(1, 5000),
    rate_hz=st.sampled_from([0.5, 1.0, 3.0, 30.00003, 128.0, 600.615, 1000.0, 44100.0])
    | st.floats(0.01, 5e4),
    start_s=st.sampled_from([0.0, -0.1, 0.3, 12345.678]) | st.floats(-1e6, 1e6),
    gap_s=st.floats(1e-4, 1e3),
    fractions=shares,
)
def test_no_sample_is_in_two_parts_and_the_gap_is_kept(
    n: int, rate_hz: float, start_s: float, gap_s: float, fractions: dict[str, float]
) -> None:
    clock = Clock(start_s, start_s + n / rate_hz, rate_hz, n)
    parts = time_parts(clock, fractions, gap_s)
    assume(parts)
    time = start_s + np.arange(n) / rate_hz
    inside = np.array([(time >= start) & (time < stop) for start, stop in parts])
    assert inside.sum(axis=0).max() == 1
    assert inside.any(axis=1).all()
    assert inside[0, 0]
    assert inside[-1, -1]
    for (_, stop), (start, _) in pairwise(parts):
        assert start - stop >= gap_s
        assert Fraction(start) - Fraction(stop) < Fraction(gap_s) + Fraction(3.1 / rate_hz)
        assert start in time
        assert stop in time


def test_irregular_clock_is_cut_by_the_shares_of_what_the_gaps_leave() -> None:
    thirds = {"train": 0.5, "val": 0.25, "test": 0.25}
    parts = time_parts(Clock(10.0, 54.0), thirds, 2.0)
    assert parts == [(10.0, 30.0), (32.0, 42.0), (44.0, 54.0)]


def test_clock_without_a_count_has_that_of_its_dimension() -> None:
    node = timeseries(n=100, rate_hz=10.0)
    del node["summary"]["n"], node["summary"]["stop_s"]
    store = SyntheticStore()
    store.add("eeg/a", recording("a", {"eeg": node}, subject="1"))
    split = make_split(store, "eeg", by="time", gap_s=1.0)
    assert split.assignments[-1]["stop_s"] == 10.0


@pytest.mark.parametrize(("rate_hz", "n"), [(0.0, 100), (-1.0, 100), (math.inf, 100), (1.0, 0)])
def test_impossible_clock_is_no_clock(rate_hz: float, n: int) -> None:
    summary = {"start_s": 0.0, "rate_hz": rate_hz, "n": n}
    assert clocks_of({"summary": {"eeg": summary}}) == {}


def test_gap_that_rounding_would_shorten_gets_one_sample_more() -> None:
    """On a clock of 10 Hz, 2.8 - 2.6 is 0.19999999999999973."""
    assert 2.8 - 2.6 < 0.2
    halves = {"a": 0.5, "b": 0.5}
    assert time_parts(Clock(0.0, 5.4, 10.0, 54), halves, 0.2) == [(0.0, 2.6), (2.9, 5.4)]
    assert time_parts(Clock(0.0, 5.4, 10.0, 54), halves, 0.25) == [(0.0, 2.6), (2.9, 5.4)]


@settings(deadline=None)
@given(
    start_s=st.floats(-1e4, 1e4),
    length_s=st.floats(0.0, 1e4),
    gap_s=st.floats(1e-4, 1e3),
    fractions=shares,
)
def test_parts_of_an_irregular_clock_are_apart_and_reach_both_ends(
    start_s: float, length_s: float, gap_s: float, fractions: dict[str, float]
) -> None:
    clock = Clock(start_s, math.nextafter(start_s + length_s, math.inf))
    parts = time_parts(clock, fractions, gap_s)
    assume(parts)
    assert (parts[0][0], parts[-1][1]) == (clock.start_s, clock.stop_s)
    assert all(start < stop for start, stop in parts)
    assert all(b[0] - a[1] >= gap_s for a, b in pairwise(parts))


@settings(deadline=None)
@given(n=st.integers(0, 3000), gap=st.integers(1, 50), fractions=shares)
def test_counts_are_cut_without_overlap_to_within_one_of_the_shares(
    n: int, gap: int, fractions: dict[str, float]
) -> None:
    parts = count_parts(n, fractions, gap)
    used = n - gap * (len(fractions) - 1)
    if not parts:
        assert used < len(fractions) or min(fractions.values()) * used < 1
        return
    assert (parts[0][0], parts[-1][1]) == (0, n)
    assert all(b[0] - a[1] == gap for a, b in pairwise(parts))
    for (low, high), share in zip(parts, fractions.values(), strict=True):
        assert abs((high - low) - share * used) <= 1 + 1e-9


# --- blocks -----------------------------------------------------------------------------------


def test_volume_is_cut_along_its_longest_axis() -> None:
    store = SyntheticStore()
    store.add("em/a", recording("a", {"em": volume(z=10, y=120, x=60)}, subject="1"))
    store.add("em/b", recording("b", {"em": volume(z=1, y=50, x=104)}, subject="2"))
    split = make_split(store, "em", by="block", gap_voxels=4, fractions={"train": 0.5, "test": 0.5})
    boxes = {(e["id"], e["split"]): e["box_zyx"] for e in split.assignments}
    assert boxes == {
        ("em/a", "train"): [[0, 10], [0, 58], [0, 60]],
        ("em/a", "test"): [[0, 10], [62, 120], [0, 60]],
        ("em/b", "train"): [[0, 1], [0, 50], [0, 50]],
        ("em/b", "test"): [[0, 1], [0, 50], [54, 104]],
    }
    assert (split.gap, type(split.gap)) == (4, int)


def test_equal_axes_are_cut_along_the_first() -> None:
    assert block_parts((9, 9, 9), {"a": 0.5, "b": 0.5}, 1)[1] == [[5, 9], [0, 9], [0, 9]]


def test_several_volumes_of_other_shape_need_a_node() -> None:
    nodes = {"raw": volume(z=10, y=40, x=60), "small": volume(z=10, y=20, x=30)}
    store = SyntheticStore()
    store.add("em/a", recording("a", nodes, subject="1"))
    with pytest.raises(SplitError, match="raw, small"):
        make_split(store, "em", by="block", gap_voxels=2)
    split = make_split(store, "em", by="block", gap_voxels=2, node="small")
    assert split.assignments_of("test")[0]["box_zyx"][2][1] == 30


def test_volumes_too_small_and_recordings_without_one_are_named() -> None:
    store = SyntheticStore()
    store.add("em/a", recording("a", {"em": volume(y=5, x=6)}, subject="1"))
    with pytest.raises(SplitError, match=r"em/a \(6 voxels\)"):
        make_split(store, "em", by="block", gap_voxels=3)
    with pytest.raises(SplitError, match="no volume"):
        make_split(subjects(1), "eeg", by="block", gap_voxels=3)
