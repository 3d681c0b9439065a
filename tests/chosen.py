"""What a person puts where refusals leave a value open."""

from __future__ import annotations

import re

from neurodata.declare import is_open, scope_of

NUMBERS = {"rate_hz": "30", "start_s": "0", "voxel_um": "1", "voxel_mm": "1"}


def chosen(setting: str) -> str:
    """Return a printed setting with its value chosen: the first of several, else a number or unit.

    Examples
    --------
    >>> chosen("directed=0|1"), chosen("a.tif:voxel_um=<y>,<x>"), chosen("columns.source=pre")
    ('directed=0', 'a.tif:voxel_um=1,1', 'columns.source=pre')
    """
    key, _, value = scope_of(setting)[1].rpartition("=")
    if not is_open(key, value):
        return setting
    default = "count" if key == "weight_units" else "a.u."
    filled = re.sub("<[^<>]+>", NUMBERS.get(key, default), value.split("|")[0])
    return setting.removesuffix(value) + filled
