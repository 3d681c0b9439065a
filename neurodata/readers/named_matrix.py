"""Matrices whose rows and columns have names: one header row and one name column among others.

Rows and columns may differ in number and in order; the nodes are those of both. Further header
rows above the names and columns before them are left out and listed. Zero means no edge, and so
does a blank cell where no cell holds a zero; where blank cells stand beside zeros, what they mean
is declared (``columns.blank=0``: no edge).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, UnreadableError
from neurodata.readers.delimited import is_number, numbers
from neurodata.readers.graph import Edges, require_none
from neurodata.safe import Raw

EXACT = 2**53  # whole numbers below are exact in a 64-bit float (IEEE 754)
LEAST_NAMES = 3
HEADERS = 10  # names stand in one of the first ten rows and columns
LEAST_SHARED = 0.5  # of the fewer names; else a table of measurements would be a matrix
NO_VALUE = re.compile(r"[+-]?(nan|inf|infinity)|n/?a", re.IGNORECASE)  # refused as a weight
BLANK = ("what blank cells beside zeros mean", "columns.blank=0")
NO_NAMES = ("#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#DATE")

Grid = Sequence[Sequence[str]]


@dataclass(frozen=True)
class NamedMatrix:
    """Cells between names.

    Parameters
    ----------
    rows, columns : tuple of str
        Names in the order of the file.
    cells : tuple of tuple of str
        A row a name, a cell a column; blank cells are empty.
    top, left : int
        How many rows stand above the column names and columns before the row names.
    outside : int
        How many numbers stand in rows or columns without a name.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    top: int
    left: int
    outside: int


def find(grid: Grid, apart: bool = False) -> NamedMatrix | None:
    """Return the matrix that a table holds, or None when it holds none.

    Column names are the row with the most different texts among the first ten, row names the
    column with the most below it. All cells between them are numbers or blank.

    Parameters
    ----------
    grid : sequence of sequence of str
        All cells, row by row; rows may differ in length.
    apart : bool
        Whether rows and columns may have no names in common.

    Examples
    --------
    >>> text = ["cell,A,B,C", "A,0,1,2", "B,3,0,0", "C,0,0,7"]
    >>> found = find([line.split(",") for line in text])
    >>> found.rows, found.columns, found.cells[1]
    (('A', 'B', 'C'), ('A', 'B', 'C'), ('3', '0', '0'))
    """
    width = max((len(row) for row in grid), default=0)
    corner = _corner(grid, width) if min(len(grid), width) > LEAST_NAMES else None
    if corner is None:
        return None
    top, left = corner
    below = grid[top + 1 :]
    places = [p for p in range(left + 1, len(grid[top])) if grid[top][p]]
    named = [row for row in below if len(row) > left and row[left]]
    if min(len(places), len(named)) < LEAST_NAMES:
        return None
    rows, columns = tuple(row[left] for row in named), tuple(grid[top][p] for p in places)
    cells = tuple(tuple(row[p] if p < len(row) else "" for p in places) for row in named)
    numeric = all(not cell or _is_numeric(cell) for row in cells for cell in row)
    shared = len({*rows} & {*columns}) >= LEAST_SHARED * min(len({*rows}), len({*columns}))
    if not numeric or not any(map(any, cells)) or not (shared or apart):
        return None
    inside = sum(map(bool, (cell for row in cells for cell in row)))
    total = sum(is_number(cell) for row in below for cell in row[left + 1 :])
    return NamedMatrix(rows, columns, cells, top, left, total - inside)


def _corner(grid: Grid, width: int) -> tuple[int, int] | None:
    """Return the row of the column names and the column of the row names, if there are any."""
    first = [*grid[0][1:]]
    if not grid[0][0] and all(first) and first == [row[0] for row in grid[1:] if row]:
        return 0, 0  # names that may be numbers, equal in both
    texts = [_count_texts(row) for row in grid[:HEADERS]]
    top = texts.index(max(texts))
    below = grid[top + 1 :]
    down = [
        _count_texts([row[place] for row in below if len(row) > place])
        for place in range(min(HEADERS, width))
    ]
    named = min(max(texts), max(down)) > 1  # names may repeat, which is refused later
    return (top, down.index(max(down))) if named else None


def _is_numeric(cell: str) -> bool:
    return is_number(cell) or NO_VALUE.fullmatch(cell) is not None


def _count_texts(cells: Sequence[str]) -> int:
    return len({cell for cell in cells if cell and not is_number(cell)})


def edges(raw: Raw, matrix: NamedMatrix, declare: Declared) -> tuple[Edges, list[str]]:
    """Return the edges from rows to columns, and the names of the nodes: rows, further columns.

    Raises
    ------
    UnreadableError
        When a name comes twice in rows or columns, or is an error value or a date.
    MissingFactError
        When blank cells stand beside zeros and what they mean is not declared.
    """
    for what, names in (("row", matrix.rows), ("column", matrix.columns)):
        check_names(raw, names)
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise UnreadableError(
                raw.name, f"the {what} {twice[0]!r} twice", "each name once", "rename one of them"
            )
    flat = [cell for row in matrix.cells for cell in row]
    written = np.array([bool(cell) for cell in flat])
    values = numbers([cell for cell in flat if cell], f"{raw.name}: cells that are not blank")
    _settle_blanks(raw, int((~written).sum()), bool((values == 0).any()), declare)
    node_id = list(dict.fromkeys([*matrix.rows, *matrix.columns]))
    place = {name: index for index, name in enumerate(node_id)}
    row, column = np.divmod(np.nonzero(written)[0][values != 0], len(matrix.columns))
    source = np.array([place[name] for name in matrix.rows], "i8")[row]
    target = np.array([place[name] for name in matrix.columns], "i8")[column]
    _note(raw, matrix)
    return Edges(source, target, values[values != 0]), node_id


def check_names(raw: Raw, names: Sequence[str]) -> None:
    """Refuse names that a spreadsheet made of others.

    Raises
    ------
    UnreadableError
        When a name is an error value, a date or a rounded number.
    """
    rounded = [name for name in names if is_number(name) and _is_rounded(name)]
    if rounded:
        raise UnreadableError(
            raw.name, f"the name {rounded[0].removesuffix('e0')}, a number", "a name as text",
            "store it as text: a spreadsheet rounds numbers of over 15 digits",
        )  # fmt: skip
    if wrong := [name for name in names if name.startswith(NO_NAMES)]:
        raise UnreadableError(
            raw.name, f"the name {wrong[0]!r}", "a name",
            "a spreadsheet turns some names into dates or errors: store them as text",
        )  # fmt: skip


def _is_rounded(name: str) -> bool:
    return "e" in name.lower() and abs(Decimal(name)) >= EXACT


def _settle_blanks(raw: Raw, blank: int, zeros: bool, declare: Declared) -> None:
    stated = declare.text("columns.blank")
    if stated not in (None, "0"):
        raise InvalidInputError("--set columns.blank", repr(stated), "0: no edge", "or fill them")
    if blank and zeros and stated is None:
        require_none(raw, f"{blank} blank cells beside zeros", [BLANK])
    if blank:
        raw.note("cells", f"{blank} blank", "", "no edge there")


def _note(raw: Raw, matrix: NamedMatrix) -> None:
    if matrix.top or matrix.left:
        found = f"{matrix.top} rows above the names and {matrix.left} columns before them"
        raw.note("header", f"{found}, left out")
    if matrix.outside:
        raw.warn(
            "cells", f"{matrix.outside} numbers in rows or columns without a name, left out",
            "a name for each", "totals belong outside the table",
        )  # fmt: skip
    only = [len({*matrix.rows} - {*matrix.columns}), len({*matrix.columns} - {*matrix.rows})]
    if any(only):
        raw.warn(
            "names", f"{only[0]} of rows alone, {only[1]} of columns alone",
            "a row and a column for each node",
            "nodes without a row send no edge; make sure that the file was not cut short",
        )  # fmt: skip
