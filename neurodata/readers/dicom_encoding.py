"""How strongly, and along which direction, a DICOM image was weighted by diffusion.

What the standard's elements do not state is taken from those of Siemens and GE. Directions are
along the patient's axes (x to the left, y to the back, z up), but those of GE along the axes of
the scan: frequency, phase and slice.

References
----------
DICOM PS3.3, C.8.13.5.9, MR Diffusion Macro. Siemens: (0019,100C) and (0019,100E), or the CSA
header. GE: (0043,1039) and (0019,10BB) to (0019,10BD), whose axes follow (0018,1312).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from neurodata.readers.dicom_header import Elements, private_tags
from neurodata.readers.dicom_vendor import SIEMENS_CSA, SIEMENS_MR, csa_numbers

IMAGE_TYPE = 0x00080008
PHASE_AXIS, DIRECTIONALITY, B_VALUE, GRADIENT = 0x00181312, 0x00189075, 0x00189087, 0x00189089
MACRO, DIRECTIONS = 0x00189117, 0x00189076  # sequences of the multi-frame form
GE_ACQUISITION, GE_PARAMETERS = "GEMS_ACQU_01", "GEMS_PARM_01"
GE_OFFSET, GE_LARGEST = 1e9, 1e5  # GE marks b-values by adding the one, all are below the other
GREATEST_B = 1e6  # s/mm2
TAGS = [
    PHASE_AXIS, DIRECTIONALITY, B_VALUE, GRADIENT,
    *private_tags(0x0019, 0x0C, 0x0E, 0xBB, 0xBC, 0xBD), *private_tags(0x0043, 0x39),
]  # fmt: skip
WITHOUT = ("ISOTROPIC", "NONE")
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

Vector = tuple[float, ...]


@dataclass(frozen=True)
class Encoding:
    """What is stated of an image's diffusion weighting; None is not stated.

    Parameters
    ----------
    b_value : float or None
        In s/mm2.
    gradient : tuple of float or None
        A direction; that of an image without weighting may be 0.
    phase_axis : str
        ``ROW`` or ``COL``, along which GE encoded the phase; the gradient is then along the
        scan's axes. Nothing where it is along the patient's.
    """

    b_value: float | None = None
    gradient: Vector | None = None
    phase_axis: str = ""

    @property
    def weighted(self) -> bool:
        """Whether there is a b-value over 0."""
        return (self.b_value or 0.0) > 0


def encoding_of(elements: Elements) -> Encoding:
    """Return the weighting of a file of one frame, or what a file states for all of its frames.

    Raises
    ------
    UnreadableError
        When a number is none, or a b-value is not plausible.
    """
    b_value, gradient, axis = elements.number(B_VALUE), elements.numbers(GRADIENT, 3), ""
    scan_axes = _ge_gradient(elements)
    if scan_axes is not None:
        axis = next(iter(elements.codes(PHASE_AXIS)), "")
        gradient = scan_axes if axis in ("ROW", "COL") else None
    if b_value is None or gradient is None:
        theirs = _siemens(elements)
        b_value = theirs.b_value if b_value is None else b_value
        gradient = theirs.gradient if gradient is None else gradient
    if b_value is None:
        b_value = _ge_b_value(elements)
    if set(WITHOUT) & set(elements.codes(DIRECTIONALITY)):
        gradient, axis = None, ""
    return _checked(elements, Encoding(b_value, gradient, axis if gradient else ""))


def encoding_in(groups: Sequence[Elements], other: Encoding) -> Encoding:
    """Return the weighting of a frame by its functional groups, the first one counting most.

    Parameters
    ----------
    other : Encoding
        What holds where no group has the diffusion macro.

    Raises
    ------
    UnreadableError
        When a number is none, or a b-value is not plausible.
    """
    for group in groups:
        macro = group.first(MACRO)
        b_value = macro.number(B_VALUE)
        if b_value is not None:
            kinds = set(macro.codes(DIRECTIONALITY))
            gradient = macro.first(DIRECTIONS).numbers(GRADIENT, 3)
            own = None if kinds & set(WITHOUT) else gradient
            return _checked(group, Encoding(b_value, own))
    return other


def _checked(elements: Elements, found: Encoding) -> Encoding:
    if found.b_value is not None and not 0 <= found.b_value <= GREATEST_B:
        expected = f"0 to {GREATEST_B:g} s/mm2"
        raise elements.wrong(B_VALUE, f"a b-value of {found.b_value:g}", expected)
    return found


def _siemens(elements: Elements) -> Encoding:
    """Return what Siemens states in elements of its own, else in the CSA header."""
    b_value = _first_number(elements.private(0x0019, SIEMENS_MR, 0x0C))
    stored = elements.private(0x0019, SIEMENS_MR, 0x0E)
    gradient = None
    if stored is not None and len(stored) == 24:
        found = struct.unpack(f"{'<' if elements.little else '>'}3d", stored)
        gradient = found if all(map(isfinite, found)) else None
    block = elements.private(0x0029, SIEMENS_CSA, 0x10)
    if b_value is None and block is not None and "DIFFUSION" in elements.codes(IMAGE_TYPE):
        names = ("B_value", "DiffusionGradientDirection")
        b_values, direction = (
            csa_numbers(block, names, elements.where).get(name, ()) for name in names
        )
        b_value = b_values[0] if b_values else None
        gradient = direction if len(direction) == 3 else gradient
    return Encoding(b_value, gradient)


def _ge_b_value(elements: Elements) -> float | None:
    found = _first_number(elements.private(0x0043, GE_PARAMETERS, 0x39))
    return found % GE_LARGEST if found is not None and found >= GE_OFFSET else found


def _ge_gradient(elements: Elements) -> Vector | None:
    parts = [
        _first_number(elements.private(0x0019, GE_ACQUISITION, number))
        for number in (0xBB, 0xBC, 0xBD)
    ]
    known = tuple(part for part in parts if part is not None)
    return known if len(known) == 3 else None


def _first_number(value: bytes | None) -> float | None:
    """Return the first number of a text; one too long to be meant is none."""
    text = (value or b"").split(b"\\")[0].strip(b" \0")
    if len(text) > 16 or not _NUMBER.fullmatch(text):
        return None
    found = float(text)
    return found if isfinite(found) else None
