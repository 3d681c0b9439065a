"""The frames of one DICOM file: where each lies, when it was taken and how it is scaled."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from neurodata.errors import UnreadableError, need
from neurodata.readers.dicom_encoding import Encoding, encoding_in, encoding_of
from neurodata.readers.dicom_facts import (
    ACQUISITION_TIME,
    DIMENSIONS,
    EACH,
    ECHO_LONG_MS,
    ECHO_MS,
    GAP,
    GROUPS,
    IMAGE_TYPE,
    INSTANCE,
    INTERCEPT,
    ORIENTATION,
    POSITION,
    SHARED,
    SLOPE,
    SPACING,
    TAGS,
    TEMPORAL,
    TEMPORAL_INDEX,
    THICKNESS,
    facts_of,
    words_of,
)
from neurodata.readers.dicom_header import (
    EXTRA,
    SERIES,
    SOP_CLASS,
    SOP_INSTANCE,
    Elements,
    Opened,
    content,
    open_header,
)
from neurodata.readers.dicom_pixels import Part, Pixels, pixels_of
from neurodata.readers.dicom_vendor import (
    SIEMENS_MR,
    SLICE_NORMAL,
    SLICE_TIMES_MS,
    Numbers,
    mosaic_slices,
    siemens_numbers,
)

COMPLEX_PARTS = {
    "M": "magnitude", "P": "phase", "R": "real", "I": "imaginary", "MAGNITUDE": "magnitude",
    "PHASE": "phase", "REAL": "real", "IMAGINARY": "imaginary", "M_FFE": "magnitude",
    "P_FFE": "phase", "PHASE MAP": "phase",
}  # fmt: skip

Vector = tuple[float, ...]
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Frame:
    """One plane of pixels.

    Parameters
    ----------
    part : Part
        Where its pixels are.
    size : tuple of int
        Rows and columns.
    position : tuple of float or None
        Centre of its first pixel in mm, x to the left, y to the back, z up (DICOM's axes).
    orientation : tuple of float or None
        Direction along a row (of increasing column), then that along a column.
    spacing : tuple of float or None
        Mm between rows, and between columns.
    gap_mm : float or None
        Between the centres of slices.
    slope, intercept : float
        Value = stored * slope + intercept.
    echo_ms : float or None
    kind : str
        "magnitude", "phase", "real", "imaginary" or "".
    volume : int or None
        Its number in time as the header states it.
    order : tuple of float
        What sorts frames of one place: instance number, then frame number.
    acquired_s : float or None
        Time of day of its acquisition.
    slice_s : float or None
        Seconds from the volume's start, where the maker states it.
    weighted : bool
        Whether diffusion was encoded.
    encoding : Encoding
        How it was, as far as that is stated.
    """

    part: Part
    size: tuple[int, int]
    position: Vector | None
    orientation: Vector | None
    spacing: Vector | None
    gap_mm: float | None
    slope: float
    intercept: float
    echo_ms: float | None
    kind: str
    volume: int | None
    order: tuple[float, ...]
    acquired_s: float | None
    slice_s: float | None
    weighted: bool
    encoding: Encoding

    @property
    def directions(self) -> tuple[Array, Array]:
        """Directions along a row and along a column, (3) each, float64; 0 where not stated."""
        found = np.reshape(np.asarray(self.orientation or (0.0,) * 6, "f8"), (2, 3))
        return found[0], found[1]

    @property
    def where(self) -> str:
        """The file and frame, for messages."""
        return f"{self.part.pixels.where}: frame {self.part.number}"


@dataclass(frozen=True)
class Image:
    """One file of a series: its frames, or what it is when it has none.

    Parameters
    ----------
    where : str
    instance_uid, series_uid : str
        For comparing only; neither is kept.
    kind : str
        The name of its SOP class.
    frames : list of Frame
    facts : dict of str to float
        Numbers that hold for the file: ``repetition_ms``, ``echo_ms``, ``flip_angle_deg``,
        ``field_strength_t``, ``volumes``, ``cardiac``, ``interleaved``.
    words : dict of str to str
        ``modality``, ``device``, ``sex``, and the age as ``age_years`` in text.
    """

    where: str
    instance_uid: str
    series_uid: str
    kind: str
    frames: list[Frame] = field(default_factory=list)
    facts: dict[str, float] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    surplus: int = 0


def open_image(path: Path, where: str) -> Image:
    """Read the header of one file and describe its frames.

    Raises
    ------
    UnreadableError
        When the file is damaged, cut short or contradicts itself.
    UnknownFormatError
        When its pixels are no integers of one grey value.
    """
    view = content(path)
    opened = open_header(view, where, TAGS)
    elements = opened.elements
    kind = class_name(elements.uid(SOP_CLASS))
    image = Image(where, elements.uid(SOP_INSTANCE), elements.uid(SERIES), kind)
    if not opened.pixel_tag:
        if "Image Storage" in kind or not kind:
            raise UnreadableError(
                where, "an image without pixels", "pixel data", "copy or export it again"
            )
        return image
    pixels = pixels_of(opened, view, path)
    return replace(
        image, frames=_frames(opened, pixels), facts=facts_of(elements), words=words_of(elements),
        surplus=pixels.surplus,
    )  # fmt: skip


def class_name(uid: str) -> str:
    """Return the standard's name of a SOP class, "private class" for one of a maker, or nothing.

    Examples
    --------
    >>> class_name("1.2.840.10008.5.1.4.1.1.4"), class_name("")
    ('MR Image Storage', '')
    """
    if not uid:
        return ""
    names = need("pydicom.uid", EXTRA).UID_dictionary
    return str(names[uid][0]) if uid in names else "private class"


def _frames(opened: Opened, pixels: Pixels) -> list[Frame]:
    elements, count = opened.elements, len(pixels.spans)
    frame = _frame(elements, pixels)
    types = elements.codes(IMAGE_TYPE)
    if "MOSAIC" in types:
        if count != 1:
            raise elements.wrong(IMAGE_TYPE, f"a mosaic of {count} frames", "one frame")
        return _mosaic(elements, frame)
    each = elements.items(EACH)
    if each and len(each) != count:
        raise elements.wrong(EACH, f"{len(each)} items", f"{count}, the number of frames")
    if not each and count > 1:  # one position cannot hold for all of them
        frame = replace(frame, position=None)
    if not each:
        return [_numbered(frame, n) for n in range(count)]
    shared = elements.first(SHARED)
    return [_enhanced(_numbered(frame, n), [own, shared]) for n, own in enumerate(each)]


def _numbered(frame: Frame, number: int) -> Frame:
    part = replace(frame.part, number=number)
    return replace(frame, part=part, order=(frame.order[0], number))


def _frame(elements: Elements, pixels: Pixels) -> Frame:
    types, encoding = elements.codes(IMAGE_TYPE), encoding_of(elements)
    echo = elements.number(ECHO_MS)
    return Frame(
        part=Part(pixels, 0, 0, 0),
        size=(pixels.rows, pixels.columns),
        position=elements.numbers(POSITION, 3),
        orientation=elements.numbers(ORIENTATION, 6),
        spacing=elements.numbers(SPACING, 2),
        gap_mm=_positive(elements.number(GAP), elements.number(THICKNESS)),
        slope=_or(elements.number(SLOPE), 1.0),
        intercept=_or(elements.number(INTERCEPT), 0.0),
        echo_ms=elements.number(ECHO_LONG_MS) if echo is None else echo,
        kind=next((COMPLEX_PARTS[word] for word in types[2:] if word in COMPLEX_PARTS), ""),
        volume=elements.whole(TEMPORAL),
        order=(_or(elements.whole(INSTANCE), -1), 0),
        acquired_s=_time_of_day_s(elements),
        slice_s=None,
        weighted=encoding.weighted or "DIFFUSION" in types,
        encoding=encoding,
    )


def _positive(*values: float | None) -> float | None:
    return next((value for value in values if value is not None and value > 0), None)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _time_of_day_s(elements: Elements) -> float | None:
    text = (elements.value(ACQUISITION_TIME) or b"").decode("latin-1").strip(" \0")
    parts = re.fullmatch(r"(\d\d)(\d\d)(\d\d(?:\.\d{1,6})?)", text)
    return None if parts is None else 3600.0 * int(parts[1]) + 60 * int(parts[2]) + float(parts[3])


def _enhanced(frame: Frame, groups: Sequence[Elements]) -> Frame:
    """Overlay a frame with what its own functional groups state, else the shared ones."""

    def stated(tag: int, count: int = 0) -> Vector | None:
        for group in groups:
            if (found := group.first(GROUPS[tag]).numbers(tag, count)) is not None:
                return found
        return None

    def one(tag: int) -> float | None:
        found = stated(tag)
        return found[0] if found else None

    volume, slope, intercept = map(one, (TEMPORAL_INDEX, SLOPE, INTERCEPT))
    encoding = encoding_in(groups, frame.encoding)
    kinds = [word for group in groups for word in group.first(0x00189226).codes(0x00089007)[2:]]
    dimensions = stated(DIMENSIONS) or ()
    return replace(
        frame,
        position=stated(POSITION, 3) or frame.position,
        orientation=stated(ORIENTATION, 6) or frame.orientation,
        spacing=stated(SPACING, 2) or frame.spacing,
        gap_mm=_positive(one(GAP), one(THICKNESS), frame.gap_mm),
        slope=frame.slope if slope is None else slope,
        intercept=frame.intercept if intercept is None else intercept,
        echo_ms=one(ECHO_LONG_MS) or frame.echo_ms,
        kind=next((COMPLEX_PARTS[word] for word in kinds if word in COMPLEX_PARTS), frame.kind),
        volume=frame.volume if volume is None else int(volume),
        order=(frame.order[0], *dimensions, frame.part.number),
        weighted=frame.weighted or encoding.weighted,
        encoding=encoding,
    )


def _mosaic(elements: Elements, frame: Frame) -> list[Frame]:
    """Cut a Siemens mosaic into its slices; the first is at its upper left.

    The header's position is that of a plane of the mosaic's size about the slice's centre.
    """
    csa = siemens_numbers(elements)
    count = mosaic_slices(elements, csa)
    side = math.ceil(math.sqrt(count))
    rows, columns = (n // side for n in frame.size)
    if frame.size != (rows * side, columns * side):
        raise UnreadableError(
            f"{elements.where}: mosaic", f"{frame.size[0]} x {frame.size[1]} pixels",
            f"a multiple of {side}, for {count} slices", "export it again",
        )  # fmt: skip
    corner, step = _mosaic_place(elements, frame, csa, (rows, columns))
    times = _mosaic_times_s(elements, csa, count)
    return [
        replace(
            frame,
            part=replace(frame.part, row=n // side * rows, column=n % side * columns),
            size=(rows, columns),
            position=tuple(float(x) for x in corner + n * step),
            slice_s=times[n] if times else None,
            order=(frame.order[0], n),
        )
        for n in range(count)
    ]


def _mosaic_place(
    elements: Elements, frame: Frame, csa: Numbers, size: tuple[int, int]
) -> tuple[Array, Array]:
    gap = _positive(elements.number(GAP))
    for tag, value in ((POSITION, frame.position), (ORIENTATION, frame.orientation),
                       (SPACING, frame.spacing), (GAP, gap)):  # fmt: skip
        if not value:
            raise elements.wrong(tag, "nothing", "a value, to place the mosaic's slices")
    along_row, along_column = frame.directions
    row_mm, column_mm = frame.spacing or (0.0, 0.0)
    beyond = (frame.size[0] - size[0]) / 2 * row_mm, (frame.size[1] - size[1]) / 2 * column_mm
    corner = np.array(frame.position) + beyond[1] * along_row + beyond[0] * along_column
    normal = np.cross(along_row, along_column)
    stated = csa.get(SLICE_NORMAL, ())
    if len(stated) == 3:
        cosine = float(np.dot(normal, stated))
        if abs(abs(cosine) - 1) > 0.01:
            raise UnreadableError(
                f"{elements.where}: {SLICE_NORMAL}", f"a cosine of {cosine:.3f} to the image plane",
                "1 or -1", "export it again",
            )  # fmt: skip
        normal = normal * math.copysign(1, cosine)
    return corner, normal * (gap or 0.0)


def _mosaic_times_s(elements: Elements, csa: Numbers, count: int) -> Vector | None:
    found = csa.get(SLICE_TIMES_MS, ())
    stored = elements.private(0x0019, SIEMENS_MR, 0x29)
    if not found and stored is not None and len(stored) == 8 * count:
        found = struct.unpack(f"{'<' if elements.little else '>'}{count}d", stored)
    if len(found) != count or not all(map(math.isfinite, found)):
        return None
    return tuple((time_ms - min(found)) / 1e3 for time_ms in found)
