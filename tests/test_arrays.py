"""The direct reader of stored arrays against zarr-python, and with bytes damaged."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from neurodata import compiled
from neurodata.errors import IntegrityError
from neurodata.store import Store, open_store
from neurodata.store.arrays import StoredArray
from neurodata.store.decode import decode_box
from neurodata.store.version import StoredVersion


@pytest.fixture(autouse=True, params=["plain", "compiled"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let chunks be decoded with and without the compiled loop."""
    monkeypatch.setattr(compiled, "_ready", {})
    if request.param == "compiled":
        pytest.importorskip("numba")
        assert compiled.wait_compiled("decode_chunks", np.dtype("u1")) is not None
    else:
        monkeypatch.setenv(compiled.OFF, "1")
    return str(request.param)


def boxes(shape: tuple[int, ...], count: int = 6) -> list[tuple[slice, ...]]:
    """Boxes of many shapes, empty and whole ones too."""
    rng = np.random.default_rng(len(shape))
    found = [tuple(slice(0, n) for n in shape), tuple(slice(n // 2, n // 2) for n in shape)]
    for _ in range(count):
        ends = [np.sort(rng.integers(0, n + 1, 2)).tolist() for n in shape]
        found.append(tuple(slice(a, b) for a, b in ends))
    return found


def every_array(version: StoredVersion) -> list[StoredArray]:
    return [array for node in version.nodes.values() for array in node.arrays.values()]


def test_every_box_of_every_sample_equals_what_zarr_reads(sample_store: Store) -> None:
    seen = 0
    for name in sample_store.ids():
        root = zarr.open_group(sample_store.zarr(name), mode="r")
        for array in every_array(sample_store.arrays(name)):
            expected = np.asarray(root[array.key])
            assert array.dims == (root[array.key].metadata.dimension_names or ())
            for box in boxes(array.shape, 6 if array.nbytes < 3e7 else 2):
                np.testing.assert_array_equal(array.read(box), expected[box], err_msg=array.key)
                seen += 1
    assert seen > 500


def test_trees_are_those_that_plain_xarray_opens(sample_store: Store, way: str) -> None:
    if way == "compiled":
        pytest.skip("chunks alone are decoded in two ways")
    for name in sample_store.ids():
        tree = sample_store.raw(name)
        plain = xr.open_datatree(
            sample_store.zarr(name), engine="zarr", consolidated=False, chunks=None,
            mask_and_scale=False, decode_times=False,
        )  # fmt: skip
        assert [node.path for node in tree.subtree] == sorted(node.path for node in plain.subtree)
        for node in tree.subtree:
            found = plain[node.path]
            assert isinstance(found, xr.DataTree)
            expected = found.to_dataset(inherit=False)
            expected.attrs.pop("ome", None)
            xr.testing.assert_identical(node.to_dataset(inherit=False).load(), expected.load())


def test_attributes_and_sizes_are_those_of_the_tree(sample_store: Store) -> None:
    for name in sample_store.ids():
        tree, version = sample_store.raw(name), sample_store.arrays(name)
        paths = {path for path, _ in tree.subtree_with_keys}
        assert paths == set(version.nodes)
        for path, node in tree.subtree_with_keys:
            stored = version.nodes[path]
            assert dict(node.attrs) == dict(stored.attrs)
            assert {str(k): v for k, v in node.sizes.items()} == stored.sizes
            assert set(map(str, node.variables)) == set(stored.arrays)
            for name, variable in node.variables.items():
                assert dict(variable.attrs) == dict(stored.arrays[str(name)].attrs)


def big(store: Store) -> StoredArray:
    """A sharded array of a sample."""
    return store.arrays("eeg_fp1/test_utf8").nodes["eeg"].arrays["signal_adc"]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


def shard_of(array: StoredArray) -> Path:
    path, *_ = array.ranges(tuple(slice(0, 1) for _ in array.shape))[0]
    return Path(array.files.where, path)


def test_a_flipped_bit_anywhere_in_a_chunk_is_an_error(own_store: Store) -> None:
    array = big(own_store)
    whole = tuple(slice(0, n) for n in array.shape)
    path = shard_of(array)
    clean = path.read_bytes()
    for at in np.random.default_rng(0).integers(0, len(clean), 60):
        flip(path, int(at))
        with pytest.raises(IntegrityError):
            big(own_store).read(whole)
        path.write_bytes(clean)
    big(own_store).read(whole)


def test_the_loop_does_the_work_where_it_can(sample_store: Store, way: str) -> None:
    array = big(sample_store)
    box = tuple(slice(0, n) for n in array.shape)
    out = np.empty(array.shape, array.dtype)
    assert decode_box(array, box, out) == (way == "compiled")
    transposed = np.empty(array.shape[::-1], array.dtype).T
    assert not decode_box(array, box, transposed)
    np.testing.assert_array_equal(array.read(box, transposed), array.read(box))


def test_a_file_that_is_cut_short_or_gone_is_an_error_and_no_crash(own_store: Store) -> None:
    array = big(own_store)
    whole = tuple(slice(0, n) for n in array.shape)
    array.read(whole)
    path = shard_of(array)
    os.truncate(path, 1000)
    with pytest.raises(IntegrityError, match="bytes"):
        array.read(whole)
    path.unlink()
    with pytest.raises(IntegrityError):
        own_store.arrays("eeg_fp1/test_utf8").nodes["eeg"].arrays["signal_adc"].read(whole)


def test_changed_metadata_is_an_error(own_store: Store) -> None:
    array = big(own_store)
    flip(Path(array.files.where, "data.zarr", "eeg", "signal_adc", "zarr.json"), 30)
    with pytest.raises(IntegrityError, match="sha256"):
        _ = own_store.arrays("eeg_fp1/test_utf8").nodes


@pytest.mark.parametrize("kind", ["?", "i1", "u2", "i4", "i8", "f2", "f4", "f8", "c8"])
@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("layout", ["default", "small", "random"])
def test_every_dtype_comes_back_compressed_and_plain(
    tmp_path: Path, kind: str, noise: bool, layout: str
) -> None:
    """Synthetic numbers, some that compress and some that do not, against what was written."""
    random = np.random.default_rng(1)
    shape = (90_000, 7)
    raw = random.integers(0, 256, (*shape, np.dtype(kind).itemsize), "u1") if noise else None
    values = np.zeros(shape, kind) if raw is None else raw.view(kind)[..., 0]
    if kind == "?":
        values = random.integers(0, 2, shape).astype(bool) if noise else values
    elif noise and np.dtype(kind).kind in "fc":
        values = random.normal(size=shape).astype(kind)
    node = xr.Dataset({"signal": (("time", "channel"), values)}, attrs={"representation": "x"})
    tree = xr.DataTree.from_dict({"/": xr.Dataset(), "a": node})
    store = open_store(tmp_path, create=True)
    store.publish(tree, dataset="lab", recording="r", layout=layout)
    array = store.arrays("lab/r").nodes["a"]["signal"]
    for box in boxes(shape):
        np.testing.assert_array_equal(array.read(box), values[box])
    path = shard_of(array)
    flip(path, path.stat().st_size // 3)
    with pytest.raises(IntegrityError):
        store.arrays("lab/r").nodes["a"]["signal"].read(tuple(slice(0, n) for n in shape))


def test_runs_are_the_ranges_in_as_few_pieces_as_their_gaps_allow(sample_store: Store) -> None:
    joined = 0
    for name in sample_store.ids():
        for array in every_array(sample_store.arrays(name)):
            for box in boxes(array.shape):
                ranges, runs = array.ranges(box), array.runs(box)
                for path, start, length in ranges:
                    holding = [r for r in runs if r[0] == path and r[1] <= start]
                    assert any(start + length <= r[1] + r[2] for r in holding)
                starts = {(path, start) for path, start, _ in ranges}
                stops = {(path, start + length) for path, start, length in ranges}
                assert all((p, a) in starts and (p, a + n) in stops for p, a, n in runs)
                joined += len(ranges) - len(runs)
    assert joined > 30


def test_local_chunks_are_asked_for_before_they_are_read(
    sample_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    array = big(sample_store)
    monkeypatch.setattr(os, "posix_fadvise", lambda _, start, n, __: asked.append((start, n)))
    whole = tuple(slice(0, n) for n in array.shape)
    array.files.fetch(array.runs(whole))
    assert asked == [(start, n) for _, start, n in array.runs(whole)]
    assert asked


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="the kernel cannot be asked")
def test_what_the_kernel_does_not_have_at_hand_waits(
    sample_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = big(sample_store)
    whole = tuple(slice(0, n) for n in array.shape)
    array.read(whole)
    assert not array.waits(whole)

    def cold(*_: object) -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "preadv", cold)
    assert array.waits(whole)
