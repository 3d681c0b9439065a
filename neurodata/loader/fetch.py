"""What every fetcher is made of: streams that are read, columns of a batch, layouts.

A fetcher takes an array of picks (see `neurodata.loader.plan`) and fills memory; it knows nothing
of epochs, splits or targets.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np

from neurodata.loader.gain import Gain, gain_of
from neurodata.loader.plan import Array
from neurodata.loader.recordings import Image, Key, Recordings, Series
from neurodata.loader.ring import Blank

Scaling = Mapping[int, tuple[Array, Array]]
"""Mean and standard deviation per channel, by recording."""


Columns = Sequence[slice | Array]
"""For each recording, the columns of a batch that its channels are in."""


def columns_of(every: Sequence[Sequence[str]]) -> Columns:
    """Return the columns of each recording's channels, of which these are the names.

    Channels keep their order; but where one name would be in two columns, or two recordings
    have their channels in another order, every name has a column of its own.

    Examples
    --------
    >>> [columns.tolist() for columns in columns_of([["Cz", "Pz"], ["Pz", "Oz", "Cz"]])]
    [[0, 1], [1, 2, 0]]
    >>> columns_of([["Cz"], ["Pz", "Oz"]])
    [slice(0, 1, None), slice(0, 2, None)]
    """
    own = {name: at for at, name in enumerate(dict.fromkeys(chain.from_iterable(every)))}
    places = {place for names in every for place in enumerate(names)}
    if len(places) == len(own):
        return [slice(0, len(names)) for names in every]
    return [np.array([own[name] for name in names], int) for names in every]


def width_of(columns: Columns) -> int:
    """Return the number of columns, the same in every batch."""
    return max(at.stop if isinstance(at, slice) else int(at.max()) + 1 for at in columns)


def masks_of(columns: Columns) -> Array:
    """Return which columns each recording has, ``(recording, column)``."""
    masks = np.zeros((len(columns), width_of(columns)), bool)
    for number, own in enumerate(columns):
        masks[number, own] = True
    return masks


def in_columns(columns: Columns, every: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Return what each recording's channels are called by column, "" where it has none."""
    rows = np.full((len(every), width_of(columns)), "", object)
    for row, at, values in zip(rows, columns, every, strict=True):
        row[at] = values
    return tuple(map(tuple, rows))


@dataclass(frozen=True)
class Stream:
    """What a fetcher reads, so that it can be in memory before it is read.

    Parameters
    ----------
    keys : sequence of keys
        The array that each recording's samples are cut from.
    bounds : function of a recording's number and some of its picks
        Gives first and last item along every axis of that array, ``(pick, axis)``.
    steps : sequence of tuple of int
        For each recording, the distance between neighbouring samples along each axis.
    """

    keys: Sequence[Key]
    bounds: Callable[[int, Array], tuple[Array, Array]]
    steps: Sequence[tuple[int, ...]]


class Fetcher(Protocol):
    """Makes the arrays of a batch in memory that it is given, some rows at a time."""

    @property
    def streams(self) -> Sequence[Stream]:
        """What is read."""
        ...

    def blank(self, picks: Array) -> Blank:
        """Return shapes and dtypes of a batch of these picks."""
        ...

    def fill(self, picks: Array, memory: Mapping[str, Array]) -> None:
        """Fill rows of a batch; every item of the memory is written."""
        ...

    def finish(self, memory: Mapping[str, Array], picks: Array) -> dict[str, Any]:
        """Return the entries of a batch, once all of its rows are filled."""
        ...


def fetched(fetcher: Fetcher, picks: Array) -> dict[str, Any]:
    """Return the entries of a batch in fresh memory."""
    memory = {n: np.empty(shape, dtype) for n, (shape, dtype) in fetcher.blank(picks).items()}
    fetcher.fill(picks, memory)
    return fetcher.finish(memory, picks)


def in_layout(memory: Array, layout: str) -> Array:
    """Return time-major memory ``(batch, time, channel)`` as the layout's view."""
    return memory.transpose(0, 2, 1) if layout == "bct" else memory


def gains_of(
    recordings: Recordings,
    node: str,
    facts: Sequence[Series | Image],
    scaling: Scaling | None,
    numbers: Container[int],
) -> list[Gain]:
    """Return how stored numbers become those of a batch, for the recordings of these numbers."""
    found = []
    for number, item in enumerate(facts):
        if number not in numbers:
            found.append(Gain(np.ones(0), np.zeros(0), False))
            continue
        mean, std = (0.0, 1.0) if scaling is None else scaling[number]
        shape = (len(item.channels),)
        factor = np.broadcast_to(item.scale / std, shape)
        shift = np.broadcast_to((item.offset - mean) / std, shape)
        dtype = recordings.array((number, node, item.variable)).dtype
        found.append(gain_of(factor, shift, dtype))
    return found
