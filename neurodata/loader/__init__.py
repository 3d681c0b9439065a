"""Frozen splits as batches: windows, trials, patches, volumes, graphs, spike counts."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurodata.loader.device import to_device
    from neurodata.loader.draw import Balanced, Random
    from neurodata.loader.joined import Joined
    from neurodata.loader.loader import Loader
    from neurodata.loader.loading import load
    from neurodata.loader.mixture import Mixture
    from neurodata.loader.samples import (
        Graphs,
        Neighbours,
        Patches,
        SpikeBins,
        Trials,
        Volumes,
        Windows,
    )
    from neurodata.loader.statistics import Statistics
    from neurodata.loader.target import Attribute, Label, NextWindow, Node

_HOMES = {
    "load": "loading",
    "Loader": "loader",
    "Windows": "samples",
    "Trials": "samples",
    "Patches": "samples",
    "Volumes": "samples",
    "Graphs": "samples",
    "Neighbours": "samples",
    "SpikeBins": "samples",
    "Joined": "joined",
    "Balanced": "draw",
    "Random": "draw",
    "Mixture": "mixture",
    "to_device": "device",
    "Statistics": "statistics",
    "Label": "target",
    "Attribute": "target",
    "Node": "target",
    "NextWindow": "target",
}

__all__ = [
    "Attribute",
    "Balanced",
    "Graphs",
    "Joined",
    "Label",
    "Loader",
    "Mixture",
    "Neighbours",
    "NextWindow",
    "Node",
    "Patches",
    "Random",
    "SpikeBins",
    "Statistics",
    "Trials",
    "Volumes",
    "Windows",
    "load",
    "to_device",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'neurodata.loader' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"neurodata.loader.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
