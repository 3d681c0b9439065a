"""The feed of whole graphs, one per recording."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.feed import (
    Feed,
    Function,
    Request,
    plain_target,
    refuse_scale,
    unknown_target,
)
from neurodata.loader.plan import Array
from neurodata.loader.recordings import Recordings, choose_node
from neurodata.loader.samples import Graphs
from neurodata.loader.target import Node, resolve


def graph_feed(request: Request, sample: Graphs, recordings: Recordings) -> Feed:
    """Return the feed of graphs, one per recording.

    Raises
    ------
    InvalidInputError
        When the split cuts recordings.
    """
    refuse_scale(request)
    node = choose_node(recordings, "graph", sample.node)
    cut = [a["id"] for a in request.assignments if "start_s" in a or "box_zyx" in a]
    if cut:
        raise InvalidInputError(
            f"split: {cut[0]}", "a part of a graph", "whole recordings", "split by recording"
        )
    picks = np.zeros(len(recordings.ids), [("recording", "i4"), ("start_s", "f8")])
    picks["recording"], picks["start_s"] = np.arange(len(picks)), np.nan
    target = resolve(request.target, recordings)
    if isinstance(target, Node):
        raise unknown_target(request, target)
    fetch = partial(fetch_graphs, recordings, node)
    extra: tuple[Function, ...] = (partial(_of_picks, fetch, picks),)
    if target is not None:
        extra += (plain_target(request, recordings, target, picks),)
    units = str(recordings.node(0, node).attrs.get("weight_units", ""))
    return Feed(
        picks=picks,
        fetcher=None,
        extra=extra,
        left_out=Counter(),
        channels=(("weight",),) * len(picks),
        channel_units=((units,),) * len(picks),
    )


def _of_picks(fetch: Function, picks: Array, at: Array) -> dict[str, Any]:
    return fetch(picks[at])


EDGES = ("source", "target", "weight", "kind")


def fetch_graphs(recordings: Recordings, node: str, picks: Array) -> dict[str, Any]:
    """Return ``graph``: for each pick a mapping with the names that PyTorch Geometric uses.

    ``edge_index (2, edge)`` int64, ``edge_weight (edge)`` where edges have one, ``edge_kind``
    where kinds differ, ``num_nodes``, and the node columns by their own names.
    """
    return {"graph": [_graph(recordings, node, int(pick["recording"])) for pick in picks]}


def _graph(recordings: Recordings, node: str, number: int) -> dict[str, Any]:
    data = recordings.node(number, node)
    ends = [recordings.values(number, node, name) for name in EDGES[:2]]
    graph: dict[str, Any] = {"edge_index": np.stack(ends).astype("i8")}
    for name in EDGES[2:]:
        if name in data:
            graph[f"edge_{name}"] = recordings.values(number, node, name).copy()
    graph["num_nodes"] = data.sizes["node"]
    for name, array in data.arrays.items():
        if array.dims == ("node",):
            graph[name] = recordings.values(number, node, name).copy()
    return graph
