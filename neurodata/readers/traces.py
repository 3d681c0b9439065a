"""Traces as delimited text with a header: one row a sample, one column a channel.

A column of times is recognised by its name (``time_s``, ``t [ms]``) or declared
(``columns.time``); without one the rate is declared. Empty cells and NaN are samples that are
missing and stay so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from neurodata import safe
from neurodata.declare import MODALITY, Declared, missing
from neurodata.errors import InvalidInputError, MissingFactError, NeurodataError, UnreadableError
from neurodata.readers import bids, delimited
from neurodata.readers.channels import Channel, Clock, kind_of
from neurodata.readers.clocked import clock_of, clocked, rising
from neurodata.readers.delimited import Numbers, is_number, rows_in
from neurodata.readers.lacking import all_of, together
from neurodata.readers.mapped import TYPES
from neurodata.safe import Raw
from neurodata.units import to_si

SUFFIXES = (".csv", ".tsv", ".txt")
EXTRA = ""  # needs no optional package
WIDE_HEAD_BYTES = 2**18
LEAST_ROWS = 8  # of a table without times, to be told from small tables of facts
MISSING = {"", "nan", "na", "n/a", "null", "none"}
# Names of columns in tables that are no traces: BIDS side-cars, events, coordinates, graphs
FOREIGN = {
    "participant_id", "subject", "subject_id", "session", "session_id", "onset", "duration",
    "trial", "trial_type", "name", "x", "y", "z", "id", "source", "target", "age", "sex", "pre",
    "post", "label", "start", "stop", "node", "node_id",
}  # fmt: skip
COUNTERS = {"", "frame", "frames", "sample", "index", "unnamed: 0"}
TIME = re.compile(
    r"(?:times?|timestamps?|t)(?:(?:[ _]+|\s*[\[(]\s*)([A-Za-zµμ]+)\s*[\])]?)?", re.IGNORECASE
)
UNIT = re.compile(r"(.+?)\s*[\[(]([^\[\]()]*[^\d\[\]()][^\[\]()]*)[\])]")

members = bids.with_sidecars


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a text file has a header of names over rows of numbers alone.

    A column of times tells, too; without one there are at least 8 rows, some with a point, and
    no name that tables of other kinds have.
    """
    start = head
    try:
        if len(head) >= safe.HEAD_BYTES and head.count(b"\n") < LEAST_ROWS + 2:
            start = safe.head(path, WIDE_HEAD_BYTES)
    except (NeurodataError, OSError):
        return False
    lines = delimited.lines_of(start)
    if len(lines) < 3:
        return False
    header, *body = rows_in(lines)
    names = [name.lower() for name in header]
    if any(map(is_number, header)) or len(set(names)) < len(names) or FOREIGN & set(names):
        return False
    if "" in names[1:] or any(len(row) != len(header) for row in body):
        return False
    columns = list(zip(*body, strict=True))
    if not all(any(map(is_number, column)) and all(map(_is_cell, column)) for column in columns):
        return False
    if len(names) > 1 and any(_time_unit(name) is not None for name in header):
        return True
    return len(body) >= LEAST_ROWS and any("." in cell for row in body for cell in row)


def _is_cell(cell: str) -> bool:
    return is_number(cell) or cell.lower() in MISSING


def _time_unit(name: str) -> str | None:
    """Return the unit that the name of a column of times states ("" for none), else None."""
    match = TIME.fullmatch(name.strip())
    if match is None:
        return "s" if name.strip().lower() in ("seconds", "sec") else None
    if not match[1]:
        return ""
    try:
        return match[1] if to_si(match[1], "").symbol == "s" else None
    except NeurodataError:
        return None


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a table of traces as the node ``traces``.

    Parameters
    ----------
    declare : Declared
        ``modality``, ``units.<column>`` or ``units.*``; ``rate_hz`` where there are no times;
        ``columns.time`` and ``time_units`` where the name of the column of times does not tell.

    Raises
    ------
    UnreadableError
        When rows differ in length, a cell is no number or times do not rise.
    MissingFactError
        When rate, units or modality are neither stated nor declared.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "dff.csv"
    >>> _ = path.write_text("time_s,a,b\\n0.0,1,2\\n0.1,3,\\n0.2,5,6\\n")
    >>> declared = Declared({"units.*": "dF/F", "modality": "calcium"})
    >>> node = read(Raw(path.parent, (path,)), declared)["traces"]
    >>> node.attrs["rate_hz"], node["signal"].values.tolist()
    (10.0, [[1.0, 2.0], [3.0, nan], [5.0, 6.0]])
    """
    return tree(raw, list(delimited.rows_of(raw)), declare)


def tree(raw: Raw, rows: Sequence[tuple[int, list[str]]], declare: Declared) -> xr.DataTree:
    """Return the recording of a table given by line numbers and cells, the first row a header."""
    table = _table(raw, rows)
    times, lacking = _times(table, raw, declare)
    rate_hz, modality = declare.number("rate_hz"), declare.text("modality")
    columns = {
        name: values for name, values in table.items() if times is None or name != times.name
    }
    listing = f"the columns {', '.join(list(table)[:40])}"
    if times is None and not lacking and rate_hz is None:
        expected = "samples a second, or which column is the time (columns.time=NAME)"
        lacking.append(missing(raw.name, listing, expected, "rate_hz=<Hz>"))
    if modality is None:
        lacking.append(missing(raw.name, listing, "what was recorded", MODALITY))
    stated = {name: _named_unit(name) for name in columns}
    undeclared = [name for name in columns if not stated[name][1] and not declare.units(name)]
    if undeclared:
        flag = "units.*=<unit>" if undeclared == list(columns) else f"units.{undeclared[0]}=<unit>"
        lacking.append(missing(raw.name, listing, f"the unit of {undeclared[0]}", flag))
    if lacking or modality is None:
        raise together(lacking)
    channels = all_of(
        partial(_channel, name, *stated[name], modality, raw, declare) for name in columns
    )
    signal = np.column_stack(list(columns.values())).astype("float64")
    if gaps := int(np.isnan(signal).sum()):
        raw.warn("", f"{gaps} of {signal.size} samples are missing", "numbers", "kept as NaN")
    clock = _clock(times, rate_hz, len(signal), raw, declare)
    node = clocked(signal, channels, clock, raw)
    attrs = {**bids.facts(raw), "modality": modality}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), "traces": node})


@dataclass(frozen=True)
class _Times:
    """The column of times and its values in seconds."""

    name: str
    seconds: Numbers


def _table(raw: Raw, rows: Sequence[tuple[int, list[str]]]) -> dict[str, Numbers]:
    """Return the columns as float64, NaN where a cell is missing; counters are left out."""
    header, body = rows[0][1], rows[1:]
    if any(map(is_number, header)) or len(set(header)) < len(header) or "" in header[1:]:
        raise UnreadableError(
            f"{raw.name}: line {rows[0][0]}", "a header with numbers, no name or one twice",
            "a name for each column", "add a header",
        )  # fmt: skip
    if not body:
        raise UnreadableError(raw.name, "a header alone", "samples", "copy the file again")
    values = np.array([[_number(cell, line, raw) for cell in cells] for line, cells in body])
    table = dict(zip(header, values.T, strict=True))
    for name in [name for name in table if name.lower() in COUNTERS]:
        if len(body) > 1 and (np.diff(table[name]) == 1).all() and len(table) > 1:
            raw.note(f"column {name!r}", "a count of samples, left out")
            del table[name]
    if "" in table:
        raise UnreadableError(raw.name, "a column without a name", "names", "add a header")
    return table


def _number(cell: str, line: int, raw: Raw) -> float:
    if is_number(cell):
        value = float(cell)
        if np.isfinite(value):
            return value
    elif cell.lower() in MISSING:
        return float("nan")
    raise UnreadableError(
        f"{raw.name}: line {line}", repr(cell[:40]), "a finite number", "mend the value"
    )


def _times(
    table: dict[str, Numbers], raw: Raw, declare: Declared
) -> tuple[_Times | None, list[MissingFactError]]:
    """Return the column of times in seconds, if there is one, and what is lacking of it."""
    name = declare.text("columns.time")
    if name is not None and name not in table:
        found = f"one of {', '.join(table)} in {raw.name}"
        raise InvalidInputError("--set columns.time", repr(name), found)
    if name is None:
        known = [key for key in table if _time_unit(key) is not None]
        name = known[0] if len(known) == 1 and len(table) > 1 else None
        if len(known) > 1:
            found, expected = f"columns of times {', '.join(known)}", "which one to use"
            return None, [missing(raw.name, found, expected, f"columns.time={known[0]}")]
    if name is None:
        return None, []
    spelling = declare.text("time_units") or _time_unit(name)
    if not spelling:
        found = f"times without a unit in {name!r}"
        return None, [missing(raw.name, found, "their unit", "time_units=s|ms|us")]
    unit = to_si(spelling, raw.name, "time")
    if unit.symbol != "s":
        raise InvalidInputError("--set time_units", spelling, "a unit of time, as s or ms")
    seconds = rising(table[name], f"{raw.name}: {name}") * unit.factor
    return _Times(name, seconds), []


def _clock(
    times: _Times | None, rate_hz: float | None, n: int, raw: Raw, declare: Declared
) -> Clock | Numbers:
    if rate_hz is not None:
        Clock(rate_hz, n).require(raw.name)
    if times is not None:
        found = clock_of(times.seconds, rate_hz, raw.name)
        return times.seconds if found is None else found
    return Clock(rate_hz or np.nan, n, ((0, declare.number("start_s") or 0.0),))


def _named_unit(name: str) -> tuple[str, str]:
    """Return name and unit of a column whose name states a known one, as ``Cz [uV]``."""
    match = UNIT.fullmatch(name)
    if match is None:
        return name, ""
    try:
        to_si(match[2], "")
    except NeurodataError:
        return name, ""
    return match[1], match[2]


def _channel(
    column: str, name: str, stated: str, modality: str, raw: Raw, declare: Declared
) -> Channel:
    unit = to_si(declare.units(name) or declare.units(column) or stated, raw.name, name)
    return Channel(name, TYPES.get(modality) or kind_of(name), unit.symbol, unit.factor)
