"""The class of every sample of a grid, by which epochs are balanced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.plan import Array
from neurodata.loader.recordings import Recordings, choose_node
from neurodata.loader.target import (
    attribute,
    covering,
    facts_of,
    interval_columns,
    missing,
    of_rows,
)

Classes = tuple[Array, Array, Counter[str]]
"""The class of each pick as text, which picks have one, and the others by reason."""


def classes_of(
    by: str,
    recordings: Recordings,
    picks: Array,
    *,
    target: Callable[[Array], dict[str, Any]] | None = None,
    length_s: float | None = None,
    rate_hz: float | None = None,
    intervals: str | None = None,
) -> Classes:
    """Return the class of every pick, as `neurodata.loader.draw.Balanced` names it.

    Parameters
    ----------
    by : str
        ``"recording"`` (its id), ``"target"``, a recording's fact or an interval's column.
    picks : structured array (sample,)
        The grid.
    target : function of indices into ``picks``, optional
        The feed's.
    length_s, rate_hz : float, optional
        Of windows; None where there is no time axis.
    intervals : str, optional
        The intervals node of trials: each has the class of its own row. A window has that of
        the intervals that cover it.

    Raises
    ------
    InvalidInputError
        When the name means nothing or two things, or targets are arrays.
    """
    every = np.ones(len(picks), bool)
    if by == "recording":
        return np.array(recordings.ids)[picks["recording"]], every, Counter()
    if by == "target":
        return _of_target(target, len(picks))
    numbers = range(len(recordings.ids))
    facts = {name for number in numbers for name in facts_of(recordings, number)}
    columns = {name for number in numbers for name in interval_columns(recordings, number)}
    if (by in facts) == (by in columns):
        raise InvalidInputError(
            "Balanced(by)",
            f"{by!r}, "
            + ("a recording's fact and an interval's column" if by in facts else "none"),
            f"one of {', '.join(sorted({'recording', 'target'} | (facts ^ columns)))}",
        )
    if by in facts:
        values = attribute(recordings, by)[picks["recording"]]
        keep = ~missing(values)
        without = Counter({f"no {by}": int((~keep).sum())})
    elif intervals is not None:
        values, keep, without = of_rows(recordings, intervals, by, picks)
    elif length_s is not None and rate_hz is not None:
        node = choose_node(recordings, "intervals", None, "Balanced(by)")
        slack_s = 0.5 / rate_hz
        values, keep, without = covering(recordings, node, by, picks, length_s, slack_s)
    else:
        raise InvalidInputError(
            "Balanced(by)", f"{by!r}, a column of intervals", "samples with a time axis"
        )
    return values.astype(str), keep, +without


def _of_target(target: Callable[[Array], dict[str, Any]] | None, count: int) -> Classes:
    if target is None:
        raise InvalidInputError("Balanced(by)", "'target'", "a loader that has one")
    values = np.asarray(target(np.arange(min(1, count)))["target"])
    if values.ndim != 1:
        raise InvalidInputError(
            "Balanced(by)", f"targets of shape {values.shape[1:]}", "one value a sample"
        )
    values = np.asarray(target(np.arange(count))["target"])
    keep = ~missing(values)
    return values.astype(str), keep, +Counter({"no target": int((~keep).sum())})
