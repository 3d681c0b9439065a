"""BrainVision: real recordings against MNE and pybv's own writer, and headers that cannot be."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import (
    InvalidInputError,
    MissingFactError,
    RefusedError,
    UnknownFormatError,
    UnreadableError,
    UnsafeError,
)
from neurodata.physical import physical
from neurodata.readers import brainvision
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests

SAMPLE = Path(__file__).parents[2] / "samples" / "gripforce_ieeg"
NAME = "sub-testsub_ses-EphysMedOff_task-gripforce_run-0_ieeg"
FOLDER = Path("sub-testsub/ses-EphysMedOff/ieeg")


def raw_of(path: Path, root: Path | None = None) -> Raw:
    root = root or path.parent
    folder = sorted(p for p in root.rglob("*") if p.is_file())
    return Raw(root, brainvision.members(path, folder))


def read(path: Path, root: Path | None = None, **facts: Any) -> xr.DataTree:
    declared = Declared({k.replace("__", "."): v for k, v in facts.items()})
    return brainvision.read(raw_of(path, root), declared)


def write(
    folder: Path,
    data: np.ndarray | None = None,
    units: tuple[str, ...] = ("µV", "µV"),
    markers: tuple[str, ...] = (),
    kind: str = "INT_16",
    **fields: str,
) -> tuple[Path, np.ndarray]:
    """Write a small synthetic recording of two channels, 100 Hz; return header and counts."""
    if data is None:
        data = np.random.default_rng(5).integers(-3000, 3000, (200, 2)).astype("<i2")
    common = {
        "Codepage": "UTF-8", "DataFile": "a.eeg", "MarkerFile": "a.vmrk", "DataFormat": "BINARY",
        "DataOrientation": "MULTIPLEXED", "DataPoints": str(len(data)), "NumberOfChannels": "2",
        "SamplingInterval": "10000",
    }  # fmt: skip
    common.update(fields)
    lines = [
        "Brain Vision Data Exchange Header File Version 1.0",
        "; synthetic",
        "",
        "[Common Infos]",
    ]
    lines += [f"{key}={value}" for key, value in common.items() if value]
    lines += ["[Binary Infos]", f"BinaryFormat={kind}", "[Channel Infos]"]
    lines += [f"Ch1=Fp1,Cz,0.5,{units[0]}", f"Ch2=left\\1right,,2,{units[1]}", "[Comment]", "a = b"]
    header = folder / "a.vhdr"
    header.write_text("\r\n".join(lines), encoding="utf-8")
    (folder / "a.eeg").write_bytes(data.tobytes())
    marks = "\n".join(f"Mk{i}={mark}" for i, mark in enumerate(markers, 1))
    (folder / "a.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nDataFile=a.eeg\n"
        f"[Marker Infos]\n{marks}\n"
    )
    return header, data


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda whole: whole.replace(old, new)


IMPOSSIBLE = {
    "rate of no length": swap(b"Interval=10000", b"Interval=0"),
    "negative interval": swap(b"Interval=10000", b"Interval=-10000"),
    "interval nan": swap(b"Interval=10000", b"Interval=nan"),
    "interval inf": swap(b"Interval=10000", b"Interval=inf"),
    "rate over 1 MHz": swap(b"Interval=10000", b"Interval=1e-9"),
    "no interval": swap(b"SamplingInterval=10000", b"; none"),
    "interval twice": swap(b"DataPoints=200", b"SamplingInterval=10000"),
    "three channels": swap(b"Channels=2", b"Channels=3"),
    "one channel": swap(b"Channels=2", b"Channels=1"),
    "no channels": swap(b"Channels=2", b"Channels=0"),
    "negative channels": swap(b"Channels=2", b"Channels=-2"),
    "10^17 channels": swap(b"Channels=2", b"Channels=100000000000000000"),
    "more samples": swap(b"DataPoints=200", b"DataPoints=201"),
    "other sample size": swap(b"INT_16", b"INT_32"),
    "unknown sample format": swap(b"INT_16", b"UINT_16"),
    "text data": swap(b"Format=BINARY", b"Format=ASCII"),
    "unknown order": swap(b"MULTIPLEXED", b"SIDEWAYS"),
    "resolution nan": swap(b"Cz,0.5,", b"Cz,nan,"),
    "resolution 0": swap(b"Cz,0.5,", b"Cz,0,"),
    "channel without a name": swap(b"Ch1=Fp1", b"Ch1="),
    "channel of the same name": swap(b"left\\1right", b"Fp1"),
    "no data file": swap(b"DataFile=a.eeg", b"; none"),
    "data file elsewhere": swap(b"DataFile=a.eeg", b"DataFile=../a.eeg"),
    "data file anywhere": swap(b"DataFile=a.eeg", b"DataFile=/etc/passwd"),
    "marker file anywhere": swap(b"MarkerFile=a.vmrk", b"MarkerFile=/etc/passwd"),
    "data in the header": swap(b"DataFile=a.eeg", b"DataFile=a.vhdr"),
}


class TestBrainVision(HeaderTests, PersonalTests):
    reader = brainvision
    nodes: ClassVar = {"eeg": "timeseries", "misc": "timeseries", "annotations": "intervals"}
    accepts = ("brainvision",)
    lazy = ("signal_adc",)
    lies = IMPOSSIBLE
    canary = "20110203040506000000"

    def make(self, folder: Path) -> Path:
        return write(folder, markers=(f"New Segment,,1,1,0,{self.canary}",))[0]

    def victims(self, path: Path) -> tuple[Path, ...]:
        return path, path.with_suffix(".eeg")


# the shipped sample


def test_sample_equals_mne() -> None:
    import mne

    path = SAMPLE / FOLDER / f"{NAME}.vhdr"
    tree = read(path, SAMPLE)
    theirs = mne.io.read_raw_brainvision(path, verbose="error")
    assert set(tree.children) == {"ieeg", "misc"}
    for node, sizes in (("ieeg", (19001, 9)), ("misc", (19001, 1))):
        signal = tree[node]["signal"]
        assert (signal.shape, signal.dtype, signal.attrs["units"]) == (sizes, np.float32, "V")
        expected = theirs.get_data(signal["channel"].values.tolist())
        np.testing.assert_allclose(signal.values.T, expected, rtol=2**-23)
        assert tree[node].attrs["rate_hz"] == theirs.info["sfreq"] == 1000.0


def test_sample_has_the_types_and_places_of_its_side_cars() -> None:
    tree = read(SAMPLE / FOLDER / f"{NAME}.vhdr", SAMPLE)
    ieeg = tree["ieeg"]
    assert ieeg["type"].values.tolist() == ["DBS"] * 3 + ["ECOG"] * 6
    assert ieeg["status"].values.tolist() == ["good"] * 9
    assert tree["misc"]["channel"].values.tolist() == ["MOV_RIGHT"]
    assert tree["misc"]["type"].values.tolist() == ["MISC"]
    assert "position" not in tree["misc"]
    assert ieeg["position"].attrs["units"] == "m"
    table = (SAMPLE / FOLDER / "sub-testsub_ses-EphysMedOff_space-mni_electrodes.tsv").read_text()
    rows = {row.split("\t")[0]: row.split("\t")[1:4] for row in table.splitlines()[1:]}
    for name, xyz in zip(ieeg["channel"].values, ieeg["position"].values, strict=True):
        assert xyz.tolist() == [float(cell) for cell in rows[name]]
    assert dict(tree.attrs) == {
        "modality": "ieeg", "subject": "testsub", "session": "EphysMedOff", "task": "gripforce",
        "run": "0", "species": "Homo sapiens",
    }  # fmt: skip


def test_sample_keeps_the_scale_of_its_header() -> None:
    found = physical(read(SAMPLE / FOLDER / f"{NAME}.vhdr", SAMPLE))["ieeg"]["signal"]
    assert float(abs(found).max()) == pytest.approx(278.6, abs=0.1)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    shutil.copytree(SAMPLE, tmp_path / "raw")
    return tmp_path / "raw"


def test_half_of_the_data_is_refused_by_the_side_car(sample: Path) -> None:
    data = sample / FOLDER / f"{NAME}.eeg"
    data.write_bytes(data.read_bytes()[: 9500 * 40])
    with pytest.raises(UnreadableError, match=r"9\.5 s of data \(380000 bytes.*19 s"):
        read(sample / FOLDER / f"{NAME}.vhdr", sample)


@pytest.mark.parametrize("missing", ["_ieeg.eeg", "_ieeg.vmrk"])
def test_missing_companion_is_refused(sample: Path, missing: str) -> None:
    (sample / FOLDER / f"{NAME.removesuffix('_ieeg')}{missing}").unlink()
    with pytest.raises(RefusedError):
        read(sample / FOLDER / f"{NAME}.vhdr", sample)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("MOV_RIGHT", "MOV_LEFT", r"not in the data: \['MOV_LEFT'\].*not in the table: \['MOV_RIGHT'"),
     ("LFP_RIGHT_1", "LFP_RIGHT_0", "listed twice")],
)  # fmt: skip
def test_channels_table_must_list_the_channels(
    sample: Path, old: str, new: str, message: str
) -> None:
    table = next(sample.rglob("*_channels.tsv"))
    table.write_text(table.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(UnreadableError, match=message):
        read(sample / FOLDER / f"{NAME}.vhdr", sample)


def test_types_that_bids_does_not_know_are_told(sample: Path) -> None:
    table = next(sample.rglob("*_channels.tsv"))
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("LFP_RIGHT_0\tDBS", "LFP_RIGHT_0\tXYZZY"), encoding="utf-8")
    raw = raw_of(sample / FOLDER / f"{NAME}.vhdr", sample)
    tree = brainvision.read(raw, Declared())
    assert "LFP_RIGHT_0" in tree["misc"]["channel"].values.tolist()
    told = [p.found for p in raw.problems if p.level == "warning" and "unknown types" in p.found]
    assert told == ["unknown types: LFP_RIGHT_0 XYZZY"]


def test_contradicting_units_are_refused_until_declared(sample: Path) -> None:
    table = next(sample.rglob("*_channels.tsv"))
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("LFP_RIGHT_0\tDBS\tµV", "LFP_RIGHT_0\tDBS\tmV"))
    path = sample / FOLDER / f"{NAME}.vhdr"
    with pytest.raises(MissingFactError, match=r"--set 'units\.LFP_RIGHT_0="):
        read(path, sample)
    before = read(SAMPLE / FOLDER / f"{NAME}.vhdr", SAMPLE)["ieeg"]["signal"][:, 0].values
    after = read(path, sample, units__LFP_RIGHT_0="mV")["ieeg"]["signal"][:, 0].values
    np.testing.assert_allclose(after, before * 1e3, rtol=2**-22)


def test_contradicting_rates_are_refused_until_declared(sample: Path) -> None:
    side_car = sample / FOLDER / f"{NAME}.json"
    text = side_car.read_text()
    side_car.write_text(text.replace('"SamplingFrequency": 1000.0', '"SamplingFrequency": 500.0'))
    path = sample / FOLDER / f"{NAME}.vhdr"
    with pytest.raises(UnreadableError, match=r"1000 Hz.*500 Hz.*--set rate_hz=1000"):
        read(path, sample)
    assert read(path, sample, rate_hz=1000)["ieeg"].attrs["rate_hz"] == 1000.0


def test_members_are_the_recording_s_own(sample: Path) -> None:
    other = NAME.replace("run-0", "run-1")
    for path in list((sample / FOLDER).glob(f"{NAME}.*")):
        shutil.copy(path, path.with_name(path.name.replace(NAME, other)))
    names = [path.name for path in raw_of(sample / FOLDER / f"{NAME}.vhdr", sample).files]
    assert names[0] == f"{NAME}.vhdr"
    assert {f"{NAME}.eeg", f"{NAME}.vmrk", f"{NAME}.json", "participants.tsv"} <= set(names)
    assert not any("run-1" in name for name in names)


# forms of the format


@pytest.mark.parametrize("kind", ["INT_16", "INT_32", "IEEE_FLOAT_32"])
@pytest.mark.parametrize("order", ["MULTIPLEXED", "VECTORIZED"])
@pytest.mark.parametrize("big", ["YES", "NO"])
def test_sample_formats(tmp_path: Path, kind: str, order: str, big: str) -> None:
    dtype = {"INT_16": "i2", "INT_32": "i4", "IEEE_FLOAT_32": "f4"}[kind]
    values = np.random.default_rng(2).integers(-3000, 3000, (50, 2)).astype(dtype)
    stored = values.astype(values.dtype.newbyteorder(">" if big == "YES" else "<"))
    stored = stored if order == "MULTIPLEXED" else np.asfortranarray(stored).T.copy()
    path, _ = write(tmp_path, stored, kind=kind, DataPoints="50", DataOrientation=order)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(kind, f"{kind}\nUseBigEndianOrder={big}"), encoding="utf-8")
    tree = read(path)
    found = physical(tree)
    np.testing.assert_allclose(
        found["eeg"]["signal"].values[:, 0], values[:, 0] * 0.5e-6, rtol=1e-6
    )
    np.testing.assert_allclose(found["misc"]["signal"].values[:, 0], values[:, 1] * 2e-6, rtol=1e-6)
    name = "signal" if kind == "IEEE_FLOAT_32" else "signal_adc"
    assert tree["eeg"][name].dtype == np.dtype(dtype)


@pytest.mark.parametrize("kind", ["binary_float32", "binary_int16"])
def test_what_pybv_writes_is_read(tmp_path: Path, kind: str) -> None:
    import pybv

    volts = np.random.default_rng(3).normal(0, 30e-6, (3, 500))
    pybv.write_brainvision(
        data=volts, sfreq=250, ch_names=["Fp1", "Cz", "Oz"], fname_base="a", folder_out=tmp_path,
        unit="µV", resolution=0.1, fmt=kind, events=np.array([[0, 1, 1], [490, 25, 2]]),
    )  # fmt: skip
    tree = physical(read(tmp_path / "a.vhdr"))
    # pybv cuts counts of 0.1 uV towards zero
    slack = 0.1e-6 if kind == "binary_int16" else 1e-11
    np.testing.assert_allclose(tree["eeg"]["signal"].values.T, volts, rtol=0, atol=slack)
    assert tree["eeg"].attrs["rate_hz"] == 250.0
    notes = tree["annotations"]
    assert notes["start_s"].values.tolist() == [0.0, 490 / 250]
    assert notes["duration_s"].values.tolist() == [1 / 250, 2 / 250]
    assert notes["label"].values.tolist() == ["Stimulus/S  1", "Stimulus/S 25"]


def test_names_with_commas_and_references(tmp_path: Path) -> None:
    tree = read(write(tmp_path)[0])
    assert tree["eeg"]["reference"].values.tolist() == ["Cz"]
    assert tree["misc"]["channel"].values.tolist() == ["left,right"]
    assert "reference" not in tree["misc"]


@pytest.mark.parametrize(
    ("unit", "factor"), [("µV", 1e-6), ("μV", 1e-6), ("uV", 1e-6), ("mV", 1e-3), ("nV", 1e-9)]
)
def test_unit_spellings(tmp_path: Path, unit: str, factor: float) -> None:
    eeg = read(write(tmp_path, units=(unit, "V"))[0])["eeg"]
    assert eeg["scale"].values == pytest.approx([0.5 * factor])
    assert eeg["units"].values.tolist() == ["V"]


def test_latin_1_header_without_code_page(tmp_path: Path) -> None:
    path, _ = write(tmp_path, Codepage="")
    path.write_bytes(path.read_text(encoding="utf-8").encode("latin-1"))
    assert read(path)["eeg"]["scale"].values == pytest.approx([0.5e-6])


@pytest.mark.parametrize("unit", ["", "bananas"])
def test_unknown_unit_is_refused_until_declared(tmp_path: Path, unit: str) -> None:
    path, _ = write(tmp_path, units=(unit, "V"))
    with pytest.raises(MissingFactError, match=r"units\.Fp1=<unit>"):
        read(path)
    assert read(path, units__Fp1="nV")["eeg"]["scale"].values == pytest.approx([0.5e-9])


# clock and markers


def test_dated_pause_stays_a_pause(tmp_path: Path) -> None:
    markers = (
        "New Segment,,1,1,0,20110203235959500000", "Stimulus,S  1,151,1,2",
        "New Segment,,101,1,0,20110204000010500000",
    )  # fmt: skip
    raw = raw_of(write(tmp_path, markers=markers)[0])
    tree = brainvision.read(raw, Declared())
    time = tree["eeg"]["time"].values
    assert time[[0, 99, 100, 199]].tolist() == pytest.approx([0, 0.99, 11, 11.99], abs=1e-12)
    notes = tree["annotations"]
    assert notes["label"].values.tolist() == ["New Segment", "New Segment", "Stimulus/S  1"]
    assert notes["start_s"].values.tolist() == [0.0, 11.0, 11.5]
    assert notes["channel"].values.tolist() == ["", "", "left,right"]
    assert tree.attrs["start_zone"] == "unknown"
    assert "start_time" not in tree.attrs


def test_undated_pause_gives_a_warning(tmp_path: Path) -> None:
    raw = raw_of(write(tmp_path, markers=("New Segment,,1,1,0", "New Segment,,101,1,0"))[0])
    assert brainvision.read(raw, Declared())["eeg"].attrs["n"] == 200
    assert [p.level for p in raw.problems if "pauses" in p.found] == ["warning"]


@pytest.mark.parametrize(
    "marker",
    ["Stimulus,S 1,201,1,0", "Stimulus,S 1,0,1,0", "Stimulus,S 1,-1,1,0", "Stimulus,S 1,x,1,0",
     "Stimulus,S 1,1,-1,0", "Stimulus,S 1,1,1,3", "Stimulus"],
)  # fmt: skip
def test_impossible_markers_are_refused(tmp_path: Path, marker: str) -> None:
    path, _ = write(tmp_path, markers=(marker,))
    with pytest.raises(UnreadableError, match="Mk1"):
        read(path)


def test_marker_past_the_end_tells_truncation(tmp_path: Path) -> None:
    path, data = write(tmp_path, markers=("Stimulus,S 1,200,1,0",), DataPoints="")
    assert read(path)["eeg"].attrs["n"] == 200
    path.with_suffix(".eeg").write_bytes(data[:120].tobytes())
    with pytest.raises(UnreadableError, match=r"sample 200 of 120 \(480 bytes\).*800 bytes"):
        read(path)


def test_declared_rate_must_be_a_rate(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        read(write(tmp_path)[0], rate_hz=0)


# refusals


@pytest.mark.parametrize("story", IMPOSSIBLE)
def test_impossible_header_says_where_what_and_what_to_do(story: str, tmp_path: Path) -> None:
    path, _ = write(tmp_path)
    path.write_bytes(IMPOSSIBLE[story](path.read_bytes()))
    with pytest.raises((UnreadableError, UnsafeError, UnknownFormatError)) as caught:
        read(path)
    error = caught.value
    assert error.where.startswith("a.vhdr")
    assert error.found
    assert error.expected
    assert error.hint


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../outside.bin", "sub/../../outside.bin", "b.eeg"]
)
def test_files_outside_are_never_opened(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    (tmp_path / "outside.bin").write_bytes(bytes(800))
    path, _ = write(folder, DataFile=name)
    with pytest.raises(UnsafeError, match="names the file"):
        read(path)


@pytest.mark.acceptance
def test_real_recording_equals_mne(realdata: Path) -> None:
    import mne

    acceptance = realdata / "acceptance" / "eeg_meg_ieeg" / "mne_testing_Brainvision"
    raw = raw_of(acceptance / "test_NO.vhdr")
    node = brainvision.read(raw, Declared())["misc"]
    theirs = mne.io.read_raw_brainvision(acceptance / "test_NO.vhdr", verbose="error")
    np.testing.assert_allclose(node["signal"].values.T, theirs.get_data(), rtol=2**-23)
    assert node["channel"].values.tolist() == theirs.ch_names
    assert (node.attrs["rate_hz"], node.attrs["n"]) == (5000.0, 2238)
    assert any("shortrecording2.eeg" in problem.found for problem in raw.problems)
