"""suite2p folders: the real one against plain numpy, made ones for every refusal."""

from __future__ import annotations

import contextlib
import datetime
import os
import pickle
import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata import schema
from neurodata.declare import Declared
from neurodata.errors import (
    InvalidInputError,
    MissingFactError,
    NeurodataError,
    UnreadableError,
    UnsafeError,
)
from neurodata.readers import suite2p
from neurodata.safe import Raw, head
from tests.readers.conformance import HeaderTests, content, texts

CANARY = "Zdenka Canary"
COUNT, FRAMES = 3, 40


def synthetic(folder: Path) -> Path:
    """Write a folder as suite2p does: traces, flags, footprints and settings with paths."""
    random = np.random.default_rng(1)
    for name in ("F.npy", "Fneu.npy", "spks.npy"):
        np.save(folder / name, random.normal(size=(COUNT, FRAMES)).astype("f4"))
    np.save(folder / "iscell.npy", np.array([[1, 0.9], [0, 0.2], [1, 0.6]]))
    stat = [
        {
            "ypix": np.array([roi, roi + 1]), "xpix": np.array([2, 3]), "lam": np.ones(2, "f4"),
            "med": [roi, 2], "radius": np.float32(1.5), "npix": 2, "overlap": np.zeros(2, bool),
        }
        for roi in range(COUNT)
    ]  # fmt: skip
    np.save(folder / "stat.npy", np.array(stat), allow_pickle=True)
    ops = {
        "fs": 12.5, "Ly": 8, "Lx": 6, "nframes": FRAMES, "data_path": [CANARY], "tau": 1.0,
        "save_path": CANARY, "meanImg": np.ones((8, 6), "f4"), "look_one_level_down": False,
        "date_proc": datetime.datetime(2020, 1, 1).astimezone(), "reg": {"yoff": [1, 2]},
    }  # fmt: skip
    np.save(folder / "ops.npy", np.array(ops), allow_pickle=True)
    return folder / "F.npy"


class TestSuite2p(HeaderTests):
    reader = suite2p
    nodes: ClassVar = {
        "traces": "timeseries", "neuropil": "timeseries", "deconvolved": "timeseries",
    }  # fmt: skip
    declare: ClassVar = {"rate_hz": 12.5}
    lies: ClassVar = {
        "more frames": lambda whole: whole.replace(b"(3, 40)", b"(3, 41)"),
        "fewer frames": lambda whole: whole.replace(b"(3, 40)", b"(3, 39)"),
        "no regions": lambda whole: whole.replace(b"(3, 40)", b"(0, 40)"),
        "1e13 values": lambda whole: whole.replace(b"(3, 40), }   ", b"(9**9, 9), }"),
        "counts": lambda whole: whole.replace(b"<f4", b"<i4"),
        "objects": lambda whole: whole.replace(b"<f4", b"|O "),
    }

    def make(self, folder: Path) -> Path:
        """Write the arrays alone: each pickle starts a process when it is read."""
        path = synthetic(folder)
        for name in ("stat.npy", "ops.npy"):
            path.with_name(name).unlink()
        return path

    def victims(self, path: Path) -> tuple[Path, ...]:
        return path, path.with_name("iscell.npy")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return synthetic(tmp_path)


def read(path: Path, **declared: Any) -> tuple[xr.DataTree, Raw]:
    files = suite2p.members(path, sorted(path.parent.iterdir()))
    raw = Raw(path.parent, files)
    return suite2p.read(raw, Declared({k.replace("__", "."): v for k, v in declared.items()})), raw


# real folder


def test_real_folder_without_settings(realdata: Path, tmp_path: Path) -> None:
    folder = realdata / "fixtures/calcium/pynapple_suite2p_npy"
    path = folder / "F.npy"
    with pytest.raises(MissingFactError, match="rate_hz=<Hz>"):
        read(path)
    tree, _ = read(path, rate_hz=10)
    traces = tree["traces"].to_dataset()
    assert traces["signal"].shape == (2000, 219)
    assert traces["signal"].dtype == "float32"
    assert (traces.attrs["rate_hz"], traces.attrs["n"], traces.attrs["start_s"]) == (10.0, 2000, 0)
    np.testing.assert_array_equal(traces["signal"].values, np.load(path).T)
    flags = np.load(folder / "iscell.npy")
    np.testing.assert_array_equal(traces["is_cell"].values, flags[:, 0] == 1)
    np.testing.assert_array_equal(traces["cell_probability"].values, flags[:, 1])
    assert set(traces["units"].values) == {"a.u."}
    assert list(tree.children) == ["traces"]


@pytest.mark.acceptance
def test_real_folder_with_footprints(realdata: Path, tmp_path: Path) -> None:
    for part in ("fixtures", "acceptance"):
        for file in (realdata / part / "calcium/pynapple_suite2p_npy").iterdir():
            os.symlink(file, tmp_path / file.name)
    tree, raw = read(tmp_path / "F.npy", rate_hz=10)
    for node, name in (("traces", "F"), ("neuropil", "Fneu"), ("deconvolved", "spks")):
        wanted = np.load(tmp_path / f"{name}.npy").T
        np.testing.assert_array_equal(tree[f"{node}/signal"].values, wanted)
    rois, stat = tree["rois"].to_dataset(), np.load(tmp_path / "stat.npy", allow_pickle=True)
    splits = rois["row_splits"].values
    for roi, facts in enumerate(stat):
        part = slice(splits[roi], splits[roi + 1])
        np.testing.assert_array_equal(rois["pixel_y"].values[part], facts["ypix"])
        np.testing.assert_array_equal(rois["pixel_x"].values[part], facts["xpix"])
        np.testing.assert_array_equal(rois["pixel_weight"].values[part], facts["lam"])
        assert rois["radius"].values[roi] == facts["radius"]
    assert any("no image size" in problem.found for problem in raw.problems)


@pytest.mark.acceptance
def test_real_parts_alone_are_read_with_a_warning(realdata: Path) -> None:
    folder = realdata / "acceptance/calcium/pynapple_suite2p_npy"
    tree, raw = read(folder / "spks.npy", rate_hz=10)
    assert list(tree.children) == ["neuropil", "deconvolved", "rois"]
    assert raw.main.name == "Fneu.npy"
    assert any("no F.npy" in problem.found for problem in raw.problems)


# the whole folder


def test_a_whole_folder_follows_the_schema_without_the_person(path: Path) -> None:
    tree, raw = read(path)
    assert list(tree.children) == ["traces", "neuropil", "deconvolved", "rois"]
    assert [p for p in schema.check(tree) if p.level == "error"] == []
    assert content(tree) == content(read(path)[0])
    assert CANARY.encode() in path.with_name("ops.npy").read_bytes()
    assert CANARY not in str(texts(tree)) + str(raw.problems)
    assert any(p.level == "note" and "removed" in p.found for p in raw.problems)


# settings


def test_rate_and_image_come_from_the_settings(path: Path) -> None:
    tree, raw = read(path)
    assert tree["traces"].attrs["rate_hz"] == 12.5
    assert tree["rois"].attrs["image_shape_yx"] == [8, 6]
    assert tree["rois/centroid_y"].values.tolist() == [0.5, 1.5, 2.5]
    assert tree["rois/is_cell"].values.tolist() == [True, False, True]
    assert not [problem for problem in raw.problems if problem.level == "warning"]


def test_declared_rate_and_units_win(path: Path) -> None:
    tree, raw = read(path, rate_hz=10, start_s=2, units__traces="dF/F")
    assert tree["traces"].attrs["rate_hz"] == 10.0
    assert tree["traces"].attrs["start_s"] == 2.0
    assert tree["traces/signal"].attrs["units"] == "dF/F"
    assert tree["neuropil/signal"].attrs["units"] == "a.u."
    assert any("12.5 Hz" in problem.found for problem in raw.problems)
    percent, _ = read(path, units__traces="%dF/F")
    np.testing.assert_allclose(percent["traces/signal"], tree["traces/signal"] / 100, rtol=1e-6)


@pytest.mark.parametrize("rate", [0, -1.0, float("nan"), float("inf"), 1e9, "fast", [30], 10**400])
def test_impossible_rates_are_refused(rate: Any, path: Path) -> None:
    np.save(path.with_name("ops.npy"), np.array({"fs": rate}), allow_pickle=True)
    with pytest.raises(UnreadableError):
        read(path)


@pytest.mark.parametrize("rate", [0, -3])
def test_impossible_declared_rates_are_refused(rate: Any, path: Path) -> None:
    with pytest.raises(InvalidInputError):
        read(path, rate_hz=rate)


def test_hostile_settings_are_refused(path: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"

    class Hostile:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {marker}",)

    for name in ("ops.npy", "stat.npy"):
        victim = path.with_name(name)
        whole = victim.read_bytes()
        np.save(victim, np.array({"fs": 30, "x": Hostile()}), allow_pickle=True)
        with pytest.raises(UnsafeError, match="system"):
            read(path)
        victim.write_bytes(whole)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["ops.npy", "stat.npy"])
def test_damaged_pickles_give_no_foreign_exception(name: str, path: Path) -> None:
    victim = path.with_name(name)
    whole = victim.read_bytes()
    random = np.random.default_rng(2)
    for cut in random.integers(len(whole), size=8):
        victim.write_bytes(whole[:cut])
        with pytest.raises(NeurodataError):
            read(path)
    for _ in range(12):
        damaged = bytearray(whole)
        for where in random.integers(len(whole), size=3):
            damaged[where] = random.integers(256)
        victim.write_bytes(damaged)
        with contextlib.suppress(NeurodataError):
            read(path)


# regions


@pytest.mark.parametrize(
    "table",
    [
        np.ones((COUNT, 3)),
        np.ones((COUNT + 1, 2)),
        np.full((COUNT, 2), 0.5),
        np.full((COUNT, 2), 2),
    ],
)
def test_odd_flags_are_refused(table: Any, path: Path) -> None:
    np.save(path.with_name("iscell.npy"), table)
    with pytest.raises(UnreadableError, match=r"iscell\.npy"):
        read(path)


@pytest.mark.parametrize(
    "change",
    [
        {"ypix": np.array([0, 99])}, {"ypix": np.array([-1, 0])}, {"lam": np.array([1, np.nan])},
        {"xpix": np.array([1])}, {"xpix": np.array([1.5, 2.5])}, {"lam": "heavy"},
    ],
)  # fmt: skip
def test_odd_footprints_are_refused(change: dict[str, Any], path: Path) -> None:
    victim = path.with_name("stat.npy")
    stat = np.load(victim, allow_pickle=True)
    stat[1].update(change)
    np.save(victim, stat, allow_pickle=True)
    with pytest.raises(UnreadableError):
        read(path)


def test_arrays_of_other_shapes_are_refused(path: Path) -> None:
    np.save(path.with_name("spks.npy"), np.zeros((COUNT, FRAMES - 1), "f4"))
    with pytest.raises(UnreadableError, match=r"spks\.npy"):
        read(path)
    np.save(path.with_name("spks.npy"), np.zeros((COUNT, FRAMES), "f4"))
    np.save(path.with_name("stat.npy"), np.array([{}, {}]), allow_pickle=True)
    with pytest.raises(UnreadableError, match=r"2 regions"):
        read(path)


# recognising


def test_an_array_beside_the_flags_is_read_with_its_unit_declared(path: Path) -> None:
    own = path.with_name("dff.npy")
    np.save(own, np.zeros((COUNT, FRAMES)))
    assert suite2p.sniff(head(own), own)
    assert own not in suite2p.members(path, sorted(path.parent.iterdir()))
    with pytest.raises(MissingFactError, match=r"units\.traces"):
        read(own)
    tree, _ = read(own, units__traces="dF/F")
    assert tree["traces/units"].values.tolist() == ["dF/F"] * COUNT


def test_other_arrays_are_left(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name, values in (("a.npy", np.zeros((3, 4))), ("F.npy", np.arange(3))):
        np.save(other / name, values)
        assert not suite2p.sniff(head(other / name), other / name)
    for name in ("iscell.npy", "stat.npy", "ops.npy"):
        side_car = path.with_name(name)
        assert not suite2p.sniff(head(side_car), side_car)


def test_planes_are_recordings_of_their_own(path: Path) -> None:
    folder = path.parent / "combined"
    folder.mkdir()
    shutil.copyfile(path, folder / "F.npy")
    files = sorted(p for p in path.parent.rglob("*") if p.is_file())
    assert suite2p.members(folder / "F.npy", files) == (folder / "F.npy",)
    _, raw = read(folder / "F.npy", rate_hz=10)
    assert any("all planes" in problem.found for problem in raw.problems)


def test_a_bare_pickle_is_no_settings(path: Path) -> None:
    path.with_name("ops.npy").write_bytes(pickle.dumps({"fs": 30}))
    with pytest.raises(UnreadableError, match=r"ops\.npy"):
        read(path)
