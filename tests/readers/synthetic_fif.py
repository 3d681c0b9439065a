"""Synthetic FIF files: written by MNE-Python, or tag by tag."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

CANARY = "CANARY"


def mne_raw(seconds: float = 3.0, rate_hz: float = 100.5, first: int = 0) -> Any:
    """Return a recording of 3 EEG, 1 ECG, 1 STIM channel with annotations and personal fields."""
    import mne

    names = ["Fp1", "Cz", "O1", "heart", "STI 014"]
    info = mne.create_info(names, rate_hz, ["eeg", "eeg", "eeg", "ecg", "stim"])
    random, count = np.random.default_rng(7), int(seconds * rate_hz)
    data = random.normal(0, 2e-5, (5, count))
    data[4] = random.integers(0, 5, count)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = mne.io.RawArray(data, info, first_samp=first, verbose="error")
        raw.set_meas_date(datetime(2019, 3, 4, 5, 6, 7, tzinfo=UTC))
        raw.info["subject_info"] = {
            "his_id": CANARY, "last_name": CANARY, "first_name": CANARY, "sex": 2,
        }  # fmt: skip
        raw.info["experimenter"] = raw.info["description"] = CANARY
        raw.info["bads"] = ["Cz"]
        start_s = first / rate_hz
        notes = mne.Annotations(
            [0.5 + start_s, 2.0 + start_s], [0.25, 0.0], ["blink", "7"],
            orig_time=raw.info["meas_date"], ch_names=[["Fp1"], []],
        )  # fmt: skip
        raw.set_annotations(notes)
        montage = mne.channels.make_dig_montage(
            {"Fp1": [0.01, 0.08, 0.03], "Cz": [0.0, 0.0, 0.1], "O1": [-0.03, -0.08, 0.02]},
            nasion=[0, 0.1, 0], lpa=[-0.08, 0, 0], rpa=[0.08, 0, 0], coord_frame="head",
        )  # fmt: skip
        raw.set_montage(montage, on_missing="ignore")
    return raw


def save(raw: Any, path: Path, **options: Any) -> Path:
    """Save with MNE and return the path."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw.save(path, verbose="error", overwrite=True, **options)
    return path


def tag(kind: int, type_: int, data: bytes, following: int = 0) -> bytes:
    """Return the bytes of one tag."""
    return struct.pack(">iIii", kind, type_, len(data), following) + data


def integer(kind: int, value: int) -> bytes:
    """Return a tag that holds one integer."""
    return tag(kind, 3, struct.pack(">i", value))


def channel(
    number: int, name: str, kind: int = 2, coil: int = 1, unit: int = 107, power: int = 0,
    cal: float = 1.0, range_: float = 1.0,
) -> bytes:  # fmt: skip
    """Return a tag that describes one channel."""
    place = struct.pack(">12f", 0, 0, 0.1, *[0] * 9)
    data = struct.pack(">iiiffi", number, number, kind, range_, cal, coil) + place
    return tag(203, 30, data + struct.pack(">ii", unit, power) + name.encode().ljust(16, b"\0"))


def by_tags(channels: list[bytes], data: list[bytes], rate_hz: float = 250.0) -> bytes:
    """Return a FIF file of channel tags and of tags within the block of raw data."""
    info = [
        integer(104, 101), integer(200, len(channels)), tag(201, 4, struct.pack(">f", rate_hz)),
        *channels, integer(105, 101),
    ]  # fmt: skip
    body = [
        integer(104, 100),
        *info,
        integer(104, 102),
        *data,
        integer(105, 102),
        integer(105, 100),
    ]
    head = [tag(100, 31, struct.pack(">5i", 65537, 1, 2, 0, 0)), integer(101, -1)]
    return b"".join([*head, *body, tag(108, 0, b"", -1)])


def buffer(values: np.ndarray, dtype: str = ">i2", code: int = 2) -> bytes:
    """Return the tag of a data buffer (time, channel)."""
    return tag(300, code, values.astype(dtype).tobytes())


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Return a change of the first occurrence of some bytes."""
    return lambda whole: whole.replace(old, new, 1)
