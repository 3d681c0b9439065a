from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodata.errors import InvalidInputError, Problem
from neurodata.splits import Split, audit, make_split
from tests.synthetic_catalogue import (
    SyntheticStore,
    irregular,
    recording,
    sha,
    subjects,
    timeseries,
    volume,
)

SIDES = {"train": 0.7, "val": 0.15, "test": 0.15}


def of(problems: list[Problem], level: str) -> list[Problem]:
    return [found for found in problems if found.level == level]


def sealed(store: SyntheticStore, by: str, gap: float | None, *entries: dict[str, Any]) -> Split:
    """Return a split of hand-made entries; sides are those that are named."""
    whole = [
        {"version": store.version(e["id"]), "group": e["id"], **e} if "version" not in e else e
        for e in entries
    ]
    names = sorted({e["split"] for e in whole})
    dataset = whole[0]["id"].partition("/")[0]
    shares = {name: 1 / len(names) for name in names}
    return Split.sealed(dataset, by, "", shares, gap, whole)  # type: ignore[arg-type]


def cut(name: str, side: str, start_s: float, stop_s: float) -> dict[str, Any]:
    return {"id": f"eeg/{name}", "split": side, "start_s": start_s, "stop_s": stop_s}


def two(**options: Any) -> SyntheticStore:
    store = SyntheticStore()
    for name in ("a", "b"):
        store.add(f"eeg/{name}", recording(name, {"eeg": timeseries()}, subject=name, **options))
    return store


def whole_pair(store: SyntheticStore, by: str = "subject") -> Split:
    return sealed(
        store, by, None, {"id": "eeg/a", "split": "train"}, {"id": "eeg/b", "split": "test"}
    )


@pytest.mark.parametrize("by", ["subject", "device"])
def test_clean_split_by_groups_has_no_finding(by: str) -> None:
    store = SyntheticStore()
    for i in range(12):
        store.add(f"eeg/r{i}", recording(i, subject=f"s{i // 2}", session="1", device=f"d{i // 4}"))
    assert audit(make_split(store, "eeg", by=by), store) == []


def test_clean_cut_is_only_noted_as_within_recordings() -> None:
    store = subjects(3)
    problems = audit(make_split(store, "eeg", by="time", gap_s=4.0), store, window_s=3.0)
    assert [(p.level, "within-recording" in p.found) for p in problems] == [("note", True)]
    assert all(name in problems[0].found for name in ("00", "01", "02"))


# --- what the store holds ---------------------------------------------------------------------


def test_missing_recordings_and_versions_newer_versions_and_unnamed_recordings() -> None:
    store = subjects(6)
    split = make_split(store, "eeg")
    later = subjects(7)
    del later.manifests["eeg/sub-00_ses-0"]
    later.manifests["eeg/sub-01_ses-0"].clear()
    later.add("eeg/sub-01_ses-0", recording("another", subject="01"))
    newest = later.add("eeg/sub-02_ses-0", recording("corrected", subject="02"))
    problems = audit(split, later)
    errors = {p.where: p.found for p in of(problems, "error")}
    assert set(errors) == {"eeg/sub-00_ses-0", "eeg/sub-01_ses-0"}
    assert "no version" in errors["eeg/sub-01_ses-0"]
    notes = {p.where: p.found for p in of(problems, "note")}
    assert notes["eeg/sub-02_ses-0"] == f"a newer version {newest}"
    assert "1 recordings" in notes["eeg"]
    assert "sub-06" in notes["eeg"]


def test_the_version_of_the_split_is_compared_not_the_newest() -> None:
    store = subjects(6)
    split = make_split(store, "eeg")
    twin = recording("eeg/sub-00_ses-0", subject="01", session="0")
    store.add("eeg/sub-01_ses-0", twin)
    assert {p.level for p in audit(split, store)} == {"note"}


def test_changed_split_reports_digest_empty_side_and_wrong_form() -> None:
    store = subjects(6)
    split = make_split(store, "eeg")
    kept = tuple(e for e in split.assignments if e["split"] != "val")
    errors = of(audit(replace(split, assignments=kept), store), "error")
    assert {p.where for p in errors} == {"digest", "split val"}
    problems = audit(replace(split, fractions={"train": 2.0}, gap=1.0), store)
    assert {p.where for p in problems} >= {"fractions", "gap"}
    assert all(p.level == "error" and p.expected and p.hint for p in problems)


def test_everything_wrong_with_the_form_is_found_at_once() -> None:
    store = subjects(6)
    split = make_split(store, "eeg")
    whole: Any = dict(split.assignments[0])
    broken: Any = (whole, {"id": "eeg/a"}, {**whole, "version": 7})
    problems = audit(replace(split, by="time", salt=3, assignments=broken), store)  # type: ignore[arg-type]
    places = [p.where for p in problems]
    assert places == ["salt", "gap", "assignments[0]", "assignments[1]", "assignments[2].version"]
    assert [p.where for p in audit(replace(split, format="other"), store)] == ["format"]
    assert [p.where for p in audit(replace(split, assignments=()), store)] == ["assignments"]


# --- groups, subjects, sessions ---------------------------------------------------------------


def crossing(problems: list[Problem]) -> set[str]:
    return {p.where for p in of(problems, "error")}


def test_a_moved_recording_puts_group_subject_on_two_sides() -> None:
    store = subjects(6, sessions=2)
    entries: list[Any] = [dict(e) for e in make_split(store, "eeg").assignments]
    entries[0]["split"] = "val" if entries[0]["split"] != "val" else "test"
    problems = audit(Split.sealed("eeg", "subject", "", SIDES, None, entries), store)
    assert crossing(problems) == {"group 00", "subject 00"}
    assert "sub-00_ses-0" in problems[0].found
    assert "sub-00_ses-1" in problems[0].found


def test_subject_on_two_sides_under_two_group_names() -> None:
    store = SyntheticStore()
    for name in ("a", "b"):
        store.add(f"eeg/{name}", recording(name, subject="same", session="1"))
    problems = audit(whole_pair(store), store)
    assert crossing(problems) == {"subject same", "session same/1"}
    assert len(of(problems, "warning")) == 2  # the groups are not the subjects they stand for


def test_same_session_name_of_two_subjects_is_no_finding() -> None:
    assert audit(make_split(subjects(5), "eeg"), subjects(5)) == []


def test_split_by_session_warns_of_subjects_and_refuses_torn_sessions() -> None:
    store = subjects(3, sessions=4)
    split = make_split(store, "eeg", by="session")
    problems = audit(split, store)
    assert {p.level for p in problems} == {"warning"}
    assert all(p.where.startswith("subject 0") for p in problems)
    store.add("eeg/second-run", recording("r2", subject="00", session="0"))
    side = split.splits_of("eeg/sub-00_ses-0")[0]
    other = "test" if side != "test" else "train"
    added: Any = {
        "id": "eeg/second-run",
        "version": store.version("eeg/second-run"),
        "group": "00/0b",
        "split": other,
    }
    torn = Split.sealed("eeg", "session", "", SIDES, None, [*split.assignments, added])
    assert crossing(audit(torn, store)) == {"session 00/0"}


def test_subject_with_whole_recordings_on_two_sides_of_a_split_by_another_key() -> None:
    store = SyntheticStore()
    for i in range(6):
        store.add(f"eeg/r{i}", recording(i, subject="s" if i < 2 else f"s{i}", device=f"d{i % 2}"))
    split = make_split(store, "eeg", by="device", fractions={"train": 0.5, "test": 0.5})
    assert crossing(audit(split, store)) == {"subject s"}


def test_recordings_without_subject_are_warned_of() -> None:
    store = SyntheticStore()
    for i in range(4):
        store.add(f"eeg/r{i}", recording(i, device=f"d{i}"))
    problems = audit(make_split(store, "eeg", by="device"), store)
    assert [p.level for p in problems] == ["warning"]
    assert "no subject in 4 recordings" in problems[0].found


# --- time and space ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stop_s", "start_s", "options", "leaks"),
    [
        (50.0, 40.0, {}, True),
        (50.0, 50.0, {}, True),
        (50.0, 51.9, {}, True),
        (50.0, 52.0, {}, False),
        (50.0, 52.0, {"window_s": 2.0}, False),
        (50.0, 52.0, {"window_s": 2.5}, True),
        (50.0, 52.0, {"window_s": 1.5, "horizon_s": 0.6}, True),
        (50.0, 52.0, {"horizon_s": 2.1}, True),
    ],
)
def test_parts_of_one_recording_have_to_be_a_gap_apart(
    stop_s: float, start_s: float, options: dict[str, float], leaks: bool
) -> None:
    store = two()
    split = sealed(
        store,
        "time",
        2.0,
        cut("a", "train", 0.0, stop_s),
        cut("a", "test", start_s, 100.0),
        cut("b", "train", 0.0, 40.0),
        cut("b", "test", 60.0, 100.0),
    )
    errors = of(audit(split, store, **options), "error")
    assert [p.where for p in errors] == ["eeg/a"] * leaks
    if leaks:
        need_s = max(2.0, sum(options.values()))
        assert errors[0].found == f"train (0-50 s) and test ({start_s:g}-100 s)" or start_s < 50
        assert errors[0].expected == f"at least {need_s:g} s between the sides"
        assert errors[0].hint


def test_neighbours_on_one_side_may_touch_and_order_of_sides_does_not_matter() -> None:
    store = two()
    split = sealed(
        store,
        "time",
        2.0,
        cut("a", "test", 0.0, 20.0),
        cut("a", "test", 20.0, 30.0),
        cut("a", "train", 32.0, 60.0),
        cut("a", "test", 62.0, 100.0),
        cut("b", "train", 0.0, 40.0),
        cut("b", "test", 60.0, 100.0),
    )
    assert of(audit(split, store), "error") == []


def test_long_part_that_spans_a_later_one_is_found() -> None:
    store = two()
    split = sealed(
        store,
        "time",
        1.0,
        cut("a", "train", 0.0, 90.0),
        cut("a", "train", 10.0, 20.0),
        cut("a", "test", 50.0, 60.0),
    )
    assert [p.where for p in of(audit(split, store), "error")] == ["eeg/a"]


def test_whole_recording_and_its_part_on_two_sides() -> None:
    store = two()
    split = sealed(
        store, "subject", None, {"id": "eeg/a", "split": "train"}, cut("a", "test", 5.0, 6.0)
    )
    assert any("train (whole)" in p.found for p in of(audit(split, store), "error"))


def test_two_versions_of_one_recording_on_two_sides() -> None:
    store = two()
    old = store.version("eeg/a")
    new = store.add("eeg/a", recording("again", subject="a"))
    ends = {"id": "eeg/a", "group": "a"}
    split = sealed(
        store,
        "subject",
        None,
        {**ends, "version": old, "split": "train"},
        {**ends, "version": new, "split": "test"},
    )
    assert "eeg/a" in crossing(audit(split, store))


def test_part_beyond_the_recording_is_an_error() -> None:
    store = two()
    split = sealed(
        store, "time", 1.0, cut("a", "train", 0.0, 100.0), cut("a", "test", 101.0, 120.0)
    )
    errors = of(audit(split, store), "error")
    assert [(p.where, p.found) for p in errors] == [("eeg/a", "test (101-120 s)")]


@pytest.mark.parametrize(
    ("box", "leaks"),
    [
        ([[0, 1], [0, 40], [34, 60]], False),
        ([[0, 1], [0, 40], [33, 60]], True),
        ([[0, 1], [0, 40], [30, 60]], True),
        ([[0, 1], [0, 40], [10, 20]], True),
        ([[0, 1], [24, 40], [0, 30]], False),
        ([[0, 1], [23, 40], [31, 60]], True),
    ],
)
def test_boxes_have_to_be_a_gap_apart_along_an_axis(box: list[list[int]], leaks: bool) -> None:
    store = SyntheticStore()
    store.add("em/a", recording("a", {"em": volume()}, subject="a"))
    split = sealed(
        store,
        "block",
        4,
        {"id": "em/a", "split": "train", "box_zyx": [[0, 1], [0, 20], [0, 30]]},
        {"id": "em/a", "split": "test", "box_zyx": box},
    )
    assert [p.where for p in of(audit(split, store), "error")] == ["em/a"] * leaks


@pytest.mark.parametrize("options", [{"window_s": -1.0}, {"horizon_s": float("nan")}])
def test_impossible_windows_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError):
        audit(whole_pair(two()), two(), **options)


# --- recordings of one session made together --------------------------------------------------


def together(start_b: str | None, gap_s: float = 5.0) -> tuple[SyntheticStore, Split]:
    store = SyntheticStore()
    for name, start in (("a", "2020-01-01T10:00:00+00:00"), ("b", start_b)):
        facts = {"start_time": start} if start else {}
        store.add(f"eeg/{name}", recording(name, subject="s", session="1", **facts))
    return store, make_split(store, "eeg", by="time", gap_s=gap_s)


@pytest.mark.parametrize(
    ("start_b", "level"),
    [
        ("2020-01-01T10:00:00+00:00", None),  # cut at the same moments
        ("2020-01-01T11:00:03+01:00", "error"),  # 3 s later, in another zone: 2 s apart
        ("2020-01-01T10:00:40+00:00", "error"),
        ("2020-01-01T10:30:00+00:00", None),
        (None, "warning"),
    ],
)
def test_cuts_of_one_session_are_compared_in_absolute_time(
    start_b: str | None, level: str | None
) -> None:
    store, split = together(start_b)
    found = [p for p in audit(split, store) if p.where == "session s/1"]
    assert {p.level for p in found} == ({level} if level else set())


# --- twins ------------------------------------------------------------------------------------


def errors_of_pair(store: SyntheticStore) -> list[Problem]:
    return of(audit(whole_pair(store, by="subject"), store), "error")


def pair(change: dict[str, Any], **nodes: dict[str, Any]) -> SyntheticStore:
    """Two recordings; the second has some of the first one's facts."""
    store = SyntheticStore()
    first = recording("a", nodes or None, subject="eeg/a")
    second = recording("b", nodes or None, subject="eeg/b")
    store.add("eeg/a", first)
    for key, value in change.items():
        second[key] = {**second[key], **value(first)} if key == "arrays" else value(first)
    store.add("eeg/b", second)
    return store


def test_different_recordings_share_nothing() -> None:
    assert audit(whole_pair(pair({})), pair({})) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"inputs": lambda first: first["inputs"]}, "a byte-identical input"),
        ({"content": lambda first: first["content"]}, "the same content"),
        ({"arrays": lambda first: first["arrays"]}, "the same values of eeg/signal_adc"),
    ],
)
def test_twins_across_sides_are_errors_and_on_one_side_warnings(
    change: dict[str, Any], what: str
) -> None:
    store = pair(change)
    assert [p.found for p in errors_of_pair(store)] == [what]
    beside = sealed(store, "subject", None, *({"id": f"eeg/{n}", "split": "x"} for n in "ab"))
    assert [(p.level, p.found) for p in audit(beside, store)] == [("warning", what)]


def test_all_evidence_about_one_pair_is_one_finding() -> None:
    store = pair({key: lambda f, key=key: f[key] for key in ("inputs", "content", "arrays")})
    (found,) = errors_of_pair(store)
    assert found.found.count(" and ") == 2
    assert found.where == "test: eeg/b; train: eeg/a"


def test_shared_file_beside_the_main_one_is_a_note_and_an_empty_one_is_nothing() -> None:
    store = pair({})
    table, empty = {"size": 9, "sha256": sha("table")}, {"size": 0, "sha256": sha("")}
    for name in ("a", "b"):
        (manifest,) = store.manifests[f"eeg/{name}"].values()
        manifest["inputs"] += [table, empty]
    problems = audit(whole_pair(store), store)
    assert [(p.level, p.found) for p in problems] == [
        ("note", "a byte-identical file beside the main one")
    ]
    together = sealed(store, "subject", None, *({"id": f"eeg/{n}", "split": "x"} for n in "ab"))
    assert audit(together, store) == []


@pytest.mark.parametrize(
    ("nodes", "variables", "leaks"),
    [
        ({"t1w": volume()}, ["t1w/image_adc"], True),
        ({"units": irregular(0.0, 9.0, "spikes")}, ["units/time_s"], True),
        ({"eeg": timeseries()}, ["eeg/scale", "eeg/channel"], False),
        ({"eeg": timeseries(n=7, channels=2)}, ["eeg/signal_adc"], False),  # 14 values: chance
    ],
)
def test_principal_arrays_only(
    nodes: dict[str, dict[str, Any]], variables: list[str], leaks: bool
) -> None:
    store = pair({"arrays": lambda f: {v: f["arrays"][v] for v in variables}}, **nodes)
    assert len(errors_of_pair(store)) == leaks


@pytest.mark.parametrize(
    ("variables", "leaks"),
    [(["source", "target"], False), (["weight"], False), (["source", "target", "weight"], True)],
)
def test_graphs_are_twins_by_edges_and_weights_together(variables: list[str], leaks: bool) -> None:
    graph = {
        "representation": "graph",
        "variables": ["source", "target", "weight"],
        "summary": {"dims": {"edge": 50, "node": 9, "split": 10}},
    }
    same = [f"graph/{name}" for name in variables]
    store = pair({"arrays": lambda f: {v: f["arrays"][v] for v in same}}, graph=graph)
    assert len(errors_of_pair(store)) == leaks


@pytest.mark.parametrize(("node", "level"), [("ieeg", "error"), ("behaviour", "warning")])
def test_a_shared_minor_node_is_a_warning(node: str, level: str) -> None:
    nodes = {"ieeg": timeseries(channels=9), "behaviour": timeseries(channels=1)}
    name = f"{node}/signal_adc"
    store = pair({"arrays": lambda f: {name: f["arrays"][name]}}, **nodes)
    problems = audit(whole_pair(store), store)
    assert [(p.level, p.found) for p in problems] == [(level, f"the same values of {name}")]


def test_half_of_a_recording_is_enough_to_be_a_twin() -> None:
    nodes = {"left": timeseries(channels=2), "right": timeseries(channels=2)}
    name = "left/signal_adc"
    store = pair({"arrays": lambda f: {name: f["arrays"][name]}}, **nodes)
    (found,) = errors_of_pair(store)
    assert "give them one subject" in found.hint


def test_part_of_one_recording_in_a_box_and_of_the_other_in_time_is_no_way_apart() -> None:
    store = SyntheticStore()
    store.add("em/a", recording("a", {"em": volume()}, subject="a"))
    split = sealed(
        store,
        "subject",
        None,
        {"id": "em/a", "split": "train", "box_zyx": [[0, 1], [0, 20], [0, 30]]},
        {"id": "em/a", "split": "test", "start_s": 0.0, "stop_s": 1.0},
    )
    (found,) = [p for p in of(audit(split, store), "error") if p.where == "em/a"]
    assert found.expected == "at least something between the sides"


def twin_cuts(shift_s: float, rate_hz: float = 10.0, start_s: float = 0.0) -> list[Problem]:
    """The same signal twice; the second is cut ``shift_s`` later than the first, by its samples."""
    store = SyntheticStore()
    same = sha("one signal")
    store.add("eeg/a", recording("a", {"eeg": timeseries(signal_adc=same)}, subject="a"))
    clock = timeseries(rate_hz=rate_hz, start_s=start_s, signal_adc=same)
    store.add("eeg/b", recording("b", {"eeg": clock}, subject="b"))
    own = 10.0 / rate_hz

    def moved(at_s: float) -> float:
        return start_s + at_s * own

    split = sealed(
        store,
        "time",
        2.0 * min(1.0, own),
        cut("a", "train", 0.0, 50.0),
        cut("a", "test", 52.0, 100.0),
        cut("b", "train", moved(0.0), moved(50.0 + shift_s)),
        cut("b", "test", moved(52.0 + shift_s), moved(100.0)),
    )
    return [p for p in audit(split, store) if "same values" in p.found]


@pytest.mark.parametrize(("rate_hz", "start_s"), [(10.0, 0.0), (10.0, 1000.1), (5.0, 3.3)])
def test_twins_on_the_time_axis(rate_hz: float, start_s: float) -> None:
    assert [p.level for p in twin_cuts(0.0, rate_hz, start_s)] == ["warning"]
    assert [p.level for p in twin_cuts(10.0, rate_hz, start_s)] == ["error"]


@settings(deadline=None)
@given(
    count=st.integers(3, 25),
    planted=st.integers(1, 6),
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["inputs", "content", "arrays"]),
)
def test_every_planted_duplicate_across_sides_is_found(
    count: int, planted: int, seed: int, kind: str
) -> None:
    store = subjects(count)
    chance = random.Random(seed)
    pairs = {}
    for i in range(planted):
        source = chance.choice(store.ids("eeg")[:count])
        (original,) = store.manifests[source].values()
        name = f"eeg/copy-{i}"
        store.add(name, {**recording(name, subject=f"copy{i}"), kind: original[kind]})
        pairs[name] = source
    split = make_split(store, "eeg", salt=str(seed))
    problems = audit(split, store)
    apart = {n: s for n, s in pairs.items() if split.splits_of(n) != split.splits_of(s)}
    for name, source in apart.items():
        assert any(name in p.where and source in p.where for p in of(problems, "error"))
    for name in pairs.keys() - apart.keys():
        assert any(name in p.where and pairs[name] in p.where for p in problems)
    assert bool(of(problems, "error")) == any(
        len({split.splits_of(n) for n in group}) > 1 for group in families(pairs)
    )


def families(pairs: dict[str, str]) -> list[set[str]]:
    return [{s, *(n for n, of_n in pairs.items() if of_n == s)} for s in set(pairs.values())]


@settings(deadline=None)
@given(
    seconds=st.lists(st.floats(20.0, 500.0), min_size=1, max_size=4),
    rate_hz=st.sampled_from([1.0, 30.00003, 600.615]),
    gap_s=st.floats(0.01, 4.0),
)
def test_what_make_split_cuts_passes_its_own_gap_and_no_wider_one(
    seconds: list[float], rate_hz: float, gap_s: float
) -> None:
    store = SyntheticStore()
    for i, length_s in enumerate(seconds):
        node = timeseries(n=round(length_s * rate_hz), rate_hz=rate_hz)
        store.add(f"eeg/r{i}", recording(i, {"eeg": node}, subject=str(i)))
    split = make_split(store, "eeg", by="time", gap_s=gap_s)
    assert of(audit(split, store, window_s=gap_s), "error") == []
    wider = of(audit(split, store, window_s=gap_s + 3 / rate_hz), "error")
    assert {p.where for p in wider} == set(store.ids("eeg"))


# --- real recordings --------------------------------------------------------------------------


def test_two_shipped_edf_files_with_one_signal_are_found(samples: Path) -> None:
    """Files, header and annotations differ; the samples, decoded by pyEDFlib, do not."""
    import pyedflib

    store = SyntheticStore()
    for stem in ("test_subsecond", "test_utf8"):
        file = samples / "eeg_fp1" / f"{stem}.edf"
        with pyedflib.EdfReader(str(file)) as edf:
            values = edf.readSignal(0, digital=True).astype("<i2")
        data = file.read_bytes()
        manifest = recording(stem, {"eeg": timeseries(n=values.size, channels=1)}, subject=stem)
        manifest["arrays"]["eeg/signal_adc"] = hashlib.sha256(values.tobytes()).hexdigest()
        manifest["inputs"] = [{"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}]
        store.add(f"eeg_fp1/{stem}", manifest)
    split = make_split(store, "eeg_fp1", fractions={"train": 0.5, "test": 0.5})
    errors = of(audit(split, store), "error")
    assert [p.found for p in errors] == ["the same values of eeg/signal_adc"]
