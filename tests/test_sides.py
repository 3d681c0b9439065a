"""A source at the left of the head stays at the left, from the file to a batch."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodata.ingestion import ingest
from neurodata.loader import Windows, load
from neurodata.splits import Split
from neurodata.store import open_store

RATE_HZ, N = 100.0, 400
PLACES_M = {
    "Fp1": (-0.027, 0.083, 0.0), "Fp2": (0.027, 0.083, 0.0), "C3": (-0.063, 0.0, 0.061),
    "C4": (0.063, 0.0, 0.061), "T7": (-0.084, 0.0, 0.0), "T8": (0.084, 0.0, 0.0),
    "O1": (-0.027, -0.083, 0.0), "O2": (0.027, -0.083, 0.0),
}  # fmt: skip
"""Places in m: x to the right, y to the front, z to the top."""
SOURCES_M = {"left": (-0.07, 0.01, 0.03), "right": (0.07, 0.01, 0.03)}
Order = list[str]
Write = Callable[[Path, Order, np.ndarray], Path]


def microvolts(source: str, order: Order) -> np.ndarray:
    """Noise as each electrode sees it (time, channel): the weaker, the further away."""
    wave = np.random.default_rng(7).normal(0, 1, (N, len(order)))
    distance = [np.linalg.norm(np.subtract(PLACES_M[name], SOURCES_M[source])) for name in order]
    return np.asarray(wave / np.square(distance) / 10)


def electrodes(folder: Path, order: Order) -> None:
    """BIDS's table of places, in an order of its own."""
    rows = [f"{name}\t" + "\t".join(f"{1000 * x:g}" for x in PLACES_M[name]) for name in order]
    stem = "sub-01_space-CapTrak"
    (folder / f"{stem}_electrodes.tsv").write_text("name\tx\ty\tz\n" + "\n".join(rows) + "\n")
    system = {"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "mm"}
    (folder / f"{stem}_coordsystem.json").write_text(json.dumps(system))


def write_edf(folder: Path, order: Order, data: np.ndarray) -> Path:
    edfio = pytest.importorskip("edfio")
    signals = [
        edfio.EdfSignal(data[:, n], RATE_HZ, label=name, physical_dimension="uV")
        for n, name in enumerate(order)
    ]
    edfio.Edf(signals).write(folder / "sub-01_task-rest_eeg.edf")
    return folder / "sub-01_task-rest_eeg.edf"


def write_brainvision(folder: Path, order: Order, data: np.ndarray) -> Path:
    stem = "sub-01_task-rest_eeg"
    head = [
        "Brain Vision Data Exchange Header File Version 1.0", "[Common Infos]", "Codepage=UTF-8",
        f"DataFile={stem}.eeg", "DataFormat=BINARY", "DataOrientation=MULTIPLEXED",
        f"NumberOfChannels={len(order)}", f"SamplingInterval={1e6 / RATE_HZ:g}", "[Binary Infos]",
        "BinaryFormat=IEEE_FLOAT_32", "[Channel Infos]",
        *(f"Ch{n}={name},,1,µV" for n, name in enumerate(order, 1)),
    ]  # fmt: skip
    (folder / f"{stem}.vhdr").write_text("\r\n".join(head), encoding="utf-8")
    (folder / f"{stem}.eeg").write_bytes(data.astype("<f4").tobytes())
    return folder / f"{stem}.vhdr"


def write_fif(folder: Path, order: Order, data: np.ndarray) -> Path:
    mne = pytest.importorskip("mne")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        info = mne.create_info(order, RATE_HZ, "eeg")
        raw = mne.io.RawArray(data.T * 1e-6, info, verbose="error")
        montage = mne.channels.make_dig_montage(
            PLACES_M, nasion=[0, 0.1, 0], lpa=[-0.08, 0, 0], rpa=[0.08, 0, 0], coord_frame="head"
        )
        raw.set_montage(montage)
        raw.save(folder / "sub-01_task-rest_eeg.fif", verbose="error")
    return folder / "sub-01_task-rest_eeg.fif"


@pytest.mark.parametrize("source", SOURCES_M)
@pytest.mark.parametrize("write", [write_edf, write_brainvision, write_fif])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_source_stays_on_its_side(source: str, write: Write, seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    order = [str(name) for name in random.permutation(list(PLACES_M))]
    data = microvolts(source, order)
    raw = tmp_path / "raw"
    raw.mkdir()
    write(raw, order, data)
    if write is not write_fif:  # it has places of its own
        electrodes(raw, [str(name) for name in random.permutation(order)])
    declare: dict[str, Any] = {"licence": "CC0-1.0", "modality": "eeg"}
    result = ingest(raw, store=tmp_path / "store", dataset="lab", declare=declare)
    assert result.ok, result.findings()
    store = open_store(tmp_path / "store")
    (name,) = store.ids()
    node = store[name]["eeg"]
    names = [str(label) for label in node["channel"].values]
    for label, place in zip(names, node["position"].values, strict=True):
        np.testing.assert_allclose(place, PLACES_M[label], atol=1e-6)
    entry: Any = {"id": name, "version": store.version(name), "group": "01", "split": "train"}
    split = Split.sealed("lab", "subject", "", {"train": 1.0}, None, [entry])
    (batch,) = load(store, splits=split, sample=Windows(N / RATE_HZ), channels="by_name")
    signal, place = batch["signal"][0], batch["position_m"][0]
    power = np.square(signal).mean(axis=1)
    centre_m = (power[:, None] * place).sum(axis=0) / power.sum()
    assert np.sign(centre_m[0]) == np.sign(SOURCES_M[source][0])
    expected = microvolts(source, order).std(axis=0)
    for at, label in enumerate(order):
        (column,) = np.flatnonzero(np.isclose(place, PLACES_M[label], atol=1e-6).all(axis=1))
        assert signal[column].std() == pytest.approx(expected[at], rel=0.01)
