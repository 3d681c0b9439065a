"""Batches are the same wherever the decoded data are, and whoever decodes them."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodata.errors import IntegrityError
from neurodata.loader import (
    Balanced,
    Loader,
    NextWindow,
    Node,
    Patches,
    Random,
    Volumes,
    Windows,
    load,
)
from neurodata.loader.shuffle import shuffle_quality
from neurodata.loader.workers import Workers
from neurodata.store import Store
from neurodata.store.arrays import StoredArray
from tests.synthetic_stores import synthetic_series_store, synthetic_volume_store, whole_split

SMALL_MB = 1.0
CASES: dict[str, dict[str, Any]] = {
    "windows": {"sample": Windows(2.0)},
    "overlapping": {"sample": Windows(3.0, stride_s=0.7)},
    "resampled": {"sample": Windows(2.0), "resample_hz": 30.0},
    "standardised": {"sample": Windows(2.0), "scale": "standard_by_type"},
    "next window": {"sample": Windows(2.0), "target": NextWindow(0.5)},
    "another node": {"sample": Windows(2.0), "target": Node("force")},
    "joined": {"sample": Windows(2.0), "joined": ("force",)},
}
VOLUMES: dict[str, dict[str, Any]] = {
    "patches": {"sample": Patches((16, 24, 16))},
    "overlapping": {"sample": Patches((16, 24, 40), (7, 11, 13))},
    "with masks": {"sample": Patches((16, 24, 16)), "target": Node("masks")},
    "volumes": {"sample": Volumes(), "batch_size": 1},
}


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return synthetic_series_store(tmp_path_factory.mktemp("series"))


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return synthetic_volume_store(tmp_path_factory.mktemp("volumes"))


def made(store: Store, **arguments: Any) -> Loader:
    arguments = {"batch_size": 7, "threads": 2, "node": None} | arguments
    sample = arguments.pop("sample")
    arguments.pop("node")
    if isinstance(sample, Windows):
        sample = Windows(sample.length_s, sample.stride_s, "eeg")
    return load(store, splits=whole_split(store), split="train", sample=sample, **arguments)


def rows(batches: Any, *keys: str) -> dict[Any, dict[str, np.ndarray]]:
    """Every sample of some batches by its place, with copies of its arrays."""
    found: dict[Any, dict[str, np.ndarray]] = {}
    for batch in batches:
        for row, number in enumerate(batch["recording"]):
            place = batch["corner_zyx"][row] if "corner_zyx" in batch else batch["start_s"][[row]]
            key = (int(number), *np.round(place, 6).tolist())
            assert key not in found, "a sample came twice"
            names = keys or [k for k, v in batch.items() if isinstance(v, np.ndarray)]
            found[key] = {name: batch[name][row].copy() for name in names}
    return found


def assert_same(one: dict[Any, Any], other: dict[Any, Any]) -> None:
    assert one.keys() == other.keys()
    for key, arrays in one.items():
        for name, values in arrays.items():
            np.testing.assert_array_equal(values, other[key][name], err_msg=f"{key} {name}")


@pytest.mark.parametrize("case", CASES)
def test_series_are_the_same_from_every_tier(series: Store, case: str) -> None:
    expected = rows(made(series, **CASES[case], memory_mb=500, threads=1))
    assert len(expected) > 500
    for tier, arguments in {
        "memory": {"memory_mb": 500},
        "pool": {"memory_mb": SMALL_MB},
        "direct": {"memory_mb": SMALL_MB, "shuffle": "full"},
    }.items():
        with made(series, **CASES[case], **arguments) as loader:
            assert loader.tier == tier
            assert_same(rows(loader), expected)


@pytest.mark.parametrize("case", VOLUMES)
def test_patches_are_the_same_from_every_tier(volumes: Store, case: str) -> None:
    expected = rows(made(volumes, **VOLUMES[case], memory_mb=500, threads=1))
    for tier, arguments in {
        "memory": {"memory_mb": 500},
        "pool": {"memory_mb": SMALL_MB},
        "direct": {"memory_mb": SMALL_MB, "shuffle": "full"},
    }.items():
        with made(volumes, **VOLUMES[case], **arguments) as loader:
            assert loader.tier == tier
            assert_same(rows(loader), expected)


def test_windows_are_what_was_stored(series: Store) -> None:
    """Against arithmetic on the counts that the synthetic recording is made of."""
    with made(series, sample=Windows(2.0), memory_mb=SMALL_MB) as loader:
        for (number, start_s), row in rows(loader, "signal", "mask").items():
            width = 8 + number
            at = round(start_s * 100) + np.arange(200)
            counts = (at[:, None] * 3 + np.arange(width) * 7 + number * 1000) % 30_011
            volts = counts * np.linspace(1e-7, 3e-7, width) + np.linspace(0, 1e-5, width)
            np.testing.assert_allclose(row["signal"][:width].T, volts * 1e6, rtol=1e-6)
            assert row["mask"].tolist() == [True] * width + [False] * (12 - width)
            assert not row["signal"][width:].any()


def test_the_same_seed_gives_the_same_batches_with_any_number_of_threads(series: Store) -> None:
    for memory_mb in (SMALL_MB, 500):
        runs = []
        for threads in (1, 2, 5):
            with made(series, sample=Windows(2.0), memory_mb=memory_mb, threads=threads) as loader:
                runs.append([(b["recording"], b["start_s"], b["signal"].copy()) for b in loader])
        for run in runs[1:]:
            for one, other in zip(runs[0], run, strict=True):
                for a, b in zip(one, other, strict=True):
                    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("memory_mb", [SMALL_MB, 500])
def test_ranks_and_workers_share_an_epoch(series: Store, memory_mb: float) -> None:
    whole = rows(made(series, sample=Windows(2.0), memory_mb=memory_mb))
    ranks = [
        rows(made(series, sample=Windows(2.0), memory_mb=memory_mb, rank=r, world_size=3))
        for r in range(3)
    ]
    assert len({len(rank) for rank in ranks}) == 1
    together = {key: row for rank in ranks for key, row in rank.items()}
    assert len(together) == sum(map(len, ranks)) == len(whole) // 3 * 3
    assert_same(together, {key: whole[key] for key in together})
    parts = [
        rows(made(series, sample=Windows(2.0), memory_mb=memory_mb).batches(part, 3))
        for part in range(3)
    ]
    assert_same({key: row for part in parts for key, row in part.items()}, whole)


@pytest.mark.parametrize("memory_mb", [SMALL_MB, 500])
@pytest.mark.parametrize("stop", [1, 30, 100])
def test_a_resumed_loader_goes_on_at_the_very_next_window(
    series: Store, memory_mb: float, stop: int
) -> None:
    loader = made(series, sample=Windows(2.0), memory_mb=memory_mb)
    it = iter(loader)
    for _ in range(stop):
        next(it)
    state = loader.state_dict()
    rest = [(b["recording"].tolist(), b["start_s"].tolist()) for b in it]
    again = made(series, sample=Windows(2.0), memory_mb=memory_mb)
    again.load_state_dict(state)
    assert [(b["recording"].tolist(), b["start_s"].tolist()) for b in again] == rest


def test_a_batch_stays_as_it_is_while_somebody_holds_it(series: Store) -> None:
    with made(series, sample=Windows(2.0), memory_mb=SMALL_MB) as loader:
        held = [batch["signal"] for batch in loader]
        again = [(b["recording"], b["start_s"], b["signal"].copy()) for b in fresh(loader)]
    copies = {(tuple(r), tuple(s)): signal for r, s, signal in again}
    assert len(held) == len(copies)
    for (_, signal), kept in zip(copies.items(), held, strict=True):
        np.testing.assert_array_equal(signal, kept)


def fresh(loader: Loader) -> Iterator[Any]:
    """The first epoch once more."""
    loader.go_to(0)
    return iter(loader)


def test_buffers_are_used_again(series: Store) -> None:
    with made(series, sample=Windows(2.0), memory_mb=500) as loader:
        places = {batch["signal"].__array_interface__["data"][0] for batch in loader}
        assert len(places) < 8 < len(loader)


def test_memory_stays_within_the_budget(series: Store) -> None:
    with made(series, sample=Windows(2.0), memory_mb=SMALL_MB) as loader:
        batches = iter(loader)
        next(batches)
        tier = loader._engine._tier
        held = sum(half._nbytes for half in tier._halves)  # type: ignore[union-attr]
        assert held <= SMALL_MB * 2**20
        for group, _ in tier._groups.values():  # type: ignore[union-attr]
            assert sum(memory.nbytes for _, _, memory in group._items) <= held / 2
        batches.close()  # type: ignore[attr-defined]


def handles() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_epochs_of_open_and_close_leave_nothing_behind(series: Store) -> None:
    def epoch(number: int) -> None:
        memory_mb = SMALL_MB if number % 2 else 500
        with made(series, sample=Windows(60.0), memory_mb=memory_mb) as loader:
            for at, _ in enumerate(loader):
                if at == number % 5:
                    break

    for number in range(20):
        epoch(number)
    gc.collect()
    before = handles(), threading.active_count(), len(gc.get_objects())
    for number in range(150):
        epoch(number)
    gc.collect()
    after = handles(), threading.active_count(), len(gc.get_objects())
    assert after[:2] == before[:2]
    assert after[2] < before[2] + 2000


def test_epochs_that_are_left_early_do_not_spoil_the_next(
    series: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = rows(made(series, sample=Windows(2.0), memory_mb=500, threads=1))
    read, random = StoredArray.read, np.random.default_rng(0)

    def slowly(self: StoredArray, box: Any, out: Any = None) -> Any:
        time.sleep(0.05 * (random.random() < 0.05))
        return read(self, box, out)

    monkeypatch.setattr(StoredArray, "read", slowly)
    with made(series, sample=Windows(2.0), memory_mb=SMALL_MB) as loader:
        assert loader.tier == "pool"
        for stop in range(1, 25, 3):
            for number, _ in enumerate(loader):
                if number == stop:
                    break
            assert_same(rows(loader), expected)


@pytest.mark.parametrize("memory_mb", [SMALL_MB, 500])
def test_damage_under_our_feet_names_the_recording(tmp_path: Path, memory_mb: float) -> None:
    gc.collect()
    threads = set(threading.enumerate())
    store = synthetic_series_store(tmp_path / "store", count=2, n=400_000)
    loader = made(store, sample=Windows(2.0), memory_mb=memory_mb)
    batches = iter(loader)
    next(batches)
    folder = store.folder("lab/r1") / "data.zarr" / "eeg" / "signal_adc" / "c"
    for path in folder.rglob("*"):
        if path.is_file():
            data = bytearray(path.read_bytes())
            for at in range(100, len(data) - 5000, 97):
                data[at] ^= 1
            with path.open("r+b") as stream:  # at no moment is it shorter
                stream.write(data)
    with pytest.raises(IntegrityError, match=r"lab/r1.*checksum"):
        list(batches)
    with pytest.raises(IntegrityError, match=r"lab/r1"):
        list(loader)
    loader.close()
    left = set(threading.enumerate()) - threads
    assert not [thread for thread in left if thread.name.startswith("neurodata-loader")]


@pytest.mark.parametrize("case", ["windows", "another node", "joined", "resampled"])
@pytest.mark.parametrize("memory_mb", [SMALL_MB, 500])
def test_random_windows_are_new_in_every_epoch_and_their_arrays_are_right(
    series: Store, case: str, memory_mb: float
) -> None:
    arguments = CASES[case] | {"draw": Random(300), "memory_mb": memory_mb}
    with made(series, **arguments) as loader:
        first, second = ([(b, b["signal"].copy()) for b in loader] for _ in range(2))
    starts = [np.concatenate([b["start_s"] for b, _ in epoch]) for epoch in (first, second)]
    assert len(starts[0]) == len(starts[1]) == 300
    assert len(np.intersect1d(*starts)) < 30
    if case == "windows":
        with made(series, sample=Windows(2.0, stride_s=0.01), memory_mb=500) as every:
            for batch, signal in second:
                for row, number in enumerate(batch["recording"]):
                    at = round(batch["start_s"][row] * 100)
                    grid = every._feed.picks
                    own = np.flatnonzero((grid["recording"] == number) & (grid["first"] == at))
                    np.testing.assert_array_equal(every.take(own)["signal"][0], signal[row])


def test_random_patches_lie_anywhere(volumes: Store) -> None:
    for memory_mb in (SMALL_MB, 500):
        sample = Patches((16, 24, 16))
        with made(volumes, sample=sample, draw=Random(50), memory_mb=memory_mb) as loader:
            corners = np.concatenate([batch["corner_zyx"] for batch in loader])
            assert len(corners) == 50
            assert len(np.unique(corners % 16, axis=0)) > 40
            batch = next(iter(loader))
            stored = volumes.raw(loader.ids[batch["recording"][0]])["image"]["image_adc"].values
            z, y, x = batch["corner_zyx"][0]
            expected = stored[0, z : z + 16, y : y + 24, x : x + 16].astype("f4")
            np.testing.assert_array_equal(batch["image"][0, 0], expected)


@pytest.mark.parametrize("memory_mb", [SMALL_MB, 500])
def test_balanced_epochs_have_the_shares_that_were_asked_for(
    series: Store, memory_mb: float
) -> None:
    arguments: dict[str, Any] = {"sample": Windows(2.0), "memory_mb": memory_mb}
    with made(series, **arguments, draw=Balanced("subject", samples=300)) as loader:
        subjects = np.concatenate([batch["subject"] for batch in loader])
    assert np.bincount(subjects).tolist() == [100, 100, 100]
    weights = {"lab/r0": 3.0, "lab/r1": 1.0, "lab/r2": 0.0, "lab/r3": 0.0, "lab/r4": 0.0}
    with made(series, **arguments, draw=Balanced("recording", weights, 400)) as loader:
        numbers = np.concatenate([batch["recording"] for batch in loader])
    assert np.bincount(numbers).tolist() == [300, 100]


def test_shuffling_in_groups_mixes_well(series: Store) -> None:
    """Two halves that hold a third of the data each."""
    with made(series, sample=Windows(2.0), memory_mb=3) as loader:
        assert loader.tier == "pool"
        order = loader._order(0).samples
        quality = shuffle_quality(order, loader._feed.picks, batch_size=7)
    assert abs(quality["rank_correlation"]) < 0.2
    assert quality["commonest_recording"] < quality["commonest_recording_iid"] + 0.2


def test_what_waited_for_a_group_is_not_kept_by_it() -> None:
    group, workers = Future[None](), Workers(1)
    batch = np.zeros(3)
    held = weakref.ref(batch)
    job = workers.run([partial(batch.fill, 1)], urgent=True, after=group)
    del batch
    group.set_result(None)
    job.wait()
    workers.close()
    assert held() is None
