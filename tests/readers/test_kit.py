"""KIT: the real recording against bytes read by hand and MNE's own reader; damage is refused."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata import schema
from neurodata.declare import Declared
from neurodata.readers import kit
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests
from tests.readers.synthetic_kit import ADC_BITS, ADC_RANGE_V, CANARY, GAIN, synthetic_kit

mne = pytest.importorskip("mne")


def counts(samples: int = 400) -> np.ndarray:
    return np.random.default_rng(3).integers(-(2**15), 2**15, (samples, 6))


def raw_of(path: Path) -> Raw:
    return Raw(path.parent, kit.members(path, sorted(path.parent.iterdir())))


def read(path: Path) -> xr.DataTree:
    return kit.read(raw_of(path), Declared())


def field(entry: int, column: int, value: int) -> Callable[[bytes], bytes]:
    """Return a change of one number of the directory: offset, size, most or count."""
    place = 16 * entry + 4 * column
    return lambda whole: whole[:place] + struct.pack("<i", value) + whole[place + 4 :]


class TestKit(HeaderTests, PersonalTests):
    reader = kit
    nodes: ClassVar = {"meg": "timeseries", "misc": "timeseries", "physio": "timeseries"}
    lazy = ("signal_adc",)
    canary = CANARY
    lies: ClassVar = {
        "more samples": field(9, 3, 2406),
        "fewer samples": field(9, 3, 2394),
        "half a sample": field(9, 3, 2397),
        "wide samples": field(9, 1, 4),
        "huge samples": field(9, 1, 2**30),
        "samples elsewhere": field(9, 0, -1),
        "more channels": field(4, 3, 7),
        "no channels": field(4, 3, 0),
        "entries below 0": field(5, 3, -1),
        "a rate of nan": lambda w: w.replace(struct.pack("<d", 500.0), struct.pack("<d", np.nan)),
        "a rate of 0": lambda w: w.replace(struct.pack("<d", 500.0), bytes(8)),
        "averages": lambda w: w.replace(struct.pack("<id", 1, 500.0), struct.pack("<id", 2, 500.0)),
        "epochs": lambda w: w.replace(struct.pack("<id", 1, 500.0), struct.pack("<id", 3, 500.0)),
        "other samples in the header": lambda w: w.replace(
            struct.pack("<dii", 500.0, 400, 400), struct.pack("<dii", 500.0, 400, 399)
        ),
        "an unknown amplifier": lambda w: w.replace(
            struct.pack("<4i", 100, 0, 0, 0), struct.pack("<4i", 77, 0, 0, 0)
        ),
    }  # fmt: skip

    def make(self, folder: Path) -> Path:
        path = folder / "synthetic.con"
        path.write_bytes(synthetic_kit(counts()))
        return path


def test_scales_follow_the_converter(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.con"
    path.write_bytes(synthetic_kit(counts()))
    tree = read(path)
    volts = ADC_RANGE_V / 2**ADC_BITS
    np.testing.assert_allclose(tree["meg"]["scale"], [volts * GAIN] * 4, rtol=1e-15)
    np.testing.assert_allclose(tree["misc"]["scale"], [volts], rtol=1e-15)
    expected = ["MEGGRADAXIAL"] * 3 + ["MEGREFMAG"]
    assert tree["meg"]["type"].values.tolist() == expected
    assert tree["meg"]["units"].values.tolist() == ["T"] * 4
    assert tree["misc"]["type"].values.tolist() == ["TRIG"]
    assert tree["physio"]["type"].values.tolist() == ["ECG"]
    np.testing.assert_array_equal(tree["meg"]["signal_adc"].values, counts()[:, :4])
    assert tree["meg"].attrs["rate_hz"] == 500.0
    assert tree.attrs == {"modality": "meg", "start_zone": "unknown"}
    assert "position" not in tree["physio"]
    assert np.isfinite(tree["meg"]["position"].values).all()


def test_values_of_32_bits_equal_those_of_mne(tmp_path: Path) -> None:
    path, values = tmp_path / "synthetic.con", counts() * 1000
    path.write_bytes(synthetic_kit(values, bits=32))
    tree = read(path)
    theirs = mne.io.read_raw_kit(path, stim=None, verbose="error").get_data()
    assert tree["meg"]["signal_adc"].dtype == np.int32
    found = tree["meg"]["signal_adc"].values * tree["meg"]["scale"].values
    np.testing.assert_allclose(found.T, theirs[:4], rtol=1e-15)


def test_bytes_after_the_last_section_are_told(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.con"
    path.write_bytes(synthetic_kit(counts()) + b"more")
    raw = raw_of(path)
    kit.read(raw, Declared())
    assert [p.level for p in raw.problems if "by its directory" in p.expected] == ["warning"]


@pytest.mark.acceptance
def test_real_recording_equals_bytes_and_mne(realdata: Path) -> None:
    path = realdata / "acceptance" / "eeg_meg_ieeg" / "mne_python" / "test.sqd"
    tree = kit.read(Raw(path.parent, (path,)), Declared())
    theirs: Any = mne.io.read_raw_kit(path, stim=None, verbose="error")
    with path.open("rb") as stream:  # entry 9 of the directory: offset, bytes each, most, count
        stream.seek(16 * 9)
        offset, size, _, count = struct.unpack("<Iiii", stream.read(16))
        stream.seek(offset)
        by_hand = np.frombuffer(stream.read(size * count), "<i2").reshape(-1, 192)
    assert by_hand.shape == (2000, 192)
    assert [p for p in schema.check(tree) if p.level == "error"] == []
    names = []
    for node in tree.children.values():
        own = node["channel"].values.tolist()
        names += own
        places = [theirs.ch_names.index(name) for name in own]
        np.testing.assert_array_equal(node["signal_adc"].values, by_hand[:, places])
        found = node["signal_adc"].values * node["scale"].values + node["offset"].values
        np.testing.assert_allclose(found.T, theirs.get_data(own), rtol=1e-15)
        assert node.attrs["rate_hz"] == theirs.info["sfreq"]
    assert sorted(names) == sorted(theirs.ch_names)
    assert tree["meg"].sizes["channel"] == 160
