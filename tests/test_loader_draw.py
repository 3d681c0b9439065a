from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from neurodata.errors import InvalidInputError
from neurodata.loader import Attribute, Label, Patches, Trials, Windows, load
from neurodata.loader.classes import classes_of
from neurodata.loader.draw import (
    Balanced,
    Random,
    draw_balanced,
    random_patches,
    random_windows,
    stream,
    valid_starts,
)
from neurodata.loader.plan import (
    WINDOW,
    Box,
    Ratio,
    Span,
    plan_patches,
    plan_windows,
    usable,
)
from neurodata.loader.recordings import Recordings
from neurodata.loader.shuffle import shuffle_quality
from tests.synthetic_loader import MemoryStore, eeg, intervals, recording, split_of

SEEDS = st.integers(0, 2**64 - 1)


def corners(picks: Any) -> list[tuple[int, ...]]:
    return [(int(p["recording"]), int(p["time"]), *map(int, p["corner_zyx"])) for p in picks]


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    weights=st.lists(st.integers(0, 9), min_size=6, max_size=6),
    count=st.integers(0, 80),
    seed=SEEDS,
    epoch=st.integers(0, 30),
    weighted=st.booleans(),
)
def test_every_class_has_its_share_to_the_nearest_whole_sample(
    sizes: list[int], weights: list[int], count: int, seed: int, epoch: int, weighted: bool
) -> None:
    names = [f"class{at}" for at in range(len(sizes))]
    keys = np.random.default_rng(0).permutation(np.repeat(names, sizes))
    given_weights = dict(zip(names, [1, *weights], strict=False)) if weighted else None
    drawn = draw_balanced(keys, given_weights, count, seed, epoch)
    assert len(drawn) == count
    total = sum(given_weights.values()) if given_weights else len(names)
    remainders = {}
    for name, size in zip(names, sizes, strict=True):
        exact = Fraction(count * (given_weights[name] if given_weights else 1), total)
        own = drawn[keys[drawn] == name]
        assert abs(len(own) - exact) < 1
        remainders[name] = (exact - int(exact), len(own) > int(exact))
        times = Counter(own.tolist())
        every = [times[at] for at in np.flatnonzero(keys == name).tolist()]
        assert len(every) == size
        assert max(every) - min(every) <= 1, "none twice before all once"
    up = [rest for rest, more in remainders.values() if more]
    down = [rest for rest, more in remainders.values() if not more]
    assert not up or not down or min(up) >= max(down), "the largest remainders are rounded up"
    np.testing.assert_array_equal(drawn, draw_balanced(keys, given_weights, count, seed, epoch))


def test_shares_of_tenths_are_exact() -> None:
    keys = np.repeat(["a", "b", "c"], [100, 10, 3])
    drawn = draw_balanced(keys, {"a": 0.1, "b": 0.2, "c": 0.7}, 1000, seed=1, epoch=2)
    assert Counter(keys[drawn].tolist()) == {"a": 100, "b": 200, "c": 700}


def test_a_large_class_comes_once_before_any_of_it_comes_again_over_epochs() -> None:
    keys = np.repeat(["rare", "common"], [5, 100])
    epochs = [draw_balanced(keys, None, 40, seed=3, epoch=epoch) for epoch in range(10)]
    common = [drawn[drawn >= 5] for drawn in epochs]
    assert all(len(own) == 20 for own in common)
    assert sorted(np.concatenate(common[:5])) == list(range(5, 105))
    assert sorted(np.concatenate(common[5:])) == list(range(5, 105))
    assert set(common[0]) != set(common[5])


def test_an_odd_sample_goes_to_other_classes_in_other_epochs() -> None:
    keys = np.repeat(["a", "b", "c"], 50)
    extra = []
    for epoch in range(300):
        counts = Counter(keys[draw_balanced(keys, None, 10, seed=5, epoch=epoch)].tolist())
        extra += [name for name, n in counts.items() if n == 4]
    assert len(extra) == 300
    assert chisquare(list(Counter(extra).values())).pvalue > 0.01


def test_samples_of_a_class_are_drawn_evenly() -> None:
    keys = np.repeat(["a", "b"], [30, 30])
    times = np.zeros(60)
    for seed in range(400):
        np.add.at(times, draw_balanced(keys, None, 20, seed=seed, epoch=7), 1)
    assert times.sum() == 400 * 20
    assert chisquare(times).pvalue > 0.01


def test_keys_may_be_numbers_flags_or_objects() -> None:
    for keys, name in (
        (np.array([0, 0, 1]), "1"),
        (np.array([False, False, True]), "True"),
        (np.array(["no", "no", "yes"], object), "yes"),
    ):
        other = str(keys[0])
        drawn = draw_balanced(keys, {other: 0, name: 1}, 4, seed=0, epoch=0)
        assert drawn.tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda: Balanced(""), "''"),
        (lambda: Balanced("subject", {"a": -1.0}), "-1.0"),
        (lambda: Balanced("subject", {"a": float("nan")}), "nan"),
        (lambda: Balanced("subject", {"a": 0.0, "b": 0.0}), "0.0"),
        (lambda: Balanced("subject", {}), "{}"),
        (lambda: Balanced("subject", samples=0), "0"),
        (lambda: Random(samples=-3), "-3"),
        (lambda: draw_balanced(np.array([], "U1"), None, 3, 0, 0), "no sample"),
        (lambda: draw_balanced(np.array(["a", "b"]), {"a": 1.0}, 3, 0, 0), "not in both: b"),
        (lambda: draw_balanced(np.array(["a"]), {"a": 1, "typo": 1}, 3, 0, 0), "typo"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make: Any, found: str) -> None:
    with pytest.raises(InvalidInputError, match=found):
        make()


def test_weights_in_any_order_are_one_description() -> None:
    one, other = Balanced("label", {"b": 1, "a": 2}), Balanced("label", {"a": 2.0, "b": 1.0})
    assert repr(one) == repr(other)
    assert one == other
    assert hash(one) == hash(other)


@settings(max_examples=150, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 60), min_size=1, max_size=4),
    bad=st.lists(st.integers(0, 59), max_size=6),
    more=st.lists(st.integers(0, 59), max_size=3),
    count=st.integers(1, 12),
    beyond=st.integers(0, 4),
    ratio=st.sampled_from([Ratio(), Ratio(1, 2), Ratio(2, 1)]),
    seed=SEEDS,
)
def test_random_windows_are_valid_windows_and_any_valid_one_may_come(
    lengths: list[int],
    bad: list[int],
    more: list[int],
    count: int,
    beyond: int,
    ratio: Ratio,
    seed: int,
) -> None:
    spans = [
        Span(
            recording=10 + at,
            start_s=100.0 * at,
            rate_hz=5.0,
            count=length,
            bad={"gap": np.isin(np.arange(length), bad), "nan": np.isin(np.arange(length), more)}
            if at % 2 == 0
            else {},
            ratio=ratio,
        )
        for at, length in enumerate(lengths)
    ]
    every, _ = plan_windows(spans, count, 1, beyond)  # the grid of stride 1: the oracle
    runs = valid_starts(spans, count + beyond)
    listed = [
        (int(run["span"]), int(run["first"]) + step)
        for run in runs
        for step in range(run["length"])
    ]
    assert listed == list(zip(every["span"].tolist(), every["first"].tolist(), strict=True))
    if not len(every):
        with pytest.raises(InvalidInputError, match="no place that fits"):
            random_windows(spans, count, 5, seed, 0, beyond)
        return
    picks = random_windows(spans, count, 50, seed, 3, beyond)
    assert picks.dtype == WINDOW
    assert set(map(tuple, picks.tolist())) <= set(map(tuple, every.tolist()))
    keep, left_out = usable(spans, picks, count + beyond)
    assert keep.all()
    assert not left_out
    np.testing.assert_array_equal(picks, random_windows(spans, count, 50, seed, 3, beyond))
    np.testing.assert_array_equal(
        picks, random_windows(spans, count, 50, seed, 3, beyond, runs=runs)
    )


def test_starts_are_uniform_over_all_valid_starts() -> None:
    bad = np.isin(np.arange(60), [20, 21, 45])
    spans = [Span(0, 0.0, 1.0, 60, bad={"gap": bad}), Span(1, 0.0, 1.0, 7), Span(2, 0.0, 1.0, 33)]
    every, _ = plan_windows(spans, 5, 1)
    number = {key: at for at, key in enumerate(zip(every["span"], every["first"], strict=True))}
    picks = random_windows(spans, 5, 40_000, seed=11, epoch=1)
    at = [number[key] for key in zip(picks["span"], picks["first"], strict=True)]
    counts = np.bincount(at, minlength=len(every))
    assert chisquare(counts).pvalue > 0.01
    again = random_windows(spans, 5, 40_000, seed=11, epoch=2)
    assert not np.array_equal(picks["first"], again["first"])


def test_starts_in_a_very_long_recording_have_no_modulo_bias() -> None:
    """2**63 / 3 starts: ``bits % n`` would draw the lower part twice as often."""
    span = Span(0, 0.0, 1.0, 3 * 2**61)
    first = random_windows([span], 1, 20_000, seed=2, epoch=0)["first"]
    assert kstest(first / span.count, "uniform").pvalue > 0.01


def test_windows_that_may_not_stay_are_replaced() -> None:
    span = Span(0, 0.0, 1.0, 1000)
    picks = random_windows(
        [span], 10, 5000, seed=0, epoch=0, accept=lambda found: found["first"] % 100 == 3
    )
    values = Counter(picks["first"].tolist())
    assert sorted(values) == [100 * at + 3 for at in range(10)]
    assert sum(values.values()) == 5000
    assert chisquare(list(values.values())).pvalue > 0.01
    with pytest.raises(InvalidInputError, match="0 samples that may stay"):
        random_windows(
            [span], 10, 2, seed=0, epoch=0, accept=lambda found: np.zeros(len(found), bool)
        )


@settings(max_examples=60, deadline=None)
@given(
    low=st.tuples(*[st.integers(0, 3)] * 3),
    size=st.tuples(*[st.integers(1, 5)] * 3),
    shape=st.tuples(*[st.integers(1, 4)] * 3),
    seed=SEEDS,
)
def test_random_patches_are_patches_of_the_grid_of_stride_one(
    low: tuple[int, int, int],
    size: tuple[int, int, int],
    shape: tuple[int, int, int],
    seed: int,
) -> None:
    edges: Any = tuple((a, a + n) for a, n in zip(low, size, strict=True))
    boxes = [Box(0, edges, 1, 3, np.array([0.0, 0.5, 1.0])), Box(4, ((0, 4), (0, 4), (0, 4)))]
    every = plan_patches(boxes, Patches(shape, (1, 1, 1)))
    picks = random_patches(boxes, shape, 60, seed, 0)
    assert set(corners(picks)) <= set(corners(every))
    assert (picks["shape_zyx"] == shape).all()
    moving = picks["recording"] == 0
    np.testing.assert_array_equal(picks["start_s"][moving], picks["time"][moving] * 0.5)
    assert np.isnan(picks["start_s"][~moving]).all()
    assert picks.tobytes() == random_patches(boxes, shape, 60, seed, 0).tobytes()


def test_corners_are_uniform_over_all_valid_corners() -> None:
    boxes = [Box(0, ((0, 4), (1, 7), (2, 9)), 0, 2), Box(1, ((0, 2), (0, 3), (0, 2)))]
    every = plan_patches(boxes, Patches((2, 3, 2), (1, 1, 1)))

    number = {key: at for at, key in enumerate(corners(every))}
    picks = random_patches(boxes, (2, 3, 2), 30_000, seed=1, epoch=0)
    counts = np.bincount([number[key] for key in corners(picks)], minlength=len(every))
    assert chisquare(counts).pvalue > 0.01


def test_streams_of_one_seed_and_epoch_are_independent() -> None:
    drawn = [stream(1, 2, purpose, part).random(1000) for purpose in range(6) for part in (0, 1)]
    close = np.abs(np.corrcoef(drawn) - np.eye(len(drawn)))
    assert close.max() < 0.15


def test_quality_of_an_order_is_told_beside_that_of_an_iid_one() -> None:
    spans = [Span(at, 0.0, 1.0, 500) for at in range(8)]
    picks, _ = plan_windows(spans, 5, 5)
    labels = np.repeat(["x", "y"], len(picks) // 2)
    stored = shuffle_quality(np.arange(len(picks)), picks, labels, batch_size=50)
    assert stored["rank_correlation"] == pytest.approx(1.0)
    assert stored["commonest_recording"] == 1.0
    assert stored["class_imbalance"] == 0.5
    mixed = shuffle_quality(stream(4, 0, 0).permutation(len(picks)), picks, labels, batch_size=50)
    assert abs(mixed["rank_correlation"]) < 0.1
    for name in ("commonest_recording", "class_imbalance"):
        assert mixed[name] == pytest.approx(mixed[f"{name}_iid"], abs=0.03)
        assert stored[f"{name}_iid"] == mixed[f"{name}_iid"] or abs(mixed[name]) < 1
    drawn = random_windows(spans, 5, 800, seed=0, epoch=0)
    found = shuffle_quality(np.arange(800), drawn, batch_size=50)
    assert abs(found["rank_correlation"]) < 0.1, "places in the store count, not rows of picks"


def synthetic() -> tuple[MemoryStore, Any, Recordings]:
    rest = intervals((0.0, 4.0, "eyes open"), (4.0, 6.0, "eyes closed"), kind=["a", "n/a"])
    store = MemoryStore(
        one=recording({"eeg": eeg(), "events": rest}, subject="s1", session=1),
        two=recording({"eeg": eeg(500), "events": rest}, subject="s2", session=2),
    )
    split = split_of(("one", "train", {}), ("two", "train", {}))
    return store, split, Recordings(store, split.assignments_of("train"))


def test_a_class_is_the_recording_a_fact_the_target_or_a_column_of_intervals() -> None:
    store, split, recordings = synthetic()
    loader = load(store, splits=split, sample=Windows(1.0), target=Attribute("session"))
    picks = loader._feed.picks
    sessions = np.repeat([1, 2], [10, 5])

    def found(by: str, **kwargs: Any) -> tuple[list[str], int, dict[str, int]]:
        keys, keep, without = classes_of(
            by,
            recordings,
            picks,
            target=lambda at: {"target": sessions[at]},
            length_s=1.0,
            rate_hz=100.0,
            **kwargs,
        )
        return keys[keep].tolist(), int((~keep).sum()), dict(without)

    assert found("recording") == (["lab/one"] * 10 + ["lab/two"] * 5, 0, {})
    assert found("subject") == (["s1"] * 10 + ["s2"] * 5, 0, {})
    assert found("target") == (["1"] * 10 + ["2"] * 5, 0, {})
    opened, closed = "eyes open", "eyes closed"
    expected = [opened] * 4 + [closed] * 6 + [opened] * 4 + [closed]
    assert found("label") == (expected, 0, {})
    assert found("kind") == (["a"] * 8, 7, {"no target": 7})
    with pytest.raises(InvalidInputError, match="typo"):
        found("typo")
    with pytest.raises(InvalidInputError, match="time axis"):
        classes_of("label", recordings, picks)
    with pytest.raises(InvalidInputError, match="a loader that has one"):
        classes_of("target", recordings, picks)


def test_a_trial_has_the_class_of_its_own_row() -> None:
    store, split, recordings = synthetic()
    loader = load(store, splits=split, sample=Trials(tmax_s=0.5), target=Label())
    keys, keep, _ = classes_of("label", recordings, loader._feed.picks, intervals="events")
    assert keys.tolist() == ["eyes open", "eyes closed"] * (len(keys) // 2)
    assert keep.all()
