"""Edge lists: ids, weights, direction and node tables against networkx and pandas."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import networkx
import numpy as np
import pandas
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodata.declare import Declared, parse
from neurodata.errors import InvalidInputError, MissingFactError, UnreadableError
from neurodata.readers import adjacency, edgelist
from neurodata.safe import Raw, head
from tests.readers.conformance import ReaderTests

FACTS = {"directed": 1, "weight_units": "count"}
MICE = {"directed": 0, "weight_units": "count"}
ATLAS = {
    **MICE,
    "columns.node": "#row*2",
    "columns.first": "i",
    "columns.after": "j",
}


def open_raw(path: Path, root: Path | None = None) -> Raw:
    root = root or path.parent
    return Raw(root, edgelist.members(path, sorted(p for p in root.rglob("*") if p.is_file())))


def read(path: Path, facts: dict[str, Any] | None = None) -> xr.DataTree:
    return edgelist.read(open_raw(path), Declared(FACTS if facts is None else facts))


def write(folder: Path, text: str, name: str = "synthetic.edgelist") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def edges_of(node: xr.DataTree) -> list[tuple[str, str, float]]:
    names = node["node_id"].values
    columns = names[node["source"].values], names[node["target"].values], node["weight"].values
    return [(str(a), str(b), float(w)) for a, b, w in zip(*columns, strict=True)]


class TestEdgelist(ReaderTests):
    reader = edgelist
    nodes: ClassVar = {"graph": "graph"}
    declare = FACTS
    accepts = ("edgelist",)
    lazy = ()
    truncation_shows = False

    def make(self, folder: Path) -> Path:
        return write(folder, "0 1 3735.0\n0 2 1060.0\n1 2 4\n2 0 1\n")


# whole-brain tractography of mice (Wang et al. 2020, doi.org/10.1016/j.neuroimage.2020.117274)


@pytest.mark.parametrize(("subject", "edges", "total"), [
    ("54776", 36390, 37183361), ("54777", 32737, 31115269),
])  # fmt: skip
def test_mouse_graphs_equal_networkx(samples: Path, subject: str, edges: int, total: int) -> None:
    root = samples / "mouse_tractography"
    path = root / "edgelists" / f"sub-{subject}_ses-1_dti.edgelist"
    tree = edgelist.read(open_raw(path, root), Declared(MICE))
    expected = {"subject": subject, "session": "1", "sex": "M", "modality": "connectome"}
    assert tree.attrs == expected
    node = tree["graph"]
    assert dict(node.sizes) == {"edge": edges, "node": 332, "split": 333}
    assert (node.attrs["directed"], node.attrs["weight_units"]) == (0, "count")
    assert node["weight"].dtype == np.float64
    assert float(node["weight"].sum()) == total
    assert (node["source"].values <= node["target"].values).all()
    graph = networkx.read_weighted_edgelist(path, nodetype=int)
    matrix = np.zeros((332, 332))
    matrix[node["source"].values, node["target"].values] = node["weight"].values
    expected_matrix = networkx.to_numpy_array(graph, nodelist=range(332))
    np.testing.assert_array_equal(matrix + np.triu(matrix, 1).T, expected_matrix)


@pytest.mark.acceptance
def test_mouse_nodes_are_the_atlas_twice(realdata: Path) -> None:
    root = realdata / "fixtures/connectome/graspologic/mice"
    path = root / "edgelists" / "sub-54776_ses-1_dti.edgelist"
    raw = open_raw(path, root)
    assert {p.name for p in raw.files[1:]} == {"atlas.csv", "blocks.csv", "participants.csv"}
    declared = Declared(ATLAS)
    node = edgelist.read(raw, declared)["graph"]
    assert declared.unused() == []
    atlas = pandas.read_csv(root / "atlas.csv")
    assert node["Structure"].values.tolist() == atlas["Structure"].tolist() * 2
    assert node["ROI"].values.tolist() == atlas["ROI"].tolist() * 2
    assert node["hemisphere"].values.tolist() == ["L"] * 166 + ["R"] * 166
    # two files that do not know of each other agree, so rows and nodes are matched rightly
    assert node["block"].values.tolist() == node["Macrostructure"].values.tolist()
    removed = [p.found for p in raw.problems if "participants.csv" in p.where]
    assert removed == ["columns not on the allow-list, removed: genotype"]


def test_missing_facts_are_named_at_once(samples: Path) -> None:
    path = samples / "mouse_tractography/edgelists/sub-54776_ses-1_dti.edgelist"
    with pytest.raises(MissingFactError, match=r"directed=0\|1. --set .weight_units=<unit>"):
        read(path, {})


# the worm


@pytest.mark.acceptance
def test_worm_lists(realdata: Path) -> None:
    folder = realdata / "fixtures/connectome/cect_data"
    cook = folder / "herm_full_edgelist.csv"
    node = edgelist.read(Raw(folder, (cook,)), Declared(FACTS))["graph"]
    table = pandas.read_csv(cook, skipinitialspace=True)
    table.columns = table.columns.str.strip()
    assert float(node["weight"].sum()) == table["Weight"].sum()
    names = {*table["Source"].str.strip(), *table["Target"].str.strip()}
    assert node["node_id"].values.tolist() == sorted(names)
    assert set(node["kind"].values) == set(table["Type"].str.strip())
    assert (node.sizes["node"], node.sizes["edge"], int(node["weight"].sum())) == (448, 7379, 39702)

    white = folder / "white_1986_jsh.csv"
    flags = "--set columns.source=pre --set columns.target=post --set columns.weight=synapses"
    with pytest.raises(MissingFactError, match=re.escape(flags)):
        edgelist.read(Raw(folder, (white,)), Declared(FACTS))
    named = {"columns.source": "pre", "columns.target": "post", "columns.weight": "synapses"}
    node = edgelist.read(Raw(folder, (white,)), Declared({**FACTS, **named}))["graph"]
    rows = [line.split() for line in white.read_text().splitlines()[1:]]
    assert len(node["weight"]) == len(rows)
    assert int(node["weight"].sum()) == sum(int(row[3]) for row in rows)
    assert (node.sizes["node"], node.sizes["edge"], int(node["weight"].sum())) == (215, 1769, 5103)
    assert ("ADAL", "ADFL", 2) in edges_of(node)


# ids


def test_ids_of_64_bits_are_exact(tmp_path: Path) -> None:
    big = 720575940621039145
    path = write(tmp_path, f"{big} {big + 1} 3\n{big + 1} 12 4\n")
    node = read(path)["graph"]
    assert node["node_id"].values.tolist() == ["12", str(big), str(big + 1)]


@given(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=6, unique=True))
@settings(max_examples=40, deadline=None)
def test_any_whole_ids_come_back(tmp_path_factory: pytest.TempPathFactory, ids: list[int]) -> None:
    pairs = list(pairwise(ids))
    path = tmp_path_factory.mktemp("synthetic") / "synthetic.edgelist"
    path.write_text("".join(f"{a} {b} {i + 1}\n" for i, (a, b) in enumerate(pairs)))
    node = read(path)["graph"]
    assert node["node_id"].values.tolist() == [str(n) for n in sorted(ids)]
    expected = {(str(a), str(b), i + 1.0) for i, (a, b) in enumerate(pairs)}
    assert set(edges_of(node)) == expected


def test_whole_ids_written_as_floats(tmp_path: Path) -> None:
    path = write(tmp_path, "0.0 1.0 2\n1.0 2.0 3\n1e1 2.0 4\n")
    assert edges_of(read(path)["graph"]) == [("0", "1", 2), ("1", "2", 3), ("10", "2", 4)]


@pytest.mark.parametrize("cell", ["7.20575940621039145e17", "1.5", "1e300"])
def test_rounded_ids_are_refused(cell: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=re.escape(cell)):
        read(write(tmp_path, f"{cell} 1 3\n1 2 3\n"))


def test_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    rows = [f"{a},{b},{a * b + 1}" for a in range(5) for b in range(5) if a != b] + ["3,4,2"]
    first = read(write(tmp_path, "source,target,weight\n" + "\n".join(rows) + "\n"))["graph"]
    random.Random(1).shuffle(rows)
    second = read(write(tmp_path, "source,target,weight\n" + "\n".join(rows) + "\n"))["graph"]
    xr.testing.assert_identical(first.to_dataset(), second.to_dataset())
    assert first["row_splits"].values.tolist() == [0, 4, 8, 12, 17, 21]


# columns and direction


def test_header_and_kinds(tmp_path: Path) -> None:
    text = "Source, Target, Weight, Type\nADAL ,ADAR  ,2,gap\nADAL, ADAR,3,chemical\n"
    raw = open_raw(write(tmp_path, text, "synthetic.csv"))
    node = edgelist.read(raw, Declared(FACTS))["graph"]
    assert node["kind"].values.tolist() == ["chemical", "gap"]
    assert node["weight"].values.tolist() == [3, 2]
    assert not any("parallel" in p.found for p in raw.problems)


def test_no_weight_column_means_no_weights(tmp_path: Path) -> None:
    node = read(write(tmp_path, "1 2\n1 3\n2 3\n"), {"directed": 1})["graph"]
    assert "weight" not in node
    assert dict(node.sizes) == {"edge": 3, "node": 3, "split": 4}


def test_declared_column_that_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path, "pre,post,n\na,b,1\n")
    with pytest.raises(InvalidInputError, match="'presyn'"):
        read(path, {**FACTS, "columns.source": "presyn"})


def test_edges_listed_both_ways_are_undirected(tmp_path: Path) -> None:
    path = write(tmp_path, "1 2 5\n2 1 5\n2 3 4\n3 2 4\n3 3 1\n")
    raw = open_raw(path)
    node = edgelist.read(raw, Declared({"weight_units": "count"}))["graph"]
    assert node.attrs["directed"] == 0
    assert edges_of(node) == [("1", "2", 5), ("2", "3", 4), ("3", "3", 1)]
    assert any("stored once" in p.hint for p in raw.problems)
    assert len(read(path)["graph"]["weight"]) == 5


def test_some_edges_listed_both_ways_are_warned_about(tmp_path: Path) -> None:
    raw = open_raw(write(tmp_path, "1 2 5\n2 1 5\n2 3 4\n"))
    edgelist.read(raw, Declared({"directed": 0, "weight_units": "count"}))
    assert any(p.level == "warning" and "2 of 3 listed both ways" in p.found for p in raw.problems)


def test_findings(tmp_path: Path) -> None:
    raw = open_raw(write(tmp_path, "1 1 5\n1 2 -3\n1 2 4"))
    node = edgelist.read(raw, Declared(FACTS))["graph"]
    assert len(node["weight"]) == 3
    levels = {(p.level, p.found.split(",")[0]) for p in raw.problems}
    assert levels >= {
        ("note", "no line end"),
        ("note", "1 from a node to itself"),
        ("warning", "1 that repeat an earlier source and target"),
        ("note", "1 of negative weight"),
    }


@pytest.mark.parametrize(("text", "where", "found"), [
    ("1 2 3\n1 3\n", "line 2", "2 cells"),
    ("1 2 3\n1 3 nan\n", "weights, value 2", "'nan'"),
    ("1 2 3\n1 3 inf\n", "weights, value 2", "'inf'"),
    ("1,2,3\n1,,4\n", "", "an edge without a node"),
    ("source target weight\n", "", "a header alone"),
    ("1\n2\n", "", "1 cell a row"),
    ("1 2 3 4\n1 3 4 5\n", "", "4 columns without a header"),
])  # fmt: skip
def test_damaged_lists_are_refused(text: str, where: str, found: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError) as caught:
        read(write(tmp_path, text))
    assert where in caught.value.where
    assert found in caught.value.found


# node tables


def test_node_table_by_column(tmp_path: Path) -> None:
    write(tmp_path, "name,type,x\nB,inter,1\nA,motor,2.5\nC,motor,3\n", "nodes.csv")
    path = write(tmp_path, "A B 1\nB A 2\nA A 3\n")
    node = read(path, {**FACTS, "columns.node": "name"})["graph"]
    assert node["node_id"].values.tolist() == ["B", "A", "C"]
    assert node["type"].values.tolist() == ["inter", "motor", "motor"]
    assert node["x"].values.tolist() == [1.0, 2.5, 3.0]
    assert edges_of(node) == [("B", "A", 2), ("A", "B", 1), ("A", "A", 3)]
    assert node["row_splits"].values.tolist() == [0, 1, 3, 3]


@pytest.mark.parametrize(("facts", "error", "message"), [
    ({"columns.node": "nobody"}, InvalidInputError, "tables that fit: none"),
    ({"columns.node": "#row"}, InvalidInputError, "nodes.csv, other.csv"),
    ({"columns.node": "other.csv#row"}, UnreadableError, "that the node table lacks, e.g. 2"),
    ({"columns.node": "type"}, UnreadableError, "repeat"),
    ({"columns.node": "nodes.csv#row", "columns.first": "a", "columns.after": "b"},
     UnreadableError, "cover 0 to 3 once"),
])  # fmt: skip
def test_node_tables_that_do_not_fit_are_refused(
    facts: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    write(tmp_path, "name,type\nB,inter\nA,motor\nC,motor\n", "nodes.csv")
    write(tmp_path, "name,colour\nB,red\nA,blue\n", "other.csv")
    write(tmp_path, "run,a,b\nL,0,1\nR,2,3\n", "runs.csv")
    with pytest.raises(error, match=message):
        read(write(tmp_path, "0 1 1\n0 2 2\n"), {**FACTS, **facts})


@pytest.mark.parametrize("name", [
    "mouse_tractography/participants.csv", "mushroom_body/left_cell_labels.csv",
    "mushroom_body/left_adjacency.csv", "gripforce_ieeg/participants.tsv",
])  # fmt: skip
def test_other_tables_are_left_alone(samples: Path, name: str) -> None:
    path = samples / name
    assert not edgelist.sniff(head(path), path)


@pytest.mark.parametrize("text", [
    "0 0.5 1.25\n1 0.25 2.5\n", "0 12\n1 13\n2 15\n", "onset duration weight\n0 10 1\n20 10 1\n",
    "0 10 1\n20 10 1\n40 10 1\n", "x y z\n1 2 3\n1 2 4\n",
])  # fmt: skip
def test_other_numbers_are_left_alone(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, text, "numbers.txt")
    assert not edgelist.sniff(head(path), path)


@pytest.mark.acceptance
@pytest.mark.parametrize("name", ["atlas.csv", "blocks.csv"])
def test_node_tables_are_no_graphs(realdata: Path, name: str) -> None:
    path = realdata / "fixtures/connectome/graspologic/mice" / name
    assert not edgelist.sniff(head(path), path)
    assert not adjacency.sniff(head(path), path)


# headers of other names

SYNAPSES = "u,v,synapses\nAVAL,AVAR,3\nAVAL,AVBL,2\nAVAR,AVAL,1\nAVBL,AVAR,9\n"


def test_rows_tell_a_list_whose_header_has_other_names(tmp_path: Path) -> None:
    path = write(tmp_path, SYNAPSES, "synthetic.csv")
    assert edgelist.sniff(head(path), path)
    with pytest.raises(MissingFactError) as refusal:
        read(path, {})
    flags = refusal.value.hint.removeprefix("declare it: --set ").split(" --set ")
    assert flags == [
        "columns.source=u", "columns.target=v", "columns.weight=synapses", "'directed=0|1'",
        "'weight_units=<unit>'",
    ]  # fmt: skip
    node = read(path, parse([*flags[:3], "directed=1", "weight_units=count"]))["graph"]
    assert edges_of(node) == [
        ("AVAL", "AVAR", 3), ("AVAL", "AVBL", 2), ("AVAR", "AVAL", 1), ("AVBL", "AVAR", 9),
    ]  # fmt: skip


def test_a_long_list_of_other_names_is_seen_as_a_whole(tmp_path: Path) -> None:
    rows = [f"{a},{b},{a + b}" for a in range(40) for b in range(40) if a != b]
    path = write(tmp_path, "\n".join(["a,b,n", *rows]), "synthetic.csv")
    assert edgelist.sniff(head(path), path)
    path.write_text("\n".join(["a,b,n", *rows, rows[0]]))  # a row that comes twice: no list
    assert not edgelist.sniff(head(path), path)


@pytest.mark.parametrize("text", [
    "subject,visit,score\n1,1,20\n1,2,31\n2,1,18\n2,2,25\n3,1,9\n3,2,9\n4,1,8\n4,2,5\n",
    "onset,duration,value\n0,10,1\n10,0,2\n10,10,3\n",
    "x,y,intensity\n0,1,5\n0,2,7\n1,0,3\n2,0,4\n",
    "region,parent,volume\nisocortex,cortex,5\ncortex,brain,7\nCA1,cortex,2\n",
    "answer,correct,seconds\nyes,no,0.5\nyes,no,0.7\nno,yes,0.6\nno,no,0.4\n",
    "unit,depth,rate\n1,800,5.5\n1,820,3.5\n2,900,7.0\n",
    "u,v,comment\nA,B,strong\nA,C,weak\nB,A,weak\n",
])  # fmt: skip
def test_other_tables_are_no_edge_lists(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text, "synthetic.csv")
    assert not edgelist.sniff(head(path), path)


def test_columns_that_nothing_reads_are_listed(tmp_path: Path) -> None:
    raw = open_raw(write(tmp_path, "source,target,remark\nA,B,seen\nA,C,doubtful\n"))
    node = edgelist.read(raw, Declared({"directed": 1}))["graph"]
    assert "weight" not in node
    assert [p.found for p in raw.problems if "left out" in p.found] == ["left out: remark"]


# kinds without direction

GAPS = "source,target,weight,type\nA,B,2,chemical\nB,A,1,chemical\nB,A,3,gap\nC,B,4,gap\n"


def test_kinds_without_direction_are_declared(tmp_path: Path) -> None:
    path = write(tmp_path, GAPS, "synthetic.csv")
    raw = open_raw(path)
    whole = edgelist.read(raw, Declared(FACTS))["graph"]
    assert edges_of(whole) == [("A", "B", 2), ("B", "A", 1), ("B", "A", 3), ("C", "B", 4)]
    hints = [p.hint for p in raw.problems if "listed one way only" in p.found]
    assert hints == ["if it has no direction: --set columns.undirected=gap"]
    tree = read(path, {**FACTS, "columns.undirected": "gap"})
    assert edges_of(tree["graph"]) == [("A", "B", 2), ("B", "A", 1)]
    assert edges_of(tree["graph_undirected"]) == [("A", "B", 3), ("B", "C", 4)]
    assert [child.attrs["directed"] for child in tree.children.values()] == [1, 0]


@pytest.mark.parametrize("kinds", ["electrical", "gap,chemical", "gap,electrical"])
def test_kinds_that_are_not_there(kinds: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="some, not all, of the kinds chemical, gap"):
        read(write(tmp_path, GAPS, "synthetic.csv"), {**FACTS, "columns.undirected": kinds})


@pytest.mark.acceptance
def test_gap_junctions_of_two_weights_are_kept_and_told(realdata: Path) -> None:
    """Cook's table has each gap junction twice, 32 of them with another weight the other way."""
    folder = realdata / "fixtures/connectome/cect_data"
    facts = {**FACTS, "columns.undirected": "electrical"}
    raw = Raw(folder, (folder / "herm_full_edgelist.csv",))
    tree = edgelist.read(raw, Declared(facts))
    table = pandas.read_csv(folder / "herm_full_edgelist.csv", skipinitialspace=True)
    gap = table[table["Type"].str.strip() == "electrical"]
    assert tree["graph_undirected"].sizes["edge"] == len(gap)
    told = [p.found for p in raw.problems if p.level == "warning"]
    assert told == ["2652 of 2684 listed both ways, the others once"]
    assert tree["graph"].sizes["edge"] == len(table) - len(gap)
    pharynx = Raw(folder, (folder / "cne24932-sup-0004-supinfo4.csv",))
    tree = edgelist.read(pharynx, Declared({**FACTS, "columns.undirected": "Electrical"}))
    rows = [line.split(",") for line in pharynx.main.read_text().split()[1:]]
    assert (len(rows), tree["graph"].sizes["node"]) == (362, 61)
    for name, kind in (("graph", "Chemical"), ("graph_undirected", "Electrical")):
        weights = [float(row[2]) for row in rows if row[3] == kind]
        assert (tree[name].sizes["edge"], float(tree[name]["weight"].sum())) == (
            len(weights), sum(weights),
        )  # fmt: skip


# layouts of other tables


def test_a_header_spaced_otherwise_than_its_rows(tmp_path: Path) -> None:
    text = "pre post type synapses\r\nADAL\tADAR\tgap\t2\r\nADAR\tAVAL\tchemical\t1\r\n"
    path = write(tmp_path, text, "synthetic.csv")
    assert edgelist.sniff(head(path), path)
    named = {"columns.source": "pre", "columns.target": "post", "columns.weight": "synapses"}
    node = read(path, {**FACTS, **named})["graph"]
    assert edges_of(node) == [("ADAL", "ADAR", 2), ("ADAR", "AVAL", 1)]
    assert node["kind"].values.tolist() == ["gap", "chemical"]


def test_a_table_of_connections_with_root_ids(tmp_path: Path) -> None:
    first = 720575940596125868
    rows = [f"{first + n},{first + n + 1},LOP_R,{5 + n},ACH" for n in range(3)]
    header = "pre_root_id,post_root_id,neuropil,syn_count,nt_type"
    path = write(tmp_path, "\n".join([header, *rows]) + "\n", "synthetic.csv")
    assert edgelist.sniff(head(path), path)
    flags = [
        "columns.source=pre_root_id", "columns.target=post_root_id", "columns.weight=syn_count",
    ]  # fmt: skip
    with pytest.raises(MissingFactError) as refusal:
        read(path)
    assert refusal.value.hint == "declare it: --set " + " --set ".join(flags)
    node = read(path, {**FACTS, **parse([*flags, "columns.kind=neuropil"])})["graph"]
    assert node["node_id"].values.tolist() == [str(first + n) for n in range(4)]
    assert edges_of(node)[2] == (str(first + 2), str(first + 3), 7)


@pytest.mark.acceptance
@pytest.mark.parametrize("name", ["fixtures/connectome/navis_hemibrain/synapses/1734350788.csv"])
def test_tables_of_synapse_places_are_no_edge_list(realdata: Path, name: str) -> None:
    path = realdata / name
    assert not edgelist.sniff(head(path), path)
    assert not adjacency.sniff(head(path), path)
