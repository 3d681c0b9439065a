"""The HDF5 leaf of the one door: every link and every dataset is checked before data are read.

HDF5 can read any file of the machine (external links, external storage, virtual datasets, filter
plug-ins) and gives fill values where nothing was ever written. All of these are refused here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from h5py import h5d, h5g, h5l, h5o, h5pl, h5r, h5s, h5z

from neurodata.errors import NeurodataError, UnreadableError, UnsafeError
from neurodata.safe_hdf5_chunks import check_chunks
from neurodata.safe_hdf5_heap import check_heaps

if TYPE_CHECKING:
    import dask.array as da

OBJECT_LIMIT = 100_000
DEPTH_LIMIT = 64
HOP_LIMIT = 16
BLOCK_BYTES = 8 * 2**20
FILTERS = {
    h5z.FILTER_DEFLATE: "gzip",
    h5z.FILTER_SHUFFLE: "shuffle",
    h5z.FILTER_FLETCHER32: "fletcher32",
    h5z.FILTER_SZIP: "szip",
    h5z.FILTER_LZF: "lzf",
}
# What h5py raises on damaged bytes; all of it is turned into UnreadableError.
DAMAGE = (
    OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, IndexError,
    OverflowError, MemoryError, NotImplementedError, UnicodeError,
)  # fmt: skip


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading after a walk over all its links and datasets.

    Soft links are allowed when they lead to an object in the same file. Within the block every
    error that damaged bytes cause is an `UnreadableError`.

    Parameters
    ----------
    path : Path
        The file; it is never written.

    Yields
    ------
    h5py.File
        Closed at the end of the block. Follow object references with `follow` only.

    Raises
    ------
    UnsafeError
        On external and user-defined links, external storage, virtual datasets, filters other
        than gzip, shuffle, fletcher32, szip and lzf, or when a limit is exceeded; also when a
        chunk unpacks to more than its dataset has room for.
    UnreadableError
        When the file is empty, truncated or damaged, a soft link leads nowhere, or a dataset
        is larger than what is stored of it.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.h5"
    >>> with h5py.File(path, "w") as file:
    ...     file["group/numbers"] = [1, 2, 3]
    >>> with open_hdf5(path) as file:
    ...     file["group/numbers"][:].tolist()
    [1, 2, 3]
    """
    with opened(path) as file, damage(path):
        check_heaps(path, file.id.get_create_plist().get_sizes()[1])
        _walk(file, path)
        yield file


def root_attributes(path: Path) -> set[str]:
    """Return the names of the root group's attributes, touching no link and no dataset.

    Raises
    ------
    UnreadableError
        When HDF5 cannot open the file.
    """
    with opened(path) as file, damage(path):
        return {str(name) for name in file.attrs}


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file of which nothing is checked yet, plug-ins kept out.

    Raises
    ------
    UnreadableError
        When the file is empty or HDF5 cannot open it.
    """
    size = path.stat().st_size
    if size == 0:
        raise UnreadableError(path.name, "an empty file", "an HDF5 file", "copy it again")
    while h5pl.size():
        h5pl.remove(0)
    try:
        file = h5py.File(path, "r")
    except DAMAGE as error:
        raise UnreadableError(
            path.name, f"{size} bytes that HDF5 cannot open ({error})", "an intact HDF5 file",
            "copy or download it again",
        ) from error  # fmt: skip
    with file:
        yield file


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Turn whatever h5py raises on damaged bytes into an `UnreadableError`."""
    try:
        yield
    except NeurodataError:
        raise
    except DAMAGE as error:
        raise UnreadableError(
            path.name, f"damaged HDF5 data ({error})", "an intact file", "copy it again"
        ) from error


def _walk(file: h5py.File, path: Path) -> None:
    """Check every object that hard links lead to, each once, opening none before its link."""
    seen = {_address(file.id)}
    stack: list[tuple[Any, str, int]] = [(h5g.open(file.id, b"/"), "", 0)]
    while stack:
        group, prefix, depth = stack.pop()
        for name in group:
            where = f"{path.name}: {prefix}/{name.decode('utf-8', 'replace')}"
            if not _is_hard(file, group, name, where):
                continue
            item = h5o.open(group, name)
            if _address(item) in seen:
                continue
            seen.add(_address(item))
            if len(seen) > OBJECT_LIMIT or depth > DEPTH_LIMIT:
                raise UnsafeError(
                    where, f"{len(seen)} objects, {depth} deep",
                    f"at most {OBJECT_LIMIT} objects, {DEPTH_LIMIT} deep", "split the file",
                )  # fmt: skip
            if isinstance(item, h5g.GroupID):
                stack.append((item, f"{prefix}/{name.decode('utf-8', 'replace')}", depth + 1))
            elif isinstance(item, h5d.DatasetID):
                _check_dataset(item, where, path)


def _address(item: Any) -> tuple[int, Any]:
    info = h5o.get_info(item)
    return info.fileno, info.addr


def _is_hard(file: h5py.File, group: Any, name: bytes, where: str) -> bool:
    kind = group.links.get_info(name).type
    if kind == h5l.TYPE_SOFT:
        _check_soft(file, group, name, where)
        return False
    if kind != h5l.TYPE_HARD:
        what = "an external link" if kind == h5l.TYPE_EXTERNAL else f"a link of user type {kind}"
        raise UnsafeError(where, what, "links inside the file", "copy the data into the file")
    return True


def _check_soft(file: h5py.File, group: Any, name: bytes, where: str) -> None:
    """Follow a soft link by hand, component by component, through hard and soft links only."""
    todo = _parts(group.links.get_val(name))
    here = h5g.open(file.id, b"/") if todo[:1] == [b"/"] else group
    hops = 0
    while todo:
        part = todo.pop(0)
        if part in (b"/", b"."):
            here = h5g.open(file.id, b"/") if part == b"/" else here
            continue
        if hops > HOP_LIMIT or not isinstance(here, h5g.GroupID) or part not in here:
            target = group.links.get_val(name).decode("utf-8", "replace")
            raise UnreadableError(
                where, f"a soft link to {target!r}, which is not there",
                "a link to an object of the file", "export the file again",
            )  # fmt: skip
        kind = here.links.get_info(part).type
        if kind == h5l.TYPE_SOFT:
            hops += 1
            todo = _parts(here.links.get_val(part)) + todo
        elif kind == h5l.TYPE_HARD:
            here = h5o.open(here, part)
        else:
            raise UnsafeError(where, "a soft link over an external link", "links inside the file")


def _parts(target: bytes) -> list[bytes]:
    root = [b"/"] if target.startswith(b"/") else []
    return root + [part for part in target.split(b"/") if part]


def _check_dataset(dataset: Any, where: str, path: Path) -> None:
    plist = dataset.get_create_plist()
    layout = plist.get_layout()
    if layout == h5d.VIRTUAL:
        raise UnsafeError(where, "a virtual dataset", "stored data", "copy the data in: h5repack")
    if plist.get_external_count():
        raise UnsafeError(
            where, "external storage", "data inside the file", "copy the data in: h5repack"
        )
    for index in range(plist.get_nfilters()):
        code = plist.get_filter(index)[0]
        if code not in FILTERS:
            raise UnsafeError(
                where, f"HDF5 filter number {code}", "one of " + ", ".join(FILTERS.values()),
                "repack with gzip: h5repack -f GZIP=4",
            )  # fmt: skip
    space = dataset.get_space()
    if space.get_simple_extent_type() == h5s.NULL:
        return
    shape = space.get_simple_extent_dims()
    wanted = math.prod(shape) * dataset.get_type().get_size()
    if wanted and layout == h5d.CHUNKED:
        check_chunks(dataset, path, shape, where)
    elif wanted and layout == h5d.CONTIGUOUS:
        _check_contiguous(dataset, wanted, where, path.stat().st_size)


def _check_contiguous(dataset: Any, wanted: int, where: str, file_bytes: int) -> None:
    offset, stored = dataset.get_offset(), dataset.get_storage_size()
    if offset is None or stored < wanted or offset + wanted > file_bytes:
        raise UnreadableError(
            where, f"{stored if offset is not None else 0} stored bytes in a file of {file_bytes}",
            f"{wanted} bytes by its shape", "copy or export the file again",
        )  # fmt: skip


def follow(file: h5py.File, reference: Any) -> Any:
    """Return the object that an object reference names, if a checked link leads to it too.

    Raises
    ------
    UnreadableError
        When the reference is null or its target is in no group of the file.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.h5"
    >>> with h5py.File(path, "w") as file:
    ...     file["numbers"] = [1, 2, 3]
    ...     file.attrs["link"] = file["numbers"].ref
    >>> with open_hdf5(path) as file:
    ...     follow(file, file.attrs["link"]).name
    '/numbers'
    """
    name = None
    if isinstance(reference, h5py.Reference) and reference:
        name = h5r.get_name(reference, file.id)
    if not name:
        raise UnreadableError(
            Path(file.filename).name, "an object reference to nothing in the file's groups",
            "a reference to an object of the file", "export the file again",
        )  # fmt: skip
    return file[name]


@dataclass(frozen=True)
class StoredArray:
    """A numeric dataset of a checked file, opened anew for every slice, so that it pickles.

    Parameters
    ----------
    path : Path
        The file that was checked.
    stamp : tuple of int
        Its size in bytes and modification time in ns when it was checked.
    name : str
        The dataset's path in the file.
    shape : tuple of int
    dtype : numpy.dtype
    """

    path: Path
    stamp: tuple[int, int]
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> np.ndarray[Any, Any]:
        if not self.path.exists() or _stamp(self.path) != self.stamp:
            raise UnreadableError(
                self.path.name, "a file that changed while it was read", "the file as checked",
                "read it again",
            )  # fmt: skip
        with opened(self.path) as file, damage(self.path):
            return np.asarray(file[self.name][key])


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def lazy_array(dataset: h5py.Dataset, axis: int = 0, block_bytes: int = BLOCK_BYTES) -> da.Array:
    """Return a numeric dataset of an open checked file as a dask array that outlives the file.

    Parameters
    ----------
    dataset : h5py.Dataset
        Of any shape, its dtype kept.
    axis : int
        The axis that is cut into blocks, aligned to stored chunks.
    block_bytes : int
        About the size of a block.

    Returns
    -------
    dask.array.Array
        Each block opens the file, reads and closes it; errors are `UnreadableError`.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.h5"
    >>> with h5py.File(path, "w") as file:
    ...     file["numbers"] = [1, 2, 3]
    >>> with open_hdf5(path) as file:
    ...     numbers = lazy_array(file["numbers"])
    >>> int(numbers.sum().compute())
    6
    """
    import dask.array as da

    path = Path(dataset.file.filename)
    stored = StoredArray(path, _stamp(path), dataset.name, dataset.shape, dataset.dtype)
    row_bytes = max(1, dataset.nbytes // max(1, dataset.shape[axis]))
    step = dataset.chunks[axis] if dataset.chunks else 1
    length = max(step, block_bytes // row_bytes // step * step)
    chunks = tuple(length if i == axis else n for i, n in enumerate(dataset.shape))
    from_array: Any = da.from_array
    array: da.Array = from_array(
        stored, chunks=chunks, asarray=False, meta=np.empty((0,) * stored.ndim, dataset.dtype)
    )
    return array
