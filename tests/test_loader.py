from __future__ import annotations

import pickle
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from neurodata.errors import InvalidInputError
from neurodata.loader import (
    Node,
    Windows,
    load,
)
from neurodata.loader.arrange import Blocks, arrange
from neurodata.loader.plan import Ratio, Span, plan_windows
from tests.synthetic_loader import (
    VERSION,
    MemoryStore,
    behaviour,
    eeg,
    microvolts,
    one_eeg,
    recording,
    split_of,
    starts,
)


def test_windows_are_slices_of_the_recording_in_microvolts() -> None:
    store, split, data = one_eeg(start_s=2.0)
    loader = load(store, splits=split, split="test", sample=Windows(1.5), batch_size=4)
    (first, second) = list(loader)
    assert first["signal"].shape == (4, 3, 150)
    assert second["signal"].shape == (2, 3, 150)
    assert first["start_s"].tolist() == [2.0, 3.5, 5.0, 6.5]
    assert first["rate_hz"] == 100.0
    assert first["units"] == loader.units == "µV"
    expected = microvolts(data)[150:300].T
    np.testing.assert_allclose(first["signal"][1], expected, rtol=1e-6)
    assert first["mask"].all()
    assert store.asked == [f"lab/a@{VERSION}"], "the frozen version is read"


def test_bct_is_a_view_on_time_major_memory() -> None:
    store, split, _ = one_eeg()
    arguments: dict[str, Any] = {"splits": split, "split": "test", "sample": Windows(1.0)}
    bct = next(iter(load(store, **arguments)))["signal"]
    btc = next(iter(load(store, **arguments, layout="btc")))["signal"]
    assert bct.dtype == btc.dtype == np.float32
    assert bct.base is not None
    assert bct.base.flags.c_contiguous
    assert bct.base.shape == (10, 100, 3)
    assert btc.flags.c_contiguous
    np.testing.assert_array_equal(bct, btc.transpose(0, 2, 1))


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 60), min_size=1, max_size=4),
    count=st.integers(1, 12),
    stride=st.integers(1, 15),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 2**64 - 1),
    epoch=st.integers(0, 5),
    world_size=st.integers(1, 4),
)
def test_an_epoch_has_every_window_of_the_grid_once(
    lengths: list[int],
    count: int,
    stride: int,
    batch_size: int,
    seed: int,
    epoch: int,
    world_size: int,
) -> None:
    spans = [Span(i, 10.0 * i, 5.0, length) for i, length in enumerate(lengths)]
    picks, left_out = plan_windows(spans, count, stride)
    expected = [
        (i, first)
        for i, length in enumerate(lengths)
        for first in range(0, length - count + 1, stride)
    ]
    assert list(zip(picks["recording"].tolist(), picks["first"].tolist(), strict=True)) == expected
    assert not left_out
    every = np.arange(len(picks))
    settings: Any = {"seed": seed, "epoch": epoch}
    whole = arrange(every, None, 0, **settings, shuffle=True)
    assert sorted(whole.samples) == every.tolist()
    blocks = Blocks(every // 3, np.full(len(picks) // 3 + 1, 10))
    parts = range(world_size)
    ranks = [
        arrange(every, blocks, 25, **settings, shuffle=False, rank=r, world_size=world_size)
        for r in parts
    ]
    assert sorted(np.concatenate([rank.samples for rank in ranks])) == every.tolist()
    pooled = [
        arrange(every, blocks, 25, **settings, shuffle=True, rank=r, world_size=world_size)
        for r in parts
    ]
    trained = [rank.samples for rank in pooled]
    for rank in pooled:
        for first, stop in pairwise([0, *rank.stops]):
            assert len(set(rank.samples[first:stop] // 3)) <= 2, "a group has the blocks that fit"
    assert {len(rank) for rank in trained} == {len(picks) // world_size}
    assert len(set(np.concatenate(trained))) == len(picks) // world_size * world_size


@settings(max_examples=25, deadline=None)
@given(
    batch_size=st.integers(1, 9),
    stop=st.integers(0, 23),
    resumed_size=st.integers(1, 9),
    side=st.sampled_from(["train", "test"]),
)
def test_a_resumed_loader_goes_on_at_the_very_next_window(
    batch_size: int, stop: int, resumed_size: int, side: str
) -> None:
    store, split, _ = one_eeg(side, n=230)

    def fresh(size: int) -> Any:
        return load(store, splits=split, split=side, sample=Windows(0.1), batch_size=size, seed=3)

    reference = fresh(23)
    flat = [item for _ in range(10) for item in starts(reference)]
    loader, seen = fresh(batch_size), 0
    iterator, state = iter(loader), loader.state_dict()
    for _ in range(stop):
        try:
            batch = next(iterator)
        except StopIteration:
            iterator = iter(loader)
            batch = next(iterator)
        seen += len(batch["start_s"])
        state = loader.state_dict()
    again = fresh(resumed_size)
    again.load_state_dict(pickle.loads(pickle.dumps(state)))
    assert (starts(again) + starts(again))[:23] == flat[seen : seen + 23]


def test_train_is_shuffled_anew_each_epoch_and_test_is_in_order() -> None:
    data = recording({"eeg": eeg()})
    store = MemoryStore(a=data, b=data)
    split = split_of(("a", "train", {}), ("b", "test", {}))
    train = load(store, splits=split, sample=Windows(0.5), batch_size=6, seed=1)
    again = load(store, splits=split, sample=Windows(0.5), batch_size=4, seed=1)
    other = load(store, splits=split, sample=Windows(0.5), batch_size=6, seed=2)
    test = load(store, splits=split, split="test", sample=Windows(0.5), batch_size=6)
    grid = [(0, i / 2) for i in range(20)]
    first, second = starts(train), starts(train)
    assert sorted(first) == sorted(second) == starts(test) == starts(test) == grid
    assert first != second
    assert first != grid
    assert starts(again) == first
    assert starts(other) != first
    assert (train.windows, len(train), len(list(train))) == (20, 4, 4)


def test_an_iteration_left_early_counts_as_an_epoch() -> None:
    store, split, _ = one_eeg("train")
    loader = load(store, splits=split, sample=Windows(0.5), batch_size=20)
    reference = load(store, splits=split, sample=Windows(0.5), batch_size=20)
    epochs = [starts(reference) for _ in range(2)]
    next(iter(loader))
    assert starts(loader) == epochs[1]


def test_a_state_of_other_samples_is_refused() -> None:
    store, split, _ = one_eeg()
    state = load(store, splits=split, split="test", sample=Windows(0.5)).state_dict()
    other = load(store, splits=split, split="test", sample=Windows(1.0))
    with pytest.raises(InvalidInputError, match="another loader"):
        other.load_state_dict(state)


@settings(max_examples=40, deadline=None)
@given(
    cut_s=st.floats(0.5, 9.0),
    gap_s=st.floats(0.01, 1.0),
    length_s=st.floats(0.02, 0.8),
    stride_s=st.floats(0.02, 0.8),
    rate_hz=st.sampled_from([100.0, 30.03, 256.0 / 3]),
)
def test_no_window_crosses_its_interval(
    cut_s: float, gap_s: float, length_s: float, stride_s: float, rate_hz: float
) -> None:
    store, _, _ = one_eeg(n=1200, rate_hz=rate_hz, start_s=-1.0)
    test = {"start_s": cut_s + gap_s, "stop_s": cut_s + gap_s + 1.0}
    split = split_of(
        ("a", "train", {"start_s": 0.0, "stop_s": cut_s}), ("a", "test", test), by="time"
    )
    for side, low, high in (("train", 0.0, cut_s), ("test", test["start_s"], test["stop_s"])):
        if high - low < length_s + 2 / rate_hz:
            continue
        loader = load(store, splits=split, split=side, sample=Windows(length_s, stride_s))
        for batch in loader:
            last = batch["start_s"] + (batch["signal"].shape[2] - 1) / rate_hz
            assert (batch["start_s"] >= low - 1e-6 / rate_hz).all()
            assert (last < high).all()


def test_mixed_rates_are_refused_by_name_and_resampled_when_asked() -> None:
    store = MemoryStore(a=recording({"eeg": eeg()}), b=recording({"eeg": eeg(2500, 3, 250.0)}))
    split = split_of(("a", "test", {}), ("b", "test", {}))
    arguments: dict[str, Any] = {"splits": split, "split": "test", "sample": Windows(1.0)}
    with pytest.raises(InvalidInputError) as caught:
        load(store, **arguments)
    assert "100 Hz in lab/a" in str(caught.value)
    assert "250 Hz in lab/b" in str(caught.value)
    assert "resample_hz" in caught.value.hint
    loader = load(store, **arguments, resample_hz=100.0)
    assert {batch["rate_hz"] for batch in loader} == {100.0}
    with pytest.raises(InvalidInputError, match="ratio of whole numbers"):
        load(store, **arguments, resample_hz=np.pi * 10)


@settings(max_examples=30, deadline=None)
@given(
    wanted=st.sampled_from([10.0, 20.0, 40.0, 75.0, 100.0, 150.0, 230.0]),
    length_s=st.sampled_from([0.2, 0.5, 1.0]),
    stride_s=st.sampled_from([0.1, 0.3, 0.7]),
)
def test_a_resampled_window_is_a_piece_of_the_whole_resampled_at_once(
    wanted: float, length_s: float, stride_s: float
) -> None:
    store, split, data = one_eeg(n=700)
    ratio = Fraction(wanted / 100).limit_denominator(1000)
    loader = load(
        store,
        splits=split,
        split="test",
        sample=Windows(length_s, stride_s),
        resample_hz=wanted,
    )
    whole = resample_poly(microvolts(data), ratio.numerator, ratio.denominator, axis=0)
    for batch in loader:
        assert batch["rate_hz"] == wanted
        for signal, start_s in zip(batch["signal"], batch["start_s"], strict=True):
            first = round(start_s * wanted)
            expected = whole[first : first + signal.shape[1]].T
            np.testing.assert_allclose(signal, expected, atol=1e-3)


def test_resampling_never_reads_beyond_the_interval() -> None:
    store, _, data = one_eeg()
    split = split_of(
        ("a", "train", {"start_s": 0.0, "stop_s": 5.0}),
        ("a", "test", {"start_s": 5.1, "stop_s": 10.0}),
        by="time",
    )

    def signals() -> list[np.ndarray]:
        loader = load(store, splits=split, split="test", sample=Windows(0.5, 0.1), resample_hz=50.0)
        return [batch["signal"].copy() for batch in loader]

    before = signals()
    data["signal_adc"].values[:510] = 30000
    for one, other in zip(before, signals(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_channels_are_padded_and_masked() -> None:
    store = MemoryStore(a=recording({"eeg": eeg(width=2)}), b=recording({"eeg": eeg(width=4)}))
    split = split_of(("a", "test", {}), ("b", "test", {}))
    loader = load(store, splits=split, split="test", sample=Windows(5.0))
    (batch,) = list(loader)
    assert loader.ids == ("lab/a", "lab/b")
    assert batch["recording"].tolist() == [0, 0, 1, 1]
    assert batch["mask"].tolist() == [[True, True, False, False]] * 2 + [[True] * 4] * 2
    assert (batch["signal"][:2, 2:] == 0).all()


def test_a_name_is_in_one_column_and_every_batch_has_the_same_width() -> None:
    other = eeg(width=4, seed=1)
    other = other.isel(channel=[3, 1, 0])
    store = MemoryStore(a=recording({"eeg": eeg(width=2)}), b=recording({"eeg": other}))
    split = split_of(("a", "test", {}), ("b", "test", {}))
    loader = load(store, splits=split, split="test", sample=Windows(5.0), batch_size=2)
    assert loader.channels == (("C0", "C1", ""), ("C0", "C1", "C3"))
    assert loader.channel_units == (("µV", "µV", ""), ("µV",) * 3)
    assert loader.units == "µV"
    first, second = loader
    assert first["mask"].tolist() == [[True, True, False]] * 2
    assert first["signal"].shape == second["signal"].shape == (2, 3, 500)
    expected = microvolts(other.isel(channel=[2, 1, 0]))[:500].T
    np.testing.assert_allclose(second["signal"][0], expected, rtol=1e-6)
    scaled = load(store, splits=split, split="test", sample=Windows(5.0), target=Node("eeg"))
    (batch,) = scaled
    np.testing.assert_array_equal(batch["signal"], batch["target"])


def test_several_nodes_and_none_named_lists_them() -> None:
    tree = recording({"eeg": eeg(), "behaviour": behaviour(1000, 100.0)})
    store, split = MemoryStore(a=tree), split_of(("a", "test", {}))
    with pytest.raises(InvalidInputError, match="behaviour, eeg"):
        load(store, splits=split, split="test", sample=Windows(1.0))
    loader = load(store, splits=split, split="test", sample=Windows(1.0, node="behaviour"))
    assert loader.units == "1"
    with pytest.raises(InvalidInputError, match="'emg' in lab/a"):
        load(store, splits=split, split="test", sample=Windows(1.0, node="emg"))


def test_windows_that_are_not_finite_are_left_out_and_counted() -> None:
    data = behaviour(1000, 100.0)
    data["signal"].values[[250, 999]] = [[np.nan], [np.inf]]
    store, split = MemoryStore(a=recording({"b": data})), split_of(("a", "test", {}))
    loader = load(store, splits=split, split="test", sample=Windows(1.0))
    assert [s for _, s in starts(loader)] == [0.0, 1.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    assert loader.left_out == {"samples not finite or not observed": 2}
    with pytest.raises(InvalidInputError, match="no sample that fits"):
        load(store, splits=split, split="test", sample=Windows(9.99))


def test_unobserved_channels_are_masked() -> None:
    data = eeg(width=2)
    observed = np.ones((1000, 2), bool)
    observed[150, 1] = False
    observed[250] = False
    data["observed"] = (("time", "channel"), observed)
    store, split = MemoryStore(a=recording({"eeg": data})), split_of(("a", "test", {}))
    loader = load(store, splits=split, split="test", sample=Windows(1.0))
    (batch,) = list(loader)
    assert loader.left_out == {"samples not finite or not observed": 1}
    assert batch["start_s"].tolist()[:3] == [0.0, 1.0, 3.0]
    assert batch["mask"][1].tolist() == [True, False]
    assert (batch["signal"][1, 1] == 0).all()
    assert batch["mask"][[0, 2]].all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"layout": "tcb"},
        {"batch_size": 0},
        {"seed": -1},
        {"resample_hz": 0.0},
        {"rank": 2, "world_size": 2},
        {"scale": "robust"},
        {"sample": Windows(0.001)},
        {"sample": Windows(100.0)},
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, Any]) -> None:
    store, split, _ = one_eeg("train")
    with pytest.raises(InvalidInputError):
        load(store, **{"splits": split, "sample": Windows(1.0), **wrong})


@pytest.mark.parametrize("length_s", [0.0, -1.0, np.nan, np.inf])
def test_lengths_are_finite_and_over_zero(length_s: float) -> None:
    with pytest.raises(InvalidInputError):
        Windows(length_s)


def test_transform_gets_the_whole_batch_last() -> None:
    store, split, _ = one_eeg()
    loader = load(
        store,
        splits=split,
        split="test",
        sample=Windows(1.0),
        transform=lambda batch: {"keys": sorted(batch)},
    )
    assert next(iter(loader))["keys"] == [
        "channel", "mask", "rate_hz", "recording", "signal", "start_s", "subject", "units",
    ]  # fmt: skip


def test_small_memory_gives_the_same_batches_and_keeps_nothing() -> None:
    data = eeg().chunk({"time": 64})
    store, split = MemoryStore(a=recording({"eeg": data})), split_of(("a", "test", {}))
    arguments: dict[str, Any] = {"splits": split, "split": "test", "sample": Windows(0.7)}
    kept, sliced = (load(store, **arguments, memory_mb=mb) for mb in (10, 0))
    for one, other in zip(kept, sliced, strict=True):
        np.testing.assert_array_equal(one["signal"], other["signal"])


def test_a_loader_pickles_without_open_recordings() -> None:
    store, split, _ = one_eeg("train")
    loader = load(store, splits=split, sample=Windows(1.0), batch_size=3, seed=5)
    list(loader)
    copy = pickle.loads(pickle.dumps(loader))
    assert starts(copy) == starts(loader)


def test_loading_imports_no_torch() -> None:
    code = (
        "import sys, neurodata.loader.loader, neurodata.loader.timed; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_ratio_reaches_as_far_as_scipys_filter() -> None:
    assert Ratio(2, 5).source(50, 1) == ((250 - 50) // 2, (250 + 50) // 2 + 1)
    assert Ratio().source(7, 3) == (7, 10)
