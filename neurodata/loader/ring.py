"""Memory for batches that is used again once nobody holds a batch made of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from math import prod

import numpy as np

from neurodata.loader.plan import Array

Blank = Mapping[str, tuple[tuple[int, ...], str]]
"""Shape and dtype of every array of a batch, by name."""

KEPT = 8
_UNHELD = 3  # references to an array that only the ring has: its list, the loop, the count itself


class Ring:
    """Arrays by shape and dtype; a view or tensor that is still alive keeps its array from reuse.

    Parameters
    ----------
    allocate : function of shape and dtype, optional
        Gives new memory, pinned for a device say; `numpy.empty` by default.

    Examples
    --------
    >>> ring = Ring()
    >>> first = ring.take({"signal": ((2, 3), "f4")})["signal"]
    >>> view, address = first[0], first.ctypes.data
    >>> del first
    >>> ring.take({"signal": ((2, 3), "f4")})["signal"].ctypes.data == address
    False
    >>> del view
    >>> ring.take({"signal": ((2, 3), "f4")})["signal"].ctypes.data == address
    True
    """

    def __init__(self, allocate: Callable[[tuple[int, ...], str], Array] | None = None) -> None:
        self._allocate = allocate or np.empty
        self._arrays: dict[tuple[tuple[int, ...], str], list[Array]] = {}

    def take(self, blank: Blank) -> dict[str, Array]:
        """Return one array of each name, with whatever was in its memory before."""
        return {name: self._one(shape, dtype) for name, (shape, dtype) in blank.items()}

    def _one(self, shape: tuple[int, ...], dtype: str) -> Array:
        own = self._arrays.setdefault((shape, dtype), [])
        for array in own:
            if sys.getrefcount(array) <= _UNHELD:
                return array[:]  # a view, so that the array itself counts who holds it
        array = self._allocate(shape, dtype)
        if len(own) < KEPT:
            own.append(array)
        return array[:]


def bytes_of(blank: Blank) -> int:
    """Return the bytes of a batch.

    Examples
    --------
    >>> bytes_of({"signal": ((64, 768, 64), "f4"), "mask": ((64, 64), "?")})
    12587008
    """
    return sum(prod(shape) * np.dtype(dtype).itemsize for shape, dtype in blank.values())
