"""NWB and SNIRF files that mis-state clocks, units and who is where."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.faults.case import RAW, Case
from benchmarks.faults.files import RATE_HZ, counts, root_of
from tests.readers import synthetic_snirf
from tests.readers.test_nwb import synthetic as optical

LFP = "processing/ecephys/LFP/lfp"
TRACES = "processing/ophys/Fluorescence/synthetic"
Change = Callable[[h5py.File], object]
FACTS = {"modality": "ieeg"}


@functools.cache
def electrical() -> bytes:
    """Return an NWB file, as pynwb writes it, of two electrodes at 250 Hz, and two trials."""
    import pynwb

    file = pynwb.NWBFile(
        session_description="synthetic", identifier="synthetic",
        session_start_time=datetime(2020, 3, 1, 12, tzinfo=UTC),
        file_create_date=datetime(2020, 3, 1, 12, tzinfo=UTC),
    )  # fmt: skip
    device = file.create_device("array")
    group = file.create_electrode_group("shank", "synthetic", "CA1", device)
    for _ in range(2):
        file.add_electrode(group=group, location="CA1")
    region = file.create_electrode_table_region([0, 1], "both")
    series = pynwb.ecephys.ElectricalSeries(
        name="lfp", data=counts(), electrodes=region, starting_time=0.0, rate=RATE_HZ,
        conversion=1e-7,
    )  # fmt: skip
    module = file.create_processing_module("ecephys", "synthetic")
    module.add(pynwb.ecephys.LFP(electrical_series=series))
    for start in (1.0, 3.0):
        file.add_trial(start_time=start, stop_time=start + 0.5)
    path = Path(tempfile.mkdtemp()) / "synthetic.nwb"
    with pynwb.NWBHDF5IO(path, "w") as stream:
        stream.write(file)
    return path.read_bytes()


def changed(content: Callable[[], bytes], change: Change | None, folder: Path) -> Path:
    """Write a file, let a function change it, and return its folder."""
    path = root_of(folder) / "synthetic.nwb"
    path.write_bytes(content())
    if change is not None:
        with h5py.File(path, "r+") as file:
            change(file)
    return folder / RAW


def nwb(name: str, fault: int, story: str, change: Change | None, **more: Any) -> Case:
    """Return a case of the file of electrodes, changed."""
    build = partial(changed, electrical, change)
    return Case(f"nwb: {name}", fault, story, build, "nwb", "synthetic.nwb", declare=FACTS, **more)


def traces(name: str, fault: int, story: str, change: Change | None, **more: Any) -> Case:
    """Return a case of the file of regions, changed."""
    build = partial(changed, optical, change)
    return Case(f"nwb traces: {name}", fault, story, build, "nwb", "synthetic.nwb", **more)


def attribute(path: str, name: str, value: Any) -> Change:
    """Return what sets an attribute that is there."""

    def change(file: h5py.File) -> None:
        file[path].attrs[name] = value

    return change


def dataset(path: str, values: Any) -> Change:
    """Return what puts other values in a dataset's place, its attributes kept."""

    def change(file: h5py.File) -> None:
        attrs = dict(file[path].attrs) if path in file else {}
        if path in file:
            del file[path]
        file[path] = values
        file[path].attrs.update(attrs)

    return change


def truth() -> dict[str, Any]:
    """Return the facts of a right reading of the file of electrodes."""
    return {"signal": counts() * 1e-7, "rate_hz": RATE_HZ, "units": ["V", "V"]}


def cases() -> Iterator[Case]:
    """Yield the cases of this module."""
    right = {**truth(), "event_s": [1.0, 3.0]}
    yield nwb("two electrodes", 0, "LFP of two electrodes", None, truth=right, valid=True)
    values = np.random.default_rng(1).normal(size=(40, 3)).astype("f4")
    right = {"signal": values, "rate_hz": 20.0}
    yield traces("three regions", 0, "traces of three regions", None, truth=right, valid=True)
    yield from _clocks()
    yield from _calibration()
    yield from _regions()
    yield from _events()
    yield from _snirf()


def _clocks() -> Iterator[Case]:
    where = f"{LFP}/starting_time"
    for rate in (0.0, -250.0, np.nan, np.inf, 1e30):
        yield nwb(f"rate {rate:g}", 15, f"a rate of {rate:g} Hz", attribute(where, "rate", rate))
    for rate in (0.25, 250e3):
        change = attribute(where, "rate", rate)
        yield nwb(f"rate {rate:g}", 15, f"an LFP at {rate:g} Hz", change, named="rate")
    yield nwb("start nan", 15, "a start that is no number", dataset(where, np.nan))
    even = np.arange(len(counts())) / RATE_HZ
    for name, times in (
        ("fall", even[::-1].copy()), ("NaN", np.where(even == even[9], np.nan, even)),
        ("infinite", np.where(even == even[9], np.inf, even)),
        ("one less", even[:-1]), ("one back", np.where(even == even[9], even[3], even)),
    ):  # fmt: skip
        yield nwb(f"times {name}", 15, f"timestamps of which some {name}", _stamped(times))
    twice = np.where(even == even[9], even[8], even)
    yield nwb("times twice", 15, "a timestamp twice", _stamped(twice), named="repeated")
    pause = even + np.where(even >= even[900], 60.0, 0.0)
    right = {"signal": counts() * 1e-7, "times_s": pause}
    yield nwb("a pause", 15, "timestamps with a pause of 60 s", _stamped(pause), truth=right,
              valid=True)  # fmt: skip
    drift = even * (1 + 50e-6)
    yield nwb("a clock that drifts", 44, "timestamps of a clock 50 ppm slow", _stamped(drift),
              truth={"signal": counts() * 1e-7, "times_s": drift}, valid=True)  # fmt: skip


def _stamped(times: Any) -> Change:
    def change(file: h5py.File) -> None:
        del file[LFP]["starting_time"]
        file[LFP]["timestamps"] = times
        file[LFP]["timestamps"].attrs.update(unit="seconds", interval=np.int32(1))

    return change


def _calibration() -> Iterator[Case]:
    where = f"{LFP}/data"
    for value in (0.0, np.nan, np.inf, -np.inf):
        change = attribute(where, "conversion", value)
        yield nwb(f"conversion {value:g}", 16, f"a conversion of {value:g}", change)
    for power in (-9, -6, -3, 3, 6, 9):
        change = attribute(where, "conversion", 10.0 ** (power - 7))
        story = f"a conversion off by 10^{power}"
        yield nwb(f"conversion off by 10^{power}", 41, story, change, truth=truth(),
                  named=rf"10\^{power}\b")  # fmt: skip
    for unit in ("", "unknown", "AU", "furlongs"):
        change = attribute(f"{TRACES}/data", "unit", unit)
        yield traces(f"unit {unit!r}", 41, f"traces in {unit!r}", change, named="unit")
    whole = counts().astype("f8")
    whole[5, 0] = np.nan
    yield nwb("a sample NaN", 17, "one sample is NaN", dataset(where, whole),
              truth={"signal": whole * 1e-7}, told=True,
              named="non-finite samples of 2000: 0 1")  # fmt: skip


def _regions() -> Iterator[Case]:
    where = f"{TRACES}/rois"
    data = np.zeros((40, 5), "f4") + np.arange(40)[:, None]
    for name, change in (
        ("five columns for three regions", dataset(f"{TRACES}/data", data)),
        ("a region that is not there", dataset(where, np.array([0, 1, 7]))),
        ("a negative region", dataset(where, np.array([0, 1, -1]))),
        ("two regions for three columns", dataset(where, np.array([0, 1]))),
    ):
        yield traces(name, 19, name, change)
    swapped = np.random.default_rng(1).normal(size=(40, 3)).astype("f4")
    yield traces("turned", 18, "traces stored (region, time)",
                 dataset(f"{TRACES}/data", np.ascontiguousarray(swapped.T)),
                 truth={"signal": swapped}, told=True, named="axes")  # fmt: skip
    yield nwb("an electrode that is not there", 19, "a series of electrodes 0 and 9",
              dataset(f"{LFP}/electrodes", np.array([0, 9])))  # fmt: skip
    yield nwb("an electrode less", 19, "two columns of one electrode",
              dataset(f"{LFP}/electrodes", np.array([0])))  # fmt: skip


def _events() -> Iterator[Case]:
    trials = "intervals/trials"
    for name, starts in (
        ("beyond the end", [1.0, 9.5]), ("in milliseconds", [1000.0, 3000.0]),
        ("NaN", [1.0, np.nan]), ("infinite", [1.0, np.inf]),
    ):  # fmt: skip

        def change(file: h5py.File, starts: list[float] = starts) -> None:
            dataset(f"{trials}/start_time", np.array(starts))(file)
            dataset(f"{trials}/stop_time", np.array(starts) + 0.5)(file)

        yield nwb(f"trials {name}", 44, f"trials {name} of an LFP of 8 s", change,
                  named="event|interval|time")  # fmt: skip
    backwards = dataset(f"{trials}/stop_time", np.array([0.5, 3.5]))
    yield nwb("a trial backwards", 44, "a trial that stops before it starts", backwards)


def _snirf() -> Iterator[Case]:
    data = synthetic_snirf.samples()
    right = {"signal": data, "rate_hz": 10.0}
    yield _probe("whole", 0, "intensities at 10 Hz", {}, truth=right, valid=True)
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        options = {"time_unit": unit, "times": [0.0, 0.1 * factor], "factor": factor}
        story = f"start and step of a clock of 10 Hz in {unit}"
        yield _probe(f"step in {unit}", 42, story, options, truth=right, valid=True)
    for unit, step in (("ms", 0.1), ("us", 0.1), ("s", 100.0)):
        options = {"time_unit": unit, "times": [0.0, step]}
        story = f"a step of {step:g} {unit} where 0.1 s was meant"
        yield _probe(f"step of {step:g} {unit}", 42, story, options, truth=right,
                     named=r"rate|10\^|outside")  # fmt: skip
    even = np.arange(200) / 10
    for name, times in (
        ("fall", even[::-1]), ("NaN", np.where(even == even[9], np.nan, even)),
        ("twice", np.where(even == even[9], even[8], even)), ("too few", even[:-1]),
        ("of no step", [0.0, 0.0]), ("of a negative step", [0.0, -0.1]),
    ):  # fmt: skip
        yield _probe(f"times {name}", 15, f"times that are {name}", {"times": times})
    pause = even + np.where(even >= 10.0, 60.0, 0.0)
    yield _probe("a pause", 15, "times with a pause of 60 s", {"times": pause},
                 truth={"signal": data, "times_s": pause}, valid=True)  # fmt: skip
    for unit in ("", "furlong"):
        yield _probe(f"unit {unit!r}", 41, f"intensities in {unit!r}", {"unit": unit}, named="unit")
    for unit, factor in (("mV", 1e-3), ("uV", 1e-6)):
        truth = {**right, "signal": data * factor}
        story = f"intensities in {unit}"
        yield _probe(f"in {unit}", 41, story, {"unit": unit}, truth=truth, valid=True)


def _probe(name: str, fault: int, story: str, options: dict[str, Any], **more: Any) -> Case:
    build = partial(_write_probe, options)
    return Case(f"snirf: {name}", fault, story, build, "snirf", "synthetic.snirf", **more)


def _write_probe(options: dict[str, Any], folder: Path) -> Path:
    path = root_of(folder) / "synthetic.snirf"
    given = {key: value for key, value in options.items() if key != "factor"}
    synthetic_snirf.write(path, synthetic_snirf.samples(), **given)
    with h5py.File(path, "r+") as file:  # stimuli and auxiliaries in the same unit of time
        file["nirs/aux1/time"][...] *= options.get("factor", 1.0)
        file["nirs/stim1/data"][:, :2] *= options.get("factor", 1.0)
    return folder / RAW
