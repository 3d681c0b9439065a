"""Gradient tables beside NIfTI: values, forms, and what is refused of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import NeurodataError, UnreadableError
from neurodata.readers import nifti
from neurodata.safe import Raw
from tests.readers.conformance import ReaderTests, attempt, refused
from tests.readers.test_nifti import synthetic_image

B = [0.0, 1000.0, 1000.0, 2000.0, 0.0]
VECTORS = np.array([[0, 0, 0], [1, 0, 0], [0.6, 0.8, 0], [0, -0.6, 0.8], [np.nan] * 3])


def lines(table: Any) -> str:
    return "".join(" ".join(f"{x:.6g}" for x in row) + "\n" for row in np.atleast_2d(table))


def write(
    folder: Path, bval: str | None = None, bvec: str | None = None, shape: Sequence[int] = ()
) -> Path:
    """Write a synthetic image of five volumes with its tables; empty text leaves one out."""
    path = folder / "synthetic.nii"
    synthetic_image(tuple(shape) or (4, 3, 2, 5), period=3.2).to_filename(path)
    bval, bvec = lines(B) if bval is None else bval, lines(VECTORS.T) if bvec is None else bvec
    for suffix, text in ((".bval", bval), (".bvec", bvec)):
        if text:
            path.with_suffix(suffix).write_text(text)
    return path


def open_raw(path: Path) -> Raw:
    return Raw(path.parent, nifti.members(path, sorted(path.parent.iterdir())))


def read(path: Path, **facts: Any) -> tuple[xr.DataTree, str]:
    """Return the tree and the findings as one text."""
    raw = open_raw(path)
    return nifti.read(raw, Declared(facts)), "\n".join(map(str, raw.problems))


class TestDiffusion(ReaderTests):
    reader = nifti
    accepts = ("nifti", "nifti.gz")
    nodes: ClassVar = {"dwi": "volume"}

    def make(self, folder: Path) -> Path:
        return write(folder)

    def test_damaged_tables_give_no_foreign_exception(self, path: Path) -> None:
        random = np.random.default_rng(5)
        for victim in (path.with_suffix(".bval"), path.with_suffix(".bvec")):
            whole = victim.read_bytes()
            refused(lambda victim=victim: (victim.write_bytes(b""), self.read(path)))
            for bit in random.integers(8 * len(whole), size=120):
                damaged = bytearray(whole)
                damaged[bit // 8] ^= 1 << (bit % 8)
                victim.write_bytes(damaged)
                attempt(lambda: self.read(path))
            victim.write_bytes(whole)

    def test_cut_tables_are_refused(self, path: Path) -> None:
        for suffix in (".bval", ".bvec"):
            victim = path.with_suffix(suffix)
            whole = victim.read_bytes()
            last = len(whole.split()[-1]) + 1  # a number cut in its digits is a number
            for count in np.linspace(1, len(whole) - last - 1, 20).astype(int):
                victim.write_bytes(whole[:count])
                refused(lambda: self.read(path), f"{suffix} cut at {count}")
            victim.write_bytes(whole)


@pytest.mark.parametrize("form", ["3 x N", "N x 3", "commas", "one b a line"])
def test_forms_of_the_tables(form: str, tmp_path: Path) -> None:
    bvec = lines(VECTORS if form == "N x 3" else VECTORS.T)
    bvec = bvec.replace(" ", ",") if form == "commas" else bvec
    bval = lines(B).replace(" ", "\n") if form == "one b a line" else None
    tree, findings = read(write(tmp_path, bval, bvec))
    node = tree["dwi"]
    assert tree.attrs["modality"] == "dwi"
    assert node["image_adc"].dims == ("time", "z", "y", "x")
    assert "rate_hz" not in node.attrs
    np.testing.assert_array_equal(node["b_value"], B)
    assert node["b_value"].attrs["units"] == "s/mm2"
    np.testing.assert_array_equal(node["b_vector"], VECTORS)
    assert list(node["axis"].values) == ["x", "y", "z"]
    assert ("rows of 3 numbers" in findings) == (form == "N x 3")


def test_directions_without_meaning_are_findings(tmp_path: Path) -> None:
    _, findings = read(write(tmp_path))
    assert "1 NaN direction(s), all where b is 0: volumes 4" in findings
    assert "1 zero direction(s), all where b is 0: volumes 0" in findings
    assert "x is reversed, the affine's determinant being positive" in findings


def test_the_convention_follows_the_affine(tmp_path: Path) -> None:
    path = write(tmp_path)
    synthetic_image(affine=np.diag([-2.0, 3, 4, 1])).to_filename(path)
    tree, findings = read(path)
    assert "x is not reversed, the affine's determinant being negative" in findings
    np.testing.assert_array_equal(tree["dwi"]["b_vector"], VECTORS)


WRONG = {
    "four b-values": (lines(B[:4]), None, "4 b-values"),
    "six b-values": (lines([*B, 0]), None, "6 b-values"),
    "two rows of b-values": (lines([B, B]), None, "2 rows of 5"),
    "a negative b": (lines([-1, *B[1:]]), None, "a b-value of -1"),
    "b NaN": (lines([np.nan, *B[1:]]), None, "a b-value of nan"),
    "an impossible b": (lines([1e9, *B[1:]]), None, "a b-value of 1e"),
    "words": ("b0 b1 b2 b3 b4\n", None, "'b0'"),
    "infinity": ("inf 0 0 0 0\n", None, "'inf'"),
    "no b-values": ("", None, r"synthetic\.bvec alone"),
    "no directions": (None, "", r"synthetic\.bval alone"),
    "four directions": (None, lines(VECTORS[:4].T), "4 directions"),
    "two rows": (None, lines(VECTORS.T[:2]), "2 rows of 5"),
    "rows of unlike length": (None, "1 0 0 0 0\n0 1 0 0\n0 0 1 0 0\n", "rows of \\[4, 5\\]"),
    "NaN where b is over 0": (lines([0, 1000, 1000, 2000, 5]), None, "volume 4.*b = 5"),
    "zero where b is over 0": (lines([5, 1000, 1000, 2000, 0]), None, "volume 0.*b = 5"),
    "a short direction": (None, lines((VECTORS * [[1], [1], [0.9], [1], [1]]).T), "length 0.9"),
    "one row of numbers": (None, "1 0 0 0 0\n", "1 rows of 5"),
}


@pytest.mark.parametrize("story", WRONG)
def test_wrong_tables_are_refused(story: str, tmp_path: Path) -> None:
    bval, bvec, found = WRONG[story]
    with pytest.raises(UnreadableError, match=found) as caught:
        read(write(tmp_path, bval, bvec))
    assert caught.value.expected


def test_binary_tables_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.with_suffix(".bval").write_bytes(b"\xff\xfe0 1")
    with pytest.raises(NeurodataError, match="UTF-8"):
        read(path)


def test_values_of_another_unit_are_warned_about(tmp_path: Path) -> None:
    _, findings = read(write(tmp_path, lines([0, 1, 1, 2, 0])))
    assert "warning" in findings
    assert "ms/um2" in findings


def test_three_volumes_are_read_as_fsl_means_them(tmp_path: Path) -> None:
    turn = np.array([[1, 0, 0], [0, 0.6, 0.8], [0, -0.8, 0.6]])
    path = write(tmp_path, lines([9, 1000, 1000]), lines(turn), (4, 3, 2, 3))
    tree, findings = read(path)
    np.testing.assert_array_equal(tree["dwi"]["b_vector"], turn.T)
    assert "3 rows and 3 columns" in findings


def test_one_volume(tmp_path: Path) -> None:
    tree, _ = read(write(tmp_path, "0\n", "0\n0\n0\n", (4, 3, 2)))
    assert dict(tree["dwi"]["image_adc"].sizes) == {"time": 1, "z": 2, "y": 3, "x": 4}
    assert tree["dwi"]["b_vector"].shape == (1, 3)


def test_tables_of_an_image_called_data(tmp_path: Path) -> None:
    path = write(tmp_path).rename(tmp_path / "data.nii")
    (tmp_path / "synthetic.bval").rename(tmp_path / "bvals")
    (tmp_path / "synthetic.bvec").rename(tmp_path / "bvecs")
    assert [p.name for p in open_raw(path).files] == ["data.nii", "bvals", "bvecs"]
    assert "b_value" in read(path)[0]["dwi"]


def test_declared_channels_leave_the_table_out(tmp_path: Path) -> None:
    tree, findings = read(write(tmp_path), axes="channel,z,y,x")
    assert dict(tree["dwi"]["image_adc"].sizes)["channel"] == 5
    assert "b_value" not in tree["dwi"]
    assert "a gradient table, not read" in findings


def test_declared_time_asks_for_a_clock_as_well(tmp_path: Path) -> None:
    node = read(write(tmp_path), axes="time,z,y,x")[0]["dwi"]
    assert node.attrs["rate_hz"] == pytest.approx(1 / 3.2)
    assert node["b_value"].dims == ("time",)


@pytest.mark.acceptance
def test_dipy(realdata: Path) -> None:
    path = realdata / "fixtures/mri/dipy/small_64D.nii"
    tree, findings = read(path, voxel_mm=[2, 2, 2])
    node = tree["dwi"]
    assert dict(node["image_adc"].sizes) == {"time": 65, "z": 10, "y": 10, "x": 10}
    values = np.loadtxt(path.with_suffix(".bval"))
    vectors = np.loadtxt(path.with_suffix(".bvec"))  # 65 x 3
    assert vectors.shape == (65, 3)
    np.testing.assert_array_equal(node["b_value"], values)
    np.testing.assert_array_equal(node["b_vector"], vectors)
    assert values[0] == 0
    assert np.isnan(vectors[0]).all()
    assert not np.isnan(vectors[1:]).any()
    assert "1 NaN direction(s), all where b is 0: volumes 0" in findings
    assert "65 rows of 3 numbers" in findings
    block = path.read_bytes()
    offset = int(np.frombuffer(block, "<f4", 1, 108)[0])
    voxels = np.frombuffer(block, "<i2", 65000, offset).reshape(65, 10, 10, 10)
    np.testing.assert_array_equal(node["image_adc"].values, voxels)
