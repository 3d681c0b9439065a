"""Walk through an array in slabs, so that no more than a few of them are in memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

SLAB_BYTES = 16_000_000


def slabs(
    array: xr.DataArray, dim: str | None = None, limit_bytes: int = SLAB_BYTES
) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
    """Yield (first index, slab) along a dimension, in order and without gaps.

    Slabs follow the chunks of a dask array; a chunk over the limit comes whole, as it has to
    be decoded whole.

    Parameters
    ----------
    array : (dim, ...) any dtype, numpy or dask
    dim : str, optional
        The dimension to walk along; the first one by default.
    limit_bytes : int
        About the size of one slab.

    Examples
    --------
    >>> counts = xr.DataArray(np.arange(10, dtype="int8"), dims="time")
    >>> [(first, slab.tolist()) for first, slab in slabs(counts, limit_bytes=4)]
    [(0, [0, 1, 2, 3]), (4, [4, 5, 6, 7]), (8, [8, 9])]
    """
    dim = dim or str(array.dims[0])
    size = array.sizes[dim]
    rows = max(1, int(limit_bytes // max(1, array.nbytes // max(1, size))))
    for first, after in pairwise(_cuts(array, dim, size, rows)):
        yield first, array.isel({dim: slice(first, after)}).to_numpy()


def _cuts(array: xr.DataArray, dim: str, size: int, rows: int) -> list[int]:
    if not size:
        return [0]
    chunks = dict(zip(array.dims, array.chunks, strict=True))[dim] if array.chunks else None
    if chunks is None:
        return [*range(0, size, rows), size]
    cuts, end = [0], 0
    for chunk in chunks:
        if end > cuts[-1] and end + chunk - cuts[-1] > rows:
            cuts.append(end)
        end += chunk
    return [*cuts, size]


def extremes(
    values: np.ndarray[Any, Any], finite: np.ndarray[Any, Any], axis: int | tuple[int, ...]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the least and greatest finite value along an axis; inf and -inf where none is.

    Examples
    --------
    >>> values = np.array([1.0, np.nan, 3.0])
    >>> low, high = extremes(values, np.isfinite(values), axis=0)
    >>> float(low), float(high)
    (1.0, 3.0)
    """
    if values.dtype.kind in "iu":
        return values.min(axis=axis), values.max(axis=axis)
    low = np.min(values, axis=axis, where=finite, initial=np.inf)
    return low, np.max(values, axis=axis, where=finite, initial=-np.inf)
