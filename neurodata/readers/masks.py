"""Masks of regions of interest in files of their own: label images, or one weighted image each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata import safe_npy
from neurodata.declare import Declared, missing
from neurodata.errors import UnreadableError, need
from neurodata.readers.delimited import Numbers
from neurodata.readers.footprints import footprints
from neurodata.safe import Raw

SUFFIXES = (".npy", ".tif", ".tiff")
NAME = re.compile(
    r"(?:^|(?<=[_\-. ]))(?:masks?|rois?|labels?|footprints?)(?=[_\-. \d]|$)", re.IGNORECASE
)
REGION_LIMIT = 1_000_000


@dataclass(frozen=True)
class Regions:
    """Pixels of regions of interest, those of the first region first.

    Parameters
    ----------
    y, x : arrays of int (pixel)
    weight : array of float64 (pixel)
    counts : array of int (region)
        Number of pixels of each.
    names : list of str (region)
    shape_yx : (int, int)
        Height and width of the image.
    """

    y: Numbers
    x: Numbers
    weight: Numbers
    counts: Numbers
    names: list[str]
    shape_yx: tuple[int, int]

    def node(self, raw: Raw, where: str) -> xr.Dataset:
        """Return the regions as a `rois` node."""
        pixels = (self.y, self.x, self.weight)
        return footprints(pixels, self.counts, self.names, self.shape_yx, raw, where)


def mask_files(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the files beside a movie that are called masks, ROIs, labels or footprints.

    Examples
    --------
    >>> files = [Path("a.tif"), Path("a_rois.npy"), Path("b.tif")]
    >>> [str(p) for p in mask_files(files[0], files)]
    ['a_rois.npy']
    """
    if NAME.search(path.stem):
        return ()
    return tuple(
        other
        for other in folder
        if other.parent == path.parent and other != path
        if other.suffix.lower() in SUFFIXES and NAME.search(other.stem)
    )


def declared_masks(raw: Raw, declare: Declared) -> Path:
    """Return the file of masks that is declared, one of the recording's own.

    Raises
    ------
    MissingFactError
        When none is declared.
    UnsafeError
        When it is none of the recording's files.
    """
    name = declare.text("masks")
    if name is None:
        beside = ", ".join(path.name for path in raw.files[1:]) or "no file called masks or rois"
        example = raw.files[1].name if len(raw.files) > 1 else "masks.npy"
        raise missing(raw.name, f"a movie and {beside}", "the file of masks", f"masks={example}")
    return raw.sibling(name)


def regions_in(path: Path, raw: Raw) -> Regions:
    """Return the regions of a file: integer labels (y, x), or weights (region, y, x).

    Raises
    ------
    UnreadableError
        When the file is damaged, or a region has no pixels or impossible weights.
    """
    if path.suffix.lower() == ".npy":
        return regions_of(safe_npy.mapped(path), path.name)
    need("tifffile", extra="microscopy")
    from neurodata.readers.tiff_image import stored_series
    from neurodata.readers.tiff_pixels import lazy_pixels

    stored, _, _ = stored_series(path, raw)
    return regions_of(lazy_pixels(stored), path.name)


def regions_of(masks: Any, where: str) -> Regions:
    """Return the regions of an array of masks; see `regions_in`.

    Examples
    --------
    >>> regions_of(np.array([[0, 7], [7, 2]]), "masks.npy").names
    ['2', '7']
    """
    if masks.ndim not in (2, 3) or masks.dtype.kind not in "iufb" or not masks.size:
        found = f"{masks.dtype} of shape {masks.shape}"
        raise UnreadableError(where, found, "labels (y, x) or weights (region, y, x)")
    return _labelled(masks, where) if masks.ndim == 2 else _weighted(masks, where)


def _labelled(masks: Any, where: str) -> Regions:
    labels = np.asarray(masks)
    if labels.dtype.kind == "f":
        raise UnreadableError(where, "one image of floats", "labels as integers, 0 for none")
    y, x = np.nonzero(labels)
    found = labels[y, x].astype("int64")
    if not found.size or (found < 0).any():
        raise UnreadableError(where, "no labels, or some below 0", "labels from 1, 0 for none")
    order = np.argsort(found, kind="stable")
    known, counts = np.unique(found, return_counts=True)
    names = [str(label) for label in known]
    shape = (labels.shape[0], labels.shape[1])
    return Regions(y[order], x[order], np.ones(len(y)), counts, names, shape)


def _weighted(masks: Any, where: str) -> Regions:
    if len(masks) > REGION_LIMIT:
        raise UnreadableError(where, f"{len(masks)} regions", f"at most {REGION_LIMIT}")
    parts: list[tuple[Numbers, Numbers, Numbers]] = []
    for index in range(len(masks)):
        image = np.asarray(masks[index]).astype("float64")
        y, x = np.nonzero(image)
        weight = image[y, x]
        if not np.isfinite(weight).all() or not (weight > 0).all() or not len(weight):
            raise UnreadableError(
                f"{where}: region {index}", "no weights, or some not finite or below 0",
                "weights over 0 where the region is, 0 elsewhere", "export the masks again",
            )  # fmt: skip
        parts.append((y, x, weight))
    y, x, weight = (np.concatenate(axis) for axis in zip(*parts, strict=True))
    counts = np.array([len(part[0]) for part in parts])
    names = [str(index) for index in range(len(parts))]
    return Regions(y, x, weight, counts, names, (masks.shape[1], masks.shape[2]))
