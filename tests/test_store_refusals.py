"""What the store refuses: disks that lie or fail, metadata of another form, lost and stray rows."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import xarray as xr

from neurodata.errors import IntegrityError, InvalidInputError, StoreError
from neurodata.store import Store, catalog, commit, files, manifest, open_store, tree
from neurodata.store.manifest import NAME, TREE
from neurodata.store.version import _array

LAB: dict[str, Any] = {"dataset": "lab", "recording": "r1"}


def synthetic_tree(seed: int = 0, samples: int = 60_000) -> xr.DataTree:
    """Numbers that compress and noise that does not, in shards of several chunks, and text."""
    rng = np.random.default_rng(seed)
    node = xr.Dataset(
        {"signal_adc": (("time", "channel"), rng.integers(0, 9, (samples, 8)).astype("i2"))},
        coords={"channel": [f"C{i}" for i in range(8)]},
        attrs={"representation": "timeseries", "schema": "timeseries/1"},
    )
    noise = xr.Dataset({"v": (("row", "column"), rng.integers(0, 2**62, (samples, 8)))})
    root = xr.Dataset(attrs={"modality": "eeg"})
    return xr.DataTree.from_dict({"/": root, "eeg": node, "noise": noise})


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store")
    open_store(path, create=True).publish(synthetic_tree(), **LAB)
    return path


@pytest.fixture
def store(published: Path, tmp_path: Path) -> Store:
    shutil.copytree(published, tmp_path / "store")
    return open_store(tmp_path / "store")


def left(store: Store) -> list[str]:
    return sorted(p.name for p in (store.path / ".staging").iterdir() if p.name != "commit.lock")


# --- disks that lie or fail -------------------------------------------------------------------


def flip(path: Path, at: int = 9) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


LIES: dict[str, Callable[[Path], None]] = {
    "a file cut short": lambda tree: os.truncate(tree / "eeg/signal_adc/c/0/0", 99),
    "a file that is gone": lambda tree: (tree / "eeg/signal_adc/c/0/0").unlink(),
    "a changed chunk": lambda tree: flip(tree / "eeg/signal_adc/c/0/0"),
    "a changed text": lambda tree: flip(tree / "eeg/channel/c/0"),
    "an array that is gone": lambda tree: shutil.rmtree(tree / "noise/v"),
    "an array of nobody": lambda tree: _copied(tree / "noise/v", tree / "noise/w"),
    "a link": lambda tree: (tree / "link").symlink_to("/etc/hostname"),
}


def _copied(source: Path, target: Path) -> None:
    shutil.copytree(source, target)


@pytest.mark.parametrize("lie", LIES)
def test_what_the_disk_does_not_give_back_is_not_published(
    store: Store, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tree.write_tree

    def lying(given: Any, folder: Path, preset: Any) -> Any:
        done = real(given, folder, preset)
        LIES[lie](folder)
        return done

    monkeypatch.setattr(commit, "write_tree", lying)
    before = store.versions("lab/r1")
    with pytest.raises(IntegrityError):
        store.publish(synthetic_tree(1), **LAB)
    assert store.versions("lab/r1") == before
    assert left(store) == []
    assert store.verify() == []


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.EIO, "check the disk"), (errno.ENOSPC, "free some"), (errno.EDQUOT, "free some")],
)
def test_a_disk_that_fails_at_any_sync_is_a_store_error(
    store: Store, number: int, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every fsync of a commit in turn, until one commit does with fewer."""
    real, failed = os.fsync, list[StoreError]()
    before = store.versions("lab/r1")
    for nth in range(1000):
        calls = [0]

        def fails(descriptor: int, nth: int = nth, calls: list[int] = calls) -> None:
            calls[0] += 1
            if calls[0] == nth + 1:
                raise OSError(number, os.strerror(number))
            real(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fails)
            try:
                store.publish(synthetic_tree(2, 3000), **LAB)
            except StoreError as error:
                failed.append(error)
            else:
                break
        assert left(store) == []
        assert [p for p in store.verify() if p.level == "error"] == []
    assert all(hint in error.hint and "bytes free" in error.found for error in failed)
    assert len(failed) >= 8  # files and folders of the tree, manifest, version, parents
    assert len(store.versions("lab/r1")) == len(before) + 1
    assert store.verify() == []


def test_a_commit_that_died_before_its_row_is_finished_by_the_next(store: Store) -> None:
    version = store.version("lab/r1")
    with sqlite3.connect(store.path / catalog.FILE) as connection:
        connection.execute("DELETE FROM versions")
    connection.close()
    assert store.ids() == []
    again = store.publish(synthetic_tree(), **LAB)
    assert (again.status, again.id, again.version) == ("new", "lab/r1", version)
    assert store.ids() == ["lab/r1"]
    assert store.verify() == []
    assert left(store) == []


def test_a_sweep_enters_no_damaged_version(store: Store) -> None:
    with sqlite3.connect(store.path / catalog.FILE) as connection:
        connection.execute("DELETE FROM versions")
    connection.close()
    shutil.rmtree(next(store.path.glob("lab/r1/*")) / TREE / "noise")
    (store.path / ".staging" / "0123.lock").touch()
    assert store.sweep() == 0
    assert store.ids() == []
    assert left(store) == []


def test_an_alias_keeps_its_meaning_when_a_version_is_gone(store: Store) -> None:
    store.publish(synthetic_tree(), dataset="lab", recording="r2")
    assert store.version("lab/r2") == store.version("lab/r1")
    shutil.rmtree(store.folder("lab/r1"))
    assert "lab/r2" not in store
    made = store.publish(synthetic_tree(), dataset="lab", recording="r2")
    assert (made.status, made.id) == ("new", "lab/r2")


# --- catalogue and manifests ------------------------------------------------------------------


def test_rows_without_versions_and_of_other_facts_are_errors(store: Store) -> None:
    store.publish(synthetic_tree(1), dataset="lab", recording="r2")
    shutil.rmtree(store.folder("lab/r2"))
    with sqlite3.connect(store.path / catalog.FILE) as connection:
        connection.execute("UPDATE versions SET attrs = '{}' WHERE recording = 'r1'")
    connection.close()
    found = [(p.level, p.found) for p in store.verify()]
    assert found == [
        ("error", "a version that the catalogue describes otherwise"),
        ("error", "a catalogue row without a version"),
    ]
    assert store.rebuild() == []
    assert store.verify() == []
    assert store.ids() == ["lab/r1"]


def test_a_store_whose_catalogue_vanishes_has_no_recordings_until_it_is_rebuilt(
    store: Store,
) -> None:
    (store.path / catalog.FILE).unlink()
    assert store.ids() == store.versions("lab/r1") == store.datasets() == []
    assert "lab/r1" not in store
    assert store.rebuild() == []
    assert store.ids() == ["lab/r1"]


def test_a_recording_of_attributes_alone_has_a_row(tmp_path: Path) -> None:
    store = open_store(tmp_path, create=True)
    store.publish(xr.DataTree(xr.Dataset(attrs={"modality": "eeg", "subject": "s"})), **LAB)
    (row,) = store.catalog().to_dict("records")
    assert (row["id"], row["nodes"], row["subject"]) == ("lab/r1", "", "s")
    assert store.verify() == []


def test_manifests_of_another_form_or_place_are_refused(store: Store) -> None:
    folder = store.folder("lab/r1")
    content = json.loads((folder / NAME).read_bytes())
    data = manifest.encode({**content, "format": "neurodata-manifest/2"})
    other = folder.with_name(manifest.version_of(data))
    shutil.copytree(folder, other)
    (other / NAME).write_bytes(data)
    with pytest.raises(IntegrityError, match=r"neurodata-manifest/2.*update neurodata"):
        manifest.read(other)
    (other / NAME).unlink()
    with pytest.raises(IntegrityError, match="no manifest"):
        manifest.read(other)
    shutil.copy(folder / NAME, other / NAME)
    with pytest.raises(IntegrityError, match=f"digest begins with {folder.name}"):
        manifest.read(other)


def test_code_that_is_not_installed_has_no_known_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    assert manifest.code()["version"] != "unknown"
    monkeypatch.setattr(manifest, "version", absent)
    assert manifest.code() == {"name": "neurodata-store", "version": "unknown"}


def test_a_remote_store_is_never_created() -> None:
    with pytest.raises(InvalidInputError, match="create with an address"):
        open_store("https://localhost/store", create=True)


# --- arrays that are not what was written -----------------------------------------------------


FORM: dict[str, Any] = {
    "shape": [4], "data_type": "int16", "node_type": "array", "attributes": {},
    "chunk_grid": {"configuration": {"chunk_shape": [4]}},
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
}  # fmt: skip
SHARDED = {"name": "sharding_indexed", "configuration": {
    "chunk_shape": [2], "codecs": FORM["codecs"],
    "index_codecs": [{"name": "bytes"}, {"name": "crc32c"}],
}}  # fmt: skip


def coded(*codecs: Any) -> dict[str, Any]:
    return {**FORM, "codecs": list(codecs)}


OTHER_FORMS = {
    "another codec": coded({"name": "bytes"}, {"name": "gzip"}),
    "another order of codecs": coded({"name": "bytes"}, {"name": "crc32c"}, {"name": "blosc"}),
    "no bytes": coded({"name": "crc32c"}),
    "big endian": coded({"name": "bytes", "configuration": {"endian": "big"}}),
    "times": {**FORM, "data_type": "datetime64[ns]"},
    "an index without checksum": coded(
        {**SHARDED, "configuration": {**SHARDED["configuration"], "index_codecs": []}}  # type: ignore[dict-item]
    ),
}


@pytest.mark.parametrize("story", OTHER_FORMS)
def test_arrays_that_this_library_never_writes_are_refused(story: str) -> None:
    sound: Any = object()
    assert _array(sound, "a/b", FORM).checked
    assert _array(sound, "a/b", coded(SHARDED)).chunks == (2,)
    with pytest.raises(StoreError, match=r"a form of docs/format\.md"):
        _array(sound, "a/b", OTHER_FORMS[story])


def lie_in_index(store: Store, key: str, change: Callable[[Any, int], None]) -> Any:
    """Change the index of an array's first shard, with its checksum made right; return a reader."""
    array = store.arrays("lab/r1").nodes[key.split("/")[0]].arrays[key.split("/")[1]]
    assert array.sharded
    length = array._index_length
    path = store.folder("lab/r1") / array._path((0, 0))
    data = bytearray(path.read_bytes())
    index = np.frombuffer(bytes(data[-length:-4]), "<u8").reshape(-1, 2).copy()
    change(index, len(data) - length)
    data[-length:] = index.tobytes() + google_crc32c.value(index.tobytes()).to_bytes(4, "little")
    path.write_bytes(data)
    return (
        open_store(store.path).arrays("lab/r1").nodes[key.split("/")[0]].arrays[key.split("/")[1]]
    )


def absent(index: Any, _: int) -> None:
    index[0] = 2**64 - 1


def beyond(index: Any, end: int) -> None:
    index[0] = end - 10, 11


def far_beyond(index: Any, _: int) -> None:
    index[0] = 2**64 - 9, 9


def shorter(index: Any, _: int) -> None:
    index[0, 1] -= 1


def to_another(index: Any, _: int) -> None:
    index[0, 0] += 1


INDEX_LIES = {
    "lacks a chunk": absent, "beyond": beyond, "shard's end": far_beyond,
    "chunk": shorter, "checksum": to_another,
}  # fmt: skip


@pytest.mark.parametrize("key", ["eeg/signal_adc", "noise/v"])
@pytest.mark.parametrize("message", INDEX_LIES)
def test_a_lying_shard_index_is_an_error_on_reading(store: Store, key: str, message: str) -> None:
    array = lie_in_index(store, key, INDEX_LIES[message])
    box = tuple(slice(0, n) for n in array.shape)
    for part in (box, (slice(1, 3), box[1])):
        with pytest.raises(IntegrityError, match=message):
            array.read(part)


def test_an_index_may_reach_the_shards_end(store: Store) -> None:
    array = lie_in_index(store, "noise/v", lambda index, end: None)
    assert array.read((slice(0, 2), slice(0, 8))).shape == (2, 8)


def test_an_index_with_another_checksum_is_an_error_on_reading(store: Store) -> None:
    array = store.arrays("lab/r1").nodes["noise"].arrays["v"]
    flip(store.folder("lab/r1") / array._path((0, 0)), -1)
    array = open_store(store.path).arrays("lab/r1").nodes["noise"].arrays["v"]
    with pytest.raises(IntegrityError, match="damaged shard index"):
        array.read((slice(0, 1), slice(0, 1)))


# --- files ------------------------------------------------------------------------------------


def test_a_version_holds_regular_files_only(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"123")
    assert files.listing(tmp_path) == {"a/b": 3}
    os.mkfifo(tmp_path / "a" / "pipe")
    with pytest.raises(IntegrityError, match="pipe"):
        files.listing(tmp_path)
    (tmp_path / "a" / "pipe").unlink()
    (tmp_path / "folder").symlink_to(tmp_path / "a")
    with pytest.raises(IntegrityError, match="folder"):
        files.listing(tmp_path)


def test_files_are_never_written_over(tmp_path: Path) -> None:
    files.write(tmp_path / "a", b"1")
    with pytest.raises(FileExistsError):
        files.write(tmp_path / "a", b"2")
    assert files.write_parts(tmp_path / "b", [b"12", np.arange(3, dtype="u1"), b""]) == 5
    with pytest.raises(FileExistsError):
        files.write_parts(tmp_path / "b", [b"2"])
    assert (tmp_path / "b").read_bytes() == b"12\0\1\2"
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match="symbolic link"):
        files.sha256(tmp_path / "link")


def test_a_sync_that_fails_in_its_thread_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="Input/output"), files.Syncing(tmp_path) as syncing:
        syncing.finish()
