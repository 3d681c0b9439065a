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
    assert caught.value.hint == "declare it: --set units.Cz=uV"
    assert caught.value.where == "a.edf: Cz"


def test_the_flag_is_quoted_where_a_shell_would_split_it() -> None:
    with pytest.raises(MissingFactError, match=r"--set 'units\.EEG Fp1=uV'"):
        units.to_si("", "a.edf", "EEG Fp1")
    with pytest.raises(MissingFactError, match=r"--set 'units\.\*=uV'"):
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
