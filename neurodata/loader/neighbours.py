"""Neighbourhoods of seed nodes: mini-batches of graphs that are too large for one batch."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.adjacency import Drawer, adjacency
from neurodata.loader.feed import (
    Feed,
    Function,
    Request,
    per_pick,
    plain_target,
    refuse_scale,
    unknown_target,
)
from neurodata.loader.plan import Array, Place
from neurodata.loader.recordings import Recordings, choose_node
from neurodata.loader.samples import Direction, Neighbours
from neurodata.loader.target import NO_TARGET, Node, Target, facts_of, missing, resolve

SEED = np.dtype([("recording", "i4"), ("start_s", "f8"), ("node", "i8")])
"""A seed node: recording and node by number; it has no time."""

OWN = ("node_recording", "edge_index", "edge_id", "edge_weight", "edge_kind", "num_sampled_nodes",
       "num_sampled_edges", "batch_size", "recording", "units", "target")  # fmt: skip
"""Names of a batch that no column of the nodes can have."""


class Held(NamedTuple):
    """What is in memory of the graphs; the columns by the names that batches have."""

    drawer: Drawer
    of_edge: dict[str, Array]
    of_node: dict[str, Array]


class Network:
    """The graphs of all recordings as one, nodes and edges counted through, held in memory.

    Parameters
    ----------
    recordings : Recordings
    node : str
        Name of the graph node.
    sample : Neighbours

    Raises
    ------
    InvalidInputError
        When the columns asked for are not there, or one has a name that batches use.
    """

    def __init__(self, recordings: Recordings, node: str, sample: Neighbours) -> None:
        self.recordings, self.node, self.sample = recordings, node, sample
        sizes = [recordings.node(number, node).sizes for number in range(len(recordings.ids))]
        self.first_node = np.cumsum([0, *(size["node"] for size in sizes)])
        self.first_edge = np.cumsum([0, *(size["edge"] for size in sizes)])
        self.columns = _columns(recordings, node, sample)
        self._lock = threading.Lock()
        self._held: Held | None = None
        self.held()  # before any worker is forked, so that they share it

    def __getstate__(self) -> dict[str, Any]:
        """Leave the arrays behind: another process reads them when it needs them."""
        return {key: value for key, value in vars(self).items() if not key.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock, self._held = threading.Lock(), None

    def held(self) -> Held:
        """Return the arrays, read once in a process."""
        with self._lock:
            if self._held is None:
                self._held = self._read()
            return self._held

    def _read(self) -> Held:
        numbers = range(len(self.recordings.ids))
        parts = [_leads(self.recordings, self.node, n, self.sample.direction) for n in numbers]
        firsts = (self.first_node, self.first_node, self.first_edge)
        near, far, edge = (
            _joined([part[at] for part in parts], first) for at, first in enumerate(firsts)
        )
        lists = adjacency(near, far, edge, int(self.first_node[-1]))
        of_edge = [
            name
            for name in ("weight", "kind")
            if all(name in self.recordings.node(number, self.node) for number in numbers)
        ]
        return Held(
            drawer=Drawer(lists, self.sample.fan_out),
            of_edge={f"edge_{name}": self._column(name) for name in of_edge},
            of_node={name: self._column(name) for name in self.columns},
        )

    def _column(self, name: str) -> Array:
        numbers = range(len(self.recordings.ids))
        return _joined([_whole(self.recordings, number, self.node, name) for number in numbers])

    def batch(self, seeds: Array, generator: np.random.Generator) -> dict[str, Any]:
        """Return the arrays of a batch; see `draw_neighbours`."""
        held = self.held()
        drawn = held.drawer.draw(seeds, generator)
        ends = [drawn.far, drawn.near]  # of every edge: from source to target
        if self.sample.direction == "out":
            ends.reverse()
        batch: dict[str, Any] = {
            name: values.take(drawn.edge) for name, values in held.of_edge.items()
        }
        batch |= {name: values.take(drawn.node, 0) for name, values in held.of_node.items()}
        node, edge, recording = drawn.node, drawn.edge, np.zeros(len(drawn.node), "i8")
        if len(self.recordings.ids) > 1:
            recording = np.searchsorted(self.first_node, node, side="right") - 1
            node = node - self.first_node[recording]
            edge = edge - self.first_edge[recording[drawn.near]]
        return batch | {
            "node_id": node,
            "node_recording": recording,
            "edge_index": np.stack(ends),
            "edge_id": edge,
            "num_sampled_nodes": drawn.nodes,
            "num_sampled_edges": drawn.edges,
            "batch_size": len(seeds),
        }


def _columns(recordings: Recordings, node: str, sample: Neighbours) -> tuple[str, ...]:
    """Return the columns that batches have: by default, those that all recordings share."""
    every = [_node_columns(recordings, node, number) for number in range(len(recordings.ids))]
    common = [name for name in every[0] if all(e.get(name) == every[0][name] for e in every)]
    names = common if sample.columns is None else sample.columns
    where = recordings.where(0, node)
    for name in names:
        if name not in common:
            expected = f"one of {', '.join(common) or 'none'}, alike in all recordings"
            raise InvalidInputError(where, f"no column {name!r} of nodes", expected)
        if name in OWN:
            hint = "leave it out: Neighbours(columns=[...])"
            raise InvalidInputError(where, f"a column {name!r}", "a name of its own", hint)
    return tuple(names)


def _whole(recordings: Recordings, number: int, node: str, name: str) -> Array:
    """Return a whole array that is read once: the recordings do not keep it."""
    return recordings.array((number, node, name)).values


def _joined(parts: Sequence[Array], first: Array | None = None) -> Array:
    """Return all parts as one array, plus the number that each starts at."""
    if len(parts) == 1:
        return parts[0]
    if first is None:
        return np.concatenate(parts)
    return np.concatenate([part + start for part, start in zip(parts, first[:-1], strict=True)])


def _node_columns(recordings: Recordings, node: str, number: int) -> dict[str, Any]:
    """Return the columns of a graph's nodes but for their names, and what must be alike."""
    found = {}
    for name, array in recordings.node(number, node).arrays.items():
        if array.dims[:1] == ("node",) and name != "node_id":
            numeric = array.dtype.kind in "biuf"
            found[str(name)] = (array.dtype if numeric else "text", array.shape[1:])
    return found


def _leads(
    recordings: Recordings, node: str, number: int, direction: Direction
) -> tuple[Array, Array, Array]:
    """Return for every way along an edge the node it leads from, its neighbour and the edge."""
    source, target = (_whole(recordings, number, node, name) for name in ("source", "target"))
    edge = np.arange(len(source))
    if recordings.node(number, node).attrs["directed"] and direction != "both":
        return (target, source, edge) if direction == "in" else (source, target, edge)
    back = np.flatnonzero(source != target)  # a loop leads one way only
    return (
        np.concatenate([target, source[back]]),
        np.concatenate([source, target[back]]),
        np.concatenate([edge, back]),
    )


def draw_neighbours(network: Network, picks: Array, at: Array, place: Place) -> dict[str, Any]:
    """Return the subgraph of a batch of seed nodes, by the names that PyTorch Geometric uses.

    ``node_id (node)`` int64, seeds first, ``edge_index (2, edge)`` int64 indices into it from
    source to target, ``edge_id (edge)``, ``edge_weight``, ``edge_kind`` and the columns of the
    nodes; ``num_sampled_nodes`` and ``num_sampled_edges`` of each hop, ``batch_size``, and
    ``node_recording (node)``, which ``node_id`` and ``edge_id`` count in. Where edges lead both
    ways, ``edge_index`` goes from the neighbour to the node that it was drawn for (with
    ``direction="out"`` the other way round).
    """
    seeds = network.first_node[picks["recording"][at]] + picks["node"][at]
    return network.batch(seeds, place.generator())


def neighbour_feed(request: Request, sample: Neighbours, recordings: Recordings) -> Feed:
    """Return the feed of seed nodes with their neighbourhoods.

    Raises
    ------
    InvalidInputError
        When the split cuts recordings, or seeds or target are not there.
    """
    refuse_scale(request)
    node = choose_node(recordings, "graph", sample.node)
    cut = [a["id"] for a in request.assignments if "start_s" in a or "box_zyx" in a]
    if cut:
        raise InvalidInputError(
            f"split: {cut[0]}", "a part of a graph", "whole recordings", "split by recording"
        )
    picks = _seeds(recordings, node, sample)
    keep, extra = _target(request, recordings, node, picks)
    left_out = Counter({NO_TARGET: int((~keep).sum())})
    picks = picks[keep]
    units = str(recordings.node(0, node).attrs.get("weight_units", ""))
    return Feed(
        picks=picks,
        fetcher=None,
        left_out=+left_out,
        extra=extra,
        drawn=partial(draw_neighbours, Network(recordings, node, sample), picks),
        channels=(("weight",),) * len(recordings.ids),
        channel_units=((units,),) * len(recordings.ids),
    )


def _seeds(recordings: Recordings, node: str, sample: Neighbours) -> Array:
    """Return the picks of the seed nodes, recording by recording."""
    if not (sample.seeds is None or isinstance(sample.seeds, str)) and len(recordings.ids) > 1:
        raise InvalidInputError(
            "Neighbours(seeds)",
            f"node numbers for {len(recordings.ids)} recordings",
            "one recording",
            "name a column of the nodes",
        )
    parts = []
    for number in range(len(recordings.ids)):
        own = _own_seeds(recordings, node, number, sample.seeds)
        part = np.zeros(len(own), SEED)
        part["recording"], part["start_s"], part["node"] = number, np.nan, own
        parts.append(part)
    return np.concatenate(parts)


def _own_seeds(
    recordings: Recordings, node: str, number: int, seeds: str | Sequence[int] | None
) -> Array:
    """Return the numbers of one recording's seed nodes."""
    where, nodes = recordings.where(number, node), recordings.node(number, node).sizes["node"]
    if seeds is None:
        return np.arange(nodes)
    if not isinstance(seeds, str):
        own = np.asarray(seeds)
        if own.min() < 0 or own.max() >= nodes:
            raise InvalidInputError(where, f"seeds {own.min()} to {own.max()}", f"0 to {nodes - 1}")
        return own
    kinds = {
        name: facts[0].kind
        for name, facts in _node_columns(recordings, node, number).items()
        if facts[0] != "text" and facts[1] == ()
    }
    usable = [name for name, kind in kinds.items() if kind in "biu"]
    if seeds not in usable:
        expected = f"a column of true/false or whole numbers: {', '.join(usable) or 'none'}"
        raise InvalidInputError(where, f"no such column {seeds!r} for seeds", expected)
    return np.flatnonzero(_whole(recordings, number, node, seeds))


def _target(
    request: Request, recordings: Recordings, node: str, picks: Array
) -> tuple[Array, tuple[Function, ...]]:
    """Return which picks have a target, and its function, if any, of those that have one.

    It is a column of the nodes, or what any sample can have.
    """
    wanted = request.target
    numbers = range(len(recordings.ids))
    if isinstance(wanted, str) and all(
        wanted in _node_columns(recordings, node, number) for number in numbers
    ):
        if any(wanted in facts_of(recordings, number) for number in numbers):
            raise _two_meanings(wanted)
        columns = [_whole(recordings, number, node, wanted) for number in numbers]
        own = [picks["node"][picks["recording"] == number] for number in numbers]
        values = np.concatenate([c[at] for c, at in zip(columns, own, strict=True)])
        keep = np.logical_not(missing(values).reshape(len(values), -1).any(axis=1))
        return keep, (partial(per_pick, values[keep]),)
    every = np.ones(len(picks), bool)
    target: Target = resolve(wanted, recordings)
    if isinstance(target, Node):
        raise unknown_target(request, target)
    if target is None:
        return every, ()
    return every, (plain_target(request, recordings, target, picks),)


def _two_meanings(name: str) -> InvalidInputError:
    return InvalidInputError(
        "target",
        f"{name!r}, both a recording's fact and a column of nodes",
        "one of them",
        f"give Attribute({name!r}), or take the column from the batch",
    )
