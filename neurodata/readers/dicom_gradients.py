"""The gradient table of a DICOM series: b-values, and directions along the image's own axes.

Directions are turned into the convention in which FSL and BIDS write them, as `diffusion` says:
unit vectors along x, y and z of the image as it is stored, x reversed where the affine's
determinant is positive.

References
----------
GE's axes, by what it writes for scans of known direction: frequency, phase and slice make a
right-handed frame. The slice's axis points up; that of the encoding along the rows to the right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.errors import UnreadableError
from neurodata.readers.dicom_encoding import Encoding
from neurodata.readers.dicom_space import Grid
from neurodata.readers.diffusion import AXES, NORM_TOLERANCE
from neurodata.safe import Raw

SAME_B, SAME_DIRECTION = 1e-6, 1e-4
TO_RAS = np.array([-1.0, -1.0, 1.0])

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """B-values in s/mm2 (time), and directions (time, 3) where all are known."""

    b_value: Array
    b_vector: Array | None


def gradient_table(raw: Raw, grid: Grid) -> Table | None:
    """Return the table of a series, or None where some volume states no b-value.

    Raises
    ------
    UnreadableError
        When the slices of a volume differ, or a direction is no unit vector.
    """
    times, channels, slices = grid.shape
    each = channels * slices
    volumes = [_encoding(grid, time * each, each) for time in range(times)]
    b_value = np.array([np.nan if v.b_value is None else v.b_value for v in volumes])
    if np.isnan(b_value).any():
        return None
    return Table(b_value, _directions(raw, grid, volumes))


def with_table(node: xr.Dataset, table: Table) -> xr.Dataset:
    """Return a volume node over time with ``b_value`` and, where known, ``b_vector``."""
    node["b_value"] = ("time", table.b_value, {"units": "s/mm2"})
    if table.b_vector is None:
        return node
    node["b_vector"] = (("time", "axis"), table.b_vector)
    return node.assign_coords(axis=("axis", np.array(AXES, dtype=object)))


def _encoding(grid: Grid, start: int, count: int) -> Encoding:
    """Return what all slices of a volume state alike."""
    first = grid.frames[start]
    for frame in grid.frames[start + 1 : start + count]:
        own, known = frame.encoding, first.encoding
        if own == known:
            continue
        alike = (own.b_value is None) is (known.b_value is None) and (own.gradient is None) is (
            known.gradient is None
        )
        apart = abs((own.b_value or 0.0) - (known.b_value or 0.0)) > SAME_B
        turned = np.abs(np.subtract(own.gradient or 0.0, known.gradient or 0.0)).max()
        if not alike or apart or turned > SAME_DIRECTION or own.phase_axis != known.phase_axis:
            raise UnreadableError(
                f"{frame.where}: diffusion", f"b = {own.b_value} along {own.gradient}",
                f"b = {known.b_value} along {known.gradient}, as in {first.where} of one volume",
                "see whether slices of several volumes were mixed",
            )  # fmt: skip
    return first.encoding


def _directions(raw: Raw, grid: Grid, volumes: list[Encoding]) -> Array | None:
    """Return directions along the image's axes, NaN where b is 0 and none is stated."""
    weighted = [volume for volume in volumes if volume.weighted]
    absent = [v for v in weighted if v.gradient is None or not any(v.gradient)]
    if absent or grid.affine is None or not weighted:
        if weighted:
            where = f"of {len(absent)} volume(s) not stated" if absent else "without orientation"
            raw.note("diffusion", f"directions {where}", "one for each", "all are left out")
        return None
    rotation = np.asarray(grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0), "f8")
    normal = np.cross(rotation[:, 0], rotation[:, 1])
    rotation[:, 2] = normal * np.sign(normal @ rotation[:, 2])  # slices may be sheared
    if any(v.phase_axis for v in weighted) and abs(rotation[:, 2]).argmax() != 2:
        raw.note("diffusion", "directions along a GE scan's axes", "those of axial slices",
                 "left out: how they lie in other slices is not settled")  # fmt: skip
        return None
    found = np.array([_turned(raw, volume, rotation) for volume in volumes])
    if np.linalg.det(rotation) > 0:
        found[:, 0] *= -1
    raw.note("diffusion", "directions along the image's axes as FSL has them", "",
             "turned from the patient's axes")  # fmt: skip
    return found + 0.0  # no negative zeros


def _turned(raw: Raw, volume: Encoding, rotation: Array) -> Array:
    """Return a volume's direction along the columns of a rotation to RAS."""
    if volume.gradient is None:
        return np.full(3, np.nan)
    stated = np.array(volume.gradient)
    length = float(np.linalg.norm(stated))
    if volume.weighted and abs(length - 1) > NORM_TOLERANCE:
        raise UnreadableError(
            f"{raw.name}: diffusion", f"a direction of length {length:.4g}",
            f"lengths of 1 within {NORM_TOLERANCE}", "export the series again",
        )  # fmt: skip
    ras = _scan_axes(volume.phase_axis, rotation) @ stated if volume.phase_axis else stated * TO_RAS
    found: Array = rotation.T @ ras
    return found


def _scan_axes(phase_axis: str, rotation: Array) -> Array:
    """Return frequency, phase and slice of an axial GE scan as columns in RAS."""
    along_row, upwards = (column * np.sign(column[abs(column).argmax()])
                          for column in (rotation[:, 0], rotation[:, 2]))  # fmt: skip
    if phase_axis == "ROW":
        return np.stack([np.cross(along_row, upwards), along_row, upwards], axis=1)
    return np.stack([along_row, np.cross(upwards, along_row), upwards], axis=1)
