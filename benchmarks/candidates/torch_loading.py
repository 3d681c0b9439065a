"""What the torch-based peers share: endless epochs, padding, and stubs of unused modules."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from benchmarks.workloads import Case

STUBBED = ("torchvision", "torchaudio")


def endless(loader: Any) -> Iterator[Any]:
    """Yield batches of epoch after epoch.

    Raises
    ------
    RuntimeError
        When an epoch has no full batch.
    """
    while True:
        empty = True
        for batch in loader:
            empty = False
            yield batch
        if empty:
            raise RuntimeError("an epoch without a full batch")


def workers(case: Case) -> dict[str, Any]:
    """Return DataLoader's arguments for the case's number of worker processes."""
    more = {"persistent_workers": True, "prefetch_factor": 2} if case.workers else {}
    return {"num_workers": case.workers, **more}


def padded(samples: Sequence[Any]) -> tuple[Any, Any]:
    """Collate ``(channel, time)`` tensors of unequal channels: zeros below, and a mask."""
    widest = 300
    out = torch.zeros((len(samples), widest, samples[0].shape[1]))
    mask = torch.zeros((len(samples), widest), dtype=torch.bool)
    for row, sample in enumerate(samples):
        out[row, : len(sample)] = torch.as_tensor(sample)
        mask[row, : len(sample)] = True
    return out, mask


def collation(case: Case) -> dict[str, Any]:
    """Return DataLoader's argument for padding where recordings differ in channels."""
    return {"collate_fn": padded} if case.dataset.name == "calcium" else {}


def tensor(batch: Any) -> Any:
    """Return the samples of a batch that may have a mask or metadata behind them."""
    return batch[0] if isinstance(batch, tuple | list) else batch


def series_first(case: Case, batch: Any) -> Any:
    """Return ``(batch, time, channel)`` or volumes as an array, for the check."""
    found = tensor(batch)
    return found.transpose(1, 2).numpy() if case.dataset.kind == "series" else found.numpy()


class _Stub(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives empty modules for packages that peers import and that nothing measured uses."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name.split(".")[0] in STUBBED:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> _Stub:
        module = _Stub(spec.name)
        module.__path__ = []
        module.__version__ = "0.0"
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Leave the module empty."""


def stub() -> None:
    """Let imports of torchvision and torchaudio succeed: neither has a build for this torch."""
    sys.meta_path.insert(0, _Finder())
