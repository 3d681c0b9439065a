"""A regular clock as a lazy coordinate: start, rate and count in place of an array."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray.core.indexing import IndexSelResult
from xarray.indexes import CoordinateTransform, CoordinateTransformIndex, Index, PandasIndex

from neurodata.errors import InvalidInputError


class _Clock(CoordinateTransform):
    """``time_s = start_s + (first + i * step) / rate_hz`` for i in 0..n-1.

    Slices count samples of the whole clock, so that their times are bit for bit those of the
    whole: the division comes last and no error adds up.
    """

    def __init__(
        self, start_s: float, rate_hz: float, n: int, dim: str, first: int = 0, step: int = 1
    ) -> None:
        super().__init__((dim,), {dim: n}, dtype=np.dtype("float64"))
        self.start_s, self.rate_hz, self.first, self.step = start_s, rate_hz, first, step

    @property
    def dim(self) -> str:
        return str(self.dims[0])

    @property
    def n(self) -> int:
        return self.dim_size[self.dim]

    def forward(self, dim_positions: dict[str, Any]) -> dict[Hashable, Any]:
        samples = self.first + np.asarray(dim_positions[self.dim]) * self.step
        return {self.dim: self.start_s + samples / self.rate_hz}

    def reverse(self, coord_labels: dict[Hashable, Any]) -> dict[str, Any]:
        labels = np.asarray(coord_labels[self.dim], dtype="float64")
        samples = (labels - self.start_s) * self.rate_hz
        return {self.dim: (samples - self.first) / self.step}

    def equals(
        self, other: CoordinateTransform, exclude: frozenset[Hashable] | None = None
    ) -> bool:
        return isinstance(other, _Clock) and self._facts() == other._facts()

    def _facts(self) -> tuple[float, float, int, int, int]:
        return self.start_s, self.rate_hz, self.first, self.step, self.n

    def part(self, positions: range) -> _Clock:
        """Return the clock of some of its samples."""
        first = self.first + positions.start * self.step
        step = self.step * positions.step
        return _Clock(self.start_s, self.rate_hz, len(positions), self.dim, first, step)


class RegularTime(CoordinateTransformIndex):
    """The index of a regular clock; slices by position and by seconds stay lazy."""

    transform: _Clock

    @property
    def rate_hz(self) -> float:
        """Samples a second, those that a slice with a step leaves."""
        return self.transform.rate_hz / self.transform.step

    def isel(self, indexers: Mapping[Any, Any]) -> RegularTime | None:
        """Keep the index lazy under a slice with a positive step."""
        wanted = indexers.get(self.transform.dim)
        if not isinstance(wanted, slice):
            return None
        positions = range(*wanted.indices(self.transform.n))
        return RegularTime(self.transform.part(positions)) if positions.step > 0 else None

    def to_pandas_index(self) -> pd.Index[Any]:
        """Return the times as an array, for what xarray leaves to pandas (tables, groups)."""
        clock = self.transform
        seconds = clock.forward({clock.dim: np.arange(clock.n)})[clock.dim]
        index: pd.Index[Any] = pd.Index(seconds, name=clock.dim)
        return index

    @classmethod
    def concat(  # type: ignore[override]
        cls, indexes: Sequence[Index], dim: Hashable, positions: Any = None
    ) -> Index:
        """Join clocks end to end; one that is not the next part of the first becomes an array."""
        clocks = [index.transform for index in indexes if isinstance(index, RegularTime)]
        if positions is None and len(clocks) == len(indexes) and _adjacent(clocks):
            one = clocks[0]
            whole = sum(clock.n for clock in clocks)
            joined = _Clock(one.start_s, one.rate_hz, whole, one.dim, one.first, one.step)
            return cls(joined)
        arrays = [PandasIndex(index.to_pandas_index(), dim) for index in indexes]
        return PandasIndex.concat(arrays, dim, positions)

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
        off_s = np.abs(found - rounded) * self.transform.step / self.transform.rate_hz
        allowed_s = tolerance if tolerance is not None else np.inf if method else 1e-9
        if method not in (None, "nearest") or not (self.transform.n and np.all(off_s <= allowed_s)):
            raise KeyError(f"{seconds} s is not on the clock; use method='nearest' or a slice")
        positions = rounded.astype("int64")
        if isinstance(seconds, xr.DataArray):
            return xr.DataArray(positions, dims=seconds.dims)
        return positions if positions.ndim else int(positions)

    def _position(self, seconds: float) -> float:
        if np.isnan(seconds):
            raise KeyError("NaN s is not on the clock")
        found: float = self.transform.reverse({self.transform.dim: seconds})[self.transform.dim]
        whole = round(found)
        return whole if abs(found - whole) < 1e-6 else found

    def _first(self, seconds: float | None) -> int:
        return 0 if seconds is None else max(0, int(np.ceil(self._position(seconds))))

    def _after(self, seconds: float | None) -> int:
        if seconds is None:
            return self.transform.n
        return max(0, int(np.floor(self._position(seconds))) + 1)


def _adjacent(clocks: Sequence[_Clock]) -> bool:
    """Say whether each clock goes on where the one before ends."""
    return all(
        (a.start_s, a.rate_hz, a.step, a.first + a.n * a.step)
        == (b.start_s, b.rate_hz, b.step, b.first)
        for a, b in pairwise(clocks)
    )


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
