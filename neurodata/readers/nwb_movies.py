"""NWB image series of one or two photons whose frames lie in the file: the node `volume/1`."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import xarray as xr

from neurodata.declare import Declared, missing
from neurodata.errors import InvalidInputError, MissingFactError, UnreadableError
from neurodata.readers import nwb_series
from neurodata.readers.nwb_text import attribute, neurodata_type
from neurodata.safe import Raw
from neurodata.safe_hdf5 import lazy_array
from neurodata.units import to_si

TYPES = ("TwoPhotonSeries", "OnePhotonSeries")
UNKNOWN = "unknown"


def is_movie(group: h5py.Group) -> bool:
    """Say whether a group is an image series with frames of its own."""
    data = group.get("data")
    return (
        neurodata_type(group) in TYPES
        and isinstance(data, h5py.Dataset)
        and data.ndim in (3, 4)
        and bool(data.size)
        and data.dtype.kind in "iuf"
    )


def movie(group: h5py.Group, node: str, raw: Raw, declare: Declared) -> xr.Dataset:
    """Return an image series as a `volume` node (time, z, y, x), lazily.

    NWB fixes the axes of ``data`` as (frame, x, y, z); where ``dimension`` states the sizes of
    the image in another order, that is taken and told.

    Raises
    ------
    UnreadableError
        When clock, sizes or scale are impossible.
    MissingFactError
        When the size of a pixel is neither stated nor declared.
    """
    where, data = group.name.lstrip("/"), group["data"]
    n, coords, clock = nwb_series._clock(group, raw, declare)
    if n not in (None, data.shape[0]):
        raise UnreadableError(f"{raw.name}: {where}", f"{data.shape[0]} frames", f"{n} times")
    if "rate_hz" in clock:
        clock["n"] = data.shape[0]
    axes = ["time", "x", "y", "z"][: data.ndim]
    if _turned(group, data.shape):
        raw.warn(where, f"frames of {data.shape[1:]} (y, x)", "(x, y) by the schema", "turned")
        axes[1:3] = ["y", "x"]
    order = [str(axis) for axis in ("time", "z", "y", "x") if axis in axes]
    frames: Any = lazy_array(data)
    pixels = frames.transpose([axes.index(axis) for axis in order])
    spatial = order[1:]
    spacing, unit = _spacing(group, spatial, raw, declare)
    scale, offset, symbol = _scaling(group, node, raw, declare)
    variables: dict[str, Any] = {
        "spacing": ("spatial", np.array(spacing), {"units": unit}),
    }
    if data.dtype.kind == "f":
        pixels = pixels if (scale, offset) == (1, 0) else pixels * scale + offset
        variables["image"] = (order, pixels, {"units": symbol})
    else:
        variables |= {"image_adc": (order, pixels, {"units": symbol})}
        variables |= {"scale": ((), scale), "offset": ((), offset)}
    coords["spatial"] = ("spatial", np.array(spatial, dtype=object))
    attrs = {"representation": "volume", "schema": "volume/1", **clock}
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def _turned(group: h5py.Group, shape: tuple[int, ...]) -> bool:
    """Say whether the stated sizes (x, y) fit the frames in reverse only."""
    stated = group.get("dimension")
    if not isinstance(stated, h5py.Dataset) or stated.size < 2 or stated.dtype.kind not in "iu":
        return False
    x, y = (int(size) for size in np.ravel(stated[()])[:2])
    return (x, y) != shape[1:3] and (y, x) == shape[1:3]


def _scaling(group: h5py.Group, node: str, raw: Raw, declare: Declared) -> tuple[float, float, str]:
    """Return scale, offset and unit: declared, else stated, else counts as they are."""
    name, attrs = group.name.rpartition("/")[2], group["data"].attrs
    where = f"{raw.name}: {group.name.lstrip('/')}"
    spelling = declare.text(f"units.{name}") or declare.text(f"units.{node}")
    unit = to_si("a.u." if group["data"].dtype.kind == "f" else "count", where)
    try:
        found = to_si(spelling or attribute(group["data"], "unit"), where, name)
        unit = unit if found.placeholder else found
    except MissingFactError:
        if spelling:
            raise
    scale = float(attrs.get("conversion", 1.0)) * unit.factor
    offset = float(attrs.get("offset", 0.0)) * unit.factor
    if not (np.isfinite(scale) and scale and np.isfinite(offset)):
        raise UnreadableError(where, "a conversion of 0 or no finite number", "a finite scale")
    return scale, offset, unit.symbol


def _spacing(
    group: h5py.Group, spatial: list[str], raw: Raw, declare: Declared
) -> tuple[list[float], str]:
    """Return the size of a pixel along (z, y, x) in micrometres: declared, else stated."""
    given, where = declare.get("voxel_um"), f"{raw.name}: {group.name.lstrip('/')}"
    if given == UNKNOWN:
        raw.warn("", "a voxel size declared unknown", "micrometres", "distances are in pixels")
        return [1.0] * len(spatial), "pixel"
    sizes: list[float] = []
    if given is not None:
        sizes = declare.numbers("voxel_um", len(spatial)) or []
    elif (stated := _grid(group)) is not None and stated.size >= len(spatial):
        factor = to_si(attribute(stated, "unit"), f"{where}: grid_spacing", "voxel").factor
        by_axis = dict(zip("xyz", np.ravel(stated[()]) * factor * 1e6, strict=False))
        sizes = [float(by_axis[axis]) for axis in spatial]
    else:
        example = ",".join(f"<{axis}>" for axis in spatial)
        expected = f"micrometres a voxel ({', '.join(spatial)}), or voxel_um={UNKNOWN}"
        raise missing(where, "no grid_spacing", expected, f"voxel_um={example}")
    if not all(np.isfinite(size) and size > 0 for size in sizes):
        error = UnreadableError if given is None else InvalidInputError
        raise error(where, f"voxels of {sizes} um", "finite sizes over 0", "declare voxel_um")
    return sizes, "um"


def _grid(group: h5py.Group) -> h5py.Dataset | None:
    plane = group.get("imaging_plane")
    stated = plane.get("grid_spacing") if isinstance(plane, h5py.Group) else None
    return stated if isinstance(stated, h5py.Dataset) and stated.dtype.kind in "iuf" else None
