"""A comparison of all bytes goes on where it was stopped, and as slowly as it is told to."""

from __future__ import annotations

import json
import os
import time
from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from neurodata.cli.verbs import app
from neurodata.doctor.contents import contents
from neurodata.errors import InvalidInputError, StoreError
from neurodata.store import integrity, open_store, scrub
from neurodata.store.scrub import STATE, Pace
from tests.faults.scenes import publish
from tests.faults.test_operations import driven
from tests.invariants import assert_store_ok

RECORDINGS = 4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store of some recordings."""
    for number in range(RECORDINGS):
        publish(tmp_path / "store", number, f"r{number}")
    return tmp_path / "store"


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The recordings of which every byte is compared, as they are begun; "stop" stops it."""
    names: list[str] = []
    real = integrity.verify

    def listed(folder: Path, *more: object) -> object:
        if names[-1:] == ["stop"]:
            raise KeyboardInterrupt
        names.append(folder.parent.name)
        return real(folder, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(integrity, "verify", listed)
    return names


def stopped(root: Path, compared: list[str], after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare so many recordings, then stop as at Ctrl-C."""
    real = scrub.files.append

    def append(path: Path, data: bytes) -> None:
        real(path, data)
        if len(compared) == after:
            compared.append("stop")

    with monkeypatch.context() as patch:
        patch.setattr(scrub.files, "append", append)
        with pytest.raises(KeyboardInterrupt):
            open_store(root).verify(resume=True)
    compared.remove("stop")


def damage(root: Path, recording: str) -> Path:
    path = open_store(root).folder(f"synthetic/{recording}") / "data.zarr/zarr.json"
    path.write_bytes(path.read_bytes().replace(b"{", b"[", 1))
    return path


def test_killed_anywhere_it_repeats_one_recording_at_most(tmp_path: Path) -> None:
    (found,) = driven(tmp_path, "verify", "--count", str(RECORDINGS))
    assert found["points"] >= 2 * RECORDINGS
    assert found == {"points": found["points"], "most_repeated": 1, "missed": 0, "left": 0}


def test_what_was_compared_is_said_and_left_out(
    root: Path, compared: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(root, compared, 2, monkeypatch)
    assert compared == ["r0", "r1"]
    (note,) = open_store(root).verify(resume=True)
    assert compared == ["r0", "r1", "r2", "r3"]
    assert (note.level, note.where) == ("note", str(root))
    words = note.found.split()
    assert words[:-1] == ["2", "versions", "compared", "before,", "since"]
    assert abs(datetime.fromisoformat(words[-1]).timestamp() - time.time()) < 60
    assert not (root / STATE).exists()
    assert open_store(root).verify(resume=True) == []
    assert compared == ["r0", "r1", "r2", "r3"] * 2
    assert_store_ok(root)


def test_without_resume_all_is_compared_and_nothing_is_written(
    root: Path, compared: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(root, compared, 2, monkeypatch)
    before = (root / STATE).read_bytes()
    compared.clear()
    assert open_store(root).verify() == []
    assert compared == ["r0", "r1", "r2", "r3"]
    assert (root / STATE).read_bytes() == before


def test_damage_is_told_again(
    root: Path, compared: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = damage(root, "r1")
    stopped(root, compared, 3, monkeypatch)
    found = open_store(root).verify(resume=True)
    assert compared == ["r0", "r1", "r2", "r1", "r3"]
    assert [p.where for p in found if p.level == "error"] == [str(damaged)]
    assert [p.found for p in found if p.level == "error"] == ["changed bytes"]


def test_what_is_noted_names_nobody_and_is_no_finding(
    root: Path, compared: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(root, compared, 2, monkeypatch)
    text = (root / STATE).read_text()
    versions = [open_store(root).version(f"synthetic/{name}") for name in ("r0", "r1")]
    assert [line.split()[1] for line in text.splitlines() if line] == versions
    assert "r0" not in text
    assert "synthetic" not in text
    assert [p for check in contents(root) for p in check.problems] == []


@pytest.mark.parametrize("tail", [b"\n2026-01-01T00:00:00Z 0123", b"\n\xff\x00\n{", b"\n" * 9])
def test_a_line_that_was_cut_short_is_none(
    root: Path, compared: list[str], monkeypatch: pytest.MonkeyPatch, tail: bytes
) -> None:
    stopped(root, compared, 1, monkeypatch)
    with (root / STATE).open("ab") as stream:
        stream.write(tail)
    stopped(root, compared, 2, monkeypatch)
    assert open_store(root).verify(resume=True)
    assert compared == ["r0", "r1", "r2", "r3"]


def test_a_note_that_cannot_be_written_or_read_is_a_store_error(root: Path) -> None:
    os.mkfifo(root / STATE)
    with pytest.raises(StoreError, match="no regular file"):
        open_store(root).verify(resume=True)
    (root / STATE).unlink()
    (root / STATE).symlink_to(root / "elsewhere")
    with pytest.raises(StoreError, match="symbolic link"):
        open_store(root).verify(resume=True)
    assert not (root / "elsewhere").exists()


def test_one_recording_is_not_resumed(root: Path) -> None:
    with pytest.raises(InvalidInputError, match="one recording"):
        open_store(root).verify("synthetic/r0", resume=True)


def test_a_version_that_is_taken_out_meanwhile_is_no_finding(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(root)
    real = scrub.integrity.verify

    def pruned(folder: Path, *more: object) -> object:
        if folder.parent.name == "r1":
            publish(root, 9, "r1")
            assert store.prune(keep=1, yes=True).counts()["versions"] == 1
        return real(folder, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(scrub.integrity, "verify", pruned)
    assert store.verify() == []
    assert [len(store.versions(name)) for name in store.ids()] == [1] * RECORDINGS


class Clock:
    """A clock that sleep moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, length_s: float) -> None:
        self.now_s += length_s


def test_bytes_wait_for_their_turn_and_a_second_of_lost_time_is_made_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(scrub, "time", clock)
    pace = Pace(2.0)
    for count, at_s in ((2_000_000, 101.0), (500_000, 101.25), (0, 101.25)):
        pace.spent(count)
        assert clock.now_s == pytest.approx(at_s)
    clock.now_s += 0.25  # while the next block was read
    pace.spent(1_000_000)
    assert clock.now_s == pytest.approx(101.75)
    clock.now_s += 50.0
    pace.spent(4_000_000)
    assert clock.now_s == pytest.approx(151.75 - 1.0 + 2.0)


def test_the_verb_says_what_was_left_out(
    root: Path, compared: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(root, compared, 2, monkeypatch)
    argv = ["verify", "--store", str(root), "--resume", "--limit-mb-s", "50", "--json"]
    done = CliRunner().invoke(app, argv)
    assert done.exit_code == 0, done.output
    (note,) = json.loads(done.stdout)["problems"]
    assert note["found"].startswith("2 versions compared before, since 2")
    argv = ["verify", "--store", str(root), "--resume", "--limit-mb-s", "0"]
    assert CliRunner().invoke(app, argv).exit_code == 2
    done = CliRunner().invoke(app, argv[:-2])
    assert done.exit_code == 0
    assert "4 recordings: intact" in done.output


@pytest.mark.parametrize("limit_mb_s", [0.0, -1.0, float("nan"), float("inf")])
def test_limits_that_cannot_be_are_refused(root: Path, limit_mb_s: float) -> None:
    with pytest.raises(InvalidInputError, match="more than 0"):
        open_store(root).verify(limit_mb_s=limit_mb_s)


@pytest.mark.parametrize("id", [None, "synthetic/r0"])
def test_every_byte_counts(root: Path, monkeypatch: pytest.MonkeyPatch, id: str | None) -> None:
    clock = Clock()
    monkeypatch.setattr(scrub, "time", clock)
    store = open_store(root)
    assert store.verify(id, limit_mb_s=0.001) == []
    names = [id] if id else store.ids()
    sizes = [entry["size"] for name in names for entry in store.manifest(name)["files"]]
    assert clock.now_s - 100.0 == pytest.approx(sum(sizes) / 1000)
