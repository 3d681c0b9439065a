"""Extensible Data Format (XDF), as LabRecorder writes it: streams with clocks of their own.

Each stream of samples forms nodes of its own, markers form events. Pyxdf brings the times of all
streams onto one clock: it applies the clock offsets and, of streams with a rate, removes jitter.
Samples are read in place as they are stored.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import UnreadableError, need
from neurodata.readers import bids
from neurodata.readers.channels import OTHER_TYPE, Channel, Clock, kind_of, modality_of
from neurodata.readers.eeglab import TYPES
from neurodata.readers.intervals import intervals
from neurodata.readers.known import known
from neurodata.readers.marks import placed
from neurodata.readers.mne_raw import Places, Source, nodes_of
from neurodata.readers.xdf_chunks import MAGIC, STRING, Piece, Stream, refusal, streams_of, values
from neurodata.readers.xml_elements import Element
from neurodata.safe import Raw
from neurodata.safe_xdf import Stamps, Synced, synced

SUFFIXES = (".xdf",)
EXTRA = "eeg"

MARKERS = ("marker", "markers", "event", "events", "stim", "trigger", "triggers")
RATE_SLACK = 1e-3  # clocks of amplifiers are off by less than a thousandth
PERSONAL = ("hostname", "source_id", "session_id", "uid", "created_at")
CLOCK = ("start_s", "rate_hz", "n")

members = bids.with_sidecars


@dataclass(frozen=True)
class Samples:
    """Where the numbers of a stream are; ``firsts`` has the first sample of each piece and n."""

    path: Path
    channels: int
    dtype: str
    pieces: tuple[Piece, ...]
    firsts: tuple[int, ...]

    def block(self, places: Places, first: int, last: int) -> npt.NDArray[Any]:
        """Return stored samples of some channels, (time, channel)."""
        out = np.empty((last - first, len(places)), np.dtype(self.dtype).newbyteorder("="))
        at = max(0, bisect_right(self.firsts, first) - 1)
        until = bisect_right(self.firsts, last - 1)
        parts = values(self.path, self.pieces[at:until], self.channels, self.dtype)
        for number, part in enumerate(parts, at):
            begin = self.firsts[number]
            low, high = max(first, begin), min(last, self.firsts[number + 1])
            out[low - first : high - first] = part[low - begin : high - begin][:, list(places)]
        return out


def sniff(head: bytes, path: Path) -> bool:
    """Tell XDF by its mark."""
    return head.startswith(MAGIC)


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read an XDF file as nodes by stream and channel type, with markers as events.

    Times count from the first sample of all streams. A stream with a rate has the rate that its
    times show; where it breaks off and goes on, every sample has its time.

    Raises
    ------
    UnreadableError
        When a chunk is damaged, or a stream has fewer samples than its footer says.
    UnsafeError
        When a header's XML has a document type or entities.
    MissingFactError
        When the unit of a channel is neither stated nor declared.
    """
    pyxdf = need("pyxdf", EXTRA)
    if safe.is_gzip(raw.main):
        hint = f"unpack it: gunzip {raw.main.name}"
        raise UnreadableError(raw.name, "a compressed file", "XDF that can be read in place", hint)
    header, streams = streams_of(raw.main)
    there = {number: stream for number, stream in streams.items() if _require_whole(stream, raw)}
    times, said = synced(pyxdf, raw.name, {n: _stamps(stream) for n, stream in there.items()})
    for message in said:
        raw.warn("clock", f"pyxdf says: {message}")
    if not any(_has_samples(stream) for stream in there.values()):
        raise refusal(raw.main, 0, "no stream of samples", "one or more")
    zero_s = min(float(times[number].at_s.min()) for number in there)
    _tell(raw, there, getattr(pyxdf, "__version__", ""))
    nodes: dict[str, xr.Dataset] = {}
    channels: list[Channel] = []
    for number, stream in there.items():
        if _has_samples(stream):
            own, found = _nodes(stream, times[number], zero_s, raw, declare)
            channels += own
            nodes |= {k if k not in nodes else f"{k}_{number}": v for k, v in found.items()}
    end_s = max((_end_s(node) for node in nodes.values()), default=0.0)
    markers = [(s, times[n].at_s - zero_s) for n, s in there.items() if not _has_samples(s)]
    nodes |= placed(_events(raw.main, markers), end_s, raw)
    root: dict[str, Any] = {"modality": modality_of(channels, raw, declare)}
    if header.one("datetime"):
        root["start_zone"] = "unknown"
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={**root, **bids.facts(raw)}), **nodes})


# ---- streams


def _require_whole(stream: Stream, raw: Raw) -> bool:
    """Compare a stream with its footer and say whether it has samples."""
    where = f"stream {stream.number}"
    if stream.footer is None:
        raw.warn(where, "no footer, so that lost chunks would not show", "a recording that ended")
    elif (count := stream.footer.one("sample_count")).isdigit() and int(count) != stream.n:
        found, expected = f"{stream.n} samples", f"{count} by its footer"
        if stream.n < int(count):
            hint = "copy the file again; chunks are lost"
            raise UnreadableError(f"{raw.name}: {where}", found, expected, hint)
        raw.warn(where, found, expected)
    if not stream.n:
        raw.note(where, "no sample, left out")
    return stream.n > 0


def _has_samples(stream: Stream) -> bool:
    """Say whether a stream holds samples of signals, not markers."""
    return stream.dtype != STRING and not (
        stream.rate_hz == 0 and stream.header.one("type").lower() in MARKERS
    )


def _stamps(stream: Stream) -> Stamps:
    offsets = np.array(stream.offsets, "float64").reshape(-1, 2)
    drops = stream.header.one("desc", "synchronization", "can_drop_samples").lower() == "true"
    at_s = np.concatenate(stream.stamps)
    return Stamps(stream.rate_hz, at_s, offsets[:, 0], offsets[:, 1], drops)


def _tell(raw: Raw, streams: dict[int, Stream], version: str) -> None:
    how = "offsets applied, and jitter of streams with a rate removed"
    raw.note("clock", f"{how}, by pyxdf {version}".rstrip())
    if len(streams) > 1 and (bare := [n for n, stream in streams.items() if not stream.offsets]):
        numbers = ", ".join(map(str, bare))
        raw.warn("clock", f"no offsets of the streams {numbers}, kept on their own clocks", "some")
    found = {key for stream in streams.values() for key in PERSONAL if stream.header.one(key)}
    if any(_others(stream.header) for stream in streams.values()):
        found.add("descriptions other than of channels")
    if found:
        raw.note("headers", f"identifying fields, removed: {', '.join(sorted(found))}")


def _others(header: Element) -> bool:
    return any(child.name != "channels" for desc in header.all("desc") for child in desc.children)


# ---- nodes of samples


def _nodes(
    stream: Stream, times: Synced, zero_s: float, raw: Raw, declare: Declared
) -> tuple[list[Channel], dict[str, xr.Dataset]]:
    where, at_s = f"stream {stream.number}", times.at_s - zero_s
    if not (np.diff(at_s) > 0).all():
        raw.warn(where, "times that do not rise, left out", "a time after the other")
        return [], {}
    channels = known(_channels(stream, raw), raw, declare, side_car=False)
    rate_hz = _rate_hz(stream, times, raw)
    clock = Clock(rate_hz or 1.0, stream.n, ((0, float(at_s[0])),))
    clock.require(f"{raw.name}: {where}")
    firsts = (0, *accumulate(piece.count for piece in stream.pieces))
    samples = Samples(raw.main, stream.channels, stream.dtype, tuple(stream.pieces), firsts)
    source = Source(stream.n, np.dtype(stream.dtype), partial(_block, samples))
    found = nodes_of(None, channels, clock, source, raw)
    if rate_hz == 0:
        found = {name: _timed(node, at_s) for name, node in found.items()}
    return channels, found


def _rate_hz(stream: Stream, times: Synced, raw: Raw) -> float:
    """Return the measured rate of a stream without breaks, or 0 where each sample has its time."""
    where = f"stream {stream.number}"
    if not stream.rate_hz or stream.n < 2:
        return stream.rate_hz
    found_hz = times.rate_hz
    if not abs(found_hz - stream.rate_hz) <= RATE_SLACK * stream.rate_hz:
        raw.warn(where, f"{found_hz:g} Hz by its times", f"{stream.rate_hz:g} Hz as it states")
    if len(times.segments) > 1:
        raw.note(where, f"{len(times.segments) - 1} gaps, kept as found in the coordinate time")
        return 0.0
    steps = np.arange(stream.n) / found_hz if found_hz > 0 else np.zeros(stream.n)
    regular = np.abs(times.at_s - times.at_s[0] - steps).max() < 0.5 / stream.rate_hz
    return found_hz if regular and found_hz > 0 else 0.0


def _timed(node: xr.Dataset, at_s: npt.NDArray[np.float64]) -> xr.Dataset:
    kept = {key: value for key, value in node.attrs.items() if key not in CLOCK}
    node = node.assign_coords(time=("time", at_s, {"units": "s"}))
    node.attrs = kept
    return node


def _end_s(node: xr.Dataset) -> float:
    if "time" in node.coords:
        return float(node["time"].values[-1])
    return float(node.attrs["start_s"] + node.attrs["n"] / node.attrs["rate_hz"])


def _block(samples: Samples, places: Places, first: int, last: int) -> npt.NDArray[Any]:
    return samples.block(places, first, last)


def _channels(stream: Stream, raw: Raw) -> list[Channel]:
    """Return channels as their descriptions say; one without a name is called by its number."""
    rows = list(stream.header.all("desc", "channels", "channel"))
    if len(rows) != stream.channels:
        found = f"{len(rows)} descriptions of {stream.channels} channels; named by number"
        raw.note(f"stream {stream.number}", found, "one for each")
        rows = [Element("channel")] * stream.channels
    whole = TYPES.get(stream.header.one("type").upper(), "")
    channels = []
    for place, row in enumerate(rows, 1):
        name = row.one("label") or row.one("name") or f"{stream.header.one('name')} {place}".strip()
        kind = TYPES.get(row.one("type").upper(), "") or kind_of(name)
        kind = whole if kind == OTHER_TYPE and whole else kind
        unit = row.one("unit") or ("1" if kind == "TRIG" else "")
        channels.append(Channel(name, kind, unit, 1.0))
    return channels


# ---- markers


def _events(
    path: Path, markers: Sequence[tuple[Stream, npt.NDArray[np.float64]]]
) -> xr.Dataset | None:
    """Return the markers of all streams, labelled by what they say, with their streams' names."""
    start_s, label, names = list[float](), list[str](), list[str]()
    for stream, at_s in markers:
        texts = ["/".join(row) for row in stream.texts] or _numbers(path, stream)
        start_s += at_s.tolist()
        label += [text.strip() or "marker" for text in texts]
        names += [stream.header.one("name") or f"stream {stream.number}"] * len(texts)
    if not label:
        return None
    columns: dict[str, npt.NDArray[np.generic]] = {"stream": np.array(names, dtype=object)}
    return intervals(np.array(start_s), [np.nan] * len(label), label, columns)


def _numbers(path: Path, stream: Stream) -> list[str]:
    parts = values(path, tuple(stream.pieces), stream.channels, stream.dtype)
    rows = [row for part in parts for row in part.tolist()]
    return ["/".join(str(int(v)) if v == v // 1 else repr(v) for v in row) for row in rows]
