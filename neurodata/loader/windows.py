"""Windows of a timeseries in the memory of a batch: plain, resampled, or of an irregular clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from neurodata.compiled import address, compiled
from neurodata.loader.fetch import Columns, Scaling, Stream, gains_of, in_layout, masks_of, width_of
from neurodata.loader.gain import Gain, scale_into, tables
from neurodata.loader.plan import Array, Ratio, Span
from neurodata.loader.recordings import Key, Recordings, Series
from neurodata.loader.ring import Blank
from neurodata.loader.spans import before


@dataclass(frozen=True)
class WindowFetcher:
    """Windows of ``count`` samples: ``signal`` float32 and ``mask (batch, channel)``.

    ``layout="bct"`` gives ``signal (batch, channel, time)``, a view on time-major memory;
    ``"btc"`` gives that memory. A channel that a recording lacks, or that was not observed
    throughout the window, is 0 and its mask False.
    """

    recordings: Recordings
    node: str
    series: Sequence[Series]
    columns: Columns
    spans: Sequence[Span]
    scaling: Scaling | None
    count: int
    layout: str
    stride: int = 1
    numbers: tuple[int, ...] | None = None  # of the recordings that have the node; None is all

    @cached_property
    def width(self) -> int:
        """Number of columns."""
        return width_of(self.columns)

    @cached_property
    def gains(self) -> list[Gain]:
        """From stored numbers to those of a batch, per recording."""
        return gains_of(self.recordings, self.node, self.series, self.scaling, self._numbers)

    @cached_property
    def masks(self) -> Array:
        """Which columns each recording has, ``(recording, column)``."""
        return masks_of(self.columns)

    @property
    def streams(self) -> list[Stream]:
        """The signal, and which of it was observed."""
        numbers = range(len(self.series))
        steps = [(self.stride, 1)] * len(self.series)
        keys = [(n, self.node, self.series[n].variable) for n in numbers]
        found = [Stream(keys, self._bounds, steps)]
        if any(item.observed for item in self.series):
            found.append(Stream([(n, self.node, "observed") for n in numbers], self._bounds, steps))
        return found

    def _bounds(self, number: int, picks: Array) -> tuple[Array, Array]:
        low, high = rows_of_picks(self.spans, picks, self.count)
        width = np.full(len(picks), len(self.series[number].channels))
        return np.stack([low, 0 * width], 1), np.stack([high, width], 1)

    def blank(self, picks: Array) -> Blank:
        """Return shapes and dtypes of a batch."""
        n = len(picks)
        return {"signal": ((n, self.count, self.width), "f4"), "mask": ((n, self.width), "?")}

    def fill(self, picks: Array, memory: Mapping[str, Array]) -> None:
        """Fill rows of a batch."""
        signal, mask = memory["signal"], memory["mask"]
        numbers = picks["recording"]
        mask[...] = self.masks[numbers]
        if self._alike is not None and (loop := compiled("scale_windows", self._alike)):
            self._fill_compiled(loop, picks, signal)
            return
        every = zip(numbers.tolist(), picks["span"].tolist(), picks["first"].tolist(), strict=True)
        for row, (number, at, first) in enumerate(every):
            if not self._plain[at]:
                self._slow(signal[row], mask[row], number, self.spans[at], first)
                continue
            low = self.spans[at].offset + first
            key, width = self._places[number]
            source = self.recordings.cut(key, (slice(low, low + self.count), width))
            self._put(signal[row], source, number)

    def _fill_compiled(self, loop: Any, picks: Array, signal: Array) -> None:
        """Fill plain windows in one go that holds up no other thread."""
        numbers = picks["recording"]
        rows = (self._offsets[picks["span"]] + picks["first"]).tolist()
        cut, places, count = self.recordings.cut, self._places, self.count
        sources = [
            cut(places[number][0], (slice(low, low + count), places[number][1]))
            for number, low in zip(numbers.tolist(), rows, strict=True)
        ]
        addresses = np.array([address(source) for source in sources], "u8")
        like = np.zeros(0, self._alike)
        loop(addresses, self._widths[numbers], numbers, *self._tables, like, signal)

    @cached_property
    def _alike(self) -> np.dtype[Any] | None:
        """The stored dtype where all windows are plain rows of one, scaled in float32."""
        keys = [key for key, _ in self._places if key[0] in self._numbers]
        dtypes = {self.recordings.array(key).dtype for key in keys}
        straight = all(isinstance(self.columns[number], slice) for number in self._numbers)
        if len(dtypes) == 1 and straight and all(self._plain) and self._tables is not None:
            return dtypes.pop()
        return None

    @cached_property
    def _numbers(self) -> set[int]:
        """The recordings that have the node."""
        return set(range(len(self.series)) if self.numbers is None else self.numbers)

    @cached_property
    def _tables(self) -> Any:
        return tables(self.gains, self.width)

    @cached_property
    def _offsets(self) -> Array:
        return np.array([span.offset for span in self.spans], "i8")

    @cached_property
    def _widths(self) -> Array:
        return np.array([len(item.channels) for item in self.series], "i8")

    def _put(self, target: Array, source: Array, number: int) -> None:
        """Scale one window into its columns; the others are 0."""
        columns = self.columns[number]
        if source.shape[1] == self.width and isinstance(columns, slice):
            scale_into(target, source, self.gains[number])
        elif isinstance(columns, slice):
            target[:, columns.stop :] = 0
            scale_into(target[:, columns], source, self.gains[number])
        else:
            target[...] = 0
            room = np.empty(source.shape, "f4")
            scale_into(room, source, self.gains[number])
            target[:, columns] = room

    @cached_property
    def _plain(self) -> list[bool]:
        """Whether each span's windows are stored rows as they are, observed throughout."""
        return [
            not (span.ratio.half or span.times is not None or self.series[span.recording].observed)
            for span in self.spans
        ]

    @cached_property
    def _places(self) -> list[tuple[Key, slice]]:
        """The array of each recording, and all of its channels."""
        return [
            ((number, self.node, item.variable), slice(0, len(item.channels)))
            for number, item in enumerate(self.series)
        ]

    def _slow(self, target: Array, mask: Array, number: int, span: Span, first: int) -> None:
        """Fill one window that is resampled, interpolated or not observed throughout."""
        values, valid = window(
            self.recordings, self.node, self.series[number], span, first, self.count
        )
        if self.scaling is not None:
            mean, std = self.scaling[number]
            values = (values - mean) / std
        target[...] = 0
        target[:, self.columns[number]] = np.where(valid, values, 0.0)
        mask[self.columns[number]] = valid

    def finish(self, memory: Mapping[str, Array], picks: Array) -> dict[str, Any]:
        """Return ``signal`` in its layout and ``mask``."""
        return {"signal": in_layout(memory["signal"], self.layout), "mask": memory["mask"]}


def rows_of_picks(spans: Sequence[Span], picks: Array, count: int) -> tuple[Array, Array]:
    """Return the stored rows ``[low, high)`` that windows of ``count`` samples need."""
    low, high = np.zeros(len(picks), "i8"), np.zeros(len(picks), "i8")
    for number in np.unique(picks["span"]).tolist():
        own, span = np.flatnonzero(picks["span"] == number), spans[number]
        first, last = span.ratio.source(picks["first"][own], count)
        if span.ratio.half:
            first = first - first % span.ratio.down
        if span.times is not None:
            seconds = np.minimum(
                span.start_s + np.stack([first, last - 1]) / span.rate_hz, span.times[-1]
            )
            first, last = before(span.times, seconds[0]), before(span.times, seconds[1]) + 2
        low[own], high[own] = span.offset + first, span.offset + last
    return low, high


def window(
    recordings: Recordings, node: str, series: Series, span: Span, first: int, count: int
) -> tuple[Array, Array]:
    """Return one window ``(time, channel)`` float64 in the field's units, and its valid channels.

    A resampled window equals the same piece of the whole span, resampled at once: all samples
    that the filter needs are read, and `plan` took care that they lie in the span.
    """
    lo, hi = span.ratio.source(first, count)
    if span.ratio.half == 0:
        return _source(recordings, node, series, span, lo, hi)
    lo -= lo % span.ratio.down
    values, valid = _source(recordings, node, series, span, lo, hi)
    skip = first - lo * span.ratio.up // span.ratio.down
    return resample(values, span.ratio)[skip : skip + count], valid


def resample(values: Array, ratio: Ratio) -> Array:
    """Resample ``(time, channel)`` by a ratio behind an anti-aliasing filter.

    A Kaiser window (beta 5), as in `scipy.signal.resample_poly`.
    """
    from scipy.signal import firwin, resample_poly

    taps = firwin(2 * ratio.half + 1, 1 / max(ratio.up, ratio.down), window=("kaiser", 5.0))
    return np.asarray(resample_poly(values, ratio.up, ratio.down, axis=0, window=taps))


def _source(
    recordings: Recordings, node: str, series: Series, span: Span, lo: int, hi: int
) -> tuple[Array, Array]:
    """Return source samples ``[lo, hi)`` of a span; an irregular clock is interpolated."""
    number, base = span.recording, span.offset
    weight: Array | None = None
    if span.times is None:
        rows = slice(base + lo, base + hi)
    else:
        wanted = np.minimum(span.start_s + np.arange(lo, hi) / span.rate_hz, span.times[-1])
        left = before(span.times, wanted)
        rows = slice(base + int(left[0]), base + int(left[-1]) + 2)
        step = span.times[left + 1] - span.times[left]
        weight = ((wanted - span.times[left]) / step)[:, None]
    values = recordings.read(number, node, series.variable, (rows,)) * series.scale + series.offset
    valid = np.ones(values.shape[1], bool)
    if series.observed:
        valid = np.asarray(recordings.read(number, node, "observed", (rows,)).all(axis=0))
    if weight is not None:
        left = left - left[0]
        values = values[left] * (1 - weight) + values[left + 1] * weight
    return values, valid
