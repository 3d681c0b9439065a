"""The loader on real recordings, ingested into a store, against independent readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurodata
from neurodata.loader import Node, Patches, SpikeBins, Windows, load
from neurodata.splits import Split
from neurodata.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = neurodata.open_store(tmp_path_factory.mktemp("store"), create=True)
    for name in ("gripforce_ieeg", "miniscope_mouse", "nuclei", "spikes_mouse"):
        neurodata.ingest(name, store=store)
    return store


def whole(store: Store, dataset: str) -> Split:
    entries: Any = [
        {"id": name, "version": store.version(name), "group": name, "split": "test"}
        for name in store.ids(dataset)
    ]
    return Split.sealed(dataset, "subject", "", {"test": 1.0}, None, entries)


def test_ieeg_windows_agree_with_mne(store: Store, samples: Path) -> None:
    import mne

    header = next((samples / "gripforce_ieeg").rglob("*.vhdr"))
    raw = mne.io.read_raw_brainvision(header, verbose="error")
    split = whole(store, "gripforce_ieeg")
    loader = load(
        store,
        splits=split,
        split="test",
        sample=Windows(1.0, node="ieeg"),
        target=Node("misc"),
        batch_size=4,
    )
    channels = list(map(str, store[loader.ids[0]]["ieeg"]["channel"].values))
    assert loader.units == "µV"
    assert loader.windows == 19
    for batch in loader:
        assert batch["target"].shape[1:] == (1, 1000)
        for signal, start_s in zip(batch["signal"], batch["start_s"], strict=True):
            first = round(start_s * raw.info["sfreq"])
            expected = raw.get_data(picks=channels, start=first, stop=first + 1000) * 1e6
            np.testing.assert_allclose(signal, expected, rtol=1e-5, atol=1e-3)


def test_calcium_traces_agree_with_numpys_interpolation_of_the_file(
    store: Store, samples: Path
) -> None:
    import h5py

    loader = load(
        store,
        splits=whole(store, "miniscope_mouse"),
        split="test",
        sample=Windows(2.0),
        resample_hz=30.0,
    )
    with h5py.File(next((samples / "miniscope_mouse").glob("*.nwb"))) as file:
        found: list[Any] = []
        file.visititems(lambda _, item: found.append(item) if "timestamps" in item.name else None)
        times = found[0][:]
        values = found[0].parent["data"][:]
    start_s = times - times[0] + float(next(iter(loader))["start_s"][0])
    for number, batch in enumerate(loader):
        if number == 2:
            break
        for signal, first_s in zip(batch["signal"], batch["start_s"], strict=True):
            wanted = first_s + np.arange(60) / 30
            expected = [np.interp(wanted, start_s, column) for column in values.T]
            np.testing.assert_allclose(signal, expected, rtol=1e-4, atol=1e-4)


def test_spike_counts_add_up_to_the_spikes_of_the_file(store: Store) -> None:
    loader = load(
        store,
        splits=whole(store, "spikes_mouse"),
        split="test",
        sample=SpikeBins(0.05, 1.0),
    )
    units = store[loader.ids[0]]["units"]
    counts = np.concatenate([batch["signal"] for batch in loader])
    first = float(next(iter(loader))["start_s"][0])
    times, splits = units["time_s"].values, units["row_splits"].values
    for unit in range(counts.shape[1]):
        own = times[splits[unit] : splits[unit + 1]]
        inside = (own >= first) & (own < first + len(counts))
        assert inside.sum() == counts[:, unit].sum()


def test_nuclei_patches_agree_with_tifffile(store: Store, samples: Path) -> None:
    import tifffile

    loader = load(
        store,
        splits=whole(store, "nuclei"),
        split="test",
        sample=Patches((1, 48, 48)),
        target=Node("instances"),
    )
    folder = samples / "nuclei"
    for batch in loader:
        parts = zip(
            batch["image"], batch["target"], batch["corner_zyx"], batch["recording"], strict=True
        )
        for image, label, (z, y, x), number in parts:
            stem = loader.ids[number].removeprefix("nuclei/img")
            for name, found in (("img", image), ("mask", label)):
                raw = tifffile.imread(next(folder.rglob(f"{name}{stem}.tif*")))
                raw = raw if raw.ndim == 3 else raw[None]
                np.testing.assert_array_equal(found[0, 0], raw[z, y : y + 48, x : x + 48])
