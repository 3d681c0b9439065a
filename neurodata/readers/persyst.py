"""Persyst recordings: a header ``.lay`` of text and a data file ``.dat`` of 16 or 32 bits.

Samples are read in place; the header's calibration is in microvolts a stored unit. Stretches that
the header times apart are kept apart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import UnreadableError, UnsafeError
from neurodata.readers import bids, remarks
from neurodata.readers.channels import Channel, Clock, modality_of
from neurodata.readers.intervals import intervals
from neurodata.readers.known import known
from neurodata.readers.marks import placed
from neurodata.readers.mne_raw import Places, Source, nodes_of
from neurodata.readers.personal_keys import kinds_of
from neurodata.safe import Raw

SUFFIXES = (".lay",)
EXTRA = "eeg"

_MARKS = (re.compile(rb"(?im)^\s*\[fileinfo\]"), re.compile(rb"(?im)^\s*waveformcount\s*="))
_DTYPES = {"0": "<i2", "7": "<i4"}
REFERENCE = re.compile(r"(.+?)-(ref)", re.IGNORECASE)
PRESENT_SEX = {"m": "M", "male": "M", "f": "F", "female": "F"}
LIMIT_BYTES = 64 * 2**20
Sections = dict[str, list[tuple[str, str]]]


@dataclass(frozen=True)
class Header:
    """What the header says; a comment is second, length in s and text."""

    data: str
    dtype: str
    start: int
    rate_hz: float
    microvolts: float
    names: tuple[str, ...]
    times: tuple[tuple[int, float], ...]
    comments: tuple[tuple[float, float, str], ...]
    patient: dict[str, str]


def sniff(head: bytes, path: Path) -> bool:
    """Tell a Persyst header by its section about the file and its count of waveforms."""
    return b"\0" not in head and all(mark.search(head) for mark in _MARKS)


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the header, the data file that it names or that has its name, and BIDS side-cars."""
    names = {f"{path.stem}.dat"}
    if path.stat().st_size <= LIMIT_BYTES:
        found = {k.lower(): v for k, v in _sections(path).get("fileinfo", [])}
        names.add(_plain(found.get("file", "")))
    beside = [p for p in folder if p != path and p.parent == path.parent and p.name in names]
    return (path, *sorted(beside), *bids.sidecars(path, folder))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a Persyst recording as nodes by channel type, with its comments as events.

    Raises
    ------
    UnreadableError
        When the header lacks a field or contradicts itself or the data file's size.
    UnsafeError
        When the header names a data file that is not beside it.
    """
    header = _header(raw)
    path = _data_file(raw, header.data)
    frame = len(header.names) * np.dtype(header.dtype).itemsize
    size = path.stat().st_size - header.start
    if size < frame or size % frame:
        found = f"{size} bytes of samples"
        raise _refusal(path.name, found, f"a multiple of {frame}, of {len(header.names)} channels")
    n = size // frame
    clock = _clock(raw, header, n)
    clock.require(raw.name)
    bids.require_clock(raw, declare, clock.rate_hz, clock.n)
    channels = known([_stated(name, header.microvolts) for name in header.names], raw, declare)
    block = partial(_block, path, header.dtype, (n, len(header.names)), header.start)
    nodes = nodes_of(None, channels, clock, Source(n, np.dtype(header.dtype), block), raw)
    events = None
    if header.comments:
        start_s, length_s, texts = zip(*header.comments, strict=True)
        label = remarks.passed(texts, raw, declare, "Comments")
        events = intervals(np.array(start_s), list(length_s), label)
    nodes |= placed(events, float(clock.at(clock.n)), raw)
    root: dict[str, Any] = {"modality": modality_of(channels, raw, declare)}
    if sex := PRESENT_SEX.get(header.patient.get("sex", "").lower()):
        root["sex"] = sex
    if removed := [key for key in header.patient if key != "sex"]:
        raw.note("Patient", f"identifying fields, removed: {kinds_of(removed)}")
    if header.patient.get("testdate"):
        root["start_zone"] = "unknown"
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={**root, **bids.facts(raw)}), **nodes})


# ---- the header


def _sections(path: Path) -> Sections:
    data = safe.read_bytes(path, LIMIT_BYTES)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    found: Sections = {}
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]") and len(line) > 2:
            section = line[1:-1].lower()
        elif line:
            key, _, value = line.partition("=")
            row = (line, "") if section == "comments" else (key.strip(), value.strip())
            found.setdefault(section, []).append(row)
    return found


def _header(raw: Raw) -> Header:
    if not raw.main.stat().st_size:
        raise _refusal(raw.name, "an empty file", "a Persyst header")
    sections = _sections(raw.main)
    fields = {key.lower(): value for key, value in sections.get("fileinfo", [])}
    if (layout := fields.get("filetype", "Interleaved").lower()) != "interleaved":
        raise _refusal(raw.name, f"samples that are {layout!r}", "interleaved ones")
    if (kind := fields.get("datatype", "")) not in _DTYPES:
        raise _refusal(raw.name, f"samples of type {kind!r}", "0 (16 bits) or 7 (32 bits)")
    count, start = (_whole(raw, fields, k, d) for k, d in (("waveformcount", ""),
                                                            ("headerlength", "0")))  # fmt: skip
    rate_hz, microvolts = (_number(raw, fields, k) for k in ("samplingrate", "calibration"))
    if microvolts == 0:
        raise _refusal(raw.name, "a calibration of 0", "microvolts a stored unit")
    patient = {k.lower(): v for k, v in sections.get("patient", []) if v}
    times = tuple(_time(raw, row) for row in sections.get("sampletimes", []))
    comments = tuple(_comment(raw, line) for line, _ in sections.get("comments", []))
    names = _names(raw, sections.get("channelmap", []), count)
    return Header(
        fields.get("file", ""), _DTYPES[kind], start, rate_hz, microvolts, names, times, comments,
        patient,
    )  # fmt: skip


def _number(raw: Raw, fields: dict[str, str], key: str) -> float:
    text = fields.get(key, "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _refusal(f"{raw.name}: {key}", repr(text), "a finite number")
    return value


def _whole(raw: Raw, fields: dict[str, str], key: str, default: str) -> int:
    text = fields.get(key, default)
    if not re.fullmatch(r"\d{1,9}", text):
        raise _refusal(f"{raw.name}: {key}", repr(text), "a whole number")
    return int(text)


def _names(raw: Raw, rows: Sequence[tuple[str, str]], count: int) -> tuple[str, ...]:
    """Return names in the order of the columns that the map numbers from 1 on."""
    numbers = [int(v) if re.fullmatch(r"\d{1,6}", v) else 0 for _, v in rows]
    if not count or sorted(numbers) != list(range(1, count + 1)):
        found = f"a map of {len(rows)} channels, numbered {numbers[:5]}"
        raise _refusal(raw.name, found, f"1 to {count} by the count of waveforms")
    return tuple(name for _, (name, _) in sorted(zip(numbers, rows, strict=True)))


def _time(raw: Raw, row: tuple[str, str]) -> tuple[int, float]:
    sample, second = row
    try:
        found = (int(sample), float(second))
    except ValueError:
        found = (-1, math.nan)
    if found[0] < 0 or not math.isfinite(found[1]):
        raise _refusal(f"{raw.name}: SampleTimes", repr("=".join(row)), "sample=seconds")
    return found


def _comment(raw: Raw, line: str) -> tuple[float, float, str]:
    cells = line.split(",", 4)
    try:
        start_s, length_s = float(cells[0]), float(cells[1])
    except (ValueError, IndexError):
        start_s = length_s = math.nan
    if len(cells) < 5 or not math.isfinite(start_s) or not 0 <= length_s < math.inf:
        where = f"{raw.name}: Comments"
        raise _refusal(where, f"a line of {len(cells)} cells", "second, length, state, type, text")
    return start_s, length_s, cells[4].strip() or "comment"


def _plain(name: str) -> str:
    return re.split(r"[\\/]", name)[-1].strip()


def _data_file(raw: Raw, name: str) -> Path:
    plain = _plain(name)
    try:
        return raw.sibling(plain)
    except UnsafeError as error:
        twin = raw.find(lambda path: path.name == f"{raw.main.stem}.dat")
        if twin is None:
            raise _refusal(raw.name, f"no data file {plain!r}", "it beside the header") from error
        raw.warn("File", f"the data file {plain!r} by the header", f"{twin.name!r}, which is read")
        return twin


# ---- channels, clock and samples


def _stated(name: str, microvolts: float) -> Channel:
    if match := REFERENCE.fullmatch(name):
        return Channel(match[1], "", "uV", microvolts, reference=match[2])
    return Channel(name, "", "uV", microvolts)


def _clock(raw: Raw, header: Header, n: int) -> Clock:
    """Return the clock of stretches; the header counts seconds from midnight."""
    times = header.times or ((0, 0.0),)
    if times[0][0] != 0 or any(b[0] <= a[0] for a, b in pairwise(times)):
        found = f"stretches from the samples {[sample for sample, _ in times][:5]}"
        raise _refusal(f"{raw.name}: SampleTimes", found, "0 and rising ones")
    if times[-1][0] >= n:  # Persyst leaves the table as it was when it saves a clip
        raw.warn(
            "SampleTimes", f"a stretch from sample {times[-1][0]} on, of {n}; left out",
            "stretches within the data file", "times count samples; pauses would not show",
        )  # fmt: skip
        times = ((0, 0.0),)
    zero_s = times[0][1]
    clock = Clock(header.rate_hz, n, [(sample, second - zero_s) for sample, second in times])
    if not (header.rate_hz > 0 and clock.regular):
        raw.note("SampleTimes", f"{len(times) - 1} gaps, kept as found in the coordinate time")
    return clock


def _block(
    path: Path, dtype: str, shape: tuple[int, int], start: int, places: Places, first: int,
    last: int,
) -> npt.NDArray[Any]:  # fmt: skip
    data = safe.memmap(path, np.dtype(dtype), shape, start)
    return np.asarray(data[first:last][:, list(places)])


def _refusal(where: str, found: str, expected: str) -> UnreadableError:
    return UnreadableError(where, found, expected, "export it again or mend the header")
