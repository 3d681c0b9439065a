"""Writers and readers at once, names that are links, and sources that come again."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodata.errors import IntegrityError, StoreError
from neurodata.store import open_store
from neurodata.store.manifest import NAME
from tests.faults.scenes import ingested, publish, state, synthetic_traces, synthetic_tree
from tests.faults.test_operations import driven
from tests.invariants import assert_store_ok


@pytest.mark.slow
def test_writers_of_one_and_of_different_recordings_leave_each_once(tmp_path: Path) -> None:
    (found,) = driven(tmp_path, "writers", "--writers", "8", "--rounds", "2")
    assert found == {"writers": 8, "rounds": 2, "wrong": 0}


@pytest.mark.slow
def test_writers_that_fill_one_store_lose_no_row(tmp_path: Path) -> None:
    (found,) = driven(tmp_path, "rows", "--writers", "8", "--count", "5")
    assert found == {"writers": 8, "failed": 0, "wrong": 0, "lost_rows": 0}


@pytest.mark.slow
def test_random_kills_leave_nothing_partial(tmp_path: Path) -> None:
    (found,) = driven(tmp_path, "kills", "--count", "20")
    assert (found["kills"], found["failed"]) == (20, 0)
    assert (found["partial"], found["unmended"]) == (0, 0)
    assert 0 < found["slowest_sweep_s"] < 1.0


@pytest.mark.slow
def test_an_interrupted_ingest_ends_with_the_manifests_of_an_undisturbed_one(
    tmp_path: Path,
) -> None:
    (found,) = driven(tmp_path, "resume", "--count", "10")
    assert found == {"points": 10, "same_manifests": True, "most_repeated": 0}


def test_a_reader_reads_on_while_versions_are_committed_and_swept(tmp_path: Path) -> None:
    """Each look sees one version whole; what was opened before stays what it was."""
    root = tmp_path / "store"
    publish(root, 0)
    opened = open_store(root)["synthetic/r1"]["eeg/signal"]
    made = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for seed in range(1, 13):
                publish(root, seed)
                open_store(root).sweep()
        except BaseException as error:
            failures.append(error)
        finally:
            made.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[int] = []
    while not made.is_set() or not seen:
        signal: Any = open_store(root)["synthetic/r1"]["eeg/signal"]
        values = signal.values
        seen.append(int(values[0, 0]))
        np.testing.assert_array_equal(values, synthetic_tree(seen[-1])["eeg/signal"].values)
    writer.join()
    assert failures == []
    assert seen == sorted(seen)
    assert len(set(seen)) > 1, "it looked while versions were committed"
    np.testing.assert_array_equal(opened.values, synthetic_tree(0)["eeg/signal"].values)
    assert_store_ok(root)


def test_a_source_that_comes_again_in_other_clothes_is_no_second_version(tmp_path: Path) -> None:
    """The same values under another name, with other line ends."""
    raw, root = synthetic_traces(tmp_path / "raw"), tmp_path / "store"
    (first,) = ingested(raw, root)
    text = (raw / "cells.csv").read_bytes()
    clothes = {
        "renamed.csv": text,
        "cells.csv": text.replace(b"\n", b"\r\n"),
        "spaced.csv": text.replace(b",", b", "),
    }
    for number, (name, data) in enumerate(clothes.items()):
        other = tmp_path / f"other{number}"
        other.mkdir()
        (other / name).write_bytes(data)
        (found,) = ingested(other, root)
        assert found.content == first.content
        assert found.version == first.version
        assert found.status == ("same" if name == "cells.csv" else "alias")
    assert len(open_store(root).catalog()) == 1
    assert_store_ok(root)


@pytest.mark.parametrize("place", ["chunk", "group", "manifest", "version", "recording", "dataset"])
def test_a_link_in_the_store_is_refused_though_it_leads_to_the_same_bytes(
    tmp_path: Path, place: str
) -> None:
    root = tmp_path / "store"
    publish(root, 0)
    folder = open_store(root).folder("synthetic/r1")
    path = {
        "chunk": folder / "data.zarr/eeg/signal/c/0/0",
        "group": folder / "data.zarr/eeg",
        "manifest": folder / NAME,
        "version": folder,
        "recording": folder.parent,
        "dataset": folder.parent.parent,
    }[place]
    assert path.exists()
    shutil.move(path, tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    store = open_store(root)
    assert "a link" in {problem.found for problem in store.verify()}
    with pytest.raises(IntegrityError, match="a link"):
        store.raw("synthetic/r1")
    if place in ("recording", "dataset"):
        with pytest.raises(StoreError, match="a link"):
            publish(root, 1)
        assert len(list((tmp_path / "elsewhere").rglob(NAME))) == 1


def test_a_disk_that_does_not_give_a_file_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "store"
    publish(root, 0)
    assert state(root) is not None

    def fails(path: Path, *_: object) -> str:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr("neurodata.store.files.sha256", fails)
    found = open_store(root).verify()
    assert found
    assert {problem.found for problem in found} == {"unreadable bytes (Input/output error)"}
