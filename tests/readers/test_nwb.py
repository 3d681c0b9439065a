"""NWB files: real ones against plain h5py and pynwb, made ones for every refusal."""

from __future__ import annotations

import functools
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest

from neurodata.errors import InvalidInputError, MissingFactError, UnreadableError, UnsafeError
from neurodata.readers import nwb
from tests.readers.conformance import HeaderTests, PersonalTests, read_alone
from tests.readers.synthetic_hdf5 import LIES, change

SAMPLES = Path(__file__).parents[2] / "samples"
MINISCOPE = SAMPLES / "miniscope_mouse" / "A0634-210127.nwb"
SPIKES = SAMPLES / "spikes_mouse" / "A8604-211122.nwb"
TRACES = "processing/ophys/Fluorescence/synthetic"
CANARY = "Zdenka Canary"


@functools.cache
def synthetic() -> bytes:
    """A file that pynwb writes: traces, footprints, units, trials, behaviour, a person."""
    import pynwb

    file = pynwb.NWBFile(
        session_description=CANARY, identifier=CANARY, experimenter=[CANARY], lab=CANARY,
        session_start_time=datetime(2020, 3, 1, 12, tzinfo=UTC), institution=CANARY,
        file_create_date=datetime(2021, 3, 1, 12, tzinfo=UTC), notes=CANARY, session_id="day1",
        subject=pynwb.file.Subject(
            subject_id="m1", species="Mus musculus", sex="F", age="P12W", description=CANARY
        ),
    )  # fmt: skip
    _traces(pynwb, file)
    _behaviour(pynwb, file)
    for times in ([0.1, 0.5, 0.9], [], [0.2]):
        file.add_unit(spike_times=times)
    file.add_trial_column("choice", "left or right")
    for start in (0.0, 1.0):
        file.add_trial(start_time=start, stop_time=start + 0.5, choice="left")
    path = Path(tempfile.mkdtemp()) / "synthetic.nwb"
    with pynwb.NWBHDF5IO(path, "w") as stream:
        stream.write(file)
    return path.read_bytes()


def _traces(pynwb: Any, file: Any) -> None:
    device = file.create_device("scope")
    channel = pynwb.ophys.OpticalChannel(name="channel", description="", emission_lambda=500.0)
    plane = file.create_imaging_plane(
        optical_channel=channel, description="", device=device, excitation_lambda=488.0,
        indicator="GCaMP6f", location="CA1", name="plane",
    )  # fmt: skip
    segmentation = pynwb.ophys.ImageSegmentation()
    table = segmentation.create_plane_segmentation("", plane, name="cells")
    for roi in range(3):
        mask = np.zeros((8, 6))
        mask[roi : roi + 2, 1:3] = [[0.5, 1.0], [1.0, 0.5]]
        table.add_roi(image_mask=mask)
    ophys = file.create_processing_module("ophys", "")
    ophys.add(segmentation)
    region = table.create_roi_table_region(description="", region=[0, 1, 2])
    values = np.random.default_rng(1).normal(size=(40, 3)).astype("f4")
    series = pynwb.ophys.RoiResponseSeries(
        name="synthetic", data=values, unit="dF/F", rois=region, starting_time=0.5, rate=20.0
    )
    ophys.add(pynwb.ophys.Fluorescence(roi_response_series=[series]))


def _behaviour(pynwb: Any, file: Any) -> None:
    times = np.array([0.0, 0.1, 0.25, 0.3])
    place = np.arange(8.0).reshape(4, 2)
    position = pynwb.behavior.SpatialSeries(
        name="Place", data=place, reference_frame="the arena", timestamps=times, unit="cm"
    )
    file.add_acquisition(pynwb.behavior.Position(spatial_series=position))
    wheel = np.arange(10, dtype="i2")
    wheel_series = pynwb.TimeSeries(
        name="Wheel", data=wheel, unit="V", starting_time=0.0, rate=10.0, conversion=0.5, offset=1.0
    )
    file.add_acquisition(wheel_series)


class TestNwb(HeaderTests, PersonalTests):
    reader = nwb
    nodes: ClassVar = {
        "traces": "timeseries", "rois": "rois", "units": "spikes", "trials": "intervals",
        "place": "timeseries", "wheel": "timeseries",
    }  # fmt: skip
    canary: ClassVar = CANARY
    lies: ClassVar = LIES

    def make(self, folder: Path) -> Path:
        path = folder / "synthetic.nwb"
        path.write_bytes(synthetic())
        return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return TestNwb().make(tmp_path)


read = functools.partial(read_alone, nwb)


def replace(file: h5py.File, name: str, values: Any) -> None:
    """Put other values in a dataset's place, its attributes kept."""
    attrs = dict(file[name].attrs)
    del file[name]
    file[name] = values
    file[name].attrs.update(attrs)


# real files


def test_real_miniscope_traces_are_those_that_pynwb_reads() -> None:
    import pynwb

    tree, raw = read(MINISCOPE)
    with pynwb.NWBHDF5IO(MINISCOPE, "r", load_namespaces=True) as stream:
        container = stream.read().processing["ophys"]["Fluorescence"]
        series = container.roi_response_series["RoiResponseSeries"]
        np.testing.assert_array_equal(tree["traces/signal"].values, series.data[:])
        np.testing.assert_array_equal(tree["traces/time"].values, series.timestamps[:])
    traces = tree["traces"].to_dataset()
    assert traces["signal"].shape == (35743, 10)
    assert traces["signal"].dtype == "float64"
    assert "rate_hz" not in traces.attrs
    assert set(traces["units"].values) == {"a.u."}
    assert any("lumens" in p.found and "--set units." in p.hint for p in raw.problems)
    assert tree.attrs == {"modality": "calcium"}


def test_real_miniscope_footprints_are_the_masks() -> None:
    tree, _ = read(MINISCOPE)
    rois = tree["rois"].to_dataset()
    with h5py.File(MINISCOPE) as file:
        masks = file["processing/ophys/ImageSegmentation/PlaneSegmentation/image_mask"][:]
    assert rois.attrs["image_shape_yx"] == [masks.shape[2], masks.shape[1]]
    splits = rois["row_splits"].values
    for roi, mask in enumerate(masks):  # (x, y) by the schema
        part = rois.isel(pixel=slice(splits[roi], splits[roi + 1]))
        again = np.zeros_like(mask)
        again[part["pixel_x"].values, part["pixel_y"].values] = part["pixel_weight"].values
        np.testing.assert_array_equal(again, mask)
        x, y = np.indices(mask.shape)
        np.testing.assert_allclose(
            rois["centroid_x"][roi], (mask * x).sum() / mask.sum(), rtol=1e-5
        )
        np.testing.assert_allclose(
            rois["centroid_y"][roi], (mask * y).sum() / mask.sum(), rtol=1e-5
        )
    assert rois["unit_id"].values.tolist() == tree["traces/channel"].values.tolist()


def test_real_miniscope_unit_can_be_declared() -> None:
    for key in ("units__RoiResponseSeries", "units__traces", "units__*"):
        tree, raw = read(MINISCOPE, **{key: "dF/F"})
        assert tree["traces/signal"].attrs["units"] == "dF/F"
        assert not any("lumens" in p.found for p in raw.problems)


def test_real_units_are_those_that_pynwb_reads() -> None:
    import pynwb

    tree, _ = read(SPIKES)
    units = tree["units"].to_dataset()
    with pynwb.NWBHDF5IO(SPIKES, "r", load_namespaces=True) as stream:
        table = stream.read().units
        assert units["unit_id"].values.tolist() == [str(i) for i in table.id[:]]
        for unit in range(3):
            a, b = units["row_splits"].values[unit : unit + 2]
            np.testing.assert_array_equal(units["time_s"].values[a:b], table["spike_times"][unit])
    assert units["row_splits"].values.tolist() == [0, 11020, 15710, 21354]
    assert tree["epochs/label"].values.tolist() == ["wake"]
    assert tree["epochs/duration_s"].values.tolist() == [1087.5289]
    assert tree.attrs == {"modality": "spikes"}


@pytest.mark.parametrize("path", [MINISCOPE, SPIKES])
def test_real_conversion_date_is_no_start(path: Path) -> None:
    tree, raw = read(path)
    assert "start_time" not in tree.attrs
    assert any("date of conversion" in problem.hint for problem in raw.problems)


@pytest.mark.acceptance
def test_real_transposed_traces_come_time_first(realdata: Path) -> None:
    path = realdata / "acceptance/calcium/pynapple_suite2p_nwb/2022_08_08.nwb"
    tree, raw = read(path)
    with h5py.File(path) as file:
        ophys = file["processing/ophys"]
        for node, name in (("traces", "Fluorescence"), ("neuropil", "Neuropil")):
            stored = ophys[f"{name}/{name}/data"][:]
            assert stored.shape == (219, 2000)
            np.testing.assert_array_equal(tree[f"{node}/signal"].values, stored.T)
        pixels = ophys["ImageSegmentation/PlaneSegmentation/pixel_mask"][:]
        cells = ophys["ImageSegmentation/PlaneSegmentation/iscell"][:]
    assert tree["traces"].attrs["rate_hz"] == 10.0
    assert tree["traces"].attrs["n"] == 2000
    np.testing.assert_array_equal(tree["rois/pixel_x"].values, pixels["x"])
    np.testing.assert_array_equal(tree["rois/pixel_y"].values, pixels["y"])
    np.testing.assert_array_equal(tree["rois/cell_probability"].values, cells[:, 1])
    assert tree["rois"].attrs["image_shape_yx"] == [608, 608]
    assert sum("(channel, time)" in problem.found for problem in raw.problems) == 3
    assert any("TwoPhotonSeries" in problem.found for problem in raw.problems)
    assert "/mnt/Data" not in str(raw.problems) + str(tree.attrs)


@pytest.mark.acceptance
def test_real_flattened_masks_are_told(realdata: Path) -> None:
    path = realdata / "acceptance/calcium/pynapple_matlab_cnmfe/A6512-210915.nwb"
    tree, raw = read(path)
    assert tree["traces/signal"].shape == (35790, 10)
    assert any("flattened" in problem.hint for problem in raw.problems)


@pytest.mark.acceptance
def test_real_tracking_without_unit_must_be_declared(realdata: Path) -> None:
    folder = realdata / "acceptance/spikes/pynapple_ephys_nwb/neurosuite/pynapplenwb"
    path = folder / "A2929-200711.nwb"
    with pytest.raises(MissingFactError, match=r"units\.x=<unit>"):
        read(path)
    tree, _ = read(path, **{"units__*": "m"})
    assert tree["units"].sizes["unit"] == 15
    assert tree["rx/units"].values.tolist() == ["rad"]
    assert tree["x/units"].values.tolist() == ["m"]
    with h5py.File(path) as file:
        np.testing.assert_array_equal(
            tree["x/signal"].values[:, 0], file["acquisition/Position/x/data"][:]
        )
        np.testing.assert_array_equal(
            tree["sleep_ripples/time"].values, file["acquisition/sleep_ripples/timestamps"][:]
        )
    assert tree["intervals_sleep_ripples/start_s"].shape == (594,)


# facts


def test_facts_of_session_and_subject(path: Path) -> None:
    tree, _ = read(path)
    assert tree.attrs.pop("age_years") == pytest.approx(84 / 365.25)
    assert tree.attrs == {
        "subject": "m1", "session": "day1", "species": "Mus musculus", "sex": "F",
        "start_time": "2020-03-01T12:00:00+00:00", "modality": "calcium",
    }  # fmt: skip
    assert tree["traces"].attrs["indicator"] == "GCaMP6f"
    assert tree["traces"].attrs["location"] == "CA1"


@pytest.mark.parametrize(
    ("name", "text", "fact"),
    [
        ("sex", "U", "sex"), ("sex", "female?", "sex"), ("species", "house mouse", "species"),
        ("age", "three weeks", "age_years"), ("age", "P1D/P9D", "age_years"),
        ("species", "", "species"), ("subject_id", "", "subject"), ("age", "P", "age_years"),
    ],
)  # fmt: skip
def test_facts_that_are_none_are_absent(name: str, text: str, fact: str, path: Path) -> None:
    change(path, lambda f: replace(f, f"general/subject/{name}", text))
    assert fact not in read(path)[0].attrs


def test_a_start_without_zone_is_never_placed(path: Path) -> None:
    def story(file: h5py.File) -> None:
        for name in ("session_start_time", "timestamps_reference_time"):
            replace(file, name, "2020-03-01T12:00:00")

    tree, _ = read(change(path, story))
    assert tree.attrs["start_zone"] == "unknown"
    assert "start_time" not in tree.attrs


# signals


def test_offset_conversion_and_units_are_applied(path: Path) -> None:
    tree, _ = read(path)
    wheel = tree["wheel"].to_dataset()
    assert wheel["signal_adc"].dtype == "int16"
    physical = wheel["signal_adc"] * wheel["scale"] + wheel["offset"]
    np.testing.assert_allclose(physical.values[:, 0], np.arange(10) * 0.5 + 1.0)
    place = tree["place"].to_dataset()
    np.testing.assert_allclose(place["signal"].values, np.arange(8.0).reshape(4, 2) / 100)
    assert place["signal"].attrs["units"] == "m"
    assert place["channel"].values.tolist() == ["x", "y"]
    assert place["time"].values.tolist() == [0.0, 0.1, 0.25, 0.3]


def test_regular_clock_is_start_rate_and_count(path: Path) -> None:
    traces = read(path)[0]["traces"].to_dataset()
    assert {key: traces.attrs[key] for key in ("start_s", "rate_hz", "n")} == {
        "start_s": 0.5, "rate_hz": 20.0, "n": 40,
    }  # fmt: skip
    assert "time" not in traces.coords


@pytest.mark.parametrize("rate", [0.0, -10.0, float("nan"), float("inf"), 2e6, 1e30])
def test_impossible_rates_are_refused(rate: float, path: Path) -> None:
    change(path, lambda f: f[f"{TRACES}/starting_time"].attrs.modify("rate", rate))
    with pytest.raises(UnreadableError, match="rate"):
        read(path)


@pytest.mark.parametrize("conversion", [0.0, float("nan"), float("inf")])
def test_impossible_conversions_are_refused(conversion: float, path: Path) -> None:
    change(path, lambda f: f[f"{TRACES}/data"].attrs.modify("conversion", conversion))
    with pytest.raises(UnreadableError, match="conversion"):
        read(path)


@pytest.mark.parametrize("times", [[0.0, 0.2, 0.1, 0.3], [0.0, np.nan, 0.2, 0.3], [0.0, 0.1, 0.2]])
def test_impossible_times_are_refused(times: list[float], path: Path) -> None:
    change(path, lambda f: replace(f, "acquisition/Position/Place/timestamps", times))
    with pytest.raises(UnreadableError):
        read(path)


def test_repeated_times_are_told(path: Path) -> None:
    change(
        path, lambda f: replace(f, "acquisition/Position/Place/timestamps", [0.0, 0.1, 0.1, 0.2])
    )
    assert any("repeated times" in problem.found for problem in read(path)[1].problems)


def test_no_clock_is_refused_until_declared(path: Path) -> None:
    change(path, lambda f: f.__delitem__("acquisition/Wheel/starting_time"))
    with pytest.raises(MissingFactError, match="rate_hz=<Hz>"):
        read(path)
    with pytest.raises(MissingFactError, match="start_s=<s>"):
        read(path, rate_hz=5)
    tree, _ = read(path, rate_hz=5, start_s=2)
    assert tree["wheel"].attrs["rate_hz"] == 5.0
    assert tree["wheel"].attrs["start_s"] == 2.0


@pytest.mark.parametrize("unit", ["", "n.a.", "unknown"])
def test_no_unit_is_refused_until_declared(unit: str, path: Path) -> None:
    change(path, lambda f: f["acquisition/Wheel/data"].attrs.modify("unit", unit))
    with pytest.raises(MissingFactError, match=r"units\.Wheel=<unit>"):
        read(path)
    tree, _ = read(path, **{"units__*": "mV"})
    assert tree["wheel/scale"].values.tolist() == [0.5e-3]
    assert tree["traces/units"].values.tolist() == ["dF/F"] * 3
    assert tree["place/units"].values.tolist() == ["m"] * 2


def test_transposed_traces_are_turned_and_told(path: Path) -> None:
    before = read(path)[0]["traces/signal"].values
    change(path, lambda f: replace(f, f"{TRACES}/data", f[f"{TRACES}/data"][:].T))
    tree, raw = read(path)
    np.testing.assert_array_equal(tree["traces/signal"].values, before)
    assert any("(channel, time)" in problem.found for problem in raw.problems)


def test_square_traces_are_refused_until_declared(path: Path) -> None:
    square = np.arange(9.0).reshape(3, 3)
    change(path, lambda f: replace(f, f"{TRACES}/data", square))
    with pytest.raises(MissingFactError, match=r"axes=time,roi\|roi,time"):
        read(path)
    np.testing.assert_array_equal(read(path, axes="time,roi")[0]["traces/signal"].values, square)
    np.testing.assert_array_equal(read(path, axes="roi,time")[0]["traces/signal"].values, square.T)


def test_declared_axes_that_contradict_the_lengths_are_refused(path: Path) -> None:
    with pytest.raises(InvalidInputError, match="axes=roi,time"):
        read(path, axes="roi,time")


def test_as_many_traces_as_rois_or_refusal(path: Path) -> None:
    change(path, lambda f: replace(f, f"{TRACES}/data", np.zeros((40, 4))))
    with pytest.raises(UnreadableError, match="3 channels"):
        read(path)


def test_rows_outside_the_roi_table_are_refused(path: Path) -> None:
    change(path, lambda f: f[f"{TRACES}/rois"].write_direct(np.array([0, 1, 7])))
    with pytest.raises(UnreadableError, match="rows outside"):
        read(path)


def test_external_movies_and_empty_series_are_left_out(path: Path) -> None:
    def story(file: h5py.File) -> None:
        for name in ("movie", "empty"):
            file.copy("acquisition/Wheel", f"acquisition/{name}")
        file["acquisition/movie/external_file"] = ["/etc/passwd"]
        replace(file, "acquisition/empty/data", np.zeros((0, 0, 0), "u1"))

    tree, raw = read(change(path, story))
    assert not {"movie", "empty"} & set(tree.children)
    left = next(problem.found for problem in raw.problems if "left out" in problem.found)
    assert "movie" in left
    assert "empty" in left


# tables


def test_trials_keep_their_columns(path: Path) -> None:
    trials = read(path)[0]["trials"].to_dataset()
    assert trials["label"].values.tolist() == ["trials", "trials"]
    assert trials["choice"].values.tolist() == ["left", "left"]
    labelled = read(path, columns__label="choice")[0]["trials/label"]
    assert labelled.values.tolist() == ["left", "left"]


def test_intervals_that_end_before_they_start_are_refused(path: Path) -> None:
    change(path, lambda f: replace(f, "intervals/trials/stop_time", [0.5, 0.5]))
    with pytest.raises(UnreadableError, match="start_time <= stop_time"):
        read(path)


def test_spikes_out_of_order_are_sorted_within_units_and_told(path: Path) -> None:
    change(path, lambda f: replace(f, "units/spike_times", [0.9, 0.1, 0.5, 0.2]))
    tree, raw = read(path)
    assert tree["units/time_s"].values.tolist() == [0.1, 0.5, 0.9, 0.2]
    assert tree["units/row_splits"].values.tolist() == [0, 3, 3, 4]
    assert any("out of order" in problem.found for problem in raw.problems)


@pytest.mark.parametrize("ends", [[3, 3, 5], [3, 2, 4], [3, 3, 3]])
def test_an_index_that_does_not_fit_is_refused(ends: list[int], path: Path) -> None:
    change(path, lambda f: f["units/spike_times_index"].write_direct(np.array(ends, "u1")))
    with pytest.raises(UnreadableError, match="rising ends"):
        read(path)


def test_spikes_that_are_not_finite_are_refused(path: Path) -> None:
    change(path, lambda f: replace(f, "units/spike_times", [0.1, 0.5, np.nan, 0.2]))
    with pytest.raises(UnreadableError, match="not finite"):
        read(path)


# hostility and nothing


def test_a_file_that_reaches_outside_is_refused(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_bytes(bytes(40))

    def story(file: h5py.File) -> None:
        del file["acquisition/Wheel/data"]
        stored = [(str(secret), 0, 40)]
        file["acquisition/Wheel"].create_dataset("data", (10,), "f4", external=stored)

    with pytest.raises(UnsafeError, match="external storage"):
        read(change(path, story))


def test_a_file_without_data_is_refused(path: Path) -> None:
    def story(file: h5py.File) -> None:
        for name in ("acquisition", "processing", "units", "intervals"):
            del file[name]

    with pytest.raises(UnreadableError, match="no series"):
        read(change(path, story))


def test_created_long_after_the_start_keeps_the_start(path: Path) -> None:
    start = datetime.fromisoformat(read(path)[0].attrs["start_time"])
    assert start.utcoffset() == timedelta(0)
