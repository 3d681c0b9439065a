"""Event cameras: synthetic AEDAT files by the layouts that their makers document."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import (
    MissingFactError,
    NeurodataError,
    UnknownFormatError,
    UnreadableError,
)
from neurodata.readers import aedat, aedat_packets
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests

CANARY = "Zdenka Canary"
Event = tuple[int, int, int, int]  # microseconds, x, y, rising


def events(count: int, width: int, height: int, seed: int = 1) -> list[Event]:
    random = np.random.default_rng(seed)
    at = np.sort(random.integers(1000, 9_000_000, count))
    x, y = random.integers(0, width, count), random.integers(0, height, count)
    rising = random.integers(0, 2, count)
    return list(zip(*(a.tolist() for a in (at, x, y, rising)), strict=True))


def packet(kind: int, items: Sequence[bytes], overflow: int = 0, **lie: int) -> bytes:
    count = len(items)
    head = {"type": kind, "source": 1, "size": len(items[0]), "ts": 4, "overflow": overflow,
            "capacity": count, "number": count, "valid": count, **lie}  # fmt: skip
    return struct.pack("<2h6i", *head.values()) + b"".join(items)


def change(event: Event, valid: int = 1) -> bytes:
    at, x, y, rising = event
    return struct.pack("<Ii", x << 17 | y << 2 | rising << 1 | valid, at % 2**31)


def header3(camera: str = "DVS128", form: str = "RAW") -> bytes:
    return (
        f"#!AER-DAT3.1\r\n#Format: {form}\r\n#Source 1: {camera}\r\n#Path: C:/{CANARY}\r\n"
        "#Start-Time: 2017-02-06 13:34:39 (TZ+0100)\r\n#!END-HEADER\r\n"
    ).encode()


FOUND = events(400, 128, 128)
INPUTS = [struct.pack("<Ii", 2 << 1 | 1, 5000), struct.pack("<Ii", 3 << 1 | 1, 6000)]


def version3(folder: Path, camera: str = "DVS128", found: Sequence[Event] = FOUND) -> Path:
    parts = [packet(1, [change(e) for e in found[n : n + 100]]) for n in range(0, len(found), 100)]
    parts[1:1] = [packet(0, INPUTS), packet(2, [bytes(52)] * 2)]
    path = folder / "synthetic.aedat"
    path.write_bytes(header3(camera) + b"".join(parts))
    return path


def address(event: Event, camera: str) -> bytes:
    at, x, y, rising = event
    word = y << 8 | x << 1 | 1 - rising if camera == "DVS128" else y << 22 | x << 12 | rising << 11
    return struct.pack(">Ii", word, at)


def version2(
    folder: Path, camera: str = "DVS128", found: Sequence[Event] = FOUND, more: bytes = b"",
    chip: str | None = None,
) -> Path:  # fmt: skip
    text = f"#!AER-DAT2.0\r\n# created by {CANARY}\r\n"
    if chip is None:
        text += f"# AEChip: eu.seebetter.ini.chips.davis.{camera}\r\n"
    path = folder / "synthetic.aedat"
    data = b"".join(address(event, camera) for event in found)
    path.write_bytes(text.encode() + b"# End of ASCII Header\r\n" + data + more)
    return path


def read(path: Path, **facts: Any) -> tuple[xr.DataTree, Raw]:
    raw = Raw(path.parent, (path,))
    declared = Declared({key.replace("__", "."): value for key, value in facts.items()})
    return aedat.read(raw, declared), raw


def listed(node: xr.Dataset) -> list[Event]:
    """The events of a node, in order of time, pixel and polarity."""
    unit = np.repeat(np.arange(node.sizes["unit"]), np.diff(node["row_splits"].values))
    found = zip(
        np.rint(node["time_s"].values * 1e6).astype("i8").tolist(),
        *(node[key].values[unit].tolist() for key in ("x", "y", "polarity")), strict=True,
    )  # fmt: skip
    return sorted(found)


def head3(**fields: int) -> Callable[[bytes], bytes]:
    places = {"type": (0, "<h"), "size": (4, "<i"), "ts": (8, "<i"), "overflow": (12, "<i"),
              "capacity": (16, "<i"), "number": (20, "<i"), "valid": (24, "<i")}  # fmt: skip

    def lie(whole: bytes) -> bytes:
        changed, start = bytearray(whole), len(header3())
        for key, value in fields.items():
            struct.pack_into(places[key][1], changed, start + places[key][0], value)
        return bytes(changed)

    return lie


class TestVersion3(HeaderTests, PersonalTests):
    reader = aedat
    nodes: ClassVar = {"spikes": "spikes", "events": "intervals"}
    lazy = ()
    truncation_shows = False
    canary = CANARY
    lies: ClassVar = {
        "more events": head3(number=101, capacity=101, valid=101),
        "fewer events": head3(number=99, capacity=99, valid=99),
        "2^31 events": head3(number=2**31 - 1, capacity=2**31 - 1),
        "events below 0": head3(number=-1, capacity=-1, valid=-1),
        "room for more": head3(capacity=200),
        "more valid than there are": head3(valid=101),
        "events of no size": head3(size=0),
        "events of another size": head3(size=16, number=50, capacity=50, valid=50),
        "an impossible overflow": head3(overflow=-1),
        "times elsewhere": head3(ts=0),
        "an impossible type": head3(type=-5),
        "another format": lambda whole: whole.replace(b"RAW", b"Compressed"),
        "no end of the header": lambda whole: whole.replace(b"#!END", b"#?END"),
        "another camera": lambda whole: whole.replace(b"DVS128", b"DVS999"),
        "version 4": lambda whole: whole.replace(b"DAT3.1", b"DAT4.0"),
    }

    def make(self, folder: Path) -> Path:
        return version3(folder)


class TestVersion2(PersonalTests):
    reader = aedat
    nodes: ClassVar = {"spikes": "spikes"}
    lazy = ()
    truncation_shows = False
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return version2(folder)


@pytest.mark.parametrize("make", [version2, version3])
def test_events_are_those_written(make: Any, tmp_path: Path) -> None:
    tree, raw = read(make(tmp_path))
    node = tree["spikes"].to_dataset()
    assert listed(node) == sorted(FOUND)
    assert node.sizes["unit"] == 2 * 128 * 128
    at = [e[0] for e in FOUND]
    assert node.attrs["start_s"] == min(at) / 1e6
    assert node.attrs["stop_s"] == max(at) / 1e6
    assert tree.attrs["device"] == "DVS128"
    unit = int(np.argmax(np.diff(node["row_splits"].values) > 0))
    x, y, polarity = (int(node[key].values[unit]) for key in ("x", "y", "polarity"))
    assert node["unit_id"].values[unit] == f"{('off', 'on')[polarity]}_{y}_{x}"
    assert not [p for p in raw.problems if p.level != "note"]


@pytest.mark.parametrize("make", [version2, version3])
def test_davis_addresses(make: Any, tmp_path: Path) -> None:
    found = events(300, 346, 260, 3)
    node = read(make(tmp_path, "DAVIS346", found))[0]["spikes"].to_dataset()
    assert listed(node) == sorted(found)
    assert node.sizes["unit"] == 2 * 346 * 260


def test_signals_at_the_input_and_what_stays_behind(tmp_path: Path) -> None:
    tree, raw = read(version3(tmp_path))
    assert tree["events/start_s"].values.tolist() == [0.005, 0.006]
    assert tree["events/label"].values.tolist() == ["input rising", "input falling"]
    assert any("2 events of frames" in p.found for p in raw.problems)
    more = struct.pack(">Ii", 0x8001, 8_999_999) + struct.pack(">Ii", 2**31, 9_000_000)
    tree, raw = read(version2(tmp_path, more=more))
    assert tree["events/start_s"].values.tolist() == [8.999999]
    assert any("1 of frames" in p.found for p in raw.problems)


def test_invalid_events_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.aedat"
    data = packet(1, [change((10, 1, 2, 1)), change((11, 3, 4, 0), valid=0)], valid=1)
    path.write_bytes(header3() + data)
    assert listed(read(path)[0]["spikes"].to_dataset()) == [(10, 1, 2, 1)]


def test_times_go_on_where_they_wrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aedat_packets, "BLOCK_EVENTS", 2)
    at = [2**31 - 5, 2**31 - 1, -(2**31), -(2**31) + 7, 0, 2**31 - 1, -(2**31)]
    path = version2(tmp_path, found=[(a, 1, 2, 1) for a in at])
    node = read(path)[0]["spikes"].to_dataset()
    turns = [0, 0, 1, 1, 1, 1, 2]
    expected = [a + t * 2**32 for a, t in zip(at, turns, strict=True)]
    assert [e[0] for e in listed(node)] == expected
    whole = [packet(1, [change((2**31 - 1, 1, 2, 0))]), packet(1, [change((3, 1, 2, 0))], 1)]
    path.write_bytes(header3() + b"".join(whole))
    node = read(path)[0]["spikes"].to_dataset()
    assert [e[0] for e in listed(node)] == [2**31 - 1, 2**31 + 3]


def test_clocks_that_were_reset_are_refused(tmp_path: Path) -> None:
    for make in (version2, version3):
        late = [(a + 20_000_000, x, y, p) for a, x, y, p in FOUND]
        with pytest.raises(UnreadableError, match="fall"):
            read(make(tmp_path, found=late + FOUND))
    jitter = [(5000, 1, 1, 1), (4990, 1, 1, 1)]
    tree, raw = read(version2(tmp_path, found=jitter))
    assert [e[0] for e in listed(tree["spikes"].to_dataset())] == [4990, 5000]
    assert any("1 events before the one before" in p.found for p in raw.problems)


def test_cut_records_and_packets_are_refused(tmp_path: Path) -> None:
    path = version2(tmp_path)
    whole = path.read_bytes()
    for cut in (1, 4, 7):
        path.write_bytes(whole[:-cut])
        with pytest.raises(UnreadableError, match="multiple of 8"):
            read(path)
    path = version3(tmp_path)
    whole = path.read_bytes()
    for cut in (1, 8, 300, 805, 820):
        path.write_bytes(whole[:-cut])
        with pytest.raises(UnreadableError):
            read(path)


def test_the_camera_is_never_guessed(tmp_path: Path) -> None:
    path = version2(tmp_path, chip="")
    with pytest.raises(MissingFactError, match=r"variables\.camera=DVS128"):
        read(path)
    node = read(path, variables__camera="DVS128")[0]["spikes"].to_dataset()
    assert listed(node) == sorted(FOUND)
    with pytest.raises(UnknownFormatError, match="DVS999"):
        read(path, variables__camera="DVS999")
    path = version3(tmp_path, "DAVIS240", events(50, 346, 260, 3))
    with pytest.raises(UnreadableError, match=r"below \(240, 180\)"):
        read(path)


@pytest.mark.parametrize("version", ["1.0", "4.0"])
def test_other_versions_are_refused(version: str, tmp_path: Path) -> None:
    path = tmp_path / "synthetic.aedat4"
    path.write_bytes(f"#!AER-DAT{version}\r\n".encode() + bytes(99))
    with pytest.raises(UnknownFormatError, match=version):
        read(path)


@pytest.mark.parametrize("make", [version2, version3])
def test_flips_give_no_foreign_exception(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(aedat_packets.CAMERAS, "DVS128", (8, 8))
    path = make(tmp_path, found=events(120, 8, 8))
    read(path)
    whole, random = path.read_bytes(), np.random.default_rng(5)
    for _ in range(500):
        damaged = bytearray(whole)
        damaged[int(random.integers(len(whole)))] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            read(path)
        except NeurodataError:
            continue
