"""Servers that lead in circles or answer too little, and catalogues that point to themselves."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from neurodata.errors import IntegrityError, NotFoundError, UnsafeError
from neurodata.store import Store, open_store, remote_io
from neurodata.store.catalog import FILE
from neurodata.store.chunk_cache import ChunkCache
from neurodata.store.remote import RemoteStore
from neurodata.store.remote_http import HOPS
from neurodata.store.remote_io import Recent, Reply, engine
from tests.remote_servers import FileServer, running
from tests.test_remote_failures import Folder


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = open_store(tmp_path_factory.mktemp("local"), create=True)
    for name in ("a", "b"):
        node = xr.Dataset({"v": ("x", np.arange(3.0) + ord(name))})
        store.publish(xr.DataTree.from_dict({"n": node}), dataset="lab", recording=name)
    return store


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine().recent = Recent(remote_io.RECENT_BYTES)
    monkeypatch.setattr(remote_io, "BACK_OFF_S", 0.001)
    monkeypatch.setenv("NEURODATA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def web(local: Store) -> Iterator[FileServer]:
    with running(FileServer(local.path)) as server:
        yield server


def test_redirects_in_a_circle_end(web: FileServer) -> None:
    far = open_store(web.url)
    web.forget()
    web.fault = lambda path: f"{web.url}/{path}" if "v/c" in path else None
    with pytest.raises(UnsafeError, match=f"more than {HOPS} redirects"):
        far.raw("lab/a")
    circle = [path for _, path in web.requests if "v/c" in path]
    assert len(circle) == HOPS


class Short(Folder):
    """A source that sends a byte too few, and does not know the size of files."""

    async def get(self, path: str, span: tuple[int, int] | None, limit: int) -> Reply:
        reply = await super().get(path, span, limit)
        return Reply(reply.data[:-1] if "/c/" in path else reply.data, None)


def test_an_answer_that_is_too_short_is_damage(local: Store, tmp_path: Path) -> None:
    far = RemoteStore(Short(local.path), ChunkCache(tmp_path / "cache"))
    with pytest.raises(IntegrityError, match=r"n/v/c/0, bytes .*found \d+ of \d+ bytes") as caught:
        far.raw("lab/a")
    found = caught.value.found.split()
    assert int(found[0]) == int(found[2]) - 1


@pytest.mark.parametrize("targets", [("a", "a"), ("b", "a")], ids=["itself", "a circle"])
@pytest.mark.parametrize("remote", [False, True])
def test_names_that_lead_in_circles_are_unknown(
    local: Store, tmp_path: Path, targets: tuple[str, str], remote: bool
) -> None:
    shutil.copytree(local.path, tmp_path / "store")
    versions = [local.version(f"lab/{target}") for target in targets]
    with closing(sqlite3.connect(tmp_path / "store" / FILE)) as connection, connection:
        connection.execute("DELETE FROM versions")
        for name, target, version in zip("ab", targets, versions, strict=True):
            row = ("lab", name, "recipe", target, version)
            connection.execute("INSERT INTO aliases VALUES (?, ?, ?, ?, ?)", row)
    store = open_store(tmp_path / "store")
    if remote:
        store = RemoteStore(Folder(store.path), ChunkCache(tmp_path / "cache"))
    for name in ("lab/a", "lab/b", f"lab/a@{versions[0]}"):
        with pytest.raises(NotFoundError, match="no recording 'lab/"):
            store.raw(name)
