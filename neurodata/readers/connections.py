"""Tables of connections or synapses between neurons, with a header, as text or Feather.

A row is what one neuron sends to another, perhaps within one region, or a single synapse with its
place; rows are never summed. Ids are 64-bit numbers, exact to the last digit. Known without
declaring are the columns of the hemibrain (``bodyId_pre, bodyId_post, roi, weight``) and of
FlyWire and CAVE (``pre_root_id, post_root_id, neuropil, syn_count``; ``pre_pt_root_id``).

A table of neurons beside it, whose ids have the same name (``bodyId``, ``root_id``), gives the
nodes, and one of total connections is compared with the sums over regions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from neurodata import safe, safe_columns
from neurodata.declare import Declared, missing
from neurodata.errors import InvalidInputError, NeurodataError, UnreadableError
from neurodata.readers import bids, delimited
from neurodata.readers.delimited import Numbers
from neurodata.readers.graph import WEIGHT_UNITS, Edges, flag, graph, require_none
from neurodata.readers.lengths import scale_um
from neurodata.safe import Raw

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".feather")
EXTRA = safe_columns.EXTRA
IDS = (
    ("bodyid_pre", "bodyid_post", "bodyid"),
    ("pre_root_id", "post_root_id", "root_id"),
    ("pre_pt_root_id", "post_pt_root_id", "pt_root_id"),
)  # fmt: skip
KNOWN = {"weight": ("weight", "syn_count"), "roi": ("roi", "neuropil"), "kind": ("kind",)}
AXES = ("x", "y", "z")
SHOWN = 5
_AXIS = re.compile(r"(.*?)_?([xyz])")


@dataclass(frozen=True)
class Roles:
    """Which column of a table is what; None where there is none."""

    source: str
    target: str
    node: str | None
    weight: str | None
    roi: str | None
    kind: str | None
    position: tuple[str, ...]

    @property
    def used(self) -> dict[str, safe_columns.Kind]:
        """The columns that are read, and as what."""
        found: dict[str, safe_columns.Kind] = {self.source: "id", self.target: "id"}
        found |= {name: "text" for name in (self.roi, self.kind) if name}
        return found | {name: "number" for name in (self.weight, *self.position) if name}


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is Feather, or a text whose first line names two known columns of ids.

    Examples
    --------
    >>> sniff(b"bodyId_pre,bodyId_post,weight\\n1,2,3\\n", Path("a.csv"))
    True
    """
    if head.startswith(safe_columns.FEATHER):
        return True
    lines = delimited.lines_of(head)
    if len(lines) < 2 or (separator := delimited.separator_of(lines[0])) is None:
        return False
    names = {name.lower() for name in delimited.cells_of(lines[0], separator)}
    return any({source, target} <= names for source, target, _ in IDS)


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the table, that of total connections beside it, and those that may list neurons."""
    own = _header(path)
    found = [
        other
        for other in folder
        if other != path
        and path.is_relative_to(other.parent)
        and other.name.lower().endswith(SUFFIXES)
        and _describes(own, _header(other), other.parent == path.parent)
    ]
    return tuple(dict.fromkeys([path, *found, *bids.sidecars(path, folder)]))


def _describes(own: Sequence[str], names: Sequence[str], here: bool) -> bool:
    """Say whether a table is one of neurons, or has a table's own columns but its regions."""
    pair = _linked(names)
    if pair is None:
        return bool({node for *_, node in IDS} & {name.lower() for name in names})
    return here and bool(_region(own)) and not _region(names) and pair == _linked(own)


def _header(path: Path) -> list[str]:
    try:
        return safe_columns.names(path, _separator(path))
    except (NeurodataError, OSError):
        return []


def _separator(path: Path) -> str:
    line = safe.head(path).split(b"\n")[0].decode("latin-1")
    return delimited.separator_of(line) or ","


def _linked(names: Sequence[str]) -> tuple[str, str, str] | None:
    lower = {name.lower() for name in names}
    return next((each for each in IDS if {each[0], each[1]} <= lower), None)


def _region(names: Sequence[str]) -> list[str]:
    return [name for name in names if name.lower() in KNOWN["roi"]]


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a table as the node ``graph`` in raw form, an edge a row.

    Parameters
    ----------
    declare : Declared
        ``weight_units``; ``columns.source``, ``columns.target``, ``columns.weight``,
        ``columns.roi``, ``columns.kind`` and ``columns.position=x,y,z`` for columns of other
        names; ``units.position=nm`` or ``voxel_um=Z,Y,X`` of the positions; ``directed=0``;
        ``columns.node=NAME`` or ``FILE#NAME`` where several tables of neurons would fit.

    Returns
    -------
    xarray.DataTree
        ``graph`` with ``weight (edge)``, ``roi (edge)``, ``kind (edge)`` and, in micrometres,
        ``edge_position (edge, axis)``, as far as they are there, and the neurons' columns (node).

    Raises
    ------
    UnreadableError
        When a row is incomplete, an id was rounded, repeats among the neurons or is none of them.
    MissingFactError
        When columns or units are neither stated nor declared; the hint holds the flags.
    """
    header = safe_columns.names(raw.main, _separator(raw.main))
    roles = _roles(raw, header, declare)
    units = declare.text("weight_units")
    require_none(
        raw, f"columns {', '.join(header)}", [WEIGHT_UNITS] * bool(roles.weight and not units)
    )
    step_um = scale_um(raw, declare, "positions without a unit") if roles.position else None
    if left := [name for name in header if name not in roles.used]:
        raw.note("columns", f"left out: {', '.join(left)}")
    table = safe_columns.columns(raw.main, _separator(raw.main), roles.used)
    source, target = table[roles.source], table[roles.target]
    _compare(raw, roles, table)
    node_id, columns = _nodes(raw, roles, declare, source, target)
    order = np.argsort(node_id, kind="stable")
    places = [order[np.searchsorted(node_id, ids, sorter=order)] for ids in (source, target)]
    carried = {"roi": table[roles.roi]} if roles.roi else {}
    if step_um is not None:
        parts = zip(AXES, roles.position, step_um, strict=True)
        carried |= {f"place_{axis}": table[name] * step for axis, name, step in parts}
    edges = Edges(
        places[0], places[1], table[roles.weight] if roles.weight else None,
        table[roles.kind] if roles.kind else None, carried,
    )  # fmt: skip
    _list_findings(raw, edges, source, target)
    made = _graph(edges, node_id, flag(declare, "directed") is not False, units, columns)
    tree = xr.DataTree.from_dict({"graph": made})
    tree.attrs = {**bids.facts(raw), "modality": "connectome"}
    return tree


# ---- columns


def _roles(raw: Raw, header: Sequence[str], declare: Declared) -> Roles:
    lower = {name.lower(): name for name in header}
    pair = _linked(header)
    stated = {role: _stated(raw, header, declare, role) for role in ("source", "target", *KNOWN)}
    if pair is not None:
        for role, name in zip(("source", "target"), pair, strict=False):
            stated[role] = stated[role] or lower[name]
    free = [name for name in header if name not in stated.values()]
    lacking = [role for role in ("source", "target") if stated[role] is None]
    require_none(raw, f"columns {', '.join(header)}", [
        (f"which column is the {role}", f"columns.{role}={name}")
        for role, name in zip(lacking, free, strict=False)
    ])  # fmt: skip
    if lacking or stated["source"] == stated["target"]:
        raise UnreadableError(raw.name, f"columns {', '.join(header)}", "two columns of ids")
    for role, names in KNOWN.items():
        known = [lower[name] for name in names if name in lower]
        stated[role] = stated[role] or (known[0] if known else None)
    position = _position(raw, header, declare)
    if stated["weight"] is None and not position:
        raw.warn("columns", "no weights", "a column weight", "if one is: --set columns.weight=NAME")
    return Roles(
        stated["source"] or "", stated["target"] or "", pair[2] if pair else None,
        stated["weight"], stated["roi"], stated["kind"], position,
    )  # fmt: skip


def _stated(raw: Raw, header: Sequence[str], declare: Declared, role: str) -> str | None:
    stated = declare.text(f"columns.{role}")
    if stated is not None and stated not in header:
        expected = f"one of {', '.join(header)} in {raw.name}"
        raise InvalidInputError(f"--set columns.{role}", repr(stated), expected)
    return stated


def _position(raw: Raw, header: Sequence[str], declare: Declared) -> tuple[str, ...]:
    """Return the columns of x, y and z: declared, else the only three so called, else none."""
    stated = declare.text("columns.position")
    if stated is not None:
        names = tuple(name.strip() for name in stated.split(","))
        if len(names) != 3 or len(set(names)) < 3 or not set(names) <= set(header):
            expected = f"three of {', '.join(header)} in {raw.name}, for x, y and z"
            raise InvalidInputError("--set columns.position", repr(stated), expected)
        return names
    stems: dict[str, dict[str, str]] = {}
    for name in header:
        if match := _AXIS.fullmatch(name.lower()):
            stems.setdefault(match[1], {})[match[2]] = name
    found = [tuple(each[axis] for axis in AXES) for each in stems.values() if len(each) == 3]
    if len(found) > 1:
        what = "which columns say where a synapse is"
        raise missing(raw.name, f"columns {', '.join(header)}", what,
                      f"columns.position={','.join(found[0])}")  # fmt: skip
    return found[0] if found else ()


# ---- neurons


def _nodes(
    raw: Raw, roles: Roles, declare: Declared, source: Numbers, target: Numbers
) -> tuple[Numbers, dict[str, Numbers]]:
    """Return the ids of the neurons, and facts about them where a table lists them."""
    there = np.unique(np.concatenate([source, target]))
    found = _neuron_table(raw, roles, declare)
    if found is None:
        return there, {}
    path, name = found
    header = safe_columns.names(path, _separator(path))
    kinds: dict[str, safe_columns.Kind] = dict.fromkeys(header, "any")
    table = safe_columns.columns(path, _separator(path), {**kinds, name: "id"})
    node_id = table.pop(name)
    if len(np.unique(node_id)) < len(node_id):
        raise UnreadableError(path.name, f"ids that repeat in {name}", "a row a neuron", "mend it")
    strangers = there[~np.isin(there, node_id)]
    if strangers.size:
        shown = ", ".join(map(str, strangers[:SHOWN])) + (", ..." if strangers.size > SHOWN else "")
        raise UnreadableError(
            raw.name, f"{strangers.size} ids that {path.name} lacks: {shown}",
            "every id among the neurons", "add them there, or take the table out of the folder",
        )  # fmt: skip
    raw.note(path.name, f"{len(node_id)} neurons, joined by {name}")
    return node_id, {each: _column(values) for each, values in table.items()}


def _neuron_table(raw: Raw, roles: Roles, declare: Declared) -> tuple[Path, str] | None:
    """Return the table of neurons and its column of ids: declared, else the only one that fits."""
    stated = declare.text("columns.node")
    file, _, name = (stated or roles.node or "").rpartition("#")
    found = []
    for path in raw.files[1:]:
        names = _header(path) if path.name.lower().endswith(SUFFIXES) else []
        fits = [each for each in names if each == name or (not stated and each.lower() == name)]
        if fits and not _linked(names) and file in ("", path.name):
            found.append((path, fits[0]))
    if stated and len(found) != 1:
        shown = ", ".join(path.name for path, _ in found) or "none"
        raise InvalidInputError(
            f"--set columns.node={stated}", f"tables that fit: {shown}", "one", "say FILE#COLUMN"
        )
    if len(found) > 1:
        shown = ", ".join(path.name for path, _ in found)
        flag = f"columns.node={found[0][0].name}#{found[0][1]}"
        raise missing(raw.name, f"tables of neurons: {shown}", "one of them", flag)
    return found[0] if found else None


def _column(values: Numbers) -> Numbers:
    """Return texts as numbers where all are numbers."""
    if values.dtype != object:
        return values
    cells = [str(cell) for cell in values]
    if not all(map(delimited.is_number, set(cells))):
        return values
    return delimited.numbers(cells, "neurons")


# ---- edges


def _graph(
    edges: Edges, node_id: Numbers, directed: bool, units: str | None,
    columns: Mapping[str, Numbers],
) -> xr.Dataset:  # fmt: skip
    """Return the node of a graph, places of edges joined to one variable."""
    keys = [_codes(values) for values in edges.columns.values()]
    edges = edges.where(np.lexsort(keys)) if keys else edges  # so that no order of rows matters
    names, units = [str(each) for each in node_id], None if edges.weight is None else units
    made = graph(edges, names, directed=directed, weight_units=units, columns=columns)
    names = [f"place_{axis}" for axis in AXES]
    if not set(names) <= set(edges.columns):
        return made
    places = np.stack([made[name].values for name in names], axis=1)
    made = made.drop_vars(names).assign(edge_position=(("edge", "axis"), places, {"units": "um"}))
    return made.assign_coords(axis=("axis", np.array(AXES, dtype=object)))


def _list_findings(raw: Raw, edges: Edges, source: Numbers, target: Numbers) -> None:
    """Add findings about self-loops, rows of one pair, repeated rows, ids 0 and weights."""
    if loops := int((source == target).sum()):
        raw.note("edges", f"{loops} from a node to itself, kept")
    if unassigned := int(((source == 0) | (target == 0)).sum()):
        raw.warn("edges", f"{unassigned} with the id 0", "ids of neurons", "0 may mean: none")
    rows = len(source)
    if parallel := rows - _distinct([source, target]):
        raw.note(
            "edges", f"{parallel} rows more than pairs of neurons", "", "kept apart, not summed"
        )
    own = [*edges.columns.values(), *([] if edges.kind is None else [edges.kind])]
    if repeats := rows - _distinct([source, target, *map(_codes, own)]):
        raw.warn("edges", f"{repeats} rows that repeat another's neurons"
                 f"{' and ' + ', '.join(_shown(edges)) if own else ''}", "each once",
                 "see whether they are copies")  # fmt: skip
    if edges.weight is not None and (negative := int((edges.weight < 0).sum())):
        raw.note("edges", f"{negative} of negative weight, kept", "", "signs may mean inhibition")


def _codes(values: Numbers) -> Numbers:
    """Return numbers in the order of the values: texts by their place among all of them."""
    if values.dtype != object:
        return values
    places = {text: place for place, text in enumerate(sorted(set(values)))}
    return np.fromiter(map(places.__getitem__, values), "i8", len(values))


def _shown(edges: Edges) -> list[str]:
    names = ["place" if name.startswith("place_") else name for name in edges.columns]
    return list(dict.fromkeys([*names, *([] if edges.kind is None else ["kind"])]))


def _distinct(keys: Sequence[Numbers]) -> int:
    """Return how many rows differ in any key."""
    order = np.lexsort(keys)
    steps = [key[order][1:] != key[order][:-1] for key in keys]
    return 1 + int(np.any(steps, axis=0).sum())


def _compare(raw: Raw, roles: Roles, table: Mapping[str, Numbers]) -> None:
    """Compare the sums over regions with the totals that a table beside states."""
    path = raw.find(lambda each: each != raw.main and _linked(_header(each)) is not None)
    if path is None or not roles.roi or not roles.weight:
        return
    theirs = _roles(raw, safe_columns.names(path, _separator(path)), Declared())
    if theirs.weight is None:
        return
    total = safe_columns.columns(path, _separator(path), theirs.used)
    source = np.concatenate([table[roles.source], total[theirs.source]])
    target = np.concatenate([table[roles.target], total[theirs.target]])
    ours, stated = table[roles.weight], total[theirs.weight]
    order = np.lexsort([target, source])
    source, target = source[order], target[order]
    starts = np.flatnonzero(
        np.concatenate([[True], (source[1:] != source[:-1]) | (target[1:] != target[:-1])])
    )
    parts = (
        np.concatenate([ours, np.zeros_like(stated)]), np.concatenate([np.zeros_like(ours), stated])
    )  # fmt: skip
    regions, totals = (np.add.reduceat(each[order], starts) for each in parts)
    off = np.flatnonzero(~np.isclose(regions, totals, rtol=1e-9, atol=1e-9))
    if not off.size:
        raw.note(path.name, f"{len(starts)} totals, each the sum over its regions")
        return
    first = starts[off[0]]
    raw.warn(
        path.name,
        f"{off.size} of {len(starts)} totals unlike the sums over regions, e.g. {source[first]} to "
        f"{target[first]}: {totals[off[0]]:g} in total, {regions[off[0]]:g} over regions",
        "equal ones", "the regions' weights are kept; see how the tables were made",
    )  # fmt: skip
