"""NPY headers, XML documents, HDF5 heaps and lent files: each is bounded before it is believed."""

from __future__ import annotations

import gzip
import io
import multiprocessing
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodata import safe_npy, safe_scratch, safe_xml
from neurodata.errors import MissingDependencyError, UnreadableError, UnsafeError
from neurodata.safe_hdf5_heap import check_heaps, claimed_numbers


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# --- NPY --------------------------------------------------------------------------------------


def npy(text: str, version: int = 1, values: bytes = b"") -> bytes:
    form = "<H" if version == 1 else "<I"
    start = b"\x93NUMPY" + bytes([version, 0])
    return start + struct.pack(form, len(text.encode())) + text.encode() + values


PLAIN = "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3)}"


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("fortran", [False, True])
def test_npy_arrays_are_those_of_numpy(tmp_path: Path, version: int, fortran: bool) -> None:
    values = np.asarray(np.arange(6, dtype="<i2").reshape(2, 3), order="F" if fortran else "C")
    stream = io.BytesIO()
    np.lib.format.write_array(stream, values, version=(version, 0))
    path = put(tmp_path / "a.npy", stream.getvalue())
    found = safe_npy.mapped(path)
    assert (found.dtype, found.tolist()) == (values.dtype, values.tolist())
    head = safe_npy.header(path)
    assert (head.shape, head.fortran_order) == ((2, 3), fortran)
    assert head.offset == len(stream.getvalue()) - values.nbytes
    put(path, stream.getvalue() + b"\0")
    with pytest.raises(UnreadableError, match="bytes for an array"):
        safe_npy.mapped(path)
    put(path, stream.getvalue()[:-1])
    with pytest.raises(UnreadableError, match="bytes for an array"):
        safe_npy.mapped(path)


NOT_NPY = {
    "nothing": b"",
    "another magic": b"\x93NUMPX" + npy(PLAIN)[6:],
    "eleven bytes": npy(PLAIN)[:11],
    "version 0": npy(PLAIN, 0),
    "version 4": npy(PLAIN, 4),
    "a cut header": npy(PLAIN)[:-1],
    "a long header": npy(PLAIN.ljust(2**14 + 1)),
    "no Python": npy("{'descr': "),
    "a call": npy(PLAIN.replace("(2, 3)", "(print(1),)")),
    "deep nesting": npy("(" * 9000),
    "no UTF-8": npy(PLAIN).replace(b"<i2", b"<\xff2"),
    "no dictionary": npy("[1, 2, 3, 4, 5]"),
    "another key": npy(PLAIN.replace("'shape'", "'form'")),
    "one key more": npy(PLAIN.replace("{", "{'x': 1, ")),
    "fields": npy(PLAIN.replace("'<i2'", "[('a', '<i2')]")),
    "an unknown type": npy(PLAIN.replace("<i2", "<x2")),
    "an impossible type": npy(PLAIN.replace("<i2", "<i3")),
    "a size of no tuple": npy(PLAIN.replace("(2, 3)", "[2, 3]")),
    "a negative size": npy(PLAIN.replace("(2, 3)", "(-2, 3)")),
    "a size of no number": npy(PLAIN.replace("(2, 3)", "(True, 3)")),
    "an order of no truth": npy(PLAIN.replace("False", "0")),
    "33 axes": npy(PLAIN.replace("(2, 3)", repr((1,) * 33))),
}


@pytest.mark.parametrize("story", NOT_NPY)
def test_what_is_no_npy_header_is_refused(story: str) -> None:
    with pytest.raises(UnreadableError, match="an NPY file of version 1 to 3"):
        safe_npy.parse(NOT_NPY[story], "a.npy")


def test_a_header_may_be_as_long_as_its_limit_and_have_32_axes() -> None:
    shape = (1,) * 32
    text = PLAIN.replace("(2, 3)", repr(shape))
    assert safe_npy.parse(npy(text.ljust(2**14), 2), "a.npy").shape == shape
    assert safe_npy.parse(npy(PLAIN), "a.npy").offset == 10 + len(PLAIN)
    assert safe_npy.parse(npy(PLAIN, 2), "a.npy").offset == 12 + len(PLAIN)


def test_pickled_and_empty_arrays_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([None]), allow_pickle=True)
    with pytest.raises(UnsafeError, match="pickled objects"):
        safe_npy.mapped(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.zeros((0, 3)))
    with pytest.raises(UnreadableError, match="not empty"):
        safe_npy.mapped(tmp_path / "b.npy")


# --- XML --------------------------------------------------------------------------------------


def nested(depth: int) -> bytes:
    return b"<a>" * depth + b"</a>" * depth


def test_elements_are_counted_and_told_without_prefixes() -> None:
    seen: list[Any] = []
    document = '<p:a xmlns:p="x" id="1"><b>µ</b><p:b/></p:a>'.encode()
    counts = safe_xml.check(
        safe_xml.in_blocks(document), "a.xml",
        start=lambda name, attributes: seen.append((name, attributes.get("id"))),
        end=lambda name: seen.append(f"/{name}"), text=seen.append,
    )  # fmt: skip
    assert dict(counts) == {"a": 1, "b": 2}
    assert seen == [("a", "1"), ("b", None), "µ", "/b", ("b", None), "/b", "/a"]


def test_a_document_in_blocks_is_the_same_document() -> None:
    data = b"<a>" + b"<b/>" * 50_000 + b"</a>"
    blocks = list(safe_xml.in_blocks(data))
    assert [len(block) for block in blocks] == [65536, 65536, 65536, len(data) - 3 * 65536]
    assert safe_xml.check(blocks, "a.xml")["b"] == 50_000


HOSTILE_XML = {
    "a document type": b"<!DOCTYPE a><a/>",
    "an entity": b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    "a file of the machine": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "a document type in UTF-16": "\ufeff<!DOCTYPE a><a/>".encode("utf-16-le"),
    "elements 101 deep": nested(101),
}


@pytest.mark.parametrize("story", HOSTILE_XML)
def test_what_no_plain_document_has_is_refused(story: str) -> None:
    with pytest.raises(UnsafeError, match=r"\(line 1\); expected plain XML"):
        safe_xml.check([HOSTILE_XML[story]], "a.xml")


def test_depth_counts_what_is_open_and_elements_have_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert safe_xml.check([nested(100)], "a.xml")["a"] == 100
    assert safe_xml.check([b"<r>" + nested(99) * 3 + b"</r>"], "a.xml")["a"] == 297
    monkeypatch.setattr(safe_xml, "ELEMENT_LIMIT", 10)
    assert safe_xml.check([nested(10)], "a.xml")["a"] == 10
    with pytest.raises(UnsafeError, match="over 10 elements"):
        safe_xml.check([b"<r>", b"<a/>" * 10, b"</r>"], "a.xml")


@pytest.mark.parametrize(
    "data",
    [b"", b"<a>", b"<a></b>", b"<a/><a/>", b"<a>&b;</a>", b"<a>\xff</a>", b"text",
     b"<?xml version='1.0' encoding='nonsense'?><a/>"],
)  # fmt: skip
def test_what_is_not_well_formed_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableError, match=f"no well-formed XML after {len(data)} bytes|after"):
        safe_xml.check([data], "a.xml")


# --- HDF5 heaps -------------------------------------------------------------------------------


def heap(*objects: tuple[int, int], size: int = 4096) -> bytes:
    """A global heap: number and length of each object, then what is free."""
    body = b"".join(
        struct.pack("<HHIQ", number, 1, 0, length) + bytes(-(-length // 8) * 8)
        for number, length in objects
    )
    free = struct.pack("<HHIQ", 0, 0, 0, size - 16 - len(body))
    return (b"GCOL\x01\0\0\0" + struct.pack("<Q", size) + body + free).ljust(size, b"\0")


def test_heaps_whose_walk_ends_are_let_through(tmp_path: Path) -> None:
    for number, data in enumerate(
        (heap((1, 5), (2, 8)), b"x" * 77 + heap((1, 3)), heap((1, 0), (2, 4)), b"no heap here")
    ):
        check_heaps(put(tmp_path / f"{number}.h5", data), 8)


def test_a_heap_with_free_space_of_no_length_is_refused(tmp_path: Path) -> None:
    endless = bytearray(heap((1, 5)))
    struct.pack_into("<Q", endless, 16 + 24 + 8, 0)
    for before in (b"", b"x" * 77, heap((1, 5))):
        path = put(tmp_path / f"{len(before)}.h5", before + bytes(endless))
        with pytest.raises(UnreadableError, match=f"at byte {len(before) + 40}"):
            check_heaps(path, 8)
    cut = put(tmp_path / "cut.h5", bytes(endless[:4095]))  # HDF5 refuses that by itself
    check_heaps(cut, 8)


def test_heaps_lie_one_after_the_other(tmp_path: Path) -> None:
    """A thousand marks, each the start of the whole rest, would be walked over a thousand times."""
    check_heaps(put(tmp_path / "a.h5", heap((1, 5)) * 3), 8)
    one = b"GCOL\x01\0\0\0" + struct.pack("<Q", 6000)
    with pytest.raises(UnsafeError, match="heaps that overlap"):
        check_heaps(put(tmp_path / "b.h5", one * 1000), 8)


def test_rows_of_any_length_claim_what_they_claim(tmp_path: Path) -> None:
    rows = b"".join(struct.pack("<IQI", count, 2**40, 7) for count in (3, 0, 2**31))
    path = put(tmp_path / "a.h5", b"before" + rows)
    assert claimed_numbers(path, 6, 3, 8) == 3 + 2**31
    assert claimed_numbers(path, 6, 1, 8) == 3
    assert claimed_numbers(path, 6, 0, 8) == 0
    with pytest.raises(UnreadableError, match="48 bytes of rows; expected 64 bytes"):
        claimed_numbers(path, 6, 4, 8)
    four = b"".join(struct.pack("<III", count, 2**30, 7) for count in (3, 4))
    assert claimed_numbers(put(path, four), 0, 2, 4) == 7


# --- scratch ----------------------------------------------------------------------------------


def test_a_lent_folder_holds_copies_and_links_and_is_gone_afterwards(tmp_path: Path) -> None:
    original = put(tmp_path / "a.dat", b"data")
    files: dict[str, Any] = {
        "a/b.con": b"header", "c.dat": original,
        "d": safe_scratch.Outline(10, [(0, b"ab"), (6, b"cd")]),
    }  # fmt: skip
    with safe_scratch.lent("a library", "a.con", files) as folder:
        assert (folder / "a/b.con").read_bytes() == b"header"
        assert (folder / "c.dat").is_symlink()
        assert (folder / "c.dat").read_bytes() == b"data"
        assert (folder / "d").read_bytes() == b"ab\0\0\0\0cd\0\0"
    assert not folder.exists()
    assert original.read_bytes() == b"data"


def test_a_scratch_folder_goes_with_its_owner_alone() -> None:
    folder = safe_scratch.ScratchFolder()
    path = folder.path
    process = multiprocessing.get_context("fork").Process(target=folder.__dict__.clear)
    process.start()
    process.join()
    assert process.exitcode == 0
    safe_scratch._remove(path, os.getpid() + 1)
    assert path.is_dir()
    del folder
    assert not path.exists()


@pytest.mark.parametrize("name", ["", "/etc/x", "../x", "a/../../x"])
def test_nothing_is_lent_outside_of_the_folder(name: str) -> None:
    with (
        pytest.raises(UnsafeError, match="out of the folder"),
        safe_scratch.lent("a library", "a.con", {name: b"x"}),
    ):
        pytest.fail("it was lent")


def test_any_failure_of_a_library_is_a_refusal_but_our_own_stay() -> None:
    with (
        pytest.raises(UnreadableError, match=r"a library cannot read \(ZeroDivisionError\)"),
        safe_scratch.failing("a library", "a.con"),
    ):
        _ = 1 / 0
    with pytest.raises(UnsafeError), safe_scratch.failing("a library", "a.con"):
        raise UnsafeError("a", "b")
    with pytest.raises(MissingDependencyError), safe_scratch.failing("a library", "a.con"):
        raise MissingDependencyError("a", "b")


def test_packed_files_are_unpacked_aside_within_a_ratio(tmp_path: Path) -> None:
    plain = put(tmp_path / "a.txt", b"spikes")
    with safe_scratch.unpacked(plain) as path:
        assert path == plain
    packed = put(tmp_path / "a.gz", gzip.compress(os.urandom(2**21)))
    with safe_scratch.unpacked(packed) as path:
        assert path.parent != tmp_path
        assert path.name == "a"
        assert path.read_bytes() == gzip.decompress(packed.read_bytes())
    assert not path.exists()
    bomb = put(tmp_path / "b.gz", gzip.compress(bytes(2**22)))
    with pytest.raises(UnsafeError, match="unpacked"), safe_scratch.unpacked(bomb):
        pytest.fail("it was unpacked")
    cut = put(tmp_path / "c.gz", packed.read_bytes()[:-9])
    with pytest.raises(UnreadableError, match="damaged gzip"), safe_scratch.unpacked(cut):
        pytest.fail("it was unpacked")


def test_large_scratch_arrays_lie_in_a_file_and_small_ones_in_memory() -> None:
    small, large = safe_scratch.scratch("f8", 2**23), safe_scratch.scratch("f8", 2**23 + 1)
    assert (type(small), type(large)) == (np.ndarray, np.memmap)
    assert (small.shape, large.shape, large.dtype) == ((2**23,), (2**23 + 1,), np.dtype("f8"))
    large[-1] = 7.0
    assert large[-1] == 7.0
