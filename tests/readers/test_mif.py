"""MRtrix images: files built here byte by byte, every layout, against NIfTI of the same content."""

from __future__ import annotations

import gzip
import itertools
import re
from collections.abc import Callable, Sequence
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
    UnknownFormatError,
    UnreadableError,
    UnsafeError,
)
from neurodata.readers import mif, nifti
from neurodata.safe import Raw, head
from tests.readers.conformance import (
    HeaderTests,
    PersonalTests,
    ReaderTests,
    flip_bits,
    refused_in_full,
)

CANARY = "Jane Q Canary"
SHAPE, VOX = (4, 3, 2), (2.0, 2.5, 3.0)
ROTATION = np.array([[0.8, -0.6, 0.0], [0.48, 0.64, -0.6], [0.36, 0.48, 0.8]])
ORIGIN = (10.0, -20.0, 30.5)
DIRECTIONS = np.array([[0, 0, 0], [1, 0, 0], [0, 0.6, 0.8], [-0.48, 0.64, 0.6], [0, 0, -1.0]])
B = np.array([0, 1000, 1000, 2000, 3000.0])
LAYOUTS = [
    [sign + str(rank) for sign, rank in zip(signs, ranks, strict=True)]
    for ranks in itertools.permutations(range(3))
    for signs in itertools.product("+-", repeat=3)
]
CODES = {
    "i1": "Int8", "u1": "UInt8", "<i2": "Int16LE", ">i2": "Int16BE", "<u2": "UInt16LE",
    ">u2": "UInt16BE", "<i4": "Int32LE", ">i4": "Int32BE", ">u4": "UInt32BE", "<i8": "Int64LE",
    "<f4": "Float32LE", ">f4": "Float32BE", "<f8": "Float64LE", ">f8": "Float64BE",
    "<c8": "CFloat32LE", ">c16": "CFloat64BE",
}  # fmt: skip


def voxels(shape: Sequence[int] = SHAPE, dtype: str = "<i2") -> np.ndarray:
    """Numbers that all differ, indexed as the image's axes: x, y, z and volume."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def synthetic_bytes(
    values: np.ndarray | None = None,
    layout: Sequence[str] | None = None,
    more: Sequence[str] = (),
    file: str | None = None,
    transform: bool = True,
    vox: Sequence[float] = VOX,
) -> tuple[bytes, bytes]:
    """Header and voxels of a synthetic image."""
    values = voxels() if values is None else values
    layout = layout or [f"+{axis}" for axis in range(values.ndim)]
    stored = values
    for axis, word in enumerate(layout):
        if word.startswith("-"):
            stored = np.flip(stored, axis)
    ranks = [int(word[1:]) for word in layout]
    slowest_first = sorted(range(values.ndim), key=lambda axis: -ranks[axis])
    data = np.ascontiguousarray(stored.transpose(slowest_first)).tobytes()
    lines = [
        "mrtrix image", f"dim: {','.join(map(str, values.shape))}",
        f"vox: {','.join(map(str, vox))}", f"layout: {','.join(layout)}",
        f"datatype: {CODES[values.dtype.str.lstrip('|')]}",
    ]  # fmt: skip
    if transform:
        lines += [f"transform: {','.join(map(str, [*row, place]))}"
                  for row, place in zip(ROTATION.tolist(), ORIGIN, strict=True)]  # fmt: skip
    lines += [f"command_history: mrconvert /home/{CANARY}/a.dcm", f"comments: {CANARY}", *more]
    text = "\n".join(lines) + "\n"
    size = (len(text) + 40 + 63) // 64 * 64
    text += f"file: {file or f'. {size}'}\nEND\n"
    return text.encode().ljust(0 if file else size, b"\0"), data


def write(folder: Path, *parts: Any, name: str = "synthetic.mif", **how: Any) -> Path:
    path = folder / name
    path.write_bytes(b"".join(synthetic_bytes(*parts, **how)))
    return path


def scheme(directions: np.ndarray = DIRECTIONS, b: np.ndarray = B) -> list[str]:
    return [
        "dw_scheme: " + ",".join(map(repr, [*map(float, row), float(value)]))
        for row, value in zip(directions, b, strict=True)
    ]


def write_dwi(folder: Path, layout: Sequence[str] | None = None) -> Path:
    values = voxels((*SHAPE, len(B)))
    return write(folder, values, layout, scheme(), vox=(*VOX, float("nan")))


def read(path: Path, *beside: Path, **facts: Any) -> tuple[xr.DataTree, str]:
    """Return the tree and the findings as one text."""
    raw = Raw(path.parent, (path, *beside))
    return mif.read(raw, Declared(facts)), "\n".join(map(str, raw.problems))


def logical_affine() -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = ROTATION * VOX, ORIGIN
    return matrix


def sub(pattern: str, new: str) -> Callable[[bytes], bytes]:
    return lambda whole: re.sub(pattern.encode(), new.encode(), whole, count=1)


LIES = {
    "one voxel more along x": sub("dim: 4", "dim: 5"),
    "a thousand million voxels": sub("dim: 4", "dim: 1000000000"),
    "over 64 bits of voxels": sub("dim: 4", "dim: 99999999999999999999"),
    "no voxel": sub("dim: 4", "dim: 0"),
    "voxels less than none": sub("dim: 4", "dim: -4"),
    "two axes": sub("dim: 4,3,2", "dim: 4,6"),
    "five axes": sub("dim: 4,3,2", "dim: 1,1,2,3,4"),
    "a word for a size": sub("dim: 4", "dim: x"),
    "no sizes": sub("dim: ", "dam: "),
    "sizes twice": sub("dim: 4,3,2", "dim: 4,3,2\ndim: 4,3,2"),
    "voxels of no extent": sub("vox: 2.0", "vox: 0.0"),
    "voxels of negative extent": sub("vox: 2.0", "vox: -2.0"),
    "voxels of NaN": sub("vox: 2.0", "vox: nan"),
    "voxels of infinity": sub("vox: 2.0", "vox: inf"),
    "voxels of 1e308 mm": sub("vox: 2.0", "vox: 1e308"),
    "two extents": sub("vox: 2.0,2.5,3.0", "vox: 2.0,2.5"),
    "no extents": sub("vox: ", "vex: "),
    "an axis twice in the layout": sub(r"layout: \+0,\+1", "layout: +0,+0"),
    "an axis too many in the layout": sub(r"layout: \+0", "layout: +3,+0"),
    "an axis too few in the layout": sub(r"layout: \+0,", "layout: "),
    "a word in the layout": sub(r"layout: \+0", "layout: a"),
    "no layout": sub("layout: ", "layabout: "),
    "bits": sub("Int16LE", "Bit"),
    "no byte order": sub("Int16LE", "Int16"),
    "an unknown type": sub("Int16LE", "Int24LE"),
    "a larger type": sub("Int16LE", "Float64LE"),
    "no type": sub("datatype: ", "datetype: "),
    "a skewed transform": sub("transform: 0.8", "transform: 0.1"),
    "a transform of NaN": sub("transform: 0.8", "transform: nan"),
    "a transform of two lines": sub("transform: ", "transfarm: "),
    "a transform of three columns": sub("transform: 0.8,", "transform: "),
    "no file": sub("file: ", "file_: "),
    "two files": sub("file: ", "file: other.dat 0\nfile: "),
    "voxels in the header": sub(r"file: \. \d+", "file: . 10"),
    "voxels before the file": sub(r"file: \. \d+", "file: . -10"),
    "voxels past the end": sub(r"file: \. \d+", "file: . 99999"),
    "a word for the offset": sub(r"file: \. \d+", "file: . x"),
    "another file": sub(r"file: \. \d+", "file: /etc/passwd 0"),
    "a file outside": sub(r"file: \. \d+", "file: ../secret.dat 0"),
    "no end": sub("\nEND", "\nEMD"),
    "a scale of 0": sub("END", "scaling: 0,0\nEND"),
    "a scale of NaN": sub("END", "scaling: 0,nan\nEND"),
    "one number of scaling": sub("END", "scaling: 2\nEND"),
}


class TestMif(HeaderTests, PersonalTests):
    reader = mif
    nodes: ClassVar = {"anat": "volume"}
    lies = LIES
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return write(folder)


class TestPacked(ReaderTests):
    reader = mif
    nodes: ClassVar = {"anat": "volume"}

    def make(self, folder: Path) -> Path:
        path = folder / "synthetic.mif.gz"
        path.write_bytes(gzip.compress(b"".join(synthetic_bytes()), mtime=0))
        return path


class TestDiffusion(PersonalTests):
    reader = mif
    nodes: ClassVar = {"dwi": "volume"}
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return write_dwi(folder, ["-1", "-2", "+3", "+0"])


class TestSeries(PersonalTests):
    reader = mif
    nodes: ClassVar = {"bold": "volume"}
    declare: ClassVar = {"rate_hz": 0.5}
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return write(folder, voxels((*SHAPE, 5)), vox=(*VOX, 2.0))


# ---- voxels and where they lie


@pytest.mark.parametrize("layout", LAYOUTS, ids=",".join)
def test_every_layout(layout: list[str], tmp_path: Path) -> None:
    node = read(write(tmp_path, layout=layout))[0]["anat"]
    stored = node["image_adc"].values
    expected, logical = voxels(), np.linalg.inv(logical_affine())
    for (z, y, x), value in np.ndenumerate(stored):
        place = logical @ node["affine"].values @ [x, y, z, 1]
        index = np.rint(place[:3]).astype(int)
        np.testing.assert_allclose(place[:3], index, atol=1e-9)
        assert value == expected[tuple(index)]
    fastest_first = np.frombuffer(synthetic_bytes(layout=layout)[1], "<i2")
    np.testing.assert_array_equal(stored.ravel(), fastest_first)
    assert node["affine"].attrs == {"units": "mm", "space_code": "scanner"}


def test_as_nifti_of_the_same_content(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(voxels(), logical_affine())
    image.header.set_xyzt_units("mm")
    image.header.set_sform(logical_affine(), code=1)
    path = tmp_path / "synthetic.nii"
    image.to_filename(path)
    other = nifti.read(Raw(tmp_path, (path,)), Declared())["anat"]
    mine = read(write(tmp_path))[0]["anat"]
    np.testing.assert_array_equal(mine["image_adc"], other["image_adc"])
    np.testing.assert_allclose(mine["affine"], other["affine"], atol=1e-5)
    assert mine["image_adc"].dims == other["image_adc"].dims
    assert mine["image_adc"].attrs == other["image_adc"].attrs == {"units": "a.u."}


@pytest.mark.parametrize("dtype", CODES)
def test_types(dtype: str, tmp_path: Path) -> None:
    values = voxels(dtype=dtype)
    node = read(write(tmp_path, values))[0]["anat"]
    image = node["image_adc" if values.dtype.kind in "iu" else "image"]
    np.testing.assert_array_equal(image, values.T)
    assert image.dtype == values.dtype.newbyteorder("=")


def test_scaling_is_offset_and_scale(tmp_path: Path) -> None:
    node = read(write(tmp_path, more=["scaling: 5,0.5"]))[0]["anat"]
    assert (float(node["scale"]), float(node["offset"])) == (0.5, 5.0)
    node = read(write(tmp_path, voxels(dtype="<f4"), more=["scaling: 5,0.5"]))[0]["anat"]
    np.testing.assert_array_equal(node["image"], voxels().T * 0.5 + 5)
    with pytest.raises(UnknownFormatError, match="complex"):
        read(write(tmp_path, voxels(dtype="<c8"), more=["scaling: 5,0.5"]))


def test_orientation_is_declared_where_there_is_no_transform(tmp_path: Path) -> None:
    path = write(tmp_path, layout=["+2", "+0", "+1"], transform=False)
    with pytest.raises(MissingFactError, match="axes=RAS"):
        read(path)
    node = read(path, axes="LPS")[0]["anat"]
    np.testing.assert_array_equal(node["affine"], np.diag([-2.5, -3, 2, 1]))
    assert node["image_adc"].shape == (4, 2, 3)


def test_a_fourth_line_of_the_transform_and_other_line_ends(tmp_path: Path) -> None:
    head_, data = synthetic_bytes(more=["transform: 0,0,0,1", "# a comment: 1"])
    path = tmp_path / "synthetic.mif"
    path.write_bytes(head_ + data)
    np.testing.assert_allclose(read(path)[0]["anat"]["affine"], logical_affine())
    lines = head_.rstrip(b"\0").replace(b"\n", b"\r\n")
    path.write_bytes(lines.ljust(len(head_), b"\0") + data)
    assert len(lines) <= len(head_)
    np.testing.assert_array_equal(read(path)[0]["anat"]["image_adc"], voxels().T)


# ---- gradients


@pytest.mark.parametrize("layout", LAYOUTS, ids=",".join)
def test_directions_in_every_layout(layout: list[str], tmp_path: Path) -> None:
    tree, _ = read(write_dwi(tmp_path, [*layout, "+3"]))
    node = tree["dwi"]
    assert tree.attrs["modality"] == "dwi"
    axes = node["affine"].values[:3, :3]
    axes = axes / np.linalg.norm(axes, axis=0)
    along = node["b_vector"].values.copy()
    if np.linalg.det(axes) > 0:
        along[:, 0] *= -1
    np.testing.assert_allclose(along @ axes.T, DIRECTIONS, atol=1e-12)
    np.testing.assert_array_equal(node["b_value"], B)


def test_directions_as_beside_nifti(tmp_path: Path) -> None:
    values, matrix = voxels((*SHAPE, len(B))), logical_affine()
    image = nibabel.Nifti1Image(values, matrix)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_sform(matrix, code=1)
    path = tmp_path / "synthetic.nii"
    image.to_filename(path)
    fsl = (DIRECTIONS @ ROTATION) * [-1, 1, 1]  # ROTATION has the determinant 1
    (tmp_path / "synthetic.bvec").write_text("\n".join(" ".join(map(str, r)) for r in fsl.T))
    (tmp_path / "synthetic.bval").write_text(" ".join(map(str, B)))
    raw = Raw(tmp_path, nifti.members(path, sorted(tmp_path.iterdir())))
    other = nifti.read(raw, Declared())["dwi"]
    mine, findings = read(write_dwi(tmp_path))
    mine = mine["dwi"]
    assert set(mine.variables) == set(other.variables)
    for name in ("b_value", "b_vector"):
        assert mine[name].dims == other[name].dims
        assert mine[name].attrs == other[name].attrs
        np.testing.assert_allclose(mine[name], other[name], atol=1e-12)
    np.testing.assert_array_equal(mine["image_adc"], other["image_adc"])
    assert list(mine["axis"].values) == list(other["axis"].values)
    assert "x reversed where the affine's determinant is positive" in findings


@pytest.mark.parametrize("layout", [["+1", "+2", "+3", "+0"], ["-0", "-1", "+2", "-3"]])
def test_volumes_stay_with_their_directions(layout: list[str], tmp_path: Path) -> None:
    node = read(write_dwi(tmp_path, layout))[0]["dwi"]
    assert node["image_adc"].dims == ("time", "z", "y", "x")
    expected = voxels((*SHAPE, len(B)))
    for number in range(len(B)):
        volume = expected[..., number]
        if layout[0] == "-0":
            volume = volume[::-1, ::-1]
        np.testing.assert_array_equal(node["image_adc"][number], volume.T)
    np.testing.assert_array_equal(node["b_value"], B)


SCHEMES = {
    "four directions": (scheme(DIRECTIONS[:4], B[:4]), "4 directions"),
    "three columns": ([line.rpartition(",")[0] for line in scheme()], "dw_scheme"),
    "a word": ([*scheme()[:4], "dw_scheme: 1,0,0,x"], "dw_scheme"),
    "a short direction": (scheme(DIRECTIONS * 0.5), "length 0.5"),
    "no direction": (scheme(DIRECTIONS, B + 1), "volume 0"),
    "b below 0": (scheme(DIRECTIONS, -B), "b-value of -1000"),
    "b of NaN": (scheme(DIRECTIONS, B * np.nan), "b-value of nan"),
    "b without bound": (scheme(DIRECTIONS, B * 1e6), "b-value of 1e"),
}


@pytest.mark.parametrize("story", SCHEMES)
def test_wrong_schemes(story: str, tmp_path: Path) -> None:
    lines, found = SCHEMES[story]
    path = write(tmp_path, voxels((*SHAPE, len(B))), more=lines, vox=(*VOX, 1.0))
    with pytest.raises(UnreadableError, match=found):
        read(path)


def test_a_single_volume_with_a_gradient(tmp_path: Path) -> None:
    node = read(write(tmp_path, more=scheme(DIRECTIONS[:1], B[:1])))[0]["dwi"]
    assert dict(node["image_adc"].sizes) == {"time": 1, "z": 2, "y": 3, "x": 4}


# ---- time and channels


def series(folder: Path, more: Sequence[str] = (), spacing: float = 2.0) -> Path:
    return write(folder, voxels((*SHAPE, 5)), more=more, vox=(*VOX, spacing))


def test_the_size_of_the_fourth_axis_has_no_unit(tmp_path: Path) -> None:
    with pytest.raises(MissingFactError, match="vox, of 2 along the fourth axis"):
        read(series(tmp_path))
    tree, findings = read(series(tmp_path), rate_hz=0.5)
    node = tree["bold"]
    assert tree.attrs["modality"] == "fmri"
    assert (node.attrs["rate_hz"], node.attrs["n"], node.attrs["start_s"]) == (0.5, 5, 0.0)
    assert "the period" not in findings
    assert "the period" in read(series(tmp_path), rate_hz=0.4)[1]


def test_repetition_time(tmp_path: Path) -> None:
    tree, findings = read(series(tmp_path, ["RepetitionTime: 2.0"]))
    assert tree["bold"].attrs["rate_hz"] == 0.5
    assert "the period" not in findings
    with pytest.raises(MissingFactError, match="2000 s"):
        read(series(tmp_path, ["RepetitionTime: 2000"]))
    path = series(tmp_path).rename(tmp_path / "sub-01_task-rest_bold.mif")
    beside = tmp_path / "sub-01_task-rest_bold.json"
    beside.write_text('{"RepetitionTime": 2.0}')
    assert mif.members(path, [path, beside]) == (path, beside)
    assert read(path, beside)[0]["bold"].attrs["rate_hz"] == 0.5
    beside.write_text('{"RepetitionTime": "two"}')
    with pytest.raises(UnreadableError, match="two"):
        read(path, beside)


def test_channels_are_declared(tmp_path: Path) -> None:
    tree, _ = read(series(tmp_path), axes="channel,z,y,x")
    assert tree["image"]["image_adc"].dims == ("channel", "z", "y", "x")
    assert tree.attrs["modality"] == "mri"
    tree, findings = read(write_dwi(tmp_path), axes="channel,z,y,x")
    assert "b_value" not in tree["dwi"]
    assert "a gradient table, not read" in findings


# ---- header and voxels apart


def apart(folder: Path, file: str = "synthetic.dat 16") -> tuple[Path, Path]:
    text, data = synthetic_bytes(file=file)
    path, voxel_file = folder / "synthetic.mih", folder / "synthetic.dat"
    path.write_bytes(text)
    voxel_file.write_bytes(bytes(16) + data)
    return path, voxel_file


def test_header_and_voxels_apart(tmp_path: Path) -> None:
    path, voxel_file = apart(tmp_path)
    assert mif.members(path, [path, voxel_file]) == (path, voxel_file)
    tree, _ = read(path, voxel_file)
    np.testing.assert_array_equal(tree["anat"]["image_adc"], voxels().T)
    with pytest.raises(UnsafeError):
        read(path)
    voxel_file.write_bytes(voxel_file.read_bytes()[:-1])
    with pytest.raises(UnreadableError, match="63 bytes"):
        read(path, voxel_file)


@pytest.mark.parametrize("file", ["../synthetic.dat 0", "/etc/passwd 0", "other.dat 0"])
def test_files_elsewhere_are_refused(file: str, tmp_path: Path) -> None:
    path, voxel_file = apart(tmp_path, file)
    (tmp_path / "other.dat").write_bytes(bytes(99))
    with pytest.raises(UnsafeError):
        read(path, voxel_file)
    with pytest.raises(UnreadableError, match="itself"):
        read(apart(tmp_path, ". 512")[0])


# ---- damage


@pytest.mark.parametrize("story", LIES)
def test_lies_say_where_and_what(story: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(LIES[story](path.read_bytes()))
    refused_in_full(lambda: read(path))


def test_bit_flips(tmp_path: Path) -> None:
    path = write_dwi(tmp_path)

    def sound() -> None:
        tree = read(path, rate_hz=0.5)[0].load()
        assert [p for p in schema.check(tree) if p.level == "error"] == []

    flip_bits(path, 450, sound)


def test_other_files_of_mrtrix_are_left(tmp_path: Path) -> None:
    path = tmp_path / "tracks.tck"
    path.write_bytes(b"mrtrix tracks    \ndatatype: Float32LE\nEND\n")
    assert not mif.sniff(head(path), path)
