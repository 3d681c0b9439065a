"""torch_brain: random windows from HDF5 files of temporaldata, read lazily."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
import torch
from torch_brain.data import Data, RegularTimeSeries
from torch_brain.datasets import Dataset
from torch_brain.samplers import RandomFixedWindowSampler

from benchmarks.candidates.torch_loading import collation, endless, series_first, tensor, workers
from benchmarks.workloads import Case

values = series_first


def prepare(case: Case) -> None:
    """Write one HDF5 file per recording, float32 in µV, fT or dF/F."""
    folder = case.folder / "hdf5"
    folder.mkdir(exist_ok=True)
    for file in case.raw:
        found = np.load(file)
        if case.dataset.step:
            found = found * np.float32(case.dataset.step)
        series = RegularTimeSeries(sampling_rate=case.dataset.rate_hz, domain="auto", x=found)
        with h5py.File(folder / f"{file.stem}.h5", "w") as stream:
            Data(signal=series, domain="auto").to_hdf5(stream)


class _Window:
    """Turns a slice of a recording into a ``(channel, time)`` tensor of the wanted length."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, piece: Any) -> Any:
        found = torch.from_numpy(piece.signal.x[: self.n]).T
        lacking = self.n - found.shape[1]
        return torch.nn.functional.pad(found, (0, lacking)) if lacking else found


def count(batch: Any) -> int:
    """Return the samples in a batch."""
    return len(tensor(batch))


def batches(case: Case) -> Iterator[Any]:
    """Yield batches of random windows, epoch after epoch."""
    n = case.workload.sample[0]
    dataset = Dataset(case.folder / "hdf5", transform=_Window(n))
    sampler = RandomFixedWindowSampler(
        sampling_intervals=dataset.get_sampling_intervals(),
        window_length=n / case.dataset.rate_hz,
    )
    loader = torch.utils.data.DataLoader(
        dataset,
        sampler=sampler,
        batch_size=case.workload.batch,
        drop_last=True,
        **collation(case),
        **workers(case),
    )
    return endless(loader)
