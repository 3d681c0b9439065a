"""What recorders' files share that neo parses: stretches of samples, modality, late events."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from dask.delayed import delayed

from neurodata.declare import Declared
from neurodata.readers.channels import BLOCK_BYTES
from neurodata.readers.intervals import intervals
from neurodata.safe import Raw

EXTRA = "ephys"
UNFIT = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Events:
    """Marks of a recorder; all sequences have one item an event.

    Parameters
    ----------
    start_s : float64 array (interval,)
        Seconds from the recording's start.
    label : sequence of str
    columns : mapping of str to array (interval,)
    """

    start_s: npt.NDArray[np.float64]
    label: Sequence[str]
    columns: dict[str, npt.NDArray[np.generic]]


def pieces(
    counts: npt.NDArray[np.int64],
    channels: int,
    dtype: str,
    read: Callable[[int, int], npt.NDArray[Any]],
) -> da.Array:
    """Return a (time, channel) dask array of records that hold unlike numbers of samples.

    Parameters
    ----------
    counts : int64 array (record,)
        Samples of each record.
    read : callable
        Picklable; ``read(first, last)`` gives the samples of these records, (time, channel).
    """
    kind = np.dtype(dtype)
    ends = np.concatenate([[0], np.cumsum(counts)])
    step = max(1, BLOCK_BYTES // (channels * kind.itemsize))
    cuts = np.searchsorted(ends, np.arange(0, ends[-1], step), side="right") - 1
    edges = [*dict.fromkeys(cuts.tolist()), len(counts)]
    load = delayed(read, pure=False)
    blocks = [
        da.from_delayed(  # type: ignore[no-untyped-call]
            load(a, b), (int(ends[b] - ends[a]), channels), dtype=kind
        )
        for a, b in pairwise(edges)
        if ends[b] > ends[a]
    ]
    joined: da.Array = da.concatenate(blocks, axis=0)  # type: ignore[no-untyped-call]
    return joined


def event_node(events: Events, raw: Raw, end_s: float | None) -> xr.Dataset:
    """Return events as an `intervals` node; those after the last sample are left out and told."""
    kept = np.full(len(events.start_s), True) if end_s is None else events.start_s <= end_s
    if not kept.all():
        late = events.start_s[~kept]
        found = f"{late.size} after the last sample, e.g. at {late[0]:g} s; left out"
        raw.warn("events", found, f"up to {end_s:g} s")
    label = [text for text, yes in zip(events.label, kept.tolist(), strict=True) if yes]
    columns = {name: values[kept] for name, values in events.columns.items()}
    return intervals(events.start_s[kept], [np.nan] * len(label), label, columns)


def modality(raw: Raw, declare: Declared, signals: bool) -> str:
    """Return the modality that is declared, else what recorders of such files record.

    Their files hold extracellular potentials, or spikes alone.
    """
    return declare.text("modality") or ("ieeg" if signals else "spikes")


def node_name(base: str, channel: str) -> str:
    """Return the name of a further node, after its first channel.

    Examples
    --------
    >>> node_name("ieeg", "CSC 1")
    'ieeg_CSC-1'
    """
    return f"{base}_{UNFIT.sub('-', channel).strip('-._')}"[:128].rstrip("_-.")
