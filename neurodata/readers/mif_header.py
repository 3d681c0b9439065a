"""The text header of an MRtrix image: what it states, checked before anything is read by it.

References
----------
https://mrtrix.readthedocs.io/en/latest/getting_started/image_data.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import numpy as np
import numpy.typing as npt

from neurodata import safe
from neurodata.errors import UnknownFormatError, UnreadableError
from neurodata.readers.delimited import is_number
from neurodata.safe import Raw

MAGIC = b"mrtrix image"
HEADER_BYTES = 8 * 2**20
END = re.compile(rb"\n[ \t]*END[ \t]*\r?(\n|$)")
KINDS = {
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "int64": "i8", "uint64": "u8", "float16": "f2", "float32": "f4", "float64": "f8",
    "cfloat32": "c8", "cfloat64": "c16",
}  # fmt: skip
ORDERS = {"le": "<", "be": ">"}
REPEATED = ("transform", "dw_scheme", "file")
MOST_AXES = 4
MOST_VOXELS_ALONG = 2**31
Rows = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Header:
    """A checked header.

    Parameters
    ----------
    dims : tuple of int
        Voxels along the image's axes x, y, z and, where there are several, volumes.
    order : tuple of int
        These axes as the file has them, the fastest first.
    reversed : frozenset of int
        Axes whose last voxel comes first in the file.
    sizes : (3,) float64
        Of voxels in mm.
    cosines : (3, 4) float64 or None
        Directions of the axes and the place of voxel 0 in mm RAS+; None where not stated.
    scaling : tuple of float
        Offset and scale: value = offset + stored * scale.
    gradients : (time, 4) float64 or None
        x, y, z in the scanner's RAS+ and b in s/mm2.
    file, offset : str, int
        Where the voxels are, ``.`` being this very file, and the bytes before them.
    period : float
        ``RepetitionTime`` where stated, else NaN.
    spacing : float
        The size along the fourth axis, without a unit; NaN where not stated.
    size : int
        Bytes of the header.
    """

    dims: tuple[int, ...]
    order: tuple[int, ...]
    reversed: frozenset[int]
    sizes: Rows
    cosines: Rows | None
    dtype: np.dtype[Any]
    scaling: tuple[float, float]
    gradients: Rows | None
    file: str
    offset: int
    period: float
    spacing: float
    size: int
    removed: int


def parse(raw: Raw) -> Header:
    """Read and check the header of the main file.

    Raises
    ------
    UnreadableError
        When it is cut short, contradicts itself or holds impossible values.
    UnknownFormatError
        When voxels are bits or of a type without byte order, or there are too many axes.
    """
    fields, size = _fields(raw)
    dims = _whole(raw, fields, "dim")
    while len(dims) > 3 and dims[-1] == 1:
        dims.pop()
    stated = len(_whole(raw, fields, "dim"))
    if min(dims) < 1 or max(dims) >= MOST_VOXELS_ALONG:
        raise wrong(raw, "dim", str(dims), "1 or more voxels along each axis")
    if not 3 <= len(dims) <= MOST_AXES:
        raise UnknownFormatError(
            f"{raw.name}: dim", f"{len(dims)} axes", "3 or 4", "split or extend the image"
        )
    order, flipped = _layout(raw, fields, stated, len(dims))
    vox = _numbers(raw, fields, "vox", 1)[0]
    if len(vox) < 3 or not all(isfinite(v) and v > 0 for v in vox[:3]):
        raise wrong(raw, "vox", str(vox), "finite sizes over 0 along x, y and z")
    file, offset = _file(raw, fields, size)
    scaling = _numbers(raw, fields, "scaling", 1)[0] if "scaling" in fields else [0.0, 1.0]
    if len(scaling) != 2 or not all(map(isfinite, scaling)) or scaling[1] == 0:
        raise wrong(raw, "scaling", str(scaling), "offset and scale, finite, no scale of 0")
    known = {"dim", "vox", "layout", "datatype", "scaling", "repetitiontime", *REPEATED}
    return Header(
        tuple(dims), order, flipped, np.array(vox[:3]), _cosines(raw, fields),
        _dtype(raw, fields), (scaling[0], scaling[1]), _gradients(raw, fields), file, offset,
        _period(fields), vox[3] if len(vox) > 3 else nan, size, len(set(fields) - known),
    )  # fmt: skip


def wrong(raw: Raw, where: str, found: str, expected: str) -> UnreadableError:
    """Make the refusal of a header that is damaged or contradicts itself."""
    return UnreadableError(f"{raw.name}: {where}", found[:200], expected, "mend it at its source")


def _fields(raw: Raw) -> tuple[dict[str, list[str]], int]:
    """Return values by lower-case key, and how many bytes the header has."""
    block = safe.head(raw.main, HEADER_BYTES)
    end = END.search(block)
    if not block.startswith(MAGIC) or end is None:
        raise wrong(raw, "END", "no end of the header", f"a line END within {HEADER_BYTES} bytes")
    fields: dict[str, list[str]] = {}
    for line in block[: end.start()].decode("utf-8", "replace").splitlines()[1:]:
        key, colon, value = line.partition("#")[0].partition(":")
        if colon and key.strip():
            fields.setdefault(key.strip().lower(), []).append(value.strip())
    for key in ("dim", "vox", "layout", "datatype", "file"):
        found = fields.get(key, [])
        if len(found) != 1:
            raise wrong(raw, key, f"{len(found)} of it", "one")
    return fields, end.end()


def _whole(raw: Raw, fields: dict[str, list[str]], key: str) -> list[int]:
    words = fields[key][0].split(",")
    if not all(re.fullmatch(r"\s*[0-9]{1,18}\s*", word) for word in words):
        raise wrong(raw, key, repr(fields[key][0]), "whole numbers")
    return [int(word) for word in words]


def _numbers(raw: Raw, fields: dict[str, list[str]], key: str, least: int) -> list[list[float]]:
    """Return the numbers of each line of a key; NaN is one of them."""
    rows = []
    for text in fields[key]:
        words = text.replace(",", " ").split()
        if len(words) < least or not all(is_number(w) or w.lower() == "nan" for w in words):
            raise wrong(raw, key, repr(text), "numbers")
        rows.append([float(word) for word in words])
    return rows


def _layout(
    raw: Raw, fields: dict[str, list[str]], stated: int, kept: int
) -> tuple[tuple[int, ...], frozenset[int]]:
    """Return the axes as the file has them, the fastest first, and those that are reversed."""
    words = [word.strip() for word in fields["layout"][0].split(",")]
    ranks = [int(word.lstrip("+-")) for word in words if re.fullmatch(r"[+-]?[0-9]{1,3}", word)]
    if sorted(ranks) != list(range(stated)) or len(words) != stated:
        expected = f"each of 0 to {stated - 1} once, with a sign"
        raise wrong(raw, "layout", repr(fields["layout"][0]), expected)
    order = sorted(range(stated), key=ranks.__getitem__)
    flipped = frozenset(axis for axis in range(kept) if words[axis].startswith("-"))
    return tuple(axis for axis in order if axis < kept), flipped


def _dtype(raw: Raw, fields: dict[str, list[str]]) -> np.dtype[Any]:
    word = fields["datatype"][0].lower()
    kind, order = (word[:-2], ORDERS[word[-2:]]) if word[-2:] in ORDERS else (word, "|")
    bare = KINDS.get(kind)
    if bare is None or (order == "|" and not bare.endswith("1")):
        known = "Int8 to UInt64, Float32 or Float64, real or complex, with LE or BE"
        found = repr(fields["datatype"][0][:40])
        raise UnknownFormatError(f"{raw.name}: datatype", found, known, "mrconvert -datatype")
    return np.dtype(bare) if order == "|" else np.dtype(bare).newbyteorder(order)  # type: ignore[arg-type]


def _cosines(raw: Raw, fields: dict[str, list[str]]) -> Rows | None:
    if "transform" not in fields:
        return None
    rows = _numbers(raw, fields, "transform", 4)
    if len(rows) == 4 and rows[3] == [0, 0, 0, 1]:
        rows.pop()
    if [len(row) for row in rows] != [4, 4, 4] or not np.isfinite(rows).all():
        raise wrong(raw, "transform", str(rows), "3 lines of 4 finite numbers")
    matrix = np.array(rows)
    apart = abs(matrix[:, :3].T @ matrix[:, :3] - np.eye(3)).max()
    if apart > 0.01:
        raise wrong(raw, "transform", f"axes {matrix[:, :3].tolist()}", "three right angles")
    return matrix


def _gradients(raw: Raw, fields: dict[str, list[str]]) -> Rows | None:
    if "dw_scheme" not in fields:
        return None
    rows = _numbers(raw, fields, "dw_scheme", 4)
    if any(len(row) < 4 for row in rows) or len({len(row) for row in rows}) > 1:
        raise wrong(raw, "dw_scheme", f"{len(rows)} lines", "x, y, z and b on each")
    return np.array(rows)[:, :4]


def _file(raw: Raw, fields: dict[str, list[str]], size: int) -> tuple[str, int]:
    name, _, rest = fields["file"][0].rpartition(" ")
    if not name:
        name, rest = fields["file"][0], "0"
    own = name.strip() == "."
    least = size if own else 0
    if not re.fullmatch(r"[0-9]{1,18}", rest) or int(rest) < least:
        found = repr(fields["file"][0][:80])
        raise wrong(raw, "file", found, f"a file and the bytes before its voxels, {least} or more")
    return name.strip(), int(rest)


def _period(fields: dict[str, list[str]]) -> float:
    words = fields.get("repetitiontime", [])
    return float(words[0]) if len(words) == 1 and is_number(words[0]) else nan
