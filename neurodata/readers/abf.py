"""Axon Binary Format 1 and 2 (.abf) of pCLAMP: sweeps of currents and potentials, and tags.

neo parses the headers, after their tables were compared with the file's length. Each sweep begins a
stretch of its own, so that pauses between sweeps stay pauses.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared, missing
from neurodata.errors import UnknownFormatError, UnreadableError, need
from neurodata.readers import bids, remarks
from neurodata.readers.channels import Channel, Clock, lazily, timeseries, unit_of
from neurodata.readers.intervals import intervals
from neurodata.readers.lacking import all_of
from neurodata.readers.neo_raw import EXTRA, Events, event_node
from neurodata.safe import Raw
from neurodata.safe_neo import handed

__all__ = ["EXTRA", "SUFFIXES", "members", "read", "sniff"]

SUFFIXES = (".abf",)
MAGIC = (b"ABF ", b"ABF2")
BLOCK = 512
FIRST_SECTION, SECTIONS = 76, 18  # where ABF2's table begins, and its rows
STRINGS, TAGS = 9, 11
ENTRY_LIMIT = 10**6
TAG = struct.Struct("<i56shh")
NODE = "signals"


@dataclass(frozen=True)
class Layout:
    """Where the samples of a file are.

    Parameters
    ----------
    dtype : numpy.dtype
        Of the stored numbers, which are (time, channel) from byte ``offset``.
    lengths, starts_s : sequence
        Samples of each sweep and its first second.
    tick_s : float
        Unit of the times of tags.
    channels : sequence of Channel
    """

    path: Path
    dtype: np.dtype[Any]
    offset: int
    lengths: Sequence[int]
    starts_s: Sequence[float]
    rate_hz: float
    tick_s: float
    channels: Sequence[Channel]

    def read(self, first: int, last: int) -> npt.NDArray[Any]:
        """Return samples by number over all sweeps, (time, channel), floats in SI units."""
        shape = (sum(self.lengths), len(self.channels))
        stored = np.asarray(safe.memmap(self.path, self.dtype, shape, self.offset)[first:last])
        if self.dtype.kind == "i":
            return stored.astype("int16")
        scale = np.array([channel.scale for channel in self.channels])
        values: npt.NDArray[np.float32] = (stored.astype("f8") * scale).astype("float32")
        return values


def sniff(head: bytes, path: Path) -> bool:
    """Tell ABF by its first four bytes and a version of 1 or 2.

    Examples
    --------
    >>> sniff(b"ABF2\\0\\0\\6\\2" + bytes(600), Path("a.abf")), sniff(b"ABF2", Path("a.abf"))
    (True, False)
    """
    if head[:4] not in MAGIC or len(head) < BLOCK:
        return False
    if head[:4] == b"ABF2":
        return head[7] == 2
    return bool(1 <= struct.unpack_from("<f", head, 4)[0] < 2)


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the file alone."""
    return (path,)


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a file as ``signals`` (time, channel), ``sweeps`` where there are several, and ``tags``.

    Integers keep their counts in ``signal_adc``; floats become ``signal`` in SI units.

    Raises
    ------
    UnreadableError
        When headers and length contradict each other, or sweeps overlap.
    MissingFactError
        When a unit is missing or unknown, or the modality is not declared.
    """
    need("neo", extra=EXTRA)
    _require_tables(raw)
    layout = _layout(raw, declare)
    clock = Clock(layout.rate_hz, sum(layout.lengths), _starts(layout))
    clock.require(raw.name)
    dtype = "int16" if layout.dtype.kind == "i" else "float32"
    data = lazily(clock.n, 1, len(layout.channels), dtype, layout.read)
    nodes = {NODE: timeseries(data, layout.channels, clock)}
    if len(layout.lengths) > 1:
        lengths_s = [length / layout.rate_hz for length in layout.lengths]
        label = [f"sweep {number}" for number in range(1, len(lengths_s) + 1)]
        nodes["sweeps"] = intervals(np.array(layout.starts_s), lengths_s, label)
    if (tags := _tags(raw, layout, declare)) is not None:
        nodes["tags"] = event_node(tags, raw, float(clock.at(clock.n)))
    raw.note("header", "date and time (no zone), names of folders and protocols, removed")
    if declare.text("modality") is None:
        raise missing(raw.name, "nothing that tells the modality", "one", "modality=ieeg|...")
    attrs = {"modality": declare.text("modality"), "start_zone": "unknown", **bids.facts(raw)}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **nodes})


def _starts(layout: Layout) -> list[tuple[int, float]]:
    before = np.concatenate([[0], np.cumsum(layout.lengths)])[:-1]
    return [(int(n), start_s) for n, start_s in zip(before, layout.starts_s, strict=True)]


# headers


def _require_tables(raw: Raw) -> None:
    """Refuse tables that do not lie in the file: neo would walk through them entry by entry."""
    start, size = safe.head(raw.main, 6 * BLOCK), raw.main.stat().st_size
    if start[:4] not in MAGIC or len(start) < BLOCK:
        raise UnreadableError(raw.name, f"{size} bytes without a header", "ABF", "copy it again")
    if start[:4] == b"ABF2":
        rows = [
            struct.unpack_from("<IIq", start, FIRST_SECTION + 16 * row) for row in range(SECTIONS)
        ]
    else:
        tags, count, synch, sweeps = (
            struct.unpack_from("<i", start, at)[0] for at in (44, 48, 92, 96)
        )
        rows = [(tags, TAG.size, count), (synch, 8, sweeps)]
    for row, (block, length, count) in enumerate(rows):
        if not count:
            continue
        count = 1 if row == STRINGS else count  # its bytes are those of all texts together
        end = block * BLOCK + length * count
        if block < 0 or not length or not 0 < count <= max(ENTRY_LIMIT, size) or end > size:
            raise UnreadableError(
                raw.name, f"table {row} of {count} entries of {length} bytes from block {block}",
                f"one within {size} bytes", "copy the file again",
            )  # fmt: skip
        if count > ENTRY_LIMIT and length > 4:
            raise UnreadableError(raw.name, f"{count} entries", f"at most {ENTRY_LIMIT}", "")


def _layout(raw: Raw, declare: Declared) -> Layout:
    rawio = need("neo.rawio", extra=EXTRA)
    with handed(raw.name, {"recording.abf": raw.main}) as folder:
        file = rawio.AxonRawIO(str(folder / "recording.abf"))
        file.parse_header()
        info, table = file._axon_info, file.header["signal_channels"].copy()
        sweeps = range(file.segment_count(0))
        places = [file.get_analogsignal_buffer_description(0, n, "0") for n in sweeps]
        protocol = info if info["fFileVersionNumber"] < 2 else info["protocol"]
        unit_us, mode = float(protocol["fSynchTimeUnit"]), int(protocol["nOperationMode"])
        rate_hz = float(file.get_signal_sampling_rate(0))
        begin = np.array([float(file.get_signal_t_start(0, n, 0)) for n in sweeps])
    if mode == 1:
        raise UnknownFormatError(
            raw.name, "sweeps of unlike lengths (mode 1)", "gap-free or episodic recordings",
            "export it as such",
        )  # fmt: skip
    if not (math.isfinite(rate_hz) and rate_hz > 0 and math.isfinite(unit_us) and unit_us >= 0):
        found = f"{rate_hz} Hz, times in {unit_us} us"
        raise UnreadableError(raw.name, found, "finite numbers", "copy the file again")
    width, widths = len(table), {int(place["shape"][1]) for place in places}
    if widths != {width}:
        found = f"{width} channels in samples of {sorted(widths)}"
        raise UnreadableError(raw.name, found, "one number", "copy the file again")
    starts_s = begin if unit_us else begin / width  # neo takes samples of all channels for one's
    layout = Layout(
        path=raw.main,
        dtype=np.dtype(str(places[0]["dtype"])).newbyteorder("<"),
        offset=int(places[0]["file_offset"]),
        lengths=[int(place["shape"][0]) for place in places],
        starts_s=(starts_s - starts_s[0]).tolist(),
        rate_hz=rate_hz,
        tick_s=unit_us * 1e-6 if unit_us else 1 / (rate_hz * width),
        channels=_channels(raw, table, declare),
    )
    _require_samples(raw, layout)
    return layout


def _require_samples(raw: Raw, layout: Layout) -> None:
    size, lengths = raw.main.stat().st_size, layout.lengths
    frames_bytes = sum(lengths) * len(layout.channels) * layout.dtype.itemsize
    if layout.offset < BLOCK or not min(lengths) or size < layout.offset + frames_bytes:
        found = f"{size} bytes for sweeps of {list(lengths[:4])} samples from byte {layout.offset}"
        raise UnreadableError(raw.name, found, "whole samples in each", "copy the file again")
    if len(set(layout.starts_s)) != len(lengths):
        raise UnreadableError(raw.name, "sweeps that begin at once", "rising starts", "")


def _channels(raw: Raw, table: npt.NDArray[Any], declare: Declared) -> list[Channel]:
    names = [str(name) for name in table["name"]]
    twice = {name for name, times in Counter(names).items() if times > 1}
    if twice:
        raw.warn("channels", f"several called {', '.join(sorted(twice))}", "unlike names")
        names = [f"{n}_{place}" if n in twice else n for place, n in enumerate(names)]
    return all_of(
        partial(_channel, name, row, raw, declare) for name, row in zip(names, table, strict=True)
    )


def _channel(name: str, row: Any, raw: Raw, declare: Declared) -> Channel:
    scale, offset = float(row["gain"]), float(row["offset"])
    if not (math.isfinite(scale) and scale and math.isfinite(offset)):
        found = f"a scale of {scale} and an offset of {offset}"
        raise UnreadableError(f"{raw.name}: {name}", found, "finite numbers", "copy it again")
    unit = unit_of(name, str(row["units"]), "", declare, raw.name)
    return Channel(name, "", unit.symbol, scale * unit.factor, offset * unit.factor)


# tags


def _tags(raw: Raw, layout: Layout, declare: Declared) -> Events | None:
    """Return the tags; neo looks for those of ABF1 at the wrong place, so they are read here."""
    start = safe.head(raw.main, 6 * BLOCK)
    if start[:4] == b"ABF2":
        block, length, count = struct.unpack_from("<IIq", start, FIRST_SECTION + 16 * TAGS)
    else:
        block, count = struct.unpack_from("<ii", start, 44)
        length = TAG.size
    if not count or length < TAG.size:
        return None
    rows = safe.memmap(raw.main, np.dtype("u1"), (count, length), block * BLOCK)
    found = [TAG.unpack(row[: TAG.size].tobytes()) for row in rows]
    label = [text.split(b"\0")[0].decode("latin-1").strip() or "tag" for _, text, _, _ in found]
    label = remarks.passed(label, raw, declare, "tags")
    start_s = np.array([at * layout.tick_s for at, _, _, _ in found], "f8")
    kinds = np.array([kind for _, _, kind, _ in found], "int16")
    return Events(start_s, label, {"kind": kinds})
