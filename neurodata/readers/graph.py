"""What the graph readers share: delimited text, and the node `graph/1` made from edges.

A directed edge is stored as listed. An undirected edge has no orientation: it is stored once,
with ``source <= target``, and who needs both directions mirrors it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, UnreadableError
from neurodata.safe import Raw

Numbers = npt.NDArray[Any]
TEXT_BYTES = 256 * 2**20
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
COMMENTS = ("#", "%")


@dataclass(frozen=True)
class Edges:
    """Edges as listed: node indices ``source``, ``target`` (edge), and what each carries."""

    source: Numbers
    target: Numbers
    weight: Numbers | None = None
    kind: Numbers | None = None


def lines_of(head: bytes) -> list[str]:
    """Return the complete lines of a text file's start, without comments; none of other files.

    Examples
    --------
    >>> lines_of(b"# made by hand\\n0 1 2\\n3 4 5\\n")
    ['0 1 2', '3 4 5']
    """
    if b"\0" in head:
        return []
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.end < len(head) - 3 or len(head) < safe.HEAD_BYTES:
            return []
        text = head[: error.start].decode("utf-8-sig")
    lines = text.splitlines()
    if len(head) >= safe.HEAD_BYTES and len(lines) > 1:
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
        raw.warn("last line", "no line end", "a line end", "make sure the file was not cut short")
    lines = [
        (number, line)
        for number, line in enumerate(io.StringIO(text), 1)
        if line.strip() and not line.startswith(COMMENTS)
    ]
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
    except OverflowError:
        values = None
    if values is None:
        values = np.array([float(cell) for cell in cells], "f8")
    if not np.isfinite(values).all():
        raise UnreadableError(where, "a number out of range", "at most 1.8e308", "mend the value")
    return values


def flag(declare: Declared, key: str) -> bool | None:
    """Return a declared yes or no (1 or 0, true or false), or None.

    Raises
    ------
    InvalidInputError
        When the value is neither.
    """
    value = declare.get(key)
    if value is None:
        return None
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if str(value).lower() not in known:
        raise InvalidInputError(f"--set {key}", repr(value), "1 or 0")
    return known[str(value).lower()]


def text_array(values: Sequence[str]) -> Numbers:
    """Return strings as an array of objects (never of fixed width)."""
    array = np.empty(len(values), dtype=object)
    array[:] = [str(value) for value in values]
    return array


def graph(
    edges: Edges,
    node_id: Sequence[str],
    *,
    directed: bool,
    weight_units: str | None = None,
    columns: Mapping[str, Numbers] | None = None,
) -> xr.Dataset:
    """Return the node `graph/1`: edges sorted by source and target, and their CSR index.

    Parameters
    ----------
    edges : Edges
        Indices into ``node_id``.
    node_id : sequence of str
        One name a node, in the order of the indices.
    directed : bool
        When false, each edge is turned so that ``source <= target``.
    weight_units : str, optional
        Unit of the weights, e.g. "count".
    columns : mapping of str to array (node), optional
        Facts about nodes.

    Examples
    --------
    >>> edges = Edges(np.array([1, 0]), np.array([0, 1]), np.array([5, 7]))
    >>> made = graph(edges, ["a", "b"], directed=True, weight_units="count")
    >>> made["weight"].values.tolist(), made["row_splits"].values.tolist()
    ([7, 5], [0, 1, 2])
    """
    source, target = edges.source, edges.target
    if not directed:
        source, target = np.minimum(source, target), np.maximum(source, target)
    keys = [key for key in (edges.weight, edges.kind) if key is not None]
    order = np.lexsort([*(np.asarray(key, "U" if key.dtype == object else None) for key in keys),
                        target, source])  # fmt: skip
    counts = np.bincount(source, minlength=len(node_id))
    splits = np.concatenate([[0], np.cumsum(counts)]).astype("i8")
    variables: dict[str, Any] = {
        "source": ("edge", source[order].astype("i8")),
        "target": ("edge", target[order].astype("i8")),
        "row_splits": ("split", splits),
    }
    for name, values in (("weight", edges.weight), ("kind", edges.kind)):
        if values is not None:
            variables[name] = ("edge", values[order])
    variables.update({name: ("node", values) for name, values in (columns or {}).items()})
    attrs: dict[str, Any] = {
        "representation": "graph",
        "schema": "graph/1",
        "directed": int(directed),
    }
    if weight_units is not None:
        attrs["weight_units"] = weight_units
    coords = {"node_id": ("node", text_array(node_id))}
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def list_findings(raw: Raw, edges: Edges) -> None:
    """Add findings about self-loops, parallel edges and negative weights; all are kept."""
    if loops := int((edges.source == edges.target).sum()):
        raw.note("edges", f"{loops} from a node to itself, kept")
    keys = [edges.source, edges.target] + ([] if edges.kind is None else [edges.kind])
    parallel = len(edges.source) - len(set(zip(*(key.tolist() for key in keys), strict=True)))
    if parallel:
        raw.warn(
            "edges",
            f"{parallel} that repeat an earlier source and target, kept as parallel edges",
            "one edge a pair",
            "sum them if they are parts of one connection",
        )
    if edges.weight is not None and (negative := int((edges.weight < 0).sum())):
        raw.note("edges", f"{negative} of negative weight, kept", "", "signs may mean inhibition")


def siblings(path: Path, folder: Sequence[Path], suffixes: tuple[str, ...]) -> list[Path]:
    """Return the files beside ``path`` that end in one of ``suffixes``."""
    return [
        other
        for other in folder
        if other.parent == path.parent and other != path and other.name.endswith(suffixes)
    ]
