"""tensorstore: all reads of a batch at once, from the project's own store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorstore

from benchmarks.candidates.places import draws
from benchmarks.candidates.store_arrays import empty_batch, paths, to_unit
from benchmarks.workloads import Case


def batches(case: Case) -> Iterator[Any]:
    """Yield float32 batches."""
    opening = [
        tensorstore.open(
            {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}},
            read=True,
            recheck_cached_data=False,
            recheck_cached_metadata=False,
        )
        for path in paths(case)
    ]
    arrays = [future.result() for future in opening]
    shapes = [array.shape for array in arrays]
    for places in draws(shapes, case.workload.sample, case.workload.batch, case.seed):
        reads = [arrays[number][place].read() for number, place in places]
        out = empty_batch(case)
        for row, read in zip(out, reads, strict=True):
            found = read.result()
            row[tuple(slice(n) for n in found.shape)] = found
        yield to_unit(case, out)


def values(case: Case, batch: Any) -> Any:
    """Return the batch: it has the source's order already."""
    return batch
