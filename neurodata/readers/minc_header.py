"""What a MINC image states of itself, whether its container is HDF5 (MINC2) or netCDF (MINC1).

References
----------
https://en.wikibooks.org/wiki/MINC/Reference
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurodata.errors import UnknownFormatError, UnreadableError
from neurodata.safe import Raw

SPATIAL = ("xspace", "yspace", "zspace")
REGULAR = "regular__"
LIMITS = ("image-min", "image-max")

Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class Axis:
    """One axis of the image and what its variable says of it."""

    name: str
    length: int
    attributes: Attributes

    def number(self, key: str) -> float | None:
        """Return a number of the axis, or None; NaN for what is no number."""
        value = self.attributes.get(key)
        if value is None:
            return None
        try:
            return float(np.ravel(np.asarray(value))[0])
        except (ValueError, TypeError, IndexError):
            return float("nan")

    def text(self, key: str) -> str | None:
        """Return a text of the axis, or None."""
        value = self.attributes.get(key)
        return None if value is None else text_of(value)


@dataclass(frozen=True)
class Image:
    """An image and its axes, slowest first.

    Parameters
    ----------
    voxels : dask.array.Array
        As stored.
    valid_range : tuple of float or None
        Least and greatest stored value that counts.
    low, high : numpy.ndarray
        Real values of these, over the first axes of the image, or one alone.
    private : tuple of str
        Names of what is left out as it may name people.
    """

    axes: tuple[Axis, ...]
    voxels: Any
    valid_range: tuple[float, float] | None
    low: np.ndarray[Any, Any]
    high: np.ndarray[Any, Any]
    private: tuple[str, ...]


def text_of(value: Any) -> str:
    """Return an attribute's text, without the padding that C leaves."""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else b""
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return text.strip("\0 ")


def float_alone(dtype: np.dtype[Any], names: set[str]) -> bool:
    """Say whether an image needs no limits, as its values are real, and has none."""
    return dtype.kind == "f" and not names & set(LIMITS)


def image_of(
    raw: Raw, axes: tuple[Axis, ...], voxels: Any, limits: Mapping[str, tuple[list[str], Any]],
    attributes: Attributes, private: tuple[str, ...],
) -> Image:  # fmt: skip
    """Return an image after checks that hold for both containers.

    Parameters
    ----------
    limits : mapping
        Dimensions and values of ``image-min`` and ``image-max``.

    Raises
    ------
    UnreadableError
        When axes, limits or the valid range contradict the image.
    """
    names = [axis.name for axis in axes]
    if len(names) != voxels.ndim or len(set(names)) < len(names):
        raise wrong(
            raw, "dimorder", ", ".join(names) or "nothing", f"{voxels.ndim} names, each once"
        )
    for axis, size in zip(axes, voxels.shape, strict=True):
        stated = axis.number("length")
        if size < 1 or (stated is not None and stated != size):
            raise wrong(raw, axis.name, f"a length of {stated}", f"{size}, as the image has")
        spacing = axis.text("spacing") or REGULAR
        if spacing != REGULAR and axis.name != "vector_dimension":
            raise UnknownFormatError(
                f"{raw.name}: {axis.name}", f"the spacing {spacing!r}", REGULAR, "resample it"
            )
    if voxels.dtype.kind not in "iuf":
        raise UnknownFormatError(
            f"{raw.name}: image",
            f"values of type {voxels.dtype}",
            "integers or floats",
            "convert it",
        )
    for name, (dims, values) in limits.items():
        if dims != names[: len(dims)] or values.shape != voxels.shape[: len(dims)]:
            found = f"values over ({', '.join(dims)}), shape {values.shape}"
            raise wrong(raw, name, found, f"the first axes of {names}")
        if not np.isfinite(values).all():
            raise wrong(raw, name, "numbers that are not finite", "finite ones")
    low, high = (np.asarray(limits[key][1] if key in limits else 0.0, "f8") for key in LIMITS)
    if low.shape != high.shape or (low > high).any():
        raise wrong(raw, "image-min", "more than image-max", "at most as much")
    return Image(axes, voxels, _valid_range(raw, attributes), low, high, private)


def _valid_range(raw: Raw, attributes: Attributes) -> tuple[float, float] | None:
    values: Any = attributes.get("valid_range")
    if values is None and {"valid_min", "valid_max"} <= set(attributes):
        values = [np.ravel(attributes[key])[0] for key in ("valid_min", "valid_max")]
    if values is None:
        return None
    try:
        low, high = (float(value) for value in np.ravel(np.asarray(values)))
    except (ValueError, TypeError):
        low, high = float("nan"), float("nan")
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise wrong(raw, "valid_range", np.ravel(values).tolist(), "two rising numbers")
    return low, high


def wrong(raw: Raw, where: str, found: object, expected: str) -> UnreadableError:
    """Make the refusal of what a file states."""
    hint = "correct it: minc_modify_header"
    return UnreadableError(f"{raw.name}: {where}", str(found), expected, hint)
