"""The header of one DICOM file: numbers and short codes, each checked, and nothing else.

Elements are read by tag from an allow-list; texts that may name a person are never decoded.

References
----------
DICOM PS3.5 (encoding), PS3.6 (tags), PS3.10 (files): https://dicom.nema.org/standard.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from neurodata import safe
from neurodata.errors import NeurodataError, UnknownFormatError, UnreadableError, need

EXTRA = "mri"
PREAMBLE_BYTES, MAGIC = 128, b"DICM"
GZIP_LIMIT_BYTES = 2**31
COPY_LIMIT_BYTES = 4 * 2**20  # a copy of a small file is read faster than the mapped file
ITEM_LIMIT = 100_000
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
UNDEFINED = 0xFFFFFFFF
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)

SYNTAX, META_CLASS = 0x00020010, 0x00020002
SOP_CLASS, SOP_INSTANCE, SERIES = 0x00080016, 0x00080018, 0x0020000E
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_CODE = re.compile(r"[A-Z0-9 _]{0,16}")
_UID = re.compile(r"[0-9.]{1,64}")

# Elements that hold binary numbers, whatever the file says of them; all others are text.
BINARY = {
    0x00189082: "d", 0x00189087: "d", 0x00189089: "d",
    0x00209128: "I", 0x00209157: "I", 0x00280002: "H",
    0x00280010: "H", 0x00280011: "H", 0x00280100: "H", 0x00280101: "H", 0x00280102: "H",
    0x00280103: "H",
}  # fmt: skip
NAMES = {
    0x00020010: "TransferSyntaxUID", 0x00080008: "ImageType", 0x00080016: "SOPClassUID",
    0x00080018: "SOPInstanceUID", 0x00080032: "AcquisitionTime", 0x00080060: "Modality",
    0x0020000E: "SeriesInstanceUID", 0x00180050: "SliceThickness", 0x00180080: "RepetitionTime",
    0x00180081: "EchoTime", 0x00180087: "MagneticFieldStrength",
    0x00180088: "SpacingBetweenSlices", 0x00181090: "CardiacNumberOfImages",
    0x00181314: "FlipAngle", 0x00189082: "EffectiveEchoTime",
    0x00189087: "DiffusionBValue", 0x00200012: "AcquisitionNumber",
    0x00200013: "InstanceNumber", 0x00200032: "ImagePositionPatient",
    0x00200037: "ImageOrientationPatient", 0x00200100: "TemporalPositionIdentifier",
    0x00200105: "NumberOfTemporalPositions", 0x00280002: "SamplesPerPixel",
    0x00280004: "PhotometricInterpretation", 0x00280008: "NumberOfFrames", 0x00280010: "Rows",
    0x00280011: "Columns", 0x00280030: "PixelSpacing", 0x00280100: "BitsAllocated",
    0x00280101: "BitsStored", 0x00280102: "HighBit", 0x00280103: "PixelRepresentation",
    0x00280301: "BurnedInAnnotation", 0x00280302: "RecognizableVisualFeatures",
    0x00281052: "RescaleIntercept", 0x00281053: "RescaleSlope", 0x00281054: "RescaleType",
    0x00541001: "Units",
    0x52009229: "SharedFunctionalGroupsSequence", 0x52009230: "PerFrameFunctionalGroupsSequence",
}  # fmt: skip


def label(tag: int) -> str:
    """Return an element's name and number for messages.

    Examples
    --------
    >>> label(0x00280030)
    'PixelSpacing (0028,0030)'
    """
    return f"{NAMES.get(tag, '')} ({tag >> 16:04X},{tag & 0xFFFF:04X})".strip()


class Stream:
    """A large file's bytes read as from an open file; nothing reaches beyond the last one."""

    def __init__(self, view: memoryview) -> None:
        self.view, self.at = view, 0

    def read(self, count: int = -1) -> bytes:
        """Return the next bytes, at most ``count``, fewer at the end."""
        stop = len(self.view) if count < 0 else min(self.at + count, len(self.view))
        found = bytes(self.view[self.at : stop])
        self.at = stop
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a byte.

        Raises
        ------
        ValueError
            When it lies outside the file (an EOFError would be passed over by the library).
        """
        target = offset + (0, self.at, len(self.view))[whence]
        if not 0 <= target <= len(self.view):
            raise ValueError("a length that leads out of the file")
        self.at = target
        return target

    def tell(self) -> int:
        """Return where the next byte is."""
        return self.at


def content(path: Path) -> memoryview:
    """Return a file's bytes: mapped, or unpacked in memory when it is gzip.

    Raises
    ------
    UnreadableError
        When the file is empty or its compression damaged.
    """
    size = path.stat().st_size
    if size == 0:
        raise UnreadableError(path.name, "an empty file", "data", "copy or download it again")
    if safe.is_gzip(path):
        return memoryview(safe.gunzip(path, GZIP_LIMIT_BYTES))
    mapped: Any = safe.memmap(path, np.dtype("u1"), (size,))
    return memoryview(mapped)


@contextmanager
def damage(where: str) -> Iterator[None]:
    """Turn whatever the library raises on damaged bytes into an `UnreadableError`.

    The library's own words are left out: they may quote the header.
    """
    try:
        yield
    except NeurodataError:
        raise
    except Exception as error:
        raise UnreadableError(
            where,
            f"damaged DICOM data ({type(error).__name__})",
            "an intact file",
            "copy or export it again",
        ) from None


class Elements:
    """A data set or an item of a sequence, its elements read as checked numbers and codes.

    Parameters
    ----------
    data : pydicom.dataset.Dataset
    where : str
        The file's name, for messages.
    little : bool
        Byte order of binary numbers.
    """

    def __init__(self, data: Any, where: str, little: bool = True) -> None:
        self.data, self.where, self.little = data, where, little

    def value(self, tag: int) -> bytes | None:
        """Return an element's bytes as stored, None where it is absent or empty.

        Raises
        ------
        UnreadableError
            When the file ends within it.
        """
        element = self.data.get_item(tag) if tag in self.data else None
        if element is None or not isinstance(element.value, bytes) or not element.value:
            return None
        stated = getattr(element, "length", UNDEFINED)
        if stated not in (UNDEFINED, len(element.value)):
            raise self.wrong(tag, f"{len(element.value)} bytes", f"{stated} bytes by its length")
        return element.value

    def wrong(self, tag: int, found: str, expected: str) -> UnreadableError:
        """Make the refusal of an element's value."""
        where = f"{self.where}: {label(tag)}"
        return UnreadableError(where, found, expected, "export the series again")

    def numbers(self, tag: int, count: int = 0) -> tuple[float, ...] | None:
        """Return an element's finite numbers, exactly ``count`` unless that is 0.

        Raises
        ------
        UnreadableError
            When it holds something else.
        """
        value = self.value(tag)
        if value is None:
            return None
        form = BINARY.get(tag)
        found = self._text_numbers(tag, value) if form is None else self._binary(tag, value, form)
        if found and count and len(found) != count:
            raise self.wrong(tag, f"{len(found)} numbers", f"{count}")
        if not all(map(isfinite, found)):
            raise self.wrong(tag, "a number that is not finite", "finite numbers")
        return found or None

    def _binary(self, tag: int, value: bytes, form: str) -> tuple[float, ...]:
        size = struct.calcsize(form)
        if len(value) % size:
            raise self.wrong(tag, f"{len(value)} bytes", f"numbers of {size} bytes each")
        return struct.unpack(f"{'<' if self.little else '>'}{len(value) // size}{form}", value)

    def _text_numbers(self, tag: int, value: bytes) -> tuple[float, ...]:
        texts = [text.strip(" \0") for text in value.decode("latin-1").split("\\")]
        if not any(texts):
            return ()
        if not all(map(_NUMBER.fullmatch, texts)):
            raise self.wrong(tag, "text that is no number", "decimal numbers")
        return tuple(map(float, texts))

    def number(self, tag: int) -> float | None:
        """Return an element's first number, or None."""
        found = self.numbers(tag)
        return found[0] if found else None

    def whole(self, tag: int) -> int | None:
        """Return an element's first number when it is a whole one.

        Raises
        ------
        UnreadableError
            When it has a fraction.
        """
        found = self.number(tag)
        if found is None:
            return None
        if found != int(found):
            raise self.wrong(tag, f"{found}", "a whole number")
        return int(found)

    def codes(self, tag: int) -> tuple[str, ...]:
        """Return an element's code strings; texts that are none, nor short, are left out."""
        texts = (self.value(tag) or b"").decode("latin-1").split("\\")
        return tuple(text.strip(" \0") for text in texts if _CODE.fullmatch(text.strip(" \0")))

    def uid(self, tag: int) -> str:
        """Return a unique identifier, or nothing; it is for comparing only."""
        text = (self.value(tag) or b"").decode("latin-1").strip(" \0")
        return text if _UID.fullmatch(text) else ""

    def items(self, tag: int) -> list[Elements]:
        """Return the items of a sequence, none where it is absent.

        Raises
        ------
        UnreadableError
            When the sequence is damaged.
        """
        if tag not in self.data:
            return []
        with damage(f"{self.where}: {label(tag)}"):
            found = self.data[tag].value
            if isinstance(found, bytes | str) or len(found or ()) > ITEM_LIMIT:
                raise self.wrong(tag, "no sequence", f"a sequence of at most {ITEM_LIMIT} items")
            return [Elements(item, self.where, self.little) for item in found or ()]

    def first(self, tag: int) -> Elements:
        """Return the first item of a sequence, an empty one where it is absent."""
        items = self.items(tag)
        return items[0] if items else Elements({}, self.where, self.little)

    def private(self, group: int, creator: str, element: int) -> bytes | None:
        """Return a private element of one maker, by its number within the maker's block."""
        for block in range(0x10, 0x14):
            owner = (self.value(group << 16 | block) or b"").strip(b" \0")
            if owner == creator.encode():
                return self.value(group << 16 | block << 8 | element)
        return None


def private_tags(group: int, *elements: int) -> list[int]:
    """Return the tags under which private elements may stand, their makers' included."""
    blocks = range(0x10, 0x14)
    found = [group << 16 | block for block in blocks]
    return found + [group << 16 | block << 8 | element for block in blocks for element in elements]


@dataclass(frozen=True)
class Opened:
    """A file as opened: its elements, its transfer syntax and where its pixel data stand.

    Parameters
    ----------
    syntax : str
        The transfer syntax UID.
    pixel_tag : int
        The tag of the pixel data, 0 where there are none.
    start, length : int
        First byte of the pixel data's value, and its stated length (`UNDEFINED` for items).
    """

    elements: Elements
    syntax: str
    pixel_tag: int
    start: int
    length: int


class _Stop:
    """Ends reading at the pixel data and remembers where they are."""

    def __init__(self, stream: Any, last: int) -> None:
        self.stream, self.last = stream, last
        self.tag = self.start = self.length = 0

    def __call__(self, tag: Any, vr: str | None, length: int) -> bool:
        if int(tag) in PIXEL_TAGS:
            self.tag, self.start, self.length = int(tag), self.stream.tell(), length
        return int(tag) > self.last or int(tag) in PIXEL_TAGS


def _after_meta(tag: Any, vr: str | None, length: int) -> bool:
    return int(tag) >> 16 != 2


def open_header(view: memoryview, where: str, tags: list[int], names_only: bool = False) -> Opened:
    """Read the elements of a file that are asked for, up to its pixel data.

    Parameters
    ----------
    view : memoryview
        The file's bytes.
    tags : list of int
        The only elements that are kept; an empty list keeps all.
    names_only : bool
        Whether values are skipped, for listing which elements there are.

    Raises
    ------
    UnreadableError
        When the file is damaged or ends within its header.
    UnknownFormatError
        When the whole data set is deflated.
    """
    if bytes(view[PREAMBLE_BYTES : PREAMBLE_BYTES + 4]) != MAGIC:
        raise UnreadableError(where, "no DICM after 128 bytes", "a DICOM file", "copy it again")
    reader, uids = need("pydicom.filereader", EXTRA), (SYNTAX, META_CLASS)
    stream: Any = BytesIO(view) if len(view) <= COPY_LIMIT_BYTES else Stream(view)
    stream.seek(PREAMBLE_BYTES + 4)
    with damage(where):
        meta = reader.read_dataset(stream, False, True, stop_when=_after_meta)
        facts = Elements(meta, where)
        syntax, kind = (facts.uid(tag) for tag in uids)
        if syntax == DEFLATED:
            raise UnknownFormatError(
                f"{where}: {label(SYNTAX)}",
                "a deflated data set",
                "any other transfer syntax",
                "convert it, e.g. with `dcmconv +te`",
            )
        if not syntax:
            raise facts.wrong(SYNTAX, "no transfer syntax", "its UID")
        little = syntax != BIG_ENDIAN
        stop = _Stop(stream, max(tags) if tags and not names_only else UNDEFINED)
        data = reader.read_dataset(
            stream, syntax == IMPLICIT, little, stop_when=stop,
            defer_size=0 if names_only else None, specific_tags=tags or None,
        )  # fmt: skip
    elements = Elements(data, where, little)
    own = kind if names_only else elements.uid(SOP_CLASS)
    if kind and own and own != kind:
        raise elements.wrong(SOP_CLASS, "another class than in the file's meta information", "one")
    return Opened(elements, syntax, stop.tag, stop.start, stop.length)


def quick_header(path: Path, tags: list[int]) -> Opened | None:
    """Read some early elements from the first bytes of a file, or None where they do not do."""
    start = safe.head(path, 16384)
    if start[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] != MAGIC:
        return None
    try:
        found = open_header(memoryview(start), path.name, tags)
        if found.elements.value(max(tags)) is not None:
            return found
    except UnreadableError:
        pass  # a value that is longer than these bytes
    return open_header(content(path), path.name, tags)
