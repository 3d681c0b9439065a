"""DICOM series: magnetic resonance images of one series in one or many files.

Planes are sorted along the slice normal and by time; rows and columns keep their order. A
conversion to NIfTI that flips rows holds the same voxels at the same places.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import UnknownFormatError
from neurodata.readers import bids
from neurodata.readers.dicom_clock import clock, repetition_s, slice_times_s
from neurodata.readers.dicom_facts import MODALITY
from neurodata.readers.dicom_frames import Image
from neurodata.readers.dicom_header import EXTRA, MAGIC, PREAMBLE_BYTES, label
from neurodata.readers.dicom_pixels import StoredSeries, lazy
from neurodata.readers.dicom_series import files_of_series, list_findings, open_series
from neurodata.readers.dicom_space import Grid, arrange
from neurodata.readers.nifti_space import fourth_axis
from neurodata.safe import Raw

__all__ = ["EXTRA", "SUFFIXES", "members", "read", "sniff"]

SUFFIXES = (".dcm", ".dcm.gz", ".ima", ".dicom", "")
MODALITIES = {"bold": "fmri", "dwi": "dwi"}


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


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read one series as a lazy tree in raw form.

    Several volumes become the node ``bold`` with dims ``(time, z, y, x)`` and a regular clock,
    one volume ``anat`` with ``(z, y, x)``, diffusion data ``dwi``, and echoes or complex parts
    the dimension ``channel``. Intensities are in "a.u."; ``affine`` maps ``(x, y, z, 1)`` to
    RAS+ mm; ``slice_time`` (z) is in s from the volume's start.

    Raises
    ------
    UnreadableError
        When a file is damaged, slices are missing, or frames do not belong together.
    UnknownFormatError
        When the series is not of magnetic resonance, or its pixels are no grey values.
    MissingFactError
        When the voxel size or the repetition time is not stated; the hint holds the flag.
    """
    images = open_series(raw)
    _require_resonance(raw, images, declare)
    grid = arrange(raw, [frame for image in images for frame in image.frames], declare)
    kind, axes = _layout(raw, grid, declare)
    node = _node(grid, axes)
    node.attrs.update(_technical(images, grid))
    if "time" in axes:
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


def _require_resonance(raw: Raw, images: Sequence[Image], declare: Declared) -> None:
    found = {image.words.get("modality", "") for image in images} - {"MR"}
    declared = declare.text("modality")
    if found and declared is None:
        raise UnknownFormatError(
            f"{raw.name}: {label(MODALITY)}",
            " and ".join(sorted(word if len(word) == 2 else "another" for word in found)),
            "MR",
            "leave the series out, or declare what it is: --set modality=mri",
        )


def _layout(raw: Raw, grid: Grid, declare: Declared) -> tuple[str, tuple[str, ...]]:
    """Return the node's name and its axes before rows and columns."""
    times, channels, _ = grid.shape
    declared = fourth_axis(declare)
    weighted = any(frame.weighted for frame in grid.frames)
    diffusion = weighted or declare.text("modality") == "dwi"
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
    leading = [n for n, needed in ((times, times > 1), (channels, channels > 1)) if needed]
    shape = (*leading, slices, *first.size)
    stored = StoredSeries(parts, shape, first.part.pixels.dtype)
    attrs = {"representation": "volume", "schema": "volume/1"}
    node = xr.Dataset(
        {
            "image_adc": ((*axes, "y", "x"), lazy(stored), {"units": "a.u."}),
            "scale": ((), first.slope),
            "offset": ((), first.intercept),
        },
        attrs=attrs,
    )
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
    """Return sex, age (90 at most) and maker where all files agree."""
    found: dict[str, Any] = {}
    for key in ("sex", "age_years", "device"):
        stated = {image.words.get(key, "") for image in images}
        value = stated.pop() if len(stated) == 1 else ""
        if value:
            age = key == "age_years"
            found[key] = min(float(value), bids.AGE_CAP_YEARS) if age else value
    return found
