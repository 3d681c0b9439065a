"""Adjacency matrices: weights, direction and labels against numpy and networkx."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import networkx
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, MissingFactError, UnreadableError
from neurodata.readers import adjacency
from neurodata.safe import Raw, head
from tests.readers.conformance import ReaderTests

FACTS = {"axes": "source,target", "weight_units": "count"}
SYNTHETIC = "0 2 0 0\n0 0 3 1\n0 5 0 0\n7 0 0 0\n"


def open_raw(path: Path) -> Raw:
    return Raw(path.parent, adjacency.members(path, sorted(path.parent.iterdir())))


def read(path: Path, **facts: Any) -> xr.DataTree:
    return adjacency.read(open_raw(path), Declared(facts))


def write(folder: Path, text: str, name: str = "synthetic_adjacency.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def dense(node: xr.DataTree) -> np.ndarray:
    """The matrix with ``[source, target]``, by way of the CSR index alone."""
    count = node.sizes["node"]
    matrix = np.zeros((count, count), node["weight"].dtype)
    splits = node["row_splits"].values
    for source in range(count):
        row = slice(splits[source], splits[source + 1])
        assert (node["source"].values[row] == source).all()
        matrix[source, node["target"].values[row]] = node["weight"].values[row]
    return matrix


class TestAdjacency(ReaderTests):
    reader = adjacency
    nodes: ClassVar = {"graph": "graph"}
    declare = FACTS
    accepts = ("adjacency",)
    lazy = ()

    def make(self, folder: Path) -> Path:
        write(folder, "K\nK\nO\nP\n", "synthetic_cell_labels.csv")
        return write(folder, SYNTHETIC)


# the fly's mushroom body (Eichler et al. 2017, https://doi.org/10.1038/nature23455)


@pytest.mark.parametrize(("side", "nodes", "edges", "synapses"), [
    ("left", 209, 7425, 25322), ("right", 213, 7536, 26371),
])  # fmt: skip
def test_mushroom_body(samples: Path, side: str, nodes: int, edges: int, synapses: int) -> None:
    path = samples / "mushroom_body" / f"{side}_adjacency.csv"
    raw = open_raw(path)
    assert [p.name for p in raw.files] == [f"{side}_adjacency.csv", f"{side}_cell_labels.csv"]
    tree = adjacency.read(raw, Declared(FACTS))
    node = tree["graph"]
    assert tree.attrs == {"modality": "connectome"}
    assert dict(node.sizes) == {"edge": edges, "node": nodes, "split": nodes + 1}
    assert (node.attrs["directed"], node.attrs["weight_units"]) == (1, "count")
    assert int(node["weight"].sum()) == synapses
    assert node["weight"].dtype.kind == "i"
    matrix = np.loadtxt(path, dtype=int)
    np.testing.assert_array_equal(dense(node), matrix)
    graph = networkx.from_numpy_array(matrix, create_using=networkx.DiGraph)
    outgoing = np.diff(node["row_splits"].values)
    assert outgoing.tolist() == [degree for _, degree in graph.out_degree()]
    labels = np.loadtxt(path.with_name(f"{side}_cell_labels.csv"), dtype=str)
    assert node["cell_class"].values.tolist() == labels.tolist()
    assert raw.problems == []


def test_rows_of_the_mushroom_body_are_sources(samples: Path) -> None:
    """Kenyon cells (K) drive output neurons (O), not the other way round."""
    node = read(samples / "mushroom_body/left_adjacency.csv", **FACTS)["graph"]
    kinds = node["cell_class"].values
    pairs = np.stack([kinds[node["source"].values], kinds[node["target"].values]])
    weight = node["weight"].values
    forward = weight[(pairs[0] == "K") & (pairs[1] == "O")].sum()
    back = weight[(pairs[0] == "O") & (pairs[1] == "K")].sum()
    assert forward > 10 * back


def test_missing_facts_are_named_at_once(samples: Path) -> None:
    path = samples / "mushroom_body/left_adjacency.csv"
    flags = re.escape("--set axes=source,target --set weight_units=count")
    with pytest.raises(MissingFactError, match=flags):
        read(path)
    with pytest.raises(MissingFactError, match=r"--set axes=source,target$"):
        read(path, weight_units="count")


def test_axes_turn_the_matrix(tmp_path: Path) -> None:
    path = write(tmp_path, SYNTHETIC)
    here = dense(read(path, **FACTS)["graph"])
    np.testing.assert_array_equal(here, [[0, 2, 0, 0], [0, 0, 3, 1], [0, 5, 0, 0], [7, 0, 0, 0]])
    there = read(path, axes="target,source", weight_units="count")["graph"]
    np.testing.assert_array_equal(dense(there), here.T)
    with pytest.raises(InvalidInputError, match="axes"):
        read(path, axes="time,roi", weight_units="count")


@given(arrays("i8", (4, 4), elements=st.integers(-9, 9)))
@settings(max_examples=40, deadline=None)
def test_any_matrix_comes_back(
    tmp_path_factory: pytest.TempPathFactory, matrix: np.ndarray
) -> None:
    path = tmp_path_factory.mktemp("synthetic") / "synthetic.txt"
    np.savetxt(path, matrix, fmt="%d")
    node = read(path, directed=1, **FACTS)["graph"]
    np.testing.assert_array_equal(dense(node), matrix)


def test_symmetric_matrix_is_undirected_and_stored_once(tmp_path: Path) -> None:
    path = write(tmp_path, "0,1.5,0\n1.5,4,2.25\n0,2.25,0\n")
    node = read(path, weight_units="1")["graph"]
    assert node.attrs["directed"] == 0
    edges = zip(node["source"].values, node["target"].values, node["weight"].values, strict=True)
    assert [tuple(edge) for edge in edges] == [(0, 1, 1.5), (1, 1, 4.0), (1, 2, 2.25)]
    assert len(read(path, directed=1, weight_units="1")["graph"]["weight"]) == 5


def test_declaring_an_asymmetric_matrix_undirected_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="directed"):
        read(write(tmp_path, SYNTHETIC), directed=0, weight_units="count")


@pytest.mark.parametrize("mark", [" ", ",", "\t", ";", ", "])
def test_separators(mark: str, tmp_path: Path) -> None:
    path = write(tmp_path, SYNTHETIC.replace(" ", mark))
    assert adjacency.sniff(head(path), path)
    assert int(read(path, **FACTS)["graph"]["weight"].sum()) == 18


def test_unique_labels_name_the_nodes(tmp_path: Path) -> None:
    write(tmp_path, "ADAL\nADAR\nADEL\nADER\n", "synthetic_labels.txt")
    node = read(write(tmp_path, SYNTHETIC), **FACTS)["graph"]
    assert node["node_id"].values.tolist() == ["ADAL", "ADAR", "ADEL", "ADER"]
    assert "cell_class" not in node


@pytest.mark.parametrize(("text", "where", "found"), [
    ("0 1 2\n3 0\n5 6 0\n", "line 2", "2 cells"),
    ("0 1 2\n3 0 4\n5 nan 0\n", "line 3, value 2", "'nan'"),
    ("0 1 2\n3 inf 4\n5 6 0\n", "line 2, value 2", "'inf'"),
    ("0 1 2\n3 x 4\n5 6 0\n", "line 2, value 2", "'x'"),
    ("0 1 2\n3 1e999 4\n5 6 0\n", "line 2", "out of range"),
    ("0,1,2\n3,,4\n5,6,0\n", "line 2, value 2", "''"),
    ("0 1 2\n3 0 4\n", "", "2 rows of 3 values"),
    ("0 1\n3 0\n1 1\n", "", "3 rows of 2 values"),
    ("a b c\n0 1 2\n3 0 4\n", "line 1, value 1", "'a'"),
    ("\n\n", "", "no rows"),
])  # fmt: skip
def test_damaged_matrices_are_refused(text: str, where: str, found: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError) as caught:
        read(write(tmp_path, text), **FACTS)
    assert where in caught.value.where
    assert found in caught.value.found


@pytest.mark.parametrize("labels", ["K\nK\n", "cell\nK\nK\nO\nP\n", "K\n\nO\nP\n"])
def test_labels_that_do_not_fit_are_refused(labels: str, tmp_path: Path) -> None:
    write(tmp_path, labels, "synthetic_cell_labels.csv")
    with pytest.raises(UnreadableError, match="one label for each of 4 nodes"):
        read(write(tmp_path, SYNTHETIC), **FACTS)


def test_findings(tmp_path: Path) -> None:
    raw = open_raw(write(tmp_path, "1 -2 0\n0 0 3\n4 0 0"))
    adjacency.read(raw, Declared(FACTS))
    assert [(p.level, p.found.partition(",")[0]) for p in raw.problems] == [
        ("note", "no line end"),
        ("note", "1 from a node to itself"),
        ("note", "1 of negative weight"),
    ]


@pytest.mark.parametrize("name", [
    "mouse_tractography/participants.csv", "mushroom_body/left_cell_labels.csv",
    "mouse_tractography/edgelists/sub-54776_ses-1_dti.edgelist", "gripforce_ieeg/participants.tsv",
])  # fmt: skip
def test_other_tables_are_left_alone(samples: Path, name: str) -> None:
    path = samples / name
    assert not adjacency.sniff(head(path), path)


def test_traces_in_text_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "F.csv"
    np.savetxt(path, np.random.default_rng(0).normal(size=(50, 7)))
    assert not adjacency.sniff(head(path), path)


def test_first_line_longer_than_the_head_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    np.savetxt(path, np.zeros((300, 300)))
    assert adjacency.sniff(head(path), path)
