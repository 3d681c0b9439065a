"""One hostile source, and where it and its target lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RAW, OUTSIDE = "raw", "outside"
SECRET = b"synthetic secret of the machine, 0123456789 abcdefghij ABCDEFGHIJ\n" * 64


@dataclass(frozen=True)
class Case:
    """A source that can be written into any empty folder.

    Parameters
    ----------
    name : str
        Unique, of letters, digits, ``-`` and ``.``.
    fault : int
        Number of the kind of fault: 13 impossible sizes, 20 archives that lead outside, 21
        archives that swell, 22 pickles, 23 links of HDF5, 24 headers that name files, 25 links of
        the file system, 26 XML, 27 JSON and YAML, 28 metadata of Zarr, 29 names; 0 for a valid
        source.
    story : str
        One line: what it is and what it tries.
    build : callable
        Writes it into an empty folder and returns what is to be ingested.
    canary : bool
        Whether it tries to reach something in `outside`.
    facts : callable
        Returns what a valid source needs declared; see `declare`.
    """

    name: str
    fault: int
    story: str
    build: Callable[[Path], Path]
    canary: bool = False
    facts: Callable[[], Mapping[str, Any]] = dict

    @property
    def declare(self) -> dict[str, Any]:
        """What the source needs declared."""
        return dict(self.facts())

    @staticmethod
    def outside(folder: Path) -> Path:
        """Return the folder that no ingest of the case may look into."""
        return folder / OUTSIDE


def raw_folder(folder: Path) -> Path:
    """Make and return the folder of the source."""
    raw = folder / RAW
    raw.mkdir(parents=True, exist_ok=True)
    return raw


def secret(folder: Path, name: str = "secret.bin", content: bytes = SECRET) -> Path:
    """Write a file outside of the source and return its path."""
    path = folder / OUTSIDE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def marker(folder: Path) -> Path:
    """Return the path of a file that code in a source would write."""
    (folder / OUTSIDE).mkdir(parents=True, exist_ok=True)
    return folder / OUTSIDE / "marker"
