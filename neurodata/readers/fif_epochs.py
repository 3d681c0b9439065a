"""Epochs in FIF files (``*-epo.fif``), also split over several files.

They follow each other on a clock that leaves out the pauses between them, and the node ``epochs``
says where each begins, of which event and which of the original epochs it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.readers import bids
from neurodata.readers.channels import Clock
from neurodata.readers.fif_tags import ANNOTATIONS, EPOCHS, EPOCHS_DATA, Part, Tag, refusal
from neurodata.readers.intervals import intervals
from neurodata.readers.mne_raw import (
    Places,
    Source,
    channels_of,
    nodes_of,
    note_compensation,
    root_of,
    tree_of,
)
from neurodata.safe import Raw

# kinds of tags and of blocks
FIRST, LAST, COMMENT, EVENT_LIST = 208, 209, 206, 3561
BASELINE_FROM, BASELINE_TO, SELECTION, DROPPED, RAW_RATE = 3568, 3569, 3800, 3801, 3803
EVENTS, METADATA = 361, 3811
MATRIX = 1 << 30
_DTYPES = {MATRIX | 4: ">f4", MATRIX | 5: ">f8"}
_COMPLEX = (MATRIX | 20, MATRIX | 21)
_COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,60}")
IGNORED = ["IGNORED"]


@dataclass(frozen=True)
class Piece:
    """The epochs of one file: (epoch, channel, time) from byte ``start`` on."""

    part: Part
    dtype: str
    start: int
    shape: tuple[int, int, int]

    @property
    def n(self) -> int:
        """Samples of each channel, all epochs together."""
        return self.shape[0] * self.shape[2]


@dataclass(frozen=True)
class Facts:
    """What a file says of its epochs.

    Parameters
    ----------
    first, last : int
        First and last sample of each, counted from its event.
    events : int array (epoch, 3)
        Sample of the continuous recording, code before, code.
    names : mapping of int to str
        What the codes mean.
    selection : int array (epoch,)
        Which of the original epochs each is.
    baseline_s : (float, float)
        Stretch of the baseline in s from the event; NaN where there is none.
    dropped : sequence
        Why each of the original epochs was left out; nothing for those that are there.
    columns : mapping of str to float64 array (epoch,)
        Numbers of a table about the epochs.
    """

    first: int
    last: int
    events: npt.NDArray[np.int64]
    names: Mapping[int, str]
    selection: npt.NDArray[np.int64]
    baseline_s: tuple[float, float]
    dropped: Sequence[Sequence[str]]
    columns: Mapping[str, npt.NDArray[np.float64]]


def read_epochs(parts: Sequence[Part], info: Any, raw: Raw, declare: Declared) -> xr.DataTree:
    """Return epochs as nodes by channel type, with the node ``epochs``.

    Its columns: ``zero_s`` is when the event happened on the clock of the node, ``code`` the
    event's code, ``event_sample`` its sample in the continuous recording, ``selection`` the
    number of the epoch among all before some were rejected, ``baseline_start_s`` and
    ``baseline_stop_s`` the baseline that was subtracted.

    Raises
    ------
    UnreadableError
        When numbers of epochs, channels and samples contradict each other, or samples are complex.
    """
    facts = [_facts(part) for part in parts]
    shape = (len(info["chs"]), facts[0].last - facts[0].first + 1)
    pieces = [_piece(part, own, shape) for part, own in zip(parts, facts, strict=True)]
    if len({(f.first, f.last) for f in facts}) > 1 or len({p.dtype for p in pieces}) > 1:
        raise refusal(parts[-1].path, 0, "epochs of another length or type", "as in the first part")
    if odd := [str(ch["ch_name"]) for ch in info["chs"] if float(ch["range"]) != 1.0]:
        found = f"a range other than 1 of {', '.join(odd[:5])}, which programs ignore in epochs"
        raise refusal(parts[0].path, 0, found, "epochs whose channels have the range 1")
    clock = Clock(float(info["sfreq"]), sum(piece.n for piece in pieces))
    clock.require(raw.name)
    bids.require_clock(raw, declare, clock.rate_hz, clock.n)
    channels = channels_of(info, raw, declare)
    source = Source(clock.n, np.dtype(pieces[0].dtype), partial(_block, tuple(pieces)))
    nodes = nodes_of(info, channels, clock, source, raw)
    nodes["epochs"] = _node(facts, shape[1], clock.rate_hz)
    note_compensation(info, raw)
    _tell(parts, facts, clock.rate_hz, raw)
    end_s = clock.n / clock.rate_hz
    return tree_of(root_of(info, channels, raw, declare), nodes, None, end_s, raw)


# ---- what the file states


def _facts(part: Part) -> Facts:
    own = [tag for tag in part.tags if tag.blocks[-1:] == (EPOCHS,)]
    inside = [tag for tag in part.tags if tag.blocks[-2:] == (EPOCHS, EVENTS)]
    first, last = (part.integer(_one(part, own, kind)) for kind in (FIRST, LAST))
    if not 0 <= last - first < 2**31:
        raise refusal(part.path, 0, f"epochs from sample {first} to {last}", "a rising range")
    events = _integers(part, _one(part, inside, EVENT_LIST))
    if not len(events) or len(events) % 3:
        raise refusal(part.path, 0, f"a list of {len(events)} numbers", "3 for each event")
    events = events.reshape(-1, 3)
    selection = np.arange(len(events))
    if any(tag.kind == SELECTION for tag in own):
        selection = _integers(part, _one(part, own, SELECTION))
    if len(selection) != len(events):
        found = f"a selection of {len(selection)} epochs"
        raise refusal(part.path, 0, found, f"{len(events)}, one for each event")
    baseline = [_seconds(part, own, kind) for kind in (BASELINE_FROM, BASELINE_TO)]
    return Facts(
        first, last, events, _names(part, inside), selection, (baseline[0], baseline[1]),
        _dropped(part, own), _metadata(part, len(events)),
    )  # fmt: skip


def _one(part: Part, tags: Sequence[Tag], kind: int) -> Tag:
    found = [tag for tag in tags if tag.kind == kind]
    if len(found) != 1:
        raise refusal(part.path, 0, f"{len(found)} tags of kind {kind} about epochs", "one")
    return found[0]


def _integers(part: Part, tag: Tag) -> npt.NDArray[np.int64]:
    if tag.type != 3 or tag.size % 4:
        found = f"tag {tag.kind} of type {tag.type} with {tag.size} bytes"
        raise refusal(part.path, tag.start, found, "integers")
    return np.frombuffer(part.bytes_of(tag), ">i4").astype("int64")


def _seconds(part: Part, tags: Sequence[Tag], kind: int) -> float:
    found = [tag for tag in tags if tag.kind == kind]
    if not found:
        return np.nan
    tag = found[0]
    if (tag.type, tag.size) != (4, 4):
        raise refusal(part.path, tag.start, f"a baseline of type {tag.type}", "a float")
    return float(np.frombuffer(part.bytes_of(tag), ">f4")[0])


def _names(part: Part, tags: Sequence[Tag]) -> dict[int, str]:
    """Return what codes mean, stated as ``name:code;name:code``; names may hold colons."""
    names: dict[int, list[str]] = {}
    for tag in tags:
        if tag.kind != COMMENT:
            continue
        for item in part.bytes_of(tag).decode("utf-8", "replace").split(";"):
            name, colon, code = item.rpartition(":")
            if colon and re.fullmatch(r"-?\d{1,10}", code.strip()):
                names.setdefault(int(code), []).append(name)
    return {code: "/".join(found) for code, found in names.items()}


def _json(part: Part, tag: Tag) -> Any:
    try:
        return json.loads(part.bytes_of(tag).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        found = f"a table of epochs that is no JSON ({type(error).__name__})"
        raise refusal(part.path, tag.start, found, "JSON") from error


def _dropped(part: Part, tags: Sequence[Tag]) -> list[list[str]]:
    for tag in tags:
        if tag.kind == DROPPED:
            found = _json(part, tag)
            if not (isinstance(found, list) and all(isinstance(item, list) for item in found)):
                raise refusal(part.path, tag.start, "a drop log that is no list", "a list")
            return found
    return []


def _metadata(part: Part, count: int) -> dict[str, npt.NDArray[np.float64]]:
    """Return the columns of numbers of the table about epochs; texts stay behind."""
    for tag in part.tags:
        if tag.kind == COMMENT and tag.blocks[-2:] == (EPOCHS, METADATA):
            rows = _json(part, tag)
            if not (isinstance(rows, list) and len(rows) == count):
                raise refusal(part.path, tag.start, "a table of another length", f"{count} rows")
            if all(isinstance(row, dict) for row in rows):
                names = dict.fromkeys(name for row in rows for name in row)
                columns = {name: [row.get(name) for row in rows] for name in names}
                kept = {name: _numbers(cells) for name, cells in columns.items()}
                return {
                    f"metadata_{name}": values
                    for name, values in kept.items()
                    if values is not None and _COLUMN.fullmatch(name)
                }
    return {}


def _numbers(cells: Sequence[Any]) -> npt.NDArray[np.float64] | None:
    if all(isinstance(cell, int | float) or cell is None for cell in cells):
        try:
            return np.array([np.nan if cell is None else float(cell) for cell in cells])
        except OverflowError:
            return None
    return None


def _piece(part: Part, facts: Facts, shape: tuple[int, int]) -> Piece:
    """Return where the samples are, after their sizes were compared with all else."""
    own = [tag for tag in part.tags if tag.blocks[-1:] == (EPOCHS,)]
    tag, whole = _one(part, own, EPOCHS_DATA), (len(facts.events), *shape)
    if tag.type in _COMPLEX:
        raise refusal(part.path, tag.start, "complex samples, as of spectra", "real samples")
    if tag.type not in _DTYPES:
        raise refusal(part.path, tag.start, f"epochs of type {tag.type:#x}", "floats or doubles")
    itemsize = np.dtype(_DTYPES[tag.type]).itemsize
    wanted = int(np.prod(whole, dtype=object)) * itemsize + 16
    if tag.size != wanted:
        found = f"{tag.size} bytes of epochs"
        raise refusal(part.path, tag.start, found, f"{wanted} for (epoch, channel, time) {whole}")
    ends = safe.memmap(part.path, np.dtype(">i4"), (4,), tag.start + tag.size - 16).tolist()
    if ends != [*whole[::-1], 3]:
        raise refusal(part.path, tag.start, f"epochs of shape {ends[-2::-1]}", f"{whole}")
    return Piece(part, _DTYPES[tag.type], tag.start, whole)


# ---- nodes


def _block(pieces: tuple[Piece, ...], places: Places, first: int, last: int) -> npt.NDArray[Any]:
    """Return samples as stored, (time, channel)."""
    out = np.empty((last - first, len(places)), np.dtype(pieces[0].dtype).newbyteorder("="))
    begin = 0
    for piece in pieces:
        data = safe.memmap(piece.part.path, np.dtype(piece.dtype), piece.shape, piece.start)
        length = piece.shape[2]
        low, high = max(first, begin), min(last, begin + piece.n)
        while low < high:
            epoch, sample = divmod(low - begin, length)
            count = min(length - sample, high - low)
            rows = data[epoch][list(places), sample : sample + count]
            out[low - first : low - first + count] = rows.T
            low += count
        begin += piece.n
    return out


def _node(facts: Sequence[Facts], length: int, rate_hz: float) -> xr.Dataset:
    events = np.concatenate([one.events for one in facts])
    start_s = np.arange(len(events), dtype=np.float64) * (length / rate_hz)
    zero_s = start_s - facts[0].first / rate_hz
    baseline_s = facts[0].baseline_s
    columns: dict[str, npt.NDArray[np.generic]] = {
        "zero_s": zero_s,
        "code": events[:, 2],
        "event_sample": events[:, 0],
        "selection": np.concatenate([one.selection for one in facts]),
    }
    if np.isfinite(baseline_s).any():
        columns["baseline_start_s"] = zero_s + baseline_s[0]
        columns["baseline_stop_s"] = zero_s + baseline_s[1]
    for name in facts[0].columns:
        if all(name in one.columns for one in facts):
            columns[name] = np.concatenate([one.columns[name] for one in facts])
    names = {code: name for one in facts for code, name in one.names.items()}
    labels = [names.get(code, "") or str(code) for code in events[:, 2].tolist()]
    return intervals(start_s, [length / rate_hz] * len(events), labels, columns)


def _tell(parts: Sequence[Part], facts: Sequence[Facts], rate_hz: float, raw: Raw) -> None:
    count, dropped = sum(len(one.events) for one in facts), facts[0].dropped
    if count > 1:
        raw.warn(
            "epochs", f"{count} epochs, which may overlap or leave pauses", "",
            "times count samples of all epochs; cut windows within the node epochs",
        )  # fmt: skip
    considered = [reasons for reasons in dropped if reasons != IGNORED]
    if rejected := sum(bool(reasons) for reasons in considered):
        found = f"{rejected} of {len(considered)} epochs were rejected before and are not here"
        raw.note("epochs", f"{found}; the column selection numbers those that are")
    if any(tag.blocks[-1:] == (ANNOTATIONS,) for tag in parts[0].tags):
        raw.note("annotations", "those of the continuous recording, left out: its clock is gone")
    if any(tag.blocks[-1:] == (METADATA,) for tag in parts[0].tags):
        kept = ", ".join(facts[0].columns) or "none"
        raw.note("metadata", f"a table about epochs; columns of numbers kept: {kept}")
    tags = [tag for tag in parts[0].tags if tag.blocks[-1:] == (EPOCHS,)]
    original_hz = _seconds(parts[0], tags, RAW_RATE)
    if np.isfinite(original_hz) and abs(original_hz - rate_hz) > 1e-6 * rate_hz:
        raw.note("epochs", f"event_sample counts samples of the recording at {original_hz:g} Hz")
