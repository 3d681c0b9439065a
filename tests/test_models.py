from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from neurodata.models import MODELS, PERSISTENCE, gathered, stacked
from neurodata.models.baselines import otsu
from neurodata.models.estimators import poisson, ridge
from neurodata.scoring import KINDS


def test_every_kind_of_task_has_baselines_and_a_model_with_one_signature() -> None:
    assert set(MODELS) == set(KINDS)
    for models in MODELS.values():
        assert {model.role for model in models} == {"baseline", "model"}
        assert len({model.name for model in models}) == len(models)
        for model in models:
            assert list(inspect.signature(model.function()).parameters) == ["train", "val", "seed"]
    assert PERSISTENCE.function().__name__ == "persistence"


def test_gathered_sorts_shuffled_batches_by_recording_then_time() -> None:
    rng = np.random.default_rng(0)
    recording, start_s = np.repeat([0, 1], 10), np.tile(np.arange(10.0), 2)
    order = rng.permutation(20)
    batches = [
        {"x": at[:, None], "y": at, "recording": recording[at], "start_s": start_s[at]}
        for at in np.array_split(order, 3)
    ]
    assert gathered(batches)["y"].tolist() == list(range(20))


def test_gathered_sorts_patches_by_corner() -> None:
    corner = np.stack(np.meshgrid(*[range(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    order = np.random.default_rng(0).permutation(27)
    batch = {"x": corner[order], "y": order, "corner_zyx": corner[order]}
    assert stacked([batch | {"recording": np.zeros(27, int)}])[1].tolist() == list(range(27))


@pytest.mark.parametrize("outputs", [(), (1,), (3,)])
def test_ridge_equals_least_squares_where_there_is_no_noise(outputs: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    x, held = rng.normal(size=(400, 2, 3)), rng.normal(size=(50, 2, 3))
    weights = rng.normal(size=(6, *outputs))
    y = x.reshape(400, 6) @ weights + 2
    found = ridge([{"x": x, "y": y}], None, 0)(held)
    assert found.shape == (50, *outputs)
    np.testing.assert_allclose(found, held.reshape(50, 6) @ weights + 2, atol=0.02)


def test_poisson_regression_finds_the_rate() -> None:
    rng = np.random.default_rng(2)
    x = rng.poisson(3, size=(5000, 1))
    rates = np.hstack([2.0 * (1 + x), 3.0 / (1 + x)])
    found = poisson([{"x": x, "y": rng.poisson(rates)}], None, 0)(np.array([[0], [4]]))
    np.testing.assert_allclose(found, [[2, 3], [10, 0.6]], rtol=0.05)


def test_otsu_is_the_threshold_of_greatest_variance_between_classes() -> None:
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(10, 2, 900), rng.normal(30, 4, 300)])

    def between(threshold: float) -> float:
        high = values > threshold
        share = high.mean()
        return float(share * (1 - share) * (values[high].mean() - values[~high].mean()) ** 2)

    candidates = np.linspace(values.min(), values.max(), 2000)[1:-1]
    best = max(map(between, candidates))
    predict = otsu([{"x": values[:, None], "y": values}], None, 0)
    foreground = predict(candidates[:, None])
    threshold = candidates[foreground.argmax()]
    assert between(threshold) == pytest.approx(best, rel=0.01)


def synthetic_loader(tmp_path: Any, side: str) -> Any:
    """Windows of a synthetic 5 Hz sine with noise, as the forecast task makes them."""
    import xarray as xr

    from neurodata.pipeline import SplitSpec
    from neurodata.scoring.timed import forecast
    from neurodata.splits import make_split
    from neurodata.store import open_store

    store = open_store(tmp_path / "store", create=True)
    if not store.ids():
        time_s = np.arange(6000) / 100
        noise = np.random.default_rng(4).normal(size=(6000, 2))
        signal = np.sin(2 * np.pi * 5 * time_s)[:, None] + 0.1 * noise
        node = xr.Dataset(
            {"signal": (("time", "channel"), signal.astype("f4"), {"units": "V"})},
            {"channel": ["a", "b"], "type": ("channel", ["EEG"] * 2)}
            | {"units": ("channel", ["V"] * 2)},
            {"representation": "timeseries", "schema": "timeseries/1"}
            | {"start_s": 0.0, "rate_hz": 100.0, "n": 6000},
        )
        root = xr.Dataset(attrs={"subject": "s", "modality": "eeg"})
        tree = xr.DataTree.from_dict({"/": root, "eeg": node})
        store.publish(tree, dataset="lab", recording="synthetic_sine")
    spec = SplitSpec(name="time", by="time", gap_s=1.0)
    split = make_split(store, "lab", by=spec.by, gap_s=spec.gap_s)
    sides = forecast(store, split, "eeg", 0, length_s=0.2, horizon_s=0.01, stride_s=0.1)
    return getattr(sides, side)


@pytest.mark.torch
def test_the_network_learns_and_repeats_itself(tmp_path: Any) -> None:
    torch = pytest.importorskip("torch")
    from neurodata.models.network import convolutional

    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    test = gathered(synthetic_loader(tmp_path, "test"))
    found = [
        convolutional(synthetic_loader(tmp_path, "train"), synthetic_loader(tmp_path, "val"), seed)(
            test["x"]
        )
        for seed in (5, 5, 6)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    error, naive = (np.mean((p - test["y"]) ** 2) for p in (found[0], test["x"][..., -1]))
    assert error < 0.5 * naive
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads


@pytest.mark.torch
def test_early_stopping_keeps_the_best_epoch(tmp_path: Any, monkeypatch: Any) -> None:
    """With errors that rise from the second epoch on, the first epoch's weights are kept."""
    pytest.importorskip("torch")
    from neurodata.models import network

    train, val = synthetic_loader(tmp_path, "train"), synthetic_loader(tmp_path, "val")
    x = gathered(synthetic_loader(tmp_path, "test"))["x"]
    errors = iter([1.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr(network, "_error", lambda net, batches: next(errors))
    kept = network.convolutional(train, val, 0)(x)
    assert next(errors, None) is None, "patience of three epochs"
    monkeypatch.setattr(network, "_error", lambda net, batches: 1.0)
    monkeypatch.setattr(network, "EPOCHS", 1)
    train.go_to(0)
    np.testing.assert_array_equal(kept, network.convolutional(train, val, 0)(x))
