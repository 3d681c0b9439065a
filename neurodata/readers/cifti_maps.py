"""CIFTI-2 maps (.dscalar.nii, .pscalar.nii, .dlabel.nii, .plabel.nii) as `maps` nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from neurodata.declare import Declared
from neurodata.readers.cifti_rows import Rows
from neurodata.readers.cifti_xml import DAMAGE, Maps, wrong
from neurodata.readers.place_maps import Table, label_node, table_of, value_node
from neurodata.safe import Raw

if TYPE_CHECKING:
    import dask.array as da


def scalars(
    raw: Raw, maps: Maps, matrix: da.Array, rows: Rows, declare: Declared
) -> dict[str, xr.Dataset]:
    """Return maps of values (map, place) as the node ``maps``."""
    return {"maps": value_node(raw, matrix, _names(raw, maps, matrix), rows.places, declare)}


def labels(raw: Raw, maps: Maps, matrix: da.Array, rows: Rows) -> dict[str, xr.Dataset]:
    """Return maps of labels (map, place) with their tables as the node ``labels``."""
    names = _names(raw, maps, matrix)
    tables = [_table(raw, named.label_table, name)
              for named, name in zip(maps.along.named_maps, names, strict=True)]  # fmt: skip
    if (stated := maps.counts["Label"]) != sum(map(len, tables)):
        found = f"{stated} labels with {sum(map(len, tables))} keys"
        raise wrong(raw, "LabelTable", found, "each key once in its table")
    return {"labels": label_node(raw, matrix, names, tables, rows.places)}


def _names(raw: Raw, maps: Maps, matrix: da.Array) -> list[str]:
    names = [str(named.map_name or "") for named in maps.along.named_maps]
    if len(names) != matrix.shape[0]:
        raise wrong(raw, "NamedMap", f"{len(names)} maps", f"{matrix.shape[0]}, as the matrix has")
    return names


def _table(raw: Raw, table: object, name: str) -> Table:
    try:
        rows = [(int(key), str(label.label)) for key, label in dict(table).items()]  # type: ignore[call-overload]
    except DAMAGE as error:
        raise wrong(raw, "LabelTable", f"no table of {name!r} ({error})", "one a map") from error
    return table_of(raw, rows, f"LabelTable of {name}")
