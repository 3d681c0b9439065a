"""Shared fixtures: the shipped samples and, where they are, more real recordings."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from neurodata import resources
from neurodata.ingestion import Result, ingest
from neurodata.pipeline import names
from neurodata.store import Store, open_store

# A machine that is busy with other things is no finding.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", settings.get_profile("busy"), max_examples=2000)
settings.load_profile("busy")
pytest.register_assert_rewrite("tests.readers.conformance", "tests.invariants")


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


@pytest.fixture(scope="session")
def sample_ingest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, dict[str, Result]]:
    """A store of every shipped pipeline, and what each ingest gave, by pipeline."""
    path = tmp_path_factory.mktemp("samples") / "store"
    results = {name: ingest(name, store=path) for name in names()}
    return open_store(path), results


@pytest.fixture(scope="session")
def sample_store(sample_ingest: tuple[Store, dict[str, Result]]) -> Store:
    """A store of every shipped pipeline; tests that change anything use `own_store`."""
    return sample_ingest[0]


@pytest.fixture
def own_store(sample_store: Store, tmp_path: Path) -> Store:
    """A copy of the sample store, to be damaged at will."""
    shutil.copytree(sample_store.path, tmp_path / "own_store")
    return open_store(tmp_path / "own_store")
