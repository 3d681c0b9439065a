"""What a commit gives a recording, which version its id then means, and what a dead one leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurodata.store import Store, catalog, open_store
from neurodata.store.commit import LOCK, STAGING
from neurodata.store.manifest import NAME
from tests.invariants import assert_store_ok


def synthetic_tree(seed: int = 0) -> xr.DataTree:
    node = xr.Dataset({"v": ("x", np.arange(9) + seed)})
    root = xr.Dataset(attrs={"modality": "eeg", "id": "elsewhere", "dataset": "elsewhere"})
    return xr.DataTree.from_dict({"/": root, "n": node})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store", create=True)


def publish(store: Store, recording: str, seed: int) -> tuple[str, str, str]:
    made = store.publish(synthetic_tree(seed), dataset="lab", recording=recording)
    return made.status, made.id, made.version


def test_a_recording_is_told_by_the_id_that_it_is_stored_under(store: Store) -> None:
    tree = synthetic_tree()
    store.publish(tree, dataset="lab", recording="r1")
    for attrs in (store["lab/r1"].attrs, store.manifest("lab/r1")["attrs"]):
        assert (attrs["id"], attrs["dataset"]) == ("lab/r1", "lab")
    assert tree.attrs["id"] == "elsewhere"  # what was given stays as it was


def test_a_recording_that_returns_to_what_it_was_gets_its_own_version_back(store: Store) -> None:
    publish(store, "r1", 0)
    publish(store, "r2", 1)
    status, name, version = publish(store, "r2", 0)  # as r1, but r2 had other content before
    assert (status, name) == ("new", "lab/r2")
    publish(store, "r2", 1)
    assert publish(store, "r2", 0) == ("same", "lab/r2", version)
    assert store.version("lab/r2") == version
    assert publish(store, "r3", 0)[0] == "alias"
    assert_store_ok(store.path)


@pytest.mark.parametrize("now_ns", [5, 10**18])
def test_a_later_version_is_the_newest_while_the_clock_stands(
    store: Store, monkeypatch: pytest.MonkeyPatch, now_ns: int
) -> None:
    monkeypatch.setattr("neurodata.store.commit.time.time_ns", lambda: now_ns)
    made = [publish(store, "r1", seed)[2] for seed in range(4)]
    assert store.versions("lab/r1") == made[::-1]
    dates = [(store.folder(f"lab/r1@{one}") / NAME).stat().st_mtime_ns for one in made]
    assert dates == [now_ns + n for n in range(4)]


def dead(store: Store, manifest: Any) -> None:
    """A writer that died after it had made the folders of its recording."""
    folder = store.path / STAGING / "0123"
    folder.mkdir()
    folder.with_suffix(".lock").touch()
    (folder / NAME).write_text(json.dumps(manifest))


def test_empty_folders_of_a_dead_writer_go_and_others_stay(store: Store) -> None:
    publish(store, "r1", 0)
    for name in ("lab/r2", "clinic/r9", "precious"):
        (store.path / name).mkdir(parents=True)
    for dataset, recording in (("lab", "r2"), ("clinic", "r9"), ("lab", "r1")):
        dead(store, {"dataset": dataset, "recording": recording})
        assert store.sweep() == 1
    assert not (store.path / "lab" / "r2").exists()
    assert not (store.path / "clinic").exists()
    assert (store.path / "precious").is_dir()
    assert store.ids() == ["lab/r1"]
    assert [path.name for path in (store.path / STAGING).iterdir()] == [LOCK]


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        [],
        {"dataset": 3, "recording": "x"},
        {"dataset": "..", "recording": "x"},
        {"dataset": "lab", "recording": "../x"},
    ],
)
def test_a_manifest_of_a_dead_writer_leads_to_no_other_folder(
    store: Store, tmp_path: Path, manifest: Any
) -> None:
    (tmp_path / "x").mkdir()
    (store.path / "x").mkdir()
    dead(store, manifest)
    assert store.sweep() == 1
    assert (tmp_path / "x").is_dir()
    assert (store.path / "x").is_dir()
    assert not (store.path / catalog.FILE).exists()
