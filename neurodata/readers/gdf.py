"""General Data Format for biosignals (GDF), versions 1 to 3, as BioSig, g.tec or OpenViBE write it.

The stored numbers are kept and read on demand; units are those that the header codes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.declare import Declared
from neurodata.readers import bids
from neurodata.readers.channels import Channel, Clock, described, lazily, modality_of, timeseries
from neurodata.readers.gdf_header import (
    MAGIC,
    Events,
    Header,
    Signal,
    read_events,
    read_header,
    refusal,
)
from neurodata.readers.intervals import intervals
from neurodata.readers.marks import placed
from neurodata.safe import Raw

SUFFIXES = (".gdf",)
EXTRA = "eeg"

SPARSE, SEGMENT = 0x7FFF, 0x7FFE  # codes of events: a sample of its own, a start after a pause
Scaling = tuple[tuple[float, float], ...]

members = bids.with_sidecars


def sniff(head: bytes, path: Path) -> bool:
    """Tell GDF by its version field."""
    return MAGIC.match(head) is not None and len(head) >= 256


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a GDF file as nodes by channel type, with its events.

    Channels of another rate or of another kind of numbers form nodes of their own. Events keep
    their codes, lengths and channels.

    Raises
    ------
    UnreadableError
        When the header contradicts itself, the file's size or the side-cars.
    MissingFactError
        When a unit is not specified or not known and not declared.
    """
    header = read_header(raw)
    signals = _distinct(header, raw)
    table = bids.channel_table(raw, [signal.label for signal in signals])
    channels = described([_stated(signal) for signal in signals], table, raw, declare)
    nodes = _nodes(header, signals, channels, raw, declare)
    end_s = header.records * header.record_s
    events = read_events(header, raw)
    nodes |= placed(None if events is None else _marks(events, header, raw), end_s, raw)
    if header.extra:
        raw.note("header", "a third header of free fields, left out")
    root: dict[str, Any] = {"modality": modality_of(channels, raw, declare)}
    if header.sex:
        root["sex"] = header.sex
    if header.personal:
        raw.note("header", f"identifying fields, removed: {', '.join(header.personal)}")
    if any(field.startswith("start date") for field in header.personal):
        root["start_zone"] = "unknown"
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={**root, **bids.facts(raw)}), **nodes})


# channels


def _distinct(header: Header, raw: Raw) -> list[Signal]:
    signals = [signal for signal in header.signals if signal.samples]
    if sparse := [signal.label for signal in header.signals if not signal.samples]:
        raw.warn("channels", f"sampled at single moments, left out: {', '.join(sparse)}")
    labels = [signal.label for signal in signals]
    if "" in labels:
        raise refusal(raw.name, "a channel without a label", "labels")
    if not (many := sorted({label for label in labels if labels.count(label) > 1})):
        return signals
    raw.warn("labels", f"several times, numbered from 0 on: {', '.join(many)}", "unique labels")
    numbered, seen = list[Signal](), Counter[str]()
    for signal in signals:
        name = f"{signal.label}-{seen[signal.label]}" if signal.label in many else signal.label
        seen[signal.label] += 1
        if name in labels and name != signal.label:
            raise refusal(raw.name, f"labels {signal.label!r} twice and {name!r}", "unique labels")
        numbered.append(replace(signal, label=name))
    return numbered


def _stated(signal: Signal) -> Channel:
    return Channel(signal.label, "", signal.unit, signal.scale, signal.offset)


# nodes


def _nodes(
    header: Header,
    signals: Sequence[Signal],
    channels: Sequence[Channel],
    raw: Raw,
    declare: Declared,
) -> dict[str, xr.Dataset]:
    groups: dict[tuple[str, int, bool], list[tuple[Channel, Signal]]] = {}
    for channel, signal in zip(channels, signals, strict=True):
        key = (channel.node, signal.samples, "f" in signal.dtype)
        groups.setdefault(key, []).append((channel, signal))
    usual = Counter({key: len(found) for key, found in groups.items()}).most_common()
    xyz = bids.positions(raw, [channel.name for channel in channels])
    nodes: dict[str, xr.Dataset] = {}
    for (node, samples, floats), _ in usual:
        own = groups[node, samples, floats]
        clock = Clock(samples / header.record_s, samples * header.records)
        clock.require(raw.name)
        name = _name(node, clock, floats, nodes)
        if name != node:
            raw.note(f"node {name}", "channels at a rate or of a type of number of their own")
        data = _samples(header, own, floats)
        nodes[name] = timeseries(data, [channel for channel, _ in own], clock, xyz)
        nodes[name].attrs.update(bids.mains(raw))
    main = max(signal.samples for signal in signals)
    bids.require_clock(raw, declare, main / header.record_s, main * header.records)
    return nodes


def _name(node: str, clock: Clock, floats: bool, taken: dict[str, xr.Dataset]) -> str:
    rated = f"{node}_{clock.rate_hz:.9g}hz"
    names = (node, rated, f"{rated}_{'float' if floats else 'integer'}")
    return next(name for name in names if name not in taken)


def _samples(header: Header, own: Sequence[tuple[Channel, Signal]], floats: bool) -> da.Array:
    spans = tuple((signal.start, signal.stop, signal.dtype) for _, signal in own)
    wide = [np.dtype("i4" if dtype[-1] == "3" else dtype) for _, _, dtype in spans]
    dtype = np.result_type(*wide).newbyteorder("=")
    scaling = tuple((c.scale, c.offset) for c, _ in own) if floats else ()
    read = partial(_block, header, spans, dtype.str, scaling)
    return lazily(header.records, own[0][1].samples, len(own), dtype, read)


def _block(
    header: Header,
    spans: Sequence[tuple[int, int, str]],
    dtype: str,
    scaling: Scaling,
    first: int,
    last: int,
) -> npt.NDArray[Any]:
    """Return the samples of some channels of one rate in some records, (time, channel)."""
    slab = header.bytes_of(first, last)
    columns = [
        _numbers(np.ascontiguousarray(slab[:, start:stop]), kind).astype(dtype).reshape(-1)
        for start, stop, kind in spans
    ]
    values = np.stack(columns, axis=1)
    if not scaling or all(pair == (1.0, 0.0) for pair in scaling):
        return values
    factor, shift = np.array(scaling, "float64").T
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray((values.astype("float64") * factor + shift).astype(dtype))


def _numbers(stored: npt.NDArray[np.uint8], dtype: str) -> npt.NDArray[Any]:
    if dtype[-1] != "3":
        return stored.view(dtype)
    wide = np.zeros((len(stored), stored.shape[1] // 3, 4), "u1")
    wide[..., 1:] = stored.reshape(len(stored), -1, 3)
    if dtype == "u3":
        return (wide.view("<u4")[..., 0] >> 8).astype("i4")
    return wide.view("<i4")[..., 0] >> 8


# events


def _marks(events: Events, header: Header, raw: Raw) -> xr.Dataset | None:
    kept = events.code != SPARSE
    if not kept.any():
        return None
    rates = {signal.samples / header.record_s for signal in header.signals if signal.samples}
    rate_hz = events.rate_hz or max(rates)
    if not events.rate_hz:
        if len(rates) > 1:
            raw.warn("events", f"{int(kept.sum())} without a rate, left out", "samples a second")
            return None
        raw.note("events", f"no rate of their own; counted at the channels' {rate_hz:g} Hz")
    if (events.code == SEGMENT).any():
        raw.warn(
            "events", f"{int((events.code == SEGMENT).sum())} starts after a pause", "",
            "times count samples and leave the pauses out; their length is not stated",
        )  # fmt: skip
    names = ["", *(signal.label for signal in header.signals)]
    if (events.channel >= len(names)).any():
        found = f"an event of channel {int(events.channel.max())}"
        raise refusal(raw.name, found, f"up to {len(names) - 1}")
    code, columns = events.code[kept], dict[str, npt.NDArray[np.generic]]()
    columns["code"] = code
    if events.channel[kept].any():
        columns["channel"] = np.array([names[i] for i in events.channel[kept]], dtype=object)
    return intervals(
        events.sample[kept] / rate_hz, list(events.length[kept] / rate_hz),
        [str(number) for number in code.tolist()], columns,
    )  # fmt: skip
