"""The door for spreadsheets: hostile and damaged workbooks are refused before they are read."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openpyxl
import pytest

from neurodata import safe_xlsx, safe_xml
from neurodata.errors import NeurodataError, UnknownFormatError, UnreadableError, UnsafeError

ROWS = [("pre", "post", "n"), ("ADAL", "ADAR", 3), ("ADAR", "ADAL", 4.5)]
SHEET = "xl/worksheets/sheet1.xml"
RELATION = (
    b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    b'<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/%s" '
    b'Target="%s" TargetMode="External"/></Relationships>'
)
Parts = dict[str, bytes]


def parts(rows: list[tuple[object, ...]] = ROWS) -> Parts:
    """The parts of a small synthetic workbook."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    stream = io.BytesIO()
    book.save(stream)
    with zipfile.ZipFile(stream) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(folder: Path, content: Parts, method: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "synthetic.xlsx"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def read(path: Path) -> list[list[tuple[object, ...]]]:
    book = safe_xlsx.open_xlsx(path)
    return [list(safe_xlsx.cells(book, name)) for name in book.sheets]


def test_cells_come_back(tmp_path: Path) -> None:
    assert read(write(tmp_path, parts())) == [ROWS]
    content = parts([("id", None, True), (12345, None, -0.5)])
    content[SHEET] = content[SHEET].replace(b">12345<", b">720575940621039145<")
    expected = [("id", None, True), (720575940621039145, None, -0.5)]
    assert read(write(tmp_path, content)) == [expected]


def test_names_of_sheets_and_hidden_ones(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.create_sheet("second").sheet_state = "hidden"
    book.save(tmp_path / "synthetic.xlsx")
    opened = safe_xlsx.open_xlsx(tmp_path / "synthetic.xlsx")
    assert (opened.sheets, opened.hidden) == (("Sheet", "second"), ("second",))


DTD = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]>'


def _doctype(content: Parts) -> Parts:
    return {**content, SHEET: DTD + content[SHEET].partition(b"?>")[2]}


def _doctype_in_utf16(content: Parts) -> Parts:
    text = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a SYSTEM "file:///etc/hostname"><a/>'
    return {**content, "xl/styles.xml": text.encode("utf-16")}


def _bomb(content: Parts) -> Parts:
    return {**content, "xl/media/zeros.bin": bytes(16 * 2**20)}


def _deep(content: Parts) -> Parts:
    return {**content, "xl/deep.xml": b"<a>" * 200 + b"</a>" * 200}


HOSTILE: dict[str, Callable[[Parts], Parts]] = {
    "a document type": _doctype,
    "a document type (line 1)": _doctype_in_utf16,
    "a document type (line 1) ": lambda c: {**c, "xl/media/image1.png": DTD + b"<a/>"},
    "packed into": _bomb,
    "deep": _deep,
    "other workbooks": lambda c: {**c, "xl/externalLinks/externalLink1.xml": b"<a/>"},
    "a macro": lambda c: {**c, "xl/vbaProject.bin": b"code"},
    "'../out.xml'": lambda c: {**c, "../out.xml": b"<a/>"},
    "'/etc/out.xml'": lambda c: {**c, "/etc/out.xml": b"<a/>"},
    "'xl/a/../../../b.xml'": lambda c: {**c, "xl/a/../../../b.xml": b"<a/>"},
    "twice": lambda c: {**c, "XL/WORKBOOK.XML": b"<a/>"},
    "a link to 'file:///etc/hostname'": lambda c: {
        **c, "xl/_rels/extra.xml.rels": RELATION % (b"oleObject", b"file:///etc/hostname")
    },
}  # fmt: skip


@pytest.mark.parametrize("story", HOSTILE)
def test_hostile_workbooks_are_refused(story: str, tmp_path: Path) -> None:
    path = write(tmp_path, HOSTILE[story](parts()))
    with pytest.raises(UnsafeError) as caught:
        safe_xlsx.open_xlsx(path)
    assert story.strip() in caught.value.found


@pytest.mark.parametrize("start", [b"", b" \r\n" * 200_000, b"\xef\xbb\xbf", b"\xff\xfe"])
def test_a_sheet_of_any_name_is_checked(start: bytes, tmp_path: Path) -> None:
    """The workbook itself says which part is a sheet, and openpyxl parses that as XML."""
    content, other = parts(), "xl/worksheets/sheet1.png"
    sheet = content.pop(SHEET).partition(b"?>")[2] if b"?>" in content[SHEET] else content[SHEET]
    for name in ("xl/_rels/workbook.xml.rels", "[Content_Types].xml"):
        content[name] = content[name].replace(b"sheet1.xml", b"sheet1.png")
    assert read(write(tmp_path, {**content, other: sheet})) == [ROWS]
    text = b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + sheet
    if start == b"\xff\xfe":
        text = text.decode().encode("utf-16-le")
    path = write(tmp_path, {**content, other: start + text}, zipfile.ZIP_STORED)
    with pytest.raises(UnsafeError, match="a document type"):
        safe_xlsx.open_xlsx(path)


def test_pictures_are_let_through(tmp_path: Path) -> None:
    for picture in (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9, b"", bytes(999)):
        assert read(write(tmp_path, {**parts(), "xl/media/image1.png": picture})) == [ROWS]


def test_a_workbook_is_known_by_its_parts_even_when_damaged(tmp_path: Path) -> None:
    path = write(tmp_path, parts())
    whole = path.read_bytes()
    assert safe_xlsx.is_xlsx(whole[:4096], path)
    path.write_bytes(whole[:-30])
    assert safe_xlsx.is_xlsx(whole[:4096], path)
    assert not safe_xlsx.is_xlsx(b"PK\x03\x04 another archive", path)
    assert not safe_xlsx.is_xlsx(b"text xl/", path)
    other = write(tmp_path, {"a.txt": b"xl/"})
    assert not safe_xlsx.is_xlsx(other.read_bytes(), other)


@pytest.mark.parametrize("lost", ["xl/workbook.xml", "[Content_Types].xml"])
def test_a_workbook_without_a_part_is_refused(lost: str, tmp_path: Path) -> None:
    content = parts()
    del content[lost]
    with pytest.raises(UnreadableError, match="a damaged workbook"):
        read(write(tmp_path, content))


@pytest.mark.parametrize("target", [b"/xl/worksheets/sheet1.xml", b"worksheets/sheet1.xml"])
def test_a_sheet_that_is_not_there_is_not_passed_over(target: bytes, tmp_path: Path) -> None:
    content, places = parts(), "xl/_rels/workbook.xml.rels"
    content[places] = content[places].replace(b"/xl/worksheets/sheet1.xml", target)
    assert b'Target="' + target + b'"' in content[places]
    assert read(write(tmp_path, content)) == [ROWS]
    del content[SHEET]
    with pytest.raises(UnreadableError, match=r"the sheet '.*sheet1.xml', which is not there"):
        read(write(tmp_path, content))


def test_web_addresses_behind_cells_are_no_links(tmp_path: Path) -> None:
    link = RELATION % (b"officeDocument/2006/relationships/hyperlink", b"https://example.org")
    path = write(tmp_path, {**parts(), "xl/worksheets/_rels/sheet1.xml.rels": link})
    assert read(path) == [ROWS]


def test_encryption_and_unknown_methods_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, parts())
    whole = path.read_bytes()
    central = whole.index(b"PK\x01\x02")
    path.write_bytes(whole[: central + 8] + struct.pack("<H", 1) + whole[central + 10 :])
    with pytest.raises(UnknownFormatError, match="an encrypted member"):
        safe_xlsx.open_xlsx(path)
    with pytest.raises(UnknownFormatError, match="zip method 14"):
        safe_xlsx.open_xlsx(write(tmp_path, parts(), zipfile.ZIP_LZMA))


def test_limits_of_parts_and_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, parts())
    monkeypatch.setattr(safe_xlsx, "CELL_LIMIT", 5)
    with pytest.raises(UnsafeError, match="over 5 cells"):
        read(path)
    monkeypatch.setattr(safe_xlsx, "TOTAL_LIMIT_BYTES", 100)
    with pytest.raises(UnsafeError, match="parts of"):
        safe_xlsx.open_xlsx(path)


def test_stated_dimensions_are_not_trusted(tmp_path: Path) -> None:
    content = parts()
    content[SHEET] = content[SHEET].replace(b'ref="A1:C3"', b'ref="A1:XFD1048576"')
    assert read(write(tmp_path, content)) == [ROWS]
    content[SHEET] = content[SHEET].replace(b'ref="A1:XFD1048576"', b'ref="A1:B2"')
    assert read(write(tmp_path, content)) == [ROWS]


def test_a_row_far_below_costs_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = parts()
    content[SHEET] = content[SHEET].replace(b'<row r="3"', b'<row r="999999999"')
    path = write(tmp_path, content)
    monkeypatch.setattr(safe_xlsx, "CELL_LIMIT", 10_000)
    with pytest.raises(UnsafeError, match="over 10000 cells"):
        read(path)


def test_rows_out_of_order_are_refused(tmp_path: Path) -> None:
    content = parts()
    content[SHEET] = content[SHEET].replace(b'<row r="3"', b'<row r="1"')
    with pytest.raises(UnreadableError, match="row 1 after row 2"):
        read(write(tmp_path, content))


def test_formulas_have_their_stored_value_or_are_refused(tmp_path: Path) -> None:
    content = parts([("pre", "post", "n"), ("A", "B", "=1+1")])
    with pytest.raises(UnreadableError, match="cell C2: found a formula without its value"):
        read(write(tmp_path, content))
    for empty in (b"<v></v>", b"<v />", b"<v/>"):
        content[SHEET] = content[SHEET].replace(empty, b"<v>2</v>")
    assert read(write(tmp_path, content))[0][1] == ("A", "B", 2)


def test_damage_is_refused_or_does_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path, parts())
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        try:
            found = read(path)
        except NeurodataError:
            continue
        assert found == [ROWS]
    for size in np.linspace(0, len(whole) - 1, 20).astype(int):
        path.write_bytes(whole[:size])
        with pytest.raises(NeurodataError):
            read(path)


# the parser's check


@pytest.mark.parametrize(("document", "error"), [
    (b"<a><b></a>", UnreadableError),
    (b"<a>", UnreadableError),
    (b"", UnreadableError),
    (b'<!DOCTYPE a><a/>', UnsafeError),
    (b'<?xml version="1.0" encoding="ebcdic-of-mars"?><a/>', UnreadableError),
    ('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'.encode("utf-16"), UnsafeError),
    (b"<a>&unknown;</a>", UnreadableError),
])  # fmt: skip
def test_what_is_no_plain_xml_is_refused(document: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        safe_xml.check(safe_xml.in_blocks(document), "synthetic.xml")


def test_documents_larger_than_a_block_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    document = b"<a>" + b"<b x='1'/>" * 20_000 + b"</a>"
    assert safe_xml.check(safe_xml.in_blocks(document), "synthetic.xml") == {"a": 1, "b": 20_000}
    monkeypatch.setattr(safe_xml, "ELEMENT_LIMIT", 100)
    with pytest.raises(UnsafeError, match="over 100 elements"):
        safe_xml.check(safe_xml.in_blocks(document), "synthetic.xml")
