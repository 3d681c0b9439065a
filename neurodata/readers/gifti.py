"""GIFTI files (.surf.gii, .shape.gii, .func.gii, .label.gii): surfaces and data on vertices.

Coordinates are in mm by definition of the format and stored in m. ``TimeStep`` is a number
without a unit (programs write seconds or milliseconds), so that the period of a time series
comes from ``RepetitionTime`` of its BIDS side-car or from a declaration.

References
----------
J. Harwell et al., GIFTI Surface Data Format 1.0 (2011), https://www.nitrc.org/projects/gifti.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.declare import Declared, missing
from neurodata.errors import UnknownFormatError
from neurodata.readers import bids, gifti_surface, sidecar
from neurodata.readers.delimited import is_number as is_number_text
from neurodata.readers.delimited import text_array
from neurodata.readers.gifti_document import EXTRA, document, wrong
from neurodata.readers.graphml import MARKS
from neurodata.readers.nifti_space import REPETITION_S, TOLERANCE, regular_clock
from neurodata.readers.place_maps import label_node, modality, table_of, value_node
from neurodata.safe import Raw

__all__ = ["EXTRA", "SUFFIXES", "members", "read", "sniff"]

SUFFIXES = (".gii", ".gii.gz")
POINTS, TRIANGLES, SERIES, INDEX, SHAPE, LABEL = 1008, 1009, 2001, 2002, 2005, 1002
VALUES = (0, *range(2, 25), SHAPE)  # no intent, statistics and shape: one number a vertex
KNOWN = (POINTS, TRIANGLES, SERIES, INDEX, LABEL, *VALUES)
VERTEX_LIMIT = 20_000_000
TIME_STEP = "TimeStep"
USED = (TIME_STEP, "Name", *gifti_surface.FACTS)
Array = npt.NDArray[Any]

members = bids.with_sidecars


def sniff(head: bytes, path: Path) -> bool:
    """Say whether an XML file is GIFTI."""
    for mark in MARKS:
        head = head.removeprefix(mark)
    return head.lstrip().startswith(b"<") and b"<GIFTI" in head


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read surfaces, maps, labels and time series as a tree in raw form.

    Returns
    -------
    xarray.DataTree
        ``surface`` with ``position (vertex, axis)`` in m and ``face (triangle, corner)``; ``maps``
        with ``value (map, place)``; ``labels`` with ``label (map, place)`` and their table;
        ``bold``, a timeseries ``(time, channel)`` of vertices: those that the file has.

    Raises
    ------
    UnreadableError
        When the file is damaged, cut short or contradicts itself.
    UnsafeError
        When it has a document type of its own, an entity or an external file.
    UnknownFormatError
        When it holds vectors, colours or several surfaces.
    MissingFactError
        When no side-car states the repetition time of a time series; the hint holds the flag.
    """
    image = document(raw)
    arrays: dict[str, list[Any]] = {"series": [], "values": [], "labels": [], "mesh": []}
    index: list[Any] = []
    for number, array in enumerate(image.darrays):
        intent = int(array.intent)
        if intent not in KNOWN:
            raise UnknownFormatError(
                f"{raw.name}: DataArray {number}", f"the intent {intent}, no number a vertex",
                "a surface, a time series, maps or labels", "export these apart",
            )  # fmt: skip
        kind = {SERIES: "series", LABEL: "labels", POINTS: "mesh", TRIANGLES: "mesh"}
        (index if intent == INDEX else arrays[kind.get(intent, "values")]).append(array)
    nodes: dict[str, xr.Dataset] = {}
    if arrays["mesh"]:
        nodes["surface"] = gifti_surface.surface(raw, image, arrays["mesh"])
    places = _places(raw, image, arrays, index, nodes.get("surface"))
    if arrays["series"]:
        nodes["bold"] = _series(raw, arrays["series"], places, declare)
    if arrays["values"]:
        values = _stacked(arrays["values"])
        nodes["maps"] = value_node(raw, values, _names(arrays["values"]), places, declare)
    if arrays["labels"]:
        nodes["labels"] = _labels(raw, image, arrays["labels"], places)
    if not nodes:
        raise wrong(raw, "GIFTI", "no data", "a surface, a time series, maps or labels")
    _note_removed(raw, image)
    tree = xr.DataTree.from_dict(nodes)
    tree.attrs = {
        **bids.facts(raw),
        "modality": "fmri" if "bold" in nodes else modality(declare),
    }
    return tree


def _places(
    raw: Raw,
    image: Any,
    arrays: Mapping[str, Sequence[Any]],
    index: Sequence[Any],
    surface: xr.Dataset | None,
) -> xr.Dataset:
    """Return the vertices that data are on: all of them, or those of an array of indices."""
    data = [array for kind in ("series", "values", "labels") for array in arrays[kind]]
    sizes = {_flat(raw, array).size for array in [*data, *index]}
    attrs = {key: value for key, value in gifti_surface.facts(image, data).items()
             if key == "structure"}  # fmt: skip
    if not data:
        return xr.Dataset(attrs=attrs)
    if len(sizes) > 1 or len(index) > 1:
        found = f"arrays of {sorted(sizes)} numbers, {len(index)} of indices"
        raise wrong(raw, "Dim0", found, "one number a vertex in all arrays")
    count = sizes.pop()
    if count > VERTEX_LIMIT:
        raise wrong(raw, "Dim0", f"{count} vertices", f"at most {VERTEX_LIMIT}")
    vertices = _flat(raw, index[0]) if index else np.arange(count)
    most = VERTEX_LIMIT if surface is None else surface.sizes["vertex"]
    if vertices.dtype.kind not in "iu" or vertices.min() < 0 or vertices.max() >= most:
        found = f"vertices {vertices.min()} to {vertices.max()}"
        raise wrong(raw, "NIFTI_INTENT_NODE_INDEX", found, f"whole numbers below {most}")
    if np.unique(vertices).size < count:
        raise wrong(raw, "NIFTI_INTENT_NODE_INDEX", "a vertex twice", "each once")
    if surface is not None and not index and count != most:
        raise wrong(raw, "Dim0", f"data of {count} vertices", f"{most}, as the surface has")
    return xr.Dataset({"vertex": ("place", vertices.astype("i4"))}, attrs=attrs)


def _flat(raw: Raw, array: Any) -> Array:
    """Return the numbers (vertex) of an array (vertex) or (vertex, 1)."""
    data = np.asarray(array.data)
    if data.ndim > 1 and max(data.shape[1:]) > 1:
        raise UnknownFormatError(
            f"{raw.name}: Dim1", f"{list(data.shape)} numbers", "one a vertex in each array",
            "export a map or a time an array",
        )  # fmt: skip
    return data.ravel()


def _stacked(arrays: Sequence[Any]) -> Array:
    """Return arrays as floats (array, vertex); integers too large for float32 as float64."""
    rows = [np.asarray(array.data).ravel() for array in arrays]
    dtype = np.result_type(*(row.dtype for row in rows), np.float16)
    wide = dtype.itemsize > 4
    return np.stack([row.astype("f8" if wide else "f4") for row in rows])


def _names(arrays: Sequence[Any]) -> list[str]:
    return [str(dict(array.meta).get("Name", "")) for array in arrays]


def _series(raw: Raw, arrays: Sequence[Any], places: xr.Dataset, declare: Declared) -> xr.Dataset:
    structure = places.attrs.get("structure")
    names = [f"{structure or 'VERTEX'}:{vertex}" for vertex in places["vertex"].values]
    node = xr.Dataset(
        {"signal": (("time", "channel"), _stacked(arrays), {"units": "a.u."})},
        coords={
            "channel": ("channel", text_array(names)),
            "units": ("channel", text_array(["a.u."] * len(names))),
        },
        attrs={"representation": "timeseries", "schema": "timeseries/1", "units": "a.u."},
    )
    if structure is not None:
        node = node.assign_coords(structure=("channel", text_array([structure] * len(names))))
    node.attrs.update(_clock(raw, arrays, declare))
    return node


def _clock(raw: Raw, arrays: Sequence[Any], declare: Declared) -> dict[str, float | int]:
    """Return the clock by the side-car or a declaration, compared with ``TimeStep``."""
    period_s = sidecar.repetition_s(raw)
    words = {str(dict(array.meta).get(TIME_STEP, "")).strip() for array in arrays}
    steps = sorted(float(word) for word in words if is_number_text(word))
    known = [step for step in steps if step > 0]
    found = f"{TIME_STEP} {known[0]:g} without a unit" if known else "no repetition time"
    if period_s is None and declare.number("rate_hz") is None:
        readings = [known[0], known[0] / 1e3] if known else []
        likely = [step for step in readings if REPETITION_S[0] <= step <= REPETITION_S[1]]
        example = f"rate_hz={1 / likely[0]:g}" if likely else "rate_hz=<Hz>"
        expected = "RepetitionTime in s in a BIDS side-car, or volumes a second declared"
        raise missing(f"{raw.name}: MetaData", found, expected, example)
    clock = regular_clock(raw, "RepetitionTime", period_s, len(arrays), declare)
    readings = [step * unit * float(clock["rate_hz"]) for step in known for unit in (1, 1e-3)]
    if readings and min(abs(reading - 1) for reading in readings) > TOLERANCE:
        raw.warn("MetaData", found, f"{1 / float(clock['rate_hz']):g} s", "compare the sources")
    return clock


def _labels(raw: Raw, image: Any, arrays: Sequence[Any], places: xr.Dataset) -> xr.Dataset:
    rows = [_flat(raw, array) for array in arrays]
    if any(row.dtype.kind not in "iu" for row in rows):
        raise wrong(raw, "DataType", "labels that are no whole numbers", "NIFTI_TYPE_INT32")
    listed = [(int(label.key), str(label.label or "")) for label in image.labeltable.labels]
    table = table_of(raw, listed, "LabelTable")
    return label_node(raw, np.stack(rows), _names(arrays), [table] * len(rows), places)


def _note_removed(raw: Raw, image: Any) -> None:
    """Say how much of the metadata, which is free text, stays behind."""
    every = [image.meta, *(array.meta for array in image.darrays)]
    removed = sum(key not in USED for meta in every for key in dict(meta))
    if removed:
        raw.note("MetaData", f"{removed} entries of free text, removed")
