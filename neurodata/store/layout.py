"""How arrays lie on disk: chunks, shards, codecs, and the order in which blocks are written.

`tile` gives the order in which an array's content is digested, so it belongs to the store
format: it depends on shape and item size only and must never change. All else here may.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil, prod
from typing import Any, Literal, get_args

import numpy as np

from neurodata.errors import InvalidInputError

Preset = Literal["default", "small", "random"]
Codec = Literal["lz4", "zstd", "none"]

CHUNK_BYTES = {"default": 192 * 2**10, "small": 192 * 2**10, "random": 64 * 2**10}
SINGLE_CHUNK_BYTES = {"default": 512 * 2**10, "small": 512 * 2**10, "random": 128 * 2**10}
VOLUME_CHUNK_EDGE = 32
PLANE_CHUNK_EDGE = 128
WIDE_ROW_BYTES = 4 * 2**20
ROWS_BYTES = 8 * 2**20
TILE_BYTES = 32 * 2**20
TILE_EDGE = 512
STEP_BYTES = 64 * 2**20

WORTH = 1.25
SAMPLES = 8
LEVEL = {"lz4": 5, "zstd": 3}


def tile(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the shape of the blocks in which an array is digested.

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

    @property
    def files(self) -> tuple[int, ...]:
        """The part of an array that one file holds."""
        return self.shards or self.chunks


def check_preset(name: str) -> Preset:
    """Return the name of a layout when there is one of that name.

    Raises
    ------
    InvalidInputError
        When there is none.

    Examples
    --------
    >>> check_preset("small")
    'small'
    """
    if name not in get_args(Preset):
        raise InvalidInputError("layout", repr(name), "one of " + ", ".join(get_args(Preset)))
    return name  # type: ignore[return-value]


def choose(
    dims: tuple[str, ...], shape: tuple[int, ...], itemsize: int, preset: Preset = "default"
) -> Layout:
    """Choose chunks of some 190 kB (volumes: 32 cubed) and shards of the size of a tile.

    Examples
    --------
    >>> choose(("time", "channel"), (230400, 64), 2)
    Layout(chunks=(1536, 64), shards=(66048, 64))
    >>> choose(("z", "y", "x"), (182, 218, 182), 4)
    Layout(chunks=(31, 32, 31), shards=(186, 224, 186))
    >>> choose(("time", "channel"), (230400, 64), 2, "random").chunks
    (512, 64)
    >>> choose(("channel",), (64,), 8)
    Layout(chunks=(64,), shards=None)
    """
    whole = tuple(max(1, n) for n in shape)
    if prod(whole) * itemsize <= SINGLE_CHUNK_BYTES[preset]:
        return Layout(whole, None)
    limit, step = CHUNK_BYTES[preset], tile(whole, itemsize)
    inner: tuple[int, ...]
    if len(whole) < 3 and prod(whole[1:]) * itemsize > WIDE_ROW_BYTES:
        inner = (1, even(whole[1], limit // itemsize))
        step = (1, min(whole[1], ROWS_BYTES // itemsize))
    elif {"y", "x"} <= set(dims):
        inner = _volume_chunk(dims, whole, itemsize, limit)
    elif len(whole) > 2:
        last = min(whole[-1], TILE_EDGE)
        before = min(whole[-2], TILE_EDGE)
        while before > 1 and before * last * itemsize > limit:
            before = ceil(before / 2)
        inner = (*(1 for _ in whole[:-2]), before, last)
    else:
        row = prod(whole[1:]) * itemsize
        inner = (even(whole[0], limit // row), *whole[1:])
    shards = tuple(ceil(n / c) * c for n, c in zip(step, inner, strict=True))
    return Layout(inner, shards)


def even(length: int, most: int) -> int:
    """Divide a length into parts of at most ``most``, nearly equal, and return their size.

    Examples
    --------
    >>> even(109, 32)
    28
    """
    return ceil(length / ceil(length / max(1, most)))


def _volume_chunk(
    dims: tuple[str, ...], shape: tuple[int, ...], itemsize: int, limit: int
) -> tuple[int, ...]:
    """Return chunks whose edges divide a tile, so that a file lies within one."""
    step, edges = tile(shape, itemsize), [1] * len(shape)
    deep = "z" in dims and shape[dims.index("z")] > 1
    most = VOLUME_CHUNK_EDGE if deep else PLANE_CHUNK_EDGE
    for axis, (dim, n) in enumerate(zip(dims, shape, strict=True)):
        if dim in ("z", "y", "x") and axis >= len(dims) - 3:
            free = len(shape) < 3 or step[axis] == n
            edges[axis] = even(n, most) if free else min(n, most)
    run_bytes = prod(edges[:-2]) * prod(shape[-2:]) * itemsize
    if len(shape) > 2 and step[-3] == 1 and run_bytes > STEP_BYTES:
        edges[-3] = 1
    while prod(edges) * itemsize > limit:
        longest = edges.index(max(edges))
        edges[longest] = ceil(edges[longest] / 2)
    return tuple(edges)


def steps(
    shape: tuple[int, ...], layout: Layout, itemsize: int
) -> Iterator[tuple[tuple[slice, ...], list[tuple[slice, ...]]]]:
    """Yield blocks of whole files in the order of the digest, each with its parts in that order.

    Parameters
    ----------
    layout : Layout
        One that `choose` made for this shape and item size.

    Examples
    --------
    >>> layout = choose(("z", "y", "x"), (512, 2048, 2048), 2)
    >>> len(list(steps((512, 2048, 2048), layout, 2)))
    128
    """
    step, grid = tile(shape, itemsize), layout.files
    if len(shape) < 3:
        for block in blocks(shape, grid):
            yield block, [tuple(slice(0, part.stop - part.start) for part in block)]
        return
    pairs = enumerate(zip(shape, step, grid, strict=True))
    uneven = next((axis for axis, (n, s, g) in pairs if s not in (n, g)), len(shape))
    most = tuple(max(1, n) for n in shape)
    for block in blocks(shape, (*grid[: uneven + 1], *most[uneven + 1 :])):
        inside = tuple(part.stop - part.start for part in block)
        yield block, list(blocks(inside, step))


def pick_codec(chunks: Iterable[np.ndarray[Any, Any]], preset: Preset = "default") -> Codec:
    """Return lz4 where it makes the first chunks smaller by a fifth, else none; small: zstd.

    Examples
    --------
    >>> pick_codec([np.zeros(1000)]), pick_codec([np.random.default_rng(0).random(1000)])
    ('lz4', 'none')
    """
    if preset == "small":
        return "zstd"
    before = after = 0
    for chunk in chunks:
        before += chunk.nbytes
        after += len(compress(chunk, "lz4"))
    return "lz4" if before > WORTH * after else "none"


def compress(
    chunk: np.ndarray[Any, Any], codec: Codec
) -> bytes | np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the bytes of a contiguous chunk: blosc with bit shuffle (one byte: none), or plain."""
    from numcodecs import blosc

    if codec == "none":
        return chunk.reshape(-1).view(np.uint8)
    shuffle = blosc.BITSHUFFLE if chunk.itemsize > 1 else blosc.NOSHUFFLE
    data: bytes = blosc.compress(chunk, codec.encode(), LEVEL[codec], shuffle)
    return data


def codecs(dtype: Any, codec: Codec) -> list[Any]:
    """Return the same as Zarr's compressors: blosc, if any, then crc32c."""
    from zarr.codecs import BloscCodec, BloscShuffle, Crc32cCodec

    if codec == "none":
        return [Crc32cCodec()]
    size = getattr(dtype, "itemsize", 1)
    shuffle = BloscShuffle.bitshuffle if size > 1 else BloscShuffle.noshuffle
    return [BloscCodec(cname=codec, clevel=LEVEL[codec], shuffle=shuffle), Crc32cCodec()]
