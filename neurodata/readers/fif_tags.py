"""The tags of a FIF file: every one inside the file, blocks closed, the data where they lie.

Format: Neuromag's functional image file format, a chain of tags, each a header of 16 bytes (kind,
type, size, next) and its data, big-endian (https://github.com/mne-tools/fiff-constants).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neurodata import safe
from neurodata.errors import UnreadableError, UnsafeError

HEADER_BYTES = 16
HEADER_LIMIT_BYTES = 64 * 2**20
TAG_LIMIT = 2_000_000

# kinds of tags
FILE_ID, DIR_POINTER, DIR, BLOCK_START, BLOCK_END = 100, 101, 102, 104, 105
FREE_LIST, NOP, REF_ROLE, REF_NUMBER, REF_NAME = 106, 108, 115, 117, 118
CHANNEL, FIRST_SAMPLE, DATA_BUFFER, DATA_SKIP, DATA_SKIP_SAMPLES = 203, 208, 300, 301, 303
LONG_NAME, EPOCHS_DATA = 258, 302
# kinds of blocks
REF, SHIELDED, ANNOTATIONS, LONG_NAMES = 118, 119, 3810, 113
DATA_BLOCKS, EPOCHS = (102, 112, SHIELDED), 373
PREVIOUS, NEXT = 1, 2  # roles of a file that another refers to
ID_STRUCT, INT, END = 31, 3, -1


@dataclass(frozen=True)
class Tag:
    """One tag; ``start`` is the place of its data, ``blocks`` those around it, outermost first."""

    kind: int
    type: int
    start: int
    size: int
    blocks: tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """One file of a recording and all of its tags."""

    path: Path
    tags: tuple[Tag, ...]

    def bytes_of(self, tag: Tag) -> bytes:
        """Return the data of a tag of the header.

        Raises
        ------
        UnsafeError
            When it has more than 64 MiB.
        """
        if tag.size > HEADER_LIMIT_BYTES:
            found, limit = f"a header field of {tag.size} bytes", f"at most {HEADER_LIMIT_BYTES}"
            raise UnsafeError(self.path.name, found, limit, "export the file again")
        return mapped(self.path)[tag.start : tag.start + tag.size].tobytes()

    def integer(self, tag: Tag) -> int:
        """Return the integer that a tag holds.

        Raises
        ------
        UnreadableError
            When it holds something else.
        """
        if tag.type != INT or tag.size != 4:
            found = f"tag {tag.kind} of type {tag.type} with {tag.size} bytes"
            raise refusal(self.path, tag.start, found, "an integer")
        (value,) = struct.unpack(">i", self.bytes_of(tag))
        return int(value)

    def header(self) -> bytes:
        """Return a FIF file of all that is neither data nor directory."""
        dropped = (DIR_POINTER, DIR, FREE_LIST, NOP, DATA_BUFFER, EPOCHS_DATA)
        kept = [tag for tag in self.tags[1:] if tag.kind not in dropped]
        total = sum(tag.size + HEADER_BYTES for tag in kept)
        if total > HEADER_LIMIT_BYTES:
            found, limit = f"a header of {total} bytes", f"at most {HEADER_LIMIT_BYTES}"
            raise UnsafeError(self.path.name, found, limit, "export the file again")
        return b"".join(
            [
                _packed(FILE_ID, ID_STRUCT, self.bytes_of(self.tags[0])),
                _packed(DIR_POINTER, INT, struct.pack(">i", END)),
                *(_packed(tag.kind, tag.type, self.bytes_of(tag)) for tag in kept),
                struct.pack(">iIii", NOP, 0, 0, END),
            ]
        )

    def reference(self, role: int) -> str:
        """Return the name of the file before (`PREVIOUS`) or after (`NEXT`) this one, or nothing.

        A file that is referred to by its number alone has the name that the number gives.
        """
        name, number, is_role = "", -1, False
        for tag in self.tags:
            if tag.blocks[-1:] != (REF,):
                continue
            if tag.kind == BLOCK_START:
                name, number, is_role = "", -1, False
            elif tag.kind == REF_ROLE:
                is_role = self.integer(tag) == role
            elif tag.kind == REF_NAME:
                name = self.bytes_of(tag).decode("latin-1").rstrip("\0")
            elif tag.kind == REF_NUMBER:
                number = self.integer(tag)
            elif tag.kind == BLOCK_END and is_role:
                return name or _numbered(self.path.name, number)
        return ""


def is_fif(head: bytes) -> bool:
    """Say whether some first bytes are those of a FIF file: its identity, then a directory's place.

    Examples
    --------
    >>> is_fif(struct.pack(">iIii", 100, 31, 20, 0) + bytes(20) + struct.pack(">iIi", 101, 3, 4))
    True
    """
    if len(head) < 48 or head[:12] != struct.pack(">iIi", FILE_ID, ID_STRUCT, 20):
        return False
    (following,) = struct.unpack_from(">i", head, 12)
    return following in (0, 36) and head[36:48] == struct.pack(">iIi", DIR_POINTER, INT, 4)


def mapped(path: Path) -> npt.NDArray[np.uint8]:
    """Map a whole file as bytes."""
    return safe.memmap(path, np.dtype("u1"), (path.stat().st_size,))


def part_of(path: Path) -> Part:
    """Return a file with its tags, all of them followed from the first to the last.

    Raises
    ------
    UnreadableError
        When a tag reaches over the end, the chain runs backwards, a block is not closed or the
        last tag is missing.
    """
    if not path.stat().st_size:
        raise UnreadableError(path.name, "an empty file", "a FIF file", "copy it again")
    if safe.is_gzip(path):
        found, hint = "a compressed file", f"unpack it: gunzip {path.name}"
        raise UnreadableError(path.name, found, "FIF data that can be read in place", hint)
    return Part(path, tuple(_tags(path)))


def _tags(path: Path) -> Iterator[Tag]:
    data, blocks, place, count = mapped(path), list[int](), 0, 0
    if not is_fif(data[:48].tobytes()):
        raise refusal(path, 0, "no file identity", "a FIF file")
    while True:
        header = data[place : place + HEADER_BYTES].tobytes()
        if len(header) < HEADER_BYTES:
            found = f"an end at byte {data.size} of {len(blocks)} open blocks"
            raise refusal(path, place, found, "a closing tag")
        kind, type_, size, following = struct.unpack(">iIii", header)
        stop, count = place + HEADER_BYTES + size, count + 1
        _require_inside(path, place, stop, data.size, count, following)
        if kind in (BLOCK_START, BLOCK_END):
            block = _block(path, data[place : place + HEADER_BYTES + 4].tobytes())
        if kind == BLOCK_START:
            blocks.append(block)
        yield Tag(kind, type_, place + HEADER_BYTES, size, tuple(blocks))
        if kind == BLOCK_END and (not blocks or blocks.pop() != block):
            raise refusal(path, place, f"the end of block {block}", "the end of the one begun last")
        if following == END:
            break
        place = following or stop
    if blocks:
        raise refusal(path, place, f"the last tag with blocks {blocks} open", "all blocks closed")


def _require_inside(
    path: Path, place: int, stop: int, size: int, count: int, following: int
) -> None:
    if stop > size or count > TAG_LIMIT:
        found = f"tag {count} up to byte {stop} in a file of {size}"
        raise refusal(path, place, found, f"at most {TAG_LIMIT} tags inside the file")
    if following not in (0, END) and following < stop:
        raise refusal(path, place, f"a next tag at {following}", f"one from {stop} on")


def _block(path: Path, tag: bytes) -> int:
    _, type_, size, _, block = struct.unpack(">iIiii", tag.ljust(20, b"\xff"))
    if (type_, size) != (INT, 4):
        raise refusal(path, 0, f"a block of type {type_} and {size} bytes", "an integer")
    return int(block)


def _packed(kind: int, type_: int, data: bytes) -> bytes:
    return struct.pack(">iIii", kind, type_, len(data), 0) + data


def _numbered(name: str, number: int) -> str:
    """Return the name of a numbered part, e.g. of ``a_raw.fif`` or ``a_raw-1.fif``."""
    stem, dot, suffix = name.partition(".")
    base, dash, own = stem.rpartition("-")
    if not (dash and own.isdigit()):
        base = stem
    return f"{base}-{number}{dot}{suffix}" if number > 0 else f"{base}{dot}{suffix}"


def refusal(path: Path, place: int, found: str, expected: str) -> UnreadableError:
    """Return the refusal of a file that contradicts itself at a byte."""
    where = f"{path.name}: byte {place}" if place else path.name
    return UnreadableError(where, found, expected, "copy the file again or export it anew")
