"""Axes, voxel size, clock and pixels of a TIFF file, each stated, declared or refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import xarray as xr

from neurodata.declare import Declared, missing
from neurodata.errors import (
    InvalidInputError,
    MissingFactError,
    NeurodataError,
    UnknownFormatError,
    UnreadableError,
    need,
)
from neurodata.readers import tiff_chain
from neurodata.readers.lacking import together
from neurodata.readers.tiff_instances import instances
from neurodata.readers.tiff_meta import AXES, RGB, Meta, guard, meta
from neurodata.readers.tiff_pixels import StoredPixels, lazy_pixels, stamp
from neurodata.safe import Raw

ORDER = ("time", "channel", "z", "y", "x")
UNKNOWN = "unknown"
SPATIAL = ("z", "y", "x")
VENDORS = {
    "lsm", "stk", "ndtiff", "mmstack", "mdgel", "scanimage", "fluoview", "sis",
    "svs", "scn", "qpi", "philips", "bif", "eer", "nih", "fei", "sem", "tvips", "avs", "ndpi",
    "metaseries", "pilatus", "epics", "astrotiff", "streak", "vista",
}  # fmt: skip
PERSONAL = ("Artist", "Copyright", "HostComputer", "DateTime", "Make", "Model", "DocumentName")


def image(raw: Raw, declare: Declared) -> xr.DataTree:
    """Return the recording of an image and its mask; see `neurodata.readers.tiff.read`."""
    pixels, axes, facts = _series(raw.main, raw, declare)
    nodes = {"image": _volume(pixels, axes, facts, raw, declare)}
    for path in raw.files[1:]:
        spatial = {axis: nodes["image"].sizes[axis] for axis in SPATIAL if axis in axes}
        mask, _, _ = _series(path, raw, declare, mask=True)
        nodes["instances"] = instances(mask, spatial, raw, path.name)
    attrs = {"modality": "microscopy"}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **nodes})


def _series(
    path: Path, raw: Raw, declare: Declared, mask: bool = False
) -> tuple[Any, list[str], Meta]:
    """Return (dask array, axes, metadata) of a file's first series, all of it checked."""
    chain = tiff_chain.pages(path)
    try:
        with tifffile.TiffFile(path, _multifile=False) as file:
            if len(file.pages) != len(chain):
                raise UnreadableError(path.name, f"{len(file.pages)} pages", f"{len(chain)}")
            description = str(file.pages.first.description or "")
            guard(description, Raw(path.parent, (path,)))
            _require_known(file, path)
            facts = meta(file, description, raw)
            series = file.series[0]
            stored = _stored(file, series, path, facts, chain)
            _list_left_out(file, series, raw)
            letters = series.axes
    except NeurodataError:
        raise
    except Exception as error:  # whatever tifffile raises on damaged bytes
        raise UnreadableError(
            path.name, f"damaged TIFF data ({error})", "an intact file", "copy it again"
        ) from error
    axes = [] if mask else _axes(letters, stored.shape, facts, raw, declare)
    if "S" in letters and not facts.channels:
        facts.channels = list(RGB[: stored.shape[letters.index("S")]])
    return lazy_pixels(stored), axes, facts


def _require_known(file: tifffile.TiffFile, path: Path) -> None:
    if vendors := VENDORS & set(file.flags):
        raise UnknownFormatError(
            path.name, f"a vendor's TIFF ({', '.join(sorted(vendors))})",
            "plain, ImageJ or OME-TIFF", "export it as OME-TIFF",
        )  # fmt: skip
    if file.pages.first.compression not in tifffile.TIFF.DECOMPRESSORS:
        need("imagecodecs", extra="microscopy")
        raise UnknownFormatError(
            path.name, f"compression {file.pages.first.compression}", "deflate"
        )


def _stored(
    file: tifffile.TiffFile, series: Any, path: Path, facts: Meta, chain: list[tiff_chain.Page]
) -> StoredPixels:
    """Describe where the pixels of a series are, after counting them."""
    found = sum(math.prod(part.shape) for part in file.series)
    if facts.images is not None and facts.images > found:
        raise UnreadableError(
            path.name, f"{found} pixels in its pages", f"{facts.images} by its metadata",
            "copy or download it again",
        )  # fmt: skip
    planes = list(series.pages)
    if any(plane is None for plane in planes):
        raise UnreadableError(path.name, "planes without a page", "a page for every plane")
    dtype = np.dtype(series.dtype).newbyteorder("=")
    if dtype.kind not in "iufb":
        raise UnreadableError(path.name, f"pixels of type {dtype}", "integers or floats")
    start = series.dataoffset if dtype.kind != "b" else None
    if start is not None:
        _check_one_piece(start, math.prod(series.shape) * dtype.itemsize, path, chain)
    offsets = tuple(int(plane.offset) for plane in planes) if start is None else ()
    count = _page_axes(series) if start is None else 3 if "S" in series.axes else 2
    shape = tuple(series.shape)
    return StoredPixels(
        path, stamp(path), shape, dtype, file.byteorder, start, offsets, shape[-count:]
    )


def _check_one_piece(start: int, wanted: int, path: Path, chain: list[tiff_chain.Page]) -> None:
    """Refuse pixels in one piece that end beyond the file, run into a directory or lack pages."""
    size, end = path.stat().st_size, start + wanted
    paged = sum(page.bytes_decoded for page in chain)
    if end > size or any(start < page.offset < end for page in chain):
        raise UnreadableError(path.name, f"{size} bytes", f"{end} by its metadata", "copy it again")
    if len(chain) > 1 and paged < wanted:
        raise UnreadableError(
            path.name, f"{len(chain)} pages of {paged} bytes", f"{wanted} by its metadata",
            "copy or download it again",
        )  # fmt: skip


def _page_axes(series: tifffile.TiffPageSeries) -> int:
    """Return how many of a series' last axes lie within one page."""
    planes, leading = len(series.pages), 1
    for count, length in enumerate(series.shape):
        if leading == planes and (planes > 1 or count == 0):
            return len(series.shape) - count
        leading *= length
    raise UnreadableError("series", f"{planes} pages for shape {series.shape}", "whole pages")


def _list_left_out(file: tifffile.TiffFile, series: Any, raw: Raw) -> None:
    if len(file.series) > 1:
        others = ", ".join(str(tuple(part.shape)) for part in file.series[1:])
        raw.warn("", f"further images of shape {others}", "one image", "the first one is read")
    page = file.pages.first
    dropped = [name for name in PERSONAL if name in page.tags]
    if page.description and not file.is_shaped:
        dropped.append("ImageDescription")
    if dropped:
        raw.note("", "removed: " + ", ".join(dropped), "", "they may identify a person")
    if page.photometric == 3:
        raw.warn("", "colours by a palette", "intensities", "the palette is left out")


def _axes(
    letters: str, shape: tuple[int, ...], facts: Meta, raw: Raw, declare: Declared
) -> list[str]:
    """Return the names of the axes: stated by the file, else declared."""
    stated = [AXES.get(letter, "") for letter in letters]
    known = all(stated) and len(set(stated)) == len(stated)
    declared = declare.text("axes")
    names = [name.strip() for name in (declared or "").split(",")]
    if declared is not None and len(names) == len(shape):
        if len(set(names)) < len(names) or not {"y", "x"} <= set(names) <= set(ORDER):
            raise InvalidInputError(
                f"--set axes={declared}", repr(names), "each of " + ", ".join(ORDER) + " once"
            )
        if known and names != stated:
            raw.warn("", "axes " + ",".join(stated), f"{declared}, as declared", "declared is used")
        return names
    if not known:
        example = ",".join(ORDER[-len(shape) :]) if len(shape) != 3 else "z,y,x"
        found = f"unnamed axes {letters} of shape {shape}"
        lacking = [missing(raw.name, found, "their names", f"axes={example}")]
        if declare.get("voxel_um") is None and not facts.size_um:
            spatial = SPATIAL[-min(len(shape), 3) :]
            lacking.append(_no_size(spatial, spatial, raw))
        raise together(lacking)
    return stated


def _volume(pixels: Any, axes: list[str], facts: Meta, raw: Raw, declare: Declared) -> xr.Dataset:
    order = [axis for axis in ORDER if axis in axes]
    pixels = pixels.transpose([axes.index(axis) for axis in order])
    if pixels.dtype.kind == "b":
        pixels = pixels.astype("uint8")
    is_float = pixels.dtype.kind == "f"
    units = {"units": "a.u." if is_float else "count"}
    node = xr.Dataset({"image" if is_float else "image_adc": (order, pixels, units)})
    if not is_float:
        node = node.assign(scale=1.0, offset=0.0)
    spatial = [axis for axis in SPATIAL if axis in axes]
    spacing, unit = _spacing(spatial, facts, raw, declare)
    node["spacing"] = ("spatial", np.array(spacing), {"units": unit})
    node = node.assign_coords(spatial=("spatial", np.array(spatial, dtype=object)))
    if "channel" in axes:
        count = node.sizes["channel"]
        names = facts.channels if len(facts.channels) == count else [str(n) for n in range(count)]
        node = node.assign_coords(channel=("channel", np.array(names, dtype=object)))
    node.attrs = {"representation": "volume", "schema": "volume/1"}
    if "time" in axes:
        rate_hz = declare.number("rate_hz") or facts.rate_hz
        rate_hz = rate_hz or declare.need_number("rate_hz", raw.name, "no frame rate", "10")
        node.attrs.update(start_s=0.0, rate_hz=rate_hz, n=node.sizes["time"])
    return node


def _spacing(
    spatial: list[str], facts: Meta, raw: Raw, declare: Declared
) -> tuple[list[float], str]:
    """Return micrometres a voxel in (z, y, x): declared, else as the file states them.

    Where nobody knows them, ``voxel_um=unknown`` says so: distances are then in pixels.
    """
    given = declare.get("voxel_um")
    if given == UNKNOWN:
        raw.warn("", "a voxel size declared unknown", "micrometres", "distances are in pixels")
        return [1.0] * len(spatial), "pixel"
    if given is not None:
        count = 3 if isinstance(given, list) and len(given) == 3 else len(spatial)
        declared = (declare.numbers("voxel_um", count) or [])[-len(spatial) :]
        if not all(value > 0 for value in declared):
            raise InvalidInputError("--set voxel_um", str(given), "numbers over 0")
        stated = [facts.size_um.get(axis) for axis in spatial]
        if None not in stated and stated != declared:
            raw.warn("", f"voxels of {stated} um", f"{declared}, as declared", "declared is used")
        return declared, "um"
    absent = [axis for axis in spatial if axis not in facts.size_um]
    if absent:
        raise _no_size(spatial, absent, raw)
    return [facts.size_um[axis] for axis in spatial], "um"


def _no_size(spatial: Sequence[str], absent: Sequence[str], raw: Raw) -> MissingFactError:
    example = ",".join("2" if axis == "z" else "0.5" for axis in spatial)
    return missing(
        raw.name, f"no voxel size along {', '.join(absent)}",
        f"micrometres a voxel ({', '.join(spatial)}), or voxel_um={UNKNOWN}",
        f"voxel_um={example}",
    )  # fmt: skip
