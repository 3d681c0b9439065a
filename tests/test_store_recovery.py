"""What is undone, kept or said when a commit, a sweep or a removal cannot go on."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from zarr.core.buffer import default_buffer_prototype

from neurodata.errors import IntegrityError, NotFoundError, StoreError
from neurodata.store import Store, catalog, commit, files, open_store, removal
from neurodata.store.chunk_cache import FOLDER, LEDGER
from neurodata.store.commit import LOCK, STAGING
from neurodata.store.manifest import NAME
from neurodata.store.ngff import multiscales
from neurodata.store.removal import JOURNAL, REMOVALS
from neurodata.store.tree import write_tree
from neurodata.store.zarr_folder import ZarrFolder
from tests.invariants import assert_store_ok

LAB: dict[str, Any] = {"dataset": "lab", "recording": "r1"}


def synthetic_tree(seed: int = 0) -> xr.DataTree:
    node = xr.Dataset(
        {"signal_adc": (("time", "channel"), np.arange(60, dtype="i2").reshape(30, 2) + seed)},
        coords={"channel": ["C0", "C1"]},
        attrs={"representation": "timeseries", "schema": "timeseries/1"},
    )
    root = xr.Dataset(attrs={"modality": "eeg", "subject": f"S{seed}"})
    return xr.DataTree.from_dict({"/": root, "eeg": node})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, as forgetting empties it."""
    monkeypatch.setenv("NEURODATA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path / "store", create=True)
    store.publish(synthetic_tree(), **LAB)
    return store


def sql(store: Store, *statements: str) -> None:
    with closing(sqlite3.connect(store.path / catalog.FILE)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def fails(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def staging(store: Store) -> list[str]:
    return sorted(p.name for p in (store.path / STAGING).iterdir() if p.name != LOCK)


# --- commits ----------------------------------------------------------------------------------


def test_a_version_that_is_there_stays_when_its_row_cannot_be_written(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store.folder("lab/r1")
    sql(store, "DELETE FROM versions")
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "put", fails)
        with pytest.raises(StoreError, match="No space left"):
            store.publish(synthetic_tree(), **LAB)
    assert folder.is_dir()
    assert store.publish(synthetic_tree(), **LAB).version == folder.name
    assert_store_ok(store.path)


def test_what_cannot_be_renamed_leaves_no_empty_folders(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fails)
        with pytest.raises(StoreError, match="No space left"):
            store.publish(synthetic_tree(1), dataset="clinic", recording="r9")
    assert not (store.path / "clinic").exists()
    assert staging(store) == []
    assert_store_ok(store.path)


@pytest.mark.parametrize("recording", ["r1", "r2"])
def test_a_pointer_that_cannot_be_written_changes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, recording: str
) -> None:
    store.publish(synthetic_tree(1), **LAB)
    old, new = store.versions("lab/r1")[1], store.versions("lab/r1")[0]
    dated = (store.folder(f"lab/r1@{old}") / NAME).stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "put", fails)
        with pytest.raises(StoreError, match="No space left"):
            store.publish(synthetic_tree(), dataset="lab", recording=recording)
    assert (store.folder(f"lab/r1@{old}") / NAME).stat().st_mtime_ns == dated
    assert store.version("lab/r1") == new
    assert "lab/r2" not in store
    assert_store_ok(store.path)


@pytest.mark.parametrize("place", ["lab", "lab/r1"])
def test_nothing_is_written_through_a_link(store: Store, tmp_path: Path, place: str) -> None:
    (store.path / place).rename(tmp_path / "elsewhere")
    (store.path / place).symlink_to(tmp_path / "elsewhere")
    before = sorted(str(path) for path in (tmp_path / "elsewhere").rglob("*"))
    with pytest.raises(StoreError, match=f"{place}: found a link; expected a folder"):
        store.publish(synthetic_tree(1), **LAB)
    assert sorted(str(path) for path in (tmp_path / "elsewhere").rglob("*")) == before


def test_a_staging_folder_that_does_not_go_is_left_to_the_next_sweep(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(files, "try_remove_tree", lambda folder: False)
        with pytest.raises(KeyError), commit.staged(store.path) as folder:
            raise KeyError
        assert staging(store) == [folder.name, f"{folder.name}.lock"]
        assert store.sweep() == 1
        assert staging(store) == [folder.name, f"{folder.name}.lock"]  # for the next one
    assert store.sweep() == 1
    assert staging(store) == []


def test_a_lock_that_was_left_beside_known_versions_goes(store: Store) -> None:
    (store.path / STAGING / "0123.lock").touch()
    before = store.catalog()
    assert store.sweep() == 0
    assert staging(store) == []
    assert store.catalog().equals(before)


def test_a_lock_that_was_left_in_an_empty_store_goes(tmp_path: Path) -> None:
    store = open_store(tmp_path / "empty", create=True)
    (store.path / STAGING / "0123.lock").touch()
    assert store.sweep() == 0
    assert staging(store) == []
    assert not (store.path / catalog.FILE).exists()


def test_an_id_is_unknown_when_all_of_its_versions_are_damaged(store: Store) -> None:
    assert store.publish(synthetic_tree(), **LAB).status == "same"  # its own other name
    (store.folder("lab/r1") / NAME).write_text("{}")
    assert len(store.rebuild()) == 1
    assert "lab/r1" not in store
    with pytest.raises(NotFoundError, match="no recording 'lab/r1'"):
        store["lab/r1"]


def test_an_array_that_became_shorter_on_the_disk_is_not_published(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = write_tree

    def shortened(tree: xr.DataTree, folder: Path, *more: Any) -> Any:
        found = real(tree, folder, *more)
        path = folder / "long" / "v" / "zarr.json"
        text = json.loads(path.read_text())
        text["shape"] = [text["chunk_grid"]["configuration"]["chunk_shape"][0]]
        path.write_text(json.dumps(text))
        return found

    monkeypatch.setattr(commit, "write_tree", shortened)
    tree = synthetic_tree()
    tree["long"] = xr.DataTree(xr.Dataset({"v": ("row", np.arange(3_000_000))}))
    with pytest.raises(IntegrityError, match=r"other bytes than written in \['long/v'\]"):
        store.publish(tree, dataset="lab", recording="long")
    assert "lab/long" not in store
    assert staging(store) == []


# --- the catalogue ----------------------------------------------------------------------------


def test_a_catalogue_that_others_hold_is_waited_for_then_said(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "BUSY_S", 0.01)
    with closing(sqlite3.connect(store.path / catalog.FILE)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="that others hold") as caught:
            store.ids()
    assert not isinstance(caught.value, IntegrityError)
    assert caught.value.hint == "run it again when they are done"
    assert store.ids() == ["lab/r1"]


def fill(store: Store) -> None:
    with catalog.connect(store.path) as connection:
        connection.execute("PRAGMA max_page_count = 1")
        connection.execute("CREATE TABLE more AS SELECT zeroblob(99999)")


def test_a_catalogue_on_a_full_disk_says_so(store: Store) -> None:
    with pytest.raises(StoreError, match="full") as caught:
        fill(store)
    assert caught.value.hint == "free some room"
    (store.path / catalog.FILE).unlink()
    (store.path / catalog.FILE).mkdir()
    with pytest.raises(StoreError, match="unable to open") as caught:
        store.publish(synthetic_tree(1), **LAB)
    assert "check the disk" in caught.value.hint


def test_an_empty_store_verifies_and_is_shown_by_its_path(tmp_path: Path) -> None:
    store = open_store(tmp_path / "new", create=True)
    assert store.verify() == []
    assert repr(store) == f"Store({str(tmp_path / 'new')!r})"


# --- removals ---------------------------------------------------------------------------------


def test_a_version_whose_folder_is_gone_is_not_pruned(store: Store) -> None:
    first = store.version("lab/r1")
    store.publish(synthetic_tree(1), **LAB)
    shutil.rmtree(store.folder(f"lab/r1@{first}"))
    assert store.prune().held == ()


def test_a_row_that_cannot_be_read_states_no_subject(store: Store) -> None:
    store.publish(synthetic_tree(1), dataset="lab", recording="r2")
    sql(store, "UPDATE versions SET attrs = '[1' WHERE recording = 'r2'")
    assert store.forget("S0").ids == ("lab/r1",)
    assert store.forget("S1").ids == ("lab/r2",)  # as its manifest says


def test_a_cache_that_cannot_be_emptied_is_a_warning(store: Store, cache: Path) -> None:
    (cache / FOLDER / LEDGER).mkdir(parents=True)
    removed = store.forget("S0", yes=True)
    assert store.ids() == []
    (warning,) = removed.problems
    assert (warning.level, warning.hint) == ("warning", "empty it")
    assert str(cache) in warning.where


def died_before(store: Store, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Prune, and let the process die before a step of it."""

    class DiedError(BaseException):
        pass

    def dies(*_: Any) -> None:
        raise DiedError

    module: Any = files if name == "remove" else removal
    with monkeypatch.context() as patch:
        patch.setattr(module, name, dies)
        with pytest.raises(DiedError):
            store.prune(yes=True)


@pytest.mark.parametrize("step", ["_unlist", "_compact", "_remember", "remove"])
def test_a_removal_that_was_begun_is_finished_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store.publish(synthetic_tree(1), **LAB)
    died_before(store, monkeypatch, step)
    assert [name for name in staging(store) if name.endswith(JOURNAL)]
    assert any("were begun" in p.found for p in store.prune().problems)
    store.sweep()
    assert [one["number"] for one in removal.tombstones(store.path)] == [1]
    assert len(store.versions("lab/r1")) == 1
    assert_store_ok(store.path)


def test_forgetting_finishes_what_was_begun_and_names_its_recordings(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.publish(synthetic_tree(1), **LAB)
    store.publish(synthetic_tree(2), dataset="lab", recording="r2")
    died_before(store, monkeypatch, "_compact")
    assert store.forget("S2", yes=True).ids == ("lab/r1", "lab/r2")
    assert_store_ok(store.path)


def test_a_forgotten_recording_means_nothing_that_it_once_pointed_to(store: Store) -> None:
    assert store.publish(synthetic_tree(), dataset="lab", recording="r2").status == "alias"
    store.publish(synthetic_tree(1), dataset="lab", recording="r2")
    store.forget("S1", yes=True)
    assert "lab/r2" not in store
    assert store.ids() == ["lab/r1"]
    assert_store_ok(store.path)


def test_what_was_not_yet_written_down_goes_with_the_next_sweep(store: Store) -> None:
    (store.path / STAGING / "0123.part").write_bytes(b"[")
    store.sweep()
    assert staging(store) == []


@pytest.mark.parametrize("text", ["{", "[1]", '[{"date": "2020-01-01"}]', '[{"number": "x"}]'])
def test_a_list_of_removals_that_cannot_be_read_stops_the_next(store: Store, text: str) -> None:
    store.publish(synthetic_tree(1), **LAB)
    (store.path / REMOVALS).write_text(text)
    with pytest.raises(StoreError, match="no readable list"):
        store.prune(yes=True)
    assert len(store.versions("lab/r1")) == 2


# --- files ------------------------------------------------------------------------------------


def test_a_scratch_file_whose_name_stays_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[int] = []
    real = os.close
    monkeypatch.setattr(os, "unlink", fails)

    def close(number: int) -> None:
        closed.append(number)
        real(number)

    monkeypatch.setattr(os, "close", close)
    with pytest.raises(OSError, match="No space left"):
        files.scratch(tmp_path / "scratch")
    assert len(closed) == 1


def test_a_folder_that_cannot_be_listed_is_not_synced(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.sync_tree(tmp_path / "absent")


def test_a_version_that_is_a_link_is_none(store: Store, tmp_path: Path) -> None:
    folder = store.folder("lab/r1")
    folder.rename(tmp_path / folder.name)
    folder.symlink_to(tmp_path / folder.name)
    with pytest.raises(IntegrityError, match="a link; expected a regular file or folder"):
        open_store(store.path)["lab/r1"]


def test_zarr_writes_a_key_that_may_not_exist_once(tmp_path: Path) -> None:
    folder, value = ZarrFolder(tmp_path), default_buffer_prototype().buffer

    async def twice() -> None:
        await folder.set_if_not_exists("a/zarr.json", value.from_bytes(b"first"))
        await folder.set_if_not_exists("a/zarr.json", value.from_bytes(b"second"))

    asyncio.run(twice())
    assert (tmp_path / "a" / "zarr.json").read_bytes() == b"first"


# --- volumes ----------------------------------------------------------------------------------


def test_an_origin_is_a_translation_in_the_unit_of_the_spacing() -> None:
    node = xr.Dataset(
        {
            "image": (("channel", "z", "y", "x"), np.zeros((1, 2, 3, 4), "u1")),
            "spacing": ("spatial", [2.0, 0.5, 0.25], {"units": "um"}),
            "origin": ("spatial", [1e-3, 2e-6, 0.0], {"units": "m"}),
        },
        {"spatial": ["z", "y", "x"]},
        {"representation": "volume"},
    )
    found: Any = multiscales(node)
    (level,) = found["multiscales"][0]["datasets"]
    scale, translation = level["coordinateTransformations"]
    assert scale == {"type": "scale", "scale": [1.0, 2.0, 0.5, 0.25]}
    assert translation["type"] == "translation"
    np.testing.assert_allclose(translation["translation"], [0, 1000, 2, 0], rtol=1e-12)
    axes = found["multiscales"][0]["axes"]
    assert axes[0] == {"name": "c", "type": "channel"}
    assert axes[1] == {"name": "z", "type": "space", "unit": "micrometer"}
