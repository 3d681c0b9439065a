"""What is looked at before a version is first read, and when every byte is compared."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from neurodata.errors import IntegrityError
from neurodata.store import Store, files, integrity, open_store
from neurodata.store.manifest import NAME, TREE, encode, version_of
from tests.test_store_refusals import INDEX_LIES, LAB, lie_in_index, synthetic_tree

ID = "lab/r1"
SHARD = "eeg/signal_adc/c/0/0"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store")
    open_store(path, create=True).publish(synthetic_tree(), **LAB)
    return path


@pytest.fixture
def store(published: Path, tmp_path: Path) -> Store:
    shutil.copytree(published, tmp_path / "store")
    return open_store(tmp_path / "store")


def test_a_file_of_another_size_is_an_error(store: Store) -> None:
    path = store.folder(ID) / TREE / SHARD
    size = path.stat().st_size
    for change in (1, -1):
        os.truncate(path, size + change)
        with pytest.raises(IntegrityError) as caught:
            open_store(store.path).raw(ID)
        problem = caught.value.problem
        assert (problem.where, problem.found, problem.expected) == (
            str(path), f"{size + change} bytes", f"{size} bytes",
        )  # fmt: skip
        assert problem.hint == integrity.AGAIN
        assert problem in open_store(store.path).verify(ID)


def test_a_damaged_shard_index_is_an_error_before_the_first_read(store: Store) -> None:
    path = store.folder(ID) / TREE / SHARD
    data = bytearray(path.read_bytes())
    data[-9] ^= 16
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=f"{SHARD}: found a damaged shard index"):
        open_store(store.path).raw(ID)


@pytest.mark.parametrize(
    ("lie", "told"),
    [("lacks a chunk", "a shard without 1 of its chunks"), ("beyond", "chunks beyond"),
     ("shard's end", "chunks beyond")],
)  # fmt: skip
def test_an_index_that_lies_is_an_error_before_the_first_read(
    store: Store, lie: str, told: str
) -> None:
    lie_in_index(store, "eeg/signal_adc", INDEX_LIES[lie])
    with pytest.raises(IntegrityError, match=f"{SHARD}: found {told}"):
        open_store(store.path).raw(ID)


def test_a_manifest_without_a_chunk_of_its_arrays_is_an_error(store: Store) -> None:
    """One that was written so: it has the name that its digest gives."""
    folder = store.folder(ID)
    manifest = json.loads((folder / NAME).read_bytes())
    path = f"{TREE}/{SHARD}"
    kept = [entry for entry in manifest["files"] if entry["path"] != path]
    assert len(kept) == len(manifest["files"]) - 1
    data = encode({**manifest, "files": kept})
    (folder / NAME).write_bytes(data)
    (folder / path).unlink()
    other = folder.rename(folder.with_name(version_of(data)))
    with pytest.raises(IntegrityError, match=f"{SHARD}: found no chunk; expected one"):
        integrity.check(other)
    assert [problem.where for problem in integrity.verify(other)] == [str(other / path)]


@pytest.mark.parametrize("place", ["lab", "lab/r1"])
def test_folders_above_a_version_are_no_links(store: Store, tmp_path: Path, place: str) -> None:
    (store.path / place).rename(tmp_path / "elsewhere")
    (store.path / place).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IntegrityError, match=f"{place}: found a link; expected a folder"):
        open_store(store.path).raw(ID)
    found = open_store(store.path).verify(ID)
    assert [problem.where for problem in found] == [str(store.path / place)]


def test_a_disk_that_does_not_give_the_bytes_is_a_finding(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.sha256

    def sha256(path: Path, *more: object) -> str:
        if path.parts[-5:] == tuple(SHARD.split("/")):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "sha256", sha256)
    (problem,) = store.verify()
    assert problem.where.endswith(SHARD)
    assert (problem.level, problem.found) == ("error", "unreadable bytes (Input/output error)")
    assert problem.hint == integrity.AGAIN
