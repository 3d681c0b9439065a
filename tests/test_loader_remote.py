"""The loader on a store behind a web server: the same batches, and few bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neurodata.errors import NeurodataError
from neurodata.loader import Loader, Node, Windows, load
from neurodata.store import open_store, remote_io
from tests.remote_servers import FileServer, running
from tests.synthetic_stores import synthetic_series_store, whole_split
from tests.test_loader_engine import assert_same, rows

ARGUMENTS: dict[str, dict[str, Any]] = {
    "memory": {"memory_mb": 500},
    "pool": {"memory_mb": 1.0},
    "direct": {"memory_mb": 1.0, "shuffle": "full"},
}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_series_store(tmp_path_factory.mktemp("served"), count=4, n=60_000).path


@pytest.fixture
def web(local: Path) -> Iterator[FileServer]:
    with running(FileServer(local)) as server:
        yield server


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_io, "BACK_OFF_S", 0.001)


def remote(web: FileServer, cache: Path, **arguments: Any) -> Loader:
    store = open_store(web.url, cache=cache)
    split = whole_split(open_store(web.folder))
    sample = Windows(2.0, node="eeg")
    arguments = {"batch_size": 7, "threads": 2} | arguments
    return load(store, splits=split, split="train", sample=sample, **arguments)


@pytest.mark.parametrize("tier", ARGUMENTS)
def test_batches_are_those_of_the_local_store(web: FileServer, tmp_path: Path, tier: str) -> None:
    store = open_store(web.folder)
    sample = Windows(2.0, node="eeg")
    split = whole_split(store)
    at_home = load(store, splits=split, split="train", sample=sample, target=Node("force"))
    with remote(web, tmp_path, **ARGUMENTS[tier], target=Node("force")) as loader:
        assert loader.tier == tier
        assert_same(rows(loader), rows(at_home))


@pytest.mark.parametrize("tier", ["memory", "pool"])
def test_an_epoch_moves_its_chunks_once(web: FileServer, tmp_path: Path, tier: str) -> None:
    with remote(web, tmp_path, **ARGUMENTS[tier]) as loader:
        sent = web.bytes
        for _ in range(2):
            list(loader)
    folder = Path(web.folder) / "lab"
    chunks = [p for p in folder.glob("*/*/data.zarr/eeg/signal_adc/c/**/*") if p.is_file()]
    needed = sum(path.stat().st_size for path in chunks)
    assert needed <= web.bytes - sent <= 1.05 * needed


@pytest.mark.parametrize("tier", ARGUMENTS)
def test_a_server_that_goes_in_mid_epoch_is_a_clear_error(
    local: Path, tmp_path: Path, tier: str
) -> None:
    with running(FileServer(local)) as web:
        loader = remote(web, tmp_path, **ARGUMENTS[tier])
    with pytest.raises(NeurodataError, match="lab/r"):
        list(loader)
    loader.close()
