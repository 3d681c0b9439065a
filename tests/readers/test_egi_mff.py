"""EGI folders: synthetic ones against MNE-Python's and mffpy's own readers; damage is refused."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import MissingFactError, RefusedError, UnreadableError, UnsafeError
from neurodata.readers import egi_mff
from neurodata.safe import Raw
from tests.readers.bit_flips import flip
from tests.readers.conformance import PersonalTests
from tests.readers.synthetic_mff import CANARY, COUNTS, GAINS, GAP, RATE_HZ, START, samples, write

FIRST = COUNTS[0] + COUNTS[1]


def raw_of(path: Path) -> Raw:
    folder = sorted(p for p in path.parent.rglob("*") if p.is_file())
    return Raw(path.parent, egi_mff.members(path, folder))


def read(path: Path, **facts: Any) -> xr.DataTree:
    return egi_mff.read(raw_of(path), Declared(facts))


def times() -> np.ndarray:
    return np.r_[np.arange(FIRST), np.arange(COUNTS[2]) + FIRST + GAP] / RATE_HZ


class TestMff(PersonalTests):
    reader = egi_mff
    nodes: ClassVar = {
        "eeg": "timeseries", "physio": "timeseries", "misc": "timeseries", "events": "intervals",
    }  # fmt: skip
    lazy = ("signal",)
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return write(folder)

    def victims(self, path: Path) -> tuple[Path, ...]:
        names = ("info.xml", "signal1.bin", "signal2.bin", "epochs.xml", "sensorLayout.xml",
                 "info1.xml", "pnsSet.xml", "Events_DIN.xml")  # fmt: skip
        return tuple(path.with_name(name) for name in names)

    def test_damage_gives_no_foreign_exception(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tests.readers.conformance.FLIPS", 25)
        super().test_damage_gives_no_foreign_exception(path)


def test_values_equal_those_of_mne(tmp_path: Path) -> None:
    mne = pytest.importorskip("mne")
    pytest.importorskip("mffpy")
    path = write(tmp_path)
    tree = read(path)
    theirs = mne.io.read_raw_egi(path.parent, exclude=[], verbose="error")
    assert theirs.n_times == FIRST + GAP + COUNTS[2]  # MNE fills the gap with zeros
    kept = np.r_[np.arange(FIRST), np.arange(COUNTS[2]) + FIRST + GAP]
    eeg = tree["eeg"]
    assert eeg["channel"].values.tolist() == ["E1", "E2", "E3", "Vertex Reference"]
    names = [*theirs.ch_names[:4]]
    np.testing.assert_allclose(
        eeg["signal"].values.T, theirs.get_data(names)[:, kept], rtol=1e-6, atol=1e-15
    )
    np.testing.assert_allclose(eeg["signal"].values, samples() * np.array(GAINS) * 1e-6, rtol=1e-6)
    for node, name in (("physio", "ECG"), ("misc", "Light")):
        assert tree[node]["channel"].values.tolist() == [name]
        assert tree[node]["units"].values.tolist() == ["V"]
        found = tree[node]["signal"].values[:, 0]
        np.testing.assert_allclose(found, theirs.get_data([name])[0, kept], rtol=1e-6)
    np.testing.assert_allclose(eeg["time"], times(), rtol=0, atol=1e-9)
    events = tree["events"]
    assert events["label"].values.tolist() == ["DIN1", "stim"]
    np.testing.assert_allclose(events["start_s"], [0.5, 1.25], rtol=0, atol=1e-9)
    notes = theirs.annotations
    for code, at_s in (("DIN1", 0.5), ("stim", 1.25)):
        assert notes.onset[notes.description == code] == pytest.approx([at_s], abs=1 / RATE_HZ)
    np.testing.assert_allclose(events["duration_s"], [0.0, 0.1], atol=1e-12)
    assert tree.attrs == {"modality": "eeg", "start_time": START}


def test_values_equal_those_of_mffpy(tmp_path: Path) -> None:
    mffpy = pytest.importorskip("mffpy")
    path = write(tmp_path)
    reader = mffpy.Reader(str(path.parent))
    eeg = read(path)["eeg"]["signal"].values
    parts = [reader.get_physical_samples_from_epoch(e)["EEG"][0] for e in reader.epochs]
    np.testing.assert_allclose(eeg.T, np.hstack(parts) * 1e-6, rtol=1e-6)


def test_the_gap_is_told_and_kept(tmp_path: Path) -> None:
    raw = raw_of(write(tmp_path))
    tree = egi_mff.read(raw, Declared())
    assert "rate_hz" not in tree["eeg"].attrs
    assert any("1 gaps" in problem.found for problem in raw.problems)


def test_folders_in_microseconds(tmp_path: Path) -> None:
    tree = read(write(tmp_path, second=10**6))
    np.testing.assert_allclose(tree["eeg"]["time"], times(), rtol=0, atol=1e-9)
    assert np.isnan(tree["events"]["duration_s"]).all()


def test_physiology_may_lack_a_sample(tmp_path: Path) -> None:
    raw = raw_of(write(tmp_path, last=COUNTS[2] - 1))
    tree = egi_mff.read(raw, Declared())
    assert tree["physio"].sizes["time"] == tree["eeg"].sizes["time"] - 1
    assert any("lacks the last sample" in problem.found for problem in raw.problems)
    shutil.rmtree(tmp_path / "synthetic.mff")
    with pytest.raises(UnreadableError, match="samples of physiology"):
        read(write(tmp_path, last=COUNTS[2] - 2))


def test_without_calibration_the_unit_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, gains=False)
    with pytest.raises(MissingFactError, match=r"units\.(E1|E\*|\*)=<unit>"):
        read(path)
    facts = {f"units.{n}": "uV" for n in ("E1", "E2", "E3", "Vertex Reference")}
    np.testing.assert_allclose(read(path, **facts)["eeg"]["signal"], samples() * 1e-6, rtol=1e-6)


def test_blocks_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    whole = read(path)["eeg"]["signal"].values
    monkeypatch.setattr("neurodata.readers.channels.BLOCK_BYTES", 1000)
    signal = read(path)["eeg"]["signal"]
    assert len(signal.chunks[0]) > 5
    np.testing.assert_array_equal(signal.values, whole)


@pytest.mark.parametrize("name", ["signal1.bin", "epochs.xml", "sensorLayout.xml", "info1.xml"])
def test_missing_files_are_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path)
    path.with_name(name).unlink()
    with pytest.raises(UnreadableError):
        read(path)


@pytest.mark.parametrize("name", ["info.xml", "epochs.xml", "Events_DIN.xml", "pnsSet.xml"])
def test_entities_are_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path)
    victim = path.with_name(name)
    text = victim.read_text().replace("?>\n", '?>\n<!DOCTYPE a [<!ENTITY b "c">]>')
    victim.write_text(text)
    with pytest.raises(UnsafeError, match="a document type"):
        read(path)


LIES: dict[str, tuple[str, bytes, bytes]] = {
    "other channels": ("signal1.bin", struct.pack("<i", 4), struct.pack("<i", 3)),
    "16 bits": ("signal1.bin", struct.pack("<i", RATE_HZ << 8 | 32),
                struct.pack("<i", RATE_HZ << 8 | 16)),
    "a rate of 0": ("signal1.bin", struct.pack("<i", RATE_HZ << 8 | 32), struct.pack("<i", 32)),
    "a longer block": ("signal1.bin", struct.pack("<i", 1600), struct.pack("<i", 2**31 - 16)),
    "blocks from 2 on": ("epochs.xml", b"<firstBlock>1<", b"<firstBlock>2<"),
    "more blocks": ("epochs.xml", b"<lastBlock>3<", b"<lastBlock>4<"),
    "fewer blocks": ("epochs.xml", b"<lastBlock>3<", b"<lastBlock>2<"),
    "another length": ("epochs.xml", b"<endTime>1000000000<", b"<endTime>1100000000<"),
    "times that are none": ("epochs.xml", b"<beginTime>0<", b"<beginTime>x<"),
    "a sensor less": ("sensorLayout.xml", b"<type>1<", b"<type>2<"),
    "a gain that is none": ("info1.xml", b">0.5<", b">half<"),
    "a gain of 0": ("info1.xml", b">0.5<", b">0<"),
    "a gain of no channel": ("info1.xml", b'n="2"', b'n="9"'),
    "a gain less": ("info1.xml", b'n="2"', b'n="1"'),
    "an event at no time": ("Events_DIN.xml", b"2019-05", b"2019-99"),
    "no start": ("info.xml", b"2019-05", b"May"),
}  # fmt: skip


@pytest.mark.parametrize("story", LIES)
def test_contradictions_are_refused(tmp_path: Path, story: str) -> None:
    path, (name, old, new) = write(tmp_path), LIES[story]
    victim = path.with_name(name)
    whole = victim.read_bytes()
    assert old in whole
    victim.write_bytes(whole.replace(old, new, 1))
    with pytest.raises(RefusedError) as caught:
        read(path).load()
    assert caught.value.expected


def test_segmented_folders_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.with_name("categories.xml").write_text("<categories/>")
    with pytest.raises(UnreadableError, match="segmented or averaged"):
        read(path)


@pytest.mark.parametrize("name", ["signal1.bin", "epochs.xml"])
def test_bits_of_the_header_turned_over(tmp_path: Path, name: str) -> None:
    path = write(tmp_path)
    flip(path.with_name(name), lambda: read(path), 400, 40)
