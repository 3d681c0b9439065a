"""Named arrays of an HDF5 file, plain or written by MATLAB (v7.3), for `neurodata.readers.mapped`.

MATLAB stores its axes in reverse, text as numbers and cells as references; what it stores is
named as in MATLAB (``worm.traces{3}``), what others store by its path (``gcamp/traces``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from neurodata.errors import UnreadableError
from neurodata.readers.delimited import Numbers
from neurodata.readers.mapped import Listed
from neurodata.readers.nwb_text import attribute, names
from neurodata.safe_hdf5 import follow, lazy_array, open_hdf5

DEPTH_LIMIT = 32
VARIABLE_LIMIT = 200_000
NUMBERS_LIMIT_BYTES = 2**28
HIDDEN = ("#refs#", "#subsystem#")
OBJECTS = ("MATLAB_object_decode", "MATLAB_sparse")
Made = TypeVar("Made")


class Hdf5Arrays:
    """The arrays of a checked file, which is opened anew for every question.

    Parameters
    ----------
    path : Path
    matlab : bool
        Whether MATLAB wrote it.
    """

    def __init__(self, path: Path, matlab: bool) -> None:
        self.path, self.matlab = path, matlab

    def listed(self) -> Sequence[Listed]:
        """Return all datasets, and the cells and fields of MATLAB's."""
        with open_hdf5(self.path) as file:
            return [self._described(name, item) for name, item in self._items(file)]

    def attribute_count(self) -> int:
        """Return how many attributes the file and its datasets have; none is read."""
        with open_hdf5(self.path) as file:
            return len(file.attrs) + sum(len(item.attrs) for _, item in self._items(file))

    def array(self, name: str, long_axis: int) -> Any:
        """Return a dask array of a dataset, its axes in MATLAB's order where MATLAB wrote it."""

        def lazy(item: h5py.Dataset) -> Any:
            axis = item.ndim - 1 - long_axis if self.matlab else long_axis
            array = lazy_array(item, axis=axis)
            return array.T if self.matlab else array

        return self._with(name, lazy)

    def numbers(self, name: str) -> Numbers:
        """Return a small dataset, loaded."""

        def loaded(item: h5py.Dataset) -> Numbers:
            if item.nbytes > NUMBERS_LIMIT_BYTES:
                raise self._odd(name, f"{item.nbytes} bytes", f"at most {NUMBERS_LIMIT_BYTES}")
            values: Numbers = np.asarray(item[()])
            return values.T if self.matlab else values

        return self._with(name, loaded)

    def texts(self, name: str) -> list[str]:
        """Return the texts or numbers of a dataset or of a cell array."""
        return self._with(name, lambda item: self._texts(item, name))

    def _with(self, name: str, make: Callable[[h5py.Dataset], Made]) -> Made:
        with open_hdf5(self.path) as file:
            for found, item in self._items(file):
                if found == name:
                    return make(item)
        raise self._odd(name, "no such variable", "one of the file's")

    def _odd(self, name: str, found: str, expected: str) -> UnreadableError:
        return UnreadableError(f"{self.path.name}: {name}", found, expected, "export it again")

    # walking

    def _items(self, file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
        count = 0
        for name in file:
            if not (self.matlab and name in HIDDEN):
                for item in self._below(file, file[name], name, 0):
                    count += 1
                    if count > VARIABLE_LIMIT:
                        raise self._odd(name, f"over {VARIABLE_LIMIT} variables", "fewer")
                    yield item

    def _below(
        self, file: h5py.File, item: Any, name: str, depth: int
    ) -> Iterator[tuple[str, h5py.Dataset]]:
        if depth > DEPTH_LIMIT:
            raise self._odd(name, f"parts nested over {DEPTH_LIMIT} deep", "less")
        if isinstance(item, h5py.Group):
            if self.matlab and any(key in item.attrs for key in OBJECTS):
                return
            for key in item:
                if isinstance(item.get(key, getlink=True), h5py.HardLink):
                    yield from self._field(file, item[key], name, key, depth)
        elif isinstance(item, h5py.Dataset):
            yield name, item
            if self.matlab and _is_cell(item):
                for index, reference in enumerate(_references(item), 1):
                    inner = follow(file, reference)
                    yield from self._below(file, inner, f"{name}{{{index}}}", depth + 1)

    def _field(
        self, file: h5py.File, item: Any, name: str, key: str, depth: int
    ) -> Iterator[tuple[str, h5py.Dataset]]:
        """Walk into a field: of a struct, or of each struct of an array of them."""
        of_many = self.matlab and isinstance(item, h5py.Dataset) and _is_reference(item)
        if of_many and not _is_cell(item):
            for index, reference in enumerate(_references(item), 1):
                inner = follow(file, reference)
                yield from self._below(file, inner, f"{name}({index}).{key}", depth + 1)
        else:
            mark = "." if self.matlab else "/"
            yield from self._below(file, item, f"{name}{mark}{key}", depth + 1)

    def _described(self, name: str, item: h5py.Dataset) -> Listed:
        kind, shape = str(item.dtype), tuple(item.shape or ())
        numeric = item.dtype.kind in "iufb" and item.shape is not None
        if h5py.check_string_dtype(item.dtype) is not None:
            kind = "text"
        elif item.dtype.kind == "O":
            kind = "objects"
        if self.matlab:
            kind, shape = attribute(item, "MATLAB_class") or kind, shape[::-1]
            if "MATLAB_empty" in item.attrs:
                shape, numeric = (0, 0), False
            numeric &= kind not in ("char", "cell", "function_handle")
            numeric &= not any(key in item.attrs for key in OBJECTS)
        return Listed(name, kind, shape, numeric)

    # text

    def _texts(self, item: h5py.Dataset, name: str) -> list[str]:
        if item.size and item.nbytes > NUMBERS_LIMIT_BYTES:
            raise self._odd(name, f"{item.nbytes} bytes", "names")
        if self.matlab and _is_cell(item):
            return [self._text(follow(item.file, reference)) for reference in _references(item)]
        if self.matlab and attribute(item, "MATLAB_class") == "char":
            return ["".join(map(chr, row)) for row in np.atleast_2d(item[()].T).tolist()]
        if h5py.check_string_dtype(item.dtype) is not None:
            return names(item)
        if item.dtype.kind in "iuf":
            return [f"{value:.17g}" for value in np.ravel(item[()]).tolist()]
        raise self._odd(name, f"{item.dtype} values", "names or numbers")

    def _text(self, item: Any) -> str:
        """Return what one cell holds: text, a number, or nothing."""
        if not isinstance(item, h5py.Dataset) or "MATLAB_empty" in item.attrs or not item.size:
            return ""
        if _is_reference(item):
            inner = _references(item)
            return self._text(follow(item.file, inner[0])) if len(inner) == 1 else ""
        if item.size > 1024:
            return ""
        if attribute(item, "MATLAB_class") == "char":
            return "".join(map(chr, np.ravel(item[()]).tolist()))
        return f"{np.ravel(item[()])[0]:.17g}" if item.size == 1 else ""


def _is_reference(item: h5py.Dataset) -> bool:
    return h5py.check_ref_dtype(item.dtype) is h5py.Reference


def _is_cell(item: h5py.Dataset) -> bool:
    return _is_reference(item) and attribute(item, "MATLAB_class") == "cell"


def _references(item: h5py.Dataset) -> list[Any]:
    """Return references in MATLAB's order: the first index runs fastest."""
    return list(np.ravel(item[()]))  # stored in reverse, so that rows are MATLAB's columns
