"""The report: one self-contained HTML page about a store, and the pictures in it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from neurodata.errors import need

if TYPE_CHECKING:
    from neurodata.report.page import write_report
    from neurodata.report.pictures import draw, picture, recording_picture

__all__ = ["draw", "picture", "recording_picture", "write_report"]

_HOMES = {
    "draw": "pictures",
    "picture": "pictures",
    "recording_picture": "pictures",
    "write_report": "page",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need("matplotlib", extra="report")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
