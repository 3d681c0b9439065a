"""Header of the BrainVision Core Data Format, compared with the data file that it names.

Format: https://www.brainproducts.com/support-resources/brainvision-core-data-format-1-0/.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurodata import safe
from neurodata.errors import UnknownFormatError, UnreadableError, UnsafeError
from neurodata.safe import Raw

FORMATS = {"INT_16": "i2", "INT_32": "i4", "IEEE_FLOAT_32": "f4"}

Section = dict[str, str]


@dataclass(frozen=True)
class Layout:
    """How the data file is laid out."""

    path: Path
    dtype: np.dtype[Any]
    samples: int
    channels: int
    multiplexed: bool

    def map(self) -> npt.NDArray[Any]:
        """Map the data file as (time, channel)."""
        if self.multiplexed:
            return safe.memmap(self.path, self.dtype, (self.samples, self.channels))
        return safe.memmap(self.path, self.dtype, (self.channels, self.samples)).T


def sections_of(path: Path, name: str) -> dict[str, Section]:
    """Return the sections of a header or marker file by lower-case name, up to the comment."""
    sections: dict[str, Section] = {}
    section: Section = {}
    for place, line in enumerate(_text(path, name).splitlines()[1:], 2):
        text = line.strip()
        if text.startswith("["):
            title = text.strip("[]").lower()
            if title == "comment":
                break
            if title in sections:
                raise refusal(name, f"a second section {text} in line {place}", "one")
            section = sections[title] = {}
        elif text and not text.startswith(";"):
            key, equals, value = (part.strip() for part in line.partition("="))
            if not equals or not sections or key.lower() in section:
                raise refusal(name, f"line {place}: {text[:60]!r}", "KEY=value, each key once")
            section[key.lower()] = value
    return sections


def _text(path: Path, name: str) -> str:
    data = safe.read_bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if re.search(rb"^Codepage\s*=\s*UTF-8", data, re.MULTILINE | re.IGNORECASE):
            raise refusal(name, f"bytes that are not UTF-8 ({error})", "UTF-8") from error
        return data.decode("latin-1")  # without a code page the text is ANSI


def refusal(where: str, found: str, expected: str) -> UnreadableError:
    """Make the refusal of a file that contradicts its format."""
    return UnreadableError(where, found, expected, "export it again or mend the file")


def required(name: str, section: Section, key: str) -> str:
    """Return the text of a line that has to be there."""
    value = section.get(key.lower(), "")
    if not value:
        raise refusal(name, f"no {key}", f"a line {key}=")
    return value


def whole(where: str, what: str, text: str, least: int) -> int:
    """Return a whole number of at least ``least``."""
    if not re.fullmatch(r"\d{1,18}", text) or int(text) < least:
        raise refusal(where, f"{what} {text!r}", f"a whole number, at least {least}")
    return int(text)


def positive(where: str, what: str, text: str) -> float:
    """Return a finite number over 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise refusal(where, f"{what} {text!r}", "a finite number over 0")
    return value


def _choice(name: str, section: Section, key: str, allowed: Sequence[str]) -> str:
    value = section.get(key.lower(), allowed[0]).upper()
    if value not in allowed:
        raise UnknownFormatError(
            name, f"{key}={value}", " or ".join(allowed), "export it in such a form"
        )
    return value


def layout_of(raw: Raw, sections: dict[str, Section]) -> Layout:
    """Return how the data file is laid out.

    Raises
    ------
    UnreadableError
        When a field is missing or impossible, or the file's size is no whole number of samples.
    UnknownFormatError
        When the header states a form of data that is not read.
    UnsafeError
        When the header names a file that is not beside it.
    """
    name, common = raw.name, sections.get("common infos", {})
    binary = sections.get("binary infos", {})
    path = sibling(raw, required(name, common, "DataFile"))
    _choice(name, common, "DataFormat", ("BINARY",))
    _choice(name, common, "DataType", ("TIMEDOMAIN",))
    order = _choice(name, common, "DataOrientation", ("MULTIPLEXED", "VECTORIZED"))
    required(name, binary, "BinaryFormat")
    kind = FORMATS[_choice(name, binary, "BinaryFormat", tuple(FORMATS))]
    big = _choice(name, binary, "UseBigEndianOrder", ("NO", "YES")) == "YES"
    channels = whole(name, "NumberOfChannels", required(name, common, "NumberOfChannels"), 1)
    dtype = np.dtype(f"{'>' if big else '<'}{kind}")
    size, frame = path.stat().st_size, channels * dtype.itemsize
    stated = common.get("datapoints", "")
    points = whole(name, "DataPoints", stated, 1) if stated else max(1, size // frame)
    if size != points * frame:
        raise UnreadableError(
            f"{name}: {path.name}",
            f"{size} bytes",
            f"{points * frame} bytes: {points} samples of {frame} bytes",
            "copy or export the data file again",
        )
    return Layout(path, dtype, points, channels, order == "MULTIPLEXED")


def sibling(raw: Raw, name: str) -> Path:
    """Return the file that a header names; ``$b`` stands for the header's own base name."""
    path = raw.sibling(name.replace("$b", raw.main.stem))
    if path == raw.main:
        raise UnsafeError(
            raw.name, f"a header that names itself, {name!r}", "a data file", "correct the header"
        )
    return path
