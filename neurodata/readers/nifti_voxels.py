"""The voxels of a NIfTI file, read in slabs from the file or from its unpacked copy."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurodata import safe
from neurodata.errors import UnreadableError
from neurodata.readers.nifti_header import Header

if TYPE_CHECKING:
    import dask.array as da

SLAB_BYTES = 32 * 2**20
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
    """Return stored voxels as a dask array in slabs of 32 MiB along the slowest axes."""
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
