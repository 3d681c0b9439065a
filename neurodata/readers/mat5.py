"""MAT files of version 5, as far as EEGLAB uses them: numbers, text, cells and structures.

Format: MATLAB's MAT-File Format (MathWorks, R2019b), chapter 1. Every size is compared with what
holds it; numbers are left where they are.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurodata import safe
from neurodata.errors import UnreadableError
from neurodata.safe_zlib import inflated, inflated_start

HEADER_BYTES = 128
MAGIC = b"MATLAB 5.0 MAT-file"
DEPTH_LIMIT = 32
SMALL_BYTES = 512
MATRIX, COMPRESSED = 14, 15
CELL, STRUCT, OBJECT, CHAR = 1, 2, 3, 4
NUMERIC = range(6, 16)
_CLASSES = dict(
    zip(NUMERIC, ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"), strict=True)
)
COMPLEX = 0x0800
_DTYPES = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_TEXT = {1: "latin-1", 2: "latin-1", 3: "utf-16", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
_PEEK_BYTES = 1024


@dataclass(frozen=True)
class Numbers:
    """An array of numbers, column-major, where it is.

    Parameters
    ----------
    holder : Path or array of bytes
        The file, or an unpacked variable.
    start : int
        The byte at which it begins.
    dtype : numpy.dtype
        As they are stored.
    shape : tuple of int
    stands_for : str
        What they are in MATLAB, which stores whole numbers in fewer bytes.
    """

    holder: Any = field(repr=False)
    start: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    stands_for: str = "f8"

    def array(self) -> npt.NDArray[Any]:
        """Return the numbers, without axes of length 1."""
        flat = self.columns(1)[:, 0]
        return np.array(flat).reshape(self.shape, order="F").squeeze()

    def columns(self, rows: int) -> npt.NDArray[Any]:
        """Map the numbers as (column, row), the first ``rows`` of them being the first column."""
        shape = (prod(self.shape) // rows, rows)
        if isinstance(self.holder, Path):
            return safe.memmap(self.holder, self.dtype, shape, self.start)
        stop = self.start + prod(shape) * self.dtype.itemsize
        view: npt.NDArray[Any] = self.holder[self.start : stop].view(self.dtype).reshape(shape)
        return view


def variables(path: Path, wanted: Callable[[str], bool], whole: str) -> dict[str, Any]:
    """Return some variables of a file: `Numbers`, text, lists (cells) and lists of dictionaries.

    Structures are lists of dictionaries, one an element; what is none of these is None.

    Parameters
    ----------
    wanted : callable
        Says which variables are read, and which members of the structure called ``whole``.

    Raises
    ------
    UnreadableError
        When the file is cut or a size in it is impossible.
    """
    order, found = _order(safe.memmap(path, np.dtype("u1"), (_size(path),))), dict[str, Any]()
    for kind, start, size in _top(path, order):
        if kind == COMPRESSED:
            name = name_of(inflated_start(path, start, size, _PEEK_BYTES), order)
            if name is not None and not wanted(name):
                continue
            data = inflated(path, start, size)
            kind, begin, size, _ = _element(path, data, order, 0, data.size)
            tree = _Tree(path, data, data, order)
        else:
            data, begin = safe.memmap(path, np.dtype("u1"), (_size(path),)), start
            tree = _Tree(path, path, data, order)
        if kind == MATRIX:
            name, value = tree.matrix(begin, begin + size, whole, wanted)
            if wanted(name):
                found[name] = value
    return found


def first_name(head: bytes) -> str | None:
    """Return the name of the first variable of a file that begins like this, if it is MAT 5."""
    if not head.startswith(MAGIC) or len(head) < HEADER_BYTES + 8:
        return None
    order = _order(np.frombuffer(head, "u1"))
    (kind,) = struct.unpack_from(f"{order}I", head, HEADER_BYTES)
    body = head[HEADER_BYTES:]
    if kind == COMPRESSED:
        import zlib

        try:
            body = zlib.decompressobj().decompress(body[8:], _PEEK_BYTES)
        except zlib.error:
            return None
    return name_of(body, order)


def name_of(body: bytes, order: str) -> str | None:
    """Return the name of the variable at the start of some unpacked bytes."""
    tree = _Tree(Path("variable"), None, np.frombuffer(body, "u1"), order)
    try:
        place = 8
        for _ in range(2):
            _, _, _, place = _element(tree.path, tree.data, order, place, len(body))
        _, start, size, _ = _element(tree.path, tree.data, order, place, len(body))
    except UnreadableError:
        return None
    return body[start : start + size].decode("latin-1")


def _size(path: Path) -> int:
    size = path.stat().st_size
    if size < HEADER_BYTES:
        raise UnreadableError(path.name, f"{size} bytes", "a MAT file", "copy it again")
    return size


def _order(data: npt.NDArray[np.uint8]) -> str:
    return ">" if data[126:128].tobytes() == b"MI" else "<"


def _top(path: Path, order: str) -> Iterator[tuple[int, int, int]]:
    data, place = safe.memmap(path, np.dtype("u1"), (_size(path),)), HEADER_BYTES
    if place == data.size:
        raise _refusal(path, place, "no variable", "at least one")
    while place < data.size:
        kind, start, size, place = _element(path, data, order, place, data.size)
        if kind == COMPRESSED:
            place = start + size  # compressed elements are not padded
        yield kind, start, size


def _element(
    path: Path, data: npt.NDArray[np.uint8], order: str, place: int, stop: int
) -> tuple[int, int, int, int]:
    """Return type, start and size of the data of an element, and where the next one begins."""
    tag = data[place : min(place + 8, stop)].tobytes()
    if len(tag) < 8:
        raise _refusal(path, place, f"{len(tag)} bytes", "an element")
    first, size = struct.unpack(f"{order}II", tag)
    if first >> 16:  # the small form: up to 4 bytes inside the tag
        kind, size, start, following = first & 0xFFFF, first >> 16, place + 4, place + 8
        if size > 4:
            raise _refusal(path, place, f"a small element of {size} bytes", "at most 4")
        return kind, start, size, following
    start = place + 8
    if start + size > stop:
        raise _refusal(path, place, f"an element of {size} bytes", f"at most {stop - start}")
    return first, start, size, min(start + size + -size % 8, stop)


@dataclass(frozen=True)
class _Tree:
    path: Path
    holder: Any
    data: npt.NDArray[np.uint8]
    order: str

    def element(self, place: int, stop: int) -> tuple[int, int, int, int]:
        return _element(self.path, self.data, self.order, place, stop)

    def numbers(self, place: int, stop: int, shape: tuple[int, ...] | None) -> tuple[Numbers, int]:
        kind, start, size, following = self.element(place, stop)
        if kind not in _DTYPES:
            raise _refusal(self.path, place, f"numbers of type {kind}", "a type of numbers")
        dtype = np.dtype(self.order + _DTYPES[kind])
        wanted = size // dtype.itemsize if shape is None else prod(shape)
        if wanted * dtype.itemsize != size:
            found = f"{size} bytes for the dimensions {shape}"
            raise _refusal(self.path, place, found, f"{wanted * dtype.itemsize}")
        return Numbers(self.holder, start, dtype, (wanted,) if shape is None else shape), following

    def small(self, place: int, stop: int) -> tuple[list[int], int]:
        found, following = self.numbers(place, stop, None)
        count = prod(found.shape) * found.dtype.itemsize
        if not 0 < count <= SMALL_BYTES:
            raise _refusal(self.path, place, f"{count} bytes of sizes", f"1 to {SMALL_BYTES}")
        raw = self.data[found.start : found.start + count].tobytes()
        return np.frombuffer(raw, found.dtype).tolist(), following

    def matrix(
        self,
        place: int,
        stop: int,
        whole: str = "",
        wanted: Callable[[str], bool] | None = None,
        depth: int = 0,
    ) -> tuple[str, Any]:
        """Return name and value of the matrix within some bytes."""
        if place == stop:
            return "", None
        flags, place = self.small(place, stop)
        dims, place = self.small(place, stop)
        name, place = self.text(place, stop)
        if len(flags) != 2 or len(dims) < 2 or min(dims) < 0 or depth > DEPTH_LIMIT:
            raise _refusal(self.path, place, f"a matrix of {dims}", "dimensions of 0 or more")
        kind, shape = flags[0] & 0xFF, tuple(dims)
        if not prod(shape):
            return name, []
        if kind in NUMERIC:
            if flags[0] & COMPLEX:
                return name, None
            found = self.numbers(place, stop, shape)[0]
            return name, replace(found, stands_for=_CLASSES[kind])
        if kind == CHAR:
            return name, self.text(place, stop)[0]
        if kind == CELL:
            return name, self.cells(place, stop, prod(shape), depth)
        if kind == STRUCT:
            chosen = wanted if name == whole else None
            return name, self.records(place, stop, prod(shape), depth, chosen)
        return name, None

    def text(self, place: int, stop: int) -> tuple[str, int]:
        kind, start, size, following = self.element(place, stop)
        if size > safe.TEXT_LIMIT_BYTES:
            found = f"a text of {size} bytes"
            raise _refusal(self.path, place, found, f"at most {safe.TEXT_LIMIT_BYTES}")
        raw = self.data[start : start + size].tobytes()
        codec = _TEXT.get(kind, "latin-1")
        if codec == "utf-16":
            codec = "utf-16-be" if self.order == ">" else "utf-16-le"
        try:
            return raw.decode(codec), following
        except UnicodeDecodeError:
            return raw.decode("latin-1"), following

    def cells(self, place: int, stop: int, count: int, depth: int) -> list[Any]:
        self.require(place, stop, 8 * count)
        values = []
        for _ in range(count):
            value, place = self.child(place, stop, depth)
            values.append(value)
        return values

    def records(
        self, place: int, stop: int, count: int, depth: int, wanted: Callable[[str], bool] | None
    ) -> list[dict[str, Any]]:
        lengths, place = self.small(place, stop)
        length = lengths[0]
        _, start, size, place = self.element(place, stop)
        if length < 1 or size % length:
            raise _refusal(self.path, start, f"{size} bytes of names", f"a multiple of {length}")
        raw = self.data[start : start + size].tobytes()
        names = [
            raw[i : i + length].partition(b"\0")[0].decode("latin-1")
            for i in range(0, size, length)
        ]
        self.require(place, stop, 8 * count * len(names))
        rows = []
        for _ in range(count):
            row: dict[str, Any] = {}
            for name in names:
                if wanted is not None and not wanted(name):
                    place = self.element(place, stop)[3]
                    continue
                row[name], place = self.child(place, stop, depth)
            rows.append(row)
        return rows

    def child(self, place: int, stop: int, depth: int) -> tuple[Any, int]:
        kind, start, size, following = self.element(place, stop)
        if kind != MATRIX:
            raise _refusal(self.path, place, f"an element of type {kind}", "a matrix")
        return self.matrix(start, start + size, depth=depth + 1)[1], following

    def require(self, place: int, stop: int, count: int) -> None:
        if count > stop - place:
            raise _refusal(self.path, place, f"{stop - place} bytes", f"at least {count}")


def _refusal(path: Path, place: int, found: str, expected: str) -> UnreadableError:
    return UnreadableError(f"{path.name}: byte {place}", found, expected, "save or copy it again")
