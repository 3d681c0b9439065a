"""Facts beside a recording: BIDS names, and the side-cars that apply by inheritance.

The Brain Imaging Data Structure 1.10, https://bids-specification.readthedocs.io. Only files
that belong to the recording are read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import UnreadableError
from neurodata.readers.personal_keys import kinds_of
from neurodata.safe import Raw

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_PAIR = re.compile(r"([a-z]+)-([A-Za-z0-9+-]+)")
_SUFFIX = re.compile(r"[A-Za-z0-9]+")
_TABLES = ("channels.tsv", "electrodes.tsv", "coordsystem.json", "events.tsv", "scans.tsv")
_NEAREST = {"dwi": ("dwi.bval", "dwi.bvec"), "dseg": ("dseg.tsv",), "probseg": ("probseg.tsv",)}
"""Tables of one image kind, of which only the nearest counts."""
_DATASET = ("dataset_description.json", "participants.tsv")
_METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
SEX = {"m": "M", "male": "M", "f": "F", "female": "F", "o": "O", "other": "O"}
_DURATION_SLACK_S = 1.0  # side-cars round, and some count samples - 1
_RATE_SLACK = 1e-4  # a header may round its sampling interval
AGE_CAP_YEARS = 90.0

Positions = tuple[dict[str, npt.NDArray[np.float64]], str]


def _parse(path: Path) -> tuple[dict[str, str], str]:
    *pairs, suffix = path.name.split(".")[0].split("_")
    matches = [_PAIR.fullmatch(pair) for pair in pairs]
    if not all(matches) or not _SUFFIX.fullmatch(suffix):
        return {}, ""
    return {match[1]: match[2] for match in matches if match}, suffix


def entities(path: Path) -> dict[str, str]:
    """Return the entities of a BIDS file name, and nothing of any other name.

    Examples
    --------
    >>> entities(Path("sub-01_ses-2_task-rest_run-1_eeg.edf"))
    {'sub': '01', 'ses': '2', 'task': 'rest', 'run': '1'}
    >>> entities(Path("A0634-210127.nwb"))
    {}
    """
    found, _ = _parse(path)
    return found if next(iter(found), "") == "sub" else {}


def recording_name(path: Path) -> str | None:
    """Return the BIDS name of a file without its extension, or None.

    Examples
    --------
    >>> recording_name(Path("ieeg/sub-01_task-rest_ieeg.vhdr"))
    'sub-01_task-rest_ieeg'
    """
    return path.name.split(".")[0] if entities(path) else None


def sidecars(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the side-cars of a BIDS file among ``folder``, the nearest first.

    A side-car applies when it lies in the file's folder or in one above, and states no entity
    that the file contradicts (the inheritance principle).
    """
    own, suffix = entities(path), _parse(path)[1]
    if not own:
        return ()
    nearest = _NEAREST.get(suffix, ())
    kinds = (*_TABLES, f"{suffix}.json", *nearest)
    found = [
        other
        for other in folder
        if other != path
        and path.is_relative_to(other.parent)
        and (other.name in _DATASET or _applies(other, own, kinds))
    ]
    found.sort(key=lambda p: (-len(p.parts), -len(_parse(p)[0]), p.name))
    first: dict[str, Path] = {}
    for other in found:
        first.setdefault(_kind(other), other)
    return tuple(p for p in found if _kind(p) not in nearest or first[_kind(p)] == p)


def with_sidecars(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return a file and its side-cars among ``folder``.

    Examples
    --------
    >>> with_sidecars(Path("sub-1_bold.nii"), [Path("sub-1_bold.json"), Path("sub-2_bold.json")])
    (PosixPath('sub-1_bold.nii'), PosixPath('sub-1_bold.json'))
    """
    return (path, *sidecars(path, folder))


def _applies(other: Path, own: Mapping[str, str], kinds: Collection[str]) -> bool:
    stated, _ = _parse(other)
    stated.pop("space", None)
    return _kind(other) in kinds and stated.items() <= own.items()


def _kind(path: Path) -> str:
    return f"{_parse(path)[1]}{path.suffix}"


def _find(raw: Raw, kind: str) -> Path | None:
    return raw.find(lambda path: path.name == kind or path.name.endswith(f"_{kind}"))


def _rows(path: Path) -> pd.DataFrame:
    """Return a side-car table, cells of n/a empty, a trailing column without a name dropped."""
    table = safe.read_table(path).map(_cell)
    nameless = [name for name in table if str(name).startswith("Unnamed:")]
    return table.drop(columns=[name for name in nameless if not table[name].any()])


def _cell(text: str) -> str:
    return "" if text.strip().lower() == "n/a" else text.strip()


def metadata(raw: Raw) -> dict[str, Any]:
    """Return the fields of the recording's JSON side-cars, the nearest file winning."""
    suffix = _parse(raw.main)[1]
    merged: dict[str, Any] = {}
    for path in reversed(raw.files[1:]):
        if suffix and path.suffix == ".json" and _parse(path)[1] == suffix:
            merged.update(_object(path))
    return merged


def _object(path: Path) -> dict[str, Any]:
    content = safe.read_json(path)
    if not isinstance(content, dict):
        raise UnreadableError(path.name, f"a JSON {type(content).__name__}", "an object", "mend it")
    return content


def finite(value: object) -> float | None:
    """Return a JSON value as a finite number, or None when it is something else.

    Examples
    --------
    >>> finite(2), finite("2"), finite(True), finite(10**400)
    (2.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def require_clock(raw: Raw, declared: Declared, rate_hz: float, n: int, sizes: str = "") -> None:
    """Compare a header's clock with the side-car's SamplingFrequency and RecordingDuration.

    A declared rate stands in for the side-car's.

    Parameters
    ----------
    sizes : str
        Sizes in bytes for the message.

    Raises
    ------
    UnreadableError
        When the rates differ, or the data end over a second before the stated duration.
    """
    facts = metadata(raw)
    stated_hz = declared.number("rate_hz") or finite(facts.get("SamplingFrequency"))
    if stated_hz is not None and abs(stated_hz - rate_hz) > _RATE_SLACK * rate_hz:
        raise UnreadableError(
            raw.name,
            f"{rate_hz:g} Hz in the header and {stated_hz:g} Hz in the side-car or declared",
            "one rate",
            f"correct one of them or declare it: --set rate_hz={rate_hz:g}",
        )
    stated_s, found_s = finite(facts.get("RecordingDuration")), n / rate_hz
    if stated_s is None or abs(stated_s - found_s) <= _DURATION_SLACK_S:
        return
    found, expected = f"{found_s:g} s of data{sizes}", f"{stated_s:g} s by the side-car"
    if stated_s < found_s:
        raw.warn("RecordingDuration", found, expected, "correct the side-car")
        return
    raise UnreadableError(
        raw.name, found, expected, "copy the data again, or correct RecordingDuration"
    )


def mains(raw: Raw) -> dict[str, float]:
    """Return the attribute ``power_line_hz``, if the side-car states the mains frequency."""
    value = finite(metadata(raw).get("PowerLineFrequency"))
    return {"power_line_hz": value} if value is not None and value > 0 else {}


def channel_table(raw: Raw, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the rows of ``*_channels.tsv`` by channel name; cells of ``n/a`` are empty.

    Raises
    ------
    UnreadableError
        When the table lacks a channel of the data, or has one that the data lack, or one twice.
    """
    path = _find(raw, "channels.tsv")
    if path is None:
        return {}
    table = _rows(path)
    if "name" not in table:
        raise UnreadableError(
            path.name, f"columns {list(table.columns)}", "a column name", "add it"
        )
    table = table[~table["name"].isin(["EDF Annotations", "BDF Annotations"])]
    listed = list(table["name"])
    findings = {
        "not in the data": sorted(set(listed) - set(names)),
        "not in the table": sorted(set(names) - set(listed)),
        "listed twice": sorted({name for name in listed if listed.count(name) > 1}),
    }
    if any(findings.values()):
        found = ", ".join(f"{key}: {values}" for key, values in findings.items() if values)
        raise UnreadableError(path.name, found, f"the channels of {raw.name}", "correct the table")
    return {
        str(row["name"]): {str(k): str(v) for k, v in row.items()} for _, row in table.iterrows()
    }


def positions(raw: Raw, names: Sequence[str]) -> Positions | None:
    """Return electrode positions in m by channel name, and their coordinate frame."""
    table_path, system_path = _find(raw, "electrodes.tsv"), _find(raw, "coordsystem.json")
    if table_path is None:
        return None
    system = _object(system_path) if system_path else {}
    stated = {key.removeprefix("i").removeprefix("EEG"): value for key, value in system.items()}
    unit, table = str(stated.get("CoordinateUnits", "n/a")), _rows(table_path)
    if lacking := sorted({"name", "x", "y", "z"} - set(table.columns)):
        raise UnreadableError(table_path.name, f"no column {lacking}", "name, x, y, z", "add it")
    if unit not in _METRES:
        raw.warn(table_path.name, f"positions in {unit!r}; left out", "m, cm or mm", "state it")
        return None
    rows = {str(row["name"]): [row["x"], row["y"], row["z"]] for _, row in table.iterrows()}
    metres = {
        name: np.array(_floats(rows[name], table_path, name)) * _METRES[unit]
        for name in names
        if name in rows
    }
    if not any(np.isfinite(xyz).any() for xyz in metres.values()):
        raw.warn(table_path.name, "no position of any channel", "names as in the data", "check it")
        return None
    space, frame = _parse(table_path)[0].get("space"), str(stated.get("CoordinateSystem", "Other"))
    return metres, f"{frame} ({space})" if space else frame


def _floats(texts: Sequence[str], path: Path, where: str) -> list[float]:
    try:
        return [float(text) if text else math.nan for text in texts]
    except ValueError as error:
        raise UnreadableError(
            f"{path.name}: {where}", repr(list(texts)), "numbers or n/a", "correct the table"
        ) from error


def events(raw: Raw, end_s: float) -> xr.Dataset | None:
    """Return ``*_events.tsv`` as `intervals`; the label is trial_type, else value, else "event".

    Parameters
    ----------
    end_s : float
        When the signal ends, in seconds.

    Raises
    ------
    UnreadableError
        When a time is no number, or an event starts after the signal's end.
    """
    from neurodata.readers.intervals import intervals

    path = _find(raw, "events.tsv")
    if path is None:
        return None
    table = _rows(path)
    if lacking := {"onset", "duration"} - set(table.columns):
        raise UnreadableError(
            path.name, f"no column {sorted(lacking)}", "onset, duration", "add it"
        )
    start_s = _floats(list(table["onset"]), path, "onset")
    late = [start for start in start_s if not start <= end_s]
    if late:
        raise UnreadableError(
            path.name,
            f"{len(late)} events not within the signal, e.g. at {late[0]:g} s",
            f"onsets in seconds up to {end_s:g}",
            "correct the onsets or remove these rows",
        )
    duration_s = _floats(list(table["duration"]), path, "duration")
    named = next((column for column in ("trial_type", "value") if column in table), None)
    labels = ["event"] * len(table) if named is None else list(table[named])
    columns = {
        str(name): _column(list(table[name]))
        for name in table.columns
        if name not in ("onset", "duration", "trial_type", "label", "start_s", "duration_s")
    }
    return intervals(start_s, duration_s, [str(label) or "event" for label in labels], columns)


def _column(texts: Sequence[str]) -> npt.NDArray[np.generic]:
    try:
        return np.array([float(text) if text else math.nan for text in texts])
    except ValueError:
        return np.array(list(texts), dtype=object)


def facts(raw: Raw) -> dict[str, Any]:
    """Return the root attributes that name and side-cars state; all else is noted as removed."""
    own = entities(raw.main)
    keys = {"sub": "subject", "ses": "session", "task": "task", "run": "run"}
    attrs: dict[str, Any] = {keys[key]: value for key, value in own.items() if key in keys}
    if path := _find(raw, "dataset_description.json"):
        licence = str(_object(path).get("License", "")).strip()
        if licence and licence.lower() != "n/a":
            attrs["licence"] = licence
    path = _find(raw, "participants.tsv")
    if path is not None and "sub" in own:
        attrs.update(_participant(raw, path, f"sub-{own['sub']}"))
    return attrs


def _participant(raw: Raw, path: Path, subject: str) -> dict[str, Any]:
    table = _rows(path)
    rows = table[table["participant_id"] == subject] if "participant_id" in table else table[:0]
    if len(rows) != 1:
        raw.warn(path.name, f"{len(rows)} rows of {subject}", "one", "correct the table")
        return {}
    row = {str(key): str(value) for key, value in rows.iloc[0].items() if value}
    attrs: dict[str, Any] = {}
    if sex := SEX.get(row.pop("sex", "").lower()):
        attrs["sex"] = sex
    age = _column([row.pop("age", "")])
    if age.dtype.kind == "f" and age[0] >= 0:
        attrs["age_years"] = min(float(age[0]), AGE_CAP_YEARS)
    # BIDS 1.10, participants.tsv: without a column species the participant is human
    species = row.pop("species", "" if "species" in table else "homo sapiens")
    if species:
        attrs["species"] = species[0].upper() + species[1:].lower()
    row.pop("participant_id")
    if row:
        raw.note(path.name, f"personal columns, removed: {kinds_of(row)}")
    return attrs
