"""NWB 2 imaging: movies in the file, voxel masks and masks over volumes, against pynwb."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from neurodata import schema
from neurodata.errors import MissingFactError, NeurodataError, UnreadableError
from neurodata.readers import nwb
from tests.readers.conformance import read_alone
from tests.readers.synthetic_hdf5 import change

FRAMES, WIDTH, HEIGHT, DEPTH = 20, 7, 5, 3
SERIES = "acquisition/synthetic"


def synthetic(path: Path, shape: tuple[int, ...] = (FRAMES, WIDTH, HEIGHT), **facts: Any) -> Path:
    import pynwb

    file = pynwb.NWBFile("synthetic", "synthetic", datetime(2020, 3, 1, 12, tzinfo=UTC))
    channel = pynwb.ophys.OpticalChannel(name="channel", description="", emission_lambda=500.0)
    plane = file.create_imaging_plane(
        optical_channel=channel, description="", device=file.create_device("scope"),
        excitation_lambda=488.0, indicator="GCaMP6f", location="CA1", name="plane",
        grid_spacing=facts.pop("grid_spacing", [0.5, 2.0]), grid_spacing_unit="micrometers",
    )  # fmt: skip
    data = np.random.default_rng(1).integers(0, 4000, shape).astype(facts.pop("dtype", "u2"))
    facts = {"unit": "n.a.", "rate": 30.0, "starting_time": 1.5, **facts}
    file.add_acquisition(
        pynwb.ophys.TwoPhotonSeries(name="synthetic", data=data, imaging_plane=plane, **facts)
    )
    with pynwb.NWBHDF5IO(path, "w") as stream:
        stream.write(file)
    return path


def segmented(path: Path, kind: str) -> Path:
    import pynwb

    file = pynwb.NWBFile("synthetic", "synthetic", datetime(2020, 3, 1, 12, tzinfo=UTC))
    channel = pynwb.ophys.OpticalChannel(name="channel", description="", emission_lambda=500.0)
    plane = file.create_imaging_plane(
        optical_channel=channel, description="", device=file.create_device("scope"),
        excitation_lambda=488.0, indicator="GCaMP6f", location="CA1", name="plane",
    )  # fmt: skip
    segmentation = pynwb.ophys.ImageSegmentation()
    table = segmentation.create_plane_segmentation("", plane, name="cells")
    for roi in range(3):
        if kind == "voxel_mask":
            table.add_roi(voxel_mask=[(roi, 1, 2, 0.5), (roi + 1, 2, 1, 1.0)])
        else:
            image = np.zeros((WIDTH, HEIGHT, DEPTH))
            image[roi, 1, 2], image[roi + 1, 2, 1] = 0.5, 1.0
            table.add_roi(image_mask=image)
    ophys = file.create_processing_module("ophys", "")
    ophys.add(segmentation)
    region = table.create_roi_table_region(description="", region=[0, 1, 2])
    series = pynwb.ophys.RoiResponseSeries(
        name="synthetic", data=np.zeros((9, 3)), unit="dF/F", rois=region, rate=20.0
    )
    ophys.add(pynwb.ophys.DfOverF(roi_response_series=[series]))
    with pynwb.NWBHDF5IO(path, "w") as stream:
        stream.write(file)
    return path


read = partial(read_alone, nwb)


def test_a_movie_is_a_volume_in_time(tmp_path: Path) -> None:
    path = synthetic(tmp_path / "synthetic.nwb")
    tree, _ = read(path)
    node = tree["synthetic"].to_dataset()
    with h5py.File(path) as file:
        stored = file[f"{SERIES}/data"][:]
    assert node["image_adc"].dims == ("time", "y", "x")
    assert node["image_adc"].chunks is not None
    np.testing.assert_array_equal(node["image_adc"].values, stored.transpose(0, 2, 1))
    assert node["spacing"].values.tolist() == [2.0, 0.5]
    assert node["spacing"].attrs["units"] == "um"
    assert node["image_adc"].attrs["units"] == "count"
    assert {k: node.attrs[k] for k in ("start_s", "rate_hz", "n")} == {
        "start_s": 1.5, "rate_hz": 30.0, "n": FRAMES,
    }  # fmt: skip
    assert tree.attrs["modality"] == "calcium"
    assert [p for p in schema.check(tree) if p.level == "error"] == []


def test_volumes_and_floats(tmp_path: Path) -> None:
    path = synthetic(
        tmp_path / "synthetic.nwb", (FRAMES, WIDTH, HEIGHT, DEPTH), dtype="f4",
        grid_spacing=[0.5, 2.0, 4.0], conversion=2.0,
    )  # fmt: skip
    tree, _ = read(path)
    node = tree["synthetic"].to_dataset()
    with h5py.File(path) as file:
        stored = file[f"{SERIES}/data"][:]
    np.testing.assert_allclose(node["image"].values, stored.transpose(0, 3, 2, 1) * 2)
    assert node["spacing"].values.tolist() == [4.0, 2.0, 0.5]
    assert [p for p in schema.check(tree) if p.level == "error"] == []


def test_frames_against_the_schema_are_turned_with_a_finding(tmp_path: Path) -> None:
    path = synthetic(tmp_path / "synthetic.nwb", (FRAMES, HEIGHT, WIDTH), dimension=[WIDTH, HEIGHT])
    tree, raw = read(path)
    assert tree["synthetic"].sizes == {"time": FRAMES, "y": HEIGHT, "x": WIDTH, "spatial": 2}
    assert any("(x, y) by the schema" in problem.expected for problem in raw.problems)


def test_no_pixel_size_is_refused_until_declared(tmp_path: Path) -> None:
    path = synthetic(tmp_path / "synthetic.nwb")
    change(path, lambda f: f.__delitem__("general/optophysiology/plane/grid_spacing"))
    with pytest.raises(MissingFactError, match="voxel_um=<y>,<x>"):
        read(path)
    assert read(path, voxel_um=[3, 4])[0]["synthetic/spacing"].values.tolist() == [3.0, 4.0]
    unknown, _ = read(path, voxel_um="unknown")
    assert unknown["synthetic/spacing"].attrs["units"] == "pixel"


@pytest.mark.parametrize(
    "story",
    [
        lambda f: f[f"{SERIES}/data"].attrs.modify("conversion", 0.0),
        lambda f: f[f"{SERIES}/starting_time"].attrs.modify("rate", np.nan),
        lambda f: f["general/optophysiology/plane/grid_spacing"].__setitem__(0, -1.0),
        lambda f: f["general/optophysiology/plane/grid_spacing"].__setitem__(0, np.nan),
    ],
)
def test_impossible_values_are_refused(story: Any, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError):
        read(change(synthetic(tmp_path / "synthetic.nwb"), story))


def test_movies_elsewhere_are_left_out(tmp_path: Path) -> None:
    path = segmented(tmp_path / "synthetic.nwb", "voxel_mask")
    import pynwb

    with pynwb.NWBHDF5IO(path, "a") as stream:
        file = stream.read()
        file.add_acquisition(
            pynwb.ophys.TwoPhotonSeries(
                name="elsewhere", imaging_plane=file.imaging_planes["plane"], timestamps=[0.0, 0.1],
                external_file=["/mnt/secret.tif"], format="external", dimension=[7, 5],
            )
        )  # fmt: skip
        stream.write(file)
    tree, raw = read(path)
    assert "elsewhere" not in tree.children
    assert any("TwoPhotonSeries" in problem.found for problem in raw.problems)
    assert "secret" not in str(raw.problems)


@pytest.mark.parametrize("kind", ["voxel_mask", "image_mask"])
def test_masks_over_volumes_have_a_depth(kind: str, tmp_path: Path) -> None:
    tree, _ = read(segmented(tmp_path / "synthetic.nwb", kind))
    rois = tree["rois"].to_dataset()
    assert rois["pixel_x"].values.tolist() == [0, 1, 1, 2, 2, 3]
    assert rois["pixel_y"].values.tolist() == [1, 2] * 3
    assert rois["pixel_z"].values.tolist() == [2, 1] * 3
    assert rois["pixel_weight"].values.tolist() == [0.5, 1.0] * 3
    assert rois["unit_id"].values.tolist() == tree["traces/channel"].values.tolist()
    assert [p for p in schema.check(tree) if p.level == "error"] == []


def test_damage_gives_no_foreign_exception(tmp_path: Path) -> None:
    path = synthetic(tmp_path / "synthetic.nwb")
    whole, random = path.read_bytes(), np.random.default_rng(5)
    for _ in range(60):
        damaged = bytearray(whole)
        for where in random.integers(len(whole), size=3):
            damaged[where] = random.integers(256)
        path.write_bytes(damaged)
        try:
            read(path)[0].load()
        except NeurodataError:
            continue
