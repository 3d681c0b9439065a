"""The node `graph` of a morphology: points in micrometres, each with an edge to its parent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from neurodata.errors import UnreadableError
from neurodata.readers.delimited import Numbers
from neurodata.readers.graph import Edges, graph
from neurodata.safe import Raw

ROOT = -1
UNDEFINED, SOMA, AXON, DENDRITE, APICAL = range(5)  # as in SWC
POINT_LIMIT = 50_000_000
LARGEST_UM = 1e7


@dataclass
class Points:
    """Points as a reader finds them, in their order, which is that of the nodes.

    Parameters
    ----------
    xyzd : list of (float, float, float, float)
        Position and diameter in micrometres.
    kind, parent : list of int
        Type as in SWC, and index of the parent, -1 of a root.
    contour : list of int
        0 in trees, else the number of the outline.
    """

    xyzd: list[tuple[float, float, float, float]] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    contour: list[int] = field(default_factory=list)

    def add(
        self, xyzd: tuple[float, float, float, float], kind: int, parent: int, contour: int = 0
    ) -> int:
        """Add a point and return its index."""
        self.xyzd.append(xyzd)
        self.kind.append(kind)
        self.parent.append(parent)
        self.contour.append(contour)
        return len(self.kind) - 1


def morphology(points: Points, node_id: Sequence[str], raw: Raw) -> xr.Dataset:
    """Return the node `graph`: edges from child to parent, position, radius and type of nodes.

    The points of outlines have no radius: what a file states there is the width of a line.

    Raises
    ------
    UnreadableError
        When there are no points, or one lies nowhere.
    """
    count = len(points.kind)
    if not count:
        raise UnreadableError(raw.name, "no points", "a morphology", "copy the file again")
    table = np.array(points.xyzd, "f8")
    wrong = ~np.isfinite(table).all(axis=1) | (np.abs(table) > LARGEST_UM).any(axis=1)
    if wrong.any() or (table[:, 3] < 0).any():
        row = int((wrong | (table[:, 3] < 0)).argmax())
        raise UnreadableError(
            f"{raw.name}: point {row + 1}", f"{table[row].tolist()}",
            "finite micrometres and a diameter of 0 or more", "mend the file or copy it again",
        )  # fmt: skip
    parent, kind = np.array(points.parent, "i8"), np.array(points.kind, "i8")
    contour = np.array(points.contour, "i8")
    columns: dict[str, Numbers] = {
        "type": kind, "radius": np.where(contour > 0, np.nan, table[:, 3] / 2)
    }  # fmt: skip
    if contour.any():
        columns["contour"] = contour
    joined = np.nonzero(parent >= 0)[0]
    node = graph(Edges(joined, parent[joined]), node_id, directed=True, columns=columns)
    node["position"] = (("node", "axis"), table[:, :3], {"units": "um"})
    node = node.assign_coords(axis=("axis", ["x", "y", "z"]))
    node["radius"].attrs["units"] = "um"
    _list_findings(raw, kind, parent, table[:, 3][contour == 0])
    return node


def _list_findings(raw: Raw, kind: Numbers, parent: Numbers, diameter: Numbers) -> None:
    if (roots := int((parent < 0).sum())) > 1:
        raw.note("roots", f"{roots} trees and outlines")
    if undefined := int((kind == UNDEFINED).sum()):
        raw.note("type", f"{undefined} of {len(kind)} points of type 0, undefined")
    if none := int((diameter == 0).sum()):
        raw.note("radius", f"{none} of {len(diameter)} points with radius 0")
