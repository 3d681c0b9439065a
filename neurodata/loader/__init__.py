"""Frozen splits as batches: windows, trials, patches, volumes, graphs, spike counts."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurodata.loader.loader import Loader, load
    from neurodata.loader.samples import Graphs, Patches, SpikeBins, Trials, Volumes, Windows
    from neurodata.loader.statistics import Statistics
    from neurodata.loader.target import Attribute, Label, NextWindow, Node

_HOMES = {
    "load": "loader",
    "Loader": "loader",
    "Windows": "samples",
    "Trials": "samples",
    "Patches": "samples",
    "Volumes": "samples",
    "Graphs": "samples",
    "SpikeBins": "samples",
    "Statistics": "statistics",
    "Label": "target",
    "Attribute": "target",
    "Node": "target",
    "NextWindow": "target",
}

__all__ = [
    "Attribute",
    "Graphs",
    "Label",
    "Loader",
    "NextWindow",
    "Node",
    "Patches",
    "SpikeBins",
    "Statistics",
    "Trials",
    "Volumes",
    "Windows",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'neurodata.loader' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"neurodata.loader.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
