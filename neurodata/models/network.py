"""A small convolutional network in PyTorch, trained with early stopping."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurodata.errors import need
from neurodata.models import Array, Predict

if TYPE_CHECKING:
    import torch

    from neurodata.loader import Loader

WIDTH = 32
KERNEL = 5
EPOCHS = 20
PATIENCE = 3
RATE = 3e-3


def convolutional(train: Loader, val: Loader | None, seed: int) -> Predict:
    """Fit a network that predicts the change from the last sample of ``x (batch, channel, time)``.

    Two dilated convolutions over time, then a linear layer; squared error, Adam. Training stops
    when the error on ``val`` (without it, on ``train``) has not fallen for 3 epochs, and the best
    epoch's weights are kept. It runs on one thread: the same seed gives the same weights.

    Raises
    ------
    MissingDependencyError
        When torch is not installed.
    """
    torch = need("torch", extra="torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = _net(*_sizes(train))
            net.load_state_dict(_trained(net, train, val))
    finally:
        torch.set_num_threads(threads)

    def predict(x: Array) -> Array:
        with torch.no_grad():
            return np.asarray(_forward(net, torch.from_numpy(np.ascontiguousarray(x))).numpy())

    return predict


def _sizes(train: Loader) -> tuple[int, int, int]:
    """Return the numbers of channels, samples and outputs, and leave the loader at its start."""
    first = next(iter(train))
    train.go_to(0)
    channels, samples = first["x"].shape[1:]
    return channels, samples, first["y"].shape[1]


def _net(channels: int, samples: int, outputs: int) -> torch.nn.Module:
    from torch import nn

    dilation = 2 if samples > 3 * KERNEL else 1
    kernel = min(KERNEL, max(1, samples // 2))
    left = samples - (kernel - 1) * (1 + dilation)
    return nn.Sequential(
        nn.Conv1d(channels, WIDTH, kernel),
        nn.GELU(),
        nn.Conv1d(WIDTH, WIDTH, kernel, dilation=dilation),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(WIDTH * left, outputs),
    )


def _trained(net: torch.nn.Module, train: Loader, val: Loader | None) -> Mapping[str, Any]:
    """Train, and return the weights of the best epoch."""
    import torch

    optimiser = torch.optim.Adam(net.parameters(), RATE, weight_decay=1e-4)
    best, weights, waited = float("inf"), copy.deepcopy(net.state_dict()), 0
    for _ in range(EPOCHS):
        for batch in train.torch():
            loss = torch.nn.functional.mse_loss(_forward(net, batch["x"]), batch["y"])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        error = _error(net, (val or train).torch())
        if error < best:
            best, weights, waited = error, copy.deepcopy(net.state_dict()), 0
        else:
            waited += 1
        if waited == PATIENCE:
            break
    return weights


def _error(net: torch.nn.Module, batches: Iterable[Mapping[str, Any]]) -> float:
    import torch

    with torch.no_grad():
        pairs = [((_forward(net, b["x"]) - b["y"]).square().sum(), b["y"].numel()) for b in batches]
    return float(sum(error for error, _ in pairs) / sum(count for _, count in pairs))


def _forward(net: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    change: torch.Tensor = net(x)
    return x[..., -1] + change
