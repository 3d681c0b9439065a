"""EGI (Net Station) folders ``.mff``: signals in blocks, their stretches, physiology and events.

Samples are read in place as the stored floats. Pauses between stretches stay gaps of the clock.
Signals of the net are microvolts where the folder states their calibration (GCAL); else the unit
is declared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import UnreadableError
from neurodata.readers import bids, xml_elements
from neurodata.readers.channels import Channel, Clock, kind_of
from neurodata.readers.egi_blocks import Blocks, blocks_of
from neurodata.readers.intervals import intervals
from neurodata.readers.known import known
from neurodata.readers.marks import placed
from neurodata.readers.mne_raw import Source, nodes_of
from neurodata.readers.xml_elements import Element
from neurodata.safe import Raw

SUFFIXES = ("info.xml",)
EXTRA = "eeg"

MARK = b"http://www.egi.com/info_mff"
NET, PHYSIOLOGY = "EEG", "PNSData"
NET_TYPES = ("0", "1")  # electrodes, and the reference
MICROSECOND_S, NANOSECOND_S = 1e-6, 1e-9
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)")


def sniff(head: bytes, path: Path) -> bool:
    """Tell the folder's ``info.xml`` by its name space."""
    return head.lstrip(b"\xef\xbb\xbf \r\n")[:1] == b"<" and MARK in head


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return ``info.xml``, all other files of its folder, and the folder's BIDS side-cars."""
    inside = [p for p in folder if p != path and p.is_relative_to(path.parent)]
    side_cars = bids.sidecars(path.parent, folder)
    return (path, *sorted(inside), *(p for p in side_cars if p not in inside))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read an MFF folder as nodes by channel type, with its events.

    Raises
    ------
    UnreadableError
        When a file lacks, signals, stretches and sensors contradict each other, or it is segmented.
    UnsafeError
        When an XML file has a document type or entities.
    MissingFactError
        When a unit is not stated, not known and not declared.
    """
    if raw.find(lambda path: path.name == "categories.xml") is not None:
        found, expected = (
            "a segmented or averaged folder (categories.xml)",
            "a continuous recording",
        )
        raise UnreadableError(raw.name, found, expected, "ingest the recording it was made from")
    info = _xml(raw, "info.xml")
    signals = _signals(raw)
    blocks, about = signals[NET]
    starts, second, begin_s = _stretches(raw, blocks)
    clock = Clock(blocks.rate_hz, blocks.n, starts)
    clock.require(raw.name)
    bids.require_clock(raw, declare, clock.rate_hz, clock.n)
    if len(starts) > 1:
        raw.note("epochs.xml", f"{len(starts) - 1} gaps, kept as found in the coordinate time")
    physiology = signals.get(PHYSIOLOGY)
    stated = _net(raw, blocks, about)
    count = len(stated)
    if physiology is not None:
        stated += _physiology(raw, physiology[0])
    channels = known(stated, raw, declare)
    source = Source(blocks.n, np.dtype("<f4"), partial(_block, blocks))
    nodes = nodes_of(None, channels[:count], clock, source, raw)
    if physiology is not None:
        nodes |= _physiology_nodes(raw, physiology[0], blocks, clock, channels[count:], nodes)
    recorded = info.one("recordTime")
    events = _events(raw, recorded, begin_s, second == NANOSECOND_S)
    nodes |= placed(events, float(clock.at(clock.n)), raw)
    removed = [p.name for p in raw.files if p.name in ("subject.xml", "history.xml", "notes.xml")]
    if removed:
        raw.note("folder", f"identifying files, removed: {', '.join(sorted(removed))}")
    root = {"modality": declare.text("modality") or "eeg", **_started(recorded)}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={**root, **bids.facts(raw)}), **nodes})


# ---- the folder's files


def _xml(raw: Raw, name: str) -> Element:
    path = raw.find(lambda p: p.name == name and p.parent == raw.main.parent)
    if path is None:
        raise UnreadableError(raw.name, f"no {name} beside it", "a whole folder", "copy it again")
    return xml_elements.parse(safe.read_bytes(path), name)


def _signals(raw: Raw) -> dict[str, tuple[Blocks, Element]]:
    """Return the signals of the net and of physiology, and what the folder says about each."""
    found: dict[str, tuple[Blocks, Element]] = {}
    for path in raw.files:
        match = re.fullmatch(r"signal(\d+)\.bin", path.name)
        if match is None or path.parent != raw.main.parent:
            continue
        about = _xml(raw, f"info{match[1]}.xml")
        for kind in (NET, PHYSIOLOGY):
            if next(about.all("generalInformation", "fileDataType", kind), None) is not None:
                if kind in found:
                    found_twice = f"two signals of kind {kind}"
                    raise UnreadableError(raw.name, found_twice, "one", "export it again")
                found[kind] = (blocks_of(path), about)
                break
        else:
            raw.warn(path.name, "a signal of another kind, left out", f"{NET} or {PHYSIOLOGY}")
    if NET not in found:
        raise UnreadableError(raw.name, "no signal of the net", "signal1.bin", "copy it again")
    return found


def _number(element: Element, name: str, where: str) -> int:
    text = element.one(name)
    if not re.fullmatch(r"-?\d{1,19}", text):
        raise UnreadableError(
            f"{where}: {name}", repr(text), "a whole number", "export the folder again"
        )
    return int(text)


def _stretches(raw: Raw, blocks: Blocks) -> tuple[list[tuple[int, float]], float, float]:
    """Return first sample and second of each stretch, the folder's unit of time, and its start.

    The unit is not stated: it is that in which the lengths of all stretches are those of the data.
    """
    where, rows = "epochs.xml", list[tuple[int, int, int]]()
    ends = np.cumsum([0, *blocks.counts])
    expected = 1
    for epoch in _xml(raw, where).all("epoch"):
        first, last = (_number(epoch, key, where) for key in ("firstBlock", "lastBlock"))
        begin, end = (_number(epoch, key, where) for key in ("beginTime", "endTime"))
        if first != expected or not first <= last <= len(blocks.counts) or not 0 <= begin < end:
            found = f"blocks {first} to {last} from {begin} to {end}"
            raise UnreadableError(where, found, f"blocks from {expected} on", "export it again")
        rows.append((int(ends[first - 1]), begin, end))
        expected = last + 1
    if expected != len(blocks.counts) + 1:
        found = f"stretches of {expected - 1} blocks"
        raise UnreadableError(where, found, f"{len(blocks.counts)} by the signal", "copy it again")
    lengths = np.diff([*(sample for sample, _, _ in rows), blocks.n])
    for second in (MICROSECOND_S, NANOSECOND_S):
        stated = np.array([(end - begin) * second for _, begin, end in rows]) * blocks.rate_hz
        if (np.abs(stated - lengths) <= 1).all():
            zero = rows[0][1]
            return [(n, (begin - zero) * second) for n, begin, _ in rows], second, zero * second
    found = f"stretches of {[end - begin for _, begin, end in rows][:5]}"
    raise UnreadableError(where, found, f"those of {lengths.tolist()[:5]} samples", "copy it again")


# ---- channels


def _net(raw: Raw, blocks: Blocks, about: Element) -> list[Channel]:
    names = []
    layout = _xml(raw, "sensorLayout.xml")
    for sensor in layout.all("sensors", "sensor"):
        if sensor.one("type") in NET_TYPES:
            name = sensor.one("name")
            names.append(f"E{sensor.one('number')}" if name in ("", "None") else name)
    if len(names) != blocks.channels:
        found = f"{len(names)} sensors of the net"
        expected = f"{blocks.channels} by the signal"
        raise UnreadableError("sensorLayout.xml", found, expected, "copy the folder again")
    if raw.find(lambda path: path.name == "coordinates.xml") is not None:
        raw.note("coordinates.xml", "positions without a unit; left out", "electrodes.tsv")
    gains = _gains(about, blocks)
    return [
        Channel(name, "EEG", "uV" if number in gains else "", gains.get(number, 1.0))
        for number, name in enumerate(names, 1)
    ]


def _gains(about: Element, blocks: Blocks) -> dict[int, float]:
    """Return what a stored number is multiplied by, by channel from 1; nothing if not stated."""
    for calibration in about.all("calibrations", "calibration"):
        if calibration.one("type") != "GCAL":
            continue
        found: dict[int, float] = {}
        for ch in calibration.all("channels", "ch"):
            try:
                found[int(ch.attributes.get("n", ""))] = float(ch.text)
            except ValueError as error:
                what = f"the gain {ch.text!r} of channel {ch.attributes.get('n')!r}"
                hint = "export the folder again"
                raise UnreadableError("GCAL", what, "numbers", hint) from error
        if found and not 1 <= min(found) <= max(found) <= blocks.channels:
            what = f"gains of the channels {min(found)} to {max(found)}"
            raise UnreadableError("GCAL", what, f"1 to {blocks.channels}", "export it again")
        return found
    return {}


def _physiology(raw: Raw, blocks: Blocks) -> list[Channel]:
    channels = []
    for sensor in _xml(raw, "pnsSet.xml").all("sensors", "sensor"):
        name = sensor.one("name")
        channels.append(Channel(name, kind_of(name), sensor.one("unit"), 1.0))
    if len(channels) != blocks.channels:
        found, expected = f"{len(channels)} sensors", f"{blocks.channels} by the signal"
        raise UnreadableError("pnsSet.xml", found, expected, "copy the folder again")
    return channels


def _physiology_nodes(
    raw: Raw,
    blocks: Blocks,
    net: Blocks,
    clock: Clock,
    channels: Sequence[Channel],
    taken: dict[str, xr.Dataset],
) -> dict[str, xr.Dataset]:
    """Return the nodes of physiology, whose last block may lack a sample."""
    same = blocks.counts[:-1] == net.counts[:-1] and len(blocks.counts) == len(net.counts)
    if not same or net.n - blocks.n not in (0, 1) or blocks.rate_hz != net.rate_hz:
        found = f"{blocks.n} samples of physiology at {blocks.rate_hz:g} Hz"
        raise UnreadableError(raw.name, found, f"{net.n} as of the net", "copy the folder again")
    if blocks.n != net.n:
        raw.warn("signals", "physiology lacks the last sample", "as many as the net")
    source = Source(blocks.n, np.dtype("<f4"), partial(_block, blocks))
    found_nodes = nodes_of(None, channels, replace(clock, n=blocks.n), source, raw)
    return {f"{k}_pns" if k in taken else k: node for k, node in found_nodes.items()}


def _block(blocks: Blocks, places: tuple[int, ...], first: int, last: int) -> Any:
    return blocks.samples(places, first, last)


# ---- times and events


def _started(recorded: str) -> dict[str, str]:
    match = _TIME.fullmatch(recorded)
    if match is None:
        return {"start_zone": "unknown"} if recorded else {}
    zone = match[3] if match[3] == "Z" or ":" in match[3] else f"{match[3][:3]}:{match[3][3:]}"
    return {"start_time": f"{match[1]}{f'.{match[2]}' if match[2] else ''}{zone}"}


def _nanoseconds(text: str) -> int | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    try:
        whole = datetime.fromisoformat(f"{match[1]}{match[3].replace('Z', '+00:00')}")
    except ValueError:
        return None
    return int(whole.timestamp()) * 10**9 + int((match[2] or "0").ljust(9, "0"))


def _events(raw: Raw, recorded: str, begin_s: float, lengths: bool) -> xr.Dataset | None:
    """Return the events of all tracks, labelled by their codes; free texts stay behind."""
    zero, texts = _nanoseconds(recorded), False
    start_s, duration_s, label = list[float](), list[float](), list[str]()
    for path in raw.files:
        if not (path.name.startswith("Events") and path.suffix == ".xml"):
            continue
        for event in _xml(raw, path.name).all("event"):
            at = _nanoseconds(event.one("beginTime"))
            if at is None or zero is None:
                found = f"an event at {event.one('beginTime')!r} of a start at {recorded!r}"
                raise UnreadableError(path.name, found, "times with a zone", "export it again")
            start_s.append((at - zero) / 10**9 - begin_s)
            length = _number(event, "duration", path.name) if event.one("duration") else 0
            duration_s.append(length * NANOSECOND_S if lengths else np.nan)
            label.append(event.one("code") or "event")
            texts = texts or bool(event.one("label") or event.one("description"))
            texts = texts or any(event.all("keys", "key"))
    if texts:
        raw.note("events", "labels, descriptions and keys of events, removed: codes are kept")
    if label and not lengths:
        raw.note("events", "lengths of events, left out: their unit is not known", "nanoseconds")
    return intervals(np.array(start_s), duration_s, label) if label else None
