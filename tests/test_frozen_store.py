"""A store of the first format stays readable, whatever the code becomes.

``tests/data/store_v1`` was written once by `make_frozen_store`; the numbers below were written
by hand from what that script says, and must never change.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from neurodata.store import Store, open_store
from tests.make_frozen_store import FOLDER

IDS = ["lab/synthetic_eeg", "lab/synthetic_volume", "net/synthetic_graph"]
VERSIONS = json.loads((FOLDER.parent / "store_v1.versions.json").read_text())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A copy that keeps no times, as a version control system gives it."""
    shutil.copytree(FOLDER, tmp_path / "store", copy_function=shutil.copyfile)
    return open_store(tmp_path / "store")


def test_it_is_small_and_named_so() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000
    assert all("synthetic" in name for name in IDS)
    sharded = [p for p in FOLDER.rglob("zarr.json") if "sharding_indexed" in p.read_text()]
    assert [path.parent.name for path in sharded] == ["signal_adc"]


def test_every_recording_is_there_in_its_version_and_verifies(store: Store) -> None:
    assert store.ids() == IDS
    assert {name: store.version(name) for name in IDS} == VERSIONS
    assert store.verify() == []
    for name, version in VERSIONS.items():
        assert store.manifest(f"{name}@{version}")["format"] == "neurodata-manifest/1"


def test_signal_clock_units_and_text(store: Store) -> None:
    tree, raw = store["lab/synthetic_eeg"], store.raw("lab/synthetic_eeg")
    adc = raw["eeg/signal_adc"]
    assert (adc.dtype, adc.shape) == (np.dtype("int16"), (80_000, 4))
    assert adc.values[0].tolist() == [1105, 674, 404, 15]
    assert adc.values[79_999].tolist() == [1008, 750, 389, 49]
    signal = tree["eeg/signal"]
    assert signal.attrs["units"] == "V"
    assert signal.dtype == np.float32
    np.testing.assert_array_equal(
        signal.values[0], np.float32([1105e-7, 674e-7, 404e-7 + 1e-6, 15e-7 - 1e-6])
    )
    assert signal.channel.values.tolist() == ["Fp1", "Fp2", "Cz", "Größe µ"]
    assert signal["status"].values.tolist() == ["good", "good", "bad", "good"]
    assert signal.time.values[[0, 1, 79_999]].tolist() == [-0.5, -0.5 + 1 / 256, 311.99609375]
    trace = tree["calcium/signal"]
    assert trace.attrs["units"] == "dF/F"
    assert trace.values[[0, -1], [0, -1]].tolist() == [-1.0, 1.0]
    assert trace.time.values[:4].tolist() == pytest.approx([0.0, 0.101, 0.202, 0.3])
    marks = tree["annotations"]
    assert marks["start_s"].values.tolist() == [0.0, 1.25, 100.0]
    assert np.isnan(marks["duration_s"].values[0])
    assert marks["label"].values.tolist() == ["", "eyes closed", "Fußtritt, 日本語 🧠"]
    assert marks["correct"].values.tolist() == [True, False, True]
    assert (tree.attrs["subject"], tree.attrs["age_years"]) == ("synthetic-1", 31.5)


def test_volume_affine_and_instances(store: Store) -> None:
    tree = store["lab/synthetic_volume"]
    image = tree["anat/image"]
    assert image.dims == ("z", "y", "x")
    z, y, x = np.indices((3, 70, 40))
    np.testing.assert_array_equal(image.values, (1000 * z + 10 * y + x) * 0.5 - 3)
    assert (tree["anat/affine"].values @ [1, 2, 3, 1]).tolist() == pytest.approx(
        [-8.1, 8.1, 11.3, 1]
    )
    assert tree["anat/affine"].attrs["units"] == "mm"
    assert tree["plane/spacing"].values.tolist() == [0.5, 0.25]
    assert tree["plane/image"].values[5, 4] == 29.0
    assert tree["cells/label"].values[0, 3:, 3:].tolist() == [[7, 7]] * 3
    assert tree["cells"].attrs["image_node"] == "plane"


def test_graph_and_spikes(store: Store) -> None:
    tree = store["net/synthetic_graph"]
    graph = tree["graph"].to_dataset()
    edges = np.stack([graph[key].values for key in ("source", "target", "weight")], axis=1)
    assert edges.tolist() == [[0, 1, 5], [0, 2, 1], [2, 1, 2]]
    assert graph["row_splits"].values.tolist() == [0, 2, 2, 3, 3]
    assert graph["node_id"].values.tolist() == ["a", "b", "c", "d"]
    assert graph["cell_class"].values.tolist() == ["K", "I", "O", ""]
    assert (graph.attrs["directed"], graph.attrs["weight_units"]) == (1, "count")
    units = tree["units"].to_dataset()
    assert units["time_s"].values.tolist() == [0.125, 0.5, 1.75]
    assert units["row_splits"].values.tolist() == [0, 3, 3]


def rows(store: Store) -> list[tuple[object, ...]]:
    """The catalogue without the time of commits, which a copy does not keep."""
    columns = "dataset, recording, version, content, recipe, size_bytes, attrs, summary"
    with closing(sqlite3.connect(store.path / "catalog.sqlite")) as connection:
        versions = connection.execute(f"SELECT {columns} FROM versions").fetchall()
        return sorted(versions) + sorted(connection.execute("SELECT * FROM aliases"))


def test_the_catalogue_can_be_made_again(store: Store) -> None:
    before, table = rows(store), store.catalog()
    assert len(before) == 4
    assert store.rebuild() == []
    assert len(store.ids()) == 3
    assert rows(store) == before
    assert store.catalog().equals(table)
    (store.path / "catalog.sqlite").unlink()
    store.rebuild()
    assert rows(store) == before[:3]


def test_it_can_be_added_to(store: Store) -> None:
    from tests.make_frozen_store import PROVENANCE, synthetic_eeg, synthetic_graph

    again = store.publish(
        synthetic_graph(), dataset="net", recording="synthetic_graph", provenance=PROVENANCE
    )
    assert (again.status, again.version) == ("same", VERSIONS["net/synthetic_graph"])
    new = store.publish(
        synthetic_eeg(gain=2e-7), dataset="lab", recording="synthetic_eeg", provenance=PROVENANCE
    )
    assert new.status == "new"
    assert store.versions("lab/synthetic_eeg") == [new.version, VERSIONS["lab/synthetic_eeg"]]
    assert store.verify() == []
