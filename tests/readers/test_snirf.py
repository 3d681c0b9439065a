"""SNIRF: synthetic files against h5py and MNE's own reader; no real one is at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import MissingFactError, UnreadableError
from neurodata.readers import snirf
from neurodata.safe import Raw
from tests.readers.conformance import PersonalTests
from tests.readers.synthetic_snirf import CANARY, samples, write

NODES = {"nirs": "timeseries", "aux": "timeseries", "annotations": "intervals"}


def raw_of(path: Path) -> Raw:
    return Raw(path.parent, snirf.members(path, sorted(path.parent.iterdir())))


def read(path: Path, facts: dict[str, Any] | None = None) -> xr.DataTree:
    return snirf.read(raw_of(path), Declared(facts))


class TestSnirf(PersonalTests):
    reader = snirf
    nodes: ClassVar = NODES
    lazy = ("signal",)
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return write(folder / "synthetic.snirf", samples())


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_values_equal_h5py_and_mne(tmp_path: Path, dtype: str) -> None:
    mne = pytest.importorskip("mne")
    path = write(tmp_path / "synthetic.snirf", samples().astype(dtype), unit="mV")
    node = read(path)["nirs"]
    with h5py.File(path) as file:
        stored = file["nirs/data1/dataTimeSeries"][()]
    assert node["signal"].dtype == np.dtype(dtype)
    np.testing.assert_allclose(node["signal"].values, stored * 1e-3, rtol=1e-6)
    theirs = mne.io.read_raw_snirf(path, verbose="error")
    names = node["channel"].values.tolist()
    assert set(names) == set(theirs.ch_names)
    np.testing.assert_allclose(node["signal"].values.T, theirs.get_data(names), rtol=1e-6)
    assert node.attrs["rate_hz"] == pytest.approx(theirs.info["sfreq"], rel=1e-9)
    assert node.attrs["rate_hz"] == 10.0
    assert set(node["type"].values.tolist()) == {"NIRSCWAMPLITUDE"}
    found = theirs.annotations.onset
    np.testing.assert_allclose(read(path)["annotations"]["start_s"], found, atol=1e-9)


def test_positions_and_stimuli_and_auxiliaries(tmp_path: Path) -> None:
    tree = read(write(tmp_path / "synthetic.snirf", samples()))
    node = tree["nirs"]
    np.testing.assert_allclose(node["position"].sel(channel="S1_D2 850"), [0.015, 0.015, 0.005])
    assert node["position"].attrs == {"units": "m", "frame": "unknown"}
    assert tree["annotations"]["label"].values.tolist() == ["tap", "tap"]
    assert tree["annotations"]["value"].values.tolist() == [1.0, 2.0]
    assert tree["annotations"]["duration_s"].values.tolist() == [5.0, 5.0]
    assert tree["aux"]["channel"].values.tolist() == ["accelerometer"]
    assert tree["aux"].attrs["rate_hz"] == 2.0
    assert tree.attrs == {"modality": "nirs", "start_zone": "unknown"}


def test_times_in_milliseconds_with_start_and_step(tmp_path: Path) -> None:
    path = write(tmp_path / "synthetic.snirf", samples(), [2000.0, 20.0], time_unit="ms")
    node = read(path)["nirs"]
    assert node.attrs["rate_hz"] == 50.0
    assert node.attrs["start_s"] == 0.0


def test_uneven_times_are_kept(tmp_path: Path) -> None:
    times = np.arange(200) / 10 + np.where(np.arange(200) % 3, 0.01, 0.0)
    raw = raw_of(write(tmp_path / "synthetic.snirf", samples(), times + 3))
    node = snirf.read(raw, Declared())["nirs"]
    np.testing.assert_allclose(node["time"], times, atol=1e-12)
    assert "rate_hz" not in node.attrs
    assert any("evenly" in problem.found for problem in raw.problems)


def test_unit_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "synthetic.snirf", samples(), unit="")
    with pytest.raises(MissingFactError, match=r"units\.(S1_D1 760|\*)=<unit>"):
        read(path)
    tree = read(path, {"units.*": "a.u."})
    assert set(tree["nirs"]["units"].values.tolist()) == {"a.u."}
    density = write(tmp_path / "b.snirf", samples(), unit="", kind=99999, labels=("dOD",))
    tree = read(density)
    assert set(tree["nirs"]["type"].values.tolist()) == {"NIRSCWOPTICALDENSITY"}
    assert set(tree["nirs"]["units"].values.tolist()) == {"1"}


CHANGES: dict[str, Callable[[h5py.File], Any]] = {
    "fewer lists": lambda f: f.__delitem__("nirs/data1/measurementList6"),
    "source 0": lambda f: f["nirs/data1/measurementList1/sourceIndex"].write_direct(
        np.array(0, "i4")
    ),
    "wavelength 3": lambda f: f["nirs/data1/measurementList1/wavelengthIndex"].write_direct(
        np.array(3, "i4")
    ),
    "no units": lambda f: f.__delitem__("nirs/metaDataTags/TimeUnit"),
    "no tags": lambda f: f.__delitem__("nirs/metaDataTags"),
    "no data": lambda f: f.__delitem__("nirs/data1"),
    "no times": lambda f: f.__delitem__("nirs/data1/time"),
    "falling times": lambda f: f["nirs/data1/time"].write_direct(np.zeros(200)),
    "nan times": lambda f: f["nirs/data1/time"].write_direct(np.full(200, np.nan)),
    "two measurements": lambda f: f.copy("nirs", "nirs2"),
}


@pytest.mark.parametrize("story", CHANGES)
def test_contradictions_are_refused(tmp_path: Path, story: str) -> None:
    path = write(tmp_path / "synthetic.snirf", samples())
    with h5py.File(path, "r+") as file:
        CHANGES[story](file)
    with pytest.raises(UnreadableError) as caught:
        read(path)
    assert caught.value.expected
    assert caught.value.hint


# haemoglobin

CONCENTRATIONS = {
    "M": 1e3, "mM": 1.0, "uM": 1e-3, "µM": 1e-3, "nM": 1e-6, "mol/L": 1e3, "mmol/L": 1.0,
    "umol/l": 1e-3, "mol/m^3": 1.0,
}  # fmt: skip
LENGTHS = {"M*mm": 1.0, "mM*mm": 1e-3, "uM*mm": 1e-6, "M*cm": 10.0, "uM*cm": 1e-5}


@pytest.mark.parametrize("unit", [*CONCENTRATIONS, *LENGTHS])
def test_concentrations_become_moles_a_cubic_metre(tmp_path: Path, unit: str) -> None:
    path = write(
        tmp_path / "synthetic.snirf", samples(), unit=unit, kind=99999, labels=("HbO", "HbR")
    )
    node = read(path)["nirs"]
    symbol = "mol/m3" if unit in CONCENTRATIONS else "mol/m2"
    assert set(node["units"].values.tolist()) == {symbol}
    assert node["type"].values.tolist() == ["NIRSCWHBO", "NIRSCWHBR"] * 3
    assert node["channel"].values.tolist()[:2] == ["S1_D1 HbO", "S1_D1 HbR"]
    factor = {**CONCENTRATIONS, **LENGTHS}[unit]
    np.testing.assert_allclose(node["signal"].values, samples() * factor, rtol=1e-12)


@pytest.mark.parametrize("unit", ["M", "uM"])
def test_concentrations_equal_those_of_mne(tmp_path: Path, unit: str) -> None:
    mne = pytest.importorskip("mne")
    path = write(
        tmp_path / "synthetic.snirf", samples(), unit=unit, kind=99999, labels=("HbO", "HbR")
    )
    node, theirs = read(path)["nirs"], mne.io.read_raw_snirf(path, verbose="error")
    names = [name.lower().replace("s", "S").replace("d", "D") for name in node["channel"].values]
    litres = 1e3  # MNE has moles a litre
    found = node["signal"].values.T
    np.testing.assert_allclose(found, theirs.get_data(names) * litres, rtol=1e-9)


def test_total_haemoglobin_and_missing_units(tmp_path: Path) -> None:
    labels = ("HbO", "HbT")
    path = write(tmp_path / "synthetic.snirf", samples(), unit="uM", kind=99999, labels=labels)
    assert set(read(path)["nirs"]["type"].values.tolist()) == {"NIRSCWHBO", "NIRSCWHBT"}
    path = write(tmp_path / "synthetic.snirf", samples(), unit="", kind=99999, labels=labels)
    with pytest.raises(MissingFactError, match=r"units\.(S1_D1 HbO|\*)=<unit>"):
        read(path)
    assert set(read(path, {"units.*": "uM"})["nirs"]["units"].values.tolist()) == {"mol/m3"}


def test_averages_over_trials_are_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path / "synthetic.snirf", samples(), unit="uM", kind=99999, labels=("HRF HbO",)
    )
    with pytest.raises(UnreadableError, match="averaged over trials"):
        read(path)
