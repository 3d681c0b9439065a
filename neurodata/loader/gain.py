"""From stored numbers to those of a batch, in one pass that stays in the processor's cache."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod

import numpy as np

from neurodata.loader.plan import Array

SLAB_BYTES = 2**18
TILE_ITEMS = 4096


@dataclass(frozen=True, eq=False)
class Gain:
    """``(stored + shift) * factor``, float32, per channel.

    Parameters
    ----------
    factor, shift : array (channel,) float64
    exact : bool
        Compute ``stored * factor + shift`` in float64: for stored numbers that float32 does not
        hold, and for factors of 0.
    """

    factor: Array
    shift: Array
    exact: bool

    @cached_property
    def plain(self) -> bool:
        """Whether nothing changes."""
        return not self.exact and bool((self.factor == 1).all() and (self.shift == 0).all())

    @cached_property
    def shifts(self) -> bool:
        """Whether there is a shift at all."""
        return bool((self.shift != 0).any())

    @cached_property
    def channels(self) -> list[Gain]:
        """The gains of the channels, each by itself."""
        parts = zip(self.factor, self.shift, strict=True)
        return [Gain(np.array([f]), np.array([s]), self.exact) for f, s in parts]

    def of(self, channel: int) -> Gain:
        """Return the gain of one channel."""
        return self.channels[channel]

    @cached_property
    def rows(self) -> tuple[Array, Array]:
        """Factor and shift, float32."""
        return self.factor.astype("f4"), self.shift.astype("f4")

    @cached_property
    def _tiles(self) -> dict[int, tuple[Array, Array]]:
        return {}

    def tiles(self, times: int) -> tuple[Array, Array]:
        """Return factor and shift for ``times`` rows end to end, float32."""
        if times not in self._tiles:
            factor, shift = self.rows
            self._tiles[times] = np.tile(factor, times), np.tile(shift, times)
        return self._tiles[times]


def gain_of(factor: Array, offset: Array, dtype: np.dtype[np.generic]) -> Gain:
    """Return the gain ``stored * factor + offset`` for numbers of a stored dtype.

    Examples
    --------
    >>> gain_of(np.array([0.5]), np.array([1.0]), np.dtype("i2"))
    Gain(factor=array([0.5]), shift=array([2.]), exact=False)
    """
    wide = dtype.itemsize > (4 if dtype.kind == "f" else 2)
    if wide or (factor == 0).any() or not (np.isfinite(factor) & np.isfinite(offset)).all():
        return Gain(factor, offset, True)
    return Gain(factor, offset / factor, False)


def scale_into(target: Array, source: Array, gain: Gain) -> None:
    """Fill ``target`` float32 with the source's numbers; channels are the last axis, if several.

    The result is within 2 units in the last place of float64 arithmetic on ``stored + shift``.

    Examples
    --------
    >>> target = np.empty((3, 2), "f4")
    >>> stored = np.array([[1, 2], [3, 4], [5, 6]], "i2")
    >>> gain = gain_of(np.array([2.0, 1.0]), np.array([0.0, 1.0]), stored.dtype)
    >>> scale_into(target, stored, gain)
    >>> target.tolist()
    [[2.0, 3.0], [6.0, 5.0], [10.0, 7.0]]
    """
    if gain.plain:
        np.copyto(target, source, casting="unsafe")
        return
    step, times = _steps(target.shape, target.flags.c_contiguous)
    for first in range(0, len(target), step):
        _slab(target[first : first + step], source[first : first + step], gain, times)


@lru_cache(256)
def _steps(shape: tuple[int, ...], contiguous: bool) -> tuple[int, int]:
    """Return rows of a slab, and how many of them are scaled as one: they divide the target."""
    width = prod(shape[1:])
    step = max(1, SLAB_BYTES // max(4, 4 * width))
    if len(shape) != 2 or not contiguous:
        return step, 1
    most = min(step, TILE_ITEMS // max(1, width), shape[0])
    times = next((n for n in range(most, 1, -1) if shape[0] % n == 0), 1)
    return max(step // times * times, times), times


def _slab(target: Array, source: Array, gain: Gain, times: int) -> None:
    if gain.exact:
        with np.errstate(over="ignore"):
            target[...] = source * gain.factor + gain.shift
        return
    np.copyto(target, source, casting="unsafe")
    factor, shift = gain.rows
    if times > 1:
        target = target.reshape(-1, times * target.shape[1])
        factor, shift = gain.tiles(times)
    if gain.shifts:
        target += shift
    target *= factor


def tables(gains: list[Gain], columns: int) -> tuple[Array, Array] | None:
    """Return factors and shifts ``(gain, column)`` float32, or None where float64 is needed."""
    if any(gain.exact for gain in gains):
        return None
    factors, shifts = (np.zeros((len(gains), columns), "f4") for _ in range(2))
    for row, gain in enumerate(gains):
        factors[row, : len(gain.factor)], shifts[row, : len(gain.shift)] = gain.rows
    return factors, shifts
