"""A heap of files is sorted by content; what no recording uses is listed, nothing is silent."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from neurodata import recognise as module
from neurodata.pipeline import names
from neurodata.plan import Plan, plan
from neurodata.recognise import recognise, slug
from neurodata.sources import Scan, scan

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"
GRIP = "sub-testsub_ses-EphysMedOff_task-gripforce_run-0_ieeg"
SPACE = "sub-testsub_ses-EphysMedOff_space-mni"
# Main file: reader, name of the recording, and the side-cars that it must have at least.
RECORDINGS = {
    "A0634-210127.nwb": ("nwb", "A0634-210127", set()),
    "A8604-211122.nwb": ("nwb", "A8604-211122", set()),
    "test_subsecond.edf": ("edf", "test_subsecond", set()),
    "test_utf8.edf": ("edf", "test_utf8", set()),
    "fmri1.nii.gz": ("nifti", "fmri1", set()),
    "functional.nii": ("nifti", "functional", set()),
    "anatomical.nii": ("nifti", "anatomical", set()),
    f"{GRIP}.vhdr": (
        "brainvision",
        GRIP,
        {f"{GRIP}.eeg", f"{GRIP}.vmrk", f"{GRIP}.json", GRIP.replace("_ieeg", "_channels.tsv"),
         f"{SPACE}_electrodes.tsv", f"{SPACE}_coordsystem.json", "participants.tsv"},
    ),
    "left_adjacency.csv": ("adjacency", "left_adjacency", {"left_cell_labels.csv"}),
    "right_adjacency.csv": ("adjacency", "right_adjacency", {"right_cell_labels.csv"}),
    "sub-54776_ses-1_dti.edgelist": ("edgelist", "sub-54776_ses-1_dti", {"participants.csv"}),
    "sub-54777_ses-1_dti.edgelist": ("edgelist", "sub-54777_ses-1_dti", {"participants.csv"}),
    "img2d.tif": ("tiff", "img2d", {"mask2d.tif"}),
    "img3d.tif": ("tiff", "img3d", {"mask3d.tif"}),
}  # fmt: skip
LEFT = {"ATTRIBUTION.md": "warning", "README": "note", "participants.json": "note"}


@pytest.fixture(scope="module")
def heap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files of all samples in one flat folder."""
    folder = tmp_path_factory.mktemp("heap")
    for path in SAMPLES.rglob("*"):
        if path.is_file():
            assert not (folder / path.name).exists()
            shutil.copyfile(path, folder / path.name)
    return folder


@pytest.fixture(scope="module")
def sorted_heap(heap: Path) -> Plan:
    return plan(heap, dataset="heap")


def test_a_flat_heap_of_all_samples_is_sorted(sorted_heap: Plan) -> None:
    found = {job.files[0].name: job for job in sorted_heap.jobs}
    assert set(RECORDINGS) <= set(found)
    assert len(sorted_heap.jobs) == sum(len(plan(name).jobs) for name in names())
    for main, (reader, name, side_cars) in RECORDINGS.items():
        job = found[main]
        assert (job.reader, job.recording) == (reader, name)
        assert side_cars <= {path.name for path in job.files[1:]}
    signals = {name.rpartition(".")[2] for name in RECORDINGS} | {"eeg", "tif"}
    for main in RECORDINGS:
        files = {path.name for path in found[main].files}
        theirs = {name for name in files if name.rpartition(".")[2] in signals - {"csv"}}
        assert theirs <= {main, *RECORDINGS[main][2]}


def test_what_no_recording_uses_is_listed(sorted_heap: Plan) -> None:
    found = {problem.where: problem.level for problem in sorted_heap.problems}
    assert found == LEFT


def names_of(found: Scan) -> set[str]:
    jobs, problems = recognise(found)
    used = {path.name for job in jobs for path in job.files}
    return used | {problem.where for problem in problems}


@pytest.mark.parametrize("seed", range(6))
def test_in_any_part_of_the_heap_every_file_is_used_or_named(heap: Path, seed: int) -> None:
    files = sorted(heap.iterdir())
    kept = sorted(random.Random(seed).sample(files, len(files) // 2))
    assert names_of(Scan(heap, tuple(kept), ())) == {path.name for path in kept}


def test_files_that_claim_each_other_as_side_cars_are_named(
    heap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No reader shall do so; if one did, neither file may vanish."""
    pair = (heap / "img2d.tif", heap / "mask2d.tif")

    class Greedy:
        SUFFIXES = (".tif",)

        def sniff(self, head: bytes, path: Path) -> bool:
            return True

        def members(self, path: Path, folder: tuple[Path, ...]) -> tuple[Path, ...]:
            return (path, *(other for other in folder if other != path))

    monkeypatch.setattr(module, "reader", lambda name: Greedy())
    assert names_of(Scan(heap, pair, ())) == {"img2d.tif", "mask2d.tif"}


def test_an_order_of_files_does_not_matter(heap: Path, sorted_heap: Plan) -> None:
    found = scan(heap)
    jobs, _ = recognise(Scan(heap, found.files[::-1], found.problems))
    assert {job.files[0]: set(job.files) for job in jobs} == {
        job.files[0]: set(job.files) for job in sorted_heap.jobs
    }


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.edf", "a"), ("a.nii.gz", "a"), ("a.b.nii", "a.b"), ("x/y/a.tif", "x_y_a"),
        ("Ünïcode é.nii", "n-code"), (".nii", "nii"), ("a b/c(1).nii", "a-b_c-1"),
        ("x" * 300 + ".nii", "x" * 128), ("日本.nii", "recording"), ("a", "a"),
    ],
)  # fmt: skip
def test_a_name_becomes_part_of_an_id(path: str, expected: str) -> None:
    assert slug(Path("raw") / path, Path("raw")) == expected


# ---- what is in no recording is called what it is


@pytest.mark.parametrize(
    ("name", "content", "level", "found"),
    [
        ("a.edf", b"\xef\xbb\xbf<!-- x --><HTML><body>404", "error", "an HTML page"),
        ("a.html", b"<!DOCTYPE html><html></html>", "error", "an HTML page"),
        ("a.nii", b"Not found\n", "error", "text"),
        ("a.log", b"started\n", "warning", "a file that no recording uses"),
        ("README.nii", b"see there\n", "note", "a document"),
        ("a.pdf", b"%PDF-1.4\n\xff\xff", "warning", "a PDF document, which no recording uses"),
        ("a.nwb", b"%PDF-1.4\n\xff\xff", "error", "a PDF document"),
        ("a.bin", bytes(300), "error", "zeros only"),
        ("a.tar", bytes(257) + b"ustar\0" + bytes(200), "error", "a TAR archive"),
        ("a.mp4", b"\0\0\0\x20ftypisom" + bytes(50), "warning",
         "a video, which no recording uses"),
        ("a.pkl", b"\x80\x04\x95" + bytes(9), "error", "a Python pickle"),
        ("desktop.ini", b"[.ShellClassInfo]\r\n", "note", "a file of the operating system"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(40), "warning", "one picture"),
        ("x.dat", b"\x17\x03\xff\xfe" * 50, "error", "bytes of no known format"),
    ],
)  # fmt: skip
def test_what_is_no_recording_is_called_what_it_is(
    tmp_path: Path, name: str, content: bytes, level: str, found: str
) -> None:
    (tmp_path / name).write_bytes(content)
    jobs, problems = recognise(scan(tmp_path))
    assert jobs == []
    assert [(p.where, p.level, p.found) for p in problems] == [(name, level, found)]
    if level == "error":
        assert problems[0].expected
        assert problems[0].hint


def test_a_zarr_folder_without_its_hidden_files_is_one_finding(tmp_path: Path) -> None:
    for name in ("a.zarr/0/0/0", "a.zarr/0/0/1", "a.zarr/labels/x/0/0"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"\x02\x01\x21\x01" * 9)
    (tmp_path / "b").write_bytes(b"\x02\x01\x21\x01" * 9)
    jobs, problems = recognise(scan(tmp_path))
    assert jobs == []
    assert [(p.where, p.found) for p in problems] == [
        ("a.zarr", "a Zarr folder without its metadata, 3 file(s)"),
        ("b", "bytes of no known format"),
    ]
    (inside,) = recognise(scan(tmp_path / "a.zarr"))[1]
    assert inside.where == "a.zarr"
