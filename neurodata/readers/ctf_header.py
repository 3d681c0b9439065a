"""Header of a CTF data set (``.res4``) and the text files beside it, sizes checked.

Layout: https://www.fieldtriptoolbox.org/getting_started/meg/ctf/ and CTF MEG File Formats
(PN900-0088). Texts that may name a person or a moment are counted, and none is kept.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurodata import safe
from neurodata.errors import UnreadableError
from neurodata.safe import Raw

MAGIC = re.compile(rb"MEG4\dRS")
DATA_MAGIC = re.compile(rb"MEG4\dCP")
DATA_HEADER_BYTES = 8
VALUE_BYTES = 4
_FIXED_BYTES, _NAME_BYTES, _CHANNEL_BYTES, _BALANCE_BYTES = 1844, 32, 1328, 1992
_DATE = slice(778, 1288)
# texts: application, origin, description; time and date; run, title, subject, operator
_TEXTS = (slice(8, 776), _DATE, slice(1360, 1836))
_COIL = [("place", ">f8", 3), ("", "V8"), ("normal", ">f8", 3), ("rest", "V24")]
_CHANNEL = np.dtype(
    [("sensor", ">i2"), ("run", ">i2"), ("shape", ">i4"), ("gain", ">f8"), ("q_gain", ">f8"),
     ("io_gain", ">f8"), ("io_offset", ">f8"), ("coils", ">i2"), ("order", ">i2"), ("_", ">i4"),
     ("coil", _COIL, 8), ("head_coil", _COIL, 8)]
)  # fmt: skip
_COUNT = re.compile(r"[0-9]{1,9}")
_SAMPLE = re.compile(r"[+-]?\d{1,18}\s+[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
CENTIMETRE_M = 1e-2


@dataclass(frozen=True)
class Header:
    """What the header says.

    Parameters
    ----------
    personal, dated : bool
        Whether its texts said anything, and when the recording was made.
    samples, trials, done : int
        Samples of a trial, trials planned and trials recorded.
    before : int
        Samples of a trial before its trigger.
    table : structured numpy array
        A row a channel: sensor, gains, order of balancing, coils with places in cm.
    """

    personal: bool
    dated: bool
    samples: int
    trials: int
    done: int
    before: int
    rate_hz: float
    names: tuple[str, ...]
    table: npt.NDArray[Any]


def header_of(path: Path) -> Header:
    """Return the checked header.

    Raises
    ------
    UnreadableError
        When the file is cut, or a number in it is impossible.
    """
    content = safe.read_bytes(path)
    if not MAGIC.match(content) or len(content) < _FIXED_BYTES + 2:
        raise refusal(path, f"{len(content)} bytes that begin with {content[:7]!r}", "a header")
    samples, channels = struct.unpack_from(">ih", content, 1288)
    (rate_hz, _), (trials,) = struct.unpack_from(">dd", content, 1296), _short(content, 1312)
    (before,), (done,) = struct.unpack_from(">i", content, 1316), _short(content, 1320)
    if min(samples, channels, trials) < 1:
        found = f"{samples} samples, {channels} channels, {trials} trials"
        raise refusal(path, found, "at least one of each")
    (described,) = struct.unpack_from(">i", content, 1836)
    place = _FIXED_BYTES + described
    if described < 0 or place + 2 > len(content):
        raise refusal(path, f"a description of {described} bytes", f"at most {len(content)}")
    place = _after_filters(path, content, place)
    start, table = place, place + _NAME_BYTES * channels
    stop = table + _CHANNEL_BYTES * channels
    if stop + 2 > len(content):
        raise refusal(path, f"{len(content)} bytes", f"{stop + 2} for {channels} channels")
    (balances,) = _short(content, stop)
    if balances < 0 or stop + 2 + balances * _BALANCE_BYTES > len(content):
        found = f"{len(content)} bytes with {balances} balancing coefficients"
        raise refusal(path, found, f"{stop + 2 + balances * _BALANCE_BYTES}")
    names = [
        content[i : i + _NAME_BYTES].partition(b"\0")[0].decode("latin-1")
        for i in range(start, table, _NAME_BYTES)
    ]
    rows = np.frombuffer(content, _CHANNEL, channels, table).copy()
    _require_plain(path, names, rows)
    texts = (*_TEXTS, slice(_FIXED_BYTES, _FIXED_BYTES + described))
    return Header(
        any(content[text].strip(b"\0 ") for text in texts),
        bool(content[_DATE].strip(b"\0 ")), samples, trials, done, before, rate_hz,
        tuple(names), rows,
    )  # fmt: skip


def _short(content: bytes, place: int) -> tuple[int]:
    (value,) = struct.unpack_from(">h", content, place)
    return (int(value),)


def _after_filters(path: Path, content: bytes, place: int) -> int:
    """Return where the names begin; a filter has 18 bytes and its parameters of 8 each."""
    (filters,) = _short(content, place)
    place += 2
    for _ in range(filters):
        if place + 18 > len(content):
            raise refusal(path, f"{filters} filters in {len(content)} bytes", "fewer")
        (parameters,) = _short(content, place + 16)
        if parameters < 0:
            raise refusal(path, f"{parameters} parameters of a filter", "0 or more")
        place += 18 + 8 * parameters
    return place


def _require_plain(path: Path, names: list[str], rows: npt.NDArray[Any]) -> None:
    if twice := sorted({name for name in names if not name or names.count(name) > 1}):
        raise refusal(path, f"channels without a name of their own: {twice}", "names")
    odd = [n for n, r in zip(names, rows, strict=True) if r["io_gain"] != 1 or r["io_offset"] != 0]
    if odd:
        raise refusal(
            path, f"a gain or offset of the input that programs ignore: {', '.join(odd[:5])}",
            "1 and 0",
        )  # fmt: skip


def data_files(raw: Raw, header: Header) -> list[tuple[Path, int]]:
    """Return the data files in order and the number of trials in each.

    Raises
    ------
    UnreadableError
        When one is missing or cut, or there are not as many trials as the header says.
    """
    stem, found = raw.main.stem, list[tuple[Path, int]]()
    names = {path.name for path in raw.files if path.parent == raw.main.parent}
    numbers = [m[1] for n in names if (m := re.fullmatch(rf"{re.escape(stem)}\.(\d+)_meg4", n))]
    last = max((int(number) for number in numbers), default=0)
    for number in range(last + 1):
        name = f"{stem}.{number}_meg4" if number else f"{stem}.meg4"
        if name not in names:
            raise refusal(raw.main, f"no data file {name!r}", "all data files in the folder")
        path = raw.sibling(name)
        trial = VALUE_BYTES * header.samples * len(header.names)
        size = path.stat().st_size
        start = safe.memmap(path, np.dtype("u1"), (DATA_HEADER_BYTES,)) if size > 8 else b""
        trials, rest = divmod(size - DATA_HEADER_BYTES, trial)
        if not DATA_MAGIC.match(bytes(start)) or rest or trials < 1:
            expected = f"{DATA_HEADER_BYTES} bytes and a multiple of {trial}, those of a trial"
            raise refusal(path, f"{size} bytes", expected)
        found.append((path, trials))
    total = sum(trials for _, trials in found)
    if total != header.trials:
        if total != header.done:
            raise refusal(raw.main, f"{total} trials of data", f"{header.trials} by the header")
        raw.warn("trials", f"{total} recorded", f"{header.trials} planned", "kept as recorded")
    return found


def markers_of(raw: Raw, header: Header) -> list[tuple[str, int, float]]:
    """Return label, trial (from 0) and second within it, of each marker.

    Raises
    ------
    UnreadableError
        When the marker file is cut or a line of it is no marker.
    """
    path = raw.find(lambda p: p.name == "MarkerFile.mrk" and p.parent == raw.main.parent)
    if path is None:
        return []
    text = safe.read_bytes(path).decode("latin-1")
    lines = [line.strip() for line in text[: text.rfind("\n") + 1].splitlines()]
    found, names = list[tuple[str, int, float]](), 0
    stated = _after(lines, 0, "NUMBER OF MARKERS:")
    label, place = "", 0
    while place < len(lines):
        line = lines[place]
        if line == "NAME:":
            label = _after(lines, place, "NAME:")
        if line == "NUMBER OF SAMPLES:":
            count = _after(lines, place, "NUMBER OF SAMPLES:")
            at = next((i for i in range(place, len(lines)) if lines[i] == "LIST OF SAMPLES:"), -1)
            wanted = int(count) if at >= 0 and _COUNT.fullmatch(count) else -1
            rows = lines[at + 2 : at + 2 + wanted]
            if len(rows) != wanted or not all(map(_SAMPLE.fullmatch, rows)):
                raise refusal(path, f"the list of {label!r}", f"{count} rows of trial and second")
            found += [(label, int(row.split()[0]), float(row.split()[1])) for row in rows]
            place, names = at + 1 + len(rows), names + 1
        place += 1
    if stated != str(names):
        raise refusal(path, f"{names} markers", f"{stated or 'a number of them'} by its header")
    outside = [trial for _, trial, _ in found if not 0 <= trial < max(header.trials, 1)]
    if outside:
        raise refusal(path, f"a marker in trial {outside[0]}", f"0 to {header.trials - 1}")
    return found


def _after(lines: list[str], start: int, key: str) -> str:
    at = next((i for i in range(start, len(lines)) if lines[i] == key), None)
    return lines[at + 1] if at is not None and at + 1 < len(lines) else ""


def bads_of(raw: Raw, header: Header) -> list[str]:
    """Return the channels listed as bad, whether or not with the suffix of the run."""
    path = raw.find(lambda p: p.name == "BadChannels" and p.parent == raw.main.parent)
    if path is None or not path.stat().st_size:
        return []
    by_name = {name.partition("-")[0]: name for name in header.names}
    by_name.update({name: name for name in header.names})
    listed = safe.read_bytes(path).decode("latin-1").split()
    if unknown := [name for name in listed if name not in by_name]:
        raw.warn(path.name, f"{len(unknown)} names of no channel", "names as in the header")
    return [by_name[name] for name in listed if name in by_name]


def electrodes_of(raw: Raw) -> dict[str, npt.NDArray[np.float64]]:
    """Return positions (3,) of electrodes in m, in CTF's frame of the head, by label.

    Raises
    ------
    UnreadableError
        When a line of the file is not number, label, x, y, z.
    """
    path = raw.find(lambda p: p.suffix == ".eeg" and p.parent == raw.main.parent)
    if path is None or not path.stat().st_size:
        return {}
    found = {}
    for line in safe.read_bytes(path).decode("latin-1").splitlines():
        cells = line.split()
        if not cells:
            continue
        try:
            _, label, x, y, z = cells
            xyz = np.array([float(x), float(y), float(z)]) * CENTIMETRE_M
        except ValueError as error:
            raise refusal(path, repr(line[:60]), "number, label, x, y and z in cm") from error
        found[label.lower()] = xyz
    return found


def refusal(path: Path, found: str, expected: str) -> UnreadableError:
    """Return the refusal of a file that contradicts itself or others."""
    return UnreadableError(path.name, found, expected, "copy the whole folder again")
