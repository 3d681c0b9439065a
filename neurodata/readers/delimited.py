"""Delimited text: lines, cells and numbers, exactly as a file has them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from neurodata import safe
from neurodata.errors import UnreadableError
from neurodata.safe import Raw

Numbers = npt.NDArray[Any]
TEXT_BYTES = 256 * 2**20
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
COMMENTS = ("#", "%")


def lines_of(head: bytes, whole: bool = False) -> list[str]:
    """Return the complete lines of a text file's start, without comments; none of other files.

    Parameters
    ----------
    whole : bool
        Whether ``head`` is the whole file; else its last line may be cut and is left out.

    Examples
    --------
    >>> lines_of(b"# made by hand\\n0 1 2\\n3 4 5\\n")
    ['0 1 2', '3 4 5']
    """
    if b"\0" in head:
        return []
    cut = not whole and len(head) >= safe.HEAD_BYTES
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.end < len(head) - 3 or not cut:
            return []
        text = head[: error.start].decode("utf-8-sig")
    lines = text.splitlines()
    if cut and len(lines) > 1:
        lines.pop()
    return [line for line in lines if line.strip() and not line.startswith(COMMENTS)]


def separator_of(line: str) -> str | None:
    """Return what separates the cells of a data row; None is any white space.

    Examples
    --------
    >>> separator_of("0, 1, 2"), separator_of("0 1 2")
    (',', None)
    """
    return next((mark for mark in ("\t", ",", ";") if mark in line), None)


def cells_of(line: str, separator: str | None) -> list[str]:
    """Split one line into cells, surrounding spaces and quotes removed."""
    if separator is None:
        return line.split()
    row = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    return [cell.strip() for cell in row]


def is_number(cell: str) -> bool:
    """Say whether a cell is a finite decimal number."""
    return NUMBER.fullmatch(cell) is not None


def rows_of(raw: Raw) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row of the main file; the first may be a header.

    Raises
    ------
    UnreadableError
        When the file holds no rows, or rows of different lengths.
    """
    text = safe.read_text(raw.main, TEXT_BYTES)
    if text and not text.endswith(("\n", "\r")):
        raw.note("last line", "no line end", "a line end", "make sure the file was not cut short")
    lines = [
        (number, line)
        for number, line in enumerate(io.StringIO(text), 1)
        if line.strip() and not line.startswith(COMMENTS)
    ]
    if comments := sum(line.startswith(COMMENTS) for line in io.StringIO(text)):
        raw.note("comments", f"{comments} lines of free text, removed")
    if not lines:
        raise UnreadableError(raw.name, "no rows", "a graph", "copy the file again")
    separator = separator_of(lines[-1][1])
    width = 0
    for number, line in lines:
        cells = _cells(raw, number, line, separator)
        if number == lines[0][0] and len(cells) == 1:
            cells = line.split()  # a header spaced otherwise than its rows
        width = width or len(cells)
        if len(cells) != width:
            raise UnreadableError(
                f"{raw.name}: line {number}",
                f"{len(cells)} cells",
                f"{width}, as in the first row",
                "mend the line or copy the file again",
            )
        yield number, cells


def _cells(raw: Raw, number: int, line: str, separator: str | None) -> list[str]:
    try:
        return cells_of(line, separator)
    except csv.Error as error:
        raise UnreadableError(
            f"{raw.name}: line {number}", f"no row ({error})", "cells", "mend the line"
        ) from error


def numbers(cells: Sequence[str], where: str) -> Numbers:
    """Return cells as int64 when all are whole numbers without a point, else as float64.

    Raises
    ------
    UnreadableError
        When a cell is no finite number.

    Examples
    --------
    >>> numbers(["1", "2"], "a").dtype, numbers(["1", "2.5"], "a").tolist()
    (dtype('int64'), [1.0, 2.5])
    """
    wrong = [index for index, cell in enumerate(cells) if not is_number(cell)]
    if wrong:
        raise UnreadableError(
            f"{where}, value {wrong[0] + 1}",
            repr(cells[wrong[0]][:40]),
            "a finite number",
            "mend the value at its source",
        )
    whole = not any(mark in cell for cell in cells for mark in ".eE")
    try:
        values = np.array([int(cell) for cell in cells], "i8") if whole else None
    except (OverflowError, ValueError):  # more than 64 bits, or than the digits that int reads
        values = None
    if values is None:
        values = np.array([float(cell) for cell in cells], "f8")
    if not np.isfinite(values).all():
        raise UnreadableError(where, "a number out of range", "at most 1.8e308", "mend the value")
    return values


def text_array(values: Sequence[str]) -> Numbers:
    """Return strings as an array of objects (never of fixed width)."""
    array = np.empty(len(values), dtype=object)
    array[:] = [str(value) for value in values]
    return array


def rows_in(lines: Sequence[str]) -> list[list[str]]:
    """Return the cells of lines, split by what separates the last one.

    Examples
    --------
    >>> rows_in(["a b", "1\\t2"])
    [['a', 'b'], ['1', '2']]
    """
    if not lines:
        return []
    separator = separator_of(lines[-1])
    rows = [cells_of(line, separator) for line in lines]
    if len(rows[0]) == 1:
        rows[0] = lines[0].split()  # a header spaced otherwise than its rows
    return rows
