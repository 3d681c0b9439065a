"""Drawing the neighbours of nodes: many rows of an adjacency at once, in NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from neurodata.loader.plan import Array


class Adjacency(NamedTuple):
    """The edges that lead to each node's neighbours: those of ``splits[i]:splits[i + 1]``.

    Parameters
    ----------
    splits : int64 array (node + 1,)
    neighbour, edge : integer arrays (slot,)
        The node at the other end, and the number of the stored edge.
    """

    splits: Array
    neighbour: Array
    edge: Array


class Subgraph(NamedTuple):
    """A drawn neighbourhood: the seed nodes come first in ``node``, then hop by hop.

    Parameters
    ----------
    node : int64 array (node,)
    near, far : int64 arrays (edge,)
        Indices into ``node``: the node that an edge was drawn for, and its neighbour.
    edge : integer array (edge,)
        Numbers of the stored edges.
    nodes, edges : list of int
        New nodes (the seeds first) and edges of each hop.
    """

    node: Array
    near: Array
    far: Array
    edge: Array
    nodes: list[int]
    edges: list[int]


def adjacency(near: Array, far: Array, edge: Array, nodes: int) -> Adjacency:
    """Return the adjacency of edges that lead from ``near`` to ``far``.

    Examples
    --------
    >>> made = adjacency(np.array([1, 0, 1]), np.array([0, 1, 2]), np.arange(3), nodes=3)
    >>> made.splits.tolist(), made.neighbour.tolist(), made.edge.tolist()
    ([0, 1, 3, 3], [1, 0, 2], [1, 0, 2])
    """
    small = "i4" if max(nodes, len(edge)) < 2**31 else "i8"
    splits = np.concatenate([[0], np.cumsum(np.bincount(near, minlength=nodes))]).astype("i8")
    if (near[1:] >= near[:-1]).all():
        return Adjacency(splits, far.astype(small), edge.astype(small))
    order = np.argsort(near, kind="stable")
    return Adjacency(splits, far[order].astype(small), edge[order].astype(small))


def slots_of(
    splits: Array, frontier: Array, fan_out: int, generator: np.random.Generator
) -> tuple[Array, Array]:
    """Return what is drawn for each frontier node: its index in the frontier, and the slots."""
    first = splits[frontier]
    degree = splits[frontier + 1] - first
    widest = int(degree.max(initial=0))
    if fan_out < 0 or fan_out >= widest:
        row = np.repeat(np.arange(len(frontier)), degree)
        before = np.cumsum(degree) - degree
        return row, np.repeat(first - before, degree) + np.arange(len(row))
    many = degree > fan_out
    if many.all():
        chosen = floyd(degree, fan_out, generator)
        row = np.repeat(np.arange(len(frontier)), fan_out)
        return row, (first + chosen).T.ravel()
    place = np.arange(fan_out)
    slot = first[:, None] + place
    slot[many] = (first[many] + floyd(degree[many], fan_out, generator)).T
    row = np.repeat(np.arange(len(frontier)), np.minimum(degree, fan_out))
    return row, slot[place < degree[:, None]]


def floyd(sizes: Array, count: int, generator: np.random.Generator) -> Array:
    """Draw ``count`` different numbers below each of ``sizes``: ``(count, size)`` int64.

    Floyd's algorithm, for all sizes at once; no size is under ``count``.
    """
    numbers = generator.random((count, len(sizes)))
    upper = np.arange(1 - count, 1)[:, None] + sizes
    chosen = (numbers * upper).astype("i8")
    for step in range(1, count):
        taken = (chosen[:step] == chosen[step]).any(axis=0)
        np.copyto(chosen[step], upper[step] - 1, where=taken)
    return chosen


def fresh_of(place: Array, neighbour: Array, count: int) -> Array:
    """Return the nodes that have no place yet, each once, and give them places from ``count``."""
    unseen = neighbour[place[neighbour] < 0]
    # Where a node comes twice the last one written stays: backwards, that is the first.
    place[unseen[::-1]] = np.arange(len(unseen) - 1, -1, -1)
    fresh: Array = unseen[place[unseen] == np.arange(len(unseen))]
    place[fresh] = np.arange(count, count + len(fresh))
    return fresh


class Drawer:
    """Draws neighbourhoods from one adjacency; threads may share it.

    Parameters
    ----------
    adjacency : Adjacency
    fan_out : sequence of int
        Edges per node, one number for each hop; -1 takes all.
    """

    def __init__(self, adjacency: Adjacency, fan_out: Sequence[int]) -> None:
        self.adjacency, self.fan_out = adjacency, tuple(fan_out)
        self._clean: list[Array] = []  # one lookup table for each thread that draws just now

    def draw(self, seeds: Array, generator: np.random.Generator) -> Subgraph:
        """Draw the neighbourhood of seed nodes, each given once.

        A node has its neighbours drawn in the hop after the one that reached it first.
        """
        splits, neighbours, edges = self.adjacency
        try:
            place = self._clean.pop()
        except IndexError:
            place = np.full(len(splits) - 1, -1, neighbours.dtype)
        place[seeds] = np.arange(len(seeds))
        nodes, near, far, edge = [seeds.astype("i8")], [], [], []
        first, count = 0, len(seeds)
        for fan_out in self.fan_out:
            row, slot = slots_of(splits, nodes[-1], fan_out, generator)
            neighbour = neighbours[slot]
            fresh = fresh_of(place, neighbour, count)
            near.append(row + first)
            far.append(place[neighbour])
            edge.append(edges[slot])
            nodes.append(fresh.astype("i8"))
            first, count = count, count + len(fresh)
        node = np.concatenate(nodes)
        place[node] = -1
        self._clean.append(place)  # only now: a table is not clean after a failure
        return Subgraph(
            node=node,
            near=np.concatenate(near),
            far=np.concatenate(far).astype("i8"),
            edge=np.concatenate(edge).astype("i8"),
            nodes=[len(part) for part in nodes],
            edges=[len(part) for part in edge],
        )
