"""What tells kinds of HDF5 files apart: the names in some of their groups."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from neurodata.errors import UnreadableError, UnsafeError, need

SIGNATURE = b"\x89HDF\r\n\x1a\n"


def holds(head: bytes, path: Path, names: Mapping[str, set[str]], extra: str) -> bool:
    """Say whether a file is HDF5 and its groups have some names, seen through hard links only.

    Parameters
    ----------
    head : bytes
        The file's first bytes.
    names : mapping of str to set of str
        By group, ``""`` for the root.
    extra : str
        The extra that h5py belongs to, for the message where it is not installed.

    Raises
    ------
    MissingDependencyError
        When the file is HDF5 and h5py is not installed.

    Examples
    --------
    >>> holds(b"no HDF5", Path("a.h5"), {"": {"labels"}}, "spikes")
    False
    """
    if not head.startswith(SIGNATURE):
        return False
    need("h5py", extra=extra)
    from neurodata.safe_hdf5_root import hard_names

    try:
        return all(wanted <= hard_names(path, group) for group, wanted in names.items())
    except (UnreadableError, UnsafeError):
        return False
