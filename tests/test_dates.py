"""Dates of persons: shifted to before 1925 with a key that is kept nowhere, or removed."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodata import privacy, schema
from neurodata.errors import InvalidInputError
from neurodata.ingestion import Result, ingest
from neurodata.secret import scrubbed as without_secrets
from neurodata.splits import audit, make_split
from neurodata.store import open_store
from tests.synthetic_trees import synthetic_eeg

KEY = "synthetic key, of no data set 0123456789"
TIMES = (
    "2020-02-29T12:00:00Z",
    "2019-12-31T23:59:59.999999999+14:00",
    "2020-01-01T00:00:00-12:00",
    "2000-02-29T00:00:00.5+05:45",
    "1999-12-31T23:59:60Z",
    "1925-01-01T00:00+00:00",
    "1900-03-01T08:30:00-04:56",
    "2125-12-31T23:59:59Z",
    "0302-01-01T00:00:00Z",
)


def days_by_hand(subject: str, key: str) -> int:
    """The shift by the definition of HMAC (RFC 2104), written out."""
    block = key.encode().ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + subject.encode()).digest()
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).digest()
    return 73_414 + int(outer[:8].hex(), 16) % 36_524


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(privacy.DATE_KEY, KEY)
    return KEY


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("subject", ["S1", "01", "Fußgänger µ"])
def test_the_date_moves_by_the_days_of_the_subject_and_nothing_else_does(
    time: str, subject: str
) -> None:
    found = privacy.shifted(time, subject, KEY)
    real, moved = np.datetime64(time[:10]), np.datetime64(found[:10])
    assert (real - moved).astype(int) == days_by_hand(subject, KEY)
    assert found[10:] == time[10:]
    assert moved < np.datetime64("1925-01-01")


MOMENTS = st.datetimes(datetime(1900, 1, 2), datetime(2125, 12, 30)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)


@given(MOMENTS, MOMENTS, st.text(min_size=1))
def test_intervals_of_a_subject_stay(one: datetime, other: datetime, subject: str) -> None:
    moved = [
        datetime.fromisoformat(privacy.shifted(t.isoformat(), subject, KEY)) for t in (one, other)
    ]
    assert moved[1] - moved[0] == other - one
    assert max(moved).year < 1925


def test_subjects_and_keys_shift_differently() -> None:
    names = [f"S{n}" for n in range(200)]
    one = [privacy.shifted(TIMES[0], name, KEY) for name in names]
    other = [privacy.shifted(TIMES[0], name, KEY + "!") for name in names]
    assert len(set(one)) > 190
    assert sum(a == b for a, b in zip(one, other, strict=True)) < 5
    assert len({text[:4] for text in one}) > 70  # years: spread over a century


def scrubbed(dates: str, **attrs: str) -> tuple[dict[Any, Any], list[str], list[str]]:
    tree = synthetic_eeg()
    tree.attrs.update(attrs)
    clean, found = privacy.scrub(tree, dates)
    schema.require(clean)
    assert "start_time" not in attrs or not any(attrs["start_time"][:10] in str(p) for p in found)
    notes = [p.found for p in found if p.level == "note"]
    return clean.attrs, notes, [p.found for p in found if p.level == "warning"]


@pytest.mark.parametrize("time", [t for t in TIMES if not t.endswith("60Z")])
def test_a_shift_is_stated_and_listed(key: str, time: str) -> None:
    attrs, notes, warnings = scrubbed("shift", start_time=time, subject="S1")
    assert attrs["start_time"] == privacy.shifted(time, "S1", key)
    assert attrs["date_shifted"] == "yes"
    assert (len(notes), warnings) == (1, [])


def test_a_shifted_time_is_not_shifted_again_but_may_be_removed(key: str) -> None:
    moved = privacy.shifted(TIMES[0], "S1", key)
    facts = {"start_time": moved, "date_shifted": "yes", "subject": "S1"}
    attrs, notes, _ = scrubbed("shift", **facts)
    assert (attrs["start_time"], notes) == (moved, [])
    attrs, notes, _ = scrubbed("remove", **facts)
    assert not attrs.keys() & {"start_time", "date_shifted"}
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("time", "subject", "why"),
    [(TIMES[0], "", "no subject"), ("2126-01-01T00:00:00Z", "S1", "after 2125"),
     ("0301-12-31T00:00:00Z", "S1", "before the year 302")],
)  # fmt: skip
def test_what_cannot_be_shifted_is_removed(key: str, time: str, subject: str, why: str) -> None:
    facts = {"subject": subject} if subject else {}
    attrs, notes, warnings = scrubbed("shift", start_time=time, **facts)
    assert not attrs.keys() & {"start_time", "date_shifted"}
    assert notes == ["a date, removed"]
    assert why in warnings[0]


def test_without_a_key_a_date_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    for unset in (True, False):
        monkeypatch.delenv(privacy.DATE_KEY, raising=False)
        if not unset:
            monkeypatch.setenv(privacy.DATE_KEY, "")
        attrs, notes, warnings = scrubbed("shift", start_time=TIMES[0], subject="S1")
        assert not attrs.keys() & {"start_time", "date_shifted"}
        assert notes == ["a date, removed"]
        assert privacy.DATE_KEY in warnings[0]


def test_keep_and_remove_need_no_key() -> None:
    attrs, notes, warnings = scrubbed("keep", start_time=TIMES[0], subject="S1")
    assert (attrs["start_time"], notes, warnings) == (TIMES[0], [], [])
    attrs, notes, warnings = scrubbed("remove", start_time=TIMES[0], subject="S1")
    assert "start_time" not in attrs
    assert (notes, warnings) == (["a date, removed"], [])
    assert scrubbed("remove", subject="S1")[1] == []


def test_a_short_key_and_an_unknown_word_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(privacy.DATE_KEY, "s3cr3t-15-chars")
    with pytest.raises(InvalidInputError) as caught:
        scrubbed("shift", start_time=TIMES[0], subject="S1")
    assert "s3cr3t" not in str(caught.value)
    monkeypatch.setenv(privacy.DATE_KEY, "s3cr3t--16-chars")
    assert "start_time" in scrubbed("shift", start_time=TIMES[0], subject="S1")[0]
    with pytest.raises(InvalidInputError, match="shift, remove or keep"):
        scrubbed("Shift", start_time=TIMES[0], subject="S1")


# ---- from a file to the store


@pytest.fixture
def raw(samples: Path, tmp_path: Path) -> Path:
    """Two synthetic sessions of one subject, 24 h 15 min apart over a leap day."""
    folder = tmp_path / "raw"
    folder.mkdir()
    times = {"a": "2020-02-29T23:30:00+05:45", "b": "2020-03-01T18:00:00+00:00"}
    for name, time in times.items():
        path = folder / f"{name}.nwb"
        shutil.copyfile(samples / "spikes_mouse" / "A8604-211122.nwb", path)
        with h5py.File(path, "r+") as file:
            for field in ("session_start_time", "timestamps_reference_time"):
                del file[field]
                file[field] = time
    return folder


FACTS: dict[str, Any] = {"subject": "S1", "species": "Homo sapiens", "session": "1", "start_s": 0.0,
         "stop_s": 1087.5289}  # fmt: skip


def ingested(raw: Path, **more: str) -> Result:
    declare = {**FACTS, **more}
    return ingest(raw, store=raw.parent / "store", dataset="lab", declare=declare)


def test_the_store_has_neither_dates_nor_the_key(
    raw: Path, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    result = ingested(raw, dates="shift")
    assert result.tally("new") == 2, result.findings()
    store = open_store(raw.parent / "store")
    starts = [datetime.fromisoformat(store[name].attrs["start_time"]) for name in store.ids()]
    assert (starts[1] - starts[0]).total_seconds() == 24.25 * 3600
    assert all(start.year < 1925 for start in starts)
    for name in store.ids():
        manifest = store.manifest(name)
        assert manifest["attrs"]["date_shifted"] == "yes"
        what = "a date, removed: a shifted one is in its place"
        assert {"where": "recording: start_time", "what": what} in manifest["removed"]
        assert manifest["declarations"]["dates"] == "shift"
    everything = b"".join(p.read_bytes() for p in store.path.rglob("*") if p.is_file())
    told = json.dumps([p.as_dict() for p in result.findings()]).encode() + caplog.text.encode()
    for word in ("2020-02-29", "2020-03-01", KEY):
        assert word.encode() not in everything + told
    assert ingested(raw, dates="shift").tally("same") == 2


def test_a_split_still_sees_that_cuts_are_simultaneous(raw: Path, key: str) -> None:
    shutil.copyfile(raw / "a.nwb", raw / "b.nwb")
    with h5py.File(raw / "b.nwb", "r+") as file:
        for field in ("session_start_time", "timestamps_reference_time"):
            del file[field]
            file[field] = "2020-02-29T23:40:00+05:45"
    ingested(raw, dates="shift")
    store = open_store(raw.parent / "store")
    split = make_split(store, "lab", by="time", gap_s=5.0, fractions={"train": 0.5, "test": 0.5})
    assert any("session S1/1" in p.where and p.level == "error" for p in audit(split, store))


def test_a_key_that_is_set_later_is_used(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(privacy.DATE_KEY, raising=False)
    first = ingested(raw, dates="shift")
    assert (first.tally("new"), first.tally("alias")) == (1, 1)  # without dates they are alike
    store = open_store(raw.parent / "store")
    assert not any("start_time" in store[name].attrs for name in store.ids())
    assert store.manifest("lab/a")["declarations"]["dates"] == "remove"
    assert ingested(raw, dates="remove").tally("same") == 2
    monkeypatch.setenv(privacy.DATE_KEY, KEY)
    assert ingested(raw, dates="shift").tally("new") == 2
    assert all(store[name].attrs["date_shifted"] == "yes" for name in store.ids())


def test_an_unknown_word_fails_the_recording(raw: Path) -> None:
    result = ingested(raw, dates="hide")
    assert result.tally("failed") == 2
    assert any("shift, remove or keep" in p.expected for p in result.findings())


def test_the_key_is_taken_out_of_logs(key: str) -> None:
    assert KEY not in without_secrets(f"something failed with {KEY}")
