"""What the graph readers share: the node `graph/1` made from edges, and findings about them.

A directed edge is stored as listed. An undirected edge has no orientation: it is stored once,
with ``source <= target``, and who needs both directions mirrors it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from neurodata.declare import Declared, missing
from neurodata.errors import InvalidInputError
from neurodata.readers.delimited import Numbers, text_array
from neurodata.readers.lacking import together
from neurodata.safe import Raw

Lacking = Sequence[tuple[str, str]]
WEIGHT_UNITS = ("the unit of the weights (count, mm, a.u., ...)", "weight_units=<unit>")
RESERVED = (
    "source", "target", "weight", "kind", "row_splits", "node_id", "position", "axis",
    "node", "edge", "split",
)  # fmt: skip
UNFIT = re.compile(r"[/\\\x00-\x1f\x7f]+")  # not in the name of a stored array


@dataclass(frozen=True)
class Edges:
    """Edges as listed: node indices ``source``, ``target`` (edge), and what each carries.

    Parameters
    ----------
    columns : mapping of str to array (edge), optional
        Further facts about edges.
    """

    source: Numbers
    target: Numbers
    weight: Numbers | None = None
    kind: Numbers | None = None
    columns: Mapping[str, Numbers] = field(default_factory=dict)

    def where(self, kept: Numbers) -> Edges:
        """Return the edges of a mask or an order (edge)."""
        return Edges(
            self.source[kept],
            self.target[kept],
            None if self.weight is None else self.weight[kept],
            None if self.kind is None else self.kind[kept],
            {name: values[kept] for name, values in self.columns.items()},
        )


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


def require_none(raw: Raw, found: str, lacking: Lacking) -> None:
    """Refuse for want of facts, all of them at once.

    Parameters
    ----------
    lacking : sequence of (str, str)
        What is not stated, and the declaration that settles it.

    Raises
    ------
    MissingFactError
        When any fact is lacking; the hint holds all the flags.
    """
    if lacking:
        raise together([missing(raw.name, found, fact, flag) for fact, flag in lacking])


def column_name(name: str, owner: str, taken: Collection[str]) -> str:
    """Return the name of a column of nodes or edges, apart from the names that are taken.

    Examples
    --------
    >>> column_name("x", "edge", ()), column_name("weight", "node", ())
    ('x', 'node_weight')
    >>> column_name("a/b", "edge", ["a-b"])
    'edge_a-b'
    """
    plain = UNFIT.sub("-", name).strip("-. ") or "column"
    while plain in RESERVED or plain in taken:
        plain = f"{owner}_{plain}"
    return plain


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
    for name, values in (columns or {}).items():
        variables[column_name(name, "node", variables)] = ("node", values)
    for name, values in edges.columns.items():
        variables[column_name(name, "edge", variables)] = ("edge", values[order])
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
    if parallel := _parallel(edges):
        raw.warn(
            "edges",
            f"{parallel} that repeat an earlier source and target, kept as parallel edges",
            "one edge a pair",
            "sum them if they are parts of one connection",
        )
    if edges.weight is not None and (negative := int((edges.weight < 0).sum())):
        raw.note("edges", f"{negative} of negative weight, kept", "", "signs may mean inhibition")


def _parallel(edges: Edges) -> int:
    """Return how many edges repeat the source, target and kind of another."""
    count = len(edges.source)
    kinds = np.zeros(count, "i8")
    if edges.kind is not None and count:
        kinds = np.unique(np.asarray(edges.kind, "U"), return_inverse=True)[1]
    keys = (kinds, edges.target, edges.source)
    order = np.lexsort(keys)
    return int(np.all([key[order][1:] == key[order][:-1] for key in keys], axis=0).sum())
