"""Which samples an epoch draws when it is not the whole grid once: balanced or at random.

Pure functions of seed and epoch. Every purpose has a Philox stream of its own, so that one draw
never depends on how much another one used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor, isfinite

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.plan import PATCH, WINDOW, Array, Box, Span

TIES, CLASSES, WINDOWS, PATCHES, MIXTURE = range(1, 6)
"""What a stream is for; 0 is the order of an epoch."""

RUN = np.dtype([("span", "i8"), ("first", "i8"), ("length", "i8")])
"""Starts next to each other that a window may have: the span, the first one, how many."""

DRAWS_PER_SAMPLE = 1000


@dataclass(frozen=True)
class Balanced:
    """Epochs in which every class has its share, the rare ones by coming more than once.

    Parameters
    ----------
    by : str
        ``"recording"``, ``"target"``, or the name of a recording's fact (as ``"subject"``) or
        of an interval's column.
    weights : mapping of str to float, optional
        Relative share of every class, by its value as text; None gives all the same.
    samples : int, optional
        Samples in an epoch, over all ranks; None is as many as the grid has.

    Raises
    ------
    InvalidInputError
        When weights are not finite and 0 or more, or all 0.

    Examples
    --------
    >>> Balanced("subject").weights is None
    True
    """

    by: str
    weights: Mapping[str, float] | None = field(default=None, hash=False)
    samples: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.by, str) or not self.by:
            raise InvalidInputError("Balanced(by)", repr(self.by), "a name")
        _require_samples("Balanced", self.samples)
        if self.weights is None:
            return
        weights = {str(name): float(self.weights[name]) for name in sorted(self.weights, key=str)}
        if not all(isfinite(w) and w >= 0 for w in weights.values()) or not sum(weights.values()):
            raise InvalidInputError(
                "Balanced(weights)", repr(weights), "finite numbers of 0 or more, one over 0"
            )
        object.__setattr__(self, "weights", weights)


@dataclass(frozen=True)
class Random:
    """Epochs of windows or patches at any place that fits, not only on the grid.

    Parameters
    ----------
    samples : int, optional
        Samples in an epoch, over all ranks; None is as many as the grid has.

    Raises
    ------
    InvalidInputError
        When ``samples`` is less than 1.
    """

    samples: int | None = None

    def __post_init__(self) -> None:
        _require_samples("Random", self.samples)


def _require_samples(name: str, samples: int | None) -> None:
    if samples is not None and (int(samples) != samples or samples < 1):
        raise InvalidInputError(f"{name}(samples)", repr(samples), "a whole number of 1 or more")


def stream(seed: int, epoch: int, purpose: int, part: int = 0) -> np.random.Generator:
    """Return the random numbers of one purpose in an epoch; ``part`` tells its streams apart."""
    key, counter = np.array([seed, epoch], "u8"), np.array([0, part, purpose, 0], "u8")
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def draw_balanced(
    keys: Array, weights: Mapping[str, float] | None, count: int | None, seed: int, epoch: int
) -> Array:
    """Return the indices of an epoch's samples, ascending; how they come in order is not said.

    Each class gets its share of ``count`` to the nearest whole sample (largest remainder; equal
    remainders go to other classes in other epochs). Within a class no sample comes a second
    time before all have come once, also over the epochs that a large class lasts for.

    Parameters
    ----------
    keys : array (sample,)
        The class of every sample of the grid.
    weights : mapping of str to float, optional
        See `Balanced`.
    count : int, optional
        Samples to draw; None is ``len(keys)``.

    Raises
    ------
    InvalidInputError
        When there is no sample, or the weights do not name just the classes.

    Examples
    --------
    >>> draw_balanced(np.array(["a", "a", "a", "b"]), None, 6, seed=0, epoch=0).tolist()
    [0, 1, 2, 3, 3, 3]
    """
    if not len(keys):
        raise InvalidInputError("draw_balanced", "no sample", "one or more")
    count = len(keys) if count is None else count
    text = keys.astype(str) if keys.dtype.kind == "O" else keys
    classes, number = np.unique(text, return_inverse=True)
    order = np.argsort(number.ravel(), kind="stable")
    members = np.split(order, np.cumsum(np.bincount(number.ravel()))[:-1])
    exact = _exact([str(name) for name in classes], weights, count)
    wanted = _rounded(exact, count, stream(seed, epoch, TIES))
    parts = [
        _of_class(own, n, ceil(share), seed, epoch, at)
        for at, (own, n, share) in enumerate(zip(members, wanted, exact, strict=True))
    ]
    return np.sort(np.concatenate(parts))


def _exact(names: list[str], weights: Mapping[str, float] | None, count: int) -> list[Fraction]:
    """Return how many samples of each class would be just right."""
    if weights is None:
        return [Fraction(count, len(names))] * len(names)
    if set(weights) != set(names):
        odd = sorted(set(weights) ^ set(names))
        raise InvalidInputError(
            "weights",
            f"weights of {', '.join(sorted(weights))}; not in both: {', '.join(odd[:10])}",
            f"a weight for each of {', '.join(names[:20])}",
            "0 leaves a class out",
        )
    shares = [Fraction(weights[name]) for name in names]
    if not sum(shares):
        raise InvalidInputError("weights", "all 0", "one over 0")
    return [share * count / sum(shares) for share in shares]


def _rounded(exact: Sequence[Fraction], count: int, random: np.random.Generator) -> list[int]:
    whole = [floor(share) for share in exact]
    tie = random.permutation(len(exact))
    by_rest = sorted(range(len(exact)), key=lambda at: (whole[at] - exact[at], tie[at]))
    for at in by_rest[: count - sum(whole)]:
        whole[at] += 1
    return whole


def _of_class(own: Array, count: int, step: int, seed: int, epoch: int, part: int) -> Array:
    """Return ``count`` of a class's samples.

    One shuffled round serves as many epochs as it has whole steps; a class that is smaller than
    its share is repeated instead.
    """
    if not count:
        return own[:0]
    lasting = max(1, len(own) // step)
    rounds, slot = divmod(epoch, lasting)
    drawn = own[stream(seed, rounds, CLASSES, part).permutation(len(own))]
    repeats, rest = divmod(count, len(own))
    first = slot * step
    return np.concatenate([np.tile(own, repeats), drawn[first : first + rest]])


def valid_starts(spans: Sequence[Span], count: int) -> Array:
    """Return every start at which ``count`` samples lie in a span and need no bad sample.

    Returns
    -------
    structured array (run,)
        See ``RUN``; the runs of a span do not touch.

    Examples
    --------
    >>> bad = np.arange(10) == 4
    >>> valid_starts([Span(0, 0.0, 1.0, 10, bad={"gap": bad})], 3).tolist()
    [(0, 0, 2), (0, 5, 3)]
    """
    parts = [np.zeros(0, RUN)]
    for number, span in enumerate(spans):
        first, last = span.bounds(count)
        if last < first:
            continue
        edges = np.array([first, last + 1])
        if span.bad:
            edges = first + _runs(span, np.arange(first, last + 1), count)
        part = np.zeros(len(edges) // 2, RUN)
        part["span"], part["first"] = number, edges[::2]
        part["length"] = edges[1::2] - edges[::2]
        parts.append(part)
    return np.concatenate(parts)


def _runs(span: Span, starts: Array, count: int) -> Array:
    """Return where good starts begin and end, in turn, as indices of ``starts``."""
    lo, hi = span.ratio.source(starts, count)
    bad = np.logical_or.reduce(list(span.bad.values()))
    total = np.concatenate([[0], np.cumsum(bad)])
    good = total[hi] == total[lo]
    return np.flatnonzero(np.diff(np.concatenate([[False], good, [False]])))


def random_windows(
    spans: Sequence[Span],
    count: int,
    samples: int,
    seed: int,
    epoch: int,
    beyond: int = 0,
    *,
    runs: Array | None = None,
    accept: Callable[[Array], Array] | None = None,
) -> Array:
    """Return windows whose starts are uniform over all valid starts of all spans.

    Parameters
    ----------
    spans : sequence of Span
        All of one rate.
    count, beyond : int
        Length of a window and of what its target needs after it, in samples of the batch.
    samples : int
        Windows to draw, each by itself.
    runs : structured array (run,), optional
        ``valid_starts(spans, count + beyond)``, where it is at hand.
    accept : function of picks, optional
        Says which of the windows drawn may stay, e.g. those that have a target; the others are
        replaced, so that starts are uniform over what it accepts.

    Returns
    -------
    structured array (samples,)
        Of `neurodata.loader.plan.WINDOW`, in the order drawn.

    Raises
    ------
    InvalidInputError
        When no start is valid.

    Examples
    --------
    >>> picks = random_windows([Span(0, 5.0, 10.0, 37)], 10, 100, seed=0, epoch=0)
    >>> int(picks["first"].min()), int(picks["first"].max())
    (0, 27)
    """
    runs = valid_starts(spans, count + beyond) if runs is None else runs
    ends = np.cumsum(runs["length"])
    total = int(ends[-1]) if len(ends) else 0
    recording = np.array([span.recording for span in spans])
    start_s = np.array([span.start_s for span in spans])
    out_hz = np.array([span.out_hz for span in spans])

    def draw(random: np.random.Generator) -> Array:
        at = random.integers(total, size=samples)
        run = np.searchsorted(ends, at, side="right")
        picks = np.zeros(samples, WINDOW)
        span = runs["span"][run]
        picks["recording"], picks["span"], picks["row"] = recording[span], span, -1
        picks["first"] = runs["first"][run] + at - (ends - runs["length"])[run]
        picks["start_s"] = start_s[span] + picks["first"] / out_hz[span]
        return picks

    return _accepted(draw, stream(seed, epoch, WINDOWS), total, samples, accept)


def random_patches(
    boxes: Sequence[Box],
    shape_zyx: tuple[int, int, int],
    samples: int,
    seed: int,
    epoch: int,
    *,
    accept: Callable[[Array], Array] | None = None,
) -> Array:
    """Return patches whose corners are uniform over all valid corners of all time points.

    Parameters
    ----------
    boxes : sequence of Box
    shape_zyx : tuple of three int
        Voxels of a patch.
    samples : int
        Patches to draw, each by itself.
    accept : function of picks, optional
        See `random_windows`.

    Returns
    -------
    structured array (samples,)
        Of `neurodata.loader.plan.PATCH`, in the order drawn.

    Raises
    ------
    InvalidInputError
        When the patch fits nowhere.

    Examples
    --------
    >>> box = Box(0, ((0, 1), (0, 8), (2, 10)))
    >>> random_patches([box], (1, 8, 8), 2, seed=0, epoch=0)["corner_zyx"].tolist()
    [[0, 0, 2], [0, 0, 2]]
    """
    low = np.array([[a for a, _ in box.box_zyx] for box in boxes], "i8").reshape(-1, 3)
    high = np.array([[b for _, b in box.box_zyx] for box in boxes], "i8").reshape(-1, 3)
    room = np.maximum(0, high - low - np.array(shape_zyx) + 1)
    times = np.array([box.stop - box.first for box in boxes], "i8")
    counts = room.prod(axis=1) * times
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0

    def draw(random: np.random.Generator) -> Array:
        at = random.integers(total, size=samples)
        own = np.searchsorted(ends, at, side="right")
        rest = at - (ends - counts)[own]
        picks = np.zeros(samples, PATCH)
        picks["shape_zyx"] = shape_zyx
        for axis in (2, 1, 0):
            rest, offset = np.divmod(rest, room[own, axis])
            picks["corner_zyx"][:, axis] = low[own, axis] + offset
        for number, box in enumerate(boxes):
            mine = own == number
            time = box.first + rest[mine]
            picks["recording"][mine], picks["time"][mine] = box.recording, time
            picks["start_s"][mine] = np.nan if box.times is None else box.times[time]
        return picks

    return _accepted(draw, stream(seed, epoch, PATCHES), total, samples, accept)


def _accepted(
    draw: Callable[[np.random.Generator], Array],
    random: np.random.Generator,
    total: int,
    samples: int,
    accept: Callable[[Array], Array] | None,
) -> Array:
    """Draw until there are enough that are accepted."""
    if not total:
        raise InvalidInputError(
            "Random", "no place that fits", "one or more", "make the sample shorter"
        )
    if accept is None:
        return draw(random)
    parts, found = [], 0
    for _ in range(DRAWS_PER_SAMPLE):
        picks = draw(random)
        parts.append(picks[accept(picks)])
        found += len(parts[-1])
        if found >= samples:
            return np.concatenate(parts)[:samples]
    raise InvalidInputError(
        "Random",
        f"{found} samples that may stay among {DRAWS_PER_SAMPLE * samples}",
        f"{samples}",
        "leave `draw` out: the grid has every sample that may stay",
    )
