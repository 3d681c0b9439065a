"""Parquet tables of what is tabular in a data set: one schema and one order of columns each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xarray as xr

from neurodata.store import Store, catalog
from neurodata.store.files import make_folders
from neurodata.store.manifest import TREE

RECORDINGS = "recordings"
WHOLE = "full"
KEYS = ("recording_id", "node_name")
RESERVED = (*KEYS, "split")
FLUSH_BYTES = 32 * 2**20
UNITLESS = ("", "1")
Files = dict[str, dict[str, Path]]


@dataclass(frozen=True)
class Table:
    """What a table is made of.

    Parameters
    ----------
    representation, dim : str
        The nodes it takes, and the dimension that its rows are.
    first : tuple of str
        The columns that come first, in this order; further ones follow by name.
    ragged : str
        The dimension of values that become one list per row, cut at ``row_splits``.
    renamed : mapping of str to str
        Columns whose variable does not name its unit.
    """

    representation: str
    dim: str
    first: tuple[str, ...] = ()
    ragged: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)


CENTROIDS = {"centroid_y": "centroid_y_px", "centroid_x": "centroid_x_px"}
TABLES = {
    "channels": Table(
        "timeseries",
        "channel",
        ("channel", "type", "units", "reference", "status", "x_m", "y_m", "z_m", "position_frame"),
    ),
    "intervals": Table("intervals", "interval", ("start_s", "duration_s", "label")),
    "units": Table("spikes", "unit", ("unit_id",), "spike", {"time_s": "spike_times_s"}),
    "rois": Table("rois", "unit", ("unit_id", *CENTROIDS.values()), "pixel", CENTROIDS),
    "instances": Table("instances", "instance", ("instance_id", "instance_layer", "voxel_count")),
    "boxes": Table("boxes", "box", ("box_id", "label")),
    "nodes": Table("graph", "node", ("node_id",)),
    "edges": Table("graph", "edge", ("source", "target", "weight", "weight_units", "kind")),
    "rows": Table("table", "row"),
}


def rows(node: xr.Dataset, table: Table) -> pa.Table:
    """Return what a node has along a table's dimension, without the ids.

    Absent numbers (NaN) are nulls; positions have a column per axis, with its unit.

    Examples
    --------
    >>> node = xr.Dataset({"label": ("interval", ["b", "a"]),
    ...                    "start_s": ("interval", [0.5, np.nan], {"units": "s"})})
    >>> rows(node, TABLES["intervals"]).to_pydict()
    {'start_s': [0.5, None], 'label': ['b', 'a']}
    """
    found: dict[str, Any] = {}
    for name, values in sorted(_columns(node, table), key=lambda pair: _order(pair[0], table)):
        while name in found or name in RESERVED:
            name += "_"
        found[name] = values
    return pa.table(found)


def _order(name: str, table: Table) -> tuple[int, str]:
    known = name in table.first
    return (table.first.index(name) if known else len(table.first), name)


def _columns(node: xr.Dataset, table: Table) -> Iterator[tuple[str, pa.Array]]:
    for name, variable in node.variables.items():
        label = table.renamed.get(str(name), str(name))
        if variable.dims == (table.dim,):
            yield _with_unit(label, variable), _array(_named(node, table, str(name)))
        elif variable.dims == (table.ragged,):
            splits = pa.array(node["row_splits"].values, pa.int32())
            yield _with_unit(label, variable), pa.ListArray.from_arrays(splits, variable.values)
        elif variable.dims == (table.dim, "axis") and "axis" in node.variables:
            for i, axis in enumerate(node["axis"].values):
                place = axis if name == "position" else f"{label}_{axis}"
                yield _with_unit(place, variable), _array(variable.values[:, i])
            if frame := variable.attrs.get("frame"):
                yield f"{label}_frame", _constant(frame, len(variable))
    if table.dim == "edge":
        for name in {"weight_units", "kind"} & node.attrs.keys() - set(node.variables):
            yield name, _constant(node.attrs[name], node.sizes["edge"])


def _named(node: xr.Dataset, table: Table, name: str) -> Any:
    """Return a variable's values; the ends of edges by the names of their nodes."""
    values = node.variables[name].values
    ends = table.dim == "edge" and name in ("source", "target")
    return node["node_id"].values[values] if ends else values


def _with_unit(name: str, variable: xr.Variable) -> str:
    """Return a name that ends with the unit, if the variable states one.

    Examples
    --------
    >>> _with_unit("x", xr.Variable("node", [1.0], {"units": "um"}))
    'x_um'
    """
    stated = str(variable.attrs.get("units", ""))
    unit = re.sub(r"\W+", "_", stated.replace("/", "_per_")).strip("_")
    bare = stated in UNITLESS or not unit or name.endswith(f"_{unit}")
    return name if bare else f"{name}_{unit}"


def _array(values: np.ndarray[Any, Any]) -> pa.Array:
    if values.dtype.kind in "OUT":
        return pa.array(values.astype(object), pa.string())
    return pa.array(values, from_pandas=values.dtype.kind == "f")


def _constant(text: Any, count: int) -> pa.Array:
    return pa.array([str(text)] * count, pa.string())


def _placed(part: pa.Table, id: str, node: str) -> pa.Table:
    name = id.partition("@")[0]
    keys = [_constant(text, part.num_rows) for text in (name, node)]
    return pa.table([*keys, *part.columns], names=[*KEYS, *part.column_names])


def _parts(store: Store, id: str, *, empty: bool) -> Iterator[tuple[str, pa.Table]]:
    """Yield the rows of every table that a recording has; with ``empty`` their columns only."""
    for path, found in store[id].subtree_with_keys:
        for name, table in TABLES.items():
            if found.attrs.get("representation") == table.representation:
                node = found.to_dataset()
                if empty:
                    cut = {table.dim: slice(0), table.ragged: slice(0), "split": slice(1)}
                    node = node.isel(cut, missing_dims="ignore")
                yield name, _placed(rows(node, table), id, path)


def _schemas(store: Store, ids: Sequence[str]) -> dict[str, pa.Schema]:
    """Return one schema per table that holds for all recordings, in the order of `TABLES`."""
    found: dict[str, pa.Schema] = {}
    for one in ids:
        for name, part in _parts(store, one, empty=True):
            found[name] = _unified(found.get(name, part.schema), part.schema)
    return {
        name: pa.schema(sorted(found[name], key=lambda one: _place(one.name, table)))
        for name, table in TABLES.items()
        if name in found
    }


def _unified(one: pa.Schema, other: pa.Schema) -> pa.Schema:
    """Return a schema for the columns of both; those of types that do not go together are text."""
    for name in set(one.names) & set(other.names):
        pair = [pa.schema([each.field(name)]) for each in (one, other)]
        try:
            pa.unify_schemas(pair, promote_options="permissive")
        except pa.ArrowTypeError:
            one, other = (
                each.set(each.get_field_index(name), pa.field(name, pa.string()))
                for each in (one, other)
            )
    return pa.unify_schemas([one, other], promote_options="permissive")


def _as_text(part: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows with those columns as text that are text in the schema of all recordings."""
    for at, name in enumerate(part.column_names):
        if schema.field(name).type == pa.string() and part.schema.field(at).type != pa.string():
            part = part.set_column(at, name, part.column(at).cast(pa.string()))
    return part


def _place(name: str, table: Table) -> tuple[int, int, str]:
    return (KEYS.index(name) if name in KEYS else len(KEYS), *_order(name, table))


def write_tables(store: Store, sides: Mapping[str, Sequence[str]], folder: Path) -> Files:
    """Write ``tables/<table>/<side>.parquet``; a table has no file for a side without rows.

    One recording is in memory at a time, and up to 32 MiB of rows per table.

    Parameters
    ----------
    sides : mapping of str to sequence of str
        The versions of recordings, ``id@version``, of each side.

    Returns
    -------
    dict of str to dict of str to Path
        The files by table and side, the recordings first.
    """
    every = [one for members in sides.values() for one in members]
    written = {RECORDINGS: _write_recordings(store, sides, folder)}
    schemas = _schemas(store, every)
    for side, members in sides.items():
        with ExitStack() as stack:
            outs = {
                name: _Out(folder / name / f"{side}.parquet", schemas[name]) for name in schemas
            }
            for out in outs.values():
                stack.callback(out.close)
            for one in members:
                for name, part in _parts(store, one, empty=False):
                    outs[name].add(part)
        for name, out in outs.items():
            if out.path.exists():
                written.setdefault(name, {})[side] = out.path
    return {name: written[name] for name in (RECORDINGS, *TABLES) if name in written}


class _Out:
    """A Parquet file that is made with its first row and gets row groups of some 32 MiB."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path, self.schema = path, schema
        self._waiting: list[pa.Table] = []
        self._writer: pq.ParquetWriter | None = None

    def add(self, part: pa.Table) -> None:
        if part.num_rows:
            self._waiting.append(_as_text(part, self.schema))
        if sum(one.nbytes for one in self._waiting) > FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        parts = [self.schema.empty_table(), *self._waiting]
        joined = pa.concat_tables(parts, promote_options="permissive").cast(self.schema)
        if self._writer is None:
            self._writer = _writer(self.path, self.schema)
        self._writer.write_table(joined)
        self._waiting = []

    def close(self) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    make_folders(path.parent)
    return pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True)


def _write_recordings(
    store: Store, sides: Mapping[str, Sequence[str]], folder: Path
) -> dict[str, Path]:
    every = [one for ids in sides.values() for one in ids]
    table, start, files = recordings(store, every), 0, {}
    for side, ids in sides.items():
        path = folder / RECORDINGS / f"{side}.parquet"
        with _writer(path, table.schema) as writer:
            writer.write_table(table.slice(start, len(ids)))
        start, files[side] = start + len(ids), path
    return files


def recordings(store: Store, ids: Sequence[str]) -> pa.Table:
    """Return one row per version: who, what, how long, whose, and where its Zarr store lies.

    Facts that no recording has are no column.
    """
    frame = catalog.table([catalog.row(store.folder(one), store.manifest(one)) for one in ids])
    paths = [f"stores/{one.replace('@', '/')}/{TREE}" for one in ids]
    frame.insert(list(frame.columns).index("version") + 1, "store", paths)
    frame = frame.rename(columns={"id": KEYS[0]}).dropna(axis="columns", how="all")
    columns = {
        str(name): _array(values.to_numpy())
        if values.dtype.kind in "iuf"
        else pa.array([None if v != v else v for v in values], pa.string())
        for name, values in frame.items()
    }
    return pa.table(columns)
