"""What one sample of a batch is: frozen descriptions, checked when they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neurodata.errors import InvalidInputError


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
            if len(value) != 3 or any(int(n) != n or n < 1 for n in value):
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

    Raises
    ------
    InvalidInputError
        When a length is no whole number of bins.

    Examples
    --------
    >>> SpikeBins(bin_s=0.02, length_s=1.0).bin_s
    0.02
    """

    bin_s: float
    length_s: float
    stride_s: float | None = None
    node: str | None = None

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


Sample = Windows | Trials | Patches | Volumes | Graphs | SpikeBins


def _positive(sample: object, *names: str) -> None:
    for name in names:
        value = getattr(sample, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InvalidInputError(
                f"{type(sample).__name__}({name})", repr(value), "a finite number over 0"
            )
