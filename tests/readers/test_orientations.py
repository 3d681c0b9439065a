"""An asymmetric phantom stored in all 48 orientations is one image on the canonical grid."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import h5py
import nibabel
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform

from neurodata import steps
from neurodata.declare import Declared
from neurodata.physical import physical
from neurodata.readers import afni, mgh, mif, minc, nifti
from neurodata.safe import Raw
from tests.readers import test_afni, test_mif

ALL_48 = ["".join(signs) for order in itertools.permutations(("LR", "AP", "IS"))
          for signs in itertools.product(*order)]  # fmt: skip
SHAPE = (5, 6, 7)
PHANTOM = np.random.default_rng(48).permutation(np.prod(SHAPE)).reshape(SHAPE).astype("i2")
"""Voxels ``(x, y, z)`` that all differ, to the right, front and top."""
SIZES_MM, ORIGIN_MM = np.array([2.0, 3.0, 4.0]), np.array([-7.0, 11.0, -5.0])
COSINES = np.array([[0.96, -0.28, 0.0], [0.28, 0.96, 0.0], [0.0, 0.0, 1.0]])
"""Unit vectors of the axes x, y and z, as columns: a head that is turned a little."""
Array = np.ndarray
Write = Callable[[Path, Array, Array, str], Path]


def affine_of(cosines: Array = COSINES) -> Array:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = cosines * SIZES_MM, ORIGIN_MM
    return matrix


def stored_as(codes: str, affine: Array) -> tuple[Array, Array]:
    """Return the phantom with its axes along these sides, and the affine that belongs to it."""
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(tuple(codes)))
    return apply_orientation(PHANTOM, turn), affine @ inv_ornt_aff(turn, SHAPE)


def write_sform(folder: Path, image: Array, affine: Array, codes: str) -> Path:
    return _nifti(folder, image, affine, "sform")


def write_qform(folder: Path, image: Array, affine: Array, codes: str) -> Path:
    return _nifti(folder, image, affine, "qform")


def _nifti(folder: Path, image: Array, affine: Array, form: str) -> Path:
    made = nibabel.Nifti1Image(image, affine)
    made.set_sform(affine, code=int(form == "sform"))
    made.set_qform(affine, code=int(form == "qform"))
    made.header.set_xyzt_units("mm", "sec")
    made.to_filename(folder / "synthetic.nii")
    return folder / "synthetic.nii"


def write_mgh(folder: Path, image: Array, affine: Array, codes: str) -> Path:
    nibabel.MGHImage(image, affine).to_filename(folder / "synthetic.mgh")
    return folder / "synthetic.mgh"


def write_minc(folder: Path, image: Array, affine: Array, codes: str) -> Path:
    """MINC 2 by h5py: an axis is named by where it goes, and its step has the sign."""
    names = [f"{'xxyyzz'['LRAPIS'.index(c)]}space" for c in codes]
    directions = {}
    for axis, name in enumerate(names):
        sign = 1 if codes[axis] in "RAS" else -1
        size = np.linalg.norm(affine[:3, axis])
        directions[name] = (sign * size, sign * affine[:3, axis] / size, image.shape[axis])
    cosines = np.stack([directions[f"{a}space"][1] for a in "xyz"], 1)
    starts = dict(zip("xyz", np.linalg.solve(cosines, affine[:3, 3]), strict=True))
    path = folder / "synthetic.mnc"
    with h5py.File(path, "w") as file:
        root = file.create_group("minc-2.0")
        for name, (step, direction, length) in directions.items():
            axis = root.create_dataset(f"dimensions/{name}", data=0)
            axis.attrs["length"], axis.attrs["spacing"] = np.int32(length), np.bytes_("regular__")
            axis.attrs["step"], axis.attrs["start"] = step, starts[name[0]]
            axis.attrs["units"], axis.attrs["direction_cosines"] = np.bytes_("mm"), direction
        voxels = root.create_dataset("image/0/image", data=image.transpose())
        voxels.attrs["dimorder"] = np.bytes_(",".join(names[::-1]))
        voxels.attrs["valid_range"] = np.array([0.0, 1000.0])
        for name, value in (("image-min", 0.0), ("image-max", 1000.0)):
            root.create_dataset(f"image/0/{name}", data=value)
    return path


def write_afni(folder: Path, image: Array, affine: Array, codes: str) -> Path:
    """AFNI by its header: axes are along those of the scanner, whose x and y go the other way."""
    scanner = np.diag([-1.0, -1, 1, 1]) @ affine
    delta = [float(scanner[np.abs(scanner[:3, axis]).argmax(), axis]) for axis in range(3)]
    origin = [float(scanner[np.abs(scanner[:3, axis]).argmax(), 3]) for axis in range(3)]
    path = test_afni.write(
        folder, image.shape,
        ORIENT_SPECIFIC=("integer", *("LRAPSI".index(c) for c in codes)),
        DELTA=("float", *delta), ORIGIN=("float", *origin),
        IJK_TO_DICOM_REAL=("float", *scanner[:3].ravel().tolist()),
    )  # fmt: skip
    path.with_suffix(".BRIK").write_bytes(image.astype("<i2").tobytes(order="F"))
    return path


FORMATS: dict[str, tuple[ModuleType, Write, Array]] = {
    "nifti-sform": (nifti, write_sform, affine_of()),
    "nifti-qform": (nifti, write_qform, affine_of()),
    "mgh": (mgh, write_mgh, affine_of()),
    "minc": (minc, write_minc, affine_of()),
    "afni": (afni, write_afni, affine_of(np.eye(3))),
}


def canonical(reader: ModuleType, path: Path) -> tuple[Array, Array]:
    """Return voxels ``(x, y, z)`` and affine of a file, read and turned to right, front and top."""
    raw = Raw(path.parent, reader.members(path, sorted(path.parent.iterdir())))
    tree = physical(reader.read(raw, Declared()))
    node = steps.apply(tree, steps.parse([{"step": "reorient", "to": "RAS"}]))["anat"].to_dataset()
    return node["image"].transpose("x", "y", "z").values, node["affine"].values


def test_there_are_48_orientations_and_the_phantom_has_no_symmetry() -> None:
    assert len(set(ALL_48)) == 48
    found = {stored_as(codes, affine_of())[0].tobytes() for codes in ALL_48}
    assert len(found) == 48


@pytest.mark.parametrize("name", FORMATS)
def test_the_canonical_image_is_nibabels_and_that_of_the_phantom(name: str, tmp_path: Path) -> None:
    reader, write, affine = FORMATS[name]
    right = 0
    for codes in ALL_48:
        folder = tmp_path / codes
        folder.mkdir()
        path = write(folder, *stored_as(codes, affine), codes)
        found, matrix = canonical(reader, path)
        theirs = nibabel.as_closest_canonical(nibabel.load(path))
        np.testing.assert_array_equal(found, np.squeeze(theirs.dataobj), codes)
        np.testing.assert_array_equal(found, PHANTOM, codes)
        np.testing.assert_allclose(matrix, theirs.affine, atol=1e-4, err_msg=codes)
        np.testing.assert_allclose(matrix, affine, atol=1e-4, err_msg=codes)
        right += 1
    assert right == 48


def test_mrtrix_stores_one_image_along_48_strides(tmp_path: Path) -> None:
    assert len(test_mif.LAYOUTS) == 48
    for layout in test_mif.LAYOUTS:
        path = test_mif.write(tmp_path, PHANTOM, layout)
        found, matrix = canonical(mif, path)
        np.testing.assert_array_equal(found, PHANTOM, str(layout))
        np.testing.assert_allclose(matrix, test_mif.logical_affine(), atol=1e-6)
