"""MRtrix images (.mif, .mif.gz, .mih with .dat): volumes, series and diffusion data.

Voxels keep their order on disk, which the field ``layout`` tells; the affine follows it. The
directions of ``dw_scheme`` are the scanner's; they are stored along the image's axes, as FSL's
tables beside NIfTI files have them.

References
----------
https://mrtrix.readthedocs.io/en/latest/getting_started/image_data.html and
https://mrtrix.readthedocs.io/en/latest/concepts/dw_scheme.html
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import UnknownFormatError
from neurodata.readers import bids, diffusion, label_tables, sidecar
from neurodata.readers.mif_header import MAGIC, Header, parse, wrong
from neurodata.readers.nifti_header import EXTRA
from neurodata.readers.nifti_space import (
    check_affine,
    check_sizes,
    declared_orientation,
    fourth_axis,
    regular_clock,
)
from neurodata.readers.nifti_voxels import StoredVoxels, lazy, volume_node, warn_of_surplus
from neurodata.safe import Raw

__all__ = ["EXTRA", "SUFFIXES", "members", "read", "sniff"]

SUFFIXES = (".mif", ".mif.gz", ".mih")
MODALITIES = {"bold": "fmri", "dwi": "dwi"}
SPATIAL = 3
AXES = ("x", "y", "z")


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is an MRtrix image; ``head`` is its start, decompressed."""
    return head.startswith((MAGIC + b"\n", MAGIC + b"\r\n"))


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the image, the voxels of a header's name, its side-cars and a table of names."""
    stem = path.name.removesuffix(".gz").rpartition(".")[0]
    beside = [p for p in folder if p.parent == path.parent and p.name == f"{stem}.dat"]
    voxels = beside if path.name.endswith(".mih") else []
    tables = label_tables.beside(path, folder)
    return tuple(dict.fromkeys([path, *voxels, *tables, *bids.sidecars(path, folder)]))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read one image as a lazy tree in raw form.

    A series becomes the node ``bold`` with dims ``(time, z, y, x)`` and a regular clock, a
    single volume ``anat``, one with a table of names ``atlas`` and ``regions``, one with a
    gradient scheme ``dwi`` with ``b_value (time)`` and ``b_vector (time, axis)``, and a stack
    declared as channels ``image``. Intensities are in "a.u."; ``affine`` maps ``(x, y, z, 1)``
    to RAS+ mm.

    Raises
    ------
    UnreadableError
        When the file is damaged, cut short or holds impossible values.
    UnsafeError
        When the header names a file that is none of the recording's.
    UnknownFormatError
        When voxels are bits or of a type without byte order, or there are over four axes.
    MissingFactError
        When the orientation or the repetition time is not stated; the hint holds the flag.
    """
    header = parse(raw)
    kind, fourth = _kind(raw, header, declare)
    node = volume_node(_voxels(raw, header, fourth), header.scaling[1], header.scaling[0])
    affine, space = _affine(raw, header, declare)
    node["affine"] = (("row", "col"), affine, {"units": "mm", "space_code": space})
    nodes = {kind: node}
    if kind == "dwi" and header.gradients is not None and "channel" not in node.dims:
        nodes[kind] = _with_gradients(raw, node, header.gradients)
    elif kind == "bold":
        node.attrs.update(_clock(raw, header, declare))
        end_s = node.attrs["start_s"] + node.attrs["n"] / node.attrs["rate_hz"]
        if (events := bids.events(raw, end_s)) is not None:
            nodes["events"] = events
    elif kind == "anat" and (table := label_tables.table(raw)) is not None:
        nodes = {"atlas": node, "regions": label_tables.regions(raw, node, "atlas", table)}
    if header.removed:
        raw.note("header", f"{header.removed} fields of free text, removed")
    tree = xr.DataTree.from_dict(nodes)
    tree.attrs = {**bids.facts(raw), "modality": MODALITIES.get(kind, "mri")}
    return tree


def _kind(raw: Raw, header: Header, declare: Declared) -> tuple[str, str]:
    """Return the node's name and the meaning of the fourth axis."""
    declared = fourth_axis(declare)
    table = header.gradients is not None
    weighted = table or declare.text("modality") == "dwi"
    if table and declared == "channel":
        raw.note("dw_scheme", "a gradient table, not read", "", "the fourth axis is no time")
    fourth = declared or ("channel" if weighted and not table else "time")
    if len(header.dims) == SPATIAL:
        return "dwi" if weighted else "anat", fourth
    if weighted and (fourth == "channel" or table):
        return "dwi", fourth
    return "bold" if fourth == "time" else "image", fourth


def _spatial(header: Header) -> list[int]:
    """Return the image's axes in the order on disk, the fastest first: x, y and z here."""
    return [axis for axis in header.order if axis < SPATIAL]


def _voxels(raw: Raw, header: Header, fourth: str) -> xr.DataArray:
    """Return the voxels as they lie on disk, dims transposed to (fourth, z, y, x)."""
    own = header.file == "."
    if own and raw.main.name.endswith(".mih"):
        raise wrong(raw, "file", "'.', the header itself", "the name of a .dat file")
    path = raw.main if own else raw.sibling(header.file)
    shape = tuple(header.dims[axis] for axis in reversed(header.order))
    stored = StoredVoxels(path, shape, header.dtype, header.offset)
    warn_of_surplus(raw, stored, "dim")
    names = dict(zip(_spatial(header), AXES, strict=True)) | {SPATIAL: fourth}
    voxels = xr.DataArray(lazy(stored), dims=[names[axis] for axis in reversed(header.order)])
    if SPATIAL in header.reversed:
        voxels = voxels.isel({fourth: slice(None, None, -1)})
    if voxels.dtype.kind == "c" and header.scaling[0] != 0:
        raise UnknownFormatError(
            f"{raw.name}: scaling", f"the offset {header.scaling[0]} on complex voxels", "0",
            "apply it and save again",
        )  # fmt: skip
    return voxels.transpose(..., "z", "y", "x")


def _affine(raw: Raw, header: Header, declare: Declared) -> tuple[npt.NDArray[np.float64], str]:
    """Return the matrix (4, 4) to RAS+ mm of voxels as they lie on disk, and its space."""
    axes = _spatial(header)
    check_sizes(raw, header.sizes, "vox")
    if header.cosines is None:
        stated = ("transform", "no directions of the axes")
        return declared_orientation(raw, header.sizes[axes], declare, *stated), "unknown"
    matrix = np.eye(4)
    matrix[:3, 3] = header.cosines[:, 3]
    for place, axis in enumerate(axes):
        step = header.cosines[:, axis] * header.sizes[axis]
        if axis in header.reversed:
            matrix[:3, 3] += step * (header.dims[axis] - 1)
            step = -step
        matrix[:3, place] = step
    check_affine(raw, matrix)
    return matrix, "scanner"


def _with_gradients(raw: Raw, node: xr.Dataset, scheme: npt.NDArray[Any]) -> xr.Dataset:
    """Return the node with the scheme (time, 4), turned from the scanner's to the image's axes."""
    count = node.sizes.get("time", 1)
    if len(scheme) != count:
        found = f"{len(scheme)} directions"
        raise wrong(raw, "dw_scheme", found, f"{count}, as the image has volumes")
    matrix = node["affine"].values[:3, :3]
    axes = matrix / np.linalg.norm(matrix, axis=0)
    vectors = np.linalg.solve(axes, scheme[:, :3].T).T
    if np.linalg.det(axes) > 0:
        vectors[:, 0] = -vectors[:, 0]
    raw.note(
        "dw_scheme", "directions in the scanner's axes", "",
        "stored along the image's axes, x reversed where the affine's determinant is positive",
    )  # fmt: skip
    place = Path(f"{raw.main.name}: dw_scheme")
    return diffusion.attached(raw, node, place, place, scheme[:, 3].copy(), vectors + 0.0)


def _clock(raw: Raw, header: Header, declare: Declared) -> dict[str, float | int]:
    """Return the clock by ``RepetitionTime`` of header or side-car, or by a declaration.

    The size along the fourth axis has no unit; it is only compared.
    """
    stated = header.period if isfinite(header.period) else sidecar.repetition_s(raw)
    where = f"vox, of {header.spacing:g} along the fourth axis" if header.spacing > 0 else "vox"
    field = "RepetitionTime" if stated is not None else where
    clock = regular_clock(raw, field, stated, header.dims[3], declare)
    period_s = 1 / float(clock["rate_hz"])
    if header.spacing > 0 and not any(
        abs(header.spacing * unit / period_s - 1) < 1e-3 for unit in (1.0, 1e-3)
    ):
        raw.warn("vox", f"{header.spacing:g} along the fourth axis", f"{period_s:g}, the period")
    return clock
