"""Annotation files of WFDB (.atr, .qrs, ...): beats, rhythms and comments as intervals.

Format: https://physionet.org/physiotools/wag/annot-5.htm. The wfdb package unpacks the byte pairs;
definitions that the file holds, its end and the times are checked here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.errors import UnreadableError, need
from neurodata.readers import remarks
from neurodata.readers.delimited import text_array
from neurodata.readers.intervals import intervals
from neurodata.readers.wfdb_samples import EXTRA
from neurodata.safe import Raw

ANNOTATORS = (
    "atr", "qrs", "qrsc", "ecg", "ari", "man", "st", "sta", "stb", "stc", "16a", "apn", "aux",
    "seizures", "arousal", "hyp", "hypn", "event", "marker", "blh", "blm", "alh", "alm", "bph",
    "bpm", "abp", "ann", "wqrs", "wabp", "sqrs", "gqrs", "pu", "pu0", "pu1", "pwave", "q1c",
    "q1t", "q2c", "ecgon", "cba", "comp", "in", "al", "trigger",
)  # fmt: skip
"""Suffixes of annotation files in PhysioNet's databases; the first is the reference."""
NOTE, EMPTY = 22, 0  # codes of comments, and of what is no annotation
_RESOLUTION = re.compile(r"## time resolution: (\d+\.?\d*)")
_DEFINITION = re.compile(r"(\d{1,2}) (\S+) (.+)")
_BEGIN, _END = "## annotation type definitions", "## end of definitions"
Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Notes:
    """Annotations as a file has them; all sequences have one item an annotation."""

    sample: Sequence[int]
    code: Sequence[int]
    subtype: Sequence[int]
    channel: Sequence[int]
    number: Sequence[int]
    text: Sequence[str]


def annotated(
    raw: Raw, path: Path, rate_hz: float, frames: int, channels: Sequence[str], declare: Declared
) -> xr.Dataset:
    """Return an annotation file as an `intervals` node; labels are the symbols of WFDB.

    A text that belongs to an annotation, e.g. the name of a rhythm, is in the column ``text``.

    Parameters
    ----------
    rate_hz, frames : float, int
        Frames of the record a second, and their number.
    channels : sequence of str
        Names of the record's signals, in the order of its header.

    Raises
    ------
    UnreadableError
        When the file is cut short or damaged, or an annotation lies outside the record.
    """
    where = f"{raw.name}: {path.name}"
    notes = _notes(safe.read_bytes(path), where)
    resolution_hz, symbols, defining = _definitions(notes)
    kept = [n for n, code in enumerate(notes.code) if code != EMPTY and n not in defining]
    if any(_text(notes.text[place])[:2] not in ("", "##") for place in defining):
        raw.note(path.name, "comments at the first sample (command lines), removed")
    start_s = np.array([notes.sample[place] for place in kept], "f8") / (resolution_hz or rate_hz)
    last_s = frames / rate_hz
    outside = start_s[(start_s < 0) | (start_s > last_s)]
    if outside.size:
        raise UnreadableError(
            where, f"{outside.size} annotations not within the record, e.g. at {outside[0]:g} s",
            f"0 to {last_s:g} s", "copy the record again, or correct the annotations",
        )  # fmt: skip
    names = {**_standard(), **symbols}
    label = [names.get(notes.code[place], f"[{notes.code[place]}]") for place in kept]
    columns = _columns(notes, kept, channels)
    if "text" in columns:
        typed = [n for n, place in enumerate(kept) if notes.code[place] == NOTE]
        stated = [columns["text"][n] for n in typed]
        columns["text"][typed] = remarks.passed(stated, raw, declare, path.name)
    return intervals(start_s, [math.nan] * len(kept), label, columns)


def _notes(data: bytes, where: str) -> Notes:
    if len(data) < 2 or len(data) % 2 or data[-2:] != b"\0\0":
        raise UnreadableError(
            where, f"{len(data)} bytes without an end mark", "pairs of bytes, the last 0",
            "copy the file again",
        )  # fmt: skip
    pairs = np.frombuffer(data, "u1").reshape(-1, 2)
    parse = need("wfdb.io.annotation", extra=EXTRA).proc_ann_bytes
    try:
        found = Notes(*parse(pairs, None))
        sample, code, subtype, channel, number = (
            [int(value) for value in column] for column in _numbers(found)
        )
        whole = Notes(sample, code, subtype, channel, number, found.text)
    except (IndexError, ValueError, OverflowError) as error:
        raise UnreadableError(
            where, f"damaged annotations ({error})", "annotations up to an end mark",
            "copy the file again",
        ) from error  # fmt: skip
    if len({len(column) for column in (*_numbers(whole), whole.text)}) > 1:
        raise UnreadableError(
            where, "texts without an annotation, or more than one of it", "one text each",
            "copy the file again",
        )  # fmt: skip
    past_end = np.asarray(whole.code) == EMPTY
    if past_end.any() and not past_end[int(past_end.argmax()) :].all():
        raise UnreadableError(
            where, "an end mark before the last annotation", "one at the end", "copy it again"
        )
    return whole


def _numbers(notes: Notes) -> tuple[Sequence[int], ...]:
    return notes.sample, notes.code, notes.subtype, notes.channel, notes.number


def _definitions(notes: Notes) -> tuple[float | None, dict[int, str], set[int]]:
    """Return what comments at the first sample define, and which these are.

    Others there are command lines of programs, which may name folders and persons.
    """
    resolution_hz: float | None = None
    symbols: dict[int, str] = {}
    defining: set[int] = set()
    listing = False
    for place, (sample, code, text) in enumerate(
        zip(notes.sample, notes.code, notes.text, strict=True)
    ):
        line = text.strip("\0").strip()
        match = _DEFINITION.fullmatch(line)
        stated = _RESOLUTION.fullmatch(line)
        if sample or code != NOTE:
            continue
        if listing and match:
            symbols[int(match[1])] = match[2]
        elif stated and float(stated[1]) > 0:
            resolution_hz = float(stated[1])
        listing = line != _END and (listing or line == _BEGIN)
        defining.add(place)
    return resolution_hz, symbols, defining


def _standard() -> Mapping[int, str]:
    labels = need("wfdb.io.annotation", extra=EXTRA).ann_labels
    return {int(label.label_store): str(label.symbol) for label in labels}


def _columns(
    notes: Notes, kept: Sequence[int], channels: Sequence[str]
) -> dict[str, npt.NDArray[np.generic]]:
    """Return the columns that say anything: text, channel, subtype and number."""
    columns: dict[str, npt.NDArray[np.generic]] = {}
    texts = [_text(notes.text[place]) for place in kept]
    if any(texts):
        columns["text"] = text_array(texts)
    chosen = [notes.channel[place] for place in kept]
    if any(chosen):
        names = dict(enumerate(channels))
        columns["channel"] = text_array([names.get(n, str(n)) for n in chosen])
    for name, stored in (("subtype", notes.subtype), ("number", notes.number)):
        values = np.array([stored[place] for place in kept], "int16")
        if values.any():
            columns[name] = values
    return columns


def _text(stored: str) -> str:
    """Return a text whose bytes came one a character, as UTF-8 where it is that."""
    text = stored.strip("\0").strip()
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
