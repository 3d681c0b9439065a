"""Remarks that people wrote: what passes, what is declared to, and what stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurodata.declare import Declared
from neurodata.readers import edf, remarks
from neurodata.safe import Raw
from tests.readers.test_edf import write

TALS = (
    b"+0\x14\x14\0+0.5\x14Sleep stage 2\x14\0",
    b"+1\x14\x14\0+1.5\x14Pat. Jane Doe moved\x14\0",
    *(f"+{n}\x14\x14\0".encode() for n in (2, 3, 4)),
)


@pytest.mark.parametrize(
    "text",
    ["Lights off@@EEG", "Sleep stage W", "Sleep stage ?", "Eyes closed", "S  1", "T0", "769",
     "Limb movement", "DIN1", "REC START", "BAD_acq_skip",
     "hyperventilation 3 min", "", "Photic 10 Hz"],
)  # fmt: skip
def test_words_of_recording_and_codes_pass(text: str) -> None:
    assert remarks.is_label(text)


@pytest.mark.parametrize(
    "text",
    ["Jane Doe", "Pat. moved", "jane", "Müller", "born 12.03.1951", "12/03/51", "1951 03 12",
     "MRN 00123456", "call 0664123", "Eyes closed, says Jane", "お名前", "Dr. Doe", "JaneDoe1"],
)  # fmt: skip
def test_whatever_may_be_a_name_or_a_date_does_not(text: str) -> None:
    assert not remarks.is_label(text)


def read(folder: Path, **facts: str) -> tuple[list[str], Raw]:
    path, _ = write(folder, reserved="EDF+C", tals=TALS)
    raw = Raw(folder, (path,))
    tree = edf.read(raw, Declared(facts))
    return tree["annotations"].to_dataset()["label"].values.tolist(), raw


def test_a_remark_stays_behind_and_is_told_without_its_words(tmp_path: Path) -> None:
    labels, raw = read(tmp_path)
    assert labels == ["Sleep stage 2", "remark"]
    (note,) = (p for p in raw.problems if "may name a person" in p.found)
    assert (note.level, note.found) == ("note", "1 texts that may name a person, removed")
    assert "--set annotations=keep" in note.hint
    assert "Jane" not in str(raw.problems)


@pytest.mark.parametrize(
    "declared", ["keep", "pat. jane  doe MOVED", "something else,Pat. Jane Doe moved"]
)
def test_a_declared_remark_is_kept(tmp_path: Path, declared: str) -> None:
    labels, raw = read(tmp_path, annotations=declared)
    assert labels == ["Sleep stage 2", "Pat. Jane Doe moved"]
    assert not any("may name a person" in p.found for p in raw.problems)


def test_declaring_others_keeps_nothing_else(tmp_path: Path) -> None:
    assert read(tmp_path, annotations="Jane,keep it")[0] == ["Sleep stage 2", "remark"]
