"""The door for MATLAB files, element by element: what each may state, and at exactly which size."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from neurodata import safe_mat, safe_mat5
from neurodata.errors import InvalidInputError, RefusedError, UnreadableError, UnsafeError
from neurodata.safe_mat import Variable, value, variables
from neurodata.safe_mat5 import first_name, walk

CELL, STRUCT, CHAR, SPARSE, DOUBLE, OPAQUE = 1, 2, 4, 5, 6, 17
COMPLEX, LOGICAL = 0x0800, 0x0200


def element(kind: int, content: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}II", kind, len(content)) + content + bytes(-len(content) % 8)


def small(kind: int, content: bytes, size: int | None = None) -> bytes:
    """An element within its own tag."""
    stated = len(content) if size is None else size
    return struct.pack("<HH", kind, stated) + content.ljust(4, b"\0")


def array(
    name: bytes, kind: int, shape: tuple[int, ...], rest: bytes = b"", flags: int = 0,
    order: str = "<",
) -> bytes:  # fmt: skip
    """An array with its head; what it holds is given as it is."""
    head = element(6, struct.pack(f"{order}II", kind | flags, 0), order)
    if kind != OPAQUE:
        head += element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    return element(14, head + element(1, name, order) + rest, order)


def doubles(*values: float) -> bytes:
    return element(9, np.array(values, "<f8").tobytes())


def fields(*names: bytes, width: int = 8) -> bytes:
    joined = b"".join(name.ljust(width, b"\0") for name in names)
    return small(5, struct.pack("<i", width)) + element(1, joined)


def mat(folder: Path, *variables: bytes, order: str = "<") -> Path:
    mark = b"\0\x01IM" if order == "<" else b"\x01\0MI"
    path = folder / "synthetic.mat"
    path.write_bytes(safe_mat.MAGIC.ljust(124) + mark + b"".join(variables))
    return path


def packed(content: bytes) -> bytes:
    """A compressed variable, which is not padded."""
    data = zlib.compress(content)
    return struct.pack("<II", 15, len(data)) + data


PLAIN = array(b"x", DOUBLE, (1, 2), doubles(1, 2))


# --- what comes out ---------------------------------------------------------------------------


def test_every_kind_is_listed_with_its_parts(tmp_path: Path) -> None:
    inner = array(b"", DOUBLE, (1, 1), doubles(7))
    path = mat(
        tmp_path,
        array(b"d", DOUBLE, (2, 1), doubles(1, 2)),
        array(b"z", DOUBLE, (1, 1), doubles(1) + doubles(2), COMPLEX),
        array(b"l", 9, (1, 2), small(2, b"\1\0"), LOGICAL),
        array(b"t", CHAR, (1, 2), small(16, b"ab")),
        packed(array(b"c", CELL, (1, 2), inner + element(14, b""))),
        array(b"s", STRUCT, (1, 1), fields(b"one", b"two") + inner + inner),
        array(b"many", STRUCT, (1, 2), fields(b"f") + inner + inner),
        array(b"none", STRUCT, (1, 1), small(5, struct.pack("<i", 8)) + element(1, b"")),
        array(b"o", OPAQUE, (), b""),
        array(b"e", DOUBLE, (0, 3)), array(b"et", CHAR, (0, 0)),
        array(b"", DOUBLE, (1, 1), doubles(0)),  # MATLAB's own workspace
    )  # fmt: skip
    assert variables(path) == [
        Variable("d", "double", (2, 1)), Variable("z", "complex double", (1, 1)),
        Variable("l", "logical", (1, 2)), Variable("t", "char", (1, 2)),
        Variable("c", "cell", (1, 2)), Variable("c{1}", "double", (1, 1)),
        Variable("c{2}", "double", (0, 0)),
        Variable("s", "struct", (1, 1)), Variable("s.one", "double", (1, 1)),
        Variable("s.two", "double", (1, 1)),
        Variable("many", "struct", (1, 2)), Variable("many(1).f", "double", (1, 1)),
        Variable("many(2).f", "double", (1, 1)),
        Variable("none", "struct", (1, 1)), Variable("o", "opaque", ()),
        Variable("e", "double", (0, 3)), Variable("et", "char", (0, 0)),
    ]  # fmt: skip
    assert value(path, "many(2).f").tolist() == [[7.0]]
    assert value(path, "l").tolist() == [[1, 0]]
    assert value(path, "t").tolist() == ["ab"]
    assert (value(path, "e").shape, value(path, "et").shape) == ((0, 3), (0,))
    one, two = value(path, "c").ravel()
    assert (one.tolist(), two.shape) == ([[7.0]], (0, 0))


def test_cells_keep_their_shape_and_place(tmp_path: Path) -> None:
    inner = b"".join(array(b"", DOUBLE, (1, 2), doubles(n, n)) for n in range(6))
    path = mat(tmp_path, array(b"c", CELL, (2, 3), inner))
    found = value(path, "c")
    assert found.shape == (2, 3)
    assert [[cell[0, 0] for cell in row] for row in found] == [[0, 2, 4], [1, 3, 5]]


@pytest.mark.parametrize("order", ["<", ">"])
def test_text_in_every_encoding_and_byte_order(order: str, tmp_path: Path) -> None:
    codec = {"<": "le", ">": "be"}[order]
    texts = {
        b"a": (16, "aµ"), b"b": (17, "aµ"), b"c": (18, "aµ"), b"d": (4, "aµ"), b"e": (1, "ab"),
        b"f": (2, "a\xff"),
    }  # fmt: skip
    codecs = {16: "utf-8", 17: f"utf-16-{codec}", 18: f"utf-32-{codec}", 4: f"utf-16-{codec}",
              1: "latin-1", 2: "latin-1"}  # fmt: skip
    path = mat(
        tmp_path,
        *(array(name, CHAR, (1, 2), element(kind, text.encode(codecs[kind]), order), order=order)
          for name, (kind, text) in texts.items()),
        order=order,
    )  # fmt: skip
    for name, (_, text) in texts.items():
        assert value(path, name.decode()).tolist() == [text], name


def test_text_that_is_not_in_its_encoding_is_latin_1(tmp_path: Path) -> None:
    path = mat(tmp_path, array(b"t", CHAR, (1, 2), element(16, b"a\xff")))
    assert value(path, "t").tolist() == ["aÿ"]


def test_rows_of_text_are_read_down_the_columns(tmp_path: Path) -> None:
    path = mat(tmp_path, array(b"t", CHAR, (2, 3), element(16, b"adbecf")),
               array(b"u", CHAR, (2, 3), element(16, b"adbec")))  # fmt: skip
    assert value(path, "t").tolist() == ["abc", "def"]
    with pytest.raises(UnreadableError, match="5 letters"):
        value(path, "u")


def test_numbers_of_another_byte_order_come_native(tmp_path: Path) -> None:
    held = element(9, np.array([1.5, 2.5], ">f8").tobytes(), ">")
    found = value(mat(tmp_path, array(b"x", DOUBLE, (1, 2), held, order=">"), order=">"), "x")
    assert (found.dtype.isnative, found.tolist()) == (True, [[1.5, 2.5]])
    assert first_name((tmp_path / "synthetic.mat").read_bytes()) == "x"


def test_whole_numbers_in_fewer_bytes_stand_for_doubles(tmp_path: Path) -> None:
    path = mat(tmp_path, array(b"x", DOUBLE, (1, 3), small(2, b"\1\2\3")))
    ((_, one),) = ((elements, elements.numbers(found)) for elements, found in walk(path))
    assert (one[0].stands_for, one[0].array().tolist()) == ("f8", [1, 2, 3])


# --- what is refused --------------------------------------------------------------------------

PLACE = struct.pack("<i", 8)
DAMAGED: dict[str, tuple[bytes, str]] = {
    "half a tag": (PLAIN + bytes(4), "4 bytes"),
    "an element beyond the end": (struct.pack("<II", 14, 99) + bytes(8), "up to byte"),
    "a variable of another type": (element(9, bytes(8)), "a variable of type 9"),
    "a small element of 5 bytes": (
        element(14, small(6, b"", 5) + bytes(40)), "a small element of 5 bytes",
    ),
    "flags of another type": (element(14, element(5, bytes(8))), "flags of type 5"),
    "flags of 4 bytes": (element(14, small(6, bytes(4)) + bytes(40)), "flags of 4 bytes"),
    "class 0": (array(b"x", 0, (1, 1), doubles(1)), "an array of class 0"),
    "dimensions of another type": (
        element(14, element(6, struct.pack("<II", 6, 0)) + element(9, bytes(8))),
        "dimensions of type 9",
    ),
    "one dimension": (array(b"x", 6, (1,), doubles(1)), "4 bytes of dimensions"),
    "33 dimensions": (array(b"x", 6, (1,) * 33, doubles(1)), "132 bytes of dimensions"),
    "two and a half dimensions": (
        element(14, element(6, struct.pack("<II", 6, 0)) + element(5, bytes(10))),
        "10 bytes of dimensions",
    ),
    "a dimension below 0": (array(b"x", 6, (-1, -1), doubles(1)), "dimensions (-1, -1)"),
    "more than numpy counts": (array(b"x", 6, (2**30, 2**30)), "dimensions"),
    "nothing, of more than numpy counts": (array(b"x", 6, (0, 2**30, 2**30)), "dimensions"),
    "a name of another type": (
        element(14, element(6, struct.pack("<II", 6, 0)) + element(5, bytes(8)) + doubles(1)),
        "a name of type 9",
    ),
    "a name of 1025 bytes": (array(b"n" * 1025, 6, (1, 1), doubles(1)), "a name of 1025 bytes"),
    "no numbers": (array(b"x", 6, (1, 1)), "0 bytes"),
    "numbers of another type": (array(b"x", 6, (1, 1), element(16, b"a")), "numbers of type 16"),
    "fewer numbers": (array(b"x", 6, (1, 2), doubles(1)), "x with 8 bytes of numbers"),
    "more numbers": (array(b"x", 6, (1, 1), doubles(1, 2)), "x with 16 bytes of numbers"),
    "numbers of an empty one": (array(b"x", 6, (0, 1), doubles(1)), "x with 8 bytes"),
    "no imaginary parts": (array(b"x", 6, (1, 1), doubles(1), COMPLEX), "0 bytes"),
    "text of another type": (array(b"t", CHAR, (1, 1), doubles(1)), "text of type 9"),
    "a cell less": (array(b"c", CELL, (1, 2), element(14, b"")), "0 bytes"),
    "a cell that is no array": (array(b"c", CELL, (1, 1), doubles(1)), "a cell or field of type"),
    "field names of no length": (
        array(b"s", STRUCT, (1, 1), small(5, bytes(4)) + element(1, b"a")), "field names of 0",
    ),
    "field names of a length below 0": (
        array(b"s", STRUCT, (1, 1), small(5, b"\xff" * 4) + element(1, b"a")), "names of -1",
    ),
    "field names of two lengths": (
        array(b"s", STRUCT, (1, 1), element(5, PLACE * 2) + element(1, b"a" * 8)), "names of 0",
    ),
    "field names of odd length": (
        array(b"s", STRUCT, (1, 1), small(5, PLACE) + element(1, b"a" * 9)), "9 bytes of field",
    ),
    "a name twice": (PLAIN + packed(PLAIN), "x twice"),
    "no variable": (b"", "no variable"),
    "a workspace alone": (array(b"", 6, (1, 1), doubles(1)), "no variable"),
    "compressed twice": (packed(packed(PLAIN)), "a variable of type 15"),
    "compression that is none": (struct.pack("<II", 15, 8) + bytes(8), "damaged compression"),
}  # fmt: skip


@pytest.mark.parametrize("story", DAMAGED)
def test_what_contradicts_itself_is_refused_with_its_place(story: str, tmp_path: Path) -> None:
    content, told = DAMAGED[story]
    with pytest.raises(UnreadableError) as caught:
        variables(mat(tmp_path, content))
    assert told in caught.value.found
    assert caught.value.where.startswith("synthetic.mat: byte ")


@pytest.mark.parametrize("story", sorted(DAMAGED.keys() - {"half a tag", "a name twice"}))
def test_asked_for_by_name_it_is_refused_too(story: str, tmp_path: Path) -> None:
    for name in ("x", "c", "s", "t"):
        with pytest.raises(RefusedError):
            value(mat(tmp_path, DAMAGED[story][0]), name)


def test_cells_are_not_made_before_they_are_found(tmp_path: Path) -> None:
    """2^29 cells of which one is there."""
    path = mat(tmp_path, array(b"c", CELL, (2**15, 2**14), element(14, b"")))
    with pytest.raises(UnreadableError, match="a tag of 8"):
        value(path, "c")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "127 bytes"), (bytes(1), "the version and byte order"),
    ],
)  # fmt: skip
def test_a_head_of_no_mat_file_is_refused(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "synthetic.mat"
    path.write_bytes(safe_mat.MAGIC.ljust(127) + content)
    with pytest.raises(UnreadableError, match=told):
        variables(path)


def test_objects_are_never_read_wherever_they_are(tmp_path: Path) -> None:
    for kind, word in ((3, "object"), (16, "function"), (OPAQUE, "opaque")):
        thing = array(b"", kind, (1, 1))
        path = mat(tmp_path, array(b"x", kind, (1, 1)), array(b"c", CELL, (1, 1), thing),
                   array(b"s", STRUCT, (1, 1), fields(b"f") + thing))  # fmt: skip
        assert [item.kind for item in variables(path)] == [
            word, "cell", word, "struct", word,
        ]  # fmt: skip
        for name in ("x", "c", "c{1}", "s", "s.f"):
            with pytest.raises(UnsafeError, match=f"an {word} of MATLAB"):
                value(path, name)


def test_what_is_neither_numbers_nor_text_is_refused(tmp_path: Path) -> None:
    inner = array(b"", DOUBLE, (1, 1), doubles(1))
    path = mat(
        tmp_path, array(b"s", STRUCT, (1, 1), fields(b"f") + inner), array(b"p", SPARSE, (1, 1)),
        array(b"z", DOUBLE, (1, 1), doubles(1) + doubles(2), COMPLEX), PLAIN,
    )  # fmt: skip
    for name, told in (("s", "a struct"), ("p", "a sparse"), ("z", "complex numbers")):
        with pytest.raises(UnreadableError, match=told):
            value(path, name)
    for name in ("y", "x.a", "s.g", "", "{1}"):
        with pytest.raises(InvalidInputError, match="no variable"):
            value(path, name)


def test_arrays_may_lie_32_deep(tmp_path: Path) -> None:
    def nested(depth: int) -> bytes:
        content = array(b"", DOUBLE, (1, 1), doubles(1))
        for _ in range(depth - 1):
            content = array(b"", CELL, (1, 1), content)
        return array(b"c", CELL, (1, 1), content)

    path = mat(tmp_path, nested(32))
    assert len(variables(path)) == 33
    assert value(path, "c" + "{1}" * 32).tolist() == [[1.0]]
    mat(tmp_path, nested(33))
    for read in (lambda: variables(path), lambda: value(path, "c")):
        with pytest.raises(UnsafeError, match="arrays 33 deep"):
            read()


def test_limits_are_met_to_the_last_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = array(b"", DOUBLE, (0, 0))
    path = mat(tmp_path, array(b"c", CELL, (1, 3), inner * 3))
    monkeypatch.setattr(safe_mat, "VARIABLE_LIMIT", 4)
    assert len(variables(path)) == 4
    monkeypatch.setattr(safe_mat, "VARIABLE_LIMIT", 3)
    with pytest.raises(UnsafeError, match="more parts"):
        variables(path)
    monkeypatch.undo()
    path = mat(tmp_path, array(b"t", CHAR, (1, 5), element(16, b"abcde")))
    monkeypatch.setattr(safe_mat5, "TEXT_LIMIT_BYTES", 5)
    assert value(path, "t").tolist() == ["abcde"]
    monkeypatch.setattr(safe_mat5, "TEXT_LIMIT_BYTES", 4)
    with pytest.raises(UnreadableError, match="5 bytes of text"):
        variables(path)
    path = mat(tmp_path, array(b"s", STRUCT, (1, 1), fields(b"f") + inner))
    with pytest.raises(UnreadableError, match="8 bytes of field names"):
        variables(path)
    path = mat(tmp_path, packed(PLAIN))
    monkeypatch.setattr(safe_mat, "ELEMENT_LIMIT_BYTES", len(PLAIN))
    assert value(path, "x").tolist() == [[1.0, 2.0]]
    monkeypatch.setattr(safe_mat, "ELEMENT_LIMIT_BYTES", len(PLAIN) - 1)
    for read in (lambda: variables(path), lambda: value(path, "x")):
        with pytest.raises(UnsafeError, match="unpacked"):
            read()
    with pytest.raises(InvalidInputError):
        value(path, "y")  # what is not asked for is not unpacked


def test_the_first_name_tells_a_file_by_its_beginning(tmp_path: Path) -> None:
    whole = mat(tmp_path, packed(array(b"packed", DOUBLE, (1, 1), doubles(1)))).read_bytes()
    assert first_name(whole) == "packed"
    assert first_name(mat(tmp_path, PLAIN).read_bytes()) == "x"
    start = whole[:136]
    for head in (b"", b"x" + whole[1:], whole[:135], start + b"\xff" * 40, start):
        assert first_name(head) in (None, "")
