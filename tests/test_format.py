"""The format's page, followed by code of its own: digests and versions of stored recordings."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import example, given
from hypothesis import strategies as st

from neurodata.pipeline import names
from neurodata.store import Store
from neurodata.store.layout import tile

MIB = 2**20


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def documented_tile(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The tile as the page words it."""
    axes = [n or 1 for n in shape]
    if len(axes) < 3:
        rows = max(1, 8 * MIB // (int(np.prod(axes[1:])) * itemsize)) if axes else 0
        return (min(axes[0], rows), *axes[1:]) if axes else ()
    taken = [min(512, n) for n in axes[-2:]]
    for back, n in enumerate(reversed(axes[:-2])):
        fits = max(1, 32 * MIB // (int(np.prod(taken)) * itemsize))
        if back == 0:
            count = n if fits >= n else max(1, fits - fits % 32)
        else:
            count = min(n, fits) if taken == axes[-len(taken) :] else 1
        taken.insert(0, count)
    return tuple(taken)


@given(
    st.lists(st.integers(0, 3000), max_size=5).map(tuple),
    st.sampled_from([1, 2, 4, 8, 16]),
)
@example((512, 2048, 2048), 2)
@example((40, 3, 100, 600, 600), 4)
def test_tiles_are_those_of_the_page(shape: tuple[int, ...], itemsize: int) -> None:
    assert tile(shape, itemsize) == documented_tile(shape, itemsize)


def array_digest(array: zarr.Array[Any]) -> str:
    values = np.asarray(array[...])
    text = values.dtype.kind in "OTU"
    kind = "text" if text else values.dtype.newbyteorder("<").str
    dims: Any = getattr(array.metadata, "dimension_names", None) or ()
    digest = hashlib.sha256(canonical([kind, list(dims), list(array.shape)]))
    step = documented_tile(array.shape, 16 if text else values.dtype.itemsize)
    starts = [range(0, n, s) for n, s in zip(array.shape, step, strict=True)]
    for corner in itertools.product(*starts):
        block = values[tuple(slice(a, a + s) for a, s in zip(corner, step, strict=True))]
        if text:
            items = [str(item).encode() for item in block.ravel()]
            digest.update(b"".join(len(item).to_bytes(8, "little") + item for item in items))
        else:
            digest.update(block.astype(block.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def content(folder: Path) -> tuple[dict[str, str], str]:
    """The digests of the arrays of a stored recording, and of its content."""
    root = zarr.open_group(folder / "data.zarr", mode="r")
    arrays, attrs = {}, {}
    for key, member in [(".", root), *root.members(max_depth=None)]:
        if isinstance(member, zarr.Array):
            arrays[key] = array_digest(member)
            attrs[key if "/" in key else f"./{key}"] = dict(member.attrs)
        else:
            no_part = ("id", "dataset", "coordinates", "ome")
            attrs[key] = {k: v for k, v in member.attrs.items() if k not in no_part}
    return arrays, hashlib.sha256(canonical({"arrays": arrays, "attrs": attrs})).hexdigest()


@pytest.mark.parametrize("name", names())
def test_digests_and_versions_are_those_of_the_page(sample_store: Store, name: str) -> None:
    for one in sample_store.ids(name):
        folder = sample_store.folder(one)
        data = (folder / "manifest.json").read_bytes()
        assert folder.name == hashlib.sha256(data).hexdigest()[:16]
        manifest = json.loads(data)
        assert content(folder) == (manifest["arrays"], manifest["content"])
        assert set(manifest) == {
            "format", "dataset", "recording", "content", "arrays", "files", "inputs", "reader",
            "options", "declarations", "steps", "code", "nodes", "attrs", "summary",
            "layout", "finite", "removed",
        }  # fmt: skip
        found = {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*")
            if path.is_file() and path.name != "manifest.json"
        }
        assert found == {entry["path"]: entry["sha256"] for entry in manifest["files"]}
