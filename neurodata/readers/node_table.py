"""Tables beside an edge list: what its nodes are, and whose brain it was.

No file says how the rows of such a table meet the ids of the edges, so that it is declared:

``--set columns.node=NAME``
    The table's column NAME holds the node ids.
``--set columns.node=#row``
    Node k is row k of the table, counted from 0.
``--set columns.node=#row*2``
    The same for a table that holds for two runs of nodes, such as a left and a right hemisphere.
``--set columns.first=i --set columns.after=j``
    Each row of a second table holds for the nodes from i up to, not including, j.

A name of a file may precede ``#row`` where several tables would fit (``atlas.csv#row``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import InvalidInputError, UnreadableError
from neurodata.readers import bids
from neurodata.readers.delimited import (
    Numbers,
    cells_of,
    is_number,
    lines_of,
    separator_of,
    text_array,
)
from neurodata.readers.personal_keys import kinds_of
from neurodata.safe import Raw

if TYPE_CHECKING:
    import pandas as pd

PARTICIPANT = "participant_id"
_COUNT = re.compile(r"[0-9]{1,18}")
_ROWS = re.compile(r"(?P<file>[^#]*)#row(\*(?P<times>[1-9]\d*))?")


@dataclass(frozen=True)
class Nodes:
    """Names of nodes in the order of the table, and its further columns (node)."""

    node_id: list[str]
    columns: Mapping[str, Numbers]


def has_header(head: bytes) -> bool:
    """Say whether a text file starts with a row of two or more names, none of them a number.

    Examples
    --------
    >>> has_header(b"ROI,Structure\\n1,Cingulate\\n"), has_header(b"0 1 2\\n1 2 3\\n")
    (True, False)
    """
    lines = lines_of(head)
    if len(lines) < 2:
        return False
    names = cells_of(lines[0], separator_of(lines[0]))
    return len(names) > 1 and all(name and not is_number(name) for name in names)


def nodes(raw: Raw, declare: Declared) -> Nodes | None:
    """Return the declared node table, or None when none is declared.

    Raises
    ------
    InvalidInputError
        When no table, or more than one, fits the declaration.
    UnreadableError
        When the table's ids repeat, or its runs of nodes leave gaps or overlap.
    """
    stated = declare.text("columns.node")
    if stated is None:
        return None
    match = _ROWS.fullmatch(stated)
    tables = {path: _table(path) for path in raw.files[1:] if path.suffix in (".csv", ".tsv")}
    if match is None:
        path = _one({p for p, table in tables.items() if stated in table.columns}, stated)
        table = tables[path]
        node_id, columns = list(table[stated]), _columns(table.drop(columns=stated))
    else:
        spans = (declare.text("columns.first"), declare.text("columns.after"))
        fitting = {
            p
            for p, table in tables.items()
            if match["file"] in ("", p.name)
            and PARTICIPANT not in table
            and not set(spans) & set(table.columns)
        }
        table = tables[_one(fitting, stated)]
        times = int(match["times"] or 1)
        node_id = [str(node) for node in range(times * len(table))]
        columns = {name: np.tile(values, times) for name, values in _columns(table).items()}
    if len(set(node_id)) < len(node_id):
        raise UnreadableError(raw.name, f"node ids that repeat in {stated}", "one row a node", "")
    return Nodes(node_id, {**columns, **_spans(raw, tables, declare, len(node_id))})


def _one(paths: set[Path], stated: str) -> Path:
    if len(paths) != 1:
        names = ", ".join(sorted(path.name for path in paths)) or "none"
        raise InvalidInputError(
            f"--set columns.node={stated}",
            f"tables that fit: {names}",
            "one table beside the edge list or above it",
            "name a column of one table, or FILE#row",
        )
    return next(iter(paths))


def _table(path: Path) -> pd.DataFrame:
    return safe.read_table(path, "\t" if path.suffix == ".tsv" else ",").map(str.strip)


def _columns(table: pd.DataFrame) -> dict[str, Numbers]:
    columns = {}
    for name in table.columns:
        cells = [str(cell) for cell in table[name]]
        whole = all(re.fullmatch(r"-?\d{1,18}", cell) for cell in cells)
        number = all(is_number(cell) for cell in cells)
        columns[str(name)] = (
            np.array(cells, "i8" if whole else "f8") if number else text_array(cells)
        )
    return columns


def _spans(
    raw: Raw, tables: Mapping[Path, pd.DataFrame], declare: Declared, count: int
) -> dict[str, Numbers]:
    """Return the columns of a table whose rows hold for runs of nodes ``[first, after)``."""
    first, after = declare.text("columns.first"), declare.text("columns.after")
    if first is None or after is None:
        return {}
    fitting = {p for p, table in tables.items() if {first, after} <= set(table.columns)}
    path = _one(fitting, f"{first} to {after}")
    table = tables[path]
    starts = [int(cell) if _COUNT.fullmatch(cell) else -1 for cell in table[first]]
    stops = [int(cell) if _COUNT.fullmatch(cell) else -1 for cell in table[after]]
    order = np.argsort(starts, kind="stable")
    runs = [(starts[row], stops[row]) for row in order]
    edges = [0, *(stop for _, stop in runs)]
    if [start for start, _ in runs] != edges[:-1] or edges[-1] != count or sorted(edges) != edges:
        raise UnreadableError(
            path.name, f"runs {runs}", f"runs that cover 0 to {count} once", f"correct {path.name}"
        )
    rows = np.repeat(order, [stop - start for start, stop in runs])
    columns = _columns(table.drop(columns=[first, after]))
    return {name: values[rows] for name, values in columns.items()}


def participant(raw: Raw) -> dict[str, str]:
    """Return the subject's sex from ``participants.csv``; its other columns are noted."""
    subject = bids.entities(raw.main).get("sub")
    path = raw.find(lambda path: path.name == "participants.csv")
    if path is None or subject is None:
        return {}
    table = _table(path)
    rows = table[table[PARTICIPANT] == f"sub-{subject}"] if PARTICIPANT in table else table[:0]
    if len(rows) != 1:
        raw.warn(path.name, f"{len(rows)} rows of sub-{subject}", "one", "correct the table")
        return {}
    kept = {"sex"} if (sex := bids.SEX.get(str(rows.iloc[0].get("sex", "")).lower())) else set()
    if removed := set(map(str, table.columns)) - kept - {PARTICIPANT}:
        raw.note(path.name, f"columns not on the allow-list, removed: {kinds_of(removed)}")
    return {"sex": sex} if sex else {}
