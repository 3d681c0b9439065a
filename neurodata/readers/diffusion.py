"""Gradient tables beside diffusion images (.bval, .bvec), checked against the volumes.

A ``.bval`` file has one b-value a volume in s/mm2. A ``.bvec`` file has one direction a volume,
as FSL and BIDS write them: unit vectors along the image's own axes, x reversed where the
affine's determinant is positive. They are stored as they are written, in that convention.

References
----------
FSL, FDT user guide, "bvecs and bvals"; BIDS 1.10, diffusion imaging data.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata import safe
from neurodata.errors import UnreadableError
from neurodata.readers.delimited import is_number
from neurodata.safe import Raw

SUFFIXES = (".bval", ".bvec", ".bvals", ".bvecs")
WITHOUT_STEM = ("bvals", "bvecs")
"""What FSL and the Human Connectome Project call the tables of an image called ``data``."""

AXES = ("x", "y", "z")
NORM_TOLERANCE = 0.01  # tables with two decimals are met
SMALLEST_B = 20.0  # s/mm2; where all are below, the unit is probably ms/um2
GREATEST_B = 1e6

Numbers = npt.NDArray[np.float64]


def beside(path: Path, folder: Sequence[Path]) -> list[Path]:
    """Return the gradient tables of an image among ``folder``.

    Examples
    --------
    >>> files = [Path("a.nii.gz"), Path("a.bval"), Path("a.bvec"), Path("b.bval")]
    >>> [str(path) for path in beside(files[0], files)]
    ['a.bval', 'a.bvec']
    """
    stem = path.name.removesuffix(".gz").rpartition(".")[0]
    names = [stem + suffix for suffix in SUFFIXES] + list(WITHOUT_STEM if stem == "data" else ())
    found = {p.name: p for p in folder if p.parent == path.parent}
    return [found[name] for name in names if name in found]


def files(raw: Raw) -> list[Path]:
    """Return the gradient tables among a recording's files."""
    return [p for p in raw.files[1:] if p.suffix in SUFFIXES or p.name in WITHOUT_STEM]


def with_gradients(raw: Raw, node: xr.Dataset) -> xr.Dataset:
    """Return a volume node with ``b_value (time)`` in s/mm2 and ``b_vector (time, axis)``.

    A single volume gets a dimension ``time`` of length 1. Directions of volumes with b = 0 may
    be zero or NaN, and stay so.

    Raises
    ------
    UnreadableError
        When a file is missing, holds no numbers or not as many as there are volumes, or a
        direction of a volume with b over 0 is no unit vector.
    """
    count = node.sizes.get("time", 1)
    value_file, vector_file = _pair(raw)
    values = _values(value_file, count)
    vectors = _vectors(raw, vector_file, count)
    positive = float(np.linalg.det(node["affine"].values[:3, :3])) > 0
    raw.note(
        vector_file.name,
        "directions along the image's axes as FSL has them: x is "
        + ("reversed" if positive else "not reversed")
        + f", the affine's determinant being {'positive' if positive else 'negative'}",
        "",
        "stored as written",
    )
    return attached(raw, node, value_file, vector_file, values, vectors)


def attached(
    raw: Raw,
    node: xr.Dataset,
    value_file: Path,
    vector_file: Path,
    values: Numbers,
    vectors: Numbers,
) -> xr.Dataset:
    """Return a volume node with its checked gradients; a single volume gets a dimension ``time``.

    Parameters
    ----------
    value_file, vector_file : Path
        Where they come from, for messages.
    values : (time,) in s/mm2
    vectors : (time, axis) along the image's axes, as FSL has them

    Raises
    ------
    UnreadableError
        When a value is impossible, or a direction of a volume with b over 0 is no unit vector.
    """
    name = "image_adc" if "image_adc" in node else "image"
    if "time" not in node.sizes:
        node[name] = node[name].expand_dims("time")
    _check_values(raw, value_file, values)
    _check_vectors(raw, vector_file, values, vectors)
    node["b_value"] = ("time", values, {"units": "s/mm2"})
    node["b_vector"] = (("time", "axis"), vectors)
    return node.assign_coords(axis=("axis", np.array(AXES, dtype=object)))


def _pair(raw: Raw) -> tuple[Path, Path]:
    found = files(raw)
    values = [path for path in found if "bval" in (path.suffix or path.name)]
    vectors = [path for path in found if "bvec" in (path.suffix or path.name)]
    if not values or not vectors:
        raise UnreadableError(
            raw.name,
            f"{found[0].name} alone",
            "b-values and directions, .bval and .bvec",
            "put the other file beside the image, or take this one away",
        )
    for path in (values[0], vectors[0]):
        if not safe.read_text(path).endswith(("\n", "\r")):
            raw.note(path.name, "no line end", "one", "make sure that the file was not cut short")
    return values[0], vectors[0]


def _rows(path: Path) -> list[list[float]]:
    lines = safe.read_text(path).replace(",", " ").splitlines()
    rows = [cells for cells in (line.split() for line in lines) if cells]
    for cells in rows:
        for cell in cells:
            if not is_number(cell) and cell.lower() != "nan":
                raise UnreadableError(path.name, repr(cell[:40]), "numbers", "mend the file")
    if not rows or len({len(cells) for cells in rows}) > 1:
        found = (
            f"rows of {sorted({len(cells) for cells in rows})} numbers" if rows else "no numbers"
        )
        raise UnreadableError(path.name, found, "rows of one length", "copy the file again")
    return [[float(cell) for cell in cells] for cells in rows]


def _values(path: Path, count: int) -> Numbers:
    table = np.array(_rows(path), "f8")
    if min(table.shape) != 1:
        raise _shape(path, table, f"one row of {count} b-values")
    if table.size != count:
        raise _counts(path, table.size, "b-values", count)
    return table.ravel()


def _vectors(raw: Raw, path: Path, count: int) -> Numbers:
    """Return directions (time, axis); a file of three rows is taken as FSL means it."""
    table = np.array(_rows(path), "f8")
    if table.shape[0] == 3:
        table = table.T
    elif table.shape[1] == 3:
        raw.note(path.name, f"{table.shape[0]} rows of 3 numbers", "3 rows", "read as one row each")
    else:
        raise _shape(path, table, f"3 rows of {count} numbers, or {count} rows of 3")
    if len(table) != count:
        raise _counts(path, len(table), "directions", count)
    if table.shape == (3, 3):
        raw.warn(path.name, "3 rows and 3 columns", "", "read as FSL has it: a column a volume")
    return np.ascontiguousarray(table)


def _shape(path: Path, table: npt.NDArray[Any], expected: str) -> UnreadableError:
    found = f"{table.shape[0]} rows of {table.shape[1]} numbers"
    return UnreadableError(path.name, found, expected, "compare it with the image")


def _counts(path: Path, found: int, what: str, count: int) -> UnreadableError:
    return UnreadableError(
        path.name, f"{found} {what}", f"{count}, as the image has volumes", "pair the right files"
    )


def _check_values(raw: Raw, path: Path, values: Numbers) -> None:
    possible = np.isfinite(values) & (values >= 0) & (values <= GREATEST_B)
    if not possible.all():
        where = int(np.flatnonzero(~possible)[0])
        raise UnreadableError(
            f"{path.name}: volume {where}",
            f"a b-value of {values[where]:g}",
            f"0 to {GREATEST_B:g} s/mm2",
            "mend the file",
        )
    if 0 < values.max() < SMALLEST_B:
        raw.warn(
            path.name,
            f"b-values up to {values.max():g}",
            "hundreds to thousands of s/mm2",
            "see whether they are in ms/um2",
        )


def _check_vectors(raw: Raw, path: Path, values: Numbers, vectors: Numbers) -> None:
    finite = np.isfinite(vectors).all(axis=1)
    absent = ~finite | (vectors == 0).all(axis=1)
    wrong = np.flatnonzero(absent & (values > 0))
    if wrong.size:
        raise UnreadableError(
            f"{path.name}: volume {wrong[0]}",
            f"the direction {vectors[wrong[0]].tolist()} at b = {values[wrong[0]]:g} s/mm2 "
            f"({wrong.size} such)",
            "a unit vector wherever b is over 0",
            "mend the file at its source, or leave these volumes out",
        )
    lengths = np.linalg.norm(vectors[~absent], axis=1)
    if lengths.size and abs(lengths - 1).max() > NORM_TOLERANCE:
        worst = float(lengths[abs(lengths - 1).argmax()])
        raise UnreadableError(
            path.name,
            f"a direction of length {worst:.4g}",
            f"lengths of 1 within {NORM_TOLERANCE}",
            "scale the directions to 1, and the b-values by the squares of their lengths",
        )
    for rows, what in ((~finite, "NaN"), (finite & absent, "zero")):
        if rows.any():
            raw.note(
                path.name,
                f"{int(rows.sum())} {what} direction(s), all where b is 0: volumes "
                + ", ".join(map(str, np.flatnonzero(rows)[:5])),
                "",
                "kept as they are",
            )
