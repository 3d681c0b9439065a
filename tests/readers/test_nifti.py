"""NIfTI: voxels, geometry, clock and units against nibabel; impossible headers are refused."""

from __future__ import annotations

import gzip
import itertools
import json
import mmap
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import nibabel
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff

from neurodata.declare import Declared
from neurodata.errors import (
    InvalidInputError,
    MissingFactError,
    NeurodataError,
    RefusedError,
    UnknownFormatError,
    UnreadableError,
    UnsafeError,
)
from neurodata.readers import nifti
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests, ReaderTests

SAMPLES = Path(__file__).parents[2] / "samples"
CANARY = "Jane Q Canary"


def open_raw(path: Path) -> Raw:
    return Raw(path.parent, nifti.members(path, sorted(path.parent.iterdir())))


def read(path: Path, **facts: Any) -> xr.DataTree:
    return nifti.read(open_raw(path), Declared(facts))


def synthetic_image(
    shape: tuple[int, ...] = (4, 3, 2, 5),
    dtype: str = "<i2",
    affine: np.ndarray | None = None,
    units: tuple[str, str] = ("mm", "sec"),
    period: float = 2.0,
) -> nibabel.Nifti1Image:
    """A synthetic image whose every voxel differs, in scanner space."""
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    matrix = np.diag([2.0, 3.0, 4.0, 1.0]) if affine is None else affine
    image = nibabel.Nifti1Image(values, matrix, dtype=values.dtype)
    image.set_qform(matrix, code=1)
    image.set_sform(matrix, code=1)
    if len(shape) > 3:
        image.header["pixdim"][4] = period
    image.header.set_xyzt_units(*units)
    return image


def synthetic_bytes(**options: Any) -> bytes:
    return synthetic_image(**options).to_bytes()


def put(field: int, form: str, *values: float) -> Callable[[bytes], bytes]:
    """Overwrite a header field at a byte offset of the NIfTI-1 standard."""

    def change(whole: bytes) -> bytes:
        data = bytearray(whole)
        struct.pack_into("<" + form, data, field, *values)
        return bytes(data)

    return change


NAN, INF = float("nan"), float("inf")
IMPOSSIBLE = {
    "header size": put(0, "i", 349),
    "no axes": put(40, "h", 0),
    "nine axes": put(40, "h", 9),
    "negative axes": put(40, "h", -3),
    "negative size": put(42, "h", -4),
    "zero size": put(44, "h", 0),
    "one row more than the file has": put(44, "h", 4),
    "32767 cubed": put(42, "3h", 32767, 32767, 32767),
    "seven full axes": put(40, "8h", 7, 32767, 32767, 32767, 32767, 32767, 32767, 32767),
    "six axes": put(40, "8h", 6, 4, 3, 2, 5, 1, 2, 1),
    "no datatype": put(70, "h", 0),
    "bits": put(70, "2h", 1, 1),
    "RGB": put(70, "2h", 128, 24),
    "RGBA": put(70, "2h", 2304, 32),
    "128-bit floats": put(70, "2h", 1536, 128),
    "unknown datatype": put(70, "h", 77),
    "bitpix of another type": put(72, "h", 32),
    "voxels inside the header": put(108, "f", 100),
    "voxel offset 0": put(108, "f", 0),
    "voxel offset negative": put(108, "f", -352),
    "voxel offset NaN": put(108, "f", NAN),
    "voxel offset infinite": put(108, "f", INF),
    "voxel offset a fraction": put(108, "f", 352.5),
    "voxel offset past the end": put(108, "f", 1e9),
    "slope NaN": put(112, "f", NAN),
    "slope infinite": put(112, "f", INF),
    "intercept NaN": put(116, "f", NAN),
    "intercept infinite": put(116, "f", -INF),
    "voxel size 0": put(80, "f", 0),
    "voxel size negative": put(84, "f", -3),
    "voxel size NaN": put(88, "f", NAN),
    "voxel size infinite": put(88, "f", INF),
    "sform NaN": put(280, "f", NAN),
    "sform infinite": put(292, "f", INF),
    "sform singular": put(296, "4f", 2, 0, 0, 0),
    "sform zero": put(280, "12f", *[0] * 12),
    "qform NaN": lambda b: put(256, "f", NAN)(put(254, "h", 0)(b)),
    "qform no rotation": lambda b: put(256, "3f", 3, 3, 3)(put(254, "h", 0)(b)),
    "qform code alone, offset NaN": lambda b: put(268, "f", NAN)(put(254, "h", 0)(b)),
    "no orientation": put(252, "2h", 0, 0),
    "no unit of length": put(123, "b", 8),
    "unknown unit of length": put(123, "b", 7 + 8),
    "no unit of time": put(123, "b", 2),
    "time in Hz": put(123, "b", 2 + 32),
    "repetition time 0": put(92, "f", 0),
    "repetition time negative": put(92, "f", -2),
    "repetition time NaN": put(92, "f", NAN),
    "repetition time infinite": put(92, "f", INF),
    "milliseconds labelled seconds": put(92, "f", 2000),
    "start NaN": put(136, "f", NAN),
}


class NiftiTests(ReaderTests):
    reader = nifti
    accepts = ("nifti", "nifti.gz")
    nodes: ClassVar = {"bold": "volume"}

    def write(self, path: Path) -> Path:
        image = synthetic_image()
        for field in ("descrip", "aux_file", "db_name", "intent_name"):
            image.header[field] = CANARY.encode()
        image.to_filename(path)
        return path


class TestNifti(HeaderTests, PersonalTests, NiftiTests):
    lies = IMPOSSIBLE
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return self.write(folder / "synthetic.nii")


class TestNiftiGzip(NiftiTests):
    def make(self, folder: Path) -> Path:
        whole = self.write(folder / "synthetic.nii").read_bytes()
        (folder / "synthetic.nii").unlink()
        path = folder / "synthetic.nii.gz"
        path.write_bytes(gzip.compress(whole))
        return path


class AnatTests(ReaderTests):
    reader = nifti
    accepts = ("nifti", "nifti.gz")
    nodes: ClassVar = {"anat": "volume"}


class TestNifti2BigEndian(AnatTests):
    def make(self, folder: Path) -> Path:
        old = synthetic_image((3, 4, 2))
        header = nibabel.Nifti2Header(endianness=">")
        image = nibabel.Nifti2Image(np.asarray(old.dataobj), old.affine, header, dtype="i2")
        image.set_sform(old.affine, code=1)
        image.header.set_xyzt_units("mm", "sec")
        path = folder / "synthetic.nii"
        image.to_filename(path)
        return path


class TestNiftiPair(AnatTests):
    def make(self, folder: Path) -> Path:
        old = synthetic_image((3, 4, 2))
        nibabel.Nifti1Pair(old.dataobj, old.affine, old.header).to_filename(
            folder / "synthetic.img"
        )
        return folder / "synthetic.hdr"

    def victims(self, path: Path) -> tuple[Path, ...]:
        return path, path.with_suffix(".img")

    def test_voxels(self, path: Path) -> None:
        expected = np.arange(24).reshape(3, 4, 2).T
        np.testing.assert_array_equal(self.read(path)["anat"]["image_adc"], expected)

    def test_voxel_file_elsewhere_is_refused(self, path: Path) -> None:
        path.with_suffix(".img").rename(path.with_name("other.img"))
        with pytest.raises(UnsafeError, match=r"synthetic\.img"):
            self.read(path)


# real files, against nibabel


REAL = {
    "mri_anatomical/anatomical.nii": ("anat", {"z": 25, "y": 41, "x": 33}),
    "fmri_small/functional.nii": ("bold", {"time": 20, "z": 3, "y": 21, "x": 17}),
    "fmri_small/fmri1.nii.gz": ("bold", {"time": 40, "z": 18, "y": 10, "x": 10}),
}


def same_as_nibabel(node: xr.DataTree, path: Path) -> None:
    image = nibabel.load(path)
    stored = node["image_adc"]
    assert stored.dtype.isnative
    np.testing.assert_array_equal(stored.values.T, np.asarray(image.dataobj.get_unscaled()))
    physical = stored.values * float(node["scale"]) + float(node["offset"])
    np.testing.assert_allclose(physical.T, image.get_fdata(), rtol=1e-12)
    np.testing.assert_array_equal(node["affine"].values, image.affine)


@pytest.mark.parametrize("name", REAL)
def test_samples_equal_nibabel(name: str) -> None:
    kind, sizes = REAL[name]
    tree = read(SAMPLES / name)
    assert list(tree.children) == [kind]
    node = tree[kind]
    assert dict(node["image_adc"].sizes) == sizes
    assert node["image_adc"].attrs["units"] == "a.u."
    assert node["affine"].attrs["units"] == "mm"
    same_as_nibabel(node, SAMPLES / name)


def test_sample_facts() -> None:
    anatomical = read(SAMPLES / "mri_anatomical/anatomical.nii")
    assert anatomical.attrs == {"modality": "mri"}
    assert anatomical["anat"]["affine"].attrs["space_code"] == "aligned"
    functional = read(SAMPLES / "fmri_small/functional.nii")
    assert functional.attrs == {"modality": "fmri"}
    clock = {key: functional["bold"].attrs[key] for key in ("start_s", "rate_hz", "n")}
    assert clock == {"start_s": 0.0, "rate_hz": 0.5, "n": 20}
    assert float(functional["bold"]["scale"]) == float(np.float32(0.07540697))
    nitime = read(SAMPLES / "fmri_small/fmri1.nii.gz")
    assert nitime["bold"].attrs["rate_hz"] == pytest.approx(1 / 1.35, rel=1e-6)


def test_sample_with_surplus_bytes_is_warned_about() -> None:
    raw = open_raw(SAMPLES / "fmri_small/fmri1.nii.gz")
    nifti.read(raw, Declared())
    assert [(p.level, p.found) for p in raw.problems] == [
        ("warning", "352 bytes after the last voxel")
    ]


@pytest.mark.acceptance
def test_milliseconds_labelled_seconds(realdata: Path) -> None:
    path = realdata / "fixtures/mri/nibabel/tests/data/example4d.nii.gz"
    with pytest.raises(MissingFactError, match=r"2000 s.*--set rate_hz=0\.5"):
        read(path)
    node = read(path, rate_hz=0.5)["bold"]
    assert (node.attrs["rate_hz"], node.attrs["n"]) == (0.5, 2)
    same_as_nibabel(node, path)


@pytest.mark.acceptance
def test_diffusion_without_units(realdata: Path) -> None:
    path = realdata / "fixtures/mri/dipy/small_64D.nii"
    with pytest.raises(MissingFactError, match=r"--set voxel_mm=2,2,2"):
        read(path)
    raw = open_raw(path)
    tree = nifti.read(raw, Declared({"voxel_mm": [2, 2, 2]}))
    assert tree.attrs["modality"] == "dwi"
    assert dict(tree["dwi"]["image_adc"].sizes) == {"time": 65, "z": 10, "y": 10, "x": 10}
    same_as_nibabel(tree["dwi"], path)
    assert any("NaN direction" in p.found for p in raw.problems)


# geometry

ALL_48 = ["".join(signs) for order in itertools.permutations(("LR", "AP", "IS"))
          for signs in itertools.product(*order)]  # fmt: skip
ANGLES = np.deg2rad([11.0, 23.0, 37.0])


def oblique_affine() -> np.ndarray:
    """Voxels of 0.5 x 1.25 x 3 mm, turned about all three axes."""
    a, b, c = ANGLES
    turn_x = [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
    turn_y = [[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]]
    turn_z = [[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]]
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(turn_x) @ turn_y @ turn_z @ np.diag([0.5, 1.25, 3.0])
    matrix[:3, 3] = [-17.5, 4.25, 31.0]
    return matrix


def test_there_are_48_orientations() -> None:
    assert len(set(ALL_48)) == 48


@given(
    codes=st.sampled_from(ALL_48),
    voxel=st.tuples(st.integers(0, 5), st.integers(0, 6), st.integers(0, 3)),
    form=st.sampled_from(["sform", "qform"]),
)
@settings(max_examples=150, deadline=None)
def test_marked_voxel_stays_in_place(
    codes: str, voxel: tuple[int, int, int], form: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shape = (6, 7, 4)
    affine = oblique_affine() @ inv_ornt_aff(axcodes2ornt(tuple(codes)), shape)
    marked = np.zeros([shape[axis] for axis in np.argsort(axcodes2ornt(tuple(codes))[:, 0])], "i2")
    voxel = tuple(min(v, n - 1) for v, n in zip(voxel, marked.shape, strict=True))
    marked[voxel] = 77
    image = nibabel.Nifti1Image(marked, affine)
    image.set_sform(affine, code=1 if form == "sform" else 0)
    image.set_qform(affine, code=1 if form == "qform" else 0)
    image.header.set_xyzt_units("mm", "sec")
    path = tmp_path_factory.mktemp("synthetic") / "oblique.nii"
    image.to_filename(path)
    node = read(path)["anat"]
    z, y, x = (int(i[0]) for i in np.nonzero(node["image_adc"].values))
    assert (x, y, z) == voxel
    here = (node["affine"].values @ [x, y, z, 1])[:3]
    there = nibabel.affines.apply_affine(nibabel.load(path).affine, voxel)
    np.testing.assert_allclose(here, there, atol=1e-4)
    np.testing.assert_allclose(here, (affine @ [*voxel, 1])[:3], atol=1e-3)


@pytest.mark.parametrize("codes", ALL_48)
def test_declared_orientation(codes: str, tmp_path: Path) -> None:
    path = tmp_path / "synthetic.nii"
    path.write_bytes(IMPOSSIBLE["no orientation"](synthetic_bytes(shape=(4, 3, 2))))
    affine = read(path, axes=codes)["anat"]["affine"].values
    assert "".join(nibabel.aff2axcodes(affine)) == codes
    np.testing.assert_allclose(nibabel.affines.voxel_sizes(affine), [2, 3, 4])


def test_contradicting_forms_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.nii"
    moved = np.diag([2.0, 3.0, 4.0, 1.0])
    moved[0, 3] = 5.0
    for code, level in ((1, "warning"), (4, "note")):
        image = synthetic_image((4, 3, 2))
        image.set_sform(moved, code=code)
        image.to_filename(path)
        raw = open_raw(path)
        tree = nifti.read(raw, Declared())
        np.testing.assert_array_equal(tree["anat"]["affine"].values, moved)
        assert [p.level for p in raw.problems if "5 mm apart" in p.found] == [level]


# units


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1.0), ("micron", 1e-3), ("meter", 1e3)])
def test_units_of_length(unit: str, factor: float, tmp_path: Path) -> None:
    path = tmp_path / "synthetic.nii"
    synthetic_image((4, 3, 2), units=(unit, "sec")).to_filename(path)
    affine = read(path)["anat"]["affine"].values
    np.testing.assert_allclose(np.diag(affine), [2 * factor, 3 * factor, 4 * factor, 1])


@pytest.mark.parametrize(("unit", "period"), [("sec", 1.5), ("msec", 1500), ("usec", 1.5e6)])
def test_units_of_time(unit: str, period: float, tmp_path: Path) -> None:
    path = tmp_path / "synthetic.nii"
    synthetic_image(units=("mm", unit), period=period).to_filename(path)
    assert read(path)["bold"].attrs["rate_hz"] == pytest.approx(1 / 1.5, rel=1e-9)


def test_declared_voxel_size_confirms_the_unit(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.nii"
    synthetic_image((4, 3, 2), units=("unknown", "sec")).to_filename(path)
    with pytest.raises(MissingFactError, match=r"--set voxel_mm=4,3,2"):
        read(path)
    for declared, factor in (([4, 3, 2], 1.0), ([0.004, 0.003, 0.002], 1e-3)):
        affine = read(path, voxel_mm=declared)["anat"]["affine"].values
        np.testing.assert_allclose(np.diag(affine)[:3], np.array([2, 3, 4]) * factor)
    with pytest.raises(InvalidInputError, match="voxel_mm"):
        read(path, voxel_mm=[2, 3, 4])


def test_declared_rate_wins_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.nii"
    path.write_bytes(IMPOSSIBLE["no unit of time"](synthetic_bytes()))
    raw = open_raw(path)
    tree = nifti.read(raw, Declared({"rate_hz": 4, "start_s": 1.5}))
    assert tree["bold"].attrs["rate_hz"] == 4.0
    assert tree["bold"].attrs["start_s"] == 1.5
    assert [p.level for p in raw.problems if "pixdim[4]" in p.where] == ["warning"]


def test_fourth_axis_declared_as_channels(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.nii"
    path.write_bytes(IMPOSSIBLE["no unit of time"](synthetic_bytes()))
    node = read(path, axes="channel,z,y,x")["image"]
    assert dict(node["image_adc"].sizes) == {"channel": 5, "z": 2, "y": 3, "x": 4}
    assert "rate_hz" not in node.attrs


def test_side_car_and_header_agree_or_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sub-01_task-rest_bold.nii"
    side_car = tmp_path / "task-rest_bold.json"
    synthetic_image().to_filename(path)
    side_car.write_text(json.dumps({"RepetitionTime": 2.0}))
    tree = read(path)
    assert tree["bold"].attrs["rate_hz"] == 0.5
    assert tree.attrs == {"modality": "fmri", "subject": "01", "task": "rest"}
    side_car.write_text(json.dumps({"RepetitionTime": 0.8}))
    with pytest.raises(UnreadableError, match=r"2 s, but RepetitionTime 0\.8 s"):
        read(path)
    assert read(path, rate_hz=1.25)["bold"].attrs["rate_hz"] == 1.25
    side_car.write_text(json.dumps({"RepetitionTime": "2 s"}))
    with pytest.raises(UnreadableError, match="RepetitionTime"):
        read(path)


# voxels


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("code", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c8"])
def test_native_types_are_kept(code: str, order: str, tmp_path: Path) -> None:
    path = tmp_path / "synthetic.nii"
    old = synthetic_image((4, 3, 2), dtype=code)
    header = nibabel.Nifti1Header(endianness=order)
    header.set_xyzt_units("mm", "sec")
    header.set_data_dtype(code)
    header.set_slope_inter(1, 0)
    header.set_sform(old.affine, code=1)
    header["dim"][:4], header["pixdim"][1:4] = (3, 4, 3, 2), (2, 3, 4)
    header["vox_offset"] = 352
    values = np.asarray(old.dataobj).astype(np.dtype(code).newbyteorder(order))
    path.write_bytes(header.binaryblock + bytes(4) + values.tobytes("F"))
    node = read(path)["anat"]
    name = "image_adc" if np.dtype(code).kind in "iu" else "image"
    assert node[name].dtype == np.dtype(code)
    np.testing.assert_array_equal(node[name].values.T, np.asarray(nibabel.load(path).dataobj))


@pytest.mark.parametrize(("slope", "inter"), [(0.5, -3.0), (-2.0, 0.0), (0.0, 9.0)])
@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_scaling_is_that_of_the_standard(
    slope: float, inter: float, dtype: str, tmp_path: Path
) -> None:
    path = tmp_path / "synthetic.nii"
    path.write_bytes(put(112, "2f", slope, inter)(synthetic_bytes(shape=(4, 3, 2), dtype=dtype)))
    node = read(path)["anat"]
    if dtype == "i2":
        found = node["image_adc"].values * float(node["scale"]) + float(node["offset"])
    else:
        found = node["image"].values
    np.testing.assert_allclose(found.T, nibabel.load(path).get_fdata())


def test_five_axes_are_time_and_channel(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.nii"
    image = synthetic_image((4, 3, 2, 5, 3))
    image.to_filename(path)
    stored = read(path)["bold"]["image_adc"]
    assert stored.dims == ("time", "channel", "z", "y", "x")
    values = np.asarray(image.dataobj)
    assert stored.values[4, 2, 1, 0, 3] == values[3, 0, 1, 4, 2]
    synthetic_image((4, 3, 2, 1, 3)).to_filename(path)
    assert read(path)["image"]["image_adc"].dims == ("channel", "z", "y", "x")


def test_two_axes_keep_z(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.nii"
    path.write_bytes(put(40, "8h", 2, 4, 3, 1, 1, 1, 1, 1)(synthetic_bytes(shape=(4, 3, 1))))
    assert dict(read(path)["anat"]["image_adc"].sizes) == {"z": 1, "y": 3, "x": 4}


@contextmanager
def peak_below(limit_bytes: int) -> Iterator[None]:
    """Assert that less is allocated at any moment; memory maps do not count."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit_bytes
    finally:
        tracemalloc.stop()


def test_large_series_stays_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.nii"
    header = nibabel.Nifti1Header.from_header(synthetic_image().header)
    header["dim"][:5] = (4, 128, 128, 64, 600)
    header["scl_slope"], header["scl_inter"], header["vox_offset"] = 1, 0, 352
    with path.open("wb") as stream:
        stream.write(header.binaryblock)
        stream.truncate(352 + 2 * 128 * 128 * 64 * 600)  # 1.2 GB, sparse
    with peak_below(100_000_000):
        stored = read(path)["bold"]["image_adc"]
        assert int(stored[599, 63, 127, 127]) == 0
    assert max(np.prod(block) for block in itertools.product(*stored.chunks)) * 2 <= 32 * 2**20


def test_large_gzip_is_unpacked_to_disk(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.nii.gz"
    header = nibabel.Nifti1Header.from_header(synthetic_image().header)
    header["dim"][:5] = (4, 128, 128, 64, 60)
    header["scl_slope"], header["scl_inter"], header["vox_offset"] = 1, 0, 352
    block = np.random.default_rng(0).integers(0, 99, 2**20, "i2").tobytes()
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(header.binaryblock + bytes(4))
        for _ in range(60):  # 126 MB
            stream.write(block)
    with peak_below(100_000_000):
        stored = read(path)["bold"]["image_adc"]
        first, last = stored[0].values, stored[59].values
    np.testing.assert_array_equal(first, last)
    assert first.tobytes() == block
    assert list(tmp_path.iterdir()) == [path]


def test_file_that_changes_while_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.nii"
    path.write_bytes(synthetic_bytes())
    tree = read(path)
    path.write_bytes(synthetic_bytes() + b"more")
    with pytest.raises(UnreadableError, match="changed"):
        tree.load()


# refusals


@pytest.mark.parametrize("story", IMPOSSIBLE)
def test_impossible_header_says_where_and_what(story: str, tmp_path: Path) -> None:
    path = tmp_path / "synthetic.nii"
    path.write_bytes(IMPOSSIBLE[story](synthetic_bytes()))
    with pytest.raises((UnreadableError, UnknownFormatError, MissingFactError)) as caught:
        read(path)
    error = caught.value
    assert error.where.startswith("synthetic.nii")
    assert error.found
    assert error.expected
    assert error.hint


def test_intact_synthetic_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.nii"
    path.write_bytes(synthetic_bytes())
    assert dict(read(path)["bold"]["image_adc"].sizes) == {"time": 5, "z": 2, "y": 3, "x": 4}


def test_every_bit_flip_in_gzip_is_found_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.nii.gz"
    random = np.random.default_rng(3)
    values = random.integers(0, 2000, (12, 11, 5)).astype("i2")
    image = nibabel.Nifti1Image(values, np.eye(4))
    image.header.set_xyzt_units("mm", "sec")
    whole = gzip.compress(image.to_bytes(), mtime=0)
    refused = 0
    for bit in random.choice(8 * len(whole), 300, replace=False):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        try:
            found = read(path)["anat"]["image_adc"].values
        except NeurodataError:
            refused += 1
        else:  # a bit of the gzip header that says nothing about the data, such as its date
            assert bit // 8 < 10
            np.testing.assert_array_equal(found.T, values)
    assert refused >= 295


def test_gzip_bombs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.nii.gz"
    path.write_bytes(gzip.compress(synthetic_bytes() + bytes(2**24)))
    with pytest.raises(UnsafeError, match="unpacked"):
        read(path)
    path.write_bytes(gzip.compress(IMPOSSIBLE["32767 cubed"](synthetic_bytes())))
    with pytest.raises(UnreadableError, match="by its header"):
        read(path)


def test_header_extensions_are_left_out_and_listed(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.nii"
    image = synthetic_image((4, 3, 2))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", CANARY.encode()))
    image.to_filename(path)
    raw = open_raw(path)
    tree = nifti.read(raw, Declared())
    np.testing.assert_array_equal(tree["anat"]["image_adc"].values.T, np.asarray(image.dataobj))
    assert CANARY not in str(tree) + str(raw.problems)
    assert any("header extensions" in p.found for p in raw.problems)


def test_foreign_axes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.nii"
    path.write_bytes(synthetic_bytes())
    with pytest.raises(RefusedError, match="--set axes"):
        read(path, axes="time,roi")


@pytest.mark.parametrize("packed", [False, True])
def test_a_pass_over_the_voxels_keeps_little_in_memory(tmp_path: Path, packed: bool) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_dtype("i2")
    header.set_data_shape((64, 64, 32, 384))  # 96 MiB
    header.set_xyzt_units("mm", "sec")
    header["pixdim"][4], header["magic"], header["vox_offset"] = 2, b"n+1", 352
    header.set_sform(np.eye(4), 1)
    whole = header.binaryblock + bytes(4 + 96 * 2**20)
    path = tmp_path / "synthetic.nii"
    path.write_bytes(gzip.compress(whole, 1) if packed else whole)
    del whole
    voxels = nifti.read(Raw(tmp_path, (path,)), Declared())["bold/image_adc"].data
    before = resident_bytes()
    tracemalloc.start()
    for block in voxels.blocks.ravel():
        assert block.compute(scheduler="synchronous").max() == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 72 * 2**20  # two slabs
    assert resident_bytes() - before < 64 * 2**20


def resident_bytes() -> int:
    """Memory of this process, mapped files included; 0 where /proc does not tell."""
    told = Path("/proc/self/statm")
    return int(told.read_text().split()[1]) * mmap.PAGESIZE if told.exists() else 0
