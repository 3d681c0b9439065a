"""Remote stores without a server: sources that fail in every way, and what is made of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurodata.errors import IntegrityError, InvalidInputError, StoreError
from neurodata.store import Store, open_store, remote_catalog, remote_http, remote_io
from neurodata.store.chunk_cache import ChunkCache
from neurodata.store.remote import RemoteStore
from neurodata.store.remote_catalog import RemoteCatalog
from neurodata.store.remote_files import RemoteFiles
from neurodata.store.remote_io import Engine, Failure, Recent, Reply, engine
from neurodata.store.remote_s3 import S3Source
from neurodata.store.stored_tree import _inside


class Folder:
    """A source that is a folder, with what is missing from it; it lists or has no way to."""

    timeout_s = 1.0

    def __init__(self, folder: Path, *missing: str) -> None:
        self.folder, self.missing = folder, missing
        self.where = self.origin = f"folder://{folder}"

    async def get(self, path: str, span: tuple[int, int] | None, limit: int) -> Reply:
        if any(path.endswith(name) for name in self.missing):
            raise Failure("missing", "status 404")
        data = (self.folder / path).read_bytes()
        start, length = span or (0, len(data))
        return Reply(data[start : start + length], len(data))

    async def folders(self, path: str) -> list[str]:
        return sorted(p.name for p in (self.folder / path).iterdir() if p.is_dir())

    async def modified_ns(self, path: str) -> int:
        return (self.folder / path).stat().st_mtime_ns


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = open_store(tmp_path_factory.mktemp("local"), create=True)
    for name in ("a", "b"):
        node = xr.Dataset({"v": ("x", np.arange(3.0) + ord(name))})
        store.publish(xr.DataTree.from_dict({"n": node}), dataset="lab", recording=name)
    return store


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ChunkCache:
    monkeypatch.setattr(remote_io, "BACK_OFF_S", 0.001)
    engine().recent = Recent(remote_io.RECENT_BYTES)
    return ChunkCache(tmp_path / "cache")


def test_a_folder_gives_the_same_store(local: Store, cache: ChunkCache) -> None:
    for source in (Folder(local.path), Folder(local.path, "catalog.sqlite")):
        far = RemoteStore(source, cache)
        assert far.ids() == local.ids()
        values = far.raw("lab/a")["n"].to_dataset()["v"]
        assert values.values.tolist() == [97.0, 98.0, 99.0]


def test_what_is_missing_is_named(local: Store, cache: ChunkCache) -> None:
    with pytest.raises(IntegrityError, match=r"no manifest \(status 404\)"):
        RemoteStore(Folder(local.path, "manifest.json"), cache).raw("lab/a")


def test_a_listing_has_a_limit(
    local: Store, cache: ChunkCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Folder(local.path, "catalog.sqlite")
    monkeypatch.setattr(remote_catalog, "LISTED_LIMIT", 2)
    assert RemoteStore(source, cache).ids() == ["lab/a", "lab/b"]
    monkeypatch.setattr(remote_catalog, "LISTED_LIMIT", 1)
    with pytest.raises(StoreError, match="no catalogue but 2 versions"):
        RemoteStore(source, cache)


def test_a_catalogue_that_is_cut_is_none(local: Store) -> None:
    data = (local.path / "catalog.sqlite").read_bytes()
    assert remote_catalog._no_database(data) is None
    assert remote_catalog._no_database(data[:-1]) == f"{len(data) - 1} of {len(data)} bytes"
    for wrong in (b"", data[:99], b"x" + data[1:]):
        assert "no SQLite file" in str(remote_catalog._no_database(wrong))


def test_a_copy_of_the_catalogue_that_vanishes_is_made_again(
    local: Store, cache: ChunkCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process makes room between the look and the opening: once, then every time."""
    found = RemoteCatalog(Folder(local.path), cache)
    real, seen = cache.has, list[bool]()

    def once(key: str) -> bool:
        seen.append(real(key))
        return True if len(seen) == 1 else real(key)

    cache.drop(found._key)
    monkeypatch.setattr(cache, "has", once)
    with found.connected() as connection:
        assert connection.execute("SELECT COUNT(*) FROM versions").fetchone()[0] == 2
    assert seen[:3] == [False, False, False]
    cache.drop(found._key)
    monkeypatch.setattr(cache, "has", lambda key: True)
    with pytest.raises(StoreError, match="no readable catalogue"), found.connected():
        pytest.fail("it was opened")


def test_parts_are_of_files_of_the_manifest_and_inside_them(cache: ChunkCache) -> None:
    class Source(Folder):
        async def get(self, path: str, span: tuple[int, int] | None, limit: int) -> Reply:
            start, length = span or (0, 8)
            return Reply(b"01234567"[start : start + length], 8)

    digest = hashlib.sha256(b"01234567").hexdigest()
    files: Any = RemoteFiles(Source(Path("/x")), cache, "lab/a/0", "0" * 64, {"f": (8, digest)})
    assert files.read("f", 8, 0) == b""
    assert files.read("f", 0, 8) == files.whole("f") == b"01234567"
    assert files.waits("f", 0)
    assert files.file("f") is None
    for span in ((0, 9), (-9, 1), (0, -1), (8, 1)):
        with pytest.raises(IntegrityError, match=f"8 bytes; expected {span[1]} from byte"):
            files.read("f", *span)
    with pytest.raises(IntegrityError, match="no such file in the manifest"):
        files.size("g")


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="colour"):
        open_store("https://localhost/x", cache=tmp_path, options={"colour": 1})


# --- indices ----------------------------------------------------------------------------------

INDICES: list[Any] = [
    slice(None), slice(2, 7), slice(7, 2, -2), slice(3, 3), slice(-3, None), slice(None, None, 3),
    0, -1, np.int64(4), [1, 5, 3], [-1, 0], [4], np.arange(10) % 3 == 1, np.zeros(10, bool),
    np.array([], int),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_any_index_is_a_box_and_an_index_in_it(index: Any) -> None:
    values = np.arange(10)
    box, inner = _inside(index, 10)
    assert values[box][inner].tolist() == values[index].tolist()
    assert isinstance(box, slice)
    picked = np.atleast_1d(values[index])
    ends = (picked.min(), picked.max() + 1) if picked.size else (0, 0)
    assert (box.start, box.stop) == ends


# --- the engine -------------------------------------------------------------------------------


def test_connections_are_closed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    class Client:
        def __init__(self, name: str) -> None:
            self.name = name

        async def close(self) -> None:
            closed.append(self.name)

    async def made(here: Engine) -> None:
        async def client() -> Client:
            return Client("future")

        here.clients = {"a": Client("a"), "moved": {}, "b": asyncio.ensure_future(client())}

    here = Engine()
    here.run(made(here))
    monkeypatch.setattr(remote_io, "_engine", here)
    remote_io._at_exit()
    assert closed == ["a", "future"]
    monkeypatch.setattr(remote_io, "_engine", None)
    remote_io._at_exit()
    here.loop.call_soon_threadsafe(here.loop.stop)


def kind_of(question: Callable[[], Any]) -> str:
    with pytest.raises(Failure) as caught:
        question()
    return f"{caught.value.kind}: {caught.value.found}"


# --- web servers and the hub ------------------------------------------------------------------


def raising(error: Exception) -> Callable[[], Any]:
    def question() -> Any:
        raise error

    return question


def test_answers_of_the_hub_that_are_none() -> None:
    errors = pytest.importorskip("huggingface_hub.errors")
    asked = remote_http._asked

    def refused(status: int | None) -> Exception:
        error: Exception = errors.HfHubHTTPError.__new__(errors.HfHubHTTPError)
        error.response = SimpleNamespace(status_code=status)  # type: ignore[attr-defined]
        return error

    class ReadTimeoutError(Exception):
        pass

    class ConnectError(Exception):
        pass

    assert asked(lambda: 3) == 3
    for status, kind in ((401, "denied"), (403, "denied"), (500, "again"), (None, "again")):
        told = f"{kind}: status {status} of the hub"
        assert kind_of(lambda s=status: asked(raising(refused(s)))) == told  # type: ignore[misc]
    for error in (OSError(), ReadTimeoutError(), ConnectError()):
        told = f"again: no answer of the hub ({type(error).__name__})"
        assert kind_of(lambda e=error: asked(raising(e))) == told  # type: ignore[misc]
    with pytest.raises(ZeroDivisionError):
        asked(raising(ZeroDivisionError()))


@pytest.mark.parametrize(
    ("host", "public"),
    [("localhost", False), ("a.localhost", False), ("127.0.0.1", False), ("10.0.0.1", False),
     ("::1", False), ("8.8.8.8", True), ("example.org", True), ("", False)],
)  # fmt: skip
def test_hosts_of_everybody(host: str, public: bool) -> None:
    assert remote_http._public(host) is public


def test_redirects_to_no_address_are_unsafe() -> None:
    lead = remote_http._lead
    assert kind_of(lambda: lead("https://h/a", "https://[x/")) == (
        "unsafe: a redirect to no valid address"
    )
    assert kind_of(lambda: lead("https://h/a", "")).startswith("unsafe: a redirect to https://h")
    assert kind_of(lambda: lead("https://h/a", "https://u:p@g/")) == (
        "unsafe: a redirect to https://g/"
    )


@pytest.mark.parametrize(
    ("status", "headers", "span", "told"),
    [
        (200, {"Content-Encoding": "gzip"}, None, "unfit: the encoding 'gzip'"),
        (206, {}, None, "damaged: a part (status 206)"),
        (200, {}, (0, 4), "unfit: the whole file (status 200)"),
        (206, {"Content-Range": "bytes 0-4/9"}, (0, 4), "damaged: the range 'bytes 0-4/9'"),
        (200, {"Content-Type": "text/html"}, None, "damaged: a page of text/html (status 200)"),
        (407, {}, None, "denied: status 407"),
        (410, {}, None, "missing: status 410"),
        (418, {}, None, "unfit: status 418"),
        (416, {}, (0, 4), "damaged: a file shorter than the manifest says"),
    ],
)
def test_heads_of_answers_that_do_not_agree(
    status: int, headers: dict[str, str], span: Any, told: str
) -> None:
    response = SimpleNamespace(status=status, headers=headers)
    assert kind_of(lambda: remote_http._agreed(response, span)) == told


def test_heads_of_answers_that_agree() -> None:
    def agreed(status: int, span: Any, **headers: str) -> int | None:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return remote_http._agreed(SimpleNamespace(status=status, headers=named), span)

    assert agreed(200, None) is None
    assert agreed(200, None, Content_Length="7") == 7
    assert agreed(206, (2, 3), Content_Range="bytes 2-4/9") == 9
    assert agreed(206, (2, 3), Content_Range=" bytes 2-4/* ") is None
    failure = remote_http._bad_status(503, {"Retry-After": "7"})
    assert (failure.kind, failure.wait_s) == ("again", 7.0)
    assert remote_http._bad_status(429, {"Retry-After": "soon"}).wait_s == 0.0


def test_a_web_server_lists_nothing() -> None:
    source = remote_http.HttpSource("https://localhost/x")
    assert kind_of(lambda: asyncio.run(source.modified_ns("a"))) == "unfit: no catalogue"


# --- buckets ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("NoSuchKey", 404, "missing: NoSuchKey (status 404)"),
        ("AccessDenied", 400, "denied: AccessDenied (status 400)"),
        ("Other", 401, "denied: Other (status 401)"),
        ("Other", 403, "denied: Other (status 403)"),
        ("InvalidRange", 416, "damaged: a file shorter than the manifest says"),
        ("SlowDown", 503, "again: SlowDown (status 503)"),
        ("Other", 429, "again: Other (status 429)"),
        ("Other", None, "again: Other (status None)"),
        ("Other", 428, "unfit: Other (status 428)"),
    ],
)
def test_errors_of_a_bucket(code: str, status: int | None, told: str) -> None:
    exceptions = pytest.importorskip("botocore.exceptions")
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    assert kind_of(bucket(exceptions.ClientError(answer, "GetObject"))) == told


def bucket(error: BaseException) -> Callable[[], Any]:
    """A request to a bucket whose client raises."""

    async def asked() -> Any:
        async def question() -> Any:
            raise error

        return await S3Source("s3://b/x")._asked(question(), 1.0)

    return lambda: asyncio.run(asked())


def test_buckets_that_do_not_answer() -> None:
    exceptions = pytest.importorskip("botocore.exceptions")

    class IncompleteReadError(Exception):
        pass

    assert kind_of(bucket(exceptions.NoCredentialsError())) == "denied: no credentials"
    assert kind_of(bucket(IncompleteReadError())) == "damaged: an answer cut short"
    assert kind_of(bucket(KeyError("a"))) == "again: no connection (KeyError)"
    assert kind_of(bucket(Failure("unsafe", "as it is"))) == "unsafe: as it is"
    assert kind_of(bucket(TimeoutError())) == "again: no answer within 30 s"
    assert repr(S3Source("s3://b/x/")) == "S3Source('s3://b/x')"


def test_an_object_larger_than_it_may_be_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botocore.exceptions")

    class Body:
        async def __aenter__(self) -> Body:
            return self

        async def __aexit__(self, *_: object) -> None:
            return None

        async def read(self) -> bytes:
            return b"0123"

    async def get_object(**ask: Any) -> Any:
        return {"Body": Body(), "ContentLength": 4}

    async def client(self: S3Source, here: Engine) -> Any:
        return SimpleNamespace(get_object=get_object)

    monkeypatch.setattr(S3Source, "_client", client)
    source = S3Source("s3://b/x")
    assert engine().run(source.get("a", None, 4)) == Reply(b"0123", 4)
    with pytest.raises(Failure, match="4 bytes"):
        engine().run(source.get("a", None, 3))


def test_a_client_that_cannot_be_made_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    async def connect(self: S3Source) -> Any:
        made.append(1)
        if len(made) == 1:
            raise KeyError("profile")
        return "client"

    monkeypatch.setattr(S3Source, "_connect", connect)
    source, here = S3Source("s3://b/x", {"profile": "synthetic"}), Engine()
    with pytest.raises(KeyError):
        here.run(source._client(here))
    assert here.run(source._client(here)) == here.run(source._client(here)) == "client"
    assert len(made) == 2
    here.loop.call_soon_threadsafe(here.loop.stop)
