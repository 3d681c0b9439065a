"""TorchIO: patches through its Queue, and whole volumes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torchio

from benchmarks.candidates import nifti
from benchmarks.candidates.torch_loading import workers
from benchmarks.workloads import Case

PER_VOLUME = {"mri_patches": 8, "microscopy": 64}
QUEUE_LENGTH = {"mri_patches": 160, "microscopy": 64}


def prepare(case: Case) -> None:
    """Write NIfTI files."""
    nifti.write(case)


def count(batch: Any) -> int:
    """Return the samples in a batch."""
    return len(batch["image"][torchio.DATA])


def batches(case: Case) -> Iterator[Any]:
    """Yield batches of epoch after epoch."""
    dataset = torchio.SubjectsDataset(_subjects(case))
    while True:
        yield from _loader(case, dataset)


def _subjects(case: Case) -> list[Any]:
    if case.workload.name == "microscopy":
        tensor = torch.from_numpy(np.load(case.raw[0]).astype("i4"))
        return [torchio.Subject(image=torchio.ScalarImage(tensor=tensor))]
    return [torchio.Subject(image=torchio.ScalarImage(file)) for file in nifti.files(case)]


def _loader(case: Case, dataset: Any) -> Any:
    name, size = case.workload.name, case.workload.batch
    if name == "mri_volumes":
        options = workers(case) | ({"persistent_workers": False} if case.workers else {})
        return torchio.SubjectsLoader(
            dataset, batch_size=size, shuffle=True, drop_last=True, **options
        )
    queue = torchio.Queue(
        dataset,
        max_length=QUEUE_LENGTH[name],
        samples_per_volume=PER_VOLUME[name],
        sampler=torchio.UniformSampler(case.workload.sample[-3:]),
        num_workers=case.workers,
    )
    return torchio.SubjectsLoader(queue, batch_size=size, num_workers=0)


def values(case: Case, batch: Any) -> Any:
    """Return the samples of a batch."""
    found = batch["image"][torchio.DATA].numpy()
    return found if len(case.workload.sample) == 4 else found[:, 0]
