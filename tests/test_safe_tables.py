"""Delimited tables: every cell stays where it stands, or the table is refused with its line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurodata.errors import UnreadableError
from neurodata.safe import read_table


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "synthetic.tsv"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\tb\n1\t2\t3\n", "line 2"), ("a\tb\n1\t2\n1\n", "line 3"),
        ("a\tb\n1\t2\n\n1\t2\t\n", "line 4"), ('a\tb\n"1\n2"\t3\n1\n', "line 4"),
        ('a\tb\n"1\t2\n', "line 2"), ('a\tb\n"1"x\t2\n', "line 2"),
    ],
)  # fmt: skip
def test_a_row_of_another_length_is_refused_with_its_line(
    tmp_path: Path, text: str, line: str
) -> None:
    with pytest.raises(UnreadableError, match=line):
        read_table(table(tmp_path, text))


@pytest.mark.parametrize("text", ["", "\n\n", "a\tb\ta\n1\t2\t3\n", "a\ta\n"])
def test_a_table_without_rows_or_with_one_name_twice_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UnreadableError):
        read_table(table(tmp_path, text))


def test_nothing_is_converted_or_filled(tmp_path: Path) -> None:
    found = read_table(table(tmp_path, "\ufeffid\tx \t\r\n007\tn/a\t\r\n1e5\tNaN\t\r\n"))
    assert found.columns.tolist() == ["id", "x", "Unnamed: 2"]
    assert found.to_numpy().tolist() == [["007", "n/a", ""], ["1e5", "NaN", ""]]
    assert len(read_table(table(tmp_path, "a\tb\n"))) == 0
    plain = read_table(table(tmp_path, "1\t2\n3\t4\n"), header=False)
    assert plain.to_numpy().tolist() == [["1", "2"], ["3", "4"]]


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1).filter(
    lambda text: text == text.strip()
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(CELL, min_size=n, max_size=n))))
def test_what_a_csv_writer_writes_comes_back(tmp_path: Path, rows: list[list[str]]) -> None:
    width = len(rows[0]) if rows else 1
    header = [f"c{n}" for n in range(width)]
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([header, *rows])
    found = read_table(table(tmp_path, stream.getvalue()), ",")
    assert found.columns.tolist() == header
    assert found.to_numpy().tolist() == rows
