"""Streams of long tables: bounded, whole to the last line's end, and text."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from neurodata import safe_columns
from neurodata.errors import UnreadableError, UnsafeError

ROW = b"1,2,synthetic\n"


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def streamed(path: Path) -> bytes:
    with safe_columns._stream(path) as stream:
        return stream.read()


def test_a_stream_is_the_text_of_the_file(tmp_path: Path) -> None:
    text = ROW * 10_000
    assert streamed(put(tmp_path / "a.csv", text)) == text
    assert streamed(put(tmp_path / "a.csv.gz", gzip.compress(text, 1))) == text
    assert streamed(put(tmp_path / "b.csv", b"")) == b""


def test_a_stream_has_no_more_bytes_than_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = ROW * 100
    packed = put(tmp_path / "a.csv.gz", gzip.compress(text))
    monkeypatch.setattr(safe_columns, "LIMIT_BYTES", len(text))
    assert streamed(packed) == text
    monkeypatch.setattr(safe_columns, "LIMIT_BYTES", len(text) - 1)
    with pytest.raises(UnsafeError, match="far more text than a file of its size"):
        streamed(packed)
    with pytest.raises(UnsafeError, match="1400 bytes; expected at most 1399"):
        streamed(put(tmp_path / "a.csv", text))


def test_packed_text_unpacks_to_200_times_its_size(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv.gz", gzip.compress(b"1,2\n" * 2**20))
    with pytest.raises(UnsafeError, match="far more text"):
        streamed(path)


@pytest.mark.parametrize(
    ("text", "found"),
    [(ROW * 3 + b"1,2", "a last line without its end"), (b"1", "a last line without its end"),
     (ROW + b"1,\0,x\n", "bytes that are no text")],
)  # fmt: skip
def test_what_is_no_whole_text_is_refused(text: bytes, found: str, tmp_path: Path) -> None:
    for path in (put(tmp_path / "a", text), put(tmp_path / "b", gzip.compress(text))):
        with pytest.raises(UnreadableError) as caught:
            streamed(path)
        assert caught.value.found == found
