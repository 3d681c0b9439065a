"""Plain Zarr arrays in folders and zips, against zarr-python and NumPy."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.codecs import BloscCodec

from neurodata.declare import Declared
from neurodata.errors import (
    InvalidInputError,
    MissingFactError,
    UnknownFormatError,
    UnreadableError,
    UnsafeError,
)
from neurodata.readers import zarr_array, zarr_codecs
from neurodata.readers.zarr_codecs import zstd_size
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, ReaderTests
from tests.readers.test_ome_zarr import edit, pack, swap

SIZES: dict[str, Any] = {"axes": "z,y,x", "voxel_um": [2.0, 0.5, 0.5]}
FULL = {"write_empty_chunks": True}


def pixels() -> np.ndarray[Any, Any]:
    return np.random.default_rng(6).integers(0, 4000, (7, 24, 20), dtype="u2")


def layers() -> np.ndarray[Any, Any]:
    """Two layers of objects; one of each overlaps the other."""
    found = np.zeros((2, 7, 24, 20), "u1")
    found[0, 1:3, 2:6, 2:6], found[1, 2:4, 4:9, 4:9] = 1, 2
    return found


LIES = {
    "a longer axis": swap('"shape":[7', '"shape":[70'),
    "a huge axis": swap('"shape":[7', '"shape":[70000000000'),
    "an axis of 0": swap('"shape":[7', '"shape":[0'),
    "a negative axis": swap('"shape":[7', '"shape":[-7'),
    "text for an axis": swap('"shape":[7', '"shape":["7"'),
    "one axis more": swap('"shape":[7', '"shape":[7,7'),
}


class Test2(HeaderTests):
    reader = zarr_array
    nodes: ClassVar = {"image": "volume"}
    declare: ClassVar = SIZES
    lies: ClassVar = {
        **LIES,
        "huge chunks": swap('"chunks":[3', '"chunks":[3000000000'),
        "other chunks": swap('"chunks":[3', '"chunks":[2'),
        "objects": swap('"dtype":"<u2"', '"dtype":"|O"'),
        "a wider type": swap('"dtype":"<u2"', '"dtype":"<u8"'),
        "a filter": swap('"filters":null', '"filters":[{"id":"pickle"}]'),
        "a codec": swap('"id":"gzip"', '"id":"pickle"'),
        "another format": swap('"zarr_format":2', '"zarr_format":1'),
    }

    def make(self, folder: Path) -> Path:
        zarr.create_array(
            folder / "synthetic.zarr", data=pixels(), chunks=(3, 16, 16), zarr_format=2,
            compressors=numcodecs.GZip(1), config=FULL,
        )  # fmt: skip
        return folder / "synthetic.zarr" / ".zarray"

    def victims(self, path: Path) -> tuple[Path, ...]:
        return (path, path.with_name("1.0.0"), path.with_name("2.1.1"))


class Test3(HeaderTests):
    reader = zarr_array
    nodes: ClassVar = {"image": "volume", "instances": "instances"}
    declare: ClassVar = SIZES
    lies: ClassVar = {"another format": swap('"zarr_format":3', '"zarr_format":4')}

    def make(self, folder: Path) -> Path:
        base = folder / "synthetic.zarr"
        group = zarr.open_group(base, mode="w", zarr_format=3)
        options: dict[str, Any] = {"shards": (4, 24, 20), "chunks": (2, 12, 10), "config": FULL}
        group.create_array("raw", data=pixels(), compressors=[BloscCodec()], **options)
        group.create_array("gt", data=layers(), chunks=(1, 7, 24, 20), config=FULL)
        return base / "zarr.json"

    def victims(self, path: Path) -> tuple[Path, ...]:
        return tuple(path.parent / name for name in ("raw/zarr.json", "raw/c/1/0/0"))

    def test_lying_headers_are_refused(self, path: Path) -> None:
        super().test_lying_headers_are_refused(path)


class TestZip(ReaderTests):
    reader = zarr_array
    nodes: ClassVar = {"image": "volume", "instances": "instances"}
    declare: ClassVar = SIZES

    def make(self, folder: Path) -> Path:
        base = folder.parent / "synthetic.zarr"
        group = zarr.open_group(base, mode="w", zarr_format=2)
        group.create_array("volumes/raw", data=pixels(), chunks=(3, 24, 20), config=FULL)
        group.create_array("volumes/gt_instances", data=layers(), config=FULL)
        return pack(base, folder / "synthetic.zip", "synthetic.zarr/")


def read(main: Path, **declared: Any) -> tuple[xr.DataTree, Raw]:
    folder = sorted(p for p in main.parent.rglob("*") if p.is_file())
    raw, facts = Raw(main.parent, zarr_array.members(main, folder)), Declared()
    facts.facts.update(declared)
    return zarr_array.read(raw, facts), raw


# real file


@pytest.mark.acceptance
def test_the_fisbe_crop_keeps_overlapping_neurons(realdata: Path) -> None:
    """Against a decoder of its own: gzip and NumPy on the bytes in the zip."""
    path = realdata / "acceptance/microscopy/fisbe_crop/JRC_SS05008-20160318_24_B2_crop.zip"
    raw = Raw(path.parent, (path,))
    assert zarr_array.sniff(path.read_bytes()[:4096], path)
    with pytest.raises(MissingFactError, match=r"axes=channel,z,y,x\|.* --set .voxel_um="):
        zarr_array.read(raw, Declared())
    declared = Declared({"axes": "channel,z,y,x", "voxel_um": [0.44, 0.44, 0.44]})
    tree = zarr_array.read(raw, declared)
    wanted, masks = np.zeros((3, 50, 50, 50), "u2"), np.zeros((3, 50, 50, 50), "u1")
    with zipfile.ZipFile(path) as file:
        for name in file.namelist():
            place, _, last = name.rpartition("/")
            if last[:1].isdigit():
                image = place.endswith("raw")
                shape = (2, 25, 50, 50) if image else (2, 50, 50, 50)
                data = np.frombuffer(gzip.decompress(file.read(name)), "<u2" if image else "u1")
                first, second = (int(part) for part in last.split(".")[:2])
                to = (wanted if image else masks)[
                    2 * first : 2 * first + 2, shape[1] * second : shape[1] * (second + 1)
                ]
                to[:] = data.reshape(shape)[: len(to)]
    image = tree["image"].to_dataset()
    assert image["image_adc"].dims == ("channel", "z", "y", "x")
    assert (image["image_adc"].shape, image["image_adc"].dtype) == ((3, 50, 50, 50), "uint16")
    np.testing.assert_array_equal(image["image_adc"].values, wanted)
    assert wanted.any(axis=(1, 2, 3)).all()
    table = tree["instances"].to_dataset()
    np.testing.assert_array_equal(table["label"].values, masks)
    assert int(((table["label"].values > 0).sum(axis=0) > 1).sum()) == 2315
    assert table["instance_id"].values.tolist() == [1, 2, 3]
    assert table["instance_layer"].values.tolist() == [0, 1, 2]
    assert table["voxel_count"].values.tolist() == [3765, 6193, 14246]
    np.testing.assert_allclose(image["spacing"].values, [0.44] * 3)
    store = zarr.storage.ZipStore(path, mode="r")
    group = zarr.open_group(store, path="JRC_SS05008-20160318_24_B2_crop.zarr/volumes", mode="r")
    np.testing.assert_array_equal(np.asarray(group["raw"]), wanted)


# values


@pytest.mark.parametrize(
    "codec",
    [
        numcodecs.Blosc("zstd", shuffle=2), numcodecs.Zstd(3), numcodecs.LZ4(), numcodecs.Zlib(),
        numcodecs.GZip(), None,
    ],
)  # fmt: skip
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", [">f4", "<i8", "|u1", "|b1"])
def test_codecs_orders_and_types_of_format_2(
    codec: Any, order: Any, kind: str, tmp_path: Path
) -> None:
    wanted = (pixels() % 2 if kind == "|b1" else pixels()).astype(kind)
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=wanted.shape, chunks=(3, 16, 16), dtype=wanted.dtype,
        compressors=codec, order=order, zarr_format=2, config=FULL,
    )  # fmt: skip
    array[:] = wanted
    node = read(tmp_path / "a.zarr/.zarray", **SIZES)[0]["image"].to_dataset()
    found = node["image" if kind == ">f4" else "image_adc"]
    assert found.dtype == (np.dtype("u1") if kind == "|b1" else wanted.dtype.newbyteorder("="))
    np.testing.assert_array_equal(found.values, wanted)
    assert found.attrs["units"] == ("a.u." if kind == ">f4" else "count")


def test_axes_in_any_order_come_out_in_one(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=pixels(), zarr_format=3, config=FULL)
    tree, _ = read(tmp_path / "a.zarr/zarr.json", axes="x,z,y", voxel_um=[2.0, 0.5, 0.25])
    assert tree["image/image_adc"].dims == ("z", "y", "x")
    np.testing.assert_array_equal(tree["image/image_adc"].values, pixels().transpose(1, 2, 0))
    assert tree["image/spacing"].values.tolist() == [2.0, 0.5, 0.25]


def test_stated_names_of_axes_are_taken(tmp_path: Path) -> None:
    zarr.create_array(
        tmp_path / "a.zarr", data=pixels(), dimension_names=("t", "y", "x"), config=FULL
    )
    tree, _ = read(tmp_path / "a.zarr/zarr.json", voxel_um=[0.5, 0.5], rate_hz=4)
    assert tree["image/image_adc"].dims == ("time", "y", "x")
    assert tree["image"].attrs["rate_hz"] == 4.0


def test_xarrays_names_of_axes_are_taken(tmp_path: Path) -> None:
    zarr.create_array(
        tmp_path / "a.zarr", data=pixels(), zarr_format=2, config=FULL,
        attributes={"_ARRAY_DIMENSIONS": ["z", "y", "x"]},
    )  # fmt: skip
    tree, _ = read(tmp_path / "a.zarr/.zarray", voxel_um="unknown")
    assert tree["image/image_adc"].dims == ("z", "y", "x")
    assert tree["image/spacing"].attrs["units"] == "pixel"


# roles


def group_of(base: Path, *names: str) -> Path:
    group = zarr.open_group(base, mode="w", zarr_format=2)
    for name in names:
        group.create_array(name, data=pixels() % 3, config=FULL)
    return base / ".zgroup"


def test_roles_that_names_do_not_say_are_declared(tmp_path: Path) -> None:
    main = group_of(tmp_path / "a.zarr", "a", "b")
    with pytest.raises(MissingFactError, match=r"--set variables\.image=a"):
        read(main, **SIZES)
    with pytest.raises(InvalidInputError, match="one of a, b"):
        read(main, **SIZES, **{"variables.image": "c"})
    tree, raw = read(main, **SIZES, **{"variables.image": "b"})
    assert set(tree.children) == {"image"}
    assert any(p.found == "further arrays: a" for p in raw.problems)
    tree, _ = read(main, **SIZES, **{"variables.image": "b", "variables.instances": "a"})
    assert tree["instances/instance_id"].values.tolist() == [1, 2]


def test_a_group_without_arrays_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="without arrays"):
        read(group_of(tmp_path / "a.zarr"))


def test_ids_of_64_bits_stay_exact(tmp_path: Path) -> None:
    main = group_of(tmp_path / "a.zarr", "raw")
    ids = np.zeros((7, 24, 20), "u8")
    ids[0, 0, :3] = 2**64 - 1, 2**53 + 1, 2**63
    group = zarr.open_group(main.parent, mode="r+")
    group.create_array("labels", data=ids, config=FULL)
    table = read(main, **SIZES)[0]["instances"].to_dataset()
    assert table["instance_id"].values.tolist() == [2**53 + 1, 2**63, 2**64 - 1]
    np.testing.assert_array_equal(table["label"].values[0], ids)


# damage and hostility


def test_a_missing_chunk_is_named(tmp_path: Path) -> None:
    main = Test2().make(tmp_path)
    main.with_name("1.1.0").unlink()
    with pytest.raises(UnreadableError, match=r"1 missing chunk\(s\): 1\.1\.0;"):
        read(main, **SIZES)
    tree, _ = read(main, **SIZES, missing_chunks="fill")
    wanted = pixels()
    wanted[3:6, 16:, :16] = 0
    np.testing.assert_array_equal(tree["image/image_adc"].values, wanted)


@pytest.mark.parametrize("name", ["blosc", "zstd", "gzip", "lz4"])
def test_a_chunk_that_unpacks_to_more_is_stopped(name: str, tmp_path: Path) -> None:
    codec = {
        "blosc": numcodecs.Blosc(), "zstd": numcodecs.Zstd(), "gzip": numcodecs.GZip(),
        "lz4": numcodecs.LZ4(),
    }[name]  # fmt: skip
    zarr.create_array(
        tmp_path / "a.zarr", data=pixels(), chunks=(3, 16, 16), zarr_format=2, compressors=codec
    )
    (tmp_path / "a.zarr/0.0.0").write_bytes(codec.encode(np.zeros(2**24, "u1")))
    tree, _ = read(tmp_path / "a.zarr/.zarray", **SIZES)
    with pytest.raises(UnreadableError, match="damaged"):
        tree["image/image_adc"].load()


def test_sizes_of_zstd_are_told_before_it_is_unpacked() -> None:
    frame = numcodecs.zstd.compress(bytes(10**6))
    assert zstd_size(frame) >= 10**6
    lying = bytearray(frame)
    at = frame.index((10**6).to_bytes(4, "little"))
    struct.pack_into("<I", lying, at, 2**31)
    assert zstd_size(bytes(lying)) == 2**31
    with pytest.raises(ValueError, match="zstd"):
        zarr_codecs.DECODERS["zstd"](bytes(lying), 10**6)
    for count in (1, 5, len(frame) - 1):
        with pytest.raises((ValueError, struct.error)):
            zstd_size(frame[:count])


def test_a_damaged_index_of_a_shard_is_refused(tmp_path: Path) -> None:
    main = Test3().make(tmp_path)
    shard = main.parent / "raw/c/0/0/0"
    whole = bytearray(shard.read_bytes())
    whole[-30] ^= 1
    shard.write_bytes(whole)
    with pytest.raises(UnreadableError, match="crc32c"):
        read(main, **SIZES)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"storage_transformers": [{"name": "x"}]}, UnknownFormatError),
        ({"anything": {"name": "x"}}, UnknownFormatError),
        ({"data_type": "string"}, UnknownFormatError),
        ({"data_type": {"name": "r16"}}, UnknownFormatError),
        ({"codecs": [{"name": "vlen-utf8"}]}, UnknownFormatError),
        ({"codecs": []}, UnknownFormatError),
        ({"chunk_grid": {"name": "rectangular"}}, UnknownFormatError),
        ({"shape": [2**40, 24, 20]}, UnsafeError),
        ({"node_type": "group"}, UnreadableError),
    ],
)
def test_extensions_and_impossible_sizes_are_refused(
    change: dict[str, Any], kind: type[Exception], tmp_path: Path
) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=pixels(), config=FULL)
    main = tmp_path / "a.zarr/zarr.json"
    edit(main, lambda found: found.update(change))
    with pytest.raises(kind):
        read(main, **SIZES)
    edit(main, lambda found: json.dumps(found))
