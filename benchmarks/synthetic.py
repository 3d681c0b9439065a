"""Synthetic recordings, as `.npy` files in their native data types; nothing in them is real."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workloads import SPIKES_PER_SAMPLE, Case, Dataset

Array = np.ndarray[Any, Any]
FEWEST_CELLS, MOST_CELLS = 100, 300


def make(case: Case) -> None:
    """Write the source files of a case's data set, unless they are there."""
    folder = case.folder / "raw"
    if folder.is_dir():
        return
    staged = folder.with_name("raw.part")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    makers: dict[str, Callable[[Dataset, Path], None]] = {
        "calcium": _calcium,
        "microscopy": _microscopy,
        "mri": _mri,
        "spikes": _spikes,
        "graph": _graph,
        "writing": _float_series,
    }
    makers.get(case.dataset.name, _counts)(case.dataset, staged)
    staged.rename(folder)


def _file(folder: Path, number: int) -> Path:
    return folder / f"r{number:03d}.npy"


def _brain(rng: np.random.Generator, n: int, channels: int, rate_hz: float) -> Array:
    """Return ``(time, channel)``: 1/f-like noise, a shared 10 Hz rhythm and sensor noise."""
    from scipy.signal import lfilter

    pole = 1.9 * np.cos(2 * np.pi * 10 / rate_hz)
    sources = lfilter([1.0], [1, -pole, 0.9025], rng.standard_normal((4, n), dtype="f4"), axis=1)
    mixing = rng.standard_normal((channels, 4), dtype="f4")
    out = np.empty((n, channels), "f4")
    for channel in range(channels):
        noise = rng.standard_normal(n, dtype="f4")
        slow = lfilter(np.ones(1, "f4"), np.array([1, -0.97], "f4"), noise)
        out[:, channel] = 4 * slow + noise + 3 * (mixing[channel] @ sources)
    return out


def _counts(dataset: Dataset, folder: Path) -> None:
    for number in range(dataset.recordings):
        n, channels = dataset.shape
        values = _brain(np.random.default_rng(number), n, channels, dataset.rate_hz)
        counts = np.clip(np.round(values / dataset.step), -32768, 32767)
        np.save(_file(folder, number), counts.astype("i2"))


def _float_series(dataset: Dataset, folder: Path) -> None:
    """One long array of 0.1 µV steps as float32; repeats with another sign and offset."""
    n, channels = dataset.shape
    block = np.round(_brain(np.random.default_rng(0), 2**18, channels, dataset.rate_hz) * 10)
    out = np.lib.format.open_memmap(_file(folder, 0), "w+", "<f4", dataset.shape)
    for number, start in enumerate(range(0, n, len(block))):
        stop = min(n, start + len(block))
        out[start:stop] = (np.roll(block, 17 * number, 1)[: stop - start] + number) * 0.1
    out.flush()


def _calcium(dataset: Dataset, folder: Path) -> None:
    from scipy.signal import lfilter

    n = dataset.shape[0]
    for number in range(dataset.recordings):
        rng = np.random.default_rng(1000 + number)
        width = {0: MOST_CELLS, 1: FEWEST_CELLS}.get(
            number, int(rng.integers(FEWEST_CELLS, MOST_CELLS + 1))
        )
        events = rng.poisson(0.02, (n, width)).astype("f4")
        traces = lfilter([1.0], [1, -0.95], events, axis=0)
        noisy = traces + 0.15 * rng.standard_normal((n, width))
        np.save(_file(folder, number), noisy.astype("f4"))


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], width: int) -> Array:
    from scipy.ndimage import uniform_filter

    field: Array = rng.standard_normal(shape, dtype="f4")
    for _ in range(2):
        field = uniform_filter(field, width)
    scaled: Array = field / field.std()
    return scaled


def _microscopy(dataset: Dataset, folder: Path) -> None:
    """A 12-bit camera with shot noise."""
    out = np.lib.format.open_memmap(_file(folder, 0), "w+", "<u2", dataset.shape)
    for channel in range(dataset.shape[0]):
        rng = np.random.default_rng(50 + channel)
        light = 100 + 400 * np.maximum(_smooth(rng, dataset.shape[1:], 9) - 0.5, 0)
        light += np.sqrt(light) * rng.standard_normal(light.shape, dtype="f4")
        out[channel] = np.clip(light, 0, 4095)
    out.flush()


def _mri(dataset: Dataset, folder: Path) -> None:
    """Whole-number intensities with an empty background outside an ellipsoid."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in dataset.shape), indexing="ij")
    inside = sum(axis**2 for axis in axes) < 0.8
    for number in range(dataset.recordings):
        rng = np.random.default_rng(5000 + number)
        tissue = 500 + 150 * _smooth(rng, dataset.shape, 7)
        tissue += 15 * rng.standard_normal(dataset.shape, dtype="f4")
        np.save(_file(folder, number), (np.round(np.maximum(tissue, 0)) * inside).astype("i2"))


SPIKE = np.dtype([("time_us", "<i8"), ("unit", "<i4")])


def _spikes(dataset: Dataset, folder: Path) -> None:
    """Spikes of a recording by time; the samples of 1 s follow each other without a gap."""
    samples, units = dataset.shape
    for number in range(dataset.recordings):
        rng = np.random.default_rng(9000 + number)
        spikes = np.empty(samples * SPIKES_PER_SAMPLE, SPIKE)
        spikes["time_us"] = np.sort(rng.integers(0, samples * 10**6, len(spikes)))
        rate = rng.gamma(2.0, 1.0, units)
        spikes["unit"] = rng.choice(units, len(spikes), p=rate / rate.sum())
        np.save(_file(folder, number), spikes)


def _graph(dataset: Dataset, folder: Path) -> None:
    """Edges sorted by source and target, without doubles, with unequal degrees."""
    nodes, edges = dataset.shape
    rng = np.random.default_rng(77)
    source = (nodes * rng.beta(1.0, 1.5, edges * 11 // 10)).astype("i8")
    keys = np.unique(source * nodes + rng.integers(0, nodes, len(source)))
    keys = np.sort(rng.choice(keys, edges, replace=False))
    np.save(_file(folder, 0), np.stack([keys // nodes, keys % nodes]))
