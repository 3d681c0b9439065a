"""Volumes of computed and positron emission tomography: their unit, and the frames' times.

The unit of a CT or PET volume is a fact, unlike that of most magnetic resonance images: it is
what the header or side-car states, else what is declared (``--set 'units.*=HU'``).

References
----------
DICOM PS3.3, C.8.2.1 (CT Image: Hounsfield units unless stated otherwise) and C.8.9.1 (PET:
Units); BIDS 1.10, positron emission tomography (Units, FrameTimesStart, FrameDuration).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurodata import units
from neurodata.declare import Declared, missing
from neurodata.errors import UnknownFormatError, UnreadableError
from neurodata.readers import bids
from neurodata.readers.nifti_space import regular_clock
from neurodata.safe import Raw
from neurodata.units import Unit

CT, PET = "ct", "pet"
OF_DICOM = {"MR": "mri", "CT": CT, "PT": PET}
CLASSES = {CT: ("CT",), PET: ("Positron", "PET")}
"""Words in the names of the DICOM classes of each modality."""
POSSIBLE = {CT: ("HU", "a.u."), PET: ("Bq/ml", "g/ml", "count", "a.u.", "1")}
UNSPECIFIED = "US"
TIME = {"units": "s", "long_name": "time from the recording's start"}


def modality(raw: Raw, declare: Declared) -> str:
    """Return "ct" or "pet" where it is declared or the suffix of a BIDS name, else nothing."""
    declared = declare.text("modality")
    suffix = raw.main.name.split(".")[0].rpartition("_")[2]
    stated = suffix if bids.entities(raw.main) else ""
    word = declared or stated
    return word if word in POSSIBLE else ""


def of_sidecar(raw: Raw, declare: Declared, kind: str) -> Unit:
    """Return the unit that a BIDS side-car states as ``Units``, or that is declared."""
    stated = bids.metadata(raw).get("Units")
    return unit(raw, declare, kind, stated if isinstance(stated, str) else None, "side-car, Units")


def of_dicom(raw: Raw, declare: Declared, kind: str, words: Collection[Mapping[str, str]]) -> Unit:
    """Return the unit that all headers of a series state, or that is declared.

    Parameters
    ----------
    words : collection of mapping
        `Image.words` of the files: ``rescale_type``, ``pet_units``, ``image_type``.

    Raises
    ------
    UnreadableError
        When files state different units.
    """
    key, where = ("rescale_type", "RescaleType") if kind == CT else ("pet_units", "Units")
    stated = {item.get(key, "") for item in words} - {UNSPECIFIED}
    if len(stated) > 1:
        found = " and ".join(sorted(word or "none" for word in stated))
        raise UnreadableError(f"{raw.name}: {where}", found, "one unit", "export them apart")
    spelled = next(iter(stated), "")
    original = all(item.get("image_type") == "ORIGINAL" for item in words)
    unspecified = any(item.get(key) == UNSPECIFIED for item in words)
    if kind == CT and not spelled and original and not unspecified:
        raw.note(where, "none, in original images", "", "Hounsfield units, by the standard")
        spelled = "HU"
    return unit(raw, declare, kind, spelled or None, where)


def unit(raw: Raw, declare: Declared, kind: str, stated: str | None, where: str) -> Unit:
    """Return the declared unit of the voxels, else the stated one.

    Raises
    ------
    MissingFactError
        When there is neither; the hint holds the flag.
    UnreadableError
        When it is no unit of such voxels.
    """
    declared, place = declare.units("image"), f"{raw.name}: {where}"
    spelled = declared or stated
    if not spelled:
        example = "units.*=" + "|".join(POSSIBLE[kind])
        raise missing(place, "no unit of the voxels", " or ".join(POSSIBLE[kind]), example)
    found = units.to_si(spelled, place, "image")
    if found.symbol not in POSSIBLE[kind]:
        expected = " or ".join(POSSIBLE[kind])
        raise UnreadableError(place, f"voxels in {found.symbol}", expected, "declare the unit")
    if declared and stated and units.to_si(stated, place, "image") != found:
        raw.warn(where, stated[:40], declared, "the declaration was followed")
    return found


def in_units(node: xr.Dataset, meant: Unit) -> xr.Dataset:
    """Return a volume node with its unit, scaled to the canonical one."""
    for name in ("image", "image_adc"):
        if name in node:
            node[name].attrs["units"] = meant.symbol
    if meant.factor == 1:
        return node
    if "image_adc" in node:
        return node.assign(scale=node["scale"] * meant.factor, offset=node["offset"] * meant.factor)
    image = node["image"]
    scaled = (image * meant.factor).astype(image.dtype).assign_attrs(image.attrs)
    return node.assign(image=scaled)


def with_frames(raw: Raw, node: xr.Dataset, declare: Declared) -> xr.Dataset:
    """Return a series with the starts of its frames, as the side-car or a declaration says.

    Raises
    ------
    MissingFactError
        When neither does; the hint holds the flag.
    UnreadableError
        When they are not as many as there are frames, or not increasing.
    """
    facts, count = bids.metadata(raw), node.sizes["time"]
    if "FrameTimesStart" not in facts or declare.number("rate_hz") is not None:
        if declare.number("rate_hz") is None:
            wanted = "FrameTimesStart in a BIDS side-car, or frames a second of a regular series"
            raise missing(f"{raw.name}: side-car", "no FrameTimesStart", wanted, "rate_hz=<Hz>")
        return node.assign_attrs(regular_clock(raw, "FrameTimesStart", None, count, declare))
    starts = _seconds(raw, facts, "FrameTimesStart", count)
    if (np.diff(starts) <= 0).any():
        raise _wrong(raw, "FrameTimesStart", f"{starts.tolist()[:8]}", "increasing seconds")
    if "FrameDuration" in facts:
        durations = _seconds(raw, facts, "FrameDuration", count)
        if (durations <= 0).any():
            raise _wrong(raw, "FrameDuration", f"{durations.tolist()[:8]}", "seconds over 0")
        node["frame_duration_s"] = ("time", durations, {"units": "s"})
    return node.assign_coords(time=("time", starts, TIME))


def _seconds(
    raw: Raw, facts: Mapping[str, Any], key: str, count: int
) -> np.ndarray[Any, np.dtype[np.float64]]:
    value = facts[key]
    items = value if isinstance(value, list) else [value]
    numbers = [number for item in items if (number := bids.finite(item)) is not None]
    if len(items) != count or len(numbers) != count:
        raise _wrong(raw, key, f"{len(items)} entries", f"{count} numbers, one a frame")
    return np.array(numbers)


def _wrong(raw: Raw, key: str, found: str, expected: str) -> UnreadableError:
    return UnreadableError(f"{raw.name}: side-car, {key}", found[:200], expected, "correct it")


def require_still(raw: Raw, kind: str, times: int) -> None:
    """Refuse a DICOM series of several volumes, whose frames' times are of many kinds.

    Raises
    ------
    UnknownFormatError
        When there are several.
    """
    if times > 1:
        raise UnknownFormatError(
            f"{raw.name}: series", f"{times} volumes of {kind} in time", "one",
            "convert the series to NIfTI with a BIDS side-car, which has the frames' times",
        )  # fmt: skip
