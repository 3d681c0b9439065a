"""EEGLAB data sets: a ``.set`` file (MAT 5 or 7.3), continuous or in epochs, with or without .fdt.

Format: https://eeglab.org/tutorials/ConceptsGuide/Data_Structures.html. The file states no unit of
its data (EEGLAB takes them as microvolts): it is declared, or stated in a BIDS side-car.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import NeurodataError, UnreadableError, UnsafeError, need
from neurodata.readers import bids, mat5
from neurodata.readers.channels import Channel, Clock, described, modality_of
from neurodata.readers.intervals import intervals
from neurodata.readers.mne_raw import Block, Places, Source, nodes_of
from neurodata.safe import Raw

SUFFIXES = (".set",)
EXTRA = "eeg"

MAGIC_73 = b"MATLAB 7.3 MAT-file"
STRUCT, MANY = "EEG", "ALLEEG"
FIELDS = (
    "nbchan", "trials", "pnts", "srate", "xmin", "data", "chanlocs", "event", "subject", "group",
    "condition", "session", "comments", "setname", "filename", "filepath",
)  # fmt: skip
_INNER = ("labels", "type", "unit", "ref", "X", "latency", "duration")
_PERSONAL = ("subject", "group", "condition", "session", "comments", "setname", "filepath")
_OWN_NAME = ("setname", "nbchan")  # a file whose fields are variables begins with one of them
BOUNDARY = "boundary"
# words for types in channel locations, to BIDS 1.10 types
TYPES = {
    **{name: name for name in (
        "EEG", "EOG", "VEOG", "HEOG", "ECG", "EMG", "ECOG", "SEEG", "DBS", "RESP", "GSR", "TEMP",
        "PPG", "PUPIL", "EYEGAZE", "MISC", "TRIG", "REF",
    )},
    "EKG": "ECG", "STIM": "TRIG", "TRIGGER": "TRIG", "IEEG": "SEEG",
}  # fmt: skip
_CHANNEL = re.compile(r"[A-Za-z0-9+/ _.-]{1,32}")


@dataclass(frozen=True)
class Header:
    """What a data set says of itself, sizes compared with each other."""

    channels: int
    samples: int
    trials: int
    rate_hz: float
    first_s: float
    data: Any
    locations: Sequence[Mapping[str, Any]]
    events: Sequence[Mapping[str, Any]]
    removed: tuple[str, ...]

    @property
    def n(self) -> int:
        """Samples of each channel, all epochs together."""
        return self.samples * self.trials


def sniff(head: bytes, path: Path) -> bool:
    """Tell a MAT file whose first variable is an EEGLAB structure, or one of its fields."""
    if head.startswith(mat5.MAGIC):
        return mat5.first_name(head) in (STRUCT, MANY, *_OWN_NAME)
    if not head.startswith(MAGIC_73):
        return False
    need("h5py", EXTRA)
    from neurodata.safe_hdf5 import open_hdf5

    try:
        with open_hdf5(path) as file:
            return STRUCT in file or MANY in file or set(_OWN_NAME) <= set(file)
    except NeurodataError:
        return path.name.lower().endswith(SUFFIXES)


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the data set, the ``.fdt`` file beside it, and the BIDS side-cars that apply."""
    names = {f"{path.stem}.fdt"}
    try:
        stated = _fields(path, lambda name: name == "data").get("data")
    except NeurodataError:  # read refuses it
        stated = None
    if isinstance(stated, str):
        names.add(stated.strip())
    beside = [p for p in folder if p != path and p.parent == path.parent and p.name in names]
    return (path, *sorted(beside), *bids.sidecars(path, folder))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a data set as nodes by channel type, with annotations, epochs and BIDS events.

    Samples become ``signal`` (time, channel) in SI units, scaled in float64 and rounded once.
    Epochs follow each other on a clock that leaves out the pauses between them, and the node
    ``epochs`` says where each begins. Positions have no unit in this format and are left out.

    Raises
    ------
    UnreadableError
        When sizes contradict each other or the data's, or the data file is missing.
    UnsafeError
        When the header names a data file that is not beside it.
    MissingFactError
        When the unit of a channel is neither stated nor declared.
    """
    header = _header(raw)
    source = _source(raw, header)
    clock = Clock(header.rate_hz, header.n)
    clock.require(raw.name)
    bids.require_clock(raw, declare, clock.rate_hz, clock.n)
    channels = _channels(raw, header, declare)
    nodes = nodes_of(None, channels, clock, source, raw)
    if header.trials > 1:
        nodes["epochs"] = _epochs(header)
        raw.warn(
            "epochs", f"{header.trials} epochs: the length of the pauses is not stated", "",
            "times count samples and leave the pauses out; cut windows within the node epochs",
        )  # fmt: skip
    if (found := _annotations(raw, header)) is not None:
        nodes["annotations"] = found
    if (events := bids.events(raw, float(clock.at(clock.n)))) is not None:
        nodes["events"] = events
    removed = (*header.removed, "the text at the start of the file")
    raw.note("header", f"free text, removed: {', '.join(removed)}")
    attrs = {"modality": modality_of(channels, raw, declare), **bids.facts(raw)}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **nodes})


# ---- the header


def _fields(path: Path, wanted: Any) -> dict[str, Any]:
    """Return the wanted fields of the EEG structure, however the file holds it."""
    start = safe.head(path)
    if start.startswith(MAGIC_73):
        need("h5py", EXTRA)
        from neurodata.readers import mat73
        from neurodata.safe_hdf5 import open_hdf5

        with open_hdf5(path) as file:
            group = file.get(STRUCT, file)
            if MANY in file:
                raise _many(path)
            return mat73.variables(group, wanted, lambda name: name in _INNER)
    found = mat5.variables(path, lambda name: name in (STRUCT, MANY) or wanted(name), STRUCT)
    if MANY in found:
        raise _many(path)
    inside = found.get(STRUCT)
    if isinstance(inside, list) and len(inside) == 1 and isinstance(inside[0], dict):
        return dict(inside[0])
    return found


def _many(path: Path) -> UnreadableError:
    return UnreadableError(
        path.name, "several data sets in one file", "one", "save each as a file of its own"
    )


def _header(raw: Raw) -> Header:
    fields = _fields(raw.main, lambda name: name in FIELDS)
    where = raw.name
    channels, samples, trials = (_count(fields, key, where) for key in ("nbchan", "pnts", "trials"))
    rate_hz = _number(fields.get("srate"))
    first_s = _number(fields.get("xmin"))
    if rate_hz is None:
        raise UnreadableError(where, "no srate", "samples a second", "save it again with EEGLAB")
    locations, events = _rows(fields.get("chanlocs")), _rows(fields.get("event"))
    if locations and len(locations) != channels:
        found = f"{len(locations)} channel locations"
        raise UnreadableError(where, found, f"{channels} by nbchan", "save it again with EEGLAB")
    _require_event_names(raw, fields, events)
    removed = tuple(key for key in _PERSONAL if isinstance(fields.get(key), str) and fields[key])
    data = fields.get("data")
    return Header(
        channels, samples, trials, rate_hz, first_s or 0.0, data, locations, events, removed
    )  # fmt: skip


def _require_event_names(
    raw: Raw, fields: Mapping[str, Any], events: Sequence[Mapping[str, Any]]
) -> None:
    """Warn where events, or what they are, may be there under a name that is damaged."""
    hint = "look at the file with EEGLAB, or copy it again"
    if "event" not in fields:
        raw.warn("event", "no such field", "one, empty where there are no events", hint)
    elif bare := sum("type" not in row for row in events):
        raw.warn("event", f"{bare} of {len(events)} without a type", "one each", hint)


def _number(value: Any) -> float | None:
    if isinstance(value, mat5.Numbers):
        if np.prod(value.shape, dtype=object) != 1:
            return None
        value = value.array()
    array = np.asarray(value) if isinstance(value, (np.ndarray, int, float)) else np.array([])
    return float(array.reshape(-1)[0]) if array.size == 1 and array.dtype.kind in "iuf" else None


def _count(fields: Mapping[str, Any], key: str, where: str) -> int:
    value = _number(fields.get(key))
    if value is None or not 1 <= value < 2**40 or value != int(value):
        found = "no number" if value is None else f"{value:g}"
        raise UnreadableError(
            f"{where}: {key}", found, "a whole number over 0", "save it again with EEGLAB"
        )
    return int(value)


def _rows(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list):
        return []
    return [row for row in value if isinstance(row, dict)]


def _text(value: Any) -> str:
    """Return text, or a number as text: types of events may be either."""
    if isinstance(value, str):
        return value.strip().rstrip("\0")
    number = _number(value)
    if number is None:
        return ""
    return str(int(number)) if number == int(number) else repr(number)


# ---- channels


def _channels(raw: Raw, header: Header, declare: Declared) -> list[Channel]:
    names = [_text(row.get("labels")) for row in header.locations]
    if not header.locations:
        names = [str(number) for number in range(1, header.channels + 1)]
        raw.note("chanlocs", "no channel locations, so no names; named by number", "names")
    if twice := sorted({name for name in names if names.count(name) > 1}) or "" in names:
        found = f"channels named twice: {twice}" if isinstance(twice, list) else "no name"
        raise UnreadableError(f"{raw.name}: chanlocs", found, "a name for each", "rename them")
    table = bids.channel_table(raw, names)
    rows = header.locations or [{}] * header.channels
    stated, types = [], {}
    for name, row in zip(names, rows, strict=True):
        reference = _text(row.get("ref"))
        reference = reference if _CHANNEL.fullmatch(reference) else ""
        stated.append(Channel(name, "", _text(row.get("unit")), 1.0, reference=reference))
        own = table.get(name, {})
        kind = TYPES.get(_text(row.get("type")).upper(), "")
        types[name] = {**own, **({"type": kind} if kind and not own.get("type") else {})}
    if any(_has_place(row) for row in header.locations):
        raw.note("chanlocs", "positions without a unit; left out", "electrodes.tsv")
    return described(stated, {k: v for k, v in types.items() if v}, raw, declare)


def _has_place(row: Mapping[str, Any]) -> bool:
    return _number(row.get("X")) is not None


# ---- samples


def _source(raw: Raw, header: Header) -> Source:
    shape = (header.n, header.channels)
    if isinstance(header.data, str):
        path = _data_file(raw, header.data.strip())
        size, wanted = path.stat().st_size, 4 * header.n * header.channels
        if size != wanted:
            sizes = f"{wanted} bytes for {shape[1]} channels of {shape[0]} samples"
            raise UnreadableError(path.name, f"{size} bytes", sizes, "copy the data file again")
        block: Block = partial(_stored, path, np.dtype("<f4"), 0, shape)
        return Source(header.n, np.dtype("<f4"), block)
    if isinstance(header.data, mat5.Numbers):
        _require_shape(raw, header, header.data.shape)
        found = header.data
        if isinstance(found.holder, Path):
            block = partial(_stored, found.holder, found.dtype, found.start, shape)
        else:
            block = partial(_picked, found.columns(header.channels))
        return _floating(Source(header.n, found.dtype, block), found.stands_for)
    if hasattr(header.data, "chunks"):
        _require_shape(raw, header, header.data.shape[::-1])
        block = partial(_computed, header.data.reshape(shape))
        return _floating(Source(header.n, header.data.dtype, block), header.data.dtype.str)
    raise UnreadableError(raw.name, "no data", "numbers or a file's name", "save it with its data")


def _floating(source: Source, dtype: str) -> Source:
    """Return samples as the floats they stand for; whole numbers have no scale and become some."""
    kind = np.dtype(dtype)
    if kind.kind != "f":
        kind = np.dtype("f4" if kind.itemsize <= 2 else "f8")
    if kind.newbyteorder("=") == source.dtype.newbyteorder("="):
        return source
    return Source(source.n, kind, partial(_cast, source.block, kind.str))


def _require_shape(raw: Raw, header: Header, found: Sequence[int]) -> None:
    whole = (header.channels, header.samples, header.trials)
    if tuple(found) not in (whole, whole[:2] if header.trials == 1 else whole):
        raise UnreadableError(
            f"{raw.name}: data", f"the shape {tuple(found)}", f"{whole} by nbchan, pnts, trials",
            "save it again with EEGLAB",
        )  # fmt: skip


def _data_file(raw: Raw, name: str) -> Path:
    if name.lower().endswith(".dat"):
        raise UnreadableError(
            raw.name, f"data in {name!r}, of an old layout", "an .fdt file", "save it again"
        )
    try:
        return raw.sibling(name)
    except UnsafeError as error:
        twin = raw.find(lambda path: path.name == f"{raw.main.stem}.fdt")
        if Path(name).name != name:
            raise
        if twin is None:
            raise UnreadableError(
                raw.name, f"no data file {name!r}", "it beside the .set file", "copy it there"
            ) from error
        raw.warn("data", f"the data file {name!r} by the header", f"{twin.name!r}, which is read")
        return twin


def _stored(
    path: Path, dtype: np.dtype[Any], start: int, shape: tuple[int, int], places: Places,
    first: int, last: int,
) -> npt.NDArray[Any]:  # fmt: skip
    data = safe.memmap(path, dtype, shape, start)
    return np.asarray(data[first:last][:, list(places)])


def _picked(data: npt.NDArray[Any], places: Places, first: int, last: int) -> npt.NDArray[Any]:
    return np.asarray(data[first:last][:, list(places)])


def _computed(data: Any, places: Places, first: int, last: int) -> npt.NDArray[Any]:
    return np.asarray(data[first:last].compute(scheduler="synchronous"))[:, list(places)]


def _cast(block: Block, dtype: str, places: Places, first: int, last: int) -> npt.NDArray[Any]:
    return block(places, first, last).astype(dtype)


# ---- events


def _annotations(raw: Raw, header: Header) -> xr.Dataset | None:
    """Return events as `intervals`; at a boundary data were cut out, whose length is a column."""
    rows = [(_number(row.get("latency")), row) for row in header.events]
    timed = [(at, row) for at, row in rows if at is not None and np.isfinite(at)]
    if lost := len(rows) - len(timed):
        raw.warn("event", f"{lost} without a latency; left out", "a latency in samples")
    if not timed:
        return None
    labels = [_text(row.get("type")) or "event" for _, row in timed]
    lengths = [_number(row.get("duration")) for _, row in timed]
    duration_s = np.array([np.nan if v is None else v for v in lengths]) / header.rate_hz
    start_s = (np.array([at for at, _ in timed]) - 1) / header.rate_hz
    cut = np.array([label == BOUNDARY for label in labels])
    columns: dict[str, npt.NDArray[np.generic]] = {}
    if cut.any():
        columns["removed_s"] = np.where(cut, duration_s, np.nan)
        duration_s = np.where(cut, 0.0, duration_s)
        if header.trials == 1:
            raw.warn(
                "event", f"{int(cut.sum())} boundaries, where data were cut out", "",
                "times count samples and leave the cuts out",
            )  # fmt: skip
    sample = start_s * header.rate_hz
    if outside := int(((sample < -0.5) | (sample > header.n)).sum()):
        raw.warn("event", f"{outside} outside of the data", f"samples 1 to {header.n}")
    return intervals(start_s, list(duration_s), labels, columns)


def _epochs(header: Header) -> xr.Dataset:
    """Return the stretch of each epoch, labelled by the events at its zero, in column zero_s."""
    length_s = header.samples / header.rate_hz
    start_s = np.arange(header.trials, dtype=np.float64) * length_s
    labels: list[list[str]] = [[] for _ in range(header.trials)]
    zero = round(-header.first_s * header.rate_hz)
    for row in header.events:
        latency = _number(row.get("latency"))
        if latency is None or not 1 <= latency < header.n + 1:
            continue
        epoch, sample = divmod(latency - 1, header.samples)
        if abs(sample - zero) < 0.5 and (text := _text(row.get("type"))):
            labels[int(epoch)].append(text)
    columns: dict[str, npt.NDArray[np.generic]] = {"zero_s": start_s - header.first_s}
    texts = ["/".join(dict.fromkeys(label)) or "epoch" for label in labels]
    return intervals(start_s, [length_s] * header.trials, texts, columns)
