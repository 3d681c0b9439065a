"""One version of a recording as it is stored: its nodes, and their arrays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from neurodata.errors import IntegrityError, StoreError
from neurodata.store.arrays import StoredArray
from neurodata.store.files_of import AGAIN, Files
from neurodata.store.manifest import TREE
from neurodata.store.ngff import OME

METADATA = "zarr.json"
ZARR_ONLY = ("coordinates", OME)


@dataclass(frozen=True, eq=False)
class StoredNode:
    """A node of a version: its attributes and arrays.

    Examples
    --------
    >>> import tempfile, neurodata
    >>> store = neurodata.open_store(tempfile.mkdtemp(), create=True)
    >>> _ = neurodata.ingest("eeg_fp1", store=store)
    >>> node = store.arrays("eeg_fp1/test_utf8").nodes["eeg"]
    >>> node.sizes["channel"], node["signal_adc"].dtype
    (1, dtype('int16'))
    """

    attrs: Mapping[str, Any]
    arrays: Mapping[str, StoredArray]

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def __getitem__(self, name: str) -> StoredArray:
        return self.arrays[name]

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Length of every dimension."""
        pairs = (zip(array.dims, array.shape, strict=True) for array in self.arrays.values())
        return {dim: n for pair in pairs for dim, n in pair}


@dataclass(frozen=True, eq=False)
class StoredVersion:
    """One version of a recording, as it is stored.

    Parameters
    ----------
    id, version : str
    manifest : mapping
    files : Files
    """

    id: str
    version: str
    manifest: Mapping[str, Any]
    files: Files

    @cached_property
    def nodes(self) -> dict[str, StoredNode]:
        """All nodes by path, ``"."`` being the root."""
        folders = [
            path.removesuffix(METADATA).removeprefix(TREE).strip("/") for path in self._metadata
        ]
        texts = dict(zip(folders, self._read(list(self._metadata)), strict=True))
        groups = {path or ".": text for path, text in texts.items() if text["node_type"] == "group"}
        arrays: dict[str, dict[str, StoredArray]] = {path: {} for path in groups}
        for key, text in texts.items():
            if text["node_type"] == "array":
                parent, _, name = key.rpartition("/")
                arrays[parent or "."][name] = _array(self.files, key, text)
        return {
            path: StoredNode(
                {k: v for k, v in text.get("attributes", {}).items() if k not in ZARR_ONLY},
                arrays[path],
            )
            for path, text in groups.items()
        }

    @cached_property
    def _metadata(self) -> dict[str, Mapping[str, Any]]:
        end = "/" + METADATA
        return {e["path"]: e for e in self.manifest["files"] if e["path"].endswith(end)}

    def _read(self, paths: Sequence[str]) -> list[dict[str, Any]]:
        """Return the metadata of groups and arrays, after comparing digests."""
        sizes = [(path, 0, self._metadata[path]["size"]) for path in paths]
        self.files.fetch(sizes)
        found = []
        for path, start, length in sizes:
            data = self.files.read(path, start, length)
            if hashlib.sha256(data).hexdigest() != self._metadata[path]["sha256"]:
                where = f"{self.files.where}/{path}"
                raise IntegrityError(where, "changed bytes", "the sha256 of the manifest", AGAIN)
            found.append(json.loads(data))
        return found


def _array(files: Files, key: str, text: Mapping[str, Any]) -> StoredArray:
    """Return an array from its metadata (Zarr v3 core, sharding codec 1.0).

    Raises
    ------
    StoreError
        When it is stored in a form that this library never writes.
    """
    outer = tuple(text["chunk_grid"]["configuration"]["chunk_shape"])
    codecs, inner, sharded = text["codecs"], outer, False
    if codecs[0]["name"] == "sharding_indexed":
        setting = codecs[0]["configuration"]
        codecs, inner, sharded = setting["codecs"], tuple(setting["chunk_shape"]), True
        if [c["name"] for c in setting["index_codecs"]] != ["bytes", "crc32c"]:
            raise _strange(key, str(setting["index_codecs"]))
    names = [codec["name"] for codec in codecs]
    if names[:1] not in (["bytes"], ["vlen-utf8"]) or names[1:] not in (
        [], ["blosc"], ["crc32c"], ["blosc", "crc32c"],
    ):  # fmt: skip
        raise _strange(key, str(names))
    is_text = names[0] == "vlen-utf8"
    order = codecs[0].get("configuration", {}).get("endian", "little")
    dtype = np.dtype(object) if is_text else np.dtype(text["data_type"])
    if order != "little" or (not is_text and dtype.kind not in "biufc"):
        raise _strange(key, f"{text['data_type']}, {order} endian")
    return StoredArray(
        files=files,
        key=key,
        dims=tuple(text.get("dimension_names") or ()),
        shape=tuple(text["shape"]),
        dtype=dtype,
        attrs=text.get("attributes", {}),
        chunks=inner,
        shards=outer,
        sharded=sharded,
        compressed="blosc" in names,
        checked="crc32c" in names,
    )


def _strange(key: str, found: str) -> StoreError:
    return StoreError(
        key, found, "a form of docs/format.md", "update neurodata, or ingest it again"
    )
