"""From raw folders to verified versions: the shipped samples, and all that can be wrong."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from neurodata import resources
from neurodata.declare import parse
from neurodata.errors import InvalidInputError, NotFoundError, PipelineError, Problem
from neurodata.ingestion import Result, ingest
from neurodata.pipeline import names
from neurodata.plan import plan
from neurodata.readers import TABLE, reader
from neurodata.store import Store, open_store
from tests.chosen import chosen
from tests.invariants import assert_store_ok

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"
ANATOMICAL = SAMPLES / "mri_anatomical" / "anatomical.nii"
EEG = SAMPLES / "eeg_fp1" / "test_utf8.edf"
MATRIX = SAMPLES / "mushroom_body" / "left_adjacency.csv"
EDGES = SAMPLES / "mouse_tractography" / "edgelists" / "sub-54776_ses-1_dti.edgelist"
PLANE = SAMPLES / "nuclei" / "img2d.tif"


def folder_of(path: Path, **files: Path | bytes) -> Path:
    """A raw folder; names may hold folders (``__``) and a suffix (``_dot_``)."""
    for name, content in files.items():
        target = path / name.replace("__", "/").replace("_dot_", ".")
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            target.write_bytes(content)
        else:
            shutil.copyfile(content, target)
    return path


def errors(problems: Any) -> list[Problem]:
    return [problem for problem in problems if problem.level == "error"]


def everything(result: Result) -> list[Problem]:
    return [*result.problems, *(p for entry in result.entries for p in entry.problems)]


def assert_complete(problem: Problem) -> None:
    """A refusal says where, what was found, what was expected and what to do."""
    assert problem.where
    assert problem.found
    assert problem.expected, problem
    assert problem.hint, problem
    assert not problem.where.startswith("/"), "an absolute path tells of this machine"


# ---- the shipped samples


def test_every_pipeline_ingests_and_the_store_holds(
    sample_ingest: tuple[Store, dict[str, Result]],
) -> None:
    store, results = sample_ingest
    assert set(results) == set(names())
    for name, result in results.items():
        assert result.ok, (name, [str(p) for p in errors(everything(result))])
        assert {entry.status for entry in result.entries} == {"new"}
        assert result.problems == ()
    assert len(store.ids()) == sum(len(plan(name).jobs) for name in names())
    assert_store_ok(store.path)


def stated_findings() -> list[tuple[str, str, str]]:
    """The rows of the table in docs/samples.md: recording, level, what is said."""
    rows = []
    for line in (ROOT / "docs" / "samples.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and "/" in line:
            ids, _, level, says = (cell.strip() for cell in line.strip("|").split("|"))
            rows += [(name, level, says) for name in ids.split(", ")]
    return rows


def test_samples_give_the_documented_findings_and_no_others(
    sample_ingest: tuple[Store, dict[str, Result]],
) -> None:
    found = [
        (entry.id, problem.level, str(problem))
        for result in sample_ingest[1].values()
        for entry in result.entries
        for problem in entry.problems
    ]
    stated = stated_findings()
    assert len(stated) >= 30
    for name, level, says in stated:
        assert sum(f[:2] == (name, level) and says in f[2] for f in found) == 1, (name, says)
    for name, level, text in found:
        assert sum(s[:2] == (name, level) and s[2] in text for s in stated) == 1, (name, text)


def test_a_second_run_reads_nothing_and_says_so(
    own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = own_store.catalog()

    def never(*_: object) -> None:
        raise AssertionError("a reader was called")

    for name in TABLE:
        monkeypatch.setattr(reader(name), "read", never)
    for name in names():
        result = ingest(name, store=own_store)
        assert result.ok
        assert {entry.status for entry in result.entries} == {"same"}
        for entry in result.entries:
            assert entry.version == own_store.version(entry.id)
    assert own_store.catalog().equals(before)
    assert_store_ok(own_store.path)


# ---- values through the store, against independent readers


def test_eeg_is_what_mne_reads(sample_store: Store) -> None:
    import mne

    for name in ("test_subsecond", "test_utf8"):
        raw = mne.io.read_raw_edf(SAMPLES / f"eeg_fp1/{name}.edf", verbose="error")
        tree = sample_store[f"eeg_fp1/{name}"]
        signal = tree["eeg/signal"]
        assert signal.attrs["units"] == "V"
        assert signal.channel.values.tolist() == raw.ch_names == ["Fp1"]
        expected = raw.get_data().T
        np.testing.assert_allclose(signal.values, expected, rtol=1e-6, atol=1e-12)
        np.testing.assert_array_equal(signal.time.values, np.arange(raw.n_times) / 128.0)
        marks = tree["annotations"]
        np.testing.assert_allclose(marks["start_s"].values, raw.annotations.onset, atol=1e-6)
        assert marks["label"].values.tolist() == [str(d) for d in raw.annotations.description]


def test_ieeg_is_what_mne_reads(sample_store: Store) -> None:
    import mne

    header = next((SAMPLES / "gripforce_ieeg").rglob("*.vhdr"))
    raw = mne.io.read_raw_brainvision(header, verbose="error")
    (name,) = sample_store.ids("gripforce_ieeg")
    tree = sample_store[name]
    for node in ("ieeg", "misc"):
        signal = tree[f"{node}/signal"]
        assert signal.attrs["units"] == "V"
        assert signal.dims == ("time", "channel")
        expected = raw.get_data(picks=signal.channel.values.tolist()).T
        np.testing.assert_allclose(signal.values, expected, rtol=1e-6)
        assert tree[node].attrs["rate_hz"] == raw.info["sfreq"] == 1000.0
    table = header.with_name(header.name.replace("_ieeg.vhdr", "_channels.tsv"))
    rows = [line.split("\t") for line in table.read_text("utf-8-sig").splitlines()]
    kinds = {row[rows[0].index("name")]: row[rows[0].index("type")] for row in rows[1:]}
    stored = {
        str(c.values): str(c["type"].values)
        for node in ("ieeg", "misc")
        for c in tree[f"{node}/signal"].channel
    }
    assert stored == kinds
    assert Counter(stored.values()) == {"ECOG": 6, "DBS": 3, "MISC": 1}


def nwb(name: str) -> Any:
    import pynwb

    return pynwb.NWBHDF5IO(next((SAMPLES / name).glob("*.nwb")), "r", load_namespaces=True)


def test_calcium_is_what_pynwb_reads(sample_store: Store) -> None:
    tree = sample_store["miniscope_mouse/A0634-210127"]
    with nwb("miniscope_mouse") as io:
        ophys = io.read().processing["ophys"]
        series = ophys["Fluorescence"].roi_response_series["RoiResponseSeries"]
        masks = np.stack([np.asarray(mask) for mask in series.rois.table["image_mask"][:]])
        signal = tree["traces/signal"]
        np.testing.assert_array_equal(signal.values, series.data[:].astype("float32"))
        np.testing.assert_array_equal(signal.time.values, series.timestamps[:])
    assert signal.attrs["units"] == "a.u."
    assert signal["type"].values.tolist() == ["ROI"] * 10
    rois = tree["rois"].to_dataset()
    assert rois["unit_id"].values.tolist() == signal.channel.values.tolist()
    splits = rois["row_splits"].values
    dense = np.zeros((10, *rois.attrs["image_shape_yx"]))
    for unit in range(10):
        part = slice(splits[unit], splits[unit + 1])
        at = rois["pixel_y"].values[part], rois["pixel_x"].values[part]
        dense[unit][at] = rois["pixel_weight"].values[part]
    # The file's masks are (x, y), as NWB has it.
    np.testing.assert_array_equal(dense, masks.transpose(0, 2, 1).astype("float32"))


def test_spikes_are_what_pynwb_reads(sample_store: Store) -> None:
    tree = sample_store["spikes_mouse/A8604-211122"]
    units = tree["units"].to_dataset()
    with nwb("spikes_mouse") as io:
        file = io.read()
        assert units["unit_id"].values.tolist() == [str(i) for i in file.units.id[:]]
        splits = units["row_splits"].values
        for unit, times in enumerate(file.units["spike_times"][:]):
            stored = units["time_s"].values[splits[unit] : splits[unit + 1]]
            np.testing.assert_array_equal(stored, np.asarray(times))
        epochs = file.intervals["epochs"]
        found = tree["epochs"].to_dataset()
        np.testing.assert_array_equal(found["start_s"].values, epochs["start_time"][:])
        stop_s = found["start_s"].values + found["duration_s"].values
        np.testing.assert_allclose(stop_s, epochs["stop_time"][:], rtol=1e-12)
        assert found["label"].values.tolist() == [", ".join(tags) for tags in epochs["tags"][:]]
    assert units["time_s"].attrs["units"] == "s"


@pytest.mark.parametrize(
    ("name", "file", "node"),
    [
        ("mri_anatomical/anatomical", "mri_anatomical/anatomical.nii", "anat"),
        ("fmri_small/fmri1", "fmri_small/fmri1.nii.gz", "bold"),
        ("fmri_small/functional", "fmri_small/functional.nii", "bold"),
    ],
)
def test_volumes_are_what_nibabel_reads(
    sample_store: Store, name: str, file: str, node: str
) -> None:
    import nibabel

    image = nibabel.load(SAMPLES / file)
    found = sample_store[name][node].to_dataset()
    volume = found["image"]
    axes = ("time", "z", "y", "x")[-volume.ndim :]
    assert volume.dims == axes
    np.testing.assert_allclose(volume.values, image.get_fdata().T, rtol=1e-6)
    np.testing.assert_allclose(found["affine"].values, image.affine, rtol=1e-12)
    assert found["affine"].attrs["units"] == "mm"
    corner = found["affine"].values @ [3, 2, 1, 1]
    np.testing.assert_allclose(corner[:3], nibabel.affines.apply_affine(image.affine, [3, 2, 1]))
    if volume.ndim == 4:
        period_s = float(image.header.get_zooms()[3])
        assert found.attrs["rate_hz"] == pytest.approx(1 / period_s, rel=1e-6)


def dense(node: Any) -> np.ndarray[Any, Any]:
    matrix = np.zeros((node.sizes["node"],) * 2)
    matrix[node["source"].values, node["target"].values] = node["weight"].values
    return matrix


@pytest.mark.parametrize("side", ["left", "right"])
def test_mushroom_body_is_what_numpy_reads(sample_store: Store, side: str) -> None:
    node = sample_store[f"mushroom_body/{side}_adjacency"]["graph"].to_dataset()
    expected = np.genfromtxt(SAMPLES / f"mushroom_body/{side}_adjacency.csv")
    np.testing.assert_array_equal(dense(node), expected)
    labels = (SAMPLES / f"mushroom_body/{side}_cell_labels.csv").read_text().split()
    assert node["cell_class"].values.tolist() == labels
    assert node.attrs["weight_units"] == "count"
    assert node.attrs["directed"] == 1
    counts = np.diff(node["row_splits"].values)
    np.testing.assert_array_equal(counts, (expected > 0).sum(1))


@pytest.mark.parametrize("mouse", ["54776", "54777"])
def test_tractography_is_what_numpy_reads(sample_store: Store, mouse: str) -> None:
    node = sample_store[f"mouse_tractography/sub-{mouse}_ses-1_dti"]["graph"].to_dataset()
    rows = np.loadtxt(SAMPLES / f"mouse_tractography/edgelists/sub-{mouse}_ses-1_dti.edgelist")
    ids = node["node_id"].values.astype(int)
    listed = {frozenset((int(a), int(b))): w for a, b, w in rows}
    pairs = zip(ids[node["source"].values], ids[node["target"].values], strict=True)
    weights = node["weight"].values.tolist()
    stored = {frozenset(pair): w for pair, w in zip(pairs, weights, strict=True)}
    assert stored == listed
    assert len(rows) == node.sizes["edge"]
    assert node.attrs["directed"] == 0


@pytest.mark.parametrize(("name", "axes"), [("2d", ["y", "x"]), ("3d", ["z", "y", "x"])])
def test_nuclei_are_what_tifffile_reads(sample_store: Store, name: str, axes: list[str]) -> None:
    import tifffile

    tree = sample_store[f"nuclei/img{name}"]
    pixels = tifffile.imread(SAMPLES / f"nuclei/img{name}.tif")
    mask = tifffile.imread(SAMPLES / f"nuclei/mask{name}.tif")
    image, nuclei = tree["image"].to_dataset(), tree["instances"].to_dataset()
    assert list(image["image"].dims) == axes
    np.testing.assert_array_equal(image["image"].values, pixels.astype("float32"))
    assert image["image"].attrs["units"] == "count"
    assert image["spacing"].values.tolist() == [1.0] * len(axes)
    assert image["spacing"].attrs["units"] == "pixel"
    np.testing.assert_array_equal(nuclei["label"].values[0], mask)
    ids, counts = np.unique(mask[mask > 0], return_counts=True)
    assert nuclei["instance_id"].values.tolist() == ids.tolist()
    assert nuclei["voxel_count"].values.tolist() == counts.tolist()


# ---- what a pipeline states of its files


def own_pipeline(tmp_path: Path, folder: Path, listed: bool, **expect: Any) -> Path:
    """A pipeline of two EEG files, with or without the list of its files."""
    contents = {p.name: p.read_bytes() for p in sorted(folder.glob("*.edf"))}
    files = [
        {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in contents.items()
    ]
    found = {
        "id": "own", "version": 1, "title": "t", "licence": "MIT", "citation": "c",
        "modality": "eeg", "declare": {"species": "Homo sapiens"},
        "sources": [{"path": folder.name, **({"files": files} if listed else {})}],
        "expect": expect,
    }  # fmt: skip
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(found))
    return path


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    return folder_of(
        tmp_path / "pair", a_dot_edf=SAMPLES / "eeg_fp1/test_subsecond.edf", b_dot_edf=EEG
    )


def test_a_changed_byte_is_refused_and_the_others_go_on(tmp_path: Path, pair: Path) -> None:
    pipeline = own_pipeline(tmp_path, pair, listed=True, recordings=2)
    data = bytearray((pair / "a.edf").read_bytes())
    data[-1] ^= 1
    (pair / "a.edf").write_bytes(data)
    result = ingest(pipeline, store=tmp_path / "s")
    assert [entry.status for entry in result.entries] == ["failed", "new"]
    (refusal,) = errors(result.entries[0].problems)
    assert_complete(refusal)
    assert "sha256" in refusal.found
    assert [str(p) for p in errors(result.problems)] == [
        "error: own: found 1 good recordings; expected 2; see the findings of the others"
    ]
    assert not result.ok
    assert_store_ok(tmp_path / "s")


def test_a_missing_file_is_an_error_and_the_others_go_on(tmp_path: Path, pair: Path) -> None:
    pipeline = own_pipeline(tmp_path, pair, listed=True)
    (pair / "a.edf").unlink()
    result = ingest(pipeline, store=tmp_path / "s")
    assert [(entry.id, entry.status) for entry in result.entries] == [("own/b", "new")]
    assert [(p.where, p.found) for p in errors(result.problems)] == [("a.edf", "no such file")]
    assert not result.ok


def test_a_recording_too_many_is_an_error_where_their_number_is_stated(
    tmp_path: Path, pair: Path
) -> None:
    pipeline = own_pipeline(tmp_path, pair, listed=False, recordings=2)
    folder_of(pair, c_dot_nii=ANATOMICAL)
    result = ingest(pipeline, store=tmp_path / "s")
    assert [entry.status for entry in result.entries] == ["new", "new", "new"]
    assert [p.found for p in errors(result.problems)] == ["3 good recordings"]


def test_a_file_that_a_pipeline_does_not_list_is_named_and_left(tmp_path: Path, pair: Path) -> None:
    pipeline = own_pipeline(tmp_path, pair, listed=True, recordings=2)
    folder_of(pair, c_dot_nii=ANATOMICAL)
    result = ingest(pipeline, store=tmp_path / "s")
    assert result.ok
    assert [(p.level, p.where) for p in result.problems] == [("warning", "c.nii")]


def test_what_a_pipeline_expects_of_a_node_is_checked(tmp_path: Path, pair: Path) -> None:
    nodes = {"eeg": {"rate_hz": 256.0, "shape": [89344, 1], "units": "V"}}
    pipeline = own_pipeline(tmp_path, pair, listed=False, nodes=nodes)
    result = ingest(pipeline, store=tmp_path / "s")
    assert {entry.status for entry in result.entries} == {"failed"}
    for entry in result.entries:
        (found,) = errors(entry.problems)
        assert (found.where, found.expected) == ("eeg: rate_hz", "256.0, as declared")


@pytest.mark.parametrize(
    "text",
    [
        "id: a\nid: b\n", "a: &x 1\nb: *x\n", "- a\n", "a: !!python/object/apply:os.getcwd []\n",
        "? [1]\n: 2\n? [1]\n: 3\n", "a: 2001-99-99\n", "id: own\nsurprise: 1\n", "\x00", "a: [",
    ],
)  # fmt: skip
def test_a_pipeline_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(PipelineError):
        plan(path)


# ---- names


def test_ids_equal_but_for_case_are_refused_and_others_go_on(tmp_path: Path) -> None:
    raw = folder_of(tmp_path / "raw", one__Cell_dot_nii=ANATOMICAL, other_dot_edf=EEG)
    folder_of(raw, ONE__cell_dot_nii=SAMPLES / "fmri_small/functional.nii")
    result = ingest(raw, store=tmp_path / "s")
    assert [(e.id, e.status) for e in result.entries] == [("raw/other", "new")]
    (found,) = errors(result.problems)
    assert found.where == "ONE/cell.nii and one/Cell.nii"
    assert_complete(found)


def test_an_id_taken_from_a_file_name_is_noted_and_one_of_entities_is_not(tmp_path: Path) -> None:
    raw = folder_of(tmp_path / "raw", day_1__my_cell_dot_nii=ANATOMICAL)
    folder_of(raw, **{"sub-01_task-rest_eeg_dot_edf": EEG})
    result = ingest(raw, store=tmp_path / "s")
    named = [e.id for e in result.entries if any("BIDS" in p.found for p in e.problems)]
    assert sorted(e.id for e in result.entries) == ["raw/day_1_my_cell", "raw/sub-01_task-rest_eeg"]
    assert named == ["raw/day_1_my_cell"]
    store = open_store(tmp_path / "s")
    assert store["raw/sub-01_task-rest_eeg"].attrs["subject"] == "01"


# ---- content decides


@pytest.mark.parametrize(
    ("source", "name", "reader"),
    [
        (EEG, "a.dat", "edf"), (ANATOMICAL, "a.edf", "nifti"),
        (SAMPLES / "spikes_mouse/A8604-211122.nwb", "a.h5x", "nwb"),
        (SAMPLES / "fmri_small/fmri1.nii.gz", "a.tif", "nifti"),
    ],
)  # fmt: skip
def test_a_wrong_suffix_is_read_by_content_with_a_warning(
    tmp_path: Path, source: Path, name: str, reader: str
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    shutil.copyfile(source, raw / name)
    result = ingest(raw, store=tmp_path / "s")
    (entry,) = result.entries
    assert (entry.id, entry.status) == ("raw/a", "new")
    found = [p for p in entry.problems if "content of format" in p.found]
    assert [(p.level, p.where, p.found) for p in found] == [
        ("warning", name, f"content of format {reader}")
    ]


@pytest.mark.parametrize(
    "content",
    [np.random.default_rng(5).bytes(9000), b"", b"GIF89a" + bytes(64), bytes(512),
     gzip.compress(b"synthetic")[:-6]],
    ids=["random", "empty", "gif", "zeros", "cut gzip"],
)  # fmt: skip
def test_content_of_no_format_is_refused_and_the_rest_of_the_folder_goes_on(
    tmp_path: Path, content: bytes
) -> None:
    raw = folder_of(tmp_path / "raw", bad_dot_nii=content, good_dot_nii=ANATOMICAL)
    result = ingest(raw, store=tmp_path / "s")
    assert [(e.id, e.status) for e in result.entries] == [("raw/good", "new")]
    (found,) = errors(result.problems)
    assert found.where == "bad.nii"
    assert_complete(found)
    assert not result.ok
    assert_store_ok(tmp_path / "s")


@pytest.mark.parametrize("page", [b"<html><body>404</body></html>", b"Not found"])
@pytest.mark.parametrize("name", ["a.edf", "a.nii", "a.nwb", "a.tif"])
def test_an_error_page_in_place_of_a_recording_is_refused(
    tmp_path: Path, name: str, page: bytes
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / name).write_bytes(page)
    result = ingest(raw, store=tmp_path / "s")
    assert result.entries == ()
    (found,) = errors(result.problems)
    assert_complete(found)


TRUNCATED = {
    "eeg_fp1": "test_utf8.edf",
    "fmri_small": "functional.nii",
    "gripforce_ieeg": "sub-testsub_ses-EphysMedOff_task-gripforce_run-0_ieeg.eeg",
    "miniscope_mouse": "A0634-210127.nwb",
    "mri_anatomical": "anatomical.nii",
    "nuclei": "img2d.tif",
    "spikes_mouse": "A8604-211122.nwb",
}


@pytest.mark.parametrize("name", sorted(TRUNCATED))
@pytest.mark.parametrize("share", [0.5, 0.97])
def test_a_truncated_copy_is_refused_and_the_rest_goes_on(
    tmp_path: Path, name: str, share: float
) -> None:
    """Without the pipeline's list: format or side-car must tell."""
    raw = tmp_path / "raw"
    shutil.copytree(SAMPLES / name, raw)
    (path,) = raw.rglob(TRUNCATED[name])
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    folder_of(raw, zz_good=ANATOMICAL if name == "eeg_fp1" else EEG)
    stated = yaml.safe_load((ROOT / "pipelines" / f"{name}.yaml").read_text())
    declare = {**stated.get("declare", {}), "licence": "MIT"}
    if name == "nuclei":
        declare.update(voxel_um=[1.0, 1.0, 1.0])
    result = ingest(raw, store=tmp_path / "s", declare=declare)
    assert open_store(tmp_path / "s").ids("raw")[-1] == "raw/zz_good"
    stem = TRUNCATED[name].partition(".")[0]
    found = [p for p in errors(everything(result)) if stem in p.where]
    assert len(found) == 1, [str(p) for p in everything(result)]
    assert_complete(found[0])
    assert not any(e.status != "failed" and stem in e.id for e in result.entries)
    assert not result.ok


@pytest.mark.parametrize("share", [0.002, 0.5, 0.97])
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mouse_tractography", "sub-54776_ses-1_dti.edgelist"),
        ("mushroom_body", "left_adjacency.csv"),
    ],
)
def test_truncated_text_is_refused_where_a_pipeline_states_its_size(
    tmp_path: Path, name: str, file: str, share: float
) -> None:
    """Text has no size of its own; recognised or not, the file is refused by name."""
    shutil.copytree(SAMPLES / name, tmp_path / "samples" / name)
    shutil.copyfile(ROOT / "pipelines" / f"{name}.yaml", tmp_path / "own.yaml")
    (path,) = (tmp_path / "samples").rglob(file)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: int(size * share)])
    result = ingest(tmp_path / "own.yaml", store=tmp_path / "s")
    assert result.tally("new") == 1
    assert not result.ok
    (found,) = [p for p in errors(everything(result)) if file in p.where]
    assert_complete(found)
    assert found.found.startswith(f"{int(size * share)} bytes")
    assert found.expected.startswith(f"{size} bytes")


def test_an_unforeseen_exception_fails_one_recording_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = folder_of(tmp_path / "raw", a_dot_nii=ANATOMICAL, b_dot_edf=EEG)

    def broken(*_: object) -> None:
        raise RuntimeError("synthetic fault")

    monkeypatch.setattr(reader("nifti"), "read", broken)
    result = ingest(raw, store=tmp_path / "s")
    assert [(e.id, e.status) for e in result.entries] == [("raw/a", "failed"), ("raw/b", "new")]
    assert errors(result.entries[0].problems)[0].found == "RuntimeError: synthetic fault"
    assert_store_ok(tmp_path / "s")


def test_a_file_that_may_not_be_read_is_an_error_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neurodata import recognise

    raw = folder_of(tmp_path / "raw", a_dot_nii=ANATOMICAL, b_dot_edf=EEG)
    real = recognise.head

    def head(path: Path) -> bytes:
        if path.name == "a.nii":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(recognise, "head", head)
    result = ingest(raw, store=tmp_path / "s")
    assert [(e.id, e.status) for e in result.entries] == [("raw/b", "new")]
    assert [(p.where, p.found) for p in errors(result.problems)] == [("a.nii", "Permission denied")]


# ---- declared facts


def flags(hint: str) -> list[str]:
    """The settings after ``--set`` in a hint."""
    words = shlex.split(hint)
    return [b.rstrip(",;") for a, b in pairwise(words) if a == "--set"]


def settle(raw: Path, store: Path, attempts: int = 4) -> list[str]:
    """Ingest, and while a fact is wanting choose what the refusal prints; return the settings."""
    given: list[str] = []
    for _ in range(attempts + 1):
        result = ingest(raw, store=store, declare=parse(given))
        if result.ok:
            return given
        (refusal,) = [p for e in result.entries for p in errors(e.problems)]
        assert_complete(refusal)
        wanted = [chosen(flag) for flag in flags(refusal.hint)]
        assert wanted, refusal
        assert not set(wanted) & set(given), refusal
        given += wanted
    raise AssertionError(f"still refused after {given}")


def edited(source: Path, changes: dict[int, bytes]) -> bytes:
    data = bytearray(source.read_bytes())
    for offset, new in changes.items():
        data[offset : offset + len(new)] = new
    return bytes(data)


# The unit of an EDF signal: after 256 bytes, labels of 16 and transducers of 80 for 2 signals.
EDF_UNIT = 256 + 2 * (16 + 80)
WANTING: dict[str, tuple[str, bytes, set[str]]] = {
    "TIFF without spacing": ("a.tif", PLANE.read_bytes(), {"voxel_um"}),
    "TIFF of unknown axes": (
        "a.tif", (SAMPLES / "nuclei/img3d.tif").read_bytes(), {"axes", "voxel_um"}
    ),
    "matrix alone": ("a.csv", MATRIX.read_bytes(), {"axes", "weight_units"}),
    "edge list": (
        "a.csv", b"pre,post,synapses\n1,2,5\n1,3,2\n2,3,1\n",
        {"columns.source", "columns.target", "columns.weight", "directed", "weight_units"},
    ),
    "EDF of an unknown unit": ("a.edf", edited(EEG, {EDF_UNIT: b"furlongs"}), {"units.Fp1"}),
    "NIfTI without a unit": ("a.nii", edited(ANATOMICAL, {123: b"\0"}), {"voxel_mm"}),
    "NIfTI without units of length and time": (
        "a.nii", edited(SAMPLES / "fmri_small/functional.nii", {123: b"\0"}),
        {"voxel_mm", "rate_hz"},
    ),
    "NIfTI without orientation": (
        "a.nii", edited(ANATOMICAL, {252: b"\0\0\0\0"}), {"axes"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("story", sorted(WANTING))
def test_the_flags_that_refusals_print_settle_them(tmp_path: Path, story: str) -> None:
    name, content, keys = WANTING[story]
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / name).write_bytes(content)
    given = settle(raw, tmp_path / "s")
    assert {setting.partition("=")[0] for setting in given} == keys
    manifest = open_store(tmp_path / "s").manifest("raw/a")
    assert manifest["declarations"] == parse(given)
    assert_store_ok(tmp_path / "s")


def test_declared_facts_reach_the_recording(tmp_path: Path) -> None:
    raw = folder_of(tmp_path / "raw", a_dot_tif=PLANE)
    ingest(raw, store=tmp_path / "s", declare=parse(["voxel_um=0.5,0.25", "subject=m1"]))
    tree = open_store(tmp_path / "s")["raw/a"]
    assert tree["image/spacing"].values.tolist() == [0.5, 0.25]
    assert tree.attrs["subject"] == "m1"


def test_another_declaration_makes_another_version(tmp_path: Path) -> None:
    raw = folder_of(tmp_path / "raw", a_dot_tif=PLANE)
    one = ingest(raw, store=tmp_path / "s", declare={"voxel_um": [1.0, 1.0]}).entries[0]
    two = ingest(raw, store=tmp_path / "s", declare={"voxel_um": [2.0, 2.0]}).entries[0]
    assert (one.status, two.status) == ("new", "new")
    store = open_store(tmp_path / "s")
    assert store.versions("raw/a") == [two.version, one.version]
    assert_store_ok(tmp_path / "s")


def test_a_declaration_that_nothing_uses_is_a_warning(tmp_path: Path) -> None:
    raw = folder_of(tmp_path / "raw", a_dot_edf=EEG)
    result = ingest(raw, store=tmp_path / "s", declare={"units.Fp2": "uV", "voxel_mm": [1, 1, 1]})
    (entry,) = result.entries
    assert entry.status == "new"
    unused = [p.where for p in entry.problems if "nothing uses" in p.found]
    assert unused == ["--set units.Fp2", "--set voxel_mm"]


def test_facts_may_stand_beside_the_raw_files_and_the_command_line_wins(tmp_path: Path) -> None:
    side = b"declare: {voxel_um: [0.5, 0.25], subject: m1}\n"
    raw = folder_of(tmp_path / "raw", a_dot_tif=PLANE, neurodata_dot_yaml=side)
    result = ingest(raw, store=tmp_path / "s", declare={"subject": "m2"})
    assert result.ok
    tree = open_store(tmp_path / "s")["raw/a"]
    assert tree["image/spacing"].values.tolist() == [0.5, 0.25]
    assert tree.attrs["subject"] == "m2"
    assert [p.where for p in everything(result) if "nothing uses" in p.found] == []


@pytest.mark.parametrize(
    "side",
    [b"voxel_um: 1\n", b"declare: {voxel: 1}\n", b"declare: [1]\n", b"declare: {1: 2}\n",
     b"declare: {rate_hz: .nan}\n", b"declare: {task: {a: 1}}\n", b"declare: {task: 2001-01-01}\n",
     b"declare: {a: 1\n", b"declare: {subject: a, subject: b}\n", b"\xff"],
)  # fmt: skip
def test_a_side_file_of_another_form_is_refused(tmp_path: Path, side: bytes) -> None:
    raw = folder_of(tmp_path / "raw", a_dot_tif=PLANE, neurodata_dot_yaml=side)
    with pytest.raises(InvalidInputError):
        ingest(raw, store=tmp_path / "s")


@pytest.mark.parametrize("text", ["rate_hz", "=3", "rate_hz=", "colour=red", "rate_hz=nan"])
def test_settings_of_another_form_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInputError):
        ingest(ANATOMICAL, store=tmp_path / "s", declare=parse([text]))


def test_text_facts_keep_their_zeros(tmp_path: Path) -> None:
    raw = folder_of(tmp_path / "raw", a_dot_nii=ANATOMICAL)
    facts = parse(["subject=01", "session=1_0", "run=1.10"])
    assert ingest(raw, store=tmp_path / "s", declare=facts).ok
    attrs = open_store(tmp_path / "s")["raw/a"].attrs
    assert (attrs["subject"], attrs["session"], attrs["run"]) == ("01", "1_0", "1.10")


def test_an_expectation_stated_later_is_checked_on_what_is_stored(
    tmp_path: Path, pair: Path
) -> None:
    one = ingest(own_pipeline(tmp_path, pair, listed=True), store=tmp_path / "s")
    before = {entry.id: entry.version for entry in one.entries}
    stated = own_pipeline(tmp_path, pair, listed=True, nodes={"eeg": {"rate_hz": 99.0}})
    again = ingest(stated, store=tmp_path / "s")
    assert {entry.status for entry in again.entries} == {"failed"}
    assert all("99" in str(errors(entry.problems)[0]) for entry in again.entries)
    store = open_store(tmp_path / "s")
    assert {name: store.version(name) for name in store.ids()} == before


def test_a_refused_change_leaves_the_older_version_and_a_mended_one_follows(tmp_path: Path) -> None:
    raw = folder_of(tmp_path / "raw", a_dot_nii=ANATOMICAL)
    first = ingest(raw, store=tmp_path / "s").entries[0]
    (raw / "a.nii").write_bytes(ANATOMICAL.read_bytes()[:-1])
    assert ingest(raw, store=tmp_path / "s").entries[0].status == "failed"
    store = open_store(tmp_path / "s")
    assert store.version("raw/a") == first.version
    (raw / "a.nii").write_bytes(edited(ANATOMICAL, {5000: b"\1\2\3\4"}))
    second = ingest(raw, store=tmp_path / "s").entries[0]
    assert (second.status, store.version("raw/a")) == ("new", second.version)
    assert_store_ok(tmp_path / "s")


def test_a_changed_or_removed_side_car_is_read_anew(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(SAMPLES / "gripforce_ieeg", raw)
    assert ingest(raw, store=tmp_path / "s").tally("new") == 1
    assert ingest(raw, store=tmp_path / "s").tally("same") == 1
    (table,) = raw.rglob("*_channels.tsv")
    table.write_text(table.read_text("utf-8").replace("DBS", "SEEG"), "utf-8")
    assert ingest(raw, store=tmp_path / "s").tally("new") == 1
    store = open_store(tmp_path / "s")
    (name,) = store.ids()
    assert "SEEG" in store[name]["ieeg"]["type"].values
    (electrodes,) = raw.rglob("*_electrodes.tsv")
    electrodes.unlink()
    assert ingest(raw, store=tmp_path / "s").tally("new") == 1
    assert len(store.versions(name)) == 3


# ---- links, hidden files, stores in the way


def test_links_are_followed_inside_the_folder_only(tmp_path: Path) -> None:
    raw = folder_of(tmp_path / "raw", **{"_dot_git__annex__x_dot_nii": ANATOMICAL})
    outside = folder_of(tmp_path / "outside", b_dot_edf=EEG)
    (raw / "inside.nii").symlink_to(Path(".git/annex/x.nii"))
    (raw / "out.edf").symlink_to(outside / "b.edf")
    (raw / "lost.nii").symlink_to(Path(".git/annex/objects/lost.nii"))
    (raw / "linked").symlink_to(outside)
    result = ingest(raw, store=tmp_path / "s")
    assert [(e.id, e.status) for e in result.entries] == [("raw/inside", "new")]
    found = {p.where: (p.level, p.found) for p in result.problems}
    assert found == {
        ".git": ("note", "a hidden file"),
        "out.edf": ("error", "a link out of the raw folder"),
        "lost.nii": ("error", "a link to nothing"),
        "linked": ("error", "a linked folder"),
    }
    lost = next(p for p in result.problems if p.where == "lost.nii")
    assert "fetch" in lost.hint


def test_one_file_can_be_named_and_a_link_out_is_refused(tmp_path: Path) -> None:
    raw = folder_of(tmp_path / "raw", a_dot_nii=ANATOMICAL, b_dot_edf=EEG)
    result = ingest(raw / "a.nii", store=tmp_path / "s")
    assert [(e.id, e.status) for e in result.entries] == [("raw/a", "new")]
    assert result.ok
    (raw / "link.edf").symlink_to(EEG)
    result = ingest(raw / "link.edf", store=tmp_path / "s")
    assert [(p.where, p.found) for p in errors(result.problems)] == [
        ("link.edf", "a link out of the raw folder")
    ]


def test_hidden_files_and_special_files_are_named(tmp_path: Path) -> None:
    raw = folder_of(tmp_path / "raw", a_dot_nii=ANATOMICAL, **{"_dot_b_dot_nii": ANATOMICAL})
    os.mkfifo(raw / "pipe.nii")
    result = ingest(raw, store=tmp_path / "s")
    assert [e.id for e in result.entries] == ["raw/a"]
    found = {p.where: p.level for p in result.problems}
    assert found == {".b.nii": "note", "pipe.nii": "error"}


def test_a_store_below_the_raw_folder_is_left_out(tmp_path: Path) -> None:
    raw = folder_of(tmp_path / "raw", a_dot_nii=ANATOMICAL)
    assert [e.status for e in ingest(raw, store=raw / "store").entries] == ["new"]
    again = ingest(raw, store=raw / "store")
    assert again.ok
    assert [e.status for e in again.entries] == ["same"]
    assert [(p.where, p.found) for p in again.problems] == [("store", "a store")]
    with pytest.raises(InvalidInputError, match="a store"):
        ingest(raw / "store", store=tmp_path / "s")


def test_a_folder_without_recordings_is_an_error(tmp_path: Path) -> None:
    raw = folder_of(tmp_path / "raw", notes_dot_md=b"synthetic notes\n")
    result = ingest(raw, store=tmp_path / "s")
    assert not result.ok
    assert [(p.level, p.where, p.found) for p in result.problems] == [
        ("warning", "notes.md", "a file that no recording uses"),
        ("error", "raw", "no recording"),
    ]
    with pytest.raises(NotFoundError):
        ingest(tmp_path / "nowhere", store=tmp_path / "s")


# ---- the same inputs give the same version


def versions(store: Path) -> dict[str, str]:
    opened = open_store(store)
    return {name: opened.version(name) for name in opened.ids()}


def test_two_processes_give_the_versions_of_one(tmp_path: Path, sample_store: Store) -> None:
    for name in ("nuclei", "fmri_small"):
        assert ingest(name, store=tmp_path / "s", jobs=2).ok
    known = {name: sample_store.version(name) for name in sample_store.ids()}
    found = versions(tmp_path / "s")
    assert len(found) == 4
    assert found.items() <= known.items()
    assert_store_ok(tmp_path / "s")


def test_place_time_zone_locale_and_hash_seed_do_not_matter(tmp_path: Path) -> None:
    raw = folder_of(tmp_path / "raw", a_dot_nii=ANATOMICAL, b_dot_edf=EEG)
    folder_of(raw, **{f"sub-1_{n}": p for n, p in (("edges_dot_edgelist", EDGES),)})
    declare = {"weight_units": "count", "directed": 0}
    ingest(raw, store=tmp_path / "s", declare=declare)
    other = tmp_path / "another place" / "raw"
    shutil.copytree(raw, other)
    for path in other.iterdir():
        os.utime(path, (1, 1))
    environment = {
        **os.environ, "TZ": "Asia/Kathmandu", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "7",
        "HOME": str(tmp_path), "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    argv = [
        sys.executable, "-m", "neurodata", "ingest", str(other), "--direct", "--store",
        "elsewhere", "--set", "weight_units=count", "--set", "directed=0",
    ]  # fmt: skip
    subprocess.run(argv, check=True, cwd=tmp_path, env=environment, capture_output=True)
    stores = [tmp_path / "s", tmp_path / "elsewhere"]
    assert len(versions(stores[0])) == 3
    assert versions(stores[0]) == versions(stores[1])
    manifests = [
        {p.relative_to(store): p.read_bytes() for p in store.glob("*/*/*/manifest.json")}
        for store in stores
    ]
    assert manifests[0] == manifests[1]
    assert all(str(tmp_path).encode() not in data for data in manifests[0].values())


def test_a_renamed_file_is_an_alias_and_recompression_no_new_version(tmp_path: Path) -> None:
    raw = folder_of(tmp_path / "raw", first_dot_nii=ANATOMICAL)
    (first,) = ingest(raw, store=tmp_path / "s").entries
    (raw / "first.nii").rename(raw / "second.nii")
    (second,) = ingest(raw, store=tmp_path / "s").entries
    assert (second.status, second.version) == ("alias", first.version)
    (raw / "second.nii").unlink()
    (raw / "first.nii.gz").write_bytes(gzip.compress(ANATOMICAL.read_bytes()))
    (third,) = ingest(raw, store=tmp_path / "s").entries
    assert (third.id, third.status, third.version) == ("raw/first", "same", first.version)
    store = open_store(tmp_path / "s")
    assert store.ids() == ["raw/first"]
    assert len(store.versions("raw/first")) == 1
    assert_store_ok(tmp_path / "s")


def test_nothing_of_this_machine_is_in_a_manifest(sample_store: Store) -> None:
    here = rf"{re.escape(str(ROOT))}|\b{re.escape(os.uname().nodename)}\b"
    for path in sample_store.path.glob("*/*/*/manifest.json"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(here, text)
        assert not re.search(r"\b20\d\d-\d\d-\d\dT", text)


def test_samples_and_pipelines_belong_together() -> None:
    folders = {p.name for p in resources.folder("samples").iterdir() if p.is_dir()}
    assert folders == set(names())
