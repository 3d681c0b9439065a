"""The voxels of a NIfTI file, read in slabs from the file or from its unpacked copy."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurodata import safe
from neurodata.errors import UnreadableError
from neurodata.readers.nifti_header import Header
from neurodata.safe import Raw

if TYPE_CHECKING:
    import dask.array as da

SLAB_BYTES = 8 * 2**20
SLACK_BYTES = 2**20


@dataclass
class StoredVoxels:
    """Voxels on disk; slicing reads them in native byte order.

    Parameters
    ----------
    path : Path
        The file that holds them, plain or gzip.
    shape : tuple of int
        The file's axes reversed, e.g. ``(t, z, y, x)``.
    stored : numpy.dtype
        Type with the file's byte order.
    offset : int
        Bytes before the first voxel.
    """

    path: Path
    shape: tuple[int, ...]
    stored: np.dtype[Any]
    offset: int
    surplus: int = 0
    stamp: tuple[int, int] = (0, 0)
    _mapped: np.ndarray[Any, Any] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.stamp = self._stamp()
        self.open()

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of what slicing gives."""
        return self.stored.newbyteorder("=")

    def open(self) -> np.ndarray[Any, Any]:
        """Map the voxels; a gzip file is unpacked to a temporary file, its CRC checked.

        Raises
        ------
        UnreadableError
            When the file is damaged, too short or has changed.
        """
        if self._stamp() != self.stamp:
            raise UnreadableError(
                self.path.name, "a file that changed", "the file as checked", "read it again"
            )
        if self._mapped is None:
            where = (self.path, self.stored, self.shape, self.offset)
            if safe.is_gzip(self.path):
                self._mapped, self.surplus = safe.unpacked_memmap(*where, SLACK_BYTES)
            else:
                self._mapped = safe.memmap(*where)
                self.surplus = self.stamp[0] - self.offset - self._mapped.nbytes
        return self._mapped

    def __getitem__(self, key: Any) -> np.ndarray[Any, Any]:
        mapped = self.open()
        block = np.array(mapped[key], dtype=self.dtype)
        _forget(mapped)
        return block

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapped": None}  # another process maps the file itself

    def _stamp(self) -> tuple[int, int]:
        stat = self.path.stat()
        return stat.st_size, stat.st_mtime_ns


def _forget(mapped: Any) -> None:
    """Give back the memory of the pages that were read; the file still has them."""
    if hasattr(mmap, "MADV_DONTNEED"):
        mapped._mmap.madvise(mmap.MADV_DONTNEED)


def stored_voxels(path: Path, header: Header) -> StoredVoxels:
    """Map the voxels that a header describes, after all checks of size.

    Raises
    ------
    UnreadableError
        When the file is shorter than the header says, or its compression is damaged.
    """
    return StoredVoxels(path, header.shape[::-1], header.dtype, header.offset)


def lazy(voxels: StoredVoxels) -> da.Array:
    """Return stored voxels as a dask array in slabs of 8 MiB along the slowest axes."""
    import dask.array as da

    chunks = list(voxels.shape)
    for axis in range(voxels.ndim):
        rest = voxels.dtype.itemsize * int(np.prod(chunks[axis + 1 :], dtype=object))
        chunks[axis] = max(1, min(chunks[axis], SLAB_BYTES // rest))
        if chunks[axis] > 1:
            break
    from_array: Any = da.from_array
    meta = np.empty((0,) * voxels.ndim, voxels.dtype)
    array: da.Array = from_array(voxels, chunks=tuple(chunks), name=False, asarray=False, meta=meta)
    return array


def warn_of_surplus(raw: Raw, voxels: StoredVoxels, where: str) -> None:
    """Warn of bytes after the last voxel; ``where`` names the header's field of the shape."""
    if voxels.surplus:
        raw.warn(
            where,
            f"{voxels.surplus} bytes after the last voxel",
            f"no more than {voxels.shape[::-1]} voxels of {voxels.stored.itemsize} bytes",
            "compare the header with the source",
        )


def volume_node(
    voxels: xr.DataArray, slope: float | xr.DataArray, inter: float | xr.DataArray
) -> xr.Dataset:
    """Return voxels as a ``volume`` node in "a.u.", value = stored * slope + inter.

    Parameters
    ----------
    voxels : (time, channel, z, y, x) or fewer, lazy
    slope, inter : float, or over some of the dimensions of the voxels
        Integers stay as they are where these are one number, or one a channel; where they
        differ more than that, values are computed as float32.
    """
    attrs = {"representation": "volume", "schema": "volume/1"}
    units = {"units": "a.u."}
    factor, shift = _simplest(slope), _simplest(inter)
    dims = {*factor.dims, *shift.dims}
    if voxels.dtype.kind in "iu" and dims <= {"channel"}:
        factor, shift = xr.broadcast(factor, shift)
        scaling = {"scale": factor, "offset": shift}
        return xr.Dataset({"image_adc": voxels.assign_attrs(units), **scaling}, attrs=attrs)
    if dims or (float(factor), float(shift)) != (1.0, 0.0):
        wide = np.result_type(voxels.dtype, "f8")
        narrow = voxels.dtype if voxels.dtype.kind in "fc" else np.dtype("f4")
        voxels = (voxels.astype(wide) * factor + shift).astype(narrow)
    return xr.Dataset({"image": voxels.assign_attrs(units)}, attrs=attrs)


def _simplest(numbers: float | xr.DataArray) -> xr.DataArray:
    """Return numbers as float64, as one alone where all are equal."""
    array = xr.DataArray(numbers).astype("f8")
    values = array.values.ravel()
    return xr.DataArray(values[0]) if (values == values[0]).all() else array
