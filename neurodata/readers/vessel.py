"""Vessel graphs as Voreen exports them: a table of nodes and one of edges, ``;`` between cells.

The table of edges (``..._edges.csv``, ``node1id``, ``node2id`` and features) is the main file,
that of nodes (``..._nodes.csv``, ``pos_x``, ``pos_y``, ``pos_z``) lies beside it; an atlas table
(``..._atlas.csv``) with a row a node may too. Vessels have no direction. Positions are stored in
micrometres: ``--set voxel_um=Z,Y,X`` where they are voxels, ``--set units.*=um`` where they have
a unit. Features stay as the file has them; ``--set units.NAME=um`` states the unit of one.

Layout as released with VesselGraph (Paetzold et al. 2021, https://github.com/jocpae/VesselGraph).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from neurodata import safe_table, units
from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, UnreadableError
from neurodata.readers import bids, delimited
from neurodata.readers.delimited import Numbers
from neurodata.readers.graph import Edges, graph, list_findings
from neurodata.readers.lengths import UM, scale_um
from neurodata.safe import Raw

SUFFIXES = (".csv",)
EXTRA = ""  # needs no optional package
SEPARATOR = ";"
ENDS = ("node1id", "node2id")
POSITION = ("pos_x", "pos_y", "pos_z")
OF_ENDS = ("node1_degree", "node2_degree")  # follow from the graph; ends are sorted
_EDGES = re.compile(r"edges", re.IGNORECASE)


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a table names the two ends of vessels."""
    lines = delimited.lines_of(head)
    header = [name.strip().strip('"') for name in lines[0].split(SEPARATOR)] if lines else []
    return set(ENDS) <= set(header)


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the table of edges, then those of nodes and atlas beside it."""
    beside = {other.name: other for other in folder if other.parent == path.parent}
    wanted = [_EDGES.sub(kind, path.name) for kind in ("nodes", "atlas")]
    others = [beside[name] for name in wanted if name in beside and name != path.name]
    return (path, *others)


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a vessel graph as the node ``graph`` in raw form, undirected.

    Raises
    ------
    UnreadableError
        When the table of nodes is not there, ids repeat, or an edge ends at no node.
    MissingFactError
        When the unit of the positions is not declared.
    """
    points = _nodes(raw)
    table = safe_table.numbers(raw.main, SEPARATOR)
    _require(raw.main, table, ENDS)
    ids = points.pop("id")
    source, target = (_index(raw, ids, table.pop(end), end) for end in ENDS)
    edges = Edges(source, target, columns=_features(raw, table))
    _check_degrees(raw, points.get("degree"), edges, len(ids))
    list_findings(raw, edges)
    scale = scale_um(raw, declare, "positions without a unit")
    position = np.stack([points.pop(name) for name in POSITION], axis=1) * scale
    points.update(_atlas(raw, len(ids)))
    node = graph(edges, [str(n) for n in ids.tolist()], directed=False, columns=points)
    node["position"] = (("node", "axis"), position, {"units": "um"})
    node = _with_units(raw, node.assign_coords(axis=("axis", ["x", "y", "z"])), declare)
    tree = xr.DataTree.from_dict({"graph": node})
    tree.attrs = {**bids.facts(raw), "modality": "connectome"}
    return tree


def _nodes(raw: Raw) -> dict[str, Numbers]:
    name = _EDGES.sub("nodes", raw.main.name)
    path = raw.find(lambda path: path.name == name and path != raw.main)
    if path is None:
        raise UnreadableError(
            raw.name, f"no table of nodes {name}", "it beside the table of edges", "copy it there"
        )
    points = safe_table.numbers(path, SEPARATOR)
    _require(path, points, ("id", *POSITION))
    if len(np.unique(points["id"])) < len(points["id"]):
        raise UnreadableError(path.name, "ids that repeat", "each node once", "mend the table")
    return points


def _require(path: Path, table: Mapping[str, Numbers], names: Sequence[str]) -> None:
    if lacking := [name for name in names if name not in table]:
        raise UnreadableError(
            path.name, f"no column {', '.join(lacking)} among {', '.join(table)}",
            "the columns of a Voreen export", "export it again",
        )  # fmt: skip
    for name in names:
        if "id" in name and table[name].dtype.kind != "i":
            raise UnreadableError(f"{path.name}: {name}", "fractions", "whole numbers", "mend it")


def _index(raw: Raw, ids: Numbers, ends: Numbers, name: str) -> Numbers:
    """Return the place in the table of nodes (edge) of the ids at one end."""
    order = np.argsort(ids, kind="stable")
    place = np.searchsorted(ids[order], ends).clip(max=len(ids) - 1)
    if (lost := ends[ids[order][place] != ends]).size:
        raise UnreadableError(
            f"{raw.name}: {name}", f"{lost.size} ids of no node, e.g. {lost[0]}",
            "ids of the table of nodes", "copy both tables of one export",
        )  # fmt: skip
    return np.asarray(order[place], "i8")


def _features(raw: Raw, table: Mapping[str, Numbers]) -> dict[str, Numbers]:
    left_out = [name for name in OF_ENDS if name in table]
    if left_out:
        raw.note("columns", f"left out: {', '.join(left_out)}", "", "count the edges of a node")
    return {name: values for name, values in table.items() if name not in left_out}


def _check_degrees(raw: Raw, degree: Numbers | None, edges: Edges, count: int) -> None:
    """Warn where the stated degree of a node is not its number of edges."""
    if degree is None:
        return
    ends = np.concatenate([edges.source, edges.target])
    wrong = int((np.bincount(ends, minlength=count) != degree).sum())
    if wrong:
        raw.warn(
            "degree", f"{wrong} of {count} nodes whose stated degree is not their edges",
            "equal counts", "the edges were filtered after counting, or a table was cut short",
        )  # fmt: skip


def _atlas(raw: Raw, count: int) -> dict[str, Numbers]:
    """Return the columns of the atlas table, a row a node in the order of the nodes' table."""
    name = _EDGES.sub("atlas", raw.main.name)
    path = raw.find(lambda path: path.name == name and path != raw.main)
    if path is None:
        return {}
    table = safe_table.numbers(path, SEPARATOR)
    rows = len(next(iter(table.values())))
    if rows != count:
        raise UnreadableError(path.name, f"{rows} rows", f"{count}, one a node", "copy it again")
    table.pop("id", None)
    return table


def _with_units(raw: Raw, node: xr.Dataset, declare: Declared) -> xr.Dataset:
    """State the declared units of features; none is converted."""
    for name in [str(name) for name in node.data_vars]:
        stated = declare.text(f"units.{name}") if name != "position" else None
        if stated is None:
            continue
        known = units.to_si(stated, raw.name, name)
        symbol = {1.0: "m", 1e-3: "mm", UM: "um", 1e-9: "nm"}.get(known.factor)
        if known.dimension == "length" and symbol is None:
            raise InvalidInputError(f"--set units.{name}", stated, "m, mm, um or nm")
        node[name].attrs["units"] = symbol if known.dimension == "length" else known.symbol
    return node
