"""Forcing written files to the disk, timed apart from writing them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path


def timed(function: Callable[[], object]) -> float:
    """Call a function and return the seconds it took."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def clear(target: Path) -> None:
    """Remove what an earlier run has written."""
    if target.is_dir():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)


def synced_s(target: Path) -> float:
    """Force a file, or all files of a folder, to the disk and return the seconds it took."""
    files = [target] if target.is_file() else [f for f in target.rglob("*") if f.is_file()]
    return timed(lambda: [_sync(file) for file in files])


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
