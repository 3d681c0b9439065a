from __future__ import annotations

import pickle
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodata.errors import InvalidInputError
from neurodata.loader import Loader, Windows, load
from neurodata.loader.mixture import Mixture, Shares
from tests.synthetic_loader import MemoryStore, eeg, recording, split_of


def make(
    name: str, n: int, width: int = 2, side: str = "train", batch_size: int = 4, **kwargs: Any
) -> Loader:
    """A loader of ``n / 10`` windows of synthetic data, in batches of 4."""
    data = eeg(n, width, seed=len(name))
    store = MemoryStore(**{name: recording({"eeg": data})})
    split = split_of((name, side, {}))
    kwargs = {"sample": Windows(0.1), "seed": 7} | kwargs
    return load(store, splits=split, split=side, batch_size=batch_size, **kwargs)


def mixture(weights: Any = None, batches: int | None = None, seed: int = 0) -> Mixture:
    loaders = {"long": make("long", 1030), "short": make("short", 410, 5), "tiny": make("t", 90)}
    return Mixture(loaders, weights, seed, batches)


def keys(batches: Any) -> list[tuple[int, tuple[float, ...]]]:
    return [(batch["dataset"], tuple(batch["start_s"].tolist())) for batch in batches]


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(
        st.one_of(st.integers(1, 20).map(float), st.floats(0.001, 1000.0)),
        min_size=1,
        max_size=7,
    ),
    seed=st.integers(0, 2**64 - 1),
)
def test_after_any_number_of_batches_every_share_is_kept_to_within_one(
    weights: list[float], seed: int
) -> None:
    shares = Shares(weights, seed)
    total = sum(map(Fraction, weights))
    counts = [0] * len(weights)
    for step in range(1, 201):
        counts[shares.next()] += 1
        for count, weight in zip(counts, weights, strict=True):
            assert abs(count - step * Fraction(weight) / total) < 1
    again = Shares(weights, seed)
    again.restart(counts)
    assert [again.next() for _ in range(30)] == [shares.next() for _ in range(30)]


def test_the_seed_decides_between_equals() -> None:
    orders = set()
    for seed in range(20):
        shares = Shares([1, 1, 1], seed)
        drawn = [shares.next() for _ in range(9)]
        assert all(sorted(drawn[at : at + 3]) == [0, 1, 2] for at in (0, 3, 6))
        orders.add(tuple(drawn))
    assert len(orders) > 15


def test_every_batch_is_of_one_loader_and_says_which() -> None:
    mixed = mixture(batches=30)
    widths = {"long": 2, "short": 5, "tiny": 2}
    for batch in mixed:
        assert batch["signal"].shape[1] == widths[mixed.names[batch["dataset"]]]
    assert mixed.names == ("long", "short", "tiny")
    plain = Mixture([make("long", 100), make("short", 100)])
    assert plain.names == ("0", "1")
    assert {batch["dataset"] for batch in plain} == {0, 1}


def test_an_epoch_ends_when_the_first_loader_has_given_all_at_its_share() -> None:
    lengths = {"long": 26, "short": 11, "tiny": 3}  # batches of 4
    assert {name: len(one) for name, one in zip(lengths, mixture().loaders, strict=True)} == lengths
    equal = mixture()
    assert len(equal) == len(list(equal)) == 9
    assert Counter(dataset for dataset, _ in keys(equal)) == {0: 3, 1: 3, 2: 3}
    weighted = mixture({"long": 8, "short": 4, "tiny": 1})
    assert len(weighted) == 35  # short: 11 / (4 / 13) = 35.75
    assert Counter(dataset for dataset, _ in keys(weighted))[1] <= 11
    assert len(list(mixture(batches=70))) == 70


def test_loaders_give_their_own_epochs_one_after_the_other() -> None:
    mixed = mixture([3, 2, 1], batches=20)
    drawn = [item for _ in range(6) for item in keys(mixed)]
    for dataset, (name, n, width) in enumerate(
        [("long", 1030, 2), ("short", 410, 5), ("t", 90, 2)]
    ):
        alone = make(name, n, width)
        expected = [tuple(b["start_s"].tolist()) for _ in range(20) for b in alone]
        own = [starts for which, starts in drawn if which == dataset]
        assert len(own) == 120 * (3, 2, 1)[dataset] // 6
        assert own == expected[: len(own)]


@settings(max_examples=25, deadline=None)
@given(stop=st.integers(0, 40), weights=st.sampled_from([None, [3, 2, 1], [0.31, 0.57, 0.12]]))
def test_a_resumed_mixture_goes_on_at_the_very_next_batch(stop: int, weights: Any) -> None:
    reference = mixture(weights, batches=13)
    flat = [item for _ in range(6) for item in keys(reference)]
    mixed, seen = mixture(weights, batches=13), 0
    iterator, state = iter(mixed), mixed.state_dict()
    for _ in range(stop):
        batch = next(iterator, None)
        if batch is None:
            iterator = iter(mixed)
            batch = next(iterator)
        assert keys([batch]) == [flat[seen]]
        seen += 1
        state = mixed.state_dict()
    again = mixture(weights, batches=13)
    again.load_state_dict(pickle.loads(pickle.dumps(state)))
    rest = keys(again)
    assert rest == flat[seen : seen + 13 - seen % 13]
    assert keys(again) == flat[seen + len(rest) : seen + len(rest) + 13]
    moved = mixture(weights, batches=13)
    moved.go_to(*divmod(seen, 13))
    assert keys(moved) == rest


def test_an_iteration_left_early_counts_as_an_epoch_and_one_not_begun_does_not() -> None:
    reference = mixture(batches=8)
    epochs = [keys(reference) for _ in range(2)]
    mixed = mixture(batches=8)
    iter(mixed)
    unused = iter(mixed)
    assert keys(mixed) == epochs[0]
    del unused
    mixed = mixture(batches=8)
    next(iter(mixed))
    assert keys(mixed) == epochs[1]


def test_a_state_of_another_mixture_is_refused() -> None:
    state = mixture(batches=8).state_dict()
    for other in (mixture(batches=9), mixture([1, 2, 1], 8), mixture(batches=8, seed=1)):
        with pytest.raises(InvalidInputError, match="the state of another mixture"):
            other.load_state_dict(state)


@pytest.mark.parametrize("parts", [2, 3])
def test_parts_have_every_batch_of_the_one_order_once(parts: int) -> None:
    whole = keys(mixture([3, 2, 1], batches=20))
    drawn = [keys(mixture([3, 2, 1], batches=20).batches(at, parts)) for at in range(parts)]
    for part, own in enumerate(drawn):
        assert own == whole[part::parts]


def test_ranks_have_epochs_of_one_length_of_the_same_data_sets_and_other_windows() -> None:
    ranks = []
    for rank in range(3):
        place = {"rank": rank, "world_size": 3, "batch_size": 2}
        ranks.append(Mixture([make("long", 1030, **place), make("short", 410, **place)], [2, 1]))
    assert len({len(rank) for rank in ranks}) == 1
    drawn = [keys(rank) for rank in ranks]
    assert len({tuple(dataset for dataset, _ in own) for own in drawn}) == 1
    seen = [(which, start) for own in drawn for which, starts in own for start in starts]
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (lambda: {"loaders": []}, "none"),
        (lambda: {"loaders": [make("a", 100)] * 1, "weights": [1, 2]}, "1 finite numbers"),
        (lambda: {"loaders": [make("a", 100)], "weights": [0]}, "over 0"),
        (lambda: {"loaders": [make("a", 100)], "weights": [float("inf")]}, "over 0"),
        (lambda: {"loaders": {"a": make("a", 100)}, "weights": {"b": 1}}, "one for each of a"),
        (lambda: {"loaders": [make("a", 100)], "batches": 0}, "batches"),
        (lambda: {"loaders": [make("a", 100)], "seed": -1}, "seed"),
        (
            lambda: {
                "loaders": [make("a", 100), make("b", 100, rank=1, world_size=2)],
            },
            "one for all",
        ),
        (
            lambda: {"loaders": [make("a", 100, side="test", rank=1, world_size=2)]},
            "different lengths",
        ),
        (lambda: {"loaders": [make("a", 100), make("b", 9000)], "weights": [50, 1]}, ""),
    ],
)
def test_what_has_no_defined_epoch_is_refused(arguments: Any, found: str) -> None:
    kwargs = arguments()
    if not found:
        assert len(Mixture(**kwargs)) == 3  # 3 batches / (50 / 51)
        return
    with pytest.raises(InvalidInputError, match=found):
        Mixture(**kwargs)


def test_one_loader_twice_is_refused() -> None:
    one = make("a", 100)
    with pytest.raises(InvalidInputError, match="twice"):
        Mixture([one, one])


def test_leaving_the_block_closes_the_loaders(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[object] = []
    monkeypatch.setattr(Loader, "close", lambda self: closed.append(self), raising=False)
    with mixture() as mixed:
        next(iter(mixed))
    assert closed == list(mixed.loaders)


def test_leaving_an_iteration_early_ends_those_of_the_loaders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[int] = []
    original = Loader.__iter__

    def watched(self: Loader) -> Any:
        try:
            yield from original(self)
        finally:
            ended.append(id(self))

    monkeypatch.setattr(Loader, "__iter__", watched)
    mixed = mixture(batches=9)
    iterator: Any = iter(mixed)
    used = {next(iterator)["dataset"] for _ in range(3)}
    iterator.close()
    assert len(ended) == len(used) == 3


def test_values_are_those_of_the_loader() -> None:
    mixed, alone = mixture(), make("short", 410, 5)
    first = next(batch for batch in mixed if batch["dataset"] == 1)
    expected = next(iter(alone))
    np.testing.assert_array_equal(first["signal"], expected["signal"])
    assert first["units"] == expected["units"]
