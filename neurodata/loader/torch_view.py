"""A loader's batches and samples as torch tensors; imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from neurodata.loader.plan import Array


class Source(Protocol):
    """What gives batches: a `Loader` or a `Mixture`."""

    def __len__(self) -> int: ...

    def batches(self, part: int = 0, parts: int = 1) -> Iterator[dict[str, Any]]:
        """Iterate over every ``parts``-th batch of one epoch."""
        ...

    def go_to(self, epoch: int, position: int = 0) -> None:
        """Let the next iteration start there."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return where the iteration stands."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on there."""
        ...


class Batches(IterableDataset[dict[str, Any]]):
    """The batches of a loader, for ``DataLoader(view, batch_size=None, num_workers=...)``.

    Every worker process opens the store by itself and takes every n-th batch, so that each
    comes exactly once and in order. Workers that live for one epoch only start where this
    object stands: call `set_epoch` before each, or give ``persistent_workers=True``.

    ``state_dict`` and ``load_state_dict`` are the loader's; workers move on without it, so that
    with them a training run notes how many batches it had, and goes on by `go_to`.
    """

    def __init__(self, loader: Source) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be this epoch, from its start."""
        self.loader.go_to(epoch)

    def go_to(self, epoch: int, position: int = 0) -> None:
        """Let the next iteration start at ``position`` of ``epoch``, as the loader counts."""
        self.loader.go_to(epoch, position)

    def state_dict(self) -> dict[str, Any]:
        """Return the loader's state."""
        return self.loader.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on at the very next batch."""
        self.loader.load_state_dict(state)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        part, parts = (0, 1) if worker is None else (worker.id, worker.num_workers)
        batches = self.loader.batches(part, parts)
        try:
            for batch in batches:
                yield tensors(batch)
        finally:
            close = getattr(batches, "close", None)
            if close is not None:
                close()


class Rows(Sequence[dict[str, Any]]):
    """The samples of one batch, each without the batch's axis."""

    def __init__(self, batch: Mapping[str, Any], size: int) -> None:
        self.batch, self.size = batch, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[number] for number in range(*at.indices(self.size))]
        if not -self.size <= at < self.size:
            raise IndexError(at)
        return {key: _row(value, at, self.size) for key, value in self.batch.items()}


def _row(value: Any, at: int, count: int) -> Any:
    """Return one sample's own part; what a batch has only once is every sample's."""
    if isinstance(value, Mapping):
        return {key: _row(item, at, count) for key, item in value.items()}
    if isinstance(value, np.ndarray | torch.Tensor):
        return value[at] if value.ndim and len(value) == count else value
    return value[at] if isinstance(value, list) and len(value) == count else value


class Samples(Dataset[dict[str, Any]]):
    """The samples of a loader's grid by number, for torch's own samplers.

    ``DataLoader(view, batch_size=64, shuffle=True, collate_fn=view.collate)``: a batch is read
    at once, in the order asked for; ``recording`` and ``start_s`` say where its samples are.
    The loader's ``transform`` gets such batches. Numbers are those of the whole grid, on every
    rank: give a ``DistributedSampler``.

    Parameters
    ----------
    take : function of an int array (batch,)
        Returns the samples of these numbers as a batch of arrays.
    count : int
        Samples in the grid.
    """

    def __init__(self, take: Callable[[Array], Mapping[str, Any]], count: int) -> None:
        self.take, self.count = take, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> dict[str, Any]:
        return dict(self.__getitems__([number])[0])

    def __getitems__(self, numbers: Sequence[int]) -> Rows:
        at = np.asarray(numbers, "i8").reshape(-1)
        if wrong := [int(n) for n in at if not -self.count <= n < self.count]:
            raise IndexError(f"sample {wrong[0]} of {self.count}")
        return Rows(self.take(at % self.count), len(at))

    @staticmethod
    def collate(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return samples as one batch of tensors."""
        return collate(samples)


def collate(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return samples as one batch of tensors; numbers and text that all share stay single.

    Examples
    --------
    >>> one = {"signal": np.zeros((2, 3), "f4"), "units": "µV"}
    >>> batch = collate([one, one])
    >>> batch["signal"].shape, batch["units"]
    (torch.Size([2, 2, 3]), 'µV')
    """
    if isinstance(samples, Rows):
        return dict(tensors(samples.batch))
    return {key: tensors(_stacked([one[key] for one in samples])) for key in samples[0]}


def _stacked(values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, torch.Tensor):
        return torch.stack(values)
    if isinstance(first, np.ndarray | np.generic):
        return np.stack(values)
    if isinstance(first, str | int | float) and all(value == first for value in values):
        return first
    return values


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
