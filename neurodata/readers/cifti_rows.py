"""The rows of a CIFTI-2 matrix: vertices and voxels of structures, or parcels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.readers.cifti_xml import DAMAGE, kind, wrong
from neurodata.readers.delimited import text_array
from neurodata.readers.nifti_space import check_affine
from neurodata.safe import Raw

MODELS, PARCELS = "BRAIN_MODELS", "PARCELS"
ROW_LIMIT = 5_000_000
STRUCTURE = "CIFTI_STRUCTURE_"
SURFACE = "CIFTI_MODEL_TYPE_SURFACE"
AXES = ("x", "y", "z")
NONE = -1
"""The vertex of a voxel, and the voxel of a vertex."""


@dataclass(frozen=True)
class Rows:
    """What each row of the matrix is.

    Parameters
    ----------
    names : list of str
        ``CORTEX_LEFT:12`` of a vertex, ``THALAMUS_LEFT:40,51,33`` of a voxel, or a parcel's.
    structures : list of str
        Of vertices and voxels; ``parcel`` of parcels.
    places : xarray.Dataset
        The same as columns of a `maps` node.
    """

    names: list[str]
    structures: list[str]
    places: xr.Dataset


def rows_of(raw: Raw, across: Any, count: int) -> Rows:
    """Return the rows in the order of the matrix, each of them named once.

    Raises
    ------
    UnreadableError
        When they are not as many as the matrix has, or a row or place comes twice.
    """
    if not 1 <= count <= ROW_LIMIT:
        raise wrong(raw, "dim", f"{count} rows", f"1 to {ROW_LIMIT}")
    try:
        rows = _models(raw, across, count) if kind(across) == MODELS else _parcels(across)
    except DAMAGE as error:
        raise wrong(raw, "XML", f"rows that are not told ({error})", "models of all") from error
    names = rows.names
    if len(names) != count or not all(names):
        raise wrong(raw, "XML", f"{sum(map(bool, names))} rows", f"{count}, as the matrix has")
    if len(set(names)) < count:
        raise wrong(raw, "XML", "a row named twice", "each vertex, voxel or parcel once")
    return rows


def _models(raw: Raw, across: Any, count: int) -> Rows:
    names, structures = [""] * count, [""] * count
    vertex, voxel = np.full(count, NONE, "i4"), np.full((count, 3), NONE, "i4")
    surfaces: dict[str, int] = {}
    for model in across.brain_models:
        structure = str(model.brain_structure).removeprefix(STRUCTURE)
        first, size = int(model.index_offset), int(model.index_count)
        on_surface = str(model.model_type) == SURFACE
        index = _vertices(model, surfaces) if on_surface else _voxels(model, across.volume)
        if not 0 <= first <= first + size <= count or len(index) != size:
            raise ValueError(f"{len(index)} places for {size} rows from {first} on")
        here = slice(first, first + size)
        if any(names[here]):
            raise ValueError(f"rows from {first} on twice")
        (vertex if on_surface else voxel)[here] = index
        places = index.reshape(size, -1).tolist()
        names[here] = [f"{structure}:{','.join(map(str, place))}" for place in places]
        structures[here] = [structure] * size
    columns = xr.Dataset({"structure": ("place", text_array(structures))})
    if surfaces:
        columns["vertex"] = ("place", vertex)
        columns["vertex_count"] = ("surface", np.array(list(surfaces.values()), "i4"))
        columns = columns.assign_coords(surface=("surface", text_array(list(surfaces))))
    if (voxel != NONE).any():
        columns["voxel"] = (("place", "axis"), voxel)
        columns = columns.assign_coords(axis=("axis", text_array(AXES)))
        columns["affine"] = (("row", "col"), _affine(raw, across.volume), {"units": "mm"})
    return Rows(names, structures, columns)


def _vertices(model: Any, surfaces: dict[str, int]) -> npt.NDArray[np.int64]:
    """Return the vertices (row) of a model, and note the size of its surface."""
    structure = str(model.brain_structure).removeprefix(STRUCTURE)
    most, index = int(model.surface_number_of_vertices), np.array(list(model.vertex_indices), "i8")
    if surfaces.setdefault(structure, most) != most:
        raise ValueError(f"{structure} of {surfaces[structure]} and of {most} vertices")
    if index.size and not 0 <= index.min() <= index.max() < most < 2**31:
        raise ValueError(f"vertices {index.min()} to {index.max()} of {most} of {structure}")
    return index


def _voxels(model: Any, volume: Any) -> npt.NDArray[np.int64]:
    """Return the voxels (row, axis) of a model."""
    index = np.array(list(model.voxel_indices_ijk), "i8").reshape(-1, 3)
    sizes = np.array(volume.volume_dimensions, "i8")
    inside = sizes.shape == (3,) and (index >= 0).all() and (index < sizes).all()
    if not inside or sizes.max() >= 2**31:
        raise ValueError(f"voxels {index.min(0)} to {index.max(0)} of a volume of {sizes}")
    return index


def _affine(raw: Raw, volume: Any) -> npt.NDArray[np.float64]:
    """Return the matrix (4, 4) from voxel (x, y, z, 1) to mm."""
    transform = volume.transformation_matrix_voxel_indices_ijk_to_xyz
    matrix = np.array(transform.matrix, "f8").reshape(4, 4)
    if matrix[3].tolist() != [0, 0, 0, 1]:
        raise ValueError(f"a matrix whose last row is {matrix[3].tolist()}")
    matrix[:3] *= 10.0 ** (int(transform.meter_exponent) + 3)
    check_affine(raw, matrix)
    return matrix


def _parcels(across: Any) -> Rows:
    names = [str(parcel.name) for parcel in across.parcels]
    places = xr.Dataset(coords={"place": ("place", text_array(names))})
    return Rows(names, ["parcel"] * len(names), places)
