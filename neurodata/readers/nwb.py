"""NWB 2 files: ROI traces and their footprints, sorted units, other series, intervals.

Read by the published schema with h5py, every link and reference checked first: the reference
library follows external links and storage, and guesses a time zone where the file states none.
Time is as the file has it: seconds from ``timestamps_reference_time``.

References
----------
NWB core schema 2.7, https://nwb-schema.readthedocs.io
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import UnreadableError, UnsafeError, need
from neurodata.safe import Raw

SUFFIXES = (".nwb",)
EXTRA = "calcium"
SIGNATURE = b"\x89HDF\r\n\x1a\n"


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is NWB: HDF5 whose root has the attribute ``nwb_version``.

    A damaged HDF5 file called ``.nwb`` counts, so that reading it tells the damage.

    Raises
    ------
    MissingDependencyError
        When the file is HDF5 and h5py is not installed.

    Examples
    --------
    >>> sniff(b"no HDF5", Path("a.nwb"))
    False
    """
    if not head.startswith(SIGNATURE):
        return False
    need("h5py", extra=EXTRA)
    from neurodata.safe_hdf5 import root_attributes

    try:
        return "nwb_version" in root_attributes(path)
    except (UnreadableError, UnsafeError):
        return path.suffix in SUFFIXES


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the file alone: an NWB file holds a whole recording.

    Examples
    --------
    >>> members(Path("a.nwb"), [Path("a.nwb"), Path("b.nwb")])
    (PosixPath('a.nwb'),)
    """
    return (path,)


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read an NWB file lazily, as many nodes as it has series and tables.

    Parameters
    ----------
    declare : Declared
        ``units.<series>`` or ``units.*`` where a unit is missing or a placeholder,
        ``axes=time,roi`` where the axis order is ambiguous, ``rate_hz`` and ``start_s`` where
        a series has no clock, ``columns.label`` for the label of intervals.

    Returns
    -------
    xarray.DataTree
        ``traces`` (timeseries/1) and ``rois`` (rois/1), ``units`` (spikes/1), and one node in
        lower case for each further series (timeseries/1) and table of intervals (intervals/1).

    Raises
    ------
    UnsafeError
        When the file reaches outside itself.
    UnreadableError
        When it is damaged, contradicts itself or holds nothing that is read.
    MissingFactError
        When a unit, a clock, an axis order or the modality is not stated.
    """
    need("h5py", extra=EXTRA)
    from neurodata.readers.nwb_session import session

    return session(raw, declare)
