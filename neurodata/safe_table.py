"""The leaf of the one door for long tables of numbers: read in blocks, typed, nothing filled in."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neurodata.errors import UnreadableError, UnsafeError

if TYPE_CHECKING:
    import pandas as pd

BLOCK_BYTES = 2**24
HEADER_BYTES = 2**20
LIMIT_BYTES = 8 * 2**30
EXACT = 2**53  # whole numbers up to here are exact in a 64-bit float (IEEE 754)


def names(path: Path, separator: str) -> list[str]:
    """Return the column names in the first line of a table.

    Raises
    ------
    UnreadableError
        When the file is empty, no text, or its first line has one column or a name twice.
    """
    with path.open("rb") as stream:
        start = stream.readline(HEADER_BYTES)
    line = start.decode("utf-8-sig", "replace").rstrip("\r\n")
    found = [name.strip().strip('"') for name in line.split(separator)]
    if found[-1:] == [""]:
        found.pop()
    cut = len(start) == HEADER_BYTES and not start.endswith(b"\n")
    if cut or len(found) < 2 or len(set(found)) < len(found) or not all(found):
        raise UnreadableError(
            path.name, f"the first line {line[:60]!r}", f"column names with {separator!r} between"
        )
    return found


def numbers(path: Path, separator: str) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of a table of finite numbers, int64 where all are whole, else float64.

    ``true`` and ``false`` are 1 and 0.

    Parameters
    ----------
    path : Path
        Delimited text with a header; a separator may end each line.
    separator : str
        One character.

    Returns
    -------
    dict of str to numpy.ndarray
        Each of shape ``(row,)``.

    Raises
    ------
    UnreadableError
        When a row has more or fewer cells, a cell is no finite number, or the last line has no
        end (it may have been cut).
    UnsafeError
        When the file is over 8 GiB.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.csv"
    >>> _ = path.write_text("id;length\\n0;1.5\\n1;2\\n")
    >>> numbers(path, ";")["length"].tolist()
    [1.5, 2.0]
    """
    size = path.stat().st_size
    if size > LIMIT_BYTES:
        raise UnsafeError(path.name, f"{size} bytes", f"at most {LIMIT_BYTES}", "split the file")
    header = names(path, separator)
    _require_end(path, size)
    parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in header}
    for first, block in _blocks(path, separator, header):
        for name in header:
            parts[name].append(_column(block[name], f"{path.name}: column {name!r}", first))
    if not parts[header[0]]:
        raise UnreadableError(path.name, "a header alone", "rows", "copy the file again")
    return {name: _joined(blocks, f"{path.name}: {name}") for name, blocks in parts.items()}


def _require_end(path: Path, size: int) -> None:
    with path.open("rb") as stream:
        stream.seek(max(0, size - 1))
        if stream.read(1) != b"\n":
            raise UnreadableError(
                path.name, "a last line without its end", "whole lines",
                "copy or export the file again; add a line end if it is complete",
            )  # fmt: skip


def _blocks(path: Path, separator: str, header: list[str]) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield the number of the first line and the cells of some rows at a time."""
    import pandas as pd

    with path.open("rb") as stream:
        stream.readline()
        line, rest = 2, b""
        while data := stream.read(BLOCK_BYTES):
            whole, end, rest = (rest + data).rpartition(b"\n")
            if not end:
                raise UnreadableError(f"{path.name}: line {line}", "no line end", "rows of text")
            closed = _require_width(path, whole + end, separator, line, len(header))
            columns = [*header, *["after the last"] * closed]
            try:
                block = pd.read_csv(
                    io.BytesIO(whole + end), sep=separator, header=None, names=columns,
                    index_col=False, na_filter=False, float_precision="round_trip",
                    encoding="utf-8", skip_blank_lines=False, low_memory=False,
                )  # fmt: skip
            except (ValueError, OverflowError) as error:  # ParserError, UnicodeDecodeError
                raise UnreadableError(
                    path.name, f"no table ({error})", f"{len(header)} cells a row", "copy it again"
                ) from error
            if closed and any(map(str, block.pop("after the last"))):
                raise UnreadableError(path.name, "cells without a name", f"{len(header)} a row")
            yield line, block
            line += len(block)


def _require_width(path: Path, data: bytes, separator: str, line: int, width: int) -> bool:
    """Refuse rows of another length; return whether a separator ends each row."""
    codes = np.frombuffer(data, "u1")
    ends = np.nonzero(codes == ord("\n"))[0]
    marks = np.diff(np.cumsum(codes == ord(separator))[ends], prepend=0)
    if (codes == 0).any():
        raise UnreadableError(path.name, "bytes that are no text", "a table", "copy it again")
    closed = bool(marks[0] == width)
    wrong = np.nonzero(marks != width - 1 + closed)[0]
    if wrong.size:
        raise UnreadableError(
            f"{path.name}: line {line + int(wrong[0])}", f"{int(marks[wrong[0]]) + 1} cells",
            f"{width}, as in the first line", "mend the line or copy the file again",
        )  # fmt: skip
    return closed


def _column(values: pd.Series[Any], where: str, first: int) -> npt.NDArray[Any]:
    if values.dtype.kind == "b":
        return np.asarray(values, "i8")
    if values.dtype.kind in "iu":
        if values.dtype.kind == "u" and int(values.max()) >= 2**63:
            raise UnreadableError(where, f"{values.max()}", "whole numbers below 2**63")
        return np.asarray(values, "i8")
    if values.dtype.kind == "f":
        array = np.asarray(values, "f8")
        if (wrong := np.nonzero(~np.isfinite(array))[0]).size:
            raise _no_number(where, first + int(wrong[0]), str(array[wrong[0]]))
        return array
    for row, cell in enumerate(map(str, values)):
        if not _is_finite(cell):
            raise _no_number(where, first + row, repr(cell[:40]))
    raise UnreadableError(where, max(map(str, values), key=len)[:40], "whole numbers below 2**63")


def _is_finite(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _no_number(where: str, line: int, found: str) -> UnreadableError:
    return UnreadableError(
        f"{where}, line {line}", found, "a finite number", "mend the value at its source"
    )


def _joined(blocks: list[npt.NDArray[Any]], where: str) -> npt.NDArray[Any]:
    whole = all(block.dtype.kind == "i" for block in blocks)
    if not whole and any(b.dtype.kind == "i" and (np.abs(b) > EXACT).any() for b in blocks):
        raise UnreadableError(where, "whole numbers over 2**53 beside fractions", "one kind")
    return np.concatenate(blocks) if whole else np.concatenate([b.astype("f8") for b in blocks])
