"""All chunks of a box at once: one compiled call that holds up no other thread.

It only ever says "done" or "not done": what is damaged, missing or strange is left to the plain
way in `arrays`, which raises an error that says where.
"""

from __future__ import annotations

import ctypes
import sys
from functools import lru_cache
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import google_crc32c
import numpy as np
from numcodecs import blosc

from neurodata.compiled import address, compiled
from neurodata.store.files_of import Array, room

if TYPE_CHECKING:
    from neurodata.store.arrays import Box, StoredArray

AXES = 4
MOST_FILES = 64
SLACK = 4096  # bytes that a chunk may take beyond those of its numbers


class Form(NamedTuple):
    """What the loop has to know of an array (see `neurodata.store.kernels.decode_chunks`)."""

    grid: Array
    strides: Array
    kind: Array


def form_of(array: StoredArray) -> Form | None:
    """Return how an array is stored, or None where the loop does not know such arrays."""
    if not 0 < len(array.shape) <= AXES or array.dtype == object:
        return None
    grid = [_padded(n, 1) for n in (array.chunks, array.chunks_of_shard, array.shard_grid)]
    item = array.dtype.itemsize
    strides = [item * prod(array.chunks[axis + 1 :]) for axis in range(len(array.chunks))]
    kind = [item, array.chunk_bytes, array.compressed, array.checked]
    return Form(np.array(grid, "i8"), _padded(strides, 0), np.array(kind, "i8"))


def _padded(values: Any, by: int) -> Array:
    return np.array([by] * (AXES - len(values)) + list(values), "i8")


def decode_box(array: StoredArray, box: Box, out: Array) -> bool:
    """Fill ``out`` with the items inside a box, and say whether that was done.

    False is no failure: the loop is not loaded (yet), the array is of a kind that it does not
    know, its files are far, or one of the chunks is damaged.
    """
    loop = compiled("decode_chunks", _BYTES)
    form, functions = array.form, _functions()
    if loop is None or form is None or functions is None or out.strides[-1] != out.itemsize:
        return False
    shards = [
        range(part.start // size, -(-part.stop // size))
        for part, size in zip(box, array.shards, strict=True)
    ]
    if prod(map(len, shards)) > MOST_FILES:
        return False
    kept, files = [], np.full(len(array.entries), -1, "i8")
    for number in product(*shards):
        file = array.files.file(array.load_index(number))
        if file is None:
            return False
        kept.append(file)  # it stays open while the loop runs
        files[array.shard_number(number)] = file.descriptor
    ends = np.array([_padded([part.start for part in box], 0), _padded([p.stop for p in box], 1)])
    steps = np.array([form.strides, _padded(out.strides, 0)])
    where = ends, np.uint64(address(out)), steps
    packed = room("packed", array.chunk_bytes + SLACK)
    rooms = packed, room("chunk", array.chunk_bytes), room("shuffled", array.chunk_bytes)
    return bool(loop(form.grid, files, array.entries, *where, form.kind, functions, *rooms))


_BYTES = np.dtype("u1")


@lru_cache(1)
def _functions() -> Array | None:
    """Return the addresses of the C functions that the loop calls, or None without one of them."""
    if sys.byteorder != "little":
        return None
    try:
        checksum = google_crc32c._crc32c  # its library is loaded with it
        calls: list[Any] = [
            ctypes.CDLL(None).pread,
            ctypes.CDLL(checksum.__file__).crc32c_value,
            ctypes.CDLL(blosc.__file__).blosc_decompress_ctx,
            ctypes.CDLL(blosc.__file__).LZ4_decompress_safe,
        ]
    except (AttributeError, OSError):
        return None
    return np.array([ctypes.cast(call, ctypes.c_void_p).value for call in calls], "u8")
