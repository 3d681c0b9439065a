"""The spikes of recordings counted in bins: made once per recording and kept sparse."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, NamedTuple

import numpy as np

from neurodata.errors import StoreError
from neurodata.loader.plan import Array, Span
from neurodata.loader.recordings import Recordings
from neurodata.store.spool import Scratch

ALWAYS = (-np.inf, np.inf)
SLAB = 2**15
MAKERS = 2
"""Recordings counted side by side, each with its spikes in memory."""


class Counted(NamedTuple):
    """The counts of one recording that are not 0, span by span.

    Parameters
    ----------
    cell : integer array (entry,)
        ``bin * width + unit``, increasing within a span; bins count from the span's start.
    spikes : float32 array (entry,)
        How many the cell has.
    where : dict of int to slice
        The entries of each span.
    """

    cell: Array
    spikes: Array
    where: dict[int, slice]

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.cell.nbytes + self.spikes.nbytes


class SpikeCounts:
    """The spike counts of all spans; threads may share them.

    Parameters
    ----------
    recordings : Recordings
    node : str
        Name of the spikes node.
    units : sequence of int
        Number of units of each recording.
    spans : sequence of Span
        Their rate is that of the bins.
    limits_s : sequence of (float, float), optional
        For each span, where spikes are counted: from the first second to before the second.
    memory_mb : float
        Counts are kept in memory until this many MB are full; the others wait in files without
        a name in the folder for temporary files (`tempfile.gettempdir`).
    """

    def __init__(
        self,
        recordings: Recordings,
        node: str,
        units: Sequence[int],
        spans: Sequence[Span],
        limits_s: Sequence[tuple[float, float]] | None = None,
        memory_mb: float = 512,
    ) -> None:
        self.recordings, self.node = recordings, node
        self.units, self.spans, self.limits_s = units, spans, limits_s
        self.memory_mb, self.width = memory_mb, max(units)
        self._forget()

    def _forget(self) -> None:
        self._locks = [threading.Lock() for _ in self.units]
        self._kept: dict[int, Counted] = {}
        self._free = self.memory_mb * 2**20
        self._room = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the counts behind: another process makes its own."""
        return {key: value for key, value in vars(self).items() if not key.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def of(self, number: int) -> Counted:
        """Return the counts of a recording, made at the first use."""
        found = self._kept.get(number)
        if found is None:
            with self._locks[number]:
                found = self._kept.get(number)
                if found is None:
                    found = self._kept[number] = self._placed(self._make(number))
        return found

    def of_each(self, numbers: Sequence[int]) -> dict[int, Counted]:
        """Return the counts of recordings; those that are not there are made side by side."""
        lacking = [number for number in numbers if number not in self._kept]
        if len(lacking) > 1:
            with ThreadPoolExecutor(MAKERS, "neurodata-spikes") as threads:
                list(threads.map(self.of, lacking))
        return {number: self.of(number) for number in numbers}

    def _placed(self, made: Counted) -> Counted:
        with self._room:
            fits = made.nbytes <= self._free
            self._free -= made.nbytes if fits else 0
        return made if fits else spilled(made)

    def _make(self, number: int) -> Counted:
        times, splits = (
            self.recordings.array((number, self.node, name)).values
            for name in ("time_s", "row_splits")
        )
        unit = np.repeat(np.arange(self.units[number], dtype="i4"), np.diff(splits))
        own = [at for at, span in enumerate(self.spans) if span.recording == number]
        if len(own) > 1:  # each of them is a stretch of the sorted times
            order = np.argsort(times, kind="stable")
            times, unit = times[order], unit[order]
        large = max((self.spans[at].count for at in own), default=0) * self.width >= 2**31
        dtype = np.dtype("i8" if large else "i4")
        cells, counts = list[Array](), list[Array]()
        where, stop = {}, 0
        for at in own:
            cell, count = self._count(at, times, unit, dtype, in_order=len(own) > 1)
            cells.append(cell)
            counts.append(count)
            where[at] = slice(stop, stop + len(cell))
            stop += len(cell)
        return Counted(_joined(cells, dtype), _joined(counts, np.dtype("f4")), where)

    def _count(
        self, at: int, times: Array, unit: Array, dtype: np.dtype[Any], in_order: bool
    ) -> tuple[Array, Array]:
        """Return the cells of a span that are not 0, and their counts."""
        from scipy.sparse import coo_array

        span = self.spans[at]
        bins, unit = self._binned(at, times, unit, in_order)
        table = coo_array(
            (np.ones(len(bins), "f4"), (bins, unit)), shape=(span.count, self.width)
        ).tocsr()  # sorted by counting; what falls on one cell is added up
        filled = np.diff(table.indptr)
        rows = np.flatnonzero(filled)
        first = np.repeat((rows * self.width).astype(dtype), filled[rows])
        return first + table.indices.astype(dtype, copy=False), table.data

    def _binned(self, at: int, times: Array, unit: Array, in_order: bool) -> tuple[Array, Array]:
        """Return bin and unit of every spike of a span."""
        span, limits_s = self.spans[at], ALWAYS if self.limits_s is None else self.limits_s[at]
        start_s = max(span.start_s, limits_s[0])
        stop_s = min(edge_s(span, span.count), limits_s[1])
        first, last = np.searchsorted(times, [start_s, stop_s]) if in_order else (0, len(times))
        bins, units, size = np.empty(last - first, "i4"), np.empty(last - first, "i4"), 0
        for low in range(first, last, SLAB):  # new memory costs more than what is done in it
            part = slice(low, min(low + SLAB, last))
            inside = (times[part] >= start_s) & (times[part] < stop_s)
            found = slice(size, size + int(inside.sum()))
            bins[found], units[found] = bins_of(times[part][inside], span), unit[part][inside]
            size = found.stop
        return bins[:size], units[:size]


def _joined(parts: list[Array], dtype: np.dtype[Any]) -> Array:
    """Return parts in one array; one alone is not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, dtype), *parts])


def spilled(made: Counted) -> Counted:
    """Return the same counts in a file without a name, which the kernel may drop from memory.

    Raises
    ------
    StoreError
        When the disk has no room for them.
    """
    try:
        with TemporaryDirectory(prefix="neurodata-") as folder, Scratch(Path(folder)) as scratch:
            parts = [
                scratch.get(scratch.put(part), part.nbytes).view(part.dtype) if len(part) else part
                for part in (made.cell, made.spikes)
            ]
    except OSError as error:
        raise StoreError(
            gettempdir(), f"no room for {made.nbytes} bytes of spike counts ({error})",
            "room for what memory_mb does not hold", "raise memory_mb, or set TMPDIR",
        ) from error  # fmt: skip
    return Counted(parts[0], parts[1], made.where)


def edge_s(span: Span, number: Any) -> Any:
    """Return the second at which a bin of a span starts: where windows have their edges too."""
    return span.start_s + number / span.rate_hz


def bins_of(times: Array, span: Span) -> Array:
    """Return the last bin whose edge is not after each time, compared with the edges themselves.

    Examples
    --------
    >>> bins_of(np.array([0.0, 0.3, np.nextafter(0.3, 0)]), Span(0, 0.0, 10.0, 20)).tolist()
    [0, 3, 2]
    """
    bins = np.floor((times - span.start_s) * span.rate_hz).astype("i8")
    while True:  # the quotient is rounded: it may be one off, more where bins are very short
        late = edge_s(span, bins) > times
        early = edge_s(span, bins + 1) <= times
        if not (late.any() or early.any()):
            return bins
        bins += early.astype("i8") - late
