"""The quality of traces: non-finite, flat, identical, clipped or implausibly large channels."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from neurodata import units
from neurodata.errors import Level, Problem
from neurodata.invariants import span_s
from neurodata.slabs import extremes, slabs

Array = np.ndarray[Any, Any]

REFUSED_SHARE = 0.05
"""A larger share of non-finite values than this is an error."""
CLIPPED_SHARE = 0.002
"""A larger share of samples that repeat the extreme value just before them is clipping."""
CHANNEL_SLACK = 10.0
"""A single channel may leave the band of its type by this factor: contacts differ."""
_SEGMENTS = 32
_OWN_RATE = re.compile(r"_[\d.]+hz$")  # a node beside that of the file's usual rate

_LABELS = re.compile(
    r"sti ?\d+|status|trig(ger)?s?( ?\d+)?|markers?|((edf|bdf) )?annotations", re.IGNORECASE
)


@dataclass
class Totals:
    """Running totals of the channels of a signal, fed slab by slab.

    Parameters
    ----------
    channels : int
    segment : int
        Samples over which one standard deviation is taken, about a second.
    """

    channels: int
    segment: int
    samples: int = 0
    bad: Array = field(init=False)
    low: Array = field(init=False)
    high: Array = field(init=False)
    repeats_low: Array = field(init=False)
    repeats_high: Array = field(init=False)
    deviations: list[Array] = field(default_factory=list)
    hashes: list[Any] = field(init=False)

    def __post_init__(self) -> None:
        """Start all counts at zero."""
        zeros = np.zeros(self.channels, dtype="int64")
        self.bad, self.repeats_low, self.repeats_high = zeros, zeros.copy(), zeros.copy()
        self.low, self.high = np.full(self.channels, np.inf), np.full(self.channels, -np.inf)
        self.hashes = [hashlib.blake2b(digest_size=16) for _ in range(self.channels)]

    def feed(self, slab: Array, observed: Array | None = None) -> None:
        """Add the next samples, ``(time, channel)``; non-finite ones count where observed."""
        self.samples += len(slab)
        rows = np.ascontiguousarray(slab.T)  # a channel after the other: sums are fast
        finite = np.isfinite(rows)
        self.bad += (~finite if observed is None else ~finite & observed.T).sum(axis=1)
        self._extremes(rows, finite)
        for channel, values in zip(self.hashes, rows, strict=True):
            channel.update(values)
        self.deviations += self._segments(rows, finite)

    def _extremes(self, rows: Array, finite: Array) -> None:
        low, high = extremes(rows, finite, axis=1)
        self.repeats_low[low < self.low] = 0
        self.repeats_high[high > self.high] = 0
        self.low, self.high = np.minimum(low, self.low), np.maximum(high, self.high)
        for extreme, repeats in ((self.low, self.repeats_low), (self.high, self.repeats_high)):
            there = rows == extreme[:, None]
            repeats += np.count_nonzero(there[:, 1:] & there[:, :-1], axis=1)

    def _segments(self, rows: Array, finite: Array) -> Iterator[Array]:
        whole = max(1, rows.shape[1] // self.segment)
        for index in np.unique(np.linspace(0, whole - 1, _SEGMENTS).astype(int)):
            part = slice(index * self.segment, (index + 1) * self.segment)
            yield deviation(rows[:, part].T, finite[:, part].T)

    def typical(self) -> Array:
        """Return each channel's median standard deviation over segments, as stored numbers."""
        found = np.array(self.deviations).reshape(-1, self.channels)
        enough = np.isfinite(found).any(axis=0)
        typical = np.full(self.channels, np.nan)
        typical[enough] = np.nanmedian(found[:, enough], axis=0)
        return typical


def deviation(values: Array, finite: Array) -> Array:
    """Return the standard deviation of each column's finite values, NaN for fewer than two.

    Examples
    --------
    >>> deviation(np.array([[1.0], [3.0], [np.nan]]), np.array([[True], [True], [False]]))
    array([1.])
    """
    count = finite.sum(axis=0)
    kept = np.where(finite, values, 0).astype("float64")
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = kept.sum(axis=0) / count
        squares = (np.where(finite, kept - mean, 0) ** 2).sum(axis=0) / count
    return np.where(count > 1, np.sqrt(squares), np.nan)


def findings(name: str, node: xr.Dataset, modality: str) -> Iterator[Problem]:
    """Yield the findings about the samples of a timeseries node, walking through them once.

    Parameters
    ----------
    name : str
        The node's name, for the messages.
    node : xarray.Dataset
        A sound node, raw or physical.
    modality : str
        That of the recording.
    """
    main = node["signal" if "signal" in node.variables else "signal_adc"]
    where, labels = f"{name}/{main.name}", [str(value) for value in node["channel"].values]
    kinds = _kinds(node)
    neural = np.array([is_neural(kind) for kind in kinds], dtype=bool)
    if not main.size:
        yield Problem("warning", where, f"no sample, size {dict(main.sizes)}", "a signal")
        return
    yield from _rate(name, node, modality, bool(neural.any()))
    yield from _typed_neural(name, labels, neural)
    totals = _walk(node, main)
    yield from beyond_float32(where, main.dtype, totals.low, totals.high)
    yield from _non_finite(where, labels, totals, neural & ~_marked_bad(node))
    yield from _flat_or_twin(where, labels, totals, neural)
    yield from _clipped(where, labels, totals, neural)
    scale = np.abs(node["scale"].values) if main.name == "signal_adc" else 1.0
    symbols = [str(value) for value in node["units"].values]
    yield from _sizes(where, labels, kinds, symbols, totals.typical() * scale)


def is_neural(kind: str) -> bool:
    """Return whether a channel type is a measured signal of the body, not a label or trigger.

    Examples
    --------
    >>> is_neural("SEEG"), is_neural("MISC")
    (True, False)
    """
    kind = kind.upper()
    return kind in units.SIGNAL_BANDS or kind.startswith(("MEG", "NIRS"))


def _kinds(node: xr.Dataset) -> list[str]:
    if "type" in node.variables:
        return [str(value) for value in node["type"].values]
    return [""] * node.sizes["channel"]


def _marked_bad(node: xr.Dataset) -> Array:
    if "status" in node.variables:
        return np.array([str(value) == "bad" for value in node["status"].values], dtype=bool)
    return np.zeros(node.sizes["channel"], dtype=bool)


def _walk(node: xr.Dataset, main: xr.DataArray) -> Totals:
    span = span_s(node)
    step = span[2] if span else 0.0
    segment = max(16, min(round(1 / step), main.sizes["time"])) if step > 0 else 256
    totals = Totals(main.sizes["channel"], segment)
    for first, slab in slabs(main, "time"):
        part = slice(first, first + len(slab))
        seen = node["observed"].isel(time=part).to_numpy() if "observed" in node.variables else None
        totals.feed(slab, seen)
    return totals


def listed(labels: Sequence[str], chosen: Array, most: int = 8) -> str:
    """Return the chosen names as one text, the last ones as a number.

    Examples
    --------
    >>> listed(["a", "b", "c"], np.array([True, False, True]), most=1)
    'a and 1 more'
    """
    there = [label for label, yes in zip(labels, chosen, strict=True) if yes]
    rest = f" and {len(there) - most} more" if len(there) > most else ""
    return ", ".join(there[:most]) + rest


def _rate(name: str, node: xr.Dataset, modality: str, neural: bool) -> Iterator[Problem]:
    span, band = span_s(node), units.RATE_BANDS.get(modality)
    if neural and band and span and span[2] > 0 and not _OWN_RATE.search(name):
        yield from outside(f"{name}: rate_hz", "rate", 1 / span[2], band)


def outside(where: str, what: str, value: float, band: units.Band) -> Iterator[Problem]:
    """Yield a warning when a value lies outside its plausible band, naming likely slips."""
    if not band.low <= value <= band.high:
        powers = ", ".join(f"10^{power}" for power in units.slips(value, band))
        hint = f"perhaps off by {powers}: check the declared or stated unit" if powers else ""
        found = f"{what} {value:.3g} {band.symbol}"
        wanted = f"{band.low:.3g} to {band.high:.3g} {band.symbol}"
        yield Problem("warning", where, found, wanted, hint or "check the declared or stated unit")


def beyond_float32(where: str, dtype: np.dtype[Any], low: Array, high: Array) -> Iterator[Problem]:
    """Yield an error when stored doubles, of these least and greatest values, are no float32.

    That is the form in which they are read: too large ones are infinite, too small ones zero.
    """
    if dtype.kind != "f" or dtype.itemsize <= 4:
        return
    limits, ends = np.finfo("float32"), np.abs([low, high])
    top = np.where(np.isfinite(ends), ends, 0).max(axis=0)  # of nothing finite there is no end
    wrong = (top > limits.max) | ((top > 0) & (top < limits.tiny))
    if wrong.any():
        found = f"values of up to {top[wrong].max():.3g}"
        hint = "see whether the unit, the scale or the type of the numbers is another"
        yield Problem("error", where, found, "numbers that float32 holds", hint)


def _typed_neural(name: str, labels: list[str], neural: Array) -> Iterator[Problem]:
    odd = np.array([bool(_LABELS.fullmatch(label)) for label in labels], dtype=bool) & neural
    if odd.any():
        found = f"{listed(labels, odd)} typed as a neural signal"
        hint = "type it TRIG or MISC and keep it in a node of its own"
        yield Problem("warning", f"{name}/type", found, "labels apart from signals", hint)


def _non_finite(where: str, labels: list[str], totals: Totals, strict: Array) -> Iterator[Problem]:
    many = totals.bad > REFUSED_SHARE * totals.samples
    cases: tuple[tuple[Level, Array], ...] = (
        ("error", many & strict),
        ("warning", (totals.bad > 0) & ~(many & strict)),
    )
    for level, chosen in cases:
        if chosen.any():
            counts = [f"{label} {bad}" for label, bad in zip(labels, totals.bad, strict=True)]
            found = f"non-finite samples of {totals.samples}: {listed(counts, chosen)}"
            hint = "mask what was not observed with a variable observed (time, channel)"
            yield Problem(level, where, found, "finite values where observed", hint)


def _flat_or_twin(
    where: str, labels: list[str], totals: Totals, neural: Array
) -> Iterator[Problem]:
    if totals.samples < 2:
        return
    flat = (totals.low == totals.high) & neural
    if flat.any():
        found = f"flat channel(s) {listed(labels, flat)}"
        yield Problem("warning", where, found, "varying signals", "mark them bad or leave them out")
    groups: dict[bytes, list[str]] = {}
    for index in np.flatnonzero(neural & (totals.low < totals.high)):
        groups.setdefault(totals.hashes[index].digest(), []).append(labels[index])
    twins = [" = ".join(group) for group in groups.values() if len(group) > 1]
    if twins:
        found = f"identical channels {listed(twins, np.ones(len(twins), bool))}"
        yield Problem("warning", where, found, "a signal of its own in each")


def _clipped(where: str, labels: list[str], totals: Totals, neural: Array) -> Iterator[Problem]:
    share = (totals.repeats_low + totals.repeats_high) / max(1, totals.samples)
    # Zero is the floor of rectified traces (deconvolved calcium), not a rail.
    floor = totals.low == 0
    share = np.where(floor, totals.repeats_high / max(1, totals.samples), share)
    chosen = (share > CLIPPED_SHARE) & neural & (totals.low < totals.high)
    if chosen.any():
        shares = [f"{label} {100 * part:.1f} %" for label, part in zip(labels, share, strict=True)]
        found = f"runs of samples at the extreme value: {listed(shares, chosen)}"
        yield Problem("warning", where, found, "a signal within the recorder's range")


def _sizes(
    where: str, labels: list[str], kinds: list[str], symbols: list[str], typical: Array
) -> Iterator[Problem]:
    pairs = list(zip(kinds, symbols, strict=True))
    for kind, symbol in sorted(set(pairs)):
        band = units.signal_band(kind, symbol)
        mine = np.array([pair == (kind, symbol) for pair in pairs]) & (typical > 0)
        if band is None or not mine.any():
            continue
        what = f"{kind} with a median standard deviation of"
        middle = list(outside(where, what, float(np.median(typical[mine])), band))
        yield from middle
        low, high = band.low / CHANNEL_SLACK, band.high * CHANNEL_SLACK
        odd = mine & ((typical < low) | (typical > high))
        if odd.any() and not middle:
            sizes = [f"{a} {size:.2g} {symbol}" for a, size in zip(labels, typical, strict=True)]
            found = f"{kind} channels of odd size: {listed(sizes, odd)}"
            yield Problem("warning", where, found, f"{low:.2g} to {high:.2g} {symbol}")
