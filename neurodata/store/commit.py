"""The commit: stage, verify, sync, rename, index. Nothing is visible before the rename."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from neurodata.errors import IntegrityError, StoreError
from neurodata.store import catalog, files, integrity
from neurodata.store.digest import content_digest
from neurodata.store.files_of import LocalFiles
from neurodata.store.layout import check_preset
from neurodata.store.manifest import (
    NAME,
    TREE,
    build,
    check_part,
    encode,
    entry,
    recipe,
    version_of,
)
from neurodata.store.room import needed_bytes, require_room
from neurodata.store.tree import Written, compare_tree, refuse_unfit, write_tree
from neurodata.store.version import METADATA, StoredVersion

STAGING = ".staging"
LOCK = "commit.lock"
Status = Literal["new", "same", "alias"]


@dataclass(frozen=True)
class Published:
    """What became of a recording: its id, version and content, and whether it is new."""

    id: str
    version: str
    content: str
    status: Status
    size_bytes: int


def publish(
    root: Path,
    tree: xr.DataTree,
    dataset: str,
    recording: str,
    provenance: Mapping[str, Any],
    layout: str = "default",
) -> Published:
    """Write a recording as a new version, unless its content is there already.

    Parameters
    ----------
    tree : DataTree
        A recording in raw form that passed its schema.
    provenance : mapping
        ``inputs`` (size, sha256), ``reader``, ``options``, ``declarations``, ``steps``.
    layout : str
        ``default``; ``small`` for fewer bytes; ``random`` for reads of single small parts. It is
        no part of the content: a recording that is there keeps the layout that it has.

    Raises
    ------
    StoreError
        When the disk is full or has no room for it, an id differs from another one by case only,
        or a value would not come back as it is.
    IntegrityError
        When what was read back differs from what was written.
    """
    check_part(dataset, "data set")
    check_part(recording, "recording")
    preset = check_preset(layout)
    tree = tree.copy()
    refuse_unfit(tree)
    tree.attrs.update(id=f"{dataset}/{recording}", dataset=dataset)
    require_room(root, tree, preset)
    with staged(root, partial(needed_bytes, tree, preset)) as folder:
        written = write_tree(tree, folder / TREE, preset)
        with files.Syncing(folder / TREE) as syncing:
            stored, digests = _verified(folder, f"{dataset}/{recording}", written)
            syncing.finish()
        facts = {
            "dataset": dataset,
            "recording": recording,
            "content": content_digest(tree, digests),
            "arrays": digests,
            "layout": written.layout,
            "finite": written.finite,
        }
        manifest = build(tree, stored, facts, provenance)
        data = encode(manifest)
        files.write(folder / NAME, data)
        files.sync(folder / NAME)
        files.sync(folder)
        with files.locked(root / STAGING / LOCK):
            return _commit(root, folder, manifest, version_of(data))


def _verified(
    folder: Path, name: str, written: Written
) -> tuple[dict[str, tuple[int, str]], dict[str, str]]:
    """Decode a staged version from the disk and compare it with what was given.

    Returns size and sha256 of its files, and the digests of its arrays. Every chunk and shard
    index is decoded, so what is digested here is what was given.
    """
    sizes = files.listing(folder)
    for path, size in written.files.items():
        if (found := sizes.get(path.relative_to(folder).as_posix())) != size:
            raise IntegrityError(
                str(path), f"{found} bytes", f"the {size} written",
                "check the disk, then ingest it again",
            )  # fmt: skip
    metadata = [path for path in sizes if path.endswith("/" + METADATA)]
    known = {path: files.sha256(folder / path) for path in metadata}
    first = {"files": [entry(path, sizes[path], digest) for path, digest in known.items()]}
    with (
        files.Hashing(folder, sorted(sizes.keys() - known.keys())) as hashing,
        contextlib.closing(LocalFiles(folder, sizes)) as source,
    ):
        digests = compare_tree(StoredVersion(name, "", first, source), written.checksums)
        known |= hashing.finish()
    return {path: (size, known[path]) for path, size in sizes.items()}, digests


def _commit(root: Path, folder: Path, manifest: Mapping[str, Any], version: str) -> Published:
    dataset, recording, content = (manifest[key] for key in ("dataset", "recording", "content"))
    _refuse_links(root, dataset, recording)
    _refuse_case_twin(root, dataset, recording)
    known = _same_content(root, dataset, recording, content)
    if known is not None:
        return _point_to(root, known, manifest)
    target = root / dataset / recording / version
    there = target.exists()
    try:
        if not there:
            files.make_folders(target.parent)
            files.rename(folder, target)
        for parent in (target.parent, target.parent.parent, root):
            files.sync(parent)  # also what an earlier try renamed and could not sync
        integrity.check(target)
        _make_newest(root, target)
        with catalog.connect(root) as connection:
            row = catalog.row(target, manifest)
            catalog.put(connection, "versions", row)
    except (OSError, StoreError):
        if not there:
            _take_back(target, folder)
        raise
    return Published(f"{dataset}/{recording}", version, content, "new", row["size_bytes"])


def _take_back(target: Path, folder: Path) -> None:
    """Return a version that did not come into the catalogue to the staging folder.

    If the disk does not let it, the next sweep enters it.
    """
    if target.exists():
        with contextlib.suppress(OSError):
            files.rename(target, folder)
    for parent in (target.parent, target.parent.parent):
        files.remove_empty(parent)


def _same_content(root: Path, dataset: str, recording: str, content: str) -> dict[str, Any] | None:
    """Return the row of a version with this content: this recording's own, or else another's.

    A recording that has versions of its own never becomes another's alias, as its id would go on
    meaning its older content.
    """
    with catalog.connect(root) as connection:
        found = connection.execute(
            "SELECT * FROM versions WHERE dataset = ? AND content = ?", (dataset, content)
        ).fetchall()
    rows = [
        dict(row) for row in found if (root / dataset / row["recording"] / row["version"]).is_dir()
    ]
    own = [row for row in rows if row["recording"] == recording]
    if own or any((root / dataset / recording).glob("*")):
        return next(iter(own), None)
    return next(iter(rows), None)


def _make_newest(root: Path, folder: Path) -> None:
    """Date a version after all others of its recording, even if the clock stands or goes back."""
    with catalog.connect(root) as connection:
        (last,) = connection.execute(
            "SELECT MAX(committed_ns) FROM versions WHERE dataset = ? AND recording = ?",
            folder.relative_to(root).parts[:2],
        ).fetchone()
    now = max(time.time_ns(), (last or 0) + 1)
    files.date(folder / NAME, now)


def _point_to(root: Path, known: dict[str, Any], manifest: Mapping[str, Any]) -> Published:
    """Keep the known version: as the newest of its recording, or under another name."""
    dataset, recording = manifest["dataset"], manifest["recording"]
    target = root / dataset / known["recording"] / known["version"]
    own = known["recording"] == recording
    dated_ns = (target / NAME).stat().st_mtime_ns if own else None
    try:
        if own:
            _make_newest(root, target)
        with catalog.connect(root) as connection:
            if own:
                catalog.put(connection, "versions", catalog.row(target, integrity.check(target)))
            alias = {
                "dataset": dataset, "recording": recording, "recipe": recipe(manifest),
                "target": known["recording"], "version": known["version"],
            }  # fmt: skip
            catalog.put(connection, "aliases", alias)
    except (OSError, StoreError):
        if dated_ns is not None:
            with contextlib.suppress(OSError):
                files.date(target / NAME, dated_ns)
        raise
    name = f"{dataset}/{known['recording']}"
    status: Status = "same" if own else "alias"
    return Published(name, known["version"], known["content"], status, known["size_bytes"])


def _refuse_links(root: Path, dataset: str, recording: str) -> None:
    for place in (root / dataset, root / dataset / recording):
        if place.is_symlink():
            hint = "put the folder that it leads to in its place"
            raise StoreError(str(place), "a link", "a folder", hint)


def _refuse_case_twin(root: Path, dataset: str, recording: str) -> None:
    for parent, name in ((root, dataset), (root / dataset, recording)):
        if not parent.is_dir():
            continue
        for other in parent.iterdir():
            if other.name != name and other.name.casefold() == name.casefold():
                raise StoreError(
                    f"{dataset}/{recording}", f"{other.name!r} beside {name!r}",
                    "ids that differ by more than case", "rename one of them",
                )  # fmt: skip


@contextlib.contextmanager
def staged(root: Path, needed: Callable[[], int] | None = None) -> Iterator[Path]:
    """Give a new staging folder, locked while this process lives and removed at the end.

    ``needed`` gives the bytes that will be written; it is asked when the disk is full.

    Raises
    ------
    StoreError
        When the disk is full or fails.
    """
    folder = root / STAGING / uuid.uuid4().hex
    lock = folder.with_suffix(".lock")
    made = done = left = False
    with files.on_disk(root, needed):
        try:
            with files.locked(lock):
                try:
                    files.make_folder(folder)
                    made = True
                    yield folder
                    done = True
                finally:
                    renamed = made and not folder.exists()
                    left = not files.try_remove_tree(folder) or (renamed and not done)
        finally:
            if not left:  # else the next sweep does the rest
                _drop(lock)


def _drop(lock: Path) -> None:
    with contextlib.suppress(OSError):  # the next sweep removes it
        files.remove(lock)


def sweep(root: Path) -> int:
    """Finish or remove what dead processes left and return how many folders were removed.

    Raises
    ------
    StoreError
        When the disk is full or fails.
    """
    removed = 0
    with files.on_disk(root):
        for lock in sorted((root / STAGING).glob("*.lock")):
            if lock.name != LOCK and files.is_regular(lock):
                with files.if_free(lock) as free:
                    removed += free and _finish(root, lock)
    return removed


def _finish(root: Path, lock: Path) -> bool:
    """Do what the dead holder of a lock did not, and say whether it left a folder."""
    folder = lock.with_suffix("")
    there = folder.is_dir()
    if there:
        _drop_empty(root, folder)
    else:
        _index(root)
    if files.try_remove_tree(folder):
        files.remove(lock)  # last, so that what a killed sweep did not do is done by the next
    return there


def _drop_empty(root: Path, folder: Path) -> None:
    """Remove the folders that the writer of a staged version made just before it died."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # it had no manifest yet
        manifest = json.loads(files.read(folder / NAME))
        dataset = root / check_part(manifest["dataset"], "data set")
        recording = dataset / check_part(manifest["recording"], "recording")
        with files.locked(root / STAGING / LOCK):
            files.remove_empty(recording)
            files.remove_empty(dataset)


def _index(root: Path) -> None:
    """Enter whole versions that the catalogue lacks: their writer died after the rename."""
    if not versions(root):
        return
    with files.locked(root / STAGING / LOCK), catalog.connect(root) as connection:
        found = connection.execute("SELECT dataset, recording, version FROM versions")
        known = {tuple(row) for row in found}
        for folder in versions(root):
            if folder.relative_to(root).parts not in known:
                with contextlib.suppress(IntegrityError):
                    row = catalog.row(folder, integrity.check(folder))
                    catalog.put(connection, "versions", row)


def versions(root: Path) -> list[Path]:
    """Return the folders of all versions of all recordings."""
    found = (path for path in root.glob("*/*/*") if path.is_dir())
    return sorted(path for path in found if not path.relative_to(root).parts[0].startswith("."))
