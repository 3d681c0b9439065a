"""PAR/REC: voxels by numpy, geometry by the slices' own positions, nibabel, and broken headers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import nibabel
import numpy as np
import pytest
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import MissingFactError, RefusedError, UnreadableError
from neurodata.readers import parrec
from neurodata.safe import Raw
from tests.readers.conformance import HeaderTests, PersonalTests, ReaderTests, flip_bits

NIBABEL = Path(nibabel.__file__).parent / "tests/data"
PHANTOM = NIBABEL / "phantom_EPI_asc_CLEAR_2_1.PAR"
pytestmark = pytest.mark.skipif(not PHANTOM.exists(), reason="this nibabel has no test data")
CANARY = "Jane Q Canary"
SIZE = (3, 9, 64, 64)
PERSONAL = ("Patient name ", "Examination name", "Protocol name   ", "Examination date/time")


def synthetic_par() -> str:
    """A synthetic header: a phantom's, with a canary for every name."""
    lines = PHANTOM.read_text().splitlines()
    for k, line in enumerate(lines):
        if any(line.startswith(f".    {name}") for name in PERSONAL):
            lines[k] = f"{line.partition(':')[0]}:   {CANARY}"
    return "\n".join(lines) + "\n"


def smaller(text: str) -> str:
    """The header for slices of 6 x 5 voxels, so that the files are small."""
    return text.replace("   64   64 ", "    6    5 ")


def write(folder: Path, text: str | None = None, shape: tuple[int, ...] = (3, 9, 5, 6)) -> Path:
    path = folder / "synthetic.PAR"
    path.write_text(smaller(synthetic_par()) if text is None else text)
    values = np.arange(np.prod(shape)).astype("<u2")
    path.with_suffix(".REC").write_bytes(values.tobytes())
    return path


def single(folder: Path) -> Path:
    """Write a synthetic scan of one volume."""
    lines = smaller(synthetic_par()).replace("dynamics            :   3", "dynamics : 1")
    kept = [x for x in lines.split("\n") if not x[:3].strip().isdigit() or x.split()[2] == "1"]
    return write(folder, "\n".join(kept), (9, 5, 6))


def open_raw(path: Path) -> Raw:
    return Raw(path.parent, parrec.members(path, sorted(path.parent.iterdir())))


def read(path: Path, **facts: Any) -> tuple[xr.DataTree, str]:
    """Return the tree and the findings as one text."""
    raw = open_raw(path)
    return parrec.read(raw, Declared(facts)), "\n".join(map(str, raw.problems))


def text(old: str, new: str, count: int = 1) -> Callable[[bytes], bytes]:
    return lambda whole: whole.replace(old.encode(), new.encode(), count)


IMPOSSIBLE = {
    "another version": text("V4.2", "V9.9"),
    "fewer dynamics than it says": text("dynamics            :   3", "dynamics            :   5"),
    "fewer slices than it says": text("locations    :   9", "locations    :   12"),
    "a thousand million slices": text("locations    :   9", "locations    :   1000000000"),
    "a field that is none": text(".    Technique ", ".    Teknik "),
    "no number": text("Acquisition nr                     :   2", "Acquisition nr   :   two"),
    "wider slices than the file has": text("    6    5 ", "    7    5 ", 99),
    "slices of unlike width": text("    6    5 ", "    7    5 "),
    "slices of no width": text("    6    5 ", "    0    5 ", 99),
    "slices of negative width": text("    6    5 ", "   -6    5 ", 99),
    "32 bits": text("  16    62 ", "  32    62 ", 99),
    "no bits": text("  16    62 ", "   0    62 ", 99),
    "one slice twice": text("  2   1    1  1 0 2     1 ", "  1   1    1  1 0 2     1 "),
    "one place in the file twice": text("0 2     1  16", "0 2     2  16"),
    "a place beyond the file": text("0 2     1  16", "0 2   999  16"),
    "slope 0": text("   1.29035 ", "   0.00000 ", 99),
    "slope NaN": text("   1.29035 ", "       nan ", 99),
    "intercept infinite": text("     0.00000   1.29035", "         inf   1.29035"),
    "angle NaN": text("-13.265  0.000  0.000", "nan  0.000  0.000"),
    "place infinite": text("2.508  30.339  -16.032", "inf 30.339  -16.032"),
    "voxel size 0": text("3.750  3.750", "0.000  3.750", 99),
    "thickness NaN": text("  6.000  2.000", "    nan  2.000", 99),
    "no orientation": text("6.000  2.000 0 1 0 2", "6.000  2.000 0 7 0 2", 99),
    "unlike orientations": text("6.000  2.000 0 1 0 2", "6.000  2.000 0 2 0 2"),
    "no end": text("# === END OF DATA DESCRIPTION FILE", "# "),
    "a line too short": text("    0.000    0.000  1\n", "\n"),
    "repetition time 0": text("2000.000  ", "0.000  "),
    "repetition time NaN": text("2000.000  ", "nan  "),
    "two repetition times": text("2000.000  ", "2000.000  1000.0"),
    "starts unlike the repetition time": text("2000.000  ", "1000.000  "),
}


class TestParRec(HeaderTests, PersonalTests):
    reader = parrec
    nodes: ClassVar = {"bold": "volume"}
    lies = IMPOSSIBLE
    canary = CANARY

    def make(self, folder: Path) -> Path:
        return write(folder)

    def victims(self, path: Path) -> tuple[Path, ...]:
        return path, path.with_suffix(".REC")


class TestSingleVolume(ReaderTests):
    reader = parrec
    nodes: ClassVar = {"anat": "volume"}

    def make(self, folder: Path) -> Path:
        return single(folder)


@pytest.mark.parametrize("story", IMPOSSIBLE)
def test_impossible_header_says_where_and_what(story: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(IMPOSSIBLE[story](whole))
    assert path.read_bytes() != whole
    with pytest.raises(RefusedError) as caught:
        read(path)
    assert caught.value.where
    assert caught.value.found
    assert caught.value.expected


def test_phantom(tmp_path: Path) -> None:
    for suffix in (".PAR", ".REC"):
        shutil.copy(PHANTOM.with_suffix(suffix), tmp_path / f"p{suffix}")
    phantom_is_read(tmp_path / "p.PAR")


@pytest.mark.acceptance
def test_phantom_of_the_fixtures(realdata: Path) -> None:
    phantom_is_read(realdata / "fixtures/mri/nibabel/tests/data" / PHANTOM.name)


def phantom_is_read(path: Path) -> None:
    tree, findings = read(path)
    node = tree["bold"]
    assert tree.attrs == {"modality": "fmri"}
    stored = node["image_adc"]
    assert stored.dims == ("time", "z", "y", "x")
    voxels = np.frombuffer(path.with_suffix(".REC").read_bytes(), "<u2").reshape(SIZE)
    np.testing.assert_array_equal(stored.values, voxels)
    assert (float(node["scale"]), float(node["offset"])) == (1.29035, 0.0)
    clock = {key: node.attrs[key] for key in ("start_s", "rate_hz", "n")}
    assert clock == {"start_s": 0.0, "rate_hz": 0.5, "n": 3}
    assert node.attrs["echo_time_s"] == pytest.approx(0.03)
    assert node.attrs["flip_angle_deg"] == 90.0
    assert "patient_name" in findings
    rows = [line.split() for line in path.read_text().splitlines() if line[:3].strip().isdigit()]
    assert len(rows) == 27
    for row in rows[:9]:  # the centre of each slice, which its own line states
        ap, fh, rl = (float(cell) for cell in row[19:22])
        centre = node["affine"].values @ [31.5, 31.5, int(row[0]) - 1, 1]
        np.testing.assert_allclose(centre[:3], [-rl, -ap, fh], atol=0.02)
    sizes = np.linalg.norm(node["affine"].values[:3, :3], axis=0)
    np.testing.assert_allclose(sizes, [3.75, 3.75, 8.0])
    image = nibabel.load(path)
    np.testing.assert_allclose(node["affine"].values, image.affine)
    np.testing.assert_allclose(stored.values.T * 1.29035, image.get_fdata(), rtol=1e-12)


def test_slices_in_another_order_in_the_file(tmp_path: Path) -> None:
    """Where the header says that slices lie elsewhere, they are taken from there."""
    lines = smaller(synthetic_par()).split("\n")
    first = next(k for k, x in enumerate(lines) if x[:3].strip().isdigit())
    for k, line in enumerate(lines[first : first + 27]):
        lines[first + k] = line.replace(f"0 2{k:>6}", f"0 2{26 - k:>6}", 1)
    path = write(tmp_path, "\n".join(lines))
    stored = read(path)[0]["bold"]["image_adc"]
    voxels = np.arange(27 * 30).reshape(27, 5, 6)[::-1].reshape(3, 9, 5, 6)
    np.testing.assert_array_equal(stored.values, voxels)


def test_lines_in_another_order(tmp_path: Path) -> None:
    lines = smaller(synthetic_par()).split("\n")
    first = next(k for k, x in enumerate(lines) if x[:3].strip().isdigit())
    lines[first : first + 27] = reversed(lines[first : first + 27])
    stored = read(write(tmp_path, "\n".join(lines)))[0]["bold"]["image_adc"]
    np.testing.assert_array_equal(stored.values.ravel(), np.arange(27 * 30))


def test_scaling_of_its_own_for_each_slice() -> None:
    path = NIBABEL / "phantom_varscale.PAR"
    tree, findings = read(path)
    image = tree["bold"]["image"]
    assert image.dtype == np.float32
    rows = [line.split() for line in path.read_text().splitlines() if line[:3].strip().isdigit()]
    voxels = np.frombuffer(path.with_suffix(".REC").read_bytes(), "<u2").reshape(27, 64, 64)
    inter, slope = (np.array([[[float(row[k])]] for row in rows]) for k in (11, 12))
    expected = (voxels * slope + inter).reshape(SIZE)
    np.testing.assert_allclose(image.values, expected, rtol=1e-6, atol=1e-5)
    assert "one a slice" in findings


def test_scan_that_was_broken_off_is_refused() -> None:
    with pytest.raises(UnreadableError, match="does not hold together"):
        read(NIBABEL / "phantom_truncated.PAR")


def test_two_repetition_times_are_asked_about(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(IMPOSSIBLE["starts unlike the repetition time"](path.read_bytes()))
    with pytest.raises(MissingFactError, match="rate_hz"):
        read(path)
    assert read(path, rate_hz=0.5)[0]["bold"].attrs["rate_hz"] == 0.5


DESIGNS = {
    "DTI.PAR": ("dwi", "time"),
    "T1_dual_echo.PAR": ("image", "channel"),
    "T1_3echo_mag_real_imag_phase.PAR": ("image", "channel"),
    "T1.PAR": ("anat", "z"),
    "T2.PAR": ("anat", "z"),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_other_designs(name: str, tmp_path: Path) -> None:
    """Real headers; their voxels are synthetic zeros, in a file without blocks on disk."""
    path = tmp_path / "synthetic.PAR"
    shutil.copy(NIBABEL / name, path)
    header = nibabel.parrec.PARRECHeader.from_fileobj(path.open(), strict_sort=True)
    shape = header.get_data_shape()
    with path.with_suffix(".REC").open("wb") as stream:
        stream.truncate(2 * int(np.prod(header.get_rec_shape())))
    kind, first = DESIGNS[name]
    tree, _ = read(path)
    node = tree[kind]
    main = node["image_adc" if "image_adc" in node else "image"]
    assert main.shape == shape[::-1]
    assert main.dims[0] == first
    np.testing.assert_allclose(node["affine"].values, header.get_affine())
    if kind == "dwi":
        values, _ = header.get_bvals_bvecs()
        np.testing.assert_array_equal(node["b_value"], values)
        assert tree.attrs["modality"] == "dwi"
    if kind == "image":
        assert len(set(node["channel"].values)) == shape[3]


def test_bit_flips(tmp_path: Path) -> None:
    path = single(tmp_path)
    flip_bits(path, 150, lambda: read(path)[0].load())
