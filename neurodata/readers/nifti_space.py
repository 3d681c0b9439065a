"""Where voxels lie and when volumes were taken, from a NIfTI header and what is declared."""

from __future__ import annotations

import itertools
from math import isfinite
from typing import Any

import numpy as np

from neurodata.declare import Declared, missing
from neurodata.errors import InvalidInputError, MissingFactError, UnreadableError, need
from neurodata.readers.nifti_header import EXTRA, Header
from neurodata.safe import Raw

MM_PER_UNIT = {1: 1e3, 2: 1.0, 3: 1e-3}
SECONDS_PER_UNIT = {8: 1.0, 16: 1e-3, 24: 1e-6}
SPACE_MASK, TIME_MASK = 0x07, 0x38

# Volumes a second apart or so: ultrafast rodent sequences start at 0.05 s, sparse auditory
# designs end below 30 s. Milliseconds labelled seconds lie far outside.
REPETITION_S = (0.05, 30.0)
# From ex vivo microscopy of 5 um to the coarsest whole-body phantoms.
VOXEL_MM = (0.005, 30.0)
TOLERANCE = 1e-3
NO_PERIOD = "volumes a second, or another meaning of the fourth axis (--set axes=channel,z,y,x)"
AXIS_CODES = {"R": 1.0, "L": -1.0, "A": 1.0, "P": -1.0, "S": 1.0, "I": -1.0}


def voxel_affine(raw: Raw, header: Header, declare: Declared) -> tuple[np.ndarray[Any, Any], str]:
    """Return the matrix (4, 4) float64 from voxel ``(x, y, z, 1)`` to RAS+ mm, and its space.

    The sform is taken when its code is over 0, else the qform; with neither, the orientation
    has to be declared (``--set axes=RAS``).

    Raises
    ------
    UnreadableError
        When the matrix is not finite or is singular, or a voxel has no extent.
    MissingFactError
        When the file states no unit or no orientation and none is declared.
    """
    fields = header.fields
    sizes = _voxel_sizes(raw, header)
    factor = _mm_per_unit(raw, fields, sizes, declare)
    sform, qform = int(fields["sform_code"]), int(fields["qform_code"])
    if sform > 0:
        matrix = np.asarray(fields.get_sform(), "f8")
    elif qform > 0:
        matrix = _qform(raw, fields)
    else:
        stated = ("qform_code, sform_code", "0 and 0: left and right are not stated")
        matrix = declared_orientation(raw, sizes, declare, *stated)
    matrix[:3] *= factor
    check_affine(raw, matrix)
    if sform > 0:
        _compare(raw, header, matrix, sizes * factor, factor)
    return matrix, _space(raw, max(sform, 0) or max(qform, 0))


def _voxel_sizes(raw: Raw, header: Header) -> np.ndarray[Any, Any]:
    sizes = np.asarray(header.fields["pixdim"][1:4], "f8")
    extended = np.asarray(header.shape[:3]) > 1
    if not np.isfinite(sizes).all() or (sizes < 0).any() or (sizes[extended] == 0).any():
        raise UnreadableError(
            f"{raw.name}: pixdim",
            f"voxels of {sizes.tolist()}",
            "finite sizes over 0",
            "mend the header at its source",
        )
    return sizes


def _mm_per_unit(raw: Raw, fields: Any, sizes: np.ndarray[Any, Any], declare: Declared) -> float:
    code = int(fields["xyzt_units"]) & SPACE_MASK
    stated = MM_PER_UNIT.get(code)
    declared = declare.numbers("voxel_mm", 3)
    if declared is not None:
        factor = declared_factor(raw, sizes, np.array(declared[::-1]))
        if stated is not None and stated != factor:
            raw.warn(
                "xyzt_units",
                f"a unit of {stated:g} mm, but voxel_mm={declared} declared",
                "agreement",
                "the declaration was followed",
            )
        stated = factor
    if stated is None:
        example = ",".join(f"{size:g}" for size in sizes[::-1])
        raise missing(
            f"{raw.name}: xyzt_units",
            f"no unit of length (code {code}) for voxels of {sizes.tolist()} (x, y, z)",
            "mm, um or m stated, or the voxel size declared in mm as z,y,x",
            f"voxel_mm={example}",
        )
    check_sizes(raw, sizes * stated, "pixdim")
    return stated


def check_sizes(raw: Raw, sizes_mm: np.ndarray[Any, Any], where: str) -> None:
    """Warn of voxels of a size that no scanner has; ``where`` names the field of the header."""
    known = sizes_mm[sizes_mm > 0]
    if ((known < VOXEL_MM[0]) | (known > VOXEL_MM[1])).any():
        raw.warn(
            where,
            f"voxels of {sizes_mm.tolist()} mm",
            f"{VOXEL_MM[0]} to {VOXEL_MM[1]} mm",
            "check the unit; declare it: --set voxel_mm=z,y,x",
        )


def declared_factor(raw: Raw, sizes: np.ndarray[Any, Any], declared: np.ndarray[Any, Any]) -> float:
    """Return the mm a unit of ``sizes`` (x, y, z) by which these are the ``declared`` sizes in mm.

    Raises
    ------
    InvalidInputError
        When mm, um and m all give other sizes.
    """
    known = sizes > 0
    for factor in MM_PER_UNIT.values():
        if np.allclose(declared[known], sizes[known] * factor, rtol=TOLERANCE, atol=0):
            return factor
    raise InvalidInputError(
        "--set voxel_mm",
        f"{declared[::-1].tolist()} (z, y, x)",
        f"the header's {sizes[::-1].tolist()}, in mm, um or m",
        f"{raw.name} states the sizes; only their unit can be declared",
    )


def _qform(raw: Raw, fields: Any) -> np.ndarray[Any, Any]:
    try:
        if float(fields["pixdim"][0]) == 0:  # the standard: "treat 0 as 1"
            fields = fields.copy()
            fields["pixdim"][0] = 1
        return np.asarray(fields.get_qform(), "f8")
    except Exception as error:  # nibabel's own types, and numpy's for NaN
        raise UnreadableError(
            f"{raw.name}: quatern", f"no rotation ({error})", "a unit quaternion", "mend the header"
        ) from error


def orientation(declare: Declared) -> str | None:
    """Return the declared orientation of the file's x, y and z, e.g. ``"RAS"``, or None."""
    codes = [item for item in _axes(declare) if len(item) == 3 and set(item) <= set(AXIS_CODES)]
    return codes[0] if codes else None


def fourth_axis(declare: Declared) -> str | None:
    """Return what the file's fourth axis is declared to be, ``"time"`` or ``"channel"``."""
    names = [item for item in _axes(declare) if item in ("time", "channel")]
    return names[0] if names else None


def _axes(declare: Declared) -> list[str]:
    text = declare.text("axes") or ""
    items = [item.strip() for item in text.split(",") if item.strip()]
    known = {"time", "channel", "z", "y", "x"}
    for item in items:
        if item not in known and not (len(item) == 3 and set(item) <= set(AXIS_CODES)):
            raise InvalidInputError(
                "--set axes", repr(text), "time,z,y,x or channel,z,y,x or a code such as RAS"
            )
    return items


def declared_orientation(
    raw: Raw, sizes: np.ndarray[Any, Any], declare: Declared, where: str, found: str
) -> np.ndarray[Any, Any]:
    """Return the matrix (4, 4) of voxels of ``sizes`` in mm (x, y, z) whose axes are declared.

    Parameters
    ----------
    where, found : str
        Which field of the header lacks the orientation, and what it says.

    Raises
    ------
    MissingFactError
        When no orientation is declared.
    """
    codes = orientation(declare)
    if codes is None:
        raise missing(
            f"{raw.name}: {where}",
            found,
            "an orientation of the file's x, y and z axes",
            "axes=RAS|LAS|LPS|...",
        )
    rows = ["RL", "AP", "SI"]
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1.0
    for column, code in enumerate(codes):
        row = next(i for i, pair in enumerate(rows) if code in pair)
        matrix[row, column] = AXIS_CODES[code] * sizes[column]
    raw.note("affine", f"no origin; voxels placed {codes} by declaration", "", "origin is voxel 0")
    return matrix


def check_affine(raw: Raw, matrix: np.ndarray[Any, Any]) -> None:
    """Refuse a matrix (4, 4) that is not finite or maps the grid onto less than a volume.

    Raises
    ------
    UnreadableError
        When it is so.
    """
    finite = bool(np.isfinite(matrix).all())
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(matrix[:3, :3], axis=0) if finite else np.zeros(3)
    fine = bool((lengths > 0).all() and np.isfinite(lengths).all())
    if not fine or abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-6:
        raise UnreadableError(
            f"{raw.name}: affine",
            f"the singular or non-finite matrix {matrix[:3].tolist()}",
            "three independent axes of finite length",
            "mend the header at its source",
        )


def _compare(
    raw: Raw,
    header: Header,
    matrix: np.ndarray[Any, Any],
    sizes: np.ndarray[Any, Any],
    factor: float,
) -> None:
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    known = sizes > 0
    if not np.allclose(lengths[known], sizes[known], rtol=0.01):
        raw.warn("pixdim", f"{sizes.tolist()} mm", f"{lengths.tolist()} mm, as the sform has")
    if int(header.fields["qform_code"]) <= 0:
        return
    other = _qform(raw, header.fields)
    other[:3] *= factor
    last = np.asarray(header.shape[:3]) - 1
    corners = np.array([[*(last * corner), 1] for corner in itertools.product((0, 1), repeat=3)])
    apart = float(np.abs(corners @ (matrix - other).T).max())
    if not isfinite(apart) or apart <= 0.1 * lengths.min():
        return
    found = f"qform and sform {apart:.3g} mm apart"
    if header.fields["qform_code"] == header.fields["sform_code"]:
        raw.warn("affine", found, "one place for each voxel", "the sform was taken")
    else:
        raw.note("affine", f"{found}, in two spaces", "", "the sform was taken")


def _space(raw: Raw, code: int) -> str:
    labels = need("nibabel", extra=EXTRA).nifti1.xform_codes.label
    if code in labels:
        return str(labels[code])
    raw.warn("affine", f"the space code {code}", "0 to 5", "the space is kept as unknown")
    return "unknown"


def clock(
    raw: Raw, header: Header, declare: Declared, sidecar_s: float | None
) -> dict[str, float | int]:
    """Return ``start_s``, ``rate_hz`` and ``n`` of the volumes.

    Parameters
    ----------
    sidecar_s : float or None
        The repetition time in seconds that the BIDS side-car states.

    Raises
    ------
    MissingFactError
        When the repetition time is absent, has no unit or is implausible, and no rate is declared.
    UnreadableError
        When it is negative or not finite, or header and side-car disagree.
    """
    fields, where = header.fields, f"{raw.name}: pixdim[4]"
    code = int(fields["xyzt_units"]) & TIME_MASK
    unit = SECONDS_PER_UNIT.get(code)
    start = declare.number("start_s")
    if start is None:
        start = float(fields["toffset"]) * (unit or 0.0)
    if not isfinite(start):
        raise UnreadableError(
            f"{raw.name}: toffset", str(start), "a finite time", "mend the header"
        )
    stated = float(fields["pixdim"][4])
    period = stated * unit if unit and isfinite(stated) and stated > 0 else None
    found = f"{stated:g} with unit code {code}"
    rate = _declared_rate(raw, "pixdim[4]", found, period, declare)
    if rate is None:
        rate = 1.0 / _period(where, stated, code, period, sidecar_s)
    return {"start_s": start, "rate_hz": rate, "n": header.shape[3]}


def regular_clock(
    raw: Raw, where: str, period_s: float | None, count: int, declare: Declared, first_s: float = 0
) -> dict[str, float | int]:
    """Return ``start_s``, ``rate_hz`` and ``n`` of volumes, as the header states or as declared.

    Parameters
    ----------
    where : str
        The field of the header that states the repetition time.
    period_s : float or None
        What it states, in seconds; None where it states nothing.
    count : int
        Number of volumes.
    first_s : float
        When the first one was taken, in seconds.

    Raises
    ------
    MissingFactError
        When no repetition time, or an implausible one, is stated, and no rate declared.
    UnreadableError
        When a time is negative or not finite.
    """
    start = declare.number("start_s")
    start = float(first_s) if start is None else start
    place, found = f"{raw.name}: {where}", "none" if period_s is None else f"{period_s:g} s"
    rate = _declared_rate(raw, where, found, period_s, declare)
    if rate is None:
        if period_s is None:
            raise missing(place, "no repetition time", NO_PERIOD, "rate_hz=<Hz>")
        if not (isfinite(period_s) and period_s > 0 and isfinite(start)):
            found = f"a repetition time of {period_s} s from {start} s on"
            raise UnreadableError(place, found, "finite, over 0", "--set 'rate_hz=<Hz>'")
        if not REPETITION_S[0] <= period_s <= REPETITION_S[1]:
            raise _implausible(place, period_s, period_s)
        rate = 1.0 / period_s
    return {"start_s": start, "rate_hz": rate, "n": count}


def _declared_rate(
    raw: Raw, where: str, found: str, period_s: float | None, declare: Declared
) -> float | None:
    """Return the declared rate in Hz, if any; a stated period that differs is a warning."""
    rate = declare.number("rate_hz")
    if rate is not None:
        if not rate > 0:
            raise InvalidInputError("--set rate_hz", str(rate), "a number over 0")
        if period_s is None or abs(period_s * rate - 1) > TOLERANCE:
            raw.warn(where, found, f"{1 / rate:g} s as declared")
    return rate


def _period(
    where: str, stated: float, code: int, period: float | None, sidecar_s: float | None
) -> float:
    if not (isfinite(stated) and stated >= 0):
        raise UnreadableError(
            where, f"a repetition time of {stated}", "a number over 0", "--set 'rate_hz=<Hz>'"
        )
    if period is None:
        if sidecar_s is not None:
            return sidecar_s
        raise missing(
            where,
            f"{stated:g} with no unit of time (code {code})" if stated else "no repetition time",
            NO_PERIOD,
            f"rate_hz={_example(stated)}",
        )
    if sidecar_s is not None:
        if abs(period - sidecar_s) > TOLERANCE * sidecar_s:
            raise UnreadableError(
                where,
                f"{period:g} s, but RepetitionTime {sidecar_s:g} s in the side-car",
                "one repetition time",
                f"declare the right one: --set rate_hz={1 / sidecar_s:g}",
            )
        return sidecar_s
    if not REPETITION_S[0] <= period <= REPETITION_S[1]:
        raise _implausible(where, stated, period)
    return period


def _implausible(where: str, stated: float, period: float) -> MissingFactError:
    return missing(
        where,
        f"a repetition time of {period:g} s",
        f"{REPETITION_S[0]:g} to {REPETITION_S[1]:g} s (milliseconds are often labelled seconds)",
        f"rate_hz={_example(stated)}",
    )


def _example(stated: float) -> str:
    for unit in (1.0, 1e-3, 1e3):
        if REPETITION_S[0] <= stated * unit <= REPETITION_S[1]:
            return f"{1 / (stated * unit):g}"
    return "<Hz>"
