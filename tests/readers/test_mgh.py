"""MGH and MGZ: voxels, geometry and clock by struct and FreeSurfer's formula, and nibabel."""

from __future__ import annotations

import gzip
import struct
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
    UnknownFormatError,
    UnreadableError,
)
from neurodata.readers import mgh
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests, ReaderTests

CANARY = "Jane Q Canary"
SHAPE = (4, 3, 2, 5)
TYPES = {"u1": 0, "i4": 1, "f4": 3, "i2": 4, "u2": 10}
OBLIQUE = np.array([[0.8, -0.6, 0.0], [0.48, 0.64, -0.6], [0.36, 0.48, 0.8]])
NAN, INF = float("nan"), float("inf")


def synthetic_bytes(
    shape: tuple[int, ...] = SHAPE,
    dtype: str = "i2",
    good: int = 1,
    footer: tuple[float, ...] | None = (2000.0, 1.5, 30.0, 0.0, 256.0),
    tags: bytes = b"",
) -> bytes:
    """A synthetic MGH file written by struct: header, voxels that all differ, numbers, tags."""
    dims = (*shape, 1, 1, 1)[:4]
    values = np.arange(np.prod(dims)).reshape(dims[::-1]).astype(f">{dtype}")
    header = struct.pack(">7i", 1, *dims, TYPES[dtype], 0) + struct.pack(">h", good)
    header += struct.pack(">3f", 2, 3, 4) + OBLIQUE.T.astype(">f4").tobytes()
    header += struct.pack(">3f", 10, -20, 30.5)
    after = b"" if footer is None else struct.pack(f">{len(footer)}f", *footer)
    return header.ljust(284, b"\0") + values.tobytes() + after + tags


TAG = struct.pack(">iq", 3, 40) + f"mri_convert by {CANARY}".encode().ljust(40, b"\0")


def put(field: int, form: str, *values: float) -> Callable[[bytes], bytes]:
    """Overwrite header fields at a byte offset of the format."""

    def change(whole: bytes) -> bytes:
        data = bytearray(whole)
        struct.pack_into(">" + form, data, field, *values)
        return bytes(data)

    return change


END = 284 + int(np.prod(SHAPE)) * 2
IMPOSSIBLE = {
    "version 2": put(0, "i", 2),
    "a warp": put(0, "i", 6 << 8 | 1),
    "no column": put(4, "i", 0),
    "a negative size": put(8, "i", -3),
    "one row more than the file has": put(8, "i", 4),
    "2 billion cubed": put(4, "4i", *[2**31 - 1] * 4),
    "vertices of a surface": put(4, "4i", 24, 1, 1, 5),
    "64-bit integers": put(20, "i", 2),
    "no type of the format": put(20, "i", 77),
    "another type": put(20, "i", 3),
    "directions not valid": put(28, "h", 0),
    "voxel size 0": put(30, "f", 0),
    "voxel size negative": put(34, "f", -1),
    "voxel size NaN": put(38, "f", NAN),
    "direction NaN": put(42, "f", NAN),
    "direction no unit vector": put(42, "f", 3),
    "directions alike": put(42, "6f", 1, 0, 0, 1, 0, 0),
    "centre infinite": put(78, "f", INF),
    "repetition time 0": put(END, "f", 0),
    "repetition time negative": put(END, "f", -2000),
    "repetition time NaN": put(END, "f", NAN),
    "seconds in place of milliseconds": put(END, "f", 2),
    "echo time infinite": put(END + 8, "f", INF),
}


def open_raw(path: Path) -> Raw:
    return Raw(path.parent, mgh.members(path, sorted(path.parent.iterdir())))


def read(path: Path, **facts: Any) -> xr.DataTree:
    return mgh.read(open_raw(path), Declared(facts))


def write(folder: Path, name: str = "synthetic.mgh", **options: Any) -> Path:
    path = folder / name
    whole = synthetic_bytes(**options)
    path.write_bytes(gzip.compress(whole) if name.endswith("z") else whole)
    return path


class TestMgh(HeaderTests, PersonalTests):
    reader = mgh
    nodes: ClassVar = {"bold": "volume"}
    lies = IMPOSSIBLE
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return write(folder, tags=TAG)


class TestMgz(ReaderTests):
    reader = mgh
    nodes: ClassVar = {"anat": "volume"}

    def make(self, folder: Path) -> Path:
        return write(folder, "synthetic.mgz", shape=(4, 3, 2))


class TestWithoutOrientation(ReaderTests):
    reader = mgh
    nodes: ClassVar = {"image": "volume"}
    declare: ClassVar = {"axes": "LIA,channel", "voxel_mm": [1, 1, 2]}

    def make(self, folder: Path) -> Path:
        return write(folder, good=0, footer=None)

    def test_affine_is_the_declared_one(self, path: Path) -> None:
        affine = self.read(path)["image"]["affine"].values
        np.testing.assert_array_equal(affine[:3, :3], [[-2, 0, 0], [0, 0, 1], [0, -1, 0]])

    def test_every_fact_is_asked_for_at_once(self, path: Path) -> None:
        with pytest.raises(MissingFactError, match=r"voxel_mm=<z>,<y>,<x>. --set .axes=RAS\|"):
            read(path)


def freesurfer_affine(whole: bytes) -> np.ndarray:
    """Matrix of the format's documentation: P0 = c_ras - M (dims / 2), column times size."""
    dims = np.array(struct.unpack(">3i", whole[4:16]), "f8")
    sizes = struct.unpack(">3f", whole[30:42])
    columns = np.array(struct.unpack(">9f", whole[42:78]), "f8").reshape(3, 3)
    matrix = np.eye(4)
    for axis in range(3):
        matrix[:3, axis] = columns[axis] * sizes[axis]
    matrix[:3, 3] = struct.unpack(">3f", whole[78:90]) - matrix[:3, :3] @ dims / 2
    return matrix


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["synthetic.mgh", "synthetic.mgz"])
def test_voxels_and_affine(dtype: str, name: str, tmp_path: Path) -> None:
    path = write(tmp_path, name, dtype=dtype)
    whole = synthetic_bytes(dtype=dtype)
    node = read(path)["bold"]
    stored = node["image" if dtype == "f4" else "image_adc"]
    assert stored.dims == ("time", "z", "y", "x")
    assert stored.dtype == np.dtype(dtype)
    voxels = np.frombuffer(whole, f">{dtype}", int(np.prod(SHAPE)), 284).reshape(SHAPE[::-1])
    np.testing.assert_array_equal(stored.values, voxels)
    np.testing.assert_allclose(node["affine"].values, freesurfer_affine(whole), rtol=1e-12)
    image = nibabel.load(path)
    np.testing.assert_array_equal(stored.values.T, np.asarray(image.dataobj))
    np.testing.assert_allclose(node["affine"].values, image.affine, atol=1e-4)
    assert {key: node.attrs[key] for key in ("start_s", "rate_hz", "n")} == {
        "start_s": 0.0, "rate_hz": 0.5, "n": 5,
    }  # fmt: skip
    assert node.attrs["echo_time_s"] == pytest.approx(0.03)
    assert node.attrs["flip_angle_deg"] == pytest.approx(1.5 * 180 / np.pi)


@pytest.mark.parametrize("count", [0, 4, 5])
def test_numbers_after_the_voxels_may_be_absent(count: int, tmp_path: Path) -> None:
    footer = (2000.0, 0.0, 30.0, 0.0, 256.0)[:count] or None
    node = read(write(tmp_path, shape=(4, 3, 2), footer=footer))["anat"]
    assert ("echo_time_s" in node.attrs) == (count > 0)
    assert node.attrs.get("repetition_time_s") == (2.0 if count else None)
    assert "flip_angle_deg" not in node.attrs


def test_file_cut_in_the_numbers_after_the_voxels(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    for count in range(END + 1, END + 16):
        path.write_bytes(whole[:count])
        with pytest.raises(UnreadableError, match="bytes after the voxels"):
            read(path)


def test_seconds_in_place_of_milliseconds_are_asked_about(tmp_path: Path) -> None:
    path = write(tmp_path, footer=(2.0, 0, 0, 0, 0))
    with pytest.raises(MissingFactError, match=r"0\.002 s.*--set rate_hz=0\.5"):
        read(path)
    assert read(path, rate_hz=0.5)["bold"].attrs["rate_hz"] == 0.5
    assert list(read(path, axes="channel,z,y,x").children) == ["image"]


def test_flip_angle_in_degrees_is_left_out(tmp_path: Path) -> None:
    raw = open_raw(write(tmp_path, footer=(2000.0, 90.0, 30.0, 0.0)))
    node = mgh.read(raw, Declared())["bold"]
    assert "flip_angle_deg" not in node.attrs
    assert [p.found for p in raw.problems if "flip angle" in p.where] == ["90"]


def test_nibabel_sets_directions_that_the_file_does_not_state(tmp_path: Path) -> None:
    path = write(tmp_path, shape=(4, 3, 2), good=0)
    assert nibabel.load(path).affine[0, 0] == -1  # quietly
    with pytest.raises(MissingFactError, match="goodRASFlag"):
        read(path)


@pytest.mark.parametrize("story", IMPOSSIBLE)
def test_impossible_header_says_where_and_what(story: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(IMPOSSIBLE[story](path.read_bytes()))
    with pytest.raises((UnreadableError, UnknownFormatError, MissingFactError)) as caught:
        read(path)
    assert caught.value.where.startswith("synthetic.mgh")
    assert caught.value.found
    assert caught.value.expected


def test_every_bit_flip_in_gzip_is_found_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.mgz"
    whole = gzip.compress(synthetic_bytes(), mtime=0)
    expected = read(write(tmp_path))["bold"]
    random = np.random.default_rng(3)
    for bit in random.choice(8 * len(whole), 500, replace=False):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        try:
            found = read(path)["bold"].load()
        except NeurodataError:
            continue
        assert found.to_dataset().identical(expected.to_dataset().load())


def test_sparse_claim_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.mgz"
    path.write_bytes(gzip.compress(put(4, "3i", 60000, 60000, 60000)(synthetic_bytes())))
    with pytest.raises(UnreadableError, match="by its header"):
        read(path)


def test_names_of_labels(tmp_path: Path) -> None:
    path = write(tmp_path, "aseg.mgz", shape=(4, 3, 2), dtype="i4")
    lines = [f"{k}  Region-{k}  {k} 20 30 0" for k in range(24)]
    (tmp_path / "FreeSurferColorLUT.txt").write_text("#No. Label\n" + "\n".join(lines))
    tree = read(path)
    assert list(tree.children) == ["atlas", "regions"]
    np.testing.assert_array_equal(tree["regions"]["instance_id"], np.arange(1, 24))
    assert tree["regions"]["name"].values[3] == "Region-4"


def test_directions_of_nibabels_own_file_are_no_unit_vectors() -> None:
    path = Path(nibabel.__file__).parent / "tests/data/test.mgz"
    if not path.exists():
        pytest.skip("this nibabel has no test data")
    assert nibabel.load(path).shape == (3, 4, 5, 2)  # quietly
    with pytest.raises(UnreadableError, match="directions of length"):
        mgh.read(Raw(path.parent, (path,)), Declared({"axes": "channel,z,y,x"}))
