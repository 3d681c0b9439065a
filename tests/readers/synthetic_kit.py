"""Synthetic KIT recordings, section by section: 3 gradiometers, 1 reference, 1 trigger, 1 ECG."""

from __future__ import annotations

import struct

import numpy as np

CANARY = "CANARY"
ADC_RANGE_V, ADC_BITS, GAIN = 10.0, 16, 1e-9
TYPES = (2, 2, 2, 0x101, -1, -3)
ENTRIES, TABLE_BYTES, CHANNEL_BYTES = 32, 512, 76


def synthetic_kit(
    values: np.ndarray, rate_hz: float = 500.0, kind: int = 1, bits: int = 16,
    epochs: tuple[int, int] | None = None,
) -> bytes:  # fmt: skip
    """Return the bytes of a file with some samples (time, channel).

    Epochs are given by how many they are, and how many samples are before the event in each.
    """
    condition = struct.pack("<idii", kind, rate_hz, len(values), len(values))
    if epochs:
        count, before = epochs
        condition = struct.pack("<id4i", 3, rate_hz, len(values) // count, before, 1, count)
    sections = {
        1: (_system(len(TYPES), bits), 1),
        2: (CANARY.encode().ljust(412, b"\0"), 1),
        4: (b"".join(_channel(i, t) for i, t in enumerate(TYPES)), len(TYPES)),
        5: (struct.pack("<12d", *[0.0, GAIN] * len(TYPES)), len(TYPES)),
        7: (struct.pack("<i", 0x00000000), 1),
        8: (condition, 1),
        9: (values.astype(f"<i{bits // 8}").tobytes(), values.size),
    }
    table, body = [(0, 16, ENTRIES, ENTRIES)], b""
    for number in range(1, ENTRIES):
        content, count = sections.get(number, (b"", 0))
        size = len(content) // count if count else 8
        table.append((TABLE_BYTES + len(body), size, count, count))
        body += content
    return b"".join(struct.pack("<Iiii", *row) for row in table) + body


def _system(channels: int, bits: int) -> bytes:
    head = struct.pack("<3i", 2, 4, 442) + CANARY.encode().ljust(128, b"\0")
    head += CANARY.encode().ljust(128, b"\0") + struct.pack("<i", channels)
    head += CANARY.encode().ljust(256, b"\0") + struct.pack("<2i", 1_500_000_000, 1_500_000_000)
    head += struct.pack("<3i", 0, 0, 0) + struct.pack("<4i", 0, 0, 0, 0)
    head += struct.pack("<4i", 100, 0, 0, 0) + struct.pack("<4i", 0, 0, 0, 0)
    head += struct.pack("<i29i", 0, *[0] * 29)
    return head + struct.pack("<d3i", ADC_RANGE_V, 0, bits, ADC_BITS)


def _channel(number: int, kind: int) -> bytes:
    if kind > 0:
        body = struct.pack("<i5d", kind, 0.1, 0.01 * number, 0.02, 30.0, 40.0)
    else:
        name = {-1: b"TRIGGER", -3: b"heart"}[kind]
        body = struct.pack("<iii", kind, number, 0) + name.ljust(32, b"\0") + bytes(8)
        body += struct.pack("<d", 0.0)
    return body.ljust(CHANNEL_BYTES, b"\0")
