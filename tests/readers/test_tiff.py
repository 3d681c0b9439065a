"""TIFF, BigTIFF, ImageJ and OME-TIFF images with their masks, against tifffile and Pillow."""

from __future__ import annotations

import importlib.util
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tifffile
import xarray as xr
from PIL import Image

from neurodata.declare import Declared
from neurodata.errors import (
    InvalidInputError,
    MissingDependencyError,
    MissingFactError,
    UnknownFormatError,
    UnreadableError,
    UnsafeError,
)
from neurodata.readers import tiff
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests, ReaderTests

SAMPLES = Path(__file__).parents[2] / "samples" / "nuclei"
RNG = np.random.default_rng(5)
CANARY = "Zdenka Canary"


def tag(code: int, value: int) -> Callable[[bytes], bytes]:
    """Return a function that overwrites an inline tag of the first little-endian directory."""

    def change(whole: bytes) -> bytes:
        at = struct.unpack_from("<I", whole, 4)[0]
        changed = bytearray(whole)
        for entry in range(at + 2, at + 2 + 12 * struct.unpack_from("<H", whole, at)[0], 12):
            if struct.unpack_from("<H", whole, entry)[0] == code:
                kind = struct.unpack_from("<H", whole, entry + 2)[0]
                struct.pack_into("<H" if kind == 3 else "<I", changed, entry + 8, value)
        return bytes(changed)

    return change


LIES = {
    "width of 60000": tag(256, 60000),
    "length of 60000": tag(257, 60000),
    "width of 0": tag(256, 0),
    "rows a strip": tag(278, 1),
    "strip beyond the end": tag(273, 2**31),
    "directory beyond the end": lambda whole: whole[:4] + struct.pack("<I", 2**30) + whole[8:],
    "directory in the header": lambda whole: whole[:4] + struct.pack("<I", 2) + whole[8:],
}


class TestPlain(HeaderTests, PersonalTests):
    reader = tiff
    nodes: ClassVar = {"image": "volume", "instances": "instances"}
    declare: ClassVar = {"axes": "z,y,x", "voxel_um": [2.0, 0.5, 0.5]}
    accepts: ClassVar = ("tiff",)
    lies: ClassVar = LIES
    canary: ClassVar = CANARY

    def make(self, folder: Path) -> Path:
        image = RNG.integers(0, 4000, (5, 24, 20), dtype="u2")
        path = folder / "cell.tif"
        artist = (315, "s", 0, CANARY, True)
        tifffile.imwrite(path, image, photometric="minisblack", extratags=[artist])
        mask = np.zeros_like(image)
        mask[1:3, 2:6, 2:6], mask[2:4, 10:15, 10:15] = 3, 9
        tifffile.imwrite(folder / "cell_mask.tif", mask, photometric="minisblack")
        return path

    def victims(self, path: Path) -> tuple[Path, ...]:
        return (path, path.with_name("cell_mask.tif"))


class TestDeflated(TestPlain):
    lies: ClassVar = {name: LIES[name] for name in ("strip beyond the end", "width of 0")}

    def make(self, folder: Path) -> Path:
        path = super().make(folder)
        artist = (315, "s", 0, CANARY, True)
        for part, tags in ((path, [artist]), (path.with_name("cell_mask.tif"), [])):
            pixels = tifffile.imread(part)
            tifffile.imwrite(
                part, pixels, compression="zlib", photometric="minisblack", extratags=tags
            )
        return path


class ImageTests(ReaderTests):
    reader = tiff
    nodes: ClassVar = {"image": "volume"}
    accepts: ClassVar = ("tiff",)


class TestImageJ(ImageTests):
    def make(self, folder: Path) -> Path:
        movie = RNG.integers(0, 255, (4, 3, 2, 12, 16), dtype="u1")
        path = folder / "movie.tif"
        tifffile.imwrite(
            path, movie, imagej=True, resolution=(4.0, 2.0),
            metadata={"axes": "TZCYX", "unit": "um", "spacing": 1.5, "finterval": 0.1},
        )  # fmt: skip
        return path


class TestOmeBig(ImageTests):
    def make(self, folder: Path) -> Path:
        return ome(folder / "stack.ome.tif", bigtiff=True)


def ome(path: Path, **options: Any) -> Path:
    stack = RNG.integers(0, 4000, (2, 6, 12, 16), dtype="u2")
    facts = {
        "axes": "CZYX", "PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.5,
        "PhysicalSizeYUnit": "µm", "PhysicalSizeZ": 0.002, "PhysicalSizeZUnit": "mm",
        "Channel": {"Name": ["DAPI", "GFP"]},
    }  # fmt: skip
    tifffile.imwrite(path, stack, ome=True, metadata=facts, **options)
    return path


def read(path: Path, *others: Path, **declared: Any) -> tuple[xr.DataTree, Raw]:
    raw = Raw(path.parent, (path, *others))
    return tiff.read(raw, Declared(declared)), raw


def stack(path: Path, **options: Any) -> np.ndarray[Any, Any]:
    pixels = RNG.integers(0, 4000, (10, 64, 64), dtype="u2")
    tifffile.imwrite(path, pixels, photometric="minisblack", **options)
    return pixels


# real files


def test_an_unknown_voxel_size_is_said_and_kept_in_pixels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.arange(12, dtype="uint16").reshape(3, 4))
    tree, raw = read(tmp_path / "a.tif", voxel_um="unknown")
    assert tree["image/spacing"].values.tolist() == [1.0, 1.0]
    assert tree["image/spacing"].attrs["units"] == "pixel"
    assert [p.level for p in raw.problems if "unknown" in p.found] == ["warning"]


def test_real_plane_has_the_pixels_that_pillow_sees() -> None:
    path, mask = SAMPLES / "img2d.tif", SAMPLES / "mask2d.tif"
    tree, _ = read(path, mask, voxel_um=[0.5, 0.25])
    with Image.open(path) as image, Image.open(mask) as labels:
        np.testing.assert_array_equal(tree["image/image_adc"].values, np.array(image))
        np.testing.assert_array_equal(tree["instances/label"].values[0], np.array(labels))
    assert tree["image/image_adc"].dims == ("y", "x")
    assert tree["image/image_adc"].dtype == "uint16"
    assert tree["image/image_adc"].attrs["units"] == "count"
    assert tree["image/spacing"].values.tolist() == [0.5, 0.25]
    assert tree["image/spatial"].values.tolist() == ["y", "x"]
    assert tree.attrs == {"modality": "microscopy"}


def test_real_stack_is_page_by_page_what_pillow_sees() -> None:
    path, mask = SAMPLES / "img3d.tif", SAMPLES / "mask3d.tif"
    tree, _ = read(path, mask, axes="z,y,x", voxel_um=[2.0, 0.5, 0.5])
    assert tree["image/image_adc"].shape == (31, 61, 57)
    for file, found in ((path, tree["image/image_adc"]), (mask, tree["instances/label"][0])):
        with Image.open(file) as pages:
            for number in range(31):
                pages.seek(number)
                np.testing.assert_array_equal(found.values[number], np.array(pages))
    table = tree["instances"].to_dataset()
    whole = tifffile.imread(mask)
    assert table["instance_id"].values.tolist() == sorted(set(whole.ravel().tolist()) - {0})
    counts = [int((whole == label).sum()) for label in table["instance_id"].values]
    assert table["voxel_count"].values.tolist() == counts


def test_real_stack_needs_axes_and_size_declared() -> None:
    path = SAMPLES / "img3d.tif"
    with pytest.raises(MissingFactError, match=r"axes=z,y,x\|.* --set .voxel_um=<z>,<y>,<x>.$"):
        read(path)
    with pytest.raises(MissingFactError, match=r"axes=z,y,x\|time,y,x\|channel,y,x\|\.\.\..$"):
        read(path, voxel_um=[1.0, 1.0, 1.0])
    with pytest.raises(MissingFactError, match="voxel_um=<z>,<y>,<x>"):
        read(path, axes="z,y,x")


@pytest.mark.parametrize(
    ("names", "path", "wanted"),
    [
        (["img2d.tif", "img3d.tif", "mask2d.tif", "mask3d.tif"], "img3d.tif", ["mask3d.tif"]),
        (["a.tif", "a_mask.tif", "b.tif"], "a.tif", ["a_mask.tif"]),
        (["a.tif", "a_mask.tif", "b.tif"], "b.tif", []),
        (["images/a.tif", "masks/a.tif", "masks/b.tif"], "images/a.tif", ["masks/a.tif"]),
        (["a.tif", "masks/a.tif"], "a.tif", ["masks/a.tif"]),
        (["a.ome.tif", "a_labels.tif"], "a.ome.tif", ["a_labels.tif"]),
        (["unmasked.tif", "un.tif"], "un.tif", []),
    ],
)
def test_masks_are_paired_by_name(names: list[str], path: str, wanted: list[str]) -> None:
    folder = [Path(name) for name in names]
    assert tiff.members(Path(path), folder) == (Path(path), *[Path(name) for name in wanted])
    for mask in wanted:
        assert tiff.members(Path(mask), folder)[0] == Path(path)


def test_a_mask_alone_is_refused(tmp_path: Path) -> None:
    stack(tmp_path / "a_mask.tif")
    with pytest.raises(UnreadableError, match="without its image"):
        read(tmp_path / "a_mask.tif")


# axes, sizes, channels, clock


def test_imagej_axes_sizes_and_clock(tmp_path: Path) -> None:
    path = TestImageJ().make(tmp_path)
    tree, _ = read(path)
    image = tree["image"].to_dataset()
    assert image["image_adc"].dims == ("time", "channel", "z", "y", "x")
    wanted = tifffile.imread(path).transpose(0, 2, 1, 3, 4)
    np.testing.assert_array_equal(image["image_adc"].values, wanted)
    np.testing.assert_allclose(image["spacing"].values, [1.5, 0.5, 0.25])
    assert (image.attrs["start_s"], image.attrs["n"]) == (0.0, 4)
    assert image.attrs["rate_hz"] == pytest.approx(10.0)


def test_ome_units_and_channel_names(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.ome.tif")
    tree, _ = read(path)
    image = tree["image"].to_dataset()
    assert image["image_adc"].dims == ("channel", "z", "y", "x")
    assert image["channel"].values.tolist() == ["DAPI", "GFP"]
    np.testing.assert_allclose(image["spacing"].values, [2.0, 0.5, 0.25])
    np.testing.assert_array_equal(image["image_adc"].values, tifffile.imread(path))


def test_colour_image_has_named_channels_first(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 255, (16, 12, 3), dtype="u1")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
    tree, _ = read(tmp_path / "a.tif", voxel_um=[1.0, 1.0])
    assert tree["image/channel"].values.tolist() == ["red", "green", "blue"]
    np.testing.assert_array_equal(tree["image/image_adc"].values, pixels.transpose(2, 0, 1))


def test_big_endian_floats_keep_their_type(tmp_path: Path) -> None:
    pixels = RNG.normal(size=(16, 12)).astype("f4")
    tifffile.imwrite(tmp_path / "a.tif", pixels, byteorder=">")
    tree, _ = read(tmp_path / "a.tif", voxel_um=[1.0, 1.0])
    assert tree["image/image"].dtype == np.dtype("f4")
    np.testing.assert_array_equal(tree["image/image"].values, pixels)


def test_tiles_are_read(tmp_path: Path) -> None:
    pixels = stack(tmp_path / "a.tif", tile=(32, 32), compression="zlib")
    tree, _ = read(tmp_path / "a.tif", axes="z,y,x", voxel_um=[1.0, 1.0, 1.0])
    np.testing.assert_array_equal(tree["image/image_adc"].values, pixels)
    part = tree["image/image_adc"][3:5, 10:20, 7]
    np.testing.assert_array_equal(part.values, pixels[3:5, 10:20, 7])


def test_a_movie_without_rate_is_refused(tmp_path: Path) -> None:
    stack(tmp_path / "a.tif")
    with pytest.raises(MissingFactError, match="rate_hz=<Hz>"):
        read(tmp_path / "a.tif", axes="time,y,x", voxel_um=[1.0, 1.0])
    tree, _ = read(tmp_path / "a.tif", axes="time,y,x", voxel_um=[1.0, 1.0], rate_hz=5)
    assert tree["image"].attrs["rate_hz"] == 5.0


@pytest.mark.parametrize("axes", ["z,z,x", "z,y,w", "time,channel,z"])
def test_declared_axes_must_make_sense(axes: str, tmp_path: Path) -> None:
    stack(tmp_path / "a.tif")
    with pytest.raises(InvalidInputError):
        read(tmp_path / "a.tif", axes=axes, voxel_um=[1.0, 1.0, 1.0])


def test_declared_size_over_a_stated_one_is_told(tmp_path: Path) -> None:
    _, raw = read(ome(tmp_path / "a.ome.tif"), voxel_um=[1.0, 1.0, 1.0])
    assert any("as declared" in problem.expected for problem in raw.problems)


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan")])
def test_impossible_size_is_refused(size: float, tmp_path: Path) -> None:
    pixels = np.ones((8, 8), "u1")
    facts = {"axes": "YX", "PhysicalSizeX": size, "PhysicalSizeY": 1.0}
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, ome=True, metadata=facts)
    with pytest.raises(UnreadableError, match="over 0"):
        read(tmp_path / "a.ome.tif")


# masks


def test_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    stack(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "a_mask.tif", np.ones((10, 64, 63), "u1"))
    with pytest.raises(UnreadableError, match="as the image"):
        read(tmp_path / "a.tif", tmp_path / "a_mask.tif", axes="z,y,x", voxel_um=[1.0] * 3)


@pytest.mark.parametrize("values", [np.float32(1.5), np.int16(-1)])
def test_mask_of_no_labels_is_refused(values: Any, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((8, 8), "u2"))
    tifffile.imwrite(tmp_path / "a_mask.tif", np.full((8, 8), values))
    with pytest.raises(UnreadableError, match="labels"):
        read(tmp_path / "a.tif", tmp_path / "a_mask.tif", voxel_um=[1.0, 1.0])


def test_layers_of_overlapping_objects_are_kept(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((8, 8), "u2"))
    layers = np.zeros((2, 8, 8), "u1")
    layers[0, :4], layers[1, 2:6] = 1, 2
    tifffile.imwrite(tmp_path / "a_mask.tif", layers, photometric="minisblack")
    tree, _ = read(tmp_path / "a.tif", tmp_path / "a_mask.tif", voxel_um=[1.0, 1.0])
    table = tree["instances"].to_dataset()
    assert table["instance_id"].values.tolist() == [1, 2]
    assert table["instance_layer"].values.tolist() == [0, 1]
    assert table["voxel_count"].values.tolist() == [32, 32]


# damage and hostility


def test_a_stack_cut_between_pages_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    stack(path, metadata=None, contiguous=False)
    whole = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        ends = [page.dataoffsets[0] + page.nbytes for page in file.pages]
    for end in ends[6:9]:
        path.write_bytes(whole[:end])
        with pytest.raises(UnreadableError):
            read(path, axes="z,y,x", voxel_um=[1.0] * 3)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_chain_ended_early_is_refused(compression: str | None, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    stack(path, compression=compression)
    whole = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        at = file.pages[6].offset
    count = struct.unpack_from("<H", whole, at)[0]
    struct.pack_into("<I", whole, at + 2 + 12 * count, 0)
    path.write_bytes(whole)
    with pytest.raises(UnreadableError, match="by its metadata"):
        read(path, axes="z,y,x", voxel_um=[1.0] * 3)


def test_a_chain_in_a_circle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    stack(path)
    whole = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        first, last = file.pages[0].offset, file.pages[9].offset
    count = struct.unpack_from("<H", whole, last)[0]
    struct.pack_into("<I", whole, last + 2 + 12 * count, first)
    path.write_bytes(whole)
    with pytest.raises(UnreadableError, match="returns"):
        read(path, axes="z,y,x", voxel_um=[1.0] * 3)


def test_a_described_shape_over_the_pixels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    stack(path)
    path.write_bytes(path.read_bytes().replace(b"[10, 64, 64]", b"[11, 64, 64]"))
    with pytest.raises(UnreadableError, match="by its metadata"):
        read(path, axes="z,y,x", voxel_um=[1.0] * 3)


def test_an_imagej_stack_of_one_directory_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = RNG.integers(0, 4000, (10, 64, 64), dtype="u2")
    facts = {"axes": "ZYX", "unit": "um", "spacing": 2.0, "truncate": True}
    options = {"imagej": True, "resolution": (2.0, 2.0), "metadata": facts}
    tifffile.imwrite(path, pixels, **options)
    tree, _ = read(path)
    np.testing.assert_array_equal(tree["image/image_adc"].values, pixels)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(UnreadableError):
        read(path)


def test_imagej_count_over_the_pages_is_refused(tmp_path: Path) -> None:
    path = TestImageJ().make(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"images=24", b"images=99"))
    with pytest.raises(UnreadableError):
        read(path)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((64, 64), "u1"), compression="zlib", rowsperstrip=64)
    whole = path.read_bytes()
    for code, value in ((256, 60000), (257, 60000), (278, 60000)):
        whole = tag(code, value)(whole)
    path.write_bytes(whole)
    with pytest.raises(UnsafeError):
        read(path, voxel_um=[1.0, 1.0])


def test_ome_never_reads_another_file(tmp_path: Path) -> None:
    canary = tmp_path / "canary.ome.tif"
    ome(canary)
    path = tmp_path / "raw" / "a.ome.tif"
    path.parent.mkdir()
    ome(path)
    comment = tifffile.tiffcomment(path)
    for plant in ("../canary.ome.tif", str(canary)):
        named = f'<TiffData><UUID FileName="{plant}">urn:uuid:1</UUID></TiffData><TiffData '
        tifffile.tiffcomment(path, comment.replace("<TiffData ", named, 1).encode())
        with pytest.raises(UnsafeError, match="several files"):
            read(path)


def test_xml_with_entities_is_refused(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.ome.tif")
    comment = tifffile.tiffcomment(path)
    bomb = '<!DOCTYPE x [<!ENTITY a "b">]>'
    tifffile.tiffcomment(path, comment.replace("<OME", bomb + "<OME", 1).encode())
    with pytest.raises(UnsafeError):
        read(path)


def test_a_vendors_tiff_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    scanimage = "SI.LINE_FORMAT_VERSION = 1"
    tifffile.imwrite(path, np.ones((8, 8), "u2"), software=scanimage, metadata=None)
    with pytest.raises(UnknownFormatError, match="scanimage"):
        read(path, voxel_um=[1.0, 1.0])


def test_a_missing_decoder_is_named(tmp_path: Path) -> None:
    with Image.fromarray(np.arange(4096, dtype="u1").reshape(64, 64)) as image:
        stream = io.BytesIO()
        image.save(stream, "TIFF", compression="tiff_lzw")
    (tmp_path / "a.tif").write_bytes(stream.getvalue())
    if importlib.util.find_spec("imagecodecs") is None:
        with pytest.raises(MissingDependencyError, match="imagecodecs"):
            read(tmp_path / "a.tif", voxel_um=[1.0, 1.0])
    else:
        tree, _ = read(tmp_path / "a.tif", voxel_um=[1.0, 1.0])
        assert tree["image/image_adc"].values[0, :3].tolist() == [0, 1, 2]


def test_a_file_changed_after_reading_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    stack(path)
    tree, _ = read(path, axes="z,y,x", voxel_um=[1.0] * 3)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(UnreadableError, match="changed"):
        tree["image/image_adc"].load()
