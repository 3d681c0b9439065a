"""`load`: a frozen split of a store as batches, epoch after epoch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from math import isfinite
from typing import TYPE_CHECKING, Any

import dask
import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader.feed import Feed, Request
from neurodata.loader.plan import Array, order
from neurodata.loader.recordings import Opener, Recordings
from neurodata.loader.samples import Graphs, Patches, Sample, SpikeBins, Trials, Volumes, Windows
from neurodata.loader.spatial import graph_feed, patch_feed
from neurodata.loader.statistics import Statistics
from neurodata.loader.target import Target
from neurodata.loader.timed import spike_feed, window_feed
from neurodata.splits import Split

if TYPE_CHECKING:
    from neurodata.loader.torch_view import Batches

Batch = dict[str, Any]
LAYOUTS = ("bct", "btc")
STANDARDISED = "standardised"


def load(
    store: Opener | str | os.PathLike[str],
    *,
    splits: Split | str | os.PathLike[str],
    split: str = "train",
    sample: Sample,
    target: Target = None,
    layout: str = "bct",
    batch_size: int = 64,
    seed: int = 0,
    scale: str | Statistics | None = None,
    transform: Callable[[Batch], Batch] | None = None,
    resample_hz: float | None = None,
    memory_mb: float = 512,
    rank: int = 0,
    world_size: int = 1,
) -> Loader:
    """Load one side of a split as batches of NumPy arrays.

    Parameters
    ----------
    store : Store or path
    splits : Split or path
        Names the recordings, their versions and the parts of them that are read.
    split : str
        Side to load. Only ``"train"`` is shuffled.
    sample : Windows, Trials, Patches, Volumes, Graphs or SpikeBins
    target : str, Label, Attribute, Node, NextWindow or function, optional
        ``"label"``, the name of a recording's fact or of an interval's column, or one of
        `neurodata.loader.target`; a function gets the sample's metadata.
    layout : {"bct", "btc"}
        ``signal (batch, channel, time)``, a view, or ``(batch, time, channel)``.
    scale : None, "standard", "standard_by_type" or Statistics
        None gives the field's units. Otherwise ``(value - mean) / std`` per channel name, or
        per channel type where recordings have channels of their own, fitted on ``"train"``.
    transform : function of a batch, optional
        Applied last.
    resample_hz : float, optional
        Rate of all windows, behind an anti-aliasing filter; irregular clocks are interpolated.
    memory_mb : float
        Arrays are kept decoded until this many MB are full.
    rank, world_size : int
        This process's part of each epoch. Shuffled epochs are trimmed to equal parts.

    Raises
    ------
    InvalidInputError
        When nodes, rates, shapes or arguments leave the samples undecided.

    Examples
    --------
    >>> import tempfile, neurodata
    >>> store = neurodata.open_store(tempfile.mkdtemp(), create=True)
    >>> _ = neurodata.ingest("eeg_fp1", store=store)
    >>> split = neurodata.make_split(store, "eeg_fp1", by="time", gap_s=10.0)
    >>> loader = load(store, splits=split, sample=neurodata.Windows(length_s=3.0), batch_size=64)
    >>> batch = next(iter(loader))
    >>> batch["signal"].shape, batch["units"], batch["rate_hz"]
    ((64, 1, 384), 'µV', 128.0)
    """
    if isinstance(store, str | os.PathLike):
        from neurodata.store import open_store

        store = open_store(store)
    if not isinstance(splits, Split):
        splits = Split.read(splits)
    _check(layout, batch_size, seed, resample_hz, rank, world_size)
    request = Request(
        store=store,
        splits=splits,
        split=split,
        sample=sample,
        target=target,
        layout=layout,
        batch_size=batch_size,
        scale=scale,
        resample_hz=resample_hz,
        memory_mb=memory_mb,
    )
    return Loader(request, seed=seed, transform=transform, rank=rank, world_size=world_size)


def _check(
    layout: str, batch_size: int, seed: int, resample_hz: float | None, rank: int, world_size: int
) -> None:
    """Refuse arguments that are not of the allowed form."""
    rate_good = resample_hz is None or (isfinite(resample_hz) and resample_hz > 0)
    for good, name, value, expected in (
        (layout in LAYOUTS, "layout", layout, " or ".join(LAYOUTS)),
        (batch_size >= 1, "batch_size", batch_size, "1 or more"),
        (0 <= seed < 2**64, "seed", seed, "a whole number from 0 to 2**64 - 1"),
        (rate_good, "resample_hz", resample_hz, "a finite number over 0"),
        (0 <= rank < world_size, "rank", f"{rank} of {world_size}", "0 <= rank < world_size"),
    ):
        if not good:
            raise InvalidInputError(f"load({name})", str(value), expected)


def _feed(request: Request, recordings: Recordings) -> Feed:
    match request.sample:
        case Windows() | Trials() as sample:
            return window_feed(request, sample, recordings)
        case SpikeBins() as sample:
            return spike_feed(request, sample, recordings)
        case Patches() | Volumes() as sample:
            return patch_feed(request, sample, recordings)
        case Graphs() as sample:
            return graph_feed(request, sample, recordings)
    raise InvalidInputError(
        "load(sample)", repr(request.sample), "Windows, Trials, Patches, Volumes, Graphs, SpikeBins"
    )


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
    """

    def __init__(
        self,
        request: Request,
        *,
        seed: int = 0,
        transform: Callable[[Batch], Batch] | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.split = request.split
        self.batch_size = request.batch_size
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.transform = transform
        recordings = Recordings(request.store, request.assignments, request.memory_mb)
        self._feed = _feed(request, recordings)
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
        self.windows = len(self._order(0))
        self.epoch, self.position, self._fresh = 0, 0, True
        self._fingerprint = self._digest(request)

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-self.windows // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over one epoch, or over the rest of one after `load_state_dict`."""
        return self.batches()

    def batches(self, part: int = 0, parts: int = 1) -> Iterator[Batch]:
        """Iterate over every ``parts``-th batch of one epoch, from batch ``part`` on."""
        if not self._fresh:
            self.epoch, self.position = self.epoch + 1, 0
        self._fresh = False
        return self._run(self.epoch, self.position, part, parts)

    def _run(self, epoch: int, start: int, part: int, parts: int) -> Iterator[Batch]:
        sequence = self._order(epoch)
        for number, first in enumerate(range(start, self.windows, self.batch_size)):
            if number % parts == part:
                at = sequence[first : first + self.batch_size]
                batch = self._batch(at)
                self.epoch, self.position = epoch, first + len(at)
                yield batch
        self.go_to(epoch + 1)

    def _order(self, epoch: int) -> Array:
        shuffle = self.split == "train"
        count = len(self._feed.picks)
        return order(count, self.seed, epoch, shuffle, self.rank, self.world_size)

    def _batch(self, at: Array) -> Batch:
        picks = self._feed.picks[at]
        with dask.config.set(scheduler="synchronous"):  # dask's threads do not survive a fork
            batch: Batch = dict(self._feed.fetch(picks))
            if self._feed.target is not None:
                batch |= self._feed.target(at)
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
            self.seed,
            self.rank,
            self.world_size,
        )
        return hashlib.sha256(repr(facts).encode() + self._feed.picks.tobytes()).hexdigest()

    def torch(self) -> Batches:
        """Return a `torch.utils.data.IterableDataset` of batches as tensors.

        Give it to ``DataLoader(view, batch_size=None)``; with worker processes each batch
        comes exactly once.
        """
        from neurodata.loader.torch_view import Batches

        return Batches(self)


def _units(feed: Feed) -> str:
    if feed.statistics is not None:
        return STANDARDISED
    columns = zip(chain(*feed.channels), chain(*feed.channel_units), strict=True)
    found = {unit for name, unit in columns if name}
    return found.pop() if len(found) == 1 else "mixed"
