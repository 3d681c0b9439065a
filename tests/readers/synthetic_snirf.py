"""Synthetic SNIRF files, written field by field with h5py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

CANARY = "CANARY"
PAIRS = ((1, 1), (1, 2), (2, 2))
WAVELENGTHS = (760.0, 850.0)


def samples(count: int = 200) -> np.ndarray:
    """Return intensities (time, channel), a channel for each pair and wavelength."""
    return np.random.default_rng(4).uniform(0.1, 2.0, (count, len(PAIRS) * len(WAVELENGTHS)))


def write(
    path: Path, data: np.ndarray, times: Any = None, unit: str = "V", time_unit: str = "s",
    kind: int = 1, labels: tuple[str, ...] = (), step_s: float = 0.1,
) -> Path:  # fmt: skip
    """Write one measurement with stimuli and an auxiliary channel."""
    with h5py.File(path, "w") as file:
        _put(file, "formatVersion", "1.1")
        nirs = file.create_group("nirs")
        tags = nirs.create_group("metaDataTags")
        for key, value in {
            "SubjectID": CANARY, "MeasurementDate": "2020-01-02", "MeasurementTime": "03:04:05",
            "LengthUnit": "mm", "TimeUnit": time_unit, "FrequencyUnit": "Hz",
            "Experimenter": CANARY,
        }.items():  # fmt: skip
            _put(tags, key, value)
        block = nirs.create_group("data1")
        chunks = (50, data.shape[1])
        block.create_dataset("dataTimeSeries", data=data, chunks=chunks, compression="gzip")
        times = np.arange(len(data)) * step_s if times is None else times
        block["time"] = np.asarray(times, "f8")
        _lists(block, unit, kind, labels)
        probe = nirs.create_group("probe")
        probe["wavelengths"] = np.array(WAVELENGTHS)
        probe["sourcePos3D"] = np.array([[10.0, 0, 5], [20, 0, 5]])
        probe["detectorPos3D"] = np.array([[10.0, 30, 5], [20, 30, 5]])
        stim = nirs.create_group("stim1")
        _put(stim, "name", "tap")
        stim["data"] = np.array([[1.0, 5.0, 1.0], [8.0, 5.0, 2.0]])
        aux = nirs.create_group("aux1")
        _put(aux, "name", "accelerometer")
        _put(aux, "dataUnit", "m/s2")
        aux["dataTimeSeries"], aux["time"] = np.arange(40.0), np.arange(40) * 0.5
    return path


def _lists(block: h5py.Group, unit: str, kind: int, labels: tuple[str, ...]) -> None:
    rows = [(*pair, wave) for pair in PAIRS for wave in (1, 2)]
    for number, (source, detector, wave) in enumerate(rows, 1):
        item = block.create_group(f"measurementList{number}")
        item["sourceIndex"], item["detectorIndex"] = np.int32(source), np.int32(detector)
        item["wavelengthIndex"], item["dataType"] = np.int32(wave), np.int32(kind)
        item["dataTypeIndex"] = np.int32(1)
        if unit:
            _put(item, "dataUnit", unit)
        if labels:
            _put(item, "dataTypeLabel", labels[(number - 1) % len(labels)])


def _put(group: h5py.Group, name: str, text: str) -> None:
    group.create_dataset(name, data=text, dtype=h5py.string_dtype())
