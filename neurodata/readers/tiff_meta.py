"""What a TIFF file states of voxel size, frame rate and channels: in OME-XML, ImageJ or not."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

import tifffile

from neurodata.errors import NeurodataError, UnreadableError, UnsafeError
from neurodata.readers.image_volume import Facts
from neurodata.safe import Raw
from neurodata.units import to_si

DESCRIPTION_LIMIT = 64 * 2**20
AXES = {"T": "time", "C": "channel", "S": "channel", "Z": "z", "Y": "y", "X": "x"}
RGB = ("red", "green", "blue", "alpha")


@dataclass
class Meta(Facts):
    """Facts that the file states; what is None or absent it does not state."""

    images: int | None = None


def guard(description: str, raw: Raw) -> None:
    """Refuse what a description must not hold before anything parses it.

    Raises
    ------
    UnsafeError
        On a document type or entities, or other files that the OME-XML names.
    """
    if len(description) > DESCRIPTION_LIMIT or re.search(r"<!(DOCTYPE|ENTITY)", description, re.I):
        raise UnsafeError(
            raw.name, "a document type in its XML", "plain OME-XML", "export it again"
        )
    others = set(re.findall(r"FileName\s*=\s*[\"']([^\"']*)[\"']", description)) - {raw.main.name}
    if "<BinaryOnly" in description or ("<OME" in description and others):
        raise UnsafeError(
            raw.name, f"OME metadata over several files {sorted(others)}",
            "a single-file OME-TIFF", "export it as one file",
        )  # fmt: skip


def meta(file: tifffile.TiffFile, description: str, raw: Raw) -> Meta:
    """Return what the metadata state.

    Raises
    ------
    UnreadableError
        When a stated size or rate is not a finite number over 0.
    """
    if file.is_ome:
        found = _ome(tifffile.xml2dict(description), raw)
    elif file.is_imagej:
        found = _imagej(file, raw)
    elif file.is_shaped:
        found = Meta(images=_images(description))
    else:
        found = Meta()
    for name, value in (*found.size_um.items(), ("rate_hz", found.rate_hz)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UnreadableError(raw.name, f"{name} of {value}", "a finite number over 0")
    return found


def _images(description: str) -> int | None:
    """Return the number of pixels in the shape that tifffile's own description states."""
    try:
        return math.prod(int(n) for n in json.loads(description)["shape"])
    except (ValueError, KeyError, TypeError):
        return None


def _ome(document: dict[str, Any], raw: Raw) -> Meta:
    images = document["OME"]["Image"]
    pixels = (images[0] if isinstance(images, list) else images)["Pixels"]
    found = Meta(images=math.prod(int(pixels[f"Size{axis}"]) for axis in "TCZYX"))
    for axis in "XYZ":
        value = pixels.get(f"PhysicalSize{axis}")
        unit = str(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        if value is not None and (factor := _factor(unit, "m", raw)) is not None:
            found.size_um[axis.lower()] = float(value) * factor * 1e6
    step = pixels.get("TimeIncrement")
    unit = str(pixels.get("TimeIncrementUnit", "s"))
    if step is not None and (factor := _factor(unit, "s", raw)) is not None:
        found.rate_hz = _inverse(float(step) * factor)
    channels = pixels.get("Channel", [])
    channels = channels if isinstance(channels, list) else [channels]
    names = [str(channel.get("Name", "")) for channel in channels]
    found.channels = names if all(names) and len(set(names)) == len(names) else []
    return found


def _imagej(file: tifffile.TiffFile, raw: Raw) -> Meta:
    stated: dict[str, Any] = file.imagej_metadata or {}
    page = file.pages.first
    found = Meta()
    if "images" in stated:
        found.images = int(stated["images"]) * page.imagewidth * page.imagelength
        found.images *= page.samplesperpixel
    unit = str(stated.get("unit", "")).replace("\\u00B5", "µ")
    factor = _factor(unit, "m", raw) if unit else None
    if factor is not None:
        for axis, tag in (("x", "XResolution"), ("y", "YResolution")):
            if tag in page.tags:
                over, under = page.tags[tag].value
                found.size_um[axis] = under / over * factor * 1e6 if over else math.nan
        if "spacing" in stated:
            found.size_um["z"] = float(stated["spacing"]) * factor * 1e6
    if stated.get("finterval"):
        found.rate_hz = _inverse(float(stated["finterval"]))
    return found


def _factor(unit: str, symbol: str, raw: Raw) -> float | None:
    try:
        known = to_si(unit, raw.name)
    except NeurodataError:
        known = None
    if known is None or known.symbol != symbol:
        raw.warn("", f"sizes in {unit!r}", f"a unit of {symbol}", "taken as not stated")
        return None
    return known.factor


def _inverse(seconds: float) -> float:
    return 1 / seconds if seconds else math.nan
