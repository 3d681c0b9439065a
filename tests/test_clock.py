"""The regular clock: lazy, exact under slices, and never silently something else."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from neurodata.clock import RegularTime, regular_time
from neurodata.errors import InvalidInputError
from neurodata.invariants import rate_hz as rate_of

N = 1000
RATES_HZ = (29.97, 1 / 0.375, 600.615, 1000.0, 3.0)
STARTS_S = (0.0, -1.5, 1e5 / 3)


def synthetic(rate_hz: float = 29.97, start_s: float = 0.0, n: int = N) -> xr.DataArray:
    """A ramp whose values are the numbers of its samples."""
    return xr.DataArray(np.arange(n), dims="time", coords=regular_time(start_s, rate_hz, n))


def seconds(rate_hz: float, start_s: float) -> Any:
    return start_s + np.arange(N) / rate_hz


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("start_s", STARTS_S)
def test_a_label_or_slice_of_labels_finds_its_samples(rate_hz: float, start_s: float) -> None:
    ramp, labels = synthetic(rate_hz, start_s), seconds(rate_hz, start_s)
    np.testing.assert_array_equal(ramp.time.values, labels)
    for i in range(0, N - 3, 7):
        assert int(ramp.sel(time=labels[i])) == i
        assert ramp.sel(time=slice(labels[i], labels[i + 2])).values.tolist() == [i, i + 1, i + 2]


SLICES = st.slices(N).filter(lambda part: part.step is None or part.step > 0)


@given(st.sampled_from(RATES_HZ), st.sampled_from(STARTS_S), st.lists(SLICES, max_size=3))
def test_slices_of_slices_stay_lazy_and_keep_times_bit_for_bit(
    rate_hz: float, start_s: float, parts: list[slice]
) -> None:
    ramp, labels = synthetic(rate_hz, start_s), seconds(rate_hz, start_s)
    for part in parts:
        ramp, labels = ramp.isel(time=part), labels[part]
    assert isinstance(ramp.xindexes["time"], RegularTime)
    np.testing.assert_array_equal(ramp.time.values, labels)


def test_two_ways_to_the_same_samples_are_aligned_and_others_are_refused() -> None:
    ramp = synthetic()
    twice = ramp.isel(time=slice(1, None)).isel(time=slice(None, None, 3)).isel(time=slice(2, None))
    once = ramp.isel(time=slice(7, None, 3))
    assert (twice - once).values.tolist() == [0] * once.size
    with pytest.raises(NotImplementedError):
        ramp.isel(time=slice(0, 5)) + ramp.isel(time=slice(1, 6))
    with pytest.raises(NotImplementedError):
        synthetic(29.97) + synthetic(29.98)


@pytest.mark.parametrize(
    "pick", [slice(None, None, -1), slice(900, 7, -2), [5, 1, 900], np.arange(N) % 9 == 0, -1]
)
def test_other_selections_carry_their_own_times(pick: Any) -> None:
    part = synthetic().isel(time=pick)
    np.testing.assert_array_equal(part.time.values, seconds(29.97, 0.0)[pick])


def test_a_step_divides_the_rate() -> None:
    part = synthetic(600.0, 1e5 / 3).isel(time=slice(3, None, 4)).to_dataset(name="signal")
    assert rate_of(part) == 150.0


def test_adjacent_parts_join_to_the_whole_and_others_keep_their_times() -> None:
    ramp = synthetic()
    parts = [ramp.isel(time=slice(a, b)) for a, b in ((0, 5), (5, 9), (9, N))]
    whole = xr.concat(parts, "time")
    assert whole.identical(ramp)
    assert isinstance(whole.xindexes["time"], RegularTime)
    gap = xr.concat(parts[::2], "time")
    np.testing.assert_array_equal(gap.time.values, np.delete(ramp.time.values, range(5, 9)))
    assert int(gap.sel(time=ramp.time.values[9])) == 9


def test_seconds_off_the_clock_are_found_by_nearest_only() -> None:
    ramp = synthetic(10.0)
    assert ramp.sel(time=[0.26, 1e9, -5.0], method="nearest").values.tolist() == [3, N - 1, 0]
    part = ramp.isel(time=slice(0, None, 10))
    assert int(part.sel(time=1.4, method="nearest", tolerance=0.41)) == 10
    for label, options in (
        (0.26, {}), (1e9, {}), (np.nan, {}), (np.nan, {"method": "nearest"}),
        (0.26, {"method": "ffill"}), (0.26, {"method": "nearest", "tolerance": 0.01}),
    ):  # fmt: skip
        with pytest.raises(KeyError):
            ramp.sel(time=label, **options)
    with pytest.raises(KeyError):
        part.sel(time=1.4, method="nearest", tolerance=0.39)
    with pytest.raises(KeyError):
        ramp.isel(time=slice(0, 0)).sel(time=0.0, method="nearest")


def test_slices_beyond_the_ends_are_empty_or_cut() -> None:
    ramp = synthetic(10.0, start_s=-1.0)
    assert ramp.sel(time=slice(-9, -0.9)).values.tolist() == [0, 1]
    assert ramp.sel(time=slice(98.85, None)).values.tolist() == [999]
    for part in (slice(-9, -5), slice(1e9, None), slice(2, 1)):
        assert ramp.sel(time=part).size == 0
    with pytest.raises(KeyError):
        ramp.sel(time=slice(np.nan, 1))
    with pytest.raises(InvalidInputError):
        ramp.sel(time=slice(0, 1, 2))


def test_a_clock_pickles_computes_copies_and_becomes_a_table() -> None:
    ramp = synthetic().isel(time=slice(3, 9, 2)).chunk(time=2)
    for again in (pickle.loads(pickle.dumps(ramp)), ramp.compute(), ramp.copy(deep=True)):
        assert again.identical(ramp.compute())
        assert isinstance(again.xindexes["time"], RegularTime)
    table = ramp.to_dataframe("signal")
    assert table.index.tolist() == seconds(29.97, 0.0)[3:9:2].tolist()


@pytest.mark.parametrize(
    ("start_s", "rate_hz", "n"),
    [(0.0, 0.0, 4), (0.0, -1.0, 4), (0.0, np.nan, 4), (0.0, np.inf, 4), (np.nan, 1.0, 4),
     (0.0, 1.0, -1)],
)  # fmt: skip
def test_impossible_clocks_are_refused(start_s: float, rate_hz: float, n: int) -> None:
    with pytest.raises(InvalidInputError):
        regular_time(start_s, rate_hz, n)
