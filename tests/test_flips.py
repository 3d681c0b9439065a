"""A bit that turned over: found by a listed checksum, and by a container's own if it has one."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import NeurodataError, UnreadableError
from neurodata.readers import TABLE, hdf5
from neurodata.safe import Raw
from neurodata.sources.local import fingerprint, matching
from tests.hostile import twins
from tests.readers import test_afni, test_mgh, test_mif, test_nifti
from tests.readers.conformance import content

FLIPS = 500


def flipped(whole: bytes, bits: Any) -> Iterator[bytes]:
    """Yield a file once for each bit, with that one turned over."""
    for bit in bits.tolist():
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)


@pytest.mark.slow
def test_a_listed_checksum_finds_every_flip_in_every_format(tmp_path: Path) -> None:
    found: dict[str, int] = {}
    for number, story in enumerate(twins.STORIES):
        folder = tmp_path / str(number)
        main = twins.make(story, folder)
        path = max(
            (p for p in main.parent.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size
        )
        stated, whole = fingerprint(path), path.read_bytes()
        bits = np.random.default_rng(number).integers(8 * len(whole), size=FLIPS)
        format_ = twins.tests_of(story).reader.__name__.rpartition(".")[2]
        found.setdefault(format_, 0)
        for damaged in flipped(whole, bits):
            path.write_bytes(damaged)
            with pytest.raises(UnreadableError, match="sha256"):
                matching(path, path.name, stated)
            found[format_] += 1
    assert min(found.values()) >= FLIPS
    modules = {module.rpartition(".")[2] for module in TABLE.values()}
    assert set(found) == modules


# ---- packed voxels: gzip's CRC, whatever the format


def nii(folder: Path) -> Path:
    path = folder / "synthetic.nii.gz"
    path.write_bytes(gzip.compress(test_nifti.synthetic_bytes(), mtime=0))
    return path


def mgz(folder: Path) -> Path:
    path = folder / "synthetic.mgz"
    path.write_bytes(gzip.compress(test_mgh.synthetic_bytes(), mtime=0))
    return path


def brik(folder: Path) -> Path:
    return test_afni.write(folder, gz=True).with_suffix(".BRIK.gz")


def mif(folder: Path) -> Path:
    path = folder / "synthetic.mif.gz"
    path.write_bytes(gzip.compress(b"".join(test_mif.synthetic_bytes()), mtime=0))
    return path


PACKED: dict[str, tuple[Callable[[Path], Path], Callable[[Path], xr.DataTree]]] = {
    "nii.gz": (nii, test_nifti.read),
    "mgz": (mgz, test_mgh.read),
    "BRIK.gz": (brik, lambda path: test_afni.read(path.with_suffix("").with_suffix(".HEAD"))[0]),
    "mif.gz": (mif, lambda path: test_mif.read(path)[0]),
}


@pytest.mark.parametrize("name", PACKED)
def test_a_flip_in_gzip_is_refused_or_changes_nothing(name: str, tmp_path: Path) -> None:
    make, read = PACKED[name]
    path = make(tmp_path)
    whole, expected, refused = path.read_bytes(), content(read(path)), 0
    plain = gzip.decompress(whole)
    bits = np.random.default_rng(5).choice(8 * len(whole), FLIPS, replace=False)
    for damaged in flipped(whole, bits):
        path.write_bytes(damaged)
        try:
            found = content(read(path))
        except NeurodataError:
            refused += 1
        else:
            assert found == expected
            assert gzip.decompress(damaged) == plain  # of gzip's header, or a bit without effect
    assert refused > 0.9 * FLIPS


# ---- HDF5 with sums of its own


@pytest.mark.parametrize(
    "filters", [{"fletcher32": True}, {"fletcher32": True, "compression": "gzip", "shuffle": True}]
)
def test_every_flip_in_chunks_with_fletcher32_is_refused(
    filters: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "synthetic.h5"
    values = np.random.default_rng(1).normal(size=(200, 3))
    with h5py.File(path, "w") as file:
        file.create_dataset("gcamp/traces", data=values, chunks=(64, 3), **filters)
    with h5py.File(path, "r") as file:
        data = file["gcamp/traces"].id
        chunks = [data.get_chunk_info(n) for n in range(data.get_num_chunks())]
    places = np.concatenate([np.arange(c.byte_offset, c.byte_offset + c.size) for c in chunks])
    random, whole = np.random.default_rng(2), path.read_bytes()
    bits = 8 * random.choice(places, FLIPS) + random.integers(8, size=FLIPS)
    facts = {"variables.signal": "gcamp/traces", "axes": "time,channel", "units.*": "dF/F",
             "rate_hz": 10, "modality": "calcium"}  # fmt: skip
    tree = hdf5.read(Raw(tmp_path, (path,)), Declared(dict(facts)))
    np.testing.assert_allclose(tree["traces"]["signal"].values, values, rtol=1e-6)
    for damaged in flipped(whole, bits):
        path.write_bytes(damaged)
        with pytest.raises(NeurodataError):
            hdf5.read(Raw(tmp_path, (path,)), Declared(dict(facts))).load()
