"""NWB 1 two-photon sessions: synthetic files in the layout of the Allen Brain Observatory."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest
import xarray as xr

from neurodata.errors import InvalidInputError, MissingFactError, UnreadableError, UnsafeError
from neurodata.readers import nwb, nwb1
from neurodata.safe import head
from tests.readers.conformance import HeaderTests, PersonalTests, read_alone
from tests.readers.synthetic_hdf5 import LIES, change, put

CANARY = "Zdenka Canary"
CELLS, FRAMES, HEIGHT, WIDTH = 3, 60, 10, 8
PIPELINE = "processing/brain_observatory_pipeline"
IDS = [517500001, 517500007, 517500003]


def synthetic(path: Path) -> Path:
    """Write what the Allen SDK reads, with a person in every text."""
    random = np.random.default_rng(1)
    seconds = 12.5 + np.arange(FRAMES) / 30 + random.normal(size=FRAMES) * 1e-4
    with h5py.File(path, "w") as file:
        file["nwb_version"] = "NWB-1.0.5"
        file["identifier"] = file["session_description"] = CANARY
        file["session_start_time"] = "Thu Mar 17 12:00:00 2016"
        _general(file)
        pipeline = file.create_group(PIPELINE)
        for name in ("DfOverF", "Fluorescence", "ImageSegmentation", "BehavioralTimeSeries"):
            pipeline.create_group(name)
        responses = (
            ("DfOverF/imaging_plane_1", "f4"), ("Fluorescence/imaging_plane_1", "f8"),
            ("Fluorescence/imaging_plane_1_neuropil_response", "f8"),
            ("Fluorescence/imaging_plane_1_demixed_signal", "f8"),
        )  # fmt: skip
        for name, dtype in responses:
            pipeline[f"{name}/data"] = random.normal(size=(CELLS, FRAMES)).astype(dtype)
            pipeline[f"{name}/timestamps"] = seconds
        pipeline["Fluorescence/imaging_plane_1_neuropil_response/r"] = np.ones(CELLS)
        _masks(pipeline["ImageSegmentation"])
        running = pipeline["BehavioralTimeSeries"].create_group("running_speed")
        running["data"], running["timestamps"] = np.arange(50.0)[:, None], seconds[:50]
        pipeline["EyeTracking/pupil_location/data"] = np.zeros((4, 2))
        _stimuli(file)
    return path


def _general(file: h5py.File) -> None:
    for name, value in {
        "session_id": "503109347", "experimenter": CANARY, "institution": CANARY, "lab": CANARY,
        "subject/sex": "male", "subject/age": "112 days", "subject/species": "Mus musculus",
        "subject/genotype": CANARY, "subject/description": CANARY, "subject/subject_id": "222424",
        "optophysiology/imaging_plane_1/indicator": "GCaMP6f",
        "optophysiology/imaging_plane_1/location": "VISp",
    }.items():  # fmt: skip
        file[f"general/{name}"] = value


def _masks(segmentation: h5py.Group) -> None:
    names = [f"roi_{index:03}" for index in range(CELLS)]
    segmentation["imaging_plane_1/roi_list"] = names
    segmentation["cell_specimen_ids"] = IDS
    segmentation["roi_ids"] = np.arange(CELLS) + 100
    for index, name in enumerate(names):
        image = np.zeros((HEIGHT, WIDTH), "u1")
        image[index : index + 2, 4:7] = 1
        y, x = np.nonzero(image)
        roi = segmentation.create_group(f"imaging_plane_1/{name}")
        roi["img_mask"], roi["pix_mask"] = image, np.column_stack([x, y]).astype("u2")
    segmentation["imaging_plane_1/reference_images/max/data"] = np.zeros((HEIGHT, WIDTH))


def _stimuli(file: h5py.File) -> None:
    gratings = file.create_group("stimulus/presentation/static_gratings_stimulus")
    gratings["data"] = np.array([[0.0, 0.02], [90.0, 0.04], [np.nan, np.nan]])
    gratings["features"] = [b"Orientation", b"spatial_frequency"]
    gratings["frame_duration"] = np.array([[5, 8], [9, 12], [13, 16]])
    scenes = file.create_group("stimulus/presentation/natural_scenes_stimulus")
    scenes["data"], scenes["frame_duration"] = np.array([7, -1]), np.array([[20, 27], [28, 35]])
    spontaneous = file.create_group("stimulus/presentation/spontaneous_stimulus")
    spontaneous["data"] = np.array([1, -1])
    spontaneous["frame_duration"] = np.array([[40, 40], [55, 55]])
    file["stimulus/templates/natural_scenes_image_stack/data"] = np.zeros((2, 3, 3))


class TestNwb1(HeaderTests, PersonalTests):
    reader = nwb1
    nodes: ClassVar = {
        "traces": "timeseries", "fluorescence": "timeseries", "neuropil_response": "timeseries",
        "demixed_signal": "timeseries", "rois": "rois", "running_speed": "timeseries",
        "static_gratings": "intervals", "natural_scenes": "intervals", "spontaneous": "intervals",
    }  # fmt: skip
    canary: ClassVar = CANARY
    lies: ClassVar = LIES

    def make(self, folder: Path) -> Path:
        return synthetic(folder / "synthetic.nwb")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return synthetic(tmp_path / "synthetic.nwb")


read = partial(read_alone, nwb1)


def test_the_reader_of_nwb_2_leaves_it(path: Path) -> None:
    assert nwb1.sniff(head(path), path)
    assert not nwb.sniff(head(path), path.rename(path.with_suffix(".h5")))


def test_responses_come_time_first_with_a_finding(path: Path) -> None:
    tree, raw = read(path)
    with h5py.File(path) as file:
        for node, name in (
            ("traces", "DfOverF/imaging_plane_1"), ("fluorescence", "Fluorescence/imaging_plane_1"),
            ("demixed_signal", "Fluorescence/imaging_plane_1_demixed_signal"),
        ):  # fmt: skip
            stored = file[f"{PIPELINE}/{name}"]
            np.testing.assert_array_equal(tree[f"{node}/signal"].values, stored["data"][:].T)
            np.testing.assert_array_equal(tree[f"{node}/time"].values, stored["timestamps"][:])
            assert tree[f"{node}/channel"].values.tolist() == [str(number) for number in IDS]
            assert set(tree[f"{node}/type"].values) == {"ROI"}
    assert tree["traces/signal"].attrs["units"] == "dF/F"
    assert tree["fluorescence/signal"].attrs["units"] == "a.u."
    assert sum("(channel, time)" in problem.found for problem in raw.problems) == 4


def test_traces_by_the_format_stay_as_they_are(path: Path) -> None:
    def story(file: h5py.File) -> None:
        stored = file[f"{PIPELINE}/DfOverF/imaging_plane_1/data"][:]
        put(file, f"{PIPELINE}/DfOverF/imaging_plane_1/data", stored.T)

    before = read(path)[0].load()
    after, raw = read(change(path, story))
    np.testing.assert_array_equal(after["traces/signal"], before["traces/signal"])
    assert sum("(channel, time)" in problem.found for problem in raw.problems) == 3


def test_square_traces_need_their_axes_declared(path: Path) -> None:
    def story(file: h5py.File) -> None:
        for name in ("DfOverF/imaging_plane_1", *_fluorescence(file)):
            put(file, f"{PIPELINE}/{name}/data", np.arange(9.0).reshape(3, 3))
            put(file, f"{PIPELINE}/{name}/timestamps", np.arange(3.0))
        del file["stimulus/presentation"]
        del file[f"{PIPELINE}/BehavioralTimeSeries"]

    change(path, story)
    with pytest.raises(MissingFactError, match=r"axes=time,roi\|roi,time"):
        read(path)
    for axes, wanted in (("roi,time", [0, 3, 6]), ("time,roi", [0, 1, 2])):
        tree, _ = read(path, axes=axes)
        assert tree["traces/signal"].values[0].tolist() == wanted


def _fluorescence(file: h5py.File) -> list[str]:
    return [f"Fluorescence/{name}" for name in file[f"{PIPELINE}/Fluorescence"]]


def test_masks_are_pixels_x_y(path: Path) -> None:
    rois = read(path)[0]["rois"].to_dataset()
    with h5py.File(path) as file:
        plane = file[f"{PIPELINE}/ImageSegmentation/imaging_plane_1"]
        images = [plane[f"roi_{index:03}/img_mask"][:] for index in range(CELLS)]
    unit = np.repeat(np.arange(CELLS), np.diff(rois["row_splits"].values))
    again = np.zeros((CELLS, HEIGHT, WIDTH))
    again[unit, rois["pixel_y"].values, rois["pixel_x"].values] = rois["pixel_weight"].values
    np.testing.assert_array_equal(again, images)
    assert rois["unit_id"].values.tolist() == [str(number) for number in IDS]
    assert rois["roi_id"].values.tolist() == ["100", "101", "102"]
    assert rois.attrs["image_shape_yx"] == [HEIGHT, WIDTH]


def test_images_stand_in_for_pixels(path: Path) -> None:
    def story(file: h5py.File) -> None:
        for roi in ("roi_000", "roi_001", "roi_002"):
            put(file, f"{PIPELINE}/ImageSegmentation/imaging_plane_1/{roi}/pix_mask", None)

    before = read(path)[0]["rois"].to_dataset()
    xr.testing.assert_equal(read(change(path, story))[0]["rois"].to_dataset(), before)


def test_stimuli_are_in_seconds(path: Path) -> None:
    tree, _ = read(path)
    seconds = tree["traces/time"].values
    gratings = tree["static_gratings"].to_dataset()
    np.testing.assert_array_equal(gratings["start_s"].values, seconds[[5, 9, 13]])
    np.testing.assert_allclose(
        gratings["duration_s"].values, seconds[[8, 12, 16]] - seconds[[5, 9, 13]]
    )
    np.testing.assert_array_equal(gratings["orientation"].values, [0, 90, np.nan])
    assert gratings["first_frame"].values.tolist() == [5, 9, 13]
    assert tree["natural_scenes/frame"].values.tolist() == [7, -1]
    spontaneous = tree["spontaneous"].to_dataset()
    assert spontaneous["start_s"].values.tolist() == [seconds[40]]
    assert spontaneous["duration_s"].values.tolist() == [seconds[55] - seconds[40]]


def test_running_speed_is_in_metres_a_second(path: Path) -> None:
    tree, raw = read(path)
    running = tree["running_speed"].to_dataset()
    np.testing.assert_allclose(running["signal"].values[:, 0], np.arange(50.0) / 100)
    assert running["signal"].attrs["units"] == "m/s"
    assert any("EyeTracking" in problem.found for problem in raw.problems)


def test_facts_of_session_and_subject(path: Path) -> None:
    tree, _ = read(path)
    assert tree.attrs.pop("age_years") == pytest.approx(112 / 365.25)
    assert tree.attrs == {
        "subject": "222424", "session": "503109347", "species": "Mus musculus", "sex": "M",
        "start_zone": "unknown", "modality": "calcium",
    }  # fmt: skip


RESPONSE = f"{PIPELINE}/DfOverF/imaging_plane_1"
PLANE = f"{PIPELINE}/ImageSegmentation/imaging_plane_1"
GRATINGS = "stimulus/presentation/static_gratings_stimulus"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (f"{RESPONSE}/timestamps", np.arange(FRAMES - 1.0)),
        (f"{RESPONSE}/timestamps", np.full(FRAMES, np.nan)),
        (f"{RESPONSE}/timestamps", -np.arange(FRAMES * 1.0)),
        (f"{RESPONSE}/data", np.zeros((CELLS + 1, FRAMES))),
        (f"{PLANE}/roi_list", [b"roi_000", b"roi_001", b"roi_009"]),
        (f"{PLANE}/roi_001/pix_mask", np.array([[WIDTH, 0]], "u2")),
        (f"{PLANE}/roi_001/pix_mask", np.zeros((2, 3), "u2")),
        (f"{PLANE}/roi_001/pix_mask_weight", np.ones(99)),
        (f"{PLANE}/roi_001/img_mask", np.ones((4, 4))),
        (f"{GRATINGS}/frame_duration", np.array([[5, 8], [9, 12], [13, 999]])),
        (f"{GRATINGS}/frame_duration", np.array([[5, 8], [9, 12], [-3, 1]])),
        (f"{GRATINGS}/frame_duration", np.array([[5, 8]])),
        (f"{GRATINGS}/frame_duration", np.array([[8, 5], [9, 12], [13, 16]])),
        ("stimulus/presentation/spontaneous_stimulus/data", np.array([1, 1])),
        (f"{PIPELINE}/DfOverF", None),
    ],
)  # fmt: skip
def test_impossible_values_are_refused(name: str, values: Any, path: Path) -> None:
    def story(file: h5py.File) -> None:
        put(file, name, values)
        if values is None:
            put(file, f"{PIPELINE}/Fluorescence", None)

    with pytest.raises(UnreadableError):
        read(change(path, story))


def test_links_out_of_the_file_are_refused(path: Path) -> None:
    change(path, lambda f: put(f, f"{RESPONSE}/data", h5py.ExternalLink("other.h5", "/data")))
    with pytest.raises(UnsafeError, match="external link"):
        read(path)


def test_declared_axes_must_fit(path: Path) -> None:
    with pytest.raises(InvalidInputError):
        read(path, axes="time,roi")
