"""Dense adjacency matrices as delimited text, with names or an optional file of labels.

Text states neither what rows are nor what weights count. Rows as sources are declared with
``--set axes=source,target``, columns as sources with ``--set axes=target,source``; a matrix
that equals its transpose needs neither and is undirected. Edges without direction that are listed
one way only (a triangle) are declared with ``--set directed=0``. Zero means no edge.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, NeurodataError, UnreadableError
from neurodata.readers import bids, delimited, named_matrix
from neurodata.readers.delimited import Numbers, cells_of, separator_of
from neurodata.readers.graph import WEIGHT_UNITS, Edges, flag, graph, list_findings, require_none
from neurodata.safe import Raw

SUFFIXES = (".csv", ".txt", ".tsv", ".adj")
EXTRA = ""  # needs no optional package
LEAST_NODES = 3
WIDE = 32  # a table of numbers alone this wide is a matrix, be it cut short
AXES = {"source,target": False, "target,source": True}
_TAIL = re.compile(r"[_-]?(adjacency|adj|matrix|connectome|connectivity|weights)$", re.IGNORECASE)


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a text file is a square table of numbers, or one so wide that it was one.

    The number of columns is seen in the first line; the rows of the file are counted. With a
    header, its names must be those of the rows, or most of them (`named_matrix`).
    """
    lines = delimited.lines_of(head)
    if not lines:
        return False
    first = cells_of(lines[0], separator_of(lines[0]))
    if len(head) >= safe.HEAD_BYTES and len(lines) == 1:
        first = first[:-1]  # the line may be longer than the head
    if not all(map(delimited.is_number, first)):
        return _is_named(lines, path)
    if len(first) < LEAST_NODES:
        return False
    try:
        rows = delimited.lines_of(safe.read_bytes(path, delimited.TEXT_BYTES), whole=True)
        width = len(cells_of(rows[0], separator_of(rows[0]))) if rows else -1
    except (NeurodataError, csv.Error):
        return False
    return width >= WIDE or (width == len(rows) and not _lists_edges(rows))


def _is_named(lines: Sequence[str], path: Path) -> bool:
    """Say whether a table has names around numbers; it is read whole where its start has both."""
    try:
        rows = delimited.rows_in(lines)
        tops = {cell for row in rows[: named_matrix.HEADERS] for cell in row[1:]}
        starts = {cell for row in rows[1:] for cell in row[: named_matrix.HEADERS]}
        names = {cell for cell in tops & starts if cell and not delimited.is_number(cell)}
        if len(rows) > 1 and rows[0][0] and not names:
            return False
        whole = delimited.lines_of(safe.read_bytes(path, delimited.TEXT_BYTES), whole=True)
        return named_matrix.find(delimited.rows_in(whole)) is not None
    except (NeurodataError, csv.Error):
        return False


def _lists_edges(rows: Sequence[str]) -> bool:
    """Say whether a square of 3 rows is rather a list of source, target and weight."""
    if len(rows) != 3:
        return False
    table = [cells_of(row, separator_of(row)) for row in rows]
    pairs = [tuple(row[:2]) for row in table]
    sources = [row[0] for row in table]
    return (
        all(cell.isdigit() for pair in pairs for cell in pair)
        and len(set(pairs)) == len(pairs)
        and len(set(sources)) < len(sources)
        and sources == sorted(sources)
    )


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the matrix and the label file that shares its stem (``left_cell_labels.csv``)."""
    stem = _TAIL.sub("", path.name.split(".")[0])
    labels = [
        other
        for other in folder
        if other.parent == path.parent and other != path and other.name.endswith(SUFFIXES)
        if other.name.startswith(stem) and "label" in other.name[len(stem) :].lower()
    ]
    return (path, *labels[:1], *bids.sidecars(path, folder))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a matrix as the node ``graph`` in raw form.

    Declarations: ``axes`` (unless the matrix equals its transpose), ``weight_units``,
    ``directed=0`` for edges without direction that are listed one way only, ``columns.blank=0``
    where blank cells stand beside zeros.

    Raises
    ------
    UnreadableError
        When a row is too short, a value is no finite number, or labels and nodes differ in count.
    MissingFactError
        When the direction of an asymmetric matrix or the unit of the weights is not declared.

    Examples
    --------
    >>> folder = Path("samples/mushroom_body").resolve()
    >>> matrix = folder / "left_adjacency.csv"
    >>> raw = Raw(folder, members(matrix, sorted(folder.iterdir())))
    >>> declared = Declared({"axes": "source,target", "weight_units": "count"})
    >>> dict(read(raw, declared)["graph"].sizes)
    {'edge': 7425, 'split': 210, 'node': 209}
    """
    numbered = list(delimited.rows_of(raw))
    named = named_matrix.find([cells for _, cells in numbered], "axes" in declare.facts)
    if named is not None:
        return named_tree(raw, named, declare)
    return tree(raw, numbered, declare)


def tree(raw: Raw, numbered: Sequence[tuple[int, Sequence[str]]], declare: Declared) -> xr.DataTree:
    """Return the recording of a square matrix of numbers alone, given by its numbered rows."""
    matrix = _matrix(raw, numbered)
    source, target = np.nonzero(matrix)
    node_id, columns = _labels(raw, len(matrix))
    edges = Edges(source, target, matrix[source, target])
    return of_edges(raw, edges, node_id, columns, declare)


def named_tree(raw: Raw, matrix: named_matrix.NamedMatrix, declare: Declared) -> xr.DataTree:
    """Return the recording of a matrix whose rows and columns have names."""
    edges, node_id = named_matrix.edges(raw, matrix, declare)
    return of_edges(raw, edges, node_id, {}, declare)


def of_edges(
    raw: Raw,
    edges: Edges,
    node_id: Sequence[str],
    columns: Mapping[str, Numbers],
    declare: Declared,
) -> xr.DataTree:
    """Return the recording of edges whose sources are rows and whose targets are columns.

    Raises
    ------
    MissingFactError
        When their direction or the unit of the weights is not declared.
    InvalidInputError
        When a declaration contradicts the matrix.
    """
    mirrored, one_way = _symmetry(edges, len(node_id))
    transposed = _transposed(declare)
    units = declare.text("weight_units")
    directed = flag(declare, "directed")
    oriented = mirrored or transposed is not None or directed is False
    what = "what rows and columns are"
    if one_way:
        what += " (directed=0 if edges have no direction and each is listed once)"
    lacking = [] if oriented else [(what, "axes=source,target|target,source")]
    require_none(raw, "a matrix of numbers alone", lacking + [WEIGHT_UNITS] * (units is None))
    if directed is False and not mirrored and not one_way:
        raise InvalidInputError(
            "--set directed", "0 for a matrix that differs from its transpose", "1", "see the axes"
        )
    if directed is False and not mirrored:
        raw.note(
            "edges", "each listed one way only", "", "undirected as declared: stored as listed"
        )
    directed = not mirrored if directed is None else directed
    if not directed and mirrored:
        edges = edges.where(edges.source <= edges.target)
    elif transposed:
        edges = Edges(edges.target, edges.source, edges.weight)
    list_findings(raw, edges)
    node = graph(edges, node_id, directed=directed, weight_units=units, columns=columns)
    recording = xr.DataTree.from_dict({"graph": node})
    recording.attrs = {**bids.facts(raw), "modality": "connectome"}
    return recording


def _symmetry(edges: Edges, count: int) -> tuple[bool, bool]:
    """Say whether every edge has its reverse of equal weight, and whether none has a reverse."""
    weight = np.asarray(edges.weight)
    there, back = edges.source * count + edges.target, edges.target * count + edges.source
    order, turned = np.argsort(there), np.argsort(back)
    mirrored = np.array_equal(there[order], back[turned]) and np.array_equal(
        weight[order], weight[turned]
    )
    across = edges.source != edges.target
    return bool(mirrored), not np.isin(there[across], back[across]).any()


def _matrix(raw: Raw, numbered: Sequence[tuple[int, Sequence[str]]]) -> Numbers:
    rows = [delimited.numbers(cells, f"{raw.name}: line {line}") for line, cells in numbered]
    if len(rows) != len(rows[0]):
        raise UnreadableError(
            raw.name,
            f"{len(rows)} rows of {len(rows[0])} values",
            "as many rows as values in a row",
            "copy the file again, or read it as another format",
        )
    return np.stack(rows)


def _transposed(declare: Declared) -> bool | None:
    text = declare.text("axes")
    if text is None:
        return None
    key = text.replace(" ", "")
    if key not in AXES:
        raise InvalidInputError("--set axes", repr(text), " or ".join(AXES))
    return AXES[key]


def _labels(raw: Raw, count: int) -> tuple[list[str], dict[str, Numbers]]:
    """Return the nodes' names, and their class when the labels repeat."""
    index = [str(node) for node in range(count)]
    path = raw.find(lambda path: path != raw.main and "label" in path.name.lower())
    if path is None:
        return index, {}
    labels = [line.strip().strip('"') for line in safe.read_text(path).splitlines()]
    if len(labels) != count or not all(labels):
        raise UnreadableError(
            path.name,
            f"{len(labels)} lines, {labels.count('')} of them empty",
            f"one label for each of {count} nodes and no header",
            "correct the label file",
        )
    if len(set(labels)) == count:
        return labels, {}
    return index, {"cell_class": delimited.text_array(labels)}
