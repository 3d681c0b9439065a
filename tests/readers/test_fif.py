"""FIF: real recordings against MNE's own reader and bytes read by hand; split files; damage."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata import schema
from neurodata.declare import Declared
from neurodata.errors import MissingFactError, UnreadableError
from neurodata.readers import fif
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests, content
from tests.readers.synthetic_fif import (
    CANARY,
    buffer,
    by_tags,
    channel,
    integer,
    mne_raw,
    replaced,
    save,
    tag,
)

pytest.importorskip("mne")
BUFFER_BYTES = 101 * 5 * 4  # one second of 5 channels in 32 bits


def raw_of(path: Path) -> Raw:
    folder = sorted(p for p in path.parent.rglob("*") if p.is_file())
    return Raw(path.parent, fif.members(path, folder))


def read(path: Path, **facts: Any) -> xr.DataTree:
    return fif.read(raw_of(path), Declared({k.replace("__", "."): v for k, v in facts.items()}))


class TestFif(HeaderTests, PersonalTests):
    reader = fif
    nodes: ClassVar = {
        "eeg": "timeseries", "physio": "timeseries", "misc": "timeseries",
        "annotations": "intervals",
    }  # fmt: skip
    lazy = ("signal",)
    canary = CANARY
    lies: ClassVar = {
        "more channels": replaced(integer(200, 5), integer(200, 6)),
        "fewer channels": replaced(integer(200, 5), integer(200, 4)),
        "a rate of 0": replaced(tag(201, 4, struct.pack(">f", 100.5)), tag(201, 4, bytes(4))),
        "a rate of nan": replaced(struct.pack(">f", 100.5), struct.pack(">f", np.nan)),
        "a rate below 0": replaced(struct.pack(">f", 100.5), struct.pack(">f", -100.5)),
        "a tag over the end": replaced(
            struct.pack(">iIi", 300, 4, BUFFER_BYTES), struct.pack(">iIi", 300, 4, 2**31 - 1)
        ),
        "half a sample": replaced(
            struct.pack(">iIi", 300, 4, BUFFER_BYTES), struct.pack(">iIi", 300, 4, BUFFER_BYTES - 4)
        ),
        "complex samples": replaced(
            struct.pack(">iIi", 300, 4, BUFFER_BYTES), struct.pack(">iIi", 300, 20, BUFFER_BYTES)
        ),
        "a block not closed": lambda whole: whole.replace(integer(105, 102), integer(106, 102), 1),
        "no raw data": lambda whole: whole.replace(integer(104, 102), integer(104, 104), 1).replace(
            integer(105, 102), integer(105, 104), 1
        ),
    }  # fmt: skip

    def make(self, folder: Path) -> Path:
        return save(mne_raw(), folder / "synthetic_raw.fif", buffer_size_sec=1.0)


class TestSplitFif(HeaderTests):
    reader = fif
    nodes: ClassVar = TestFif.nodes
    lazy = ("signal",)
    lies: ClassVar = {"fewer channels": replaced(integer(200, 5), integer(200, 4))}

    def make(self, folder: Path) -> Path:
        path = folder / "synthetic_raw.fif"
        save(mne_raw(60.0, 1000.0), path, split_size="2MB", buffer_size_sec=0.5)
        return path

    def victims(self, path: Path) -> tuple[Path, ...]:
        return tuple(sorted(path.parent.iterdir()))

    def test_damage_gives_no_foreign_exception(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tests.readers.conformance.FLIPS", 8)
        super().test_damage_gives_no_foreign_exception(path)

    def test_sniff_goes_by_content(self, path: Path) -> None:
        assert fif.sniff(path.read_bytes()[:4096], path.with_name("renamed.bin"))


# what is read


@pytest.mark.parametrize("fmt", ["short", "int", "single", "double"])
def test_values_equal_those_of_mne(tmp_path: Path, fmt: str) -> None:
    import mne

    original = mne_raw(first=250)
    for ch in original.info["chs"]:
        ch["cal"] = 1.0 if ch["ch_name"] == "STI 014" else 1e-8
    path = save(original, tmp_path / "synthetic_raw.fif", fmt=fmt, buffer_size_sec=0.7)
    tree, theirs = read(path), mne.io.read_raw_fif(path, verbose="error")
    assert [p for p in schema.check(tree) if p.level == "error"] == []
    for name in ("eeg", "physio", "misc"):
        node = tree[name]
        if fmt in ("short", "int"):
            assert node["signal_adc"].dtype == {"short": np.int16, "int": np.int32}[fmt]
            found = node["signal_adc"].values * node["scale"].values + node["offset"].values
        else:
            found = node["signal"].values
            assert found.dtype == {"single": np.float32, "double": np.float64}[fmt]
        expected = theirs.get_data(node["channel"].values.tolist()).T
        np.testing.assert_allclose(found, expected, rtol=2e-7 if fmt == "single" else 1e-15)
    assert tree["eeg"].attrs["rate_hz"] == theirs.info["sfreq"] == 100.5
    assert tree["eeg"].attrs["start_s"] == 0.0
    assert tree["eeg"]["status"].values.tolist() == ["good", "bad", "good"]
    assert tree["misc"]["type"].values.tolist() == ["TRIG"]


def test_annotations_count_from_the_first_sample(tmp_path: Path) -> None:
    path = save(mne_raw(first=250), tmp_path / "synthetic_raw.fif")
    found = read(path)["annotations"]
    np.testing.assert_allclose(found["start_s"], [0.5, 2.0], atol=1e-5)
    np.testing.assert_allclose(found["duration_s"], [0.25, 0.0], atol=1e-5)
    assert found["label"].values.tolist() == ["blink", "7"]
    assert found["channel"].values.tolist() == ["Fp1", ""]


def test_annotations_without_a_date_count_from_the_first_sample(tmp_path: Path) -> None:
    import mne

    raw = mne_raw(first=250)
    raw.set_meas_date(None)
    raw.set_annotations(mne.Annotations([0.5], [0.1], ["x"]))
    path = save(raw, tmp_path / "synthetic_raw.fif")
    np.testing.assert_allclose(read(path)["annotations"]["start_s"], [0.5], atol=1e-5)
    assert "start_zone" not in read(path).attrs


def test_positions_are_in_metres_of_the_head(tmp_path: Path) -> None:
    eeg = read(save(mne_raw(), tmp_path / "synthetic_raw.fif"))["eeg"]
    np.testing.assert_allclose(eeg["position"].values[0], [0.01, 0.08, 0.03], atol=1e-7)
    assert eeg["position"].attrs == {"units": "m", "frame": "head"}


def test_root_holds_no_date(tmp_path: Path) -> None:
    attrs = read(save(mne_raw(), tmp_path / "synthetic_raw.fif")).attrs
    assert attrs == {"modality": "eeg", "sex": "F", "start_zone": "unknown"}


def test_blocks_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(mne_raw(), tmp_path / "synthetic_raw.fif", buffer_size_sec=0.3)
    whole = read(path)["eeg"]["signal"].values
    monkeypatch.setattr("neurodata.readers.channels.BLOCK_BYTES", 100)
    signal = read(path)["eeg"]["signal"]
    assert signal.chunks is not None
    assert len(signal.chunks[0]) > 20
    np.testing.assert_array_equal(signal.values, whole)


# split recordings


@pytest.mark.parametrize("naming", ["neuromag", "bids"])
def test_split_equals_whole(tmp_path: Path, naming: str) -> None:
    raw = mne_raw(60.0, 1000.0, first=123)
    whole = save(raw, tmp_path / "whole_raw.fif", buffer_size_sec=0.5)
    folder = tmp_path / "split"
    folder.mkdir()
    name = "sub-01_task-rest_meg.fif" if naming == "bids" else "synthetic_raw.fif"
    save(raw, folder / name, split_size="2MB", split_naming=naming, buffer_size_sec=0.5)
    files = sorted(folder.iterdir())
    first = folder / name if naming == "neuromag" else files[0]
    assert len(files) > 1
    assert set(raw_of(first).files) == set(files)
    assert raw_of(first).main == first
    one, other = read(whole), read(first)
    for key in ("task", "subject"):
        other.attrs.pop(key, None)
    assert content(one) == content(other)


def test_missing_part_is_named(tmp_path: Path) -> None:
    path = tmp_path / "synthetic_raw.fif"
    save(mne_raw(60.0, 1000.0), path, split_size="2MB", buffer_size_sec=0.5)
    (tmp_path / "synthetic_raw-1.fif").unlink()
    with pytest.raises(UnreadableError, match=r"synthetic_raw-1\.fif"):
        read(path)


def test_a_later_part_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "synthetic_raw.fif"
    save(mne_raw(60.0, 1000.0), path, split_size="2MB", buffer_size_sec=0.5)
    path.unlink()
    with pytest.raises(UnreadableError, match=r"'synthetic_raw\.fif' is missing"):
        read(tmp_path / "synthetic_raw-1.fif")


def test_parts_of_two_recordings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "synthetic_raw.fif"
    save(mne_raw(60.0, 1000.0), path, split_size="2MB", buffer_size_sec=0.5)
    other = tmp_path / "other"
    other.mkdir()
    save(mne_raw(60.0, 1000.0, 99), other / path.name, split_size="2MB", buffer_size_sec=0.5)
    os.replace(other / "synthetic_raw-1.fif", tmp_path / "synthetic_raw-1.fif")
    with pytest.raises(UnreadableError, match="where the part before ends"):
        read(path)


# files made tag by tag


def test_gaps_stay_gaps(tmp_path: Path) -> None:
    path, random = tmp_path / "synthetic_raw.fif", np.random.default_rng(1)
    values = random.integers(-99, 99, (3, 10, 2))
    data = [
        integer(208, 1000), integer(301, 2), buffer(values[0]), integer(301, 3),
        buffer(values[1]), buffer(values[2]),
    ]  # fmt: skip
    path.write_bytes(by_tags([channel(1, "A", cal=2e-6), channel(2, "B", range_=0.5)], data))
    eeg = read(path)["eeg"]
    np.testing.assert_array_equal(eeg["signal_adc"].values, values.reshape(30, 2))
    np.testing.assert_allclose(eeg["scale"], [2e-6, 0.5], rtol=1e-7)
    expected = [i / 250 for i in (*range(10), *range(40, 60))]
    np.testing.assert_allclose(eeg["time"], expected, rtol=0, atol=1e-12)


def test_units_of_the_file_are_kept_or_asked_for(tmp_path: Path) -> None:
    path, values = tmp_path / "synthetic_raw.fif", np.ones((4, 1))
    for unit, symbol in ((107, "V"), (112, "T"), (201, "T/m"), (114, "degC"), (0, "1")):
        path.write_bytes(by_tags([channel(1, "A", unit=unit)], [buffer(values)]))
        assert read(path)["eeg"]["units"].values.tolist() == [symbol]
    path.write_bytes(by_tags([channel(1, "A", unit=-1)], [buffer(values)]))
    with pytest.raises(MissingFactError, match=r"units\.A=<unit>"):
        read(path)
    np.testing.assert_allclose(read(path, units__A="uV")["eeg"]["scale"], [1e-6])
    path.write_bytes(by_tags([channel(1, "A", power=-6)], [buffer(values)]))
    with pytest.raises(MissingFactError, match=r"--set units\.A=V"):
        read(path)
    path.write_bytes(by_tags([channel(1, "STI", kind=3, unit=-1)], [buffer(values)]))
    assert read(path)["misc"]["units"].values.tolist() == ["1"]


def test_types_by_kind_and_coil(tmp_path: Path) -> None:
    path = tmp_path / "synthetic_raw.fif"
    rows = [
        (1, 3012, 201),
        (1, 3024, 112),
        (1, 5001 | 3 << 16, 112),
        (301, 5002, 112),
        (902, 1, 107),
    ]
    chs = [channel(i, f"c{i}", k, c, u) for i, (k, c, u) in enumerate(rows)]
    path.write_bytes(by_tags(chs, [buffer(np.ones((4, 5)))]))
    tree = read(path, units__c0="T/m")
    expected = ["MEGGRADPLANAR", "MEGMAG", "MEGGRADAXIAL", "MEGREFMAG"]
    assert tree["meg"]["type"].values.tolist() == expected
    assert tree["meg"]["signal_adc"].attrs["units"] == "mixed"
    assert tree["ieeg"]["type"].values.tolist() == ["ECOG"]
    assert tree.attrs["modality"] == "meg"


@pytest.mark.parametrize(
    ("story", "channels", "data"),
    [("twice", ["A", "A"], [buffer(np.ones((4, 2)))]),
     ("calibration", ["A"], [buffer(np.ones((4, 1)))]),
     ("no data", ["A", "B"], []),
     ("of the types", ["A", "B"], [buffer(np.ones((4, 2))), buffer(np.ones((4, 2)), ">f4", 4)]),
     ("a gap of -1", ["A", "B"], [integer(301, -1), buffer(np.ones((4, 2)))])],
)  # fmt: skip
def test_contradictions_are_refused(
    tmp_path: Path, story: str, channels: list[str], data: list[bytes]
) -> None:
    path = tmp_path / "synthetic_raw.fif"
    cal = np.nan if story == "calibration" else 1.0
    path.write_bytes(by_tags([channel(i, n, cal=cal) for i, n in enumerate(channels)], data))
    with pytest.raises(UnreadableError, match=story):
        read(path)


# real recordings that are not shipped


# node: channels, units, stored type; samples; rate in Hz
REAL: dict[str, tuple[dict[str, tuple[int, str, str]], int, float]] = {
    "eeglabio_fif/test_raw.fif": (
        {
            "meg": (306, "mixed", "int16"), "eeg": (60, "V", "int16"), "misc": (9, "V", "int16"),
            "physio": (1, "V", "int16"),
        },
        14400, 600.614990234375,
    ),
    "mne_misc/sample_ecog_ieeg.fif": ({"ieeg": (394, "V", "float32")}, 113, 160.0),
    "mne_python/test_ctf_comp_raw.fif": (
        {"meg": (303, "T", "float32"), "misc": (37, "V", "float32")}, 241, 480.0,
    ),
}  # fmt: skip


@pytest.fixture
def acceptance(realdata: Path) -> Path:
    return realdata / "acceptance" / "eeg_meg_ieeg"


def first_buffer(path: Path, channels: int) -> np.ndarray:
    """Return the first data buffer (time, channel), found by its tag in the file's bytes."""
    data, place = path.read_bytes(), 0
    while True:
        kind, type_, size, following = struct.unpack_from(">iiii", data, place)
        if kind == 300:
            dtype = np.dtype({2: ">i2", 16: ">i2", 4: ">f4"}[type_])
            values = np.frombuffer(data, dtype, size // dtype.itemsize, place + 16)
            return values.reshape(-1, channels)
        place = following or place + 16 + size


@pytest.mark.acceptance
@pytest.mark.parametrize("name", REAL)
def test_real_recordings_equal_mne_and_bytes(acceptance: Path, name: str) -> None:
    import mne

    path, (nodes, samples, rate_hz) = acceptance / name, REAL[name]
    tree = fif.read(Raw(path.parent, (path,)), Declared())
    theirs = mne.io.read_raw_fif(path, verbose="error", allow_maxshield="yes")
    by_hand = first_buffer(path, len(theirs.ch_names))
    assert [p for p in schema.check(tree) if p.level == "error"] == []
    assert set(tree.children) == set(nodes)
    names = []
    for key, (channels, units, dtype) in nodes.items():
        node, kind = tree[key], "signal" if dtype == "float32" else "signal_adc"
        own = node["channel"].values.tolist()
        names += own
        assert (node[kind].shape, node[kind].dtype.name) == ((samples, channels), dtype)
        assert node[kind].attrs["units"] == units
        assert node.attrs["rate_hz"] == theirs.info["sfreq"] == rate_hz
        stored = by_hand[:, [theirs.ch_names.index(label) for label in own]]
        found = node[kind].values
        if kind == "signal_adc":
            np.testing.assert_array_equal(found[: len(stored)], stored)
            found = found * node["scale"].values + node["offset"].values
        np.testing.assert_allclose(found.T, theirs.get_data(own), rtol=2**-22)
    assert sorted(names) == sorted(theirs.ch_names)
