"""Images: turned axes, units of length and time, byte order and the ends of integers."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.answers import marked
from benchmarks.faults.case import RAW, Case
from benchmarks.faults.files import Nifti, oblique, phantom, root_of

Array = np.ndarray[Any, Any]
METRE, MILLIMETRE, MICROMETRE = 1, 2, 3
SECOND, MILLISECOND, MICROSECOND = 8, 16, 24
TURNS = tuple(
    (order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
)
"""The 48 ways to turn and mirror three axes."""


def cases() -> Iterator[Case]:
    """Yield the cases of this module."""
    whole = Nifti(_noise(), oblique())
    yield nifti("whole", 0, "a volume of int16, oblique", whole, truth=whole.truth(), valid=True)
    yield from _turned()
    yield from _forms()
    yield from _lengths()
    yield from _repetition()
    yield from _kinds()
    yield from _movies()


def nifti(name: str, fault: int, story: str, file: Nifti, **more: Any) -> Case:
    """Return a case of one NIfTI file."""
    return Case(f"nifti: {name}", fault, story, file.build, "nifti", file.name, **more)


def _noise(shape: tuple[int, ...] = (6, 7, 8), kind: str = "i2", seed: int = 7) -> Array:
    return np.random.default_rng(seed).integers(0, 200, shape).astype(kind)


# 18


def turned(image: Array, affine: Array, order: tuple[int, ...], signs: tuple[int, ...]) -> Any:
    """Return the same image with axes in another order and direction, and its affine."""
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    for axis, (source, sign) in enumerate(zip(order, signs, strict=True)):
        matrix[source, axis] = sign
        matrix[source, 3] = 0 if sign > 0 else image.shape[source] - 1
    stored = image.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
    return np.ascontiguousarray(stored), affine @ matrix


def _turned() -> Iterator[Case]:
    image, affine = phantom(), oblique()
    right = dict(marked(image, affine))
    for number, (order, signs) in enumerate(TURNS):
        name = "".join(
            "+-"[sign < 0] + "xyz"[axis] for axis, sign in zip(order, signs, strict=True)
        )
        story = f"an asymmetric phantom with its voxels stored along {name}"
        stored, matrix = turned(image, affine, order, signs)
        file = Nifti(stored, matrix)
        yield nifti(f"axes {name}", 18, story, file, truth=right, valid=True)
        build = partial(_mgh, stored, matrix)
        yield Case(f"mgh: axes {name}", 18, story, build, "mgh", "synthetic.mgh", truth=right,
                   valid=True)  # fmt: skip
        if number % 8 == 5:
            packed = replace(file, order=">")
            yield nifti(f"axes {name}, big-endian", 18, story, packed, truth=right, valid=True)


def _mgh(image: Array, affine: Array, folder: Path) -> Path:
    """Write an MGH file by its format (https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat)."""
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    centre = affine[:3, :3] @ (np.array(image.shape) / 2) + affine[:3, 3]
    head = struct.pack(">7ih", 1, *image.shape, 1, 4, 0, 1)
    head += struct.pack(">3f", *sizes) + (affine[:3, :3] / sizes).T.astype(">f4").tobytes()
    head += struct.pack(">3f", *centre)
    footer = struct.pack(">5f", 0, 0, 0, 0, 0)
    data = image.astype(">i2").tobytes(order="F")
    (root_of(folder) / "synthetic.mgh").write_bytes(head.ljust(284, b"\0") + data + footer)
    return folder / RAW


def _forms() -> Iterator[Case]:
    image, affine = phantom(), oblique()
    whole = Nifti(image, affine).content()
    for name, change in (
        ("no orientation", {252: struct.pack("<2h", 0, 0)}),
        ("sform and qform disagree",
         {252: struct.pack("<2h", 1, 1), 256: struct.pack("<6f", 0, 0, 0, 50, 60, 70)}),
        ("negative voxel size", {80: struct.pack("<f", -0.5)}),
    ):  # fmt: skip
        data = bytearray(whole)
        for at, new in change.items():
            data[at : at + len(new)] = new
        build = partial(_bytes, "synthetic.nii", bytes(data))
        truth = None if name == "no orientation" else dict(marked(image, affine))
        yield Case(f"nifti: {name}", 18, name, build, "nifti", "synthetic.nii", truth=truth,
                   told=True)  # fmt: skip


def _bytes(name: str, data: bytes, folder: Path) -> Path:
    (root_of(folder) / name).write_bytes(data)
    return folder / RAW


# 42


def _lengths() -> Iterator[Case]:
    image = _noise()
    for name, code, factor in (
        ("m", METRE, 1e-3),
        ("mm", MILLIMETRE, 1.0),
        ("µm", MICROMETRE, 1e3),
    ):
        stated = oblique()
        stated[:3] *= factor  # the same places, in that unit
        file = Nifti(image, stated, units=code + SECOND)
        truth = {"image": image, "affine_mm": oblique()}
        story = f"the same geometry in {name}"
        yield nifti(f"in {name}", 42, story, file, truth=truth, valid=True)
    for name, code, power in (("µm", MICROMETRE, -3), ("m", METRE, 3)):
        file = Nifti(image, oblique(), units=code + SECOND)
        story = f"voxels in mm said to be in {name}: off by 10^{power}"
        truth = {"image": image, "affine_mm": oblique()}
        yield nifti(f"mm said to be {name}", 42, story, file, truth=truth, named=rf"10\^{power}\b")
    none = Nifti(image, oblique(), units=0)
    yield nifti("no unit of length", 42, "voxels without a unit of length", none)
    for name, factor, power in (("1000 times as large", 1e3, 3), ("1000 times as small", 1e-3, -3)):
        matrix = oblique()
        matrix[:3] *= factor
        file, truth = Nifti(image, matrix), {"image": image, "affine_mm": oblique()}
        story = f"voxels {name}, in mm by the header"
        yield nifti(name, 42, story, file, truth=truth, named=rf"10\^{power}\b")


def _repetition() -> Iterator[Case]:
    image = _noise((4, 5, 6, 3))
    units = (("s", SECOND, 1.0), ("ms", MILLISECOND, 1e3), ("µs", MICROSECOND, 1e6))
    for name, code, factor in units:
        file = Nifti(image, oblique(), units=MILLIMETRE + code, period=2.0 * factor)
        truth = {"image": image, "rate_hz": 0.5}
        story = f"a volume in 2 s, stated in {name}"
        yield nifti(f"TR in {name}", 42, story, file, truth=truth, valid=True)
    for stated, code, period, story in (
        ("s", SECOND, 2000.0, "2000 ms said to be seconds"),
        ("ms", MILLISECOND, 2.0, "2 s said to be milliseconds"),
        ("µs", MICROSECOND, 2000.0, "2000 ms said to be microseconds"),
    ):
        file = Nifti(image, oblique(), units=MILLIMETRE + code, period=period)
        yield nifti(f"TR {period:g} {stated}", 42, story, file, truth={"rate_hz": 0.5},
                    named=r"rate|10\^")  # fmt: skip
    for period in (0.0, -2.0, np.nan, np.inf):
        file = Nifti(image, oblique(), period=period)
        yield nifti(f"TR {period:g}", 15, f"a repetition time of {period:g} s", file)


# 43


def _kinds() -> Iterator[Case]:
    for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"):
        limits = np.finfo(kind) if kind[0] == "f" else np.iinfo(kind)
        image = _noise((4, 5, 6), "u1").astype(kind)
        if kind[0] != "f":
            image[0, 0, :2] = limits.min, limits.max
        for order, word in (("<", "little"), (">", "big")):
            slope, shift = (0.25, -3.0) if kind in ("i2", "u2") else (1.0, 0.0)
            file = Nifti(image, oblique(), order=order, slope=slope, intercept=shift)
            right = {"image": image.astype("f8") * slope + shift}
            story = f"{word}-endian {kind}, the ends of its range kept"
            yield nifti(f"{kind}, {word}-endian", 43, story, file, truth=right, valid=True)
    for factor in (1e300, 1e-300):
        file = Nifti(_noise((4, 5, 6), "u1").astype("f8") * factor, oblique())
        story = f"doubles of the size of {factor:g}, which float32 does not hold"
        yield nifti(f"doubles of {factor:g}", 43, story, file)


# 41, 42: movies and microscopy


def _movies() -> Iterator[Case]:
    stack = _noise((5, 12, 10), "u2")
    for unit, factor in (("um", 1.0), ("micron", 1.0), ("mm", 1e-3), ("nm", 1e3)):
        build = partial(_imagej, stack, unit, (2.0 * factor, 0.5 * factor, 0.25 * factor))
        truth = {"image": stack.transpose(2, 1, 0), "spacing_um": [2.0, 0.5, 0.25]}
        story = f"a stack of 2 x 0.5 x 0.25 µm, stated in {unit}"
        yield Case(f"tiff: in {unit}", 42, story, build, "tiff", "synthetic.tif", truth=truth,
                   valid=True)  # fmt: skip
    for unit, power in (("mm", 3), ("nm", -3), ("m", 6)):
        build = partial(_imagej, stack, unit, (2.0, 0.5, 0.25))
        truth = {"image": stack.transpose(2, 1, 0), "spacing_um": [2.0, 0.5, 0.25]}
        story = f"a stack in µm said to be in {unit}: off by 10^{power}"
        yield Case(f"tiff: µm said to be {unit}", 42, story, build, "tiff", "synthetic.tif",
                   truth=truth, named=rf"10\^{power}\b")  # fmt: skip
    for unit in ("", "pixel", "furlong"):
        build = partial(_imagej, stack, unit, (2.0, 0.5, 0.25))
        story = f"a stack whose unit of length is {unit!r}"
        yield Case(f"tiff: unit {unit!r}", 42, story, build, "tiff", "synthetic.tif")


def _imagej(stack: Array, unit: str, zyx: tuple[float, float, float], folder: Path) -> Path:
    import tifffile

    z, y, x = zyx
    metadata = {"axes": "ZYX", "spacing": z, **({"unit": unit} if unit else {})}
    path = root_of(folder) / "synthetic.tif"
    tifffile.imwrite(path, stack, imagej=True, resolution=(1 / x, 1 / y), metadata=metadata)
    return folder / RAW
