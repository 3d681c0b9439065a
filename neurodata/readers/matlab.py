"""MATLAB files (4 to 7, and 7.3, which is HDF5): traces whose meaning a person declares.

See `neurodata.readers.mapped` for the declarations. A file without them is refused with a list
of its variables and the flags that settle it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata import safe, safe_mat
from neurodata.declare import Declared
from neurodata.errors import UnreadableError, need
from neurodata.readers.delimited import Numbers
from neurodata.readers.mapped import Listed, mapped
from neurodata.safe import Raw

SUFFIXES = (".mat",)
EXTRA = "calcium"
MAGIC_73 = b"MATLAB 7.3 MAT-file"
REAL = ("double", "single", "logical", "int8", "uint8", "int16", "uint16", "int32", "uint32",
        "int64", "uint64")  # fmt: skip


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file begins as MATLAB's do.

    Examples
    --------
    >>> sniff(b"MATLAB 5.0 MAT-file", Path("a.mat")), sniff(b"MATLAB", Path("a.mat"))
    (True, False)
    """
    return head.startswith((safe_mat.MAGIC, MAGIC_73)) or safe_mat.is_4(head)


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the file alone."""
    return (path,)


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read the declared traces of a MATLAB file, lazily but for bytes of another order.

    Parameters
    ----------
    declare : Declared
        ``variables.signal=worm.traces{3}``, ``axes=channel,time`` (as MATLAB shows them),
        ``rate_hz`` or ``variables.rate_hz`` or ``variables.time`` with ``time_units``,
        ``units.*``, ``modality``; ``variables.channel`` for names.

    Returns
    -------
    xarray.DataTree
        The node ``traces`` (timeseries/1).

    Raises
    ------
    MissingFactError
        When a fact is not declared; the message lists the variables.
    UnreadableError
        When the file is damaged or contradicts itself.
    UnsafeError
        When it reaches outside itself, or an object or a function is named.
    """
    start = safe.head(raw.main)
    if start.startswith((safe_mat.MAGIC, MAGIC_73)):
        raw.note("header", "its text (program, platform, date), removed")
    if start.startswith(MAGIC_73):
        need("h5py", extra=EXTRA)
        from neurodata.readers.hdf5_arrays import Hdf5Arrays

        return mapped(Hdf5Arrays(raw.main, matlab=True), raw, declare)
    return mapped(MatArrays(raw.main), raw, declare)


class MatArrays:
    """The variables of a MATLAB file of version 4 to 7."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def listed(self) -> Sequence[Listed]:
        """Return all variables, with the cells and fields of each."""
        return [
            Listed(item.name, item.kind, item.shape, item.kind in REAL)
            for item in safe_mat.variables(self.path)
        ]

    def array(self, name: str, long_axis: int) -> Any:
        """Return a variable's numbers."""
        return self.numbers(name)

    def numbers(self, name: str) -> Numbers:
        """Return a variable's numbers.

        Raises
        ------
        UnreadableError
            When it holds none.
        """
        values = safe_mat.value(self.path, name)
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "iufb":
            raise UnreadableError(f"{self.path.name}: {name}", "no real numbers", "real numbers")
        return values

    def texts(self, name: str) -> list[str]:
        """Return the rows of a char array, the texts of a cell array, or numbers as texts."""
        values = safe_mat.value(self.path, name)
        if not isinstance(values, np.ndarray):
            raise UnreadableError(f"{self.path.name}: {name}", "no array", "names")
        return [_text(value) for value in values.ravel(order="F")]


def _text(value: Any) -> str:
    """Return what a cell holds: text, a number, or nothing."""
    while isinstance(value, np.ndarray):
        if value.size != 1:
            return ""
        value = value.ravel()[0]
    if isinstance(value, (int, float, np.number)):
        return f"{value:.17g}"
    return str(value) if isinstance(value, str) else ""
