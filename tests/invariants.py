"""What must hold of every store at every moment, whatever was killed or broke."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from neurodata.store import open_store
from neurodata.store.commit import LOCK, STAGING, versions
from neurodata.store.manifest import NAME, read
from neurodata.store.removal import REMOVALS


def assert_store_ok(root: Path) -> None:
    """Every version verifies, catalogue and manifests agree, and no work in progress is left.

    Call it when no writer lives; what a dead one left is finished or swept first, as every
    ingest does.
    """
    store = open_store(root)
    store.sweep()
    assert store.verify() == []
    staging = root / STAGING
    assert [path.name for path in staging.iterdir() if path.name != LOCK] == []
    folders = versions(root)
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
        rows = connection.execute("SELECT dataset, recording, version, content FROM versions")
        found = sorted(rows)
    manifests = [read(folder) for folder in folders]
    assert found == [
        (manifest["dataset"], manifest["recording"], folder.name, manifest["content"])
        for folder, manifest in zip(folders, manifests, strict=True)
    ]
    own = (STAGING, REMOVALS, "catalog.sqlite")
    others = [path for path in root.iterdir() if path.name not in own]
    assert {path.name for path in others} == {folder.parts[-3] for folder in folders}
    assert all({p.name for p in folder.iterdir()} == {NAME, "data.zarr"} for folder in folders)
