"""CaImAn's results in HDF5: denoised and detrended traces, and footprints of components.

Traces are (component, frame) and come out time-first. The footprints are a sparse matrix
(pixel, component), its pixels counted down the columns of the image.

References
----------
https://caiman.readthedocs.io/en/latest/Getting_Started.html#result-variables-for-2p-batch-analysis
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import UnreadableError, UnsafeError, need
from neurodata.readers.channels import Channel, Clock, timeseries
from neurodata.readers.delimited import Numbers
from neurodata.readers.footprints import footprints
from neurodata.readers.hdf5_kind import holds
from neurodata.readers.lacking import all_of
from neurodata.safe import Raw
from neurodata.units import Unit, to_si

if TYPE_CHECKING:
    import h5py

SUFFIXES = (".hdf5", ".h5")
EXTRA = "calcium"
TRACES = {"traces": "F_dff", "denoised": "C", "deconvolved": "S", "residual": "YrA"}
UNITS = {"traces": "dF/F"}  # all others are in the units of the movie: arbitrary
SCORES = {"SNR_comp": "snr", "r_values": "spatial_correlation", "cnn_preds": "cell_probability"}
IMAGE_SIZES = ("dims", "params/data/dims", "estimates/dims")
RATE = "params/data/fr"
PIXEL_LIMIT = 2**27


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is HDF5 with a group ``estimates`` of footprints A and traces C.

    Examples
    --------
    >>> sniff(b"no HDF5", Path("a.hdf5"))
    False
    """
    return holds(head, path, {"estimates": {"A", "C"}}, EXTRA)


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the file alone."""
    return (path,)


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read CaImAn's results lazily.

    Parameters
    ----------
    declare : Declared
        ``rate_hz`` where the file states no frame rate; ``units.denoised`` (and so on) for
        traces that are not in arbitrary units; ``start_s`` (0 by default).

    Returns
    -------
    xarray.DataTree
        ``traces`` (F_dff), ``denoised`` (C), ``deconvolved`` (S) and ``residual`` (YrA) as far
        as they are there (timeseries/1), and ``rois`` (rois/1).

    Raises
    ------
    UnsafeError
        When the file reaches outside itself.
    UnreadableError
        When it is damaged or contradicts itself.
    MissingFactError
        When the rate is neither stated nor declared.
    """
    need("h5py", extra=EXTRA)
    from neurodata.safe_hdf5 import open_hdf5

    with open_hdf5(raw.main) as file:
        nodes = _nodes(file, raw, declare)
    raw.note("params", "removed: all but the frame rate", "", "paths may identify a person")
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"modality": "calcium"}), **nodes})


def _nodes(file: h5py.File, raw: Raw, declare: Declared) -> dict[str, xr.Dataset]:
    from neurodata.safe_hdf5 import lazy_array

    found = {node: _numbers(file, f"estimates/{name}") for node, name in TRACES.items()}
    arrays = {node: item for node, item in found.items() if item is not None}
    if "denoised" not in arrays:
        raise UnreadableError(
            raw.name, "no traces in estimates/C", "(component, frame)", "save them again"
        )
    shape = arrays["denoised"].shape
    for node, item in arrays.items():
        if item.shape != shape or len(shape) != 2 or not item.size or item.dtype.kind != "f":
            raise UnreadableError(
                f"{raw.name}: estimates/{TRACES[node]}", f"{item.dtype} of shape {item.shape}",
                f"floats of shape {shape}, as estimates/C", "export the results again",
            )  # fmt: skip
    makes: list[Any] = [partial(_clock, file, shape[1], raw, declare)]
    makes += [partial(_unit, node, raw, declare) for node in arrays]
    clock, *units = all_of(makes)
    facts = _facts(file, shape[0], raw)
    names = [str(index) for index in range(shape[0])]
    nodes = {}
    for (node, item), unit in zip(arrays.items(), units, strict=True):
        signal = lazy_array(item, axis=1).T
        signal = signal if unit.factor == 1 else signal * unit.factor
        channels = [Channel(name, "ROI", unit.symbol, unit.factor) for name in names]
        columns = {name: ("channel", values) for name, values in facts.items()}
        nodes[node] = timeseries(signal, channels, clock).assign(columns)
    rois = _rois(file, names, facts, raw)
    return nodes if rois is None else {**nodes, "rois": rois}


def _numbers(file: h5py.File, name: str) -> h5py.Dataset | None:
    """Return a dataset of numbers; what is not there or stands for None is None."""
    item = file.get(name)
    return item if getattr(getattr(item, "dtype", None), "kind", "") in tuple("iufb") else None


def _unit(node: str, raw: Raw, declare: Declared) -> Unit:
    exact = declare.text(f"units.{node}")
    spelling = exact or UNITS.get(node) or declare.text("units.*") or "a.u."
    return to_si(spelling, raw.name, node)


def _clock(file: h5py.File, n: int, raw: Raw, declare: Declared) -> Clock:
    item, declared = _numbers(file, RATE), declare.number("rate_hz")
    stated = float(item[()]) if item is not None and item.size == 1 and not item.shape else None
    if declared is not None or stated is None:
        rate_hz = declare.need_number("rate_hz", raw.name, f"no frame rate in {RATE}", "<Hz>")
        if stated is not None and stated != rate_hz:
            raw.warn(RATE, f"a rate of {stated} Hz", f"{rate_hz} Hz, as declared")
    else:
        rate_hz = stated
    clock = Clock(rate_hz, n, ((0, declare.number("start_s") or 0.0),))
    clock.require(raw.name)
    return clock


def _facts(file: h5py.File, count: int, raw: Raw) -> dict[str, Numbers]:
    """Return what CaImAn's evaluation found of each component: accepted or not, and scores."""
    facts: dict[str, Numbers] = {}
    accepted = _numbers(file, "estimates/idx_components")
    if accepted is not None:
        index = np.ravel(accepted[()])
        wrong = index.dtype.kind not in "iu" and index.size
        if wrong or ((index < 0) | (index >= count)).any():
            raise UnreadableError(
                f"{raw.name}: estimates/idx_components", "numbers of no component",
                f"0 to {count - 1}", "export the results again",
            )  # fmt: skip
        facts["is_cell"] = np.isin(np.arange(count), index)
    for name, column in SCORES.items():
        item = _numbers(file, f"estimates/{name}")
        if item is not None and item.shape == (count,):
            facts[column] = item[()].astype("float64")
    return facts


def _rois(
    file: h5py.File, names: Sequence[str], facts: dict[str, Numbers], raw: Raw
) -> xr.Dataset | None:
    size = next((item for key in IMAGE_SIZES if (item := _numbers(file, key)) is not None), None)
    dims = [] if size is None else [int(n) for n in np.ravel(size[()])[:4]]
    if len(dims) != 2:
        found = f"footprints over an image of {len(dims)} axes, left out"
        raw.warn("estimates/A", found, "height and width in dims")
        return None
    weight, rows, ends, shape = (
        _numbers(file, f"estimates/A/{key}") for key in ("data", "indices", "indptr", "shape")
    )
    if weight is None or rows is None or ends is None or shape is None:
        found = "footprints that are no sparse matrix, left out"
        raw.warn("estimates/A", found, "data, indices, indptr and shape")
        return None
    wanted = [dims[0] * dims[1], len(names)]
    where = f"{raw.name}: estimates/A"
    if min(dims) < 1 or shape[()].tolist() != wanted:
        raise UnreadableError(where, f"a matrix of {shape[()].tolist()}", f"{wanted} by its dims")
    if weight.size > PIXEL_LIMIT:
        raise UnsafeError(where, f"{weight.size} pixels", f"at most {PIXEL_LIMIT}", "split it")
    splits, pixels, values = ends[()].astype("int64"), rows[()].astype("int64"), weight[()]
    sound = splits.shape == (len(names) + 1,) and splits[0] == 0 and (np.diff(splits) >= 0).all()
    if not sound or not splits[-1] == len(pixels) == len(values) or pixels.ndim != 1:
        raise UnreadableError(where, "a sparse matrix of odd parts", "ends that rise", "export it")
    if ((pixels < 0) | (pixels >= wanted[0])).any():
        raise UnreadableError(where, "pixels outside the image", f"below {wanted[0]}", "export it")
    x, y = np.divmod(pixels, dims[0])
    columns = {name: ("unit", column) for name, column in facts.items()}
    counts = np.diff(splits)
    image = (dims[0], dims[1])
    return footprints((y, x, values), counts, names, image, raw, "estimates/A", columns)
