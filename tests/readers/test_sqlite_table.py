"""SQLite tables: synthetic edges, traces and spikes; files that try to do more than hold tables."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neurodata import safe_sqlite
from neurodata.declare import Declared
from neurodata.errors import (
    InvalidInputError,
    MissingFactError,
    NeurodataError,
    UnreadableError,
    UnsafeError,
)
from neurodata.readers import edgelist, sqlite_table, traces
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests

CANARY = "Zdenka Canary"
ROOT = 720575940600000000
EDGES = [(ROOT + 3 * n % 17, ROOT + 7 * n % 19, 1 + n % 5) for n in range(120)]
ENDS = {"columns.source": "pre_pt_root_id", "columns.target": "post_pt_root_id"}
EDGE_FACTS = {"table": "synapses", "directed": 1, "weight_units": "count", **ENDS}
SCHEMA = (
    "CREATE TABLE synapses (pre_pt_root_id INTEGER, post_pt_root_id INTEGER, weight INTEGER,"
    " note TEXT CHECK (length(note) > 0))",
    f"CREATE TABLE people (name TEXT DEFAULT '{CANARY}')",
    "CREATE INDEX by_end ON synapses (post_pt_root_id, pre_pt_root_id, weight, note)",
)


def database(path: Path, statements: Sequence[str], rows: dict[str, Sequence[Any]]) -> Path:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    for table, content in rows.items():
        marks = ", ".join("?" * len(content[0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", content)
    connection.commit()
    connection.close()
    return path


def edges(folder: Path) -> Path:
    rows = [(*edge, CANARY) for edge in EDGES]
    content = {"synapses": rows, "people": [(CANARY,)]}
    return database(folder / "synthetic.sqlite", SCHEMA, content)


def read(path: Path, **facts: Any) -> tuple[xr.DataTree, Raw]:
    raw = Raw(path.parent, (path,))
    declared = Declared({key.replace("__", "."): value for key, value in facts.items()})
    return sqlite_table.read(raw, declared), raw


def put(at: int, form: str, *values: int) -> Callable[[bytes], bytes]:
    def lie(whole: bytes) -> bytes:
        changed = bytearray(whole)
        struct.pack_into(form, changed, at, *values)
        return bytes(changed)

    return lie


class TestSqlite(HeaderTests, PersonalTests):
    reader = sqlite_table
    nodes: ClassVar = {"graph": "graph"}
    declare: ClassVar = EDGE_FACTS
    lazy = ()
    canary = CANARY
    lies: ClassVar = {
        "larger pages": put(16, ">H", 8192),
        "pages of no size": put(16, ">H", 0),
        "pages of an odd size": put(16, ">H", 1000),
        "reserved pages": put(20, ">B", 255),
        "more pages": put(28, ">I", 1000),
        "fewer pages": put(28, ">I", 1),
        "a new version": put(19, ">B", 9),
        "another payload": put(21, ">B", 65),
        "a free page that is none": put(32, ">II", 3, 1),
        "a page after the last": lambda whole: whole + bytes(4096),
    }

    def make(self, folder: Path) -> Path:
        return edges(folder)


def test_edges_are_those_of_the_same_text(tmp_path: Path) -> None:
    node = read(edges(tmp_path), **EDGE_FACTS)[0]["graph"].to_dataset()
    text = tmp_path / "synthetic.csv"
    lines = ["pre_pt_root_id,post_pt_root_id,weight", *(",".join(map(str, e)) for e in EDGES)]
    text.write_text("\n".join(lines) + "\n")
    facts = Declared({"directed": 1, "weight_units": "count", **ENDS})
    twin = edgelist.read(Raw(tmp_path, (text,)), facts)["graph"].to_dataset()
    xr.testing.assert_identical(node, twin)
    ids = set(node["node_id"].values.tolist())
    assert ids == {str(end) for edge in EDGES for end in edge[:2]}
    assert str(ROOT + 1) in ids  # beyond 2**53, exact


def test_ids_that_were_rounded_are_refused(tmp_path: Path) -> None:
    schema = ["CREATE TABLE edges (source REAL, target REAL, weight REAL)"]
    path = database(tmp_path / "a.db", schema, {"edges": [(ROOT + 1, 3, 0.5), (4, 5, 1.5)]})
    with pytest.raises(UnreadableError, match="float rounds"):
        read(path, directed=1, weight_units="count")
    path = database(tmp_path / "b.db", schema, {"edges": [(1, 3, 0.1), (4, 5, 1 / 3)]})
    node = read(path, directed=1, weight_units="count")[0]["graph"]
    assert node["weight"].values.tolist() == [0.1, 1 / 3]
    path = database(tmp_path / "c.db", schema, {"edges": [(1, None, 0.1), (4, 5, 1 / 3)]})
    with pytest.raises(UnreadableError, match="without a node"):
        read(path, directed=1, weight_units="count")


def test_what_is_lacking_is_told(tmp_path: Path) -> None:
    path = edges(tmp_path)
    with pytest.raises(MissingFactError) as refusal:
        read(path)
    assert "synapses (pre_pt_root_id, post_pt_root_id, weight, note)" in refusal.value.found
    assert refusal.value.hint == "declare it: --set table=synapses"
    with pytest.raises(InvalidInputError, match="synapses"):
        read(path, table="other")
    with pytest.raises(MissingFactError, match=r"columns\.source=pre_pt_root_id.*weight_units"):
        read(path, table="synapses", directed=1)


def test_columns_of_other_names(tmp_path: Path) -> None:
    schema = ['CREATE TABLE "my ""edges""" (a TEXT, "b c" TEXT, n INTEGER, picture BLOB)']
    rows = [("x", "y", 2, b"\xff\0"), ("y", "z", 3, b"")]
    path = database(tmp_path / "a.db", schema, {'"my ""edges"""': rows})
    facts = {"columns.source": "a", "columns.target": "b c", "columns.weight": "n"}
    node = read(path, **facts, directed=0, weight_units="count")[0]["graph"]
    assert node["node_id"].values.tolist() == ["x", "y", "z"]
    assert node["weight"].values.tolist() == [2, 3]
    with pytest.raises(UnreadableError, match="binary"):
        read(path, rate_hz=10, modality="calcium", units__x="V")


def test_traces_are_those_of_the_same_text(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(20, 2))
    rows = [(n / 10, *row) for n, row in enumerate(values.tolist())]
    schema = ["CREATE TABLE f (time_s REAL, a REAL, b REAL)", "CREATE INDEX i ON f (b, a, time_s)"]
    path = database(tmp_path / "synthetic.db", schema, {"f": rows})
    facts = {"units.*": "dF/F", "modality": "calcium"}
    node = read(path, **facts)[0]["traces"].to_dataset()
    text = tmp_path / "synthetic.csv"
    text.write_text("time_s,a,b\n" + "".join(",".join(map(repr, r)) + "\n" for r in rows))
    twin = traces.read(Raw(tmp_path, (text,)), Declared(dict(facts)))["traces"].to_dataset()
    xr.testing.assert_identical(node, twin)
    np.testing.assert_array_equal(node["signal"].values, values)
    assert node.attrs["rate_hz"] == 10.0


def test_spikes_by_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_sqlite, "BLOCK_ROWS", 7)
    random = np.random.default_rng(2)
    times, units = np.sort(random.integers(0, 9**9, 50)), random.integers(0, 12, 50)
    rows = [(int(t), ROOT + int(u)) for t, u in zip(times, units, strict=True)]
    path = database(tmp_path / "a.db", ["CREATE TABLE s (t INTEGER, u INTEGER)"], {"s": rows})
    facts = {"columns.unit": "u", "columns.time": "t", "time_units": "us", "stop_s": 500}
    node = read(path, **facts)[0]["spikes"].to_dataset()
    assert node["unit_id"].values.tolist() == [str(ROOT + int(u)) for u in np.unique(units)]
    expected = np.concatenate([times[units == u] * 1e-6 for u in np.unique(units)])
    np.testing.assert_allclose(node["time_s"].values, expected, rtol=1e-15)
    assert node.attrs["stop_s"] == 500.0
    with pytest.raises(MissingFactError, match=r"columns\.time=NAME.*time_units=s\|ms"):
        read(path, columns__unit="u")
    with pytest.raises(InvalidInputError):
        read(path, **{**facts, "columns.time": "other"})
    path = database(
        tmp_path / "b.db", ["CREATE TABLE s (t TEXT, u INTEGER)"], {"s": [("x", 1), ("y", 2)]}
    )
    with pytest.raises(UnreadableError, match="the time 'x'"):
        read(path, **facts)


# files that do more than hold tables

PLAIN = "CREATE TABLE e (source INTEGER, target INTEGER)"
ACTIVE = {
    "a view": "CREATE VIEW v AS SELECT source, target FROM e",
    "a recursive view": (
        "CREATE VIEW v AS WITH RECURSIVE n(source, target) AS"
        " (SELECT 1, 2 UNION ALL SELECT source + 1, target FROM n) SELECT * FROM n"
    ),
    "generated columns": (
        "CREATE TABLE v (source INTEGER, target INTEGER, big TEXT AS (hex(zeroblob(100000000))))"
    ),
    "a virtual table": "CREATE VIRTUAL TABLE v USING fts5(source, target)",
}


@pytest.mark.parametrize("story", ACTIVE)
def test_only_plain_tables_are_read(story: str, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    try:
        database(path, [PLAIN, ACTIVE[story]], {"e": [(1, 2), (2, 3)]})
    except sqlite3.OperationalError:
        pytest.skip("this SQLite has no such module")
    try:
        with pytest.raises((InvalidInputError, UnreadableError)):
            read(path, table="v", directed=1)
    except UnsafeError:
        pytest.fail("the view was run")


def test_nothing_but_reading_is_allowed(tmp_path: Path) -> None:
    path = edges(tmp_path)
    before = path.read_bytes()
    with safe_sqlite.open_sqlite(path) as tables:
        for statement in (
            f"ATTACH '{tmp_path / 'other.db'}' AS other", "DELETE FROM synapses",
            "CREATE TABLE x (y)", "CREATE TEMP TABLE x (y)", "PRAGMA journal_mode=WAL",
            "PRAGMA trusted_schema=ON", "SELECT load_extension('x')", "VACUUM",
            f"VACUUM INTO '{tmp_path / 'other.db'}'", "SELECT zeroblob(1000000000)",
            "SELECT hex(randomblob(100))", "PRAGMA writable_schema=ON",
        ):  # fmt: skip
            with pytest.raises(sqlite3.Error):
                tables.connection.execute(statement).fetchall()
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]


def test_queries_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = edges(tmp_path)
    monkeypatch.setattr(safe_sqlite, "LEAST_STEPS", 1)
    monkeypatch.setattr(safe_sqlite, "STEPS_A_BYTE", 0)
    monkeypatch.setattr(safe_sqlite, "STEPS", 100)
    with pytest.raises(UnsafeError, match="steps"):
        read(path, **EDGE_FACTS)
    monkeypatch.undo()
    monkeypatch.setattr(safe_sqlite, "CELL_LIMIT", 100)
    with pytest.raises(UnsafeError, match="cells"):
        read(path, **EDGE_FACTS)


def test_a_database_in_use_is_refused(tmp_path: Path) -> None:
    path = edges(tmp_path)
    journal = path.with_name(path.name + "-wal")
    journal.write_bytes(b"x")
    with pytest.raises(UnreadableError, match="closed"):
        read(path, **EDGE_FACTS)
    journal.write_bytes(b"")
    read(path, **EDGE_FACTS)


def test_a_write_ahead_database_that_was_closed(tmp_path: Path) -> None:
    path = edges(tmp_path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("UPDATE synapses SET weight = 9")
    connection.commit()
    connection.close()
    assert path.read_bytes()[18:20] == b"\2\2"
    node = read(path, **EDGE_FACTS)[0]["graph"]
    assert set(node["weight"].values.tolist()) == {9}


def test_odd_paths(tmp_path: Path) -> None:
    folder = tmp_path / "a?mode=rwc&b#c d%41"
    folder.mkdir()
    read(edges(folder), **EDGE_FACTS)
    assert [p.name for p in folder.iterdir()] == ["synthetic.sqlite"]


def test_flips_give_no_foreign_exception(tmp_path: Path) -> None:
    path = edges(tmp_path)
    whole, random = path.read_bytes(), np.random.default_rng(6)
    for _ in range(500):
        damaged = bytearray(whole)
        place = random.integers(600) if random.random() < 0.5 else random.integers(len(whole))
        damaged[int(place)] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            read(path, **EDGE_FACTS)
        except NeurodataError:
            continue
