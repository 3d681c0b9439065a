"""Offsets and scales of signals: robust, relative to a baseline, from the past alone."""

from __future__ import annotations

from math import isfinite
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
from pydantic import Field, model_validator

from neurodata.errors import InvalidInputError
from neurodata.steps.step import Step, by_blocks, require_clock, signal_of, with_signal

Array = npt.NDArray[np.float64]
NORMAL = 1.349  # interquartile range of a normal distribution, in standard deviations
PASS_BYTES = 128_000_000
EACH = "each recording by itself"


class RobustScale(Step):
    """Subtract the median and divide by the interquartile range over 1.349, per channel.

    Fitted on each recording by itself, over all of it; the result has the unit 1.

    Attributes
    ----------
    clamp : float, optional
        Cut what lies further from 0 than this.
    """

    name: ClassVar[str] = "robust_scale"
    fits_on: ClassVar[str | None] = EACH
    clamp: float | None = Field(default=None, gt=0)

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node scaled; quartiles are found at once, some channels a pass."""
        signal = signal_of(node)
        low, middle, high = quartiles(signal)
        flat = [str(n) for n, a, b in zip(node["channel"].values, low, high, strict=True) if a == b]
        if flat:
            raise InvalidInputError(
                where, f"no spread between the quartiles of {', '.join(flat)}",
                "signals that vary", "leave such channels out by the step pick",
            )  # fmt: skip
        centre = xr.DataArray(middle, dims="channel")
        width = xr.DataArray((high - low) / NORMAL, dims="channel")
        scaled = (signal - centre) / width
        if self.clamp is not None:
            scaled = scaled.clip(-self.clamp, self.clamp)
        return in_units(with_signal(node, scaled), "1")


class FixedScale(Step):
    """Subtract an offset and divide by a width, per channel, that were fitted elsewhere.

    Attributes
    ----------
    centre, width : dict of str to float
        In the signal's units, by channel; each channel must have both.
    fitted_on : tuple of str
        Ids of the recordings that they were fitted on; an audit compares them with a split.
    clamp : float, optional
        Cut what lies further from 0 than this.
    """

    name: ClassVar[str] = "fixed_scale"
    centre: dict[str, float] = Field(min_length=1)
    width: dict[str, float] = Field(min_length=1)
    fitted_on: tuple[str, ...] = Field(min_length=1)
    clamp: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if set(self.centre) != set(self.width):
            raise ValueError("centre and width must have the same channels")
        if not all(map(isfinite, self.centre.values())):
            raise ValueError("centre must be finite")
        if not all(isfinite(width) and width > 0 for width in self.width.values()):
            raise ValueError("width must be finite and over 0")
        if odd := [one for one in self.fitted_on if one.count("/") != 1]:
            raise ValueError(f"fitted_on: {odd[0]!r}, not DATASET/RECORDING")
        return self

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node scaled, unit 1."""
        names = [str(name) for name in node["channel"].values]
        if absent := [name for name in names if name not in self.centre]:
            raise InvalidInputError(
                where, f"no centre and width for {', '.join(absent[:8])}", "both for each channel",
                "pick channels first, or fit them too",
            )  # fmt: skip
        centre = xr.DataArray([self.centre[name] for name in names], dims="channel")
        width = xr.DataArray([self.width[name] for name in names], dims="channel")
        scaled = (signal_of(node) - centre) / width
        if self.clamp is not None:
            scaled = scaled.clip(-self.clamp, self.clamp)
        return in_units(with_signal(node, scaled), "1")


def quartiles(signal: xr.DataArray) -> tuple[Array, Array, Array]:
    """Return the quartiles of each channel (linear interpolation), NaN left out."""
    count, width = signal.sizes["time"], signal.sizes["channel"]
    some = max(1, PASS_BYTES // (8 * max(1, count)))
    found = []
    for first in range(0, width, some):
        values = signal.isel(channel=slice(first, first + some)).to_numpy()
        found.append(np.nanpercentile(values, [25, 50, 75], axis=0))
    low, middle, high = np.concatenate(found, axis=1)
    return low, middle, high


class Dff(Step):
    """Change over baseline, ``(F - F0) / F0``, with a running percentile as the baseline F0.

    Attributes
    ----------
    window_s : float
        Length of the running window, centred.
    percentile : float
    """

    name: ClassVar[str] = "dff"
    fits_on: ClassVar[str | None] = EACH
    window_s: float = Field(default=30.0, gt=0)
    percentile: float = Field(default=8.0, ge=0, le=100)

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node in units of dF/F.

        Raises
        ------
        InvalidInputError
            When a baseline is not over 0: fluorescence without its offset, or dF/F already.
        """
        import dask.array as da

        rate_hz, signal = require_clock(node, where), signal_of(node)
        size = max(1, round(self.window_s * rate_hz)) | 1
        half = min(size // 2, signal.sizes["time"] - 1)
        baseline = da.map_overlap(
            _percentile, signal.data, depth={0: half, 1: 0}, boundary={0: "reflect", 1: "none"},
            dtype="f8", size=2 * half + 1, percentile=self.percentile,
        )  # fmt: skip
        least = baseline.min(axis=0).compute()
        wrong = [str(name) for name in node["channel"].values[least <= 0]]
        if wrong:
            raise InvalidInputError(
                where, f"a baseline of 0 or less in {len(wrong)} channels ({', '.join(wrong[:5])})",
                "raw fluorescence over 0", "declare the offset, or leave the step out",
            )  # fmt: skip
        relative = signal.copy(data=(signal.data - baseline) / baseline)
        return in_units(with_signal(node, relative), "dF/F")


def _percentile(block: Array, size: int, percentile: float) -> Array:
    from scipy.ndimage import percentile_filter

    if not block.size:
        return block
    found: Array = percentile_filter(block, percentile, size=(size, 1), mode="reflect")
    return found


class CausalScale(Step):
    """Subtract the mean of the past and divide by its standard deviation, sample by sample.

    A sample is scaled with the ``window_s`` up to and with itself. Samples before the window is
    full are marked as not observed.

    Attributes
    ----------
    window_s : float
    """

    name: ClassVar[str] = "causal_scale"
    fits_on: ClassVar[str | None] = "the past of each recording by itself"
    window_s: float = Field(gt=0)

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node scaled, unit 1."""
        import dask.array as da

        rate_hz, signal = require_clock(node, where), signal_of(node)
        count, n = round(self.window_s * rate_hz), signal.sizes["time"]
        if not 2 <= count <= n:
            raise InvalidInputError(
                where, f"a window of {count} samples in a recording of {n}", f"2 to {n} samples",
                "choose another window_s",
            )  # fmt: skip
        unknown = da.full((count - 1, signal.sizes["channel"]), 0.0)
        rows = max(signal.data.chunksize[0], 4 * count)
        before = da.concatenate([unknown, signal.data])
        data = by_blocks(before, n, (count - 1, 0), rows, _causal, past=count)
        seen = da.arange(n, chunks=data.chunks[0]) >= count - 1
        data = da.where(seen[:, None], data, np.nan)
        found = in_units(with_signal(node, signal.copy(data=data)), "1")
        observed = da.broadcast_to(seen[:, None], signal.shape, chunks=data.chunks)
        return found.assign(observed=(("time", "channel"), observed))


def _causal(block: Array, past: int, size: int) -> Array:
    """Return samples scaled with the ``past`` ones up to them; 0 where these are all equal."""
    values = block - block[-1:]  # near 0, so that sums of squares stay exact enough
    sums = np.cumsum(np.concatenate([np.zeros((1, values.shape[1])), values]), axis=0)
    squares = np.cumsum(np.concatenate([np.zeros((1, values.shape[1])), values**2]), axis=0)
    mean = (sums[past:] - sums[:-past]) / past
    variance = np.maximum((squares[past:] - squares[:-past]) / past - mean**2, 0.0)
    above = values[past - 1 :] - mean
    scaled: Array = np.zeros_like(above)
    np.divide(above, np.sqrt(variance), out=scaled, where=variance > 0)
    return scaled[:size]


def in_units(node: xr.Dataset, symbol: str) -> xr.Dataset:
    """Return a node whose signal is in one unit."""
    signal = node["signal"].assign_attrs(units=symbol)
    found = node.assign(signal=signal).assign_attrs(units=symbol)
    if "units" in found.variables:
        found = found.assign_coords(units=("channel", [symbol] * found.sizes["channel"]))
    return found
