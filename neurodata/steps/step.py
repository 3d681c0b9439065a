"""What a step is, and how it gets at a signal: physical, float64, in blocks along time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import xarray as xr
from pydantic import BaseModel, ConfigDict

from neurodata.errors import InvalidInputError, Problem
from neurodata.physical import CLOCK, scaled
from neurodata.sources import fingerprint

if TYPE_CHECKING:
    import dask.array as da

BLOCK_BYTES = 16_000_000


class Step(BaseModel):
    """One step with its parameters; a subclass says what it works on and how.

    Attributes
    ----------
    node : str, optional
        Name of the node; needed where a recording has several of the representation. One with
        ``*`` means every node of the representation that it fits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)
    node: str | None = None
    name: ClassVar[str]
    works_on: ClassVar[tuple[str, ...]] = ("timeseries",)
    files: ClassVar[tuple[str, ...]] = ()
    fits_on: ClassVar[str | None] = None

    def apply(self, node: xr.Dataset, where: str) -> xr.Dataset:
        """Return the node after the step, lazily; ``where`` is for messages."""
        raise NotImplementedError

    def parts(self, path: str, node: xr.Dataset, where: str) -> dict[str, xr.Dataset]:
        """Return what a node becomes, by name: as a rule, itself after the step."""
        return {path: self.apply(node, where)}

    def findings(self, before: xr.Dataset, parts: Mapping[str, xr.Dataset]) -> Iterator[Problem]:
        """Yield what a person should know of what the step did."""
        yield from ()

    @property
    def on_files(self) -> bool:
        """Whether it works on raw files before they are read, and not on a node."""
        return False

    @property
    def mark(self) -> str:
        """What is added to the names of recordings that are no longer what was recorded."""
        return ""

    def record(self) -> dict[str, Any]:
        """Return the step as it stands in a manifest: all that it was given.

        A file stands there with its name and sha256; a step that fits numbers says on what.
        """
        facts = self.model_dump(exclude_none=True, mode="json")
        for name in set(self.files) & set(facts):
            path = Path(facts[name])
            facts[name] = {"name": path.name, "sha256": fingerprint(path).sha256}
        fitted = {"fitted_on": self.fits_on} if self.fits_on else {}
        return {"step": self.name, **facts, **fitted}


def signal_of(node: xr.Dataset) -> xr.DataArray:
    """Return the signal ``(time, channel)`` float64 in its units, in blocks along time."""
    if "signal_adc" in node:
        value = scaled(node["signal_adc"], node["scale"], node["offset"])
    else:
        value = node["signal"]
    rows = max(1, BLOCK_BYTES // (8 * max(1, value.sizes["channel"])))
    return value.chunk({"time": rows, "channel": -1}).astype("float64")


def with_signal(node: xr.Dataset, signal: xr.DataArray, **attrs: Any) -> xr.Dataset:
    """Return the node with another signal in place of what it had, and some attributes."""
    stale = [name for name in ("signal", "signal_adc", "scale", "offset") if name in node]
    return node.drop_vars(stale).assign(signal=signal.assign_attrs()).assign_attrs(attrs)


def require_clock(node: xr.Dataset, where: str) -> float:
    """Return the rate in Hz of a node on a regular clock without gaps.

    Raises
    ------
    InvalidInputError
        When the clock is irregular, or samples are marked as not observed.
    """
    if not set(CLOCK) <= set(node.attrs):
        raise InvalidInputError(
            where, "an irregular clock", "a regular one", "put the step regularise before it"
        )
    if "observed" in node:
        raise InvalidInputError(
            where, "samples that were not observed", "a signal without gaps",
            "put the step cut before it",
        )  # fmt: skip
    return float(node.attrs["rate_hz"])


def padded(data: da.Array, count: int, where: str) -> da.Array:
    """Return ``(time, channel)`` with ``count`` more rows on both sides: turned about the ends.

    Raises
    ------
    InvalidInputError
        When there are not more rows than that.
    """
    import dask.array as da

    if len(data) <= count:
        raise InvalidInputError(
            where, f"{len(data)} samples", f"more than {count}, half the filter's length",
            "choose a wider transition, or leave short recordings out",
        )  # fmt: skip
    before = 2 * data[:1] - data[count:0:-1]
    after = 2 * data[-1:] - data[-2 : -count - 2 : -1]
    whole: da.Array = da.concatenate([before, data, after])
    blocks: da.Array = whole.rechunk({0: data.chunksize[0], 1: -1})
    return blocks


def by_blocks(
    data: da.Array,
    n: int,
    around: tuple[int, int],
    rows: int,
    work: Callable[..., Any],
    count: Callable[[int], int] = int,
    **options: Any,
) -> da.Array:
    """Return what a function makes of ``rows`` rows at a time, given the rows around them.

    Parameters
    ----------
    data : dask array (before + n + after, channel)
        Rows with those before the first and after the last.
    around : (before, after)
        How many rows on both sides ``work`` is given with each block.
    count : function
        How many rows ``work`` gives for so many.
    options
        For ``work``.
    """
    import dask.array as da

    before, after = around
    parts = []
    for first in range(0, n, rows):
        size = min(rows, n - first)
        block = data[first : first + size + before + after].rechunk(-1)
        chunks = ((count(size),), block.chunks[1])
        options_of = {**options, "size": size}
        parts.append(da.map_blocks(work, block, dtype="f8", chunks=chunks, **options_of))
    found: da.Array = da.concatenate(parts)
    return found
