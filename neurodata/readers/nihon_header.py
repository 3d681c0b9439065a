"""Blocks of a Nihon Kohden ``.EEG`` file and its list of events, compared with the files' sizes.

The format is not published; offsets are those that open readers (nk2edf, MNE-Python) agree on.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neurodata import safe
from neurodata.errors import UnreadableError

DEVICES = (
    b"EEG-1100A V01.00", b"EEG-1100B V01.00", b"EEG-1100C V01.00", b"QI-403A   V01.00",
    b"QI-403A   V02.00", b"EEG-2100  V01.00", b"EEG-2100  V02.00", b"DAE-2100D V01.30",
    b"DAE-2100D V02.00", b"EEG-1200A V01.00",
)  # fmt: skip
EXTENDED, EXTENDED_AT = b"EEG-1200A V01.00", 0x3EE
CONTROL_AT, COUNT_AT, ENTRIES_AT, ENTRY_BYTES = 0x81, 0x91, 0x92, 20
SIGN_AT, HEAD_BYTES = 0x17FE, 0x1800
RATE_MASK = 0x3FFF
WAVE_BYTES, CHANNEL_BYTES = 0x27, 10
LOG_BYTES, LOG_BLOCKS, SUB_BLOCK = 45, 22, 22
# electrodes by code, where no .21E file names them
_FIRST = "FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 FZ CZ PZ E PG1 PG2 A1 A2 T1 T2"
ELECTRODES = (
    *_FIRST.split(), *(f"X{i}" for i in range(1, 12)), *(f"NA{i}" for i in range(1, 6)),
    *(f"DC{i:02}" for i in range(1, 33)), "BN1", "BN2", "Mark1", "Mark2",
    *(f"NA{i}" for i in range(6, 28)), "X12/BP1", "X13/BP2", "X14/BP3", "X15/BP4",
    *(f"X{i}" for i in range(16, 166)), "NA28", "Z",
)  # fmt: skip
_LINE = re.compile(r"(\d{1,4})=(.*)")


@dataclass(frozen=True)
class Block:
    """A stretch of samples: ``samples`` frames of all channels from byte ``start`` on."""

    start: int
    samples: int
    begun: datetime | None


@dataclass(frozen=True)
class Layout:
    """What a file says, after it was compared with its size; ``codes`` are of its electrodes."""

    path: Path
    codes: tuple[int, ...]
    rate_hz: float
    blocks: tuple[Block, ...]

    @property
    def n(self) -> int:
        """Samples of each channel, all blocks together."""
        return sum(block.samples for block in self.blocks)


def is_nihon(head: bytes) -> bool:
    """Say whether the first bytes state a device twice, as all files of a recording do."""
    return head[:16] in DEVICES and head[CONTROL_AT : CONTROL_AT + 16] in DEVICES


def layout_of(path: Path) -> Layout:
    """Return the blocks of a recording.

    Raises
    ------
    UnreadableError
        When a block reaches over the end, or blocks have unlike channels or rates.
    """
    size = path.stat().st_size
    head = safe.head(path, HEAD_BYTES)
    if len(head) < HEAD_BYTES or not is_nihon(head) or head[SIGN_AT] != 1:
        raise refusal(path, 0, f"{len(head)} bytes of a header", "that of a recording")
    if head[:16] == EXTENDED and struct.unpack_from("<I", head, EXTENDED_AT)[0]:
        raise UnreadableError(
            path.name, "an extended block of channels, which is not read", "the older form",
            "export it as EDF",
        )  # fmt: skip
    if head[COUNT_AT] != 1:
        raise refusal(path, COUNT_AT, f"{head[COUNT_AT]} blocks of control", "one")
    (control,) = struct.unpack_from("<I", head, ENTRIES_AT)
    data = safe.memmap(path, np.dtype("u1"), (size,))
    count = int(_bytes(path, data, control + 17, 1)[0])
    waves = [_wave(path, data, control + 18 + ENTRY_BYTES * i) for i in range(count)]
    if not waves:
        raise refusal(path, control, "no block of data", "one or more")
    codes, rate_hz, _ = waves[0]
    for other, rate, _ in waves[1:]:
        if (other, rate) != (codes, rate_hz):
            raise refusal(path, control, "blocks of unlike channels or rates", "like ones")
    blocks = tuple(block for _, _, block in waves)
    for block in blocks:
        stop = block.start + 2 * (len(codes) + 1) * block.samples
        if (
            stop > size
            or not block.samples
            or any(block.start < other.start < stop for other in blocks)
        ):
            found = f"a block of {block.samples} samples up to byte {stop} of {size}"
            raise refusal(path, block.start, found, "blocks inside the file, one after the other")
    return Layout(path, codes, float(rate_hz), blocks)


def _bytes(path: Path, data: npt.NDArray[np.uint8], place: int, count: int) -> bytes:
    if place + count > data.size:
        found = f"a field up to byte {place + count} of {data.size}"
        raise refusal(path, place, found, "fields inside the file")
    return data[place : place + count].tobytes()


def _wave(
    path: Path, data: npt.NDArray[np.uint8], entry: int
) -> tuple[tuple[int, ...], int, Block]:
    """Return codes of channels, rate in Hz and place of one block of data."""
    (place,) = struct.unpack("<I", _bytes(path, data, entry, 4))
    head = _bytes(path, data, place, WAVE_BYTES)
    rate, tenths = struct.unpack_from("<HI", head, 0x1A)
    count = head[0x26]
    rows = _bytes(path, data, place + WAVE_BYTES, CHANNEL_BYTES * count)
    rate_hz = rate & RATE_MASK
    if not count or not rate_hz:
        raise refusal(path, place, f"{count} channels at {rate_hz} Hz", "some, at a rate")
    start = place + WAVE_BYTES + CHANNEL_BYTES * count
    return tuple(rows[::CHANNEL_BYTES]), rate_hz, Block(start, tenths * rate_hz // 10, _date(head))


def _date(head: bytes) -> datetime | None:
    """Return when a block begins, stated in packed decimals to the second."""
    digits = head[0x14:0x1A].hex()
    if not digits.isdigit():
        return None
    year, month, day, hour, minute, second = (int(digits[i : i + 2]) for i in range(0, 12, 2))
    try:
        return datetime(2000 + year, month, day, hour, minute, second)
    except ValueError:
        return None


def electrodes_of(path: Path) -> dict[int, str]:
    """Return the names in a ``.21E`` file by code of electrode."""
    data = safe.read_bytes(path)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    names, section = dict[int, str](), ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line
        elif ("ELECTRODE" in section or "REFERENCE" in section) and (
            match := _LINE.fullmatch(line.strip())
        ):
            names[int(match[1])] = match[2].strip()
    return names


def logged(path: Path) -> Iterator[tuple[float, bytes]]:
    """Yield when events of a ``.LOG`` file happened, in s from the start, and their texts.

    Raises
    ------
    UnreadableError
        When a block reaches over the end, or a time is none.
    """
    data = safe.memmap(path, np.dtype("u1"), (path.stat().st_size,))
    if not is_nihon(_bytes(path, data, 0, COUNT_AT)):
        raise refusal(path, 0, "no list of events", "that of the recording")
    count = _bytes(path, data, COUNT_AT, 1)[0]
    if count > LOG_BLOCKS:
        raise refusal(path, COUNT_AT, f"{count} blocks of events", f"up to {LOG_BLOCKS}")
    for number in range(count):
        rows = _rows(path, data, number)
        if rows is None:
            raise refusal(path, ENTRIES_AT + ENTRY_BYTES * number, "no place of a block", "one")
        more = (_rows(path, data, number + SUB_BLOCK) if count < LOG_BLOCKS else None) or []
        for i, row in enumerate(rows):
            at_s = _clock(path, row[20:26])
            text = row[:20]
            if len(more) == len(rows):
                text += more[i][:20]
                fraction = more[i][24:30]
                at_s += int(fraction) / 1e6 if fraction.isdigit() else 0.0
            yield at_s, text.rstrip(b"\0 ")


def _rows(path: Path, data: npt.NDArray[np.uint8], number: int) -> list[bytes] | None:
    """Return the rows of a block of events, None where the file names no place of it."""
    entry = ENTRIES_AT + ENTRY_BYTES * number
    if entry + 4 > data.size:
        return None
    (place,) = struct.unpack("<I", _bytes(path, data, entry, 4))
    if not place:
        return None
    count = _bytes(path, data, place + 0x12, 1)[0]
    table = _bytes(path, data, place + 0x14, LOG_BYTES * count)
    return [table[LOG_BYTES * i : LOG_BYTES * (i + 1)] for i in range(count)]


def _clock(path: Path, digits: bytes) -> float:
    if not re.fullmatch(rb"\d{6}", digits):
        raise refusal(path, 0, f"an event at {digits!r}", "hours, minutes and seconds")
    return int(digits[:2]) * 3600.0 + int(digits[2:4]) * 60 + int(digits[4:])


def refusal(path: Path, place: int, found: str, expected: str) -> UnreadableError:
    """Return the refusal of a file that contradicts itself at a byte."""
    where = f"{path.name}: byte {place}" if place else path.name
    return UnreadableError(where, found, expected, "copy the file again or export it anew")
