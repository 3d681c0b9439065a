"""Epochs in FIF files: synthetic ones, written by MNE-Python, against its own reader; damage."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import UnreadableError
from neurodata.readers import fif
from neurodata.safe import Raw
from tests.readers.bit_flips import flip
from tests.readers.conformance import HeaderTests, PersonalTests, content
from tests.readers.synthetic_fif import CANARY, integer, mne_raw, replaced

mne = pytest.importorskip("mne")
TIMES, EVENTS = 41, ((30, 0, 1), (90, 0, 2), (150, 0, 1), (210, 0, 2), (260, 0, 7))
BYTES = 4 * 5 * TIMES * 4 + 16


def epochs(seconds: float = 3.0, rejected: int | None = 2, **options: Any) -> Any:
    """Return epochs of 100.5 Hz around some events; one is rejected, one of another kind."""
    import pandas as pd

    raw = mne_raw(seconds)
    if rejected is not None:
        sample = EVENTS[rejected][0]
        raw._data[0, sample] = 1.0
    meta = pd.DataFrame(
        {"rt": [0.3, 0.4, 0.5, 0.6, 0.7], "who": [CANARY] * 5, "0": [1, 2, 3, 4, 5]}
    )
    facts: dict[str, Any] = {
        "tmin": -0.1, "tmax": -0.1 + (TIMES - 1) / 100.5, "baseline": (None, 0), "preload": True,
        "reject": {"eeg": 0.5}, "metadata": meta, "proj": False,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mne.Epochs(
            raw, np.array(EVENTS), {"left/a:b": 1, "right": 2}, verbose="error",
            **{**facts, **options},
        )  # fmt: skip


def save(found: Any, path: Path, **options: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found.save(path, verbose="error", overwrite=True, **options)
    return path


def raw_of(path: Path) -> Raw:
    return Raw(path.parent, fif.members(path, sorted(path.parent.iterdir())))


def read(path: Path) -> xr.DataTree:
    return fif.read(raw_of(path), Declared())


class TestFifEpochs(HeaderTests, PersonalTests):
    reader = fif
    nodes: ClassVar = {
        "eeg": "timeseries", "physio": "timeseries", "misc": "timeseries", "epochs": "intervals",
    }  # fmt: skip
    lazy = ("signal",)
    canary = CANARY
    lies: ClassVar = {
        "more channels": replaced(integer(200, 5), integer(200, 6)),
        "a rate of 0": lambda whole: whole.replace(struct.pack(">f", 100.5), bytes(4)),
        "another last sample": replaced(integer(209, TIMES - 11), integer(209, TIMES)),
        "a last sample before the first": replaced(integer(209, TIMES - 11), integer(209, -99)),
        "complex samples": replaced(
            struct.pack(">iIi", 302, 1 << 30 | 4, BYTES),
            struct.pack(">iIi", 302, 1 << 30 | 20, BYTES),
        ),
        "samples of 16 bits": replaced(
            struct.pack(">iIi", 302, 1 << 30 | 4, BYTES), struct.pack(">iIi", 302, 2, BYTES)
        ),
        "another shape": replaced(
            struct.pack(">4i", TIMES, 5, 4, 3), struct.pack(">4i", 5, TIMES, 4, 3)
        ),
        "fewer events": replaced(
            struct.pack(">iIi", 3561, 3, 48), struct.pack(">iIi", 3561, 16, 48)
        ),
        "a drop log that is no JSON": replaced(b'[[], [], ["Fp1"], []', b'[[], [], ["Fp1"], [}'),
    }  # fmt: skip

    def make(self, folder: Path) -> Path:
        return save(epochs(rejected=None), folder / "synthetic-epo.fif")

    def test_lying_headers_are_refused(self, path: Path) -> None:
        save(epochs(rejected=2), path)
        with pytest.MonkeyPatch.context() as patch:
            lies = {**self.lies}
            for story in ("complex samples", "samples of 16 bits", "another shape", "fewer events"):
                del lies[story]
            patch.setattr(type(self), "lies", lies)
            super().test_lying_headers_are_refused(path)
        save(epochs(rejected=None), path)
        with pytest.MonkeyPatch.context() as patch:
            lies = {**self.lies}
            del lies["a drop log that is no JSON"]
            patch.setattr(type(self), "lies", lies)
            super().test_lying_headers_are_refused(path)


@pytest.mark.parametrize("fmt", ["single", "double"])
def test_values_and_epochs_equal_those_of_mne(tmp_path: Path, fmt: str) -> None:
    path = save(epochs(), tmp_path / "synthetic-epo.fif", fmt=fmt)
    tree, theirs = read(path), mne.read_epochs(path, proj=False, verbose="error")
    for name in ("eeg", "physio", "misc"):
        node = tree[name]
        wanted = theirs.get_data(picks=node["channel"].values.tolist()).transpose(0, 2, 1)
        assert node["signal"].dtype == {"single": np.float32, "double": np.float64}[fmt]
        np.testing.assert_allclose(
            node["signal"].values, wanted.reshape(-1, wanted.shape[2]), rtol=1e-6
        )
        assert node.attrs["rate_hz"] == theirs.info["sfreq"] == 100.5
        assert node.attrs["n"] == 3 * TIMES
    assert tree["eeg"]["units"].values.tolist() == ["V"] * 3
    found = tree["epochs"]
    assert found["label"].values.tolist() == ["left/a:b", "right", "right"]
    assert found["code"].values.tolist() == theirs.events[:, 2].tolist() == [1, 2, 2]
    assert found["event_sample"].values.tolist() == theirs.events[:, 0].tolist() == [30, 90, 210]
    assert found["selection"].values.tolist() == theirs.selection.tolist() == [0, 1, 3]
    starts = np.arange(3) * TIMES / 100.5
    np.testing.assert_allclose(found["start_s"], starts, atol=1e-12)
    np.testing.assert_allclose(found["zero_s"] - found["start_s"], -theirs.tmin, atol=1e-6)
    for name, at_s in zip(("baseline_start_s", "baseline_stop_s"), theirs.baseline, strict=True):
        np.testing.assert_allclose(found[name] - found["zero_s"], at_s, atol=1e-6)
    assert found["metadata_rt"].values.tolist() == theirs.metadata["rt"].tolist() == [0.3, 0.4, 0.6]
    assert "metadata_who" not in found


def test_rejected_epochs_are_told(tmp_path: Path) -> None:
    raw = raw_of(save(epochs(), tmp_path / "synthetic-epo.fif"))
    fif.read(raw, Declared())
    assert any("1 of 4 epochs were rejected" in problem.found for problem in raw.problems)


def test_no_baseline_is_no_column(tmp_path: Path) -> None:
    path = save(epochs(baseline=None, metadata=None), tmp_path / "synthetic-epo.fif")
    assert "baseline_start_s" not in read(path)["epochs"]


def test_blocks_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(epochs(), tmp_path / "synthetic-epo.fif")
    whole = read(path)["eeg"]["signal"].values
    monkeypatch.setattr("neurodata.readers.channels.BLOCK_BYTES", 100)
    signal = read(path)["eeg"]["signal"]
    assert len(signal.chunks[0]) > 10
    np.testing.assert_array_equal(signal.values, whole)


def test_split_equals_whole(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    info = mne.create_info(["Fp1", "Cz", "O1"], 1000.0, "eeg")
    events = np.array([[1000 * i, 0, 1 + i % 2] for i in range(500)])
    data = random.normal(0, 1e-5, (500, 3, 600))
    found = mne.EpochsArray(data, info, events, -0.1, {"a": 1, "b": 2}, verbose="error")
    whole = save(found, tmp_path / "whole-epo.fif")
    folder = tmp_path / "split"
    folder.mkdir()
    first = save(found, folder / "synthetic-epo.fif", split_size="2MB")
    assert len(list(folder.iterdir())) > 1
    assert set(raw_of(first).files) == set(folder.iterdir())
    assert content(read(whole)) == content(read(first))
    expected = data.transpose(0, 2, 1).reshape(-1, 3)
    np.testing.assert_allclose(read(first)["eeg"]["signal"].values, expected, rtol=1e-6)


def test_a_range_is_refused(tmp_path: Path) -> None:
    path = save(epochs(), tmp_path / "synthetic-epo.fif")
    whole = path.read_bytes()
    place = whole.index(struct.pack(">iIi", 203, 30, 96)) + 16 + 12
    path.write_bytes(whole[:place] + struct.pack(">f", 2.0) + whole[place + 4 :])
    with pytest.raises(UnreadableError, match="a range other than 1"):
        read(path)


def test_other_files_say_what_they_are(tmp_path: Path) -> None:
    found = epochs()
    evoked = tmp_path / "synthetic-ave.fif"
    mne.write_evokeds(evoked, found.average(), verbose="error")
    covariance = tmp_path / "synthetic-cov.fif"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mne.write_cov(covariance, mne.compute_covariance(found, verbose="error"))
    events = tmp_path / "synthetic-eve.fif"
    mne.write_events(events, found.events)
    for path, text in ((evoked, "averages"), (covariance, "a covariance"), (events, "events")):
        with pytest.raises(UnreadableError, match=text):
            read(path)


def test_bits_around_the_epochs_turned_over(tmp_path: Path) -> None:
    path = save(epochs(), tmp_path / "synthetic-epo.fif")
    flip(path, lambda: read(path), 4096, 40)
