"""Feather files whose tables lie: each batch and buffer is compared with the file before Arrow."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodata import safe_feather
from neurodata.errors import UnreadableError, UnsafeError

pa = pytest.importorskip("pyarrow")
TAIL = 10  # the length of the footer and the magic


def feather(path: Path, packed: bool = True) -> Path:
    """A synthetic file of two batches and a dictionary."""
    columns = {"id": np.arange(2000), "kind": pa.array(["a", "b"] * 1000).dictionary_encode()}
    table = pa.table(columns)
    options = pa.ipc.IpcWriteOptions(compression="lz4" if packed else None)
    with pa.ipc.new_file(str(path), table.schema, options=options) as writer:
        for batch in table.to_batches(max_chunksize=1000):
            writer.write_batch(batch)
    return path


class Tables:
    """Where the tables of a Feather file lie, by the layout that FlatBuffers documents."""

    def __init__(self, data: bytearray) -> None:
        self.data = data
        (length,) = struct.unpack_from("<i", data, len(data) - TAIL)
        self.footer = self.follow(len(data) - TAIL - length)

    def number(self, form: str, at: int) -> int:
        return int(struct.unpack_from(form, self.data, at)[0])

    def follow(self, at: int) -> int:
        return at + self.number("<I", at)

    def slot(self, table: int, slot: int) -> int:
        """The place in a table's layout that says where a field is."""
        return table - self.number("<i", table) + 4 + 2 * slot

    def field(self, table: int, slot: int) -> int:
        return table + self.number("<H", self.slot(table, slot))

    def block(self, kind: int = 3, index: int = 0) -> int:
        """Where the footer keeps the place of a batch (3) or a dictionary (2)."""
        return self.follow(self.field(self.footer, kind)) + 4 + 24 * index

    def message(self, kind: int = 3) -> int:
        return self.follow(self.number("<q", self.block(kind)) + 8)

    def batch(self, kind: int = 3) -> int:
        header = self.follow(self.field(self.message(kind), 2))
        return header if kind == 3 else self.follow(self.field(header, 1))

    def buffer(self, index: int) -> int:
        return self.follow(self.field(self.batch(), 2)) + 4 + 16 * index

    def body(self) -> int:
        return self.number("<q", self.block()) + self.number("<i", self.block() + 8)


def put(form: str, at: Callable[[Tables], int], value: int) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        struct.pack_into(form, data, at(Tables(data)), value)

    return change


def test_names_and_batches_are_those_that_were_written(tmp_path: Path) -> None:
    for packed in (True, False):
        path = feather(tmp_path / "a.feather", packed)
        assert safe_feather.names(path) == ["id", "kind"]
        batches = list(safe_feather.batches(path, ["kind", "id"]))
        assert [batch.num_rows for batch in batches] == [1000, 1000]
        assert batches[1].column("id").to_pylist() == list(range(1000, 2000))
        assert batches[0].column("kind").to_pylist() == ["a", "b"] * 500


def first_packed(tables: Tables) -> int:
    """Where the first column's numbers state what they unpack to."""
    return tables.body() + tables.number("<q", tables.buffer(1))


WRONG: dict[str, tuple[Callable[[bytearray], None], str]] = {
    "another start": (lambda data: data.__setitem__(0, 0), "no end of a Feather file"),
    "another end": (lambda data: data.__setitem__(-1, 0), "no end of a Feather file"),
    "a footer larger than the file": (
        put("<i", lambda t: len(t.data) - TAIL, 2**30), "no end of a Feather file",
    ),
    "a footer over the start": (
        put("<i", lambda t: len(t.data) - TAIL, 0), "damaged Feather data",
    ),
    "a batch after the end": (put("<q", lambda t: t.block(), 2**40), "outside the file"),
    "a batch before the start": (put("<q", lambda t: t.block(), -8), "outside the file"),
    "a message of less than no bytes": (
        put("<i", lambda t: t.block() + 8, -8), "outside the file",
    ),
    "a body below 0": (put("<q", lambda t: t.block() + 16, -8), "outside the file"),
    "a body beyond the footer": (
        put("<q", lambda t: t.block(3, 1) + 16, 2**20), "outside the file",
    ),
    "a body larger than its place": (put("<q", lambda t: t.block() + 16, 8), "bytes in 8"),
    "a buffer beyond its batch": (put("<q", lambda t: t.buffer(1), 2**30), "outside its batch"),
    "a buffer before its batch": (put("<q", lambda t: t.buffer(1), -1), "outside its batch"),
    "a buffer of less than no bytes": (
        put("<q", lambda t: t.buffer(1) + 8, -1), "outside its batch",
    ),
    "a buffer that unpacks to less than nothing": (put("<q", first_packed, -2), "a buffer of -2"),
    "a message of no kind": (
        put("<H", lambda t: t.slot(t.message(), 1), 0), "damaged Feather data (ValueError)",
    ),
    "a message of nothing": (
        put("<H", lambda t: t.slot(t.message(), 2), 0), "damaged Feather data (ValueError)",
    ),
    "a dictionary of nothing": (
        put("<H", lambda t: t.slot(t.follow(t.field(t.message(2), 2)), 1), 0),
        "damaged Feather data (ValueError)",
    ),
    "a table whose layout lies before the file": (
        put("<i", lambda t: t.message(), 2**30), "damaged Feather data (ValueError)",
    ),
    "a table whose layout lies after the file": (
        put("<i", lambda t: t.message(), -(2**30)), "damaged Feather data (error)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("story", WRONG)
def test_what_lies_is_refused(story: str, tmp_path: Path) -> None:
    change, found = WRONG[story]
    path = feather(tmp_path / "a.feather")
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)
    with pytest.raises(UnreadableError, match="a Feather file of version 2") as caught:
        safe_feather.names(path)
    assert found in caught.value.found
    with pytest.raises(UnreadableError):
        list(safe_feather.batches(path, ["id"]))


def test_a_file_without_batches_has_names(tmp_path: Path) -> None:
    path = feather(tmp_path / "a.feather")
    data = bytearray(path.read_bytes())
    for kind in (2, 3):
        struct.pack_into("<H", data, Tables(data).slot(Tables(data).footer, kind), 0)
    path.write_bytes(data)
    assert safe_feather.names(path) == ["id", "kind"]
    assert list(safe_feather.batches(path, ["id"])) == []


def test_sums_and_counts_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = feather(tmp_path / "a.feather")
    monkeypatch.setattr("neurodata.safe.GZIP_RATIO_LIMIT", 0)
    total = 2000 * (8 + 4)  # ids, and codes of words; beside the two words
    monkeypatch.setattr(safe_feather, "FREE_BYTES", total + 100)
    assert safe_feather.names(path) == ["id", "kind"]
    monkeypatch.setattr(safe_feather, "FREE_BYTES", total)
    with pytest.raises(UnsafeError, match="bytes unpacked"):
        safe_feather.names(path)
    monkeypatch.undo()
    monkeypatch.setattr(safe_feather, "BLOCK_LIMIT", 2)
    assert len(list(safe_feather.batches(path, ["id"]))) == 2
    monkeypatch.setattr(safe_feather, "BLOCK_LIMIT", 1)
    with pytest.raises(UnsafeError, match="2 batches"):
        safe_feather.names(path)


def test_names_that_come_twice_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.feather"
    table: Any = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(UnreadableError, match="a column's name that comes twice"):
        safe_feather.names(path)


@pytest.mark.parametrize("size", [0, 6, 15, 16])
def test_less_than_a_file_can_have_is_refused(size: int, tmp_path: Path) -> None:
    path = tmp_path / "a.feather"
    path.write_bytes(safe_feather.MAGIC.ljust(size, b"\0")[:size])
    with pytest.raises(UnreadableError, match=f"{size} bytes" if size < 16 else "no end"):
        safe_feather.names(path)


def test_values_that_arrow_finds_damaged_are_refused(tmp_path: Path) -> None:
    path = feather(tmp_path / "a.feather", packed=False)
    data = bytearray(path.read_bytes())
    tables = Tables(data)
    at = tables.body() + tables.number("<q", tables.buffer(3))
    struct.pack_into("<i", data, at, 9)  # a code of no word
    path.write_bytes(data)
    with pytest.raises(UnreadableError, match="damaged Feather data"):
        list(safe_feather.batches(path, ["kind"]))
