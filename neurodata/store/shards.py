"""The writer of numeric arrays: threads encode blocks into chunk and shard files.

What a file holds depends on the array and its layout only, never on the number of threads or
on which of them is first: the chunks of a shard lie in C order. zarr-python writes the
metadata, and reads all of it.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import google_crc32c
import numpy as np
import numpy.typing as npt

from neurodata.store import files
from neurodata.store.layout import SAMPLES, STEP_BYTES, Codec, Layout, blocks, compress

Array = npt.NDArray[Any]
Box = tuple[slice, ...]
T = TypeVar("T")

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
THREADS = min(4, CORES)
MEMORY_BYTES = 256 * 2**20
EMPTY = 2**64 - 1
LARGEST = 1e20
"""Numbers up to this size are finite in float32 in whatever unit: 1 T is 10^15 fT."""
_own = threading.local()


def ahead(tasks: Iterable[tuple[int, Callable[[], T]]]) -> Generator[T, None, None]:
    """Do tasks in threads and yield their results in order, while further ones are under way.

    Close it (`contextlib.closing`) to wait for the threads. The tasks under way hold half of
    ``MEMORY_BYTES`` at most, the one that is pulled next included.

    Parameters
    ----------
    tasks : iterable of (int, callable)
        The bytes that a task's memory takes, and the task.
    """
    pool = ThreadPoolExecutor(THREADS, "neurodata-store")
    pending: deque[tuple[int, Future[T]]] = deque()
    held = 0
    try:
        for nbytes, work in tasks:
            pending.append((nbytes, pool.submit(work)))
            held += nbytes
            while pending and (len(pending) > THREADS or held > MEMORY_BYTES // 2 - STEP_BYTES):
                done, future = pending.popleft()
                held -= done
                yield future.result()
        while pending:
            yield pending.popleft()[1].result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class Rooms:
    """Memory for blocks, used again and again: to touch new pages costs more than to fill them."""

    def __init__(self) -> None:
        self._free: list[Array] = []

    def take(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Return memory of a shape; its items are whatever was there."""
        nbytes = prod(shape) * dtype.itemsize
        fit = [room for room in self._free if room.nbytes >= nbytes]
        room = fit[0] if fit else np.empty(nbytes, "u1")
        self._free = [other for other in self._free if other is not room] if fit else []
        return room[:nbytes].view(dtype).reshape(shape)

    def give(self, memory: Array | None) -> None:
        """Take memory back that `take` returned."""
        while memory is not None and isinstance(memory.base, np.ndarray):
            memory = memory.base
        if memory is not None:
            self._free.append(memory)


@dataclass(frozen=True)
class Target:
    """An array on disk: its folder, and how it lies there; ``dtype`` is little-endian."""

    folder: Path
    dtype: np.dtype[Any]
    layout: Layout
    codec: Codec

    def prepare(self, block: Box) -> None:
        """Make the folders of a block's files."""
        for part in self._parts(block):
            files.make_folders(self._path(block, part).parent)

    def write(self, block: Box, values: Array) -> Written:
        """Write the files of a block, which has whole files only (see `layout.steps`).

        Parameters
        ----------
        values : (block) any dtype that is cast without loss
        """
        done = Written()
        for part in self._parts(block):
            encoder = _Encoder(self, values[part])
            path = self._path(block, part)
            done.files[path] = files.write_parts(path, encoder.parts())
            done.finite = done.finite and encoder.finite
        return done

    def _parts(self, block: Box) -> Iterator[Box]:
        return blocks(tuple(s.stop - s.start for s in block), self.layout.files)

    def _path(self, block: Box, part: Box) -> Path:
        steps = zip(block, part, self.layout.files, strict=True)
        return self.folder.joinpath("c", *(str((b.start + p.start) // n) for b, p, n in steps))


@dataclass
class Written:
    """Size of files by path, and whether all numbers in them are finite and below `LARGEST`."""

    files: dict[Path, int] = field(default_factory=dict)
    finite: bool = True


class _Encoder:
    """Encodes the values of one file, chunk by chunk."""

    def __init__(self, target: Target, values: Array) -> None:
        self._target, self._values = target, values
        self._floating = target.dtype.kind in "fc"
        self.finite = True

    def parts(self) -> Iterator[files.Bytes]:
        """Yield the bytes of a chunk file or of a shard (Zarr v3, sharding codec 1.0)."""
        layout = self._target.layout
        if layout.shards is None:
            yield from self._chunk(self._values)
            return
        counts = [n // c for n, c in zip(layout.shards, layout.chunks, strict=True)]
        index = np.full((*counts, 2), EMPTY, "<u8")
        start = 0
        for box in blocks(self._values.shape, layout.chunks):
            at = tuple(s.start // n for s, n in zip(box, layout.chunks, strict=True))
            data, checksum = self._chunk(self._values[box])
            yield data
            yield checksum
            index[at] = start, len(data) + len(checksum)
            start += len(data) + len(checksum)
        yield index.tobytes()
        yield _checksum(index)

    def _chunk(self, values: Array) -> tuple[files.Bytes, bytes]:
        if self._floating and self.finite:
            size = np.abs(values) if values.dtype.kind == "c" else values
            self.finite = float(size.max()) < LARGEST and float(size.min()) > -LARGEST
        data = compress(_whole(values, self._target), self._target.codec)
        return data, _checksum(data)


def _whole(values: Array, target: Target) -> Array:
    """Return a chunk in full, contiguous and little-endian; beyond the array there are zeros."""
    chunks, dtype = target.layout.chunks, target.dtype
    if values.shape == chunks and values.dtype == dtype and values.flags.c_contiguous:
        return values
    nbytes = prod(chunks) * dtype.itemsize
    room: Array | None = getattr(_own, "room", None)
    if room is None or room.nbytes < nbytes:
        room = _own.room = np.empty(nbytes, "u1")
    chunk = room[:nbytes].view(dtype).reshape(chunks)
    if values.shape != chunks:
        chunk[...] = 0
    place: Any = (*(slice(0, n) for n in values.shape), ...)
    chunk[place] = values
    return chunk


def _checksum(data: bytes | Array) -> bytes:
    value: int = google_crc32c.value(data)
    return value.to_bytes(4, "little")


def sample(values: Array, layout: Layout) -> list[Array]:
    """Return some chunks of an array's first block, spread evenly over it, contiguous."""
    boxes = list(blocks(values.shape, layout.chunks))
    chosen = boxes[:: max(1, len(boxes) // SAMPLES)][:SAMPLES]
    little = values.dtype.newbyteorder("<")
    return [np.ascontiguousarray(values[box], little) for box in chosen]
