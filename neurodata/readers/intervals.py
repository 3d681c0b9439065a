"""The node `intervals/1`: annotations, events and epochs on a recording's clock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.readers.delimited import text_array


def intervals(
    start_s: Sequence[float] | npt.NDArray[np.float64],
    duration_s: Sequence[float],
    label: Sequence[str],
    columns: dict[str, npt.NDArray[np.generic]] | None = None,
) -> xr.Dataset:
    """Return an `intervals` node, in order of start; a duration of NaN says none is stated."""
    order = np.argsort(np.asarray(start_s, "float64"), kind="stable")
    node = xr.Dataset(
        {
            "start_s": ("interval", np.asarray(start_s, "float64")[order], {"units": "s"}),
            "duration_s": ("interval", np.asarray(duration_s, "float64")[order], {"units": "s"}),
            "label": ("interval", text_array(label)[order]),
            **{name: ("interval", values[order]) for name, values in (columns or {}).items()},
        }
    )
    node.attrs = {"representation": "intervals", "schema": "intervals/1"}
    return node
