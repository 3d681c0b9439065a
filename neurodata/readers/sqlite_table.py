"""Tables in SQLite files: edges, traces or spike times, by the declarations of their columns.

``--set table=NAME`` says which table, where there are several. One with source and target is read
as `edgelist` reads text, one with a column of units (``columns.unit``) beside one of times as
spikes, any other as `traces` reads text. 64-bit ids never pass through a float.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.declare import Declared, missing
from neurodata.errors import InvalidInputError, UnreadableError
from neurodata.readers import bids, edgelist, traces
from neurodata.readers.lacking import together
from neurodata.readers.spike_rows import declared_span_s, grouped, spikes
from neurodata.safe import Raw
from neurodata.safe_sqlite import MAGIC, Cell, Table, Tables, open_sqlite
from neurodata.units import to_si

SUFFIXES = (".sqlite", ".sqlite3", ".db")
EXTRA = ""  # needs no optional package
LISTED = 20
ENDS = ("columns.source", "columns.target")

members = bids.with_sidecars


def sniff(head: bytes, path: Path) -> bool:
    """Tell a SQLite database by its first bytes.

    Examples
    --------
    >>> sniff(b"SQLite format 3\\0" + bytes(84), Path("a.db"))
    True
    """
    return head.startswith(MAGIC)


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a table as the node ``graph``, ``traces`` or ``spikes`` in raw form.

    Parameters
    ----------
    declare : Declared
        ``table``; for edges those of `edgelist`, for traces those of `traces`; for spikes
        ``columns.unit``, ``columns.time`` and ``time_units``, ``start_s`` and ``stop_s``.

    Raises
    ------
    UnreadableError
        When the database is damaged, or cells are not what the columns are to hold.
    UnsafeError
        When it does more than hold tables.
    MissingFactError
        When table, columns or units are neither stated nor declared.
    """
    with open_sqlite(raw.main) as tables:
        table = _table(raw, tables, declare)
        if others := ", ".join(dict.fromkeys(tables.others[:LISTED])):
            raw.note("schema", f"left out: {others}")
        raw.note("schema", "other tables, columns and their texts, removed")
        if "columns.unit" in declare.facts:
            return _spikes(raw, tables, table, declare)
        columns = _columns(table, declare)
        rows = [
            [_text(cell) for cell in row] for block in tables.rows(table, columns) for row in block
        ]
    if not rows:
        raise UnreadableError(f"{raw.name}: {table.name}", "no rows", "some", "name another table")
    if _holds_edges(table, declare):
        return edgelist.tree(raw, [columns, *rows], declare)
    return traces.tree(raw, [*enumerate([columns, *rows])], declare)


def _table(raw: Raw, tables: Tables, declare: Declared) -> Table:
    """Return the table that is declared, or the only one."""
    name, found = declare.text("table"), {table.name: table for table in tables.listed}
    if name is not None and name not in found:
        raise InvalidInputError("--set table", repr(name), f"one of {_listing(tables)}")
    if name is not None:
        return found[name]
    if len(found) != 1:
        first = next(iter(found), "NAME")
        raise missing(raw.name, _listing(tables), "which table to read", f"table={first}")
    return tables.listed[0]


def _listing(tables: Tables) -> str:
    named = [f"{table.name} ({', '.join(table.columns[:LISTED])})" for table in tables.listed]
    more = f" and {len(named) - LISTED} more" if len(named) > LISTED else ""
    return f"the tables {', '.join(named[:LISTED]) or 'none'}{more}"


def _holds_edges(table: Table, declare: Declared) -> bool:
    header = {name.lower() for name in table.columns}
    return any(key in declare.facts for key in ENDS) or any(
        set(pair) <= header for pair in edgelist.HEADERS
    )


def _columns(table: Table, declare: Declared) -> list[str]:
    """Return the columns to read: those declared where both ends of edges are, else all."""
    if not all(key in declare.facts for key in ENDS):
        return list(table.columns)
    stated = {str(declare.facts.get(f"columns.{role}")) for role in edgelist.ROLES}
    known = {role for roles in edgelist.ROLES.values() for role in roles}
    kept = [name for name in table.columns if name in stated or name.lower() in known]
    return kept if len(kept) > 1 else list(table.columns)


def _text(cell: Cell) -> str:
    """Return a cell as text that loses nothing of it; nothing is an empty one."""
    if cell is None:
        return ""
    return cell.strip() if isinstance(cell, str) else repr(cell)


# spikes


def _spikes(raw: Raw, tables: Tables, table: Table, declare: Declared) -> xr.DataTree:
    unit, time = declare.text("columns.unit"), declare.text("columns.time")
    spelling = declare.text("time_units")
    lacking = []
    if time is None:
        listing = f"the columns {', '.join(table.columns)}"
        lacking.append(missing(raw.name, listing, "which one is the time", "columns.time=NAME"))
    if spelling is None:
        fact = "time_units=s|ms|us"
        lacking.append(missing(raw.name, "times without a unit", "the unit of times", fact))
    if lacking or unit is None or time is None:
        raise together(lacking)
    for key, name in (("unit", unit), ("time", time)):
        if name not in table.columns:
            expected = f"one of {', '.join(table.columns)} in {table.name}"
            raise InvalidInputError(f"--set columns.{key}", repr(name), expected)
    factor = to_si(spelling, "--set time_units")
    if factor.symbol != "s":
        raise InvalidInputError("--set time_units", repr(spelling), "a unit of time: s, ms, us")
    rows: dict[str, int] = {}
    parts = [
        (
            np.array([rows.setdefault(_unit(raw, row[0]), len(rows)) for row in block], "i8"),
            _times(raw, [row[1] for row in block]) * factor.factor,
        )
        for block in tables.rows(table, [unit, time])
    ]
    if not parts:
        raise UnreadableError(f"{raw.name}: {table.name}", "no rows", "some", "name another table")
    ids = sorted(rows, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0,
                                         name))  # fmt: skip
    place = np.empty(len(ids), "i8")
    place[[rows[name] for name in ids]] = np.arange(len(ids))
    counts = sum(np.bincount(place[codes], minlength=len(ids)) for codes, _ in parts)
    blocks = ((place[codes], {"time_s": times}) for codes, times in parts)
    node = spikes(grouped(counts, blocks, {}), ids, raw, declared_span_s(declare))
    attrs = {"modality": "spikes", **bids.facts(raw)}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), "spikes": node})


def _unit(raw: Raw, cell: Cell) -> str:
    text = _text(cell)
    if not text or isinstance(cell, float):
        found = f"the unit {cell!r}"
        raise UnreadableError(raw.name, found, "whole numbers or names", "export ids as integers")
    return text


def _times(raw: Raw, cells: Sequence[Cell]) -> npt.NDArray[np.float64]:
    wrong = [cell for cell in cells if isinstance(cell, str) or cell is None]
    if wrong:
        raise UnreadableError(raw.name, f"the time {wrong[0]!r}", "a number", "mend the table")
    times = np.array(cells, "f8")
    if not np.isfinite(times).all():
        raise UnreadableError(raw.name, "times that are not finite", "numbers", "mend the table")
    return times
