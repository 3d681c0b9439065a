"""EGI (Net Station) simple binary files ``.raw``: continuous recordings of 16 bits or floats.

Samples are stored with the states of events beside them; the stored numbers are read in place.
The unit is microvolts where the header states a range and bits; else it is declared.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import UnreadableError
from neurodata.readers import bids
from neurodata.readers.channels import Channel, Clock
from neurodata.readers.intervals import intervals
from neurodata.readers.known import known
from neurodata.readers.marks import placed
from neurodata.readers.mne_raw import Places, Source, nodes_of
from neurodata.safe import Raw

SUFFIXES = (".raw",)
EXTRA = "eeg"

FIXED_BYTES = 36
_DTYPES = {2: ">i2", 4: ">f4", 6: ">f8"}
_START = struct.Struct(">i6hi5h")  # version, date, time, milliseconds, five numbers
SLAB_BYTES = 8 * 2**20

members = bids.with_sidecars


@dataclass(frozen=True)
class Layout:
    """Where things are: frames of (channels + events) numbers from byte ``start`` on."""

    path: Path
    dtype: str
    start: int
    rate_hz: float
    channels: int
    events: tuple[str, ...]
    samples: int
    microvolts: float
    dated: bool

    @property
    def frames(self) -> npt.NDArray[Any]:
        """All stored numbers, (time, channel and event)."""
        shape = (self.samples, self.channels + len(self.events))
        return safe.memmap(self.path, np.dtype(self.dtype), shape, self.start)


def sniff(head: bytes, path: Path) -> bool:
    """Tell a simple binary file by its version, a date and numbers that are possible."""
    if len(head) < FIXED_BYTES:
        return False
    version, year, month, day, hour, minute, second, ms, rate, count, gain, bits, _ = (
        _START.unpack_from(head)
    )
    when = 1980 <= year <= 2100 and 1 <= month <= 12 and 1 <= day <= 31 and 0 <= hour < 24
    when = when and 0 <= minute < 60 and 0 <= second < 60 and 0 <= ms < 1000
    sized = rate > 0 and count > 0 and gain >= 0 and 0 <= bits <= 64
    return bool(2 <= version <= 7 and when and sized)


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a continuous recording as a node ``eeg`` with its events.

    Each run of samples at which an event's state is not 0 is one event, labelled by its code.

    Raises
    ------
    UnreadableError
        When the header contradicts itself or the file's size, or the recording is segmented.
    MissingFactError
        When no calibration is stated and no unit declared.
    """
    layout = _layout(raw)
    clock = Clock(layout.rate_hz, layout.samples)
    clock.require(raw.name)
    bids.require_clock(raw, declare, clock.rate_hz, clock.n)
    unit = "uV" if layout.microvolts else ""
    scale = layout.microvolts or 1.0
    stated = [Channel(f"E{i + 1}", "EEG", unit, scale) for i in range(layout.channels)]
    channels = known(stated, raw, declare)
    source = Source(clock.n, np.dtype(layout.dtype), partial(_block, layout))
    nodes = nodes_of(None, channels, clock, source, raw)
    nodes |= placed(_events(layout), clock.n / clock.rate_hz, raw)
    root: dict[str, Any] = {"modality": declare.text("modality") or "eeg"}
    if layout.dated:
        root["start_zone"] = "unknown"
        raw.note("header", "identifying fields, removed: start date and time (no zone)")
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={**root, **bids.facts(raw)}), **nodes})


def _layout(raw: Raw) -> Layout:
    size = raw.main.stat().st_size
    if not size or not sniff(head := safe.head(raw.main, FIXED_BYTES), raw.main):
        raise _refusal(raw, f"{size} bytes without a header", "an EGI simple binary file")
    version, year, _, _, _, _, _, _, rate, count, _, bits, range_ = _START.unpack_from(head)
    if version % 2:
        raise UnreadableError(
            raw.name, "a segmented file", "a continuous one", "export the continuous recording"
        )
    samples, events = struct.unpack_from(">ih", head, 30)
    if samples < 1 or events < 0:
        raise _refusal(raw, f"{samples} samples, {events} events", "samples over 0")
    start = FIXED_BYTES + 4 * events
    wanted = start + samples * (count + events) * np.dtype(_DTYPES[version]).itemsize
    if size != wanted:
        found = f"{wanted} bytes by its header: {samples} samples of {count} channels"
        raise _refusal(raw, f"{size} bytes", f"{found} and {events} events")
    names = safe.head(raw.main, start)[FIXED_BYTES:]
    codes = [names[i : i + 4].decode("latin-1").strip("\0 ") for i in range(0, len(names), 4)]
    microvolts = range_ / 2**bits if range_ > 0 and bits > 0 else 0.0
    return Layout(
        raw.main, _DTYPES[version], start, float(rate), count, tuple(codes), samples, microvolts,
        year > 0,
    )  # fmt: skip


def _block(layout: Layout, places: Places, first: int, last: int) -> npt.NDArray[Any]:
    return np.asarray(layout.frames[first:last][:, list(places)])


def _events(layout: Layout) -> xr.Dataset | None:
    """Return runs of samples at which states of events are not 0, found slab by slab."""
    if not layout.events:
        return None
    frames, starts, stops = layout.frames, list[tuple[int, int]](), list[tuple[int, int]]()
    before = np.zeros(len(layout.events), bool)
    step = max(1, SLAB_BYTES // max(1, frames[:1].nbytes))
    for first in range(0, layout.samples, step):
        state = np.asarray(frames[first : first + step, layout.channels :]) != 0
        change = np.diff(np.vstack([before, state]).astype("i1"), axis=0)
        for runs, sign in ((starts, 1), (stops, -1)):
            sample, event = np.nonzero((change == sign).T)[::-1]
            runs += zip(event.tolist(), (sample + first).tolist(), strict=True)
        before = state[-1]
    stops += [(event, layout.samples) for event in np.flatnonzero(before).tolist()]
    if not starts:
        return None
    pairs = zip(sorted(starts), sorted(stops), strict=True)
    rows = [(layout.events[e] or "event", a, b - a) for (e, a), (_, b) in pairs]
    start_s = np.array([start for _, start, _ in rows]) / layout.rate_hz
    length_s = [length / layout.rate_hz for _, _, length in rows]
    return intervals(start_s, length_s, [label for label, _, _ in rows])


def _refusal(raw: Raw, found: str, expected: str) -> UnreadableError:
    return UnreadableError(raw.name, found, expected, "copy the file again or export it anew")
