"""Is every byte of a version there and as it was written?

A missing chunk reads as zeros in Zarr, so before a version is first read every file is known
to exist with its size, small metadata to be unchanged, and every shard's index to be complete.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from neurodata.errors import IntegrityError, Problem
from neurodata.store import files
from neurodata.store.manifest import NAME, TREE, read
from neurodata.store.version import METADATA

EMPTY = 2**64 - 1
AGAIN = "restore the folder from a copy, or delete it and ingest the source again"


def check(folder: Path) -> dict[str, Any]:
    """Check a version before its first read and return its manifest.

    Raises
    ------
    IntegrityError
        When a file is missing, added or of another size, when metadata changed, or when a
        shard lacks a chunk.
    """
    manifest = read(folder)
    problems = [*_differences(folder, manifest), *_metadata(folder, manifest)]
    if not problems:
        problems = list(_shards(folder, manifest))
    for problem in problems:
        raise IntegrityError(problem.where, problem.found, problem.expected, problem.hint)
    return manifest


def verify(folder: Path, spent: Callable[[int], None] | None = None) -> list[Problem]:
    """Compare every byte of a version with its manifest and return all findings.

    ``spent`` gets the number of bytes of each block that was read.
    """
    try:
        manifest = read(folder)
        problems = list(_differences(folder, manifest))
    except IntegrityError as error:
        return [error.problem]
    for entry in manifest["files"]:
        problems += _bytes(folder / entry["path"], entry["sha256"], spent)
    return problems or list(_shards(folder, manifest))


def _bytes(
    path: Path, sha256: str, spent: Callable[[int], None] | None = None
) -> Iterator[Problem]:
    """Compare the bytes of a file that is there; a disk that does not give them is a finding."""
    try:
        if path.is_file() and files.sha256(path, spent) != sha256:
            yield Problem("error", str(path), "changed bytes", "the sha256 of the manifest", AGAIN)
    except OSError as error:
        yield Problem("error", str(path), f"unreadable bytes ({error.strerror})", "a file", AGAIN)


def _differences(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Problem]:
    for place in (folder.parent.parent, folder.parent):
        if place.is_symlink():
            yield Problem("error", str(place), "a link", "a folder", AGAIN)
    wanted = {entry["path"]: entry["size"] for entry in manifest["files"]}
    found = {path: size for path, size in files.listing(folder).items() if path != NAME}
    for path in sorted(wanted.keys() | found.keys()):
        if path not in found:
            yield Problem("error", str(folder / path), "no file", f"{wanted[path]} bytes", AGAIN)
        elif path not in wanted:
            yield Problem("error", str(folder / path), "an added file", "none", AGAIN)
        elif found[path] != wanted[path]:
            size = f"{found[path]} bytes"
            yield Problem("error", str(folder / path), size, f"{wanted[path]} bytes", AGAIN)


def _metadata(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Problem]:
    for entry in manifest["files"]:
        if entry["path"].endswith("/" + METADATA):
            yield from _bytes(folder / entry["path"], entry["sha256"])


def _shards(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Problem]:
    paths = {entry["path"] for entry in manifest["files"]}
    for path in sorted(paths):
        if path.startswith(TREE + "/") and path.endswith("/" + METADATA):
            array = json.loads((folder / path).read_bytes())
            if array.get("node_type") == "array":
                yield from _array(folder, path.removesuffix(METADATA), array, paths)


def _array(
    folder: Path, prefix: str, array: Mapping[str, Any], paths: set[str]
) -> Iterator[Problem]:
    shape = array["shape"]
    outer = array["chunk_grid"]["configuration"]["chunk_shape"]
    inner = next((c for c in array["codecs"] if c["name"] == "sharding_indexed"), None)
    for at in product(*(range(math.ceil(n / c)) for n, c in zip(shape, outer, strict=True))):
        path = prefix + "/".join(["c", *map(str, at)])
        if path not in paths:
            yield Problem("error", str(folder / path), "no chunk", "one", AGAIN)
        elif inner is not None:
            wanted = _inside(at, shape, outer, inner["configuration"]["chunk_shape"])
            yield from _index(folder / path, wanted)


def _inside(
    at: tuple[int, ...], shape: list[int], outer: list[int], inner: list[int]
) -> np.ndarray[Any, Any]:
    """Return which inner chunks of a shard hold a part of the array, as a boolean grid."""
    grid = np.ones([o // i for o, i in zip(outer, inner, strict=True)], dtype=bool)
    for axis, (a, n, o, i) in enumerate(zip(at, shape, outer, inner, strict=True)):
        used = math.ceil(min(o, n - a * o) / i)
        grid[(slice(None),) * axis + (slice(used, None),)] = False
    return grid


def _index(path: Path, wanted: np.ndarray[Any, Any]) -> Iterator[Problem]:
    """Check a shard's index, its last ``16 n + 4`` bytes (Zarr v3, sharding codec 1.0)."""
    length = 16 * wanted.size + 4
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(max(0, size - length))
        data = stream.read()
    if len(data) != length or google_crc32c.value(data[:-4]) != int.from_bytes(data[-4:], "little"):
        yield Problem("error", str(path), "a damaged shard index", "an intact one", AGAIN)
        return
    index = np.frombuffer(data[:-4], "<u8").reshape(*wanted.shape, 2)
    start, count = index[..., 0], index[..., 1]
    absent = (start == EMPTY) & wanted
    if absent.any():
        found = f"a shard without {int(absent.sum())} of its chunks"
        yield Problem("error", str(path), found, "all of them", AGAIN)
    elif ((start > size - length) | (start + count > size - length))[wanted].any():
        yield Problem("error", str(path), "chunks beyond the shard's end", "none", AGAIN)
