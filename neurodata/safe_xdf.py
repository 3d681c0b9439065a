"""The door for what pyxdf parses: time stamps and clock offsets, never the raw file.

Pyxdf skips what it cannot read and parses XML with entities. It is handed a stream of bytes made
here, with plain headers, the checked time stamps and the clock offsets of each stream, without
data; what it gives back are the time stamps of one common clock.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from neurodata.errors import UnreadableError
from neurodata.safe_scratch import failing

_SAMPLE = np.dtype([("size", "u1"), ("stamp", "<f8"), ("value", "i1")])


@dataclass(frozen=True)
class Stamps:
    """Times of one stream by its own clock.

    Parameters
    ----------
    rate_hz : float
        As stated; 0 for one without a rate.
    at_s : float64 array (sample,)
    offset_at_s, offset_s : float64 array (offset,)
        When offsets to the recorder's clock were measured, and what they were.
    drops : bool
        Whether the stream says that it may drop samples.
    """

    rate_hz: float
    at_s: npt.NDArray[np.float64]
    offset_at_s: npt.NDArray[np.float64]
    offset_s: npt.NDArray[np.float64]
    drops: bool = False


@dataclass(frozen=True)
class Synced:
    """Times of one stream by the recorder's clock.

    Parameters
    ----------
    at_s : float64 array (sample,)
        Evenly spaced within each segment of a stream with a rate.
    segments : tuple of (int, int)
        First and last sample of each stretch without a break.
    rate_hz : float
        As measured; 0 without one.
    """

    at_s: npt.NDArray[np.float64]
    segments: tuple[tuple[int, int], ...]
    rate_hz: float


class _Listener(logging.Handler):
    """Keeps what pyxdf warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.said.append(record.getMessage())


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Yield the list of what pyxdf warns of within the block, which it does not print."""
    logger, listener = logging.getLogger("pyxdf.pyxdf"), _Listener()
    level, passes = logger.level, logger.propagate
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    logger.addHandler(listener)
    try:
        yield listener.said
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
        logger.propagate = passes


def synced(
    pyxdf: Any, where: str, streams: Mapping[int, Stamps]
) -> tuple[dict[int, Synced], list[str]]:
    """Return the time stamps of streams with their clock offsets applied and jitter removed.

    Parameters
    ----------
    pyxdf : module
    where : str
        The recording, for messages.

    Returns
    -------
    times, said : dict of int to Synced, list of str
        By stream, and what pyxdf warns of.

    Raises
    ------
    UnreadableError
        When pyxdf fails, or gives back other samples.
    """
    parts = [b"XDF:", _chunk(1, b"<?xml version='1.0'?><info><version>1.0</version></info>")]
    for number, stamps in streams.items():
        parts.append(_chunk(2, struct.pack("<I", number) + _header(stamps)))
    for number, stamps in streams.items():
        parts += [
            _chunk(4, struct.pack("<Idd", number, at_s, offset_s))
            for at_s, offset_s in zip(stamps.offset_at_s, stamps.offset_s, strict=True)
        ]
        parts.append(_chunk(3, struct.pack("<I", number) + _samples(stamps.at_s)))
    with _heard() as said, failing("pyxdf", where):
        found, _ = pyxdf.load_xdf(BytesIO(b"".join(parts)))
    made = {int(stream["info"]["stream_id"]): _synced(stream) for stream in found}
    for number, stamps in streams.items():
        if number not in made or len(made[number].at_s) != len(stamps.at_s):
            found_times = f"other times of stream {number} than its samples"
            raise UnreadableError(where, found_times, "as many", "export the recording again")
        if not np.isfinite(made[number].at_s).all():
            what = f"times of stream {number} that are none"
            raise UnreadableError(where, what, "finite times and offsets", "record it again")
    return made, said


def _synced(stream: Any) -> Synced:
    segments = tuple((int(a), int(b)) for a, b in stream["info"]["segments"])
    at_s = np.asarray(stream["time_stamps"], "float64")
    return Synced(at_s, segments, float(stream["info"]["effective_srate"]))


def _chunk(tag: int, content: bytes) -> bytes:
    return struct.pack("<BIH", 4, len(content) + 2, tag) + content


def _header(stamps: Stamps) -> bytes:
    drops = "<synchronization><can_drop_samples>true</can_drop_samples></synchronization>"
    desc = f"<desc>{drops}</desc>" if stamps.drops else "<desc/>"
    return (
        "<?xml version='1.0'?><info><name>stream</name><type>data</type><channel_count>1"
        f"</channel_count><nominal_srate>{stamps.rate_hz!r}</nominal_srate><channel_format>int8"
        f"</channel_format>{desc}</info>"
    ).encode()


def _samples(at_s: npt.NDArray[np.float64]) -> bytes:
    rows = np.zeros(len(at_s), _SAMPLE)
    rows["size"], rows["stamp"] = 8, at_s
    return struct.pack("<BI", 4, len(at_s)) + rows.tobytes()
