"""The walker of MAT-file elements, MATLAB 5 to 7: every size checked, numbers left where they are.

A variable is an element that holds an array; an array has flags, dimensions, a name and its
content, which for cells and structures are arrays again. Tags are compared with what holds them,
dimensions with the numbers stored, and what a compressed variable unpacks to with a limit.

References
----------
MAT-File Format, https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurodata.errors import UnreadableError, UnsafeError
from neurodata.safe import TEXT_LIMIT_BYTES, memmap
from neurodata.safe_zlib import inflated, inflated_start

MAGIC = b"MATLAB 5.0 MAT-file"
HEADER_BYTES = 128
DEPTH_LIMIT = 32
NAME_BYTES = 1024
SIZE_LIMIT = 2**60  # items, were those that are empty not so: numpy has no larger arrays
MATRIX, COMPRESSED = 14, 15
CELL, STRUCT, OBJECT, CHAR, SPARSE, FUNCTION, OPAQUE = 1, 2, 3, 4, 5, 16, 17
NUMERIC = {
    6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8",
}  # fmt: skip
KINDS = {
    CELL: "cell", STRUCT: "struct", OBJECT: "object", CHAR: "char", SPARSE: "sparse",
    6: "double", 7: "single", 8: "int8", 9: "uint8", 10: "int16", 11: "uint16", 12: "int32",
    13: "uint32", 14: "int64", 15: "uint64", FUNCTION: "function", OPAQUE: "opaque",
}  # fmt: skip
DTYPES = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
CODECS = {1: "latin-1", 2: "latin-1", 3: "utf-16", 4: "utf-16", 16: "utf-8", 17: "utf-16",
          18: "utf-32"}  # fmt: skip
NAMES = (1, 2, 16)
LOGICAL, COMPLEX = 0x0200, 0x0800


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
        return np.array(self.mapped()).squeeze()

    def mapped(self) -> npt.NDArray[Any]:
        """Map the numbers as MATLAB shows them."""
        return self.columns(1)[:, 0].reshape(self.shape, order="F")

    def columns(self, rows: int) -> npt.NDArray[Any]:
        """Map the numbers as (column, row), the first ``rows`` of them being the first column."""
        shape = (math.prod(self.shape) // rows, rows)
        if not math.prod(shape):
            return np.empty(shape, self.dtype)
        if isinstance(self.holder, Path):
            return memmap(self.holder, self.dtype, shape, self.start)
        stop = self.start + math.prod(shape) * self.dtype.itemsize
        view: npt.NDArray[Any] = self.holder[self.start : stop].view(self.dtype).reshape(shape)
        return view


@dataclass(frozen=True)
class Array:
    """What an array states of itself, and the bytes ``at`` to ``stop`` of its content."""

    name: str
    kind: int
    shape: tuple[int, ...]
    flags: int
    at: int
    stop: int
    depth: int = 0

    @property
    def size(self) -> int:
        """How many numbers, letters, cells or structures it has."""
        return math.prod(self.shape)

    @property
    def word(self) -> str:
        """MATLAB's class, e.g. ``"double"``; ``"complex double"`` and ``"logical"`` too."""
        if self.flags & LOGICAL:
            return "logical"
        return f"complex {KINDS[self.kind]}" if self.flags & COMPLEX else KINDS[self.kind]


@dataclass(frozen=True)
class Elements:
    """Bytes that hold elements: those of a file, or of one of its variables, unpacked."""

    path: Path
    holder: Any
    data: memoryview
    order: str

    def element(self, at: int, end: int) -> tuple[int, int, int, int]:
        """Return type, first byte, end and the next element's place of the element at a byte."""
        if at + 8 > end:
            raise self.refusal(at, f"{max(end - at, 0)} bytes", "a tag of 8")
        kind, size = struct.unpack_from(f"{self.order}II", self.data, at)
        if kind >> 16:  # the small form: up to 4 bytes inside the tag
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise self.refusal(at, f"a small element of {size} bytes", "at most 4")
            return kind, at + 4, at + 4 + size, at + 8
        stop = at + 8 + size
        if stop > end:
            raise self.refusal(at, f"an element up to byte {stop}", f"{end} at most")
        return kind, at + 8, stop, min(stop + -size % 8, end)

    def part(
        self, at: int, end: int, kinds: Collection[int], what: str
    ) -> tuple[int, int, int, int]:
        """Return the element at a byte, which must be of one of some types."""
        found = self.element(at, end)
        if found[0] not in kinds:
            raise self.refusal(at, f"{what} of type {found[0]}", "the type that the format has")
        return found

    def array(self, start: int, stop: int, depth: int = 0) -> Array:
        """Return the head of the array between two bytes.

        Raises
        ------
        UnreadableError
            When it contradicts itself.
        UnsafeError
            When it lies deeper than arrays nest.
        """
        if depth > DEPTH_LIMIT:
            raise UnsafeError(
                self.path.name, f"arrays {depth} deep", f"{DEPTH_LIMIT}", "save plain arrays"
            )
        if start == stop:
            return Array("", 6, (0, 0), 0, stop, stop, depth)
        _, first, last, at = self.part(start, stop, (6,), "flags")
        if last - first != 8:
            raise self.refusal(start, f"flags of {last - first} bytes", "8")
        (flags,) = struct.unpack_from(f"{self.order}I", self.data, first)
        kind = flags & 0xFF
        if kind not in KINDS:
            raise self.refusal(start, f"an array of class {kind}", "a class of MATLAB")
        shape: tuple[int, ...] = ()
        if kind != OPAQUE:
            shape, at = self._shape(at, stop)
        _, first, last, at = self.part(at, stop, NAMES, "a name")
        return Array(self.plain(first, last), kind, shape, flags, at, stop, depth)

    def _shape(self, at: int, end: int) -> tuple[tuple[int, ...], int]:
        _, first, last, following = self.part(at, end, (5, 6), "dimensions")
        count = (last - first) // 4
        if not 2 <= count <= 32 or (last - first) % 4:
            raise self.refusal(at, f"{last - first} bytes of dimensions", "2 to 32 dimensions")
        shape = struct.unpack_from(f"{self.order}{count}i", self.data, first)
        if min(shape) < 0 or math.prod(n or 1 for n in shape) >= SIZE_LIMIT:
            raise self.refusal(at, f"dimensions {shape}", f"none below 0, less than {SIZE_LIMIT}")
        return shape, following

    def numbers(self, array: Array) -> list[Numbers]:
        """Return an array's numbers, and the imaginary parts of complex ones, after a check.

        Raises
        ------
        UnreadableError
            When more or fewer are stored than the dimensions say.
        """
        at, found = array.at, []
        for _ in range(2 if array.flags & COMPLEX else 1):
            kind, first, last, at = self.part(at, array.stop, DTYPES, "numbers")
            dtype = np.dtype(self.order + DTYPES[kind])
            if last - first != array.size * dtype.itemsize:
                held = f"{array.name} with {last - first} bytes of numbers"
                raise self.refusal(first, held, f"{array.size * dtype.itemsize} by its dimensions")
            found.append(Numbers(self.holder, first, dtype, array.shape, NUMERIC[array.kind]))
        return found

    def letters(self, array: Array) -> tuple[str, int, int]:
        """Return codec, first byte and end of an array's letters."""
        kind, first, last, _ = self.part(array.at, array.stop, CODECS, "text")
        if last - first > TEXT_LIMIT_BYTES:
            raise self.refusal(first, f"{last - first} bytes of text", f"up to {TEXT_LIMIT_BYTES}")
        return CODECS[kind], first, last

    def text(self, array: Array) -> str:
        """Return the letters of an array in the order of storage, down the columns."""
        codec, first, last = self.letters(array)
        raw = bytes(self.data[first:last])
        if codec in ("utf-16", "utf-32"):
            codec += "-be" if self.order == ">" else "-le"
        try:
            return raw.decode(codec)
        except UnicodeDecodeError:
            return raw.decode("latin-1")

    def children(self, array: Array) -> Iterator[tuple[int, str, int, int]]:
        """Yield number (from 1), field name, first byte and end of cells and fields."""
        if array.kind not in (CELL, STRUCT):
            return
        at, names = array.at, [""]
        if array.kind == STRUCT:
            names, at = self._field_names(array)
        for number in range(1, array.size + 1) if names else ():
            for name in names:
                _, first, last, at = self.part(at, array.stop, (MATRIX,), "a cell or field")
                yield number, name, first, last

    def _field_names(self, array: Array) -> tuple[list[str], int]:
        _, first, last, at = self.part(array.at, array.stop, (5, 6), "the length of field names")
        (width,) = (
            struct.unpack_from(f"{self.order}i", self.data, first) if last - first == 4 else (0,)
        )
        _, first, last, at = self.part(at, array.stop, NAMES, "field names")
        if first == last:
            return [], at
        if width <= 0 or (last - first) % width or last - first > TEXT_LIMIT_BYTES:
            found = f"{last - first} bytes of field names of {width}"
            raise self.refusal(first, found, "names of one length")
        return [
            bytes(self.data[place : place + width]).split(b"\0")[0].decode("latin-1")
            for place in range(first, last, width)
        ], at

    def plain(self, first: int, last: int) -> str:
        """Return the short text between two bytes."""
        if last - first > NAME_BYTES:
            raise self.refusal(first, f"a name of {last - first} bytes", f"at most {NAME_BYTES}")
        return bytes(self.data[first:last]).rstrip(b"\0").decode("latin-1")

    def refusal(self, at: int, found: str, expected: str) -> UnreadableError:
        """Make the refusal of what is at a byte."""
        where = f"{self.path.name}: byte {at}"
        return UnreadableError(where, found, expected, "copy or export the file again")


def walk(
    path: Path,
    wanted: Callable[[str], bool] | None = None,
    limit_bytes: int | None = None,
) -> Iterator[tuple[Elements, Array]]:
    """Yield the variables of a file; of compressed ones only the wanted are unpacked.

    Parameters
    ----------
    limit_bytes : int
        How much one variable may unpack to; by default as much as a stream may.

    Raises
    ------
    UnreadableError
        When the file is cut, damaged, empty or names a variable twice.
    UnsafeError
        When a variable unpacks to more than the limit.
    """
    file = _file(path)
    at, end, seen = HEADER_BYTES, len(file.data), set[str]()
    while at < end:
        kind, start, stop, following = file.part(at, end, (MATRIX, COMPRESSED), "a variable")
        elements, name = file, None
        if kind == COMPRESSED:
            following = stop  # compressed elements are not padded
            if wanted is not None:
                name = name_of(inflated_start(path, start, stop - start, NAME_BYTES), file.order)
            if name is None or wanted is None or wanted(name):
                limit = () if limit_bytes is None else (limit_bytes,)
                data, name = inflated(path, start, stop - start, *limit), None
                elements = Elements(path, data, data.data, file.order)
                _, start, stop, _ = elements.part(0, data.size, (MATRIX,), "a variable")
        array = elements.array(start, stop) if name is None else None
        name = array.name if array is not None else name
        if name:  # a nameless one is MATLAB's own workspace
            if name in seen:
                raise file.refusal(at, f"{name} twice", "each name once")
            seen.add(name)
        if array is not None and name:
            yield elements, array
        at = following
    if not seen:
        raise file.refusal(HEADER_BYTES, "no variable", "at least one")


def _file(path: Path) -> Elements:
    size = path.stat().st_size
    if size < HEADER_BYTES:
        raise UnreadableError(path.name, f"{size} bytes", "a MAT file", "copy it again")
    data = memmap(path, np.dtype("u1"), (size,))
    mark = data[HEADER_BYTES - 4 : HEADER_BYTES].tobytes()
    if mark not in (b"\0\x01IM", b"\x01\0MI"):
        found = f"the version and byte order {mark!r}"
        raise UnreadableError(path.name, found, "version 1 and IM or MI", "copy it again")
    return Elements(path, path, data.data, "<" if mark.endswith(b"IM") else ">")


def first_name(head: bytes) -> str | None:
    """Return the name of the first variable of a file that begins like this, if it is MAT 5."""
    if not head.startswith(MAGIC) or len(head) < HEADER_BYTES + 8:
        return None
    order = ">" if head[126:128] == b"MI" else "<"
    (kind,) = struct.unpack_from(f"{order}I", head, HEADER_BYTES)
    body = head[HEADER_BYTES:]
    if kind == COMPRESSED:
        try:
            body = zlib.decompressobj().decompress(body[8:], NAME_BYTES)
        except zlib.error:
            return None
    return name_of(body, order)


def name_of(body: bytes, order: str) -> str | None:
    """Return the name of the variable at the start of some unpacked bytes."""
    elements = Elements(Path("variable"), None, memoryview(body), order)
    try:
        return elements.array(8, len(body)).name
    except UnreadableError:
        return None
