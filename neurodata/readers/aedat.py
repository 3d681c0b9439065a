"""AEDAT 2.0 and 3.1: events of DVS and DAVIS cameras, each a change of brightness at a pixel.

Pixels become units, two for each: one of rising, one of falling brightness. All pixels of the
sensor are units, in the order of polarity, y and x as stored, so that recordings of one camera
have the same units. Times are the camera's own, in seconds. Frames and motion sensors stay
behind; signals at the camera's input become the node ``events``.

References
----------
https://docs.inivation.com/software/software-advanced-usage/file-formats/index.html. Of a DVS128's
addresses in version 2.0 bit 0 is set for falling brightness, as jAER and dv-processing read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.declare import Declared
from neurodata.errors import UnknownFormatError, UnreadableError
from neurodata.readers import bids
from neurodata.readers.aedat_packets import (
    Changes,
    Header,
    address_events,
    header_of,
    packet_events,
)
from neurodata.readers.intervals import intervals
from neurodata.readers.spike_rows import Block, grouped, spikes
from neurodata.safe import Raw

SUFFIXES = (".aedat",)
EXTRA = ""  # needs no optional package
MAGIC = b"#!AER-DAT"
US_HZ = 1e6
POLARITIES = ("off", "on")

members = bids.with_sidecars


def sniff(head: bytes, path: Path) -> bool:
    """Tell AEDAT of any version by its first line.

    Examples
    --------
    >>> sniff(b"#!AER-DAT3.1\\r\\n", Path("a.aedat"))
    True
    """
    return head.startswith(MAGIC)


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read the events of a camera as ``spikes`` (polarity and pixel) and ``events``.

    Parameters
    ----------
    declare : Declared
        ``variables.camera=DVS128`` where the header does not name the camera.

    Returns
    -------
    xarray.DataTree
        ``spikes`` (spikes/1) with the columns ``polarity``, ``x`` and ``y`` of units.

    Raises
    ------
    UnknownFormatError
        When the version is 1.0 or 4.0, or the camera or encoding is not known.
    UnreadableError
        When records or packets are cut, or times fall.
    MissingFactError
        When the camera is neither stated nor declared.
    """
    header = header_of(raw, declare)
    if header.version == "2.0":
        found, signals = address_events(raw, header)
    elif header.version == "3.1":
        found, signals = packet_events(raw, header)
    else:
        raise UnknownFormatError(
            raw.name, f"AEDAT {header.version}", "2.0 or 3.1",
            "convert it with dv-processing or jAER, e.g. to AEDAT 3.1 or NWB",
        )  # fmt: skip
    nodes = {"spikes": _spikes(raw, header, found)}
    if signals.at_us.size:
        size = signals.at_us.size
        nodes["events"] = intervals(
            signals.at_us / US_HZ, [np.nan] * size, signals.label, {"code": signals.code}
        )
    raw.note("header", "comments, paths and dates (no zone), removed")
    attrs = {"modality": "spikes", "start_zone": "unknown", **bids.facts(raw)}
    attrs["device"] = header.camera
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **nodes})


def _spikes(raw: Raw, header: Header, found: Sequence[Changes]) -> xr.Dataset:
    pixels = header.width * header.height
    counts, last_us, first_us, falls = np.zeros(2 * pixels, "i8"), None, 0, 0
    for part in found:
        at_us, x, y, polarity = part()
        if not at_us.size:
            continue
        if (x >= header.width).any() or (y >= header.height).any():
            beyond = f"pixels up to ({x.max()}, {y.max()})"
            expected = f"below ({header.width}, {header.height}), {header.camera}'s"
            raise UnreadableError(raw.name, beyond, expected, "copy the file again")
        counts += np.bincount(_unit(header, x, y, polarity), minlength=2 * pixels)
        steps = np.diff(at_us, prepend=at_us[:1] if last_us is None else last_us)
        if int(steps.min()) < -US_HZ:
            where = f"{raw.name}: event at {int(at_us[int(steps.argmin())])} us"
            fall = f"times that fall by {-int(steps.min())} us"
            hint = "the camera's clock was reset: split the file there"
            raise UnreadableError(where, fall, "times that rise", hint)
        falls += int((steps < 0).sum())
        first_us = int(at_us.min()) if last_us is None else min(first_us, int(at_us.min()))
        last_us = max(int(at_us.max()), last_us or 0)
    if last_us is None:
        raise UnreadableError(raw.name, "no events", "changes of brightness", "copy it again")
    if falls:
        raw.warn("timestamps", f"{falls} events before the one before", "rising times", "sorted")
    unit = np.arange(2 * pixels)
    columns: dict[str, npt.NDArray[np.generic]] = {
        "polarity": (unit // pixels).astype("u1"), "x": (unit % header.width).astype("u2"),
        "y": (unit % pixels // header.width).astype("u2"),
    }  # fmt: skip
    ids = [
        f"{name}_{y}_{x}"
        for name in POLARITIES for y in range(header.height) for x in range(header.width)
    ]  # fmt: skip
    span_s = (first_us / US_HZ, last_us / US_HZ)
    return spikes(grouped(counts, _blocks(header, found), {}), ids, raw, span_s, columns)


def _unit(
    header: Header, x: npt.NDArray[np.int64], y: npt.NDArray[np.int64],
    polarity: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:  # fmt: skip
    return (polarity * header.height + y) * header.width + x


def _blocks(header: Header, found: Sequence[Changes]) -> Iterator[Block]:
    for part in found:
        at_us, x, y, polarity = part()
        yield _unit(header, x, y, polarity), {"time_s": at_us / US_HZ}
