"""CIFTI-2 series: matrix, rows and clock against nibabel and numpy."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import nibabel
import numpy as np
import pytest
import xarray as xr
from nibabel import cifti2

from neurodata import schema
from neurodata.declare import Declared
from neurodata.errors import (
    MissingFactError,
    NeurodataError,
    RefusedError,
    UnknownFormatError,
    UnreadableError,
)
from neurodata.readers import cifti, nifti
from neurodata.safe import Raw, head
from tests.readers.conformance import HeaderTests, PersonalTests, ReaderTests

CANARY = "Jane Q Canary"
TIMES = 5


def grayordinates() -> cifti2.BrainModelAxis:
    left = cifti2.BrainModelAxis.from_surface([0, 2, 5], 8, "CORTEX_LEFT")
    mask = np.zeros((3, 3, 3), bool)
    mask[1, 2, 0] = mask[2, 0, 1] = True
    return left + cifti2.BrainModelAxis.from_mask(mask, affine=np.eye(4), name="thalamus_left")


NAMES = ["CORTEX_LEFT:0", "CORTEX_LEFT:2", "CORTEX_LEFT:5", "THALAMUS_LEFT:1,2,0",
         "THALAMUS_LEFT:2,0,1"]  # fmt: skip


def write(
    folder: Path, rows: Any = None, series: Any = None, kind: str = "dtseries", **header: Any
) -> Path:
    """Write a synthetic series whose numbers all differ."""
    rows = rows or grayordinates()
    series = series or cifti2.SeriesAxis(0.5, 0.8, TIMES)
    values = np.arange(len(series) * len(rows), dtype="f4").reshape(len(series), len(rows))
    image = cifti2.Cifti2Image(values, header=(series, rows))
    image.header.matrix.metadata = cifti2.Cifti2MetaData({"Provenance": CANARY})
    image.nifti_header.set_intent({"dtseries": 3002, "ptseries": 3004}.get(kind, 3006))
    path = folder / f"synthetic.{kind}.nii"
    image.to_filename(path)
    return path


def read(path: Path, **facts: Any) -> tuple[xr.DataTree, str]:
    """Return the tree and the findings as one text."""
    raw = Raw(path.parent, cifti.members(path, sorted(path.parent.iterdir())))
    return cifti.read(raw, Declared(facts)), "\n".join(map(str, raw.problems))


def text(old: str, new: str) -> Callable[[bytes], bytes]:
    """Change the XML, its length kept by spaces in a tag."""

    def change(whole: bytes) -> bytes:
        shorter = len(old) - len(new)
        assert shorter >= 0
        if new.endswith('"'):
            return whole.replace(old.encode(), new.encode() + b" " * shorter, 1)
        return whole.replace(old.encode(), new.encode().ljust(len(old)), 1)

    return change


def put(field: int, form: str, *values: float) -> Callable[[bytes], bytes]:
    def change(whole: bytes) -> bytes:
        data = bytearray(whole)
        struct.pack_into("<" + form, data, field, *values)
        return bytes(data)

    return change


IMPOSSIBLE = {
    "another kind": put(504, "i", 3006),
    "unknown kind": put(504, "i", 3099),
    "one row more": put(16 + 6 * 8, "q", 6),
    "one time more": put(16 + 5 * 8, "q", 6),
    "a thousand million rows": put(16 + 6 * 8, "q", 10**9),
    "two columns of voxels": put(16 + 8, "q", 2),
    "integers": put(12, "2h", 8, 32),
    "scaled": put(176, "d", 2.0),
    "slope NaN": put(176, "d", float("nan")),
    "matrix past the end": put(168, "q", 10**7),
    "matrix in the text": put(168, "q", 560),
    "an extension of another kind": put(548, "i", 6),
    "an extension of no length": put(544, "i", 0),
    "an extension past the matrix": put(544, "i", 10**6),
    "no XML": text("<CIFTI", "CIFTI"),
    "another version": text('Version="2', 'Version="9'),
    "points in time": text('NumberOfSeriesPoints="5"', 'NumberOfSeriesPoints="4"'),
    "a unit of space": text('SeriesUnit="SECOND"', 'SeriesUnit="METER"'),
    "milliseconds as seconds": text('SeriesExponent="0"', 'SeriesExponent="3"'),
    "step 0": text('SeriesStep="0.8"', 'SeriesStep="0"'),
    "step NaN": text('SeriesStep="0.8"', 'SeriesStep="nan"'),
    "a word for the exponent": text('SeriesExponent="0"', 'SeriesExponent="x"'),
    "rows elsewhere": text('IndexOffset="3"', 'IndexOffset="2"'),
    "rows beyond the matrix": text('IndexOffset="3"', 'IndexOffset="9"'),
    "more rows than places": text('IndexCount="3"', 'IndexCount="4"'),
    "a vertex twice": text("0 2 5", "0 2 2"),
}


class TestCifti(HeaderTests, PersonalTests):
    reader = cifti
    nodes: ClassVar = {"bold": "timeseries"}
    lies = IMPOSSIBLE
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return write(folder)

    def test_quality_finds_nothing_wrong(self, path: Path) -> None:
        assert [p for p in schema.validate(self.read(path)) if p.level == "error"] == []


class TestParcels(ReaderTests):
    reader = cifti
    nodes: ClassVar = {"bold": "timeseries"}

    def make(self, folder: Path) -> Path:
        return write(folder, parcels(), kind="ptseries")

    def test_parcels_are_channels(self, path: Path) -> None:
        assert list(self.read(path)["bold"]["channel"].values) == ["V1", "M1"]


def parcels() -> cifti2.ParcelsAxis:
    whole = grayordinates()
    return cifti2.ParcelsAxis.from_brain_models([("V1", whole[:3]), ("M1", whole[3:])])


def test_series(tmp_path: Path) -> None:
    path = write(tmp_path)
    tree, findings = read(path)
    node = tree["bold"]
    assert tree.attrs == {"modality": "fmri"}
    assert node["signal"].dims == ("time", "channel")
    values = np.arange(25, dtype="f4").reshape(5, 5)
    np.testing.assert_array_equal(node["signal"].values, values)
    np.testing.assert_array_equal(node["signal"].values, nibabel.load(path).get_fdata())
    assert list(node["channel"].values) == NAMES
    assert list(node["structure"].values) == ["CORTEX_LEFT"] * 3 + ["THALAMUS_LEFT"] * 2
    clock = {key: node.attrs[key] for key in ("start_s", "rate_hz", "n")}
    assert clock == {"start_s": 0.5, "rate_hz": 1.25, "n": 5}
    whole = path.read_bytes()  # times are the fastest axis of the file
    offset = struct.unpack("<q", whole[168:176])[0]
    np.testing.assert_array_equal(np.frombuffer(whole, "<f4", 25, offset).reshape(5, 5).T, values)
    assert "removed" in findings


def test_milliseconds_are_told_by_the_exponent(tmp_path: Path) -> None:
    path = write(tmp_path, series=cifti2.SeriesAxis(0, 800, TIMES))
    with pytest.raises(MissingFactError, match="800 s"):
        read(path)
    assert read(path, rate_hz=1.25)[0]["bold"].attrs["rate_hz"] == 1.25


@pytest.mark.parametrize("story", IMPOSSIBLE)
def test_impossible_header_says_where_and_what(story: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(IMPOSSIBLE[story](path.read_bytes()))
    with pytest.raises(RefusedError) as caught:
        read(path)
    assert caught.value.where.startswith("synthetic")
    assert caught.value.found
    assert caught.value.expected


def test_scalars_are_refused(tmp_path: Path) -> None:
    rows = grayordinates()
    image = cifti2.Cifti2Image(np.zeros((2, 5), "f4"), (cifti2.ScalarAxis(["a", "b"]), rows))
    path = tmp_path / "synthetic.dscalar.nii"
    image.to_filename(path)
    assert cifti.sniff(head(path), path)
    with pytest.raises(UnknownFormatError, match="3000"):
        read(path)


def test_entities_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(CANARY.encode(), b"<!DOCTYPE a>x", 1))
    assert path.stat().st_size == len(whole)
    with pytest.raises(UnreadableError, match="document type"):
        read(path)


def test_nifti_says_yes_as_well_so_that_this_reader_stands_before_it(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert nifti.sniff(head(path), path)
    assert cifti.sniff(head(path), path)


def test_bit_flips(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    random = np.random.default_rng(3)
    for bit in random.choice(8 * len(whole), 300, replace=False):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        try:
            read(path)[0].load()
        except NeurodataError:
            continue
