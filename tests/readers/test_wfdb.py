"""WFDB: PhysioNet records against bit arithmetic of our own, and records that cannot be."""

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
    RefusedError,
    UnknownFormatError,
    UnreadableError,
    UnsafeError,
)
from neurodata.physical import physical
from neurodata.readers import wfdb
from neurodata.safe import Raw, head
from tests.readers.conformance import HeaderTests, PersonalTests

CANARY = "Zdenka Canary"
INVALID = {"16": -(2**15), "61": -(2**15), "160": -(2**15), "212": -(2**11), "80": -(2**7),
           "310": -(2**9), "311": -(2**9), "24": -(2**23), "32": -(2**31)}  # fmt: skip


def raw_of(path: Path) -> Raw:
    folder = sorted(p for p in path.parent.rglob("*") if p.is_file())
    return Raw(path.parent, wfdb.members(path, folder))


def read(path: Path, **facts: Any) -> xr.DataTree:
    declared = Declared({key.replace("__", "."): value for key, value in facts.items()})
    return wfdb.read(raw_of(path), declared)


def checksum(samples: np.ndarray) -> int:
    return (int(samples.astype("i8").sum()) + 32768) % 65536 - 32768


# packing, from the bit layouts of signal(5)


def packed(name: str, values: Sequence[int]) -> bytes:
    if name in ("16", "61", "32"):
        kind = {"16": "<h", "61": ">h", "32": "<i"}[name]
        return b"".join(struct.pack(kind, v) for v in values)
    if name in ("80", "160"):
        return b"".join(
            struct.pack("<B" if name == "80" else "<H", v - INVALID[name]) for v in values
        )
    if name == "24":
        return b"".join(struct.pack("<i", v)[:3] for v in values)
    return b"".join(PACK[name](values))


def _pairs(values: Sequence[int]) -> list[bytes]:
    found = []
    for place in range(0, len(values), 2):
        a, *rest = (v & 0xFFF for v in values[place : place + 2])
        b = rest[0] if rest else 0
        block = bytes([a & 0xFF, (a >> 8) | ((b >> 8) << 4), b & 0xFF])
        found.append(block if rest else block[:2])
    return found


def _triples_310(values: Sequence[int]) -> list[bytes]:
    found = []
    for place in range(0, len(values), 3):
        a, b, c = (*(v & 0x3FF for v in values[place : place + 3]), 0, 0)[:3]
        low = (a << 1) | ((c & 0x1F) << 11)
        high = (b << 1) | ((c >> 5) << 11)
        found.append(struct.pack("<HH", low, high))
    return found


def _triples_311(values: Sequence[int], unused: int = 0) -> list[bytes]:
    found = []
    for place in range(0, len(values), 3):
        a, b, c = (*(v & 0x3FF for v in values[place : place + 3]), 0, 0)[:3]
        found.append(struct.pack("<I", a | (b << 10) | (c << 20) | (unused << 30)))
    return found


PACK: dict[str, Callable[[Sequence[int]], list[bytes]]] = {
    "212": _pairs, "310": _triples_310, "311": _triples_311,
}  # fmt: skip


def notes(*items: tuple[int, int, str], channel: int = 0) -> bytes:
    """Annotations of (sample, code, text), as annot(5) lays them out."""
    found, last = b"", 0
    for sample, code, text in items:
        step, last = sample - last, sample
        if step > 1023 or step < 0:
            found += struct.pack("<H", 59 << 10) + struct.pack(
                "<HH", step >> 16 & 0xFFFF, step & 0xFFFF
            )
            step = 0
        found += struct.pack("<H", code << 10 | step)
        if channel:
            found += struct.pack("<H", 62 << 10 | channel)
        if text:
            data = text.encode() + b"\0" * (len(text.encode()) % 2)
            found += struct.pack("<H", 63 << 10 | len(text.encode())) + data
    return found + b"\0\0"


def write(
    folder: Path,
    values: np.ndarray | None = None,
    name: str = "synthetic",
    form: str = "16",
    specs: Sequence[str] = ("200(10)/mV", "20/mmHg"),
    labels: Sequence[str] = ("MLII", "ABP"),
    comments: str = "",
) -> Path:
    """Write a synthetic record of (time, channel) integers at 360 Hz and return its header."""
    if values is None:
        values = np.random.default_rng(4).integers(-500, 500, (3000, len(specs)))
    lines = [f"{comments}{name} {len(specs)} 360 {len(values)}"]
    for place, (spec, label) in enumerate(zip(specs, labels, strict=True)):
        own = values[:, place]
        tail = f"12 0 {own[0]} {checksum(own)} 0 {label}"
        lines.append(f"{name}.dat {form} {spec} {tail}")
    header = folder / f"{name}.hea"
    header.write_text("\n".join(lines) + "\n")
    (folder / f"{name}.dat").write_bytes(packed(form, values.ravel().tolist()))
    return header


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda whole: whole.replace(old, new)


IMPOSSIBLE = {
    "rate of 0": swap(b" 360 ", b" 0 "),
    "rate of nothing": swap(b" 360 ", b" nan "),
    "rate over 1 MHz": swap(b" 360 ", b" 1e9 "),
    "negative rate": swap(b" 360 ", b" -360 "),
    "three signals": swap(b"synthetic 2", b"synthetic 3"),
    "one signal": swap(b"synthetic 2", b"synthetic 1"),
    "no signal": swap(b"synthetic 2", b"synthetic 0"),
    "more samples": swap(b" 3000\n", b" 3001\n"),
    "fewer samples": swap(b" 3000\n", b" 2999\n"),
    "10^14 samples": swap(b" 3000\n", b" 100000000000000\n"),
    "an unknown format": swap(b".dat 16", b".dat 17"),
    "a format that is not read": swap(b".dat 16", b".dat 516"),
    "another format": swap(b".dat 16", b".dat 212"),
    "two formats in one file": lambda whole: whole.replace(b".dat 16", b".dat 61", 1),
    "no sample a frame": swap(b".dat 16", b".dat 16x0"),
    "two samples a frame": swap(b".dat 16", b".dat 16x2"),
    "gain nan": swap(b" 200(10)", b" nan(10)"),
    "gain inf": swap(b" 200(10)", b" 1e999(10)"),
    "gain next to 0": swap(b" 200(10)", b" 1e-320(10)"),
    "a baseline with a point": swap(b"200(10)", b"200(1.5)"),
    "an odd gain": swap(b"200(10)", b"2x0(10)"),
    "another checksum": swap(b" 0 MLII", b"1 0 MLII"),
    "no line end": lambda whole: whole.rstrip(),
    "another file elsewhere": swap(b"synthetic.dat", b"../synthetic.dat"),
    "another file anywhere": swap(b"synthetic.dat", b"/etc/passwd"),
    "a file that is not there": swap(b"synthetic.dat", b"other.dat"),
    "samples in the header": swap(b"synthetic.dat", b"synthetic.hea"),
    "standard input": swap(b"synthetic.dat", b"-"),
    "no file": swap(b"synthetic.dat", b"~"),
}


class TestWfdb(HeaderTests, PersonalTests):
    reader = wfdb
    nodes: ClassVar = {"physio": "timeseries", "misc": "timeseries", "annotations": "intervals"}
    lazy = ("signal_adc", "observed")
    lies = IMPOSSIBLE
    canary = CANARY

    def make(self, folder: Path) -> Path:
        header = write(folder, comments=f"# {CANARY}\n# age: 63\n# sex: F\n")
        items = (0, 22, CANARY), (18, 28, "(N"), (77, 1, ""), (2500, 5, "")
        header.with_suffix(".atr").write_bytes(notes(*items))
        return header

    def victims(self, path: Path) -> tuple[Path, ...]:
        return path, path.with_suffix(".dat"), path.with_suffix(".atr")


# PhysioNet's records


@pytest.fixture(scope="module")
def physionet(realdata: Path) -> Path:
    return realdata / "acceptance" / "eeg_meg_ieeg" / "wfdb_sample"


@pytest.mark.acceptance
def test_record_100_equals_bits_decoded_here(physionet: Path) -> None:
    tree = read(physionet / "100.hea")
    node = tree["physio"]
    data = np.fromfile(physionet / "100.dat", "u1").reshape(-1, 3).astype("i4")
    first = data[:, 0] | ((data[:, 1] & 0x0F) << 8)
    second = data[:, 2] | ((data[:, 1] & 0xF0) << 4)
    wanted = np.stack([first, second], axis=1)
    wanted[wanted > 2047] -= 4096
    assert node["signal_adc"].dtype == np.int16
    np.testing.assert_array_equal(node["signal_adc"].values, wanted)
    assert (node.attrs["rate_hz"], node.attrs["n"], node.attrs["start_s"]) == (360.0, 650000, 0.0)
    assert node["channel"].values.tolist() == ["MLII", "V5"]
    assert node["type"].values.tolist() == ["ECG", "ECG"]
    assert node["units"].values.tolist() == ["V", "V"]
    assert "observed" not in node
    # as the manual of rdsamp prints them: 995 and 1011, which are -0.145 and -0.065 mV
    assert node["signal_adc"].values[0].tolist() == [995, 1011]
    values = physical(tree)["physio"]["signal"].values[0]
    np.testing.assert_allclose(values, [-0.145e-3, -0.065e-3], rtol=1e-6)
    assert dict(tree.attrs) == {"modality": "ecg"}


@pytest.mark.acceptance
def test_record_100_has_its_published_beats(physionet: Path) -> None:
    import wfdb as package

    tree = read(physionet / "100.hea")
    found = tree["annotations"]
    theirs = package.rdann(str(physionet / "100"), "atr")
    samples = np.rint(found["start_s"].values * 360).astype(int)
    np.testing.assert_array_equal(samples, theirs.sample)
    assert found["label"].values.tolist() == theirs.symbol
    counts = {s: found["label"].values.tolist().count(s) for s in "NAV+"}
    assert counts == {"N": 2239, "A": 33, "V": 1, "+": 1}  # the database's own table
    assert (samples[0], found["label"].values[0], found["text"].values[0]) == (18, "+", "(N")
    assert samples[1:4].tolist() == [77, 370, 662]
    assert set(tree.children) == {"physio", "annotations", "annotations_qrs"}
    assert np.isnan(found["duration_s"].values).all()


@pytest.mark.acceptance
def test_record_of_two_files_equals_plain_integers(physionet: Path) -> None:
    raw = raw_of(physionet / "s0010_re.hea")
    tree = wfdb.read(raw, Declared())
    node = tree["physio"]
    assert [p.name for p in raw.files] == ["s0010_re.hea", "s0010_re.dat", "s0010_re.xyz"]
    ecg = struct.unpack("<460800h", (physionet / "s0010_re.dat").read_bytes())
    xyz = struct.unpack("<115200h", (physionet / "s0010_re.xyz").read_bytes())
    wanted = np.hstack([np.reshape(ecg, (-1, 12)), np.reshape(xyz, (-1, 3))])
    np.testing.assert_array_equal(node["signal_adc"].values, wanted)
    assert node["signal_adc"].values[0, :4].tolist() == [-489, -458, 31, 474]
    np.testing.assert_allclose(node["scale"].values, 1e-3 / 2000, rtol=1e-15)
    assert (node.attrs["rate_hz"], node.attrs["n"]) == (1000.0, 38400)
    assert node["channel"].values[[0, 3, 14]].tolist() == ["i", "avr", "vz"]
    assert dict(tree.attrs) == {"modality": "ecg", "sex": "F", "age_years": 81.0}
    assert any("comments" in problem.found for problem in raw.problems)


@pytest.mark.acceptance
def test_one_changed_byte_of_a_real_record_is_refused(physionet: Path, tmp_path: Path) -> None:
    for suffix in ("hea", "dat"):
        (tmp_path / f"100.{suffix}").write_bytes((physionet / f"100.{suffix}").read_bytes())
    data = bytearray((tmp_path / "100.dat").read_bytes())
    data[1_000_000] ^= 0x10
    (tmp_path / "100.dat").write_bytes(data)
    with pytest.raises(UnreadableError, match="checksum"):
        read(tmp_path / "100.hea")


# forms of the format


@pytest.mark.parametrize("form", INVALID)
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("count", [7, 100])
def test_sample_formats(tmp_path: Path, form: str, channels: int, count: int) -> None:
    low = INVALID[form]
    values = np.random.default_rng(1).integers(low + 1, -low, (count, channels))
    values[0], values[-1] = low + 1, -low - 1
    labels = ["I", "II", "V1"][:channels]
    path = write(tmp_path, values, form=form, specs=["100/mV"] * channels, labels=labels)
    node = read(path)["physio"]
    np.testing.assert_array_equal(node["signal_adc"].values, values)
    np.testing.assert_array_equal(node["signal_adc"][3:5].values, values[3:5])
    assert "observed" not in node


@pytest.mark.parametrize("form", INVALID)
def test_blocks_start_anywhere(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurodata.readers.channels.BLOCK_BYTES", 40)
    monkeypatch.setattr("neurodata.readers.wfdb_samples.SLAB_SAMPLES", 5)
    values = np.random.default_rng(1).integers(INVALID[form] + 1, -INVALID[form], (50, 2))
    path = write(tmp_path, values, form=form, specs=["100/mV"] * 2, labels=["I", "II"])
    np.testing.assert_array_equal(read(path)["physio"]["signal_adc"].values, values)


def test_unused_bits_of_format_311_do_not_matter(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(-511, 512, (60, 1))
    path = write(tmp_path, values, form="311", specs=["100/mV"], labels=["I"])
    data = b"".join(_triples_311(values.ravel().tolist(), unused=3))
    path.with_suffix(".dat").write_bytes(data)
    np.testing.assert_array_equal(read(path)["physio"]["signal_adc"].values, values)


@pytest.mark.parametrize("form", INVALID)
def test_invalid_samples_are_not_observed(tmp_path: Path, form: str) -> None:
    values = np.random.default_rng(1).integers(-100, 100, (30, 2))
    values[4:6, 1] = INVALID[form]
    path = write(tmp_path, values, form=form, specs=["100/mV"] * 2, labels=["I", "II"])
    node = read(path)["physio"]
    np.testing.assert_array_equal(node["signal_adc"].values, values)
    assert node["observed"].dtype == bool
    np.testing.assert_array_equal(~node["observed"].values, values == INVALID[form])
    assert int((~node["observed"].values).sum()) == 2


def test_mixed_units_gains_and_baselines(tmp_path: Path) -> None:
    values = np.array([[10, 100, 7], [210, 300, 9]])
    specs = ("200(10)/mV", "20(-100)/mmHg", "0.5/degC")
    path = write(tmp_path, values, specs=specs, labels=("MLII", "ABP", "Temp"))
    tree = read(path)
    found = physical(tree)
    np.testing.assert_allclose(found["physio"]["signal"].values[:, 0], [0, 1e-3], atol=1e-12)
    misc = found["misc"]["signal"].values
    np.testing.assert_allclose(misc[:, 0], [10 * 133.322387, 20 * 133.322387], rtol=1e-6)
    assert tree["misc"]["units"].values.tolist() == ["Pa"]
    assert tree["physio"]["channel"].values.tolist() == ["MLII", "Temp"]
    np.testing.assert_allclose(found["physio"]["signal"].values[:, 1], [14, 18])
    assert tree["physio"]["signal_adc"].attrs["units"] == "mixed"


def test_baseline_is_the_adc_zero_where_none_is_stated(tmp_path: Path) -> None:
    path = write(tmp_path, specs=("200/mV",), labels=("II",))
    path.write_text(path.read_text().replace("200/mV 12 0 ", "200 11 1024 "))
    raw = raw_of(path)
    node = wfdb.read(raw, Declared())["physio"]
    np.testing.assert_allclose(node["offset"].values, [-1024 * 1e-3 / 200])
    assert any("millivolts" in problem.found for problem in raw.problems)


def test_uncalibrated_signals_are_refused_until_declared(tmp_path: Path) -> None:
    path = write(tmp_path, specs=("0", "0/mV"), labels=("I", "II"))
    with pytest.raises(MissingFactError, match=r"--set units\.I=a\.u\. units\.II=a\.u\.|units\.II"):
        read(path)
    node = read(path, **{"units__*": "a.u."})["physio"]
    assert node["scale"].values.tolist() == [1.0, 1.0]
    assert node["units"].values.tolist() == ["a.u.", "a.u."]


def test_unknown_units_are_refused_until_declared(tmp_path: Path) -> None:
    path = write(tmp_path, specs=("200/bananas",), labels=("II",))
    with pytest.raises(MissingFactError, match=r"units\.II=<unit>"):
        read(path)
    assert read(path, units__II="uV")["physio"]["scale"].values == pytest.approx([1e-6 / 200])


def test_a_rate_is_never_taken_from_the_format_s_default(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace(" 360 3000", ""))
    with pytest.raises(MissingFactError, match="rate_hz="):
        read(path)
    assert read(path, rate_hz=250)["physio"].attrs["rate_hz"] == 250.0
    assert read(path, rate_hz=250)["physio"].attrs["n"] == 3000


def test_a_modality_is_never_guessed(tmp_path: Path) -> None:
    path = write(tmp_path, specs=("20/mmHg",), labels=("ABP",))
    with pytest.raises(MissingFactError, match="modality="):
        read(path)
    assert read(path, modality="behaviour").attrs["modality"] == "behaviour"


def test_lengths_that_no_header_states_come_from_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, form="212")
    path.write_text(path.read_text().replace(" 360 3000", " 360"))
    assert read(path)["physio"].attrs["n"] == 3000
    path.with_suffix(".dat").write_bytes(path.with_suffix(".dat").read_bytes()[:-1])
    with pytest.raises(UnreadableError, match="after the last sample"):
        read(path)


def test_bytes_after_the_samples_are_refused_without_checksums(tmp_path: Path) -> None:
    path = write(tmp_path)
    data = path.with_suffix(".dat")
    data.write_bytes(data.read_bytes() + bytes(8))
    raw = raw_of(path)
    assert wfdb.read(raw, Declared())["physio"].attrs["n"] == 3000
    assert any(p.level == "warning" and "8 bytes" in p.found for p in raw.problems)
    path.write_text("synthetic 2 360 3000\n" + "synthetic.dat 16 200/mV\n" * 2)
    with pytest.raises(UnreadableError, match="8 bytes after"):
        read(path, modality="ecg")


def test_signals_without_checksum_and_name_are_noted(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text("synthetic 2 360 3000\n" + "synthetic.dat 16 200/mV\n" * 2)
    raw = raw_of(path)
    node = wfdb.read(raw, Declared({"modality": "ecg"}))["misc"]
    assert node["channel"].values.tolist() == ["signal 1", "signal 2"]
    assert any("lengths alone" in problem.found for problem in raw.problems)


def test_equal_names_are_told_apart(tmp_path: Path) -> None:
    path = write(tmp_path, specs=("200/mV",) * 3, labels=("ECG",) * 3)
    assert read(path)["physio"]["channel"].values.tolist() == ["ECG", "ECG_2", "ECG_3"]


def test_several_samples_a_frame_give_a_node_of_their_own(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    fast, slow = random.integers(-99, 99, 400), random.integers(-99, 99, 100)
    frames = np.hstack([fast.reshape(100, 4), slow.reshape(100, 1)])
    path = tmp_path / "synthetic.hea"
    path.write_text(
        "synthetic 2 90 100\n"
        f"synthetic.dat 16x4 200/mV 12 0 {fast[0]} {checksum(fast)} 0 II\n"
        f"synthetic.dat 16 10/mV 12 0 {slow[0]} {checksum(slow)} 0 V1\n"
    )
    path.with_suffix(".dat").write_bytes(packed("16", frames.ravel().tolist()))
    tree = read(path)
    found = {name: (node.attrs["rate_hz"], node.attrs["n"]) for name, node in tree.children.items()}
    assert sorted(found.values()) == [(90.0, 100), (360.0, 400)]
    for name in found:
        wanted = fast if found[name][1] == 400 else slow
        np.testing.assert_array_equal(tree[name]["signal_adc"].values[:, 0], wanted)


def test_skewed_signals_are_aligned(tmp_path: Path) -> None:
    values = np.random.default_rng(3).integers(-99, 99, (50, 2))
    path = write(tmp_path, values, specs=("200/mV",) * 2, labels=("I", "II"))
    path.write_text(path.read_text().replace(".dat 16 200", ".dat 16:3 200", 1))
    node = read(path)["physio"]
    np.testing.assert_array_equal(node["signal_adc"].values[:47, 0], values[3:, 0])
    np.testing.assert_array_equal(node["signal_adc"].values[:, 1], values[:, 1])
    assert node["observed"].values.sum(axis=0).tolist() == [47, 50]


def test_samples_behind_a_prolog(tmp_path: Path) -> None:
    path = write(tmp_path, form="212")
    path.write_text(path.read_text().replace(".dat 212", ".dat 212+16"))
    wanted = np.random.default_rng(4).integers(-500, 500, (3000, 2))
    data = path.with_suffix(".dat")
    data.write_bytes(bytes(16) + data.read_bytes())
    np.testing.assert_array_equal(read(path)["misc"]["signal_adc"].values[:, 0], wanted[:, 1])


# segments


def segments(folder: Path, lines: Sequence[str], frames: int, rate: str = "360") -> Path:
    path = folder / "many.hea"
    count = len(lines)
    path.write_text(f"many/{count} 2 {rate} {frames}\n" + "\n".join(lines) + "\n")
    return path


def test_segments_are_joined_and_gaps_stay_gaps(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    one, two = random.integers(-99, 99, (40, 2)), random.integers(-99, 99, (60, 2))
    write(tmp_path, one, name="one")
    write(tmp_path, two, name="two")
    path = segments(tmp_path, ["one 40", "~ 360", "two 60"], 460)
    path.with_suffix(".atr").write_bytes(notes((10, 1, ""), (450, 1, "")))
    node = read(path)["physio"]
    np.testing.assert_array_equal(
        node["signal_adc"].values[:, 0], np.concatenate([one[:, 0], two[:, 0]])
    )
    time = node["time"].values
    assert time[[0, 39, 40, 99]] == pytest.approx([0, 39 / 360, 400 / 360, 459 / 360], abs=1e-12)
    assert read(path)["annotations"]["start_s"].values == pytest.approx([10 / 360, 450 / 360])
    names = {p.name for p in raw_of(path).files}
    assert names == {"many.hea", "one.hea", "one.dat", "two.hea", "two.dat", "many.atr"}


def test_a_record_of_touching_segments_has_a_regular_clock(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path, name=name)
    node = read(segments(tmp_path, ["one 3000", "two 3000"], 6000))["physio"]
    assert (node.attrs["n"], node.attrs["rate_hz"]) == (6000, 360.0)
    assert "time" not in node.coords


def test_a_channel_that_a_segment_lacks_is_not_observed(tmp_path: Path) -> None:
    one, two = np.full((4, 2), 7), np.full((3, 1), 9)
    write(tmp_path, one, name="one", specs=("200/mV",) * 2, labels=("I", "II"))
    write(tmp_path, two, name="two", specs=("200/mV",), labels=("II",))
    (tmp_path / "layout.hea").write_text(
        "layout 2 360 0\n~ 0 200/mV 0 0 0 0 0 I\n~ 0 200/mV 0 0 0 0 0 II\n"
    )
    node = read(segments(tmp_path, ["layout 0", "one 4", "two 3"], 7))["physio"]
    assert node["channel"].values.tolist() == ["I", "II"]
    assert node["observed"].values[:, 0].tolist() == [True] * 4 + [False] * 3
    assert node["signal_adc"].values[:, 0].tolist() == [7] * 4 + [INVALID["16"]] * 3
    assert node["signal_adc"].values[:, 1].tolist() == [7] * 4 + [9] * 3
    assert node["observed"].values[:, 1].all()


def test_gains_that_change_between_segments_give_values(tmp_path: Path) -> None:
    one, two = np.array([[100], [INVALID["16"]]]), np.array([[100], [300]])
    write(tmp_path, one, name="one", specs=("100/mV",), labels=("I",))
    write(tmp_path, two, name="two", specs=("200(100)/mV",), labels=("I",))
    path = segments(tmp_path, ["one 2", "two 2"], 4)
    node = read(path)["physio"]
    assert node["signal"].dtype == np.float32
    np.testing.assert_allclose(node["signal"].values[:, 0], [1e-3, np.nan, 0, 1e-3], atol=1e-12)
    assert node["observed"].values[:, 0].tolist() == [True, False, True, True]


@pytest.mark.parametrize(
    ("lines", "frames"),
    [(["one 3000", "two 2999"], 5999), (["one 3000"], 6000), (["one 3000", "../two 3000"], 6000),
     (["one 3000", "many 3000"], 6000), (["one 3000", "three 3000"], 6000), (["~ 3000"], 3000),
     (["one 3000", "two"], 6000), (["one 3000", "other 3000"], 6000)],
)  # fmt: skip
def test_impossible_segments_are_refused(tmp_path: Path, lines: Sequence[str], frames: int) -> None:
    for name in ("one", "two"):
        write(tmp_path, name=name)
    write(tmp_path, name="other", labels=("MLII", "PAP"))
    with pytest.raises((UnreadableError, UnsafeError)):
        read(segments(tmp_path, lines, frames))


def test_segments_at_another_rate_are_refused(tmp_path: Path) -> None:
    write(tmp_path, name="one")
    with pytest.raises(UnreadableError, match="360"):
        read(segments(tmp_path, ["one 3000"], 3000, rate="250"))


# annotations


def test_annotations_with_definitions_of_their_own(tmp_path: Path) -> None:
    path = write(tmp_path)
    items = (
        (0, 22, "## time resolution: 3600"), (0, 22, "## annotation type definitions"),
        (0, 22, "45 K a kind of its own"), (0, 22, "## end of definitions"), (0, 22, "## nothing"),
        (360, 45, "a note"), (7200, 46, ""), (7200, 1, ""), (7000, 1, ""),
    )  # fmt: skip
    path.with_suffix(".qrs").write_bytes(notes(*items, channel=1))
    node = read(path)["annotations"]
    assert node["start_s"].values.tolist() == [0.1, 7000 / 3600, 2.0, 2.0]
    assert node["label"].values.tolist() == ["K", "N", "[46]", "N"]
    assert node["text"].values.tolist() == ["a note", "", "", ""]
    assert node["channel"].values.tolist() == ["ABP"] * 4


@pytest.mark.parametrize("sample", [-1, 3001, 2**31 - 1])
def test_annotations_outside_the_record_are_refused(tmp_path: Path, sample: int) -> None:
    path = write(tmp_path)
    path.with_suffix(".atr").write_bytes(notes((sample, 1, "")))
    with pytest.raises(UnreadableError, match="not within the record"):
        read(path)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"\1\4", b"\0\0\1\4\0\0", notes((5, 1, "text"))[:-4] + b"\0\0", b"\0\xec\0\0\0\0"],
)
def test_damaged_annotations_are_refused(tmp_path: Path, data: bytes) -> None:
    path = write(tmp_path)
    path.with_suffix(".atr").write_bytes(data)
    with pytest.raises(UnreadableError, match=r"synthetic\.atr"):
        read(path)


# refusals


@pytest.mark.parametrize("story", IMPOSSIBLE)
def test_impossible_header_says_where_what_and_what_to_do(story: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(IMPOSSIBLE[story](path.read_bytes()))
    with pytest.raises((UnreadableError, UnsafeError, UnknownFormatError)) as caught:
        read(path)
    error = caught.value
    assert error.where.startswith("synthetic.hea")
    assert error.found
    assert error.expected
    assert error.hint


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside.dat", "a/../../outside.dat", "b.dat"])
def test_files_outside_are_never_opened(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    (tmp_path / "outside.dat").write_bytes(bytes(12000))
    path = write(folder)
    path.write_text(path.read_text().replace("synthetic.dat", name))
    assert wfdb.sniff(head(path), path)
    with pytest.raises(UnsafeError, match="names the file"):
        read(path)


def test_damaged_headers_give_no_foreign_exception(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    random = np.random.default_rng(7)
    refusals = 0
    for _ in range(250):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        try:
            read(path).load()
        except RefusedError:
            refusals += 1
    assert refusals > 125


def test_damaged_samples_are_refused_by_their_checksum(tmp_path: Path) -> None:
    path = write(tmp_path)
    data = path.with_suffix(".dat")
    whole = data.read_bytes()
    random = np.random.default_rng(7)
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] ^= 1 << random.integers(8)
        data.write_bytes(damaged)
        with pytest.raises(UnreadableError, match="checksum"):
            read(path)
