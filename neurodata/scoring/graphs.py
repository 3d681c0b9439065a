"""Tasks on connectomes: the class of a neuron from its place in the graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader import Graphs
from neurodata.models import Array
from neurodata.scoring.graph_features import node_features, rewired
from neurodata.scoring.sides import Sides, loaders
from neurodata.splits import Split
from neurodata.store import Store


def node_classification(
    store: Store, split: Split, node: str | None, seed: int, *, label: str
) -> Sides:
    """Tell the class of each neuron; ``x_null`` is the same of a graph rewired at random.

    The rewired graph keeps every neuron's in- and out-degree, so that it shows what degrees
    alone are worth.
    """

    def features(batch: dict[str, Any]) -> dict[str, Any]:
        graph = batch["graph"][0]
        if label not in graph:
            raise InvalidInputError("node_classification", f"no column {label!r}", "the label's")
        edges, nodes = graph["edge_index"], graph["num_nodes"]
        weight = graph.get("edge_weight", np.ones(edges.shape[1]))
        return {
            "x": node_features(edges, weight, nodes),
            "x_null": node_features(rewired(edges, seed), weight, nodes),
            "y": np.asarray(graph[label]).astype(str),
            "recording": np.repeat(batch["recording"], nodes),
        }

    made = loaders(store, split, Graphs(node), features, seed, batch_size=1)
    sides = {name: list(loader) for name, loader in made.items()}
    return Sides(
        sides["train"], sides.get("val"), sides["test"], "balanced accuracy", _each, "neurons"
    )


def _each(found: Any, terms: Array) -> tuple[Array, str]:
    return np.arange(len(found["y"])), "blocks of one neuron"
