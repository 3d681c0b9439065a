"""Seventy files of a lab, thrown together: sorted, each one used or named with a reason, settled.

What the command line prints is what a user has to go by: the flags are taken from its text.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from neurodata.cli.more_verbs import app
from neurodata.declare import parse, scope_of
from neurodata.draft import draft
from neurodata.ingestion import ingest
from neurodata.plan import Job, Plan, plan
from neurodata.scope import resolve
from neurodata.store import open_store
from tests.chosen import chosen
from tests.mixed_folder import throw_together

pytestmark = pytest.mark.acceptance

GRIP = "sub-testsub_ses-EphysMedOff_task-gripforce_run-0"
SCNN = "Scnn1a-Tg3-Cre_Ai14-177297.06.01.01_491120155_m"
# Main file: its reader, its side-cars (all of them), and the keys that it wants declared.
RECORDINGS: dict[str, tuple[str, set[str], set[str]]] = {
    "01+AA+00001.dcm": ("dicom", set(), set()),
    "100.hea": ("wfdb", {"100.atr", "100.dat"}, set()),
    "1734350788.gml": ("gml", set(), {"weight_units"}),
    "A0634-210127.nwb": ("nwb", set(), set()),
    "A8604-211122.nwb": ("nwb", set(), set()),
    "BOLD_rsfMRI.mat": (
        "matlab", set(), {"variables.signal", "axes", "rate_hz", "units.*", "modality"}
    ),
    "F.npy": ("suite2p", {"iscell.npy"}, {"rate_hz"}),
    "MR_small.dcm": ("dicom", set(), set()),
    f"{SCNN}.swc": ("swc", set(), {"units.*"}),
    "aal.nii.gz": ("nifti", {"aal.nii.txt"}, {"voxel_mm"}),
    "anatomical.nii": ("nifti", set(), set()),
    "axasc35.dcm": ("dicom", set(), set()),
    "example4d+orig.HEAD": ("afni", {"example4d+orig.BRIK.gz"}, set()),
    "fmri1.nii.gz": ("nifti", set(), set()),
    "functional.nii": ("nifti", set(), set()),
    "grasshopper_spike_times1.txt": ("spike_text", set(), {"time_units"}),
    "img2d.tif": ("tiff", {"mask2d.tif"}, {"voxel_um"}),
    "img3d.tif": ("tiff", {"mask3d.tif"}, {"axes", "voxel_um"}),
    "left_adjacency.csv": ("adjacency", {"left_cell_labels.csv"}, {"axes", "weight_units"}),
    "phantom_EPI_asc_CLEAR_2_1.PAR": ("parrec", {"phantom_EPI_asc_CLEAR_2_1.REC"}, set()),
    "right_adjacency.csv": ("adjacency", {"right_cell_labels.csv"}, {"axes", "weight_units"}),
    "small.mnc": ("minc", set(), set()),
    "small_64D.nii": ("nifti", {"small_64D.bval", "small_64D.bvec"}, {"voxel_mm"}),
    "sub-54776_ses-1_dti.edgelist": (
        "edgelist", {"participants.csv", "participants.tsv", "dataset_description.json"},
        {"directed", "weight_units"},
    ),
    f"{GRIP}_ieeg.vhdr": (
        "brainvision",
        {f"{GRIP}_ieeg.eeg", f"{GRIP}_ieeg.vmrk", f"{GRIP}_ieeg.json", f"{GRIP}_channels.tsv",
         "sub-testsub_ses-EphysMedOff_space-mni_electrodes.tsv",
         "sub-testsub_ses-EphysMedOff_space-mni_coordsystem.json",
         "participants.tsv", "dataset_description.json"},
        set(),
    ),
    "synthetic.graphml": ("graphml", set(), {"weight_units"}),
    "synthetic_traces.csv": ("traces", set(), {"rate_hz", "modality", "units.*"}),
    "test.sqd": ("kit", set(), set()),
    "test_ctf_comp_raw.fif": ("fif", set(), set()),
    "test_subsecond.edf": ("edf", set(), set()),
    "test_utf8.edf": ("edf", set(), set()),
    "truncated.nii": ("nifti", set(), set()),
    "white_1986_jsh.csv": (
        "edgelist", {"participants.csv", "participants.tsv"},
        {"columns.source", "columns.target", "columns.weight", "directed", "weight_units"},
    ),
    "witvliet_2020_1 L1.xlsx": (
        "xlsx", set(),
        {"columns.source", "columns.target", "columns.weight", "directed", "weight_units"},
    ),
}  # fmt: skip
REFUSED = {
    "backup.zip": "a ZIP archive", "cut_header.nii": "bytes of no known format",
    "download.edf": "an HTML page", "elsewhere.nii": "a link out of the raw folder",
    "empty.tif": "an empty file", "noise.dat": "bytes of no known format",
    "nothing.edf": "a link to nothing", "zeros.nwb": "zeros only",
}  # fmt: skip
UNUSED = {
    "notes.txt": "a file that no recording uses", "thumbnail.jpg": "one picture",
    "paper.pdf": "a PDF document, which no recording uses",
}  # fmt: skip
NOTED = {
    ".DS_Store": "a hidden file", "README": "a document", "participants.json": "a document",
    "Thumbs.db": "a file of the operating system",
    "99+PhoenixDocument+00001.dcm": "Enhanced SR Storage, no image in it",
}  # fmt: skip
IN_SUBFOLDERS_APART = {"synthetic_traces.csv", "white_1986_jsh.csv", f"{GRIP}_ieeg.vhdr"}


@pytest.fixture(scope="module")
def flat(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed") / "flat"
    folder.mkdir()
    assert len(throw_together(realdata, folder)) >= 70
    return folder


@pytest.fixture(scope="module")
def deep(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed") / "deep"
    folder.mkdir()
    throw_together(realdata, folder, subfolders=True)
    return folder


@pytest.fixture(scope="module")
def first(flat: Path) -> tuple[str, Path]:
    """What the command line printed when the folder was ingested without a declaration."""
    store = flat.parent / "store"
    ran = CliRunner().invoke(app, ["ingest", str(flat), "--direct", "--store", str(store)])
    assert ran.exit_code == 1
    return ran.stdout, store


def settings_of(text: str) -> list[str]:
    """The settings that the command line printed for the next run."""
    words = [word for line in text.splitlines() if line.startswith("  --set ")
             for word in shlex.split(line)]  # fmt: skip
    return words[1::2]


def by_name(found: Plan) -> dict[str, tuple[str, set[str]]]:
    return {
        job.files[0].name: (job.reader, {path.name for path in job.files[1:]}) for job in found.jobs
    }


def names(where: Iterable[str]) -> set[str]:
    return {Path(name).name for name in where}


def test_a_flat_folder_is_sorted_into_recordings_with_their_side_cars(flat: Path) -> None:
    found = plan(flat)
    assert by_name(found) == {
        main: (reader, side) for main, (reader, side, _) in RECORDINGS.items()
    }
    told = {problem.where: (problem.level, problem.found) for problem in found.problems}
    assert told == {
        **{name: ("error", what) for name, what in REFUSED.items()},
        **{name: ("warning", what) for name, what in UNUSED.items()},
        **{name: ("note", what) for name, what in NOTED.items()},
    }
    used = {path.name for job in found.jobs for path in job.files}
    assert used | set(told) == {path.name for path in flat.iterdir()}
    assert not used & set(told)


def test_subfolders_change_nothing_but_names(deep: Path) -> None:
    found = plan(deep)
    sorted_ = by_name(found)
    assert set(sorted_) == set(RECORDINGS)
    for main, (reader, side, _) in RECORDINGS.items():
        if main not in IN_SUBFOLDERS_APART and not main.startswith("sub-5"):
            assert sorted_[main] == (reader, side), main
    assert sorted_[f"{GRIP}_ieeg.vhdr"] == RECORDINGS[f"{GRIP}_ieeg.vhdr"][:2]
    used = {path for job in found.jobs for path in job.files}
    told = {deep / problem.where for problem in found.problems}
    there = {path for path in deep.rglob("*") if not path.is_dir() or path.is_symlink()}
    assert used | told == there
    assert names(p.where for p in found.problems if p.level == "error") == set(REFUSED)


def test_every_refusal_says_where_found_expected_and_what_to_do(flat: Path) -> None:
    found = plan(flat)
    for problem in found.problems:
        assert problem.where
        assert problem.found
        if problem.level == "error":
            assert problem.expected, problem
            assert problem.hint, problem


def test_the_text_names_every_refused_recording_and_its_flags(first: tuple[str, Path]) -> None:
    text, _ = first
    own = {main: job.recording for main, job in zip(RECORDINGS, jobs_in_order(first), strict=True)}
    printed = settings_of(text)
    for main, (_, _, keys) in RECORDINGS.items():
        facts = resolve(parse(printed), [own[main], main])
        assert set(facts) == keys, main
    assert "truncated.nii: found 20000 bytes; expected 43192 bytes by its header" in text
    for name, what in {**REFUSED, **UNUSED}.items():
        assert name in text
        assert f"found {what}" in text


def jobs_in_order(first: tuple[str, Path]) -> list[Job]:
    found = {job.files[0].name: job for job in plan(first[1].parent / "flat").jobs}
    return [found[main] for main in RECORDINGS]


def test_the_printed_flags_settle_all_but_what_is_damaged(
    flat: Path, first: tuple[str, Path]
) -> None:
    text, store = first
    settings = [chosen(setting) for setting in settings_of(text)]
    for _ in range(2):  # what is wanted only once the first facts are known
        result = ingest(flat, store=store, declare=parse(settings))
        settings += map(chosen, result.settings)
    failed = {entry.id for entry in result.entries if entry.status == "failed"}
    assert failed == {"flat/truncated"}
    assert len(open_store(store).ids()) == len(RECORDINGS) - 1
    for entry in result.entries:
        if entry.status != "failed":
            unused = [p for p in entry.problems if "nothing uses" in p.found]
            assert unused == [], "a declaration reached a recording that it is not for"
    assert not result.ok  # the junk is still there


def test_the_exit_code_is_0_once_everything_is_settled(
    flat: Path, first: tuple[str, Path], tmp_path: Path
) -> None:
    text, _ = first
    clean = tmp_path / "flat"
    clean.mkdir()
    for main in ("img2d.tif", "img3d.tif", "F.npy", "left_adjacency.csv", "test_utf8.edf"):
        for name in (main, *RECORDINGS[main][1]):
            (clean / name).symlink_to(flat / name)
    for link in list(clean.iterdir()):
        content = link.read_bytes()
        link.unlink()
        link.write_bytes(content)
    argv = ["ingest", str(clean), "--direct", "--store", str(tmp_path / "s"), "--json"]
    there = {job.recording for job in plan(clean).jobs}
    fitting = [s for s in settings_of(text) if scope_of(s)[0] in there]
    flags = [word for setting in fitting for word in ("--set", chosen(setting))]
    ran = CliRunner().invoke(app, [*argv, *flags])
    assert ran.exit_code == 0, ran.stdout
    assert len(json.loads(ran.stdout)["items"]) == 5


def test_a_first_pipeline_for_the_folder_runs_when_filled_in(flat: Path, tmp_path: Path) -> None:
    made = draft(flat, tmp_path / "lab.yaml")
    rows = {row["recording"]: row for row in made.recordings}
    assert len(rows) == len(RECORDINGS)
    assert rows["img2d"]["to declare"] == "voxel_um=<y>,<x>"
    lines = made.path.read_text().splitlines()
    assert "# img2d:voxel_um: <y>,<x>  # wanted by img2d.tif; choose the value" in lines
    start = lines.index("# declare:")
    filled = [f"  {line[2:]}" if line.startswith("# ") and at > start else line.removeprefix("# ")
              if at == start else line for at, line in enumerate(lines)]  # fmt: skip
    found = yaml.safe_load("\n".join(filled))
    assert found["declare"]["F:rate_hz"] == "<Hz>"
    assert found["expect"] == {"recordings": len(RECORDINGS)}
