"""MAT files of version 7.3 (HDF5), as far as EEGLAB uses them; the same values as `mat5` gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from neurodata.errors import UnreadableError
from neurodata.safe_hdf5 import follow, lazy_array

VALUE_LIMIT_BYTES = 64 * 2**20
DEPTH_LIMIT = 8


def variables(
    group: Mapping[str, Any], wanted: Callable[[str], bool], inner: Callable[[str], bool]
) -> dict[str, Any]:
    """Return some members of a structure: arrays, text, lists (cells) and lists of dictionaries.

    Arrays have MATLAB's axes in reverse order; those over 64 MiB are dask arrays, as is any
    called ``data``.

    Parameters
    ----------
    group : h5py.Group
        The file's root, or one of its structures of one element.
    wanted, inner : callable
        Say which members are read, and which of the members of the structures among them.
    """
    return {
        name: _value(group[name], inner, name == "data", 0)
        for name in group
        if wanted(name) and not name.startswith("#")
    }


def _value(item: Any, inner: Callable[[str], bool], lazily: bool, depth: int) -> Any:
    if depth > DEPTH_LIMIT:
        raise _refusal(item, f"cells {depth} deep", f"at most {DEPTH_LIMIT}")
    if isinstance(item, h5py.Group):
        return _records(item, inner, depth)
    if item.attrs.get("MATLAB_empty", 0):
        return []
    kind = item.attrs.get("MATLAB_class", b"")
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    if h5py.check_ref_dtype(item.dtype) is not None:
        targets = [follow(item.file, target) for target in item[()].ravel()]
        return [_value(target, inner, False, depth + 1) for target in targets]
    if kind == "char":
        _require_small(item)
        codes = item[()].T.ravel(order="F").astype("<u2")
        return codes.tobytes().decode("utf-16-le", "replace")
    if item.dtype.kind not in "iuf":
        return None
    if lazily or item.nbytes > VALUE_LIMIT_BYTES:
        return lazy_array(item)
    return np.asarray(item[()]).squeeze()


def _records(group: Any, inner: Callable[[str], bool], depth: int) -> list[dict[str, Any]]:
    """Return a structure of one element, or one whose members list a reference for each."""
    members = {name: group[name] for name in group if inner(name)}
    if not any(_is_list(item) for item in members.values()):
        row = {name: _value(item, inner, False, depth + 1) for name, item in members.items()}
        return [row]
    columns = {name: _references(item) for name, item in members.items()}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1:
        raise _refusal(group, f"members of {sorted(lengths)} elements", "of one length")
    return [
        {
            name: _value(follow(group.file, target), inner, False, depth + 1)
            for name, target in zip(columns, row, strict=True)
        }
        for row in zip(*columns.values(), strict=True)
    ]


def _is_list(item: Any) -> bool:
    if not isinstance(item, h5py.Dataset) or h5py.check_ref_dtype(item.dtype) is None:
        return False
    return "MATLAB_class" not in item.attrs


def _references(item: Any) -> Sequence[Any]:
    if not _is_list(item):
        raise _refusal(item, "one value among lists", "a list of references")
    return list(item[()].ravel())


def _require_small(item: Any) -> None:
    if item.nbytes > VALUE_LIMIT_BYTES:
        raise _refusal(item, f"a text of {item.nbytes} bytes", f"at most {VALUE_LIMIT_BYTES}")


def _refusal(item: Any, found: str, expected: str) -> UnreadableError:
    return UnreadableError(str(item.name), found, expected, "save the file again")
