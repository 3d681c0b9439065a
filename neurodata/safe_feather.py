"""The Feather leaf of the one door: sizes are checked before anything is unpacked.

A Feather file (version 2) is an Arrow IPC file: batches of columns, each column some buffers,
which may be packed. A packed buffer states its own size; all of them are summed here first.

References
----------
https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format; the tables are laid out as
https://flatbuffers.dev/internals says.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from neurodata import safe
from neurodata.errors import NeurodataError, UnreadableError, UnsafeError, need

EXTRA = "connectome"
MAGIC = b"ARROW1"
FREE_BYTES = 64 * 2**20  # so much may be unpacked however small the file is
LIMIT_BYTES = 16 * 2**30
BLOCK_LIMIT = 100_000
UNPACKED = -1  # in place of a size: the buffer is stored as it is


def names(path: Path) -> list[str]:
    """Return the names of the columns.

    Raises
    ------
    UnreadableError
        When the file is damaged or cut, or a name comes twice.
    UnsafeError
        When it would unpack to far more than it holds.
    """
    with _file(path) as file:
        return list(file.schema.names)


def batches(path: Path, wanted: Sequence[str]) -> Iterator[Any]:
    """Yield some columns of the file, a batch of rows at a time, every value checked by Arrow.

    Parameters
    ----------
    wanted : sequence of str
        Names of columns that are there.

    Yields
    ------
    pyarrow.RecordBatch

    Raises
    ------
    UnreadableError
        When the file is damaged or cut.
    UnsafeError
        When it would unpack to far more than it holds.
    """
    arrow, ipc = need("pyarrow", EXTRA), need("pyarrow.ipc", EXTRA)
    with _file(path) as file:
        places = [file.schema.get_field_index(name) for name in wanted]
        options = ipc.IpcReadOptions(included_fields=places, use_threads=False)
        count = file.num_record_batches
    with _damage(path):
        view: Any = safe.memmap(path, np.dtype("u1"), (path.stat().st_size,))
        with ipc.open_file(arrow.py_buffer(view), options=options) as file:
            for number in range(count):
                batch = file.get_batch(number)
                batch.validate(full=True)
                yield batch


@contextmanager
def _file(path: Path) -> Iterator[Any]:
    """Open a file whose blocks and buffers have been checked."""
    arrow, ipc = need("pyarrow", EXTRA), need("pyarrow.ipc", EXTRA)
    size = path.stat().st_size
    if size < 2 * len(MAGIC) + 4:
        raise _wrong(path, f"{size} bytes")
    view: Any = safe.memmap(path, np.dtype("u1"), (size,))
    with _damage(path):
        _check(memoryview(view), path)
        with ipc.open_file(arrow.py_buffer(view)) as file:
            found = file.schema.names
            if len(set(found)) < len(found):
                raise _wrong(path, "a column's name that comes twice")
            yield file


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except NeurodataError:
        raise
    except (struct.error, OSError, ValueError, TypeError, KeyError, MemoryError,
            NotImplementedError, OverflowError, IndexError) as error:  # fmt: skip
        raise _wrong(path, f"damaged Feather data ({type(error).__name__})") from error


def _wrong(path: Path, found: str) -> UnreadableError:
    return UnreadableError(
        path.name, found, "a Feather file of version 2", "copy or export it again"
    )


def _check(view: memoryview, path: Path) -> None:
    """Refuse a file whose batches lie outside it, or would unpack to far more than it holds."""
    size = len(view)
    length = _number(view, "<i", size - len(MAGIC) - 4)
    start = size - len(MAGIC) - 4 - length
    if bytes(view[: len(MAGIC)]) != MAGIC or bytes(view[-len(MAGIC) :]) != MAGIC or start < 8:
        raise _wrong(path, "no end of a Feather file")
    footer = _follow(view, start)
    most = min(LIMIT_BYTES, max(FREE_BYTES, safe.GZIP_RATIO_LIMIT * size))
    total = 0
    for slot in (2, 3):  # dictionaries, batches
        at, count = _vector(view, footer, slot)
        if count > BLOCK_LIMIT:
            raise UnsafeError(path.name, f"{count} batches", f"at most {BLOCK_LIMIT}")
        for number in range(count):
            offset, about, body = struct.unpack_from("<qi4xq", view, at + 24 * number)
            if min(offset, about, body) < 0 or offset + about + body > start:
                raise _wrong(path, "a batch that lies outside the file")
            total += _unpacked_bytes(view, offset, about, body, path)
            if total > most:
                raise UnsafeError(path.name, f"over {total} bytes unpacked", f"at most {most}")


def _unpacked_bytes(view: memoryview, offset: int, about: int, body: int, path: Path) -> int:
    """Return how many bytes a batch's buffers hold once unpacked."""
    continued = _number(view, "<I", offset) == 0xFFFFFFFF
    message = _follow(view, offset + (8 if continued else 4))
    at = _field(view, message, 3)
    if (inside := _number(view, "<q", at) if at is not None else 0) > body:
        raise _wrong(path, f"a batch of {inside} bytes in {body}")
    batch = _header(view, message)
    packed = _field(view, batch, 3) is not None
    at, count = _vector(view, batch, 2)
    total = 0
    for number in range(count):
        start, length = struct.unpack_from("<2q", view, at + 16 * number)
        if start < 0 or length < 0 or start + length > body:
            raise _wrong(path, "a buffer that lies outside its batch")
        stated = _number(view, "<q", offset + about + start) if packed and length >= 8 else UNPACKED
        if stated < UNPACKED:
            raise _wrong(path, f"a buffer of {stated} bytes")
        total += length if stated == UNPACKED else stated
    return total


def _header(view: memoryview, message: int) -> int:
    """Return the batch that a message holds, by itself or as a dictionary."""
    kind, at = _field(view, message, 1), _field(view, message, 2)
    if kind is None or at is None:
        raise ValueError("a message of nothing")
    header = _follow(view, at)
    if view[kind] == 2:  # a dictionary
        inner = _field(view, header, 1)
        if inner is None:
            raise ValueError("an empty dictionary")
        return _follow(view, inner)
    return header


def _number(view: memoryview, form: str, at: int) -> int:
    if at < 0:
        raise ValueError("a place before the file")
    return int(struct.unpack_from(form, view, at)[0])


def _follow(view: memoryview, at: int) -> int:
    return at + _number(view, "<I", at)


def _field(view: memoryview, table: int, slot: int) -> int | None:
    """Return where a table keeps a field, or None where it has none."""
    layout = table - _number(view, "<i", table)
    place = 4 + 2 * slot
    offset = _number(view, "<H", layout + place) if place < _number(view, "<H", layout) else 0
    return table + offset if offset else None


def _vector(view: memoryview, table: int, slot: int) -> tuple[int, int]:
    """Return where the first item of a table's vector is, and how many there are."""
    at = _field(view, table, slot)
    if at is None:
        return 0, 0
    start = _follow(view, at)
    return start + 4, _number(view, "<I", start)
