"""Readers: one module per format, one line in the table below.

A reader module has ``SUFFIXES``, ``EXTRA`` (the extra of its packages in `pyproject.toml`, or
``""``) and the functions ``sniff(head, path)``, ``members(path, folder)`` and
``read(raw, declare)``; `tests/readers/conformance.py` has the tests that each inherits. The
first reader of the table whose ``sniff`` says yes reads the file. A module may also have
``name(path, folder)``, a name for the recording within its folder where the main file's says
little, and ``aside(path, folder)``, a `Problem` where the files are none and the file goes into
no recording. A reader in `CERTAIN` has ``certain(head, path, folder)`` as well: it is asked before
the others, and says yes where the files beside leave no doubt.

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
    "gdf": "neurodata.readers.gdf",
    "brainvision": "neurodata.readers.brainvision",
    "fif": "neurodata.readers.fif",
    "eeglab": "neurodata.readers.eeglab",
    "matlab": "neurodata.readers.matlab",
    "ctf": "neurodata.readers.ctf",
    "kit": "neurodata.readers.kit",
    "egi": "neurodata.readers.egi",
    "egi_mff": "neurodata.readers.egi_mff",
    "neuroscan": "neurodata.readers.neuroscan",
    "nihon": "neurodata.readers.nihon",
    "persyst": "neurodata.readers.persyst",
    "snirf": "neurodata.readers.snirf",
    "xdf": "neurodata.readers.xdf",
    "wfdb": "neurodata.readers.wfdb",
    "phy": "neurodata.readers.phy",
    "neuralynx": "neurodata.readers.neuralynx",
    "blackrock": "neurodata.readers.blackrock",
    "spikeglx": "neurodata.readers.spikeglx",
    "abf": "neurodata.readers.abf",
    "cifti": "neurodata.readers.cifti",
    "nifti": "neurodata.readers.nifti",
    "gifti": "neurodata.readers.gifti",
    "dicom": "neurodata.readers.dicom",
    "mgh": "neurodata.readers.mgh",
    "afni": "neurodata.readers.afni",
    "parrec": "neurodata.readers.parrec",
    "minc": "neurodata.readers.minc",
    "mif": "neurodata.readers.mif",
    "hdf5": "neurodata.readers.hdf5",
    "tiff": "neurodata.readers.tiff",
    "movie": "neurodata.readers.movie",
    "ome_zarr": "neurodata.readers.ome_zarr",
    "zarr_array": "neurodata.readers.zarr_array",
    "precomputed": "neurodata.readers.precomputed",
    "slices": "neurodata.readers.slices",
    "boxes": "neurodata.readers.boxes",
    "xlsx": "neurodata.readers.xlsx_table",
    "sqlite": "neurodata.readers.sqlite_table",
    "graphml": "neurodata.readers.graphml",
    "gml": "neurodata.readers.gml",
    "swc": "neurodata.readers.swc",
    "neurolucida": "neurodata.readers.neurolucida",
    "neuroml": "neurodata.readers.neuroml",
    "vessel": "neurodata.readers.vessel",
    "connections": "neurodata.readers.connections",
    "adjacency": "neurodata.readers.adjacency",
    "edgelist": "neurodata.readers.edgelist",
    "traces": "neurodata.readers.traces",
    "aedat": "neurodata.readers.aedat",
    "spike_text": "neurodata.readers.spike_text",
}

CERTAIN = ("boxes", "movie")


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
