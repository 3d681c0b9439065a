"""The tar leaf of the one door: members come one by one from a stream, files and folders only.

Every header is judged before its data are read. Links, devices, sparse files and whatever else a
tar can hold are refused, as are archives without an end and bytes after it, which some programs
would read and others not.

References
----------
POSIX.1-2017, pax: https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html;
GNU tar: https://www.gnu.org/software/tar/manual/html_node/Standard.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from neurodata.errors import UnreadableError, UnsafeError

HEADER_BYTES = 512
TEXT_LIMIT_BYTES = 2**20
_FILES, _FOLDER = (b"0", b"\0", b"7"), b"5"
_SIZE = re.compile(r"[0-9]{1,18}")
_LONG_NAME, _FACTS, _FACTS_OF_ALL = b"L", b"x", b"g"
_OTHERS = {
    b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device",
    b"6": "a named pipe", b"K": "a link of a long name", b"S": "a sparse file",
    b"M": "a part of another volume", b"D": "an incremental folder", b"V": "a volume's label",
}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """A file or folder in a tar: its name, its size in bytes and its content in pieces.

    The content has to be taken before the next member is asked for; what is left is skipped.
    """

    name: str
    size: int
    is_folder: bool
    blocks: Iterator[bytes]


def is_header(block: bytes) -> bool:
    """Say whether bytes begin with a tar header: its sum is that of its bytes.

    Examples
    --------
    >>> import io, tarfile
    >>> info = tarfile.TarInfo("a")
    >>> is_header(info.tobuf()), is_header(bytes(512))
    (True, False)
    """
    if len(block) < HEADER_BYTES or not block[:HEADER_BYTES].strip(b"\0"):
        return False
    head = block[:148] + b" " * 8 + block[156:HEADER_BYTES]
    signed = sum(head) - 256 * sum(byte > 127 for byte in head)
    text = block[148:156].strip(b"\0 ")
    return text.isdigit() and set(text) <= set(b"01234567") and int(text, 8) in (sum(head), signed)


def members(blocks: Iterator[bytes], where: str) -> Iterator[Member]:
    """Yield the members of a tar as they come.

    Parameters
    ----------
    blocks : iterator of bytes
        The tar in pieces of any size, unpacked.
    where : str
        The archive, for messages.

    Raises
    ------
    UnsafeError
        On links, devices, sparse files and all that is no file or folder, and on bytes after
        the end.
    UnreadableError
        When it is damaged, cut or has no end.
    """
    source = _Source(blocks, where)
    facts: dict[str, str] = {}
    while (header := source.exactly(HEADER_BYTES)).strip(b"\0"):
        if not is_header(header):
            raise source.broken("a header with another sum")
        kind, size = header[156:157], _number(header[124:136], source)
        if kind in (_LONG_NAME, _FACTS, _FACTS_OF_ALL):
            facts |= _stated(kind, source.text(size), source)
            continue
        member = _member(header, kind, size, facts, source)
        facts = {}
        yield member
        for _ in member.blocks:
            pass
        source.skip(-member.size % HEADER_BYTES)
    if facts:
        raise source.broken("a name without its file")
    if any(block.strip(b"\0") for block in source.rest()):
        raise UnsafeError(where, "bytes after the end of the archive", "zeros", "pack it again")


def _member(
    header: bytes, kind: bytes, size: int, facts: dict[str, str], source: _Source
) -> Member:
    name = facts.get("path") or _name(header, source)
    if kind not in (*_FILES, _FOLDER):
        what = _OTHERS.get(kind, f"a member of type {kind!r}")
        raise UnsafeError(f"{source.where}: {name!r}", what, "files and folders only",
                          "put the file itself in the archive")  # fmt: skip
    if "size" in facts:
        if not _SIZE.fullmatch(facts["size"]):
            raise source.broken(f"a size of {facts['size'][:20]!r}")
        size = int(facts["size"])
    is_folder = kind == _FOLDER or (kind == b"\0" and name.endswith("/"))
    if is_folder and size:
        raise source.broken(f"a folder {name!r} with data")
    while name.startswith("./"):
        name = name[2:]
    if is_folder and len(name) > 1:
        name = name.removesuffix("/")
    return Member(name, size, is_folder, source.pieces(size))


def _name(header: bytes, source: _Source) -> str:
    name = header[:100].partition(b"\0")[0]
    if header[257:263] == b"ustar\0" and (prefix := header[345:500].partition(b"\0")[0]):
        name = prefix + b"/" + name
    return _decoded(name, source)


def _decoded(name: bytes, source: _Source) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise source.broken(f"the name {name!r}, which is not UTF-8") from error


def _number(field: bytes, source: _Source) -> int:
    """Return a size: octal text, or a binary number after a byte of 0x80."""
    if field[0] == 0x80:
        number = int.from_bytes(field[1:], "big")
    else:
        text = field.strip(b"\0 ")
        if text and not set(text) <= set(b"01234567"):
            raise source.broken(f"a size of {field!r}")
        number = int(text or b"0", 8)
    if number >= 2**63:
        raise source.broken(f"a size of {number}")
    return number


def _stated(kind: bytes, text: bytes, source: _Source) -> dict[str, str]:
    """Return what a long name or the records of an extended header state, if it matters."""
    if kind == _LONG_NAME:
        return {"path": _decoded(text.rstrip(b"\0"), source)}
    found: dict[str, str] = {}
    at, stop = 0, len(text.rstrip(b"\0"))
    while at < stop:
        length = text[at : at + 8].partition(b" ")[0]
        end = at + int(length) if length.isdigit() and len(length) < 8 else 0
        key, equals, value = text[at + len(length) + 1 : max(end - 1, 0)].partition(b"=")
        if not equals or end > len(text) or text[end - 1 : end] != b"\n":
            raise source.broken("an extended header that is damaged")
        if key.startswith((b"GNU.sparse", b"SCHILY.realsize")):
            raise UnsafeError(source.where, "a sparse file", "plain files", "pack it without -S")
        if key in (b"path", b"size"):
            found[key.decode()] = _decoded(value, source)
        at = end
    if found and kind == _FACTS_OF_ALL:
        raise UnsafeError(source.where, "one name or size for all members", "each its own")
    return found


class _Source:
    """A stream of blocks, taken in the sizes that are asked for."""

    def __init__(self, blocks: Iterator[bytes], where: str) -> None:
        self.blocks, self.where = blocks, where
        self.held, self.total = b"", 0

    def broken(self, found: str) -> UnreadableError:
        return UnreadableError(
            f"{self.where}: byte {self.total}", found, "an intact tar", "copy or download it again"
        )

    def pieces(self, count: int) -> Iterator[bytes]:
        """Yield ``count`` bytes in pieces."""
        while count:
            if not self.held:
                self.held = next(self.blocks, b"")
                if not self.held:
                    raise self.broken(f"an end {count} bytes too early")
            piece, self.held = self.held[:count], self.held[count:]
            count -= len(piece)
            self.total += len(piece)
            yield piece

    def exactly(self, count: int) -> bytes:
        return b"".join(self.pieces(count))

    def skip(self, count: int) -> None:
        self.exactly(count)

    def text(self, size: int) -> bytes:
        """Return a name or an extended header, without what fills it up."""
        if size > TEXT_LIMIT_BYTES:
            raise UnsafeError(
                self.where, f"a header of {size} bytes", f"at most {TEXT_LIMIT_BYTES}"
            )
        text = self.exactly(size)
        self.skip(-size % HEADER_BYTES)
        return text

    def rest(self) -> Iterator[bytes]:
        yield self.held
        yield from self.blocks
