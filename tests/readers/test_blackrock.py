"""Blackrock recordings: synthetic files in the native layout, against neo's own reading of them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import MissingFactError, UnknownFormatError, UnreadableError
from neurodata.physical import physical
from neurodata.readers import blackrock
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests, attempt

CANARY = "Zdenka Canary"
Blocks = Sequence[tuple[int, int]]


def raw_of(path: Path) -> Raw:
    return Raw(path.parent, blackrock.members(path, sorted(path.parent.iterdir())))


def read(path: Path, **facts: Any) -> xr.DataTree:
    declared = Declared({key.replace("__", "."): value for key, value in facts.items()})
    return blackrock.read(raw_of(path), declared)


def nsx_header(count: int, period: int, spec: str, ticks_hz: int, units: str) -> bytes:
    major, minor = map(int, spec.split("."))
    data = struct.pack("<8sBBI16s256s", b"NEURALCD" if major == 2 else b"BRSMPGRP", major, minor,
                       314 + 66 * count, b"30 kS/s", CANARY.encode())  # fmt: skip
    data += struct.pack("<II8HI", period, ticks_hz, 2011, 2, 4, 3, 1, 2, 3, 4, count)
    for place in range(count):
        data += struct.pack("<2sH16sBBhhhh16s", b"CC", place + 1, f"chan{place + 1}".encode(), 1,
                            place, -32764, 32764, -8191, 8191, units.encode())  # fmt: skip
        data += struct.pack("<IIHIIH", 300, 4, 1, 7500000, 3, 1)
    return data


def nsx(
    folder: Path,
    suffix: str = "ns5",
    blocks: Blocks = ((0, 300),),
    period: int = 1,
    spec: str = "2.3",
    count: int = 3,
    units: str = "uV",
) -> np.ndarray:
    """Write synthetic samples in blocks of (tick, count); return them all."""
    total = sum(samples for _, samples in blocks)
    values = np.random.default_rng(period).integers(-9999, 9999, (total, count)).astype("<i2")
    data, begin = nsx_header(count, period, spec, 30_000, units), 0
    for at, samples in blocks:
        data += struct.pack("<BII" if spec < "3" else "<BQI", 1, at, samples)
        data += values[begin : begin + samples].tobytes()
        begin += samples
    (folder / f"synthetic.{suffix}").write_bytes(data)
    return values


def packed(folder: Path, at_ns: np.ndarray) -> np.ndarray:
    """Write synthetic samples, each a packet with its time in nanoseconds."""
    layout = [("reserved", "u1"), ("at", "<u8"), ("count", "<u4"), ("samples", "<i2", (2,))]
    packets = np.zeros(len(at_ns), layout)
    packets["reserved"], packets["at"], packets["count"] = 1, at_ns, 1
    packets["samples"] = np.random.default_rng(1).integers(-99, 99, (len(at_ns), 2))
    data = nsx_header(2, 1, "3.0", 10**9, "uV") + packets.tobytes()
    (folder / "synthetic.ns6").write_bytes(data)
    return packets["samples"]


def nev(folder: Path, spec: str = "2.3", late: int = 0) -> list[tuple[int, int, int]]:
    """Write synthetic spikes of electrodes 1 and 7, a digital input and a comment."""
    major, minor = map(int, spec.split("."))
    size, extensions = 104, 4
    data = struct.pack("<8sBBHIIII", b"NEURALEV" if major == 2 else b"BREVENTS", major, minor, 1,
                       336 + 32 * extensions, size, 30_000, 30_000)  # fmt: skip
    data += struct.pack(
        "<8H32s256sI", *range(2011, 2019), CANARY.encode(), CANARY.encode(), extensions
    )
    for electrode in (1, 7):
        data += struct.pack(
            "<8sHBBHHhhBBH", b"NEUEVWAV", electrode, 1, 1, 1000, 0, 50, -50, 2, 2, 40
        )
        data = data.ljust(len(data) + (-(len(data) - 336) % 32), b"\0")
        data += struct.pack("<8sH16s", b"NEUEVLBL", electrode, b"e").ljust(32, b"\0")
    random = np.random.default_rng(5)
    spikes = [(int(at), int(random.choice([1, 7])), int(random.integers(0, 3)))
              for at in np.sort(random.integers(0, 290, 30))]  # fmt: skip
    stamp = "<I" if spec < "3" else "<Q"
    for at, electrode, unit in spikes:
        data += (struct.pack(stamp, at) + struct.pack("<HBB", electrode, unit, 0)).ljust(
            size, b"\1"
        )
    for body in (
        struct.pack(stamp, 150) + struct.pack("<HBBH", 0, 1, 0, 513),
        struct.pack(stamp, 200 + late) + struct.pack("<HBBI", 0xFFFF, 0, 0, 255) + b"lights on",
        struct.pack(stamp, 210) + struct.pack("<HH", 0xFFFE, 3),
    ):
        data += body.ljust(size, b"\0")
    (folder / "synthetic.nev").write_bytes(data)
    return spikes


def at(offset: int, form: str, value: Any) -> Callable[[bytes], bytes]:
    def lie(whole: bytes) -> bytes:
        changed = bytearray(whole)
        struct.pack_into(form, changed, offset, value)
        return bytes(changed)

    return lie


DATA = 314 + 66 * 3
LIES = {
    "no channel": at(310, "<I", 0),
    "more channels": at(310, "<I", 4),
    "2^32 channels": at(310, "<I", 2**32 - 1),
    "headers of no length": at(10, "<I", 0),
    "headers longer than the file": at(10, "<I", 10**6),
    "a period of 0": at(286, "<I", 0),
    "a period of a day": at(286, "<I", 2**31),
    "ticks of no length": at(290, "<I", 0),
    "nanoseconds": at(290, "<I", 10**9),
    "another specification": at(8, "<B", 9),
    "specification 2.1": lambda whole: b"NEURALSG" + whole[8:],
    "an empty digital range": at(314 + 22, "<h", 32764),
    "an empty analog range": at(314 + 26, "<h", 8191),
    "more samples": at(DATA + 5, "<I", 301),
    "fewer samples": at(DATA + 5, "<I", 299),
    "2^32 samples": at(DATA + 5, "<I", 2**32 - 1),
    "no samples": at(DATA + 5, "<I", 0),
    "a flag of no block": at(DATA, "<B", 2),
}


class TestBlackrock(HeaderTests, PersonalTests):
    reader = blackrock
    nodes: ClassVar = {"ieeg": "timeseries"}
    lazy = ("signal_adc",)
    lies = LIES
    canary = CANARY

    def make(self, folder: Path) -> Path:
        nsx(folder)
        return folder / "synthetic.ns5"


class TestBlackrockEvents(PersonalTests):
    reader = blackrock
    nodes: ClassVar = {"ieeg": "timeseries", "spikes": "spikes", "events": "intervals"}
    lazy = ("signal_adc",)
    truncation_shows = False  # nothing says how many packets there were
    canary = CANARY

    def make(self, folder: Path) -> Path:
        nsx(folder)
        nev(folder)
        return folder / "synthetic.nev"

    def victims(self, path: Path) -> tuple[Path, ...]:
        return path, path.with_suffix(".ns5")


@pytest.mark.parametrize("spec", ["2.2", "2.3", "3.0"])
def test_samples_and_spikes_equal_neo(tmp_path: Path, spec: str) -> None:
    from neo.rawio import BlackrockRawIO

    values = nsx(tmp_path, blocks=((0, 100), (20_000, 200)), spec=spec)
    tree = read(tmp_path / "synthetic.ns5")
    theirs = BlackrockRawIO(str(tmp_path / "synthetic.ns5"), gap_tolerance_ms=1.0)
    theirs.parse_header()
    parts = [theirs.get_analogsignal_chunk(0, n, stream_index=0) for n in range(2)]
    node = tree["ieeg"]
    np.testing.assert_array_equal(node["signal_adc"].values, np.concatenate(parts))
    np.testing.assert_array_equal(node["signal_adc"].values, values)
    channels = theirs.header["signal_channels"]
    assert node["channel"].values.tolist() == channels["name"].tolist()
    np.testing.assert_allclose(node["scale"].values * 1e6, channels["gain"])
    np.testing.assert_allclose(node["offset"].values * 1e6, channels["offset"], atol=1e-9)
    starts = [theirs.get_signal_t_start(0, n, 0) for n in range(2)]
    assert node["time"].values[[0, 100]] == pytest.approx(starts)
    assert node["time"].values[[99, 299]] == pytest.approx([99 / 30000, (20_000 + 199) / 30000])


@pytest.mark.parametrize("spec", ["2.2", "2.3", "3.0"])
def test_spikes_and_events_are_those_written(tmp_path: Path, spec: str) -> None:
    nsx(tmp_path, spec=spec)
    wanted = nev(tmp_path, spec)
    tree = read(tmp_path / "synthetic.nev")
    node = tree["spikes"]
    pairs = sorted({(electrode, unit) for _, electrode, unit in wanted})
    assert node["unit_id"].values.tolist() == [f"{a}_{b}" for a, b in pairs]
    splits = node["row_splits"].values
    for row, pair in enumerate(pairs):
        times = [at / 30_000 for at, *own in wanted if tuple(own) == pair]
        found = node["time_s"].values[splits[row] : splits[row + 1]]
        np.testing.assert_allclose(found, times, atol=1e-12)
    assert node["group"].values.tolist() == ["sorted" if b else "unsorted" for _, b in pairs]
    assert (node.attrs["start_s"], node.attrs["stop_s"]) == (0.0, 0.01)
    events = tree["events"]
    assert events["label"].values.tolist() == ["digital input", "lights on"]
    assert events["value"].values.tolist() == [513, -1]
    assert events["start_s"].values.tolist() == [150 / 30_000, 200 / 30_000]


def test_one_block_has_a_regular_clock_in_volts(tmp_path: Path) -> None:
    values = nsx(tmp_path)
    tree = read(tmp_path / "synthetic.ns5")
    node = tree["ieeg"]
    assert (node.attrs["rate_hz"], node.attrs["start_s"], node.attrs["n"]) == (30000.0, 0.0, 300)
    found = physical(tree)["ieeg"]["signal"].values
    np.testing.assert_allclose(found, values * (8191 / 32764) * 1e-6, rtol=1e-5, atol=1e-12)
    assert dict(tree.attrs) == {"modality": "ieeg", "start_zone": "unknown"}


def test_each_rate_has_its_node(tmp_path: Path) -> None:
    nsx(tmp_path, "ns2", blocks=((30, 10),), period=30)
    nsx(tmp_path, "ns5", blocks=((0, 300),))
    tree = read(tmp_path / "synthetic.ns2")
    assert {name: node.attrs["rate_hz"] for name, node in tree.children.items()} == {
        "ieeg": 30000.0, "ieeg_ns2": 1000.0,
    }  # fmt: skip
    assert tree["ieeg_ns2"].attrs["start_s"] == pytest.approx(0.001)


def test_packets_with_times_of_their_own(tmp_path: Path) -> None:
    step = 1e9 / 30_000
    at_ns = 10**18 + np.rint(np.arange(60) * step).astype("u8")
    values = packed(tmp_path, at_ns)
    node = read(tmp_path / "synthetic.ns6")["ieeg"]
    assert (node.attrs["rate_hz"], node.attrs["n"]) == (30000.0, 60)
    np.testing.assert_array_equal(node["signal_adc"].values, values)
    at_ns[40:] += 500_000_000
    packed(tmp_path, at_ns)
    time = read(tmp_path / "synthetic.ns6")["ieeg"]["time"].values
    assert time[[39, 40]] == pytest.approx([39 / 30_000, 40 / 30_000 + 0.5], abs=1e-6)
    at_ns[50] = at_ns[10]
    packed(tmp_path, at_ns)
    with pytest.raises(UnreadableError, match="fall"):
        read(tmp_path / "synthetic.ns6")


def test_blocks_that_overlap_are_refused(tmp_path: Path) -> None:
    nsx(tmp_path, blocks=((0, 200), (100, 100)))
    with pytest.raises(UnreadableError, match="before the stretch"):
        read(tmp_path / "synthetic.ns5")


def test_unknown_units_are_refused_until_declared(tmp_path: Path) -> None:
    nsx(tmp_path, units="bananas")
    with pytest.raises(MissingFactError, match=r"units\.chan1=<unit>"):
        read(tmp_path / "synthetic.ns5")
    node = read(tmp_path / "synthetic.ns5", **{"units__*": "mV"})["ieeg"]
    assert node["scale"].values == pytest.approx([8191 / 32764 * 1e-3] * 3)


def test_specification_2_1_is_refused(tmp_path: Path) -> None:
    nsx(tmp_path)
    path = tmp_path / "synthetic.ns5"
    path.write_bytes(b"NEURALSG" + path.read_bytes()[8:])
    with pytest.raises(UnknownFormatError, match=r"2\.1"):
        read(path)


def test_events_after_the_last_sample_are_left_out_and_told(tmp_path: Path) -> None:
    nsx(tmp_path)
    nev(tmp_path, late=90_000)
    raw = raw_of(tmp_path / "synthetic.nev")
    assert blackrock.read(raw, Declared())["events"].sizes["interval"] == 1
    assert any(p.level == "warning" and "after the last sample" in p.found for p in raw.problems)


def test_spikes_alone(tmp_path: Path) -> None:
    nev(tmp_path)
    tree = read(tmp_path / "synthetic.nev")
    assert dict(tree.attrs)["modality"] == "spikes"
    assert "stop_s" not in tree["spikes"].attrs


def test_the_first_file_of_a_stem_is_the_recording(tmp_path: Path) -> None:
    nsx(tmp_path)
    nev(tmp_path)
    (tmp_path / "other.ns5").write_bytes((tmp_path / "synthetic.ns5").read_bytes())
    files = sorted(tmp_path.iterdir())
    names = [[p.name for p in blackrock.members(path, files)] for path in files]
    assert names == [["other.ns5"], ["synthetic.nev", "synthetic.ns5"], ["synthetic.ns5"]]


@pytest.mark.parametrize("name", ["synthetic.ns5", "synthetic.nev"])
def test_damaged_files_give_no_foreign_exception(tmp_path: Path, name: str) -> None:
    nsx(tmp_path)
    nev(tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    random = np.random.default_rng(7)
    for count in range(120):
        damaged = bytearray(whole)
        damaged[random.integers(540 if count % 2 else len(whole))] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        attempt(lambda: read(tmp_path / "synthetic.nev").load())
