from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurodata.errors import InvalidInputError, LeakageError
from neurodata.loader import (
    Windows,
    load,
)
from tests.synthetic_loader import (
    VERSION,
    MemoryStore,
    eeg,
    irregular,
    microvolts,
    recording,
    split_of,
)


def test_an_irregular_clock_is_interpolated_and_windows_with_gaps_left_out() -> None:
    rng = np.random.default_rng(0)
    times = 5 + np.arange(600) / 30 + rng.uniform(-0.004, 0.004, 600)
    times = np.delete(times, [200, 201, 202])
    store = MemoryStore(a=recording({"f": irregular(times)}))
    split = split_of(("a", "test", {}))
    with pytest.raises(InvalidInputError, match="irregular clock") as caught:
        load(store, splits=split, split="test", sample=Windows(1.0))
    assert "resample_hz=" in caught.value.hint
    loader = load(store, splits=split, split="test", sample=Windows(1.0), resample_hz=30.0)
    assert loader.left_out == {"gap in the clock": 1}
    assert loader.units == "dF/F"
    for batch in loader:
        clock = batch["start_s"][:, None] + np.arange(30) / 30
        np.testing.assert_allclose(batch["signal"][:, 0], clock, rtol=1e-6)
        np.testing.assert_allclose(batch["signal"][:, 1], 2 * clock, rtol=1e-6)
    slow = load(store, splits=split, split="test", sample=Windows(1.0, 0.5), resample_hz=10.0)
    for batch in slow:
        middle = batch["signal"][:, 0, 5]
        np.testing.assert_allclose(middle, batch["start_s"] + 0.5, rtol=0.02)


def test_interpolation_stays_in_the_interval() -> None:
    times = np.arange(300) / 30 + np.tile([0.0, 0.002, -0.002], 100)
    data = irregular(times)
    store = MemoryStore(a=recording({"f": data}))
    place = {"start_s": 2.01, "stop_s": 7.99}
    split = split_of(("a", "test", place), by="time")
    outside = (times < 2.01) | (times >= 7.99)
    data["signal"].values[outside] = 1e6
    loader = load(store, splits=split, split="test", sample=Windows(0.5), resample_hz=30.0)
    signals = np.concatenate([batch["signal"] for batch in loader])
    assert len(signals) == 11
    assert signals.max() < 20


def test_standard_scale_is_fitted_on_the_training_split_only() -> None:
    store = MemoryStore(
        a=recording({"eeg": eeg(400, seed=1)}), b=recording({"eeg": eeg(300, seed=2)})
    )
    split = split_of(
        ("a", "train", {"start_s": 0.0, "stop_s": 2.0}),
        ("a", "test", {"start_s": 2.1, "stop_s": 4.0}),
        ("b", "train", {"start_s": 0.0, "stop_s": 3.0}),
        by="time",
    )
    one, two = (
        microvolts(store.trees[f"lab/{name}@{VERSION}"]["eeg"].to_dataset()) for name in "ab"
    )
    expected = np.concatenate([one[:200], two[:300]])
    test = load(store, splits=split, split="test", sample=Windows(0.5), scale="standard")
    found = test.statistics
    assert found is not None
    np.testing.assert_allclose(found.mean, expected.mean(0), rtol=1e-10)
    np.testing.assert_allclose(found.std, expected.std(0), rtol=1e-10)
    assert found.keys == ("C0 [µV]", "C1 [µV]", "C2 [µV]")
    assert found.count == (500, 500, 500)
    assert [item["id"] for item in found.fitted_on] == ["lab/a", "lab/b"]
    batch = next(iter(test))
    assert batch["units"] == test.units == "standardised"
    standard = (one[210:260] - expected.mean(0)) / expected.std(0)
    np.testing.assert_allclose(batch["signal"][0], standard.T, rtol=1e-4, atol=1e-5)
    train = load(store, splits=split, sample=Windows(0.5), scale="standard")
    assert train.statistics is not None
    assert train.statistics.digest == found.digest
    reused = load(store, splits=split, split="test", sample=Windows(0.5), scale=train.statistics)
    np.testing.assert_array_equal(next(iter(reused))["signal"], batch["signal"])
    swapped = split_of(
        ("a", "test", {"start_s": 0.0, "stop_s": 2.0}),
        ("b", "train", {"start_s": 0.0, "stop_s": 3.0}),
        by="time",
    )
    with pytest.raises(LeakageError, match="lab/a"):
        load(store, splits=swapped, sample=Windows(0.5), scale=train.statistics)


def test_channels_unknown_to_training_need_statistics_by_type() -> None:
    other = eeg(400, seed=5).assign_coords(channel=["X", "Y", "Z"])
    store = MemoryStore(a=recording({"eeg": eeg(400)}), b=recording({"eeg": other}))
    split = split_of(("a", "train", {}), ("b", "test", {}))
    arguments: dict[str, Any] = {"splits": split, "split": "test", "sample": Windows(0.5)}
    with pytest.raises(InvalidInputError, match=r"X \[µV\].*standard_by_type"):
        load(store, **arguments, scale="standard")
    loader = load(store, **arguments, scale="standard_by_type")
    assert loader.statistics is not None
    assert loader.statistics.keys == ("EEG [µV]",)
    values = microvolts(store.trees[f"lab/a@{VERSION}"]["eeg"].to_dataset())
    np.testing.assert_allclose(loader.statistics.mean, values.mean())
    np.testing.assert_allclose(loader.statistics.std, values.std())
