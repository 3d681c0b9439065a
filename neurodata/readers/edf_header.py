"""Header of EDF, EDF+ and BDF: every field checked, and the whole compared with the file's size.

Formats: https://www.edfplus.info/specs/edf.html, https://www.edfplus.info/specs/edfplus.html and
https://www.biosemi.com/faq/file_format.htm.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neurodata import safe
from neurodata.errors import UnreadableError
from neurodata.safe import Raw

MAGIC = {b"0       ": 2, b"\xffBIOSEMI": 3}  # bytes a sample
ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
_FIELDS = (
    ("label", 16), ("transducer", 80), ("unit", 8), ("physical_min", 8), ("physical_max", 8),
    ("digital_min", 8), ("digital_max", 8), ("prefilter", 80), ("samples", 8), ("reserved", 32),
)  # fmt: skip
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_INTEGER = re.compile(r"[+-]?\d+")


@dataclass(frozen=True)
class Signal:
    """One signal of the header; ``start`` and ``stop`` are its bytes in a data record."""

    label: str
    unit: str
    physical: tuple[float, float]
    digital: tuple[float, float]
    samples: int
    start: int
    stop: int

    @property
    def scale(self) -> float:
        """Physical units a count; negative where the header inverts the range."""
        low, high = self.digital
        return (self.physical[1] - self.physical[0]) / (high - low)

    @property
    def offset(self) -> float:
        """Physical value of the count 0."""
        return self.physical[0] - self.scale * self.digital[0]


@dataclass(frozen=True)
class Header:
    """What the header says, after it was compared with itself and with the file's size."""

    path: Path
    width: int
    size: int
    records: int
    record_s: float
    reserved: str
    patient: str
    recording: str
    signals: tuple[Signal, ...]
    notes: tuple[Signal, ...]

    @property
    def record_bytes(self) -> int:
        """Size of one data record."""
        return max(signal.stop for signal in (*self.signals, *self.notes))

    def bytes_of(self, first: int, last: int) -> npt.NDArray[np.uint8]:
        """Map the data records from ``first`` up to ``last``, (record, byte)."""
        shape = (self.records, self.record_bytes)
        return safe.memmap(self.path, np.dtype("u1"), shape, self.size)[first:last]


def read_header(raw: Raw) -> Header:
    """Return the checked header.

    Raises
    ------
    UnreadableError
        When a field is impossible, or the fields and the file's size contradict each other.
    """
    path, name, size = raw.main, raw.name, raw.main.stat().st_size
    fixed = safe.head(path, 256)
    if len(fixed) < 256 or fixed[:8] not in MAGIC:
        raise refusal(name, f"{len(fixed)} header bytes", "256, of EDF or BDF")
    width = MAGIC[fixed[:8]]
    count = _integer(name, "number of signals", fixed[252:256], 1)
    header_bytes = 256 * (count + 1)
    stated = _integer(name, "header size", fixed[184:192], 0)
    if stated != header_bytes:
        raise refusal(name, f"a header of {stated} bytes", f"{header_bytes} for {count} signals")
    if size < header_bytes:
        raise refusal(name, f"{size} bytes", f"{header_bytes} bytes of header alone")
    table = safe.head(path, header_bytes)[256:]
    signals = tuple(_signals(name, table, count, width))
    header = Header(
        path=path,
        width=width,
        size=header_bytes,
        records=_integer(name, "number of data records", fixed[236:244], 1),
        record_s=_number(name, "duration of a data record", fixed[244:252]),
        reserved=_decode(fixed[192:236]),
        patient=_decode(fixed[8:88]),
        recording=_decode(fixed[88:168]),
        signals=tuple(s for s in signals if s.label not in ANNOTATIONS),
        notes=tuple(s for s in signals if s.label in ANNOTATIONS),
    )
    _require_size(name, header, size)
    return header


def _require_size(name: str, header: Header, size: int) -> None:
    if not header.signals:
        raise refusal(name, "no signal but annotations", "at least one signal")
    if header.record_s <= 0:
        raise refusal(name, f"data records of {header.record_s} s", "a duration over 0")
    expected = header.size + header.records * header.record_bytes
    if size != expected:
        raise UnreadableError(
            name,
            f"{size} bytes",
            f"{expected} bytes: {header.size} of header, {header.records} records of "
            f"{header.record_bytes}",
            "copy or export it again",
        )


def _signals(name: str, table: bytes, count: int, width: int) -> Iterator[Signal]:
    columns: dict[str, list[bytes]] = {}
    place = 0
    for field, size in _FIELDS:
        columns[field] = [table[place + i * size : place + (i + 1) * size] for i in range(count)]
        place += count * size
    start = 0
    for i in range(count):
        cells = {field: values[i] for field, values in columns.items()}
        label = _decode(cells["label"])
        where = f"{name}: signal {i + 1} {label!r}"
        samples = _integer(where, "samples a record", cells["samples"], 1)
        stop = start + samples * width
        if label in ANNOTATIONS:
            yield Signal(label, "", (0, 1), (0, 1), samples, start, stop)
        else:
            physical, digital = _calibration(where, cells, width)
            unit = _decode(cells["unit"])
            yield Signal(label, unit, physical, digital, samples, start, stop)
        start = stop


def _calibration(
    where: str, cells: dict[str, bytes], width: int
) -> tuple[tuple[float, float], tuple[int, int]]:
    low, high = (_number(where, key, cells[key]) for key in ("physical_min", "physical_max"))
    least, most = (_integer(where, key, cells[key]) for key in ("digital_min", "digital_max"))
    limit = 2 ** (8 * width - 1)
    if low == high:
        raise refusal(where, f"physical minimum = maximum = {low:g}", "a range")
    if not -limit <= least < most < limit:
        raise refusal(
            where, f"digital range {least} to {most}", f"rising, within {-limit} to {limit - 1}"
        )
    return (low, high), (least, most)


def _decode(field: bytes) -> str:
    try:
        text = field.decode("utf-8")
    except UnicodeDecodeError:
        text = field.decode("latin-1")
    return " ".join(text.replace("\0", " ").split())


def _number(where: str, what: str, field: bytes) -> float:
    text = _decode(field)
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise refusal(where, f"{what.replace('_', ' ')} {text!r}", "a finite number")
    return value


def _integer(where: str, what: str, field: bytes, least: int | None = None) -> int:
    text = _decode(field)
    what = what.replace("_", " ")
    if not _INTEGER.fullmatch(text):
        raise refusal(where, f"{what} {text!r}", "a whole number")
    if least is not None and int(text) < least:
        raise refusal(where, f"{what} {text}", f"at least {least}")
    return int(text)


def refusal(where: str, found: str, expected: str) -> UnreadableError:
    """Make the refusal of a damaged file."""
    return UnreadableError(where, found, expected, "export it again or mend the header")
