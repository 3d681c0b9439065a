"""Loaders inside training: torch's own loading, devices, ranks, kills, Lightning."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurodata.loader import Loader, Windows, load
from neurodata.loader.mixture import Mixture
from neurodata.splits import Split
from neurodata.store import Store, open_store

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch.utils.data import DataLoader, DistributedSampler, Subset  # noqa: E402

from neurodata.errors import InvalidInputError  # noqa: E402
from neurodata.loader.device import OnDevice, to_device  # noqa: E402
from neurodata.loader.torch_view import Samples, collate, tensors  # noqa: E402
from tests.synthetic_stores import synthetic_series_store, whole_split  # noqa: E402

ROOT = Path(__file__).parents[1]
RATE_HZ = 50.0
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def synthetic(n: int, seed: int, width: int = 2) -> xr.DataTree:
    """A recording in which no two samples of a channel are alike."""
    counts = (np.arange(n)[:, None] + 1000 * seed + np.arange(width) * 10_000).astype("i2")
    traces = xr.Dataset(
        {
            "signal_adc": (("time", "channel"), counts, {"units": "V"}),
            "scale": ("channel", np.full(width, 1e-6)),
            "offset": ("channel", np.zeros(width)),
        },
        {
            "channel": [f"C{at}" for at in range(width)],
            "type": ("channel", ["EEG"] * width),
            "units": ("channel", ["V"] * width),
        },
        {"representation": "timeseries", "schema": "timeseries/1"}
        | {"start_s": 0.0, "rate_hz": RATE_HZ, "n": n},
    )
    root = xr.Dataset(attrs={"subject": f"s{seed}", "modality": "eeg", "age": 20.0 + seed})
    return xr.DataTree.from_dict({"/": root, "eeg": traces})


def split_of(store: Store) -> Split:
    entries: Any = [
        {"id": name, "version": store.version(name), "group": name, "split": "train"}
        for name in store.ids()
    ]
    return Split.sealed("lab", "subject", "", {"train": 1.0}, None, entries)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    store = open_store(folder / "store", create=True)
    for seed in range(3):
        store.publish(
            synthetic(500 + 50 * seed, seed), dataset="lab", recording=f"synthetic_{seed}"
        )
    split_of(store).write(folder / "split.json")
    return folder


def make(folder: Path, length_s: float = 0.5, **kwargs: Any) -> Loader:
    """66 windows of 25 samples in 17 batches, unless told otherwise."""
    kwargs = {"target": "subject", "batch_size": 4, "seed": 2} | kwargs
    return load(
        str(folder / "store"),
        splits=str(folder / "split.json"),
        sample=Windows(length_s),
        **kwargs,
    )


def samples(loader: Loader) -> Samples:
    view: Samples = loader.samples()
    return view


def keys(batches: Any) -> list[tuple[int, float]]:
    return [
        (int(r), float(s))
        for batch in batches
        for r, s in zip(batch["recording"], batch["start_s"], strict=True)
    ]


# --- killed and resumed ---------------------------------------------------------------------

STEPS = 45


def epochs(kind: str, folder: Path, state: Any) -> Iterator[tuple[Any, Any]]:
    """Batches, epoch after epoch from a state on, each with the state that follows it."""
    if kind == "workers":
        view = make(folder).torch()
        epoch, done = state or (0, 0)
        while True:
            view.go_to(epoch, done * 4)
            loaded = DataLoader(view, batch_size=None, num_workers=2, timeout=60)
            for batch in loaded:
                done += 1
                yield batch, (epoch, done)
            epoch, done = epoch + 1, 0
    source: Any = make(folder, memory_mb=512 if kind != "pool" else 0.002)
    if kind == "mixture":
        source = Mixture({"half": source, "one": make(folder, 1.0)}, [2, 1])
    if kind == "device":
        source = to_device(source.torch(), "cpu")
    if state is not None:
        source.load_state_dict(state)
    while True:
        for batch in source:
            yield batch, source.state_dict()


def train(kind: str, folder: Path, checkpoint: Path, pause_s: float) -> list[Any]:
    """Train for so many steps; the checkpoint holds what the model has seen, and the state."""
    saved = json.loads(checkpoint.read_text()) if checkpoint.exists() else {}
    seen, state = saved.get("seen", []), saved.get("state")
    for batch, after in epochs(kind, folder, state):
        if len(seen) == STEPS:
            break
        seen.append([batch.get("dataset", 0), *map(list, keys([batch]))])
        partial = checkpoint.with_suffix(".partial")
        partial.write_text(json.dumps({"seen": seen, "state": after}))
        partial.replace(checkpoint)
        time.sleep(pause_s)
    return seen


def killed(kind: str, folder: Path, checkpoint: Path, at: int) -> None:
    """Train in a process of its own, until it has made a checkpoint after ``at`` steps."""
    command = [sys.executable, __file__, kind, str(folder), str(checkpoint)]
    child = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True
    )
    try:
        limit_s = time.monotonic() + 120
        while True:
            with contextlib.suppress(FileNotFoundError):
                if len(json.loads(checkpoint.read_text())["seen"]) >= at:
                    break
            assert child.poll() is None, "training ended by itself"
            assert time.monotonic() < limit_s
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert child.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["loader", "pool", "mixture", "device", "workers"])
def test_a_killed_training_goes_on_at_the_very_next_window(
    kind: str, folder: Path, tmp_path: Path
) -> None:
    expected = train(kind, folder, tmp_path / "whole.json", 0)
    assert len(expected) == STEPS
    checkpoint = tmp_path / "killed.json"
    for at in (7, 24) if kind in ("loader", "mixture") else (20,):
        killed(kind, folder, checkpoint, at)
        state = json.loads(checkpoint.read_text())
        assert at <= len(state["seen"]) < STEPS
    assert train(kind, folder, checkpoint, 0) == json.loads(json.dumps(expected))


# --- ranks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_ranks_are_of_one_length_and_share_no_window(folder: Path, world_size: int) -> None:
    ranks = [make(folder, rank=rank, world_size=world_size) for rank in range(world_size)]
    for _ in range(2):
        drawn = [keys(rank) for rank in ranks]
        assert {len(own) for own in drawn} == {66 // world_size}
        assert len(set().union(*drawn)) == 66 // world_size * world_size
    assert len({len(rank) for rank in ranks}) == 1


# --- torch's own samplers -------------------------------------------------------------------


@pytest.mark.parametrize("memory_mb", [512, 0.002])
def test_samples_are_the_grid_by_number(folder: Path, memory_mb: float) -> None:
    view = samples(make(folder, memory_mb=memory_mb))
    grid = samples(make(folder))
    assert len(view) == 66
    one = view[21]
    assert one["signal"].shape == (2, 25)
    assert (int(one["recording"]), float(one["start_s"])) == (1, 0.5)
    np.testing.assert_allclose(one["signal"][0], 1000 + 25 + np.arange(25), rtol=1e-6)
    assert one["mask"].tolist() == [True, True]
    assert str(one["target"]) == "s1"
    assert (one["rate_hz"], one["units"]) == (RATE_HZ, "µV")
    rows = view.__getitems__([3, 65, 3])
    assert len(rows) == 3
    for number, row in zip([3, 65, 3], rows, strict=True):
        np.testing.assert_array_equal(row["signal"], grid[number]["signal"])
        assert row["start_s"] == grid[number]["start_s"]
    np.testing.assert_array_equal(view[-1]["signal"], view[65]["signal"])
    assert sum(1 for _ in view) == 66
    for wrong in (66, -67):
        with pytest.raises(IndexError):
            view[wrong]


@pytest.mark.parametrize(("workers", "start"), [(0, None), (2, "fork"), (2, "spawn")])
def test_torch_shuffles_the_samples_itself(folder: Path, workers: int, start: Any) -> None:
    view = samples(make(folder, target="age"))
    loaded = DataLoader(
        view,
        batch_size=8,
        shuffle=True,
        num_workers=workers,
        multiprocessing_context=start,
        collate_fn=view.collate,
        generator=torch.Generator().manual_seed(1),
        timeout=60 if workers else 0,
    )
    batches = list(loaded)
    assert [len(batch["signal"]) for batch in batches] == [8] * 8 + [2]
    grid = [(at, i * 0.5) for at, n in enumerate((20, 22, 24)) for i in range(n)]
    assert sorted(keys(batches)) == grid
    assert keys(batches) != grid
    for batch in batches:
        assert batch["signal"].dtype == torch.float32
        assert batch["signal"].shape[1:] == (2, 25)
        first = 1000 * batch["recording"] + (batch["start_s"] * RATE_HZ).round().long()
        torch.testing.assert_close(batch["signal"][:, 0, 0], first.float())
        torch.testing.assert_close(batch["target"], 20.0 + batch["recording"].double())
        assert batch["units"] == "µV"


def test_other_collate_functions_samplers_and_subsets_work(folder: Path) -> None:
    view = samples(make(folder))
    plain = next(iter(DataLoader(view, batch_size=4)))  # torch's own collate function
    own = next(iter(DataLoader(view, batch_size=4, collate_fn=collate)))
    torch.testing.assert_close(plain["signal"], own["signal"])
    assert list(plain["target"]) == own["target"] == ["s0"] * 4
    subset = Subset(view, [40, 5, 6])
    (batch,) = DataLoader(subset, batch_size=3, collate_fn=view.collate)
    assert keys([batch]) == [(1, 10.0), (0, 2.5), (0, 3.0)]
    listed = collate([view[40], view[5]])
    assert listed["units"] == "µV"
    assert listed["target"] == ["s1", "s0"]
    torch.testing.assert_close(listed["signal"], batch["signal"][:2])
    ranks = [
        keys(
            DataLoader(
                view,
                batch_size=4,
                sampler=DistributedSampler(view, 2, rank, shuffle=True, seed=3),
                collate_fn=view.collate,
            )
        )
        for rank in range(2)
    ]
    assert len(ranks[0]) == len(ranks[1]) == 33
    assert not set(ranks[0]) & set(ranks[1])


def test_a_mixture_comes_through_worker_processes_in_its_own_order(folder: Path) -> None:
    def mixed() -> Mixture:
        return Mixture([make(folder), make(folder, 1.0)], batches=12)

    def named(batches: Any) -> list[Any]:
        return [(batch["dataset"], keys([batch])) for batch in batches]

    expected = named(mixed())
    view = mixed().torch()
    assert len(view) == 12
    assert named(DataLoader(view, batch_size=None)) == expected
    loaded = DataLoader(mixed().torch(), batch_size=None, num_workers=2, timeout=60)
    assert named(loaded) == expected


# --- what goes wrong, and what is left behind -----------------------------------------------


def broken_on_purpose(batch: dict[str, Any]) -> dict[str, Any]:
    if (batch["start_s"] == 3.0).any():
        raise ZeroDivisionError("broken on purpose")
    return batch


@pytest.mark.parametrize("way", ["loader", "torch", "samples", "workers", "mixture", "device"])
def test_an_exception_of_a_transform_comes_with_its_own_traceback(folder: Path, way: str) -> None:
    loader = make(folder, transform=broken_on_purpose)
    source: Any = {
        "loader": lambda: loader,
        "torch": lambda: loader.torch(),
        "samples": lambda: DataLoader(samples(loader), batch_size=4, collate_fn=collate),
        "workers": lambda: DataLoader(loader.torch(), batch_size=None, num_workers=2, timeout=60),
        "mixture": lambda: Mixture([loader, make(folder, 1.0)]),
        "device": lambda: to_device(loader, "cpu"),
    }[way]()
    with pytest.raises(ZeroDivisionError, match="broken on purpose") as caught:
        list(source)
    text = "".join(traceback.format_exception(caught.value))
    assert "in broken_on_purpose" in text
    assert 'raise ZeroDivisionError("broken on purpose")' in text


def left_behind() -> tuple[int, int]:
    gc.collect()
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("way", ["loader", "torch", "samples", "workers", "mixture", "device"])
def test_leaving_an_iteration_early_leaves_nothing_behind(folder: Path, way: str) -> None:
    def leave() -> None:
        with contextlib.ExitStack() as stack:
            loader, other = make(folder), make(folder, 1.0)
            for one in (loader, other):
                if hasattr(one, "close"):
                    stack.callback(one.close)
            source: Any = {
                "loader": lambda: loader,
                "torch": lambda: loader.torch(),
                "samples": lambda: DataLoader(samples(loader), batch_size=4, collate_fn=collate),
                "workers": lambda: DataLoader(loader.torch(), batch_size=None, num_workers=2),
                "mixture": lambda: Mixture([loader, other]),
                "device": lambda: to_device(loader.torch(), "cpu"),
            }[way]()
            for number, _ in enumerate(source):
                if number == 2:
                    break

    leave()  # what is imported or started once for all is not counted
    before = left_behind()
    for _ in range(4):
        leave()
    # torch closes the pipes to its workers in threads that it does not wait for
    until_s = time.monotonic() + 10.0
    while any(now > then for now, then in zip(left_behind(), before, strict=True)):
        assert time.monotonic() < until_s, (left_behind(), before)
        time.sleep(0.05)


# --- devices --------------------------------------------------------------------------------


def test_a_plain_device_gives_the_loaders_tensors(folder: Path) -> None:
    expected, moved = list(make(folder).torch()), to_device(make(folder), "cpu")
    assert len(moved) == 17
    for one, other in zip(moved, expected, strict=True):
        torch.testing.assert_close(one["signal"], other["signal"])
        assert one["signal"].stride() == other["signal"].stride()
        assert one["target"] == other["target"]
    assert len(list(moved)) == 17, "the next epoch"


class WatchedCopier:
    """Stands for a device: says what is begun, given and waited for."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def start(self, batch: Any) -> Any:
        self.log.append(f"start {batch}")
        return batch

    def finish(self, started: Any) -> Any:
        self.log.append(f"finish {started}")
        return started

    def close(self) -> None:
        self.log.append("wait")


def test_copies_are_begun_ahead_of_their_use() -> None:
    copier = WatchedCopier()
    view = OnDevice(range(4), torch.device("cpu"), 2)
    assert list(view._run(copier, 2)) == [0, 1, 2, 3]
    begun = ["start 0", "start 1", "start 2", "finish 0", "start 3", "finish 1"]
    assert copier.log == [*begun, "finish 2", "finish 3", "wait"]


def test_leaving_early_waits_for_the_copies_and_ends_the_loader() -> None:
    copier, ended = WatchedCopier(), []

    def batches() -> Iterator[int]:
        try:
            yield from range(10)
        finally:
            ended.append(True)

    iterator: Any = OnDevice(batches(), torch.device("cpu"), 2)._run(copier, 2)
    next(iterator)
    iterator.close()
    assert ended == [True]
    assert copier.log[-1] == "wait"


def test_the_state_is_that_of_the_batch_in_use_not_of_those_ahead(folder: Path) -> None:
    loader = make(folder)
    view = OnDevice(loader, torch.device("cpu"), 3)
    iterator = view._run(WatchedCopier(), 3)
    seen = keys([next(iterator) for _ in range(5)])
    again = OnDevice(make(folder), torch.device("cpu"), 3)
    again.load_state_dict(view.state_dict())
    assert seen + keys(again) == keys(make(folder))


@pytest.mark.parametrize(
    ("device", "depth", "found"),
    [("cpu", 0, "depth"), ("nonsense", 2, "nonsense"), ("cuda:99", 2, "CUDA devices here")],
)
def test_devices_that_are_not_there_are_refused(device: str, depth: int, found: str) -> None:
    with pytest.raises(InvalidInputError, match=found):
        to_device([], device, depth)
    with pytest.raises(InvalidInputError, match="no state"):
        to_device([], "cpu").state_dict()


@cuda
def test_batches_on_a_gpu_are_those_of_the_loader_whatever_it_computes(folder: Path) -> None:
    expected = list(make(folder).torch())
    kept = []
    for batch in to_device(make(folder), "cuda", depth=3):
        assert batch["signal"].is_cuda
        torch.cuda._sleep(2_000_000)  # kernels lag behind the copies
        kept.append((batch["signal"] * 1.0, batch["mask"]))
        del batch
    for (found, mask), batch in zip(kept, expected, strict=True):
        torch.testing.assert_close(found.cpu(), batch["signal"])
        torch.testing.assert_close(mask.cpu(), batch["mask"])


@cuda
def test_a_gpu_keeps_the_layout_of_time_major_memory(folder: Path) -> None:
    batch = next(iter(to_device(make(folder), "cuda")))
    assert batch["signal"].stride() == (50, 1, 2)


# --- Lightning ------------------------------------------------------------------------------


def module(lightning: Any, stop_after: int | None = None) -> Any:
    """A Lightning module that notes its windows, and stops in mid-epoch if it is told so."""

    class Noting(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)
            self.seen: list[Any] = []

        def training_step(self, batch: Any, number: int) -> Any:
            self.seen.append(keys([batch]))
            if stop_after is not None and len(self.seen) == stop_after:
                self.trainer.should_stop = True
            return self.layer(batch["signal"].mean(dim=2)).square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 1e-9)

        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["seen"] = self.seen

        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            self.seen = checkpoint["seen"]

    return Noting()


def trainer(lightning: Any, folder: Path, **kwargs: Any) -> Any:
    return lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **kwargs,
    )


@pytest.mark.parametrize("way", ["view", "device"])
def test_lightning_trains_and_resumes_in_mid_epoch(folder: Path, tmp_path: Path, way: str) -> None:
    lightning = pytest.importorskip(
        "lightning", reason="its newest release may ask for another torch"
    )

    def source() -> Any:
        view = make(folder).torch()
        return view if way == "view" else to_device(view, "cpu")

    whole = module(lightning)
    trainer(lightning, tmp_path, max_epochs=2, enable_checkpointing=False).fit(whole, source())
    reference = make(folder)
    assert [item for step in whole.seen for item in step] == keys(reference) + keys(reference)

    class Save(lightning.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, own: Any, *rest: Any) -> None:
            if own.global_step == 6:
                own.save_checkpoint(tmp_path / "mid.ckpt")

    first = module(lightning, stop_after=9)
    trainer(lightning, tmp_path, max_epochs=2, callbacks=[Save()]).fit(first, source())
    again = module(lightning)
    resumed = trainer(lightning, tmp_path, max_epochs=2)
    resumed.fit(again, source(), ckpt_path=tmp_path / "mid.ckpt", weights_only=False)
    assert again.seen == whole.seen


if __name__ == "__main__":
    train(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), 0.03)


def test_pinned_memory_needs_a_device_and_is_pinned(tmp_path: Path) -> None:
    store = synthetic_series_store(tmp_path / "store", count=1, n=2000)
    loader = load(
        store,
        splits=whole_split(store),
        split="train",
        sample=Windows(2.0, node="eeg"),
        pin_memory=True,
    )
    if not torch.cuda.is_available():
        with pytest.raises(InvalidInputError, match="no CUDA device"):
            next(iter(loader))
        return
    assert tensors(next(iter(loader)))["signal"].is_pinned()
