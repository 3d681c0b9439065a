"""Arrays in chunks, each chunk a file or part of one: counted before they are read, on demand.

A chunk that is not there is an error, unless a person declares that absent chunks stand for the
array's fill value: other readers return the fill value either way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, UnreadableError
from neurodata.readers.zarr_files import Files
from neurodata.safe import Raw

if TYPE_CHECKING:
    import dask.array as da

Array = np.ndarray[Any, Any]
Span = tuple[int, int]
FACT = "missing_chunks"
FILL = "fill"
BLOCK_BYTES = 8 * 2**20
NAMED = 3
NUMBER = re.compile(r"0|[1-9][0-9]{0,14}")


@dataclass(frozen=True, eq=False, kw_only=True)
class Grid:
    """An array in chunks on disk that slices like an array and pickles.

    Parameters
    ----------
    files : Files
        Where the chunks are.
    where : str
        File and array, for messages.
    shape, chunks : tuple of int
        Of the array and of one chunk.
    dtype : numpy.dtype
        In the machine's byte order.
    fill_value : object
        What absent chunks stand for, as the metadata state it.
    fill : bool
        Whether they may be absent.
    """

    files: Files
    where: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    fill_value: Any = None
    fill: bool = False

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def chunk(self, number: tuple[int, ...], kept: dict[str, Array]) -> Array:
        """Return a chunk by its place in the grid; ``kept`` lives as long as one reading."""
        raise NotImplementedError

    def absent(self) -> tuple[int, list[str]]:
        """Return how many chunks are not there, and the names of the first."""
        raise NotImplementedError

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (*self.files.__dask_tokenize__(), self.where, self.shape, self.fill)

    def __getitem__(self, key: Any) -> Array:
        keys = key if isinstance(key, tuple) else (key,)
        keys = (*keys, *[slice(None)] * (self.ndim - len(keys)))
        both = [span(one, length) for one, length in zip(keys, self.shape, strict=True)]
        return pick(self._box([of for of, _ in both]), [rest for _, rest in both])

    def _box(self, spans: list[Span]) -> Array:
        out = np.empty([stop - start for start, stop in spans], self.dtype)
        kept: dict[str, Array] = {}
        grid = [range(a // n, -(-b // n)) for (a, b), n in zip(spans, self.chunks, strict=True)]
        for number in product(*grid) if out.size else ():
            to, of = [], []
            for at, n, (start, stop) in zip(number, self.chunks, spans, strict=True):
                low, high = max(at * n, start), min((at + 1) * n, stop)
                to.append(slice(low - start, high - start))
                of.append(slice(low - at * n, high - at * n))
            out[tuple(to)] = self.chunk(number, kept)[tuple(of)]
        return out

    def filled(self, name: str) -> Array:
        """Return a chunk of the fill value, where that is declared.

        Raises
        ------
        UnreadableError
            Where it is not.
        """
        if not self.fill:
            raise UnreadableError(f"{self.where}: {name}", "no such chunk", "one", "fetch it again")
        return np.broadcast_to(fill_number(self), self.chunks)


def span(key: Any, length: int) -> tuple[Span, Any]:
    """Return the smallest span of an axis that holds all a key asks for, and the key within it.

    Examples
    --------
    >>> span(slice(8, 2, -3), 10), span(-1, 10)
    (((5, 9), slice(None, None, -3)), ((9, 10), 0))
    """
    if isinstance(key, int | np.integer):
        at = int(key) + (length if key < 0 else 0)
        return (at, at + 1), 0
    if isinstance(key, slice):
        asked = range(*key.indices(length))
        if not asked:
            return (0, 0), slice(0)
        low, high = min(asked[0], asked[-1]), max(asked[0], asked[-1]) + 1
        return (low, high), slice(None, None, asked.step)
    places = np.arange(length)[np.asarray(key)]
    if not places.size:
        return (0, 0), slice(0)
    return (int(places.min()), int(places.max()) + 1), places - places.min()


def pick(array: Array, keys: Sequence[Any]) -> Array:
    """Return what the keys of all axes ask for, each axis by itself.

    Examples
    --------
    >>> pick(np.arange(24).reshape(2, 3, 4), [0, slice(2), [3, 0]]).tolist()
    [[3, 0], [7, 4]]
    """
    plain: list[Any] = []
    for axis, key in enumerate(keys):
        single = isinstance(key, slice | int | np.integer)
        plain.append(key if single else slice(None))
        if not single:
            array = array[(slice(None),) * axis + (np.asarray(key),)]
    return np.asarray(array[tuple(plain)])


def gone(grid: Iterable[int], there: set[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
    """Yield the places of a grid that are not ``there``; at once, as many as are asked for."""
    return (number for number in product(*map(range, grid)) if number not in there)


def first(names: Iterable[str]) -> list[str]:
    """Return as many names as a message shows."""
    return list(islice(names, NAMED))


def fill_number(stored: Grid) -> Array:
    """Return an array's fill value as a number of its type.

    Raises
    ------
    UnreadableError
        When the metadata state none, or one of another type.
    """
    stated, kind = stored.fill_value, stored.dtype.kind
    try:
        if kind == "f" and isinstance(stated, int | float | str) and not isinstance(stated, bool):
            return np.asarray(float(stated)).astype(stored.dtype)
        if kind == "b" and isinstance(stated, bool):
            return np.asarray(stated)
        if kind in "iu" and type(stated) in (int, float) and stated == int(stated):
            return np.array(int(stated), dtype=stored.dtype)
    except (ValueError, OverflowError):
        pass
    raise UnreadableError(
        f"{stored.where}: fill_value", repr(stated)[:40], f"one number of type {stored.dtype}",
        "absent chunks cannot be filled: fetch them",
    )  # fmt: skip


Stored = TypeVar("Stored", bound=Grid)


def complete(stored: Stored, raw: Raw, declare: Declared) -> Stored:
    """Return an array all of whose chunks are there, or declared to be the fill value.

    Raises
    ------
    UnreadableError
        When chunks are missing and nobody declared what they stand for; it names the first.
    InvalidInputError
        When something else than ``missing_chunks=fill`` is declared.
    """
    declared = declare.text(FACT)
    if declared not in (None, FILL):
        raise InvalidInputError(f"--set {FACT}", repr(declared), FILL)
    count, names = stored.absent()
    if not count:
        return stored
    found = f"{count} missing chunk(s): {', '.join(names)}{', ...' if count > len(names) else ''}"
    if declared is None:
        raise UnreadableError(
            stored.where, found, "every chunk of the array",
            f"fetch them, or, where absent chunks stand for the fill value ({stored.fill_value}), "
            f"declare it: --set {FACT}={FILL}",
        )  # fmt: skip
    value = fill_number(stored)
    raw.warn("", f"{stored.where}: {found}", "every chunk", f"filled with {value}, as declared")
    return replace(stored, fill=True)


def lazy(stored: Grid) -> da.Array:
    """Return a stored array as a dask array in blocks of whole chunks, about 8 MiB each."""
    import dask.array as da

    blocks = list(stored.chunks)
    size = int(np.prod(blocks, dtype=object)) * stored.dtype.itemsize
    for axis in reversed(range(stored.ndim)):
        many = max(1, min(-(-stored.shape[axis] // blocks[axis]), BLOCK_BYTES // size))
        blocks[axis], size = blocks[axis] * many, size * many
    chunks = tuple(min(n, block) for n, block in zip(stored.shape, blocks, strict=True))
    from_array: Any = da.from_array
    meta = np.empty((0,) * stored.ndim, stored.dtype)
    array: da.Array = from_array(stored, chunks=chunks, asarray=False, meta=meta)
    return array
