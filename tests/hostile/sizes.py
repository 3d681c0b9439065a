"""Headers that state more than any file has: nothing of it may be allocated before it is compared.

Most are among the lies of the readers' own tests; some are written here.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from tests.hostile.case import Case, raw_folder
from tests.hostile.twins import changed, declared, make, put, tests_of

SUITE2P = "suite2p.TestSuite2p"

LIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("abf.TestAbf1", ("2^31 tags", "sweeps beyond the file", "data beyond the file")),
    ("abf.TestAbf2", ("2^62 entries of table 1", "blocks beyond the file of table 15")),
    ("aedat.TestVersion3", ("2^31 events",)),
    ("afni.TestAfni", ("huge",)),
    ("blackrock.TestBlackrock", ("2^32 channels", "2^32 samples", "headers longer than the file")),
    ("brainvision.TestBrainVision", ("10^17 channels",)),
    ("ctf.TestCtf", ("huge samples",)),
    ("dicom.TestDicom", ("65535 squared", "2^31 frames")),
    ("edf.TestEdf", ("9999 signals", "10^8 samples in a record", "more records than bytes")),
    ("egi.TestEgi", ("2^31 samples",)),
    ("gdf.TestGdf", ("9999 channels", "2^62 records", "10^9 samples", "a header over the end")),
    ("gdf.TestGdf1", ("2^31 channels", "a header of 2^60 bytes")),
    ("gifti.TestSurface", ("a thousand million vertices", "ninety axes")),
    ("kit.TestKit", ("huge samples",)),
    ("matlab.TestMat4", ("1e18 samples", "a long name")),
    ("matlab.TestMat5", ("1e18 samples", "first tag")),
    ("mgh.TestMgh", ("2 billion cubed",)),
    ("mif.TestMif", ("a thousand million voxels", "over 64 bits of voxels")),
    ("neuroscan.TestNeuroscan", ("65535 channels", "events over the end")),
    ("nifti.TestNifti", ("32767 cubed", "seven full axes", "voxel offset past the end")),
    ("nihon.TestNihon", ("2^32 tenths of a second", "control over the end", "255 channels")),
    ("ome_zarr.TestZip", ("a member's size", "the directory's size")),
    ("parrec.TestParRec", ("a thousand million slices",)),
    ("precomputed.TestRaw", ("a huge volume", "huge chunks")),
    ("spikeglx.TestSpikeGlx", ("1e9 channels", "a subset of 1e12")),
    ("sqlite_table.TestSqlite", ("more pages",)),
    ("tiff.TestPlain", ("width of 60000", "strip beyond the end", "directory beyond the end")),
    ("wfdb.TestWfdb", ("10^14 samples",)),
    ("zarr_array.Test2", ("a huge axis", "huge chunks")),
)


def lying(story: str, lie: str, folder: Path) -> Path:
    """A recording whose main file has one of the lies of its tests."""
    return changed(story, tests_of(story).lies[lie], folder)


def npy(shape: tuple[int, ...], folder: Path) -> Path:
    """Traces that state more numbers than any disk holds."""
    main = make(SUITE2P, folder)
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    main.write_bytes(stream.getvalue() + bytes(4096))
    return raw_folder(folder)


def tiff_tags(whole: bytes) -> bytes:
    """A directory of 65,535 entries."""
    (at,) = struct.unpack_from("<I", whole, 4)
    return whole[:at] + b"\xff\xff" + whole[at + 2 :]


def tiff_circle(whole: bytes) -> bytes:
    """A directory that is its own successor: pages without end."""
    (at,) = struct.unpack_from("<I", whole, 4)
    (count,) = struct.unpack_from("<H", whole, at)
    end = at + 2 + 12 * count
    return whole[:end] + struct.pack("<I", at) + whole[end + 4 :]


def tiff_count(whole: bytes) -> bytes:
    """A description of 4 GB."""
    (at,) = struct.unpack_from("<I", whole, 4)
    (count,) = struct.unpack_from("<H", whole, at)
    for first in range(at + 2, at + 2 + 12 * count, 12):
        if struct.unpack_from("<H", whole, first)[0] == 273:
            return whole[: first + 4] + struct.pack("<I", 2**32 - 1) + whole[first + 8 :]
    raise ValueError("no offsets of strips")


def hdf5_shape(whole: bytes) -> bytes:
    """A dataset of 2^40 rows."""
    import h5py

    with h5py.File(io.BytesIO(whole), "r") as file:
        rows: set[int] = set()
        file.visititems(lambda name, item: rows.add(item.shape[0])
                        if isinstance(item, h5py.Dataset) and item.shape else None)  # fmt: skip
    old = struct.pack("<Q", max(rows))
    if old not in whole:
        raise ValueError("no such shape")
    return whole.replace(old, struct.pack("<Q", 2**40))


OWN: tuple[tuple[str, str, str, str, Callable[[bytes], bytes]], ...] = (
    ("tiff-tags", "a TIFF directory of 65,535 entries", "tiff.TestPlain", "", tiff_tags),
    ("tiff-circle", "TIFF pages without end", "tiff.TestPlain", "", tiff_circle),
    ("tiff-count", "2^32 strips in a TIFF", "tiff.TestPlain", "", tiff_count),
    ("xdf-chunk", "a chunk of XDF of 2^62 bytes", "xdf.TestXdf", "",
     lambda whole: whole + b"\x08" + struct.pack("<QH", 2**62, 3)),
    ("xdf-samples", "a chunk of XDF with 2^31 samples", "xdf.TestXdf", "",
     lambda whole: whole + b"\x04" + struct.pack("<IHIBI", 11, 3, 1, 4, 2**31)),
    ("fif-tag", "a tag of FIF of 2^31 bytes", "fif.TestFif", "",
     put(8, struct.pack(">i", 2**31 - 1))),
    ("nifti-2", "2^62 voxels along an axis of NIfTI-2", "nifti.TestNifti2BigEndian", "",
     put(24, struct.pack(">q", 2**62))),
    ("ctf-channels", "32,767 channels of CTF", "ctf.TestCtf", ".res4",
     put(1292, struct.pack(">h", 32767))),
    ("hdf5-shape", "2^40 rows in HDF5", "matlab.TestHdf5", "", hdf5_shape),
    ("snirf-shape", "2^40 rows in SNIRF", "snirf.TestSnirf", "", hdf5_shape),
)  # fmt: skip
CASES: tuple[Case, ...] = (
    *(Case(f"{story.replace('.Test', '-').lower()}-size-{number}", 13,
           f"{lie}, in what the tests of {story} make", partial(lying, story, lie),
           facts=partial(declared, story))
      for story, lies in LIES for number, lie in enumerate(lies)),
    *(Case(f"{name}-size", 13, says, partial(changed, story, change, suffix=suffix),
           facts=partial(declared, story))
      for name, says, story, suffix, change in OWN),
    Case("npy-size", 13, "2^40 numbers in an NPY file", partial(npy, (3, 2**40)),
         facts=partial(declared, SUITE2P)),
    Case("npy-size-product", 13, "2^40 rows of 2^40 numbers in an NPY file",
         partial(npy, (2**40, 2**40)), facts=partial(declared, SUITE2P)),
)  # fmt: skip
