"""The image of a MINC 2 file and what its HDF5 container says of it, through the checked door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neurodata.errors import NeurodataError, UnknownFormatError
from neurodata.readers.minc_header import (
    LIMITS,
    Axis,
    Image,
    float_alone,
    image_of,
    text_of,
    wrong,
)
from neurodata.safe import Raw
from neurodata.safe_hdf5 import lazy_array, open_hdf5

ROOT = "minc-2.0"
BLOCK_BYTES = 4 * 2**20


def is_minc(path: Path) -> bool:
    """Say whether an HDF5 file has MINC's group; a damaged one counts as such."""
    try:
        with open_hdf5(path) as file:
            return ROOT in file
    except NeurodataError:
        return True


def from_hdf5(raw: Raw) -> Image:
    """Return the image of a MINC2 file.

    Raises
    ------
    UnreadableError
        When a part is missing, damaged or contradicts another.
    UnsafeError
        When the file leads to others or exceeds a limit.
    """
    with open_hdf5(raw.main) as file:
        image = _dataset(raw, file, "minc-2.0/image/0/image")
        names = _order(image)
        if len(names) != len(image.shape):
            expected = f"{len(image.shape)} names, as the image has axes"
            raise wrong(raw, "dimorder", ", ".join(names) or "nothing", expected)
        axes = []
        for name, size in zip(names, image.shape, strict=True):
            axes.append(
                Axis(name, int(size), _attributes(raw, file, f"minc-2.0/dimensions/{name}"))
            )
        limits = {}
        for name in LIMITS if not float_alone(image.dtype, {*file["minc-2.0/image/0"]}) else ():
            values = _dataset(raw, file, f"minc-2.0/image/0/{name}")
            numbers = np.asarray(values[()], "f8")
            order = _order(values)
            if numbers.size == 1 and len(order) != numbers.ndim:
                numbers, order = numbers.reshape(()), []
            limits[name] = (order, numbers)
        if image.dtype.kind not in "iuf" or not image.shape:
            raise UnknownFormatError(
                f"{raw.name}: image", f"values of type {image.dtype}, shape {image.shape}",
                "integers or floats on a grid", "convert it",
            )  # fmt: skip
        attributes = {str(key): image.attrs[key] for key in image.attrs}
        small = BLOCK_BYTES * image.dtype.itemsize // 8  # BLOCK_BYTES when they are float64
        voxels = lazy_array(image, block_bytes=small)
        return image_of(raw, tuple(axes), voxels, limits, attributes, _private(file))


def _dataset(raw: Raw, file: h5py.File, name: str) -> h5py.Dataset:
    item = file.get(name)
    if not isinstance(item, h5py.Dataset):
        raise wrong(raw, name, "no such array", "it, as MINC 2.0 has")
    return item


def _attributes(raw: Raw, file: h5py.File, name: str) -> dict[str, Any]:
    item = file.get(name)
    if item is None:
        return {}
    return {str(key): item.attrs[key] for key in item.attrs}


def _order(dataset: h5py.Dataset) -> list[str]:
    value = dataset.attrs.get("dimorder")
    return [name for name in text_of(value).split(",") if name] if value is not None else []


def _private(file: h5py.File) -> tuple[str, ...]:
    root = file[ROOT]
    names = [key for key in ("ident", "history", "title") if key in root.attrs]
    info = root.get("info")
    return tuple(names + (sorted(info) if isinstance(info, h5py.Group) else []))
