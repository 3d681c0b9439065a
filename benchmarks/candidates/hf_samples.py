"""Hugging Face datasets: samples as fixed-size arrays in Arrow files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import datasets
import torch

from benchmarks.candidates.precut import every_sample
from benchmarks.candidates.torch_loading import endless, workers
from benchmarks.workloads import Case


def prepare(case: Case) -> None:
    """Write all samples into a data set on disk."""
    shape = case.workload.sample[::-1] if case.dataset.kind == "series" else case.workload.sample
    array = {2: datasets.Array2D, 3: datasets.Array3D}[len(shape)]
    made = datasets.Dataset.from_generator(
        _rows,
        gen_kwargs={"case": case},
        features=datasets.Features({"x": array(shape, "float32")}),
        cache_dir=str(case.folder / "hf_cache"),
        writer_batch_size=64,
    )
    made.save_to_disk(str(case.folder / "hf"))


def _rows(case: Case) -> Iterator[dict[str, Any]]:
    for sample in every_sample(case):
        yield {"x": sample}


def count(batch: Any) -> int:
    """Return the samples in a batch."""
    return len(batch["x"])


def batches(case: Case) -> Iterator[Any]:
    """Yield shuffled batches of epoch after epoch."""
    dataset = datasets.load_from_disk(str(case.folder / "hf")).with_format("torch")
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=case.workload.batch, shuffle=True, drop_last=True, **workers(case)
    )
    return endless(loader)


def values(case: Case, batch: Any) -> Any:
    """Return ``(batch, time, channel)`` or volumes as an array."""
    found = batch["x"]
    return found.transpose(1, 2).numpy() if case.dataset.kind == "series" else found.numpy()
