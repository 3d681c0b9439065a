"""The MAT-file leaf of the one door: MATLAB 5 to 7 files, every size checked before scipy reads.

Elements are walked first: tags against the file, dimensions against the numbers stored,
compressed parts against a limit. scipy is then given the checked bytes of one variable. Objects,
functions and what MATLAB calls opaque are listed and never read.

References
----------
MAT-File Format, https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
"""

from __future__ import annotations

import io
import math
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neurodata.errors import InvalidInputError, UnreadableError, UnsafeError
from neurodata.safe import memmap

MAGIC = b"MATLAB 5.0 MAT-file"
HEADER_BYTES = 128
ELEMENT_LIMIT_BYTES = 2**31  # the format's own limit on a variable
DEPTH_LIMIT = 32
VARIABLE_LIMIT = 200_000
MATRIX, COMPRESSED = 14, 15
ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
TEXT = {*ITEM_BYTES, 16, 17, 18}
CELL, STRUCT, OBJECT, CHAR, SPARSE, FUNCTION, OPAQUE = 1, 2, 3, 4, 5, 16, 17
KINDS = {
    CELL: "cell", STRUCT: "struct", OBJECT: "object", CHAR: "char", SPARSE: "sparse",
    6: "double", 7: "single", 8: "int8", 9: "uint8", 10: "int16", 11: "uint16", 12: "int32",
    13: "uint32", 14: "int64", 15: "uint64", FUNCTION: "function", OPAQUE: "opaque",
}  # fmt: skip
NEVER = ("object", "function", "opaque")
LOGICAL, COMPLEX = 0x0200, 0x0800
PART = re.compile(r"\.?([A-Za-z]\w*)|\((\d{1,9})\)|\{(\d{1,9})\}")
# What scipy raises on bytes that pass the walk and still make no sense.
DAMAGE = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, OSError, OverflowError,
    MemoryError, NotImplementedError, struct.error, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class Variable:
    """A variable or a part of one, named as in MATLAB: ``worm.traces{3}``.

    Parameters
    ----------
    name : str
    kind : str
        MATLAB's class, e.g. ``"double"``; ``"complex double"`` and ``"logical"`` too.
    shape : tuple of int
    """

    name: str
    kind: str
    shape: tuple[int, ...]


def variables(path: Path) -> list[Variable]:
    """Return all variables of a file and their parts, every size checked.

    Raises
    ------
    UnreadableError
        When the file is cut, damaged or contradicts itself.
    UnsafeError
        When it unpacks to more than the format allows, or nests too deep.

    Examples
    --------
    >>> import scipy.io, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.mat"
    >>> scipy.io.savemat(path, {"F": np.zeros((3, 40))})
    >>> variables(path)
    [Variable(name='F', kind='double', shape=(3, 40))]
    """
    return [variable for _, parts in _elements(path) for variable in parts]


def value(path: Path, name: str) -> Any:
    """Return one variable, as scipy reads it: an array of numbers, text or cells.

    Parameters
    ----------
    name : str
        As `variables` has it.

    Raises
    ------
    InvalidInputError
        When there is none of that name.
    UnsafeError
        When it is or holds an object or a function.
    """
    import scipy.io

    top = PART.match(name)
    for element, parts in _elements(path):
        if top is None or not parts or parts[0].name != top[1]:
            continue
        if name not in {part.name for part in parts}:
            break
        if held := [part.kind for part in parts if part.kind in NEVER]:
            raise UnsafeError(
                f"{path.name}: {top[1]}", f"an {held[0]} of MATLAB", "numbers, text and cells",
                "save plain arrays",
            )  # fmt: skip
        with path.open("rb") as stream:
            header = stream.read(HEADER_BYTES)
        try:
            loaded = scipy.io.loadmat(io.BytesIO(header + element), chars_as_strings=True)
            return _part(loaded[top[1]], name[top.end() :])
        except DAMAGE as error:
            raise _broken(path, f"damaged data ({error})", "intact numbers") from error
    raise InvalidInputError(path.name, f"no variable {name!r}", "one of the file's variables")


def _part(value: Any, rest: str) -> Any:
    for part in PART.finditer(rest):
        index = part[2] or part[3]
        if index:
            value = value.ravel(order="F")[int(index) - 1]
        else:
            found = value[part[1]]
            value = found if isinstance(value, np.void) else found.ravel()[0]
    return value


def _elements(path: Path) -> Iterator[tuple[bytes, list[Variable]]]:
    """Yield the bytes (unpacked) and the parts of each top-level variable, all of it checked."""
    size = path.stat().st_size
    if size < HEADER_BYTES:
        raise _broken(path, f"{size} bytes", f"a header of {HEADER_BYTES}")
    data = memmap(path, np.dtype("u1"), (size,))
    mark = bytes(data[HEADER_BYTES - 4 : HEADER_BYTES])
    if mark not in (b"\0\x01IM", b"\x01\0MI"):
        raise _broken(path, f"the version and byte order {mark!r}", "version 1 and IM or MI")
    order = "<" if mark.endswith(b"IM") else ">"
    at, count, seen = HEADER_BYTES, 0, set[str]()
    while at < size:
        kind, start, stop, following = _tag(path, bytes(data[at : at + 8]), at, size, order)
        if kind not in (MATRIX, COMPRESSED):
            raise _broken(path, f"an element of type {kind} at byte {at}", "a variable")
        element = bytes(data[at:stop])
        if kind == COMPRESSED:
            element, following = _unpacked(path, element[start - at :]), stop
        walk = _Walk(path, element, order, VARIABLE_LIMIT - count)
        parts = walk.top()
        count += len(parts)
        if parts and parts[0].name:  # a nameless one is MATLAB's own workspace
            if parts[0].name in seen:
                raise _broken(path, f"{parts[0].name} twice", "each name once")
            seen.add(parts[0].name)
            yield element, parts
        at = following
    if not seen:
        raise _broken(path, "no variable", "at least one")


def _unpacked(path: Path, packed: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        element = stream.decompress(packed, ELEMENT_LIMIT_BYTES)
    except zlib.error as error:
        raise _broken(path, f"damaged compression ({error})", "intact data") from error
    if stream.unconsumed_tail:
        raise UnsafeError(path.name, f"over {ELEMENT_LIMIT_BYTES} bytes unpacked", "at most those")
    if not stream.eof:
        raise _broken(path, "a compressed variable that is cut short", "all of it")
    return element


def _tag(path: Path, tag: bytes, at: int, end: int, order: str) -> tuple[int, int, int, int]:
    """Return type, first byte, end and the next element's place of the element at a byte."""
    if len(tag) < 8 or at + 8 > end:
        raise _broken(path, f"{end - at} bytes at byte {at}", "a tag of 8")
    kind, size = struct.unpack(order + "II", tag)
    if kind >> 16:
        kind, size = kind & 0xFFFF, kind >> 16
        if size > 4:
            raise _broken(path, f"a small element of {size} bytes", "at most 4")
        return kind, at + 4, at + 4 + size, at + 8
    stop = at + 8 + size
    if stop > end:
        raise _broken(path, f"an element up to byte {stop}", f"{end} at most")
    return kind, at + 8, stop, min(at + 8 + -(-size // 8) * 8, end)


def _broken(path: Path, found: str, expected: str) -> UnreadableError:
    return UnreadableError(path.name, found, expected, "copy or export the file again")


@dataclass
class _Walk:
    """A walk over the parts of one variable, none of whose numbers are read."""

    path: Path
    data: bytes
    order: str
    room: int
    found: list[Variable] = field(default_factory=list)

    def top(self) -> list[Variable]:
        """Return the variable and its parts."""
        kind, start, stop, _ = self.tag(0, len(self.data))
        if kind != MATRIX or stop > len(self.data):
            raise _broken(self.path, f"an element of type {kind}", "an array")
        self.matrix(start, stop, "", 0)
        return self.found

    def tag(self, at: int, end: int) -> tuple[int, int, int, int]:
        return _tag(self.path, self.data[at : at + 8], at, end, self.order)

    def part(self, at: int, end: int, kinds: set[int], what: str) -> tuple[int, int, int, int]:
        """Return the element at a byte, which must be of one of some types."""
        kind, start, stop, following = self.tag(at, end)
        if kind not in kinds:
            raise _broken(self.path, f"{what} of type {kind}", "the type that the format has")
        return kind, start, stop, following

    def text(self, start: int, stop: int) -> str:
        return self.data[start:stop].rstrip(b"\0").decode("latin-1")

    def matrix(self, start: int, stop: int, name: str, depth: int) -> None:
        """Check an array and its parts, and keep their names."""
        if depth > DEPTH_LIMIT or len(self.found) >= self.room:
            raise UnsafeError(
                self.path.name, f"{len(self.found)} parts, {depth} deep",
                f"{VARIABLE_LIMIT} parts, {DEPTH_LIMIT} deep", "save plain arrays",
            )  # fmt: skip
        if start == stop:
            self.found.append(Variable(name, "double", (0, 0)))
            return
        _, first, last, at = self.part(start, stop, {6}, "flags")
        if last - first != 8:
            raise _broken(self.path, f"flags of {last - first} bytes", "8")
        (flags,) = struct.unpack_from(self.order + "I", self.data, first)
        kind = flags & 0xFF
        if kind not in KINDS:
            raise _broken(self.path, f"an array of class {kind}", "a class of MATLAB")
        if kind == OPAQUE:
            _, first, last, at = self.part(at, stop, {1, 2, 16}, "a name")
            self.found.append(Variable(name or self.text(first, last), KINDS[kind], ()))
            return
        shape, at = self.shape(at, stop)
        _, first, last, at = self.part(at, stop, {1, 2, 16}, "a name")
        name = name or self.text(first, last)
        logical, complex_ = flags & LOGICAL, flags & COMPLEX
        word = "logical" if logical else f"complex {KINDS[kind]}" if complex_ else KINDS[kind]
        self.found.append(Variable(name, word, shape))
        if kind == CELL:
            self.cells(at, stop, name, math.prod(shape), depth)
        elif kind == STRUCT:
            self.struct(at, stop, name, math.prod(shape), depth)
        elif kind == CHAR:
            self.part(at, stop, TEXT, "text")
        elif kind not in (OBJECT, FUNCTION, SPARSE):
            self.numbers(at, stop, name, math.prod(shape), 2 if complex_ else 1)

    def shape(self, at: int, end: int) -> tuple[tuple[int, ...], int]:
        _, first, last, following = self.part(at, end, {5}, "dimensions")
        count = (last - first) // 4
        shape = struct.unpack_from(f"{self.order}{count}i", self.data, first)
        if not 2 <= count <= 32 or (last - first) % 4 or min(shape) < 0:
            raise _broken(self.path, f"dimensions {shape}", "2 to 32, none below 0")
        return shape, following

    def numbers(self, at: int, end: int, name: str, count: int, parts: int) -> None:
        """Check that as many numbers are stored as the dimensions say."""
        for _ in range(parts):
            kind, first, last, at = self.part(at, end, set(ITEM_BYTES), "numbers")
            if last - first != count * ITEM_BYTES[kind]:
                found = f"{name} with {last - first} bytes of numbers"
                raise _broken(self.path, found, f"{count * ITEM_BYTES[kind]} by its dimensions")

    def cells(self, at: int, end: int, name: str, count: int, depth: int) -> None:
        for index in range(1, count + 1):
            _, first, last, at = self.part(at, end, {MATRIX}, "a cell")
            self.matrix(first, last, f"{name}{{{index}}}", depth + 1)

    def struct(self, at: int, end: int, name: str, count: int, depth: int) -> None:
        _, first, last, at = self.part(at, end, {5}, "the length of field names")
        width = (
            struct.unpack_from(f"{self.order}i", self.data, first)[0] if last - first == 4 else 0
        )
        _, first, last, at = self.part(at, end, {1}, "field names")
        if width <= 0 or (last - first) % width:
            if last == first:
                return
            raise _broken(self.path, f"field names of {width} bytes", "names of one length")
        fields = [
            self.text(first + place, first + place + width).split("\0")[0]
            for place in range(0, last - first, width)
        ]
        for index in range(1, count + 1) if fields else ():
            here = name if count == 1 else f"{name}({index})"
            for key in fields:
                _, first, last, at = self.part(at, end, {MATRIX}, "a field")
                self.matrix(first, last, f"{here}.{key}", depth + 1)
