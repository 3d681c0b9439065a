"""Stores from afar: the same data, few bytes, few waits, and every fault is an error."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurodata.errors import (
    IntegrityError,
    InvalidInputError,
    NeurodataError,
    NotFoundError,
    StoreError,
    UnsafeError,
)
from neurodata.store import Store, open_store, remote_io
from neurodata.store import catalog as catalogue
from neurodata.store.arrays import StoredArray
from neurodata.store.chunk_cache import ChunkCache, clean_cache
from neurodata.store.manifest import NAME, encode, version_of
from neurodata.store.remote import RemoteStore
from neurodata.store.remote_http import HttpSource, _lead
from neurodata.store.remote_io import RECENT_BYTES, Failure, Recent, engine
from tests.remote_servers import FileServer, HubServer, bucket, put, running

SAMPLES, CHANNELS = 150_000, 8
SECRET = "CANARY"


def synthetic_recording(seed: int, samples: int = SAMPLES) -> xr.DataTree:
    """Sharded noise, a small image, text and a scalar."""
    rng = np.random.default_rng(seed)
    eeg = xr.Dataset(
        {
            "signal_adc": (("time", "channel"),
                           rng.integers(-300, 300, (samples, CHANNELS)).astype("int16")),
            "scale": ("channel", np.full(CHANNELS, 1e-7)),
            "offset": ("channel", np.zeros(CHANNELS)),
        },
        {
            "channel": [f"C{i}" for i in range(CHANNELS)],
            "type": ("channel", ["EEG"] * CHANNELS),
        },
        {"representation": "timeseries", "schema": "timeseries/1",
         "start_s": 0.0, "rate_hz": 250.0, "n": samples, "units": "V"},
    )  # fmt: skip
    marks = xr.Dataset(
        {
            "start_s": ("interval", [1.0, 2.5]),
            "duration_s": ("interval", [np.nan, 1.0]),
            "label": ("interval", ["eyes closed", "Fußtritt µ"]),
        },
        attrs={"representation": "intervals", "schema": "intervals/1"},
    )
    image = xr.Dataset(
        {
            "image_adc": (("z", "y", "x"), rng.integers(0, 99, (8, 9, 10)).astype("u2")),
            "scale": ((), 1.0), "offset": ((), 0.0),
        },
        attrs={"representation": "volume", "schema": "volume/1"},
    )  # fmt: skip
    root = xr.Dataset(attrs={"id": "x", "modality": "eeg", "subject": f"s{seed}"})
    return xr.DataTree.from_dict({"/": root, "eeg": eeg, "marks": marks, "image": image})


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three recordings, the last in two versions, and another name for the first."""
    store = open_store(tmp_path_factory.mktemp("local") / "store", create=True)
    for seed, name in enumerate(("a", "b", "c")):
        store.publish(synthetic_recording(seed), dataset="lab", recording=name)
    store.publish(synthetic_recording(9, 2000), dataset="lab", recording="c")
    store.publish(synthetic_recording(0), dataset="lab", recording="same_as_a")
    return store


@pytest.fixture
def web(local: Store) -> Iterator[FileServer]:
    with running(FileServer(local.path)) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No part in memory, a cache of one's own, short pauses, no credentials."""
    engine().recent = Recent(RECENT_BYTES)
    monkeypatch.setattr(remote_io, "BACK_OFF_S", 0.001)
    monkeypatch.setenv("NEURODATA_CACHE", str(tmp_path / "cache"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def forget() -> None:
    """Forget what is in memory; the folder of the cache stays."""
    engine().recent = Recent(RECENT_BYTES)


def remote(address: str, **more: Any) -> RemoteStore:
    store = open_store(address, **more)
    assert isinstance(store, RemoteStore)
    return store


def signal(store: Store, id: str = "lab/a") -> StoredArray:
    return store.arrays(id).nodes["eeg"].arrays["signal_adc"]


def rows(start: int, stop: int) -> tuple[slice, slice]:
    return slice(start, stop), slice(0, CHANNELS)


def chunks_of(name: str) -> Callable[[str], bool]:
    return lambda path: f"lab/{name}/" in path and "signal_adc/c/" in path


# --- the same store ---


def assert_same(far: Store, near: Store) -> None:
    assert far.ids() == near.ids()
    assert far.datasets() == near.datasets()
    assert far.select("subject == 's1'") == near.select("subject == 's1'") == ["lab/b"]
    for name in near.ids():
        assert far.versions(name) == near.versions(name)
        assert far.version(name) == near.version(name)
        assert far.manifest(name) == near.manifest(name)
        xr.testing.assert_identical(far.raw(name).load(), near.raw(name).load())
        xr.testing.assert_identical(far[name].load(), near[name].load())
    old = f"lab/c@{near.versions('lab/c')[1]}"
    xr.testing.assert_identical(far[old].load(), near[old].load())


def test_a_web_server_gives_the_same_store(local: Store, web: FileServer) -> None:
    far = remote(web.url)
    assert_same(far, local)
    assert far.catalog().equals(local.catalog())
    assert open_store(Path(web.url)).ids() == far.ids()  # as a Path makes // to /
    assert "lab/b" in far
    assert "lab/none" not in far
    assert far.version("lab/same_as_a") == far.version("lab/a")
    with pytest.raises(NotFoundError, match=r"no recording 'lab/none'.*lab/a"):
        far.arrays("lab/none")
    with pytest.raises(NotFoundError, match="no version"):
        far.arrays("lab/a@0000000000000000")


def test_trees_are_lazy_and_a_slice_gets_its_chunks_only(web: FileServer) -> None:
    far = remote(web.url)
    raw, tree = far.raw("lab/a"), far["lab/a"]
    assert not any(chunks_of("a")(path) for path in web.sent)
    assert tree["eeg"]["signal"].chunks is not None
    assert raw["eeg"]["signal_adc"][1000:1250, 2].values.shape == (250,)
    array = signal(far)
    index = sum(length for _, _, length in signal(remote(web.url)).index_ranges(rows(0, 1)))
    chunk = array.ranges(rows(1000, 1250))[0][2]
    assert web.sent_to(chunks_of("a")) == chunk + index
    assert tree["eeg"]["signal"][1000:1250, 2].values.shape == (250,)
    assert web.sent_to(chunks_of("a")) < 6 * chunk  # one block of some 1 MiB
    lazy, values = raw["eeg"]["signal_adc"].data, array.values
    for where in ((slice(5000, 1000, -7), slice(None, None, 3)), ([7, 99_999, -1], slice(2, 5)),
                  (slice(9, 9), 3), (-1, slice(None)), (slice(50, 90), [5, 1])):  # fmt: skip
        np.testing.assert_array_equal(lazy[where].compute(), values[where])
    few = np.arange(len(values)) % 9999 == 5
    np.testing.assert_array_equal(lazy[few, 1:].compute(), values[few, 1:])


def test_what_would_write_is_refused(web: FileServer) -> None:
    far = remote(web.url)
    refused: list[Callable[[], Any]] = [
        far.sweep, far.rebuild, far.verify,
        lambda: far.publish(synthetic_recording(0), dataset="lab", recording="x"),
        lambda: far.known("lab", "x", {}), lambda: far.zarr("lab/a"), lambda: far.folder("lab/a"),
    ]  # fmt: skip
    for verb in refused:
        with pytest.raises(StoreError, match="local disk"):
            verb()
    with pytest.raises(InvalidInputError):
        open_store(web.url, create=True)
    assert {method for method, _ in web.requests} == {"GET"}


@pytest.mark.parametrize(
    "address", ["ftp://host/a", "file:///etc", "http:///a", "s3://k:s@b/a", "hf://models/a/b"]
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(InvalidInputError):
        open_store(address)


# --- few bytes, few waits ---


def test_an_epoch_moves_little_more_than_its_chunks(local: Store, web: FileServer) -> None:
    far = remote(web.url)
    far.fetch(far.ids())
    arrays = [signal(far, f"lab/{name}") for name in "ab"]
    web.forget()
    needed = 0
    for array in arrays:
        array.files.fetch(array.index_ranges(rows(0, SAMPLES)))
        ranges = array.ranges(rows(0, SAMPLES))
        needed += sum(length for _, _, length in ranges)
        array.files.fetch(ranges)
    assert needed > 1e6
    assert web.bytes <= 1.05 * needed
    assert len(web.requests) <= 6  # neighbours come together
    before = len(web.requests)
    for array, name in zip(arrays, "ab", strict=True):
        expected = signal(local, f"lab/{name}").read(rows(0, SAMPLES))
        np.testing.assert_array_equal(array.read(rows(0, SAMPLES)), expected)
    assert len(web.requests) == before


def test_scattered_windows_move_their_chunks_only(web: FileServer) -> None:
    array = signal(remote(web.url))
    array.files.fetch(array.index_ranges(rows(0, SAMPLES)))
    web.forget()
    wanted = {one for start in (10, 30_000, 149_000)
              for one in array.ranges(rows(start, start + 100))}  # fmt: skip
    array.files.fetch(sorted(wanted))
    assert web.bytes == sum(length for _, _, length in wanted)


def test_the_first_batch_waits_for_few_round_trips(local: Store, tmp_path: Path) -> None:
    many = open_store(tmp_path / "many", create=True)
    for number in range(8):
        many.publish(synthetic_recording(number, 40_000), dataset="lab", recording=f"r{number}")
    with running(FileServer(many.path, latency_s=0.05)) as server:
        began = time.monotonic()
        far = remote(server.url)
        far.fetch(far.ids())
        arrays = [signal(far, name) for name in far.ids()]
        with ThreadPoolExecutor(20) as threads:
            list(threads.map(lambda a: a.files.fetch(a.index_ranges(rows(500, 750))), arrays))
            list(threads.map(lambda a: a.files.fetch(a.ranges(rows(500, 750))), arrays))
        batch = np.stack([array.read(rows(500, 750)) for array in arrays])
        took_s = time.monotonic() - began
        assert server.most_active > 16
        assert len(server.requests) > 150
    expected = [signal(many, name).read(rows(500, 750)) for name in many.ids()]
    np.testing.assert_array_equal(batch, np.stack(expected))
    assert took_s < 5  # one after the other, the requests would take 8 s


def test_threads_that_want_the_same_wait_for_one_request(local: Store, web: FileServer) -> None:
    far = remote(web.url)
    array = signal(far)
    ranges = array.ranges(rows(0, SAMPLES))
    web.forget()
    web.latency_s = 0.05
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: array.files.fetch(ranges), range(8)))
        found = list(threads.map(lambda _: array.read(rows(7, 99)), range(8)))
    assert web.bytes <= 1.05 * sum(length for _, _, length in ranges)
    for one in found:
        np.testing.assert_array_equal(one, signal(local).read(rows(7, 99)))


# --- faults ---

LASTING = {
    "page": (IntegrityError, "text/html"),
    "short": (IntegrityError, "cut short"),
    "whole": (StoreError, "whole file.*ranges"),
    "shifted": (IntegrityError, "the range"),
    "total": (IntegrityError, "a file of"),
    "zeros": (IntegrityError, "checksum"),
    "endless": (IntegrityError, "more than|cut short"),
    "hang": (StoreError, "no answer within 0.3 s"),
    404: (IntegrityError, "status 404"),
    403: (StoreError, "status 403.*login"),
    416: (IntegrityError, "shorter"),
    500: (StoreError, "status 500"),
    503: (StoreError, "status 503.*later"),
    "file:///etc/passwd": (UnsafeError, "redirect to file"),
    "http://elsewhere.example/x?token=CANARY": (UnsafeError, "redirect to http://elsewhere"),
    "ftp://127.0.0.1/x": (UnsafeError, "redirect"),
}


@pytest.mark.parametrize("fault", LASTING, ids=str)
def test_a_lasting_fault_is_a_typed_error(web: FileServer, fault: int | str) -> None:
    kind, message = LASTING[fault]
    address = web.url.replace("://", f"://me:{SECRET}@") + f"?token={SECRET}"
    far = remote(address, options={"timeout_s": 0.3, "headers": {"X-Key": SECRET}})
    array = signal(far)
    array.files.fetch(array.index_ranges(rows(0, 1)))
    web.forget()
    web.fault = lambda path: fault if chunks_of("a")(path) else None
    with pytest.raises(kind, match=message) as caught:
        array.read(rows(0, 100))
    text = str(caught.value)
    assert f"{web.url}/lab/a/" in text
    assert "signal_adc/c/0/0" in text
    whole = "".join(_everything(caught.value))
    assert SECRET not in whole
    assert SECRET not in repr(far)
    assert len(web.requests) <= 5
    assert all(SECRET in path for _, path in web.requests)
    assert all(head["X-Key"] == SECRET for head in web.headers)
    web.fault = lambda path: None
    assert array.read(rows(0, 100)).any()  # and nothing bad was kept


def _everything(error: BaseException) -> Iterator[str]:
    import traceback

    yield from traceback.format_exception(error)
    yield repr(error)


@pytest.mark.parametrize("fault", ["page", "short", "shifted", "zeros", "hang", 500, 503, 429])
def test_a_passing_fault_is_overcome(local: Store, web: FileServer, fault: int | str) -> None:
    far = remote(web.url, options={"timeout_s": 0.3})
    array, left = signal(far), [2]

    def twice(path: str) -> int | str | None:
        left[0] -= chunks_of("a")(path)
        return fault if left[0] >= 0 and chunks_of("a")(path) else None

    web.fault = twice
    expected = signal(local).read(rows(0, SAMPLES))
    np.testing.assert_array_equal(array.read(rows(0, SAMPLES)), expected)


@pytest.mark.parametrize("fault", ["page", "short", "total", "zeros", "endless"])
@pytest.mark.parametrize("file", [NAME, "zarr.json", "label/c/0"])
def test_faults_in_small_files_are_typed_errors(web: FileServer, fault: str, file: str) -> None:
    far = remote(web.url, options={"timeout_s": 0.5})
    web.fault = lambda path: fault if path.endswith(file) else None
    with pytest.raises(IntegrityError, match="lab/b/"):
        far.raw("lab/b")
    with pytest.raises(IntegrityError, match="lab/"):
        far.fetch(far.ids())
    web.fault = lambda path: None
    assert far.raw("lab/b").load() is not None


def test_a_server_that_is_gone_is_a_typed_error(local: Store) -> None:
    with running(FileServer(local.path)) as server:
        far = remote(server.url)
        array = signal(far)
    with pytest.raises(StoreError, match="no connection"):
        array.read(rows(0, 10))
    with pytest.raises(StoreError, match="no connection"):
        remote(server.url)


@pytest.mark.parametrize("fault", [404, "page", "short", "zeros", "endless", 403, 500])
def test_a_web_server_without_catalogue_says_what_to_do(web: FileServer, fault: int | str) -> None:
    web.fault = lambda path: fault if path == catalogue.FILE else None
    with pytest.raises(StoreError, match=r"catalog\.sqlite") as caught:
        remote(web.url)
    if fault == 404:
        assert "neurodata rebuild" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "safe"),
    [
        ("https://a.org/x", "https://cdn.b.org/y?sig=1", True),
        ("https://a.org/x", "/other", True),
        ("https://a.org/x", "http://a.org/y", False),
        ("https://a.org/x", "https://127.0.0.1/y", False),
        ("https://a.org/x", "https://[::1]/y", False),
        ("https://a.org/x", "https://localhost/y", False),
        ("https://a.org/x", "https://169.254.169.254/latest", False),
        ("https://a.org/x", "https://me:pw@b.org/y", False),
        ("https://a.org/x", "file:///etc/passwd", False),
        ("https://a.org/x", "", False),
        ("http://a.org/x", "https://b.org/y", True),
        ("http://a.org/x", "http://a.org:81/y", True),
        ("http://a.org/x", "http://b.org/y", False),
    ],
)
def test_redirects_that_are_followed(old: str, new: str, safe: bool) -> None:
    if safe:
        assert _lead(old, new).startswith(("https://", "http://a.org"))
    else:
        with pytest.raises(Failure) as caught:
            _lead(old, new)
        assert caught.value.kind == "unsafe"


def hostile(folder: Path, version: str, recording: str = "a", **changes: Any) -> str:
    """Put a manifest of one's own below a store, and into its catalogue; return its version."""
    manifest = json.loads((folder / "lab" / "a" / version / NAME).read_bytes())
    data = encode({**manifest, **changes})
    target = folder / "lab" / "a" / version_of(data)
    target.mkdir()
    (target / NAME).write_bytes(data)
    with closing(sqlite3.connect(folder / catalogue.FILE)) as connection, connection:
        connection.execute("UPDATE versions SET version = ?, recording = ? WHERE recording = 'a'",
                           (target.name, recording))  # fmt: skip
    return target.name


def test_a_manifest_or_catalogue_of_an_enemy_leads_nowhere(local: Store, tmp_path: Path) -> None:
    version = local.version("lab/a")
    bad: list[tuple[dict[str, Any], str]] = [
        ({"files": [{"path": "data.zarr/../../x", "size": 1, "sha256": "0"}]}, "the path"),
        ({"files": [{"path": "/etc/passwd", "size": 1, "sha256": "0"}]}, "the path"),
        ({"files": [{"path": 3}]}, "another form"),
        ({"dataset": "other"}, "other/a"),
        ({"format": "neurodata-manifest/9"}, "neurodata-manifest/9"),
    ]
    for number, (changes, message) in enumerate(bad):
        folder = tmp_path / str(number)
        shutil.copytree(local.path, folder)
        hostile(folder, version, **changes)
        with running(FileServer(folder)) as server, pytest.raises(IntegrityError, match=message):
            remote(server.url).raw("lab/a")
    folder = tmp_path / "names"
    shutil.copytree(local.path, folder)
    with closing(sqlite3.connect(folder / catalogue.FILE)) as connection, connection:
        connection.execute("UPDATE versions SET version = '../../x' WHERE recording = 'a'")
        connection.execute("UPDATE versions SET attrs = '[1' WHERE recording = 'b'")
    with running(FileServer(folder)) as server:
        far = remote(server.url)
        with pytest.raises(StoreError, match="the version"):
            far.raw("lab/a")
        with pytest.raises(StoreError, match="rows of another form"):
            far.catalog()


# --- the cache ---


def test_a_second_opening_fetches_the_catalogue_only(local: Store, web: FileServer) -> None:
    remote(web.url)["lab/a"].load()
    forget()
    web.forget()
    again = remote(web.url)
    xr.testing.assert_identical(again["lab/a"].load(), local["lab/a"].load())
    assert [path for _, path in web.requests] == [f"/{catalogue.FILE}"]


def entries(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("chunks-1/??/*") if len(p.name) == 64)


def test_damaged_entries_are_dropped_and_fetched_again(
    local: Store, web: FileServer, tmp_path: Path
) -> None:
    far = remote(web.url)
    far["lab/a"].load()
    expected = local["lab/a"].load()
    for damage in (lambda d: d[:-1], lambda d: b"", lambda d: bytes(len(d)),
                   lambda d: d[:9] + bytes([d[9] ^ 1]) + d[10:]):  # fmt: skip
        for path in entries(tmp_path / "cache"):
            if not path.read_bytes().startswith(b"SQLite"):
                path.write_bytes(damage(path.read_bytes()))
        forget()
        xr.testing.assert_identical(pickle.loads(pickle.dumps(far))["lab/a"].load(), expected)
    forget()
    web.forget()
    pickle.loads(pickle.dumps(far))["lab/a"].load()
    assert web.requests == []


def test_a_damaged_catalogue_in_the_cache_is_fetched_again(web: FileServer, tmp_path: Path) -> None:
    far = remote(web.url)
    (copy,) = [p for p in entries(tmp_path / "cache") if p.read_bytes().startswith(b"SQLite")]
    copy.write_bytes(b"SQLite format 3\0" + bytes(5000))
    with pytest.raises(StoreError, match="catalogue"):
        far.ids()
    assert far.ids()[0] == "lab/a"


def test_the_cache_keeps_its_bound_and_what_was_used_last(tmp_path: Path) -> None:
    cache = ChunkCache(tmp_path, limit_mb=0.2)
    for number in range(100):
        cache.put(ChunkCache.key(number), bytes(9000))
        assert cache.used_bytes() <= 200_000
        cache.get(ChunkCache.key(0))
        os.utime(cache.path(ChunkCache.key(0)), (2e9, 2e9))
    assert cache.has(ChunkCache.key(0))
    assert cache.has(ChunkCache.key(99))
    assert not cache.has(ChunkCache.key(1))
    assert not cache.put(ChunkCache.key("big"), bytes(200_001))


def test_an_epoch_larger_than_the_cache_is_right(local: Store, web: FileServer) -> None:
    far = remote(web.url, cache_mb=1)
    engine().recent = Recent(10**6)
    for name in "ab":
        array = signal(far, f"lab/{name}")
        array.files.fetch(array.ranges(rows(0, SAMPLES)))
        expected = signal(local, f"lab/{name}").read(rows(0, SAMPLES))
        np.testing.assert_array_equal(array.read(rows(0, SAMPLES)), expected)
        assert far.cache.used_bytes() <= 1_000_000
    assert far.ids()[0] == "lab/a"
    with pytest.raises(StoreError, match="cache_mb"):
        remote(web.url, cache_mb=0.001)
    with pytest.raises(InvalidInputError, match="cache_mb"):
        remote(web.url, cache_mb=0)


def test_cleaning_removes_entries_and_nothing_else(web: FileServer, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    far = remote(web.url)
    far["lab/a"].load()
    mine = [folder / "mine.txt", folder / "chunks-1" / "ab" / "mine.txt"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("precious")
    outside = tmp_path / "outside"
    (outside / "cd").mkdir(parents=True)
    kept = outside / "cd" / ("c" * 64)
    kept.write_text("precious")
    link = folder / "chunks-1" / "zz"
    link.symlink_to(outside / "cd")
    held = far.cache.used_bytes()
    assert held > 100_000
    assert clean_cache(folder) == held
    assert far.cache.used_bytes() == 0
    assert [path.read_text() for path in (*mine, kept)] == ["precious"] * 3
    forget()
    assert far["lab/a"].load() is not None


def test_entries_that_are_links_are_not_followed(tmp_path: Path) -> None:
    cache = ChunkCache(tmp_path / "c")
    secret = tmp_path / "secret"
    secret.write_bytes(b"precious")
    key = ChunkCache.key("x")
    cache.path(key).parent.mkdir()
    cache.path(key).symlink_to(secret)
    assert cache.get(key) is None
    assert cache.put(key, b"data")
    assert secret.read_bytes() == b"precious"
    assert cache.get(key) == b"data"


def test_a_cache_that_cannot_be_written_is_a_typed_error(web: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="NEURODATA_CACHE"):
        remote(web.url, cache=tmp_path / "file")


def test_a_full_disk_costs_speed_only(
    local: Store, web: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = remote(web.url)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    xr.testing.assert_identical(far["lab/b"].load(), local["lab/b"].load())
    assert not list(far.cache.folder.glob("??/*.part"))


# --- processes ---


def read_rows(store: RemoteStore, out: Any) -> None:
    sums = [int(signal(store, f"lab/{name}").read(rows(0, SAMPLES)).sum()) for name in "ab"]
    out.put((sums, store.cache.used_bytes()))


def fill(folder: str, seed: int, out: Any) -> None:
    cache, most = ChunkCache(Path(folder), limit_mb=0.5), 0
    for number in range(150):
        key = ChunkCache.key(seed * (number % 2), number)
        cache.put(key, key.encode() * 200)
        found = cache.get(key)
        if found not in (None, key.encode() * 200):
            most = 10**9
        most = max(most, cache.used_bytes())
    out.put(most)


def ended(work: Any, *arguments: Any) -> None:
    """Work, and end without joining what the session's other threads left to a fork."""
    work(*arguments)
    arguments[-1].close()
    arguments[-1].join_thread()
    os._exit(0)


def gathered(context: Any, work: Any, arguments: list[tuple[Any, ...]]) -> list[Any]:
    out = context.Queue()
    processes = [context.Process(target=ended, args=(work, *a, out)) for a in arguments]
    for process in processes:
        process.start()
    found = [out.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(10)
        assert process.exitcode == 0
    return found


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_processes_read_with_connections_of_their_own(
    local: Store, web: FileServer, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = remote(web.url, cache_mb=5)
    expected = [int(signal(local, f"lab/{name}").read(rows(0, SAMPLES)).sum()) for name in "ab"]
    stop, busy = threading.Event(), threading.Thread(target=lambda: None)
    if way == "fork":  # while the parent's own connections are at work
        array = signal(far)

        def work() -> None:
            while not stop.is_set():
                forget()
                clean_cache()
                array.read(rows(0, SAMPLES))

        busy = threading.Thread(target=work)
    busy.start()
    try:
        context = multiprocessing.get_context(way)
        for sums, used in gathered(context, read_rows, [(far,), (far,)]):
            assert sums == expected
            assert used <= 5_000_000
    finally:
        stop.set()
        busy.join(20)


def test_two_processes_keep_one_bound(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    arguments = [(str(tmp_path), seed) for seed in (1, 2)]
    assert max(gathered(context, fill, arguments)) <= 500_000


# --- buckets and the hub ---


def test_a_bucket_gives_the_same_store(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with bucket(local.path.parent) as (url, client):
        options = {"endpoint_url": url, "key": "k", "secret": SECRET,
                   "client_kwargs": {"region_name": "us-east-1"}, "timeout_s": 5.0}  # fmt: skip
        address = f"s3://brains/{local.path.name}"
        far = remote(address, options=options)
        assert_same(far, local)
        assert far.catalog().equals(local.catalog())
        key = next(
            f"{local.path.name}/lab/a/{local.version('lab/a')}/{e['path']}"
            for e in local.manifest("lab/a")["files"]
            if "signal_adc/c/" in e["path"]
        )
        whole = client.get_object(Bucket="brains", Key=key)["Body"].read()
        for body in (whole[:-5], whole + b"x", bytes(len(whole)), None):
            if body is None:
                client.delete_object(Bucket="brains", Key=key)
            else:
                client.put_object(Bucket="brains", Key=key, Body=body)
            clean_cache()
            forget()
            with pytest.raises(
                IntegrityError, match=r"s3://brains/store/lab/a/.*signal_adc"
            ) as caught:
                signal(remote(address, options=options)).read(rows(0, 10))
            assert SECRET not in "".join(_everything(caught.value))
        with pytest.raises(NotFoundError, match="NoSuchBucket"):
            remote("s3://none/store", options=options)


def test_a_bucket_without_catalogue_is_listed(local: Store, tmp_path: Path) -> None:
    shutil.copytree(local.path, tmp_path / "store")
    (tmp_path / "store" / catalogue.FILE).unlink()
    newest = local.folder("lab/c").relative_to(local.path).as_posix()
    with bucket(tmp_path / "store") as (url, client):
        time.sleep(1.1)  # times of objects are whole seconds
        put(client, "brains", local.path / newest / NAME, f"{newest}/{NAME}")
        options = {"endpoint_url": url, "client_kwargs": {"region_name": "us-east-1"}}
        far = remote("s3://brains", options=options)
        assert_same(far, local)
        plain = local.catalog()
        assert far.catalog().equals(plain)
        with pytest.raises(NotFoundError, match="no store"):
            remote("s3://brains/lab", options=options)


@pytest.fixture
def hub(local: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with running(HubServer(local.path.parent)) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setenv("HF_TOKEN", HubServer.token)
        engine().clients.pop("hub", None)
        yield server
        engine().clients.pop("hub", None)


def test_the_hub_gives_the_same_store_and_keeps_the_token(local: Store, hub: HubServer) -> None:
    far = remote(f"hf://datasets/{hub.repo}/store")
    assert_same(far, local)
    assert hub.sha[:12] in far.where
    assert hub.token.encode() not in pickle.dumps(far)
    assert all("Authorization" not in headers for headers in hub.elsewhere.headers)
    resolved = [path for _, path in hub.requests if "/resolve/" in path]
    assert len(resolved) == len(set(resolved))  # where a file lies is asked once
    hub.elsewhere.fault = lambda path: "zeros" if chunks_of("b")(path) else None
    clean_cache()
    forget()
    with pytest.raises(IntegrityError, match="hf://datasets/lab/brains@") as caught:
        far["lab/b"].load()
    told = "".join(_everything(caught.value))
    assert hub.token not in told
    assert hub.signature not in told


def test_an_address_that_expired_is_asked_for_again(local: Store, hub: HubServer) -> None:
    far = remote(f"hf://datasets/{hub.repo}/store")
    array, left = signal(far), [1]
    array.read(rows(0, 10))

    def once(path: str) -> int | None:
        left[0] -= 1
        return 403 if left[0] >= 0 else None

    hub.elsewhere.fault = once
    expected = signal(local).read(rows(0, SAMPLES))
    np.testing.assert_array_equal(array.read(rows(0, SAMPLES)), expected)


def test_a_hub_without_catalogue_is_listed(local: Store, hub: HubServer, tmp_path: Path) -> None:
    shutil.copytree(local.path, tmp_path / "copy" / "store")
    (tmp_path / "copy" / "store" / catalogue.FILE).unlink()
    newest = local.folder("lab/c")
    for number, version in enumerate(local.versions("lab/c")):
        path = tmp_path / "copy" / "store" / "lab" / "c" / version / NAME
        os.utime(path, (30 - number, 30 - number))
    hub.folder = hub.elsewhere.folder = tmp_path / "copy"
    far = remote(f"hf://datasets/{hub.repo}/store")
    assert_same(far, local)
    assert far.version("lab/c") == newest.name


def test_a_hub_that_refuses_is_a_typed_error(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFoundError, match="revision 'none'"):
        remote(f"hf://datasets/{hub.repo}@none/store")
    with pytest.raises(NotFoundError, match="no store"):
        remote(f"hf://datasets/{hub.repo}/empty")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(NeurodataError, match="lab/brains") as caught:
        remote(f"hf://datasets/{hub.repo}/store")
    assert "hf_wrong" not in "".join(_everything(caught.value))


def test_a_source_pickles_and_tells_no_secret() -> None:
    source = HttpSource(f"https://me:{SECRET}@host/a?sig={SECRET}", {"X": SECRET})
    assert SECRET not in repr(source) + source.where + source.origin
    assert pickle.loads(pickle.dumps(source)).where == "https://host/a"
