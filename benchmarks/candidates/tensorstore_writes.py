"""tensorstore as a writer of sharded Zarr: lz4 chunks with checksums."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorstore

from benchmarks.candidates.disk import clear, synced_s, timed
from benchmarks.workloads import Case

CHUNK_ROWS = 768
SHARD_ROWS = 43 * CHUNK_ROWS
AT_ONCE = 8


def write(case: Case, source: Any, target: Path) -> dict[str, float]:
    """Write the array and return seconds by part."""
    clear(target)
    return {"array_s": timed(lambda: _write(source, target)), "sync_s": synced_s(target)}


def _write(source: Any, target: Path) -> None:
    array = tensorstore.open(_spec(source, target), create=True, delete_existing=True).result()
    step = AT_ONCE * SHARD_ROWS
    for start in range(0, len(source), step):
        array[start : min(len(source), start + step)].write(source[start : start + step]).result()


def _spec(source: Any, target: Path) -> dict[str, Any]:
    width = source.shape[1]
    little: dict[str, Any] = {"name": "bytes", "configuration": {"endian": "little"}}
    lz4 = {"cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "typesize": 4}
    checksum = {"name": "crc32c"}
    inner = [little, {"name": "blosc", "configuration": lz4}, checksum]
    sharding = {
        "chunk_shape": [CHUNK_ROWS, width],
        "codecs": inner,
        "index_codecs": [little, checksum],
    }
    grid = {"name": "regular", "configuration": {"chunk_shape": [SHARD_ROWS, width]}}
    return {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{target}/"},
        "metadata": {
            "shape": list(source.shape),
            "data_type": "float32",
            "fill_value": 0,
            "chunk_grid": grid,
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        },
    }


def reader(case: Case, target: Path) -> Callable[[int, int], Any]:
    """Return a function that reads rows of what was written."""
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{target}/"}}
    array = tensorstore.open(spec, read=True).result()
    return lambda start, stop: array[start:stop].read().result()
