"""Linear-phase filters without delay: band, notch, Gaussian."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
from pydantic import Field, model_validator

from neurodata.errors import InvalidInputError
from neurodata.steps.step import Step, by_blocks, padded, require_clock, signal_of, with_signal
from neurodata.units import CHANGES

Array = npt.NDArray[np.float64]
HAMMING = 3.3  # length of a Hamming-window design, in 1 / transition width (Ifeachor & Jervis 2002)
MOST_TAPS = 2**20 + 1


class Filter(Step):
    """Keep a band: a Hamming-window design, applied once, centred, so that nothing is delayed.

    Transitions are as wide as a quarter of the cut-off, at least 2 Hz and at most what is left
    up to 0 Hz or the Nyquist frequency (MNE-Python's rule). Half amplitude lies at the cut-off,
    53 dB are reached at the end of a transition. Ends are continued by turning the signal
    about its first and last sample.

    Attributes
    ----------
    low_hz, high_hz : float, optional
        Edges of the band that passes; at least one.
    """

    name: ClassVar[str] = "filter"
    low_hz: float | None = Field(default=None, gt=0)
    high_hz: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _some_band(self) -> Self:
        if self.low_hz is None and self.high_hz is None:
            raise ValueError("low_hz or high_hz must be given")
        if self.low_hz and self.high_hz and self.low_hz >= self.high_hz:
            raise ValueError("low_hz must be under high_hz")
        return self

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node with its signal filtered."""
        rate_hz = require_clock(node, where)
        return with_signal(node, convolved(signal_of(node), self._taps(rate_hz, where), where))

    def _taps(self, rate_hz: float, where: str) -> Array:
        from scipy.signal import firwin

        nyquist_hz = rate_hz / 2
        for edge_hz in (self.low_hz, self.high_hz):
            if edge_hz is not None and edge_hz >= nyquist_hz:
                raise InvalidInputError(
                    where, f"{edge_hz:g} Hz at a rate of {rate_hz:g} Hz",
                    f"under {nyquist_hz:g} Hz", "leave it out where the rate is that low",
                )  # fmt: skip
        widths_hz, cuts_hz = [], []
        if self.low_hz is not None:
            widths_hz.append(min(max(self.low_hz / 4, 2.0), self.low_hz))
            cuts_hz.append(self.low_hz)
        if self.high_hz is not None:
            widths_hz.append(min(max(self.high_hz / 4, 2.0), nyquist_hz - self.high_hz))
            cuts_hz.append(self.high_hz)
        count = odd(HAMMING * rate_hz / min(widths_hz), where)
        taps: Array = firwin(
            count, cuts_hz, window="hamming", pass_zero=self.low_hz is None, fs=rate_hz
        )
        return taps


class Notch(Step):
    """Take out narrow bands, such as the mains and its harmonics.

    Attributes
    ----------
    at_hz : float
        The line; its multiples up to the Nyquist frequency are taken out too.
    width_hz : float
        Between the two points of half amplitude.
    harmonics : bool
    """

    name: ClassVar[str] = "notch"
    at_hz: float = Field(gt=0)
    width_hz: float = Field(default=2.0, gt=0)
    harmonics: bool = True

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node with the bands taken out."""
        from scipy.signal import firwin

        rate_hz = require_clock(node, where)
        most_hz = rate_hz / 2 - self.width_hz
        lines_hz = np.arange(self.at_hz, most_hz, self.at_hz)[: None if self.harmonics else 1]
        if not len(lines_hz) or self.at_hz <= self.width_hz:
            raise InvalidInputError(
                where, f"{self.at_hz:g} Hz at a rate of {rate_hz:g} Hz",
                f"a line over {self.width_hz:g} Hz and under {most_hz:g} Hz", "leave the step out",
            )  # fmt: skip
        half_hz = self.width_hz / 2
        edges_hz = np.stack([lines_hz - half_hz, lines_hz + half_hz], 1).ravel()
        count = odd(HAMMING * rate_hz / half_hz, where)
        taps: Array = firwin(count, edges_hz, window="hamming", pass_zero=True, fs=rate_hz)
        return with_signal(node, convolved(signal_of(node), taps, where))


class Smooth(Step):
    """Smooth by a Gaussian.

    Attributes
    ----------
    sigma_s : float
        Standard deviation; the Gaussian ends after 4 of them.
    """

    name: ClassVar[str] = "smooth"
    sigma_s: float = Field(gt=0)

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node with its signal smoothed."""
        sigma = self.sigma_s * require_clock(node, where)
        half = max(1, int(np.ceil(4 * sigma)))
        taps = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
        return with_signal(node, convolved(signal_of(node), taps / taps.sum(), where))


class Derivative(Step):
    """Take the change per second: half the difference of both neighbours, times the rate.

    At the ends it is the difference to the one neighbour. A sine of a tenth of the rate comes out
    6 % too small, slower ones less: sin(w) / w with w = 2 pi f / rate.
    """

    name: ClassVar[str] = "derivative"

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node with its change, in the units of it.

        Raises
        ------
        InvalidInputError
            When the unit of a channel's change has no symbol.
        """
        rate_hz, signal = require_clock(node, where), signal_of(node)
        names = [str(unit) for unit in node["units"].values]
        if unknown := sorted(set(names) - set(CHANGES)):
            known = ", ".join(CHANGES)
            raise InvalidInputError(where, f"the unit {unknown[0]}", known, "pick other channels")
        rows, n = signal.data.chunksize[0], signal.sizes["time"]
        data = by_blocks(padded(signal.data, 1, where), n, (1, 1), rows, _change, rate_hz=rate_hz)
        new = [CHANGES[name] for name in names]
        common = new[0] if len(set(new)) == 1 else "mixed"
        changed = signal.copy(data=data).assign_attrs(units=common)
        found = with_signal(node, changed).assign_attrs(units=common)
        return found.assign_coords(units=("channel", new))


def _change(block: Array, rate_hz: float, size: int) -> Array:
    found: Array = (block[2:] - block[:-2]) * (rate_hz / 2)
    return found[:size]


def odd(length: float, where: str) -> int:
    """Return an odd whole number of taps, not under a length.

    Raises
    ------
    InvalidInputError
        When it is out of all reason.
    """
    count = int(np.ceil(length)) | 1
    if count > MOST_TAPS:
        raise InvalidInputError(
            where, f"a filter of {count} samples", f"up to {MOST_TAPS}", "choose a wider band"
        )
    return count


def convolved(signal: xr.DataArray, taps: Array, where: str) -> xr.DataArray:
    """Return ``(time, channel)`` filtered by taps about each sample, block by block."""
    half, n = len(taps) // 2, signal.sizes["time"]
    rows = max(signal.data.chunksize[0], 4 * half)
    data = padded(signal.data, half, where)
    return signal.copy(data=by_blocks(data, n, (half, half), rows, _convolve, taps=taps))


def _convolve(block: Array, taps: Array, size: int) -> Array:
    from scipy.signal import oaconvolve

    found: Array = oaconvolve(block, taps[:, None], mode="valid", axes=0)
    return found[:size]
