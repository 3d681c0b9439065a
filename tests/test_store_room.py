"""How many bytes a recording takes is known before it is written; without room it is refused."""

from __future__ import annotations

import re
from collections import namedtuple
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from neurodata.errors import StoreError
from neurodata.store import Store, files, open_store
from neurodata.store.room import needed_bytes

Usage = namedtuple("Usage", "total used free")


def synthetic_recording(variables: Any, coords: Any = None) -> xr.DataTree:
    node = xr.Dataset(variables, coords, {"representation": "timeseries", "start_s": 0.0})
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": "eeg"}), "eeg": node})


def wave(n: int) -> np.ndarray:
    t = np.arange(n)[:, None] + 17 * np.arange(8)
    return (np.abs(t % 200 - 100) * 20).astype("i2")


RANDOM = np.random.default_rng(5)
TREES: dict[str, Any] = {
    "noise": {"signal": (("time", "channel"), RANDOM.normal(size=(200_000, 8)).astype("f4"))},
    "a signal": {"signal_adc": (("time", "channel"), wave(500_000))},
    "zeros": {"image": (("z", "y", "x"), np.zeros((40, 300, 300), "f4"))},
    "half of it noise": {
        "image": (
            ("z", "y", "x"), np.where(np.arange(64)[:, None, None] < 32, 0, RANDOM.normal(
                size=(64, 256, 256))),
        )
    },
    "lazy": {"signal": (("time", "channel"), da.from_array(wave(500_000), chunks=(70_000, 8)))},
    "one number": {"level": ((), 3.0)},
    "no samples": {"signal": (("time", "channel"), np.zeros((0, 8)))},
    "text": {"label": ("interval", [f"a label of some words, {n}" for n in range(30_000)])},
    "many texts": {"label": ("interval", [f"{n:060b}" for n in range(100_000)])},
    "nothing": {},
}  # fmt: skip


@pytest.mark.parametrize("layout", ["default", "small", "random"])
@pytest.mark.parametrize("story", TREES)
def test_the_estimate_is_within_a_factor_of_two(tmp_path: Path, story: str, layout: str) -> None:
    tree = synthetic_recording(TREES[story])
    store = open_store(tmp_path / "store", create=True)
    done = store.publish(tree, dataset="synthetic", recording="r1", layout=layout)
    assert done.size_bytes / 2 < needed_bytes(tree, layout) < done.size_bytes * 2  # type: ignore[arg-type]


def test_the_estimate_of_real_recordings_is_within_a_fifth(sample_store: Store) -> None:
    for name in sample_store.ids():
        size = sum(e["size"] for e in sample_store.manifest(name)["files"])
        manifest = (sample_store.folder(name) / "manifest.json").stat().st_size
        estimate = needed_bytes(sample_store.raw(name), "default")
        assert 0.8 < estimate / (size + manifest) < 1.2, name


def told(refusal: StoreError) -> int:
    """The bytes that are needed, as a refusal says."""
    match = re.fullmatch(r"room for about (\d+) bytes", refusal.expected)
    assert match, refusal
    return int(match[1])


def with_room(free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: Usage(10**12, 0, free))


def test_without_room_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path / "store", create=True)
    tree = synthetic_recording(TREES["noise"])
    needed = needed_bytes(tree, "default")
    assert 6_400_000 < needed < 6_600_000
    with_room(3_000_000, monkeypatch)
    monkeypatch.setattr("neurodata.store.commit.write_tree", None)  # is not come to
    with pytest.raises(StoreError) as caught:
        store.publish(tree, dataset="synthetic", recording="r1")
    assert caught.value.found == "too little room (3000000 bytes free)"
    assert told(caught.value) == pytest.approx(needed, rel=1e-3)
    assert caught.value.hint == "free some room"
    assert store.ids() == []


def test_what_may_fit_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path / "store", create=True)
    with_room(3_400_000, monkeypatch)
    tree = synthetic_recording(TREES["noise"])
    assert store.publish(tree, dataset="synthetic", recording="r1").status == "new"


def test_where_there_is_room_for_all_of_it_nothing_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def block(values: Any, block_id: Any = None) -> Any:
        read.append(block_id[0])
        return values

    lazy = da.from_array(wave(500_000), chunks=(70_000, 8)).map_blocks(block, dtype="i2")
    tree = synthetic_recording({"signal": (("time", "channel"), lazy)})
    store = open_store(tmp_path / "store", create=True)
    store.publish(tree, dataset="synthetic", recording="r1")
    assert sorted(read) == list(range(8)), "each block once"


@pytest.mark.parametrize("code", [28, 122])  # ENOSPC, EDQUOT
def test_a_disk_that_fills_or_a_quota_says_what_is_needed_and_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    store = open_store(tmp_path / "store", create=True)
    tree = synthetic_recording({**TREES["noise"], "level": ("time", np.zeros(200_000))})
    needed = needed_bytes(tree, "default")
    real, written = files.write_parts, []

    def fills(path: Path, parts: Any) -> int:
        written.append(path)
        if len(written) > 1:
            raise OSError(code, "No room", str(path))
        return real(path, parts)

    monkeypatch.setattr(files, "write_parts", fills)
    with_room(4_000_000, monkeypatch)
    with pytest.raises(StoreError) as caught:
        store.publish(tree, dataset="synthetic", recording="r1")
    assert len(written) > 1
    assert caught.value.found.endswith("(4000000 bytes free)")
    assert told(caught.value) == pytest.approx(needed, rel=1e-3)
    assert caught.value.hint == "free some room"
    staging = [path for path in (store.path / ".staging").rglob("*") if path.is_file()]
    assert [path.name for path in staging if path.name != "commit.lock"] == []
    assert store.ids() == []


def test_another_failure_of_the_disk_says_nothing_of_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "store", create=True)

    def fails(path: Path, parts: Any) -> int:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(files, "write_parts", fails)
    with pytest.raises(StoreError) as caught:
        store.publish(synthetic_recording(TREES["noise"]), dataset="synthetic", recording="r1")
    assert caught.value.expected == "a disk to write on"
