"""The node `maps/1`: maps of values or labels over vertices, voxels of structures, or parcels.

Names of maps and labels are data, as names of channels are, and stay. The unit of a map's
values is "a.u." unless it is declared (``--set units.thickness=mm``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodata import units
from neurodata.declare import Declared
from neurodata.errors import UnreadableError
from neurodata.readers.delimited import text_array
from neurodata.safe import Raw

Table = Mapping[int, str]
PART_VALUES = 4_000_000
_PATH = re.compile(r"\s*(~|\.{0,2}/|[A-Za-z]:[\\/]|\\\\|.*[\\/].*[\\/])")
"""How a path of a file begins, or what has two separators; ``T1w/T2w`` is a name."""
MODALITIES = ("mri", "fmri")


def modality(declare: Declared) -> str:
    """Return the modality of maps and surfaces, "mri" unless "fmri" is declared.

    Examples
    --------
    >>> modality(Declared()), modality(Declared({"modality": "fmri"}))
    ('mri', 'fmri')
    """
    declared = declare.text("modality")
    return declared if declared in MODALITIES else "mri"


def value_node(
    raw: Raw, values: Any, names: Sequence[str], places: xr.Dataset, declare: Declared
) -> xr.Dataset:
    """Return maps of values as a node.

    Parameters
    ----------
    values : array (map, place) of floats
    names : sequence of str
        Of the maps; those without one are numbered.
    places : xarray.Dataset
        What is known of the places: ``vertex``, ``voxel``, ``structure`` or ``place``.
    """
    names = _named(raw, names)
    meant = [units.to_si(declare.units(name) or "a.u.", raw.name, name) for name in names]
    factors = np.array([unit.factor for unit in meant])
    if (factors != 1).any():
        values = (values * factors[:, None]).astype(values.dtype)
    node = _node(places, names)
    node["value"] = (("map", "place"), values)
    node["units"] = ("map", text_array([unit.symbol for unit in meant]))
    return node


def label_node(
    raw: Raw, labels: Any, names: Sequence[str], tables: Sequence[Table], places: xr.Dataset
) -> xr.Dataset:
    """Return maps of labels as a node, with ``label_name`` by ``label_map`` and ``label_key``.

    Parameters
    ----------
    labels : array (map, place) of whole numbers
    tables : sequence of mapping of int to str
        The table of names of each map.

    Raises
    ------
    UnreadableError
        When a value is no whole number, or none of a map's labels is in its table.
    """
    names = _named(raw, names)
    drawn = _drawn(raw, labels, names)
    for name, keys, table in zip(names, drawn, tables, strict=True):
        _check(raw, name, keys, table)
    labels = labels.astype("i4")
    entries = [
        (index, key, text) for index, table in enumerate(tables) for key, text in table.items()
    ]
    node = _node(places, names)
    node["label"] = (("map", "place"), labels)
    node["label_map"] = ("entry", np.array([index for index, _, _ in entries], "i4"))
    node["label_key"] = ("entry", np.array([key for _, key, _ in entries], "i8"))
    node["label_name"] = ("entry", text_array([text for _, _, text in entries]))
    return node


def table_of(raw: Raw, rows: Sequence[tuple[int, str]], where: str) -> dict[int, str]:
    """Return rows of key and name as a table.

    Raises
    ------
    UnreadableError
        When a key comes twice or is no integer of 32 bits.
    """
    table: dict[int, str] = {}
    for key, text in rows:
        if key in table or not -(2**31) <= key < 2**31:
            found = f"the key {key} " + ("twice" if key in table else "of over 32 bits")
            raise UnreadableError(f"{raw.name}: {where}", found, "each key once", "mend the table")
        table[key] = text
    return table


def _node(places: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    node = places.assign_coords({"map": ("map", text_array(names))})
    return node.assign_attrs(representation="maps", schema="maps/1")


def _named(raw: Raw, names: Sequence[str]) -> list[str]:
    """Return names, of paths of files that programs put here the last part; number the others."""
    bare = [_last(name).strip() if _PATH.match(name) else name.strip() for name in names]
    if not all(bare):
        raw.note("maps", f"{bare.count('')} of {len(bare)} without a name, numbered")
    return [name or f"map {number}" for number, name in enumerate(bare, 1)]


def _last(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _drawn(raw: Raw, labels: Any, names: Sequence[str]) -> list[list[int]]:
    """Return the keys that each map has, after a walk through all of them in parts.

    Raises
    ------
    UnreadableError
        When a value is no integer of 32 bits.
    """
    found: list[set[int]] = [set() for _ in names]
    step = max(1, PART_VALUES // max(1, len(names)))
    for first in range(0, labels.shape[1], step):
        part = np.asarray(labels[:, first : first + step])
        for name, row, keys in zip(names, part, found, strict=True):
            if not ((row == np.rint(row)) & (row >= -(2**31)) & (row < 2**31)).all():
                expected = "whole numbers of at most 32 bits"
                where = f"{raw.name}: {name}"
                raise UnreadableError(where, "values that are no labels", expected, "export again")
            keys.update(map(int, np.unique(row)))
    return [sorted(keys) for keys in found]


def _check(raw: Raw, name: str, drawn: list[int], table: Table) -> None:
    unnamed = [key for key in drawn if key not in table]
    if unnamed and len(unnamed) == len(drawn):
        raise UnreadableError(
            f"{raw.name}: {name}", f"no name of any of {len(drawn)} labels, e.g. {drawn[0]}",
            "a table of names with the keys of the map", "export the labels with their table",
        )  # fmt: skip
    if unnamed:
        listed = ", ".join(map(str, unnamed[:5]))
        raw.warn(name, f"{len(unnamed)} label(s) without a name: {listed}", "a name for each")
