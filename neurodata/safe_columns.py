"""The leaf of the one door for long tables: some columns, in blocks, exact, nothing filled in.

Delimited text with a header, plain or gzip, and Feather. Ids of 64 bits never pass through a float.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from neurodata import safe, safe_feather
from neurodata.errors import NeurodataError, UnreadableError, UnsafeError, need

EXTRA = safe_feather.EXTRA
FEATHER = safe_feather.MAGIC
BLOCK_BYTES = 16 * 2**20
LIMIT_BYTES = 16 * 2**30
EXACT = 2**53  # whole numbers up to here are exact in a 64-bit float (IEEE 754)
WHOLE = r"^\d{1,20}$"
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"

Values = npt.NDArray[Any]
Kind = Literal["id", "number", "text", "any"]


def is_feather(path: Path) -> bool:
    """Say whether a file begins as Feather does, whatever its name."""
    return safe.head(path).startswith(safe_feather.MAGIC)


def names(path: Path, separator: str) -> list[str]:
    """Return the names of the columns: those of a Feather file, or the first line of a text.

    Raises
    ------
    UnreadableError
        When a name is empty or comes twice, or the file is damaged.
    """
    if is_feather(path):
        return safe_feather.names(path)
    line, end, _ = safe.head(path).partition(b"\n")
    try:
        text = line.decode("utf-8-sig") if end else ""
        found = [name.strip() for name in next(csv.reader([text], delimiter=separator), [])]
    except (UnicodeDecodeError, csv.Error):
        found = []
    if len(found) < 2 or not all(found) or len(set(found)) < len(found):
        raise UnreadableError(
            path.name, f"the first line {line[:60]!r}", "names of columns, each once", "mend it"
        )
    return found


def columns(path: Path, separator: str, wanted: Mapping[str, Kind]) -> dict[str, Values]:
    """Return some columns of a table, each of shape ``(row,)``.

    Parameters
    ----------
    wanted : mapping of str to {"id", "number", "text", "any"}
        Ids come as uint64, numbers as int64 where all are whole, else as float64, texts as
        objects without surrounding blanks; any of a Feather file as what it is, of a text as text.

    Raises
    ------
    UnreadableError
        When a row is too short or too long, a cell is empty or of another kind, an id was
        rounded, or the file is damaged or cut.
    UnsafeError
        When it would unpack to far more than it holds.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.csv"
    >>> _ = path.write_text("id,roi\\n720575940621039145,EB\\n")
    >>> {name: values.tolist() for name, values in columns(path, ",", {"id": "id"}).items()}
    {'id': [720575940621039145]}
    """
    parts: dict[str, list[Values]] = {name: [] for name in wanted}
    known: dict[str, dict[str, str]] = {name: {} for name in wanted}
    row, feather = 0, is_feather(path)
    blocks = safe_feather.batches(path, [*wanted]) if feather else _texts(path, separator, wanted)
    for block in blocks:
        for name, kind in wanted.items():
            where = f"{path.name}: column {name!r}"
            try:
                found = _typed(block.column(name), kind, known[name], where, row)
            except NeurodataError:
                raise
            except (ValueError, TypeError, NotImplementedError) as error:  # those of Arrow too
                expected = "ids below 2**64" if kind == "id" else f"values of the kind {kind}"
                raise UnreadableError(where, "values that do not fit", expected) from error
            parts[name].append(found)
        row += block.num_rows
    if not row:
        raise UnreadableError(path.name, "a header alone", "rows", "copy the file again")
    return {name: _joined(blocks, f"{path.name}: {name}") for name, blocks in parts.items()}


# ---- delimited text


def _texts(path: Path, separator: str, wanted: Mapping[str, Kind]) -> Iterator[Any]:
    """Yield blocks of rows, the wanted columns as text."""
    arrow, table = need("pyarrow", EXTRA), need("pyarrow.csv", EXTRA)
    header = names(path, separator)
    with _stream(path) as stream:
        try:
            reader = table.open_csv(
                arrow.PythonFile(stream, "r"),
                table.ReadOptions(
                    block_size=BLOCK_BYTES, column_names=header, skip_rows=1, use_threads=False
                ),
                table.ParseOptions(delimiter=separator),
                table.ConvertOptions(
                    include_columns=[*wanted], column_types=dict.fromkeys(wanted, arrow.string())
                ),
            )
            yield from reader
        except (arrow.ArrowException, OSError, EOFError, zlib.error) as error:
            raise UnreadableError(
                path.name, f"no whole table ({str(error)[:120]})", f"{len(header)} cells a row",
                "mend the line or copy the file again",
            ) from error  # fmt: skip


@contextmanager
def _stream(path: Path) -> Iterator[io.BufferedIOBase]:
    """Open a text, unpacked and bounded, after a check that its last line has an end."""
    size = path.stat().st_size
    if safe.is_gzip(path):
        with gzip.open(path) as packed:
            most = min(LIMIT_BYTES, safe.GZIP_RATIO_LIMIT * size)
            yield io.BufferedReader(_Bounded(packed, most, path.name))
        return
    if size > LIMIT_BYTES:
        raise UnsafeError(path.name, f"{size} bytes", f"at most {LIMIT_BYTES}", "split the file")
    with path.open("rb") as stream:
        yield io.BufferedReader(_Bounded(stream, LIMIT_BYTES, path.name))


class _Bounded(io.RawIOBase):
    """A stream that ends with a line's end and has no more than some bytes."""

    def __init__(self, stream: Any, most: int, name: str) -> None:
        self.stream, self.left, self.name = stream, most, name
        self.last = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.stream.read(len(buffer))
        self.left -= len(data)
        if self.left < 0:
            raise UnsafeError(self.name, "far more text than a file of its size", "less", "unpack")
        if not data and self.last not in (b"", b"\n"):
            raise UnreadableError(
                self.name, "a last line without its end", "whole lines",
                "copy or export the file again; add a line end if it is complete",
            )  # fmt: skip
        if b"\0" in data:
            raise UnreadableError(self.name, "bytes that are no text", "a table", "copy it again")
        self.last = data[-1:] or self.last
        buffer[: len(data)] = data
        return len(data)


# ---- cells


def _typed(column: Any, kind: Kind, known: dict[str, str], where: str, row: int) -> Values:
    """Return a block of a column as numbers or as text."""
    arrow, compute = need("pyarrow", EXTRA), need("pyarrow.compute", EXTRA)
    is_text = _is_text(column.type)
    if arrow.types.is_dictionary(column.type):
        is_text, column = _is_text(column.type.value_type), column.dictionary_decode()
    if kind == "any" and not is_text:
        values = np.asarray(column)
        return values.astype("i8" if values.dtype.kind in "iub" else "f8")
    if kind in ("text", "any"):
        return _words(column, known, where, is_text)
    if column.null_count:
        at = int(np.flatnonzero(np.asarray(column.is_null()))[0])
        raise _wrong(where, row + at, "nothing", kind)
    if not is_text:
        return _id_numbers(column, where, row) if kind == "id" else _numbers(column, where, row)
    cells = compute.utf8_trim_whitespace(column)
    fits = np.asarray(compute.match_substring_regex(cells, WHOLE if kind == "id" else NUMBER))
    if not fits.all():
        at = int(np.flatnonzero(~fits)[0])
        raise _wrong(where, row + at, repr(str(cells[at].as_py())[:40]), kind)
    if kind == "id":
        return np.asarray(compute.cast(cells, arrow.uint64()), "u8")
    whole = not np.asarray(compute.match_substring_regex(cells, "[.eE]")).any()
    cells = compute.utf8_ltrim(cells, "+")
    return _numbers(compute.cast(cells, arrow.int64() if whole else arrow.float64()), where, row)


def _is_text(kind: Any) -> bool:
    types = need("pyarrow", EXTRA).types
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _id_numbers(column: Any, where: str, row: int) -> Values:
    values = np.asarray(column)
    if values.dtype.kind == "f":
        wrong = ~(np.abs(values) < EXACT) | (values != np.trunc(values)) | (values < 0)
    elif values.dtype.kind in "iu":
        wrong = values < 0
    else:
        raise UnreadableError(where, f"values of type {column.type}", "ids: whole numbers")
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise _wrong(where, row + at, f"{values[at]}", "id")
    return values.astype("u8")


def _numbers(column: Any, where: str, row: int) -> Values:
    values = np.asarray(column)
    if values.dtype.kind not in "iufb":
        raise UnreadableError(where, f"values of type {column.type}", "numbers")
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            at = int(np.flatnonzero(~np.isfinite(values))[0])
            raise _wrong(where, row + at, f"{values[at]}", "number")
        return values.astype("f8")
    if values.dtype.kind == "u" and values.size and int(values.max()) >= 2**63:
        raise UnreadableError(where, f"{values.max()}", "whole numbers below 2**63")
    return values.astype("i8")


def _words(column: Any, known: dict[str, str], where: str, is_text: bool) -> Values:
    """Return texts, equal ones as one object; nothing stands for an empty one."""
    if not is_text:
        raise UnreadableError(where, f"values of type {column.type}", "texts")
    coded = column.dictionary_encode()
    cells = [str(cell or "").strip() for cell in coded.dictionary.to_pylist()]
    texts = np.array([known.setdefault(cell, cell) for cell in cells] + [""], object)
    found: Values = texts[np.asarray(coded.indices.fill_null(len(cells)), "i8")]
    return found


def _wrong(where: str, row: int, found: str, kind: Kind) -> UnreadableError:
    expected, hint = "a finite number", "mend the value at its source"
    if kind == "id":
        expected, hint = "a whole number in full", "export ids as integers: a float rounds them"
    return UnreadableError(f"{where}, row {row + 1}", found, expected, hint)


def _joined(blocks: list[Values], where: str) -> Values:
    kinds = {block.dtype.kind for block in blocks}
    if kinds == {"i", "f"}:
        if any(b.dtype.kind == "i" and (np.abs(b) > EXACT).any() for b in blocks):
            raise UnreadableError(where, "whole numbers over 2**53 beside fractions", "one kind")
        return np.concatenate([block.astype("f8") for block in blocks])
    return np.concatenate(blocks)
