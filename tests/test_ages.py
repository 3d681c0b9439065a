"""Ages over 89 are 90 in the store, whichever format stated them; younger ones are exact."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from neurodata.ingestion import ingest
from neurodata.store import open_store
from tests.readers import synthetic_dicom, test_edf, test_wfdb

Write = Callable[[Path, Path, int], dict[str, Any]]


def bids(folder: Path, samples: Path, years: int) -> dict[str, Any]:
    eeg = folder / "sub-01" / "eeg"
    eeg.mkdir(parents=True)
    test_edf.write(eeg, "sub-01_task-rest_eeg.edf", samples=(100, 100))
    (folder / "participants.tsv").write_text(f"participant_id\tage\nsub-01\t{years}\n")
    return {}


def wfdb(folder: Path, samples: Path, years: int) -> dict[str, Any]:
    header = test_wfdb.write(folder)
    with header.open("a") as stream:
        stream.write(f"# age: {years}\n")
    return {}


def dicom(folder: Path, samples: Path, years: int) -> dict[str, Any]:
    images = synthetic_dicom.series(times=1, slices=3)
    for image in images:
        image.PatientAge = f"{years:03}Y"
    synthetic_dicom.write(folder, images)
    return {}


def nwb(folder: Path, samples: Path, years: int) -> dict[str, Any]:
    path = folder / "synthetic.nwb"
    shutil.copyfile(samples / "spikes_mouse" / "A8604-211122.nwb", path)
    with h5py.File(path, "r+") as file:
        subject = file.require_group("general/subject")
        if "age" in subject:
            del subject["age"]
        subject["age"] = f"P{years}Y"
    return {"subject": "S1", "species": "Homo sapiens", "session": "1", "start_s": 0.0,
            "stop_s": 1087.5289}  # fmt: skip


@pytest.mark.parametrize(("years", "kept"), [(41, 41), (89, 89), (90, 90), (91, 90), (103, 90)])
@pytest.mark.parametrize("write", [bids, wfdb, dicom, nwb])
def test_an_age_over_89_is_90_in_the_store(
    write: Write, years: int, kept: int, tmp_path: Path, samples: Path
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    declare = {"licence": "CC0-1.0", **write(raw, samples, years)}
    result = ingest(raw, store=tmp_path / "store", dataset="lab", declare=declare)
    assert result.tally("new") == 1, result.findings()
    store = open_store(tmp_path / "store")
    (name,) = store.ids()
    assert store[name].attrs["age_years"] == pytest.approx(kept, rel=1e-3)
    manifest = json.loads(json.dumps(store.manifest(name)))
    assert manifest["attrs"]["age_years"] == pytest.approx(kept, rel=1e-3)
    told = [p.found for p in result.findings() if "age" in p.where]
    assert not any(str(years) in text for text in told if years > 90)
