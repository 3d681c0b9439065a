from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurodata.errors import InvalidInputError
from neurodata.loader import (
    Attribute,
    Label,
    NextWindow,
    Node,
    Trials,
    Windows,
    load,
)
from neurodata.splits import Split
from tests.synthetic_loader import (
    MemoryStore,
    behaviour,
    eeg,
    intervals,
    irregular,
    microvolts,
    one_eeg,
    recording,
    split_of,
    starts,
)


def trial_store() -> tuple[MemoryStore, Split, xr.Dataset]:
    data = eeg(start_s=1.0)
    rows = intervals(
        (1.05, 0.5, "go"),
        (3.0, 0.5, "stop"),
        (5.0, 0.5, "go"),
        (10.9, 0.5, "go"),
        (np.nan, 0.5, "go"),
        reward=[1.0, 2.0, 3.0, 4.0, 5.0],
    )
    tree = recording({"eeg": data, "trials": rows}, subject="m1", sex="F")
    return MemoryStore(a=tree), split_of(("a", "test", {})), data


def test_trials_are_windows_around_onsets() -> None:
    store, split, data = trial_store()
    sample = Trials("go", tmin_s=-0.2, tmax_s=0.3)
    loader = load(store, splits=split, split="test", sample=sample, target="label")
    (batch,) = list(loader)
    assert batch["start_s"].tolist() == [4.8]
    assert batch["target"].tolist() == ["go"]
    np.testing.assert_allclose(batch["signal"][0], microvolts(data)[380:430].T, rtol=1e-6)
    assert loader.left_out == {
        "crosses the border of the recording or split": 2,
        "interval without onset": 1,
    }
    every = load(store, splits=split, split="test", sample=Trials(None, 0.0, 0.1), target="reward")
    assert next(iter(every))["target"].tolist() == [1.0, 2.0, 3.0, 4.0]
    with pytest.raises(InvalidInputError, match="go, stop"):
        load(store, splits=split, split="test", sample=Trials("left"))


def test_a_window_has_the_label_of_the_intervals_that_cover_all_of_it() -> None:
    rows = intervals((0.0, 3.0, "wake"), (3.0, 2.5, "rem"), (6.0, 2.0, "rem"), (7.0, 3.0, "wake"))
    store = MemoryStore(a=recording({"eeg": eeg(), "stages": rows}))
    loader = load(
        store,
        splits=split_of(("a", "test", {})),
        split="test",
        sample=Windows(1.0),
        target="label",
    )
    (batch,) = list(loader)
    assert dict(zip(batch["start_s"], batch["target"], strict=True)) == {
        0.0: "wake", 1.0: "wake", 2.0: "wake", 3.0: "rem", 4.0: "rem", 6.0: "rem",
        8.0: "wake", 9.0: "wake",
    }  # fmt: skip
    assert loader.left_out == {"no target": 1, "intervals disagree": 1}


def test_a_recordings_fact_and_a_function_are_targets() -> None:
    store, split, _ = trial_store()

    def load_with(target: Any, sample: Any = Windows(1.0)) -> Any:  # noqa: B008
        return load(store, splits=split, split="test", sample=sample, target=target)

    assert set(next(iter(load_with("sex")))["target"]) == {"F"}
    assert set(next(iter(load_with(Attribute("subject"))))["target"]) == {"m1"}
    batch = next(iter(load_with(lambda m: m["start_s"] + len(m["attrs"]["subject"]))))
    np.testing.assert_array_equal(batch["target"], batch["start_s"] + 2)
    trials = load_with(lambda m: m["interval"]["reward"], Trials("stop"))
    assert next(iter(trials))["target"].tolist() == [2.0]
    with pytest.raises(InvalidInputError, match="label, reward, sex, start_s, subject"):
        load_with("genotype")
    with pytest.raises(InvalidInputError, match="no 'age_years' in lab/a"):
        load_with(Attribute("age_years"))
    assert load_with(Label("reward"), Trials("stop")).windows == 1


def test_the_next_window_follows_within_the_interval() -> None:
    store, split, data = one_eeg()
    loader = load(store, splits=split, split="test", sample=Windows(1.0), target=NextWindow(0.25))
    (batch,) = list(loader)
    assert batch["signal"].shape == (9, 3, 100)
    assert batch["target"].shape == (9, 3, 25)
    np.testing.assert_allclose(batch["target"][8], microvolts(data)[900:925].T, rtol=1e-6)


def test_another_node_is_cut_at_the_same_seconds() -> None:
    tree = recording({"eeg": eeg(), "force": behaviour(130, 20.0, start_s=-0.02)})
    loader = load(
        MemoryStore(a=tree),
        splits=split_of(("a", "test", {})),
        split="test",
        sample=Windows(1.0, 0.5, node="eeg"),
        target=Node("force"),
    )
    (batch,) = list(loader)
    assert batch["target"].shape == (len(batch["start_s"]), 1, 20)
    lag = batch["target"][:, 0, 0] - batch["start_s"]
    assert (lag >= -1e-6).all()
    assert (lag < 0.05).all()
    assert batch["target"][-1, 0, -1] <= 129 / 20
    assert loader.left_out == {"target: crosses the border of the recording or split": 8}


def test_a_node_on_the_same_irregular_clock_is_interpolated_alike() -> None:
    times = np.arange(300) / 30 + np.tile([0.0, 0.002, -0.002], 100)
    tree = recording({"f": irregular(times), "speed": irregular(times)})
    loader = load(
        MemoryStore(a=tree),
        splits=split_of(("a", "test", {})),
        split="test",
        sample=Windows(0.5, node="f"),
        target=Node("speed"),
        resample_hz=30.0,
    )
    batch = next(iter(loader))
    np.testing.assert_array_equal(batch["signal"], batch["target"])


def test_an_onset_belongs_to_one_side_of_a_cut_in_time() -> None:
    store, _, _ = trial_store()
    split = split_of(
        ("a", "train", {"start_s": 1.0, "stop_s": 5.0}),
        ("a", "test", {"start_s": 5.0, "stop_s": 11.0}),
        by="time",
    )
    sample = Trials("go", tmin_s=0.0, tmax_s=0.3)
    train = load(store, splits=split, sample=sample)
    test = load(store, splits=split, split="test", sample=sample)
    assert [s for _, s in starts(train)] == [1.05]
    assert [s for _, s in starts(test)] == [5.0]
    assert train.left_out == {"interval without onset": 1}
