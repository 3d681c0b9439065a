"""A loader's batches as torch tensors; imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

if TYPE_CHECKING:
    from neurodata.loader.loader import Loader


class Batches(IterableDataset[dict[str, Any]]):
    """The batches of a loader, for ``DataLoader(view, batch_size=None, num_workers=...)``.

    Every worker process opens the store by itself and takes every n-th batch, so that each
    comes exactly once and in order. Workers that live for one epoch only start where this
    object stands: call `set_epoch` before each, or give ``persistent_workers=True``.
    """

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be this epoch, from its start."""
        self.loader.go_to(epoch)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        part, parts = (0, 1) if worker is None else (worker.id, worker.num_workers)
        return map(tensors, self.loader.batches(part, parts))


def tensors(value: Any) -> Any:
    """Return numeric arrays as tensors (views), also inside mappings and lists; text as lists.

    Examples
    --------
    >>> tensors({"signal": np.zeros((2, 3), "f4")})["signal"].shape
    torch.Size([2, 3])
    """
    if isinstance(value, dict):
        return {key: tensors(item) for key, item in value.items()}
    if isinstance(value, list):
        return [tensors(item) for item in value]
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind not in "biuf":
        return value.tolist()
    if value.dtype.kind == "u":
        value = value.astype("i8")
    return torch.from_numpy(value if value.flags.writeable else value.copy())
