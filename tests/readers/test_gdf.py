"""GDF: synthetic files of both forms against MNE-Python's own reader; damage is refused."""

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
from neurodata.readers import gdf
from neurodata.safe import Raw
from tests.readers.bit_flips import flip
from tests.readers.conformance import HeaderTests, PersonalTests
from tests.readers.synthetic_gdf import (
    CANARY,
    DEGREE_C,
    Channel,
    Table,
    channels,
    synthetic_gdf,
)

EVENTS = Table([(10, 768, 0, 0), (25, 769, 0, 50), (60, 1023, 2, 5), (99, 33537, 3, 0)])


def raw_of(path: Path) -> Raw:
    return Raw(path.parent, gdf.members(path, sorted(path.parent.iterdir())))


def read(path: Path, **facts: Any) -> xr.DataTree:
    return gdf.read(raw_of(path), Declared({k.replace("__", "."): v for k, v in facts.items()}))


def write(folder: Path, *args: Any, **options: Any) -> Path:
    path = folder / "synthetic.gdf"
    path.write_bytes(synthetic_gdf(*args, **options))
    return path


def put(place: int, form: str, *values: Any) -> Callable[[bytes], bytes]:
    """Return a change of some numbers of the header."""
    packed = struct.pack(form, *values)
    return lambda whole: whole[:place] + packed + whole[place + len(packed) :]


def column(start: int, width: int, form: str, value: Any, channel: int = 0) -> Any:
    """Return a change of one channel's field, which begins ``start`` bytes a channel in."""
    return put(256 + 3 * start + channel * width, form, value)


END = 256 * 4 + 5 * 3 * 20 * 2
LIES: dict[str, Callable[[bytes], bytes]] = {
    "no records": put(236, "<q", 0),
    "records not counted": put(236, "<q", -1),
    "more records": put(236, "<q", 6),
    "2^62 records": put(236, "<q", 2**62),
    "records of 0 s": put(244, "<2I", 0, 5),
    "records of no length": put(244, "<2I", 1, 0),
    "no channels": put(252, "<H", 0),
    "4 channels": put(252, "<H", 4),
    "9999 channels": put(252, "<H", 9999),
    "no header": put(184, "<H", 0),
    "a header over the end": put(184, "<H", 65535),
    "a physical range of nan": column(104, 8, "<d", np.nan),
    "no physical range": column(104, 8, "<d", 100.0),
    "no digital range": column(120, 8, "<d", 32767.0),
    "a digital range of inf": column(128, 8, "<d", np.inf),
    "10^9 samples": column(216, 4, "<I", 10**9),
    "samples of type 18": column(220, 4, "<I", 18),
    "samples of type 0": column(220, 4, "<I", 0),
    "no label": column(0, 16, "16s", b""),
    "events of mode 2": put(END, "<B", 2),
    "more events": put(END + 1, "<B", 5),
    "a rate of events of nan": put(END + 4, "<f", np.nan),
    "an event of channel 9": put(END + 8 + 4 * 4 + 4 * 2 + 2, "<H", 9),
}


class TestGdf(HeaderTests, PersonalTests):
    reader = gdf
    nodes: ClassVar = {"eeg": "timeseries", "physio": "timeseries", "events": "intervals"}
    lazy = ("signal_adc",)
    lies = LIES
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return write(folder, channels(), EVENTS)


class TestGdf1(HeaderTests, PersonalTests):
    reader = gdf
    nodes: ClassVar = TestGdf.nodes
    lazy = ("signal_adc",)
    canary = CANARY
    lies: ClassVar = {
        "4 channels": put(252, "<I", 4),
        "2^31 channels": put(252, "<I", 2**31),
        "a longer header": put(184, "<q", 256 * 5),
        "a header of 2^60 bytes": put(184, "<q", 2**60),
        "more records": put(236, "<q", 6),
        "no digital range": column(120, 8, "<q", 32767),
    }

    def make(self, folder: Path) -> Path:
        return write(folder, channels(), EVENTS, version="1.25")


@pytest.mark.parametrize("version", ["1.25", "1.99", "2.10", "2.20"])
@pytest.mark.parametrize("mode", [1, 3])
def test_values_and_events_equal_those_of_mne(tmp_path: Path, version: str, mode: int) -> None:
    mne = pytest.importorskip("mne")
    found = channels()
    path = write(tmp_path, found, Table(EVENTS.rows, mode=mode), version=version)
    tree, theirs = read(path), mne.io.read_raw_gdf(path, verbose="error")
    for name, place, unit in (("eeg", 0, 1e-6), ("eeg", 1, 1e-6), ("physio", 0, 1e-3)):
        node = tree[name]
        label = node["channel"].values[place]
        stored = next(c for c in found if c.label == label)
        np.testing.assert_array_equal(
            node["signal_adc"].values[:, place], stored.values.reshape(-1)
        )
        scale, offset = node["scale"].values[place], node["offset"].values[place]
        values = node["signal_adc"].values[:, place] * scale + offset
        low, high = stored.physical
        slope = (high - low) / 65535 * unit
        np.testing.assert_allclose(scale, slope, rtol=1e-12)
        np.testing.assert_allclose(offset, low * unit + 32768 * slope, rtol=1e-9)
        if version != "1.25" or unit == 1e-6:  # MNE takes the mV of version 1 as V
            np.testing.assert_allclose(values, theirs.get_data([label])[0], rtol=1e-9, atol=1e-15)
        assert node.attrs["rate_hz"] == theirs.info["sfreq"] == 100.0
        assert node["units"].values[place] == "V"
    events = tree["events"]
    np.testing.assert_allclose(events["start_s"], theirs.annotations.onset, atol=1e-9)
    assert events["label"].values.tolist() == theirs.annotations.description.tolist()
    assert events["code"].values.tolist() == [row[1] for row in EVENTS.rows]
    if mode == 3:
        assert events["duration_s"].values.tolist() == [0, 0.5, 0.05, 0]
        assert events["channel"].values.tolist() == ["", "", "Cz", "ECG"]
    else:
        assert np.isnan(events["duration_s"]).all()
    assert tree.attrs["modality"] == "eeg"
    assert tree.attrs["start_zone"] == "unknown"
    assert tree.attrs.get("sex") == (None if version == "1.25" else "F")


def test_from_version_2_21_on_the_length_of_a_record_is_a_float(tmp_path: Path) -> None:
    path = write(tmp_path, channels(), version="2.51", duration=(1, 3))
    assert read(path)["eeg"].attrs["rate_hz"] == pytest.approx(60.0)


@pytest.mark.parametrize("kind", [4, 5, 16, 17, 279])
def test_types_of_numbers(tmp_path: Path, kind: int) -> None:
    random = np.random.default_rng(2)
    low = 0 if kind == 4 else -32768
    values = random.integers(low, low + 60000, (4, 6))
    own = Channel("Fz", values, kind=kind, physical=(-3.0, 3.0), digital=(low, low + 60000.0))
    node = read(write(tmp_path, [own]))["eeg"]
    expected = ((values.reshape(-1, 1) - low) * (6 / 60000) - 3) * 1e-6
    if kind in (16, 17):
        assert node["signal"].dtype == {16: np.float32, 17: np.float64}[kind]
        np.testing.assert_allclose(node["signal"], expected, rtol=1e-6, atol=1e-13)
    else:
        np.testing.assert_array_equal(node["signal_adc"].values, values.reshape(-1, 1))
        found = node["signal_adc"].values * node["scale"].values + node["offset"].values
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-18)


def test_other_rates_and_types_form_nodes(tmp_path: Path) -> None:
    slow = Channel("Pz", np.arange(10).reshape(5, 2))
    wide = Channel("Oz", np.arange(100.0).reshape(5, 20), kind=16, physical=(-32768, 32767))
    one = Channel("temp", np.zeros((5, 0), int), DEGREE_C)
    raw = raw_of(write(tmp_path, [*channels(), slow, wide, one]))
    tree = gdf.read(raw, Declared())
    assert set(tree.children) == {"eeg", "physio", "eeg_10hz", "eeg_100hz"}
    np.testing.assert_array_equal(tree["eeg_10hz"]["signal_adc"].values[:, 0], np.arange(10))
    np.testing.assert_allclose(
        tree["eeg_100hz"]["signal"].values[:, 0], np.arange(100) * 1e-6, rtol=1e-6, atol=1e-12
    )
    assert any("sampled at single moments" in problem.found for problem in raw.problems)


def test_units_are_those_of_the_header_or_asked_for(tmp_path: Path) -> None:
    values = np.zeros((2, 4), int)
    codes = {DEGREE_C: ("degC", 1.0), 4256 + 20: ("V", 1e-9), 3872: ("Pa", 133.322387415)}
    for code, (symbol, factor) in codes.items():
        node = read(write(tmp_path, [Channel("Fz", values, code, "")]))["eeg"]
        assert node["units"].values.tolist() == [symbol]
        assert node["scale"].values[0] == pytest.approx(200 / 65535 * factor)
    for code in (0, 4544, 4256 + 30):
        path = write(tmp_path, [Channel("Fz", values, code, "")])
        with pytest.raises(MissingFactError, match=r"units\.(Fz|\*)=<unit>"):
            read(path)
        assert read(path, units__Fz="uV")["eeg"]["units"].values.tolist() == ["V"]
    node = read(write(tmp_path, [Channel("Fz", values, 0, "mV")]))["eeg"]
    assert node["scale"].values[0] == pytest.approx(200 / 65535 * 1e-3)


def test_labels_that_come_several_times_are_numbered(tmp_path: Path) -> None:
    mne = pytest.importorskip("mne")
    found = channels()
    found[0].label = found[1].label = "EEG"
    raw = raw_of(path := write(tmp_path, found))
    node = gdf.read(raw, Declared())["eeg"]
    theirs = mne.io.read_raw_gdf(path, verbose="error")
    assert node["channel"].values.tolist() == theirs.ch_names[:2] == ["EEG-0", "EEG-1"]
    np.testing.assert_array_equal(node["signal_adc"].values[:, 1], found[1].values.reshape(-1))
    assert any("numbered from 0 on" in problem.found for problem in raw.problems)
    found[2].label = "EEG-1"
    with pytest.raises(UnreadableError, match="EEG-1"):
        read(write(tmp_path, found))


def test_records_of_one_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).integers(-9, 9, (600, 1))
    path = write(tmp_path, [Channel("Fz", values)], duration=(1, 250))
    monkeypatch.setattr("neurodata.readers.channels.BLOCK_BYTES", 100)
    node = read(path)["eeg"]
    assert node.attrs["rate_hz"] == pytest.approx(250.0)
    np.testing.assert_array_equal(node["signal_adc"].values, values)


def test_pauses_and_events_without_a_rate_are_told(tmp_path: Path) -> None:
    rows = [(0, 0x7FFE, 0, 0), (50, 0x7FFE, 0, 0), (20, 0x7FFF, 1, 3)]
    raw = raw_of(write(tmp_path, channels(), Table(rows, 0.0)))
    tree = gdf.read(raw, Declared())
    assert tree["events"]["start_s"].values.tolist() == [0.0, 0.5]
    found = [problem.found for problem in raw.problems]
    assert any("2 starts after a pause" in text for text in found)
    assert any("counted at the channels' 100 Hz" in text for text in found)


def test_a_third_header_is_skipped(tmp_path: Path) -> None:
    path = write(tmp_path, channels(), EVENTS, extra=CANARY.encode().ljust(256, b"\0"))
    whole = write(tmp_path, channels(), EVENTS)
    np.testing.assert_array_equal(read(path)["eeg"]["signal_adc"], read(whole)["eeg"]["signal_adc"])


def test_bytes_after_the_events_are_told(tmp_path: Path) -> None:
    raw = raw_of(write(tmp_path, channels(), Table(EVENTS.rows, more=b"x")))
    gdf.read(raw, Declared())
    assert any("1 bytes after the events" in problem.found for problem in raw.problems)


def test_no_events_is_no_node(tmp_path: Path) -> None:
    assert "events" not in read(write(tmp_path, channels()))
    assert "events" not in read(write(tmp_path, channels(), Table([], mode=0)))
    path = write(tmp_path, channels())
    path.write_bytes(path.read_bytes() + bytes(7))
    with pytest.raises(UnreadableError, match="7 bytes after the data"):
        read(path)


@pytest.mark.parametrize("version", ["1.25", "2.20"])
def test_bits_of_the_header_turned_over(tmp_path: Path, version: str) -> None:
    path = write(tmp_path, channels(), EVENTS, version=version)
    flip(path, lambda: read(path), 256 * 4)
