"""GraphML, the XML format of attributed graphs, by way of networkx.

Ids are text and attributes have the types that the file's keys state, so that 64-bit ids are
exact. A document type or entity is refused before the file is parsed (`safe_xml`), as are
several graphs in one file, nested ones and hyperedges.

References
----------
U. Brandes et al., GraphML progress report (2002), doi.org/10.1007/3-540-45848-4_59;
http://graphml.graphdrawing.org/specification.html.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import xarray as xr

from neurodata import safe_xml
from neurodata.declare import Declared
from neurodata.errors import UnreadableError, need
from neurodata.readers import attributed, bids
from neurodata.safe import Raw

SUFFIXES = (".graphml", ".graphml.gz", ".xml")
EXTRA = "connectome"
DEFAULTS = ("node_default", "edge_default")  # where networkx keeps what keys state
MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")

members = bids.with_sidecars


def sniff(head: bytes, path: Path) -> bool:
    """Say whether an XML file is GraphML."""
    for mark in MARKS:
        head = head.removeprefix(mark)
    text = head.replace(b"\0", b"").lstrip()
    return text.startswith(b"<") and b"<graphml" in text


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a graph as the node ``graph`` in raw form.

    Raises
    ------
    UnreadableError
        When the file is no GraphML of one graph, names a node twice or one that is not there, or
        some edges lack the weight.
    UnsafeError
        On a document type or an entity.
    MissingFactError
        When the unit of the weights is not declared.
    """
    data = attributed.content(raw)
    counts = safe_xml.check(safe_xml.in_blocks(data), raw.name)
    for what, wanted in (("graph", 1), ("hyperedge", 0), ("port", 0)):
        if counts[what] != wanted:
            raise UnreadableError(
                raw.name, f"{counts[what]} elements {what!r}", str(wanted),
                "export one plain graph a file",
            )  # fmt: skip
    found = _parse(raw, data)
    for what, there in (("node", len(found)), ("edge", found.number_of_edges())):
        if counts[what] != there:
            raise UnreadableError(
                raw.name, f"{counts[what]} elements {what!r} that make {there}",
                f"each {what} once, edges between listed nodes", "mend the file at its source",
            )  # fmt: skip
    node_defaults, edge_defaults = (found.graph.get(name, {}) for name in DEFAULTS)
    if not len(found):
        raise UnreadableError(raw.name, "no nodes", "a graph", "export it again")
    described = {"desc"} if counts["desc"] else set()
    attributed.note_removed(raw, described | set(map(str, found.graph)) - {*DEFAULTS})
    nodes = {
        node: (str(node), {**node_defaults, **values}) for node, values in found.nodes(data=True)
    }
    return attributed.tree(raw, found, nodes, edge_defaults, declare)


def _parse(raw: Raw, data: bytes) -> Any:
    networkx = need("networkx", EXTRA)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # keys without a type are text, as the format says
        try:
            return networkx.read_graphml(io.BytesIO(data), node_type=str, edge_key_type=str)
        except (networkx.NetworkXError, *attributed.DAMAGE) as error:
            raise UnreadableError(
                raw.name, f"no readable GraphML ({error})", "a GraphML graph", "export it again"
            ) from error
