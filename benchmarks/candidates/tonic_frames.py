"""tonic: its SHD data set with ToFrame, plain or behind one of its caches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
import tonic
import torch

from benchmarks.candidates.torch_loading import endless, workers
from benchmarks.workloads import Case


def prepare(case: Case) -> None:
    """Write an HDF5 file of the form that tonic reads as Spiking Heidelberg Digits."""
    folder = case.folder / "shd" / "SHD"
    folder.mkdir(parents=True, exist_ok=True)
    times, units = [], []
    for file in case.raw:
        spikes = np.load(file)
        edges = np.searchsorted(spikes["time_us"], np.arange(case.dataset.shape[0] + 1) * 10**6)
        for second in range(case.dataset.shape[0]):
            part = spikes[edges[second] : edges[second + 1]]
            # a quarter of a microsecond survives the product with 1e6 that tonic rounds down
            times.append((part["time_us"] - second * 10**6 + 0.25) * 1e-6)
            units.append(part["unit"])
    with h5py.File(folder / "shd_train.h5", "w") as stream:
        rows = len(times)
        for name, parts, dtype in (("times", times, "f8"), ("units", units, "i8")):
            column = stream.create_dataset(f"spikes/{name}", (rows,), h5py.vlen_dtype(dtype))
            for row, part in enumerate(parts):
                column[row] = part
        stream["labels"] = np.zeros(rows, "i8")
        stream["extra/keys"] = [b"synthetic"]
        stream["extra/speaker"] = np.zeros(rows, "i8")
    (folder / "shd_train.h5.zip").touch()  # tonic asks for the archive, which it never opens
    cached = _dataset(case, "tonic_disk_cache")
    for number in range(len(cached)):
        cached[number]


def _dataset(case: Case, name: str) -> Any:
    bins, units = case.workload.sample
    frames = tonic.transforms.ToFrame(
        sensor_size=(units, 1, 1), time_window=10**6 // bins, start_time=0, end_time=10**6
    )
    plain = tonic.datasets.SHD(save_to=str(case.folder / "shd"), train=True, transform=frames)
    if name == "tonic_disk_cache":
        cache = str(case.folder / "shd" / "frames")
        return tonic.DiskCachedDataset(plain, cache_path=cache)
    return tonic.MemoryCachedDataset(plain) if name == "tonic_memory_cache" else plain


def count(batch: Any) -> int:
    """Return the samples in a batch."""
    return len(batch[0])


def batches(case: Case) -> Iterator[Any]:
    """Yield shuffled batches of epoch after epoch; a memory cache is filled before the first."""
    dataset = _dataset(case, case.candidate)
    if case.candidate == "tonic_memory_cache":
        for number in range(len(dataset)):
            dataset[number]
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_size=case.workload.batch,
        shuffle=True,
        drop_last=True,
        collate_fn=tonic.collation.PadTensors(),
        **workers(case),
    )
    return endless(loader)


def values(case: Case, batch: Any) -> Any:
    """Return counts ``(batch, bins, units)``."""
    return batch[0].numpy().reshape(len(batch[0]), -1, case.workload.sample[1])
