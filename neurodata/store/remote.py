"""A store on the web, in a bucket or on the hub: read-only, lazily, checked byte by byte."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from neurodata.errors import InvalidInputError, NotFoundError, Problem, StoreError
from neurodata.store import catalog
from neurodata.store.chunk_cache import DEFAULT_MB, ChunkCache, cache_folder
from neurodata.store.commit import Published
from neurodata.store.forget import Removal
from neurodata.store.manifest import PART
from neurodata.store.remote_catalog import RemoteCatalog, no_catalogue
from neurodata.store.remote_files import RemoteFiles
from neurodata.store.remote_http import HttpSource, HubSource, without_secrets
from neurodata.store.remote_io import Source, engine, together
from neurodata.store.remote_manifest import is_version, read_manifest
from neurodata.store.remote_s3 import S3Source
from neurodata.store.store import Store
from neurodata.store.stored_tree import open_stored
from neurodata.store.version import StoredVersion

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

SMALL_BYTES = 16 * 2**10
BLOCK_BYTES = 2**20


def open_remote(
    url: str,
    *,
    cache: str | os.PathLike[str] | None = None,
    cache_mb: float = DEFAULT_MB,
    options: Mapping[str, Any] | None = None,
) -> RemoteStore:
    """Open a store at an address of http, https, s3 or hf, for reading.

    Parameters
    ----------
    url : str
        ``https://host/path``, ``s3://bucket/path`` or ``hf://datasets/owner/name/path``.
    cache : path, optional
        Folder of the local cache; else ``$NEURODATA_CACHE`` or the platform's.
    cache_mb : float
        What the cache may hold, in units of 10^6 bytes.
    options : mapping, optional
        ``timeout_s``; for http ``headers``; for s3 what `s3fs.S3FileSystem` takes.

    Raises
    ------
    InvalidInputError
        When the address is of no known kind.
    StoreError
        When the server does not answer, or has no catalogue and cannot be listed.
    NotFoundError
        When there is no store.
    """
    settings = dict(options or {})
    timeout_s = float(settings.pop("timeout_s", 30.0))
    kind = urlsplit(url).scheme
    chunks = ChunkCache(cache_folder(cache), cache_mb)
    source: Source
    if kind in ("http", "https"):
        source = HttpSource(url, settings.pop("headers", None), timeout_s)
    elif kind == "s3":
        source, settings = S3Source(url, settings, timeout_s), {}
    elif kind == "hf":
        source = HubSource(url, timeout_s)
    else:
        raise InvalidInputError(
            "store", without_secrets(url), "an address that begins with https://, s3:// or hf://"
        )
    if settings:
        raise InvalidInputError("options", str(sorted(settings)), f"options of {kind}")
    return RemoteStore(source, chunks)


class RemoteStore(Store):
    """The reading half of a store, from afar; use `open_store`.

    The catalogue is the one found at opening. It says where to look; what is read is what the
    manifest says whose sha256 names the version.

    Parameters
    ----------
    source : Source
    cache : ChunkCache
    """

    def __init__(self, source: Source, cache: ChunkCache) -> None:
        super().__init__(Path(source.where))
        self.source, self.cache = source, cache
        self.where = source.where
        self._manifests: dict[str, tuple[dict[str, Any], RemoteFiles]] = {}
        self._catalog = RemoteCatalog(source, cache)

    def __repr__(self) -> str:
        return f"RemoteStore({self.where!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_manifests": {}}

    def versions(self, id: str) -> list[str]:
        """Return all versions of a recording, the newest first."""
        dataset, _, recording = id.partition("/")
        with self._catalog.connected() as connection:
            found = connection.execute(
                "SELECT version FROM versions WHERE dataset = ? AND recording = ?"
                " ORDER BY committed_ns DESC, version DESC",
                (dataset, recording),
            ).fetchall()
        return [str(row["version"]) for row in found]

    def catalog(self) -> pd.DataFrame:
        """Return one row per recording: id, version, modality, subject, units, rate_hz, …

        Raises
        ------
        StoreError
            When the catalogue's rows are not of the form that this library writes.
        """
        try:
            return super().catalog()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise no_catalogue(self.where, f"rows of another form ({error})") from error

    def manifest(self, id: str) -> dict[str, Any]:
        """Return a version's manifest, after comparing its digest with the version's name.

        Raises
        ------
        IntegrityError
            When it is missing, changed, or names files outside the version.
        """
        return self._opened(id)[0]

    def arrays(self, id: str) -> StoredVersion:
        """Return the arrays of a version, each checked as it is read."""
        manifest, files = self._opened(id)
        dataset, recording, version = files.folder.split("/")
        return StoredVersion(f"{dataset}/{recording}", version, manifest, files)

    def raw(self, id: str) -> xr.DataTree:
        """Return a recording as it is stored; large arrays are dask arrays."""
        return open_stored(self.arrays(id), BLOCK_BYTES)

    def fetch(self, ids: Iterable[str]) -> None:
        """Get what opening these recordings needs, all at once: manifests, metadata, small arrays.

        Raises
        ------
        IntegrityError
            When anything is missing or damaged.
        """
        here = engine()
        places = [self._place(name) for name in ids]

        async def one(folder: str) -> None:
            await self._read(folder)
            await self._manifests[folder][1].fetch_small(here, SMALL_BYTES)

        async def every() -> None:
            await together([one(folder) for folder in dict.fromkeys(places)])

        here.run(every())

    def folder(self, id: str) -> Path:
        """Refuse: a remote version has no folder here."""
        self._refuse("no local folder of a version")

    def zarr(self, id: str) -> Path:
        """Refuse, as `folder` does."""
        self._refuse("no local folder of a version")

    def publish(self, *args: Any, **kwargs: Any) -> Published:
        """Refuse: a remote store is read-only."""
        self._refuse("a store that is read-only")

    def known(self, *args: Any) -> str | None:
        """Refuse, as `publish` does."""
        self._refuse("a store that is read-only")

    def verify(self, *args: Any, **kwargs: Any) -> list[Problem]:
        """Refuse: what is read is checked; all bytes are compared where they lie."""
        self._refuse("a store whose every byte would have to be fetched")

    def rebuild(self) -> list[Problem]:
        """Refuse, as `publish` does."""
        self._refuse("a store that is read-only")

    def sweep(self) -> int:
        """Refuse, as `publish` does."""
        self._refuse("a store that is read-only")

    def forget(self, *args: Any, **kwargs: Any) -> Removal:
        """Refuse, as `publish` does."""
        self._refuse("a store that is read-only")

    def prune(self, *args: Any, **kwargs: Any) -> Removal:
        """Refuse, as `publish` does."""
        self._refuse("a store that is read-only")

    def _refuse(self, found: str) -> NoReturn:
        raise StoreError(self.where, found, "a store on a local disk", "do it where the store lies")

    def _opened(self, id: str) -> tuple[dict[str, Any], RemoteFiles]:
        folder = self._place(id)
        if folder not in self._manifests:
            engine().run(self._read(folder))
        return self._manifests[folder]

    def _place(self, id: str) -> str:
        """Return ``dataset/recording/version`` of what an id or an alias means."""
        name, _, version = id.partition("@")
        found = self.versions(name)
        if not found and (alias := self._alias(name)):
            name = f"{alias['dataset']}/{alias['target']}"
            version, found = version or alias["version"], self.versions(name)
        if not found:
            known = ", ".join(self.ids()[:5]) or "none"
            raise NotFoundError(self.where, f"no recording {name!r}", f"one of {known}")
        version = version or found[0]
        if version not in found:
            raise NotFoundError(self.where, f"no version {version!r} of {name}", "one")
        dataset, _, recording = name.partition("/")
        if not (PART.fullmatch(dataset) and PART.fullmatch(recording) and is_version(version)):
            raise no_catalogue(self.where, f"the version {f'{name}/{version}'[:80]!r}")
        return f"{name}/{version}"

    def _locate(self, id: str) -> Path:
        return Path(self._place(id))

    async def _read(self, folder: str) -> None:
        if folder not in self._manifests:
            self._manifests[folder] = await read_manifest(self.source, self.cache, folder)

    def _rows(self) -> list[dict[str, Any]]:
        with self._catalog.connected() as connection:
            return catalog.newest(connection)

    def _aliases(self) -> list[dict[str, Any]]:
        with self._catalog.connected() as connection:
            found = connection.execute("SELECT * FROM aliases ORDER BY rowid").fetchall()
        return [dict(row) for row in found]
