"""European Data Format: EDF, EDF+ (continuous or with gaps) and BioSemi's 24-bit BDF.

Formats: https://www.edfplus.info/specs/edf.html, https://www.edfplus.info/specs/edfplus.html and
https://www.biosemi.com/faq/file_format.htm. The stored integers are kept and read on demand.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.declare import Declared
from neurodata.readers import bids, remarks
from neurodata.readers.channels import Channel, Clock, described, lazily, modality_of, timeseries
from neurodata.readers.edf_header import MAGIC, Header, Signal, read_header, refusal
from neurodata.readers.intervals import intervals
from neurodata.safe import Raw

SUFFIXES = (".edf", ".bdf", ".rec")
EXTRA = "eeg"

_DATE = re.compile(rb"[ 0-9.:]{16}")
# One time-stamped annotation list: onset, duration, texts (EDF+ specification, 2.2.2)
_TAL = re.compile(rb"([+-]\d{1,12}(?:\.\d*)?)(?:\x15(\d{0,12}(?:\.\d*)?))?\x14(.*)\x14", re.DOTALL)
_SLAB_RECORDS = 4096

members = bids.with_sidecars


def sniff(head: bytes, path: Path) -> bool:
    """Tell EDF and BDF by the version field and the form of the date field."""
    return head[:8] in MAGIC and len(head) >= 256 and bool(_DATE.fullmatch(head[168:184]))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read an EDF, EDF+ or BDF file as nodes of ``signal_adc`` (time, channel) and annotations.

    Channels are sorted into the nodes ``eeg``, ``ieeg``, ``physio`` and ``misc`` by type, and
    rates that differ give nodes of their own (``eeg_1hz``). Times count from the first sample.

    Raises
    ------
    UnreadableError
        When the header contradicts itself, the file's size or the side-cars.
    MissingFactError
        When a unit is missing or unknown and not declared.
    """
    header = read_header(raw)
    onsets, annotations = _annotations(header, raw, declare)
    clock = _records_clock(header, onsets, raw)
    signals = _distinct(header, raw)
    channels = _channels(signals, raw, declare)
    nodes = _nodes(header, clock, signals, channels, raw, declare)
    end_s = float(clock.at(clock.n))
    if annotations is not None:
        late = int((annotations["start_s"] > end_s).sum())
        if late:
            raw.warn("annotations", f"{late} after the last sample", f"up to {end_s:g} s")
        nodes["annotations"] = annotations
    if (events := bids.events(raw, end_s)) is not None:
        nodes["events"] = events
    root = xr.Dataset(attrs=_root(header, channels, raw, declare))
    return xr.DataTree.from_dict({"/": root, **nodes})


# annotations and the clock of data records


def _annotations(
    header: Header, raw: Raw, declare: Declared
) -> tuple[list[float], xr.Dataset | None]:
    """Return the onset of each record (as stated) and the annotations, from the first sample."""
    onsets: list[float] = []
    start_s: list[float] = []
    duration_s: list[float] = []
    label: list[str] = []
    plain = not header.reserved.startswith(("EDF+", "BDF+"))
    if plain or not header.notes:
        return onsets, None
    for record, channel, at_s, length_s, texts in _lists(header, raw):
        if channel == 0 and len(onsets) == record and not texts[0]:
            onsets.append(at_s)
        found = [_label(text, raw) for text in texts if text]
        start_s += [at_s] * len(found)
        duration_s += [length_s] * len(found)
        label += found
    if len(onsets) != header.records:
        lack, expected = f"a time in {len(onsets)} records", f"in all {header.records}"
        if header.reserved[3:5] != "+C":
            raise refusal(raw.name, lack, expected)
        raw.warn("annotations", f"{lack}; taken as continuous, as the header says", expected)
        onsets = onsets[:1]
    if not label:
        return onsets, None
    first_s = onsets[0] if onsets else 0.0
    return onsets, intervals(
        np.array(start_s) - first_s, duration_s, remarks.passed(label, raw, declare)
    )


def _lists(header: Header, raw: Raw) -> Iterator[tuple[int, int, float, float, list[bytes]]]:
    for first in range(0, header.records, _SLAB_RECORDS):
        slab = header.bytes_of(first, min(first + _SLAB_RECORDS, header.records))
        for i, record in enumerate(slab):
            for channel, signal in enumerate(header.notes):
                for item in record[signal.start : signal.stop].tobytes().split(b"\0"):
                    if item:
                        yield first + i, channel, *_list(item, first + i, raw)


def _list(item: bytes, record: int, raw: Raw) -> tuple[float, float, list[bytes]]:
    match = _TAL.fullmatch(item)
    if match is None:
        raise refusal(
            f"{raw.name}: record {record}", f"the annotation {item[:40]!r}", "+onset, texts"
        )
    duration_s = float(match[2]) if match[2] and match[2] != b"." else math.nan
    return float(match[1]), duration_s, match[3].split(b"\x14")


def _label(text: bytes, raw: Raw) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raw.warn("annotations", "text that is not UTF-8, read as Latin-1")
        return text.decode("latin-1")


def _records_clock(header: Header, onsets: Sequence[float], raw: Raw) -> Clock:
    """Return the clock of data records: one stretch where no record is late."""
    slack_s = 0.5 * header.record_s / max(signal.samples for signal in header.signals)
    starts = [(0, 0.0)]
    for record in range(1, len(onsets)):
        late_s = onsets[record] - onsets[record - 1] - header.record_s
        if late_s < -slack_s:
            where, expected_s = f"{raw.name}: record {record}", onsets[record] - late_s
            raise refusal(where, f"a start at {onsets[record]} s", f"at least {expected_s:g} s")
        if late_s > slack_s:
            starts.append((record, onsets[record] - onsets[0]))
    if len(starts) > 1:
        gaps = f"{len(starts) - 1} gaps, kept as found in the coordinate time"
        if header.reserved[3:5] == "+C":
            raw.warn("data records", f"{gaps}, though the header says continuous", "no gap")
        else:
            raw.note("data records", gaps)
    elif header.reserved[3:5] == "+D":
        if not onsets:
            raise refusal(raw.name, "gaps by the header and no times of records", "annotations")
        raw.note("data records", "no gap, though the header allows some")
    return Clock(1 / header.record_s, header.records, starts)


# channels


def _distinct(header: Header, raw: Raw) -> list[Signal]:
    """Return the signals, those that repeat another's label and samples left out."""
    first: dict[str, Signal] = {}
    clashing = []
    for signal in header.signals:
        if signal.label not in first:
            first[signal.label] = signal
        elif _same(header, first[signal.label], signal):
            raw.warn(f"channel {signal.label!r}", "a second time with equal samples; left out")
        else:
            clashing.append(signal.label)
    if clashing:
        raise refusal(raw.name, f"labels twice, with other samples: {clashing}", "unique labels")
    if "" in first:
        raise refusal(raw.name, "a signal without a label", "labels")
    return list(first.values())


def _same(header: Header, one: Signal, other: Signal) -> bool:
    if replace(one, start=0, stop=0) != replace(other, start=0, stop=0):
        return False
    step = max(1, 2**24 // header.record_bytes)
    for record in range(0, header.records, step):
        slab = header.bytes_of(record, record + step)
        if not np.array_equal(slab[:, one.start : one.stop], slab[:, other.start : other.stop]):
            return False
    return True


def _channels(signals: Sequence[Signal], raw: Raw, declare: Declared) -> list[Channel]:
    table = bids.channel_table(raw, [signal.label for signal in signals])
    channels = described([_stated(signal) for signal in signals], table, raw, declare)
    inverted = [s.label for s in signals if s.scale < 0]
    if inverted:
        raw.note("physical range", f"inverted, so the scale is negative: {', '.join(inverted)}")
    return channels


def _stated(signal: Signal) -> Channel:
    if signal.label == "Status" and signal.unit == "Boolean":  # BioSemi's trigger bits
        return Channel(signal.label, "TRIG", "1", signal.scale, signal.offset)
    return Channel(signal.label, "", signal.unit, signal.scale, signal.offset)


# nodes


def _nodes(
    header: Header,
    records: Clock,
    signals: Sequence[Signal],
    channels: Sequence[Channel],
    raw: Raw,
    declare: Declared,
) -> dict[str, xr.Dataset]:
    counts = Counter((c.node, s.samples) for c, s in zip(channels, signals, strict=True))
    usual = {node: samples for (node, samples), _ in sorted(counts.items(), key=lambda i: i[1])}
    xyz = bids.positions(raw, [channel.name for channel in channels])
    nodes = {}
    for node, samples in counts:
        members = [
            (c, s)
            for c, s in zip(channels, signals, strict=True)
            if (c.node, s.samples) == (node, samples)
        ]
        clock = _samples_clock(records, samples)
        clock.require(raw.name)
        name = node
        if samples != usual[node]:
            name = f"{node}_{clock.rate_hz:.9g}hz"
            raw.note(f"node {name}", "channels at a rate of their own")
        own = [channel for channel, _ in members]
        data = _samples(header, [signal for _, signal in members])
        nodes[name] = timeseries(data, own, clock, xyz)
        nodes[name].attrs.update(bids.mains(raw))
    _require_side_car(records, usual, raw, declare)
    return nodes


def _samples_clock(records: Clock, samples: int) -> Clock:
    starts = [(record * samples, start_s) for record, start_s in records.starts]
    return Clock(samples * records.rate_hz, samples * records.n, starts)


def _require_side_car(records: Clock, usual: dict[str, int], raw: Raw, declare: Declared) -> None:
    main = next((usual[node] for node in ("eeg", "ieeg") if node in usual), max(usual.values()))
    clock = _samples_clock(records, main)
    bids.require_clock(raw, declare, clock.rate_hz, clock.n)


def _samples(header: Header, signals: Sequence[Signal]) -> da.Array:
    spans = tuple((signal.start, signal.stop) for signal in signals)
    dtype = "int16" if header.width == 2 else "int32"
    read = partial(_block, header, spans)
    return lazily(header.records, signals[0].samples, len(signals), dtype, read)


def _block(
    header: Header, spans: Sequence[tuple[int, int]], first: int, last: int
) -> npt.NDArray[Any]:
    """Return the samples of some signals of one rate in some records, (time, channel)."""
    slab = header.bytes_of(first, last)
    stored = np.stack([slab[:, start:stop] for start, stop in spans], axis=1)
    samples = _integers(stored, header.width)  # (record, channel, sample)
    return samples.transpose(0, 2, 1).reshape(-1, len(spans))


def _integers(stored: npt.NDArray[np.uint8], width: int) -> npt.NDArray[Any]:
    """Return little-endian integers of 2 or 3 bytes; the bytes lie along the last axis."""
    if width == 2:
        return stored.view("<i2")
    wide = np.zeros((*stored.shape[:-1], stored.shape[-1] // 3, 4), "u1")
    wide[..., 1:] = stored.reshape(*wide.shape[:-1], 3)
    return wide.view("<i4")[..., 0] >> 8


def _root(
    header: Header, channels: Sequence[Channel], raw: Raw, declare: Declared
) -> dict[str, Any]:
    modality = modality_of(channels, raw, declare)
    attrs: dict[str, Any] = {"modality": modality, "start_zone": "unknown"}
    fields = header.patient.split()
    if header.reserved.startswith(("EDF+", "BDF+")) and len(fields) > 1 and fields[1] in ("M", "F"):
        attrs["sex"] = fields[1]
    removed = {"patient": header.patient, "recording": header.recording}
    personal = [key for key, text in removed.items() if set(text.split()) - {"X", "F", "M"}]
    raw.note(
        "header",
        f"identifying fields, removed: {', '.join(f'{key} identification' for key in personal)}"
        + (", " if personal else "")
        + "start date and time (no zone)",
    )
    return {**attrs, **bids.facts(raw)}
