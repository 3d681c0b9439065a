"""Epochs of KIT: synthetic files against MNE-Python's own reader; damage is refused."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.readers import kit
from neurodata.safe import Raw
from tests.readers.bit_flips import flip
from tests.readers.conformance import HeaderTests, PersonalTests
from tests.readers.synthetic_kit import CANARY, synthetic_kit

mne = pytest.importorskip("mne")
COUNT, LENGTH, BEFORE = 4, 100, 20
CONDITION = struct.pack("<id4i", 3, 500.0, LENGTH, BEFORE, 1, COUNT)


def counts() -> np.ndarray:
    return np.random.default_rng(3).integers(-(2**15), 2**15, (COUNT * LENGTH, 6))


def read(path: Path) -> xr.DataTree:
    files = kit.members(path, sorted(path.parent.iterdir()))
    return kit.read(Raw(path.parent, files), Declared())


def condition(*numbers: int) -> dict[str, object]:
    changed = struct.pack("<id4i", 3, 500.0, *numbers)
    return {str(numbers): lambda whole: whole.replace(CONDITION, changed)}


class TestKitEpochs(HeaderTests, PersonalTests):
    reader = kit
    nodes: ClassVar = {
        "meg": "timeseries", "misc": "timeseries", "physio": "timeseries", "epochs": "intervals",
    }  # fmt: skip
    lazy = ("signal_adc",)
    canary = CANARY
    lies: ClassVar = {
        **condition(LENGTH, BEFORE, 1, COUNT + 1),
        **condition(LENGTH + 1, BEFORE, 1, COUNT),
        **condition(LENGTH, LENGTH + 1, 1, COUNT),
        **condition(LENGTH, -1, 1, COUNT),
        **condition(-LENGTH, BEFORE, 1, -COUNT),
        **condition(LENGTH, BEFORE, 30, COUNT),
    }

    def make(self, folder: Path) -> Path:
        path = folder / "synthetic.con"
        path.write_bytes(synthetic_kit(counts(), epochs=(COUNT, BEFORE)))
        return path


@pytest.mark.parametrize("bits", [16, 32])
def test_values_and_epochs_equal_those_of_mne(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "synthetic.con"
    path.write_bytes(synthetic_kit(counts(), epochs=(COUNT, BEFORE), bits=bits))
    tree = read(path)
    events = np.array([[i * LENGTH, 0, 1] for i in range(COUNT)])
    theirs = mne.read_epochs_kit(path, events, verbose="error")
    assert theirs.get_data().shape == (COUNT, 6, LENGTH)
    names = []
    for name in ("meg", "misc", "physio"):
        node = tree[name]
        names += node["channel"].values.tolist()
        found = node["signal_adc"].values * node["scale"].values + node["offset"].values
        wanted = theirs.get_data(picks=node["channel"].values.tolist()).transpose(0, 2, 1)
        np.testing.assert_allclose(found, wanted.reshape(COUNT * LENGTH, -1), rtol=1e-15)
        assert node.attrs["rate_hz"] == theirs.info["sfreq"] == 500.0
    assert sorted(names) == sorted(theirs.ch_names)
    np.testing.assert_allclose(tree["epochs"]["start_s"], np.arange(COUNT) * LENGTH / 500)
    np.testing.assert_allclose(tree["epochs"]["zero_s"] - tree["epochs"]["start_s"], BEFORE / 500)
    np.testing.assert_allclose(tree["epochs"]["duration_s"], LENGTH / 500)


def test_bits_of_the_header_turned_over(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.con"
    path.write_bytes(synthetic_kit(counts(), epochs=(COUNT, BEFORE)))
    flip(path, lambda: read(path), 2048, 40)
