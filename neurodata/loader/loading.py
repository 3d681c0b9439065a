"""`load`: a frozen split of a store as a loader."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from math import isfinite

from neurodata.errors import InvalidInputError
from neurodata.loader.channel_facts import Channels
from neurodata.loader.draw import Balanced, Random
from neurodata.loader.engine import Machine
from neurodata.loader.feed import Request
from neurodata.loader.joined import Joined
from neurodata.loader.loader import Batch, Loader
from neurodata.loader.recordings import Opener
from neurodata.loader.samples import Sample
from neurodata.loader.statistics import Statistics
from neurodata.loader.target import Target
from neurodata.loader.workers import cores
from neurodata.splits import Split

LAYOUTS = ("bct", "btc")
SHUFFLES = (None, "pool", "full")


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
    shuffle: str | None = None,
    threads: int | None = None,
    joined: Sequence[Joined | str] = (),
    channels: Channels = "auto",
    draw: Balanced | Random | None = None,
    pin_memory: bool = False,
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
        What decoded data and batches may take. Where all fits, it is decoded once, kept in its
        stored dtype and shuffled as a whole; otherwise groups of blocks pass through memory
        (see `neurodata.loader.arrange`), so that this decides the order too.
    rank, world_size : int
        This process's part of each epoch. Shuffled epochs are trimmed to equal parts.
    shuffle : {None, "pool", "full"}
        None is "pool" for ``"train"`` and in sequence otherwise. "full" is a uniform
        permutation also of what does not fit in memory, at the price of decoding each window's
        chunks anew.
    threads : int, optional
        That decode and fill; the cores that this process may use by default.

    joined : sequence of Joined or str
        Other nodes of the same recordings, cut at the seconds of each window.
    channels : {"auto", "own", "by_name"}
        Which columns channels are in (see `neurodata.loader.channel_facts.columns_as`); "own" is
        for many montages, whose channels ``batch["channel"]`` tells apart.

    draw : Balanced or Random, optional
        Which samples an epoch has, in place of each of the grid once: classes in equal or given
        shares, or windows and patches anywhere.
    pin_memory : bool
        Whether batches are made in memory that a CUDA device copies from directly.

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
    _check(layout, batch_size, seed, resample_hz, rank, world_size, shuffle)
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
        joined=tuple(joined),
        channels=channels,
        draw=draw,
        seed=seed,
        memory_mb=memory_mb,
    )
    machine = Machine(memory_mb, cores() if threads is None else threads, pin_memory)
    return Loader(
        request,
        seed=seed,
        transform=transform,
        rank=rank,
        world_size=world_size,
        shuffle=shuffle,
        machine=machine,
    )


def _check(
    layout: str,
    batch_size: int,
    seed: int,
    resample_hz: float | None,
    rank: int,
    world_size: int,
    shuffle: str | None,
) -> None:
    """Refuse arguments that are not of the allowed form."""
    rate_good = resample_hz is None or (isfinite(resample_hz) and resample_hz > 0)
    for good, name, value, expected in (
        (layout in LAYOUTS, "layout", layout, " or ".join(LAYOUTS)),
        (batch_size >= 1, "batch_size", batch_size, "1 or more"),
        (0 <= seed < 2**64, "seed", seed, "a whole number from 0 to 2**64 - 1"),
        (rate_good, "resample_hz", resample_hz, "a finite number over 0"),
        (0 <= rank < world_size, "rank", f"{rank} of {world_size}", "0 <= rank < world_size"),
        (shuffle in SHUFFLES, "shuffle", shuffle, "None, 'pool' or 'full'"),
    ):
        if not good:
            raise InvalidInputError(f"load({name})", str(value), expected)
