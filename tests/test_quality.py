"""Faults of the data are found with exact counts, one by one, and sound data are left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from neurodata import schema
from neurodata.errors import Problem
from neurodata.physical import physical
from neurodata.slabs import slabs
from neurodata.trace_quality import Totals, deviation
from tests.synthetic_trees import (
    SAMPLES,
    node,
    recording,
    synthetic_calcium,
    synthetic_connectome,
    synthetic_eeg,
    synthetic_float_traces,
    synthetic_mri,
    synthetic_nuclei,
    synthetic_spikes,
    synthetic_traces,
)


def brief(problems: list[Problem]) -> list[tuple[str, str, str]]:
    return [(problem.level, problem.where, problem.found) for problem in problems]


def synthetic_signal(spoil: Callable[[np.ndarray[Any, Any]], Any], **coords: Any) -> xr.DataTree:
    """Float EEG whose samples ``(time, channel)`` were spoilt in place."""
    data = synthetic_float_traces()
    values = data["signal"].values.copy()
    spoil(values)
    data = data.assign(signal=(("time", "channel"), values))
    return recording("eeg", eeg=data.assign_coords(coords))


# ---- traces


def test_non_finite_samples_are_counted_by_channel() -> None:
    def spoil(x: np.ndarray[Any, Any]) -> None:
        x[5:12, 0], x[3, 2] = np.nan, -np.inf

    found = "non-finite samples of 2560: C0 7, C2 1"
    assert brief(schema.validate(synthetic_signal(spoil))) == [("warning", "eeg/signal", found)]


def test_over_five_per_cent_is_an_error_unless_masked_marked_or_no_signal() -> None:
    def spoil(x: np.ndarray[Any, Any]) -> None:
        x[:129, 1] = np.nan  # 5.04 % of 2560

    found = "non-finite samples of 2560: C1 129"
    tree = synthetic_signal(spoil)
    assert brief(schema.validate(tree)) == [("error", "eeg/signal", found)]
    for coords in (
        {"status": ("channel", ["good", "bad", "good"])},
        {"type": ("channel", ["EEG", "MISC", "EEG"])},
    ):
        problems = schema.validate(synthetic_signal(spoil, **coords))
        assert brief(problems) == [("warning", "eeg/signal", found)]
    data = tree["eeg"].to_dataset(inherit=False)
    observed = np.isfinite(data["signal"].values)
    masked = data.assign(observed=(("time", "channel"), observed))
    assert schema.validate(recording("eeg", eeg=masked)) == []
    observed[0, 1] = True
    masked = data.assign(observed=(("time", "channel"), observed))
    found = "non-finite samples of 2560: C1 1"
    assert brief(schema.validate(recording("eeg", eeg=masked))) == [
        ("warning", "eeg/signal", found)
    ]


def set_flat(x: np.ndarray[Any, Any]) -> None:
    x[:, 1] = 3e-6


def set_twin(x: np.ndarray[Any, Any]) -> None:
    x[:, 2] = x[:, 0]


def set_clipped(x: np.ndarray[Any, Any]) -> None:
    x[:26, 1] = 2e-4  # 25 of 2560 samples repeat the extreme before them


def set_large(x: np.ndarray[Any, Any]) -> None:
    x[:, 1] *= 1e6


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (set_flat, "flat channel(s) C1"),
        (set_twin, "identical channels C0 = C2"),
        (set_clipped, "runs of samples at the extreme value: C1 1.0 %"),
        (set_large, "EEG channels of odd size: C1 20 V"),
    ],
)
def test_each_fault_of_a_channel_is_one_warning(
    spoil: Callable[[np.ndarray[Any, Any]], None], found: str
) -> None:
    tree = synthetic_signal(spoil)
    assert brief(schema.validate(tree)) == [("warning", "eeg/signal", found)]
    quiet = synthetic_signal(spoil, type=("channel", ["MISC"] * 3))
    assert schema.validate(quiet) == []


@pytest.mark.parametrize("power", [3, -3, 6, -6, 9, -9])
def test_a_slip_of_the_unit_is_named(power: int) -> None:
    raw = synthetic_traces()
    raw["scale"] = raw["scale"] * 10.0**power
    for tree in (recording("eeg", eeg=raw), physical(recording("eeg", eeg=raw))):
        (problem,) = schema.validate(tree)
        assert problem.level == "warning"
        assert problem.found.startswith("EEG with a median standard deviation of ")
        assert f"10^{power}" in problem.hint


def test_an_absurd_rate_and_a_trigger_among_the_signals_are_warnings() -> None:
    slow = synthetic_traces()
    slow.attrs["rate_hz"] = 0.256
    (problem,) = schema.validate(recording("eeg", eeg=slow))
    assert (problem.level, problem.where) == ("warning", "eeg: rate_hz")
    assert "10^-3" in problem.hint
    named = synthetic_traces().assign_coords(channel=["C0", "STI 014", "C2"])
    assert brief(schema.validate(recording("eeg", eeg=named))) == [
        ("warning", "eeg/type", "STI 014 typed as a neural signal")
    ]


@pytest.mark.parametrize(
    ("kind", "symbol", "scale", "hint"),
    [
        ("IEEG", "V", 1e-4, "10^3"),
        ("NIRSCWHBO", "mol/m3", 1e-2, "10^3"),
        ("NIRSCWHBR", "mol/m3", 1e-8, "10^-3"),
    ],
)
def test_slips_of_other_types_are_named(kind: str, symbol: str, scale: float, hint: str) -> None:
    raw = synthetic_traces()
    raw["scale"] = raw["scale"] * 0 + scale
    raw = raw.assign_attrs(units=symbol).assign_coords(
        type=("channel", [kind] * 3), units=("channel", [symbol] * 3)
    )
    modality = "nirs" if kind.startswith("NIRS") else "ieeg"
    (problem,) = schema.validate(recording(modality, series=raw))
    assert problem.found.startswith(f"{kind} with a median standard deviation of ")
    assert hint in problem.hint


def test_a_slow_nirs_and_a_rate_of_any_size_are_warnings_only() -> None:
    for rate_hz in (0.01, 1e30):
        series = synthetic_traces().assign_attrs(rate_hz=rate_hz)
        series = series.assign_coords(type=("channel", ["NIRSCWAMPLITUDE"] * 3))
        (problem,) = schema.validate(recording("nirs", series=series))
        assert (problem.level, problem.where) == ("warning", "series: rate_hz")


def test_rectified_calcium_is_not_clipped() -> None:
    tree = synthetic_calcium()
    data = tree["traces"].to_dataset(inherit=False)
    tree["traces"].dataset = data.assign(signal=data["signal"].clip(min=0))
    assert schema.validate(tree) == []


def test_no_samples_and_no_channels() -> None:
    whole = synthetic_float_traces()
    for part in (whole.isel(time=slice(0)).assign_attrs(n=0), whole.isel(channel=slice(0))):
        problems = schema.validate(recording("eeg", eeg=part))
        assert [p.found.partition(",")[0] for p in problems if p.level == "warning"] == [
            "no sample"
        ]
    one = whole.isel(time=slice(1)).assign_attrs(n=1)
    assert schema.validate(recording("eeg", eeg=one)) == []


SAMPLE_ARRAYS = arrays.arrays(
    np.float64,
    arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40),
    elements=st.sampled_from([0.0, 1.0, 2.5, -3.0, float("nan"), float("inf")]),
)


@given(SAMPLE_ARRAYS, st.integers(1, 40))
def test_slabs_add_up_to_the_whole(values: np.ndarray[Any, Any], step: int) -> None:
    totals = Totals(values.shape[1], segment=16)
    for first in range(0, len(values), step):
        totals.feed(values[first : first + step])
    kept = np.where(np.isfinite(values), values, np.nan)
    assert totals.samples == len(values)
    assert totals.bad.tolist() == np.isnan(kept).sum(axis=0).tolist()
    for channel, low, high in zip(kept.T, totals.low, totals.high, strict=True):
        finite = channel[np.isfinite(channel)]
        assert low == (finite.min() if finite.size else np.inf)
        assert high == (finite.max() if finite.size else -np.inf)
    twin = Totals(values.shape[1], segment=16)
    twin.feed(values)
    assert [a.digest() for a in totals.hashes] == [b.digest() for b in twin.hashes]


@given(SAMPLE_ARRAYS)
def test_the_deviation_is_numpy_s_over_finite_values(values: np.ndarray[Any, Any]) -> None:
    found = deviation(values, np.isfinite(values))
    for channel, value in zip(values.T, found, strict=True):
        finite = channel[np.isfinite(channel)]
        assert value == pytest.approx(finite.std()) if finite.size > 1 else np.isnan(value)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 80), st.booleans())
def test_slabs_cover_an_array_once_and_within_the_limit(
    chunks: list[int], limit: int, lazy: bool
) -> None:
    values = np.arange(sum(chunks), dtype="int8")
    data: Any = dask.array.from_array(values, chunks=(tuple(chunks),)) if lazy else values
    parts = list(slabs(xr.DataArray(data, dims="time"), limit_bytes=limit))
    assert np.concatenate([part for _, part in parts]).tolist() == values.tolist()
    assert [first for first, _ in parts] == np.cumsum([0, *(len(p) for _, p in parts)])[
        :-1
    ].tolist()
    longest = max(chunks) if lazy else 0
    assert all(len(part) <= max(limit, longest) for _, part in parts)


def test_a_long_signal_is_walked_through_in_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    held, fed, feed = list[int](), list[int](), Totals.feed

    def weigh(self: Totals, slab: np.ndarray[Any, Any], observed: Any = None) -> None:
        fed.append(slab.nbytes)
        feed(self, slab, observed)

    def block(block_info: Any = None) -> np.ndarray[Any, Any]:
        (start, stop), _ = block_info[None]["array-location"]
        held.append(stop - start)
        return np.random.default_rng(start).normal(0, 2e-5, (stop - start, 2)).astype("f4")

    chunks, channels = ((1_000_000,) * 6, (2,)), ["a", "b"]
    signal = dask.array.map_blocks(block, chunks=chunks, dtype="f4", meta=np.empty((0, 0), "f4"))
    data = synthetic_float_traces().isel(channel=slice(2)).drop_dims("time")
    data = data.assign(signal=(("time", "channel"), signal)).assign_coords(channel=channels)
    monkeypatch.setattr(Totals, "feed", weigh)
    assert schema.validate(recording("eeg", eeg=data.assign_attrs(n=6_000_000))) == []
    assert held == [1_000_000] * 6
    assert fed == [16_000_000] * 3


# ---- volumes


def synthetic_movie(voxels: np.ndarray[Any, Any]) -> xr.DataTree:
    image = node(
        "volume",
        {
            "image": (("time", "z", "y", "x"), voxels.astype("f4"), {"units": "a.u."}),
            "affine": (("row", "col"), np.diag([3.0, 3.0, 3.0, 1.0]), {"units": "mm"}),
        },
        start_s=0.0,
        rate_hz=0.5,
        n=len(voxels),
    )
    return recording("fmri", image=image)


def moving(frame: Any = (), value: float = 7) -> xr.DataTree:
    voxels = np.random.default_rng(0).normal(100, 10, (6, 5, 4, 3))
    if frame != ():
        voxels[frame] = value
    return synthetic_movie(voxels)


@pytest.mark.parametrize(
    ("frame", "value", "level", "found"),
    [
        (slice(None), 0, "error", "the same value in every voxel"),
        (2, 0, "warning", "1 of 6 planes along time constant"),
        ((slice(None), 2), 0, "warning", "1 of 5 planes along z constant"),
        ((slice(None), slice(3, 5)), 0, "note", "2 of 5 planes along z constant"),
        ((4, 2), 9, "warning", "1 planes constant in some frames only"),
        ((0, 0, 0, slice(2)), np.nan, "warning", "2 non-finite voxels of 360"),
    ],
)
def test_each_fault_of_a_volume(frame: Any, value: float, level: str, found: str) -> None:
    assert schema.validate(moving()) == []
    assert brief(schema.validate(moving(frame, value))) == [(level, "image/image", found)]


@pytest.mark.parametrize(
    ("factor", "fine"), [(1.0, True), (3e35, True), (1e38, False), (1e-38, True), (1e-42, False)]
)
def test_doubles_that_would_be_infinite_or_zero_as_float32_are_errors(
    factor: float, fine: bool
) -> None:
    voxels = np.random.default_rng(0).normal(100, 10, (6, 5, 4, 3)) * factor
    tree = synthetic_movie(voxels)
    data = tree["image"].to_dataset(inherit=False)
    stored = data.assign(image=(data["image"].dims, voxels, {"units": "a.u."}))
    found = f"values of up to {voxels.max():.3g}"
    expected = [] if fine else [("error", "image/image", found)]
    assert brief(schema.validate(recording("fmri", image=stored))) == expected
    trace = synthetic_float_traces().drop_vars("type")
    samples = np.random.default_rng(0).normal(10, 1, trace["signal"].shape) * factor
    samples[:, 0] = np.random.default_rng(1).normal(size=len(samples))
    trace = trace.assign(signal=(("time", "channel"), samples))
    errors = [p for p in schema.validate(recording("eeg", eeg=trace)) if p.level == "error"]
    found = f"values of up to {samples[:, 1:].max():.3g}"
    assert brief(errors) == ([] if fine else [("error", "eeg/signal", found)])


def test_flat_and_saturated_images() -> None:
    tree = synthetic_nuclei()
    data = tree["image"].to_dataset(inherit=False)
    pixels = data["image_adc"]
    tree["image"].dataset = data.assign(image_adc=pixels * 0)
    problems = brief(schema.validate(tree))
    assert problems == [("error", "image/image_adc", "the same value in every voxel")]
    bright = np.where(np.arange(20).reshape(4, 5) < 12, 65535, pixels.values).astype("uint16")
    tree["image"].dataset = data.assign(image_adc=(("y", "x"), bright, pixels.attrs))
    (problem,) = schema.validate(tree)
    assert problem.found == "60.0 % of the voxels at the highest value, 65535"


@pytest.mark.parametrize("power", [3, -3, 6])
def test_slips_of_the_voxel_size(power: int) -> None:
    tree = synthetic_mri()
    data = tree["image"].to_dataset(inherit=False)
    affine = data["affine"].copy(data=np.diag([*np.array([2.0, 2.0, 3.0]) * 10.0**power, 1.0]))
    tree["image"].dataset = data.assign(affine=affine)
    (problem,) = schema.validate(tree)
    assert (problem.level, problem.where) == ("warning", "image/affine")
    assert f"10^{power}" in problem.hint


def test_a_repetition_time_in_milliseconds_is_noticed() -> None:
    tree = moving()
    tree["image"].attrs["rate_hz"] = 1 / 2000
    (problem,) = schema.validate(tree)
    assert (problem.level, problem.where) == ("warning", "image: rate_hz")
    assert "10^-3" in problem.hint


# ---- spikes, graphs, instances


def synthetic_train(**units: list[float]) -> xr.DataTree:
    spikes = node(
        "spikes",
        {
            "time_s": ("spike", np.concatenate([np.array(v, float) for v in units.values()])),
            "row_splits": ("split", np.cumsum([0, *(len(v) for v in units.values())])),
        },
        {"unit_id": ("unit", list(units))},
    )
    return recording("spikes", units=spikes)


@pytest.mark.parametrize(
    ("units", "level", "found"),
    [
        ({"a": [0.1, 0.2], "b": []}, "note", "no spike of b"),
        ({"a": [0.1, 0.2], "b": [0.1, 0.2]}, "warning", "identical units a = b"),
        (
            {"a": [0.1, 0.1005, 0.2, 0.3, 0.5]},
            "note",
            "spikes within 1 ms of the one before: a 25.0 %",
        ),
        (
            {"a": [1e6, 2e6, 3e6]},
            "warning",
            "a median interval between spikes of 1e+06 s",
        ),
    ],
)
def test_each_fault_of_spikes(units: dict[str, list[float]], level: str, found: str) -> None:
    assert brief(schema.validate(synthetic_train(**units))) == [(level, "units/time_s", found)]


def synthetic_edges(source: list[int], target: list[int], weight: list[float]) -> xr.DataTree:
    tree = synthetic_connectome()
    graph = tree["graph"].to_dataset(inherit=False).drop_dims(["edge", "split"])
    splits = np.searchsorted(source, np.arange(4))
    edges = {"source": source, "target": target, "weight": weight}
    columns = {key: ("edge", np.array(value)) for key, value in edges.items()}
    graph = graph.assign({**columns, "row_splits": ("split", splits)})
    return recording("connectome", graph=graph)


@pytest.mark.parametrize(
    ("edges", "level", "where", "found"),
    [
        (([0, 0, 1], [0, 1, 2], [1, 1, 1]), "note", "source", "1 self loop(s)"),
        (([0, 0, 1], [1, 1, 2], [1, 1, 1]), "note", "source", "1 edge(s) that repeat another"),
        (([0, 1], [1, 0], [1, 1]), "note", "node_id", "1 of 3 nodes without an edge"),
        (([0, 1], [1, 2], [1, -1]), "note", "weight", "1 negative weight(s)"),
        (([0, 1], [1, 2], [1, np.nan]), "error", "weight", "1 non-finite weight(s) of 2"),
    ],
)
def test_each_fault_of_a_graph(edges: Any, level: str, where: str, found: str) -> None:
    tree = synthetic_edges(*edges)
    assert brief(schema.validate(tree)) == [(level, f"graph/{where}", found)]


def test_two_kinds_of_the_same_edge_are_no_repetition() -> None:
    tree = synthetic_edges([0, 0, 1], [1, 1, 2], [1, 1, 1])
    graph = tree["graph"].to_dataset(inherit=False)
    tree["graph"].dataset = graph.assign(kind=("edge", ["chemical", "gap junction", "chemical"]))
    assert schema.validate(tree) == []


def test_labels_and_their_table_agree() -> None:
    tree = synthetic_nuclei()
    data = tree["nuclei"].to_dataset(inherit=False)

    def spoilt(**columns: Any) -> list[tuple[str, str]]:
        tree["nuclei"].dataset = data.assign(columns)
        return [(p.where, p.found) for p in schema.validate(tree) if p.level == "error"]

    assert spoilt() == []
    counts = ("instance", np.array([2, 3, 9]))
    assert spoilt(voxel_count=counts) == [("nuclei/voxel_count", "1 count(s) unlike the labels")]
    label = data["label"].copy(deep=True)
    label[0, 3, 0] = 7
    unlisted = ("nuclei/label", "1 object(s) without a row in the table")
    assert spoilt(label=label) == [unlisted]
    label = data["label"].where(data["label"] != 3, 0)
    undrawn = ("nuclei/instance_id", "1 object(s) that no voxel belongs to")
    assert spoilt(label=label.astype("uint16")) == [undrawn]


def test_quality_is_judged_for_the_sound_nodes_of_a_broken_recording() -> None:
    flat = synthetic_traces()
    flat["signal_adc"][:, 1] = 0
    broken = synthetic_traces().assign_attrs(n=1)
    problems = brief(schema.validate(recording("eeg", a=flat, b=broken)))
    assert problems == [
        ("error", "b: n", f"n=1 for {SAMPLES} samples"),
        ("warning", "a/signal_adc", "flat channel(s) C1"),
    ]


def test_healthy_spikes_keep_their_unknown_span() -> None:
    tree = synthetic_spikes()
    tree["units"].attrs = {k: v for k, v in tree["units"].attrs.items() if k[-2:] != "_s"}
    assert schema.validate(tree) == []
    assert schema.validate(synthetic_eeg()) == []
