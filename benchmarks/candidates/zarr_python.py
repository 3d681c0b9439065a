"""zarr-python: one read per random sample, from the project's own store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import zarr

from benchmarks.candidates.places import draws
from benchmarks.candidates.store_arrays import empty_batch, paths, to_unit
from benchmarks.workloads import Case


def batches(case: Case) -> Iterator[Any]:
    """Yield float32 batches."""
    arrays: list[Any] = [zarr.open_array(path, mode="r") for path in paths(case)]
    shapes = [array.shape for array in arrays]
    for places in draws(shapes, case.workload.sample, case.workload.batch, case.seed):
        out = empty_batch(case)
        for row, (number, place) in zip(out, places, strict=True):
            found = arrays[number][place]
            row[tuple(slice(n) for n in found.shape)] = found
        yield to_unit(case, out)


def values(case: Case, batch: Any) -> Any:
    """Return the batch: it has the source's order already."""
    return batch
