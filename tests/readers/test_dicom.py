"""DICOM: what each reader promises, impossible headers, personal data and pixel types."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pydicom
import pytest
import xarray as xr
from pydicom.datadict import DicomDictionary
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from neurodata.declare import Declared
from neurodata.errors import (
    MissingDependencyError,
    MissingFactError,
    RefusedError,
    UnknownFormatError,
    UnreadableError,
)
from neurodata.readers import dicom
from neurodata.safe import Raw
from tests.readers import synthetic_dicom as synthetic
from tests.readers.conformance import HeaderTests, PersonalTests, ReaderTests, texts
from tests.readers.synthetic_dicom import CANARY, CODE_CANARY, DATE_CANARY, UID_CANARY, image


def open_raw(path: Path) -> Raw:
    folder = tuple(sorted(p for p in path.parent.rglob("*") if p.is_file()))
    return Raw(path.parent, dicom.members(path, folder))


def read(path: Path, **facts: Any) -> xr.DataTree:
    return dicom.read(open_raw(path), Declared(facts))


def read_one(folder: Path, data: pydicom.Dataset | bytes, **facts: Any) -> xr.DataTree:
    path = folder / "synthetic"
    path.write_bytes(data if isinstance(data, bytes) else synthetic.to_bytes(data))
    return read(path, **facts)


def changed(**elements: Any) -> Callable[[bytes], bytes]:
    """Set elements of a file by keyword."""

    def change(whole: bytes) -> bytes:
        data = pydicom.dcmread(BytesIO(whole))
        for keyword, value in elements.items():
            setattr(data, keyword, value)
        return synthetic.to_bytes(data)

    return change


def without(*keywords: str) -> Callable[[bytes], bytes]:
    """Remove elements of a file."""

    def change(whole: bytes) -> bytes:
        data = pydicom.dcmread(BytesIO(whole))
        for keyword in keywords:
            delattr(data, keyword)
        return synthetic.to_bytes(data)

    return change


def text(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Overwrite bytes of the file with as many others."""
    assert len(old) == len(new)
    return lambda whole: whole.replace(old, new)


IMPOSSIBLE: dict[str, Callable[[bytes], bytes]] = {
    "no rows": changed(Rows=0),
    "one row more than the file has": changed(Rows=4),
    "65535 squared": changed(Rows=65535, Columns=65535),
    "no Rows": without("Rows"),
    "no pixels": without("PixelData"),
    "bits allocated 12": changed(BitsAllocated=12),
    "bits allocated 0": changed(BitsAllocated=0),
    "bits allocated 64": changed(BitsAllocated=64),
    "single bits": changed(BitsAllocated=1, BitsStored=1, HighBit=0),
    "bits stored 17": changed(BitsStored=17, HighBit=16),
    "bits stored 0": changed(BitsStored=0),
    "values in the upper bits": changed(BitsStored=12, HighBit=15),
    "pixel representation 2": changed(PixelRepresentation=2),
    "colours": changed(SamplesPerPixel=3, PhotometricInterpretation="RGB"),
    "palette": changed(PhotometricInterpretation="PALETTE COLOR"),
    "no frames": changed(NumberOfFrames=0),
    "frames below 0": changed(NumberOfFrames=-1),
    "2^31 frames": changed(NumberOfFrames=2**31 - 1),
    "two frames stated": changed(NumberOfFrames=2),
    "pixel spacing 0": changed(PixelSpacing=[0, 1.5]),
    "pixel spacing below 0": changed(PixelSpacing=[2.0, -1.5]),
    "one pixel spacing": changed(PixelSpacing=[2.0]),
    "no pixel spacing": without("PixelSpacing"),
    "pixel spacing NaN": text(b"2.0\\1.5", b"nan\\1.5"),
    "pixel spacing no number": text(b"2.0\\1.5", b"2 0\\1.5"),
    "pixel spacing infinite": text(b"2.0\\1.5 ", b"1e999\\2 "),
    "orientation of five numbers": changed(ImageOrientationPatient=[1, 0, 0, 0, 1]),
    "orientation zero": changed(ImageOrientationPatient=[0, 0, 0, 0, 0, 0]),
    "orientation along one line": changed(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]),
    "orientation not of length 1": changed(ImageOrientationPatient=[2, 0, 0, 0, 1, 0]),
    "position of two numbers": changed(ImagePositionPatient=[1, 2]),
    "no thickness": lambda b: without("SliceThickness", "SpacingBetweenSlices")(b),
    "a fraction of a frame": text(b"\x20\x00\x13\x00IS\x02\x001 ", b"\x20\x00\x13\x00IS\x02\x00.5"),
    "a mosaic without count": changed(ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"]),
    "another class in the meta": lambda b: b.replace(
        b"1.2.840.10008.5.1.4.1.1.4\0", b"1.2.840.10008.5.1.4.1.1.2\0", 1
    ),
    "no transfer syntax": text(b"1.2.840.10008.1.2.1\0", b"Jane Q Canary ......"),
    "an unknown transfer syntax": text(b"1.2.840.10008.1.2.1\0", b"1.2.840.99999.9.9.9\0"),
    "slope 0": changed(RescaleSlope=0, RescaleIntercept=0),
    "computed tomography": changed(Modality="CT"),
    "no magic": lambda b: b[:128] + b"DICN" + b[132:],
    "a length out of the file": lambda b: b.replace(
        b"\x10\x00\x10\x00PN\x0e\x00", b"\x10\x00\x10\x00PN\xff\xff"
    ),
}


class DicomTests(ReaderTests):
    reader = dicom
    accepts = ("dicom",)
    nodes: ClassVar = {"bold": "volume"}


class TestDicom(HeaderTests, PersonalTests, DicomTests):
    lies: ClassVar = {story: lie for story, lie in IMPOSSIBLE.items() if story != "no thickness"}
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return synthetic.write(folder, synthetic.series())[0]

    def victims(self, path: Path) -> tuple[Path, ...]:
        return path, path.with_name("synthetic00004")


class TestDicomGzip(DicomTests):
    nodes: ClassVar = {"anat": "volume"}

    def make(self, folder: Path) -> Path:
        path = folder / "synthetic.dcm.gz"
        path.write_bytes(gzip.compress(synthetic.to_bytes(image())))
        return path


class TestDicomEnhanced(PersonalTests, DicomTests):
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return synthetic.write(folder, [synthetic.enhanced()])[0]


class TestDicomMosaic(PersonalTests, DicomTests):
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return synthetic.write(folder, [synthetic.mosaic(1), synthetic.mosaic(2)])[0]


class TestDicomCompressed(DicomTests):
    nodes: ClassVar = {"anat": "volume"}

    def make(self, folder: Path) -> Path:
        data = image(pixels=synthetic.values(3, (16, 12)))
        data.compress(RLELossless)
        return synthetic.write(folder, [data])[0]


class TestDicomBigEndian(DicomTests):
    nodes: ClassVar = {"anat": "volume"}

    def make(self, folder: Path) -> Path:
        return synthetic.write(folder, [image(syntax=ExplicitVRBigEndian)])[0]


class TestDicomUnplaced(DicomTests):
    nodes: ClassVar = {"anat": "volume"}
    declare: ClassVar = {"voxel_mm": [3, 2, 1.5], "axes": "LPS"}

    def make(self, folder: Path) -> Path:
        pixels = np.stack([synthetic.values(n) for n in range(4)])
        data = image(pixels=pixels, PixelSpacing=None, ImageOrientationPatient=None)
        return synthetic.write(folder, [data])[0]


# refusals


@pytest.mark.parametrize("story", IMPOSSIBLE)
def test_impossible_header_says_where_and_what(story: str, tmp_path: Path) -> None:
    whole = synthetic.to_bytes(image())
    lie = IMPOSSIBLE[story](whole)
    assert lie != whole
    with pytest.raises(RefusedError) as caught:
        read_one(tmp_path, lie)
    error = caught.value
    assert error.where.startswith("synthetic")
    assert error.found
    assert error.expected
    assert CANARY not in str(error)


def test_intact_synthetic_file_is_read(tmp_path: Path) -> None:
    node = read_one(tmp_path, image())["anat"]
    np.testing.assert_array_equal(node["image_adc"].values, [synthetic.values(1)])
    assert node["image_adc"].dtype == np.uint16
    assert (float(node["scale"]), float(node["offset"])) == (1.0, 0.0)


def test_a_deflated_data_set_is_refused_unopened(tmp_path: Path) -> None:
    data = image(syntax=DeflatedExplicitVRLittleEndian, pixels=np.zeros((2000, 2000), "u2"))
    whole = synthetic.to_bytes(data)
    tracemalloc.start()
    with pytest.raises(UnknownFormatError, match="deflated"):
        read_one(tmp_path, whole)
    assert tracemalloc.get_traced_memory()[1] < 4e6
    tracemalloc.stop()


def test_lying_sizes_allocate_nothing(tmp_path: Path) -> None:
    whole = IMPOSSIBLE["65535 squared"](synthetic.to_bytes(image()))
    tracemalloc.start()
    with pytest.raises(RefusedError):
        read_one(tmp_path, whole)
    assert tracemalloc.get_traced_memory()[1] < 4e6
    tracemalloc.stop()


def test_a_codestream_of_another_size_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    data = image()
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.90"
    stream = b"\xff\x4f\xff\x51\x00\x29\x00\x00" + np.array([60000, 60000], ">u4").tobytes()
    stream += bytes(24) + b"\x00\x01" + bytes(8)
    data.PixelData = pydicom.encaps.encapsulate([stream])
    data["PixelData"].is_undefined_length, data["PixelData"].VR = True, "OB"
    tree = read_one(tmp_path, data)
    tracemalloc.start()
    with pytest.raises(UnreadableError, match="60000 x 60000 x 1 pixels"):
        tree.load()
    assert tracemalloc.get_traced_memory()[1] < 4e6
    tracemalloc.stop()


def test_a_report_alone_is_explained(tmp_path: Path) -> None:
    data = synthetic.blank(1, kind=synthetic.REPORT)
    data.Modality = "SR"
    with pytest.raises(UnknownFormatError, match=r"no pixels in Basic Text SR Storage"):
        read_one(tmp_path, data)


def test_pixels_that_are_missing_in_an_image_are_no_report(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="an image without pixels"):
        read_one(tmp_path, without("PixelData")(synthetic.to_bytes(image())))


def test_a_file_that_changes_while_read_is_refused(tmp_path: Path) -> None:
    tree = read_one(tmp_path, image())
    (tmp_path / "synthetic").write_bytes(synthetic.to_bytes(image(SliceThickness=10.0)))
    with pytest.raises(UnreadableError, match="changed"):
        tree.load()


# pixels


@pytest.mark.parametrize("code", ["u1", "i1", "u2", "i2", "u4", "i4"])
@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
def test_native_types_are_kept(code: str, syntax: str | None, tmp_path: Path) -> None:
    if syntax == RLELossless and code[1] == "4":
        pytest.skip("pydicom does not write it")
    pixels = np.array([[0, 1, 77], [100, 127, 5]], code)
    if code[0] == "i":
        pixels = -pixels
    if syntax == RLELossless:
        data = image(pixels=pixels)
        data.compress(RLELossless)
    else:
        data = image(pixels=pixels, **({"syntax": syntax} if syntax else {}))
    stored = read_one(tmp_path, data)["anat"]["image_adc"]
    assert stored.dtype == np.dtype(code)
    np.testing.assert_array_equal(stored.values[0], pixels)


@pytest.mark.parametrize(
    ("kind", "expected"), [("u2", [0, 5, 2048, 4095]), ("i2", [0, 5, -2048, -1])]
)
def test_bits_above_the_stored_ones_are_not_values(
    kind: str, expected: list[int], tmp_path: Path
) -> None:
    data = image()
    dirty = np.array([[0xF000, 0x5005], [0x6800, 0x1FFF]], "u2").view(kind)
    synthetic.with_pixels(data, dirty, stored=12)
    path = tmp_path / "synthetic"
    found = read_one(tmp_path, data)["anat"]["image_adc"].values
    np.testing.assert_array_equal(found.ravel(), expected)
    np.testing.assert_array_equal(found[0], pydicom.dcmread(path).pixel_array)


def test_rescale_becomes_scale_and_offset(tmp_path: Path) -> None:
    node = read_one(tmp_path, image(RescaleSlope=0.25, RescaleIntercept=-3))["anat"]
    assert (float(node["scale"]), float(node["offset"])) == (0.25, -3.0)


def test_padding_is_warned_about(tmp_path: Path) -> None:
    data = image()
    data.PixelData += bytes(10)
    path = tmp_path / "synthetic"
    path.write_bytes(synthetic.to_bytes(data))
    raw = open_raw(path)
    tree = dicom.read(raw, Declared())
    np.testing.assert_array_equal(tree["anat"]["image_adc"].values[0], synthetic.values(1))
    assert any(p.level == "warning" and "10 bytes after" in p.found for p in raw.problems)


def test_a_frame_in_several_pieces(tmp_path: Path) -> None:
    pixels = np.stack([synthetic.values(n, (16, 12)) for n in range(3)])
    data = image(pixels=pixels, PixelSpacing=None, ImageOrientationPatient=None)
    data.compress(RLELossless)
    frames = list(pydicom.encaps.generate_frames(data.PixelData, number_of_frames=3))
    data.PixelData = pydicom.encaps.encapsulate(frames, fragments_per_frame=2, has_bot=True)
    found = read_one(tmp_path, data, voxel_mm=[3, 2, 2])["anat"]["image_adc"].values
    np.testing.assert_array_equal(found, pixels)
    data.PixelData = pydicom.encaps.encapsulate(frames, fragments_per_frame=2, has_bot=False)
    with pytest.raises(UnreadableError, match="6 pieces and 0 offsets"):
        read_one(tmp_path, data, voxel_mm=[3, 2, 2])


# personal data


def test_no_text_of_any_element_gets_through(tmp_path: Path) -> None:
    data = image()
    vrs = {"PN", "LO", "SH", "LT", "ST", "UT", "UC", "UR", "AE"}
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        if vr in vrs | {"CS"} and keyword and 2 < tag >> 16 < 0x7FE0 and tag not in data:
            data.add_new(tag, vr, CODE_CANARY if vr == "CS" else CANARY)
        elif vr in {"DA", "DT", "UI"} and keyword and 2 < tag >> 16 < 0x7FE0 and tag not in data:
            data.add_new(tag, vr, UID_CANARY if vr == "UI" else DATE_CANARY)
    del data.SpecificCharacterSet
    assert len(data) > 1700
    path = tmp_path / "synthetic"
    path.write_bytes(synthetic.to_bytes(data))
    raw = open_raw(path)
    tree = dicom.read(raw, Declared())
    found = str(texts(tree)) + str(raw.problems)
    for canary in (CANARY, CODE_CANARY, DATE_CANARY, UID_CANARY):
        assert canary not in found
    assert tree.attrs == {"modality": "mri", "age_years": 47.0}
    (note,) = (p for p in raw.problems if "removed" in p.found)
    assert "PatientName" in note.found or "elements" in note.found


@pytest.mark.parametrize(
    ("stated", "years"),
    [("047Y", 47.0), ("095Y", 90.0), ("006M", 0.5), ("000Y", None), ("47", None), ("", None)],
)
def test_age(stated: str, years: float | None, tmp_path: Path) -> None:
    attrs = read_one(tmp_path, image(PatientAge=stated, PatientSex="F")).attrs
    assert attrs.get("age_years") == years
    assert attrs["sex"] == "F"


@pytest.mark.parametrize(
    ("stated", "device"),
    [("SIEMENS", "Siemens"), ("GE MEDICAL SYSTEMS", "GE"), ("Philips Healthcare", "Philips")],
)
def test_the_maker_is_one_of_a_list(stated: str, device: str, tmp_path: Path) -> None:
    assert read_one(tmp_path, image(Manufacturer=stated)).attrs["device"] == device


def test_no_maker_is_needed(tmp_path: Path) -> None:
    assert "device" not in read_one(tmp_path, image(Manufacturer=None)).attrs


def test_a_missing_modality_can_be_declared(tmp_path: Path) -> None:
    data = image(Modality=None)
    with pytest.raises(UnknownFormatError, match="--set modality=mri"):
        read_one(tmp_path, data)
    assert read_one(tmp_path, data, modality="mri").attrs["modality"] == "mri"


def test_multi_frame_without_spacing_needs_its_voxel_size(tmp_path: Path) -> None:
    pixels = np.stack([synthetic.values(n) for n in range(4)])
    data = image(pixels=pixels, PixelSpacing=None, ImageOrientationPatient=None)
    with pytest.raises(MissingFactError, match="--set 'voxel_mm=<z>,<y>,<x>'"):
        read_one(tmp_path, data)
    node = read_one(tmp_path, data, voxel_mm=[3, 2, 1.5])["anat"]
    assert node["spacing"].values.tolist() == [3.0, 2.0, 1.5]
    assert "affine" not in node
    np.testing.assert_array_equal(node["image_adc"].values, pixels)
    node = read_one(tmp_path, data, voxel_mm=[3, 2, 1.5], axes="LPS")["anat"]
    np.testing.assert_array_equal(node["affine"].values, np.diag([-1.5, -2, 3, 1]))


def test_a_syntax_without_decoder_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = image()
    data.compress(RLELossless)
    monkeypatch.setattr(pydicom.pixels.decoders.base.Decoder, "is_available", False)
    with pytest.raises(MissingDependencyError, match=r"no decoder for.*gdcmconv"):
        read_one(tmp_path, data)
