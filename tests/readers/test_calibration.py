"""A calibration of 0, NaN or infinity is refused in every format that packs one into its header."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodata.errors import NeurodataError
from neurodata.ingestion import normalise
from neurodata.plan import Job
from neurodata.safe import Raw
from tests.readers import (
    synthetic_ctf,
    synthetic_fif,
    synthetic_kit,
    test_ctf,
    test_dicom,
    test_kit,
    test_neuroscan,
)

IMPOSSIBLE = {"0": 0.0, "NaN": np.nan, "infinity": np.inf, "-infinity": -np.inf}
Write = Callable[[Path, float], Path]


def swapped(path: Path, old: bytes, new: bytes) -> Path:
    """Write other bytes over the first occurrence of some in a file."""
    whole = path.read_bytes()
    assert old in whole
    path.write_bytes(whole.replace(old, new, 1))
    return path


def ctf_gain(folder: Path, value: float) -> Path:
    old = struct.pack(">d", synthetic_ctf.GAINS[0][0])
    return swapped(test_ctf.TestCtf().make(folder), old, struct.pack(">d", value))


def ctf_quantum(folder: Path, value: float) -> Path:
    old = struct.pack(">2d", *synthetic_ctf.GAINS[0])
    new = struct.pack(">2d", synthetic_ctf.GAINS[0][0], value)
    return swapped(test_ctf.TestCtf().make(folder), old, new)


def kit_gain(folder: Path, value: float) -> Path:
    old = struct.pack("<d", synthetic_kit.GAIN)
    return swapped(test_kit.TestKit().make(folder), old, struct.pack("<d", value))


def kit_range(folder: Path, value: float) -> Path:
    old = struct.pack("<d", synthetic_kit.ADC_RANGE_V)
    return swapped(test_kit.TestKit().make(folder), old, struct.pack("<d", value))


def fif(folder: Path, **facts: float) -> Path:
    path = folder / "synthetic_raw.fif"
    channels = [synthetic_fif.channel(1, "EEG 001", **facts)]  # type: ignore[arg-type]
    data = np.random.default_rng(1).integers(-90, 90, (50, 1))
    path.write_bytes(synthetic_fif.by_tags(channels, [synthetic_fif.buffer(data)]))
    return path


def fif_calibration(folder: Path, value: float) -> Path:
    return fif(folder, cal=value)


def fif_range(folder: Path, value: float) -> Path:
    return fif(folder, cal=1e-7, range_=value)


def neuroscan_calibration(folder: Path, value: float) -> Path:
    path = test_neuroscan.TestNeuroscan().make(folder)
    path.write_bytes(test_neuroscan.put(900 + 71, "<f", value)(path.read_bytes()))
    return path


def neuroscan_sensitivity(folder: Path, value: float) -> Path:
    path = test_neuroscan.TestNeuroscan().make(folder)
    path.write_bytes(test_neuroscan.put(900 + 59, "<f", value)(path.read_bytes()))
    return path


def dicom_slope(folder: Path, value: float) -> Path:
    path = test_dicom.TestDicom().make(folder)
    for other in set(folder.iterdir()) - {path}:  # slices that would have another slope
        other.unlink()
    text = f"{value:g}".encode()
    path.write_bytes(test_dicom.changed(RescaleSlope=0, RescaleIntercept=0)(path.read_bytes()))
    element = struct.pack("<HH2sH", 0x28, 0x1053, b"DS", 4) + b"0.0 "
    padded = text.ljust(len(text) + len(text) % 2)
    return swapped(path, element, struct.pack("<HH2sH", 0x28, 0x1053, b"DS", len(padded)) + padded)


FORMATS: dict[str, tuple[Write, ...]] = {
    "ctf": (ctf_gain, ctf_quantum),
    "kit": (kit_gain, kit_range),
    "fif": (fif_calibration, fif_range),
    "neuroscan": (neuroscan_calibration, neuroscan_sensitivity),
    "dicom": (dicom_slope,),
}


def outcome(reader: str, main: Path) -> Any:
    """Return the checked tree of a recording, as ingest makes it."""
    from neurodata.readers import reader as reader_of

    files = sorted(path for path in main.parent.rglob("*") if path.is_file())
    members = reader_of(reader).members(main, files)
    facts = {"modality": "eeg"} if reader == "fif" else {}
    job = Job("synthetic", "a", main.parent, members, reader, facts)
    return normalise(job, Raw(main.parent, members))


@pytest.mark.parametrize("story", IMPOSSIBLE)
@pytest.mark.parametrize(
    ("reader", "write"), [(name, write) for name, group in FORMATS.items() for write in group]
)
def test_an_impossible_calibration_is_refused(
    reader: str, write: Write, story: str, tmp_path: Path
) -> None:
    with pytest.raises(NeurodataError):
        outcome(reader, write(tmp_path, IMPOSSIBLE[story]))


@pytest.mark.parametrize(
    ("reader", "write", "value"),
    [("ctf", ctf_gain, 1e9), ("kit", kit_gain, 2e-9), ("kit", kit_range, 5.0),
     ("fif", fif_calibration, 1e-7), ("neuroscan", neuroscan_calibration, 1.5),
     ("dicom", dicom_slope, 2.0)],
)  # fmt: skip
def test_another_calibration_is_read(
    reader: str, write: Write, value: float, tmp_path: Path
) -> None:
    outcome(reader, write(tmp_path, value))
