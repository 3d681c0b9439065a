"""SpikeGLX: Neuropixels, NI-DAQ and OneBox recordings, a ``.meta`` beside each ``.bin``.

The bands ``.ap`` and ``.lf`` of one probe share its clock and are one recording; a ``.nidq`` or
``.obx`` file has a clock of its own and is another. Digital words become the node ``digital``,
and the pulses on their bits, the synchronising one among them, the node ``events``. The whole
``.bin`` is read once for that and for the SHA-1 that the ``.meta`` states.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import UnreadableError, UnsafeError
from neurodata.readers import bids
from neurodata.readers.channels import Channel, Clock, lazily, timeseries
from neurodata.readers.intervals import intervals
from neurodata.readers.spikeglx_meta import Meta, is_meta, read_meta, text_of
from neurodata.safe import Raw

SUFFIXES = (".meta",)
EXTRA = ""  # needs no optional package
BANDS = (".ap.meta", ".lf.meta")
SCAN_BYTES = 32 * 2**20
CHANGE_LIMIT = 2**24
FRAME = "probe: x across the shanks, z up from the lowest sites"
NEURAL = ("AP", "LF", "MN")
KINDS = {"LF": "LFP", "XA": "MISC", "MA": "MISC"}
Words = npt.NDArray[np.uint16]


def sniff(head: bytes, path: Path) -> bool:
    """Tell a ``.meta`` by its tags.

    Examples
    --------
    >>> sniff(b"acqApLfSy=384,384,1\\nappVersion=20201103\\n", Path("a.imec0.ap.meta"))
    True
    """
    return is_meta(head)


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the ``.meta``, its ``.bin`` and those of the other band of the same probe."""
    lower = path.name.lower()
    if not lower.endswith(".meta"):
        return (path,)
    stem = path.name[: -len(BANDS[0])] if lower.endswith(BANDS) else path.name[:-5]
    beside = [p for p in folder if p.parent == path.parent and p != path]
    twins = [p for p in beside if lower.endswith(BANDS) and p.name.startswith(stem)
             and p.name[len(stem) :].lower() in BANDS]  # fmt: skip
    if any(p < path for p in twins):
        twins = []  # the first by name is the recording's main file
    names = {p.name[: -len(".meta")] for p in (path, *twins)}
    data = [p for p in beside if p.suffix.lower() in (".bin", ".cbin") and p.stem in names]
    return (path, *sorted(twins), *sorted(data), *bids.sidecars(path, folder))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a recording as ``ieeg`` (``signal_adc``, time and channel), ``digital`` and ``events``.

    The band ``.ap`` gives ``ieeg``, the band ``.lf`` beside it ``ieeg_lf``; channels of NI-DAQ that
    are not multiplexed neural ones the node ``misc``.

    Raises
    ------
    UnreadableError
        When ``.meta`` and ``.bin`` contradict each other, or the data are not those of the SHA-1.
    UnknownFormatError
        When the gain of the probe is not known, or the data are compressed.
    """
    metas = [path for path in raw.files if path.suffix.lower() == ".meta"] or [raw.main]
    found = [(path, read_meta(raw, path.name, text_of(path))) for path in metas]
    origin_s = found[0][1].first_sample / found[0][1].rate_hz
    nodes: dict[str, xr.Dataset] = {}
    for path, meta in found:
        suffix = f"_{path.name.split('.')[-2].lower()}" if nodes else ""
        nodes.update(_nodes(raw, path, meta, origin_s, suffix))
    raw.note("tags", "notes, paths, serial numbers and dates (no zone), removed")
    neural = any(site.kind in NEURAL for _, meta in found for site in meta.sites)
    modality = declare.text("modality") or ("ieeg" if neural else "behaviour")
    attrs = {"modality": modality, "start_zone": "unknown", **bids.facts(raw)}
    if devices := {meta.device for _, meta in found if meta.device}:
        attrs["device"] = f"Neuropixels {', '.join(sorted(devices))}"
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **nodes})


def _nodes(raw: Raw, path: Path, meta: Meta, origin_s: float, suffix: str) -> dict[str, xr.Dataset]:
    data = _data(raw, path, meta)
    clock = Clock(meta.rate_hz, meta.n, ((0, meta.first_sample / meta.rate_hz - origin_s),))
    clock.require(raw.name)
    groups: dict[str, list[int]] = {}
    for place, site in enumerate(meta.sites):
        node = "ieeg" if site.kind in NEURAL else "misc" if site.scale_v else "digital"
        groups.setdefault(f"{node}{suffix}", []).append(place)
    nodes = {}
    for name, places in groups.items():
        digital = name.startswith("digital")
        channels = [_channel(meta, place) for place in places]
        block = partial(_samples, data, meta.n, len(meta.sites), tuple(places), digital)
        array = lazily(meta.n, 1, len(places), "uint16" if digital else "int16", block)
        at = _positions(meta, places) if name.startswith("ieeg") else None
        nodes[name] = timeseries(array, channels, clock, at)
        if name.startswith("ieeg") and meta.shank is not None:
            nodes[name]["shank"] = ("channel", meta.shank)
    words = groups.get(f"digital{suffix}", [])
    start, changes = _scan(raw, data, meta, words)
    if words:
        nodes[f"events{suffix}"] = _events(meta, words, start, changes, clock)
    return nodes


def _data(raw: Raw, path: Path, meta: Meta) -> Path:
    """Return the ``.bin``, whose size must be what its ``.meta`` says."""
    stem = path.name[: -len(".meta")] if path.name.lower().endswith(".meta") else path.stem
    beside = {p.suffix.lower(): p for p in raw.files if p.stem == stem and p.parent == path.parent}
    data = beside.get(".bin")
    if data is None:
        packed = ".cbin" in beside
        found = "compressed data (.cbin)" if packed else "no data"
        hint = "unpack it with mtscomp" if packed else "put the .bin beside its .meta"
        raise UnreadableError(f"{raw.name}: {path.name}", found, f"{stem}.bin", hint)
    size = data.stat().st_size
    if size != meta.size_bytes:
        where = data.relative_to(raw.root).as_posix()
        expected = f"{meta.size_bytes} by its .meta"
        raise UnreadableError(where, f"{size} bytes", expected, "copy the file again")
    return data


def _channel(meta: Meta, place: int) -> Channel:
    site = meta.sites[place]
    if not site.scale_v:
        return Channel(site.name, "TRIG", "1", 1.0)
    return Channel(site.name, KINDS.get(site.kind, ""), "V", site.scale_v)


def _positions(
    meta: Meta, places: Sequence[int]
) -> tuple[dict[str, npt.NDArray[np.float64]], str] | None:
    if meta.position_m is None:
        return None
    names = [meta.sites[place].name for place in places]
    return dict(zip(names, meta.position_m, strict=True)), FRAME


def _samples(
    path: Path, n: int, channels: int, places: Sequence[int], digital: bool, first: int, last: int
) -> npt.NDArray[np.generic]:
    dtype = np.dtype("<u2" if digital else "<i2")
    data = safe.memmap(path, dtype, (n, channels))
    if places[-1] - places[0] == len(places) - 1:
        return np.asarray(data[first:last, places[0] : places[-1] + 1])
    return np.asarray(data[first:last][:, list(places)])


# one pass over the data: their SHA-1, and where digital words change


def _scan(
    raw: Raw, path: Path, meta: Meta, words: Sequence[int]
) -> tuple[Words, list[tuple[npt.NDArray[np.int64], Words, Words]]]:
    """Return the first word of each digital channel, and samples, words before and after changes.

    Raises
    ------
    UnreadableError
        When the data are not those of the SHA-1.
    UnsafeError
        When digital channels change more often than 2**24 times.
    """
    where = path.relative_to(raw.root).as_posix()
    data = safe.memmap(path, np.dtype("<u2"), (meta.n, len(meta.sites)))
    digest = hashlib.sha1(usedforsecurity=False) if meta.sha1.strip("0") else None
    parts: list[list[tuple[npt.NDArray[np.int64], Words, Words]]] = [[] for _ in words]
    last: Words = np.array(data[0, list(words)])
    start, total = last.copy(), 0
    step = max(1, SCAN_BYTES // (2 * len(meta.sites)))
    for first in range(0, meta.n if digest or words else 0, step):
        block = np.ascontiguousarray(data[first : first + step])
        if digest:
            digest.update(block.data)
        for row, place in enumerate(words):
            word = np.concatenate([last[row : row + 1], block[:, place]])
            at = np.nonzero(word[1:] != word[:-1])[0]
            if at.size:
                parts[row].append((at + first, word[at], word[at + 1]))
            total += at.size
            last[row] = word[-1]
        if total > CHANGE_LIMIT:
            raise UnsafeError(where, f"over {CHANGE_LIMIT} digital changes", "fewer", "see lines")
    if digest and digest.hexdigest().upper() != meta.sha1:
        raise UnreadableError(
            where, f"data of SHA-1 {digest.hexdigest().upper()}", f"{meta.sha1} by its .meta",
            "copy the file again: the data are not those that were recorded",
        )  # fmt: skip
    if not digest:
        raw.note(path.name, "no SHA-1 stated, so none compared", "fileSHA1")
    joined = [
        tuple(map(np.concatenate, zip(*part, strict=True)))
        if part
        else (np.zeros(0, "i8"), np.zeros(0, "u2"), np.zeros(0, "u2"))
        for part in parts
    ]
    return start, joined  # type: ignore[return-value]


def _events(
    meta: Meta,
    words: Sequence[int],
    start: Words,
    changes: Sequence[tuple[npt.NDArray[np.int64], Words, Words]],
    clock: Clock,
) -> xr.Dataset:
    """Return the stretches in which a bit is set; one that has no end has no duration."""
    starts: list[npt.NDArray[np.float64]] = []
    durations: list[npt.NDArray[np.float64]] = []
    labels: list[str] = []
    bits: list[int] = []
    for place, first, (at, before, after) in zip(words, start, changes, strict=True):
        for bit in range(16):
            flips = at[((before ^ after) >> np.uint16(bit)) & 1 == 1]
            if int(first) >> bit & 1:
                flips = np.concatenate([[0], flips])
            if not flips.size:
                continue
            rise_s = clock.at(flips[::2])
            fall_s = np.full(rise_s.size, np.nan)
            fall_s[: flips[1::2].size] = clock.at(flips[1::2])
            starts.append(rise_s)
            durations.append(fall_s - rise_s)
            labels += [f"{meta.sites[place].name} bit {bit}"] * rise_s.size
            bits += [bit] * rise_s.size
    start_s = np.concatenate([np.zeros(0), *starts])
    duration_s = np.concatenate([np.zeros(0), *durations])
    return intervals(start_s, duration_s.tolist(), labels, {"bit": np.array(bits, "i4")})
