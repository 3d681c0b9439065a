"""A regular clock as a lazy coordinate: start, rate and count in place of an array."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from xarray.core.indexing import IndexSelResult
from xarray.indexes import CoordinateTransform, CoordinateTransformIndex

from neurodata.errors import InvalidInputError


class _Clock(CoordinateTransform):
    """``time_s = start_s + i / rate_hz``, with the division last, so that no error adds up."""

    def __init__(self, start_s: float, rate_hz: float, n: int, dim: str) -> None:
        super().__init__((dim,), {dim: n}, dtype=np.dtype("float64"))
        self.start_s, self.rate_hz = start_s, rate_hz

    @property
    def dim(self) -> str:
        return str(self.dims[0])

    @property
    def n(self) -> int:
        return self.dim_size[self.dim]

    def forward(self, dim_positions: dict[str, Any]) -> dict[Hashable, Any]:
        return {self.dim: self.start_s + np.asarray(dim_positions[self.dim]) / self.rate_hz}

    def reverse(self, coord_labels: dict[Hashable, Any]) -> dict[str, Any]:
        labels = np.asarray(coord_labels[self.dim], dtype="float64")
        return {self.dim: (labels - self.start_s) * self.rate_hz}

    def equals(
        self, other: CoordinateTransform, exclude: frozenset[Hashable] | None = None
    ) -> bool:
        return isinstance(other, _Clock) and (
            (self.start_s, self.rate_hz, self.n) == (other.start_s, other.rate_hz, other.n)
        )


class RegularTime(CoordinateTransformIndex):
    """The index of a regular clock; slices by position and by seconds stay lazy."""

    transform: _Clock

    def isel(self, indexers: Mapping[Any, Any]) -> RegularTime | None:
        """Keep the index lazy under a slice with a positive step."""
        wanted = indexers.get(self.transform.dim)
        if not isinstance(wanted, slice):
            return None
        start, stop, step = wanted.indices(self.transform.n)
        if step < 1:
            return None
        clock = self.transform
        count = len(range(start, stop, step))
        first = clock.start_s + start / clock.rate_hz
        return RegularTime(_Clock(first, clock.rate_hz / step, count, clock.dim))

    def sel(
        self, labels: dict[Any, Any], method: Any = None, tolerance: Any = None
    ) -> IndexSelResult:
        """Select ``slice(t0, t1)`` in seconds, both ends included, as pandas does."""
        dim = self.transform.dim
        wanted = labels[dim]
        if not isinstance(wanted, slice):
            return IndexSelResult({dim: self._nearest(wanted, method, tolerance)})
        if wanted.step is not None:
            raise InvalidInputError(f"sel({dim})", f"step {wanted.step}", "a slice without step")
        return IndexSelResult({dim: slice(self._first(wanted.start), self._after(wanted.stop))})

    def _nearest(self, seconds: Any, method: Any, tolerance: float | None) -> Any:
        wanted = seconds if isinstance(seconds, xr.DataArray) else np.asarray(seconds, "float64")
        found = self.transform.reverse({self.transform.dim: wanted})[self.transform.dim]
        rounded = np.clip(np.rint(found), 0, self.transform.n - 1)
        off_s = np.abs(found - rounded) / self.transform.rate_hz
        allowed_s = tolerance if tolerance is not None else np.inf if method else 1e-9
        if method not in (None, "nearest") or np.any(off_s > allowed_s):
            raise KeyError(f"{seconds} s is not on the clock; use method='nearest' or a slice")
        positions = rounded.astype("int64")
        if isinstance(seconds, xr.DataArray):
            return xr.DataArray(positions, dims=seconds.dims)
        return positions if positions.ndim else int(positions)

    def _position(self, seconds: float) -> float:
        found: float = self.transform.reverse({self.transform.dim: seconds})[self.transform.dim]
        whole = round(found)
        return whole if abs(found - whole) < 1e-6 else found

    def _first(self, seconds: float | None) -> int:
        return 0 if seconds is None else max(0, int(np.ceil(self._position(seconds))))

    def _after(self, seconds: float | None) -> int:
        if seconds is None:
            return self.transform.n
        return max(0, int(np.floor(self._position(seconds))) + 1)


def regular_time(start_s: float, rate_hz: float, n: int, dim: str = "time") -> xr.Coordinates:
    """Return the lazy float64 coordinate ``start_s + i / rate_hz`` for i in 0..n-1, in seconds.

    Raises
    ------
    InvalidInputError
        When the rate is not a finite number over 0, the start not finite or n negative.

    Examples
    --------
    >>> time = regular_time(0.0, 3.0, 4)["time"]
    >>> time.values.round(3).tolist()
    [0.0, 0.333, 0.667, 1.0]
    """
    if not (np.isfinite(rate_hz) and rate_hz > 0 and np.isfinite(start_s) and n >= 0):
        raise InvalidInputError(
            "clock", f"start_s={start_s}, rate_hz={rate_hz}, n={n}", "a finite start and rate > 0"
        )
    coords = xr.Coordinates.from_xindex(RegularTime(_Clock(start_s, rate_hz, n, dim)))
    coords[dim].attrs.update(units="s", long_name="time from the recording's start")
    return coords
