"""The node `spikes/1` from spikes in any order: times sorted within units, memory bounded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import UnreadableError
from neurodata.readers.delimited import text_array
from neurodata.safe import Raw
from neurodata.safe_scratch import scratch

BLOCK_SPIKES = 2**20
UNIT_LIMIT = 10**6
Values = npt.NDArray[Any]
Block = tuple[npt.NDArray[np.integer[Any]], Mapping[str, Values]]
"""Row number of the unit of each spike, and the spikes' columns, ``time_s`` among them."""


@dataclass(frozen=True)
class Grouped:
    """Spikes by unit.

    Parameters
    ----------
    columns : mapping of str to array (spike,)
        ``time_s`` and what else is known of each spike.
    splits : int64 array (unit + 1,)
        Where each unit's spikes begin and end.
    risen : bool
        Whether the times came in order within each unit.
    """

    columns: dict[str, Values]
    splits: npt.NDArray[np.int64]
    risen: bool


def grouped(
    counts: npt.ArrayLike, blocks: Iterable[Block], dtypes: Mapping[str, npt.DTypeLike]
) -> Grouped:
    """Sort spikes by unit and time.

    Parameters
    ----------
    counts : integer array (unit,)
        Number of spikes of each unit over all blocks.
    blocks : iterable of (array (spike,), mapping of str to array (spike,))
        Row of the unit, and columns; one block at a time is held.
    dtypes : mapping of str to dtype
        Of the columns beside ``time_s``, which is float64.

    Examples
    --------
    >>> found = grouped([1, 2], [(np.array([1, 0, 1]), {"time_s": np.array([0.1, 0.2, 0.3])})], {})
    >>> found.columns["time_s"].tolist(), found.splits.tolist()
    ([0.2, 0.1, 0.3], [0, 1, 3])
    """
    splits = np.concatenate([[0], np.cumsum(np.asarray(counts, "int64"))]).astype("int64")
    kinds = {"time_s": np.dtype("f8"), **{key: np.dtype(kind) for key, kind in dtypes.items()}}
    columns = {key: scratch(kind, int(splits[-1])) for key, kind in kinds.items()}
    cursor = splits[:-1].copy()
    for unit, values in blocks:
        order = np.argsort(unit, kind="stable")
        rows = unit[order]
        place = cursor[rows] + np.arange(rows.size) - np.searchsorted(rows, rows, side="left")
        for key, column in columns.items():
            column[place] = values[key][order]
        cursor += np.bincount(rows, minlength=cursor.size)
    return Grouped(columns, splits, _rise(columns, splits))


def _rise(columns: dict[str, Values], splits: npt.NDArray[np.int64]) -> bool:
    risen = True
    for first, last in pairwise(splits.tolist()):
        if last - first < 2:
            continue
        times = columns["time_s"][first:last]
        if (np.diff(times) < 0).any():
            risen = False
            order = np.argsort(times, kind="stable")
            for column in columns.values():
                column[first:last] = column[first:last][order]
    return risen


def spikes(
    found: Grouped,
    unit_id: Sequence[str],
    raw: Raw,
    span_s: tuple[float, float] | None = None,
    units: Mapping[str, Values] | None = None,
) -> xr.Dataset:
    """Return a `spikes` node.

    Parameters
    ----------
    span_s : (float, float), optional
        First and last second that were observed, where the source states them.
    units : mapping of str to array (unit,), optional
        Further columns.

    Raises
    ------
    UnreadableError
        When there are more units than any recording has, or spikes outside the span.
    """
    if len(unit_id) > UNIT_LIMIT:
        raise UnreadableError(raw.name, f"{len(unit_id)} units", f"at most {UNIT_LIMIT}", "")
    times = found.columns["time_s"]
    if span_s is not None and times.size:
        low, high = float(times.min()), float(times.max())
        if low < span_s[0] or high > span_s[1]:
            raise UnreadableError(
                raw.name, f"spikes from {low:g} to {high:g} s",
                f"within {span_s[0]:g} to {span_s[1]:g} s, the recording's span",
                "see whether the files belong together and the rate is right",
            )  # fmt: skip
    if not found.risen:
        raw.warn("spikes", "spike times out of order", "rising times", "sorted within each unit")
    node = xr.Dataset(
        {
            **{key: ("spike", values) for key, values in found.columns.items()},
            "row_splits": ("split", found.splits),
            **{key: ("unit", values) for key, values in (units or {}).items()},
        },
        coords={"unit_id": ("unit", text_array(unit_id))},
        attrs={"representation": "spikes", "schema": "spikes/1"},
    )
    node["time_s"].attrs["units"] = "s"
    if span_s is not None:
        node.attrs.update(start_s=float(span_s[0]), stop_s=float(span_s[1]))
    return node


def declared_span_s(declare: Declared) -> tuple[float, float] | None:
    """Return the observed span that is declared (``start_s`` and ``stop_s``), or None."""
    start_s, stop_s = declare.number("start_s"), declare.number("stop_s")
    return None if stop_s is None else (start_s or 0.0, stop_s)
