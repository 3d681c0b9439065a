"""From stored numbers to physical values: the one place where scale and offset are applied."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurodata.clock import regular_time

ADC = {"signal_adc": "signal", "image_adc": "image"}
CLOCK = ("start_s", "rate_hz", "n")


def physical(tree: xr.DataTree) -> xr.DataTree:
    """Return the physical form of a recording in raw form, lazily.

    ``signal_adc (time, channel)`` becomes ``signal`` float32 in its ``units``, ``image_adc``
    becomes ``image``, both with the node's ``units`` where they have none of their own, and a
    regular clock becomes a lazy coordinate ``time`` in seconds.

    Examples
    --------
    >>> raw = xr.DataTree.from_dict({"eeg": xr.Dataset(
    ...     {"signal_adc": (("time", "channel"), np.array([[2], [4]], "int16"), {"units": "V"}),
    ...      "scale": ("channel", [1e-6]), "offset": ("channel", [0.0])},
    ...     attrs={"start_s": 0.0, "rate_hz": 2.0, "n": 2})})
    >>> physical(raw)["eeg"]["signal"].values.ravel().tolist()
    [1.9999999949504854e-06, 3.999999989900971e-06]
    """
    nodes = {path: _physical_node(node.to_dataset()) for path, node in tree.subtree_with_keys}
    return xr.DataTree.from_dict(nodes, name=tree.name)


def _physical_node(node: xr.Dataset) -> xr.Dataset:
    for stored in [name for name in ADC if name in node.data_vars]:
        value = scaled(node[stored], node["scale"], node["offset"])
        node = node.drop_vars([stored, "scale", "offset"]).assign({ADC[stored]: value})
    for name in [name for name in ADC.values() if name in node.data_vars]:
        if node[name].dtype.kind == "f":
            node[name] = node[name].astype("float32")
        if "units" in node.attrs:
            node[name].attrs.setdefault("units", node.attrs["units"])
    return with_clock(node)


def scaled(adc: xr.DataArray, scale: xr.DataArray, offset: xr.DataArray) -> xr.DataArray:
    """Return ``adc * scale + offset``, computed in float64, as float32 with adc's attributes."""
    factor, shift = scale.load().astype("float64"), offset.load().astype("float64")
    value: xr.DataArray = xr.apply_ufunc(_scale, adc, factor, shift, dask="allowed")
    return value.transpose(*adc.dims).assign_attrs(adc.attrs)


def _scale(adc: Any, factor: Any, shift: Any) -> Any:
    return (adc * factor + shift).astype(np.float32)


def with_clock(node: xr.Dataset) -> xr.Dataset:
    """Attach the lazy ``time`` of a node whose attributes state a regular clock."""
    if "time" not in node.dims or "time" in node.coords or not set(CLOCK) <= set(node.attrs):
        return node
    return node.assign_coords(regular_time(*(node.attrs[key] for key in CLOCK)))
