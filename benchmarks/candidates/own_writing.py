"""The project as a writer: `publish` as a whole, with the seconds of its stages read off."""

from __future__ import annotations

import functools
import importlib
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import neurodata
from benchmarks.candidates.disk import clear
from benchmarks.workloads import Case

# Where publish calls its stages; a stage that is not found there leaves its part unnamed.
STAGES = {
    "array_s": ("neurodata.store.commit", "write_tree"),
    "verification_s": ("neurodata.store.commit", "_verified"),
    "manifest_s": ("neurodata.store.commit", "build"),
    "sync_s": ("neurodata.store.files", "sync_tree"),
}


def write(case: Case, source: Any, target: Path) -> dict[str, float]:
    """Publish the array as a recording and return seconds by part."""
    clear(target)
    width = source.shape[1]
    coords = {
        "channel": [f"C{index:02d}" for index in range(width)],
        "type": ("channel", ["EEG"] * width),
        "units": ("channel", ["V"] * width),
    }
    facts: dict[str, Any] = {"representation": "timeseries", "schema": "timeseries/1", "units": "V"}
    facts |= {"start_s": 0.0, "rate_hz": case.dataset.rate_hz, "n": len(source)}
    node = xr.Dataset({"signal": (("time", "channel"), source)}, coords, facts)
    root = xr.Dataset(attrs={"modality": "eeg", "subject": "r000", "synthetic": 1})
    tree = xr.DataTree.from_dict({"/": root, "eeg": node})
    spent: dict[str, float] = defaultdict(float)
    for part, (home, name) in STAGES.items():
        _watch(spent, part, home, name)
    store = neurodata.open_store(target, create=True)
    start = time.perf_counter()
    store.publish(tree, dataset="synthetic", recording="r000")
    whole_s = time.perf_counter() - start
    if "array_s" not in spent:
        return {"array_s": whole_s}
    rest_s = whole_s - sum(spent.values())
    return {**spent, "rest_s": rest_s, "whole_s": whole_s}


def _watch(spent: dict[str, float], part: str, home: str, name: str) -> None:
    module = importlib.import_module(home)
    if (stage := getattr(module, name, None)) is None:
        return

    @functools.wraps(stage)
    def watched(*args: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return stage(*args, **options)
        finally:
            spent[part] += time.perf_counter() - start

    setattr(module, name, watched)


def reader(case: Case, target: Path) -> Callable[[int, int], Any]:
    """Return a function that reads rows of what was written."""
    signal: Any = neurodata.open_store(target).raw("synthetic/r000")["eeg/signal"]
    return lambda start, stop: np.asarray(signal[start:stop])
