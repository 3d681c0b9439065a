"""Verified, versioned neuroscience data: ingest, store, split, load, score, publish."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurodata.errors import NeurodataError, Problem
    from neurodata.exchange import (
        from_anndata,
        from_mne,
        from_nibabel,
        from_nwb,
        to_anndata,
        to_mne,
        to_nibabel,
        to_nwb,
    )
    from neurodata.ingestion import ingest, ingest_recording
    from neurodata.loader import (
        Graphs,
        Neighbours,
        Patches,
        SpikeBins,
        Trials,
        Volumes,
        Windows,
        load,
    )
    from neurodata.schema import validate
    from neurodata.splits import Split, make_split
    from neurodata.splits.audit import audit
    from neurodata.store import Store, open_store

_HOMES = {
    "NeurodataError": "errors",
    "Problem": "errors",
    "from_anndata": "exchange",
    "from_mne": "exchange",
    "from_nibabel": "exchange",
    "from_nwb": "exchange",
    "to_anndata": "exchange",
    "to_mne": "exchange",
    "to_nibabel": "exchange",
    "to_nwb": "exchange",
    "open_store": "store",
    "Store": "store",
    "ingest": "ingestion",
    "ingest_recording": "ingestion",
    "validate": "schema",
    "Split": "splits",
    "make_split": "splits",
    "audit": "splits",
    "load": "loader",
    "Windows": "loader",
    "Trials": "loader",
    "Patches": "loader",
    "Volumes": "loader",
    "Graphs": "loader",
    "Neighbours": "loader",
    "SpikeBins": "loader",
}

__all__ = [
    "Graphs",
    "Neighbours",
    "NeurodataError",
    "Patches",
    "Problem",
    "SpikeBins",
    "Split",
    "Store",
    "Trials",
    "Volumes",
    "Windows",
    "audit",
    "from_anndata",
    "from_mne",
    "from_nibabel",
    "from_nwb",
    "ingest",
    "ingest_recording",
    "load",
    "make_split",
    "open_store",
    "to_anndata",
    "to_mne",
    "to_nibabel",
    "to_nwb",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'neurodata' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"neurodata.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
