"""The floor: one thread copies samples from memory-mapped files into batches made beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.candidates.places import draws
from benchmarks.workloads import Case

RING = 2


def form(case: Case) -> Path:
    """Return the folder of the decoded files."""
    names = {"floor_channel_first": "channel_first", "floor_time_major": "time_major"}
    return case.folder / names.get(case.candidate, "float_volumes")


def prepare(case: Case) -> None:
    """Write the recordings decoded: float32 in µV or a.u., microscopy as it is."""
    folder = form(case)
    folder.mkdir(exist_ok=True)
    for file in case.raw:
        found = np.load(file, mmap_mode="r")
        if case.dataset.kind == "series":
            found = found * np.float32(case.dataset.step or 1)
            found = found.T if case.candidate == "floor_channel_first" else found
        elif found.ndim == 3:
            found = found.astype("f4")
        np.save(folder / file.name, np.ascontiguousarray(found))


def batches(case: Case) -> Iterator[Any]:
    """Yield ``(batch, *sample)`` arrays from a ring of a few, each overwritten later."""
    files = sorted(form(case).glob("*.npy"))
    sources = [np.asarray(np.load(file, mmap_mode="r")) for file in files]
    turned = case.candidate == "floor_channel_first"
    sample = case.workload.sample[::-1] if turned else case.workload.sample
    whole = (case.workload.batch, *sample)
    ring = [np.zeros(whole, sources[0].dtype) for _ in range(RING)]
    shapes = [source.shape for source in sources]
    for number, places in enumerate(draws(shapes, sample, whole[0], case.seed)):
        out = ring[number % RING]
        for row, (recording, place) in zip(out, places, strict=True):
            if case.dataset.name == "calcium":
                _padded(row, sources[recording][place])
            else:
                np.copyto(row, sources[recording][place])
        yield out


def _padded(row: Any, found: Any) -> None:
    channels, n = found.shape
    row[:channels, :n] = found
    row[channels:] = 0
    row[:, n:] = 0


def values(case: Case, batch: Any) -> Any:
    """Return the samples with time first."""
    return batch.transpose(0, 2, 1) if case.candidate == "floor_channel_first" else batch
