"""The store: what is read is what was written, or it is an error."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr

import neurodata
from neurodata.errors import IntegrityError, InvalidInputError, NotFoundError, StoreError
from neurodata.store import Store, open_store
from neurodata.store.layout import blocks, choose, tile
from neurodata.store.manifest import NAME, TREE

RATE_HZ, N, CHANNELS = 250.0, 150_000, 4


def synthetic_tree(seed: int = 0) -> xr.DataTree:
    """An EEG recording whose signal needs several chunks, with annotations and a volume."""
    rng = np.random.default_rng(seed)
    adc = rng.integers(-3000, 3000, (N, CHANNELS)).astype("int16")
    eeg = xr.Dataset(
        {
            "signal_adc": (("time", "channel"), da.from_array(adc, chunks=(40_000, 4)),
                           {"units": "V"}),
            "scale": ("channel", np.full(CHANNELS, 1e-7)),
            "offset": ("channel", np.zeros(CHANNELS)),
        },
        coords={
            "channel": [f"C{i}" for i in range(CHANNELS)],
            "type": ("channel", ["EEG"] * CHANNELS),
            "units": ("channel", ["V"] * CHANNELS),
        },
        attrs={"representation": "timeseries", "schema": "timeseries/1",
               "start_s": 0.0, "rate_hz": RATE_HZ, "n": N},
    )  # fmt: skip
    marks = xr.Dataset(
        {
            "start_s": ("interval", [1.0, 2.5]),
            "duration_s": ("interval", [np.nan, 1.0]),
            "label": ("interval", ["eyes closed", "Fußtritt µ"]),
        },
        attrs={"representation": "intervals", "schema": "intervals/1"},
    )
    image = xr.Dataset(
        {
            "image_adc": (("z", "y", "x"), rng.integers(0, 4000, (40, 100, 90)).astype(">u2"),
                          {"units": "count"}),
            "scale": ((), 1.0), "offset": ((), 0.0),
            "spacing": ("spatial", [2.0, 0.5, 0.5], {"units": "um"}),
        },
        coords={"spatial": ["z", "y", "x"]},
        attrs={"representation": "volume", "schema": "volume/1"},
    )  # fmt: skip
    root = xr.Dataset(attrs={"modality": "eeg", "subject": "01"})
    return xr.DataTree.from_dict({"/": root, "eeg": eeg, "annotations": marks, "image": image})


PROVENANCE = {"inputs": [{"size": 3, "sha256": "0" * 64}], "reader": "edf"}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store")
    open_store(path, create=True).publish(
        synthetic_tree(), dataset="lab", recording="r1", provenance=PROVENANCE
    )
    return path


@pytest.fixture
def store(published: Path, tmp_path: Path) -> Store:
    shutil.copytree(published, tmp_path / "store")
    return open_store(tmp_path / "store")


def test_stored_values_units_clock_and_text_come_back(store: Store) -> None:
    made, raw, tree = synthetic_tree(), store.raw("lab/r1"), store["lab/r1"]
    np.testing.assert_array_equal(raw["eeg/signal_adc"].values, made["eeg/signal_adc"].values)
    assert raw["eeg/signal_adc"].dtype == np.dtype("int16")
    signal = tree["eeg/signal"]
    expected = (made["eeg/signal_adc"].values * 1e-7).astype("float32")
    np.testing.assert_array_equal(signal.values, expected)
    assert signal.dtype == np.float32
    assert signal.attrs["units"] == "V"
    assert signal.chunks is not None
    np.testing.assert_array_equal(signal.time.values, np.arange(N) / RATE_HZ)
    assert tree["annotations/label"].values.tolist() == ["eyes closed", "Fußtritt µ"]
    assert set(tree["eeg"].to_dataset().coords) == {"channel", "type", "units", "time"}
    np.testing.assert_array_equal(tree["image/image"].values, made["image/image_adc"].values)


def test_regular_time_is_not_an_array_on_disk_and_slices_by_seconds(store: Store) -> None:
    assert not (store.zarr("lab/r1") / "eeg" / "time").exists()
    part = store["lab/r1"]["eeg"].to_dataset().sel(time=slice(1.0, 2.0))
    assert part.sizes["time"] == 251
    assert float(part.time[0]) == 1.0


def test_plain_xarray_shows_stored_counts_under_their_own_name(store: Store) -> None:
    tree = xr.open_datatree(store.zarr("lab/r1"), engine="zarr", consolidated=False)
    assert "signal_adc" in tree["eeg"]
    assert "signal" not in tree["eeg"]


def test_volume_with_spacing_carries_ome_ngff_metadata(store: Store) -> None:
    ome = zarr.open_group(store.zarr("lab/r1"), mode="r")["image"].attrs["ome"]
    (scale,) = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert ome["version"] == "0.5"
    assert [axis["name"] for axis in ome["multiscales"][0]["axes"]] == ["z", "y", "x"]
    assert scale == {"type": "scale", "scale": [2.0, 0.5, 0.5]}


def test_every_array_and_coordinate_has_a_checksum(store: Store) -> None:
    arrays = sorted(store.zarr("lab/r1").rglob("zarr.json"))
    metadata = [json.loads(path.read_text()) for path in arrays]
    checked = [m for m in metadata if m["node_type"] == "array"]
    assert len(checked) == 14
    for array in checked:
        codecs = array["codecs"]
        if codecs[0]["name"] == "sharding_indexed":
            assert codecs[0]["configuration"]["index_codecs"][-1]["name"] == "crc32c"
            codecs = codecs[0]["configuration"]["codecs"]
        assert codecs[-1]["name"] == "crc32c"


def test_version_is_the_manifest_digest_and_equal_inputs_give_it_again(tmp_path: Path) -> None:
    first = open_store(tmp_path / "a", create=True)
    other = open_store(tmp_path / "b", create=True)
    kept = {"dataset": "lab", "recording": "r1", "provenance": PROVENANCE}
    one, two = first.publish(synthetic_tree(), **kept), other.publish(synthetic_tree(), **kept)
    assert one == two
    text = (first.folder("lab/r1") / NAME).read_text()
    assert str(tmp_path) not in text


def test_same_content_makes_no_new_version_but_an_alias(store: Store) -> None:
    before = store.version("lab/r1")
    other = {**PROVENANCE, "inputs": [{"size": 9, "sha256": "9" * 64}]}
    again = store.publish(synthetic_tree(), dataset="lab", recording="r1", provenance=other)
    alias = store.publish(synthetic_tree(), dataset="lab", recording="r2", provenance=other)
    assert (again.status, again.version) == ("same", before)
    assert (alias.status, alias.id, alias.version) == ("alias", "lab/r1", before)
    assert store.ids() == ["lab/r1"]
    assert store["lab/r2"].attrs["id"] == "lab/r1"
    assert store.version("lab/r2") == before
    assert store.known("lab", "r2", other) == f"lab/r1@{before}"
    assert store.known("lab", "r3", other) is None
    store.rebuild()
    assert store.known("lab", "r2", other) == f"lab/r1@{before}"


def test_a_recording_that_becomes_equal_to_another_gets_that_content(store: Store) -> None:
    store.publish(synthetic_tree(1), dataset="lab", recording="r2")
    changed = store.publish(synthetic_tree(0), dataset="lab", recording="r2")
    assert (changed.status, changed.id) == ("new", "lab/r2")
    assert store["lab/r2"]["eeg/signal"].equals(store["lab/r1"]["eeg/signal"])


def test_a_recipe_is_known_only_while_the_id_means_what_it_made(store: Store) -> None:
    first = {**PROVENANCE, "inputs": [{"size": 1, "sha256": "1" * 64}]}
    later = {**PROVENANCE, "inputs": [{"size": 2, "sha256": "2" * 64}]}
    assert (
        store.publish(synthetic_tree(0), dataset="lab", recording="r2", provenance=first).status
        == "alias"
    )
    assert store.known("lab", "r2", first) == f"lab/r1@{store.version('lab/r1')}"
    store.publish(synthetic_tree(1), dataset="lab", recording="r2", provenance=later)
    assert store.known("lab", "r2", first) is None
    assert store.known("lab", "r2", later) == f"lab/r2@{store.version('lab/r2')}"


def test_newer_content_is_the_newest_version_and_the_old_one_stays(store: Store) -> None:
    old = store.version("lab/r1")
    new = store.publish(synthetic_tree(1), dataset="lab", recording="r1").version
    assert store.version("lab/r1") == new != old
    assert store.versions("lab/r1") == [new, old]
    assert not store[f"lab/r1@{old}"]["eeg/signal"].equals(store["lab/r1"]["eeg/signal"])
    store.publish(synthetic_tree(0), dataset="lab", recording="r1")
    assert store.version("lab/r1") == old
    store.rebuild()
    assert store.version("lab/r1") == old


def test_edits_never_reach_the_disk(store: Store) -> None:
    tree = store.raw("lab/r1")
    tree["eeg/scale"].values[:] = 7.0
    tree["eeg"].attrs["rate_hz"] = 1.0
    again = store.raw("lab/r1")
    assert again["eeg/scale"].values.tolist() == [1e-7] * CHANNELS
    assert again["eeg"].attrs["rate_hz"] == RATE_HZ
    assert store.verify() == []


def test_rebuild_makes_identical_rows_from_nothing(store: Store) -> None:
    before = store.catalog()
    (store.path / "catalog.sqlite").write_bytes(b"not a database")
    with pytest.raises(StoreError, match="neurodata rebuild"):
        store.catalog()
    store.rebuild()
    assert store.catalog().equals(before)
    (store.path / "catalog.sqlite").unlink()
    with pytest.raises(StoreError, match="neurodata rebuild"):
        open_store(store.path)
    store.rebuild()
    assert open_store(store.path).catalog().equals(before)


def test_rebuild_enters_all_but_the_damaged_versions_and_lists_those(store: Store) -> None:
    store.publish(synthetic_tree(1), dataset="lab", recording="r2")
    flip(store.folder("lab/r1") / NAME, 1000)
    (found,) = store.rebuild()
    assert found.level == "error"
    assert "r1" in found.where
    assert open_store(store.path).ids() == ["lab/r2"]


def test_units_stated_on_the_node_alone_are_in_the_catalogue(tmp_path: Path) -> None:
    node = xr.Dataset(
        {"signal": (("time", "channel"), np.zeros((2, 1), "f4"))},
        coords={"channel": ["a"], "units": ("channel", ["V"])},
        attrs={"representation": "timeseries", "schema": "timeseries/1", "units": "V",
               "start_s": 0.0, "rate_hz": 2.0, "n": 2},
    )  # fmt: skip
    store = open_store(tmp_path / "store", create=True)
    tree = xr.DataTree.from_dict({"eeg": node})
    tree.attrs = {"modality": "eeg"}
    store.publish(tree, dataset="synthetic", recording="one", provenance={})
    assert store.catalog()["units"].tolist() == ["V"]


def test_select_and_catalogue_speak_of_the_main_node(store: Store) -> None:
    assert store.select("modality == 'eeg' and subject == '01'") == ["lab/r1"]
    assert store.select("modality == 'mri'") == []


@pytest.mark.parametrize("name", ["", ".r1", "../r1", "a/b", "r" * 129, "ré", "-r", "r\n"])
def test_ids_that_could_be_paths_are_refused(store: Store, name: str) -> None:
    with pytest.raises(InvalidInputError):
        store.publish(synthetic_tree(), dataset="lab", recording=name)
    with pytest.raises(InvalidInputError):
        store.publish(synthetic_tree(), dataset=name, recording="r1")


def test_ids_equal_but_for_case_are_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="differ by more than case"):
        store.publish(synthetic_tree(1), dataset="lab", recording="R1")
    with pytest.raises(StoreError, match="differ by more than case"):
        store.publish(synthetic_tree(1), dataset="LAB", recording="r9")
    assert list((store.path / ".staging").iterdir()) == [store.path / ".staging" / "commit.lock"]


def test_unknown_recording_and_version_are_named(store: Store) -> None:
    with pytest.raises(NotFoundError, match="lab/r1"):
        store["lab/none"]
    with pytest.raises(NotFoundError, match="no version"):
        store["lab/r1@0000000000000000"]
    with pytest.raises(NotFoundError, match="no store"):
        open_store(store.path / "elsewhere")


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(data))


def test_one_flipped_bit_in_any_file_is_reported(published: Path) -> None:
    folder = open_store(published).folder("lab/r1")
    rng = np.random.default_rng(7)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(files) > 25
    for path in files:
        kept = path.read_bytes()
        flip(path, int(rng.integers(8 * len(kept))))
        found = open_store(published).verify("lab/r1")
        path.write_bytes(kept)
        assert [p.level for p in found] == ["error"], path
    assert open_store(published).verify("lab/r1") == []


def read_all(store: Store) -> None:
    for node in store.raw("lab/r1").subtree:
        node.to_dataset().load()


def test_a_flipped_bit_anywhere_is_an_error_on_reading(published: Path) -> None:
    folder = open_store(published).folder("lab/r1")
    rng = np.random.default_rng(8)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        kept = path.read_bytes()
        flip(path, int(rng.integers(8 * len(kept))))
        try:
            with pytest.raises(IntegrityError):
                read_all(open_store(published))
        finally:
            path.write_bytes(kept)
    read_all(open_store(published))


@pytest.mark.parametrize("what", ["shard", "chunk of a coordinate", "metadata", "manifest"])
def test_a_missing_file_is_an_error_on_reading_and_verifying(store: Store, what: str) -> None:
    tree = store.zarr("lab/r1")
    path = {
        "shard": tree / "eeg/signal_adc/c/0/0",
        "chunk of a coordinate": tree / "eeg/channel/c/0",
        "metadata": tree / "eeg/scale/zarr.json",
        "manifest": tree.parent / NAME,
    }[what]
    path.unlink()
    again = open_store(store.path)
    assert len(again.verify()) >= 1
    with pytest.raises((IntegrityError, NotFoundError)):
        again.raw("lab/r1")


def test_an_added_file_or_link_is_an_error(store: Store) -> None:
    extra = store.zarr("lab/r1") / "eeg" / "extra.txt"
    extra.write_text("x")
    with pytest.raises(IntegrityError, match="added"):
        open_store(store.path).raw("lab/r1")
    extra.unlink()
    chunk = store.zarr("lab/r1") / "eeg/channel/c/0"
    shutil.move(chunk, store.path / "elsewhere")
    chunk.symlink_to(store.path / "elsewhere")
    with pytest.raises(IntegrityError, match="link"):
        open_store(store.path).raw("lab/r1")


def test_a_shard_without_one_inner_chunk_is_an_error_though_zarr_reads_zeros(store: Store) -> None:
    folder = store.folder("lab/r1")
    shard = folder / TREE / "eeg/signal_adc/c/0/0"
    metadata = json.loads((folder / TREE / "eeg/signal_adc/zarr.json").read_text())
    outer = metadata["chunk_grid"]["configuration"]["chunk_shape"][0]
    inner = metadata["codecs"][0]["configuration"]["chunk_shape"][0]
    count = outer // inner
    import google_crc32c

    data = bytearray(shard.read_bytes())
    index = np.frombuffer(bytes(data[-(16 * count + 4) : -4]), "<u8").copy()
    index[2:4] = 2**64 - 1
    data[-(16 * count + 4) :] = index.tobytes() + google_crc32c.value(index.tobytes()).to_bytes(
        4, "little"
    )
    shard.write_bytes(bytes(data))
    silent = zarr.open_array(folder / TREE / "eeg/signal_adc", mode="r")[inner : 2 * inner]
    assert not silent.any()
    with pytest.raises(IntegrityError, match="1 of its chunks"):
        open_store(store.path).raw("lab/r1")


def test_sweep_removes_what_killed_writers_left_and_nothing_else(tmp_path: Path) -> None:
    store = open_store(tmp_path / "s", create=True)
    script = (
        "import sys, time, pathlib; from neurodata.store.commit import staged\n"
        "with staged(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'part').write_text('x'); print('ready', flush=True); time.sleep(60)\n"
    )
    argv = [sys.executable, "-c", script, str(store.path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        assert store.sweep() == 0
        writer.kill()
        writer.wait()
    assert len(list((store.path / ".staging").iterdir())) == 2
    assert store.sweep() == 1
    assert list((store.path / ".staging").iterdir()) == []


def test_a_full_disk_is_a_store_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "s", create=True)

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("neurodata.store.files.write", full)
    with pytest.raises(StoreError, match="free"):
        store.publish(synthetic_tree(), dataset="lab", recording="r1")
    assert store.ids() == []
    assert [path.name for path in (store.path / ".staging").iterdir()] == []


@pytest.mark.parametrize(
    "shape", [(), (0,), (5,), (10**6,), (70, 600, 700), (3, 2, 40, 64, 64), (1200, 91, 109, 91)]
)
@pytest.mark.parametrize("itemsize", [1, 8])
def test_blocks_cover_an_array_once_and_shards_hold_whole_chunks(
    shape: tuple[int, ...], itemsize: int
) -> None:
    dims = ("time", "channel", "z", "y", "x")[-len(shape) :] if shape else ()
    layout = choose(dims, shape, itemsize)
    step = tile(shape, itemsize)
    covered = sum(int(np.prod([s.stop - s.start for s in block])) for block in blocks(shape, step))
    assert covered == int(np.prod(shape))
    assert int(np.prod(step)) * itemsize <= 2 * 2**26
    if layout.shards:
        assert all(s % c == 0 for s, c in zip(layout.shards, layout.chunks, strict=True))


def test_open_store_is_exported() -> None:
    assert neurodata.open_store is open_store


def test_a_sweep_while_a_writer_takes_its_lock_leaves_the_writer_alone(tmp_path: Path) -> None:
    """A writer whose lock file is swept between opening and locking takes a new one."""
    from neurodata.store import files

    lock = tmp_path / "x.lock"
    real, calls = files.fcntl.flock, []

    def flock(stream: object, operation: int) -> None:
        calls.append(operation)
        if len(calls) == 1:
            lock.unlink()
        real(stream, operation)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.fcntl, "flock", flock)
        with files.locked(lock), files.if_free(lock) as free:
            assert not free
    assert len(calls) == 4, "two tries for the lock, one look, one release"


def test_a_version_that_the_catalogue_lacks_is_a_warning_and_a_sweep_enters_it(
    store: Store,
) -> None:
    """As after a kill between the rename and the row: the writer's lock file is left."""
    before = store.catalog()
    with sqlite3.connect(store.path / "catalog.sqlite") as connection:
        connection.execute("DELETE FROM versions")
    connection.close()
    (store.path / ".staging" / "0123.lock").touch()
    assert [(p.level, p.found) for p in store.verify()] == [
        ("warning", "a version that the catalogue lacks")
    ]
    assert store.ids() == []
    assert store.sweep() == 0
    assert store.verify() == []
    assert store.catalog().equals(before)


def test_a_copy_that_keeps_no_times_verifies(store: Store, tmp_path: Path) -> None:
    shutil.copytree(store.path, tmp_path / "copy", copy_function=shutil.copyfile)
    assert open_store(tmp_path / "copy").verify() == []


def test_a_journal_of_the_old_catalogue_does_not_harm_the_rebuilt_one(store: Store) -> None:
    before = store.catalog()
    (store.path / "catalog.sqlite-journal").write_bytes(b"synthetic" * 100)
    store.rebuild()
    assert not (store.path / "catalog.sqlite-journal").exists()
    assert store.catalog().equals(before)


SHAPES = [(), (0,), (7,), (0, 4), (300_000, 3), (3, 40, 70, 90)]
DTYPES = ["?", "u1", "i1", ">u2", "<i4", "u8", ">i8", "f2", "f4", ">f8", "c8", ">c16"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_shape_comes_back_bit_for_bit(tmp_path: Path, dtype: str) -> None:
    rng = np.random.default_rng(3)
    arrays = {f"v{i}": rng.integers(0, 256, shape).astype(dtype) for i, shape in enumerate(SHAPES)}
    if np.dtype(dtype).kind in "fc":
        arrays["v4"][:2] = [[np.nan, -0.0, np.inf], [-np.inf, 0.0, 1.0]]
    sized = {
        name: ([f"{name}_{axis}" for axis in range(array.ndim)], array)
        for name, array in arrays.items()
    }
    store = open_store(tmp_path, create=True)
    tree = xr.DataTree.from_dict({"node": xr.Dataset(sized)})
    store.publish(tree, dataset="lab", recording="r1")
    back = store.raw("lab/r1")["node"].to_dataset()
    for name, array in arrays.items():
        little = array.astype(array.dtype.newbyteorder("<"))
        assert back[name].dtype == little.dtype
        assert back[name].shape == array.shape
        assert back[name].values.tobytes() == little.tobytes(), name
    assert store.verify() == []


def test_texts_come_back_with_blanks_nul_and_any_script(tmp_path: Path) -> None:
    texts = np.array([["", "a\0b"], ["日本 µ e\u0301", " x" * 5000]], dtype=object)
    node = xr.Dataset({"text": (("row", "column"), texts), "one": ((), "µ")})
    store = open_store(tmp_path, create=True)
    store.publish(xr.DataTree.from_dict({"node": node}), dataset="lab", recording="r1")
    back = store.raw("lab/r1")["node"].to_dataset()
    assert back["text"].values.tolist() == texts.tolist()
    assert back["one"].item() == "µ"


UNFIT: dict[str, xr.Dataset] = {
    "a missing text": xr.Dataset({"v": ("x", np.array(["a", None], dtype=object))}),
    "NaN among texts": xr.Dataset({"v": ("x", np.array(["a", np.nan], dtype=object))}),
    "numbers as objects": xr.Dataset({"v": ("x", np.array([1, 2], dtype=object))}),
    "a lone surrogate": xr.Dataset({"v": ("x", np.array(["\udcb5"]))}),
    "times": xr.Dataset({"v": ("x", np.array(["2020-01-01"], dtype="M8[ns]"))}),
    "bytes": xr.Dataset({"v": ("x", np.array([b"a"]))}),
    "numbers of 80 bits": xr.Dataset({"v": ("x", np.ones(2, "longdouble"))}),
    "an attribute NaN": xr.Dataset(attrs={"a": float("nan")}),
    "an attribute of bytes": xr.Dataset(attrs={"a": b"x"}),
    "a time as attribute": xr.Dataset(attrs={"a": np.datetime64("2020-01-01")}),
    "a surrogate in an attribute": xr.Dataset(attrs={"a": "\udcb5"}),
    "an attribute that xarray acts on": xr.Dataset({"v": ("x", [1.0, 2.0], {"dtype": "bool"})}),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(UNFIT))
def test_what_would_not_come_back_is_refused_and_leaves_nothing(tmp_path: Path, what: str) -> None:
    store = open_store(tmp_path, create=True)
    tree = xr.DataTree.from_dict({"node": UNFIT[what]})
    with pytest.raises(StoreError):
        store.publish(tree, dataset="lab", recording="r1")
    assert [path.name for path in tmp_path.iterdir()] == [".staging"]
    assert list((tmp_path / ".staging").iterdir()) == []


def test_numpy_numbers_in_attributes_come_back_as_plain_ones(tmp_path: Path) -> None:
    attrs = {"a": np.float32(0.5), "b": np.int64(3), "c": np.arange(2), "d": (1, 2), "e": "µ\0"}
    store = open_store(tmp_path, create=True)
    tree = xr.DataTree.from_dict({"node": xr.Dataset(attrs=attrs)})
    store.publish(tree, dataset="lab", recording="r1")
    expected = {"a": 0.5, "b": 3, "c": [0, 1], "d": [1, 2], "e": "µ\0"}
    assert store.raw("lab/r1")["node"].attrs == expected


def test_a_clock_that_stands_or_goes_back_does_not_change_what_is_newest(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1)
    for seed in (1, 2, 3, 0, 2):
        made = store.publish(synthetic_tree(seed), dataset="lab", recording="r1")
        assert store.version("lab/r1") == made.version
    store.rebuild()
    assert store.version("lab/r1") == made.version


def test_a_version_that_is_a_path_is_no_version(store: Store) -> None:
    version = store.version("lab/r1")
    for path in (f"../r1/{version}", f"./{version}", "..", str(store.folder("lab/r1"))):
        with pytest.raises(NotFoundError):
            store[f"lab/r1@{path}"]


def test_a_condition_on_numbers_that_no_recording_has_selects_none(tmp_path: Path) -> None:
    store = open_store(tmp_path, create=True)
    node = xr.Dataset({"weight": ("edge", [1.0])}, attrs={"representation": "graph"})
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": "connectome"}), "g": node})
    store.publish(tree, dataset="lab", recording="r1")
    assert store.select("rate_hz >= 250") == []
    assert store.select("length_s > 1 or modality == 'connectome'") == ["lab/r1"]


@pytest.mark.parametrize(
    "query", ["", "rate_hz", "rate_hz = 1", "colour == 1", "(", "1", "subject > 1"]
)
def test_what_is_no_condition_is_refused(store: Store, query: str) -> None:
    with pytest.raises(InvalidInputError, match="condition"):
        store.select(query)
