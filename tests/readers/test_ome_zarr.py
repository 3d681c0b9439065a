"""OME-Zarr 0.4 and 0.5 images with labels, in folders and zips, against zarr-python and NumPy."""

from __future__ import annotations

import json
import re
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from neurodata import schema
from neurodata.declare import Declared
from neurodata.errors import (
    InvalidInputError,
    MissingFactError,
    UnknownFormatError,
    UnreadableError,
    UnsafeError,
)
from neurodata.ingestion import ingest
from neurodata.readers import ome_zarr
from neurodata.safe import Raw, head
from neurodata.store.ngff import multiscales
from tests.readers.conformance import HeaderTests, PersonalTests

CANARY = "Zdenka Canary"
SHAPE, CHUNKS = (2, 5, 24, 20), (1, 3, 16, 16)
UM = "micrometer"


def pixels() -> np.ndarray[Any, Any]:
    return np.random.default_rng(6).integers(0, 4000, SHAPE, dtype="u2")


def nuclei() -> np.ndarray[Any, Any]:
    labels = np.zeros(SHAPE[1:], "u4")
    labels[1:3, 2:6, 2:6], labels[2:5, 10:15, 10:15] = 7, 70000
    return labels


def axes(names: str = "czyx", **units: str) -> list[dict[str, str]]:
    kinds = {"c": "channel", "t": "time"}
    found = []
    for name in names:
        found.append({"name": name, "type": kinds.get(name, "space")})
        if name != "c":
            found[-1]["unit"] = units.get(name, "second" if name == "t" else UM)
    return found


def image(version: str | None, names: str = "czyx", **more: Any) -> dict[str, Any]:
    scale = [{"c": 1, "t": 0.5, "z": 2.0, "y": 0.5, "x": 0.25}[name] for name in names]
    steps = [{"type": "scale", "scale": scale}]
    return {
        "axes": axes(names),
        "datasets": [{"path": "0", "coordinateTransformations": steps}],
        **({"version": version} if version else {}),
        **more,
    }


def facts(version: str | None, **more: Any) -> dict[str, Any]:
    channels = [{"label": "DAPI", "color": "00FFFF"}, {"label": "Lamin B1"}]
    return {
        "multiscales": [image(version, name=CANARY, metadata={"by": CANARY}, **more)],
        "omero": {"name": CANARY, "id": 1, "channels": channels},
        "_creator": {"name": CANARY},
    }


def write_04(base: Path, attrs: dict[str, Any], labels: bool = True) -> Path:
    """Write a synthetic image of format 0.4 and return its main file."""
    group = zarr.open_group(base, mode="w", zarr_format=2)
    options: dict[str, Any] = {
        "chunk_key_encoding": {"name": "v2", "separator": "/"},
        "config": {"write_empty_chunks": True},
        "compressors": numcodecs.Blosc("lz4"),
    }
    group.create_array("0", data=pixels(), chunks=CHUNKS, **options)
    group.attrs.update(attrs)
    if labels:
        group.create_group("labels").attrs.update({"labels": ["nuclei"]})
        inner = group.create_group("labels/nuclei")
        inner.attrs.update(
            {"multiscales": [image("0.4", "zyx")], "image-label": {"version": "0.4"}}
        )
        inner.create_array("0", data=nuclei(), chunks=CHUNKS[1:], **options)
    return base / ".zattrs"


def write_05(base: Path, attrs: dict[str, Any], empty: bool = True) -> Path:
    """Write a synthetic sharded image of format 0.5 and return its main file."""
    group = zarr.open_group(base, mode="w", zarr_format=3)
    options: dict[str, Any] = {"config": {"write_empty_chunks": empty}}
    group.create_array(
        "0", data=pixels(), chunks=(1, 3, 8, 8), shards=(1, 3, 16, 16),
        compressors=[ZstdCodec(level=3, checksum=True)], **options,
    )  # fmt: skip
    group.attrs.update({"ome": {"version": "0.5", **attrs}})
    group.create_group("labels").attrs.update({"ome": {"version": "0.5", "labels": ["nuclei"]}})
    inner = group.create_group("labels/nuclei")
    inner.attrs.update({"ome": {"version": "0.5", "multiscales": [image(None, "zyx")]}})
    inner.create_array("0", data=nuclei(), chunks=(3, 16, 16), compressors=[GzipCodec()], **options)
    return base / "zarr.json"


def pack(base: Path, path: Path, inside: str = "") -> Path:
    """Put a folder's files into a zip, stored."""
    with zipfile.ZipFile(path, "w") as file:
        for each in sorted(p for p in base.rglob("*") if p.is_file()):
            file.write(each, inside + each.relative_to(base).as_posix())
    return path


def swap(old: str, new: str) -> Callable[[bytes], bytes]:
    """Return a function that changes one fact in JSON, however it is spaced."""
    pattern = re.compile(r"\s*".join(map(re.escape, re.findall(r"[\w.\-+]+|\W", old))).encode())
    return lambda whole: pattern.sub(new.encode(), whole, count=1)


LIES = {
    "scale of 0": swap('"scale":[1,2.0,', '"scale":[1,0,'),
    "scale below 0": swap('"scale":[1,2.0,', '"scale":[1,-2.0,'),
    "scale of NaN": swap('"scale":[1,2.0,', '"scale":[1,NaN,'),
    "scale beyond numbers": swap('"scale":[1,2.0,', '"scale":[1,1e400,'),
    "scale of text": swap('"scale":[1,2.0,', '"scale":[1,"2",'),
    "too few scales": swap('"scale":[1,2.0,', '"scale":[2.0,'),
    "a path upwards": swap('"path":"0"', '"path":"../0"'),
    "an absolute path": swap('"path":"0"', '"path":"/etc"'),
    "a path to nothing": swap('"path":"0"', '"path":"9"'),
    "an unknown axis": swap('"name":"z"', '"name":"w"'),
    "an axis twice": swap('"name":"z"', '"name":"y"'),
}


class OmeTests(HeaderTests, PersonalTests):
    reader = ome_zarr
    nodes: ClassVar = {"image": "volume", "labels_nuclei": "instances"}
    lies: ClassVar = LIES
    canary: ClassVar = CANARY


class Test04(OmeTests):
    lies: ClassVar = {
        **LIES,
        "another version": swap('"version":"0.4"', '"version":"0.2"'),
    }

    def make(self, folder: Path) -> Path:
        return write_04(folder / "synthetic.zarr", facts("0.4"))

    def victims(self, path: Path) -> tuple[Path, ...]:
        base = path.parent
        return (path, base / "0/.zarray", base / "0/1/1/0/0", base / "labels/nuclei/0/0/0/0")


class Test05(OmeTests):
    lies: ClassVar = {
        **LIES,
        "another version": swap('"version":"0.5"', '"version":"0.6"'),
    }

    def make(self, folder: Path) -> Path:
        return write_05(folder / "synthetic.zarr", facts(None))

    def victims(self, path: Path) -> tuple[Path, ...]:
        base = path.parent
        return (path, base / "0/zarr.json", base / "0/c/1/1/0/0", base / "labels/nuclei/0/c/0/0/0")


class TestZip(OmeTests):
    lies: ClassVar = {
        "a member's size": lambda whole: patch(whole, 24, 2**31),
        "a member's place": lambda whole: patch(whole, 42, 2**30),
        "a link": lambda whole: patch(whole, 38, 0o120777 << 16),
        "the directory's size": lambda whole: whole[:-10] + struct.pack("<I", 2**31) + whole[-6:],
    }

    def make(self, folder: Path) -> Path:
        write_04(folder.parent / "synthetic.zarr", facts("0.4"))
        return pack(folder.parent / "synthetic.zarr", folder / "synthetic.zip", "synthetic.zarr/")


def patch(whole: bytes, at: int, value: int) -> bytes:
    """Overwrite a number of the last member in the directory of a zip."""
    changed = bytearray(whole)
    struct.pack_into("<I", changed, whole.rindex(b"PK\x01\x02") + at, value)
    return bytes(changed)


def raw_of(main: Path) -> Raw:
    folder = sorted(p for p in main.parent.rglob("*") if p.is_file())
    return Raw(main.parent, ome_zarr.members(main, folder))


def read(main: Path, **declared: Any) -> tuple[xr.DataTree, Raw]:
    raw, facts = raw_of(main), Declared()
    facts.facts.update(declared)
    return ome_zarr.read(raw, facts), raw


def edit(path: Path, change: Callable[[Any], object]) -> None:
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


# values


@pytest.mark.parametrize("write", [write_04, write_05])
def test_pixels_labels_and_places_are_those_that_zarr_reads(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    base = tmp_path / "a.zarr"
    tree, _ = read(write(base, facts("0.4" if write is write_04 else None)))
    other = zarr.open_group(base, mode="r")
    node = tree["image"].to_dataset()
    assert node["image_adc"].dims == ("channel", "z", "y", "x")
    assert (node["image_adc"].dtype, node["image_adc"].attrs) == ("uint16", {"units": "count"})
    np.testing.assert_array_equal(node["image_adc"].values, np.asarray(other["0"]))
    np.testing.assert_array_equal(node["image_adc"].values, pixels())
    part = node["image_adc"][1, 1:4, 10:2:-3, [1, 19, 3]]
    np.testing.assert_array_equal(part.values, pixels()[1, 1:4, 10:2:-3][..., [1, 19, 3]])
    assert node["channel"].values.tolist() == ["DAPI", "Lamin B1"]
    np.testing.assert_allclose(node["spacing"].values, [2.0, 0.5, 0.25])
    assert node["spacing"].attrs == {"units": "um"}
    labels = tree["labels_nuclei"].to_dataset()
    np.testing.assert_array_equal(labels["label"].values[0], np.asarray(other["labels/nuclei/0"]))
    assert labels["instance_id"].values.tolist() == [7, 70000]
    assert labels["voxel_count"].values.tolist() == [32, 75]


def test_a_chunk_is_what_numpy_makes_of_its_bytes(tmp_path: Path) -> None:
    main = write_04(tmp_path / "a.zarr", facts("0.4"))
    data = numcodecs.blosc.decompress((main.parent / "0/1/0/0/0").read_bytes())
    chunk = np.frombuffer(data, "<u2").reshape(CHUNKS)
    tree, _ = read(main)
    np.testing.assert_array_equal(tree["image/image_adc"].values[1:, :3, :16, :16], chunk)


def test_units_and_both_kinds_of_transformation_count(tmp_path: Path) -> None:
    more = {
        "axes": axes(z="nanometer", y="nanometer", x="millimeter"),
        "coordinateTransformations": [
            {"type": "scale", "scale": [1, 100.0, 10.0, 0.01]},
            {"type": "translation", "translation": [0, 5.0, 0, 0]},
        ],
    }
    tree, raw = read(write_04(tmp_path / "a.zarr", facts("0.4", **more)))
    np.testing.assert_allclose(tree["image/spacing"].values, [0.2, 0.005, 2.5])
    np.testing.assert_allclose(tree["image/origin"].values, [0.005, 0, 0])
    assert tree["image/origin"].attrs == tree["image/spacing"].attrs == {"units": "um"}
    assert any("unlike the image" in p.found for p in raw.problems)


@pytest.mark.parametrize("write", [write_04, write_05])
def test_places_of_levels_add_up(write: Callable[..., Path], tmp_path: Path) -> None:
    """A level's own shift, in micrometres, is scaled and shifted by the image's."""
    steps = [
        {"type": "scale", "scale": [1, 2.0, 0.5, 0.25]},
        {"type": "translation", "translation": [0, 10.0, -4.0, 0.125]},
    ]
    more = {
        "datasets": [{"path": "0", "coordinateTransformations": steps}],
        "coordinateTransformations": [
            {"type": "scale", "scale": [1, 3.0, 1.0, 1.0]},
            {"type": "translation", "translation": [0, 1.0, 1.0, 0]},
        ],
    }
    attrs = facts("0.4" if write is write_04 else None, **more)
    tree, raw = read(write(tmp_path / "a.zarr", attrs))
    np.testing.assert_allclose(tree["image/spacing"].values, [6.0, 0.5, 0.25])
    np.testing.assert_allclose(tree["image/origin"].values, [31, -3, 0.125])
    assert not any("translation" in p.found for p in raw.problems)
    stated = multiscales(tree["image"].to_dataset()) or {}
    level = stated["multiscales"][0]["datasets"][0]
    shift = level["coordinateTransformations"][1]["translation"]
    np.testing.assert_allclose(shift, [0, 31.0, -3.0, 0.125])
    assert [p for p in schema.check(tree) if p.level == "error"] == []
    older = tree["image"].to_dataset()
    older["origin"] = (older["origin"] * 1e-6).assign_attrs(units="m")
    level = (multiscales(older) or {})["multiscales"][0]["datasets"][0]
    shift = level["coordinateTransformations"][1]["translation"]
    np.testing.assert_allclose(shift, [0, 31.0, -3.0, 0.125])


@pytest.mark.parametrize("axis", range(4))
def test_a_shard_of_no_length_is_refused(axis: int, tmp_path: Path) -> None:
    main = write_05(tmp_path / "synthetic.zarr", facts(None))
    path = main.parent / "0/zarr.json"
    stated = json.loads(path.read_text())
    stated["chunk_grid"]["configuration"]["chunk_shape"][axis] = 0
    path.write_text(json.dumps(stated))
    with pytest.raises(UnreadableError, match="parts of a shard"):
        read(main)


def test_places_without_a_unit_are_told_of(tmp_path: Path) -> None:
    bare = [{k: v for k, v in axis.items() if k != "unit"} for axis in axes()]
    moved = [{"type": "translation", "translation": [0, 5.0, 0, 0]}]
    attrs = facts("0.4", axes=bare, coordinateTransformations=moved)
    tree, raw = read(write_04(tmp_path / "a.zarr", attrs), voxel_um=[2.0, 1.0, 1.0])
    assert "origin" not in tree["image"]
    assert any("a translation by 5 along z" in p.found for p in raw.problems)


def test_a_movie_has_the_stated_rate(tmp_path: Path) -> None:
    attrs = {"multiscales": [image("0.4", "tzyx")]}
    tree, _ = read(write_04(tmp_path / "a.zarr", attrs, labels=False))
    node = tree["image"].to_dataset()
    assert node["image_adc"].dims == ("time", "z", "y", "x")
    assert {key: node.attrs[key] for key in ("start_s", "rate_hz", "n")} == {
        "start_s": 0.0, "rate_hz": 2.0, "n": 2,
    }  # fmt: skip


def test_without_units_the_size_is_declared(tmp_path: Path) -> None:
    bare = [{k: v for k, v in axis.items() if k != "unit"} for axis in axes()]
    main = write_04(tmp_path / "a.zarr", facts("0.4", axes=bare))
    with pytest.raises(MissingFactError, match="voxel_um=<z>,<y>,<x>"):
        read(main)
    tree, _ = read(main, voxel_um=[2.0, 1.0, 1.0])
    assert tree["image/spacing"].values.tolist() == [2.0, 1.0, 1.0]


@pytest.mark.parametrize("codec", [BloscCodec(cname="zstd"), ZstdCodec(level=1), GzipCodec(), None])
def test_codecs_are_read(codec: Any, tmp_path: Path) -> None:
    base = tmp_path / "a.zarr"
    main = write_05(base, facts(None))
    group = zarr.open_group(base, mode="r+")
    group.create_array(
        "0", data=pixels(), chunks=CHUNKS, compressors=[codec] if codec else None, overwrite=True,
        filters=[zarr.codecs.TransposeCodec(order=(3, 0, 2, 1))],
    )  # fmt: skip
    np.testing.assert_array_equal(read(main)[0]["image/image_adc"].values, pixels())


def test_names_of_channels_that_are_not_fit_are_left_out(tmp_path: Path) -> None:
    attrs = facts("0.4")
    attrs["omero"]["channels"][1]["label"] = "DAPI"
    tree, raw = read(write_04(tmp_path / "a.zarr", attrs))
    assert tree["image/channel"].values.tolist() == ["0", "1"]
    assert any("without a name of their own" in p.found for p in raw.problems)


# missing chunks


def test_missing_chunks_are_counted_named_and_never_zeros(tmp_path: Path) -> None:
    main = write_04(tmp_path / "a.zarr", facts("0.4"))
    for name in ("0/0/1/0/0", "0/1/0/1/1"):
        (main.parent / name).unlink()
    with pytest.raises(UnreadableError, match=r"2 missing chunk\(s\): 0/0/1/0/0, 0/1/0/1/1;"):
        read(main)
    with pytest.raises(UnreadableError, match="--set missing_chunks=fill"):
        read(main)
    with pytest.raises(InvalidInputError, match="missing_chunks"):
        read(main, missing_chunks="zero")
    tree, raw = read(main, missing_chunks="fill")
    wanted = pixels()
    wanted[0, 3:, :16, :16] = wanted[1, :3, 16:, 16:] = 0
    np.testing.assert_array_equal(tree["image/image_adc"].values, wanted)
    assert any(p.level == "warning" and "2 missing" in p.found for p in raw.problems)


def test_a_missing_chunk_of_labels_is_refused_too(tmp_path: Path) -> None:
    main = write_04(tmp_path / "a.zarr", facts("0.4"))
    (main.parent / "labels/nuclei/0/1/0/0").unlink()
    with pytest.raises(UnreadableError, match=r"1 missing chunk\(s\): labels/nuclei/0/1/0/0"):
        read(main)


def test_chunks_missing_inside_a_shard_are_found(tmp_path: Path) -> None:
    main = write_05(tmp_path / "a.zarr", facts(None), empty=False)
    sparse = pixels()
    sparse[0, :3, 8:16, :8] = 0
    group = zarr.open_group(main.parent, mode="r+")
    group["0"][:] = sparse
    with pytest.raises(UnreadableError, match=r"0/c/0/0/0/0 chunk \(0, 0, 1, 0\)"):
        read(main)
    group["labels/nuclei/0"][:] = np.arange(2400, dtype="u4").reshape(SHAPE[1:]) % 9 + 1
    tree, _ = read(main, missing_chunks="fill")
    np.testing.assert_array_equal(tree["image/image_adc"].values, sparse)


def test_a_fill_value_that_is_none_fills_nothing(tmp_path: Path) -> None:
    main = write_04(tmp_path / "a.zarr", facts("0.4"))
    (main.parent / "0/0/0/0/0").unlink()
    edit(main.parent / "0/.zarray", lambda found: found.update(fill_value=None))
    with pytest.raises(UnreadableError, match="fill_value"):
        read(main, missing_chunks="fill")
    edit(main.parent / "0/.zarray", lambda found: found.update(fill_value=17))
    tree, _ = read(main, missing_chunks="fill")
    assert (tree["image/image_adc"].values[0, :3, :16, :16] == 17).all()


@pytest.mark.acceptance
def test_the_fractal_example_lacks_its_largest_level(realdata: Path, tmp_path: Path) -> None:
    """Real chunks; its metadata, hidden files that are not in the folder, as published."""
    name = "20200812-CardiomyocyteDifferentiation14-Cycle1_B_03_mip.zarr"
    base = tmp_path / "fractal.zarr"
    shutil.copytree(realdata / "acceptance/microscopy/fractal_ome_zarr/v04" / name, base)
    for folder in [base, *base.rglob("*")]:
        if folder.is_dir():
            folder.chmod(0o755)
    fractal_metadata(base)
    found = r"0: found 3 missing chunk\(s\): 0/0/0/0/0, 0/1/0/0/0, 0/2/0/0/0;"
    with pytest.raises(UnreadableError, match=found):
        read(base / ".zattrs")
    assert not np.asarray(zarr.open_array(base / "0", mode="r")[0, 0, :5]).any()  # as others see it
    tree, _ = read(base / ".zattrs", missing_chunks="fill")
    assert tree["image/image_adc"].shape == (3, 1, 2160, 2560)
    labels = tree["labels_nuclei"].to_dataset()
    wanted = np.asarray(zarr.open_array(base / "labels/nuclei/0", mode="r"))
    np.testing.assert_array_equal(labels["label"].values[0], wanted)
    assert labels["instance_id"].size == np.unique(wanted).size - 1
    assert labels["voxel_count"].values.sum() == np.count_nonzero(wanted)

    edit(base / ".zattrs", lambda found: found["multiscales"][0]["datasets"].pop(0))
    tree, _ = read(base / ".zattrs")
    node = tree["image"].to_dataset()
    other = np.asarray(zarr.open_array(base / "1", mode="r"))
    np.testing.assert_array_equal(node["image_adc"].values, other)
    assert node["image_adc"].shape == (3, 1, 1080, 1280)
    np.testing.assert_allclose(node["spacing"].values, [1.0, 0.65, 0.65])
    assert node["channel"].values.tolist() == ["DAPI", "nanog", "Lamin B1"]
    assert tree["labels_nuclei/label"].shape == (1, 1, 1080, 1280)


def fractal_metadata(base: Path) -> None:
    """Write what github.com/fractal-analytics-platform/fractal-ome-zarr-examples has (BSD-3)."""

    def level(number: int, lead: list[float]) -> dict[str, Any]:
        scale = [*lead, 0.325 * 2**number, 0.325 * 2**number]
        steps = [{"type": "scale", "scale": scale}]
        return {"path": str(number), "coordinateTransformations": steps}

    def array(shape: list[int], kind: str) -> dict[str, Any]:
        codec = {"blocksize": 0, "clevel": 5, "cname": "lz4", "id": "blosc", "shuffle": 1}
        chunks = [1] * (len(shape) - 2) + shape[-2:]
        return {
            "chunks": chunks, "compressor": codec, "dimension_separator": "/", "dtype": kind,
            "fill_value": 0, "filters": None, "order": "C", "shape": shape, "zarr_format": 2,
        }  # fmt: skip

    channels = [{"label": label} for label in ("DAPI", "nanog", "Lamin B1")]
    files: dict[str, Any] = {
        ".zattrs": {
            "multiscales": [
                {"axes": axes(), "datasets": [level(n, [1, 1.0]) for n in range(4)],
                 "version": "0.4"}
            ],
            "omero": {"channels": channels, "id": 1, "name": "TBD", "version": "0.4"},
        },
        "labels/.zattrs": {"labels": ["nuclei"]},
        "labels/nuclei/.zattrs": {
            "image-label": {"source": {"image": "../../"}, "version": "0.4"},
            "multiscales": [
                {"axes": axes("zyx"), "datasets": [level(n, [1.0]) for n in range(4)],
                 "name": "nuclei", "version": "0.4"}
            ],
        },
    }  # fmt: skip
    for number in range(4):
        plane = [2160 // 2**number, 2560 // 2**number]
        files[f"{number}/.zarray"] = array([3, 1, *plane], "<u2")
        files[f"labels/nuclei/{number}/.zarray"] = array([1, *plane], "<u4")
    for name in ("", "labels/", "labels/nuclei/"):
        files[f"{name}.zgroup"] = {"zarr_format": 2}
    for name, content in files.items():
        (base / name).parent.mkdir(exist_ok=True)
        (base / name).write_text(json.dumps(content))


# other versions, labels and places


def test_older_versions_are_refused(tmp_path: Path) -> None:
    main = write_04(tmp_path / "a.zarr", {"multiscales": [image("0.3")]}, labels=False)
    with pytest.raises(UnknownFormatError, match=r"'0\.3'"):
        read(main)


def test_a_transformation_of_another_kind_is_refused(tmp_path: Path) -> None:
    steps = [{"type": "affine", "affine": [[1]]}]
    more = {"datasets": [{"path": "0", "coordinateTransformations": steps}]}
    with pytest.raises(UnknownFormatError, match="affine"):
        read(write_04(tmp_path / "a.zarr", facts("0.4", **more)))


def test_labels_of_another_grid_are_left_out(tmp_path: Path) -> None:
    main = write_04(tmp_path / "a.zarr", facts("0.4"))
    zarr.open_group(main.parent / "labels/nuclei", mode="r+").create_array(
        "0", data=nuclei()[:, ::2], overwrite=True, config={"write_empty_chunks": True}
    )
    tree, raw = read(main)
    assert set(tree.children) == {"image"}
    assert any("another grid" in p.found for p in raw.problems)


def test_labels_may_not_lie_elsewhere(tmp_path: Path) -> None:
    main = write_04(tmp_path / "a.zarr", facts("0.4"))
    edit(main.parent / "labels/.zattrs", lambda found: found.update(labels=["../../outside"]))
    with pytest.raises(UnsafeError, match="outside"):
        read(main)


def test_a_linked_chunk_is_not_followed(tmp_path: Path) -> None:
    main = write_04(tmp_path / "raw" / "a.zarr", facts("0.4"))
    chunk, outside = main.parent / "0/0/0/0/0", tmp_path / "outside"
    chunk.rename(outside)
    chunk.symlink_to(outside)
    tree, _ = read(main)
    with pytest.raises(UnsafeError, match="link"):
        tree["image/image_adc"].load()


def test_a_chunk_changed_after_reading_is_noticed(tmp_path: Path) -> None:
    main = write_04(tmp_path / "a.zarr", facts("0.4"))
    tree, _ = read(main)
    chunk = main.parent / "0/0/0/0/0"
    chunk.write_bytes((main.parent / "0/1/0/0/0").read_bytes())
    with pytest.raises(UnreadableError, match="changed"):
        tree["image/image_adc"].load()


# which files make a recording


def listing(base: Path) -> list[Path]:
    return sorted(p for p in base.rglob("*") if p.is_file())


def test_every_metadata_file_leads_to_the_image(tmp_path: Path) -> None:
    main = write_04(tmp_path / "a.zarr", facts("0.4"))
    (tmp_path / "b.txt").write_text("another")
    folder = listing(tmp_path)
    assert ome_zarr.sniff(head(main), main)
    for path in folder:
        if path.name.startswith(".z"):
            files = ome_zarr.members(path, folder)
            assert files[0] == main
            assert set(files) == set(folder) - {tmp_path / "b.txt"}


def test_images_of_a_plate_are_recordings_of_their_own(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "p.zarr", mode="w", zarr_format=2).create_group("A/1")
    mains = [write_04(tmp_path / f"p.zarr/A/1/{n}", facts("0.4")) for n in range(2)]
    folder = listing(tmp_path)
    for main in mains:
        files = ome_zarr.members(main, folder)
        assert files[0] == main
        assert tmp_path / "p.zarr/.zgroup" in files
        assert not any(p.is_relative_to(other.parent) for other in mains if other != main
                       for p in files)  # fmt: skip
    for marker in ("p.zarr/.zgroup", "p.zarr/A/1/.zgroup"):
        assert ome_zarr.members(tmp_path / marker, folder) == (mains[0], tmp_path / marker)


def test_several_images_in_one_zip_are_refused(tmp_path: Path) -> None:
    write_04(tmp_path / "both/a.zarr", facts("0.4"))
    write_04(tmp_path / "both/b.zarr", facts("0.4"))
    path = pack(tmp_path / "both", tmp_path / "raw.zip")
    assert ome_zarr.sniff(head(path), path)
    with pytest.raises(UnreadableError, match="2 Zarr hierarchies"):
        ome_zarr.read(Raw(tmp_path, (path,)), Declared())


def test_labels_without_their_list_are_told(tmp_path: Path) -> None:
    main = write_04(tmp_path / "a.zarr", facts("0.4"))
    (main.parent / "labels/.zattrs").unlink()
    tree, raw = read(main)
    assert set(tree.children) == {"image"}
    assert any("without a list" in p.found for p in raw.problems)


DAMAGED: dict[str, Callable[[bytes], bytes | None]] = {
    "cut": lambda whole: whole[: len(whole) // 2],
    "empty": lambda whole: b"",
    "zeros": lambda whole: bytes(len(whole)),
    "a key renamed": lambda whole: whole.replace(b'"multiscales"', b'"nultiscales"'),
    "no key": lambda whole: b"{}",
    "gone": lambda whole: None,
}


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("story", DAMAGED)
def test_an_image_without_its_list_of_levels_is_no_plain_array_in_silence(
    story: str, labels: bool, tmp_path: Path
) -> None:
    main = write_04(tmp_path / "raw" / "synthetic.zarr", facts("0.4"), labels)
    changed = DAMAGED[story](main.read_bytes())
    if changed is None:
        main.unlink()
    else:
        main.write_bytes(changed)
    declare = {"axes": "channel,z,y,x", "voxel_um": [2, 0.5, 0.5], "licence": "CC0-1.0"}
    result = ingest(tmp_path / "raw", store=tmp_path / "store", dataset="lab", declare=declare)
    told = [p for p in result.findings() if p.level in ("warning", "error")]
    words = [f"{p.where} {p.found} {p.hint}" for p in told]
    assert any(".zattrs" in text or "OME-Zarr" in text for text in words), words
