"""Check the chunks of an HDF5 dataset, which the library unpacks to whatever size they have.

A chunk of gzip may unpack to a thousand times what its dataset has room for, and the library takes
the memory before it compares. Chunks that could unpack to more than a bound are unpacked here once,
piece by piece, and only counted.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

from h5py import h5o, h5z

from neurodata.errors import UnreadableError, UnsafeError

CHUNK_LIMIT_BYTES = 512 * 2**20
FREE_BYTES = 2 * 2**30  # a chunk that cannot unpack to more is not counted
RATIO_LIMIT = 1032
"""Deflate cannot pack tighter (https://www.zlib.net/zlib_tech.html)."""
PACKERS = {h5z.FILTER_DEFLATE, h5z.FILTER_SZIP, h5z.FILTER_LZF}
CHECKSUM_BYTES = 4
BLOCK_BYTES = 2**20
KNOWN_LIMIT = 10_000
_known: set[tuple[Path, int, int, Any]] = set()


def check_chunks(dataset: Any, path: Path, shape: tuple[int, ...], where: str) -> None:
    """Refuse a chunked dataset that lacks chunks, or whose chunks are larger than their place.

    Parameters
    ----------
    dataset : h5py.h5d.DatasetID
        Not empty, its filters known.
    path : Path
        Its file; as long as that stays as it is, chunks are counted once a process.
    where : str
        The dataset, for messages.

    Raises
    ------
    UnsafeError
        When chunks are over 512 MiB, packed twice, or unpack to more than their place.
    UnreadableError
        When a chunk is missing, or is no gzip.
    """
    plist = dataset.get_create_plist()
    chunk = plist.get_chunk()
    place_bytes = math.prod(chunk) * dataset.get_type().get_size()
    if place_bytes > CHUNK_LIMIT_BYTES:
        raise UnsafeError(
            where, f"chunks of {place_bytes} bytes", f"at most {CHUNK_LIMIT_BYTES}",
            "repack with smaller chunks: h5repack -l CHUNK=...",
        )  # fmt: skip
    wanted = math.prod(-(-n // c) for n, c in zip(shape, chunk, strict=True))
    found = dataset.get_num_chunks()
    if found < wanted:
        raise UnreadableError(
            where, f"{found} stored chunks", f"{wanted} by its shape {shape}",
            "missing chunks would read as fill values: export the file again",
        )  # fmt: skip
    filters = [plist.get_filter(index)[0] for index in range(plist.get_nfilters())]
    packers = [code for code in filters if code in PACKERS]
    if len(packers) > 1:
        raise UnsafeError(where, "chunks that are packed twice", "once", "h5repack -f GZIP=4")
    if packers:
        _check_packed(dataset, path, filters, place_bytes, where)


def _check_packed(
    dataset: Any, path: Path, filters: list[int], place_bytes: int, where: str
) -> None:
    stat = path.stat()
    key = (path, stat.st_size, stat.st_mtime_ns, h5o.get_info(dataset).addr)
    if key in _known:
        return
    most = place_bytes + place_bytes // 64 + BLOCK_BYTES  # what does not pack grows a little
    large: list[tuple[int, ...]] = []

    def look(info: Any) -> None:
        if info.size > most:
            raise _too_large(where, f"{info.size} stored bytes", place_bytes)
        if info.size * RATIO_LIMIT > FREE_BYTES:
            large.append(info.chunk_offset)

    dataset.chunk_iter(look)
    if h5z.FILTER_DEFLATE in filters:
        for offset in large:
            mask, packed = dataset.read_direct_chunk(offset)
            if not mask >> filters.index(h5z.FILTER_DEFLATE) & 1:
                _count(packed, place_bytes, where)
    if len(_known) >= KNOWN_LIMIT:
        _known.clear()
    _known.add(key)


def _count(packed: bytes, place_bytes: int, where: str) -> None:
    """Unpack a chunk, keeping nothing; a checksum behind it is left alone."""
    engine, total = zlib.decompressobj(), 0
    try:
        while packed and not engine.eof:
            total += len(engine.decompress(packed, BLOCK_BYTES))
            if total > place_bytes + CHECKSUM_BYTES:
                raise _too_large(where, f"over {total} bytes unpacked", place_bytes)
            packed = engine.unconsumed_tail
    except zlib.error as error:
        raise UnreadableError(
            where, f"a damaged chunk ({error})", "gzip", "copy or export the file again"
        ) from error


def _too_large(where: str, found: str, place_bytes: int) -> UnsafeError:
    return UnsafeError(
        where, f"a chunk of {found}", f"{place_bytes} bytes, its place", "export the file again"
    )
