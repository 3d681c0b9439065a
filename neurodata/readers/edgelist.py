"""Edge lists as delimited text: source, target and, mostly, weight; with or without a header.

Node ids are kept digit by digit (64-bit ids never pass through a float); ``3.0`` is node 3.
Nodes are sorted, so that the order of the rows does not matter; a node without edges is known
only through a node table (`node_table`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, NeurodataError, UnreadableError
from neurodata.readers import adjacency, bids, delimited, node_table, traces
from neurodata.readers.delimited import Numbers, is_number, numbers, rows_in, text_array
from neurodata.readers.graph import WEIGHT_UNITS, Edges, flag, graph, list_findings, require_none
from neurodata.readers.named_matrix import EXACT, check_names
from neurodata.safe import Raw

SUFFIXES = (".edgelist", ".edges", ".csv", ".tsv", ".txt")
EXTRA = ""  # needs no optional package
OWN_SUFFIXES = SUFFIXES[:2]
HEADERS = (
    ("source", "target"), ("src", "dst"), ("from", "to"), ("pre", "post"),
    ("presynaptic", "postsynaptic"), ("pre_root_id", "post_root_id"),
    ("pre_pt_root_id", "post_pt_root_id"), ("bodyid_pre", "bodyid_post"),
)  # fmt: skip
ROLES = {
    "source": ("source",),
    "target": ("target",),
    "weight": ("weight",),
    "kind": ("kind", "type"),
}
DIRECTION = ("whether edges have a direction (1) or not (0)", "directed=0|1")
# Columns of tables that are no graph, though they may look like one: BIDS side-cars, coordinates
FOREIGN = {"participant_id", "subject", "session", "onset", "duration", "trial", "name", "x", "y"}
LEAST_SHARED = 1 / 3  # of the nodes, sources and targets at once: grids of conditions share few
_WHOLE = re.compile(r"\d{1,40}(\.0*)?")
_ID = re.compile(r"-?[0-9]{1,40}")


@dataclass(frozen=True)
class Listing:
    """Cells by column as the file lists them."""

    source: list[str]
    target: list[str]
    weight: list[str] | None
    kind: list[str] | None


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a text file lists edges.

    With a header, its names tell (``source``, ``target``; ``pre``, ``post``), or its rows do
    (`_links`). Without one, two whole-number ids and at most one number make a row, and some
    node is the source of two.
    """
    lines = delimited.lines_of(head)
    if len(lines) < 2:
        return False
    rows = rows_in(lines)
    header = {name.lower() for name in rows[0]}
    if any(set(pair) <= header for pair in HEADERS):
        return True
    own = path.name.endswith(OWN_SUFFIXES)
    if not any(map(is_number, rows[0])):
        named = len(header) == len(rows[0]) in (3, 4) and not header & FOREIGN
        return named and _links(rows[1:]) and (own or _closes(path))
    if {len(row) for row in rows} not in ({2}, {3}) or not all(is_number(r[-1]) for r in rows):
        return False
    ids = all(_WHOLE.fullmatch(cell) for row in rows for cell in row[:2])
    repeats = len({row[0] for row in rows}) < len(rows)
    if len(rows[0]) == 2:
        return own and ids
    return (own or (ids and repeats)) and not adjacency.sniff(head, path)


def _links(rows: Sequence[Sequence[str]]) -> bool:
    """Say whether rows hold two ids of one kind and a number, and some node is a source twice.

    No two rows have the same ids and texts.
    """
    width = len(rows[0])
    if any(len(row) != width or not all(row) for row in rows):
        return False
    columns = list(zip(*rows, strict=True))
    ids = [cell for column in columns[:2] for cell in column]
    whole, words = all(map(_WHOLE.fullmatch, ids)), not any(map(is_number, ids))
    measured = [all(map(is_number, column)) for column in columns[2:]]
    texts = [column for column, number in zip(columns[2:], measured, strict=True) if not number]
    keys = list(zip(*columns[:2], *texts, strict=True))
    return (
        (whole or words)
        and any(measured)
        and len(set(columns[0])) < len(rows) == len(set(keys))
        and any(source != target for source, target, *_ in keys)
    )


def _closes(path: Path) -> bool:
    """Say whether all of a table's rows link, many nodes being both sources and targets."""
    try:
        data = safe.read_bytes(path, delimited.TEXT_BYTES)
        rows = rows_in(delimited.lines_of(data, whole=True))[1:]
    except NeurodataError:
        return False
    sources, targets = {row[0] for row in rows}, {row[1] for row in rows if len(row) > 1}
    shared = len(sources & targets) / max(1, len(sources | targets))
    return shared >= LEAST_SHARED and _links(rows)


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the list and the tables beside it or above it that may describe its nodes."""
    tables = [
        other
        for other in folder
        if other != path
        and path.is_relative_to(other.parent)
        and other.suffix in (".csv", ".tsv")
        and not bids.entities(other)
        and node_table.has_header(safe.head(other))
        and not sniff(safe.head(other), other)
        and not traces.sniff(safe.head(other), other)
    ]
    return tuple(dict.fromkeys([path, *tables, *bids.sidecars(path, folder)]))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read an edge list as the node ``graph`` in raw form.

    Declarations: ``directed`` (unless every edge is listed both ways), ``weight_units``,
    ``columns.source``, ``columns.target``, ``columns.weight``, ``columns.kind`` for a header of
    other names, ``columns.undirected=KIND,...`` for kinds whose edges have no direction (such as
    gap junctions; they become the node ``graph_undirected``), and those of `node_table`.

    Raises
    ------
    UnreadableError
        When rows differ in length, a weight is no finite number or an id was rounded.
    MissingFactError
        When direction, unit or columns are neither stated nor declared.

    Examples
    --------
    >>> folder = Path("samples/mouse_tractography").resolve()
    >>> edges = folder / "edgelists" / "sub-54776_ses-1_dti.edgelist"
    >>> declared = Declared({"directed": 0, "weight_units": "count"})
    >>> dict(read(Raw(folder, (edges,)), declared)["graph"].sizes)
    {'edge': 36390, 'split': 333, 'node': 332}
    """
    return tree(raw, [cells for _, cells in delimited.rows_of(raw)], declare)


def tree(raw: Raw, rows: Sequence[Sequence[str]], declare: Declared) -> xr.DataTree:
    """Return the recording of edges given by their cells, the first row maybe a header."""
    units = declare.text("weight_units")
    listing = _listing(raw, rows, declare, units)
    source, target = _ids(raw, listing.source), _ids(raw, listing.target)
    table = node_table.nodes(raw, declare)
    names = _sorted({*source, *target}) if table is None else table.node_id
    check_names(raw, names)
    index = {name: position for position, name in enumerate(names)}
    _require_known(raw, {*source, *target} - set(index))
    edges = Edges(
        np.array([index[name] for name in source], "i8"),
        np.array([index[name] for name in target], "i8"),
        None if listing.weight is None else numbers(listing.weight, f"{raw.name}: weights"),
        None if listing.kind is None else text_array(listing.kind),
    )
    without = _undirected_kinds(raw, edges, declare)
    parts = {"graph": _directed(raw, edges.where(~without), flag(declare, "directed"))}
    if without.any():
        parts["graph_undirected"] = _directed(raw, edges.where(without), False)
    unknown = any(directed is None for _, directed in parts.values())
    lacking = [DIRECTION] * unknown + [WEIGHT_UNITS] * (units is None and edges.weight is not None)
    require_none(raw, "a list of edges alone", lacking)
    columns = {} if table is None else table.columns
    nodes = {}
    for name, (part, directed) in parts.items():
        list_findings(raw, part)
        nodes[name] = graph(part, names, directed=bool(directed), weight_units=units,
                            columns=columns)  # fmt: skip
    recording = xr.DataTree.from_dict(nodes)
    facts = {**bids.facts(raw), **node_table.participant(raw)}
    recording.attrs = {**facts, "modality": "connectome"}
    return recording


def _undirected_kinds(raw: Raw, edges: Edges, declare: Declared) -> Numbers:
    """Return which edges are of a kind that is declared to have no direction (edge)."""
    stated = declare.text("columns.undirected")
    if stated is None:
        return np.zeros(len(edges.source), bool)
    known = set() if edges.kind is None else set(edges.kind.tolist())
    kinds = {kind.strip() for kind in stated.split(",")}
    if not kinds <= known or kinds == known:
        raise InvalidInputError(
            "--set columns.undirected", repr(stated),
            f"some, not all, of the kinds {', '.join(sorted(known)) or 'none'} in {raw.name}",
            "set directed=0 when no edge has a direction, columns.kind to name the column",
        )  # fmt: skip
    return np.isin(np.asarray(edges.kind, "U"), sorted(kinds))


def _require_known(raw: Raw, strangers: set[str]) -> None:
    if strangers:
        raise UnreadableError(
            raw.name,
            f"{len(strangers)} nodes that the node table lacks, e.g. {min(strangers)}",
            "every node in the table",
            "correct --set columns.node",
        )


def _listing(
    raw: Raw, rows: Sequence[Sequence[str]], declare: Declared, units: str | None
) -> Listing:
    width = len(rows[0])
    if width < 2:
        raise UnreadableError(raw.name, f"{width} cell a row", "source and target", "mend the file")
    header = _header(rows[0], declare)
    if header is None:
        if width > 3:
            raise UnreadableError(
                raw.name, f"{width} columns without a header", "source, target, weight", "add one"
            )
        raw.note("columns", "no header", "", "read as source, target, weight by position")
        places = {"source": 0, "target": 1, "weight": 2 if width == 3 else None, "kind": None}
    else:
        rows = rows[1:]
        places = _places(raw, header, declare)
        _require_columns(raw, header, rows, places, declare, units)
    if not rows:
        raise UnreadableError(raw.name, "a header alone", "edges", "copy the file again")
    cells = {
        role: None if place is None else [row[place] for row in rows]
        for role, place in places.items()
    }
    return Listing(cells["source"] or [], cells["target"] or [], cells["weight"], cells["kind"])


def _header(first: Sequence[str], declare: Declared) -> list[str] | None:
    declared = any(f"columns.{role}" in declare.facts for role in ROLES)
    named = any(set(pair) <= {cell.lower() for cell in first} for pair in HEADERS)
    ids = all(is_number(cell) for cell in first[:2])
    return [*first] if not ids and (declared or named or not is_number(first[-1])) else None


def _places(raw: Raw, header: list[str], declare: Declared) -> dict[str, int | None]:
    lower = [name.lower() for name in header]
    places: dict[str, int | None] = {}
    for role, known in ROLES.items():
        stated = declare.text(f"columns.{role}")
        if stated is not None and stated not in header:
            raise InvalidInputError(
                f"--set columns.{role}", repr(stated), f"one of {', '.join(header)} in {raw.name}"
            )
        names = [name for name in known if name in lower]
        places[role] = (
            header.index(stated) if stated is not None else lower.index(names[0]) if names else None
        )
    return places


def _require_columns(
    raw: Raw,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    places: Mapping[str, int | None],
    declare: Declared,
    units: str | None,
) -> None:
    """Refuse when source, target or, among further columns of numbers, weight is unknown."""
    free = [place for place in range(len(header)) if place not in places.values()]
    ids = [role for role in ("source", "target") if places[role] is None]
    fits = {role: free.pop(0) if free else None for role in ids}
    measured = [place for place in free if all(is_number(row[place]) for row in rows)]
    if places["weight"] is None and measured:
        fits["weight"] = measured[-1]
    lacking = [
        (f"which column is the {role}", f"columns.{role}={'NAME' if fit is None else header[fit]}")
        for role, fit in fits.items()
    ]
    if lacking:
        lacking += [DIRECTION] * (flag(declare, "directed") is None)
        require_none(raw, f"columns {', '.join(header)}", lacking + [WEIGHT_UNITS] * (not units))
    if free:
        raw.note("columns", f"left out: {', '.join(header[place] for place in free)}")


def _ids(raw: Raw, cells: Sequence[str]) -> list[str]:
    """Return node ids as text; whole numbers lose a trailing ``.0`` and leading zeros."""
    if not all(is_number(cell) for cell in cells):
        if "" in cells:
            raise UnreadableError(raw.name, "an edge without a node", "two ids", "mend the row")
        return list(cells)
    known: dict[str, str] = {}
    for cell in set(cells):
        value = int(cell.partition(".")[0]) if _WHOLE.fullmatch(cell) else _exact(raw, cell)
        known[cell] = str(value)
    return [known[cell] for cell in cells]


def _exact(raw: Raw, cell: str) -> int:
    try:
        value = Decimal(cell)
    except ArithmeticError:  # an exponent out of range
        value = Decimal("inf")
    if abs(value) >= EXACT or value != value.to_integral_value():
        raise UnreadableError(
            raw.name,
            f"the node id {cell}",
            f"a whole number, written out in full from {EXACT} on",
            "export the ids as integers, in a spreadsheet as text: a float rounds them",
        )
    return int(value)


def _sorted(names: set[str]) -> list[str]:
    whole = all(map(_ID.fullmatch, names))
    return sorted(names, key=lambda name: (int(name), name)) if whole else sorted(names)


def _directed(raw: Raw, edges: Edges, declared: bool | None) -> tuple[Edges, bool | None]:
    """Return the edges, once each if undirected, and whether they are directed (None: unknown)."""
    carried = [key.tolist() for key in (edges.weight, edges.kind) if key is not None]
    listed = list(zip(edges.source.tolist(), edges.target.tolist(), *carried, strict=True))
    there = set(listed)
    mirrored = sum((b, a, *rest) in there for a, b, *rest in listed if a != b)
    across = int((edges.source != edges.target).sum())
    if declared:
        _note_kinds(raw, edges, there)
        return edges, True
    if across and mirrored == across and len(there) == len(listed):
        raw.note("edges", "each listed both ways with one weight", "", "undirected: stored once")
        return edges.where(edges.source <= edges.target), False
    if declared is False and mirrored:
        raw.warn(
            "edges",
            f"{mirrored} of {across} listed both ways, the others once",
            "all edges or none",
            "all are kept; sum or drop the doubles at the source",
        )
    return edges, declared


def _note_kinds(raw: Raw, edges: Edges, there: Collection[tuple[object, ...]]) -> None:
    """Tell of kinds whose edges may have no direction: all listed both ways, or all one way."""
    if edges.kind is None:
        return
    total: Counter[str] = Counter()
    back: Counter[str] = Counter()
    pairs = {(source, target, rest[-1]) for source, target, *rest in there}
    for source, target, kind in pairs:
        if source != target:
            total[str(kind)] += 1
            back[str(kind)] += (target, source, kind) in pairs
    for kind, count in sorted(total.items()):
        if back[kind] in (0, count):
            way = "both ways" if back[kind] else "one way only"
            hint = f"if it has no direction: --set columns.undirected={kind}"
            raw.note("kind", f"{kind!r}: {count} edges listed {way}", "", hint)
