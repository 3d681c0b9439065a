"""NWB files in memory, as pynwb holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurodata.errors import InvalidInputError, need

if TYPE_CHECKING:
    import pynwb

    from neurodata.declare import Value


def from_nwb(
    recording: pynwb.NWBFile | str | Path, declare: Mapping[str, Value] | None = None
) -> xr.DataTree:
    """Return an NWB file, or one that is held in memory, as a recording in raw form.

    One in memory is written to a scratch file first, as a copy: the object stays as it is. What
    may identify a person stays behind.

    Parameters
    ----------
    declare : mapping, optional
        Facts that the file does not state, as for `neurodata.ingest`.

    Raises
    ------
    RefusedError
        As the reader of NWB files does.

    Examples
    --------
    >>> from datetime import datetime, timezone
    >>> from pynwb import NWBFile
    >>> held = NWBFile("synthetic", "one", datetime(2020, 1, 1, tzinfo=timezone.utc))
    >>> held.add_unit(spike_times=[0.25, 0.5])
    >>> from_nwb(held)["units"]["time_s"].values.tolist()
    [0.25, 0.5]
    """
    from neurodata.declare import Declared
    from neurodata.privacy import scrub
    from neurodata.readers import reader
    from neurodata.safe import Raw

    path = Path(recording) if isinstance(recording, str | Path) else _written(recording)
    path = path.resolve()
    tree = reader("nwb").read(Raw(path.parent, (path,)), Declared(declare))
    return scrub(tree)[0]


def _written(held: pynwb.NWBFile) -> Path:
    """Return a file with what is held: the one that it was read from, unless it was changed."""
    import copy

    from pynwb import NWBHDF5IO

    from neurodata.steps.scratch import new_folder

    if held.container_source is not None and not held.modified:
        return Path(held.container_source)
    path = new_folder() / "held.nwb"
    with NWBHDF5IO(str(path), "w") as io:
        if held.container_source is None:
            io.write(copy.deepcopy(held))  # a file that is written is bound to its path
        else:
            io.export(src_io=held.read_io, nwbfile=held)
    return path


def to_nwb(
    tree: xr.DataTree,
    description: str,
    identifier: str,
    start: datetime | None = None,
    nodes: Sequence[str] | None = None,
) -> pynwb.NWBFile:
    """Return a recording of traces, spikes and intervals as an NWB file in memory.

    Traces become a ``TimeSeries`` in acquisition, whose description has the channels' names;
    spikes the units table with the column ``unit_name``, intervals a table with ``label``.

    Parameters
    ----------
    start : datetime, optional
        With a zone; needed where the recording does not state when it began.
    nodes : sequence of str, optional
        Which nodes; all by default.

    Raises
    ------
    InvalidInputError
        When there is no start, or a node has no such form: another representation, channels
        of several units.
    """
    need("pynwb", extra="nwb")
    from pynwb import NWBFile

    stated = tree.attrs.get("start_time")
    start = start or (datetime.fromisoformat(stated) if stated else None)
    if start is None or start.tzinfo is None:
        found = "no start with a zone"
        raise InvalidInputError("to_nwb", found, "when it began, which NWB needs", "give start")
    made = NWBFile(description, identifier, start)
    if subject := {key: tree.attrs[key] for key in ("species", "sex") if key in tree.attrs}:
        from pynwb.file import Subject

        made.subject = Subject(subject_id=tree.attrs.get("subject"), **subject)
    adders = {"timeseries": _add_series, "spikes": _add_units, "intervals": _add_intervals}
    for name in tree.children if nodes is None else nodes:
        if name not in tree.children:
            raise InvalidInputError("to_nwb", f"no node {name!r}", ", ".join(tree.children))
        node = tree[name].to_dataset()
        kind = str(node.attrs.get("representation"))
        if kind not in adders:
            known = ", ".join(adders)
            raise InvalidInputError(f"to_nwb: {name}", kind, known, "choose nodes without it")
        adders[kind](made, name, node)
    return made


def _add_series(made: pynwb.NWBFile, name: str, node: xr.Dataset) -> None:
    from pynwb import TimeSeries

    units = (
        str(node["signal"].attrs.get("units", node.attrs.get("units"))) if "signal" in node else ""
    )
    if units in ("", "mixed"):
        found = "channels of several units" if units else "a signal in raw form"
        raise InvalidInputError(f"to_nwb: {name}", found, "one unit, as store[id] gives it")
    clock: dict[str, Any]
    if "rate_hz" in node.attrs:
        clock = {
            "rate": float(node.attrs["rate_hz"]),
            "starting_time": float(node.attrs["start_s"]),
        }
    else:
        clock = {"timestamps": node["time"].values}
    channels = ", ".join(str(channel) for channel in node["channel"].values)
    data = node["signal"].transpose("time", "channel").to_numpy()
    series = TimeSeries(name=name, data=data, unit=units, description=channels, **clock)
    made.add_acquisition(series)


def _add_units(made: pynwb.NWBFile, name: str, node: xr.Dataset) -> None:
    made.add_unit_column("unit_name", "the unit's name")
    span = [node.attrs[key] for key in ("start_s", "stop_s") if key in node.attrs]
    observed = {"obs_intervals": [[float(at) for at in span]]} if len(span) == 2 else {}
    splits, times = node["row_splits"].values, node["time_s"].values
    for at, unit in enumerate(node["unit_id"].values):
        mine = times[splits[at] : splits[at + 1]]
        made.add_unit(spike_times=mine, unit_name=str(unit), **observed)


def _add_intervals(made: pynwb.NWBFile, name: str, node: xr.Dataset) -> None:
    from pynwb.epoch import TimeIntervals

    table = TimeIntervals(name=name, description="labelled stretches of time")
    table.add_column("label", "what it is")
    stop_s = node["start_s"].values + np.nan_to_num(node["duration_s"].values)
    for start, stop, label in zip(
        node["start_s"].values, stop_s, node["label"].values, strict=True
    ):
        table.add_interval(start_time=float(start), stop_time=float(stop), label=str(label))
    made.add_time_intervals(table)
