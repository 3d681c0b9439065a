"""CaImAn results: synthetic files in its native layout, against h5py and scipy."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest
import scipy.sparse

from neurodata.errors import MissingFactError, UnreadableError, UnsafeError
from neurodata.readers import caiman
from neurodata.safe import head
from tests.readers.conformance import HeaderTests, PersonalTests, read_alone
from tests.readers.synthetic_hdf5 import LIES, change, put

CANARY = "Zdenka Canary"
COUNT, FRAMES, HEIGHT, WIDTH = 4, 50, 7, 5


def synthetic(path: Path) -> Path:
    """Write a file as CaImAn's ``save`` does, with the parts that are read and some others."""
    random = np.random.default_rng(1)
    footprints = scipy.sparse.random(HEIGHT * WIDTH, COUNT, 0.2, "csc", "f8", random)
    with h5py.File(path, "w") as file:
        for name in ("C", "S", "YrA", "F_dff"):
            file[f"estimates/{name}"] = random.normal(size=(COUNT, FRAMES))
        for name in ("data", "indices", "indptr"):
            file[f"estimates/A/{name}"] = getattr(footprints, name)
        file["estimates/A/shape"] = footprints.shape
        file["estimates/idx_components"] = np.array([0, 2])
        file["estimates/idx_components_bad"] = np.array([1, 3])
        file["estimates/SNR_comp"] = np.arange(COUNT) + 0.5
        file["estimates/r_values"] = np.linspace(0, 1, COUNT)
        file["estimates/cnn_preds"] = "NoneType"
        file["estimates/coordinates"] = "NoneType"
        file["dims"] = [HEIGHT, WIDTH]
        file["params/data/fr"] = 15.5
        file["params/data/fnames"] = [CANARY.encode()]
        file["mmap_file"] = f"/home/{CANARY}/memmap.mmap"
    return path


class TestCaiman(HeaderTests, PersonalTests):
    reader = caiman
    nodes: ClassVar = {
        "traces": "timeseries", "denoised": "timeseries", "deconvolved": "timeseries",
        "residual": "timeseries", "rois": "rois",
    }  # fmt: skip
    canary: ClassVar = CANARY
    lies: ClassVar = LIES

    def make(self, folder: Path) -> Path:
        return synthetic(folder / "synthetic.hdf5")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return synthetic(tmp_path / "synthetic.hdf5")


read = partial(read_alone, caiman)


def test_traces_are_those_of_the_file_time_first(path: Path) -> None:
    tree, raw = read(path)
    with h5py.File(path) as file:
        for node, name in caiman.TRACES.items():
            wanted = file[f"estimates/{name}"][:].T
            np.testing.assert_array_equal(tree[f"{node}/signal"].values, wanted)
            assert {k: tree[node].attrs[k] for k in ("start_s", "rate_hz", "n")} == {
                "start_s": 0.0, "rate_hz": 15.5, "n": FRAMES,
            }  # fmt: skip
    assert tree["traces/signal"].attrs["units"] == "dF/F"
    assert tree["denoised/signal"].attrs["units"] == "a.u."
    assert tree["denoised/is_cell"].values.tolist() == [True, False, True, False]
    assert tree["denoised/snr"].values.tolist() == [0.5, 1.5, 2.5, 3.5]
    assert "cell_probability" not in tree["denoised"]
    assert not [problem for problem in raw.problems if problem.level == "warning"]


def test_footprints_are_those_of_the_sparse_matrix(path: Path) -> None:
    rois = read(path)[0]["rois"].to_dataset()
    with h5py.File(path) as file:
        parts = [file[f"estimates/A/{name}"][:] for name in ("data", "indices", "indptr")]
        matrix = scipy.sparse.csc_matrix(tuple(parts), file["estimates/A/shape"][:]).toarray()
    splits = rois["row_splits"].values
    for unit in range(COUNT):
        image = matrix[:, unit].reshape((HEIGHT, WIDTH), order="F")
        again = np.zeros_like(image)
        part = rois.isel(pixel=slice(splits[unit], splits[unit + 1]))
        again[part["pixel_y"].values, part["pixel_x"].values] = part["pixel_weight"].values
        np.testing.assert_allclose(again, image, rtol=1e-6)
    assert rois.attrs["image_shape_yx"] == [HEIGHT, WIDTH]
    assert rois["is_cell"].values.tolist() == [True, False, True, False]


def test_without_detrended_traces_the_others_come(path: Path) -> None:
    tree, _ = read(change(path, lambda f: put(f, "estimates/F_dff", "NoneType")))
    assert "traces" not in tree.children
    assert tree["denoised"].sizes == {"time": FRAMES, "channel": COUNT}


def test_no_rate_is_refused_until_declared(path: Path) -> None:
    change(path, lambda f: put(f, "params/data/fr", None))
    with pytest.raises(MissingFactError, match="rate_hz=<Hz>"):
        read(path)
    assert read(path, rate_hz=20)[0]["traces"].attrs["rate_hz"] == 20.0


def test_declared_rate_and_units_win(path: Path) -> None:
    tree, raw = read(path, rate_hz=20, start_s=1, **{"units__*": "count"})
    assert tree["traces/signal"].attrs["units"] == "dF/F"
    assert tree["denoised/signal"].attrs["units"] == "count"
    assert any("15.5 Hz" in problem.found for problem in raw.problems)
    assert read(path, units__traces="%dF/F")[0]["traces/units"].values[0] == "dF/F"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("params/data/fr", 0.0), ("params/data/fr", np.nan), ("params/data/fr", -5.0),
        ("estimates/C", "NoneType"), ("estimates/C", np.zeros((COUNT, FRAMES), "i4")),
        ("estimates/S", np.zeros((FRAMES, COUNT))), ("estimates/C", np.zeros(FRAMES)),
        ("estimates/idx_components", [9]), ("estimates/idx_components", [-1]),
        ("estimates/idx_components", [0.5]), ("dims", [HEIGHT, WIDTH + 1]), ("dims", [-7, -5]),
        ("estimates/A/indptr", [0, 1]), ("estimates/A/indptr", [0, 9, 3, 4, 28]),
        ("estimates/A/indices", np.full(28, 99)), ("estimates/A/data", np.full(28, np.nan)),
        ("estimates/A/shape", [HEIGHT * WIDTH, COUNT + 1]),
    ],
)  # fmt: skip
def test_impossible_values_are_refused(name: str, values: Any, path: Path) -> None:
    with pytest.raises(UnreadableError):
        read(change(path, lambda f: put(f, name, values)))


@pytest.mark.parametrize("values", [None, [3, HEIGHT, WIDTH]])
def test_footprints_without_a_plane_are_left_out(values: Any, path: Path) -> None:
    tree, raw = read(change(path, lambda f: put(f, "dims", values)))
    assert "rois" not in tree.children
    assert any("left out" in problem.found for problem in raw.problems)


def test_links_out_of_the_file_are_refused(path: Path) -> None:
    change(path, lambda f: put(f, "estimates/S", h5py.ExternalLink("other.h5", "/S")))
    assert caiman.sniff(head(path), path)
    with pytest.raises(UnsafeError, match="external link"):
        read(path)


def test_sniff_follows_no_link(path: Path) -> None:
    def story(file: h5py.File) -> None:
        file.move("estimates", "moved")
        file["estimates"] = h5py.SoftLink("/moved")

    change(path, story)
    assert not caiman.sniff(head(path), path)
