"""Philips PAR/REC images (.PAR with .REC): volumes, dynamic series, diffusion.

The header is text in mm, ms and degrees by its own labels; the voxels are whole slices in a file
apart. Values are those of the console: stored * rescale slope + rescale intercept.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import UnknownFormatError, UnreadableError, need
from neurodata.readers import bids
from neurodata.readers.delimited import text_array
from neurodata.readers.nifti_space import check_affine, check_sizes, fourth_axis, regular_clock
from neurodata.readers.nifti_voxels import StoredVoxels, lazy, volume_node, warn_of_surplus
from neurodata.safe import Raw

__all__ = ["EXTRA", "SUFFIXES", "members", "read", "sniff"]

SUFFIXES = (".par",)
EXTRA = "mri"
MARK = b"DATA DESCRIPTION FILE"
HEADER_LIMIT_BYTES = 64 * 2**20
# What nibabel raises on damaged headers, warnings included; all of it becomes UnreadableError.
DAMAGE = (
    ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, OverflowError,
    ArithmeticError, Warning,
)  # fmt: skip
DYNAMIC = "dynamic scan number"
DIFFUSION = ("diffusion b value number", "gradient orientation number")
KEYS = (
    "image_type_mr", DYNAMIC, "label type", *DIFFUSION, "cardiac phase number", "echo number",
    "scanning sequence",
)  # fmt: skip
PERSONAL = ("patient_name", "exam_name", "protocol_name", "exam_date")
START_TOLERANCE = 0.02


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file starts as the text header of PAR/REC does."""
    return head.lstrip().startswith(b"#") and MARK in head[:512]


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the header, its voxel file and its side-cars."""
    voxels = [
        p
        for p in folder
        if p.parent == path.parent and p.stem == path.stem and p.suffix.lower() == ".rec"
    ]
    return tuple(dict.fromkeys([path, *voxels, *bids.sidecars(path, folder)]))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read one image as a lazy tree in raw form.

    A dynamic series becomes the node ``bold`` with dims ``(time, z, y, x)`` and a regular
    clock, diffusion data ``dwi`` with ``b_value (time)``, other stacks (echoes, phases, types)
    ``image`` with ``(channel, z, y, x)``, a single volume ``anat``. Intensities are in "a.u.";
    ``affine`` maps ``(x, y, z, 1)`` to RAS+ mm.

    Raises
    ------
    UnreadableError
        When a file is damaged, cut short or contradicts itself, or the scan was broken off.
    UnknownFormatError
        When volumes differ in more than one way.
    MissingFactError
        When the time from volume to volume is not clear; the hint holds the flag.
    """
    header = _header(raw)
    x, y, z, count = (*(int(n) for n in header.get_data_shape()), 1)[:4]
    order = np.asarray(_sound(raw, header.get_sorted_slice_indices))
    volumes = header.image_defs[order].reshape(count, z)
    if (volumes["slice number"] != np.arange(1, z + 1)).any():
        raise UnreadableError(
            f"{raw.name}: slice number", "volumes of unlike slices", f"1 to {z} in each",
            "export it again",
        )  # fmt: skip
    kind, fourth, names = _kind(raw, header, volumes, declare)
    axes = (fourth, "z", "y", "x") if count > 1 else ("z", "y", "x")
    voxels = _voxels(raw, header, volumes["index in REC file"], (count, z, y, x)[4 - len(axes) :])
    slope, inter = (
        xr.DataArray(volumes[key] if count > 1 else volumes[key][0], dims=axes[:-2])
        for key in ("rescale slope", "rescale intercept")
    )
    node = volume_node(xr.DataArray(voxels, dims=axes), *_checked(raw, slope, inter))
    if "image" in node:
        raw.note("rescale slope", "one a slice", "", "multiplied in, as 32-bit floats")
    matrix = np.asarray(_sound(raw, header.get_affine), "f8")
    check_affine(raw, matrix)
    check_sizes(raw, np.linalg.norm(matrix[:3, :3], axis=0), "pixel spacing")
    node["affine"] = (("row", "col"), matrix, {"units": "mm", "space_code": "scanner"})
    if kind == "bold":
        node.attrs.update(_clock(raw, header, volumes, declare))
    elif kind == "dwi":
        node["b_value"] = ("time", _b_values(raw, volumes), {"units": "s/mm2"})
    elif kind == "image" and names:
        node = node.assign_coords(channel=("channel", text_array(names)))
    node.attrs.update(_protocol(header, volumes, kind))
    if removed := [name for name in PERSONAL if header.general_info.get(name)]:
        raw.note("header", f"free text, removed: {', '.join(removed)}")
    tree = xr.DataTree.from_dict({kind: node})
    tree.attrs = {**bids.facts(raw), "modality": {"bold": "fmri", "dwi": "dwi"}.get(kind, "mri")}
    return tree


def _header(raw: Raw) -> Any:
    """Return nibabel's header; what it would only warn about is refused."""
    parrec = need("nibabel.parrec", extra=EXTRA)
    text = safe.read_bytes(raw.main, HEADER_LIMIT_BYTES).decode("latin-1")

    def parse() -> Any:
        facts, rows = parrec.parse_PAR_header(StringIO(text))
        return parrec.PARRECHeader(facts, rows, permit_truncated=False, strict_sort=True)

    header = _sound(raw, parse)
    if not text.rstrip().endswith("=") or "END OF DATA DESCRIPTION" not in text[-200:]:
        raise UnreadableError(raw.name, "no line of its end", "the whole text", "copy it again")
    resolution = header.image_defs["recon resolution"]
    if (resolution < 1).any() or len(header.image_defs) < 1:
        raise UnreadableError(
            f"{raw.name}: recon resolution", str(resolution[:1].tolist()), "sizes from 1", "mend it"
        )
    return header


def _sound(raw: Raw, action: Any) -> Any:
    """Return what a call of nibabel gives; its errors and warnings are refusals."""
    error_of_parrec = need("nibabel.parrec", extra=EXTRA).PARRECError
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return action()
    except (error_of_parrec, *DAMAGE) as error:
        raise UnreadableError(
            raw.name, f"a header that does not hold together ({error})",
            "a whole export of a finished scan", "export or copy it again",
        ) from error  # fmt: skip


def _kind(
    raw: Raw, header: Any, volumes: np.ndarray[Any, Any], declare: Declared
) -> tuple[str, str, list[str]]:
    """Return the node's name, the meaning of the fourth axis and names of its channels."""
    if len(volumes) == 1:
        return "anat", "time", []
    differing = [
        key
        for key in KEYS
        if key in (volumes.dtype.names or ()) and len(np.unique(volumes[key][:, 0])) > 1
    ]
    for key in differing:
        if (volumes[key] != volumes[key][:, :1]).any():
            raise UnreadableError(
                f"{raw.name}: {key}", "several within a volume", "one", "export it again"
            )
    declared = fourth_axis(declare)
    names = [", ".join(f"{key} {int(volume[key][0])}" for key in differing) for volume in volumes]
    names = names if len(set(names)) == len(names) else []
    if declared:
        return ("bold", "time", []) if declared == "time" else ("image", "channel", names)
    weighted = bool(header.general_info.get("diffusion"))
    if weighted and set(differing) <= set(DIFFUSION):
        return "dwi", "time", []
    if differing == [DYNAMIC]:
        return "bold", "time", []
    if DYNAMIC not in differing and not weighted and names:
        return "image", "channel", names
    raise UnknownFormatError(
        raw.name, f"volumes that differ in {', '.join(differing) or 'nothing'}",
        "one of these: time, diffusion, or channels such as echoes",
        "export them apart, or declare it: --set axes=channel,z,y,x",
    )  # fmt: skip


def _voxels(raw: Raw, header: Any, index: np.ndarray[Any, Any], shape: tuple[int, ...]) -> Any:
    """Return slices in the order of ``index`` as a lazy array of ``shape``."""
    count = len(header.image_defs)
    found = np.sort(header.image_defs["index in REC file"])
    if not np.array_equal(found, np.arange(count)):
        raise UnreadableError(
            f"{raw.name}: index in REC file", f"{found[:5].tolist()} ...",
            f"each of 0 to {count - 1} once", "export it again",
        )  # fmt: skip
    dtype = np.dtype(header.get_data_dtype())
    path = raw.find(lambda path: path.suffix.lower() == ".rec")
    if path is None:
        name = f"{raw.main.stem}.REC"
        raise UnreadableError(raw.name, "no voxel file", name, "put it beside the header")
    order = index.ravel()
    straight = np.array_equal(order, np.arange(count))
    stored = StoredVoxels(path, shape if straight else (count, *shape[-2:]), dtype, 0)
    warn_of_surplus(raw, stored, "recon resolution")
    return lazy(stored) if straight else lazy(stored)[order].reshape(shape)


def _checked(raw: Raw, slope: xr.DataArray, inter: xr.DataArray) -> tuple[Any, Any]:
    if not (np.isfinite(slope).all() and np.isfinite(inter).all() and (slope != 0).all()):
        raise UnreadableError(
            f"{raw.name}: rescale slope, rescale intercept", "0 or numbers that are not finite",
            "finite numbers, no slope of 0", "export it again",
        )  # fmt: skip
    return slope, inter


def _clock(
    raw: Raw, header: Any, volumes: np.ndarray[Any, Any], declare: Declared
) -> dict[str, float | int]:
    """Return the clock by the repetition time, which the stated starts of volumes must follow.

    In scans of several shots the time from volume to volume is a multiple of the repetition
    time; the starts tell.
    """
    stated_ms = np.ravel(header.general_info.get("repetition_time", []))
    starts_s = np.asarray(volumes["dyn_scan_begin_time"][:, 0], "f8")
    period_s = float(stated_ms[0]) / 1e3 if len(stated_ms) == 1 else None
    steps = np.diff(starts_s)
    if np.isfinite(steps).all() and (steps > 0).all():
        mean_s = float(steps.mean())
        regular = abs(steps - mean_s).max() <= START_TOLERANCE * mean_s
        if period_s is None or abs(period_s - mean_s) > START_TOLERANCE * mean_s or not regular:
            stated = f"repetition time {stated_ms.tolist()} ms"
            found = f"{stated}, volumes {steps.min():g} to {steps.max():g} s apart"
            if declare.number("rate_hz") is None:
                raw.warn("dyn_scan_begin_time", found, "one time", "see which is right")
            period_s = None
    return regular_clock(raw, "Repetition time", period_s, len(volumes), declare)


def _b_values(raw: Raw, volumes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    values = np.asarray(volumes["diffusion_b_factor"], "f8")
    if (values != values[:, :1]).any() or not (np.isfinite(values) & (values >= 0)).all():
        raise UnreadableError(
            f"{raw.name}: diffusion_b_factor", "several within a volume, or impossible ones",
            "one b-value of 0 or more a volume", "export it again",
        )  # fmt: skip
    raw.note("diffusion", "directions along the patient's axes", "the image's", "left out")
    return values[:, 0]


def _protocol(header: Any, volumes: np.ndarray[Any, Any], kind: str) -> dict[str, float]:
    """Return echo time, flip angle and repetition time, where there is one of each."""
    attrs: dict[str, float] = {}
    for name, key, factor in (
        ("echo_time_s", "echo_time", 1e-3), ("flip_angle_deg", "image_flip_angle", 1.0),
    ):  # fmt: skip
        values = np.unique(volumes[key])
        if values.size == 1 and np.isfinite(values[0]) and values[0] > 0:
            attrs[name] = float(values[0]) * factor
    times_ms = np.ravel(header.general_info.get("repetition_time", []))
    if kind != "bold" and len(times_ms) == 1 and np.isfinite(times_ms[0]) and times_ms[0] > 0:
        attrs["repetition_time_s"] = float(times_ms[0]) / 1e3
    return attrs
