"""Forgetting a person leaves no byte; pruning leaves what is needed; a kill does no harm."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner
from typer.testing import Result as Done

from neurodata.cli.upkeep import app
from neurodata.errors import (
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    SplitError,
    StoreError,
    UnsafeError,
)
from neurodata.publish import push
from neurodata.splits import Split, make_split
from neurodata.store import Store, files
from neurodata.store.chunk_cache import ChunkCache
from neurodata.store.remote import RemoteStore
from neurodata.store.removal import REMOVALS, tombstones
from tests.invariants import assert_store_ok
from tests.synthetic_people import (
    OTHERS,
    RECORDING,
    SUBJECT,
    leave_behind,
    marks,
    people,
    person,
    seen,
    signal_of,
)

ROOT = Path(__file__).parents[1]
KILLS = 8
LEFT = [f"lab/sub-{other}_eeg" for other in OTHERS]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, as forgetting empties it."""
    monkeypatch.setenv("NEURODATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic store of a few people."""
    return people(tmp_path_factory.mktemp("people") / "store").path


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Store:
    """A copy of it, to forget someone in."""
    shutil.copytree(made, tmp_path / "store")
    return Store(tmp_path / "store")


def bytes_of(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# ---- forget


def test_no_byte_of_the_person_is_left(store: Store) -> None:
    words = marks(store)
    leave_behind(store.path, store.folder(f"lab/{RECORDING}"))
    before = seen(store.path, words)
    assert before.keys() == words
    assert {".staging/scrap.part", ".staging/catalog.sqlite", "catalog.sqlite"} <= {
        *before[RECORDING.encode()]
    }
    removal = store.forget(SUBJECT, yes=True)
    assert seen(store.path, words) == {}
    assert store.ids() == LEFT
    assert len(removal.held) == 3
    assert removal.ids == (f"clinic/{SUBJECT}_night", f"lab/{RECORDING}")
    assert removal.aliases == (f"lab/copy_of_{SUBJECT}",)
    assert_store_ok(store.path)
    for name in LEFT:
        assert np.any(signal_of(store[name]))


def test_what_had_been_deleted_from_the_catalogue_before_goes_too(store: Store) -> None:
    gone = store.folder(LEFT[0])
    word = {gone.name.encode()}
    shutil.rmtree(gone)
    store.rebuild()
    row = ("lab", f"alias_{gone.name}", "recipe", gone.parent.name, gone.name)
    with sqlite3.connect(store.path / "catalog.sqlite") as connection:
        connection.execute("INSERT INTO aliases VALUES (?, ?, ?, ?, ?)", row)
    connection.close()
    assert seen(store.path, word)
    store.forget(SUBJECT, yes=True)
    assert seen(store.path, word) == {}


def test_deleted_pages_of_the_catalogue_do_not_stay(store: Store) -> None:
    with sqlite3.connect(store.path / "catalog.sqlite") as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        rows = [("lab", f"r{n}", f"once_{SUBJECT}" * 50, "t", "v") for n in range(100)]
        connection.executemany("INSERT INTO aliases VALUES (?, ?, ?, ?, ?)", rows)
        connection.commit()
        connection.execute("DELETE FROM aliases WHERE target = 't'")
    connection.close()
    word = f"once_{SUBJECT}".encode()
    assert seen(store.path, {word}) == {word: ["catalog.sqlite"]}
    store.forget(SUBJECT, yes=True)
    assert seen(store.path, {word}) == {}


def test_the_tombstone_has_counts_and_no_identity(store: Store) -> None:
    size = sum(len(data) for name, data in bytes_of(store.path).items() if SUBJECT in name)
    store.forget(SUBJECT, yes=True)
    store.forget(OTHERS[0], yes=True)
    first, second = tombstones(store.path)
    assert json.loads((store.path / REMOVALS).read_text()) == [first, second]
    assert {**first, "date": ""} == {
        "number": 1, "date": "", "kind": "forget",
        "recordings": 2, "versions": 3, "size_bytes": size,
    }  # fmt: skip
    assert len(first["date"]) == len("2026-01-01")
    assert (second["number"], second["recordings"], second["versions"]) == (2, 1, 1)


def test_without_yes_nothing_changes(store: Store) -> None:
    leave_behind(store.path, store.folder(f"lab/{RECORDING}"))
    store.ids()
    before = bytes_of(store.path)
    shown = store.forget(SUBJECT)
    assert shown.tombstone is None
    assert {one.id for one in shown.held} == set(shown.ids)
    folders = store.path.glob("*/*/*")
    sizes = {folder.name: sum(map(len, bytes_of(folder).values())) for folder in folders}
    assert {one.version: one.size_bytes for one in shown.held}.items() <= sizes.items()
    store.prune()
    assert bytes_of(store.path) == before


@pytest.mark.parametrize("yes", [False, True])
def test_an_unknown_subject_is_refused_without_telling_of_any(store: Store, yes: bool) -> None:
    with pytest.raises(NotFoundError) as caught:
        store.forget("nobody5", yes=yes)
    told = str(caught.value)
    assert not any(name in told for name in ("nobody5", SUBJECT, *OTHERS))
    assert store.forget(SUBJECT[:-1] + SUBJECT[-1]).held
    for near in (SUBJECT[:-1], SUBJECT.upper(), f"sub-{SUBJECT}", f" {SUBJECT}"):
        with pytest.raises(NotFoundError):
            store.forget(near, yes=yes)
    with pytest.raises(InvalidInputError):
        store.forget("", yes=yes)
    assert not (store.path / REMOVALS).exists()


def test_of_one_data_set_only(store: Store) -> None:
    store.forget(SUBJECT, "clinic", yes=True)
    assert store.ids() == sorted([*LEFT, f"lab/{RECORDING}"])
    assert not (store.path / "clinic").exists()
    with pytest.raises(NotFoundError):
        store.forget(SUBJECT, "clinic", yes=True)
    assert_store_ok(store.path)


def test_all_versions_of_a_recording_go_whatever_they_state(store: Store) -> None:
    store.publish(person("kp99", 7), dataset="lab", recording=RECORDING)
    assert store.manifest(f"lab/{RECORDING}")["attrs"]["subject"] == "kp99"
    removal = store.forget(SUBJECT, yes=True)
    assert len(removal.held) == 4
    assert ["another subject" in p.found for p in removal.problems] == [True]
    assert store.ids() == LEFT


def test_a_name_that_got_content_of_its_own_stays(store: Store) -> None:
    name = f"copy_of_{SUBJECT}"
    store.publish(person("kp50", 8), dataset="lab", recording=name)
    assert store.forget(SUBJECT, yes=True).aliases == ()
    assert store.ids() == sorted([f"lab/{name}", *LEFT])
    assert_store_ok(store.path)


def test_a_version_with_a_damaged_manifest_goes_by_its_catalogue_row(store: Store) -> None:
    words = marks(store)
    folder = store.folder(f"clinic/{SUBJECT}_night")
    (folder / "manifest.json").write_text("{")
    assert any("readable" in p.found for p in store.forget(OTHERS[0]).problems)
    store.forget(SUBJECT, yes=True)
    assert seen(store.path, words) == {}
    assert not folder.exists()


def test_a_reader_of_what_goes_gets_an_error_and_never_zeros(store: Store) -> None:
    tree = store[f"lab/{RECORDING}"]
    arrays = store.arrays(f"lab/{RECORDING}")
    whole = store[LEFT[0]]
    store.forget(SUBJECT, yes=True)
    with pytest.raises(IntegrityError):
        signal_of(tree)
    with pytest.raises(IntegrityError):
        arrays.nodes["eeg"]["signal_adc"].values
    with pytest.raises(NotFoundError):
        store[f"lab/{RECORDING}"]
    assert np.any(signal_of(whole))


def test_an_ingest_at_work_is_told_and_left_alone(store: Store) -> None:
    staging = store.path / ".staging"
    with files.locked(staging / "alive.lock"):
        (staging / "alive").mkdir()
        removal = store.forget(SUBJECT, yes=True)
        assert (staging / "alive").is_dir()
    assert [p.found for p in removal.problems] == ["1 ingests at work"]


def test_a_link_in_place_of_a_recording_is_refused_before_anything_goes(
    store: Store, tmp_path: Path
) -> None:
    folder = store.path / "lab" / RECORDING
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeError):
        store.forget(SUBJECT, yes=True)
    assert f"clinic/{SUBJECT}_night" in store.ids()


def test_the_cache_of_remote_chunks_is_emptied(store: Store, cache: Path) -> None:
    chunks = ChunkCache(cache)
    chunks.put(ChunkCache.key("one"), SUBJECT.encode())
    removal = store.forget(SUBJECT)
    assert chunks.used_bytes()
    removal = store.forget(SUBJECT, yes=True)
    assert chunks.used_bytes() == 0
    assert any("remote stores, removed" in p.found for p in removal.problems)


def test_a_remote_store_refuses() -> None:
    afar = object.__new__(RemoteStore)
    afar.where = "https://example.org/store"
    with pytest.raises(StoreError, match="read-only"):
        afar.forget("S1", yes=True)
    with pytest.raises(StoreError, match="read-only"):
        afar.prune(yes=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_cannot_be_written_is_refused(store: Store) -> None:
    (store.path / ".staging").chmod(0o500)
    with pytest.raises(StoreError):
        store.forget(SUBJECT, yes=True)


def test_a_full_disk_is_told_without_names_and_the_next_call_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = marks(store)

    rename = files.rename

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", f"{store.path}/lab/{RECORDING}")

    monkeypatch.setattr("neurodata.store.removal.files.rename", full)
    with pytest.raises(StoreError) as caught:
        store.forget(SUBJECT, yes=True)
    assert SUBJECT not in str(caught.value)
    assert "No space left" in str(caught.value)
    assert store.ids() == LEFT
    monkeypatch.setattr("neurodata.store.removal.files.rename", rename)
    assert [p.hint for p in store.prune().problems] == ["add --yes"]
    assert store.forget(SUBJECT, yes=True).tombstone
    assert seen(store.path, words) == {}
    assert_store_ok(store.path)


def test_killed_on_the_way_it_is_finished_by_the_next_call(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tests.forget_driver", str(tmp_path), str(KILLS)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == KILLS
    assert all(line["killed"] for line in found)
    assert [line for line in found if line["look"] or line["mend"]] == [], done.stderr


# ---- prune


@pytest.fixture
def aged(store: Store) -> tuple[Store, list[str]]:
    """A store with four versions of one recording, these newest first, and of another name."""
    name = LEFT[0]
    for seed in (31, 32, 33):
        store.publish(person(OTHERS[0], seed), dataset="lab", recording=name[4:])
    return store, store.versions(name)


def test_prune_keeps_the_newest(aged: tuple[Store, list[str]]) -> None:
    store, found = aged
    newest = signal_of(store[LEFT[0]])
    shown = store.prune("lab")
    size = sum(map(len, bytes_of(store.path / LEFT[0] / found[1]).values()))
    assert {one.version: one.size_bytes for one in shown.held}[found[1]] == size
    removal = store.prune("lab", yes=True)
    assert removal.held == shown.held
    assert store.versions(LEFT[0]) == found[:1]
    assert len(store.versions(f"lab/{RECORDING}")) == 1
    np.testing.assert_array_equal(signal_of(store[LEFT[0]]), newest)
    assert_store_ok(store.path)
    assert [one["kind"] for one in tombstones(store.path)] == ["prune"]
    assert store.prune("lab", yes=True).held == ()
    assert len(tombstones(store.path)) == 1


def test_prune_keeps_as_many_as_asked_and_what_is_pinned(aged: tuple[Store, list[str]]) -> None:
    store, found = aged
    removal = store.prune(keep=2, pinned={f"{LEFT[0]}@{found[3]}"}, yes=True)
    assert store.versions(LEFT[0]) == [found[0], found[1], found[3]]
    assert [p.where for p in removal.problems] == [f"{LEFT[0]}@{found[3]}"]
    for keep in (0, -1):
        with pytest.raises(InvalidInputError):
            store.prune(keep=keep)
    with pytest.raises(NotFoundError):
        store.prune("nosuch")


def test_prune_keeps_what_another_name_points_to(aged: tuple[Store, list[str]]) -> None:
    store, found = aged
    store.publish(person(OTHERS[0], 32), dataset="lab", recording="other_name")
    want = signal_of(store["lab/other_name"])
    removal = store.prune(yes=True)
    assert store.version("lab/other_name") == found[1]
    np.testing.assert_array_equal(signal_of(store["lab/other_name"]), want)
    assert any("another name" in p.found for p in removal.problems)
    assert_store_ok(store.path)


# ---- the command line


def call(*argv: object) -> Done:
    return CliRunner().invoke(app, [str(word) for word in argv])


def as_json(*argv: object, code: int = 0) -> dict[str, Any]:
    done = call(*argv, "--json")
    assert done.exit_code == code, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def outside(store: Store, tmp_path: Path) -> dict[str, Path]:
    """A split and a pushed folder with the person, and each without."""
    thirds = {"train": 0.5, "test": 0.5}
    split = make_split(store, "lab", by="subject", fractions=thirds)
    (tmp_path / "splits").mkdir()
    split.write(tmp_path / "splits" / "lab.subject.json")
    split.without([f"lab/{RECORDING}"]).write(tmp_path / "splits" / "without.json")
    push(store, "lab", tmp_path / "pushed" / "lab")
    shutil.copytree(tmp_path / "pushed" / "lab", tmp_path / "pushed" / "clean")
    shutil.rmtree(tmp_path / "pushed" / "clean" / "stores" / "lab" / RECORDING)
    return {name: tmp_path / name for name in ("splits", "pushed")}


def test_forget_lists_stale_splits_and_pushed_folders(
    store: Store, outside: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    digest = Split.read(outside["splits"] / "lab.subject.json").digest
    words = ("forget", SUBJECT, "--store", store.path,
             "--splits", outside["splits"], "--pushed", outside["pushed"])  # fmt: skip
    shown = as_json(*words)
    assert [item["id"] for item in shown["items"]].count(f"lab/{RECORDING}") == 2
    assert sum(item["size_bytes"] for item in shown["items"]) == store.forget(SUBJECT).size_bytes
    stale = [p["where"] for p in shown["problems"] if p["expected"].startswith("a ")]
    assert len(stale) == 2
    assert stale[0] == f"{outside['splits'] / 'lab.subject.json'} (digest {digest[:12]})"
    assert stale[1].startswith(f"{outside['pushed'] / 'lab'} (croissant.json ")
    assert store.ids() != LEFT
    done = as_json(*words, "--yes")
    assert [p["where"] for p in done["problems"]] == stale
    assert SUBJECT not in json.dumps(done).replace(str(store.path.parent), "")
    assert done["items"][0]["recordings"] == 2
    assert store.ids() == LEFT
    again = as_json(*words)  # the store knows nobody of that name any more
    assert [p["where"] for p in again["problems"]][:2] == stale
    assert SUBJECT not in caplog.text


def test_a_stale_split_is_mended_as_the_page_says(store: Store, outside: dict[str, Path]) -> None:
    file = outside["splits"] / "lab.subject.json"
    store.forget(SUBJECT, yes=True)
    page = (ROOT / "docs" / "personal_data.md").read_text("utf-8")
    code = page.partition("## Stale splits")[2].partition("```python\n")[2].partition("```")[0]
    code = code.replace('"store"', repr(str(store.path)))
    exec(code.replace('"splits/lab.subject.json"', repr(str(file))), {})
    mended = Split.read(file)
    assert [f"{one['id']}@{one['version']}" in store for one in mended.assignments] == [True] * 3
    none = outside["pushed"] / "none"
    words = ("forget", OTHERS[0], "--store", store.path, "--splits", file, "--pushed", none)
    found = as_json(*words)
    assert len(found["problems"]) == 1


def test_forget_of_nobody_is_misuse_that_names_nobody(store: Store, tmp_path: Path) -> None:
    done = call("forget", "nobody5", "--store", store.path, "--splits", tmp_path, "--yes")
    assert done.exit_code == 2
    assert not any(name in done.output for name in ("nobody5", SUBJECT, *OTHERS))


def test_prune_spares_what_a_split_names(aged: tuple[Store, list[str]], tmp_path: Path) -> None:
    store, found = aged
    entries: Any = [{"id": LEFT[0], "version": found[2], "group": "a", "split": "train"}]
    split = Split.sealed("lab", "subject", "", {"train": 1.0}, None, entries)
    split.write(tmp_path / "one.json")
    words = ("prune", "--store", store.path, "--splits", tmp_path / "one.json")
    shown = as_json(*words)
    assert {item["version"] for item in shown["items"]} >= {found[1], found[3]}
    assert store.versions(LEFT[0]) == found
    done = call(*words, "--yes")
    assert done.exit_code == 0, done.output
    assert "removed 2 recordings, 3 versions" in done.output
    assert store.versions(LEFT[0]) == [found[0], found[2]]
    (tmp_path / "one.json").write_text("{}")
    assert call(*words).exit_code == 1
    with pytest.raises(SplitError):
        Split.read(tmp_path / "one.json")
    warned = as_json("prune", "--store", store.path, "--splits", tmp_path / "none")
    assert [p["found"] for p in warned["problems"]] == ["no split file"]
    assert [(item["id"], item["version"]) for item in warned["items"]] == [(LEFT[0], found[2])]
