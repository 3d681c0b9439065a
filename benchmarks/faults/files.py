"""Small valid files by code, each with what is true of it: the twins of hand-written cases."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.case import RAW

Array = np.ndarray[Any, Any]
RATE_HZ = 250.0
N = 2000
LABELS = ("EEG Fp1", "EEG Cz")


def root_of(folder: Path) -> Path:
    """Make and return the folder of the source."""
    raw = folder / RAW
    raw.mkdir(parents=True, exist_ok=True)
    return raw


def counts(channels: int = 2, n: int = N, seed: int = 1) -> Array:
    """Return whole numbers ``(time, channel)`` like a signal of 20 µV at 0.1 µV a count."""
    return np.random.default_rng(seed).normal(0, 200, (n, channels)).round().astype("i2")


@dataclass(frozen=True)
class Edf:
    """An EDF file with everything that its header states.

    Values are ``physical_min + (count - digital_min) * gain`` in ``unit``, with the gain that the
    ranges give; records last one second.
    """

    adc: Array = field(default_factory=counts)
    labels: Sequence[str] = LABELS
    unit: bytes = b"uV"
    physical: tuple[str, str] = ("-3276.8", "3276.7")
    digital: tuple[str, str] = ("-32768", "32767")
    record_s: str = "1"
    reserved: str = ""
    notes: Sequence[bytes] = ()
    """Annotation lists of EDF+, one a record."""
    per_record: int = int(RATE_HZ)

    def volts(self, microvolts_a_count: float = 0.1) -> Array:
        """Return what the file means, in volts."""
        return self.adc * (microvolts_a_count * 1e-6)

    def truth(self) -> dict[str, Any]:
        """Return the facts of a right reading."""
        return {
            "signal": self.volts(), "rate_hz": RATE_HZ, "channels": list(self.labels),
            "units": ["V"] * len(self.labels),
        }  # fmt: skip

    def content(self) -> bytes:
        """Return the bytes of the file (https://www.edfplus.info/specs/edf.html)."""
        records = len(self.adc) // self.per_record
        signals = self.adc.reshape(records, self.per_record, -1).transpose(0, 2, 1)
        blocks = [signals.reshape(records, -1).astype("<i2").view("u1")]
        names, sizes = list(self.labels), [self.per_record] * len(self.labels)
        units = [self.unit] * len(names)
        ranges = [(*self.physical, *self.digital)] * len(names)
        if self.notes:
            lists = b"".join(note.ljust(64, b"\0") for note in self.notes)
            blocks.append(np.frombuffer(lists, "u1").reshape(records, 64))
            names, sizes, units = [*names, "EDF Annotations"], [*sizes, 32], [*units, b""]
            ranges.append(("-1", "1", "-32768", "32767"))
        table = b"".join(name.encode().ljust(16) for name in names) + b" " * 80 * len(names)
        table += b"".join(unit.ljust(8) for unit in units)
        for at in range(4):
            table += b"".join(row[at].encode().ljust(8) for row in ranges)
        table += b" " * 80 * len(names) + b"".join(str(n).encode().ljust(8) for n in sizes)
        table += b" " * 32 * len(names)
        head = b"0".ljust(8) + b"X X X X".ljust(80) + b"Startdate X X X X".ljust(80)
        head += b"01.01.0000.00.00" + str(256 + len(table)).encode().ljust(8)
        head += self.reserved.encode().ljust(44) + str(records).encode().ljust(8)
        head += self.record_s.encode().ljust(8) + str(len(names)).encode().ljust(4)
        return head + table + np.concatenate(blocks, axis=1).tobytes()

    def build(self, folder: Path) -> Path:
        """Write the file and return its folder."""
        (root_of(folder) / "synthetic.edf").write_bytes(self.content())
        return folder / RAW


@dataclass(frozen=True)
class BrainVision:
    """A BrainVision recording of two channels with everything that its header states."""

    adc: Array = field(default_factory=counts)
    names: Sequence[str] = ("Fp1", "Cz")
    unit: str = "µV"
    resolution: str = "0.1"
    interval_us: str = "4000"
    form: str = "INT_16"
    markers: Sequence[str] = ()
    encoding: str = "utf-8"
    common: tuple[str, ...] = ()
    side_cars: tuple[tuple[str, str], ...] = ()

    def truth(self) -> dict[str, Any]:
        """Return the facts of a right reading."""
        return {
            "signal": self.adc * 1e-7, "rate_hz": RATE_HZ, "channels": list(self.names),
            "units": ["V"] * len(self.names),
        }  # fmt: skip

    def header(self) -> str:
        """Return the text of the header file."""
        page = "UTF-8" if self.encoding == "utf-8" else "ANSI"
        scale = f"{self.resolution},{self.unit}"
        lines = [
            "Brain Vision Data Exchange Header File Version 1.0", "; synthetic",
            "[Common Infos]", f"Codepage={page}", "DataFile=synthetic.eeg",
            "MarkerFile=synthetic.vmrk", "DataFormat=BINARY", "DataOrientation=MULTIPLEXED",
            f"DataPoints={len(self.adc)}", f"NumberOfChannels={len(self.names)}",
            f"SamplingInterval={self.interval_us}", *self.common,
            "[Binary Infos]", f"BinaryFormat={self.form}", "[Channel Infos]",
            *(f"Ch{i}={name},,{scale}" for i, name in enumerate(self.names, 1)),
        ]  # fmt: skip
        return "\r\n".join(lines) + "\r\n"

    def build(self, folder: Path) -> Path:
        """Write header, data and markers, and return their folder."""
        root = root_of(folder)
        (root / "synthetic.vhdr").write_bytes(self.header().encode(self.encoding))
        (root / "synthetic.eeg").write_bytes(self.adc.tobytes())
        marks = "".join(f"Mk{i}={mark}\r\n" for i, mark in enumerate(self.markers, 1))
        (root / "synthetic.vmrk").write_text(
            "Brain Vision Data Exchange Marker File, Version 1.0\r\n[Common Infos]\r\n"
            f"DataFile=synthetic.eeg\r\n[Marker Infos]\r\n{marks}"
        )
        for name, text in self.side_cars:
            (root / name).write_text(text)
        return root


@dataclass(frozen=True)
class Nifti:
    """A NIfTI-1 file of one volume or a run of them, written field by field."""

    image: Array
    """Voxels ``(x, y, z)`` or ``(x, y, z, time)``."""
    affine: Array
    form: str = "sform"
    units: int = 2 + 8  # mm and seconds
    period: float = 0.0
    slope: float = 1.0
    intercept: float = 0.0
    order: str = "<"
    pixdim: tuple[float, float, float] | None = None
    name: str = "synthetic.nii"

    def truth(self, factor_mm: float = 1.0) -> dict[str, Any]:
        """Return the facts of a right reading, the affine's numbers in units of ``factor_mm``."""
        affine = np.array(self.affine, "f8")
        affine[:3] *= factor_mm
        facts: dict[str, Any] = {"image": self.image * self.slope + self.intercept}
        return {**facts, "affine_mm": affine.astype("f4")}

    def content(self) -> bytes:
        """Return the bytes of the file (https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h)."""
        kinds = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512, "u4": 768}
        kind = self.image.dtype.str[1:]
        head, put = bytearray(352), partial(self._put, order=self.order)
        sizes = self.pixdim or tuple(np.linalg.norm(self.affine[:3, :3], axis=0))
        put(head, 0, "i", 348)
        put(head, 40, "8h", self.image.ndim, *self.image.shape, *[1] * (7 - self.image.ndim))
        put(head, 70, "2h", kinds[kind], 8 * self.image.itemsize)
        put(head, 76, "8f", 1, *sizes, self.period, 0, 0, 0)
        put(head, 108, "3f", 352, self.slope, self.intercept)
        head[123] = self.units
        put(head, 252, "2h", 0, 1)
        put(head, 280, "12f", *np.ravel(self.affine[:3]))
        head[344:348] = b"n+1\0"
        return bytes(head) + self.image.astype(self.order + kind).tobytes(order="F")

    @staticmethod
    def _put(head: bytearray, at: int, form: str, *values: Any, order: str) -> None:
        struct.pack_into(order + form, head, at, *values)

    def build(self, folder: Path) -> Path:
        """Write the file and return its folder."""
        (root_of(folder) / self.name).write_bytes(self.content())
        return folder / RAW


def text(name: str, content: str, folder: Path, **others: str) -> Path:
    """Write a text file, and others by name with ``__`` for the point; return their folder."""
    root = root_of(folder)
    (root / name).write_text(content, encoding="utf-8")
    for other, more in others.items():
        (root / other.replace("__", ".")).write_text(more, encoding="utf-8")
    return root


def phantom(shape: tuple[int, int, int] = (9, 8, 7)) -> Array:
    """Return an image ``(x, y, z)`` without any symmetry: seven voxels, each of its own value."""
    image = np.zeros(shape, "i2")
    for value, place in enumerate(
        [(0, 0, 0), (1, 0, 0), (0, 2, 0), (0, 0, 3), (8, 1, 2), (3, 7, 5), (6, 4, 6)], 1
    ):
        image[place] = 10 * value
    return image


def oblique() -> Array:
    """Return an affine: voxels of 0.5 x 1.25 x 3 mm, turned about all three axes."""
    a, b, c = np.deg2rad([11.0, 23.0, 37.0])
    turn_x = [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
    turn_y = [[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]]
    turn_z = [[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]]
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(turn_x) @ turn_y @ turn_z @ np.diag([0.5, 1.25, 3.0])
    matrix[:3, 3] = [-17.5, 4.25, 31.0]
    return matrix
