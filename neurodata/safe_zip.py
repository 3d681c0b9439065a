"""The zip leaf of the one door: the directory is checked before a member is read, none unpacked.

A zip can name paths outside its folder, hold links, overlap its members or unpack to far more
than it holds. All of these are refused; members are read by their place, into memory, within a
limit, or in pieces, with their CRC checked.

References
----------
APPNOTE.TXT 6.3.10, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from neurodata import safe_names
from neurodata.errors import UnknownFormatError, UnreadableError, UnsafeError

MAGIC = b"PK\x03\x04"
DIRECTORY_LIMIT_BYTES = 256 * 2**20
COUNT_LIMIT = 1_000_000
RATIO_LIMIT = 1032
"""Deflate cannot pack tighter (https://www.zlib.net/zlib_tech.html)."""
BLOCK_BYTES = 2**18
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
_HEADER = struct.Struct("<4s5H3I2H")
_END_BYTES, _PLACE_BYTES, _WIDE_BYTES = 22, 20, 56
_TAIL_BYTES = _WIDE_BYTES + _PLACE_BYTES + _END_BYTES + 0xFFFF
_DAMAGE = (
    zipfile.BadZipFile, struct.error, OSError, ValueError, OverflowError, EOFError, IndexError,
    NotImplementedError, RuntimeError, MemoryError,
)  # fmt: skip


@dataclass(frozen=True)
class Member:
    """A file in a zip: its name, where its header begins, its sizes in bytes, CRC and method.

    ``room`` is how many bytes lie between the start of its header and whatever comes next.
    """

    name: str
    start: int
    packed: int
    size: int
    crc: int
    method: int
    room: int


def members(path: Path) -> dict[str, Member]:
    """Return the files of a zip by name after checking its whole directory.

    Raises
    ------
    UnsafeError
        When a name leads elsewhere, a member is a link or another special file, members overlap
        or repeat, one claims to unpack to over 1032 times its size, or there are too many.
    UnreadableError
        When the directory is damaged, or members lie outside the file.
    UnknownFormatError
        When a member is encrypted or packed otherwise than by deflate.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.zip"
    >>> with zipfile.ZipFile(path, "w") as file:
    ...     file.writestr("a/b.txt", "text")
    >>> [(name, member.size) for name, member in members(path).items()]
    [('a/b.txt', 4)]
    """
    stated = _check_directory(path)
    try:
        with zipfile.ZipFile(path) as file:
            entries, end = file.infolist(), file.start_dir
    except _DAMAGE as error:
        raise _broken(path, f"a damaged zip directory ({error})") from error
    if len(entries) > COUNT_LIMIT:
        raise UnsafeError(path.name, f"{len(entries)} members", f"at most {COUNT_LIMIT}")
    if (len(entries) - stated) % 2**16:  # some writers count no further
        raise _broken(path, f"{len(entries)} members where {stated} are stated")
    for entry in entries:
        _check(path, entry)
    rooms = _rooms(path, entries, end)
    found: dict[str, Member] = {}
    for entry in entries:
        if entry.filename.endswith("/"):
            continue
        if entry.filename in found:
            raise UnsafeError(path.name, f"the member {entry.filename!r} twice", "each name once")
        found[entry.filename] = Member(
            entry.filename, entry.header_offset, entry.compress_size, entry.file_size,
            entry.CRC, entry.compress_type, rooms[entry.header_offset],
        )  # fmt: skip
    return found


def _check_directory(path: Path) -> int:
    """Return how many members are stated; refuse too large a directory before it is parsed."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(max(0, size - _TAIL_BYTES))
        tail = stream.read(_TAIL_BYTES)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END_BYTES > len(tail):
        raise _broken(path, f"{size} bytes without the end of a zip")
    length: int = struct.unpack_from("<I", tail, at + 12)[0]
    count: int = struct.unpack_from("<H", tail, at + 10)[0]
    place = tail[max(0, at - _PLACE_BYTES) : at].startswith(b"PK\x06\x07")
    if place or length == 0xFFFFFFFF or count == 0xFFFF:  # a place alone is enough for zipfile
        wide = at - _PLACE_BYTES - _WIDE_BYTES
        if not place or wide < 0 or not tail.startswith(b"PK\x06\x06", wide):
            raise _broken(path, "no large directory, though the end of the zip says so")
        count, length = struct.unpack_from("<QQ", tail, wide + 32)
    if length > DIRECTORY_LIMIT_BYTES or count > COUNT_LIMIT:
        raise UnsafeError(
            path.name, f"a directory of {count} members in {length} bytes",
            f"at most {COUNT_LIMIT} in {DIRECTORY_LIMIT_BYTES}", "unpack it",
        )  # fmt: skip
    return count


def _check(path: Path, entry: zipfile.ZipInfo) -> None:
    name, where = entry.filename, f"{path.name}: {entry.filename!r}"
    safe_names.parts(entry.orig_filename.removesuffix("/"), path.name)
    if entry.orig_filename != name:
        raise UnsafeError(where, f"a member of two names, {entry.orig_filename!r}", "one name")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a link" if kind == stat.S_IFLNK else "a special file"
        raise UnsafeError(where, what, "files and folders only", "put the file itself in the zip")
    if entry.flag_bits & 0x41:
        raise UnknownFormatError(where, "an encrypted member", "plain ones", "decrypt it first")
    if entry.compress_type not in (STORED, DEFLATED):
        raise UnknownFormatError(
            where, f"zip method {entry.compress_type}", "stored or deflated", "pack it again"
        )
    if entry.compress_type == STORED and entry.file_size != entry.compress_size:
        raise UnreadableError(where, f"{entry.compress_size} bytes", f"{entry.file_size} stored")
    if entry.file_size > RATIO_LIMIT * (entry.compress_size + 1):
        raise UnsafeError(
            where, f"{entry.file_size} bytes from {entry.compress_size}",
            f"at most {RATIO_LIMIT} times", "unpack it",
        )  # fmt: skip


def _rooms(path: Path, entries: list[zipfile.ZipInfo], end: int) -> dict[int, int]:
    """Return each member's room by its place; one that reaches into another is refused."""
    rooms = {}
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    for place, entry in enumerate(ordered, 1):
        is_last = place == len(ordered)
        stop = end if is_last else ordered[place].header_offset
        room = stop - entry.header_offset
        if entry.header_offset < 0 or _HEADER.size + entry.compress_size > room:
            where = f"{path.name}: {entry.filename!r}"
            if is_last:
                raise _broken(path, f"a member that begins at byte {entry.header_offset} of {end}")
            raise UnsafeError(
                where, "a member that overlaps another", "members one after another",
                "pack it again",
            )  # fmt: skip
        rooms[entry.header_offset] = room
    return rooms


def read_member(path: Path, member: Member, limit: int) -> bytes:
    """Return a member's bytes, unpacked, its CRC checked.

    Raises
    ------
    UnsafeError
        When it has more than ``limit`` bytes.
    UnreadableError
        When it is damaged or not where the directory says.
    """
    if member.size > limit:
        raise UnsafeError(_where(path, member), f"{member.size} bytes", f"at most {limit}")
    return b"".join(blocks(path, member))


def blocks(path: Path, member: Member) -> Iterator[bytes]:
    """Yield a member's bytes in pieces, unpacked; its size and CRC are compared at the end.

    Raises
    ------
    UnreadableError
        When it is damaged, larger than stated or not where the directory says.
    """
    total, crc = 0, 0
    with _data(path, member) as stream:
        packed = _pieces(stream, member.packed)
        for block in packed if member.method == STORED else _inflated(path, member, packed):
            total, crc = total + len(block), zlib.crc32(block, crc)
            if total > member.size:
                break
            yield block
    if total != member.size or crc != member.crc:
        raise UnreadableError(
            _where(path, member), f"{total} bytes with another CRC",
            f"{member.size} bytes as the zip's directory says", "copy or download it again",
        )  # fmt: skip


def read_range(path: Path, member: Member, start: int, count: int, limit: int) -> bytes:
    """Return some bytes of a member; of a stored one nothing else is read, so no CRC checked.

    Raises
    ------
    UnreadableError
        When the member is shorter, damaged or not where the directory says.
    UnsafeError
        When more than ``limit`` bytes are asked for, or have to be unpacked.
    """
    if start < 0 or count < 0 or start + count > member.size:
        raise UnreadableError(
            _where(path, member), f"{member.size} bytes", f"{start + count} at least"
        )
    if member.method == STORED and count <= limit:
        return _bytes(path, member, start, count)
    return read_member(path, member, limit)[start : start + count]


def _bytes(path: Path, member: Member, start: int, count: int) -> bytes:
    """Return bytes of a member as they are in the file."""
    with _data(path, member) as stream:
        stream.seek(start, 1)
        data = stream.read(count)
    if len(data) < count:
        raise UnreadableError(_where(path, member), f"{len(data)} bytes", f"{count}", "copy it")
    return data


@contextmanager
def _data(path: Path, member: Member) -> Iterator[BinaryIO]:
    """Open a zip where a member's data begin, after comparing the member's own header."""
    where = _where(path, member)
    with path.open("rb") as stream:
        stream.seek(member.start)
        header = stream.read(_HEADER.size)
        if len(header) < _HEADER.size or not header.startswith(MAGIC):
            raise UnreadableError(where, "no header", "one where the directory says")
        fields = _HEADER.unpack(header)
        flags, method, length, extra = fields[2], fields[3], fields[9], fields[10]
        name = stream.read(length)
        if name != member.name.encode("utf-8" if flags & 0x800 else "cp437", "replace"):
            raise UnreadableError(where, f"the name {name!r}", "the directory's")
        if method != member.method:
            raise UnreadableError(where, f"method {method}", f"{member.method}")
        if _HEADER.size + length + extra + member.packed > member.room:
            raise UnsafeError(where, "a member that overlaps another", "one after another")
        stream.seek(extra, 1)
        yield stream


def _pieces(stream: BinaryIO, left: int) -> Iterator[bytes]:
    while left and (piece := stream.read(min(left, BLOCK_BYTES))):
        left -= len(piece)
        yield piece


def _inflated(path: Path, member: Member, packed: Iterator[bytes]) -> Iterator[bytes]:
    """Yield unpacked bytes, one more than stated at most."""
    engine, left = zlib.decompressobj(-zlib.MAX_WBITS), member.size + 1
    try:
        for piece in packed:
            while piece and left and not engine.eof:
                block = engine.decompress(piece, min(left, BLOCK_BYTES))
                piece, left = engine.unconsumed_tail, left - len(block)
                yield block
        yield engine.flush()
    except zlib.error as error:
        raise UnreadableError(
            _where(path, member), f"damaged deflate data ({error})", "an intact member",
            "copy or download it again",
        ) from error  # fmt: skip


def _where(path: Path, member: Member) -> str:
    return f"{path.name}: {member.name}"


def _broken(path: Path, found: str) -> UnreadableError:
    return UnreadableError(path.name, found, "an intact zip", "copy or download it again")
