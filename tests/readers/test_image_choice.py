"""Which reader an image file goes to: sure by what lies beside it, else declared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import xarray as xr

from neurodata import schema
from neurodata.declare import Declared
from neurodata.errors import MissingFactError
from neurodata.plan import plan
from neurodata.readers import tiff
from neurodata.readers.graph import Edges, graph
from neurodata.safe import Raw

FRAMES, HEIGHT, WIDTH = 12, 9, 7


def movie(folder: Path, axes: str = "TYX", **facts: Any) -> Path:
    path = folder / "synthetic.tif"
    pixels = np.random.default_rng(1).integers(0, 99, (FRAMES, HEIGHT, WIDTH)).astype("u2")
    tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": axes, **facts})
    return path


def readers(folder: Path, **declared: Any) -> dict[str, str]:
    return {job.name: job.reader for job in plan(folder, declare=declared).jobs}


@pytest.mark.parametrize(("axes", "mask", "shape", "wanted"), [
    ("TYX", "synthetic_rois.npy", (3, HEIGHT, WIDTH), "movie"),
    ("TYX", "labels.npy", (HEIGHT, WIDTH), "movie"),
    ("TYX", "synthetic_rois.npy", (3, WIDTH, HEIGHT), "tiff"),
    ("ZYX", "synthetic_rois.npy", (3, HEIGHT, WIDTH), "tiff"),
    ("TYX", "traces.npy", (HEIGHT, WIDTH), "tiff"),
])  # fmt: skip
def test_frames_and_masks_of_their_size_make_a_movie(
    axes: str, mask: str, shape: tuple[int, ...], wanted: str, tmp_path: Path
) -> None:
    movie(tmp_path, axes)
    np.save(tmp_path / mask, np.ones(shape, "f4"))
    assert readers(tmp_path)["synthetic.tif"] == wanted


def test_masks_as_tiff_are_sure_by_their_name(tmp_path: Path) -> None:
    movie(tmp_path)
    tifffile.imwrite(tmp_path / "synthetic_footprints.tif", np.ones((HEIGHT, WIDTH), "u1"))
    assert readers(tmp_path) == {"synthetic.tif": "movie"}
    (tmp_path / "synthetic_footprints.tif").rename(tmp_path / "synthetic_mask.tif")
    assert readers(tmp_path) == {"synthetic.tif": "tiff"}


def test_the_reader_can_be_declared(tmp_path: Path) -> None:
    movie(tmp_path, "ZYX")
    np.save(tmp_path / "rois.npy", np.ones((3, HEIGHT, WIDTH), "f4"))
    (job,) = plan(tmp_path, declare={"reader": "movie", "rate_hz": 10}).jobs
    assert (job.reader, job.declare) == ("movie", {"rate_hz": 10})
    assert [p.name for p in job.files] == ["synthetic.tif", "rois.npy"]
    (job,) = plan(tmp_path, declare={"syn*:reader": "movie"}).jobs
    assert job.reader == "movie"
    (job,) = plan(tmp_path, declare={"other*:reader": "movie"}).jobs
    assert job.reader == "tiff"
    problems = plan(tmp_path, declare={"reader": "films"}).problems
    assert any("reader 'films'" in str(p) or "none of that name" in p.found for p in problems)


def test_refusals_name_the_reader_that_may_be_meant(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.tif"
    tifffile.imwrite(path, np.zeros((FRAMES, HEIGHT, WIDTH), "u2"))
    folder = sorted(tmp_path.iterdir())
    with pytest.raises(MissingFactError) as refusal:
        tiff.read(Raw(tmp_path, tiff.members(path, folder)), Declared())
    assert "reader=" not in refusal.value.hint
    np.save(tmp_path / "rois.npy", np.ones((3, HEIGHT, WIDTH), "f4"))
    with pytest.raises(MissingFactError, match="movie under masks: --set reader=movie"):
        tiff.read(Raw(tmp_path, tiff.members(path, folder)), Declared())


def test_numbered_planes_are_images_until_they_are_declared_slices(tmp_path: Path) -> None:
    for number in range(1, 5):
        tifffile.imwrite(tmp_path / f"synthetic{number}.tif", np.zeros((HEIGHT, WIDTH), "u2"))
    assert set(readers(tmp_path).values()) == {"tiff"}
    path = tmp_path / "synthetic1.tif"
    with pytest.raises(MissingFactError, match="numbered stack: --set reader=slices"):
        tiff.read(Raw(tmp_path, (path,)), Declared())
    assert readers(tmp_path, reader="slices") == {"synthetic1.tif": "slices"}


def test_an_image_may_hold_what_was_traced_in_it() -> None:
    image = xr.Dataset(
        {"image_adc": (("y", "x"), np.zeros((4, 5), "u2"), {"units": "count"}), "scale": 1.0,
         "offset": 0.0, "spacing": ("spatial", [0.5, 0.5], {"units": "um"})},
        coords={"spatial": ["y", "x"]}, attrs={"representation": "volume", "schema": "volume/1"},
    )  # fmt: skip
    traced = graph(Edges(np.array([1]), np.array([0])), ["1", "2"], directed=True)
    tree = xr.DataTree.from_dict({"image": image, "graph": traced})
    tree.attrs = {"modality": "microscopy"}
    assert schema.check(tree) == []
