"""What a file is, in a person's words, that no reader knows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from neurodata.errors import RefusedError
from neurodata.safe import head


@dataclass(frozen=True)
class Kind:
    """What a content is called, and what its owner may do.

    ``data`` says whether it may hold recordings.
    """

    name: str
    hint: str
    data: bool = True


UNNEEDED = "remove it if unneeded"
UNPACK = "unpack it, then ingest the folder"
BY_ITSELF = "ingest it by itself, or unpack it and ingest the folder"
WHOLE = "check that the file is whole and of the right name"
STARTS = (
    (b"%PDF", Kind("a PDF document", UNNEEDED, data=False)),
    (b"\x89PNG\r\n\x1a\n", Kind("a PNG picture", UNNEEDED, data=False)),
    (b"\xff\xd8\xff", Kind("a JPEG picture", UNNEEDED, data=False)),
    (b"GIF8", Kind("a GIF picture", UNNEEDED, data=False)),
    (b"PK\x03\x04", Kind("a ZIP archive", BY_ITSELF)),
    (b"PK\x05\x06", Kind("an empty ZIP archive", UNNEEDED)),
    (b"Rar!\x1a\x07", Kind("a RAR archive", UNPACK)),
    (b"7z\xbc\xaf\x27\x1c", Kind("a 7z archive", UNPACK)),
    (b"\xfd7zXZ\0", Kind("XZ-packed data", UNPACK)),
    (b"BZh", Kind("bzip2-packed data", UNPACK)),
    (b"\x28\xb5\x2f\xfd", Kind("Zstandard-packed data", UNPACK)),
    (b"\x89HDF\r\n\x1a\n", Kind("an HDF5 file", WHOLE)),
    (b"\x93NUMPY", Kind("a NumPy array", "put the arrays of a recording into one folder")),
    (b"\x80\x02", Kind("a Python pickle", "save it in a format that runs no code")),
    (b"\x80\x03", Kind("a Python pickle", "save it in a format that runs no code")),
    (b"\x80\x04", Kind("a Python pickle", "save it in a format that runs no code")),
    (b"\x80\x05", Kind("a Python pickle", "save it in a format that runs no code")),
    (b"SQLite format 3\0", Kind("an SQLite database", "export its tables")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind("an old Office document", UNNEEDED, data=False)),
    (b"\x7fELF", Kind("a program", UNNEEDED, data=False)),
    (b"MZ", Kind("a program", UNNEEDED, data=False)),
    (b"RIFF", Kind("sound or video", UNNEEDED, data=False)),
    (b"ID3", Kind("sound", UNNEEDED, data=False)),
    (b"\0\x05\x16\x07", Kind("macOS's notes on a file", UNNEEDED, data=False)),
)
HTML = Kind("an HTML page", "download the file again: a server sent a page in its place")
UNKNOWN = Kind("bytes of no known format", WHOLE)
CONTROLS = bytes({*range(32)} - {*b"\t\n\v\f\r\x1b"})
SYSTEM = ("thumbs.db", "desktop.ini", "icon\r")
_PAGE = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype html|html|head|body)\b", re.I | re.S)


def describe(start: bytes) -> Kind:
    """Say what content with these first bytes is.

    Examples
    --------
    >>> describe(b"<!DOCTYPE html><html>404").name, describe(bytes(64)).name
    ('an HTML page', 'zeros only')
    """
    for magic, kind in STARTS:
        if start.startswith(magic):
            return kind
    if start[257:262] == b"ustar":
        return Kind("a TAR archive", BY_ITSELF)
    if start[4:8] == b"ftyp":
        return Kind("a video", UNNEEDED, data=False)
    if _PAGE.match(start.removeprefix(b"\xef\xbb\xbf")):
        return HTML
    if not start.strip(b"\0"):
        return Kind("zeros only", "copy or download it again")
    return Kind("text", UNNEEDED) if _is_text(start) else UNKNOWN


def describe_file(path: Path) -> Kind:
    """Say what a file is; one whose packing is damaged is of no known format."""
    if path.name.lower() in SYSTEM:
        return Kind("a file of the operating system", UNNEEDED, data=False)
    try:
        return describe(head(path))
    except RefusedError:
        return UNKNOWN


def _is_text(start: bytes) -> bool:
    if start.translate(None, CONTROLS) != start:
        return False
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:  # the last character may be cut
        return error.start >= len(start) - 4
    return True
