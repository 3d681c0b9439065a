"""Edge lists as delimited text: source, target and, mostly, weight; with or without a header.

Node ids are kept digit by digit (64-bit ids never pass through a float); ``3.0`` is node 3.
Nodes are sorted, so that the order of the rows does not matter; a node without edges is known
only through a node table (`node_table`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared, missing
from neurodata.errors import InvalidInputError, UnreadableError
from neurodata.readers import adjacency, bids, node_table
from neurodata.readers.graph import (
    Edges,
    cells_of,
    flag,
    graph,
    is_number,
    lines_of,
    list_findings,
    numbers,
    rows_of,
    separator_of,
    text_array,
)
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
FLOAT_EXACT = 2**53
_WHOLE = re.compile(r"\d+(\.0*)?")


@dataclass(frozen=True)
class Listing:
    """Cells by column as the file lists them."""

    source: list[str]
    target: list[str]
    weight: list[str] | None
    kind: list[str] | None


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a text file lists edges.

    With a header, its names tell (``source``, ``target``; ``pre``, ``post``). Without one, two
    whole-number ids and at most one number make a row, and some node is the source of two.
    """
    lines = lines_of(head)
    if len(lines) < 2:
        return False
    separator = separator_of(lines[-1])
    header = [name.lower() for name in cells_of(lines[0], separator)]
    if len(header) == 1:
        header = lines[0].lower().split()
    if any(set(pair) <= set(header) for pair in HEADERS):
        return True
    rows = [cells_of(line, separator) for line in lines]
    if {len(row) for row in rows} not in ({2}, {3}) or not all(is_number(r[-1]) for r in rows):
        return False
    own = path.name.endswith(OWN_SUFFIXES)
    ids = all(_WHOLE.fullmatch(cell) for row in rows for cell in row[:2])
    repeats = len({row[0] for row in rows}) < len(rows)
    if len(rows[0]) == 2:
        return own and ids
    return (own or (ids and repeats)) and not adjacency.sniff(head, path)


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
    ]
    return tuple(dict.fromkeys([path, *tables, *bids.sidecars(path, folder)]))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read an edge list as the node ``graph`` in raw form.

    Declarations: ``directed`` (unless every edge is listed both ways), ``weight_units``,
    ``columns.source``, ``columns.target``, ``columns.weight``, ``columns.kind`` for a header of
    other names, and those of `node_table`.

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
    listing = _listing(raw, declare)
    source, target = _ids(raw, listing.source), _ids(raw, listing.target)
    table = node_table.nodes(raw, declare)
    names = _sorted({*source, *target}) if table is None else table.node_id
    index = {name: position for position, name in enumerate(names)}
    _require_known(raw, {*source, *target} - set(index))
    edges = Edges(
        np.array([index[name] for name in source], "i8"),
        np.array([index[name] for name in target], "i8"),
        None if listing.weight is None else numbers(listing.weight, f"{raw.name}: weights"),
        None if listing.kind is None else text_array(listing.kind),
    )
    edges, directed = _directed(raw, edges, declare)
    units = declare.text("weight_units")
    _require_facts(raw, directed, units if edges.weight is not None else "1")
    list_findings(raw, edges)
    columns = {} if table is None else table.columns
    node = graph(edges, names, directed=bool(directed), weight_units=units, columns=columns)
    tree = xr.DataTree.from_dict({"graph": node})
    tree.attrs = {**bids.facts(raw), **node_table.participant(raw), "modality": "connectome"}
    return tree


def _require_known(raw: Raw, strangers: set[str]) -> None:
    if strangers:
        raise UnreadableError(
            raw.name,
            f"{len(strangers)} nodes that the node table lacks, e.g. {min(strangers)}",
            "every node in the table",
            "correct --set columns.node",
        )


def _listing(raw: Raw, declare: Declared) -> Listing:
    rows = [cells for _, cells in rows_of(raw)]
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
        places = _places(raw, header, declare)
        rows = rows[1:]
    if not rows:
        raise UnreadableError(raw.name, "a header alone", "edges", "copy the file again")
    cells = {
        role: None if place is None else [row[place] for row in rows]
        for role, place in places.items()
    }
    return Listing(cells["source"] or [], cells["target"] or [], cells["weight"], cells["kind"])


def _header(first: list[str], declare: Declared) -> list[str] | None:
    declared = any(f"columns.{role}" in declare.facts for role in ROLES)
    named = any(set(pair) <= {cell.lower() for cell in first} for pair in HEADERS)
    ids = all(is_number(cell) for cell in first[:2])
    return first if not ids and (declared or named or not is_number(first[-1])) else None


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
    lacking = [role for role in ("source", "target") if places[role] is None]
    if places["weight"] is None and len(header) > 2:
        lacking.append("weight")
    if lacking:
        free = [name for place, name in enumerate(header) if place not in places.values()]
        examples = zip(lacking, free, strict=False)
        raise missing(
            f"{raw.name}: header",
            ", ".join(header),
            f"which column is {', which is '.join(lacking)}",
            " --set ".join(f"columns.{role}={name}" for role, name in examples),
        )
    return places


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
    value = Decimal(cell)
    if abs(value) > FLOAT_EXACT or value != value.to_integral_value():
        raise UnreadableError(
            raw.name,
            f"the node id {cell}",
            f"a whole number, written out in full when over {FLOAT_EXACT}",
            "export the ids as integers: a float rounds them",
        )
    return int(value)


def _sorted(names: set[str]) -> list[str]:
    whole = all(name.lstrip("-").isdigit() for name in names)
    return sorted(names, key=lambda name: (int(name), name)) if whole else sorted(names)


def _directed(raw: Raw, edges: Edges, declare: Declared) -> tuple[Edges, bool | None]:
    """Return the edges, once each if undirected, and whether they are directed (None: unknown)."""
    declared = flag(declare, "directed")
    if declared:
        return edges, True
    carried = [key.tolist() for key in (edges.weight, edges.kind) if key is not None]
    listed = list(zip(edges.source.tolist(), edges.target.tolist(), *carried, strict=True))
    there = set(listed)
    mirrored = sum((b, a, *rest) in there for a, b, *rest in listed if a != b)
    across = int((edges.source != edges.target).sum())
    if across and mirrored == across and len(there) == len(listed):
        raw.note("edges", "each listed both ways with one weight", "", "undirected: stored once")
        once = edges.source <= edges.target
        weight = None if edges.weight is None else edges.weight[once]
        kind = None if edges.kind is None else edges.kind[once]
        return Edges(edges.source[once], edges.target[once], weight, kind), False
    if declared is False and mirrored:
        raw.warn(
            "edges",
            f"{mirrored} of {across} listed both ways, the others once",
            "all edges or none",
            "all are kept; sum or drop the doubles at the source",
        )
    return edges, declared


def _require_facts(raw: Raw, directed: bool | None, units: str | None) -> None:
    lacking = []
    if directed is None:
        lacking.append(("whether edges have a direction (1) or not (0)", "directed=0"))
    if units is None:
        lacking.append(("the unit of the weights", "weight_units=count"))
    if lacking:
        raise missing(
            raw.name,
            "a list of edges alone",
            " and ".join(fact for fact, _ in lacking),
            " --set ".join(example for _, example in lacking),
        )
