"""Named channels on one clock: their types, their units and the `timeseries` nodes they form."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from dask.delayed import delayed

from neurodata.declare import Declared
from neurodata.errors import MissingFactError, UnreadableError
from neurodata.readers.delimited import text_array
from neurodata.readers.lacking import all_of
from neurodata.safe import Raw
from neurodata.units import Unit, to_si

BLOCK_BYTES = 8 * 2**20
MAX_RATE_HZ = 1e6  # far above any amplifier; a faster clock in a header is damage

# BIDS 1.10 channel types, upper case, and the node that each belongs to
NODES = {
    **dict.fromkeys(("EEG",), "eeg"),
    **dict.fromkeys(("ECOG", "SEEG", "DBS"), "ieeg"),
    **dict.fromkeys(
        ("ECG", "EMG", "EOG", "VEOG", "HEOG", "GSR", "PPG", "RESP", "TEMP", "PUPIL"), "physio"
    ),
}
OTHER_NODE, OTHER_TYPE = "misc", "MISC"
TYPES = frozenset((
    *NODES, OTHER_TYPE, "ACCEL", "ADC", "ANGACCEL", "AUDIO", "DAC", "EKG", "EYEGAZE", "FITERR",
    "GYRO", "HLU", "IEEG", "ITEMP", "JNTANG", "LATENCY", "LFP", "MAGN", "MEGGRADAXIAL",
    "MEGGRADPLANAR", "MEGMAG", "MEGOTHER", "MEGREFGRADAXIAL", "MEGREFGRADPLANAR", "MEGREFMAG",
    "NIRSCWAMPLITUDE", "NIRSCWFLUORESCENSEAMPLITUDE", "NIRSCWHBO", "NIRSCWHBR", "NIRSCWMUA",
    "NIRSCWOPTICALDENSITY", "NONE", "ORNT", "OTHER", "PD", "POS", "REF", "STIM", "SYSCLOCK", "TRIG",
    "VEL",
))  # fmt: skip
"""The types of BIDS 1.10, and what older side-cars have of the kind."""

# Names of the 10-05 system (Oostenveld & Praamstra 2001, doi:10.1016/S1388-2457(00)00527-7),
# the older T3-T6 of the 10-20 system and the earlobes and mastoids A1, A2, M1, M2.
_NAME = (
    r"(?:(?:AF|AFP|AFF|F|P|PPO|PO|POO)(?:Z|10|[1-9])"
    r"|(?:C|FC|FCC|FFC|CP|CCP|CPP)(?:Z|[1-6])"
    r"|(?:FT|FFT|FTT|TP|TTP|TPP)(?:10|[7-9])|T(?:10|[3-9])"
    r"|(?:FP|O|I|OI)[Z12]|NZ|[AM][12])H?"
)
_PLACE = re.compile(rf"{_NAME}(?:-{_NAME})?", re.IGNORECASE)
# Signal types that start a label, https://www.edfplus.info/specs/edftexts.html, as in "EEG Fpz-Cz".
_PREFIX = re.compile(
    r"(EEG|ECOG|SEEG|DBS|ECG|EKG|EMG|VEOG|HEOG|EOG|RESP|TEMP)(?![A-Za-z])", re.IGNORECASE
)


@dataclass(frozen=True)
class Channel:
    """One channel; ``stored * scale + offset`` is in ``units`` (a canonical SI symbol).

    Parameters
    ----------
    name, kind : str
        Name as the file has it, and BIDS type in upper case ("" while it is not known).
    units : str
        Canonical symbol, e.g. ``"V"``.
    scale, offset : float
        In ``units`` a stored unit, and ``units``.
    reference, status : str
        As the file has them; empty where it says nothing.
    """

    name: str
    kind: str
    units: str
    scale: float
    offset: float = 0.0
    reference: str = ""
    status: str = ""

    @property
    def node(self) -> str:
        """Name of the node that holds channels of this type."""
        return NODES.get(self.kind, OTHER_NODE)


def kind_of(label: str) -> str:
    """Return the BIDS type that a label states: by its prefix or as a name of the 10-05 system.

    Examples
    --------
    >>> [kind_of(label) for label in ("EEG Fpz-Cz", "Fp1", "T8-P8", "EMG", "Fc5.", "grip")]
    ['EEG', 'EEG', 'EEG', 'EMG', 'EEG', 'MISC']
    """
    if _PLACE.fullmatch(label.rstrip(".")):
        return "EEG"
    prefix = _PREFIX.match(label)
    if prefix is None:
        return OTHER_TYPE
    return prefix[1].upper().replace("EKG", "ECG")


def unit_of(name: str, stated: str, table: str, declared: Declared, where: str) -> Unit:
    """Return a channel's unit from its declaration, else from the header and the side-car.

    Parameters
    ----------
    stated, table : str
        Spelling in the header and in the side-car table; empty where it says nothing.

    Raises
    ------
    MissingFactError
        When nobody states a known unit, or header and side-car contradict each other.
    """
    spelling = declared.units(name)
    if spelling is not None or not (stated and table):
        return to_si(spelling or stated or table, where, name)
    header, side_car = to_si(stated, where, name), to_si(table, where, name)
    if (header.symbol, header.factor) != (side_car.symbol, side_car.factor):
        flag = f"units.{name}={stated}"
        raise MissingFactError(
            f"{where}: {name}",
            f"the unit {stated!r} in the header and {table!r} in the channels table",
            "the same unit in both",
            f"correct one of them or declare it: --set '{flag}'",
        )
    return header


def described(
    stated: Sequence[Channel],
    table: Mapping[str, Mapping[str, str]],
    raw: Raw,
    declared: Declared,
) -> list[Channel]:
    """Return channels as header, side-car table and declarations describe them together.

    Parameters
    ----------
    stated : sequence of Channel
        As the header has them: ``units`` is its spelling, ``scale`` and ``offset`` are in it.
        A channel whose ``kind`` is stated is known already and kept.
    table : mapping
        Rows of the side-car by channel name; see `neurodata.readers.bids.channel_table`.

    Raises
    ------
    MissingFactError
        When units are missing, unknown or contradicted; all are named at once.
    """
    made = all_of(partial(_described, c, table.get(c.name, {}), raw, declared) for c in stated)
    if untyped := [c.name for c in made if c.kind == OTHER_TYPE and c.name not in table]:
        raw.note("labels", f"no type in {', '.join(untyped)}", "as in 'EEG Fp1' or channels.tsv")
    if strange := [f"{c.name} {c.kind}" for c in made if c.name in table and c.kind not in TYPES]:
        raw.warn("channels.tsv", f"unknown types: {', '.join(strange)}", "those of BIDS 1.10",
                 "correct them, or the channels stay apart from the signal")  # fmt: skip
    return made


def _described(channel: Channel, row: Mapping[str, str], raw: Raw, declared: Declared) -> Channel:
    return channel if channel.kind else in_si(channel, row, raw, declared)


def in_si(channel: Channel, row: Mapping[str, str], raw: Raw, declared: Declared) -> Channel:
    """Return a channel with its unit in SI and what its row of the side-car table adds.

    A type that the header leaves open is that of the row, else what the label says.

    Raises
    ------
    MissingFactError
        When the unit is missing, unknown or contradicted.
    """
    unit = unit_of(channel.name, channel.units, row.get("units", ""), declared, raw.name)
    is_open = channel.kind in ("", OTHER_TYPE)
    kind = (is_open and row.get("type", "").upper()) or channel.kind
    return replace(
        channel,
        kind=kind or kind_of(channel.name),
        units=unit.symbol,
        scale=channel.scale * unit.factor,
        offset=channel.offset * unit.factor,
        reference=channel.reference or row.get("reference", ""),
        status=row.get("status", "") or channel.status,
    )


@dataclass(frozen=True)
class Clock:
    """Samples at one rate, in stretches that each start at a sample and a second.

    Parameters
    ----------
    rate_hz : float
        Samples a second within a stretch.
    n : int
        Number of samples.
    starts : sequence of (int, float)
        First sample and its time in seconds, of each stretch.
    """

    rate_hz: float
    n: int
    starts: Sequence[tuple[int, float]] = ((0, 0.0),)

    @property
    def regular(self) -> bool:
        """Whether no stretch starts half a sample or more off a clock without gaps."""
        first = self.starts[0][1]
        return all(
            abs(start_s - first - sample / self.rate_hz) < 0.5 / self.rate_hz
            for sample, start_s in self.starts
        )

    def at(self, samples: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the times in seconds of samples by number, also of one past the last."""
        first = np.array([sample for sample, _ in self.starts])
        start_s = np.array([seconds for _, seconds in self.starts])
        stretch = np.searchsorted(first, samples, side="right") - 1
        return np.asarray(start_s[stretch] + (np.asarray(samples) - first[stretch]) / self.rate_hz)

    def require(self, where: str) -> None:
        """Refuse an impossible rate, and stretches that overlap.

        Raises
        ------
        UnreadableError
            When the rate is not within 0 to 1 MHz, or a stretch starts before the last one ends.
        """
        if not (math.isfinite(self.rate_hz) and 0 < self.rate_hz <= MAX_RATE_HZ):
            raise UnreadableError(
                where, f"a rate of {self.rate_hz} Hz", "over 0, up to 1e6 Hz", "mend the header"
            )
        for (sample, start_s), (later, later_s) in zip(self.starts, self.starts[1:], strict=False):
            end_s = start_s + (later - sample - 0.5) / self.rate_hz
            if not later_s > end_s:
                raise UnreadableError(
                    where,
                    f"sample {later} at {later_s} s, before the stretch from {start_s} s ends",
                    "times that rise",
                    "export the recording again",
                )


def lazily(
    items: int,
    rows: int,
    columns: int,
    dtype: npt.DTypeLike,
    read: Callable[[int, int], npt.NDArray[np.generic]],
) -> da.Array:
    """Return a (items * rows, columns) dask array whose blocks are read on demand.

    Parameters
    ----------
    items, rows : int
        Number of pieces of the file, e.g. data records, and samples in each.
    read : callable
        Picklable; ``read(first, last)`` gives the samples of these pieces, (time, channel).
    """
    kind = np.dtype(dtype)
    step = max(1, BLOCK_BYTES // max(1, rows * columns * kind.itemsize))
    load = delayed(read, pure=False)
    edges = [*range(0, items, step), items]
    blocks = [
        da.from_delayed(  # type: ignore[no-untyped-call]
            load(first, last), ((last - first) * rows, columns), dtype=kind
        )
        for first, last in itertools.pairwise(edges)
    ]
    joined: da.Array = da.concatenate(blocks, axis=0)  # type: ignore[no-untyped-call]
    return joined


def timeseries(
    signal: da.Array,
    channels: Sequence[Channel],
    clock: Clock,
    positions: tuple[Mapping[str, npt.NDArray[np.float64]], str] | None = None,
) -> xr.Dataset:
    """Return a `timeseries` node in raw form.

    Parameters
    ----------
    signal : dask array
        (time, channel); integers are kept as counts with scale and offset, floats are
        already in the channels' units.
    positions : (mapping, str), optional
        Positions (3,) in m by channel name, and their frame; NaN stands for one not stated.
    """
    units = {channel.units for channel in channels}
    attrs = {"units": units.pop() if len(units) == 1 else "mixed"}
    dims = ("time", "channel")
    if signal.dtype.kind == "f":
        node = xr.Dataset({"signal": (dims, signal, attrs)})
    else:
        node = xr.Dataset(
            {
                "signal_adc": (dims, signal, attrs),
                "scale": ("channel", np.array([c.scale for c in channels], "float64")),
                "offset": ("channel", np.array([c.offset for c in channels], "float64")),
            }
        )
    node = node.assign_coords(_columns(channels))
    by_name, frame = positions or ({}, "")
    xyz = np.array([by_name.get(channel.name, [np.nan] * 3) for channel in channels])
    if np.isfinite(xyz).any():
        attrs = {"units": "m", "frame": frame}
        node = node.assign_coords(axis=("axis", text_array("xyz")))
        node = node.assign_coords(position=(("channel", "axis"), xyz, attrs))
    node.attrs = {"representation": "timeseries", "schema": "timeseries/1"}
    if not clock.regular:
        return node.assign_coords(time=("time", clock.at(np.arange(clock.n)), {"units": "s"}))
    node.attrs.update(start_s=float(clock.starts[0][1]), rate_hz=float(clock.rate_hz), n=clock.n)
    return node


def _columns(channels: Sequence[Channel]) -> dict[str, tuple[str, npt.NDArray[np.object_]]]:
    columns = {
        "channel": [c.name for c in channels],
        "type": [c.kind for c in channels],
        "units": [c.units for c in channels],
        "reference": [c.reference for c in channels],
        "status": [c.status for c in channels],
    }
    return {name: ("channel", text_array(texts)) for name, texts in columns.items() if all(texts)}


def modality_of(channels: Sequence[Channel], raw: Raw, declared: Declared) -> str:
    """Return the modality that is declared, else that the channel types state, else ``"eeg"``.

    The formats that say no more than names and units hold electroencephalograms as a rule;
    where no type confirms it a warning says so.
    """
    kinds = {channel.kind for channel in channels}
    stated = declared.text("modality")
    for name, types in (("ieeg", {"ECOG", "SEEG", "DBS"}), ("eeg", {"EEG"}), ("ecg", {"ECG"})):
        if stated is None and kinds & types:
            return name
    if stated is None:
        raw.warn(
            "modality",
            "no channel type that states it; taken as eeg",
            "types in labels ('EEG Fp1') or in a BIDS channels.tsv",
            "declare it: --set 'modality=eeg|ieeg|...'",
        )
    return stated or "eeg"
