"""The project itself, through its public functions only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numba  # noqa: F401 - imports are apart, here as for all peers
import numpy as np
import scipy.sparse  # noqa: F401 - as numba
import xarray as xr

import neurodata
import neurodata.loader.loading
from benchmarks.workloads import Case
from neurodata.compiled import wait_compiled
from neurodata.loader import Random

DATASET = "synthetic"
INDEX = "arrays.json"
SLACK = 1.25
BATCHES = 4
FEWEST_MB = 16.0
SI = {"eeg64": ("V", 1e6, "EEG"), "meg306": ("T", 1e15, "MEG")}
LOOPS = (
    ("decode_chunks", "u1"),
    ("scale_windows", "i2"),
    ("scale_windows", "f4"),
    ("scale_patches", "i2"),
    ("scale_patches", "u2"),
)
MAIN = ("signal", "signal_adc", "image_adc", "time_s")
Batch = dict[str, Any]


def prepare(case: Case) -> None:
    """Publish the source's recordings and note where the store keeps each array."""
    from neurodata import Split

    folder = case.folder / "neurodata_store"
    store = neurodata.open_store(folder, create=True)
    places, assignments = [], []
    for file in case.raw:
        node, tree = _tree(case, file)
        made = store.publish(tree, dataset=DATASET, recording=file.stem)
        variable = next(name for name in tree[node].data_vars if name in MAIN)
        places.append(str(store.zarr(made.id) / node / str(variable)))
        where = {"id": made.id, "version": made.version, "group": file.stem, "split": "train"}
        assignments.append(where)
    split = Split.sealed(DATASET, "subject", "", {"train": 1.0}, None, assignments)  # type: ignore[arg-type]
    split.write(folder / "split.json")
    (folder / INDEX).write_text(json.dumps(places))


def _tree(case: Case, file: Path) -> tuple[str, xr.DataTree]:
    """Return the main node's name and a recording in raw form."""
    makers = {"series": _series, "volumes": _volume, "spikes": _spikes}
    name = case.dataset.name
    modality, node = {
        "eeg64": ("eeg", "eeg"),
        "meg306": ("meg", "meg"),
        "calcium": ("calcium", "traces"),
        "microscopy": ("microscopy", "image"),
        "mri": ("mri", "image"),
        "spikes": ("spikes", "units"),
    }[name]
    root = xr.Dataset(attrs={"modality": modality, "subject": file.stem, "synthetic": 1})
    node_set = makers[case.dataset.kind](case, np.load(file, mmap_mode="r"))
    return node, xr.DataTree.from_dict({"/": root, node: node_set})


def _series(case: Case, values: Any) -> xr.Dataset:
    n, width = values.shape
    facts = {"representation": "timeseries", "schema": "timeseries/1", "start_s": 0.0}
    facts |= {"rate_hz": case.dataset.rate_hz, "n": n}
    if case.dataset.step:
        unit, per_unit, kind = SI[case.dataset.name]
        scale = np.full(width, case.dataset.step / per_unit)
        variables = {
            "signal_adc": (("time", "channel"), values),
            "scale": ("channel", scale),
            "offset": ("channel", np.zeros(width)),
        }
    else:
        variables = {"signal": (("time", "channel"), values)}
        kind, unit = "ROI", "dF/F"
    coords = {
        "channel": [f"{index:03d}" for index in range(width)],
        "type": ("channel", [kind] * width),
        "units": ("channel", [unit] * width),
    }
    return xr.Dataset(variables, coords, {**facts, "units": unit})


def _volume(case: Case, values: Any) -> xr.Dataset:
    dims = ("channel", "z", "y", "x")[-values.ndim :]
    facts = {"representation": "volume", "schema": "volume/1"}
    if values.ndim == 3:
        variables = {
            "image_adc": (dims, values, {"units": "a.u."}),
            "scale": 1.0,
            "offset": 0.0,
            "affine": (("row", "col"), np.diag([2.0, 2.0, 2.0, 1.0]), {"units": "mm"}),
        }
        return xr.Dataset(variables, attrs=facts)
    width = len(values)
    variables = {
        "image_adc": (dims, values, {"units": "count"}),
        "scale": ("channel", np.ones(width)),
        "offset": ("channel", np.zeros(width)),
        "spacing": ("spatial", [0.5, 0.5, 0.5], {"units": "um"}),
    }
    coords = {"channel": [f"c{i}" for i in range(width)], "spatial": ["z", "y", "x"]}
    return xr.Dataset(variables, coords, facts)


def _spikes(case: Case, spikes: Any) -> xr.Dataset:
    samples, units = case.dataset.shape
    order = np.lexsort((spikes["time_us"], spikes["unit"]))
    counts = np.bincount(spikes["unit"], minlength=units)
    # a quarter of a microsecond keeps every time clear of the edges of bins
    times_s = (spikes["time_us"][order] + 0.25) * 1e-6
    variables = {
        "time_s": ("spike", times_s, {"units": "s"}),
        "row_splits": ("split", np.concatenate([[0], np.cumsum(counts)])),
    }
    facts = {"representation": "spikes", "schema": "spikes/1", "start_s": 0.0}
    names = {"unit_id": ("unit", [f"u{index:03d}" for index in range(units)])}
    return xr.Dataset(variables, names, {**facts, "stop_s": float(samples)})


def batches(case: Case) -> Iterator[Batch]:
    """Yield batches of epoch after epoch."""
    folder = case.folder / "neurodata_store"
    loader = neurodata.load(
        folder,
        splits=folder / "split.json",
        split="train",
        sample=_sample(case),
        batch_size=case.workload.batch,
        memory_mb=memory_mb(case),
        draw=Random() if case.candidate.endswith("any_start") else None,
    )
    while True:
        yield from loader


def memory_mb(case: Case) -> float:
    """Return the budget of a variant: batches, and room for all arrays or a quarter of them."""
    whole = case.dataset.native_bytes / 1e6
    batch = 4 * prod(case.workload.sample) * case.workload.batch / 1e6
    share = SLACK if case.candidate == "neurodata" else 0.25
    return max(FEWEST_MB, whole * share) + BATCHES * batch


def _sample(case: Case) -> Any:
    dataset, shape = case.dataset, case.workload.sample
    if case.workload.name == "mri_volumes":
        return neurodata.Volumes()
    if dataset.kind == "volumes":
        z, y, x = shape[-3:]
        return neurodata.Patches((z, y, x))
    if dataset.kind == "spikes":
        return neurodata.SpikeBins(bin_s=1.0 / shape[0], length_s=1.0)
    return neurodata.Windows(length_s=shape[0] / dataset.rate_hz)


def settle() -> None:
    """Wait for the compiled loops, which load beside the first batches."""
    for name, kind in LOOPS:
        wait_compiled(name, np.dtype(kind))


def count(batch: Batch) -> int:
    """Return the samples in a batch."""
    return len(batch["recording"])


def values(case: Case, batch: Batch) -> Any:
    """Return the samples of a batch as the source has them."""
    if case.dataset.kind == "series":
        return _wide(case, batch["signal"].transpose(0, 2, 1))
    if case.dataset.kind == "spikes":
        return batch["signal"].transpose(0, 2, 1)
    image = np.asarray(batch["image"])
    return image if len(case.workload.sample) == 4 else image[:, 0]


def _wide(case: Case, samples: Any) -> Any:
    """Pad the channels to the workload's number, with zeros."""
    lacking = case.workload.sample[1] - samples.shape[2]
    return np.pad(samples, ((0, 0), (0, 0), (0, lacking))) if lacking else samples
