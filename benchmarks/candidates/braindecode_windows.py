"""braindecode: fixed-length windows of FIF files, read from disk or preloaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.candidates.torch_loading import endless, stub, tensor, workers
from benchmarks.workloads import Case

stub()

import mne  # noqa: E402
from braindecode.datasets import BaseConcatDataset, RawDataset  # noqa: E402
from braindecode.preprocessing import create_fixed_length_windows  # noqa: E402

mne.set_log_level("ERROR")
KINDS = {"eeg64": ("eeg", 1e-6), "meg306": ("mag", 1e-15)}


def prepare(case: Case) -> None:
    """Write one FIF file per recording, in V or T."""
    folder = case.folder / "fif"
    folder.mkdir(exist_ok=True)
    kind, si = KINDS[case.dataset.name]
    for file in case.raw:
        found = np.load(file).T * (case.dataset.step * si)
        info = mne.create_info(len(found), case.dataset.rate_hz, kind)
        mne.io.RawArray(found, info).save(folder / f"{file.stem}_raw.fif", overwrite=True)


def count(batch: Any) -> int:
    """Return the samples in a batch."""
    return len(tensor(batch))


def batches(case: Case) -> Iterator[Any]:
    """Yield shuffled batches of windows side by side, epoch after epoch."""
    preload = case.candidate == "braindecode_preload"
    recordings = [
        RawDataset(mne.io.read_raw_fif(file, preload=preload), description={"file": file.stem})
        for file in sorted((case.folder / "fif").glob("*_raw.fif"))
    ]
    n = case.workload.sample[0]
    windows = create_fixed_length_windows(
        BaseConcatDataset(recordings),
        window_size_samples=n,
        window_stride_samples=n,
        drop_last_window=True,
        preload=False,
    )
    loader = torch.utils.data.DataLoader(
        windows, batch_size=case.workload.batch, shuffle=True, drop_last=True, **workers(case)
    )
    return endless(loader)


def values(case: Case, batch: Any) -> Any:
    """Return ``(batch, time, channel)`` in µV or fT."""
    return tensor(batch).transpose(1, 2).numpy() / KINDS[case.dataset.name][1]
