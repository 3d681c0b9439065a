"""The door for MATLAB 4 files, matrix by matrix: heads, names, letters."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodata import safe_mat4
from neurodata.errors import InvalidInputError, UnreadableError
from neurodata.safe_mat import Variable, value, variables


def matrix(
    name: bytes, kind: int, shape: tuple[int, int], values: Any, is_complex: int = 0,
    length: int | None = None,
) -> bytes:  # fmt: skip
    order = "<" if kind < 1000 else ">"
    stated = len(name) + 1 if length is None else length
    head = struct.pack(f"{order}5i", kind, *shape, is_complex, stated)
    dtype = np.dtype(order + safe_mat4.DTYPES[kind % 100 // 10])
    return head + name + b"\0" + np.asarray(values, dtype).tobytes()


def mat4(folder: Path, *matrices: bytes) -> Path:
    path = folder / "synthetic.mat"
    path.write_bytes(b"".join(matrices))
    return path


def test_matrices_of_every_kind_and_byte_order(tmp_path: Path) -> None:
    path = mat4(
        tmp_path, matrix(b"d", 0, (1, 2), [1.5, 2.5]), matrix(b"big", 1030, (2, 1), [3, 4]),
        matrix(b"u", 1050, (1, 2), [254, 255]), matrix(b"t", 51, (2, 2), [97, 99, 98, 100]),
        matrix(b"s", 2, (1, 3), [1, 1, 9.0]),
        matrix(b"z", 0, (1, 1), [1, 2], 1), matrix(b"e", 1, (0, 0), []),
    )  # fmt: skip
    assert variables(path) == [
        Variable("d", "double", (1, 2)), Variable("big", "int16", (2, 1)),
        Variable("u", "uint8", (1, 2)), Variable("t", "char", (2, 2)),
        Variable("s", "sparse", (1, 3)), Variable("z", "complex double", (1, 1)),
        Variable("e", "char", (0, 0)),
    ]  # fmt: skip
    assert value(path, "d").tolist() == [[1.5, 2.5]]
    assert (value(path, "big").tolist(), value(path, "big").dtype.isnative) == ([[3], [4]], True)
    assert value(path, "u").tolist() == [[254, 255]]
    assert value(path, "t").tolist() == ["ab", "cd"]
    assert value(path, "e").tolist() == []
    with pytest.raises(UnreadableError, match="a sparse matrix"):
        value(path, "s")
    with pytest.raises(UnreadableError, match="complex numbers"):
        value(path, "z")
    with pytest.raises(InvalidInputError, match="no variable 'y'"):
        value(path, "y")


FIRST = matrix(b"first", 0, (1, 1), [1])
DAMAGED_4: dict[str, tuple[bytes, str]] = {
    "a VAX's numbers": (matrix(b"x", 0, (1, 1), [1]).replace(bytes(4), b"\xd0\x07\0\0", 1), "head"),
    "rows below 0": (matrix(b"x", 0, (-1, 1), [1]), "no head"),
    "columns below 0": (matrix(b"x", 0, (1, -1), [1]), "no head"),
    "half complex": (matrix(b"x", 0, (1, 1), [1], 2), "no head"),
    "a name of 1 byte": (matrix(b"", 0, (1, 1), [1]), "no head"),
    "a name of 65 bytes": (matrix(b"n" * 64, 0, (1, 1), [1]), "no head"),
    "a name that is none": (matrix(b"1x", 0, (1, 1), [1]), "the name b'1x"),
    "a name without its end": (matrix(b"xyz", 0, (1, 1), [1], 0, 3), "the name b'xyz'"),
    "a cut matrix": (matrix(b"x", 0, (1, 2), [1]), "x of 1 x 2, up to byte"),
    "complex without its other half": (matrix(b"x", 0, (1, 1), [1], 1), "x of 1 x 1"),
    "half a head": (bytes(19), "no head"),
    "a name twice": (FIRST, "first twice"),
}


@pytest.mark.parametrize("story", DAMAGED_4)
def test_matrices_that_contradict_themselves_are_refused(story: str, tmp_path: Path) -> None:
    content, told = DAMAGED_4[story]
    with pytest.raises(UnreadableError) as caught:
        variables(mat4(tmp_path, FIRST, content))
    assert told in caught.value.found
    assert caught.value.where.startswith("synthetic.mat: byte ")


def test_names_are_up_to_63_letters_long(tmp_path: Path) -> None:
    path = mat4(tmp_path, matrix(b"n" * 63, 0, (1, 1), [1]))
    assert variables(path)[0].name == "n" * 63


@pytest.mark.parametrize("letter", [-1.0, 0.5, float("nan"), float("inf"), 0xD800])
def test_codes_that_are_no_letters_are_refused(letter: float, tmp_path: Path) -> None:
    path = mat4(tmp_path, matrix(b"t", 1, (1, 2), [97, letter]))
    with pytest.raises(UnreadableError, match="the letter"):
        value(path, "t")
    assert value(mat4(tmp_path, matrix(b"t", 1, (1, 2), [0, 0xD7FF])), "t").tolist() == ["\0\ud7ff"]


def test_text_of_matrices_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = mat4(tmp_path, matrix(b"t", 51, (1, 3), [97, 98, 99]))
    monkeypatch.setattr(safe_mat4, "TEXT_LIMIT_BYTES", 3)
    assert value(path, "t").tolist() == ["abc"]
    monkeypatch.setattr(safe_mat4, "TEXT_LIMIT_BYTES", 2)
    with pytest.raises(UnreadableError, match="3 letters"):
        value(path, "t")
