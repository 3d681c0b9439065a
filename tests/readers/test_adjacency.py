"""Adjacency matrices: weights, direction and labels against numpy and networkx."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import networkx
import numpy as np
import pandas
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
    flags = re.escape("--set 'axes=source,target|target,source' --set 'weight_units=<unit>'")
    with pytest.raises(MissingFactError, match=flags):
        read(path)
    with pytest.raises(MissingFactError, match=r"--set .axes=source,target\|target,source.$"):
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


# names in a row and a column

NAMED = ",ADAL,ADAR,AVAL\nADAL,0,2,0\nADAR,0,0,3\nAVAL,7,0,1\n"


def edges_of(node: xr.DataTree) -> list[tuple[str, str, float]]:
    names = node["node_id"].values
    columns = names[node["source"].values], names[node["target"].values], node["weight"].values
    return [(str(a), str(b), float(w)) for a, b, w in zip(*columns, strict=True)]


EXPECTED = [("ADAL", "ADAR", 2), ("ADAR", "AVAL", 3), ("AVAL", "ADAL", 7), ("AVAL", "AVAL", 1)]


@pytest.mark.parametrize("text", [
    NAMED,
    NAMED.replace("\n", "\r\n"),
    NAMED.replace(",", "\t"),
    NAMED.replace(",", " ; ").replace("ADAL", "ADAL   "),
    "," + NAMED.replace("\n", "\nhead,").removesuffix("head,"),
    ",SENSORY,SENSORY,INTER\n" + NAMED,
    "," + NAMED.replace(",0", ",").replace("\n", ",\n").replace("\n", "\n,").removesuffix(","),
])  # fmt: skip
def test_named_matrices(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    assert adjacency.sniff(head(path), path)
    assert edges_of(read(path, **FACTS)["graph"]) == EXPECTED


def test_named_rows_in_another_order_are_sorted_out(tmp_path: Path) -> None:
    lines = NAMED.splitlines()
    path = write(tmp_path, "\n".join([lines[0], lines[3], lines[1], lines[2]]) + "\n")
    assert sorted(edges_of(read(path, **FACTS)["graph"])) == EXPECTED
    turned = read(path, axes="target,source", weight_units="count")["graph"]
    assert sorted((b, a, w) for a, b, w in edges_of(turned)) == EXPECTED


def test_whole_numbers_name_rows_and_columns(tmp_path: Path) -> None:
    big = 720575940621039145
    text = f",{big},{big + 1},3\n{big},0,2,0\n{big + 1},0,0,3\n3,7,0,1\n"
    path = write(tmp_path, text)
    assert adjacency.sniff(head(path), path)
    found = edges_of(read(path, **FACTS)["graph"])
    assert found[0] == (str(big), str(big + 1), 2)


@given(arrays("i8", (4, 4), elements=st.integers(-9, 9)), st.permutations(range(4)))
@settings(max_examples=40, deadline=None)
def test_any_named_matrix_equals_pandas(
    tmp_path_factory: pytest.TempPathFactory, matrix: np.ndarray, order: list[int]
) -> None:
    matrix[0, 0] = 1
    names = np.array(["A", "B", "C", "D"])
    frame = pandas.DataFrame(matrix, names, names[order])
    path = tmp_path_factory.mktemp("synthetic") / "synthetic.csv"
    frame.to_csv(path)
    node = read(path, directed=1, **FACTS)["graph"]
    expected = {(a, b): frame.loc[a, b] for a in names for b in names if frame.loc[a, b]}
    assert {(a, b): w for a, b, w in edges_of(node)} == expected


@pytest.mark.parametrize("text", [
    "name,x,y,z\nA,1,2,3\nB,4,5,6\nC,7,8,9\n",
    "onset,duration,trial_type,value\n0,1,go,4\n2,1,stop,5\n3,1,go,6\n",
    "gene,A,B,C\nrex-1,1,2,3\nrex-2,4,5,6\nrex-3,7,8,9\n",
    "a,b,c,d\nb,a,c,d\nc,d,a,b\nd,a,b,c\n",
])  # fmt: skip
def test_tables_of_measurements_are_no_matrices(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    assert not adjacency.sniff(head(path), path)


def test_a_triangle_is_undirected_only_when_declared(tmp_path: Path) -> None:
    path = write(tmp_path, "0 2 0\n0 1 3\n0 0 0\n")
    with pytest.raises(MissingFactError, match="directed=0 if edges have no direction"):
        read(path, weight_units="count")
    raw = open_raw(path)
    node = adjacency.read(raw, Declared({"directed": 0, "weight_units": "count"}))["graph"]
    assert (node.attrs["directed"], node["weight"].values.tolist()) == (0, [2, 1, 3])
    assert any("one way only" in p.found for p in raw.problems)
    lower = read(write(tmp_path, "0 0 0\n2 1 0\n0 3 0\n"), directed=0, weight_units="count")
    xr.testing.assert_identical(lower["graph"].to_dataset(), node.to_dataset())


@pytest.mark.parametrize(("text", "found"), [
    (NAMED.replace("\nAVAL", "\nADAR"), "the row 'ADAR' twice"),
    (NAMED.replace(",ADAR,AVAL", ",ADAL,AVAL"), "the column 'ADAL' twice"),
    (NAMED.replace("ADAR,0,0,3", "ADAR,0,0,nan"), "'nan'"),
    (NAMED.replace("ADAR,0,0,3", "ADAR,0,0,1e999"), "out of range"),
])  # fmt: skip
def test_damaged_named_matrices_are_refused(text: str, found: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=re.escape(found)):
        read(write(tmp_path, text), **FACTS)


def test_blank_cells_beside_zeros_are_settled(tmp_path: Path) -> None:
    path = write(tmp_path, NAMED.replace("ADAR,0,0,3", "ADAR,,0,3"))
    with pytest.raises(MissingFactError, match=re.escape("--set columns.blank=0")):
        read(path, **FACTS)
    facts = {**FACTS, "columns.blank": "0"}
    assert edges_of(read(path, **facts)["graph"]) == EXPECTED


# correlations of 100 parcels (Human Connectome Project, by way of BrainSpace)


@pytest.mark.acceptance
@pytest.mark.parametrize(("name", "edges", "negative"), [
    ("HCP_144125_maximum_schaefer_100", 5050, 855), ("HCP_149236_minimum_vosdewael_100", 5050, 0),
    ("HCP_208024_median_vosdewael_100", 5050, 93), ("HCP_246133_maximum_vosdewael_100", 5050, 651),
    ("HCP_393247_minimum_schaefer_100", 5050, 22), ("HCP_899885_median_schaefer_100", 5050, 244),
])  # fmt: skip
def test_correlations(realdata: Path, name: str, edges: int, negative: int) -> None:
    folder = realdata / "acceptance/connectome/brainspace_hcp/matrices/individual"
    raw = open_raw(folder / f"{name}.csv")
    node = adjacency.read(raw, Declared({"weight_units": "1"}))["graph"]
    matrix = np.loadtxt(folder / f"{name}.csv", delimiter=",")
    assert (matrix.shape, node.attrs["directed"]) == ((100, 100), 0)
    upper = dense(node)
    np.testing.assert_array_equal(upper + np.triu(upper, 1).T, matrix)
    assert (len(node["weight"]), int((node["weight"] < 0).sum())) == (edges, negative)


class TestNamedAdjacency(TestAdjacency):
    truncation_shows = False  # fewer rows may be cells that send nothing: a warning says so

    def make(self, folder: Path) -> Path:
        return write(folder, NAMED)
