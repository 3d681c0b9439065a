"""Intervals as codes: which one covers each sample of a clock, or all that touch a window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.plan import Array
from neurodata.loader.recordings import Recordings
from neurodata.loader.target import column, missing

Steps = tuple[Array, Array]
"""Edges in seconds, and the codes before, between and after them (one more)."""

NONE = -1


@dataclass(frozen=True)
class Table:
    """The intervals of one recording, by start: seconds, and the code of a column.

    Parameters
    ----------
    start_s, duration_s : array (interval,)
        The duration of an event is 0 or NaN.
    code : array (interval,)
        -1 where the column states nothing.
    values : array (interval,)
        The column, for messages.
    """

    start_s: Array
    duration_s: Array
    code: Array
    values: Array

    @property
    def stop_s(self) -> Array:
        """Ends in seconds, NaN of those without duration."""
        return np.asarray(self.start_s + self.duration_s)

    def steps(self, which: str | None, slack_s: float, where: str) -> Steps:
        """Return the code over time; intervals are half-open, ``[start_s, stop_s)``.

        Parameters
        ----------
        which : {"first", "last"}, optional
            Which of overlapping intervals counts, by its start; None refuses disagreement.
        slack_s : float
            Edges as near as this are one edge.

        Raises
        ------
        InvalidInputError
            When overlapping intervals disagree.
        """
        lasting = np.flatnonzero((self.code != NONE) & (self.duration_s > slack_s))
        start_s, stop_s = self.start_s[lasting], self.stop_s[lasting]
        edges = np.unique(np.concatenate([start_s, stop_s]))
        edges = edges[np.diff(edges, prepend=-np.inf) > slack_s]
        first, last = (np.searchsorted(edges, ends, side="right") - 1 for ends in (start_s, stop_s))
        codes = np.full(len(edges), NONE, "i8")
        painted = np.full(len(edges), NONE, "i8")
        order = range(len(lasting))
        for at in reversed(order) if which == "first" else order:
            row, part = int(lasting[at]), slice(int(first[at]), int(last[at]))
            clash = (codes[part] != NONE) & (codes[part] != self.code[row])
            if which is None and clash.any():
                edge = part.start + int(clash.argmax())
                self._refuse(int(painted[edge]), row, float(edges[edge]), where)
            codes[part], painted[part] = self.code[row], row
        return edges, np.concatenate([[NONE], codes])

    def _refuse(self, one: int, other: int, at_s: float, where: str) -> None:
        found = f"{self.values[one]!s} and {self.values[other]!s} overlap at {at_s:.9g} s"
        raise InvalidInputError(
            where,
            found,
            "one value at a time",
            "give Joined(..., which='first') or 'last', another column, or ragged=True",
        )


def tables_of(
    recordings: Recordings,
    node: str,
    numbers: Sequence[int],
    name: str,
    vocabulary: Sequence[Any] | None,
) -> tuple[dict[int, Table], tuple[Any, ...]]:
    """Return the intervals of some recordings by number, and the values by code.

    Parameters
    ----------
    name : str
        Column that is coded.
    vocabulary : sequence, optional
        Values by code; None is every value of these recordings, sorted.

    Raises
    ------
    InvalidInputError
        When a column is text in one recording and not in another, or a value is not in the
        given vocabulary.
    """
    every = {number: column(recordings, number, node, name) for number in numbers}
    stated = [values[~missing(values)] for values in every.values()]
    stated = [values for values in stated if len(values)]
    if len({values.dtype.kind == "U" for values in stated}) > 1:
        raise InvalidInputError(
            f"{node}: {name}", "text in some recordings, numbers in others", "one type"
        )
    found = np.unique(np.concatenate(stated)).tolist() if stated else []
    values = tuple(found if vocabulary is None else vocabulary)
    if unknown := [value for value in found if value not in values]:
        raise InvalidInputError(
            f"{node}: {name}",
            f"{len(unknown)} values that the vocabulary has not: {unknown[:5]}",
            f"one of {list(values[:20])}",
            "give a vocabulary with all of them",
        )
    codes = {value: code for code, value in enumerate(values)}
    return {number: _table(recordings, number, node, every[number], codes) for number in numbers}, (
        values
    )


def _table(
    recordings: Recordings, number: int, node: str, values: Array, codes: Mapping[Any, int]
) -> Table:
    start_s, duration_s = (
        np.asarray(recordings.values(number, node, key), "f8") for key in ("start_s", "duration_s")
    )
    code = np.array([codes.get(value, NONE) for value in values.tolist()], "i8")
    code[missing(values)] = NONE
    rows = np.flatnonzero(np.isfinite(start_s))
    rows = rows[np.argsort(start_s[rows], kind="stable")]
    return Table(start_s[rows], duration_s[rows], code[rows], values[rows])


def codes_at(
    steps: Mapping[int, Steps], count: int, rate_hz: float, slack_s: float, picks: Array
) -> dict[str, Array]:
    """Return for each window ``(batch, time)`` the code at ``start_s + k / rate_hz``."""
    times = (picks["start_s"] + slack_s)[:, None] + np.arange(count) / rate_hz
    codes = np.full(times.shape, NONE, "i8")
    for number in np.unique(picks["recording"]).tolist():
        if number in steps:
            edges, values = steps[number]
            own = picks["recording"] == number
            codes[own] = values[np.searchsorted(edges, times[own], side="right")]
    return {"": codes}


def ragged_at(
    tables: Mapping[int, Table], length_s: float, slack_s: float, picks: Array
) -> dict[str, Array]:
    """Return all intervals that touch each window, and the events in it, one after another.

    ``""`` is their code, ``_start_s`` is from the window's start (negative where the interval
    began before), ``_count (batch,)`` says how many each window has.
    """
    rows = [
        _touching(tables.get(int(pick["recording"])), pick, length_s, slack_s) for pick in picks
    ]
    code, start_s, duration_s = (
        np.concatenate([np.zeros(0), *(row[at] for row in rows)]) for at in range(3)
    )
    return {
        "": code.astype("i8"),
        "_start_s": start_s,
        "_duration_s": duration_s,
        "_count": np.array([len(row[0]) for row in rows], "i8"),
    }


def _touching(
    table: Table | None, pick: Any, length_s: float, slack_s: float
) -> tuple[Array, Array, Array]:
    if table is None:
        return np.zeros(0, "i8"), np.zeros(0), np.zeros(0)
    begin_s = float(pick["start_s"])
    stop = int(np.searchsorted(table.start_s, begin_s + length_s - slack_s))
    start_s = table.start_s[:stop]
    rows = np.flatnonzero(
        (start_s >= begin_s - slack_s) | (table.stop_s[:stop] > begin_s + slack_s)
    )
    return table.code[rows], start_s[rows] - begin_s, table.duration_s[rows]
