"""Nothing passes that the schemas do not name."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from neurodata import privacy, schema
from neurodata.physical import physical
from tests.synthetic_trees import HEALTHY, synthetic_eeg

CANARY = "Jane Doe 1950-01-01"


def everything(tree: xr.DataTree) -> str:
    return repr([(node.attrs, [v.attrs for v in node.variables.values()]) for node in tree.subtree])


@pytest.mark.parametrize("make", HEALTHY)
def test_a_clean_recording_passes_unchanged(make: object) -> None:
    tree = make()  # type: ignore[operator]
    clean, notes = privacy.scrub(tree)
    assert notes == []
    assert clean.identical(tree)


def test_unknown_attributes_are_dropped_and_listed_by_name_only() -> None:
    tree = synthetic_eeg()
    tree.attrs["patient_name"] = CANARY
    tree["eeg"].attrs["technician"] = CANARY
    tree["eeg"]["signal_adc"].attrs["comment"] = CANARY
    tree["eeg"]["channel"].attrs["long_name"] = CANARY
    tree["events"]["label"].attrs["author"] = CANARY
    before = everything(tree)
    clean, notes = privacy.scrub(tree)
    assert sorted(note.where for note in notes) == [
        "eeg/channel: long_name",
        "eeg/signal_adc: comment",
        "eeg: technician",
        "events/label: author",
        "recording: patient_name",
    ]
    assert {note.level for note in notes} == {"note"}
    assert CANARY not in everything(clean)
    assert not any(CANARY in str(note) for note in notes)
    assert everything(tree) == before
    schema.require(clean)


def test_an_attribute_of_an_unknown_node_is_dropped_too() -> None:
    odd = xr.Dataset(attrs={"representation": "diary", "schema": "diary/1", "author": CANARY})
    clean, notes = privacy.scrub(xr.DataTree.from_dict({"odd": odd}))
    assert [note.where for note in notes] == ["odd: author"]
    assert CANARY not in everything(clean)


@pytest.mark.parametrize(
    ("age", "kept"), [(0.5, 0.5), (89, 89), (89.5, 90), (90, 90), (103, 90), (np.float64(95), 90)]
)
def test_ages_over_89_become_90(age: float, kept: float) -> None:
    tree = synthetic_eeg()
    tree.attrs["age_years"] = age
    clean, notes = privacy.scrub(tree)
    assert clean.attrs["age_years"] == kept
    assert len(notes) == (age > 89)
    assert not any(str(age) in note.found for note in notes if age > 90)


@pytest.mark.parametrize(
    ("time", "kept"),
    [
        ("2020-02-29T12:00:00Z", True),
        ("2020-02-29T12:00:00.5+05:45", True),
        ("2020-02-29T12:00:00", False),
        ("2020-02-29", False),
        ("12:00-05:00", False),
    ],
)
def test_a_start_time_stays_only_with_its_offset(time: str, kept: bool) -> None:
    tree = synthetic_eeg()
    tree.attrs["start_time"] = time
    clean, notes = privacy.scrub(tree)
    assert ("start_time" in clean.attrs) is kept
    assert clean.attrs.get("start_zone") == (None if kept else "unknown")
    assert len(notes) == (not kept)
    schema.require(clean)


def test_the_lazy_clock_survives() -> None:
    tree = physical(synthetic_eeg())
    tree["eeg"].attrs["technician"] = CANARY
    clean, _ = privacy.scrub(tree)
    assert type(clean["eeg"].xindexes["time"]) is type(tree["eeg"].xindexes["time"])
    assert clean["eeg"]["time"].attrs["units"] == "s"


@given(st.dictionaries(st.text(min_size=1), st.text() | st.integers() | st.floats(), max_size=5))
def test_whatever_the_attributes_scrubbing_ends_with_allowed_ones(facts: dict[str, object]) -> None:
    tree = synthetic_eeg()
    tree["eeg"].attrs.update(facts)
    tree.attrs = {**facts, **tree.attrs}
    clean, _ = privacy.scrub(tree)
    assert set(clean.attrs) <= set(schema.load("recording")["attrs"])
    assert set(clean["eeg"].attrs) <= schema.allowed_attrs("timeseries")
