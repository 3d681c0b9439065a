"""Neuralynx folders: synthetic ones in the native layout, against neo's own reading of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import MissingFactError, UnreadableError
from neurodata.physical import physical
from neurodata.readers import neuralynx
from neurodata.readers.neuralynx_records import RECORDS
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests, attempt

CANARY = "Zdenka Canary"
START_US = 8_408_806_811
STEP_UV = 0.0366210937500


def raw_of(path: Path) -> Raw:
    return Raw(path.parent, neuralynx.members(path, sorted(path.parent.iterdir())))


def read(path: Path, **facts: Any) -> xr.DataTree:
    declared = Declared({key.replace("__", "."): value for key, value in facts.items()})
    return neuralynx.read(raw_of(path), declared)


def header(kind: str, name: str, **changes: str) -> bytes:
    facts = {
        "CheetahRev": "5.6.3", "AcqEntName": name, "FileType": kind.upper(),
        "RecordSize": str(RECORDS[kind].itemsize), "HardwareSubSystemName": "AcqSystem1",
        "HardwareSubSystemType": "DigitalLynxSX", "SamplingFrequency": "32000",
        "ADMaxValue": "32767", "ADBitVolts": f"{STEP_UV * 1e-6:.18f}", "NumADChannels": "1",
        "ADChannel": "3", "InputRange": "1200", "InputInverted": "False",
    }  # fmt: skip
    if kind == "nev":
        facts = {key: facts[key] for key in ("CheetahRev", "FileType", "RecordSize")}
    facts.update(changes)
    lines = [
        "######## Neuralynx Data File Header",
        f"## File Name C:\\CheetahData\\{CANARY}\\synthetic.{kind}",
        "## Time Opened (m/d/y): 11/28/2016  (h:m:s.ms) 21:50:33.322",
        "## Time Closed (m/d/y): 11/28/2016  (h:m:s.ms) 22:44:41.145",
        *(f"-{key} {value}" for key, value in facts.items() if value),
    ]
    return "\r\n".join(lines).encode("latin-1").ljust(2**14, b"\0")


def csc(
    folder: Path,
    name: str = "CSC1",
    valid: Sequence[int] = (512, 512, 512, 100),
    gaps_us: Sequence[float] = (0, 0, 0, 0),
    rate_hz: float = 32000,
    **changes: str,
) -> np.ndarray:
    """Write a synthetic .ncs file, a pause of ``gaps_us`` before each record; return samples."""
    seed = sum(name.encode())
    records = np.zeros(len(valid), RECORDS["ncs"])
    records["samples"] = np.random.default_rng(seed).integers(-9999, 9999, (len(valid), 512))
    records["valid"], records["channel"], records["rate_hz"] = valid, 3, round(rate_hz)
    before = np.concatenate([[0], np.cumsum(valid)[:-1]])
    records["at_us"] = START_US + np.rint(before * 1e6 / rate_hz + np.cumsum(gaps_us))
    data = header("ncs", name, **changes) + records.tobytes()
    (folder / f"{name}.ncs").write_bytes(data)
    return np.concatenate([r["samples"][: r["valid"]] for r in records])


def spikes_of(folder: Path, name: str = "SE1", kind: str = "nse") -> np.ndarray:
    records = np.zeros(40, RECORDS[kind])
    random = np.random.default_rng(3)
    records["at_us"] = START_US + np.sort(random.integers(0, 50_000, 40))
    records["unit"] = random.integers(0, 3, 40)
    (folder / f"{name}.{kind}").write_bytes(header(kind, name) + records.tobytes())
    return records


def events_of(folder: Path, late_us: int = 0) -> None:
    records = np.zeros(3, RECORDS["nev"])
    records["at_us"] = [START_US, START_US + 20_000, START_US + 51_000 + late_us]
    records["text"] = [b"Starting Recording", b"TTL Input (0x0001)", b"Stopping Recording"]
    records["ttl"], records["event"] = [0, 1, 0], [19, 11, 19]
    (folder / "Events.nev").write_bytes(header("nev", "") + records.tobytes())


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda whole: whole.replace(old, new.ljust(len(old))[: max(len(old), len(new))])


def stamp(record: int, change: Callable[[np.ndarray], None]) -> Callable[[bytes], bytes]:
    def lie(whole: bytes) -> bytes:
        records = np.frombuffer(whole[2**14 :], RECORDS["ncs"]).copy()
        change(records[record])
        return whole[: 2**14] + records.tobytes()

    return lie


def put(key: str, value: int) -> Callable[[np.ndarray], None]:
    return lambda record: record.__setitem__(key, value)


LIES = {
    "rate of 0": swap(b"Frequency 32000", b"Frequency 0"),
    "rate of nothing": swap(b"Frequency 32000", b"Frequency nan"),
    "negative rate": swap(b"Frequency 32000", b"Frequency -3200"),
    "another rate": swap(b"Frequency 32000", b"Frequency 30000"),
    "a rate in letters": swap(b"Frequency 32000", b"Frequency fast"),
    "scale of 0": swap(b"ADBitVolts 0.000000036", b"ADBitVolts 0.0 -- nothing"),
    "scale of nothing": swap(b"ADBitVolts 0.00000003662", b"ADBitVolts nan          "),
    "records of another size": swap(b"RecordSize 1044", b"RecordSize 1040"),
    "records of spikes": swap(b"RecordSize 1044", b"RecordSize 112"),
    "no version": swap(b"CheetahRev 5.6.3", b"CheetahRev what?"),
    "513 samples": stamp(1, put("valid", 513)),
    "no sample": stamp(1, put("valid", 0)),
    "another channel": stamp(1, put("channel", 4)),
    "another rate in a record": stamp(1, put("rate_hz", 30000)),
    "a time of no recorder": stamp(3, put("at_us", 2**63)),
    "a time before the last": stamp(2, put("at_us", START_US)),
    "half a record more": lambda whole: whole + bytes(500),
}


class TestNeuralynx(HeaderTests, PersonalTests):
    reader = neuralynx
    nodes: ClassVar = {"ieeg": "timeseries", "spikes": "spikes", "events": "intervals"}
    lazy = ("signal_adc",)
    lies = LIES
    canary = CANARY

    def make(self, folder: Path) -> Path:
        csc(folder)
        spikes_of(folder)
        events_of(folder)
        return folder / "CSC1.ncs"

    def victims(self, path: Path) -> tuple[Path, ...]:
        return tuple(path.parent / name for name in ("CSC1.ncs", "SE1.nse", "Events.nev"))


def test_samples_spikes_and_events_equal_neo(tmp_path: Path) -> None:
    from neo.rawio import NeuralynxRawIO

    records, gaps_us = (512, 512, 512, 512, 512, 100), (0, 0, 5e5, 0, 0, 0)
    for name in ("CSC1", "CSC2"):
        csc(tmp_path, name, records, gaps_us, ADChannel=name[-1])
    spikes_of(tmp_path)
    events_of(tmp_path)
    tree = read(tmp_path / "CSC1.ncs")
    theirs = NeuralynxRawIO(dirname=str(tmp_path), gap_tolerance_ms=1.0)
    theirs.parse_header()
    parts = [
        theirs.get_analogsignal_chunk(0, segment, stream_index=0)
        for segment in range(theirs.segment_count(0))
    ]
    node = tree["ieeg"]
    np.testing.assert_array_equal(node["signal_adc"].values, np.concatenate(parts))
    channels = theirs.header["signal_channels"]
    assert node["channel"].values.tolist() == channels["name"].tolist()
    np.testing.assert_allclose(node["scale"].values * 1e6, channels["gain"], rtol=1e-12)
    starts = [theirs.get_signal_t_start(0, n, 0) for n in range(2)]
    time = node["time"].values
    assert time[[0, 1024]] == pytest.approx(starts, abs=1e-9)
    assert time[1023] == pytest.approx(1023 / 32000)
    units = theirs.header["spike_channels"]
    found = tree["spikes"]
    assert found["unit_id"].values.tolist() == ["SE1_0", "SE1_1", "SE1_2"]
    assert found["sorted"].values.tolist() == [False, True, True]
    assert len(units) == 3
    splits = found["row_splits"].values
    for row in range(3):
        ticks = [theirs.get_spike_timestamps(0, n, row) for n in range(2)]
        wanted = np.concatenate([theirs.rescale_spike_timestamp(t, "float64") for t in ticks])
        own = found["time_s"].values[splits[row] : splits[row + 1]]
        np.testing.assert_allclose(own[: len(wanted)], wanted, atol=1e-9)
    assert tree["events"]["label"].values.tolist()[1] == "TTL Input (0x0001)"
    assert tree["events"]["start_s"].values.tolist() == [0.0, 0.02, 0.051]
    assert tree["events"]["ttl"].values.tolist() == [0, 1, 0]


def test_a_folder_without_gaps_has_a_regular_clock(tmp_path: Path) -> None:
    wanted = csc(tmp_path)
    tree = read(tmp_path / "CSC1.ncs")
    node = tree["ieeg"]
    assert (node.attrs["rate_hz"], node.attrs["start_s"], node.attrs["n"]) == (32000.0, 0.0, 1636)
    np.testing.assert_array_equal(node["signal_adc"].values[:, 0], wanted)
    values = physical(tree)["ieeg"]["signal"].values[:, 0]
    np.testing.assert_allclose(values, wanted * STEP_UV * 1e-6, rtol=1e-5)
    assert node["units"].values.tolist() == ["V"]
    assert dict(tree.attrs) == {"modality": "ieeg", "start_zone": "unknown"}


def test_records_that_are_not_full_leave_no_invalid_samples(tmp_path: Path) -> None:
    wanted = csc(tmp_path, valid=(512, 7, 512, 512), gaps_us=(0, 0, 1e6, 0))
    node = read(tmp_path / "CSC1.ncs")["ieeg"]
    np.testing.assert_array_equal(node["signal_adc"].values[:, 0], wanted)
    time = node["time"].values
    assert time[[518, 519]] == pytest.approx([518 / 32000, 519 / 32000 + 1], abs=1e-6)


def test_inverted_inputs_have_a_negative_scale(tmp_path: Path) -> None:
    csc(tmp_path, InputInverted="True")
    assert read(tmp_path / "CSC1.ncs")["ieeg"]["scale"].values[0] == pytest.approx(-STEP_UV * 1e-6)


def test_a_clock_that_drifts_keeps_its_measured_rate(tmp_path: Path) -> None:
    csc(tmp_path, valid=[512] * 400, gaps_us=[0] * 400, rate_hz=32001.5, SamplingFrequency="32001")
    node = read(tmp_path / "CSC1.ncs")["ieeg"]
    assert node.attrs["rate_hz"] == pytest.approx(32001.5, rel=1e-6)


def test_channels_with_time_stamps_of_their_own_get_nodes(tmp_path: Path) -> None:
    for name in ("CSC1", "CSC2"):
        csc(tmp_path, name)
    csc(tmp_path, "CSC-3", valid=(512, 512), gaps_us=(100, 0))
    tree = read(tmp_path / "CSC-3.ncs")
    assert set(tree.children) == {"ieeg", "ieeg_CSC-3"}
    assert tree["ieeg_CSC-3"].attrs["start_s"] == pytest.approx(1e-4)


def test_the_first_file_is_the_folder_s_recording(tmp_path: Path) -> None:
    for name in ("CSC1", "CSC2"):
        csc(tmp_path, name)
    (tmp_path / "other.nev").write_bytes(b"NEURALEV" + bytes(400))
    files = sorted(tmp_path.iterdir())
    assert [p.name for p in neuralynx.members(files[0], files)] == ["CSC1.ncs", "CSC2.ncs"]
    assert neuralynx.members(files[1], files) == (files[1],)


def test_equal_names_of_channels_are_told_apart(tmp_path: Path) -> None:
    csc(tmp_path, "CSC1", AcqEntName="A")
    csc(tmp_path, "CSC2", AcqEntName="A")
    channels = read(tmp_path / "CSC1.ncs")["ieeg"]["channel"].values.tolist()
    assert channels == ["A_CSC1", "A_CSC2"]


def test_spikes_alone_and_tetrodes(tmp_path: Path) -> None:
    records = spikes_of(tmp_path, "TT1", "ntt")
    tree = read(tmp_path / "TT1.ntt")
    assert dict(tree.attrs)["modality"] == "spikes"
    assert tree["spikes"].sizes["spike"] == 40
    assert tree["spikes"]["time_s"].values.min() == 0.0
    spread = (records["at_us"].max() - records["at_us"].min()) / 1e6
    assert tree["spikes"]["time_s"].values.max() == pytest.approx(spread)


def test_events_after_the_last_sample_are_left_out_and_told(tmp_path: Path) -> None:
    csc(tmp_path)
    events_of(tmp_path, late_us=1_000_000)
    raw = raw_of(tmp_path / "CSC1.ncs")
    assert neuralynx.read(raw, Declared())["events"].sizes["interval"] == 2
    assert any(p.level == "warning" and "after the last sample" in p.found for p in raw.problems)


def test_samples_without_volts_are_refused_until_declared(tmp_path: Path) -> None:
    csc(tmp_path, ADBitVolts="")
    with pytest.raises(MissingFactError, match=r"--set units\.CSC1=a\.u\."):
        read(tmp_path / "CSC1.ncs")
    node = read(tmp_path / "CSC1.ncs", units__CSC1="uV")["ieeg"]
    assert node["scale"].values == pytest.approx([1e-6])


def test_files_without_records_are_noted(tmp_path: Path) -> None:
    csc(tmp_path)
    (tmp_path / "CSC2.ncs").write_bytes(header("ncs", "CSC2"))
    raw = raw_of(tmp_path / "CSC1.ncs")
    assert neuralynx.read(raw, Declared())["ieeg"].sizes["channel"] == 1
    assert any("without records" in problem.found for problem in raw.problems)
    (tmp_path / "CSC1.ncs").unlink()
    with pytest.raises(UnreadableError, match="without records"):
        read(tmp_path / "CSC2.ncs")


@pytest.mark.parametrize("name", ["CSC1.ncs", "SE1.nse", "Events.nev"])
def test_damaged_files_give_no_foreign_exception(tmp_path: Path, name: str) -> None:
    TestNeuralynx().make(tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    used = len(whole[: 2**14].rstrip(b"\0"))
    random = np.random.default_rng(7)
    for count in range(80):
        damaged = bytearray(whole)
        where = random.integers(used) if count % 2 else random.integers(2**14, len(whole))
        damaged[where] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        attempt(lambda: read(tmp_path / "CSC1.ncs").load())
