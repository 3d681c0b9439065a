"""The arrays of a version as they are stored, read without zarr-python: checked, and fast.

A chunk is read by position, its crc32c compared and its bytes decoded straight into the
caller's memory where the place is contiguous. Shard indices are read once, checked, and must
have an entry for every chunk inside the array: a missing chunk is an error, never zeros.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import ceil, prod
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs import blosc
from numcodecs.vlen import VLenUTF8

from neurodata.errors import IntegrityError, StoreError
from neurodata.store.files_of import AGAIN, Files, Range
from neurodata.store.manifest import TREE
from neurodata.store.ngff import OME

Array = npt.NDArray[Any]
Box = tuple[slice, ...]

EMPTY = 2**64 - 1
METADATA = "zarr.json"
ZARR_ONLY = ("coordinates", OME)
_scratch = threading.local()


class _Piece(NamedTuple):
    """Where one chunk and a box meet along one axis."""

    chunk: int
    source: slice
    target: slice
    whole: bool


@dataclass(frozen=True, eq=False)
class StoredArray:
    """One array of a version.

    Parameters
    ----------
    key : str
        ``node/name``.
    dims : tuple of str
    shape, chunks, shards : tuple of int
        ``shards`` equals ``chunks`` where the array is not sharded.
    dtype : dtype
        ``object`` for text.
    """

    files: Files
    key: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attrs: Mapping[str, Any]
    chunks: tuple[int, ...]
    shards: tuple[int, ...]
    sharded: bool
    compressed: bool
    checked: bool
    _indices: dict[tuple[int, ...], Array] = field(default_factory=dict, repr=False)

    @property
    def nbytes(self) -> int:
        """Size in bytes when decoded."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def values(self) -> Array:
        """The whole array, decoded at every use; text as an object array of strings."""
        return self.read(tuple(slice(0, n) for n in self.shape))

    def read(self, box: Box, out: Array | None = None) -> Array:
        """Return the items inside a box, decoded and checked.

        Parameters
        ----------
        box : tuple of slice
            One slice with start and stop for every axis, inside the array.
        out : array, optional
            Memory of the box's shape and the array's dtype that is filled.

        Raises
        ------
        IntegrityError
            When a chunk is missing, or its checksum differs.
        """
        if out is None:
            out = np.empty([part.stop - part.start for part in box], self.dtype)
        for number, source, target, whole in self._pieces(box):
            place: Any = (*target, ...)  # a view also of an array without axes
            self._decode(number, source, out[place], whole)
        return out

    def ranges(self, box: Box) -> list[Range]:
        """Return the parts of files that a read of the box needs, indices of shards apart."""
        return [self._range(number) for number, *_ in self._pieces(box)]

    def index_ranges(self, box: Box) -> list[Range]:
        """Return the shard indices that a read of the box needs and that were not read yet."""
        if not self.sharded:
            return []
        length = self._index_length
        shards = {self._shard(number) for number, *_ in self._pieces(box)}
        return [(self._path(s), -length, length) for s in sorted(shards - self._indices.keys())]

    def _pieces(self, box: Box) -> Iterator[tuple[tuple[int, ...], Box, Box, bool]]:
        axes = [_meet(part, size) for part, size in zip(box, self.chunks, strict=True)]
        for pieces in product(*axes):
            yield (
                tuple([piece.chunk for piece in pieces]),
                tuple([piece.source for piece in pieces]),
                tuple([piece.target for piece in pieces]),
                all([piece.whole for piece in pieces]),  # noqa: C419 (hot path)
            )

    def _shard(self, number: tuple[int, ...]) -> tuple[int, ...]:
        return tuple([n // count for n, count in zip(number, self._counts, strict=True)])

    def _path(self, shard: tuple[int, ...]) -> str:
        return "/".join([f"{TREE}/{self.key}/c", *map(str, shard)])

    def _range(self, number: tuple[int, ...]) -> Range:
        """Return path, first byte and length of a chunk."""
        if not self.sharded:
            path = self._path(number)
            return path, 0, self.files.size(path)
        shard = self._shard(number)
        index = self._indices.get(shard)
        if index is None:
            index = self._indices[shard] = self._index(shard)
        inside = tuple([n % count for n, count in zip(number, self._counts, strict=True)])
        start, length = index[inside].tolist()
        return self._path(shard), start, length

    @cached_property
    def _counts(self) -> tuple[int, ...]:
        """Chunks of a shard along each axis."""
        return tuple(big // small for big, small in zip(self.shards, self.chunks, strict=True))

    @property
    def _index_length(self) -> int:
        """Bytes of a shard's index: two numbers a chunk and a crc32c (sharding codec 1.0)."""
        return 16 * prod(self._counts) + 4

    def _index(self, shard: tuple[int, ...]) -> Array:
        path, length = self._path(shard), self._index_length
        where = f"{self.files.where}/{path}"
        data = self.files.read(path, -length, length)
        numbers = np.frombuffer(data, "u1")
        if google_crc32c.value(numbers[:-4]) != int.from_bytes(data[-4:], "little"):
            raise IntegrityError(where, "a damaged shard index", "an intact one", AGAIN)
        index = np.frombuffer(data, "<u8", count=length // 8).reshape(*self._counts, 2)
        used = index[
            tuple(
                slice(0, ceil(min(big, n - at * big) / small))
                for at, n, big, small in zip(
                    shard, self.shape, self.shards, self.chunks, strict=True
                )
            )
        ]
        end = self.files.size(path) - length
        if (used[..., 0] == EMPTY).any():
            raise IntegrityError(where, "a shard that lacks a chunk", "all of them", AGAIN)
        if (used[..., 0] > end).any() or (used[..., 0] + used[..., 1] > end).any():
            raise IntegrityError(where, "chunks beyond the shard's end", "none", AGAIN)
        return index

    def _decode(self, number: tuple[int, ...], source: Box, target: Array, whole: bool) -> None:
        """Decode one chunk, or a part of it, into memory."""
        path, start, length = self._range(number)
        try:
            if whole and self._plain and target.flags.c_contiguous:
                self._copy(path, start, length, target)
                return
            body = self._checked(self.files.view(path, start, length))
            if self.dtype == object:
                text = blosc.decompress(body) if self.compressed else body.tobytes()
                target[...] = VLenUTF8().decode(text).reshape(self.chunks)[source]
            elif not self.compressed:
                target[...] = body.view(self.dtype).reshape(self.chunks)[source]
            elif whole and target.flags.c_contiguous:
                self._inflate(body, target)
            else:
                chunk = _room(self._chunk_bytes).view(self.dtype).reshape(self.chunks)
                self._inflate(body, chunk)
                target[...] = chunk[source]
        except (ValueError, RuntimeError) as error:
            where = f"{self.files.where}/{path}, chunk {number}"
            raise IntegrityError(where, str(error), "the bytes that were written", AGAIN) from error

    @cached_property
    def _plain(self) -> bool:
        """Whether a chunk is its numbers and their checksum, as they are in memory."""
        return self.checked and not self.compressed and self.dtype != object

    def _copy(self, path: str, start: int, length: int, target: Array) -> None:
        """Read an uncompressed chunk straight to where it belongs, then compare its checksum."""
        if length != target.nbytes + 4:
            raise ValueError(f"a chunk of {length} bytes where {target.nbytes + 4} are expected")
        numbers, stated = target.reshape(-1).view("u1"), np.empty(4, "u1")
        self.files.fill(path, start, [numbers, stated])
        if google_crc32c.value(numbers) != int.from_bytes(stated.tobytes(), "little"):
            raise ValueError("a checksum that differs")

    @cached_property
    def _chunk_bytes(self) -> int:
        return prod(self.chunks) * self.dtype.itemsize

    def _checked(self, data: Array) -> Array:
        """Return a chunk's bytes without its checksum, after comparing it."""
        if not self.checked:
            return data
        stated = int.from_bytes(data[-4:].tobytes(), "little")
        if len(data) < 4 or google_crc32c.value(data[:-4]) != stated:
            raise ValueError("a checksum that differs")
        return data[:-4]

    def _inflate(self, body: Array, target: Array) -> None:
        size = int.from_bytes(body[4:8].tobytes(), "little")  # of the blosc 1 header
        if size != target.nbytes:
            raise ValueError(f"a chunk of {size} bytes where {target.nbytes} are expected")
        blosc.decompress(body, target)


def _meet(part: slice, size: int) -> list[_Piece]:
    """Return the chunks of one axis that a slice touches."""
    start, stop = part.start, part.stop
    pieces = []
    for chunk in range(start // size, -(-stop // size) if stop > start else start // size):
        low, high = max(start, chunk * size), min(stop, (chunk + 1) * size)
        source = slice(low - chunk * size, high - chunk * size)
        pieces.append(_Piece(chunk, source, slice(low - start, high - start), high - low == size))
    return pieces


def _room(nbytes: int) -> Array:
    """Return memory of this thread for one chunk."""
    room: Array | None = getattr(_scratch, "room", None)
    if room is None or room.nbytes < nbytes:
        room = _scratch.room = np.empty(nbytes, "u1")
    return room[:nbytes]


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
