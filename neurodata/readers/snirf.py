"""Shared near-infrared spectroscopy format (SNIRF): data, auxiliary channels and stimuli.

Format: https://github.com/fNIRS/snirf (version 1.1), in HDF5, read by the published schema with
every link and dataset checked first. Data stay as they are stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import NeurodataError, UnreadableError, need
from neurodata.readers import bids
from neurodata.readers.channels import Channel, Clock, in_si, lazily, timeseries
from neurodata.readers.intervals import intervals
from neurodata.readers.lacking import all_of
from neurodata.safe import Raw

SUFFIXES = (".snirf",)
EXTRA = "eeg"

MODALITY, NODE = "nirs", "nirs"
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
SMALL = 1_000_000
CLOCK_SLACK_S = 1e-6  # writers round times to microseconds
PROCESSED = 99999
# measurement types to BIDS 1.10 types of channels
TYPES = {
    1: "NIRSCWAMPLITUDE", 51: "NIRSCWFLUORESCENSEAMPLITUDE", 101: "NIRSFDACAMPLITUDE",
    102: "NIRSFDPHASE", 151: "NIRSFDFLUORESCENSEAMPLITUDE", 152: "NIRSFDFLUORESCENSEPHASE",
    201: "NIRSTDGATED", 251: "NIRSTDGATED", 301: "NIRSTDMOMENTS", 351: "NIRSTDMOMENTS",
}  # fmt: skip
LABELS = {
    "dOD": "NIRSCWOPTICALDENSITY", "HbO": "NIRSCWHBO", "HbR": "NIRSCWHBR", "HbT": "NIRSCWHBT",
    "mua": "NIRSCWMUA", "musp": "NIRSCWMUSP",
}  # fmt: skip
DIMENSIONLESS, AVERAGED = "dOD", "HRF "
HAEMOGLOBIN, MOLAR = ("HbO", "HbR", "HbT"), "M"
TIMES = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
PERSONAL = ("SubjectID", "MeasurementDate", "MeasurementTime", "DateOfBirth", "SubjectName")

members = bids.with_sidecars


def sniff(head: bytes, path: Path) -> bool:
    """Tell SNIRF by its version and its group of measurements."""
    if not head.startswith(HDF5_MAGIC):
        return False
    need("h5py", EXTRA)
    from neurodata.safe_hdf5 import open_hdf5

    try:
        with open_hdf5(path) as file:
            return "formatVersion" in file and any(_groups(file, "nirs"))
    except NeurodataError:
        return path.name.lower().endswith(SUFFIXES)


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a SNIRF file as ``nirs`` nodes, one a data block, auxiliary channels and stimuli.

    Channels are named by source, detector and wavelength in nm or kind of data, ``S1_D2 760``.
    A time for each sample is kept as found, unless it is a regular clock to a microsecond.

    Raises
    ------
    UnreadableError
        When the file is damaged, holds several measurements, or its parts contradict each other.
    MissingFactError
        When a unit is missing or unknown and not declared.
    """
    need("h5py", EXTRA)
    from neurodata.safe_hdf5 import open_hdf5

    with open_hdf5(raw.main) as file:
        groups = [group for _, group in _groups(file, "nirs")]
        if len(groups) != 1:
            found = f"{len(groups)} measurements"
            raise _refusal(raw.name, found, "one in a file", "save each in a file of its own")
        return _read(raw, declare, groups[0])


def _read(raw: Raw, declare: Declared, group: Any) -> xr.DataTree:
    meta = _metadata(raw, group)
    second = _factor(raw, meta, "TimeUnit", TIMES)
    nodes: dict[str, xr.Dataset] = {}
    zero_s = None
    for number, data in _groups(group, "data"):
        clock, times, first_s = _clock(raw, data, second, data["dataTimeSeries"].shape[0])
        zero_s = first_s if zero_s is None else zero_s
        channels = _channels(raw, declare, group, data)
        name = NODE if number <= 1 else f"{NODE}_{number}"
        xyz = _positions(raw, meta, group, data, channels)
        nodes[name] = _node(data["dataTimeSeries"], channels, clock, times, first_s - zero_s, xyz)
        if number <= 1 and times is None:
            bids.require_clock(raw, declare, clock.rate_hz, clock.n)
    if zero_s is None:
        raise _refusal(raw.name, "no data block", "one or more", "export it again")
    aux = list(_groups(group, "aux"))
    for number, item in aux:
        clock, times, first_s = _clock(raw, item, second, item["dataTimeSeries"].shape[0])
        label = _text(item, "name") or f"aux{number}"
        channel = in_si(Channel(label, "MISC", _text(item, "dataUnit"), 1.0), {}, raw, declare)
        first_s += _offset(item) * second - zero_s
        name = f"aux_{number}" if len(aux) > 1 else "aux"
        nodes[name] = _node(item["dataTimeSeries"], [channel], clock, times, first_s, None)
    if (found := _stimuli(raw, group, second, zero_s)) is not None:
        nodes["annotations"] = found
    node = nodes[next(iter(nodes))]
    last_s = (
        float(node["time"][-1]) if "time" in node else (node.attrs["n"] / node.attrs["rate_hz"])
    )
    if (events := bids.events(raw, last_s)) is not None:
        nodes["events"] = events
    attrs = {"modality": declare.text("modality") or MODALITY, **_root(raw, meta)}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **nodes})


# ---- what the file states


def _groups(parent: Any, name: str) -> Iterator[tuple[int, Any]]:
    """Yield number and group of ``name``, ``name1``, ``name2``, ... in order."""
    found = []
    for key in parent:
        match = re.fullmatch(rf"{name}(\d{{0,9}})", key)
        if match and hasattr(parent[key], "keys"):
            found.append((int(match[1] or 0), key))
    for number, key in sorted(found):
        yield number, parent[key]


def _values(group: Any, name: str) -> npt.NDArray[Any]:
    """Return a small dataset as an array, empty where there is none."""
    item = group.get(name)
    if item is None or not hasattr(item, "shape") or item.shape is None:
        return np.array([])
    if item.size > SMALL and name != "time":
        raise _refusal(str(item.name), f"{item.size} values", f"at most {SMALL}", "mend the file")
    return np.asarray(item[()])


def _text(group: Any, name: str) -> str:
    values = _values(group, name).reshape(-1)
    if not values.size:
        return ""
    value = values[0]
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.strip().strip("\0").strip()


def _whole(group: Any, name: str) -> int:
    values = _values(group, name).reshape(-1)
    if values.size != 1 or values.dtype.kind not in "iuf" or values[0] != int(values[0]):
        raise _refusal(f"{group.name}/{name}", "no whole number", "one", "export it again")
    return int(values[0])


def _metadata(raw: Raw, group: Any) -> dict[str, str]:
    tags = group.get("metaDataTags")
    if tags is None:
        raise _refusal(raw.name, "no metaDataTags", "units of time and length", "export it again")
    return {str(key): _text(tags, key) for key in tags if hasattr(tags[key], "shape")}


def _factor(raw: Raw, meta: Mapping[str, str], key: str, known: Mapping[str, float]) -> float:
    unit = meta.get(key, "")
    if unit not in known:
        expected, hint = f"one of {', '.join(known)}", "correct the file's metaDataTags"
        raise _refusal(f"{raw.name}: {key}", repr(unit), expected, hint)
    return known[unit]


def _root(raw: Raw, meta: Mapping[str, str]) -> dict[str, Any]:
    removed = [key for key in PERSONAL if meta.get(key)]
    if removed:
        raw.note("metaDataTags", f"identifying fields, removed: {', '.join(removed)}")
    dated = {"start_zone": "unknown"} if meta.get("MeasurementDate") else {}
    return {**dated, **bids.facts(raw)}


# ---- clocks


def _clock(
    raw: Raw, group: Any, second: float, n: int
) -> tuple[Clock, npt.NDArray[np.float64] | None, float]:
    """Return the clock, the times from its first sample where it is irregular, and its start."""
    times = _values(group, "time").reshape(-1).astype("float64") * second
    where = f"{raw.name}: {group.name}/time"
    if len(times) == 2 and n != 2:  # first time and step, by the specification
        clock, first_s = Clock(1 / times[1] if times[1] > 0 else 0.0, n), float(times[0])
        clock.require(where)
        return clock, None, first_s
    rises = len(times) == n and n > 1 and np.isfinite(times).all() and (np.diff(times) > 0).all()
    if not rises:
        found = f"{len(times)} times for {n} samples, or some that do not rise"
        raise _refusal(where, found, "a rising time for each, or start and step", "export it again")
    first_s, steps = float(times[0]), np.arange(n)
    mean_hz = (n - 1) / (times[-1] - times[0])
    for rate_hz in (float(f"{mean_hz:.6g}"), float(mean_hz)):
        if np.abs(times - first_s - steps / rate_hz).max() <= CLOCK_SLACK_S:
            clock = Clock(rate_hz, n)
            clock.require(where)
            return clock, None, first_s
    raw.note(f"{group.name}/time", "samples that are not evenly spaced; times kept as found")
    return Clock(float(mean_hz), n), times - first_s, first_s


def _offset(group: Any) -> float:
    values = _values(group, "timeOffset").reshape(-1)
    return float(values[0]) if values.size == 1 and values.dtype.kind in "iuf" else 0.0


# ---- channels


def _channels(raw: Raw, declare: Declared, group: Any, data: Any) -> list[Channel]:
    lists = [item for _, item in _groups(data, "measurementList")]
    count = 1 if data["dataTimeSeries"].ndim == 1 else data["dataTimeSeries"].shape[1]
    if len(lists) != count:
        found = f"{len(lists)} measurement lists for {count} columns"
        raise _refusal(f"{raw.name}: {data.name}", found, "one for each", "export it again")
    nm = _values(group["probe"], "wavelengths").reshape(-1) if "probe" in group else np.array([])
    stated = [_stated(item, nm) for item in lists]
    names = [channel.name for channel in stated]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        found = f"channels twice: {', '.join(twice[:5])}"
        raise _refusal(f"{raw.name}: {data.name}", found, "each once", "export it again")
    table = bids.channel_table(raw, names) if data.name.rstrip("1").endswith("data") else {}
    return all_of(partial(in_si, c, table.get(c.name, {}), raw, declare) for c in stated)


def _stated(item: Any, nm: npt.NDArray[Any]) -> Channel:
    kind, label = _whole(item, "dataType"), _text(item, "dataTypeLabel")
    if kind == PROCESSED and label.startswith(AVERAGED):
        found, expected = f"responses averaged over trials ({label})", "a recording of them"
        raise _refusal(str(item.name), found, expected, "export the series before averaging")
    name = f"S{_whole(item, 'sourceIndex')}_D{_whole(item, 'detectorIndex')}"
    words = [name]
    if kind != PROCESSED or label == DIMENSIONLESS:
        wave = _whole(item, "wavelengthIndex")
        if not 1 <= wave <= len(nm):
            found = f"wavelength {wave} of {len(nm)}"
            raise _refusal(str(item.name), found, f"1 to {len(nm)}", "export it again")
        words.append(f"{float(nm[wave - 1]):g}")
    elif label:
        words.append(label)
    if kind in (201, 251, 301, 351):
        words.append(f"#{_whole(item, 'dataTypeIndex')}")
    unit = _text(item, "dataUnit")
    if not unit and kind == PROCESSED and label == DIMENSIONLESS:
        unit = "1"  # a logarithm of a ratio
    if unit == MOLAR and label in HAEMOGLOBIN:
        unit = "mol/L"  # elsewhere the letter might be a metre
    type_ = LABELS.get(label, "MISC") if kind == PROCESSED else TYPES.get(kind, "MISC")
    return Channel(" ".join(words), type_, unit, 1.0)


def _positions(
    raw: Raw, meta: Mapping[str, str], group: Any, data: Any, channels: Sequence[Channel]
) -> tuple[dict[str, npt.NDArray[np.float64]], str] | None:
    """Return the middle between source and detector of each channel, in m."""
    probe = group.get("probe")
    if probe is None or not {"sourcePos3D", "detectorPos3D"} <= set(probe):
        return None
    sources, detectors = _values(probe, "sourcePos3D"), _values(probe, "detectorPos3D")
    if sources.shape[1:] != (3,) or detectors.shape[1:] != (3,):
        raise _refusal(str(probe.name), "positions of another shape", "(optode, 3)", "mend it")
    metre, found = _factor(raw, meta, "LengthUnit", METRES), {}
    lists = [item for _, item in _groups(data, "measurementList")]
    for channel, item in zip(channels, lists, strict=True):
        source, detector = _whole(item, "sourceIndex"), _whole(item, "detectorIndex")
        if not (1 <= source <= len(sources) and 1 <= detector <= len(detectors)):
            where, pair = f"{raw.name}: {item.name}", f"source {source} and detector {detector}"
            raise _refusal(where, pair, f"up to {len(sources)} and {len(detectors)}", "mend it")
        found[channel.name] = (sources[source - 1] + detectors[detector - 1]) / 2 * metre
    return found, _text(probe, "coordinateSystem") or "unknown"


# ---- samples and stimuli


def _node(
    stored: Any,
    channels: Sequence[Channel],
    clock: Clock,
    times: npt.NDArray[np.float64] | None,
    start_s: float,
    xyz: tuple[dict[str, npt.NDArray[np.float64]], str] | None,
) -> xr.Dataset:
    from neurodata.safe_hdf5 import lazy_array

    columns = 1 if stored.ndim == 1 else stored.shape[1]
    if stored.ndim not in (1, 2) or columns != len(channels) or stored.dtype.kind not in "iuf":
        found = f"a series of shape {stored.shape} and type {stored.dtype}"
        raise _refusal(str(stored.name), found, f"numbers (time, {len(channels)})", "mend it")
    data: Any = lazy_array(stored)
    scale = tuple(channel.scale for channel in channels)
    if stored.dtype.kind == "f":
        block = partial(_block, data, scale)
        data = lazily(clock.n, 1, columns, stored.dtype.newbyteorder("="), block)
    else:
        data = data.reshape(clock.n, columns)
    starts = ((0, start_s),)
    node = timeseries(data, channels, Clock(clock.rate_hz, clock.n, starts), xyz)
    if times is None:
        return node
    kept = {k: v for k, v in node.attrs.items() if k not in ("start_s", "rate_hz", "n")}
    node = node.assign_coords(time=("time", times + start_s, {"units": "s"}))
    node.attrs = kept
    return node


def _block(data: Any, scale: Sequence[float], first: int, last: int) -> npt.NDArray[Any]:
    values = np.asarray(data[first:last].compute(scheduler="synchronous"))
    values = values.reshape(last - first, len(scale))
    native = values.dtype.newbyteorder("=")
    if any(factor != 1.0 for factor in scale):
        with np.errstate(over="ignore", invalid="ignore"):
            values = values.astype("float64") * np.array(scale)
    with np.errstate(over="ignore", invalid="ignore"):  # what is no number stays none
        return values.astype(native, copy=False)


def _stimuli(raw: Raw, group: Any, second: float, zero_s: float) -> xr.Dataset | None:
    start_s: list[float] = []
    duration_s: list[float] = []
    label: list[str] = []
    value: list[float] = []
    for number, item in _groups(group, "stim"):
        rows = _values(item, "data")
        if not rows.size:
            continue
        if rows.ndim != 2 or rows.shape[1] < 3 or rows.dtype.kind not in "iuf":
            found = f"stimuli of shape {rows.shape}"
            raise _refusal(f"{raw.name}: {item.name}", found, "(stimulus, 3 or more)", "mend it")
        start_s += (rows[:, 0] * second - zero_s).tolist()
        duration_s += (rows[:, 1] * second).tolist()
        value += rows[:, 2].astype("float64").tolist()
        label += [_text(item, "name") or f"stim{number}"] * len(rows)
    if not label:
        return None
    return intervals(start_s, duration_s, label, {"value": np.array(value)})


def _refusal(where: str, found: str, expected: str, hint: str) -> UnreadableError:
    return UnreadableError(where, found, expected, hint)
