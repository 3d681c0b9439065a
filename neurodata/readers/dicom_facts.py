"""What a DICOM file states once for all of its frames, and the tags that are read at all."""

from __future__ import annotations

import re

from neurodata.readers import dicom_encoding
from neurodata.readers.dicom_header import PIXEL_TAGS, SERIES, SOP_CLASS, SOP_INSTANCE, Elements
from neurodata.readers.dicom_pixels import PIXEL_HEADER
from neurodata.readers.dicom_vendor import VENDOR_TAGS, ge_interleaved

IMAGE_TYPE, ACQUISITION_TIME, MODALITY, MAKER = 0x00080008, 0x00080032, 0x00080060, 0x00080070
SEX, AGE = 0x00100040, 0x00101010
THICKNESS, REPETITION_MS, ECHO_MS, FIELD_T, GAP = (
    0x00180050, 0x00180080, 0x00180081, 0x00180087, 0x00180088,
)  # fmt: skip
CARDIAC, FLIP_DEG, ECHO_LONG_MS = 0x00181090, 0x00181314, 0x00189082
INSTANCE, POSITION, ORIENTATION = 0x00200013, 0x00200032, 0x00200037
TEMPORAL, VOLUMES, TEMPORAL_INDEX, DIMENSIONS = 0x00200100, 0x00200105, 0x00209128, 0x00209157
SPACING, INTERCEPT, SLOPE = 0x00280030, 0x00281052, 0x00281053
RESCALE_TYPE, PET_UNITS = 0x00281054, 0x00541001
BURNED_IN, RECOGNISABLE = 0x00280301, 0x00280302
SHARED, EACH = 0x52009229, 0x52009230
# Functional groups: plane position, plane orientation, pixel measures, frame content, pixel value
# transformation, echo, timing, frame type
GROUPS = {
    POSITION: 0x00209113, ORIENTATION: 0x00209116, SPACING: 0x00289110, THICKNESS: 0x00289110,
    GAP: 0x00289110, TEMPORAL_INDEX: 0x00209111, DIMENSIONS: 0x00209111, SLOPE: 0x00289145,
    INTERCEPT: 0x00289145, ECHO_LONG_MS: 0x00189114, REPETITION_MS: 0x00189112,
    FLIP_DEG: 0x00189112,
}  # fmt: skip
TAGS = sorted(
    {
        IMAGE_TYPE, SOP_CLASS, SOP_INSTANCE, ACQUISITION_TIME, MODALITY, MAKER, SEX, AGE,
        THICKNESS, REPETITION_MS, ECHO_MS, FIELD_T, GAP, CARDIAC, FLIP_DEG, ECHO_LONG_MS,
        SERIES, INSTANCE, POSITION, ORIENTATION, TEMPORAL, VOLUMES, SPACING,
        INTERCEPT, SLOPE, RESCALE_TYPE, PET_UNITS, BURNED_IN,
        RECOGNISABLE, SHARED, EACH, *PIXEL_HEADER, *VENDOR_TAGS,
        *dicom_encoding.TAGS,
        PIXEL_TAGS[-1],
    }
)  # fmt: skip
MAKERS = {
    "siemens": "Siemens", "ge ": "GE", "ge_": "GE", "philips": "Philips", "toshiba": "Toshiba",
    "canon": "Canon", "hitachi": "Hitachi", "uih": "United Imaging", "bruker": "Bruker",
}  # fmt: skip
DAYS_PER = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25}


def facts_of(elements: Elements) -> dict[str, float]:
    """Return the numbers of `Image.facts` that a file states."""
    shared = elements.first(SHARED)
    timing, own = shared.first(GROUPS[REPETITION_MS]), elements.items(EACH)[:1]
    first = own[0].first(GROUPS[REPETITION_MS]) if own else timing
    found = {
        "repetition_ms": elements.number(REPETITION_MS) or timing.number(REPETITION_MS)
        or first.number(REPETITION_MS),
        "flip_angle_deg": elements.number(FLIP_DEG) or timing.number(FLIP_DEG)
        or first.number(FLIP_DEG),
        "field_strength_t": elements.number(FIELD_T),
        "volumes": elements.number(VOLUMES),
        "cardiac": elements.number(CARDIAC),
        "interleaved": ge_interleaved(elements),
    }  # fmt: skip
    return {key: float(value) for key, value in found.items() if value is not None}


def words_of(elements: Elements) -> dict[str, str]:
    """Return the words of `Image.words` that a file states; any text off a list is left out."""
    maker = (elements.value(MAKER) or b"").decode("latin-1").lower()
    found = {
        "modality": next(iter(elements.codes(MODALITY)), ""),
        "device": next((name for start, name in MAKERS.items() if maker.startswith(start)), ""),
        "sex": next((code for code in elements.codes(SEX) if code in ("M", "F", "O")), ""),
        "age_years": _age_years(elements),
        "rescale_type": _rescale_type(elements),
        "pet_units": next(iter(elements.codes(PET_UNITS)), ""),
        "image_type": _image_type(elements),
        "burned_in": _answer(elements, BURNED_IN),
        "recognisable": _answer(elements, RECOGNISABLE),
    }
    return {key: value for key, value in found.items() if value}


def _answer(elements: Elements, tag: int) -> str:
    """Return ``YES`` or ``NO``, or nothing."""
    return next((code for code in elements.codes(tag) if code in ("YES", "NO")), "")


def _rescale_type(elements: Elements) -> str:
    """Return what rescaled values are, by the file or by the groups of an enhanced one."""
    own, shared = elements.items(EACH)[:1], elements.first(SHARED)
    for part in (elements, *(p.first(GROUPS[SLOPE]) for p in (*own, shared))):
        if code := next(iter(part.codes(RESCALE_TYPE)), ""):
            return code
    return ""


def _image_type(elements: Elements) -> str:
    """Return ``ORIGINAL`` for an image of the scanner itself, else ``other``."""
    words = elements.codes(IMAGE_TYPE)
    return "ORIGINAL" if words[:1] == ("ORIGINAL",) and "LOCALIZER" not in words else "other"


def _age_years(elements: Elements) -> str:
    """Return the age in years; 000Y is what scanners write that were not told."""
    text = (elements.value(AGE) or b"").decode("latin-1").strip(" \0")
    parts = re.fullmatch(r"(\d{3})([DWMY])", text)
    if parts is None or text == "000Y":
        return ""
    return repr(int(parts[1]) * DAYS_PER[parts[2]] / DAYS_PER["Y"])
