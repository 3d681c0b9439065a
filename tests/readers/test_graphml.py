"""GraphML and GML: graphs written by networkx come back; a real skeleton; hostile XML."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import networkx
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, MissingFactError, UnreadableError, UnsafeError
from neurodata.readers import gml, graphml
from neurodata.readers.attributed import typed
from neurodata.safe import Raw, head
from tests.readers.conformance import PersonalTests

COUNT = {"weight_units": "count"}
BIG = 720575940621039145


def open_raw(path: Path) -> Raw:
    return Raw(path.parent, (path,))


def read(path: Path, facts: dict[str, Any] | None = None) -> xr.DataTree:
    reader = graphml if ".graphml" in path.name else gml
    return reader.read(open_raw(path), Declared(COUNT if facts is None else facts))


def write(folder: Path, text: str, name: str = "synthetic.graphml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def edges_of(node: xr.DataTree) -> list[tuple[str, str, float]]:
    names = node["node_id"].values
    columns = names[node["source"].values], names[node["target"].values], node["weight"].values
    return [(str(a), str(b), w) for a, b, w in zip(*columns, strict=True)]


def circuit(kind: type = networkx.DiGraph) -> Any:
    graph = kind()
    graph.add_node(str(BIG), soma=[1.5], root=BIG, transmitter="ACh", checked=True)
    graph.add_node(str(BIG + 1), soma=[2.5], root=BIG + 1, transmitter="GABA", checked=False)
    graph.add_node("isolated", soma=[0.0], root=-1, transmitter="", checked=True)
    for _, data in graph.nodes(data=True):
        data["soma"] = data["soma"][0]
    graph.add_edge(str(BIG), str(BIG + 1), weight=7, region="EB", length=1.25, mark=2**60)
    graph.add_edge(str(BIG + 1), str(BIG + 1), weight=2, region="FB", length=0.5, mark=3)
    return graph


class TestGraphml(PersonalTests):
    reader: ClassVar[ModuleType] = graphml
    nodes: ClassVar = {"graph": "graph"}
    declare = COUNT
    lazy = ()
    canary = "Zebulon Canary"

    def make(self, folder: Path) -> Path:
        graph = circuit()
        graph.graph["author"] = self.canary
        networkx.write_graphml(graph, folder / "synthetic.graphml")
        return folder / "synthetic.graphml"


class TestGml(PersonalTests):
    reader: ClassVar[ModuleType] = gml
    nodes: ClassVar = {"graph": "graph"}
    declare = COUNT
    lazy = ()
    canary = "Zebulon Canary"

    def make(self, folder: Path) -> Path:
        graph = circuit()
        graph.graph["author"] = self.canary
        text = "\n".join(networkx.generate_gml(graph))
        text = f'Creator "{self.canary}"\n# by {self.canary}\nVersion 1\n{text}\n'
        return write(folder, text, "synthetic.gml")


@pytest.mark.parametrize("form", ["graphml", "gml"])
def test_attributes_keep_their_types(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"synthetic.{form}"
    (networkx.write_graphml if form == "graphml" else networkx.write_gml)(circuit(), path)
    node = read(path)["graph"]
    assert node.attrs["directed"] == 1
    assert node["node_id"].values.tolist() == [str(BIG), str(BIG + 1), "isolated"]
    assert edges_of(node) == [(str(BIG), str(BIG + 1), 7), (str(BIG + 1), str(BIG + 1), 2)]
    exact = int if form == "graphml" else str  # networkx writes long numbers to GML as text
    assert node["root"].values.tolist() == [exact(BIG), exact(BIG + 1), exact(-1)]
    assert (node["soma"].dtype, node["soma"].values.tolist()) == (np.float64, [1.5, 2.5, 0])
    assert node["transmitter"].values.tolist() == ["ACh", "GABA", ""]
    assert node["checked"].values.tolist() == [True, False, True]
    assert node["region"].dims == ("edge",)
    assert node["mark"].values.tolist() == [exact(2**60), exact(3)]
    assert node["length"].values.tolist() == [1.25, 0.5]
    assert node["weight"].dtype == np.int64


@given(
    st.lists(
        st.tuples(st.integers(0, 7), st.integers(0, 7), st.integers(-(2**62), 2**62)),
        min_size=1, max_size=20,
    ),
    st.sampled_from([networkx.DiGraph, networkx.Graph, networkx.MultiDiGraph, networkx.MultiGraph]),
    st.sampled_from(["graphml", "gml"]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_graph_comes_back(
    tmp_path_factory: pytest.TempPathFactory, listed: Any, kind: Any, form: str
) -> None:
    graph = kind()
    graph.add_weighted_edges_from((f"n{a}", f"n{b}", w) for a, b, w in listed)
    path = tmp_path_factory.mktemp("synthetic") / f"synthetic.{form}"
    (networkx.write_graphml if form == "graphml" else networkx.write_gml)(graph, path)
    node = read(path)["graph"]
    turn = (lambda a, b: (a, b)) if graph.is_directed() else (lambda a, b: tuple(sorted((a, b))))
    expected = sorted((*turn(a, b), w) for a, b, w in graph.edges(data="weight"))
    assert sorted((*turn(a, b), int(w)) for a, b, w in edges_of(node)) == expected
    assert node.attrs["directed"] == int(graph.is_directed())


# a fly's neuron, as skeleton


@pytest.mark.acceptance
@pytest.mark.parametrize(("path", "nodes", "edges"), [
    ("fixtures/connectome/navis_hemibrain/gml/1734350788.gml", 4465, 4464),
    ("acceptance/connectome/navis_hemibrain/gml/1734350908.gml", 4845, 4844),
    ("acceptance/connectome/navis_hemibrain/gml/722817260.gml", 4336, 4335),
    ("acceptance/connectome/navis_hemibrain/gml/754534424.gml", 4702, 4701),
    ("acceptance/connectome/navis_hemibrain/gml/754538881.gml", 4890, 4888),
])  # fmt: skip
def test_hemibrain_skeletons(realdata: Path, path: str, nodes: int, edges: int) -> None:
    file = realdata / path
    with pytest.raises(MissingFactError, match="weight_units=<unit>"):
        read(file, {})
    node = read(file, {"weight_units": "a.u."})["graph"]
    assert (node.sizes["node"], node.sizes["edge"]) == (nodes, edges)
    text = file.read_text()
    pattern = r"source (\d+)\s+target (\d+)\s+weight ([\d.e+-]+)"
    listed = [(int(a), int(b), float(w)) for a, b, w in re.findall(pattern, text)]
    found = zip(*(node[key].values.tolist() for key in ("source", "target", "weight")), strict=True)
    assert list(found) == sorted(listed)
    labels = re.findall(r'id \d+\s+label "(\d+)"', text)
    assert node["node_id"].values.tolist() == labels


# columns and facts


def test_declared_weight_and_kind(tmp_path: Path) -> None:
    networkx.write_graphml(circuit(), tmp_path / "synthetic.graphml")
    facts = {"weight_units": "um", "columns.weight": "length", "columns.kind": "region"}
    node = read(tmp_path / "synthetic.graphml", facts)["graph"]
    assert node["weight"].values.tolist() == [1.25, 0.5]
    assert node["kind"].values.tolist() == ["EB", "FB"]
    assert node["edge_weight"].values.tolist() == [7, 2]
    with pytest.raises(InvalidInputError, match="one of length, mark, region, weight"):
        read(tmp_path / "synthetic.graphml", {**COUNT, "columns.weight": "size"})


GRAPH = """<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<key id="w" for="edge" attr.name="weight" attr.type="%s"><default>%s</default></key>
<key id="t" for="node" attr.name="type" attr.type="string"/>
<graph edgedefault="undirected"><desc>by me</desc>
<node id="a"><data key="t">motor</data></node><node id="b"/>%s
<edge source="b" target="a"/><edge source="a" target="a"><data key="w">5</data></edge>
%s</graph></graphml>
"""


def test_defaults_of_keys_hold_and_gaps_stay(tmp_path: Path) -> None:
    raw = open_raw(write(tmp_path, GRAPH % ("int", "3", "", "")))
    node = graphml.read(raw, Declared(COUNT))["graph"]
    assert edges_of(node) == [("a", "a", 5), ("a", "b", 3)]
    assert node["type"].values.tolist() == ["motor", ""]
    notes = [p.found for p in raw.problems]
    assert "1 of 2 lack it: empty text" in notes
    assert "facts of the whole graph, removed: desc" in notes


@pytest.mark.parametrize(("text", "error", "found"), [
    (GRAPH % ("int", "x", "", ""), UnreadableError, "no readable GraphML"),
    (GRAPH % ("double", "NaN", "", ""), UnreadableError, "'nan'"),
    (GRAPH % ("string", "three", "", ""), UnreadableError, "'three'"),
    (GRAPH % ("int", "3", '<node id="a"/>', ""), UnreadableError, "3 elements 'node' that make 2"),
    (GRAPH % ("int", "3", "", '<edge source="a" target="c"/>'), UnreadableError,
     "2 elements 'node' that make 3"),
    (GRAPH % ("int", "3", "", "<graph/>"), UnreadableError, "2 elements 'graph'"),
    (GRAPH % ("int", "3", "", "<hyperedge/>"), UnreadableError, "'hyperedge'"),
    (GRAPH % ("int", "3", "", '<edge source="a" target="b" directed="true"/>'), UnreadableError,
     "directed=true edge"),
    ("<graphml/>", UnreadableError, "0 elements 'graph'"),
    ("<!DOCTYPE graphml SYSTEM 'http://example.org/a.dtd'>" + GRAPH % ("int", "3", "", ""),
     UnsafeError, "a document type"),
    ('<!DOCTYPE a [<!ENTITY x "' + "y" * 99 + '">]>' + GRAPH % ("int", "&x;", "", ""),
     UnsafeError, "a document type"),
    (GRAPH % ("int", "3", "", "<data>" * 200 + "</data>" * 200), UnsafeError, "deep"),
])  # fmt: skip
def test_what_is_no_plain_graph_is_refused(
    text: str, error: type[Exception], found: str, tmp_path: Path
) -> None:
    path = write(tmp_path, text)
    assert graphml.sniff(head(path), path)
    with pytest.raises(error) as caught:
        read(path)
    assert found in str(caught.value)


def test_edges_without_the_weight_of_others_are_refused(tmp_path: Path) -> None:
    graph = circuit()
    graph.add_edge("isolated", str(BIG))
    networkx.write_graphml(graph, tmp_path / "synthetic.graphml")
    with pytest.raises(UnreadableError, match="1 of 3 edges without 'weight'"):
        read(tmp_path / "synthetic.graphml")


def test_packed_graphs_and_other_encodings(tmp_path: Path) -> None:
    text = GRAPH % ("int", "3", "", "")
    packed = tmp_path / "synthetic.graphml.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert graphml.sniff(head(packed), packed)
    assert len(read(packed)["graph"]["weight"]) == 2
    wide = tmp_path / "synthetic.graphml"
    wide.write_bytes(('<?xml version="1.0" encoding="utf-16"?>' + text).encode("utf-16"))
    assert graphml.sniff(head(wide), wide)
    assert len(read(wide)["graph"]["weight"]) == 2


# GML


@pytest.mark.parametrize(("text", "names"), [
    ('graph [ node [ id 1 label "A" ] node [ id 2 label "B" ] edge [ source 1 target 2 ] ]',
     ["A", "B"]),
    ('graph\n[\nnode [ id 1 label "A" ]\nnode [ id 2 label "A" ]\nedge [ source 1 target 2 ]\n]',
     ["1", "2"]),
    (f'Version 1\ngraph [ node [ id {BIG} ] node [ id 2 ] edge [ source {BIG} target 2 ] ]',
     [str(BIG), "2"]),
])  # fmt: skip
def test_names_of_gml_nodes(text: str, names: list[str], tmp_path: Path) -> None:
    path = write(tmp_path, text, "synthetic.gml")
    assert gml.sniff(head(path), path)
    node = read(path, {})["graph"]
    assert node["node_id"].values.tolist() == names
    assert node.attrs["directed"] == 0


@pytest.mark.parametrize(("text", "found"), [
    ("graph [ node [ id 1 ] node [ id 1 ] ]", "node id 1 is duplicated"),
    ("graph [ node [ id 1 ] edge [ source 1 target 3 ] ]", "undefined target 3"),
    ("graph [ node [ id 1 ] edge [ source 1 target 1 ] edge [ source 1 target 1 ] ]", "duplicated"),
    ("graph [ node [ id 1 ] edge [ source 1 target 1 weight NAN ] ]", "'nan'"),
    ("graph [ node [ id 1 ]", "no readable GML"),
    ("graph [ ]", "no nodes"),
    ("graph [ node [ id 1 ] ]\ngraph [ node [ id 1 ] ]", "more than one graph"),
    ("graph [ " + "a [ " * 5000 + "] " * 5000 + "]", "no readable GML"),
])  # fmt: skip
def test_damaged_gml_is_refused(text: str, found: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError) as caught:
        read(write(tmp_path, text, "synthetic.gml"))
    assert found in caught.value.found


@pytest.mark.parametrize(
    "text", ["graph of a function\n", "graph;4\n", "subgraph [\n", "a [ graph [\n"]
)
def test_other_texts_are_no_gml(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, text, "synthetic.gml")
    assert not gml.sniff(head(path), path)


def test_types_of_columns() -> None:
    assert typed([True, False]).dtype == bool
    assert typed([1, 2.5]).tolist() == [1.0, 2.5]
    assert typed([2**63]).tolist() == [str(2**63)]
    assert typed([2**53 + 1, 0.5]).tolist() == [str(2**53 + 1), "0.5"]
    assert typed(["a", 1, None]).tolist() == ["a", "1", ""]
    assert typed([[1], [2]]) is None
