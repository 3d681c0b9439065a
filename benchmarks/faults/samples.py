"""Samples that are no numbers, flat or clipped: each is counted, or the recording refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.faults.case import Case
from benchmarks.faults.files import BrainVision, Edf, N, Nifti, counts, oblique, text
from benchmarks.faults.signals import brainvision, edf

Array = np.ndarray[Any, Any]


def cases() -> Iterator[Case]:
    """Yield the cases of this module."""
    yield from _floats()
    yield from _integers()
    yield from _tables()
    yield from _voxels()


def _floats() -> Iterator[Case]:
    for label, value in (("NaN", np.nan), ("infinite", np.inf), ("-infinite", -np.inf)):
        for count in (1, 20, 90):
            values = counts().astype("f4")
            values[100 : 100 + count, 1] = value
            file = replace(BrainVision(), adc=values, form="IEEE_FLOAT_32")
            truth = {**file.truth(), "signal": values.astype("f8") * 1e-7}
            story = f"{count} of {N} samples of one channel are {label}"
            yield brainvision(f"{count} {label}", 17, story, file, truth=truth, told=True,
                              named=rf"non-finite samples of {N}: Cz {count}\b")  # fmt: skip
        values = counts().astype("f4")
        values[: N // 10, 1] = value
        file = replace(BrainVision(), adc=values, form="IEEE_FLOAT_32")
        story = f"a tenth of the samples of one channel is {label}"
        yield brainvision(f"a tenth {label}", 17, story, file)  # refused: over 5 %


def _integers() -> Iterator[Case]:
    flat, whole = counts(), counts()
    flat[:, 1] = 7
    file = replace(Edf(), adc=flat)
    yield edf("a flat channel", 17, "one channel has one value", file, truth=file.truth(),
              told=True, named=r"flat channel\(s\) EEG Cz")  # fmt: skip
    zero = replace(Edf(), adc=np.zeros_like(whole))
    yield edf("nothing but zeros", 17, "all channels are 0", zero, truth=zero.truth(),
              told=True, named=r"flat channel\(s\) EEG Fp1, EEG Cz")  # fmt: skip
    clipped = replace(Edf(), adc=np.clip(whole, -250, 250))
    yield edf("clipped", 17, "a fifth of the samples at the rails", clipped, truth=clipped.truth(),
              told=True, named="runs of samples at the extreme value: EEG Fp1")  # fmt: skip
    twin = whole.copy()
    twin[:, 1] = twin[:, 0]
    same = replace(Edf(), adc=twin)
    yield edf("one signal twice", 17, "two channels with equal samples", same, truth=same.truth(),
              told=True, named="identical channels EEG Fp1 = EEG Cz")  # fmt: skip


def _tables() -> Iterator[Case]:
    facts = {"modality": "calcium", "units.*": "dF/F"}
    for name, cell in (("nan", "nan"), ("an empty cell", ""), ("inf", "inf"), ("1e999", "1e999")):
        values = np.random.default_rng(3).normal(0, 0.5, (100, 2)).round(4)
        rows = [[f"{n / 20:g}", *map(str, row)] for n, row in enumerate(values.tolist())]
        rows[50][1] = cell
        values[50, 0] = np.nan
        body = "".join(",".join(row) + "\n" for row in rows)
        build = partial(text, "synthetic.csv", f"time_s,a,b\n{body}")
        truth = {"signal": values, "rate_hz": 20.0}
        yield Case(f"traces: {name}", 17, f"one cell of a table is {cell!r}", build, truth=truth,
                   told=True, named="1 of 200 samples|non-finite", declare=facts)  # fmt: skip


def _voxels() -> Iterator[Case]:
    base = np.random.default_rng(4).normal(100, 20, (6, 7, 8)).astype("f4")
    for label, value in (("NaN", np.nan), ("infinite", np.inf)):
        image = base.copy()
        image[2, 3, 1:4] = value
        file = Nifti(image, oblique())
        yield Case(f"nifti: 3 voxels {label}", 17, f"3 of {image.size} voxels are {label}",
                   file.build, "nifti", file.name, truth=file.truth(), told=True,
                   named=f"3 non-finite voxels of {image.size}")  # fmt: skip
    flat = Nifti(np.full((6, 7, 8), 5, "i2"), oblique())
    yield Case("nifti: one value", 17, "the same value in every voxel", flat.build, "nifti",
               flat.name)  # fmt: skip
    rails = Nifti(np.clip((base * 100).astype("i2"), 0, 9000), oblique())
    yield Case("nifti: saturated", 17, "most voxels at the highest value", rails.build, "nifti",
               rails.name, truth=rails.truth(), told=True,
               named="at the highest value")  # fmt: skip
