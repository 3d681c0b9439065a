"""Members of a tar as they come: every header is judged before its data, in pieces of any size."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Iterator

import pytest

from neurodata import safe_tar
from neurodata.errors import UnreadableError, UnsafeError

END = bytes(1024)


def header(name: bytes, size: int | bytes = 0, kind: bytes = b"0", ustar: bool = True) -> bytes:
    """A header with its sum; a size in bytes is the field itself."""
    head = bytearray(tarfile.TarInfo().tobuf(tarfile.USTAR_FORMAT))
    head[:100] = name.ljust(100, b"\0")
    head[124:136] = size if isinstance(size, bytes) else b"%011o\0" % size
    head[156:157] = kind
    if not ustar:
        head[257:] = bytes(255)
    return summed(head)


def summed(head: bytearray, signed: bool = False) -> bytes:
    head[148:156] = b" " * 8
    total = sum(head) - (256 * sum(byte > 127 for byte in head) if signed else 0)
    head[148:156] = b"%06o\0 " % total
    return bytes(head)


def filled(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def file(name: bytes, data: bytes = b"", kind: bytes = b"0") -> bytes:
    return header(name, len(data), kind) + filled(data)


def records(*texts: bytes, kind: bytes = b"x") -> bytes:
    """An extended header of records that are given as they are."""
    data = b"".join(texts)
    return header(b"pax", len(data), kind) + filled(data)


def record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = next(n for n in range(len(rest), len(rest) + 9) if n == len(rest) + len(str(n)))
    return str(length).encode() + rest


def pieces(data: bytes, length: int) -> Iterator[bytes]:
    return (data[at : at + length] for at in range(0, len(data), length))


def found(data: bytes, length: int = 2**20) -> list[tuple[str, bytes, bool]]:
    """Names, contents and whether each is a folder."""
    members = safe_tar.members(pieces(data, length), "synthetic.tar")
    return [(one.name, b"".join(one.blocks), one.is_folder) for one in members]


@pytest.mark.parametrize("length", [1, 7, 511, 512, 513, 10_000])
def test_pieces_of_any_size_make_the_same_members(length: int) -> None:
    data = file(b"a.dat", b"x" * 600) + file(b"b/", kind=b"5") + file(b"empty") + END
    assert found(data, length) == [("a.dat", b"x" * 600, False), ("b", b"", True),
                                   ("empty", b"", False)]  # fmt: skip


def test_what_is_not_taken_is_skipped() -> None:
    data = file(b"a.dat", b"x" * 5000) + file(b"b.dat", b"y" * 512) + file(b"c.dat") + END
    members = safe_tar.members(pieces(data, 700), "synthetic.tar")
    assert [(one.name, one.size) for one in members] == [
        ("a.dat", 5000), ("b.dat", 512), ("c.dat", 0),
    ]  # fmt: skip


def test_names_of_every_form() -> None:
    long = b"n" * 300
    prefixed = bytearray(header(b"b.dat"))
    prefixed[345:351] = b"folder"
    data = (
        header(b"././@LongLink", len(long) + 1, b"L") + filled(long + b"\0") + file(b"cut", b"1")
        + records(record(b"mtime", b"1"), record(b"path", "é.dat".encode())) + file(b"cut", b"2")
        + summed(prefixed) + header(b"old/", kind=b"\0", ustar=False)
        + header(b"old.dat", kind=b"\0", ustar=False) + file(b"whole", b"3", kind=b"7")
        + header(b"./../././x") + header(b"/", kind=b"5") + header(b"f" * 100) + END
    )  # fmt: skip
    assert found(data) == [
        (long.decode(), b"1", False), ("é.dat", b"2", False), ("folder/b.dat", b"", False),
        ("old", b"", True), ("old.dat", b"", False), ("whole", b"3", False),
        ("../././x", b"", False), ("/", b"", True), ("f" * 100, b"", False),
    ]  # fmt: skip


def test_facts_hold_for_one_member() -> None:
    data = records(record(b"path", b"a")) + file(b"x") + file(b"y") + END
    assert [name for name, _, _ in found(data)] == ["a", "y"]
    data = records(record(b"comment", b"of all"), kind=b"g") + file(b"x") + END
    assert [name for name, _, _ in found(data)] == ["x"]


def test_sizes_of_every_form() -> None:
    whole = [b"\x80" + (3).to_bytes(11, "big"), b"          3\0", b"0000000003 ".ljust(12)]
    for size in whole:
        assert found(header(b"a", size) + filled(b"abc") + END) == [("a", b"abc", False)]
    assert found(header(b"a", bytes(12)) + END) == [("a", b"", False)]
    large = bytes(0o1234567)
    assert found(header(b"a", b"00001234567\0") + filled(large) + END) == [("a", large, False)]
    stated = records(record(b"size", b"3")) + header(b"a", 0) + filled(b"abc") + END
    assert found(stated) == [("a", b"abc", False)]
    almost = header(b"a", b"\x80" + (2**63 - 1).to_bytes(11, "big"))
    with pytest.raises(UnreadableError, match="an end 9223372036854775807 bytes too early"):
        found(almost)


DAMAGED = {
    "another sum": (b"\1" + header(b"a")[1:] + END, "another sum"),
    "a size of letters": (header(b"a", b"12x45678901\0") + END, "a size of"),
    "a size of 8": (header(b"a", b"00000000008\0") + END, "a size of"),
    "a size of 2^63": (header(b"a", b"\x80" + (2**63).to_bytes(11, "big")) + END, "a size of"),
    "a size of 2^80": (header(b"a", b"\x80\x01" + bytes(10)) + END, "a size of"),
    "a stated size below 0": (records(record(b"size", b"-1")) + header(b"a") + END, "of '-1'"),
    "a stated size of no digits": (records(record(b"size", b"")) + header(b"a") + END, "of ''"),
    "a stated size in other digits": (
        records(record(b"size", "٣".encode())) + header(b"a") + END, "of '٣'",
    ),
    "a stated size of 19 digits": (
        records(record(b"size", b"1" * 19)) + header(b"a") + END, "of '1111",
    ),
    "a folder with data": (header(b"a/", 3, b"5") + filled(b"abc") + END, "a folder 'a/' with"),
    "no UTF-8": (header(b"\xff") + END, "not UTF-8"),
    "a stated name that is no UTF-8": (
        records(record(b"path", b"\xff")) + header(b"a") + END, "not UTF-8",
    ),
    "a long name without its file": (
        header(b"L", 5, b"L") + filled(b"name\0") + END, "without its file",
    ),
    "a record without its length": (records(b"path=a\n") + header(b"a") + END, "damaged"),
    "a record of other letters": (records(b"x path=a\n") + header(b"a") + END, "damaged"),
    "a record of length 0": (records(b"0 path=a\n") + header(b"a") + END, "damaged"),
    "a record that is too short": (records(b"8 path=a\n") + header(b"a") + END, "damaged"),
    "a record over the end": (records(b"99 path=a\n") + header(b"a") + END, "damaged"),
    "a record of a long length": (records(b"00000016 path=a\n") + header(b"a") + END, "damaged"),
    "a record without a value": (records(b"7 path\n") + header(b"a") + END, "damaged"),
    "a record without its line's end": (records(b"10 path=a\0") + header(b"a") + END, "damaged"),
    "nothing": (b"", "an end 512 bytes too early"),
    "no end": (file(b"a"), "an end 512 bytes too early"),
    "half a header": (header(b"a")[:100], "an end 412 bytes too early"),
    "less data": (header(b"a", 600) + bytes(512), "an end 88 bytes too early"),
}  # fmt: skip


@pytest.mark.parametrize("story", DAMAGED)
def test_damage_is_told_with_its_place(story: str) -> None:
    data, told = DAMAGED[story]
    with pytest.raises(UnreadableError, match="an intact tar") as caught:
        found(data)
    assert told in caught.value.found
    assert caught.value.where.startswith("synthetic.tar: byte ")


def test_the_place_is_where_reading_stopped() -> None:
    with pytest.raises(UnreadableError) as caught:
        found(file(b"a", b"x" * 600) + b"\1" * 512)
    assert caught.value.where == "synthetic.tar: byte 2048"


UNSAFE = {
    "a hard link": header(b"a", kind=b"1"),
    "a symbolic link": header(b"a", kind=b"2"),
    "a device": header(b"a", kind=b"3"),
    "a named pipe": header(b"a", kind=b"6"),
    "a member of type b'Z'": header(b"a", kind=b"Z"),
    "a sparse file": records(record(b"SCHILY.realsize", b"1")) + header(b"a"),
    "a sparse": records(record(b"GNU.sparse.name", b"a")) + header(b"a"),
    "one name or size for all members": records(record(b"size", b"1"), kind=b"g") + header(b"a"),
    "bytes after the end of the archive": file(b"a") + END + b"x",
    "a header of 1048577 bytes": header(b"L", 2**20 + 1, b"L") + bytes(2**20 + 512),
}


@pytest.mark.parametrize("story", UNSAFE)
def test_what_is_no_file_or_folder_is_refused(story: str) -> None:
    with pytest.raises(UnsafeError) as caught:
        found(UNSAFE[story] + END, 2**22)
    assert caught.value.found.startswith(story)


def test_zeros_after_the_end_are_none() -> None:
    assert found(file(b"a") + bytes(512)) == [("a", b"", False)]
    assert found(file(b"a") + bytes(10_240), 4096) == [("a", b"", False)]


def test_a_header_as_long_as_its_limit_is_read_at_once() -> None:
    """Its records are as short as can be, so that there are as many as can be."""
    texts = (b"6 a=b\n" * (2**20 // 6)).ljust(2**20, b"\0")
    data = records(texts) + file(b"x") + END
    begun = time.monotonic()
    assert [name for name, _, _ in found(data)] == ["x"]
    assert time.monotonic() - begun < 5


def test_a_header_has_the_sum_of_its_bytes() -> None:
    head = bytearray(header("é".encode()))
    assert safe_tar.is_header(bytes(head))
    assert safe_tar.is_header(summed(head, signed=True))
    head[148:156] = b"%06o\0 " % (int(head[148:154], 8) + 1)
    assert not safe_tar.is_header(bytes(head))
    for damage in (bytes(512), b"", header(b"a")[:511], b"\0" * 511 + b"\1"):
        assert not safe_tar.is_header(damage)
    head = bytearray(header(b"a"))
    for text in (b"        ", b"9" * 8, b"12 34\0\0\0"):
        head[148:156] = text
        assert not safe_tar.is_header(bytes(head))


def test_tars_of_the_standard_library_come_whole() -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as made:
        info = tarfile.TarInfo("d" * 200)
        info.size = 700
        made.addfile(info, io.BytesIO(b"z" * 700))
    assert found(stream.getvalue(), 333) == [("d" * 200, b"z" * 700, False)]


def test_a_prefix_has_155_bytes() -> None:
    head = bytearray(header(b"a"))
    head[345:501] = b"p" * 156
    assert found(summed(head) + END) == [("p" * 155 + "/a", b"", False)]
