"""Synthetic EEGLAB data sets, in MAT files of version 5 (by SciPy) and 7.3 (by h5py)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

CANARY = "CANARY"
NAMES = ("Fp1", "Cz", "VEOG")


def eeg_struct(
    data: np.ndarray, events: Sequence[tuple[Any, float, float]] = (), rate_hz: float = 128.0,
    /, **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """Return the fields of an EEG structure; ``data`` is (channel, sample[, epoch])."""
    kinds = dict(zip(NAMES, ("EEG", "", "EOG"), strict=True))
    locations = [
        {"labels": name, "type": kinds[name], "X": 80.0, "Y": 1.0, "Z": 2.0} for name in NAMES
    ]
    return {
        "setname": CANARY, "filename": CANARY, "filepath": CANARY, "subject": CANARY,
        "group": CANARY, "condition": CANARY, "session": CANARY, "comments": CANARY,
        "nbchan": float(data.shape[0]), "pnts": float(data.shape[1]),
        "trials": float(data.shape[2] if data.ndim > 2 else 1), "srate": rate_hz, "xmin": 0.0,
        "data": data, "chanlocs": locations[: data.shape[0]], "history": CANARY,
        "event": [{"type": t, "latency": float(a), "duration": float(d)} for t, a, d in events],
        **more,
    }  # fmt: skip


def write_5(path: Path, eeg: dict[str, Any], flat: bool = False, packed: bool = False) -> Path:
    """Write a version 5 file, its fields within a structure or as variables."""
    fields = {key: _plain(value) for key, value in eeg.items()}
    content = fields if flat else {"EEG": fields}
    scipy.io.savemat(path, content, appendmat=False, do_compression=packed, oned_as="row")
    return path


def _plain(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if not value:
        return np.zeros((0, 0))
    rows = np.empty((1, len(value)), [(key, object) for key in value[0]])
    for i, item in enumerate(value):
        for key, cell in item.items():
            rows[0, i][key] = cell
    return rows


def write_73(path: Path, eeg: dict[str, Any], flat: bool = False, chunk: int = 64) -> Path:
    """Write a version 7.3 file as MATLAB lays it out, references in ``#refs#``."""
    with h5py.File(path, "w", userblock_size=512) as file:
        refs = file.create_group("#refs#")
        group = file if flat else file.create_group("EEG")
        if not flat:
            group.attrs["MATLAB_class"] = np.bytes_("struct")
        for key, value in eeg.items():
            if isinstance(value, list):
                _write_records(group, refs, key, value)
            else:
                _write_value(group, key, value, chunk)
    with path.open("r+b") as stream:
        text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2024"
        stream.write(text.ljust(116) + bytes(8) + b"\x00\x02IM")
    return path


def _write_records(group: h5py.Group, refs: h5py.Group, key: str, rows: list[Any]) -> None:
    if not rows:
        empty = group.create_dataset(key, data=np.array([0, 0], "u8"))
        empty.attrs["MATLAB_class"], empty.attrs["MATLAB_empty"] = np.bytes_("double"), np.uint8(1)
        return
    own = group.create_group(key)
    own.attrs["MATLAB_class"] = np.bytes_("struct")
    if len(rows) == 1:
        for name, value in rows[0].items():
            _write_value(own, name, value, 0)
        return
    for name in rows[0]:
        targets = []
        for row in rows:
            label = f"r{len(refs)}"
            _write_value(refs, label, row[name], 0)
            targets.append(refs[label].ref)
        own.create_dataset(name, data=np.array(targets, h5py.ref_dtype)[:, None])


def _write_value(group: h5py.Group, key: str, value: Any, chunk: int) -> None:
    if isinstance(value, str):
        codes = np.frombuffer(value.encode("utf-16-le"), "u2")[:, None]
        data, kind = codes if value else np.array([0, 0], "u8"), "char"
    else:
        data = np.atleast_2d(np.asarray(value)).T
        kind = "single" if data.dtype == "f4" else "double"
    options: dict[str, Any] = {}
    if key == "data" and chunk and not isinstance(value, str):
        options = {"chunks": (min(chunk, data.shape[0]), *data.shape[1:]), "compression": "gzip"}
    made = group.create_dataset(key, data=data, **options)
    made.attrs["MATLAB_class"] = np.bytes_(kind)
    if isinstance(value, str) and not value:
        made.attrs["MATLAB_empty"] = np.uint8(1)


def write_fdt(path: Path, data: np.ndarray) -> Path:
    """Write the samples (channel, sample[, epoch]) as a file beside the header."""
    path.write_bytes(data.astype("<f4").tobytes(order="F"))
    return path
