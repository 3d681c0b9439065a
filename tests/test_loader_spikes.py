from __future__ import annotations

import math
import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodata.errors import InvalidInputError, StoreError
from neurodata.loader import load
from neurodata.loader.feed import Request
from neurodata.loader.fetch import fetched
from neurodata.loader.plan import BORDER, WINDOW, Span, plan_windows
from neurodata.loader.samples import SpikeBins
from neurodata.loader.spike_counts import SpikeCounts
from neurodata.loader.spikes import SpikeFetcher, observed_s, plan_onsets, spike_feed
from neurodata.loader.target import NextWindow
from tests.synthetic_loader import MemoryStore, recording, split_of
from tests.synthetic_recordings import HeldRecordings, held_node, held_spikes


def plain_counts(trains: list[np.ndarray], span: Span, first: int, count: int) -> np.ndarray:
    """The definition: half-open bins between edges at ``start_s + k / rate_hz`` in float64."""
    edges = span.start_s + np.arange(first, first + count + 1) / span.rate_hz
    return np.stack([np.diff(np.searchsorted(train, edges)) for train in trains], 1)


def counts_of(trains: list[np.ndarray], *spans: Span, **options: Any) -> SpikeCounts:
    held: Any = HeldRecordings({"units": held_spikes(trains)})
    return SpikeCounts(held, "units", [len(trains)], spans, **options)


def picks_of(*places: tuple[int, int, int]) -> np.ndarray:
    picks = np.zeros(len(places), WINDOW)
    for at, (number, span, first) in enumerate(places):
        picks[at]["recording"], picks[at]["span"], picks[at]["first"] = number, span, first
    return picks


@settings(max_examples=150, deadline=None)
@given(
    start_s=st.floats(-1e5, 1e9),
    bin_s=st.sampled_from([1e-4, 0.001, 0.01, 1 / 3, 0.02, 0.1, 0.7, math.pi]),
    seed=st.integers(0, 2**32 - 1),
)
def test_spikes_on_and_next_to_edges_are_counted_as_defined(
    start_s: float, bin_s: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    span = Span(0, start_s, 1 / bin_s, 60)
    edges = start_s + np.arange(61) / span.rate_hz
    near = np.concatenate([
        edges,
        np.nextafter(edges, -np.inf),
        np.nextafter(edges, np.inf),
        edges - 1e-12,
        edges + 1e-12,
        start_s + rng.uniform(-2, 62, 200) * bin_s,
    ])  # fmt: skip
    trains = [np.sort(rng.choice(near, size)) for size in (300, 0, 40)]
    counts = counts_of(trains, span)
    firsts = [0, 1, 17, 40]
    found = fetched(SpikeFetcher(counts, 20, "btc"), picks_of(*((0, 0, first) for first in firsts)))
    for row, first in zip(found["signal"], firsts, strict=True):
        np.testing.assert_array_equal(row, plain_counts(trains, span, first, 20))


def test_recordings_and_spans_of_their_own_in_one_batch() -> None:
    rng = np.random.default_rng(1)
    every = [[np.sort(rng.uniform(0, 20, n)) for n in sizes] for sizes in ((90, 0, 500), (700,))]
    held: Any = HeldRecordings(*({"units": held_spikes(trains)} for trains in every))
    spans = [Span(0, 0.0, 50.0, 400), Span(0, 10.0, 50.0, 500), Span(1, 3.3, 50.0, 600)]
    counts = SpikeCounts(held, "units", [3, 1], spans)
    picks, _ = plan_windows(spans, 100, 50)
    picks = picks[rng.permutation(len(picks))]
    found = fetched(SpikeFetcher(counts, 100, "bct"), picks)
    assert found["signal"].shape == (len(picks), 3, 100)
    assert found["signal"].dtype == np.float32
    for signal, mask, pick in zip(found["signal"], found["mask"], picks, strict=True):
        trains = every[pick["recording"]]
        wanted = plain_counts(trains, spans[pick["span"]], int(pick["first"]), 100)
        np.testing.assert_array_equal(signal[: len(trains)], wanted.T)
        assert (signal[len(trains) :] == 0).all()
        assert mask.tolist() == [n < len(trains) for n in range(3)]


def test_given_memory_is_filled_whatever_was_in_it() -> None:
    counts = counts_of([np.array([0.05, 0.11, 0.12]), np.array([0.95])], Span(0, 0.0, 10.0, 10))
    fetcher = SpikeFetcher(counts, 10, "btc")
    memory = {"signal": np.full((3, 10, 2), 7, "f4"), "mask": np.zeros((3, 2), bool)}
    picks = picks_of((0, 0, 0), (0, 0, 0))
    fetcher.fill(picks, {name: array[1:] for name, array in memory.items()})
    wanted = np.zeros((10, 2))
    wanted[[0, 1, 9], [0, 0, 1]] = [1, 2, 1]
    np.testing.assert_array_equal(memory["signal"], np.stack([np.full((10, 2), 7), wanted, wanted]))
    assert memory["mask"].tolist() == [[False, False], [True, True], [True, True]]


def test_counts_are_made_once_within_the_memory_and_beyond_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    trains = [np.linspace(0, 1, 500)]
    for memory_mb in (1.0, 0.0):
        counts = counts_of(trains, Span(0, 0.0, 100.0, 100), memory_mb=memory_mb)
        for _ in range(3):
            signal = fetched(SpikeFetcher(counts, 100, "btc"), picks_of((0, 0, 0)))["signal"]
            assert signal.sum() == 499  # the spike at 1.0 s is not in the last bin
        array: Any = counts.recordings.array((0, "units", "time_s"))
        assert array.decoded == 1
        assert counts.of(0).cell.flags.owndata == (memory_mb > 0)
    assert list(tmp_path.iterdir()) == []


def test_counts_for_which_neither_memory_nor_disk_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    counts = counts_of([np.linspace(0, 1, 500)], Span(0, 0.0, 100.0, 100), memory_mb=0.0)
    with pytest.raises(StoreError, match="no room for 800 bytes of spike counts"):
        counts.of(0)


def test_counts_go_to_other_processes_without_what_was_kept() -> None:
    counts = counts_of([np.linspace(0, 1, 5000)], Span(0, 0.0, 1000.0, 1000))
    before = fetched(SpikeFetcher(counts, 10, "btc"), picks_of((0, 0, 5)))["signal"]
    plain = len(pickle.dumps(counts_of([np.linspace(0, 1, 5000)], Span(0, 0.0, 1000.0, 1000))))
    sent = pickle.dumps(counts)
    assert len(sent) < plain + 100
    after = fetched(SpikeFetcher(pickle.loads(sent), 10, "btc"), picks_of((0, 0, 5)))["signal"]
    np.testing.assert_array_equal(after, before)


def test_no_spike_at_all() -> None:
    counts = counts_of([np.zeros(0), np.zeros(0)], Span(0, 0.0, 10.0, 10))
    found = fetched(SpikeFetcher(counts, 5, "bct"), picks_of((0, 0, 5)))
    assert found["signal"].shape == (1, 2, 5)
    assert not found["signal"].any()
    assert found["mask"].all()


def request_of(sample: SpikeBins, **options: Any) -> Request:
    """A request of all of one recording, ``lab/0``."""
    given = {"target": None, "scale": None, "resample_hz": None, **options}
    facts: Any = dict.fromkeys(Request.__dataclass_fields__) | given
    facts |= {"splits": split_of(("0", "test", {})), "split": "test", "sample": sample}
    return Request(**{**facts, "layout": "btc", "batch_size": 4})


def back_to_back(**attrs: Any) -> tuple[HeldRecordings, list[np.ndarray], np.ndarray]:
    """Utterances of unequal length one after another in one recording, as SHD has them."""
    rng = np.random.default_rng(5)
    onsets = np.cumsum([0.0, 0.613, 0.871, 1.104])
    durations = np.array([0.613, 0.871, 1.104, 0.5])
    trains = [np.sort(rng.uniform(0, 3.088, 400)) for _ in range(3)]
    intervals = held_node(
        "intervals",
        {
            "start_s": (("interval",), onsets),
            "duration_s": (("interval",), durations),
            "label": (("interval",), np.array(["zero", "one", "zero", "two"], object)),
        },
    )
    nodes = {"units": held_spikes(trains, **attrs), "words": intervals}
    return HeldRecordings(nodes), trains, np.stack([onsets, onsets + durations], 1)


@pytest.mark.parametrize("clip", [False, True])
def test_windows_of_intervals_start_at_the_onset_itself(clip: bool) -> None:
    held, trains, ends = back_to_back(start_s=0.0, stop_s=3.088)
    sample = SpikeBins(0.01, 1.2, intervals="words", clip=clip)
    observed = [(0, 0.0, 3.088)]
    onsets = [(ends[:, 0], ends[:, 1], np.arange(4))]
    spans, limits_s, picks, left_out = plan_onsets(sample, observed, onsets, 120)
    inside = [0, 1, 2, 3] if clip else [0, 1, 2][: sum(ends[:3, 0] + 1.2 <= 3.088)]
    assert picks["row"].tolist() == inside
    assert left_out[BORDER] == 4 - len(inside)
    counts = SpikeCounts(held, "units", [3], spans, limits_s)  # type: ignore[arg-type]
    found = fetched(SpikeFetcher(counts, 120, "btc"), picks)["signal"]
    for signal, row in zip(found, picks["row"], strict=True):
        edges = ends[row, 0] + np.arange(121) / 100.0
        for unit, train in enumerate(trains):
            own = train[(train >= ends[row, 0]) & (train < ends[row, 1])] if clip else train
            np.testing.assert_array_equal(signal[:, unit], np.diff(np.searchsorted(own, edges)))
    if clip:  # every spike belongs to one utterance
        assert found.sum() == sum(map(len, trains))


def test_a_feed_of_intervals_by_label_and_what_follows() -> None:
    held, trains, ends = back_to_back(start_s=0.0, stop_s=3.088)
    sample = SpikeBins(0.05, 0.3, intervals="words", label="zero", tmin_s=-0.1)
    feed = spike_feed(request_of(sample, target=NextWindow(0.2)), sample, held)  # type: ignore[arg-type]
    assert feed.rate_hz == 20.0
    assert feed.left_out == {BORDER: 1}  # 0.1 s before the first onset nothing was observed
    assert feed.picks["row"].tolist() == [2]
    assert feed.picks["start_s"].tolist() == [ends[2, 0] - 0.1]
    assert feed.fetcher is not None
    batch = fetched(feed.fetcher, feed.picks) | feed.others(np.array([0]))
    edges = ends[2, 0] - 0.1 + np.arange(11) / 20.0
    wanted = np.stack([np.diff(np.searchsorted(train, edges)) for train in trains], 1)
    np.testing.assert_array_equal(batch["signal"][0], wanted[:6])
    np.testing.assert_array_equal(batch["target"][0], wanted[6:])


def test_a_feed_of_the_whole_grid() -> None:
    held, trains, _ = back_to_back(start_s=0.0, stop_s=3.0)
    sample = SpikeBins(0.1, 1.0)
    feed = spike_feed(request_of(sample), sample, held)  # type: ignore[arg-type]
    assert feed.picks["start_s"].tolist() == [0.0, 1.0, 2.0]
    assert feed.fetcher is not None
    signal = fetched(feed.fetcher, feed.picks)["signal"]
    wanted = plain_counts(trains, Span(0, 0.0, 1 / 0.1, 30), 0, 30)
    np.testing.assert_array_equal(signal.reshape(30, 3), wanted)
    assert feed.channels == (("u0", "u1", "u2"),)


def test_without_a_stated_span_spikes_bound_it() -> None:
    held, trains, _ = back_to_back()
    number, start_s, stop_s = observed_s(held, "units", {"id": "lab/0", "stop_s": 2.0})  # type: ignore[arg-type]
    assert (number, start_s, stop_s) == (0, min(t[0] for t in trains), 2.0)


def test_refusals() -> None:
    with pytest.raises(InvalidInputError, match="without intervals"):
        SpikeBins(0.1, 1.0, clip=True)
    with pytest.raises(InvalidInputError, match="one of them"):
        SpikeBins(0.1, 1.0, stride_s=0.5, intervals="words")
    held: Any = back_to_back()[0]
    sample = SpikeBins(0.1, 1.0, intervals="words", label="nine")
    with pytest.raises(InvalidInputError, match="one, two, zero"):
        spike_feed(request_of(sample), sample, held)


def test_a_loader_gives_each_interval_with_its_label() -> None:
    held, trains, ends = back_to_back(start_s=0.0, stop_s=3.088)
    nodes = {
        name: xr.Dataset({k: (a.dims, a.values) for k, a in n.arrays.items()}, attrs=n.attrs)
        for name, n in held.nodes(0).items()
        if name != "."
    }
    loader = load(
        MemoryStore(a=recording(nodes)),
        splits=split_of(("a", "test", {})),
        split="test",
        sample=SpikeBins(0.01, 1.2, intervals="words", clip=True),
        target="label",
        batch_size=3,
    )
    batches = list(loader)
    assert [n for b in batches for n in b["target"]] == ["zero", "one", "zero", "two"]
    starts_s = np.concatenate([batch["start_s"] for batch in batches])
    np.testing.assert_array_equal(starts_s, ends[:, 0])
    assert sum(batch["signal"].sum() for batch in batches) == sum(map(len, trains))
