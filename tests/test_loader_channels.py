from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurodata.errors import InvalidInputError
from neurodata.loader.channel_facts import ChannelFacts, channel_facts, columns_as
from neurodata.loader.plan import WINDOW
from neurodata.loader.recordings import Recordings
from tests.synthetic_loader import MemoryStore, eeg, recording, split_of


def montage(*names: str, position: Any = None, axes: str = "xyz") -> xr.Dataset:
    data = eeg(n=20, width=len(names)).assign_coords(channel=list(names))
    if position is None:
        return data
    attrs = {"units": "m", "frame": "head"}
    data = data.assign_coords(axis=("axis", np.array(list(axes), object)))
    return data.assign_coords(position=(("channel", "axis"), np.array(position), attrs))


def facts_of(trees: dict[str, xr.DataTree], channels: Any = "own", **given: Any) -> ChannelFacts:
    assignments = split_of(*((name, "test", {}) for name in trees)).assignments_of("test")
    recordings = Recordings(MemoryStore(**trees), assignments)  # type: ignore[arg-type]
    names = [
        [str(name) for name in trees[identity.split("/")[1]]["eeg"]["channel"].values]
        for identity in recordings.ids
    ]
    return channel_facts(recordings, "eeg", columns_as(names, channels), **given)


def picks(*numbers: int) -> np.ndarray:
    found = np.zeros(len(numbers), WINDOW)
    found["recording"] = numbers
    return found


def mixed() -> dict[str, xr.DataTree]:
    places = np.arange(6.0).reshape(2, 3) / 10
    places[1, 2] = np.nan
    return {
        "a": recording({"eeg": montage("Pz", "Cz", "Oz")}, subject="s2"),
        "b": recording({"eeg": montage("Cz", "Fp1", position=places)}, subject="s1"),
        "c": recording({"eeg": montage("Oz")}),
        "d": recording({"eeg": montage("Cz")}, subject="s2"),
    }


def test_own_order_says_which_channel_each_column_is() -> None:
    facts = facts_of(mixed())
    assert facts.vocabulary == ("Cz", "Fp1", "Oz", "Pz")
    assert facts.subjects == ("s1", "s2")
    assert facts.frames == ("", "head", "", "")
    batch = pickle.loads(pickle.dumps(facts))(picks(1, 0, 2, 1, 3))
    assert batch["channel"].dtype == np.int64
    assert batch["channel"].tolist() == [
        [0, 1, -1], [3, 0, 2], [2, -1, -1], [0, 1, -1], [0, -1, -1],
    ]  # fmt: skip
    assert batch["subject"].tolist() == [0, 1, -1, 0, 1]
    assert batch["position_m"].dtype == np.float32
    assert batch["position_m"].shape == (5, 3, 3)
    expected = np.float32([[0.0, 0.1, 0.2], [0.3, 0.4, np.nan], [np.nan] * 3])
    np.testing.assert_array_equal(batch["position_m"][0], expected)
    np.testing.assert_array_equal(batch["position_m"][3], expected)
    assert np.isnan(batch["position_m"][[1, 2, 4]]).all()


def test_by_name_has_a_column_for_every_name() -> None:
    batch = facts_of(mixed(), "by_name")(picks(0, 1, 2, 3))
    # Pz, Cz, Oz, Fp1 in order of appearance
    assert batch["channel"].tolist() == [
        [3, 0, 2, -1], [-1, 0, -1, 1], [-1, -1, 2, -1], [-1, 0, -1, -1],
    ]  # fmt: skip
    np.testing.assert_array_equal(batch["position_m"][1, 1], np.float32([0.0, 0.1, 0.2]))
    np.testing.assert_array_equal(batch["position_m"][1, 3], np.float32([0.3, 0.4, np.nan]))
    assert facts_of(mixed(), "auto").channel.tolist() == batch["channel"].tolist()


def test_auto_keeps_own_order_where_no_name_is_in_two_columns() -> None:
    assert columns_as([["Cz", "Pz"], ["Cz"]]) == [slice(0, 2), slice(0, 1)]
    assert columns_as([["Cz"], ["Pz", "Oz"]]) == [slice(0, 1), slice(0, 2)]
    with pytest.raises(InvalidInputError, match="auto, own or by_name"):
        columns_as([["Cz"]], "name")  # type: ignore[arg-type]


def test_positions_are_ordered_by_axis_and_absent_where_none_is_stated() -> None:
    tree = recording({"eeg": montage("Cz", position=[[3.0, 1.0]], axes="zx")})
    (place,) = facts_of({"a": tree})(picks(0))["position_m"]
    np.testing.assert_array_equal(place, np.float32([[1.0, np.nan, 3.0]]))
    bare = facts_of({"a": recording({"eeg": montage("Cz", position=[[np.nan] * 3])})})
    assert bare.position_m is None
    assert sorted(bare(picks(0, 0))) == ["channel", "subject"]
    assert bare.subject.tolist() == [-1]


def test_the_training_vocabulary_holds_elsewhere() -> None:
    facts = facts_of(mixed(), vocabulary=("Oz", "Cz"), subjects=("s1",))
    batch = facts(picks(0, 1))
    assert facts.vocabulary == ("Oz", "Cz")
    assert batch["channel"].tolist() == [[-1, 1, 0], [1, -1, -1]]
    assert batch["subject"].tolist() == [-1, 0]
