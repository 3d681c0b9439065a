"""The surface of a GIFTI file: vertices in m, faces, structure, and their coordinate systems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.errors import UnknownFormatError, need
from neurodata.readers.delimited import text_array
from neurodata.readers.gifti_document import EXTRA, wrong
from neurodata.safe import Raw

POINTS = 1008
AXES = ("x", "y", "z")
M_PER_MM = 1e-3
PLAUSIBLE_M = (0.003, 0.6)
"""The longest extent of a brain or head: a mouse's cortex to a head with room around it."""
POSSIBLE_M = (1e-6, 10.0)
"""Beyond these, the numbers are no coordinates in mm, e.g. in the other byte order."""

STRUCTURES = {
    "CortexLeft": "CORTEX_LEFT", "CortexRight": "CORTEX_RIGHT", "CortexRightAndLeft": "CORTEX",
    "Cerebellum": "CEREBELLUM", "Head": "HEAD", "HippocampusLeft": "HIPPOCAMPUS_LEFT",
    "HippocampusRight": "HIPPOCAMPUS_RIGHT", "Subcortical": "SUBCORTICAL",
}  # fmt: skip
LAYERS = ("GrayWhite", "GrayMid", "MidThickness", "Pial")
GEOMETRIES = (
    "Reconstruction", "Anatomical", "Inflated", "VeryInflated", "Spherical", "SemiSpherical",
    "Ellipsoid", "Flat", "Hull",
)  # fmt: skip
FACTS = {
    "AnatomicalStructurePrimary": ("structure", STRUCTURES),
    "AnatomicalStructureSecondary": ("layer", {name: name for name in LAYERS}),
    "GeometricType": ("geometry", {name: name for name in GEOMETRIES}),
}


def facts(image: Any, arrays: Sequence[Any]) -> dict[str, str]:
    """Return ``structure``, ``layer`` and ``geometry`` where arrays or file state known words."""
    found: dict[str, str] = {}
    for meta in (*(array.meta for array in arrays), image.meta):
        for key, (name, words) in FACTS.items():
            word = str(dict(meta).get(key, ""))
            if name not in found and word in words:
                found[name] = words[word]
    return found


def surface(raw: Raw, image: Any, arrays: Sequence[Any]) -> xr.Dataset:
    """Return vertices and triangles as the node ``surface``.

    Raises
    ------
    UnreadableError
        When coordinates are not finite or a triangle has a vertex that is not there.
    UnknownFormatError
        When there are several surfaces, or points or triangles alone.
    """
    points = [array for array in arrays if int(array.intent) == POINTS]
    triangles = [array for array in arrays if int(array.intent) != POINTS]
    if (len(points), len(triangles)) != (1, 1):
        raise UnknownFormatError(
            f"{raw.name}: DataArray",
            f"{len(points)} sets of points, {len(triangles)} of triangles",
            "one of each, a surface", "export one whole surface a file",
        )  # fmt: skip
    position, face = _position(raw, points[0]), _face(raw, triangles[0])
    if int(face.max()) >= len(position) or int(face.min()) < 0:
        outside = int(face.max()) if int(face.max()) >= len(position) else int(face.min())
        found = f"a triangle to vertex {outside}"
        raise wrong(raw, "NIFTI_INTENT_TRIANGLE", found, f"0 to {len(position) - 1}")
    space, other, matrix = _space(raw, points[0])
    about = {"units": "m", "space": space}
    node = xr.Dataset(
        {"position": (("vertex", "axis"), position, about)},
        coords={"axis": ("axis", text_array(AXES))},
        attrs={"representation": "surface", "schema": "surface/1"},
    )
    node["face"] = (("triangle", "corner"), face.astype("i4"))
    if matrix is not None:
        node["transform"] = (("row", "col"), matrix, {"units": "m", "space": other})
    return node.assign_attrs(facts(image, [points[0], triangles[0]]))


def _position(raw: Raw, array: Any) -> npt.NDArray[Any]:
    """Return coordinates (vertex, axis) in m, in the precision that the file has."""
    data = np.asarray(array.data)
    if data.ndim != 2 or data.shape[1] != len(AXES) or data.dtype.kind != "f":
        found = f"{list(data.shape)} numbers of type {data.dtype}"
        raise wrong(raw, "NIFTI_INTENT_POINTSET", found, "x, y and z of each vertex as floats")
    if not np.isfinite(data).all():
        raise wrong(raw, "NIFTI_INTENT_POINTSET", "coordinates not finite", "finite coordinates")
    metres = (data.astype("f8") * M_PER_MM).astype(data.dtype.newbyteorder("="))
    extent = float(np.ptp(metres, axis=0).max())
    if not POSSIBLE_M[0] <= extent <= POSSIBLE_M[1]:
        found = f"{extent * 1e3:g} mm from end to end"
        raise wrong(raw, "NIFTI_INTENT_POINTSET", found, "a surface of vertices apart")
    if not PLAUSIBLE_M[0] <= extent <= PLAUSIBLE_M[1]:
        found = f"{extent * 1e3:g} mm from end to end"
        low, high = (1e3 * bound for bound in PLAUSIBLE_M)
        raw.warn("NIFTI_INTENT_POINTSET", found, f"{low:g} to {high:g} mm", "check the unit")
    return metres


def _face(raw: Raw, array: Any) -> npt.NDArray[Any]:
    data = np.asarray(array.data)
    if data.ndim != 2 or data.shape[1] != 3 or data.dtype.kind not in "iu":
        found = f"{list(data.shape)} numbers of type {data.dtype}"
        raise wrong(raw, "NIFTI_INTENT_TRIANGLE", found, "three vertices of each triangle")
    return data


def _space(raw: Raw, array: Any) -> tuple[str, str, npt.NDArray[Any] | None]:
    """Return the space of the vertices, another space, and the matrix (4, 4) to it in m.

    The matrix is None where the file states none, or the identity within one space.
    """
    system = array.coordsys
    labels = need("nibabel.nifti1", extra=EXTRA).xform_codes.label
    if system is None:
        return "unknown", "unknown", None
    space, other = str(labels[system.dataspace]), str(labels[system.xformspace])
    matrix = np.array(system.xform, "f8")
    where = "CoordinateSystemTransformMatrix"
    if matrix.size != 16 or not np.isfinite(matrix).all():
        raise wrong(raw, where, f"{matrix.size} numbers, or not finite ones", "4 x 4 numbers")
    matrix = matrix.reshape(4, 4)
    if matrix[3].tolist() != [0, 0, 0, 1] or abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
        raise wrong(raw, where, f"the matrix {matrix.tolist()}", "one that can be inverted")
    if space == other and np.array_equal(matrix, np.eye(4)):
        return space, other, None
    matrix[:3, 3] *= M_PER_MM
    return space, other, matrix
