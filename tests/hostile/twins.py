"""Valid recordings of every format: what the readers' own tests make, to be changed or kept."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.hostile.case import Case, raw_folder

Change = Callable[[bytes], bytes]


def tests_of(story: str) -> Any:
    """Return an instance of a class of the readers' tests by ``module.Class``."""
    module, _, name = story.partition(".")
    return getattr(importlib.import_module(f"tests.readers.test_{module}"), name)()


def make(story: str, folder: Path) -> Path:
    """Write the recording that a class of tests makes, and return its main file."""
    main: Path = tests_of(story).make(raw_folder(folder))
    return main


def source(story: str, folder: Path) -> Path:
    """Write a valid recording and return its folder."""
    make(story, folder)
    return raw_folder(folder)


def changed(story: str, change: Change, folder: Path, suffix: str = "") -> Path:
    """Write a recording with one file changed, the main one or that of a suffix."""
    main = make(story, folder)
    victim = main if not suffix else next(iter(sorted(main.parent.rglob(f"*{suffix}"))))
    whole = victim.read_bytes()
    told = change(whole)
    if told == whole:
        raise ValueError(f"{story}: nothing was changed")
    victim.write_bytes(told)
    return raw_folder(folder)


def swap(old: bytes, new: bytes) -> Change:
    """Return what replaces bytes that must be there."""

    def change(whole: bytes) -> bytes:
        if old not in whole:
            raise ValueError(f"no {old!r}")
        return whole.replace(old, new, 1)

    return change


def put(offset: int, new: bytes) -> Change:
    """Return what overwrites bytes at an offset."""
    return lambda whole: whole[:offset] + new + whole[offset + len(new) :]


STORIES = (
    "abf.TestAbf1", "abf.TestAbf2", "adjacency.TestAdjacency", "aedat.TestVersion3",
    "afni.TestAfni", "blackrock.TestBlackrock", "boxes.TestCoco", "brainvision.TestBrainVision",
    "caiman.TestCaiman", "cifti.TestCifti", "connections.TestText", "connections.TestFeather",
    "ctf.TestCtf", "dicom.TestDicom", "diffusion.TestDiffusion", "edf.TestEdf", "edf.TestBdf",
    "edgelist.TestEdgelist", "eeglab.TestEeglabWithDataFile", "eeglab.TestEeglab73",
    "egi.TestEgi", "egi_mff.TestMff", "fif.TestFif", "gdf.TestGdf", "gifti.TestSurface",
    "graphml.TestGraphml", "graphml.TestGml", "kit.TestKit", "matlab.TestMat5",
    "matlab.TestMat73", "matlab.TestHdf5", "matlab.TestMat4", "mgh.TestMgh", "mif.TestMif",
    "minc.TestMinc2", "minc.TestMinc1", "movie.TestMovie", "neuralynx.TestNeuralynx",
    "neurolucida.TestNeurolucida", "neurolucida.TestNeurolucidaXml", "neurolucida.TestNeuroMl",
    "neuroscan.TestNeuroscan", "nifti.TestNifti", "nifti.TestNiftiGzip", "nifti.TestNiftiPair",
    "nihon.TestNihon", "nwb.TestNwb", "nwb1.TestNwb1", "ome_zarr.Test04", "ome_zarr.Test05",
    "ome_zarr.TestZip", "parrec.TestParRec", "persyst.TestPersyst", "phy.TestPhy",
    "precomputed.TestRaw", "shd.TestShd", "slices.TestPng", "snirf.TestSnirf",
    "spike_text.TestSpikeText", "spikeglx.TestSpikeGlx", "sqlite_table.TestSqlite",
    "suite2p.TestSuite2p", "swc.TestSwc", "tiff.TestPlain", "tiff.TestOmeBig",
    "traces.TestTraces", "vessel.TestVessel", "wfdb.TestWfdb", "xdf.TestXdf",
    "xlsx.TestXlsx", "zarr_array.Test2", "zarr_array.Test3",
)  # fmt: skip


def declared(story: str) -> dict[str, Any]:
    """Return what a recording needs declared."""
    return dict(tests_of(story).declare)


VALID: tuple[Case, ...] = tuple(
    Case(
        f"{story.replace('.Test', '-').lower()}-valid", 0, f"what the tests of {story} make",
        partial(source, story), facts=partial(declared, story),
    )
    for story in STORIES
)  # fmt: skip
