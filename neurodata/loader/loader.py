"""A loader: batches of one side of a split, epoch after epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.arrange import Order, arrange
from neurodata.loader.draw import Balanced, Random, draw_balanced
from neurodata.loader.engine import Engine, Machine
from neurodata.loader.feed import Feed, Request
from neurodata.loader.feeds import classes, feed_of
from neurodata.loader.plan import Array, Place
from neurodata.loader.recordings import Recordings

if TYPE_CHECKING:
    from neurodata.loader.torch_view import Batches, Samples

Batch = dict[str, Any]
STANDARDISED = "standardised"


class Loader:
    """Batches of one side of a split; one iteration is one epoch.

    Every sample of the grid comes exactly once an epoch, and the last batch is kept. The order
    is a function of seed and epoch alone. An iteration that was left early counts as an epoch,
    unless `load_state_dict` continues it.

    Attributes
    ----------
    ids : tuple of str
        Recordings; ``batch["recording"]`` indexes them.
    windows : int
        Samples in an epoch, on this rank.
    units : str
        Of ``signal`` or ``image``: a symbol, ``"mixed"`` (see ``channel_units``) or
        ``"standardised"``.
    channels, channel_units : tuple of tuple of str
        Names and units (before scaling) per recording and column of a batch; both are "" where
        the recording has no such channel. One name is in one column, for all recordings.
    left_out : dict of str to int
        Samples that are not in the grid, by reason.
    statistics : Statistics or None
        What batches are scaled with.
    channel_vocabulary, subjects : tuple of str
        What ``batch["channel"]`` and ``batch["subject"]`` index.
    joined : dict of str to JoinedFacts
        Rate, channels and units of joined nodes.
    vocabulary : dict of str to tuple
        What the codes of joined intervals index.
    """

    def __init__(
        self,
        request: Request,
        *,
        seed: int = 0,
        transform: Callable[[Batch], Batch] | None = None,
        rank: int = 0,
        world_size: int = 1,
        shuffle: str | None = None,
        machine: Machine | None = None,
    ) -> None:
        self.split = request.split
        self.batch_size = request.batch_size
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.shuffle = shuffle or ("pool" if self.split == "train" else None)
        self.transform = transform
        recordings = Recordings(request.store, request.assignments)
        self._feed, join = feed_of(request, recordings)
        self.joined = {} if join is None else join.facts
        self.vocabulary = {} if join is None else join.vocabulary
        facts = self._feed.channel_facts
        self.channel_vocabulary = () if facts is None else facts.vocabulary
        self.subjects = () if facts is None else facts.subjects
        self.ids = recordings.ids
        self.left_out = dict(self._feed.left_out)
        self.channels = self._feed.channels
        self.channel_units = self._feed.channel_units
        self.statistics = self._feed.statistics
        self.units = _units(self._feed)
        if not len(self._feed.picks):
            raise InvalidInputError(
                f"load(split={self.split!r})",
                f"no sample that fits (left out: {self.left_out or 'none'})",
                "one or more",
                "make the sample shorter or the split larger",
            )
        self._request, self._drawn, self._recordings = request, 0, recordings
        self._classes = classes(self._feed, recordings, request.draw)
        self._engine = Engine(
            self._feed, recordings, machine or Machine(), self.batch_size, self.shuffle
        )
        self.windows = len(self._order(0).samples)
        self.epoch, self.position, self._fresh = 0, 0, True
        self._fingerprint = self._digest(request)

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-self.windows // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over one epoch, or over the rest of one after `load_state_dict`."""
        return self.batches()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def tier(self) -> str:
        """Where decoded data are: ``"memory"``, ``"pool"`` or ``"direct"``."""
        return self._engine.tier_name

    def close(self) -> None:
        """End the threads and let go of memory and files; the loader may be used again."""
        self._engine.close()

    def batches(self, part: int = 0, parts: int = 1) -> Iterator[Batch]:
        """Iterate over every ``parts``-th batch of one epoch, from batch ``part`` on."""
        if not self._fresh:
            self.epoch, self.position = self.epoch + 1, 0
        self._fresh = False
        return self._run(self.epoch, self.position, part, parts)

    def _run(self, epoch: int, start: int, part: int, parts: int) -> Iterator[Batch]:
        self._redraw(epoch)
        firsts = range(start, self.windows, self.batch_size)[part::parts]
        cuts = [(first, min(first + self.batch_size, self.windows)) for first in firsts]
        place = partial(Place, self.seed, epoch, self.rank)
        with closing(self._engine.run(self._order(epoch), cuts, place)) as found:
            for (_, stop), (samples, entries) in zip(cuts, found, strict=True):
                batch = self._batch(samples, entries)
                self.epoch, self.position = epoch, stop
                yield batch
        self.go_to(epoch + 1)

    def _redraw(self, epoch: int) -> None:
        """Let the samples be those of an epoch, where each has its own."""
        if isinstance(self._request.draw, Random) and epoch != self._drawn:
            request = replace(self._request, epoch=epoch, scale=self.statistics)
            self._feed, _ = feed_of(request, self._recordings)
            self._engine.redraw(self._feed)
            self._drawn = epoch

    def _order(self, epoch: int) -> Order:
        chosen = np.arange(len(self._feed.picks))
        if isinstance(draw := self._request.draw, Balanced):
            chosen = draw_balanced(self._classes, draw.weights, draw.samples, self.seed, epoch)
        return arrange(
            chosen,
            self._engine.blocks,
            self._engine.capacity,
            seed=self.seed,
            epoch=epoch,
            shuffle=self.shuffle is not None,
            rank=self.rank,
            world_size=self.world_size,
        )

    def _batch(self, samples: Array, entries: dict[str, Any]) -> Batch:
        picks = self._feed.picks[samples]
        batch: Batch = dict(entries)
        batch["recording"] = picks["recording"].astype("i8")
        if np.isfinite(picks["start_s"]).all():
            batch["start_s"] = picks["start_s"].astype("f8")
        if self._feed.rate_hz is not None:
            batch["rate_hz"] = self._feed.rate_hz
        batch["units"] = self.units
        return batch if self.transform is None else self.transform(batch)

    def state_dict(self) -> dict[str, Any]:
        """Return where the iteration stands: the next sample is number ``position`` of ``epoch``.

        It is the state of this object; worker processes of a torch DataLoader have their own.
        """
        epoch, position = self.epoch, self.position
        if position >= self.windows:
            epoch, position = epoch + 1, 0
        return {"epoch": epoch, "position": position, "fingerprint": self._fingerprint}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on at the very next sample; the batch size may differ.

        Raises
        ------
        InvalidInputError
            When the state is that of other samples or another order.
        """
        if state.get("fingerprint") != self._fingerprint:
            raise InvalidInputError(
                "load_state_dict",
                "the state of another loader",
                "the same split, sample, target, seed and rank",
                "make the loader as it was",
            )
        self.go_to(int(state["epoch"]), int(state["position"]))

    def go_to(self, epoch: int, position: int = 0) -> None:
        """Let the next iteration start at sample number ``position`` of ``epoch``."""
        self.epoch, self.position, self._fresh = epoch, position, True

    def _digest(self, request: Request) -> str:
        """Return a digest of all that decides which samples come in which order."""
        facts = (
            request.splits.digest,
            request.split,
            request.sample,
            request.resample_hz,
            request.joined,
            request.channels,
            request.draw,
            self.seed,
            self.rank,
            self.world_size,
            self.shuffle,
            self._engine.capacity,
        )
        return hashlib.sha256(repr(facts).encode() + self._feed.picks.tobytes()).hexdigest()

    def torch(self) -> Batches:
        """Return a `torch.utils.data.IterableDataset` of batches as tensors.

        Give it to ``DataLoader(view, batch_size=None)``; with worker processes each batch
        comes exactly once.
        """
        from neurodata.loader.torch_view import Batches

        return Batches(self)

    def samples(self) -> Samples:
        """Return the grid of samples as a map-style `torch.utils.data.Dataset`.

        Give it to ``DataLoader(view, batch_size=..., shuffle=True, collate_fn=view.collate)``.
        """
        from neurodata.loader.torch_view import Samples

        return Samples(self.take, len(self._feed.picks))

    def take(self, at: Array) -> Batch:
        """Return the samples of these numbers in the grid as one batch."""
        place = Place(self.seed, 0, self.rank, int(at[0]))
        return self._batch(at, self._engine.take(at, place))


def _units(feed: Feed) -> str:
    if feed.statistics is not None:
        return STANDARDISED
    columns = zip(chain(*feed.channels), chain(*feed.channel_units), strict=True)
    found = {unit for name, unit in columns if name}
    return found.pop() if len(found) == 1 else "mixed"
