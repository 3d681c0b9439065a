"""Models of scikit-learn; scalers and penalties see the training and validation sides only."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodata.errors import need
from neurodata.models import Array, Batches, Predict, stacked

PENALTIES = np.logspace(-1, 5, 7)
FOLDS = 5
SQUARED = "neg_mean_squared_error"
TREES = 100


def ridge(train: Batches, val: Batches | None, seed: int) -> Predict:
    """Fit ridge regression of all of ``y`` on all standardised entries of ``x``.

    The penalty is the one with the least squared error in cross-validation of the training side,
    in 5 folds that are contiguous in time or space.

    Raises
    ------
    MissingDependencyError
        When scikit-learn is not installed.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 9)[:, None]
    >>> predict = ridge([{"x": x, "y": 3 * x[:, 0]}], None, 0)
    >>> bool(abs(predict(np.array([[0.5]])) - 1.5) < 0.1)
    True
    """
    linear = need("sklearn.linear_model", extra="models")
    selection = need("sklearn.model_selection", extra="models")
    x, y = stacked(train)
    folds = selection.KFold(min(FOLDS, len(y)))
    model = _scaled(linear.RidgeCV(PENALTIES, cv=folds, scoring=SQUARED)).fit(_rows(x), y)
    return lambda found: np.asarray(model.predict(_rows(found))).reshape(-1, *y.shape[1:])


def poisson(train: Batches, val: Batches | None, seed: int) -> Predict:
    """Fit one Poisson regression per unit on the logarithms of past counts plus 1.

    Logarithms, because the rate is the exponential of what is summed: a burst of 20 spikes would
    otherwise count for e to the 20.

    Raises
    ------
    MissingDependencyError
        When scikit-learn is not installed.

    Examples
    --------
    >>> x = np.repeat([[0.0], [1.0]], 50, axis=0)
    >>> predict = poisson([{"x": x, "y": 1 + 2 * x}], None, 0)
    >>> predict(np.array([[0.0], [1.0]])).round(1).tolist()
    [[1.0], [3.0]]
    """
    linear = need("sklearn.linear_model", extra="models")
    x, y = stacked(train)
    models = [
        _scaled(linear.PoissonRegressor(alpha=1e-3, max_iter=300)).fit(np.log1p(_rows(x)), counts)
        for counts in y.T
    ]
    return lambda found: np.stack(
        [model.predict(np.log1p(_rows(found))) for model in models], axis=1
    )


def forest(train: Batches, val: Batches | None, seed: int) -> Predict:
    """Fit a random forest that weighs classes equally, for ``x (example, feature)``.

    Raises
    ------
    MissingDependencyError
        When scikit-learn is not installed.

    Examples
    --------
    >>> x = np.arange(20.0)[:, None]
    >>> forest([{"x": x, "y": x[:, 0] > 9}], None, 0)(np.array([[1.0], [18.0]])).tolist()
    [False, True]
    """
    ensemble = need("sklearn.ensemble", extra="models")
    model = ensemble.RandomForestClassifier(
        TREES, min_samples_leaf=2, class_weight="balanced", random_state=seed
    )
    model.fit(*stacked(train))
    return lambda found: np.asarray(model.predict(found))


def _scaled(model: Any) -> Any:
    preprocessing = need("sklearn.preprocessing", extra="models")
    pipeline = need("sklearn.pipeline", extra="models")
    return pipeline.make_pipeline(preprocessing.StandardScaler(), model)


def _rows(x: Array) -> Array:
    return x.reshape(len(x), -1).astype("f8")
