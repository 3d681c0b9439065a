"""Names that a field agrees on: neurons of C. elegans, electrodes of the 10-05 system.

References
----------
White, Southgate, Thomson & Brenner 1986, doi:10.1098/rstb.1986.0056, and Cook et al. 2019,
doi:10.1038/s41586-019-1352-7: the 302 neurons of the hermaphrodite, in 118 classes. Spelled as
WormBase does, so without zeros in front of numbers (VA1; many tables have VA01).

Oostenveld & Praamstra 2001, doi:10.1016/S1388-2457(00)00527-7: the five percent system. T3, T4,
T5 and T6 of the 10-20 system are its T7, T8, P7 and P8 (Klem et al. 1999, IFCN guideline).
"""

from __future__ import annotations

import re
from functools import cache

_SIDED = (
    "ADA ADE ADF ADL AFD AIA AIB AIM AIN AIY AIZ ALM ALN ASE ASG ASH ASI ASJ ASK AUA AVA AVB AVD "
    "AVE AVF AVH AVJ AVK AWA AWB AWC BAG BDU CAN FLP HSN LUA OLL PDE PHA PHB PHC PLM PLN PVC PVD "
    "PVN PVP PVQ PVW RIA RIB RIC RIF RIG RIM RIP RIV RMF RMG RMH SDQ URB URX I1 I2 M2 M3 MC NSM"
)
_SINGLE = (
    "ALA AQR AVG AVL AVM DVA DVB DVC PDA PDB PQR PVM PVR PVT RID RIH RIR RIS "
    "I3 I4 I5 I6 M1 M4 M5 MI"
)
_NUMBERED = {"AS": 11, "DA": 9, "DB": 7, "DD": 6, "VA": 12, "VB": 11, "VC": 6, "VD": 13}
_QUADRANTS = "CEP OLQ SAA SIA SIB SMB SMD URA URY"
_SEXTANTS = "IL1 IL2 RMD"
_OTHERS = {"RME": ("D", "L", "R", "V"), "SAB": ("D", "VL", "VR")}


@cache
def neurons() -> dict[str, str]:
    """Return the class of each neuron of the hermaphrodite, by the neuron's name.

    Examples
    --------
    >>> len(neurons()), len(set(neurons().values())), neurons()["VA12"]
    (302, 118, 'VA')
    """
    ends: dict[str, tuple[str, ...]] = {}
    ends |= dict.fromkeys(_SIDED.split(), ("L", "R"))
    ends |= dict.fromkeys(_SINGLE.split(), ("",))
    ends |= dict.fromkeys(_QUADRANTS.split(), ("DL", "DR", "VL", "VR"))
    ends |= dict.fromkeys(_SEXTANTS.split(), ("L", "R", "DL", "DR", "VL", "VR"))
    ends |= {name: tuple(str(n + 1) for n in range(most)) for name, most in _NUMBERED.items()}
    ends |= _OTHERS
    return {name + end: name for name, known in ends.items() for end in known}


_ROWS = (
    "AFp AFp", "AF AF", "AFF AFF", "F F", "FFT FFC", "FT FC", "FTT FCC", "T C", "TTP CCP", "TP CP",
    "TPP CPP", "P P", "PPO PPO", "PO PO", "POO POO",
)  # fmt: skip
_SHORT_ROWS = ("Fp", "O", "OI", "I")
_REFERENCES = ("A1", "A2", "M1", "M2")
_OLD = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}


@cache
def electrodes() -> dict[str, str]:
    """Return the name of each electrode of the 10-05 system, by that name and by its older one.

    Ears (A1, A2) and mastoids (M1, M2) count as electrodes too.

    Examples
    --------
    >>> len(set(electrodes().values())), electrodes()["T3"], electrodes()["CPP5h"]
    (340, 'T7', 'CPP5h')
    """
    names = ["Nz", *_REFERENCES]
    for row in _ROWS:
        outer, inner = row.split()
        for half in ("", "h"):
            names += [f"{outer}{n}{half}" for n in (9, 7, 8, 10)]
            names += [f"{inner}{n}{half}" for n in (5, 3, 1, 2, 4, 6)]
        names.append(f"{inner}z")
    for row in _SHORT_ROWS:
        names += [f"{row}{end}" for end in ("1", "z", "2", "1h", "2h")]
    return {name: name for name in names} | _OLD


_LABELLED = re.compile(r"(?:EEG|POL)[ _:-]+(?P<name>.+)", re.IGNORECASE)
_REFERRED = re.compile(
    r"(?P<name>.+?)[ _-]+(?:REF\d?|LE|AR|AVG|CAR|CLE|A1|A2|M1|M2|A1A2|M1M2)", re.IGNORECASE
)


def plain_electrode(name: str) -> str:
    """Return an electrode's name without what recorders write around it.

    Examples
    --------
    >>> [plain_electrode(name) for name in ("EEG Fp1-Ref", "Fc5.", "POL T3", "C3-A2", "Fpz-Cz")]
    ['Fp1', 'Fc5', 'T3', 'C3', 'Fpz-Cz']
    """
    name = name.strip().rstrip(".")
    if found := _LABELLED.fullmatch(name):
        name = found["name"].strip()
    if found := _REFERRED.fullmatch(name):
        name = found["name"]
    return name


def plain_neuron(name: str) -> str:
    """Return a neuron's name without zeros in front of its number.

    Examples
    --------
    >>> plain_neuron("VA01"), plain_neuron("DD10"), plain_neuron("IL1DL")
    ('VA1', 'DD10', 'IL1DL')
    """
    return re.sub(r"(?<=[A-Za-z])0+(?=[1-9]\d*$)", "", name.strip())
