"""Pixels of a checked TIFF file, decoded page by page on demand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import tifffile

from neurodata.errors import UnreadableError
from neurodata.safe import memmap

if TYPE_CHECKING:
    import dask.array as da

BLOCK_BYTES = 8 * 2**20


@dataclass(frozen=True)
class StoredPixels:
    """An image series on disk that slices like an array, opens the file each time and pickles.

    Parameters
    ----------
    path : Path
        The file that was checked.
    stamp : tuple of int
        Its size and modification time in ns when it was checked.
    shape : tuple of int
        Leading axes, then those of a page.
    dtype : numpy.dtype
        In the machine's byte order.
    byteorder : {"<", ">"}
        The file's.
    start : int or None
        First byte, where all pixels lie uncompressed in one piece.
    pages : tuple of int
        Otherwise the directory offset of every page, in order.
    page_shape : tuple of int
        Shape of one page, the last axes of ``shape``.
    """

    path: Path
    stamp: tuple[int, int]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    byteorder: Literal["<", ">"]
    start: int | None
    pages: tuple[int, ...]
    page_shape: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> np.ndarray[Any, Any]:
        if not self.path.exists() or stamp(self.path) != self.stamp:
            raise UnreadableError(
                self.path.name, "a file that changed while it was read", "the file as checked",
                "read it again",
            )  # fmt: skip
        if self.start is not None:
            stored = self.dtype.newbyteorder(self.byteorder)
            mapped = memmap(self.path, stored, self.shape, self.start)
            return np.array(mapped[key], dtype=self.dtype)
        key = key if isinstance(key, tuple) else (key,)
        leading = len(self.shape) - len(self.page_shape)
        order = np.arange(len(self.pages)).reshape(self.shape[:leading])[key[:leading]]
        decoded = [self._page(int(number))[key[leading:]] for number in order.ravel()]
        stacked = np.array(decoded, dtype=self.dtype)
        return stacked.reshape(order.shape + stacked.shape[1:])

    def _page(self, number: int) -> np.ndarray[Any, Any]:
        where = f"{self.path.name}: page {number}"
        try:
            with tifffile.TiffFile(self.path, _multifile=False) as file:
                file.filehandle.seek(self.pages[number])
                page = np.asarray(tifffile.TiffPage(file, number).asarray())
        except Exception as error:  # whatever a decoder raises on damaged bytes
            raise UnreadableError(
                where, f"damaged pixels ({error})", "an intact page", "copy it again"
            ) from error
        if page.size != math.prod(self.page_shape) or page.dtype.newbyteorder("=") != self.dtype:
            raise UnreadableError(
                where, f"{page.shape} {page.dtype}", f"{self.page_shape} {self.dtype}"
            )
        return page.reshape(self.page_shape)


def stamp(path: Path) -> tuple[int, int]:
    """Return size in bytes and modification time in ns."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def lazy_pixels(stored: StoredPixels) -> da.Array:
    """Return stored pixels as a dask array in blocks of whole pages, about 8 MiB each."""
    import dask.array as da

    leading = stored.ndim - len(stored.page_shape)
    page_bytes = math.prod(stored.page_shape) * stored.dtype.itemsize
    chunks = [1] * leading + list(stored.page_shape)
    if leading:
        chunks[leading - 1] = max(1, min(stored.shape[leading - 1], BLOCK_BYTES // page_bytes))
    from_array: Any = da.from_array
    meta = np.empty((0,) * stored.ndim, stored.dtype)
    array: da.Array = from_array(stored, chunks=tuple(chunks), asarray=False, meta=meta)
    return array
