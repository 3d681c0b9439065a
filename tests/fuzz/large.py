"""Synthetic recordings much larger than the memory they may take, one maker a format."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.readers import synthetic_ctf, synthetic_dicom, synthetic_fif

SIDE = (64, 64, 32)
VOLUME_BYTES = 2 * 64 * 64 * 32
PAGE = (512, 512)


@dataclass(frozen=True)
class Large:
    """A maker of a recording of about so many bytes, and what it needs declared."""

    make: Callable[[Path, int], Any]
    declared: Mapping[str, Any] = field(default_factory=dict)


def block(count: int = 2**19, kind: str = "<i2") -> np.ndarray:
    """Return numbers that differ: those of one MiB, as they are written again and again."""
    return np.random.default_rng(3).integers(-3000, 3000, count).astype(kind)


def write(path: Path, head: bytes, size: int, tail: bytes = b"", kind: str = "<i2") -> None:
    """Write a head, ``size`` bytes of numbers, and a tail."""
    data = block(2**20 // np.dtype(kind).itemsize, kind).tobytes()
    with path.open("wb") as stream:
        stream.write(head)
        for left in range(size, 0, -len(data)):
            stream.write(data[:left])
        stream.write(tail)


def _edf(folder: Path, size: int) -> None:
    from tests.readers.test_edf import synthetic_edf

    names = [f"EEG {n}" for n in range(16)]
    content, _ = synthetic_edf(names, ["uV"] * 16, [1000] * 16, records=1)
    records = size // 32_000
    head = content[:236] + str(records).encode().ljust(8) + content[244 : 256 * 17]
    write(folder / "synthetic.edf", head, records * 32_000)


def _brainvision(folder: Path, size: int) -> None:
    from tests.readers import test_brainvision

    test_brainvision.write(folder, DataPoints=str(size // 4))
    write(folder / "a.eeg", b"", size // 4 * 4)


def _nifti(folder: Path, size: int) -> None:
    from tests.readers.test_nifti import put, synthetic_bytes

    head = put(48, "h", size // VOLUME_BYTES)(synthetic_bytes(shape=(*SIDE, 2))[:352])
    write(folder / "synthetic.nii", head, size // VOLUME_BYTES * VOLUME_BYTES)


def _mgh(folder: Path, size: int) -> None:
    from tests.readers.test_mgh import put, synthetic_bytes

    head = put(16, "i", size // VOLUME_BYTES)(synthetic_bytes(shape=(*SIDE, 1))[:284])
    tail = struct.pack(">5f", 2000.0, 1.5, 30.0, 0.0, 256.0)
    write(folder / "synthetic.mgh", head, size // VOLUME_BYTES * VOLUME_BYTES, tail, ">i2")


def _afni(folder: Path, size: int) -> None:
    from tests.readers.test_afni import synthetic_head

    count = size // VOLUME_BYTES
    (folder / "synthetic+orig.HEAD").write_text(synthetic_head((*SIDE, count)))
    write(folder / "synthetic+orig.BRIK", b"", count * VOLUME_BYTES)


def _minc(folder: Path, size: int) -> None:
    from tests.readers import test_minc as minc

    count = size // VOLUME_BYTES
    voxels = np.resize(abs(block()) % 1000, (count, *SIDE[::-1]))
    lengths = {"time": count, "zspace": SIDE[2], "yspace": SIDE[1], "xspace": SIDE[0]}
    minc.synthetic(
        folder / "synthetic.mnc",
        minc.data(minc.IMAGE, voxels),
        minc.data("image/0/image-min", np.zeros(count)),
        minc.data("image/0/image-max", np.arange(count) + 95.0),
        *(minc.attribute(f"dimensions/{a}", "length", np.int32(n)) for a, n in lengths.items()),
        order="time,zspace,yspace,xspace",
    )


def _tiff(folder: Path, size: int) -> None:
    import tifffile

    count = size // (2 * PAGE[0] * PAGE[1])
    page = abs(block(PAGE[0] * PAGE[1])).astype("u2").reshape(PAGE)
    pages: Iterator[np.ndarray] = (page + number % 7 for number in range(count))
    tifffile.imwrite(
        folder / "synthetic.tif", pages, shape=(count, *PAGE), dtype="u2",
        photometric="minisblack", metadata=None,
    )  # fmt: skip


def _hdf5(folder: Path, size: int) -> None:
    import h5py

    rows = size // (32 * 8)
    with h5py.File(folder / "synthetic.h5", "w") as file:
        signal = file.create_dataset("traces", (rows, 32), "f8", chunks=(4096, 32))
        _rows(signal, rows, 4096 * 32)


def _rows(dataset: Any, rows: int, count: int) -> None:
    numbers = block(count).reshape(-1, dataset.shape[1])
    for first in range(0, rows, len(numbers)):
        dataset[first : first + len(numbers)] = numbers[: rows - first]


def _nwb(folder: Path, size: int) -> None:
    import h5py

    from tests.readers.test_nwb import TRACES, synthetic

    path, rows = folder / "synthetic.nwb", size // 12
    path.write_bytes(synthetic())
    with h5py.File(path, "r+") as file:
        attrs = dict(file[f"{TRACES}/data"].attrs)
        del file[f"{TRACES}/data"]
        data = file.create_dataset(f"{TRACES}/data", (rows, 3), "f4", chunks=(65536, 3))
        data.attrs.update(attrs)
        _rows(data, rows, 3 * 2**17)


def _wfdb(folder: Path, size: int) -> None:
    from tests.readers.test_wfdb import checksum

    numbers, repeats = block().reshape(-1, 2), size // 2**20
    lines = [f"synthetic 2 360 {len(numbers) * repeats}"]
    for place, (spec, label) in enumerate((("200(10)/mV", "MLII"), ("20/mmHg", "ABP"))):
        total = checksum(numbers[:, place].astype("i8") * repeats)
        lines.append(f"synthetic.dat 16 {spec} 12 0 {numbers[0, place]} {total} 0 {label}")
    (folder / "synthetic.hea").write_text("\n".join(lines) + "\n")
    write(folder / "synthetic.dat", b"", repeats * 2**20)


def _neuralynx(folder: Path, size: int) -> None:
    from tests.readers import test_neuralynx as neuralynx

    kind = neuralynx.RECORDS["ncs"]
    records, count = np.zeros(1000, kind), size // kind.itemsize // 1000
    records["samples"] = block(512_000).reshape(-1, 512)
    records["valid"], records["channel"], records["rate_hz"] = 512, 3, 32000
    with (folder / "CSC1.ncs").open("wb") as stream:
        stream.write(neuralynx.header("ncs", "CSC1"))
        for part in range(count):
            at_us = np.arange(part * 1000, (part + 1) * 1000) * 16_000
            records["at_us"] = neuralynx.START_US + at_us
            stream.write(records.tobytes())


def _blackrock(folder: Path, size: int) -> None:
    from tests.readers.test_blackrock import nsx_header

    head = nsx_header(4, 1, "2.3", 30_000, "uV") + struct.pack("<BII", 1, 0, size // 8)
    write(folder / "synthetic.ns5", head, size // 8 * 8)


def _ctf(folder: Path, size: int) -> None:
    samples = size // 20
    path = synthetic_ctf.write(folder, synthetic_ctf.counts(10))
    names = synthetic_ctf.NAMES[:5]
    path.write_bytes(synthetic_ctf.header(samples, names=names))
    write(path.with_suffix(".meg4"), b"MEG41CP\0", samples * 20, kind=">i4")


def _fif(folder: Path, size: int) -> None:
    channels = [synthetic_fif.channel(n + 1, f"EEG {n:03d}", cal=1e-7) for n in range(4)]
    tag = synthetic_fif.buffer(block().reshape(-1, 4))
    content = synthetic_fif.by_tags(channels, [tag] * (size // 2**20))
    (folder / "synthetic_raw.fif").write_bytes(content)


def _ome_zarr(folder: Path, size: int) -> None:
    import zarr

    from tests.readers.test_ome_zarr import facts

    group = zarr.open_group(folder / "synthetic.zarr", mode="w", zarr_format=2)
    planes = size // (4 * PAGE[0] * PAGE[1])
    image = group.create_array(
        "0", shape=(2, planes, *PAGE), chunks=(1, 8, *PAGE), dtype="u2", compressors=None,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )  # fmt: skip
    group.attrs.update(facts("0.4"))
    page = abs(block(8 * PAGE[0] * PAGE[1])).astype("u2").reshape(1, 8, *PAGE)
    for channel in range(2):
        for first in range(0, planes, 8):
            image[channel : channel + 1, first : first + 8] = page[:, : planes - first]


def _dicom(folder: Path, size: int) -> None:
    page = abs(block(PAGE[0] * PAGE[1])).astype("u2").reshape(PAGE)
    images = (
        synthetic_dicom.image(number + 1, (-10.0, -20.0, 3.0 * number), page + number % 7)
        for number in range(size // page.nbytes)
    )
    synthetic_dicom.write(folder, images)


def _suite2p(folder: Path, size: int) -> None:
    frames = size // (4 * 64)
    np.save(folder / "iscell.npy", np.tile([1, 0.9], (64, 1)))
    np.save(folder / "F.npy", np.resize(block(kind="<f4"), (64, frames)))


LARGE: Mapping[str, Large] = {
    "edf": Large(_edf),
    "brainvision": Large(_brainvision),
    "nifti": Large(_nifti),
    "tiff": Large(_tiff, {"axes": "z,y,x", "voxel_um": [2.0, 0.5, 0.5]}),
    "hdf5": Large(_hdf5, {
        "variables.signal": "traces", "axes": "time,channel", "units.*": "dF/F", "rate_hz": 10,
        "modality": "calcium",
    }),
    "nwb": Large(_nwb),
    "wfdb": Large(_wfdb),
    "neuralynx": Large(_neuralynx),
    "blackrock": Large(_blackrock),
    "ctf": Large(_ctf),
    "fif": Large(_fif, {"modality": "eeg"}),
    "ome_zarr": Large(_ome_zarr),
    "mgh": Large(_mgh),
    "afni": Large(_afni),
    "minc": Large(_minc),
    "dicom": Large(_dicom),
    "suite2p": Large(_suite2p, {"rate_hz": 12.5}),
}  # fmt: skip
