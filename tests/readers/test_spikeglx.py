"""SpikeGLX: synthetic recordings by the vendor's layout, volts by its formula and by neo."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import NeurodataError, UnknownFormatError, UnreadableError
from neurodata.physical import physical
from neurodata.readers import spikeglx
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests, is_lazy

CANARY = "Zdenka Canary"
RATE_HZ = 30000.25
AP_GAIN, LF_GAIN = (500, 250, 1000, 50), (250, 125, 50, 500)


def raw_of(path: Path) -> Raw:
    folder = sorted(path.parent.iterdir())
    return Raw(path.parent, spikeglx.members(path, folder))


def read(path: Path, **facts: Any) -> tuple[xr.DataTree, Raw]:
    raw = raw_of(path)
    return spikeglx.read(raw, Declared(facts)), raw


def words(n: int) -> np.ndarray:
    """A digital word: bit 6 in pulses of 5 of every 10 samples, bit 15 from sample 7 on."""
    at = np.arange(n)
    return ((at % 10 < 5) * 64 + (at >= 7) * 32768).astype("u2")


def write(
    folder: Path, name: str, values: np.ndarray, tags: dict[str, Any], sha1: str | None = None
) -> Path:
    """Write a ``.bin`` of int16 (time, channel) and its ``.meta``."""
    data = values.astype("<i2").tobytes()
    (folder / f"{name}.bin").write_bytes(data)
    tags = {
        "appVersion": "20230202", "fileCreateTime": "2023-02-06T13:34:39",
        "fileName": f"C:/{CANARY}/{name}.bin", "nSavedChans": values.shape[1],
        "fileSHA1": hashlib.sha1(data).hexdigest().upper() if sha1 is None else sha1,
        "fileSizeBytes": len(data), "firstSample": 779283, "userNotes": CANARY,
        "rmt_USER": CANARY, **tags,
    }  # fmt: skip
    rate_hz = next(float(tags[key]) for key in ("imSampRate", "niSampRate") if key in tags)
    tags.setdefault("fileTimeSecs", len(values) / rate_hz)
    order = sorted(tags, key=lambda tag: (tag.startswith("~"), tag))
    text = "".join(f"{key}={tags[key]}\n" for key in order if tags[key] is not None)
    path = folder / f"{name}.meta"
    path.write_text(text)
    return path


def cells(head: str, rows: Sequence[str]) -> str:
    return "".join(f"({cell})" for cell in (head, *rows))


def samples(n: int, channels: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).integers(-511, 511, (n, channels))
    return np.concatenate([values, words(n)[:, None].view("i2")], axis=1)


def imro(kind: int = 0) -> str:
    rows = [f"{n} 0 0 {ap} {lf} 1" for n, (ap, lf) in enumerate(zip(AP_GAIN, LF_GAIN, strict=True))]
    return cells(f"{kind},4", rows)


GEOMETRY = cells("NP1010,1,0,70", [f"0:{27 + 32 * (n % 2)}:{20 * (n // 2)}:1" for n in range(4)])


def np1(
    folder: Path, band: str = "ap", n: int = 120, name: str = "synthetic_g0_t0.imec0", **more: Any
) -> tuple[Path, np.ndarray]:
    """Write a band of a Neuropixels 1.0 probe of four sites."""
    values = samples(n, 4, len(band))
    first, rate = (0, RATE_HZ) if band == "ap" else (4, RATE_HZ / 12)
    names = [f"{band.upper()}{k};{first + k}:{k}" for k in range(4)]
    tags = {
        "typeThis": "imec", "acqApLfSy": "4,4,1", "imAiRangeMax": 0.6, "imAiRangeMin": -0.6,
        "snsApLfSy": "4,0,1" if band == "ap" else "0,4,1", "imSampRate": rate, "imMaxInt": 512,
        "snsSaveChanSubset": "0:3,8" if band == "ap" else "4:8", "imDatPrb_type": 0,
        "imDatPrb_pn": "NP1010", "imDatPrb_sn": CANARY, "~imroTbl": imro(),
        "~snsChanMap": cells("4,4,1", [*names, "SY0;8:8"]), "~snsGeomMap": GEOMETRY,
        "firstSample": 1200 if band == "ap" else 100,
    }  # fmt: skip
    return write(folder, f"{name}.{band}", values, {**tags, **more}), values


def np2(folder: Path, **more: Any) -> tuple[Path, np.ndarray]:
    """Write a Neuropixels 2.0 probe of four shanks, of which sites 0 and 2 are saved."""
    values = samples(90, 2)
    tags = {
        "typeThis": "imec", "acqApLfSy": "3,0,1", "snsApLfSy": "2,0,1", "imAiRangeMax": 0.5,
        "imSampRate": 30000, "imMaxInt": 8192, "snsSaveChanSubset": "0,2:3", "imDatPrb_type": 24,
        "imDatPrb_pn": "NP2010", "~imroTbl": cells("24,3", ["0 0 0 1 0", "1 1 0 1 0", "2 3 0 1 5"]),
        "~snsChanMap": cells("3,0,1", ["AP0;0:0", "AP2;2:1", "SY0;3:2"]),
        "~snsGeomMap": cells("NP2010,4,250,70", ["0:27:0:1", "3:59:30:1"]),
    }  # fmt: skip
    return write(folder, "synthetic_g0_t0.imec1.ap", values, {**tags, **more}), values


def nidq(folder: Path, **more: Any) -> tuple[Path, np.ndarray]:
    """Write NI-DAQ channels: two multiplexed neural, one auxiliary, one analog, one word."""
    values = samples(80, 4)
    names = ["MN0C0;0:0", "MN0C1;1:1", "MA0C0;2:2", "XA0;3:3", "XD0;4:4"]
    tags = {
        "typeThis": "nidq", "acqMnMaXaDw": "2,1,1,1", "snsMnMaXaDw": "2,1,1,1",
        "niAiRangeMax": 2.5, "niMNGain": 200, "niMAGain": 4, "niSampRate": 25000.5,
        "niMaxInt": 32768, "snsSaveChanSubset": "all", "~snsChanMap": cells("1,1,2,1,1", names),
    }  # fmt: skip
    return write(folder, "synthetic_g0_t0.nidq", values, {**tags, **more}), values


def swap(old: str, new: str) -> Any:
    return lambda whole: whole.replace(old.encode(), new.encode())


class TestSpikeGlx(HeaderTests, PersonalTests):
    reader = spikeglx
    nodes: ClassVar = {"ieeg": "timeseries", "digital": "timeseries", "events": "intervals"}
    lazy = ("signal_adc",)
    canary = CANARY
    lies: ClassVar = {
        "more channels": swap("nSavedChans=5", "nSavedChans=6"),
        "no channel": swap("snsApLfSy=4,0,1", "snsApLfSy=0,0,0"),
        "other channels": swap("snsApLfSy=4,0,1", "snsApLfSy=3,1,1"),
        "1e9 channels": swap("nSavedChans=5", "nSavedChans=1000000000"),
        "a larger file": swap("fileSizeBytes=1200", "fileSizeBytes=1210"),
        "an odd size": swap("fileSizeBytes=1200", "fileSizeBytes=1201"),
        "no rate": swap("imSampRate=30000.25", "imSampRate=0"),
        "a rate of nan": swap("imSampRate=30000.25", "imSampRate=nan"),
        "a rate of 1 GHz": swap("imSampRate=30000.25", "imSampRate=1e9"),
        "no range": swap("imAiRangeMax=0.6", "imAiRangeMax=0"),
        "a gain of 0": swap("(2 0 0 1000 50 1)", "(2 0 0 0 50 1)"),
        "a site less": swap("(3 0 0 50 500 1)", ""),
        "a name less": swap("(AP3;3:3)", ""),
        "a name twice": swap("(AP3;", "(AP2;"),
        "a place less": swap("(0:59:20:1)", ""),
        "a place of nan": swap("(0:59:20:1)", "(0:59:nan:1)"),
        "a shank more": swap("(0:59:20:1)", "(1:59:20:1)"),
        "a shank of 10^30": swap("(0:59:20:1)", f"({10**30}:59:20:1)"),
        "no number of shanks": swap("(NP1010,1,0,70)", "(NP1010,,0,70)"),
        "a subset backwards": swap("snsSaveChanSubset=0:3,8", "snsSaveChanSubset=8,0:3"),
        "a subset beyond": swap("snsSaveChanSubset=0:3,8", "snsSaveChanSubset=0:3,9"),
        "a subset of 1e12": swap("snsSaveChanSubset=0:3,8", "snsSaveChanSubset=0:999999999999"),
        "a tag twice": swap("imMaxInt=512\n", "imMaxInt=512\nimMaxInt=512\n"),
        "another hash": swap("fileSHA1=", "fileSHA1=0A"),
        "another probe": swap("imDatPrb_type=0", "imDatPrb_type=9999"),
    }

    def make(self, folder: Path) -> Path:
        return np1(folder)[0]

    def victims(self, path: Path) -> tuple[Path, ...]:
        return (path, path.with_suffix(".bin"))


class TestNidq(PersonalTests):
    reader = spikeglx
    nodes: ClassVar = {
        "ieeg": "timeseries", "misc": "timeseries", "digital": "timeseries", "events": "intervals"
    }  # fmt: skip
    lazy = ("signal_adc",)
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return nidq(folder)[0]

    def victims(self, path: Path) -> tuple[Path, ...]:
        return (path, path.with_suffix(".bin"))


# volts by V = i * Vmax / Imax / gain of the vendor's page on its tags


def volts(node: Any) -> np.ndarray:
    return np.asarray(physical(xr.DataTree.from_dict({"n": node.to_dataset()}))["n"]["signal"])


@pytest.mark.parametrize(("band", "gains"), [("ap", AP_GAIN), ("lf", LF_GAIN)])
def test_volts_of_neuropixels_1(band: str, gains: tuple[int, ...], tmp_path: Path) -> None:
    path, values = np1(tmp_path, band)
    tree, raw = read(path)
    node = tree["ieeg"]
    assert is_lazy(node["signal_adc"].variable)
    np.testing.assert_array_equal(node["signal_adc"].values, values[:, :4])
    np.testing.assert_allclose(node["scale"].values, 0.6 / 512 / np.array(gains), rtol=1e-15)
    expected = values[:, :4] * 0.6 / 512 / np.array(gains)
    np.testing.assert_allclose(volts(node), expected, rtol=1e-6)
    rate_hz = RATE_HZ if band == "ap" else RATE_HZ / 12
    assert (node.attrs["rate_hz"], node.attrs["start_s"], node.attrs["n"]) == (rate_hz, 0.0, 120)
    assert node["channel"].values.tolist() == [f"{band.upper()}{n}" for n in range(4)]
    np.testing.assert_allclose(
        node["position"].values * 1e6, [[27, 0, 0], [59, 0, 0], [27, 0, 20], [59, 0, 20]]
    )
    assert node["shank"].values.tolist() == [0] * 4
    assert tree.attrs == {
        "modality": "ieeg", "start_zone": "unknown", "device": "Neuropixels NP1010"
    }  # fmt: skip
    assert not [p for p in raw.problems if p.level != "note"]


def test_volts_of_neuropixels_2_with_channels_left_out(tmp_path: Path) -> None:
    path, _ = np2(tmp_path)
    node = read(path)[0]["ieeg"]
    np.testing.assert_allclose(node["scale"].values, [0.5 / 8192 / 80] * 2, rtol=1e-15)
    assert node["channel"].values.tolist() == ["AP0", "AP2"]
    np.testing.assert_allclose(node["position"].values * 1e6, [[27, 0, 0], [809, 0, 30]])
    assert node["shank"].values.tolist() == [0, 3]
    path, _ = np2(tmp_path, imChan0apGain=100, imMaxInt=2048, imDatPrb_type=2013)
    node = read(path)[0]["ieeg"]
    np.testing.assert_allclose(node["scale"].values, [0.5 / 2048 / 100] * 2, rtol=1e-15)
    path, _ = np2(tmp_path, imDatPrb_type=2013)
    with pytest.raises(UnknownFormatError, match="2013"):
        read(path)


def test_gains_follow_the_saved_channels(tmp_path: Path) -> None:
    path, _ = np1(tmp_path)
    text = path.read_text().replace("0:3,8", "1,3,8").replace("snsApLfSy=4,0,1", "snsApLfSy=2,0,1")
    text = text.replace("nSavedChans=5", "nSavedChans=3").replace("(AP0;0:0)", "")
    text = text.replace("(AP2;2:2)", "").replace("fileSHA1=", "#").replace("#", "fileSHA1=0\nnone=")
    path.write_text(text)
    node = read(path)[0]["ieeg"]
    np.testing.assert_allclose(node["scale"].values, 0.6 / 512 / np.array([250, 50]), rtol=1e-15)
    np.testing.assert_allclose(node["position"].values[:, 2] * 1e6, [0, 20])


def test_volts_of_nidq(tmp_path: Path) -> None:
    path, values = nidq(tmp_path)
    tree = read(path)[0]
    np.testing.assert_allclose(tree["ieeg/scale"].values, [2.5 / 32768 / 200] * 2, rtol=1e-15)
    np.testing.assert_allclose(tree["misc/scale"].values, [2.5 / 32768 / 4, 2.5 / 32768])
    np.testing.assert_array_equal(tree["misc/signal_adc"].values, values[:, 2:4])
    assert tree["misc"].attrs["rate_hz"] == 25000.5
    assert tree["misc/channel"].values.tolist() == ["MA0C0", "XA0"]


def test_bands_of_a_probe_are_one_recording(tmp_path: Path) -> None:
    path, _ = np1(tmp_path)
    other, values = np1(tmp_path, "lf", 10)
    nidq(tmp_path)
    folder = sorted(tmp_path.iterdir())
    assert [p.name.split(".", 1)[1] for p in spikeglx.members(path, folder)] == [
        "imec0.ap.meta", "imec0.lf.meta", "imec0.ap.bin", "imec0.lf.bin"
    ]  # fmt: skip
    assert [p.suffix for p in spikeglx.members(other, folder)] == [".meta", ".bin"]
    tree = read(path)[0]
    np.testing.assert_array_equal(tree["ieeg_lf/signal_adc"].values, values[:, :4])
    assert tree["ieeg_lf"].attrs["start_s"] == pytest.approx(0, abs=1e-12)
    assert set(tree.children) == {
        "ieeg", "digital", "events", "ieeg_lf", "digital_lf", "events_lf"
    }  # fmt: skip


def test_digital_words_and_their_pulses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spikeglx, "SCAN_BYTES", 70)  # seven samples at a time
    path, _ = np1(tmp_path)
    tree = read(path)[0]
    np.testing.assert_array_equal(tree["digital/signal_adc"].values[:, 0], words(120))
    events = tree["events"]
    sync = events["label"].values == "SY0 bit 6"
    np.testing.assert_allclose(events["start_s"].values[sync], np.arange(0, 120, 10) / RATE_HZ)
    np.testing.assert_allclose(events["duration_s"].values[sync], 5 / RATE_HZ)
    late = events["bit"].values == 15
    assert events["start_s"].values[late] == pytest.approx([7 / RATE_HZ])
    assert np.isnan(events["duration_s"].values[late]).all()


def test_data_of_another_hash_are_refused(tmp_path: Path) -> None:
    path, _ = np1(tmp_path)
    data = path.with_suffix(".bin")
    whole = data.read_bytes()
    data.write_bytes(whole[:600] + bytes([whole[600] ^ 1]) + whole[601:])
    with pytest.raises(UnreadableError, match="SHA-1"):
        read(path)
    path, _ = np1(tmp_path, fileSHA1=None)
    _, raw = read(path)
    assert any("SHA-1" in p.found for p in raw.problems)


def test_what_lies_beside_or_not(tmp_path: Path) -> None:
    path, _ = np1(tmp_path)
    data = path.with_suffix(".bin")
    data.rename(path.with_suffix(".cbin"))
    with pytest.raises(UnreadableError, match="compressed"):
        read(path)
    path.with_suffix(".cbin").unlink()
    with pytest.raises(UnreadableError, match="no data"):
        read(path)


def test_older_tags(tmp_path: Path) -> None:
    shanks = cells("1,2,2", [f"0:{n % 2}:{n // 2}:1" for n in range(4)])
    rows = [f"{n} 0 0 {AP_GAIN[n]} {LF_GAIN[n]}" for n in range(4)]
    path, _ = np1(
        tmp_path, imDatPrb_type=None, imProbeOpt=3, imMaxInt=None, imDatPrb_pn=None,
        **{"~snsGeomMap": None, "~snsShankMap": shanks, "~imroTbl": cells("1,3,4", rows)},
    )  # fmt: skip
    tree, raw = read(path)
    np.testing.assert_allclose(tree["ieeg/scale"].values, 0.6 / 512 / np.array(AP_GAIN))
    assert "position" not in tree["ieeg"].coords
    assert any("snsShankMap" in p.where for p in raw.problems)
    path, _ = np1(tmp_path, **{"~snsGeomMap": None})
    with pytest.raises(UnreadableError, match="snsShankMap"):
        read(path)


@pytest.mark.parametrize("maker", [np1, np2, nidq])
def test_neo_reads_the_same(maker: Any, tmp_path: Path) -> None:
    rawio = pytest.importorskip("neo.rawio").SpikeGLXRawIO
    path, _ = maker(tmp_path)
    text = path.read_text()
    path.write_text(text.replace(f"C:/{CANARY}/", "C:/"))
    tree = read(path)[0]
    other = rawio(dirname=str(tmp_path))
    other.parse_header()
    compared = 0
    for place, stream in enumerate(other.header["signal_streams"]):
        names = other.header["signal_channels"]
        own = [str(c["name"]) for c in names if c["stream_id"] == stream["id"]]
        chunk = other.get_analogsignal_chunk(0, 0, None, None, place)
        scaled = other.rescale_signal_raw_to_float(chunk, dtype="float64", stream_index=place)
        factor = 1e-6 if "imec" in str(stream["name"]) else 1.0
        for node in (n for n in ("ieeg", "misc") if n in tree):
            for column, name in enumerate(tree[f"{node}/channel"].values.tolist()):
                if name in own:
                    np.testing.assert_allclose(
                        volts(tree[node])[:, column], scaled[:, own.index(name)] * factor, rtol=1e-5
                    )
                    assert other.get_signal_sampling_rate(place) == tree[node].attrs["rate_hz"]
                    compared += 1
    assert compared >= 2


def test_flips_give_no_foreign_exception(tmp_path: Path) -> None:
    path, _ = np1(tmp_path)
    whole, random = path.read_bytes(), np.random.default_rng(4)
    for _ in range(500):
        damaged = bytearray(whole)
        damaged[int(random.integers(len(whole)))] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            read(path)
        except NeurodataError:
            continue


def test_a_span_that_size_and_rate_contradict_is_told(tmp_path: Path) -> None:
    path, _ = np1(tmp_path, fileTimeSecs=1.0)
    _, raw = read(path)
    assert any(p.level == "warning" and "1 s stated" in p.found for p in raw.problems)


def test_gains_of_a_probe_with_one_gain_a_band(tmp_path: Path) -> None:
    more = {"imDatPrb_type": 1110, "imChan0apGain": 500, "imChan0lfGain": 250}
    path, _ = np1(tmp_path, "lf", **more)
    np.testing.assert_allclose(read(path)[0]["ieeg/scale"].values, 0.6 / 512 / 250, rtol=1e-15)
    path, _ = np1(tmp_path, "lf", **{**more, "imChan0lfGain": None})
    with pytest.raises(UnknownFormatError, match="imChan0lfGain"):
        read(path)
