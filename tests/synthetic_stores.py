"""Synthetic stores on disk, larger than the memory that the loader's tests allow them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata.splits import Split
from neurodata.store import Store, open_store
from tests.synthetic_loader import node, recording


def whole_split(store: Store, side: str = "train") -> Split:
    """All of a store in one side of a split."""
    entries: Any = [
        {"id": name, "version": store.version(name), "group": name, "split": side}
        for name in store.ids()
    ]
    return Split.sealed("lab", "recording", "", {side: 1.0}, None, entries)


def synthetic_series_store(folder: Path, count: int = 5, n: int = 40_000) -> Store:
    """Recordings of 8 to 12 int16 channels at 100 Hz; each count tells where it is from."""
    store = open_store(folder, create=True)
    for number in range(count):
        width = 8 + number
        counts = (np.arange(n)[:, None] * 3 + np.arange(width) * 7 + number * 1000) % 30_011
        signal = xr.Dataset(
            {
                "signal_adc": (("time", "channel"), counts.astype("i2"), {"units": "V"}),
                "scale": ("channel", np.linspace(1e-7, 3e-7, width)),
                "offset": ("channel", np.linspace(0, 1e-5, width)),
            },
            {
                "channel": [f"C{i}" for i in range(width)],
                "type": ("channel", ["EEG"] * width),
                "units": ("channel", ["V"] * width),
            },
            {"representation": "timeseries", "start_s": 0.0, "rate_hz": 100.0, "n": n},
        )
        force = node(
            "timeseries",
            {"signal": (("time", "channel"), (np.arange(n // 2)[:, None] / 50).astype("f4"))},
            {"channel": ["force"]},
            start_s=0.0,
            rate_hz=50.0,
            n=n // 2,
            units="N",
        )
        tree = recording({"eeg": signal, "force": force}, modality="eeg", subject=f"S{number % 3}")
        store.publish(tree, dataset="lab", recording=f"r{number}")
    return store


def synthetic_volume_store(folder: Path, count: int = 3) -> Store:
    """Volumes of two channels with labels; each voxel tells where it is from."""
    store = open_store(folder, create=True)
    for number in range(count):
        shape = (96, 70 + number, 100)
        index = np.arange(np.prod(shape)).reshape(shape)
        pixels = np.stack([index % 4001, (index * 7) % 3989]).astype("u2") + number
        image = node(
            "volume",
            {
                "image_adc": (("channel", "z", "y", "x"), pixels, {"units": "counts"}),
                "scale": ("channel", [1.0, 0.5]),
                "offset": ("channel", [0.0, 3.0]),
            },
            {"channel": ["a", "b"]},
        )
        labels = node("instances", {"label": (("z", "y", "x"), (index // 50).astype("i4"))})
        tree = recording({"image": image, "masks": labels}, modality="microscopy")
        store.publish(tree, dataset="lab", recording=f"v{number}")
    return store
