"""HDF5 files of no known layout: traces, or movies with masks, whose meaning a person declares.

See `neurodata.readers.mapped` for traces. With ``variables.movie`` and ``masks`` the traces are
the means of a movie over regions of interest (`neurodata.readers.masks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import UnreadableError, UnsafeError, need
from neurodata.readers.mapped import mapped
from neurodata.readers.masks import mask_files
from neurodata.safe import Raw

SUFFIXES = (".h5", ".hdf5")
EXTRA = "calcium"
SIGNATURE = b"\x89HDF\r\n\x1a\n"


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is HDF5 and no NWB file; readers of known layouts are asked before.

    Examples
    --------
    >>> sniff(b"no HDF5", Path("a.h5"))
    False
    """
    if not head.startswith(SIGNATURE):
        return False
    need("h5py", extra=EXTRA)
    from neurodata.safe_hdf5 import root_attributes

    try:
        return "nwb_version" not in root_attributes(path)
    except (UnreadableError, UnsafeError):
        return path.suffix in SUFFIXES


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the file and the files of masks beside it."""
    return (path, *mask_files(path, folder))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read declared traces, or the traces of a declared movie under declared masks, lazily.

    Parameters
    ----------
    declare : Declared
        ``variables.signal`` and what `neurodata.readers.mapped` names; or ``variables.movie``,
        ``masks=FILE``, ``axes=time,y,x``, ``rate_hz``, ``units.*`` and ``modality``.

    Returns
    -------
    xarray.DataTree
        The node ``traces`` (timeseries/1); of a movie ``rois`` (rois/1) as well.

    Raises
    ------
    MissingFactError
        When a fact is not declared; the message lists the variables.
    UnreadableError
        When the file is damaged or contradicts itself.
    UnsafeError
        When it reaches outside itself.
    """
    need("h5py", extra=EXTRA)
    from neurodata.readers.hdf5_arrays import Hdf5Arrays

    source = Hdf5Arrays(raw.main, matlab=False)
    if count := source.attribute_count():
        raw.note("attributes", f"{count} attributes, removed")
    if "variables.movie" in declare.facts:
        from neurodata.readers.masked import masked_hdf5

        return masked_hdf5(source, raw, declare)
    return mapped(source, raw, declare)
