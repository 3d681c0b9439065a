"""CTF: synthetic data sets against MNE's own reader and by hand; no real one is at hand."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata import schema
from neurodata.declare import Declared
from neurodata.errors import UnreadableError
from neurodata.readers import ctf
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests
from tests.readers.synthetic_ctf import CANARY, GAINS, NAMES, counts, markers, write

mne = pytest.importorskip("mne")
NODES = {"meg": "timeseries", "eeg": "timeseries", "misc": "timeseries", "annotations": "intervals"}


def raw_of(path: Path) -> Raw:
    folder = sorted(p for p in path.parent.rglob("*") if p.is_file())
    return Raw(path.parent, ctf.members(path, folder))


def read(path: Path) -> xr.DataTree:
    return ctf.read(raw_of(path), Declared())


def put(place: int, form: str, value: float) -> Callable[[bytes], bytes]:
    data = struct.pack(form, value)
    return lambda whole: whole[:place] + data + whole[place + len(data) :]


class TestCtf(HeaderTests, PersonalTests):
    reader = ctf
    nodes: ClassVar = NODES
    lazy = ("signal_adc",)
    canary = CANARY
    lies: ClassVar = {
        "more samples": put(1288, ">i", 301),
        "fewer samples": put(1288, ">i", 299),
        "no samples": put(1288, ">i", 0),
        "huge samples": put(1288, ">i", 2**31 - 1),
        "more channels": put(1292, ">h", 7),
        "fewer channels": put(1292, ">h", 5),
        "channels below 0": put(1292, ">h", -1),
        "a rate of 0": put(1296, ">d", 0.0),
        "a rate of nan": put(1296, ">d", np.nan),
        "no trials": put(1312, ">h", 0),
        "description over the end": put(1836, ">i", 2**30),
        "filters over the end": put(1844 + 16, ">h", 2**14),
    }  # fmt: skip

    def make(self, folder: Path) -> Path:
        return write(folder, counts(300))

    def victims(self, path: Path) -> tuple[Path, ...]:
        return (path, path.with_suffix(".meg4"), path.parent / "MarkerFile.mrk")

    truncation_shows = True

    def test_empty_is_refused(self, path: Path) -> None:
        for victim in self.victims(path):
            whole = victim.read_bytes()
            victim.write_bytes(b"")
            with pytest.raises(UnreadableError):
                self.read(path)
            victim.write_bytes(whole)


@pytest.mark.parametrize(("trials", "files"), [(1, 1), (4, 1), (4, 2)])
def test_values_equal_those_of_mne_and_by_hand(tmp_path: Path, trials: int, files: int) -> None:
    values = counts(150, trials)
    path = write(tmp_path, values, files)
    tree = read(path)
    assert [p for p in schema.check(tree) if p.level == "error"] == []
    path.with_suffix(".eeg").unlink()  # MNE takes electrodes only where coils were measured
    theirs = mne.io.read_raw_ctf(path.parent, system_clock="ignore", verbose="error")
    flat = values.transpose(0, 2, 1).reshape(-1, len(NAMES))
    for name in ("meg", "eeg", "misc"):
        node = tree[name]
        own = node["channel"].values.tolist()
        places = [NAMES.index(label) for label in own]
        np.testing.assert_array_equal(node["signal_adc"].values, flat[:, places])
        expected = [1 / (GAINS[place][0] * GAINS[place][1]) for place in places]
        np.testing.assert_allclose(node["scale"], expected, rtol=1e-15)
        found = node["signal_adc"].values * node["scale"].values
        np.testing.assert_allclose(found.T, theirs.get_data()[places], rtol=1e-14)
    assert tree["meg"]["type"].values.tolist() == ["MEGGRADAXIAL", "MEGGRADAXIAL", "MEGREFMAG"]
    assert tree["meg"]["status"].values.tolist() == ["good", "bad", "good"]
    np.testing.assert_allclose(tree["meg"]["position"][0], [0.05, 0.01, 0.2])
    assert tree["meg"]["position"].attrs["frame"] == "CTF device"
    assert tree["misc"]["units"].values.tolist() == ["1", "a.u."]
    np.testing.assert_allclose(tree["eeg"]["position"][0], [0.01, 0.02, 0.1])
    assert tree["eeg"]["position"].attrs["frame"] == "CTF head"
    np.testing.assert_allclose(
        tree["annotations"]["start_s"], [0.1, (trials - 1) * 150 / 600 + 0.25]
    )
    np.testing.assert_allclose(tree["annotations"]["start_s"], theirs.annotations.onset)
    assert tree.attrs == {"modality": "meg", "start_zone": "unknown"}
    assert ("epochs" in tree) is (trials > 1)


def test_long_names_are_kept(tmp_path: Path) -> None:
    names = (*NAMES[:4], "A_channel_of_20_letters", "A_channel_of_20_lettres")
    path = write(tmp_path, counts(100), names=names)
    assert read(path)["misc"]["channel"].values.tolist() == list(names[4:])


def test_samples_after_the_clock_stopped_are_left_out(tmp_path: Path) -> None:
    values = counts(100, 3)
    values[2, -1, 40:] = 0
    raw = raw_of(write(tmp_path, values))
    tree = ctf.read(raw, Declared())
    assert tree["meg"].attrs["n"] == 240
    assert [p.level for p in raw.problems if "60 samples" in p.found] == ["warning"]


def test_missing_data_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, counts(100, 3), 3)
    path.with_name("synthetic.1_meg4").unlink()
    with pytest.raises(UnreadableError, match=r"synthetic\.1_meg4"):
        read(path)
    path.with_name("synthetic.2_meg4").unlink()
    with pytest.raises(UnreadableError, match=r"1 trials of data.*3 by the header"):
        read(path)


def test_zero_of_trials_is_where_the_trigger_was(tmp_path: Path) -> None:
    path = write(tmp_path, counts(150, 2), before=60)
    tree = read(path)
    np.testing.assert_allclose(tree["epochs"]["start_s"], [0, 0.25])
    np.testing.assert_allclose(tree["epochs"]["zero_s"], [0.1, 0.35])
    np.testing.assert_allclose(tree["annotations"]["start_s"], [0.2, 0.6])


@pytest.mark.parametrize(
    "text",
    ["", "NUMBER OF MARKERS:\n", "NUMBER OF MARKERS:\n2\n",
     markers({"a": [(0, 0.1)]}).replace("+0.1", "soon"), markers({"a": [(7, 0.1)]}),
     markers({"a": [(0, 0.1)]})[:-30]],
)  # fmt: skip
def test_damaged_markers_are_refused(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, counts(100))
    (path.parent / "MarkerFile.mrk").write_text(text)
    with pytest.raises(UnreadableError):
        read(path)


def test_electrodes_may_stand_in_the_header(tmp_path: Path) -> None:
    path = write(tmp_path, counts(100), electrode=7.0)
    path.with_suffix(".eeg").unlink()
    np.testing.assert_allclose(read(path)["eeg"]["position"], [[0.07] * 3])


def test_input_gain_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, counts(100), io_gain=2.0)
    with pytest.raises(UnreadableError, match="gain"):
        read(path)
