"""Neuroglancer precomputed volumes, against the arrays that their chunks were made of."""

from __future__ import annotations

import gzip
import io
import json
import struct
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from neurodata.declare import Declared
from neurodata.errors import UnknownFormatError, UnreadableError, UnsafeError
from neurodata.readers import precomputed
from neurodata.readers.precomputed_chunks import segmentation
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests
from tests.readers.test_ome_zarr import edit, swap

SHAPE = (20, 18, 13)
"""(x, y, z), as the format has it; chunks of 8, so that the last ones are smaller."""
OFFSET = (3, 0, 100)
BLOCK = (4, 4, 2)


def pixels(kind: str = "uint8", channels: int = 1) -> np.ndarray[Any, Any]:
    """Return a synthetic image, (x, y, z, channel)."""
    return np.random.default_rng(11).integers(0, 255, (*SHAPE, channels)).astype(kind)


def ids(kind: str = "uint64") -> np.ndarray[Any, Any]:
    """Return synthetic segments, (x, y, z, 1), with ids that no float holds."""
    found = np.zeros((*SHAPE, 1), kind)
    found[2:9, 2:9, 2:9], found[9:15, 4:16, 3:12] = 7, 2**31 + 1
    if kind == "uint64":
        found[15:, 10:, :5], found[0, :4, :7] = 2**53 + 1, 2**64 - 1
    return found


def compress(chunk: np.ndarray[Any, Any]) -> bytes:
    """Encode segments, (x, y, z), block by block as the format's page says, bit by bit."""
    grid = [range(-(-n // b)) for n, b in zip(chunk.shape[::-1], BLOCK[::-1], strict=True)]
    numbers = list(product(*grid))
    words: list[int] = [0] * (2 * len(numbers))
    for at, (z, y, x) in enumerate(numbers):
        inside = zip((x, y, z), BLOCK, strict=True)
        part = chunk[tuple(slice(i * b, (i + 1) * b) for i, b in inside)]
        table = sorted(set(part.ravel().tolist()))
        bits = next(b for b in (0, 1, 2, 4, 8, 16, 32) if 2**b >= len(table))
        packed = 0
        for place in np.ndindex(part.shape):
            where = place[0] + BLOCK[0] * (place[1] + BLOCK[1] * place[2])
            packed |= table.index(int(part[place])) << (where * bits)
        values = len(words)
        count = -(-int(np.prod(BLOCK)) * bits // 32)
        words += [packed >> (32 * n) & 0xFFFFFFFF for n in range(count)]
        words[2 * at : 2 * at + 2] = [len(words) | bits << 24, values]
        for label in table:
            words += [label & 0xFFFFFFFF, label >> 32][: chunk.dtype.itemsize // 4]
    return struct.pack(f"<{len(words) + 1}I", 1, *words)


def jpeg(chunk: np.ndarray[Any, Any]) -> bytes:
    flat = chunk.reshape(chunk.shape[0], -1, chunk.shape[3], order="F").transpose(1, 0, 2)
    stream = io.BytesIO()
    Image.fromarray(flat[..., 0] if flat.shape[2] == 1 else flat).save(stream, "JPEG", quality=90)
    return stream.getvalue()


ENCODERS = {
    "raw": lambda chunk: chunk.tobytes(order="F"),
    "compressed_segmentation": lambda chunk: compress(chunk[..., 0]),
    "jpeg": jpeg,
}


def write(
    base: Path, volume: np.ndarray[Any, Any], kind: str, encoding: str = "raw", packed: bool = False
) -> Path:
    """Write a synthetic volume and return its info file."""
    scale: dict[str, Any] = {
        "key": "8_8_40", "size": list(SHAPE), "resolution": [8, 8, 40],
        "voxel_offset": list(OFFSET), "chunk_sizes": [[8, 8, 8]], "encoding": encoding,
    }  # fmt: skip
    if encoding == "compressed_segmentation":
        scale["compressed_segmentation_block_size"] = list(BLOCK)
    info = {
        "@type": "neuroglancer_multiscale_volume", "type": kind, "data_type": str(volume.dtype),
        "num_channels": volume.shape[3], "scales": [scale],
    }  # fmt: skip
    (base / "8_8_40").mkdir(parents=True)
    (base / "info").write_text(json.dumps(info))
    for corner in product(*(range(0, n, 8) for n in SHAPE)):
        ends = [min(at + 8, n) for at, n in zip(corner, SHAPE, strict=True)]
        spans = zip(corner, ends, OFFSET, strict=True)
        name = "_".join(f"{start + at}-{stop + at}" for start, stop, at in spans)
        chunk = volume[tuple(slice(a, b) for a, b in zip(corner, ends, strict=True))]
        data = ENCODERS[encoding](chunk)
        path = base / "8_8_40" / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(data) if packed else data)
    return base / "info"


class TestRaw(HeaderTests):
    reader = precomputed
    nodes: ClassVar = {"image": "volume"}
    lies: ClassVar = {
        "a longer volume": swap('"size":[20', '"size":[2000'),
        "a huge volume": swap('"size":[20', '"size":[20000000000'),
        "no voxel": swap('"size":[20', '"size":[0'),
        "no resolution": swap('"resolution":[8', '"resolution":[0'),
        "a resolution below 0": swap('"resolution":[8', '"resolution":[-8'),
        "NaN": swap('"resolution":[8', '"resolution":[NaN'),
        "a path upwards": swap('"key":"8_8_40"', '"key":"../8_8_40"'),
        "huge chunks": swap('"chunk_sizes":[[8,8,8', '"chunk_sizes":[[80000,80000,8'),
        "other chunks": swap('"chunk_sizes":[[8', '"chunk_sizes":[[4'),
        "a wider type": swap('"uint8"', '"uint16"'),
        "an unknown encoding": swap('"raw"', '"zfpc"'),
        "more channels": swap('"num_channels":1', '"num_channels":2'),
    }

    def make(self, folder: Path) -> Path:
        return write(folder / "em", pixels(), "image")

    def victims(self, path: Path) -> tuple[Path, ...]:
        return (path, path.parent / "8_8_40/3-11_0-8_100-108")


class TestSegmented(HeaderTests):
    reader = precomputed
    nodes: ClassVar = {"image": "volume", "labels_seg": "instances"}
    lies: ClassVar = {"a longer volume": swap('"size":[20', '"size":[2000')}

    def make(self, folder: Path) -> Path:
        write(folder / "seg", ids(), "segmentation", "compressed_segmentation")
        return write(folder / "em", pixels(), "image", packed=True)

    def raw(self, path: Path) -> Raw:
        folder = sorted(p for p in path.parent.parent.rglob("*") if p.is_file())
        return Raw(path.parent.parent, precomputed.members(path, folder))

    def victims(self, path: Path) -> tuple[Path, ...]:
        return (path, path.parents[1] / "seg/info", path.parents[1] / "seg/8_8_40/3-11_0-8_100-108")


class TestJpeg(HeaderTests):
    reader = precomputed
    nodes: ClassVar = {"image": "volume"}
    lies: ClassVar = {"a longer volume": swap('"size":[20', '"size":[2000')}

    def make(self, folder: Path) -> Path:
        return write(folder / "em", pixels(), "image", "jpeg")

    def victims(self, path: Path) -> tuple[Path, ...]:
        return (path, path.parent / "8_8_40/3-11_0-8_100-108")


def read(main: Path, **declared: Any) -> tuple[xr.DataTree, Raw]:
    root = main.parent.parent
    folder = sorted(p for p in root.rglob("*") if p.is_file())
    raw, facts = Raw(root, precomputed.members(main, folder)), Declared()
    facts.facts.update(declared)
    return precomputed.read(raw, facts), raw


# values


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_raw_chunks_make_the_volume(kind: str, packed: bool, tmp_path: Path) -> None:
    main = write(tmp_path / "em", pixels(kind, 2), "image", packed=packed)
    tree, raw = read(main)
    node = tree["image"].to_dataset()
    found = node["image" if kind == "float32" else "image_adc"]
    assert found.dims == ("channel", "z", "y", "x")
    assert found.dtype == np.dtype(kind)
    np.testing.assert_array_equal(found.values, pixels(kind, 2).transpose(3, 2, 1, 0))
    np.testing.assert_allclose(node["spacing"].values, [0.04, 0.008, 0.008])
    assert node["spacing"].attrs == {"units": "um"}
    assert any("voxel_offset" in p.found for p in raw.problems)


@pytest.mark.parametrize("encoding", ["raw", "compressed_segmentation"])
@pytest.mark.parametrize("kind", ["uint32", "uint64"])
def test_ids_of_segments_stay_exact(kind: str, encoding: str, tmp_path: Path) -> None:
    main = write(tmp_path / "em", pixels(), "image")
    write(tmp_path / "seg", ids(kind), "segmentation", encoding)
    table = read(main)[0]["labels_seg"].to_dataset()
    wanted = ids(kind)[..., 0].transpose(2, 1, 0)
    np.testing.assert_array_equal(table["label"].values[0], wanted)
    assert table["instance_id"].values.tolist() == sorted(set(wanted.ravel().tolist()) - {0})
    assert table["label"].dtype == np.dtype(kind)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_chunks_have_pillows_pixels(channels: int, tmp_path: Path) -> None:
    main = write(tmp_path / "em", pixels(channels=channels), "image", "jpeg")
    found = read(main)[0]["image/image_adc"].values
    path = main.parent / "8_8_40/11-19_8-16_108-113"
    with Image.open(path) as image:
        wanted = np.asarray(image).reshape(5, 8, 8, channels).transpose(3, 0, 1, 2)
    np.testing.assert_array_equal(found[:, 8:13, 8:16, 8:16], wanted)


def test_a_block_as_the_formats_page_lays_it_out() -> None:
    """Two ids in one block of 2 x 2 x 2: one bit each, 01100101 with x fastest."""
    words = [1, 3 | 1 << 24, 2, 0b10100110, 5, 0, 0xFFFFFFFF, 0xFFFFFFFF]
    data = struct.pack("<8I", *words)
    found = segmentation(data, (1, 2, 2, 2), (2, 2, 2), np.dtype("uint64"))
    assert (found.ravel() == 2**64 - 1).astype(int).tolist() == [0, 1, 1, 0, 0, 1, 0, 1]
    assert set(found.ravel().tolist()) == {5, 2**64 - 1}


# missing chunks


def test_missing_chunks_are_counted_named_and_never_zeros(tmp_path: Path) -> None:
    main = write(tmp_path / "em", pixels(), "image")
    for name in ("3-11_8-16_100-108", "19-23_16-18_108-113"):
        (main.parent / "8_8_40" / name).unlink()
    found = r"2 missing chunk\(s\): 8_8_40/3-11_8-16_100-108, 8_8_40/19-23_16-18_108-113;"
    with pytest.raises(UnreadableError, match=found):
        read(main)
    tree, _ = read(main, missing_chunks="fill")
    wanted = pixels()
    wanted[:8, 8:16, :8] = wanted[16:, 16:, 8:] = 0
    np.testing.assert_array_equal(tree["image/image_adc"].values, wanted.transpose(3, 2, 1, 0))


# which folders belong together


def test_a_segmentation_belongs_to_the_one_image_beside_it(tmp_path: Path) -> None:
    image = write(tmp_path / "em", pixels(), "image")
    seg = write(tmp_path / "seg", ids(), "segmentation")
    folder = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    for info in (image, seg):
        files = precomputed.members(info, folder)
        assert files[0] == image
        assert set(files) == set(folder)
    write(tmp_path / "em2", pixels(), "image")
    folder = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    assert precomputed.members(seg, folder)[0] == seg
    assert seg not in precomputed.members(image, folder)
    with pytest.raises(UnreadableError, match="without its image"):
        read(seg)


def test_a_segmentation_of_another_grid_is_left_out(tmp_path: Path) -> None:
    main = write(tmp_path / "em", pixels(), "image")
    seg = write(tmp_path / "seg", ids(), "segmentation")
    edit(seg, lambda found: found["scales"][0].update(resolution=[16, 16, 40]))
    tree, raw = read(main)
    assert set(tree.children) == {"image"}
    assert any("another grid" in p.found for p in raw.problems)


# what is refused


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"sharding": {"@type": "neuroglancer_uint64_sharded_v1"}}, UnknownFormatError),
        ({"encoding": "png"}, UnknownFormatError),
        ({"encoding": "compressed_segmentation"}, UnreadableError),
        ({"key": "/etc"}, UnsafeError),
        ({"key": 5}, UnsafeError),
        ({"key": "8_8_8"}, UnreadableError),
        ({"voxel_offset": [0, 0.5, 0]}, UnreadableError),
        ({"voxel_offset": [4, 0, 100]}, UnreadableError),
        ({"chunk_sizes": []}, UnreadableError),
    ],
)
def test_other_scales_are_refused(
    change: dict[str, Any], kind: type[Exception], tmp_path: Path
) -> None:
    main = write(tmp_path / "em", pixels(), "image")
    edit(main, lambda found: found["scales"][0].update(change))
    with pytest.raises(kind):
        read(main)


def test_blocks_that_point_elsewhere_are_refused() -> None:
    data = compress(ids()[:8, :8, :8, 0])
    random = np.random.default_rng(4)
    for _ in range(500):
        damaged = bytearray(data)
        damaged[random.integers(len(data))] ^= 1 << int(random.integers(8))
        try:
            segmentation(bytes(damaged), (1, 8, 8, 8), (2, 4, 4), np.dtype("uint64"))
        except ValueError:
            continue
    for count in range(0, len(data), 97):
        with pytest.raises(ValueError, match="block"):
            segmentation(data[:count], (1, 8, 8, 8), (2, 4, 4), np.dtype("uint64"))
