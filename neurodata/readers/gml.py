"""GML, the Graph Modelling Language, by way of networkx.

Nodes are named by their labels where each has one of its own, else by their ids. Numbers are
whole where the file writes no point, so that 64-bit ids are exact. A file that does not say
``directed 1`` is undirected, as the format has it.

M. Himsolt, GML: a portable graph file format (1997), https://www.fim.uni-passau.de.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import UnreadableError, need
from neurodata.readers import attributed, bids, delimited
from neurodata.safe import Raw

SUFFIXES = (".gml", ".gml.gz")
EXTRA = "connectome"
_PAIR = re.compile(r'[A-Za-z]\w*\s+("[^"]*"|[^\s"\[\]]+)')

members = bids.with_sidecars


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a text file opens a graph in brackets after nothing but keys and values."""
    lines = [line.strip() for line in delimited.lines_of(head)]
    for place, line in enumerate(lines):
        if line.split("[")[0].strip() == "graph":
            opened = " ".join([line, *lines[place + 1 : place + 2]])
            return opened.removeprefix("graph").lstrip().startswith("[")
        if not _PAIR.fullmatch(line):
            return False
    return False


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a graph as the node ``graph`` in raw form.

    Raises
    ------
    UnreadableError
        When the file is no GML of one graph, names a node twice or one that is not there, repeats
        an edge without saying ``multigraph 1``, or some edges lack the weight.
    MissingFactError
        When the unit of the weights is not declared.
    """
    text = _text(raw)
    found = _parse(raw, text)
    attributed.note_removed(raw, [*_preamble(text), *map(str, found.graph)])
    labels = [values.get("label") for _, values in found.nodes(data=True)]
    labelled = None not in labels and len(set(map(str, labels))) == len(labels)
    if not labelled and any(label is not None for label in labels):
        raw.note("label", "labels that repeat or are missing", "", "nodes are named by their ids")
    nodes = {}
    for node, values in found.nodes(data=True):
        name = str(values["label"]) if labelled else str(node)
        others = {key: value for key, value in values.items() if key != "label" or not labelled}
        nodes[node] = (name, {"id": node, **others} if name != str(node) else others)
    return attributed.tree(raw, found, nodes, {}, declare)


def _text(raw: Raw) -> str:
    try:
        return attributed.content(raw).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(
            raw.name, f"bytes that are not UTF-8 ({error})", "UTF-8 text", "convert the file"
        ) from error


def _preamble(text: str) -> list[str]:
    """Return the keys before the graph, such as Creator, and whether there are comments."""
    before = text[: text.find("graph")].splitlines()
    keys = [line.split()[0] for line in before if _PAIR.fullmatch(line.strip())]
    return keys + ["comments"] * any(line.lstrip().startswith("#") for line in text.splitlines())


def _parse(raw: Raw, text: str) -> Any:
    networkx = need("networkx", EXTRA)
    try:
        found = networkx.parse_gml(text.splitlines(), label="id")
    except (networkx.NetworkXError, *attributed.DAMAGE) as error:
        raise UnreadableError(
            raw.name, f"no readable GML ({error})", "a GML graph",
            "say multigraph 1 where edges repeat, or export it again",
        ) from error  # fmt: skip
    if not len(found):
        raise UnreadableError(raw.name, "no nodes", "a graph", "export it again")
    return found
