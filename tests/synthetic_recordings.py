"""Synthetic recordings in memory, in the form in which the loader's parts read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neurodata.store.version import StoredNode


@dataclass
class HeldArray:
    """Stands for a stored array; counts how often it was decoded."""

    dims: tuple[str, ...]
    held: np.ndarray
    decoded: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.held.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.held.dtype

    @property
    def values(self) -> np.ndarray:
        self.decoded += 1
        return self.held


def held_node(
    representation: str, arrays: dict[str, tuple[tuple[str, ...], Any]], **attrs: Any
) -> StoredNode:
    made: Any = {name: HeldArray(dims, np.asarray(v)) for name, (dims, v) in arrays.items()}
    return StoredNode({"representation": representation, **attrs}, made)


class HeldRecordings:
    """Stands for `neurodata.loader.recordings.Recordings`."""

    def __init__(self, *every: dict[str, StoredNode]) -> None:
        self.every = [{".": StoredNode({}, {}), **nodes} for nodes in every]
        self.ids = tuple(f"lab/{number}" for number in range(len(every)))
        self.versions = ("0",) * len(every)

    def nodes(self, number: int) -> dict[str, StoredNode]:
        return self.every[number]

    def node(self, number: int, name: str) -> StoredNode:
        return self.every[number][name]

    def array(self, key: tuple[int, str, str]) -> Any:
        number, node, name = key
        return self.node(number, node)[name]

    def values(self, number: int, node: str, name: str) -> np.ndarray:
        return self.array((number, node, name)).held

    def where(self, number: int, node: str = "") -> str:
        return f"{self.ids[number]}: {node}"


def held_spikes(trains: list[np.ndarray], **attrs: Any) -> StoredNode:
    return held_node(
        "spikes",
        {
            "time_s": (("spike",), np.concatenate([np.zeros(0), *trains])),
            "row_splits": (("split",), np.cumsum([0, *map(len, trains)])),
            "unit_id": (("unit",), np.array([f"u{n}" for n in range(len(trains))], object)),
        },
        **attrs,
    )


def held_graph(
    source: Any, target: Any, nodes: int, directed: bool, weight: Any = None, **columns: Any
) -> StoredNode:
    """A graph as stored: an undirected one has ``source <= target``; edges are sorted."""
    source, target = np.asarray(source, "i8"), np.asarray(target, "i8")
    if not directed:
        source, target = np.minimum(source, target), np.maximum(source, target)
    order = np.lexsort([target, source])
    arrays: dict[str, Any] = {
        "source": (("edge",), source[order]),
        "target": (("edge",), target[order]),
        "node_id": (("node",), np.array([f"n{n}" for n in range(nodes)], object)),
    }
    if weight is not None:
        arrays["weight"] = (("edge",), np.asarray(weight)[order])
    for name, values in columns.items():
        arrays[name] = (("node", "axis")[: np.ndim(values)], np.asarray(values))
    return held_node("graph", arrays, directed=int(directed), weight_units="count")
