"""The spreadsheet leaf of the one door: every part of a workbook is checked before it is read.

An XLSX file is a zip archive of XML parts. All are unpacked once, in pieces, by the zip leaf of
the door; links to other files, macros and document types are refused. Only then openpyxl reads
cells, row by row, with the values that formulas had when the file was last saved.
"""

from __future__ import annotations

import datetime
import posixpath
import struct
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurodata import safe_xml, safe_zip
from neurodata.errors import (
    NeurodataError,
    RefusedError,
    UnreadableError,
    UnsafeError,
    need,
)

EXTRA = "connectome"
PART_LIMIT = 1000
TOTAL_LIMIT_BYTES = 512 * 2**20
RATIO_LIMIT = 200
RATIO_FREE_BYTES = 2**20  # small parts may be packed tighter: they hold little
CELL_LIMIT = 2**23
XML = (".xml", ".rels", ".vml")
BLANK = b"\xef\xbb\xbf\xfe\xff\0 \t\r\n"  # what may stand before the first letter of XML
WORKBOOK = "xl/workbook.xml"
Cell = str | int | float | bool | datetime.date | datetime.time | datetime.timedelta | None
# What zipfile and openpyxl raise on damaged bytes; all of it is turned into UnreadableError.
DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, ValueError, TypeError, IndexError,
    AttributeError, OverflowError, NotImplementedError, RuntimeError, SyntaxError, MemoryError,
    struct.error,
)  # fmt: skip


@dataclass(frozen=True)
class Workbook:
    """A checked workbook.

    Parameters
    ----------
    path : Path
    sheets : tuple of str
        Names of its sheets with cells, in order.
    hidden : tuple of str
        Those of them that are hidden.
    """

    path: Path
    sheets: tuple[str, ...]
    hidden: tuple[str, ...]


def is_xlsx(head: bytes, path: Path) -> bool:
    """Say whether a file is an XLSX workbook, damaged or not."""
    if not head.startswith(safe_zip.MAGIC):
        return False
    try:
        return WORKBOOK in safe_zip.members(path)
    except (RefusedError, OSError):
        return b"xl/" in head or b"[Content_Types].xml" in head


def open_xlsx(path: Path) -> Workbook:
    """Check every part of a workbook and return the names of its sheets.

    Raises
    ------
    UnsafeError
        On links to other files, macros, names that lead outside, document types, or when it
        unpacks to over 512 MiB or 200 times its size.
    UnknownFormatError
        When a part is encrypted.
    UnreadableError
        When it is damaged, or a formula's value was never stored.
    MissingDependencyError
        When openpyxl is not installed.

    Examples
    --------
    >>> import openpyxl, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.xlsx"
    >>> book = openpyxl.Workbook()
    >>> book.active.append(["pre", "post"])
    >>> book.save(path)
    >>> open_xlsx(path).sheets
    ('Sheet',)
    >>> list(cells(open_xlsx(path), "Sheet"))
    [('pre', 'post')]
    """
    need("openpyxl", EXTRA)
    with _damage(path):
        parts = safe_zip.members(path)
        _check_names(parts, path.name)
        for part in parts.values():
            _check_part(path, part, parts)
    with _opened(path) as book:
        names = [(sheet.title, sheet.sheet_state) for sheet in book.worksheets]
    hidden = tuple(name for name, state in names if state != "visible")
    return Workbook(path, tuple(name for name, _ in names), hidden)


def cells(book: Workbook, sheet: str) -> Generator[tuple[Cell, ...], None, None]:
    """Yield the cells of each row of a sheet; rows may differ in length, empty cells are None.

    Raises
    ------
    UnreadableError
        When the sheet is damaged.
    UnsafeError
        When it has over 8 million cells.
    """
    total = 0
    with _opened(book.path) as opened:
        page = opened[sheet]
        page.reset_dimensions()  # what the file states of its size may be wrong
        for row in page.iter_rows(values_only=True):
            total += 1 + len(row)
            if total > CELL_LIMIT:
                raise UnsafeError(
                    f"{book.path.name}: {sheet}", f"over {CELL_LIMIT} cells", "fewer",
                    "export the sheet as CSV",
                )  # fmt: skip
            yield tuple(row)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    openpyxl = need("openpyxl", EXTRA)
    with _damage(path), path.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about styles and extensions that are not read
        book = openpyxl.load_workbook(stream, read_only=True, data_only=True, keep_links=False)
        try:
            yield book
        finally:
            book.close()


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except NeurodataError:
        raise
    except DAMAGE as error:
        raise UnreadableError(
            path.name, f"a damaged workbook ({error})", "an intact XLSX file",
            "copy or download it again",
        ) from error  # fmt: skip


def _check_names(parts: Mapping[str, safe_zip.Member], where: str) -> None:
    names = Counter(name.casefold() for name in parts)
    total = sum(part.size for part in parts.values())
    if len(parts) > PART_LIMIT or total > TOTAL_LIMIT_BYTES:
        raise UnsafeError(
            where, f"{len(parts)} parts of {total} bytes unpacked",
            f"at most {PART_LIMIT} parts of {TOTAL_LIMIT_BYTES} bytes", "split the workbook",
        )  # fmt: skip
    for name in parts:
        if names[name.casefold()] > 1:
            raise UnsafeError(where, f"the part {name!r} twice", "each part once")
        if name.startswith("xl/externalLinks/"):
            raise UnsafeError(
                where, "cells that refer to other workbooks", "values of its own",
                "paste the values and save it again",
            )  # fmt: skip
        if name.lower().endswith((".bin", ".exe", ".dll")) and "vba" in name.lower():
            raise UnsafeError(where, f"a macro ({name})", "a workbook without", "save it as .xlsx")


def _check_part(path: Path, part: safe_zip.Member, parts: Collection[str]) -> None:
    """Unpack a part to its end, in pieces; check its size, ratio, CRC and, if XML, its content."""
    inside = f"{path.name}: {part.name}"
    if part.size > max(RATIO_FREE_BYTES, RATIO_LIMIT * part.packed):
        raise UnsafeError(
            inside, f"{part.size} bytes packed into {part.packed}",
            f"at most {RATIO_LIMIT} times", "save it again from a spreadsheet program",
        )  # fmt: skip
    blocks = safe_zip.blocks(path, part)
    if not _is_xml(path, part):
        for _ in blocks:
            pass
        return
    sheet = _Sheet(inside) if part.name.startswith("xl/worksheets/") else None
    if part.name.endswith(".rels"):
        around = f"/{part.name.rpartition('_rels/')[0]}"
        safe_xml.check(blocks, inside, lambda _, told: _check_relation(inside, around, parts, told))
    elif sheet:
        safe_xml.check(blocks, inside, sheet.start, sheet.end, sheet.text)
    else:
        safe_xml.check(blocks, inside)


def _is_xml(path: Path, part: safe_zip.Member) -> bool:
    """Say whether a part is XML by its name or its first letter: a sheet may have any name."""
    if part.name.lower().endswith(XML):
        return True
    bare = (block.lstrip(BLANK) for block in safe_zip.blocks(path, part))
    return next(filter(None, bare), b"").startswith(b"<")


def _check_relation(
    where: str, around: str, parts: Collection[str], attributes: dict[str, str]
) -> None:
    """Refuse a relation to a file outside, or to a sheet that is not there.

    Web addresses behind cells are never followed.
    """
    kind, target = attributes.get("Type", ""), attributes.get("Target", "")
    outside = attributes.get("TargetMode", "").lower() == "external"
    if outside and not kind.endswith("/hyperlink"):
        raise UnsafeError(
            where, f"a link to {target[:80]!r}", "parts of the workbook",
            "paste the values and save it again",
        )  # fmt: skip
    place = posixpath.normpath(posixpath.join(around, target))[1:]
    if kind.endswith("/worksheet") and place not in parts:
        raise UnreadableError(
            where, f"the sheet {target[:80]!r}, which is not there", "every sheet of the workbook",
            "copy or export it again",
        )  # fmt: skip


class _Sheet:
    """Find what would be lost: formulas without a stored value, rows out of order."""

    def __init__(self, where: str) -> None:
        self.where, self.row = where, 0
        self.cell: dict[str, str] = {}
        self.formula, self.value, self.inside = False, False, ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.inside = name
        if name == "row":
            number = attributes.get("r", str(self.row + 1))
            if not number.isdecimal() or int(number) <= self.row:
                raise UnreadableError(self.where, f"row {number} after row {self.row}", "in order")
            self.row = int(number)
        elif name == "c":
            self.cell, self.formula, self.value = attributes, False, False
        elif name == "f":
            self.formula = True

    def text(self, _: str) -> None:
        self.value = self.value or self.inside == "v"

    def end(self, name: str) -> None:
        self.inside = ""
        stated = self.value or self.cell.get("t") == "str"  # the empty text is a value
        if name == "c" and self.formula and not stated:
            raise UnreadableError(
                f"{self.where}, cell {self.cell.get('r')}", "a formula without its value",
                "values as last computed", "open and save it in a spreadsheet program",
            )  # fmt: skip
