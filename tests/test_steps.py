"""Steps against SciPy, nibabel, pandas and NetworkX; blocks must not show in any result."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import networkx as nx
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from scipy import signal as sps

from neurodata import steps
from neurodata.errors import InvalidInputError, PipelineError
from neurodata.ingestion import ingest
from neurodata.steps import step as step_module
from neurodata.steps.resampling import low_pass, resampled
from neurodata.store import open_store

RATE_HZ = 250.0


@pytest.fixture(params=[16_000_000, 8 * 3 * 700], ids=["one block", "many blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything be done in one block, and in many."""
    monkeypatch.setattr(step_module, "BLOCK_BYTES", request.param)


def synthetic_values(n: int = 9001, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    walk: np.ndarray = np.cumsum(random.normal(0, 1, (n, 3)), axis=0)
    return walk + np.array([0, 50, -20])


def synthetic_tree(values: np.ndarray, rate_hz: float = RATE_HZ, **more: Any) -> xr.DataTree:
    width = values.shape[1]
    node = xr.Dataset(
        {"signal": (("time", "channel"), values)},
        {
            "channel": [f"C{i}" for i in range(width)],
            "type": ("channel", ["EEG"] * width),
            "units": ("channel", ["V"] * width),
        },
        {"representation": "timeseries", "schema": "timeseries/1", "units": "V",
         "start_s": 2.0, "rate_hz": rate_hz, "n": len(values)},
    ).assign(more)  # fmt: skip
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": "eeg"}), "eeg": node})


def done(tree: xr.DataTree, path: str = "eeg", **facts: Any) -> xr.Dataset:
    return steps.apply(tree, steps.parse([facts]))[path].to_dataset()


def turned(values: np.ndarray, count: int) -> np.ndarray:
    """Values continued by turning them about both ends."""
    return sps._signaltools.odd_ext(values, count, axis=0)  # type: ignore[attr-defined]


def sine(frequency_hz: float, rate_hz: float = RATE_HZ, n: int = 20_000) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * np.arange(n) / rate_hz)[:, None] * np.ones(3)


def gain(frequency_hz: float, **facts: Any) -> float:
    """How much of a sine a step lets through, away from the ends."""
    found = done(synthetic_tree(sine(frequency_hz)), **facts)["signal"].values
    middle = found[len(found) // 3 : -len(found) // 3]
    return float(np.sqrt(2) * middle.std())


# --- filters ---


def test_a_filter_is_a_centred_convolution(blocks: None) -> None:
    values = synthetic_values()
    found = done(synthetic_tree(values), step="filter", low_hz=1.0, high_hz=40.0)
    taps = steps.parse([{"step": "filter", "low_hz": 1.0, "high_hz": 40.0}])[0]._taps(RATE_HZ, "")
    half = len(taps) // 2
    whole = turned(values, half)
    expected = np.stack([np.convolve(column, taps, "valid") for column in whole.T], 1)
    assert found["signal"].dtype == "float32"
    np.testing.assert_allclose(found["signal"].values, expected, atol=2e-5)
    assert found.attrs["n"] == len(values)


def test_bands_pass_and_stop_where_they_should() -> None:
    band = {"step": "filter", "low_hz": 4.0, "high_hz": 30.0}
    assert gain(12.0, **band) == pytest.approx(1.0, abs=5e-3)
    assert gain(4.0, **band) == pytest.approx(0.5, abs=0.02)
    assert gain(30.0, **band) == pytest.approx(0.5, abs=0.02)
    assert gain(1.0, **band) < 3e-3
    assert gain(45.0, **band) < 3e-3
    notch = {"step": "notch", "at_hz": 50.0}
    assert gain(50.0, **notch) < 3e-3
    assert gain(100.0, **notch) < 3e-3
    assert gain(47.0, **notch) == pytest.approx(1.0, abs=5e-3)
    assert gain(100.0, step="notch", at_hz=50.0, harmonics=False) == pytest.approx(1.0, abs=5e-3)


def test_smoothing_is_a_gaussian(blocks: None) -> None:
    from scipy.ndimage import gaussian_filter1d

    values = synthetic_values()
    found = done(synthetic_tree(values), step="smooth", sigma_s=0.02)["signal"].values
    expected = gaussian_filter1d(turned(values, 100), 5.0, axis=0)[100:-100]
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_derivative_is_the_gradient_of_numpy(blocks: None) -> None:
    values = synthetic_values()
    found = done(synthetic_tree(values), step="derivative")
    expected = np.gradient(values, 1 / RATE_HZ, axis=0)
    np.testing.assert_allclose(found["signal"].values, expected, rtol=1e-6, atol=1e-4)
    assert found["units"].values.tolist() == ["V/s"] * 3
    assert found["signal"].attrs["units"] == found.attrs["units"] == "V/s"
    again = done(xr.DataTree.from_dict({"/": xr.Dataset(), "eeg": found}), step="smooth", sigma_s=1)
    assert again.attrs["units"] == "V/s"
    odd = synthetic_tree(values)
    odd["eeg"] = odd["eeg"].to_dataset().assign_coords(units=("channel", ["V", "dB", "V"]))
    with pytest.raises(InvalidInputError, match="the unit dB"):
        done(odd, step="derivative")


def test_filters_refuse_what_they_cannot_do() -> None:
    short = synthetic_tree(synthetic_values(200))
    with pytest.raises(InvalidInputError, match="200 samples"):
        done(short, step="filter", low_hz=0.1)
    with pytest.raises(InvalidInputError, match="125 Hz"):
        done(short, step="filter", high_hz=130.0)
    gaps = synthetic_tree(
        synthetic_values(), observed=(("time", "channel"), np.ones((9001, 3), bool))
    )
    with pytest.raises(InvalidInputError, match="not observed"):
        done(gaps, step="filter", high_hz=30.0)
    irregular = synthetic_tree(synthetic_values())
    del irregular["eeg"].attrs["rate_hz"]
    with pytest.raises(InvalidInputError, match="irregular"):
        done(irregular, step="filter", high_hz=30.0)


# --- resampling ---


@pytest.mark.parametrize("new_hz", [100.0, 125.0, 50.0, 256.0, 500.0])
def test_resampling_does_not_depend_on_blocks(
    new_hz: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = synthetic_values()
    found = done(synthetic_tree(values), step="resample", rate_hz=new_hz)
    ratio = Fraction(new_hz / RATE_HZ).limit_denominator(10_000)
    up, down = ratio.numerator, ratio.denominator
    many = down * 60
    whole = turned(values, many)
    expected = sps.resample_poly(whole, up, down, axis=0, window=low_pass(up, down))
    expected = expected[60 * up :][: -(-len(values) * up // down)]
    assert found.attrs["rate_hz"] == new_hz
    assert found.attrs["n"] == found.sizes["time"] == len(expected)
    np.testing.assert_allclose(found["signal"].values, expected, rtol=0, atol=3e-5)
    monkeypatch.setattr(step_module, "BLOCK_BYTES", 8 * 3 * 500)
    again = done(synthetic_tree(values), step="resample", rate_hz=new_hz)
    np.testing.assert_allclose(again["signal"].values, found["signal"].values, atol=3e-5)


def test_resampling_keeps_the_band_and_stops_aliases() -> None:
    nyquist_hz = 50.0
    assert gain(0.87 * nyquist_hz, step="resample", rate_hz=100.0) == pytest.approx(1, abs=0.02)
    assert gain(1.13 * nyquist_hz, step="resample", rate_hz=100.0) < 1e-3
    values = sine(10.0)
    found = done(synthetic_tree(values), step="resample", rate_hz=100.0)["signal"].values
    expected = np.sin(2 * np.pi * 10.0 * np.arange(len(found)) / 100.0)
    np.testing.assert_allclose(found[500:-500, 0], expected[500:-500], atol=1e-3)


def test_rates_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="whole numbers"):
        done(synthetic_tree(synthetic_values(), 600.614990234375), step="resample", rate_hz=250.0)


def test_a_tiny_block_is_no_smaller_than_the_filter() -> None:
    signal = xr.DataArray(synthetic_values(3000), dims=("time", "channel")).chunk({"time": 10})
    found = resampled(signal, Fraction(2, 5), "here")
    assert found.sizes["time"] == 1200
    assert np.isfinite(found.values).all()


# --- channels and levels ---


def test_referencing_subtracts_the_mean_of_good_channels() -> None:
    values = synthetic_values()
    tree = synthetic_tree(values)
    tree["eeg"] = (
        tree["eeg"].to_dataset().assign_coords(status=("channel", ["good", "bad", "good"]))
    )
    found = done(tree, step="reference")
    expected = values - values[:, [0, 2]].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found["signal"].values, expected, atol=1e-4)
    assert found.attrs["reference"] == "average"
    one = done(tree, step="reference", channels=["C1"])
    np.testing.assert_allclose(one["signal"].values[:, 1], 0, atol=1e-12)
    with pytest.raises(InvalidInputError, match="C9"):
        done(tree, step="reference", channels=["C9"])


def test_picking_keeps_the_order_given() -> None:
    tree = synthetic_tree(synthetic_values())
    assert done(tree, step="pick", channels=["C2", "C0"])["channel"].values.tolist() == ["C2", "C0"]
    with pytest.raises(InvalidInputError, match="no such channel"):
        done(tree, step="pick", types=["MEG"])


def test_robust_scaling_has_the_quartiles_of_numpy(blocks: None) -> None:
    values = synthetic_values()
    found = done(synthetic_tree(values), step="robust_scale", clamp=1.5)
    low, middle, high = np.percentile(values, [25, 50, 75], axis=0)
    expected = np.clip((values - middle) / ((high - low) / 1.349), -1.5, 1.5)
    np.testing.assert_allclose(found["signal"].values, expected, atol=1e-6)
    assert found["units"].values.tolist() == ["1"] * 3
    values[:, 1] = 4.0
    with pytest.raises(InvalidInputError, match="C1"):
        done(synthetic_tree(values), step="robust_scale")


def test_dff_is_relative_to_a_running_percentile(blocks: None) -> None:
    from scipy.ndimage import percentile_filter

    values = np.abs(synthetic_values(2000)) + 100
    found = done(synthetic_tree(values, 10.0), step="dff", window_s=30.1, percentile=10)
    base = percentile_filter(values, 10, size=(301, 1), mode="reflect")
    np.testing.assert_allclose(found["signal"].values, (values - base) / base, atol=1e-6)
    assert found["signal"].attrs["units"] == found.attrs["units"] == "dF/F"
    with pytest.raises(InvalidInputError, match="baseline"):
        done(synthetic_tree(values - 150, 10.0), step="dff")


def test_causal_scaling_sees_the_past_alone(blocks: None) -> None:
    values = synthetic_values()
    found = done(synthetic_tree(values), step="causal_scale", window_s=2.0)
    past = pd.DataFrame(values).rolling(500)
    expected = ((values - past.mean()) / past.std(ddof=0)).to_numpy()
    np.testing.assert_allclose(found["signal"].values, expected, atol=1e-5)
    seen = found["observed"].values
    assert not seen[:499].any()
    assert seen[499:].all()
    changed = values.copy()
    changed[6000:] += 1e3
    again = done(synthetic_tree(changed), step="causal_scale", window_s=2.0)["signal"].values
    np.testing.assert_allclose(again[:6000], found["signal"].values[:6000], atol=1e-6)


# --- volumes ---


def synthetic_volume(shape_xyz: tuple[int, int, int] = (12, 9, 7)) -> tuple[xr.DataTree, Any]:
    """An oblique, left-handed, anisotropic volume, and the same as a nibabel image."""
    turn = np.array([[0.1, -1.9, 0.3], [-0.2, 0.4, 2.8], [0.9, 0.2, 0.35]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn, [10, -20, 5]
    values = np.random.default_rng(3).integers(-900, 900, shape_xyz).astype("i2")
    node = xr.Dataset(
        {
            "image_adc": (("z", "y", "x"), values.transpose(2, 1, 0), {"units": "HU"}),
            "scale": 1.0,
            "offset": 0.0,
            "affine": (("row", "col"), affine, {"units": "mm"}),
        },
        attrs={"representation": "volume", "schema": "volume/1", "units": "HU"},
    )
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": "mri"}), "anat": node})
    return tree, nib.Nifti1Image(values, affine)


@pytest.mark.parametrize("to", ["RAS", "LPS", "PIR", "SAL"])
def test_reorienting_is_what_nibabel_does(to: str) -> None:
    tree, image = synthetic_volume()
    found = done(tree, "anat", step="reorient", to=to)
    codes = nib.orientations.axcodes2ornt(to)
    there = nib.orientations.io_orientation(image.affine)
    expected = image.as_reoriented(nib.orientations.ornt_transform(there, codes))
    np.testing.assert_array_equal(
        found["image"].values.transpose(2, 1, 0), np.asarray(expected.dataobj)
    )
    np.testing.assert_allclose(found["affine"].values, expected.affine, atol=1e-12)
    assert "".join(nib.aff2axcodes(found["affine"].values)) == to


def test_regridding_keeps_places_in_the_world() -> None:
    """A ramp along every axis of the world is the same ramp on any grid, away from the faces."""
    tree, image = synthetic_volume((30, 24, 20))
    node = tree["anat"].to_dataset()
    affine = image.affine
    grid = np.stack(np.meshgrid(*map(np.arange, (30, 24, 20)), indexing="ij"), -1)
    ramp = (grid @ affine[:3, :3].T + affine[:3, 3]) @ [1.0, -2.0, 0.5]
    node = node.drop_vars(["image_adc", "scale", "offset"]).assign(
        image=(("z", "y", "x"), ramp.transpose(2, 1, 0).astype("f4"), {"units": "HU"})
    )
    tree["anat"] = node
    found = done(tree, "anat", step="regrid", voxel_mm=[2.0, 1.5, 4.0])
    made = found["image"].values.transpose(2, 1, 0)
    new = found["affine"].values
    np.testing.assert_allclose(np.linalg.norm(new[:3, :3], axis=0), [2.0, 1.5, 4.0])
    corner = np.array([-0.5, -0.5, -0.5, 1])
    np.testing.assert_allclose(new @ corner, affine @ corner, atol=1e-9)
    places = np.stack(np.meshgrid(*map(np.arange, made.shape), indexing="ij"), -1)
    expected = (places @ new[:3, :3].T + new[:3, 3]) @ [1.0, -2.0, 0.5]
    inner = (slice(4, -4),) * 3
    np.testing.assert_allclose(made[inner], expected[inner], atol=2e-2)


def test_a_window_cuts_intensities() -> None:
    tree, image = synthetic_volume()
    found = done(tree, "anat", step="window", low=0, high=80)["image"]
    np.testing.assert_array_equal(
        found.values.transpose(2, 1, 0), np.clip(np.asarray(image.dataobj), 0, 80)
    )
    assert found.attrs["units"] == "HU"


# --- graphs ---


@pytest.mark.parametrize("how", ["sum", "max", "mean"])
def test_symmetrising_is_what_an_adjacency_matrix_says(how: str) -> None:
    random = np.random.default_rng(5)
    matrix = random.integers(0, 9, (20, 20)) * (random.random((20, 20)) < 0.3)
    source, target = np.nonzero(matrix)
    node = xr.Dataset(
        {
            "source": ("edge", source),
            "target": ("edge", target),
            "weight": ("edge", matrix[source, target]),
            "row_splits": ("split", np.r_[0, np.cumsum((matrix > 0).sum(1))]),
            "node_id": ("node", [f"n{i}" for i in range(20)]),
        },
        attrs={
            "representation": "graph",
            "schema": "graph/1",
            "directed": 1,
            "weight_units": "count",
        },
    )
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": "connectome"}), "graph": node})
    found = done(tree, "graph", step="symmetrise", how=how)
    both = {"sum": matrix + matrix.T, "max": np.maximum(matrix, matrix.T),
            "mean": (matrix + matrix.T) / 2}[how].astype(float)  # fmt: skip
    if how == "sum":
        both[np.diag_indices(20)] /= 2
    expected = nx.from_numpy_array(both)
    columns = [found[name].values.tolist() for name in ("source", "target", "weight")]
    made = {(a, b): float(weight) for a, b, weight in zip(*columns, strict=True)}
    assert made == {(min(a, b), max(a, b)): w for a, b, w in expected.edges(data="weight")}
    assert found["row_splits"].values[-1] == expected.number_of_edges()
    assert not found.attrs["directed"]


# --- in pipelines ---


def test_every_fault_of_a_list_of_steps_is_told() -> None:
    wrong = [{"step": "filter"}, {"step": "magic"}, {"step": "resample", "rate_hz": -1}, {}]
    with pytest.raises(PipelineError) as caught:
        steps.parse(wrong)
    for text in ("steps.0", "low_hz or high_hz", "magic", "steps.2.rate_hz", "steps.3"):
        assert text in str(caught.value)


def test_several_nodes_must_be_told_apart() -> None:
    tree = synthetic_tree(synthetic_values())
    tree["more"] = tree["eeg"].to_dataset()
    with pytest.raises(InvalidInputError, match="node: eeg"):
        done(tree, step="smooth", sigma_s=0.1)
    assert "signal" in done(tree, "more", step="smooth", sigma_s=0.1, node="more")
    with pytest.raises(InvalidInputError, match="volume"):
        done(tree, step="reorient")


def test_a_pipeline_with_steps_stores_and_records_them(tmp_path: Path, samples: Path) -> None:
    pipeline = yaml.safe_load((samples.parent / "pipelines" / "eeg_fp1.yaml").read_text())
    pipeline |= {"splits": [], "tasks": [], "expect": {}}
    pipeline["steps"] = [
        {"step": "filter", "low_hz": 0.5, "high_hz": 40.0},
        {"step": "resample", "rate_hz": 64.0},
    ]
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(pipeline))
    result = ingest(file, store=tmp_path / "store")
    assert result.ok, result.findings()
    store = open_store(tmp_path / "store")
    name = store.ids()[0]
    manifest = store.manifest(name)
    assert manifest["steps"] == pipeline["steps"]
    raw = store.raw(name)["eeg"]
    assert raw.attrs["rate_hz"] == 64.0
    assert raw["signal"].dtype == "float32"
    plain = ingest("eeg_fp1", store=tmp_path / "plain")
    assert plain.entries[0].content != result.entries[0].content
    assert ingest(file, store=tmp_path / "store").tally("same") == len(result)
