"""No batch of any kind of sample has a number that is none; what is left out is counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodata.errors import InvalidInputError
from neurodata.loader import (
    Graphs,
    Joined,
    Neighbours,
    NextWindow,
    Node,
    Patches,
    Random,
    SpikeBins,
    Trials,
    Volumes,
    Windows,
    load,
)
from neurodata.splits import Split
from neurodata.store import open_store
from tests.synthetic_loader import MemoryStore, intervals, irregular, node, recording, split_of
from tests.synthetic_stores import whole_split
from tests.synthetic_trees import recording as whole_recording
from tests.synthetic_trees import synthetic_float_traces

WHY = "samples not finite or not observed"
BAD = (np.nan, np.inf, -np.inf, 1e39)  # the last one is finite in float64 only
RATE_HZ, N = 100.0, 1000
PLACES = st.lists(
    st.tuples(st.integers(0, N - 1), st.integers(0, 2), st.sampled_from(BAD)), max_size=6
)


def odd(found: Any, at: str = "") -> Iterator[str]:
    """Yield where in a batch there is a number that is none; coordinates may be unknown."""
    if isinstance(found, Mapping):
        for key, value in found.items():
            if key != "start_s":  # an image without a clock has none
                yield from odd(value, f"{at}/{key}")
    elif isinstance(found, list | tuple):
        for value in found:
            yield from odd(value, at)
    elif np.asarray(found).dtype.kind in "fc" and not np.isfinite(found).all():
        yield at


def batches(loader: Any) -> list[dict[str, Any]]:
    """Return all batches, after looking at every number in them."""
    found = list(loader)
    assert [place for batch in found for place in odd(batch)] == []
    return found


def synthetic_series(
    places: list[tuple[int, int, float]], n: int = N, rate_hz: float = RATE_HZ
) -> xr.Dataset:
    """Three channels, the second one flat and the third one clipped, with some bad samples."""
    signal = np.random.default_rng(3).normal(0, 1, (n, 3))
    signal[:, 1] = 0.5
    signal[:, 2] = np.clip(signal[:, 2], -0.1, 0.1)
    for row, column, value in places:
        signal[row, column] = value
    return node(
        "timeseries",
        {"signal": (("time", "channel"), signal, {"units": "1"})},
        {"channel": ["a", "flat", "clipped"]},
        start_s=0.0, rate_hz=rate_hz, n=n,
    )  # fmt: skip


def one(**nodes: xr.Dataset) -> tuple[MemoryStore, Split]:
    """Return a store of one recording, all of it in the split ``train``."""
    return MemoryStore(a=recording(nodes)), split_of(("a", "train", {}))


@settings(max_examples=25)
@given(PLACES, st.sampled_from([None, "standard"]))
def test_windows(places: list[tuple[int, int, float]], scale: Any) -> None:
    store, split = one(series=synthetic_series(places))
    loader = load(store, splits=split, sample=Windows(0.5), scale=scale)
    bad = {row // 50 for row, _, _ in places}
    assert loader.left_out == ({WHY: len(bad)} if bad else {})
    starts = [s for batch in batches(loader) for s in batch["start_s"].tolist()]
    assert sorted(starts) == [0.5 * k for k in range(20) if k not in bad]


ROWS = [(100, 0, np.nan), (430, 1, np.inf), (431, 2, 1e39), (900, 0, -np.inf)]


@pytest.mark.parametrize("rate_hz", [50.0, 40.0, 250.0])
def test_resampled_windows(rate_hz: float) -> None:
    store, split = one(series=synthetic_series(ROWS))
    loader = load(store, splits=split, sample=Windows(0.5), resample_hz=rate_hz)
    assert loader.left_out[WHY] >= 3
    found = np.concatenate([batch["start_s"] for batch in batches(loader)])
    for row, _, _ in ROWS:
        assert not ((found <= row / RATE_HZ) & (row / RATE_HZ < found + 0.5)).any()


def test_an_irregular_clock() -> None:
    data = irregular(np.arange(600) / 30 + np.tile([0.0, 0.002, -0.002], 200))
    data["signal"].values[[90, 333], [0, 1]] = np.nan, np.inf
    store, split = one(series=data)
    loader = load(store, splits=split, sample=Windows(1.0), resample_hz=30.0)
    assert loader.left_out[WHY] >= 2
    assert batches(loader)


def test_windows_drawn_anywhere() -> None:
    store, split = one(series=synthetic_series(ROWS))
    loader = load(store, splits=split, sample=Windows(0.5), draw=Random(300))
    assert sum(len(batch["signal"]) for batch in batches(loader)) == 300


def test_trials_and_their_labels() -> None:
    rows = intervals(
        *((float(k), 0.5, "go") for k in range(9)), (np.nan, 0.5, "go"),
        score=[0.5, np.nan, np.inf, -np.inf, *np.arange(6.0)],
    )  # fmt: skip
    store, split = one(series=synthetic_series(ROWS), trials=rows)
    loader = load(store, splits=split, sample=Trials("go", 0.0, 0.5), target="score")
    assert loader.left_out == {WHY: 2, "interval without onset": 1, "no target": 2}
    (batch,) = batches(loader)
    assert sorted(zip(batch["start_s"], batch["target"], strict=True)) == [
        (0.0, 0.5), (5.0, 1.0), (6.0, 2.0), (7.0, 3.0), (8.0, 4.0)
    ]  # fmt: skip


def test_what_follows_and_other_nodes_as_targets() -> None:
    store, split = one(
        series=synthetic_series([]), other=synthetic_series([(450, 0, np.nan), (720, 2, 1e39)])
    )
    sample = Windows(0.5, node="series")
    loader = load(store, splits=split, sample=sample, target=Node("other"))
    assert loader.left_out == {f"target: {WHY}": 2}
    assert sum(len(batch["target"]) for batch in batches(loader)) == 18
    sample = Windows(0.5, node="other")
    loader = load(store, splits=split, sample=sample, target=NextWindow(0.5))
    starts = np.concatenate([batch["start_s"] for batch in batches(loader)]).tolist()
    assert not {4.0, 4.5, 6.5, 7.0} & set(starts)


def test_joined_nodes() -> None:
    store, split = one(
        series=synthetic_series([]), other=synthetic_series([(450, 0, np.inf)], rate_hz=100.0)
    )
    for required, count in ((True, 19), (False, 20)):
        loader = load(
            store, splits=split, sample=Windows(0.5, node="series"),
            joined=[Joined("other", required=required)],
        )  # fmt: skip
        assert sum(len(batch["signal"]) for batch in batches(loader)) == count


def test_spike_counts() -> None:
    times = np.sort(np.random.default_rng(0).uniform(0, 10, 200))
    spikes = node(
        "spikes", {"time_s": ("spike", times), "row_splits": ("split", [0, 120, 120, 200])},
        {"unit_id": ("unit", ["a", "b", "c"])}, start_s=0.0, stop_s=10.0,
    )  # fmt: skip
    rows = intervals((1.0, 1.0, "x"), (np.nan, 1.0, "x"), (np.inf, 1.0, "x"), (3.0, np.nan, "x"))
    store, split = one(units=spikes, trials=rows)
    loader = load(store, splits=split, sample=SpikeBins(0.1, 1.0, intervals="trials"))
    (batch,) = batches(loader)
    assert sorted(batch["start_s"]) == [1.0, 3.0]


# ---- volumes


def synthetic_volume(
    places: list[tuple[int, int, int, int]], value: float = np.nan, seed: int = 0
) -> xr.Dataset:
    image = np.random.default_rng(seed).normal(0, 1, (3, 4, 6, 8))
    for place in places:
        image[place] = value
    return node(
        "volume", {"image": (("time", "z", "y", "x"), image, {"units": "a.u."})},
        start_s=0.0, rate_hz=0.5, n=3,
    )  # fmt: skip


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("scale", [None, "standard"])
def test_patches_and_volumes(value: float, scale: Any) -> None:
    store, split = one(image=synthetic_volume([(1, 0, 0, 0), (1, 3, 5, 7)], value))
    loader = load(store, splits=split, sample=Patches((2, 3, 4)), scale=scale)
    assert loader.left_out == {WHY: 2}
    assert sum(len(batch["image"]) for batch in batches(loader)) == 3 * 8 - 2
    loader = load(store, splits=split, sample=Volumes(), scale=scale)
    assert loader.left_out == {WHY: 1}
    assert sum(len(batch["image"]) for batch in batches(loader)) == 2
    loader = load(store, splits=split, sample=Patches((2, 3, 4)), scale=scale, draw=Random(100))
    assert sum(len(batch["image"]) for batch in batches(loader)) == 100


def test_a_volume_as_target() -> None:
    store, split = one(
        image=synthetic_volume([(0, 0, 0, 0)]), other=synthetic_volume([(2, 3, 5, 7)], seed=1)
    )
    for sample, count in ((Patches((2, 3, 4), node="image"), 22), (Volumes("image"), 1)):
        loader = load(store, splits=split, sample=sample, target=Node("other"))
        assert loader.left_out == {WHY: 1, f"target: {WHY}": 1}
        assert sum(len(batch["target"]) for batch in batches(loader)) == count
    sample = Patches((2, 3, 4), node="image")
    loader = load(store, splits=split, sample=sample, target=Node("other"), draw=Random(100))
    assert sum(len(batch["target"]) for batch in batches(loader)) == 100


def test_integers_that_their_scale_takes_beyond_float32() -> None:
    counts = np.zeros((4, 6, 8), "i2")
    counts[0, 0, 0] = 30_000
    data = node("volume", {"image_adc": (("z", "y", "x"), counts, {"units": "a.u."}),
                           "scale": 1e36, "offset": 0.0})  # fmt: skip
    store, split = one(image=data)
    loader = load(store, splits=split, sample=Patches((2, 3, 4)))
    assert loader.left_out == {WHY: 1}
    assert sum(len(batch["image"]) for batch in batches(loader)) == 7
    signal = np.zeros((N, 1), "i2")
    signal[120] = 30_000
    data = node("timeseries", {"signal_adc": (("time", "channel"), signal, {"units": "1"}),
                               "scale": ("channel", [1e36]), "offset": ("channel", [0.0])},
                {"channel": ["a"]}, start_s=0.0, rate_hz=RATE_HZ, n=N)  # fmt: skip
    store, split = one(series=data)
    loader = load(store, splits=split, sample=Windows(0.5))
    assert loader.left_out == {WHY: 1}
    assert sum(len(batch["signal"]) for batch in batches(loader)) == 19


def test_complex_voxels_are_refused() -> None:
    data = synthetic_volume([])
    store, split = one(image=data.assign(image=data["image"].astype("c8")))
    with pytest.raises(InvalidInputError, match="complex voxels"):
        load(store, splits=split, sample=Volumes())


# ---- graphs


def synthetic_graph(**columns: Any) -> xr.Dataset:
    return node(
        "graph",
        {"source": ("edge", [0, 1, 2]), "target": ("edge", [1, 2, 3]),
         "weight": ("edge", [1.0, 2.0, 3.0]),
         **{name: ("node", np.array(values)) for name, values in columns.items()}},
        {"node_id": ("node", list("abcd"))}, directed=True,
    )  # fmt: skip


def test_nodes_without_a_target_are_no_seeds() -> None:
    store, split = one(graph=synthetic_graph(depth=[0.5, np.nan, 1.5, np.inf]))
    sample = Neighbours((1,), columns=[])
    loader = load(store, splits=split, sample=sample, target="depth")
    assert loader.left_out == {"no target": 2}
    (batch,) = batches(loader)
    seeds = batch["node_id"][: batch["batch_size"]].tolist()
    assert dict(zip(seeds, batch["target"].tolist(), strict=True)) == {0: 0.5, 2: 1.5}


@pytest.mark.parametrize("sample", [Windows(0.5), Graphs()])
def test_a_fact_that_is_no_number_is_no_target(sample: Any) -> None:
    tree = recording({"series": synthetic_series([]), "graph": synthetic_graph()}, age_years=np.nan)
    store, split = MemoryStore(a=tree), split_of(("a", "train", {}))
    with pytest.raises(InvalidInputError, match="no 'age_years' in lab/a"):
        load(store, splits=split, sample=sample, target="age_years")


# ---- from a store, whose manifest says which arrays are finite


@pytest.mark.parametrize(("value", "windows"), [(1e-5, 10), (9e32, 9), (np.nan, 9), (-np.inf, 9)])
def test_what_a_store_calls_finite_is_finite_in_the_units_of_a_batch(
    value: float, windows: int, tmp_path: Path
) -> None:
    data = synthetic_float_traces()
    signal = data["signal"].values.copy()
    step = len(signal) // 10
    signal[3 * step, 0] = value
    data = data.assign(signal=(("time", "channel"), signal, data["signal"].attrs))
    store = open_store(tmp_path, create=True)
    done = store.publish(whole_recording("eeg", eeg=data), dataset="lab", recording="a")
    split = whole_split(store)
    assert store.manifest(done.id)["finite"]["eeg/signal"] is (windows == 10)
    loader = load(store, splits=split, sample=Windows(step / data.attrs["rate_hz"]))
    assert sum(len(batch["signal"]) for batch in batches(loader)) == windows
    assert loader.left_out.get(WHY, 0) == 10 - windows
