"""The manifest of a remote version: got, compared with the version's name, and understood."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from typing import Any

from neurodata.errors import IntegrityError, NotFoundError
from neurodata.store.chunk_cache import ChunkCache
from neurodata.store.manifest import FORMAT, NAME, TREE, VERSION_LENGTH, version_of
from neurodata.store.remote_files import RemoteFiles
from neurodata.store.remote_io import Failure, Source, tries

LIMIT_BYTES = 64 * 2**20
VERSION = re.compile(rf"[0-9a-f]{{{VERSION_LENGTH}}}")
AGAIN = "open the store again; if it stays so, publish it again"


def is_version(name: str) -> bool:
    """Say whether a name is of the form of a version.

    Examples
    --------
    >>> is_version("0123456789abcdef"), is_version("..")
    (True, False)
    """
    return VERSION.fullmatch(name) is not None


async def read_manifest(
    source: Source, cache: ChunkCache, folder: str
) -> tuple[dict[str, Any], RemoteFiles]:
    """Return the manifest of ``dataset/recording/version``, from the cache or from afar.

    Raises
    ------
    IntegrityError
        When it is missing, changed, or names files outside the version.
    """
    key = ChunkCache.key(source.origin, "manifest", folder)
    version = folder.rpartition("/")[2]
    data = await asyncio.to_thread(cache.get, key)
    if data is None or version_of(data) != version:
        data = await _fetched(source, folder, version)
        await asyncio.to_thread(cache.put, key, data)
    return understood(source, cache, folder, data)


async def _fetched(source: Source, folder: str, version: str) -> bytes:
    where = f"{source.where}/{folder}/{NAME}"

    async def once() -> bytes:
        reply = await source.get(f"{folder}/{NAME}", None, LIMIT_BYTES)
        if (digest := version_of(reply.data)) != version:
            found = f"a manifest whose digest begins with {digest}"
            raise Failure("damaged", found, f"{version}, as the folder is called")
        return reply.data

    try:
        return await tries(once, where)
    except NotFoundError as error:
        raise IntegrityError(where, f"no manifest ({error.found})", "one", AGAIN) from None


def understood(
    source: Source, cache: ChunkCache, folder: str, data: bytes
) -> tuple[dict[str, Any], RemoteFiles]:
    """Return a manifest, whose digest is known to be right, and the files that it lists."""
    where = f"{source.where}/{folder}/{NAME}"
    try:
        manifest: dict[str, Any] = json.loads(data)
        found = f"{manifest['format']} of {manifest['dataset']}/{manifest['recording']}"
        entries = {e["path"]: (int(e["size"]), str(e["sha256"])) for e in manifest["files"]}
        strange = next((path for path in entries if not _is_below(path)), None)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(
            where, f"a manifest of another form ({error!r})", FORMAT, AGAIN
        ) from error
    if found != (expected := f"{FORMAT} of {folder.rpartition('/')[0]}"):
        raise IntegrityError(where, found, expected, "update neurodata")
    if strange is not None:
        raise IntegrityError(where, f"the path {strange[:80]!r}", f"paths below {TREE}", AGAIN)
    digest = hashlib.sha256(data).hexdigest()
    return manifest, RemoteFiles(source, cache, folder, digest, entries)


def _is_below(path: str) -> bool:
    first, *rest = path.split("/")
    return first == TREE and bool(rest) and not {"", ".", ".."} & set(rest) and "\0" not in path
