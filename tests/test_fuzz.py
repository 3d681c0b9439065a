"""Damaged files under limits: a part of what `python -m tests.fuzz` does, and what it has found."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pyarrow.feather
import pyarrow.ipc
import pytest
import tifffile
import yaml

from neurodata import safe_feather, schema
from neurodata.declare import Declared
from neurodata.errors import RefusedError, UnreadableError
from neurodata.ingestion import ingest
from neurodata.readers import (
    TABLE,
    adjacency,
    brainvision,
    delimited,
    edgelist,
    graphml,
    tiff_image,
)
from neurodata.recognise import recognise
from neurodata.safe import Raw
from neurodata.safe_hdf5 import open_hdf5
from neurodata.sources import scan
from tests.fuzz.damage import ALL, Damage, Valid, draw
from tests.fuzz.judge import judge
from tests.fuzz.server import MIB, Limits, Server
from tests.fuzz.stated import STATED
from tests.readers import test_brainvision, test_graphml, test_wfdb

ROOT = Path(__file__).parents[1]
CASES = 30


def run(*arguments: str) -> list[dict[str, Any]]:
    """Run the fuzzer in a process of its own and return what it printed."""
    argv = [sys.executable, "-m", "tests.fuzz", "--json", *arguments]
    env = {key: value for key, value in os.environ.items() if key != "NEURODATA_REALDATA"}
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, env=env, check=False)
    assert done.stdout, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


# all readers


@pytest.mark.slow
def test_no_reader_breaks_hangs_or_takes_damage_for_data() -> None:
    found = run("--cases", str(CASES))
    assert {tally["format"] for tally in found} == set(TABLE)
    assert [(t["format"], defect) for t in found for defect in t["defects"]] == []
    assert [t["format"] for t in found if t["unrefused_by_hash"]] == []
    assert min(tally["cases"] for tally in found) >= CASES


@pytest.mark.slow
def test_a_large_file_takes_little_memory() -> None:
    found = run("--memory", "--format", "edf,nifti,hdf5,ome_zarr")
    assert [item for item in found if item["over"]] == []


def test_every_format_says_what_it_cannot_detect() -> None:
    assert set(STATED) <= set(TABLE)
    reasons = [r for s in STATED.values() for r in (s.values, s.facts, *s.short.values())]
    assert all(reason == reason.strip() for reason in reasons)


# known checksums


def changes(files: dict[str, bytes]) -> Iterator[dict[str, bytes | None]]:
    for name, data in files.items():
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        for changed in (None, b"", data[:-1], flipped, data + b"\0"):
            yield {**files, name: changed}


def test_a_pipeline_with_checksums_takes_no_changed_file(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    test_brainvision.write(raw)
    files = {path.name: path.read_bytes() for path in sorted(raw.iterdir())}
    listed = [
        {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    ]
    pipeline = tmp_path / "synthetic.yaml"
    pipeline.write_text(yaml.safe_dump({
        "id": "synthetic", "version": 1, "title": "Synthetic", "licence": "CC0-1.0",
        "citation": "made up", "modality": "eeg", "sources": [{"path": "raw", "files": listed}],
    }))  # fmt: skip
    whole = ingest(pipeline, store=tmp_path / "store")
    assert whole.ok, whole.findings()
    for number, changed in enumerate(changes(files)):
        for name, data in changed.items():
            (raw / name).unlink(missing_ok=True)
            if data is not None:
                (raw / name).write_bytes(data)
        assert not ingest(pipeline, store=tmp_path / f"store{number}").ok


# the fuzzer itself


def test_damage_is_the_same_in_every_run() -> None:
    random = np.random.default_rng(1)
    files = {"a.dat": random.bytes(5000), "a.txt": b"rate 100\nchannels 3\n" * 20}
    valid = Valid(files, "a.txt", ("a.txt", "a.dat"), ("a.txt", "a.dat"),
                  {"no rate": lambda whole: whole.replace(b"100", b"0")})  # fmt: skip
    first, again = (list(draw(valid, ALL, 200, 1)) for _ in range(2))
    assert first == again
    assert len(first) == 200
    assert {damage.kind for damage in first} == set(ALL)
    assert all(damage.files != files for damage in first)
    assert [damage.kind for damage in draw(valid, ("truncate", "flip"), 30, 1)][:8] == (
        ["truncate"] * 8
    )


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_and_counts_the_same(tmp_path: Path) -> None:
    """The journal is cut within its last line, as a kill would leave it."""
    journal = tmp_path / "journal.jsonl"
    plan = ("--format", "swc", "--cases", "600", "--children", "1", "--batch", "50")
    (whole,) = run(*plan, "--journal", str(journal))
    lines = journal.read_text().splitlines(keepends=True)
    assert len(lines) > 2
    assert sum(json.loads(line)["counts"]["cases"] for line in lines) == whole["cases"] >= 600
    journal.write_text(lines[0] + lines[1][: len(lines[1]) // 2])
    (again,) = run(*plan, "--journal", str(journal))
    assert {**again, "seconds": 0, "peak_mib": 0} == {**whole, "seconds": 0, "peak_mib": 0}
    counts = [json.loads(line)["counts"]["cases"] for line in journal.read_text().splitlines()]
    assert sum(counts) == whole["cases"]


def behave(case: str, folder: Path) -> dict[str, Any]:
    if case == "crash":
        os.abort()
    if case == "hang":
        time.sleep(60)
    if case == "memory":
        np.ones(600 * MIB, "u1")
    return {"class": "done"}


def test_children_that_crash_hang_or_swell_are_told_apart(tmp_path: Path) -> None:
    limits = Limits(seconds=0.5, memory_bytes=400 * MIB)
    cases = ["crash", "hang", "memory", "nothing"]
    found = {d.case: d.result["class"] for d in Server(behave, tmp_path, limits).run(cases)}
    assert found == {"crash": "crash", "hang": "timeout", "memory": "memory", "nothing": "done"}


@pytest.mark.parametrize(
    ("kind", "changed", "verdict", "is_defect"),
    [
        ("flip", {"class": "refused"}, "refused", False),
        ("flip", {"class": "foreign", "error": "KeyError: 1"}, "foreign", True),
        ("flip", {"facts": {"clock": {"eeg@rate_hz": "1"}}}, "identical", False),
        ("flip", {"facts": {"clock": {"eeg@rate_hz": "2"}}}, "silent", True),
        ("truncate", {"facts": {"clock": {"eeg@rate_hz": "2"}}}, "short", True),
        ("flip", {"facts": {}, "warnings": ["a rate of 2"]}, "told", False),
    ],
)
def test_verdicts(kind: str, changed: dict[str, Any], verdict: str, is_defect: bool) -> None:
    sound = {"class": "accepted", "facts": {"clock": {"eeg@rate_hz": "1"}}, "warnings": []}
    found = judge("xlsx", Damage(kind, "", {}), sound, {**sound, **changed})
    assert (found.kind, bool(found.defect)) == (verdict, is_defect)


# what it has found


def test_a_table_with_trash_after_its_end_is_no_adjacency(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.csv"
    table = b"0 1 2\n1 0 3\n2 3 0\n"
    path.write_bytes(table * 300 + b"\0\xff")
    assert adjacency.sniff((table * 300)[:4096], path) is False


@pytest.mark.parametrize("module", [adjacency, edgelist])
def test_a_table_with_names_and_trash_after_its_end_is_none(
    module: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "synthetic.csv"
    table = b"cell,other,weight\nA,B,1\nA,C,2\nB,C,3\n"
    path.write_bytes(table + b"D,E,4\n" * 900 + b"\0")
    assert module.sniff(table, path) is False


def test_a_feather_batch_larger_than_its_block_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.feather"
    pyarrow.feather.write_feather(pyarrow.table({"a": [1, 2, 3]}), path, compression="lz4")
    whole = path.read_bytes()
    found = []
    for at in range(0, len(whole) - 8, 8):
        if 0 < int.from_bytes(whole[at : at + 8], "little") < len(whole):  # a length, mostly
            path.write_bytes(whole[: at + 6] + b"\1" + whole[at + 7 :])
            try:
                list(safe_feather.batches(path, ["a"]))
            except RefusedError as refusal:
                found.append(refusal.found)
    assert found
    assert not any("Memory" in each for each in found)


def test_a_prefix_without_a_namespace_is_refused(tmp_path: Path) -> None:
    path = test_graphml.TestGraphml().make(tmp_path)
    path.write_bytes(
        path.read_bytes().replace(b"<node ", b"<q:node ", 1).replace(b"</node>", b"</q:node>", 1)
    )
    with pytest.raises(UnreadableError, match="no readable GraphML"):
        graphml.read(Raw(tmp_path, (path,)), Declared({"weight_units": "1"}))


@pytest.mark.parametrize("cell", ["7" * 5000, "9" * 30])
def test_numbers_of_thousands_of_digits_are_refused(cell: str) -> None:
    if len(cell) > 1000:
        with pytest.raises(UnreadableError, match="a number out of range"):
            delimited.numbers([cell], "synthetic")
    else:
        assert delimited.numbers([cell], "synthetic").dtype == "f8"


@pytest.mark.parametrize("node", ["1e99999999999999999999", "7" * 5000, "--5", "²"])
def test_odd_node_ids_make_no_foreign_exception(node: str, tmp_path: Path) -> None:
    path = tmp_path / "synthetic.edgelist"
    path.write_text(f"1 2 0.5\n1 3 2.0\n2 {node} 7.25\n", encoding="utf-8")
    with contextlib.suppress(RefusedError):
        edgelist.read(Raw(tmp_path, (path,)), Declared({"weight_units": "1", "directed": 1}))


def test_a_heap_that_hdf5_would_never_end_reading_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.h5"
    with h5py.File(path, "w") as file:
        file["names"] = ["first", "second"]
    whole = path.read_bytes()
    at = whole.index(b"first") - 8  # the length of the first text: two bytes make it too long
    assert whole[at : at + 8] == (5).to_bytes(8, "little")
    assert whole[whole.index(b"GCOL") :][:5] == b"GCOL\x01"
    path.write_bytes(whole[: at + 1] + b"\1" + whole[at + 2 :])
    with pytest.raises(UnreadableError, match="free space of no length"), open_hdf5(path):
        pass


def test_a_movie_without_pixels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.tif"
    tifffile.imwrite(path, np.ones((3, 4, 5), "u2"), photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        at = file.pages.first.tags["ImageLength"].valueoffset
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + bytes(2) + whole[at + 2 :])
    with pytest.raises(RefusedError):
        tiff_image.stored_series(path, Raw(tmp_path, (path,)))


@pytest.mark.parametrize("old", [b"[Marker Infos]", b"MarkerFile"])
def test_markers_are_not_lost_in_silence(old: bytes, tmp_path: Path) -> None:
    path, _ = test_brainvision.write(tmp_path, markers=("Stimulus,S 1,5,1,0",))
    changed = path if old == b"MarkerFile" else path.with_suffix(".vmrk")
    changed.write_bytes(changed.read_bytes().replace(old, old.replace(b"M", b"N", 1)))
    raw = test_brainvision.raw_of(path)
    try:
        tree = brainvision.read(raw, Declared())
    except RefusedError:
        return
    assert "annotations" not in tree
    assert any("is there" in problem.expected for problem in raw.problems)


def test_texts_without_an_annotation_are_refused(tmp_path: Path) -> None:
    path = test_wfdb.write(tmp_path)
    beat, text = (
        (code << 10 | number).to_bytes(2, "little") for code, number in ((1, 10), (63, 2))
    )
    path.with_suffix(".atr").write_bytes(beat + (text + b"ab") * 2 + bytes(2))
    with pytest.raises(RefusedError):
        test_wfdb.read(path)


def test_a_factor_beyond_float32_is_an_error(tmp_path: Path) -> None:
    path, _ = test_brainvision.write(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"right,,2,", b"right,,1e308,"))
    found = schema.check(brainvision.read(test_brainvision.raw_of(path), Declared()))
    assert [problem.where for problem in found if problem.level == "error"] == ["misc/scale"]


def test_a_file_that_cannot_be_sorted_does_not_stop_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def members(path: Path, folder: object) -> tuple[Path, ...]:
        raise UnreadableError(path.name, "damaged", "intact")

    test_brainvision.write(tmp_path)
    test_wfdb.write(tmp_path)
    monkeypatch.setattr(brainvision, "members", members)
    found, problems = recognise(scan(tmp_path))
    assert [item.reader for item in found] == ["wfdb"]
    assert ("a.vhdr", "damaged") in {(problem.where, problem.found) for problem in problems}
