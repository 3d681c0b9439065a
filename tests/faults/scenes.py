"""Small stores, and what is done to them while the disk fails: synthetic recordings only."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from neurodata.errors import StoreError
from neurodata.ingestion import Result, ingest
from neurodata.store import Store, open_store
from neurodata.store.commit import LOCK, STAGING, versions
from tests.invariants import assert_store_ok

DECLARED = {"units.*": "dF/F", "modality": "calcium"}
ALIAS = "synthetic/r2"
Versions = dict[str, str]


def synthetic_tree(seed: int = 0) -> xr.DataTree:
    """A recording of one node with numbers and text, as few files as there can be."""
    node = xr.Dataset(
        {"signal": (("time", "channel"), np.arange(8.0).reshape(4, 2) + seed, {"units": "V"})},
        {"channel": ["a", "µ"]},
        {"representation": "timeseries", "start_s": 0.0, "rate_hz": 2.0, "n": 4},
    )
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": "eeg"}), "eeg": node})


def synthetic_traces(folder: Path, seed: int = 0, name: str = "cells") -> Path:
    """A raw folder with one table of traces."""
    folder.mkdir(exist_ok=True)
    rows = [f"{n / 10},{seed + n},{seed + n % 3}" for n in range(8)]
    (folder / f"{name}.csv").write_text("\n".join(["time_s,a,b", *rows, ""]))
    return folder


def publish(root: Path, seed: int = 0, recording: str = "r1") -> None:
    """Publish a recording."""
    store = open_store(root, create=True)
    store.publish(synthetic_tree(seed), dataset="synthetic", recording=recording)


def ingested(raw: Path, root: Path, **facts: str) -> Result:
    """Ingest a raw folder of traces, of which some facts are declared."""
    return ingest(raw, store=root, dataset="synthetic", declare={**DECLARED, **facts})


def ingest_traces(root: Path, seed: int = 0) -> None:
    """Write a table of traces beside the store and ingest it; all of it, or a `StoreError`."""
    result = ingested(synthetic_traces(root.parent / "raw", seed), root)
    for entry in result:
        if entry.status == "failed":
            (found,) = [problem for problem in entry.problems if problem.level == "error"]
            assert "without exceptions" not in found.expected, f"no refusal but a fault: {found}"
            raise StoreError(found.where, found.found, found.expected, found.hint)


def dead_writers(root: Path) -> None:
    """A version without a row, a staging folder half written, and the locks of both writers."""
    publish(root, 0)
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection, connection:
        connection.execute("DELETE FROM versions")
    for name in ("0123", "4567"):
        (root / STAGING / f"{name}.lock").touch()
    (root / STAGING / "4567" / "data.zarr").mkdir(parents=True)
    (root / STAGING / "4567" / "data.zarr" / "zarr.json").write_text("{")


def lost_catalogue(root: Path) -> None:
    """A store of two recordings without its catalogue."""
    publish(root, 0)
    publish(root, 1, "r2")
    (root / "catalog.sqlite").unlink()


def swept(root: Path) -> None:
    """Sweep."""
    open_store(root).sweep()


def rebuild(root: Path) -> None:
    """Make the catalogue again, also where the store does not open for want of one."""
    assert Store(root).rebuild() == []


def _first(root: Path) -> None:
    open_store(root, create=True)


def _two(root: Path) -> None:
    publish(root, 0)
    publish(root, 1)


@dataclass(frozen=True)
class Scene:
    """A store as it is before, and what is done to it."""

    prepare: Callable[[Path], None]
    act: Callable[[Path], None]


SCENES: dict[str, Scene] = {
    "first publish": Scene(_first, publish),
    "publish": Scene(publish, partial(publish, seed=1)),
    "same content": Scene(_two, publish),
    "alias": Scene(publish, partial(publish, recording="r2")),
    "ingest": Scene(ingest_traces, partial(ingest_traces, seed=1)),
    "sweep": Scene(dead_writers, swept),
    "rebuild": Scene(_two, rebuild),
    "rebuild of a lost catalogue": Scene(lost_catalogue, rebuild),
}


@dataclass(frozen=True)
class State:
    """What a reader finds: the version that every name means, and all versions."""

    newest: Versions
    every: frozenset[tuple[str, str]]


def state(root: Path) -> State | None:
    """Look at a store as a reader does, reading all; None if it says that it has no catalogue."""
    if not (root / "catalog.sqlite").exists() and versions(root):
        with pytest.raises(StoreError, match="neurodata rebuild"):
            open_store(root)
        return None
    store = open_store(root)
    ids = store.ids()
    newest = {name: store.version(name) for name in (*ids, ALIAS) if name in store}
    every = {(one, version) for one in ids for version in store.versions(one)}
    assert [problem for problem in store.verify() if problem.level == "error"] == []
    for one, version in every:
        store.manifest(f"{one}@{version}")
    for one in ids:
        for node in store.arrays(one).nodes.values():
            for array in node.arrays.values():
                assert array.values.shape == array.shape
    return State(newest, frozenset(every))


def staged(root: Path) -> set[str]:
    """The folders of work in progress."""
    return {path.name for path in (root / STAGING).iterdir() if path.is_dir()}


def rows(root: Path) -> dict[str, list[tuple[object, ...]]]:
    """All that the catalogue holds."""
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
        tables = ("versions", "aliases")
        return {name: sorted(connection.execute(f"SELECT * FROM {name}")) for name in tables}


class Trial:
    """A scene on stage: a store to copy, and what an undisturbed run makes of it.

    Parameters
    ----------
    folder : Path
        Where the stores are made.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.scene, self._folder, self._count = name, SCENES[name], folder, 0
        self._model = folder / "model" / "store"
        self._model.parent.mkdir(parents=True)
        self.scene.prepare(self._model)
        self.staged = staged(self._model)
        self.before = state(self._model)
        root = self.store()
        self.scene.act(root)
        self.after = state(root)
        assert self.after is not None
        self.leave(root)

    def store(self) -> Path:
        """Return a new copy of the store."""
        self._count += 1
        folder = self._folder / f"run{self._count}"
        shutil.copytree(self._model.parent, folder)
        return folder / "store"

    def leave(self, root: Path) -> None:
        """Remove a copy."""
        shutil.rmtree(root.parent)

    def look(self, root: Path) -> None:
        """A reader sees the store as it was or as it is to be, and old versions whole."""
        found = state(root)
        assert found in (self.before, self.after), found

    def mend(self, root: Path) -> None:
        """What was disturbed is done again; then the store is as if nothing had been."""
        self.scene.act(root)
        open_store(root).sweep()
        assert [path.name for path in (root / STAGING).iterdir() if path.name != LOCK] == []
        assert_store_ok(root)
        assert state(root) == self.after
        known = rows(root)
        assert open_store(root).rebuild() == []
        assert rows(root) == known
