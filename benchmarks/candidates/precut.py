"""Samples cut beforehand, side by side, as formats for streaming want them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workloads import Case


def samples_of(case: Case, file: Path) -> Iterator[Any]:
    """Yield a recording's samples as float32, ``(channel, time)`` or ``(z, y, x)``."""
    source = np.load(file, mmap_mode="r")
    sizes = [min(k, n) for k, n in zip(case.workload.sample, source.shape, strict=True)]
    for corner in product(
        *(range(0, n - k + 1, k) for n, k in zip(source.shape, sizes, strict=True))
    ):
        found = source[tuple(slice(a, a + k) for a, k in zip(corner, sizes, strict=True))]
        if case.dataset.kind == "series":
            yield np.ascontiguousarray((found * np.float32(case.dataset.step or 1)).T)
        else:
            yield found.astype("f4")


def every_sample(case: Case) -> Iterator[Any]:
    """Yield the samples of all recordings."""
    for file in case.raw:
        yield from samples_of(case, file)
