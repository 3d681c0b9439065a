"""xbatcher: a fixed grid of samples of lazy xarray objects on the project's own store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dask
import dask.array
import numpy as np
import torch
import xarray as xr
import xbatcher
import zarr
from xbatcher.loaders.torch import MapDataset

from benchmarks.candidates.store_arrays import paths
from benchmarks.candidates.torch_loading import endless, workers
from benchmarks.workloads import Case


def batches(case: Case) -> Iterator[Any]:
    """Yield shuffled batches of float32 samples, epoch after epoch."""
    if case.workers:
        dask.config.set(scheduler="synchronous")
    grids = [MapDataset(_grid(case, path)) for path in paths(case)]
    loader = torch.utils.data.DataLoader(
        torch.utils.data.ConcatDataset(grids),
        batch_size=case.workload.batch,
        shuffle=True,
        drop_last=True,
        **workers(case),
    )
    return endless(loader)


def _grid(case: Case, path: str) -> Any:
    stored: Any = zarr.open_array(path, mode="r")
    step = np.float32(case.dataset.step)
    lazy = dask.array.from_zarr(stored, chunks=stored.chunks).astype("f4") * step
    dims = ("time", "channel") if stored.ndim == 2 else ("c", "z", "y", "x")[-stored.ndim :]
    array = xr.DataArray(lazy, dims=dims)
    sizes = dict(zip(dims, case.workload.sample, strict=True))
    return xbatcher.BatchGenerator(array, sizes, preload_batch=False)


def values(case: Case, batch: Any) -> Any:
    """Return the batch: it has the source's order already."""
    return np.asarray(batch)
