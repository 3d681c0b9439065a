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
    UnknownFormatError,
    UnreadableError,
    UnsafeError,
)
from neurodata.readers import cifti, nifti
from neurodata.safe import Raw, head
from tests.readers.conformance import (
    HeaderTests,
    PersonalTests,
    ReaderTests,
    flip_bits,
    refused_in_full,
)

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
    refused_in_full(lambda: read(path))


VALUES = np.array([[0.5, 1, 2, 3, np.pi], [-1, -2, -3, -4, 7]], "f4")
KEYS = np.array([[0, 3, 3, 7, 0], [1, 1, 2, 2, 2]], "f4")
TABLES = [{0: "???", 3: "V1", 7: "M1"}, {1: "left", 2: "right", 9: "nowhere"}]
CODES = {"dscalar": 3006, "dlabel": 3007, "pscalar": 3008, "plabel": 3000}


def write_maps(folder: Path, kind: str, values: Any = None, rows: Any = None) -> Path:
    """Write synthetic scalars or labels by nibabel."""
    rows = rows or (parcels() if kind.startswith("p") else grayordinates())
    if kind.endswith("label"):
        coloured = [{k: (name, (0.1, 0.2, 0.3, 1)) for k, name in t.items()} for t in TABLES]
        axis = cifti2.LabelAxis(["areas", "sides"], coloured, [{"UserName": CANARY}] * 2)
        values = KEYS[:, : len(rows)] if values is None else values
    else:
        axis = cifti2.ScalarAxis(["thickness", "zstat"], [{"UserName": CANARY}] * 2)
        values = VALUES[:, : len(rows)] if values is None else values
    image = cifti2.Cifti2Image(values, header=(axis, rows))
    image.header.matrix.metadata = cifti2.Cifti2MetaData({"Provenance": CANARY})
    image.nifti_header.set_intent(CODES[kind])
    path = folder / f"synthetic.{kind}.nii"
    image.to_filename(path)
    return path


PLACES = {
    "a voxel outside the volume": text("1 2 0", "9 2 0"),
    "a vertex beyond the surface": text("0 2 5", "0 2 9"),
    "fewer vertices than a surface has": text('NumberOfVertices="8"', 'NumberOfVertices="5"'),
    "no volume": text("<Volume ", "<Vol "),
    "a smaller volume": text('Dimensions="3,3,3"', 'Dimensions="2,2,2"'),
    "a singular matrix": text(">1.0000000000", ">0.0000000000"),
    "an exponent of no size": text('MeterExponent="-3"', 'MeterExponent="x"'),
}
MAPS = {
    "a series by the intent": put(504, "i", 3002),
    "labels by the intent": put(504, "i", 3007),
    "parcels by the intent": put(504, "i", 3008),
    "one map more": put(16 + 5 * 8, "q", 3),
    "a map without its element": text("<NamedMap>", "<NamelMap>"),
    "labels by the XML": text("TYPE_SCALARS", "TYPE_LABELS"),
    "an unknown type": text("TYPE_SCALARS", "TYPE_SCALARX"),
    "a series by the XML": text("TYPE_SCALARS", "TYPE_SERIES"),
    "integers": put(12, "2h", 8, 32),
    **PLACES,
}
TABLE_LIES = {
    "scalars by the intent": put(504, "i", 3006),
    "a key twice": text('Key="3"', 'Key="7"'),
    "a key that is a word": text('Key="3"', 'Key="x"'),
    "no key": text('Key="3"', 'Kay="3"'),
    "no table": text("LabelTable>", "LabelTably>"),
    "none of the keys": text('Key="1"', 'Key="8"'),
}


class TestScalars(HeaderTests, PersonalTests):
    reader = cifti
    nodes: ClassVar = {"maps": "maps"}
    lazy: ClassVar = ("value", "label")
    lies = MAPS
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return write_maps(folder, "dscalar")


class TestLabels(HeaderTests, PersonalTests):
    reader = cifti
    nodes: ClassVar = {"labels": "maps"}
    lazy: ClassVar = ("value", "label")
    lies: ClassVar = {key: TABLE_LIES[key] for key in TABLE_LIES if key != "none of the keys"}
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return write_maps(folder, "dlabel")


def test_scalars(tmp_path: Path) -> None:
    path = write_maps(tmp_path, "dscalar")
    tree, findings = read(path)
    node = tree["maps"]
    assert tree.attrs == {"modality": "mri"}
    np.testing.assert_array_equal(node["value"], VALUES)
    np.testing.assert_array_equal(node["value"], nibabel.load(path).get_fdata(dtype="f4"))
    assert list(node["map"].values) == ["thickness", "zstat"]
    assert list(node["units"].values) == ["a.u.", "a.u."]
    axis = nibabel.load(path).header.get_axis(1)
    assert list(node["structure"].values) == [
        name.removeprefix("CIFTI_STRUCTURE_") for name in axis.name
    ]
    np.testing.assert_array_equal(node["vertex"], axis.vertex)
    np.testing.assert_array_equal(node["voxel"], axis.voxel)
    np.testing.assert_array_equal(node["vertex"], [0, 2, 5, -1, -1])
    np.testing.assert_array_equal(node["voxel"][3:], [[1, 2, 0], [2, 0, 1]])
    np.testing.assert_array_equal(node["affine"], axis.affine)
    assert node["affine"].attrs == {"units": "mm"}
    assert list(node["surface"].values) == ["CORTEX_LEFT"]
    assert list(node["vertex_count"].values) == [8]
    assert "removed" in findings
    assert [p for p in schema.validate(tree) if p.level == "error"] == []


def test_units_and_modality_of_scalars_are_declared(tmp_path: Path) -> None:
    path = write_maps(tmp_path, "dscalar")
    tree, _ = read(path, modality="fmri", **{"units.thickness": "mm", "units.zstat": "1"})
    assert tree.attrs["modality"] == "fmri"
    assert list(tree["maps"]["units"].values) == ["m", "1"]
    np.testing.assert_allclose(tree["maps"]["value"][0], VALUES[0] / 1e3, rtol=1e-6)
    assert tree["maps"]["value"].dtype == "f4"


@pytest.mark.parametrize("dtype", ["f4", "i4", "u1", "f8"])
def test_labels(dtype: str, tmp_path: Path) -> None:
    path = write_maps(tmp_path, "dlabel", KEYS.astype(dtype))
    node = read(path)[0]["labels"]
    np.testing.assert_array_equal(node["label"], KEYS)
    assert node["label"].dtype == "i4"
    axis = nibabel.load(path).header.get_axis(0)
    for number, table in enumerate(axis.label):
        mine = node["label_map"].values == number
        keys, names = node["label_key"].values[mine], node["label_name"].values[mine]
        expected = {key: name for key, (name, _) in table.items()}
        assert dict(zip(keys.tolist(), names, strict=True)) == expected == TABLES[number]


def test_labels_of_no_name_or_no_number(tmp_path: Path) -> None:
    _, findings = read(write_maps(tmp_path, "dlabel", np.where(KEYS == 7, 8, KEYS)))
    assert "areas: found 1 label(s) without a name: 8" in findings
    odd = [KEYS + 0.5, KEYS * np.nan, KEYS.astype("f8") + 2.0**31, KEYS + 100]
    for values, found in zip(odd, ["no labels"] * 3 + ["no name of any"], strict=True):
        with pytest.raises(UnreadableError, match=found):
            read(write_maps(tmp_path, "dlabel", values.astype("f8")))


@pytest.mark.parametrize("kind", ["pscalar", "plabel"])
def test_maps_of_parcels(kind: str, tmp_path: Path) -> None:
    tree, _ = read(write_maps(tmp_path, kind))
    node = tree["labels" if kind == "plabel" else "maps"]
    assert list(node["place"].values) == ["V1", "M1"]
    assert "vertex" not in node
    values = node["label" if kind == "plabel" else "value"]
    np.testing.assert_array_equal(values, (KEYS if kind == "plabel" else VALUES)[:, :2])
    assert [p for p in schema.check(tree) if p.level == "error"] == []


def test_metres_and_millimetres_of_the_volume(tmp_path: Path) -> None:
    path = write_maps(tmp_path, "dscalar")
    whole = path.read_bytes()
    assert b'MeterExponent="-3"' in whole
    path.write_bytes(text('MeterExponent="-3"', 'MeterExponent="0"')(whole))
    np.testing.assert_array_equal(read(path)[0]["maps"]["affine"], np.diag([1e3, 1e3, 1e3, 1]))


@pytest.mark.parametrize("story", [*MAPS, *TABLE_LIES])
def test_lies_of_maps_say_where_and_what(story: str, tmp_path: Path) -> None:
    path = write_maps(tmp_path, "dlabel" if story in TABLE_LIES else "dscalar")
    change = {**MAPS, **TABLE_LIES}[story]
    whole = path.read_bytes()
    if story == "none of the keys":  # 1 and 2, which the second map has
        whole = text('Key="2"', 'Key="6"')(whole)
    assert change(whole) != whole
    path.write_bytes(change(whole))
    refused_in_full(lambda: read(path)[0].load())


def test_connectivity_is_refused(tmp_path: Path) -> None:
    rows = grayordinates()
    image = cifti2.Cifti2Image(np.zeros((5, 5), "f4"), (rows, rows))
    path = tmp_path / "synthetic.dconn.nii"
    for intent in (3000, 3001):
        image.nifti_header.set_intent(intent)
        image.to_filename(path)
        assert cifti.sniff(head(path), path)
        with pytest.raises(UnknownFormatError, match="not read"):
            read(path)


def test_entities_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    shorter = whole.replace(CANARY.encode(), b"", 1)
    path.write_bytes(shorter.replace(b"<CIFTI", b"<!DOCTYPE a> <CIFTI", 1))
    assert path.stat().st_size == len(whole)
    with pytest.raises(UnsafeError, match="document type"):
        read(path)


def test_nifti_says_yes_as_well_so_that_this_reader_stands_before_it(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert nifti.sniff(head(path), path)
    assert cifti.sniff(head(path), path)


def test_bit_flips(tmp_path: Path) -> None:
    path = write(tmp_path)
    flip_bits(path, 300, lambda: read(path)[0].load())
