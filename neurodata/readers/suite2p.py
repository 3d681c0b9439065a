"""suite2p folders: traces, neuropil and deconvolved activity of regions, and their footprints.

Arrays are (roi, frame) and come out time-first. The rate stands in ``ops.npy`` only, a pickle
that is read in a confined process (`neurodata.safe_pickle`).

References
----------
https://suite2p.readthedocs.io/en/latest/outputs.html
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from neurodata import safe_npy, safe_pickle
from neurodata.declare import Declared
from neurodata.errors import NeurodataError, UnreadableError
from neurodata.readers.channels import BLOCK_BYTES, Channel, Clock, timeseries
from neurodata.readers.delimited import Numbers
from neurodata.readers.footprints import SIDE_LIMIT, footprints
from neurodata.readers.lacking import all_of
from neurodata.safe import Raw
from neurodata.units import Unit, to_si

SUFFIXES = (".npy",)
EXTRA = ""  # needs no optional package
ARRAYS = {
    "traces": "F.npy",
    "neuropil": "Fneu.npy",
    "deconvolved": "spks.npy",
    "traces_channel2": "F_chan2.npy",
    "neuropil_channel2": "Fneu_chan2.npy",
}
FLAGS = {
    "iscell.npy": ("is_cell", "cell_probability"),
    "redcell.npy": ("is_red", "red_probability"),
}
SIDE_CARS = (*FLAGS, "stat.npy", "ops.npy")
OPS = ("fs", "Ly", "Lx", "nframes")
PIXELS = ("ypix", "xpix", "lam")
MEASURES = ("radius", "aspect_ratio", "compact", "footprint", "skew", "std", "npix", "iplane")
UNITS = "a.u."  # means of pixel values: uncalibrated by definition of the format


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is an NPY array (roi, frame), by its name or the ``iscell.npy`` beside it.

    Examples
    --------
    >>> sniff(b"no array", Path("F.npy"))
    False
    """
    if path.name in SIDE_CARS or not head.startswith(safe_npy.MAGIC):
        return False
    try:
        shape = _shape(safe_npy.parse(head, path.name))
    except NeurodataError:
        return path.name in ARRAYS.values()
    flags = path.with_name("iscell.npy")
    if shape is None or path.name in ARRAYS.values() or not flags.is_file():
        return shape is not None and path.name in ARRAYS.values()
    try:
        return safe_npy.header(flags).shape == (shape[0], 2)
    except NeurodataError:
        return False


def _shape(header: safe_npy.Header) -> tuple[int, ...] | None:
    return header.shape if len(header.shape) == 2 and header.dtype.kind == "f" else None


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the folder's arrays, the traces first, and the files that describe their regions.

    Examples
    --------
    >>> files = [Path("p/F.npy"), Path("p/iscell.npy"), Path("p/spks.npy"), Path("q/F.npy")]
    >>> [str(p) for p in members(files[2], files)]
    ['p/F.npy', 'p/spks.npy', 'p/iscell.npy']
    """
    beside = {other.name: other for other in folder if other.parent == path.parent}
    side_cars = [beside[name] for name in SIDE_CARS if name in beside]
    if path.name not in ARRAYS.values():
        return (path, *side_cars)
    return (*(beside[name] for name in ARRAYS.values() if name in beside), *side_cars)


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a suite2p folder lazily.

    Parameters
    ----------
    declare : Declared
        ``rate_hz`` where there is no ``ops.npy``; ``units.traces`` (and so on) or ``units.*``
        for values that are not in arbitrary units; ``start_s`` (0 by default).

    Returns
    -------
    xarray.DataTree
        ``traces``, ``neuropil`` and ``deconvolved`` (timeseries/1), as far as they are there,
        with ``is_cell`` and ``cell_probability`` a channel; ``rois`` (rois/1) from ``stat.npy``.

    Raises
    ------
    UnreadableError
        When files are damaged or contradict each other.
    UnsafeError
        When a pickle names more than arrays, containers, text and numbers.
    MissingFactError
        When the rate is neither stated nor declared.
    """
    files = {path.name: path for path in raw.files}
    arrays = {node: files[name] for node, name in ARRAYS.items() if name in files}
    if raw.main.name not in ARRAYS.values():
        arrays = {"traces": raw.main}
    elif "traces" not in arrays:
        raw.warn("", "no F.npy", "the traces with their neuropil", "copy the whole folder")
    signals = {node: _signal(path) for node, path in arrays.items()}
    count, n = next(iter(signals.values())).shape
    for node, signal in signals.items():
        _same(arrays[node], signal.shape, (count, n), raw.main)
    if raw.main.parent.name == "combined":
        raw.warn("", "the folder of all planes together", "it or the planes", "remove one of them")
    ops = _ops(files, n, raw)
    facts = _facts(files, count)
    makes: list[Any] = [partial(_clock, ops, n, raw, declare)]
    makes += [partial(_unit, node, path, declare) for node, path in arrays.items()]
    clock, *units = all_of(makes)
    nodes = {
        node: _node(signal, clock, unit).assign(
            {name: ("channel", values) for name, values in facts.items()}
        )
        for (node, signal), unit in zip(signals.items(), units, strict=True)
    }
    if "stat.npy" in files:
        nodes["rois"] = _rois(files["stat.npy"], count, ops, facts, raw)
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": "calcium"}), **nodes})


def _signal(path: Path) -> Numbers:
    signal = safe_npy.mapped(path)
    if signal.ndim != 2 or signal.dtype.kind != "f":
        found = f"{signal.dtype} of shape {signal.shape}"
        raise UnreadableError(path.name, found, "numbers with a point, (roi, frame)", "save again")
    return signal


def _same(path: Path, shape: tuple[int, ...], wanted: tuple[int, ...], main: Path) -> None:
    if shape != wanted:
        found, expected = f"shape {shape}", f"{wanted}, as {main.name} has"
        raise UnreadableError(path.name, found, expected, "copy the whole folder again")


def _ops(files: Mapping[str, Path], n: int, raw: Raw) -> dict[str, Any]:
    """Return the few settings that are used; the others may name people and places."""
    if "ops.npy" not in files:
        return {}
    ops = safe_pickle.load_npy(files["ops.npy"], OPS)
    if not isinstance(ops, dict):
        raise UnreadableError("ops.npy", f"a {type(ops).__name__}", "a dictionary of settings")
    raw.note("ops.npy", f"removed: all but {', '.join(OPS)}", "", "paths may identify a person")
    frames = ops.get("nframes", n)
    if isinstance(frames, (int, np.integer)) and frames != n:
        raw.warn("ops.npy", f"nframes of {frames}", f"{n}, as in {raw.main.name}", "cut short?")
    return ops


def _clock(ops: Mapping[str, Any], n: int, raw: Raw, declare: Declared) -> Clock:
    start_s = declare.number("start_s") or 0.0
    stated = ops.get("fs")
    if stated is None or "rate_hz" in declare.facts:
        found = "arrays and no ops.npy with the rate"
        rate_hz = declare.need_number("rate_hz", raw.name, found, "<Hz>")
        if isinstance(stated, (int, float, np.number)) and stated != rate_hz:
            raw.warn("ops.npy", f"a rate of {stated} Hz", f"{rate_hz} Hz, as declared")
    else:
        rate_hz = float(_number(stated, "fs"))
    clock = Clock(rate_hz, n, ((0, start_s),))
    clock.require(raw.name)
    return clock


def _number(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise UnreadableError("ops.npy", f"{key} of {str(value)[:40]!r}", "a number", "correct it")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _facts(files: Mapping[str, Path], count: int) -> dict[str, Numbers]:
    """Return flags and probabilities (roi) of being a cell, and of being red."""
    facts: dict[str, Numbers] = {}
    for name, (flag, probability) in FLAGS.items():
        if name not in files:
            continue
        table = safe_npy.mapped(files[name])
        _same(files[name], table.shape, (count, 2), Path("the traces"))
        flags, chances = table[:, 0], np.asarray(table[:, 1], "float64")
        if not np.isin(flags, (0, 1)).all() or ((chances < 0) | (chances > 1)).any():
            found = "flags or probabilities out of range"
            raise UnreadableError(name, found, "0 or 1, and 0 to 1", "copy the file again")
        facts[flag] = np.asarray(flags == 1)
        facts[probability] = chances
    return facts


def _unit(node: str, path: Path, declare: Declared) -> Unit:
    spelling = declare.units(node)
    known = path.name in ARRAYS.values()
    return to_si(UNITS if spelling is None and known else spelling, path.name, node)


def _node(signal: Numbers, clock: Clock, unit: Unit) -> xr.Dataset:
    names = [str(index) for index in range(len(signal))]
    channels = [Channel(name, "ROI", unit.symbol, unit.factor) for name in names]
    time_first: Any = signal.T
    if unit.factor != 1:
        rows = max(1, BLOCK_BYTES // (len(names) * signal.itemsize))
        from_array: Any = da.from_array
        time_first = from_array(time_first, chunks=(rows, len(names)), name=False) * unit.factor
    return timeseries(time_first, channels, clock)


def _rois(
    path: Path, count: int, ops: Mapping[str, Any], facts: Mapping[str, Numbers], raw: Raw
) -> xr.Dataset:
    stat = list(safe_pickle.load_npy(path, (*PIXELS, *MEASURES)))
    if len(stat) != count or not all(isinstance(roi, dict) for roi in stat):
        raise UnreadableError(path.name, f"{len(stat)} regions", f"{count}, as the traces have")
    parts = [_pixels(roi, index, path) for index, roi in enumerate(stat)]
    y, x, weight = (np.concatenate(axis) for axis in zip(*parts, strict=True))
    shape = _image_shape(ops)
    measures = {
        name: ("unit", np.array([float(roi[name]) for roi in stat]))
        for name in MEASURES
        if all(_is_measure(roi.get(name)) for roi in stat)
    }
    columns = {**{name: ("unit", values) for name, values in facts.items()}, **measures}
    names = [str(index) for index in range(count)]
    counts = [len(part[0]) for part in parts]
    return footprints((y, x, weight), counts, names, shape, raw, path.name, columns)


def _is_measure(value: Any) -> bool:
    if isinstance(value, int):
        return abs(value) < 2**53
    return isinstance(value, (float, np.floating, np.integer))


def _image_shape(ops: Mapping[str, Any]) -> tuple[int, int] | None:
    if not {"Ly", "Lx"} <= set(ops):
        return None
    height, width = (_number(ops[key], key) for key in ("Ly", "Lx"))
    if not (1 <= height <= SIDE_LIMIT and 1 <= width <= SIDE_LIMIT):
        raise UnreadableError("ops.npy", f"an image of {height} x {width}", f"1 to {SIDE_LIMIT}")
    return int(height), int(width)


def _pixels(roi: Mapping[str, Any], index: int, path: Path) -> tuple[Numbers, Numbers, Numbers]:
    found = [np.asarray(roi.get(key)) for key in PIXELS]
    sizes = {array.shape for array in found}
    kinds = [array.dtype.kind for array in found]
    if len(sizes) != 1 or found[0].ndim != 1 or kinds[2] not in "fiu" or set(kinds[:2]) - set("iu"):
        raise UnreadableError(
            f"{path.name}: region {index}", "pixels and weights that do not fit together",
            f"{', '.join(PIXELS)} of one length", "copy the file again",
        )  # fmt: skip
    return found[0], found[1], found[2]
