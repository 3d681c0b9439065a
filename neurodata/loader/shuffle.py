"""How well an epoch is shuffled, in figures that can be compared with an i.i.d. order."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodata.loader.draw import stream
from neurodata.loader.plan import Array


def shuffle_quality(
    order: Array, picks: Array, labels: Array | None = None, *, batch_size: int
) -> dict[str, float]:
    """Say how far an order is from the stored one, beside the same samples in i.i.d. order.

    Parameters
    ----------
    order : int array (drawn,)
        Indices into ``picks``, as they are drawn.
    picks : structured array (sample,) or number array (sample,)
        Windows, patches, or plain positions in the store.
    labels : array (sample,), optional
        Class of each sample.
    batch_size : int

    Returns
    -------
    dict of str to float
        ``rank_correlation``, drawn to stored order (Spearman); ``commonest_recording``, mean
        share of a batch that is of one recording; ``class_imbalance``, mean distance (0 to 1)
        of a batch's share of the classes from that of all. Each once more as ``..._iid``.

    Examples
    --------
    >>> found = shuffle_quality(np.arange(100), np.arange(100.0), batch_size=10)
    >>> round(found["rank_correlation"], 9), abs(found["rank_correlation_iid"]) < 0.3
    (1.0, True)
    """
    mixed = order[stream(0, 0, 0).permutation(len(order))]
    found = _figures(order, picks, labels, batch_size)
    ideal = _figures(mixed, picks, labels, batch_size)
    return found | {f"{name}_iid": value for name, value in ideal.items()}


def _figures(order: Array, picks: Array, labels: Array | None, batch_size: int) -> dict[str, float]:
    from scipy.stats import spearmanr

    stored = _stored(picks)[order]
    found = {"rank_correlation": float(spearmanr(np.arange(len(order)), stored).statistic)}
    if picks.dtype.names:
        shares = _shares(picks["recording"][order], batch_size)
        found["commonest_recording"] = float(shares.max(axis=1).mean())
    if labels is not None:
        shares = _shares(labels[order], batch_size)
        whole = _shares(labels[order], len(order))
        found["class_imbalance"] = float(np.abs(shares - whole).sum(axis=1).mean() / 2)
    return found


def _stored(picks: Array) -> Array:
    """Return a number per sample that grows along the store."""
    if not picks.dtype.names:
        return picks
    columns: list[Any] = [picks["recording"]]
    if "first" in picks.dtype.names:
        columns += [picks["span"], picks["first"]]
    elif "time" in picks.dtype.names:
        columns += [picks["time"], *picks["corner_zyx"].T]
    rank = np.empty(len(picks), "i8")
    rank[np.lexsort(columns[::-1])] = np.arange(len(picks))
    return rank


def _shares(values: Array, batch_size: int) -> Array:
    """Return each class's share of each batch ``(batch, class)``."""
    classes, number = np.unique(values, return_inverse=True)
    batch = np.arange(len(values)) // batch_size
    counts = np.zeros((int(batch[-1]) + 1, len(classes)))
    np.add.at(counts, (batch, number.ravel()), 1)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))
