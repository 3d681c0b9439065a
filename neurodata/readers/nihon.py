"""Nihon Kohden ``.EEG`` recordings, with names of electrodes (``.21E``) and events (``.LOG``).

Samples are read in place as the stored integers: microvolts, and millivolts of DC inputs, over
the ranges of the amplifiers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.readers import bids, remarks
from neurodata.readers.channels import OTHER_TYPE, Channel, Clock, modality_of
from neurodata.readers.intervals import intervals
from neurodata.readers.known import known
from neurodata.readers.marks import placed
from neurodata.readers.mne_raw import Places, Source, nodes_of
from neurodata.readers.nihon_header import (
    ELECTRODES,
    HEAD_BYTES,
    SIGN_AT,
    Layout,
    electrodes_of,
    is_nihon,
    layout_of,
    logged,
)
from neurodata.safe import Raw

SUFFIXES = (".eeg",)
EXTRA = "eeg"

NAMES, LOG, PATIENT = ".21e", ".log", ".pnt"
BESIDE = (NAMES, LOG, PATIENT, ".cmt", ".cn2", ".cn3", ".11d", ".bft", ".reg", ".egf")
DC_CODES = frozenset((*range(42, 74), 76, 77))
EEG_RANGE, DC_RANGE, STEPS = (-3200.0, 3199.902), (-12002.9, 12002.56), 65535
CLOCK_SLACK_S = 1.0  # blocks state their start to the second


def sniff(head: bytes, path: Path) -> bool:
    """Tell a recording by its device, stated twice, and the mark of its block of samples."""
    if not is_nihon(head):
        return False
    whole = safe.head(path, HEAD_BYTES)
    beside = path.suffix.lower() in BESIDE
    return not beside and len(whole) >= HEAD_BYTES and whole[SIGN_AT] == 1


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the recording, the files of its name beside it, and its BIDS side-cars."""
    beside = [
        p
        for p in folder
        if p.parent == path.parent and p.stem == path.stem and p.suffix.lower() in BESIDE
    ]
    return (path, *sorted(beside), *bids.sidecars(path, folder))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a Nihon Kohden recording as nodes by channel type, with its events.

    Raises
    ------
    UnreadableError
        When blocks, their channels and the file's size contradict each other.
    """
    layout = layout_of(raw.main)
    clock = Clock(layout.rate_hz, layout.n, _starts(layout, raw))
    clock.require(raw.name)
    bids.require_clock(raw, declare, clock.rate_hz, clock.n)
    channels = known(_channels(layout, raw), raw, declare)
    source = Source(layout.n, np.dtype("<u2"), partial(_block, layout))
    nodes = nodes_of(None, channels, clock, source, raw)
    raw.note("data", "the recorder's own column of marks, left out")
    nodes |= placed(_events(layout, raw, declare), float(clock.at(clock.n)), raw)
    removed = ["start date and time (no zone)"]
    if _beside(raw, PATIENT) is not None:
        removed.append("the file of the patient (.PNT)")
    raw.note("header", f"identifying fields, removed: {', '.join(removed)}")
    root = {"modality": modality_of(channels, raw, declare), "start_zone": "unknown"}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={**root, **bids.facts(raw)}), **nodes})


def _beside(raw: Raw, suffix: str) -> Path | None:
    return raw.find(lambda p: p.suffix.lower() == suffix and p.stem == raw.main.stem)


def _starts(layout: Layout, raw: Raw) -> list[tuple[int, float]]:
    """Return first sample and second of each block; later ones start at their stated second."""
    starts, n, end_s = [(0, 0.0)], layout.blocks[0].samples, 0.0
    first = layout.blocks[0].begun
    for block in layout.blocks[1:]:
        end_s = starts[-1][1] + (n - starts[-1][0]) / layout.rate_hz
        stated_s = -1.0
        if first is not None and block.begun is not None:
            stated_s = (block.begun - first).total_seconds()
        if stated_s < end_s - CLOCK_SLACK_S:
            raw.warn("data", f"a block of sample {n} on without a possible start", "a later one")
        starts.append((n, max(stated_s, end_s)))
        n += block.samples
    if len(starts) > 1:
        raw.warn(
            "data", f"{len(starts)} blocks, whose starts are stated to the second",
            "one block", "cut windows within one block",
        )  # fmt: skip
    return starts


def _channels(layout: Layout, raw: Raw) -> list[Channel]:
    path = _beside(raw, NAMES)
    names = electrodes_of(path) if path is not None else {}
    if path is None:
        raw.warn("channels", "no .21E file; electrodes named as the recorder does by itself")
    channels = []
    for code in layout.codes:
        default = ELECTRODES[code] if code < len(ELECTRODES) else f"code {code}"
        low, high = DC_RANGE if code in DC_CODES else EEG_RANGE
        kind, unit = (OTHER_TYPE, "mV") if code in DC_CODES else ("", "uV")
        name = names.get(code) or default
        channels.append(Channel(name, kind, unit, (high - low) / STEPS, low))
    return channels


def _block(layout: Layout, places: Places, first: int, last: int) -> npt.NDArray[Any]:
    out, begin = np.empty((last - first, len(places)), "u2"), 0
    for block in layout.blocks:
        low, high = max(first, begin), min(last, begin + block.samples)
        if low < high:
            shape = (block.samples, len(layout.codes) + 1)
            data = safe.memmap(layout.path, np.dtype("<u2"), shape, block.start)
            out[low - first : high - first] = data[low - begin : high - begin][:, list(places)]
        begin += block.samples
    return out


def _events(layout: Layout, raw: Raw, declare: Declared) -> xr.Dataset | None:
    path = _beside(raw, LOG)
    if path is None:
        return None
    if len(layout.blocks) > 1:
        raw.warn(path.name, "events of a recording in blocks, left out", "those of one block")
        return None
    size = path.stat().st_size
    rows = [(at_s, _text(text, raw)) for at_s, text in logged(path)] if size else []
    if not rows:  # a recorder writes down at least when it started
        raw.warn(path.name, f"no event in {size} bytes", "the start of the recording at least",
                 "copy the file again")  # fmt: skip
        return None
    start_s = np.array([at_s for at_s, _ in rows])
    label = remarks.passed([text or "event" for _, text in rows], raw, declare, "events")
    return intervals(start_s, [np.nan] * len(rows), label)


def _text(text: bytes, raw: Raw) -> str:
    try:
        return text.decode("utf-8").replace("\0", "").strip()
    except UnicodeDecodeError:
        raw.warn("events", "text that is not UTF-8, read as Latin-1")
        return text.decode("latin-1").replace("\0", "").strip()
