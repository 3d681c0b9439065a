"""Resampling by a ratio of whole numbers, behind an anti-aliasing filter."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import xarray as xr
from pydantic import Field

from neurodata.errors import InvalidInputError
from neurodata.steps.step import Step, by_blocks, padded, require_clock, signal_of, with_signal

Array = npt.NDArray[np.float64]
MOST = 10_000
CROSSINGS = 20
BETA = 8.0


class Resample(Step):
    """Resample to another rate, polyphase, behind a linear-phase low pass.

    The low pass is a Kaiser window (beta 8) over 20 zero crossings a side, half amplitude at
    the lower of the two Nyquist frequencies: what lies below 0.87 of it keeps its amplitude to
    2 %, what lies above 1.13 of it is weaker than -60 dB (measured in the tests).

    Attributes
    ----------
    rate_hz : float
        The new rate; old and new must be to each other as whole numbers up to 10,000.
    """

    name: ClassVar[str] = "resample"
    rate_hz: float = Field(gt=0)

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node at the new rate; the first sample stays where it is."""
        old_hz = require_clock(node, where)
        ratio = Fraction(self.rate_hz / old_hz).limit_denominator(MOST)
        if ratio.numerator > MOST or abs(float(ratio) * old_hz / self.rate_hz - 1) > 1e-9:
            raise InvalidInputError(
                where, f"{old_hz!r} Hz to {self.rate_hz!r} Hz",
                f"rates that are to each other as whole numbers up to {MOST}",
                "choose a rate that divides the old one",
            )  # fmt: skip
        if ratio == 1:
            return node
        signal = resampled(signal_of(node), ratio, where)
        keep = [name for name in node.variables if "time" not in node[name].dims]
        return with_signal(node[keep], signal, rate_hz=self.rate_hz, n=signal.sizes["time"])


def resampled(signal: xr.DataArray, ratio: Fraction, where: str) -> xr.DataArray:
    """Return ``(time, channel)`` at ``ratio`` times its rate, block by block."""
    up, down = ratio.numerator, ratio.denominator
    taps = low_pass(up, down)
    depth = -(-(len(taps) // 2) // (up * down)) * down  # so that blocks begin on the new clock
    rows = -(-max(signal.data.chunksize[0], 4 * depth) // down) * down
    found = by_blocks(
        padded(signal.data, depth, where), signal.sizes["time"], (depth, depth), rows, _resample,
        lambda size: -(-size * up // down), taps=taps, up=up, down=down, depth=depth,
    )  # fmt: skip
    kept = {name: coord for name, coord in signal.coords.items() if "time" not in coord.dims}
    return xr.DataArray(found, dims=signal.dims, attrs=signal.attrs, coords=kept)


def low_pass(up: int, down: int) -> Array:
    """Return the taps of the anti-aliasing filter at ``up`` times the old rate."""
    from scipy.signal import firwin

    most = max(up, down)
    taps: Array = firwin(2 * CROSSINGS * most + 1, 1 / most, window=("kaiser", BETA))
    return taps


def _resample(block: Array, taps: Array, up: int, down: int, depth: int, size: int) -> Array:
    from scipy.signal import resample_poly

    whole: Any = resample_poly(block, up, down, axis=0, window=taps)
    first = depth * up // down
    found: Array = whole[first : first - (-size * up // down)]
    return found
