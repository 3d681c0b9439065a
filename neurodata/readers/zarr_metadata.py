"""What the metadata of a Zarr array of format 2 or 3 mean, each key checked before it is used."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from neurodata.errors import UnknownFormatError, UnreadableError, UnsafeError
from neurodata.readers.zarr_chunks import COUNT_LIMIT, Keys, Shards, StoredZarr
from neurodata.readers.zarr_codecs import CHUNK_LIMIT_BYTES, Chain
from neurodata.readers.zarr_files import Files, attributes

AXES_LIMIT = 8
DTYPE_2 = re.compile(r"[<>][iuf][248]|[<>|]([iu]1|b1)")
CODECS_2 = ("blosc", "zstd", "gzip", "zlib", "lz4")
CODECS_3 = ("blosc", "zstd", "gzip", "crc32c")
TYPES = {
    "bool": "|b1", "int8": "|i1", "int16": "i2", "int32": "i4", "int64": "i8", "uint8": "|u1",
    "uint16": "u2", "uint32": "u4", "uint64": "u8", "float16": "f2", "float32": "f4",
    "float64": "f8",
}  # fmt: skip
KEYS_3 = {
    "zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding",
    "fill_value", "codecs", "attributes", "dimension_names", "storage_transformers",
}  # fmt: skip


def arrays(files: Files) -> list[str]:
    """Return the paths of all arrays of a hierarchy, ``""`` for one at its root."""
    found = []
    for name in files.entries:
        folder, _, last = name.rpartition("/")
        if last == ".zarray" or (
            last == "zarr.json" and files.json(name).get("node_type") == "array"
        ):
            found.append(folder)
    return sorted(set(found))


def open_array(files: Files, path: str) -> StoredZarr:
    """Return an array of a hierarchy, by its path, as its metadata describe it.

    Raises
    ------
    UnreadableError
        When the metadata are missing, damaged or contradict themselves.
    UnknownFormatError
        On other formats, types and codecs than those that are read.
    UnsafeError
        When a chunk would be over 512 MiB, or there would be over ten million.
    """
    where = f"{files.where}: {path}" if path else files.where
    prefix = f"{path}/" if path else ""
    is_3 = f"{prefix}zarr.json" in files
    found = files.json(f"{prefix}{'zarr.json' if is_3 else '.zarray'}")
    attrs: Mapping[str, Any] = found
    if not is_3:
        attrs = files.json(f"{prefix}.zattrs") if f"{prefix}.zattrs" in files else {}
    stored = (_format_3 if is_3 else _format_2)(files, prefix, where, found)
    names = found.get("dimension_names") if is_3 else attributes(attrs).get("_ARRAY_DIMENSIONS")
    named = isinstance(names, list) and len(names) == stored.ndim
    if named and all(isinstance(name, str) and name for name in names or ()):
        stored = replace(stored, axes=tuple(names or ()))
    return stored


def _format_2(files: Files, prefix: str, where: str, found: Mapping[str, Any]) -> StoredZarr:
    if found.get("zarr_format") != 2:
        raise UnknownFormatError(where, f"zarr_format {found.get('zarr_format')!r}", "2 or 3")
    shape, chunks = _numbers(found, "shape", where), _numbers(found, "chunks", where)
    text = found.get("dtype")
    if not isinstance(text, str) or not DTYPE_2.fullmatch(text):
        raise UnknownFormatError(
            f"{where}: dtype", repr(text)[:60], "integers, floats or booleans", "convert the array"
        )
    compressor, order = found.get("compressor"), found.get("order")
    if found.get("filters"):
        raise UnknownFormatError(
            f"{where}: filters", repr(found["filters"])[:60], "none", "store it without filters"
        )
    if order not in ("C", "F"):
        raise UnreadableError(f"{where}: order", repr(order)[:20], "'C' or 'F'")
    separator = found.get("dimension_separator", ".")
    axes = tuple(range(len(shape)))
    dtype = np.dtype(text)
    steps = () if compressor is None else (_codec(_get(compressor, "id"), CODECS_2, where),)
    chain = Chain(chunks, dtype, axes if order == "C" else axes[::-1], steps)
    keys = Keys(prefix, _separator(separator, where))
    return _stored(files, where, shape, chain, keys, None, found.get("fill_value"))


def _format_3(files: Files, prefix: str, where: str, found: Mapping[str, Any]) -> StoredZarr:
    if found.get("zarr_format") != 3 or found.get("node_type") != "array":
        raise UnreadableError(where, f"a {found.get('node_type')!r}", "an array of Zarr format 3")
    others = [key for key in found if key not in KEYS_3 and _must_be_known(found[key])]
    if others or found.get("storage_transformers"):
        raise UnknownFormatError(where, f"the extensions {others[:5]}", "plain Zarr 3")
    kind = found.get("data_type")
    if not isinstance(kind, str) or kind not in TYPES:
        raise UnknownFormatError(
            f"{where}: data_type", repr(kind)[:60], "one of " + ", ".join(TYPES)
        )
    shape = _numbers(found, "shape", where)
    grid = _get(found, "chunk_grid")
    if _get(grid, "name") != "regular":
        raise UnknownFormatError(f"{where}: chunk_grid", repr(grid)[:60], "a regular grid")
    outer = _numbers(_get(grid, "configuration"), "chunk_shape", where)
    encoding = _get(found, "chunk_key_encoding")
    style, options = _get(encoding, "name"), _get(encoding, "configuration") or {}
    if style not in ("default", "v2"):
        raise UnknownFormatError(f"{where}: chunk_key_encoding", repr(style)[:40], "default or v2")
    mark = _separator(_get(options, "separator") or ("/" if style == "default" else "."), where)
    keys = Keys(f"{prefix}c{mark}" if style == "default" else prefix, mark)
    codecs, shards = found.get("codecs"), None
    dtype = TYPES[kind]
    if isinstance(codecs, list) and [_get(c, "name") for c in codecs] == ["sharding_indexed"]:
        inner = _get(codecs[0], "configuration")
        shards, codecs = _shards(inner, outer, where), _get(inner, "codecs")
        outer = _numbers(inner, "chunk_shape", where)
    chain = _chain(codecs, outer, dtype, where)
    return _stored(files, where, shape, chain, keys, shards, found.get("fill_value"))


def _must_be_known(extension: Any) -> bool:
    """Say whether a reader that does not know an extension has to stop (Zarr 3, section 6)."""
    if extension is None:
        return False
    return not (isinstance(extension, dict) and extension.get("must_understand") is False)


def _shards(inner: Any, outer: tuple[int, ...], where: str) -> Shards:
    chunks = _numbers(inner, "chunk_shape", where)
    fits = len(chunks) == len(outer) and all(chunks) and all(outer)
    if not fits or any(n % c for n, c in zip(outer, chunks, strict=True)):
        raise UnreadableError(f"{where}: chunk_shape", f"{chunks}", f"parts of a shard {outer}")
    if math.prod(outer) // math.prod(chunks) > COUNT_LIMIT:
        raise UnsafeError(where, f"shards of {outer} in chunks of {chunks}", "fewer chunks")
    steps = [_get(codec, "name") for codec in _get(inner, "index_codecs") or ()]
    place = _get(inner, "index_location") or "end"
    endian = [_get(_get(c, "configuration"), "endian") for c in _get(inner, "index_codecs") or ()]
    if steps not in (["bytes"], ["bytes", "crc32c"]) or endian[0] != "little":
        raise UnknownFormatError(f"{where}: index_codecs", f"{steps}", "little bytes and crc32c")
    if place not in ("start", "end"):
        raise UnreadableError(f"{where}: index_location", repr(place)[:20], "'start' or 'end'")
    return Shards(outer, place == "start", len(steps) == 2)


def _chain(codecs: Any, shape: tuple[int, ...], dtype: str, where: str) -> Chain:
    """Return what a list of Zarr 3 codecs does: perhaps transpose, bytes, then over the bytes."""
    names = [_get(codec, "name") for codec in codecs] if isinstance(codecs, list) else []
    order = tuple(range(len(shape)))
    if names[:1] == ["transpose"]:
        stated = _get(_get(codecs[0], "configuration"), "order")
        if not isinstance(stated, list) or sorted(map(str, stated)) != sorted(map(str, order)):
            raise UnreadableError(f"{where}: transpose", repr(stated)[:40], "the axes' numbers")
        order, names, codecs = tuple(map(int, stated)), names[1:], codecs[1:]
    if names[:1] != ["bytes"]:
        raise UnknownFormatError(
            f"{where}: codecs", ", ".join(map(str, names)) or "none", "bytes, then compression"
        )
    endian = _get(_get(codecs[0], "configuration"), "endian")
    if endian not in ("little", "big") and not (dtype.startswith("|") and endian is None):
        raise UnreadableError(f"{where}: endian", repr(endian)[:20], "'little' or 'big'")
    kind = np.dtype(dtype).newbyteorder("<" if endian != "big" else ">")
    return Chain(shape, kind, order, tuple(_codec(name, CODECS_3, where) for name in names[1:]))


def _stored(
    files: Files, where: str, shape: tuple[int, ...], chain: Chain, keys: Keys,
    shards: Shards | None, fill: Any,
) -> StoredZarr:  # fmt: skip
    files_of = shards.shape if shards else chain.shape
    if len(shape) != len(chain.shape) or not all(shape) or not all(chain.shape):
        raise UnreadableError(
            where, f"shape {shape} in chunks of {chain.shape}", "lengths over 0, as many of both"
        )
    if chain.bytes_decoded > CHUNK_LIMIT_BYTES:
        raise UnsafeError(
            where, f"chunks of {chain.bytes_decoded} bytes", f"at most {CHUNK_LIMIT_BYTES}",
            "store it in smaller chunks",
        )  # fmt: skip
    count = math.prod(-(-n // c) for n, c in zip(shape, files_of, strict=True))
    if count > COUNT_LIMIT:
        raise UnsafeError(where, f"{count} chunks by its shape", f"at most {COUNT_LIMIT}")
    dtype = chain.dtype.newbyteorder("=")
    return StoredZarr(
        files=files, where=where, shape=shape, chunks=chain.shape, dtype=dtype, fill_value=fill,
        chain=chain, keys=keys, shards=shards,
    )  # fmt: skip


def _get(found: Any, key: str) -> Any:
    """Return what an object has under a key; None where either is not there."""
    return found.get(key) if isinstance(found, dict) else None


def _numbers(found: Any, key: str, where: str) -> tuple[int, ...]:
    stated = _get(found, key)
    if not isinstance(stated, list) or not 0 < len(stated) <= AXES_LIMIT:
        raise UnreadableError(f"{where}: {key}", repr(stated)[:60], "a list of lengths")
    if not all(type(n) is int and 0 <= n < 2**48 for n in stated):
        raise UnreadableError(f"{where}: {key}", repr(stated)[:60], "whole lengths")
    return tuple(stated)


def _separator(stated: Any, where: str) -> str:
    if stated not in (".", "/"):
        raise UnreadableError(f"{where}: separator", repr(stated)[:20], "'.' or '/'")
    return str(stated)


def _codec(name: Any, known: tuple[str, ...], where: str) -> str:
    if name not in known:
        raise UnknownFormatError(
            f"{where}: codec", repr(name)[:40], "one of " + ", ".join(known),
            "store it with one of these",
        )  # fmt: skip
    return str(name)
