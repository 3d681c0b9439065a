"""Nihon Kohden: synthetic files against MNE-Python's own reader; damage is refused."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import UnreadableError
from neurodata.readers import nihon
from neurodata.safe import Raw
from tests.readers.bit_flips import flip
from tests.readers.conformance import HeaderTests, PersonalTests

CANARY = "CANARY"
DEVICE = b"EEG-1100C V01.00"
CODES = (0, 17, 42, 12, 74)  # FP1, CZ, DC01, T3 and one of the unnamed
NAMES = {0: "Fp1", 17: "Cz", 42: "DC01", 12: "T3", 74: "Mark1"}
CONTROL, WAVES = 0x400, (0x1800, 0x20000)
LOG = ((1.25, "REC START"), (2.5, "Eyes closed"))


def counts(seconds: float, seed: int = 6) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, 2**16, (int(seconds * 200), len(CODES) + 1)).astype("<u2")


def synthetic_nihon(
    blocks: Sequence[np.ndarray], starts: Sequence[int] = (0, 30), device: bytes = DEVICE
) -> bytes:
    """Return a recording of some blocks (time, channel and mark) at 200 Hz."""
    head = bytearray(WAVES[0])
    head[:16] = head[0x81:0x91] = device
    head[0x30:0x36] = CANARY.encode()
    head[0x91] = 1
    struct.pack_into("<I", head, 0x92, CONTROL)
    head[CONTROL + 1 : CONTROL + 17] = b"TIME".ljust(16)
    head[CONTROL + 17] = len(blocks)
    for i in range(len(blocks)):
        struct.pack_into("<I", head, CONTROL + 18 + 20 * i, WAVES[i])
    head[0x17FE] = 1
    whole = bytes(head)
    for i, values in enumerate(blocks):
        whole = whole.ljust(WAVES[i], b"\0") + _wave(values, starts[i])
    return whole


def _wave(values: np.ndarray, start: int) -> bytes:
    head = bytearray(0x27)
    minute, second = divmod(start, 60)
    head[0x14:0x1A] = bytes.fromhex(f"070809{10:02}{minute:02}{second:02}")
    struct.pack_into("<HI", head, 0x1A, 200 | 0xC000, len(values) // 20)
    head[0x26] = len(CODES)
    rows = b"".join(bytes([code]) + bytes(9) for code in CODES)
    return bytes(head) + rows + values.tobytes()


def log_file() -> bytes:
    head = bytearray(0x400)
    head[:16] = head[0x81:0x91] = DEVICE
    head[0x91] = 1
    struct.pack_into("<I", head, 0x92, 0x400)
    struct.pack_into("<I", head, 0x92 + 22 * 20, 0x600)
    blocks = []
    for number in range(2):
        block = bytearray(0x14)
        block[1:17], block[0x12] = DEVICE, len(LOG)
        for at_s, text in LOG:
            row = bytearray(45)
            if number == 0:
                row[:20] = text.encode()[:20].ljust(20, b"\0")
                row[20:26] = f"0000{int(at_s):02}".encode()
                row[26:40] = b"(070809100000)"
            else:
                row[24:30] = f"{round(at_s % 1 * 1e6):06}".encode()
            block += row
        blocks.append(bytes(block).ljust(0x200, b"\0"))
    return bytes(head) + b"".join(blocks)


def write(folder: Path, *args: Any, **options: Any) -> Path:
    path = folder / "synthetic.EEG"
    path.write_bytes(synthetic_nihon(*(args or ([counts(4)],)), **options))
    lines = [f"{code:04}={name}" for code, name in NAMES.items()]
    path.with_suffix(".21E").write_text("\n".join(["[ELECTRODE]", *lines, "[SD_DEF]", "0001=x"]))
    path.with_suffix(".LOG").write_bytes(log_file())
    patient = DEVICE.ljust(0x40, b"\0") + b"20070809100000" + CANARY.encode().ljust(0x800, b"\0")
    path.with_suffix(".PNT").write_bytes(patient)
    return path


def raw_of(path: Path) -> Raw:
    return Raw(path.parent, nihon.members(path, sorted(path.parent.iterdir())))


def read(path: Path) -> xr.DataTree:
    return nihon.read(raw_of(path), Declared())


def put(place: int, form: str, *values: Any) -> Callable[[bytes], bytes]:
    packed = struct.pack(form, *values)
    return lambda whole: whole[:place] + packed + whole[place + len(packed) :]


WAVE = WAVES[0]


class TestNihon(HeaderTests, PersonalTests):
    reader = nihon
    nodes: ClassVar = {"eeg": "timeseries", "misc": "timeseries", "events": "intervals"}
    lazy = ("signal_adc",)
    canary = CANARY
    lies: ClassVar = {
        "another device": put(0x81, "16s", b"EEG-9999C V01.00"),
        "no samples": put(0x17FE, "<B", 0),
        "two blocks of control": put(0x91, "<B", 2),
        "control over the end": put(0x92, "<I", 2**32 - 1),
        "no block": put(CONTROL + 17, "<B", 0),
        "more blocks": put(CONTROL + 17, "<B", 3),
        "a block over the end": put(CONTROL + 18, "<I", 2**31),
        "no channels": put(WAVE + 0x26, "<B", 0),
        "255 channels": put(WAVE + 0x26, "<B", 255),
        "a rate of 0": put(WAVE + 0x1A, "<H", 0xC000),
        "no length": put(WAVE + 0x1C, "<I", 0),
        "a longer block": put(WAVE + 0x1C, "<I", 41),
        "2^32 tenths of a second": put(WAVE + 0x1C, "<I", 2**32 - 1),
        "a channel twice": put(WAVE + 0x27 + 10, "<B", 0),
    }

    def make(self, folder: Path) -> Path:
        return write(folder)

    def victims(self, path: Path) -> tuple[Path, ...]:
        return (path,)


def test_values_and_events_equal_those_of_mne(tmp_path: Path) -> None:
    mne = pytest.importorskip("mne")
    path = write(tmp_path)
    tree, values = read(path), counts(4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = mne.io.read_raw_nihon(path, verbose="error")
    names = []
    for name in ("eeg", "misc"):
        node = tree[name]
        own = node["channel"].values.tolist()
        names += own
        places = [list(NAMES.values()).index(label) for label in own]
        np.testing.assert_array_equal(node["signal_adc"].values, values[:, places])
        found = node["signal_adc"].values * node["scale"].values + node["offset"].values
        np.testing.assert_allclose(found.T, theirs.get_data(own), rtol=1e-9, atol=1e-13)
        assert node["units"].values.tolist() == ["V"] * len(own)
        assert node.attrs["rate_hz"] == theirs.info["sfreq"] == 200.0
    assert sorted(names) == sorted(theirs.ch_names)
    assert tree["eeg"]["channel"].values.tolist() == ["Fp1", "Cz", "T3"]
    assert tree["misc"]["scale"].values[0] == pytest.approx((12002.56 + 12002.9) / 65535 * 1e-3)
    events = tree["events"]
    assert events["label"].values.tolist() == theirs.annotations.description.tolist()
    assert events["label"].values.tolist() == [text for _, text in LOG]
    np.testing.assert_allclose(events["start_s"], [at_s for at_s, _ in LOG])
    np.testing.assert_allclose(events["start_s"], theirs.annotations.onset)
    assert tree.attrs == {"modality": "eeg", "start_zone": "unknown"}


def test_blocks_start_where_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [counts(4), counts(3, 7)]
    raw = raw_of(write(tmp_path, parts))
    tree = nihon.read(raw, Declared())
    expected = np.r_[np.arange(800), np.arange(600) + 30 * 200] / 200
    np.testing.assert_allclose(tree["eeg"]["time"], expected, atol=1e-9)
    monkeypatch.setattr("neurodata.readers.channels.BLOCK_BYTES", 700)
    found = nihon.read(raw, Declared())["eeg"]["signal_adc"]
    assert len(found.chunks[0]) > 5
    np.testing.assert_array_equal(found.values, np.vstack(parts)[:, [0, 1, 3]])
    assert "events" not in tree
    told = [problem.found for problem in raw.problems]
    assert any("2 blocks" in text for text in told)
    assert any("events of a recording in blocks" in text for text in told)


def test_without_names_the_recorders_own_are_used(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.with_suffix(".21E").unlink()
    raw = raw_of(path)
    tree = nihon.read(raw, Declared())
    assert tree["eeg"]["channel"].values.tolist() == ["FP1", "CZ", "T3"]
    assert any("no .21E file" in problem.found for problem in raw.problems)


def test_damaged_lists_of_events_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    log = path.with_suffix(".LOG")
    whole = log.read_bytes()
    for changed in (whole[:0x430], whole.replace(b"000001", b"0000xx"), put(0x91, "<B", 99)(whole)):
        log.write_bytes(changed)
        with pytest.raises(UnreadableError):
            read(path)


def test_an_extended_block_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [counts(4)], device=b"EEG-1200A V01.00")
    assert read(path)["eeg"].sizes["time"] == 800
    path.write_bytes(put(0x3EE, "<I", 0x5000)(path.read_bytes()))
    with pytest.raises(UnreadableError, match="an extended block"):
        read(path)


def test_the_other_files_are_no_recordings(tmp_path: Path) -> None:
    path = write(tmp_path)
    for suffix in (".LOG", ".PNT"):
        other = path.with_suffix(suffix)
        assert not nihon.sniff(other.read_bytes()[:4096], other)


def test_bits_of_the_header_turned_over(tmp_path: Path) -> None:
    path = write(tmp_path)
    flip(path, lambda: read(path), 0x100, 40)
    flip(path, lambda: read(path), CONTROL + 64, 40)
    flip(path.with_suffix(".LOG"), lambda: read(path), 0x700, 40)


@pytest.mark.parametrize("zeroed", [slice(0x400, None), slice(0x412, 0x413), slice(0, 0)])
def test_a_list_without_events_is_a_finding(tmp_path: Path, zeroed: slice) -> None:
    """Blocks of zeros, a count of zero, or no byte at all."""
    path = write(tmp_path)
    log = bytearray(path.with_suffix(".LOG").read_bytes())
    if zeroed.stop == 0:
        log.clear()
    else:
        log[zeroed] = bytes(len(log[zeroed]))
    path.with_suffix(".LOG").write_bytes(log)
    raw = raw_of(path)
    tree = nihon.read(raw, Declared())
    assert "events" not in tree
    (told,) = (p for p in raw.problems if p.found.startswith("no event in"))
    assert (told.level, told.found) == ("warning", f"no event in {len(log)} bytes")


@pytest.mark.parametrize("stop", [0x92, 0x400, None])
def test_zeros_for_the_head_of_the_list_are_refused(tmp_path: Path, stop: int | None) -> None:
    path = write(tmp_path)
    log = bytearray(path.with_suffix(".LOG").read_bytes())
    log[:stop] = bytes(len(log[:stop]))
    path.with_suffix(".LOG").write_bytes(log)
    with pytest.raises(UnreadableError):
        read(path)


def test_a_block_of_events_at_no_place_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    log = path.with_suffix(".LOG")
    log.write_bytes(put(0x92, "<I", 0)(log.read_bytes()))
    with pytest.raises(UnreadableError, match="no place of a block"):
        read(path)
