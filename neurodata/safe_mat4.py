"""The door for MATLAB 4 files: matrices one after the other, each extent checked before it is read.

A matrix has a head of five 4-byte numbers (type, rows, columns, whether it is complex, length of
its name), its name and its numbers, column by column. The first number is MOPT in decimal digits:
byte order, 0, number format, and numbers, text or sparse.

References
----------
MAT-File Format, https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf, chapter 2
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurodata.errors import UnreadableError
from neurodata.safe import TEXT_LIMIT_BYTES
from neurodata.safe_mat5 import Numbers

HEAD_BYTES = 20
NAME_BYTES = 64
DTYPES = ("f8", "f4", "i4", "i2", "u2", "u1")
KINDS = ("double", "single", "int32", "int16", "uint16", "uint8")
NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_]*\0")


@dataclass(frozen=True)
class Matrix:
    """A matrix of a file.

    Parameters
    ----------
    name : str
    kind : str
        MATLAB's class, ``"char"``, ``"sparse"`` or ``"complex double"``.
    numbers : Numbers
        Real parts, codes of letters, or rows of (row, column, value) of a sparse one.
    """

    name: str
    kind: str
    numbers: Numbers


def is_4(head: bytes) -> bool:
    """Say whether a file begins with the head of a matrix and its name.

    Examples
    --------
    >>> is_4(struct.pack("<5i", 0, 3, 40, 0, 2) + b"F" + bytes(961))
    True
    >>> is_4(bytes(4096)), is_4(b"MATLAB 5.0 MAT-file" + bytes(200))
    (False, False)
    """
    found = _head(head[:HEAD_BYTES])
    if found is None:
        return False
    name = head[HEAD_BYTES : HEAD_BYTES + found[5]]
    return len(name) == found[5] and NAME.fullmatch(name) is not None


def _head(head: bytes) -> tuple[str, int, int, int, int, int] | None:
    """Return byte order, digits of format and class, rows, columns, complex, length of the name."""
    for order, digit in (("<", 0), (">", 1)):
        if len(head) < HEAD_BYTES:
            return None
        kind, rows, columns, is_complex, length = struct.unpack(f"{order}5i", head)
        thousands, digits = divmod(kind, 1000)
        if thousands != digit or digits >= 100 or digits // 10 >= len(DTYPES) or digits % 10 > 2:
            continue
        if rows < 0 or columns < 0 or is_complex not in (0, 1) or not 2 <= length <= NAME_BYTES:
            continue
        return order, digits, rows, columns, is_complex, length
    return None


def matrices(path: Path) -> Iterator[Matrix]:
    """Yield all matrices of a file, none of whose numbers are read.

    Raises
    ------
    UnreadableError
        When the file is cut, a head is impossible or a name comes twice.
    """
    size, at, seen = path.stat().st_size, 0, set[str]()
    with path.open("rb") as stream:
        while at < size:
            stream.seek(at)
            head = stream.read(HEAD_BYTES + NAME_BYTES)
            found = _head(head[:HEAD_BYTES])
            if found is None:
                raise _refusal(path, at, "no head of a matrix", "one of MATLAB 4")
            order, digits, rows, columns, is_complex, length = found
            name = head[HEAD_BYTES : HEAD_BYTES + length]
            if NAME.fullmatch(name) is None:
                raise _refusal(path, at, f"the name {name!r}", "a name of MATLAB")
            text, dtype = name[:-1].decode(), np.dtype(order + DTYPES[digits // 10])
            start = at + HEAD_BYTES + length
            at = start + rows * columns * dtype.itemsize * (1 + is_complex)
            if at > size:
                found_bytes = f"{text} of {rows} x {columns}, up to byte {at}"
                raise _refusal(path, start, found_bytes, f"{size} at most")
            if text in seen:
                raise _refusal(path, start, f"{text} twice", "each name once")
            seen.add(text)
            kind = (KINDS[digits // 10], "char", "sparse")[digits % 10]
            kind = f"complex {kind}" if is_complex and digits % 10 == 0 else kind
            yield Matrix(text, kind, Numbers(path, start, dtype, (rows, columns), dtype.str[1:]))


def letters(matrix: Matrix) -> str:
    """Return the letters of a matrix of text, down its columns.

    Raises
    ------
    UnreadableError
        When a code is no letter, or there are too many of them.
    """
    if (count := math.prod(matrix.numbers.shape)) > TEXT_LIMIT_BYTES:
        raise UnreadableError(matrix.name, f"{count} letters", f"at most {TEXT_LIMIT_BYTES}")
    codes = matrix.numbers.mapped().ravel(order="F")
    whole = np.isfinite(codes) & (codes == np.floor(codes)) & (codes >= 0) & (codes < 0xD800)
    if not whole.all():
        raise UnreadableError(matrix.name, f"the letter {codes[~whole][0]}", "codes of letters")
    return "".join(map(chr, codes.astype("i8").tolist()))


def _refusal(path: Path, at: int, found: str, expected: str) -> UnreadableError:
    where = f"{path.name}: byte {at}"
    return UnreadableError(where, found, expected, "copy or export the file again")
