"""Neuroscan: synthetic files against MNE-Python's own reader; damage is refused."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import UnreadableError
from neurodata.readers import neuroscan
from neurodata.safe import Raw
from tests.readers.bit_flips import flip
from tests.readers.conformance import HeaderTests, PersonalTests

CANARY = "CANARY"
NAMES = ("FP1", "CZ", "OZ", "VEOG")
BASELINES, SENSITIVITY, CALIBRATION = (0, 10, -5, 3), (1.0, 2.0, 0.5, 4.0), (1.0, 1.5, 1.0, 2.0)
# sample, stimulus, key, keypad and acceptance
EVENTS = ((0, 7, 0, 0), (40, 300, 0, 0), (50, 0, 0, 4), (60, 0, 2, 0), (99, 9, 0, 0))
START = 900 + 75 * len(NAMES)


def synthetic_cnt(
    values: np.ndarray, width: int = 2, kind: int = 2, block: int = 0, bads: tuple[int, ...] = (),
    samples: int | None = None, seconds: float | None = None,
) -> bytes:  # fmt: skip
    """Return a file with some stored numbers (time, channel), at 250 Hz."""
    head = bytearray(900)
    head[:12] = b"Version 3.0\0"
    for start, size in ((21, 20), (41, 20), (61, 20), (81, 20), (101, 20), (121, 20), (145, 20),
                        (165, 20), (185, 20), (205, 20)):  # fmt: skip
        head[start : start + size] = CANARY.encode().ljust(size, b"\0")
    head[143:145] = b"FR"
    head[225:247] = b"05/06/07\0\x0008:09:10\0\0\0\0"
    struct.pack_into("<H", head, 370, len(NAMES))
    struct.pack_into("<H", head, 376, 250)
    struct.pack_into("<i", head, 864, len(values) if samples is None else samples)
    stored = values.astype(f"<i{width}")
    table = START + stored.nbytes
    length = len(values) / 250 if seconds is None else seconds
    struct.pack_into("<Ifi", head, 886, table, length, block * width)
    rows = b"".join(_channel(i, name, i in bads) for i, name in enumerate(NAMES))
    if block:
        stored = stored.reshape(-1, block, len(NAMES)).transpose(0, 2, 1)
    events = b"".join(_event(row, kind, width) for row in EVENTS)
    tail = struct.pack("<Bii", kind, len(events), 0) + events
    return bytes(head) + rows + np.ascontiguousarray(stored).tobytes() + tail


def _channel(number: int, name: str, bad: bool) -> bytes:
    row = bytearray(75)
    row[:10] = name.encode().ljust(10, b"\0")
    row[14] = bad
    struct.pack_into("<2f", row, 19, 0.1 * number, 0.2)
    struct.pack_into("<h", row, 47, BASELINES[number])
    struct.pack_into("<f", row, 59, SENSITIVITY[number])
    struct.pack_into("<f", row, 71, CALIBRATION[number])
    return bytes(row)


def _event(row: tuple[int, int, int, int], kind: int, width: int) -> bytes:
    sample, stimulus, key, pad = row
    place = sample if kind == 3 else START + sample * len(NAMES) * width
    head = struct.pack("<HBBI", stimulus, key, pad, place)
    return head if kind == 1 else head + struct.pack("<hhf3B", 0, 0, 0.0, 0, 0, 0)


def counts(samples: int = 100, width: int = 2) -> np.ndarray:
    limit = 2 ** (8 * width - 1)
    return np.random.default_rng(4).integers(-limit, limit, (samples, len(NAMES)))


def raw_of(path: Path) -> Raw:
    return Raw(path.parent, neuroscan.members(path, sorted(path.parent.iterdir())))


def read(path: Path) -> xr.DataTree:
    return neuroscan.read(raw_of(path), Declared())


def write(folder: Path, *args: Any, **options: Any) -> Path:
    path = folder / "synthetic.cnt"
    path.write_bytes(synthetic_cnt(*args, **options))
    return path


def put(place: int, form: str, *values: Any) -> Callable[[bytes], bytes]:
    packed = struct.pack(form, *values)
    return lambda whole: whole[:place] + packed + whole[place + len(packed) :]


TABLE = START + 100 * 4 * 2


class TestNeuroscan(HeaderTests, PersonalTests):
    reader = neuroscan
    nodes: ClassVar = {"eeg": "timeseries", "physio": "timeseries", "events": "intervals"}
    lazy = ("signal_adc",)
    canary = CANARY
    lies: ClassVar = {
        "no channels": put(370, "<H", 0),
        "more channels": put(370, "<H", 5),
        "65535 channels": put(370, "<H", 65535),
        "a rate of 0": put(376, "<H", 0),
        "events in the header": put(886, "<I", 10),
        "events over the end": put(886, "<I", 2**31),
        "events elsewhere": put(886, "<I", TABLE + 1),
        "half a block": put(894, "<i", 33),
        "blocks of odd bytes": put(894, "<i", 25),
        "a calibration of nan": put(900 + 71, "<f", np.nan),
        "a sensitivity of 0": put(900 + 59, "<f", 0.0),
        "the name of another": put(900, "10s", b"CZ"),
        "no name": put(900, "10s", b""),
        "events of kind 4": put(TABLE, "<B", 4),
        "more events": put(TABLE + 1, "<i", 19 * 6),
        "half an event": put(TABLE + 1, "<i", 19 * 4 + 1),
        "events below 0": put(TABLE + 1, "<i", -19),
    }

    def make(self, folder: Path) -> Path:
        return write(folder, counts())


@pytest.mark.parametrize(("width", "block", "kind"), [(2, 0, 1), (2, 20, 2), (4, 0, 2), (4, 25, 1)])
def test_values_and_events_equal_those_of_mne(
    tmp_path: Path, width: int, block: int, kind: int
) -> None:
    mne = pytest.importorskip("mne")
    values = counts(width=width)
    path = write(tmp_path, values, width, kind, block)
    tree = read(path)
    theirs = mne.io.read_raw_cnt(path, eog="auto", verbose="error")
    names = []
    for name in ("eeg", "physio"):
        node = tree[name]
        own = node["channel"].values.tolist()
        names += own
        places = [NAMES.index(label) for label in own]
        assert node["signal_adc"].dtype == np.dtype(f"i{width}")
        np.testing.assert_array_equal(node["signal_adc"].values, values[:, places])
        factor = np.array([SENSITIVITY[i] * CALIBRATION[i] / 204.8 * 1e-6 for i in places])
        np.testing.assert_allclose(node["scale"], factor, rtol=1e-12)
        found = node["signal_adc"].values * node["scale"].values + node["offset"].values
        np.testing.assert_allclose(found.T, theirs.get_data(own), rtol=1e-9, atol=1e-15)
        assert node["units"].values.tolist() == ["V"] * len(own)
        assert node.attrs["rate_hz"] == theirs.info["sfreq"] == 250.0
    assert sorted(names) == sorted(theirs.ch_names)
    events = tree["events"]
    assert events["label"].values.tolist() == ["7", "300", "keypad 4", "key 2", "9"]
    assert events["code"].values.tolist() == [row[1] for row in EVENTS]
    expected = np.array([row[0] for row in EVENTS])
    np.testing.assert_allclose(events["start_s"], expected / 250)
    onset = np.round(theirs.annotations.onset * 250)  # MNE takes one sample off, down to 0
    np.testing.assert_array_equal(onset, np.maximum(expected - 1, 0))
    assert tree.attrs == {"modality": "eeg", "sex": "F", "start_zone": "unknown"}


def test_bad_channels_are_marked(tmp_path: Path) -> None:
    tree = read(write(tmp_path, counts(), bads=(1,)))
    assert tree["eeg"]["status"].values.tolist() == ["good", "bad", "good"]


def test_the_seconds_tell_where_the_count_of_samples_is_wrong(tmp_path: Path) -> None:
    path = write(tmp_path, counts(), samples=0)
    np.testing.assert_array_equal(read(path)["eeg"]["signal_adc"].values, counts()[:, :3])
    path = write(tmp_path, counts(), samples=0, seconds=9.0)
    with pytest.raises(UnreadableError, match="2 or 4 bytes each"):
        read(path)


def test_blocks_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, counts(), block=20)
    monkeypatch.setattr("neurodata.readers.channels.BLOCK_BYTES", 70)
    signal = read(path)["eeg"]["signal_adc"]
    assert len(signal.chunks[0]) > 5
    np.testing.assert_array_equal(signal.values, counts()[:, :3])


def test_events_of_kind_3_are_left_out(tmp_path: Path) -> None:
    raw = raw_of(write(tmp_path, counts(), kind=3))
    assert "events" not in neuroscan.read(raw, Declared())
    assert any("5 of kind 3, left out" in problem.found for problem in raw.problems)


def test_files_of_ant_are_not_taken(tmp_path: Path) -> None:
    for magic in (b"RIFF", b"RF64"):
        head = magic + struct.pack("<I", 5000) + b"CNT " + bytes(4000)
        assert not neuroscan.sniff(head, tmp_path / "a.cnt")


def test_bits_of_the_header_turned_over(tmp_path: Path) -> None:
    path = write(tmp_path, counts())
    flip(path, lambda: read(path), START)
