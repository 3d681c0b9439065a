"""Synthetic XDF files, written chunk by chunk from the specification."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

CANARY = "CANARY"
RATE_HZ, DRIFT, OFFSET_S = 250.0, 1.0002, 12.5  # of the amplifier, whose clock is off
UUID = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")


def chunk(tag: int, content: bytes, size: int = 4) -> bytes:
    """Return a chunk whose length has 1, 4 or 8 bytes."""
    length = (len(content) + 2).to_bytes(size, "little")
    return bytes([size]) + length + struct.pack("<H", tag) + content


def number(value: int, size: int = 4) -> bytes:
    return bytes([size]) + value.to_bytes(size, "little")


def header(name: str, kind: str, channels: int, rate_hz: float, fmt: str, desc: str = "") -> str:
    """Return the XML of a stream's header."""
    return (
        f"<?xml version='1.0'?><info><name>{name}</name><type>{kind}</type>"
        f"<channel_count>{channels}</channel_count><nominal_srate>{rate_hz}</nominal_srate>"
        f"<channel_format>{fmt}</channel_format><source_id>{CANARY}</source_id>"
        f"<hostname>{CANARY}</hostname><session_id>{CANARY}</session_id><uid>{CANARY}</uid>"
        f"<created_at>1234.5</created_at><desc>{desc}<subject><name>{CANARY}</name></subject>"
        "</desc></info>"
    )


def described(rows: Sequence[tuple[str, str, str]]) -> str:
    """Return descriptions of channels: label, type and unit."""
    inside = "".join(
        f"<channel><label>{a}</label><type>{b}</type><unit>{c}</unit></channel>" for a, b, c in rows
    )
    return f"<channels>{inside}</channels>"


def samples(
    stream: int, values: np.ndarray, stamps: Sequence[float | None], dtype: str, size: int = 4
) -> bytes:
    """Return a chunk of numbers (time, channel); None leaves a stamp out."""
    rows = b"".join(
        (b"\0" if at is None else b"\x08" + struct.pack("<d", at)) + row.astype(dtype).tobytes()
        for at, row in zip(stamps, values, strict=True)
    )
    return chunk(3, struct.pack("<I", stream) + number(len(values), size) + rows)


def texts(stream: int, rows: Sequence[str], stamps: Sequence[float]) -> bytes:
    """Return a chunk of markers."""
    body = b"".join(
        b"\x08" + struct.pack("<d", at) + number(len(text.encode()), 1) + text.encode()
        for at, text in zip(stamps, rows, strict=True)
    )
    return chunk(3, struct.pack("<I", stream) + number(len(rows), 1) + body)


def offset(stream: int, at_s: float, value_s: float) -> bytes:
    return chunk(4, struct.pack("<Idd", stream, at_s, value_s))


def footer(stream: int, count: int) -> bytes:
    xml = f"<?xml version='1.0'?><info><sample_count>{count}</sample_count></info>"
    return chunk(6, struct.pack("<I", stream) + xml.encode())


def start(streams: dict[int, str]) -> bytes:
    """Return the file's header and those of its streams."""
    xml = "<?xml version='1.0'?><info><version>1.0</version><datetime>2020</datetime></info>"
    parts = [b"XDF:", chunk(1, xml.encode())]
    return b"".join(
        [*parts, *(chunk(2, struct.pack("<I", n) + text.encode()) for n, text in streams.items())]
    )


ROWS = (("Fp1", "EEG", "microvolts"), ("Cz", "EEG", "microvolts"), ("TRIG", "TRIG", ""))
MARKERS = ((0.5, "start"), (2.0, "left"), (2.0, "right"), (3.5, "stop"))


def eeg(count: int = 1000) -> np.ndarray:
    """Return stored numbers (time, channel) of the first stream."""
    return np.random.default_rng(9).normal(0, 30, (count, 3)).astype("f4")


def gaze(count: int = 40) -> np.ndarray:
    return np.random.default_rng(2).integers(-2000, 2000, (count, 2))


def recorded(
    gap_s: float = 0.0, rate_hz: float = RATE_HZ, count: int | None = None, desc: str = "",
) -> bytes:  # fmt: skip
    """Return a recording of three streams: an amplifier, gaze without a rate, markers.

    The amplifier's clock is `OFFSET_S` behind and drifts; its stamps jitter and most are left
    out; after 600 samples it pauses for ``gap_s``.
    """
    values, random = eeg(), np.random.default_rng(3)
    own = 100 + np.arange(len(values)) * DRIFT / RATE_HZ
    own[600:] += gap_s
    own += random.normal(0, 2e-5, len(values))
    looks, look_s = gaze(), 112.4 + np.sort(random.uniform(0, 4, 40))
    parts = [
        start({
            1: header("Amp", "EEG", 3, rate_hz, "float32", desc or described(ROWS)),
            7: header("Gaze", "Gaze", 2, 0, "int16", described((("x", "", "px"), ("y", "", "px")))),
            3: header("Task", "Markers", 1, 0, "string"),
        })
    ]  # fmt: skip
    for first in range(0, len(values), 50):
        at = [float(own[i]) if i % 50 in (0, 20) else None for i in range(first, first + 50)]
        if (first // 50) % 3 == 1:
            at = [float(t) for t in own[first : first + 50]]
        parts.append(samples(1, values[first : first + 50], at, "<f4", 1 if first else 4))
        parts.append(offset(1, 100 + first / RATE_HZ, OFFSET_S))
        if first == 500:
            parts.append(chunk(5, UUID))
    parts.append(samples(7, looks, [float(t) for t in look_s], "<i2"))
    parts.append(offset(7, 112.0, 0.0))
    parts.append(texts(3, [text for _, text in MARKERS], [112.5 + s for s, _ in MARKERS]))
    parts.append(offset(3, 112.0, 0.0))
    parts += [footer(1, len(values) if count is None else count), footer(7, 40), footer(3, 4)]
    return b"".join(parts)
