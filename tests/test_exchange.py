"""What people hold in memory goes into a store and comes back the same."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import sparse

from neurodata.errors import InvalidInputError, MissingDependencyError
from neurodata.exchange import (
    from_anndata,
    from_mne,
    from_nibabel,
    from_nwb,
    to_anndata,
    to_mne,
    to_nibabel,
    to_nwb,
)
from neurodata.schema import validate
from neurodata.store import Store, open_store
from tests.synthetic_trees import (
    recording,
    synthetic_connectome,
    synthetic_float_traces,
    synthetic_intervals,
    synthetic_spikes,
)

mne = pytest.importorskip("mne")


def synthetic_mne() -> mne.io.RawArray:
    random = np.random.default_rng(0)
    info = mne.create_info(["Cz", "Pz", "EOG1", "STI"], 250.0, ["eeg", "eeg", "eog", "stim"])
    values = random.normal(0, 2e-5, (4, 5000))
    values[3] = 0
    made = mne.io.RawArray(values, info, verbose="error")
    made.info["bads"] = ["Pz"]
    made.set_annotations(mne.Annotations([1.0, 4.0], [0.5, 0.0], ["rest", "button"]))
    return made


def test_an_mne_recording_comes_back(tmp_path: Path) -> None:
    made = synthetic_mne()
    tree = from_mne(made)
    assert not [p for p in validate(tree) if p.level == "error"]
    store = open_store(tmp_path, create=True)
    done = store.publish(tree, dataset="held", recording="one")
    back = to_mne(store[done.id], "eeg")
    assert back.ch_names == ["Cz", "Pz"]
    assert back.info["bads"] == ["Pz"]
    assert back.info["sfreq"] == 250.0
    np.testing.assert_allclose(back.get_data(), made.get_data(picks=[0, 1]), rtol=1e-6)
    assert back.annotations.onset.tolist() == [1.0, 4.0]
    assert back.annotations.description.tolist() == ["rest", "button"]
    with pytest.raises(InvalidInputError, match="no node of channels"):
        to_mne(store[done.id], "ieeg")


def test_a_cropped_recording_keeps_its_annotations_in_place() -> None:
    made = synthetic_mne()
    made.set_meas_date(1_700_000_000)
    date = made.info["meas_date"]
    made.set_annotations(mne.Annotations([4.0], [0.0], ["button"], orig_time=date))
    tree = from_mne(made.crop(2.0, 10.0))
    assert tree["annotations"]["start_s"].values.tolist() == [2.0]


@pytest.mark.parametrize("shape", [(7, 6, 5), (7, 6, 5, 4)])
def test_a_nibabel_image_comes_back(tmp_path: Path, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(1)
    affine = np.array([[0, -2.0, 0.1, 5], [1.5, 0, 0.3, -7], [0, 0.2, 3, 9], [0, 0, 0, 1]])
    image = nib.Nifti1Image(random.normal(100, 9, shape).astype("f4"), affine)
    tree = from_nibabel(image, 2.5 if len(shape) == 4 else None)
    store = open_store(tmp_path, create=True)
    done = store.publish(tree, dataset="held", recording="one")
    back = to_nibabel(store[done.id], "bold" if len(shape) == 4 else "anat")
    np.testing.assert_array_equal(back.get_fdata(dtype="f4"), image.get_fdata(dtype="f4"))
    np.testing.assert_array_equal(back.affine, affine)
    if len(shape) == 4:
        assert back.header.get_zooms()[3] == pytest.approx(2.5)
        with pytest.raises(InvalidInputError, match="repetition_time_s"):
            from_nibabel(image)


def test_stored_images_are_those_of_nibabel(sample_store: Store, samples: Path) -> None:
    back = to_nibabel(sample_store["mri_anatomical/anatomical"], "anat")
    source = nib.load(samples / "mri_anatomical" / "anatomical.nii")
    np.testing.assert_allclose(back.get_fdata(), source.get_fdata(), rtol=1e-6)
    np.testing.assert_allclose(back.affine, source.affine, atol=1e-6)


# --- NWB ---

START = datetime(2020, 2, 29, 12, tzinfo=UTC)


def synthetic_session() -> xr.DataTree:
    """Traces in volts, spikes and intervals within 2 s, as ``store[id]`` gives them."""
    from neurodata.physical import physical

    stretches = synthetic_intervals().isel(interval=slice(1, 2))
    tree = recording(
        "spikes",
        lfp=synthetic_float_traces(),
        units=synthetic_spikes()["units"].to_dataset(),
        trials=stretches.assign(start_s=("interval", [0.5])),
    )
    tree.attrs |= {"species": "Mus musculus", "sex": "F", "subject": "m1"}
    return physical(tree)


def test_what_goes_to_nwb_is_what_pynwb_reads_and_comes_back(tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    tree = synthetic_session()
    held = to_nwb(tree, "synthetic", "one", START)
    path = tmp_path / "synthetic.nwb"
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(held)
    with pynwb.NWBHDF5IO(str(path), "r") as io:
        read = io.read()
        series = read.acquisition["lfp"]
        np.testing.assert_array_equal(series.data[:], tree["lfp"]["signal"].values)
        assert (series.unit, series.rate, series.starting_time) == ("V", 256.0, 0.0)
        assert series.description == "C0, C1, C2"
        assert read.units["spike_times"][0].tolist() == [0.5, 0.75, 1.5]
        assert read.units["unit_name"][:].tolist() == ["u1", "u2"]
        assert read.intervals["trials"]["label"][:].tolist() == ["trial"]
        assert read.session_start_time == START
        assert (read.subject.species, read.subject.sex) == ("Mus musculus", "F")
    back = from_nwb(path)
    assert not [p for p in validate(back) if p.level == "error"]
    np.testing.assert_array_equal(back["lfp"]["signal"].values, tree["lfp"]["signal"].values)
    np.testing.assert_array_equal(back["units"]["time_s"], tree["units"]["time_s"])
    np.testing.assert_array_equal(back["units"]["row_splits"], tree["units"]["row_splits"])
    assert (back["units"].attrs["start_s"], back["units"].attrs["stop_s"]) == (0.0, 2.0)
    assert back["trials"]["start_s"].values.tolist() == [0.5]
    assert back["trials"]["duration_s"].values.tolist() == [3.0]
    assert back.attrs["species"] == "Mus musculus"


def test_an_nwb_file_in_memory_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    held = pynwb.NWBFile("CANARY", "CANARY", START, experimenter="CANARY", lab="CANARY")
    held.add_unit(spike_times=[0.25, 0.5])
    tree = from_nwb(held)
    assert tree["units"]["time_s"].values.tolist() == [0.25, 0.5]
    assert "CANARY" not in str([node.attrs for node in tree.subtree])
    path = tmp_path / "synthetic.nwb"
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(held)  # would fail if it were bound to another file
    with pynwb.NWBHDF5IO(str(path), "r") as io:
        read = io.read()
        assert from_nwb(read)["units"]["time_s"].values.tolist() == [0.25, 0.5]
        read.add_acquisition(pynwb.TimeSeries(name="more", data=np.ones(9), unit="V", rate=9.0))
        again = from_nwb(read)
        assert again["more"]["signal"].shape == (9, 1)
        assert again["units"]["time_s"].values.tolist() == [0.25, 0.5]


def test_what_nwb_has_no_place_for_is_refused() -> None:
    pytest.importorskip("pynwb")
    tree = synthetic_session()
    with pytest.raises(InvalidInputError, match="give start"):
        to_nwb(tree, "synthetic", "one")
    with pytest.raises(InvalidInputError, match="give start"):
        to_nwb(tree, "synthetic", "one", START.replace(tzinfo=None))
    tree.attrs["start_time"] = START.isoformat()
    assert to_nwb(tree, "synthetic", "one").session_start_time == START
    with pytest.raises(InvalidInputError, match="graph"):
        to_nwb(synthetic_connectome(), "synthetic", "one", START)
    with pytest.raises(InvalidInputError, match="no node"):
        to_nwb(tree, "synthetic", "one", START, ["nowhere"])
    mixed = tree["lfp"].to_dataset().assign_attrs(units="mixed")
    mixed["signal"].attrs["units"] = "mixed"
    tree["lfp"] = mixed
    with pytest.raises(InvalidInputError, match="several units"):
        to_nwb(tree, "synthetic", "one", START)


# --- AnnData ---


def synthetic_cells(matrix: Any, **more: Any) -> Any:
    """What an AnnData object of three cells offers, without the package."""
    names = pd.Index(["a", "b", "c"])
    obs = pd.DataFrame(
        {
            "type": pd.Categorical(["K", None, "O"]),
            "depth": [1.5, 2.5, 3.5],
            "donor": ["Jane Doe"] * 3,
        },
        index=names,
    )
    return SimpleNamespace(obs=obs, obs_names=names, obsp={"synapses": matrix, **more})


def test_a_matrix_between_cells_is_a_connectome() -> None:
    matrix = sparse.csr_matrix(np.array([[0, 5, 1], [0, 0, 0], [0, 2, 0]]))
    facts: dict[str, Any] = {"directed": True, "weight_units": "synapses"}
    tree = from_anndata(synthetic_cells(matrix), **facts, columns=["type", "depth"])
    assert not [p for p in validate(tree) if p.level == "error"]
    expected = synthetic_connectome()["graph"]
    for name in ("source", "target", "weight", "row_splits", "node_id"):
        np.testing.assert_array_equal(tree["graph"][name], expected[name])
    assert tree["graph"].attrs["weight_units"] == "count"
    assert tree["graph"]["type"].values.tolist() == ["K", "", "O"]
    assert tree["graph"]["depth"].values.tolist() == [1.5, 2.5, 3.5]
    assert "donor" not in tree["graph"]
    dense = from_anndata(synthetic_cells(matrix.toarray()), **facts)
    np.testing.assert_array_equal(dense["graph"]["weight"], expected["weight"])


def test_undirected_pairs_come_once() -> None:
    matrix = np.array([[1.0, 2, 0], [2, 0, 3], [0, 3, 0]])
    tree = from_anndata(synthetic_cells(matrix), directed=False, weight_units="1")
    pairs = zip(tree["graph"]["source"].values, tree["graph"]["target"].values, strict=True)
    assert list(pairs) == [(0, 0), (0, 1), (1, 2)]
    assert tree["graph"]["weight"].values.tolist() == [1, 2, 3]


def test_cells_by_genes_are_no_recording() -> None:
    facts: dict[str, Any] = {"directed": True, "weight_units": "1"}
    cells = synthetic_cells(np.eye(3))
    cells.obsp = {}
    with pytest.raises(InvalidInputError, match="cells by genes"):
        from_anndata(cells, **facts)
    with pytest.raises(InvalidInputError, match="give key"):
        from_anndata(synthetic_cells(np.eye(3), distances=np.eye(3)), **facts)
    with pytest.raises(InvalidInputError, match="not finite"):
        from_anndata(synthetic_cells(np.full((3, 3), np.nan)), **facts)
    with pytest.raises(InvalidInputError, match="symmetric"):
        from_anndata(synthetic_cells(np.triu(np.ones((3, 3)))), directed=False, weight_units="1")
    twice = synthetic_cells(np.eye(3))
    twice.obs_names = pd.Index(["a", "a", "b"])
    with pytest.raises(InvalidInputError, match="twice"):
        from_anndata(twice, **facts)


def test_a_graph_goes_to_anndata_and_comes_back() -> None:
    try:
        made = to_anndata(synthetic_connectome())
    except MissingDependencyError:
        pytest.skip("no anndata")
    assert made.obs_names.tolist() == ["a", "b", "c"]
    assert made.obs["hemisphere"].tolist() == ["L", "L", "R"]
    assert made.obsp["weight"].toarray().tolist() == [[0, 5, 1], [0, 0, 0], [0, 2, 0]]
    assert made.uns == {"directed": True, "weight_units": "count"}
    back = from_anndata(made, directed=True, weight_units="count", columns=["hemisphere"])
    assert (
        back["graph"]
        .to_dataset()
        .drop_attrs()
        .equals(
            synthetic_connectome()["graph"].to_dataset().reset_coords("hemisphere").drop_attrs()
        )
    )
    undirected = synthetic_connectome()
    undirected["graph"].attrs["directed"] = 0
    both = to_anndata(undirected).obsp["weight"].toarray()
    np.testing.assert_array_equal(both, both.T)
    with pytest.raises(InvalidInputError, match="no graph"):
        to_anndata(synthetic_spikes())
