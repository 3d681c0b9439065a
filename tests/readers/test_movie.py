"""Movies under masks: the weighted mean of each region in every frame, one block at a time."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest
import tifffile
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import (
    InvalidInputError,
    MissingFactError,
    RefusedError,
    UnreadableError,
    UnsafeError,
)
from neurodata.readers import hdf5, movie
from neurodata.safe import Raw
from tests.readers.conformance import ReaderTests

FRAMES, HEIGHT, WIDTH = 30, 9, 7


def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4000, (FRAMES, HEIGHT, WIDTH)).astype("u2")


def weights() -> np.ndarray:
    masks = np.zeros((3, HEIGHT, WIDTH), "f4")
    masks[0, 1:4, 2:4] = 0.5
    masks[1, 3:6, 3:7] = np.random.default_rng(2).random((3, 4)) + 0.1
    masks[2, 8, 0] = 3.0
    return masks


def expected(frames: np.ndarray, masks: np.ndarray) -> np.ndarray:
    total = np.einsum("tyx,ryx->tr", frames.astype("f8"), masks.astype("f8"))
    return total / masks.astype("f8").sum(axis=(1, 2))


def synthetic(folder: Path, **options: Any) -> Path:
    path = folder / "synthetic.tif"
    tifffile.imwrite(
        path, pixels(), imagej=True, metadata={"axes": "TYX", "finterval": 0.05}, **options
    )
    np.save(folder / "synthetic_rois.npy", weights())
    return path


def synthetic_hdf5(folder: Path) -> Path:
    path = folder / "synthetic.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("movie", data=pixels(), chunks=(4, HEIGHT, WIDTH), compression="gzip")
        file["masks"] = weights()
        file["turned"] = pixels().transpose(2, 1, 0)
        file["text"] = "synthetic"
    np.save(folder / "synthetic_rois.npy", weights())
    return path


class TestMovie(ReaderTests):
    reader = movie
    nodes: ClassVar = {"traces": "timeseries", "rois": "rois"}
    declare: ClassVar = {"masks": "synthetic_rois.npy"}

    def make(self, folder: Path) -> Path:
        return synthetic(folder)

    def victims(self, path: Path) -> tuple[Path, ...]:
        return path, path.with_name("synthetic_rois.npy")


class TestHdf5Movie(ReaderTests):
    reader = hdf5
    nodes: ClassVar = {"traces": "timeseries", "rois": "rois"}
    declare: ClassVar = {
        "variables.movie": "movie", "masks": "synthetic_rois.npy", "axes": "time,y,x",
        "rate_hz": 20, "units.*": "count",
    }  # fmt: skip
    accepts: ClassVar = ("hdf5",)

    def make(self, folder: Path) -> Path:
        return synthetic_hdf5(folder)


def read(path: Path, reader: Any = movie, **declared: Any) -> tuple[xr.DataTree, Raw]:
    raw = Raw(path.parent, reader.members(path, sorted(path.parent.iterdir())))
    facts = {k.replace("__", "."): v for k, v in declared.items()}
    return reader.read(raw, Declared(facts)), raw


def test_traces_are_the_weighted_means(tmp_path: Path) -> None:
    tree, _ = read(synthetic(tmp_path), masks="synthetic_rois.npy")
    node = tree["traces"].to_dataset()
    np.testing.assert_allclose(node["signal"].values, expected(pixels(), weights()), rtol=1e-6)
    assert node.attrs["rate_hz"] == pytest.approx(20.0)
    assert node["units"].values.tolist() == ["count"] * 3
    rois = tree["rois"].to_dataset()
    again = np.zeros((3, HEIGHT, WIDTH), "f4")
    unit = np.repeat(np.arange(3), np.diff(rois["row_splits"].values))
    again[unit, rois["pixel_y"].values, rois["pixel_x"].values] = rois["pixel_weight"].values
    np.testing.assert_array_equal(again, weights())
    assert tree.attrs == {"modality": "calcium"}


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_labels_are_masks_too(suffix: str, tmp_path: Path) -> None:
    path = synthetic(tmp_path)
    labels = np.zeros((HEIGHT, WIDTH), "u2")
    labels[0, :3], labels[5:7, 2:5] = 4, 2
    save = np.save if suffix == ".npy" else tifffile.imwrite
    save(tmp_path / f"labels{suffix}", labels)
    tree, _ = read(path, masks=f"labels{suffix}")
    assert tree["traces/channel"].values.tolist() == ["2", "4"]
    for column, label in enumerate((2, 4)):
        wanted = pixels()[:, labels == label].mean(axis=1)
        np.testing.assert_allclose(tree["traces/signal"].values[:, column], wanted, rtol=1e-6)


@pytest.mark.parametrize(
    "facts",
    [
        {"masks": "synthetic_rois.npy", "variables.movie": "movie", "axes": "time,y,x"},
        {"variables.masks": "masks", "variables.movie": "movie", "axes": "time,y,x"},
        {"variables.masks": "masks", "variables.movie": "turned", "axes": "x,y,time"},
    ],
)
def test_movies_in_hdf5(facts: dict[str, str], tmp_path: Path) -> None:
    path = synthetic_hdf5(tmp_path)
    tree, _ = read(path, hdf5, rate_hz=20, **{"units.*": "count"}, **facts)
    wanted = expected(pixels(), weights())
    np.testing.assert_allclose(tree["traces/signal"].values, wanted, rtol=1e-6)
    assert tree["traces"].attrs["rate_hz"] == 20.0


def test_what_is_lacking_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(MissingFactError) as refusal:
        read(synthetic_hdf5(tmp_path), hdf5, variables__movie="movie")
    wanted = ("'axes=time,y,x|", "'rate_hz=<Hz>'", "'units.*=<unit>'", "masks=synthetic_rois.npy")
    for flag in wanted:
        assert f"--set {flag}" in refusal.value.hint
    assert "movie (30 x 9 x 7 uint16)" in refusal.value.found
    with pytest.raises(MissingFactError, match=r"--set masks=synthetic_rois\.npy"):
        read(synthetic(tmp_path))


def test_axes_that_a_movie_does_not_name_are_declared(tmp_path: Path) -> None:
    path = synthetic(tmp_path)
    tifffile.imwrite(path, pixels(), photometric="minisblack", metadata=None)
    with pytest.raises(MissingFactError, match=r"axes=time,y,x\|") as refusal:
        read(path, masks="synthetic_rois.npy")
    assert "voxel_um" not in refusal.value.hint
    with pytest.raises(MissingFactError, match="rate_hz=<Hz>"):
        read(path, masks="synthetic_rois.npy", axes="time,y,x")
    tree, _ = read(path, masks="synthetic_rois.npy", axes="time,y,x", rate_hz=10)
    assert tree["traces"].sizes == {"time": FRAMES, "channel": 3}


@pytest.mark.parametrize(
    "masks",
    [
        np.zeros((HEIGHT, WIDTH + 1), "i4") + 1, np.zeros((3, HEIGHT, WIDTH)),
        np.zeros((HEIGHT, WIDTH), "i4"), np.zeros((HEIGHT, WIDTH), "i4") - 1,
        np.full((HEIGHT, WIDTH), 0.5), np.full((1, HEIGHT, WIDTH), np.nan), np.ones(5),
        np.full((1, HEIGHT, WIDTH), -1.0), np.ones((2, WIDTH, HEIGHT)), np.ones((1, 1, 2, 2)),
        np.full((1, HEIGHT, WIDTH), 1j), np.full((1, HEIGHT, WIDTH), np.inf),
    ],
)  # fmt: skip
def test_impossible_masks_are_refused(masks: np.ndarray, tmp_path: Path) -> None:
    path = synthetic(tmp_path)
    np.save(tmp_path / "synthetic_rois.npy", masks)
    with pytest.raises(UnreadableError):
        read(path, masks="synthetic_rois.npy")


def test_masks_are_the_recordings_own_files(tmp_path: Path) -> None:
    path = synthetic(tmp_path)
    np.save(tmp_path / "other.npy", weights())
    for name in ("../x_rois.npy", "/etc/passwd", "other.npy"):
        with pytest.raises(UnsafeError):
            read(path, masks=name)


@pytest.mark.parametrize("axes", ["y,x,z", "time,y", "time,y,x,channel", "time,time,x"])
def test_other_axes_are_refused(axes: str, tmp_path: Path) -> None:
    path = synthetic_hdf5(tmp_path)
    facts = {"rate_hz": 20, "units.*": "count", "variables.movie": "movie", "axes": axes}
    with pytest.raises(InvalidInputError):
        read(path, hdf5, masks="synthetic_rois.npy", **facts)
    channels = tmp_path / "channels.tif"
    tifffile.imwrite(channels, np.zeros((4, 2, 5, 6), "u1"), imagej=True, metadata={"axes": "TCYX"})
    with pytest.raises(RefusedError, match="one channel"):
        read(channels, masks="synthetic_rois.npy")


def test_a_pixel_that_is_no_number_touches_its_regions_only(tmp_path: Path) -> None:
    path = synthetic(tmp_path)
    frames = pixels().astype("f4")
    frames[3, 8, 0] = np.nan
    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TYX", "finterval": 0.05})
    tree, _ = read(path, masks="synthetic_rois.npy", **{"units.*": "a.u."})
    assert np.argwhere(np.isnan(tree["traces/signal"].values)).tolist() == [[3, 2]]


def test_memory_is_bounded_by_a_block(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("movie", (4000, 128, 128), "u2", chunks=(50, 128, 128), fillvalue=7)
        for first in range(0, 4000, 50):
            file["movie"][first : first + 50] = 7
    labels = np.zeros((128, 128), "u2")
    labels[:32, :32] = 1
    np.save(tmp_path / "labels.npy", labels)
    facts = {"variables.movie": "movie", "axes": "time,y,x", "rate_hz": 30, "units.*": "count"}
    tree, _ = read(path, hdf5, masks="labels.npy", **facts)
    tracemalloc.start()
    total = float(tree["traces/signal"].data.sum().compute(scheduler="synchronous"))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 7.0 * 4000
    assert peak_bytes < 64 * 2**20  # the movie has 131 MB
