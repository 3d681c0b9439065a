"""NWB tables: sorted units, intervals and the footprints of regions of interest."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import UnreadableError
from neurodata.readers import intervals as interval_nodes
from neurodata.readers.nwb_text import names
from neurodata.safe import Raw
from neurodata.safe_hdf5 import lazy_array

LABELS = ("label", "tags")
MASKS = ("pixel_mask", "image_mask", "voxel_mask")
PASS_ROWS = 2**20


def spikes(table: h5py.Group, raw: Raw, declare: Declared) -> xr.Dataset:
    """Return a units table as a ``spikes`` node, the times sorted within each unit.

    The observed span is that of ``obs_intervals``, else declared (``start_s`` and ``stop_s``).
    """
    splits = _splits(table, "spike_times", raw)
    stored = table["spike_times"]
    times: Any = lazy_array(stored)
    if not _is_sorted(stored, splits, raw):
        raw.warn("units", "spike times out of order", "rising times", "sorted within each unit")
        parts = [np.sort(stored[a:b]) for a, b in pairwise(splits)]
        times = np.concatenate(parts)
    ids = _ids(table, len(splits) - 1, raw)
    node = xr.Dataset(
        {
            "time_s": ("spike", times.astype("float64"), {"units": "s"}),
            "row_splits": ("split", splits),
            **_columns(table, "unit", ("spike_times",), raw),
        },
        coords={"unit_id": ("unit", ids)},
        attrs={"representation": "spikes", "schema": "spikes/1"},
    )
    if "obs_intervals" in table and table["obs_intervals"].size:
        observed = table["obs_intervals"][()]
        node.attrs.update(start_s=float(observed.min()), stop_s=float(observed.max()))
        return node
    declared = {key: declare.number(key) for key in ("start_s", "stop_s")}
    node.attrs.update({key: value for key, value in declared.items() if value is not None})
    return node


def intervals(table: h5py.Group, raw: Raw, declare: Declared) -> xr.Dataset:
    """Return a table of intervals as an ``intervals`` node, in order of start."""
    start_s = table["start_time"][()].astype("float64")
    duration_s = table["stop_time"][()].astype("float64") - start_s
    if not np.isfinite(start_s).all() or (duration_s < 0).any():
        raise UnreadableError(
            f"{raw.name}: {table.name}", "starts that are not finite or after their stops",
            "start_time <= stop_time", "correct the table",
        )  # fmt: skip
    name = table.name.rpartition("/")[2]
    wanted = declare.text("columns.label")
    column = next((key for key in (wanted, *LABELS) if key and key in table), None)
    labels = [name] * len(start_s) if column is None else _texts(table, column, raw)
    used = ("start_time", "stop_time", *([column] if column else []))
    columns = {key: values for key, (_, values) in _columns(table, "interval", used, raw).items()}
    return interval_nodes.intervals(list(start_s), list(duration_s), labels, columns)


def rois(table: h5py.Group, raw: Raw) -> xr.Dataset:
    """Return the footprints of a plane segmentation as a ``rois`` node.

    NWB fixes the axes of ``image_mask`` as (roi, x, y, z), ``pixel_mask`` as x, y, weight and
    ``voxel_mask`` as x, y, z, weight; z comes as the column ``pixel_z``.
    """
    masks = next(key for key in MASKS if key in table)
    pixels, weight, splits, shape = (_images if masks == "image_mask" else _pixels)(
        table, masks, raw
    )
    x, y = pixels[:2]
    depth = {"pixel_z": ("pixel", pixels[2].astype("int32"))} if len(pixels) > 2 else {}
    counts = np.diff(splits)
    unit = np.repeat(np.arange(len(counts)), counts)
    total = np.bincount(unit, weight, len(counts))
    with np.errstate(invalid="ignore", divide="ignore"):
        centroids = [np.bincount(unit, weight * axis, len(counts)) / total for axis in (y, x)]
    return xr.Dataset(
        {
            "pixel_y": ("pixel", y.astype("int32")),
            "pixel_x": ("pixel", x.astype("int32")),
            "pixel_weight": ("pixel", weight.astype("float32")),
            "row_splits": ("split", splits),
            "centroid_y": ("unit", centroids[0]),
            "centroid_x": ("unit", centroids[1]),
            **depth,
            **_cell_flags(table),
            **_columns(table, "unit", (masks, "iscell"), raw),
        },
        coords={"unit_id": ("unit", _ids(table, len(counts), raw))},
        attrs={"representation": "rois", "schema": "rois/1", "image_shape_yx": list(shape)},
    )


Pixels = tuple[list[Any], Any, Any, tuple[int, int]]


def _pixels(table: h5py.Group, masks: str, raw: Raw) -> Pixels:
    splits = _splits(table, masks, raw)
    stored = table[masks][()]
    pixels = [stored[key] for key in ("x", "y", "z") if masks == "voxel_mask" or key != "z"]
    x, y, weight = pixels[0], pixels[1], stored["weight"]
    shape = _image_shape(table)
    least = (int(y.max(initial=0)) + 1, int(x.max(initial=0)) + 1)
    if shape is None:
        raw.warn(table.name.lstrip("/"), "no image size", "height and width", f"{least} holds all")
        shape = least
    if shape[0] < least[0] or shape[1] < least[1] or min(x.min(initial=0), y.min(initial=0)) < 0:
        raise UnreadableError(f"{raw.name}: {table.name}", f"pixels up to {least}", f"in {shape}")
    return pixels, weight, splits, shape


def _image_shape(table: h5py.Group) -> tuple[int, int] | None:
    """Return (height, width) from the images that the table refers to; `dimension` is x, y."""
    images = table.get("reference_images", {})
    for name in images:
        size = images[name].get("dimension")
        if size is not None and size.shape[0] >= 2:
            return int(size[1]), int(size[0])
    return None


def _images(table: h5py.Group, masks: str, raw: Raw) -> Pixels:
    stored = table[masks]
    if stored.ndim not in (3, 4):
        found = f"{stored.ndim} axes"
        raise UnreadableError(f"{raw.name}: {stored.name}", found, "roi, x, y and maybe z")
    if min(stored.shape[1:3]) == 1:
        raw.warn(
            stored.name.lstrip("/"), f"images of shape {stored.shape[1:]}", "x, y", "flattened?"
        )
    parts: list[Any] = []
    counts = []
    for roi in range(stored.shape[0]):
        image = stored[roi]
        places = np.nonzero((image != 0) & np.isfinite(image))
        parts.append((*places, image[places].astype("float64")))
        counts.append(len(places[0]))
    *pixels, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    return pixels, weight, _cumulated(counts), (stored.shape[2], stored.shape[1])


def _cumulated(counts: list[int]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype("int64")


def _cell_flags(table: h5py.Group) -> dict[str, Any]:
    """Return suite2p's column ``iscell``: flag and probability."""
    stored = table.get("iscell")
    if stored is None or stored.ndim != 2 or stored.shape[1] != 2:
        return {}
    flags = stored[()]
    return {"is_cell": ("unit", flags[:, 0] > 0), "cell_probability": ("unit", flags[:, 1])}


def _splits(table: h5py.Group, column: str, raw: Raw) -> npt.NDArray[np.int64]:
    """Return the row splits of a ragged column, from its index of ends."""
    index = table.get(f"{column}_index")
    if index is None:
        raise UnreadableError(f"{raw.name}: {table.name}", f"no {column}_index", "an index")
    ends = index[()].astype("int64")
    splits = np.concatenate([[0], ends])
    size = table[column].shape[0]
    if ends.ndim != 1 or (np.diff(splits) < 0).any() or splits[-1] != size:
        raise UnreadableError(
            f"{raw.name}: {index.name}", f"ends up to {ends.max(initial=0)}",
            f"rising ends, the last one {size}", "export the recording again",
        )  # fmt: skip
    return splits


def _is_sorted(stored: h5py.Dataset, splits: npt.NDArray[np.int64], raw: Raw) -> bool:
    """Walk through the times in blocks; a fall is allowed where a unit begins."""
    last, falls = -np.inf, []
    for first in range(0, stored.shape[0], PASS_ROWS):
        block = stored[first : first + PASS_ROWS]
        if not np.isfinite(block).all():
            raise UnreadableError(f"{raw.name}: {stored.name}", "times not finite", "seconds")
        falls.append(first + np.flatnonzero(np.diff(block, prepend=last) < 0))
        last = block[-1]
    return bool(np.isin(np.concatenate([np.empty(0, int), *falls]), splits).all())


def _ids(table: h5py.Group, count: int, raw: Raw) -> npt.NDArray[np.object_]:
    ids = [str(value) for value in table["id"][()]]
    if len(ids) != count:
        raise UnreadableError(f"{raw.name}: {table.name}", f"{len(ids)} ids", f"{count} rows")
    if len(set(ids)) < len(ids):
        raw.warn(table.name.lstrip("/"), "repeated ids", "one id each", "row numbers are used")
        ids = [str(row) for row in range(count)]
    return np.array(ids, dtype=object)


def _texts(table: h5py.Group, column: str, raw: Raw) -> list[str]:
    """Return a column as texts; several values of a row are joined with a comma."""
    stored = table[column]
    values = names(stored)
    if f"{column}_index" not in table:
        return values
    splits = _splits(table, column, raw)
    return [",".join(values[a:b]) for a, b in pairwise(splits)]


def _columns(table: h5py.Group, dim: str, used: tuple[str, ...], raw: Raw) -> dict[str, Any]:
    """Return the plain columns (one number or text a row); the others are listed in a note."""
    taken: dict[str, Any] = {}
    left = []
    rows = table["id"].shape[0]
    for name in names(table.attrs.get("colnames")):
        if name in used or name not in table:
            continue
        stored = table[name]
        is_text = h5py.check_string_dtype(getattr(stored, "dtype", None)) is not None
        plain = isinstance(stored, h5py.Dataset) and stored.shape == (rows,)
        if not plain or f"{name}_index" in table or not (is_text or stored.dtype.kind in "iufb"):
            left.append(name)
        elif not is_text:
            taken[name] = (dim, stored[()])
        elif any(names(stored)):
            taken[name] = (dim, np.array(names(stored), dtype=object))
    if left:
        raw.note(table.name.lstrip("/"), "columns left out: " + ", ".join(left), "plain columns")
    return taken
