"""ScanImage's TIFF files: synthetic pages under headers as the program writes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tifffile
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import (
    MissingFactError,
    NeurodataError,
    UnknownFormatError,
    UnreadableError,
)
from neurodata.readers import movie, tiff
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests

CANARY = "Zdenka Canary"
HEIGHT, WIDTH = 6, 8
RATE_HZ = 30.25
PLAIN: dict[str, Any] = {
    "LINE_FORMAT_VERSION": 1, "VERSION_MAJOR": 2020, "hChannels.channelSave": "[1;2]",
    "hChannels.channelName": "{'Green' 'Red' 'Channel 3' 'Channel 4'}",
    "hRoiManager.scanFrameRate": RATE_HZ, "hRoiManager.scanVolumeRate": RATE_HZ,
    "hRoiManager.pixelsPerLine": WIDTH, "hRoiManager.linesPerFrame": HEIGHT,
    "hRoiManager.mroiEnable": 0, "hRoiManager.scanZoomFactor": 2,
    "hRoiManager.imagingFovDeg": "[-4 -3;4 -3;4 3;-4 3]",
    "hRoiManager.imagingFovUm": "[-60 -45;60 -45;60 45;-60 45]", "objectiveResolution": 15,
    "hScan2D.logAverageFactor": 1, "hFastZ.enable": "false", "hStackManager.enable": "false",
    "hStackManager.framesPerSlice": "Inf", "hStackManager.numSlices": 1,
    "hUserFunctions.userFunctionsCfg": f"'{CANARY}'", "hWSConnector.communicationTimeout": 5,
}  # fmt: skip
VOLUMES = {
    "hFastZ.enable": "true", "hStackManager.enable": "true", "hStackManager.numSlices": 3,
    "hStackManager.framesPerSlice": 1, "hStackManager.stackZStepSize": -12.5,
    "hStackManager.zs": "[0 12.5 25]", "hRoiManager.scanVolumeRate": RATE_HZ / 3,
    "hFastZ.numDiscardFlybackFrames": 0,
}  # fmt: skip
STACK = {**VOLUMES, "hFastZ.enable": "false", "hStackManager.framesPerSlice": 4}


def pages(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(-99, 4000, (count, HEIGHT, WIDTH)).astype("i2")


def write(
    folder: Path, content: np.ndarray, changes: dict[str, Any], channels: int = 2,
    frames: Sequence[int] | None = None, rate_hz: float = RATE_HZ, big: bool = True,
) -> Path:  # fmt: skip
    """Write pages, each with the numbers of its frame, from 1 on unless they are given."""
    settings = {**PLAIN, **changes}
    text = "\n".join(f"SI.{key} = {value}" for key, value in settings.items() if value is not None)
    path = folder / "synthetic.tif"
    artist = json.dumps({"RoiGroups": {"name": CANARY}})
    frames = frames or [n // channels + 1 for n in range(len(content))]
    with tifffile.TiffWriter(path, bigtiff=big) as file:
        for page, frame in zip(content, frames, strict=True):
            varying = (
                f"frameNumbers = {frame}\nframeTimestamps_sec = {(frame - 1) / rate_hz:.9f}\n"
                f"epoch = [2020 1 1 12 0 0]\nI2CData = {{{{0, '{CANARY}'}}}}"
            )
            file.write(
                page, software=text, description=varying, metadata=None, contiguous=False,
                photometric="minisblack", extratags=[(315, "s", 0, artist, True)],
            )  # fmt: skip
    return path


def read(path: Path, **facts: Any) -> tuple[xr.Dataset, Raw]:
    raw = Raw(path.parent, (path,))
    tree = tiff.read(raw, Declared(facts))
    return tree["image"].to_dataset(), raw


def swap(old: str, new: str) -> Callable[[bytes], bytes]:
    assert len(old) == len(new)
    return lambda whole: whole.replace(old.encode(), new.encode())


class TestFrames(HeaderTests, PersonalTests):
    reader = tiff
    nodes: ClassVar = {"image": "volume"}
    accepts = ("tiff",)
    canary = CANARY
    lies: ClassVar = {
        "a channel twice": swap("channelSave = [1;2]", "channelSave = [1;1]"),
        "channel 0": swap("channelSave = [1;2]", "channelSave = [0;2]"),
        "no channel": swap("channelSave = [1;2]", "channelSave = []   "),
        "half a channel": swap("channelSave = [1;2]", "channelSave = [1.5]"),
        "a rate below 0": swap("scanFrameRate = 30.25", "scanFrameRate = -0.25"),
        "a rate of 0": swap("scanFrameRate = 30.25", "scanFrameRate = 00.00"),
        "a rate in words": swap("scanFrameRate = 30.25", "scanFrameRate = fast!"),
        "no average": swap("logAverageFactor = 1", "logAverageFactor = 0"),
        "a broken objective": swap("objectiveResolution = 15", "objectiveResolution = xx"),
        "two rates": swap("hWSConnector.communicationTimeout = 5",
                          "hRoiManager.scanFrameRate = 99.999999"),
    }  # fmt: skip

    def make(self, folder: Path) -> Path:
        return write(folder, pages(20), {})


class TestVolumes(HeaderTests):
    reader = tiff
    nodes: ClassVar = {"image": "volume"}
    accepts = ("tiff",)
    lies: ClassVar = {
        "more slices than pages": swap("numSlices = 3", "numSlices = 9"),
        "no slices": swap("numSlices = 3", "numSlices = 0"),
        "an average of volumes": swap("logAverageFactor = 1", "logAverageFactor = 2"),
        "flying back for ever": swap("numDiscardFlybackFrames = 0", "numDiscardFlybackFrames = x"),
    }

    def make(self, folder: Path) -> Path:
        return write(folder, pages(12), VOLUMES)


def test_frames_of_two_channels(tmp_path: Path) -> None:
    content = pages(20)
    node, raw = read(write(tmp_path, content, {}))
    assert node["image_adc"].dims == ("time", "channel", "y", "x")
    np.testing.assert_array_equal(node["image_adc"].values, content.reshape(10, 2, HEIGHT, WIDTH))
    assert node["channel"].values.tolist() == ["Green", "Red"]
    assert node.attrs["rate_hz"] == RATE_HZ
    np.testing.assert_allclose(node["spacing"].values, [90 / HEIGHT, 120 / WIDTH])
    assert node["spacing"].attrs["units"] == "um"
    assert not [p for p in raw.problems if p.level != "note"]


def test_tifffile_agrees_on_frames(tmp_path: Path) -> None:
    path = write(tmp_path, pages(20), {})
    node, _ = read(path)
    with tifffile.TiffFile(path) as file:
        assert file.is_scanimage
        other = file.series[0]
        assert other.axes == "IYX"
        pixels = node["image_adc"].values.reshape(20, HEIGHT, WIDTH)
        np.testing.assert_array_equal(pixels, other.asarray())
        settings = tifffile.tifffile.matlabstr2py(str(file.pages.first.software))
        assert np.ravel(settings["SI.hChannels.channelSave"]).tolist() == [1, 2]
        assert settings["SI.hRoiManager.scanFrameRate"] == node.attrs["rate_hz"]
        fov_um = np.array(settings["SI.hRoiManager.imagingFovUm"])
        np.testing.assert_allclose(
            node["spacing"].values[::-1] * [WIDTH, HEIGHT], np.ptp(fov_um, axis=0)
        )


def test_averaged_frames_of_the_second_channel(tmp_path: Path) -> None:
    changes = {"hScan2D.logAverageFactor": 5, "hChannels.channelSave": 2}
    content = pages(7)
    path = write(tmp_path, content, changes, 1, rate_hz=RATE_HZ / 5)
    node, raw = read(path)
    assert node["image_adc"].dims == ("time", "y", "x")
    np.testing.assert_array_equal(node["image_adc"].values, content)
    assert node.attrs["rate_hz"] == RATE_HZ / 5
    assert not [p for p in raw.problems if p.level == "warning"]


def test_volumes_in_the_order_of_the_focus(tmp_path: Path) -> None:
    content = pages(4 * 3 * 2)
    node, raw = read(write(tmp_path, content, VOLUMES))
    assert node["image_adc"].dims == ("time", "channel", "z", "y", "x")
    expected = content.reshape(4, 3, 2, HEIGHT, WIDTH).transpose(0, 2, 1, 3, 4)
    np.testing.assert_array_equal(node["image_adc"].values, expected)
    assert node.attrs["rate_hz"] == pytest.approx(RATE_HZ / 3)
    assert node["spacing"].values[0] == 12.5
    assert not [p for p in raw.problems if p.level == "warning"]


@pytest.mark.parametrize("stored", [True, False])
def test_frames_of_flying_back(stored: bool, tmp_path: Path) -> None:
    changes = {
        **VOLUMES, "hFastZ.numDiscardFlybackFrames": 2, "hChannels.channelSave": 1,
        "hRoiManager.scanVolumeRate": RATE_HZ / 5,
    }  # fmt: skip
    content = pages(20 if stored else 12)
    frames = [n + 1 if stored else n // 3 * 5 + n % 3 + 1 for n in range(len(content))]
    node, raw = read(write(tmp_path, content, changes, 1, frames))
    kept = content.reshape(4, -1, HEIGHT, WIDTH)[:, :3]
    np.testing.assert_array_equal(node["image_adc"].values, kept)
    assert node.attrs["rate_hz"] == pytest.approx(RATE_HZ / 5)
    assert not [p for p in raw.problems if p.level == "warning"]
    path = write(tmp_path, content, changes, 1, [7] * len(content))
    with pytest.raises(UnknownFormatError, match="flying back"):
        read(path)


def test_a_stack_of_frames_at_each_slice(tmp_path: Path) -> None:
    content = pages(3 * 4 * 2)
    node, raw = read(write(tmp_path, content, STACK))
    expected = content.reshape(3, 4, 2, HEIGHT, WIDTH).transpose(1, 2, 0, 3, 4)
    np.testing.assert_array_equal(node["image_adc"].values, expected)
    assert node.attrs["rate_hz"] == RATE_HZ
    assert any("one after the other" in p.found for p in raw.problems)
    node, _ = read(write(tmp_path, pages(6), {**STACK, "hStackManager.framesPerSlice": 1}))
    assert node["image_adc"].dims == ("channel", "z", "y", "x")
    with pytest.raises(UnknownFormatError, match="one stack"):
        read(write(tmp_path, pages(12), {**STACK, "hStackManager.framesPerSlice": 1}))


def test_what_was_stopped_ends_with_its_last_whole_volume(tmp_path: Path) -> None:
    content = pages(21)
    node, raw = read(write(tmp_path, content, VOLUMES))
    assert node.sizes["time"] == 3
    assert any("3 pages after the last whole volume" in p.found for p in raw.problems)
    node, raw = read(write(tmp_path, content, {}))
    assert node.sizes["time"] == 10
    assert any("1 pages after" in p.found for p in raw.problems)
    with pytest.raises(UnreadableError, match="a volume"):
        read(write(tmp_path, content[:5], VOLUMES))


@pytest.mark.parametrize("changes", [
    {"objectiveResolution": None}, {"objectiveResolution": 20}, {"hRoiManager.mroiEnable": 1},
    {"hRoiManager.pixelsPerLine": 512}, {"hRoiManager.imagingFovDeg": "[]"},
    {"hRoiManager.imagingFovUm": "[0 0;60 60;60 45;0 45]"},
])  # fmt: skip
def test_sizes_are_stated_beyond_doubt_or_declared(changes: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path, pages(20), changes)
    with pytest.raises(MissingFactError, match="voxel_um"):
        read(path)
    node, _ = read(path, voxel_um=[1, 0.5])
    assert node["spacing"].values.tolist() == [1.0, 0.5]


def test_rates_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    _, raw = read(write(tmp_path, pages(20), {}, rate_hz=15.0))
    assert any("15 Hz by time stamps" in p.found for p in raw.problems)
    slow = {**VOLUMES, "hRoiManager.scanVolumeRate": 3.0}
    _, raw = read(write(tmp_path, pages(18), slow))
    assert any("volumes a second" in p.found for p in raw.problems)
    path = write(tmp_path, pages(20), {"hRoiManager.scanFrameRate": None})
    with pytest.raises(MissingFactError, match="rate_hz"):
        read(path)


def test_traces_need_no_declared_rate(tmp_path: Path) -> None:
    content = pages(9)
    path = write(tmp_path, content, {"hChannels.channelSave": 1}, 1)
    mask = np.zeros((1, HEIGHT, WIDTH), "f4")
    mask[0, 2:4, 3:5] = 1
    np.save(tmp_path / "synthetic_rois.npy", mask)
    raw = Raw(tmp_path, movie.members(path, sorted(tmp_path.iterdir())))
    node = movie.read(raw, Declared({"masks": "synthetic_rois.npy"}))["traces"]
    assert node.attrs["rate_hz"] == RATE_HZ
    np.testing.assert_allclose(
        np.asarray(node["signal"])[:, 0], content[:, 2:4, 3:5].mean((1, 2)), rtol=1e-6
    )


def test_older_headers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.tif"
    old = "state.configPath='C:/'\rstate.acq.frameRate=30"
    tifffile.imwrite(path, pages(4), description=old, metadata=None, photometric="minisblack")
    with pytest.raises(UnknownFormatError, match="scanimage"):
        read(path)


def test_flips_give_no_foreign_exception(tmp_path: Path) -> None:
    path = write(tmp_path, pages(6), VOLUMES, 2)
    whole, random = path.read_bytes(), np.random.default_rng(6)
    header = whole.index(b"SI.LINE")
    for count in range(500):
        damaged = bytearray(whole)
        place = header + random.integers(1200) if count % 2 else random.integers(len(whole))
        damaged[int(place)] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            read(path)
        except NeurodataError:
            continue


def test_files_that_are_no_bigtiff_are_refused(tmp_path: Path) -> None:
    with pytest.raises((UnknownFormatError, UnreadableError)):
        read(write(tmp_path, pages(6), {}, big=False))
