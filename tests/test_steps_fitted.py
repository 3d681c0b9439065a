"""What a step was fitted on: in the manifest, and seen against the sides of a split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurodata import steps
from neurodata.errors import InvalidInputError, PipelineError
from neurodata.splits import audit, make_split
from neurodata.steps.step import Step
from tests.synthetic_catalogue import SyntheticStore
from tests.synthetic_catalogue import recording as manifest
from tests.synthetic_trees import synthetic_eeg

FIXED: dict[str, Any] = {
    "step": "fixed_scale",
    "centre": {"C0": 1e-6, "C1": 0.0, "C2": -1e-6},
    "width": {"C0": 1e-5, "C1": 2e-5, "C2": 1e-5},
    "fitted_on": ["lab/a", "lab/b"],
}


def test_a_fixed_scale_is_what_is_given() -> None:
    tree = synthetic_eeg()
    found = steps.apply(tree, steps.parse([{**FIXED, "clamp": 2.0}]))["eeg"]
    values = tree["eeg"]["signal_adc"].values * 1e-7
    expected = (values - [1e-6, 0, -1e-6]) / [1e-5, 2e-5, 1e-5]
    np.testing.assert_allclose(found["signal"].values, expected.clip(-2, 2), atol=1e-4)
    assert found.attrs["units"] == "1"
    assert steps.parse([FIXED])[0].record()["fitted_on"] == ["lab/a", "lab/b"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"fitted_on": []},
        {"fitted_on": ["everything"]},
        {"width": {"C0": 1.0}},
        {"width": {"C0": 0.0, "C1": 1.0, "C2": 1.0}},
        {"centre": {"C0": float("nan"), "C1": 1.0, "C2": 1.0}},
    ],
)
def test_a_scale_must_say_what_it_is_and_what_of(wrong: dict[str, Any]) -> None:
    with pytest.raises(PipelineError):
        steps.parse([{**FIXED, **wrong}])


def test_a_channel_without_numbers_is_refused() -> None:
    two = {key: {"C0": 1.0, "C1": 1.0} for key in ("centre", "width")}
    with pytest.raises(InvalidInputError, match="C2"):
        steps.apply(synthetic_eeg(), steps.parse([{**FIXED, **two}]))


def test_every_step_that_fits_says_so() -> None:
    """All steps by name: whoever adds one decides whether it fits numbers."""
    fits = {"robust_scale", "dff", "causal_scale"}
    given = {"fixed_scale"}
    for name in steps.TABLE:
        kind: type[Step] = steps._kind(name)
        assert (kind.fits_on is not None) == (name in fits), name
        assert ("fitted_on" in kind.model_fields) == (name in given), name
    record = steps.parse([{"step": "robust_scale"}])[0].record()
    assert record["fitted_on"] == "each recording by itself"


def lab(step: dict[str, Any]) -> SyntheticStore:
    store = SyntheticStore()
    for subject in "abcdefgh":
        made = manifest(subject, subject=subject)
        store.add(f"lab/{subject}", {**made, "steps": [step]})
    return store


def test_numbers_fitted_on_test_recordings_are_a_leak() -> None:
    store = lab(FIXED)
    split = make_split(store, "lab", by="subject")
    sides = {side: split.ids(side) for side in ("train", "val", "test")}
    for side, level in (("train", []), ("val", ["error"]), ("test", ["error"])):
        seen = lab({**FIXED, "fitted_on": [sides["train"][0], sides[side][0]]})
        frozen = make_split(seen, "lab", by="subject")
        assert frozen.ids("test") == sides["test"]
        found = [p for p in audit(frozen, seen) if "fixed_scale" in p.found]
        assert [p.level for p in found] == level
        assert all(sides[side][0] in p.found for p in found)
    elsewhere = lab({**FIXED, "fitted_on": ["other/x@0123"]})
    frozen = make_split(elsewhere, "lab", by="subject")
    assert not [p for p in audit(frozen, elsewhere) if "fixed_scale" in p.found]


@pytest.mark.parametrize(
    ("step", "by", "levels"),
    [
        ("robust_scale", "time", ["warning"]),
        ("robust_scale", "subject", []),
        ("causal_scale", "time", []),
    ],
)
def test_numbers_of_whole_recordings_are_told_where_these_are_cut(
    step: str, by: str, levels: list[str]
) -> None:
    facts = {"window_s": 1.0} if step == "causal_scale" else {}
    store = lab(steps.parse([{"step": step, **facts}])[0].record())
    split = make_split(store, "lab", by=by, **({"gap_s": 1.0} if by == "time" else {}))
    found = [p for p in audit(split, store) if step in p.found]
    assert [p.level for p in found] == levels
