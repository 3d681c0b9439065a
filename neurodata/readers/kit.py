"""KIT (Yokogawa, Ricoh) magnetoencephalography: recordings and epochs in ``.sqd`` and ``.con``.

Samples are read in place as the stored integers. MNE-Python reads the header and gives each
channel's scale: it is handed a copy whose first samples are 1 and 2, with no other data.
"""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import UnreadableError, UnsafeError, need
from neurodata.readers import bids
from neurodata.readers.channels import Clock
from neurodata.readers.intervals import intervals
from neurodata.readers.mne_raw import (
    Places,
    Source,
    channels_of,
    nodes_of,
    root_of,
    tree_of,
)
from neurodata.safe import Raw
from neurodata.safe_mne import Outline, handed

SUFFIXES = (".sqd", ".con")
EXTRA = "eeg"

ENTRY_BYTES = 16
HEADER_LIMIT_BYTES = 64 * 2**20
# entries of the directory at the start of the file
CHANNELS, CONDITION, DATA = 4, 8, 9
CONTINUOUS, EPOCHS, TRIGGER, MEG_KINDS = 1, 3, -1, (1, 301)
ACQUISITIONS = {2: "averages"}
EPOCHS_BYTES = 28  # of their condition: type, rate, length, samples before, averages, count
_STIM, _MISC = 3, 502  # codes of kinds of channels in FIF files, which MNE uses
_DTYPES = {2: "<i2", 4: "<i4"}

members = bids.with_sidecars


@dataclass(frozen=True)
class Entry:
    """An entry of the directory: ``count`` items of ``size`` bytes from ``offset`` on."""

    offset: int
    size: int
    count: int

    @property
    def stop(self) -> int:
        """One past the last byte."""
        return self.offset + self.size * self.count


@dataclass(frozen=True)
class Layout:
    """Where things are in a file, after it was compared with the file's size.

    Parameters
    ----------
    epochs : (int, int, int), optional
        How many there are, samples in each, and how many of those before the event.
    """

    path: Path
    entries: tuple[Entry, ...]
    epochs: tuple[int, int, int] | None = None

    @property
    def data(self) -> Entry:
        """The samples."""
        return self.entries[DATA]

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.entries[CHANNELS].count

    @property
    def samples(self) -> int:
        """Number of samples of each channel."""
        return self.data.count // self.channels

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the stored samples."""
        return np.dtype(_DTYPES[self.data.size])

    def integers(self, start: int, count: int = 1) -> list[int]:
        """Return little-endian integers of 32 bits."""
        found: list[int] = safe.memmap(self.path, np.dtype("<i4"), (count,), start).tolist()
        return found


def sniff(head: bytes, path: Path) -> bool:
    """Tell KIT by its directory, whose first entry is about itself and precedes the second."""
    if len(head) < 2 * ENTRY_BYTES:
        return False
    offset, size, most, count, second = struct.unpack_from("<IiiiI", head)
    sized = (offset, size) == (0, ENTRY_BYTES) and DATA < count <= most <= 256
    return bool(sized and second == ENTRY_BYTES * most)


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a KIT recording as nodes by channel type, with BIDS events.

    Trigger lines stay channels of type TRIG in V. Positions of sensors are in m, in axes to the
    right, anterior and superior. Epochs follow each other on a clock that leaves out the pauses
    between them, and the node ``epochs`` says where each begins; files state no event codes.

    Raises
    ------
    UnreadableError
        When the file is cut, contradicts itself or its side-cars, or holds averages.
    """
    mne = need("mne", EXTRA)
    layout = _layout(raw.main)
    end, size = max(entry.stop for entry in layout.entries), raw.main.stat().st_size
    if end != size:
        raw.warn("directory", f"{size} bytes", f"{end} bytes by its directory")
    info, scale = _header(mne, raw, layout)
    if len(info["chs"]) != layout.channels:
        raise _refusal(raw.main, f"{len(info['chs'])} channels", f"{layout.channels} in the table")
    clock = Clock(float(info["sfreq"]), layout.samples)
    clock.require(raw.name)
    bids.require_clock(raw, declare, clock.rate_hz, clock.n)
    info = {**info, "chs": _chs(layout, info, scale)}
    channels = channels_of(info, raw, declare)
    source = Source(layout.samples, layout.dtype, partial(_block, layout))
    nodes = nodes_of(info, channels, clock, source, raw)
    if layout.epochs is not None:
        nodes["epochs"] = _epochs(layout.epochs, clock.rate_hz)
        raw.warn(
            "epochs", f"{layout.epochs[0]} epochs, which may overlap or leave pauses", "",
            "times count samples of all epochs; cut windows within the node epochs",
        )  # fmt: skip
    return tree_of(root_of(info, channels, raw, declare), nodes, None, clock.n / clock.rate_hz, raw)


def _layout(path: Path) -> Layout:
    size = path.stat().st_size
    if not sniff(safe.read_bytes(path)[:64] if size < 64 else safe.head(path, 64), path):
        raise _refusal(path, "no directory at its start", "a KIT file")
    (count,) = struct.unpack_from("<12xi", safe.head(path, ENTRY_BYTES))
    table = safe.memmap(path, np.dtype("<i4"), (count, 4))
    entries = []
    for number, (offset, length, most, items) in enumerate(table.tolist()):
        entry = Entry(offset & 0xFFFFFFFF, length, items)
        if min(length, items) < 0 or items > most or entry.stop > size:
            found = f"entry {number} of {items} x {length} bytes from {entry.offset} on"
            raise _refusal(path, found, f"at most {most} within {size} bytes")
        entries.append(entry)
    layout = Layout(path, tuple(entries))
    channels, data = layout.entries[CHANNELS], layout.data
    if not channels.count or channels.size < 4 or data.size not in _DTYPES:
        found = f"{channels.count} channels, samples of {data.size} bytes"
        raise _refusal(path, found, "channels, and samples of 2 or 4 bytes")
    if not data.count or data.count % channels.count:
        found = f"{data.count} values of {channels.count} channels"
        raise _refusal(path, found, "as many of each channel")
    condition = layout.entries[CONDITION]
    if condition.stop - condition.offset < 4:
        raise _refusal(path, f"a condition of {condition.stop - condition.offset} bytes", "28")
    kind = layout.integers(condition.offset)[0]
    if kind == EPOCHS:
        return replace(layout, epochs=_epochs_of(layout))
    if kind != CONTINUOUS:
        found = ACQUISITIONS.get(kind, f"acquisition type {kind}")
        hint = "export the continuous recording"
        raise UnreadableError(path.name, found, "a continuous recording or epochs", hint)
    return layout


def _epochs_of(layout: Layout) -> tuple[int, int, int]:
    """Return how many epochs there are, samples in each and how many of those before the event."""
    condition = layout.entries[CONDITION]
    if (found := condition.stop - condition.offset) < EPOCHS_BYTES:
        raise _refusal(layout.path, f"a condition of {found} bytes", f"{EPOCHS_BYTES} of epochs")
    length, before, averages, count = layout.integers(condition.offset + 12, 4)
    if min(length, count) < 1 or not 0 <= before <= length or length * count != layout.samples:
        found_epochs = f"{count} epochs of {length} samples, {before} before the event"
        raise _refusal(layout.path, found_epochs, f"{layout.samples} samples of data")
    if averages > 1:
        raise _refusal(layout.path, f"epochs that are means of {averages}", "single epochs")
    return count, length, before


def _epochs(epochs: tuple[int, int, int], rate_hz: float) -> xr.Dataset:
    count, length, before = epochs
    start_s = np.arange(count, dtype=np.float64) * (length / rate_hz)
    columns: dict[str, npt.NDArray[np.generic]] = {"zero_s": start_s + before / rate_hz}
    return intervals(start_s, [length / rate_hz] * count, ["epoch"] * count, columns)


def _header(mne: Any, raw: Raw, layout: Layout) -> tuple[Any, npt.NDArray[np.float64]]:
    """Return MNE's info, and what a stored 1 means in each channel's unit."""
    data, size = layout.data, raw.main.stat().st_size
    if size - data.count * data.size > HEADER_LIMIT_BYTES:
        found = f"a header of {size - data.count * data.size} bytes"
        raise UnsafeError(raw.name, found, f"at most {HEADER_LIMIT_BYTES}", "export it again")
    whole = safe.memmap(raw.main, np.dtype("u1"), (size,))
    probe = np.repeat(np.array([1, 2], layout.dtype), layout.channels).tobytes()
    pieces = [(0, whole[: data.offset].tobytes()), (data.offset, probe[: data.count * data.size])]
    pieces.append((data.stop, whole[data.stop :].tobytes()))
    if layout.epochs is not None:  # MNE reads the same header as that of a continuous recording
        place = layout.entries[CONDITION].offset
        pieces.append((place, struct.pack("<i", CONTINUOUS)))
        pieces.append((place + 16, struct.pack("<i", layout.samples)))
    outline = Outline(size, pieces)
    with handed(raw.name, {"a.sqd": outline}) as folder:
        warnings.filterwarnings("error", message="Unknown site filter")  # its scale is a guess
        opened = mne.io.read_raw_kit(folder / "a.sqd", stim=None, verbose="warning")
        once = opened[:, 0:1][0][:, 0]
        twice = opened[:, 1:2][0][:, 0] if layout.samples > 1 else 2 * once
        count, info = opened.n_times, opened.info
    if count != layout.samples:
        raise _refusal(raw.main, f"{count} samples in the header", f"{layout.samples} of data")
    if not np.array_equal(twice, 2 * once):
        raise _refusal(raw.main, "a scale that is none", f"samples of {data.size} bytes")
    return info, once


def _chs(layout: Layout, info: Any, scale: npt.NDArray[np.float64]) -> list[dict[str, Any]]:
    """Return MNE's channels with their scales; places of electrodes have no frame and are left."""
    table = layout.entries[CHANNELS]
    chs = []
    for number, ch in enumerate(info["chs"]):
        made = {**ch, "cal": float(scale[number]), "range": 1.0}
        if int(ch["kind"]) not in MEG_KINDS:
            made["loc"] = np.full(12, np.nan)
        kind = layout.integers(table.offset + number * table.size)[0]
        if int(ch["kind"]) == _MISC and kind == TRIGGER:
            made["kind"] = _STIM
        chs.append(made)
    return chs


def _block(layout: Layout, places: Places, first: int, last: int) -> npt.NDArray[Any]:
    shape = (layout.samples, layout.channels)
    data = safe.memmap(layout.path, layout.dtype, shape, layout.data.offset)
    return np.asarray(data[first:last][:, list(places)])


def _refusal(path: Path, found: str, expected: str) -> UnreadableError:
    return UnreadableError(path.name, found, expected, "copy the file again or export it anew")
