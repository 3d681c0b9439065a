"""Matrices of connections in files of named arrays, MATLAB's and HDF5: a person declares which.

``variables.weight`` names the matrix, ``variables.node`` the variable that names its rows and
columns; ``axes``, ``directed`` and ``weight_units`` are those of `neurodata.readers.adjacency`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, UnreadableError
from neurodata.readers import adjacency
from neurodata.readers.graph import WEIGHT_UNITS, Edges, require_none
from neurodata.readers.mapped import Listed, Source, describe_all
from neurodata.safe import Raw

WEIGHT, NODE = "variables.weight", "variables.node"
LEAST_NODES = 3
MOST_NODES = 8192  # half a gigabyte of 64-bit numbers


def matrix(source: Source, raw: Raw, declare: Declared) -> xr.DataTree:
    """Read the declared square matrix as the node ``graph``; zeros are no edges.

    Raises
    ------
    InvalidInputError
        When the file has no square matrix or no names of those variables.
    UnreadableError
        When a weight is no finite number, or names are lacking or repeat.
    MissingFactError
        When the direction of an asymmetric matrix or the unit of the weights is not declared.
    """
    found = {item.name: item for item in source.listed()}
    name = _declared(WEIGHT, found, declare)
    if not is_square(found[name]):
        raise InvalidInputError(
            f"{raw.name}: --set {WEIGHT}",
            str(found[name]),
            f"a square of real numbers, {LEAST_NODES} to {MOST_NODES} rows",
        )
    weights = np.asarray(source.numbers(name))
    if not np.isfinite(weights).all():
        count = int((~np.isfinite(weights)).sum())
        raise UnreadableError(
            f"{raw.name}: {name}", f"{count} values that are no finite numbers", "weights",
            "set what is no edge to 0 at the source",
        )  # fmt: skip
    nodes = [str(node) for node in range(len(weights))]
    if NODE in declare.facts:
        nodes = _names(source, _declared(NODE, found, declare), len(weights), raw)
    origin, target = np.nonzero(weights)
    edges = Edges(origin, target, weights[origin, target])
    return adjacency.of_edges(raw, edges, nodes, {}, declare)


def is_square(item: Listed) -> bool:
    """Say whether a variable could be a matrix of connections."""
    sides = set(item.shape)
    square = item.numeric and len(item.shape) == 2 and len(sides) == 1
    return square and LEAST_NODES <= min(sides) <= MOST_NODES


def require_declared(source: Source, found: Sequence[Listed], raw: Raw) -> None:
    """Refuse a file whose largest variable is a square, telling all that it lacks at once.

    Raises
    ------
    MissingFactError
        With the variables, and the flags that make a graph of the square.
    """
    numeric = [item for item in found if item.numeric]
    largest = max(numeric, key=lambda item: math.prod(item.shape), default=None)
    if largest is None or not is_square(largest):
        return
    weights = np.asarray(source.numbers(largest.name))
    lacking = [("which variable is the matrix of connections (or, of traces, variables.signal)",
                f"{WEIGHT}={largest.name}")]  # fmt: skip
    if not np.array_equal(weights, weights.T):
        lacking.append(("what its rows and columns are", "axes=source,target|target,source"))
    require_none(raw, describe_all(found), [*lacking, WEIGHT_UNITS])


def _declared(key: str, found: dict[str, Listed], declare: Declared) -> str:
    name = declare.text(key) or ""
    if name not in found:
        raise InvalidInputError(
            f"--set {key}", repr(name), f"one of {describe_all(list(found.values()))}"
        )
    return name


def _names(source: Source, variable: str, count: int, raw: Raw) -> list[str]:
    names = [name.strip() for name in source.texts(variable)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if len(names) != count or twice or not all(names):
        what = f"{len(names)} names" + (f", {twice[0]!r} more than once" if twice else "")
        raise UnreadableError(f"{raw.name}: {variable}", what, f"{count}, each once")
    return names
