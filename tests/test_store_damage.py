"""Damage below a recording that is read as a tree: told by name, and only where it is."""

from __future__ import annotations

import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import neurodata
from neurodata.errors import IntegrityError
from neurodata.store import Store, open_store
from neurodata.store.arrays import StoredArray
from tests.synthetic_stores import synthetic_series_store

ID = "lab/r0"
SIGNAL = "eeg/signal_adc/c/0/0"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_series_store(tmp_path_factory.mktemp("synthetic"), count=1).path


@pytest.fixture
def store(published: Path, tmp_path: Path) -> Store:
    shutil.copytree(published, tmp_path / "store")
    return open_store(tmp_path / "store")


def flip(path: Path, byte: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[byte] ^= 1 << bit
    path.write_bytes(data)


def variable(tree: xr.DataTree, path: str) -> xr.DataArray:
    found = tree[path]
    assert isinstance(found, xr.DataArray)
    return found


def read_all(store: Store) -> None:
    for node in store[ID].subtree:
        node.to_dataset().load()


def test_a_flipped_bit_in_any_array_is_told_with_recording_array_and_what_to_do(
    store: Store,
) -> None:
    tree = store.zarr(ID)
    paths = sorted(path for path in tree.rglob("*") if path.is_file() and "c" in path.parts)
    arrays = {path.relative_to(tree).as_posix().partition("/c/")[0] for path in paths}
    assert {"eeg/signal_adc", "eeg/channel", "eeg/scale", "force/signal"} <= arrays
    rng = np.random.default_rng(3)
    for path in paths:
        kept = path.read_bytes()
        flip(path, int(rng.integers(len(kept))), int(rng.integers(8)))
        with pytest.raises(IntegrityError) as caught:
            read_all(store)
        path.write_bytes(kept)
        assert caught.value.where.startswith(str(path)), path
        assert f"/{ID}/{store.version(ID)}/" in caught.value.where
        assert re.search("checksum that differs|damaged shard index", caught.value.found)
        assert caught.value.expected
        assert "ingest the source again" in caught.value.hint
    read_all(store)


def test_what_is_not_damaged_can_be_read(store: Store) -> None:
    expected = variable(store.raw(ID), "eeg/signal_adc").values
    flip(store.zarr(ID) / SIGNAL, 40)  # of the first chunk
    counts = variable(store.raw(ID), "eeg/signal_adc")
    np.testing.assert_array_equal(counts[-100:].values, expected[-100:])
    force = variable(store[ID], "force/signal")[:3, 0]
    np.testing.assert_array_equal(force, np.arange(3, dtype="f4") / 50)
    with pytest.raises(IntegrityError, match=r"chunk \(0, 0\): found a checksum that differs"):
        counts[:1].values
    signal = variable(store[ID], "eeg/signal")
    with pytest.raises(IntegrityError, match="eeg/signal_adc"):
        signal.mean().compute(scheduler="synchronous")
    with pytest.raises(IntegrityError, match="eeg/signal_adc"):
        pickle.loads(pickle.dumps(signal)).compute()


def test_a_chunk_that_is_removed_after_opening_is_an_error_and_never_zeros(store: Store) -> None:
    raw = store.raw(ID)
    (store.zarr(ID) / "force/signal/c/0/0").unlink()
    with pytest.raises(IntegrityError, match=r"force/signal/c/0/0: found no file"):
        variable(raw, "force/signal").values


def test_blocks_are_shards(store: Store) -> None:
    array = store.arrays(ID).nodes["eeg"]["signal_adc"]
    assert array.sharded
    assert variable(store.raw(ID), "eeg/signal_adc").chunks == tuple((n,) for n in array.shape)


def test_threads_that_ask_at_once_share_what_is_known_of_shards(store: Store) -> None:
    array = store.arrays(ID).nodes["eeg"]["signal_adc"]
    made = vars(StoredArray)["entries"].func
    assert made(array) is made(array) is array.entries


def test_damage_is_told_by_exchange_too(store: Store) -> None:
    pytest.importorskip("mne")
    flip(store.zarr(ID) / SIGNAL, 40)
    with pytest.raises(IntegrityError, match="eeg/signal_adc"):
        neurodata.to_mne(store[ID])


@pytest.mark.parametrize("file", ["eeg/signal_adc/zarr.json", SIGNAL])
def test_what_was_restored_from_a_copy_is_read_again(store: Store, file: str) -> None:
    copy = shutil.copytree(store.folder(ID), store.path.parent / "copy")
    flip(store.zarr(ID) / file, 500)
    for _ in range(2):
        with pytest.raises(IntegrityError):
            read_all(store)
    folder = store.folder(ID)
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    read_all(store)
