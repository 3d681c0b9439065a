"""The records of AEDAT files: addresses of version 2.0 and packets of version 3.1.

Both are walked once for their sizes and then read in pieces, so that memory is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neurodata import safe
from neurodata.declare import Declared, missing
from neurodata.errors import UnknownFormatError, UnreadableError
from neurodata.safe import Raw

Whole = npt.NDArray[np.int64]
Changes = Callable[[], tuple[Whole, Whole, Whole, Whole]]
"""Gives microseconds, x, y and polarity (1 for rising brightness) of some events, in order."""

HEADER_LIMIT_BYTES = 2**20
BLOCK_EVENTS = 2**20
PACKET_LIMIT = 10_000_000
# Width and height of sensors
CAMERAS = {
    "DVS128": (128, 128), "DAVIS128": (128, 128), "DAVIS208": (208, 192), "DAVIS240": (240, 180),
    "DAVIS346": (346, 260), "DAVIS640": (640, 480),
}  # fmt: skip
NAME = re.compile(r"(DVS128|DAVIS(?:128|208|240|346|640))", re.IGNORECASE)
END_2 = re.compile(r"#\s*End of ASCII Header", re.IGNORECASE)
END_3 = "#!END-HEADER"
PACKET = np.dtype([
    ("type", "<i2"), ("source", "<i2"), ("size", "<i4"), ("ts_offset", "<i4"),
    ("overflow", "<i4"), ("capacity", "<i4"), ("number", "<i4"), ("valid", "<i4"),
])  # fmt: skip
EVENT = np.dtype([("data", "<u4"), ("at", "<i4")])
ADDRESS = np.dtype([("address", ">u4"), ("at", ">i4")])
SPECIAL, POLARITY = 0, 1
INPUTS = {2: "input rising", 3: "input falling", 4: "input pulse"}
RESET = 1


@dataclass(frozen=True)
class Header:
    """What the text at the start of a file states.

    Parameters
    ----------
    version, camera : str
    width, height : int
        Pixels of the sensor.
    start : int
        The byte at which records begin.
    """

    version: str
    camera: str
    width: int
    height: int
    start: int


@dataclass(frozen=True)
class Signals:
    """Signals at the camera's input."""

    at_us: npt.NDArray[np.float64]
    label: list[str]
    code: npt.NDArray[np.int32]


def header_of(raw: Raw, declare: Declared) -> Header:
    """Return what the header states, and the camera that is stated or declared.

    Raises
    ------
    UnknownFormatError
        When the camera or the encoding of packets is another than those known.
    MissingFactError
        When no camera is stated or declared.
    """
    if safe.is_gzip(raw.main):
        raise UnreadableError(raw.name, "gzip data", "plain data", "unpack the file")
    lines, start = _lines(raw.main)
    version = lines[0].removeprefix("#!AER-DAT").strip()[:16]
    if version not in ("2.0", "3.1"):
        return Header(version, "", 0, 0, start)
    key = "# AEChip:" if version == "2.0" else "#Source"
    found = [line.partition(":")[2].strip() for line in lines if line.startswith(key)]
    if version == "3.1":
        _require_raw(raw, lines)
        if len(found) > 1:
            raise UnknownFormatError(raw.name, f"{len(found)} sources", "one", "export one camera")
    stated = declare.text("variables.camera") or (found[-1] if found else None)
    if stated is None:
        fact = "variables.camera=DVS128"
        raise missing(raw.name, "a header that names no camera", "the camera", fact)
    match = NAME.search(stated.rpartition(".")[2])
    if match is None:
        raise UnknownFormatError(
            raw.name, f"the camera {stated[:60]!r}", ", ".join(CAMERAS),
            "declare it: --set variables.camera=DVS128",
        )  # fmt: skip
    camera = match[1].upper()
    return Header(version, camera, *CAMERAS[camera], start)


def _lines(path: Path) -> tuple[list[str], int]:
    """Return the lines that begin with ``#`` and where they end; a line is text up to CR LF."""
    data = safe.head(path, HEADER_LIMIT_BYTES)
    lines, at = list[str](), 0
    while data[at : at + 1] == b"#":
        end = data.find(b"\n", at)
        line = data[at : end if end >= 0 else len(data)]
        printable = all(code >= 32 or code in b"\t\r" for code in line)
        if end < 0 or (lines and not printable):
            break
        lines.append(line.decode("latin-1").rstrip("\r"))
        at = end + 1
        if END_2.match(lines[-1]) or lines[-1].startswith(END_3):
            break
    if not lines:
        raise UnreadableError(path.name, "a first line without its end", "#!AER-DAT", "copy again")
    return lines, at


def _require_raw(raw: Raw, lines: list[str]) -> None:
    if not lines[-1].startswith(END_3):
        raise UnreadableError(raw.name, "a header without its end", END_3, "copy the file again")
    stated = [line.partition(":")[2].strip() for line in lines if line.startswith("#Format")]
    if stated != ["RAW"]:
        raise UnknownFormatError(
            raw.name,
            f"packets of format {', '.join(stated) or 'unstated'}",
            "RAW",
            "save it as RAW",
        )


# version 2.0


def address_events(raw: Raw, header: Header) -> tuple[list[Changes], Signals]:
    """Return the changes of a file of version 2.0, in pieces, and the signals at the input.

    Raises
    ------
    UnreadableError
        When the last record is cut.
    """
    size = raw.main.stat().st_size - header.start
    if size % ADDRESS.itemsize or not size:
        found = f"{size} bytes of records"
        raise UnreadableError(raw.name, found, f"a multiple of {ADDRESS.itemsize}", "copy it again")
    count = size // ADDRESS.itemsize
    parts, wraps, last = list[Changes](), 0, None
    signals, left = list[Whole](), 0
    for first in range(0, count, BLOCK_EVENTS):
        number = min(BLOCK_EVENTS, count - first)
        place = (raw.main, header.start + first * ADDRESS.itemsize, number, header.camera)
        at_us, address, wraps_after = _times_2(*place[:3], wraps, last)
        change, signal = _sorts_2(address, header.camera)
        parts.append(partial(_changes_2, *place, wraps, last))
        signals.append(at_us[signal])
        left += int((~change & ~signal).sum())
        wraps, last = wraps_after, int(at_us[-1] - (wraps_after << 32))
    if left:
        raw.note("records", f"{left} of frames or motion, left out")
    at = np.concatenate(signals)
    return parts, Signals(at.astype("f8"), ["input"] * at.size, np.zeros(at.size, "i4"))


def _times_2(
    path: Path, start: int, count: int, wraps: int, last: int | None
) -> tuple[Whole, npt.NDArray[np.uint32], int]:
    """Return microseconds that go on where 32 bits wrap, and addresses."""
    records = safe.memmap(path, ADDRESS, (count,), start)
    at = records["at"].astype("i8")
    steps = np.diff(at, prepend=at[0] if last is None else last)
    turns = np.cumsum(steps < -(2**31)) + wraps
    return at + (turns << 32), records["address"].astype("u4"), int(turns[-1])


def _sorts_2(
    address: npt.NDArray[np.uint32], camera: str
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which records are changes of brightness, and which signals at the input."""
    if camera == "DVS128":
        signal = (address & 0x8000) != 0
        return ~signal & (address < 0x8000), signal
    frame, special = (address >> 31) != 0, (address & 0x400) != 0
    return ~frame & ~special, ~frame & special


def _changes_2(
    path: Path, start: int, count: int, camera: str, wraps: int, last: int | None
) -> tuple[Whole, Whole, Whole, Whole]:
    at_us, address, _ = _times_2(path, start, count, wraps, last)
    change, _ = _sorts_2(address, camera)
    kept = address[change].astype("i8")
    if camera == "DVS128":
        return at_us[change], (kept >> 1) & 0x7F, (kept >> 8) & 0x7F, 1 - (kept & 1)
    return at_us[change], (kept >> 12) & 0x3FF, (kept >> 22) & 0x1FF, (kept >> 11) & 1


# version 3.1


def packet_events(raw: Raw, header: Header) -> tuple[list[Changes], Signals]:
    """Return the changes of a file of version 3.1, by packets, and the signals at the input.

    Raises
    ------
    UnreadableError
        When a packet is cut or its head impossible.
    """
    size, at = raw.main.stat().st_size, header.start
    parts, left, resets = list[Changes](), 0, 0
    signals: list[tuple[Whole, Whole]] = []
    data = safe.memmap(raw.main, np.dtype("u1"), (size,))
    for _ in range(PACKET_LIMIT):
        if at == size:
            break
        packet = _packet(raw, data[at : at + PACKET.itemsize], at, size)
        start, number = at + PACKET.itemsize, int(packet["number"])
        place = (raw.main, start, number, int(packet["overflow"]))
        if packet["type"] == POLARITY:
            parts.append(partial(_changes_3, *place))
        elif packet["type"] == SPECIAL:
            at_us, word = _words_3(*place)
            kinds = (word >> 1) & 0x7F
            known = np.isin(kinds, list(INPUTS))
            resets += int((kinds == RESET).sum())
            signals.append((at_us[known], kinds[known]))
        else:
            left += number
        at = start + number * int(packet["size"])
    if resets:
        raw.note("special events", f"{resets} resets of the camera's clock")
    if left:
        raw.note("packets", f"{left} events of frames, motion or other kinds, left out")
    none = np.zeros(0, "i8")
    times = np.concatenate([none, *(at_us for at_us, _ in signals)])
    kinds = np.concatenate([none, *(kind for _, kind in signals)])
    label = [INPUTS[int(kind)] for kind in kinds]
    return parts, Signals(times.astype("f8"), label, kinds.astype("i4"))


def _packet(raw: Raw, head: npt.NDArray[np.uint8], at: int, size: int) -> np.void:
    where = f"{raw.name}: byte {at}"
    if head.size < PACKET.itemsize:
        found = f"{head.size} bytes of a packet's head"
        raise UnreadableError(where, found, f"{PACKET.itemsize}", "copy the file again")
    packet: np.void = np.frombuffer(head.tobytes(), PACKET)[0]
    number, item = int(packet["number"]), int(packet["size"])
    ordered = 0 <= packet["valid"] <= number == packet["capacity"] and packet["overflow"] >= 0
    if not ordered or item < 1 or packet["type"] < 0 or packet["source"] < 0:
        raise UnreadableError(where, f"the packet {packet}", "a possible head", "copy it again")
    if packet["type"] in (SPECIAL, POLARITY) and (
        item != EVENT.itemsize or packet["ts_offset"] != 4
    ):
        raise UnreadableError(
            where, f"events of {item} bytes", f"{EVENT.itemsize}", "copy it again"
        )
    stop = at + PACKET.itemsize + number * item
    if stop > size:
        raise UnreadableError(where, f"a packet up to byte {stop}", f"{size} at most", "copy again")
    return packet


def _words_3(path: Path, start: int, count: int, overflow: int) -> tuple[Whole, Whole]:
    """Return microseconds and data of the valid events of a packet."""
    events = safe.memmap(path, EVENT, (count,), start) if count else np.zeros(0, EVENT)
    word, at = events["data"].astype("i8"), events["at"].astype("i8")
    valid = (word & 1) == 1
    if (at < 0).any():
        raise UnreadableError(
            f"{path.name}: byte {start}", f"the time {int(at.min())} us", "0 or more", "copy again"
        )
    return at[valid] + (overflow << 31), word[valid]


def _changes_3(
    path: Path, start: int, count: int, overflow: int
) -> tuple[Whole, Whole, Whole, Whole]:
    at_us, word = _words_3(path, start, count, overflow)
    return at_us, (word >> 17) & 0x7FFF, (word >> 2) & 0x7FFF, (word >> 1) & 1
