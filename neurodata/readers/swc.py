"""Morphologies in SWC: points with a radius, each joined to its parent, several trees allowed.

A line is ``id type x y z radius parent``; the parent of a root is -1. Points become nodes, in the
order of the file, and each has an edge to its parent. The file does not state the unit of its
coordinates: ``--set units.*=um`` (or nm, mm) says it, ``--set voxel_um=Z,Y,X`` says that they are
voxels of that size. Positions and radii are stored in micrometres. Comments may name people and
folders and stay behind.

The format was described by R. C. Cannon et al. (1998), doi.org/10.1016/S0165-0270(98)00091-0.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import UnreadableError
from neurodata.readers import bids, delimited
from neurodata.readers.delimited import Numbers, is_number, numbers
from neurodata.readers.graph import Edges, graph
from neurodata.readers.lengths import scale_um
from neurodata.safe import Raw

SUFFIXES = (".swc",)
EXTRA = ""  # needs no optional package
COLUMNS = 7
ROOT = -1
_WHOLE = re.compile(r"-?\d{1,18}(\.0*)?")

members = bids.with_sidecars


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a text file lists points with a parent, the first of them a root."""
    rows = [line.split() for line in delimited.lines_of(head)]
    if not rows or any(len(row) != COLUMNS or not all(map(is_number, row)) for row in rows):
        return False
    whole = all(_WHOLE.fullmatch(row[place]) for row in rows for place in (0, 1, 6))
    ids = [row[0] for row in rows]
    own = path.name.lower().endswith(SUFFIXES)
    return whole and len(set(ids)) == len(ids) and (own or float(rows[0][6]) == ROOT)


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a morphology as the node ``graph`` in raw form.

    Returns
    -------
    xarray.DataTree
        ``graph`` with edges from child to parent, ``position (node, axis)`` and ``radius (node)``
        float64 in micrometres, ``type (node)`` as the file has it (0 undefined, 1 soma, 2 axon,
        3 basal dendrite, 4 apical dendrite).

    Raises
    ------
    UnreadableError
        When a line is incomplete, an id repeats, a parent is missing or parents form a circle.
    MissingFactError
        When the unit of the coordinates is not declared.
    """
    rows = _rows(raw)
    ids, types, parents = (_whole(raw, rows, place) for place in (0, 1, 6))
    x, y, z, radii = (
        numbers([row[n] for row in rows], f"{raw.name}: column {n + 1}") for n in range(2, 6)
    )
    position = np.stack([x, y, z], axis=1).astype("f8")
    parent = _parents(raw, ids, parents)
    _require_trees(raw, ids, parent)
    scale = scale_um(raw, declare, "coordinates without a unit")
    radius = _radius(raw, radii, scale)
    _list_findings(raw, types, parent)
    joined = np.nonzero(parent >= 0)[0]
    columns = {"type": types} | ({} if radius is None else {"radius": radius})
    node = graph(
        Edges(joined, parent[joined]), [str(n) for n in ids], directed=True, columns=columns
    )
    node["position"] = (("node", "axis"), position * scale, {"units": "um"})
    node = node.assign_coords(axis=("axis", ["x", "y", "z"]))
    if radius is not None:
        node["radius"].attrs["units"] = "um"
    tree = xr.DataTree.from_dict({"graph": node})
    tree.attrs = {**bids.facts(raw), "modality": "connectome"}
    return tree


def _rows(raw: Raw) -> list[list[str]]:
    text = safe.read_text(raw.main, delimited.TEXT_BYTES)
    rows, comments = [], 0
    for number, line in enumerate(io.StringIO(text), 1):
        if line.lstrip().startswith("#"):
            comments += 1
            _warn_scale(raw, number, line)
        elif cells := line.split():
            if len(cells) != COLUMNS:
                raise UnreadableError(
                    f"{raw.name}: line {number}", f"{len(cells)} values",
                    "7: id, type, x, y, z, radius, parent", "mend the line or copy the file again",
                )  # fmt: skip
            rows.append(cells)
    if not rows:
        raise UnreadableError(raw.name, "no points", "a morphology", "copy the file again")
    if not text.endswith(("\n", "\r")):
        raw.warn("last line", "no line end", "a line end", "make sure the file was not cut short")
    if comments:
        raw.note("comments", f"{comments} lines of free text, removed")
    return rows


def _warn_scale(raw: Raw, number: int, line: str) -> None:
    """Some programs state factors in a comment that others never apply."""
    words = line.lstrip("# \t").split()[:4]
    stated = len(words) == 4 and words[0].upper() == "SCALE" and all(map(is_number, words[1:]))
    if stated and any(float(word) != 1 for word in words[1:]):
        raw.warn(
                f"line {number}", f"SCALE {' '.join(words[1:])}", "coordinates as they are meant",
                "the factors are not applied: declare voxel_um with them",
            )  # fmt: skip


def _whole(raw: Raw, rows: Sequence[Sequence[str]], place: int) -> Numbers:
    what = {0: "id", 1: "type", 6: "parent"}[place]
    for row in rows:
        if not _WHOLE.fullmatch(row[place]):
            raise UnreadableError(raw.name, f"the {what} {row[place][:40]!r}", "a whole number")
    return np.array([int(row[place].partition(".")[0]) for row in rows], "i8")


def _parents(raw: Raw, ids: Numbers, parents: Numbers) -> Numbers:
    """Return each point's parent as an index (node), -1 of a root."""
    order = np.argsort(ids, kind="stable")
    listed = ids[order]
    if (twice := listed[1:][listed[1:] == listed[:-1]]).size:
        raise UnreadableError(raw.name, f"the id {twice[0]} twice", "each id once", "mend the file")
    place = np.searchsorted(listed, parents).clip(max=len(ids) - 1)
    root = parents == ROOT
    if (lost := parents[~root & (listed[place] != parents)]).size:
        raise UnreadableError(
            raw.name, f"{lost.size} points whose parent is missing, e.g. {lost[0]}",
            "parents among the points, -1 for a root", "mend the file or copy it again",
        )  # fmt: skip
    return np.where(root, ROOT, order[place])


def _require_trees(raw: Raw, ids: Numbers, parent: Numbers) -> None:
    """Refuse circles: following parents, each point must reach a root."""
    ancestor, steps = parent.copy(), 1
    while steps <= len(parent):
        ancestor = np.where(ancestor >= 0, ancestor[ancestor], ROOT)
        steps *= 2
    if (circling := ids[ancestor >= 0]).size:
        raise UnreadableError(
            raw.name, f"{circling.size} points that lead to no root, e.g. {circling[0]}",
            "trees: no point is its own ancestor", "mend the parents",
        )  # fmt: skip


def _radius(raw: Raw, radius: Numbers, scale: Numbers) -> Numbers | None:
    """Return radii in micrometres (node), or None where voxels have no one size."""
    if (radius < 0).any():
        raise UnreadableError(raw.name, f"a radius of {radius.min()}", "0 or more", "mend the file")
    if none := int((radius == 0).sum()):
        raw.note("radius", f"{none} of {len(radius)} points with radius 0")
    if len(set(scale.tolist())) > 1:
        raw.warn("radius", "voxels of unequal sides", "one size for radii", "radii left out")
        return None
    return np.asarray(radius * scale[0], "f8")


def _list_findings(raw: Raw, types: Numbers, parent: Numbers) -> None:
    if (roots := int((parent < 0).sum())) > 1:
        raw.note("roots", f"{roots} trees")
    if undefined := int((types == 0).sum()):
        raw.note("type", f"{undefined} of {len(types)} points of type 0, undefined")
    if (types < 0).any():
        raise UnreadableError(raw.name, f"the type {types.min()}", "0 or more", "mend the file")
