"""Models: plain functions, and a table that says which of them a kind of task is tried with.

A model is one function, ``fit(train, val, seed) -> predict``. ``train`` and ``val`` are batches
that can be iterated again and again; each has ``x (example, ...)`` and ``y (example, ...)``.
``val`` is None where the split has no such side. ``predict(x)`` returns what ``y`` should be. The
test side is never handed to ``fit``, and its ``y`` not to ``predict``. To add a model, write the
function in a module of this package and add a line to `MODELS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Batches = Iterable[Mapping[str, Any]]
Predict = Callable[[Array], Array]
Fit = Callable[[Any, Any, int], Predict]


@dataclass(frozen=True)
class Model:
    """A line of the table.

    Parameters
    ----------
    name : str
        As in scores.
    role : {"baseline", "model"}
    fit : str
        ``"module:function"`` in this package, imported when the model is run.
    inputs : str
        The entry of the batches that the model sees as ``x``.
    optional : bool
        Left out, with a note, where its package is not installed.
    """

    name: str
    role: Literal["baseline", "model"]
    fit: str
    inputs: str = "x"
    optional: bool = False

    def function(self) -> Fit:
        """Import the function."""
        module, _, name = self.fit.partition(":")
        found: Fit = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        return found


PERSISTENCE = Model("persistence", "baseline", "baselines:persistence")
MEAN = Model("training mean", "baseline", "baselines:mean")
RIDGE = Model("ridge", "model", "estimators:ridge")

MODELS: Mapping[str, tuple[Model, ...]] = {
    "forecast": (
        PERSISTENCE,
        MEAN,
        RIDGE,
        Model("convolutional net", "model", "network:convolutional", optional=True),
    ),
    "forecast_counts": (
        PERSISTENCE,
        Model("mean rate", "baseline", "baselines:mean"),
        Model("Poisson regression", "model", "estimators:poisson"),
    ),
    "forecast_volumes": (PERSISTENCE, MEAN, RIDGE),
    "regression": (MEAN, RIDGE),
    "node_classification": (
        Model("most frequent class", "baseline", "baselines:most_frequent"),
        Model("null graph", "baseline", "estimators:forest", inputs="x_null"),
        Model("random forest", "model", "estimators:forest"),
    ),
    "segmentation": (
        Model("Otsu threshold", "baseline", "baselines:otsu"),
        Model("random forest", "model", "estimators:forest"),
    ),
    "inpainting": (
        MEAN,
        Model("mean of 6 neighbours", "baseline", "baselines:face_neighbours"),
        RIDGE,
    ),
}


PLACES = ("corner_zyx", "start_s", "recording")


def gathered(batches: Batches) -> dict[str, Array]:
    """Return all examples of some batches: ``x``, ``y`` and their places, sorted by place.

    Neighbours in time or space are neighbours in the result, also of shuffled batches, so that
    folds of consecutive examples can serve in cross-validation.

    Examples
    --------
    >>> one = {"x": np.ones((2, 3)), "y": np.array([5, 6]), "start_s": np.array([1.0, 0.0])}
    >>> gathered([one])["y"].tolist()
    [6, 5]
    """
    every = list(batches)
    names = [name for name in ("x", "y", *PLACES) if name in every[0]]
    found = {name: np.concatenate([batch[name] for batch in every]) for name in names}
    keys = [found[name].reshape(len(found["y"]), -1).T[::-1] for name in PLACES if name in found]
    if not keys:
        return found
    order = np.lexsort(np.concatenate(keys))
    return {name: values[order] for name, values in found.items()}


def stacked(batches: Batches) -> tuple[Array, Array]:
    """Return all ``x`` and all ``y`` of some batches, sorted by place (see `gathered`).

    Examples
    --------
    >>> one = {"x": np.zeros((2, 3)), "y": np.ones(2)}
    >>> x, y = stacked([one, one])
    >>> x.shape, y.shape
    ((4, 3), (4,))
    """
    found = gathered(batches)
    return found["x"], found["y"]
