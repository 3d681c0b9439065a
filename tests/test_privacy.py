"""Nothing passes that the schemas do not name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from neurodata import privacy, schema
from neurodata.errors import Problem
from neurodata.ingestion import ingest
from neurodata.physical import physical
from neurodata.publish.faces import faces
from neurodata.store import open_store
from tests.synthetic_trees import HEALTHY, synthetic_eeg, synthetic_mri

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


def test_what_stands_in_the_root_is_scrubbed_once_and_stays_there() -> None:
    tree = synthetic_eeg()
    place = {"place": ("place", ["A", "B"], {"technician": CANARY})}
    tree.dataset = tree.to_dataset(inherit=False).assign_coords(place)
    assert "place" in tree["eeg"].coords
    clean, notes = privacy.scrub(tree)
    assert [note.where for note in notes] == ["/place: technician"]
    assert "place" in clean.to_dataset(inherit=False).coords
    eeg = clean["eeg"]
    assert isinstance(eeg, xr.DataTree)
    assert "place" not in eeg.to_dataset(inherit=False).coords


def test_what_has_the_shape_of_a_secret_leaves_an_allowed_attribute() -> None:
    tree = synthetic_eeg()
    tree.attrs["task"] = "rest, from https://me:pw@host/a"
    clean, notes = privacy.scrub(tree)
    assert clean.attrs["task"] == "rest, from https://me:***@host/a"
    assert [(note.level, note.where, note.found) for note in notes] == [
        ("note", "recording: task", "a secret, removed")
    ]
    assert "task" in schema.load("recording")["attrs"]


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


# --- what was removed is listed ---


def test_kinds_are_listed_without_names_of_files_and_once() -> None:
    root = Path("raw")
    files = [root / "day 1" / name for name in ("jane.edf", "jane.edf.json", "[doe].tsv")]
    notes = [
        Problem("note", "day 1/jane.edf: header", "identifying fields, removed: patient"),
        Problem("note", "day 1/jane.edf: header", "identifying fields, removed: patient"),
        Problem("note", "jane.edf: jane.edf.json", "keys of [doe].tsv, removed"),
        Problem("note", "jane.edf", "no BIDS entities in the name"),
        Problem("warning", "jane.edf", "a warning is no note, removed"),
    ]
    _, scrubbed = privacy.scrub(xr.DataTree(xr.Dataset(attrs={"patient": CANARY})))
    found = privacy.removed([*notes, *scrubbed], files, root)
    assert found == [
        {"where": "*.edf: header", "what": "identifying fields, removed: patient"},
        {"where": "*.edf: *.json", "what": "keys of *.tsv, removed"},
        {"where": "recording: patient", "what": "an attribute, dropped"},
    ]


def test_names_that_begin_as_others_do_are_taken_out_whole() -> None:
    root = Path("raw")
    files = [root / name for name in ("doe.json", "doe.json.gz")]
    notes = [Problem("note", "doe.json.gz: header", "keys of doe.json, removed")]
    assert privacy.removed(notes, files, root) == [
        {"where": "*.gz: header", "what": "keys of *.json, removed"}
    ]


def test_a_manifest_lists_what_was_left_behind(tmp_path: Path, samples: Path) -> None:
    folder = tmp_path / "Jane Doe"
    folder.mkdir()
    source = next((samples / "eeg_fp1").glob("*.edf"))
    data = bytearray(source.read_bytes())
    data[8:88] = b"MCH-0234567 F 02-MAY-1951 Jane_Doe".ljust(80)
    (folder / "jane_doe.edf").write_bytes(data)
    result = ingest(folder, store=tmp_path / "store", declare={"licence": "CC0-1.0"}, dataset="d")
    assert result.tally("new") == 1, result.findings()
    store = open_store(tmp_path / "store")
    (name,) = store.ids()
    removed = store.manifest(name)["removed"]
    assert any("patient identification" in item["what"] for item in removed)
    assert "jane" not in str(removed).casefold()
    assert "1951" not in str(removed)


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({}, "not stated"),
        ({"species": "Homo sapiens"}, "not stated"),
        ({"defaced": "no"}, "was not removed"),
        ({"defaced": "yes"}, None),
        ({"species": "Mus musculus"}, None),
    ],
)
def test_faces_are_asked_for_before_images_are_given_away(
    tmp_path: Path, facts: dict[str, str], found: str | None
) -> None:
    tree = synthetic_mri()
    tree.attrs.update(facts)
    store = open_store(tmp_path, create=True)
    done = store.publish(tree, dataset="heads", recording="one")
    problems = faces(store, [done.id])
    assert [p.level for p in problems] == ["warning"] * bool(found)
    assert all(str(found) in p.found and done.id in p.where for p in problems)


def test_defaced_can_be_declared(tmp_path: Path, samples: Path) -> None:
    shutil.copy(samples / "mri_anatomical" / "anatomical.nii", tmp_path / "a.nii")
    facts = {"defaced": "yes", "licence": "CC0-1.0", "species": "Homo sapiens"}
    result = ingest(tmp_path, store=tmp_path.with_name("store"), declare=facts, dataset="d")
    assert result.ok, result.findings()
    store = open_store(tmp_path.with_name("store"))
    assert store[store.ids()[0]].attrs["defaced"] == "yes"
    assert not faces(store, store.ids())
    wrong = ingest(tmp_path, store=tmp_path.with_name("no"), declare={"defaced": "perhaps"})
    assert wrong.tally("failed") == 1


@pytest.mark.parametrize(("stated", "found"), [("NO", "yes"), ("YES", "no"), ("maybe", None)])
def test_side_cars_tell_of_faces_and_their_personal_keys_are_listed(
    tmp_path: Path, samples: Path, stated: str, found: str | None
) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    shutil.copy(samples / "mri_anatomical" / "anatomical.nii", folder / "sub-01_T1w.nii")
    facts = {"PatientName": CANARY, "StudyInstanceUID": CANARY, "RepetitionTime": 2.0,
             "RecognizableVisualFeatures": stated}  # fmt: skip
    (folder / "sub-01_T1w.json").write_text(json.dumps(facts))
    result = ingest(folder, store=tmp_path / "store", declare={"licence": "CC0-1.0"}, dataset="d")
    assert result.tally("new") == 1, result.findings()
    store = open_store(tmp_path / "store")
    (name,) = store.ids()
    assert store[name].attrs.get("defaced") == found
    listed = [item["what"] for item in store.manifest(name)["removed"]]
    assert "2 personal keys, removed: PatientName, StudyInstanceUID" in listed
    assert CANARY not in str(store.manifest(name))
