"""Axon Binary Format: synthetic files of versions 1 and 2, against neo's own reading of them."""

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
from neurodata.readers import abf
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests, attempt

CANARY = "Zdenka Canary"
NAMES, UNITS = (b"IN 0", b"Cmd 1"), (b"mV", b"pA")
STEPS = (10.24 / 32768 / 0.01, 10.24 / 32768 / 0.0005 / 2)
Sweeps = Sequence[tuple[int, int]]


def read(path: Path, **facts: Any) -> xr.DataTree:
    facts.setdefault("modality", "ieeg")
    declared = Declared({key.replace("__", "."): value for key, value in facts.items()})
    return abf.read(Raw(path.parent, (path,)), declared)


def counts(sweeps: Sweeps) -> np.ndarray:
    total = sum(length for _, length in sweeps)
    return np.random.default_rng(3).integers(-9999, 9999, (total, 2)).astype("<i2")


def synch(sweeps: Sweeps) -> bytes:
    return b"".join(struct.pack("<ii", at, 2 * length) for at, length in sweeps)


def tag(at: int, text: bytes) -> bytes:
    return struct.pack("<i56shh", at, text, 1, 0)


def write_1(
    path: Path, sweeps: Sweeps = ((0, 400),), unit_us: float = 0.0, mode: int = 3,
    floats: bool = False, units: Sequence[bytes] = UNITS,
) -> np.ndarray:  # fmt: skip
    """Write a synthetic ABF1 file of two channels at 10 kHz; return its counts."""
    values = counts(sweeps)
    data = values.astype("<f4").tobytes() if floats else values.tobytes()
    blocks = -(-len(data) // 512)
    head = bytearray(12 * 512)

    def put(at: int, form: str, *numbers: Any) -> None:
        struct.pack_into("<" + form, head, at, *numbers)

    put(0, "4sf", b"ABF ", 1.83)
    put(8, "hihi", mode, values.size, 0, len(sweeps))
    put(20, "ii", 20160203, 3600)
    put(40, "iii", 12, 12 + blocks, 2)
    put(92, "iih", 13 + blocks, len(sweeps), int(floats))
    put(120, "hf", 2, 50.0)
    put(130, "f", unit_us)
    put(244, "f", 10.24)
    put(252, "i", 32768)
    put(378, "16h", *range(16))
    put(410, "16h", 0, 1, *[-1] * 14)
    for place in range(16):
        name, unit = (NAMES[place], units[place]) if place < 2 else (b"", b"")
        put(442 + 10 * place, "10s", name.ljust(10))
        put(602 + 8 * place, "8s", unit.ljust(8))
    put(730, "16f", *[1.0] * 16)
    put(922, "16f", 0.01, 0.0005, *[1.0] * 14)
    put(986, "16f", 0.0, 5.0, *[0.0] * 14)
    put(1050, "16f", 1.0, 2.0, *[1.0] * 14)
    put(4898, "384s", f"C:\\{CANARY}\\protocol.pro".encode())
    tags = tag(100, b"drug on") + tag(300, b"")
    path.write_bytes(
        bytes(head) + data.ljust(blocks * 512, b"\0") + tags.ljust(512, b"\0") + synch(sweeps)
    )
    return values


def write_2(
    path: Path, sweeps: Sweeps = ((0, 400),), unit_us: float = 0.0, mode: int = 3,
    floats: bool = False, units: Sequence[bytes] = UNITS,
) -> np.ndarray:  # fmt: skip
    """Write a synthetic ABF2 file of the same content."""
    values = counts(sweeps)
    data = values.astype("<f4").tobytes() if floats else values.tobytes()
    protocol, adc = bytearray(512), bytearray(256)
    struct.pack_into("<hf", protocol, 0, mode, 100.0)
    struct.pack_into("<f", protocol, 14, unit_us)
    struct.pack_into("<f", protocol, 110, 10.24)
    struct.pack_into("<i", protocol, 118, 32768)
    for place, (scale, gain, shift) in enumerate(((0.01, 1.0, 0.0), (0.0005, 2.0, 5.0))):
        at = 128 * place
        struct.pack_into("<h", adc, at, place)
        struct.pack_into("<f", adc, at + 28, 1.0)
        struct.pack_into("<ffff", adc, at + 40, scale, shift, gain, 0.0)
        struct.pack_into("<ii", adc, at + 74, 3 + 2 * place, 4 + 2 * place)
    texts = [
        b"Clampex",
        f"C:\\{CANARY}\\protocol.pro".encode(),
        NAMES[0],
        units[0],
        NAMES[1],
        units[1],
    ]
    strings = b"SSCH" + bytes(40) + b"\0\0" + b"\0".join(texts) + b"\0"
    tags = tag(100, b"drug on") + tag(300, b"")
    parts = {0: (512, 1, bytes(protocol)), 1: (128, 2, bytes(adc)),
             9: (len(strings), 6, strings), 10: (4 if floats else 2, values.size, data),
             11: (64, 2, tags), 15: (8, len(sweeps), synch(sweeps))}  # fmt: skip
    head = bytearray(1024)
    struct.pack_into("<4s4bI", head, 0, b"ABF2", 0, 0, 6, 2, 512)
    struct.pack_into("<III", head, 12, len(sweeps), 20160203, 3600)
    struct.pack_into("<HH", head, 28, 1, int(floats))
    struct.pack_into("<I", head, 72, 2)
    body, block = b"", 2
    for row, (length, count, part) in parts.items():
        struct.pack_into("<IIq", head, 76 + 16 * row, block, length, count)
        blocks = -(-len(part) // 512)
        body, block = body + part.ljust(blocks * 512, b"\0"), block + blocks
    path.write_bytes(bytes(head) + body)
    return values


WRITERS = {1: write_1, 2: write_2}


def at(offset: int, form: str, value: Any) -> Callable[[bytes], bytes]:
    def lie(whole: bytes) -> bytes:
        changed = bytearray(whole)
        struct.pack_into(form, changed, offset, value)
        return bytes(changed)

    return lie


class TestAbf1(HeaderTests, PersonalTests):
    reader = abf
    nodes: ClassVar = {"signals": "timeseries", "tags": "intervals"}
    declare: ClassVar = {"modality": "ieeg"}
    lazy = ("signal_adc",)
    canary = CANARY
    lies: ClassVar = {
        "no channel": at(120, "<h", 0),
        "17 channels": at(120, "<h", 17),
        "an interval of 0": at(122, "<f", 0.0),
        "an interval of nothing": at(122, "<f", np.nan),
        "a range of 0": at(244, "<f", 0.0),
        "a range of nothing": at(244, "<f", np.nan),
        "a resolution of 0": at(252, "<i", 0),
        "an instrument of 0": at(922, "<f", 0.0),
        "more samples": at(96, "<i", 2**20),
        "data beyond the file": at(40, "<i", 10**6),
        "data in the header": at(40, "<i", 0),
        "negative data": at(40, "<i", -5),
        "sweeps beyond the file": at(92, "<i", 10**6),
        "2^31 tags": at(48, "<i", 2**31 - 1),
        "variable sweeps": at(8, "<h", 1),
        "a mode of none": at(8, "<h", 9),
        "no month": at(20, "<i", 20161303),
    }

    def make(self, folder: Path) -> Path:
        write_1(folder / "synthetic.abf")
        return folder / "synthetic.abf"


class TestAbf2(HeaderTests, PersonalTests):
    reader = abf
    nodes: ClassVar = {"signals": "timeseries", "sweeps": "intervals", "tags": "intervals"}
    declare: ClassVar = {"modality": "ieeg"}
    lazy = ("signal_adc",)
    canary = CANARY
    truncation_shows = True
    lies: ClassVar = {
        f"{story} of table {row}": at(76 + 16 * row + place, form, value)
        for row in (1, 10, 11, 15)
        for story, place, form, value in (
            ("blocks beyond the file", 0, "<I", 10**6), ("2^62 entries", 8, "<q", 2**62),
            ("less than no entry", 8, "<q", -1), ("no bytes", 4, "<I", 0),
        )
    }  # fmt: skip

    def make(self, folder: Path) -> Path:
        write_2(folder / "synthetic.abf", sweeps=((0, 200), (40_000, 200)), unit_us=10, mode=5)
        return folder / "synthetic.abf"


@pytest.mark.parametrize("version", WRITERS)
def test_samples_and_scales_equal_neo(tmp_path: Path, version: int) -> None:
    from neo.rawio import AxonRawIO

    path = tmp_path / "synthetic.abf"
    values = WRITERS[version](path, sweeps=((0, 150), (40_000, 250)), unit_us=10, mode=5)
    theirs = AxonRawIO(str(path))
    theirs.parse_header()
    parts = [theirs.get_analogsignal_chunk(0, n, stream_index=0) for n in range(2)]
    tree = read(path)
    node = tree["signals"]
    np.testing.assert_array_equal(node["signal_adc"].values, np.concatenate(parts))
    np.testing.assert_array_equal(node["signal_adc"].values, values)
    channels = theirs.header["signal_channels"]
    assert node["channel"].values.tolist() == channels["name"].tolist() == ["IN 0", "Cmd 1"]
    factor = np.array([1e-3, 1e-12])
    np.testing.assert_allclose(node["scale"].values, channels["gain"] * factor)
    np.testing.assert_allclose(node["offset"].values, channels["offset"] * factor)
    np.testing.assert_allclose(node["scale"].values, np.array(STEPS) * factor, rtol=1e-6)
    assert node["units"].values.tolist() == ["V", "A"]
    starts = [theirs.get_signal_t_start(0, n, 0) for n in range(2)]
    assert node["time"].values[[0, 150]] == pytest.approx(starts) == [0.0, 0.4]
    assert node["time"].values[149] == pytest.approx(0.0149)
    assert tree["sweeps"]["start_s"].values.tolist() == pytest.approx([0.0, 0.4])
    assert tree["sweeps"]["duration_s"].values.tolist() == pytest.approx([0.015, 0.025])
    assert tree["tags"]["label"].values.tolist() == ["drug on", "tag"]
    assert tree["tags"]["start_s"].values.tolist() == pytest.approx([1e-3, 3e-3])


@pytest.mark.parametrize("version", WRITERS)
def test_one_sweep_has_a_regular_clock(tmp_path: Path, version: int) -> None:
    path = tmp_path / "synthetic.abf"
    values = WRITERS[version](path)
    tree = read(path)
    node = tree["signals"]
    assert (node.attrs["rate_hz"], node.attrs["start_s"], node.attrs["n"]) == (
        pytest.approx(10_000), 0.0, 400,
    )  # fmt: skip
    found = physical(tree)["signals"]["signal"].values
    np.testing.assert_allclose(found[:, 0], values[:, 0] * STEPS[0] * 1e-3, rtol=1e-5)
    wanted = (values[:, 1] * STEPS[1] + 5) * 1e-12
    np.testing.assert_allclose(found[:, 1], wanted, rtol=1e-5, atol=1e-16)
    assert tree["tags"]["start_s"].values.tolist() == pytest.approx([100 / 20_000, 300 / 20_000])
    assert dict(tree.attrs) == {"modality": "ieeg", "start_zone": "unknown"}


@pytest.mark.parametrize("version", WRITERS)
def test_touching_sweeps_counted_in_samples(tmp_path: Path, version: int) -> None:
    path = tmp_path / "synthetic.abf"
    WRITERS[version](path, sweeps=((0, 100), (200, 100), (400, 100)), mode=5)
    tree = read(path)
    assert tree["signals"].attrs["n"] == 300
    assert tree["sweeps"]["start_s"].values.tolist() == pytest.approx([0, 0.01, 0.02])


@pytest.mark.parametrize("version", WRITERS)
def test_floats_are_scaled_to_si(tmp_path: Path, version: int) -> None:
    path = tmp_path / "synthetic.abf"
    values = WRITERS[version](path, floats=True)
    found = read(path)["signals"]["signal"].values
    np.testing.assert_allclose(found, values * np.array([1e-3, 1e-12]), rtol=1e-6)


@pytest.mark.parametrize("version", WRITERS)
def test_sweeps_that_overlap_are_refused(tmp_path: Path, version: int) -> None:
    path = tmp_path / "synthetic.abf"
    WRITERS[version](path, sweeps=((0, 200), (100, 200)), mode=5)
    with pytest.raises(UnreadableError, match="before the stretch"):
        read(path)


@pytest.mark.parametrize("version", WRITERS)
def test_what_is_not_stated_is_declared(tmp_path: Path, version: int) -> None:
    path = tmp_path / "synthetic.abf"
    WRITERS[version](path, units=(b"bananas", b"pA"))
    with pytest.raises(MissingFactError, match=r"units\.IN 0=<unit>"):
        read(path)
    node = read(path, **{"units__IN 0": "V"})["signals"]
    assert node["scale"].values[0] == pytest.approx(STEPS[0], rel=1e-6)
    with pytest.raises(MissingFactError, match="modality=ieeg"):
        abf.read(Raw(tmp_path, (path,)), Declared({"units.*": "V"}))


def test_sweeps_of_unlike_lengths_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.abf"
    write_2(path, mode=1)
    with pytest.raises(UnknownFormatError, match="mode 1"):
        read(path)


@pytest.mark.parametrize("version", WRITERS)
def test_damaged_files_give_no_foreign_exception(tmp_path: Path, version: int) -> None:
    path = tmp_path / "synthetic.abf"
    WRITERS[version](path)
    whole = path.read_bytes()
    random = np.random.default_rng(7)
    for _ in range(120):
        damaged = bytearray(whole)
        damaged[random.integers(1600)] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        attempt(lambda: read(path).load())
