"""Compiled loops over the samples of a batch, which other threads need not wait for; needs numba.

They do what `neurodata.loader.gain` does with NumPy, to the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit

from neurodata.loader.plan import Array
from neurodata.store.calls import pointer


@njit(nogil=True, cache=True)
def scale_windows(
    addresses: Array,
    widths: Array,
    gains: Array,
    factors: Array,
    shifts: Array,
    like: Array,
    out: Array,
) -> None:
    """Fill ``out (window, time, column)`` float32 from windows at some addresses.

    Parameters
    ----------
    addresses, widths, gains : array (window,)
        Where each window's first number is (uint64), its channels, and its row of factors.
    factors, shifts : array (gain, column) float32
    like : array (0,)
        Of the stored dtype; windows are contiguous.
    """
    count, columns = out.shape[1], out.shape[2]
    for window in range(out.shape[0]):
        width, gain = widths[window], gains[window]
        source = carray(pointer(addresses[window]), (count, width), like.dtype)
        target, factor, shift = out[window], factors[gain], shifts[gain]
        shifted = False
        for column in range(width):
            shifted |= shift[column] != 0
        for time in range(count):
            if shifted:
                for column in range(width):
                    number = np.float32(source[time, column]) + shift[column]
                    target[time, column] = number * factor[column]
            else:
                for column in range(width):
                    target[time, column] = np.float32(source[time, column]) * factor[column]
            for column in range(width, columns):
                target[time, column] = np.float32(0)


@njit(nogil=True, cache=True)
def scale_patches(
    addresses: Array,
    strides: Array,
    widths: Array,
    gains: Array,
    factors: Array,
    shifts: Array,
    like: Array,
    out: Array,
) -> None:
    """Fill ``out (patch, channel, z, y, x)`` float32 from patches at some addresses.

    Parameters
    ----------
    strides : array (patch, 3)
        Bytes (uint64) to the next channel, z and y; x is contiguous.
    addresses, widths, gains, factors, shifts, like
        As for `scale_windows`.
    """
    _, channels, depth, height, length = out.shape
    for patch in range(out.shape[0]):
        gain = gains[patch]
        for channel in range(channels):
            present = channel < widths[patch]
            factor, shift = factors[gain, channel], shifts[gain, channel]
            for z in range(depth):
                for y in range(height):
                    target = out[patch, channel, z, y]
                    if not present:
                        for x in range(length):
                            target[x] = np.float32(0)
                        continue
                    step = strides[patch]
                    place = addresses[patch] + np.uint64(channel) * step[0]
                    place += np.uint64(z) * step[1] + np.uint64(y) * step[2]
                    source = carray(pointer(place), (length,), like.dtype)
                    for x in range(length):
                        target[x] = (np.float32(source[x]) + shift) * factor


def nothing(name: str, kind: str) -> tuple[Any, ...]:
    """Return arguments with which a loop does nothing, for one stored dtype."""
    addresses, whole = np.zeros(0, "u8"), np.zeros(0, "i8")
    table, like = np.zeros((1, 1), "f4"), np.zeros(0, kind)
    if name == "scale_windows":
        return addresses, whole, whole, table, table, like, np.zeros((0, 1, 1), "f4")
    strides, out = np.zeros((0, 3), "u8"), np.zeros((0, 1, 1, 1, 1), "f4")
    return addresses, strides, whole, whole, table, table, like, out
