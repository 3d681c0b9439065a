"""What an NWB file holds: its series and tables as nodes, and the facts of session and subject."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import h5py
import xarray as xr

from neurodata.declare import Declared, missing
from neurodata.errors import UnreadableError
from neurodata.readers import nwb_movies, nwb_series, nwb_tables
from neurodata.readers.lacking import all_of
from neurodata.readers.nwb_text import names, neurodata_type, text
from neurodata.safe import Raw
from neurodata.safe_hdf5 import open_hdf5

PLACES = ("acquisition", "processing", "analysis", "stimulus/presentation", "intervals", "units")
PERSONAL = (
    "experimenter", "institution", "lab", "notes", "experiment_description", "protocol",
    "related_publications", "surgery", "virus", "pharmacology", "keywords", "slices",
    "data_collection", "stimulus",
)  # fmt: skip
SUBJECT_PERSONAL = ("description", "date_of_birth", "genotype", "strain", "weight")
AGE = re.compile(
    r"P(?:(?P<y>\d+(?:\.\d+)?)Y)?(?:(?P<m>\d+(?:\.\d+)?)M)?"
    r"(?:(?P<w>\d+(?:\.\d+)?)W)?(?:(?P<d>\d+(?:\.\d+)?)D)?"
)  # ISO 8601 duration, dates only
DAYS = {"y": 365.25, "m": 365.25 / 12, "w": 7.0, "d": 1.0}
SPECIES = re.compile(r"[A-Z][a-z]+( [a-z][a-z-]+){1,2}")
SAME_MOMENT_S = 60.0


def session(raw: Raw, declare: Declared) -> xr.DataTree:
    """Return the file's recording; see `neurodata.readers.nwb.read`."""
    with open_hdf5(raw.main) as file:
        found = list(_things(file, raw))
        nodes = _nodes(found, raw, declare)
        attrs = _facts(file, raw)
        attrs["modality"] = _modality(found, raw, declare)
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **nodes})


def _things(file: h5py.File, raw: Raw) -> Iterator[tuple[str, h5py.Group]]:
    """Yield (kind, group) of every series and table, in the order of the file's names."""
    left: list[str] = []
    for place in PLACES:
        if isinstance(file.get(place), h5py.Group):
            yield from _below(file[place], left)
    if left:
        raw.note("", "left out: " + ", ".join(left), "", "they are of no supported kind")


def _below(group: h5py.Group, left: list[str]) -> Iterator[tuple[str, h5py.Group]]:
    kind = _kind(group)
    if kind == "container":
        for name in group:
            hard = isinstance(group.get(name, getlink=True), h5py.HardLink)
            if hard and isinstance(group[name], h5py.Group):
                yield from _below(group[name], left)
    elif kind == "left out":
        left.append(f"{group.name.lstrip('/')} ({neurodata_type(group)})")
    else:
        yield kind, group


def _kind(group: h5py.Group) -> str:
    """Tell what a group is by what it holds, so that extended types are known too."""
    columns = set(names(group.attrs.get("colnames"))) | (
        set(group) if "colnames" in group.attrs else set()
    )
    if nwb_movies.is_movie(group):
        return "movie"
    if neurodata_type(group) in nwb_series.UNREAD or "external_file" in group:
        return "left out"
    if "data" in group and isinstance(group["data"], h5py.Dataset):
        return nwb_series.kind(group)
    if "spike_times" in columns:
        return "units"
    if {"start_time", "stop_time"} <= columns:
        return "intervals"
    if columns & set(nwb_tables.MASKS):
        return "rois"
    is_container = any(isinstance(group[name], h5py.Group) for name in group)
    return (
        "container" if is_container and not columns else "left out" if len(group) else "container"
    )


def _nodes(
    found: list[tuple[str, h5py.Group]], raw: Raw, declare: Declared
) -> dict[str, xr.Dataset]:
    labels = _names(found)
    if not labels:
        raise UnreadableError(
            raw.name, "no series, units or intervals", "an NWB file with data that are read",
            "name another file",
        )  # fmt: skip
    nodes = all_of(
        partial(_node, kind, group, label, raw, declare)
        for (kind, group), label in zip(found, labels, strict=True)
    )
    return dict(zip(labels, nodes, strict=True))


def _node(kind: str, group: h5py.Group, label: str, raw: Raw, declare: Declared) -> xr.Dataset:
    if kind in ("traces", "series"):
        return nwb_series.timeseries(group, label, raw, declare)
    if kind == "movie":
        return nwb_movies.movie(group, label, raw, declare)
    if kind == "annotations":
        return nwb_series.annotated(group, raw, declare)
    if kind == "units":
        return nwb_tables.spikes(group, raw, declare)
    if kind == "intervals":
        return nwb_tables.intervals(group, raw, declare)
    return nwb_tables.rois(group, raw)


def _names(found: list[tuple[str, h5py.Group]]) -> list[str]:
    """Name the nodes: traces, rois and units by what they are, others by their own names."""
    main = nwb_series.main_traces([group for kind, group in found if kind == "traces"])
    segmentations = sum(kind == "rois" for kind, _ in found)
    taken: list[str] = []
    for kind, group in found:
        parts = [re.sub(r"[^a-z0-9_.-]+", "_", part) for part in group.name.lower().split("/")]
        name = parts[-1].strip("_.-") or kind
        if kind == "traces" and main is not None and group.name == main.name:
            name = "traces"
        elif kind == "rois":
            name = "rois" if segmentations == 1 else f"rois_{name}"
        while name in taken:
            parts = parts[:-1]
            name = f"{parts[-1].strip('_.-')}_{name}" if parts and parts[-1] else f"{name}_2"
        taken.append(name)
    return taken


def _modality(found: list[tuple[str, h5py.Group]], raw: Raw, declare: Declared) -> str:
    kinds = {kind for kind, _ in found}
    for kind, modality in (("traces", "calcium"), ("units", "spikes"), ("movie", "calcium")):
        if kind in kinds:
            return modality
    if any("electrodes" in group for kind, group in found if kind == "series"):
        declared = declare.text("modality")
        if declared is None:
            raise missing(
                raw.name, "electrical series without units", "what they are", "modality=eeg|ieeg"
            )
        return declared
    return "behaviour"


def _facts(file: h5py.File, raw: Raw) -> dict[str, Any]:
    """Return the allow-listed facts of session and subject; the personal ones are listed."""
    general = file.get("general", {})
    subject = general.get("subject", {})
    facts: dict[str, Any] = {
        "subject": text(subject, "subject_id"),
        "session": text(general, "session_id"),
        "species": _species(text(subject, "species"), raw),
        "sex": _sex(text(subject, "sex"), raw),
        "age_years": _age_years(subject, raw),
        **_start(file, raw),
    }
    dropped = [name for name in PERSONAL if text(general, name)]
    dropped += [f"subject/{name}" for name in SUBJECT_PERSONAL if text(subject, name)]
    dropped += [name for name in ("identifier", "session_description") if text(file, name)]
    if dropped:
        raw.note("general", "removed: " + ", ".join(dropped), "", "they may identify a person")
    return {name: value for name, value in facts.items() if value is not None}


def _species(found: str | None, raw: Raw) -> str | None:
    if found is None or SPECIES.fullmatch(found):
        return found
    raw.warn("general/subject/species", repr(found), "a Latin binomial", "add --set species=...")
    return None


def _sex(found: str | None, raw: Raw) -> str | None:
    if found in (None, "U") or found in ("M", "F", "O", "XX", "XO"):
        return None if found == "U" else found
    raw.warn("general/subject/sex", repr(found), "M, F, O, XX, XO or U", "add --set sex=...")
    return None


def _age_years(subject: Any, raw: Raw) -> float | None:
    found = text(subject, "age")
    if found is None:
        return None
    reference = subject["age"].attrs.get("reference", "birth")
    parts = AGE.fullmatch(found)
    if parts is None or not any(parts.groupdict().values()) or reference not in ("birth", b"birth"):
        raw.warn("general/subject/age", repr(found), "one ISO 8601 duration from birth, as P90D")
        return None
    days = sum(float(value) * DAYS[key] for key, value in parts.groupdict().items() if value)
    return days / DAYS["y"]


def _start(file: h5py.File, raw: Raw) -> dict[str, str]:
    """Return when time zero was, if the file states it with a zone and it can be true."""
    stated = text(file, "timestamps_reference_time") or text(file, "session_start_time")
    if stated is None:
        return {"start_zone": "unknown"}
    start = _moment(stated, raw)
    if start is None or start.tzinfo is None:
        return {"start_zone": "unknown"}
    created = _moment((names(file.get("file_create_date", ())) or [""])[0], raw)
    if created is not None and created.tzinfo is not None:
        gap_s = abs((created - start).total_seconds())
        if gap_s < SAME_MOMENT_S:
            raw.warn(
                "session_start_time", f"{gap_s:.1f} s from the file's creation",
                "the recording's start", "left out, as it is the date of conversion",
            )  # fmt: skip
            return {}
    return {"start_time": start.isoformat()}


def _moment(stated: str, raw: Raw) -> datetime | None:
    try:
        return datetime.fromisoformat(stated)
    except ValueError:
        raw.warn("session_start_time", repr(stated), "an ISO 8601 time")
        return None
