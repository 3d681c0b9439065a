"""A first pipeline for a folder of the shipped recordings, and of files that lack facts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from typer.testing import CliRunner

from neurodata.cli.more_verbs import app
from neurodata.draft import draft
from neurodata.errors import InvalidInputError, PipelineError
from neurodata.ingestion import ingest
from neurodata.pipeline import read_pipeline


@pytest.fixture
def mixed(samples: Path, tmp_path: Path) -> Path:
    """Recordings of several modalities and files that are none, thrown together."""
    raw = tmp_path / "thrown_together"
    raw.mkdir()
    for name in ("eeg_fp1", "mri_anatomical", "nuclei", "gripforce_ieeg"):
        shutil.copytree(samples / name, raw, dirs_exist_ok=True)
    tifffile.imwrite(raw / "synthetic_plane.tif", np.arange(64, dtype="u2").reshape(8, 8))
    (raw / "error.edf").write_text("<html>404 not found</html>")
    (raw / "broken.nii").write_bytes(b"\0" * 400)
    return raw


def test_a_draft_becomes_a_pipeline_that_runs(mixed: Path, tmp_path: Path) -> None:
    made = draft(mixed)
    assert made.path == mixed.with_name("thrown_together.yaml")
    text = made.path.read_text()
    assert "voxel_um: <y>,<x>  # wanted by synthetic_plane.tif; choose the value" in text
    with pytest.raises(PipelineError, match=r"title: .*TODO"):
        read_pipeline(made.path)
    found = yaml.safe_load(text)
    names = {file["name"] for source in found["sources"] for file in source["files"]}
    assert "error.edf" not in names
    assert {"anatomical.nii", "synthetic_plane.tif"} <= names
    filled = text.replace("title: TODO", "title: Mine").replace("licence: TODO", "licence: CC0-1.0")
    made.path.write_text(filled.replace("citation: TODO", "citation: nobody yet"))
    pipeline, _ = read_pipeline(made.path)
    assert pipeline.expect.recordings == len(made.recordings)
    result = ingest(made.path, store=tmp_path / "store", declare={"voxel_um": [1.0, 1.0]})
    failed = {entry.id for entry in result if entry.status == "failed"}
    assert len(failed) <= 1, result.findings()


def test_what_is_not_understood_is_listed(mixed: Path) -> None:
    made = draft(mixed)
    told = {problem.where: problem for problem in made.problems}
    assert told["error.edf"].level == "error"
    assert told["broken.nii"].level == "error"
    (plane,) = [row for row in made.recordings if row["recording"] == "synthetic_plane"]
    assert plane["to declare"].startswith("voxel_um=")


def test_nothing_is_overwritten(mixed: Path) -> None:
    draft(mixed)
    with pytest.raises(InvalidInputError, match="already"):
        draft(mixed)
    with pytest.raises(InvalidInputError, match="no folder"):
        draft(mixed / "nowhere")


def test_the_verb_tells_what_it_wrote(mixed: Path, tmp_path: Path) -> None:
    out = tmp_path / "lab.yaml"
    ran = CliRunner().invoke(app, ["init", str(mixed), "--out", str(out), "--json"])
    shown = json.loads(ran.stdout)
    assert ran.exit_code == 1  # two files of no known format
    assert len(shown["items"]) >= 5
    assert out.read_text().startswith(f"# {len(shown['items'])} recordings")
