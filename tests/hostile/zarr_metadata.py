"""Metadata of Zarr that name what is not theirs, state the impossible, or chunks that swell."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.hostile.case import Case, raw_folder, secret
from tests.hostile.twins import declared, make

Edit = Callable[[Any], object]
ZARR_2, ZARR_3, OME = "zarr_array.Test2", "zarr_array.Test3", "ome_zarr.Test04"
RAW_3 = "synthetic.zarr/raw/zarr.json"
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


def edited(story: str, name: str, edit: Edit, folder: Path) -> Path:
    """A valid hierarchy with one metadata file changed."""
    make(story, folder)
    paths = [p for p in sorted(raw_folder(folder).rglob(Path(name).name))
             if p.as_posix().endswith(name)]  # fmt: skip
    found = json.loads(paths[0].read_text())
    edit(found)
    paths[0].write_text(json.dumps(found))
    return raw_folder(folder)


def put(value: Any, *keys: Any) -> Edit:
    """Return what puts a value at a place of a document."""

    def edit(found: Any) -> None:
        for key in keys[:-1]:
            found = found[key]
        found[keys[-1]] = value

    return edit


def codec_2(name: str, **facts: Any) -> Edit:
    return put({"id": name, **facts}, "compressor")


def codec_3(*codecs: Any) -> Edit:
    return put([LITTLE, *codecs], "codecs")


def nested_shards(depth: int) -> Edit:
    """Shards within shards."""
    codecs: list[Any] = [LITTLE]
    for _ in range(depth):
        codecs = [{"name": "sharding_indexed", "configuration": {
            "chunk_shape": [1, 1, 1], "codecs": codecs, "index_location": "end",
            "index_codecs": [LITTLE]}}]  # fmt: skip
    return put(codecs, "codecs")


def levels(path: Any) -> Edit:
    def edit(found: Any) -> None:
        found["multiscales"][0]["datasets"][0]["path"] = path

    return edit


def swollen(pack: Callable[[bytes], bytes], codec: str, folder: Path) -> Path:
    """A chunk that unpacks to far more than a chunk of the array."""
    make(ZARR_2, folder)
    base = next(raw_folder(folder).rglob(".zarray")).parent
    found = json.loads((base / ".zarray").read_text())
    found["compressor"] = {"id": codec, "level": 1}
    (base / ".zarray").write_text(json.dumps(found))
    data = pack(bytes(128 * 2**20))
    for path in base.iterdir():
        if not path.name.startswith("."):
            path.write_bytes(data)
    return raw_folder(folder)


def zstandard(data: bytes) -> bytes:
    import numcodecs

    return bytes(numcodecs.Zstd(1).encode(data))


def blosc_header(folder: Path) -> Path:
    """Chunks of Blosc whose headers state 2 GB."""
    base = swollen(lambda data: b"", "blosc", folder)
    header = bytes([2, 1, 1, 2]) + b"".join(
        n.to_bytes(4, "little") for n in (2**31 - 1, 2**18, 4096)
    )
    for path in base.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            path.write_bytes(header + bytes(4080))
    return base


def chunk_elsewhere(separator: str, folder: Path) -> Path:
    """Keys of chunks that lead upwards."""
    secret(folder, "0")
    return edited(ZARR_2, ".zarray", put(separator, "dimension_separator"), folder)


def consolidated(folder: Path) -> Path:
    """Consolidated metadata with an array of a place outside."""
    base = edited(ZARR_2, ".zarray", put([70_000_000, 24, 20], "shape"), folder)
    home = next(base.rglob(".zarray")).parent
    inner = json.loads((home / ".zarray").read_text())
    text = {"zarr_consolidated_format": 1, "metadata": {"../../outside/.zarray": inner}}
    (home / ".zmetadata").write_text(json.dumps(text))
    return base


STRUCTURE = [["a", "<u2"], ["b", "|O"]]
EDITS: tuple[tuple[str, str, str, str, Edit], ...] = (
    ("shape-negative", "a negative length", ZARR_2, ".zarray", put(-7, "shape", 0)),
    ("shape-trillion", "an axis of 10^12", ZARR_2, ".zarray", put(10**12, "shape", 0)),
    ("shape-trillion-chunks", "an axis of 10^12 in chunks of as many", ZARR_2, ".zarray",
     lambda found: found.update(shape=[10**12, 24, 20], chunks=[10**12, 16, 16])),
    ("shape-wide", "an axis of 2^200", ZARR_2, ".zarray", put(2**200, "shape", 0)),
    ("shape-fraction", "half a voxel", ZARR_2, ".zarray", put(7.5, "shape", 0)),
    ("shape-true", "a length that is true", ZARR_2, ".zarray", put(True, "shape", 0)),
    ("shape-null", "no shape", ZARR_2, ".zarray", put(None, "shape")),
    ("shape-axes", "a million axes", ZARR_2, ".zarray",
     lambda found: found.update(shape=[1] * 10**6, chunks=[1] * 10**6)),
    ("chunks-zero", "chunks of nothing", ZARR_2, ".zarray", put(0, "chunks", 0)),
    ("dtype-objects", "an array of objects", ZARR_2, ".zarray", put("|O", "dtype")),
    ("dtype-fields", "fields, one of them of objects", ZARR_2, ".zarray", put(STRUCTURE, "dtype")),
    ("dtype-wide", "numbers of 2^30 bytes", ZARR_2, ".zarray", put("<V1073741824", "dtype")),
    ("codec-unknown", "a codec that nobody knows", ZARR_2, ".zarray", codec_2("synthetic")),
    ("codec-pickle", "a codec that runs code", ZARR_2, ".zarray", codec_2("pickle", protocol=4)),
    ("codec-objects", "objects and the filter that runs code", ZARR_2, ".zarray",
     lambda found: found.update(dtype="|O", filters=[{"id": "pickle"}])),
    ("codec-path", "a codec whose name is a path", ZARR_2, ".zarray", codec_2("../../synthetic")),
    ("codec-list", "a codec that is a list", ZARR_2, ".zarray", put([1], "compressor")),
    ("filter-unknown", "a filter", ZARR_2, ".zarray",
     put([{"id": "fixedscaleoffset", "offset": 0, "scale": 0}], "filters")),
    ("v3-codec-unknown", "a codec that nobody knows, Zarr 3", ZARR_3, RAW_3,
     codec_3({"name": "synthetic"})),
    ("v3-codec-module", "a codec that names a module", ZARR_3, RAW_3,
     codec_3({"name": "numcodecs.pickle", "configuration": {}})),
    ("v3-shards", "sixty shards within each other", ZARR_3, RAW_3, nested_shards(60)),
    ("v3-shape", "an axis of 10^12, Zarr 3", ZARR_3, RAW_3, put(10**12, "shape", 0)),
    ("v3-type", "a type of an extension", ZARR_3, RAW_3,
     put({"name": "synthetic"}, "data_type")),
    ("v3-keys", "keys of chunks by an extension", ZARR_3, RAW_3,
     put({"name": "../..", "configuration": {}}, "chunk_key_encoding")),
    ("v3-separator", "a separator that leads upwards", ZARR_3, RAW_3,
     put({"name": "default", "configuration": {"separator": "/../"}}, "chunk_key_encoding")),
    ("v3-transformers", "storage of an extension", ZARR_3, RAW_3,
     put([{"name": "synthetic"}], "storage_transformers")),
    ("level-upwards", "a level of an image that lies upwards", OME, "synthetic.zarr/.zattrs",
     levels("../../outside/0")),
    ("level-absolute", "a level of an image by an absolute path", OME, "synthetic.zarr/.zattrs",
     levels("/etc")),
    ("level-backslash", "a level of an image upwards on Windows", OME, "synthetic.zarr/.zattrs",
     levels("..\\outside")),
    ("label-upwards", "a list of labels that lie upwards", OME, "labels/.zattrs",
     put(["../../outside"], "labels")),
)  # fmt: skip
CASES: tuple[Case, ...] = (
    *(Case(f"zarr-{name}", 28, says, partial(edited, story, file, edit), False,
           partial(declared, story))
      for name, says, story, file, edit in EDITS),
    Case("zarr-separator", 28, "a separator of the keys of chunks that leads upwards",
         partial(chunk_elsewhere, "/../../../outside/"), True, partial(declared, ZARR_2)),
    Case("zarr-consolidated", 28, "consolidated metadata of an array outside", consolidated, False,
         partial(declared, ZARR_2)),
    Case("zarr-gzip-bomb", 21, "chunks of gzip that unpack to 128 MB",
         partial(swollen, partial(gzip.compress, compresslevel=1), "gzip"), False,
         partial(declared, ZARR_2)),
    Case("zarr-zstd-bomb", 21, "chunks of Zstandard that unpack to 128 MB",
         partial(swollen, zstandard, "zstd"), False, partial(declared, ZARR_2)),
    Case("zarr-blosc-header", 21, "chunks of Blosc that state 2 GB", blosc_header, False,
         partial(declared, ZARR_2)),
)  # fmt: skip
