"""Chunks of remote stores on their way here, before anybody waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from neurodata.loader.feed import Feed
from neurodata.loader.plan import Array
from neurodata.loader.recordings import Box, Key, Recordings
from neurodata.store.arrays import StoredArray
from neurodata.store.files_of import Files, Range

TRIPS = 8
BATCHES_AHEAD = 16

Need = tuple[StoredArray, Box]


class Carrier:
    """Fetches what reads will need, many versions at once; local files need nothing."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    def bring(self, needs: Sequence[Need]) -> Future[None] | None:
        """Begin to fetch; None where all is near at hand."""
        far = [(array, box) for array, box in needs if is_far(array.files)]
        if not far:
            return None
        if self._threads is None:
            self._threads = ThreadPoolExecutor(2 * TRIPS, "neurodata-carrier")
        return self._threads.submit(_bring, far)

    def close(self) -> None:
        """End the threads; what was not begun is dropped."""
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
        self._threads = None


def is_far(files: Files) -> bool:
    """Say whether files are somewhere where every read is a trip."""
    return bool(getattr(files, "far", False))


def needs_of(
    feed: Feed, recordings: Recordings, samples: Array
) -> list[tuple[Key, StoredArray, Box]]:
    """Return every box that some samples read, of those that are far."""
    found: list[tuple[Key, StoredArray, Box]] = []
    for stream, picks in feed.reads:
        own = picks[samples]
        for number in sorted(set(own["recording"].tolist())):
            key = stream.keys[number]
            array = recordings.array(key)
            if is_far(array.files):
                low, high = stream.bounds(number, own[own["recording"] == number])
                found += [
                    (key, array, tuple(slice(a, b) for a, b in zip(lo, hi, strict=True)))
                    for lo, hi in zip(low.tolist(), high.tolist(), strict=True)
                ]
    return found


def _bring(needs: Sequence[Need]) -> None:
    """Fetch the shard indices that are not known, then the chunks, version by version at once."""
    _fetch([(array.files, array.index_ranges(box)) for array, box in needs])
    _fetch([(array.files, array.ranges(box)) for array, box in needs])


def _fetch(wanted: Sequence[tuple[Files, list[Range]]]) -> None:
    every: dict[int, tuple[Files, dict[Range, None]]] = {}
    for files, ranges in wanted:
        every.setdefault(id(files), (files, {}))[1].update(dict.fromkeys(ranges))
    trips = [(files, list(ranges)) for files, ranges in every.values() if ranges]
    if len(trips) == 1:
        trips[0][0].fetch(trips[0][1])
    elif trips:
        with ThreadPoolExecutor(min(TRIPS, len(trips))) as threads:
            list(threads.map(lambda trip: trip[0].fetch(trip[1]), trips))
