"""Columns of text that may name a person are left out on the way in, whatever the format."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurodata.ingestion import ingest
from neurodata.personal_columns import personal_word
from neurodata.store import open_store
from tests.readers.test_edf import write

EVENTS = (
    "onset\tduration\ttrial_type\tresponse\tcomment\toperator_id\ttechnician\n"
    "0.5\t1\tgo\tleft\tJane was late\t7\tDr. Doe\n"
)


@pytest.mark.parametrize(
    ("name", "personal"),
    [
        ("comment", True), ("Comments", True), ("trial_notes", True), ("PatientName", True),
        ("raterInitials", True), ("DOB", True), ("e-mail", False), ("name", False),
        ("trial_type", False), ("stim_file", False), ("commentary", False), ("notebook", False),
    ],
)  # fmt: skip
def test_columns_are_told_by_the_words_of_their_names(name: str, personal: bool) -> None:
    assert bool(personal_word(name)) is personal


@pytest.mark.parametrize("keep", [False, True])
def test_columns_of_text_stay_behind_unless_declared(tmp_path: Path, keep: bool) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    write(folder, "sub-01_task-x_eeg.edf")
    (folder / "sub-01_task-x_events.tsv").write_text(EVENTS)
    store = open_store(tmp_path / "store", create=True)
    facts = {"annotations": "keep"} if keep else {}
    result = ingest(folder, store=store, dataset="d", declare=facts)
    assert result.ok, result.findings()
    (name,) = store.ids()
    columns = set(store[name]["events"].data_vars) - {"start_s", "duration_s", "label"}
    always = {"response", "operator_id"}  # numbers stay
    assert columns == (always | {"comment", "technician"} if keep else always)
    listed = [item["where"] for item in store.manifest(name)["removed"]]
    assert {"events: comment", "events: technician"} <= set(listed) or keep
    assert ("Jane" in str(store.manifest(name))) is False
