"""Writers that others use: np.save, zarr-python and dask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import zarr
from zarr.codecs import BloscCodec, BloscShuffle, Crc32cCodec

from benchmarks.candidates.disk import clear, synced_s, timed
from benchmarks.workloads import Case

CHUNK_ROWS = 768  # 192 KiB of 64 float32 channels
SHARD_ROWS = 43 * CHUNK_ROWS


def write(case: Case, source: Any, target: Path) -> dict[str, float]:
    """Write the array and return seconds by part."""
    functions: dict[str, Callable[[Any, Path], None]] = {
        "np_save": _npy,
        "zarr_python_default": _default,
        "zarr_python": _sharded,
        "dask_to_zarr": _dask,
    }
    clear(target)
    array_s = timed(lambda: functions[case.candidate](source, target))
    return {"array_s": array_s, "sync_s": synced_s(target)}


def _npy(source: Any, target: Path) -> None:
    with target.open("wb") as stream:
        np.save(stream, source)


def _default(source: Any, target: Path) -> None:
    array = zarr.create_array(target, shape=source.shape, dtype=source.dtype)
    array[:] = source


def _created(source: Any, target: Path) -> Any:
    lz4 = BloscCodec(cname="lz4", clevel=5, shuffle=BloscShuffle.bitshuffle)
    width = source.shape[1]
    return zarr.create_array(
        target,
        shape=source.shape,
        dtype=source.dtype,
        chunks=(CHUNK_ROWS, width),
        shards=(SHARD_ROWS, width),
        compressors=[lz4, Crc32cCodec()],
    )


def _sharded(source: Any, target: Path) -> None:
    array = _created(source, target)
    for start in range(0, len(source), SHARD_ROWS):
        array[start : start + SHARD_ROWS] = source[start : start + SHARD_ROWS]


def _dask(source: Any, target: Path) -> None:
    lazy = dask.array.from_array(source, chunks=(SHARD_ROWS, source.shape[1]))
    dask.array.to_zarr(lazy, _created(source, target))


def reader(case: Case, target: Path) -> Callable[[int, int], Any]:
    """Return a function that reads rows of what was written."""
    if case.candidate == "np_save":
        saved = np.load(target, mmap_mode="r")
        return lambda start, stop: saved[start:stop]
    array: Any = zarr.open_array(target, mode="r")
    return lambda start, stop: array[start:stop]
