"""What makers keep in private elements: Siemens' mosaics, and when slices were taken.

References
----------
The layout of Siemens' CSA header as nibabel's documentation describes it:
https://nipy.org/nibabel/dicom/siemens_csa.html. GE's protocol block is gzip text of KEY "VALUE".
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Collection, Mapping
from math import isfinite

from neurodata.errors import UnreadableError
from neurodata.readers.dicom_header import Elements, private_tags

SIEMENS_CSA, SIEMENS_MR = "SIEMENS CSA HEADER", "SIEMENS MR HEADER"
GE_PROTOCOL, GE_PROTOCOL_GROUP = "GEMS_SERS_01", 0x0025
VENDOR_TAGS = [
    *private_tags(0x0019, 0x0A, 0x29),
    *private_tags(GE_PROTOCOL_GROUP, 0x1B),
    *private_tags(0x0029, 0x10),
]
MOSAIC_COUNT, SLICE_NORMAL, SLICE_TIMES_MS = (
    "NumberOfImagesInMosaic", "SliceNormalVector", "MosaicRefAcqTimes",
)  # fmt: skip
CSA_FIELDS = (MOSAIC_COUNT, SLICE_NORMAL, SLICE_TIMES_MS)
ENTRY_LIMIT = 1000
PROTOCOL_LIMIT_BYTES = 2**20

Numbers = Mapping[str, tuple[float, ...]]


def siemens_numbers(elements: Elements) -> Numbers:
    """Return the numbers of a Siemens image's CSA header that geometry and timing need.

    Raises
    ------
    UnreadableError
        When the header is there and damaged.
    """
    block = elements.private(0x0029, SIEMENS_CSA, 0x10)
    return {} if block is None else csa_numbers(block, CSA_FIELDS, elements.where)


def csa_numbers(block: bytes, names: Collection[str], where: str) -> Numbers:
    """Return some fields of a CSA header (either version) as numbers.

    Parameters
    ----------
    block : bytes
        The private element's value.
    names : collection of str
        The fields wanted; all other text stays unread.
    where : str
        The file's name, for messages.

    Raises
    ------
    UnreadableError
        When a count or a length leads out of the block, or a wanted field holds no number.
    """
    second = block[:4] == b"SV10"
    at = 8 if second else 0
    try:
        count, at = struct.unpack_from("<I", block, at)[0], at + 8
        if not 0 < count <= ENTRY_LIMIT:
            raise _wrong(where, f"{count} fields")
        found: dict[str, tuple[float, ...]] = {}
        first_items = 0
        for number in range(count):
            name, items = struct.unpack_from("<64s12xi", block, at)
            at += 84
            if not 0 <= items <= ENTRY_LIMIT:
                raise _wrong(where, f"{items} items in a field")
            first_items = items if number == 0 else first_items
            texts, at = _items(block, at, items, None if second else first_items, where)
            key = name.split(b"\0")[0].decode("latin-1")
            if key in names:
                found[key] = _floats(texts, key, where)
    except struct.error:
        raise _wrong(where, f"an end after {len(block)} bytes") from None
    return found


def _items(
    block: bytes, at: int, items: int, first_items: int | None, where: str
) -> tuple[list[bytes], int]:
    """Return a field's texts and where the next field begins."""
    texts = []
    for _ in range(items):
        sizes = struct.unpack_from("<4i", block, at)
        at += 16
        size = sizes[1] if first_items is None else sizes[0] - first_items
        if first_items is not None and not 0 <= size <= len(block) - at:
            break  # version 1 marks the end of its items so
        if not 0 <= size <= len(block) - at:
            raise _wrong(where, f"an item of {size} bytes")
        texts.append(block[at : at + size].split(b"\0")[0].strip())
        at += size + (-size % 4)
    return texts, at


def _floats(texts: list[bytes], key: str, where: str) -> tuple[float, ...]:
    try:
        found = tuple(float(text) for text in texts if text)
    except ValueError:
        raise _wrong(where, f"{key} that is no number") from None
    if not all(map(isfinite, found)):
        raise _wrong(where, f"{key} that is not finite")
    return found


def _wrong(where: str, found: str) -> UnreadableError:
    return UnreadableError(
        f"{where}: CSA header (0029,1010)", found, "fields within the block", "export it again"
    )


def mosaic_slices(elements: Elements, csa: Numbers) -> int:
    """Return how many slices a Siemens mosaic holds.

    Raises
    ------
    UnreadableError
        When neither the CSA header nor (0019,100A) says so.
    """
    found = csa.get(MOSAIC_COUNT)
    stored = elements.private(0x0019, SIEMENS_MR, 0x0A)
    if not found and stored is not None and len(stored) == 2:
        found = struct.unpack(f"{'<' if elements.little else '>'}H", stored)
    count = found[0] if found else 0
    if not 1 <= count <= ENTRY_LIMIT or count != int(count):
        raise UnreadableError(
            f"{elements.where}: {MOSAIC_COUNT}", f"{count:g}" if found else "no count of slices",
            f"1 to {ENTRY_LIMIT} in the CSA header, as the image is a mosaic",
            "export it with its private elements",
        )  # fmt: skip
    return int(count)


def ge_interleaved(elements: Elements) -> bool | None:
    """Say whether a GE scan took every second slice first; None where that is not known.

    Scans with several slices at once or with a delay are not known.
    """
    block = elements.private(GE_PROTOCOL_GROUP, GE_PROTOCOL, 0x1B)
    start = -1 if block is None else block.find(b"\x1f\x8b\x08")
    if block is None or start < 0:
        return None
    try:
        text = zlib.decompressobj(31).decompress(block[start:], PROTOCOL_LIMIT_BYTES)
    except zlib.error:
        return None
    found = dict(re.findall(rb'(SLICEORDER|MBACCEL|DELACQ|DELACQNOAV) "(\d+)"', text))
    if found.pop(b"MBACCEL", b"1") not in (b"0", b"1"):
        return None
    order = found.pop(b"SLICEORDER", b"")
    return order == b"1" if order in (b"0", b"1") and set(found.values()) <= {b"0"} else None


def ge_slice_times_s(count: int, repetition_s: float, interleaved: bool) -> tuple[float, ...]:
    """Return when a GE scan took its slices, in the order in which it numbers them.

    Examples
    --------
    >>> ge_slice_times_s(5, 2.5, True)
    (0.0, 1.5, 0.5, 2.0, 1.0)
    """
    each_s, odd = repetition_s / count, (count + 1) // 2
    ranks = [n // 2 + odd * (n % 2) if interleaved else n for n in range(count)]
    return tuple(rank * each_s for rank in ranks)
