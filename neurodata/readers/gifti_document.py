"""A GIFTI document as nibabel parses it, after every array's size and text was checked.

Documents have a line ``<!DOCTYPE GIFTI SYSTEM "...">``, which names a grammar and is never
followed: exactly that line is blanked, and any other document type or entity is refused.

References
----------
J. Harwell et al., GIFTI Surface Data Format 1.0 (2011), https://www.nitrc.org/projects/gifti.
"""

from __future__ import annotations

import base64
import binascii
import re
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any
from xml.parsers.expat import ExpatError

import numpy as np

from neurodata import safe_xml
from neurodata.errors import UnknownFormatError, UnreadableError, UnsafeError, need
from neurodata.readers.attributed import content
from neurodata.safe import Raw

EXTRA = "mri"
DECODED_BYTES = 2**31
MOST_AXES = 6
DOCTYPE = re.compile(rb'<!DOCTYPE\s+GIFTI\s+SYSTEM\s+"[^"<>\[\]&%]{0,200}"\s*>')
DOCTYPE_WITHIN = 2**10
TYPES = {
    "NIFTI_TYPE_UINT8": 1, "NIFTI_TYPE_INT8": 1, "NIFTI_TYPE_INT16": 2, "NIFTI_TYPE_UINT16": 2,
    "NIFTI_TYPE_INT32": 4, "NIFTI_TYPE_UINT32": 4, "NIFTI_TYPE_INT64": 8, "NIFTI_TYPE_UINT64": 8,
    "NIFTI_TYPE_FLOAT32": 4, "NIFTI_TYPE_FLOAT64": 8,
}  # fmt: skip
ASCII, PLAIN, PACKED = "ASCII", "Base64Binary", "GZipBase64Binary"
ENCODINGS = {
    ASCII: ASCII, PLAIN: PLAIN, PACKED: PACKED, "GIFTI_ENCODING_ASCII": ASCII,
    "GIFTI_ENCODING_B64BIN": PLAIN, "GIFTI_ENCODING_B64GZ": PACKED,
}  # fmt: skip
ENDIANS = ("LittleEndian", "BigEndian", "GIFTI_ENDIAN_LITTLE", "GIFTI_ENDIAN_BIG")
ORDERS = ("RowMajorOrder", "ColumnMajorOrder")
# What nibabel's parser raises on a damaged document; all of it becomes UnreadableError.
DAMAGE = (
    ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, OverflowError,
    ExpatError, MemoryError, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class Form:
    """What the attributes of one ``DataArray`` state: its encoding, count and bytes."""

    where: str
    encoding: str
    count: int
    size: int


def document(raw: Raw) -> Any:
    """Return nibabel's image of the main file, whose arrays are those that it states.

    Raises
    ------
    UnreadableError
        When the document is cut, damaged or contradicts itself.
    UnsafeError
        When it has a document type of its own, an entity or an external file, or unpacks to
        more than it states or than 2 GiB.
    """
    whole = content(raw)
    data = DOCTYPE.sub(_blank, whole[:DOCTYPE_WITHIN], 1) + whole[DOCTYPE_WITHIN:]
    sizes = _Sizes(raw)
    counts = safe_xml.check(safe_xml.in_blocks(data), raw.name, sizes.start, sizes.end, sizes.text)
    if counts["GIFTI"] != 1 or sizes.stated is None:
        raise wrong(raw, "GIFTI", f"{counts['GIFTI']} of that element", "one, with its number")
    parser = need("nibabel.gifti.parse_gifti_fast", extra=EXTRA).GiftiImageParser(mmap=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the numbers of arrays are compared here
            parser.parse(string=data)
        image = parser.img
        there = [np.asarray(array.data).size for array in image.darrays]
    except DAMAGE as error:
        raise wrong(raw, "GIFTI", f"what nibabel cannot read ({error})", "GIFTI 1.0") from error
    found = {sizes.stated, len(sizes.counts), len(there)}
    if len(found) > 1 or there != sizes.counts:
        stated = f"{sizes.stated} arrays, {len(sizes.counts)} there"
        raise wrong(raw, "NumberOfDataArrays", stated, "as many as the file states")
    return image


def wrong(raw: Raw, where: str, found: str, expected: str) -> UnreadableError:
    """Make the refusal of a document that is damaged or contradicts itself."""
    return UnreadableError(f"{raw.name}: {where}", found, expected, "copy or export it again")


def _blank(found: re.Match[bytes]) -> bytes:
    return re.sub(rb"[^\n]", b" ", found[0])


class _Sizes:
    """Handlers that compare each array's text with the size that its attributes state."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.stated: int | None = None
        self.counts: list[int] = []
        self.form: Form | None = None
        self.pieces: list[str] | None = None
        self.total = 0

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """Note an array's form, and the start of its text."""
        if name == "GIFTI":
            self.stated = _whole(self.raw, "NumberOfDataArrays", attributes)
        elif name == "DataArray":
            if self.form is not None:
                raise wrong(self.raw, "DataArray", "one inside another", "one after another")
            self.form = _form(self.raw, len(self.counts), attributes)
            self.total += self.form.size
            if self.total > DECODED_BYTES:
                found = f"over {DECODED_BYTES} bytes of arrays"
                raise UnsafeError(self.form.where, found, "less", "split the file")
        elif name == "Data":
            if self.form is None or self.pieces is not None:
                raise wrong(self.raw, "Data", "one that no array expects", "one in each array")
            self.pieces = []

    def text(self, piece: str) -> None:
        """Keep the text of the array that is being read."""
        if self.pieces is not None:
            self.pieces.append(piece)

    def end(self, name: str) -> None:
        """Compare an array with its form at its end."""
        if name == "Data" and self.form is not None and self.pieces is not None:
            _compare(self.form, "".join(self.pieces))
            self.counts.append(self.form.count)
            self.pieces, self.form = None, None
        elif name == "DataArray" and self.form is not None:
            raise wrong(self.raw, "DataArray", "an array without Data", "one in each array")


def _whole(raw: Raw, key: str, attributes: Mapping[str, str]) -> int:
    text = attributes.get(key, "")
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise wrong(raw, key, repr(text[:40]), "a whole number")
    return int(text)


def _form(raw: Raw, index: int, attributes: Mapping[str, str]) -> Form:
    where = f"{raw.name}: DataArray {index}"
    external = attributes.get("ExternalFileName", "").strip()
    encoding = attributes.get("Encoding", "")
    if external or encoding in ("ExternalFileBinary", "GIFTI_ENCODING_EXTBIN", "External"):
        raise UnsafeError(
            where, "an array in another file", "arrays in the file itself",
            "convert it: gifti_tool -encoding BASE64GZIP",
        )  # fmt: skip
    axes = _whole(raw, "Dimensionality", attributes)
    if not 1 <= axes <= MOST_AXES:
        raise wrong(raw, f"DataArray {index}: Dimensionality", str(axes), f"1 to {MOST_AXES}")
    dims = [_whole(raw, f"Dim{axis}", attributes) for axis in range(axes)]
    if f"Dim{axes}" in attributes or min(dims) < 1:
        raise wrong(raw, f"DataArray {index}: Dim", str(dims), f"{axes} sizes over 0")
    known = {"Encoding": ENCODINGS, "Endian": ENDIANS, "ArrayIndexingOrder": ORDERS}
    for key, values in known.items():
        if attributes.get(key, "") not in values:
            found = repr(attributes.get(key, "")[:40])
            raise wrong(raw, f"DataArray {index}: {key}", found, ", ".join(values))
    kind = attributes.get("DataType", "")
    if kind not in TYPES:
        raise UnknownFormatError(
            f"{where}: DataType", repr(kind[:40]), ", ".join(TYPES), "convert it to floats"
        )
    return Form(where, ENCODINGS[encoding], prod(dims), prod(dims) * TYPES[kind])


def _compare(form: Form, text: str) -> None:
    """Refuse text that does not hold exactly the bytes, or numbers, of its form."""
    if form.encoding == ASCII:
        if (numbers := len(text.split())) != form.count:
            raise _unlike(form, f"{numbers} numbers", f"{form.count} by Dim")
        return
    try:
        packed = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _unlike(form, f"no base64 text ({error})", "base64") from error
    if form.encoding == PLAIN:
        if len(packed) != form.size:
            raise _unlike(form, f"{len(packed)} bytes", f"{form.size} by Dim")
        return
    unpacker = zlib.decompressobj()
    try:
        size = len(unpacker.decompress(packed, form.size + 1))
    except zlib.error as error:
        raise _unlike(form, f"damaged compression ({error})", "a zlib stream") from error
    if size != form.size or not unpacker.eof or unpacker.unused_data:
        found = f"{size} bytes unpacked" + ("" if unpacker.eof else ", and more or a cut stream")
        raise _unlike(form, found, f"{form.size} by Dim")


def _unlike(form: Form, found: str, expected: str) -> UnreadableError:
    return UnreadableError(form.where, found, expected, "copy or export it again")
