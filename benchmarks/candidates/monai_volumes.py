"""MONAI: volumes and random patches through CacheDataset or PersistentDataset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.candidates import nifti
from benchmarks.candidates.torch_loading import endless, stub, workers
from benchmarks.workloads import Case

stub()

from monai.data import CacheDataset, DataLoader, PersistentDataset  # noqa: E402
from monai.transforms import (  # noqa: E402
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    RandSpatialCropSamplesd,
)

PATCHES_PER_VOLUME = 4


def prepare(case: Case) -> None:
    """Write NIfTI files, and fill the persistent cache that MONAI keeps beside them."""
    nifti.write(case)
    dataset = _persistent(case)
    for number in range(len(dataset)):
        dataset[number]


def _persistent(case: Case) -> Any:
    cache = str(case.folder / "nifti" / "monai_cache")
    return PersistentDataset(_items(case), _transforms(case), cache_dir=cache)


def _items(case: Case) -> list[dict[str, str]]:
    return [{"image": file} for file in nifti.files(case)]


def _transforms(case: Case) -> Any:
    steps: list[Any] = [LoadImaged("image"), EnsureChannelFirstd("image")]
    if case.workload.name == "mri_patches":
        steps.append(
            RandSpatialCropSamplesd(
                "image",
                roi_size=case.workload.sample,
                num_samples=PATCHES_PER_VOLUME,
                random_size=False,
            )
        )
    return Compose(steps)


def count(batch: Any) -> int:
    """Return the samples in a batch."""
    return len(batch["image"])


def batches(case: Case) -> Iterator[Any]:
    """Yield shuffled batches of epoch after epoch."""
    patches = case.workload.name == "mri_patches"
    if case.candidate == "monai_cache":
        dataset = CacheDataset(_items(case), _transforms(case), progress=False, num_workers=2)
    else:
        dataset = _persistent(case)
    size = case.workload.batch // (PATCHES_PER_VOLUME if patches else 1)
    loader = DataLoader(dataset, batch_size=size, shuffle=True, drop_last=True, **workers(case))
    return endless(loader)


def values(case: Case, batch: Any) -> Any:
    """Return the samples of a batch."""
    return np.asarray(batch["image"])[:, 0]
