"""AFNI datasets (.HEAD with .BRIK or .BRIK.gz): volumes, series and buckets.

Voxels keep their order on disk, which is only reversed to ``(z, y, x)``; nothing is flipped.
Lengths are mm by definition of the format; the unit of time is stated.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import UnreadableError
from neurodata.readers import bids
from neurodata.readers.afni_header import (
    HEAD_LIMIT_BYTES,
    Header,
    impossible,
    is_head,
    numbers,
    parse,
)
from neurodata.readers.delimited import text_array
from neurodata.readers.nifti_space import check_affine, check_sizes, fourth_axis, regular_clock
from neurodata.readers.nifti_voxels import StoredVoxels, lazy, volume_node, warn_of_surplus
from neurodata.readers.personal_keys import kinds_of
from neurodata.safe import Raw

__all__ = ["EXTRA", "SUFFIXES", "members", "read", "sniff"]

SUFFIXES = (".head",)
EXTRA = ""
BRIKS = (".BRIK", ".BRIK.gz", ".brik", ".brik.gz")
SPACES = {"MNI": "mni", "TLRC": "talairach"}
VIEWS = {0: "scanner", 1: "aligned", 2: "talairach"}
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
FREE_TEXT = (
    "DATASET_NAME", "HISTORY_NOTE", "IDCODE_STRING", "IDCODE_DATE", "IDCODE_ANAT_PARENT",
    "LABEL_1", "LABEL_2", "NOTES_COUNT", "BRICK_KEYWORDS", "DATASET_KEYWORDS",
    "WARPDRIVE_MATVEC_FOR_000000", "MARKS_HELP", "MARKS_LAB",
)  # fmt: skip


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file starts as an AFNI header does."""
    return is_head(head.decode("latin-1"))


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the header, its voxel file and its side-cars."""
    stem = path.name[: -len(path.suffix)] if path.suffix else path.name
    found = {p.name: p for p in folder if p.parent == path.parent}
    briks = [found[stem + suffix] for suffix in BRIKS if stem + suffix in found]
    return tuple(dict.fromkeys([path, *briks, *bids.sidecars(path, folder)]))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read one dataset as a lazy tree in raw form.

    A series becomes the node ``bold`` with dims ``(time, z, y, x)`` and a regular clock, a
    single volume ``anat``, a bucket of several ``image`` with ``(channel, z, y, x)``, its
    channels named as in the header. Intensities are in "a.u."; ``affine`` maps ``(x, y, z, 1)``
    to RAS+ mm.

    Raises
    ------
    UnreadableError
        When a file is damaged or cut short, or the header holds impossible values.
    UnknownFormatError
        When the voxels are of a type that is no intensity.
    MissingFactError
        When the repetition time is implausible; the hint holds the flag.
    """
    header = parse(safe.read_bytes(raw.main, HEAD_LIMIT_BYTES).decode("latin-1"), raw.name)
    count = header.shape[3]
    fourth = fourth_axis(declare) or ("channel" if header.period_s is None else "time")
    axes = (fourth, "z", "y", "x") if count > 1 else ("z", "y", "x")
    shape = header.shape[::-1][4 - len(axes) :]
    stored = StoredVoxels(_brik(raw), shape, header.dtype, 0)
    warn_of_surplus(raw, stored, "DATASET_DIMENSIONS")
    voxels = xr.DataArray(lazy(stored), dims=axes)
    factors = xr.DataArray(list(header.factors), dims=fourth) if count > 1 else header.factors[0]
    node = volume_node(voxels, factors, 0.0)
    if header.dtype.kind in "iu" and "image" in node:
        raw.note("BRICK_FLOAT_FACS", "one factor a volume", "", "multiplied in, as 32-bit floats")
    matrix, space = _affine(raw, header)
    node["affine"] = (("row", "col"), matrix, {"units": "mm", "space_code": space})
    kind = "anat" if count == 1 else "bold" if fourth == "time" else "image"
    if kind == "bold":
        clock = regular_clock(raw, "TAXIS_FLOATS", header.period_s, count, declare, header.first_s)
        node.attrs.update(clock)
    elif kind == "image":
        node = _with_labels(raw, node, header)
    if removed := [name for name in header.attributes if name in FREE_TEXT or "NOTE" in name]:
        raw.note("header", f"free text, removed: {kinds_of(removed)}")
    tree = xr.DataTree.from_dict({kind: node})
    tree.attrs = {**bids.facts(raw), "modality": "fmri" if kind == "bold" else "mri"}
    return tree


def _brik(raw: Raw) -> Path:
    stem = raw.main.name[: -len(raw.main.suffix)] if raw.main.suffix else raw.main.name
    briks = [path for path in raw.files[1:] if path.name.lower().startswith(stem.lower() + ".brik")]
    if len(briks) != 1:
        found = ", ".join(path.name for path in briks) or "no voxel file"
        expected = f"one of {stem}.BRIK and {stem}.BRIK.gz"
        raise UnreadableError(raw.name, found, expected, "put the right one beside the header")
    return briks[0]


def _with_labels(raw: Raw, node: xr.Dataset, header: Header) -> xr.Dataset:
    """Return a bucket with its volumes' labels as channels, if each is there and once."""
    labels = [label.strip() for label in header.labels]
    if labels and all(labels) and len(set(labels)) == len(labels):
        return node.assign_coords(channel=("channel", text_array(labels)))
    raw.note("BRICK_LABS", "no label for each volume, each once", "", "channels are not named")
    return node


def _affine(raw: Raw, header: Header) -> tuple[np.ndarray[Any, np.dtype[np.float64]], str]:
    """Return the matrix (4, 4) to RAS+ mm and the space; AFNI's own axes run to left and back.

    Raises
    ------
    UnreadableError
        When an attribute is missing or impossible, or the matrices contradict each other.
    """
    found = header.attributes
    sizes = np.abs(numbers(found, "DELTA", raw.name, 3))
    if (sizes == 0).any():
        raise impossible(raw.name, "DELTA", sizes.tolist(), "sizes other than 0")
    check_sizes(raw, sizes, "DELTA")
    straight = _straight(found, raw.name)
    matrix = straight
    if "IJK_TO_DICOM_REAL" in found:
        matrix = np.eye(4)
        matrix[:3] = np.reshape(numbers(found, "IJK_TO_DICOM_REAL", raw.name, 12), (3, 4))
        check_affine(raw, matrix)
        lengths = np.linalg.norm(matrix[:3, :3], axis=0)
        if not np.allclose(lengths, sizes, rtol=0.01):
            found_text = f"voxels of {lengths.tolist()} mm"
            expected = f"{sizes.tolist()} mm, as DELTA has"
            raise impossible(raw.name, "IJK_TO_DICOM_REAL", found_text, expected)
        if not np.allclose(matrix, straight, atol=0.01 * sizes.min()):
            raw.note("IJK_TO_DICOM_REAL", "an oblique volume", "", "placed as it was taken")
    matrix = LPS_TO_RAS @ matrix
    check_affine(raw, matrix)
    view = int(numbers(found, "SCENE_DATA", raw.name, 1)[0]) if "SCENE_DATA" in found else -1
    space = str(found.get("TEMPLATE_SPACE", ""))
    return matrix, SPACES.get(
        space, "unknown" if view == 2 and space else VIEWS.get(view, "unknown")
    )


def _straight(found: dict[str, Any], where: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the matrix to AFNI's axes that orientation, origin and sizes make."""
    codes = [int(code) for code in numbers(found, "ORIENT_SPECIFIC", where, 3)]
    rows = [code // 2 for code in codes]
    if sorted(rows) != [0, 1, 2] or not 0 <= min(codes) <= max(codes) <= 5:
        raise impossible(where, "ORIENT_SPECIFIC", codes, "one code of 0-1, 2-3 and 4-5 each")
    # 0 R-L, 1 L-R, 2 P-A, 3 A-P, 4 I-S, 5 S-I; AFNI's axes run to left, back and top
    signs = {0: 1, 1: -1, 2: -1, 3: 1, 4: 1, 5: -1}
    matrix = np.eye(4)
    matrix[:3, :3] = 0
    for axis, (code, row) in enumerate(zip(codes, rows, strict=True)):
        delta = numbers(found, "DELTA", where, 3)[axis]
        if np.sign(delta) != signs[code]:
            raise impossible(
                where, "DELTA", f"{delta:g} along axis {axis}", f"the sign of code {code}"
            )
        matrix[row, axis] = delta
        matrix[row, 3] = numbers(found, "ORIGIN", where, 3)[axis]
    return matrix
