"""Synthetic series whose statistics are known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def synthetic_autoregression(n: int, phi: float, seed: int) -> npt.NDArray[np.float64]:
    """A stationary AR(1) series of variance 1: its autocorrelation at lag k is phi ** k."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=n) * np.sqrt(1 - phi**2)
    series = np.empty(n)
    series[0] = rng.normal()
    for i in range(1, n):
        series[i] = phi * series[i - 1] + noise[i]
    return series
