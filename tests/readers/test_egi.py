"""EGI simple binary: synthetic files against MNE-Python's own reader; damage is refused."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import MissingFactError, UnreadableError
from neurodata.readers import egi
from neurodata.safe import Raw
from tests.readers.bit_flips import flip
from tests.readers.conformance import HeaderTests

CODES = ("DIN1", "TREV", "stim")


def states(samples: int = 300) -> np.ndarray:
    """Return states of events (time, event): pulses, none, and runs up to the end."""
    found = np.zeros((samples, 3), int)
    found[[10, 200], 0] = 1
    found[50:60, 2] = found[290:, 2] = 1
    return found


def synthetic_egi(
    values: np.ndarray, version: int = 2, bits: int = 16, range_uv: int = 400
) -> bytes:
    """Return a file with some stored numbers (time, channel), at 250 Hz."""
    dtype = {2: ">i2", 4: ">f4", 6: ">f8"}[version & 6]
    head = struct.pack(">i6hi5h", version, 2003, 4, 5, 6, 7, 8, 9, 250, values.shape[1], 1, bits,
                       range_uv)  # fmt: skip
    head += struct.pack(">ih", len(values), len(CODES)) + "".join(CODES).encode()
    return head + np.hstack([values, states(len(values))]).astype(dtype).tobytes()


def counts() -> np.ndarray:
    return np.random.default_rng(8).integers(-32768, 32768, (300, 4))


def raw_of(path: Path) -> Raw:
    return Raw(path.parent, egi.members(path, sorted(path.parent.iterdir())))


def read(path: Path, **facts: Any) -> xr.DataTree:
    return egi.read(raw_of(path), Declared({k.replace("__", "."): v for k, v in facts.items()}))


def put(place: int, form: str, value: Any) -> Callable[[bytes], bytes]:
    packed = struct.pack(form, value)
    return lambda whole: whole[:place] + packed + whole[place + len(packed) :]


class TestEgi(HeaderTests):
    reader = egi
    nodes: ClassVar = {"eeg": "timeseries", "events": "intervals"}
    lazy = ("signal_adc",)
    lies: ClassVar = {
        "segmented": put(0, ">i", 3),
        "floats": put(0, ">i", 4),
        "no precision": put(0, ">i", 0),
        "no month": put(6, ">h", 13),
        "a rate of 0": put(20, ">h", 0),
        "a rate below 0": put(20, ">h", -1),
        "no channels": put(22, ">h", 0),
        "more channels": put(22, ">h", 5),
        "more samples": put(30, ">i", 301),
        "samples below 0": put(30, ">i", -300),
        "2^31 samples": put(30, ">i", 2**31 - 1),
        "more events": put(34, ">h", 4),
        "events below 0": put(34, ">h", -1),
    }

    def make(self, folder: Path) -> Path:
        path = folder / "synthetic.raw"
        path.write_bytes(synthetic_egi(counts()))
        return path


@pytest.mark.parametrize("version", [2, 4, 6])
def test_values_and_events_equal_those_of_mne(tmp_path: Path, version: int) -> None:
    mne = pytest.importorskip("mne")
    path, values = tmp_path / "synthetic.raw", counts() / (1 if version == 2 else 100)
    path.write_bytes(synthetic_egi(values, version, 0, 0))
    tree = read(path, **{"units__*": "uV"})
    theirs = mne.io.read_raw_egi(path, exclude=[], events_as_annotations=True, verbose="error")
    node = tree["eeg"]
    assert node["channel"].values.tolist() == ["E1", "E2", "E3", "E4"]
    assert node["units"].values.tolist() == ["V"] * 4
    if version == 2:
        np.testing.assert_array_equal(node["signal_adc"].values, values)
        found = node["signal_adc"].values * node["scale"].values
    else:
        assert node["signal"].dtype == {4: np.float32, 6: np.float64}[version]
        found = node["signal"].values
    np.testing.assert_allclose(found.T, theirs.get_data(picks="eeg")[:4], rtol=1e-6)
    assert node.attrs["rate_hz"] == theirs.info["sfreq"] == 250.0
    events = tree["events"]
    assert events["label"].values.tolist() == ["DIN1", "stim", "DIN1", "stim"]
    np.testing.assert_allclose(events["start_s"], np.array([10, 50, 200, 290]) / 250)
    np.testing.assert_allclose(events["duration_s"], np.array([1, 10, 1, 10]) / 250)
    pulses = theirs.annotations.onset[theirs.annotations.description == "DIN1"]
    np.testing.assert_allclose(pulses, np.array([10, 200]) / 250)
    assert tree.attrs == {"modality": "eeg", "start_zone": "unknown"}


def test_the_calibration_is_microvolts(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.raw"
    path.write_bytes(synthetic_egi(counts()))
    np.testing.assert_allclose(read(path)["eeg"]["scale"], [400 / 65536 * 1e-6] * 4)


def test_without_a_calibration_the_unit_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.raw"
    path.write_bytes(synthetic_egi(counts(), bits=0))
    with pytest.raises(MissingFactError, match=r"units\.(E1|\*)=<unit>"):
        read(path)


def test_events_are_found_slab_by_slab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "synthetic.raw"
    path.write_bytes(synthetic_egi(counts()))
    whole = read(path)["events"]
    monkeypatch.setattr(egi, "SLAB_BYTES", 100)
    xr.testing.assert_identical(read(path)["events"].to_dataset(), whole.to_dataset())


def test_segmented_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.raw"
    path.write_bytes(synthetic_egi(counts(), 3))
    with pytest.raises(UnreadableError, match="a segmented file"):
        read(path)


def test_bits_of_the_header_turned_over(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.raw"
    path.write_bytes(synthetic_egi(counts()))
    flip(path, lambda: read(path), 60)
