"""What tests of HDF5 formats share: files changed in place, and headers that lie."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py

LIES: Mapping[str, Callable[[bytes], bytes]] = {
    "end of file": lambda whole: whole[:40] + struct.pack("<Q", 2**40) + whole[48:],
    "root group": lambda whole: whole[:64] + struct.pack("<Q", 2**40) + whole[72:],
}


def change(path: Path, story: Callable[[h5py.File], object]) -> Path:
    """Let a function change a file."""
    with h5py.File(path, "r+") as file:
        story(file)
    return path


def put(file: h5py.File, name: str, values: Any) -> None:
    """Put values in a dataset's place; None takes it away."""
    if name in file:
        del file[name]
    if values is not None:
        file[name] = values
