"""MGH and MGZ volumes (.mgh, .mgz), as FreeSurfer writes them.

A header of 284 bytes and the voxels, all big-endian; then, in most files, repetition time, flip
angle and echo time, and tags of free text. Lengths are mm, times ms, angles radians by
definition of the format.

References
----------
https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, pi
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared, missing
from neurodata.errors import UnknownFormatError, UnreadableError, need
from neurodata.readers import bids, label_tables
from neurodata.readers.lacking import all_of
from neurodata.readers.nifti_space import (
    check_affine,
    check_sizes,
    declared_orientation,
    fourth_axis,
    regular_clock,
)
from neurodata.readers.nifti_voxels import StoredVoxels, lazy, volume_node
from neurodata.safe import Raw

__all__ = ["EXTRA", "SUFFIXES", "members", "read", "sniff"]

SUFFIXES = (".mgh", ".mgz", ".mgh.gz")
EXTRA = "mri"
MGH_VERSION = 1
HEADER_BYTES, FIELD_BYTES = 284, 90
ACQUISITION = ("repetition time", "flip angle", "echo time", "inversion time")
TYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
OTHER_TYPES = {
    2: "64-bit integers",
    5: "bits",
    6: "tensors",
    7: "complex",
    8: "complex",
    9: "colours",
}
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Header:
    """A checked MGH header; ``fields`` are those of nibabel's record, ``shape`` (x, y, z, t)."""

    fields: Any
    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is MGH; ``head`` is its start, decompressed when it is gzip."""
    if len(head) < FIELD_BYTES or head[3] != MGH_VERSION or head[0] != 0:
        return False
    numbers = np.frombuffer(head[:30], ">i4", 7)
    dims, kind, flag = numbers[1:5], int(numbers[5]), int.from_bytes(head[28:30], "big")
    return bool((dims > 0).all()) and 0 <= kind <= 12 and flag in (0, 1)


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the volume, its side-cars and a table of names beside it."""
    return tuple(
        dict.fromkeys([path, *label_tables.beside(path, folder), *bids.sidecars(path, folder)])
    )


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read one volume or series as a lazy tree in raw form.

    A series becomes the node ``bold`` with dims ``(time, z, y, x)`` and a regular clock, one of
    frames declared as channels ``image``, a single volume ``anat``, one with a table of names
    ``atlas`` and ``regions``. Intensities are in "a.u."; ``affine`` maps ``(x, y, z, 1)`` to
    RAS+ mm.

    Raises
    ------
    UnreadableError
        When the file is damaged, cut short or holds impossible values.
    UnknownFormatError
        When the values are no intensities of voxels.
    MissingFactError
        When the orientation or the repetition time is not stated; the hint holds the flag.
    """
    header = _header(raw)
    fourth = fourth_axis(declare) or "time"
    count = header.shape[3]
    axes = (fourth, "z", "y", "x") if count > 1 else ("z", "y", "x")
    stored = StoredVoxels(raw.main, header.shape[::-1][4 - len(axes) :], header.dtype, HEADER_BYTES)
    node = volume_node(xr.DataArray(lazy(stored), dims=axes), 1.0, 0.0)
    affine, space = _affine(raw, header, declare)
    node["affine"] = (("row", "col"), affine, {"units": "mm", "space_code": space})
    stated = _acquisition(raw, stored)
    kind = "anat" if count == 1 else "bold" if fourth == "time" else "image"
    nodes = {kind: node}
    if kind == "bold":
        period_ms = stated.get("repetition time")
        period_s = None if period_ms is None else period_ms / 1e3
        node.attrs.update(regular_clock(raw, "repetition time", period_s, count, declare))
    elif kind == "anat" and (table := label_tables.table(raw)) is not None:
        nodes = {"atlas": node, "regions": label_tables.regions(raw, node, "atlas", table)}
    node.attrs.update(_protocol(raw, stated, kind == "bold"))
    tree = xr.DataTree.from_dict(nodes)
    tree.attrs = {**bids.facts(raw), "modality": "fmri" if kind == "bold" else "mri"}
    return tree


def _header(raw: Raw) -> Header:
    block = safe.head(raw.main, HEADER_BYTES)
    if len(block) < HEADER_BYTES:
        raise UnreadableError(
            raw.name, f"{len(block)} bytes", f"a header of {HEADER_BYTES}", "copy it again"
        )
    record = need("nibabel.freesurfer.mghformat", extra=EXTRA).header_dtype
    fields = np.frombuffer(block[: record.itemsize], record)[0]
    version, kind = int(fields["version"]), int(fields["type"])
    if version & 0xFF == MGH_VERSION and version >> 8 not in (0, 1):
        raise UnknownFormatError(
            f"{raw.name}: version", f"content of kind {version >> 8}", "0 or 1, a volume or labels",
            "convert surfaces and warps to another format",
        )  # fmt: skip
    if version & 0xFF != MGH_VERSION:
        raise _impossible(raw, "version", version, "1")
    shape = tuple(int(n) for n in fields["dims"])
    if min(shape) < 1:
        raise _impossible(raw, "dims", shape, "at least 1 voxel along each axis")
    if shape[0] > 1 and shape[1] == shape[2] == 1:
        raise UnknownFormatError(
            f"{raw.name}: dims", f"{shape}, a row of numbers", "a volume",
            "values of surface vertices are not read",
        )  # fmt: skip
    if kind not in TYPES:
        raise UnknownFormatError(
            f"{raw.name}: type", f"{kind} ({OTHER_TYPES.get(kind, 'not in the format')})",
            "0, 1, 3, 4 or 10", "convert it: mri_convert -odt float",
        )  # fmt: skip
    return Header(fields, (shape[0], shape[1], shape[2], shape[3]), np.dtype(TYPES[kind]))


def _impossible(raw: Raw, where: str, found: object, expected: str) -> UnreadableError:
    return UnreadableError(f"{raw.name}: {where}", str(found), expected, "mend it at its source")


def _affine(
    raw: Raw, header: Header, declare: Declared
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], str]:
    """Return the matrix (4, 4) to RAS+ mm: columns times sizes, and half the grid off the centre.

    Raises
    ------
    MissingFactError
        When the header says that its directions are not valid, and none are declared.
    """
    fields = header.fields
    if int(fields["goodRASFlag"]) <= 0:
        return _declared_affine(raw, declare), "unknown"
    sizes = np.asarray(fields["delta"], "f8")
    cosines = np.asarray(fields["Mdc"], "f8").T
    centre = np.asarray(fields["Pxyz_c"], "f8")
    if not np.isfinite(sizes).all() or (sizes <= 0).any():
        raise _impossible(raw, "delta", sizes.tolist(), "finite sizes over 0")
    if not np.isfinite(cosines).all() or not np.isfinite(centre).all():
        raise _impossible(raw, "Mdc, Pxyz_c", "numbers that are not finite", "finite numbers")
    lengths = np.linalg.norm(cosines, axis=0)
    if abs(lengths - 1).max() > TOLERANCE:
        raise _impossible(raw, "Mdc", f"directions of length {lengths.tolist()}", "unit vectors")
    check_sizes(raw, sizes, "delta")
    matrix = np.eye(4)
    matrix[:3, :3] = cosines * sizes
    matrix[:3, 3] = centre - matrix[:3, :3] @ (np.asarray(header.shape[:3]) / 2)
    check_affine(raw, matrix)
    return matrix, "scanner"


def _declared_affine(raw: Raw, declare: Declared) -> np.ndarray[Any, np.dtype[np.float64]]:
    where, found = "goodRASFlag", "0: directions and sizes are not stated"
    unknown = np.ones(3)

    def sizes_mm() -> np.ndarray[Any, Any]:
        declared = declare.numbers("voxel_mm", 3)
        if declared is None:
            expected = "the size of a voxel in mm as z,y,x"
            raise missing(f"{raw.name}: {where}", found, expected, "voxel_mm=<z>,<y>,<x>")
        if min(declared) <= 0:
            raise UnreadableError("--set voxel_mm", str(declared), "sizes over 0", "correct it")
        return np.array(declared[::-1])

    sizes, _ = all_of([sizes_mm, lambda: declared_orientation(raw, unknown, declare, where, found)])
    check_sizes(raw, sizes, "voxel_mm")
    return declared_orientation(raw, sizes, declare, where, found)


def _acquisition(raw: Raw, stored: StoredVoxels) -> dict[str, float]:
    """Return what the four numbers after the voxels state; 0 is how the format says nothing."""
    if not stored.surplus:
        return {}
    if stored.surplus < 4 * len(ACQUISITION):
        raise UnreadableError(
            raw.name, f"{stored.surplus} bytes after the voxels", "none, or at least 16",
            "copy the file again",
        )  # fmt: skip
    end = stored.offset + int(np.prod(stored.shape, dtype=object)) * stored.stored.itemsize
    numbers = StoredVoxels(raw.main, (len(ACQUISITION),), np.dtype(">f4"), end)[:].tolist()
    stated = dict(zip(ACQUISITION, numbers, strict=True))
    for name, value in stated.items():
        if not (isfinite(value) and value >= 0):
            raise _impossible(raw, name, value, "0 or more")
    if stored.surplus > 4 * len(ACQUISITION) + 4:
        raw.note("tags", "free text after the voxels, removed")
    return {name: value for name, value in stated.items() if value}


def _protocol(raw: Raw, stated: dict[str, float], series: bool) -> dict[str, float]:
    attrs: dict[str, float] = {}
    if "repetition time" in stated and not series:
        attrs["repetition_time_s"] = stated["repetition time"] / 1e3
    if "echo time" in stated:
        attrs["echo_time_s"] = stated["echo time"] / 1e3
    if "flip angle" in stated:
        attrs["flip_angle_deg"] = stated["flip angle"] * 180 / pi
        if stated["flip angle"] > pi:
            found = f"{stated['flip angle']:g}"
            raw.warn("flip angle", found, "radians, at most pi", "left out, as it may be degrees")
            del attrs["flip_angle_deg"]
    return attrs
