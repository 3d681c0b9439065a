"""Cases of every format: the small files that the readers' own tests make, damaged by rule.

Cuts, impossible headers and single bits, the same in every run. What is right is what the same
reader makes of the undamaged file, which is a case of its own.
"""

from __future__ import annotations

import hashlib
import importlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.faults.case import RAW, Case
from neurodata.readers import TABLE
from tests.fuzz.damage import Damage, Files, Valid, draw
from tests.fuzz.recordings import FORMATS, Made, made
from tests.fuzz.stated import stated

FEW = (
    "edf.TestEdf", "brainvision.TestBrainVision", "nifti.TestNifti", "nifti.TestNiftiGzip",
    "tiff.TestImageJ", "nwb.TestNwb", "adjacency.TestAdjacency", "xlsx.TestXlsx",
)  # fmt: skip
"""Makers of the quick run."""

# By a word of its story, the kind of fault that an impossible header is.
_KINDS = (
    (15, ("rate", "interval", "record of", "time", "period", "clock", "second", "duration", "start",
          "frames a", "hz", "tr ", "step", "instant", "fps", "frequency")),
    (14, ("affine", "sform", "qform", "voxel size", "orientation", "singular", "spacing", "axis",
          "axes", "cosine", "direction", "unit of length")),
    (16, ("physical", "digital", "slope", "intercept", "resolution", "gain", "scale", "calib",
          "factor", "conversion", "adc", "range")),
    (19, ("label", "channel", "name", "node", "ids", "region", "unit", "electrode", "column")),
)  # fmt: skip
CHECKED = {
    "nifti.TestNiftiGzip": "gzip has a CRC-32 of what it unpacks to",
    "connections.TestPacked": "gzip has a CRC-32 of what it unpacks to",
    "xlsx.TestXlsx": "every part of a zip has a CRC-32",
    "slices.TestPng": "every chunk of a PNG has a CRC-32",
    "spikeglx.TestSpikeGlx": "the .meta file has the SHA-1 of the samples",
}
"""Recordings whose containers have checksums of their own; all flips are in what these cover."""


@dataclass(frozen=True)
class Recording:
    """An undamaged recording in memory, and the case that reads it."""

    made: Made
    valid: Valid
    case: Case


def recordings(quick: bool = False) -> list[Recording]:
    """Make every recording of the readers' tests (few of them, when quick)."""
    found = []
    with tempfile.TemporaryDirectory(prefix="neurodata-faults-") as folder:
        for number, item in enumerate(_few() if quick else _all()):
            root = Path(folder, str(number))
            try:
                facts = item.make(root)
                found.append(_recording(item, item.valid(root, facts["main"], facts["victims"])))
            except ImportError:
                continue  # made by an optional package that is not installed
    return found


def _all() -> Iterator[Made]:
    for group in made(tuple(TABLE)).values():
        yield from (item for item in group if item.tests is not None)


def _few() -> Iterator[Made]:
    for story in FEW:
        module, _, name = story.partition(".")
        kind = getattr(importlib.import_module(f"tests.readers.test_{module}"), name)
        yield Made(FORMATS[kind.reader.__name__], story, dict(kind.declare), kind())


def _recording(item: Made, valid: Valid) -> Recording:
    case = Case(
        f"{item.story}: whole", 0, f"{item.format} as its writer leaves it",
        partial(write, valid.files), item.format, valid.main, twin=f"{item.story}: whole",
        valid=True, declare=item.declared, generated=True,
    )  # fmt: skip
    return Recording(item, valid, case)


def write(files: Files, folder: Path) -> Path:
    """Write files below a folder and return the folder that holds them."""
    root = folder / RAW
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def cases(found: list[Recording], quick: bool = False) -> Iterator[Case]:
    """Yield the undamaged recordings and all that is done to them, each damage once."""
    for one in found:
        parts = (
            [one.case], _cut(one, 3 if quick else 20), _lies(one),
            _listed(one, 2 if quick else 6), _flips(one, 3 if quick else 10),
        )  # fmt: skip
        yield from {case.name: case for part in parts for case in part}.values()


def _damaged(one: Recording, fault: int, damage: Damage, limit: str = "") -> Case:
    name = f"{one.made.story}: {damage.story}"
    return replace(
        one.case, name=name, fault=fault, story=damage.story, valid=False, limit=limit,
        build=partial(write, damage.files),
    )  # fmt: skip


def _cut(one: Recording, count: int) -> Iterator[Case]:
    known = stated(one.made.format)
    for damage in draw(one.valid, ("truncate",), 4 * count, seed=1):  # a quarter are cuts
        yield _damaged(one, 10, damage, known.short_of(damage.file))


def _lies(one: Recording) -> Iterator[Case]:
    whole = one.valid.files[one.valid.main]
    for story, lie in one.valid.lies.items():
        if (told := lie(whole)) != whole:
            files = {**one.valid.files, one.valid.main: told}
            damage = Damage("lie", f"{one.valid.main}: {story}", files, one.valid.main)
            yield _damaged(one, kind_of(story), damage)


def kind_of(story: str) -> int:
    """Return the kind of fault that the story of an impossible header tells of.

    Examples
    --------
    >>> kind_of("record of nan s"), kind_of("sform NaN"), kind_of("32767 cubed")
    (15, 14, 13)
    """
    for fault, words in _KINDS:
        if any(word in story.lower() for word in words):
            return fault
    return 13


def _flip(one: Recording, name: str, number: int) -> Damage:
    """Return a recording with one bit of a file flipped, the same in every run."""
    random = np.random.default_rng((len(one.valid.files[name]), number))
    data = bytearray(one.valid.files[name])
    at, bit = int(random.integers(len(data))), int(random.integers(8))
    data[at] ^= 1 << bit
    story = f"{name}: bit {bit} of byte {at} flipped"
    return Damage("flip", story, {**one.valid.files, name: bytes(data)}, name)


def _listed(one: Recording, count: int) -> Iterator[Case]:
    """Flip bits of files whose sizes and checksums a pipeline lists."""
    names = [name for name in one.valid.members if one.valid.files[name]]
    for number in range(count):
        damage = _flip(one, names[number % len(names)], number)
        case = _damaged(one, 11, damage)
        build = partial(_pipeline, one.valid.files, damage.files)
        story = f"{damage.story}; a pipeline lists the sha256"
        yield replace(case, name=f"{case.name}, listed", story=story, build=build, form="")


def _pipeline(stated_files: Files, files: Files, folder: Path) -> Path:
    write(files, folder)
    listed = [
        {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in stated_files.items()
    ]
    facts: Mapping[str, Any] = {
        "id": "synthetic", "version": 1, "title": "Synthetic", "licence": "CC0-1.0",
        "citation": "made up", "modality": "eeg", "sources": [{"path": RAW, "files": listed}],
    }  # fmt: skip
    path = folder / "synthetic.yaml"
    path.write_text(yaml.safe_dump(facts))
    return path


def _flips(one: Recording, count: int) -> Iterator[Case]:
    """Flip bits of files that nothing but the format guards."""
    known = stated(one.made.format)
    limit = "" if one.made.story in CHECKED else known.values or known.facts
    names = [name for name in one.valid.victims if one.valid.files[name]]
    if one.made.story == "spikeglx.TestSpikeGlx":
        names = [name for name in names if name.endswith(".bin")]
    for number in range(count if names else 0):
        damage = _flip(one, names[number % len(names)], 1000 + number)
        yield _damaged(one, 11, damage, limit)
