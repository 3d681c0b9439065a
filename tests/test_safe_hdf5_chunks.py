"""Chunks of HDF5 are no larger than their place, which is seen before memory is taken for them."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t

from neurodata import safe_hdf5_chunks
from neurodata.errors import UnreadableError, UnsafeError
from neurodata.safe_hdf5 import open_hdf5

ROOT = Path(__file__).parents[1]


def hdf5(path: Path, chunk: bytes, place: int = 1000, mask: int = 0, **options: Any) -> Path:
    """A synthetic dataset of two chunks, the second of which is stored as it is given."""
    options = {"compression": "gzip", **options}
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("n", (2 * place,), "u1", chunks=(place,), **options)
        dataset[:place] = 1
        dataset.id.write_direct_chunk((place,), chunk, mask)
    return path


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every chunk is counted, however small."""
    monkeypatch.setattr(safe_hdf5_chunks, "FREE_BYTES", 0)


BOMB = """
import resource, sys
from pathlib import Path
from neurodata.errors import UnsafeError
from neurodata.safe_hdf5 import open_hdf5
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    with open_hdf5(Path(sys.argv[1])) as file:
        file["n"][:]
except UnsafeError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("place", [1000, 4 * 2**20])
def test_a_bomb_takes_no_memory(place: int, tmp_path: Path) -> None:
    """600 MB of zeros in 3 MB, for which HDF5 would take as much memory and more."""
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(600))
    packed += packer.flush()
    assert 2**21 < len(packed) < 2**22
    path = hdf5(tmp_path / "a.h5", packed, place)
    command = [sys.executable, "-c", BOMB, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told, grown = done.stdout.splitlines()
    assert "a.h5: /n: found a chunk of" in told
    assert f"expected {place} bytes, its place" in told
    assert int(grown) < 100


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize(
    "options",
    [{}, {"shuffle": True}, {"fletcher32": True}, {"shuffle": True, "fletcher32": True},
     {"compression": "lzf"}, {"compression": None, "fletcher32": True}, {"compression": None}],
)  # fmt: skip
@pytest.mark.parametrize("values", [np.zeros(5000, "u1"), np.random.default_rng(1).bytes(5000)])
def test_honest_chunks_are_read(options: dict[str, Any], values: Any, tmp_path: Path) -> None:
    numbers = np.frombuffer(values, "u1").reshape(50, 100)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset(
            "n", data=numbers, chunks=(13, 99), **{"compression": "gzip", **options}
        )
    for _ in range(2):
        with open_hdf5(tmp_path / "a.h5") as file:
            np.testing.assert_array_equal(file["n"][:], numbers)


@pytest.mark.usefixtures("counted")
def test_chunks_unpack_to_their_place_and_no_more(tmp_path: Path) -> None:
    with open_hdf5(hdf5(tmp_path / "a.h5", zlib.compress(bytes(1000)))) as file:
        assert file["n"][1000:].tolist() == [0] * 1000
    for size in (1005, 2**22):
        path = hdf5(tmp_path / f"{size}.h5", zlib.compress(bytes(size)))
        told = "bytes unpacked; expected 1000 bytes, its place"
        with pytest.raises(UnsafeError, match=told), open_hdf5(path):
            pytest.fail("it was opened")


@pytest.mark.usefixtures("counted")
def test_a_chunk_that_is_not_packed_is_not_unpacked(tmp_path: Path) -> None:
    """Its mask says which filters were left out."""
    path = hdf5(tmp_path / "a.h5", bytes(range(250)) * 4, mask=1)
    with open_hdf5(path) as file:
        assert file["n"][1000:].tolist() == list(range(250)) * 4
    path = hdf5(tmp_path / "b.h5", bytes(range(250)) * 4, mask=0)
    with pytest.raises(UnreadableError, match="a damaged chunk"), open_hdf5(path):
        pytest.fail("it was opened")


def test_a_chunk_is_stored_in_no_more_than_its_place(tmp_path: Path) -> None:
    slack = 1000 // 64 + 2**20
    stored = zlib.compress(bytes(1000))
    with open_hdf5(hdf5(tmp_path / "a.h5", stored.ljust(1000 + slack, b"\0"))) as file:
        assert file["n"][1000:].tolist() == [0] * 1000
    for options in ({}, {"compression": "lzf"}):
        path = hdf5(tmp_path / "b.h5", stored.ljust(1001 + slack, b"\0"), **options)
        told = f"a chunk of {1001 + slack} stored bytes"
        with pytest.raises(UnsafeError, match=told), open_hdf5(path):
            pytest.fail("it was opened")


def test_chunks_packed_twice_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        plist = h5p.create(h5p.DATASET_CREATE)
        plist.set_chunk((4,))
        plist.set_deflate(4)
        plist.set_deflate(4)
        space = h5s.create_simple((4,))
        dataset = h5d.create(file.id, b"n", h5t.NATIVE_INT32, space, plist)
        dataset.write(h5s.ALL, h5s.ALL, np.arange(4, dtype="i4"))
    with pytest.raises(UnsafeError, match="packed twice"), open_hdf5(path):
        pytest.fail("it was opened")


@pytest.mark.usefixtures("counted")
def test_chunks_are_counted_once_as_long_as_the_file_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, seen = safe_hdf5_chunks._count, [0]

    def counting(*given: Any) -> None:
        seen[0] += 1
        count(*given)

    monkeypatch.setattr(safe_hdf5_chunks, "_count", counting)
    monkeypatch.setattr(safe_hdf5_chunks, "_known", set())
    monkeypatch.setattr(safe_hdf5_chunks, "KNOWN_LIMIT", 2)
    path = hdf5(tmp_path / "a.h5", zlib.compress(bytes(1000)))
    for _ in range(3):
        with open_hdf5(path):
            assert seen == [2]
    os.utime(path, ns=(1, 1))
    with open_hdf5(path):
        assert seen == [4]
    with open_hdf5(hdf5(tmp_path / "b.h5", zlib.compress(bytes(1000)))):
        assert seen == [6]
    assert len(safe_hdf5_chunks._known) == 1
    hdf5(path, zlib.compress(bytes(2000)))
    with pytest.raises(UnsafeError), open_hdf5(path):
        pytest.fail("it was opened")
