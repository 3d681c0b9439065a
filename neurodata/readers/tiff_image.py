"""Axes, voxel size, clock and pixels of a TIFF file, each stated, declared or refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import (
    NeurodataError,
    UnknownFormatError,
    UnreadableError,
    need,
)
from neurodata.readers import scanimage, tiff_chain
from neurodata.readers.image_volume import SPATIAL, axes_of, volume
from neurodata.readers.tiff_instances import instances
from neurodata.readers.tiff_meta import AXES, RGB, Meta, guard, meta
from neurodata.readers.tiff_pixels import StoredPixels, lazy_pixels, stamp
from neurodata.safe import Raw

VENDORS = {
    "lsm", "stk", "ndtiff", "mmstack", "mdgel", "scanimage", "fluoview", "sis",
    "svs", "scn", "qpi", "philips", "bif", "eer", "nih", "fei", "sem", "tvips", "avs", "ndpi",
    "metaseries", "pilatus", "epics", "astrotiff", "streak", "vista",
}  # fmt: skip
PERSONAL = ("Artist", "Copyright", "HostComputer", "DateTime", "Make", "Model", "DocumentName")


def image(raw: Raw, declare: Declared) -> xr.DataTree:
    """Return the recording of an image and its mask; see `neurodata.readers.tiff.read`."""
    pixels, axes, facts = _series(raw.main, raw, declare)
    nodes = {"image": volume(pixels, axes, facts, raw, declare)}
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
    stored, letters, facts = stored_series(path, raw)
    axes = [] if mask else _axes(letters, stored.shape, facts, raw, declare)
    if "S" in letters and not facts.channels:
        facts.channels = list(RGB[: stored.shape[letters.index("S")]])
    return lazy_pixels(stored), axes, facts


def stored_series(path: Path, raw: Raw) -> tuple[StoredPixels, str, Meta]:
    """Return where the pixels of a file's first series are, its axes' letters and metadata.

    Raises
    ------
    UnreadableError
        When the file is empty, cut, damaged or contradicts itself.
    """
    chain = tiff_chain.pages(path)
    try:
        with tifffile.TiffFile(path, _multifile=False) as file:
            if len(file.pages) != len(chain):
                raise UnreadableError(path.name, f"{len(file.pages)} pages", f"{len(chain)}")
            description = str(file.pages.first.description or "")
            guard(description, Raw(path.parent, (path,)))
            _require_known(file, path)
            if scanimage.is_known(file):
                found, facts = scanimage.series(file, raw)
            else:
                found, facts = file.series[0], meta(file, description, raw)
            stored = _stored(file, found, path, facts, chain)
            _list_left_out(file, found, raw)
            return stored, str(found.axes), facts
    except NeurodataError:
        raise
    except Exception as error:  # whatever tifffile raises on damaged bytes
        raise UnreadableError(
            path.name, f"damaged TIFF data ({error})", "an intact file", "copy it again"
        ) from error


def _require_known(file: tifffile.TiffFile, path: Path) -> None:
    known = {"scanimage"} if scanimage.is_known(file) else set()
    vendors = (VENDORS & set(file.flags)) - known
    if vendors:
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
    if not math.prod(series.shape):
        raise UnreadableError(path.name, f"an image of {series.shape}", "pixels", "copy it again")
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
    """Return the names of the axes: stated by the file's letters, else declared."""
    stated = [AXES.get(letter, "") for letter in letters]
    known = all(stated) and len(set(stated)) == len(stated)
    return axes_of(stated if known else [], shape, facts, raw, declare)
