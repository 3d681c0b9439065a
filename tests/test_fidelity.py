"""What a source's numbers become on the way to physical values, and what is lost: rounding only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from benchmarks.faults.files import BrainVision, Edf, Nifti, oblique
from neurodata.ingestion import ingest
from neurodata.store import Store, open_store

ROUNDED = 2.0**-24
"""The largest relative error of a number that is rounded to float32."""


def stored(folder: Path, raw: Path, **declare: Any) -> tuple[Store, str]:
    (entry,) = ingest(raw, store=folder / "store", declare=declare)
    assert entry.status == "new", entry.problems
    return open_store(folder / "store"), entry.id


def main(tree: xr.DataTree, name: str) -> xr.DataArray:
    (found,) = [node[name] for node in tree.children.values() if name in node.variables]
    return found


def spread(low: int, high: int, count: int) -> np.ndarray:
    """Numbers over a range, its ends and those around 0 among them."""
    drawn = np.random.default_rng(4).integers(low, high, count, dtype="i8", endpoint=True)
    drawn[:7] = low, high, low + 1, high - 1, 0, -1 if low else 1, 1
    return drawn


@pytest.mark.parametrize(
    "limits", [("-3276.8", "3276.7"), ("-0.00001", "0.00001"), ("-99999.9", "1e-5"), ("0", "1")]
)
def test_every_count_of_16_bits_comes_back_from_its_voltage(
    tmp_path: Path, limits: tuple[str, str]
) -> None:
    """Each of the 65,536 counts, by any scale and offset that a header may state."""
    counts = np.arange(-32768, 32768).astype("i2").reshape(-1, 2)[: 250 * 131]
    file = Edf(adc=np.ascontiguousarray(counts), physical=limits)
    store, name = stored(tmp_path, file.build(tmp_path))
    raw, physical = main(store.raw(name), "signal_adc"), main(store[name], "signal")
    np.testing.assert_array_equal(raw.values, counts)
    low, high = (float(limit) * 1e-6 for limit in limits)
    step = (high - low) / 65535
    exact = low + (counts.astype("f8") + 32768) * step
    assert physical.dtype == np.float32
    error = np.abs(physical.values.astype("f8") - exact)
    assert (error <= step).all(), "one least significant bit"
    assert (error <= np.abs(exact) * ROUNDED * (1 + 1e-9) + 1e-6 * step).all()
    np.testing.assert_array_equal(np.rint((physical.values - low) / step - 32768), counts)


@pytest.mark.parametrize("form", ["INT_16", "INT_32", "IEEE_FLOAT_32"])
def test_numbers_of_every_width_are_stored_as_they_are(tmp_path: Path, form: str) -> None:
    kind = {"INT_16": "i2", "INT_32": "i4", "IEEE_FLOAT_32": "f4"}[form]
    if kind == "f4":
        values = np.random.default_rng(0).normal(0, 1e3, (2000, 2)).astype("f4")
        values[0], values[1] = (3e30, -3e30), (1e-30, -1e-30)
    else:
        ends = np.iinfo(kind)
        values = spread(ends.min, ends.max, 4000).astype(kind).reshape(-1, 2)
    file = BrainVision(adc=values, form=form)
    store, name = stored(tmp_path, file.build(tmp_path))
    exact = values.astype("f8") * 1e-7
    error = np.abs(main(store[name], "signal").values.astype("f8") - exact)
    assert (error <= np.abs(exact) * ROUNDED * (2 if kind == "f4" else 1 + 1e-9)).all()
    if kind != "f4":
        np.testing.assert_array_equal(main(store.raw(name), "signal_adc").values, values)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
def test_voxels_of_either_byte_order_are_the_same(tmp_path: Path, kind: str, order: str) -> None:
    if kind[0] == "f":
        voxels = np.random.default_rng(1).normal(0, 1e3, 120).astype(kind)
    else:
        ends = np.iinfo(kind)
        voxels = spread(ends.min, ends.max, 120).astype(kind)
    slope, shift = (0.37, -12.5) if kind[0] != "f" else (1.0, 0.0)
    image = voxels.reshape(4, 5, 6)
    file = Nifti(image, oblique(), order=order, slope=slope, intercept=shift)
    store, name = stored(tmp_path, file.build(tmp_path))
    found = main(store[name], "image").values
    slope, shift = float(np.float32(slope)), float(np.float32(shift))  # as the header has them
    exact = np.sort((image.astype("f8") * slope + shift).ravel())
    error = np.abs(np.sort(found.astype("f8").ravel()) - exact)
    assert (error <= np.abs(exact) * ROUNDED * (1 + 1e-9)).all()
    if kind[0] != "f":
        raw = main(store.raw(name), "image_adc").values
        assert raw.dtype == np.dtype(kind)
        np.testing.assert_array_equal(np.sort(raw.ravel()), np.sort(image.ravel()))


def test_half_precision_becomes_single_without_loss(tmp_path: Path) -> None:
    halves = np.arange(2**16, dtype="u2").view("f2")
    halves = halves[np.isfinite(halves)].reshape(-1, 2)
    node = xr.Dataset(
        {"signal": (("time", "channel"), halves, {"units": "V"})},
        {"channel": ["a", "b"]},
        {"representation": "timeseries", "start_s": 0.0, "rate_hz": 2.0, "n": len(halves)},
    )
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": "eeg"}), "eeg": node})
    store = open_store(tmp_path / "store", create=True)
    done = store.publish(tree, dataset="synthetic", recording="halves")
    assert store.raw(done.id)["eeg/signal"].dtype == np.float16
    np.testing.assert_array_equal(
        store[done.id]["eeg/signal"].values.astype("f8"), halves.astype("f8")
    )
