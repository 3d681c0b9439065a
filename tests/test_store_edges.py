"""Stored bytes at their edges: forms that others wrote, files that fail, caches that vanish."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import google_crc32c
import numpy as np
import pytest
from numcodecs import blosc
from numcodecs.vlen import VLenUTF8

from neurodata.errors import IntegrityError
from neurodata.store import chunk_cache, decode
from neurodata.store.arrays import StoredArray
from neurodata.store.chunk_cache import ChunkCache, cache_folder
from neurodata.store.files_of import LocalFiles
from neurodata.store.manifest import TREE
from neurodata.store.version import StoredNode, _array

VALUES = np.arange(4, dtype="<i2")
BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
TEXT, BLOSC, CRC = {"name": "vlen-utf8"}, {"name": "blosc"}, {"name": "crc32c"}


def checked(data: bytes) -> bytes:
    checksum: int = google_crc32c.value(data)
    return data + checksum.to_bytes(4, "little")


def stored(folder: Path, data: list[bytes], *codecs: Any, dtype: str = "int16") -> StoredArray:
    """An array of chunks of four items, each a file, and its metadata as Zarr has them."""
    sizes = {}
    for number, chunk in enumerate(data):
        path = folder / TREE / "a/b/c" / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chunk)
        sizes[f"{TREE}/a/b/c/{number}"] = len(chunk)
    text = {
        "shape": [4 * len(data)], "data_type": dtype, "codecs": list(codecs),
        "chunk_grid": {"configuration": {"chunk_shape": [4]}},
    }  # fmt: skip
    return _array(LocalFiles(folder, sizes), "a/b", text)


WHOLE, PART = (slice(0, 4),), (slice(1, 3),)


def test_chunks_without_checksum_or_compression_are_read(tmp_path: Path) -> None:
    plain = stored(tmp_path / "a", [VALUES.tobytes()], BYTES)
    packed = stored(tmp_path / "b", [blosc.compress(VALUES, b"lz4", 5, 1)], BYTES, BLOSC)
    words = np.array(["a", "µ", "", "d"], dtype=object)
    text = stored(
        tmp_path / "c", [checked(bytes(VLenUTF8().encode(words)))], TEXT, CRC, dtype="string"
    )
    for array, expected in ((plain, VALUES), (packed, VALUES), (text, words)):
        assert array.read(WHOLE).tolist() == expected.tolist()
        assert array.read(PART).tolist() == expected[1:3].tolist()
        assert array.values.tolist() == expected.tolist()
    assert "b" in StoredNode({}, {"b": plain})
    assert "c" not in StoredNode({}, {"b": plain})


@pytest.mark.parametrize(
    ("data", "codecs", "message"),
    [
        (VALUES.tobytes()[:-1], (BYTES,), "chunk"),
        (b"123", (BYTES, CRC), "bytes where 12 are expected|checksum"),
        (b"", (BYTES, BLOSC, CRC), "checksum"),
        (checked(VALUES.tobytes()[:-2]), (BYTES, CRC), "bytes where 12|buffer|reshape"),
        (
            checked(blosc.compress(np.arange(5, dtype="<i2"), b"lz4", 5, 1)),
            (BYTES, BLOSC, CRC),
            "a chunk of 10 bytes where 8 are expected",
        ),
        (checked(VALUES.tobytes())[:-1] + b"\0", (BYTES, CRC), "checksum"),
    ],
)
def test_chunks_of_another_size_are_errors(
    tmp_path: Path, data: bytes, codecs: tuple[Any, ...], message: str
) -> None:
    array = stored(tmp_path, [data], *codecs)
    for box in (WHOLE, PART):
        with pytest.raises(IntegrityError, match=f"{message}|cannot"):
            array.read(box)


def test_the_loop_is_not_asked_for_many_files_or_far_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def loop(*given: Any) -> bool:
        asked.append(len(given))
        return False

    monkeypatch.setattr(decode, "compiled", lambda *_: loop)
    monkeypatch.setattr(decode, "_functions", lambda: np.zeros(4, "u8"))
    array = stored(tmp_path, [VALUES.tobytes()] * 65, BYTES)
    assert array.read((slice(0, 4 * 65),)).tolist() == VALUES.tolist() * 65
    assert asked == []
    assert array.read((slice(0, 4 * 64),)).tolist() == VALUES.tolist() * 64
    assert len(asked) == 1
    monkeypatch.setattr(LocalFiles, "file", lambda self, path: None)
    assert not decode.decode_box(array, WHOLE, np.empty(4, "<i2"))
    assert len(asked) == 1


def test_where_its_c_functions_are_not_there_is_no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    found = decode._functions.__wrapped__
    assert found() is not None
    with monkeypatch.context() as patch:
        patch.setattr(sys, "byteorder", "big")
        assert found() is None
    with monkeypatch.context() as patch:
        patch.setattr(decode, "google_crc32c", SimpleNamespace())
        assert found() is None
    patched = SimpleNamespace(_crc32c=SimpleNamespace(__file__="/nowhere/crc.so"))
    monkeypatch.setattr(decode, "google_crc32c", patched)
    assert found() is None


def test_files_that_cannot_be_read_or_changed_size_are_errors(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"123")
    size = (tmp_path / "folder").stat().st_size
    files = LocalFiles(tmp_path, {"folder": size, "file": 4})
    with pytest.raises(IntegrityError, match=r"no read \(Is a directory\)"):
        files.read("folder", 0, 1)
    with pytest.raises(IntegrityError, match="3 bytes; expected 4 bytes"):
        files.size("file")
    with pytest.raises(IntegrityError, match="expected None bytes"):
        LocalFiles(tmp_path, {}).size("file")
    whole = LocalFiles(tmp_path, {"file": 3})
    assert whole.read("file", -2, 2) == b"23"
    assert whole.read("file", 3, 0) == b""
    with pytest.raises(IntegrityError, match="1 of 2 bytes at 2"):
        whole.read("file", 2, 2)


def test_kernels_without_hints_are_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"123")
    files = LocalFiles(tmp_path, {"file": 3})
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    monkeypatch.delattr(os, "RWF_NOWAIT", raising=False)
    files.fetch([("absent", 0, 1)])
    assert not files.waits("absent", 0)


# --- the cache --------------------------------------------------------------------------------


def test_the_folder_of_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NEURODATA_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_folder() == tmp_path / ".cache" / "neurodata"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_folder() == tmp_path / "x" / "neurodata"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == tmp_path / "Library" / "Caches" / "neurodata"
    monkeypatch.setenv("NEURODATA_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    assert cache_folder(tmp_path / "given") == tmp_path / "given"


def test_entries_that_are_none_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ChunkCache(tmp_path, limit_mb=0.01)
    one, large, folder = (ChunkCache.key(name) for name in ("one", "large", "folder"))
    assert cache.put(one, b"1" * 99)
    cache.path(large).parent.mkdir(exist_ok=True)
    cache.path(large).write_bytes(bytes(10_001))
    cache.path(folder).mkdir(parents=True)
    assert (cache.get(one), cache.get(large), cache.get(folder)) == (b"1" * 99, None, None)
    assert not cache.put(large, bytes(10_001))

    def fails(*_: Any) -> bytes:
        raise OSError(5, "Input/output error")

    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    monkeypatch.setattr(os, "read", fails)
    assert cache.get(one) is None
    monkeypatch.undo()
    if sys.platform == "linux":
        assert len(os.listdir("/proc/self/fd")) == before


def test_an_entry_that_another_process_removes_meanwhile_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "gone").write_bytes(b"1")
    with os.scandir(tmp_path) as found:
        (entry,) = found
    (tmp_path / "gone").unlink()
    assert list(chunk_cache._entry(entry)) == []
