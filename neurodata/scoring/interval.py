"""Intervals of scores: the bootstrap over blocks that can count as independent.

Examples that lie close together in time or space are not independent, so whole blocks of them
are drawn: Carlstein (1986), doi:10.1214/aos/1176350057, for series; Davison and Hinkley,
Bootstrap Methods and their Application (1997), section 3.8, for clusters. As there are few blocks,
the percentiles are those of the expanded interval of Hesterberg (2015),
doi:10.1080/00031305.2015.1089789, which is as wide as Student's t makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.models import Array

DRAWS = 2000
LEVEL = 0.95
TIMES = 5
FEWEST = 5


def interval(
    terms: Array, blocks: Array, value: Callable[[Array], Array], seed: int
) -> tuple[float, float]:
    """Return the 95 % interval of a score, by expanded percentiles.

    Parameters
    ----------
    terms : array (example, term)
        What the score is made of; it is a function of their sums.
    blocks : array (example,)
        Number of each example's block.
    value : function
        From sums ``(draw, term)`` to scores ``(draw,)``.
    seed : int

    Raises
    ------
    InvalidInputError
        When there are fewer than two blocks.

    Examples
    --------
    >>> terms = np.array([[1.0, 1], [0, 1], [1, 1], [1, 1]])
    >>> interval(terms, np.arange(4), lambda sums: sums[:, 0] / sums[:, 1], seed=0)
    (0.0, 1.0)
    """
    names, block = np.unique(blocks, return_inverse=True)
    if len(names) < 2:
        raise InvalidInputError(
            "interval", f"{len(names)} block", "two or more", "give the test side more data"
        )
    sums = np.zeros((len(names), terms.shape[1]))
    np.add.at(sums, block, terms)
    count = len(names)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), DRAWS)
    tail = _tail(count)
    low, high = np.nanquantile(value(drawn @ sums), [tail, 1 - tail])
    return float(low), float(high)


def _tail(count: int) -> float:
    """Return the share of draws to leave out on either side."""
    from scipy import stats

    quantile = stats.t.ppf((1 + LEVEL) / 2, count - 1)
    return float(stats.norm.cdf(-np.sqrt(count / (count - 1)) * quantile))


def time_blocks(
    recording: Array, start_s: Array, terms: Array, least_s: float
) -> tuple[Array, float]:
    """Return the number of each example's block of time, and how long blocks are in seconds.

    A block is five times as long as the time in which the autocorrelation of what is resampled,
    ``terms (example, term)``, falls under 1/e: this catches 80 % of the variance of the mean of a
    first-order autoregression. But there are at least five blocks, where none has to be shorter
    than the reach of an example, ``least_s``.

    Examples
    --------
    >>> start_s = np.arange(6.0)
    >>> terms = np.array([1.0, -1, 1, -1, 1, -1])[:, None]
    >>> time_blocks(np.zeros(6, int), start_s, terms, 6.0)
    (array([0, 0, 0, 0, 0, 0]), 6.0)
    """
    first_s, wanted_s, span_s = np.zeros(len(start_s)), 0.0, 0.0
    for number in np.unique(recording):
        own = recording == number
        first_s[own] = start_s[own].min()
        span_s += float(np.ptp(start_s[own]))
        wanted_s = max(wanted_s, TIMES * decorrelation_s(start_s[own], terms[own]))
    length_s = max(least_s, min(wanted_s, span_s / FEWEST))
    within = np.floor((start_s - first_s) / length_s + 1e-6).astype("i8")
    return _numbered([recording, within]), length_s


def decorrelation_s(start_s: Array, terms: Array) -> float:
    """Return the time in which the autocorrelation of every term has fallen under 1/e.

    Examples at the same time are averaged, constant terms left out; all of the span is returned
    where it never falls.

    Examples
    --------
    >>> decorrelation_s(np.arange(4.0), np.array([[1.0], [1.0], [-1.0], [-1.0]]))
    1.0
    """
    times, at = np.unique(start_s, return_inverse=True)
    series = np.zeros((len(times), terms.shape[1]))
    np.add.at(series, at, terms)
    series /= np.bincount(at)[:, None]
    series -= series.mean(axis=0)
    series = series[:, series.std(axis=0) > 0]
    total = (series**2).sum(axis=0)
    for lag in range(1, len(times)):
        if ((series[lag:] * series[:-lag]).sum(axis=0) < total / np.e).all():
            return float(times[lag] - times[0])
    return float(times[-1] - times[0])


def space_blocks(recording: Array, corner_zyx: Array, tile_voxels: int) -> Array:
    """Return the number of each example's cube of ``tile_voxels`` to a side.

    Examples
    --------
    >>> space_blocks(np.zeros(3, int), np.array([[0, 0, 0], [0, 0, 7], [0, 0, 8]]), 8)
    array([0, 0, 1])
    """
    return _numbered([recording, *(corner_zyx // tile_voxels).T])


def _numbered(keys: Sequence[Array]) -> Array:
    numbers: Array = np.unique(np.stack(keys, axis=1), axis=0, return_inverse=True)[1]
    return numbers.reshape(-1)
