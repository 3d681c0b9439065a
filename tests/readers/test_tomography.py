"""CT and PET: units and frames of NIfTI and DICOM, against pydicom and what was written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import xarray as xr
from pydicom.pixels import apply_modality_lut

from neurodata import schema
from neurodata.declare import Declared
from neurodata.errors import MissingFactError, UnknownFormatError, UnreadableError
from neurodata.physical import physical
from neurodata.readers import dicom, nifti
from neurodata.safe import Raw
from tests.readers import synthetic_dicom as synthetic

CT_CLASS, PET_CLASS = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.128"
HEAD = np.linspace(-1000, 1500, 60).reshape(5, 4, 3)
ACTIVITY = np.linspace(0, 40_000, 60).reshape(5, 4, 3)


def write(folder: Path, values: np.ndarray, name: str, facts: dict[str, Any] | None = None) -> Path:
    """Write a synthetic NIfTI volume, and its side-car."""
    image = nibabel.Nifti1Image(values.astype("f4"), np.diag([2.0, 2, 3, 1]))
    image.header.set_xyzt_units("mm")
    image.header.set_sform(np.diag([2.0, 2, 3, 1]), code=1)
    path = folder / f"{name}.nii"
    image.to_filename(path)
    if facts is not None:
        (folder / f"{name}.json").write_text(json.dumps(facts))
    return path


def read(path: Path, **facts: Any) -> tuple[xr.DataTree, str]:
    """Return the tree and the findings as one text."""
    raw = Raw(path.parent, nifti.members(path, sorted(path.parent.iterdir())))
    tree = nifti.read(raw, Declared(facts))
    assert [p for p in schema.check(tree) if p.level == "error"] == []
    return tree, "\n".join(map(str, [*raw.problems, *schema.validate(tree)]))


# ---- NIfTI


def test_ct_by_declaration(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD, "synthetic")
    with pytest.raises(MissingFactError, match=r"units\.\*=HU"):
        read(path, modality="ct")
    tree, findings = read(path, modality="ct", **{"units.*": "HU"})
    assert tree.attrs["modality"] == "ct"
    np.testing.assert_array_equal(tree["ct"]["image"], HEAD.T.astype("f4"))
    assert tree["ct"]["image"].attrs == {"units": "HU"}
    assert "lowest" not in findings
    assert physical(tree)["ct"]["image"].attrs["units"] == "HU"
    with pytest.raises(UnreadableError, match="voxels in V"):
        read(path, modality="ct", **{"units.*": "mV"})


def test_a_lost_intercept_is_a_finding(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + 1024, "synthetic")
    _, findings = read(path, modality="ct", **{"units.*": "HU"})
    assert "a lowest value of 24 HU; expected -4.1e+03 to -200 HU" in findings


def test_pet_by_the_side_car(tmp_path: Path) -> None:
    facts = {"Units": "Bq/mL", "FrameTimesStart": [0], "FrameDuration": [600]}
    path = write(tmp_path, ACTIVITY, "sub-01_pet", facts)
    tree, findings = read(path)
    assert tree.attrs["modality"] == "pet"
    np.testing.assert_array_equal(tree["pet"]["image"], ACTIVITY.T.astype("f4"))
    assert tree["pet"]["image"].attrs == {"units": "Bq/ml"}
    assert "highest" not in findings
    (tmp_path / "sub-01_pet.json").write_text(json.dumps({**facts, "Units": "kBq/mL"}))
    tree, findings = read(path)
    np.testing.assert_allclose(tree["pet"]["image"], ACTIVITY.T * 1e3, rtol=1e-6)
    (tmp_path / "sub-01_pet.json").write_text("{}")
    with pytest.raises(MissingFactError, match=r"units\.\*=Bq/ml"):
        read(path)


def test_a_slip_of_a_thousand_is_a_finding(tmp_path: Path) -> None:
    path = write(tmp_path, ACTIVITY / 1e3, "sub-01_pet", {"Units": "Bq/mL"})
    assert "a highest value of 40 Bq/ml" in read(path)[1]
    tree, findings = read(path, **{"units.*": "kBq/ml"})
    assert "the declaration was followed" in findings
    assert float(tree["pet"]["image"].max()) == pytest.approx(40_000)


def test_frames_of_pet(tmp_path: Path) -> None:
    values = np.stack([ACTIVITY, ACTIVITY * 2, ACTIVITY * 3], axis=-1)
    facts = {"Units": "Bq/mL", "FrameTimesStart": [0, 10, 70], "FrameDuration": [10, 60, 300]}
    path = write(tmp_path, values, "sub-01_pet", facts)
    node = read(path)[0]["pet"]
    assert node["image"].dims == ("time", "z", "y", "x")
    np.testing.assert_array_equal(node["time"], [0, 10, 70])
    np.testing.assert_array_equal(node["frame_duration_s"], [10, 60, 300])
    assert "rate_hz" not in node.attrs
    node = read(path, rate_hz=0.1)[0]["pet"]
    assert (node.attrs["rate_hz"], node.attrs["n"]) == (0.1, 3)


FRAMES: dict[str, tuple[dict[str, Any], str]] = {
    "two starts": ({"FrameTimesStart": [0, 10]}, "2 entries"),
    "a start back in time": ({"FrameTimesStart": [0, 70, 10]}, "increasing"),
    "a start twice": ({"FrameTimesStart": [0, 10, 10]}, "increasing"),
    "words": ({"FrameTimesStart": ["0", "10", "70"]}, "3 numbers"),
    "true": ({"FrameTimesStart": [True, 10, 70]}, "3 numbers"),
    "a number without bound": ({"FrameTimesStart": [0, 10, 10**400]}, "3 numbers"),
    "one number": ({"FrameTimesStart": 0}, "1 entries"),
    "a duration of 0": ({"FrameDuration": [0, 1, 2]}, "over 0"),
    "two durations": ({"FrameDuration": [1, 2]}, "2 entries"),
    "units of length": ({"Units": "mm"}, "voxels in m"),
}


@pytest.mark.parametrize("story", FRAMES)
def test_impossible_frames(story: str, tmp_path: Path) -> None:
    changes, found = FRAMES[story]
    facts = {"Units": "Bq/mL", "FrameTimesStart": [0, 10, 70], "FrameDuration": [10, 60, 300]}
    path = write(tmp_path, np.stack([ACTIVITY] * 3, axis=-1), "sub-01_pet", {**facts, **changes})
    with pytest.raises(UnreadableError, match=found) as caught:
        read(path)
    assert caught.value.expected


def test_frames_without_starts_are_declared(tmp_path: Path) -> None:
    path = write(tmp_path, np.stack([ACTIVITY] * 3, axis=-1), "sub-01_pet", {"Units": "Bq/mL"})
    with pytest.raises(MissingFactError, match="rate_hz"):
        read(path)


# ---- DICOM


def made(kind: str, uid: str, count: int = 3, **changes: Any) -> list[pydicom.Dataset]:
    """A synthetic series of CT or PET."""
    images = synthetic.series(1, count, Modality=kind, RepetitionTime=None, EchoTime=None,
                              **changes)  # fmt: skip
    for data in images:
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = uid
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    return images


def read_series(
    folder: Path, images: Sequence[pydicom.Dataset], **facts: Any
) -> tuple[xr.DataTree, str]:
    for old in folder.iterdir():
        old.unlink()
    paths = synthetic.write(folder, images)
    raw = Raw(folder, dicom.members(paths[0], paths))
    tree = dicom.read(raw, Declared(facts))
    assert [p for p in schema.check(tree) if p.level == "error"] == []
    assert synthetic.CANARY not in str(tree)
    return tree, "\n".join(map(str, raw.problems))


@pytest.mark.parametrize("stated", ["HU", None])
def test_dicom_ct(stated: str | None, tmp_path: Path) -> None:
    images = made("CT", CT_CLASS, RescaleSlope=2.0, RescaleIntercept=-1024.0)
    for data in images:
        if stated:
            data.RescaleType = stated
    tree, findings = read_series(tmp_path, images)
    assert tree.attrs["modality"] == "ct"
    node = physical(tree)["ct"]
    expected = [apply_modality_lut(data.pixel_array, data) for data in images]
    np.testing.assert_array_equal(node["image"], np.array(expected, "f4"))
    assert node["image"].attrs["units"] == "HU"
    assert ("by the standard" in findings) == (stated is None)


def altered(**changes: Any) -> Callable[[pydicom.Dataset], None]:
    def change(data: pydicom.Dataset) -> None:
        for key, value in changes.items():
            setattr(data, key, value)

    return change


@pytest.mark.parametrize(
    "change",
    [
        altered(RescaleType="US"),
        altered(ImageType=["DERIVED", "SECONDARY", "AXIAL"]),
        altered(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    ],
)
def test_dicom_ct_of_no_unit(change: Callable[..., None], tmp_path: Path) -> None:
    images = made("CT", CT_CLASS, RescaleSlope=1.0, RescaleIntercept=-1024.0)
    for data in images:
        change(data)
    with pytest.raises(MissingFactError, match=r"units\.\*=HU"):
        read_series(tmp_path, images)
    tree, _ = read_series(tmp_path, images, **{"units.*": "HU"})
    assert tree["ct"]["image_adc"].attrs["units"] == "HU"


def test_dicom_pet_scales_each_slice(tmp_path: Path) -> None:
    images = made("PT", PET_CLASS, Units="BQML")
    for number, data in enumerate(images):
        data.RescaleSlope, data.RescaleIntercept = 0.5 + number, 0.0
    tree, _ = read_series(tmp_path, images)
    assert tree.attrs["modality"] == "pet"
    expected = [data.pixel_array * float(data.RescaleSlope) for data in images]
    np.testing.assert_array_equal(tree["pet"]["image"], np.array(expected, "f4"))
    assert tree["pet"]["image"].attrs == {"units": "Bq/ml"}
    images[1].RescaleSlope = 0.0
    with pytest.raises(UnreadableError, match="RescaleSlope"):
        read_series(tmp_path, images)


def test_dicom_of_contradictions(tmp_path: Path) -> None:
    for kind, uid in (("CT", PET_CLASS), ("PT", CT_CLASS), ("CT", synthetic.MR), ("US", CT_CLASS)):
        with pytest.raises(UnknownFormatError, match="MR, CT or PT"):
            read_series(tmp_path, made(kind, uid))
    images = made("PT", PET_CLASS, Units="BQML")
    images[2].Units = "CNTS"
    with pytest.raises(UnreadableError, match="BQML and CNTS"):
        read_series(tmp_path, images)
    with pytest.raises(MissingFactError, match="PROPCPS"):
        read_series(tmp_path, made("PT", PET_CLASS, Units="PROPCPS"))
    images = made("PT", PET_CLASS, 6, Units="BQML")
    for number, data in enumerate(images):
        data.ImagePositionPatient = [-10, -20, 5 + 3 * (number % 3)]
    with pytest.raises(UnknownFormatError, match="2 volumes of pet in time"):
        read_series(tmp_path, images)


def test_a_real_ct_slice() -> None:
    path = Path(pydicom.__file__).parent / "data/test_files/CT_small.dcm"
    data = pydicom.dcmread(path)
    tree = dicom.read(Raw(path.parent, (path,)), Declared())
    node = physical(tree)["ct"]
    assert node["image"].shape == (1, 128, 128)
    np.testing.assert_array_equal(node["image"][0], apply_modality_lut(data.pixel_array, data))
    assert (float(node["image"].min()), float(node["image"].max())) == (-896.0, 1167.0)
    assert node["image"].attrs["units"] == "HU"
    assert abs(float(node["affine"][0, 0])) == pytest.approx(0.661468)
    assert [p for p in schema.validate(tree) if p.level == "error"] == []
