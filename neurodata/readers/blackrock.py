"""Blackrock (Cerebus) recordings: samples (.ns1 to .ns6), and spikes and events (.nev).

Files of one stem are one recording. Times count from the first sample; every block of samples, or
every packet that is late, begins a stretch of its own, so that pauses stay pauses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import UnreadableError, need
from neurodata.readers import bids, remarks
from neurodata.readers.blackrock_packets import Marks, Sampled, marks, sampled
from neurodata.readers.channels import Channel, Clock, lazily, timeseries, unit_of
from neurodata.readers.delimited import text_array
from neurodata.readers.lacking import all_of
from neurodata.readers.neo_raw import EXTRA, Events, event_node, modality
from neurodata.readers.spike_rows import Block, grouped, spikes
from neurodata.safe import Raw, start

__all__ = ["EXTRA", "SUFFIXES", "members", "read", "sniff"]

SUFFIXES = (".ns1", ".ns2", ".ns3", ".ns4", ".ns5", ".ns6", ".nev")
SAMPLES = (b"NEURALCD", b"BRSMPGRP", b"NEURALSG")
EVENTS = (b"NEURALEV", b"BREVENTS")
FOREIGN = b"########"  # Neuralynx's .nev
NODE = "ieeg"
LAST_ELECTRODE, COMMENT = 2048, 0xFFFF
NOISE = 255
BLOCK_PACKETS = 2**18


def sniff(head: bytes, path: Path) -> bool:
    """Tell Blackrock's files by their first eight bytes.

    Examples
    --------
    >>> sniff(b"NEURALEV" + bytes(400), Path("a.nev")), sniff(b"NEURAL", Path("a.nev"))
    (True, False)
    """
    return head[:8] in (*SAMPLES, *EVENTS) and len(head) > 16


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return all files of the stem with the first of them, and the file alone else.

    Files that only their names claim belong to it too, so that damage shows.
    """
    beside = [p for p in folder if p.parent == path.parent and p.stem == path.stem]
    heads = {p: _magic(p) for p in beside if p.suffix.lower() in SUFFIXES}
    first = min(p for p in [path, *heads] if p == path or heads[p] in (*SAMPLES, *EVENTS))
    if first != path:
        return (path,)
    return (path, *sorted(p for p in heads if p != path and heads[p] != FOREIGN))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a recording as ``ieeg`` (``signal_adc``, time and channel), ``spikes`` and ``events``.

    The file of the highest rate gives ``ieeg``, others nodes of their own (``ieeg_ns2``).

    Raises
    ------
    UnknownFormatError
        When a file is of specification 2.1.
    UnreadableError
        When headers, blocks, packets and lengths contradict each other.
    MissingFactError
        When a unit is missing or unknown and not declared.
    """
    need("neo", extra=EXTRA)
    heads = {path: _magic(path) for path in raw.files}
    for path, magic in heads.items():
        if magic not in (*SAMPLES, *EVENTS):
            where = path.relative_to(raw.root).as_posix()
            raise UnreadableError(where, repr(magic), "a header of Blackrock's", "copy it again")
    signals = [sampled(raw, path) for path in raw.files if heads[path] in SAMPLES]
    found = [marks(raw, path) for path in raw.files if heads[path] in EVENTS]
    if not signals and not any(len(one.packets) for one in found):
        raise UnreadableError(raw.name, "no samples and no packets", "some", "copy it again")
    origin_s = _origin_s(signals, found)
    nodes, end_s = _signals(raw, signals, origin_s, declare)
    for one in found:
        nodes.update(_marks(raw, one, origin_s, end_s, declare))
    raw.note("headers", "comments, applications and dates (no zone), removed")
    attrs = {"modality": modality(raw, declare, bool(signals)), "start_zone": "unknown"}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={**attrs, **bids.facts(raw)}), **nodes})


def _magic(path: Path) -> bytes:
    return start(path, 8)


def _origin_s(signals: Sequence[Sampled], found: Sequence[Marks]) -> float:
    """Return the recorder's time of the first sample, or of the first packet."""
    if signals:
        return min(one.blocks[0].at / one.ticks_hz for one in signals)
    return min(int(one.packets["at"].min()) / one.ticks_hz for one in found if len(one.packets))


# samples


def _signals(
    raw: Raw, signals: Sequence[Sampled], origin_s: float, declare: Declared
) -> tuple[dict[str, xr.Dataset], float | None]:
    nodes: dict[str, xr.Dataset] = {}
    ends_s = []
    for one in sorted(signals, key=lambda item: (-item.rate_hz, item.path.name)):
        where = one.path.relative_to(raw.root).as_posix()
        clock = one.clock(where, round(origin_s * one.ticks_hz))
        clock.require(where)
        name = f"{NODE}_{one.path.suffix[1:].lower()}" if nodes else NODE
        data = lazily(one.n, 1, len(one.channels), "int16", one.read)
        nodes[name] = timeseries(data, _channels(raw, one, declare), clock)
        ends_s.append(_end_s(clock))
        if not clock.regular:
            raw.note(f"node {name}", f"{len(clock.starts) - 1} gaps, kept in the coordinate time")
    return nodes, max(ends_s) if ends_s else None


def _end_s(clock: Clock) -> float:
    return float(clock.at(clock.n))


def _channels(raw: Raw, one: Sampled, declare: Declared) -> list[Channel]:
    where = f"{raw.name}: {one.path.name}"
    labels = [_text(row["electrode_label"]) for row in one.channels]
    names = [
        label or f"elec{row['electrode_id']}"
        for label, row in zip(labels, one.channels, strict=True)
    ]
    twice = {name for name, times in Counter(names).items() if times > 1}
    if twice:
        raw.warn("labels", f"several channels called {', '.join(sorted(twice))}", "unlike names")
        names = [f"{n}_{place}" if n in twice else n for place, n in enumerate(names)]
    return all_of(
        partial(_channel, name, row, where, declare)
        for name, row in zip(names, one.channels, strict=True)
    )


def _channel(name: str, row: Any, where: str, declare: Declared) -> Channel:
    low, high = float(row["min_digital_val"]), float(row["max_digital_val"])
    bottom, top = float(row["min_analog_val"]), float(row["max_analog_val"])
    if low >= high or bottom == top:
        found = f"digital {low:g} to {high:g} for analog {bottom:g} to {top:g}"
        raise UnreadableError(f"{where}: {name}", found, "ranges that are not empty", "")
    scale = (top - bottom) / (high - low)
    unit = unit_of(name, _text(row["units"]), "", declare, where)
    offset = (bottom - low * scale) * unit.factor
    return Channel(name, "", unit.symbol, scale * unit.factor, offset)


def _text(value: bytes) -> str:
    return bytes(value).split(b"\0")[0].decode("latin-1").strip()


# spikes and events


def _marks(
    raw: Raw, one: Marks, origin_s: float, end_s: float | None, declare: Declared
) -> dict[str, xr.Dataset]:
    ids = np.asarray(one.packets["id"])
    nodes: dict[str, xr.Dataset] = {}
    is_spike = (ids >= 1) & (ids <= LAST_ELECTRODE)
    if is_spike.any():
        nodes["spikes"] = _spikes(raw, one, is_spike, origin_s, end_s)
    is_event = (ids == 0) | (ids == COMMENT)
    if is_event.any():
        nodes["events"] = event_node(_events(one, is_event, origin_s, raw, declare), raw, end_s)
    left = int((~is_spike & ~is_event).sum())
    if left:
        raw.note("packets", f"{left} of video, tracking or configuration, left out")
    return nodes


def _spikes(
    raw: Raw, one: Marks, chosen: npt.NDArray[np.bool_], origin_s: float, end_s: float | None
) -> xr.Dataset:
    """Return the units of all electrodes: 0 what was not sorted, 255 noise."""
    code = one.packets["id"][chosen].astype("int64") * 256 + one.packets["kind"][chosen]
    codes, row, counts = np.unique(code, return_inverse=True, return_counts=True)
    at_s = one.packets["at"][chosen].astype("f8") / one.ticks_hz - origin_s
    found = grouped(counts, _blocks(row, at_s), {})
    times = found.columns["time_s"]
    inside = end_s is not None and times.min() >= 0 and times.max() <= end_s
    if end_s is not None and not inside:
        raw.warn("spikes", f"times from {times.min():g} to {times.max():g} s", f"0 to {end_s:g} s")
    unit, electrode = codes % 256, codes // 256
    kinds = np.where(unit == 0, "unsorted", np.where(unit == NOISE, "noise", "sorted"))
    columns: dict[str, npt.NDArray[np.generic]] = {
        "electrode": electrode, "group": text_array(kinds.tolist()),
    }  # fmt: skip
    raw.note("spikes", "waveforms: left out")
    ids = [f"{a}_{b}" for a, b in zip(electrode.tolist(), unit.tolist(), strict=True)]
    span_s = (0.0, end_s) if inside and end_s is not None else None
    return spikes(found, ids, raw, span_s, columns)


def _blocks(row: npt.NDArray[np.int64], at_s: npt.NDArray[np.float64]) -> Iterator[Block]:
    for first in range(0, row.size, BLOCK_PACKETS):
        part = slice(first, first + BLOCK_PACKETS)
        yield row[part], {"time_s": at_s[part]}


def _events(
    one: Marks, chosen: npt.NDArray[np.bool_], origin_s: float, raw: Raw, declare: Declared
) -> Events:
    packets = np.asarray(one.packets[chosen])
    start_s = packets["at"].astype("f8") / one.ticks_hz - origin_s
    label, comments = list[str](), list[str]()
    for packet in packets:
        if packet["id"] == COMMENT:
            wide = packet["kind"] == 1
            text = bytes(packet["rest"])[2:]
            text = text + b"\0" * (len(text) % 2) if wide else text
            decoded = text.decode("utf-16-le" if wide else "latin-1", "replace")
            comments.append(decoded.split("\0")[0].strip() or "comment")
            label.append("")
        else:
            label.append("serial input" if packet["kind"] & 128 else "digital input")
    texts = iter(remarks.passed(comments, raw, declare, "events"))
    label = [text or next(texts) for text in label]
    columns: dict[str, npt.NDArray[np.generic]] = {
        "value": np.where(packets["id"] == COMMENT, -1, packets["input"].astype("int32"))
    }
    return Events(start_s, label, columns)
