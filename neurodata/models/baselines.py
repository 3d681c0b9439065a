"""What every model has to beat: predictions that need no learning, or next to none."""

from __future__ import annotations

import numpy as np

from neurodata.models import Array, Batches, Predict, stacked

BINS = 256


def persistence(train: Batches, val: Batches | None, seed: int) -> Predict:
    """Predict that everything stays as it is: the last sample of ``x (example, channel, time)``.

    Examples
    --------
    >>> persistence([], None, 0)(np.arange(6.0).reshape(1, 2, 3))
    array([[2., 5.]])
    """
    return lambda x: np.asarray(x[..., -1])


def mean(train: Batches, val: Batches | None, seed: int) -> Predict:
    """Predict the training mean of ``y``, per output.

    Examples
    --------
    >>> mean([{"x": np.zeros((2, 1)), "y": np.array([1.0, 3.0])}], None, 0)(np.zeros((3, 1)))
    array([2., 2., 2.])
    """
    average = stacked(train)[1].mean(axis=0, dtype="f8")
    return lambda x: np.broadcast_to(average, (len(x), *average.shape))


def most_frequent(train: Batches, val: Batches | None, seed: int) -> Predict:
    """Predict the class that is most frequent in training.

    Examples
    --------
    >>> most_frequent([{"x": np.zeros((3, 1)), "y": np.array(["K", "P", "K"])}], None, 0)([0])
    array(['K'], dtype='<U1')
    """
    classes, counts = np.unique(stacked(train)[1], return_counts=True)
    return lambda x: np.full(len(x), classes[counts.argmax()])


def otsu(train: Batches, val: Batches | None, seed: int) -> Predict:
    """Predict foreground where the first feature is over the threshold of the training side.

    The threshold separates two classes of intensities with the greatest variance between them
    (Otsu 1979, doi:10.1109/TSMC.1979.4310076); labels are not used.

    Examples
    --------
    >>> intensity = np.array([[0.0], [1.0], [9.0], [10.0]])
    >>> predict = otsu([{"x": intensity, "y": np.zeros(4)}], None, 0)
    >>> predict(np.array([[2.0], [8.0]])).tolist()
    [False, True]
    """
    counts, edges = np.histogram(stacked(train)[0][:, 0], BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts), counts.sum()
    sums = np.cumsum(counts * centres)
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = sums / below - (sums[-1] - sums) / (total - below)
    between = np.nan_to_num(below * (total - below) * apart**2)
    threshold = centres[np.flatnonzero(between >= between.max() * (1 - 1e-9))].mean()
    return lambda x: np.asarray(x[:, 0] > threshold)


def face_neighbours(train: Batches, val: Batches | None, seed: int) -> Predict:
    """Predict the mean of the six face neighbours: the first six columns of ``x``.

    Examples
    --------
    >>> face_neighbours([], None, 0)(np.arange(8.0)[None])
    array([2.5])
    """

    def predict(x: Array) -> Array:
        return np.asarray(x[:, :6].mean(axis=1))

    return predict
