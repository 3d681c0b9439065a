"""The NPY leaf of the one door: the header is checked against the file, nothing is unpickled.

References
----------
https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import ast
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurodata import safe
from neurodata.errors import UnreadableError, UnsafeError

MAGIC = b"\x93NUMPY"
HEADER_LIMIT = 2**14
_DESCR = re.compile(r"[<>|=]?[?biufcOSU]\d*")


@dataclass(frozen=True)
class Header:
    """What an NPY file says of its array, and the byte at which the array begins."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool
    offset: int


def parse(start: bytes, name: str) -> Header:
    """Return the header of an NPY file from the file's first bytes.

    Raises
    ------
    UnreadableError
        When the header is cut, damaged or of an unknown version, or the array is of fields.

    Examples
    --------
    >>> import io
    >>> stream = io.BytesIO()
    >>> np.save(stream, np.zeros((2, 3), "f4"))
    >>> parse(stream.getvalue(), "a.npy").shape
    (2, 3)
    """
    if not start.startswith(MAGIC) or len(start) < 12 or start[6] not in (1, 2, 3):
        raise _broken(name, f"{len(start)} bytes without an NPY header")
    form, first = ("<H", 10) if start[6] == 1 else ("<I", 12)
    (length,) = struct.unpack_from(form, start, 8)
    if length > HEADER_LIMIT or len(start) < first + length:
        raise _broken(name, f"a header of {length} bytes in {len(start)}")
    try:
        stated = ast.literal_eval(start[first : first + length].decode("utf-8").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise _broken(name, f"a header that is no dictionary ({error})") from error
    if not isinstance(stated, dict) or set(stated) != {"descr", "fortran_order", "shape"}:
        raise _broken(name, "a header of other keys")
    descr, shape, order = stated["descr"], stated["shape"], stated["fortran_order"]
    known = isinstance(descr, str) and _DESCR.fullmatch(descr)
    whole = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not known or not whole or type(order) is not bool or len(shape) > 32:
        raise _broken(name, f"an array of {descr!r} and shape {shape!r}")
    try:
        dtype = np.dtype(descr)
    except (TypeError, ValueError) as error:
        raise _broken(name, f"an array of {descr!r}") from error
    return Header(dtype, shape, order, first + length)


def header(path: Path) -> Header:
    """Return the checked header of an NPY file; see `parse`."""
    with path.open("rb") as stream:
        return parse(stream.read(12 + HEADER_LIMIT), path.name)


def mapped(path: Path) -> np.ndarray[Any, Any]:
    """Map the array of an NPY file, after comparing its size with the file's.

    Raises
    ------
    UnreadableError
        When the file is damaged, or shorter or longer than its header says.
    UnsafeError
        When the array holds pickled objects.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.npy"
    >>> np.save(path, np.arange(6.0).reshape(2, 3))
    >>> mapped(path)[1].tolist()
    [3.0, 4.0, 5.0]
    """
    found = header(path)
    if found.dtype.hasobject:
        raise UnsafeError(path.name, "pickled objects", "numbers", "save it as plain numbers")
    size, count = path.stat().st_size, 1
    for length in found.shape:
        count *= length
    wanted = found.offset + count * found.dtype.itemsize
    if size != wanted or not count:
        raise UnreadableError(
            path.name, f"{size} bytes for an array of shape {found.shape}",
            f"{wanted} bytes and an array that is not empty", "copy or save it again",
        )  # fmt: skip
    if found.fortran_order:
        return safe.memmap(path, found.dtype, found.shape[::-1], found.offset).T
    return safe.memmap(path, found.dtype, found.shape, found.offset)


def _broken(name: str, found: str) -> UnreadableError:
    return UnreadableError(name, found, "an NPY file of version 1 to 3", "copy or save it again")
