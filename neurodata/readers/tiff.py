"""TIFF, BigTIFF, ImageJ and OME-TIFF files, with the instance mask that belongs to the image.

References
----------
TIFF 6.0; OME-TIFF specification 6.3; tifffile for the meaning of ImageJ's description.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import MissingFactError, UnreadableError, need
from neurodata.readers.tiff_chain import MAGIC
from neurodata.safe import Raw

SUFFIXES = (".tif", ".tiff")
EXTRA = "microscopy"

_WORD = r"(?:^|(?<=[_\-. ]))(?:{})(?=[_\-. \d]|$)"
MASK = re.compile(_WORD.format("masks?|labels?|instances|gt"), re.IGNORECASE)
IMAGE = re.compile(_WORD.format("img|image|images|raw"), re.IGNORECASE)


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file begins as TIFF or BigTIFF does, and is not DICOM behind such a preamble.

    Examples
    --------
    >>> sniff(b"II*\\x00", Path("a.tif")), sniff(b"\\x89PNG", Path("a.tif"))
    (True, False)
    """
    return head[:4] in MAGIC and head[128:132] != b"DICM"


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return an image and its mask: img2d.tif and mask2d.tif, a.tif and a_mask.tif, masks/a.tif.

    A mask gives its image's files, image first; a mask without image stands alone and is
    refused by `read`.

    Examples
    --------
    >>> files = [Path("img2d.tif"), Path("mask2d.tif")]
    >>> [str(p) for p in members(files[0], files)]
    ['img2d.tif', 'mask2d.tif']
    """
    like = [p for p in folder if p.suffix.lower() in SUFFIXES and p != path]
    like = [p for p in like if _pair_key(p) == _pair_key(path)]
    if _is_mask(path):
        images = [p for p in like if not _is_mask(p)]
        return (images[0], path) if images else (path,)
    return (path, *[p for p in like if _is_mask(p)][:1])


def _is_mask(path: Path) -> bool:
    return bool(MASK.search(path.stem)) or bool(MASK.fullmatch(path.parent.name))


def _pair_key(path: Path) -> tuple[Path, str]:
    """Return what an image and its mask have in common: folder and name without the words."""
    folder, stem = path.parent, path.stem.lower().removesuffix(".ome")
    if MASK.fullmatch(folder.name) or IMAGE.fullmatch(folder.name):
        folder = folder.parent
    return folder, IMAGE.sub("", MASK.sub("", stem)).strip("_-. ")


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read an image, and its mask if there is one, lazily.

    Parameters
    ----------
    declare : Declared
        ``axes=z,y,x`` where the file does not name its axes, ``voxel_um=2,0.5,0.5`` (z, y, x,
        those of the image) where it states no size, ``rate_hz`` for a movie without one.

    Returns
    -------
    xarray.DataTree
        ``image`` (volume/1) in counts, axes (time, channel, z, y, x) as present, and
        ``instances`` (instances/1).

    Raises
    ------
    UnreadableError
        When a file is empty, cut, damaged or contradicts itself.
    MissingFactError
        When axes, voxel size or frame rate are not stated.
    UnsafeError
        When the file names other files, or would decode to far more than it holds.
    """
    need("tifffile", extra=EXTRA)
    from neurodata.readers.tiff_image import image

    if _is_mask(raw.main):
        raise UnreadableError(
            raw.name, "a mask without its image", "both", "name the image alike, or rename this"
        )
    try:
        return image(raw, declare)
    except MissingFactError as error:
        raise _or_other(raw, error) from None


def _or_other(raw: Raw, error: MissingFactError) -> MissingFactError:
    """Return a refusal that names the other readers which the files beside an image may mean."""
    from neurodata.readers import masks, slices

    near = sorted(raw.main.parent.iterdir())
    beside = masks.mask_files(raw.main, near)
    if any(mask.suffix == ".npy" or len(members(mask, near)) < 2 for mask in beside):
        other = "for a movie under masks: --set reader=movie"
    elif len(slices.members(raw.main, near)) > 2:
        other = "for one slice of a numbered stack: --set reader=slices"
    else:
        return error
    return MissingFactError(error.where, error.found, error.expected, f"{error.hint}; or, {other}")
