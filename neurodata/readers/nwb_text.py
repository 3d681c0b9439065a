"""Text in NWB files, which comes as bytes or str, scalar or array; empty text counts as absent."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np


def names(values: Any) -> list[str]:
    """Return text values (an attribute or a dataset of any string type) as a list of str.

    Examples
    --------
    >>> names(np.array([b"x", b"y"])), names("z"), names(None)
    (['x', 'y'], ['z'], [])
    """
    if isinstance(values, h5py.Dataset):
        values = values[()]
    if values is None or isinstance(values, h5py.Empty):
        return []
    return [_str(value) for value in np.atleast_1d(np.asarray(values, dtype=object)).ravel()]


def _str(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def text(group: Any, name: str) -> str | None:
    """Return the text of a dataset, several values joined, or None when absent or empty."""
    item = group.get(name)
    if not isinstance(item, h5py.Dataset):
        return None
    return ", ".join(names(item)).strip().strip("\x00").strip() or None


def attribute(item: Any, name: str) -> str:
    """Return an attribute as text, or "" when it is absent."""
    return ", ".join(names(item.attrs.get(name))).strip()


def neurodata_type(group: h5py.Group) -> str:
    """Return the NWB type that a group states, or ""."""
    return attribute(group, "neurodata_type")
