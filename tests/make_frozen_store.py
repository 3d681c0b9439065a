"""Make the frozen store that every later version must read: ``python -m tests.make_frozen_store``.

Run it once per store format, into a new folder, and commit the folder; never run it again for a
format that was released. All data are synthetic and come from no random generator.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata.store import open_store
from neurodata.store.commit import STAGING

FOLDER = Path(__file__).parent / "data" / "store_v1"
PROVENANCE = {
    "inputs": [{"size": 3, "sha256": "0" * 64, "name": "synthetic.edf"}],
    "reader": "edf",
    "options": {},
    "declarations": {"subject": "synthetic-1", "units.*": "uV"},
    "steps": [],
}


def node(representation: str, variables: Any, coords: Any = None, **attrs: Any) -> xr.Dataset:
    facts = {"representation": representation, "schema": f"{representation}/1", **attrs}
    return xr.Dataset(variables, coords, facts)


def wave(n: int, channels: int) -> np.ndarray[Any, Any]:
    """Whole numbers that look like a signal: a sum of two triangles, another one per channel."""
    t = np.arange(n)[:, None] + 17 * np.arange(channels)
    return (np.abs(t % 200 - 100) * 20 + np.abs(t % 31 - 15) * 7 - 1000).astype("int16")


def synthetic_eeg(gain: float = 1e-7) -> xr.DataTree:
    """Enough samples for a shard of several chunks, with intervals and text beyond ASCII."""
    n, channels = 80_000, 4
    eeg = node(
        "timeseries",
        {
            "signal_adc": (("time", "channel"), wave(n, channels), {"units": "V"}),
            "scale": ("channel", np.full(channels, gain)),
            "offset": ("channel", np.array([0.0, 0.0, 1e-6, -1e-6])),
        },
        {
            "channel": ["Fp1", "Fp2", "Cz", "Größe µ"],
            "type": ("channel", ["EEG"] * channels),
            "units": ("channel", ["V"] * channels),
            "status": ("channel", ["good", "good", "bad", "good"]),
        },
        start_s=-0.5, rate_hz=256.0, n=n,
    )  # fmt: skip
    trace = node(
        "timeseries",
        {"signal": (("time", "channel"), np.linspace(-1, 1, 60).reshape(20, 3).astype("float32"),
                    {"units": "dF/F"})},
        {
            "time": ("time", np.arange(20) * 0.1 + np.arange(20) % 3 * 1e-3, {"units": "s"}),
            "channel": ["r1", "r2", "r3"], "type": ("channel", ["ROI"] * 3),
            "units": ("channel", ["dF/F"] * 3),
        },
    )  # fmt: skip
    marks = node(
        "intervals",
        {
            "start_s": ("interval", [0.0, 1.25, 100.0]),
            "duration_s": ("interval", [np.nan, 0.5, 2.0]),
            "label": ("interval", ["", "eyes closed", "Fußtritt, 日本語 🧠"]),
            "correct": ("interval", [True, False, True]),
        },
    )
    root = xr.Dataset(attrs={"modality": "eeg", "subject": "synthetic-1", "age_years": 31.5})
    return xr.DataTree.from_dict({"/": root, "eeg": eeg, "calcium": trace, "annotations": marks})


def synthetic_volume() -> xr.DataTree:
    """An oblique, anisotropic volume of two chunks an axis, and a labelled plane."""
    z, y, x = np.indices((3, 70, 40))
    affine = np.array([[1.5, 0.2, 0, -10], [-0.2, 1.5, 0.1, 5], [0, -0.1, 3, 2.5], [0, 0, 0, 1]])
    image = node(
        "volume",
        {
            "image_adc": (("z", "y", "x"), (1000 * z + 10 * y + x).astype("uint16"),
                          {"units": "a.u."}),
            "scale": 0.5, "offset": -3.0,
            "affine": (("row", "col"), affine, {"units": "mm", "space_code": "scanner"}),
        },
    )  # fmt: skip
    label = np.zeros((1, 6, 5), "uint8")
    label[0, :2, :2], label[0, 3:, 3:] = 1, 7
    plane = node(
        "volume",
        {
            "image": (("y", "x"), np.arange(30, dtype="float32").reshape(6, 5), {"units": "a.u."}),
            "spacing": ("spatial", [0.5, 0.25], {"units": "um"}),
        },
        {"spatial": ["y", "x"]},
    )
    cells = node(
        "instances",
        {
            "label": (("layer", "y", "x"), label),
            "instance_id": ("instance", np.array([1, 7])),
            "instance_layer": ("instance", np.array([0, 0])),
            "voxel_count": ("instance", np.array([4, 6])),
        },
        image_node="plane",
    )
    root = xr.Dataset(attrs={"modality": "mri", "subject": "synthetic-1"})
    return xr.DataTree.from_dict({"/": root, "anat": image, "plane": plane, "cells": cells})


def synthetic_graph() -> xr.DataTree:
    """Four nodes, one of them alone, and spikes of two units, one of them silent."""
    graph = node(
        "graph",
        {
            "source": ("edge", np.array([0, 0, 2])),
            "target": ("edge", np.array([1, 2, 1])),
            "weight": ("edge", np.array([5, 1, 2])),
            "row_splits": ("split", np.array([0, 2, 2, 3, 3])),
        },
        {"node_id": ("node", ["a", "b", "c", "d"]), "cell_class": ("node", ["K", "I", "O", ""])},
        directed=1, weight_units="count",
    )  # fmt: skip
    spikes = node(
        "spikes",
        {"time_s": ("spike", [0.125, 0.5, 1.75]), "row_splits": ("split", np.array([0, 3, 3]))},
        {"unit_id": ("unit", ["u1", "u2"])},
        start_s=0.0, stop_s=2.0,
    )  # fmt: skip
    root = xr.Dataset(attrs={"modality": "connectome", "subject": "synthetic-2"})
    return xr.DataTree.from_dict({"/": root, "graph": graph, "units": spikes})


RECORDINGS = {
    "lab/synthetic_eeg": synthetic_eeg,
    "lab/synthetic_volume": synthetic_volume,
    "net/synthetic_graph": synthetic_graph,
}


def main(folder: Path) -> None:
    """Write the store, with an alias in its catalogue, and beside it the versions by id."""
    store = open_store(folder, create=True)
    for name, make in RECORDINGS.items():
        dataset, _, recording = name.partition("/")
        store.publish(make(), dataset=dataset, recording=recording, provenance=PROVENANCE)
    store.publish(synthetic_graph(), dataset="net", recording="again", provenance=PROVENANCE)
    shutil.rmtree(folder / STAGING)
    versions = {name: store.version(name) for name in RECORDINGS}
    folder.with_suffix(".versions.json").write_text(json.dumps(versions, indent=1) + "\n")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 1000:.0f} kB, {store.ids()}")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    shutil.rmtree(target, ignore_errors=True)
    main(target)
