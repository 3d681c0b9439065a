"""The XML of a CIFTI-2 file: its text checked, parsed by nibabel, as two maps of indices."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any
from xml.parsers.expat import ExpatError

from neurodata import safe, safe_xml
from neurodata.errors import NeurodataError, UnreadableError, need
from neurodata.readers.nifti_header import EXTRA, SIZE_2, Header
from neurodata.safe import Raw

EXTENSION = 32
XML_LIMIT_BYTES = 256 * 2**20
# What nibabel's parser raises on damaged XML; all of it becomes UnreadableError.
DAMAGE = (
    ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, OverflowError,
    ArithmeticError, ExpatError, MemoryError,
)  # fmt: skip


@dataclass(frozen=True)
class Maps:
    """What the two dimensions of a matrix are, as nibabel has them, and how often each element is.

    Parameters
    ----------
    along, across : nibabel Cifti2MatrixIndicesMap
        Of the fastest dimension (times, maps), and of the other one (places).
    counts : Counter of str
        Elements by name.
    """

    along: Any
    across: Any
    counts: Counter[str]


def kind(indices: Any) -> str:
    """Return the type of a map of indices, e.g. "SERIES"."""
    return str(indices.indices_map_to_data_type).removeprefix("CIFTI_INDEX_TYPE_")


def wrong(raw: Raw, where: str, found: str, expected: str) -> UnreadableError:
    """Make the refusal of a file that is damaged or contradicts itself."""
    return UnreadableError(f"{raw.name}: {where}", found, expected, "copy or export it again")


def index_maps(raw: Raw, header: Header) -> Maps:
    """Return what the XML says of the matrix.

    Raises
    ------
    UnreadableError
        When there is none, or it is damaged or of another version.
    UnsafeError
        When it has a document type or an entity.
    """
    parser = need("nibabel.cifti2.parse_cifti2", extra=EXTRA)
    text = _text(raw, header)
    counts = safe_xml.check(safe_xml.in_blocks(text), f"{raw.name}: XML")
    try:
        reading = parser.Cifti2Parser()
        reading.parse(string=text)
        if str(reading.header.version) not in ("2", "2.0"):
            raise wrong(raw, "XML", f"CIFTI version {reading.header.version}", "version 2")
        matrix = reading.header.matrix
        along, across = (matrix.get_index_map(axis) for axis in (0, 1))
    except NeurodataError:
        raise
    except (*DAMAGE, need("nibabel.cifti2", extra=EXTRA).Cifti2HeaderError) as error:
        raise wrong(raw, "XML", f"what is no CIFTI-2 ({error})", "its matrix and maps") from error
    return Maps(along, across, counts)


def _text(raw: Raw, header: Header) -> bytes:
    """Return the text of the extension, which lies between header and matrix."""
    if header.offset > XML_LIMIT_BYTES:
        raise wrong(raw, "vox_offset", f"{header.offset}", f"at most {XML_LIMIT_BYTES}")
    block = safe.head(raw.main, header.offset)
    order = "little" if header.fields.endianness == "<" else "big"
    at = SIZE_2 + 4
    while at + 8 <= len(block):
        size, code = (
            int.from_bytes(block[k : k + 4], order)  # type: ignore[arg-type]
            for k in (at, at + 4)
        )
        if size < 8 or at + size > header.offset or len(block) < header.offset:
            break
        if code == EXTENSION:
            return block[at + 8 : at + size].rstrip(b"\0")
        at += size
    raise wrong(raw, "extension", "none of CIFTI (code 32)", "one before the matrix")
