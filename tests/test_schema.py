"""Each departure from a schema is found, as itself and alone; healthy recordings have none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from neurodata import resources, schema
from neurodata.errors import InvalidInputError, NotFoundError, Problem, SchemaError
from neurodata.physical import physical
from tests.synthetic_trees import (
    HEALTHY,
    SAMPLES,
    recording,
    synthetic_calcium,
    synthetic_connectome,
    synthetic_eeg,
    synthetic_float_traces,
    synthetic_intervals,
    synthetic_mri,
    synthetic_nuclei,
    synthetic_spikes,
)

Make = Callable[[], xr.DataTree]


def put(tree: xr.DataTree, node: str, **variables: Any) -> None:
    tree[node].dataset = tree[node].to_dataset(inherit=False).assign(variables)


def drop(tree: xr.DataTree, node: str, *names: str) -> None:
    tree[node].dataset = tree[node].to_dataset(inherit=False).drop_vars(names)


def change(tree: xr.DataTree, path: str, index: Any, value: Any) -> None:
    """Set values of a variable without touching those of other trees."""
    node, name = path.split("/")
    data = tree[node].to_dataset(inherit=False)
    values = data[name].values.copy()
    values[index] = value
    put(tree, node, **{name: (data[name].dims, values, data[name].attrs)})


def attr(tree: xr.DataTree, node: str, **facts: Any) -> None:
    tree[node].attrs = {k: v for k, v in {**tree[node].attrs, **facts}.items() if v is not None}


def times(step: float = 1 / 256) -> np.ndarray[Any, Any]:
    return np.arange(SAMPLES) * step


def irregular(tree: xr.DataTree, seconds: np.ndarray[Any, Any]) -> None:
    attr(tree, "eeg", start_s=None, rate_hz=None, n=None)
    data = tree["eeg"].to_dataset(inherit=False)
    tree["eeg"].dataset = data.assign_coords(time=("time", seconds, {"units": "s"}))


@pytest.mark.parametrize("form", [lambda tree: tree, physical])
@pytest.mark.parametrize("make", HEALTHY)
def test_healthy_recordings_have_no_finding(
    make: Make, form: Callable[[xr.DataTree], xr.DataTree]
) -> None:
    tree = form(make())
    assert schema.validate(tree) == []
    schema.require(tree)


def test_other_healthy_forms() -> None:
    tree = synthetic_eeg()
    irregular(tree, np.cumsum(np.random.default_rng(0).uniform(0.003, 0.005, SAMPLES)))
    drop(tree, "eeg", "type")
    assert schema.validate(tree) == []
    trait = xr.Dataset(
        {"age": ("row", [4.0, 5.0])}, attrs={"representation": "table", "schema": "table/1"}
    )
    tree = recording("eeg", eeg=synthetic_float_traces(), traits=trait)
    assert schema.validate(tree) == []


def test_a_slice_of_an_opened_recording_is_sound() -> None:
    tree = physical(synthetic_eeg())
    part = tree["eeg"].to_dataset(inherit=False).sel(time=slice(2.0, 4.0))
    assert schema.check(recording("eeg", eeg=part)) == []


ROOT: list[tuple[dict[str, Any], str, str]] = [
    ({"modality": None}, "recording: modality", "nothing"),
    ({"modality": "egg"}, "recording: modality", "'egg'"),
    ({"species": "mouse"}, "recording: species", "'mouse'"),
    ({"sex": "male"}, "recording: sex", "'male'"),
    ({"age_years": 91}, "recording: age_years", "91"),
    ({"age_years": -1}, "recording: age_years", "-1"),
    ({"age_years": "P90D"}, "recording: age_years", "'P90D'"),
    ({"age_years": float("nan")}, "recording: age_years", "nan"),
    ({"age_years": True}, "recording: age_years", "True"),
    ({"subject": "n/a"}, "recording: subject", "'n/a'"),
    ({"subject": "a\nb"}, "recording: subject", r"'a\nb'"),
    ({"device": "Unknown"}, "recording: device", "'Unknown'"),
    ({"id": "../x"}, "recording: id", "'../x'"),
    ({"start_time": "2020-01-01T10:00:00"}, "recording: start_time", "'2020-01-01T10:00:00'"),
    ({"start_zone": "CET"}, "recording: start_zone", "'CET'"),
    ({"patient": "X"}, "recording: patient", "an attribute off the allow-list"),
    (
        {"start_time": "2020-01-01T10:00:00Z", "start_zone": "unknown"},
        "recording",
        "start_time and start_zone",
    ),
]


@pytest.mark.parametrize(("facts", "where", "found"), ROOT)
def test_root_attributes(facts: dict[str, Any], where: str, found: str) -> None:
    tree = synthetic_eeg()
    tree.attrs = {k: v for k, v in {**tree.attrs, **facts}.items() if v is not None}
    problems = schema.check(tree)
    assert [(p.level, p.where, p.found) for p in problems] == [("error", where, found)]


FAULTS: list[tuple[Make, Callable[[xr.DataTree], None], str, str]] = [
    # presence, dimensions, dtypes, attributes
    (synthetic_eeg, lambda t: drop(t, "eeg", "units"), "eeg/units", "nothing"),
    (synthetic_eeg, lambda t: drop(t, "eeg", "offset"), "eeg", "neither of its forms"),
    (
        synthetic_eeg,
        lambda t: put(t, "eeg", signal=t["eeg"]["signal_adc"].astype("f4")),
        "eeg",
        "both of its forms",
    ),
    (
        synthetic_eeg,
        lambda t: put(t, "eeg", signal_adc=t["eeg"]["signal_adc"].T),
        "eeg/signal_adc",
        "dimensions (channel, time)",
    ),
    (
        synthetic_eeg,
        lambda t: put(t, "eeg", signal_adc=t["eeg"]["signal_adc"].astype("f4")),
        "eeg/signal_adc",
        "dtype float32",
    ),
    (
        synthetic_eeg,
        lambda t: put(t, "eeg", scale=t["eeg"]["scale"].astype("f4")),
        "eeg/scale",
        "dtype float32",
    ),
    (
        synthetic_eeg,
        lambda t: put(t, "eeg", video=(("frame", "y"), np.zeros((2, 2)))),
        "eeg/video",
        "an unknown variable over (frame, y)",
    ),
    (
        synthetic_eeg,
        lambda t: attr(t, "eeg", technician="X"),
        "eeg: technician",
        "an attribute off the allow-list",
    ),
    (
        synthetic_eeg,
        lambda t: attr(t, "eeg", schema="timeseries/2"),
        "eeg",
        "schema 'timeseries/2'",
    ),
    (synthetic_eeg, lambda t: attr(t, "eeg", schema=None), "eeg: schema", "nothing"),
    (
        synthetic_eeg,
        lambda t: put(t, "eeg", status=("channel", ["good", "bad", "ugly"])),
        "eeg/status",
        "ugly",
    ),
    # names and units
    (
        synthetic_eeg,
        lambda t: change(t, "eeg/channel", 1, "C0"),
        "eeg/channel",
        "C0 more than once",
    ),
    (synthetic_eeg, lambda t: change(t, "eeg/channel", 1, " "), "eeg/channel", "1 empty name(s)"),
    (
        synthetic_eeg,
        lambda t: put(t, "eeg", units=("channel", ["V", "V", "uV"])),
        "eeg/units: C2",
        "the unit 'uV'",
    ),
    (synthetic_eeg, lambda t: attr(t, "eeg", units="T"), "eeg: units", "'T'"),
    (synthetic_eeg, lambda t: attr(t, "eeg", units=None), "eeg: units", "no units of the node"),
    (synthetic_eeg, lambda t: change(t, "eeg/scale", 0, 0), "eeg/scale", "1 impossible value(s)"),
    (
        synthetic_eeg,
        lambda t: change(t, "eeg/offset", 0, np.nan),
        "eeg/offset",
        "1 impossible value(s)",
    ),
    # clocks
    (synthetic_eeg, lambda t: attr(t, "eeg", rate_hz=0.0), "eeg: rate_hz", "0.0"),
    (synthetic_eeg, lambda t: attr(t, "eeg", rate_hz=-256.0), "eeg: rate_hz", "-256.0"),
    (synthetic_eeg, lambda t: attr(t, "eeg", rate_hz=np.nan), "eeg: rate_hz", "nan"),
    (synthetic_eeg, lambda t: attr(t, "eeg", start_s=np.inf), "eeg: start_s", "inf"),
    (synthetic_eeg, lambda t: attr(t, "eeg", n=2559), "eeg: n", "n=2559 for 2560 samples"),
    (synthetic_eeg, lambda t: attr(t, "eeg", n=None), "eeg", "only start_s, rate_hz"),
    (
        synthetic_eeg,
        lambda t: attr(t, "eeg", n=None, start_s=None, rate_hz=None),
        "eeg",
        "no clock",
    ),
    (
        synthetic_eeg,
        lambda t: irregular(t, np.where(times() == times()[9], times()[8], times())),
        "eeg/time",
        "1 time(s) not after the one before",
    ),
    (
        synthetic_eeg,
        lambda t: irregular(t, np.where(times() == times()[9], np.nan, times())),
        "eeg/time",
        "1 non-finite time(s)",
    ),
    (
        synthetic_eeg,
        lambda t: put(t, "eeg", time=("time", times(), {"units": "s"})),
        "eeg/time",
        "a regular and an irregular clock",
    ),
    # intervals
    (
        synthetic_eeg,
        lambda t: change(t, "events/start_s", 0, np.nan),
        "events/start_s",
        "1 non-finite start(s)",
    ),
    (
        synthetic_eeg,
        lambda t: change(t, "events/duration_s", 1, -1),
        "events/duration_s",
        "1 impossible duration(s)",
    ),
    (
        synthetic_eeg,
        lambda t: change(t, "events/start_s", 2, 10.5),
        "events/start_s",
        "1 event(s) outside the signal, at 10.5 s",
    ),
    # ragged rows and spikes
    (
        synthetic_spikes,
        lambda t: change(t, "units/row_splits", 0, 1),
        "units/row_splits",
        "1 to 5",
    ),
    (
        synthetic_spikes,
        lambda t: change(t, "units/row_splits", -1, 6),
        "units/row_splits",
        "0 to 6",
    ),
    (
        synthetic_spikes,
        lambda t: put(t, "units", row_splits=("split", [0, 3])),
        "units/row_splits",
        "2 splits",
    ),
    (
        synthetic_calcium,
        lambda t: change(t, "rois/row_splits", 2, 0),
        "rois/row_splits",
        "decreasing splits",
    ),
    (
        synthetic_spikes,
        lambda t: change(t, "units/time_s", 1, 1.75),
        "units/time_s",
        "1 spike(s) before the one before",
    ),
    (
        synthetic_spikes,
        lambda t: change(t, "units/time_s", 4, 2.5),
        "units/time_s",
        "1 spike(s) outside the observed span",
    ),
    (
        synthetic_spikes,
        lambda t: change(t, "units/time_s", 4, np.nan),
        "units/time_s",
        "1 non-finite time(s)",
    ),
    # footprints
    (
        synthetic_calcium,
        lambda t: change(t, "rois/unit_id", 0, "C9"),
        "rois/unit_id",
        "units unlike the channels of traces: C0, C9",
    ),
    (
        synthetic_calcium,
        lambda t: change(t, "rois/pixel_y", 0, 3),
        "rois/pixel_y",
        "1 pixel(s) outside the image",
    ),
    (
        synthetic_calcium,
        lambda t: change(t, "rois/pixel_weight", 0, np.nan),
        "rois/pixel_weight",
        "1 non-finite weight(s)",
    ),
    # volumes
    (
        synthetic_mri,
        lambda t: change(t, "image/affine", (0, 3), np.nan),
        "image/affine",
        "non-finite or missing numbers",
    ),
    (
        synthetic_mri,
        lambda t: change(t, "image/affine", (0, slice(None)), 0),
        "image/affine",
        "a singular matrix",
    ),
    (
        synthetic_mri,
        lambda t: change(t, "image/affine", (3, 3), 2),
        "image/affine",
        "last row [0.0, 0.0, 0.0, 2.0]",
    ),
    (synthetic_mri, lambda t: drop(t, "image", "affine"), "image", "neither of its forms"),
    (
        synthetic_mri,
        lambda t: t["image"]["image_adc"].attrs.pop("units"),
        "image/image_adc: units",
        "nothing",
    ),
    (
        synthetic_mri,
        lambda t: t["image"]["affine"].attrs.update(units="m"),
        "image/affine: units",
        "'m'",
    ),
    (
        synthetic_nuclei,
        lambda t: drop(t, "nuclei", "voxel_count"),
        "nuclei/voxel_count",
        "nothing",
    ),
    (
        synthetic_nuclei,
        lambda t: change(t, "nuclei/instance_id", 0, 2),
        "nuclei/instance_id",
        "1 repeated id(s)",
    ),
    (
        synthetic_nuclei,
        lambda t: change(t, "nuclei/instance_id", 0, 0),
        "nuclei/instance_id",
        "1 id(s) below 1",
    ),
    (
        synthetic_nuclei,
        lambda t: change(t, "nuclei/instance_layer", 0, 2),
        "nuclei/instance_layer",
        "1 unknown layer(s)",
    ),
    (
        synthetic_nuclei,
        lambda t: attr(t, "nuclei", image_node="picture"),
        "nuclei: image_node",
        "'picture'",
    ),
    # graphs
    (
        synthetic_connectome,
        lambda t: change(t, "graph/target", 2, 3),
        "graph/target",
        "1 edge(s) to no node",
    ),
    (
        synthetic_connectome,
        lambda t: change(t, "graph/target", slice(2), [2, 1]),
        "graph/source",
        "unsorted edges",
    ),
    (
        synthetic_connectome,
        lambda t: change(t, "graph/row_splits", 1, 1),
        "graph/row_splits",
        "splits that are not where the source changes",
    ),
    (
        synthetic_connectome,
        lambda t: attr(t, "graph", weight_units=None),
        "graph/weight",
        "no weight_units",
    ),
    (
        synthetic_connectome,
        lambda t: attr(t, "graph", directed="yes"),
        "graph: directed",
        "'yes'",
    ),
]


@pytest.mark.parametrize(("make", "spoil", "where", "found"), FAULTS)
def test_each_fault_gives_exactly_its_finding(
    make: Make, spoil: Callable[[xr.DataTree], object], where: str, found: str
) -> None:
    tree = make()
    spoil(tree)
    problems = schema.validate(tree)
    assert [(p.level, p.where, p.found) for p in problems] == [("error", where, found)]
    assert problems[0].expected
    with pytest.raises(SchemaError) as caught:
        schema.require(tree)
    assert list(caught.value.problems) == problems


def test_all_errors_are_raised_at_once() -> None:
    tree = synthetic_eeg()
    tree.attrs["sex"] = "male"
    attr(tree, "eeg", n=1)
    change(tree, "events/duration_s", 1, -1)
    with pytest.raises(SchemaError) as caught:
        schema.require(tree)
    places = {problem.where for problem in caught.value.problems}
    assert places == {"recording: sex", "eeg: n", "events/duration_s"}


def test_events_before_the_start_or_over_the_end_are_warnings() -> None:
    # EDF+ allows annotations before the start of the recording (Kemp & Olivan 2003, 2.2.2).
    tree = synthetic_eeg()
    change(tree, "events/start_s", 0, -5.0)
    change(tree, "events/duration_s", 1, 30.0)
    problems = schema.check(tree)
    assert [(p.level, p.found) for p in problems] == [
        ("warning", "1 event(s) that end before the signal starts"),
        ("warning", "1 interval(s) that last beyond the end of the signal"),
    ]
    schema.require(tree)


def test_the_span_of_all_streams_counts() -> None:
    tree = synthetic_eeg()
    change(tree, "events/start_s", 2, 15.0)
    longer = synthetic_float_traces()
    longer.attrs["rate_hz"] = 128.0
    both = recording("eeg", eeg=tree["eeg"].to_dataset(), slow=longer, events=synthetic_intervals())
    both["events"].dataset = tree["events"].to_dataset()
    assert schema.check(both) == []


@pytest.mark.parametrize(
    ("tree", "where", "found"),
    [
        (recording("eeg"), "recording", "no node"),
        (recording("eeg", events=synthetic_intervals()), "recording", "no timeseries node"),
        (
            recording("mri", x=synthetic_float_traces(), y=synthetic_mri()["image"].to_dataset()),
            "x",
            "a timeseries node in mri",
        ),
        (
            recording("eeg", a=synthetic_float_traces(), A=synthetic_float_traces()),
            "A",
            "a node also called a",
        ),
        (recording("eeg", **{"a b": synthetic_float_traces()}), "a b", "a node of that name"),
        (
            recording("eeg", a=synthetic_float_traces(), b=xr.Dataset({"v": ("row", [1])})),
            "b",
            "representation None",
        ),
    ],
)
def test_the_tree_itself(tree: xr.DataTree, where: str, found: str) -> None:
    assert (where, found) in [(p.where, p.found) for p in schema.check(tree)]


def test_declared_expectations() -> None:
    facts = {"shape": [SAMPLES, 3], "rate_hz": 256, "units": "V", "channels": 3}
    expect = {"nodes": {"eeg": facts}}
    for form in (synthetic_eeg(), physical(synthetic_eeg())):
        assert schema.validate(form, expect) == []
    loose = {"nodes": {"eeg": {"shape": [None, 3]}}}
    assert schema.validate(synthetic_eeg(), loose) == []
    wrong = {"shape": [3, SAMPLES], "rate_hz": 250, "units": "T", "channels": 64}
    problems = schema.validate(synthetic_eeg(), {"nodes": {"eeg": wrong, "meg": {}}})
    assert [(p.where, p.found) for p in problems] == [
        ("eeg: shape", "[2560, 3]"),
        ("eeg: rate_hz", "256.0"),
        ("eeg: units", "V"),
        ("eeg: channels", "3"),
        ("meg", "no such node"),
    ]
    with pytest.raises(InvalidInputError, match="colour"):
        schema.validate(synthetic_eeg(), {"nodes": {"eeg": {"colour": "red"}}})


def test_a_modality_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(resources.folder("schemas"), tmp_path / "schemas")
    text = '{"modality": "emg", "must": [["timeseries"]], "may": ["timeseries", "intervals"]}'
    (tmp_path / "schemas" / "modalities" / "emg.json").write_text(text)
    tree = recording("emg", emg=synthetic_float_traces())
    assert [p.where for p in schema.check(tree)] == ["recording: modality"]
    monkeypatch.setattr(resources, "PACKAGE", tmp_path / "neurodata")
    assert schema.check(tree) == []


def test_a_wheel_s_own_data_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "neurodata" / "_data" / "schemas").mkdir(parents=True)
    monkeypatch.setattr(resources, "PACKAGE", tmp_path / "neurodata")
    assert resources.folder("schemas") == tmp_path / "neurodata" / "_data" / "schemas"
    for name in ("pipelines", "tests", "..", ""):
        with pytest.raises(NotFoundError):
            resources.folder(name)


def test_every_schema_file_is_read_and_consistent() -> None:
    kinds = schema.names("representations")
    for name in kinds:
        rules = schema.load(f"representations/{name}")
        assert rules["schema"] == f"{name}/1"
        assert {*rules["main"], *rules.get("required", [])} <= {*rules["variables"]}
    for name in schema.names("modalities"):
        rules = schema.load(f"modalities/{name}")
        assert rules["modality"] == name
        assert (
            {kind for group in rules["must"] for kind in group} <= set(rules["may"]) <= set(kinds)
        )
    with pytest.raises(NotFoundError):
        schema.load("modalities/../recording")


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())


@given(st.dictionaries(st.text(), ANYTHING, max_size=4), st.sampled_from(HEALTHY), st.data())
def test_odd_attributes_give_findings_and_never_an_exception(
    facts: dict[str, Any], make: Make, data: st.DataObject
) -> None:
    tree = make()
    node = data.draw(st.sampled_from(sorted(tree.children)))
    known = data.draw(st.sampled_from([*tree[node].attrs, "start_s", "n", "units"]))
    tree[node].attrs = {**tree[node].attrs, **facts, known: data.draw(ANYTHING)}
    assert all(isinstance(problem, Problem) for problem in schema.validate(tree))
