"""The door for raw bytes: what it lets through, what it refuses, and at exactly which size."""

from __future__ import annotations

import gzip
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neurodata import safe, safe_zlib
from neurodata.errors import Problem, UnreadableError, UnsafeError


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# --- the files of a recording -----------------------------------------------------------------


@pytest.fixture
def raw(tmp_path: Path) -> safe.Raw:
    (tmp_path / "day").mkdir()
    (tmp_path / "other").mkdir()
    names = ("day/a.vhdr", "day/a.eeg", "other/b.eeg")
    return safe.Raw(tmp_path, tuple(put(tmp_path / name, b"x") for name in names))


def test_a_header_names_files_of_its_own_recording_and_folder_only(raw: safe.Raw) -> None:
    assert (raw.main.name, raw.name) == ("a.vhdr", "day/a.vhdr")
    assert raw.sibling("a.eeg") == raw.files[1]
    for name in ("b.eeg", "../other/b.eeg", "/etc/passwd", str(raw.files[1]), "", "A.EEG"):
        with pytest.raises(UnsafeError) as caught:
            raw.sibling(name)
        assert caught.value.where == "day/a.vhdr"
        assert "a.vhdr, a.eeg, b.eeg" in caught.value.expected
    assert raw.find(lambda path: path.suffix == ".eeg") == raw.files[1]
    assert raw.find(lambda path: path.suffix == ".mat") is None


def test_findings_name_the_file_and_come_once(raw: safe.Raw) -> None:
    for _ in range(2):
        raw.warn("channel Cz", "flat", "a varying signal", "mark it bad")
        raw.note("", "no entities in the name")
    assert raw.problems == [
        Problem("warning", "day/a.vhdr: channel Cz", "flat", "a varying signal", "mark it bad"),
        Problem("note", "day/a.vhdr", "no entities in the name"),
    ]


def test_links_may_lead_about_the_folder_and_not_out_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    inner, outer = put(folder / "a", b"x"), put(tmp_path / "raw-secret", b"x")
    (folder / "to-inner").symlink_to(inner)
    (folder / "to-outer").symlink_to(outer)
    (folder / "to-nothing").symlink_to(folder / "absent")
    (tmp_path / "alias").symlink_to(folder)
    assert safe.inside(folder / "to-inner", folder) == inner.resolve()
    assert safe.inside(tmp_path / "alias" / "a", folder) == inner.resolve()
    assert safe.inside(folder, folder) == folder.resolve()
    for path in (folder / "to-outer", folder / ".." / "raw-secret"):
        with pytest.raises(UnsafeError, match="out of the raw folder"):
            safe.inside(path, folder)
    with pytest.raises(UnreadableError, match="link to nothing"):
        safe.inside(folder / "to-nothing", folder)


# --- whole files ------------------------------------------------------------------------------


def test_the_head_of_a_file_is_unpacked_and_an_empty_one_refused(tmp_path: Path) -> None:
    plain, packed = put(tmp_path / "a", b"abcdef"), put(tmp_path / "b", gzip.compress(b"abcdef"))
    assert (safe.head(plain, 4), safe.head(packed, 4)) == (b"abcd", b"abcd")
    assert safe.head(put(tmp_path / "c", bytes(5000))) == bytes(4096)
    assert (safe.is_gzip(plain), safe.is_gzip(packed)) == (False, True)
    assert not safe.is_gzip(put(tmp_path / "d", b"\x1f"))
    with pytest.raises(UnreadableError, match="empty"):
        safe.head(put(tmp_path / "e", b""))
    for data in (gzip.compress(bytes(99))[:12], b"\x1f\x8b\x07", b"\x1f\x8b\x08" + b"\xff" * 40):
        with pytest.raises(UnreadableError, match="gzip"):
            safe.head(put(tmp_path / "f", data))


def test_a_file_is_read_whole_up_to_its_limit(tmp_path: Path) -> None:
    path = put(tmp_path / "a", b"abcde")
    assert safe.read_bytes(path, limit=5) == b"abcde"
    with pytest.raises(UnsafeError, match=r"5 bytes.*at most 4"):
        safe.read_bytes(path, limit=4)
    with pytest.raises(UnsafeError):
        safe.read_text(path, limit=4)
    assert safe.TEXT_LIMIT_BYTES == 64 * 1024 * 1024


def test_texts_are_utf_8_with_or_without_mark(tmp_path: Path) -> None:
    assert safe.read_text(put(tmp_path / "a", "\ufeffµ".encode())) == "µ"
    with pytest.raises(UnreadableError, match="UTF-8"):
        safe.read_text(put(tmp_path / "b", "µ".encode("latin-1")))


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"a": 1, "a": 2}', "[NaN]", "[Infinity]", "[" * 100_000, "1 2", "9" * 5000,
     "[1e999]", "[-1e999]"],
)  # fmt: skip
def test_what_is_no_strict_json_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UnreadableError, match="no strict JSON"):
        safe.read_json(put(tmp_path / "a.json", text.encode()))


def test_names_that_come_twice_are_found_at_once_among_many(tmp_path: Path) -> None:
    count = 200_000
    keys = ", ".join(f'"{n}": 0' for n in range(count))
    path = put(tmp_path / "a.json", f"{{{keys}}}".encode())
    begun = time.monotonic()
    assert len(safe.read_json(path)) == count
    with pytest.raises(UnreadableError, match=r"duplicate keys \['3', '7'\]"):
        safe.read_json(put(path, f'{{"7": 1, {keys}, "3": 1}}'.encode()))
    names = "\t".join(f"c{n}" for n in range(count))
    assert safe.read_table(put(tmp_path / "a.tsv", f"{names}\n".encode())).shape == (0, count)
    with pytest.raises(UnreadableError, match="the column 'c5' twice"):
        safe.read_table(put(tmp_path / "a.tsv", f"{names}\tc5\n".encode()))
    assert time.monotonic() - begun < 20


def test_json_comes_as_it_stands(tmp_path: Path) -> None:
    text = '{"a": [1, 2.5, null, true, "µ"], "b": {"a": 1}}'
    found = safe.read_json(put(tmp_path / "a.json", text.encode()))
    assert found == {"a": [1, 2.5, None, True, "µ"], "b": {"a": 1}}


# --- gzip -------------------------------------------------------------------------------------


def noise(count: int) -> bytes:
    return np.random.default_rng(count).bytes(count)


def test_gzip_is_unpacked_to_its_end_within_a_limit_and_a_ratio(tmp_path: Path) -> None:
    data = noise(3 * 2**20)
    path = put(tmp_path / "a.gz", gzip.compress(data, 1))
    assert safe.gunzip(path, limit=len(data)) == data
    with pytest.raises(UnsafeError, match="unpacked"):
        safe.gunzip(path, limit=len(data) - 1)
    twice = put(tmp_path / "b.gz", gzip.compress(b"one ") + gzip.compress(b"two"))
    assert safe.gunzip(twice, limit=100) == b"one two"
    bomb = put(tmp_path / "c.gz", gzip.compress(bytes(2**22)))
    size = bomb.stat().st_size
    with pytest.raises(UnsafeError, match=f"over {200 * size} bytes"):
        safe.gunzip(bomb, limit=2**30)


def test_gzip_of_just_200_times_its_size_is_unpacked(tmp_path: Path) -> None:
    def packed(count: int) -> bytes:
        return gzip.compress(bytes(count), mtime=0)

    size = next(size for size in range(20, 100) if len(packed(200 * size)) == size)
    path = put(tmp_path / "a.gz", packed(200 * size))
    assert len(safe.gunzip(path, limit=2**30)) == 200 * size


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda packed: packed[:-9],
    "another CRC": lambda packed: packed[:-8] + b"\0\0\0\0" + packed[-4:],
    "another length": lambda packed: packed[:-1] + b"\x7f",
    "flipped content": lambda packed: packed[:300] + bytes([packed[300] ^ 16]) + packed[301:],
    "no deflate": lambda packed: packed[:10] + b"\xff" * 300,
    "rubbish after it": lambda packed: packed + b"rubbish",
}


@pytest.mark.parametrize("story", DAMAGE)
def test_damaged_gzip_is_refused(tmp_path: Path, story: str) -> None:
    values = np.arange(2000, dtype="<i4")
    path = put(tmp_path / "a.gz", DAMAGE[story](gzip.compress(values.tobytes())))
    with pytest.raises(UnreadableError, match="gzip"):
        safe.gunzip(path, limit=2**20)
    with pytest.raises(UnreadableError, match="gzip"):
        safe.unpacked_memmap(path, values.dtype, values.shape, 0, 2**20)


# --- arrays that a header describes -----------------------------------------------------------


def test_an_array_is_mapped_where_the_file_has_it(tmp_path: Path) -> None:
    path = put(tmp_path / "a", b"head" + np.arange(6, dtype="<i2").tobytes())
    found = safe.memmap(path, np.dtype("<i2"), (2, 3), offset=4)
    assert found.tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 1
    with pytest.raises(UnreadableError, match=r"16 bytes.*18 bytes"):
        safe.memmap(path, np.dtype("<i2"), (7,), offset=4)
    with pytest.raises(UnreadableError, match="bytes by its header"):
        safe.memmap(path, np.dtype("<i2"), (2**40, 2**40))  # more than 64 bits can count


@pytest.mark.parametrize(("shape", "offset"), [((-1, -3), 0), ((-1,), 4), ((1,), -1)])
def test_numbers_below_0_map_nothing(shape: tuple[int, ...], offset: int, tmp_path: Path) -> None:
    path = put(tmp_path / "a", gzip.compress(bytes(64)) + bytes(64))
    with pytest.raises(UnreadableError, match="no number below 0"):
        safe.memmap(path, np.dtype("u1"), shape, offset)
    with pytest.raises(UnreadableError, match="no number below 0"):
        safe.unpacked_memmap(path, np.dtype("u1"), shape, offset, 0)


def test_an_array_in_gzip_is_mapped_with_what_may_follow_it(tmp_path: Path) -> None:
    values = np.arange(700_000, dtype="<i4")
    path = put(tmp_path / "a.gz", gzip.compress(b"head" + values.tobytes() + b"end", 1))
    found, surplus = safe.unpacked_memmap(path, values.dtype, values.shape, 4, 3)
    np.testing.assert_array_equal(found, values)
    assert surplus == 3
    with pytest.raises(UnsafeError, match="unpacked"):
        safe.unpacked_memmap(path, values.dtype, values.shape, 4, 2)
    with pytest.raises(UnreadableError, match="2800007 bytes unpacked"):
        safe.unpacked_memmap(path, values.dtype, (700_001,), 4, 0)
    found, surplus = safe.unpacked_memmap(path, np.dtype("u1"), (2_800_007,), 0, 0)
    assert (surplus, bytes(found[:4]), bytes(found[-3:])) == (0, b"head", b"end")


def test_more_than_deflate_can_hold_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = put(tmp_path / "a.gz", gzip.compress(bytes(10)))
    most = 1032 * path.stat().st_size
    with pytest.raises(UnreadableError, match="bytes unpacked"):
        safe.unpacked_memmap(path, np.dtype("u1"), (most,), 0, 0)
    with pytest.raises(UnreadableError, match="bytes of gzip"):
        safe.unpacked_memmap(path, np.dtype("u1"), (most + 1,), 0, 0)


SMALL_FILES = """
import resource, sys
from pathlib import Path
import numpy as np
from neurodata import safe, safe_scratch, safe_zlib
from neurodata.errors import UnreadableError
resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))
path = Path(sys.argv[1])
try:
    if path.name == "mapped.gz":
        safe.unpacked_memmap(path, np.dtype("u1"), (2**20,), 0, 0)
    elif path.name == "copied.gz":
        with safe_scratch.unpacked(path):
            print("it was unpacked")
    else:
        safe_zlib.inflated(path, 0, path.stat().st_size)
except UnreadableError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["mapped.gz", "copied.gz", "a.zlib"])
def test_a_disk_without_room_for_the_unpacked_is_a_refusal(tmp_path: Path, name: str) -> None:
    """The file system refuses to write more than 64 KiB into one file."""
    pack = gzip.compress if name.endswith(".gz") else zlib.compress
    path = put(tmp_path / name, pack(noise(2**20)))
    done = subprocess.run(
        [sys.executable, "-c", SMALL_FILES, str(path)],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "no room to unpack it" in done.stdout, done.stderr
    assert "set TMPDIR" in done.stdout


# --- zlib streams within files ----------------------------------------------------------------


def test_a_zlib_stream_within_a_file_comes_whole(tmp_path: Path) -> None:
    data = noise(2**20) + bytes(6 * 2**20)
    packed = zlib.compress(data)
    path = put(tmp_path / "a", b"before" + packed + b"after")
    assert bytes(safe_zlib.inflated(path, 6, len(packed))) == data
    assert bytes(safe_zlib.inflated(path, 6, len(packed), limit=len(data))) == data
    assert safe_zlib.inflated_start(path, 6, len(packed), 10) == data[:10]
    with pytest.raises(UnsafeError, match="at most"):
        safe_zlib.inflated(path, 6, len(packed), limit=len(data) - 1)
    for start, size in ((6, len(packed) - 1), (6, len(packed) + 1), (6, len(packed) + 99), (7, 9)):
        with pytest.raises(UnreadableError, match="damaged compression"):
            safe_zlib.inflated(path, start, size)
    with pytest.raises(UnreadableError, match="byte 0"):
        safe_zlib.inflated_start(path, 0, 6, 10)
    flipped = bytearray(path.read_bytes())
    flipped[-6] ^= 1  # in the checksum
    with pytest.raises(UnreadableError, match="damaged compression"):
        safe_zlib.inflated(put(tmp_path / "b", bytes(flipped)), 6, len(packed))


def test_a_zlib_stream_of_nothing_is_refused(tmp_path: Path) -> None:
    packed = zlib.compress(b"")
    with pytest.raises(UnreadableError, match="no content"):
        safe_zlib.inflated(put(tmp_path / "a", packed), 0, len(packed))


def test_a_zlib_stream_that_the_file_cuts_is_refused(tmp_path: Path) -> None:
    packed = zlib.compress(noise(5000))
    with pytest.raises(UnreadableError, match="does not end where it should"):
        safe_zlib.inflated(put(tmp_path / "a", packed[:-9]), 0, len(packed))
