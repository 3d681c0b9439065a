"""Single bits of a header turned over: a reader may refuse, and raises nothing foreign."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.readers.conformance import SEED, attempt

COUNT = 100


def flip(path: Path, read: Callable[[], Any], stop: int, count: int = COUNT) -> None:
    """Read a file ``count`` times, each time with one bit of its first bytes turned over."""
    whole = path.read_bytes()
    places = np.random.default_rng(SEED).integers(8 * min(stop, len(whole)), size=count)
    for place in places.tolist():
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        attempt(lambda: read().load())
    path.write_bytes(whole)
