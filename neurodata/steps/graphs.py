"""Graphs: both directions of a connection as one."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import xarray as xr

from neurodata.errors import InvalidInputError
from neurodata.steps.step import Step


class Symmetrise(Step):
    """Make a directed graph undirected: each pair of nodes has one edge, ``source <= target``.

    Attributes
    ----------
    how : {"sum", "max", "mean"}
        What becomes of the weights of both directions; ``mean`` counts a missing one as 0.
    """

    name: ClassVar[str] = "symmetrise"
    works_on: ClassVar[tuple[str, ...]] = ("graph",)
    how: Literal["sum", "max", "mean"] = "sum"

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node with undirected edges, sorted by source and target.

        Raises
        ------
        InvalidInputError
            When it is undirected already, or edges carry more than a weight.
        """
        if not int(node.attrs["directed"]):
            raise InvalidInputError(where, "an undirected graph", "a directed one", "leave it out")
        extra = [str(n) for n, v in node.variables.items()
                 if "edge" in v.dims and n not in ("source", "target", "weight")]  # fmt: skip
        if extra:
            raise InvalidInputError(
                where, f"edges with {', '.join(extra)}", "source, target and weight alone",
                "which of both directions' values to keep is not known",
            )  # fmt: skip
        source, target = node["source"].values, node["target"].values
        low, high = np.minimum(source, target), np.maximum(source, target)
        order = np.lexsort((high, low))
        low, high = low[order], high[order]
        first = np.ones(len(low), bool)
        first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
        begins = np.flatnonzero(first)
        made: dict[str, Any] = {"source": ("edge", low[first]), "target": ("edge", high[first])}
        if "weight" in node:
            weight = self._joined(node["weight"].values[order], begins, low[first] == high[first])
            made["weight"] = ("edge", weight, dict(node["weight"].attrs))
        counts = np.bincount(low[first], minlength=node.sizes["node"])
        made["row_splits"] = ("split", np.concatenate([[0], np.cumsum(counts)]).astype("i8"))
        return node.drop_dims(["edge", "split"]).assign(made).assign_attrs(directed=0)

    def _joined(self, weight: Any, begins: Any, loops: Any) -> Any:
        if not len(begins):
            return weight
        if self.how == "max":
            return np.maximum.reduceat(weight, begins)
        total = np.add.reduceat(weight, begins)
        return total if self.how == "sum" else np.where(loops, total, total / 2)
