"""Spiking Heidelberg Digits: synthetic files in the native layout, against plain h5py."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import UnreadableError, UnsafeError
from neurodata.readers import shd
from neurodata.safe import Raw
from tests.readers.conformance import PersonalTests, attempt

CANARY = "Zdenka Canary"
SAMPLES = 12
WORDS = ("zero", "one", "two")


def read(path: Path) -> xr.DataTree:
    return shd.read(Raw(path.parent, (path,)), Declared())


def trains(kind: str = "f2") -> tuple[list[np.ndarray], list[np.ndarray]]:
    random = np.random.default_rng(8)
    sizes = random.integers(0, 60, SAMPLES)
    times = [np.sort(random.uniform(0, 1.2, size)).astype(kind) for size in sizes]
    units = [random.integers(0, 700, size).astype("u2") for size in sizes]
    return times, units


def write(
    path: Path,
    times: list[np.ndarray] | None = None,
    units: list[np.ndarray] | None = None,
    change: Callable[[h5py.File], None] = lambda file: None,
    extra: bool = True,
) -> Path:
    """Write a synthetic file in the layout of shd_train.h5."""
    made = trains()
    times, units = made[0] if times is None else times, made[1] if units is None else units
    with h5py.File(path, "w") as file:
        for name, rows, kind in (("times", times, "f2"), ("units", units, "u2")):
            stored = file.create_dataset(
                f"spikes/{name}", (len(rows),), dtype=h5py.vlen_dtype(np.dtype(kind))
            )
            for number, row in enumerate(rows):
                stored[number] = row
        file["labels"] = np.arange(len(times), dtype="u2") % 3
        if extra:
            file["extra/keys"] = np.array([word.encode() for word in WORDS])
            file["extra/speaker"] = np.arange(len(times), dtype="u2") % 5
            file["extra/meta_info/gender"] = np.array([CANARY.encode()])
        change(file)
    return path


class TestShd(PersonalTests):
    reader = shd
    nodes: ClassVar = {"spikes": "spikes", "samples": "intervals"}
    lazy = ()
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return write(folder / "synthetic.h5")


class TestShdPacked(TestShd):
    def make(self, folder: Path) -> Path:
        plain = write(folder.parent / "synthetic.h5")
        path = folder / "synthetic.h5.gz"
        # the canary is looked for in the raw bytes, so these stay as they are
        path.write_bytes(gzip.compress(plain.read_bytes(), compresslevel=0, mtime=0))
        return path


@pytest.mark.parametrize("packed", [False, True])
def test_spikes_and_labels_equal_h5py(tmp_path: Path, packed: bool) -> None:
    path = write(tmp_path / "synthetic.h5")
    with h5py.File(path) as file:
        times, units, labels = (
            file["spikes/times"][()],
            file["spikes/units"][()],
            file["labels"][()],
        )
    if packed:
        path = tmp_path / "synthetic.h5.gz"
        path.write_bytes(gzip.compress((tmp_path / "synthetic.h5").read_bytes()))
    tree = read(path)
    node, samples = tree["spikes"], tree["samples"]
    assert node.sizes["unit"] == 700
    assert samples["label"].values.tolist() == [WORDS[n] for n in labels]
    assert samples["class_index"].values.tolist() == labels.tolist()
    assert samples["speaker"].values.tolist() == [n % 5 for n in range(SAMPLES)]
    unit = np.repeat(np.arange(700), np.diff(node["row_splits"].values))
    starts = samples["start_s"].values
    for number, (at_s, channel) in enumerate(zip(times, units, strict=True)):
        end_s = starts[number] + samples["duration_s"].values[number]
        inside = (node["time_s"].values >= starts[number]) & (node["time_s"].values < end_s)
        order = np.lexsort((at_s, channel))
        assert unit[inside].tolist() == channel[order].tolist()
        found = node["time_s"].values[inside] - starts[number]
        np.testing.assert_allclose(found, at_s[order].astype("f8"), rtol=0, atol=1e-12)
    assert node.attrs["start_s"] == 0.0
    assert node.attrs["stop_s"] == pytest.approx(starts[-1] + samples["duration_s"].values[-1])
    assert sum(len(row) for row in times) == node.sizes["spike"]


def test_samples_end_with_the_millisecond_of_their_last_spike(tmp_path: Path) -> None:
    times = [np.array([0.25, 0.5]), np.array([]), np.array([0.0])]
    units = [np.array([3, 3]), np.array([]), np.array([0])]
    path = write(tmp_path / "synthetic.h5", times, units)
    samples = read(path)["samples"]
    np.testing.assert_allclose(samples["start_s"].values, [0, 0.501, 0.502], atol=1e-12)
    np.testing.assert_allclose(samples["duration_s"].values, [0.501, 0.001, 0.001], atol=1e-12)


def test_files_without_names_of_classes_have_their_numbers(tmp_path: Path) -> None:
    samples = read(write(tmp_path / "synthetic.h5", extra=False))["samples"]
    assert samples["label"].values[:3].tolist() == ["0", "1", "2"]
    assert "speaker" not in samples


def test_a_file_is_ingested(tmp_path: Path) -> None:
    import neurodata
    from neurodata.store import open_store

    write(tmp_path / "synthetic.h5")
    store = tmp_path / "store"
    assert neurodata.ingest(tmp_path / "synthetic.h5", store=store, dataset="words").entries
    assert open_store(store).ids()


def _bad(name: str, value: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        if value is not None:
            file[name] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _bad("labels", None), _bad("labels", np.zeros(3, "u2")), _bad("labels", np.zeros(SAMPLES)),
        _bad("labels", np.full(SAMPLES, 3, "u2")), _bad("spikes/times", None),
        _bad("spikes/times", np.zeros(SAMPLES)), _bad("spikes/times", np.zeros((SAMPLES, 2))),
        _bad("extra/speaker", np.zeros(3, "u2")), _bad("spikes/units", np.zeros(SAMPLES)),
    ],
)  # fmt: skip
def test_other_layouts_are_refused(tmp_path: Path, change: Callable[[h5py.File], None]) -> None:
    with pytest.raises(UnreadableError):
        read(write(tmp_path / "synthetic.h5", change=change))


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5, 2e4])
def test_impossible_times_are_refused(tmp_path: Path, value: float) -> None:
    times, units = trains()
    times[3] = np.append(times[3], value)
    units[3] = np.append(units[3], 1)
    with pytest.raises(UnreadableError, match="sample 3"):
        read(write(tmp_path / "synthetic.h5", times, units))


def test_rows_of_unlike_lengths_and_unknown_units_are_refused(tmp_path: Path) -> None:
    times, units = trains()
    with pytest.raises(UnreadableError, match="sample 2"):
        read(write(tmp_path / "a.h5", times, [*units[:2], units[2][:-1], *units[3:]]))
    units[4] = np.full(units[4].size, 700)
    with pytest.raises(UnreadableError, match=r"units 700 to 700.*0 to 699"):
        read(write(tmp_path / "b.h5", times, units))


def test_disorder_within_a_sample_is_sorted_and_told(tmp_path: Path) -> None:
    times = [np.array([0.5, 0.25])]
    path = write(tmp_path / "synthetic.h5", times, [np.array([3, 3])])
    raw = Raw(path.parent, (path,))
    assert shd.read(raw, Declared())["spikes"]["time_s"].values.tolist() == [0.25, 0.5]
    assert any("out of order" in problem.found for problem in raw.problems)


@pytest.mark.parametrize("name", ["times", "units"])
def test_a_row_longer_than_its_file_is_refused_before_it_is_read(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "synthetic.h5")
    with h5py.File(path) as file:
        at = file[f"spikes/{name}"].id.get_offset()
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + (2**24).to_bytes(4, "little") + whole[at + 4 :])
    with pytest.raises(UnsafeError, match=f"spikes/{name}: found rows of 16777"):
        read(path)


def test_links_out_of_the_file_are_refused(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        del file["labels"]
        file["labels"] = h5py.ExternalLink("/etc/passwd", "labels")

    with pytest.raises(UnsafeError):
        read(write(tmp_path / "synthetic.h5", change=change))


def test_a_gzip_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.h5.gz"
    whole = write(tmp_path / "synthetic.h5").read_bytes() + bytes(50 * 2**20)
    path.write_bytes(gzip.compress(whole))
    with pytest.raises(UnsafeError, match="unpacked"):
        read(path)


def test_damaged_files_give_no_foreign_exception(tmp_path: Path) -> None:
    path = write(tmp_path / "synthetic.h5")
    whole = path.read_bytes()
    random = np.random.default_rng(7)
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        attempt(lambda: read(path).load())
