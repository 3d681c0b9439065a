"""Volumes: intensity windows, orientation, voxel grids."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
from pydantic import Field, model_validator

from neurodata.errors import InvalidInputError
from neurodata.physical import scaled
from neurodata.steps.step import Step

Array = npt.NDArray[Any]
AXES = ("z", "y", "x")


def image_of(node: xr.Dataset) -> xr.DataArray:
    """Return the image in its units, one volume a block; floats as they are stored."""
    if "image_adc" in node:
        value = scaled(node["image_adc"], node["scale"], node["offset"])
    else:
        value = node["image"]
    return value.chunk({dim: -1 if dim in AXES else 1 for dim in value.dims})


def with_image(node: xr.Dataset, image: xr.DataArray) -> xr.Dataset:
    """Return the node with another image in place of what it had."""
    stale = [name for name in ("image", "image_adc", "scale", "offset") if name in node]
    return node.drop_vars(stale).assign(image=image)


class Window(Step):
    """Cut intensities to a range, such as 0 to 80 HU for the brain in CT.

    Attributes
    ----------
    low, high : float
        In the image's units.
    """

    name: ClassVar[str] = "window"
    works_on: ClassVar[tuple[str, ...]] = ("volume",)
    low: float
    high: float

    @model_validator(mode="after")
    def _range(self) -> Self:
        if not self.low < self.high:
            raise ValueError("low must be under high")
        return self

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node with its image cut to the range."""
        image = image_of(node)
        return with_image(node, image.clip(self.low, self.high, keep_attrs=True))


class Reorient(Step):
    """Turn the voxel grid by axes so that x, y and z go to these sides; nothing is resampled.

    Attributes
    ----------
    to : str
        Three letters: where x, y and z point to, e.g. ``RAS``.
    """

    name: ClassVar[str] = "reorient"
    works_on: ClassVar[tuple[str, ...]] = ("volume",)
    to: str = Field(default="RAS", pattern="^[LRAPIS]{3}$")

    @model_validator(mode="after")
    def _axes(self) -> Self:
        if sorted("LAI".find(c) % 3 if c in "LAI" else "RPS".find(c) for c in self.to) != [0, 1, 2]:
            raise ValueError("one letter each of L or R, A or P, I or S")
        return self

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node with its voxels in another order and the affine that belongs to it."""
        from nibabel import orientations

        affine = affine_of(node, where)
        there = orientations.io_orientation(affine)
        turn = orientations.ornt_transform(there, orientations.axcodes2ornt(tuple(self.to)))
        image = image_of(node)
        xyz = AXES[::-1]
        shape = tuple(image.sizes[axis] for axis in xyz)
        order = [0, 0, 0]
        for axis, (to, flip) in enumerate(turn.astype(int).tolist()):
            order[to] = axis
            if flip < 0:
                image = image.isel({xyz[axis]: slice(None, None, -1)})
        old = [xyz[axis] for axis in order]
        others = [dim for dim in image.dims if dim not in AXES]
        turned = image.transpose(*others, *old[::-1])
        renamed = turned.rename(dict(zip(old, [f"_{axis}" for axis in xyz], strict=True)))
        image = renamed.rename({f"_{axis}": axis for axis in xyz})
        new = affine @ orientations.inv_ornt_aff(turn, shape)
        found = with_image(node, image)
        attrs = {**node["affine"].attrs}
        if "orientation" in found.attrs:
            found = found.assign_attrs(orientation=self.to)
        return found.assign(affine=(node["affine"].dims, new, attrs))


class Regrid(Step):
    """Resample to another voxel size, trilinear, behind a Gaussian where voxels grow.

    The field of view keeps its outer faces; the last voxel of an axis may reach over them by
    less than its size. The Gaussian has the width that makes a box of the old size one of the
    new size (full width at half maximum, as in nibabel's processing).

    Attributes
    ----------
    voxel_mm : tuple of three float
        Along x, y and z.
    """

    name: ClassVar[str] = "regrid"
    works_on: ClassVar[tuple[str, ...]] = ("volume",)
    voxel_mm: tuple[float, float, float]

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        if not all(0 < size < 1e4 for size in self.voxel_mm):
            raise ValueError("three sizes over 0 mm")
        return self

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node on the new grid."""
        import dask.array as da

        affine, image = affine_of(node, where), image_of(node)
        old = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
        step = np.array(self.voxel_mm) / old  # new voxels in old ones, x y z
        size = np.array([image.sizes[axis] for axis in AXES[::-1]])
        count = np.maximum(1, np.ceil(size / step - 1e-6)).astype(int)
        if np.prod(count.astype("f8")) > 2**31:
            raise InvalidInputError(where, f"{count.tolist()} voxels", "up to 2^31 of them")
        new = affine.copy()
        new[:3, :3] = affine[:3, :3] * step
        new[:3, 3] = affine[:3, 3] + affine[:3, :3] @ ((step - 1) / 2)
        others = [dim for dim in image.dims if dim not in AXES]
        ordered = image.transpose(*others, *AXES).astype("float32")
        chunks = (*ordered.data.chunks[:-3], *[(int(n),) for n in count[::-1]])
        data = da.map_blocks(
            _regrid, ordered.data, chunks=chunks, dtype="f4", step=step[::-1], count=count[::-1]
        )
        made = xr.DataArray(data, dims=ordered.dims, attrs=image.attrs)
        found = with_image(node.drop_dims([d for d in AXES if d in node.dims]), made)
        return found.assign(affine=(node["affine"].dims, new, dict(node["affine"].attrs)))


def _regrid(block: Array, step: Array, count: Array) -> Array:
    """Return a block ``(..., z, y, x)`` on the new grid; edges are continued."""
    from scipy.ndimage import affine_transform, gaussian_filter

    fwhm = np.sqrt(np.maximum(step**2 - 1, 0))
    sigma = fwhm / np.sqrt(8 * np.log(2))
    made = np.empty((*block.shape[:-3], *count), "f4")
    for at in np.ndindex(*block.shape[:-3]):
        smooth = gaussian_filter(block[at], sigma, mode="nearest")
        made[at] = affine_transform(
            smooth, step, (step - 1) / 2, tuple(count), order=1, mode="nearest"
        )
    return made


def affine_of(node: xr.Dataset, where: str) -> npt.NDArray[np.float64]:
    """Return the affine ``(x, y, z, 1)`` to RAS mm of a volume with all three axes.

    Raises
    ------
    InvalidInputError
        When it has none, or less than three axes.
    """
    if "affine" not in node or not set(AXES) <= set(node.dims):
        raise InvalidInputError(where, "no affine, or a plane", "a volume in millimetres")
    return np.asarray(node["affine"].values, "f8")
