"""Readers: one module per format, one line in the table below.

A reader module has ``SUFFIXES``, ``EXTRA`` (the extra of its packages in `pyproject.toml`, or
``""``) and the functions ``sniff(head, path)``, ``members(path, folder)`` and
``read(raw, declare)``; `tests/readers/conformance.py` has the tests that each inherits. The
first reader of the table whose ``sniff`` says yes reads the file.

``read`` returns the raw form: a root with the attributes of `schemas/recording.json`, at least
``modality``, and a child a node, with the attributes ``representation`` and ``schema`` and what
`schemas/representations/` asks of that representation. A regular clock is the node's attributes
``start_s``, ``rate_hz`` and ``n``, without times; large arrays are dask arrays or those of
`neurodata.safe.memmap`. Facts are declared under the keys in `neurodata.declare.KEYS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import NotFoundError
from neurodata.safe import Raw

TABLE = {
    "nwb": "neurodata.readers.nwb",
    "nwb1": "neurodata.readers.nwb1",
    "caiman": "neurodata.readers.caiman",
    "suite2p": "neurodata.readers.suite2p",
    "shd": "neurodata.readers.shd",
    "edf": "neurodata.readers.edf",
    "brainvision": "neurodata.readers.brainvision",
    "fif": "neurodata.readers.fif",
    "eeglab": "neurodata.readers.eeglab",
    "matlab": "neurodata.readers.matlab",
    "ctf": "neurodata.readers.ctf",
    "kit": "neurodata.readers.kit",
    "snirf": "neurodata.readers.snirf",
    "wfdb": "neurodata.readers.wfdb",
    "phy": "neurodata.readers.phy",
    "neuralynx": "neurodata.readers.neuralynx",
    "blackrock": "neurodata.readers.blackrock",
    "abf": "neurodata.readers.abf",
    "cifti": "neurodata.readers.cifti",
    "nifti": "neurodata.readers.nifti",
    "dicom": "neurodata.readers.dicom",
    "mgh": "neurodata.readers.mgh",
    "afni": "neurodata.readers.afni",
    "parrec": "neurodata.readers.parrec",
    "minc": "neurodata.readers.minc",
    "hdf5": "neurodata.readers.hdf5",
    "tiff": "neurodata.readers.tiff",
    "movie": "neurodata.readers.movie",
    "ome_zarr": "neurodata.readers.ome_zarr",
    "zarr_array": "neurodata.readers.zarr_array",
    "precomputed": "neurodata.readers.precomputed",
    "slices": "neurodata.readers.slices",
    "xlsx": "neurodata.readers.xlsx_table",
    "graphml": "neurodata.readers.graphml",
    "gml": "neurodata.readers.gml",
    "swc": "neurodata.readers.swc",
    "vessel": "neurodata.readers.vessel",
    "adjacency": "neurodata.readers.adjacency",
    "edgelist": "neurodata.readers.edgelist",
    "traces": "neurodata.readers.traces",
    "spike_text": "neurodata.readers.spike_text",
}


class Reader(Protocol):
    """What a reader module offers."""

    SUFFIXES: tuple[str, ...]
    EXTRA: str

    def sniff(self, head: bytes, path: Path) -> bool:
        """Say whether the content (its first bytes, unpacked) is of this format."""

    def members(self, path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
        """Return all files of the recording whose main file is ``path``, that one first."""

    def read(self, raw: Raw, declare: Declared) -> xr.DataTree:
        """Return the recording in raw form, lazily, in SI units."""


def reader(name: str) -> Reader:
    """Return a reader by its name in the table.

    Raises
    ------
    NotFoundError
        When there is none of that name.
    """
    if name not in TABLE:
        raise NotFoundError(f"reader {name!r}", "none of that name", ", ".join(TABLE))
    return cast(Reader, importlib.import_module(TABLE[name]))
