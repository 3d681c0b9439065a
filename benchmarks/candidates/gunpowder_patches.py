"""gunpowder: random locations of a Zarr array, stacked into batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gunpowder
import numcodecs
import numpy as np
import zarr
from funlib.persistence import open_ds

from benchmarks.workloads import Case


def prepare(case: Case) -> None:
    """Write the volume in chunks of 64 cubed with the attributes that gunpowder reads."""
    source = np.load(case.raw[0], mmap_mode="r")
    lz4 = numcodecs.Blosc("lz4", 5, numcodecs.Blosc.BITSHUFFLE)
    group = zarr.open_group(str(case.folder / "gunpowder"), "w")
    array = group.create_dataset(
        "image", shape=source.shape, chunks=(1, 64, 64, 64), dtype=source.dtype, compressor=lz4
    )
    for channel, values_ in enumerate(source):
        array[channel] = values_
    array.attrs.update(
        offset=[0, 0, 0],
        voxel_size=[1, 1, 1],
        axis_names=["c^", "z", "y", "x"],
        units=["", "", ""],
    )


def batches(case: Case) -> Iterator[Any]:
    """Yield batches of random patches."""
    key = gunpowder.ArrayKey("IMAGE")
    array = open_ds(str(case.folder / "gunpowder" / "image"))
    source = gunpowder.ArraySource(key, array, interpolatable=True)
    pipeline = source + gunpowder.RandomLocation() + gunpowder.Stack(case.workload.batch)
    if case.workers:
        pipeline += gunpowder.PreCache(cache_size=8, num_workers=case.workers)
    request = gunpowder.BatchRequest()
    request.add(key, case.workload.sample[1:])
    with gunpowder.build(pipeline):
        while True:
            yield pipeline.request_batch(request)[key].data


def values(case: Case, batch: Any) -> Any:
    """Return the batch: it has the source's order already."""
    return batch
