"""The scale of coordinates in files that state no unit: declared, and given in micrometres."""

from __future__ import annotations

import numpy as np

from neurodata import units
from neurodata.declare import Declared, missing
from neurodata.errors import InvalidInputError
from neurodata.readers.delimited import Numbers
from neurodata.safe import Raw

UM = 1e-6  # metres


def scale_um(raw: Raw, declare: Declared, found: str) -> Numbers:
    """Return micrometres a step of the coordinates, for x, y and z.

    Parameters
    ----------
    found : str
        What the file has, for the message.

    Raises
    ------
    MissingFactError
        When neither the unit nor the size of voxels is declared.
    InvalidInputError
        When both are, the unit is no length or a size is not over 0.

    Examples
    --------
    >>> from pathlib import Path
    >>> raw = Raw(Path("/raw"), (Path("/raw/a.swc"),))
    >>> scale_um(raw, Declared({"units.*": "nm"}), "no unit").round(9).tolist()
    [0.001, 0.001, 0.001]
    >>> scale_um(raw, Declared({"voxel_um": [2, 0.5, 0.5]}), "no unit").tolist()
    [0.5, 0.5, 2.0]
    """
    unit = declare.units("position")
    voxel_um = declare.numbers("voxel_um", 3)
    if unit is None and voxel_um is None:
        expected = "their unit, or voxel_um=Z,Y,X if they are voxels"
        raise missing(raw.name, found, expected, "units.*=um|nm|...")
    if unit is not None and voxel_um is not None:
        raise InvalidInputError(
            "--set voxel_um", f"a unit too ({unit})", "one of them", "coordinates have one unit"
        )
    if voxel_um is not None:
        if min(voxel_um) <= 0:
            raise InvalidInputError("--set voxel_um", str(voxel_um), "numbers over 0")
        return np.array(voxel_um[::-1], "f8")
    known = units.to_si(unit, raw.name, "position")
    if known.dimension != "length":
        raise InvalidInputError("--set units.*", str(unit), "a length, e.g. um or nm")
    return np.full(3, known.factor / UM)
