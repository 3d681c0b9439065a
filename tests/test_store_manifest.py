"""The manifest: what makes a recipe another one, what names a version, what a node is told by."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurodata.errors import DISTRIBUTION
from neurodata.store.manifest import code, encode, recipe, summary, version_of

MADE: dict[str, Any] = {
    "inputs": [{"size": 3, "sha256": "0" * 64, "path": "a.edf"}],
    "reader": "edf", "options": {"a": 1}, "declarations": {"rate_hz": 100}, "steps": [],
    "code": {"name": "synthetic", "version": "1"},
}  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": [{"size": 4, "sha256": "0" * 64}]},
        {"inputs": [{"size": 3, "sha256": "1" * 64}]},
        {"inputs": []},
        {"reader": "bdf"},
        {"options": {"a": 2}},
        {"declarations": {"rate_hz": 101}},
        {"steps": [{"step": "filter"}]},
        {"code": {"name": "synthetic", "version": "2"}},
        {"code": None},
    ],
    ids=str,
)
def test_whatever_changes_what_is_made_makes_another_recipe(changes: dict[str, Any]) -> None:
    assert recipe({**MADE, **changes}) != recipe(MADE)


def test_names_of_files_and_notes_are_no_part_of_a_recipe() -> None:
    inputs = [{"size": 3, "sha256": "0" * 64, "path": "b.edf"}]
    assert recipe({**MADE, "inputs": inputs, "removed": ["a"]}) == recipe(MADE)
    assert recipe({**MADE, "code": None}) == recipe({**MADE, "code": code()})


def test_the_order_of_facts_does_not_change_the_bytes_that_name_a_version() -> None:
    one = encode({"b": [1, 2], "a": {"d": "µ", "c": None}})
    assert one == encode({"a": {"c": None, "d": "µ"}, "b": [1, 2]})
    assert json.loads(one) == {"b": [1, 2], "a": {"d": "µ", "c": None}}
    assert encode({"a": ["µ"]}) == '{\n "a": [\n  "µ"\n ]\n}\n'.encode()
    assert version_of(one) == hashlib.sha256(one).hexdigest()[:16]
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode({"a": float("nan")})


def test_an_irregular_clock_is_told_by_its_ends() -> None:
    node = xr.Dataset({"signal": ("time", np.zeros(4))}, {"time": [2.0, 2.5, 4.0, 7.0]})
    assert summary(node) == {
        "dims": {"time": 4}, "units": None, "start_s": 2.0, "stop_s": 7.0, "n": 4,
    }  # fmt: skip
    empty = xr.Dataset({"signal": ("time", np.zeros(0))}, {"time": np.zeros(0)})
    assert summary(empty) == {"dims": {"time": 0}, "units": None}


def test_a_regular_clock_ends_one_sample_after_the_last() -> None:
    facts = {"start_s": 2.0, "rate_hz": 4.0, "n": 10}
    node = xr.Dataset({"signal": ("time", np.zeros(10))}, attrs={**facts, "units": "V"})
    assert summary(node) == {"dims": {"time": 10}, "units": "V", **facts, "stop_s": 4.5}


def test_a_rate_alone_ends_nowhere() -> None:
    node = xr.Dataset({"signal": ("time", np.zeros(3))}, attrs={"rate_hz": 4.0})
    assert summary(node) == {"dims": {"time": 3}, "units": None, "rate_hz": 4.0}


def test_a_graph_is_told_by_the_unit_of_its_weights() -> None:
    node = xr.Dataset({"weight": ("edge", [1.0])}, attrs={"weight_units": "count"})
    assert summary(node) == {"dims": {"edge": 1}, "units": "count"}


def test_code_is_known_by_distribution_and_version() -> None:
    assert code() == {"name": DISTRIBUTION, "version": code()["version"]}
    assert code()["version"] != "unknown"
