"""Synthetic CTF data sets: a header field by field, data by trial, markers."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

CANARY = "CANARY"
NAMES = ("MLC11-1609", "MRC11-1609", "G11-1609", "EEG001-1609", "STIM-1609", "SCLK01-177")
SENSORS = (5, 5, 0, 9, 11, 17)
GAINS = ((2e9, 1e3), (-2e9, 1e3), (1e8, 1e3), (1.0, 1e8), (1.0, 1.0), (1.0, 1.0))


def header(
    samples: int, trials: int = 1, rate_hz: float = 600.0, names: Sequence[str] = NAMES,
    before: int = 0, io_gain: float = 1.0, electrode: float = 0.0,
) -> bytes:  # fmt: skip
    """Return the bytes of a header."""
    canary = CANARY.encode()
    out = b"MEG41RS\0" + b"".join(canary.ljust(256, b"\0") for _ in range(3))
    out += struct.pack(">h", 1) + b"12:34".ljust(255, b"\0") + b"01/02/2019".ljust(255, b"\0")
    out += struct.pack(">ihxx", samples, len(names)) + struct.pack(">dd", rate_hz, 1.0)
    out += struct.pack(">hxxih", trials, before, trials)
    out = out.ljust(1360, b"\0")
    for size in (32, 256, 32, 32, 32, 32, 60):
        out += canary.ljust(size, b"\0")
    description = canary + b" of a run\0"
    out += struct.pack(">i", len(description)).rjust(1840 - len(out), b"\0")
    out = out.ljust(1844, b"\0") + description
    out += struct.pack(">h", 1) + struct.pack(">diihd", 150.0, 1, 1, 1, 0.5)
    out += b"".join(name.encode().ljust(32, b"\0") for name in names)
    for number in range(len(names)):
        out += _channel(number, io_gain, electrode)
    return out + struct.pack(">h", 2) + _balance(names[0], names[2]) + _balance(names[1], names[2])


def _balance(name: str, reference: str) -> bytes:
    out = name.encode().ljust(32, b"\0") + b"G1BR" + struct.pack(">ih", 0, 1)
    return (out + reference.encode().ljust(50 * 31, b"\0")).ljust(1992, b"\0")


def _channel(number: int, io_gain: float, electrode: float) -> bytes:
    proper, quantum = GAINS[number]
    out = struct.pack(">hhidddd", SENSORS[number], 0, 0, proper, quantum, io_gain, 0.0)
    out += struct.pack(">hhi", 1, 0, 0)
    place = (electrode,) * 3 if SENSORS[number] == 9 else (5.0, 1.0 + number, 20.0)
    coil = struct.pack(">ddddddddhihd", *place, 0, 0, 0.6, 0.8, 0, 1, 0, 0, 1.0)
    return out + coil.ljust(80, b"\0") + bytes(80 * 15)


def counts(samples: int, trials: int = 1) -> np.ndarray:
    """Return integers (trial, channel, sample), the last channel a clock that counts."""
    values = np.random.default_rng(9).integers(-(2**20), 2**20, (trials, len(NAMES), samples))
    values[:, -1] = 1 + np.arange(trials * samples).reshape(trials, samples)
    return values


def write(folder: Path, values: np.ndarray, files: int = 1, **options: Any) -> Path:
    """Write a data set, its trials over some files, and return its header's path."""
    trials, _, samples = values.shape
    folder = folder / "synthetic.ds"
    folder.mkdir(exist_ok=True)
    for number, part in enumerate(np.array_split(values, files)):
        name = f"synthetic.{number}_meg4" if number else "synthetic.meg4"
        (folder / name).write_bytes(b"MEG41CP\0" + part.astype(">i4").tobytes())
    (folder / "BadChannels").write_text("MRC11\n")
    (folder / "MarkerFile.mrk").write_text(markers({"go": [(0, 0.1), (trials - 1, 0.25)]}))
    (folder / "synthetic.eeg").write_text("1 EEG001 1.0 2.0 10.0\n")
    path = folder / "synthetic.res4"
    path.write_bytes(header(samples, trials, **options))
    return path


def markers(found: dict[str, list[tuple[int, float]]]) -> str:
    """Return the text of a marker file."""
    lines = ["PATH OF DATASET:", CANARY, "", "NUMBER OF MARKERS:", str(len(found)), ""]
    for name, rows in found.items():
        lines += ["CLASSGROUPID:", "+3", "NAME:", name, "COMMENT:", "", "COLOR:", "blue"]
        lines += ["NUMBER OF SAMPLES:", str(len(rows)), "LIST OF SAMPLES:"]
        lines += ["TRIAL NUMBER\t\tTIME FROM SYNC POINT (in seconds)"]
        lines += [f"{trial:+20d}\t\t\t\t{second:+20.10g}" for trial, second in rows] + ["", ""]
    return "\n".join(lines)
