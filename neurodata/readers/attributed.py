"""Graphs whose nodes and edges carry attributes (GraphML, GML), from networkx to `graph/1`.

The edge attribute ``weight``, or that of ``--set columns.weight=NAME``, is the weight; ``kind``,
``type``, or that of ``--set columns.kind=NAME``, the kind. All others become columns of their own
type. What the file says of the graph as a whole may name people and stays behind.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, UnreadableError
from neurodata.readers import bids, delimited
from neurodata.readers.delimited import Numbers, numbers, text_array
from neurodata.readers.graph import WEIGHT_UNITS, Edges, graph, list_findings, require_none
from neurodata.readers.named_matrix import EXACT
from neurodata.readers.personal_keys import kinds_of
from neurodata.safe import Raw

Attributes = Sequence[Mapping[str, Any]]
INT64 = range(-(2**63), 2**63)
# What networkx raises on damaged text; all of it is turned into UnreadableError.
DAMAGE = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError,
    SyntaxError,  # ElementTree's, of prefixes without a namespace
)  # fmt: skip


def content(raw: Raw) -> bytes:
    """Return the main file's bytes, unpacked when they are gzip."""
    if safe.is_gzip(raw.main):
        return safe.gunzip(raw.main, delimited.TEXT_BYTES)
    return safe.read_bytes(raw.main, delimited.TEXT_BYTES)


def tree(
    raw: Raw,
    found: Any,
    nodes: Mapping[Any, tuple[str, Mapping[str, Any]]],
    edge_defaults: Mapping[str, Any],
    declare: Declared,
) -> xr.DataTree:
    """Return the recording of a networkx graph as the node ``graph`` in raw form.

    Parameters
    ----------
    found : networkx.Graph
    nodes : mapping of node to (str, mapping)
        Name and attributes of each node, in order.
    edge_defaults : mapping
        Values of attributes that an edge does not state.

    Raises
    ------
    UnreadableError
        When some edges lack a weight that others have, or a weight is no finite number.
    MissingFactError
        When the unit of the weights is not declared.
    """
    place = {node: index for index, node in enumerate(nodes)}
    listed = list(found.edges(data=True))
    attributes = [{**edge_defaults, **data} for _, _, data in listed]
    weight, kind = _role(declare, "weight", attributes), _role(declare, "kind", attributes)
    edges = Edges(
        np.array([place[source] for source, _, _ in listed], "i8"),
        np.array([place[target] for _, target, _ in listed], "i8"),
        None if weight is None else _weights(raw, weight, attributes),
        None if kind is None else text_array(_complete(raw, kind, attributes)),
        _columns(raw, "edge", attributes, {weight, kind}),
    )
    units = declare.text("weight_units")
    lacking = [WEIGHT_UNITS] * (edges.weight is not None and units is None)
    require_none(raw, f"the edge attribute {weight!r}", lacking)
    list_findings(raw, edges)
    names = [name for name, _ in nodes.values()]
    columns = _columns(raw, "node", [values for _, values in nodes.values()], ())
    node = graph(edges, names, directed=found.is_directed(), weight_units=units, columns=columns)
    recording = xr.DataTree.from_dict({"graph": node})
    recording.attrs = {**bids.facts(raw), "modality": "connectome"}
    return recording


def note_removed(raw: Raw, names: Iterable[str]) -> None:
    """Tell what the file says of the graph as a whole, which is not kept."""
    if removed := set(names):
        raw.note("graph", f"facts of the whole graph, removed: {kinds_of(removed)}")


def _role(declare: Declared, role: str, attributes: Attributes) -> str | None:
    """Return the edge attribute that is the weight or the kind, or None."""
    known = {name for data in attributes for name in data}
    stated = declare.text(f"columns.{role}")
    if stated is not None:
        if stated not in known:
            listed = ", ".join(sorted(map(str, known))) or "none"
            raise InvalidInputError(f"--set columns.{role}", repr(stated), f"one of {listed}")
        return stated
    if role == "weight":
        return "weight" if "weight" in known else None
    whole = [name for name in ("kind", "type") if all(name in data for data in attributes)]
    texts = [name for name in whole if all(isinstance(data[name], str) for data in attributes)]
    return texts[0] if texts and attributes else None


def _complete(raw: Raw, name: str, attributes: Attributes) -> list[str]:
    """Return an attribute that every edge must have, as text."""
    if lacking := sum(name not in data for data in attributes):
        raise UnreadableError(
            raw.name, f"{lacking} of {len(attributes)} edges without {name!r}", "it on every edge",
            "a missing value is not zero: complete the file at its source",
        )  # fmt: skip
    return [str(data[name]).strip() for data in attributes]


def _weights(raw: Raw, name: str, attributes: Attributes) -> Numbers:
    return numbers(_complete(raw, name, attributes), f"{raw.name}: edge attribute {name!r}")


def _columns(
    raw: Raw, owner: str, attributes: Attributes, left_out: Collection[str | None]
) -> dict[str, Numbers]:
    names = dict.fromkeys(name for data in attributes for name in data)
    made = {}
    for name in [name for name in names if name not in left_out]:
        values = [data.get(name) for data in attributes]
        column = typed(values)
        if column is None:
            raw.note(f"{owner} attribute {name!r}", "lists or groups, left out")
            continue
        if lacking := sum(value is None for value in values):
            how = "NaN" if column.dtype.kind == "f" else "empty text"
            raw.note(f"{owner} attribute {name!r}", f"{lacking} of {len(values)} lack it: {how}")
        if column.dtype.kind == "f" and (np.abs(column) > EXACT).any():
            raw.warn(
                f"{owner} attribute {name!r}", "numbers over 2**53 as floats",
                "whole numbers as integers", "ids were rounded: export them as long or text",
            )  # fmt: skip
        made[str(name)] = column
    return made


def typed(values: Sequence[Any]) -> Numbers | None:
    """Return an attribute's values as one array: bool, int64, float64 or text; None: neither.

    A missing value (None) is NaN among numbers, empty among texts. Whole numbers never pass
    through a float that would round them.

    Examples
    --------
    >>> typed([1, 2]).dtype.str, typed([1, None]).tolist(), typed([2**60, None]).tolist()
    ('<i8', [1.0, nan], ['1152921504606846976', ''])
    """
    known = [value for value in values if value is not None]
    kinds = {type(value) for value in known}
    if kinds - {bool, int, float, str}:
        return None
    whole = len(known) == len(values)
    if kinds == {bool} and whole:
        return np.array(values, bool)
    if kinds == {int} and whole and all(value in INT64 for value in known):
        return np.array(values, "i8")
    exact = all(abs(value) <= EXACT for value in known if type(value) is int)
    if kinds <= {int, float} and exact:
        return np.array([np.nan if value is None else value for value in values], "f8")
    return text_array(["" if value is None else str(value) for value in values])
