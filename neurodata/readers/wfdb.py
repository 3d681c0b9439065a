"""PhysioNet's WFDB: a header (.hea), the sample files that it names and annotations (.atr, ...).

Formats: https://physionet.org/physiotools/wag/header-5.htm, signal-5.htm and annot-5.htm. The
stored integers are kept and read on demand; segments without samples stay gaps in time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from neurodata.declare import MODALITY, Declared, missing
from neurodata.errors import need
from neurodata.readers import bids
from neurodata.readers.channels import Channel, described
from neurodata.readers.lacking import all_of
from neurodata.readers.wfdb_header import (
    NULL,
    Header,
    Stated,
    header_of,
    is_header,
    names_in,
    refusal,
    stated_facts,
)
from neurodata.readers.wfdb_notes import ANNOTATORS, annotated
from neurodata.readers.wfdb_samples import EXTRA, Column, Segment, stored_segment, verify
from neurodata.readers.wfdb_traces import Trace, nodes_of
from neurodata.safe import Raw

__all__ = ["EXTRA", "SUFFIXES", "members", "read", "sniff"]

SUFFIXES = (".hea",)
DEFAULT_UNIT = "mV"  # header(5): a gain without a unit is one of ADC units a millivolt
OLDEST_YEARS = 90.0
# Leads of the electrocardiogram as PhysioNet's databases name them: standard, chest, right
# chest, Frank's, and modified leads.
_LEAD = re.compile(
    r"(?:lead )?(?:I{1,3}|aV[RLF]|V[1-9]?R?|V[XYZ]|ML(?:I{1,3}|5)|MCL ?[1-6])"
    r"|.*\b(?:ECG|EKG)\d*\b.*",
    re.IGNORECASE,
)
_PPG = re.compile(r"PLETH|PPG", re.IGNORECASE)
_MODALITY = (("ieeg", {"ECOG", "SEEG", "DBS"}), ("eeg", {"EEG"}), ("ecg", {"ECG"}))


def sniff(head: bytes, path: Path) -> bool:
    """Tell a WFDB header by its record line and the first line after it."""
    return is_header(head)


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the header, the segments and sample files that it names, and its annotations."""
    beside = {p.name: p for p in folder if p != path and p.parent == path.parent}
    names, segments = names_in(path)
    for name in segments:
        header = beside.get(f"{name}.hea")
        if header is not None:
            names += [header.name, *names_in(header)[0]]
    names += [f"{path.stem}.{suffix}" for suffix in ANNOTATORS]
    found = {beside[name] for name in names if name in beside}
    return (path, *sorted(found), *bids.sidecars(path, folder))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a WFDB record as nodes of ``signal_adc`` (time, channel), and its annotations.

    Channels are sorted into the nodes ``eeg``, ``physio`` and ``misc`` by type; rates that
    differ give nodes of their own (``physio_4hz``). Samples that the file marks as invalid, and
    those of a channel that a segment lacks, are False in ``observed``. Segments whose gains
    differ give ``signal`` in SI units, NaN where nothing was observed.

    Raises
    ------
    UnreadableError
        When header, samples, checksums or annotations contradict each other.
    UnsafeError
        When a header names a file that is not the recording's.
    MissingFactError
        When a rate, a gain, a unit or the modality is not stated and not declared.
    """
    need("wfdb", extra=EXTRA)
    header = header_of(raw.main, raw.name)
    segments = _segments(raw, header)
    rate_hz = _rate_hz(raw, header, declare)
    traces = _traces(raw, segments, declare)
    marked = verify(raw, segments)
    nodes = nodes_of(raw, segments, traces, rate_hz, marked)
    frames = segments[-1].at + segments[-1].frames
    nodes.update(_annotations(raw, rate_hz, frames, [t.channel.name for t in traces], declare))
    attrs = {"modality": _modality(traces, raw, declare), **_facts(raw, header)}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **nodes})


# segments


def _segments(raw: Raw, header: Header) -> list[Segment]:
    if not header.segments:
        return [stored_segment(raw, _distinct(raw, header), header.frames, 0)]
    total = sum(frames for _, frames in header.segments)
    if header.frames not in (None, total):
        raise refusal(header.where, f"{header.frames} samples", f"{total}, those of its segments")
    found, at = [], 0
    for name, frames in header.segments:
        if name != NULL and frames:
            found.append(_segment(raw, header, name, frames, at))
        at += frames
    if not found:
        raise refusal(header.where, "no segment with samples", "at least one")
    names = [{signal.name for signal, _ in segment.columns} for segment in found]
    if header.segments[0][1] and names.count(names[0]) < len(names):
        every = {name for own in names for name in own}
        found_names = sorted(name for name in every if not all(name in own for own in names))
        raise refusal(header.where, f"{found_names} in some segments only", "the same in all")
    if at > found[-1].at + found[-1].frames:
        raw.note("segments", "a gap at the end; the record ends with its last sample")
    return found


def _segment(raw: Raw, master: Header, name: str, frames: int, at: int) -> Segment:
    path = raw.sibling(f"{name}.hea")
    header = header_of(path, f"{raw.name}: {path.name}")
    if path == raw.main or header.segments:
        raise refusal(header.where, "a segment that has segments", "one of samples")
    if header.frames not in (None, frames):
        raise refusal(header.where, f"{header.frames} samples", f"{frames}, as its record says")
    if master.rate_hz and header.rate_hz not in (None, master.rate_hz):
        raise refusal(header.where, f"{header.rate_hz} Hz", f"{master.rate_hz}, as its record says")
    return stored_segment(raw, _distinct(raw, header), frames, at)


def _distinct(raw: Raw, header: Header) -> Header:
    """Return a header whose signals have names, each its own."""
    names: list[str] = []
    for number, signal in enumerate(header.signals, 1):
        name = base = signal.name or f"signal {number}"
        again = 2
        while name in names:
            name, again = f"{base}_{again}", again + 1
        names.append(name)
    changed = [n for n, s in zip(names, header.signals, strict=True) if n != s.name]
    if changed:
        raw.warn("signals", f"names that are empty or come twice, now {', '.join(changed)}")
    signals = [replace(s, name=n) for s, n in zip(header.signals, names, strict=True)]
    return replace(header, signals=tuple(signals))


def _rate_hz(raw: Raw, header: Header, declare: Declared) -> float:
    if header.rate_hz is None or declare.number("rate_hz") is not None:
        return declare.need_number("rate_hz", raw.name, "no rate in the record line", "360")
    return header.rate_hz


# channels


def _traces(raw: Raw, segments: Sequence[Segment], declare: Declared) -> list[Trace]:
    stated: dict[str, list[tuple[Stated, Column] | None]] = {}
    for place, segment in enumerate(segments):
        for signal, column in segment.columns:
            row = stated.setdefault(signal.name, [None] * len(segments))
            row[place] = (signal, column)
    return all_of(partial(_trace, name, row, raw, declare) for name, row in stated.items())


def _trace(
    name: str, row: Sequence[tuple[Stated, Column] | None], raw: Raw, declare: Declared
) -> Trace:
    there = [item for item in row if item is not None]
    units = {signal.units or (DEFAULT_UNIT if signal.gain else "") for signal, _ in there}
    rates = {column.per_frame for _, column in there}
    if len(units) > 1 or len(rates) > 1:
        found = f"units {sorted(units)} and {sorted(rates)} samples a frame in its segments"
        raise refusal(f"{raw.name}: {name}", found, "one of each")
    if not all(signal.gain for signal, _ in there) and declare.units(name) is None:
        raise missing(
            f"{raw.name}: {name}", "no gain: its samples are not calibrated",
            "the unit of one step of its samples", f"units.{name}=<unit>",
        )  # fmt: skip
    if not any(signal.units for signal, _ in there) and declare.units(name) is None:
        raw.note(f"signal {name}", "no unit; taken as millivolts, the format's default")
    kind = _kind(name)
    table = {name: {"type": kind}} if kind else {}
    channel = described([Channel(name, "", units.pop(), 1.0)], table, raw, declare)[0]
    scales = [_scale(item[0], channel.scale) if item else (1.0, 0.0) for item in row]
    scale, offset = next(s for s, item in zip(scales, row, strict=True) if item)
    columns = tuple(item[1] if item else None for item in row)
    return Trace(replace(channel, scale=scale, offset=offset), columns, tuple(scales))


def _kind(name: str) -> str:
    if _LEAD.fullmatch(name):
        return "ECG"
    return "PPG" if _PPG.fullmatch(name) else ""


def _scale(signal: Stated, factor: float) -> tuple[float, float]:
    """Return scale and offset to SI; physical is (stored - baseline) / gain."""
    scale = factor / (signal.gain or 1.0)
    return scale, -signal.baseline * scale


# annotations and facts


def _annotations(
    raw: Raw, rate_hz: float, frames: int, channels: Sequence[str], declare: Declared
) -> dict[str, xr.Dataset]:
    """Return the annotation files as nodes; the reference is ``annotations``, or the only one."""
    files = {path.suffix[1:]: path for path in raw.files if path.suffix[1:] in ANNOTATORS}
    found = {key: files[key] for key in ANNOTATORS if key in files}
    main = ANNOTATORS[0] if ANNOTATORS[0] in found else next(iter(found), "")
    nodes = {}
    for key, path in found.items():
        name = "annotations" if key == main else f"annotations_{key}"
        nodes[name] = annotated(raw, path, rate_hz, frames, channels, declare)
    return nodes


def _modality(traces: Sequence[Trace], raw: Raw, declare: Declared) -> str:
    kinds = {trace.channel.kind for trace in traces}
    declared = declare.text("modality")
    stated = next((name for name, types in _MODALITY if kinds & types), None)
    if declared or stated:
        return str(declared or stated)
    names = ", ".join(trace.channel.name for trace in traces)
    raise missing(raw.name, f"no type of signal that tells: {names}", "a modality", MODALITY)


def _facts(raw: Raw, header: Header) -> dict[str, Any]:
    """Return the root attributes; times without a zone and comments stay behind."""
    stated = stated_facts(header.comments)
    attrs: dict[str, Any] = {}
    if sex := bids.SEX.get(stated.get("sex", "").lower()):
        attrs["sex"] = sex
    if re.fullmatch(r"\d{1,3}(\.\d+)?", stated.get("age", "")):
        attrs["age_years"] = min(float(stated["age"]), OLDEST_YEARS)
    if header.dated:
        attrs["start_zone"] = "unknown"
    removed = [f"{len(header.comments)} lines of comments"] if header.comments else []
    removed += ["start time (no zone)"] if header.dated else []
    if removed:
        raw.note("header", f"what may identify a person, removed: {', '.join(removed)}")
    return {**attrs, **bids.facts(raw)}
