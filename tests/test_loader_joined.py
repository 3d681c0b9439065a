"""Joined nodes: the oracle is rational arithmetic on the seconds of ramps and of events."""

from __future__ import annotations

import pickle
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from neurodata.errors import InvalidInputError
from neurodata.loader.feed import Feed
from neurodata.loader.joined import Join, Joined, joined_of, with_joined
from neurodata.loader.plan import WINDOW
from neurodata.loader.recordings import Recordings
from tests.synthetic_loader import MemoryStore, behaviour, intervals, node, recording, split_of

HALF = Fraction(1, 2)
BORDER = "crosses the border of the recording or split"


def ramp(
    n: int, rate_hz: Fraction, start_s: Fraction = Fraction(0), width: int = 2, dtype: str = "f4"
) -> xr.Dataset:
    """A synthetic series whose value is the number of its sample, plus 10**6 per channel."""
    signal = np.arange(n)[:, None] + 1e6 * np.arange(width)
    return node(
        "timeseries",
        {"signal": (("time", "channel"), signal.astype(dtype), {"units": "1"})},
        {"channel": [f"r{at}" for at in range(width)]},
        start_s=float(start_s),
        rate_hz=float(rate_hz),
        n=n,
    )


def spikes(*units: list[Fraction], **attrs: Any) -> xr.Dataset:
    times = [float(time) for own in units for time in own]
    splits = np.cumsum([0, *map(len, units)])
    return node(
        "spikes",
        {"time_s": ("spike", np.array(times, "f8")), "row_splits": ("split", splits)},
        {"unit_id": ("unit", [f"u{at}" for at in range(len(units))])},
        **attrs,
    )


def windows(starts: list[Fraction], recordings: list[int] | None = None) -> np.ndarray:
    picks = np.zeros(len(starts), WINDOW)
    picks["start_s"] = [float(start) for start in starts]
    picks["recording"] = picks["span"] = recordings or [0] * len(starts)
    return picks


def join(
    trees: list[dict[str, xr.Dataset]],
    picks: np.ndarray,
    length_s: Fraction,
    *joined: Joined | str,
    place: Any = None,
    rate_hz: float = 1000.0,
    layout: str = "bct",
) -> Join:
    """Join nodes to windows that 1000 samples a second were planned for."""
    names = "abcdefgh"[: len(trees)]
    store = MemoryStore(**{name: recording(tree) for name, tree in zip(names, trees, strict=True)})
    split = split_of(
        *((name, "test", place or {}) for name in names), by="time" if place else "subject"
    )
    assignments = split.assignments_of("test")
    recordings = Recordings(store, assignments)  # type: ignore[arg-type]
    count = round(length_s * Fraction(rate_hz))
    return joined_of(recordings, assignments, picks, count, rate_hz, joined, layout)


def nearest(start_s: Fraction, first_s: Fraction, rate_hz: Fraction) -> int:
    """The number of the sample nearest to a time, the later of two: by comparing distances."""
    guess = int((start_s - first_s) * rate_hz)
    near = range(guess - 2, guess + 3)
    return min(near, key=lambda k: (abs(first_s + k / rate_hz - start_s), -k))


def far_from_ties(*values: Fraction) -> bool:
    """Whether halves are met exactly or missed by more than floats can be off."""
    return all(x % 1 == HALF or abs(x % 1 - HALF) > Fraction(1, 10**5) for x in values)


def floats_agree(length_s: Fraction, rate_hz: Fraction) -> bool:
    """Whether floats round a length to the same samples: half a sample that they miss is either."""
    return round(float(length_s) * float(rate_hz)) == round(length_s * rate_hz)


RATES = list(
    map(Fraction, ("30.03", "29.97", "1000", "500", "25", "7.5", "128", "1017.25", "20", "333.3"))
)
STARTS = st.fractions(-1, 2, max_denominator=1000).map(lambda x: Fraction(round(x * 1000), 1000))


@settings(max_examples=150, deadline=None)
@given(
    main_hz=st.sampled_from(RATES),
    rate_hz=st.sampled_from(RATES),
    begins=STARTS,
    joined_begins=STARTS,
    day=st.sampled_from([0, 86400]),
    count=st.integers(1, 2000),
    stride=st.integers(1, 700),
    n=st.integers(1, 4000),
)
def test_a_series_is_cut_at_its_nearest_samples(
    main_hz: Fraction,
    rate_hz: Fraction,
    begins: Fraction,
    joined_begins: Fraction,
    day: int,
    count: int,
    stride: int,
    n: int,
) -> None:
    begins, joined_begins = begins + day, joined_begins + day
    starts = [begins + stride * at / main_hz for at in range(12)]
    length_s = count / main_hz
    assume(far_from_ties(length_s * rate_hz, *((s - joined_begins) * rate_hz for s in starts)))
    assume(floats_agree(length_s, rate_hz))
    samples = round(length_s * rate_hz)
    assume(samples >= 1)
    tree = {"ramp": ramp(n, rate_hz, joined_begins)}
    store = MemoryStore(a=recording(tree))
    assignments = split_of(("a", "test", {})).assignments_of("test")
    found = joined_of(
        Recordings(store, assignments),  # type: ignore[arg-type]
        assignments,
        windows(starts),
        count,
        float(main_hz),
        ["ramp"],
    )
    first = [nearest(start, joined_begins, rate_hz) for start in starts]
    inside = [k >= 0 and k + samples <= n for k in first]
    assert found.keep.tolist() == inside
    assert found.left_out.total() == inside.count(False)
    at = np.flatnonzero(found.keep)
    batch = found.function(at)
    expected = np.array([np.arange(first[i], first[i] + samples) for i in at])
    expected = expected.reshape(-1, 1, samples) + 1e6 * np.arange(2)[:, None]
    np.testing.assert_array_equal(batch["ramp"], expected.astype("f4"))
    assert batch["ramp"].dtype == np.float32
    assert batch["ramp_mask"].all()
    for i in at:
        lag_s = joined_begins + first[i] / rate_hz - starts[i]
        assert abs(lag_s) <= HALF / rate_hz
        if ((starts[i] - joined_begins) * rate_hz).denominator == 1:
            assert lag_s == 0


def test_windows_that_follow_each_other_have_every_sample_once() -> None:
    # Every other window of 3 ms begins between two samples at 500 Hz, but 2 s are 1000 of them.
    starts = [Fraction(3 * at, 1000) + Fraction(2) * at for at in range(5)]
    tree = {"ramp": ramp(8000, Fraction(500))}
    found = join([tree], windows(starts), Fraction(2), "ramp")
    first = found.function(np.arange(5))["ramp"][:, 0, 0]
    assert first.tolist() == [0, 1002, 2003, 3005, 4006]
    # On a grid of 2 s, whatever the offset, nothing is missed or doubled.
    starts = [Fraction(7, 10000) + 2 * at for at in range(7)]
    rate_hz = Fraction("30.5")
    found = join([{"ramp": ramp(600, rate_hz)}], windows(starts), Fraction(2), "ramp")
    values = found.function(np.arange(7))["ramp"][:, 0].ravel()
    assert values.tolist() == list(range(7 * 61))


def test_one_clock_at_an_odd_rate_is_met_exactly() -> None:
    rate_hz = Fraction("30.03")
    numbers = [0, 1, 299, 300, 301, 12011]
    starts = [Fraction("0.1") + k / rate_hz for k in numbers]
    tree = {"ramp": ramp(20000, rate_hz, Fraction("0.1"))}
    found = join([tree], windows(starts), 300 / rate_hz, "ramp", rate_hz=float(rate_hz))
    got = found.function(np.arange(6))["ramp"][:, 0]
    assert got.shape == (6, 300)
    assert got[:, 0].tolist() == numbers


def test_a_split_in_time_is_never_crossed() -> None:
    place = {"start_s": 2.0, "stop_s": 6.0}
    starts = [Fraction(at, 2) for at in range(3, 12)]
    trees = [{"ramp": ramp(300, Fraction("30.03")), "units": spikes([Fraction(0)], stop_s=20.0)}]
    found = join(trees, windows(starts), Fraction(1), "ramp", place=place)
    values = found.function(np.flatnonzero(found.keep))["ramp"][:, 0]
    seconds = values / 30.03
    assert found.keep.sum() == 6
    assert seconds.min() >= 2.0
    assert seconds.max() < 6.0
    counts = join(trees, windows(starts), Fraction(1), Joined("units", 100.0), place=place)
    assert np.flatnonzero(counts.keep).tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert counts.left_out == {f"joined_units: {BORDER}": 2}


def test_a_rate_resamples_behind_the_filter() -> None:
    tree = {"ramp": ramp(4000, Fraction(1000))}
    starts = [Fraction("0.1"), Fraction("1.004"), Fraction("1.005"), Fraction("3.8")]
    found = join([tree], windows(starts), Fraction("0.2"), Joined("ramp", 100.0))
    assert found.keep.tolist() == [True, True, True, False]  # the filter needs 100 samples more
    got = found.function(np.arange(3))["ramp"]
    assert got.shape == (3, 2, 20)
    expected = np.array([[100], [1000], [1010]]) + 10 * np.arange(20)
    np.testing.assert_allclose(got[:, 0], expected, atol=0.01)
    assert found.facts["ramp"].rate_hz == 100.0
    assert found.facts["ramp"].channels == (("r0", "r1"),)


def test_an_irregular_clock_is_interpolated_to_a_rate() -> None:
    times = np.arange(300) / 30 + np.tile([0.0, 0.002, -0.002], 100) + 0.25
    signal = np.stack([times, 2 * times], 1)
    pupil = node(
        "timeseries",
        {"signal": (("time", "channel"), signal, {"units": "1"})},
        {"time": times, "channel": ["0", "1"]},
    )
    starts = [Fraction(0), Fraction(1), Fraction("2.01"), Fraction("9.9")]
    with pytest.raises(InvalidInputError, match=r"Joined\('pupil'\).*irregular.*rate_hz=28.3"):
        join([{"pupil": pupil}], windows(starts), Fraction(1), "pupil")
    found = join([{"pupil": pupil}], windows(starts), Fraction(1), Joined("pupil", 40.0))
    assert found.keep.tolist() == [False, True, True, False]
    assert found.left_out == {f"pupil: {BORDER}": 2}
    got = found.function(np.array([1, 2]))["pupil"]
    first = np.array([[1.0], [2.0]])  # of the grid 0.25 + k / 40
    np.testing.assert_allclose(got[:, 0], first + np.arange(40) / 40, atol=1e-6)
    np.testing.assert_array_equal(got[:, 1], 2 * got[:, 0])


def test_samples_that_are_not_finite_are_left_out_by_reason() -> None:
    speed = ramp(1000, Fraction(100))
    speed["signal"][250, 0] = np.nan
    starts = [Fraction(at) for at in range(11)]
    found = join([{"speed": speed}], windows(starts), Fraction(1), "speed")
    assert np.flatnonzero(~found.keep).tolist() == [2, 10]
    assert found.left_out == {
        f"speed: {BORDER}": 1,
        "speed: samples not finite or not observed": 1,
    }
    kept = join([{"speed": speed}], windows(starts), Fraction(1), Joined("speed", required=False))
    assert kept.keep.all()
    assert not kept.left_out
    batch = kept.function(np.array([10, 3, 2]))
    assert batch["speed_mask"].tolist() == [[False] * 2, [True] * 2, [False] * 2]
    assert not batch["speed"][[0, 2]].any()
    assert batch["speed"][1, 0, 0] == 300
    assert kept.function(np.array([2]))["speed"].shape == (1, 2, 100)


@settings(max_examples=100, deadline=None)
@given(
    rate_hz=st.sampled_from(list(map(Fraction, ("100", "1000", "30.03", "50", "12.5")))),
    begins=STARTS,
    count=st.integers(1, 1500),
    ticks=st.lists(st.integers(0, 150_000), max_size=60),
    aligned=st.lists(st.integers(0, 5000), max_size=30),
)
def test_spikes_are_counted_in_half_open_bins_from_the_window_start(
    rate_hz: Fraction, begins: Fraction, count: int, ticks: list[int], aligned: list[int]
) -> None:
    # Spikes of a 30 kHz clock, and spikes that are exactly on edges of milliseconds.
    times = sorted([Fraction(t, 30_000) for t in ticks] + [Fraction(t, 1000) for t in aligned])
    starts = [begins + Fraction(count * at, 1000) for at in range(4)]
    length_s = Fraction(count, 1000)
    bins = round(length_s * rate_hz)
    assume(far_from_ties(length_s * rate_hz))
    assume(floats_agree(length_s, rate_hz))
    assume(bins >= 1)
    tree = {"units": spikes(times, times[:1], start_s=-1.0, stop_s=5.0)}
    found = join([tree], windows(starts), length_s, Joined("units", float(rate_hz), key="spikes"))
    inside = [start >= -1 and start + bins / rate_hz <= 5 for start in starts]
    assert found.keep.tolist() == inside
    at = np.flatnonzero(found.keep)
    got = found.function(at)["spikes"]
    assert got.shape == (len(at), 2, bins)
    for row, i in enumerate(at):
        expected = np.zeros((2, bins))
        for unit, own in enumerate((times, times[:1])):
            for time in own:
                bin_ = (time - starts[i]) * rate_hz // 1
                if 0 <= bin_ < bins:
                    expected[unit, int(bin_)] += 1
        np.testing.assert_array_equal(got[row], expected)


def test_no_spike_is_lost_between_windows() -> None:
    times = [Fraction(k, 1000) for k in range(5000)]
    starts = [Fraction(3 * at, 10) for at in range(16)]
    tree = {"units": spikes(times, start_s=0.0, stop_s=5.0)}
    found = join([tree], windows(starts), Fraction(3, 10), Joined("units", 1000.0))
    counts = found.function(np.arange(16))["joined_units"]
    assert (counts == 1).all()
    assert counts.dtype == np.float32
    with pytest.raises(InvalidInputError, match=r"a rate of bins.*give rate_hz"):
        join([tree], windows(starts), Fraction(3, 10), "units")


EDGES = st.integers(0, 4000).map(lambda k: Fraction(k, 1000))


@settings(max_examples=100, deadline=None)
@given(
    rate_hz=st.sampled_from(list(map(Fraction, ("100", "1000", "30.03", "20")))),
    edges=st.lists(EDGES, min_size=2, max_size=12, unique=True).map(sorted),
    labels=st.lists(st.sampled_from(["go", "stop", "n/a"]), min_size=11, max_size=11),
    begins=STARTS,
    count=st.integers(60, 900),
)
def test_intervals_cover_samples_half_open(
    rate_hz: Fraction, edges: list[Fraction], labels: list[str], begins: Fraction, count: int
) -> None:
    rows = [(a, b, label) for a, b, label in zip(edges, edges[1:], labels, strict=False)]
    stimulus = intervals(*((float(a), float(b - a), label) for a, b, label in rows))
    starts = [begins + Fraction(count * at, 1000) for at in range(4)]
    length_s = Fraction(count, 1000)
    samples = round(length_s * rate_hz)
    assume(far_from_ties(length_s * rate_hz))
    assume(floats_agree(length_s, rate_hz))
    found = join([{"stimulus": stimulus}], windows(starts), length_s, Joined("stimulus", rate_hz))
    assert found.keep.all()
    vocabulary = found.vocabulary["stimulus"]
    assert vocabulary == tuple(sorted({label for *_, label in rows} - {"n/a"}))
    codes = found.function(np.arange(4))["stimulus"]
    assert codes.shape == (4, samples)
    assert codes.dtype == np.int64
    for row, start in zip(codes, starts, strict=True):
        for k, code in enumerate(row):
            time = start + k / rate_hz
            label = next((label for a, b, label in rows if a <= time < b), "n/a")
            assert code == (-1 if label == "n/a" else vocabulary.index(label))


def test_intervals_have_one_vocabulary_and_the_signals_rate() -> None:
    one = intervals((0.0, 1.0, "b"), (0.1 + 0.9, 0.5, "a"), (2.0, np.nan, "event"))
    two = intervals((0.5, np.inf, "c"), (np.nan, 1.0, "lost"))
    picks = windows([Fraction(0), Fraction(0)], [0, 1])
    found = join([{"stim": one}, {"stim": two}], picks, Fraction(2), "stim", rate_hz=10.0)
    assert found.vocabulary == {"stim": ("a", "b", "c", "event", "lost")}
    batch = found.function(np.array([1, 0]))
    assert batch["stim"].tolist() == [[-1] * 5 + [2] * 15, [1] * 10 + [0] * 5 + [-1] * 5]
    assert batch["stim_mask"].tolist() == [True, True]
    given_ = Joined("stim", vocabulary=("lost", "event", "c", "b", "a"))
    batch = join([{"stim": one}, {"stim": two}], picks, Fraction(2), given_).function(np.arange(1))
    assert batch["stim"][0, 0] == 3
    short = Joined("stim", vocabulary=("a", "b"))
    with pytest.raises(InvalidInputError, match="3 values that the vocabulary has not"):
        join([{"stim": one}, {"stim": two}], picks, Fraction(2), short)


def test_intervals_that_disagree_are_settled_or_refused() -> None:
    rows = intervals(
        (0.0, 4.0, "block"), (1.0, 1.0, "trial"), (1.5, 1.0, "probe"), side=[1.0, 1.0, 1.0]
    )
    picks = windows([Fraction(0)])

    def codes(**choice: Any) -> list[int]:
        item = Joined("trials", 2.0, **choice)
        return list(join([{"trials": rows}], picks, Fraction(5), item).function([0])["trials"][0])

    with pytest.raises(InvalidInputError, match=r"block and trial overlap at 1 s.*which="):
        codes()
    assert codes(which="first") == [0] * 8 + [-1] * 2
    assert codes(which="last") == [0, 0, 2, 1, 1, 0, 0, 0, -1, -1]
    assert codes(column="side") == [0] * 8 + [-1] * 2


def test_intervals_come_as_a_list() -> None:
    rows = intervals(
        (3.5, 1.0, "late"),
        (0.0, 1.0, "before"),
        (0.5, 1.0, "into"),
        (1.0, 0.5, "whole"),
        (1.25, np.nan, "event"),
        (2.0, 0.0, "next"),
        (1.75, 9.0, "n/a"),
    )
    picks = windows([Fraction(1), Fraction(2), Fraction(20)])
    item = Joined("log", ragged=True)
    batch = join([{"log": rows}], picks, Fraction(1), item).function(np.array([2, 0, 1]))
    names = ("before", "event", "into", "late", "next", "whole")
    assert batch["log_count"].tolist() == [0, 4, 2]
    assert [names[c] if c >= 0 else "" for c in batch["log"]] == [
        "into", "whole", "event", "", "", "next",
    ]  # fmt: skip
    assert batch["log_start_s"].tolist() == [-0.5, 0.0, 0.25, 0.75, -0.25, 0.0]
    np.testing.assert_array_equal(batch["log_duration_s"], [1.0, 0.5, np.nan, 9.0, 9.0, 0.0])


def test_recordings_without_the_node_are_refused_or_masked() -> None:
    trees = [
        {"eeg": behaviour(100, 10.0)},
        {
            "ramp": ramp(100, Fraction(10)),
            "units": spikes([Fraction(1)], stop_s=9.0, start_s=0.0),
            "stim": intervals((0.0, 9.0, "on")),
        },
    ]
    picks = windows([Fraction(1), Fraction(1)], [0, 1])
    with pytest.raises(InvalidInputError, match=r"no node 'ramp' in lab/a.*required=False"):
        join(trees, picks, Fraction(1), "ramp")
    with pytest.raises(InvalidInputError, match="no node 'rampe' in lab/a, lab/b"):
        join(trees, picks, Fraction(1), Joined("rampe", required=False))
    items = [
        Joined("ramp", required=False),
        Joined("units", 2.0, required=False),
        Joined("stim", 2.0, required=False),
    ]
    found = join(trees, picks, Fraction(1), *items)
    batch = found.function(np.arange(2))
    assert found.keep.all()
    assert batch["ramp"][:, 0].tolist() == [[0] * 10, list(range(10, 20))]
    assert batch["ramp_mask"].tolist() == [[False] * 2, [True] * 2]
    assert batch["joined_units"].tolist() == [[[0, 0]], [[1, 0]]]
    assert batch["joined_units_mask"].tolist() == [[False], [True]]
    assert batch["stim"].tolist() == [[-1, -1], [0, 0]]
    assert batch["stim_mask"].tolist() == [False, True]
    assert found.facts["ramp"].channels == (("", ""), ("r0", "r1"))


def test_several_nodes_count_each_window_once_and_pickle() -> None:
    tree = {
        "ramp": ramp(50, Fraction(10)),
        "units": spikes([Fraction(1)], start_s=0.0, stop_s=4.0),
    }
    starts = [Fraction(at) for at in range(6)]
    items = ["ramp", Joined("units", 10.0, key="spikes")]
    found = join([tree], windows(starts), Fraction(1), *items, layout="btc")
    assert np.flatnonzero(found.keep).tolist() == [0, 1, 2, 3]
    assert found.left_out == {f"ramp: {BORDER}": 1, f"spikes: {BORDER}": 1}
    batch = pickle.loads(pickle.dumps(found.function))(np.arange(4))
    assert batch["ramp"].shape == (4, 10, 2)
    assert batch["spikes"].shape == (4, 10, 1)
    assert sorted(batch) == ["ramp", "ramp_mask", "spikes", "spikes_mask"]


def test_a_feed_loses_what_is_not_covered() -> None:
    starts = [Fraction(at) for at in (7, 1, 2)]
    items = ["ramp", Joined("ramp", key="more", required=False)]
    found = join([{"ramp": ramp(50, Fraction(10))}], windows(starts), Fraction(1), *items)
    before = Feed(windows(starts), None, Counter(short=1), (lambda at: {"target": at * 10},))
    feed = with_joined(before, found)
    assert feed.picks["start_s"].tolist() == [1.0, 2.0]
    batch = feed.others(np.array([1, 0]))
    assert batch["target"].tolist() == [20, 10]
    assert batch["ramp"][:, 0, 0].tolist() == [20, 10]
    assert feed.left_out == {"short": 1, f"ramp: {BORDER}": 1}
    ((stream, picks),) = feed.reads
    assert stream.keys[0] == (0, "ramp", "signal")
    low, high = stream.bounds(0, picks)
    assert low.tolist() == [[10, 0], [20, 0]]
    assert high.tolist() == [[20, 2], [30, 2]]


def test_mixed_rates_need_a_rate_and_names_must_differ() -> None:
    trees = [{"ramp": ramp(100, Fraction(10))}, {"ramp": ramp(100, Fraction(20))}]
    picks = windows([Fraction(2), Fraction(2)], [0, 1])
    with pytest.raises(InvalidInputError, match=r"Joined\('ramp'\).*mixed rates.*rate_hz=10"):
        join(trees, picks, Fraction(1), "ramp")
    found = join(trees, picks, Fraction(1), Joined("ramp", 10.0))
    assert found.function(np.arange(2))["ramp"].shape == (2, 2, 10)
    for items, text in (
        (["ramp", "ramp"], "two arrays 'ramp'"),
        ([Joined("ramp", key="signal")], "two arrays 'signal'"),
        (["ramp", Joined("ramp", key="ramp_mask")], "two arrays 'ramp_mask'"),
    ):
        with pytest.raises(InvalidInputError, match=text):
            join(trees[:1], picks[:1], Fraction(1), *items)
    with pytest.raises(InvalidInputError, match="a finite number over 0"):
        Joined("ramp", rate_hz=0.0)
    with pytest.raises(InvalidInputError, match="None, first or last"):
        Joined("ramp", which="any")  # type: ignore[arg-type]
