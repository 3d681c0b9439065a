"""Null models of graphs: what is left when the wiring is drawn at random under constraints.

References
----------
Maslov & Sneppen 2002, doi:10.1126/science.1065103: swaps of edges that keep every degree. An
attempt that is refused counts as an attempt, so that all graphs it can reach become equally
likely (Artzy-Randrup & Stone 2005, doi:10.1103/PhysRevE.72.056708). Lengths kept in bins: Betzel
& Bassett 2018, doi:10.1073/pnas.1720186115.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr
from pydantic import Field

from neurodata.errors import InvalidInputError, Problem
from neurodata.steps.step import Step

Ints = npt.NDArray[np.int64]
MOST_EDGES = 2_000_000
ROUND = 100_000
TOLD = {
    "rewire": "wiring at random, degrees kept",
    "rewire_near": "wiring at random, degrees and lengths in bins kept",
    "shuffle_weights": "weights at random, wiring kept",
}


class NullModel(Step):
    """Draw a graph at random that has some of the facts of the recorded one.

    The result is marked: the node has the attributes ``null_model`` and ``null_seed``, and the
    recording a name of its own, so that it never stands where the data were.

    Attributes
    ----------
    model : {"rewire", "rewire_near", "shuffle_weights"}
        ``rewire`` swaps the targets of two edges many times: each neuron keeps how many edges
        leave and reach it, and each edge what it carries (weight, kind) from its source.
        ``rewire_near`` swaps only where the number of edges in each bin of length stays.
        ``shuffle_weights`` keeps all edges and deals their weights out anew. Edges from a node
        to itself stay where they are, and no swap makes one or a second edge for a pair.
    seed : int
    swaps : float, optional
        Attempts for each edge; 10, or 200 for ``rewire_near``, which refuses most of them.
    within : str, optional
        A column of edges, such as ``kind``; edges are swapped, or their weights dealt out,
        among those that are equal in it.
    bins : int
        Of length, with equally many edges.
    """

    name: ClassVar[str] = "null_model"
    works_on: ClassVar[tuple[str, ...]] = ("graph",)
    model: Literal["rewire", "rewire_near", "shuffle_weights"]
    seed: int = Field(ge=0, lt=2**63)
    swaps: float | None = Field(default=None, gt=0, le=10_000)
    within: str | None = None
    bins: int = Field(default=10, ge=2, le=1000)

    @property
    def mark(self) -> str:
        """The model and its seed, for the names of recordings."""
        return f"_null-{self.model.replace('_', '-')}-{self.seed}"

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node drawn at random and marked as such.

        Raises
        ------
        InvalidInputError
            When it is a null model already, edges repeat a pair, or there are no weights or
            positions where the model needs them.
        """
        if "null_model" in node.attrs:
            raise InvalidInputError(where, "a null model already", "a recorded graph", "")
        random = np.random.default_rng(self.seed)
        groups = self._groups(node, where)
        if self.model == "shuffle_weights":
            found = _dealt(node, groups, random, where)
        else:
            found = self._rewired(node, groups, random, where)
        return found.assign_attrs(null_model=TOLD[self.model], null_seed=self.seed)

    def _groups(self, node: xr.Dataset, where: str) -> Ints:
        if self.within is None:
            return np.zeros(node.sizes["edge"], "i8")
        if self.within not in node.variables or node[self.within].dims != ("edge",):
            there = ", ".join(str(n) for n, v in node.variables.items() if v.dims == ("edge",))
            raise InvalidInputError(where, f"no column {self.within} of edges", there)
        texts = node[self.within].values.astype(str)
        return np.unique(texts, return_inverse=True)[1].astype("i8")

    def _rewired(
        self, node: xr.Dataset, groups: Ints, random: np.random.Generator, where: str
    ) -> xr.Dataset:
        source, target = (node[key].values.astype("i8") for key in ("source", "target"))
        if len(source) > MOST_EDGES:
            found = f"{len(source)} edges"
            raise InvalidInputError(where, found, f"up to {MOST_EDGES}", "take a part of it")
        bins = self._bins(node, where) if self.model == "rewire_near" else None
        directed = bool(int(node.attrs["directed"]))
        drawn = Swapping(source, target, groups, node.sizes["node"], directed, bins)
        if drawn.parallel:
            raise InvalidInputError(
                where, f"{drawn.parallel} edges that repeat a pair", "one edge a pair",
                "name a column of edges that tells them apart: within: kind",
            )  # fmt: skip
        swaps = self.swaps or (10.0 if bins is None else 200.0)
        drawn.attempt(round(swaps * len(source)), random)
        return _sorted(node, *drawn.edges())

    def _bins(self, node: xr.Dataset, where: str) -> _Bins:
        if "position" not in node.variables or node["position"].dims != ("node", "axis"):
            raise InvalidInputError(where, "nodes without positions", "a position for each", "")
        places = node["position"].values.astype("f8")
        if not np.isfinite(places).all():
            lost = int((~np.isfinite(places).all(axis=1)).sum())
            raise InvalidInputError(where, f"{lost} nodes without a position", "one for each", "")
        ends = zip(places[node["source"].values], places[node["target"].values], strict=True)
        lengths = [math.dist(a, b) for a, b in ends]
        shares = np.linspace(0, 1, self.bins + 1)
        limits = np.asarray(np.quantile(lengths or [0.0], shares), "f8")
        return _Bins(places, np.unique(limits))

    def findings(self, before: xr.Dataset, parts: Mapping[str, xr.Dataset]) -> Iterator[Problem]:
        """Yield that this is no recorded graph, and how many pairs it shares with that."""
        for path, node in parts.items():
            old, new = (
                np.unique(graph["source"].values * graph.sizes["node"] + graph["target"].values)
                for graph in (before, node)
            )
            same = len(np.intersect1d(old, new, assume_unique=True))
            found = f"a null model: {same} of {len(old)} pairs as recorded"
            yield Problem("note", path, found, "", TOLD[self.model])


class _Bins:
    """Bins of the length between two nodes; -1 beyond them."""

    def __init__(self, places: npt.NDArray[np.float64], limits: npt.NDArray[np.float64]) -> None:
        self._places: list[list[float]] = places.tolist()
        self._inner: list[float] = limits[1:-1].tolist()
        self._most = float(limits[-1]) if len(limits) else 0.0
        self._least = float(limits[0]) if len(limits) else 0.0

    def of(self, a: int, b: int) -> int:
        length = math.dist(self._places[a], self._places[b])
        return bisect_right(self._inner, length) if self._least <= length <= self._most else -1

    def same(self, old: tuple[int, int, int, int]) -> bool:
        """Say whether edges a-d and c-b have lengths in the bins of a-b and c-d."""
        a, b, c, d = old
        new = sorted((self.of(a, d), self.of(c, b)))
        return new[0] >= 0 and new == sorted((self.of(a, b), self.of(c, d)))


class Swapping:
    """Edges under swaps of their targets.

    Parameters
    ----------
    source, target : (edge) int64
    groups : (edge) int64
        Only edges of a group are swapped with each other; pairs are unique within it.
    nodes : int
    directed : bool
        When false, the ends of an edge change places at random before a swap.
    bins : optional
        The bin of a length; swaps keep the number of edges in each.
    """

    def __init__(
        self,
        source: Ints,
        target: Ints,
        groups: Ints,
        nodes: int,
        directed: bool,
        bins: _Bins | None = None,
    ) -> None:
        self._nodes, self._directed, self._bins = nodes, directed, bins
        self._a, self._b, self._group = source.tolist(), target.tolist(), groups.tolist()
        ends = zip(self._group, self._a, self._b, strict=True)
        self._there = {self._key(*edge) for edge in ends}
        self.parallel = len(source) - len(self._there)
        free = np.flatnonzero(source != target)
        order = free[np.argsort(groups[free], kind="stable")]
        counts = np.unique(groups[order], return_counts=True)[1]
        self._members = np.split(order, np.cumsum(counts)[:-1]) if len(order) else []

    def _key(self, group: int, a: int, b: int) -> int:
        if not self._directed and a > b:
            a, b = b, a
        return (group * self._nodes + a) * self._nodes + b

    def attempt(self, count: int, random: np.random.Generator) -> None:
        """Try so many swaps, each group its share of them."""
        whole = sum(map(len, self._members))
        for members in self._members:
            left = round(count * len(members) / whole) if len(members) > 1 else 0
            while left > 0:
                some = min(left, ROUND)
                picks = members[random.integers(0, len(members), (some, 2))].tolist()
                for (i, j), turn in zip(picks, random.integers(0, 4, some).tolist(), strict=True):
                    self._swap(i, j, turn)
                left -= some

    def _swap(self, i: int, j: int, turn: int) -> None:
        group, a, b, c, d = self._group[i], self._a[i], self._b[i], self._a[j], self._b[j]
        if not self._directed:
            a, b = (b, a) if turn & 1 else (a, b)
            c, d = (d, c) if turn & 2 else (c, d)
        if i == j or a == d or c == b:
            return
        new = self._key(group, a, d), self._key(group, c, b)
        if new[0] in self._there or new[1] in self._there or new[0] == new[1]:
            return
        if self._bins is not None and not self._bins.same((a, b, c, d)):
            return
        self._there.difference_update((self._key(group, a, b), self._key(group, c, d)))
        self._there.update(new)
        self._a[i], self._b[i], self._a[j], self._b[j] = a, d, c, b

    def edges(self) -> tuple[Ints, Ints]:
        """Return source and target of the edges, in the order that they were given in."""
        source, target = np.array(self._a, "i8"), np.array(self._b, "i8")
        if self._directed:
            return source, target
        return np.minimum(source, target), np.maximum(source, target)


def _dealt(node: xr.Dataset, groups: Ints, random: np.random.Generator, where: str) -> xr.Dataset:
    """Return the node with its weights dealt out anew among the edges of each group."""
    if "weight" not in node.variables:
        raise InvalidInputError(where, "edges without weights", "weights", "choose another model")
    weight = node["weight"].values.copy()
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        weight[own] = weight[random.permutation(own)]
    return node.assign(weight=node["weight"].copy(data=weight))


def _sorted(node: xr.Dataset, source: Ints, target: Ints) -> xr.Dataset:
    """Return the node with other ends of its edges, in the order that a graph has."""
    order = np.lexsort((target, source))
    made = node.isel(edge=order).assign(
        source=("edge", source[order], dict(node["source"].attrs)),
        target=("edge", target[order], dict(node["target"].attrs)),
    )
    counts = np.bincount(source, minlength=node.sizes["node"])
    splits = np.concatenate([[0], np.cumsum(counts)]).astype("i8")
    return made.assign(row_splits=("split", splits))
