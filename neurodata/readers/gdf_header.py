"""Header and events of the General Data Format for biosignals (GDF), compared with the file's size.

Format: A. Schlögl, https://arxiv.org/abs/cs/0608052 (versions 1.25 and 2.x); units by ISO/IEEE
11073-10101, table A.6.3.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurodata import safe
from neurodata.errors import UnreadableError
from neurodata.readers import edf_header
from neurodata.safe import Raw

MAGIC = re.compile(rb"GDF [123]\.\d\d")
FIXED_BYTES = CHANNEL_BYTES = 256
TWO = 1.9  # from this version on the header has the form of version 2
TYPES = {
    1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<i8", 16: "<f4", 17: "<f8",
    279: "i3", 535: "u3",
}  # fmt: skip
# base codes of units, and codes of decimal factors, which are added to them
UNITS = {
    512: "1", 544: "%", 736: "deg", 768: "rad", 1280: "m", 2176: "s", 2208: "min", 2240: "h",
    2496: "Hz", 2816: "m/s", 3776: "N", 3840: "Pa", 3872: "mmHg", 4160: "A", 4256: "V",
    4288: "ohm", 4384: "K", 6048: "degC", 65504: "T",
}  # fmt: skip
FACTORS = {
    0: "", 1: "da", 2: "h", 3: "k", 4: "M", 5: "G", 6: "T", 16: "d", 17: "c", 18: "m", 19: "u",
    20: "n", 21: "p", 22: "f", 23: "a",
}  # fmt: skip
SEX = {1: "M", 2: "F"}
# fields of channels, each stored for all of them: before version 2, and from then on
_ONE = (
    ("label", "S16"), ("transducer", "S80"), ("dimension", "S8"), ("low", "<f8"), ("high", "<f8"),
    ("least", "<i8"), ("most", "<i8"), ("filters", "V80"), ("samples", "<u4"), ("type", "<u4"),
    ("rest", "V32"),
)  # fmt: skip
_TWO = (
    ("label", "S16"), ("transducer", "S80"), ("dimension", "S6"), ("unit", "<u2"), ("low", "<f8"),
    ("high", "<f8"), ("least", "<f8"), ("most", "<f8"), ("filters", "V80"), ("samples", "<u4"),
    ("type", "<u4"), ("rest", "V32"),
)  # fmt: skip
Row = dict[str, Any]


@dataclass(frozen=True)
class Signal(edf_header.Signal):
    """One channel, as in EDF, of samples of any type."""

    dtype: str


@dataclass(frozen=True)
class Header:
    """What the header says, after it was compared with itself and with the file's size."""

    path: Path
    version: float
    size: int
    records: int
    record_s: float
    record_bytes: int
    signals: tuple[Signal, ...]
    sex: str
    personal: tuple[str, ...]
    extra: bool

    @property
    def end(self) -> int:
        """One past the last byte of data, where the events begin."""
        return self.size + self.records * self.record_bytes

    def bytes_of(self, first: int, last: int) -> npt.NDArray[np.uint8]:
        """Map the data records from ``first`` up to ``last``, (record, byte)."""
        shape = (self.records, self.record_bytes)
        return safe.memmap(self.path, np.dtype("u1"), shape, self.size)[first:last]


@dataclass(frozen=True)
class Events:
    """The table of events; a rate of 0 is one that is not stated.

    Parameters
    ----------
    sample : int array (event,)
        Counted from 0, at ``rate_hz``.
    code, channel : int array (event,)
        Channels count from 1; 0 stands for all.
    length : float array (event,)
        In samples; NaN where none is stated.
    """

    rate_hz: float
    sample: npt.NDArray[np.int64]
    code: npt.NDArray[np.int64]
    channel: npt.NDArray[np.int64]
    length: npt.NDArray[np.float64]


def read_header(raw: Raw) -> Header:
    """Return the checked header.

    Raises
    ------
    UnreadableError
        When a field is impossible, or the fields and the file's size contradict each other.
    """
    name, size = raw.name, raw.main.stat().st_size
    fixed = safe.head(raw.main, FIXED_BYTES)
    if len(fixed) < FIXED_BYTES or not MAGIC.match(fixed):
        raise refusal(name, f"{len(fixed)} header bytes", "256, of GDF 1 to 3")
    version = float(fixed[4:8])
    two = version >= TWO
    count = _number(fixed, 252, "<u2" if two else "<u4")
    stated = _number(fixed, 184, "<u2") * 256 if two else _number(fixed, 184, "<i8")
    least = FIXED_BYTES + count * CHANNEL_BYTES
    if not count or not least <= stated <= size or (not two and stated != least):
        found = f"a header of {stated} bytes for {count} channels"
        raise refusal(name, found, f"channels, and {least} bytes or more, within {size}")
    table = _table(safe.head(raw.main, least)[FIXED_BYTES:], _TWO if two else _ONE, count)
    signals = tuple(_signals(name, table))
    record_s = _record_s(fixed, version)
    records, width = _number(fixed, 236, "<i8"), max(signal.stop for signal in signals)
    if not (math.isfinite(record_s) and record_s > 0) or records < 1 or not width:
        found = f"{records} data records of {record_s} s and {width} bytes"
        raise refusal(name, found, "one or more, each over 0")
    header = Header(
        raw.main, version, stated, records, record_s, width, signals,
        SEX.get(fixed[87] & 3, "") if two else "", tuple(_personal(fixed, table, two)),
        stated > least,
    )  # fmt: skip
    if header.end > size:
        parts = f"{stated} of header, {records} records of {width}"
        raise UnreadableError(
            name, f"{size} bytes", f"{header.end} bytes: {parts}", "copy or export it again"
        )
    return header


def _number(data: bytes, place: int, dtype: str) -> int:
    return int(np.frombuffer(data, dtype, 1, place)[0])


def _record_s(fixed: bytes, version: float) -> float:
    """Return the length of a data record: a fraction, from version 2.21 on a float."""
    if version >= 2.21:
        return float(np.frombuffer(fixed, "<f8", 1, 244)[0])
    above, below = np.frombuffer(fixed, "<u4", 2, 244).tolist()
    return above / below if below else math.nan


def _table(data: bytes, fields: Sequence[tuple[str, str]], count: int) -> list[Row]:
    columns, place = dict[str, list[Any]](), 0
    for name, dtype in fields:
        columns[name] = np.frombuffer(data, dtype, count, place).tolist()
        place += count * np.dtype(dtype).itemsize
    return [{name: values[i] for name, values in columns.items()} for i in range(count)]


def _signals(name: str, table: Sequence[Row]) -> Iterator[Signal]:
    start = 0
    for number, row in enumerate(table, 1):
        label, code = _decode(row["label"]), row["type"]
        where = f"{name}: channel {number} {label!r}"
        if code not in TYPES:
            raise refusal(where, f"samples of type {code}", f"one of {', '.join(map(str, TYPES))}")
        samples = row["samples"]
        stop = start + samples * width_of(TYPES[code])
        physical = (row["low"], row["high"])
        digital = (float(row["least"]), float(row["most"]))
        if samples:
            _require_range(where, physical, digital)
        yield Signal(label, _unit(row), physical, digital, samples, start, stop, TYPES[code])
        start = stop


def width_of(dtype: str) -> int:
    """Return the bytes of a stored sample."""
    return 3 if dtype[-1] == "3" else np.dtype(dtype).itemsize


def _require_range(where: str, physical: Sequence[float], digital: Sequence[float]) -> None:
    if not np.isfinite([*physical, *digital]).all() or physical[0] == physical[1]:
        found = f"a physical range of {physical} and a digital one of {digital}"
        raise refusal(where, found, "finite numbers, and a range")
    if not digital[0] < digital[1] or not math.isfinite(physical[1] - physical[0]):
        raise refusal(where, f"a digital range of {digital}", "a rising range")


def _unit(row: Row) -> str:
    """Return the spelling of a channel's unit; nothing where none is stated."""
    code = row.get("unit", 0)
    if not code:
        return _decode(row["dimension"])
    base, factor = UNITS.get(code & ~31), FACTORS.get(code & 31)
    return f"GDF unit {code}" if base is None or factor is None else factor + base


def _personal(fixed: bytes, table: Sequence[Row], two: bool) -> Iterator[str]:
    fields = {"patient": fixed[8:84] if two else fixed[8:88], "recording": fixed[88:152]}
    if two:
        fields |= {
            "health": fixed[84:88], "location": fixed[156:168], "birth date": fixed[176:184],
            "classification": fixed[186:192], "equipment": fixed[192:206],
            "head size": fixed[206:212],
        }  # fmt: skip
    else:
        fields["equipment"] = fixed[192:216]
    fields["transducers"] = b"".join(row["transducer"] for row in table)
    for name, field in fields.items():
        if field.strip(b"\0 xX"):
            yield name
    if (fixed[168:176] if two else fixed[168:184]).strip(b"\0 "):
        yield "start date and time (no zone)"


def _decode(field: bytes) -> str:
    return " ".join(field.decode("latin-1").partition("\0")[0].split())


def read_events(header: Header, raw: Raw) -> Events | None:
    """Return the events after the data, or None where there is no table.

    Raises
    ------
    UnreadableError
        When the table is cut or of an unknown form.
    """
    size = header.path.stat().st_size - header.end
    if not size:
        return None
    data = safe.memmap(header.path, np.dtype("u1"), (size,), header.end)
    if size < 8:
        raise refusal(raw.name, f"{size} bytes after the data", "8 or more of events, or none")
    start = data[:8].tobytes()
    mode = start[0]
    if header.version < 1.94:
        rate_hz, count = float(_number(start[1:4] + b"\0", 0, "<u4")), _number(start, 4, "<u4")
    else:
        rate_hz = float(np.frombuffer(start, "<f4", 1, 4)[0])
        count = _number(start[1:4] + b"\0", 0, "<u4")
    if not count and size == 8:
        return None
    if mode not in (1, 3) or not (math.isfinite(rate_hz) and rate_hz >= 0):
        found = f"a table of events of mode {mode} at {rate_hz} Hz"
        raise refusal(raw.name, found, "mode 1 or 3, at a rate")
    wanted = 8 + count * (12 if mode == 3 else 6)
    if size < wanted:
        raise refusal(raw.name, f"{size} bytes after the data", f"{wanted} of {count} events")
    if size > wanted:
        raw.warn("events", f"{size - wanted} bytes after the events", "none")
    return _events(data[8:wanted].tobytes(), count, mode, rate_hz)


def _events(table: bytes, count: int, mode: int, rate_hz: float) -> Events:
    sample = np.frombuffer(table, "<u4", count).astype("int64") - 1
    code = np.frombuffer(table, "<u2", count, 4 * count).astype("int64")
    if mode == 1:
        nothing = np.zeros(count, "int64")
        return Events(rate_hz, sample, code, nothing, np.full(count, np.nan))
    channel = np.frombuffer(table, "<u2", count, 6 * count).astype("int64")
    length = np.frombuffer(table, "<u4", count, 8 * count).astype("float64")
    return Events(rate_hz, sample, code, channel, length)


def refusal(where: str, found: str, expected: str) -> UnreadableError:
    """Make the refusal of a damaged file."""
    return UnreadableError(where, found, expected, "export it again or mend the header")
