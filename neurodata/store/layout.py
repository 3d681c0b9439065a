"""How arrays lie on disk: chunks, shards, codecs, and the order in which blocks are written.

The block order is also the order in which an array's content is digested, so `tile` belongs
to the store format: it depends on shape and item size only and must never change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil, prod
from typing import Any

SIGNAL_CHUNK_BYTES = 192 * 2**10
VOLUME_CHUNK_EDGE = 32
ROWS_BYTES = 8 * 2**20
TILE_BYTES = 32 * 2**20
TILE_EDGE = 512
SINGLE_CHUNK_BYTES = 512 * 2**10


def tile(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the shape of the blocks in which an array is written and digested.

    Up to two axes: runs of whole rows, so that the order is plain C order. More axes: planes
    of at most 512 x 512, as many of them as fit in 32 MiB (a multiple of 32, or all).

    Examples
    --------
    >>> tile((512, 2048, 2048), 2)
    (64, 512, 512)
    >>> tile((1200, 40, 64, 64), 2)
    (102, 40, 64, 64)
    """
    sizes = [max(1, n) for n in shape]
    if len(sizes) < 3:
        row = prod(sizes[1:]) * itemsize
        return (min(sizes[0], max(1, ROWS_BYTES // row)), *sizes[1:]) if sizes else ()
    edges = [min(n, TILE_EDGE) for n in sizes[-2:]]
    complete = edges == sizes[-2:]
    for axis in range(len(sizes) - 3, -1, -1):
        fits = max(1, TILE_BYTES // (prod(edges) * itemsize))
        third = axis == len(sizes) - 3
        if third and fits < sizes[axis]:
            fits = max(1, fits // VOLUME_CHUNK_EDGE * VOLUME_CHUNK_EDGE)
        count = min(sizes[axis], fits) if complete or third else 1
        complete = complete and count == sizes[axis]
        edges.insert(0, count)
    return tuple(edges)


def blocks(shape: tuple[int, ...], step: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Yield the index tuples of blocks that cover an array, in C order of the blocks."""
    for corner in product(*(range(0, n, s) for n, s in zip(shape, step, strict=True))):
        corners = zip(corner, step, shape, strict=True)
        yield tuple(slice(a, min(a + s, n)) for a, s, n in corners)


@dataclass(frozen=True)
class Layout:
    """Chunk and shard shape of one array; ``shards`` is None for an array of one chunk."""

    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None


def choose(dims: tuple[str, ...], shape: tuple[int, ...], itemsize: int) -> Layout:
    """Choose chunks of some 190 kB (volumes: 32 cubed) and shards of the size of a tile.

    Examples
    --------
    >>> choose(("time", "channel"), (230400, 64), 2)
    Layout(chunks=(1536, 64), shards=(66048, 64))
    >>> choose(("channel",), (64,), 8)
    Layout(chunks=(64,), shards=None)
    """
    whole = tuple(max(1, n) for n in shape)
    if prod(whole) * itemsize <= SINGLE_CHUNK_BYTES:
        return Layout(whole, None)
    if len(whole) > 2 or {"y", "x"} <= set(dims):
        inner = _volume_chunk(dims, whole)
    else:
        row = prod(whole[1:]) * itemsize
        inner = (max(1, min(whole[0], SIGNAL_CHUNK_BYTES // row)), *whole[1:])
    step = tile(whole, itemsize)
    shards = tuple(ceil(n / c) * c for n, c in zip(step, inner, strict=True))
    return Layout(inner, shards)


def _volume_chunk(dims: tuple[str, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    volume = {"y", "x"} <= set(dims)
    if not volume:
        return (*(1 for _ in shape[:-2]), *(min(n, TILE_EDGE) for n in shape[-2:]))
    return tuple(
        min(n, VOLUME_CHUNK_EDGE) if dim in ("z", "y", "x") else 1
        for dim, n in zip(dims, shape, strict=True)
    )


def codecs(dtype: Any) -> list[Any]:
    """Return the compressors of an array: blosc lz4 with bit shuffle, then crc32c."""
    from zarr.codecs import BloscCodec, BloscShuffle, Crc32cCodec

    size = getattr(dtype, "itemsize", 1)
    shuffle = BloscShuffle.bitshuffle if size > 1 else BloscShuffle.noshuffle
    return [BloscCodec(cname="lz4", clevel=5, shuffle=shuffle), Crc32cCodec()]
