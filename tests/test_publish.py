"""Pushed folders: whole, verified, the same every time, and read by other people's tools."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import mlcroissant
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
import yaml
from markdown_it import MarkdownIt

from neurodata import ingest
from neurodata.errors import InvalidInputError, NotFoundError, StoreError
from neurodata.pipeline import read_pipeline
from neurodata.publish import push, tables, verify_pushed
from neurodata.publish import push as push_function
from neurodata.publish.citation import DOI
from neurodata.splits import Split, freeze
from neurodata.store import Store, open_store
from neurodata.store.integrity import verify

NAMES = ("mushroom_body", "eeg_fp1", "spikes_mouse", "nuclei", "gripforce_ieeg")
ROOT = Path(__file__).parents[1]
push_module = sys.modules[push_function.__module__]


@pytest.fixture(scope="module")
def splits(sample_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The splits that the pipelines declare."""
    folder = tmp_path_factory.mktemp("splits")
    for name in NAMES:
        freeze(sample_store, read_pipeline(name)[0], folder)
    return folder


@pytest.fixture(scope="module")
def pushed(
    sample_store: Store, splits: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Pushed folders by data set; nothing may change them."""
    parent = tmp_path_factory.mktemp("pushed")
    for name in NAMES:
        assert push(sample_store, name, parent / name, splits=splits)[1] == []
    return {name: parent / name for name in NAMES}


def hashes(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def table(folder: Path, name: str, side: str = "full") -> pd.DataFrame:
    return pq.read_table(folder / "tables" / name / f"{side}.parquet").to_pandas()


def add_version(store: Store, name: str) -> None:
    """Store a recording again, with another device."""
    tree = store.raw(name)
    tree.attrs["device"] = "another microscope"
    dataset, recording = name.split("/")
    store.publish(tree, dataset=dataset, recording=recording)


def front_matter(folder: Path) -> dict[str, Any]:
    text = (folder / "README.md").read_text("utf-8")
    found = re.match(r"^---\n(.*?)\n---\n", text, re.DOTALL)
    assert found
    front: dict[str, Any] = yaml.safe_load(found[1])
    return front


# --- the folder as a whole --------------------------------------------------------------------


def test_folder_has_the_form_of_the_contract(pushed: dict[str, Path]) -> None:
    for name, folder in pushed.items():
        top = {path.name for path in folder.iterdir()}
        assert top == {
            "README.md", "CITATION.cff", "LICENSES", "croissant.json", "splits", "stores", "tables",
        }  # fmt: skip
        assert [path.name for path in (folder / "stores").iterdir()] == [name]
        assert (folder / "LICENSES" / f"{read_pipeline(name)[0].licence}.txt").is_file()


def test_pushing_twice_gives_the_same_bytes(
    sample_store: Store, own_store: Store, splits: Path, pushed: dict[str, Path], tmp_path: Path
) -> None:
    own_store.rebuild()
    for name in ("mushroom_body", "spikes_mouse"):
        push(own_store, name, tmp_path / "elsewhere" / name, splits=splits)
        assert hashes(tmp_path / "elsewhere" / name) == hashes(pushed[name])


def test_stores_open_with_plain_xarray_at_the_path_in_the_table(
    sample_store: Store, pushed: dict[str, Path]
) -> None:
    for folder in pushed.values():
        for path in (folder / "tables" / "recordings").glob("*.parquet"):
            for row in pq.read_table(path).to_pylist():
                place = folder / row["store"]
                assert verify(place.parent) == []
                tree = xr.open_datatree(place, engine="zarr", consolidated=False)
                assert tree.attrs["id"] == row["recording_id"]
                wanted = sample_store.raw(f"{row['recording_id']}@{row['version']}")
                for key, node in wanted.subtree_with_keys:
                    for variable in node.data_vars:
                        np.testing.assert_array_equal(
                            tree[key][variable].values, node[variable].values
                        )


def test_splits_are_copied_with_valid_digests(splits: Path, pushed: dict[str, Path]) -> None:
    for name, folder in pushed.items():
        (copy,) = (folder / "splits").glob("*.json")
        (original,) = splits.glob(f"{name}.*.json")
        assert Split.read(copy) == Split.read(original)
        assert copy.stem.endswith(Split.read(original).digest[:12])


@pytest.mark.parametrize(
    "pattern",
    [
        "README.md", "CITATION.cff", "croissant.json", "LICENSES/*.txt", "splits/*.json",
        "tables/edges/test.parquet", "stores/*/*/*/manifest.json",
        "stores/*/*/*/data.zarr/graph/weight/c/0", "stores/*/*/*/data.zarr/graph/zarr.json",
    ],
)  # fmt: skip
def test_a_changed_missing_or_added_file_is_found(
    pushed: dict[str, Path], tmp_path: Path, pattern: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(pushed["mushroom_body"], folder)
    assert verify_pushed(folder) == []
    victim = sorted(folder.glob(pattern))[0]
    intact = victim.read_bytes()
    at = intact.rindex(b'"sha256": "') + 12 if victim.name == "croissant.json" else len(intact) // 2
    victim.write_bytes(intact[:at] + bytes([intact[at] ^ 1]) + intact[at + 1 :])
    assert verify_pushed(folder)
    victim.unlink()
    assert verify_pushed(folder)
    victim.write_bytes(intact)
    (victim.parent / "added.txt").write_text("x")
    assert victim.parent == folder or verify_pushed(folder)
    assert any("added.txt" in problem.where for problem in verify_pushed(folder))


# --- tables -----------------------------------------------------------------------------------

F8, I8, TEXT = pa.float64(), pa.int64(), pa.string()
KEYS = {"recording_id": TEXT, "node_name": TEXT}
COLUMNS: dict[tuple[str, str], dict[str, pa.DataType]] = {
    ("mushroom_body", "nodes"): {**KEYS, "node_id": TEXT, "cell_class": TEXT},
    ("mushroom_body", "edges"): {
        **KEYS, "source": TEXT, "target": TEXT, "weight": I8, "weight_units": TEXT,
    },
    ("eeg_fp1", "channels"): {**KEYS, "channel": TEXT, "type": TEXT, "units": TEXT},
    ("eeg_fp1", "intervals"): {**KEYS, "start_s": F8, "duration_s": F8, "label": TEXT},
    ("spikes_mouse", "units"): {
        **KEYS, "unit_id": TEXT, "group": I8, "spike_times_s": pa.list_(F8),
    },
    ("nuclei", "instances"): {
        **KEYS, "instance_id": I8, "instance_layer": I8, "voxel_count": I8,
    },
    ("gripforce_ieeg", "channels"): {
        **KEYS, "channel": TEXT, "type": TEXT, "units": TEXT, "status": TEXT,
        "x_m": F8, "y_m": F8, "z_m": F8, "position_frame": TEXT,
    },
}  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), list(COLUMNS))
def test_columns_have_one_order_and_right_types(
    pushed: dict[str, Path], name: str, kind: str
) -> None:
    for path in (pushed[name] / "tables" / kind).glob("*.parquet"):
        schema = pq.read_schema(path)
        assert dict(zip(schema.names, schema.types, strict=True)) == COLUMNS[name, kind]
        assert schema.names == list(COLUMNS[name, kind])


def test_recordings_name_their_version_store_licence_and_citation(
    sample_store: Store, pushed: dict[str, Path]
) -> None:
    rows = table(pushed["eeg_fp1"], "recordings").set_index("recording_id")
    assert list(rows.columns[:4]) == ["dataset", "recording", "version", "store"]
    assert list(rows.index) == sample_store.ids("eeg_fp1")
    for name, row in rows.iterrows():
        attrs = sample_store.manifest(str(name))["attrs"]
        assert row["store"] == f"stores/{name}/{row['version']}/data.zarr"
        assert (row["licence"], row["citation"]) == (attrs["licence"], attrs["citation"])
    assert rows["length_s"].tolist() == [698.0, 698.0]
    assert rows["rate_hz"].tolist() == [128.0, 128.0]


@pytest.mark.parametrize(("side", "file"), [("train", "left"), ("test", "right")])
def test_edges_are_those_of_the_matrix(
    pushed: dict[str, Path], samples: Path, side: str, file: str
) -> None:
    matrix = np.loadtxt(samples / "mushroom_body" / f"{file}_adjacency.csv", dtype=int)
    sides = {
        row["session"]: name
        for name in ("train", "test")
        for _, row in table(pushed["mushroom_body"], "recordings", name).iterrows()
    }
    edges = table(pushed["mushroom_body"], "edges", sides[file])
    nodes = table(pushed["mushroom_body"], "nodes", sides[file])
    place = {node: i for i, node in enumerate(nodes["node_id"])}
    found = np.zeros_like(matrix)
    found[edges["source"].map(place), edges["target"].map(place)] = edges["weight"]
    np.testing.assert_array_equal(found, matrix)
    classes = (samples / "mushroom_body" / f"{file}_cell_labels.csv").read_text().split()
    assert nodes["cell_class"].tolist() == classes


def test_spike_times_are_those_of_the_file(pushed: dict[str, Path], samples: Path) -> None:
    with h5py.File(samples / "spikes_mouse" / "A8604-211122.nwb") as file:
        times, ends = file["units/spike_times"][:], file["units/spike_times_index"][:]
    units = table(pushed["spikes_mouse"], "units")
    for found, wanted in zip(units["spike_times_s"], np.split(times, ends[:-1]), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_positions_have_a_column_per_axis_and_absent_ones_are_null(
    pushed: dict[str, Path], samples: Path
) -> None:
    (path,) = (samples / "gripforce_ieeg").rglob("*electrodes.tsv")
    stated = pd.read_csv(path, sep="\t", index_col="name")[["x", "y", "z"]]
    channels = table(pushed["gripforce_ieeg"], "channels").set_index("channel")
    found = channels.loc[stated.index.intersection(channels.index), ["x_m", "y_m", "z_m"]]
    np.testing.assert_allclose(found, stated.loc[found.index], atol=1e-12)
    assert found.isna().all(axis=1).sum() == 1


def test_units_of_numbers_are_in_the_names_and_ids_are_never_shadowed() -> None:
    node = xr.Dataset(
        {
            "start_s": ("interval", [0.0, np.nan], {"units": "s"}),
            "field": ("interval", [1.0, 2.0], {"units": "T/m"}),
            "recording_id": ("interval", np.array([7, 8], "uint16")),
            "split": ("interval", np.array(["a", "b"], object)),
            "correct": ("interval", [True, False]),
        }
    )
    found = tables.rows(node, tables.TABLES["intervals"])
    assert found.to_pydict() == {
        "start_s": [0.0, None], "correct": [True, False], "field_T_per_m": [1.0, 2.0],
        "recording_id_": [7, 8], "split_": ["a", "b"],
    }  # fmt: skip
    assert found.schema.field("recording_id_").type == pa.uint16()


def test_large_tables_are_written_in_parts(
    own_store: Store, splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(own_store, "mouse_tractography", tmp_path / "whole")
    monkeypatch.setattr(tables, "FLUSH_BYTES", 1000)
    push(own_store, "mouse_tractography", tmp_path / "parts")
    whole, parts = (
        pq.ParquetFile(tmp_path / name / "tables/edges/full.parquet") for name in ("whole", "parts")
    )
    assert (whole.num_row_groups, parts.num_row_groups) == (1, 2)
    assert whole.read().equals(parts.read())


def test_a_split_that_names_an_older_version_keeps_it(own_store: Store, tmp_path: Path) -> None:
    name, second = own_store.ids("nuclei")
    old = own_store.version(name)
    sides = {"train": 0.5, "held-out": 0.5}
    entry = {"id": name, "version": old, "group": "a", "split": "train"}
    other = {**entry, "id": second, "version": own_store.version(second), "split": "held-out"}
    split = Split.sealed("nuclei", "../../subject", "", sides, None, [entry, other])  # type: ignore[list-item]
    add_version(own_store, name)
    assert own_store.version(name) != old
    push(own_store, "nuclei", tmp_path / "out", splits=[split])
    assert table(tmp_path / "out", "recordings", "train")["version"].tolist() == [old]
    assert len(list((tmp_path / "out/stores/nuclei").glob("*/*/manifest.json"))) == 3
    assert len(list((tmp_path / "out/splits").iterdir())) == 1
    (config, *_) = front_matter(tmp_path / "out")["configs"]
    assert [one["split"] for one in config["data_files"]] == ["train", "held_out"]


def test_recordings_that_a_split_leaves_out_are_a_side_of_their_own(
    sample_store: Store, tmp_path: Path
) -> None:
    first, second = sample_store.ids("mushroom_body")
    entry = {"id": first, "version": sample_store.version(first), "group": "a", "split": "train"}
    split = Split.sealed("mushroom_body", "subject", "", {"train": 1.0}, None, [entry])  # type: ignore[list-item]
    items, _ = push(sample_store, "mushroom_body", tmp_path / "out", splits=[split])
    assert {item["split"] for item in items} == {"train", "unassigned"}
    rest = table(tmp_path / "out", "recordings", "unassigned")
    assert rest["recording_id"].tolist() == [second]


# --- other people's tools ---------------------------------------------------------------------

LOAD = """
import json, sys, datasets
for folder, names in json.loads(sys.argv[1]).items():
    default = datasets.load_dataset(folder)
    found = {name: datasets.load_dataset(folder, name) for name in names}
    print(json.dumps({"default": {s: d.num_rows for s, d in default.items()}, **{
        name: {side: [d.num_rows, d.column_names] for side, d in one.items()}
        for name, one in found.items()}}))
"""


def load_with_datasets(folders: dict[Path, list[str]], cache: Path) -> list[dict[str, Any]]:
    """Load configs in a process without the network, as a user does."""
    env = {
        **os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(cache),
        "HF_DATASETS_CACHE": str(cache / "datasets"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip
    named = json.dumps({str(folder): names for folder, names in folders.items()})
    done = subprocess.run(
        [sys.executable, "-c", LOAD, named], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_datasets_loads_every_table_and_the_default(
    pushed: dict[str, Path], tmp_path: Path
) -> None:
    wanted = {
        folder: [path.name for path in sorted((folder / "tables").iterdir())]
        for folder in pushed.values()
    }
    for folder, found in zip(wanted, load_with_datasets(wanted, tmp_path), strict=True):
        assert sorted(found) == sorted([*wanted[folder], "default"])
        for name in wanted[folder]:
            for path in (folder / "tables" / name).glob("*.parquet"):
                file = pq.ParquetFile(path)
                rows, columns = found[name].pop(path.stem)
                assert (rows, columns) == (file.metadata.num_rows, file.schema_arrow.names)
            assert not found[name]
        assert sum(found["default"].values()) == len(list((folder / "stores").glob("*/*")))


def test_datasets_takes_no_stale_table_from_its_cache(own_store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    push(own_store, "nuclei", folder)
    (before,) = load_with_datasets({folder: ["recordings"]}, tmp_path / "cache")
    shutil.rmtree(folder)
    name = own_store.ids("nuclei")[0]
    add_version(own_store, name)
    push(own_store, "nuclei", folder)
    (after,) = load_with_datasets({folder: ["recordings"]}, tmp_path / "cache")
    assert "device" not in before["recordings"]["full"][1]
    assert "device" in after["recordings"]["full"][1]


@pytest.mark.parametrize("name", ["eeg_fp1", "spikes_mouse", "nuclei", "gripforce_ieeg"])
def test_croissant_is_valid_and_gives_every_record(pushed: dict[str, Path], name: str) -> None:
    found = croissant(pushed[name])
    assert found.pop("splits") == [{"splits/name": "full"}]
    for kind, records in found.items():
        rows = table(pushed[name], kind).to_dict("records")
        assert len(records) == len(rows)
        assert {record[f"{kind}/split"] for record in records} == {b"full"}
        for record, row in zip(records, rows, strict=True):
            for key, value in row.items():
                same(record[f"{kind}/{key}"], value)


def croissant(folder: Path) -> dict[str, list[dict[str, Any]]]:
    dataset = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    assert all("datePublished" in text for text in issues.warnings)
    return {one.id: list(dataset.records(one.id)) for one in dataset.metadata.record_sets}


def same(record: Any, value: Any) -> None:
    if isinstance(value, str):
        assert record == value.encode()
    elif isinstance(value, np.ndarray):
        np.testing.assert_array_equal(record, value)
    else:
        assert record == value or (record is None and (value is None or np.isnan(value)))


def test_croissant_knows_the_sides_and_the_lineage(
    sample_store: Store, pushed: dict[str, Path]
) -> None:
    folder = pushed["mushroom_body"]
    dataset = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    assert list(dataset.records("splits")) == [
        {"splits/name": "train", "splits/url": "cr:TrainingSplit"},
        {"splits/name": "test", "splits/url": "cr:TestSplit"},
    ]
    sides = {
        one["recordings/session"]: one["recordings/split"] for one in dataset.records("recordings")
    }
    assert set(sides.values()) == {b"train", b"test"}
    document = json.loads((folder / "croissant.json").read_text())
    assert document["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    files = {one["@id"]: one for one in document["distribution"]}
    for name in sample_store.ids("mushroom_body"):
        inputs = {one["sha256"] for one in sample_store.manifest(name)["inputs"]}
        entry = files[f"stores/{name}/{sample_store.version(name)}/manifest.json"]
        assert {one["@id"] for one in entry["prov:wasDerivedFrom"]} == {
            f"urn:sha256:{one}" for one in inputs
        }
    assert not any("data.zarr" in one for one in files)
    assert files["stores-files"]["includes"] == "stores/*/*/*/data.zarr/**"


def test_citation_file_has_the_form_of_cff_1_2(pushed: dict[str, Path]) -> None:
    for name, folder in pushed.items():
        cff = yaml.safe_load((folder / "CITATION.cff").read_text("utf-8"))
        assert cff["cff-version"] == "1.2.0"
        assert {"message", "title", "authors", "references"} <= cff.keys()
        pipeline = read_pipeline(name)[0]
        assert [one["title"] for one in cff["references"]] == [pipeline.citation]
        for one in (cff, *cff["references"]):
            assert one["authors"] == [{"name": pipeline.citation.partition(",")[0]}]
        assert cff["license"] == [pipeline.licence]


def test_dois_are_found_without_what_follows() -> None:
    found = [DOI.search(text) for text in ("doi:10.7554/eLife.85786.", "none", "(10.1/x)")]
    assert [one and one[0] for one in found] == ["10.7554/eLife.85786", None, None]


# --- hostile text -----------------------------------------------------------------------------

HOSTILE = "x|y <script>alert(1)</script> [z](javascript:alert(2)) `&"
CITATION = "A: &b *c\n---\nlicense: mit\n# <img src=x onerror=alert(3)>, {d}\n---\n, 10.1234/ab"


@pytest.fixture(scope="module")
def hostile(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pushed folder whose data try to break out of every text they get into."""
    folder = tmp_path_factory.mktemp("hostile")
    facts = {"subject": HOSTILE, "citation": CITATION, "licence": "../../<b>mine</b>: #|x"}
    source = samples / "eeg_fp1" / "test_subsecond.edf"
    result = ingest(source, store=folder / "store", dataset="nuclei", declare=facts)
    assert result.ok, result
    push(open_store(folder / "store"), "nuclei", folder / "out")
    return folder / "out"


def test_text_from_data_stays_text_in_the_card(hostile: Path) -> None:
    front = front_matter(hostile)
    assert front["license"] == "other"
    assert re.fullmatch(r"[a-z0-9.-]+", front["license_name"])
    text = (hostile / "README.md").read_text("utf-8")
    page = (
        MarkdownIt("commonmark", {"html": True}).enable("table").render(text.split("---\n", 2)[2])
    )
    assert "<script" not in page
    assert "<img" not in page
    assert "<b>" not in page
    assert 'href="javascript' not in page
    assert page.count("<h1>") == 1
    (row,) = re.findall(r"<tr>\s*(<td>.*?)</tr>", page, re.DOTALL)
    assert row.count("<td>") == len(re.findall(r"<th>", page))
    assert "x|y &lt;script&gt;alert(1)&lt;/script&gt; [z](javascript:alert(2)) `&amp;" in row


def test_hostile_text_is_whole_in_tables_and_metadata(hostile: Path, tmp_path: Path) -> None:
    row = table(hostile, "recordings").iloc[0]
    assert (row["subject"], row["citation"]) == (HOSTILE, CITATION)
    cff = yaml.safe_load((hostile / "CITATION.cff").read_text("utf-8"))
    assert cff["references"][0]["title"] == " ".join(CITATION.split())
    assert cff["references"][0]["doi"] == "10.1234/ab"
    assert "license" not in cff
    assert [path.parent for path in hostile.rglob("*.txt")] == [hostile / "LICENSES"]
    assert croissant(hostile)["recordings"][0]["recordings/subject"] == HOSTILE.encode()
    load_with_datasets({hostile: ["recordings"]}, tmp_path)


def test_data_that_only_share_a_shipped_name_get_no_shipped_card(hostile: Path) -> None:
    assert front_matter(hostile)["pretty_name"] == "nuclei"


# --- refusals and faults ----------------------------------------------------------------------


def test_without_a_licence_nothing_is_pushed(samples: Path, tmp_path: Path) -> None:
    source = samples / "eeg_fp1" / "test_subsecond.edf"
    assert ingest(source, store=tmp_path / "store", dataset="mine").ok
    store = open_store(tmp_path / "store")
    with pytest.raises(StoreError, match="--set licence="):
        push(store, "mine", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert ingest(source, store=store, dataset="mine", declare={"licence": "CC-BY-4.0"}).ok
    _, problems = push(store, "mine", tmp_path / "out")
    assert problems[0].where == "CITATION.cff"  # the others are about persons
    assert (
        "creativecommons.org/licenses/by/4.0/"
        in (tmp_path / "out/LICENSES/CC-BY-4.0.txt").read_text()
    )


def test_what_cannot_be_pushed_is_refused(sample_store: Store, tmp_path: Path) -> None:
    empty = open_store(tmp_path / "store", create=True)
    for store, name in ((empty, "nuclei"), (sample_store, "no_such")):
        with pytest.raises(NotFoundError, match="no data set"):
            push(store, name, tmp_path / "out")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for dest in (tmp_path / "file", tmp_path / "link", tmp_path, sample_store.path / "out"):
        with pytest.raises(InvalidInputError):
            push(sample_store, "nuclei", dest)
    with pytest.raises(StoreError, match="cannot be written"):
        push(sample_store, "nuclei", tmp_path / "file" / "out")
    name = sample_store.ids("nuclei")[0]
    entry = {"id": name, "version": "0" * 16, "group": "a", "split": "train"}
    split = Split.sealed("nuclei", "subject", "", {"train": 1.0}, None, [entry])  # type: ignore[list-item]
    with pytest.raises(NotFoundError, match="no version"):
        push(sample_store, "nuclei", tmp_path / "out", splits=[split])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "store"]


def test_sides_with_one_name_at_hugging_face_are_refused(
    sample_store: Store, tmp_path: Path
) -> None:
    entries = [
        {"id": one, "version": sample_store.version(one), "group": one, "split": side}
        for one, side in zip(sample_store.ids("nuclei"), ("held-out", "held_out"), strict=True)
    ]
    sides = {"held-out": 0.5, "held_out": 0.5}
    split = Split.sealed("nuclei", "subject", "", sides, None, entries)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="held-out, held_out"):
        push(sample_store, "nuclei", tmp_path / "out", splits=[split])
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_store_is_not_pushed(own_store: Store, tmp_path: Path) -> None:
    (chunk,) = own_store.zarr(own_store.ids("nuclei")[0]).glob("instances/voxel_count/c/0")
    data = chunk.read_bytes()
    chunk.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(StoreError, match=f"{own_store.path}.*voxel_count.*changed bytes"):
        push(own_store, "nuclei", tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


STEPS = (
    "_copy", "verify_stores", "write_tables", "write_licences", "write_citation", "write_card",
    "write_croissant", "verify_files",
)  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_a_failure_leaves_nothing(
    sample_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(push_module, step, fail)
    with pytest.raises(StoreError, match="No space left"):
        push(sample_store, "nuclei", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, sys
from pathlib import Path
from neurodata.publish import push
from neurodata.store import open_store
module = sys.modules[push.__module__]
module.write_card = lambda *a: os.kill(os.getpid(), 9)
push(open_store(sys.argv[1]), "nuclei", Path(sys.argv[2]))
"""


def test_a_kill_leaves_no_folder_and_the_next_push_clears_up(
    sample_store: Store, tmp_path: Path
) -> None:
    argv = [sys.executable, "-c", KILLED, str(sample_store.path), str(tmp_path / "out")]
    done = subprocess.run(argv, cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == [".out.pushing"]
    push(sample_store, "nuclei", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert verify_pushed(tmp_path / "out") == []


def test_two_pushes_to_one_place_do_not_mix(
    sample_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = push_module.write_card

    def push_within(*args: Any) -> None:
        with pytest.raises(InvalidInputError, match="a push at work"):
            push(sample_store, "nuclei", tmp_path / "out")
        write(*args)

    monkeypatch.setattr(push_module, "write_card", push_within)
    push(sample_store, "nuclei", tmp_path / "out")
    assert verify_pushed(tmp_path / "out") == []
