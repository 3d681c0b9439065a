"""litdata: samples optimised into chunks of 64 MB, streamed from a local folder."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import litdata
import torch

from benchmarks.candidates.precut import samples_of
from benchmarks.candidates.torch_loading import collation, endless, series_first
from benchmarks.workloads import Case

values = series_first


def prepare(case: Case) -> None:
    """Cut and optimise all samples."""
    litdata.optimize(
        fn=functools.partial(_tensors, case),
        inputs=list(range(len(case.raw))),
        output_dir=str(case.folder / "litdata"),
        chunk_bytes="64MB",
        num_workers=1,
        mode="overwrite",
    )


def _tensors(case: Case, number: int) -> Iterator[Any]:
    for sample in samples_of(case, case.raw[number]):
        yield torch.from_numpy(sample)


def count(batch: Any) -> int:
    """Return the samples in a batch."""
    return len(batch[0] if isinstance(batch, tuple) else batch)


def batches(case: Case) -> Iterator[Any]:
    """Yield shuffled batches of epoch after epoch."""
    dataset = litdata.StreamingDataset(str(case.folder / "litdata"), shuffle=True, drop_last=True)
    options: dict[str, Any] = {"num_workers": case.workers, **collation(case)}
    if case.workers:
        options |= {"persistent_workers": True, "prefetch_factor": 2}
    loader = litdata.StreamingDataLoader(
        dataset, batch_size=case.workload.batch, drop_last=True, **options
    )
    return endless(loader)
