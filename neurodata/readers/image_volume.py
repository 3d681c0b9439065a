"""Volume nodes of images: axes, voxel size and clock, each stated, declared or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from neurodata.declare import Declared, missing
from neurodata.errors import InvalidInputError, MissingFactError
from neurodata.readers.lacking import together
from neurodata.safe import Raw

ORDER = ("time", "channel", "z", "y", "x")
SPATIAL = ("z", "y", "x")
UNKNOWN = "unknown"
NAMES = {  # that axes may have, by their number
    2: "y,x|x,y",
    3: "z,y,x|time,y,x|channel,y,x|...",
    4: "channel,z,y,x|time,z,y,x|time,channel,y,x|...",
    5: "time,channel,z,y,x|time,z,channel,y,x|...",
}


@dataclass
class Facts:
    """What an image states of itself; what is None or absent it does not state."""

    size_um: dict[str, float] = field(default_factory=dict)
    origin_um: dict[str, float] = field(default_factory=dict)
    rate_hz: float | None = None
    channels: list[str] = field(default_factory=list)


def axes_of(
    stated: Sequence[str], shape: Sequence[int], facts: Facts, raw: Raw, declare: Declared
) -> list[str]:
    """Return the names of an image's axes: declared, else as the file states them.

    Parameters
    ----------
    stated : sequence of str
        Names from `ORDER`, each once; empty where the file does not name its axes.
    shape : sequence of int
        Lengths of the axes in the file's order.

    Raises
    ------
    MissingFactError
        When nobody knows them; the hint holds the flags of all that is missing.
    InvalidInputError
        When what is declared does not fit.
    """
    declared = declare.text("axes")
    names = [name.strip() for name in (declared or "").split(",")]
    if declared is not None and len(names) == len(shape):
        if len(set(names)) < len(names) or not {"y", "x"} <= set(names) <= set(ORDER):
            raise InvalidInputError(
                f"--set axes={declared}", repr(names), "each of " + ", ".join(ORDER) + " once"
            )
        if stated and list(stated) != names:
            found = "axes " + ",".join(stated)
            raw.warn("", found, f"{declared}, as declared", "declared is used")
        return names
    if not stated:
        found = f"unnamed axes of lengths {tuple(shape)}"
        choice = NAMES.get(len(shape), "<names>")
        lacking = [missing(raw.name, found, "their names", f"axes={choice}")]
        if declare.get("voxel_um") is None and not facts.size_um:
            spatial = SPATIAL[-min(len(shape), 3) :]
            lacking.append(_no_size(spatial, spatial, raw))
        raise together(lacking)
    return list(stated)


def volume(
    pixels: Any, axes: Sequence[str], facts: Facts, raw: Raw, declare: Declared
) -> xr.Dataset:
    """Return pixels as a ``volume`` node, ``(time, channel, z, y, x)`` as present.

    Parameters
    ----------
    pixels : dask array
        Integers (in counts), floats (in arbitrary units) or booleans.

    Raises
    ------
    MissingFactError
        When the voxel size or the frame rate is not known.
    """
    order = [axis for axis in ORDER if axis in axes]
    pixels = pixels.transpose([list(axes).index(axis) for axis in order])
    if pixels.dtype.kind == "b":
        pixels = pixels.astype("uint8")
    is_float = pixels.dtype.kind == "f"
    units = {"units": "a.u." if is_float else "count"}
    node = xr.Dataset({"image" if is_float else "image_adc": (order, pixels, units)})
    if not is_float:
        node = node.assign(scale=1.0, offset=0.0)
    spatial = [axis for axis in SPATIAL if axis in axes]
    spacing, unit = spacing_of(spatial, facts, raw, declare)
    node["spacing"] = ("spatial", np.array(spacing), {"units": unit})
    node = node.assign_coords(spatial=("spatial", np.array(spatial, dtype=object)))
    if set(spatial) <= set(facts.origin_um) and unit == "um":
        origin = [facts.origin_um[axis] for axis in spatial]
        node["origin"] = ("spatial", np.array(origin, "f8"), {"units": unit})
    if "channel" in axes:
        count = node.sizes["channel"]
        names = facts.channels if len(facts.channels) == count else [str(n) for n in range(count)]
        node = node.assign_coords(channel=("channel", np.array(names, dtype=object)))
    node.attrs = {"representation": "volume", "schema": "volume/1"}
    if "time" in axes:
        rate_hz = declare.number("rate_hz") or facts.rate_hz
        rate_hz = rate_hz or declare.need_number("rate_hz", raw.name, "no frame rate", "<Hz>")
        node.attrs.update(start_s=0.0, rate_hz=rate_hz, n=node.sizes["time"])
    return node


def spacing_of(
    spatial: Sequence[str], facts: Facts, raw: Raw, declare: Declared
) -> tuple[list[float], str]:
    """Return micrometres a voxel in (z, y, x), and their unit: declared, else as stated.

    Where nobody knows them, ``voxel_um=unknown`` says so: distances are then in pixels.

    Raises
    ------
    MissingFactError
        When they are neither stated nor declared.
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
    example = ",".join(f"<{axis}>" for axis in spatial)
    return missing(
        raw.name, f"no voxel size along {', '.join(absent)}",
        f"micrometres a voxel ({', '.join(spatial)}), or voxel_um={UNKNOWN}",
        f"voxel_um={example}",
    )  # fmt: skip
