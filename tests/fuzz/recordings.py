"""Valid recordings to damage: what the readers' own tests make, and small real files."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from neurodata.readers import TABLE
from neurodata.sources import scan
from tests.fuzz.damage import Valid
from tests.readers.conformance import HeaderTests, ReaderTests

REAL_LIMIT_BYTES = 400_000
FORMATS = {module: name for name, module in TABLE.items()}


@dataclass(frozen=True)
class Made:
    """One recording that can be made anew in any folder.

    Parameters
    ----------
    format : str
        The reader's name in the table.
    story : str
        The class of tests, or the real file's path.
    tests : ReaderTests, optional
        Has the maker; real files are copied instead.
    """

    format: str
    story: str
    declared: Mapping[str, Any]
    tests: ReaderTests | None = None
    real: tuple[Path, ...] = ()

    def make(self, root: Path) -> dict[str, Any]:
        """Write the recording below a new folder; return the main file and the victims."""
        root.mkdir(parents=True)
        if self.tests is None:
            for path in self.real:
                (root / path.name).write_bytes(path.read_bytes())
            main = root / self.real[0].name
            victims: tuple[Path, ...] = tuple(root / path.name for path in self.real[:2])
        else:
            main = self.tests.make(root)
            victims = self.tests.victims(main)
        return {"main": str(main), "victims": [str(path) for path in victims]}

    def valid(self, root: Path, main: str, victims: list[str]) -> Valid:
        """Return what `make` has written."""
        paths = scan(root).files
        members = importlib.import_module(TABLE[self.format]).members(Path(main), paths)
        lies = self.tests.lies if isinstance(self.tests, HeaderTests) else {}
        files = {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
        names = [tuple(Path(path).relative_to(root).as_posix() for path in group)
                 for group in ([main], members, victims)]  # fmt: skip
        return Valid(files, names[0][0], names[1], names[2], lies)


def made(formats: tuple[str, ...]) -> dict[str, list[Made]]:
    """Return the recordings of some formats, those of the conformance tests first."""
    found: dict[str, list[Made]] = {name: [] for name in formats}
    for recording in [*_synthetic(), *_real()]:
        if recording.format in found:
            found[recording.format].append(recording)
    return found


def _synthetic() -> Iterator[Made]:
    seen = set()
    for path in sorted((Path(__file__).parents[1] / "readers").glob("test_*.py")):
        try:
            module = importlib.import_module(f"tests.readers.{path.stem}")
        except (Exception, pytest.skip.Exception) as error:
            print(f"{path.name} was left out: {error}", file=sys.stderr)
            continue
        for name, kind in inspect.getmembers(module, inspect.isclass):
            own = kind.__module__ == module.__name__ and name.startswith("Test")
            if not own or not issubclass(kind, ReaderTests) or kind in seen:
                continue
            seen.add(kind)
            if form := FORMATS.get(kind.reader.__name__):
                story = f"{path.stem.removeprefix('test_')}.{name}"
                yield Made(form, story, dict(kind.declare), kind())


WEIGHT = {"weight_units": "count"}
REAL: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("edf", "eeg_meg_ieeg/pyedflib/test_utf8.edf", {}),
    ("spike_text", "spikes/nitime_grasshopper/grasshopper_spike_times1.txt",
     {"time_units": "us", "start_s": 0, "stop_s": 10}),
    ("nifti", "mri/nibabel/tests/data/anatomical.nii", {}),
    ("nifti", "mri/nitime_fmri/fmri1.nii.gz", {}),
    ("nifti", "mri/dipy/small_64D.nii mri/dipy/small_64D.bval mri/dipy/small_64D.bvec",
     {"voxel_mm": [2, 2, 2]}),
    ("dicom", "mri/pydicom/MR_small.dcm", {}),
    ("dicom", "mri/pydicom/MR_small_RLE.dcm", {}),
    ("dicom", "mri/pydicom/MR_small_jp2klossless.dcm", {}),
    ("dicom", "mri/pydicom_data/emri_small.dcm", {"voxel_mm": [3, 1, 1]}),
    ("minc", "mri/nibabel/tests/data/small.mnc", {}),
    ("afni", "mri/nibabel/tests/data/example4d+orig.HEAD"
             " mri/nibabel/tests/data/example4d+orig.BRIK.gz", {}),
    ("parrec", "mri/nibabel/tests/data/phantom_EPI_asc_CLEAR_2_1.PAR"
               " mri/nibabel/tests/data/phantom_EPI_asc_CLEAR_2_1.REC", {}),
    ("tiff", "microscopy/stardist/img3d.tif", {"voxel_um": [2, 0.5, 0.5], "axes": "z,y,x"}),
    ("adjacency", "connectome/graspologic/drosophila/left_adjacency.csv"
                  " connectome/graspologic/drosophila/left_cell_labels.csv",
     {"axes": "source,target", **WEIGHT}),
    ("swc", "connectome/navis_hemibrain/swc/1734350788.swc", {"voxel_um": [0.008, 0.008, 0.008]}),
    ("xlsx", "connectome/cect_data/witvliet_2020_1 L1.xlsx",
     {"columns.source": "pre", "columns.target": "post", "columns.weight": "synapses",
      "directed": 1, **WEIGHT}),
)  # fmt: skip
"""Format, paths below ``fixtures`` (the main file first) and what they need declared."""


def _real() -> Iterator[Made]:
    base = os.environ.get("NEURODATA_REALDATA", "")
    for name, paths, declared in REAL if base else ():
        files = tuple(Path(base, "fixtures", path) for path in _split(paths))
        if all(file.is_file() and file.stat().st_size <= REAL_LIMIT_BYTES for file in files):
            yield Made(name, files[0].name, declared, real=files)


def _split(paths: str) -> list[str]:
    """Split at the blanks before a new path: names may have blanks of their own.

    Examples
    --------
    >>> _split("mri/a 1.nii mri/a 1.bval")
    ['mri/a 1.nii', 'mri/a 1.bval']
    """
    first = paths.partition("/")[0]
    return [part if n == 0 else first + "/" + part
            for n, part in enumerate(paths.split(f" {first}/"))]  # fmt: skip
