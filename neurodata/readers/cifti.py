"""CIFTI-2 series (.dtseries.nii, .ptseries.nii): time series of grayordinates or parcels.

A NIfTI-2 header, an XML text that says what rows and columns are, and the matrix. Other CIFTI
files (scalars, labels, connectivity) have no clock and no grid of voxels: they are refused.

References
----------
https://www.nitrc.org/projects/cifti
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import NeurodataError, UnknownFormatError, UnreadableError, need
from neurodata.readers import bids
from neurodata.readers.delimited import text_array
from neurodata.readers.nifti_header import EXTRA, MAGIC_2, SIZE_2, Header, parse
from neurodata.readers.nifti_space import regular_clock
from neurodata.readers.nifti_voxels import lazy, stored_voxels
from neurodata.safe import Raw

__all__ = ["EXTRA", "SUFFIXES", "members", "read", "sniff"]

SUFFIXES = (".dtseries.nii", ".ptseries.nii", ".dtseries.nii.gz", ".ptseries.nii.gz")
INTENTS = range(3000, 3100)
SERIES = (3002, 3004)
EXTENSION = 32
XML_LIMIT_BYTES = 256 * 2**20
CHANNEL_LIMIT = 5_000_000
AXES = 6
STRUCTURE = "CIFTI_STRUCTURE_"
# What nibabel's parser raises on damaged XML; all of it becomes UnreadableError.
DAMAGE = (
    ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, OverflowError,
    ArithmeticError, ExpatError, MemoryError,
)  # fmt: skip


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file is NIfTI-2 with an intent of CIFTI; ``head`` is decompressed."""
    if len(head) < SIZE_2 or head[4:12] not in MAGIC_2:
        return False
    order = "little" if head[0] else "big"
    return int.from_bytes(head[504:508], order) in INTENTS  # type: ignore[arg-type]


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the file and its side-cars."""
    return tuple(dict.fromkeys([path, *bids.sidecars(path, folder)]))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a series as a lazy tree in raw form.

    The node ``bold`` is a timeseries ``(time, channel)`` in "a.u." with a regular clock. Its
    channels are grayordinates, named by structure and vertex (``CORTEX_LEFT:12``) or voxel
    (``THALAMUS_LEFT:40,51,33``), or parcels by their names.

    Raises
    ------
    UnreadableError
        When the file is damaged, cut short or contradicts itself.
    UnknownFormatError
        When it is CIFTI of another kind.
    MissingFactError
        When the clock is not in seconds or implausible; the hint holds the flag.
    """
    header = parse(safe.head(raw.main, SIZE_2), raw.name, AXES)
    intent = int(header.fields["intent_code"])
    if intent not in SERIES:
        raise UnknownFormatError(
            f"{raw.name}: intent_code", f"{intent}", "3002 or 3004, a series",
            "scalars, labels and connectivity of grayordinates are not read",
        )  # fmt: skip
    time, other = _maps(raw, header)
    shape = (*header.shape, 1, 1, 1)[:AXES]
    if shape[:4] != (1, 1, 1, 1):
        raise _wrong(raw, "dim", str(shape), "1, 1, 1, 1, times and rows")
    count = shape[4]
    if time.number_of_series_points != count:
        found = f"{time.number_of_series_points} points in time by the XML"
        raise _wrong(raw, "NumberOfSeriesPoints", found, f"{count}, as the matrix has")
    if header.dtype.kind != "f" or (header.slope, header.inter) != (1.0, 0.0):
        found = f"values of type {header.dtype}, slope {header.slope}"
        raise UnknownFormatError(f"{raw.name}: datatype", found, "plain floats", "convert it")
    channels, structures = _channels(raw, other, shape[5])
    matrix = replace(header, shape=(count, shape[5]))
    stored = stored_voxels(raw.main, matrix)
    node = xr.Dataset(
        {"signal": (("time", "channel"), lazy(stored).T, {"units": "a.u."})},
        coords={
            "channel": ("channel", text_array(channels)),
            "structure": ("channel", text_array(structures)),
            "units": ("channel", text_array(["a.u."] * len(channels))),
        },
        attrs={"representation": "timeseries", "schema": "timeseries/1", "units": "a.u."},
    )
    node.attrs.update(_clock(raw, time, count, declare))
    raw.note("XML", "metadata as free text, removed")
    tree = xr.DataTree.from_dict({"bold": node})
    tree.attrs = {**bids.facts(raw), "modality": "fmri"}
    return tree


def _wrong(raw: Raw, where: str, found: str, expected: str) -> UnreadableError:
    return UnreadableError(f"{raw.name}: {where}", found, expected, "copy or export it again")


def _maps(raw: Raw, header: Header) -> tuple[Any, Any]:
    """Return what the XML says of the series and of the rows, by nibabel's parser."""
    parser = need("nibabel.cifti2.parse_cifti2", extra=EXTRA)
    text = _xml(raw, header)
    try:
        reading = parser.Cifti2Parser()
        reading.parse(string=text)
        if str(reading.header.version) not in ("2", "2.0"):
            raise _wrong(raw, "XML", f"CIFTI version {reading.header.version}", "version 2")
        matrix = reading.header.matrix
        time, other = (matrix.get_index_map(axis) for axis in (0, 1))
    except NeurodataError:
        raise
    except (*DAMAGE, need("nibabel.cifti2", extra=EXTRA).Cifti2HeaderError) as error:
        raise _wrong(raw, "XML", f"what is no CIFTI-2 ({error})", "its matrix and maps") from error
    kind = str(time.indices_map_to_data_type)
    if kind != "CIFTI_INDEX_TYPE_SERIES":
        raise _wrong(raw, "XML", f"{kind} along the rows", "CIFTI_INDEX_TYPE_SERIES")
    return time, other


def _xml(raw: Raw, header: Header) -> bytes:
    """Return the text of the extension, which lies between header and matrix."""
    if header.offset > XML_LIMIT_BYTES:
        raise _wrong(raw, "vox_offset", f"{header.offset}", f"at most {XML_LIMIT_BYTES}")
    block = safe.head(raw.main, header.offset)
    order = "little" if header.fields.endianness == "<" else "big"
    at = SIZE_2 + 4
    while at + 8 <= len(block):
        size, code = (
            int.from_bytes(block[k : k + 4], order)  # type: ignore[arg-type]
            for k in (at, at + 4)
        )
        if size < 8 or at + size > header.offset or len(block) < header.offset:
            break
        if code == EXTENSION:
            text = block[at + 8 : at + size].rstrip(b"\0")
            if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
                raise _wrong(raw, "XML", "a document type of its own", "none")
            return text
        at += size
    raise _wrong(raw, "extension", "none of CIFTI (code 32)", "one before the matrix")


def _channels(raw: Raw, rows: Any, count: int) -> tuple[list[str], list[str]]:
    """Return names and structures of the rows, in their order, all of them named once."""
    if not 1 <= count <= CHANNEL_LIMIT:
        raise _wrong(raw, "dim", f"{count} rows", f"1 to {CHANNEL_LIMIT}")
    try:
        names, structures = _models(rows, count) if _is_dense(rows) else _parcels(rows)
    except DAMAGE as error:
        raise _wrong(
            raw, "XML", f"rows that are not told ({error})", "models of all rows"
        ) from error
    if len(names) != count or not all(names):
        raise _wrong(raw, "XML", f"{sum(map(bool, names))} rows", f"{count}, as the matrix has")
    if len(set(names)) < count:
        raise _wrong(raw, "XML", "a row named twice", "each vertex, voxel or parcel once")
    return names, structures


def _is_dense(rows: Any) -> bool:
    kind = str(rows.indices_map_to_data_type)
    if kind not in ("CIFTI_INDEX_TYPE_BRAIN_MODELS", "CIFTI_INDEX_TYPE_PARCELS"):
        raise ValueError(f"columns of {kind}")
    return kind == "CIFTI_INDEX_TYPE_BRAIN_MODELS"


def _models(rows: Any, count: int) -> tuple[list[str], list[str]]:
    names, structures = [""] * count, [""] * count
    for model in rows.brain_models:
        structure = str(model.brain_structure).removeprefix(STRUCTURE)
        if str(model.model_type) == "CIFTI_MODEL_TYPE_SURFACE":
            places = [str(int(vertex)) for vertex in model.vertex_indices]
        else:
            places = [",".join(str(int(k)) for k in ijk) for ijk in model.voxel_indices_ijk]
        first, size = int(model.index_offset), int(model.index_count)
        if not 0 <= first <= first + size <= count or len(places) != size:
            raise ValueError(f"{len(places)} places for {size} rows from {first} on")
        if any(names[first : first + size]):
            raise ValueError(f"rows from {first} on twice")
        names[first : first + size] = [f"{structure}:{place}" for place in places]
        structures[first : first + size] = [structure] * size
    return names, structures


def _parcels(rows: Any) -> tuple[list[str], list[str]]:
    names = [str(parcel.name) for parcel in rows.parcels]
    return names, ["parcel"] * len(names)


def _clock(raw: Raw, time: Any, count: int, declare: Declared) -> dict[str, float | int]:
    unit = str(time.series_unit)
    try:
        factor = 10.0 ** int(time.series_exponent)
        step, start = float(time.series_step) * factor, float(time.series_start) * factor
    except DAMAGE as error:
        raise _wrong(raw, "SeriesStep", str(error), "step, start and exponent") from error
    if unit != "SECOND":
        raise UnknownFormatError(
            f"{raw.name}: SeriesUnit", repr(unit), "SECOND", "only series in time are read"
        )
    return regular_clock(raw, "SeriesStep", step, count, declare, start)
