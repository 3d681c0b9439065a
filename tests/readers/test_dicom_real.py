"""DICOM: measured series against dcm2niix's conversions, pydicom and nibabel."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import xarray as xr
from nibabel.nicom import dicomwrappers

from neurodata.declare import Declared
from neurodata.errors import MissingFactError, UnknownFormatError, UnreadableError
from neurodata.readers import dicom
from neurodata.safe import Raw
from tests.readers.conformance import texts

pytestmark = pytest.mark.acceptance

QA = "acceptance/mri/dcm_qa_nih"
HEUDICONV = "acceptance/mri/heudiconv"
GE = {f"20180918GE/mr_000{n}": f"DCM2NIIX_regression_test_{n}" for n in (4, 5, 6, 7)}
SIEMENS = {
    "20180918Si/mr_0003": "EPI_PE=AP_3",
    "20180918Si/mr_0004": "EPI_PE=PA_4",
    "20180918Si/mr_0005": "EPI_PE=RL_5",
    "20180918Si/mr_0006": "EPI_PE=LR_6",
}


def open_series(folder: Path) -> Raw:
    files = tuple(sorted(p for p in folder.rglob("*") if p.is_file()))
    return Raw(folder, max((dicom.members(path, files) for path in files), key=len))


def read(folder: Path, **facts: Any) -> tuple[xr.DataTree, Raw]:
    raw = open_series(folder)
    return dicom.read(raw, Declared(facts)), raw


def read_file(path: Path, **facts: Any) -> xr.DataTree:
    return dicom.read(Raw(path.parent, (path,)), Declared(facts))


@pytest.mark.parametrize("folder", [*GE, *SIEMENS])
def test_conversions_hold_the_same(folder: str, realdata: Path) -> None:
    reference = realdata / QA / "Ref" / {**GE, **SIEMENS}[folder]
    image = nibabel.load(reference.with_name(reference.name + ".nii"))
    facts = json.loads(reference.with_name(reference.name + ".json").read_text())
    tree, raw = read(realdata / QA / "In" / folder)
    node = tree["bold"]
    stored = node["image_adc"].values
    there = same_places(node, image)
    np.testing.assert_array_equal(stored, np.asarray(image.dataobj)[there].transpose(3, 2, 1, 0))
    assert 1 / node.attrs["rate_hz"] == pytest.approx(facts["RepetitionTime"], rel=1e-5)
    assert node.attrs["n"] == image.shape[3]
    assert node.attrs["echo_time_s"] == pytest.approx(facts["EchoTime"])
    assert node.attrs["flip_angle_deg"] == facts["FlipAngle"]
    assert node.attrs["field_strength_t"] == facts["MagneticFieldStrength"]
    np.testing.assert_allclose(node["slice_time"].values, facts["SliceTiming"], atol=1e-5)
    assert tree.attrs["modality"] == "fmri"
    assert tree.attrs["device"] == facts["Manufacturer"]
    assert not [p for p in raw.problems if p.level != "note"]


def same_places(node: xr.DataTree, image: Any) -> tuple[np.ndarray, ...]:
    """Return where the reference has each of our voxels, (x, y, z), to a thousandth of one."""
    sizes = [node["image_adc"].sizes[axis] for axis in ("x", "y", "z")]
    grid = np.stack([*np.meshgrid(*map(np.arange, sizes), indexing="ij"), np.ones(sizes)])
    exact = np.tensordot(np.linalg.inv(image.affine) @ node["affine"].values, grid, 1)[:3]
    there = np.rint(exact).astype(int)
    np.testing.assert_allclose(exact, there, atol=1e-3)
    assert there.min() == 0
    return tuple(there)


SYNTAXES = ("", "_bigendian", "_expb", "_implicit", "_RLE", "_jp2klossless", "_jpeg_ls_lossless",
            "_padded")  # fmt: skip


@pytest.mark.parametrize("kind", SYNTAXES)
def test_one_slice_in_every_transfer_syntax(kind: str, realdata: Path) -> None:
    if "jpeg_ls" in kind:
        pytest.importorskip("libjpeg", reason="no decoder of JPEG-LS")
    folder = realdata / "fixtures/mri/pydicom"
    tree = read_file(folder / f"MR_small{kind}.dcm")
    node = tree["anat"]
    stored = node["image_adc"]
    assert dict(stored.sizes) == {"z": 1, "y": 64, "x": 64}
    assert stored.dtype == np.int16
    np.testing.assert_array_equal(
        stored.values[0], pydicom.dcmread(folder / "MR_small.dcm").pixel_array
    )
    expected = [
        [-0.3125, 0, 0, 83.9063], [0, -0.3125, 0, 91.2], [0, 0, 0.8, 6.6406], [0, 0, 0, 1]
    ]  # fmt: skip
    np.testing.assert_allclose(node["affine"].values, expected, atol=1e-9)
    assert "CompressedSamples" not in str(tree.attrs)


def test_truncated_pixels_are_refused(realdata: Path) -> None:
    with pytest.raises(UnreadableError, match=r"bytes of pixels.*8192 bytes by its header"):
        read_file(realdata / "fixtures/mri/pydicom/MR_truncated.dcm")


def test_nine_copies_of_one_slice_are_refused(realdata: Path) -> None:
    with pytest.raises(UnreadableError, match="the same object as"):
        read(realdata / "fixtures/mri/pydicom")


def test_multi_frame_without_spacing_is_refused_until_it_is_declared(realdata: Path) -> None:
    path = realdata / "fixtures/mri/pydicom_data/emri_small.dcm"
    with pytest.raises(MissingFactError, match=r"PixelSpacing.*voxel_mm=<z>"):
        read_file(path)
    node = read_file(path, voxel_mm=[2, 1, 1])["anat"]
    np.testing.assert_array_equal(node["image_adc"].values, pydicom.dcmread(path).pixel_array)
    assert node["spacing"].values.tolist() == [2.0, 1.0, 1.0]


def test_gzipped_mosaics_equal_nibabel(realdata: Path) -> None:
    folder = realdata / "fixtures/mri/nibabel/nicom/tests/data"
    names = [folder / f"siemens_dwi_{n}.dcm.gz" for n in (0, 1000)]
    files = tuple(sorted(folder.iterdir()))
    assert dicom.members(names[0], files) in (tuple(names), (names[0],))
    raw = Raw(folder, tuple(names))
    tree = dicom.read(raw, Declared())
    node = tree["dwi"]
    for volume, path in enumerate(names):
        with gzip.open(path) as stream:
            wrapper = dicomwrappers.wrapper_from_file(stream)
        same_as_wrapper(node["image_adc"].values[volume], node["affine"].values, wrapper)
    assert tree.attrs["modality"] == "dwi"
    assert "rate_hz" not in node.attrs


def test_mosaic_equals_nibabel(realdata: Path) -> None:
    path = realdata / HEUDICONV / "axasc35.dcm"
    (node,) = read_file(path).children.values()
    wrapper = dicomwrappers.wrapper_from_file(path)
    same_as_wrapper(node["image_adc"].values, node["affine"].values, wrapper)


def same_as_wrapper(stored: np.ndarray, affine: np.ndarray, wrapper: Any) -> None:
    np.testing.assert_array_equal(stored, np.asarray(wrapper.get_data()).transpose(2, 0, 1))
    ras = np.diag([-1, -1, 1, 1]) @ wrapper.affine[:, [1, 0, 2, 3]]
    np.testing.assert_allclose(affine, ras, atol=1e-4)


def test_a_mosaic_whose_size_was_changed_is_refused(realdata: Path) -> None:
    path = realdata / "fixtures/mri/nibabel/nicom/tests/data/0.dcm"
    with pytest.raises(UnreadableError, match="256 x 256 pixels; expected a multiple of 7"):
        read_file(path)


def test_implicit_mosaics_in_three_files(realdata: Path) -> None:
    tree, _ = read(realdata / HEUDICONV / "b0dwiForFmap")
    stored = tree["dwi"]["image_adc"]
    assert dict(stored.sizes) == {"time": 3, "z": 81, "y": 152, "x": 150}
    path = realdata / HEUDICONV / "b0dwiForFmap/b0dwi_for_fmap+00002.dcm"
    wrapper = dicomwrappers.wrapper_from_file(path)
    same_as_wrapper(stored.values[1], tree["dwi"]["affine"].values, wrapper)


def test_three_planes_in_one_file_are_refused(realdata: Path) -> None:
    (path,) = (realdata / HEUDICONV).glob("MRI_102TD*.dcm")
    with pytest.raises(UnreadableError, match="frame 1: ImageOrientationPatient"):
        read_file(path)


def test_a_report_beside_a_series(realdata: Path) -> None:
    folder = realdata / HEUDICONV / "Phoenix"
    files = tuple(sorted(p for p in folder.rglob("*") if p.is_file()))
    image, report = files
    assert [dicom.members(path, files) for path in files] == [(image,), (report,)]
    assert read_file(image)["anat"]["image_adc"].shape == (1, 160, 160)
    with pytest.raises(UnknownFormatError, match="no pixels in Enhanced SR Storage"):
        read_file(report)


def test_rescaled_phase(realdata: Path) -> None:
    (path,) = (realdata / HEUDICONV / "01-fmap_acq-3mm").glob("*.dcm")
    node = read_file(path)["anat"]
    data = pydicom.dcmread(path)
    np.testing.assert_array_equal(node["image_adc"].values[0], data.pixel_array)
    assert float(node["scale"]) == data.RescaleSlope == 2
    assert float(node["offset"]) == data.RescaleIntercept == -4096


@pytest.mark.parametrize("gone", [0, 7, 74, 149])
def test_a_missing_file_is_refused(gone: int, realdata: Path) -> None:
    raw = open_series(realdata / QA / "In/20180918GE/mr_0004")
    files = raw.files[:gone] + raw.files[gone + 1 :]
    with pytest.raises(UnreadableError, match=r"9 frames at \S+ mm .* expected 10"):
        dicom.read(Raw(raw.root, files), Declared())


def test_many_series_in_one_tree(realdata: Path) -> None:
    files = tuple(sorted((realdata / QA / "In").rglob("*.dcm")))
    groups = [dicom.members(path, files) for path in files]
    assert sorted(len(g) for g in groups if len(g) > 1) == [2] * 4 + [150] * 4
    for group in groups:
        assert len({path.parent for path in group}) == 1


def test_names_in_headers_stay_behind(realdata: Path) -> None:
    tree, raw = read(realdata / QA / "In/20180918Si/mr_0003")
    found = str(texts(tree)) + str(raw.problems)
    for text in ("Test", "Regression", "DEV", "Bethesda", "45160", "NIH", "FMRIF", "1970", "2018"):
        assert text not in found
    assert tree.attrs["sex"] == "O"
    assert tree.attrs["age_years"] == 48.0
