"""MINC 1 and 2: voxels, scaling, geometry and clock against h5py, scipy and nibabel."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import h5py
import nibabel
import numpy as np
import pytest
import xarray as xr
from scipy.io import netcdf_file

from neurodata.declare import Declared
from neurodata.errors import (
    MissingFactError,
    NeurodataError,
    RefusedError,
    UnknownFormatError,
    UnreadableError,
    UnsafeError,
)
from neurodata.readers import minc
from neurodata.safe import Raw
from tests.readers.conformance import PersonalTests, ReaderTests, flip_bits, refused

NIBABEL = Path(nibabel.__file__).parent / "tests/data"
CANARY = "Jane Q Canary"
SHAPE = (2, 3, 4)
COSINES = {"zspace": (0.0, 0.6, 0.8), "yspace": (0.0, 0.8, -0.6), "xspace": (1.0, 0.0, 0.0)}
STEPS = {"zspace": 4.0, "yspace": -3.0, "xspace": 2.0, "time": 1.5}
STARTS = {"zspace": -10.0, "yspace": 20.5, "xspace": -30.0, "time": 0.5}
Change = Callable[[h5py.File], None]


def synthetic(
    path: Path, *changes: Change, dtype: str = "<i2", order: str = "zspace,yspace,xspace",
    per_slice: bool = True, valid: tuple[int, int] | None = (0, 1000),
) -> Path:  # fmt: skip
    """A synthetic MINC 2 file of voxels that all differ."""
    names = order.split(",")
    sizes = {"time": 5, "zspace": 2, "yspace": 3, "xspace": 4, "vector_dimension": 3}
    shape = [sizes[name] for name in names]
    with h5py.File(path, "w") as file:
        root = file.create_group("minc-2.0")
        root.attrs["ident"] = np.bytes_(f"host:{CANARY}:2013")
        root.attrs["history"] = np.bytes_(f"mincresample by {CANARY}")
        root.create_group("info/patient").attrs["full_name"] = np.bytes_(CANARY)
        for name in names:
            axis = root.create_dataset(f"dimensions/{name}", data=0)
            axis.attrs["length"] = np.int32(sizes[name])
            axis.attrs["spacing"] = np.bytes_("regular__")
            if name in STEPS:
                axis.attrs["step"], axis.attrs["start"] = STEPS[name], STARTS[name]
                axis.attrs["units"] = np.bytes_("s" if name == "time" else "mm")
            if name in COSINES:
                axis.attrs["direction_cosines"] = np.array(COSINES[name])
        image = root.create_dataset(
            "image/0/image", data=np.arange(np.prod(shape)).reshape(shape).astype(dtype)
        )
        image.attrs["dimorder"] = np.bytes_(order)
        if valid:
            image.attrs["valid_range"] = np.array(valid, "f8")
        scaled = shape[:1] if per_slice else []
        for name, value in (("image-min", -5.0), ("image-max", 95.0)):
            data = np.full(scaled, value) + (np.arange(shape[0]) if scaled else 0)
            limit = root.create_dataset(f"image/0/{name}", data=data)
            if scaled:
                limit.attrs["dimorder"] = np.bytes_(names[0])
        for change in changes:
            change(file)
    return path


def attribute(place: str, name: str, value: Any) -> Change:
    """Set an attribute, or take it away where the value is None."""

    def change(file: h5py.File) -> None:
        attrs = file[f"minc-2.0/{place}"].attrs
        if value is None:
            del attrs[name]
        else:
            attrs[name] = value

    return change


def data(place: str, values: Any) -> Change:
    """Store other numbers; none takes the array away."""

    def change(file: h5py.File) -> None:
        old = dict(file[f"minc-2.0/{place}"].attrs)
        del file[f"minc-2.0/{place}"]
        if values is not None:
            file.create_dataset(f"minc-2.0/{place}", data=values).attrs.update(old)

    return change


X, T, IMAGE = "dimensions/xspace", "dimensions/time", "image/0/image"
NAN = float("nan")
IMPOSSIBLE = {
    "no image": data(IMAGE, None),
    "no image-max": data("image/0/image-max", None),
    "text for voxels": data(IMAGE, np.array([[["a", "b"]]], "S1")),
    "no order of axes": attribute(IMAGE, "dimorder", None),
    "an axis too few": attribute(IMAGE, "dimorder", np.bytes_("zspace,yspace")),
    "an axis too many": attribute(IMAGE, "dimorder", np.bytes_("time,zspace,yspace,xspace")),
    "an axis twice": attribute(IMAGE, "dimorder", np.bytes_("zspace,xspace,xspace")),
    "an axis of another kind": attribute(IMAGE, "dimorder", np.bytes_("zspace,yspace,frequency")),
    "another length": attribute(X, "length", np.int32(5)),
    "irregular": attribute(X, "spacing", np.bytes_("irregular")),
    "spacing of no such kind": attribute(X, "spacing", np.bytes_("xspace")),
    "no step": attribute(X, "step", None),
    "step 0": attribute(X, "step", 0.0),
    "step NaN": attribute(X, "step", NAN),
    "step as text": attribute(X, "step", np.bytes_("two")),
    "no start": attribute(X, "start", None),
    "start infinite": attribute(X, "start", float("inf")),
    "no unit": attribute(X, "units", None),
    "a unit of time": lambda file: [
        attribute(f"dimensions/{a}space", "units", np.bytes_("s"))(file) for a in "xyz"
    ],
    "an unknown unit": lambda file: [
        attribute(f"dimensions/{a}space", "units", np.bytes_("furlong"))(file) for a in "xyz"
    ],
    "direction of length 2": attribute(X, "direction_cosines", np.array([2.0, 0, 0])),
    "direction of two numbers": attribute(X, "direction_cosines", np.array([1.0, 0])),
    "direction NaN": attribute(X, "direction_cosines", np.array([NAN, 0, 0])),
    "directions alike": attribute(X, "direction_cosines", np.array(COSINES["zspace"])),
    "valid range falling": attribute(IMAGE, "valid_range", np.array([9.0, 1.0])),
    "valid range of one": attribute(IMAGE, "valid_range", np.array([9.0])),
    "valid range beyond the type": attribute(IMAGE, "valid_range", np.array([0.0, 70000.0])),
    "least over greatest": data("image/0/image-min", np.array([0.0, 200.0])),
    "greatest NaN": data("image/0/image-max", np.array([NAN, 1.0])),
    "limits of another length": data("image/0/image-max", np.array([1.0, 2.0, 3.0])),
    "limits over another axis": attribute("image/0/image-max", "dimorder", np.bytes_("xspace")),
    "no range": lambda file: [
        data("image/0/image-min", np.zeros(2))(file), data("image/0/image-max", np.zeros(2))(file)
    ],
}  # fmt: skip


def read(path: Path, **facts: Any) -> tuple[xr.DataTree, str]:
    """Return the tree and the findings as one text."""
    raw = Raw(path.parent, minc.members(path, sorted(path.parent.iterdir())))
    return minc.read(raw, Declared(facts)), "\n".join(map(str, raw.problems))


class TestMinc2(PersonalTests):
    reader = minc
    nodes: ClassVar = {"anat": "volume"}
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return synthetic(folder / "synthetic.mnc")

    @pytest.mark.parametrize("story", IMPOSSIBLE)
    def test_impossible_facts_are_refused(self, story: str, tmp_path: Path) -> None:
        path = synthetic(tmp_path / "synthetic.mnc", IMPOSSIBLE[story])
        refused(lambda: read(path), story)
        with pytest.raises(RefusedError) as caught:
            read(path)
        assert caught.value.expected


class TestMinc2Series(ReaderTests):
    reader = minc
    nodes: ClassVar = {"bold": "volume"}

    def make(self, folder: Path) -> Path:
        order = "time,zspace,yspace,xspace"
        return synthetic(folder / "synthetic.mnc", order=order, per_slice=False)


def synthetic_1(path: Path, dtype: str = "h", sign: str = "signed__") -> Path:
    """A synthetic MINC 1 file, written by scipy."""
    file = netcdf_file(path, "w")
    file.history = CANARY
    for name, size in zip(("zspace", "yspace", "xspace"), SHAPE, strict=True):
        file.createDimension(name, size)
        axis = file.createVariable(name, "i", ())
        axis.spacing, axis.units = b"regular__", b"mm"
        axis.step, axis.start = STEPS[name], STARTS[name]
        axis.direction_cosines = np.array(COSINES[name])
    patient = file.createVariable("patient", "i", ())
    patient.full_name = CANARY.encode()
    for name, value in (("image-min", -5.0), ("image-max", 95.0)):
        file.createVariable(name, "d", ("zspace",))[:] = [value, value + 1]
    image = file.createVariable("image", dtype, ("zspace", "yspace", "xspace"))
    image[:] = np.arange(24).reshape(SHAPE)
    if dtype not in "fd":
        image.signtype = sign.encode()
        image.valid_range = np.array([0.0, 100.0])
    file.close()
    return path


class TestMinc1(PersonalTests):
    reader = minc
    nodes: ClassVar = {"anat": "volume"}
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return synthetic_1(folder / "synthetic.mnc")


def placed() -> np.ndarray:
    """The matrix that the synthetic axes make, fastest axis first."""
    matrix = np.eye(4)
    for column, name in enumerate(("xspace", "yspace", "zspace")):
        matrix[:3, column] = np.array(COSINES[name]) * STEPS[name]
    matrix[:3, 3] = sum(np.array(COSINES[name]) * STARTS[name] for name in COSINES)
    return matrix


def same_as_nibabel(node: xr.DataTree, path: Path) -> None:
    image = nibabel.load(path)
    if "image_adc" in node:
        found = node["image_adc"].values * float(node["scale"]) + float(node["offset"])
    else:
        found = node["image"].values
    np.testing.assert_allclose(found, np.asarray(image.dataobj), rtol=1e-6, atol=1e-6)
    spatial = [2, 1, 0, 3]
    np.testing.assert_allclose(node["affine"].values, image.affine[:, spatial], atol=1e-9)


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "u1", "<u2", "i1", "<i4", "<u4"])
@pytest.mark.parametrize("per_slice", [True, False])
def test_voxels_scaling_and_affine(dtype: str, per_slice: bool, tmp_path: Path) -> None:
    path = synthetic(tmp_path / "a.mnc", dtype=dtype, per_slice=per_slice, valid=(0, 100))
    tree, findings = read(path)
    node = tree["anat"]
    values = np.arange(24).reshape(SHAPE)
    low = -5 + np.arange(2).reshape(2, 1, 1) * per_slice
    expected = values * (100 / 100) + low
    if per_slice:
        np.testing.assert_allclose(node["image"].values, expected)
        assert node["image"].dtype == np.float32
        assert "one a slice" in findings
    else:
        assert node["image_adc"].dtype == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(node["image_adc"].values, values)
        assert (float(node["scale"]), float(node["offset"])) == (1.0, -5.0)
    np.testing.assert_allclose(node["affine"].values, placed())
    same_as_nibabel(node, path)


def test_without_valid_range_the_type_has_it(tmp_path: Path) -> None:
    path = synthetic(tmp_path / "a.mnc", dtype="u1", per_slice=False, valid=None)
    node = read(path)[0]["anat"]
    assert float(node["scale"]) == pytest.approx(100 / 255)
    same_as_nibabel(node, path)


@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_floats_are_real_values(dtype: str, tmp_path: Path) -> None:
    node = read(synthetic(tmp_path / "a.mnc", dtype=dtype, valid=None))[0]["anat"]
    np.testing.assert_array_equal(node["image"].values, np.arange(24).reshape(SHAPE))


def test_values_that_are_not_valid_become_nan(tmp_path: Path) -> None:
    """The format calls them missing; elsewhere they are quietly set to the nearest valid value."""
    path = synthetic(tmp_path / "a.mnc", per_slice=False, valid=(2, 20))
    tree, findings = read(path)
    image = tree["anat"]["image"].values.ravel()
    assert np.flatnonzero(np.isnan(image)).tolist() == [0, 1, 21, 22, 23]
    assert "5 voxels outside 2 to 20" in findings
    assert np.asarray(nibabel.load(path).dataobj).ravel()[23] == 95


@pytest.mark.parametrize(
    "order", ["time,zspace,yspace,xspace", "xspace,time,zspace,yspace", "yspace,xspace,zspace,time"]
)
def test_series(order: str, tmp_path: Path) -> None:
    path = synthetic(tmp_path / "a.mnc", order=order, per_slice=False)
    node = read(path)[0]["bold"]
    assert node["image_adc"].dims == ("time", "z", "y", "x")
    clock = {key: node.attrs[key] for key in ("start_s", "rate_hz", "n")}
    assert clock == {"start_s": 0.5, "rate_hz": 1 / 1.5, "n": 5}
    with h5py.File(path) as file:
        stored = file["minc-2.0/image/0/image"][()]
    names = order.split(",")
    moved = np.moveaxis(stored, names.index("time"), 0)
    np.testing.assert_array_equal(node["image_adc"].values, moved)
    spatial = [name for name in names if name != "time"][::-1]
    for column, name in enumerate(spatial):
        wanted = np.array(COSINES[name]) * STEPS[name]
        np.testing.assert_allclose(node["affine"].values[:3, column], wanted)
    np.testing.assert_allclose(node["affine"].values[:3, 3], placed()[:3, 3])


def test_series_without_unit_of_time(tmp_path: Path) -> None:
    order = "time,zspace,yspace,xspace"
    path = synthetic(tmp_path / "a.mnc", attribute(T, "units", None), order=order)
    with pytest.raises(MissingFactError, match="rate_hz=<Hz>"):
        read(path)
    assert read(path, rate_hz=2)[0]["bold"].attrs["rate_hz"] == 2.0


def test_vectors(tmp_path: Path) -> None:
    order = "zspace,yspace,xspace,vector_dimension"
    node = read(synthetic(tmp_path / "a.mnc", order=order, per_slice=False))[0]["image"]
    assert dict(node["image_adc"].sizes) == {"channel": 3, "z": 2, "y": 3, "x": 4}


def test_unit_of_length_declared(tmp_path: Path) -> None:
    none = [attribute(f"dimensions/{a}space", "units", None) for a in "xyz"]
    path = synthetic(tmp_path / "a.mnc", *none)
    with pytest.raises(MissingFactError, match="voxel_mm=4,3,2"):
        read(path)
    np.testing.assert_allclose(read(path, voxel_mm=[4, 3, 2])[0]["anat"]["affine"], placed())
    micro = [attribute(f"dimensions/{a}space", "units", np.bytes_("um")) for a in "xyz"]
    matrix = read(synthetic(tmp_path / "b.mnc", *micro))[0]["anat"]["affine"].values
    np.testing.assert_allclose(matrix[:3], placed()[:3] * 1e-3)


def test_links_to_other_files_are_refused(tmp_path: Path) -> None:
    def link(file: h5py.File) -> None:
        file["minc-2.0/info/other"] = h5py.ExternalLink("/etc/hostname", "/")

    with pytest.raises(UnsafeError, match="external link"):
        read(synthetic(tmp_path / "a.mnc", link))


@pytest.mark.parametrize(
    ("dtype", "sign", "expected"),
    [("b", "unsigned", "u1"), ("b", "signed__", "i1"), ("h", "signed__", "i2"),
     ("h", "unsigned", "u2"), ("i", "signed__", "i4"), ("f", "", "f4"), ("d", "", "f8")],
)  # fmt: skip
def test_minc_1(dtype: str, sign: str, expected: str, tmp_path: Path) -> None:
    path = synthetic_1(tmp_path / "a.mnc", dtype, sign)
    node = read(path)[0]["anat"]
    factor = 0 if dtype in "fd" else 1
    low = (-5 + np.arange(2).reshape(2, 1, 1)) * factor
    np.testing.assert_allclose(node["image"].values, np.arange(24).reshape(SHAPE) + low)
    np.testing.assert_allclose(node["affine"].values, placed())
    same_as_nibabel(node, path)


def test_minc_1_packed_or_without_sign_is_refused(tmp_path: Path) -> None:
    path = synthetic_1(tmp_path / "a.mnc", sign="perhaps_")
    with pytest.raises(UnreadableError, match="signtype"):
        read(path)
    packed = tmp_path / "b.mnc"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(UnknownFormatError, match="packed"):
        read(packed)


@pytest.mark.parametrize("version", [1, 2])
def test_bit_flips(version: int, tmp_path: Path) -> None:
    path = (synthetic if version == 2 else synthetic_1)(tmp_path / "a.mnc")
    flip_bits(path, 60 if version == 2 else 150, lambda: read(path)[0].load())


# real files


def small_is_read(path: Path) -> None:
    tree, findings = read(path)
    node = tree["anat"]
    with h5py.File(path) as file:
        part = file["minc-2.0/image/0"]
        stored, low = part["image"][()], part["image-min"][()]
        high, valid = part["image-max"][()], part["image"].attrs["valid_range"]
        dims = {
            name: dict(file[f"minc-2.0/dimensions/{name}"].attrs)
            for name in part["image"].attrs["dimorder"].decode().split(",")
        }
    assert stored.shape == (18, 28, 29)
    assert node["image"].dims == ("z", "y", "x")
    share = (stored.astype("f8") - valid[0]) / (valid[1] - valid[0])
    expected = share * (high - low)[:, None, None] + low[:, None, None]
    np.testing.assert_allclose(node["image"].values, expected, rtol=1e-6, atol=1e-4)
    for column, name in enumerate(list(dims)[::-1]):
        along = np.asarray(dims[name]["direction_cosines"]) * dims[name]["step"]
        np.testing.assert_allclose(node["affine"].values[:3, column], along)
    same_as_nibabel(node, path)
    assert "history" in findings


@pytest.mark.acceptance
def test_small(realdata: Path) -> None:
    small_is_read(realdata / "fixtures/mri/nibabel/tests/data/small.mnc")


@pytest.mark.parametrize("name", ["minc1_1_scale", "minc1_4d", "minc2_1_scale", "minc2_4d", "tiny"])
def test_files_of_nibabel(name: str) -> None:
    path = NIBABEL / f"{name}.mnc"
    if not path.exists():
        pytest.skip("this nibabel has no test data")
    facts = {"rate_hz": 1} if "4d" in name else {}
    tree, _ = read(path, **facts)
    (node,) = tree.children.values()
    same_as_nibabel(node, path)


@pytest.mark.parametrize("name", ["minc1-no-att", "minc2-no-att", "minc2_baddim"])
def test_files_of_nibabel_that_lack_facts(name: str) -> None:
    path = NIBABEL / f"{name}.mnc"
    if not path.exists():
        pytest.skip("this nibabel has no test data")
    with pytest.raises(NeurodataError):
        read(path)
