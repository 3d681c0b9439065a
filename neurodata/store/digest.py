"""Digests of decoded arrays, so that containers and codecs do not matter."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
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


def content(block: np.ndarray[Any, Any]) -> bytes | npt.NDArray[np.uint8]:
    """Return the items of a block in C order: little-endian numbers; texts, each after its length.

    Examples
    --------
    >>> bytes(content(np.array([1, 2], ">u2")))
    b'\\x01\\x00\\x02\\x00'
    """
    if is_text(block.dtype):
        texts = [str(item).encode() for item in block.ravel()]
        return b"".join(len(text).to_bytes(8, "little") + text for text in texts)
    little = block.astype(block.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(little).reshape(-1).view("u1")


class ArrayDigest:
    """sha256 over an array's kind, dims, shape and its items in C order, fed block by block."""

    def __init__(self, dims: Iterable[str], shape: Iterable[int], dtype: Any) -> None:
        kind = "text" if is_text(dtype) else np.dtype(dtype).newbyteorder("<").str
        self._hash = hashlib.sha256(canonical([kind, list(dims), [int(n) for n in shape]]))

    def update(self, piece: bytes | npt.NDArray[np.uint8]) -> None:
        """Add the `content` of the next items."""
        self._hash.update(piece)  # type: ignore[arg-type]

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
