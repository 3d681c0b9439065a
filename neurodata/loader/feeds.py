"""What a request leads to: the feed of its kind of sample, with the nodes that are joined to it."""

from __future__ import annotations

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.classes import classes_of
from neurodata.loader.draw import Balanced, Random
from neurodata.loader.feed import Feed, Request
from neurodata.loader.graphs import graph_feed
from neurodata.loader.joined import Join, joined_of, with_joined
from neurodata.loader.neighbours import neighbour_feed
from neurodata.loader.plan import Array, samples_in
from neurodata.loader.recordings import Recordings
from neurodata.loader.samples import (
    Graphs,
    Neighbours,
    Patches,
    SpikeBins,
    Trials,
    Volumes,
    Windows,
)
from neurodata.loader.spatial import patch_feed
from neurodata.loader.spikes import spike_feed
from neurodata.loader.timed import window_feed


def feed_of(request: Request, recordings: Recordings) -> tuple[Feed, Join | None]:
    """Return the feed of what was asked for.

    Raises
    ------
    InvalidInputError
        When nodes, rates or shapes leave the samples undecided.
    """
    if isinstance(request.draw, Random) and not isinstance(request.sample, Windows | Patches):
        raise InvalidInputError(
            "load(draw)", f"Random {type(request.sample).__name__}", "Windows or Patches"
        )
    feed = _own_feed(request, recordings)
    if not request.joined:
        return feed, None
    if feed.rate_hz is None or not isinstance(request.sample, Windows | Trials | SpikeBins):
        raise InvalidInputError(
            "load(joined)",
            f"nodes joined to {type(request.sample).__name__}",
            "Windows, Trials or SpikeBins",
        )
    count = samples_in(request.sample.length_s, feed.rate_hz, "length")
    join = joined_of(
        recordings,
        request.assignments,
        feed.picks,
        count,
        feed.rate_hz,
        request.joined,
        request.layout,
    )
    return with_joined(feed, join), join


def classes(feed: Feed, recordings: Recordings, draw: Balanced | Random | None) -> Array:
    """Return the class of every sample by which a draw is balanced, as text.

    Raises
    ------
    InvalidInputError
        When samples have none.
    """
    if not isinstance(draw, Balanced):
        return np.zeros(0, str)
    found, keep, without = classes_of(
        draw.by,
        recordings,
        feed.picks,
        target=feed.target,
        length_s=feed.length_s,
        rate_hz=feed.rate_hz,
        intervals=feed.intervals,
    )
    if not keep.all():
        raise InvalidInputError(
            f"Balanced({draw.by!r})",
            f"{int((~keep).sum())} of {len(keep)} samples without a class "
            f"({', '.join(f'{reason}: {n}' for reason, n in without.items())})",
            "one for every sample",
            f"give target={draw.by!r} as well, which leaves the others out",
        )
    return found


def _own_feed(request: Request, recordings: Recordings) -> Feed:
    match request.sample:
        case Windows() | Trials() as sample:
            return window_feed(request, sample, recordings)
        case SpikeBins() as sample:
            return spike_feed(request, sample, recordings, request.memory_mb)
        case Patches() | Volumes() as sample:
            return patch_feed(request, sample, recordings)
        case Graphs() as sample:
            return graph_feed(request, sample, recordings)
        case Neighbours() as sample:
            return neighbour_feed(request, sample, recordings)
    raise InvalidInputError(
        "load(sample)",
        repr(request.sample),
        "Windows, Trials, Patches, Volumes, Graphs, Neighbours or SpikeBins",
    )
