"""The zip door: hostile directories are refused, members come back whole or not at all."""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neurodata import safe_zip
from neurodata.errors import NeurodataError, UnknownFormatError, UnreadableError, UnsafeError
from neurodata.safe_zip import members, read_member, read_range

LIMIT = 2**20
TEXT = b"some text, and some more of it. " * 40


def make(path: Path, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        file.mkdir("a")
        file.writestr("a/b.txt", TEXT)
        file.writestr("é.bin", bytes(range(256)))
    return path


def patched(path: Path, at: int, value: bytes) -> Path:
    """Overwrite bytes of the first member's entry in the directory."""
    whole = bytearray(path.read_bytes())
    start = whole.index(b"PK\x01\x02", whole.index(b"PK\x01\x02") + 4) + at
    whole[start : start + len(value)] = value
    path.write_bytes(whole)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_what_was_packed(method: int, tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", method)
    found = members(path)
    assert list(found) == ["a/b.txt", "é.bin"]
    assert read_member(path, found["a/b.txt"], LIMIT) == TEXT
    assert read_member(path, found["é.bin"], LIMIT) == bytes(range(256))
    assert read_range(path, found["a/b.txt"], 7, 40, LIMIT) == TEXT[7:47]
    with pytest.raises(UnreadableError):
        read_range(path, found["a/b.txt"], 7, len(TEXT), LIMIT)
    with pytest.raises(UnsafeError):
        read_member(path, found["a/b.txt"], 100)


@pytest.mark.parametrize(
    "name",
    ["../b", "a/../../b", "/etc/passwd", "a//b", "./b", "a\\..\\b", "C:/b", "a/..", "b\n", "c\0d"],
)
def test_names_that_lead_elsewhere_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x" * len(name), "text")
    path.write_bytes(path.read_bytes().replace(b"x" * len(name), name.encode()))
    with pytest.raises(UnsafeError, match="leads elsewhere"):
        members(path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_special_files_are_refused(kind: int, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(info, "/etc/passwd")
    with pytest.raises(UnsafeError, match=r"link|special"):
        members(path)


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("one", "1")
        file.writestr("two", "2")
    path.write_bytes(path.read_bytes().replace(b"two", b"one"))
    with pytest.raises(UnsafeError, match="twice"):
        members(path)


LIES: dict[str, tuple[Callable[[Path], Path], type[Exception]]] = {
    "size": (lambda p: patched(p, 24, struct.pack("<I", 2**31)), UnsafeError),
    "packed size": (lambda p: patched(p, 20, struct.pack("<I", 2**30)), NeurodataError),
    "place": (lambda p: patched(p, 42, struct.pack("<I", 2**30)), UnreadableError),
    "overlap": (lambda p: patched(p, 42, struct.pack("<I", 0)), NeurodataError),
    "encrypted": (lambda p: patched(p, 8, struct.pack("<H", 1)), UnknownFormatError),
    "method": (lambda p: patched(p, 10, struct.pack("<H", 12)), UnknownFormatError),
}


@pytest.mark.parametrize("lie", list(LIES))
def test_lying_directories_are_refused(lie: str, tmp_path: Path) -> None:
    change, kind = LIES[lie]
    path = change(make(tmp_path / "a.zip", zipfile.ZIP_DEFLATED))
    with pytest.raises(kind):
        read_member(path, members(path)["a/b.txt"], LIMIT)


def test_a_bomb_is_stopped_at_what_it_states(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/b.txt", "x")
        file.writestr("a/zeros", bytes(2**22))
    whole = bytearray(path.read_bytes())
    at = whole.rindex(b"PK\x01\x02")
    struct.pack_into("<I", whole, at + 24, 1000)
    path.write_bytes(whole)
    with pytest.raises(UnreadableError, match="1001 bytes"):
        read_member(path, members(path)["a/zeros"], LIMIT)


def test_too_many_members_and_too_large_a_directory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a.zip")
    monkeypatch.setattr(safe_zip, "COUNT_LIMIT", 2)
    with pytest.raises(UnsafeError, match="members"):
        members(path)
    monkeypatch.setattr(safe_zip, "COUNT_LIMIT", 9)
    monkeypatch.setattr(safe_zip, "DIRECTORY_LIMIT_BYTES", 20)
    with pytest.raises(UnsafeError, match="directory"):
        members(path)


def wide(path: Path, comment: bytes = b"", **stated: int) -> Path:
    """Give a zip a large directory; what its small end states is given, else that it is large."""
    whole = path.read_bytes()
    at = whole.rindex(b"PK\x05\x06")
    count, length, start = struct.unpack_from("<H2I", whole, at + 10)
    large = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, start)
    large += struct.pack("<4sIQI", b"PK\x06\x07", 0, at, 1)
    end = struct.pack(
        "<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, stated.get("count", 0xFFFF),
        stated.get("length", 2**32 - 1), 2**32 - 1, len(comment),
    )  # fmt: skip
    path.write_bytes(whole[:at] + large + end + comment)
    return path


@pytest.mark.parametrize("comment", [b"", b"c" * 65_535])
def test_large_directories_are_read_and_bounded(
    comment: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = wide(make(tmp_path / "a.zip"), comment)
    assert read_member(path, members(path)["a/b.txt"], LIMIT) == TEXT
    monkeypatch.setattr(safe_zip, "DIRECTORY_LIMIT_BYTES", 20)
    with pytest.raises(UnsafeError, match="a directory of 3 members"):
        members(path)


def test_a_large_directory_that_the_end_does_not_speak_of_is_bounded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = wide(make(tmp_path / "a.zip"), count=1, length=10)
    monkeypatch.setattr(safe_zip, "DIRECTORY_LIMIT_BYTES", 20)
    with pytest.raises(UnsafeError, match="a directory of 3 members"):
        members(path)


def test_a_large_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = wide(make(tmp_path / "a.zip"))
    for old, new in ((b"PK\x06\x06", b"PK\x06\x05"), (b"PK\x06\x07", b"PK\x06\x08")):
        whole = path.read_bytes()
        assert whole.count(old) == 1
        path.write_bytes(whole.replace(old, new))
        with pytest.raises(UnreadableError, match="no large directory"):
            members(path)
    path.write_bytes(whole[whole.index(b"PK\x06\x07") - 5 :])
    with pytest.raises(UnreadableError, match="no large directory"):
        members(path)


def test_more_members_than_are_stated_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a.zip")
    whole = bytearray(path.read_bytes())
    struct.pack_into("<H", whole, whole.rindex(b"PK\x05\x06") + 10, 2)
    path.write_bytes(whole)
    with pytest.raises(UnreadableError, match="3 members where 2 are stated"):
        members(path)
    monkeypatch.setattr(safe_zip, "COUNT_LIMIT", 2)
    with pytest.raises(UnsafeError, match="3 members"):
        members(path)


def test_a_name_that_zipfile_reads_otherwise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does on other systems, and in later versions by an extra field."""
    path = make(tmp_path / "a.zip")
    entries = zipfile.ZipFile.infolist

    def renamed(file: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
        entries(file)[1].filename = "another.txt"
        return entries(file)

    monkeypatch.setattr(zipfile.ZipFile, "infolist", renamed)
    with pytest.raises(UnsafeError, match=r"a member of two names, 'a/b\.txt'"):
        members(path)


def test_a_file_that_was_cut_since_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip")
    member = members(path)["a/b.txt"]
    assert read_range(path, member, 0, member.size, LIMIT) == TEXT
    path.write_bytes(path.read_bytes()[: member.start + 100])
    with pytest.raises(UnreadableError):
        read_range(path, member, 0, member.size, LIMIT)
    with pytest.raises(UnreadableError, match="with another CRC"):
        read_member(path, member, LIMIT)
    path.write_bytes(path.read_bytes()[: member.start + 20])
    with pytest.raises(UnreadableError, match="no header"):
        read_member(path, member, LIMIT)


def test_any_cut_and_any_flip_is_refused_or_harmless(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", zipfile.ZIP_DEFLATED)
    whole, random = path.read_bytes(), np.random.default_rng(8)
    for count in random.integers(0, len(whole), 20):
        path.write_bytes(whole[:count])
        with pytest.raises(NeurodataError):
            members(path)
    for _ in range(500):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            found = members(path)
            if "a/b.txt" in found:
                assert read_member(path, found["a/b.txt"], LIMIT) == TEXT
        except NeurodataError:
            pass
