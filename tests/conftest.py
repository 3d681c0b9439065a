"""Shared fixtures: the shipped samples and, where they are, more real recordings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neurodata import resources


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of the shipped sample recordings."""
    return resources.folder("samples")


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real recordings that ``$NEURODATA_REALDATA`` names."""
    folder = os.environ.get("NEURODATA_REALDATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("$NEURODATA_REALDATA names no folder of real recordings")
    return Path(folder)
