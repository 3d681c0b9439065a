"""Batches on a device, copied there while the one before is computed with; needs torch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import torch

from neurodata.errors import InvalidInputError
from neurodata.loader.torch_view import tensors


def to_device(batches: Iterable[Any], device: str | torch.device, depth: int = 2) -> OnDevice:
    """Return the batches as tensors on a device, copied ahead of their use.

    To a CUDA device batches go through pinned memory on a stream of their own, ``depth`` ahead
    of the one in use; to other devices one by one, when asked for.

    Parameters
    ----------
    batches : Loader, Mixture, DataLoader or any iterable of batches
    device : str or torch.device
    depth : int
        Batches ahead, each of which takes its size of the device's memory.

    Raises
    ------
    InvalidInputError
        When there is no such device, or ``depth`` is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> [batch["signal"].device.type for batch in to_device([{"signal": np.zeros(3)}], "cpu")]
    ['cpu']
    """
    if depth < 1 or int(depth) != depth:
        raise InvalidInputError("to_device(depth)", repr(depth), "a whole number of 1 or more")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise InvalidInputError("to_device(device)", repr(device), "a device of torch") from error
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise InvalidInputError(
            "to_device(device)",
            f"{str(found)!r}, {torch.cuda.device_count()} CUDA devices here",
            "a device of this machine",
            "give 'cuda' if torch.cuda.is_available() else 'cpu'",
        )
    return OnDevice(batches, found, depth)


class OnDevice:
    """What `to_device` returns; every iteration is one of the batches it was made of.

    Its ``state_dict`` is that of the loader right after the batch that was given last, however
    many more are on their way.
    """

    def __init__(self, batches: Iterable[Any], device: torch.device, depth: int) -> None:
        self.source, self.device, self.depth = batches, device, depth
        self._state: dict[str, Any] | None = None

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        source: Any = self.source
        return len(source)

    def __iter__(self) -> Iterator[Any]:
        """Iterate once over the batches; leaving early ends all copies."""
        self._state = None
        if self.device.type == "cuda":
            return self._run(_CudaCopier(self.device), self.depth)
        return self._run(_PlainCopier(self.device), 0)

    def _run(self, copier: Copier, depth: int) -> Iterator[Any]:
        ahead: deque[tuple[Any, dict[str, Any] | None]] = deque()
        batches = iter(self.source)
        try:
            for batch in batches:
                ahead.append((copier.start(batch), self._source_state() if depth else None))
                if len(ahead) > depth:
                    yield self._given(copier, ahead)
            while ahead:
                yield self._given(copier, ahead)
        finally:
            close = getattr(batches, "close", None)
            if close is not None:
                close()
            copier.close()

    def _given(self, copier: Copier, ahead: deque[tuple[Any, dict[str, Any] | None]]) -> Any:
        started, self._state = ahead.popleft()
        return copier.finish(started)

    def _source_state(self) -> dict[str, Any] | None:
        ask = getattr(self.source, "state_dict", None)
        return None if ask is None else dict(ask())

    def state_dict(self) -> dict[str, Any]:
        """Return the loader's state after the batch that was given last."""
        state = self._source_state() if self._state is None else self._state
        if state is None:
            raise InvalidInputError(
                "state_dict", f"{type(self.source).__name__}, which has no state", "a Loader"
            )
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on at the very next batch."""
        source: Any = self.source
        source.load_state_dict(state)
        self._state = None


class Copier(Protocol):
    """How batches get to a device."""

    def start(self, batch: Any) -> Any:
        """Begin to copy a batch."""
        ...

    def finish(self, started: Any) -> Any:
        """Return the batch on the device, safe to compute with."""
        ...

    def close(self) -> None:
        """Wait until no copy is under way."""
        ...


class _PlainCopier:
    def __init__(self, device: torch.device) -> None:
        self.device = device

    def start(self, batch: Any) -> Any:
        return _each(lambda tensor: tensor.to(self.device), tensors(batch))

    def finish(self, started: Any) -> Any:
        return started

    def close(self) -> None:
        pass


class _CudaCopier:
    """Copies from pinned memory on a stream of its own.

    Host memory is held until its copy has ended; device memory is marked as used by the
    consumer's stream, so that it is not given to a later copy while kernels still read it.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.flying: deque[tuple[torch.cuda.Event, Any]] = deque()

    def start(self, batch: Any) -> Any:
        host = _each(_pinned, tensors(batch))
        with torch.cuda.stream(self.stream):
            moved = _each(lambda tensor: tensor.to(self.device, non_blocking=True), host)
            event = self.stream.record_event()
        self.flying.append((event, host))
        return moved, event

    def finish(self, started: Any) -> Any:
        moved, event = started
        consumer = torch.cuda.current_stream(self.device)
        consumer.wait_event(event)

        def mark(tensor: torch.Tensor) -> torch.Tensor:
            tensor.record_stream(consumer)
            return tensor

        while self.flying and self.flying[0][0].query():  # type: ignore[no-untyped-call]
            self.flying.popleft()
        return _each(mark, moved)

    def close(self) -> None:
        while self.flying:
            self.flying.popleft()[0].synchronize()


def _pinned(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.pin_memory() if tensor.device.type == "cpu" else tensor


def _each(change: Callable[[torch.Tensor], torch.Tensor], value: Any) -> Any:
    """Return a batch with every tensor changed, also inside mappings and lists."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _each(change, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        changed = [_each(change, item) for item in value]
        return type(value)(*changed) if hasattr(value, "_fields") else type(value)(changed)
    return value
