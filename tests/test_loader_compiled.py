"""Compiled loops give the bits that NumPy gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodata.compiled import OFF, address, compiled, wait_compiled
from neurodata.loader import Patches, Windows
from neurodata.loader.gain import gain_of, scale_into, tables
from tests.synthetic_stores import synthetic_series_store, synthetic_volume_store
from tests.test_loader_engine import assert_same, made, rows

pytest.importorskip("numba")

KINDS = ["i1", "u1", "i2", "u2", "f4"]


def numbers(kind: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    if kind == "f4":
        return random.normal(0, 1e3, shape).astype("f4")
    info = np.iinfo(kind)
    return random.integers(info.min, info.max, shape, endpoint=True).astype(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shifted", [False, True])
def test_windows_have_the_bits_of_numpy(kind: str, shifted: bool) -> None:
    loop = wait_compiled("scale_windows", np.dtype(kind))
    assert loop is not None
    widths = [5, 3, 7]
    stored = [numbers(kind, (50, width), seed) for seed, width in enumerate(widths)]
    random = np.random.default_rng(9)
    gains = [
        gain_of(random.normal(0, 1, w), random.normal(0, 9, w) * shifted, np.dtype(kind))
        for w in widths
    ]
    sources = [stored[at][low : low + 20] for at, low in ((0, 3), (2, 30), (1, 0), (2, 7))]
    which = np.array([0, 2, 1, 2])
    found = np.full((4, 20, 7), np.nan, "f4")
    table: Any = tables(gains, 7)
    places = np.array([address(source) for source in sources], "u8")
    loop(places, np.array(widths)[which], which, *table, np.zeros(0, kind), found)
    for row, (source, number) in enumerate(zip(sources, which, strict=True)):
        expected = np.zeros((20, 7), "f4")
        scale_into(expected[:, : widths[number]], source, gains[number])
        np.testing.assert_array_equal(found[row], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_patches_have_the_bits_of_numpy(kind: str) -> None:
    loop = wait_compiled("scale_patches", np.dtype(kind))
    assert loop is not None
    stored = numbers(kind, (2, 9, 10, 11), 0)
    gain = gain_of(np.array([0.37, 1.0]), np.array([0.0, 3.3]), np.dtype(kind))
    sources = [stored[:, 1:4, 2:7, 3:10], stored[:1, 6:, 5:, 4:]]
    found = np.full((2, 2, 3, 5, 7), np.nan, "f4")
    places = np.array([address(source) for source in sources], "u8")
    strides = np.array([source.strides[:3] for source in sources], "u8")
    table: Any = tables([gain], 2)
    which = np.zeros(2, int)
    loop(places, strides, np.array([2, 1]), which, *table, np.zeros(0, kind), found)
    for row, source in enumerate(sources):
        for channel in range(2):
            expected = np.zeros((3, 5, 7), "f4")
            if channel < len(source):
                scale_into(expected, source[channel], gain.of(channel))
            np.testing.assert_array_equal(found[row, channel], expected)


@pytest.mark.parametrize("memory_mb", [1.0, 500])
def test_batches_are_the_same_with_and_without(
    tmp_path: Path, memory_mb: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = synthetic_series_store(tmp_path / "series", count=3)
    volumes = synthetic_volume_store(tmp_path / "volumes", count=2)
    cases = ((series, Windows(2.0)), (volumes, Patches((16, 24, 16))))
    for name, kind in (("scale_windows", "i2"), ("scale_patches", "u2")):
        assert wait_compiled(name, np.dtype(kind)) is not None
    compiled_rows = [rows(made(s, sample=sample, memory_mb=memory_mb)) for s, sample in cases]
    monkeypatch.setattr("neurodata.compiled._ready", {})
    monkeypatch.setenv(OFF, "1")
    assert compiled("scale_windows", np.dtype("i2")) is None
    for one, (store, sample) in zip(compiled_rows, cases, strict=True):
        assert_same(rows(made(store, sample=sample, memory_mb=memory_mb)), one)


def test_what_float32_does_not_hold_is_left_to_numpy() -> None:
    assert wait_compiled("scale_windows", np.dtype("i4")) is None
    assert tables([gain_of(np.ones(2), np.zeros(2), np.dtype("f8"))], 2) is None


@pytest.mark.parametrize("before", ["", "import numba"])
def test_loading_a_loop_leaves_the_streams_alone(before: str, tmp_path: Path) -> None:
    watched = f"""
import sys, types
import numpy as np
from neurodata.compiled import wait_compiled
{before}
exchanged = []
class Watched(types.ModuleType):
    def __setattr__(self, name, value):
        exchanged.append(name)
        super().__setattr__(name, value)
sys.__class__ = Watched
assert wait_compiled("scale_windows", np.dtype("i2")) is not None
print([name for name in exchanged if name in ("stdout", "stderr")])
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_DISABLE")}
    environment["NUMBA_CACHE_DIR"] = str(tmp_path)  # it is compiled, not only loaded
    done = subprocess.run(
        [sys.executable, "-c", watched], capture_output=True, text=True, check=True,
        env=environment,
    )  # fmt: skip
    assert done.stdout == "[]\n"
