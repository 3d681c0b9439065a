"""Digests of decoded arrays, so that containers and codecs do not matter."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import StoreError

IDENTITY = ("id", "dataset")


def canonical(value: Any) -> bytes:
    """Return canonical JSON: sorted keys, no white space, UTF-8, no NaN.

    Raises
    ------
    StoreError
        When a value has no JSON form.

    Examples
    --------
    >>> canonical({"b": 1, "a": [1.5, None]})
    b'{"a":[1.5,null],"b":1}'
    """
    try:
        text = json.dumps(
            plain(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
        )
        return text.encode()
    except (TypeError, ValueError) as error:
        raise StoreError("attributes", f"a value without JSON form ({error})", "JSON") from error


def plain(value: Any) -> Any:
    """Return a value with numpy scalars, arrays and tuples as plain numbers and lists."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def sha256(data: bytes) -> str:
    """Return the hex sha256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def is_text(dtype: Any) -> bool:
    """Say whether an array's items are strings."""
    return getattr(dtype, "kind", "T") in "UOT"


class ArrayDigest:
    """sha256 over an array's kind, dims, shape and its items in C order, fed block by block."""

    def __init__(self, dims: Iterable[str], shape: Iterable[int], dtype: Any) -> None:
        self.text = is_text(dtype)
        kind = "text" if self.text else np.dtype(dtype).newbyteorder("<").str
        self._hash = hashlib.sha256(canonical([kind, list(dims), [int(n) for n in shape]]))

    def update(self, block: np.ndarray[Any, Any]) -> None:
        """Add the next block of items, in C order."""
        if self.text:
            for item in block.ravel():
                data = str(item).encode()
                self._hash.update(len(data).to_bytes(8, "little") + data)
            return
        little = block.astype(block.dtype.newbyteorder("<"), copy=False)
        self._hash.update(np.ascontiguousarray(little).data)

    def hexdigest(self) -> str:
        """Return the digest of what was fed."""
        return self._hash.hexdigest()


def content_digest(tree: xr.DataTree, arrays: Mapping[str, str]) -> str:
    """Return the digest of a recording's arrays, dims and attributes, but not of its id."""
    attrs = {}
    for path, node in tree.subtree_with_keys:
        known = {key: value for key, value in node.attrs.items() if key not in IDENTITY}
        attrs[path] = known
        for name, variable in node.variables.items():
            attrs[f"{path}/{name}"] = dict(variable.attrs)
    return sha256(canonical({"arrays": dict(arrays), "attrs": attrs}))
