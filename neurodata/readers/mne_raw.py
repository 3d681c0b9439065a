"""From what MNE-Python says of a recording to our raw form: types, units, places, annotations.

MNE reads headers only. Samples are read from the file as they are stored, as MNE would scale them,
fill gaps with zeros and hold them as float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.declare import Declared, missing
from neurodata.errors import UnreadableError
from neurodata.readers import bids
from neurodata.readers.channels import (
    NODES,
    OTHER_NODE,
    OTHER_TYPE,
    Channel,
    Clock,
    in_si,
    lazily,
    timeseries,
)
from neurodata.readers.channels import modality_of as _modality_of
from neurodata.readers.intervals import intervals
from neurodata.readers.lacking import all_of
from neurodata.safe import Raw

Places = tuple[int, ...]
Block = Callable[[Places, int, int], npt.NDArray[Any]]
"""``block(places, first, last)`` returns stored samples of some channels, (time, channel)."""

UNIT_NONE = -1
# codes of units in FIF files, https://github.com/mne-tools/fiff-constants
UNITS = {
    0: "1", 1: "m", 3: "s", 4: "A", 5: "K", 7: "rad", 101: "Hz", 102: "N", 103: "Pa", 107: "V",
    109: "ohm", 110: "S", 112: "T", 114: "degC", 116: "lx", 201: "T/m", 210: "px",
}  # fmt: skip
# codes of kinds of channels, to BIDS 1.10 types
MEG, MEG_REFERENCE, FNIRS, EYES = 1, 301, 1100, 1400
KINDS = {
    2: "EEG", 3: "TRIG", 202: "EOG", 302: "EMG", 402: "ECG", 602: "RESP", 802: "SEEG", 803: "DBS",
    902: "ECOG", 910: "MEGOTHER", 920: "MEGOTHER", 201: "MEGOTHER", 1200: "TEMP", 1300: "GSR",
    900: "OTHER", **dict.fromkeys(range(700, 707), "HLU"), 707: "FITERR", 708: "FITERR",
    709: "HLU",
}  # fmt: skip
# codes of coils; the higher 16 bits state a compensation grade
COILS = {
    **dict.fromkeys((2, 3011, 3012, 3013, 3014, 3015), "MEGGRADPLANAR"),
    **dict.fromkeys((4, 2001, 4002, 5001, 6001, 7001, 7501, 9001, 9101, 9102), "MEGGRADAXIAL"),
    **dict.fromkeys(
        (2000, 3021, 3022, 3023, 3024, 3025, 4001, 7002, 8001, 8002, 8101, 8201), "MEGMAG"
    ),
    **dict.fromkeys((4003, 5002, 6002, 7003, 7004, 7502), "MEGREFMAG"),
    **dict.fromkeys((4004, 5003, 7503), "MEGREFGRADAXIAL"),
    **dict.fromkeys((4005, 5004), "MEGREFGRADPLANAR"),
    302: "NIRSCWAMPLITUDE", 303: "NIRSCWOPTICALDENSITY", 300: "NIRSCWHBO", 301: "NIRSCWHBR",
    400: "EYEGAZE", 401: "PUPIL",
}  # fmt: skip
# codes of coordinate frames
FRAMES = {
    1: "device", 2: "digitiser", 4: "head", 5: "MRI", 1001: "CTF device", 1004: "CTF head",
    2001: "MRI voxel", 2002: "RAS", 2003: "MNI Talairach",
}  # fmt: skip
MEG_NODE, MEG_KINDS = "meg", ("MEGMAG", "MEGGRADAXIAL", "MEGGRADPLANAR", "MEGOTHER")


@dataclass(frozen=True)
class Source:
    """Where a recording's samples are.

    Parameters
    ----------
    n : int
        Number of samples of each channel.
    dtype : numpy.dtype
        Of the stored samples.
    block : callable
        Picklable; see `Block`.
    """

    n: int
    dtype: np.dtype[Any]
    block: Block


# ---- channels


def channels_of(info: Mapping[str, Any], raw: Raw, declare: Declared) -> list[Channel]:
    """Return the channels of a measurement's info, in its order.

    Parameters
    ----------
    info : mne.Info
        A stored sample times ``range * cal`` is in the channel's unit.

    Raises
    ------
    UnreadableError
        When a side-car table lists other channels, or a calibration is 0 or not finite.
    MissingFactError
        When the file states no unit or an unknown one, or a multiplier of units, which programs
        read in two ways; all channels are named at once.
    """
    stated = [_stated(ch) for ch in info["chs"]]
    if odd := [c.name for c in stated if not np.isfinite(c.scale) or c.scale == 0]:
        found = f"an impossible calibration of {', '.join(odd[:5])}"
        raise UnreadableError(raw.name, found, "finite numbers other than 0", "export it again")
    table = bids.channel_table(raw, [channel.name for channel in stated])
    bad = set(info["bads"])
    for place, channel in enumerate(stated):
        if bad:
            stated[place] = replace(channel, status="bad" if channel.name in bad else "good")
    powers = [int(ch["unit_mul"]) for ch in info["chs"]]
    channels = all_of(
        partial(_known, channel, power, table.get(channel.name, {}), raw, declare)
        for channel, power in zip(stated, powers, strict=True)
    )
    _note_codes(channels, raw)
    return channels


def _stated(ch: Mapping[str, Any]) -> Channel:
    kind, unit = kind_of(ch), UNITS.get(int(ch["unit"]), f"FIF unit {int(ch['unit'])}")
    if int(ch["unit"]) == UNIT_NONE:  # codes on a trigger line are numbers; other lines are not
        unit = "1" if kind == "TRIG" else ""
    return Channel(str(ch["ch_name"]), kind, unit, float(ch["range"]) * float(ch["cal"]))


def kind_of(ch: Mapping[str, Any]) -> str:
    """Return the BIDS type of a channel by its kind and coil.

    Examples
    --------
    >>> kind_of({"kind": 1, "coil_type": 5001 | 3 << 16}), kind_of({"kind": 2, "coil_type": 1})
    ('MEGGRADAXIAL', 'EEG')
    """
    kind = int(ch["kind"])
    if kind in (MEG, MEG_REFERENCE):
        return COILS.get(int(ch["coil_type"]) & 0xFFFF, "MEGOTHER")
    if kind in (FNIRS, EYES):
        return COILS.get(int(ch["coil_type"]), OTHER_TYPE)
    return KINDS.get(kind, OTHER_TYPE)


def _known(
    channel: Channel, power: int, row: Mapping[str, str], raw: Raw, declare: Declared
) -> Channel:
    if power and declare.units(channel.name) is None:
        raise missing(
            f"{raw.name}: {channel.name}",
            f"the unit {channel.units} with a multiplier of 10^{power}, which programs ignore",
            "one unit",
            f"units.{channel.name}={channel.units}",
        )
    return in_si(channel, row, raw, declare)


def _note_codes(channels: Sequence[Channel], raw: Raw) -> None:
    odd = [c for c in channels if c.kind == "TRIG" and c.units != "1"]
    if odd:
        units = ", ".join(sorted({c.units for c in odd}))
        raw.note("type TRIG", f"{len(odd)} channels in {units} as stated, though they hold codes")


def node_of(channel: Channel) -> str:
    """Return the name of the node that holds a channel."""
    return MEG_NODE if channel.kind.startswith("MEG") else NODES.get(channel.kind, OTHER_NODE)


def modality_of(channels: Sequence[Channel], raw: Raw, declare: Declared) -> str:
    """Return the modality that is declared, else that the channel types state."""
    if any(channel.kind in MEG_KINDS for channel in channels):
        return declare.text("modality") or "meg"
    return _modality_of(channels, raw, declare)


def positions_of(
    info: Mapping[str, Any], members: Sequence[int], raw: Raw
) -> tuple[dict[str, npt.NDArray[np.float64]], str] | None:
    """Return positions (3,) in m by name, and their frame, of some channels that have any.

    A position at the origin is one that was never measured.
    """
    found: dict[str, npt.NDArray[np.float64]] = {}
    frames = set()
    for place in members:
        ch = info["chs"][place]
        xyz = np.asarray(ch["loc"], "float64")[:3]
        if xyz.shape == (3,) and np.isfinite(xyz).all() and xyz.any():
            found[str(ch["ch_name"])] = xyz
            frames.add(FRAMES.get(int(ch["coord_frame"]), "unknown"))
    if len(frames) > 1:
        raw.note("positions", f"several frames ({', '.join(sorted(frames))}); left out", "one")
        return None
    return (found, frames.pop()) if found else None


# ---- nodes


def nodes_of(
    info: Mapping[str, Any] | None,
    channels: Sequence[Channel],
    clock: Clock,
    source: Source,
    raw: Raw,
) -> dict[str, xr.Dataset]:
    """Return the `timeseries` nodes of a recording, channels sorted into them by type.

    Integers are kept in ``signal_adc`` (time, channel) with scale and offset; floats become
    ``signal`` in SI units, scaled in float64 and rounded once.

    Parameters
    ----------
    info : mne.Info, optional
        Has positions, where a side-car has none, and the mains frequency.
    """
    groups: dict[str, list[int]] = {}
    for place, channel in enumerate(channels):
        groups.setdefault(node_of(channel), []).append(place)
    table = bids.positions(raw, [channel.name for channel in channels])
    line_hz = info["line_freq"] if info else None
    mains = {"power_line_hz": float(line_hz)} if line_hz and line_hz > 0 else {}
    nodes = {}
    for name, places in groups.items():
        own = [channels[place] for place in places]
        scale = tuple((c.scale, c.offset) for c in own) if source.dtype.kind == "f" else ()
        block = partial(_block, source.block, tuple(places), scale)
        dtype = source.dtype.newbyteorder("=")
        data = lazily(source.n, 1, len(own), dtype, block)
        xyz = table or (positions_of(info, places, raw) if info else None)
        nodes[name] = timeseries(data, own, clock, xyz)
        nodes[name].attrs.update({**mains, **bids.mains(raw)})
    return nodes


def _block(
    block: Block, places: Places, scale: Sequence[tuple[float, float]], first: int, last: int
) -> npt.NDArray[Any]:
    stored = block(places, first, last)
    native = stored.dtype.newbyteorder("=")
    if any(pair != (1.0, 0.0) for pair in scale):
        factor, shift = np.array(scale, "float64").T
        with np.errstate(over="ignore", invalid="ignore"):
            stored = stored.astype("float64") * factor + shift
    with np.errstate(over="ignore", invalid="ignore"):  # what is no number stays none
        return stored.astype(native, copy=False)


# ---- annotations


def annotations_of(
    found: Any, start: datetime | None, first_s: float, end_s: float, raw: Raw
) -> xr.Dataset | None:
    """Return annotations as `intervals` that count from the first sample, or None without any.

    Parameters
    ----------
    found : mne.Annotations
        As the file has them, onsets in s from their ``orig_time``, else from the first sample.
    start : datetime or None
        The measurement's date.
    first_s : float
        How many seconds after the measurement's date the first sample was taken.
    end_s : float
        When the signal ends, in s from the first sample.
    """
    if not len(found):
        return None
    shift_s = 0.0
    if found.orig_time is not None and start is not None:
        shift_s = (found.orig_time - start).total_seconds() - first_s
    elif start is None:
        shift_s = -first_s
    start_s = np.asarray(found.onset, "float64") + shift_s
    outside = int(((start_s < 0) | (start_s > end_s)).sum())
    if outside:
        raw.warn("annotations", f"{outside} outside of the signal", f"from 0 to {end_s:g} s")
    columns: dict[str, npt.NDArray[np.generic]] = {}
    names = [", ".join(str(name) for name in group) for group in found.ch_names]
    if any(names):
        columns["channel"] = np.array(names, dtype=object)
    labels = [str(text) for text in found.description]
    return intervals(start_s, list(found.duration), labels, columns)


# ---- the root


def note_compensation(info: Mapping[str, Any], raw: Raw) -> None:
    """Note the gradient compensation that the stored data of a recording have."""
    grades = {int(ch["coil_type"]) >> 16 for ch in info["chs"] if int(ch["kind"]) == MEG} - {0}
    if grades:
        raw.note("data", f"gradient compensation of grade {sorted(grades)}, as stored")


def root_of(
    info: Mapping[str, Any], channels: Sequence[Channel], raw: Raw, declare: Declared
) -> dict[str, Any]:
    """Return the root's attributes; what identifies a person or a moment is left out and noted."""
    attrs: dict[str, Any] = {"modality": modality_of(channels, raw, declare)}
    subject = info["subject_info"] or {}
    if (sex := {1: "M", 2: "F"}.get(int(subject.get("sex") or 0))) is not None:
        attrs["sex"] = sex
    removed = [key for key in ("experimenter", "description", "proj_name") if info[key]]
    removed += ["subject"] if any(subject[key] for key in set(subject) - {"sex"}) else []
    if info["meas_date"] is not None:
        attrs["start_zone"] = "unknown"
        removed.append("start date and time (no zone)")
    if removed:
        raw.note("header", f"identifying fields, removed: {', '.join(removed)}")
    if any(projection["active"] for projection in info["projs"]):
        raw.note("projections", "applied to the stored data, as the file says")
    return {**attrs, **bids.facts(raw)}


def tree_of(
    root: Mapping[str, Any],
    nodes: Mapping[str, xr.Dataset],
    annotations: xr.Dataset | None,
    end_s: float,
    raw: Raw,
) -> xr.DataTree:
    """Return a recording of some nodes, its annotations and the events of its side-car."""
    more = {"annotations": annotations, "events": bids.events(raw, end_s)}
    found = {name: node for name, node in more.items() if node is not None}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=dict(root)), **nodes, **found})
