"""A store: a folder of immutable, verified recording versions and an index of them."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from neurodata.errors import (
    IntegrityError,
    InvalidInputError,
    Level,
    NotFoundError,
    Problem,
    StoreError,
)
from neurodata.physical import physical
from neurodata.store import catalog, files, integrity
from neurodata.store.commit import LOCK, STAGING, Published, publish, staged, sweep, versions
from neurodata.store.files_of import LocalFiles
from neurodata.store.forget import Removal, forget, prune
from neurodata.store.manifest import NAME, TREE, read, recipe
from neurodata.store.removal import finish
from neurodata.store.scrub import scrub
from neurodata.store.stored_tree import open_stored
from neurodata.store.version import StoredVersion

if TYPE_CHECKING:
    import pandas as pd

JOURNALS = ("-journal", "-wal", "-shm")
ADDRESS = re.compile(r"^(https?|s3|hf):/(?=[^/])")  # what a Path makes of an address


def open_store(
    path: str | os.PathLike[str],
    *,
    create: bool = False,
    cache: str | os.PathLike[str] | None = None,
    cache_mb: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> Store:
    """Open a store: a folder, or read-only an address of https, s3 or hf.

    Parameters
    ----------
    path : path or str
        A folder, ``https://host/path``, ``s3://bucket/path`` or
        ``hf://datasets/owner/name/path``.
    create : bool
        Make a new store where there is none.
    cache, cache_mb, options : optional
        For an address: see `remote.open_remote`.

    Raises
    ------
    NotFoundError
        When there is none and ``create`` is false.
    StoreError
        When there are recordings but no catalogue, or a server does not answer.

    Examples
    --------
    >>> import tempfile
    >>> open_store(tempfile.mkdtemp(), create=True).ids()
    []
    """
    address = os.fspath(path)
    if isinstance(path, os.PathLike):
        address = ADDRESS.sub(r"\1://", address)
    if "://" in address:
        from neurodata.store.remote import open_remote

        if create:
            raise InvalidInputError("store", "create with an address", "a folder")
        more = {} if cache_mb is None else {"cache_mb": cache_mb}
        return open_remote(address, cache=cache, options=options, **more)
    root = Path(path).absolute()
    if create:
        with files.on_disk(root):
            files.make_folders(root / STAGING)
    if not (root / STAGING).is_dir() and not (root / catalog.FILE).is_file():
        raise NotFoundError(str(root), "no store", "one", "ingest something, or give --store")
    if not (root / catalog.FILE).is_file() and versions(root):
        raise StoreError(str(root), "no catalogue", "one", "run: neurodata rebuild")
    return Store(root)


class Store:
    """Recordings by id, ``dataset/recording`` or ``dataset/recording@version``.

    Parameters
    ----------
    path : Path
        The store's folder; use `open_store`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._checked: dict[Path, dict[str, Any]] = {}

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def ids(self, dataset: str | None = None) -> list[str]:
        """Return the ids of all recordings, or of those of one data set."""
        found = [f"{row['dataset']}/{row['recording']}" for row in self._rows()]
        return [name for name in found if dataset is None or name.startswith(dataset + "/")]

    def datasets(self) -> list[str]:
        """Return the names of all data sets."""
        return sorted({row["dataset"] for row in self._rows()})

    def version(self, id: str) -> str:
        """Return the version that an id means: the newest, or the one after ``@``.

        Raises
        ------
        NotFoundError
            When there is no such recording or version.
        """
        return self._locate(id).name

    def _locate(self, id: str) -> Path:
        """Return the folder of the version that an id or an alias means."""
        name, _, version = id.partition("@")
        found = self.versions(name)
        if not found and (alias := self._alias(name)):
            name = f"{alias['dataset']}/{alias['target']}"
            version, found = version or alias["version"], self.versions(name)
        if not found:
            known = ", ".join(self.ids()[:5]) or "none"
            raise NotFoundError(str(self.path), f"no recording {name!r}", f"one of {known}")
        version = version or found[0]
        folder = self.path / name / version
        if version not in found or not (folder / NAME).is_file():
            raise NotFoundError(str(self.path), f"no version {version!r} of {name}", "one")
        return folder

    def _alias(self, name: str) -> dict[str, Any] | None:
        """Return where content lies that was ingested under this name too."""
        found = [a for a in self._aliases() if f"{a['dataset']}/{a['recording']}" == name]
        return found[-1] if found else None

    def versions(self, id: str) -> list[str]:
        """Return all versions of a recording, the newest first."""
        if not (self.path / catalog.FILE).is_file():
            return []
        dataset, _, recording = id.partition("/")
        with catalog.connect(self.path) as connection:
            found = connection.execute(
                "SELECT version FROM versions WHERE dataset = ? AND recording = ?"
                " ORDER BY committed_ns DESC, version DESC",
                (dataset, recording),
            ).fetchall()
        return [row["version"] for row in found]

    def folder(self, id: str) -> Path:
        """Return the folder of a version."""
        return self._locate(id)

    def zarr(self, id: str) -> Path:
        """Return the Zarr group of a version, checked as before a first read."""
        self.manifest(id)
        return self.folder(id) / TREE

    def manifest(self, id: str) -> dict[str, Any]:
        """Return a version's manifest.

        Raises
        ------
        IntegrityError
            When a file of the version is missing, added, damaged or of another size.
        """
        folder = self.folder(id)
        if folder not in self._checked:
            self._checked[folder] = integrity.check(folder)
        return self._checked[folder]

    def fetch(self, ids: Iterable[str]) -> None:
        """Get ready to open these recordings; what is near at hand needs nothing."""

    def arrays(self, id: str) -> StoredVersion:
        """Return the arrays of a version, each checked as it is read: the loader's way in.

        Raises
        ------
        IntegrityError
            When the manifest is not the one that gave the version its name.
        """
        folder = self.folder(id)
        manifest = self._checked.get(folder) or read(folder)
        sizes = {entry["path"]: entry["size"] for entry in manifest["files"]}
        name = f"{manifest['dataset']}/{manifest['recording']}"
        return StoredVersion(name, folder.name, manifest, LocalFiles(folder, sizes))

    def raw(self, id: str) -> xr.DataTree:
        """Return a recording as it is stored: native integers with scale and offset.

        Raises
        ------
        IntegrityError
            When anything is missing or damaged; of a large array, when its values are asked for.
        """
        self.manifest(id)
        return open_stored(self.arrays(id))

    def __getitem__(self, id: str) -> xr.DataTree:
        """Return a recording in physical units, lazily; edits never reach the disk."""
        return physical(self.raw(id))

    def __contains__(self, id: str) -> bool:
        try:
            return bool(self.version(id))
        except NotFoundError:
            return False

    def catalog(self) -> pd.DataFrame:
        """Return one row per recording: id, version, modality, subject, units, rate_hz, …"""
        return catalog.table(self._rows())

    def select(self, query: str) -> list[str]:
        """Return the ids of the recordings for which a query on the catalogue holds.

        Raises
        ------
        InvalidInputError
            When the query is no condition on the catalogue's columns.

        Examples
        --------
        ``store.select("modality == 'eeg' and rate_hz >= 250")``
        """
        table = self.catalog()
        try:
            found: list[str] = table.query(query)["id"].tolist()
        except Exception as error:
            columns = ", ".join(table.columns)
            raise InvalidInputError(
                "query", f"{query!r} ({error})", f"a condition on {columns}", "e.g. rate_hz >= 250"
            ) from error
        return found

    def publish(
        self,
        tree: xr.DataTree,
        *,
        dataset: str,
        recording: str,
        provenance: Mapping[str, Any] | None = None,
        layout: str = "default",
    ) -> Published:
        """Write a recording that passed its schema as a new version (see `commit.publish`)."""
        return publish(self.path, tree, dataset, recording, provenance or {}, layout)

    def known(self, dataset: str, recording: str, provenance: Mapping[str, Any]) -> str | None:
        """Return the id and version that this recipe made, if the recording's id means it now.

        Raises
        ------
        IntegrityError
            When that version is damaged.
        """
        key = (dataset, recording, recipe(provenance))
        with catalog.connect(self.path) as connection:
            found = connection.execute(
                "SELECT recording, version FROM versions"
                " WHERE dataset = ?1 AND recording = ?2 AND recipe = ?3"
                " UNION SELECT target, version FROM aliases"
                " WHERE dataset = ?1 AND recording = ?2 AND recipe = ?3",
                key,
            ).fetchall()
        own = f"{dataset}/{recording}"
        made = {self.path / dataset / row["recording"] / row["version"] for row in found}
        if not made or own not in self or self._locate(own) not in made:
            return None
        self.manifest(own)
        folder = self._locate(own)
        return f"{dataset}/{folder.parent.name}@{folder.name}"

    def verify(
        self, id: str | None = None, *, resume: bool = False, limit_mb_s: float | None = None
    ) -> list[Problem]:
        """Compare every stored byte, of one recording or of all, with manifests and catalogue.

        Parameters
        ----------
        resume : bool
            Go on where an earlier call with ``resume`` was stopped; of all recordings only.
        limit_mb_s : float, optional
            Read so many megabytes (10^6 bytes) a second at most.
        """
        if id and resume:
            raise InvalidInputError("resume", "one recording", "all of them")
        folders = [self.folder(id)] if id else versions(self.path)
        rows = [] if id else self._unindexed()
        return [*scrub(self.path, folders, resume=resume, limit_mb_s=limit_mb_s), *rows]

    def rebuild(self) -> list[Problem]:
        """Make the catalogue again from the manifests; versions without an intact one are listed.

        Their folders are left as they are, and so is everything else.
        """
        problems: list[Problem] = []
        with staged(self.path) as folder, files.locked(self.path / STAGING / LOCK):
            rows = [row for found in versions(self.path) if (row := _row(found, problems))]
            aliases = self._aliases()
            with catalog.connect(folder) as connection:
                for row in rows:
                    catalog.put(connection, "versions", row)
                for alias in aliases:
                    catalog.put(connection, "aliases", alias)
            for suffix in JOURNALS:
                files.remove(self.path / f"{catalog.FILE}{suffix}")
            files.replace(folder / catalog.FILE, self.path / catalog.FILE)
        return problems

    def sweep(self) -> int:
        """Finish or remove what killed processes left, removals too."""
        finish(self.path)
        return sweep(self.path)

    def forget(self, subject: str, dataset: str | None = None, *, yes: bool = False) -> Removal:
        """Remove all that is held of a person; without ``yes`` only say what (see `forget`)."""
        return forget(self.path, subject, dataset, yes=yes)

    def prune(
        self,
        dataset: str | None = None,
        *,
        keep: int = 1,
        pinned: Collection[str] = (),
        yes: bool = False,
    ) -> Removal:
        """Remove old versions; without ``yes`` only say which (see `forget.prune`)."""
        return prune(self.path, dataset, keep=keep, pinned=pinned, yes=yes)

    def _rows(self) -> list[dict[str, Any]]:
        if not (self.path / catalog.FILE).is_file():
            return []
        with catalog.connect(self.path) as connection:
            return catalog.newest(connection)

    def _aliases(self) -> list[dict[str, Any]]:
        if not (self.path / catalog.FILE).is_file():
            return []
        try:
            with catalog.connect(self.path) as connection:
                found = connection.execute("SELECT * FROM aliases ORDER BY rowid").fetchall()
        except IntegrityError:  # damaged: what it held cannot be known
            return []
        folder = self.path
        return [
            dict(a) for a in found if (folder / a["dataset"] / a["target"] / a["version"]).is_dir()
        ]

    def _every_row(self) -> dict[Path, dict[str, Any]]:
        if not (self.path / catalog.FILE).is_file():
            return {}
        with catalog.connect(self.path) as connection:
            found = connection.execute("SELECT * FROM versions").fetchall()
        return {self.path / r["dataset"] / r["recording"] / r["version"]: dict(r) for r in found}

    def _unindexed(self) -> list[Problem]:
        rows = self._every_row()
        problems: list[Problem] = []
        for folder in sorted({*rows, *versions(self.path)}):
            if not folder.is_dir():
                problems.append(_stray(folder, "a catalogue row without a version", "error"))
            elif folder not in rows:
                problems.append(_stray(folder, "a version that the catalogue lacks", "warning"))
            elif _facts(rows[folder]) != _facts(_row(folder, []) or {}):
                what = "a version that the catalogue describes otherwise"
                problems.append(_stray(folder, what, "error"))
        return problems


def _stray(folder: Path, found: str, level: Level) -> Problem:
    return Problem(level, str(folder), found, "the same in both", "run: neurodata rebuild")


def _row(folder: Path, problems: list[Problem]) -> dict[str, Any] | None:
    try:
        return catalog.row(folder, read(folder))
    except IntegrityError as error:
        problems.append(error.problem)
        return None


def _facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without the time of its commit, which copies of a store do not keep."""
    return {key: value for key, value in row.items() if key != "committed_ns"}
