"""Layouts and the writer: what zarr-python reads is what was given, in the same files each time."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path
from threading import Lock
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr

from neurodata.errors import IntegrityError, InvalidInputError, PipelineError
from neurodata.ingestion import ingest
from neurodata.pipeline import Pipeline, read_pipeline
from neurodata.store import integrity, open_store, shards, spool
from neurodata.store.commit import publish
from neurodata.store.layout import Preset, choose, pick_codec, steps, tile
from neurodata.store.manifest import TREE

PRESETS: tuple[Preset, ...] = ("default", "small", "random")
DTYPES = ["?", "i1", "u1", ">u2", "<i4", ">i8", "f2", "f4", ">f8", "c8", ">c16"]
SHAPES: dict[tuple[str, ...], tuple[int, ...]] = {
    (): (),
    ("none",): (0,),
    ("none2", "a"): (0, 4),
    ("one",): (7,),
    ("time", "channel"): (40_013, 7),
    ("z", "y", "x"): (37, 70, 131),
    ("frame", "y2", "x2"): (3, 300, 530),
    ("t", "z3", "y3", "x3"): (2, 5, 33, 41),
}


def noise(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 200, shape).astype(dtype)


def written(root: Path, layout: str = "default", **arrays: xr.Variable) -> dict[str, Any]:
    """The manifest of a recording of one node of these arrays."""
    open_store(root, create=True)
    tree = xr.DataTree.from_dict({"node": xr.Dataset(arrays)})
    made = publish(root, tree, "lab", "synthetic", {}, layout)
    folder = root / "lab" / "synthetic" / made.version
    return {**integrity.check(folder), "folder": folder, "status": made.status}


def stored(manifest: dict[str, Any], name: str) -> Any:
    return zarr.open_array(manifest["folder"] / TREE / "node" / name, mode="r")


@pytest.mark.parametrize(
    ("dtype", "preset"),
    [*((dtype, "default") for dtype in DTYPES), (">u2", "small"), ("f2", "small"),
     ("?", "random"), (">f8", "random")],
)  # fmt: skip
def test_zarr_reads_what_was_given(tmp_path: Path, dtype: str, preset: str) -> None:
    arrays = {
        f"v{i}": xr.Variable(dims, noise(shape, dtype, i))
        for i, (dims, shape) in enumerate(SHAPES.items())
    }
    manifest = written(tmp_path, preset, **arrays)
    for name, array in arrays.items():
        found = stored(manifest, name)
        facts = manifest["layout"][f"node/{name}"]
        assert found.dtype == array.dtype.newbyteorder("<")
        assert np.array_equal(found[...], array.values), name
        assert list(found.chunks) == facts["chunks"]
        assert (list(found.shards) if found.shards else None) == facts["shards"]
        assert [c.to_dict()["name"] for c in found.compressors][:-1] == [
            "blosc" for _ in range(facts["codec"] != "none")
        ]


def test_inner_chunks_lie_in_c_order_without_gaps_and_empty_ones_have_no_entry(
    tmp_path: Path,
) -> None:
    values = noise((37, 70, 131), "f4")
    manifest = written(tmp_path, a=xr.Variable(("z", "y", "x"), values))
    facts = manifest["layout"]["node/a"]
    counts = [s // c for s, c in zip(facts["shards"], facts["chunks"], strict=True)]
    (path,) = (manifest["folder"] / TREE / "node/a/c").rglob("0/0/0")
    data = path.read_bytes()
    index = np.frombuffer(data[-16 * int(np.prod(counts)) - 4 : -4], "<u8").reshape(-1, 2)
    assert index[0, 0] == 0
    assert (index[1:, 0] == index[:-1].sum(axis=1)).all()
    assert index[-1].sum() + 16 * len(index) + 4 == len(data)


def hashes(root: Path) -> dict[str, str]:
    (folder,) = root.glob("lab/synthetic/*")
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_files_are_the_same_whatever_the_threads_and_the_chunks_of_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = noise((3_000_000, 2), "i2")
    seen = []
    for number, (threads, chunks) in enumerate([(1, None), (4, None), (4, 77_777), (2, 3_000_000)]):
        monkeypatch.setattr(shards, "THREADS", threads)
        data = values if chunks is None else da.from_array(values, chunks=(chunks, 1))
        root = tmp_path / str(number)
        written(root, a=xr.Variable(("time", "channel"), data))
        seen.append(hashes(root))
    assert len(seen[0]) == 6
    assert all(found == seen[0] for found in seen)


def test_what_compression_does_not_make_smaller_is_stored_plain(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    hard = rng.integers(0, 2**63, (50_000, 4))
    easy = rng.integers(0, 200, (50_000, 4))
    dims = ("time", "channel")
    manifest = written(tmp_path, hard=xr.Variable(dims, hard), easy=xr.Variable(dims, easy))
    codec = {key: facts["codec"] for key, facts in manifest["layout"].items()}
    assert codec == {"node/hard": "none", "node/easy": "lz4"}
    small = written(tmp_path / "small", "small", hard=xr.Variable(dims, hard))
    assert small["layout"]["node/hard"]["codec"] == "zstd"


def test_a_fifth_less_is_worth_it() -> None:
    rng = np.random.default_rng(2)
    zeros = np.zeros(40_000, "u1")
    for noisy, codec in ((75_000, "lz4"), (85_000, "none")):
        chunk = np.concatenate([rng.integers(0, 256, noisy, "u1"), zeros])[:100_000]
        assert pick_codec([chunk]) == codec
    assert pick_codec([]) == "none"


@pytest.mark.parametrize(
    ("dims", "shape", "itemsize", "preset", "chunks"),
    [
        (("time", "channel"), (10**6, 64), 4, "default", (768, 64)),
        (("time", "channel"), (10**6, 64), 4, "random", (256, 64)),
        (("time", "unit"), (3000, 140), 4, "default", (334, 140)),
        (("z", "y", "x"), (182, 218, 182), 4, "default", (31, 32, 31)),
        (("z", "y", "x"), (64, 2048, 2048), 2, "random", (32, 32, 32)),
        (("z", "y", "x"), (512, 512, 512), 4, "random", (16, 32, 32)),
        (("time", "y", "x"), (1000, 512, 512), 2, "default", (1, 128, 128)),
        (("z", "y", "x"), (200, 2048, 2048), 8, "default", (1, 32, 32)),
        (("z", "y", "x"), (200, 500, 500), 8, "default", (16, 32, 32)),
        (("channel", "time"), (4, 3_000_000), 4, "default", (1, 48_388)),
        (("trial", "time", "channel"), (400, 600, 64), 4, "default", (1, 512, 64)),
    ],
)
def test_chunks_fit_the_shape(
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    itemsize: int,
    preset: Preset,
    chunks: tuple[int, ...],
) -> None:
    assert choose(dims, shape, itemsize, preset).chunks == chunks


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("itemsize", [1, 4, 16])
@pytest.mark.parametrize(
    ("dims", "shape"),
    [
        (("time", "channel"), (300_001, 64)), (("channel", "time"), (3, 2_500_000)),
        (("y", "x"), (3001, 5003)), (("z", "y", "x"), (70, 600, 1100)),
        (("z", "y", "x"), (33, 500, 500)), (("time", "z", "y", "x"), (60, 5, 300, 300)),
        (("time", "channel", "z", "y", "x"), (3, 2, 40, 513, 64)), (("a", "b", "c"), (9, 700, 530)),
    ],
)  # fmt: skip
def test_blocks_are_whole_files_in_the_order_of_the_digest(
    dims: tuple[str, ...], shape: tuple[int, ...], itemsize: int, preset: Preset
) -> None:
    layout = choose(dims, shape, itemsize, preset)
    seen = []
    for block, parts in steps(shape, layout, itemsize):
        for part, n, files in zip(block, shape, layout.files, strict=True):
            assert part.start % files == 0
            assert part.stop % files == 0 or part.stop == n
        size = int(np.prod([part.stop - part.start for part in block])) * itemsize
        assert size <= 2**26 + 2**23
        seen += [
            tuple(
                slice(b.start + p.start, b.start + p.stop) for b, p in zip(block, part, strict=True)
            )
            for part in parts
        ]
    if len(shape) > 2:
        step = tile(shape, itemsize)
        starts = [range(0, n, s) for n, s in zip(shape, step, strict=True)]
        wanted = [tuple(int(i) for i in at) for at in np.array(np.meshgrid(*starts, indexing="ij"))
                  .reshape(len(shape), -1).T]  # fmt: skip
        corners = [tuple(part.start for part in block) for block in seen]
        plain = [c for c in corners if all(a % s == 0 for a, s in zip(c, step, strict=True))]
        assert plain == wanted
        assert corners == sorted(corners) or set(corners) == set(wanted)
    else:
        firsts = [block[0].start * shape[1] + block[1].start for block in seen]
        assert firsts == sorted(firsts)
        assert sum((b[0].stop - b[0].start) * (b[1].stop - b[1].start) for b in seen) == np.prod(
            shape
        )


def test_finite_says_of_every_float_whether_all_is(tmp_path: Path) -> None:
    values = {"good": noise((2_500_000,), "f4"), "bad": noise((2_500_000,), "f4")}
    values["bad"][-1] = np.inf
    values["complex"] = noise((5,), "c8")
    values["complex"][2] = complex(0, np.nan)
    values["none"] = np.zeros(0)
    values["whole"] = noise((5,), "i4")
    made = {name: xr.Variable((name,), array) for name, array in values.items()}
    manifest = written(tmp_path, **made, text=xr.Variable(("row",), ["a"]))
    assert manifest["finite"] == {
        "node/good": True, "node/bad": False, "node/complex": False, "node/none": True,
    }  # fmt: skip
    assert set(manifest["layout"]) == {f"node/{name}" for name in (*values, "text")}


def test_another_layout_is_the_same_content(tmp_path: Path) -> None:
    array = xr.Variable(("time", "channel"), noise((50_000, 8), "i2"))
    first = written(tmp_path, a=array)
    again = written(tmp_path, "random", a=array)
    other = written(tmp_path / "other", "random", a=array)
    assert (again["status"], again["folder"]) == ("same", first["folder"])
    assert other["content"] == first["content"]
    assert other["layout"] != first["layout"]


def test_unknown_layouts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="random"):
        written(tmp_path, "fast", a=xr.Variable((), 1.0))


def test_a_pipeline_chooses_the_layout(tmp_path: Path, samples: Path) -> None:
    shipped, folder = read_pipeline("mri_anatomical")
    text = (folder / "mri_anatomical.yaml").read_text()
    mine = tmp_path / "mine.yaml"
    mine.write_text(text + "layout: small\n")
    assert (shipped.layout, read_pipeline(mine)[0].layout) == ("default", "small")
    assert isinstance(shipped, Pipeline)
    (entry,) = ingest(mine, store=tmp_path / "store")
    layout = open_store(tmp_path / "store").manifest(entry.id)["layout"]
    assert {facts["codec"] for facts in layout.values()} == {"zstd"}
    mine.write_text(text + "layout: fast\n")
    with pytest.raises(PipelineError, match="layout"):
        read_pipeline(mine)


class CountedPages:
    """A synthetic stack of which every page counts how often it is decoded."""

    def __init__(self, shape: tuple[int, int, int], dtype: str) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.decoded: Counter[int] = Counter()
        self._lock = Lock()

    def page(self, z: int) -> np.ndarray[Any, Any]:
        _, height, width = self.shape
        rows = np.arange(height, dtype=self.dtype)[:, None] + z % 200
        return np.broadcast_to(rows, (height, width))

    def decode(self, block_info: Any = None) -> np.ndarray[Any, Any]:
        (first, stop), *_ = block_info[None]["array-location"]
        with self._lock:
            self.decoded.update(range(first, stop))
        out = np.empty((stop - first, *self.shape[1:]), self.dtype)
        for z in range(first, stop):
            out[z - first] = np.arange(self.shape[1], dtype=self.dtype)[:, None] + z % 200
        return out

    def dask(self, pages: int) -> Any:
        chunks = (pages, *self.shape[1:])
        return da.map_blocks(
            self.decode, chunks=da.core.normalize_chunks(chunks, self.shape), dtype=self.dtype
        )


@pytest.mark.parametrize("pages", [1, 5])
def test_every_page_is_decoded_once_and_memory_stays_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    shape = (66, 1024, 1040)
    source = CountedPages(shape, "u1")
    budget = 32 * 2**20
    for module in (shards, spool):
        monkeypatch.setattr(module, "MEMORY_BYTES", budget)
    monkeypatch.setattr(shards, "STEP_BYTES", budget // 4)
    monkeypatch.setattr(spool, "BATCH_BYTES", budget // 4)
    monkeypatch.setattr("neurodata.store.layout.TILE_BYTES", budget // 4)
    tracemalloc.start()
    try:
        manifest = written(tmp_path, a=xr.Variable(("z", "y", "x"), source.dask(pages)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert source.decoded == dict.fromkeys(range(shape[0]), 1)
    assert np.prod(shape) > 2 * budget
    assert peak < 1.5 * budget
    assert {path.name for path in manifest["folder"].iterdir()} == {"manifest.json", TREE}
    found = stored(manifest, "a")
    for z in (0, 11, shape[0] - 1):
        assert np.array_equal(found[z], source.page(z))


def test_chunks_in_blocks_are_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Source chunks that fit neither tiles nor files, some of them in the scratch."""
    monkeypatch.setattr(spool, "MEMORY_BYTES", 2**20)
    values = noise((3, 40, 530, 600), "u2")
    source = da.from_array(values, chunks=((1, 2), (7, 33), (100, 200, 230), (600,)))
    manifest = written(tmp_path, a=xr.Variable(("time", "z", "y", "x"), source))
    assert np.array_equal(stored(manifest, "a")[...], values)


def test_an_error_of_the_source_or_of_the_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(block: np.ndarray[Any, Any], block_id: Any = None) -> np.ndarray[Any, Any]:
        if block_id[0] == 3:
            raise ValueError("synthetic damage")
        return block

    values = da.zeros((8_000_000, 1), chunks=(1_000_000, 1), dtype="f4")
    bad = xr.Variable(("time", "channel"), values.map_blocks(broken, dtype="f4"))
    with pytest.raises(ValueError, match="synthetic damage"):
        written(tmp_path, a=bad)
    assert [path.name for path in (tmp_path / ".staging").iterdir()] == []

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("neurodata.store.files.write_parts", full)
    with pytest.raises(Exception, match="bytes free"):
        written(tmp_path, a=xr.Variable(("time", "channel"), values))
    assert [path.name for path in (tmp_path / ".staging").iterdir()] == []


def test_bytes_that_change_between_writing_and_verifying_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neurodata.store import files

    real = files.write_parts

    def damaging(path: Path, parts: Any) -> int:
        done = real(path, parts)
        data = bytearray(path.read_bytes())
        data[100] ^= 1
        path.write_bytes(bytes(data))
        return done

    monkeypatch.setattr(files, "write_parts", damaging)
    with pytest.raises(IntegrityError):
        written(tmp_path, a=xr.Variable(("time",), noise((100_000,), "f8")))
    assert open_store(tmp_path).ids() == []


@pytest.mark.parametrize("shape", [(100_000,), (40, 70, 300)])
def test_values_that_an_encoder_changes_are_refused_though_their_checksums_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    real = shards.compress

    def wrong(chunk: np.ndarray[Any, Any], codec: Any) -> Any:
        return real(np.nextafter(chunk, np.inf), codec)

    monkeypatch.setattr(shards, "compress", wrong)
    with pytest.raises(IntegrityError, match="other bytes than written in"):
        written(tmp_path, a=xr.Variable(("z", "y", "x")[: len(shape)], noise(shape, "f8")))
    assert open_store(tmp_path).ids() == []


SCRIPT = """
import resource, sys
from pathlib import Path
import xarray as xr
from neurodata.store import open_store
from tests.test_layout import CountedPages, written
small = CountedPages((2, 64, 64), "u2")
written(Path(sys.argv[1]) / "warm", a=xr.Variable(("z", "y", "x"), small.dask(1)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
source = CountedPages((48, 2048, 2048), "u2")
written(Path(sys.argv[1]) / "store", a=xr.Variable(("z", "y", "x"), source.dask(1)))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, max(source.decoded.values()))
"""


def test_a_stack_larger_than_the_budget_stays_within_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    grown_kib, most = map(int, done.stdout.split())
    assert most == 1
    assert 1.4 * shards.MEMORY_BYTES < 48 * 2048 * 2048 * 2
    assert grown_kib * 1024 < 1.2 * shards.MEMORY_BYTES + spool.BATCH_BYTES


def test_old_manifests_have_neither_layout_nor_finite() -> None:
    from tests.make_frozen_store import FOLDER

    for path in FOLDER.glob("*/*/*/manifest.json"):
        assert not {"layout", "finite"} & set(json.loads(path.read_text()))
