"""Neuralynx folders: continuous channels (.ncs), spikes (.nse, .ntt) and events (.nev).

All such files of a folder are one recording; times count from its first time stamp. Gaps between
records stay gaps in time. Headers name folders and dates; none of that is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.declare import Declared, missing
from neurodata.errors import UnreadableError, need
from neurodata.readers import bids, remarks
from neurodata.readers.channels import Channel, timeseries
from neurodata.readers.delimited import text_array
from neurodata.readers.lacking import all_of
from neurodata.readers.neo_raw import EXTRA, Events, event_node, modality, node_name, pieces
from neurodata.readers.neuralynx_records import (
    RECORDS,
    Continuous,
    Stored,
    continuous,
    samples_of,
    stored,
    times_us,
)
from neurodata.readers.spike_rows import Block, grouped, spikes
from neurodata.safe import Raw, start
from neurodata.units import to_si

__all__ = ["EXTRA", "SUFFIXES", "members", "read", "sniff"]

SUFFIXES = (".ncs", ".nse", ".ntt", ".nev")
MAGIC = b"######## Neuralynx"
FOREIGN = (b"NEURALEV", b"BREVENTS")  # Blackrock's .nev
NODE = "ieeg"
BLOCK_RECORDS = 2**16
OWN_EVENTS = (11, 19)  # that the recorder writes itself: digital inputs, starts and stops


def sniff(head: bytes, path: Path) -> bool:
    """Tell Neuralynx files by the first line of their header.

    Examples
    --------
    >>> sniff(b"######## Neuralynx Data File Header", Path("CSC1.ncs"))
    True
    """
    return head.startswith(MAGIC)


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return all Neuralynx files of the folder with the first of them, and the file alone else.

    A folder is one recording, whose main file is the first by name. Files that only their names
    claim belong to it too, so that damage shows.
    """
    beside = [p for p in folder if p.parent == path.parent and p.suffix.lower() in SUFFIXES]
    heads = {p: _head(p) for p in beside}
    first = min(p for p in [path, *beside] if p == path or heads[p] == MAGIC)
    if first != path:
        return (path,)
    return (path, *sorted(p for p in beside if p != path and heads[p][:8] not in FOREIGN))


def _head(path: Path) -> bytes:
    return start(path, len(MAGIC))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a folder as ``ieeg`` (``signal_adc``, time and channel), ``spikes`` and ``events``.

    Channels whose time stamps differ from those of the others give nodes of their own.

    Raises
    ------
    UnreadableError
        When headers, records and lengths contradict each other.
    MissingFactError
        When a header lacks the volts of a step and no unit is declared.
    """
    need("neo", extra=EXTRA)
    files = [stored(raw, path) for path in raw.files if path.suffix.lower() in SUFFIXES]
    files = files or [stored(raw, raw.main)]
    empty = [file.path.name for file in files if not file.records]
    if len(empty) == len(files):
        raise UnreadableError(raw.name, "headers without records", "records", "copy it again")
    if empty:
        raw.note("", f"files without records: {', '.join(empty)}")
    full = [file for file in files if file.records]
    signals = [continuous(raw, file) for file in full if file.kind == "ncs"]
    origin_us = _origin_us(raw, full, signals)
    ends_us = [one.end_us for one in signals]
    end_s = (max(ends_us) - origin_us) / 1e6 if ends_us else None
    nodes = _signals(raw, signals, origin_us, declare)
    trains = [file for file in full if file.kind in ("nse", "ntt")]
    if trains:
        nodes["spikes"] = _spikes(raw, trains, origin_us, end_s)
    marks = [file for file in full if file.kind == "nev"]
    if marks:
        nodes["events"] = event_node(_events(raw, marks, origin_us, declare), raw, end_s)
    raw.note("headers", "names of files and folders, dates (no zone) and serial numbers, removed")
    attrs = {"modality": modality(raw, declare, bool(signals)), "start_zone": "unknown"}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={**attrs, **bids.facts(raw)}), **nodes})


def _origin_us(raw: Raw, files: Sequence[Stored], signals: Sequence[Continuous]) -> int:
    """Return the first time stamp, that of samples where there are any."""
    if signals:
        return min(one.starts[0][1] for one in signals)
    return min(int(times_us(raw, file).min()) for file in files)


# samples


def _signals(
    raw: Raw, signals: Sequence[Continuous], origin_us: int, declare: Declared
) -> dict[str, xr.Dataset]:
    channels = all_of(partial(_channel, one.file, raw, declare) for one in signals)
    names = _distinct([channel.name for channel in channels], [one.file for one in signals], raw)
    groups: dict[tuple[str, float], list[int]] = {}
    for place, one in enumerate(signals):
        groups.setdefault((one.digest, one.rate_hz), []).append(place)
    nodes: dict[str, xr.Dataset] = {}
    for places in sorted(groups.values(), key=len, reverse=True):
        own, first = [signals[place] for place in places], signals[places[0]]
        clock = first.clock(origin_us)
        clock.require(raw.name)
        name = node_name(NODE, names[places[0]]) if nodes else NODE
        if name in nodes:
            raise UnreadableError(raw.name, f"two nodes {name!r}", "unlike names of channels", "")
        if nodes:
            raw.note(f"node {name}", "channels with time stamps of their own")
        if not clock.regular:
            found = f"{len(first.starts) - 1} gaps, kept in the coordinate time"
            raw.note(f"node {name}", found)
        paths = tuple(one.file.path for one in own)
        block = partial(samples_of, paths, first.file.records)
        data = pieces(first.valid, len(own), "int16", block)
        described = [_named(channels[place], names[place]) for place in places]
        nodes[name] = timeseries(data, described, clock)
    return nodes


def _channel(file: Stored, raw: Raw, declare: Declared) -> Channel:
    """Return a channel; a declared unit is that of a step where the header states no volts."""
    if file.scale_v is not None:
        return Channel(file.name, "", "V", file.scale_v)
    where, spelling = f"{raw.name}: {file.path.name}", declare.units(file.name)
    if spelling is None:
        fact = f"units.{file.name}=a.u."
        raise missing(where, "no ADBitVolts: its samples are not calibrated", "a unit", fact)
    unit = to_si(spelling, where, file.name)
    return Channel(file.name, "", unit.symbol, unit.factor)


def _named(channel: Channel, name: str) -> Channel:
    return Channel(name, channel.kind, channel.units, channel.scale, channel.offset)


def _distinct(names: Sequence[str], files: Sequence[Stored], raw: Raw) -> list[str]:
    """Return names, those of the files where headers repeat a name."""
    twice = {name for name, times in Counter(names).items() if times > 1}
    if not twice:
        return list(names)
    raw.warn("headers", f"several channels called {', '.join(sorted(twice))}", "names of their own")
    return [
        f"{name}_{file.path.stem}" if name in twice else name
        for name, file in zip(names, files, strict=True)
    ]


# spikes and events


def _spikes(raw: Raw, files: Sequence[Stored], origin_us: int, end_s: float | None) -> xr.Dataset:
    """Return the units of all electrodes; unit 0 of each holds what was not sorted."""
    names = _distinct([file.name for file in files], files, raw)
    rows: dict[tuple[int, int], int] = {}
    counts: list[int] = []
    for place, file in enumerate(files):
        own, sizes = np.unique(file.map()["unit"], return_counts=True)
        for unit, size in zip(own.tolist(), sizes.tolist(), strict=True):
            rows[place, unit] = len(rows)
            counts.append(size)
    found = grouped(counts, _blocks(raw, files, rows, origin_us), {})
    times = found.columns["time_s"]
    inside = end_s is not None and times.min() >= 0 and times.max() <= end_s
    if end_s is not None and not inside:
        raw.warn("spikes", f"times from {times.min():g} to {times.max():g} s", f"0 to {end_s:g} s")
    columns: dict[str, npt.NDArray[np.generic]] = {
        "electrode": text_array([names[place] for place, _ in rows]),
        "sorted": np.array([unit > 0 for _, unit in rows]),
    }
    raw.note("spikes", "waveforms and features: left out")
    ids = [f"{names[place]}_{unit}" for place, unit in rows]
    return spikes(found, ids, raw, (0.0, end_s) if inside and end_s is not None else None, columns)


def _blocks(
    raw: Raw, files: Sequence[Stored], rows: dict[tuple[int, int], int], origin_us: int
) -> Iterator[Block]:
    for place, file in enumerate(files):
        at_us, records = times_us(raw, file), file.map()
        for first in range(0, file.records, BLOCK_RECORDS):
            part = slice(first, first + BLOCK_RECORDS)
            units, which = np.unique(records["unit"][part], return_inverse=True)
            row = np.array([rows[place, unit] for unit in units.tolist()])[which]
            yield row, {"time_s": (at_us[part] - origin_us) / 1e6}


def _events(raw: Raw, files: Sequence[Stored], origin_us: int, declare: Declared) -> Events:
    start_s = np.concatenate([(times_us(raw, file) - origin_us) / 1e6 for file in files])
    records = np.concatenate([np.asarray(file.map()) for file in files]).astype(RECORDS["nev"])
    label = [text.split(b"\0")[0].decode("latin-1").strip() for text in records["text"].tolist()]
    typed = np.flatnonzero(~np.isin(records["event"], OWN_EVENTS)).tolist()
    for place, text in zip(
        typed, remarks.passed([label[n] for n in typed], raw, declare, "events"), strict=True
    ):
        label[place] = text
    columns: dict[str, npt.NDArray[np.generic]] = {
        "event": records["event"].astype("int32"), "ttl": records["ttl"].astype("int32"),
    }  # fmt: skip
    return Events(start_s, [text or "event" for text in label], columns)
