"""CIFTI-2 series, scalars and labels (.dtseries.nii, .dscalar.nii, .dlabel.nii and parcels').

A NIfTI-2 header, an XML text that says what rows and columns are, and the matrix, over vertices
and voxels of structures or over parcels. Connectivity has another kind of columns: it is refused.

References
----------
https://www.nitrc.org/projects/cifti
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import UnknownFormatError
from neurodata.readers import bids, cifti_maps
from neurodata.readers.cifti_rows import MODELS, PARCELS, Rows, rows_of
from neurodata.readers.cifti_xml import DAMAGE, Maps, index_maps, kind, wrong
from neurodata.readers.delimited import text_array
from neurodata.readers.nifti_header import EXTRA, MAGIC_2, SIZE_2, Header, parse
from neurodata.readers.nifti_space import regular_clock
from neurodata.readers.nifti_voxels import lazy, stored_voxels
from neurodata.readers.place_maps import modality
from neurodata.safe import Raw

__all__ = ["EXTRA", "SUFFIXES", "members", "read", "sniff"]

STEMS = ("dtseries", "ptseries", "dscalar", "pscalar", "dlabel", "plabel")
SUFFIXES = tuple(f".{stem}.nii{packed}" for stem in STEMS for packed in ("", ".gz"))
INTENTS = range(3000, 3100)
SERIES, SCALARS, LABELS = "SERIES", "SCALARS", "LABELS"
# What columns and rows are, by the intent; labels of parcels have none of their own.
FORMS = {
    3000: (), 3002: (SERIES, MODELS), 3004: (SERIES, PARCELS), 3006: (SCALARS, MODELS),
    3007: (LABELS, MODELS), 3008: (SCALARS, PARCELS),
}  # fmt: skip
AXES = 6

members = bids.with_sidecars


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is NIfTI-2 with an intent of CIFTI; ``head`` is decompressed."""
    if len(head) < SIZE_2 or head[4:12] not in MAGIC_2:
        return False
    order = "little" if head[0] else "big"
    return int.from_bytes(head[504:508], order) in INTENTS  # type: ignore[arg-type]


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a series, scalars or labels as a lazy tree in raw form.

    A series is the node ``bold``, a timeseries ``(time, channel)`` in "a.u." with a regular
    clock. Its channels are grayordinates, named by structure and vertex (``CORTEX_LEFT:12``) or
    voxel (``THALAMUS_LEFT:40,51,33``), or parcels by their names. Scalars are the node ``maps``
    with ``value (map, place)``, labels ``labels`` with ``label (map, place)`` and the tables of
    their names.

    Raises
    ------
    UnreadableError
        When the file is damaged, cut short or contradicts itself.
    UnsafeError
        When its XML has a document type or an entity.
    UnknownFormatError
        When it is CIFTI of another kind.
    MissingFactError
        When the clock is not in seconds or implausible; the hint holds the flag.
    """
    header = parse(safe.head(raw.main, SIZE_2), raw.name, AXES)
    form = _form(raw, header)
    maps = index_maps(raw, header)
    columns = _columns(raw, maps, form)
    count, places = _shape(raw, header, columns)
    rows = rows_of(raw, maps.across, places)
    matrix = lazy(stored_voxels(raw.main, replace(header, shape=(count, places)))).T
    if columns == SERIES:
        nodes = {"bold": _series(raw, maps.along, matrix, rows, declare)}
    elif columns == SCALARS:
        nodes = cifti_maps.scalars(raw, maps, matrix, rows, declare)
    else:
        nodes = cifti_maps.labels(raw, maps, matrix, rows)
    raw.note("XML", "metadata as free text, removed")
    tree = xr.DataTree.from_dict(nodes)
    about = "fmri" if columns == SERIES else modality(declare)
    tree.attrs = {**bids.facts(raw), "modality": about}
    return tree


def _form(raw: Raw, header: Header) -> tuple[str, ...]:
    """Return what columns and rows are by the intent; nothing where it is not said."""
    intent = int(header.fields["intent_code"])
    if intent not in FORMS:
        raise UnknownFormatError(
            f"{raw.name}: intent_code", f"{intent}",
            "a series, scalars or labels: " + ", ".join(map(str, FORMS)),
            "connectivity of grayordinates is not read",
        )  # fmt: skip
    return FORMS[intent]


def _columns(raw: Raw, maps: Maps, form: tuple[str, ...]) -> str:
    """Return what the columns are by the XML, in agreement with the intent."""
    found = (kind(maps.along), kind(maps.across))
    if found[0] not in (SERIES, SCALARS, LABELS) or found[1] not in (MODELS, PARCELS):
        raise UnknownFormatError(
            f"{raw.name}: XML", f"{found[0]} along the rows, {found[1]} across",
            "a series, scalars or labels of brain models or parcels", "this kind is not read",
        )  # fmt: skip
    if form and found != form:
        stated = " and ".join(form)
        raise wrong(raw, "XML", " and ".join(found), f"{stated}, as the intent says")
    return found[0]


def _shape(raw: Raw, header: Header, columns: str) -> tuple[int, int]:
    """Return how many columns and rows the matrix has, after checks of its values' type."""
    shape = (*header.shape, 1, 1, 1)[:AXES]
    if shape[:4] != (1, 1, 1, 1):
        raise wrong(raw, "dim", str(shape), "1, 1, 1, 1, columns and rows")
    kinds = "fiu" if columns == LABELS else "f"
    if header.dtype.kind not in kinds or (header.slope, header.inter) != (1.0, 0.0):
        found = f"values of type {header.dtype}, slope {header.slope}"
        raise UnknownFormatError(f"{raw.name}: datatype", found, "plain floats", "convert it")
    return shape[4], shape[5]


def _series(raw: Raw, along: Any, matrix: Any, rows: Rows, declare: Declared) -> xr.Dataset:
    count = matrix.shape[0]
    if along.number_of_series_points != count:
        found = f"{along.number_of_series_points} points in time by the XML"
        raise wrong(raw, "NumberOfSeriesPoints", found, f"{count}, as the matrix has")
    node = xr.Dataset(
        {"signal": (("time", "channel"), matrix, {"units": "a.u."})},
        coords={
            "channel": ("channel", text_array(rows.names)),
            "structure": ("channel", text_array(rows.structures)),
            "units": ("channel", text_array(["a.u."] * len(rows.names))),
        },
        attrs={"representation": "timeseries", "schema": "timeseries/1", "units": "a.u."},
    )
    node.attrs.update(_clock(raw, along, count, declare))
    return node


def _clock(raw: Raw, along: Any, count: int, declare: Declared) -> dict[str, float | int]:
    unit = str(along.series_unit)
    try:
        factor = 10.0 ** int(along.series_exponent)
        step, start = float(along.series_step) * factor, float(along.series_start) * factor
    except DAMAGE as error:
        raise wrong(raw, "SeriesStep", str(error), "step, start and exponent") from error
    if unit != "SECOND":
        raise UnknownFormatError(
            f"{raw.name}: SeriesUnit", repr(unit), "SECOND", "only series in time are read"
        )
    return regular_clock(raw, "SeriesStep", step, count, declare, start)
