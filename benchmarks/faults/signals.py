"""EDF and BrainVision headers that mis-state a recording: clocks, calibration, names and units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.case import RAW, Case
from benchmarks.faults.files import RATE_HZ, BrainVision, Edf, N, counts

SLIPS = {"nV": -3, "pV": -6, "mV": 3, "V": 6, "kV": 9}
"""Units stated of values in µV, and the power of ten that makes of their size."""
MICRO = {
    "u": b"uV", "U+00B5 in Latin-1": b"\xb5V", "U+00B5 in UTF-8": b"\xc2\xb5V",
    "U+03BC in UTF-8": b"\xce\xbcV",
}  # fmt: skip


def edf(name: str, fault: int, story: str, file: Edf, **more: Any) -> Case:
    """Return a case of one EDF file."""
    return Case(f"edf: {name}", fault, story, file.build, "edf", "synthetic.edf", **more)


def brainvision(name: str, fault: int, story: str, file: BrainVision, **more: Any) -> Case:
    """Return a case of one BrainVision recording."""
    main = "synthetic.vhdr"
    return Case(f"brainvision: {name}", fault, story, file.build, "brainvision", main, **more)


def cases() -> Iterator[Case]:
    """Yield the cases of this module."""
    whole, marked = Edf(), BrainVision(markers=("Stimulus,S 1,501,1,0",))
    yield edf("two channels", 0, "a plain recording", whole, truth=whole.truth(), valid=True)
    truth = {**marked.truth(), "event_s": [2.0]}
    yield brainvision("two channels", 0, "one marker", marked, truth=truth, valid=True)
    yield from _clocks()
    yield from _gaps()
    yield from _calibration()
    yield from _names()
    yield from _units()
    yield from _extremes()
    yield from _events()


# 15


def _clocks() -> Iterator[Case]:
    for text in ("0", "-1", "nan", "inf", "1e-9", "1e30", "abc", ""):
        story = f"each record lasts {text!r} s"
        yield edf(f"record of {text!r}", 15, story, Edf(record_s=text))
    for text in ("0", "-4000", "nan", "inf", "1e-9", "1e30", "abc", ""):
        story = f"a sample every {text!r} µs"
        yield brainvision(f"interval {text!r}", 15, story, BrainVision(interval_us=text))
    for text, rate in (("1000", "0.25 Hz"), ("0.001", "250 kHz")):
        story = f"records of {text} s make it {rate}"
        yield edf(f"absurd rate, {rate}", 15, story, Edf(record_s=text), named="rate")
    for text, rate in (("4000000", "0.25 Hz"), ("4", "250 kHz")):
        story = f"an interval of {text} µs makes it {rate}"
        file = BrainVision(interval_us=text)
        yield brainvision(f"absurd rate, {rate}", 15, story, file, named="rate")


def _onsets(starts: list[float]) -> list[bytes]:
    return [f"+{start:g}\x14\x14".encode() for start in starts]


def _gaps() -> Iterator[Case]:
    whole = Edf()
    records = N // whole.per_record
    even = [float(n) for n in range(records)]
    paused = [start + (60.0 if n >= 3 else 0.0) for n, start in enumerate(even)]
    times = np.repeat(paused, whole.per_record) + np.tile(
        np.arange(whole.per_record) / RATE_HZ, records
    )
    file = replace(whole, reserved="EDF+D", notes=_onsets(paused))
    right = {"signal": whole.volts(), "times_s": times}
    story = "EDF+D: a pause of 60 s between two records"
    yield edf("a pause", 15, story, file, truth=right, valid=True)
    story = "a pause of 60 s in a file that calls itself continuous"
    file = replace(file, reserved="EDF+C")
    yield edf("a pause denied", 15, story, file, truth=right, told=True, named="gap|pause")
    for name, starts in (
        ("back", [*even[:4], 1.5, *even[5:]]),
        ("twice", [*even[:4], *even[3:-1]]),
    ):
        story = f"EDF+D: the clock of the records goes {name}"
        file = replace(whole, reserved="EDF+D", notes=_onsets(starts))
        yield edf(f"records {name}", 15, story, file)


# 16


def _calibration() -> Iterator[Case]:
    ranges: dict[str, dict[str, Any]] = {
        "physical minimum = maximum": {"physical": ("3276.7", "3276.7")},
        "physical range of 0": {"physical": ("0", "0")},
        "physical minimum nan": {"physical": ("nan", "3276.7")},
        "physical maximum inf": {"physical": ("-3276.8", "inf")},
        "physical minimum missing": {"physical": ("", "3276.7")},
        "digital minimum = maximum": {"digital": ("32767", "32767")},
        "digital minimum over maximum": {"digital": ("32767", "-32768")},
        "digital range beyond 16 bits": {"digital": ("-99999", "32767")},
        "digital range is no number": {"digital": ("x", "32767")},
    }
    for name, fields in ranges.items():
        yield edf(name, 16, name, replace(Edf(), **fields))
    inverted = replace(Edf(), physical=("3276.7", "-3276.8"))
    flipped = (inverted.adc * -1.0 - 1.0) * 1e-7
    yield edf("inverted", 16, "physical minimum over maximum turns the signal, as the format says",
              inverted, truth={**inverted.truth(), "signal": flipped}, valid=True)  # fmt: skip
    for text in ("0", "nan", "inf", "-inf", "abc", "1e308"):
        file = BrainVision(resolution=text)
        yield brainvision(f"resolution {text}", 16, f"{text} µV a count", file)


# 19


def _names() -> Iterator[Case]:
    twice = replace(Edf(), labels=("EEG Fp1", "EEG Fp1"))
    yield edf("a label twice", 19, "two unlike channels of one name", twice)
    yield edf("no label", 19, "a channel without a name", replace(Edf(), labels=("EEG Fp1", "")))
    same = replace(BrainVision(), names=("Fp1", "Fp1"))
    yield brainvision("a name twice", 19, "two unlike channels of one name", same)
    empty = replace(BrainVision(), names=("Fp1", ""))
    yield brainvision("no name", 19, "a channel without a name", empty)
    table = "name\ttype\tunits\n{}\n"
    for name, rows in (
        ("a channel more", "Fp1\tEEG\tuV\nCz\tEEG\tuV\nPz\tEEG\tuV"),
        ("a channel less", "Fp1\tEEG\tuV"),
        ("a row twice", "Fp1\tEEG\tuV\nFp1\tEEG\tuV\nCz\tEEG\tuV"),
        ("another channel", "Fp1\tEEG\tuV\nPz\tEEG\tuV"),
        ("an unknown type", "Fp1\tEEG\tuV\nCz\tXYZZY\tuV"),
        ("another unit", "Fp1\tEEG\tuV\nCz\tEEG\tmV"),
    ):
        file = BrainVision()
        cars = (("sub-01_task-rest_channels.tsv", table.format(rows)),)
        build = partial(_as_bids, file, cars)
        story = f"the BIDS table of channels has {name}"
        yield Case(f"bids: {name}", 19, story, build, truth=file.truth(), told=True)


def _as_bids(file: BrainVision, side_cars: tuple[tuple[str, str], ...], folder: Path) -> Path:
    """Write a recording under a name of BIDS, with side-cars."""
    file.build(folder)
    root = folder / RAW
    for old in sorted(root.iterdir()):
        new = root / f"sub-01_task-rest_eeg{old.suffix}"
        data = old.read_bytes().replace(b"synthetic.", b"sub-01_task-rest_eeg.")
        old.unlink()
        new.write_bytes(data)
    for name, text in side_cars:
        (root / name).write_text(text)
    return root


# 41


def _units() -> Iterator[Case]:
    whole, other = Edf(), BrainVision()
    for name, sign in MICRO.items():
        file, story = replace(whole, unit=sign), f"microvolts with the sign {name}"
        yield edf(f"microvolts, {name}", 41, story, file, truth=file.truth(), valid=True)
    for name, text, encoding in (
        ("u", "uV", "utf-8"), ("U+00B5", "\u00b5V", "utf-8"), ("U+03BC", "\u03bcV", "utf-8"),
        ("U+00B5 in Latin-1", "\u00b5V", "latin-1"),
        ("UTF-8 read as Latin-1", "\u00c2\u00b5V", "utf-8"),
    ):  # fmt: skip
        car, story = (
            replace(other, unit=text, encoding=encoding),
            f"microvolts with the sign {name}",
        )
        yield brainvision(f"microvolts, {name}", 41, story, car, truth=car.truth(), valid=True)
    for text, factor in (("nV", 1e-9), ("mV", 1e-3), ("V", 1.0)):
        car = replace(other, unit=text, resolution=f"{1e-7 / factor:g}")
        story = f"the same signal in {text}"
        yield brainvision(f"in {text}", 41, story, car, truth=car.truth(), valid=True)
    millivolts = replace(whole, unit=b"mV", physical=("-3.2768", "3.2767"))
    yield edf("in mV", 41, "the same signal in mV", millivolts, truth=whole.truth(), valid=True)
    nano = replace(whole, unit=b"nV", physical=("-3276800", "3276700"))
    yield edf("in nV", 41, "the same signal in nV", nano, truth=whole.truth(), valid=True)
    yield from _mistaken()


def _mistaken() -> Iterator[Case]:
    whole, other = Edf(), BrainVision()
    story = "an EEG in arbitrary units stays in them"
    plain = {"signal": whole.adc * 0.1, "rate_hz": RATE_HZ, "units": ["a.u.", "a.u."]}
    yield edf("in AU", 41, story, replace(whole, unit=b"AU"), truth=plain, valid=True)
    car = replace(other, unit="AU")
    yield brainvision("in AU", 41, story, car, truth=plain, valid=True)
    for unit in ("", "xx", "MV", "dB/oct"):
        file = replace(whole, unit=unit.encode())
        story = f"the unit {unit!r} of an EEG: no voltage is stated"
        yield edf(f"unit {unit!r}", 41, story, file, named="unit|units")
        if unit:
            car = replace(other, unit=unit)
            yield brainvision(f"unit {unit!r}", 41, story, car, named="unit|units")
    for stated, power in SLIPS.items():
        story = f"values in µV said to be in {stated}: off by 10^{power}"
        named = rf"10\^{power}\b"
        file = replace(whole, unit=stated.encode())
        yield edf(f"µV said to be {stated}", 41, story, file, truth=whole.truth(), named=named)
        car = replace(other, unit=stated)
        yield brainvision(f"µV said to be {stated}", 41, story, car, truth=other.truth(),
                          named=named)  # fmt: skip


# 43


def _extremes() -> Iterator[Case]:
    ends = np.tile(np.array([[-32768, 32767], [32767, -32768], [0, -1], [5, 1]], "i2"), (500, 1))
    file = replace(Edf(), adc=ends)
    yield edf("both ends of 16 bits", 43, "counts at the ends of their range keep their value",
              file, truth=file.truth(), valid=True)  # fmt: skip
    for kind in ("i2", "i4", "f4"):
        form = {"i2": "INT_16", "i4": "INT_32", "f4": "IEEE_FLOAT_32"}[kind]
        top = 2**15 - 1 if kind == "i2" else 2**31 - 1
        values = counts().astype(kind)
        values[10], values[20] = (1e-30, 123456.0) if kind == "f4" else (top, -top - 1)
        other = replace(BrainVision(), adc=values, form=form)
        story = f"{form} with the largest numbers that it holds"
        right = {**other.truth(), "signal": values.astype("f8") * 1e-7}
        yield brainvision(f"ends of {form}", 43, story, other, truth=right, valid=True)
    tiny = replace(Edf(), physical=("-0.00001", "0.00001"), unit=b"V")
    gain = 0.00002 / 65535
    right = {**tiny.truth(), "signal": (tiny.adc + 32768.0) * gain - 0.00001}
    yield edf("a gain of 0.3 nV", 43, "offset and gain far apart keep the precision of float32",
              tiny, truth=right, valid=True)  # fmt: skip


# 44


def _events() -> Iterator[Case]:
    for at in (N + 1, 10 * N, 10**12):
        file = replace(BrainVision(), markers=(f"Stimulus,S 1,{at},1,0",))
        story = f"a marker at sample {at} of {N}"
        yield brainvision(f"marker at {at}", 44, story, file)
    early = replace(BrainVision(), markers=("Stimulus,S 1,-5,1,0",))
    yield brainvision("marker before the start", 44, "a marker at sample -5", early)
    base = [f"+{n}\x14\x14" for n in range(N // int(RATE_HZ))]
    for seconds in ("9", "1e6", "1e300"):
        notes = [*base[:-1], f"{base[-1]}\0+{seconds}\x14late\x14"]
        noted = replace(Edf(), reserved="EDF+C", notes=[note.encode() for note in notes])
        story = f"an annotation at {seconds} s of {N / RATE_HZ:g} s"
        yield edf(f"annotation at {seconds} s", 44, story, noted, named="outside|after the last")
    for name, rows in (
        ("beyond the end", "1.0\t0\ta\n9.5\t0\tb"), ("in milliseconds", "1000\t0\ta\n2000\t0\tb"),
        ("NaN", "1.0\t0\ta\nnan\t0\tb"), ("negative duration", "1.0\t-3\ta"),
        ("no number", "soon\t0\ta"),
    ):  # fmt: skip
        cars = (("sub-01_task-rest_events.tsv", f"onset\tduration\ttrial_type\n{rows}\n"),)
        build = partial(_as_bids, BrainVision(), cars)
        yield Case(f"bids events: {name}", 44, f"an events table with a row {name}", build,
                   named="event|onset|duration")  # fmt: skip
