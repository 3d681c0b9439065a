"""Metrics, each as a function of sums over examples, so that they can be bootstrapped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from neurodata.models import Array


@dataclass(frozen=True)
class Metric:
    """A score of predictions; greater is better.

    Parameters
    ----------
    name : str
    terms : function of y, predicted, reference
        Gives ``(example, term)``; ``reference`` is what a reference model predicted.
    value : function of sums (draw, term)
        Gives ``(draw,)``.
    """

    name: str
    terms: Callable[[Array, Array, Array], Array]
    value: Callable[[Array], Array]


def squared_error(y: Array, predicted: Array) -> Array:
    """Return each example's squared error, averaged over outputs.

    Examples
    --------
    >>> squared_error(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]]))
    array([2.])
    """
    error = np.asarray(y, "f8") - predicted
    return np.asarray((error**2).reshape(len(error), -1).mean(axis=1))


def _skill_terms(y: Array, predicted: Array, reference: Array) -> Array:
    return np.stack([squared_error(y, predicted), squared_error(y, reference)], axis=1)


def _skill(sums: Array) -> Array:
    return np.asarray(1 - sums[:, 0] / sums[:, 1])


def _accuracy_terms(y: Array, predicted: Array, reference: Array) -> Array:
    of_class = np.asarray(y[:, None] == np.unique(y), "f8")
    return np.hstack([of_class * (predicted == y)[:, None], of_class])


def _balanced_accuracy(sums: Array) -> Array:
    right, count = np.split(sums, 2, axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nanmean(right / count, axis=1))


def _dice_terms(y: Array, predicted: Array, reference: Array) -> Array:
    return np.stack([y & predicted, y, predicted], axis=1).astype("f8")


def _dice(sums: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * sums[:, 0] / (sums[:, 1] + sums[:, 2]))


METRICS: Mapping[str, Metric] = {
    "skill": Metric("skill", _skill_terms, _skill),
    "balanced accuracy": Metric("balanced accuracy", _accuracy_terms, _balanced_accuracy),
    "Dice": Metric("Dice", _dice_terms, _dice),
}
"""``skill`` is 1 - MSE / MSE of the reference: 0 is no better than that, 1 is perfect. Over the
training mean it is the out-of-sample R².

``balanced accuracy`` is the mean over classes of the share that is right; ``Dice`` is 2 |A ∩ B| /
(|A| + |B|) of the foreground (Dice 1945, doi:10.2307/1932409).
"""
