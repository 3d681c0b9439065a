"""The zip door to the last byte: what just fits is read, one more is refused."""

from __future__ import annotations

import stat
import struct
import zipfile
from pathlib import Path

import pytest

from neurodata import safe_zip
from neurodata.errors import UnreadableError, UnsafeError
from neurodata.safe_archive import unpack
from neurodata.safe_zip import members, read_member, read_range
from tests.hostile.archives import Zip

LIMIT = 2**20
END = b"PK\x05\x06"


def zipped(path: Path, *contents: bytes, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for number, data in enumerate(contents):
            file.writestr(f"{number}.dat", data)
    return path


def changed(path: Path, mark: bytes, at: int, form: str, value: int, which: int = 0) -> Path:
    """Put a number into the directory's entry, a member's header or the end, by its mark."""
    whole, place = bytearray(path.read_bytes()), -1
    for _ in range(which + 1):
        place = whole.index(mark, place + 1)
    struct.pack_into(form, whole, place + at, value)
    path.write_bytes(whole)
    return path


def test_limits_are_what_they_are() -> None:
    assert safe_zip.DIRECTORY_LIMIT_BYTES == 268_435_456
    assert safe_zip.COUNT_LIMIT == 1_000_000


def test_a_zip_of_nothing_is_one(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip")
    assert path.stat().st_size == 22
    assert members(path) == {}
    path.write_bytes(safe_zip.MAGIC + path.read_bytes())
    with pytest.raises(UnreadableError, match="an archive without a file"):
        unpack(path, tmp_path / "out")


def test_writers_that_count_no_further_than_65535_are_understood(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", *[b""] * (2**16 + 2))
    whole = bytearray(path.read_bytes())
    length, start = struct.unpack_from("<2Q", whole, whole.rindex(b"PK\x06\x06") + 40)
    del whole[whole.rindex(b"PK\x06\x06") : whole.rindex(END)]
    struct.pack_into("<2H2I", whole, whole.rindex(END) + 8, 2, 2, length, start)
    path.write_bytes(whole)
    assert len(members(path)) == 2**16 + 2
    other = zipped(tmp_path / "b.zip", *[b""] * 35)
    with pytest.raises(UnreadableError, match="35 members where 3 are stated"):
        members(changed(other, END, 10, "<H", 3))


def test_an_end_that_speaks_of_a_large_directory_needs_one(tmp_path: Path) -> None:
    for at, form, value in ((10, "<H", 0xFFFF), (12, "<I", 0xFFFFFFFF)):
        path = changed(zipped(tmp_path / "a.zip", b"x"), END, at, form, value)
        with pytest.raises(UnreadableError, match="no large directory"):
            members(path)
    end = struct.pack("<4s4H2IH", END, 0, 0, 1, 1, 10, 0, 0)
    path.write_bytes(struct.pack("<4sIQI", b"PK\x06\x07", 0, 0, 1) + end)
    with pytest.raises(UnreadableError, match="no large directory"):
        members(path)


@pytest.mark.parametrize(
    ("kind", "told"), [(stat.S_IFLNK, "found a link"), (stat.S_IFIFO, "found a special file")]
)
def test_special_files_are_told_apart(kind: int, told: str, tmp_path: Path) -> None:
    path = Zip().add(b"a", attributes=(kind | 0o777) << 16).write(tmp_path)
    with pytest.raises(UnsafeError, match=told):
        members(path)
    for plain in (stat.S_IFREG, stat.S_IFDIR):
        path = Zip().add(b"a", attributes=(plain | 0o777) << 16).write(tmp_path)
        assert list(members(path)) == ["a"]


def test_a_stored_member_has_one_size(tmp_path: Path) -> None:
    for size in (3, 5):
        path = changed(zipped(tmp_path / "a.zip", b"four"), b"PK\x01\x02", 24, "<I", size)
        with pytest.raises(UnreadableError, match=f"4 bytes; expected {size} stored"):
            members(path)


def test_a_member_unpacks_to_1032_times_its_size(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", bytes(9), method=zipfile.ZIP_DEFLATED)
    (member,) = members(path).values()
    most = 1032 * (member.packed + 1)
    (member,) = members(changed(path, b"PK\x01\x02", 24, "<I", most)).values()
    assert member.size == most
    with pytest.raises(UnsafeError, match=f"{most + 1} bytes from {member.packed}"):
        members(changed(path, b"PK\x01\x02", 24, "<I", most + 1))


@pytest.mark.parametrize("which", [0, 1])
def test_a_member_ends_before_what_follows(which: int, tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", b"1" * 50, b"2" * 50, method=zipfile.ZIP_DEFLATED)
    member = list(members(path).values())[which]
    assert read_member(path, member, LIMIT) == b"12"[which : which + 1] * 50
    told = ("overlaps another", "a member that begins")[which]
    changed(path, b"PK\x01\x02", 20, "<I", member.room - 30 + 1, which)
    with pytest.raises((UnsafeError, UnreadableError), match=told):
        members(path)
    changed(path, b"PK\x01\x02", 20, "<I", member.room - 30 - 4, which)  # over its name of 5
    with pytest.raises(UnsafeError, match="overlaps another"):
        read_member(path, list(members(path).values())[which], LIMIT)


def test_ranges_of_stored_members_are_read_alone_up_to_the_limit(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", bytes(range(100)))
    (member,) = members(path).values()
    assert read_range(path, member, 7, 40, limit=40) == bytes(range(7, 47))
    assert read_range(path, member, 100, 0, limit=0) == b""
    for start, count in ((-1, 5), (5, -1), (61, 40)):
        with pytest.raises(UnreadableError, match="at least"):
            read_range(path, member, start, count, limit=100)
    with pytest.raises(UnsafeError, match="at most 39"):
        read_range(path, member, 7, 40, limit=39)


def test_old_names_are_in_the_letters_of_old_machines(tmp_path: Path) -> None:
    path = Zip().add(b"\x82.dat", b"content", flags=0).write(tmp_path)
    assert read_member(path, members(path)["é.dat"], LIMIT) == b"content"


@pytest.mark.parametrize(
    ("at", "form", "value", "told"),
    [(8, "<H", 8, "method 8; expected 0"), (30, "<B", 65, "the name b'A.dat'"),
     (28, "<H", 99, "overlaps another"), (0, "<B", 0, "no header")],
)  # fmt: skip
def test_a_member_is_what_the_directory_says(
    at: int, form: str, value: int, told: str, tmp_path: Path
) -> None:
    path = zipped(tmp_path / "a.zip", b"content")
    (member,) = members(path).values()
    changed(path, b"PK\x03\x04", at, form, value)
    with pytest.raises((UnreadableError, UnsafeError), match=told):
        read_member(path, member, LIMIT)


def test_members_of_any_size_come_whole(tmp_path: Path) -> None:
    """Also those whose last bytes zlib holds back when it has taken all that is packed."""
    for more in range(0, 600, 7):
        data = bytes(safe_zip.BLOCK_BYTES + more)
        path = zipped(tmp_path / "a.zip", data, method=zipfile.ZIP_DEFLATED)
        (member,) = members(path).values()
        assert read_member(path, member, LIMIT) == data


@pytest.mark.parametrize("stated", [1000, 300_000])
def test_a_bomb_gives_one_byte_more_than_it_states(stated: int, tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", bytes(2**22), method=zipfile.ZIP_DEFLATED)
    (member,) = members(changed(path, b"PK\x01\x02", 24, "<I", stated)).values()
    with pytest.raises(UnreadableError, match=f"{stated + 1} bytes with another CRC"):
        read_member(path, member, LIMIT)


def test_limits_are_met_to_the_last_member_and_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(tmp_path / "a.zip", b"one", b"two", b"three")
    whole = path.read_bytes()
    (length,) = struct.unpack_from("<I", whole, whole.rindex(END) + 12)
    monkeypatch.setattr(safe_zip, "COUNT_LIMIT", 3)
    monkeypatch.setattr(safe_zip, "DIRECTORY_LIMIT_BYTES", length)
    member = members(path)["2.dat"]
    assert read_member(path, member, limit=5) == b"three"
    with pytest.raises(UnsafeError, match="5 bytes; expected at most 4"):
        read_member(path, member, limit=4)
    monkeypatch.setattr(safe_zip, "DIRECTORY_LIMIT_BYTES", length - 1)
    with pytest.raises(UnsafeError, match="a directory of 3 members"):
        members(path)
