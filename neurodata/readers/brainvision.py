"""BrainVision Core Data Format: text header, binary data and marker file, with BIDS side-cars.

Format: https://www.brainproducts.com/support-resources/brainvision-core-data-format-1-0/. The
header names its data file; only a file beside the header that belongs to the recording is opened.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import UnreadableError
from neurodata.readers import bids, remarks
from neurodata.readers.brainvision_header import (
    Layout,
    Section,
    layout_of,
    positive,
    refusal,
    required,
    sections_of,
    sibling,
    whole,
)
from neurodata.readers.channels import (
    OTHER_TYPE,
    Channel,
    Clock,
    described,
    lazily,
    modality_of,
    timeseries,
)
from neurodata.readers.intervals import intervals
from neurodata.safe import Raw

SUFFIXES = (".vhdr", ".ahdr")
EXTRA = "eeg"

_FIRST_LINE = re.compile(rb"(?:\xef\xbb\xbf)?Brain ?Vision Data Exchange Header File")
_NAMED = re.compile(r"^\s*(?:DataFile|MarkerFile)\s*=\s*(.*?)\s*$", re.MULTILINE | re.IGNORECASE)
_DATE = re.compile(r"\d{20}")
COMMENT = "comment"


@dataclass(frozen=True)
class Marker:
    """One marker; ``sample`` counts from 0, ``channel`` from 1 (0: all of them)."""

    kind: str
    text: str
    sample: int
    points: int
    channel: int
    date: str


def sniff(head: bytes, path: Path) -> bool:
    """Tell a BrainVision header by its first line."""
    return _FIRST_LINE.match(head) is not None


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the header, its data and marker file, and the BIDS side-cars that apply."""
    names = _NAMED.findall(safe.head(path).decode("utf-8", "replace"))
    wanted = {name.replace("$b", path.stem) for name in names}
    wanted |= {f"{path.stem}{suffix}" for suffix in (".eeg", ".dat", ".avg", ".vmrk")}
    beside = [p for p in folder if p != path and p.parent == path.parent and p.name in wanted]
    return (path, *sorted(beside), *bids.sidecars(path, folder))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a BrainVision recording as nodes by channel type, with annotations and BIDS events.

    Integer formats keep their counts in ``signal_adc`` (time, channel) with scale and offset;
    IEEE_FLOAT_32 becomes ``signal`` float32 in SI units, scaled in float64 and rounded once.

    Raises
    ------
    UnreadableError
        When header, data, markers or side-cars contradict each other.
    UnsafeError
        When the header names a file that is not beside it.
    MissingFactError
        When a unit is missing, unknown or contradicted and not declared.
    """
    sections = sections_of(raw.main, raw.name)
    common = sections.get("common infos", {})
    layout = layout_of(raw, sections)
    rate_hz = _rate_hz(raw, common, declare)
    sizes = f" ({layout.path.stat().st_size} bytes of {layout.path.name})"
    bids.require_clock(raw, declare, rate_hz, layout.samples, sizes)
    channels = _channels(raw, sections.get("channel infos", {}), layout.channels, declare)
    markers = _markers(raw, common, layout)
    clock = _clock(raw, rate_hz, layout.samples, markers)
    clock.require(raw.name)
    nodes = _nodes(raw, layout, channels, clock)
    if markers:
        shown = _without_remarks(markers, raw, declare)
        nodes["annotations"] = _annotations(shown, clock, channels)
    end_s = float(clock.at(layout.samples))
    if (events := bids.events(raw, end_s)) is not None:
        nodes["events"] = events
    attrs = {"modality": modality_of(channels, raw, declare), **bids.facts(raw)}
    if any(_dated(marker) for marker in markers):
        attrs["start_zone"] = "unknown"
        raw.note("markers", "date and time of the recording (no zone), removed")
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **nodes})


# channels


def _rate_hz(raw: Raw, common: Section, declare: Declared) -> float:
    if declare.number("rate_hz") is not None:
        return declare.need_number("rate_hz", raw.name, "no rate", "1000")
    text = required(raw.name, common, "SamplingInterval")
    return 1e6 / positive(raw.name, "SamplingInterval", text)  # the header counts microseconds


def _channels(raw: Raw, section: Section, count: int, declare: Declared) -> list[Channel]:
    rows = [_stated(raw.name, section, number) for number in range(1, count + 1)]
    extra = len(section) - count
    names = [channel.name for channel in rows]
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if extra or twice:
        found = f"channels named twice: {twice}" if twice else f"{len(section)} channel lines"
        raise refusal(raw.name, found, f"{count} channels, each with a name of its own")
    table = bids.channel_table(raw, names)
    channels = described(rows, table, raw, declare)
    others = [
        f"{c.name} in {c.units}" for c in channels if c.kind == OTHER_TYPE and c.name in table
    ]
    if others:
        raw.note(
            "type MISC", f"the unit as stated, though it may mean nothing: {', '.join(others)}"
        )
    return channels


def _stated(name: str, section: Section, number: int) -> Channel:
    cells = required(name, section, f"Ch{number}").split(",")
    label, reference, resolution, unit, *_ = [*(cell.strip() for cell in cells), "", "", ""]
    if not label:
        raise refusal(name, f"Ch{number} without a name", "name,reference,resolution,unit")
    where = f"{name}: Ch{number}"
    scale = positive(where, "resolution", resolution) if resolution else 1.0  # the format's default
    reference = reference.replace(r"\1", ",")
    return Channel(label.replace(r"\1", ","), "", unit, scale, reference=reference)


def _nodes(
    raw: Raw, layout: Layout, channels: Sequence[Channel], clock: Clock
) -> dict[str, xr.Dataset]:
    groups: dict[str, list[int]] = {}
    for place, channel in enumerate(channels):
        groups.setdefault(channel.node, []).append(place)
    xyz = bids.positions(raw, [channel.name for channel in channels])
    mains, nodes = bids.mains(raw), {}
    for name, places in groups.items():
        own = [channels[place] for place in places]
        scale = np.array([channel.scale for channel in own])
        dtype = layout.dtype.newbyteorder("=")
        block = partial(_block, layout, tuple(places), scale if dtype.kind == "f" else None)
        data = lazily(layout.samples, 1, len(own), dtype, block)
        nodes[name] = timeseries(data, own, clock, xyz)
        nodes[name].attrs.update(mains)
    return nodes


def _block(
    layout: Layout,
    places: Sequence[int],
    scale: npt.NDArray[np.float64] | None,
    first: int,
    last: int,
) -> npt.NDArray[Any]:
    """Return the samples of some channels, (time, channel), floats in SI units."""
    stored = layout.map()[first:last][:, list(places)]
    if scale is not None:
        stored = stored.astype("float64") * scale
    return stored.astype(layout.dtype.newbyteorder("="))


# markers


def _markers(raw: Raw, common: Section, layout: Layout) -> list[Marker]:
    name = common.get("markerfile", "")
    if not name:
        if path := raw.find(lambda path: path == raw.main.with_suffix(".vmrk")):
            raw.warn("MarkerFile", "no name of a file", f"{path.name}, which is there", "name it")
        return []
    path = sibling(raw, name)
    sections = sections_of(path, path.name)
    stated = sections.get("common infos", {}).get("datafile", "").replace("$b", path.stem)
    if stated and stated != layout.path.name:
        raw.warn(path.name, f"markers of {stated!r}", repr(layout.path.name), "check the pair")
    lines = sections.get("marker infos")
    if lines is None:
        raise refusal(path.name, "no section [Marker Infos]", "one, if only an empty one")
    return [_marker(path.name, key, line, layout) for key, line in lines.items()]


def _marker(name: str, key: str, line: str, layout: Layout) -> Marker:
    where = f"{name}: {key.capitalize()}"
    cells = [cell.strip().replace(r"\1", ",") for cell in line.split(",")]
    kind, text, position, points, channel, date, *_ = [*cells, "", "", "", "", ""]
    sample = whole(where, "position", position, 1) - 1
    if sample >= layout.samples:
        raise UnreadableError(
            where,
            f"sample {position} of {layout.samples} ({layout.path.stat().st_size} bytes)",
            f"at least {int(position) * layout.dtype.itemsize * layout.channels} bytes of data",
            "copy the data file again, or correct the marker",
        )
    number = whole(where, "channel", channel or "0", 0)
    if number > layout.channels:
        raise refusal(where, f"channel {number}", f"at most {layout.channels}")
    return Marker(kind, text, sample, whole(where, "size", points or "0", 0), number, date)


def _dated(marker: Marker) -> bool:
    return bool(_DATE.fullmatch(marker.date)) and marker.date.strip("0") != ""


def _clock(raw: Raw, rate_hz: float, n: int, markers: Sequence[Marker]) -> Clock:
    """Return the clock; where segments are dated, the pauses between them are kept."""
    segments = sorted(
        (m for m in markers if m.kind.lower() == "new segment"), key=lambda m: m.sample
    )
    later = [segment for segment in segments if segment.sample > 0]
    if not later:
        return Clock(rate_hz, n)
    if len(later) == len(segments) or not all(_dated(segment) for segment in segments):
        raw.warn(
            "markers",
            f"{len(later)} new segments without dates: the length of the pauses is not stated",
            "a date of each segment",
            "times count samples and leave the pauses out",
        )
        return Clock(rate_hz, n)
    first = _date_us(raw, segments[0])
    starts = [(0, 0.0), *((s.sample, (_date_us(raw, s) - first) / 1e6) for s in later)]
    clock = Clock(rate_hz, n, starts)
    if not clock.regular:
        raw.note("markers", f"{len(later)} pauses, kept in the coordinate time")
    return clock


def _date_us(raw: Raw, marker: Marker) -> int:
    try:
        day = np.datetime64(f"{marker.date[:4]}-{marker.date[4:6]}-{marker.date[6:8]}", "us")
    except ValueError as error:
        raise refusal(raw.name, f"the date {marker.date}", "YYYYMMDDhhmmssuuuuuu") from error
    hours, minutes, seconds = (int(marker.date[place : place + 2]) for place in (8, 10, 12))
    whole_s = (hours * 60 + minutes) * 60 + seconds
    return int(day.astype("int64")) + whole_s * 1_000_000 + int(marker.date[14:])


def _without_remarks(markers: Sequence[Marker], raw: Raw, declare: Declared) -> list[Marker]:
    """Return the markers; the texts of comments are what people wrote."""
    places = [n for n, marker in enumerate(markers) if marker.kind.casefold() == COMMENT]
    texts = remarks.passed([markers[n].text for n in places], raw, declare, "markers")
    passed = dict(zip(places, texts, strict=True))
    return [replace(marker, text=passed.get(n, marker.text)) for n, marker in enumerate(markers)]


def _annotations(
    markers: Sequence[Marker], clock: Clock, channels: Sequence[Channel]
) -> xr.Dataset:
    start_s = clock.at([marker.sample for marker in markers])
    duration_s = [marker.points / clock.rate_hz for marker in markers]
    label = [f"{m.kind}/{m.text}" if m.text else m.kind for m in markers]
    columns: dict[str, npt.NDArray[np.generic]] = {}
    if any(marker.channel for marker in markers):
        names = ["", *(channel.name for channel in channels)]
        columns["channel"] = np.array([names[m.channel] for m in markers], dtype=object)
    return intervals(start_s, duration_s, label, columns)
