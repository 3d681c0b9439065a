"""OME-NGFF 0.5 metadata of a microscopy volume, so that image viewers open the store."""

from __future__ import annotations

from typing import Any

import xarray as xr

OME = "ome"
VERSION = "0.5"
UNITS = {"um": "micrometer", "mm": "millimeter", "nm": "nanometer"}
PER_METRE = {"um": 1e6, "mm": 1e3, "nm": 1e9, "m": 1.0}
TYPES = {"time": ("t", "time"), "channel": ("c", "channel")}


def multiscales(node: xr.Dataset) -> dict[str, Any] | None:
    """Return the ``ome`` attribute of a volume node with ``spacing``, else None.

    Follows the OME-NGFF 0.5 specification, section "multiscales" metadata; one level.
    """
    if node.attrs.get("representation") != "volume" or "spacing" not in node:
        return None
    name = next(str(v) for v in node.data_vars if v in ("image", "image_adc"))
    spacing = dict(zip(node["spatial"].values, node["spacing"].values, strict=True))
    symbol = str(node["spacing"].attrs.get("units", ""))
    unit = UNITS.get(symbol)
    axes, scale = [], []
    for dim in node[name].dims:
        short, kind = TYPES.get(str(dim), (str(dim), "space"))
        axes.append({"name": short, "type": kind})
        if kind == "space" and unit:
            axes[-1]["unit"] = unit
        scale.append(float(spacing.get(dim, 1.0)))
    transform: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
    if "origin" in node and unit:
        steps = PER_METRE[symbol] / PER_METRE[str(node["origin"].attrs["units"])]
        pairs = zip(node["spatial"].values, node["origin"].values * steps, strict=True)
        origin = dict(pairs)
        place = [float(origin.get(dim, 0.0)) for dim in node[name].dims]
        transform.append({"type": "translation", "translation": place})
    level = {"path": name, "coordinateTransformations": transform}
    return {"version": VERSION, "multiscales": [{"name": name, "axes": axes, "datasets": [level]}]}
