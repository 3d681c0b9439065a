"""NWB time series: clock, axis order, units and channel names of ROI traces and other signals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata.declare import Declared, missing
from neurodata.errors import InvalidInputError, MissingFactError, UnreadableError
from neurodata.readers import remarks
from neurodata.readers.channels import MAX_RATE_HZ
from neurodata.readers.intervals import intervals
from neurodata.readers.nwb_text import attribute, names, neurodata_type, text
from neurodata.safe import Raw
from neurodata.safe_hdf5 import follow, lazy_array
from neurodata.units import Unit, to_si

UNREAD = (
    "ImageSeries", "ImageMaskSeries", "OpticalSeries", "TwoPhotonSeries", "OnePhotonSeries",
    "IndexSeries", "IntervalSeries", "DecompositionSeries", "SpikeEventSeries",
)  # fmt: skip
MAIN = ("DfOverF", "Fluorescence")
MAIN_NAMES = ("dfoverf", "fluorescence", "roiresponseseries")


@dataclass(frozen=True)
class Given:
    """What the place of a series in its file says and the series itself does not.

    Parameters
    ----------
    labels : list of str, optional
        Names of the channels.
    kind : str, optional
        Their type.
    unit : str, optional
        The unit by definition of the place.
    """

    labels: list[str] | None = None
    kind: str | None = None
    unit: str | None = None


def kind(group: h5py.Group) -> str:
    """Return traces, annotations, series or left out, by what a series holds."""
    data = group["data"]
    if data.dtype.kind in "OSU":
        return "annotations" if "timestamps" in group and data.size else "left out"
    if data.size in (0, None) or data.ndim not in (1, 2) or data.dtype.kind not in "iufb":
        return "left out"
    return "traces" if "rois" in group else "series"


def main_traces(found: Sequence[h5py.Group]) -> h5py.Group | None:
    """Return the series that is the recording's signal: the only one, or the one so named."""
    if len(found) == 1:
        return found[0]
    for container in MAIN:
        fits = [
            group
            for group in found
            if neurodata_type(group.parent) == container
            and group.name.rpartition("/")[2].lower() in MAIN_NAMES
        ]
        if fits:
            return fits[0] if len(fits) == 1 else None
    return None


def timeseries(
    group: h5py.Group, node: str, raw: Raw, declare: Declared, given: Given | None = None
) -> xr.Dataset:
    """Return a series as a ``timeseries`` node (time, channel), lazily.

    Integers are kept with scale and offset; floats are kept where they need no conversion.
    """
    given = given or Given()
    where, data = group.name.lstrip("/"), group["data"]
    n, coords, clock = _clock(group, raw, declare)
    labels = given.labels or _labels(group, raw)
    turned = _turned(
        data.shape, (n, None if labels is None else len(labels)), f"{raw.name}: {where}"
    )
    other = "roi" if "rois" in group or given.kind == "ROI" else "channel"
    transposed = data.ndim == 2 and _declared_turn(group, turned, other, raw, declare)
    if transposed:
        raw.warn(where, f"axes (channel, time) of shape {data.shape}", "(time, channel)", "turned")
    time_axis = 1 if transposed else 0
    n = data.shape[time_axis]
    signal = lazy_array(data, axis=time_axis)
    signal = signal.T if transposed else signal
    signal = signal[:, None] if signal.ndim == 1 else signal
    labels = labels or _numbered(group, signal.shape[1])
    unit = _unit(group, node, raw, declare, given.unit)
    scale, offset = _scaling(group, signal.shape[1], unit, f"{raw.name}: {where}")
    variables = _signal(signal, scale, offset, unit.symbol)
    if "rate_hz" in clock:
        clock["n"] = n
    columns = {"channel": labels, "type": [given.kind or _type(group)] * len(labels)}
    columns["units"] = [unit.symbol] * len(labels)
    attrs = {"representation": "timeseries", "schema": "timeseries/1", **clock, **_plane(group)}
    texts = {key: ("channel", np.array(values, dtype=object)) for key, values in columns.items()}
    return xr.Dataset(variables, coords={**texts, **coords}, attrs=attrs)


def annotated(group: h5py.Group, raw: Raw, declare: Declared) -> xr.Dataset:
    """Return a series of texts at times as an ``intervals`` node without durations."""
    times, labels = _timestamps(group, raw), names(group["data"])
    if len(times) != len(labels):
        raise UnreadableError(
            f"{raw.name}: {group.name}", f"{len(labels)} texts at {len(times)} times", "as many"
        )
    where = group.name.lstrip("/")
    labels = remarks.passed(labels, raw, declare, where)
    return intervals(list(times), [np.nan] * len(labels), labels)


def _signal(signal: Any, scale: Any, offset: Any, symbol: str) -> dict[str, Any]:
    dims, attrs = ("time", "channel"), {"units": symbol}
    if signal.dtype.kind == "b":
        signal = signal.astype("uint8")
    if signal.dtype.kind == "f":
        if (scale != 1).any() or (offset != 0).any():
            signal = (signal * scale + offset).astype(signal.dtype)
        return {"signal": (dims, signal, attrs)}
    scaling = {"scale": ("channel", scale), "offset": ("channel", offset)}
    return {"signal_adc": (dims, signal, attrs), **scaling}


def _clock(
    group: h5py.Group, raw: Raw, declare: Declared
) -> tuple[int | None, dict[str, Any], dict[str, Any]]:
    """Return (n if stated, coords, attrs) of a series' clock: irregular as found, or regular."""
    if "timestamps" in group:
        times = _timestamps(group, raw)
        return len(times), {"time": ("time", times, {"units": "s"})}, {}
    where = f"{raw.name}: {group.name.lstrip('/')}"
    if "starting_time" in group:
        start = group["starting_time"]
        start_s, rate_hz = float(start[()]), float(start.attrs["rate"])
        factor = _seconds(start, where)
        start_s, rate_hz = start_s * factor, rate_hz / factor
    else:
        rate_hz = declare.need_number("rate_hz", where, "no timestamps and no rate", "<Hz>")
        declared = declare.number("start_s")
        if declared is None:
            raise missing(where, "no starting time", "seconds from the start", "start_s=<s>")
        start_s = declared
    if not (0 < rate_hz <= MAX_RATE_HZ and np.isfinite(start_s)):
        raise UnreadableError(
            where, f"a start of {start_s} s and a rate of {rate_hz} Hz",
            "a finite start and a rate over 0, up to 1e6 Hz", "correct the file",
        )  # fmt: skip
    return None, {}, {"start_s": start_s, "rate_hz": rate_hz}


def _timestamps(group: h5py.Group, raw: Raw) -> npt.NDArray[np.float64]:
    where, stored = group.name.lstrip("/"), group["timestamps"]
    times = stored[()].astype("float64") * _seconds(stored, f"{raw.name}: {where}")
    steps = np.diff(times)
    if times.ndim != 1 or not np.isfinite(times).all() or (steps < 0).any():
        bad = int((~np.isfinite(times)).sum()), int((steps < 0).sum())
        raise UnreadableError(
            f"{raw.name}: {where}/timestamps", f"{bad[0]} non-finite times and {bad[1]} that fall",
            "times that rise", "export the recording again",
        )  # fmt: skip
    if (steps == 0).any():
        raw.warn(f"{where}/timestamps", f"{int((steps == 0).sum())} repeated times", "rising times")
    return np.asarray(times)


def _seconds(item: h5py.Dataset, where: str) -> float:
    unit = to_si(attribute(item, "unit") or "seconds", where, "time")
    if unit.symbol != "s":
        raise UnreadableError(where, f"times in {attribute(item, 'unit')!r}", "seconds", "mend it")
    return unit.factor


def _labels(group: h5py.Group, raw: Raw) -> list[str] | None:
    """Return the channel names that ROI or electrode tables give, or None."""
    region = group.get("rois", group.get("electrodes"))
    if region is None:
        return None
    table, rows = follow(group.file, region.attrs.get("table")), region[()]
    ids = table["id"][()]
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or ((rows < 0) | (rows >= len(ids))).any():
        raise UnreadableError(
            f"{raw.name}: {region.name}", f"rows outside a table of {len(ids)}", "rows of the table"
        )
    labels = [str(label) for label in ids[rows]]
    if len(set(labels)) < len(labels):
        raw.warn(region.name.lstrip("/"), "repeated ids", "one id each", "row numbers are used")
        labels = [str(row) for row in rows]
    return labels


def _numbered(group: h5py.Group, count: int) -> list[str]:
    """Name channels that no table names: NWB fixes x, y, z for positions."""
    if count == 1 and group["data"].ndim == 1:
        return [group.name.rpartition("/")[2]]
    if neurodata_type(group) == "SpatialSeries" and count <= 3:
        return list("xyz"[:count])
    return [str(index) for index in range(count)]


def _turned(
    shape: tuple[int, ...], wanted: tuple[int | None, int | None], where: str
) -> bool | None:
    """Say whether time comes last, by the numbers of times and channels; None if both fit."""
    size = (*shape, 1)[:2]
    first, last = (
        all(want in (None, length) for want, length in zip(wanted, turn, strict=True))
        for turn in (size, size[::-1])
    )
    if not (first or (last and len(shape) == 2)):
        raise UnreadableError(
            where, f"data of shape {shape}", f"{wanted[0]} times and {wanted[1]} channels",
            "export the recording again",
        )  # fmt: skip
    if wanted == (None, None):
        return False  # nothing speaks against the schema's order
    return None if first and last else last


def _declared_turn(
    group: h5py.Group, turned: bool | None, other: str, raw: Raw, declare: Declared
) -> bool:
    """Settle an ambiguous order by ``axes=time,roi`` (``time,channel`` for other series)."""
    where = f"{raw.name}: {group.name.lstrip('/')}"
    declared = declare.text("axes") or ""
    order = [axis.strip() for axis in declared.split(",")]
    if sorted(order) != sorted(["time", other]):
        if turned is None:
            shape = group["data"].shape
            either = f"axes=time,{other}|{other},time"
            raise missing(where, f"data of shape {shape}", "an order of axes", either)
        return turned
    last = order[-1] == "time"
    if turned is not None and last != turned:
        raise InvalidInputError(
            f"{where}: --set axes={declared}", f"shape {group['data'].shape}",
            "an order that fits the numbers of times and channels",
        )  # fmt: skip
    return last


def _unit(
    group: h5py.Group, node: str, raw: Raw, declare: Declared, given: str | None = None
) -> Unit:
    """Return the unit: declared for this series, else stated, else declared for all."""
    where, name = group.name.lstrip("/"), group.name.rpartition("/")[2]
    stated = attribute(group["data"], "unit")
    exact = declare.text(f"units.{name}") or declare.text(f"units.{node}")
    if exact is not None:
        return to_si(exact, f"{raw.name}: {where}", name)
    if given is not None:
        return to_si(given, f"{raw.name}: {where}", name)
    try:
        unit = to_si(stated, f"{raw.name}: {where}", name)
    except MissingFactError:
        if neurodata_type(group.parent) == "DfOverF":
            return to_si("dF/F", where)
        declared = declare.text("units.*")
        if declared is None:
            raise
        return to_si(declared, f"{raw.name}: {where}", name)
    if not unit.placeholder:
        return unit
    if neurodata_type(group.parent) == "DfOverF":
        return to_si("dF/F", where)
    declared = declare.text("units.*")
    if declared is None:
        hint = f"if it is known, add --set units.{name}=dF/F"
        raw.warn(where, f"the placeholder unit {stated!r}, kept as a.u.", "a unit", hint)
        return unit
    return to_si(declared, f"{raw.name}: {where}", name)


def _scaling(
    group: h5py.Group, count: int, unit: Unit, where: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return scale and offset (channel) from stored numbers to SI."""
    attrs = group["data"].attrs
    conversion = np.full(count, float(attrs.get("conversion", 1.0)))
    if "channel_conversion" in group:
        conversion = conversion * group["channel_conversion"][()]
    scale = conversion * unit.factor
    offset = np.full(count, float(attrs.get("offset", 0.0)) * unit.factor)
    if not (np.isfinite(scale).all() and (scale != 0).all() and np.isfinite(offset).all()):
        raise UnreadableError(where, "a conversion of 0 or no finite number", "a finite scale")
    return scale, offset


def _type(group: h5py.Group) -> str:
    if "rois" in group:
        return "ROI"
    if "electrodes" in group:
        return "LFP" if neurodata_type(group.parent) == "LFP" else "IEEG"
    return "MISC"


def _plane(group: h5py.Group) -> dict[str, str]:
    """Return what an ROI series' imaging plane says: indicator and location."""
    if "rois" not in group:
        return {}
    plane = follow(group.file, group["rois"].attrs.get("table")).get("imaging_plane", {})
    facts = {name: text(plane, name) for name in ("indicator", "location")}
    return {name: value for name, value in facts.items() if value and value.lower() != "unknown"}
