"""Clocks: times with jitter and gaps onto a regular clock, and recordings cut at their gaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr
from pydantic import Field

from neurodata.errors import InvalidInputError, Problem
from neurodata.physical import CLOCK
from neurodata.slabs import slabs
from neurodata.steps import step as blocks
from neurodata.steps.step import Step, signal_of, with_signal

if TYPE_CHECKING:
    import dask.array as da

Times = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
MOST_GAPS = 10
MOST_PIECES = 1000
WHOLE = 1e-6  # of a sample; less is the rounding of the times


class Regularise(Step):
    """Put samples with times of their own on a regular clock; gaps stay gaps.

    Each sample goes to the nearest tick, its value as it is. Ticks without a sample are marked
    as not observed (NaN, and False in ``observed``), nothing is interpolated. The phase of the
    clock is the mean of the samples'.

    Attributes
    ----------
    rate_hz : float
        Of the clock.
    tolerance : float
        How far from its tick a sample may be, in samples; one that is further refuses the
        recording, with the rate that would fit the times.
    """

    name: ClassVar[str] = "regularise"
    rate_hz: float = Field(gt=0)
    tolerance: float = Field(default=0.25, gt=0, lt=0.5)

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node on the regular clock.

        Raises
        ------
        InvalidInputError
            When it is on another regular clock, times do not rise, samples are too far from
            the ticks, or nine of ten ticks would be gaps.
        """
        import dask.array as da

        if set(CLOCK) <= set(node.attrs):
            if abs(float(node.attrs["rate_hz"]) / self.rate_hz - 1) > 1e-9:
                raise InvalidInputError(
                    where, f"a regular clock of {node.attrs['rate_hz']:g} Hz",
                    f"{self.rate_hz:g} Hz or times", "use the step resample",
                )  # fmt: skip
            return node
        start_s, ticks = self._ticks(times_of(node, where), where)
        n = int(ticks[-1]) + 1
        facts: dict[str, Any] = {"start_s": start_s, "rate_hz": self.rate_hz, "n": n}
        node = node.drop_vars("time")
        if n == len(ticks):
            return node.assign_attrs(facts)
        signal = signal_of(node)
        data = _spread(signal.data, ticks, n, np.nan)
        kept = {name: coord for name, coord in signal.coords.items() if "time" not in coord.dims}
        spread = xr.DataArray(data, dims=signal.dims, attrs=signal.attrs, coords=kept)
        keep = [name for name in node.variables if "time" not in node[name].dims]
        found = with_signal(node[keep], spread, **facts)
        there = da.ones(signal.shape, dtype=bool, chunks=signal.data.chunks)
        if "observed" in node.variables:
            there = da.asarray(node["observed"].data)
        seen = _spread(there, ticks, n, False)
        return found.assign(observed=(("time", "channel"), seen))

    def _ticks(self, times: Times, where: str) -> tuple[float, Ints]:
        """Return the time of the first tick, and the tick of each sample from 0."""
        places = (times - times[0]) * self.rate_hz
        phase = float(np.angle(np.exp(2j * np.pi * places).mean()) / (2 * np.pi))
        phase = phase if abs(phase) > WHOLE else 0.0
        ticks = np.rint(places - phase).astype("i8")
        off = float(np.abs(places - phase - ticks).max())
        taken = int((np.diff(ticks) == 0).sum())
        if off > self.tolerance or taken:
            span, whole = times[-1] - times[0], int(np.rint(np.diff(places)).sum())
            fits = f"the times have {whole / span:.9g} ticks a second" if span else "choose a rate"
            raise InvalidInputError(
                where, f"samples up to {off:.3g} of a sample off, {taken} on a tick with another",
                f"up to {self.tolerance:g} of a sample at {self.rate_hz:g} Hz", fits,
            )  # fmt: skip
        phase_s = (phase + int(ticks[0])) / self.rate_hz
        ticks = ticks - ticks[0]
        if ticks[-1] + 1 > MOST_GAPS * len(ticks):
            share = 100 * (1 - len(ticks) / (int(ticks[-1]) + 1))
            raise InvalidInputError(
                where, f"{share:.0f} % of the ticks without a sample", "less than 90 %",
                "cut the recording at its gaps first, by the step cut",
            )  # fmt: skip
        return float(times[0]) + phase_s, ticks

    def findings(self, before: xr.Dataset, parts: Mapping[str, xr.Dataset]) -> Iterator[Problem]:
        """Yield how far samples were moved, and how many ticks have none."""
        for path, node in parts.items():
            if "time" not in before.variables:
                continue
            start_s, ticks = self._ticks(times_of(before, path), path)
            new = start_s + ticks / self.rate_hz
            moved_s = float(np.abs(new - before["time"].values).max())
            gaps, lost = int((np.diff(ticks) > 1).sum()), int(node.attrs["n"]) - len(ticks)
            found = f"times moved by up to {moved_s:.3g} s; {gaps} gaps of {lost} samples in all"
            yield Problem("note", f"{path}/time", found, "", "gaps are marked as not observed")


def times_of(node: xr.Dataset, where: str) -> Times:
    """Return the times of a node's samples in seconds.

    Raises
    ------
    InvalidInputError
        When there is none, or they are not finite and rising.
    """
    times: Times = (
        np.asarray(node["time"].values, "f8") if "time" in node.variables else np.zeros(0)
    )
    falls = int((np.diff(times) <= 0).sum())
    if not len(times) or not np.isfinite(times).all() or falls:
        raise InvalidInputError(
            where, f"{len(times)} times, {falls} not after the one before", "rising times",
            "correct the source",
        )  # fmt: skip
    return times


def _spread(data: da.Array, ticks: Ints, n: int, fill: float) -> da.Array:
    """Return ``(n, channel)``: rows at their ticks, ``fill`` between them."""
    import dask.array as da

    width = data.shape[1]
    rows = max(1, blocks.BLOCK_BYTES // (8 * max(1, width)))
    parts = []
    for first in range(0, n, rows):
        size = min(rows, n - first)
        begin, end = np.searchsorted(ticks, [first, first + size])
        if end == begin:
            parts.append(da.full((size, width), fill, dtype=data.dtype))
            continue
        block = data[begin:end].rechunk(-1)
        options = {"places": ticks[begin:end] - first, "size": size, "fill": fill}
        chunks = ((size,), block.chunks[1])
        parts.append(da.map_blocks(_at, block, dtype=data.dtype, chunks=chunks, **options))
    found: da.Array = da.concatenate(parts)
    return found


def _at(block: Times, places: Ints, size: int, fill: float) -> Times:
    found: Times = np.full((size, block.shape[1]), fill, dtype=block.dtype)
    found[places] = block
    return found


class Cut(Step):
    """Cut a recording at its gaps into nodes of their own: ``NAME-1``, ``NAME-2`` and so on.

    Where there is one piece the node keeps its name. Steps that follow are told ``node: NAME*``.

    Attributes
    ----------
    gap_s : float, optional
        On times of their own: where two samples are further apart than this. On a regular
        clock: gaps up to this length stay in their piece, marked as not observed.
    least_s : float
        Shorter pieces are left out.
    keep : {"all", "longest"}
        ``longest`` keeps one piece, under the node's name.
    """

    name: ClassVar[str] = "cut"
    gap_s: float | None = Field(default=None, ge=0)
    least_s: float = Field(default=0.0, ge=0)
    keep: Literal["all", "longest"] = "all"

    def parts(self, path: str, node: xr.Dataset, where: str) -> dict[str, xr.Dataset]:
        """Return the pieces by their names.

        Raises
        ------
        InvalidInputError
            When times need ``gap_s``, or there is no piece or more than a thousand.
        """
        regular = set(CLOCK) <= set(node.attrs)
        pieces = self._regular(node) if regular else self._irregular(node, where)
        lengths_s = [_length_s(node, *piece) for piece in pieces]
        kept = [at for at, length_s in enumerate(lengths_s) if length_s >= self.least_s]
        if self.keep == "longest" and kept:
            kept = [max(kept, key=lambda at: lengths_s[at])]
        if not 0 < len(kept) <= MOST_PIECES:
            raise InvalidInputError(
                where, f"{len(kept)} pieces of {len(pieces)}", f"1 to {MOST_PIECES}",
                "choose another gap_s or least_s",
            )  # fmt: skip
        made = [_piece(node, *pieces[at]) for at in kept]
        if len(made) == 1:
            return {path: made[0]}
        return {f"{path}-{number}": piece for number, piece in enumerate(made, 1)}

    def _irregular(self, node: xr.Dataset, where: str) -> list[tuple[int, int]]:
        times = times_of(node, where)
        if self.gap_s is None:
            raise InvalidInputError(where, "times of their own", "gap_s: what counts as a gap")
        ends = [0, *(np.flatnonzero(np.diff(times) > self.gap_s) + 1).tolist(), len(times)]
        return list(pairwise(ends))

    def _regular(self, node: xr.Dataset) -> list[tuple[int, int]]:
        n = int(node.attrs["n"])
        if "observed" not in node.variables:
            return [(0, n)]
        there = np.concatenate([slab.all(axis=1) for _, slab in slabs(node["observed"])])
        edges = np.flatnonzero(np.diff(np.r_[False, there, False].astype("i1")))
        runs: list[tuple[int, int]] = [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
        most = (self.gap_s or 0.0) * float(node.attrs["rate_hz"]) + WHOLE
        joined: list[tuple[int, int]] = []
        for first, last in runs:
            if joined and first - joined[-1][1] <= most:
                first = joined.pop()[0]
            joined.append((first, last))
        return joined

    def findings(self, before: xr.Dataset, parts: Mapping[str, xr.Dataset]) -> Iterator[Problem]:
        """Yield how many pieces there are and what was left out."""
        kept = sum(part.sizes["time"] for part in parts.values())
        if len(parts) > 1 or kept < before.sizes["time"]:
            left = before.sizes["time"] - kept
            found = f"{len(parts)} pieces; {left} of {before.sizes['time']} samples left out"
            yield Problem("note", next(iter(parts)), found, "", "gaps and short pieces")


def _length_s(node: xr.Dataset, first: int, last: int) -> float:
    if "time" in node.variables:
        times = node["time"].values
        return float(times[last - 1] - times[first])
    return (last - first) / float(node.attrs["rate_hz"])


def _piece(node: xr.Dataset, first: int, last: int) -> xr.Dataset:
    piece = node.isel(time=slice(first, last))
    if "time" not in node.variables:
        start_s = float(node.attrs["start_s"]) + first / float(node.attrs["rate_hz"])
        piece = piece.assign_attrs(start_s=start_s, n=last - first)
    if "observed" in piece.variables and all(slab.all() for _, slab in slabs(piece["observed"])):
        piece = piece.drop_vars("observed")
    return piece
