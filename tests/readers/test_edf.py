"""EDF, EDF+ and BDF: real files against MNE, pyEDFlib and edfio, and headers that cannot be."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import MissingFactError, UnreadableError
from neurodata.physical import physical
from neurodata.readers import edf
from neurodata.readers.channels import kind_of
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests

SAMPLES = Path(__file__).parents[2] / "samples" / "eeg_fp1"
LABEL, UNIT, PHYSICAL, DIGITAL, COUNT = 0, 96, 104, 120, 216  # columns of the signal table
WIDTHS = {LABEL: 16, UNIT: 8, PHYSICAL: 8, DIGITAL: 8, COUNT: 8}


def raw_of(path: Path) -> Raw:
    return Raw(path.parent, edf.members(path, sorted(path.parent.iterdir())))


def read(path: Path, **facts: Any) -> xr.DataTree:
    return edf.read(raw_of(path), Declared({k.replace("__", "."): v for k, v in facts.items()}))


def synthetic_edf(
    labels: Sequence[str] = ("EEG Fp1", "EEG Fp2"),
    units: Sequence[str | bytes] = ("uV", "uV"),
    samples: Sequence[int] = (4, 4),
    records: int = 5,
    width: int = 2,
    reserved: str = "",
    tals: Sequence[bytes] = (),
    seed: int = 0,
) -> tuple[bytes, list[np.ndarray]]:
    """Return the bytes of a small file and the stored integers of each signal.

    The range is -100..100 over the whole range of the integers; a record lasts 1 s.
    """
    random, limit = np.random.default_rng(seed), 2 ** (8 * width - 1)
    values = [random.integers(-limit, limit, (records, n)) for n in samples]
    parts = [v.astype("<i4").view("u1").reshape(*v.shape, 4)[..., :width] for v in values]
    blocks = [part.reshape(records, -1) for part in parts]
    names, counts, dims = [*labels], [*samples], [*units]
    if tals:
        size = 64
        blocks.append(np.frombuffer(b"".join(t.ljust(size, b"\0") for t in tals), "u1"))
        blocks[-1] = blocks[-1].reshape(records, size)
        names, counts, dims = [*names, "EDF Annotations"], [*counts, size // width], [*dims, ""]
    dims = [u if isinstance(u, bytes) else u.encode() for u in dims]
    table = b"".join(n.encode().ljust(16) for n in names) + b" " * 80 * len(names)
    table += b"".join(u.ljust(8) for u in dims)
    for number in (-100, 100, -limit, limit - 1):
        table += str(number).encode().ljust(8) * len(names)
    table += b" " * 80 * len(names) + b"".join(str(n).encode().ljust(8) for n in counts)
    table += b" " * 32 * len(names)
    head = (b"0".ljust(8) if width == 2 else b"\xffBIOSEMI") + b"X X X X".ljust(80)
    head += b"Startdate X X X X".ljust(80) + b"01.01.0000.00.00"
    head += str(256 + len(table)).encode().ljust(8) + reserved.encode().ljust(44)
    head += str(records).encode().ljust(8) + b"1".ljust(8) + str(len(names)).encode().ljust(4)
    data = np.concatenate(blocks, axis=1).tobytes()
    return head + table + data, [value.reshape(-1) for value in values]


def write(folder: Path, name: str = "a.edf", **options: Any) -> tuple[Path, list[np.ndarray]]:
    path = folder / name
    content, values = synthetic_edf(**options)
    path.write_bytes(content)
    return path, values


def put(start: int, text: bytes, size: int) -> Callable[[bytes], bytes]:
    """Return a change of one header field."""
    return lambda whole: whole[:start] + text.ljust(size)[:size] + whole[start + size :]


def cell(column: int, text: bytes, signal: int = 0, signals: int = 3) -> Callable[[bytes], bytes]:
    size = WIDTHS.get(column, 8)
    return put(256 + column * signals + signal * size, text, size)


IMPOSSIBLE = {
    "header size of other signals": put(184, b"9999", 8),
    "header size is no number": put(184, b"many", 8),
    "records not counted": put(236, b"-1", 8),
    "no records": put(236, b"0", 8),
    "more records than bytes": put(236, b"99999999", 8),
    "fewer records than bytes": put(236, b"1", 8),
    "record of 0 s": put(244, b"0", 8),
    "record of nan s": put(244, b"nan", 8),
    "record of inf s": put(244, b"inf", 8),
    "record of -1 s": put(244, b"-1", 8),
    "record of 1e-9 s": put(244, b"1e-9", 8),
    "9999 signals": put(252, b"9999", 4),
    "-1 signals": put(252, b"-1", 4),
    "0 signals": put(252, b"0", 4),
    "physical range empty": cell(PHYSICAL, b"100"),
    "physical minimum nan": cell(PHYSICAL, b"nan"),
    "physical minimum inf": cell(PHYSICAL, b"-inf"),
    "physical minimum missing": cell(PHYSICAL, b""),
    "digital minimum over maximum": cell(DIGITAL, b"40000"),
    "digital minimum = maximum": cell(DIGITAL, b"32767"),
    "digital minimum out of 16 bits": cell(DIGITAL, b"-40000"),
    "no samples in a record": cell(COUNT, b"0"),
    "negative samples in a record": cell(COUNT, b"-4"),
    "10^8 samples in a record": cell(COUNT, b"99999999"),
    "label of another signal": cell(LABEL, b"EEG Fp2"),
    "no label": cell(LABEL, b""),
}


class TestEdf(HeaderTests, PersonalTests):
    reader = edf
    nodes: ClassVar = {"eeg": "timeseries", "annotations": "intervals"}
    accepts = ("edf",)
    lazy = ("signal_adc",)
    lies = IMPOSSIBLE
    canary = "CANARY"

    def make(self, folder: Path) -> Path:
        import edfio

        random, path = np.random.default_rng(1), folder / "synthetic.edf"
        signals = [
            edfio.EdfSignal(
                random.normal(0, 20, 512), 128, label=name, physical_dimension="uV",
                physical_range=(-100, 100), transducer_type="CANARY",
            )
            for name in ("EEG Fp1", "EEG Fp2")
        ]  # fmt: skip
        patient = edfio.Patient(
            code="CANARY", name="CANARY", birthdate=date(1998, 1, 20), additional=["CANARY"]
        )
        recording = edfio.Recording(
            hospital_administration_code="CANARY", investigator_technician_code="CANARY",
            equipment_code="CANARY", additional=["CANARY"],
        )  # fmt: skip
        notes = [edfio.EdfAnnotation(0.5, 1.0, "blink"), edfio.EdfAnnotation(2.0, None, "über")]
        edfio.Edf(signals, patient=patient, recording=recording, annotations=notes).write(path)
        return path


class TestBdf(HeaderTests):
    reader = edf
    nodes: ClassVar = {"eeg": "timeseries", "misc": "timeseries"}
    accepts = ("edf",)
    lies: ClassVar = {
        "digital minimum out of 24 bits": cell(DIGITAL, b"-8388609", signals=2),
        "digital maximum out of 24 bits": cell(DIGITAL + 8, b"8388608", signals=2),
    }

    def make(self, folder: Path) -> Path:
        labels, units = ("Fp1", "Status"), ("uV", "Boolean")
        return write(folder, "synthetic.bdf", labels=labels, units=units, width=3)[0]


# real files


@pytest.mark.parametrize("name", ["test_subsecond.edf", "test_utf8.edf"])
def test_sample_equals_independent_readers(name: str) -> None:
    import edfio
    import mne
    import pyedflib

    path = SAMPLES / name
    eeg = read(path)["eeg"]
    volts = eeg["signal_adc"].values * eeg["scale"].values + eeg["offset"].values
    with pyedflib.EdfReader(str(path)) as other:
        np.testing.assert_array_equal(
            eeg["signal_adc"].values[:, 0], other.readSignal(0, digital=True)
        )
        np.testing.assert_allclose(volts[:, 0], other.readSignal(0) * 1e-6, rtol=1e-12)
    np.testing.assert_allclose(volts[:, 0], edfio.read_edf(path).signals[0].data * 1e-6, rtol=1e-12)
    theirs = mne.io.read_raw_edf(path, verbose="error")
    np.testing.assert_allclose(volts.T, theirs.get_data(), rtol=1e-12)
    assert eeg["signal_adc"].dtype == np.int16
    assert eeg["signal_adc"].shape == (89344, 1)
    assert eeg["signal_adc"].attrs["units"] == "V"
    assert eeg["channel"].values.tolist() == theirs.ch_names == ["Fp1"]
    assert eeg["type"].values.tolist() == ["EEG"]
    assert eeg.attrs["rate_hz"] == theirs.info["sfreq"] == 128.0
    assert (eeg.attrs["start_s"], eeg.attrs["n"]) == (0.0, 89344)


def test_sample_in_physical_form_is_volts_to_a_float32() -> None:
    import mne

    path = SAMPLES / "test_subsecond.edf"
    eeg = physical(read(path))["eeg"]["signal"]
    theirs = mne.io.read_raw_edf(path, verbose="error").get_data()
    np.testing.assert_allclose(eeg.values.T, theirs, rtol=2**-23)
    assert eeg.dtype == np.float32


def test_inverted_physical_range_is_honoured_and_noted() -> None:
    raw = raw_of(SAMPLES / "test_subsecond.edf")
    tree = edf.read(raw, Declared())
    # header: 8711 to -8711 uV over -32768 to 32767
    assert tree["eeg"]["scale"].values == pytest.approx([-2 * 8711e-6 / 65535], rel=1e-15)
    assert any("inverted" in problem.found for problem in raw.problems)


@pytest.mark.parametrize("name", ["test_subsecond.edf", "test_utf8.edf"])
def test_annotations_count_from_the_first_sample(name: str) -> None:
    import mne
    import pyedflib

    path = SAMPLES / name
    found = read(path, annotations="keep")["annotations"]
    with pyedflib.EdfReader(str(path)) as other:
        onset, _, texts = other.readAnnotations()
    np.testing.assert_allclose(found["start_s"], onset, atol=1e-6)
    theirs = mne.io.read_raw_edf(path, verbose="error").annotations
    np.testing.assert_allclose(found["start_s"], theirs.onset, rtol=0, atol=1e-6)
    assert found["label"].values.tolist() == texts.tolist() == theirs.description.tolist()
    assert np.isnan(found["duration_s"].values).all()


def test_annotations_are_utf8() -> None:
    tree = read(SAMPLES / "test_utf8.edf", annotations="keep")
    assert "中文测试八个字" in tree["annotations"]["label"].values


def test_samples_ship_without_a_birthday() -> None:
    for path in SAMPLES.glob("*.edf"):
        assert path.read_bytes()[8:88] == b"X F X X".ljust(80)


def test_start_without_a_zone_is_not_a_start() -> None:
    attrs = read(SAMPLES / "test_utf8.edf").attrs
    assert attrs == {"modality": "eeg", "start_zone": "unknown", "sex": "F"}


# units


def test_all_channels_without_a_unit_are_named_at_once(tmp_path: Path) -> None:
    path, _ = write(tmp_path, labels=("Fp1", "acc 2"), units=("", "G"))
    with pytest.raises(MissingFactError) as refusal:
        read(path)
    assert refusal.value.hint == "declare it: --set 'units.Fp1=<unit>' --set 'units.acc 2=<unit>'"


@pytest.mark.parametrize(
    ("unit", "symbol", "factor"),
    [("V", "V", 1.0), ("mV", "V", 1e-3), ("uV", "V", 1e-6), ("nV", "V", 1e-9),
     ("µV".encode(), "V", 1e-6), ("µV".encode("latin-1"), "V", 1e-6),
     ("μV".encode(), "V", 1e-6), ("AU", "a.u.", 1.0), ("degC", "degC", 1.0)],
)  # fmt: skip
def test_unit_spellings(tmp_path: Path, unit: str | bytes, symbol: str, factor: float) -> None:
    path, values = write(tmp_path, units=(unit, "uV"))
    eeg = read(path)["eeg"].sel(channel="EEG Fp1")
    found = eeg["signal_adc"].values * eeg["scale"].values + eeg["offset"].values
    np.testing.assert_allclose(found, (values[0] + 0.5) * 200 / 65535 * factor, rtol=1e-9)
    assert str(eeg["units"].values) == symbol


@pytest.mark.parametrize("unit", ["", "quux", "uv/x"])
def test_unknown_unit_is_refused_until_declared(tmp_path: Path, unit: str) -> None:
    path, _ = write(tmp_path, labels=("Fp1", "Fp2"), units=(unit, "uV"))
    with pytest.raises(MissingFactError, match=r"units\.Fp1=<unit>"):
        read(path)
    assert read(path, units__Fp1="nV")["eeg"]["scale"].values[0] == pytest.approx(
        200 / 65535 * 1e-9
    )


def test_a_wrong_stated_unit_can_be_declared(tmp_path: Path) -> None:
    path, _ = write(tmp_path, labels=("Fp1", "Fp2"), units=("V", "V"))
    assert read(path, **{"units__*": "uV"})["eeg"]["scale"].values == pytest.approx(
        [200 / 65535 * 1e-6] * 2
    )


# refusals


@pytest.mark.parametrize("story", IMPOSSIBLE)
def test_impossible_header_says_where_what_and_what_to_do(story: str, tmp_path: Path) -> None:
    path, _ = write(tmp_path, reserved="EDF+C", tals=tals(0, 1, 2, 3, 4))
    assert read(path)["eeg"].sizes["channel"] == 2
    path.write_bytes(IMPOSSIBLE[story](path.read_bytes()))
    with pytest.raises(UnreadableError) as caught:
        read(path)
    error = caught.value
    assert error.where.startswith("a.edf")
    assert error.found
    assert error.expected
    assert error.hint


# rates, gaps, channels


def test_each_rate_has_its_node(tmp_path: Path) -> None:
    labels, units = ("EEG Fp1", "EEG Fp2", "EEG Cz", "Temp", "SpO2"), ("uV",) * 3 + ("degC", "%")
    path, values = write(tmp_path, labels=labels, units=units, samples=(4, 8, 8, 1, 2))
    raw = raw_of(path)
    tree = edf.read(raw, Declared())
    found = {name: (n.attrs["rate_hz"], n["channel"].values.tolist()) for name, n in tree.items()}
    assert found == {
        "eeg_4hz": (4.0, ["EEG Fp1"]),
        "eeg": (8.0, ["EEG Fp2", "EEG Cz"]),
        "physio": (1.0, ["Temp"]),
        "misc": (2.0, ["SpO2"]),
    }
    np.testing.assert_array_equal(tree["eeg"]["signal_adc"].values, np.stack(values[1:3], axis=1))
    np.testing.assert_array_equal(tree["eeg_4hz"]["signal_adc"].values[:, 0], values[0])
    assert any("eeg_4hz" in problem.where for problem in raw.problems)


def test_24_bits_keep_their_sign(tmp_path: Path) -> None:
    path, values = write(tmp_path, "a.bdf", width=3)
    adc = read(path)["eeg"]["signal_adc"]
    assert adc.dtype == np.int32
    np.testing.assert_array_equal(adc.values, np.stack(values, axis=1))
    assert adc.values.min() < -(2**22)


def tals(*onsets: float) -> list[bytes]:
    return [f"+{onset:g}\x14\x14\0".encode() for onset in onsets]


def test_gaps_stay_gaps(tmp_path: Path) -> None:
    notes = tals(0.25, 1.25, 7.25, 8.25, 20.25)
    notes[2] += b"+8.5\x1530\x14seizure\x14\0"
    path, values = write(tmp_path, reserved="EDF+D", tals=notes)
    raw = raw_of(path)
    tree = edf.read(raw, Declared())
    eeg = tree["eeg"]
    expected = [start + i / 4 for start in (0, 1, 7, 8, 20) for i in range(4)]
    np.testing.assert_allclose(eeg["time"], expected, rtol=0, atol=1e-12)
    assert "rate_hz" not in eeg.attrs
    np.testing.assert_array_equal(eeg["signal_adc"].values[:, 1], values[1])
    assert tree["annotations"]["start_s"].values.tolist() == [8.25]
    assert tree["annotations"]["duration_s"].values.tolist() == [30.0]
    assert [p.level for p in raw.problems if "2 gaps" in p.found] == ["note"]


def test_gaps_in_a_continuous_file_are_kept_with_a_warning(tmp_path: Path) -> None:
    path, _ = write(tmp_path, reserved="EDF+C", tals=tals(0, 1, 2, 13, 14))
    raw = raw_of(path)
    assert edf.read(raw, Declared())["eeg"]["time"].values[-1] == 14.75
    assert [p.level for p in raw.problems if "gaps" in p.found] == ["warning"]


def test_discontinuous_without_gaps_is_regular(tmp_path: Path) -> None:
    path, _ = write(tmp_path, reserved="EDF+D", tals=tals(3, 4, 5, 6, 7))
    assert read(path)["eeg"].attrs["rate_hz"] == 4.0


@pytest.mark.parametrize(
    "notes",
    [tals(0, 1, 1.2, 3, 4), tals(0, 1, 2, 1, 4), [*tals(0, 1, 2, 3), b""],
     [*tals(0, 1, 2, 3), b"4\x14\x14\0"], [*tals(0, 1, 2, 3), b"+4\x14\x14"[:-1]],
     [*tals(0, 1, 2, 3), b"+" + b"9" * 50 + b"\x14\x14"]],
)  # fmt: skip
def test_impossible_record_times_are_refused(tmp_path: Path, notes: list[bytes]) -> None:
    path, _ = write(tmp_path, reserved="EDF+D", tals=notes)
    with pytest.raises(UnreadableError):
        read(path)


def test_repeated_channel_with_equal_samples_is_kept_once(tmp_path: Path) -> None:
    content, values = synthetic_edf(labels=("T8-P8", "T8-P8"))
    data = np.stack([values[0].reshape(5, 4)] * 2, axis=1).astype("<i2").tobytes()
    path = tmp_path / "synthetic_twins.edf"
    path.write_bytes(content[: -len(data)] + data)
    raw = raw_of(path)
    eeg = edf.read(raw, Declared())["eeg"]
    assert eeg["channel"].values.tolist() == ["T8-P8"]
    np.testing.assert_array_equal(eeg["signal_adc"].values[:, 0], values[0])
    assert [p.level for p in raw.problems if "T8-P8" in p.where] == ["warning"]


def test_repeated_channel_with_other_samples_is_refused(tmp_path: Path) -> None:
    path, _ = write(tmp_path, labels=("T8-P8", "T8-P8"))
    with pytest.raises(UnreadableError, match="T8-P8"):
        read(path)


def test_truncated_says_how_many_bytes(tmp_path: Path) -> None:
    path, _ = write(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(UnreadableError, match=f"{len(whole) - 1} bytes.*{len(whole)} bytes"):
        read(path)


def test_blocks_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, values = write(tmp_path, records=37)
    monkeypatch.setattr("neurodata.readers.channels.BLOCK_BYTES", 100)
    adc = read(path)["eeg"]["signal_adc"]
    assert adc.chunks is not None
    assert len(adc.chunks[0]) > 5
    np.testing.assert_array_equal(adc.values, np.stack(values, axis=1))


def test_types_are_the_published_names_and_no_more() -> None:
    import mne

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        published = mne.channels.make_standard_montage("standard_1005").ch_names
    assert {kind_of(name) for name in published} == {"EEG"}
    assert {kind_of(name.upper()) for name in published} == {"EEG"}
    labels = {
        "EEG 001": "EEG", "ECG": "ECG", "EKG1": "ECG", "EOG left": "EOG", "EMG chin": "EMG",
        "Resp Abdomen": "RESP", "FP1-F7": "EEG", "Fc5.": "EEG", "C7": "MISC", "A3": "MISC",
        "E1": "MISC", "EEGLAB": "MISC", "Event": "MISC", "LA1": "MISC", "-": "MISC",
        "X1-Cz": "MISC",
    }  # fmt: skip
    assert {label: kind_of(label) for label in labels} == labels


def test_bids_channels_table_gives_types_and_units(tmp_path: Path) -> None:
    labels = ("E1", "E2")
    path, _ = write(tmp_path, "sub-01_task-rest_eeg.edf", labels=labels, units=("", "uV"))
    table = "name\ttype\tunits\tstatus\nE1\tEEG\tmV\tgood\nE2\tHEOG\tuV\tbad\n"
    (tmp_path / "sub-01_task-rest_channels.tsv").write_text(table)
    tree = read(path)
    assert tree["eeg"]["scale"].values == pytest.approx([200 / 65535 * 1e-3])
    assert tree["physio"]["type"].values.tolist() == ["HEOG"]
    assert tree["physio"]["status"].values.tolist() == ["bad"]
    assert tree.attrs["subject"] == "01"


# real recordings that are not shipped


@pytest.fixture
def acceptance(realdata: Path) -> Path:
    return realdata / "acceptance" / "eeg_meg_ieeg"


@pytest.mark.acceptance
@pytest.mark.parametrize(
    ("name", "facts"),
    [("mne_testing_EDF/test_edf_overlapping_annotations.edf", {}),
     ("mne_testing_EDF/test_reduced.edf", {}),
     ("mne_testing_BDF/multiple_annotation_chans.bdf",
      {"units.acc1": "m/s2", "units.acc2": "m/s2", "units.acc3": "m/s2"}),
     ("mne_python/test.bdf", {})],
)  # fmt: skip
def test_real_recordings_equal_mne(acceptance: Path, name: str, facts: dict[str, Any]) -> None:
    import mne

    path = acceptance / name
    tree = edf.read(Raw(path.parent, (path,)), Declared({**facts, "annotations": "keep"}))
    load = mne.io.read_raw_bdf if path.suffix == ".bdf" else mne.io.read_raw_edf
    theirs = load(path, stim_channel=False, verbose="error")
    compared = 0
    for node in physical(tree).children.values():
        if node.attrs["representation"] != "timeseries":
            continue
        if node.attrs["rate_hz"] == theirs.info["sfreq"]:  # MNE resamples the others
            names = node["channel"].values.tolist()
            expected = theirs.get_data(names)
            np.testing.assert_allclose(node["signal"].values.T, expected, rtol=2**-22, atol=1e-13)
            compared += len(names)
    assert compared > 0
    if "annotations" in tree:
        found = tree["annotations"]
        np.testing.assert_allclose(found["start_s"], theirs.annotations.onset, atol=1e-6)
        assert found["label"].values.tolist() == theirs.annotations.description.tolist()
        np.testing.assert_allclose(
            found["duration_s"].fillna(0), theirs.annotations.duration, atol=1e-6
        )


@pytest.mark.acceptance
def test_slow_channels_of_a_real_recording_equal_edfio(acceptance: Path) -> None:
    import edfio

    path = acceptance / "mne_testing_EDF/test_reduced.edf"
    tree = physical(edf.read(Raw(path.parent, (path,)), Declared()))
    theirs = {s.label: s for s in edfio.read_edf(path).signals}
    for node in tree.children.values():
        if node.attrs["representation"] != "timeseries":
            continue
        for name in node["channel"].values:
            assert node.attrs["rate_hz"] == theirs[name].sampling_frequency
            found = node["signal"].sel(channel=name).values
            np.testing.assert_allclose(found, theirs[name].data * 1e-6, rtol=2**-22, atol=1e-12)


def test_date_fields_do_not_matter(tmp_path: Path) -> None:
    content, _ = synthetic_edf()
    stamp = datetime(2020, 2, 29).strftime("%d.%m.%y%H.%M.%S").encode()
    (tmp_path / "a.edf").write_bytes(content)
    (tmp_path / "b.edf").write_bytes(content[:168] + stamp + content[184:])
    xr.testing.assert_identical(read(tmp_path / "a.edf"), read(tmp_path / "b.edf"))
