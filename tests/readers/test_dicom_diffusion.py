"""Diffusion in DICOM: gradient tables of the standard and of makers, along the image's axes."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pydicom
import pytest
import xarray as xr
from nibabel.nicom import dicomwrappers
from pydicom.dataset import Dataset

from neurodata import schema
from neurodata.declare import Declared
from neurodata.errors import MissingFactError, UnreadableError
from neurodata.readers import dicom
from neurodata.safe import Raw
from tests.readers import synthetic_dicom as synthetic
from tests.readers.conformance import PersonalTests
from tests.readers.synthetic_dicom import AXIAL, CANARY, STEP_MM, image

B = [0.0, 1000.0, 1000.0, 2000.0]
GRADIENTS = np.array([[0, 0, 0], [1, 0, 0], [0.6, 0.8, 0], [0.48, -0.6, 0.64]])
OBLIQUE = (0.8, 0.36, -0.48, -0.6, 0.48, -0.64)
ORIENTATIONS = {
    "axial": AXIAL,
    "coronal": (1.0, 0, 0, 0, 0, -1),
    "sagittal": (0, 1.0, 0, 0, 0, -1),
    "oblique": OBLIQUE,
}
Encode = Callable[[Dataset, float, Sequence[float]], None]


def standard(data: Dataset, b_value: float, gradient: Sequence[float]) -> None:
    data.DiffusionBValue = b_value
    data.DiffusionGradientOrientation = list(gradient)


def siemens(data: Dataset, b_value: float, gradient: Sequence[float]) -> None:
    block = data.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", f"{b_value:g}")
    if any(gradient):
        block.add_new(0x0E, "FD", list(gradient))


def siemens_csa(data: Dataset, b_value: float, gradient: Sequence[float]) -> None:
    data.ImageType = ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"]
    fields: dict[str, Sequence[str]] = {"EchoLinePosition": ["3"], "B_value": [f"{b_value:g}"]}
    if any(gradient):
        fields["DiffusionGradientDirection"] = [f"{x:.8f}" for x in gradient]
    block = data.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", synthetic.csa(fields))


def ge(data: Dataset, b_value: float, gradient: Sequence[float], axis: str = "COL") -> None:
    """Axes of the scan: right or front, front or right, and up."""
    data.InPlanePhaseEncodingDirection = axis
    parameters = data.private_block(0x0043, "GEMS_PARM_01", create=True)
    parameters.add_new(0x39, "IS", [f"{b_value + 1e9 * (b_value > 0):.0f}", "8", "0", "0"])
    block = data.private_block(0x0019, "GEMS_ACQU_01", create=True)
    for number, part in zip((0xBB, 0xBC, 0xBD), gradient, strict=True):
        block.add_new(number, "DS", f"{part:.6f}")


def volumes(
    encode: Encode, orientation: Sequence[float] = AXIAL, up: float = 1.0, slices: int = 2,
    gradients: Any = GRADIENTS,
) -> list[Dataset]:  # fmt: skip
    """A synthetic series: a volume a row of the table."""
    normal = np.cross(orientation[:3], orientation[3:]) * up
    found = []
    for time, (b_value, gradient) in enumerate(zip(B, gradients, strict=True)):
        for z in range(slices):
            place = np.array([-10.0, -20.0, 5.0]) + normal * STEP_MM * z
            data = image(1 + time * slices + z, place, orientation=orientation)
            encode(data, b_value, gradient)
            found.append(data)
    return found


def open_raw(folder: Path) -> Raw:
    files = tuple(sorted(p for p in folder.rglob("*") if p.is_file()))
    return Raw(folder, max((dicom.members(path, files) for path in files), key=len))


def read(folder: Path, images: list[Dataset], **facts: Any) -> tuple[xr.DataTree, str]:
    """Return the tree and the findings as one text."""
    folder = Path(folder)
    for old in folder.iterdir():
        old.unlink()
    synthetic.write(folder, images)
    raw = open_raw(folder)
    tree = dicom.read(raw, Declared(facts))
    assert [p for p in schema.check(tree) if p.level == "error"] == []
    return tree, "\n".join(map(str, raw.problems))


def in_ras(node: xr.DataTree) -> np.ndarray:
    """Undo what FSL's convention asks for: directions in RAS, by the affine alone."""
    affine = node["affine"].values[:3, :3]
    vectors = node["b_vector"].values.copy()
    if np.linalg.det(affine) > 0:
        vectors[:, 0] *= -1
    return vectors @ (affine / np.linalg.norm(affine, axis=0)).T


class TestDiffusion(PersonalTests):
    reader = dicom
    nodes: ClassVar = {"dwi": "volume"}
    canary: ClassVar = CANARY
    lazy = ("image_adc",)
    accepts = ("dicom",)

    def make(self, folder: Path) -> Path:
        return synthetic.write(folder, volumes(siemens))[0]


@pytest.mark.parametrize("encode", [standard, siemens, siemens_csa])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("up", [1.0, -1.0])
def test_directions_are_along_the_images_axes(
    encode: Encode, orientation: str, up: float, tmp_path: Path
) -> None:
    tree, findings = read(tmp_path, volumes(encode, ORIENTATIONS[orientation], up))
    node = tree["dwi"]
    assert node["image_adc"].dims == ("time", "z", "y", "x")
    assert node["b_value"].values.tolist() == B
    assert node["b_value"].attrs == {"units": "s/mm2"}
    np.testing.assert_allclose(in_ras(node)[1:], GRADIENTS[1:] * [-1, -1, 1], atol=1e-6)
    assert tree.attrs["modality"] == "dwi"
    assert "rate_hz" not in node.attrs
    assert node.attrs["repetition_time_s"] == 2.5
    assert "as FSL has them" in findings


def test_a_direction_by_hand(tmp_path: Path) -> None:
    """Rows run to the left and columns to the back: x is right, y is front, z is up."""
    node = read(tmp_path, volumes(standard))[0]["dwi"]
    assert np.linalg.det(node["affine"].values) > 0
    np.testing.assert_allclose(node["b_vector"].values[3], [-0.48, -0.6, 0.64], atol=1e-12)


@pytest.mark.parametrize(("axis", "axes"), [
    ("COL", np.eye(3)), ("ROW", [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]),
])  # fmt: skip
@pytest.mark.parametrize(
    "orientation", [AXIAL, (0.98, 0, -0.199, 0, 1.0, 0), (-1.0, 0, 0, 0, -1, 0)]
)
def test_directions_along_a_ge_scan(
    axis: str, axes: Any, orientation: Sequence[float], tmp_path: Path
) -> None:
    def encode(data: Dataset, b_value: float, gradient: Sequence[float]) -> None:
        ge(data, b_value, gradient, axis)

    node = read(tmp_path, volumes(encode, orientation))[0]["dwi"]
    assert node["b_value"].values.tolist() == B
    tilt = np.arcsin(-orientation[2]) if orientation[2] else 0.0
    turn = [[np.cos(tilt), 0, -np.sin(tilt)], [0, 1, 0], [np.sin(tilt), 0, np.cos(tilt)]]
    found = in_ras(node)[1:]
    expected = GRADIENTS[1:] @ np.array(axes).T
    if tilt:
        expected = expected @ np.array(turn).T
    np.testing.assert_allclose(np.abs((found * expected).sum(axis=1)), 1, atol=1e-3)


def test_directions_of_other_ge_scans_are_left_out(tmp_path: Path) -> None:
    tree, findings = read(tmp_path, volumes(ge, ORIENTATIONS["coronal"]))
    assert tree["dwi"]["b_value"].values.tolist() == B
    assert "b_vector" not in tree["dwi"]
    assert "how they lie in other slices is not settled" in findings


def test_functional_groups(tmp_path: Path) -> None:
    data = synthetic.enhanced(times=4, slices=2)
    for own in data.PerFrameFunctionalGroupsSequence:
        time = own.FrameContentSequence[0].TemporalPositionIndex - 1
        macro, inner = Dataset(), Dataset()
        macro.DiffusionBValue, macro.DiffusionDirectionality = B[time], "DIRECTIONAL"
        inner.DiffusionGradientOrientation = GRADIENTS[time].tolist()
        macro.DiffusionGradientDirectionSequence = [inner]
        own.MRDiffusionSequence = [macro]
    node = read(tmp_path, [data])[0]["dwi"]
    assert dict(node["image_adc"].sizes) == {"time": 4, "z": 2, "y": 3, "x": 4}
    assert node["b_value"].values.tolist() == B
    np.testing.assert_allclose(in_ras(node)[1:], GRADIENTS[1:] * [-1, -1, 1], atol=1e-9)


def test_one_volume_lies_along_time_too(tmp_path: Path) -> None:
    node = read(tmp_path, volumes(standard)[2:4])[0]["dwi"]
    assert dict(node["image_adc"].sizes) == {"time": 1, "z": 2, "y": 3, "x": 4}
    assert node["b_vector"].shape == (1, 3)


def test_traces_have_no_direction(tmp_path: Path) -> None:
    images = volumes(standard)
    for data in images:
        del data.DiffusionGradientOrientation
        data.DiffusionDirectionality = "ISOTROPIC"
    tree, findings = read(tmp_path, images)
    assert tree["dwi"]["b_value"].values.tolist() == B
    assert "b_vector" not in tree["dwi"]
    assert "directions of 3 volume(s) not stated" in findings


def test_directions_that_are_absent_stay_absent(tmp_path: Path) -> None:
    node = read(tmp_path, volumes(siemens))[0]["dwi"]
    assert np.isnan(node["b_vector"].values[0]).all()
    assert np.isfinite(node["b_vector"].values[1:]).all()


def test_without_b_values_volumes_are_channels(tmp_path: Path) -> None:
    images = volumes(standard)
    for data in images[:2]:
        del data.DiffusionBValue
    node = read(tmp_path, images)[0]["dwi"]
    assert node["image_adc"].dims == ("channel", "z", "y", "x")
    node = read(tmp_path, volumes(standard), axes="channel,z,y,x")[0]["dwi"]
    assert node["image_adc"].dims == ("channel", "z", "y", "x")


def test_a_clock_is_given_where_it_is_declared(tmp_path: Path) -> None:
    node = read(tmp_path, volumes(standard), axes="time,z,y,x")[0]["dwi"]
    assert node.attrs["rate_hz"] == 0.4
    images = volumes(standard)
    for data in images:
        del data.RepetitionTime
    with pytest.raises(MissingFactError, match="rate_hz"):
        read(tmp_path, images, axes="time,z,y,x")


def wrong(number: int, **elements: Any) -> Callable[[list[Dataset]], None]:
    def change(images: list[Dataset]) -> None:
        for keyword, value in elements.items():
            setattr(images[number], keyword, value)

    return change


@pytest.mark.parametrize(("change", "found"), [
    (wrong(3, DiffusionBValue=900.0), "b = 900.0"),
    (wrong(3, DiffusionGradientOrientation=[0, 1.0, 0]), "in .* of one volume"),
    (wrong(3, DiffusionBValue=-1.0), "a b-value of -1"),
    (wrong(3, DiffusionBValue=1e7), "a b-value of 1e"),
    (wrong(3, DiffusionBValue=float("nan")), "not finite"),
    (wrong(3, DiffusionGradientOrientation=[1.0, 0]), "2 numbers"),
    (lambda images: [wrong(n, DiffusionGradientOrientation=[0.5, 0, 0])(images) for n in (2, 3)],
     "a direction of length 0.5"),
])  # fmt: skip
def test_impossible_tables_are_refused(
    change: Callable[[list[Dataset]], Any], found: str, tmp_path: Path
) -> None:
    images = volumes(standard)
    change(images)
    with pytest.raises(UnreadableError, match=found):
        read(tmp_path, images)


@pytest.mark.acceptance
def test_real_mosaics_equal_nibabel(realdata: Path) -> None:
    folder = realdata / "fixtures/mri/nibabel/nicom/tests/data"
    names = tuple(folder / f"siemens_dwi_{n}.dcm.gz" for n in (0, 1000))
    node = dicom.read(Raw(folder, names), Declared())["dwi"]
    with gzip.open(names[1]) as stream:
        wrapper = dicomwrappers.wrapper_from_file(stream)
        stream.seek(0)
        stored = pydicom.dcmread(stream)[0x0019, 0x100E].value
    assert node["b_value"].values.tolist() == [0.0, 1000.0]
    stated = stored if not isinstance(stored, bytes) else struct.unpack("<3d", stored)
    np.testing.assert_allclose(in_ras(node)[1], np.array(stated) * [-1, -1, 1], atol=1e-4)
    theirs = wrapper.b_vector[[1, 0, 2]]  # their first axis runs along columns
    ours = node["b_vector"].values[1]
    if np.linalg.det(node["affine"].values[:3, :3]) > 0:
        ours = ours * [-1, 1, 1]
    assert abs(float(ours @ theirs)) == pytest.approx(1, abs=1e-3)
