"""Where the events go that a file states itself, beside those of its BIDS side-car."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.readers import bids
from neurodata.readers.intervals import intervals
from neurodata.safe import Raw

EVENTS, ANNOTATIONS = "events", "annotations"


def placed(found: xr.Dataset | None, end_s: float, raw: Raw) -> dict[str, xr.Dataset]:
    """Return the nodes of events: the file's own, which a side-car's turn into annotations.

    Parameters
    ----------
    found : xarray.Dataset, optional
        The file's own, as `intervals`.
    end_s : float
        When the signal ends; those of the file that are outside of it are left out and told.
    """
    if found is not None:
        start_s = found["start_s"].values
        outside = ~((start_s >= 0) & (start_s <= end_s))
        if outside.any():
            count = int(outside.sum())
            raw.warn("events", f"{count} outside of the signal, left out", f"0 to {end_s:g} s")
            found = found.isel(interval=np.flatnonzero(~outside)) if count < len(start_s) else None
    side_car = bids.events(raw, end_s)
    if side_car is None:
        return {} if found is None else {EVENTS: found}
    return {EVENTS: side_car} | ({} if found is None else {ANNOTATIONS: found})


def coded(
    start_s: npt.NDArray[np.float64], code: npt.NDArray[np.int64], label: Sequence[str] = ()
) -> xr.Dataset:
    """Return events without a length as `intervals`, with their codes in a column.

    Parameters
    ----------
    start_s : float64 array (event,)
        In s from the first sample.
    code : int array (event,)
    label : sequence of str, optional
        By default the codes.

    Examples
    --------
    >>> coded(np.array([0.5]), np.array([7]))["label"].values.tolist()
    ['7']
    """
    texts = list(label) or [str(number) for number in code.tolist()]
    columns: dict[str, npt.NDArray[np.generic]] = {"code": code}
    return intervals(start_s, [np.nan] * len(texts), texts, columns)
