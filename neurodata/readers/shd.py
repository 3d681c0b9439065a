"""Spiking Heidelberg Digits and Speech Commands: spike trains of spoken words in HDF5.

A file holds many short samples, each with its label. They are laid end to end on one clock; the
node ``samples`` says where each begins and what it is, so that windows of `SpikeBins` with
``intervals="samples", clip=True`` are the samples.

References
----------
Cramer et al. 2020, doi:10.1109/TNNLS.2020.3044364: 700 channels of an artificial cochlea.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import UnreadableError, UnsafeError, need
from neurodata.readers.delimited import text_array
from neurodata.readers.hdf5_kind import SIGNATURE, holds
from neurodata.readers.intervals import intervals
from neurodata.readers.nwb_text import names
from neurodata.readers.personal_keys import kinds_of
from neurodata.readers.spike_rows import BLOCK_SPIKES, Block, grouped, spikes
from neurodata.safe import Raw, is_gzip
from neurodata.safe_hdf5_heap import claimed_numbers

if TYPE_CHECKING:
    import h5py

SUFFIXES = (".h5", ".h5.gz", ".hdf5", ".hdf5.gz")
EXTRA = "spikes"
CHANNELS = 700
LONGEST_S = 1e4  # a word takes about a second
TICKS_HZ = 1000  # samples begin at whole milliseconds
KNOWN = {"spikes", "labels", "extra"}
Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Samples:
    """Where the samples of a file lie on one clock.

    Parameters
    ----------
    start_ms : int64 array (sample + 1,)
        First millisecond of each, and the end of the last.
    counts : int64 array (unit,)
        Spikes of each channel.
    """

    start_ms: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is HDF5 with ``spikes/times``, ``spikes/units`` and ``labels``.

    Of a packed file only the start is looked at, which has the names of the root.

    Examples
    --------
    >>> sniff(b"no HDF5", Path("a.h5"))
    False
    """
    if head.startswith(SIGNATURE) and is_gzip(path):
        return b"labels\0" in head and b"spikes\0" in head
    return holds(head, path, {"": {"labels"}, "spikes": {"times", "units"}}, EXTRA)


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the file alone."""
    return (path,)


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read all samples of a file as ``spikes`` and ``samples``, their labels among them.

    Returns
    -------
    xarray.DataTree
        ``spikes`` (spikes/1) of 700 units; ``samples`` (intervals/1) with the columns ``label``
        (the word, or the number of the class), ``class_index`` and, where stated, ``speaker``.

    Raises
    ------
    UnsafeError
        When the file reaches outside itself, or rows repeat each other's bytes.
    UnreadableError
        When it is damaged or contradicts itself.
    """
    need("h5py", extra=EXTRA)
    from neurodata.safe_hdf5 import open_hdf5
    from neurodata.safe_scratch import unpacked

    with unpacked(raw.main) as path, open_hdf5(path) as file:
        times, units = _trains(file, raw)
        for stored in (times, units):
            _check_lengths(path, stored, file.id.get_create_plist().get_sizes()[0], raw)
        samples = _survey(times, units, path.stat().st_size, raw)
        found = grouped(samples.counts, _blocks(times, units, samples), {})
        words = _words(file, len(times), raw)
    unit_id = [str(number) for number in range(CHANNELS)]
    start_s = samples.start_ms / TICKS_HZ
    nodes = {
        "spikes": spikes(found, unit_id, raw, (0.0, float(start_s[-1]))),
        "samples": intervals(start_s[:-1], (np.diff(samples.start_ms) / TICKS_HZ).tolist(), *words),
    }
    raw.note("spikes/times", "no length of a sample; taken up to the millisecond of its last spike")
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": "spikes"}), **nodes})


def _trains(file: h5py.File, raw: Raw) -> tuple[h5py.Dataset, h5py.Dataset]:
    import h5py

    found = []
    for name, kinds in (("spikes/times", "f"), ("spikes/units", "iu")):
        stored = file.get(name)
        kind = h5py.check_vlen_dtype(stored.dtype) if isinstance(stored, h5py.Dataset) else None
        if kind is None or stored.ndim != 1 or not stored.size or np.dtype(kind).kind not in kinds:
            raise UnreadableError(
                f"{raw.name}: {name}", str(stored), "one row of numbers a sample",
                "download the file again",
            )  # fmt: skip
        found.append(stored)
    if len(found[0]) != len(found[1]):
        sizes = f"{len(found[0])} rows of times and {len(found[1])} of units"
        raise UnreadableError(f"{raw.name}: spikes", sizes, "as many", "download the file again")
    if np.dtype(h5py.check_vlen_dtype(found[0].dtype)).itemsize == 2:
        raw.note("spikes/times", "half precision: steps of up to 1 ms", "at least 32 bits")
    return found[0], found[1]


def _check_lengths(path: Path, stored: h5py.Dataset, address_bytes: int, raw: Raw) -> None:
    """Refuse rows that claim more bytes than the file has, before any is read."""
    size, offset = path.stat().st_size, stored.id.get_offset()
    if offset is None or stored.size > size:
        return  # in chunks, which may be packed: compared row by row
    claimed = claimed_numbers(path, offset, stored.size, address_bytes)
    if claimed > size:
        where = f"{raw.name}: {(stored.name or '').lstrip('/')}"
        raise UnsafeError(where, f"rows of {claimed} numbers", f"a file of {size} bytes")


def _survey(times: h5py.Dataset, units: h5py.Dataset, file_bytes: int, raw: Raw) -> Samples:
    """Check each sample and say how long it is; rows cannot hold more bytes than the file."""
    counts, ends_ms, held, disordered = np.zeros(CHANNELS, "i8"), [0], 0, 0
    for number, (at_s, channel) in enumerate(_rows(times, units)):
        where = f"{raw.name}: sample {number}"
        held += at_s.nbytes + channel.nbytes
        if held > file_bytes:
            raise UnsafeError(where, f"over {file_bytes} bytes of spikes", "the file's size", "")
        if at_s.shape != channel.shape:
            found = f"{at_s.size} times and {channel.size} units"
            raise UnreadableError(where, found, "as many", "download the file again")
        low, high = float(at_s.min(initial=np.inf)), float(at_s.max(initial=0.0))
        if not (np.isfinite(at_s).all() and low >= 0 and high <= LONGEST_S):
            found = f"times from {low:g} to {high:g} s"
            raise UnreadableError(where, found, f"0 to {LONGEST_S:g} s", "download it again")
        if channel.size and not 0 <= int(channel.min()) <= int(channel.max()) < CHANNELS:
            found = f"units {channel.min()} to {channel.max()}"
            raise UnreadableError(where, found, f"0 to {CHANNELS - 1}", "download it again")
        disordered += bool((np.diff(at_s.astype("f8")) < 0).any())
        counts += np.bincount(channel.astype("i8"), minlength=CHANNELS)
        ends_ms.append(ends_ms[-1] + int(high * TICKS_HZ) + 1)
    if disordered:
        raw.note("spikes/times", f"{disordered} samples out of order of time; sorted")
    return Samples(np.array(ends_ms, "int64"), counts)


def _rows(times: h5py.Dataset, units: h5py.Dataset) -> Iterator[tuple[Values, Values]]:
    for number in range(len(times)):
        yield np.asarray(times[number]), np.asarray(units[number])


def _blocks(times: h5py.Dataset, units: h5py.Dataset, samples: Samples) -> Iterator[Block]:
    """Yield spikes on the common clock, in order of time, some million at once."""
    held: list[tuple[Values, Values]] = []
    size = 0
    for start_ms, (at_s, channel) in zip(samples.start_ms, _rows(times, units), strict=False):
        order = np.argsort(at_s, kind="stable")
        held.append((channel[order].astype("i8"), at_s[order].astype("f8") + start_ms / TICKS_HZ))
        size += at_s.size
        if size > BLOCK_SPIKES:
            yield _joined(held)
            held, size = [], 0
    if held:
        yield _joined(held)


def _joined(held: Sequence[tuple[Values, Values]]) -> Block:
    channels, at_s = (np.concatenate(part) for part in zip(*held, strict=True))
    return channels, {"time_s": at_s}


def _words(
    file: h5py.File, count: int, raw: Raw
) -> tuple[list[str], dict[str, npt.NDArray[np.generic]]]:
    """Return the label of each sample, and the columns ``class_index`` and ``speaker``."""
    number = _integers(file, "labels", count, raw)
    columns: dict[str, npt.NDArray[np.generic]] = {"class_index": number}
    keys = names(file.get("extra/keys"))
    if keys and not 0 <= int(number.min()) <= int(number.max()) < len(keys):
        found = f"classes {number.min()} to {number.max()}"
        raise UnreadableError(f"{raw.name}: labels", found, f"0 to {len(keys) - 1}", "")
    if file.get("extra/speaker") is not None:
        columns["speaker"] = _integers(file, "extra/speaker", count, raw)
    left = sorted({*file.get("extra", ())} - {"keys", "speaker"}) + sorted(set(file) - KNOWN)
    if left:
        raw.note("extra", f"what may describe persons, removed: {kinds_of(left)}")
    label = [keys[n] if keys else str(n) for n in number.tolist()]
    return text_array(label).tolist(), columns


def _integers(file: h5py.File, name: str, count: int, raw: Raw) -> npt.NDArray[np.int64]:
    stored = file.get(name)
    shape, dtype = getattr(stored, "shape", None), getattr(stored, "dtype", np.dtype("O"))
    if shape != (count,) or dtype.kind not in "iu":
        raise UnreadableError(
            f"{raw.name}: {name}", f"{dtype} of shape {shape}", f"{count} whole numbers",
            "download the file again",
        )  # fmt: skip
    return np.asarray(stored[()], "int64")
