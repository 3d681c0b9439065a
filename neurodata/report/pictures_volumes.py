"""Pictures of volumes: orthogonal slices, mean and noise of a run, projections with masks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurodata.errors import need
from neurodata.report.canvas import (
    COLOURS,
    INK,
    WIDTH_IN,
    Sketch,
    bar_length,
    figure,
    image_axes,
    length_bar,
    node_dataset,
    spread,
    title_of,
    variable,
)
from neurodata.report.pictures_microscopy import instances, microscopy

__all__ = ["instances", "planes", "volume"]

Array = np.ndarray[Any, Any]
MAX_VOLUMES = 240
SLAB_VALUES = 2**23
ENDS = ("LR", "PA", "IS")
# Name of the plane, the world axis it cuts, its horizontal and its vertical world axis.
PLANES = (("Sagittal", 0, 1, 2), ("Coronal", 1, 0, 2), ("Axial", 2, 0, 1))


class Plane(NamedTuple):
    """One slice; rows run to the top, columns to the right; ``pixel_mm`` is (height, width)."""

    name: str
    values: Array
    pixel_mm: tuple[float, float]
    horizontal: str
    vertical: str
    position: str


def volume(tree: xr.DataTree, node: str) -> Sketch:
    """Draw a volume as its field does: MRI when it has an affine, else microscopy."""
    data = node_dataset(tree, node)
    image = variable(data, "image", node)
    if "affine" not in data:
        return microscopy(tree, node)
    if "channel" in image.dims:
        image = image.isel(channel=0)
    if "z" not in image.dims:
        image = image.expand_dims("z")
    if image.sizes.get("time", 1) > 1:
        return _run(tree, node, data, image)
    if "time" in image.dims:
        image = image.isel(time=0)
    found = planes(image, data["affine"].values)
    drawn = _mri_figure(found, 0.0)
    axes = _panels(drawn, found, _mm(found))
    limits = spread(np.concatenate([p.values.ravel() for p in found]), 0.5, 99.5)
    for ax, plane in zip(axes, found, strict=True):
        draw_plane(ax, plane, limits, _bar_mm(found))
    caption = (
        f"{title_of(tree, node)}: slices through the centre, "
        f"{_orientation(data['affine'].values)}, intensity in {image.attrs.get('units', 'a.u.')} "
        f"from {limits[0]:.4g} (black) to {limits[1]:.4g} (white)."
    )
    return Sketch(drawn, "Sagittal, coronal and axial slice through the centre", caption, (node,))


# --- orientation ------------------------------------------------------------------------------


def world_axes(affine: Array) -> list[tuple[str, bool]]:
    """Return, for right, anterior and superior, the voxel axis closest to it and if it runs back.

    Parameters
    ----------
    affine : ndarray (4, 4)
        From (x, y, z, 1) to RAS+ mm.

    Examples
    --------
    >>> world_axes(np.diag([-2.0, 2.0, 3.0, 1.0]))
    [('x', True), ('y', False), ('z', False)]
    """
    found = need("nibabel", extra="mri").orientations.io_orientation(affine)
    names: dict[int, tuple[str, bool]] = {
        int(world): ("xyz"[voxel], bool(sign < 0)) for voxel, (world, sign) in enumerate(found)
    }
    return [names[world] for world in range(3)]


def planes(image: xr.DataArray, affine: Array) -> list[Plane]:
    """Read the sagittal, coronal and axial slice through the centre of ``image`` (z, y, x).

    The voxel grid is turned in steps of 90 degrees so that right, anterior and superior point
    right or up; nothing is interpolated.
    """
    axes = world_axes(affine)
    size_mm = dict(zip("xyz", np.linalg.norm(np.asarray(affine)[:3, :3], axis=0), strict=True))
    found = []
    for name, across, right, up in PLANES:
        cut = axes[across][0]
        middle = int(image.sizes[cut]) // 2
        part = image.isel({cut: middle}).transpose(axes[up][0], axes[right][0])
        values = np.asarray(part.values)
        values = np.abs(values) if np.iscomplexobj(values) else values.astype("float64")
        steps = tuple(slice(None, None, -1 if axes[world][1] else 1) for world in (up, right))
        pixel_mm = (float(size_mm[axes[up][0]]), float(size_mm[axes[right][0]]))
        position = f"voxel {cut} = {middle}"
        found.append(Plane(name, values[steps], pixel_mm, ENDS[right], ENDS[up], position))
    return found


def _orientation(affine: Array) -> str:
    """Say how far the voxel grid is from right, anterior, superior."""
    directions = np.asarray(affine)[:3, :3] / np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)
    cosine = np.abs(directions).max(axis=0).min()
    degrees = float(np.degrees(np.arccos(np.clip(cosine, 0, 1))))
    voxel = " × ".join(f"{v:.3g}" for v in np.linalg.norm(np.asarray(affine)[:3, :3], axis=0))
    told = f"voxels of {voxel} mm (x, y, z), not interpolated, left is left"
    if degrees < 0.5:
        return told
    return f"{told}; the slices follow the voxel grid, {degrees:.0f}° off the letters' axes"


def draw_plane(
    ax: Axes, plane: Plane, limits: tuple[float, float], bar_mm: float, colours: str = "gray"
) -> Any:
    """Draw one slice in mm with the letters of its four ends and a scale bar."""
    high, wide = (n * mm for n, mm in zip(plane.values.shape, plane.pixel_mm, strict=True))
    shown = ax.imshow(
        plane.values, origin="lower", extent=(0, wide, 0, high), cmap=colours,
        vmin=limits[0], vmax=limits[1], interpolation="nearest", aspect="equal",
    )  # fmt: skip
    image_axes(ax)
    ax.set_title(f"{plane.name}, {plane.position}", fontsize=8)
    edge = [patheffects.withStroke(linewidth=2.2, foreground="black")]
    spots = (
        (plane.horizontal[0], 0.02, 0.5, "left", "center"),
        (plane.horizontal[1], 0.98, 0.5, "right", "center"),
        (plane.vertical[0], 0.5, 0.02, "center", "bottom"),
        (plane.vertical[1], 0.5, 0.98, "center", "top"),
    )
    for letter, x, y, across, along in spots:
        ax.text(x, y, letter, transform=ax.transAxes, ha=across, va=along, color="white",
                fontsize=10, fontweight="bold", path_effects=edge)  # fmt: skip
    length_bar(ax, (wide, high), bar_mm, "mm")
    return shown


# --- figure of slices with one scale ----------------------------------------------------------


def _mm(found: list[Plane]) -> list[tuple[float, float]]:
    """Return (width, height) of each plane in mm."""
    return [(p.values.shape[1] * p.pixel_mm[1], p.values.shape[0] * p.pixel_mm[0]) for p in found]


def _bar_mm(found: list[Plane]) -> float:
    return bar_length([wide for wide, _ in _mm(found)])


def _mri_figure(found: list[Plane], more_in: float) -> Figure:
    extents = _mm(found)
    wide, high = sum(w for w, _ in extents), max(h for _, h in extents)
    return figure(min(6.0, 0.5 + (WIDTH_IN - 0.4) * high / wide) + more_in)


def _panels(drawn: Any, found: list[Plane], extents: list[tuple[float, float]]) -> list[Axes]:
    """Return axes as wide as the planes are in mm, so that all share one scale."""
    return list(
        drawn.subplots(1, len(found), squeeze=False, width_ratios=[w for w, _ in extents])[0]
    )


# --- runs: fMRI and diffusion -----------------------------------------------------------------


class Moments(NamedTuple):
    """Mean and standard deviation over time (z, y, x), and the mean inside the mask by volume."""

    mean: Array
    std: Array
    trace: Array


def moments(image: xr.DataArray) -> Moments:
    """Read a run in slabs of time; two passes, so that no square of a mean is lost.

    The mask is where the mean exceeds a fifth of its 98th percentile.
    """
    image = image.transpose("time", "z", "y", "x")
    count = int(image.sizes["time"])
    step = max(1, SLAB_VALUES // max(1, image[0].size))
    slabs = [slice(a, min(a + step, count)) for a in range(0, count, step)]
    mean = np.zeros(image.shape[1:])
    for slab in slabs:
        mean += np.asarray(image.isel(time=slab).values, "float64").sum(axis=0) / count
    inside = mean > 0.2 * np.nanpercentile(mean, 98)
    square, trace = np.zeros_like(mean), np.empty(count)
    for slab in slabs:
        values = np.asarray(image.isel(time=slab).values, "float64")
        square += ((values - mean) ** 2).sum(axis=0)
        trace[slab] = (
            values[:, inside].mean(axis=1) if inside.any() else values.mean(axis=(1, 2, 3))
        )
    return Moments(mean, np.sqrt(square / max(count - 1, 1)), trace)


def _run(tree: xr.DataTree, node: str, data: xr.Dataset, image: xr.DataArray) -> Sketch:
    """Draw the mean volume, the temporal signal-to-noise ratio and the global signal."""
    count = int(image.sizes["time"])
    used = min(count, MAX_VOLUMES)
    image = image.isel(time=slice(0, used))
    found = moments(image)
    affine = data["affine"].values
    mean = planes(xr.DataArray(found.mean, dims=("z", "y", "x")), affine)
    noise = bool(tree.attrs.get("modality") != "dwi")
    ratio = np.divide(found.mean, found.std, out=np.zeros_like(found.mean), where=found.std > 0)
    shown = [*mean, planes(xr.DataArray(ratio, dims=("z", "y", "x")), affine)[2]] if noise else mean
    drawn = _mri_figure(shown, 1.6)
    parts: Any = drawn.subfigures(2, 1, height_ratios=[drawn.get_figheight() - 1.6, 1.6])
    top, bottom = parts
    axes = _panels(top, shown, _mm(shown))
    limits = spread(found.mean, 0.5, 99.5)
    for ax, plane in zip(axes, mean, strict=False):
        draw_plane(ax, plane, limits, _bar_mm(shown))
    told = ""
    if noise:
        told = _noise(top, axes[3], shown[3], found, ratio)
    _trace(bottom.subplots(), data, image, found.trace)
    caption = (
        f"{title_of(tree, node)}: mean of {used} of {count} volumes in "
        f"{image.attrs.get('units', 'a.u.')}, "
        f"{_orientation(affine)}.{told} Below: mean over the mask (mean above a fifth of its "
        f"98th percentile) of each volume."
    )
    what = "Slices of the mean volume and the global signal over time"
    return Sketch(drawn, what, caption, (node,))


def _noise(drawn: Any, ax: Axes, plane: Plane, found: Moments, ratio: Array) -> str:
    inside = found.mean > 0.2 * np.nanpercentile(found.mean, 98)
    top = spread(ratio[inside], 1, 99)[1] if inside.any() else 1.0
    shown = draw_plane(ax, plane, (0.0, top), _bar_mm([plane]), "viridis")
    ax.set_title("Axial: temporal SNR", fontsize=8)
    drawn.colorbar(shown, ax=ax, shrink=0.8, pad=0.03).set_label("mean / SD")
    middle = float(np.median(ratio[inside])) if inside.any() else 0.0
    return f" Temporal SNR is mean / SD without detrending, median {middle:.3g} inside the mask."


def _trace(ax: Axes, data: xr.Dataset, image: xr.DataArray, trace: Array) -> None:
    timed = "time" in image.coords
    x = np.asarray(image["time"].values, "float64") if timed else np.arange(trace.size)
    ax.plot(x, trace, color=COLOURS[0], marker="." if trace.size <= 60 else "", linewidth=1)
    ax.set_xlabel("Time (s)" if timed else "Volume")
    ax.set_ylabel(f"Global signal ({image.attrs.get('units', 'a.u.')})", color=INK)
    ax.margins(x=0.01)
