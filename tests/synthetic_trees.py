"""Small synthetic recordings in memory, one for each representation, without a fault."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

RATE_HZ = 256.0
SAMPLES = 2560


def node(representation: str, variables: Any, coords: Any = None, **attrs: Any) -> xr.Dataset:
    facts = {"representation": representation, "schema": f"{representation}/1", **attrs}
    return xr.Dataset(variables, coords, facts)


def recording(modality: str, **nodes: xr.Dataset) -> xr.DataTree:
    root = xr.Dataset(attrs={"id": "synthetic", "modality": modality})
    return xr.DataTree.from_dict({"/": root, **nodes})


def synthetic_traces(channels: int = 3) -> xr.Dataset:
    """10 s of noise with a standard deviation of 20 uV, as int16 counts of 0.1 uV."""
    noise = np.random.default_rng(0).normal(0, 200, (SAMPLES, channels))
    return node(
        "timeseries",
        {
            "signal_adc": (("time", "channel"), noise.round().astype("int16")),
            "scale": ("channel", np.full(channels, 1e-7)),
            "offset": ("channel", np.zeros(channels)),
        },
        {
            "channel": [f"C{index}" for index in range(channels)],
            "type": ("channel", ["EEG"] * channels),
            "units": ("channel", ["V"] * channels),
        },
        start_s=0.0,
        rate_hz=RATE_HZ,
        n=SAMPLES,
        units="V",
    )


def synthetic_float_traces() -> xr.Dataset:
    raw = synthetic_traces()
    signal = (raw["signal_adc"] * 1e-7).astype("float32")
    return raw.drop_vars(["signal_adc", "scale", "offset"]).assign(signal=signal)


def synthetic_intervals() -> xr.Dataset:
    """An annotation at 0 s without duration, a stretch, and an event at the very end."""
    return node(
        "intervals",
        {
            "start_s": ("interval", [0.0, 2.0, 10.0]),
            "duration_s": ("interval", [np.nan, 3.0, np.nan]),
            "label": ("interval", ["start", "trial", "end"]),
            "correct": ("interval", [True, False, True]),
        },
    )


def synthetic_eeg() -> xr.DataTree:
    return recording("eeg", eeg=synthetic_traces(), events=synthetic_intervals())


def synthetic_spikes() -> xr.DataTree:
    spikes = node(
        "spikes",
        {
            "time_s": ("spike", [0.5, 0.75, 1.5, 0.25, 1.25]),
            "row_splits": ("split", np.array([0, 3, 5])),
        },
        {"unit_id": ("unit", ["u1", "u2"]), "depth_um": ("unit", [10.0, 20.0])},
        start_s=0.0,
        stop_s=2.0,
    )
    return recording("spikes", units=spikes)


def synthetic_calcium() -> xr.DataTree:
    traces = synthetic_float_traces()
    traces = traces.assign(signal=traces["signal"] * np.float32(2e3))
    traces["type"] = ("channel", ["ROI"] * 3)
    traces["units"] = ("channel", ["dF/F"] * 3)
    traces.attrs["units"] = "dF/F"
    rois = node(
        "rois",
        {
            "pixel_y": ("pixel", np.array([0, 1, 1, 2], "int32")),
            "pixel_x": ("pixel", np.array([0, 0, 1, 3], "int32")),
            "pixel_weight": ("pixel", np.ones(4, "float32")),
            "row_splits": ("split", np.array([0, 1, 3, 4])),
        },
        {"unit_id": ("unit", ["C0", "C1", "C2"])},
        image_shape_yx=[3, 4],
    )
    return recording("calcium", traces=traces, rois=rois)


def synthetic_mri() -> xr.DataTree:
    """A box of 5 x 6 x 7 voxels of 2 x 2 x 3 mm."""
    voxels = np.random.default_rng(0).integers(0, 1000, (5, 6, 7)).astype("int16")
    image = node(
        "volume",
        {
            "image_adc": (("z", "y", "x"), voxels, {"units": "a.u."}),
            "scale": 1.0,
            "offset": 0.0,
            "affine": (("row", "col"), np.diag([2.0, 2.0, 3.0, 1.0]), {"units": "mm"}),
        },
    )
    return recording("mri", image=image)


def synthetic_nuclei() -> xr.DataTree:
    pixels = np.random.default_rng(0).integers(0, 60000, (4, 5)).astype("uint16")
    image = node(
        "volume",
        {
            "image_adc": (("y", "x"), pixels, {"units": "count"}),
            "scale": 1.0,
            "offset": 0.0,
            "spacing": ("spatial", [0.5, 0.5], {"units": "um"}),
        },
        {"spatial": ["y", "x"]},
    )
    label = np.zeros((2, 4, 5), "uint16")
    label[0, 0, :2], label[0, 2, 2:], label[1, 0, 1] = 1, 2, 3
    nuclei = node(
        "instances",
        {
            "label": (("layer", "y", "x"), label),
            "instance_id": ("instance", np.array([1, 2, 3])),
            "instance_layer": ("instance", np.array([0, 0, 1])),
            "voxel_count": ("instance", np.array([2, 3, 1])),
        },
        image_node="image",
    )
    return recording("microscopy", image=image, nuclei=nuclei)


def synthetic_connectome() -> xr.DataTree:
    graph = node(
        "graph",
        {
            "source": ("edge", np.array([0, 0, 2])),
            "target": ("edge", np.array([1, 2, 1])),
            "weight": ("edge", np.array([5, 1, 2])),
            "row_splits": ("split", np.array([0, 2, 2, 3])),
        },
        {"node_id": ("node", ["a", "b", "c"]), "hemisphere": ("node", ["L", "L", "R"])},
        directed=1,
        weight_units="count",
    )
    return recording("connectome", graph=graph)


HEALTHY = (
    synthetic_eeg,
    synthetic_spikes,
    synthetic_calcium,
    synthetic_mri,
    synthetic_nuclei,
    synthetic_connectome,
)
