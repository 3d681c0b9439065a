"""What is said of texts in images and of names of files before a data set is given away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from neurodata.ingestion import ingest
from neurodata.publish import push
from neurodata.publish.texts import texts
from neurodata.store import open_store
from tests.readers import synthetic_dicom
from tests.synthetic_trees import synthetic_mri

LICENCE = {"licence": "CC0-1.0"}


def series(folder: Path, *answers: str | None) -> Path:
    folder.mkdir(parents=True)
    images = synthetic_dicom.series(1, len(answers))
    for data, answer in zip(images, answers, strict=True):
        if answer is not None:
            data.BurnedInAnnotation = answer
    synthetic_dicom.write(folder, images)
    return folder


@pytest.mark.parametrize(
    ("answers", "facts", "state"),
    [
        (("YES", "YES"), {}, "yes"),
        (("NO", "YES"), {}, "yes"),
        (("NO", "NO"), {}, "no"),
        (("NO", None), {}, None),
        (("perhaps", None), {}, None),
        (("YES", "YES"), {"burned_in": "no"}, "no"),
    ],
)
def test_text_burned_into_pixels_is_told_at_ingest_and_at_push(
    tmp_path: Path, answers: Any, facts: dict[str, str], state: str | None
) -> None:
    folder = series(tmp_path / "sub-01", *answers)
    store = open_store(tmp_path / "store", create=True)
    result = ingest(folder, store=store, dataset="d", declare={**LICENCE, **facts})
    assert result.ok, result.findings()
    told = [p for p in result.findings() if "BurnedInAnnotation" in p.where]
    assert [p.level for p in told] == ["warning"] * ("YES" in answers)
    (name,) = store.ids()
    assert store[name].attrs.get("burned_in") == state
    _, problems = push(store, "d", tmp_path / "pushed")
    burned = [p for p in problems if "burned" in p.found]
    assert [(p.level, p.where) for p in burned] == (
        [("warning", f"{name}@{store.version(name)}")] * (state == "yes")
    )


@pytest.mark.parametrize(("answer", "defaced"), [("YES", "no"), ("NO", "yes"), (None, None)])
def test_recognisable_faces_are_what_the_header_says(
    tmp_path: Path, answer: str | None, defaced: str | None
) -> None:
    images = synthetic_dicom.series(1, 2)
    for data in images:
        if answer:
            data.RecognizableVisualFeatures = answer
    folder = tmp_path / "raw"
    folder.mkdir()
    synthetic_dicom.write(folder, images)
    store = open_store(tmp_path / "store", create=True)
    assert ingest(folder, store=store, dataset="d", declare=LICENCE).ok
    assert store[store.ids()[0]].attrs.get("defaced") == defaced


def test_overlays_are_listed_as_removed(tmp_path: Path) -> None:
    images = synthetic_dicom.series(1, 2)
    for data in images:
        data.add_new(0x60000022, "LO", "Jane Doe")
        data.add_new(0x60003000, "OW", b"Jane Doe")
    folder = tmp_path / "raw"
    folder.mkdir()
    synthetic_dicom.write(folder, images)
    store = open_store(tmp_path / "store", create=True)
    ingest(folder, store=store, dataset="d", declare=LICENCE)
    removed = store.manifest(store.ids()[0])["removed"]
    assert any("private ones, 2 of overlays" in item["what"] for item in removed)
    assert "Jane" not in str(removed)


def test_ids_that_are_names_of_files_are_told(tmp_path: Path) -> None:
    store = open_store(tmp_path, create=True)
    inputs = [{"size": 1, "sha256": "0" * 64}]
    listed = [{**inputs[0], "name": "jane.nii"}]
    for name, given in (("jane", inputs), ("sub-01_T1w", inputs), ("john", listed), ("made", ())):
        tree = synthetic_mri()
        tree.attrs["session"] = name
        store.publish(tree, dataset="d", recording=name, provenance={"inputs": given})
    (problem,) = texts(store, store.ids())
    assert (problem.level, problem.where) == ("warning", "d/jane")
    assert "named after their files (1 in all)" in problem.found
