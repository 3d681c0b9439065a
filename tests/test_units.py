"""Every spelling of a unit that files use, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodata import units
from neurodata.errors import MissingFactError


@pytest.mark.parametrize(
    ("spelling", "symbol", "factor"),
    [
        ("V", "V", 1.0),
        ("mV", "V", 1e-3),
        ("uV", "V", 1e-6),
        ("\u00b5V", "V", 1e-6),
        ("\u03bcV", "V", 1e-6),
        ("\u00c2\u00b5V", "V", 1e-6),
        ("\u00ce\u00bcV", "V", 1e-6),
        (b"\xb5V".decode("latin-1"), "V", 1e-6),
        (b"\xb5V".decode("utf-8", "surrogateescape"), "V", 1e-6),
        (" uV \x00", "V", 1e-6),
        ("microvolts", "V", 1e-6),
        ("Millivolt", "V", 1e-3),
        ("nV", "V", 1e-9),
        ("T", "T", 1.0),
        ("pT", "T", 1e-12),
        ("fT", "T", 1e-15),
        ("T/m", "T/m", 1.0),
        ("fT/cm", "T/m", 1e-13),
        ("mm", "m", 1e-3),
        ("\u00b5m", "m", 1e-6),
        ("microns", "m", 1e-6),
        ("nm", "m", 1e-9),
        ("cm", "m", 1e-2),
        ("s", "s", 1.0),
        ("seconds", "s", 1.0),
        ("ms", "s", 1e-3),
        ("us", "s", 1e-6),
        ("min", "s", 60.0),
        ("Hz", "Hz", 1.0),
        ("kHz", "Hz", 1e3),
        ("deg", "rad", 0.017453292519943295),
        ("rad", "rad", 1.0),
        ("radians", "rad", 1.0),
        ("\u00b0C", "degC", 1.0),
        ("pA", "A", 1e-12),
        ("nA", "A", 1e-9),
        ("mN", "N", 1e-3),
        ("kOhm", "ohm", 1e3),
        ("\u00b5S", "S", 1e-6),
        ("m/s^2", "m/s2", 1.0),
        ("1", "1", 1.0),
        ("%", "%", 1.0),
        ("\u0394F/F", "dF/F", 1.0),
        ("DF/F", "dF/F", 1.0),
        ("dF/F (%)", "dF/F", 0.01),
        ("counts", "count", 1.0),
        ("AU", "a.u.", 1.0),
        ("arbitrary units", "a.u.", 1.0),
        ("HU", "HU", 1.0),
    ],
)
def test_a_spelling_has_its_meaning(spelling: str, symbol: str, factor: float) -> None:
    unit = units.to_si(spelling, "a.edf", "Cz")
    assert (unit.symbol, unit.factor) == (symbol, pytest.approx(factor, rel=1e-12))
    assert not unit.placeholder


def test_lumens_are_known_to_be_a_placeholder() -> None:
    unit = units.to_si("lumens", "a.nwb")
    assert unit == units.Unit("a.u.", 1.0, "arbitrary", placeholder=True)


@pytest.mark.parametrize(
    "spelling", ["", "  ", None, "\x00", "MV", "UV", "g", "M", "unknown", "n/a", "\ufffdV", "VV"]
)
def test_what_is_not_stated_is_refused_with_the_flag_that_settles_it(spelling: str | None) -> None:
    with pytest.raises(MissingFactError) as caught:
        units.to_si(spelling, "a.edf", "Cz")
    assert caught.value.hint == "declare it: --set 'units.Cz=<unit>'"
    assert caught.value.where == "a.edf: Cz"


def test_the_flag_is_quoted_where_a_shell_would_split_it() -> None:
    with pytest.raises(MissingFactError, match=r"--set 'units\.EEG Fp1=<unit>'"):
        units.to_si("", "a.edf", "EEG Fp1")
    with pytest.raises(MissingFactError, match=r"--set 'units\.\*=<unit>'"):
        units.to_si("", "a.edf")


def test_every_canonical_symbol_stands_for_itself() -> None:
    for symbol in units.SYMBOLS:
        unit = units.to_si(symbol, "a")
        assert (unit.symbol, unit.factor) == (symbol, 1.0)


@given(st.text(max_size=8))
def test_any_text_has_a_known_unit_or_is_refused(spelling: str) -> None:
    try:
        unit = units.to_si(spelling, "a")
    except MissingFactError:
        return
    assert unit.symbol in units.SYMBOLS
    assert unit.factor > 0


@pytest.mark.parametrize(
    ("kind", "symbol", "expected"),
    [
        ("EEG", "V", ("\u00b5V", 1e6)),
        ("eeg", "V", ("\u00b5V", 1e6)),
        ("ieeg", "V", ("\u00b5V", 1e6)),
        ("DBS", "V", ("\u00b5V", 1e6)),
        ("MEGMAG", "T", ("fT", 1e15)),
        ("MEGGRADPLANAR", "T/m", ("fT/cm", 1e13)),
        ("meg", "T/m", ("fT/cm", 1e13)),
        ("ROI", "dF/F", ("dF/F", 1.0)),
        ("MISC", "V", ("V", 1.0)),
        ("EEG", "a.u.", ("a.u.", 1.0)),
    ],
)
def test_training_gets_the_unit_of_the_field(
    kind: str, symbol: str, expected: tuple[str, float]
) -> None:
    assert units.field_unit(kind, symbol) == expected


def test_the_factor_to_the_field_unit_undoes_the_one_to_si() -> None:
    for kind, symbol, spelling in (
        ("EEG", "V", "uV"),
        ("MEGMAG", "T", "fT"),
        ("MEGGRADPLANAR", "T/m", "fT/cm"),
    ):
        factor = units.field_unit(kind, symbol)[1]
        assert factor * units.to_si(spelling, "a").factor == pytest.approx(1, rel=1e-12)


# Median standard deviations within a second of real recordings, read with MNE 1.13:
# scalp EEG of pyEDFlib, EEGLAB and PhysioNet, ECoG and sEEG of mne-misc, Neuromag MEG of eeglabio.
MEASURED = [
    ("EEG", "V", 9.9e-6),
    ("EEG", "V", 1.6e-5),
    ("EEG", "V", 4.1e-5),
    ("EEG", "V", 8.5e-6),
    ("ECOG", "V", 1.9e-5),
    ("SEEG", "V", 2.2e-5),
    ("MEGMAG", "T", 3.2e-13),
    ("MEGMAG", "T", 1.1e-13),
    ("MEGGRADPLANAR", "T/m", 5.5e-12),
]


@pytest.mark.parametrize(("kind", "symbol", "size"), MEASURED)
def test_real_sizes_are_plausible_and_their_slips_are_not(
    kind: str, symbol: str, size: float
) -> None:
    band = units.signal_band(kind, symbol)
    assert band is not None
    assert band.low <= size <= band.high
    for power in (3, 6, 9, -3, -6, -9):
        wrong = size * 10.0**power
        assert not band.low <= wrong <= band.high
        assert power in list(units.slips(wrong, band))


# From the SI Brochure (9th edition) and, for mmHg, NIST SP 811 appendix B.8: value of one unit.
DEFINED = [
    ("T m-1", "T/m", 1.0), ("T/cm", "T/m", 100.0), ("pT/cm", "T/m", 1e-10), ("fT/m", "T/m", 1e-15),
    ("m s-1", "m/s", 1.0), ("cm/s", "m/s", 0.01), ("mm/s", "m/s", 0.001),
    ("meters per second", "m/s", 1.0), ("m s-2", "m/s2", 1.0), ("rad/s", "rad/s", 1.0),
    ("deg/s", "rad/s", 0.017453292519943295), ("degrees", "rad", 0.017453292519943295),
    ("mrad", "rad", 0.001), ("mv", "V", 0.001), ("uv", "V", 1e-6), ("kV", "V", 1000.0),
    ("pV", "V", 1e-12), ("\u2126", "ohm", 1.0), ("\u03a9", "ohm", 1.0), ("k\u03a9", "ohm", 1e3),
    ("M\u2126", "ohm", 1e6), ("kiloohms", "ohm", 1e3), ("degC", "degC", 1.0), ("K", "K", 1.0),
    ("kelvin", "K", 1.0), ("degrees celsius", "degC", 1.0), ("mmHg", "Pa", 133.322387415),
    ("kPa", "Pa", 1e3), ("kN", "N", 1e3), ("h", "s", 3600.0), ("hours", "s", 3600.0),
    ("minutes", "s", 60.0), ("msec", "s", 1e-3), ("usec", "s", 1e-6), ("ns", "s", 1e-9),
    ("MHz", "Hz", 1e6), ("\u212b", "m", 1e-10), ("angstroms", "m", 1e-10), ("nT", "T", 1e-9),
    ("femtoamperes", "A", 1e-15), ("centimetres", "m", 0.01), ("mS", "S", 1e-3),
    ("mol/L", "mol/m3", 1e3), ("mM", "mol/m3", 1.0), ("uM", "mol/m3", 1e-3),
    ("nM", "mol/m3", 1e-6), ("M cm", "mol/m2", 10.0), ("M mm", "mol/m2", 1.0),
    ("mM cm", "mol/m2", 0.01), ("mM mm", "mol/m2", 1e-3), ("uM cm", "mol/m2", 1e-5),
    ("uM mm", "mol/m2", 1e-6), ("BQML", "Bq/ml", 1.0), ("kBq/ml", "Bq/ml", 1e3),
    ("MBq/mL", "Bq/ml", 1e6), ("GML", "g/ml", 1.0), ("CNTS", "count", 1.0), ("dB", "dB", 1.0),
    ("lux", "lx", 1.0), ("Hounsfield units", "HU", 1.0), ("z-score", "1", 1.0),
    ("percent", "%", 1.0), ("%dF/F", "dF/F", 0.01), ("px", "pixel", 1.0), ("V/s", "V/s", 1.0),
]  # fmt: skip


@pytest.mark.parametrize(("spelling", "symbol", "value"), DEFINED)
def test_units_are_worth_what_the_standards_define(
    spelling: str, symbol: str, value: float
) -> None:
    unit = units.to_si(spelling, "a")
    assert (unit.symbol, unit.placeholder) == (symbol, False)
    assert unit.factor == pytest.approx(value, rel=1e-12)


def test_what_is_missing_is_told_apart_from_what_is_unknown() -> None:
    with pytest.raises(MissingFactError) as nothing:
        units.to_si(" \x00", "a.edf")
    with pytest.raises(MissingFactError) as strange:
        units.to_si("furlong", "a.edf")
    assert (nothing.value.where, nothing.value.found) == ("a.edf", "no unit")
    assert strange.value.found == "the unit 'furlong'"


# Sizes and rates as in the works that neurodata/units.py cites, stated here a second time:
# who changes what is plausible changes which recordings are warned of.
def test_the_limits_of_what_is_plausible() -> None:
    def ends(bands: dict[str, units.Band]) -> dict[str, tuple[str, float, float]]:
        return {kind: (band.symbol, band.low, band.high) for kind, band in bands.items()}

    assert ends({kind: band for kind, (band,) in units.SIGNAL_BANDS.items()}) == {
        "EEG": ("V", 0.3e-6, 1e-3), "ECOG": ("V", 1e-6, 2e-3), "SEEG": ("V", 1e-6, 2e-3),
        "DBS": ("V", 0.2e-6, 2e-3), "LFP": ("V", 1e-6, 2e-3), "EOG": ("V", 0.5e-6, 3e-3),
        "ECG": ("V", 3e-6, 5e-3), "EMG": ("V", 0.2e-6, 5e-3), "MEGMAG": ("T", 1e-15, 50e-12),
        "MEGGRADAXIAL": ("T", 1e-15, 50e-12), "MEGGRADPLANAR": ("T/m", 5e-14, 2e-9),
        "IEEG": ("V", 0.2e-6, 2e-3), "ROI": ("dF/F", 0.001, 10.0),
        **dict.fromkeys(("NIRSCWHBO", "NIRSCWHBR", "NIRSCWHBT"), ("mol/m3", 1e-5, 0.1)),
    }  # fmt: skip
    amplifier = ("Hz", 20.0, 100_000.0)
    assert ends(units.RATE_BANDS) == {
        "calcium": ("Hz", 0.05, 5000.0), "eeg": amplifier, "ieeg": amplifier, "meg": amplifier,
        "ecg": amplifier, "nirs": ("Hz", 0.2, 1000.0), "fmri": ("Hz", 1 / 30, 20.0),
    }  # fmt: skip
    assert ends(units.VOXEL_BANDS) == {
        "mri": ("mm", 0.01, 20.0), "fmri": ("mm", 0.05, 20.0), "dwi": ("mm", 0.02, 20.0),
        "ct": ("mm", 0.005, 20.0), "pet": ("mm", 0.1, 20.0),
        "microscopy": ("um", 0.001, 100.0), "calcium": ("um", 0.05, 100.0),
    }  # fmt: skip
    assert ends(units.LOWEST_BANDS) == {"HU": ("HU", -4096.0, -200.0)}
    assert ends(units.HIGHEST_BANDS) == {"Bq/ml": ("Bq/ml", 200.0, 1e8)}


def test_a_band_holds_for_its_own_unit_and_type_only() -> None:
    assert units.signal_band("eeg", "V") == units.SIGNAL_BANDS["EEG"][0]
    assert units.signal_band("EEG", "a.u.") is None
    assert units.signal_band("MISC", "V") is None


def test_slips_are_powers_of_1000_and_both_ends_of_a_band_belong_to_it() -> None:
    band = units.Band("V", 1.0, 2.0)
    assert list(units.slips(0.0, band)) == []
    from_zero = units.Band("V", 0.0, 2.0)
    assert list(units.slips(1.0, from_zero)) == [3, 6, 9]
    assert list(units.slips(0.0, from_zero)) == []
    for power in (3, -3, 6, -6, 9, -9):
        assert list(units.slips(10.0**power, band)) == [power]
        assert list(units.slips(2.0 * 10.0**power, band)) == [power]
        assert list(units.slips(2.1 * 10.0**power, band)) == []


def test_only_magnetic_types_are_shown_in_femtotesla() -> None:
    assert units.field_unit("EEG", "T") == ("T", 1.0)
    assert units.field_unit("EEG", "T/m") == ("T/m", 1.0)
    assert units.field_unit("MEGMAG", "V") == ("V", 1.0)
