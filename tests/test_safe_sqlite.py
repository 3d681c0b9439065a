"""The door for SQLite: headers are compared with files, and nothing that a schema states is run."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from neurodata import safe_sqlite
from neurodata.errors import InvalidInputError, UnreadableError, UnsafeError
from neurodata.safe_sqlite import Table, open_sqlite, quoted


def database(path: Path, statements: Sequence[str], rows: Sequence[tuple[Any, ...]] = ()) -> Path:
    """A synthetic database; rows go into the table ``t``."""
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    if rows:
        connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(rows[0]))})", rows)
    connection.commit()
    connection.close()
    return path


def rewritten(path: Path, old: str, new: str) -> Path:
    """Put another text of the same length into the schema."""
    assert len(old) == len(new)
    whole = path.read_bytes()
    assert whole.count(old.encode()) == 1
    path.write_bytes(whole.replace(old.encode(), new.encode()))
    return path


def test_tables_are_listed_and_read_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(n, f"µ{n}", n / 3, None) for n in range(10)]
    path = database(
        tmp_path / "a.db",
        ["CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, b TEXT, c REAL, d)",
         'CREATE TABLE "an ""odd"" name" ("x y")', "CREATE INDEX i ON t (b)",
         "CREATE VIEW v AS SELECT 1", "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END"],
        rows,
    )  # fmt: skip
    monkeypatch.setattr(safe_sqlite, "BLOCK_ROWS", 4)
    with open_sqlite(path) as tables:
        assert tables.listed == [
            Table("t", ("id", "b", "c", "d")), Table('an "odd" name', ("x y",)),
        ]  # fmt: skip
        assert tables.others == ["the view v", "the trigger r"]
        blocks = list(tables.rows(tables.listed[0], ["d", "c", "b", "id"]))
        assert [len(block) for block in blocks] == [4, 4, 2]
        assert [row for block in blocks for row in block] == [row[::-1] for row in rows]
        assert list(tables.rows(tables.listed[1], ["x y"])) == []


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="a name of a table or column"):
        quoted(name)


def test_cells_have_a_limit_and_are_no_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = database(tmp_path / "a.db", ["CREATE TABLE t (a, b)"], [(1, b"x"), (2, b"y")])
    monkeypatch.setattr(safe_sqlite, "CELL_LIMIT", 2)
    with open_sqlite(path) as tables:
        assert list(tables.rows(tables.listed[0], ["a"])) == [[(1,), (2,)]]
        with pytest.raises(UnsafeError, match="over 2 cells in t"):
            list(tables.rows(tables.listed[0], ["a", "b"]))
        with pytest.raises(UnreadableError, match="binary cells"):
            list(tables.rows(tables.listed[0], ["b"]))


def test_tables_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = database(tmp_path / "a.db", [f"CREATE TABLE t{n} (a)" for n in range(3)])
    monkeypatch.setattr(safe_sqlite, "TABLE_LIMIT", 3)
    with open_sqlite(path) as tables:
        assert len(tables.listed) == 3
    monkeypatch.setattr(safe_sqlite, "TABLE_LIMIT", 2)
    with pytest.raises(UnsafeError, match="more tables"), open_sqlite(path):
        pytest.fail("it was opened")


@pytest.mark.parametrize("kind", ["VIRTUAL", "STORED"])
def test_generated_columns_are_told_and_not_computed(kind: str, tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", [f"CREATE TABLE t (a, b AS (a + 1) {kind})"])
    with open_sqlite(path) as tables:
        assert tables.listed == []
        assert tables.others == ["the table t with generated columns"]


@pytest.mark.parametrize("beginning", ["CREATE  TABLE", "CREATE\tTABLE", "CREATE/**/TABLE"])
def test_a_schema_that_sqlite_did_not_write_is_not_followed(beginning: str, tmp_path: Path) -> None:
    """So that no virtual table passes for a plain one by a comment in its text."""
    blank = " " * (len(beginning) - len("CREATE TABLE"))
    path = database(tmp_path / "a.db", [f"CREATE TABLE t (a {blank})"])
    rewritten(path, f"CREATE TABLE t (a {blank})", f"{beginning} t (a )")
    with open_sqlite(path) as tables:
        assert (tables.listed, tables.others) == ([], ["the virtual table t"])


COMPUTED = {
    "a generated column": "CREATE TABLE u (a, b AS (trim(a, a)) NOT NULL)",
    "a generated column in an index": "CREATE TABLE u (a, b AS (trim(a, a)) UNIQUE)",
    "an index of a term": "CREATE INDEX i ON t (trim(a, a))",
    "an index of a part": "CREATE INDEX i ON t (b) WHERE trim(a, a) = ''",
    "an index of a part and a term": "CREATE INDEX i ON t (a || a) WHERE a LIKE a",
}


@pytest.mark.parametrize("story", COMPUTED)
def test_what_a_schema_computes_is_not_computed(
    story: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To strip a million letters of a million others takes SQLite some minutes, for one row."""
    long = "".join(map(chr, range(0x100, 0x1000)))
    path = database(tmp_path / "a.db", ["CREATE TABLE t (a, b)", COMPUTED[story]])
    connection = sqlite3.connect(path)
    for table in ("t", "u") if "column" in story else ("t",):
        connection.execute(f"INSERT INTO {table} (a) VALUES (?)", (long,))
    connection.commit()
    connection.close()
    steps: list[str] = []
    restrict = safe_sqlite._restrict

    def traced(connection: sqlite3.Connection) -> None:
        restrict(connection)
        connection.set_trace_callback(steps.append)

    monkeypatch.setattr(safe_sqlite, "_restrict", traced)
    with open_sqlite(path) as tables:
        assert tables.listed == [Table("t", ("a", "b"))]
        assert list(tables.rows(tables.listed[0], ["a"])) == [[(long,)]]
    assert [step for step in steps if "check" in step] == ['PRAGMA quick_check("t")']
    whole = path.read_bytes()
    (page,) = struct.unpack_from(">H", whole, 16)
    root = next(at for at in range(page, len(whole), page) if whole[at] == 13)
    changed(path, root + 3, ">H", 99)
    with pytest.raises(UnreadableError, match="damaged database"), open_sqlite(path):
        pytest.fail("it was opened")


def test_rules_for_rows_are_not_asked(tmp_path: Path) -> None:
    """A CHECK may call what it likes; the rows are read as they are."""
    rule = "CHECK (a LIKE b AND instr(a, b) > 5 AND json_valid(a))"
    made = ["PRAGMA ignore_check_constraints = ON", f"CREATE TABLE t (a, b, {rule})"]
    path = database(tmp_path / "a.db", made, [("x", "y")])
    with open_sqlite(path) as tables:
        assert list(tables.rows(tables.listed[0], ["a", "b"])) == [[("x", "y")]]


def test_an_index_that_is_not_that_of_its_table_is_refused(tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", ["CREATE TABLE t (a TEXT)", "CREATE INDEX i ON t (a)"],
                    [("synthetic one",), ("synthetic two",)])  # fmt: skip
    with open_sqlite(path):
        pass
    whole = path.read_bytes()
    assert whole.count(b"synthetic two") == 2
    path.write_bytes(whole.replace(b"synthetic two", b"synthetic ten", 1))
    with pytest.raises(UnreadableError, match="damaged database"), open_sqlite(path):
        pytest.fail("it was opened")


def test_no_function_is_called(tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", ["CREATE TABLE t (a)"])
    with open_sqlite(path) as tables:
        for term in ("lower('A')", "length('a')", "'a' LIKE 'a'", "load_extension('x')"):
            with pytest.raises(sqlite3.Error, match="not authorized"):
                tables.connection.execute(f"SELECT {term}")


def test_steps_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = database(tmp_path / "a.db", ["CREATE TABLE t (a)"], [(n,) for n in range(5000)])
    monkeypatch.setattr(safe_sqlite, "STEPS", 100)
    monkeypatch.setattr(safe_sqlite, "LEAST_STEPS", 1000)
    monkeypatch.setattr(safe_sqlite, "STEPS_A_BYTE", 0)
    with pytest.raises(UnsafeError, match="over 1100 steps"), open_sqlite(path):
        pytest.fail("it was opened")
    monkeypatch.setattr(safe_sqlite, "STEPS_A_BYTE", 200)
    with open_sqlite(path) as tables:
        assert sum(map(len, tables.rows(tables.listed[0], ["a"]))) == 5000


# --- headers and content ----------------------------------------------------------------------


def changed(path: Path, at: int, form: str, *values: int) -> Path:
    whole = bytearray(path.read_bytes())
    struct.pack_into(form, whole, at, *values)
    path.write_bytes(whole)
    return path


@pytest.mark.parametrize(
    ("at", "form", "values", "told"),
    [
        (0, ">B", (0,), "a SQLite database"),
        (16, ">H", (256,), "pages of 256 bytes"), (16, ">H", (4097,), "pages of 4097 bytes"),
        (16, ">H", (1,), "by its header"), (16, ">H", (8192,), "by its header"),
        (18, ">B", (0,), "the versions 0 and 1"), (19, ">B", (3,), "the versions 1 and 3"),
        (21, ">B", (63,), "512 to 65536"), (22, ">B", (33,), "512 to 65536"),
        (23, ">B", (31,), "512 to 65536"), (28, ">I", (3,), "3 pages of 4096 bytes"),
    ],
)  # fmt: skip
def test_a_header_that_lies_is_refused(
    at: int, form: str, values: tuple[int, ...], told: str, tmp_path: Path
) -> None:
    path = database(tmp_path / "a.db", ["PRAGMA page_size = 4096", "CREATE TABLE t (a)"])
    assert path.stat().st_size == 2 * 4096
    with open_sqlite(path):
        pass
    with pytest.raises(UnreadableError) as caught, open_sqlite(changed(path, at, form, *values)):
        pytest.fail("it was opened")
    assert told in str(caught.value)


def test_pages_keep_at_least_480_bytes_for_rows(tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", ["PRAGMA page_size = 512", "CREATE TABLE t (a)"])
    for reserved, told in ((33, "33 reserved"), (32, "malformed")):  # the latter by SQLite itself
        changed(path, 20, ">B", reserved)
        with pytest.raises(UnreadableError, match=told), open_sqlite(path):
            pytest.fail("it was opened")


@pytest.mark.parametrize("size", [512, 1024, 32768, 65536])
def test_pages_of_every_size_are_read(size: int, tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", [f"PRAGMA page_size = {size}", "CREATE TABLE t (a)"], [(1,)])
    assert path.stat().st_size == 2 * size
    with open_sqlite(path) as tables:
        assert tables.listed == [Table("t", ("a",))]


def test_a_count_of_pages_that_is_out_of_date_is_not_believed(tmp_path: Path) -> None:
    """Old writers of SQLite left the count as it was, and another stamp beside it."""
    path = database(tmp_path / "a.db", ["PRAGMA page_size = 4096", "CREATE TABLE t (a)"], [(1,)])
    (stamp,) = struct.unpack_from(">I", path.read_bytes(), 24)
    changed(path, 92, ">I", stamp - 1)
    changed(path, 28, ">I", 99)
    with open_sqlite(path) as tables:
        assert list(tables.rows(tables.listed[0], ["a"])) == [[(1,)]]
    changed(path, 28, ">I", 0)
    with open_sqlite(path):
        pass
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UnreadableError, match="1 pages of 4096 bytes"), open_sqlite(path):
        pytest.fail("it was opened")


@pytest.mark.parametrize("count", [0, 15, 99])
def test_less_than_a_header_is_refused(count: int, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes((safe_sqlite.MAGIC + bytes(84))[:count])
    with pytest.raises(UnreadableError, match=f"in {count} bytes"), open_sqlite(path):
        pytest.fail("it was opened")


@pytest.mark.parametrize("ending", ["-wal", "-journal"])
def test_a_journal_beside_it_is_refused(ending: str, tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", ["CREATE TABLE t (a)"])
    beside = tmp_path / f"a.db{ending}"
    beside.write_bytes(b"")
    with open_sqlite(path):
        pass
    beside.write_bytes(b"x")
    with pytest.raises(UnreadableError, match="a database that was closed"), open_sqlite(path):
        pytest.fail("it was opened")


def test_pages_that_are_damaged_are_refused(tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", ["PRAGMA page_size = 4096", "CREATE TABLE t (a)"], [(1,)])
    changed(path, 4096 + 3, ">H", 9)  # more cells than the page has
    with pytest.raises(UnreadableError, match="damaged database"), open_sqlite(path):
        pytest.fail("it was opened")


def test_numbers_and_text_that_python_cannot_hold_are_refused(tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", ["CREATE TABLE t (a TEXT)"], [("synthetic",)])
    rewritten(path, "synthetic", "syntheti\x00")
    with open_sqlite(path) as tables:
        assert list(tables.rows(tables.listed[0], ["a"])) == [[("syntheti\0",)]]
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"syntheti\0", b"syntheti\xff"))
    with pytest.raises(UnreadableError), open_sqlite(path) as tables:
        list(tables.rows(tables.listed[0], ["a"]))
    with pytest.raises(UnreadableError, match="a value that is none"), open_sqlite(path):
        raise OverflowError
