"""What each column of a batch is: channel, position and subject, gathered from small tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.fetch import Columns, columns_of, width_of
from neurodata.loader.plan import Array
from neurodata.loader.recordings import Recordings
from neurodata.loader.target import facts_of

Channels = Literal["auto", "own", "by_name"]
AXES = ("x", "y", "z")


@dataclass(frozen=True)
class ChannelFacts:
    """Channel, position and subject of every recording; call it with picks for those of a batch.

    Parameters
    ----------
    channel : array (recording, column)
        int64 index into ``vocabulary``; -1 where the recording has no channel in that column,
        or one that is not in the vocabulary.
    position_m : array (recording, column, axis), optional
        float32 x, y, z in m, NaN where unknown; None where no recording states any.
    subject : array (recording,)
        int64 index into ``subjects``, -1 where the recording does not say.
    vocabulary, subjects : tuple of str
    frames : tuple of str
        For each recording the coordinate frame of its positions, "" where none is stated.
        Positions of different frames are not comparable.
    """

    channel: Array
    position_m: Array | None
    subject: Array
    vocabulary: tuple[str, ...]
    subjects: tuple[str, ...]
    frames: tuple[str, ...]

    def __call__(self, picks: Array) -> dict[str, Array]:
        """Return ``channel (batch, column)``, ``subject (batch,)`` and ``position_m`` of picks."""
        number = picks["recording"]
        facts = {"channel": self.channel[number], "subject": self.subject[number]}
        if self.position_m is not None:
            facts["position_m"] = self.position_m[number]
        return facts


def channel_facts(
    recordings: Recordings,
    node: str,
    columns: Columns,
    vocabulary: Sequence[str] | None = None,
    subjects: Sequence[str] | None = None,
) -> ChannelFacts:
    """Return channel, position and subject of every column of a timeseries node's batches.

    Parameters
    ----------
    columns : sequence of slice or array
        For each recording the columns of its channels, of `columns_as`.
    vocabulary, subjects : sequence of str, optional
        Those of the training loader, so that an index means the same elsewhere; what is not in
        them is -1. None is every name of these recordings, sorted.
    """
    numbers = range(len(recordings.ids))
    names = [names_of(recordings, number, node) for number in numbers]
    people = [str(facts_of(recordings, number).get("subject", "")) for number in numbers]
    vocabulary = _sorted({name for own in names for name in own}, vocabulary)
    subjects = _sorted({person for person in people if person}, subjects)
    positions = [_position(recordings, number, node) for number in numbers]
    shape = (len(names), width_of(columns))
    channel = np.full(shape, -1, "i8")
    position_m = np.full((*shape, len(AXES)), np.nan, "f4")
    for number, at in enumerate(columns):
        channel[number, at] = _indices(names[number], vocabulary)
        if (own := positions[number]) is not None:
            position_m[number, at] = own[0]
    return ChannelFacts(
        channel=channel,
        position_m=position_m if np.isfinite(position_m).any() else None,
        subject=_indices(people, subjects),
        vocabulary=vocabulary,
        subjects=subjects,
        frames=tuple("" if own is None else own[1] for own in positions),
    )


def columns_as(every: Sequence[Sequence[str]], channels: Channels = "auto") -> Columns:
    """Return the columns of each recording's channels, of which these are the names.

    ``"own"`` keeps each recording's own order and pads to the widest: a column means another
    channel in another recording. ``"by_name"`` has one column for every name of all recordings:
    a column always means the same, but a batch of many montages is wide and mostly padding.
    ``"auto"`` is ``"own"`` where that puts no name in two columns, ``"by_name"`` otherwise.

    Raises
    ------
    InvalidInputError
        When ``channels`` is none of these.

    Examples
    --------
    >>> columns_as([["Cz", "Pz"], ["Pz", "Oz", "Cz"]], "own")
    [slice(0, 2, None), slice(0, 3, None)]
    >>> [columns.tolist() for columns in columns_as([["Cz", "Pz"], ["Oz", "Cz"]], "by_name")]
    [[0, 1], [2, 0]]
    """
    if channels == "auto":
        return columns_of(every)
    if channels == "own":
        return [slice(0, len(names)) for names in every]
    if channels == "by_name":
        own = {name: at for at, name in enumerate(dict.fromkeys(chain.from_iterable(every)))}
        return [np.array([own[name] for name in names], int) for names in every]
    raise InvalidInputError("load(channels)", repr(channels), "auto, own or by_name")


def names_of(recordings: Recordings, number: int, node: str) -> tuple[str, ...]:
    """Return a recording's channel names; channels without a name are numbered."""
    data = recordings.node(number, node)
    if "channel" in data:
        return tuple(map(str, recordings.values(number, node, "channel")))
    return tuple(map(str, range(data.sizes["channel"])))


def _position(recordings: Recordings, number: int, node: str) -> tuple[Array, str] | None:
    """Return a recording's positions ``(channel, axis)`` by x, y, z and their frame, if any."""
    data = recordings.node(number, node)
    if "position" not in data:
        return None
    stored = np.asarray(recordings.values(number, node, "position"), "f4")
    axes = AXES[: stored.shape[1]]
    if "axis" in data:
        axes = tuple(map(str, recordings.values(number, node, "axis")))
    found = np.full((len(stored), len(AXES)), np.nan, "f4")
    for at, axis in enumerate(axes):
        if axis in AXES:
            found[:, AXES.index(axis)] = stored[:, at]
    return found, str(data["position"].attrs.get("frame", ""))


def _sorted(found: set[str], given: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(sorted(found)) if given is None else tuple(given)


def _indices(names: Sequence[str], vocabulary: Sequence[str]) -> Array:
    place = {name: at for at, name in enumerate(vocabulary)}
    return np.array([place.get(name, -1) for name in names], "i8")
