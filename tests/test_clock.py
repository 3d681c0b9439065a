"""The regular clock: lazy, exact under slices, and never silently something else."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from neurodata.clock import RegularTime, regular_time
from neurodata.declare import Declared
from neurodata.errors import InvalidInputError
from neurodata.invariants import rate_hz as rate_of
from neurodata.readers import fif
from neurodata.readers.clocked import clock_of
from neurodata.safe import Raw
from tests.readers import synthetic_fif, test_brainvision, test_edf, test_mgh, test_nifti

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


DAY_S, MOST_PPM = 86_400, 1.0


@pytest.mark.parametrize("rate_hz", [*RATES_HZ, 30_000.3, 1 / 2.22, 0.1 + 0.2])
@pytest.mark.parametrize("start_s", STARTS_S)
def test_a_day_long_clock_is_exact_at_its_end(rate_hz: float, start_s: float) -> None:
    n = int(DAY_S * rate_hz)
    last = float(regular_time(start_s, rate_hz, n)["time"][-1])
    exact = Fraction(start_s) + Fraction(n - 1) / Fraction(rate_hz)
    assert abs(Fraction(last) - exact) / DAY_S * 10**6 < 1e-6  # ppm: rounding of one number


def edf_of_300_ms(folder: Path) -> xr.DataTree:
    path, _ = test_edf.write(folder, samples=(7, 7))
    path.write_bytes(test_edf.put(244, b"0.3", 8)(path.read_bytes()))
    return test_edf.read(path)


def brainvision_of_a_third(folder: Path) -> xr.DataTree:
    return test_brainvision.read(test_brainvision.write(folder, SamplingInterval="3333.3333333")[0])


def nifti_of_720_ms(folder: Path) -> xr.DataTree:
    path = folder / "synthetic.nii"
    path.write_bytes(test_nifti.put(92, "f", 0.72)(test_nifti.synthetic_bytes()))
    return test_nifti.read(path)


def mgh_of_2220_ms(folder: Path) -> xr.DataTree:
    return test_mgh.read(test_mgh.write(folder, footer=(2220.0, 1.5, 30.0, 0.0, 256.0)))


def fif_of_600_615_hz(folder: Path) -> xr.DataTree:
    path = folder / "synthetic_raw.fif"
    channels = [synthetic_fif.channel(1, "EEG 001", cal=1e-7)]
    path.write_bytes(
        synthetic_fif.by_tags(channels, [synthetic_fif.buffer(np.ones((90, 1)))], 600.615)
    )
    return fif.read(Raw(folder, (path,)), Declared({"modality": "eeg"}))


PERIODS_S: dict[Callable[[Path], xr.DataTree], Fraction] = {
    edf_of_300_ms: Fraction(3, 70),
    brainvision_of_a_third: Fraction("0.0033333333333"),
    nifti_of_720_ms: Fraction("0.72"),
    mgh_of_2220_ms: Fraction("2.22"),
    fif_of_600_615_hz: 1 / Fraction("600.615"),
}


@pytest.mark.parametrize("write", PERIODS_S)
def test_the_rate_of_a_header_drifts_by_less_than_a_ppm(
    write: Callable[[Path], xr.DataTree], tmp_path: Path
) -> None:
    """Also where the header holds it in 32 bits."""
    tree = write(tmp_path)
    rates = [node.attrs["rate_hz"] for node in tree.children.values() if "rate_hz" in node.attrs]
    assert rates
    for rate_hz in rates:
        assert abs(Fraction(rate_hz) * PERIODS_S[write] - 1) * 10**6 < MOST_PPM


@pytest.mark.parametrize("ppm", [0.0, 0.5, 40.0])
def test_a_day_of_times_is_kept_where_no_regular_clock_gives_them(ppm: float) -> None:
    """A clock that slows down by some ppm within the day, at 10 Hz."""
    true_s = np.arange(10 * DAY_S) / 10
    times = true_s + ppm * 1e-6 * true_s**2 / (2 * DAY_S)
    clock = clock_of(times, None, "synthetic")
    assert (clock is None) is (ppm > 0)
    if clock is not None:
        found = clock.starts[0][1] + np.arange(clock.n) / clock.rate_hz
        assert np.abs(found - times).max() / DAY_S * 1e6 < MOST_PPM
