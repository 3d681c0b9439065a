"""Plain Zarr arrays of format 2 and 3, alone or in groups, in folders and zips: image and masks.

Such arrays state neither a voxel size nor, mostly, their axes: both are declared. A missing chunk
is an error, unless ``missing_chunks=fill`` is declared.

References
----------
Zarr 2 specification, Zarr 3 core specification, https://zarr-specs.readthedocs.io
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from neurodata import safe_zip
from neurodata.declare import Declared, missing
from neurodata.errors import (
    InvalidInputError,
    RefusedError,
    UnknownFormatError,
    UnreadableError,
)
from neurodata.readers.tiff import IMAGE, MASK
from neurodata.readers.zarr_files import (
    ATTRS,
    Files,
    attributes,
    is_image,
    is_zip,
    members,
    open_files,
    whole_json,
    zip_roots,
)
from neurodata.safe import Raw

__all__ = ["EXTRA", "SUFFIXES", "members", "read", "sniff"]

SUFFIXES = (".zarray", ".zgroup", "zarr.json", ".zip")
EXTRA = ""
SHORT = {"t": "time", "c": "channel", "z": "z", "y": "y", "x": "x"}
NAMES = {**SHORT, "time": "time", "channel": "channel"}
LISTED = 8
_LEVEL = re.compile(r"s?\d+")


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is the metadata of a Zarr array or group, or a zip of such.

    Examples
    --------
    >>> sniff(b'{"zarr_format": 2}', Path("a.zarr/.zgroup"))
    True
    """
    if is_zip(head):
        try:
            return bool(zip_roots(safe_zip.members(path)))
        except (RefusedError, OSError):
            return False
    found = whole_json(head, path)
    if found is None or is_image(found):
        return False
    return found.get("zarr_format") in (2, 3) and type(found["zarr_format"]) is int


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read an array as an image, and another one as its mask, lazily.

    Parameters
    ----------
    declare : Declared
        ``axes=channel,z,y,x`` and ``voxel_um=2,0.5,0.5`` (z, y, x) of the image, ``rate_hz`` of
        a movie, ``variables.image=volumes/raw`` and ``variables.instances=volumes/gt`` where the
        names of several arrays do not say which is which, ``missing_chunks=fill`` where absent
        chunks stand for the fill value.

    Returns
    -------
    xarray.DataTree
        ``image`` (volume/1) in counts, and ``instances`` (instances/1): the mask has the
        image's spatial axes, perhaps behind an axis of layers, within which objects may
        overlap.

    Raises
    ------
    UnreadableError
        When metadata or chunks are damaged, cut or missing, or the mask is of another shape.
    UnknownFormatError
        On types and codecs that are not read.
    UnsafeError
        When sizes exceed the limits.
    MissingFactError
        When axes, voxel size or the roles of the arrays are not known.
    """
    from neurodata.readers.chunk_grid import complete, lazy
    from neurodata.readers.image_volume import SPATIAL, Facts, axes_of, volume
    from neurodata.readers.tiff_instances import instances
    from neurodata.readers.zarr_metadata import open_array

    files = open_files(raw)
    _check_root(files)
    _list_attributes(files, raw)
    image, mask = _roles(files, raw, declare)
    stored = complete(open_array(files, image), raw, declare)
    axes = axes_of(_stated(stored.axes), stored.shape, Facts(), raw, declare)
    nodes = {"image": volume(lazy(stored), axes, Facts(), raw, declare)}
    if mask is not None:
        labels = complete(open_array(files, mask), raw, declare)
        mine = [axis for axis in axes if axis in SPATIAL]
        order = [mine.index(axis) for axis in SPATIAL if axis in mine]
        pixels: Any = lazy(labels)
        layers = labels.ndim - len(mine)
        if layers in (0, 1):
            pixels = pixels.transpose([*range(layers), *(layers + at for at in order)])
        spatial = {axis: nodes["image"].sizes[axis] for axis in SPATIAL if axis in mine}
        nodes["instances"] = instances(pixels, spatial, raw, labels.where)
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": "microscopy"}), **nodes})


def _list_attributes(files: Files, raw: Raw) -> None:
    """Note how many attributes there are: they may name people, and none is kept."""
    names = [name for name in files.entries if name.rpartition("/")[2] in ATTRS]
    found = [set(attributes(files.json(name))) - {"_ARRAY_DIMENSIONS"} for name in names]
    if count := sum(map(len, found)):
        raw.note("attributes", f"{count} attributes, removed")


def _check_root(files: Files) -> None:
    """Refuse a hierarchy whose outermost metadata are damaged or of another format."""
    for name, wanted in (("zarr.json", 3), (".zgroup", 2), (".zarray", 2)):
        if name in files and (found := files.json(name).get("zarr_format")) != wanted:
            raise UnknownFormatError(
                f"{files.where}: {name}", f"zarr_format {str(found)[:20]}", str(wanted)
            )


def _roles(files: Files, raw: Raw, declare: Declared) -> tuple[str, str | None]:
    """Return the paths of the image and of its mask: declared, else by their names."""
    from neurodata.readers.zarr_metadata import arrays

    paths = arrays(files)
    shown = ", ".join(paths[:LISTED]) + (", ..." if len(paths) > LISTED else "")
    if not paths:
        raise UnreadableError(raw.name, "a Zarr group without arrays", "one or more", "copy it")
    image, mask = declare.text("variables.image"), declare.text("variables.instances")
    for role, path in (("image", image), ("instances", mask)):
        if path is not None and path not in paths:
            raise InvalidInputError(f"--set variables.{role}", repr(path), f"one of {shown}")
    if image is None:
        others = [path for path in paths if path != mask and not _named(MASK, path)]
        named = [path for path in others if _named(IMAGE, path)]
        likely = others if len(others) == 1 else named
        if len(likely) != 1:
            raise missing(
                raw.name, f"{len(paths)} arrays: {shown}", "which of them is the image",
                f"variables.image={(named or others or paths)[0]}",
            )  # fmt: skip
        image = likely[0]
    if mask is None:
        masks = [path for path in paths if path != image and _named(MASK, path)]
        mask = masks[0] if len(masks) == 1 else None
    if image and _LEVEL.fullmatch(image.rpartition("/")[2]):
        raw.warn(
            image, "an array called as a level of an OME-Zarr image, and no list of levels",
            "metadata that list it", "read as a plain array; see whether .zattrs is whole",
        )  # fmt: skip
    left = [path for path in paths if path not in (image, mask)]
    if left:
        raw.warn("", f"further arrays: {', '.join(left[:LISTED])}", "", "left out")
    return image, mask


def _named(words: Any, path: str) -> bool:
    return bool(words.search(path.rpartition("/")[2]))


def _stated(names: Sequence[str]) -> list[str]:
    """Return the axes that an array's metadata name, or nothing where not all are known."""
    known = [NAMES.get(name.lower(), "") for name in names]
    fits = all(known) and len(set(known)) == len(known) and {"y", "x"} <= set(known)
    return known if fits else []
