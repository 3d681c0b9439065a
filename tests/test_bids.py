"""BIDS names and side-cars: what applies to a recording, and what contradicts it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodata.declare import Declared
from neurodata.errors import UnreadableError
from neurodata.readers import bids
from neurodata.safe import Raw

SAMPLE = Path(__file__).parents[1] / "samples" / "gripforce_ieeg"
DATA = "sub-01/ses-a/eeg/sub-01_ses-a_task-rest_run-1_eeg.edf"


def make(root: Path, files: dict[str, str]) -> Raw:
    for name, text in {DATA: "data", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    folder = sorted(p for p in root.rglob("*") if p.is_file())
    return Raw(root, (root / DATA, *bids.sidecars(root / DATA, folder)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sub-01_eeg.edf", {"sub": "01"}),
     ("a/sub-testsub_ses-EphysMedOff_task-gripforce_run-0_ieeg.vhdr",
      {"sub": "testsub", "ses": "EphysMedOff", "task": "gripforce", "run": "0"}),
     ("sub-01_space-mni_T1w.nii.gz", {"sub": "01", "space": "mni"}),
     ("sub-01.edf", {}), ("task-rest_eeg.json", {}), ("A0634-210127.nwb", {}),
     ("test_utf8.edf", {}), ("sub-_eeg.edf", {}), ("sub-01_oops_eeg.edf", {}), (".edf", {})],
)  # fmt: skip
def test_entities(name: str, expected: dict[str, str]) -> None:
    path = Path(name)
    assert bids.entities(path) == expected
    assert bids.recording_name(path) == (path.name.split(".")[0] if expected else None)


def test_side_cars_follow_the_inheritance_principle(tmp_path: Path) -> None:
    mine = [
        "sub-01/ses-a/eeg/sub-01_ses-a_task-rest_run-1_channels.tsv",
        "sub-01/ses-a/eeg/sub-01_ses-a_task-rest_run-1_events.tsv",
        "sub-01/ses-a/eeg/sub-01_ses-a_space-CapTrak_electrodes.tsv",
        "sub-01/ses-a/sub-01_ses-a_scans.tsv",
        "sub-01/sub-01_task-rest_eeg.json",
        "task-rest_eeg.json",
        "dataset_description.json",
        "participants.tsv",
    ]
    others = [
        "sub-01/ses-a/eeg/sub-01_ses-a_task-rest_run-2_channels.tsv",
        "sub-01/ses-a/eeg/sub-01_ses-a_task-move_events.tsv",
        "sub-01/ses-b/eeg/sub-01_ses-b_task-rest_run-1_channels.tsv",
        "sub-02/sub-02_task-rest_eeg.json",
        "task-rest_meg.json",
        "task-rest_acq-fast_eeg.json",
        "README",
        "derivatives/dataset_description.json",
    ]
    raw = make(tmp_path, dict.fromkeys(mine + others, "{}"))
    found = [path.relative_to(tmp_path).as_posix() for path in raw.files[1:]]
    assert sorted(found) == sorted(mine)


def test_nearest_json_wins(tmp_path: Path) -> None:
    raw = make(
        tmp_path,
        {
            "task-rest_eeg.json": json.dumps({"PowerLineFrequency": 60, "SamplingFrequency": 100}),
            "sub-01/sub-01_eeg.json": json.dumps({"PowerLineFrequency": 50}),
        },
    )
    assert bids.metadata(raw) == {"PowerLineFrequency": 50, "SamplingFrequency": 100}
    assert bids.mains(raw) == {"power_line_hz": 50.0}


def test_a_file_without_a_bids_name_has_no_side_cars(tmp_path: Path) -> None:
    (tmp_path / "participants.tsv").write_text("participant_id\n")
    assert bids.sidecars(tmp_path / "a.edf", [tmp_path / "participants.tsv"]) == ()


@pytest.mark.parametrize(
    ("stated_s", "refused", "warned"),
    [(19.0, False, False), (19.001, False, False), (20.0, False, False), (20.5, True, False),
     (38.0, True, False), (9.5, False, True)],
)  # fmt: skip
def test_recording_duration(tmp_path: Path, stated_s: float, refused: bool, warned: bool) -> None:
    raw = make(tmp_path, {"task-rest_eeg.json": json.dumps({"RecordingDuration": stated_s})})
    if refused:
        with pytest.raises(UnreadableError, match="RecordingDuration"):
            bids.require_clock(raw, Declared(), 1000.0, 19001)
    else:
        bids.require_clock(raw, Declared(), 1000.0, 19001)
    assert bool(raw.problems) is warned


@pytest.mark.parametrize(("stated_hz", "refused"), [(1024, False), (1024.05, False), (1000, True)])
def test_sampling_frequency(tmp_path: Path, stated_hz: float, refused: bool) -> None:
    raw = make(tmp_path, {"task-rest_eeg.json": json.dumps({"SamplingFrequency": stated_hz})})
    if refused:
        with pytest.raises(UnreadableError, match="--set rate_hz=1024"):
            bids.require_clock(raw, Declared(), 1024.0, 10)
    else:
        bids.require_clock(raw, Declared(), 1024.0, 10)


def participant(tmp_path: Path, header: str, row: str) -> tuple[dict[str, Any], Raw]:
    table = f"\ufeff{header}\n{row}\n".replace(" ", "\t")
    raw = make(tmp_path, {"participants.tsv": table})
    return bids.facts(raw), raw


def test_participant_row_gives_allowed_facts_only(tmp_path: Path) -> None:
    header = "participant_id age sex handedness name"
    attrs, raw = participant(tmp_path, header, "sub-01 31.5 Female R Erika")
    assert attrs == {
        "subject": "01", "session": "a", "task": "rest", "run": "1",
        "sex": "F", "age_years": 31.5, "species": "Homo sapiens",
    }  # fmt: skip
    assert "Erika" not in str(raw.problems)
    assert [p.found for p in raw.problems if p.level == "note"] == [
        "personal columns, removed: handedness, name"
    ]


@pytest.mark.parametrize(
    ("row", "expected"),
    [("sub-01 n/a n/a n/a", {}), ("sub-01 N/A x x", {"species": "X"}),
     ("sub-01 97 M mus_musculus", {"age_years": 90.0, "sex": "M", "species": "Mus_musculus"}),
     ("sub-01 89+ o n/a", {"sex": "O"}), ("sub-01 -3 m n/a", {"sex": "M"}), ("sub-02 3 M x", {})],
)  # fmt: skip
def test_absent_participant_facts_stay_absent(
    tmp_path: Path, row: str, expected: dict[str, Any]
) -> None:
    attrs, _ = participant(tmp_path, "participant_id age sex species", row)
    keys = ("age_years", "sex", "species")
    assert {key: attrs[key] for key in keys if key in attrs} == expected


def test_positions_in_millimetres_become_metres(tmp_path: Path) -> None:
    table = "name\tx\ty\tz\nCz\t0\t-10\t95.5\nPz\tn/a\tn/a\tn/a\nREF\t1\t2\t3\n"
    stem = "sub-01/ses-a/eeg/sub-01_ses-a_space-CapTrak"
    system = {"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "mm"}
    files = {f"{stem}_electrodes.tsv": table, f"{stem}_coordsystem.json": json.dumps(system)}
    found = bids.positions(make(tmp_path, files), ["Pz", "Cz", "Oz"])
    assert found is not None
    metres, frame = found
    assert set(metres) == {"Pz", "Cz"}
    np.testing.assert_allclose(metres["Cz"], [0, -0.01, 0.0955], rtol=1e-15)
    assert np.isnan(metres["Pz"]).all()
    assert frame == "CapTrak (CapTrak)"


@pytest.mark.parametrize("unit", ["pixels", "n/a", "furlong"])
def test_positions_without_a_length_are_left_out(tmp_path: Path, unit: str) -> None:
    stem = "sub-01/ses-a/eeg/sub-01_ses-a"
    files = {
        f"{stem}_electrodes.tsv": "name\tx\ty\tz\nCz\t1\t2\t3\n",
        f"{stem}_coordsystem.json": json.dumps({"EEGCoordinateUnits": unit}),
    }
    raw = make(tmp_path, files)
    assert bids.positions(raw, ["Cz"]) is None
    assert [p.level for p in raw.problems] == ["warning"]


def events(tmp_path: Path, text: str) -> Raw:
    return make(tmp_path, {"sub-01/ses-a/eeg/sub-01_ses-a_task-rest_run-1_events.tsv": text})


def test_events_are_intervals_with_their_columns(tmp_path: Path) -> None:
    table = "onset\tduration\ttrial_type\tresponse_time\thand\n2.5\tn/a\tgo\t0.31\tleft\n"
    table += "-1\t0\tstop\tn/a\tn/a\n"
    found = bids.events(events(tmp_path, table), end_s=10.0)
    assert found is not None
    assert found["start_s"].values.tolist() == [-1.0, 2.5]
    assert found["label"].values.tolist() == ["stop", "go"]
    assert found["duration_s"].values[0] == 0
    assert math.isnan(found["duration_s"].values[1])
    assert found["response_time"].values[1] == 0.31
    assert math.isnan(found["response_time"].values[0])
    assert found["hand"].values.tolist() == ["", "left"]


@pytest.mark.parametrize(
    "table",
    ["onset\tduration\n2500\t1\n", "onset\tduration\nsoon\t1\n", "onset\tduration\nn/a\t1\n",
     "onset\n1\n", "onset\tduration\n1\t2\t3\n", ""],
)  # fmt: skip
def test_events_outside_the_signal_or_without_a_time_are_refused(
    tmp_path: Path, table: str
) -> None:
    with pytest.raises(UnreadableError):
        bids.events(events(tmp_path, table), end_s=10.0)


def test_a_nameless_trailing_column_is_no_column(tmp_path: Path) -> None:
    found = bids.events(events(tmp_path, "onset\tduration\t\n1\t2\t\n"), end_s=10.0)
    assert found is not None
    assert set(found.data_vars) == {"start_s", "duration_s", "label"}


def test_sample_names() -> None:
    path = next(SAMPLE.rglob("*.vhdr"))
    assert bids.recording_name(path) == "sub-testsub_ses-EphysMedOff_task-gripforce_run-0_ieeg"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def image(path: Path, values: np.ndarray) -> Path:
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    made = nibabel.Nifti1Image(values, np.diag([2.0, 2.0, 2.0, 1.0]))
    made.header.set_xyzt_units("mm", "sec")
    made.to_filename(path)
    return path


def nifti_raw(root: Path, path: Path) -> Raw:
    from neurodata.readers import nifti

    files = tuple(sorted(p for p in root.rglob("*") if p.is_file()))
    return Raw(root, nifti.members(path, files))


def test_gradients_are_inherited_and_the_nearest_count(tmp_path: Path) -> None:
    from neurodata.readers import nifti

    values = np.arange(3 * 4 * 5 * 3, dtype="i2").reshape(3, 4, 5, 3)
    one = image(tmp_path / "sub-01/dwi/sub-01_dwi.nii.gz", values)
    two = image(tmp_path / "sub-02/dwi/sub-02_dwi.nii.gz", values)
    put(tmp_path / "dwi.bval", "0 1000 1000\n")
    put(tmp_path / "dwi.bvec", "0 1 0\n0 0 1\n0 0 0\n")
    put(tmp_path / "sub-02/sub-02_dwi.bval", "0 500 2000\n")
    put(tmp_path / "task-rest_dwi.bval", "0 1 2\n")  # of a task that no image has
    raw = nifti_raw(tmp_path, one)
    assert [p.relative_to(tmp_path).as_posix() for p in raw.files[1:]] == ["dwi.bval", "dwi.bvec"]
    tree = nifti.read(raw, Declared())
    np.testing.assert_array_equal(tree["dwi"]["b_value"].values, [0, 1000, 1000])
    np.testing.assert_array_equal(tree["dwi"]["b_vector"].values[2], [0, 1, 0])
    raw = nifti_raw(tmp_path, two)
    names = [p.relative_to(tmp_path).as_posix() for p in raw.files[1:]]
    assert names == ["sub-02/sub-02_dwi.bval", "dwi.bvec"]
    tree = nifti.read(raw, Declared())
    np.testing.assert_array_equal(tree["dwi"]["b_value"].values, [0, 500, 2000])


def test_names_of_regions_are_inherited(tmp_path: Path) -> None:
    from neurodata.readers import nifti

    labels = np.zeros((3, 4, 5), dtype="i2")
    labels[1], labels[2] = 7, 9
    path = image(tmp_path / "sub-01/anat/sub-01_dseg.nii.gz", labels)
    put(tmp_path / "dseg.tsv", "index\tname\n7\tleft\n9\tright\n")
    raw = nifti_raw(tmp_path, path)
    assert [p.name for p in raw.files[1:]] == ["dseg.tsv"]
    regions = nifti.read(raw, Declared())["regions"]
    assert regions["name"].values.tolist() == ["left", "right"]
    put(tmp_path / "sub-01/sub-01_dseg.tsv", "index\tname\n7\tnear\n9\tnearer\n")
    regions = nifti.read(nifti_raw(tmp_path, path), Declared())["regions"]
    assert regions["name"].values.tolist() == ["near", "nearer"]
    other = image(tmp_path / "sub-01/anat/sub-01_T1w.nii.gz", labels)
    assert [p.name for p in nifti_raw(tmp_path, other).files[1:]] == []
