"""What one sample of a batch is: frozen descriptions, checked when they are made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from neurodata.errors import InvalidInputError

Direction = Literal["in", "out", "both"]


@dataclass(frozen=True)
class Windows:
    """Windows of a timeseries, on a grid of ``stride_s``.

    Parameters
    ----------
    length_s : float
        Length in seconds; the nearest whole number of samples is taken.
    stride_s : float, optional
        Distance between starts in seconds, rounded likewise; None is the window's length.
    node : str, optional
        Name of the timeseries node; needed where a recording has several.

    Raises
    ------
    InvalidInputError
        When a length or stride is no finite number over 0.

    Examples
    --------
    >>> Windows(length_s=3.0)
    Windows(length_s=3.0, stride_s=None, node=None)
    """

    length_s: float
    stride_s: float | None = None
    node: str | None = None

    def __post_init__(self) -> None:
        _positive(self, "length_s", "stride_s")


@dataclass(frozen=True)
class Trials:
    """Windows of a timeseries around the onsets of intervals.

    Parameters
    ----------
    label : str, optional
        Label of the intervals to take; None takes all of them.
    tmin_s, tmax_s : float
        Start and end of the window in seconds from the onset, the end not included. The
        window starts at the sample nearest to ``onset + tmin_s``.
    node : str, optional
        Name of the timeseries node; needed where a recording has several.
    intervals : str, optional
        Name of the intervals node; needed where a recording has several.

    Raises
    ------
    InvalidInputError
        When ``tmax_s`` is not over ``tmin_s``.

    Examples
    --------
    >>> Trials("go", tmin_s=-0.2, tmax_s=0.8).length_s
    1.0
    """

    label: str | None = None
    tmin_s: float = 0.0
    tmax_s: float = 1.0
    node: str | None = None
    intervals: str | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.length_s) and self.length_s > 0):
            raise InvalidInputError(
                "Trials", f"tmin_s={self.tmin_s}, tmax_s={self.tmax_s}", "finite, tmin_s < tmax_s"
            )

    @property
    def length_s(self) -> float:
        """Length of a trial's window in seconds."""
        return self.tmax_s - self.tmin_s


@dataclass(frozen=True)
class Patches:
    """Blocks of voxels of a volume, on a grid of ``stride_zyx``; each time point by itself.

    Parameters
    ----------
    shape_zyx : tuple of three int
        Size in voxels; a 2-D image has one plane: ``(1, 256, 256)``.
    stride_zyx : tuple of three int, optional
        Distance between corners in voxels; None is the patch's shape.
    node : str, optional
        Name of the volume node; needed where a recording has several.

    Raises
    ------
    InvalidInputError
        When a shape or stride is not three whole numbers over 0.

    Examples
    --------
    >>> Patches((1, 64, 64)).stride_zyx is None
    True
    """

    shape_zyx: tuple[int, int, int]
    stride_zyx: tuple[int, int, int] | None = None
    node: str | None = None

    def __post_init__(self) -> None:
        for name in ("shape_zyx", "stride_zyx"):
            value = getattr(self, name)
            if value is None:
                continue
            if np.shape(value) != (3,) or any(int(n) != n or n < 1 for n in value):
                raise InvalidInputError(
                    f"Patches({name})",
                    repr(value),
                    "three whole numbers over 0",
                    "(1, y, x) in 2-D",
                )
            object.__setattr__(self, name, tuple(int(n) for n in value))


@dataclass(frozen=True)
class Volumes:
    """Whole volumes (or what a split's box leaves of them); each time point by itself."""

    node: str | None = None


@dataclass(frozen=True)
class Graphs:
    """Whole graphs, one per recording."""

    node: str | None = None


@dataclass(frozen=True)
class Neighbours:
    """Seed nodes of a graph with a drawn neighbourhood each, in one subgraph per batch.

    Every seed node comes once an epoch. The neighbours of a node are drawn uniformly and
    without replacement, anew in every batch; a node that has fewer gives all of them. A graph
    is held in memory as a whole.

    Parameters
    ----------
    fan_out : sequence of int
        Edges drawn per node, one number for each hop; -1 takes all of them.
    node : str, optional
        Name of the graph node; needed where a recording has several.
    direction : {"in", "out", "both"}
        Which edges of a node lead to its neighbours: those that end in it, that start from it,
        or both. An edge of an undirected graph leads both ways, whatever the direction.
    seeds : str or sequence of int, optional
        Name of a column of true/false or whole numbers (not 0 is a seed), or the seed nodes
        themselves by number; None is every node.
    columns : sequence of str, optional
        Columns of the nodes that batches have; None is all of them but the names.

    Raises
    ------
    InvalidInputError
        When a fan-out, a direction or the seeds are not of these forms.

    Examples
    --------
    >>> Neighbours((10, 5), seeds="is_train").fan_out
    (10, 5)
    """

    fan_out: Sequence[int] = (10, 10)
    node: str | None = None
    direction: Direction = "in"
    seeds: str | Sequence[int] | None = None
    columns: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if not len(self.fan_out) or any(int(n) != n or n < -1 or n == 0 for n in self.fan_out):
            raise InvalidInputError(
                "Neighbours(fan_out)",
                repr(self.fan_out),
                "a whole number over 0 for each hop",
                "-1 takes all neighbours",
            )
        if self.direction not in get_args(Direction):
            expected = " or ".join(map(repr, get_args(Direction)))
            raise InvalidInputError("Neighbours(direction)", repr(self.direction), expected)
        object.__setattr__(self, "fan_out", tuple(int(n) for n in self.fan_out))
        if self.columns is not None:
            object.__setattr__(self, "columns", tuple(self.columns))
        if self.seeds is not None and not isinstance(self.seeds, str):
            object.__setattr__(self, "seeds", _numbers(self.seeds))


@dataclass(frozen=True)
class SpikeBins:
    """Windows of spike counts.

    Parameters
    ----------
    bin_s : float
        Width of a bin in seconds; bins are half-open, ``[start, start + bin_s)``.
    length_s : float
        Length in seconds, a whole number of bins.
    stride_s : float, optional
        Distance between starts in seconds, a whole number of bins; None is the length.
    node : str, optional
        Name of the spikes node; needed where a recording has several.
    intervals : str, optional
        Name of an intervals node: one window for each of its intervals, whose first bin starts
        at ``onset + tmin_s`` exactly. None lays windows on the grid of ``stride_s``.
    label : str, optional
        Label of the intervals to take; None takes all of them.
    tmin_s : float
        Start of the window in seconds from the onset.
    clip : bool
        Whether only spikes inside the interval itself are counted. It is for samples that
        follow one another in one recording and are shorter than the window.

    Raises
    ------
    InvalidInputError
        When a length is no whole number of bins, or an option needs intervals, or none.

    Examples
    --------
    >>> SpikeBins(bin_s=0.02, length_s=1.0).bin_s
    0.02
    """

    bin_s: float
    length_s: float
    stride_s: float | None = None
    node: str | None = None
    intervals: str | None = None
    label: str | None = None
    tmin_s: float = 0.0
    clip: bool = False

    def __post_init__(self) -> None:
        _positive(self, "bin_s", "length_s", "stride_s")
        for name in ("length_s", "stride_s"):
            value = getattr(self, name)
            if value is None:
                continue
            bins = value / self.bin_s
            if round(bins) < 1 or abs(bins - round(bins)) > 1e-6:
                raise InvalidInputError(
                    "SpikeBins", f"{name}={value}, bin_s={self.bin_s}", "a whole number of bins"
                )
        if not math.isfinite(self.tmin_s):
            raise InvalidInputError("SpikeBins(tmin_s)", repr(self.tmin_s), "a finite number")
        around = self.label is not None or self.tmin_s != 0 or self.clip
        if self.intervals is None and around:
            raise InvalidInputError(
                "SpikeBins", "label, tmin_s or clip without intervals", "intervals='NODE' as well"
            )
        if self.intervals is not None and self.stride_s is not None:
            raise InvalidInputError("SpikeBins", "stride_s and intervals", "one of them")


Sample = Windows | Trials | Patches | Volumes | Graphs | Neighbours | SpikeBins


def _positive(sample: object, *names: str) -> None:
    for name in names:
        value = getattr(sample, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InvalidInputError(
                f"{type(sample).__name__}({name})", repr(value), "a finite number over 0"
            )


def _numbers(seeds: Any) -> tuple[int, ...]:
    """Return seed nodes as a tuple of whole numbers, each once."""
    values = np.asarray(seeds)
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "iu":
        raise InvalidInputError(
            "Neighbours(seeds)",
            f"{values.dtype} of shape {values.shape}",
            "the name of a column, or node numbers",
            "np.flatnonzero(mask) gives the numbers of a mask",
        )
    if values.size != np.unique(values).size:
        raise InvalidInputError("Neighbours(seeds)", "a node more than once", "each node once")
    return tuple(values.tolist())
