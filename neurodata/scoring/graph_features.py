"""What can be said of a neuron by its place in a connectome, whoever it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from neurodata.models import Array

SWAPS_PER_EDGE = 10
STEPS = 100


def node_features(edges: Array, weight: Array, nodes: int) -> Array:
    """Return ``(node, feature)``: nothing depends on the order or the names of the nodes.

    Of each node: in- and out-degree (share of all nodes), logarithms of in- and out-strength and
    of the mean weight of an edge, share of edges that are returned, triangles, hub and authority
    (Kleinberg 1999, doi:10.1145/324133.324140); and the means of all that over the nodes that it
    reaches, and over those that reach it.

    Parameters
    ----------
    edges : array (2, edge)
        Source and target.
    weight : array (edge,)
    nodes : int

    Examples
    --------
    >>> node_features(np.array([[0, 1], [1, 2]]), np.array([1, 5]), 3)[:, :2].round(2).tolist()
    [[0.0, 0.33], [0.33, 0.33], [0.33, 0.0]]
    """
    weights = sparse.csr_array((weight.astype("f8"), (edges[0], edges[1])), shape=(nodes, nodes))
    links = weights.sign()
    into, out = _total(links, 0), _total(links, 1)
    strength_in, strength_out = _total(weights, 0), _total(weights, 1)
    hub, authority = _hits(weights)
    own = np.column_stack(
        [
            into / nodes,
            out / nodes,
            np.log1p(strength_in),
            np.log1p(strength_out),
            np.log1p(_ratio(strength_in, into)),
            np.log1p(_ratio(strength_out, out)),
            _ratio(_total(links.multiply(links.T), 1), out),
            _ratio(_total((links @ links).multiply(links), 1), out * out),
            hub,
            authority,
        ]
    )
    after = _ratio(links @ own, out[:, None])
    before = _ratio(links.T @ own, into[:, None])
    return np.hstack([own, after, before])


def _total(matrix: Any, axis: int) -> Array:
    return np.asarray(matrix.sum(axis=axis)).ravel()


def _ratio(top: Array, bottom: Array) -> Array:
    return np.asarray(top / np.maximum(bottom, 1))


def _hits(weights: Any) -> tuple[Array, Array]:
    """Return hub and authority scores with a mean square of 1, by power iteration."""
    nodes = weights.shape[0]
    hub, authority = np.ones(nodes), np.ones(nodes)
    for _ in range(STEPS):
        authority = _unit(weights.T @ hub)
        hub = _unit(weights @ authority)
    return hub, authority


def _unit(values: Array) -> Array:
    size = np.sqrt(np.mean(values**2))
    return np.asarray(values / size) if size > 0 else values


def rewired(edges: Array, seed: int) -> Array:
    """Return edges with the same in- and out-degree for every node, and else at random.

    Pairs of edges swap their targets, ten times the number of edges, where that makes no edge
    twice and no loop (Maslov and Sneppen 2002, doi:10.1126/science.1065103). Weights stay with
    the sources.

    Examples
    --------
    >>> rewired(np.array([[0, 1, 2], [1, 2, 0]]), seed=0)[0].tolist()
    [0, 1, 2]
    """
    source, target = edges[0].tolist(), edges[1].tolist()
    present = set(zip(source, target, strict=True))
    drawn = np.random.default_rng(seed).integers(0, len(source), (SWAPS_PER_EDGE * len(source), 2))
    for i, j in drawn.tolist():
        one, other = (source[i], target[j]), (source[j], target[i])
        loops = one[0] == one[1] or other[0] == other[1]
        if loops or one in present or other in present:
            continue
        present -= {(source[i], target[i]), (source[j], target[j])}
        present |= {one, other}
        target[i], target[j] = target[j], target[i]
    return np.array([source, target])
