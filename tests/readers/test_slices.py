"""Numbered PNG, JPEG and TIFF slices as one image, against Pillow and tifffile."""

from __future__ import annotations

import shutil
import struct
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tifffile
import xarray as xr
from PIL import Image, PngImagePlugin

from neurodata.declare import Declared, parse
from neurodata.errors import (
    InvalidInputError,
    MissingFactError,
    UnknownFormatError,
    UnreadableError,
    UnsafeError,
)
from neurodata.ingestion import ingest
from neurodata.readers import slices
from neurodata.readers.slice_pixels import stored_slices
from neurodata.safe import Raw
from neurodata.scope import flags
from tests.readers.conformance import PersonalTests, ReaderTests

SIZES: dict[str, Any] = {"axes": "z,y,x", "voxel_um": [2.0, 0.5, 0.5]}
SAMPLES = Path(__file__).parents[2] / "samples" / "nuclei"
CANARY = "Zdenka Canary"


def planes(kind: str = "u1", *more: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(9).integers(0, 250, (11, 24, 20, *more)).astype(kind)


def write(folder: Path, stack: np.ndarray[Any, Any], suffix: str, first: int = 1) -> Path:
    """Write synthetic slices, numbered without leading zeros, and return the first."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", CANARY)
    options: dict[str, Any] = {"pnginfo": info} if suffix == "png" else {"quality": 95}
    for number, plane in enumerate(stack, first):
        path = folder / f"synthetic_z{number}.{suffix}"
        if suffix == "tif":
            tifffile.imwrite(path, plane)
        else:
            Image.fromarray(plane).save(path, **options)
    return folder / f"synthetic_z{first}.{suffix}"


class SliceTests(ReaderTests):
    reader = slices
    nodes: ClassVar = {"image": "volume"}
    declare: ClassVar = SIZES
    accepts: ClassVar = ("png", "tiff")
    suffix: ClassVar[str]

    def make(self, folder: Path) -> Path:
        return write(folder, planes(), self.suffix)

    def victims(self, path: Path) -> tuple[Path, ...]:
        return (path, path.with_name(path.name.replace("z1", "z10")))


class TestPng(SliceTests, PersonalTests):
    suffix: ClassVar = "png"
    canary: ClassVar = CANARY


class TestJpeg(SliceTests):
    suffix: ClassVar = "jpg"


class TestTiff(SliceTests):
    suffix: ClassVar = "tif"


def read(main: Path, **declared: Any) -> tuple[xr.DataTree, Raw]:
    folder = sorted(p for p in main.parent.iterdir() if p.is_file())
    raw = Raw(main.parent, slices.members(main, folder))
    return slices.read(raw, Declared(declared)), raw


# values


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_slices_follow_their_numbers(suffix: str, kind: str, tmp_path: Path) -> None:
    tree, _ = read(write(tmp_path, planes(kind) * (257 if kind == "u2" else 1), suffix), **SIZES)
    image = tree["image/image_adc"]
    assert (image.dims, image.dtype) == (("z", "y", "x"), np.dtype(kind))
    for number in range(11):
        path = tmp_path / f"synthetic_z{number + 1}.{suffix}"
        seen = tifffile.imread(path) if suffix == "tif" else np.asarray(Image.open(path))
        np.testing.assert_array_equal(image.values[number], seen)
    part = image[9:2:-3, 4:8, 7]
    np.testing.assert_array_equal(part.values, image.values[9:2:-3, 4:8, 7])
    assert tree["image/spacing"].values.tolist() == [2.0, 0.5, 0.5]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_colour_becomes_channels(suffix: str, tmp_path: Path) -> None:
    main = write(tmp_path, planes("u1", 3), suffix)
    tree, _ = read(main, **SIZES)
    image = tree["image/image_adc"]
    assert image.dims == ("channel", "z", "y", "x")
    np.testing.assert_array_equal(image.values, planes("u1", 3).transpose(3, 0, 1, 2))
    assert tree["image/channel"].values.tolist() == ["red", "green", "blue"]


def test_frames_make_a_movie(tmp_path: Path) -> None:
    main = write(tmp_path, planes(), "png")
    with pytest.raises(MissingFactError, match="rate_hz"):
        read(main, axes="time,y,x", voxel_um=[0.5, 0.5])
    tree, _ = read(main, axes="time,y,x", voxel_um=[0.5, 0.5], rate_hz=20)
    assert tree["image/image_adc"].dims == ("time", "y", "x")
    assert (tree["image"].attrs["rate_hz"], tree["image"].attrs["n"]) == (20.0, 11)


def test_axes_and_size_are_declared(tmp_path: Path) -> None:
    main = write(tmp_path, planes(), "png")
    with pytest.raises(MissingFactError, match=r"axes=z,y,x\|.* --set .voxel_um=<z>,<y>,<x>.$"):
        read(main)
    with pytest.raises(InvalidInputError):
        read(main, axes="y,z,x", voxel_um=[1.0, 1.0, 1.0])


def test_one_picture_is_an_image_once_it_is_named_and_declared(tmp_path: Path) -> None:
    main = write(tmp_path, planes("u1", 3)[:1], "png")
    told = ingest(tmp_path, store=tmp_path.with_name("s"))
    (aside,) = [p for p in told.problems if p.found == "one picture"]
    first = flags(aside.hint)
    assert len(told) == 0
    asked = ingest(tmp_path, store=tmp_path.with_name("s"), declare=parse(first)).settings
    assert asked == ("axes=y,x|x,y", "voxel_um=<y>,<x>")
    for size in ("voxel_um=0.5,0.25", "voxel_um=unknown"):
        facts = parse([*first, "axes=y,x", size])
        (entry,) = ingest(tmp_path, store=tmp_path.with_name("s"), declare=facts)
        assert entry.status == "new", entry.problems
    node = read(main, axes="y,x", voxel_um=[0.5, 0.25])[0]["image"]
    assert node["image_adc"].dims == ("channel", "y", "x")
    np.testing.assert_array_equal(node["image_adc"], np.moveaxis(planes("u1", 3)[0], -1, 0))
    assert node["spacing"].values.tolist() == [0.5, 0.25]


@pytest.mark.acceptance
def test_real_photographs_have_pillows_pixels(realdata: Path, tmp_path: Path) -> None:
    photo = realdata / "fixtures/microscopy/stardist/histo.jpg"
    for number in (7, 8):
        shutil.copy(photo, tmp_path / f"histo{number}.jpg")
    tree, raw = read(tmp_path / "histo7.jpg", **SIZES)
    with Image.open(photo) as image:
        wanted = np.asarray(image)
    for number in range(2):
        found = tree["image/image_adc"][:, number].transpose("y", "x", "channel").values
        np.testing.assert_array_equal(found, wanted)
    assert any("JPEG" in p.found for p in raw.problems)


def test_pages_of_a_real_stack_as_files_are_that_stack(tmp_path: Path) -> None:
    stack = tifffile.imread(SAMPLES / "img3d.tif")
    for number, plane in enumerate(stack):
        tifffile.imwrite(tmp_path / f"plane{number}.tif", plane, compression="zlib")
    tree, _ = read(tmp_path / "plane0.tif", **SIZES)
    np.testing.assert_array_equal(tree["image/image_adc"].values, stack)


# numbering


def test_files_of_another_pattern_stay_apart(tmp_path: Path) -> None:
    main = write(tmp_path, planes(), "png")
    write(tmp_path, planes(), "tif")
    (tmp_path / "synthetic_map1.png").write_bytes(main.read_bytes())
    folder = tuple(sorted(tmp_path.iterdir()))
    wanted = tuple(tmp_path / f"synthetic_z{n}.png" for n in range(1, 12))
    for path in wanted:
        assert slices.members(path, folder) == wanted


@pytest.mark.parametrize(
    ("remove", "match"), [([5], r"1 number\(s\) missing between 1 and 11: 5"), ([2, 3, 8], "3 num")]
)
def test_a_gap_is_refused(remove: list[int], match: str, tmp_path: Path) -> None:
    main = write(tmp_path, planes(), "png")
    for number in remove:
        (tmp_path / f"synthetic_z{number}.png").unlink()
    with pytest.raises(UnreadableError, match=match):
        read(main, **SIZES)


def test_a_number_twice_is_refused(tmp_path: Path) -> None:
    main = write(tmp_path, planes(), "png")
    shutil.copy(main, tmp_path / "synthetic_z01.png")
    with pytest.raises(UnreadableError, match="the number 1 twice"):
        read(main, **SIZES)


def test_two_numbers_that_vary_are_refused(tmp_path: Path) -> None:
    main = write(tmp_path, planes(), "png")
    for channel in range(2):
        for z in range(3):
            shutil.copy(main, tmp_path / f"c{channel}_z{z}.png")
    with pytest.raises(UnreadableError, match="differ in 2 numbers"):
        read(tmp_path / "c0_z0.png", **SIZES)


def test_one_image_is_no_stack(tmp_path: Path) -> None:
    main = write(tmp_path, planes()[:1], "png")
    with pytest.raises(UnreadableError, match="one image"):
        read(main, **SIZES)


# slices unlike each other, and kinds that would be converted


@pytest.mark.parametrize("other", [planes()[0, :20], planes("u2")[0], planes("u1", 3)[0]])
def test_an_unlike_slice_is_refused(other: np.ndarray[Any, Any], tmp_path: Path) -> None:
    main = write(tmp_path, planes(), "png")
    Image.fromarray(other).save(tmp_path / "synthetic_z4.png")
    with pytest.raises(UnreadableError, match=r"as synthetic_z1\.png"):
        read(main, **SIZES)


@pytest.mark.parametrize(
    ("mode", "match"),
    [("P", "palette"), ("LA", "transparency"), ("RGBA", "transparency"), ("1", "1 bits")],
)
def test_palettes_alpha_and_bits_are_refused(mode: str, match: str, tmp_path: Path) -> None:
    main = write(tmp_path, planes(), "png")
    for number in range(1, 12):
        path = tmp_path / f"synthetic_z{number}.png"
        with Image.open(path) as image:
            image.convert(mode).save(path)
    with pytest.raises(UnknownFormatError, match=match):
        read(main, **SIZES)


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return slices.PNG + b"".join(parts)


def header(depth: int, colour: int, width: int = 4, height: int = 3) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)


@pytest.mark.parametrize(
    ("chunks", "match"),
    [
        ([header(16, 2)], "16 bits of colour"),
        ([header(4, 0)], "4 bits of grey"),
        ([header(8, 0), (b"tRNS", b"\0\0")], "transparency"),
        ([header(8, 0), (b"acTL", bytes(8))], "animation"),
    ],
)
def test_what_a_decoder_would_convert_is_refused(
    chunks: list[tuple[bytes, bytes]], match: str, tmp_path: Path
) -> None:
    rest = [(b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    for number in range(2):
        (tmp_path / f"z{number}.png").write_bytes(png(*chunks, *rest))
    with pytest.raises(UnknownFormatError, match=match):
        read(tmp_path / "z0.png", **SIZES)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    rest = [(b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    for number in range(2):
        (tmp_path / f"z{number}.png").write_bytes(png(header(8, 0, 10**6, 10**6), *rest))
    with pytest.raises(UnsafeError):
        read(tmp_path / "z0.png", **SIZES)


def test_a_turned_photograph_is_refused(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(2):
        Image.fromarray(planes()[number]).save(tmp_path / f"z{number}.jpg", exif=exif)
    with pytest.raises(UnknownFormatError, match="turned"):
        read(tmp_path / "z0.jpg", **SIZES)


def test_a_flip_in_a_png_never_gives_other_pixels(tmp_path: Path) -> None:
    main = write(tmp_path, planes()[:2], "png")
    files = (main, main.with_name("synthetic_z2.png"))
    whole, random = main.read_bytes(), np.random.default_rng(3)
    for _ in range(500):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] ^= 1 << int(random.integers(8))
        main.write_bytes(damaged)
        try:
            found = stored_slices(Raw(tmp_path, files))[:]
        except (UnreadableError, UnknownFormatError, UnsafeError):
            continue
        np.testing.assert_array_equal(found, planes()[:2])


def test_a_slice_changed_after_reading_is_noticed(tmp_path: Path) -> None:
    main = write(tmp_path, planes(), "png")
    tree, _ = read(main, **SIZES)
    main.write_bytes(main.with_name("synthetic_z2.png").read_bytes() + b"\0")
    with pytest.raises(UnreadableError, match="changed"):
        tree["image/image_adc"].load()
