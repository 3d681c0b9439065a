"""Synthetic GDF files of versions 1 and 2, written field by field from the specification."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

CANARY = "CANARY"
MICROVOLT, MILLIVOLT, DEGREE_C = 4256 + 19, 4256 + 18, 6048
WIDTH = {3: 2, 4: 2, 5: 4, 16: 4, 17: 8, 279: 3}
DTYPE = {3: "<i2", 4: "<u2", 5: "<i4", 16: "<f4", 17: "<f8", 279: "<i4"}


@dataclass
class Channel:
    """One channel; ``values`` (record, sample) are the stored numbers."""

    label: str
    values: np.ndarray
    unit: int = MICROVOLT
    text: str = "uV"
    kind: int = 3
    physical: tuple[float, float] = (-100.0, 100.0)
    digital: tuple[float, float] = (-32768, 32767)


@dataclass
class Table:
    """Events: sample counted from 0, code, channel and length in samples."""

    rows: Sequence[tuple[int, int, int, int]] = ()
    rate_hz: float = 100.0
    mode: int = 3
    more: bytes = field(default=b"")


def channels(records: int = 5, samples: int = 20, seed: int = 5) -> list[Channel]:
    """Return three channels of 16 bits, one of them in mV, over their whole range."""
    random = np.random.default_rng(seed)
    rows = [random.integers(-32768, 32768, (records, samples)) for _ in range(3)]
    return [
        Channel("Fp1", rows[0]),
        Channel("Cz", rows[1], physical=(-400.0, 400.0)),
        Channel("ECG", rows[2], MILLIVOLT, "mV", physical=(-5.0, 5.0)),
    ]


def synthetic_gdf(
    found: Sequence[Channel],
    table: Table | None = None,
    version: str = "2.20",
    duration: tuple[int, int] = (1, 5),
    extra: bytes = b"",
) -> bytes:
    """Return the bytes of a file; a data record lasts 0.2 s."""
    records = len(found[0].values)
    head = _two(found, version, duration, records, extra)
    if float(version) < 1.9:
        head = _one(found, version, duration, records)
    data = b"".join(_stored(c, record) for record in range(records) for c in found)
    return head + data + (b"" if table is None else _events(table, float(version)))


def _stored(channel: Channel, record: int) -> bytes:
    values = np.asarray(channel.values[record]).astype(DTYPE[channel.kind])
    if channel.kind == 279:
        return values.view("u1").reshape(-1, 4)[:, :3].tobytes()
    return values.tobytes()


def _two(
    found: Sequence[Channel], version: str, duration: tuple[int, int], records: int, extra: bytes
) -> bytes:
    length = 256 * (len(found) + 1) + len(extra)
    head = f"GDF {version}".encode() + f"{CANARY} {CANARY}".encode().ljust(66) + bytes(10)
    head += bytes([0, 70, 180, 2]) + CANARY.encode().ljust(64, b"\0")  # a woman
    head += struct.pack("<4I", 0, 1, 2, 3) + struct.pack("<2Q", 734000 << 32, 720000 << 32)
    head += struct.pack("<H", length // 256) + bytes(6) + b"\1" * 8 + bytes(6)
    head += struct.pack("<3H6f", 0, 0, 0, *[0.0] * 6) + struct.pack("<q", records)
    if float(version) >= 2.21:
        head += struct.pack("<d", duration[0] / duration[1])
    else:
        head += struct.pack("<2I", *duration)
    head += struct.pack("<2H", len(found), 0)
    assert len(head) == 256
    columns = [
        [c.label.encode().ljust(16, b"\0") for c in found],
        [CANARY.encode().ljust(80) for c in found],
        [c.text.encode().ljust(6, b"\0") for c in found],
        [struct.pack("<H", c.unit) for c in found],
        *_ranges(found, "<d"),
        [bytes(68) + struct.pack("<3f", 40.0, 0.1, 50.0) for c in found],
        [struct.pack("<I", np.shape(c.values)[1]) for c in found],
        [struct.pack("<I", c.kind) for c in found],
        [struct.pack("<3f", 0.0, 0.0, 0.0) for c in found],
        [bytes(20) for c in found],
    ]
    return head + b"".join(b"".join(column) for column in columns) + extra


def _one(found: Sequence[Channel], version: str, duration: tuple[int, int], records: int) -> bytes:
    head = f"GDF {version}".encode() + f"{CANARY} {CANARY}".encode().ljust(80)
    head += CANARY.encode().ljust(80) + b"2009020304050600"
    head += struct.pack("<q", 256 * (len(found) + 1)) + bytes(24) + bytes(20)
    head += struct.pack("<q2II", records, *duration, len(found))
    assert len(head) == 256
    columns = [
        [c.label.encode().ljust(16, b"\0") for c in found],
        [CANARY.encode().ljust(80) for c in found],
        [c.text.encode().ljust(8, b"\0") for c in found],
        *_ranges(found, "<q"),
        [b" " * 80 for c in found],
        [struct.pack("<I", np.shape(c.values)[1]) for c in found],
        [struct.pack("<I", c.kind) for c in found],
        [bytes(32) for c in found],
    ]
    return head + b"".join(b"".join(column) for column in columns)


def _ranges(found: Sequence[Channel], digital: str) -> list[list[bytes]]:
    kind = int if digital == "<q" else float
    return [
        [struct.pack("<d", c.physical[0]) for c in found],
        [struct.pack("<d", c.physical[1]) for c in found],
        [struct.pack(digital, kind(c.digital[0])) for c in found],
        [struct.pack(digital, kind(c.digital[1])) for c in found],
    ]


def _events(table: Table, version: float) -> bytes:
    count = len(table.rows)
    sample, code, channel, length = (
        np.array([row[i] for row in table.rows], "i8") for i in range(4)
    )
    if version < 1.94:
        head = bytes([table.mode]) + int(table.rate_hz).to_bytes(3, "little")
        head += struct.pack("<I", count)
    else:
        head = bytes([table.mode]) + count.to_bytes(3, "little") + struct.pack("<f", table.rate_hz)
    body = (sample + 1).astype("<u4").tobytes() + code.astype("<u2").tobytes()
    if table.mode == 3:
        body += channel.astype("<u2").tobytes() + length.astype("<u4").tobytes()
    return head + body + table.more
