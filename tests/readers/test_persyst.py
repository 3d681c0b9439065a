"""Persyst: synthetic files against MNE-Python's own reader; damage is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import UnreadableError
from neurodata.readers import persyst
from neurodata.safe import Raw
from tests.readers.bit_flips import flip
from tests.readers.conformance import HeaderTests, PersonalTests

CANARY = "CANARY"
NAMES = ("FP1-Ref", "CZ-Ref", "EKG", "grip")
RATE_HZ, CALIBRATION = 200.0, 0.1628
COMMENTS = ((0.5, 0.0, "start, of test"), (1.25, 0.25, "blink"))


def header(bits: int = 16, times: str = "0=50400.000000", extra: str = "") -> str:
    """Return the text of a header."""
    rows = "".join(f"{name}={i}\n" for i, name in enumerate(NAMES, 1))
    notes = "".join(f"{a},{b},0,100,{text}\n" for a, b, text in COMMENTS)
    return (
        f"[FileInfo]\nFile=C:\\data\\synthetic.dat\nFileType=Interleaved\nSamplingRate={RATE_HZ}\n"
        f"HeaderLength=0\nCalibration={CALIBRATION}\nWaveformCount={len(NAMES)}\n"
        f"DataType={0 if bits == 16 else 7}\n{extra}[Patient]\nFirst={CANARY}\nMiddle=\n"
        f"Last={CANARY}\nSex=female\nHand=R\nBirthDate=01/02/79\nID={CANARY}\n"
        f"TestDate=05/06/2007\nTestTime=08:09:10\nPhysician={CANARY}\n[SampleTimes]\n{times}\n"
        f"[Comments]\n{notes}[ChannelMap]\n{rows}"
    )


def counts(bits: int = 16, samples: int = 400) -> np.ndarray:
    limit = 2 ** (bits - 1)
    return np.random.default_rng(1).integers(-limit, limit, (samples, len(NAMES)))


def write(folder: Path, bits: int = 16, text: str = "") -> Path:
    path = folder / "synthetic.lay"
    path.write_text(text or header(bits))
    path.with_suffix(".dat").write_bytes(counts(bits).astype(f"<i{bits // 8}").tobytes())
    return path


def raw_of(path: Path) -> Raw:
    return Raw(path.parent, persyst.members(path, sorted(path.parent.iterdir())))


def read(path: Path) -> xr.DataTree:
    return persyst.read(raw_of(path), Declared())


def swap(old: str, new: str) -> Callable[[bytes], bytes]:
    return lambda whole: whole.replace(old.encode(), new.encode(), 1)


class TestPersyst(HeaderTests, PersonalTests):
    reader = persyst
    nodes: ClassVar = {
        "eeg": "timeseries", "physio": "timeseries", "misc": "timeseries", "events": "intervals",
    }  # fmt: skip
    lazy = ("signal_adc",)
    canary = CANARY
    truncation_shows = False
    lies: ClassVar = {
        "a rate of 0": swap("SamplingRate=200.0", "SamplingRate=0"),
        "a rate of nan": swap("SamplingRate=200.0", "SamplingRate=nan"),
        "no rate": swap("SamplingRate=200.0\n", ""),
        "no calibration": swap("Calibration=0.1628\n", ""),
        "a calibration of 0": swap("Calibration=0.1628", "Calibration=0"),
        "a calibration of inf": swap("Calibration=0.1628", "Calibration=inf"),
        "more channels": swap("WaveformCount=4", "WaveformCount=5"),
        "fewer channels": swap("WaveformCount=4", "WaveformCount=3"),
        "no channels": swap("WaveformCount=4", "WaveformCount=0"),
        "channels below 0": swap("WaveformCount=4", "WaveformCount=-4"),
        "a channel's number twice": swap("EKG=3", "EKG=2"),
        "another type of samples": swap("DataType=0", "DataType=6"),
        "a header over the end": swap("HeaderLength=0", "HeaderLength=99999"),
        "half a sample": swap("HeaderLength=0", "HeaderLength=3"),
        "blocks of channels": swap("Interleaved", "Blocks"),
        "no first stretch": swap("0=50400.000000", "5=1"),
        "times that fall": swap("0=50400.000000", "0=9\n100=1"),
        "a comment at no time": swap("0.5,0.0", "soon,0.0"),
        "a comment without a text": swap("0.5,0.0,0,100,start, of test", "0.5,0.0"),
    }

    def make(self, folder: Path) -> Path:
        return write(folder)

    def victims(self, path: Path) -> tuple[Path, ...]:
        return (path, path.with_suffix(".dat"))


@pytest.mark.parametrize("bits", [16, 32])
def test_values_and_events_equal_those_of_mne(tmp_path: Path, bits: int) -> None:
    mne = pytest.importorskip("mne")
    path = write(tmp_path, bits, header(bits).replace("C:\\data\\", ""))
    tree, theirs = read(path), mne.io.read_raw_persyst(path, verbose="error")
    found = {}
    for name in ("eeg", "physio", "misc"):
        node = tree[name]
        assert node["signal_adc"].dtype == np.dtype(f"i{bits // 8}")
        np.testing.assert_allclose(node["scale"], CALIBRATION * 1e-6)
        assert node.attrs["rate_hz"] == theirs.info["sfreq"] == RATE_HZ
        values = node["signal_adc"].values * node["scale"].values
        found |= dict(zip(node["channel"].values.tolist(), values.T, strict=True))
        assert set(node["units"].values.tolist()) == {"V"}
    assert list(found) == ["FP1", "CZ", "EKG", "grip"]
    for name, values in found.items():
        np.testing.assert_allclose(values, theirs.get_data([name.upper()])[0], rtol=1e-12)
    assert tree["eeg"]["reference"].values.tolist() == ["Ref", "Ref"]
    events, notes = tree["events"], theirs.annotations
    assert events["label"].values.tolist() == notes.description.tolist()
    np.testing.assert_allclose(events["start_s"], notes.onset)
    np.testing.assert_allclose(events["duration_s"], notes.duration)
    assert tree.attrs == {"modality": "eeg", "sex": "F", "start_zone": "unknown"}


def test_stretches_are_kept_apart(tmp_path: Path) -> None:
    raw = raw_of(write(tmp_path, text=header(times="0=50400.0\n100=50400.5\n250=50460.0")))
    time = persyst.read(raw, Declared())["eeg"]["time"].values
    np.testing.assert_allclose(time, np.r_[np.arange(250) / 200, 60 + np.arange(150) / 200])
    assert any("gaps" in problem.found for problem in raw.problems)


def test_times_of_the_whole_that_a_clip_was_cut_from_are_left_out(tmp_path: Path) -> None:
    raw = raw_of(write(tmp_path, text=header(times="0=50400.0\n400=50460.0")))
    assert persyst.read(raw, Declared())["eeg"].attrs["rate_hz"] == RATE_HZ
    assert any("from sample 400 on" in problem.found for problem in raw.problems)


def test_columns_are_those_of_the_map(tmp_path: Path) -> None:
    text = header().replace("FP1-Ref=1", "FP1-Ref=2").replace("CZ-Ref=2", "CZ-Ref=1")
    tree = read(write(tmp_path, text=text))
    assert tree["eeg"]["channel"].values.tolist() == ["CZ", "FP1"]
    np.testing.assert_array_equal(tree["eeg"]["signal_adc"].values, counts()[:, :2])


def test_a_header_before_the_samples_is_skipped(tmp_path: Path) -> None:
    path = write(tmp_path, text=header().replace("HeaderLength=0", "HeaderLength=80"))
    data = path.with_suffix(".dat")
    data.write_bytes(b"x" * 80 + data.read_bytes())
    np.testing.assert_array_equal(read(path)["eeg"]["signal_adc"].values, counts()[:, :2])


def test_a_renamed_data_file_is_told(tmp_path: Path) -> None:
    raw = raw_of(write(tmp_path, text=header().replace("synthetic.dat", "other.dat")))
    persyst.read(raw, Declared())
    assert any("'other.dat' by the header" in problem.found for problem in raw.problems)


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.with_suffix(".dat").rename(tmp_path / "away.dat")
    with pytest.raises(UnreadableError, match=r"no data file 'synthetic\.dat'"):
        read(path)


def test_bits_of_the_header_turned_over(tmp_path: Path) -> None:
    path = write(tmp_path)
    flip(path, lambda: read(path), path.stat().st_size)
