"""Volumes of region numbers with their tables of names."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, ClassVar

import nibabel
import numpy as np
import pytest
import xarray as xr

from neurodata import schema
from neurodata.declare import Declared
from neurodata.errors import MissingFactError, RefusedError, UnreadableError
from neurodata.readers import nifti
from neurodata.safe import Raw
from tests.readers.conformance import ReaderTests
from tests.readers.test_nifti import put, synthetic_image

PLAIN = "1 Left\n2 Right side\r\n3 Both\n\n"
COLOURS = (
    "#No. Label Name: R G B A\n0 Unknown 0 0 0 0\n1 Left 1 2 3 0\n"
    "3 Both-sides 9 9 9 0\n2 R 5 5 5 0\n"
)


def write(folder: Path, table: str = PLAIN, name: str = "synthetic.txt", **options: Any) -> Path:
    """Write a synthetic image of the regions 0 to 3 and a table beside it."""
    path = folder / "synthetic.nii"
    image = synthetic_image((4, 3, 2), **options)
    values = (np.arange(24) % 4).reshape(4, 3, 2).astype(options.get("dtype", "<i2"))
    nibabel.Nifti1Image(values, image.affine, image.header).to_filename(path)
    (folder / name).write_text(table)
    return path


def open_raw(path: Path) -> Raw:
    return Raw(path.parent, nifti.members(path, sorted(path.parent.iterdir())))


def read(path: Path, **facts: Any) -> tuple[xr.DataTree, str]:
    """Return the tree and the findings as one text."""
    raw = open_raw(path)
    return nifti.read(raw, Declared(facts)), "\n".join(map(str, raw.problems))


def named(tree: xr.DataTree) -> dict[int, str]:
    node = tree["regions"]
    return dict(zip(node["instance_id"].values.tolist(), node["name"].values.tolist(), strict=True))


class TestNamedRegions(ReaderTests):
    reader = nifti
    accepts = ("nifti", "nifti.gz")
    nodes: ClassVar = {"atlas": "volume", "regions": "instances"}

    def make(self, folder: Path) -> Path:
        return write(folder)

    def test_quality_finds_nothing(self, path: Path) -> None:
        assert [p for p in schema.validate(self.read(path)) if p.level == "error"] == []


@pytest.mark.parametrize("name", ["synthetic.txt", "synthetic.nii.txt", "synthetic_LUT.txt"])
def test_index_and_name(name: str, tmp_path: Path) -> None:
    tree, _ = read(write(tmp_path, name=name))
    assert named(tree) == {1: "Left", 2: "Right side", 3: "Both"}
    assert tree["regions"].attrs["image_node"] == "atlas"
    assert tree["regions"]["label"].dtype == np.uint16
    np.testing.assert_array_equal(tree["regions"]["voxel_count"], [6, 6, 6])
    np.testing.assert_array_equal(tree["regions"]["label"][0], tree["atlas"]["image_adc"])


def test_freesurfer_colours_are_left_out(tmp_path: Path) -> None:
    tree, findings = read(write(tmp_path, COLOURS))
    assert named(tree) == {1: "Left", 2: "R", 3: "Both-sides"}
    assert "colours, left out" in findings


def test_numbers_that_tell_names_apart_are_part_of_them(tmp_path: Path) -> None:
    tree, _ = read(write(tmp_path, "1 Area 44\n2 Area 45\n3 Area 46\n"))
    assert named(tree) == {1: "Area 44", 2: "Area 45", 3: "Area 46"}
    tree, findings = read(write(tmp_path, "1 A_L 2001\n2 A_R 2002\n3 B_L 2101\n"))
    assert named(tree) == {1: "A_L", 2: "A_R", 3: "B_L"}
    assert "1 further column(s) without a name" in findings


def test_bids_table(tmp_path: Path) -> None:
    path = write(tmp_path).rename(tmp_path / "sub-01_desc-x_dseg.nii")
    table = (
        "name\tindex\tabbreviation\tcolor\nLeft side\t1\tL\t#ff0000\nBoth\t3\tB\tn/a\nR\t2\t\t\n"
    )
    (tmp_path / "sub-01_desc-x_dseg.tsv").write_text(table)
    tree, _ = read(path)
    assert named(tree) == {1: "Left side", 2: "R", 3: "Both"}
    assert tree["regions"]["abbreviation"].values.tolist() == ["L", "", "B"]
    assert tree.attrs["subject"] == "01"


@pytest.mark.parametrize("dtype", ["<f4", "<f8", "u1"])
def test_floats_that_are_whole_numbers(dtype: str, tmp_path: Path) -> None:
    tree, _ = read(write(tmp_path, dtype=dtype))
    assert named(tree) == {1: "Left", 2: "Right side", 3: "Both"}
    assert tree["regions"]["label"].dtype.kind == "u"


WRONG = {
    "a number twice": ("1 A\n1 B\n", "more than once"),
    "a name without number": ("1 A\nB C\n", "line 2"),
    "a number alone": ("1 A\n2\n", "line 2"),
    "no name of any region": ("7 A\n8 B\n", "none|no name"),
}


@pytest.mark.parametrize("story", WRONG)
def test_wrong_tables_are_refused(story: str, tmp_path: Path) -> None:
    table, found = WRONG[story]
    with pytest.raises(UnreadableError, match=found):
        read(write(tmp_path, table))


def test_scaled_or_broken_numbers_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(put(112, "2f", 2.0, 0.0)(path.read_bytes()))
    with pytest.raises(UnreadableError, match="scaled voxels"):
        read(path)
    path = write(tmp_path, dtype="<f4")
    path.write_bytes(put(352 + 4, "f", 1.5)(path.read_bytes()))
    with pytest.raises(UnreadableError, match="no whole numbers"):
        read(path)
    path.write_bytes(put(352 + 4, "f", float("nan"))(path.read_bytes()))
    with pytest.raises(UnreadableError, match="no whole numbers"):
        read(path)
    path = write(tmp_path)
    path.write_bytes(put(352 + 2, "h", -3)(path.read_bytes()))
    with pytest.raises(RefusedError, match="negative"):
        read(path)


def test_regions_without_name_and_names_without_region(tmp_path: Path) -> None:
    tree, findings = read(write(tmp_path, "1 A\n2 B\n9 C\n"))
    assert named(tree) == {1: "A", 2: "B", 3: ""}
    assert "1 region(s) without a name: 3" in findings
    assert "1 name(s) of regions without a voxel: 9" in findings


@pytest.mark.parametrize("text", ["taken on a Monday\n", "1 2 3\n", "\n\n", "1 100\n2 200\n"])
def test_other_texts_are_left_alone(text: str, tmp_path: Path) -> None:
    tree, findings = read(write(tmp_path, text))
    assert list(tree.children) == ["anat"]
    assert "not read" in findings


def test_texts_beside_a_series_are_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path)
    synthetic_image().to_filename(path)
    assert list(read(path)[0].children) == ["bold"]


@pytest.mark.acceptance
def test_aal(realdata: Path) -> None:
    folder = realdata / "acceptance/mri/mricron_debian"
    path = folder / "aal.nii.gz"
    with pytest.raises(MissingFactError, match="voxel_mm=1,1,1"):
        read(path)
    tree, _ = read(path, voxel_mm=[1, 1, 1])
    names = named(tree)
    assert len(names) == 116
    assert (names[1], names[2], names[116]) == ("Precentral_L", "Precentral_R", "Vermis_10")
    whole = gzip.decompress(path.read_bytes())
    assert int.from_bytes(whole[70:72], "little") == 2  # unsigned bytes
    shape = np.frombuffer(whole, "<i2", 3, 42)
    offset = int(np.frombuffer(whole, "<f4", 1, 108)[0])
    voxels = np.frombuffer(whole, "u1", int(np.prod(shape, dtype=int)), offset)
    keys, counts = np.unique(voxels[voxels > 0], return_counts=True)
    np.testing.assert_array_equal(tree["regions"]["instance_id"], keys)
    np.testing.assert_array_equal(tree["regions"]["voxel_count"], counts)
    np.testing.assert_array_equal(tree["regions"]["label"][0].values.ravel(), voxels)
    np.testing.assert_array_equal(tree["atlas"]["affine"].values, nibabel.load(path).affine)
    assert [p for p in schema.validate(tree) if p.level == "error"] == []


@pytest.mark.acceptance
def test_ch2_has_no_names(realdata: Path) -> None:
    path = realdata / "acceptance/mri/mricron_debian/ch2.nii.gz"
    tree, _ = read(path, voxel_mm=[1, 1, 1])
    assert list(tree.children) == ["anat"]
    np.testing.assert_array_equal(
        tree["anat"]["image_adc"].values.T, np.asarray(nibabel.load(path).dataobj.get_unscaled())
    )
