"""One table of unit spellings, the units that training code sees, and plausible sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import pi
from shlex import quote

from neurodata.errors import MissingFactError


@dataclass(frozen=True)
class Unit:
    """A spelling's meaning: ``value * factor`` is in ``symbol``.

    Parameters
    ----------
    symbol : str
        Canonical symbol: SI ("V", "T/m", "m"), or the field's own ("dF/F", "HU", "a.u.").
    factor : float
        What a value in the spelled unit is multiplied by.
    dimension : str
        Physical dimension in words, e.g. ``"voltage"``.
    placeholder : bool
        True where files state this unit without meaning it (NWB's "lumens").
    """

    symbol: str
    factor: float
    dimension: str
    placeholder: bool = False


PREFIXES = {"": 1.0, "k": 1e3, "c": 1e-2, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
WORD_PREFIXES = {
    "": "", "k": "kilo", "c": "centi", "m": "milli", "u": "micro", "n": "nano", "p": "pico",
    "f": "femto",
}  # fmt: skip

# canonical symbol, dimension, allowed prefixes, English words (which may take a prefix word)
_SI = (
    ("V", "voltage", "kmunp", ("volt", "volts")),
    ("A", "current", "munpf", ("ampere", "amperes", "amp", "amps")),
    ("T", "magnetic flux density", "munpf", ("tesla", "teslas")),
    ("m", "length", "cmun", ("meter", "meters", "metre", "metres")),
    ("s", "time", "mun", ("second", "seconds", "sec", "secs")),
    ("Hz", "frequency", "k", ("hertz",)),
    ("rad", "angle", "m", ("radian", "radians")),
    ("N", "force", "km", ("newton", "newtons")),
    ("Pa", "pressure", "k", ("pascal", "pascals")),
    ("ohm", "resistance", "k", ("ohms",)),
    ("S", "conductance", "mun", ("siemens",)),
)

# canonical symbol, factor, dimension, spellings (case matters)
_EXACT: tuple[tuple[str, float, str, tuple[str, ...]], ...] = (
    ("V", 1e-3, "voltage", ("mv",)),
    ("V", 1e-6, "voltage", ("uv",)),
    ("T/m", 1.0, "magnetic field gradient", ("T/m", "T m-1")),
    ("T/m", 1e2, "magnetic field gradient", ("T/cm",)),
    ("T/m", 1e-10, "magnetic field gradient", ("pT/cm",)),
    ("T/m", 1e-13, "magnetic field gradient", ("fT/cm",)),
    ("T/m", 1e-15, "magnetic field gradient", ("fT/m",)),
    ("m/s", 1.0, "speed", ("m/s", "m s-1")),
    ("m/s", 1e-2, "speed", ("cm/s", "cm s-1")),
    ("m/s", 1e-3, "speed", ("mm/s", "mm s-1")),
    ("m/s2", 1.0, "acceleration", ("m/s2", "m/s^2", "m/s²", "m s-2")),
    ("rad/s", 1.0, "angular speed", ("rad/s", "rad s-1")),
    ("rad/s", pi / 180, "angular speed", ("deg/s", "°/s")),
    ("rad", pi / 180, "angle", ("deg", "°")),
    ("ohm", 1.0, "resistance", ("Ohm", "Ω", "\u2126")),
    ("ohm", 1e3, "resistance", ("kOhm", "kΩ", "k\u2126")),
    ("ohm", 1e6, "resistance", ("MOhm", "Mohm", "MΩ", "M\u2126")),
    ("degC", 1.0, "temperature", ("degC", "°C", "oC", "℃", "deg C")),
    ("K", 1.0, "temperature", ("K",)),
    ("Pa", 133.322387415, "pressure", ("mmHg",)),
    ("s", 60.0, "time", ("min",)),
    ("s", 3600.0, "time", ("h",)),
    ("Hz", 1e6, "frequency", ("MHz",)),
    ("m", 1e-10, "length", ("Å", "\u212b")),
    ("HU", 1.0, "radiodensity", ("HU",)),
    ("mol/m3", 1e3, "amount concentration", ("mol/L", "mol/l", "mol/dm3", "mol/dm^3")),
    ("mol/m3", 1.0, "amount concentration", ("mM", "mmol/L", "mmol/l", "mol/m3", "mol/m^3")),
    ("mol/m3", 1e-3, "amount concentration", ("uM", "umol/L", "umol/l", "mmol/m3", "mmol/m^3")),
    ("mol/m3", 1e-6, "amount concentration", ("nM", "nmol/L", "nmol/l", "umol/m3", "umol/m^3")),
    ("mol/m2", 10.0, "amount concentration times length", ("M*cm", "M cm")),
    ("mol/m2", 1.0, "amount concentration times length", ("M*mm", "M mm", "mol/m2", "mol/m^2")),
    ("mol/m2", 1e-2, "amount concentration times length", ("mM*cm", "mM cm")),
    ("mol/m2", 1e-3, "amount concentration times length", ("mM*mm", "mM mm")),
    ("mol/m2", 1e-5, "amount concentration times length", ("uM*cm", "uM cm")),
    ("mol/m2", 1e-6, "amount concentration times length", ("uM*mm", "uM mm")),
    ("Bq/ml", 1.0, "activity concentration", ("Bq/ml", "Bq/mL", "Bq/cc", "BQML")),
    ("Bq/ml", 1e3, "activity concentration", ("kBq/ml", "kBq/mL", "kBq/cc")),
    ("Bq/ml", 1e6, "activity concentration", ("MBq/ml", "MBq/mL")),
    ("g/ml", 1.0, "standardised uptake value", ("g/ml", "g/mL", "GML")),
    ("count", 1.0, "count", ("CNTS",)),
    ("dB", 1.0, "level", ("dB",)),
    ("lx", 1.0, "illuminance", ("lx",)),
)

# canonical symbol, factor, dimension, spellings in lower case (case does not matter)
_WORDS: tuple[tuple[str, float, str, tuple[str, ...]], ...] = (
    ("rad", pi / 180, "angle", ("degree", "degrees", "degrees of visual angle")),
    ("degC", 1.0, "temperature", ("celsius", "degree celsius", "degrees celsius")),
    ("K", 1.0, "temperature", ("kelvin",)),
    ("s", 1e-3, "time", ("msec", "msecs")),
    ("s", 1e-6, "time", ("usec", "usecs")),
    ("s", 60.0, "time", ("minute", "minutes")),
    ("s", 3600.0, "time", ("hour", "hours")),
    ("m", 1e-6, "length", ("micron", "microns")),
    ("m", 1e-10, "length", ("angstrom", "angstroms")),
    ("m/s", 1.0, "speed", ("meters/second", "meters per second", "metres per second")),
    ("HU", 1.0, "radiodensity", ("hounsfield", "hounsfield units")),
    ("lx", 1.0, "illuminance", ("lux",)),
    ("1", 1.0, "none", ("1", "dimensionless", "unitless", "ratio", "z-score", "zscore")),
    ("%", 1.0, "percentage", ("%", "percent")),
    ("dF/F", 1.0, "relative fluorescence", (
        "df/f", "df/f0", "dff", "δf/f", "δf/f0", "∆f/f", "∆f/f0", "deltaf/f",
    )),
    ("dF/F", 1e-2, "relative fluorescence", ("%df/f", "% df/f", "df/f (%)", "%δf/f", "δf/f (%)")),
    ("count", 1.0, "count", (
        "count", "counts", "adc counts", "photon", "photons", "synapse", "synapses",
        "streamline", "streamlines", "spike", "spikes",
    )),
    ("pixel", 1.0, "pixels", ("pixel", "pixels", "px")),
    ("a.u.", 1.0, "arbitrary", (
        "a.u.", "a.u", "au", "arb. unit", "arb. units", "arbitrary unit", "arbitrary units",
        "arbitrary",
    )),
)  # fmt: skip

# NWB's tutorials write "lumens" for fluorescence; nobody measures ROI traces in lumens, so
# the only honest reading is "uncalibrated" (https://github.com/NeurodataWithoutBorders/pynwb).
_PLACEHOLDERS = ("lumen", "lumens")

_MICRO = ("Âµ", "Î¼", "µ", "μ", "\udcb5")  # UTF-8 read as latin-1, U+00B5, U+03BC, stray byte


CHANGES: dict[str, str] = {
    symbol: f"{symbol}/s"
    for symbol in ("V", "A", "T", "T/m", "dF/F", "HU", "degC", "K", "Pa", "%", "a.u.", "count", "1")
} | {"m": "m/s", "m/s": "m/s2", "rad": "rad/s"}
"""The unit of a quantity's change in time, by that of the quantity."""


def _table() -> tuple[dict[str, Unit], dict[str, Unit]]:
    exact: dict[str, Unit] = {}
    words: dict[str, Unit] = {}
    for symbol, dimension, prefixes, names in _SI:
        for prefix in ("", *prefixes):
            unit = Unit(symbol, PREFIXES[prefix], dimension)
            exact[prefix + symbol] = unit
            words.update({WORD_PREFIXES[prefix] + name: unit for name in names})
    for symbol, factor, dimension, spellings in _EXACT:
        exact.update({spelling: Unit(symbol, factor, dimension) for spelling in spellings})
    for symbol, factor, dimension, spellings in _WORDS:
        words.update({spelling: Unit(symbol, factor, dimension) for spelling in spellings})
    changes = {change: Unit(change, 1.0, "change in time") for change in CHANGES.values()}
    exact = {**changes, **exact}
    words.update({name: Unit("a.u.", 1.0, "arbitrary", placeholder=True) for name in _PLACEHOLDERS})
    return exact, words


_BY_SYMBOL, _BY_WORD = _table()

SYMBOLS: frozenset[str] = frozenset(
    unit.symbol for table in (_BY_SYMBOL, _BY_WORD) for unit in table.values()
)
"""The canonical symbols, the only ones a recording holds."""


def to_si(spelling: str | None, where: str, channel: str = "*") -> Unit:
    """Return what a spelled unit means in SI.

    Parameters
    ----------
    spelling : str or None
        As the file has it, e.g. ``"µV"``, ``"fT/cm"``, ``"microvolts"``. Case matters in
        symbols (``mV`` is known, ``MV`` is not) and not in words.
    where : str
        File and variable, for the message.
    channel : str
        Name of the channel, for the flag in the message.

    Raises
    ------
    MissingFactError
        When the spelling is empty or unknown; the hint holds the flag that settles it.

    Examples
    --------
    >>> to_si("uV", "a.edf").symbol, to_si("uV", "a.edf").factor
    ('V', 1e-06)

    References
    ----------
    SI Brochure, 9th edition (BIPM, 2019), tables 2, 4 and 7.
    """
    text = " ".join((spelling or "").replace("\x00", " ").split())
    for micro in _MICRO:
        text = text.replace(micro, "u")
    unit = _BY_SYMBOL.get(text) or _BY_WORD.get(text.lower())
    if unit is None:
        flag = f"units.{channel}=<unit>"
        raise MissingFactError(
            f"{where}: {channel}" if channel != "*" else where,
            f"the unit {spelling!r}" if text else "no unit",
            "one of V, mV, uV, nV, T, fT, T/m, m, um, s, dF/F, count, a.u., 1",
            f"declare it: --set {quote(flag)}",
        )
    return unit


_ELECTRIC = frozenset(
    ("EEG", "IEEG", "ECOG", "SEEG", "DBS", "LFP", "EOG", "VEOG", "HEOG", "ECG", "EKG", "EMG")
)  # BIDS 1.10 channel types


def field_unit(kind: str, symbol: str) -> tuple[str, float]:
    """Return the unit that training code gets, and the factor from the SI symbol to it.

    Parameters
    ----------
    kind : str
        Channel type (``"EEG"``, ``"MEGMAG"``) or modality (``"eeg"``).
    symbol : str
        Canonical symbol of the stored values.

    Examples
    --------
    >>> field_unit("EEG", "V"), field_unit("ROI", "dF/F")
    (('µV', 1000000.0), ('dF/F', 1.0))
    """
    kind = kind.upper()
    if symbol == "V" and kind in _ELECTRIC:
        return "µV", 1e6
    if kind.startswith("MEG") and symbol == "T":
        return "fT", 1e15
    if kind.startswith("MEG") and symbol == "T/m":
        return "fT/cm", 1e13
    return symbol, 1.0


@dataclass(frozen=True)
class Band:
    """Plausible range of a quantity in ``symbol``, both ends included."""

    symbol: str
    low: float
    high: float


# Standard deviation within one second, typical of a recording (median over its channels).
# EEG: 0.5-100 uV at the scalp (Teplan 2002, Meas Sci Rev 2(2):1-11); sleep and seizures more.
# ECoG, sEEG, DBS, LFP: some uV to some mV (Buzsaki, Anastassiou & Koch 2012,
#   doi:10.1038/nrn3241).
# EOG: 50-3500 uV, ECG: up to 5 mV, EMG: up to 10 mV peak (Malmivuo & Plonsey 1995,
#   doi:10.1093/acprof:oso/9780195058239.001.0001).
# MEG: 50-500 fT evoked, some pT of rhythms, below noise of some fT per root Hz, and unshielded
#   disturbances of tens of pT (Hamalainen et al. 1993, doi:10.1103/RevModPhys.65.413);
#   gradients over a baseline of 16.8 mm.
# Haemoglobin: changes of some tenths to some tens of micromol per litre (Scholkmann et al. 2014,
#   doi:10.1016/j.neuroimage.2013.05.004).
# dF/F: GCaMP noise 0.01, transients up to some hundred per cent (Chen et al. 2013,
#   doi:10.1038/nature12354).
SIGNAL_BANDS: dict[str, tuple[Band, ...]] = {
    "EEG": (Band("V", 3e-7, 1e-3),),
    "ECOG": (Band("V", 1e-6, 2e-3),),
    "SEEG": (Band("V", 1e-6, 2e-3),),
    "DBS": (Band("V", 2e-7, 2e-3),),
    "IEEG": (Band("V", 2e-7, 2e-3),),
    "LFP": (Band("V", 1e-6, 2e-3),),
    "EOG": (Band("V", 5e-7, 3e-3),),
    "ECG": (Band("V", 3e-6, 5e-3),),
    "EMG": (Band("V", 2e-7, 5e-3),),
    "MEGMAG": (Band("T", 1e-15, 5e-11),),
    "MEGGRADAXIAL": (Band("T", 1e-15, 5e-11),),
    "MEGGRADPLANAR": (Band("T/m", 5e-14, 2e-9),),
    "ROI": (Band("dF/F", 1e-3, 10.0),),
    **dict.fromkeys(("NIRSCWHBO", "NIRSCWHBR", "NIRSCWHBT"), (Band("mol/m3", 1e-5, 0.1),)),
}

# Samples (frames) a second; own judgement, wide on purpose. Amplifiers run at 100 Hz to 100 kHz,
# imaging at one volume in 20 s (light sheet) to kHz (line scans), fNIRS at 1-250 Hz, fMRI repeats
# in 0.05-30 s.
RATE_BANDS: dict[str, Band] = {
    "calcium": Band("Hz", 0.05, 5e3),
    "eeg": Band("Hz", 20.0, 1e5),
    "ieeg": Band("Hz", 20.0, 1e5),
    "meg": Band("Hz", 20.0, 1e5),
    "ecg": Band("Hz", 20.0, 1e5),
    "nirs": Band("Hz", 0.2, 1e3),
    "fmri": Band("Hz", 1 / 30, 20.0),
}

# Size of a voxel; own judgement, wide on purpose: thick clinical slices down to post-mortem mouse
# MRI, light-sheet overviews down to electron microscopy.
VOXEL_BANDS: dict[str, Band] = {
    "mri": Band("mm", 0.01, 20.0),
    "fmri": Band("mm", 0.05, 20.0),
    "dwi": Band("mm", 0.02, 20.0),
    "ct": Band("mm", 0.005, 20.0),
    "pet": Band("mm", 0.1, 20.0),
    "microscopy": Band("um", 0.001, 100.0),
    "calcium": Band("um", 0.05, 100.0),
}

# Lowest value of a CT image: air is -1000 HU by definition, and programs pad with -1024 to -3024;
# an image without air has probably lost its intercept. Highest value of a PET image: some thousand
# to some hundred thousand Bq/ml in people and animals; own judgement, wide on purpose.
LOWEST_BANDS: dict[str, Band] = {"HU": Band("HU", -4096.0, -200.0)}
HIGHEST_BANDS: dict[str, Band] = {"Bq/ml": Band("Bq/ml", 200.0, 1e8)}


def signal_band(kind: str, symbol: str) -> Band | None:
    """Return the plausible standard deviation of a channel type in a unit, if it is known.

    Examples
    --------
    >>> signal_band("EEG", "V").low
    3e-07
    """
    return next(
        (band for band in SIGNAL_BANDS.get(kind.upper(), ()) if band.symbol == symbol), None
    )


def slips(value: float, band: Band) -> Iterator[int]:
    """Yield the powers of 1000 (as 3, -3, 6, ...) by which a value outside a band is off.

    Examples
    --------
    >>> list(slips(0.02, Band("V", 3e-7, 1e-3)))
    [3]
    """
    for power in (3, -3, 6, -6, 9, -9):
        if value and band.low <= value / 10.0**power <= band.high:
            yield power
