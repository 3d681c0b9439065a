"""Neuroscan continuous files ``.cnt`` (SCAN 3 and 4), of 16 or 32 bits.

Format: https://paulbourke.net/dataformats/eeg/. The stored integers are read in place; a sample
less its baseline, times sensitivity and calibration over 204.8, is in microvolts by the format.
"""

from __future__ import annotations

import math
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
from neurodata.readers.channels import Channel, Clock, modality_of
from neurodata.readers.known import known
from neurodata.readers.marks import coded, placed
from neurodata.readers.mne_raw import Places, Source, nodes_of
from neurodata.safe import Raw

SUFFIXES = (".cnt",)
EXTRA = "eeg"

MAGIC = b"Version 3"
SETUP_BYTES, CHANNEL_BYTES, TABLE_BYTES = 900, 75, 9
SIZE_LIMIT = 2**31 - 1  # the place of the events has 32 bits
STEPS_A_MICROVOLT = 204.8
# personal fields: name, start and length
PERSONAL = (
    ("id", 21, 20), ("operator", 41, 20), ("doctor", 61, 20), ("referral", 81, 20),
    ("hospital", 101, 20), ("patient", 121, 20), ("age", 141, 2), ("medication", 145, 20),
    ("category", 165, 20), ("state", 185, 20), ("label", 205, 20),
    ("start date and time (no zone)", 225, 22),
)  # fmt: skip
EVENT_BYTES = {1: 8, 2: 19, 3: 19}
ACCEPTED, REJECTED = 0xD, 0xC
_EVENT = np.dtype([("stimulus", "<u2"), ("key", "u1"), ("pad", "u1"), ("offset", "<u4")])

members = bids.with_sidecars


@dataclass(frozen=True)
class Layout:
    """Where things are, after they were compared with the file's size.

    Parameters
    ----------
    block : int
        How many samples of a channel stand together before those of the next.
    """

    path: Path
    setup: bytes
    channels: int
    rate_hz: float
    samples: int
    width: int
    block: int
    table: int

    @property
    def start(self) -> int:
        """Byte at which the samples begin."""
        return SETUP_BYTES + CHANNEL_BYTES * self.channels

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the stored samples."""
        return np.dtype(f"<i{self.width}")


def sniff(head: bytes, path: Path) -> bool:
    """Tell Neuroscan by its version; ANT's files of the same suffix are RIFF files."""
    return head.startswith(MAGIC) and len(head) >= SETUP_BYTES


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a continuous Neuroscan file as nodes by channel type, with its events.

    Raises
    ------
    UnreadableError
        When the header contradicts itself, the file's size or the side-cars, or does not tell
        16 from 32 bits.
    """
    layout = _layout(raw)
    clock = Clock(layout.rate_hz, layout.samples)
    clock.require(raw.name)
    bids.require_clock(raw, declare, clock.rate_hz, clock.n)
    channels = known(_channels(layout), raw, declare)
    source = Source(layout.samples, layout.dtype, partial(_block, layout))
    nodes = nodes_of(None, channels, clock, source, raw)
    nodes |= placed(_events(raw, layout), clock.n / clock.rate_hz, raw)
    root: dict[str, Any] = {"modality": modality_of(channels, raw, declare)}
    if (sex := layout.setup[143:144].decode("latin-1").upper()) in ("M", "F"):
        root["sex"] = sex
    removed = [n for n, start, size in PERSONAL if _filled(layout.setup[start : start + size])]
    if removed:
        raw.note("header", f"identifying fields, removed: {', '.join(removed)}")
    if PERSONAL[-1][0] in removed:
        root["start_zone"] = "unknown"
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={**root, **bids.facts(raw)}), **nodes})


def _filled(field: bytes) -> bool:
    return bool(field.strip(b"\0 "))


def _layout(raw: Raw) -> Layout:
    size = raw.main.stat().st_size
    setup = safe.head(raw.main, SETUP_BYTES)
    if not sniff(setup, raw.main):
        raise _refusal(raw, f"{len(setup)} bytes of a header", "900, of Neuroscan version 3")
    channels, rate = struct.unpack_from("<H4xH", setup, 370)
    (stated,) = struct.unpack_from("<i", setup, 864)
    table, seconds, block_bytes = struct.unpack_from("<Ifi", setup, 886)
    start = SETUP_BYTES + CHANNEL_BYTES * channels
    if size > SIZE_LIMIT:
        raise UnreadableError(
            raw.name, f"{size} bytes", "under 2 GiB, where places have 32 bits", "split the file"
        )
    if not channels or not rate or not start < table <= size - TABLE_BYTES:
        found = f"{channels} channels at {rate} Hz, with events at byte {table} of {size}"
        raise _refusal(raw, found, f"channels, and events after byte {start}")
    counts = [stated]
    if math.isfinite(seconds) and 0 < seconds < SIZE_LIMIT:
        counts.append(round(seconds * rate))
    widths = {w: n for w in (2, 4) for n in counts if n > 0 and w * n * channels == table - start}
    if len(widths) != 1:
        found = f"{table - start} bytes for {channels} channels of {stated} samples"
        raise _refusal(raw, found, "2 or 4 bytes each")
    ((width, samples),) = widths.items()
    block = max(1, block_bytes // width) if block_bytes > 1 else 1
    if samples % block or (block_bytes > 1 and block_bytes % width):
        found = f"blocks of {block_bytes} bytes a channel"
        raise _refusal(raw, found, f"whole blocks of {samples} samples")
    return Layout(raw.main, setup, channels, float(rate), samples, width, block, table)


def _channels(layout: Layout) -> list[Channel]:
    whole = safe.head(layout.path, layout.start)
    rows = []
    for number in range(layout.channels):
        start = SETUP_BYTES + CHANNEL_BYTES * number
        row = whole[start : start + CHANNEL_BYTES]
        name = row[:10].partition(b"\0")[0].decode("latin-1").strip()
        (baseline,) = struct.unpack_from("<h", row, 47)
        (sensitivity,) = struct.unpack_from("<f", row, 59)
        (calibration,) = struct.unpack_from("<f", row, 71)
        scale = sensitivity * calibration / STEPS_A_MICROVOLT
        rows.append((Channel(name, "", "uV", scale, -baseline * scale), bool(row[14])))
    marked = any(bad for _, bad in rows)
    return [
        Channel(c.name, c.kind, c.units, c.scale, c.offset, "", "bad" if bad else "good")
        if marked
        else c
        for c, bad in rows
    ]


def _block(layout: Layout, places: Places, first: int, last: int) -> npt.NDArray[Any]:
    shape = (layout.samples // layout.block, layout.channels, layout.block)
    data = safe.memmap(layout.path, layout.dtype, shape, layout.start)
    low, high = first // layout.block, -(-last // layout.block)
    rows = data[low:high][:, list(places)].transpose(0, 2, 1).reshape(-1, len(places))
    return np.asarray(rows[first - low * layout.block : last - low * layout.block])


def _events(raw: Raw, layout: Layout) -> xr.Dataset | None:
    """Return stimuli and responses, labelled by their codes."""
    size = layout.path.stat().st_size - layout.table
    head = safe.memmap(layout.path, np.dtype("u1"), (TABLE_BYTES,), layout.table).tobytes()
    kind, length, begin = struct.unpack("<Bii", head)
    wanted = TABLE_BYTES + max(begin, 0) + length
    width = EVENT_BYTES.get(kind, 0)
    if not width or begin < 0 or length < 0 or length % width or wanted > size:
        found = f"{length} bytes of events of kind {kind} in {size}"
        raise _refusal(raw, found, "whole events of kind 1, 2 or 3 inside the file")
    if wanted < size:
        raw.note("events", f"{size - wanted} bytes after the events")
    if not length:
        return None
    place = layout.table + TABLE_BYTES + begin
    table = safe.memmap(layout.path, np.dtype("u1"), (length // width, width), place)
    rows = np.ascontiguousarray(table[:, :8]).view(_EVENT).reshape(-1)
    if kind == 3:  # some programs take the place as a sample, some as that plus the header
        raw.warn(
            "events", f"{len(rows)} of kind 3, left out", "kind 1 or 2, whose places are known"
        )
        return None
    sample, rest = np.divmod(rows["offset"].astype("i8") - layout.start,
                             layout.width * layout.channels)  # fmt: skip
    if rest.any():
        raw.warn("events", f"{int((rest != 0).sum())} between two samples", "places of samples")
    return coded(sample / layout.rate_hz, rows["stimulus"].astype("i8"), _labels(rows))


def _labels(rows: npt.NDArray[Any]) -> list[str]:
    labels = []
    for stimulus, key, pad, _ in rows.tolist():
        accept, button = divmod(pad, 16)
        if button:
            labels.append(f"keypad {button}")
        elif key:
            labels.append(f"key {key}")
        else:
            labels.append({ACCEPTED: "accepted", REJECTED: "rejected"}.get(accept, str(stimulus)))
    return labels


def _refusal(raw: Raw, found: str, expected: str) -> UnreadableError:
    return UnreadableError(raw.name, found, expected, "copy the file again or export it anew")
