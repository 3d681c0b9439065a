"""The MAT-file leaf of the one door: MATLAB 4 to 7 files, every size checked before a number.

Variables and their parts are listed without their numbers, which stay where they are until they
are asked for. Objects, functions and what MATLAB calls opaque are listed and never read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurodata import safe_mat4
from neurodata.errors import InvalidInputError, UnreadableError, UnsafeError
from neurodata.safe import TEXT_LIMIT_BYTES
from neurodata.safe_mat4 import is_4
from neurodata.safe_mat5 import (
    CELL,
    CHAR,
    DEPTH_LIMIT,
    FUNCTION,
    HEADER_BYTES,
    MAGIC,
    NUMERIC,
    OBJECT,
    OPAQUE,
    STRUCT,
    Array,
    Elements,
    Numbers,
    walk,
)

__all__ = ["DEPTH_LIMIT", "HEADER_BYTES", "MAGIC", "Variable", "is_4", "value", "variables"]

ELEMENT_LIMIT_BYTES = 2**31  # the format's own limit on a variable
VARIABLE_LIMIT = 200_000
NEVER = (OBJECT, FUNCTION, OPAQUE)
TOP = re.compile(r"[^.({]*")


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
    found: list[Variable] = []
    if _is_4(path):
        for matrix in safe_mat4.matrices(path):
            _require_room(path, found)
            found.append(Variable(matrix.name, matrix.kind, matrix.numbers.shape))
        return found
    for elements, array in walk(path, limit_bytes=ELEMENT_LIMIT_BYTES):
        for name, part in _parts(elements, array, array.name):
            _require_room(path, found)
            found.append(Variable(name, part.word, part.shape))
    return found


def value(path: Path, name: str) -> npt.NDArray[Any]:
    """Return one variable: numbers as they are stored, mapped where that can be; or texts.

    Parameters
    ----------
    name : str
        As `variables` has it.

    Returns
    -------
    numpy.ndarray
        Numbers in MATLAB's shape; rows of text; or objects, one a cell.

    Raises
    ------
    InvalidInputError
        When there is none of that name.
    UnsafeError
        When it is or holds an object or a function.
    UnreadableError
        When it holds neither real numbers nor text.
    """
    if _is_4(path):
        for matrix in safe_mat4.matrices(path):
            if matrix.name == name:
                return _value_4(path, matrix)
    else:
        top = TOP.match(name)
        wanted = top[0] if top else name
        for elements, array in walk(path, lambda key: key == wanted, ELEMENT_LIMIT_BYTES):
            if array.name != wanted:
                continue
            for key, part in _parts(elements, array, array.name):
                if key == name:
                    return _value_5(elements, part, name)
    raise InvalidInputError(path.name, f"no variable {name!r}", "one of the file's variables")


def _is_4(path: Path) -> bool:
    with path.open("rb") as stream:
        return is_4(stream.read(safe_mat4.HEAD_BYTES + safe_mat4.NAME_BYTES))


def _require_room(path: Path, found: list[Variable]) -> None:
    if len(found) >= VARIABLE_LIMIT:
        raise UnsafeError(path.name, "more parts", f"{VARIABLE_LIMIT}", "save plain arrays")


def _parts(elements: Elements, array: Array, name: str) -> Iterator[tuple[str, Array]]:
    """Yield an array and all within it, each checked, with their names."""
    _check(elements, array)
    yield name, array
    for number, key, first, last in elements.children(array):
        here = name if array.size == 1 else f"{name}({number})"
        label = f"{name}{{{number}}}" if array.kind == CELL else f"{here}.{key}"
        yield from _parts(elements, elements.array(first, last, array.depth + 1), label)


def _check(elements: Elements, array: Array) -> None:
    """Refuse numbers and text that do not fit their place; an empty array may have none."""
    if array.kind in NUMERIC and (array.size or array.at < array.stop):
        elements.numbers(array)
    elif array.kind == CHAR and array.size:
        elements.letters(array)


def _value_5(elements: Elements, array: Array, name: str) -> npt.NDArray[Any]:
    where = f"{elements.path.name}: {name}"
    if array.kind in NEVER:
        raise _never(where, array.word)
    if array.kind == CHAR:
        return _rows(elements.text(array) if array.size else "", array.shape, where)
    if array.kind == CELL:
        found = [
            _value_5(elements, elements.array(first, last, array.depth + 1), f"{name}{{{number}}}")
            for number, _, first, last in elements.children(array)
        ]
        cells = np.empty(len(found), object)
        for place, item in enumerate(found):  # equal lengths would become an axis
            cells[place] = item
        return cells.reshape(array.shape, order="F")
    if array.kind == STRUCT:
        held = (elements.array(first, last, 1) for _, _, first, last in elements.children(array))
        if (never := next((part for part in held if part.kind in NEVER), None)) is not None:
            raise _never(where, never.word)
    if array.kind not in NUMERIC:
        raise UnreadableError(where, f"a {array.word}", "numbers, text or cells", "name its parts")
    if not array.size:
        return np.empty(array.shape)
    return _native(elements.numbers(array), where)


def _value_4(path: Path, matrix: safe_mat4.Matrix) -> npt.NDArray[Any]:
    where = f"{path.name}: {matrix.name}"
    if matrix.kind == "char":
        return _rows(safe_mat4.letters(matrix), matrix.numbers.shape, where)
    parts = [matrix.numbers] * (2 if matrix.kind.startswith("complex") else 1)
    if matrix.kind == "sparse":
        raise UnreadableError(where, "a sparse matrix", "a full one", "save full(x)")
    return _native(parts, where)


def _native(parts: list[Numbers], where: str) -> npt.NDArray[Any]:
    if len(parts) > 1:
        raise UnreadableError(where, "complex numbers", "real numbers", "save real(x) or abs(x)")
    found = parts[0].mapped()
    return found if found.dtype.isnative else found.astype(found.dtype.newbyteorder("="))


def _rows(text: str, shape: tuple[int, ...], where: str) -> npt.NDArray[np.object_]:
    """Return the rows of letters that are stored down the columns."""
    rows = shape[0] if text else 0
    if len(text) > TEXT_LIMIT_BYTES or (rows > 1 and len(text) % rows):
        raise UnreadableError(where, f"{len(text)} letters", f"{shape} of them", "save it again")
    found = np.empty(rows, object)
    found[:] = [text[row::rows] for row in range(rows)]
    return found


def _never(where: str, word: str) -> UnsafeError:
    return UnsafeError(
        where, f"an {word} of MATLAB", "numbers, text and cells", "save plain arrays"
    )
