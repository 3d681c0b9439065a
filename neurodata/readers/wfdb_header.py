"""Header files (.hea) of PhysioNet's WFDB: record line, signal lines or segment lines.

Format: https://physionet.org/physiotools/wag/header-5.htm. Every line has to match its grammar to
the end, so that a field that is not understood is refused and not taken for a description.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neurodata import safe
from neurodata.errors import UnreadableError

HEADER_BYTES = 4 * 2**20
MAX_FRAMES = 2**48
NULL = "~"
"""Name of a segment without samples, and of the file of a signal in a layout header."""

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RECORD = re.compile(
    r"(?P<name>[-\w]+)(?:/(?P<segments>\d{1,6}))?[ \t]+(?P<signals>\d{1,5})"
    rf"(?:[ \t]+(?P<rate>{_NUMBER})(?:/{_NUMBER})?(?:\([+-]?{_NUMBER}\))?"
    r"(?:[ \t]+(?P<frames>\d{1,15})(?:[ \t]+(?P<start>[\d:./ \t]{1,40}))?)?)?",
    re.ASCII,
)
_SIGNAL = re.compile(
    r"(?P<file>[^\s#]\S*)[ \t]+(?P<format>\d{1,3})"
    r"(?:x(?P<per_frame>\d{1,5}))?(?::(?P<skew>\d{1,9}))?(?:\+(?P<offset>\d{1,15}))?"
    rf"(?:[ \t]+(?P<gain>[+-]?{_NUMBER})(?:\((?P<baseline>-?\d{{1,10}})\))?(?:/(?P<units>\S+))?"
    r"(?:[ \t]+(?P<bits>\d{1,3})(?:[ \t]+(?P<zero>-?\d{1,10})(?:[ \t]+(?P<first>-?\d{1,10})"
    r"(?:[ \t]+(?P<checksum>-?\d{1,10})(?:[ \t]+(?P<block>\d{1,9})"
    r"(?:[ \t]+(?P<name>.*))?)?)?)?)?)?)?"
)
_SEGMENT = re.compile(r"(?P<name>[-\w]+|~)[ \t]+(?P<frames>\d{1,15})", re.ASCII)
_FORMATS = frozenset(
    ("0", "8", "16", "24", "32", "61", "80", "160", "212", "310", "311", "508", "516", "524")
)
_LETTERED = re.compile(r"~|-|[-\w]+\.\w*[A-Za-z]\w*", re.ASCII)


@dataclass(frozen=True)
class Stated:
    """One signal as its line states it.

    Parameters
    ----------
    file, format : str
        Name of the file that holds its samples, and number of their format.
    per_frame, skew, offset : int
        Samples in a frame, frames by which it is late, and bytes before its file's first sample.
    gain : float or None
        ADC units in a physical unit; None when the signal is not calibrated.
    baseline : int
        ADC value of physical 0.
    units, name : str
        As the line has them, empty where it says nothing.
    first, checksum : int or None
        First sample, and the sum of all samples modulo 65536.
    """

    file: str
    format: str
    per_frame: int
    skew: int
    offset: int
    gain: float | None
    baseline: int
    units: str
    first: int | None
    checksum: int | None
    name: str


@dataclass(frozen=True)
class Header:
    """A header file: of one segment with ``signals``, or of several named in ``segments``.

    Parameters
    ----------
    rate_hz : float or None
        Frames a second.
    frames : int or None
        Their number, that of all segments together.
    comments : tuple of str
        Free text; may name persons.
    dated : bool
        Whether it states a time or date.
    """

    where: str
    rate_hz: float | None
    frames: int | None
    signals: tuple[Stated, ...]
    segments: tuple[tuple[str, int], ...]
    comments: tuple[str, ...]
    dated: bool


def is_header(head: bytes) -> bool:
    """Say whether a file starts as a WFDB header does: a record line, then a signal or segment.

    Examples
    --------
    >>> is_header(b"100 2 360 650000\\n100.dat 212 200 11 1024 995 -22131 0 MLII\\n")
    True
    >>> is_header(b"0 1 2\\n1 0 3\\n2 3 0\\n")
    False
    """
    if b"\0" in head:
        return False
    lines, _ = _lines(_decoded(head))
    record = _RECORD.fullmatch(lines[0]) if lines else None
    if record is None or len(lines) < 2:
        return False
    if record["segments"]:
        return _SEGMENT.fullmatch(lines[1]) is not None
    cells = lines[1].split()
    number = re.match(r"\d+", cells[1]) if len(cells) > 1 else None
    named = _LETTERED.fullmatch(cells[0]) or "/" in cells[0] or "\\" in cells[0]
    return bool(named and number and number[0] in _FORMATS and int(record["signals"]))


def names_in(path: Path) -> tuple[list[str], list[str]]:
    """Return the names of sample files and of segments that a header states, valid or not."""
    lines, _ = _lines(_decoded(safe.head(path, HEADER_BYTES)))
    record = _RECORD.fullmatch(lines[0]) if lines else None
    cells = [line.split()[0] for line in lines[1:]]
    if record is not None and record["segments"]:
        return [], [name for name in dict.fromkeys(cells) if name != NULL]
    return list(dict.fromkeys(cells)), []


def header_of(path: Path, where: str) -> Header:
    """Return a parsed header file.

    Parameters
    ----------
    where : str
        Its name below the root, for messages.

    Raises
    ------
    UnreadableError
        When a line does not match its grammar, lines are missing, or the last one has no end.
    """
    text = _decoded(safe.read_bytes(path, HEADER_BYTES))
    lines, comments = _lines(text)
    record = _RECORD.fullmatch(lines[0]) if lines else None
    if record is None:
        found = repr(lines[0][:60]) if lines else "no line"
        raise refusal(where, f"the record line {found}", "NAME SIGNALS RATE SAMPLES")
    tail = text.rstrip(" \t").rpartition("\n")[2].rpartition("\r")[2]
    if tail and not tail.lstrip().startswith("#"):
        raise refusal(where, f"no line end after {tail[-40:]!r}", "a whole last line")
    wanted, kind = int(record["signals"]), "signal"
    if record["segments"]:
        wanted, kind = int(record["segments"]), "segment"
    if not wanted or len(lines) - 1 != wanted:
        raise refusal(where, f"{len(lines) - 1} {kind} lines", f"{wanted or 'at least 1'}")
    several = bool(record["segments"])
    signals = () if several else tuple(_signal(where, line) for line in lines[1:])
    segments = tuple(_segment(where, line) for line in lines[1:]) if several else ()
    rate_hz = float(record["rate"]) if record["rate"] else None
    if rate_hz is not None and not (math.isfinite(rate_hz) and rate_hz > 0):
        raise refusal(where, f"a rate of {record['rate']}", "a finite number over 0")
    frames = int(record["frames"]) if record["frames"] else 0
    return Header(
        where, rate_hz, frames or None, signals, segments, comments, bool(record["start"])
    )  # the format takes a length of 0 for one not stated


def refusal(where: str, found: str, expected: str) -> UnreadableError:
    """Make the refusal of a file that contradicts its format."""
    return UnreadableError(where, found, expected, "copy it again or mend the header")


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _lines(text: str) -> tuple[list[str], tuple[str, ...]]:
    """Return the lines that are not blank and no comments, and the comments."""
    stripped = [line.strip() for line in re.split(r"\r\n|\n|\r", text)]
    lines = [line for line in stripped if line and not line.startswith("#")]
    return lines, tuple(line.lstrip("# \t") for line in stripped if line.startswith("#"))


def _signal(where: str, line: str) -> Stated:
    match = _SIGNAL.fullmatch(line)
    if match is None:
        raise refusal(
            where, f"the signal line {line[:80]!r}",
            "FILE FORMAT GAIN(BASELINE)/UNITS BITS ZERO FIRST CHECKSUM BLOCK NAME",
        )  # fmt: skip
    gain = float(match["gain"]) if match["gain"] else 0.0
    if not math.isfinite(gain) or (gain and not math.isfinite(1 / gain)):
        raise refusal(where, f"the gain {match['gain']}", "a finite number")
    baseline = match["baseline"] or match["zero"] or "0"
    per_frame = int(match["per_frame"] or 1)
    if not per_frame:
        raise refusal(where, f"no sample a frame in {line[:80]!r}", "at least 1")
    return Stated(
        file=match["file"],
        format=match["format"],
        per_frame=per_frame,
        skew=int(match["skew"] or 0),
        offset=int(match["offset"] or 0),
        gain=gain or None,  # the format takes a gain of 0 for none
        baseline=int(baseline),
        units=match["units"] or "",
        first=_number(match["first"]),
        checksum=_number(match["checksum"]),
        name=(match["name"] or "").strip(),
    )


def _segment(where: str, line: str) -> tuple[str, int]:
    match = _SEGMENT.fullmatch(line)
    if match is None or int(match["frames"]) > MAX_FRAMES:
        raise refusal(where, f"the segment line {line[:80]!r}", "NAME SAMPLES")
    return match["name"], int(match["frames"])


def _number(text: str | None) -> int | None:
    return int(text) if text else None


def stated_facts(comments: Sequence[str]) -> dict[str, str]:
    """Return what comments like ``age: 63`` or ``<sex>: F`` state of the subject, by key.

    Examples
    --------
    >>> stated_facts(["age: 81", "sex: female", "Diagnose: none", "<age>: 42  <sex>: M"])
    {'age': '81', 'sex': 'female'}
    """
    facts: dict[str, str] = {}
    for comment in comments:
        for key, value in re.findall(r"(?:^|<)(age|sex)>?:[ \t]*([\w.]+)", comment, re.IGNORECASE):
            facts.setdefault(key.lower(), value)
    return facts
