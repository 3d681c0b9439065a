"""DICOM series: images of MR, CT or PET, of one series in one or many files.

Planes are sorted along the slice normal and by time; rows and columns keep their order. A
conversion to NIfTI that flips rows holds the same voxels at the same places.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import Problem, UnknownFormatError
from neurodata.readers import bids, tomography
from neurodata.readers.dicom_clock import clock, repetition_s, slice_times_s
from neurodata.readers.dicom_facts import MODALITY
from neurodata.readers.dicom_frames import Image
from neurodata.readers.dicom_gradients import Table, gradient_table, with_table
from neurodata.readers.dicom_header import EXTRA, MAGIC, PREAMBLE_BYTES, label
from neurodata.readers.dicom_pixels import StoredSeries, lazy
from neurodata.readers.dicom_series import (
    files_of_series,
    imageless,
    list_findings,
    name_of_series,
    open_series,
)
from neurodata.readers.dicom_space import Grid, arrange
from neurodata.readers.nifti_space import fourth_axis
from neurodata.readers.nifti_voxels import volume_node
from neurodata.readers.personal_keys import DEFACED
from neurodata.safe import Raw

__all__ = ["EXTRA", "SUFFIXES", "aside", "members", "name", "read", "sniff"]

SUFFIXES = (".dcm", ".dcm.gz", ".ima", ".dicom", "")
MODALITIES = {"bold": "fmri", "dwi": "dwi", "ct": "ct", "pet": "pet"}


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is DICOM; ``head`` is its start, decompressed when it is gzip.

    Examples
    --------
    >>> sniff(bytes(128) + b"DICM", Path("IM0001")), sniff(b"DICM", Path("a.dcm"))
    (True, False)
    """
    return head[PREAMBLE_BYTES : PREAMBLE_BYTES + len(MAGIC)] == MAGIC


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return all files of the series whose first image is ``path``; any other stands alone."""
    return files_of_series(path, folder)


def name(path: Path, folder: Sequence[Path]) -> str:
    """Return ``series-4`` for the series of that number; files' names may hold a person's."""
    return name_of_series(path, folder)


def aside(path: Path, folder: Sequence[Path]) -> Problem | None:
    """Return that a series of reports, presentation states or key notes has no image in it."""
    kind = imageless(path)
    return Problem("note", path.name, f"{kind}, no image in it", "", "left out") if kind else None


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read one series as a lazy tree in raw form.

    Several volumes become the node ``bold`` with dims ``(time, z, y, x)`` and a regular clock,
    one volume ``anat`` with ``(z, y, x)``, diffusion data ``dwi``, with ``b_value (time)`` and
    ``b_vector (time, axis)`` as far as they are stated, and echoes or complex parts the dimension
    ``channel``. Intensities are in "a.u."; ``affine`` maps ``(x, y, z, 1)`` to
    RAS+ mm; ``slice_time`` (z) is in s from the volume's start. A volume of computed or positron
    emission tomography is ``ct`` or ``pet``, in the unit that the header states.

    Raises
    ------
    UnreadableError
        When a file is damaged, slices are missing, or frames do not belong together.
    UnknownFormatError
        When the series is not of MR, CT or PET, or its pixels are no grey values.
    MissingFactError
        When the voxel size or the repetition time is not stated; the hint holds the flag.
    """
    images = open_series(raw)
    modality = _modality(raw, images, declare)
    frames = [frame for image in images for frame in image.frames]
    grid = arrange(raw, frames, declare, modality == tomography.PET)
    table = _table(raw, grid, declare)
    kind, axes = _layout(raw, grid, declare, table is not None)
    node = _node(grid, axes)
    if modality in tomography.CLASSES:
        tomography.require_still(raw, modality, grid.shape[0])
        kind, words = modality, [image.words for image in images]
        node = tomography.in_units(node, tomography.of_dicom(raw, declare, kind, words))
    node.attrs.update(_technical(images, grid))
    if table is not None:
        node = with_table(node, table)
    if "time" in axes and (table is None or fourth_axis(declare) is not None):
        node.attrs.update(clock(raw, images, grid, declare))
        period_s = 1 / float(node.attrs["rate_hz"])
        if (times_s := slice_times_s(raw, images, grid, period_s)) is not None:
            node["slice_time"] = ("z", times_s, {"units": "s"})
    list_findings(raw, images)
    tree = xr.DataTree.from_dict({kind: node})
    tree.attrs = {
        **_person(images),
        **bids.facts(raw),
        "modality": MODALITIES.get(kind, "mri"),
    }
    return tree


def _modality(raw: Raw, images: Sequence[Image], declare: Declared) -> str:
    """Return "ct" or "pet" for such a series, else "mri"; a declaration goes first."""
    found = {image.words.get("modality", "") for image in images}
    declared = declare.text("modality")
    if declared is not None:
        return declared if declared in tomography.CLASSES else "mri"
    if found == {"MR"} or not found:
        return "mri"
    stated = tomography.OF_DICOM.get(next(iter(found)), "") if len(found) == 1 else ""
    words = tomography.CLASSES.get(stated, ())
    if not all(any(word in image.kind for word in words) for image in images):
        raise UnknownFormatError(
            f"{raw.name}: {label(MODALITY)}",
            " and ".join(sorted(word if len(word) == 2 else "another" for word in found)),
            "MR, CT or PT, each with images of its class",
            "leave the series out, or declare what it is: --set modality=mri",
        )
    return stated


def _table(raw: Raw, grid: Grid, declare: Declared) -> Table | None:
    """Return the gradient table of diffusion data whose volumes lie along time."""
    if not _is_diffusion(grid, declare) or fourth_axis(declare) == "channel":
        return None
    return gradient_table(raw, grid)


def _is_diffusion(grid: Grid, declare: Declared) -> bool:
    return any(frame.weighted for frame in grid.frames) or declare.text("modality") == "dwi"


def _layout(raw: Raw, grid: Grid, declare: Declared, table: bool) -> tuple[str, tuple[str, ...]]:
    """Return the node's name and its axes before rows and columns."""
    times, channels, _ = grid.shape
    declared, diffusion = fourth_axis(declare), _is_diffusion(grid, declare)
    if table:
        return "dwi", ("time", "channel", "z") if channels > 1 else ("time", "z")
    if times == 1:
        kind = "dwi" if diffusion else "image" if channels > 1 else "anat"
        return kind, ("channel", "z") if channels > 1 else ("z",)
    fourth = declared or ("channel" if diffusion else "time")
    if fourth == "channel" and channels > 1:
        raise UnknownFormatError(
            f"{raw.name}: series", f"{times} volumes of {channels} echoes or parts",
            "one axis of channels", "put each echo into a folder of its own",
        )  # fmt: skip
    kind = "bold" if fourth == "time" else "dwi" if diffusion else "image"
    return kind, (fourth, "channel", "z") if channels > 1 else (fourth, "z")


def _node(grid: Grid, axes: tuple[str, ...]) -> xr.Dataset:
    parts, first = tuple(frame.part for frame in grid.frames), grid.frames[0]
    times, channels, slices = grid.shape
    needed = ((times, times > 1 or "time" in axes), (channels, channels > 1))
    leading = [count for count, wanted in needed if wanted]
    shape = (*leading, slices, *first.size)
    stored = StoredSeries(parts, shape, first.part.pixels.dtype)
    pixels = xr.DataArray(lazy(stored), dims=(*axes, "y", "x"))
    scaling = np.array([(frame.slope, frame.intercept) for frame in grid.frames])
    slope, intercept = (
        xr.DataArray(column.reshape(*leading, slices), dims=axes) for column in scaling.T
    )
    node = volume_node(pixels, slope, intercept)
    if grid.affine is not None:
        about = {"units": "mm", "space_code": "scanner"}
        node["affine"] = (("row", "col"), grid.affine, about)
    else:
        node["spacing"] = ("spatial", list(grid.spacing_mm), {"units": "mm"})
        node.coords["spatial"] = ["z", "y", "x"]
    if channels > 1:
        node.coords["channel"] = list(grid.channels)
    return node


def _technical(images: Sequence[Image], grid: Grid) -> dict[str, float]:
    """Return what all files state alike of the sequence."""
    found: dict[str, float] = {}
    echoes = {frame.echo_ms for frame in grid.frames}
    echo_ms = echoes.pop() if len(echoes) == 1 else None
    if echo_ms:
        found["echo_time_s"] = echo_ms / 1e3
    if (period_s := repetition_s(images)) is not None:
        found["repetition_time_s"] = period_s
    for key in ("flip_angle_deg", "field_strength_t"):
        stated = {image.facts.get(key) for image in images}
        value = stated.pop() if len(stated) == 1 else None
        if value:
            found[key] = value
    return found


def _person(images: Sequence[Image]) -> dict[str, Any]:
    """Return sex, age (90 at most) and maker where all files agree, and what pixels may show.

    One file with a recognisable face, or text in its pixels, tells of all.
    """
    found: dict[str, Any] = {}
    for key in ("sex", "age_years", "device"):
        stated = {image.words.get(key, "") for image in images}
        value = stated.pop() if len(stated) == 1 else ""
        if value:
            age = key == "age_years"
            found[key] = min(float(value), bids.AGE_CAP_YEARS) if age else value
    for key, word, told in (
        ("burned_in", "burned_in", {"YES": "yes", "NO": "no"}),
        ("defaced", "recognisable", DEFACED),
    ):
        answers = {image.words.get(word, "") for image in images}
        answer = "YES" if "YES" in answers else answers.pop() if len(answers) == 1 else ""
        if answer:
            found[key] = told[answer]
    return found
