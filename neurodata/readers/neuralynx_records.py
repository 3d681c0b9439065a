"""Records of Neuralynx files: sizes checked, clocks with every gap found from the time stamps.

Format: https://neuralynx.com/_software/NeuralynxDataFileFormats.pdf. All files have a header of
16 KiB text, which neo parses, and records of one size.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurodata import safe
from neurodata.errors import UnreadableError, need
from neurodata.readers.channels import Clock
from neurodata.readers.neo_raw import EXTRA
from neurodata.safe import Raw
from neurodata.safe_neo import handed

HEADER_BYTES = 2**14
RECORD_SAMPLES = 512
LAST_US = 2**62
SLACK_US = 2.0  # time stamps are whole microseconds
RATE_SLACK = 1e-2  # a clock that is further off its nominal rate is no clock of that rate
_SPIKE = [("at_us", "<u8"), ("channel", "<u4"), ("unit", "<u4"), ("features", "<i4", 8)]
RECORDS = {
    "ncs": np.dtype([("at_us", "<u8"), ("channel", "<u4"), ("rate_hz", "<u4"), ("valid", "<u4"),
                     ("samples", "<i2", RECORD_SAMPLES)]),
    "nse": np.dtype([*_SPIKE, ("samples", "<i2", 32)]),
    "ntt": np.dtype([*_SPIKE, ("samples", "<i2", (32, 4))]),
    "nev": np.dtype([("reserved", "<i2", 3), ("at_us", "<u8"), ("event", "<i2"), ("ttl", "<i2"),
                     ("other", "<i2", 3), ("extra", "<i4", 8), ("text", "S128")]),
}  # fmt: skip
KIND_BY_SIZE = {dtype.itemsize: kind for kind, dtype in RECORDS.items()}
Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Stored:
    """One file: what its records are, how many, and what its header says.

    Parameters
    ----------
    kind : {"ncs", "nse", "ntt", "nev"}
    records : int
    name : str
        Of the channel, or the file's where the header has none.
    rate_hz, scale_v : float or None
        Nominal rate, and volts a step, negative where the input was inverted.
    """

    path: Path
    kind: str
    records: int
    name: str
    rate_hz: float | None
    scale_v: float | None

    def map(self) -> Values:
        """Map the records."""
        return safe.memmap(self.path, RECORDS[self.kind], (self.records,), HEADER_BYTES)


@dataclass(frozen=True)
class Continuous:
    """A file of samples with its clock; times are microseconds of the recorder.

    Parameters
    ----------
    valid : int64 array (record,)
        Samples of each record.
    starts : sequence of (int, int)
        First sample and its time of each stretch without a gap.
    end_us : float
        When its last sample ends.
    digest : str
        Equal for files with the same time stamps.
    """

    file: Stored
    rate_hz: float
    valid: npt.NDArray[np.int64]
    starts: Sequence[tuple[int, int]]
    end_us: float
    digest: str

    def clock(self, origin_us: int) -> Clock:
        """Return the clock in seconds from a time of the recorder."""
        starts = [(sample, (at_us - origin_us) / 1e6) for sample, at_us in self.starts]
        return Clock(self.rate_hz, int(self.valid.sum()), starts)


def stored(raw: Raw, path: Path) -> Stored:
    """Return what a file is, its header parsed and its length checked.

    Raises
    ------
    UnreadableError
        When header or length are impossible.
    """
    where = path.relative_to(raw.root).as_posix()
    size = path.stat().st_size
    if size < HEADER_BYTES:
        raise UnreadableError(
            where, f"{size} bytes", f"a header of {HEADER_BYTES}", "copy it again"
        )
    header = need("neo.rawio.neuralynxrawio.nlxheader", extra=EXTRA).NlxHeader
    text = safe.head(path, HEADER_BYTES)
    with handed(where, {path.name: text}) as folder:
        facts: dict[str, Any] = dict(header(str(folder / path.name), props_only=True))
        names, ids = list(facts["channel_names"]), list(facts["channel_ids"])
        scales = [float(number) for number in facts.get("bit_to_microVolt", [])]
        rate_hz = float(facts["sampling_rate"]) if "sampling_rate" in facts else None
        stated = int(facts["RecordSize"]) if "RecordSize" in facts else 0
    kind = KIND_BY_SIZE.get(stated, path.suffix[1:].lower())
    if kind not in RECORDS or (stated and stated not in KIND_BY_SIZE):
        raise UnreadableError(
            where, f"records of {stated} bytes", f"one of {sorted(KIND_BY_SIZE)}", "copy it again"
        )
    records, rest = divmod(size - HEADER_BYTES, RECORDS[kind].itemsize)
    if rest:
        raise UnreadableError(
            where, f"{rest} bytes after {records} records",
            f"whole records of {RECORDS[kind].itemsize} bytes", "copy the file again",
        )  # fmt: skip
    if kind == "ncs" and len(ids) != 1:
        raise UnreadableError(where, f"{len(ids)} channels", "one channel a file", "copy it again")
    name = str(names[0]) if names and names[0] != "unknown" else path.stem
    sign = -1.0 if facts.get("input_inverted") else 1.0
    scale_v = sign * scales[0] * 1e-6 if scales else None
    for what, value in (("rate", rate_hz), ("scale", scale_v)):
        if value is not None and not (math.isfinite(value) and value):
            raise UnreadableError(where, f"a {what} of {value}", "a finite number", "copy it again")
    return Stored(path, kind, records, name, rate_hz, scale_v)


def continuous(raw: Raw, file: Stored) -> Continuous:
    """Return the clock of a file of samples; a gap begins where time stamps jump.

    Raises
    ------
    UnreadableError
        When records contradict each other or the header, or time stamps overlap.
    """
    where = file.path.relative_to(raw.root).as_posix()
    records = file.map()
    at_us, valid = _times(where, records), records["valid"].astype("int64")
    bad = np.flatnonzero((valid < 1) | (valid > RECORD_SAMPLES))
    if bad.size:
        found = f"record {bad[0]} with {valid[bad[0]]} samples"
        raise UnreadableError(where, found, f"1 to {RECORD_SAMPLES}", "copy the file again")
    rates = np.unique(records["rate_hz"])
    nominal_hz = file.rate_hz or float(rates[0])
    if len(np.unique(records["channel"])) > 1 or len(rates) > 1 or not nominal_hz > 0:
        found = f"records of several channels, or at {rates.tolist()[:4]} Hz"
        raise UnreadableError(where, found, "one channel at one rate", "copy the file again")
    if abs(float(rates[0]) - nominal_hz) > 1:
        found = f"{nominal_hz:g} Hz in the header and {rates[0]} Hz in the records"
        raise UnreadableError(where, found, "one rate", "copy the file again")
    step_us = _step_us(at_us, valid, nominal_hz)
    late_us = np.diff(at_us) - valid[:-1] * step_us
    slack_us = step_us / 2 + SLACK_US
    if (late_us < -slack_us).any():
        place = int((late_us < -slack_us).argmax()) + 1
        found = f"record {place} {-late_us[place - 1]:.0f} us before the one before it ends"
        raise UnreadableError(where, found, "time stamps that rise", "copy the file again")
    firsts = [0, *(np.flatnonzero(late_us > slack_us) + 1).tolist()]
    rate_hz = _rate_hz(where, at_us, valid, firsts, nominal_hz)
    before = np.concatenate([[0], np.cumsum(valid)])
    starts = [(int(before[place]), int(at_us[place])) for place in firsts]
    end_us = float(at_us[-1]) + valid[-1] * 1e6 / rate_hz
    stamps = hashlib.sha256(at_us.tobytes() + valid.tobytes()).hexdigest()
    return Continuous(file, rate_hz, valid, starts, end_us, stamps)


def _times(where: str, records: Values) -> npt.NDArray[np.int64]:
    stamps = np.asarray(records["at_us"])
    if stamps.size and int(stamps.max()) > LAST_US:
        raise UnreadableError(
            where, f"a time of {stamps.max()} us", "microseconds", "copy it again"
        )
    return stamps.astype("int64")


def times_us(raw: Raw, file: Stored) -> npt.NDArray[np.int64]:
    """Return the time stamps of all records of a file, checked to be possible."""
    return _times(file.path.relative_to(raw.root).as_posix(), file.map())


def _step_us(
    at_us: npt.NDArray[np.int64], valid: npt.NDArray[np.int64], nominal_hz: float
) -> float:
    """Return the usual time from sample to sample, the nominal one where time stamps allow it."""
    nominal_us = 1e6 / nominal_hz
    if at_us.size < 2:
        return nominal_us
    usual_us = float(np.median(np.diff(at_us) / valid[:-1]))
    return usual_us if abs(usual_us / nominal_us - 1) < RATE_SLACK else nominal_us


def _rate_hz(
    where: str,
    at_us: npt.NDArray[np.int64],
    valid: npt.NDArray[np.int64],
    firsts: Sequence[int],
    nominal_hz: float,
) -> float:
    """Return the rate over the longest stretch, the nominal one where rounding explains it."""
    ends = [*firsts[1:], at_us.size]
    first, last = max(zip(firsts, ends, strict=True), key=lambda item: item[1] - item[0])
    samples = int(valid[first : last - 1].sum())
    span_us = int(at_us[last - 1] - at_us[first])
    if not samples or abs(span_us - samples * 1e6 / nominal_hz) <= SLACK_US:
        return nominal_hz
    rate_hz = samples * 1e6 / span_us
    if abs(rate_hz / nominal_hz - 1) > RATE_SLACK:
        found = f"time stamps that rise at {rate_hz:g} Hz"
        raise UnreadableError(where, found, f"{nominal_hz:g} Hz, as the header says", "")
    return rate_hz


def samples_of(paths: Sequence[Path], records: int, first: int, last: int) -> npt.NDArray[np.int16]:
    """Return the valid samples of some records of files with the same clock, (time, channel)."""
    columns = []
    for path in paths:
        part = safe.memmap(path, RECORDS["ncs"], (records,), HEADER_BYTES)[first:last]
        columns.append(part["samples"][np.arange(RECORD_SAMPLES) < part["valid"][:, None]])
    return np.stack(columns, axis=1).astype("int16")
