"""XDF: synthetic recordings against pyxdf's own reading of the whole file; damage is refused."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import MissingFactError, RefusedError, UnreadableError, UnsafeError
from neurodata.readers import xdf
from neurodata.safe import Raw
from tests.readers.bit_flips import flip
from tests.readers.conformance import HeaderTests, PersonalTests
from tests.readers.synthetic_xdf import (
    CANARY,
    MARKERS,
    RATE_HZ,
    chunk,
    described,
    eeg,
    footer,
    gaze,
    header,
    offset,
    recorded,
    samples,
    start,
    texts,
)

pyxdf = pytest.importorskip("pyxdf")


def write(folder: Path, content: bytes = b"", **options: Any) -> Path:
    path = folder / "synthetic.xdf"
    path.write_bytes(content or recorded(**options))
    return path


def raw_of(path: Path) -> Raw:
    return Raw(path.parent, xdf.members(path, sorted(path.parent.iterdir())))


def read(path: Path, **facts: Any) -> xr.DataTree:
    return xdf.read(raw_of(path), Declared({k.replace("__", "."): v for k, v in facts.items()}))


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda whole: whole.replace(old, new, 1)


class TestXdf(HeaderTests, PersonalTests):
    reader = xdf
    nodes: ClassVar = {
        "eeg": "timeseries", "misc": "timeseries", "misc_7": "timeseries", "events": "intervals",
    }  # fmt: skip
    lazy = ("signal", "signal_adc")
    canary = CANARY
    lies: ClassVar = {
        "more channels": swap(b"<channel_count>3<", b"<channel_count>4<"),
        "no channels": swap(b"<channel_count>3<", b"<channel_count>0<"),
        "channels that are none": swap(b"<channel_count>3<", b"<channel_count>x<"),
        "doubles": swap(b"<channel_format>float32<", b"<channel_format>double6<"),
        "a rate of nan": swap(b"<nominal_srate>250.0<", b"<nominal_srate>nan<"),
        "a rate of 1e300 Hz": swap(b"<nominal_srate>250.0<", b"<nominal_srate>1e300<"),
        "a rate below 0": swap(b"<nominal_srate>250.0<", b"<nominal_srate>-50.0<"),
        "more samples": swap(b"<sample_count>1000<", b"<sample_count>1001<"),
        "a chunk of kind 9": swap(struct.pack("<HI", 4, 1), struct.pack("<HI", 9, 1)),
        "an offset of a stream that is none": swap(
            struct.pack("<HI", 4, 1), struct.pack("<HI", 4, 99)
        ),
        "an offset of nan": swap(struct.pack("<d", 12.5), struct.pack("<d", np.nan)),
        "a boundary that is none": swap(bytes.fromhex("43a546dc"), bytes.fromhex("43a546dd")),
        "a broken header": swap(b"</channel_format>", b"</channel_forms>"),
        "no file header": swap(b"</datetime></info>", b"</datetime></info"),
    }

    def make(self, folder: Path) -> Path:
        return write(folder)


@pytest.mark.parametrize("gap_s", [0.0, 5.0])
def test_values_and_times_equal_those_of_pyxdf(tmp_path: Path, gap_s: float) -> None:
    path = write(tmp_path, gap_s=gap_s)
    tree = read(path)
    theirs = {s["info"]["stream_id"]: s for s in pyxdf.load_xdf(path)[0]}
    zero_s = min(s["time_stamps"].min() for s in theirs.values())
    np.testing.assert_array_equal(theirs[1]["time_series"], eeg())
    np.testing.assert_allclose(tree["eeg"]["signal"].values, eeg()[:, :2] * 1e-6, rtol=1e-6)
    np.testing.assert_array_equal(tree["misc"]["signal"].values, eeg()[:, 2:])
    np.testing.assert_array_equal(tree["misc_7"]["signal_adc"].values, gaze())
    np.testing.assert_array_equal(theirs[7]["time_series"], gaze())
    for name, number in (("eeg", 1), ("misc", 1), ("misc_7", 7)):
        node, expected = tree[name], theirs[number]["time_stamps"] - zero_s
        if "time" in node.coords:
            found = node["time"].values
        else:
            found = node.attrs["start_s"] + np.arange(node.attrs["n"]) / node.attrs["rate_hz"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    assert ("time" in tree["eeg"].coords) == (gap_s > 0)
    assert "time" in tree["misc_7"].coords
    assert tree["eeg"]["units"].values.tolist() == ["V", "V"]
    assert tree["misc_7"]["units"].values.tolist() == ["pixel", "pixel"]
    assert tree["misc"]["type"].values.tolist() == ["TRIG"]
    events = tree["events"]
    assert events["label"].values.tolist() == [text for _, text in MARKERS]
    assert events["stream"].values.tolist() == ["Task"] * 4
    np.testing.assert_allclose(events["start_s"], theirs[3]["time_stamps"] - zero_s, atol=1e-9)
    assert tree.attrs == {"modality": "eeg", "start_zone": "unknown"}


def test_the_rate_is_measured(tmp_path: Path) -> None:
    raw = raw_of(write(tmp_path))
    tree = xdf.read(raw, Declared())
    assert tree["eeg"].attrs["rate_hz"] == pytest.approx(RATE_HZ / 1.0002, rel=1e-5)
    assert not any("Hz by its times" in problem.found for problem in raw.problems)
    raw = raw_of(write(tmp_path, rate_hz=256.0))
    tree = xdf.read(raw, Declared())
    told = [problem for problem in raw.problems if "Hz by its times" in problem.found]
    assert [problem.level for problem in told] == ["warning"]
    assert "256 Hz" in told[0].expected


def test_gaps_and_clocks_are_told(tmp_path: Path) -> None:
    raw = raw_of(write(tmp_path, gap_s=5.0))
    xdf.read(raw, Declared())
    told = [problem.found for problem in raw.problems]
    assert any("1 gaps" in text for text in told)
    assert any("offsets applied, and jitter" in text for text in told)


def test_blocks_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    monkeypatch.setattr("neurodata.readers.channels.BLOCK_BYTES", 300)
    signal = read(path)["eeg"]["signal"]
    assert len(signal.chunks[0]) > 20
    np.testing.assert_allclose(signal.values, eeg()[:, :2] * 1e-6, rtol=1e-6)


def test_units_are_asked_for(tmp_path: Path) -> None:
    rows = (("Fp1", "EEG", ""), ("Cz", "EEG", "microvolts"), ("TRIG", "TRIG", ""))
    path = write(tmp_path, desc=described(rows))
    with pytest.raises(MissingFactError, match=r"units\.(Fp1|\*)=<unit>"):
        read(path)
    assert read(path, units__Fp1="uV")["eeg"]["units"].values.tolist() == ["V", "V"]


def test_channels_without_descriptions_are_numbered(tmp_path: Path) -> None:
    tree = read(write(tmp_path, desc="<a/>"), **{"units__*": "uV"})
    assert tree["eeg"]["channel"].values.tolist() == ["Amp 1", "Amp 2", "Amp 3"]


@pytest.mark.parametrize("fmt", ["int8", "int16", "int32", "int64", "float32", "double64"])
def test_types_of_numbers(tmp_path: Path, fmt: str) -> None:
    dtype = xdf.streams_of.__globals__["DTYPES"][fmt]
    values = np.arange(-50, 50).reshape(50, 2)
    text = header("a", "EEG", 2, 100, fmt, described((("Fz", "", "uV"), ("Oz", "", "uV"))))
    stamps = [float(i) / 100 for i in range(50)]
    content = start({1: text}) + samples(1, values, stamps, dtype) + footer(1, 50)
    node = read(write(tmp_path, content))["eeg"]
    if "int" in fmt:
        np.testing.assert_array_equal(node["signal_adc"].values, values)
        np.testing.assert_allclose(node["scale"], 1e-6)
    else:
        np.testing.assert_allclose(node["signal"].values, values * 1e-6, rtol=1e-6)
    assert node.attrs["rate_hz"] == pytest.approx(100)


def test_markers_of_numbers_are_events(tmp_path: Path) -> None:
    text = header("a", "EEG", 1, 100, "float32", described((("Fz", "", "uV"),)))
    stamps = [float(i) / 100 for i in range(300)]
    content = start({1: text, 2: header("codes", "Markers", 1, 0, "int32")})
    content += samples(1, np.zeros((300, 1)), stamps, "<f4")
    content += samples(2, np.array([[7], [300]]), [0.5, 1.5], "<i4")
    raw = raw_of(write(tmp_path, content + footer(1, 300) + footer(2, 2)))
    events = xdf.read(raw, Declared())["events"]
    assert events["label"].values.tolist() == ["7", "300"]
    np.testing.assert_allclose(events["start_s"], [0.5, 1.5])
    assert any("no offsets of the streams 1, 2" in problem.found for problem in raw.problems)


# what is refused


def test_lost_chunks_show(tmp_path: Path) -> None:
    path = write(tmp_path, count=1050)
    with pytest.raises(UnreadableError, match="1050 by its footer"):
        read(path)
    raw = raw_of(write(tmp_path, count=998))
    xdf.read(raw, Declared())
    assert any("998 by its footer" in problem.expected for problem in raw.problems)


def test_recordings_without_footers_are_told(tmp_path: Path) -> None:
    whole = recorded()
    raw = raw_of(write(tmp_path, whole[: whole.index(footer(1, 1000))]))
    xdf.read(raw, Declared())
    assert sum("no footer" in problem.found for problem in raw.problems) == 3


@pytest.mark.parametrize("where", ["file", "stream", "footer"])
def test_entities_are_refused(tmp_path: Path, where: str) -> None:
    bomb = "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><info>&b;</info>"
    tags = {"file": (1, b""), "stream": (2, b"\x63\0\0\0"), "footer": (6, b"\x01\0\0\0")}
    tag, number = tags[where]
    content = recorded() + chunk(tag, number + bomb.encode())
    with pytest.raises(UnsafeError, match="a document type"):
        read(write(tmp_path, content))


BROKEN: dict[str, bytes] = {
    "a length of 3 bytes": recorded() + b"\x03\0\0\0",
    "a chunk without a kind": recorded() + b"\x01\x01\x01",
    "samples of no stream": recorded() + samples(9, np.zeros((1, 1)), [0.0], "<f4"),
    "a second header": recorded() + chunk(2, struct.pack("<I", 1) + b"<info/>"),
    "more samples than bytes": recorded() + chunk(3, struct.pack("<IBI", 1, 4, 2**31)),
    "a sample too much": recorded() + chunk(3, struct.pack("<IBB", 1, 1, 1) + bytes(14)),
    "a time of 4 bytes": recorded() + chunk(3, struct.pack("<IBBB", 1, 1, 1, 4) + bytes(16)),
    "a time that is none": recorded() + samples(7, np.zeros((1, 2)), [np.nan], "<i2"),
    "no time without a rate": recorded() + samples(7, np.zeros((1, 2)), [None], "<i2"),
    "a text over the end": recorded()
    + chunk(3, struct.pack("<IBBBdBB", 3, 1, 1, 8, 1.0, 1, 99) + b"short"),
    "an offset of 8 bytes": recorded() + chunk(4, struct.pack("<Id", 1, 0.0)),
    "markers alone": start({1: header("a", "Markers", 1, 0, "string")}) + texts(1, ["x"], [1.0]),
    "no chunk": b"XDF:",
}


@pytest.mark.parametrize("story", BROKEN)
def test_broken_chunks_are_refused(tmp_path: Path, story: str) -> None:
    with pytest.raises(RefusedError) as caught:
        read(write(tmp_path, BROKEN[story]))
    assert caught.value.expected


def test_damage_that_pyxdf_skips_is_refused(tmp_path: Path) -> None:
    whole = recorded()
    path = write(tmp_path, whole[: whole.index(offset(7, 112.0, 0.0)) - 30])
    theirs = {s["info"]["stream_id"]: s for s in pyxdf.load_xdf(path)[0]}
    assert len(theirs[7]["time_series"]) == 0  # and not a word of 40 samples
    with pytest.raises(UnreadableError):
        read(path)


def test_compressed_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.xdf.gz"
    path.write_bytes(gzip.compress(recorded()))
    with pytest.raises(UnreadableError, match="gunzip"):
        read(path)


def test_bits_of_the_header_turned_over(tmp_path: Path) -> None:
    path = write(tmp_path)
    flip(path, lambda: read(path), 2200, 30)
