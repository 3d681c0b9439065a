"""Spreadsheets: worm connectomes and sheets made here against openpyxl's own cells."""

from __future__ import annotations

import datetime
import io
import re
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import networkx
import numpy as np
import openpyxl
import pandas
import pytest
import xarray as xr

from neurodata import safe_xlsx
from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, MissingFactError, UnreadableError
from neurodata.readers import xlsx_table
from neurodata.safe import Raw, head
from tests.readers.conformance import PersonalTests

FACTS = {"directed": 1, "weight_units": "count"}
WORM = {
    "columns.source": "pre",
    "columns.target": "post",
    "columns.weight": "synapses",
    "weight_units": "count",
    "directed": 1,
}
COOK = (
    "acceptance/connectome/cect_data/SI 5 Connectome adjacency matrices, corrected July 2020.xlsx"
)
Rows = list[list[Any]]


def write(folder: Path, *sheets: Rows, author: str = "", name: str = "synthetic.xlsx") -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets):
        sheet = book.create_sheet(f"sheet {number}")
        for row in rows:
            sheet.append(row)
    book.properties.creator = author or None
    book.save(folder / name)
    return folder / name


def open_raw(path: Path) -> Raw:
    return Raw(path.parent, (path,))


def read(path: Path, facts: dict[str, Any] | None = None) -> xr.DataTree:
    return xlsx_table.read(open_raw(path), Declared(FACTS if facts is None else facts))


def edges_of(node: xr.DataTree) -> list[tuple[str, str, float]]:
    names = node["node_id"].values
    columns = names[node["source"].values], names[node["target"].values], node["weight"].values
    return [(str(a), str(b), float(w)) for a, b, w in zip(*columns, strict=True)]


class TestXlsx(PersonalTests):
    reader = xlsx_table
    nodes: ClassVar = {"graph": "graph"}
    declare = FACTS
    lazy = ()
    canary = "Zebulon Canary"

    def make(self, folder: Path) -> Path:
        rows: Rows = [["source", "target", "weight"], ["A", "B", 1], ["B", "A", 2], ["A", "A", 3]]
        path = write(folder, rows, author=self.canary)
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name, data in parts.items():
                archive.writestr(name, data)
        return path


# the worm (Witvliet et al. 2021, doi.org/10.1038/s41586-021-03778-8)


@pytest.mark.acceptance
@pytest.mark.parametrize(("path", "nodes", "edges", "synapses"), [
    ("fixtures/connectome/cect_data/witvliet_2020_1 L1.xlsx", 187, 858, 1400),
    ("acceptance/connectome/cect_data/witvliet_2020_2 L1.xlsx", 194, 1110, 2028),
    ("acceptance/connectome/cect_data/witvliet_2020_3 L1.xlsx", 198, 1106, 2237),
    ("acceptance/connectome/cect_data/witvliet_2020_4 L1.xlsx", 204, 1345, 3020),
    ("acceptance/connectome/cect_data/witvliet_2020_5 L2.xlsx", 211, 1807, 4535),
    ("acceptance/connectome/cect_data/witvliet_2020_6 L3.xlsx", 216, 1739, 4723),
    ("acceptance/connectome/cect_data/witvliet_2020_7 adult.xlsx", 222, 2493, 7867),
    ("fixtures/connectome/cect_data/witvliet_2020_8 adult.xlsx", 219, 2496, 8400),
])  # fmt: skip
def test_witvliet(realdata: Path, path: str, nodes: int, edges: int, synapses: int) -> None:
    raw = open_raw(realdata / path)
    node = xlsx_table.read(raw, Declared(WORM))["graph"]
    sheet = openpyxl.load_workbook(realdata / path).active
    rows = list(sheet.iter_rows(min_row=2, values_only=True))
    assert [cell.value for cell in sheet[1]] == ["pre", "post", "type", "synapses"]
    names = node["node_id"].values
    found = zip(
        names[node["source"].values], names[node["target"].values], node["kind"].values,
        node["weight"].values.tolist(), strict=True,
    )  # fmt: skip
    assert sorted(found) == sorted(rows)
    assert (len(names), len(rows), sum(row[3] for row in rows)) == (nodes, edges, synapses)
    assert node["weight"].dtype == np.int64


@pytest.mark.acceptance
def test_gap_junctions_listed_one_way_are_never_doubled(realdata: Path) -> None:
    path = realdata / "fixtures/connectome/cect_data/witvliet_2020_1 L1.xlsx"
    raw = open_raw(path)
    xlsx_table.read(raw, Declared(WORM))
    notes = [p.found for p in raw.problems if "listed" in p.found]
    assert notes == ["'electrical': 81 edges listed one way only"]
    declared = Declared({**WORM, "columns.undirected": "electrical"})
    tree = xlsx_table.read(open_raw(path), declared)
    assert declared.unused() == []
    table = pandas.read_excel(path)
    both = {"chemical": tree["graph"], "electrical": tree["graph_undirected"]}
    assert [both[kind].attrs["directed"] for kind in both] == [1, 0]
    for kind, node in both.items():
        rows = table[table["type"] == kind]
        assert len(node["weight"]) == len(rows)
        assert int(node["weight"].sum()) == rows["synapses"].sum()
    assert (tree["graph"]["node_id"] == tree["graph_undirected"]["node_id"]).all()
    gap = tree["graph_undirected"]
    assert (gap["source"].values <= gap["target"].values).all()


# both sexes of the worm (Cook et al. 2019, doi.org/10.1038/s41586-019-1352-7)


@pytest.fixture(scope="module")
def cook(realdata: Path) -> safe_xlsx.Workbook:
    return safe_xlsx.open_xlsx(realdata / COOK)


@pytest.fixture(scope="module")
def cook_pages(realdata: Path) -> Any:
    return openpyxl.load_workbook(realdata / COOK, read_only=True)


@pytest.fixture
def checked_once(cook: safe_xlsx.Workbook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the 32 MB of the workbook once, not once a test."""
    monkeypatch.setattr(safe_xlsx, "open_xlsx", lambda path: cook)


@pytest.mark.acceptance
@pytest.mark.usefixtures("checked_once")
def test_several_sheets_are_named(realdata: Path) -> None:
    with pytest.raises(MissingFactError) as refusal:
        read(realdata / COOK, {})
    assert "'male gap jn symmetric'" in refusal.value.found
    assert refusal.value.hint == "declare it: --set 'columns.sheet=hermaphrodite chemical'"


def cook_cells(pages: Any, sheet: str) -> tuple[list[str], list[str], dict[tuple[str, str], int]]:
    """Row names, column names and numbers of a sheet, cell by cell by openpyxl."""
    grid = [list(row) for row in pages[sheet].iter_rows(values_only=True)]
    columns = {n: str(name).strip() for n, name in enumerate(grid[2]) if name and n > 2}
    rows = {n: str(row[2]).strip() for n, row in enumerate(grid) if n > 2 and row[2]}
    cells = {(rows[i], columns[j]): grid[i][j] for i in rows for j in columns if grid[i][j]}
    return list(rows.values()), list(columns.values()), cells


@pytest.mark.acceptance
@pytest.mark.usefixtures("checked_once")
def test_rectangular_matrix(realdata: Path, cook_pages: Any) -> None:
    raw, sheet = open_raw(realdata / COOK), "male chemical"
    facts = {"columns.sheet": sheet, "axes": "source,target", "weight_units": "count"}
    node = xlsx_table.read(raw, Declared(facts))["graph"]
    row_names, column_names, cells = cook_cells(cook_pages, sheet)
    assert (len(row_names), len(column_names)) == (382, 575)
    assert {(a, b): w for a, b, w in edges_of(node)} == cells
    assert (len(node["weight"]), int(node["weight"].sum())) == (5306, 45959)
    assert node["node_id"].values.tolist() == list(dict.fromkeys(row_names + column_names))
    assert node.attrs["directed"] == 1
    assert any("of columns alone" in p.found for p in raw.problems)


@pytest.mark.acceptance
@pytest.mark.usefixtures("checked_once")
def test_square_gap_matrix(realdata: Path, cook_pages: Any) -> None:
    sheet = "hermaphrodite gap jn symmetric"
    facts = {"columns.sheet": sheet, "weight_units": "count"}
    node = read(realdata / COOK, facts)["graph"]
    names, _, cells = cook_cells(cook_pages, sheet)
    assert node.attrs["directed"] == 0
    graph = networkx.Graph()
    graph.add_nodes_from(names)
    graph.add_weighted_edges_from((a, b, w) for (a, b), w in cells.items())
    assert len(node["weight"]) == graph.number_of_edges() == 1450
    assert int(node["weight"].sum()) == graph.size("weight") == 11680
    assert len(names) == 469
    other = {**facts, "columns.sheet": sheet.replace("symmetric", "asymmetric"), "directed": 0}
    raw = open_raw(realdata / COOK)
    one_way = xlsx_table.read(raw, Declared(other))["graph"]
    xr.testing.assert_identical(one_way.to_dataset(), node.to_dataset())
    assert any("one way only" in p.found for p in raw.problems)


# sheets made here


def test_names_in_other_rows_and_columns(tmp_path: Path) -> None:
    rows: Rows = [
        [None, None, None, "SENSORY", None, "MOTOR", None],
        [None, None, None, 1, None, 2, None],
        [None, None, None, " A ", "B", "C", None],
        ["SENSORY", None, "A", None, 3, None, "A"],
        [None, None, "B  ", None, None, 4, "B"],
        [None, None, None, "A", "B", "C", None],
    ]
    rows.insert(5, ["MOTOR", None, "C", 5, None, None, "C"])
    raw = open_raw(write(tmp_path, rows))
    facts = {"axes": "source,target", "weight_units": "count"}
    node = xlsx_table.read(raw, Declared(facts))["graph"]
    assert edges_of(node) == [("A", "B", 3), ("B", "C", 4), ("C", "A", 5)]
    found = [p.found for p in raw.problems if "left out" in p.found]
    assert found == ["2 rows above the names and 2 columns before them, left out"]


def test_totals_without_a_name_are_left_out_and_told(tmp_path: Path) -> None:
    rows: Rows = [["", "A", "B", "C"], ["A", 0, 2, 1], ["B", 0, 0, 5], ["C", 1, 0, 0],
                  ["", 1, 2, 6]]  # fmt: skip
    raw = open_raw(write(tmp_path, rows))
    facts = {"axes": "source,target", "weight_units": "count"}
    node = xlsx_table.read(raw, Declared(facts))["graph"]
    assert int(node["weight"].sum()) == 9
    assert any("3 numbers in rows or columns without a name" in p.found for p in raw.problems)


def test_blank_cells_beside_zeros_are_settled(tmp_path: Path) -> None:
    rows: Rows = [["", "A", "B", "C"], ["A", 0, 2, None], ["B", 2, 0, 5], ["C", None, 5, 0]]
    path = write(tmp_path, rows)
    with pytest.raises(MissingFactError, match=re.escape("--set columns.blank=0")):
        read(path, {"weight_units": "count"})
    node = read(path, {"weight_units": "count", "columns.blank": "0"})["graph"]
    assert (node.attrs["directed"], edges_of(node)) == (0, [("A", "B", 2), ("B", "C", 5)])
    with pytest.raises(InvalidInputError, match=re.escape("columns.blank")):
        read(path, {"weight_units": "count", "columns.blank": "nan"})


def test_a_triangle_is_undirected_when_declared(tmp_path: Path) -> None:
    rows: Rows = [["", "A", "B", "C"], ["A", None, 2, 1], ["B", None, None, 5], ["C"]]
    path = write(tmp_path, rows)
    with pytest.raises(MissingFactError, match="directed=0 if edges have no direction"):
        read(path, {"weight_units": "count"})
    raw = open_raw(path)
    node = xlsx_table.read(raw, Declared({"weight_units": "count", "directed": 0}))["graph"]
    assert edges_of(node) == [("A", "B", 2), ("A", "C", 1), ("B", "C", 5)]
    assert any("one way only" in p.found for p in raw.problems)


def test_no_names_in_common_needs_axes(tmp_path: Path) -> None:
    rows: Rows = [["", "x", "y", "z"], ["A", 1, 2, 3], ["B", 4, 5, 6], ["C", 7, 8, 9]]
    path = write(tmp_path, rows)
    with pytest.raises(MissingFactError, match=re.escape("columns.source")):
        read(path, {"weight_units": "count"})
    node = read(path, {"weight_units": "count", "axes": "target,source"})["graph"]
    assert node["node_id"].values.tolist() == ["A", "B", "C", "x", "y", "z"]
    assert edges_of(node)[0] == ("x", "A", 1)


def test_a_square_of_numbers_alone(tmp_path: Path) -> None:
    path = write(tmp_path, [[0, 1, 2], [1, 0, -3.5], [2, -3.5, 0]])
    node = read(path, {"weight_units": "1"})["graph"]
    assert edges_of(node) == [("0", "1", 1), ("0", "2", 2), ("1", "2", -3.5)]


BIG = 720575940621039145


@pytest.mark.parametrize("cell", [BIG, float(BIG), 2**53 + 1, 1e16])
def test_ids_that_a_float_rounds_are_refused(cell: float, tmp_path: Path) -> None:
    path = write(tmp_path, [["source", "target", "weight"], [cell, 1, 2], [1, cell, 2]])
    with pytest.raises(UnreadableError, match="in a spreadsheet as text"):
        read(path)
    path = write(tmp_path, [["source", "target", "weight"], [cell, "A", 2], ["A", cell, 2]])
    with pytest.raises(UnreadableError, match="store it as text"):
        read(path)


def test_ids_as_text_or_within_reach_are_exact(tmp_path: Path) -> None:
    rows: Rows = [["source", "target", "weight"],
                  [str(BIG), str(BIG + 1), 2], [2**53 - 1, 3.0, 4]]  # fmt: skip
    node = read(write(tmp_path, rows))["graph"]
    assert node["node_id"].values.tolist() == ["3", str(2**53 - 1), str(BIG), str(BIG + 1)]


@pytest.mark.parametrize(("cell", "error"), [
    (datetime.datetime(2020, 9, 2), "'#DATE 2020-09-02"), ("#N/A", "'#N/A'"),
])  # fmt: skip
def test_names_that_a_spreadsheet_made_of_others(cell: Any, error: str, tmp_path: Path) -> None:
    path = write(tmp_path, [["source", "target", "weight"], [cell, "A", 2], ["A", "B", 2]])
    with pytest.raises(UnreadableError, match=re.escape(error)):
        read(path)


@pytest.mark.parametrize(("rows", "found"), [
    ([["source", "target", "weight"], ["A", "B", None]], "''"),
    ([["source", "target", "weight"], ["A", "B", "#DIV/0!"]], "'#DIV/0!'"),
    ([["source", "target", "weight"], ["A", None, 1]], "an edge without a node"),
    ([["source", "target", "weight"]], "a header alone"),
    ([["Table S1"], ["source", "target", "weight"], ["A", "B", 1]], "the first row"),
    ([], "no cells in any sheet"),
    ([["", "A", "A", "B"], ["A", 1, 2, 3], ["B", 1, 2, 3], ["C", 1, 2, 3]], "column 'A' twice"),
])  # fmt: skip
def test_sheets_that_hold_no_graph_are_refused(rows: Rows, found: str, tmp_path: Path) -> None:
    facts = {**FACTS, "axes": "source,target"}
    with pytest.raises(UnreadableError) as caught:
        read(write(tmp_path, rows), facts)
    assert found in caught.value.found


def test_blank_rows_and_empty_sheets_do_not_matter(tmp_path: Path) -> None:
    rows: Rows = [[None], ["source", "target", "weight"], ["A", "B", 1], [None], ["B", "C", 2]]
    path = write(tmp_path, [], rows, [])
    assert edges_of(read(path)["graph"]) == [("A", "B", 1), ("B", "C", 2)]


def test_sheets_that_are_not_there(tmp_path: Path) -> None:
    rows: Rows = [["source", "target", "weight"], ["A", "B", 1]]
    path = write(tmp_path, rows, [["Table S1"]])
    with pytest.raises(MissingFactError, match=re.escape("--set 'columns.sheet=sheet 0'")):
        read(path)
    with pytest.raises(InvalidInputError, match="one of sheet 0, sheet 1"):
        read(path, {**FACTS, "columns.sheet": "sheet"})
    with pytest.raises(UnreadableError, match="the first row"):
        read(path, {**FACTS, "columns.sheet": "sheet 1"})
    assert edges_of(read(path, {**FACTS, "columns.sheet": "sheet 0"})["graph"]) == [("A", "B", 1)]


def test_other_archives_are_left_alone(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.savez(stream, numbers=np.arange(4))
    path = tmp_path / "synthetic.npz"
    path.write_bytes(stream.getvalue())
    assert not xlsx_table.sniff(head(path), path)
