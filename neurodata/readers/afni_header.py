"""The attributes of an AFNI header file (.HEAD), checked before anything is read by them.

References
----------
https://afni.nimh.nih.gov/pub/dist/doc/program_help/README.attributes.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np

from neurodata.errors import UnknownFormatError, UnreadableError
from neurodata.readers.delimited import NUMBER

HEAD_LIMIT_BYTES = 16 * 2**20
START = re.compile(
    r"\s*type\s*=\s*(?P<type>string|integer|float)-attribute[ \t]*\r?\n"
    r"\s*name\s*=\s*(?P<name>\w+)[ \t]*\r?\n"
    r"\s*count\s*=\s*(?P<count>\d{1,9})[ \t]*\r?\n"
)
DTYPES = {0: "u1", 1: "i2", 3: "f4", 5: "c8"}
OTHER_DTYPES = {2: "32-bit integers", 4: "64-bit floats", 6: "colours"}
WHOLE = re.compile(r"[+-]?\d{1,18}")
ORDERS: dict[str, Literal["<", ">"]] = {"LSB_FIRST": "<", "MSB_FIRST": ">"}
SECONDS_PER_UNIT = {77001: 1e-3, 77002: 1.0}
HERTZ = 77003

Value = str | list[float] | list[int]


@dataclass(frozen=True)
class Header:
    """What a dataset is, by its header.

    Parameters
    ----------
    shape : tuple of int
        Voxels and volumes, ``(x, y, z, volume)``.
    dtype : numpy.dtype
        Stored type with its byte order.
    factors : tuple of float
        Value = stored * factor, one a volume; 1 where none is stated.
    labels : tuple of str
        Names of the volumes, or none.
    period_s : float or None
        Time from volume to volume; None where the volumes are no series.
    first_s : float
        When the first volume was taken.
    """

    attributes: dict[str, Value]
    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    factors: tuple[float, ...]
    labels: tuple[str, ...]
    period_s: float | None
    first_s: float


def is_head(start: str) -> bool:
    """Say whether a text starts as AFNI's headers do.

    Examples
    --------
    >>> is_head("\\ntype = string-attribute\\nname = IDCODE_DATE\\ncount = 5\\n'now~~")
    True
    """
    return START.match(start) is not None


def attributes(text: str, where: str) -> dict[str, Value]:
    """Return the attributes by name; every one has as many values as it says.

    Raises
    ------
    UnreadableError
        When the text is cut or holds something else, or an attribute comes twice.

    Examples
    --------
    >>> attributes("type = integer-attribute\\nname = A\\ncount = 2\\n 7 8\\n", "a.HEAD")
    {'A': [7, 8]}
    """
    found: dict[str, Value] = {}
    at = 0
    while text[at:].strip():
        match = START.match(text, at)
        if match is None:
            line = text.count("\n", 0, at) + 1
            raise UnreadableError(
                f"{where}: line {line}", repr(text[at : at + 40].strip()),
                "type, name and count of an attribute", "copy the file again",
            )  # fmt: skip
        name, count = match["name"], int(match["count"])
        if name in found:
            raise UnreadableError(f"{where}: {name}", "it twice", "it once", "mend the header")
        if match["type"] == "string":
            found[name], at = _text(text, match.end(), count, f"{where}: {name}")
        else:
            kind = int if match["type"] == "integer" else float
            found[name], at = _numbers(text, match.end(), count, kind, f"{where}: {name}")
    return found


def _text(text: str, at: int, count: int, where: str) -> tuple[str, int]:
    start = text.find("'", at) + 1
    body = text[start : start + count]
    if start == 0 or text[at : start - 1].strip() or len(body) < count:
        raise UnreadableError(
            where, f"{len(body)} characters after a quote", f"{count}", "copy the file again"
        )
    return body.rstrip("~"), start + count


def _numbers(text: str, at: int, count: int, kind: type[Any], where: str) -> tuple[list[Any], int]:
    end = text.find("type", at)
    end = len(text) if end < 0 else end
    cells = text[at:end].split()
    form = NUMBER if kind is float else WHOLE
    wrong = [cell for cell in cells if not form.fullmatch(cell)]
    if wrong or len(cells) != count:
        found = repr(wrong[0][:40]) if wrong else f"{len(cells)} numbers"
        raise UnreadableError(where, found, f"{count} numbers", "copy the file again")
    return [kind(cell) for cell in cells], end


def parse(text: str, where: str) -> Header:
    """Return the header of a dataset, checked.

    Raises
    ------
    UnreadableError
        When an attribute is missing, impossible or contradicts another one.
    UnknownFormatError
        When the volumes are of a type that is no intensity, or of several.
    """
    found = attributes(text, where)
    rank = numbers(found, "DATASET_RANK", where, 2)
    dims = numbers(found, "DATASET_DIMENSIONS", where, 3)
    if rank[0] != 3:
        raise impossible(where, "DATASET_RANK", f"{rank[0]:g} spatial axes", "3")
    shape = (int(dims[0]), int(dims[1]), int(dims[2]), int(rank[1]))
    if min(shape) < 1:
        raise impossible(where, "DATASET_DIMENSIONS", shape, "at least 1 along each axis")
    count = shape[3]
    dtype = _dtype(found, count, where)
    factors = (
        numbers(found, "BRICK_FLOAT_FACS", where, count) if "BRICK_FLOAT_FACS" in found else []
    )
    period_s, first_s = _times(found, count, where)
    labels = tuple(str(found.get("BRICK_LABS", "")).split("~"))
    return Header(
        found, shape, dtype, tuple(factor or 1.0 for factor in factors) or (1.0,) * count,
        labels if len(labels) == count else (), period_s, first_s,
    )  # fmt: skip


def impossible(where: str, name: str, found: object, expected: str) -> UnreadableError:
    """Make the refusal of an impossible attribute."""
    return UnreadableError(f"{where}: {name}", str(found), expected, "mend the header: 3drefit")


def numbers(found: dict[str, Value], name: str, where: str, count: int) -> list[float]:
    """Return the first ``count`` numbers of an attribute.

    Raises
    ------
    UnreadableError
        When it is missing, shorter or no list of finite numbers.
    """
    value = found.get(name)
    if not isinstance(value, list) or len(value) < count:
        raise impossible(where, name, "nothing" if value is None else value, f"{count} numbers")
    if not all(isfinite(number) for number in value):
        raise impossible(where, name, value[:12], "finite numbers")
    return [float(number) for number in value[:count]]


def _dtype(found: dict[str, Value], count: int, where: str) -> np.dtype[Any]:
    codes = {int(code) for code in numbers(found, "BRICK_TYPES", where, count)}
    code = min(codes)
    if len(codes) > 1 or code not in DTYPES:
        names = [OTHER_DTYPES.get(one, DTYPES.get(one, "unknown")) for one in sorted(codes)]
        raise UnknownFormatError(
            f"{where}: BRICK_TYPES", f"{sorted(codes)} ({', '.join(names)})",
            "one type for all volumes: 0, 1, 3 or 5", "convert it: 3dcalc -datum float",
        )  # fmt: skip
    dtype, order = np.dtype(DTYPES[code]), str(found.get("BYTEORDER_STRING", ""))
    if order not in ORDERS and dtype.itemsize > 1:
        stated = repr(order) if order else "nothing"
        raise UnreadableError(
            f"{where}: BYTEORDER_STRING", stated, "LSB_FIRST or MSB_FIRST",
            "state it: 3drefit -byteorder",
        )  # fmt: skip
    return dtype.newbyteorder(ORDERS[order]) if order in ORDERS else dtype


def _times(found: dict[str, Value], count: int, where: str) -> tuple[float | None, float]:
    """Return the time from volume to volume and that of the first one, in seconds."""
    if "TAXIS_NUMS" not in found:
        return None, 0.0
    nums, floats = numbers(found, "TAXIS_NUMS", where, 3), numbers(found, "TAXIS_FLOATS", where, 2)
    unit = int(nums[2])
    if int(nums[0]) != count:
        raise impossible(where, "TAXIS_NUMS", f"{nums[0]:g} points in time", f"{count} volumes")
    if unit == HERTZ:
        raise UnknownFormatError(
            f"{where}: TAXIS_NUMS", "volumes by frequency (77003)", "by time", "split the file"
        )
    if unit not in SECONDS_PER_UNIT:
        raise impossible(where, "TAXIS_NUMS", f"unit {unit}", "77001 (ms) or 77002 (s)")
    return floats[1] * SECONDS_PER_UNIT[unit], floats[0] * SECONDS_PER_UNIT[unit]
