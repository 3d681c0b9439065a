"""TIFF movies with masks of regions of interest: the traces under the masks.

For movies whose masks lie beside them in a file called masks, rois, labels or footprints. A TIFF
file that states frames in time, beside masks of its size that are no image's, is such a movie;
any other is read as an image, unless the reader is named (``--set reader=movie``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from neurodata import safe, safe_npy
from neurodata.declare import Declared, missing
from neurodata.errors import InvalidInputError, RefusedError, UnreadableError, need
from neurodata.readers import tiff
from neurodata.readers.channels import Clock
from neurodata.readers.masked import AXES, traced
from neurodata.readers.masks import NAME, declared_masks, mask_files, regions_in
from neurodata.readers.masks import SUFFIXES as MASKS
from neurodata.safe import Raw
from neurodata.units import to_si

SUFFIXES = (".tif", ".tiff")
EXTRA = "microscopy"
ORDER = ("time", "channel", "z", "y", "x")
OWN = re.compile(r"(?:^|(?<=[_\-. ]))(?:rois?|footprints?)(?=[_\-. \d]|$)", re.IGNORECASE)
STATED = {"T": "time", "C": "channel", "S": "channel", "Z": "z", "Y": "y", "X": "x"}

_last: list[tuple[Sequence[Path], dict[Path, list[Path]]]] = []


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a TIFF file has a file of masks beside it, and is none itself.

    Examples
    --------
    >>> sniff(b"no TIFF", Path("a.tif"))
    False
    """
    if not tiff.sniff(head, path) or NAME.search(path.stem):
        return False
    return bool(mask_files(path, sorted(path.parent.iterdir())))


def certain(head: bytes, path: Path, folder: Sequence[Path]) -> bool:
    """Say whether a TIFF file states frames in time, and masks that no image has lie beside it.

    Those are NPY files, or called ROIs or footprints, of the movie's height and width.
    """
    if not tiff.sniff(head, path) or NAME.search(path.stem):
        return False
    masks = [p for p in _masks_of(path.parent, folder) if p != path]
    masks = [p for p in masks if p.suffix.lower() == ".npy" or OWN.search(p.stem)]
    if not masks:
        return False
    try:
        sizes = _long_axes(path)
        return set(sizes) == {"T", "Y", "X"} and any(
            _shape(mask)[-2:] == (sizes["Y"], sizes["X"]) for mask in masks
        )
    except RefusedError:
        return False


def _masks_of(parent: Path, folder: Sequence[Path]) -> list[Path]:
    """Return the files of masks in a folder; those of the last file list are kept."""
    if not (_last and _last[0][0] is folder and isinstance(folder, tuple)):
        found: dict[Path, list[Path]] = {}
        for path in folder:
            if path.suffix.lower() in MASKS and NAME.search(path.stem):
                found.setdefault(path.parent, []).append(path)
        _last[:] = [(folder, found)]
    return _last[0][1].get(parent, [])


def _long_axes(path: Path) -> dict[str, int]:
    """Return the lengths of a TIFF file's axes that are longer than 1, by their letters."""
    need("tifffile", extra=EXTRA)
    from neurodata.readers.tiff_image import stored_series

    stored, letters, _ = stored_series(path, Raw(path.parent, (path,)))
    return {letter: n for letter, n in zip(letters, stored.shape, strict=True) if n > 1}


def _shape(path: Path) -> tuple[int, ...]:
    if path.suffix.lower() == ".npy":
        return safe_npy.parse(safe.head(path, safe_npy.HEADER_LIMIT + 12), path.name).shape
    return tuple(_long_axes(path).values())


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the movie and the files of masks beside it."""
    return (path, *mask_files(path, folder))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read the traces of a TIFF movie under declared masks, lazily.

    Parameters
    ----------
    declare : Declared
        ``masks=FILE``: labels (y, x) or weights (region, y, x), as NPY or TIFF; ``axes=time,y,x``
        where the movie does not name its axes, ``rate_hz`` where it states no rate, ``units.*``
        where pixels are no counts.

    Returns
    -------
    xarray.DataTree
        ``traces`` (timeseries/1), the weighted mean of each region in every frame, and ``rois``
        (rois/1).

    Raises
    ------
    UnreadableError
        When a file is damaged, or movie and masks do not fit together.
    MissingFactError
        When masks, axes or rate are not stated.
    UnsafeError
        When another file than the recording's is named.
    """
    need("tifffile", extra=EXTRA)
    from neurodata.readers.tiff_image import stored_series
    from neurodata.readers.tiff_pixels import lazy_pixels

    masks = declared_masks(raw, declare)
    stored, letters, facts = stored_series(raw.main, raw)
    axes = _axes(letters, stored.shape, raw, declare)
    pixels = lazy_pixels(stored)
    movie = _frames(pixels, axes, raw)
    regions = regions_in(masks, raw)
    rate_hz = declare.number("rate_hz") or facts.rate_hz
    rate_hz = rate_hz or declare.need_number("rate_hz", raw.name, "no frame rate", "<Hz>")
    clock = Clock(rate_hz, movie.shape[0], ((0, declare.number("start_s") or 0.0),))
    spelling = declare.text("units.*") or ("a.u." if pixels.dtype.kind == "f" else "count")
    unit = to_si(spelling, raw.name)
    return traced(movie, regions, unit, clock, raw, declare, masks.name)


def _axes(letters: str, shape: tuple[int, ...], raw: Raw, declare: Declared) -> list[str]:
    """Return the names of the axes: declared, else stated by the file."""
    declared = declare.text("axes")
    if declared is not None:
        names = [name.strip() for name in declared.split(",")]
        if len(names) != len(shape) or len(set(names)) < len(names) or set(names) - set(ORDER):
            raise InvalidInputError(
                f"--set axes={declared}", f"for an array of shape {shape}",
                f"a name an axis, each of {', '.join(ORDER)} once",
            )  # fmt: skip
        return names
    stated = [STATED.get(letter, "") for letter in letters]
    if not all(stated) or len(set(stated)) < len(stated):
        found = f"unnamed axes {letters} of shape {shape}"
        raise missing(raw.name, found, "their names", "axes=time,y,x|y,x,time|...")
    return stated


def _frames(pixels: Any, axes: list[str], raw: Raw) -> Any:
    """Return the movie as (time, y, x); other axes must be of length 1."""
    sizes = dict(zip(axes, pixels.shape, strict=True))
    other = {axis: size for axis, size in sizes.items() if axis not in AXES and size != 1}
    if other or set(AXES) - set(axes):
        raise UnreadableError(
            raw.name, f"axes {sizes}", "time, y, x and one channel and plane",
            "split channels and planes into files, or correct --set axes",
        )  # fmt: skip
    order = [axes.index(axis) for axis in AXES]
    rest = [index for index in range(len(axes)) if index not in order]
    turned = pixels.transpose([*order, *rest])
    return turned.reshape(turned.shape[:3])
