"""What a SpikeGLX ``.meta`` states of its ``.bin``: channels, gains, rate, size, places.

Volts are ``i * range / largest integer / gain``. The gain of Neuropixels 1.0 stands in its table
of sites, by channel and band; that of 2.0 is fixed; that of NI-DAQ goes by the type of channel.

References
----------
https://billkarsh.github.io/SpikeGLX/Sgl_help/Metadata_30.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neurodata import safe
from neurodata.errors import UnknownFormatError, UnreadableError
from neurodata.safe import Raw

KEY = re.compile(r"~?[A-Za-z_][A-Za-z0-9_]*")
CELLS = re.compile(r"\([^()]*\)")
CHANNEL_LIMIT = 100_000
TEXT_BYTES = 16 * 2**20
SPAN_SHARE = 0.01
# by type of stream: key of the counts, names of their kinds, how many of them are analog
STREAMS = {
    "imec": ("snsApLfSy", "acqApLfSy", ("AP", "LF", "SY"), 2),
    "nidq": ("snsMnMaXaDw", "acqMnMaXaDw", ("MN", "MA", "XA", "XD"), 3),
    "obx": ("snsXaDwSy", "acqXaDwSy", ("XA", "XD", "SY"), 1),
}
PREFIX = {"imec": "im", "nidq": "ni", "obx": "ob"}
STARTS = {tag for stream in STREAMS.values() for tag in stream[:2]}
MARKS = {"appVersion", "fileSizeBytes", "fileCreateTime", "nSavedChans", "firstSample"}
# Probe types with a gain for each channel and band in the table of sites, 10 bits
TABLED = frozenset((0, 1015, 1016, 1022, 1030, 1031, 1032, 1033, 1100, 1120, 1121, 1122, 1123,
                    1200, 1210, 1300))  # fmt: skip
FIXED_GAIN = {21: 80.0, 24: 80.0, 2003: 80.0, 2004: 80.0}  # 14 bits
FIXED_MAX_INT = {21: 8192, 24: 8192, 2003: 8192, 2004: 8192}
TABLED_MAX_INT = 512


@dataclass(frozen=True)
class Site:
    """One saved channel; ``stored * scale_v`` is in volts, and 0 says that it is digital."""

    name: str
    kind: str
    scale_v: float


@dataclass(frozen=True)
class Meta:
    """What a ``.meta`` states.

    Parameters
    ----------
    stream : {"imec", "nidq", "obx"}
    sites : sequence of Site
        The saved channels in the order of the file.
    rate_hz : float
    first_sample : int
        Its number since the run began.
    size_bytes : int
        Of the ``.bin``.
    sha1 : str
        Of the ``.bin``, upper case; empty where none is stated.
    position_m : float64 array (neural channel, 3) or None
        Across the shanks, 0, and up from the tip.
    shank : int64 array (neural channel,) or None
    device : str
        Part number of the probe, where it is of a plain form.
    """

    stream: str
    sites: Sequence[Site]
    rate_hz: float
    first_sample: int
    size_bytes: int
    sha1: str
    position_m: npt.NDArray[np.float64] | None
    shank: npt.NDArray[np.int64] | None
    device: str

    @property
    def n(self) -> int:
        """Samples of each channel."""
        return self.size_bytes // (2 * len(self.sites))


class Tags:
    """The tags of a file, each of which comes once."""

    def __init__(self, text: str, where: str) -> None:
        self.where, self.tags = where, dict[str, str]()
        if not text.endswith("\n"):
            raise self.refusal("a last line without its end", "whole lines")
        for number, line in enumerate(text.split("\n"), 1):
            key, equals, value = line.partition("=")
            if not line.strip():
                continue
            if not equals or KEY.fullmatch(key) is None:
                raise self.refusal(f"line {number}: {line[:40]!r}", "tag=value")
            if key in self.tags:
                raise self.refusal(f"the tag {key} twice", "each tag once")
            self.tags[key] = value.strip()

    def refusal(self, found: str, expected: str) -> UnreadableError:
        """Make a refusal of the file."""
        return UnreadableError(self.where, found, expected, "copy the .meta and .bin again")

    def text(self, key: str) -> str:
        """Return a tag that must be there."""
        if key not in self.tags:
            raise self.refusal(f"no {key}", "it in every .meta of this kind")
        return self.tags[key]

    def number(self, key: str) -> float:
        """Return a finite number over 0."""
        try:
            value = float(self.text(key))
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0):
            raise self.refusal(f"{key}={self.text(key)[:40]}", "a number over 0")
        return value

    def whole(self, key: str, least: int = 0) -> int:
        """Return a whole number of at least some size."""
        text = self.text(key)
        if not re.fullmatch(r"\d{1,18}", text) or int(text) < least:
            raise self.refusal(f"{key}={text[:40]}", f"a whole number from {least} on")
        return int(text)

    def counts(self, key: str, length: int) -> list[int]:
        """Return whole numbers between commas."""
        text = self.text(key)
        if not re.fullmatch(r"\d{1,6}(,\d{1,6})*", text) or text.count(",") != length - 1:
            raise self.refusal(f"{key}={text[:40]}", f"{length} whole numbers")
        return [int(item) for item in text.split(",")]

    def table(self, key: str) -> list[str]:
        """Return the cells of a table, its head first."""
        text = self.text(key)
        cells: list[str] = CELLS.findall(text)
        if not cells or "".join(cells) != text:
            raise self.refusal(f"{key}={text[:40]}", "a table of (...) cells")
        return [cell[1:-1] for cell in cells]


def read_meta(raw: Raw, name: str, text: str) -> Meta:
    """Return what a ``.meta`` states, every part checked against the others.

    Raises
    ------
    UnreadableError
        When a tag is missing, impossible or contradicts another.
    UnknownFormatError
        When the gain of its probe is not known.
    """
    tags = Tags(text, name)
    stream = tags.tags.get("typeThis", "imec" if "snsApLfSy" in tags.tags else "nidq")
    if stream not in STREAMS:
        raise tags.refusal(f"typeThis={stream[:40]}", ", ".join(STREAMS))
    key, acquired, kinds, _ = STREAMS[stream]
    saved = tags.counts(key, len(kinds))
    total = sum(saved)
    if total != tags.whole("nSavedChans", 1) or total > CHANNEL_LIMIT:
        raise tags.refusal(f"{tags.text('nSavedChans')} channels", f"{total} by {key}")
    own = tags.counts(acquired, len(kinds))
    chosen = _subset(tags, saved, own)
    scales = _scales(tags, stream, own, chosen)
    labels = _labels(tags, chosen)
    owner = [kind for kind, count in zip(kinds, saved, strict=True) for _ in range(count)]
    sites = [Site(*cells) for cells in zip(labels, owner, scales, strict=True)]
    size, prefix = tags.whole("fileSizeBytes", 1), PREFIX[stream]
    if size % (2 * total):
        raise tags.refusal(f"fileSizeBytes={size}", f"a multiple of {2 * total}")
    neural = [n for n, kind in zip(chosen, owner, strict=True) if kind in ("AP", "LF")]
    position_m, shank = _places(tags, neural, own[0], raw) if stream == "imec" else (None, None)
    _compare_span(tags, size / (2 * total) / tags.number(f"{prefix}SampRate"), raw)
    part = tags.tags.get("imDatPrb_pn", "")
    return Meta(
        stream, sites, tags.number(f"{prefix}SampRate"),
        tags.whole("firstSample") if "firstSample" in tags.tags else 0, size,
        tags.tags.get("fileSHA1", "").upper(), position_m, shank,
        part if re.fullmatch(r"(NP|PRB_?)[0-9A-Z_]{1,12}", part) else "",
    )  # fmt: skip


def _compare_span(tags: Tags, length_s: float, raw: Raw) -> None:
    """Warn where the span that is stated contradicts size and rate."""
    if "fileTimeSecs" in tags.tags:
        stated_s = tags.number("fileTimeSecs")
        if abs(stated_s - length_s) > max(SPAN_SHARE * length_s, SPAN_SHARE):
            found = f"{stated_s:g} s stated, {length_s:g} s by size and rate"
            raw.warn("fileTimeSecs", found, "one span", "see whether the rate is right")


def _subset(tags: Tags, saved: Sequence[int], own: Sequence[int]) -> list[int]:
    """Return the numbers, among the acquired, of the channels that were saved."""
    text = tags.tags.get("snsSaveChanSubset", "all").strip()
    if text in ("all", ""):
        chosen = list(range(sum(own)))
        if "snsApLfSy" in tags.tags and sum(saved) != sum(own):  # one band of two is in the file
            first = np.concatenate([[0], np.cumsum(own)])
            chosen = [
                int(first[kind]) + n for kind, count in enumerate(saved) for n in range(count)
            ]
    else:
        chosen = []
        for item in text.split(","):
            part = re.fullmatch(r"(\d{1,6})(?::(\d{1,6}))?", item.strip())
            if part is None or int(part[1]) <= max(chosen[-1:], default=-1):
                raise tags.refusal(f"snsSaveChanSubset={text[:40]}", "rising numbers and ranges")
            chosen += range(int(part[1]), int(part[2] or part[1]) + 1)
    kind_of = np.searchsorted(np.cumsum(own), chosen, side="right")
    held = np.bincount(kind_of, minlength=len(saved)).tolist()
    if held != list(saved):
        raise tags.refusal(f"the saved channels {text[:40]} of {list(own)}", f"{list(saved)}")
    return chosen


def _labels(tags: Tags, chosen: Sequence[int]) -> list[str]:
    """Return the names of the saved channels, from the channel map."""
    cells = [re.fullmatch(r"([^;:()]{1,64});(\d{1,6}):\d{1,6}", cell)
             for cell in tags.table("~snsChanMap")[1:]]  # fmt: skip
    found = [(cell[1].strip(), int(cell[2])) for cell in cells if cell is not None]
    names = [name for name, _ in found]
    if len(found) != len(chosen) or len(cells) != len(chosen) or len(set(names)) < len(names):
        raise tags.refusal(f"~snsChanMap of {len(cells)} channels", f"{len(chosen)} unlike names")
    return names


# gains


def _scales(tags: Tags, stream: str, own: Sequence[int], chosen: Sequence[int]) -> list[float]:
    """Return the volts of a step of each saved channel, 0 of a digital one."""
    prefix, edges = PREFIX[stream], np.cumsum(own)
    kind_of = [int(np.searchsorted(edges, n, side="right")) for n in chosen]
    analog = STREAMS[stream][3]
    if not any(kind < analog for kind in kind_of):
        return [0.0] * len(chosen)
    range_v = tags.number(f"{prefix}AiRangeMax")
    if stream == "imec":
        gains, largest = _probe_gains(tags, own)
    else:
        largest = tags.whole(f"{prefix}MaxInt", 1) if f"{prefix}MaxInt" in tags.tags else 32768
        by_kind = [1.0] * analog
        if stream == "nidq":
            by_kind[:2] = [
                tags.number(key) if own[place] else 1.0
                for place, key in enumerate(("niMNGain", "niMAGain"))
            ]
        gains = [gain for gain, count in zip(by_kind, own, strict=False) for _ in range(count)]
    return [
        range_v / largest / gains[n] if kind < analog else 0.0
        for n, kind in zip(chosen, kind_of, strict=True)
    ]


def _probe_gains(tags: Tags, own: Sequence[int]) -> tuple[list[float], int]:
    """Return the gain of each acquired channel, AP before LF, and the largest integer."""
    if "imDatPrb_type" in tags.tags:
        kind = tags.whole("imDatPrb_type")
    elif "imProbeOpt" in tags.tags or "imDatApi" in tags.tags:
        kind = 0  # phase 3A and 3B1 had probes of one type
    else:
        raise tags.refusal("neither imDatPrb_type nor imProbeOpt", "the type of the probe")
    stated = tags.whole("imMaxInt", 1) if "imMaxInt" in tags.tags else None
    if kind in TABLED:
        return _tabled_gains(tags, own), stated or TABLED_MAX_INT
    gain = tags.number("imChan0apGain") if "imChan0apGain" in tags.tags else FIXED_GAIN.get(kind)
    low = gain if kind in FIXED_GAIN or 2000 <= kind < 3000 else None  # of one band, if of two
    if own[1] and low is None and "imChan0lfGain" in tags.tags:
        low = tags.number("imChan0lfGain")
    largest = stated or FIXED_MAX_INT.get(kind)
    if gain is None or largest is None or (own[1] and low is None):
        raise UnknownFormatError(
            tags.where, f"a probe of type {kind} without imChan0apGain, imMaxInt or imChan0lfGain",
            "a stated gain, or Neuropixels 1.0 or 2.0", "save it with a newer SpikeGLX",
        )  # fmt: skip
    return [gain] * own[0] + [low or gain] * own[1], largest


def _tabled_gains(tags: Tags, own: Sequence[int]) -> list[float]:
    rows = [cell.split() for cell in tags.table("~imroTbl")[1:]]
    fits = all(len(row) in (5, 6) and all(map(str.isdecimal, row)) for row in rows)
    if not fits or [int(row[0]) for row in rows] != list(range(len(rows))):
        raise tags.refusal("a ~imroTbl of another form", "channel bank reference AP-gain LF-gain")
    by_band = [[float(row[place]) for row in rows] for place in (3, 4)]
    for band, gains, count in zip(("AP", "LF"), by_band, own, strict=False):
        if count not in (0, len(rows)) or (count and min(gains) <= 0):
            raise tags.refusal(f"{len(rows)} gains of {band}", f"{count}, over 0")
    return [gain for gains, count in zip(by_band, own, strict=False) for gain in gains[:count]]


# places


def _places(
    tags: Tags, neural: Sequence[int], sites: int, raw: Raw
) -> tuple[npt.NDArray[np.float64] | None, npt.NDArray[np.int64] | None]:
    """Return positions and shanks of the saved neural channels.

    A map of geometry states micrometres; one of shanks only rows and columns, of which the shank
    is kept.
    """
    key = "~snsGeomMap" if "~snsGeomMap" in tags.tags else "~snsShankMap"
    head, *cells = tags.table(key)
    try:
        table = np.array([[*map(float, cell.split(":"))] for cell in cells]).reshape(len(cells), 4)
    except ValueError as error:
        raise tags.refusal(f"a {key} of another form", "cells of four numbers") from error
    if len(table) == sites and len(neural) != sites:
        table = table[[n % sites for n in neural]]
    whole = np.isfinite(table).all() and (table[:, 0] == np.floor(table[:, 0])).all()
    if len(table) != len(neural) or not whole or (table[:, 0] < 0).any():
        raise tags.refusal(f"a {key} of {len(table)} sites", f"{len(neural)} finite ones")
    stated = [*head.split(","), ""][0 if key == "~snsShankMap" else 1]
    shanks = int(stated) if re.fullmatch(r"[0-9]{1,4}", stated) else 0
    if (table[:, 0] >= shanks).any():
        raise tags.refusal(f"{key}=({head[:40]}), sites on another shank", "as many as are stated")
    shank = table[:, 0].astype("i8")
    if key == "~snsShankMap":
        raw.note("~snsShankMap", "rows and columns of sites without their distances", "~snsGeomMap")
        return None, shank
    pitch_um = _pitch_um(tags, head)
    position = np.zeros((len(table), 3))
    position[:, 0] = (table[:, 1] + shank * pitch_um) * 1e-6
    position[:, 2] = table[:, 2] * 1e-6
    return position, shank


def _pitch_um(tags: Tags, head: str) -> float:
    cells = head.split(",")
    try:
        pitch_um = float(cells[2])
    except (ValueError, IndexError):
        pitch_um = math.nan
    if len(cells) != 4 or not (math.isfinite(pitch_um) and 0 <= pitch_um < 1e5):
        raise tags.refusal(f"~snsGeomMap=({head[:40]})", "part, shanks, their pitch, their width")
    return pitch_um


def is_meta(head: bytes) -> bool:
    """Say whether a file begins with tags of SpikeGLX."""
    lines = head.decode("utf-8-sig", "replace").split("\n")
    keys = [line.partition("=")[0] for line in lines[:-1] if line.strip()]
    return all(map(KEY.fullmatch, keys)) and bool(STARTS & {*keys}) and bool(MARKS & {*keys})


def text_of(path: Path) -> str:
    """Return the text of a ``.meta``; notes in it may be of any code page, tags are ASCII."""
    data = safe.read_bytes(path, TEXT_BYTES)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")
