"""NWB 1 files of two-photon sessions, as the Allen Brain Observatory publishes them.

Traces and masks lie in interfaces of processing modules; traces are (cell, time) against the
format and come out time-first. Stimuli count frames of the traces and come out in seconds.

References
----------
NWB 1.0.5, https://github.com/NeurodataWithoutBorders/specification; the Allen SDK's reader
``brain_observatory_nwb_data_set`` for the meaning of ``frame_duration`` and ``pix_mask``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import need
from neurodata.readers.hdf5_kind import holds
from neurodata.safe import Raw

SUFFIXES = (".nwb",)
EXTRA = "calcium"


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is NWB 1: HDF5 whose root holds a dataset ``nwb_version``.

    Examples
    --------
    >>> sniff(b"no HDF5", Path("a.nwb"))
    False
    """
    return holds(head, path, {"": {"nwb_version", "general"}}, EXTRA)


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the file alone."""
    return (path,)


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a two-photon session lazily.

    Parameters
    ----------
    declare : Declared
        ``units.<node>`` or ``units.*`` where a unit is missing, ``axes=roi,time`` where the
        order is ambiguous.

    Returns
    -------
    xarray.DataTree
        ``traces`` (dF/F), ``fluorescence`` and the other responses (timeseries/1), ``rois``
        (rois/1), ``running_speed`` (timeseries/1), and one node a stimulus (intervals/1).

    Raises
    ------
    UnsafeError
        When the file reaches outside itself.
    UnreadableError
        When it is damaged, contradicts itself or holds no traces.
    MissingFactError
        When a unit or an axis order is not stated.
    """
    need("h5py", extra=EXTRA)
    from neurodata.readers.nwb1_session import session

    return session(raw, declare)
