"""AFNI datasets: voxels, geometry and clock by text and struct, nibabel, and NIfTI."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import nibabel
import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import (
    MissingFactError,
    NeurodataError,
    RefusedError,
    UnreadableError,
)
from neurodata.readers import afni, nifti
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests, ReaderTests

CANARY = "Jane Q Canary"
SHAPE = (4, 3, 2, 5)
OBLIQUE = np.array([[0.8, -0.6, 0.0], [0.48, 0.64, -0.6], [0.36, 0.48, 0.8]]) * [2, 3, 4]


def attribute(kind: str, name: str, *values: Any) -> str:
    if kind == "string":
        text = str(values[0]) + "~"
        return f"\ntype = string-attribute\nname = {name}\ncount = {len(text)}\n'{text}\n"
    numbers = " ".join(f"{x:.7g}" if isinstance(x, float) else str(x) for x in values)
    return f"\ntype = {kind}-attribute\nname = {name}\ncount = {len(values)}\n {numbers}\n"


def synthetic_head(shape: tuple[int, ...] = SHAPE, **changes: tuple[Any, ...] | None) -> str:
    """The header of a synthetic dataset; a change of None leaves an attribute out."""
    count = (*shape, 1)[3]
    facts: dict[str, tuple[Any, ...] | None] = {
        "DATASET_RANK": ("integer", 3, count, 0, 0, 0, 0, 0, 0),
        "DATASET_DIMENSIONS": ("integer", *shape[:3], 0, 0),
        "TYPESTRING": ("string", "3DIM_HEAD_ANAT"),
        "SCENE_DATA": ("integer", 0, 2, 0, -999, -999, -999, -999, -999),
        "ORIENT_SPECIFIC": ("integer", 0, 3, 4),
        "ORIGIN": ("float", -49.5, -82.25, -52.5),
        "DELTA": ("float", 2, 3, 4),
        "IJK_TO_DICOM_REAL": ("float", 2, 0, 0, -49.5, 0, 3, 0, -82.25, 0, 0, 4, -52.5),
        "BRICK_TYPES": ("integer", *[1] * count),
        "BRICK_FLOAT_FACS": ("float", *[0] * count),
        "BYTEORDER_STRING": ("string", "LSB_FIRST"),
        "TEMPLATE_SPACE": ("string", "ORIG"),
        "TAXIS_NUMS": ("integer", count, 0, 77002, -999, -999, -999, -999, -999),
        "TAXIS_FLOATS": ("float", 0, 2, 0, -52.5, 4, -999999, -999999, -999999),
        "BRICK_LABS": ("string", "~".join(f"#{k}" for k in range(count))),
        "DATASET_NAME": ("string", CANARY),
        "HISTORY_NOTE": ("string", f"[{CANARY}@host: today] 3dcopy"),
        "IDCODE_STRING": ("string", CANARY),
        "LABEL_1": ("string", CANARY),
        "NOTE_NUMBER_001": ("string", CANARY),
        **changes,
    }
    if count == 1:
        facts["TAXIS_NUMS"] = facts["TAXIS_FLOATS"] = None
    return "".join(
        attribute(str(fact[0]), name, *fact[1:]) for name, fact in facts.items() if fact is not None
    )


def write(
    folder: Path,
    shape: tuple[int, ...] = SHAPE,
    dtype: str = "<i2",
    gz: bool = False,
    **changes: Any,
) -> Path:
    path = folder / "synthetic+orig.HEAD"
    path.write_text(synthetic_head(shape, **changes))
    voxels = np.arange(np.prod(shape)).astype(dtype).tobytes()
    brik = path.with_suffix(".BRIK.gz" if gz else ".BRIK")
    brik.write_bytes(gzip.compress(voxels, mtime=0) if gz else voxels)
    return path


def open_raw(path: Path) -> Raw:
    return Raw(path.parent, afni.members(path, sorted(path.parent.iterdir())))


def read(path: Path, **facts: Any) -> tuple[xr.DataTree, str]:
    """Return the tree and the findings as one text."""
    raw = open_raw(path)
    return afni.read(raw, Declared(facts)), "\n".join(map(str, raw.problems))


def change(name: str, *fact: Any) -> Callable[[bytes], bytes]:
    """Give an attribute another value, or none."""

    def lie(whole: bytes) -> bytes:
        return synthetic_head(**{name: fact or None}).encode()

    return lie


def text(old: str, new: str) -> Callable[[bytes], bytes]:
    return lambda whole: whole.replace(old.encode(), new.encode(), 1)


IMPOSSIBLE = {
    "no rank": change("DATASET_RANK"),
    "two axes": change("DATASET_RANK", "integer", 2, 5),
    "no volume": change("DATASET_RANK", "integer", 3, 0),
    "one volume more": change("DATASET_RANK", "integer", 3, 6),
    "a thousand million volumes": change("DATASET_RANK", "integer", 3, 10**9),
    "no dimensions": change("DATASET_DIMENSIONS"),
    "negative size": change("DATASET_DIMENSIONS", "integer", 4, -3, 2),
    "one row more": change("DATASET_DIMENSIONS", "integer", 4, 4, 2),
    "huge": change("DATASET_DIMENSIONS", "integer", 10**8, 10**8, 10**8),
    "no type": change("BRICK_TYPES"),
    "several types": change("BRICK_TYPES", "integer", 1, 1, 3, 1, 1),
    "colours": change("BRICK_TYPES", "integer", *[6] * 5),
    "unknown type": change("BRICK_TYPES", "integer", *[9] * 5),
    "floats": change("BRICK_TYPES", "integer", *[3] * 5),
    "no byte order": change("BYTEORDER_STRING"),
    "another byte order": change("BYTEORDER_STRING", "string", "PDP"),
    "factor NaN": change("BRICK_FLOAT_FACS", "float", 0, 0, float("nan"), 0, 0),
    "too few factors": change("BRICK_FLOAT_FACS", "float", 1, 2),
    "voxel size 0": change("DELTA", "float", 2, 0, 4),
    "voxel size infinite": change("DELTA", "float", 2, float("inf"), 4),
    "no voxel size": change("DELTA"),
    "no orientation": change("ORIENT_SPECIFIC"),
    "one axis twice": change("ORIENT_SPECIFIC", "integer", 0, 1, 4),
    "orientation 9": change("ORIENT_SPECIFIC", "integer", 0, 3, 9),
    "orientation against the sign": change("ORIENT_SPECIFIC", "integer", 1, 3, 4),
    "origin NaN": change("ORIGIN", "float", 0, float("nan"), 0),
    "other sizes in the matrix": change("IJK_TO_DICOM_REAL", "float", *[1, 0, 0, 0] * 3),
    "a singular matrix": change("IJK_TO_DICOM_REAL", "float", *[2, 0, 0, 0] * 3),
    "a short matrix": change("IJK_TO_DICOM_REAL", "float", 2, 0, 0),
    "points in time": change("TAXIS_NUMS", "integer", 4, 0, 77002),
    "no unit of time": change("TAXIS_NUMS", "integer", 5, 0, 0),
    "frequencies": change("TAXIS_NUMS", "integer", 5, 0, 77003),
    "repetition time 0": change("TAXIS_FLOATS", "float", 0, 0),
    "repetition time negative": change("TAXIS_FLOATS", "float", 0, -2),
    "repetition time of milliseconds": change("TAXIS_FLOATS", "float", 0, 2000),
    "an attribute twice": lambda whole: whole + attribute("float", "DELTA", 2, 3, 4).encode(),
    "words for numbers": text(" 2 3 4\n", " 2 three 4\n"),
    "one number too few": text(" 2 3 4\n", " 2 3\n"),
    "a count too large": text("count = 3\n 2 3 4", "count = 4\n 2 3 4"),
    "prose at the end": lambda whole: whole + b"\nThat is all.",
}


class TestAfni(HeaderTests, PersonalTests):
    reader = afni
    nodes: ClassVar = {"bold": "volume"}
    lies = IMPOSSIBLE
    canary = CANARY

    def make(self, folder: Path) -> Path:
        note = f"{CANARY}\n\ntype = string-attribute\nname = DELTA\ncount = 1\n"
        return write(folder, HISTORY_NOTE=("string", note))

    def victims(self, path: Path) -> tuple[Path, ...]:
        return path, path.with_suffix(".BRIK")


class TestBucket(ReaderTests):
    reader = afni
    nodes: ClassVar = {"image": "volume"}

    def make(self, folder: Path) -> Path:
        facts = {"TAXIS_NUMS": None, "TAXIS_FLOATS": None}
        return write(folder, gz=True, BRICK_FLOAT_FACS=("float", 0, 1, 2, 0.5, -1), **facts)

    def victims(self, path: Path) -> tuple[Path, ...]:
        return (path.with_suffix(".BRIK.gz"),)

    def test_factors_are_one_a_channel(self, path: Path) -> None:
        node = self.read(path)["image"]
        np.testing.assert_array_equal(node["scale"], [1, 1, 2, 0.5, -1])
        assert list(node["channel"].values) == ["#0", "#1", "#2", "#3", "#4"]
        physical = node["image_adc"] * node["scale"] + node["offset"]
        np.testing.assert_array_equal(physical.values.T, nibabel.load(path).get_fdata())


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize(("code", "dtype"), [(0, "u1"), (1, "i2"), (3, "f4"), (5, "c8")])
@pytest.mark.parametrize("order", ["<", ">"])
def test_voxels(code: int, dtype: str, order: str, gz: bool, tmp_path: Path) -> None:
    name = "LSB_FIRST" if order == "<" else "MSB_FIRST"
    path = write(
        tmp_path, dtype=order + dtype, gz=gz, BYTEORDER_STRING=("string", name),
        BRICK_TYPES=("integer", *[code] * 5),
    )  # fmt: skip
    node = read(path)[0]["bold"]
    stored = node["image_adc" if dtype in ("u1", "i2") else "image"]
    assert stored.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(stored.values.ravel(), np.arange(120))
    assert stored.dims == ("time", "z", "y", "x")
    assert {key: node.attrs[key] for key in ("start_s", "rate_hz", "n")} == {
        "start_s": 0.0, "rate_hz": 0.5, "n": 5,
    }  # fmt: skip
    expected = [[-2, 0, 0, 49.5], [0, -3, 0, 82.25], [0, 0, 4, -52.5], [0, 0, 0, 1]]
    np.testing.assert_array_equal(node["affine"].values, expected)
    np.testing.assert_array_equal(node["affine"].values, nibabel.load(path).affine)
    assert node["affine"].attrs["space_code"] == "scanner"


def test_milliseconds_are_told_from_seconds(tmp_path: Path) -> None:
    """The library that reads AFNI elsewhere does not look at the unit."""
    path = write(tmp_path, TAXIS_NUMS=("integer", 5, 0, 77001), TAXIS_FLOATS=("float", 500, 2000))
    assert nibabel.load(path).header.get_zooms()[3] == 2000
    attrs = read(path)[0]["bold"].attrs
    assert (attrs["start_s"], attrs["rate_hz"]) == (0.5, 0.5)
    path = write(tmp_path, TAXIS_FLOATS=("float", 0, 2000))
    with pytest.raises(MissingFactError, match=r"2000 s.*rate_hz=0\.5"):
        read(path)
    assert read(path, rate_hz=0.5)[0]["bold"].attrs["rate_hz"] == 0.5


def test_factors_that_differ_in_time_are_multiplied_in(tmp_path: Path) -> None:
    factors = (0.25, 0.5, 0, 1.5, 3.883363e-08)
    path = write(tmp_path, BRICK_FLOAT_FACS=("float", *factors))
    tree, findings = read(path)
    image = tree["bold"]["image"]
    assert image.dtype == np.float32
    expected = np.arange(120).reshape(5, 2, 3, 4) * np.reshape(
        [f or 1 for f in factors], (5, 1, 1, 1)
    )
    np.testing.assert_allclose(image.values, expected, rtol=1e-7)
    np.testing.assert_allclose(image.values.T, nibabel.load(path).get_fdata(), rtol=1e-6)
    assert "one factor a volume" in findings


def test_oblique_matrix_is_taken(tmp_path: Path) -> None:
    matrix = np.column_stack([OBLIQUE, [-10.0, 20, 30]])
    tree, findings = read(write(tmp_path, IJK_TO_DICOM_REAL=("float", *matrix.ravel())))
    expected = np.diag([-1, -1, 1]) @ matrix
    np.testing.assert_allclose(tree["bold"]["affine"].values[:3], expected, rtol=1e-6)
    assert "an oblique volume" in findings


def test_without_matrix_orientation_and_sizes_place_it(tmp_path: Path) -> None:
    """Axes of the file: to the top, to the right, to the front."""
    path = write(
        tmp_path, IJK_TO_DICOM_REAL=None, ORIENT_SPECIFIC=("integer", 4, 1, 2),
        DELTA=("float", 2, -3, -4), ORIGIN=("float", -10, 20, 30),
    )  # fmt: skip
    matrix = read(path)[0]["bold"]["affine"].values
    expected = [[0, 3, 0, -20], [0, 0, 4, -30], [2, 0, 0, -10], [0, 0, 0, 1]]
    np.testing.assert_array_equal(matrix, expected)
    assert nibabel.aff2axcodes(matrix) == ("S", "R", "A")


@pytest.mark.parametrize(
    ("view", "template", "space"),
    [(0, "ORIG", "scanner"), (1, "ORIG", "aligned"), (2, "TLRC", "talairach"), (2, "MNI", "mni"),
     (2, "MNI_2009c_asym", "unknown"), (7, "", "unknown")],
)  # fmt: skip
def test_spaces(view: int, template: str, space: str, tmp_path: Path) -> None:
    facts = {"SCENE_DATA": ("integer", view, 0, 0), "TEMPLATE_SPACE": ("string", template)}
    node = read(write(tmp_path, **facts))[0]["bold"]
    assert node["affine"].attrs["space_code"] == space


def test_voxel_file_missing_twice_or_too_long(tmp_path: Path) -> None:
    path = write(tmp_path)
    brik = path.with_suffix(".BRIK")
    path.with_suffix(".BRIK.gz").write_bytes(gzip.compress(brik.read_bytes()))
    with pytest.raises(UnreadableError, match=r"BRIK, .*BRIK\.gz"):
        read(path)
    path.with_suffix(".BRIK.gz").unlink()
    brik.write_bytes(brik.read_bytes() + b"more")
    assert "4 bytes after the last voxel" in read(path)[1]
    brik.unlink()
    with pytest.raises(UnreadableError, match="no voxel file"):
        read(path)


@pytest.mark.parametrize("story", IMPOSSIBLE)
def test_impossible_header_says_where_and_what(story: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(IMPOSSIBLE[story](path.read_bytes()))
    with pytest.raises(RefusedError) as caught:
        read(path)
    assert "synthetic+orig" in caught.value.where
    assert caught.value.found
    assert caught.value.expected


def test_bit_flips(tmp_path: Path) -> None:
    path = write(tmp_path, gz=True)
    brik = path.with_suffix(".BRIK.gz")
    expected = np.arange(120)
    random = np.random.default_rng(3)
    for victim in (path, brik):
        whole = victim.read_bytes()
        for bit in random.choice(8 * len(whole), 500, replace=victim is brik):
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << (bit % 8)
            victim.write_bytes(damaged)
            try:
                values = next(iter(read(path)[0].children.values()))
                found = values.to_dataset().load()
            except NeurodataError:
                continue
            if victim is brik:
                np.testing.assert_array_equal(found["image_adc"].values.ravel(), expected)
        victim.write_bytes(whole)


# real files


def numbers_of(head: str, name: str) -> list[float]:
    """The numbers of an attribute, by a search of the text."""
    match = re.search(rf"name\s*=\s*{name}\n\s*count\s*=\s*\d+\n([^a-z]*)", head)
    assert match is not None
    return [float(cell) for cell in match[1].split()]


@pytest.mark.acceptance
def test_example4d(realdata: Path) -> None:
    folder = realdata / "fixtures/mri/nibabel/tests/data"
    path = folder / "example4d+orig.HEAD"
    raw = Raw(folder, afni.members(path, sorted(folder.iterdir())))
    assert [p.name for p in raw.files] == ["example4d+orig.HEAD", "example4d+orig.BRIK.gz"]
    node = afni.read(raw, Declared())["bold"]
    voxels = gzip.decompress(raw.files[1].read_bytes())
    stored = node["image_adc"]
    assert dict(stored.sizes) == {"time": 3, "z": 25, "y": 41, "x": 33}
    assert stored.values.astype("<i2").tobytes() == voxels
    head = path.read_text()
    stats = np.reshape(numbers_of(head, "BRICK_STATS"), (3, 2))
    np.testing.assert_array_equal(stored.max(("z", "y", "x")), stats[:, 1])
    np.testing.assert_array_equal(stored.min(("z", "y", "x")), stats[:, 0])
    matrix = np.reshape(numbers_of(head, "IJK_TO_DICOM_REAL"), (3, 4)) * [[-1], [-1], [1]]
    np.testing.assert_array_equal(node["affine"].values[:3], matrix)
    image = nibabel.load(path)
    np.testing.assert_array_equal(node["affine"].values, image.affine)
    np.testing.assert_array_equal(stored.values.T, np.asarray(image.dataobj))
    clock = {key: node.attrs[key] for key in ("start_s", "rate_hz", "n")}
    assert clock == {"start_s": 0.0, "rate_hz": pytest.approx(1 / 3), "n": 3}


def same_dataset(path: Path, folder: Path, **facts: Any) -> None:
    """Write a NIfTI image as AFNI, and assert that both readers give the same."""
    image = nibabel.load(path)
    stored = np.asarray(image.dataobj.get_unscaled())
    turned = np.diag([-1, -1, 1, 1]) @ image.affine
    codes = nibabel.orientations.io_orientation(turned)
    orient = [[0, 1, 3, 2, 4, 5][2 * int(row) + int(sign < 0)] for row, sign in codes]
    sizes = nibabel.affines.voxel_sizes(turned) * codes[:, 1]
    facts_of = {
        "ORIENT_SPECIFIC": ("integer", *orient),
        "DELTA": ("float", *sizes),
        "ORIGIN": ("float", *turned[codes[:, 0].astype(int), 3]),
        "IJK_TO_DICOM_REAL": ("float", *turned[:3].ravel()),
        "BYTEORDER_STRING": ("string", "MSB_FIRST"),
        "TAXIS_NUMS": ("integer", stored.shape[3], 0, 77002),
        "TAXIS_FLOATS": ("float", 0, image.header["pixdim"][4]),
    }
    head = folder / "same+orig.HEAD"
    head.write_text(synthetic_head(stored.shape, **facts_of))
    head.with_suffix(".BRIK").write_bytes(stored.astype(">i2").tobytes("F"))
    ours = read(head, **facts)[0]["bold"]
    other = nifti.read(Raw(path.parent, (path,)), Declared(facts))["bold"]
    np.testing.assert_array_equal(ours["image_adc"].values, other["image_adc"].values)
    np.testing.assert_allclose(ours["affine"].values, other["affine"].values, rtol=1e-5, atol=1e-5)
    assert ours.attrs["rate_hz"] == pytest.approx(other.attrs["rate_hz"])
    assert ours.attrs["n"] == other.attrs["n"]


def test_series_as_nifti_and_as_afni(tmp_path: Path) -> None:
    samples = Path(__file__).parents[2] / "samples"
    same_dataset(samples / "fmri_small/functional.nii", tmp_path)
    same_dataset(samples / "fmri_small/fmri1.nii.gz", tmp_path)


@pytest.mark.acceptance
def test_example4d_as_nifti_and_as_afni(realdata: Path, tmp_path: Path) -> None:
    path = realdata / "fixtures/mri/nibabel/tests/data/example4d.nii.gz"
    same_dataset(path, tmp_path, rate_hz=0.5)


def test_scaled_dataset_of_nibabel() -> None:
    path = Path(nibabel.__file__).parent / "tests/data/scaled+tlrc.HEAD"
    if not path.exists():
        pytest.skip("this nibabel has no test data")
    raw = Raw(path.parent, (path, path.with_suffix(".BRIK")))
    node = afni.read(raw, Declared())["anat"]
    assert dict(node["image_adc"].sizes) == {"z": 43, "y": 54, "x": 47}
    assert float(node["scale"]) == 3.883363e-08
    assert node["affine"].attrs["space_code"] == "talairach"
    physical = node["image_adc"].values * float(node["scale"])
    np.testing.assert_allclose(physical.T, nibabel.load(path).get_fdata()[..., 0], rtol=1e-12)
    np.testing.assert_array_equal(node["affine"].values, nibabel.load(path).affine)
