"""Vessel graphs in the layout of a Voreen export, made here: no small real one is to be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas
import pytest
import xarray as xr

from neurodata import safe_table
from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, MissingFactError, UnreadableError
from neurodata.readers import vessel
from neurodata.safe import Raw
from tests.readers.conformance import ReaderTests

FACTS = {"voxel_um": [3, 3, 3]}
NODES = """id;pos_x;pos_y;pos_z;degree;isAtSampleBorder
0;10.5;20;30;2;0
1;11;20;30;2;0
4;12;21;30.25;2;1
2;12;21;31;0;0
"""
EDGES = """id;node1id;node2id;length;distance;curveness;volume;avgRadius;node1_degree;node2_degree
0;4;0;5.5;5;1.1;80;1.25;2;2
1;0;1;2;2;1;30.5;2;2;2
2;1;4;1.5;1.5;1;9;0.75;2;2
"""


def make(folder: Path, nodes: str = NODES, edges: str = EDGES, atlas: str = "") -> Path:
    (folder / "synthetic_nodes_processed.csv").write_text(nodes)
    (folder / "synthetic_edges_processed.csv").write_text(edges)
    if atlas:
        (folder / "synthetic_atlas_processed.csv").write_text(atlas)
    return folder / "synthetic_edges_processed.csv"


def open_raw(path: Path) -> Raw:
    return Raw(path.parent, vessel.members(path, sorted(path.parent.iterdir())))


def read(path: Path, facts: dict[str, Any] | None = None) -> xr.DataTree:
    return vessel.read(open_raw(path), Declared(FACTS if facts is None else facts))


class TestVessel(ReaderTests):
    reader = vessel
    nodes: ClassVar = {"graph": "graph"}
    declare = FACTS
    lazy = ()
    truncation_shows = False  # a table cut after a line is a table; the degrees tell

    def make(self, folder: Path) -> Path:
        return make(folder)

    def victims(self, path: Path) -> tuple[Path, ...]:
        return self.raw(path).files


def test_tables_against_pandas(tmp_path: Path) -> None:
    path = make(tmp_path, atlas="Isocortex;CA1\n1;0\n0;1\n1;0\n0;0\n")
    raw = open_raw(path)
    node = vessel.read(raw, Declared(FACTS))["graph"]
    points = pandas.read_csv(raw.files[1], sep=";")
    table = pandas.read_csv(path, sep=";")
    assert node["node_id"].values.tolist() == [str(n) for n in points["id"]]
    np.testing.assert_allclose(
        node["position"].values, points[["pos_x", "pos_y", "pos_z"]].to_numpy() * 3
    )
    assert node["position"].attrs == {"units": "um"}
    assert node["isAtSampleBorder"].values.tolist() == points["isAtSampleBorder"].tolist()
    assert node["CA1"].values.tolist() == [0, 1, 0, 0]
    ends = np.sort(table[["node1id", "node2id"]].replace({4: 2, 2: 3}).to_numpy(), axis=1)
    order = np.lexsort([ends[:, 1], ends[:, 0]])
    assert node.attrs["directed"] == 0
    np.testing.assert_array_equal(node["source"].values, ends[order, 0])
    np.testing.assert_array_equal(node["target"].values, ends[order, 1])
    for name in ("length", "distance", "curveness", "volume", "avgRadius"):
        assert node[name].values.tolist() == table[name][order].tolist(), name
    assert "node1_degree" not in node
    assert not any("degree" in p.where for p in raw.problems)


def test_units_are_declared_not_guessed(tmp_path: Path) -> None:
    path = make(tmp_path)
    with pytest.raises(MissingFactError, match="voxel_um=Z,Y,X if they are voxels"):
        read(path, {})
    facts = {"voxel_um": [4, 2, 1], "units.length": "um", "units.curveness": "1"}
    node = read(path, facts)["graph"]
    np.testing.assert_allclose(node["position"].values[0], [10.5, 40, 120])
    assert (node["length"].attrs, node["curveness"].attrs) == ({"units": "um"}, {"units": "1"})
    assert node["distance"].attrs == {}
    np.testing.assert_allclose(read(path, {"units.*": "mm"})["graph"]["position"].values[0],
                               [10500, 20000, 30000])  # fmt: skip
    with pytest.raises(InvalidInputError, match=r"units\.length"):
        read(path, {**FACTS, "units.length": "cm"})


def test_edges_that_are_not_all_there_are_told(tmp_path: Path) -> None:
    raw = open_raw(make(tmp_path, edges="\n".join(EDGES.splitlines()[:-1]) + "\n"))
    vessel.read(raw, Declared(FACTS))
    assert [p.found for p in raw.problems if p.level == "warning"] == [
        "2 of 4 nodes whose stated degree is not their edges"
    ]


@pytest.mark.parametrize(("nodes", "edges", "found"), [
    (NODES, EDGES.replace("2;1;4;", "2;1;9;"), "1 ids of no node, e.g. 9"),
    (NODES.replace("4;12", "1;12"), EDGES, "ids that repeat"),
    (NODES, EDGES.replace(";1.5;1.5;", ";1.5;"), "9 cells"),
    (NODES, EDGES.replace("80;", ";"), "''"),
    (NODES, EDGES.replace("80;", "nan;"), "nan"),
    (NODES, EDGES.replace("80;", "eighty;"), "'eighty'"),
    (NODES, EDGES.replace("80;", "inf;"), "inf"),
    (NODES, EDGES.replace("0;4;0", "0;4.5;0"), "fractions"),
    (NODES, EDGES[:-1], "a last line without its end"),
    (NODES, EDGES.splitlines()[0] + "\n", "a header alone"),
    (NODES.replace("pos_z", "depth"), EDGES, "no column pos_z"),
    ("", EDGES, "the first line ''"),
])  # fmt: skip
def test_damaged_tables_are_refused(nodes: str, edges: str, found: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError) as caught:
        read(make(tmp_path, nodes, edges))
    assert found in caught.value.found


def test_no_table_of_nodes(tmp_path: Path) -> None:
    path = make(tmp_path)
    (tmp_path / "synthetic_nodes_processed.csv").unlink()
    with pytest.raises(UnreadableError, match=r"no table of nodes synthetic_nodes_processed\.csv"):
        read(path)


def test_atlas_of_another_length(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="2 rows"):
        read(make(tmp_path, atlas="Isocortex;CA1\n1;0\n0;1\n"))


# the table's own door


def test_tables_longer_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_table, "BLOCK_BYTES", 64)
    path = tmp_path / "synthetic.csv"
    rows = [(2**62 + n, n / 3 if n > 50 else n) for n in range(100)]
    path.write_text("id;value;\r\n" + "".join(f"{a};{b!r};\r\n" for a, b in rows))
    table = safe_table.numbers(path, ";")
    assert table["id"].tolist() == [a for a, _ in rows]
    assert table["value"].tolist() == [b for _, b in rows]
    assert (table["id"].dtype, table["value"].dtype) == (np.int64, np.float64)


@pytest.mark.parametrize(("text", "found"), [
    ("a;a\n1;2\n", "the first line"),
    ("a;b\n1;2\n3;4;\n", "3 cells"),
    ("a;b\n1;2;5\n", "cells without a name"),
    ("a;b\n1;2\n\n", "1 cells"),
    ("a;b\n1;18446744073709551616\n", "18446744073709551616"),
    ("a;b\n1;18446744073709551615\n", "18446744073709551615"),
])  # fmt: skip
def test_odd_tables_are_refused(text: str, found: str, tmp_path: Path) -> None:
    path = tmp_path / "synthetic.csv"
    path.write_text(text)
    with pytest.raises(UnreadableError) as caught:
        safe_table.numbers(path, ";")
    assert found in caught.value.found
