"""What a NIfTI header states, checked before anything is read by it.

References
----------
NIfTI-1 and NIfTI-2: https://nifti.nimh.nih.gov/nifti-1/documentation/nifti1fields
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from neurodata.errors import UnknownFormatError, UnreadableError, need

EXTRA = "mri"
MAGIC_1 = {b"n+1\0": True, b"ni1\0": False}
MAGIC_2 = {b"n+2\0\r\n\x1a\n": True, b"ni2\0\r\n\x1a\n": False}
SIZE_1, SIZE_2 = 348, 540
MAX_AXES = 5

DTYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 32: "c8", 64: "f8", 256: "i1", 512: "u2",
    768: "u4", 1024: "i8", 1280: "u8", 1792: "c16",
}  # fmt: skip
OTHER_DTYPES = {
    0: "unknown", 1: "single bits", 128: "RGB colours", 1536: "128-bit floats",
    2048: "256-bit complex", 2304: "RGBA colours",
}  # fmt: skip


@dataclass(frozen=True)
class Header:
    """A checked NIfTI header.

    Parameters
    ----------
    fields : nibabel header
        The fields as stored.
    shape : tuple of int
        Voxels in the file's order ``(x, y, z[, t[, channel]])``.
    dtype : numpy.dtype
        Stored type with its byte order.
    offset : int
        Where the voxels start, in bytes.
    slope, inter : float
        Value = stored * slope + inter.
    single : bool
        Whether the voxels lie in the header's own file.
    """

    fields: Any
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    inter: float
    single: bool


def is_nifti(block: bytes) -> bool:
    """Say whether a file that starts with ``block`` is NIfTI-1 or NIfTI-2.

    Examples
    --------
    >>> is_nifti(bytes(344) + b"n+1\\0"), is_nifti(b"n+1\\0")
    (True, False)
    """
    return block[344:348] in MAGIC_1 or block[4:12] in MAGIC_2


def parse(block: bytes, where: str, most_axes: int = MAX_AXES) -> Header:
    """Read and check a header.

    Parameters
    ----------
    block : bytes
        The file's first 540 bytes, or all of them when there are fewer.
    where : str
        The file's name, for messages.
    most_axes : int
        How many axes longer than 1 there may be.

    Raises
    ------
    UnreadableError
        When the header is cut short, contradicts itself or holds impossible values.
    UnknownFormatError
        When the voxels are of a type that is no intensity, such as RGB.
    """
    second = block[4:12] in MAGIC_2
    size = SIZE_2 if second else SIZE_1
    if len(block) < size or not is_nifti(block):
        raise UnreadableError(
            where, f"{len(block)} bytes without a NIfTI header", f"{size} bytes", "copy it again"
        )
    single = MAGIC_2[block[4:12]] if second else MAGIC_1[block[344:348]]
    fields = _fields(block[:size], second, where)
    dtype = _dtype(fields, where)
    slope, inter = _scaling(fields, dtype, where)
    shape = _shape(fields, where, most_axes)
    return Header(fields, shape, dtype, _offset(fields, single, where), slope, inter, single)


def _fields(block: bytes, second: bool, where: str) -> Any:
    nifti = need("nibabel", extra=EXTRA)
    kind = nifti.Nifti2Header if second else nifti.Nifti1Header
    for order, mark in (("little", "<"), ("big", ">")):
        if int.from_bytes(block[:4], order) == len(block):  # type: ignore[arg-type]
            return kind(block, mark, check=False)
    found = int.from_bytes(block[:4], "little")
    raise _impossible(f"{where}: sizeof_hdr", found, f"{len(block)} in either byte order")


def _impossible(where: str, found: object, expected: str) -> UnreadableError:
    return UnreadableError(where, str(found), expected, "mend the header at its source")


def _shape(fields: Any, where: str, most_axes: int) -> tuple[int, ...]:
    dim = [int(n) for n in fields["dim"]]
    if not 1 <= dim[0] <= 7:
        raise _impossible(f"{where}: dim[0]", dim[0], "1 to 7 axes")
    sizes = dim[1 : dim[0] + 1]
    if min(sizes) < 1:
        raise _impossible(f"{where}: dim", sizes, "at least 1 voxel along each axis")
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) > most_axes:
        raise UnknownFormatError(
            f"{where}: dim", str(sizes), f"at most {most_axes} axes longer than 1", "split the file"
        )
    return tuple(sizes + [1] * (3 - len(sizes)))


def _dtype(fields: Any, where: str) -> np.dtype[Any]:
    code, bits = int(fields["datatype"]), int(fields["bitpix"])
    if code not in DTYPES:
        raise UnknownFormatError(
            f"{where}: datatype",
            f"{code} ({OTHER_DTYPES.get(code, 'not in the standard')})",
            "integers of 8 to 64 bits, floats of 32 or 64, complex of 64 or 128",
            "convert the file to one of these",
        )
    dtype = np.dtype(DTYPES[code]).newbyteorder(fields.endianness)
    if bits != 8 * dtype.itemsize:
        raise _impossible(f"{where}: bitpix", bits, f"{8 * dtype.itemsize}, as datatype {code} has")
    return dtype


def _offset(fields: Any, single: bool, where: str) -> int:
    offset = float(fields["vox_offset"])
    least = int(fields["sizeof_hdr"]) + 4 if single else 0
    if not (isfinite(offset) and offset >= least and offset == int(offset)):
        raise _impossible(f"{where}: vox_offset", offset, f"a whole number from {least} on")
    return int(offset)


def _scaling(fields: Any, dtype: np.dtype[Any], where: str) -> tuple[float, float]:
    slope, inter = float(fields["scl_slope"]), float(fields["scl_inter"])
    if not (isfinite(slope) and isfinite(inter)):
        raise _impossible(
            f"{where}: scl_slope, scl_inter", f"{slope}, {inter}", "finite numbers (0 for none)"
        )
    if slope == 0:
        return 1.0, 0.0
    if dtype.kind == "c" and inter != 0:
        raise UnknownFormatError(
            f"{where}: scl_inter", f"{inter} on complex voxels", "0", "apply it and save again"
        )
    return slope, inter
