"""Clocks that drift apart for an hour: streams, pulses and markers stay together to a sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurodata.ingestion import Entry, ingest
from neurodata.steps import apply, parse
from neurodata.store import Store, open_store
from tests.readers.synthetic_xdf import described, footer, header, offset, samples, start, texts

pytest.importorskip("pyxdf")
HOUR_S, RATE_HZ, PPM = 3600, 25.0, 50e-6
OFFSET_S = 12.5
PULSES_S = np.arange(7.0, HOUR_S, 71.3)


def synthetic_ramp(rate_hz: float, count: int) -> np.ndarray:
    """What an amplifier records that sees the true time: its samples are the time they are of."""
    return (np.arange(count) / rate_hz).astype("f4")[:, None]


def synthetic_hour(*, offsets: bool) -> bytes:
    """Two amplifiers and markers for an hour; the clock of the second is 50 ppm slow.

    The true time is that of the first clock. Both record the time itself as their signal; the
    offset of the second clock is measured every 5 s, to some 0.1 ms.
    """
    random = np.random.default_rng(8)
    count = int(HOUR_S * RATE_HZ)
    true_s = np.arange(count) / RATE_HZ
    row = described((("time", "MISC", "s"),))
    parts = [
        start({
            1: header("First", "EEG", 1, RATE_HZ, "float32", row),
            2: header("Second", "EEG", 1, RATE_HZ, "float32", row),
            3: header("Task", "Markers", 1, 0, "string"),
        })
    ]  # fmt: skip
    own = {1: 100 + true_s, 2: 100 + OFFSET_S + true_s * (1 - PPM)}
    for number, at_s in own.items():
        stamps: list[float | None] = [float(t) if n % 25 == 0 else None for n, t in enumerate(at_s)]
        parts.append(samples(number, true_s[:, None], stamps, "<f4"))
    parts.append(texts(3, [f"pulse {n}" for n in range(len(PULSES_S))], (100 + PULSES_S).tolist()))
    if offsets:
        for at in np.arange(0.0, HOUR_S, 5.0):
            second = 100 + OFFSET_S + at * (1 - PPM)
            error = random.normal(0, 1e-4)
            parts += [offset(1, 100 + at, 0.0), offset(3, 100 + at, 0.0)]
            parts.append(offset(2, second, 100 + at - second + error))
    parts += [footer(1, count), footer(2, count), footer(3, len(PULSES_S))]
    return b"".join(parts)


def hour(folder: Path, *, offsets: bool) -> tuple[Store, Entry]:
    raw = folder / "raw"
    raw.mkdir()
    (raw / "synthetic.xdf").write_bytes(synthetic_hour(offsets=offsets))
    declare = {"units.*": "s", "modality": "eeg"}
    (entry,) = ingest(raw, store=folder / "store", declare=declare)
    assert entry.status == "new", entry.problems
    return open_store(folder / "store"), entry


def streams(tree: xr.DataTree) -> list[xr.DataArray]:
    return [node["signal"] for node in tree.children.values() if "signal" in node.variables]


def test_two_clocks_are_one_after_an_hour(tmp_path: Path) -> None:
    store, entry = hour(tmp_path, offsets=True)
    tree = store[entry.id]
    first, second = streams(tree)
    for signal in (first, second):
        error_s = np.abs(signal.time.values - signal.values[:, 0].astype("f8"))
        assert error_s.max() < 1 / RATE_HZ, "a sample"
        assert error_s.max() < 0.1 / RATE_HZ
    times = tree["events"]["start_s"].values
    np.testing.assert_allclose(times, PULSES_S, atol=0.1 / RATE_HZ)
    for at_s in times:
        seen = [float(s.sel(time=at_s, method="nearest").values[0]) for s in (first, second)]
        assert abs(seen[0] - seen[1]) < 1.01 / RATE_HZ, "of float32"
    rates = [
        store.raw(entry.id)[node].attrs["rate_hz"] for node in tree.children if node != "events"
    ]
    assert sorted(rates) == pytest.approx([RATE_HZ, RATE_HZ], rel=2e-6)


def test_clocks_that_were_not_compared_are_told(tmp_path: Path) -> None:
    """Without their offsets the streams drift by 4.5 samples, and it is said so."""
    store, entry = hour(tmp_path, offsets=False)
    told = [p for p in entry.problems if "kept on their own clocks" in p.found]
    assert [p.level for p in told] == ["warning"]
    second = streams(store[entry.id])[1]
    ends_s = second.time.values[[0, -1]] - second.values[[0, -1], 0].astype("f8")
    assert abs(np.diff(ends_s)[0]) == pytest.approx(HOUR_S * PPM, rel=0.01)


def synthetic_trace(times: np.ndarray) -> xr.DataTree:
    node = xr.Dataset(
        {"signal": (("time", "channel"), synthetic_ramp(RATE_HZ, len(times)), {"units": "s"})},
        {"channel": ["time"], "units": ("channel", ["s"]), "type": ("channel", ["MISC"]),
         "time": ("time", times, {"units": "s"})},
        {"representation": "timeseries"},
    )  # fmt: skip
    root = xr.Dataset(attrs={"modality": "eeg"})
    return xr.DataTree.from_dict({"/": root, "misc": node})


@pytest.mark.parametrize("ppm", [50e-6, -50e-6])
def test_a_drifting_clock_made_regular_keeps_its_samples_to_a_tenth(ppm: float) -> None:
    """By the rate that its times have; by the nominal one it is refused."""
    count = int(HOUR_S * RATE_HZ)
    times = np.arange(count) / RATE_HZ * (1 + ppm)
    steps: list[dict[str, Any]] = [{"step": "regularise", "rate_hz": RATE_HZ / (1 + ppm)}]
    node = apply(synthetic_trace(times), parse(steps))["misc"]
    assert node.attrs["n"] == count
    found = node.attrs["start_s"] + np.arange(count) / node.attrs["rate_hz"]
    assert np.abs(found - times).max() < 0.1 / RATE_HZ
    np.testing.assert_array_equal(node["signal"].values, synthetic_ramp(RATE_HZ, count))
    with pytest.raises(ValueError, match="the times have"):
        apply(synthetic_trace(times), parse([{"step": "regularise", "rate_hz": RATE_HZ}]))
