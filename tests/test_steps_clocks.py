"""Regular clocks from jittered times, and pieces between gaps, checked sample by sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurodata import schema, steps
from neurodata.errors import InvalidInputError, Problem
from neurodata.steps import step as step_module
from neurodata.store import open_store
from tests.synthetic_trees import node, recording

RATE_HZ = 30.0


@pytest.fixture(params=[16_000_000, 8 * 2 * 70], ids=["one block", "many blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_module, "BLOCK_BYTES", request.param)


def synthetic_times(times: np.ndarray, **more: Any) -> xr.DataTree:
    """Two channels on times of their own; the first counts the samples."""
    n = len(times)
    values = np.stack([np.arange(n), np.sin(np.arange(n))], 1).astype("f4") + 1
    made = node(
        "timeseries",
        {"signal": (("time", "channel"), values)},
        {
            "channel": ["a", "b"],
            "units": ("channel", ["dF/F"] * 2),
            "time": ("time", times, {"units": "s"}),
        },
        units="dF/F",
    ).assign(more)
    return recording("calcium", traces=made)


def jittered(n: int = 1000, jitter: float = 0.05, start_s: float = 1.5) -> np.ndarray:
    random = np.random.default_rng(0)
    return start_s + (np.arange(n) + random.uniform(-jitter, jitter, n)) / RATE_HZ


def applied(
    tree: xr.DataTree, *given: dict[str, Any], problems: list[Problem] | None = None
) -> xr.DataTree:
    found = steps.apply(tree, steps.parse(given), problems)
    schema.require(found)
    return found


REGULARISE = {"step": "regularise", "rate_hz": RATE_HZ}


def test_jitter_goes_and_values_stay(blocks: None) -> None:
    tree = synthetic_times(jittered())
    problems: list[Problem] = []
    found = applied(tree, REGULARISE, problems=problems)["traces"]
    assert found.attrs["rate_hz"] == RATE_HZ
    assert found.attrs["n"] == 1000
    assert found.attrs["start_s"] == pytest.approx(1.5, abs=0.002 / RATE_HZ)
    assert "time" not in found.variables
    assert "observed" not in found.variables
    np.testing.assert_array_equal(found["signal"].values, tree["traces"]["signal"].values)
    assert "0 gaps of 0 samples" in str(problems[0])


def test_exact_times_keep_their_start_to_the_bit() -> None:
    times = 0.1 + np.arange(5000) / RATE_HZ
    assert applied(synthetic_times(times), REGULARISE)["traces"].attrs["start_s"] == times[0]


def test_gaps_become_ticks_that_were_not_observed(blocks: None) -> None:
    kept = np.ones(1000, bool)
    kept[100:103] = kept[400:700] = False
    problems: list[Problem] = []
    tree = synthetic_times(jittered()[kept])
    found = applied(tree, REGULARISE, problems=problems)["traces"]
    assert found.attrs["n"] == 1000
    np.testing.assert_array_equal(found["observed"].values, np.repeat(kept[:, None], 2, 1))
    np.testing.assert_array_equal(found["signal"].values[kept], tree["traces"]["signal"].values)
    assert np.isnan(found["signal"].values[~kept]).all()
    assert "2 gaps of 303 samples" in str(problems[0])


def test_stored_integers_and_what_was_not_observed_come_along(blocks: None) -> None:
    kept = np.ones(200, bool)
    kept[50:60] = False
    seen = np.ones((190, 2), bool)
    seen[7, 1] = False
    tree = synthetic_times(jittered(200)[kept], observed=(("time", "channel"), seen))
    data = tree["traces"].to_dataset()
    adc = (np.arange(380).reshape(190, 2)).astype("i2")
    tree["traces"] = data.drop_vars("signal").assign(
        signal_adc=(("time", "channel"), adc),
        scale=("channel", [0.5, 2.0]),
        offset=("channel", [1.0, 0.0]),
    )
    found = applied(tree, REGULARISE)["traces"]
    np.testing.assert_array_equal(found["signal"].values[kept], adc * [0.5, 2.0] + [1.0, 0.0])
    np.testing.assert_array_equal(found["observed"].values[kept], seen)
    assert not found["observed"].values[~kept].any()


def test_a_wrong_rate_is_refused_with_the_one_that_fits() -> None:
    with pytest.raises(InvalidInputError, match=r"the times have 30\.0"):
        applied(synthetic_times(jittered()), {**REGULARISE, "rate_hz": 29.0})
    drift = np.arange(20_000) / (RATE_HZ * (1 + 50e-6))
    with pytest.raises(InvalidInputError, match=r"30\.0015"):
        applied(synthetic_times(drift[:20_000]), REGULARISE)
    assert applied(synthetic_times(drift), {**REGULARISE, "rate_hz": RATE_HZ * (1 + 50e-6)})


def test_times_that_no_clock_has_are_refused() -> None:
    twice = jittered()
    twice[500] = twice[499]
    with pytest.raises(InvalidInputError, match="not after the one before"):
        applied(synthetic_times(twice), REGULARISE)
    with pytest.raises(InvalidInputError, match="of a sample off"):
        applied(synthetic_times(jittered(jitter=0.4)), REGULARISE)
    crowd = np.sort(np.r_[np.arange(100.0), 50.001]) / RATE_HZ
    with pytest.raises(InvalidInputError, match="1 on a tick"):
        applied(synthetic_times(crowd), REGULARISE)
    far = np.r_[np.arange(10), np.arange(10) + 10_000] / RATE_HZ
    with pytest.raises(InvalidInputError, match="by the step cut"):
        applied(synthetic_times(far), REGULARISE)


def test_a_regular_clock_passes_or_is_another() -> None:
    tree = applied(synthetic_times(jittered()), REGULARISE)
    assert applied(tree, REGULARISE).identical(tree)
    with pytest.raises(InvalidInputError, match="resample"):
        applied(tree, {**REGULARISE, "rate_hz": 25.0})


# --- cutting ---


def gapped(*gaps: tuple[int, int], n: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    kept = np.ones(n, bool)
    for first, last in gaps:
        kept[first:last] = False
    return (1.5 + np.arange(n) / RATE_HZ)[kept], kept


def test_pieces_of_a_regular_clock_lie_where_they_were() -> None:
    times, _ = gapped((100, 103), (400, 700))
    problems: list[Problem] = []
    found = applied(synthetic_times(times), REGULARISE, {"step": "cut"}, problems=problems)
    assert list(found.children) == ["traces-1", "traces-2", "traces-3"]
    samples = [0]
    for name, (first, last) in zip(
        found.children, [(0, 100), (103, 400), (700, 1000)], strict=True
    ):
        piece = found[name]
        assert piece.attrs["n"] == piece.sizes["time"] == last - first
        assert piece.attrs["start_s"] == pytest.approx(1.5 + first / RATE_HZ, abs=1e-12)
        assert "observed" not in piece.variables
        assert piece["signal"].values[0, 0] == 1 + sum(samples)
        samples.append(last - first)
    assert any("3 pieces; 303 of 1000 samples left out" in str(p) for p in problems)
    bridged = applied(synthetic_times(times), REGULARISE, {"step": "cut", "gap_s": 0.1})
    assert list(bridged.children) == ["traces-1", "traces-2"]
    assert bridged["traces-1"].attrs["n"] == 400
    assert int((~bridged["traces-1"]["observed"].values[:, 0]).sum()) == 3


def test_pieces_of_times_and_what_is_done_with_them() -> None:
    times, _ = gapped((300, 9_000), n=9_600)
    given = [
        {"step": "cut", "gap_s": 1.0},
        {**REGULARISE, "node": "traces-*"},
        {"step": "smooth", "sigma_s": 0.1, "node": "traces-*"},
    ]
    found = applied(synthetic_times(times), *given)
    assert [child.attrs["n"] for child in found.children.values()] == [300, 600]
    assert found["traces-2"].attrs["start_s"] == pytest.approx(1.5 + 300.0)
    longest = applied(synthetic_times(times), {**given[0], "keep": "longest"})
    assert list(longest.children) == ["traces"]
    assert longest["traces"].sizes["time"] == 600
    short = applied(synthetic_times(times), {**given[0], "least_s": 15.0})
    assert list(short.children) == ["traces"]


def test_what_cannot_be_cut() -> None:
    times, _ = gapped((300, 310))
    with pytest.raises(InvalidInputError, match="gap_s"):
        applied(synthetic_times(times), {"step": "cut"})
    with pytest.raises(InvalidInputError, match="0 pieces of 2"):
        applied(synthetic_times(times), {"step": "cut", "gap_s": 0.1, "least_s": 99.0})
    with pytest.raises(InvalidInputError, match="1001 pieces"):
        applied(synthetic_times(jittered(1001)), {"step": "cut", "gap_s": 0.001})
    whole = applied(synthetic_times(jittered()), REGULARISE)
    assert applied(whole, {"step": "cut"}).identical(whole)


def test_filters_ask_for_these_steps() -> None:
    times, _ = gapped((300, 310))
    smooth = {"step": "smooth", "sigma_s": 0.1}
    with pytest.raises(InvalidInputError, match="regularise"):
        applied(synthetic_times(times), smooth)
    with pytest.raises(InvalidInputError, match="cut"):
        applied(synthetic_times(times), REGULARISE, smooth)


def test_gaps_are_stored(tmp_path: Path) -> None:
    times, kept = gapped((300, 310))
    tree = applied(synthetic_times(times), REGULARISE)
    store = open_store(tmp_path, create=True)
    done = store.publish(tree, dataset="synthetic", recording="one")
    found = store[done.id]["traces"]
    np.testing.assert_array_equal(found["observed"].values[:, 0], kept)
    assert np.isnan(found["signal"].values[~kept]).all()
    np.testing.assert_allclose(found["time"].values[kept], times, atol=1e-9)
