"""MAT files of version 5, as far as EEGLAB uses them: numbers, text, cells and structures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from neurodata.safe_mat5 import (
    CELL,
    CHAR,
    COMPLEX,
    MAGIC,
    NUMERIC,
    STRUCT,
    Array,
    Elements,
    Numbers,
    first_name,
    walk,
)

__all__ = ["MAGIC", "Numbers", "first_name", "variables"]


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
    UnsafeError
        When it unpacks to more than a limit, or nests too deep.
    """
    return {
        array.name: _value(elements, array, wanted if array.name == whole else None)
        for elements, array in walk(path, wanted)
        if wanted(array.name)
    }


def _value(elements: Elements, array: Array, wanted: Callable[[str], bool] | None = None) -> Any:
    if not array.size:
        return []
    if array.kind in NUMERIC:
        return None if array.flags & COMPLEX else elements.numbers(array)[0]
    if array.kind == CHAR:
        return elements.text(array)
    if array.kind not in (CELL, STRUCT):
        return None
    rows: list[dict[str, Any]] = []
    for number, name, first, last in elements.children(array):
        if number > len(rows):
            rows.append({})
        if wanted is None or array.kind == CELL or wanted(name):
            rows[-1][name] = _value(elements, elements.array(first, last, array.depth + 1))
    return [row[""] for row in rows] if array.kind == CELL else rows
