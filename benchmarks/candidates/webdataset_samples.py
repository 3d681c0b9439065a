"""webdataset: samples as `.npy` members of tar files, shuffled in a buffer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import webdataset

from benchmarks.candidates.precut import every_sample
from benchmarks.candidates.torch_loading import padded, series_first
from benchmarks.workloads import Case

SHARD_BYTES = 64e6
BUFFER = 500

values = series_first


def prepare(case: Case) -> None:
    """Write all samples into tar files."""
    folder = case.folder / "webdataset"
    folder.mkdir(exist_ok=True)
    with webdataset.ShardWriter(
        str(folder / "samples-%05d.tar"), maxsize=SHARD_BYTES, verbose=0
    ) as writer:
        for number, sample in enumerate(every_sample(case)):
            writer.write({"__key__": f"{number:08d}", "x.npy": sample})


def count(batch: Any) -> int:
    """Return the samples in a batch."""
    return len(batch[0])


def batches(case: Case) -> Iterator[Any]:
    """Yield batches without end, tar files drawn with replacement."""
    tars = sorted(str(file) for file in (case.folder / "webdataset").glob("*.tar"))
    pad = case.dataset.name == "calcium"
    dataset = (
        webdataset.WebDataset(tars, resampled=True, shardshuffle=False, nodesplitter=None)
        .shuffle(BUFFER)
        .decode()
        .to_tuple("x.npy")
        .map_tuple(torch.from_numpy)
        .batched(case.workload.batch, partial=False, collation_fn=_padded if pad else _stacked)
    )
    more = {"prefetch_factor": 2} if case.workers else {}
    return iter(webdataset.WebLoader(dataset, batch_size=None, num_workers=case.workers, **more))


def _stacked(samples: Any) -> tuple[Any]:
    return (torch.stack([sample[0] for sample in samples]),)


def _padded(samples: Any) -> tuple[Any, Any]:
    return padded([sample[0] for sample in samples])
