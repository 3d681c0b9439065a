"""Names in an HDF5 file, for telling formats apart before any dataset is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from h5py import h5g, h5l, h5o

from neurodata.safe_hdf5 import damage, opened


def hard_names(path: Path, group: str = "") -> set[str]:
    """Return the names of a group's hard links, the group reached through hard links only.

    Parameters
    ----------
    group : str
        Names joined by ``/``; the root by default.

    Returns
    -------
    set of str
        Empty when there is no such group.

    Raises
    ------
    UnreadableError
        When HDF5 cannot open the file.

    Examples
    --------
    >>> import h5py, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.h5"
    >>> with h5py.File(path, "w") as file:
    ...     file["estimates/C"] = [1.0]
    >>> hard_names(path), hard_names(path, "estimates"), hard_names(path, "other")
    ({'estimates'}, {'C'}, set())
    """
    with opened(path) as file, damage(path):
        here: Any = h5g.open(file.id, b"/")
        for part in filter(None, group.encode().split(b"/")):
            if not _is_hard(here, part) or h5o.get_info(here, part).type != h5o.TYPE_GROUP:
                return set()
            here = h5g.open(here, part)
        return {name.decode("utf-8", "replace") for name in here if _is_hard(here, name)}


def _is_hard(group: Any, name: bytes) -> bool:
    links = group.links  # `in` would resolve the link
    return bool(links.exists(name)) and links.get_info(name).type == h5l.TYPE_HARD
