"""Long tables, of numbers and of ids: each cell as it stands, or a refusal with its line."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodata import safe_columns, safe_table
from neurodata.errors import NeurodataError, UnreadableError, UnsafeError

HEADER = "id;size\n"


def put(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# --- tables of numbers ------------------------------------------------------------------------


def test_numbers_are_whole_where_all_are(tmp_path: Path) -> None:
    text = '\ufeff"id"; size;ok\n-3;1;true\n9007199254740993;2.5e0;false\n'
    found = safe_table.numbers(put(tmp_path / "a.csv", text), ";")
    assert {name: (v.dtype.str, v.tolist()) for name, v in found.items()} == {
        "id": ("<i8", [-3, 9007199254740993]),
        "size": ("<f8", [1.0, 2.5]),
        "ok": ("<i8", [1, 0]),
    }
    closed = safe_table.numbers(put(tmp_path / "b.csv", "a;b;\n1;2;\n3;4;\n"), ";")
    assert {name: v.tolist() for name, v in closed.items()} == {"a": [1, 3], "b": [2, 4]}
    wide = put(tmp_path / "c.csv", "a;b\n1;9223372036854775807\n")
    assert safe_table.numbers(wide, ";")["b"].tolist() == [2**63 - 1]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (HEADER, "a header alone"),
        ("", "the first line ''"),
        ("id\n1\n", "the first line 'id'"),
        ("id;id\n1;2\n", "the first line 'id;id'"),
        ("id;;size\n1;2;3\n", "the first line"),
        (HEADER + "1;2", "a last line without its end"),
        (HEADER + "1;2\n3;4;5\n", "line 3: found 3 cells"),
        (HEADER + "1;2\n3\n", "line 3: found 1 cells"),
        (HEADER + "1;2;\n3;4;5\n", "cells without a name"),
        (HEADER + "1;2;\n3;4\n", "line 3: found 2 cells"),
        (HEADER + "1;2\n3;\0\n", "no text"),
        (HEADER + "1;2\n3;x\n", "'size', line 3: found 'x'"),
        (HEADER + "1;2\n3;\n", "'size', line 3: found ''"),
        (HEADER + "1;2\n3;nan\n", "'size', line 3: found 'nan'"),
        (HEADER + "1;2.5\n3;1e999\n", "'size', line 3: found inf"),
        (HEADER + "1;2\n3;9223372036854775808\n", "9223372036854775808"),
        (HEADER + "1;2\n3;99999999999999999999999\n", "99999999999999999999999"),
        (HEADER + '1;"2\n', "no table"),
        (HEADER.encode() + b"1;\xff\n", "no table"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(
    tmp_path: Path, text: str | bytes, found: str
) -> None:
    path = put(tmp_path / "a.csv", text)
    with pytest.raises(UnreadableError) as caught:
        safe_table.numbers(path, ";")
    assert found in str(caught.value)


def test_blocks_are_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"{n};{n / 2 if n > 50 else n}\n" for n in range(100))
    path = put(tmp_path / "a.csv", HEADER + rows)
    whole = safe_table.numbers(path, ";")
    monkeypatch.setattr(safe_table, "BLOCK_BYTES", 64)
    found = safe_table.numbers(path, ";")
    assert found["id"].tolist() == whole["id"].tolist() == list(range(100))
    assert found["size"].tolist() == whole["size"].tolist()
    put(path, HEADER + rows.replace("\n77;", "\n77;x"))
    with pytest.raises(UnreadableError, match="line 79"):
        safe_table.numbers(path, ";")
    put(path, HEADER + rows.replace("\n77;", "\n77;1;"))
    with pytest.raises(UnreadableError, match="line 79: found 3 cells"):
        safe_table.numbers(path, ";")
    put(path, HEADER + "1" * 200 + ";1\n")
    with pytest.raises(UnreadableError, match="line 2: found no line end"):
        safe_table.numbers(path, ";")
    put(path, HEADER + "9007199254740993;1\n" * 4 + "0.5;1\n" * 4)
    with pytest.raises(UnreadableError, match=r"2\*\*53 beside fractions"):
        safe_table.numbers(path, ";")
    put(path, HEADER + "9007199254740992;1\n" * 4 + "0.5;1\n" * 4)
    assert safe_table.numbers(path, ";")["id"].tolist() == [2.0**53] * 4 + [0.5] * 4


def test_a_table_over_its_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "a.csv", HEADER + "1;2\n")
    monkeypatch.setattr(safe_table, "LIMIT_BYTES", 12)
    assert path.stat().st_size == 12
    assert safe_table.numbers(path, ";")["id"].tolist() == [1]
    monkeypatch.setattr(safe_table, "LIMIT_BYTES", 11)
    with pytest.raises(UnsafeError, match="12 bytes"):
        safe_table.numbers(path, ";")


def test_a_first_line_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "a.csv", HEADER + "1;2\n")
    monkeypatch.setattr(safe_table, "HEADER_BYTES", len(HEADER))
    assert safe_table.numbers(path, ";")["id"].tolist() == [1]
    monkeypatch.setattr(safe_table, "HEADER_BYTES", len(HEADER) - 1)
    with pytest.raises(UnreadableError, match="the first line"):
        safe_table.names(path, ";")


# --- tables of ids ----------------------------------------------------------------------------

pytest.importorskip("pyarrow")

KINDS: dict[str, Any] = {"id": "id", "n": "number", "roi": "text"}
IDS = "id,n,roi,other\n"
ROOT = 720575940621039145


def columns(path: Path, **kinds: Any) -> dict[str, list[Any]]:
    found = safe_columns.columns(path, ",", kinds or KINDS)
    return {name: values.tolist() for name, values in found.items()}


@pytest.mark.parametrize("packed", [False, True])
def test_columns_come_exact(tmp_path: Path, packed: bool) -> None:
    text = f"{IDS}{ROOT}, 3 , EB ,x\n{2**64 - 1},+4,,y\n7,-5,EB,z\n"
    path = put(tmp_path / "a.csv", gzip.compress(text.encode()) if packed else text)
    assert safe_columns.names(path, ",") == ["id", "n", "roi", "other"]
    found = safe_columns.columns(path, ",", KINDS)
    assert found["id"].dtype == np.dtype("u8")
    assert found["n"].dtype == np.dtype("i8")
    assert {name: values.tolist() for name, values in found.items()} == {
        "id": [ROOT, 2**64 - 1, 7], "n": [3, 4, -5], "roi": ["EB", "", "EB"],
    }  # fmt: skip
    assert found["roi"][0] is found["roi"][2]
    assert columns(path, other="any") == {"other": ["x", "y", "z"]}
    assert columns(put(tmp_path / "b.csv", IDS + "1,.5,a,\n1,+2e1,a,\n"), n="number") == {
        "n": [0.5, 20.0]
    }


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ("", "a header alone"),
        ("1,2,a,b", "a last line without its end"),
        ("1,2,a\n", "no whole table"),
        ("1,2,a,b,c\n", "no whole table"),
        ("1,2,a,\0\n", "bytes that are no text"),
        ("1,2,a,b\n,2,a,b\n", "column 'id', row 2: found ''"),
        ("1.0,2,a,b\n", "column 'id', row 1: found '1.0'"),
        ("-1,2,a,b\n", "column 'id', row 1: found '-1'"),
        ("18446744073709551616,2,a,b\n", "values that do not fit; expected ids below 2**64"),
        ("1,2,a,b\n1,x,a,b\n", "column 'n', row 2: found 'x'"),
        ("1,nan,a,b\n", "column 'n', row 1: found 'nan'"),
        ("1,1e999,a,b\n", "column 'n', row 1: found inf"),
        ("1,9223372036854775808,a,b\n", "values that do not fit; expected values of the kind"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, rows: str, found: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        columns(put(tmp_path / "a.csv", IDS + rows))
    assert found in str(caught.value)


@pytest.mark.parametrize(
    "text", ["id,n", "id\n1\n", "id,id\n1,2\n", "id,,n\n1,2,3\n", '"id,n\n1,2\n', b"\xff,n\n1,2\n"]
)
def test_what_names_no_columns_is_refused(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(UnreadableError, match="the first line"):
        safe_columns.names(put(tmp_path / "a.csv", text), ",")


def test_texts_have_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = b"1,2,a,b\n"
    bomb = put(tmp_path / "a.csv", gzip.compress(IDS.encode() + row * 100_000))
    with pytest.raises(NeurodataError, match=r"far more text|no whole table"):
        columns(bomb)
    packed = gzip.compress(IDS.encode() + row * 20)
    for cut in (len(packed) - 9, 40):
        with pytest.raises(UnreadableError):
            columns(put(tmp_path / "b.csv", packed[:cut]))
    path = put(tmp_path / "c.csv", IDS.encode() + row)
    monkeypatch.setattr(safe_columns, "LIMIT_BYTES", path.stat().st_size)
    assert columns(path) == {"id": [1], "n": [2], "roi": ["a"]}
    monkeypatch.setattr(safe_columns, "LIMIT_BYTES", path.stat().st_size - 1)
    with pytest.raises(UnsafeError, match="at most"):
        columns(path)


def test_blocks_of_several_kinds_are_joined_where_that_is_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safe_columns, "BLOCK_BYTES", 256)
    whole, parts = "1,3,a,b\n" * 60, "1,0.5,a,b\n" * 60
    found = columns(put(tmp_path / "a.csv", IDS + whole + parts), n="number")
    assert found == {"n": [3.0] * 60 + [0.5] * 60}
    wide = "1,9007199254740993,a,b\n" * 60
    with pytest.raises(UnreadableError, match=r"2\*\*53 beside fractions"):
        columns(put(tmp_path / "b.csv", IDS + wide + parts), n="number")
    assert columns(put(tmp_path / "c.csv", IDS + wide), n="number") == {"n": [2**53 + 1] * 60}


def feather(path: Path, **values: Any) -> Path:
    import pyarrow
    import pyarrow.feather

    table = pyarrow.table({name: pyarrow.array(*given) for name, given in values.items()})
    pyarrow.feather.write_feather(table, str(path))
    return path


def test_columns_of_feather_keep_their_kind(tmp_path: Path) -> None:
    import pyarrow as pa

    path = feather(
        tmp_path / "a.feather",
        id=([ROOT, 2], pa.uint64()), whole=([1.0, 2.0],), n=([1, 2], pa.int32()),
        f=([0.5, 1.5], pa.float32()), ok=([True, False],), roi=([" EB", None],),
        word=(pa.array(["a", "a"]).dictionary_encode(),), code=([7, 8], pa.uint8()),
    )  # fmt: skip
    assert safe_columns.is_feather(path)
    assert safe_columns.names(path, ",") == ["id", "whole", "n", "f", "ok", "roi", "word", "code"]
    assert columns(path, id="id", whole="id", code="id") == {
        "id": [ROOT, 2], "whole": [1, 2], "code": [7, 8],
    }  # fmt: skip
    assert columns(path, n="number", f="number", ok="number") == {
        "n": [1, 2], "f": [0.5, 1.5], "ok": [1, 0],
    }  # fmt: skip
    assert columns(path, roi="text", word="text") == {"roi": ["EB", ""], "word": ["a", "a"]}
    assert columns(path, n="any", f="any", ok="any", word="any", roi="any") == {
        "n": [1, 2], "f": [0.5, 1.5], "ok": [1, 0], "word": ["a", "a"], "roi": ["EB", ""],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        ([1, None], "id", "row 2: found nothing"),
        ([1, -1], "id", "row 2: found -1"),
        ([2.0**53], "id", "row 1"),
        ([1.5], "id", "row 1: found 1.5"),
        ([-1.0], "id", "row 1: found -1.0"),
        ([True], "id", "values of type bool"),
        ([None, 1.5], "number", "row 1: found nothing"),
        ([1.0, float("inf")], "number", "row 2: found inf"),
        ([2**63], "number", "whole numbers below 2**63"),
        ([b"a"], "number", "values of type binary"),
        ([1], "text", "values of type int64"),
    ],
)
def test_columns_of_feather_that_do_not_fit_are_refused(
    tmp_path: Path, values: list[Any], kind: str, found: str
) -> None:
    import pyarrow as pa

    given = (pa.array(values, pa.uint64()),) if values == [2**63] else (values,)
    path = feather(tmp_path / "a.feather", x=given)
    with pytest.raises(UnreadableError) as caught:
        columns(path, x=kind)
    assert found in str(caught.value)
