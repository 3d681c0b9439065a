"""DICOM series: sorting, geometry, clocks, missing and foreign files, mosaics."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import xarray as xr
from nibabel.nicom import csareader, dicomwrappers
from nibabel.orientations import axcodes2ornt, inv_ornt_aff

from neurodata.declare import Declared
from neurodata.errors import (
    InvalidInputError,
    MissingFactError,
    RefusedError,
    UnknownFormatError,
    UnreadableError,
)
from neurodata.readers import dicom, dicom_series
from neurodata.readers.dicom_vendor import csa_numbers, ge_slice_times_s
from neurodata.recognise import recognise
from neurodata.safe import Raw
from neurodata.sources import scan
from tests.readers import synthetic_dicom as synthetic
from tests.readers.synthetic_dicom import STEP_MM, image, series

Images = list[pydicom.Dataset]


def open_raw(folder: Path) -> Raw:
    files = tuple(sorted(p for p in folder.rglob("*") if p.is_file()))
    groups = [dicom.members(path, files) for path in files]
    return Raw(folder, max(groups, key=len))


def read(folder: Path, images: Images, **facts: Any) -> tuple[xr.DataTree, Raw]:
    for old in folder.iterdir():
        old.unlink()
    synthetic.write(folder, images)
    raw = open_raw(folder)
    return dicom.read(raw, Declared(facts)), raw


# order


def expected_volumes(times: int, slices: int) -> np.ndarray:
    numbers = 1 + np.arange(times * slices)
    return np.stack([synthetic.values(n) for n in numbers]).reshape(times, slices, 3, 4)


@pytest.mark.parametrize("seed", range(3))
def test_names_of_files_do_not_matter(seed: int, tmp_path: Path) -> None:
    images = series(times=4, slices=5)
    np.random.default_rng(seed).shuffle(images)
    node = read(tmp_path, images)[0]["bold"]
    assert node["image_adc"].dims == ("time", "z", "y", "x")
    np.testing.assert_array_equal(node["image_adc"].values, expected_volumes(4, 5))
    assert {key: node.attrs[key] for key in ("start_s", "rate_hz", "n")} == {
        "start_s": 0.0, "rate_hz": 0.4, "n": 4,
    }  # fmt: skip
    assert node.attrs["echo_time_s"] == 0.03
    assert node.attrs["repetition_time_s"] == 2.5
    assert node.attrs["flip_angle_deg"] == 60.0
    assert node.attrs["field_strength_t"] == 3.0


def test_slice_major_numbering(tmp_path: Path) -> None:
    images = series(times=4, slices=3)
    for n, data in enumerate(images):
        data.InstanceNumber = 1 + (n % 3) * 4 + n // 3
    stored = read(tmp_path, images)[0]["bold"]["image_adc"]
    np.testing.assert_array_equal(stored.values, expected_volumes(4, 3))


def test_temporal_positions_win_over_instance_numbers(tmp_path: Path) -> None:
    images = series(times=3, slices=2)
    for n, data in enumerate(images):
        data.TemporalPositionIdentifier = 3 - n // 2
    stored = read(tmp_path, images)[0]["bold"]["image_adc"]
    np.testing.assert_array_equal(stored.values, expected_volumes(3, 2)[::-1])


def test_one_volume(tmp_path: Path) -> None:
    tree, _ = read(tmp_path, series(times=1, slices=6)[::-1])
    np.testing.assert_array_equal(tree["anat"]["image_adc"].values, expected_volumes(1, 6)[0])
    assert tree["anat"]["image_adc"].dims == ("z", "y", "x")
    assert tree.attrs["modality"] == "mri"


def test_enhanced_equals_classic(tmp_path: Path) -> None:
    node = read(tmp_path, [synthetic.enhanced(times=2, slices=3)])[0]["bold"]
    numbers = [[z * 2 + t for z in range(3)] for t in range(2)]
    expected = np.array([[synthetic.values(n) for n in row] for row in numbers])
    np.testing.assert_array_equal(node["image_adc"].values, expected)
    affine = node["affine"].values
    np.testing.assert_array_equal(affine, read(tmp_path, series(2, 3))[0]["bold"]["affine"])
    assert node.attrs["rate_hz"] == 0.4


def test_echoes_are_channels(tmp_path: Path) -> None:
    images = []
    for echo, echo_ms in enumerate((4.92, 7.38)):
        part = series(times=1, slices=3, EchoTime=echo_ms)
        for data in part:
            data.InstanceNumber += 3 * echo
            data.SOPInstanceUID += f".{echo}"
            data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        images += part
    node = read(tmp_path, images[::-1])[0]["image"]
    assert node["image_adc"].dims == ("channel", "z", "y", "x")
    assert node["channel"].values.tolist() == ["echo 4.92 ms", "echo 7.38 ms"]
    np.testing.assert_array_equal(node["image_adc"].values[1], expected_volumes(1, 3)[0])


def test_diffusion_has_no_clock(tmp_path: Path) -> None:
    images = series(times=3, slices=2, RepetitionTime=None)
    for n, data in enumerate(images):
        data.DiffusionBValue = 1000.0 * (n >= 2)
    tree, _ = read(tmp_path, images)
    assert tree["dwi"]["image_adc"].dims == ("time", "z", "y", "x")
    assert tree["dwi"]["b_value"].values.tolist() == [0, 1000, 1000]
    assert "rate_hz" not in tree["dwi"].attrs
    assert tree.attrs["modality"] == "dwi"


def test_volumes_can_be_declared_channels(tmp_path: Path) -> None:
    node = read(tmp_path, series(RepetitionTime=None), axes="channel,z,y,x")[0]["image"]
    assert node["image_adc"].dims == ("channel", "z", "y", "x")


# geometry

ALL_48 = ["".join(signs) for order in itertools.permutations(("LR", "AP", "IS"))
          for signs in itertools.product(*order)]  # fmt: skip


def oblique_affine() -> np.ndarray:
    """Voxels of 1.5 x 2 x 3 mm, turned about all three axes."""
    a, b, c = np.deg2rad([11.0, 23.0, 37.0])
    turn_x = [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
    turn_y = [[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]]
    turn_z = [[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]]
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(turn_x) @ turn_y @ turn_z @ np.diag([1.5, 2.0, 3.0])
    matrix[:3, 3] = [-17.5, 4.25, 31.0]
    return matrix


@pytest.mark.parametrize("codes", ALL_48)
def test_marked_voxel_stays_in_place(codes: str, tmp_path: Path) -> None:
    ornt = axcodes2ornt(tuple(codes))
    shape = np.array((6, 7, 4))
    affine = oblique_affine() @ inv_ornt_aff(ornt, shape)
    nx, ny, nz = (int(shape[axis]) for axis in np.argsort(ornt[:, 0]))
    lps = np.diag([-1.0, -1, 1, 1]) @ affine
    lengths = np.linalg.norm(lps[:3, :3], axis=0).round(6)
    marked = np.zeros((nz, ny, nx), "u2")
    voxel = (nx - 2, 1, nz - 1)
    marked[voxel[2], voxel[1], voxel[0]] = 77
    images = [
        image(
            n + 1, (lps @ [0, 0, n, 1])[:3], marked[n],
            [*(lps[:3, 0] / lengths[0]), *(lps[:3, 1] / lengths[1])],
            PixelSpacing=[lengths[1], lengths[0]], SpacingBetweenSlices=lengths[2],
        )
        for n in range(nz)
    ]  # fmt: skip
    np.random.default_rng(ALL_48.index(codes)).shuffle(images)
    node = read(tmp_path, images)[0]["anat"]
    (at,) = np.argwhere(node["image_adc"].values == 77)
    here = (node["affine"].values @ [*at[::-1], 1])[:3]
    np.testing.assert_allclose(here, (affine @ [*voxel, 1])[:3], atol=1e-4)
    assert node["affine"].attrs == {"units": "mm", "space_code": "scanner"}


def test_affine_of_an_axial_series(tmp_path: Path) -> None:
    affine = read(tmp_path, series())[0]["bold"]["affine"].values
    expected = [[-1.5, 0, 0, 10], [0, -2, 0, 20], [0, 0, 3, 5], [0, 0, 0, 1]]
    np.testing.assert_array_equal(affine, expected)
    assert "".join(nibabel.aff2axcodes(affine)) == "LPS"


def test_declared_voxel_size_must_agree(tmp_path: Path) -> None:
    read(tmp_path, series(), voxel_mm=[3, 2, 1.5])
    for wrong in ([3, 1.5, 2], [4, 2, 1.5]):
        with pytest.raises(InvalidInputError, match="voxel_mm"):
            read(tmp_path, series(), voxel_mm=wrong)


# what is missing or does not belong


def dropped(*numbers: int) -> Callable[[Images], Images]:
    return lambda images: [data for n, data in enumerate(images) if n not in numbers]


def with_changed(number: int, **elements: Any) -> Callable[[Images], Images]:
    def change(images: Images) -> Images:
        for keyword, value in elements.items():
            setattr(images[number], keyword, value)
        return images

    return change


def resized(images: Images) -> Images:
    synthetic.with_pixels(images[4], np.zeros((4, 4), "u2"))
    return images


BROKEN: dict[str, tuple[Callable[[Images], Images], str]] = {
    "a slice of a volume": (dropped(7), r"3 frames at \S+ mm.*expected 4, as at the other 4"),
    "a slice of all volumes": (dropped(2, 7, 12, 17), "6 mm between slices 1 and 2"),
    "a whole volume": (dropped(*range(5, 10)), "InstanceNumber 1 and then 11"),
    "the first half of a volume": (dropped(5, 6), "frames at .* expected"),
    "orientation": (with_changed(3, ImageOrientationPatient=[0, 1, 0, 0, 0, 1]), "Orientation"),
    "pixel spacing": (with_changed(3, PixelSpacing=[2.0, 1.6]), "PixelSpacing"),
    "slope": (with_changed(3, RescaleSlope=2.0), "rescale slope"),
    "intercept": (with_changed(3, RescaleSlope=1.0, RescaleIntercept=-5), "rescale slope"),
    "size": (resized, "rows and columns"),
    "type": (with_changed(3, PixelRepresentation=1), "type of pixels"),
    "a copy under another uid": (
        with_changed(3, ImagePositionPatient=[-10, -20, 5.0], InstanceNumber=1),
        "one frame at each place|frames at",
    ),
    "a slice out of line": (with_changed(3, ImagePositionPatient=[-9, -20, 14.0]), "place of"),
    "a slice between": (with_changed(3, ImagePositionPatient=[-10, -20, 12.5]), "frames at"),
    "no position": (lambda i: [*i[:-1], bare(i[-1])], "position and orientation"),
}  # fmt: skip


def bare(data: pydicom.Dataset) -> pydicom.Dataset:
    del data.ImagePositionPatient
    return data


@pytest.mark.parametrize("story", BROKEN)
def test_broken_series_are_refused(story: str, tmp_path: Path) -> None:
    change, message = BROKEN[story]
    with pytest.raises(UnreadableError, match=message) as caught:
        read(tmp_path, change(series(times=4, slices=5)))
    for part in ("where", "found", "expected", "hint"):
        assert getattr(caught.value, part), part


def test_the_same_object_twice_is_refused(tmp_path: Path) -> None:
    images = series()
    with pytest.raises(UnreadableError, match="the same object as synthetic00000"):
        read(tmp_path, [*images, images[0]])


def test_one_frame_twice_at_a_place_and_time(tmp_path: Path) -> None:
    images = series(times=1, slices=2) + series(times=1, slices=2)
    for data in images[2:]:
        data.SOPInstanceUID += ".9"
    with pytest.raises(UnreadableError, match="one frame at each place and time"):
        read(tmp_path, images)


def test_another_series_is_another_recording(tmp_path: Path) -> None:
    images = series(times=1)
    other = image(1)
    other.SeriesInstanceUID += ".9"
    synthetic.write(tmp_path, [*images, other])
    files = tuple(sorted(tmp_path.iterdir()))
    assert dicom.members(files[0], files) == files[:3]
    assert dicom.members(files[3], files) == files[3:]
    assert [dicom.members(path, files) for path in files[1:3]] == [(p,) for p in files[1:3]]
    with pytest.raises(UnreadableError, match="another series"):
        dicom.read(Raw(tmp_path, files), Declared())


def test_a_report_inside_a_series_is_listed(tmp_path: Path) -> None:
    report = synthetic.blank(99, kind=synthetic.REPORT)
    report.Modality = "SR"
    tree, raw = read(tmp_path, [report, *series()])
    assert dict(tree["bold"]["image_adc"].sizes) == {"time": 2, "z": 3, "y": 3, "x": 4}
    assert raw.main.name == "synthetic00001"
    (note,) = (p for p in raw.problems if "has no pixels" in p.found)
    assert "synthetic00000" in note.where
    assert "Basic Text SR Storage" in note.found


def test_an_index_of_folders_stands_alone(tmp_path: Path) -> None:
    index = synthetic.blank(99, kind="1.2.840.10008.1.3.10")
    del index.SeriesInstanceUID
    synthetic.write(tmp_path, [index, *series()])
    files = tuple(sorted(tmp_path.iterdir()))
    assert dicom.members(files[0], files) == files[:1]
    assert dicom.members(files[1], files) == files[1:]
    with pytest.raises(UnknownFormatError, match="Media Storage Directory"):
        dicom.read(Raw(tmp_path, files[:1]), Declared())


def test_heads_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = synthetic.write(tmp_path, series(times=20, slices=10))
    counted = []
    quick = dicom_series.quick_header
    monkeypatch.setattr(
        dicom_series, "quick_header", lambda path, tags: counted.append(path) or quick(path, tags)
    )
    files = tuple(sorted(paths))
    assert [len(dicom.members(path, files)) for path in files] == [200] + [1] * 199
    assert len(dicom.members(files[0], list(files))) == 200
    assert len(counted) == 200


# clocks


def test_no_repetition_time(tmp_path: Path) -> None:
    with pytest.raises(MissingFactError, match=r"RepetitionTime.*rate_hz=<Hz>"):
        read(tmp_path, series(RepetitionTime=None))
    node = read(tmp_path, series(RepetitionTime=None), rate_hz=2.0, start_s=1.5)[0]["bold"]
    assert (node.attrs["rate_hz"], node.attrs["start_s"]) == (2.0, 1.5)


@pytest.mark.parametrize("stated", [2.5, 0.0, 1e6])
def test_implausible_repetition_times(stated: float, tmp_path: Path) -> None:
    with pytest.raises(MissingFactError, match="RepetitionTime"):
        read(tmp_path, series(RepetitionTime=stated))


def test_two_repetition_times(tmp_path: Path) -> None:
    with pytest.raises(MissingFactError, match="none that all files state"):
        read(tmp_path, with_changed(3, RepetitionTime=2000.0)(series()))


def at_times(images: Images, slices: int, *starts: str) -> Images:
    for n, data in enumerate(images):
        data.AcquisitionTime = starts[n // slices]
    return images


def test_times_of_acquisition_must_agree(tmp_path: Path) -> None:
    right = at_times(series(3), 3, "235957.500", "000000.000", "000002.500")
    assert read(tmp_path, right)[0]["bold"].attrs["rate_hz"] == 0.4
    wrong = at_times(series(3), 3, "120000.000", "120010.000", "120020.000")
    with pytest.raises(MissingFactError, match=r"2\.5 s, but 10 s between times"):
        read(tmp_path, wrong)
    assert read(tmp_path, wrong, rate_hz=0.1)[0]["bold"].attrs["rate_hz"] == 0.1
    whole = at_times(series(3), 3, "120000", "120002", "120005")
    assert read(tmp_path, whole)[0]["bold"].attrs["rate_hz"] == 0.4


def test_phases_of_the_heartbeat_are_no_seconds(tmp_path: Path) -> None:
    with pytest.raises(MissingFactError, match="heartbeat"):
        read(tmp_path, series(CardiacNumberOfImages=20))


def test_ge_slice_times() -> None:
    assert ge_slice_times_s(4, 2.0, False) == (0.0, 0.5, 1.0, 1.5)
    assert ge_slice_times_s(4, 2.0, True) == (0.0, 1.0, 0.5, 1.5)


# mosaics


@pytest.mark.parametrize("normal", [1.0, -1.0])
def test_mosaic(normal: float, tmp_path: Path) -> None:
    images = [synthetic.mosaic(n, 5, normal) for n in (2, 1, 3)]
    node = read(tmp_path, images)[0]["bold"]
    order = range(5) if normal > 0 else range(4, -1, -1)
    expected = [[synthetic.values(n * 100 + z) for z in order] for n in (1, 2, 3)]
    np.testing.assert_array_equal(node["image_adc"].values, np.array(expected))
    affine = node["affine"].values
    first = 5.0 if normal > 0 else 5.0 - 4 * STEP_MM
    corner = [10 - 1.5 * (12 - 4) / 2, 20 - 2 * (9 - 3) / 2, first]
    np.testing.assert_allclose(affine[:3, 3], corner)
    np.testing.assert_allclose(np.diag(affine), [-1.5, -2, 3, 1])


@pytest.mark.parametrize("normal", [1.0, -1.0])
def test_mosaic_slice_times(normal: float, tmp_path: Path) -> None:
    times_ms = (0.0, 1450.0, 482.5, 1932.5, 967.5)
    images = [synthetic.mosaic(n, 5, normal, times_ms) for n in (1, 2)]
    node = read(tmp_path, images)[0]["bold"]
    expected = np.array(times_ms if normal > 0 else times_ms[::-1]) / 1e3
    np.testing.assert_allclose(node["slice_time"].values, expected)
    assert node["slice_time"].attrs == {"units": "s"}
    assert node["slice_time"].dims == ("z",)


def test_slice_times_beyond_the_volume_are_left_out(tmp_path: Path) -> None:
    tree, raw = read(tmp_path, [synthetic.mosaic(n, 5, 1.0, range(0, 5000, 1000)) for n in (1, 2)])
    assert "slice_time" not in tree["bold"]
    assert any(p.level == "warning" and "left out" in p.hint for p in raw.problems)


def test_mosaic_that_does_not_divide(tmp_path: Path) -> None:
    data = synthetic.mosaic(1)
    data[0x0029, 0x1010].value = synthetic.csa({"NumberOfImagesInMosaic": ["17"]})
    with pytest.raises(UnreadableError, match="a multiple of 5, for 17 slices"):
        read(tmp_path, [data])


@pytest.mark.parametrize("count", ["0", "-3", "1e9", "2.5", "nan", "Jane Q Canary"])
def test_impossible_mosaic_counts(count: str, tmp_path: Path) -> None:
    data = synthetic.mosaic(1)
    data[0x0029, 0x1010].value = synthetic.csa({"NumberOfImagesInMosaic": [count]})
    with pytest.raises(UnreadableError) as caught:
        read(tmp_path, [data])
    assert "Canary" not in str(caught.value)


@pytest.mark.parametrize("version", [1, 2])
def test_csa_equals_nibabel(version: int) -> None:
    fields = {"First": ["1", "2"], "Wanted": ["0.5", "-2", "1e3"], "Name": ["x"]}
    block = synthetic.csa(fields, version)
    found = csa_numbers(block, ("Wanted", "First"), "synthetic")
    assert found == {"First": (1.0, 2.0), "Wanted": (0.5, -2.0, 1000.0)}
    if version == 2:
        tags = csareader.read(block)["tags"]
        assert tuple(tags["Wanted"]["items"]) == found["Wanted"]


def test_csa_cut_anywhere_is_refused_or_read() -> None:
    block = synthetic.csa({"One": ["1"], "Wanted": ["0.5", "-2"]})
    for size in range(len(block)):
        with pytest.raises(UnreadableError):
            csa_numbers(block[:size], ("Wanted",), "synthetic")
    random = np.random.default_rng(1)
    places = set()
    for _ in range(500):
        damaged = bytearray(block)
        damaged[random.integers(len(block))] = random.integers(256)
        try:
            csa_numbers(bytes(damaged), ("Wanted",), "synthetic")
        except RefusedError as error:
            places.add(error.where)
    assert places == {"synthetic: CSA header (0029,1010)"}


def test_mosaic_equals_nibabel(tmp_path: Path) -> None:
    data = synthetic.mosaic(1, 5)
    node = read(tmp_path, [data])[0]["anat"]
    wrapper = dicomwrappers.wrapper_from_file(tmp_path / "synthetic00000")
    np.testing.assert_array_equal(
        node["image_adc"].values, np.asarray(wrapper.get_data()).transpose(2, 0, 1)
    )
    ras = np.diag([-1, -1, 1, 1]) @ wrapper.affine[:, [1, 0, 2, 3]]
    np.testing.assert_allclose(node["affine"].values, ras)


def test_500_flipped_bits_raise_no_foreign_exception(tmp_path: Path) -> None:
    whole = synthetic.to_bytes(synthetic.mosaic(times_ms=[0, 3, 1, 4, 2]))
    path = tmp_path / "synthetic"
    random = np.random.default_rng(5)
    said = ""
    for bit in random.choice(8 * len(whole), 500, replace=False):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        try:
            dicom.read(Raw(tmp_path, (path,)), Declared()).load()
        except RefusedError as error:
            said += str(error)
    assert synthetic.CANARY not in said


# names of recordings


def test_a_recording_is_named_after_folder_and_series_number(tmp_path: Path) -> None:
    day, other = tmp_path / "day 1", tmp_path / "other"
    for folder in (day / "a", other):
        folder.mkdir(parents=True)
    plain = series(times=1, slices=3)
    synthetic.write(day / "a", plain)
    twin = series(times=1, slices=3)
    for data in twin:
        data.SeriesInstanceUID = "1.2.3.99"
        data.SOPInstanceUID += ".7"
    synthetic.write(other, twin)
    number = plain[0].get("SeriesNumber")
    stem = "series" if number is None else f"series-{number}"
    found, _ = recognise(scan(tmp_path))
    assert [item.name for item in found] == [f"day-1_a_{stem}", f"other_{stem}"]
    assert not any("Canary" in item.name for item in found)


def test_series_of_one_number_in_one_folder_get_letters_of_their_own(tmp_path: Path) -> None:
    images = series(times=1, slices=3)
    for n, data in enumerate(images):
        data.SeriesNumber = 4
        data.SeriesInstanceUID = f"1.2.3.{n}"
    synthetic.write(tmp_path, images)
    found, _ = recognise(scan(tmp_path))
    names = [item.name for item in found]
    assert len(set(names)) == 3
    assert all(re.fullmatch(r"series-4_[0-9a-f]{8}", name) for name in names)
    assert names == [item.name for item in recognise(scan(tmp_path))[0]]


@pytest.mark.parametrize(
    "kind",
    ["1.2.840.10008.5.1.4.1.1.88.22", "1.2.840.10008.5.1.4.1.1.11.1",
     "1.2.840.10008.5.1.4.1.1.88.59"],
)  # fmt: skip
def test_a_series_without_an_image_is_a_note(kind: str, tmp_path: Path) -> None:
    report = image(0)
    del report.PixelData
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = kind
    report.SeriesInstanceUID = "1.2.3.77"
    images = series(times=1, slices=3)
    synthetic.write(tmp_path, [*images, report])
    found, problems = recognise(scan(tmp_path))
    assert len(found) == 1
    assert len(found[0].files) == 3
    (note,) = problems
    assert note.level == "note"
    assert note.found.endswith(", no image in it")
