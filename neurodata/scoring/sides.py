"""What a task makes of a split: batches of ``x`` and ``y`` per side, and how they are scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurodata.errors import InvalidInputError
from neurodata.loader import Loader, Statistics, load
from neurodata.loader.samples import Sample
from neurodata.loader.target import Target
from neurodata.models import Array, Batches
from neurodata.scoring.interval import space_blocks, time_blocks
from neurodata.splits import Split
from neurodata.store import Store

Transform = Callable[[dict[str, Any]], dict[str, Any]]
Blocks = Callable[[Mapping[str, Array], Array], tuple[Array, str]]
BATCH = 64


@dataclass(frozen=True)
class Sides:
    """A task, ready to be scored.

    Parameters
    ----------
    train, val, test : batches
        With ``x``, ``y`` and the examples' places; ``val`` is None where there is no such side.
    metric : str
        One of `neurodata.scoring.metrics.METRICS`.
    blocks : function of the test examples and their terms
        Gives the number of each example's block, and what a block is.
    examples : str
        What is counted, e.g. ``"windows"``.
    reference : str
        The model that a skill refers to.
    mse_units : str
        Of squared errors, for the notes; empty where they are those of the data.
    window_s, horizon_s : float
        What an example sees and how far ahead it predicts, for the audit of the split.
    """

    train: Batches
    val: Batches | None
    test: Batches
    metric: str
    blocks: Blocks
    examples: str
    reference: str = ""
    mse_units: str = ""
    window_s: float | None = None
    horizon_s: float | None = None


def loaders(
    store: Store,
    split: Split,
    sample: Sample,
    transform: Transform,
    seed: int,
    *,
    target: Target = None,
    batch_size: int = BATCH,
    standardise: bool = False,
    resample_hz: float | None = None,
) -> dict[str, Loader]:
    """Return a loader for each of train, val and test that the split has.

    With ``standardise`` all are scaled with the statistics of the training side.

    Raises
    ------
    InvalidInputError
        When the split has no train or no test side.
    """
    if not {"train", "test"} <= set(split.fractions):
        found = ", ".join(split.fractions)
        raise InvalidInputError(f"split of {split.dataset}", found, "the sides train and test")
    made: dict[str, Loader] = {}
    scale: str | Statistics | None = "standard" if standardise else None
    for name in [side for side in ("train", "val", "test") if side in split.fractions]:
        made[name] = load(
            store, splits=split, split=name, sample=sample, target=target, seed=seed,
            batch_size=batch_size, scale=scale, resample_hz=resample_hz, transform=transform,
        )  # fmt: skip
        scale = made[name].statistics
    return made


def require_observed(*masks: Array) -> None:
    """Refuse batches with channels that were not observed: a model would take their 0 for data.

    Raises
    ------
    InvalidInputError
        When a mask is False somewhere.
    """
    if not all(np.all(mask) for mask in masks):
        raise InvalidInputError(
            "scoring",
            "channels that a recording lacks or that were not observed",
            "the same observed channels in every example",
            "name recordings of one montage in the task's options",
        )


def blocks_of_time(least_s: float) -> Blocks:
    """Return the function that puts test examples into blocks of time (see `time_blocks`)."""

    def blocks(found: Mapping[str, Array], terms: Array) -> tuple[Array, str]:
        numbers, length_s = time_blocks(found["recording"], found["start_s"], terms, least_s)
        return numbers, f"blocks of {length_s:.3g} s"

    return blocks


def blocks_of_space(tile_voxels: int) -> Blocks:
    """Return the function that puts test examples into tiles of voxels (see `space_blocks`)."""

    def blocks(found: Mapping[str, Array], terms: Array) -> tuple[Array, str]:
        numbers = space_blocks(found["recording"], found["corner_zyx"], tile_voxels)
        return numbers, f"tiles of {tile_voxels} voxels"

    return blocks
