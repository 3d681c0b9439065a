from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurodata.loader import Loader, Windows, load
from neurodata.splits import Split
from neurodata.store import Store, open_store

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

RATE_HZ = 50.0


def synthetic(n: int, seed: int) -> xr.DataTree:
    counts = np.random.default_rng(seed).integers(-999, 999, (n, 2)).astype("i2")
    traces = xr.Dataset(
        {
            "signal_adc": (("time", "channel"), counts, {"units": "V"}),
            "scale": ("channel", [1e-7, 2e-7]),
            "offset": ("channel", [0.0, 0.0]),
        },
        {
            "channel": ["Fp1", "Fp2"],
            "type": ("channel", ["EEG"] * 2),
            "units": ("channel", ["V"] * 2),
        },
        {"representation": "timeseries", "schema": "timeseries/1"}
        | {"start_s": 0.0, "rate_hz": RATE_HZ, "n": n},
    )
    root = xr.Dataset(attrs={"subject": f"s{seed}", "modality": "eeg"})
    return xr.DataTree.from_dict({"/": root, "eeg": traces})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = open_store(tmp_path_factory.mktemp("store"), create=True)
    for seed in range(3):
        store.publish(
            synthetic(500 + 50 * seed, seed), dataset="lab", recording=f"synthetic_{seed}"
        )
    return store


@pytest.fixture(scope="module")
def split(store: Store) -> Split:
    entries: Any = [
        {"id": name, "version": store.version(name), "group": name, "split": "train"}
        for name in store.ids()
    ]
    return Split.sealed("lab", "subject", "", {"train": 1.0}, None, entries)


def make(store: Store, split: Split) -> Loader:
    return load(store, splits=split, sample=Windows(0.5), target="subject", batch_size=4, seed=2)


def keys(batches: Any) -> list[tuple[int, float]]:
    return [
        (int(r), float(s))
        for batch in batches
        for r, s in zip(batch["recording"], batch["start_s"], strict=True)
    ]


def test_a_real_store_gives_its_own_values(store: Store, split: Split) -> None:
    loader = make(store, split)
    assert loader.windows == 20 + 22 + 24
    for batch in loader:
        for signal, number, start_s in zip(
            batch["signal"], batch["recording"], batch["start_s"], strict=True
        ):
            eeg = store[loader.ids[number]]["eeg"].to_dataset()
            first = round(start_s * RATE_HZ)
            expected = eeg["signal"].isel(time=slice(first, first + 25)).values.T * 1e6
            np.testing.assert_allclose(signal, expected, rtol=1e-6)


def test_an_older_version_is_read_as_it_was_frozen(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store", create=True)
    store.publish(synthetic(100, 0), dataset="lab", recording="synthetic")
    entry: Any = {"id": "lab/synthetic", "version": store.version("lab/synthetic")}
    entry |= {"group": "s0", "split": "train"}
    split = Split.sealed("lab", "subject", "", {"train": 1.0}, None, [entry])
    before = [batch["signal"].copy() for batch in make(store, split)]
    store.publish(synthetic(100, 1), dataset="lab", recording="synthetic")
    assert store.version("lab/synthetic") != entry["version"]
    split.write(tmp_path / "split.json")
    file = str(tmp_path / "split.json")
    after = load(
        str(store.path), splits=file, sample=Windows(0.5), target="subject", batch_size=4, seed=2
    )
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other["signal"])


def test_tensors_are_the_arrays(store: Store, split: Split) -> None:
    import torch

    tensors, arrays = list(make(store, split).torch()), list(make(store, split))
    assert len(tensors) == len(arrays) == len(make(store, split).torch())
    for tensor, array in zip(tensors, arrays, strict=True):
        assert tensor["signal"].dtype == torch.float32
        assert tensor["signal"].stride() == (50, 1, 2), "a view on time-major memory"
        np.testing.assert_array_equal(tensor["signal"].numpy(), array["signal"])
        assert tensor["mask"].dtype == torch.bool
        assert tensor["target"] == array["target"].tolist()
        assert tensor["units"] == "µV"


def load_in_workers(folder: str, file: str, start: str) -> None:
    """What a training script does with worker processes, on torch's own loader."""
    from torch.utils.data import DataLoader

    store, split = open_store(folder), Split.read(file)
    reference = make(store, split)
    epochs = [keys(reference) for _ in range(3)]
    loader = make(store, split)
    view = loader.torch()
    loaded = DataLoader(
        view,
        batch_size=None,
        num_workers=2,
        multiprocessing_context=start,
        persistent_workers=True,
        timeout=60,
    )
    assert len(loaded) == len(loader)
    assert keys(loaded) == epochs[0]
    assert keys(loaded) == epochs[1], "persistent workers go on to the next epoch"
    if start == "fork":
        view.set_epoch(2)
        again = DataLoader(
            view, batch_size=None, num_workers=2, multiprocessing_context=start, timeout=60
        )
        assert keys(again) == epochs[2]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_worker_processes_give_each_batch_once_and_in_order(
    store: Store, split: Split, start: str, tmp_path: Path
) -> None:
    """In a process of its own: a fork would take over whatever other tests left behind."""
    split.write(tmp_path / "split.json")
    code = (
        "import sys; from tests.test_loader_torch import load_in_workers\n"
        "load_in_workers(*sys.argv[1:])"
    )
    arguments = [str(store.path), str(tmp_path / "split.json"), start]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
