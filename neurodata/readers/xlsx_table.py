"""Connectomes in spreadsheets (XLSX): a sheet holds edges by row, or a matrix with names.

A sheet with source, target and, mostly, weight in columns is read as `edgelist` reads text; one
with names in a row and a column around numbers as `named_matrix` says; a square of numbers alone
as `adjacency` does. All declarations are theirs. Where several sheets have cells, the sheet is
declared (``--set columns.sheet=NAME``).

Spreadsheets keep numbers as 64-bit floats, so that an id from 2**53 on, stored as a number, was or
will be rounded: it is refused. Formulas have the values of when the file was last saved.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import xarray as xr

from neurodata import safe_xlsx
from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, UnreadableError
from neurodata.readers import adjacency, bids, edgelist, named_matrix
from neurodata.readers.delimited import is_number
from neurodata.readers.graph import require_none
from neurodata.readers.named_matrix import EXACT
from neurodata.safe import Raw

SUFFIXES = (".xlsx",)
EXTRA = safe_xlsx.EXTRA

members = bids.with_sidecars


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is an XLSX workbook."""
    return safe_xlsx.is_xlsx(head, path)


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a sheet as the node ``graph`` in raw form.

    Raises
    ------
    UnreadableError
        When the workbook is damaged, an id was rounded or a weight is no number.
    UnsafeError
        When it refers to other files or unpacks to too much (`safe_xlsx`).
    MissingFactError
        When sheet, columns, direction or unit are neither stated nor declared.
    """
    book = safe_xlsx.open_xlsx(raw.main)
    raw.note("properties", "document properties (author, company, dates), removed")
    sheet = _sheet(raw, book, declare)
    grid = _grid(book, sheet)
    if not grid:
        raise UnreadableError(raw.name, f"no cells in the sheet {sheet!r}", "a graph")
    raw.note("sheet", f"{sheet!r} read" + (", a hidden sheet" if sheet in book.hidden else ""))
    matrix = named_matrix.find(grid, "axes" in declare.facts)
    if matrix is not None:
        return adjacency.named_tree(raw, matrix, declare)
    if len(grid) == len(grid[0]) >= adjacency.LEAST_NODES and all(map(is_number, grid[0])):
        return adjacency.tree(raw, list(enumerate(grid, 1)), declare)
    _require_header(raw, grid)
    return edgelist.tree(raw, grid, declare)


def _sheet(raw: Raw, book: safe_xlsx.Workbook, declare: Declared) -> str:
    stated = declare.text("columns.sheet")
    if stated is not None and stated not in book.sheets:
        raise InvalidInputError(
            "--set columns.sheet", repr(stated), f"one of {', '.join(book.sheets)} in {raw.name}"
        )
    if stated is not None:
        return stated
    filled = [name for name in book.sheets if _has_cells(book, name)]
    if not filled:
        raise UnreadableError(raw.name, "no cells in any sheet", "a graph", "export it again")
    if len(filled) > 1:
        likely = max(filled, key=lambda name: _numbers(book, name))
        fact = ("which of them to read", f"columns.sheet={likely}")
        require_none(raw, f"the sheets {', '.join(map(repr, filled))}", [fact])
    return filled[0]


def _has_cells(book: safe_xlsx.Workbook, sheet: str) -> bool:
    with closing(safe_xlsx.cells(book, sheet)) as rows:
        return any(map(any, rows))


def _numbers(book: safe_xlsx.Workbook, sheet: str) -> int:
    """Return how many numbers a sheet's first rows hold; titles and legends have few."""
    with closing(safe_xlsx.cells(book, sheet)) as rows:
        return sum(isinstance(cell, int | float) for row in islice(rows, 100) for cell in row)


def _grid(book: safe_xlsx.Workbook, sheet: str) -> list[list[str]]:
    """Return the cells as text, without blank rows and last columns; all rows of one length."""
    rows = [[_text(cell) for cell in row] for row in safe_xlsx.cells(book, sheet)]
    rows = [row for row in rows if any(row)]
    width = max((place for row in rows for place, cell in enumerate(row, 1) if cell), default=0)
    return [[*row[:width], *[""] * (width - len(row))] for row in rows]


def _text(cell: safe_xlsx.Cell) -> str:
    """Return a cell as text; a whole number that a float may have rounded gets an exponent.

    Examples
    --------
    >>> _text(" ADAL "), _text(3), _text(3.0), _text(720575940621039145)
    ('ADAL', '3', '3.0', '720575940621039145e0')
    """
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, int | float) and abs(cell) >= EXACT:
        return str(cell) if "e" in str(cell) else f"{cell}e0"
    if isinstance(cell, datetime.date | datetime.time | datetime.timedelta):
        return f"#DATE {cell}"
    return str(cell).strip()


def _require_header(raw: Raw, grid: Sequence[Sequence[str]]) -> None:
    """Refuse a sheet that neither starts with column names nor with edges."""
    if sum(map(bool, grid[0])) < 2:
        raise UnreadableError(
            raw.name, f"the first row {[cell for cell in grid[0] if cell][:3]}",
            "a row of column names, or names in a row and a column around numbers",
            "remove the rows above the names, or declare axes=source,target for a matrix whose "
            "rows and columns have no names in common",
        )  # fmt: skip
