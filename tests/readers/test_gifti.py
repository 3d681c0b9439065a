"""GIFTI: documents written by hand here, and nibabel's own files, against base64 and zlib."""

from __future__ import annotations

import base64
import gzip
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import nibabel
import numpy as np
import pytest
import xarray as xr

from neurodata import schema
from neurodata.declare import Declared
from neurodata.errors import (
    MissingFactError,
    NeurodataError,
    UnknownFormatError,
    UnreadableError,
    UnsafeError,
)
from neurodata.ingestion import ingest
from neurodata.readers import gifti
from neurodata.report import write_report
from neurodata.safe import Raw, head
from neurodata.store import open_store
from tests.readers.conformance import HeaderTests, PersonalTests, flip_bits, refused_in_full

CANARY = "Jane Q Canary"
NIBABEL = Path(nibabel.__file__).parent / "gifti/tests/data"
DOCTYPE = '<!DOCTYPE GIFTI SYSTEM "http://www.nitrc.org/frs/download.php/115/gifti.dtd">'
POINTS = np.array([[-16, -66, 21], [-17, -66.5, 21], [-17, -65, 61.5], [40, 0, 0]], "f4")
FACES = np.array([[0, 1, 2], [1, 2, 3]], "i4")
TYPES = {"u1": "UINT8", "i2": "INT16", "i4": "INT32", "f4": "FLOAT32", "f8": "FLOAT64"}
MATRIX = np.array([[1.0, 0, 0, 12], [0, 0, -1, 0], [0, 1, 0, -3], [0, 0, 0, 1]])


def entries(facts: dict[str, str]) -> str:
    inside = "".join(
        f"<MD><Name>{key}</Name><Value><![CDATA[{value}]]></Value></MD>"
        for key, value in facts.items()
    )
    return f"<MetaData>{inside}</MetaData>"


def array(
    intent: str,
    values: np.ndarray,
    facts: dict[str, str] | None = None,
    encoding: str = "GZipBase64Binary",
    endian: str = "LittleEndian",
    order: str = "RowMajorOrder",
    space: tuple[str, str, np.ndarray] | None = None,
) -> str:
    """A synthetic DataArray, written without nibabel."""
    code = values.dtype.str[1:]
    mark = "<" if endian == "LittleEndian" else ">"
    data = values.astype(mark + code).tobytes("C" if order == "RowMajorOrder" else "F")
    if encoding == "ASCII":
        text = " ".join(map(str, values.ravel().tolist()))
    else:
        packed = zlib.compress(data) if encoding.startswith("GZip") else data
        text = base64.b64encode(packed).decode()
    system = ""
    if space:
        system = (
            "<CoordinateSystemTransformMatrix>"
            f"<DataSpace>NIFTI_XFORM_{space[0]}</DataSpace>"
            f"<TransformedSpace>NIFTI_XFORM_{space[1]}</TransformedSpace>"
            f"<MatrixData>{' '.join(map(str, space[2].ravel()))}</MatrixData>"
            "</CoordinateSystemTransformMatrix>"
        )
    dims = " ".join(f'Dim{axis}="{size}"' for axis, size in enumerate(values.shape))
    return (
        f'<DataArray Intent="NIFTI_INTENT_{intent}" DataType="NIFTI_TYPE_{TYPES[code]}" '
        f'ArrayIndexingOrder="{order}" Dimensionality="{values.ndim}" {dims} '
        f'Encoding="{encoding}" Endian="{endian}" ExternalFileName="" ExternalFileOffset="">'
        f"{entries({'UserName': CANARY, **(facts or {})})}{system}<Data>{text}</Data></DataArray>"
    )


def document(*arrays: str, table: str = "", facts: dict[str, str] | None = None) -> bytes:
    said = entries({"SubjectID": CANARY, "Date": CANARY, CANARY: "1", **(facts or {})})
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n{DOCTYPE}\n'
        f'<GIFTI Version="1.0" NumberOfDataArrays="{len(arrays)}">\n{said}\n'
        f"<LabelTable>{table}</LabelTable>\n" + "\n".join(arrays) + "\n</GIFTI>\n"
    ).encode()


LEFT = {"AnatomicalStructurePrimary": "CortexLeft", "GeometricType": "Anatomical"}
TABLE = '<Label Key="0">???</Label><Label Key="3" Red="1">V1</Label><Label Key="7">M1</Label>'
SPACE = ("SCANNER_ANAT", "MNI_152", MATRIX)


def surface(**form: Any) -> bytes:
    return document(
        array("POINTSET", POINTS, {**LEFT, "AnatomicalStructureSecondary": CANARY}, space=SPACE,
              **form),
        array("TRIANGLE", FACES, **form),
    )  # fmt: skip


def maps() -> bytes:
    values = np.array([[0.5, 1.5, 2.5, np.pi], [1, 2, 3, 5]], "f4")
    return document(
        array("SHAPE", values[0], {"Name": f"/home/{CANARY}/lh.thickness"}),
        array("ZSCORE", values[1][:, None], {"Name": "zstat"}),
        facts=LEFT,
    )


def labels(keys: tuple[int, ...] = (0, 3, 3, 7), table: str = TABLE) -> bytes:
    return document(array("LABEL", np.array(keys, "i4"), {"Name": "areas"}), table=table)


SERIES = np.arange(12, dtype="f4").reshape(3, 4) ** 2


def series(step: str = "1500.0") -> bytes:
    rows = [array("TIME_SERIES", row, {"TimeStep": step}) for row in SERIES]
    return document(*rows, facts={"AnatomicalStructurePrimary": "CortexRight"})


def write(folder: Path, content: bytes, name: str = "synthetic.gii") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def read(path: Path, *beside: Path, **facts: Any) -> tuple[xr.DataTree, str]:
    """Return the tree and the findings as one text."""
    raw = Raw(path.parent, (path, *beside))
    return gifti.read(raw, Declared(facts)), "\n".join(map(str, raw.problems))


def sub(pattern: str, new: str) -> Callable[[bytes], bytes]:
    return lambda whole: re.sub(pattern.encode(), new.encode(), whole, count=1)


def unbounded(whole: bytes) -> bytes:
    """Make the first array unpack to far more than it states."""
    packed = base64.b64encode(zlib.compress(bytes(2**24)))
    return re.sub(rb"<Data>[^<]*", b"<Data>" + packed, whole, count=1)


LIES = {
    "one vertex more": sub('Dim0="4"', 'Dim0="5"'),
    "a thousand million vertices": sub('Dim0="4"', 'Dim0="1000000000"'),
    "no vertices": sub('Dim0="4"', 'Dim0="0"'),
    "vertices less than none": sub('Dim0="4"', 'Dim0="-4"'),
    "two coordinates": sub('Dim1="3"', 'Dim1="2"'),
    "a third axis": sub('Dim1="3"', 'Dim1="3" Dim2="1"'),
    "an axis without a size": sub('Dimensionality="2"', 'Dimensionality="3"'),
    "ninety axes": sub('Dimensionality="2"', 'Dimensionality="90"'),
    "another type": sub("FLOAT32", "FLOAT64"),
    "colours": sub("NIFTI_TYPE_FLOAT32", "NIFTI_TYPE_RGB24"),
    "integers as coordinates": sub("FLOAT32", "INT32"),
    "another byte order": sub("LittleEndian", "BigEndian"),
    "no byte order": sub('Endian="LittleEndian"', ""),
    "no order of indices": sub("RowMajorOrder", "SomeOrder"),
    "another encoding": sub("GZipBase64Binary", "Base64Binary"),
    "text as numbers": sub("GZipBase64Binary", "ASCII"),
    "an unknown encoding": sub("GZipBase64Binary", "Base85"),
    "an unknown intent": sub("INTENT_POINTSET", "INTENT_FAME"),
    "another intent": sub("INTENT_POINTSET", "INTENT_VECTOR"),
    "two sets of points": sub("INTENT_TRIANGLE", "INTENT_POINTSET"),
    "no base64": sub("<Data>....", "<Data>!!!!"),
    "no data": sub("<Data>[^<]*</Data>", ""),
    "empty data": sub("<Data>[^<]*", "<Data>"),
    "data twice": sub("</Data>", "</Data><Data></Data>"),
    "data outside arrays": sub("<LabelTable>", "<Data>AAAA</Data><LabelTable>"),
    "one array inside another": sub("<Data>", '<DataArray Intent="x"/><Data>'),
    "three arrays": sub('Arrays="2"', 'Arrays="3"'),
    "one array": sub('Arrays="2"', 'Arrays="1"'),
    "no count of arrays": sub('NumberOfDataArrays="2"', ""),
    "another document": sub("<GIFTI(.|\\n)*</GIFTI>", "<GIFTI2/>"),
    "unpacks to more": unbounded,
    "a singular matrix": sub("<MatrixData>[^<]*", "<MatrixData>" + "0 " * 16),
    "a matrix of nine": sub("<MatrixData>[^<]*", "<MatrixData>1 0 0 0 1 0 0 0 1"),
    "a matrix of NaN": sub("<MatrixData>1.0", "<MatrixData>nan"),
    "an unknown space": sub("XFORM_SCANNER_ANAT", "XFORM_MOON"),
}


class TestSurface(HeaderTests, PersonalTests):
    reader = gifti
    nodes: ClassVar = {"surface": "surface"}
    lazy: ClassVar = ()
    lies = LIES
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return write(folder, surface(), "synthetic.surf.gii")


class TestMaps(PersonalTests):
    reader = gifti
    nodes: ClassVar = {"maps": "maps"}
    lazy: ClassVar = ()
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return write(folder, maps(), "synthetic.shape.gii")


class TestLabels(PersonalTests):
    reader = gifti
    nodes: ClassVar = {"labels": "maps"}
    lazy: ClassVar = ()
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return write(folder, labels(), "synthetic.label.gii")


class TestSeries(PersonalTests):
    reader = gifti
    nodes: ClassVar = {"bold": "timeseries"}
    declare: ClassVar = {"rate_hz": 1 / 1.5}
    lazy: ClassVar = ()
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return write(folder, series(), "synthetic.func.gii")


# ---- values


@pytest.mark.parametrize("encoding", ["ASCII", "Base64Binary", "GZipBase64Binary"])
@pytest.mark.parametrize("endian", ["LittleEndian", "BigEndian"])
@pytest.mark.parametrize("order", ["RowMajorOrder", "ColumnMajorOrder"])
def test_surface(encoding: str, endian: str, order: str, tmp_path: Path) -> None:
    if encoding == "ASCII" and order == "ColumnMajorOrder":
        return
    path = write(tmp_path, surface(encoding=encoding, endian=endian, order=order))
    tree, findings = read(path)
    node = tree["surface"]
    assert tree.attrs == {"modality": "mri"}
    np.testing.assert_allclose(node["position"], POINTS.astype("f8") / 1e3, rtol=1e-7)
    assert node["position"].dtype == "f4"
    assert node["position"].attrs == {"units": "m", "space": "scanner"}
    np.testing.assert_array_equal(node["face"], FACES)
    assert list(node["axis"].values) == ["x", "y", "z"]
    assert node.attrs["structure"] == "CORTEX_LEFT"
    assert node.attrs["geometry"] == "Anatomical"
    assert "layer" not in node.attrs
    assert node["transform"].attrs == {"units": "m", "space": "mni"}
    moved = node["transform"].values @ [*node["position"].values[0], 1]
    np.testing.assert_allclose(moved[:3] * 1e3, (MATRIX @ [*POINTS[0], 1])[:3], rtol=1e-6)
    assert "removed" in findings


def test_an_identity_within_one_space_is_no_transform(tmp_path: Path) -> None:
    space = ("TALAIRACH", "TALAIRACH", np.eye(4))
    content = document(array("POINTSET", POINTS, space=space), array("TRIANGLE", FACES))
    node = read(write(tmp_path, content))[0]["surface"]
    assert node["position"].attrs["space"] == "talairach"
    assert "transform" not in node


def test_implausible_extents_are_findings(tmp_path: Path) -> None:
    metres = document(array("POINTSET", POINTS / 1e3), array("TRIANGLE", FACES))
    assert "0.0665 mm from end to end" in read(write(tmp_path, metres))[1]


def test_maps(tmp_path: Path) -> None:
    tree, findings = read(write(tmp_path, maps()))
    node = tree["maps"]
    assert node["value"].dims == ("map", "place")
    np.testing.assert_array_equal(
        node["value"], np.array([[0.5, 1.5, 2.5, np.pi], [1, 2, 3, 5]], "f4")
    )
    assert list(node["map"].values) == ["lh.thickness", "zstat"]
    assert list(node["units"].values) == ["a.u.", "a.u."]
    assert list(node["vertex"].values) == [0, 1, 2, 3]
    assert node.attrs["structure"] == "CORTEX_LEFT"
    assert CANARY not in findings


@pytest.mark.parametrize(
    ("stated", "name"),
    [("T1w/T2w", "T1w/T2w"), ("/data/x/lh.curv", "lh.curv"), ("../lh.curv", "lh.curv"),
     ("C:\\x y\\lh.curv", "lh.curv"), ("sub/surf/lh.curv", "lh.curv"), ("~/lh.curv", "lh.curv"),
     ("", "map 1"), ("/", "map 1"), (" zstat ", "zstat")],
)  # fmt: skip
def test_names_of_maps_are_no_paths(stated: str, name: str, tmp_path: Path) -> None:
    content = document(array("SHAPE", np.arange(3.0), {"Name": stated}))
    assert list(read(write(tmp_path, content))[0]["maps"]["map"].values) == [name]


def test_units_of_maps_are_declared(tmp_path: Path) -> None:
    path = write(tmp_path, maps())
    node = read(path, **{"units.lh.thickness": "mm", "modality": "fmri"})[0]["maps"]
    assert list(node["units"].values) == ["m", "a.u."]
    np.testing.assert_allclose(node["value"][0], np.array([0.5, 1.5, 2.5, np.pi]) / 1e3, rtol=1e-6)
    np.testing.assert_array_equal(node["value"][1], [1, 2, 3, 5])
    with pytest.raises(MissingFactError, match="thickness"):
        read(path, **{"units.lh.thickness": "furlong"})


def test_maps_on_some_vertices(tmp_path: Path) -> None:
    values, index = np.array([2.0, 4.0], "f8"), np.array([7, 3], "i4")
    node = read(write(tmp_path, document(array("NODE_INDEX", index), array("NONE", values))))[0]
    assert list(node["maps"]["vertex"].values) == [7, 3]
    assert node["maps"]["value"].dtype == "f8"
    assert list(node["maps"]["map"].values) == ["map 1"]


def test_integers_become_floats_without_loss(tmp_path: Path) -> None:
    values = np.array([2**31 - 1, 5], "i4")
    node = read(write(tmp_path, document(array("NONE", values))))[0]["maps"]
    np.testing.assert_array_equal(node["value"][0], values)
    small = np.array([255, 5], "u1")
    assert read(write(tmp_path, document(array("NONE", small))))[0]["maps"]["value"].dtype == "f4"


def test_labels(tmp_path: Path) -> None:
    node = read(write(tmp_path, labels()))[0]["labels"]
    np.testing.assert_array_equal(node["label"], [[0, 3, 3, 7]])
    assert list(node["label_key"].values) == [0, 3, 7]
    assert list(node["label_name"].values) == ["???", "V1", "M1"]
    assert list(node["label_map"].values) == [0, 0, 0]


def test_labels_without_names(tmp_path: Path) -> None:
    tree, findings = read(write(tmp_path, labels((0, 3, 9, 7))))
    assert "1 label(s) without a name: 9" in findings
    assert schema.check(tree) == []
    with pytest.raises(UnreadableError, match=r"no name of any of 1 labels, e\.g\. 9"):
        read(write(tmp_path, labels((9, 9, 9, 9))))
    with pytest.raises(UnreadableError, match="the key 3 twice"):
        read(write(tmp_path, labels(table=TABLE + '<Label Key="3">x</Label>')))
    with pytest.raises(UnreadableError, match="no whole numbers"):
        read(write(tmp_path, document(array("LABEL", np.zeros(3, "f4")))))


def test_surface_with_maps(tmp_path: Path) -> None:
    mesh = (array("POINTSET", POINTS), array("TRIANGLE", FACES))
    tree = read(write(tmp_path, document(*mesh, array("SHAPE", np.arange(4.0)))))[0]
    assert set(tree.children) == {"surface", "maps"}
    with pytest.raises(UnreadableError, match="data of 3 vertices"):
        read(write(tmp_path, document(*mesh, array("SHAPE", np.arange(3.0)))))
    index = array("NODE_INDEX", np.array([0, 4], "i4"))
    with pytest.raises(UnreadableError, match="vertices 0 to 4"):
        read(write(tmp_path, document(*mesh, index, array("SHAPE", np.arange(2.0)))))


# ---- time


def test_series_by_declaration(tmp_path: Path) -> None:
    tree, findings = read(write(tmp_path, series()), rate_hz=1 / 1.5, start_s=0.75)
    node = tree["bold"]
    assert tree.attrs["modality"] == "fmri"
    np.testing.assert_array_equal(node["signal"], SERIES)
    assert list(node["channel"].values) == [f"CORTEX_RIGHT:{n}" for n in range(4)]
    assert (node.attrs["start_s"], node.attrs["n"]) == (0.75, 3)
    assert node.attrs["rate_hz"] == pytest.approx(1 / 1.5)
    assert "compare" not in findings
    assert "compare the sources" in read(write(tmp_path, series()), rate_hz=1.0)[1]


@pytest.mark.parametrize(
    ("step", "hint"), [("1500.0", "0.666667"), ("1.5", "0.666667"), ("0", "<Hz>"), ("x", "<Hz>")]
)
def test_a_time_step_has_no_unit(step: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(MissingFactError) as caught:
        read(write(tmp_path, series(step)))
    assert caught.value.hint.replace("'", "") == f"declare it: --set rate_hz={hint}"


def test_series_by_the_side_car(tmp_path: Path) -> None:
    path = write(tmp_path, series(), "sub-01_task-rest_hemi-R_bold.func.gii")
    beside = tmp_path / "sub-01_task-rest_bold.json"
    beside.write_text('{"RepetitionTime": 1.5}')
    assert gifti.members(path, [path, beside]) == (path, beside)
    tree, _ = read(path, beside)
    assert tree["bold"].attrs["rate_hz"] == pytest.approx(1 / 1.5)
    assert tree.attrs["subject"] == "01"
    beside.write_text('{"RepetitionTime": 1500}')
    with pytest.raises(MissingFactError, match="1500 s"):
        read(path, beside)
    for word in ("1" + "0" * 400, '"1.5"', "true", "-1", "null"):
        beside.write_text(f'{{"RepetitionTime": {word}}}')
        with pytest.raises(UnreadableError, match="seconds over 0"):
            read(path, beside)


# ---- what is refused


@pytest.mark.parametrize("story", LIES)
def test_lies_say_where_and_what(story: str, tmp_path: Path) -> None:
    path = write(tmp_path, LIES[story](surface()))
    refused_in_full(lambda: read(path))


HOSTILE = {
    "entities": sub(re.escape(DOCTYPE), '<!DOCTYPE GIFTI [<!ENTITY a "b">]>'),
    "entities after the grammar": sub('dtd">', 'dtd" [<!ENTITY a SYSTEM "file:///etc/passwd">]>'),
    "a public grammar": sub("SYSTEM", 'PUBLIC "a"'),
    "another element's grammar": sub("DOCTYPE GIFTI", "DOCTYPE gifti"),
    "two grammars": sub(re.escape(DOCTYPE), DOCTYPE + DOCTYPE.replace("GIFTI", "OTHER")),
    "an external file": sub('ExternalFileName=""', 'ExternalFileName="/etc/passwd"'),
    "external binary": sub("GZipBase64Binary", "ExternalFileBinary"),
}


@pytest.mark.parametrize("story", HOSTILE)
def test_hostile_documents(story: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeError):
        read(write(tmp_path, HOSTILE[story](surface())))


def test_many_arrays_are_bounded(tmp_path: Path) -> None:
    rows = [array("SHAPE", np.zeros(4, "f4")).replace('Dim0="4"', f'Dim0="{2**28}"')] * 3
    with pytest.raises(NeurodataError, match=r"over 2147483648 bytes|16 bytes"):
        read(write(tmp_path, document(*rows)))


@pytest.mark.parametrize("intent", ["VECTOR", "RGB_VECTOR", "RGBA_VECTOR", "GENMATRIX"])
def test_other_intents_are_refused(intent: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownFormatError, match="intent"):
        read(write(tmp_path, document(array(intent, np.zeros((4, 3), "f4")))))


def test_half_surfaces_and_wide_maps_are_refused(tmp_path: Path) -> None:
    for content, found in (
        (document(array("TRIANGLE", FACES)), "0 sets of points"),
        (document(array("POINTSET", POINTS)), "0 of triangles"),
        (document(array("SHAPE", np.zeros((4, 2), "f4"))), r"\[4, 2\] numbers"),
    ):
        with pytest.raises(UnknownFormatError, match=found):
            read(write(tmp_path, content))
    for content, found in (
        (document(array("TRIANGLE", FACES + 2), array("POINTSET", POINTS)), "vertex 5"),
        (document(array("TRIANGLE", FACES - 1), array("POINTSET", POINTS)), "vertex -1"),
        (document(array("TRIANGLE", FACES), array("POINTSET", POINTS * np.nan)), "not finite"),
        (document(array("SHAPE", np.zeros(4)), array("SHAPE", np.zeros(3))), r"\[3, 4\]"),
        (document(array("SHAPE", np.zeros(2)), array("NODE_INDEX", np.ones(2, "i4"))), "twice"),
        (document(), "no data"),
    ):
        with pytest.raises(UnreadableError, match=found):
            read(write(tmp_path, content))


def test_bit_flips(tmp_path: Path) -> None:
    for content, facts in ((surface(), {}), (series(), {"rate_hz": 0.5}), (labels(), {})):
        path = write(tmp_path, content)

        def sound(path: Path = path, facts: dict[str, Any] = facts) -> None:
            assert [p for p in schema.check(read(path, **facts)[0]) if p.level == "error"] == []

        flip_bits(path, 120, sound)


def test_packed_documents(tmp_path: Path) -> None:
    plain, packed = write(tmp_path, maps()), tmp_path / "synthetic.gii.gz"
    packed.write_bytes(gzip.compress(maps()))
    assert gifti.sniff(head(packed), packed)
    xr.testing.assert_identical(read(plain)[0].to_dataset(), read(packed)[0].to_dataset())
    packed.write_bytes(gzip.compress(maps())[:-5])
    with pytest.raises(UnreadableError):
        read(packed)


# ---- nibabel's own files, decoded here by base64 and zlib


def decoded(path: Path, dtype: str, index: int = 0) -> np.ndarray:
    text = re.findall(rb"<Data>([^<]*)</Data>", path.read_bytes())[index]
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype)


def test_real_curvature() -> None:
    path = NIBABEL / "rh.shape.curv.gii"
    node = read(path)[0]["maps"]
    assert dict(node.sizes) == {"place": 133764, "map": 1}
    np.testing.assert_array_equal(node["value"][0], decoded(path, "<f4"))
    np.testing.assert_array_equal(node["value"][0], nibabel.load(path).agg_data().ravel())
    assert list(node["map"].values) == ["rh.curv"]
    assert node.attrs["structure"] == "CORTEX_RIGHT"
    assert "nicks" not in str(node)


def test_real_folding_and_series() -> None:
    path = NIBABEL / "gzipbase64.gii"
    np.testing.assert_array_equal(read(path)[0]["maps"]["value"][0], decoded(path, "<f4"))
    path = NIBABEL / "task.func.gii"
    node = read(path, rate_hz=0.5)[0]["bold"]
    assert node["signal"].shape == (10, 642)
    for number in (0, 4, 9):
        np.testing.assert_array_equal(node["signal"][number], decoded(path, "<f4", number))
    with pytest.raises(MissingFactError, match="no repetition time"):
        read(path)


def test_real_labels() -> None:
    path = NIBABEL / "rh.aparc.annot.gii"
    tree, findings = read(path)
    node = tree["labels"]
    np.testing.assert_array_equal(node["label"][0], decoded(path, "<i4"))
    names = dict(zip(node["label_key"].values.tolist(), node["label_name"].values, strict=True))
    assert names == nibabel.load(path).labeltable.get_labels_as_dict()
    assert names[1326300] == "parstriangularis"
    assert "1 label(s) without a name: 0" in findings
    node = read(NIBABEL / "label.gii")[0]["labels"]
    np.testing.assert_array_equal(node["label"][0], nibabel.load(NIBABEL / "label.gii").agg_data())
    assert list(node["label_name"].values) == ["???", "Positive", "Negative"]


def test_real_surfaces() -> None:
    tree, findings = read(NIBABEL / "ascii.gii")
    node = tree["surface"]
    np.testing.assert_allclose(node["position"][0], [-0.01607201, -0.06618800, 0.02126700], 1e-4)
    np.testing.assert_array_equal(node["face"], [[0, 1, 2]])
    assert node["position"].attrs["space"] == "talairach"
    assert node.attrs["layer"] == "Pial"
    assert "1.54234 mm from end to end" in findings
    for name in ("base64bin.gii", "ascii_flat_data.gii"):  # their triangles are of more vertices
        with pytest.raises(UnreadableError, match="a triangle to vertex 25604; expected 0 to 9"):
            read(NIBABEL / name)
    with pytest.raises(UnsafeError, match="another file"):
        read(NIBABEL / "external.gii")


def test_from_folder_to_report(tmp_path: Path) -> None:
    folder = tmp_path / "surfaces"
    folder.mkdir()
    made = {"a.surf.gii": surface(), "b.shape.gii": maps(), "c.label.gii": labels()}
    for name, content in made.items():
        write(folder, content, f"synthetic_{name}")
    result = ingest(folder, store=tmp_path / "store", declare={"licence": "CC0-1.0"})
    assert result.ok, result.problems
    store = open_store(tmp_path / "store")
    assert len(store.ids()) == 3
    for name in store.ids():
        assert [p for p in schema.validate(store[name]) if p.level == "error"] == []
    assert CANARY not in "".join(str(store.manifest(name)) for name in store.ids())
    page = write_report(store, tmp_path / "report.html").read_text()
    assert "surface" in page
    assert "maps" in page


def test_rules_of_surfaces_and_maps() -> None:
    raw = Raw(NIBABEL, (NIBABEL / "ascii.gii",))
    tree = gifti.read(raw, Declared())
    tree["surface"]["face"][:] = 9
    assert any("1 corner" in p.found or "3 corner" in p.found for p in schema.check(tree))
    tree["surface"]["position"][0, 0] = np.nan
    assert any("non-finite" in p.found for p in schema.check(tree))


def test_quality_of_maps(tmp_path: Path) -> None:
    holes = np.array([1, np.nan, 2, 2])
    content = document(array("SHAPE", np.ones(4)), array("SHAPE", holes))
    found = [str(p) for p in schema.validate(read(write(tmp_path, content))[0])]
    assert len(found) == 2
    assert "maps/value: map 1: found the same value at every place" in found[0]
    assert "maps/value: map 2: found 1 non-finite values of 4" in found[1]
    tree = read(write(tmp_path, labels()))[0]
    tree["labels"]["label_map"][:] = 1
    tree["labels"]["label_key"][:] = 0
    found = [str(p) for p in schema.check(tree)]
    assert any("names of a map that is not there" in text for text in found)
    assert any("2 key(s) of a map more than once" in text for text in found)
    tree = read(write(tmp_path, maps()))[0]
    tree["maps"]["units"][0] = "mm"
    assert any("canonical unit" in str(p) for p in schema.check(tree))
