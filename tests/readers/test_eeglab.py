"""EEGLAB: real data sets against SciPy and MNE; all of its containers agree; damage is refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import scipy.io
import xarray as xr

from neurodata import schema
from neurodata.declare import Declared
from neurodata.errors import MissingFactError, UnreadableError, UnsafeError
from neurodata.readers import eeglab
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests, ReaderTests, content, texts
from tests.readers.synthetic_eeglab import (
    CANARY,
    NAMES,
    eeg_struct,
    write_5,
    write_73,
    write_fdt,
)

EARLY = [("1", 11.0, 2.0), ("blink", 30.5, 0.0), (7.0, 45.0, 1.0)]
MICROVOLTS: dict[str, Any] = {"units.*": "uV"}
EVENTS = [("1", 11.0, 2.0), ("blink", 101.5, 0.0), (7.0, 200.0, 1.0)]
NODES = {"eeg": "timeseries", "physio": "timeseries", "annotations": "intervals"}


def signal(samples: int = 300, trials: int = 1, dtype: str = "f4") -> np.ndarray:
    shape = (3, samples) if trials == 1 else (3, samples, trials)
    return np.random.default_rng(5).normal(0, 20, shape).astype(dtype)


def raw_of(path: Path) -> Raw:
    folder = sorted(p for p in path.parent.rglob("*") if p.is_file())
    return Raw(path.parent, eeglab.members(path, folder))


def read(path: Path, facts: dict[str, Any] | None = None) -> xr.DataTree:
    return eeglab.read(raw_of(path), Declared(MICROVOLTS if facts is None else facts))


def joined(tree: xr.DataTree) -> np.ndarray:
    """The signal of all channels in the order of `NAMES`, (time, channel)."""
    nodes = xr.concat([tree["eeg"]["signal"], tree["physio"]["signal"]], "channel")
    return nodes.sel(channel=list(NAMES)).values


def number(old: float, new: float) -> Callable[[bytes], bytes]:
    """Return a change of all doubles of a value."""
    return lambda whole: whole.replace(np.float64(old).tobytes(), np.float64(new).tobytes())


class TestEeglabWithDataFile(HeaderTests, PersonalTests):
    reader = eeglab
    nodes: ClassVar = NODES
    declare: ClassVar = MICROVOLTS
    lazy = ("signal",)
    canary = CANARY
    lies: ClassVar[dict[str, Callable[[bytes], bytes]]] = {
        "more samples": number(300, 301),
        "fewer samples": number(300, 299),
        "half a sample": number(300, 299.5),
        "nan samples": number(300, np.nan),
        "rate 0": number(128, 0),
        "rate nan": number(128, np.nan),
        "rate inf": number(128, np.inf),
        "rate below 0": number(128, -1),
    }  # fmt: skip

    def make(self, folder: Path) -> Path:
        data = signal()
        write_fdt(folder / "synthetic.fdt", data)
        return write_5(folder / "synthetic.set", eeg_struct(data, EVENTS, data="synthetic.fdt"))

    def victims(self, path: Path) -> tuple[Path, ...]:
        return (path, path.with_suffix(".fdt"))

    def test_data_file_of_another_size_is_refused(self, path: Path) -> None:
        with path.with_suffix(".fdt").open("ab") as stream:
            stream.write(bytes(12))
        with pytest.raises(UnreadableError, match=r"3612 bytes.*3600 bytes"):
            self.read(path)


class TestEeglabEmbedded(ReaderTests):
    reader = eeglab
    nodes: ClassVar = NODES
    declare: ClassVar = MICROVOLTS
    lazy = ("signal",)

    def make(self, folder: Path) -> Path:
        return write_5(folder / "synthetic.set", eeg_struct(signal(), EVENTS))


class TestEeglabCompressed(ReaderTests):
    reader = eeglab
    nodes: ClassVar = NODES
    declare: ClassVar = MICROVOLTS
    lazy = ("signal",)

    def make(self, folder: Path) -> Path:
        return write_5(folder / "synthetic.set", eeg_struct(signal(), EVENTS), True, True)


class TestEeglab73(PersonalTests):
    reader = eeglab
    nodes: ClassVar = NODES
    declare: ClassVar = MICROVOLTS
    lazy = ("signal",)
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return write_73(folder / "synthetic.set", eeg_struct(signal(), EVENTS))

    def test_personal_fields_stay_behind(self, path: Path) -> None:
        assert CANARY.encode("utf-16-le") in path.read_bytes()
        raw = self.raw(path)
        tree = eeglab.read(raw, Declared(MICROVOLTS))
        assert CANARY not in str(texts(tree))
        assert CANARY not in str(raw.problems)
        assert any(p.level == "note" and "removed" in p.found for p in raw.problems)


# all containers agree


FORMS: dict[str, Callable[[Path, dict[str, Any]], Path]] = {
    "5": lambda path, eeg: write_5(path, eeg),
    "5 packed": lambda path, eeg: write_5(path, eeg, packed=True),
    "5 flat": lambda path, eeg: write_5(path, eeg, flat=True),
    "5 flat packed": lambda path, eeg: write_5(path, eeg, flat=True, packed=True),
    "7.3": lambda path, eeg: write_73(path, eeg),
    "7.3 flat": lambda path, eeg: write_73(path, eeg, flat=True),
}


@pytest.mark.parametrize("trials", [1, 4])
@pytest.mark.parametrize("form", FORMS)
def test_containers_agree(tmp_path: Path, form: str, trials: int) -> None:
    data = signal(50, trials)
    for folder in ("plain", "beside"):
        (tmp_path / folder).mkdir()
    plain = FORMS[form](tmp_path / "plain" / "a.set", eeg_struct(data, EARLY))
    write_fdt(tmp_path / "beside" / "a.fdt", data)
    beside = FORMS[form](tmp_path / "beside" / "a.set", eeg_struct(data, EARLY, data="a.fdt"))
    known = write_5(tmp_path / "known.set", eeg_struct(data, EARLY))
    assert eeglab.sniff(plain.read_bytes()[:4096], plain)
    assert content(read(plain)) == content(read(beside)) == content(read(known))
    flat = data.reshape(3, -1, order="F").T
    np.testing.assert_array_equal(joined(read(plain)), (flat.astype("f8") * 1e-6).astype("f4"))
    assert [p for p in schema.check(read(plain)) if p.level == "error"] == []


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("trials", [1, 4])
def test_values_equal_those_of_mne(tmp_path: Path, packed: bool, trials: int) -> None:
    mne = pytest.importorskip("mne")
    data = signal(50, trials, "f8")
    events = [("a", k * 50 + 1.0, 0.0) for k in range(trials)]
    epoch = [{"event": k + 1.0, "eventtype": "a", "eventlatency": 0.0} for k in range(trials)]
    more = {"epoch": epoch, "xmax": 49 / 128} if trials > 1 else {}
    path = write_5(tmp_path / "a.set", eeg_struct(data, events, **more), packed=packed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if trials == 1:
            theirs = mne.io.read_raw_eeglab(path, verbose="error").get_data()
        else:
            epochs = mne.io.read_epochs_eeglab(path, verbose="error").get_data()
            theirs = epochs.transpose(1, 0, 2).reshape(3, -1)
    tree = read(path)
    assert tree["eeg"]["signal"].dtype == np.float64
    np.testing.assert_allclose(joined(tree), theirs.T, rtol=1e-15)


# what is read


def test_types_events_and_clock(tmp_path: Path) -> None:
    tree = read(write_5(tmp_path / "a.set", eeg_struct(signal(), EVENTS)))
    assert tree["eeg"]["type"].values.tolist() == ["EEG", "EEG"]
    assert tree["physio"]["type"].values.tolist() == ["EOG"]
    assert tree["eeg"].attrs["rate_hz"] == 128.0
    assert tree["eeg"].attrs["n"] == 300
    assert "position" not in tree["eeg"]
    found = tree["annotations"]
    assert found["label"].values.tolist() == ["1", "blink", "7"]
    np.testing.assert_allclose(found["start_s"], np.array([10, 100.5, 199]) / 128)
    np.testing.assert_allclose(found["duration_s"], np.array([2, 0, 1]) / 128)
    assert tree.attrs == {"modality": "eeg"}


def test_epochs_have_a_node(tmp_path: Path) -> None:
    events = [("go", 11.0, 0.0), ("x", 30.0, 0.0), ("stop", 61.0, 0.0), ("go", 111.0, 0.0)]
    eeg = eeg_struct(signal(50, 3), events, xmin=-10 / 128)
    raw = raw_of(write_5(tmp_path / "a.set", eeg))
    tree = eeglab.read(raw, Declared(MICROVOLTS))
    epochs = tree["epochs"]
    assert epochs["label"].values.tolist() == ["go", "stop", "go"]
    np.testing.assert_allclose(epochs["start_s"], np.arange(3) * 50 / 128)
    np.testing.assert_allclose(epochs["zero_s"], (np.arange(3) * 50 + 10) / 128)
    assert tree["eeg"].attrs["n"] == 150
    assert [p.level for p in raw.problems if "pauses" in p.found] == ["warning"]


def test_boundaries_say_what_was_cut_out(tmp_path: Path) -> None:
    events = [("boundary", 0.5, np.nan), ("boundary", 100.5, 256.0), ("a", 120.0, 128.0)]
    raw = raw_of(write_5(tmp_path / "a.set", eeg_struct(signal(), events)))
    found = eeglab.read(raw, Declared(MICROVOLTS))["annotations"]
    assert found["duration_s"].values.tolist() == [0.0, 0.0, 1.0]
    np.testing.assert_array_equal(found["removed_s"].values, [np.nan, 2.0, np.nan])
    assert any("boundaries" in p.found for p in raw.problems)


def test_unit_is_declared_or_in_the_side_car(tmp_path: Path) -> None:
    path = write_5(tmp_path / "sub-01_task-rest_eeg.set", eeg_struct(signal(), EVENTS))
    with pytest.raises(MissingFactError, match=r"3 channels \(Fp1 to VEOG\).*units\.\*=<unit>"):
        read(path, {})
    declared = content(read(path))
    kinds = zip(NAMES, ("EEG", "EEG", "EOG"), strict=True)
    rows = "".join(f"{name}\t{kind}\tuV\n" for name, kind in kinds)
    (tmp_path / "sub-01_task-rest_channels.tsv").write_text("name\ttype\tunits\n" + rows)
    assert content(read(path, {})) == declared


def test_blocks_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_73(tmp_path / "a.set", eeg_struct(signal(), EVENTS))
    whole = joined(read(path))
    monkeypatch.setattr("neurodata.readers.channels.BLOCK_BYTES", 1000)
    assert len((read(path)["eeg"]["signal"].chunks or [[]])[0]) > 2
    np.testing.assert_array_equal(joined(read(path)), whole)


# what is refused


def test_data_file_outside_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    write_fdt(tmp_path / "outside.fdt", signal())
    for name in ("../outside.fdt", str(tmp_path / "outside.fdt"), "/etc/passwd"):
        path = write_5(tmp_path / "raw" / "a.set", eeg_struct(signal(), EVENTS, data=name))
        with pytest.raises(UnsafeError):
            read(path)


def test_missing_data_file_is_named(tmp_path: Path) -> None:
    path = write_5(tmp_path / "a.set", eeg_struct(signal(), EVENTS, data="b.fdt"))
    with pytest.raises(UnreadableError, match=r"b\.fdt"):
        read(path)


def test_renamed_data_file_is_read_with_a_warning(tmp_path: Path) -> None:
    path = write_5(tmp_path / "a.set", eeg_struct(signal(), EVENTS, data="b.fdt"))
    write_fdt(tmp_path / "a.fdt", signal())
    raw = raw_of(path)
    eeglab.read(raw, Declared(MICROVOLTS))
    assert [p.level for p in raw.problems if "b.fdt" in p.found] == ["warning"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("change", [{"nbchan": 2.0}, {"pnts": 7.0}, {"trials": 2.0}, {"srate": ""}])
def test_contradictions_are_refused(tmp_path: Path, form: str, change: dict[str, Any]) -> None:
    path = FORMS[form](tmp_path / "a.set", eeg_struct(signal(), EVENTS, **change))
    with pytest.raises(UnreadableError):
        read(path)


def test_compressed_to_nothing_but_zeros_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_5(tmp_path / "a.set", eeg_struct(np.zeros((3, 10**6))), packed=True)
    assert path.stat().st_size < 10**5
    monkeypatch.setattr("neurodata.safe_zlib.inflated.__defaults__", (10**6,))
    with pytest.raises(UnsafeError, match="unpacked"):
        read(path)


# real data sets that are not shipped


@pytest.mark.acceptance
@pytest.mark.parametrize("name", ["test_raw", "test_raw.cleaned"])
def test_real_data_sets_equal_scipy_and_mne(realdata: Path, name: str) -> None:
    mne = pytest.importorskip("mne")
    folder = realdata / "acceptance" / "eeg_meg_ieeg" / "mne_testing_EEGLAB"
    path = folder / f"{name}.set"
    files = eeglab.members(path, sorted(folder.iterdir()))
    assert folder / f"{name}.fdt" in files
    tree = eeglab.read(Raw(folder, files), Declared(MICROVOLTS))
    eeg = scipy.io.loadmat(path, simplify_cells=True)["EEG"]
    stored = np.fromfile(path.with_suffix(".fdt"), "<f4").reshape(-1, int(eeg["nbchan"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = mne.io.read_raw_eeglab(path, verbose="error")
    assert len(eeg["chanlocs"]) == 0  # channels without names: by number here, invented there
    names = [str(number) for number in range(1, int(eeg["nbchan"]) + 1)]
    for node in tree.children.values():
        if node.attrs["representation"] != "timeseries":
            continue
        own = node["channel"].values.tolist()
        places = [names.index(label) for label in own]
        found = node["signal"].values
        np.testing.assert_array_equal(found, (stored[:, places].astype("f8") * 1e-6).astype("f4"))
        np.testing.assert_allclose(found.T, theirs.get_data(places), rtol=2**-22)
        assert node.attrs["rate_hz"] == float(eeg["srate"])
    found = tree["annotations"]
    assert found["label"].values.tolist() == [str(event["type"]) for event in eeg["event"]]
    latency = np.array([event["latency"] for event in eeg["event"]])
    np.testing.assert_allclose(found["start_s"], (latency - 1) / eeg["srate"], rtol=1e-12)


FORMS_DAMAGED: dict[str, tuple[Callable[[Path, dict[str, Any]], Path], bytes]] = {
    "5": (write_5, b"event"),
    "5 flat": (lambda path, eeg: write_5(path, eeg, flat=True), b"event"),
    "7.3": (write_73, b"event"),
}


@pytest.mark.parametrize("form", FORMS_DAMAGED)
def test_events_under_a_damaged_name_are_a_finding(tmp_path: Path, form: str) -> None:
    make, name = FORMS_DAMAGED[form]
    path = make(tmp_path / "synthetic.set", eeg_struct(signal(), EVENTS))
    whole = path.read_bytes()
    assert whole.count(name)
    path.write_bytes(whole.replace(name, b"ewent"))
    raw = raw_of(path)
    tree = eeglab.read(raw, Declared(MICROVOLTS))
    assert "annotations" not in tree
    (told,) = (p for p in raw.problems if p.where.endswith(": event"))
    assert (told.level, told.found) == ("warning", "no such field")


@pytest.mark.parametrize("events", [[], EVENTS])
def test_events_under_their_name_are_none(tmp_path: Path, events: Any) -> None:
    raw = raw_of(write_5(tmp_path / "synthetic.set", eeg_struct(signal(), events)))
    eeglab.read(raw, Declared(MICROVOLTS))
    assert not any(p.where.endswith(": event") for p in raw.problems)


def test_events_without_a_type_are_a_finding(tmp_path: Path) -> None:
    eeg = eeg_struct(signal())
    eeg["event"] = [{"tipe": "a", "latency": 4.0}, {"tipe": "b", "latency": 5.0}]
    raw = raw_of(write_5(tmp_path / "synthetic.set", eeg))
    tree = eeglab.read(raw, Declared(MICROVOLTS))
    assert tree["annotations"]["label"].values.tolist() == ["event", "event"]
    assert any(p.level == "warning" and p.found == "2 of 2 without a type" for p in raw.problems)
