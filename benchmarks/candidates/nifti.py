"""NIfTI files of the MRI data, as they come from a scanner: int16, not compressed."""

from __future__ import annotations

import nibabel
import numpy as np

from benchmarks.workloads import Case


def write(case: Case) -> None:
    """Write one file per recording, axes in the source's order."""
    folder = case.folder / "nifti"
    folder.mkdir(exist_ok=True)
    for file in case.raw:
        nibabel.save(nibabel.Nifti1Image(np.load(file), np.eye(4)), folder / f"{file.stem}.nii")


def files(case: Case) -> list[str]:
    """Return the files of all recordings."""
    return sorted(str(file) for file in (case.folder / "nifti").glob("*.nii"))
