"""Text files of spike times: one number a line, comments above. The unit has to be declared.

Nothing in such a file says what its numbers are, so ``--set time_units=us`` (or ``ms``, ``s``)
does; ``start_s`` and ``stop_s`` declare the span that was observed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared, missing
from neurodata.errors import InvalidInputError, UnreadableError
from neurodata.readers import bids, delimited
from neurodata.readers.spike_rows import declared_span_s, grouped, spikes
from neurodata.safe import Raw
from neurodata.units import to_si

SUFFIXES = (".txt", ".dat", ".csv", ".spk")
EXTRA = ""  # needs no optional package
LEAST_SPIKES = 8


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a text file lists rising numbers of 0 or more, one a line.

    Examples
    --------
    >>> sniff(b"".join(b"%d\\n" % (n * 7 + n % 3) for n in range(9)), Path("a.txt"))
    True
    >>> sniff(b"1\\n2\\n3\\n4\\n5\\n6\\n7\\n8\\n9\\n", Path("a.txt"))
    False
    """
    lines = [line.strip() for line in delimited.lines_of(head)]
    if len(lines) < LEAST_SPIKES or not all(map(delimited.is_number, lines)):
        return False
    times = [float(line) for line in lines]
    steps = {round(later - earlier, 9) for earlier, later in pairwise(times)}
    # numbers at one distance are an index or a grid and no train of spikes
    return times[0] >= 0 and min(steps) >= 0 and len(steps) > 1


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the file alone."""
    return (path,)


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a list of spike times as one unit, named after the file.

    Raises
    ------
    MissingFactError
        When the unit of the times is not declared.
    UnreadableError
        When a line is no number, or the times are negative or out of order.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "cell.txt"
    >>> _ = path.write_text("".join(f"{time}\\n" for time in (900, 2100, 2500)))
    >>> read(Raw(path.parent, (path,)), Declared({"time_units": "us"}))["spikes"]["time_s"].values
    array([0.0009, 0.0021, 0.0025])
    """
    text = safe.read_text(raw.main, delimited.TEXT_BYTES)
    lines = text.splitlines()
    if text and not text.endswith(("\n", "\r")):
        raw.note("last line", "no line end", "a line end", "make sure the file was not cut short")
    comments = [line for line in lines if line.startswith(delimited.COMMENTS)]
    rest = [line.strip() for line in lines if not line.startswith(delimited.COMMENTS)]
    cells = [line for line in rest if line]
    if not cells:
        raise UnreadableError(raw.name, "no times", "one number a line", "copy the file again")
    times = delimited.numbers(cells, raw.name).astype("f8") * _factor(raw, declare)
    steps = np.diff(times)
    if times[0] < 0 or (steps < 0).any():
        place = 1 if times[0] < 0 else int((steps < 0).argmax()) + 2
        raise UnreadableError(
            f"{raw.name}, time {place}", repr(cells[place - 1][:40]),
            "times from 0 on, each after the one before", "mend it, or split the file by trials",
        )  # fmt: skip
    if comments:
        raw.note("comments", f"{len(comments)} lines of free text, removed")
    found = grouped([times.size], [(np.zeros(times.size, "int64"), {"time_s": times})], {})
    node = spikes(found, ["1"], raw, declared_span_s(declare))
    tree = xr.DataTree.from_dict({"spikes": node})
    tree.attrs = {"modality": "spikes", **bids.facts(raw)}
    return tree


def _factor(raw: Raw, declare: Declared) -> float:
    stated = declare.text("time_units")
    if stated is None:
        raise missing(raw.name, "numbers alone", "the unit of the times", "time_units=s|ms|us")
    unit = to_si(stated, "--set time_units")
    if unit.symbol != "s":
        raise InvalidInputError("--set time_units", repr(stated), "a unit of time: s, ms, us")
    return unit.factor
