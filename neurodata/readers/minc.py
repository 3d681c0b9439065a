"""MINC images (.mnc), version 2 (HDF5) and version 1 (netCDF).

Voxels keep their order on disk: the fastest axis of the file is ``x`` here, whatever MINC calls
it, and ``affine`` says where it runs. World coordinates of MINC run to right, front and top.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared, missing
from neurodata.errors import MissingFactError, UnknownFormatError, need
from neurodata.readers import bids
from neurodata.readers.minc_header import SPATIAL, Axis, Image, wrong
from neurodata.readers.minc_netcdf import MAGIC, from_netcdf
from neurodata.readers.nifti_space import (
    check_affine,
    check_sizes,
    declared_factor,
    regular_clock,
)
from neurodata.readers.nifti_voxels import volume_node
from neurodata.readers.personal_keys import kinds_of
from neurodata.safe import Raw
from neurodata.units import to_si

__all__ = ["EXTRA", "SUFFIXES", "members", "read", "sniff"]

SUFFIXES = (".mnc", ".mnc2")
EXTRA = "mri"
HDF5 = b"\x89HDF\r\n\x1a\n"
COSINES = {"xspace": (1.0, 0.0, 0.0), "yspace": (0.0, 1.0, 0.0), "zspace": (0.0, 0.0, 1.0)}
OTHERS = {"time": "time", "vector_dimension": "channel"}
TOLERANCE = 1e-3

members = bids.with_sidecars


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is MINC: netCDF or HDF5 with the names that MINC gives.

    A damaged HDF5 file called ``.mnc`` counts, so that reading it tells the damage.

    Raises
    ------
    MissingDependencyError
        When the file is HDF5, called ``.mnc`` and h5py is not installed.
    """
    if head[:4] in MAGIC:
        return b"xspace" in head or b"zspace" in head
    if not head.startswith(HDF5) or b"minc-2.0" in head:
        return head.startswith(HDF5)
    if not path.name.lower().endswith(SUFFIXES):
        return False
    need("h5py", extra=EXTRA)
    from neurodata.readers.minc_hdf5 import is_minc

    return is_minc(path)


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read one image as a lazy tree in raw form.

    A series becomes the node ``bold`` with dims ``(time, z, y, x)`` and a regular clock, a
    single volume ``anat``, vectors ``image`` with ``(channel, z, y, x)``. Intensities are in
    "a.u."; ``affine`` maps ``(x, y, z, 1)`` to RAS+ mm.

    Raises
    ------
    UnreadableError
        When the file is damaged, cut short or contradicts itself.
    UnknownFormatError
        When the image has no three axes in space, or is not evenly spaced.
    UnsafeError
        When the file leads to other files.
    MissingFactError
        When the unit of length or the repetition time is not stated; the hint holds the flag.
    """
    image = _image(raw)
    dims, spatial = _dims(raw, image)
    slope, inter, voxels = _scaled(raw, image, dims)
    node = volume_node(voxels, slope, inter)
    node = node.transpose("time", "channel", "z", "y", "x", ..., missing_dims="ignore")
    if image.voxels.dtype.kind in "iu" and "image" in node:
        raw.note("image-min, image-max", "one a slice", "", "multiplied in, as 32-bit floats")
    matrix = _affine(raw, spatial, declare)
    node["affine"] = (("row", "col"), matrix, {"units": "mm", "space_code": "unknown"})
    kind = "bold" if "time" in dims else "image" if "channel" in dims else "anat"
    if kind == "bold":
        node.attrs.update(_clock(raw, image.axes[dims.index("time")], declare))
    if image.private:
        raw.note("header", f"free text, removed: {kinds_of(image.private)}")
    tree = xr.DataTree.from_dict({kind: node})
    tree.attrs = {**bids.facts(raw), "modality": "fmri" if kind == "bold" else "mri"}
    return tree


def _image(raw: Raw) -> Image:
    start = safe.head(raw.main, 4)
    if start in MAGIC:
        return from_netcdf(raw)
    need("h5py", extra=EXTRA)
    from neurodata.readers.minc_hdf5 import from_hdf5

    return from_hdf5(raw)


def _dims(raw: Raw, image: Image) -> tuple[list[str], list[Axis]]:
    """Return our names of the image's axes, and its axes in space, the fastest one first."""
    spatial = [axis for axis in image.axes if axis.name in SPATIAL]
    other = [axis.name for axis in image.axes if axis.name not in (*SPATIAL, *OTHERS)]
    if len(spatial) != 3 or other:
        names = ", ".join(axis.name for axis in image.axes)
        raise UnknownFormatError(
            f"{raw.name}: dimorder", names, "xspace, yspace, zspace, and time or vector_dimension",
            "convert it: mincreshape",
        )  # fmt: skip
    free = iter("zyx")
    dims = [next(free) if axis in spatial else OTHERS[axis.name] for axis in image.axes]
    return dims, spatial[::-1]


def _scaled(
    raw: Raw, image: Image, dims: list[str]
) -> tuple[float | xr.DataArray, float | xr.DataArray, xr.DataArray]:
    """Return slope and intercept of the stored values, and these; what is not valid is NaN."""
    voxels = xr.DataArray(image.voxels, dims=dims)
    voxels = voxels.astype(voxels.dtype.newbyteorder("="), copy=False)
    if voxels.dtype.kind == "f":
        return 1.0, 0.0, voxels
    kind = np.iinfo(voxels.dtype)
    low, high = image.valid_range or (float(kind.min), float(kind.max))
    if low < kind.min or high > kind.max:
        raise wrong(raw, "valid_range", [low, high], f"within {kind.min} to {kind.max}")
    first = dims[: image.low.ndim]
    slope = xr.DataArray((image.high - image.low) / (high - low), dims=first)
    if (slope == 0).all():
        raise wrong(raw, "image-min, image-max", "the same number twice", "the range of the values")
    inter = xr.DataArray(image.low - low * slope.values, dims=first)
    if (low, high) != (kind.min, kind.max) and (outside := _outside(image.voxels, low, high)):
        raw.warn(
            "valid_range", f"{outside} voxels outside {low:g} to {high:g}", "none",
            "they are not valid by definition of the format, and stored as NaN",
        )  # fmt: skip
        voxels = voxels.astype("f8").where((voxels >= low) & (voxels <= high))
    return slope, inter, voxels


def _outside(voxels: Any, low: float, high: float) -> int:
    count = 0
    for block in voxels.blocks.ravel():
        values = block.compute(scheduler="synchronous")
        count += int(((values < low) | (values > high)).sum())
    return count


def _affine(
    raw: Raw, spatial: list[Axis], declare: Declared
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the matrix (4, 4): each axis' direction times its step, from the sum of the starts.

    Raises
    ------
    UnreadableError
        When a step or start is missing or impossible, or directions are no unit vectors.
    MissingFactError
        When the unit of length is not stated.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = 0
    for column, axis in enumerate(spatial):
        step, start = axis.number("step"), axis.number("start")
        if step is None or start is None or not np.isfinite([step, start]).all() or step == 0:
            found = f"step {step}, start {start}"
            raise wrong(raw, axis.name, found, "both as finite numbers, the step not 0")
        matrix[:3, column] = _direction(raw, axis) * step
        matrix[:3, 3] += _direction(raw, axis) * start
    matrix[:3] *= _mm_per_unit(raw, spatial, np.linalg.norm(matrix[:3, :3], axis=0), declare)
    check_affine(raw, matrix)
    check_sizes(raw, np.linalg.norm(matrix[:3, :3], axis=0), "step")
    return matrix


def _direction(raw: Raw, axis: Axis) -> np.ndarray[Any, Any]:
    """Return the direction of an axis; without one it runs along its name, as MINC defines."""
    stated = axis.attributes.get("direction_cosines")
    if stated is None:
        return np.array(COSINES[axis.name])
    values = np.ravel(np.asarray(stated))
    known = values.size == 3 and values.dtype.kind in "fiu" and bool(np.isfinite(values).all())
    if not known or abs(np.linalg.norm(values) - 1) > TOLERANCE:
        found = f"direction_cosines {values.tolist()}"
        raise wrong(raw, axis.name, found, "three numbers, a unit vector")
    return np.asarray(values, "f8")


def _mm_per_unit(
    raw: Raw, spatial: list[Axis], sizes: np.ndarray[Any, Any], declare: Declared
) -> float:
    units = sorted({axis.text("units") or "" for axis in spatial})
    declared = declare.numbers("voxel_mm", 3)
    if len(units) > 1:
        raise wrong(raw, "units", units, "one for all axes in space")
    stated = _mm(raw, units[0])
    if declared is not None:
        factor = declared_factor(raw, sizes, np.array(declared[::-1]))
        if stated is not None and abs(stated - factor) > TOLERANCE * stated:
            raw.warn("units", f"{stated:g} mm, but voxel_mm={declared} declared", "agreement")
        return factor
    if stated is None:
        example = ",".join(f"{size:g}" for size in sizes[::-1])
        raise missing(
            f"{raw.name}: units", f"the unit {units[0]!r} for voxels of {sizes.tolist()} (x, y, z)",
            "a unit of length, or the voxel size declared in mm as z,y,x", f"voxel_mm={example}",
        )  # fmt: skip
    return stated


def _mm(raw: Raw, text: str) -> float | None:
    """Return the mm in a unit, or None where it is not known."""
    try:
        unit = to_si(text, raw.name)
    except MissingFactError:
        return None
    if unit.dimension != "length":
        raise wrong(raw, "units", f"a unit of {unit.dimension}", "one of length, e.g. mm")
    return unit.factor * 1e3


def _clock(raw: Raw, axis: Axis, declare: Declared) -> dict[str, float | int]:
    step, start, text = axis.number("step"), axis.number("start"), axis.text("units")
    factor = None
    if text:
        unit = to_si(text, f"{raw.name}: time: units")
        factor = unit.factor if unit.dimension == "time" else None
    period_s = None if step is None or factor is None else step * factor
    first_s = (start or 0.0) * (factor or 0.0)
    return regular_clock(raw, "time: step", period_s, axis.length, declare, first_s)
