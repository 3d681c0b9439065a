"""The catalogue of a remote store: a local copy, or one made from the manifests."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from neurodata.errors import NotFoundError, StoreError
from neurodata.store import catalog
from neurodata.store.chunk_cache import ChunkCache
from neurodata.store.manifest import NAME, PART, encode, recipe
from neurodata.store.remote_io import Failure, Source, engine, together, tries
from neurodata.store.remote_manifest import is_version, read_manifest

LIMIT_BYTES = 2**30
LISTED_LIMIT = 10_000
TRIES = 5
MAGIC = b"SQLite format 3\0"


class RemoteCatalog:
    """The catalogue as it was at opening; it is only an index (see `RemoteStore`).

    Parameters
    ----------
    source : Source
    cache : ChunkCache
        Holds the copy. Should it have had to make room for chunks, it is fetched anew.

    Raises
    ------
    StoreError
        When there is none and the source cannot be listed, or when it is damaged.
    NotFoundError
        When a listing finds no version.
    """

    def __init__(self, source: Source, cache: ChunkCache) -> None:
        self.source, self.cache = source, cache
        self._key = self._renew()

    @contextlib.contextmanager
    def connected(self) -> Iterator[sqlite3.Connection]:
        """Open the local copy, read-only."""
        try:
            with closing(self._connection()) as connection:
                connection.row_factory = sqlite3.Row
                connection.execute("PRAGMA trusted_schema = OFF")
                yield connection
        except sqlite3.Error as error:
            self.cache.drop(self._key)
            found = f"no readable catalogue ({error})"
            raise no_catalogue(self.source.where, found) from error

    def _connection(self) -> sqlite3.Connection:
        """Connect to the copy; another process that makes room may remove it at any time."""
        left = TRIES
        while True:
            left -= 1
            if not self.cache.has(self._key):
                self._key = self._renew()
            address = f"{self.cache.path(self._key).as_uri()}?mode=ro&immutable=1"
            try:
                return sqlite3.connect(address, uri=True)
            except sqlite3.OperationalError:
                if not left or self.cache.has(self._key):
                    raise

    def _renew(self) -> str:
        """Get the catalogue and return its name in the cache."""
        here = engine()

        async def once() -> bytes:
            reply = await self.source.get(catalog.FILE, None, LIMIT_BYTES)
            if wrong := _no_database(reply.data):
                raise Failure("damaged", wrong, "a catalogue")
            return reply.data

        try:
            data = here.run(tries(once, f"{self.source.where}/{catalog.FILE}"))
        except NotFoundError:
            data = here.run(self._made())
        key = ChunkCache.key("catalog", hashlib.sha256(data).hexdigest())
        if not self.cache.put(key, data):
            raise StoreError(
                str(self.cache.folder), f"no room for a catalogue of {len(data)} bytes", "room",
                "free some disk, or raise cache_mb",
            )  # fmt: skip
        return key

    async def _made(self) -> bytes:
        """Return a catalogue made from the manifests of all versions that a listing finds."""
        where = self.source.where
        folders = await self._children("", 3)
        if not folders:
            raise NotFoundError(where, "no store", "a catalogue or versions", "check the address")
        if len(folders) > LISTED_LIMIT:
            raise no_catalogue(where, f"no catalogue but {len(folders)} versions")
        opened = await together([read_manifest(self.source, self.cache, f) for f in folders])
        versions = Counter(folder.rpartition("/")[0] for folder in folders)
        dates = await together([
            self._date(folder) if versions[folder.rpartition("/")[0]] > 1 else _no_date()
            for folder in folders
        ])  # fmt: skip
        manifests = [manifest for manifest, _ in opened]
        rows = [_row(*one) for one in zip(folders, manifests, dates, strict=True)]
        return await asyncio.to_thread(_database, rows)

    async def _children(self, path: str, depth: int) -> list[str]:
        """Return the folders that lie ``depth`` levels below one, those of versions being last."""

        async def once() -> list[str]:
            return await self.source.folders(path)

        names = await tries(once, f"{self.source.where}/{path}".rstrip("/"))
        found = [
            f"{path}/{name}".lstrip("/")
            for name in names
            if (PART.fullmatch(name) if depth > 1 else is_version(name))
        ]
        if depth == 1:
            return found
        below = await together([self._children(one, depth - 1) for one in found])
        return [one for group in below for one in group]

    async def _date(self, folder: str) -> int:
        path = f"{folder}/{NAME}"

        async def once() -> int:
            return await self.source.modified_ns(path)

        return await tries(once, f"{self.source.where}/{path}")


async def _no_date() -> int:
    return 0


def no_catalogue(where: str, found: str) -> StoreError:
    """Return the error that says what is wrong with a catalogue and what to do."""
    return StoreError(
        f"{where}/{catalog.FILE}", found, "a catalogue",
        "run neurodata rebuild where the store lies, then publish it again",
    )  # fmt: skip


def _no_database(data: bytes) -> str | None:
    """Return why some bytes are no whole SQLite file (file format, section 1.3)."""
    if not data.startswith(MAGIC) or len(data) < 100:
        return f"{len(data)} bytes that are no SQLite file"
    page = int.from_bytes(data[16:18], "big")
    size = (2**16 if page == 1 else page) * int.from_bytes(data[28:32], "big")
    if data[24:28] == data[92:96] and len(data) != size:
        return f"{len(data)} of {size} bytes"
    return None


def _row(folder: str, manifest: Mapping[str, Any], committed_ns: int) -> dict[str, Any]:
    """Return what `catalog.row` gives for a local folder."""
    size = sum(entry["size"] for entry in manifest["files"]) + len(encode(manifest))
    return {
        "dataset": manifest["dataset"],
        "recording": manifest["recording"],
        "version": folder.rpartition("/")[2],
        "content": manifest["content"],
        "recipe": recipe(manifest),
        "committed_ns": committed_ns,
        "size_bytes": size,
        "attrs": json.dumps(manifest["attrs"], sort_keys=True),
        "summary": json.dumps(manifest["summary"], sort_keys=True),
    }


def _database(rows: list[dict[str, Any]]) -> bytes:
    with TemporaryDirectory(prefix="neurodata-") as folder:
        with catalog.connect(Path(folder)) as connection:
            for row in rows:
                catalog.put(connection, "versions", row)
        return (Path(folder) / catalog.FILE).read_bytes()
