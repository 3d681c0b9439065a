"""CTF magnetoencephalography: a folder ``.ds`` whose header is its ``.res4`` file.

Samples are read in place as the stored integers, and no balancing is changed: it is that of the
stored data. Places are those of the header, in its own frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from neurodata import safe
from neurodata.declare import Declared
from neurodata.readers import bids
from neurodata.readers.channels import OTHER_TYPE, Channel, Clock, in_si
from neurodata.readers.ctf_header import (
    CENTIMETRE_M,
    DATA_HEADER_BYTES,
    MAGIC,
    Header,
    bads_of,
    data_files,
    electrodes_of,
    header_of,
    markers_of,
    refusal,
)
from neurodata.readers.intervals import intervals
from neurodata.readers.lacking import all_of
from neurodata.readers.mne_raw import Places, Source, modality_of, nodes_of, tree_of
from neurodata.safe import Raw

SUFFIXES = (".res4",)
EXTRA = "eeg"

FOLDER = ".ds"
SYSTEM_CLOCK = "SCLK01"
ARBITRARY = "a.u."
# types of sensors: magnetic reference, gradiometer, electrode, converter, trigger, clock, coils
REFERENCE_GRADIOMETER, GRADIOMETER, ELECTRODE, MEG_SENSORS = 1, 5, 9, (0, 1, 5)
TYPES = {
    0: ("MEGREFMAG", "T"), 1: ("MEGREFGRADAXIAL", "T"), 5: ("MEGGRADAXIAL", "T"), 9: ("EEG", "V"),
    10: ("ADC", "V"), 18: ("ADC", "V"), 11: ("TRIG", "1"), 20: ("TRIG", "1"), 13: ("HLU", ""),
    28: ("FITERR", ""), 17: ("SYSCLOCK", ""),
}  # fmt: skip
CTF_DEVICE, CTF_HEAD = 1001, 1004
_DTYPE = np.dtype(">i4")


@dataclass(frozen=True)
class Trials:
    """The data files of a recording: in each, trials of (channel, sample)."""

    files: tuple[tuple[Path, int], ...]
    channels: int
    samples: int

    @property
    def n(self) -> int:
        """Samples of each channel, all trials together."""
        return self.samples * sum(trials for _, trials in self.files)

    def block(self, places: Places, first: int, last: int) -> npt.NDArray[Any]:
        """Return stored samples of some channels, (time, channel)."""
        out = np.empty((last - first, len(places)), "i4")
        begin = 0
        for path, trials in self.files:
            shape = (trials, self.channels, self.samples)
            low, high = max(first, begin), min(last, begin + trials * self.samples)
            if low < high:
                data = safe.memmap(path, _DTYPE, shape, DATA_HEADER_BYTES)
                self._fill(data, out[low - first : high - first], places, low - begin)
            begin += trials * self.samples
        return out

    def _fill(
        self, data: npt.NDArray[Any], out: npt.NDArray[Any], places: Places, first: int
    ) -> None:
        done = 0
        while done < len(out):
            trial, sample = divmod(first + done, self.samples)
            count = min(self.samples - sample, len(out) - done)
            stop = sample + count
            for column, place in enumerate(places):
                out[done : done + count, column] = data[trial, place, sample:stop]
            done += count


def sniff(head: bytes, path: Path) -> bool:
    """Tell a CTF header by its first eight bytes."""
    return MAGIC.match(head) is not None


def members(path: Path, folder: Sequence[Path]) -> tuple[Path, ...]:
    """Return the header, all other files of its folder, and the BIDS side-cars of that folder."""
    inside = [p for p in folder if p != path and p.is_relative_to(path.parent)]
    own = path.parent.name.endswith(FOLDER)
    beside = inside if own else [p for p in inside if p.stem == path.stem]
    return (path, *sorted(beside), *(p for p in bids.sidecars(path, folder) if p not in beside))


def read(raw: Raw, declare: Declared) -> xr.DataTree:
    """Read a CTF recording as nodes by channel type, with its markers and BIDS events.

    Several trials follow each other on a clock that leaves out the pauses between them, and the
    node ``epochs`` says where each begins. Positions are in m in CTF's frames of the device (of
    sensors) and of the head (of electrodes).

    Raises
    ------
    UnreadableError
        When header, data, markers or side-cars contradict each other, or a data file is missing.
    MissingFactError
        When a unit is unknown and not declared.
    """
    header = header_of(raw.main)
    trials = Trials(tuple(data_files(raw, header)), len(header.names), header.samples)
    n = _recorded(raw, header, trials)
    clock = Clock(header.rate_hz, n)
    clock.require(raw.name)
    bids.require_clock(raw, declare, clock.rate_hz, clock.n)
    channels = _channels(raw, header, declare)
    info = {"chs": _chs(raw, header), "line_freq": None}
    nodes = nodes_of(info, channels, clock, Source(n, _DTYPE, trials.block), raw)
    if orders := set(header.table["order"][header.table["sensor"] == GRADIOMETER].tolist()) - {0}:
        raw.note("data", f"gradient compensation of grade {sorted(orders)}, as stored")
    count = -(-n // header.samples)
    if count > 1:
        nodes["epochs"] = _epochs(header, count)
        raw.warn(
            "trials", f"{count} trials: the length of the pauses is not stated", "",
            "times count samples and leave the pauses out; cut windows within the node epochs",
        )  # fmt: skip
    dated = {"start_zone": "unknown"} if header.dated else {}
    root = {"modality": modality_of(channels, raw, declare), **dated, **bids.facts(raw)}
    if header.dated or header.personal:
        raw.note("header", "identifying fields, removed: texts, start date and time (no zone)")
    return tree_of(root, nodes, _annotations(raw, header), n / header.rate_hz, raw)


def _channels(raw: Raw, header: Header, declare: Declared) -> list[Channel]:
    """Return the channels; CTF gives teslas and volts, and codes and positions without a unit."""
    table = bids.channel_table(raw, header.names)
    bads, stated, plain = set(bads_of(raw, header)), list[Channel](), list[str]()
    for name, row in zip(header.names, header.table, strict=True):
        sensor, gain = int(row["sensor"]), float(row["gain"]) * float(row["q_gain"])
        if not np.isfinite(gain) or not gain:
            raise refusal(raw.main, f"a gain of {gain} of {name}", "a number other than 0")
        kind, unit = TYPES.get(sensor, (OTHER_TYPE, ""))
        if sensor == REFERENCE_GRADIOMETER and _is_across(row):
            kind = "MEGREFGRADPLANAR"
        if not unit and not table.get(name, {}).get("units") and declare.units(name) is None:
            unit = ARBITRARY
            plain.append(name)
        status = ("bad" if name in bads else "good") if bads else ""
        stated.append(Channel(name, kind, unit, 1 / gain, status=status))
    if plain:
        raw.note("channels", f"no unit of {', '.join(plain)}; in arbitrary units", "channels.tsv")
    return all_of(partial(in_si, c, table.get(c.name, {}), raw, declare) for c in stated)


def _is_across(row: Any) -> bool:
    """Say whether a gradiometer's coils lie across their axis, not along it."""
    places, normal = row["coil"]["place"], row["coil"]["normal"][0]
    line = places[0] - places[1]
    length = float(np.linalg.norm(line))
    return bool(length > 0 and abs(float(line @ normal)) < 1e-3 * length)


def _chs(raw: Raw, header: Header) -> list[dict[str, Any]]:
    """Return places in m and frames of channels, in the form of MNE's info."""
    electrodes, chs = electrodes_of(raw), []
    for name, row in zip(header.names, header.table, strict=True):
        xyz, frame = np.full(3, np.nan), CTF_HEAD
        if int(row["sensor"]) in MEG_SENSORS:
            xyz, frame = row["coil"]["place"][0] * CENTIMETRE_M, CTF_DEVICE
        elif int(row["sensor"]) == ELECTRODE:
            stated = row["coil"]["place"][0] * CENTIMETRE_M
            xyz = electrodes.get(name.partition("-")[0].lower(), stated)
        chs.append({"ch_name": name, "loc": xyz, "coord_frame": frame})
    return chs


def _recorded(raw: Raw, header: Header, trials: Trials) -> int:
    """Return how many samples were recorded: where the system clock stays 0 there are none."""
    names = [name.partition("-")[0] for name in header.names]
    if SYSTEM_CLOCK not in names:
        return trials.n
    place, n = (names.index(SYSTEM_CLOCK),), trials.n
    step = 2**20
    for first in range((n - 1) // step * step, -1, -step):
        ticks = trials.block(place, first, min(first + step, n))[:, 0]
        last = np.flatnonzero(ticks)
        if len(last):
            recorded = first + int(last[-1]) + 1
            break
    else:
        raw.warn(SYSTEM_CLOCK, "a system clock that never runs", "one that counts", "")
        return n
    if recorded < n:
        raw.warn(
            SYSTEM_CLOCK, f"{n - recorded} samples after the recording's end; left out",
            "a system clock that runs to the end",
        )  # fmt: skip
    return recorded


def _epochs(header: Header, count: int) -> xr.Dataset:
    length_s = header.samples / header.rate_hz
    start_s = np.arange(count, dtype=np.float64) * length_s
    columns: dict[str, npt.NDArray[np.generic]] = {
        "zero_s": start_s + header.before / header.rate_hz
    }
    return intervals(start_s, [length_s] * count, ["trial"] * count, columns)


def _annotations(raw: Raw, header: Header) -> xr.Dataset | None:
    """Return markers as `intervals`; their seconds count from the trigger of their trial."""
    if any(path.name == "bad.segments" and path.stat().st_size for path in raw.files):
        raw.note("bad.segments", "segments marked bad; not read")
    found = markers_of(raw, header)
    if not found:
        return None
    zero_s, length_s = header.before / header.rate_hz, header.samples / header.rate_hz
    start_s = [zero_s + trial * length_s + second for _, trial, second in found]
    return intervals(start_s, [0.0] * len(found), [label or "marker" for label, _, _ in found])
